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

inline View view_at(const Axis& axis, int64_t tap, int64_t from) {
  return {tap, from, axis.most - (tap > axis.taps - 1 - (axis.most - 1) * axis.up)};
}

inline View view_of(const Axis& axis, int64_t output) {
  int64_t base = output * axis.down - axis.before, tap = base % axis.up;
  tap = tap > 0 ? axis.up - tap : -tap;
  return view_at(axis, tap, (base + tap) / axis.up);
}

inline View next_view(const Axis& axis, View view) {
  for (view.tap -= axis.down; view.tap < 0; view.tap += axis.up) ++view.from;
  return view_at(axis, view.tap, view.from);
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
  const A** list;      // rows to combine
  A *padded, *split;   // combined rows with their padding, and the same split by the stride
  A* kept;             // the last rows of a plane, padded
  A *part, *out;       // rows of outputs
  int64_t size = 0;    // bytes

  Scratch(const UpFirDn2d& call, void* memory) : memory(reinterpret_cast<uintptr_t>(memory)) {
    row = padded_size(call.x) * call.channels;
    batch = row > 1024 ? 1 : row > 128 ? 2048 / row : 16;
    list = take<const A*>(call.x.most > call.y.most ? call.x.most : call.y.most);
    padded = take<A>(batch * row);
    split = take<A>(batch * row);
    kept = take<A>(call.y.most * row);
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
        second(next_view(call.x, first)),
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
    A* row = scratch.padded;
    for (int64_t i = 0; i < count; ++i, row += scratch.row, view = next_view(call.y, view)) {
      const int64_t k = first_there(view), end = end_there(view);
      same<T, A> ? list_rows(view.from, k, end) : list_copies(view.from, k, end, margin, false);
      combine(scratch.list, static_cast<const A*>(call.fy) + view.tap * call.y.most + k, end - k, false, row + margin, inner);
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
    for (int64_t i = 0; i < count; ++i, out += out_size, view = next_view(call.y, view)) {
      const int64_t k = first_there(view), end = end_there(view), f_step = call.x.up * call.x.most;
      const A* f = static_cast<const A*>(call.f) + (view.tap + k * call.y.up) * f_step;
      if (k >= end) zero(computed_in(out), out_size);
      for (int64_t y = k; y < end; ++y, f += call.y.up * f_step) {
        list_copies(view.from, y, end, 0, splits);
        along_x(*scratch.list, f, y > k, computed_in(out));
      }
      store(out);
    }
  }

  // Of the rows that are seen, some may lie in the padding.
  int64_t first_there(const View& view) const { return view.from < 0 ? -view.from : 0; }
  int64_t end_there(const View& view) const {
    return view.count < call.y.in - view.from ? view.count : call.y.in - view.from;
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

  void list_rows(int64_t from, int64_t k, int64_t end) {
    if constexpr (same<T, A>)
      for (int64_t i = 0; i < end - k; ++i) scratch.list[i] = in + (from + k + i) * call.x.in * channels;
  }

  // Lists copies in the type computed in, `offset` into a row with zeros before and after, perhaps split.
  void list_copies(int64_t from, int64_t k, int64_t end, int64_t offset, bool splits) {
    if (k >= end) return;
    for (int64_t y = from + k > num_kept ? from + k : num_kept; y < from + end; num_kept = ++y) {
      A* kept = scratch.kept + y % call.y.most * scratch.row;
      copy(in + y * call.x.in * channels, (splits ? scratch.padded : kept) + margin, inner);
      if (splits) split(scratch.padded, stride, kept, scratch.row / stride);
    }
    int64_t place = (from + k) % call.y.most;
    for (int64_t i = 0; i < end - k; ++i, place = place + 1 < call.y.most ? place + 1 : 0)
      scratch.list[i] = scratch.kept + place * scratch.row + offset;
  }

  // Filters a padded row, split where that is to be, by taps in the order of `fx`.
  void along_x(const A* row, const A* f, bool add, A* out) {
    A* part = add ? scratch.part : out;
    if (channels > 1 || (period == 1 && stride == 1)) {
      pixel_by_pixel(row, f, add, out);
    } else if (!expand<2>(row, f, part) && !expand<6>(row, f, part)) {
      phase_by_phase(row, f, add, out);
    } else if (add) {
      for (int64_t x = 0; x < out_size; ++x) out[x] += part[x];
    }
  }

  // Where all channels of a pixel lie together; or, where each output has the same taps, all outputs.
  void pixel_by_pixel(const A* row, const A* f, bool add, A* out) {
    const int64_t pixels = period == 1 && stride == 1 ? call.x.out : 1;
    View view = first;
    for (int64_t x = 0; x < call.x.out; x += pixels, view = next_view(call.x, view)) {
      for (int64_t k = 0; k < view.count; ++k) scratch.list[k] = row + (view.from - first.from + k) * channels;
      combine(scratch.list, f + view.tap * call.x.most, view.count, add, out + x * channels, pixels * channels);
    }
  }

  // Two outputs an input under a filter of 2·N taps; returns whether this is such a case.
  template <int N>
  bool expand(const A* row, const A* f, A* out) {
    if (period != 2 || stride != 1 || first.count != N || second.count != N) return false;
    expand_by_two(up_to<N>, row, f + first.tap * N, row + (second.from - first.from), f + second.tap * N, out, out_size);
    return true;
  }

  // Any factors: outputs `period` apart are sums of parts of a split row.
  void phase_by_phase(const A* row, const A* f, bool add, A* out) {
    const int64_t length = scratch.row / stride;
    View view = first;
    for (int64_t phase = 0; phase < period && phase < out_size; ++phase, view = next_view(call.x, view)) {
      const int64_t size = (out_size - phase - 1) / period + 1, column = view.from - first.from;
      int64_t residue = column % stride, place = column / stride;
      for (int64_t k = 0; k < view.count; ++k) {
        scratch.list[k] = row + residue * length + place;
        if (++residue == stride) residue = 0, ++place;
      }
      A* sums = period == 1 ? out : scratch.part;
      combine(scratch.list, f + view.tap * call.x.most, view.count, add && period == 1, sums, size);
      for (int64_t i = 0; period > 1 && i < size; ++i) {
        A* target = out + i * period + phase;
        *target = add ? *target + sums[i] : sums[i];
      }
    }
  }
};

void upfirdn2d(const UpFirDn2d& call, int64_t first_row, int64_t last_row, void* memory) {
  with_type(call.type, [&](auto type) { Filter<decltype(type)>(call, memory).run(first_row, last_row); });
}

}  // namespace
}  // namespace ganaug
