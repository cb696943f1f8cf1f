// What the CUDA kernels compute with. The headers here are plain C++, so that every index can be tested where there is
// no GPU.
#pragma once
#include <cstdint>

#ifdef __CUDACC__
#define GANAUG_HD __host__ __device__ __forceinline__
#define GANAUG_UNROLL _Pragma("unroll")
#else
#define GANAUG_HD inline
#define GANAUG_UNROLL
#endif

namespace ganaug::cuda {

// How a stored type is computed with; half.h adds the two half types.
template <typename T>
struct Number {
  using Compute = T;
  static GANAUG_HD T widen(T value) { return value; }
  static GANAUG_HD T narrow(T value) { return value; }
};

template <typename T>
using Compute = typename Number<T>::Compute;

// Neighbours in memory that are read or written by one instruction.
template <typename T, int size>
struct alignas(sizeof(T) * size) Vec {
  T at[size];
};

template <int size, typename T>
GANAUG_HD Vec<T, size> load(const T* from) {
  return *reinterpret_cast<const Vec<T, size>*>(from);
}

template <int size, typename T>
GANAUG_HD void store(T* to, const Vec<T, size>& values) {
  *reinterpret_cast<Vec<T, size>*>(to) = values;
}

// Division by a number that is the same for all threads. Of 32-bit numbers below 2^31 by one multiplication:
// Granlund & Montgomery 1994. Of 64-bit numbers by the machine, as only tensors of 2^31 elements and more need it.
template <typename Index>
struct Divider {
  Index divisor;

  explicit Divider(int64_t value) : divisor(Index(value)) {}
  GANAUG_HD Index quotient(Index value) const { return value / divisor; }
  GANAUG_HD Index remainder(Index value) const { return value % divisor; }
};

template <>
struct Divider<uint32_t> {
  uint32_t divisor, magic = 0, shift = 0;

  explicit Divider(int64_t value) : divisor(uint32_t(value)) {
    while ((uint64_t(1) << shift) < divisor) ++shift;
    magic = uint32_t((uint64_t(1) << 32) * ((uint64_t(1) << shift) - divisor) / divisor + 1);
  }
  GANAUG_HD uint32_t quotient(uint32_t value) const {
#ifdef __CUDA_ARCH__
    uint32_t high = __umulhi(value, magic);
#else
    uint32_t high = uint32_t(uint64_t(value) * magic >> 32);
#endif
    return (high + value) >> shift;
  }
  GANAUG_HD uint32_t remainder(uint32_t value) const { return value - quotient(value) * divisor; }
};

}  // namespace ganaug::cuda
