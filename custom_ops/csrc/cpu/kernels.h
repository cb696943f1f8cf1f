// What the operators ask of the CPU kernels. The kernels are compiled once per instruction set and know nothing of
// PyTorch: an inline function of its headers compiled for AVX-512 could otherwise be the one that the linker keeps.
#pragma once
#include <cstdint>

namespace ganaug {

enum class Type { f64, f32, f16, bf16 };  // f16 and bf16 are computed in f32

enum class Act { linear, relu, lrelu, tanh, sigmoid, elu, selu, softplus, swish };  // as in custom_ops/bias_act.py

// A dense tensor as [outer, channels, inner], cut into blocks that do not depend on the number of threads, so that sums
// over them do not either. Where inner is 1 a block is some rows of channels, else a piece of one channel.
struct Blocks {
  int64_t outer, channels, inner;
  int64_t step;   // rows, or elements, in a block
  int64_t count;  // of blocks
};

struct BiasAct {
  Type type;
  Blocks blocks;
  Act act;
  double alpha, gain, clamp;  // clamp < 0: none
  const void* x;              // of the adjoint: dy
  const void* y;              // the operator's output; of the forward pass: null
  const void* b;              // [channels] in the type computed in, or null
  void* out;
  void* partial;  // of the adjoint: the bias's gradient, [count] or, where inner is 1, [count, channels]; or null
};

// One axis of upfirdn2d. An output at o sees the inputs from ⌈(o·down − before) / up⌉ on, each under an up-th tap.
struct Axis {
  int64_t in, out, up, down, before, taps;
  int64_t most, last;  // an output sees `most` taps, ⌈taps / up⌉, or one fewer where its first tap is beyond `last`
};

// Taps come by the first of those that an output sees, the others behind it, `most` places for each first one.
struct UpFirDn2d {
  Type type;
  int64_t planes, channels;  // a plane is [y.in, x.in, channels]; channels is 1 where each has a plane of its own
  Axis x, y;
  const void* f;        // [y.taps, x.up, x.most] in the type computed in, gain included
  const void *fx, *fy;  // [x.up, x.most] and [y.up, y.most], of which f is the product, or null where it is none
  const void* in;
  void* out;
};

struct Kernels {
  const char* name;
  void (*bias_act)(const BiasAct&, int64_t first_block, int64_t last_block);
  void (*bias_act_slope)(const BiasAct&, int64_t first_block, int64_t last_block);
  void (*bias_act_adjoint)(const BiasAct&, int64_t first_block, int64_t last_block);
  // Computes some rows of out, counted through all planes; scratch: as many bytes as upfirdn2d_scratch says.
  void (*upfirdn2d)(const UpFirDn2d&, int64_t first_row, int64_t last_row, void* scratch);
  int64_t (*upfirdn2d_scratch)(const UpFirDn2d&);
};

extern const Kernels generic_kernels, avx2_kernels, avx512_kernels;

}  // namespace ganaug
