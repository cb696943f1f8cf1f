// What the operators ask of the CPU kernels. The kernels are compiled once per instruction set and know nothing of
// PyTorch: an inline function of its headers compiled for AVX-512 could otherwise be the one that the linker keeps.
#pragma once
#include <cstdint>

namespace ganaug {

enum class Type { f64, f32, f16, bf16 };  // f16 and bf16 are computed in f32

enum class Act { linear, relu, lrelu, tanh, sigmoid, elu, selu, softplus, swish };  // as in custom_ops/activations.py

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

// One side of a convolution: images [N, channels, height, width], and their tiles as matrices [tiles, channels], one for
// each product of a tile, `step` apart; their rows lie `row` apart.
struct Side {
  int64_t channels, height, width, row, step;
  void* images;
  void* matrices;
};

// A 3×3 convolution by the products of cpu/winograd.h. A strip is a row of tiles.
struct Conv3x3 {
  static constexpr int64_t PIECE = 48;  // rows of the factors' gradient, in one piece of work
  Type type;                            // f64 or f32
  enum class Scheme { same, down, up } scheme;
  int64_t tiles_y, tiles_x;  // of an image
  Side in, out;              // of the weights' gradient: out is the gradient of the outputs
  void* w;                   // nine taps for each pair of channels
  int64_t w_in, w_out;       // its strides
  bool flipped;              // its taps come in reverse
  void* factors;             // [in, out] from w, for each factor, factors_step apart; rows as those of out's matrices
  int64_t factors_step;
  void* seam;  // up: the last rows of the strips, [strips, channels, width] of out
};

struct Kernels {
  const char* name;
  void (*bias_act)(const BiasAct&, int64_t first_block, int64_t last_block);
  void (*bias_act_slope)(const BiasAct&, int64_t first_block, int64_t last_block);
  void (*bias_act_adjoint)(const BiasAct&, int64_t first_block, int64_t last_block);
  // Computes some rows of out, counted through all planes; scratch: as many bytes as upfirdn2d_scratch says.
  void (*upfirdn2d)(const UpFirDn2d&, int64_t first_row, int64_t last_row, void* scratch);
  int64_t (*upfirdn2d_scratch)(const UpFirDn2d&);
  void (*conv3x3_weights)(const Conv3x3&, int64_t first_in, int64_t last_in);          // w to factors
  void (*conv3x3_weights_adjoint)(const Conv3x3&, int64_t first_in, int64_t last_in);  // factors to w
  void (*conv3x3_strips)(const Conv3x3&, int64_t first_strip, int64_t last_strip);     // in to out, by their matrices
  void (*conv3x3_join)(const Conv3x3&, int64_t first_strip, int64_t last_strip);       // seam to out
  // Of the weights' gradient: both sides to matrices, of which the strip `origin` is the first, and these to factors.
  void (*conv3x3_spread)(const Conv3x3&, int64_t first_strip, int64_t last_strip, int64_t origin);
  void (*conv3x3_correlate)(const Conv3x3&, int64_t piece, int64_t tiles, bool add);
};

extern const Kernels generic_kernels, avx2_kernels, avx512_kernels;

}  // namespace ganaug
