// What PyTorch's side (register.cu) asks of the kernels. Neither sees the other's headers: PyTorch's take longer to
// read than the kernels to compile.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

namespace ganaug::cuda {

enum class Type { f64, f32, f16, bf16 };  // f16 and bf16 are computed in f32

enum class BiasActOp { forward, slope, adjoint };

// A tensor that is [outer, channels, inner] in memory; without a bias all but `size` may be 1.
struct BiasActCall {
  Type type;
  BiasActOp op;
  int64_t size, channels, inner;
  int act;
  double alpha, gain, clamp;  // clamp < 0: none
  const void *x, *b, *y;      // of the adjoint x is dy; b and y may be null
  void* out;
  void *db, *partial;  // of the adjoint, or null; partial: [channels, pieces_of(call)] in the type computed in
};

int64_t pieces_of(const BiasActCall& call);

void launch(const BiasActCall& call, cudaStream_t stream);

struct UpFirDn2dCall {
  Type type;
  bool channels_last;
  int64_t images, channels, in_height, in_width, out_height, out_width;
  int up_x, up_y, down_x, down_y;
  int64_t left, top;
  const float* f;
  int taps_x, taps_y;
  double gain;
  const void* x;
  void* out;
};

void launch(const UpFirDn2dCall& call, cudaStream_t stream);

}  // namespace ganaug::cuda
