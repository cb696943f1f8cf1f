// Products of matrices whose rows lie where they were computed: nothing is packed.
#pragma once
#include <algorithm>

#include "vec.h"

namespace ganaug {
namespace {

constexpr int MOST_ROWS = 6;  // with two registers a row: 12 sums, two factors and a third fill sixteen registers

// An element of the left factor is at a[row · a_row + k · a_depth].
template <class A>
struct Product {
  const A* a;
  int64_t a_row, a_depth;
  const A* b;  // [depth, columns], rows b_row apart
  int64_t b_row, depth;
  A* out;  // [rows, columns], rows out_row apart
  int64_t out_row;
};

// Two registers of columns in R rows; added to what is there, or in its place.
template <int R, bool add, class A>
void multiply_block(const Product<A>& p, int64_t row, int64_t column) {
  constexpr int W = NUM_LANES<A>;
  const A* a = p.a + row * p.a_row;
  const A* b = p.b + column;
  A* out = p.out + row * p.out_row + column;
  Vec<A> sum[R][2] = {};
  for (int64_t k = 0; k < p.depth; ++k, a += p.a_depth, b += p.b_row) {
    const Vec<A> b0 = at(b), b1 = at(b + W);
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r) {
      const A factor = a[r * p.a_row];
      sum[r][0] += factor * b0;
      sum[r][1] += factor * b1;
    }
  }
  for (int r = 0; r < R; ++r, out += p.out_row) {
    at(out) = add ? at(out) + sum[r][0] : sum[r][0];
    at(out + W) = add ? at(out + W) + sum[r][1] : sum[r][1];
  }
}

template <bool add, class A>
void multiply_rows(const Product<A>& p, int64_t rows, int64_t row, int64_t column) {
  switch (rows) {
    case 1: return multiply_block<1, add>(p, row, column);
    case 2: return multiply_block<2, add>(p, row, column);
    case 3: return multiply_block<3, add>(p, row, column);
    case 4: return multiply_block<4, add>(p, row, column);
    case 5: return multiply_block<5, add>(p, row, column);
    default: return multiply_block<6, add>(p, row, column);
  }
}

// out = a · b, or out += a · b; columns are whole registers, in twos. Rows are shared out evenly among the blocks.
template <bool add, class A>
void multiply(const Product<A>& p, int64_t rows, int64_t columns) {
  const int64_t blocks = (rows + MOST_ROWS - 1) / MOST_ROWS;
  for (int64_t column = 0; column < columns; column += 2 * NUM_LANES<A>)
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t first = block * rows / blocks, last = (block + 1) * rows / blocks;
      multiply_rows<add>(p, last - first, first, column);
    }
}

}  // namespace
}  // namespace ganaug
