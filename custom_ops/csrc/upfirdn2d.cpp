// upfirdn2d on the CPU: checks, layouts and threads; the loops are in cpu/.
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "cpu/support.h"

namespace ganaug {
namespace {

using at::Tensor;

Axis axis_of(int64_t in, int64_t up, int64_t down, int64_t before, int64_t after, int64_t taps) {
  TORCH_CHECK_VALUE(up >= 1 && down >= 1, "up is ", up, ", down ", down, "; expected whole numbers from 1 up");
  int64_t size = in * up + before + after - taps;
  TORCH_CHECK_VALUE(size >= 0, "the padded size is ", size + taps, "; expected at least the filter's ", taps, " taps");
  return {in, size / down + 1, up, down, before, taps, (taps - 1) / up + 1, (taps - 1) % up};
}

// f · gain and, where f is an outer product, its factors fy · gain and fx, in the type computed in.
template <class A>
struct Taps {
  std::vector<A> f, fy, fx;

  Taps(const Tensor& f32, double gain, const Axis& x_axis, const Axis& y_axis) {
    const int64_t height = y_axis.taps, width = x_axis.taps;
    const float* taps = f32.const_data_ptr<float>();
    auto tap = [&](int64_t y, int64_t x) { return double(taps[y * width + x]); };
    for (int64_t y = 0; y < height; ++y) append(f, x_axis, [&](int64_t x) { return tap(y, x) * gain; });
    const int64_t pivot = std::find_if(taps, taps + height * width, [](float value) { return value != 0; }) - taps;
    if (pivot == height * width) return;
    const int64_t row = pivot / width, column = pivot % width;
    for (int64_t y = 0; y < height; ++y)  // products of two floats are exact in double
      for (int64_t x = 0; x < width; ++x)
        if (tap(y, x) * tap(row, column) != tap(y, column) * tap(row, x)) return;
    append(fy, y_axis, [&](int64_t y) { return tap(y, column) * gain; });
    append(fx, x_axis, [&](int64_t x) { return tap(row, x) / tap(row, column); });
  }

  template <class Tap>
  static void append(std::vector<A>& taps, const Axis& axis, const Tap& tap) {
    for (int64_t first = 0; first < axis.up; ++first)
      for (int64_t k = 0; k < axis.most; ++k)
        taps.push_back(first + k * axis.up < axis.taps ? A(tap(first + k * axis.up)) : A(0));
  }
};

template <class A>
void run(UpFirDn2d& call, const Tensor& f, double gain) {
  const Taps<A> taps(f, gain, call.x, call.y);
  call.f = taps.f.data();
  if (!taps.fx.empty()) call.fx = taps.fx.data(), call.fy = taps.fy.data();
  const Kernels& chosen = kernels();
  const int64_t scratch_size = chosen.upfirdn2d_scratch(call), row_size = call.x.out * call.channels;
  const int64_t grain = std::max<int64_t>(1, 16384 / row_size);
  at::parallel_for(0, call.planes * call.y.out, grain, [&](int64_t first, int64_t last) {
    const std::unique_ptr<char[]> scratch(new char[scratch_size]);
    chosen.upfirdn2d(call, first, last, scratch.get());
  });
}

Tensor upfirdn2d(const Tensor& any_x, const Tensor& f, at::IntArrayRef up, at::IntArrayRef down, at::IntArrayRef pads,
                 double gain) {
  TORCH_CHECK_VALUE(any_x.dim() == 4, "x has ", any_x.dim(), " dimensions; expected 4");
  TORCH_CHECK_VALUE(f.dim() == 2 && f.numel() > 0, "f has shape ", f.sizes(), "; expected [height, width], not empty");
  TORCH_CHECK_TYPE(f.scalar_type() == at::kFloat, "f is ", f.scalar_type(), "; expected float32");
  TORCH_CHECK_VALUE(up.size() == 2 && down.size() == 2 && pads.size() == 4, "up, down and pads are lists of ", up.size(),
                    ", ", down.size(), " and ", pads.size(), " numbers; expected 2, 2 and 4");
  const Tensor x = dense(any_x);
  const auto layout = x.suggest_memory_format();
  const bool channels_last = layout == at::MemoryFormat::ChannelsLast;
  UpFirDn2d call{};
  call.type = type_of(x);
  call.planes = channels_last ? x.size(0) : x.size(0) * x.size(1);
  call.channels = channels_last ? x.size(1) : 1;
  call.x = axis_of(x.size(3), up[0], down[0], pads[0], pads[1], f.size(1));
  call.y = axis_of(x.size(2), up[1], down[1], pads[2], pads[3], f.size(0));
  Tensor out = at::empty({x.size(0), x.size(1), call.y.out, call.x.out}, x.options().memory_format(layout));
  if (out.numel() == 0) return out;
  call.in = x.const_data_ptr();
  call.out = out.data_ptr();
  const Tensor taps = f.contiguous();
  call.type == Type::f64 ? run<double>(call, taps, gain) : run<float>(call, taps, gain);
  return out;
}

TORCH_LIBRARY_IMPL(ganaug, CPU, m) { m.impl("upfirdn2d", upfirdn2d); }

}  // namespace
}  // namespace ganaug
