// upfirdn2d, one thread at a time: what its kernels share, and all of them but the tiles. Along an axis with factors up
// and down, output o sees the tap k at the input (o·down − before + k) / up, where that is whole: the zeros between the
// inputs are never multiplied.
#pragma once
#include "portable.h"

namespace ganaug::cuda {

// A shape of filter and factors that the compiler knows. A thread computes a patch of patch_x × patch_y outputs that
// begins where the first tap meets an input, so that which taps meet which inputs is known as well; this asks for
// left % up_x == 0 and top % up_y == 0, and patches that are multiples of up.
template <int up_x_, int up_y_, int down_x_, int down_y_, int taps_x_, int taps_y_, int patch_x_, int patch_y_>
struct Case {
  static constexpr int up_x = up_x_, up_y = up_y_, down_x = down_x_, down_y = down_y_;
  static constexpr int taps_x = taps_x_, taps_y = taps_y_, patch_x = patch_x_, patch_y = patch_y_;
  // Inputs that a patch sees, and inputs from one patch to the next.
  static constexpr int seen_x = ((patch_x - 1) * down_x + taps_x - 1) / up_x + 1, step_x = patch_x * down_x / up_x;
  static constexpr int seen_y = ((patch_y - 1) * down_y + taps_y - 1) / up_y + 1, step_y = patch_y * down_y / up_y;
  static constexpr int read_x = (seen_x + step_x - 1) / step_x * step_x;  // a row is read in vectors of step_x
  static_assert(patch_x % up_x == 0 && patch_y % up_y == 0);
};

// Adds up a patch, each element `width` channels wide. load_row(j, row) gives the j-th row of the inputs that it sees.
template <typename C, int width, typename LoadRow>
GANAUG_HD void correlate(float (&sums)[C::patch_y][C::patch_x][width], const float (&taps)[C::taps_y][C::taps_x],
                         const LoadRow& load_row) {
  GANAUG_UNROLL for (int j = 0; j < C::seen_y; ++j) {
    float row[C::read_x][width];
    load_row(j, row);
    GANAUG_UNROLL for (int oy = 0; oy < C::patch_y; ++oy) {
      const int ky = j * C::up_y - oy * C::down_y;
      if (ky < 0 || ky >= C::taps_y) continue;
      GANAUG_UNROLL for (int ox = 0; ox < C::patch_x; ++ox) {
        GANAUG_UNROLL for (int i = 0; i < C::seen_x; ++i) {
          const int kx = i * C::up_x - ox * C::down_x;
          if (kx < 0 || kx >= C::taps_x) continue;
          GANAUG_UNROLL for (int k = 0; k < width; ++k) sums[oy][ox][k] += taps[ky][kx] * row[i][k];
        }
      }
    }
  }
}

struct Sizes {
  int in_height, in_width, out_height, out_width, left, top;
  float gain;
};

// ---- Channels next to each other (NHWC). A thread takes four channels of a patch, its neighbours the next four; what
// patches share comes from the first cache.

constexpr int kChannels = 4;

template <typename T>
struct Pixels {
  const T* x;
  T* out;
  const float* f;
  Sizes sizes;
  int channels;
  Divider<uint32_t> vectors;  // channels / kChannels
};

// `index` counts vectors of channels, then patches in a row.
template <typename C, typename T>
GANAUG_HD void filter_pixels(const Pixels<T>& call, uint32_t index, int patch_row, int image) {
  const Sizes& s = call.sizes;
  const int patch = int(call.vectors.quotient(index)), channel = int(call.vectors.remainder(index)) * kChannels;
  const int out_x = patch * C::patch_x, out_y = patch_row * C::patch_y;
  if (out_x >= s.out_width || out_y >= s.out_height) return;
  const int column = (out_x * C::down_x - s.left) / C::up_x, first_y = (out_y * C::down_y - s.top) / C::up_y;
  const T* from = call.x + int64_t(image) * s.in_height * s.in_width * call.channels + channel;
  float taps[C::taps_y][C::taps_x], sums[C::patch_y][C::patch_x][kChannels] = {};
  GANAUG_UNROLL for (int ky = 0; ky < C::taps_y; ++ky) {
    GANAUG_UNROLL for (int kx = 0; kx < C::taps_x; ++kx) taps[ky][kx] = call.f[ky * C::taps_x + kx] * s.gain;
  }
  correlate<C>(sums, taps, [&](int j, float(&row)[C::read_x][kChannels]) {
    const bool row_inside = unsigned(first_y + j) < unsigned(s.in_height);
    GANAUG_UNROLL for (int i = 0; i < C::seen_x; ++i) {
      Vec<T, kChannels> values = {};
      if (row_inside && unsigned(column + i) < unsigned(s.in_width)) {
        values = load<kChannels>(from + ((first_y + j) * s.in_width + column + i) * call.channels);
      }
      GANAUG_UNROLL for (int k = 0; k < kChannels; ++k) row[i][k] = Number<T>::widen(values.at[k]);
    }
  });
  T* to = call.out + int64_t(image) * s.out_height * s.out_width * call.channels + channel;
  GANAUG_UNROLL for (int oy = 0; oy < C::patch_y; ++oy) {
    GANAUG_UNROLL for (int ox = 0; ox < C::patch_x; ++ox) {
      if (out_y + oy >= s.out_height || out_x + ox >= s.out_width) continue;
      Vec<T, kChannels> values;
      GANAUG_UNROLL for (int k = 0; k < kChannels; ++k) values.at[k] = Number<T>::narrow(sums[oy][ox][k]);
      store<kChannels>(to + ((out_y + oy) * s.out_width + out_x + ox) * call.channels, values);
    }
  }
}

// ---- Everything else, one output a thread.

template <typename Index>
struct Axis {
  Index in, out, up, down, before, taps;

  // The first tap that meets an input at this output, and that input, which may lie outside.
  GANAUG_HD void begin(Index output, Index& tap, Index& input) const {
    const Index at = output * down - before, whole = at / up, rest = at - whole * up;
    input = rest > 0 ? whole + 1 : whole;
    tap = input * up - at;
  }
};

template <typename T, typename Index>
struct General {
  const T* x;
  T* out;
  const float* f;
  Axis<Index> x_axis, y_axis;
  Index channels;
  bool channels_last;
  double gain;
};

// `i` counts the outputs as they lie in memory.
template <typename T, typename Index>
GANAUG_HD void filter_one(const General<T, Index>& call, Index i) {
  const Axis<Index>&ax = call.x_axis, &ay = call.y_axis;
  const Index fastest = call.channels_last ? call.channels : 1;
  const Index channel = i % fastest, pixel = i / fastest, ox = pixel % ax.out, oy = pixel / ax.out % ay.out;
  const Index plane = pixel / ax.out / ay.out;
  const T* from = call.x + (plane * ay.in * ax.in) * fastest + channel;
  Index ky, kx_first, iy, ix_first;
  ay.begin(oy, ky, iy);
  ax.begin(ox, kx_first, ix_first);
  Compute<T> sum = 0;
  for (; ky < ay.taps; ky += ay.up, ++iy) {
    if (iy < 0 || iy >= ay.in) continue;
    for (Index kx = kx_first, ix = ix_first; kx < ax.taps; kx += ax.up, ++ix) {
      if (ix < 0 || ix >= ax.in) continue;
      sum += call.f[ky * ax.taps + kx] * Number<T>::widen(from[(iy * ax.in + ix) * fastest]);
    }
  }
  call.out[i] = Number<T>::narrow(sum * Compute<T>(call.gain));
}

}  // namespace ganaug::cuda
