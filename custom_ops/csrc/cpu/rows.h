// Rows of numbers: stored as double, float or half, computed as double or float.
#pragma once
#include <cstdint>
#include <cstring>
#ifdef __F16C__
#include <immintrin.h>
#endif

#include "kernels.h"

namespace ganaug {
namespace {  // each instruction set has its own copy of everything

struct Half {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

template <class A, class B>
constexpr bool same = false;
template <class A>
constexpr bool same<A, A> = true;

template <class T>
struct ComputeOf {
  using type = float;
};
template <>
struct ComputeOf<double> {
  using type = double;
};
template <class T>
using Compute = typename ComputeOf<T>::type;

template <class To, class From>
inline To bit_cast(From value) {
  static_assert(sizeof(To) == sizeof(From));
  To result;
  std::memcpy(&result, &value, sizeof(To));
  return result;
}

inline float widen(BFloat16 value) { return bit_cast<float>(uint32_t(value.bits) << 16); }

inline void narrow(float value, BFloat16& result) {
  uint32_t bits = bit_cast<uint32_t>(value);
  uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;  // to nearest, ties to even
  result.bits = uint16_t(value != value ? 0x7fc0 : rounded);
}

// Half in integers and one multiplication: moving the exponent by 2^112 scales normal and subnormal numbers alike.
inline float widen(Half value) {
  uint32_t magnitude = uint32_t(value.bits & 0x7fff) << 13;
  uint32_t finite = bit_cast<uint32_t>(bit_cast<float>(magnitude) * bit_cast<float>(uint32_t(239) << 23));
  uint32_t bits = magnitude >= 0x0f800000 ? magnitude | 0x7f800000 : finite;
  return bit_cast<float>(bits | uint32_t(value.bits & 0x8000) << 16);
}

inline void narrow(float value, Half& result) {
  uint32_t bits = bit_cast<uint32_t>(value), sign = (bits >> 16) & 0x8000, magnitude = bits & 0x7fffffff;
  uint32_t normal = (magnitude - 0x38000000 + 0xfff + ((magnitude >> 13) & 1)) >> 13;
  // Below 2^-14 the sum with 1/2 leaves the subnormal, rightly rounded, in the lowest bits.
  uint32_t subnormal = bit_cast<uint32_t>(bit_cast<float>(magnitude) + 0.5f) - 0x3f000000;
  uint32_t finite = magnitude < 0x38800000 ? subnormal : normal;
  uint32_t infinite = magnitude > 0x7f800000 ? 0x7e00 : 0x7c00;
  result.bits = uint16_t(sign | (magnitude >= 0x477ff000 ? infinite : finite));
}

template <class T>
void widen(const T* in, float* out, int64_t size) {
  int64_t i = 0;
#ifdef __F16C__
  if constexpr (same<T, Half>)
    for (; i + 8 <= size; i += 8)
      _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(in + i))));
#endif
  for (; i < size; ++i) out[i] = widen(in[i]);
}

template <class T>
void narrow(const float* in, T* out, int64_t size) {
  int64_t i = 0;
#ifdef __F16C__
  if constexpr (same<T, Half>)
    for (; i + 8 <= size; i += 8)
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), _mm256_cvtps_ph(_mm256_loadu_ps(in + i), 0));
#endif
  for (; i < size; ++i) narrow(in[i], out[i]);
}

template <class T>
void copy(const T* in, Compute<T>* out, int64_t size) {
  if constexpr (same<T, Compute<T>>)
    for (int64_t i = 0; i < size; ++i) out[i] = in[i];
  else
    widen(in, out, size);
}

// A row in the type computed in: itself, or widened into the buffer.
template <class T>
const Compute<T>* widened(const T* in, Compute<T>* buffer, int64_t size) {
  if constexpr (same<T, Compute<T>>) return in;
  copy(in, buffer, size);
  return buffer;
}

// Calls function(T{}) with the C++ type that `type` names.
template <class Function>
inline void with_type(Type type, const Function& function) {
  switch (type) {
    case Type::f64: return function(double{});
    case Type::f32: return function(float{});
    case Type::f16: return function(Half{});
    case Type::bf16: return function(BFloat16{});
  }
}

}  // namespace
}  // namespace ganaug
