// The transformations of Winograd's convolution along one axis, each from IN numbers to OUT.
//
// An input goes by Inputs to what the products take, the taps by Taps to their other factors, and the products by
// Outputs to four outputs; an adjoint takes gradients the other way. Winograd 1980; Lavin and Gray 2016, with the points
// 0, ±3/4, ±3/2 and infinity instead of their 0, ±1, ±2: in float32 the error of a 3×3 convolution is then twice, not
// three times, that of its sum term by term (Barabasz et al. 2020 say why).
#pragma once
#include "vec.h"

namespace ganaug {
namespace {

constexpr int SIDE = 4;  // outputs of a tile, along one axis

// Points ±p: what is even and odd in them, and powers up to the third.
template <int numerator, int denominator>
struct Point {
  static constexpr double one = double(numerator) / denominator, two = one * one, three = two * one;
};

// Σ over a pair of points of their powers, at which Outputs and its adjoint evaluate.
template <class A, class P, class V>
inline void at_points(const V (&y)[SIDE], V& plus, V& minus) {
  const V even = y[0] + A(P::two) * y[2], odd = A(P::one) * y[1] + A(P::three) * y[3];
  plus = even + odd, minus = even - odd;
}

// F(4, 3): six products instead of twelve for four outputs of three taps.
struct Stride1 {
  using P = Point<3, 4>;
  using Q = Point<3, 2>;
  static constexpr int PRODUCTS = 6, FACTORS = 6;
  static constexpr double BOTH = P::two + Q::two, ALL = P::two * Q::two;
  static constexpr double TO_ZERO = 1 / ALL;  // the taps' scales
  static constexpr double TO_P = 1 / (2 * P::two * (P::two - Q::two)), TO_Q = 1 / (2 * Q::two * (Q::two - P::two));

  struct Inputs {
    static constexpr int IN = 6, OUT = PRODUCTS;
    template <class A, class V>
    static void apply(const V (&d)[IN], V (&v)[OUT]) {
      const V even_p = d[4] - A(Q::two) * d[2], odd_p = A(P::one) * (d[3] - A(Q::two) * d[1]);
      const V even_q = d[4] - A(P::two) * d[2], odd_q = A(Q::one) * (d[3] - A(P::two) * d[1]);
      v[0] = A(ALL) * d[0] - A(BOTH) * d[2] + d[4];
      v[1] = even_p + odd_p, v[2] = even_p - odd_p;
      v[3] = even_q + odd_q, v[4] = even_q - odd_q;
      v[5] = A(ALL) * d[1] - A(BOTH) * d[3] + d[5];
    }
  };
  struct Outputs {
    static constexpr int IN = PRODUCTS, OUT = SIDE;
    template <class A, class V>
    static void apply(const V (&m)[IN], V (&y)[OUT]) {
      const V even_p = m[1] + m[2], odd_p = m[1] - m[2], even_q = m[3] + m[4], odd_q = m[3] - m[4];
      y[0] = m[0] + even_p + even_q;
      y[1] = A(P::one) * odd_p + A(Q::one) * odd_q;
      y[2] = A(P::two) * even_p + A(Q::two) * even_q;
      y[3] = A(P::three) * odd_p + A(Q::three) * odd_q + m[5];
    }
  };
  struct OutputsAdjoint {
    static constexpr int IN = SIDE, OUT = PRODUCTS;
    template <class A, class V>
    static void apply(const V (&y)[IN], V (&m)[OUT]) {
      m[0] = y[0];
      at_points<A, P>(y, m[1], m[2]);
      at_points<A, Q>(y, m[3], m[4]);
      m[5] = y[3];
    }
  };
  struct Taps {
    static constexpr int IN = 3, OUT = FACTORS;
    template <class A, class V>
    static void apply(const V (&g)[IN], V (&u)[OUT]) {
      const V even_p = A(TO_P) * (g[0] + A(P::two) * g[2]), odd_p = A(TO_P * P::one) * g[1];
      const V even_q = A(TO_Q) * (g[0] + A(Q::two) * g[2]), odd_q = A(TO_Q * Q::one) * g[1];
      u[0] = A(TO_ZERO) * g[0];
      u[1] = even_p + odd_p, u[2] = even_p - odd_p;
      u[3] = even_q + odd_q, u[4] = even_q - odd_q;
      u[5] = g[2];
    }
  };
  struct TapsAdjoint {
    static constexpr int IN = FACTORS, OUT = 3;
    template <class A, class V>
    static void apply(const V (&u)[IN], V (&g)[OUT]) {
      const V even_p = A(TO_P) * (u[1] + u[2]), even_q = A(TO_Q) * (u[3] + u[4]);
      g[0] = A(TO_ZERO) * u[0] + even_p + even_q;
      g[1] = A(TO_P * P::one) * (u[1] - u[2]) + A(TO_Q * Q::one) * (u[3] - u[4]);
      g[2] = A(P::two) * even_p + A(Q::two) * even_q + u[5];
    }
  };
};

// Four outputs of three taps, two inputs apart: the outer taps see the even inputs, F(4, 2) at ±1/2, ±3/2 and infinity,
// and the middle tap sees the odd ones. Nine products instead of twelve; the last four share one factor.
struct Stride2 {
  using P = Point<1, 2>;
  using Q = Point<3, 2>;
  static constexpr int PRODUCTS = 9, FACTORS = 6;
  static constexpr double BOTH = P::two + Q::two, ALL = P::two * Q::two;
  static constexpr double TO_P = 1 / (2 * P::one * (P::two - Q::two)), TO_Q = 1 / (2 * Q::one * (Q::two - P::two));

  struct Inputs {
    static constexpr int IN = 9, OUT = PRODUCTS;
    template <class A, class V>
    static void apply(const V (&d)[IN], V (&v)[OUT]) {
      const V odd_p = d[6] - A(Q::two) * d[2], even_p = A(P::one) * (d[4] - A(Q::two) * d[0]);
      const V odd_q = d[6] - A(P::two) * d[2], even_q = A(Q::one) * (d[4] - A(P::two) * d[0]);
      v[0] = odd_p + even_p, v[1] = odd_p - even_p;
      v[2] = odd_q + even_q, v[3] = odd_q - even_q;
      v[4] = A(ALL) * d[0] - A(BOTH) * d[4] + d[8];
      for (int i = 0; i < SIDE; ++i) v[5 + i] = d[2 * i + 1];
    }
  };
  struct InputsAdjoint {
    static constexpr int IN = PRODUCTS, OUT = 9;
    template <class A, class V>
    static void apply(const V (&v)[IN], V (&d)[OUT]) {
      const V odd_p = v[0] + v[1], even_p = A(P::one) * (v[0] - v[1]);
      const V odd_q = v[2] + v[3], even_q = A(Q::one) * (v[2] - v[3]);
      d[0] = A(ALL) * v[4] - A(Q::two) * even_p - A(P::two) * even_q;
      d[2] = -A(Q::two) * odd_p - A(P::two) * odd_q;
      d[4] = even_p + even_q - A(BOTH) * v[4];
      d[6] = odd_p + odd_q;
      d[8] = v[4];
      for (int i = 0; i < SIDE; ++i) d[2 * i + 1] = v[5 + i];
    }
  };
  struct Outputs {
    static constexpr int IN = PRODUCTS, OUT = SIDE;
    template <class A, class V>
    static void apply(const V (&m)[IN], V (&y)[OUT]) {
      const V even_p = m[0] + m[1], odd_p = m[0] - m[1], even_q = m[2] + m[3], odd_q = m[2] - m[3];
      y[0] = even_p + even_q + m[5];
      y[1] = A(P::one) * odd_p + A(Q::one) * odd_q + m[6];
      y[2] = A(P::two) * even_p + A(Q::two) * even_q + m[7];
      y[3] = A(P::three) * odd_p + A(Q::three) * odd_q + m[4] + m[8];
    }
  };
  struct OutputsAdjoint {
    static constexpr int IN = SIDE, OUT = PRODUCTS;
    template <class A, class V>
    static void apply(const V (&y)[IN], V (&m)[OUT]) {
      at_points<A, P>(y, m[0], m[1]);
      at_points<A, Q>(y, m[2], m[3]);
      m[4] = y[3];
      for (int i = 0; i < SIDE; ++i) m[5 + i] = y[i];
    }
  };
  struct Taps {
    static constexpr int IN = 3, OUT = FACTORS;
    template <class A, class V>
    static void apply(const V (&g)[IN], V (&u)[OUT]) {
      const V even_p = A(TO_P) * g[0], odd_p = A(TO_P * P::one) * g[2];
      const V even_q = A(TO_Q) * g[0], odd_q = A(TO_Q * Q::one) * g[2];
      u[0] = odd_p + even_p, u[1] = odd_p - even_p;
      u[2] = odd_q + even_q, u[3] = odd_q - even_q;
      u[4] = g[2];
      u[5] = g[1];
    }
  };
  struct TapsAdjoint {
    static constexpr int IN = FACTORS, OUT = 3;
    template <class A, class V>
    static void apply(const V (&u)[IN], V (&g)[OUT]) {
      g[0] = A(TO_P) * (u[0] - u[1]) + A(TO_Q) * (u[2] - u[3]);
      g[1] = u[5];
      g[2] = A(TO_P * P::one) * (u[0] + u[1]) + A(TO_Q * Q::one) * (u[2] + u[3]) + u[4];
    }
  };
};

// A transformation along both axes; load(y, x) gives registers, store(y, x, value) takes them.
template <class T, class A, class Load, class Store>
inline void transform(const Load& load, const Store& store) {
  Vec<A> half[T::OUT][T::IN];
  for (int x = 0; x < T::IN; ++x) {
    Vec<A> column[T::IN], result[T::OUT];
    for (int y = 0; y < T::IN; ++y) column[y] = load(y, x);
    T::template apply<A>(column, result);
    for (int y = 0; y < T::OUT; ++y) half[y][x] = result[y];
  }
  for (int y = 0; y < T::OUT; ++y) {
    Vec<A> result[T::OUT];
    T::template apply<A>(half[y], result);
    for (int x = 0; x < T::OUT; ++x) store(y, x, result[x]);
  }
}

}  // namespace
}  // namespace ganaug
