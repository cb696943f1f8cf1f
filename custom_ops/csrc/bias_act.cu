// bias_act, its slope and the slope's adjoint on CUDA devices. The arithmetic is in cuda/bias_act.h.
#include <algorithm>

#include "cuda/bias_act.h"
#include "cuda/half.h"
#include "cuda/launch.h"

namespace ganaug::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kIntSize = int64_t(1) << 31;  // beyond what 32 bits hold

// One vector a thread: 2048 threads of a multiprocessor then have 32 KiB and more in flight, enough to fill the memory.
template <Op op, int vector, typename T, typename Index>
__global__ void __launch_bounds__(kThreads) elementwise_kernel(const __grid_constant__ Elementwise<T, Index> call) {
  const int64_t first = (int64_t(blockIdx.x) * kThreads + threadIdx.x) * vector;
  if (first < int64_t(call.size)) elementwise<op, vector>(call, Index(first));
}

// Sums of the block's threads, pairwise and thus in an order that is always the same; the result is thread 0's.
template <typename S>
__device__ S sum_of_block(S value, S* shared) {
  shared[threadIdx.x] = value;
  for (int half = kThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
  }
  return shared[0];
}

template <int vector, typename T, typename Index>
__global__ void __launch_bounds__(kThreads) along_channel_kernel(const __grid_constant__ Adjoint<T, Index> call) {
  __shared__ Compute<T> shared[kThreads];
  auto sum = adjoint_along_channel<vector>(call, Index(blockIdx.x), Index(threadIdx.x), Index(kThreads));
  sum = sum_of_block(sum, shared);
  if (threadIdx.x == 0) call.partial[blockIdx.x] = sum;
}

template <int vector, typename T, typename Index>
__global__ void __launch_bounds__(kThreads)
    across_channels_kernel(const __grid_constant__ Adjoint<T, Index> call, int lanes) {
  __shared__ Compute<T> shared[kThreads];
  const int lane = threadIdx.x % lanes, row = threadIdx.x / lanes, rows = kThreads / lanes;
  const int64_t group = int64_t(blockIdx.y) * lanes + lane;
  Compute<T> sums[vector] = {};
  adjoint_across_channels<vector>(call, Index(blockIdx.x), Index(group), Index(row), Index(rows), sums);
#pragma unroll
  for (int i = 0; i < vector; ++i) {
    shared[threadIdx.x] = sums[i];
    for (int half = rows / 2; half > 0; half /= 2) {
      __syncthreads();
      if (row < half) shared[threadIdx.x] += shared[threadIdx.x + half * lanes];
    }
    if (row == 0 && group * vector < call.channels) {
      call.partial[int64_t(group * vector + i) * call.pieces + blockIdx.x] = shared[lane];
    }
    __syncthreads();
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads) sum_pieces_kernel(const Compute<T>* partial, T* db, int pieces) {
  __shared__ Compute<T> shared[kThreads];
  Compute<T> sum = 0;
  for (int piece = threadIdx.x; piece < pieces; piece += kThreads) sum += partial[int64_t(blockIdx.x) * pieces + piece];
  sum = sum_of_block(sum, shared);
  if (threadIdx.x == 0) db[blockIdx.x] = Number<T>::narrow(sum);
}

template <Op op, int vector, typename T, typename Index>
void launch_elementwise(const Elementwise<T, Index>& call, cudaStream_t stream) {
  const int64_t per_block = int64_t(kThreads) * vector;
  const auto blocks = unsigned((int64_t(call.size) + per_block - 1) / per_block);
  elementwise_kernel<op, vector, T, Index><<<blocks, kThreads, 0, stream>>>(call);
}

template <int vector, typename T, typename Index>
void launch_adjoint(const Adjoint<T, Index>& call, T* db, cudaStream_t stream) {
  const auto channels = unsigned(call.channels), pieces = unsigned(call.pieces);
  if (call.inner > 1) {
    along_channel_kernel<vector, T, Index><<<channels * pieces, kThreads, 0, stream>>>(call);
  } else {
    unsigned lanes = 1;
    while (lanes < 32 && lanes * vector < channels) lanes *= 2;
    const dim3 blocks(pieces, (channels + lanes * vector - 1) / (lanes * vector));
    across_channels_kernel<vector, T, Index><<<blocks, kThreads, 0, stream>>>(call, int(lanes));
  }
  sum_pieces_kernel<T><<<channels, kThreads, 0, stream>>>(call.partial, db, int(pieces));
}

template <typename T>
Formula<Compute<T>> formula_of(const BiasActCall& call) {
  using S = Compute<T>;
  const S clamp = S(call.clamp);
  return {call.act, S(call.alpha), S(call.gain), clamp, S(Number<T>::widen(Number<T>::narrow(clamp)))};
}

template <int vector, typename T, typename Index>
void run_elementwise(const BiasActCall& call, cudaStream_t stream) {
  const BiasLayout<Index> layout{Divider<Index>(call.inner), Divider<Index>(call.channels),
                                 pattern_of(call.b != nullptr, call.channels, call.inner, vector)};
  const Elementwise<T, Index> work{static_cast<const T*>(call.x), static_cast<const T*>(call.b),
                                   static_cast<const T*>(call.y), static_cast<T*>(call.out),
                                   Index(call.size),               layout,
                                   formula_of<T>(call)};
  if (call.op != BiasActOp::forward) return launch_elementwise<Op::slope, vector>(work, stream);
  if (is_piecewise_linear(call.act)) return launch_elementwise<Op::piecewise_linear, vector>(work, stream);
  launch_elementwise<Op::smooth, vector>(work, stream);
}

template <int vector, typename T, typename Index>
void run_adjoint(const BiasActCall& call, cudaStream_t stream) {
  const int64_t outer = call.size / (call.channels * call.inner);
  const Adjoint<T, Index> work{static_cast<const T*>(call.x),
                               static_cast<const T*>(call.y),
                               static_cast<T*>(call.out),
                               static_cast<Compute<T>*>(call.partial),
                               Index(outer),
                               Index(call.channels),
                               Index(call.inner),
                               Index(pieces_of(call)),
                               Divider<Index>(std::max<int64_t>(1, call.inner / vector)),
                               formula_of<T>(call)};
  launch_adjoint<vector>(work, static_cast<T*>(call.db), stream);
}

bool on_16_bytes(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }

template <typename T, typename Index>
void run(const BiasActCall& call, cudaStream_t stream) {
  constexpr int wide = 16 / sizeof(T);
  const bool aligned = on_16_bytes(call.x) && on_16_bytes(call.b) && on_16_bytes(call.y) && on_16_bytes(call.out);
  if (!call.db) {
    return aligned ? run_elementwise<wide, T, Index>(call, stream) : run_elementwise<1, T, Index>(call, stream);
  }
  const bool whole = (call.inner > 1 ? call.inner : call.channels) % wide == 0;
  return aligned && whole ? run_adjoint<wide, T, Index>(call, stream) : run_adjoint<1, T, Index>(call, stream);
}

template <typename T>
void run(const BiasActCall& call, cudaStream_t stream) {
  call.size < kIntSize ? run<T, uint32_t>(call, stream) : run<T, uint64_t>(call, stream);
}

}  // namespace

// Some 2048 blocks fill every device, but a block should have 16 KiB and more of its own. Nothing here asks the device,
// so that the order of the sums, and with it the result, is the same on all.
int64_t pieces_of(const BiasActCall& call) {
  const int64_t abreast = call.inner > 1 ? call.channels : (call.channels + 127) / 128;
  const int64_t most = call.size / (abreast * 4096), wanted = (2048 + abreast - 1) / abreast;
  const int64_t pieces = most < wanted ? most : wanted;
  return pieces > 1 ? pieces : 1;
}

void launch(const BiasActCall& call, cudaStream_t stream) {
  switch (call.type) {
    case Type::f64: return run<double>(call, stream);
    case Type::f32: return run<float>(call, stream);
    case Type::f16: return run<__half>(call, stream);
    case Type::bf16: return run<__nv_bfloat16>(call, stream);
  }
}

}  // namespace ganaug::cuda
