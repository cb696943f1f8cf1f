// 3×3 convolution in tiles: spread the inputs, multiply matrices over the channels, gather the outputs.
#pragma once
#include <memory>

#include "kernels.h"
#include "matmul.h"
#include "window.h"
#include "winograd.h"

namespace ganaug {
namespace {

// What is transformed on the way in and out, how far apart the tiles lie there, and the zeros around the inputs.
struct Same {
  using Axis = Stride1;
  using In = Stride1::Inputs;
  using Out = Stride1::Outputs;
  static constexpr int IN_STEP = SIDE, OUT_STEP = SIDE, BORDER = 1;
};
struct Down {
  using Axis = Stride2;
  using In = Stride2::Inputs;
  using Out = Stride2::Outputs;
  static constexpr int IN_STEP = 2 * SIDE, OUT_STEP = SIDE, BORDER = 0;
};
struct Up {
  using Axis = Stride2;
  using In = Stride2::OutputsAdjoint;
  using Out = Stride2::InputsAdjoint;
  static constexpr int IN_STEP = SIDE, OUT_STEP = 2 * SIDE, BORDER = 0;
};

template <class A>
inline A* numbers(void* place) {
  return static_cast<A*>(place);
}
template <class A>
inline const A* numbers(const void* place) {
  return static_cast<const A*>(place);
}

// The columns that the products need: whole registers, in twos. Those beyond the channels are zero.
template <class A>
inline int64_t padded(int64_t channels) {
  constexpr int64_t WHOLE = 2 * NUM_LANES<A>;
  return (channels + WHOLE - 1) / WHOLE * WHOLE;
}

// Calls function(image, tile row, number of its first tile) for some strips, counted through all images.
template <class Function>
void for_strips(const Conv3x3& call, int64_t first, int64_t last, int64_t origin, const Function& function) {
  for (int64_t strip = first; strip < last; ++strip)
    function(strip / call.tiles_y, strip % call.tiles_y, (strip - origin) * call.tiles_x);
}

// Spreads some channels of a strip, from planes [height, width] to matrices whose rows are tiles.
template <class T, int STEP, class A>
void spread_strip(int64_t tiles, Window window, const A* planes, A* buffer, A* matrices, int64_t row, int64_t step) {
  window.rows = T::IN, window.columns = STEP * tiles + T::IN - STEP;
  load_window(window, planes, buffer);
  for (int64_t tile = 0; tile < tiles; ++tile, matrices += row)
    transform<T, A>([&](int y, int x) { return at(buffer + (y * window.columns + STEP * tile + x) * NUM_LANES<A>); },
                    [&](int y, int x, Vec<A> value) { at(matrices + (y * T::OUT + x) * step) = value; });
}

// The inputs of some strips, or gradients of outputs, to their matrices.
template <class T, int STEP, int BORDER, class A>
void spread(const Conv3x3& call, const Side& side, int64_t first, int64_t last, int64_t origin, A* buffer) {
  for_strips(call, first, last, origin, [&](int64_t image, int64_t tile_row, int64_t tile) {
    for (int64_t channel = 0; channel < padded<A>(side.channels); channel += NUM_LANES<A>) {
      const int64_t present = std::clamp<int64_t>(side.channels - channel, 0, NUM_LANES<A>);
      const Window window{side.height, side.width, STEP * tile_row - BORDER, -BORDER, 0, 0, present};
      const A* planes = numbers<A>(side.images) + (image * side.channels + channel) * side.height * side.width;
      A* matrices = numbers<A>(side.matrices) + tile * side.row + channel;
      spread_strip<T, STEP>(call.tiles_x, window, planes, buffer, matrices, side.row, side.step);
    }
  });
}

// Gathers some channels of a strip. Where tiles overlap, by a pixel, what they hold is added; so is, later, the strip's
// last row, which goes to `seam` if another strip of the image follows.
template <class S, class A>
void gather_strip(const Conv3x3& call, int64_t strip, int64_t tile, int64_t channel, A* buffer) {
  using T = typename S::Out;
  constexpr int W = NUM_LANES<A>, STEP = S::OUT_STEP, OVERLAP = T::OUT - STEP;
  const Side& out = call.out;
  const int64_t tile_row = strip % call.tiles_y, columns = STEP * call.tiles_x + OVERLAP;
  const A* matrices = numbers<A>(out.matrices) + tile * out.row + channel;
  for (int64_t number = 0; number < call.tiles_x; ++number, matrices += out.row)
    transform<T, A>([&](int y, int x) { return at(matrices + (y * T::IN + x) * out.step); },
                    [&](int y, int x, Vec<A> value) {
                      A* place = buffer + (y * columns + STEP * number + x) * W;
                      at(place) = x < OVERLAP && number > 0 ? at(place) + value : value;
                    });
  Window window{out.height, out.width, STEP * tile_row, 0, T::OUT, columns, std::min<int64_t>(W, out.channels - channel)};
  A* images = numbers<A>(out.images) + (strip / call.tiles_y * out.channels + channel) * out.height * out.width;
  if (OVERLAP > 0 && tile_row + 1 < call.tiles_y) {
    window.rows = STEP;
    const Window row{1, out.width, 0, 0, 1, columns, window.channels};
    store_window(row, buffer + STEP * columns * W, numbers<A>(call.seam) + (strip * out.channels + channel) * out.width);
  }
  store_window(window, buffer, images);
}

template <class A>
std::unique_ptr<A[]> window_buffer(const Conv3x3& call) {
  constexpr int MOST = Stride2::Inputs::IN;  // rows, and columns beyond two sides a tile
  return std::unique_ptr<A[]>(new A[MOST * (2 * SIDE * call.tiles_x + MOST) * NUM_LANES<A>]);
}

// The factor of a product, which several may share.
template <class Axis>
constexpr int factor_of(int place) {
  const int y = place / Axis::PRODUCTS, x = place % Axis::PRODUCTS;
  return std::min(y, Axis::FACTORS - 1) * Axis::FACTORS + std::min(x, Axis::FACTORS - 1);
}

template <class S, class A>
void strips(const Conv3x3& call, int64_t first, int64_t last) {
  using Axis = typename S::Axis;
  const auto buffer = window_buffer<A>(call);
  const Side &in = call.in, &out = call.out;
  spread<typename S::In, S::IN_STEP, S::BORDER>(call, in, first, last, first, buffer.get());
  for (int place = 0; place < Axis::PRODUCTS * Axis::PRODUCTS; ++place) {
    const A* factors = numbers<A>(call.factors) + factor_of<Axis>(place) * call.factors_step;
    const Product<A> product{numbers<A>(in.matrices) + place * in.step, in.row, 1, factors, out.row, in.channels,
                             numbers<A>(out.matrices) + place * out.step, out.row};
    multiply<false>(product, (last - first) * call.tiles_x, padded<A>(out.channels));
  }
  for (int64_t strip = first; strip < last; ++strip)
    for (int64_t channel = 0; channel < out.channels; channel += NUM_LANES<A>)
      gather_strip<S>(call, strip, (strip - first) * call.tiles_x, channel, buffer.get());
}

// Adds the seams to the rows where they belong, the first of the strips behind them.
template <class S, class A>
void join(const Conv3x3& call, int64_t first, int64_t last) {
  const Side& out = call.out;
  for_strips(call, first, last, 0, [&](int64_t image, int64_t tile_row, int64_t) {
    if (tile_row + 1 == call.tiles_y) return;
    const A* seam = numbers<A>(call.seam) + (image * call.tiles_y + tile_row) * out.channels * out.width;
    for (int64_t channel = 0; channel < out.channels; ++channel, seam += out.width) {
      A* plane = numbers<A>(out.images) + (image * out.channels + channel) * out.height * out.width;
      A* row = plane + S::OUT_STEP * (tile_row + 1) * out.width;
      for (int64_t x = 0; x < out.width; ++x) row[x] += seam[x];
    }
  });
}

template <class S, class A>
void spread_both(const Conv3x3& call, int64_t first, int64_t last, int64_t origin) {
  using Axis = typename S::Axis;
  const auto buffer = window_buffer<A>(call);
  spread<typename S::In, S::IN_STEP, S::BORDER>(call, call.in, first, last, origin, buffer.get());
  spread<typename Axis::OutputsAdjoint, SIDE, 0>(call, call.out, first, last, origin, buffer.get());
}

// A piece of the factors' gradient, the inputs' matrices transposed times those of the outputs' gradient, or what is to
// be added to it; a piece is some rows of one factor. The longest come first.
template <class S, class A>
void correlate(const Conv3x3& call, int64_t piece, int64_t tiles, bool add) {
  using Axis = typename S::Axis;
  const Side &in = call.in, &out = call.out;
  const int64_t pieces = (in.channels + Conv3x3::PIECE - 1) / Conv3x3::PIECE;
  const int64_t factor = Axis::FACTORS * Axis::FACTORS - 1 - piece / pieces, row = piece % pieces * Conv3x3::PIECE;
  const int64_t rows = std::min(Conv3x3::PIECE, in.channels - row), columns = padded<A>(out.channels);
  for (int place = 0; place < Axis::PRODUCTS * Axis::PRODUCTS; ++place) {
    if (factor_of<Axis>(place) != factor) continue;
    const Product<A> product{numbers<A>(in.matrices) + place * in.step + row, 1, in.row,
                             numbers<A>(out.matrices) + place * out.step, out.row, tiles,
                             numbers<A>(call.factors) + factor * call.factors_step + row * out.row, out.row};
    add ? multiply<true>(product, rows, columns) : multiply<false>(product, rows, columns);
    add = true;
  }
}

template <class S, class A>
void weights(const Conv3x3& call, int64_t first, int64_t last) {
  using T = typename S::Axis::Taps;
  for (int64_t in = first; in < last; ++in)
    for (int64_t out = 0; out < padded<A>(call.out.channels); out += NUM_LANES<A>) {
      Vec<A> taps[9] = {};
      const int64_t lanes = std::clamp<int64_t>(call.out.channels - out, 0, NUM_LANES<A>);
      for (int64_t lane = 0; lane < lanes; ++lane) {
        const A* nine = numbers<A>(call.w) + in * call.w_in + (out + lane) * call.w_out;
        for (int tap = 0; tap < 9; ++tap) taps[tap][lane] = nine[call.flipped ? 8 - tap : tap];
      }
      A* factors = numbers<A>(call.factors) + in * call.out.row + out;
      transform<T, A>([&](int y, int x) { return taps[3 * y + x]; },
                      [&](int y, int x, Vec<A> value) { at(factors + (y * T::OUT + x) * call.factors_step) = value; });
    }
}

template <class S, class A>
void weights_adjoint(const Conv3x3& call, int64_t first, int64_t last) {
  using T = typename S::Axis::TapsAdjoint;
  for (int64_t in = first; in < last; ++in)
    for (int64_t out = 0; out < call.out.channels; out += NUM_LANES<A>) {
      const A* factors = numbers<A>(call.factors) + in * call.out.row + out;
      A* w = numbers<A>(call.w) + in * call.w_in + out * call.w_out;
      const int64_t lanes = std::min<int64_t>(NUM_LANES<A>, call.out.channels - out);
      transform<T, A>([&](int y, int x) { return at(factors + (y * T::IN + x) * call.factors_step); },
                      [&](int y, int x, Vec<A> value) {
                        for (int64_t lane = 0; lane < lanes; ++lane) w[lane * call.w_out + 3 * y + x] = value[lane];
                      });
    }
}

// Calls function(scheme, number) with objects of the types that `call` names.
template <class Function>
void with_scheme(const Conv3x3& call, const Function& function) {
  const auto typed = [&](auto number) {
    switch (call.scheme) {
      case Conv3x3::Scheme::same: return function(Same{}, number);
      case Conv3x3::Scheme::down: return function(Down{}, number);
      case Conv3x3::Scheme::up: return function(Up{}, number);
    }
  };
  call.type == Type::f64 ? typed(double{}) : typed(float{});
}

void conv3x3_weights(const Conv3x3& call, int64_t first, int64_t last) {
  with_scheme(call, [&](auto s, auto number) { weights<decltype(s), decltype(number)>(call, first, last); });
}
void conv3x3_weights_adjoint(const Conv3x3& call, int64_t first, int64_t last) {
  with_scheme(call, [&](auto s, auto number) { weights_adjoint<decltype(s), decltype(number)>(call, first, last); });
}
void conv3x3_strips(const Conv3x3& call, int64_t first, int64_t last) {
  with_scheme(call, [&](auto s, auto number) { strips<decltype(s), decltype(number)>(call, first, last); });
}
void conv3x3_join(const Conv3x3& call, int64_t first, int64_t last) {
  with_scheme(call, [&](auto s, auto number) { join<decltype(s), decltype(number)>(call, first, last); });
}
void conv3x3_spread(const Conv3x3& call, int64_t first, int64_t last, int64_t origin) {
  with_scheme(call, [&](auto s, auto number) { spread_both<decltype(s), decltype(number)>(call, first, last, origin); });
}
void conv3x3_correlate(const Conv3x3& call, int64_t piece, int64_t tiles, bool add) {
  with_scheme(call, [&](auto s, auto number) { correlate<decltype(s), decltype(number)>(call, piece, tiles, add); });
}

}  // namespace
}  // namespace ganaug
