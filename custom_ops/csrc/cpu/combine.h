// Weighted sums of rows: all that a FIR filter does, along either axis.
#pragma once
#include "rows.h"

namespace ganaug {
namespace {

// The numbers 0, 1, … N − 1 as a pack: what is unrolled by it stays in registers.
template <int... K>
struct Pack {};
template <int N, int... K>
struct UpTo : UpTo<N - 1, N - 1, K...> {};
template <int... K>
struct UpTo<0, K...> {
  using Numbers = Pack<K...>;
};
template <int N>
constexpr typename UpTo<N>::Numbers up_to{};

template <bool add, class A, int... K>
inline void combine_few(Pack<K...>, const A* rows, int64_t step, const A* weights, A* __restrict out, int64_t size) {
  const A* const row[] = {rows + K * step...};
  const A weight[] = {weights[K]...};
  for (int64_t i = 0; i < size; ++i) {
    const A value = (... + (weight[K] * row[K][i]));
    out[i] = add ? out[i] + value : value;
  }
}

template <bool add, class A>
void combine_some(const A* rows, int64_t step, const A* weights, int64_t count, A* out, int64_t size) {
  switch (count) {
    case 1: return combine_few<add>(up_to<1>, rows, step, weights, out, size);
    case 2: return combine_few<add>(up_to<2>, rows, step, weights, out, size);
    case 3: return combine_few<add>(up_to<3>, rows, step, weights, out, size);
    case 4: return combine_few<add>(up_to<4>, rows, step, weights, out, size);
    case 5: return combine_few<add>(up_to<5>, rows, step, weights, out, size);
    default: return combine_few<add>(up_to<6>, rows, step, weights, out, size);
  }
}

template <class A>
inline void zero(A* out, int64_t size) {
  for (int64_t i = 0; i < size; ++i) out[i] = 0;
}

// out = Σ weights[k] · (the row that lies k steps behind the first), six rows a pass, or out += that.
template <class A>
inline void combine(const A* rows, int64_t step, const A* weights, int64_t count, bool add, A* out, int64_t size) {
  if (count <= 0 && !add) zero(out, size);
  for (; count > 0; count -= 6, rows += 6 * step, weights += 6, add = true)
    if (add)
      combine_some<true>(rows, step, weights, count, out, size);
    else
      combine_some<false>(rows, step, weights, count, out, size);
}

// Two outputs an input, each under as many taps.
template <class A, int... K>
void expand_by_two(Pack<K...>, const A* even, const A* even_weights, const A* odd, const A* odd_weights,
                   A* __restrict out, int64_t size) {
  const A even_weight[] = {even_weights[K]...}, odd_weight[] = {odd_weights[K]...};
  for (int64_t i = 0; i < size / 2; ++i) {
    out[2 * i] = (... + (even_weight[K] * even[i + K]));
    out[2 * i + 1] = (... + (odd_weight[K] * odd[i + K]));
  }
  if (size % 2 == 1) out[size - 1] = (... + (even_weight[K] * even[size / 2 + K]));
}

// One output for two inputs, of which one is even and one odd, as are the taps.
template <class A, int... K>
void shrink_by_two(Pack<K...>, const A* even, const A* odd, const A* weights, A* __restrict out, int64_t size) {
  const A even_weight[] = {weights[2 * K]...}, odd_weight[] = {weights[2 * K + 1]...};
  for (int64_t i = 0; i < size; ++i)
    out[i] = (... + (even_weight[K] * even[i + K])) + (... + (odd_weight[K] * odd[i + K]));
}

// Brings together what lies `step` apart: `step` rows of `length` each.
template <class A>
void split(const A* in, int64_t step, A* __restrict out, int64_t length) {
  if (step == 2) {
    A* __restrict odd = out + length;
    for (int64_t i = 0; i < length; ++i) out[i] = in[2 * i], odd[i] = in[2 * i + 1];
    return;
  }
  for (int64_t phase = 0; phase < step; ++phase)
    for (int64_t i = 0; i < length; ++i) out[phase * length + i] = in[i * step + phase];
}

}  // namespace
}  // namespace ganaug
