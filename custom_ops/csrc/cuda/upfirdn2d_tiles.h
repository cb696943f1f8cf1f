// upfirdn2d where every channel has a plane of its own (NCHW). A block takes tiles: 2^log_x × 2^log_y patches of 2^log_z
// planes, the inputs of which it copies to shared memory as floats. Small images come many to a block.
#pragma once
#include "upfirdn2d.h"

namespace ganaug::cuda {

// Elements read at once. Two: the tile begins anywhere in a row, so that its columns are stored one by one, and longer
// vectors would bring more than two threads of a warp to one bank of shared memory.
constexpr int kPair = 2;

template <typename T>
struct Tiles {
  const T* x;
  T* out;
  const float* f;
  Sizes sizes;
  int planes, log_x, log_y, log_z;
  bool pairs;   // rows of x may be read by pairs
  bool direct;  // rows of out may be written by patches
  Divider<uint32_t> chunks, rows;  // of a tile of inputs: what is read at once in a row; rows in a plane
};

template <typename C>
GANAUG_HD constexpr int room_for_taps() {
  return (C::taps_x * C::taps_y + 3) / 4 * 4;  // what follows lies on 16 bytes
}

template <typename C>
GANAUG_HD int tile_width(int log_x) {
  return ((1 << log_x) - 1) * C::step_x + C::read_x;
}

template <typename C>
GANAUG_HD int tile_height(int log_y) {
  return ((1 << log_y) - 1) * C::step_y + C::seen_y;
}

// A thread of a block that is at a tile of a group of planes.
struct Place {
  int tile_x, tile_y, group, thread, threads;
};

// Of the thread's patch within its tile, counted in patches and planes.
template <typename T>
struct Patch {
  int x, y, z;

  GANAUG_HD Patch(const Tiles<T>& call, int thread)
      : x(thread & ((1 << call.log_x) - 1)),
        y((thread >> call.log_x) & ((1 << call.log_y) - 1)),
        z(thread >> (call.log_x + call.log_y)) {}
};

// The first input of a tile; exact, as a tile begins where the first tap meets an input.
template <typename C, typename T>
GANAUG_HD int first_column(const Tiles<T>& call, int tile) {
  return ((tile << call.log_x) * C::patch_x * C::down_x - call.sizes.left) / C::up_x;
}

template <typename C, typename T>
GANAUG_HD int first_row(const Tiles<T>& call, int tile) {
  return ((tile << call.log_y) * C::patch_y * C::down_y - call.sizes.top) / C::up_y;
}

// The tiles that cover all planes. A tile follows the image's shape; threads left over take further planes, as far as
// shared memory goes.
template <typename C, typename T>
struct Tiling {
  int log_x = 0, log_y = 0, log_z = 0;
  int64_t across, down, groups;

  Tiling(int64_t out_height, int64_t out_width, int64_t planes, int log_threads, int64_t shared_bytes) {
    while (log_x < 4 && (C::patch_x << log_x) < out_width) ++log_x;
    while (log_x + log_y < log_threads && (C::patch_y << log_y) < out_height) ++log_y;
    while (log_x + log_y + log_z < log_threads && (int64_t(1) << log_z) < planes) ++log_z;
    while (bytes() > shared_bytes) --(log_z > 0 ? log_z : log_y);
    across = (out_width + (C::patch_x << log_x) - 1) / (C::patch_x << log_x);
    down = (out_height + (C::patch_y << log_y) - 1) / (C::patch_y << log_y);
    groups = (planes + (int64_t(1) << log_z) - 1) >> log_z;
  }

  int threads() const { return 1 << (log_x + log_y + log_z); }

  // Of shared memory: the taps, then the tile's inputs or later its outputs.
  int64_t bytes() const {
    const int64_t inputs = int64_t(tile_width<C>(log_x) * tile_height<C>(log_y)) << log_z;
    const int64_t outputs = int64_t(C::patch_x * C::patch_y) << (log_x + log_y + log_z);
    return int64_t(sizeof(float)) * (room_for_taps<C>() + (inputs > outputs ? inputs : outputs));
  }

  Tiles<T> tiles(const T* x, T* out, const float* f, const Sizes& sizes, int planes, bool pairs, bool direct) const {
    const Divider<uint32_t> chunks(pairs ? tile_width<C>(log_x) / kPair + 1 : tile_width<C>(log_x));
    const Divider<uint32_t> rows(tile_height<C>(log_y));
    return {x, out, f, sizes, planes, log_x, log_y, log_z, pairs, direct, chunks, rows};
  }
};

// The thread's part in copying a tile's inputs, with zeros beyond the image. `batch` reads are under way at once.
template <typename C, int chunk, typename T>
GANAUG_HD void read_tile(const Tiles<T>& call, float* tile, const Place& at) {
  constexpr int batch = 4;
  const Sizes& s = call.sizes;
  const int width = tile_width<C>(call.log_x);
  const int column = first_column<C>(call, at.tile_x), row = first_row<C>(call, at.tile_y);
  const int shift = column & (chunk - 1);  // back to where a chunk begins
  const int total = int(call.chunks.divisor * call.rows.divisor) << call.log_z;
  for (int start = at.thread; start < total; start += batch * at.threads) {
    Vec<T, chunk> values[batch] = {};
    int to_row[batch], to_column[batch];
    GANAUG_UNROLL for (int i = 0; i < batch; ++i) {
      const uint32_t e = start + i * at.threads, r = call.chunks.quotient(e), z = call.rows.quotient(r);
      to_row[i] = int(r);
      to_column[i] = int(e - r * call.chunks.divisor) * chunk - shift;
      const int x = column + to_column[i], y = row + int(r - z * call.rows.divisor);
      const int plane = (at.group << call.log_z) + int(z);
      const bool inside = unsigned(x) < unsigned(s.in_width) && unsigned(y) < unsigned(s.in_height);
      if (inside && plane < call.planes && int(e) < total) {
        values[i] = load<chunk>(call.x + int64_t(plane) * s.in_height * s.in_width + (y * s.in_width + x));
      }
    }
    GANAUG_UNROLL for (int i = 0; i < batch; ++i) {
      if (start + i * at.threads >= total) break;
      GANAUG_UNROLL for (int k = 0; k < chunk; ++k) {
        const int c = to_column[i] + k;
        if (chunk > 1 && unsigned(c) >= unsigned(width)) continue;
        tile[to_row[i] * width + c] = Number<T>::widen(values[i].at[k]);
      }
    }
  }
}

template <typename C>
using Sums = float[C::patch_y][C::patch_x][1];

// The thread's patch, from the tile in shared memory.
template <typename C, typename T>
GANAUG_HD void filter_tile(const Tiles<T>& call, const float* tile, const float* f, const Place& at, Sums<C>& sums) {
  const Patch<T> patch(call, at.thread);
  const int width = tile_width<C>(call.log_x);
  const float* corner = tile + (patch.z * int(call.rows.divisor) + patch.y * C::step_y) * width + patch.x * C::step_x;
  float taps[C::taps_y][C::taps_x];
  GANAUG_UNROLL for (int ky = 0; ky < C::taps_y; ++ky) {
    GANAUG_UNROLL for (int kx = 0; kx < C::taps_x; ++kx) taps[ky][kx] = f[ky * C::taps_x + kx] * call.sizes.gain;
  }
  GANAUG_UNROLL for (int oy = 0; oy < C::patch_y; ++oy) {
    GANAUG_UNROLL for (int ox = 0; ox < C::patch_x; ++ox) sums[oy][ox][0] = 0;
  }
  correlate<C>(sums, taps, [&](int j, float(&row)[C::read_x][1]) {
    GANAUG_UNROLL for (int i = 0; i < C::read_x; i += C::step_x) {
      Vec<float, C::step_x> values = load<C::step_x>(corner + j * width + i);
      GANAUG_UNROLL for (int k = 0; k < C::step_x; ++k) row[i + k][0] = values.at[k];
    }
  });
}

// The thread's patch, straight to memory: the rows begin and end on patches.
template <typename C, typename T>
GANAUG_HD void write_patch(const Tiles<T>& call, const Sums<C>& sums, const Place& at) {
  const Sizes& s = call.sizes;
  const Patch<T> patch(call, at.thread);
  const int x = ((at.tile_x << call.log_x) + patch.x) * C::patch_x;
  const int y = ((at.tile_y << call.log_y) + patch.y) * C::patch_y, plane = (at.group << call.log_z) + patch.z;
  if (x >= s.out_width || plane >= call.planes) return;
  T* to = call.out + int64_t(plane) * s.out_height * s.out_width + x;
  GANAUG_UNROLL for (int oy = 0; oy < C::patch_y; ++oy) {
    if (y + oy >= s.out_height) return;
    Vec<T, C::patch_x> values;
    GANAUG_UNROLL for (int ox = 0; ox < C::patch_x; ++ox) values.at[ox] = Number<T>::narrow(sums[oy][ox][0]);
    store<C::patch_x>(to + (y + oy) * s.out_width, values);
  }
}

// Where they do not, patches written by their threads would reach memory in pieces. So they go back to shared memory,
template <typename C, typename T>
GANAUG_HD void stage_patch(const Tiles<T>& call, float* staged, const Sums<C>& sums, const Place& at) {
  const int x = Patch<T>(call, at.thread).x * C::patch_x, width = C::patch_x << call.log_x;
  GANAUG_UNROLL for (int oy = 0; oy < C::patch_y; ++oy) {
    Vec<float, C::patch_x> values;
    GANAUG_UNROLL for (int ox = 0; ox < C::patch_x; ++ox) values.at[ox] = sums[oy][ox][0];
    store<C::patch_x>(staged + ((at.thread >> call.log_x) * C::patch_y + oy) * width + x, values);
  }
}

// and from there neighbouring threads write neighbours.
template <typename C, typename T>
GANAUG_HD void write_staged(const Tiles<T>& call, const float* staged, const Place& at) {
  const Sizes& s = call.sizes;
  const int width = C::patch_x << call.log_x, height = C::patch_y << call.log_y;  // powers of two
  for (int e = at.thread; e < (width * height) << call.log_z; e += at.threads) {
    const int r = e / C::patch_x >> call.log_x, z = r / C::patch_y >> call.log_y;
    const int x = at.tile_x * width + (e & (width - 1)), y = at.tile_y * height + (r & (height - 1));
    const int plane = (at.group << call.log_z) + z;
    if (x < s.out_width && y < s.out_height && plane < call.planes) {
      call.out[(int64_t(plane) * s.out_height + y) * s.out_width + x] = Number<T>::narrow(staged[e]);
    }
  }
}

}  // namespace ganaug::cuda
