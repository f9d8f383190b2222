/* Threads that work together: what a group of 1, 32 (a warp) or up to 1024 threads (a block) has found, joined so that
 * every one of them knows it. The order of joining depends on the group's size alone, so results are the same each time. */
#ifndef MT_CUDA_GROUP_CUH
#define MT_CUDA_GROUP_CUH
#include "cuda/kernel.cuh"

enum { WARP = 32, MOST_WARPS = 32 };

template <class V, class Join> static __device__ inline V warp_all(V v, Join join) {
  for (int by = WARP / 2; by > 0; by /= 2) v = join(v, __shfl_xor_sync(0xffffffffu, v, by));
  return v;
}

/* Of all threads of the block, whose number is a multiple of 32; each calls it. `empty` changes nothing when joined.
 * V is at most 16 bytes. */
template <class V, class Join> static __device__ inline V block_all(V v, V empty, Join join) {
  static_assert(sizeof(V) <= 16, "");
  __shared__ uint4 room[MOST_WARPS]; /* of 16 bytes each, for any V */
  V *of_warp = (V *)room;
  int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP, warps = (int)blockDim.x / WARP;
  v = warp_all(v, join);
  __syncthreads(); /* the room may still be read for the last result */
  if (lane == 0) of_warp[warp] = v;
  __syncthreads();
  return warp_all(lane < warps ? of_warp[lane] : empty, join);
}

template <int GROUP, class V, class Join> static __device__ inline V group_all(V v, V empty, Join join) {
  if constexpr (GROUP == 1) return v;
  if constexpr (GROUP == WARP) return warp_all(v, join);
  return block_all(v, empty, join);
}
#endif
