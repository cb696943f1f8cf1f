#include "cpu/support.h"

#include <string>

namespace at {
TORCH_API std::string get_cpu_capability();  // as in <ATen/Version.h>, which includes much
}

namespace ganaug {

// PyTorch's own choice, so that ATEN_CPU_CAPABILITY holds here too.
const Kernels& kernels() {
  static const Kernels& chosen = []() -> const Kernels& {
#ifdef GANAUG_X86
    const std::string capability = at::get_cpu_capability();
    if (capability == "AVX512") return avx512_kernels;
    if (capability == "AVX2") return avx2_kernels;
#endif
    return generic_kernels;
  }();
  return chosen;
}

Type type_of(const at::Tensor& x) {
  switch (x.scalar_type()) {
    case at::kDouble: return Type::f64;
    case at::kFloat: return Type::f32;
    case at::kHalf: return Type::f16;
    case at::kBFloat16: return Type::bf16;
    default: TORCH_CHECK_TYPE(false, "x is ", x.scalar_type(), "; expected float64, float32, float16 or bfloat16");
  }
}

}  // namespace ganaug
