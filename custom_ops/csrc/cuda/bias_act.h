// bias_act, its slope and the slope's adjoint, one vector of elements at a time.
#pragma once
#include <cmath>

#include "portable.h"

namespace ganaug::cuda {

enum Act { kLinear, kRelu, kLrelu, kTanh, kSigmoid, kElu, kSelu, kSoftplus, kSwish };  // as in activations.py

GANAUG_HD constexpr bool is_piecewise_linear(int act) { return act <= kLrelu; }

// clamp(gain * act(v)) and, for piecewise linear act, its derivative. S is the type computed in.
template <typename S>
struct Formula {
  int act;
  S alpha, gain;
  S clamp;         // below 0: none
  S stored_clamp;  // clamp as an output of the stored type holds it: what was clamped equals it

  // Comparisons are written so that NaN fails them and passes through.
  GANAUG_HD S piecewise_linear(S v) const {
    if (act == kRelu) return v < 0 ? S(0) : v;
    return act == kLinear || v > 0 ? v : v * alpha;
  }

  GANAUG_HD S smooth(S v) const {
    switch (act) {
      case kTanh: return tanh(v);
      case kSigmoid: return 1 / (1 + exp(-v));
      case kElu: return v > 0 ? v : expm1(v);
      case kSelu: return S(1.0507009873554805) * (v > 0 ? v : S(1.6732632423543772) * expm1(v));
      case kSoftplus: return v > 20 ? v : log1p(exp(v));
      default: return v / (1 + exp(-v));
    }
  }

  GANAUG_HD S limited(S y) const {
    y *= gain;
    if (clamp < 0) return y;
    y = y > clamp ? clamp : y;
    return y < -clamp ? -clamp : y;
  }

  GANAUG_HD S slope(S y) const {
    S size = y < 0 ? -y : y;
    if (clamp >= 0 && !(size < stored_clamp)) return 0;
    if (act == kRelu) return y > 0 ? gain : S(0);
    return act == kLinear || y > 0 ? gain : gain * alpha;
  }
};

// Where an element's bias stands: the tensor is [outer, channels, inner] in memory.
enum class BiasPattern {
  none,
  one,   // a vector lies within one channel
  run,   // a vector holds channels that follow each other
  mixed  // neither: each element looks for its own
};

template <typename Index>
struct BiasLayout {
  Divider<Index> inner, channels;
  BiasPattern pattern;

  GANAUG_HD Index channel(Index element) const { return channels.remainder(inner.quotient(element)); }
};

inline BiasPattern pattern_of(bool has_bias, int64_t channels, int64_t inner, int vector) {
  if (!has_bias) return BiasPattern::none;
  if (inner % vector == 0) return BiasPattern::one;
  return inner == 1 && channels % vector == 0 ? BiasPattern::run : BiasPattern::mixed;
}

template <typename T, typename Index>
struct Elementwise {
  const T *x, *b, *y;  // b and y may be null
  T* out;
  Index size;
  BiasLayout<Index> layout;
  Formula<Compute<T>> formula;
};

// Adds the biases of the vector that begins at `first`.
template <int vector, typename T, typename Index>
GANAUG_HD void add_bias(Compute<T> (&v)[vector], const Elementwise<T, Index>& call, Index first) {
  switch (call.layout.pattern) {
    case BiasPattern::none: return;
    case BiasPattern::one: {
      Compute<T> bias = Number<T>::widen(call.b[call.layout.channel(first)]);
      GANAUG_UNROLL for (int i = 0; i < vector; ++i) v[i] += bias;
      return;
    }
    case BiasPattern::run: {
      Vec<T, vector> bias = load<vector>(call.b + call.layout.channels.remainder(first));
      GANAUG_UNROLL for (int i = 0; i < vector; ++i) v[i] += Number<T>::widen(bias.at[i]);
      return;
    }
    case BiasPattern::mixed:
      GANAUG_UNROLL for (int i = 0; i < vector; ++i) {
        if (first + i < call.size) v[i] += Number<T>::widen(call.b[call.layout.channel(first + i)]);
      }
  }
}

// The vector that begins at `from`; beyond the tensor's end zeros, which the last vector of an odd size has.
template <int vector, typename T>
GANAUG_HD void load_wide(Compute<T> (&v)[vector], const T* from, int64_t left) {
  if (left >= vector) {
    Vec<T, vector> values = load<vector>(from);
    GANAUG_UNROLL for (int i = 0; i < vector; ++i) v[i] = Number<T>::widen(values.at[i]);
  } else {
    GANAUG_UNROLL for (int i = 0; i < vector; ++i) v[i] = i < left ? Number<T>::widen(from[i]) : Compute<T>(0);
  }
}

template <int vector, typename T>
GANAUG_HD void store_narrow(T* to, const Compute<T> (&v)[vector], int64_t left) {
  Vec<T, vector> values;
  GANAUG_UNROLL for (int i = 0; i < vector; ++i) values.at[i] = Number<T>::narrow(v[i]);
  if (left >= vector) return store<vector>(to, values);
  GANAUG_UNROLL for (int i = 0; i < vector; ++i) {
    if (i < left) to[i] = values.at[i];
  }
}

enum class Op { piecewise_linear, smooth, slope };

// What one thread does: the vector that begins at `first`, with first < size.
template <Op op, int vector, typename T, typename Index>
GANAUG_HD void elementwise(const Elementwise<T, Index>& call, Index first) {
  const int64_t left = int64_t(call.size - first);
  Compute<T> v[vector], y[vector];
  load_wide<vector>(v, call.x + first, left);
  if (op == Op::slope) load_wide<vector>(y, call.y + first, left);
  add_bias<vector>(v, call, first);
  GANAUG_UNROLL for (int i = 0; i < vector; ++i) {
    if (op == Op::slope) v[i] *= call.formula.slope(y[i]);
    if (op == Op::piecewise_linear) v[i] = call.formula.limited(call.formula.piecewise_linear(v[i]));
    if (op == Op::smooth) v[i] = call.formula.limited(call.formula.smooth(v[i]));
  }
  store_narrow<vector>(call.out + first, v, left);
}

// The adjoint and the bias's gradient in one pass. The tensor is [outer, channels, inner]; where inner is 1 the vectors
// run along the channels, else within one. A vector never crosses a channel: the caller chooses its size so.
template <typename T, typename Index>
struct Adjoint {
  const T *dy, *y;
  T* dx;
  Compute<T>* partial;  // [channels, pieces]
  Index outer, channels, inner;
  Index pieces;                     // blocks that share a channel
  Divider<Index> vectors_in_inner;  // where inner > 1: inner / vector
  Formula<Compute<T>> formula;
};

// dx of one vector; adds it to `sums`.
template <int vector, typename T, typename Index>
GANAUG_HD void adjoint_vector(const Adjoint<T, Index>& call, Index at, Compute<T> (&sums)[vector]) {
  Compute<T> v[vector], y[vector];
  load_wide<vector>(v, call.dy + at, vector);
  load_wide<vector>(y, call.y + at, vector);
  GANAUG_UNROLL for (int i = 0; i < vector; ++i) {
    v[i] *= call.formula.slope(y[i]);
    sums[i] += v[i];
  }
  store_narrow<vector>(call.dx + at, v, vector);
}

// Where inner > 1, a block takes one piece of one channel: the block's thread adds up its share.
template <int vector, typename T, typename Index>
GANAUG_HD Compute<T> adjoint_along_channel(const Adjoint<T, Index>& call, Index block, Index thread, Index threads) {
  const Index channel = block / call.pieces, piece = block % call.pieces;
  const Index total = call.outer * call.vectors_in_inner.divisor, share = (total + call.pieces - 1) / call.pieces;
  const Index begin = piece * share, end = begin + share < total ? begin + share : total;
  Compute<T> sums[vector] = {};
  for (Index e = begin + thread; e < end; e += threads) {
    const Index row = call.vectors_in_inner.quotient(e), column = e - row * call.vectors_in_inner.divisor;
    adjoint_vector<vector>(call, (row * call.channels + channel) * call.inner + column * vector, sums);
  }
  Compute<T> sum = 0;
  GANAUG_UNROLL for (int i = 0; i < vector; ++i) sum += sums[i];
  return sum;
}

// Where inner is 1, a block takes a piece of the rows and a group of channels: `lane` counts vectors of channels,
// `row` the rows that the block takes at once.
template <int vector, typename T, typename Index>
GANAUG_HD void adjoint_across_channels(const Adjoint<T, Index>& call, Index piece, Index lane, Index row, Index rows,
                                       Compute<T> (&sums)[vector]) {
  const Index share = (call.outer + call.pieces - 1) / call.pieces;
  const Index begin = piece * share, end = begin + share < call.outer ? begin + share : call.outer;
  if (lane * vector >= call.channels) return;
  for (Index r = begin + row; r < end; r += rows) adjoint_vector<vector>(call, r * call.channels + lane * vector, sums);
}

}  // namespace ganaug::cuda
