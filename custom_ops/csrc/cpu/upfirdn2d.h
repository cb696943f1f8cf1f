// upfirdn2d row by row: the rows that an output row sees are combined into one, which is then filtered along x.
//
// The combined row lies in a buffer with the zeros of the padding on both sides and stays in the first cache, so every
// input is fetched and every output written once. Inserted zeros are never touched: an output sees each up-th tap only.
// Rows are combined several at a time: reading back at an odd offset what was stored just before would stall.
#pragma once
#include "combine.h"

namespace ganaug {
namespace {

// What an output sees along an axis: `count` inputs from `from` on, under the taps tap, tap + up, …
struct View {
  int64_t tap, from, count;
};

inline View view_of(const Axis& axis, int64_t output) {
  int64_t base = output * axis.down - axis.before, tap = base % axis.up;
  tap = tap > 0 ? axis.up - tap : -tap;
  return {tap, (base + tap) / axis.up, axis.most - (tap > axis.last)};
}

inline void advance(const Axis& axis, View& view) {
  for (view.tap -= axis.down; view.tap < 0; view.tap += axis.up) ++view.from;
  view.count = axis.most - (view.tap > axis.last);
}

// The inputs that the outputs see between them, padding included; `down` more, so that whole steps never read past it.
inline int64_t padded_size(const Axis& axis) {
  return view_of(axis, axis.out - 1).from + axis.most - view_of(axis, 0).from + axis.down;
}

inline int64_t common_factor(int64_t a, int64_t b) { return b == 0 ? a : common_factor(b, a % b); }

// The memory of one thread. Rows are in the type computed in.
template <class A>
struct Scratch {
  int64_t row, batch;  // the size of a padded row, and how many are combined at a time
  A *padded, *split;   // combined rows with their padding, and the same split by the stride
  A* kept;             // the last rows of a plane, padded, each twice: so that any `most` in a row lie in a row
  A *part, *out;       // rows of outputs
  int64_t size = 0;    // bytes

  Scratch(const UpFirDn2d& call, void* memory) : memory(reinterpret_cast<uintptr_t>(memory)) {
    row = padded_size(call.x) * call.channels;
    batch = row > 1024 ? 1 : row > 128 ? 2048 / row : 16;
    padded = take<A>(batch * row);
    split = take<A>(batch * row);
    kept = take<A>(2 * call.y.most * row);
    part = take<A>(call.x.out * call.channels);
    out = take<A>(call.x.out * call.channels);
  }

 private:
  uintptr_t memory;

  template <class Item>
  Item* take(int64_t count) {
    Item* items = reinterpret_cast<Item*>(memory + size);
    size += (count * int64_t(sizeof(Item)) + 63) / 64 * 64;
    return items;
  }
};

int64_t upfirdn2d_scratch(const UpFirDn2d& call) { return Scratch<double>(call, nullptr).size; }

template <class T>
class Filter {
  using A = Compute<T>;

 public:
  Filter(const UpFirDn2d& call, void* memory)
      : call(call),
        scratch(call, memory),
        channels(call.channels),
        out_size(call.x.out * channels),
        first(view_of(call.x, 0)),
        second(view_of(call.x, 1)),
        period(call.x.up / common_factor(call.x.up, call.x.down)),
        stride(call.x.down / common_factor(call.x.up, call.x.down)),
        splits(channels == 1 && stride > 1) {
    int64_t end = first.from + padded_size(call.x);
    end = end < call.x.in ? end : call.x.in;
    begin = first.from > 0 ? first.from : 0;
    inner = end > begin ? (end - begin) * channels : 0;
    margin = (begin - first.from) * channels;
    for (int64_t i = 0; i < scratch.size; ++i) static_cast<char*>(memory)[i] = 0;
  }

  void run(int64_t first_row, int64_t last_row) {
    for (int64_t r = first_row, next; r < last_row; r = next) {
      const int64_t plane = r / call.y.out, output = r % call.y.out, end = (plane + 1) * call.y.out;
      next = r + scratch.batch;
      next = next < end ? next : end;
      next = next < last_row ? next : last_row;
      if (output == 0) num_kept = 0;
      in = static_cast<const T*>(call.in) + plane * call.y.in * call.x.in * channels + begin * channels;
      if (call.fx)
        filter_by_factors(output, next - r, static_cast<T*>(call.out) + r * out_size);
      else
        filter(output, next - r, static_cast<T*>(call.out) + r * out_size);
    }
  }

 private:
  const UpFirDn2d& call;
  const Scratch<A> scratch;
  const int64_t channels, out_size;
  const View first, second;      // what the first two outputs of a row see
  const int64_t period, stride;  // outputs until the same taps come again, and inputs between these outputs
  const bool splits;             // whether padded rows are split by the stride before they are filtered
  int64_t begin, inner, margin;  // the first column needed; the size of all needed; the size of the zeros before them
  const T* in;                   // the plane, from the first column needed on
  int64_t num_kept = 0;          // rows of the plane of which the last are kept

  void filter_by_factors(int64_t output, int64_t count, T* out) {
    View view = view_of(call.y, output);
    A* row = scratch.padded + margin;
    for (int64_t i = 0; i < count; ++i, row += scratch.row, advance(call.y, view)) {
      const int64_t k = first_there(view), there = num_there(view, k);
      const A* fy = static_cast<const A*>(call.fy) + view.tap * call.y.most + k;
      if constexpr (same<T, A>)
        combine(in + (view.from + k) * call.x.in * channels, call.x.in * channels, fy, there, false, row, inner);
      else
        combine(keep(view.from + k, there, false) + margin, scratch.row, fy, there, false, row, inner);
    }
    for (int64_t i = 0; splits && i < count; ++i)
      split(scratch.padded + i * scratch.row, stride, scratch.split + i * scratch.row, scratch.row / stride);
    const A* rows = splits ? scratch.split : scratch.padded;
    for (int64_t i = 0; i < count; ++i, rows += scratch.row, out += out_size) {
      along_x(rows, static_cast<const A*>(call.fx), false, computed_in(out));
      store(out);
    }
  }

  // The same by a filter that is no product: every row has taps of its own along x.
  void filter(int64_t output, int64_t count, T* out) {
    View view = view_of(call.y, output);
    for (int64_t i = 0; i < count; ++i, out += out_size, advance(call.y, view)) {
      const int64_t k = first_there(view), there = num_there(view, k), f_step = call.x.up * call.x.most;
      const A* f = static_cast<const A*>(call.f) + (view.tap + k * call.y.up) * f_step;
      const A* rows = keep(view.from + k, there, splits);
      if (there <= 0) zero(computed_in(out), out_size);
      for (int64_t y = 0; y < there; ++y, f += call.y.up * f_step, rows += scratch.row)
        along_x(rows, f, y > 0, computed_in(out));
      store(out);
    }
  }

  // Of the rows that are seen, some may lie in the padding.
  int64_t first_there(const View& view) const { return view.from < 0 ? -view.from : 0; }
  int64_t num_there(const View& view, int64_t first) const {
    return (view.count < call.y.in - view.from ? view.count : call.y.in - view.from) - first;
  }

  // Where a row of outputs is computed, and what then brings it to its place.
  A* computed_in(A* out) { return out; }
  template <class Stored>
  A* computed_in(Stored*) {
    return scratch.out;
  }
  void store(T* out) {
    if constexpr (!same<T, A>) narrow(scratch.out, out, out_size);
  }

  // Copies of `count` rows in the type computed in, with zeros before and after, perhaps split; returns the first.
  const A* keep(int64_t from, int64_t count, bool splits) {
    if (count <= 0) return scratch.kept;
    for (int64_t y = from > num_kept ? from : num_kept; y < from + count; num_kept = ++y) {
      A* kept = scratch.kept + y % call.y.most * scratch.row;
      copy(in + y * call.x.in * channels, (splits ? scratch.padded : kept) + margin, inner);
      if (splits) split(scratch.padded, stride, kept, scratch.row / stride);
      copy(kept, kept + call.y.most * scratch.row, scratch.row);
    }
    return scratch.kept + from % call.y.most * scratch.row;
  }

  // Filters a padded row, split where that is to be, by taps in the order of `fx`.
  void along_x(const A* row, const A* f, bool add, A* out) {
    A* part = add ? scratch.part : out;
    if (period == 1 && stride == 1) {  // every output has the same taps
      combine(row, channels, f + first.tap * call.x.most, first.count, add, out, out_size);
    } else if (channels > 1) {
      pixel_by_pixel(row, f, add, out);
    } else if (!by_two<2>(row, f, part) && !by_two<6>(row, f, part)) {
      phase_by_phase(row, f, add, out);
    } else if (add) {
      for (int64_t x = 0; x < out_size; ++x) out[x] += part[x];
    }
  }

  void pixel_by_pixel(const A* row, const A* f, bool add, A* out) {
    View view = first;
    for (int64_t x = 0; x < call.x.out; ++x, out += channels, advance(call.x, view))
      combine(row + (view.from - first.from) * channels, channels, f + view.tap * call.x.most, view.count, add, out, channels);
  }

  // A factor of two and a filter of 2·N taps; returns whether this is such a case.
  template <int N>
  bool by_two(const A* row, const A* f, A* out) {
    const A *first_taps = f + first.tap * call.x.most, *second_taps = f + second.tap * call.x.most;
    if (period == 2 && stride == 1 && first.count == N && second.count == N) {
      expand_by_two(up_to<N>, row, first_taps, row + (second.from - first.from), second_taps, out, out_size);
      return true;
    }
    if (period == 1 && stride == 2 && first.count == 2 * N) {
      shrink_by_two(up_to<N>, row, row + scratch.row / 2, first_taps, out, out_size);
      return true;
    }
    return false;
  }

  // Any factors: outputs `period` apart are sums of parts of a split row.
  void phase_by_phase(const A* row, const A* f, bool add, A* out) {
    const int64_t length = scratch.row / stride;
    View view = first;
    for (int64_t phase = 0; phase < period && phase < out_size; ++phase, advance(call.x, view)) {
      const int64_t size = (out_size - phase - 1) / period + 1;
      zero(scratch.part, size);
      for (int64_t k = 0; k < view.count; ++k) {
        const int64_t column = view.from - first.from + k;
        const A* columns = row + column % stride * length + column / stride;
        combine(columns, 0, f + view.tap * call.x.most + k, 1, true, scratch.part, size);
      }
      for (int64_t i = 0; i < size; ++i) {
        A* target = out + i * period + phase;
        *target = add ? *target + scratch.part[i] : scratch.part[i];
      }
    }
  }
};

void upfirdn2d(const UpFirDn2d& call, int64_t first_row, int64_t last_row, void* memory) {
  with_type(call.type, [&](auto type) { Filter<decltype(type)>(call, memory).run(first_row, last_row); });
}

}  // namespace
}  // namespace ganaug
