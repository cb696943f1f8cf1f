// Windows of several channels' planes, transposed so that the channels of a pixel are one register.
#pragma once
#include <algorithm>

#include "combine.h"
#include "vec.h"

namespace ganaug {
namespace {

struct Window {
  int64_t height, width;             // of a plane
  int64_t top, left, rows, columns;  // of the window, which may reach beyond it
  int64_t channels;                  // at most as many as a register holds
};

// What lies beyond the plane, or beyond the channels, is zero.
template <class A>
void load_window(const Window& window, const A* planes, A* out) {
  constexpr int W = NUM_LANES<A>;
  const int64_t plane = window.height * window.width;
  const int64_t from = std::max<int64_t>(-window.left, 0), to = std::min(window.columns, window.width - window.left);
  for (int64_t row = 0; row < window.rows; ++row, out += window.columns * W) {
    const int64_t y = window.top + row;
    const bool within = y >= 0 && y < window.height;
    if (!within || window.channels < W || from > 0 || to < window.columns) zero(out, window.columns * W);
    if (!within) continue;
    const A* in = planes + y * window.width + window.left;
    if (window.channels == W)  // a constant, by which the compiler unrolls
      for (int64_t x = from; x < to; ++x)
        for (int lane = 0; lane < W; ++lane) out[x * W + lane] = in[lane * plane + x];
    else
      for (int64_t x = from; x < to; ++x)
        for (int64_t lane = 0; lane < window.channels; ++lane) out[x * W + lane] = in[lane * plane + x];
  }
}

// Back to the planes, as far as the window lies in them; its left must.
template <class A>
void store_window(const Window& window, const A* in, A* planes) {
  constexpr int W = NUM_LANES<A>;
  const int64_t plane = window.height * window.width;
  const int64_t rows = std::min(window.rows, window.height - window.top);
  const int64_t columns = std::min(window.columns, window.width - window.left);
  for (int64_t row = 0; row < rows; ++row, in += window.columns * W) {
    A* out = planes + (window.top + row) * window.width + window.left;
    for (int64_t lane = 0; lane < window.channels; ++lane)
      for (int64_t x = 0; x < columns; ++x) out[lane * plane + x] = in[x * W + lane];
  }
}

}  // namespace
}  // namespace ganaug
