// bias_act, its slope and the slope's adjoint on the CPU: checks, layouts and threads; the loops are in cpu/.
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>
#include <torch/library.h>

#include <algorithm>
#include <optional>
#include <tuple>
#include <vector>

#include "cpu/support.h"

namespace ganaug {
namespace {

using at::Tensor;

constexpr int64_t BLOCK = 16384;  // elements

// x as [outer, channels, inner] in memory, cut into blocks; one channel is all of x.
Blocks blocks_of(const Tensor& x, int64_t dim, bool has_bias) {
  Blocks blocks{1, 1, x.numel(), BLOCK, 0};
  dim = dim < 0 ? dim + x.dim() : dim;
  if (has_bias && x.size(dim) != 1) {
    blocks = {1, x.size(dim), 1, BLOCK, 0};
    for (int64_t axis = 0; axis < x.dim(); ++axis)
      if (axis != dim) (x.stride(axis) > x.stride(dim) ? blocks.outer : blocks.inner) *= x.size(axis);
  }
  if (blocks.inner == 1) {
    blocks.step = std::max<int64_t>(1, BLOCK / std::max<int64_t>(1, blocks.channels));
    blocks.count = (blocks.outer + blocks.step - 1) / blocks.step;
  } else {
    blocks.count = blocks.outer * blocks.channels * ((blocks.inner + BLOCK - 1) / BLOCK);
  }
  return blocks;
}

// The limit as the output can hold it: else what was clamped would not be seen to have reached it.
double as_stored(double value, at::ScalarType type) {
  if (type == at::kHalf) return static_cast<float>(c10::Half(static_cast<float>(value)));
  if (type == at::kBFloat16) return static_cast<float>(c10::BFloat16(static_cast<float>(value)));
  return type == at::kFloat ? static_cast<float>(value) : value;
}

// What all three have in common; y is brought into x's layout by the caller.
BiasAct call_of(const Tensor& x, int64_t dim, bool has_bias, int64_t act, double alpha, double gain, double clamp) {
  TORCH_CHECK_VALUE(0 <= act && act <= int64_t(Act::swish), "act is ", act, "; expected 0 to ", int64_t(Act::swish));
  BiasAct call{};
  call.type = type_of(x);
  call.blocks = blocks_of(x, dim, has_bias);
  call.act = Act(act);
  call.alpha = alpha;
  call.gain = gain;
  call.clamp = as_stored(clamp, x.scalar_type());
  call.x = x.const_data_ptr();
  return call;
}

void run(void (*kernel)(const BiasAct&, int64_t, int64_t), const BiasAct& call) {
  const Blocks& blocks = call.blocks;
  int64_t size = blocks.outer * blocks.channels * blocks.inner;
  if (size == 0) return;
  int64_t grain = std::max<int64_t>(1, 2 * BLOCK * blocks.count / size);
  at::parallel_for(0, blocks.count, grain, [&](int64_t first, int64_t last) { kernel(call, first, last); });
}

Tensor bias_in_compute_type(const std::optional<Tensor>& b, const Tensor& x, int64_t dim) {
  if (!b) return {};
  TORCH_CHECK_VALUE(b->dim() == 1 && b->size(0) == x.size(dim), "b has shape ", b->sizes(), "; expected [", x.size(dim), "]");
  return b->to(compute_type(x)).contiguous();
}

Tensor in_layout_of(const Tensor& x, const Tensor& y) {
  TORCH_CHECK_VALUE(x.sizes() == y.sizes(), "y has shape ", y.sizes(), "; expected ", x.sizes());
  TORCH_CHECK_TYPE(x.scalar_type() == y.scalar_type(), "y is ", y.scalar_type(), "; expected ", x.scalar_type());
  return y.contiguous(x.suggest_memory_format());
}

Tensor bias_act(const Tensor& any_x, const std::optional<Tensor>& any_b, int64_t dim, int64_t act, double alpha,
                double gain, double clamp) {
  Tensor x = dense(any_x), b = bias_in_compute_type(any_b, x, dim), out = at::empty_like(x);
  BiasAct call = call_of(x, dim, b.defined(), act, alpha, gain, clamp);
  call.b = b.defined() ? b.const_data_ptr() : nullptr;
  call.out = out.data_ptr();
  run(kernels().bias_act, call);
  return out;
}

Tensor bias_act_slope(const Tensor& any_x, const std::optional<Tensor>& any_b, const Tensor& any_y, int64_t dim,
                      int64_t act, double alpha, double gain, double clamp) {
  Tensor x = dense(any_x), y = in_layout_of(x, any_y), b = bias_in_compute_type(any_b, x, dim);
  Tensor out = at::empty_like(x);
  BiasAct call = call_of(x, dim, b.defined(), act, alpha, gain, clamp);
  call.y = y.const_data_ptr();
  call.b = b.defined() ? b.const_data_ptr() : nullptr;
  call.out = out.data_ptr();
  run(kernels().bias_act_slope, call);
  return out;
}

// Adds up the blocks' sums in their own order: the result does not depend on the number of threads.
template <class A>
Tensor total_of(const Tensor& partial, const Blocks& blocks) {
  const A* part = partial.const_data_ptr<A>();
  int64_t pieces = blocks.inner == 1 ? 1 : (blocks.inner + blocks.step - 1) / blocks.step;
  std::vector<double> totals(blocks.channels);
  for (int64_t i = 0; i < partial.numel(); ++i) totals[i / pieces % blocks.channels] += part[i];
  Tensor result = at::empty({blocks.channels}, partial.options());
  std::copy(totals.begin(), totals.end(), result.mutable_data_ptr<A>());
  return result;
}

std::tuple<Tensor, Tensor> bias_act_adjoint(const Tensor& any_dy, const Tensor& any_y, int64_t dim, int64_t act,
                                            double alpha, double gain, double clamp, bool with_bias) {
  Tensor dy = dense(any_dy), y = in_layout_of(dy, any_y), dx = at::empty_like(dy);
  BiasAct call = call_of(dy, dim, with_bias, act, alpha, gain, clamp);
  call.y = y.const_data_ptr();
  call.out = dx.data_ptr();
  if (!with_bias) {
    run(kernels().bias_act_adjoint, call);
    return {dx, at::empty({0}, dy.options())};
  }
  const Blocks& blocks = call.blocks;
  Tensor partial = at::zeros({blocks.count * (blocks.inner == 1 ? blocks.channels : 1)}, dy.options().dtype(compute_type(dy)));
  call.partial = partial.data_ptr();
  run(kernels().bias_act_adjoint, call);
  Tensor db = dy.scalar_type() == at::kDouble ? total_of<double>(partial, blocks) : total_of<float>(partial, blocks);
  return {dx, db.to(dy.scalar_type())};
}

TORCH_LIBRARY_IMPL(ganaug, CPU, m) {
  m.impl("bias_act", bias_act);
  m.impl("bias_act_slope", bias_act_slope);
  m.impl("bias_act_adjoint", bias_act_adjoint);
}

}  // namespace
}  // namespace ganaug
