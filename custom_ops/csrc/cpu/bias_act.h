// Bias, activation, gain and clamp in one pass over memory; the slope of the piecewise linear activations likewise.
//
// Elements are taken by strips that stay in the first cache. On a strip each step is a plain loop for the vectoriser.
#pragma once
#include "activations.h"

namespace ganaug {
namespace {

constexpr int64_t STRIP = 512;  // elements
constexpr int LANES = 32;       // partial sums kept apart, so that adding up a strip vectorises

template <class A>
struct Numbers {
  A alpha, gain, limit;
  bool clamped;
  explicit Numbers(const BiasAct& call)
      : alpha(A(call.alpha)), gain(A(call.gain)), limit(A(call.clamp)), clamped(call.clamp >= 0) {
    if (!clamped) limit = A(HUGE_VAL);
  }
};

// A strip to which a bias is added as it is read: a number, or one for each element.
template <class A>
struct PlusNumber {
  const A* x;
  A b;
  A operator[](int64_t i) const { return x[i] + b; }
};
template <class A>
struct PlusRow {
  const A *x, *b;
  A operator[](int64_t i) const { return x[i] + b[i]; }
};

template <class A>
void add_to(A* sums, const A* values, int64_t size) {
#pragma GCC ivdep
  for (int64_t i = 0; i < size; ++i) sums[i] += values[i];
}

template <Act act, class In, class A>
void apply_act(const In& in, A* out, int64_t size, const Numbers<A>& numbers) {
  const A alpha = numbers.alpha, gain = numbers.gain, limit = numbers.limit;
#pragma GCC ivdep
  for (int64_t i = 0; i < size; ++i) {
    A value = activate<act>(in[i], alpha) * gain;
    value = value > limit ? limit : value;
    out[i] = value < -limit ? -limit : value;
  }
}

template <class In, class A>
void apply_act(Act act, const In& in, A* out, int64_t size, const Numbers<A>& numbers) {
  switch (act) {
    case Act::linear: return apply_act<Act::linear>(in, out, size, numbers);
    case Act::relu: return apply_act<Act::relu>(in, out, size, numbers);
    case Act::lrelu: return apply_act<Act::lrelu>(in, out, size, numbers);
    case Act::tanh: return apply_act<Act::tanh>(in, out, size, numbers);
    case Act::sigmoid: return apply_act<Act::sigmoid>(in, out, size, numbers);
    case Act::elu: return apply_act<Act::elu>(in, out, size, numbers);
    case Act::selu: return apply_act<Act::selu>(in, out, size, numbers);
    case Act::softplus: return apply_act<Act::softplus>(in, out, size, numbers);
    case Act::swish: return apply_act<Act::swish>(in, out, size, numbers);
  }
}

// in · the derivative of a piecewise linear act where the operator gave y.
template <class In, class A>
void apply_slope(Act act, const In& in, const A* y, A* out, int64_t size, const Numbers<A>& numbers) {
  const A above = numbers.gain, limit = numbers.limit;
  const A below = act == Act::linear ? above : act == Act::relu ? A(0) : above * numbers.alpha;
  if (numbers.clamped) {
#pragma GCC ivdep
    for (int64_t i = 0; i < size; ++i) {
      A magnitude = y[i] < 0 ? -y[i] : y[i], slope = y[i] > 0 ? above : below;
      out[i] = in[i] * (magnitude < limit ? slope : A(0));
    }
  } else {
#pragma GCC ivdep
    for (int64_t i = 0; i < size; ++i) out[i] = in[i] * (y[i] > 0 ? above : below);
  }
}

template <class A>
A sum(const A* values, int64_t size) {
  A lanes[LANES] = {};
  int64_t i = 0;
  for (; i + LANES <= size; i += LANES)
    for (int lane = 0; lane < LANES; ++lane) lanes[lane] += values[i + lane];
  for (int lane = 0; i + lane < size; ++lane) lanes[lane] += values[i + lane];
  double total = 0;
  for (int lane = 0; lane < LANES; ++lane) total += lanes[lane];
  return A(total);
}

// Calls loop(x, y, out, size, channel) for the strips of some elements, with x, y and out in the type computed in;
// channel: of the strip, or of its first element where each has its own.
template <class T, class Loop>
void for_each_strip(const BiasAct& call, int64_t start, int64_t size, int64_t channel, const Loop& loop) {
  using A = Compute<T>;
  A wide_x[STRIP], wide_y[STRIP], wide_out[STRIP];
  for (int64_t i = 0; i < size; i += STRIP) {
    int64_t strip = size - i < STRIP ? size - i : STRIP;
    const A* x = widened(static_cast<const T*>(call.x) + start + i, wide_x, strip);
    const A* y = call.y ? widened(static_cast<const T*>(call.y) + start + i, wide_y, strip) : nullptr;
    T* out = static_cast<T*>(call.out) + start + i;
    if constexpr (same<T, A>) {
      loop(x, y, out, strip, channel);
    } else {
      loop(x, y, wide_out, strip, channel);
      narrow(wide_out, out, strip);
    }
    if (call.blocks.inner == 1) channel += strip;
  }
}

// The same for the strips of whole blocks; the loop takes the block, too.
template <class T, class Loop>
void for_each_strip_of_blocks(const BiasAct& call, int64_t first_block, int64_t last_block, const Loop& loop) {
  const Blocks& blocks = call.blocks;
  for (int64_t block = first_block; block < last_block; ++block) {
    auto with_block = [&](auto... arguments) { loop(arguments..., block); };
    if (blocks.inner == 1) {
      int64_t end = (block + 1) * blocks.step;
      end = end < blocks.outer ? end : blocks.outer;
      for (int64_t row = block * blocks.step; row < end; ++row)
        for_each_strip<T>(call, row * blocks.channels, blocks.channels, 0, with_block);
    } else {
      int64_t pieces = (blocks.inner + blocks.step - 1) / blocks.step;
      int64_t row = block / pieces, start = block % pieces * blocks.step, rest = blocks.inner - start;
      int64_t size = rest < blocks.step ? rest : blocks.step;
      for_each_strip<T>(call, row * blocks.inner + start, size, row % blocks.channels, with_block);
    }
  }
}

// Calls loop(x + b, y, out, size) for all strips, where the first adds as it is read.
template <class T, class Loop>
void for_each_biased_strip(const BiasAct& call, int64_t first_block, int64_t last_block, const Loop& loop) {
  using A = Compute<T>;
  const A zero = 0, *bias = call.b ? static_cast<const A*>(call.b) : &zero;
  for_each_strip_of_blocks<T>(call, first_block, last_block,
                              [&](const A* x, const A* y, A* out, int64_t size, int64_t channel, int64_t) {
                                if (call.blocks.inner == 1)
                                  loop(PlusRow<A>{x, bias + channel}, y, out, size);
                                else
                                  loop(PlusNumber<A>{x, bias[channel]}, y, out, size);
                              });
}

void bias_act(const BiasAct& call, int64_t first_block, int64_t last_block) {
  with_type(call.type, [&](auto type) {
    using A = Compute<decltype(type)>;
    const Numbers<A> numbers(call);
    auto loop = [&](auto in, const A*, A* out, int64_t size) { apply_act(call.act, in, out, size, numbers); };
    for_each_biased_strip<decltype(type)>(call, first_block, last_block, loop);
  });
}

void bias_act_slope(const BiasAct& call, int64_t first_block, int64_t last_block) {
  with_type(call.type, [&](auto type) {
    using A = Compute<decltype(type)>;
    const Numbers<A> numbers(call);
    auto loop = [&](auto in, const A* y, A* out, int64_t size) { apply_slope(call.act, in, y, out, size, numbers); };
    for_each_biased_strip<decltype(type)>(call, first_block, last_block, loop);
  });
}

void bias_act_adjoint(const BiasAct& call, int64_t first_block, int64_t last_block) {
  with_type(call.type, [&](auto type) {
    using A = Compute<decltype(type)>;
    const Numbers<A> numbers(call);
    A* partial = static_cast<A*>(call.partial);  // zeros at first
    auto loop = [&](const A* dy, const A* y, A* dx, int64_t size, int64_t channel, int64_t block) {
      apply_slope(call.act, dy, y, dx, size, numbers);
      if (partial && call.blocks.inner == 1) {
        A* sums = partial + block * call.blocks.channels + channel;
        add_to(sums, dx, size);
      } else if (partial) {
        partial[block] += sum(dx, size);
      }
    };
    for_each_strip_of_blocks<decltype(type)>(call, first_block, last_block, loop);
  });
}

}  // namespace
}  // namespace ganaug
