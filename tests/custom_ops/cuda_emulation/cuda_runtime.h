// As much of CUDA as the kernels use, on the CPU: a block's threads are coroutines that take turns at every barrier,
// the blocks follow one another. Memory errors are left to the compiler's sanitizers, races to the order of the turns.
#pragma once
#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <vector>

#define __global__
#define __device__
#define __shared__ static
#define __grid_constant__
#define __launch_bounds__(threads)

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
using cudaStream_t = void*;

inline dim3 blockIdx, threadIdx, blockDim, gridDim;

namespace emulation {

constexpr size_t kStackBytes = 64 * 1024;

struct Coroutine {
  ucontext_t context;
  std::unique_ptr<char[]> stack{new char[kStackBytes]};
  bool done;
};

inline std::vector<Coroutine> coroutines(1024);
inline ucontext_t scheduler;
inline unsigned current;
inline const std::function<void()>* body;
inline std::unique_ptr<float[]> shared;  // allocated to its exact size, so that the sanitizer knows where it ends

inline void enter() {
  (*body)();
  coroutines[current].done = true;
}

inline void run_block(unsigned threads) {
  for (unsigned i = 0; i < threads; ++i) {
    Coroutine& one = coroutines[i];
    one.done = false;
    getcontext(&one.context);
    one.context.uc_stack.ss_sp = one.stack.get();
    one.context.uc_stack.ss_size = kStackBytes;
    one.context.uc_link = &scheduler;
    makecontext(&one.context, enter, 0);
  }
  bool upwards = true;
  for (unsigned left = threads; left > 0; upwards = !upwards) {  // a race that one order hides, the other shows
    left = 0;
    for (unsigned i = 0; i < threads; ++i) {
      current = upwards ? i : threads - 1 - i;
      if (coroutines[current].done) continue;
      threadIdx.x = current;
      swapcontext(&scheduler, &coroutines[current].context);
      left += !coroutines[current].done;
    }
  }
}

inline void launch(dim3 blocks, dim3 threads, int64_t shared_bytes, cudaStream_t, const std::function<void()>& kernel) {
  gridDim = blocks, blockDim = threads, body = &kernel;
  const int64_t floats = shared_bytes / int64_t(sizeof(float));
  for (blockIdx.z = 0; blockIdx.z < blocks.z; ++blockIdx.z)
    for (blockIdx.y = 0; blockIdx.y < blocks.y; ++blockIdx.y)
      for (blockIdx.x = 0; blockIdx.x < blocks.x; ++blockIdx.x) {
        shared.reset(new float[floats]);
        for (int64_t i = 0; i < floats; ++i) shared[i] = std::numeric_limits<float>::quiet_NaN();
        run_block(threads.x);
      }
}

}  // namespace emulation

inline void __syncthreads() { swapcontext(&emulation::coroutines[emulation::current].context, &emulation::scheduler); }
