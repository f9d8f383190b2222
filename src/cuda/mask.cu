/* Counting and finding elements that are not zero: blocks count their tiles, one block sums the counts, and then each tile
 * knows where its positions go, so they come out in row-major order. */
#include "cuda/mask.h"
#include "cuda/prefix.cuh"

template <class E> static __device__ inline bool is_set(const MaskRun &r, int64_t i) {
  E x = ((const E *)r.x)[i];
  return (r.is_float ? (E)(x << 1) : x) != 0;
}

template <class E> __global__ void __launch_bounds__(THREADS) mask_count(MaskRun r) {
  int64_t begin = (int64_t)blockIdx.x * MASK_TILE;
  uint32_t count = 0;
  for (int64_t i = begin + threadIdx.x; i < begin + MASK_TILE && i < r.n; i += THREADS) count += is_set<E>(r, i);
  uint32_t all = block_all(count, 0u, [](uint32_t a, uint32_t b) { return a + b; });
  if (threadIdx.x == 0) r.tile[blockIdx.x] = all;
}

__global__ void __launch_bounds__(1024) mask_sum(MaskRun r) {
  uint32_t sum = 0;
  for (int64_t first = 0; first < r.tiles; first += blockDim.x) {
    int64_t i = first + threadIdx.x;
    uint32_t all, before = block_before(i < r.tiles ? r.tile[i] : 0, &all);
    if (i < r.tiles) r.tile[i] = sum + before;
    sum += all;
  }
  if (threadIdx.x == 0) *r.total = (int64_t)sum;
}

template <class E> __global__ void __launch_bounds__(THREADS) mask_places(MaskRun r) {
  int64_t begin = (int64_t)blockIdx.x * MASK_TILE;
  uint32_t sum = r.tile[blockIdx.x], all;
  for (int64_t first = begin; first < begin + MASK_TILE && first < r.n; first += THREADS) {
    int64_t i = first + threadIdx.x;
    bool set = i < r.n && is_set<E>(r, i);
    int64_t at = sum + (int64_t)block_before(set, &all);
    sum += all;
    if (!set) continue;
    if (r.ndim == 0) r.out[at] = i + 1;
    for (int d = r.ndim - 1; d >= 0; d--) {
      int64_t next = i / r.shape[d];
      r.out[at * r.ndim + d] = i - next * r.shape[d] + 1;
      i = next;
    }
  }
}

template <class E> static int launch_count(const MaskRun &r, void *stream) {
  CUDA_LAUNCH(mask_count<E>, (unsigned)r.tiles, THREADS, 0, (cudaStream_t)stream, r);
  CUDA_LAUNCH(mask_sum, 1, 1024, 0, (cudaStream_t)stream, r);
  return launched();
}
template <class E> static int launch_places(const MaskRun &r, void *stream) {
  CUDA_LAUNCH(mask_places<E>, (unsigned)r.tiles, THREADS, 0, (cudaStream_t)stream, r);
  return launched();
}

CUDA_API int cuda_launch_mask_count(int size, const MaskRun *run, void *stream) {
  switch (size) {
  case 1: return launch_count<uint8_t>(*run, stream);
  case 2: return launch_count<uint16_t>(*run, stream);
  case 4: return launch_count<uint32_t>(*run, stream);
  default: return launch_count<uint64_t>(*run, stream);
  }
}
CUDA_API int cuda_launch_mask_places(int size, const MaskRun *run, void *stream) {
  switch (size) {
  case 1: return launch_places<uint8_t>(*run, stream);
  case 2: return launch_places<uint16_t>(*run, stream);
  case 4: return launch_places<uint32_t>(*run, stream);
  default: return launch_places<uint64_t>(*run, stream);
  }
}
