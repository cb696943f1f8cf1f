// The activations of custom_ops/activations.py, one value at a time; the loops around them are left to the vectoriser.
#pragma once
#include <cmath>

#include "rows.h"

namespace ganaug {
namespace {

// exp(x) = scale · (1 + excess), where scale is a power of two and |excess| below √2 − 1.
struct Exponential {
  float scale, excess;
};

// For floats the library's functions are replaced by what vectorises; to 1e-7 of themselves. NaN passes through.
inline Exponential exponential(float x) {
  x = x > 88.0f ? 88.0f : x;
  x = x < -87.0f ? -87.0f : x;
  const float shift = 12582912.0f;  // 1.5 · 2^23: added, it leaves the nearest whole number in the lowest bits
  float shifted = x * 1.44269504f + shift, whole = shifted - shift;
  float rest = (x - whole * 0.693359375f) + whole * 2.12194440e-4f;  // ln 2 in two parts, the first exact in products
  float tail = 1.0f / 720 + rest * (1.0f / 5040);
  tail = 1.0f / 24 + rest * (1.0f / 120 + rest * tail);
  tail = 0.5f + rest * (1.0f / 6 + rest * tail);
  return {bit_cast<float>((bit_cast<uint32_t>(shifted) + 127) << 23), rest + rest * rest * tail};
}

inline float exp_of(float x) {
  Exponential e = exponential(x);
  return x > 88.72f ? HUGE_VALF : e.scale + e.scale * e.excess;
}

inline float expm1_of(float x) {
  Exponential e = exponential(x);
  return e.scale * e.excess + (e.scale - 1);
}

inline float log1p_of(float x) {  // for 0 <= x <= 1: twice the series of artanh
  float s = x / (2 + x), square = s * s;
  float sum = 1.0f / 11 + square * (1.0f / 13 + square * (1.0f / 15));
  sum = 1.0f / 5 + square * (1.0f / 7 + square * (1.0f / 9 + square * sum));
  sum = 1 + square * (1.0f / 3 + square * sum);
  return 2 * s * sum;
}

inline float tanh_of(float x) {
  float size = x < 0 ? -x : x, e = expm1_of(2 * size), result = e / (e + 2);
  return x < 0 ? -result : result;
}

inline double exp_of(double x) { return ::exp(x); }
inline double expm1_of(double x) { return ::expm1(x); }
inline double log1p_of(double x) { return ::log1p(x); }
inline double tanh_of(double x) { return ::tanh(x); }

// Comparisons are written so that NaN fails them and passes through.
template <Act act, class A>
inline A activate(A v, A alpha) {
  const A selu_alpha = A(1.6732632423543772), selu_scale = A(1.0507009873554805);
  if constexpr (act == Act::relu) return v < 0 ? A(0) : v;
  if constexpr (act == Act::lrelu) return v > 0 ? v : v * alpha;
  if constexpr (act == Act::tanh) return tanh_of(v);
  if constexpr (act == Act::sigmoid) return 1 / (1 + exp_of(-v));
  if constexpr (act == Act::elu) return v > 0 ? v : expm1_of(v > 0 ? 0 : v);
  if constexpr (act == Act::selu) return selu_scale * (v > 0 ? v : selu_alpha * expm1_of(v > 0 ? 0 : v));
  if constexpr (act == Act::softplus) {  // from 20 on the identity, as in PyTorch
    A size = v < 0 ? -v : v;
    return v > 20 ? v : (v > 0 ? v : A(0)) + log1p_of(exp_of(-size));
  }
  if constexpr (act == Act::swish) return v / (1 + exp_of(-v));
  return v;
}

}  // namespace
}  // namespace ganaug
