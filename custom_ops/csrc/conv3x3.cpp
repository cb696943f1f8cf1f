// 3×3 convolution on the CPU: checks, memory and threads; the loops are in cpu/.
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <algorithm>
#include <atomic>

#include "cpu/support.h"

namespace ganaug {
namespace {

using at::Tensor;
using Scheme = Conv3x3::Scheme;

constexpr int64_t SIDE = 4;                 // of a tile, at its smaller end
constexpr int64_t FACTORS = 36;             // of a tile
constexpr int64_t TILES_AT_ONCE = 48;       // convolved by one thread: their matrices stay near the core
constexpr int64_t TILES_CORRELATED = 128;   // whose part in the weights' gradient is added at once
constexpr int64_t ALIGNED = 32, SKEW = 16;  // numbers; rows a power of two apart would fall on the same cache lines

int64_t over(int64_t whole, int64_t part) { return (whole + part - 1) / part; }

Side side_of(const Tensor& images, void* data) {
  const int64_t channels = images.size(1), row = over(channels, ALIGNED) * ALIGNED + SKEW;
  return {channels, images.size(2), images.size(3), row, 0, data, nullptr};
}

struct Plan : Conv3x3 {
  int64_t products, strips, at_once;  // a tile; of all images; strips of which the matrices hold the tiles
  Tensor held;                        // the factors

  Plan(Scheme chosen, const Tensor& x, const Tensor& y) : Conv3x3{} {
    type = type_of(x), scheme = chosen;
    in = side_of(x, const_cast<void*>(x.const_data_ptr())), out = side_of(y, const_cast<void*>(y.const_data_ptr()));
    const Side& small = scheme == Scheme::up ? in : out;
    tiles_y = over(small.height, SIDE), tiles_x = over(small.width, SIDE);
    products = scheme == Scheme::same ? 36 : 81, strips = x.size(0) * tiles_y;
    factors_step = in.channels * out.row + SKEW;
    held = at::empty({FACTORS * factors_step}, x.options());
    factors = held.data_ptr();
  }
  void set_strips(int64_t count) {
    at_once = count;
    in.step = count * tiles_x * in.row + SKEW, out.step = count * tiles_x * out.row + SKEW;
  }
};

void check(const Tensor& x, const Tensor& other, const char* name, int64_t stride) {
  TORCH_CHECK_VALUE(x.dim() == 4 && other.dim() == 4, "x and ", name, " have ", x.dim(), " and ", other.dim(),
                    " dimensions; expected 4");
  TORCH_CHECK_TYPE(x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble, "x is ", x.scalar_type(),
                   "; expected float32 or float64");
  TORCH_CHECK_TYPE(other.scalar_type() == x.scalar_type(), name, " is ", other.scalar_type(), "; expected ",
                   x.scalar_type(), " as x");
  TORCH_CHECK_VALUE(stride == 1 || stride == 2, "stride is ", stride, "; expected 1 or 2");
}

// The length of a side that stride 2 makes of `size`, or that its adjoint does.
int64_t resized(int64_t size, int64_t stride, bool transposed) {
  if (stride == 1) return size;
  TORCH_CHECK_VALUE(transposed || size % 2 == 1, "a side of x is ", size, "; expected an odd number under stride 2");
  return transposed ? 2 * size + 1 : size / 2;
}

Tensor conv3x3(const Tensor& any_x, const Tensor& any_w, int64_t stride, bool transposed) {
  check(any_x, any_w, "w", stride);
  TORCH_CHECK_VALUE(any_w.size(2) == 3 && any_w.size(3) == 3 && any_w.size(transposed ? 0 : 1) == any_x.size(1),
                    "x has shape ", any_x.sizes(), ", w ", any_w.sizes(), "; expected a 3×3 filter of x's channels");
  const Tensor x = any_x.contiguous(), w = any_w.contiguous();
  const int64_t height = resized(x.size(2), stride, transposed), width = resized(x.size(3), stride, transposed);
  Tensor y = at::empty({x.size(0), w.size(transposed ? 1 : 0), height, width}, x.options());
  if (y.numel() == 0) return y;
  if (x.numel() == 0) return y.zero_();
  Plan plan(stride == 1 ? Scheme::same : transposed ? Scheme::up : Scheme::down, x, y);
  plan.w = const_cast<void*>(w.const_data_ptr());
  plan.w_in = transposed ? 9 * plan.out.channels : 9, plan.w_out = transposed ? 9 : 9 * plan.in.channels;
  plan.flipped = transposed && stride == 1;  // which is its own adjoint but for that
  const Kernels& chosen = kernels();
  at::parallel_for(0, plan.in.channels, over(4096, plan.out.channels), [&](int64_t first, int64_t last) {
    chosen.conv3x3_weights(plan, first, last);
  });
  const int64_t threads = at::get_num_threads();
  plan.set_strips(std::min(over(TILES_AT_ONCE, plan.tiles_x), over(plan.strips, threads)));
  const Tensor matrices = at::empty({threads, plan.products * (plan.in.step + plan.out.step)}, x.options());
  const Tensor seam = at::empty({plan.scheme == Scheme::up ? plan.strips * plan.out.channels * width : 0}, x.options());
  plan.seam = seam.data_ptr();
  at::parallel_for(0, plan.strips, 1, [&](int64_t first, int64_t last) {
    Conv3x3 mine = plan;
    const int64_t bytes = x.element_size(), offset = at::get_thread_num() * matrices.size(1) * bytes;
    mine.in.matrices = static_cast<char*>(matrices.data_ptr()) + offset;
    mine.out.matrices = static_cast<char*>(mine.in.matrices) + plan.products * plan.in.step * bytes;
    const int64_t rounds = over(last - first, plan.at_once);
    for (int64_t round = 0; round < rounds; ++round)
      chosen.conv3x3_strips(mine, first + round * (last - first) / rounds, first + (round + 1) * (last - first) / rounds);
  });
  if (plan.scheme == Scheme::up)
    at::parallel_for(0, plan.strips, over(4096, plan.out.channels * width), [&](int64_t first, int64_t last) {
      chosen.conv3x3_join(plan, first, last);
    });
  return y;
}

Tensor conv3x3_weight(const Tensor& any_x, const Tensor& any_dy, int64_t stride) {
  check(any_x, any_dy, "dy", stride);
  const Tensor x = any_x.contiguous(), dy = any_dy.contiguous();
  TORCH_CHECK_VALUE(x.size(0) == dy.size(0) && resized(x.size(2), stride, false) == dy.size(2) &&
                        resized(x.size(3), stride, false) == dy.size(3),
                    "x has shape ", x.sizes(), ", dy ", dy.sizes(), "; expected what stride ", stride, " makes of x");
  Tensor dw = at::empty({dy.size(1), x.size(1), 3, 3}, x.options());
  if (dw.numel() == 0) return dw;
  if (x.numel() == 0 || dy.numel() == 0) return dw.zero_();
  Plan plan(stride == 1 ? Scheme::same : Scheme::down, x, dy);
  plan.w = dw.data_ptr(), plan.w_in = 9, plan.w_out = 9 * plan.in.channels;
  plan.set_strips(std::min(over(TILES_CORRELATED, plan.tiles_x), plan.strips));
  const Tensor ins = at::empty({plan.products * plan.in.step}, x.options());
  const Tensor outs = at::empty({plan.products * plan.out.step}, x.options());
  plan.in.matrices = ins.data_ptr(), plan.out.matrices = outs.data_ptr();
  const Kernels& chosen = kernels();
  for (int64_t start = 0; start < plan.strips; start += plan.at_once) {
    const int64_t end = std::min(start + plan.at_once, plan.strips);
    at::parallel_for(start, end, 1, [&](int64_t first, int64_t last) {
      chosen.conv3x3_spread(plan, first, last, start);
    });
    const int64_t pieces = FACTORS * over(plan.in.channels, Conv3x3::PIECE);
    std::atomic<int64_t> next = 0;  // pieces differ in length, so that whoever is free takes the next
    at::parallel_for(0, at::get_num_threads(), 1, [&](int64_t, int64_t) {
      for (int64_t piece; (piece = next++) < pieces;)
        chosen.conv3x3_correlate(plan, piece, (end - start) * plan.tiles_x, start > 0);
    });
  }
  at::parallel_for(0, plan.in.channels, over(4096, plan.out.channels), [&](int64_t first, int64_t last) {
    chosen.conv3x3_weights_adjoint(plan, first, last);
  });
  return dw;
}

TORCH_LIBRARY_IMPL(ganaug, CPU, m) {
  m.impl("conv3x3", conv3x3);
  m.impl("conv3x3_weight", conv3x3_weight);
}

}  // namespace
}  // namespace ganaug
