// What the operators share between PyTorch and the kernels.
#pragma once
#include <ATen/core/Tensor.h>

#include "kernels.h"

namespace ganaug {

const Kernels& kernels();  // the best that this machine runs

Type type_of(const at::Tensor& x);

inline at::ScalarType compute_type(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

// x itself where it is dense in the layout that it suggests, else a copy that is.
inline at::Tensor dense(const at::Tensor& x) { return x.contiguous(x.suggest_memory_format()); }

}  // namespace ganaug
