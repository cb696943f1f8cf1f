// The half types, as CUDA's own headers have them, computed with in float.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "portable.h"

namespace ganaug::cuda {

template <>
struct Number<__half> {
  using Compute = float;
  static GANAUG_HD float widen(__half value) { return __half2float(value); }
  static GANAUG_HD __half narrow(float value) { return __float2half_rn(value); }
};

template <>
struct Number<__nv_bfloat16> {
  using Compute = float;
  static GANAUG_HD float widen(__nv_bfloat16 value) { return __bfloat162float(value); }
  static GANAUG_HD __nv_bfloat16 narrow(float value) { return __float2bfloat16_rn(value); }
};

}  // namespace ganaug::cuda
