/* Sums over the threads of a block before each one. */
#ifndef MT_CUDA_PREFIX_CUH
#define MT_CUDA_PREFIX_CUH
#include "cuda/group.cuh"

/* The sum of v over the threads before this one, and of all in *total. Every thread of the block calls it. */
static __device__ inline uint32_t block_before(uint32_t v, uint32_t *total) {
  __shared__ uint32_t of_warp[MOST_WARPS];
  int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP, warps = (int)blockDim.x / WARP;
  uint32_t sum = v;
  for (int by = 1; by < WARP; by *= 2) {
    uint32_t other = __shfl_up_sync(0xffffffffu, sum, by);
    if (lane >= by) sum += other;
  }
  __syncthreads(); /* the room may still be read for the last result */
  if (lane == WARP - 1) of_warp[warp] = sum;
  __syncthreads();
  uint32_t before = 0, all = 0;
  for (int w = 0; w < warps; w++) {
    if (w == warp) before = all;
    all += of_warp[w];
  }
  *total = all;
  return before + sum - v;
}
#endif
