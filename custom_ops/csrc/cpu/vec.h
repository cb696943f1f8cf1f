// As many numbers as a register of the instruction set holds.
#pragma once
#include <cstdint>

namespace ganaug {
namespace {

#if defined __AVX512F__
constexpr int REGISTER_BYTES = 64;
#elif defined __AVX2__
constexpr int REGISTER_BYTES = 32;
#else
constexpr int REGISTER_BYTES = 16;
#endif

// Aligned as one number is: rows begin anywhere.
template <class A>
struct VecOf;
template <>
struct VecOf<float> {
  typedef float type __attribute__((vector_size(REGISTER_BYTES), aligned(sizeof(float)), may_alias));
};
template <>
struct VecOf<double> {
  typedef double type __attribute__((vector_size(REGISTER_BYTES), aligned(sizeof(double)), may_alias));
};
template <class A>
using Vec = typename VecOf<A>::type;

template <class A>
constexpr int NUM_LANES = REGISTER_BYTES / sizeof(A);

template <class A>
inline Vec<A>& at(A* place) {
  return *reinterpret_cast<Vec<A>*>(place);
}
template <class A>
inline const Vec<A>& at(const A* place) {
  return *reinterpret_cast<const Vec<A>*>(place);
}

}  // namespace
}  // namespace ganaug
