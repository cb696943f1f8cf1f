// The schema of every native operator; each device registers its kernels in files of its own.
#include <torch/library.h>

TORCH_LIBRARY(ganaug, m) {
  // clamp(gain * act(x + b)); b lies along dimension dim; clamp < 0 is none; act as in custom_ops/activations.py.
  m.def("bias_act(Tensor x, Tensor? b, int dim, int act, float alpha, float gain, float clamp) -> Tensor");
  // For piecewise linear act: (x + b) * slope(y), where slope is the derivative at which the operator gave y.
  m.def("bias_act_slope(Tensor x, Tensor? b, Tensor y, int dim, int act, float alpha, float gain, float clamp) -> Tensor");
  // Its adjoint: dy * slope(y), and the sum of that over all dimensions but dim (empty unless with_bias).
  m.def("bias_act_adjoint(Tensor dy, Tensor y, int dim, int act, float alpha, float gain, float clamp, bool with_bias) -> (Tensor, Tensor)");
  // Zero-insert by up [x, y], pad by [left, right, top, bottom], correlate with f [h, w], scale by gain, decimate by down.
  m.def("upfirdn2d(Tensor x, Tensor f, int[] up, int[] down, int[] pads, float gain) -> Tensor");
  // Correlate x with w [out, in, 3, 3]: stride 1 with a pixel of zeros around, or stride 2 without, where the sides of x
  // are odd; transposed: the adjoint, from out to in.
  m.def("conv3x3(Tensor x, Tensor w, int stride, bool transposed) -> Tensor");
  // The gradient of w: [out, in, 3, 3] from x and the gradient dy of what conv3x3 makes of it.
  m.def("conv3x3_weight(Tensor x, Tensor dy, int stride) -> Tensor");
}
