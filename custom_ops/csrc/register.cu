// PyTorch's side of the CUDA operators: checks, layouts, streams. Host code only, which the passes for devices skip:
// PyTorch's headers would be read once for every architecture.
#ifndef __CUDA_ARCH__
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include <optional>
#include <tuple>

#include "cuda/launch.h"

namespace ganaug::cuda {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

Type type_of(const Tensor& x) {
  switch (x.scalar_type()) {
    case at::kDouble: return Type::f64;
    case at::kFloat: return Type::f32;
    case at::kHalf: return Type::f16;
    case at::kBFloat16: return Type::bf16;
    default: TORCH_CHECK_TYPE(false, "x is ", x.scalar_type(), "; expected float64, float32, float16 or bfloat16");
  }
}

// x itself where it is dense in the layout that it suggests, else a copy that is.
Tensor dense(const Tensor& x) { return x.contiguous(x.suggest_memory_format()); }

Tensor in_layout_of(const Tensor& x, const Tensor& y) {
  TORCH_CHECK_VALUE(x.sizes() == y.sizes(), "y has shape ", y.sizes(), "; expected ", x.sizes());
  TORCH_CHECK_TYPE(x.scalar_type() == y.scalar_type(), "y is ", y.scalar_type(), "; expected ", x.scalar_type());
  TORCH_CHECK_VALUE(x.device() == y.device(), "y is on ", y.device(), "; expected ", x.device());
  return y.contiguous(x.suggest_memory_format());
}

// x is dense, so that the channels' stride is what lies within one; where there is one channel, that is all of x.
BiasActCall call_of(BiasActOp op, const Tensor& x, Tensor& out, int64_t dim, bool has_bias, int64_t act, double alpha,
                    double gain, double clamp) {
  TORCH_CHECK_VALUE(0 <= act && act <= 8, "act is ", act, "; expected 0 to 8");
  BiasActCall call{type_of(x), op, x.numel(), 1, 1, int(act), alpha, gain, clamp};
  if (has_bias) {
    call.channels = x.size(dim);
    call.inner = call.channels == 1 ? x.numel() : x.stride(dim);
  }
  call.x = x.const_data_ptr();
  call.out = out.mutable_data_ptr();
  return call;
}

Tensor checked_bias(const OptionalTensor& b, const Tensor& x, int64_t dim) {
  if (!b) return {};
  TORCH_CHECK_VALUE(b->dim() == 1 && b->size(0) == x.size(dim), "b has shape ", b->sizes(), "; expected [",
                    x.size(dim), "]");
  TORCH_CHECK_TYPE(b->scalar_type() == x.scalar_type(), "b is ", b->scalar_type(), "; expected ", x.scalar_type());
  TORCH_CHECK_VALUE(b->device() == x.device(), "b is on ", b->device(), "; expected ", x.device());
  return b->contiguous();
}

void launch_on(const Tensor& x, const BiasActCall& call) {
  if (call.size == 0) return;
  launch(call, c10::cuda::getCurrentCUDAStream(x.device().index()));
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

Tensor bias_act(const Tensor& any_x, const OptionalTensor& any_b, int64_t dim, int64_t act, double alpha, double gain,
                double clamp) {
  const c10::cuda::CUDAGuard guard(any_x.device());
  Tensor x = dense(any_x), b = checked_bias(any_b, x, dim), out = at::empty_like(x);
  BiasActCall call = call_of(BiasActOp::forward, x, out, dim, b.defined(), act, alpha, gain, clamp);
  if (b.defined()) call.b = b.const_data_ptr();
  launch_on(x, call);
  return out;
}

Tensor bias_act_slope(const Tensor& any_x, const OptionalTensor& any_b, const Tensor& any_y, int64_t dim, int64_t act,
                      double alpha, double gain, double clamp) {
  const c10::cuda::CUDAGuard guard(any_x.device());
  Tensor x = dense(any_x), y = in_layout_of(x, any_y), b = checked_bias(any_b, x, dim), out = at::empty_like(x);
  BiasActCall call = call_of(BiasActOp::slope, x, out, dim, b.defined(), act, alpha, gain, clamp);
  call.y = y.const_data_ptr();
  if (b.defined()) call.b = b.const_data_ptr();
  launch_on(x, call);
  return out;
}

std::tuple<Tensor, Tensor> bias_act_adjoint(const Tensor& any_dy, const Tensor& any_y, int64_t dim, int64_t act,
                                            double alpha, double gain, double clamp, bool with_bias) {
  const c10::cuda::CUDAGuard guard(any_dy.device());
  Tensor dy = dense(any_dy), y = in_layout_of(dy, any_y), dx = at::empty_like(dy);
  BiasActCall call = call_of(BiasActOp::adjoint, dy, dx, dim, with_bias, act, alpha, gain, clamp);
  call.y = y.const_data_ptr();
  Tensor db = at::empty({with_bias ? call.channels : 0}, dy.options()), partial;
  if (with_bias && dy.numel() == 0) db.zero_();
  if (with_bias && dy.numel() > 0) {
    const auto type = dy.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    partial = at::empty({call.channels * pieces_of(call)}, dy.options().dtype(type));
    call.partial = partial.mutable_data_ptr();
    call.db = db.mutable_data_ptr();
  }
  launch_on(dy, call);
  return {dx, db};
}

int64_t out_size(int64_t in, int64_t up, int64_t down, int64_t pads, int64_t taps) {
  constexpr int64_t most = 1 << 20;
  TORCH_CHECK_VALUE(0 < up && up < most && 0 < down && down < most, "up is ", up, ", down ", down,
                    "; expected factors from 1 up");
  const int64_t size = in * up + pads - taps;
  TORCH_CHECK_VALUE(size >= 0, "the padded size is ", size + taps, "; expected at least the filter's ", taps, " taps");
  return size / down + 1;
}

void check_upfirdn2d(const Tensor& x, const Tensor& f, at::IntArrayRef up, at::IntArrayRef down, at::IntArrayRef pads) {
  TORCH_CHECK_VALUE(x.dim() == 4, "x has ", x.dim(), " dimensions; expected 4");
  TORCH_CHECK_VALUE(f.dim() == 2 && f.numel() > 0, "f has shape ", f.sizes(), "; expected [height, width], not empty");
  TORCH_CHECK_TYPE(f.scalar_type() == at::kFloat, "f is ", f.scalar_type(), "; expected float32");
  TORCH_CHECK_VALUE(f.device() == x.device(), "f is on ", f.device(), "; expected ", x.device());
  TORCH_CHECK_VALUE(up.size() == 2 && down.size() == 2 && pads.size() == 4, "up, down and pads are lists of ",
                    up.size(), ", ", down.size(), " and ", pads.size(), " numbers; expected 2, 2 and 4");
}

Tensor upfirdn2d(const Tensor& any_x, const Tensor& any_f, at::IntArrayRef up, at::IntArrayRef down,
                 at::IntArrayRef pads, double gain) {
  check_upfirdn2d(any_x, any_f, up, down, pads);
  const c10::cuda::CUDAGuard guard(any_x.device());
  const Tensor x = dense(any_x), f = any_f.contiguous();
  const auto layout = x.suggest_memory_format();
  const int64_t height = out_size(x.size(2), up[1], down[1], pads[2] + pads[3], f.size(0));
  const int64_t width = out_size(x.size(3), up[0], down[0], pads[0] + pads[1], f.size(1));
  Tensor out = at::empty({x.size(0), x.size(1), height, width}, x.options().memory_format(layout));
  if (out.numel() == 0) return out;
  UpFirDn2dCall call{type_of(x), layout == at::MemoryFormat::ChannelsLast, x.size(0), x.size(1), x.size(2), x.size(3)};
  call.out_height = height, call.out_width = width;
  call.up_x = int(up[0]), call.up_y = int(up[1]), call.down_x = int(down[0]), call.down_y = int(down[1]);
  call.left = pads[0], call.top = pads[2];
  call.f = f.const_data_ptr<float>();
  call.taps_x = int(f.size(1)), call.taps_y = int(f.size(0));
  call.gain = gain;
  call.x = x.const_data_ptr();
  call.out = out.mutable_data_ptr();
  launch(call, c10::cuda::getCurrentCUDAStream(x.device().index()));
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return out;
}

TORCH_LIBRARY_IMPL(ganaug, CUDA, m) {
  m.impl("bias_act", bias_act);
  m.impl("bias_act_slope", bias_act_slope);
  m.impl("bias_act_adjoint", bias_act_adjoint);
  m.impl("upfirdn2d", upfirdn2d);
}

}  // namespace
}  // namespace ganaug::cuda
#endif
