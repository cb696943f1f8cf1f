// upfirdn2d on CUDA devices. The arithmetic is in cuda/upfirdn2d.h and cuda/upfirdn2d_tiles.h.
#include <algorithm>
#include <cstdlib>

#include "cuda/half.h"
#include "cuda/launch.h"
#include "cuda/upfirdn2d.h"
#include "cuda/upfirdn2d_tiles.h"

namespace ganaug::cuda {
namespace {

constexpr int kLogThreads = 8, kThreads = 1 << kLogThreads;
constexpr int64_t kSharedBytes = 48 * 1024;     // what a block has without asking for more
constexpr int64_t kMostBlocks = 65535;          // of a grid along y and z
constexpr int64_t kMostGroups = 65535;          // of planes, as blocks of their own
constexpr int64_t kInt = int64_t(1) << 31;      // beyond what 32 bits hold
constexpr int64_t kIntSize = int64_t(1) << 31;  // the same, of whole tensors

template <typename C, typename T>
__global__ void __launch_bounds__(kThreads) tiles_kernel(const __grid_constant__ Tiles<T> call) {
  extern __shared__ __align__(16) float shared[];
  float *f = shared, *tile = shared + room_for_taps<C>();
  for (int i = threadIdx.x; i < C::taps_y * C::taps_x; i += blockDim.x) f[i] = call.f[i];
  Place at{int(blockIdx.x), int(blockIdx.y), int(blockIdx.z), int(threadIdx.x), int(blockDim.x)};
  for (; (int64_t(at.group) << call.log_z) < call.planes; at.group += gridDim.z) {
    call.pairs ? read_tile<C, kPair>(call, tile, at) : read_tile<C, 1>(call, tile, at);
    __syncthreads();
    Sums<C> sums;
    filter_tile<C>(call, tile, f, at, sums);
    if (call.direct) {
      write_patch<C>(call, sums, at);
    } else {
      __syncthreads();
      stage_patch<C>(call, tile, sums, at);
      __syncthreads();
      write_staged<C>(call, tile, at);
    }
    __syncthreads();
  }
}

template <typename C, typename T>
__global__ void __launch_bounds__(kThreads) pixels_kernel(const __grid_constant__ Pixels<T> call) {
  filter_pixels<C>(call, blockIdx.x * kThreads + threadIdx.x, blockIdx.y, blockIdx.z);
}

template <typename T, typename Index>
__global__ void __launch_bounds__(kThreads)
    general_kernel(const __grid_constant__ General<T, Index> call, int64_t size) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i < size) filter_one(call, Index(i));
}

template <typename T>
bool on_vector(const void* pointer, int size) {
  return reinterpret_cast<uintptr_t>(pointer) % (sizeof(T) * size) == 0;
}

Sizes sizes_of(const UpFirDn2dCall& call) {
  return {int(call.in_height), int(call.in_width), int(call.out_height), int(call.out_width),
          int(call.left),      int(call.top),      float(call.gain)};
}

template <typename C, typename T>
void run_tiles(const UpFirDn2dCall& call, cudaStream_t stream) {
  const int64_t planes = call.images * call.channels;
  const Tiling<C, T> tiling(call.out_height, call.out_width, planes, kLogThreads, kSharedBytes);
  const bool pairs = call.in_width % kPair == 0 && on_vector<T>(call.x, kPair);
  const bool direct = call.out_width % C::patch_x == 0 && on_vector<T>(call.out, C::patch_x);
  const Tiles<T> tiles = tiling.tiles(static_cast<const T*>(call.x), static_cast<T*>(call.out), call.f, sizes_of(call),
                                      int(planes), pairs, direct);
  const dim3 blocks(unsigned(tiling.across), unsigned(tiling.down), unsigned(std::min(tiling.groups, kMostGroups)));
  tiles_kernel<C, T><<<blocks, tiling.threads(), tiling.bytes(), stream>>>(tiles);
}

template <typename C, typename T>
void run_pixels(const UpFirDn2dCall& call, cudaStream_t stream) {
  const int64_t vectors = call.channels / kChannels, across = (call.out_width + C::patch_x - 1) / C::patch_x;
  const Pixels<T> pixels{static_cast<const T*>(call.x), static_cast<T*>(call.out), call.f,
                         sizes_of(call),                int(call.channels),        Divider<uint32_t>(vectors)};
  const dim3 blocks(unsigned((vectors * across + kThreads - 1) / kThreads),
                    unsigned((call.out_height + C::patch_y - 1) / C::patch_y), unsigned(call.images));
  pixels_kernel<C, T><<<blocks, kThreads, 0, stream>>>(pixels);
}

template <typename T, typename Index>
void run_general(const UpFirDn2dCall& call, cudaStream_t stream) {
  const Axis<Index> x{Index(call.in_width), Index(call.out_width), call.up_x,
                      call.down_x,          Index(call.left),      call.taps_x};
  const Axis<Index> y{Index(call.in_height), Index(call.out_height), call.up_y,
                      call.down_y,           Index(call.top),        call.taps_y};
  const General<T, Index> general{static_cast<const T*>(call.x), static_cast<T*>(call.out), call.f, x, y,
                                  Index(call.channels),          call.channels_last,        call.gain};
  const int64_t size = call.images * call.channels * call.out_height * call.out_width;
  general_kernel<T, Index><<<unsigned((size + kThreads - 1) / kThreads), kThreads, 0, stream>>>(general, size);
}

template <typename C>
bool is_case(const UpFirDn2dCall& call) {
  return call.up_x == C::up_x && call.up_y == C::up_y && call.down_x == C::down_x && call.down_y == C::down_y &&
         call.taps_x == C::taps_x && call.taps_y == C::taps_y && call.left % C::up_x == 0 && call.top % C::up_y == 0;
}

// Whether coordinates, padding included, are far from what 32 bits hold.
bool has_small_sides(const UpFirDn2dCall& call) {
  const int64_t x = std::max(call.in_width * call.up_x, call.out_width * call.down_x) + std::abs(call.left);
  const int64_t y = std::max(call.in_height * call.up_y, call.out_height * call.down_y) + std::abs(call.top);
  return std::max(x + call.taps_x, y + call.taps_y) < kInt / 4;
}

// Offsets within an image are 32-bit numbers, those of images 64-bit numbers.
bool has_small_images(const UpFirDn2dCall& call, int64_t channels) {
  return has_small_sides(call) && call.in_height * call.in_width * channels < kInt &&
         call.out_height * call.out_width * channels < kInt && call.images * call.channels < kInt / 2 &&
         call.out_height <= kMostBlocks;
}

template <typename C, typename T>
bool run_as_tiles(const UpFirDn2dCall& call, cudaStream_t stream) {
  if (!is_case<C>(call)) return false;
  run_tiles<C, T>(call, stream);
  return true;
}

template <typename C, typename T>
bool run_as_pixels(const UpFirDn2dCall& call, cudaStream_t stream) {
  if (!is_case<C>(call)) return false;
  run_pixels<C, T>(call, stream);
  return true;
}

// The filters of StyleGAN2 and, one axis after the other, of its augmentations: up, down, taps, patch; x before y.
template <typename T>
bool run_known_case(const UpFirDn2dCall& call, cudaStream_t stream) {
  if (!call.channels_last) {
    return has_small_images(call, 1) && (run_as_tiles<Case<1, 1, 1, 1, 4, 4, 4, 4>, T>(call, stream) ||
                                         run_as_tiles<Case<2, 2, 1, 1, 4, 4, 4, 4>, T>(call, stream) ||
                                         run_as_tiles<Case<1, 1, 2, 2, 4, 4, 2, 4>, T>(call, stream) ||
                                         run_as_tiles<Case<2, 1, 1, 1, 12, 1, 4, 4>, T>(call, stream) ||
                                         run_as_tiles<Case<1, 2, 1, 1, 1, 12, 4, 4>, T>(call, stream) ||
                                         run_as_tiles<Case<1, 1, 2, 1, 12, 1, 2, 4>, T>(call, stream) ||
                                         run_as_tiles<Case<1, 1, 1, 2, 1, 12, 4, 2>, T>(call, stream));
  }
  const bool aligned = on_vector<T>(call.x, kChannels) && on_vector<T>(call.out, kChannels);
  return aligned && call.channels % kChannels == 0 && call.images <= kMostBlocks &&
         has_small_images(call, call.channels) &&
         (run_as_pixels<Case<1, 1, 1, 1, 4, 4, 4, 2>, T>(call, stream) ||
          run_as_pixels<Case<2, 2, 1, 1, 4, 4, 4, 2>, T>(call, stream) ||
          run_as_pixels<Case<1, 1, 2, 2, 4, 4, 2, 4>, T>(call, stream));
}

template <typename T>
void run(const UpFirDn2dCall& call, cudaStream_t stream) {
  const int64_t images = call.images * call.channels;
  if constexpr (sizeof(T) <= sizeof(float)) {  // doubles serve checks of gradients, not speed
    if (run_known_case<T>(call, stream)) return;
  }
  const bool small = has_small_sides(call) && images * call.in_height * call.in_width < kIntSize &&
                     images * call.out_height * call.out_width < kIntSize;
  small ? run_general<T, int32_t>(call, stream) : run_general<T, int64_t>(call, stream);
}

}  // namespace

void launch(const UpFirDn2dCall& call, cudaStream_t stream) {
  switch (call.type) {
    case Type::f64: return run<double>(call, stream);
    case Type::f32: return run<float>(call, stream);
    case Type::f16: return run<__half>(call, stream);
    case Type::bf16: return run<__nv_bfloat16>(call, stream);
  }
}

}  // namespace ganaug::cuda
