/* Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers, as easy as 1, 2, 3; 2011): a counter of 128 bits
 * becomes four random words. The counter's upper half is the thread's sequence, its lower half counts calls, the key is the
 * seed: the words that PyTorch's kernels draw. */
#ifndef MT_CUDA_PHILOX_CUH
#define MT_CUDA_PHILOX_CUH
#include "cuda/draw.h"
#include "cuda/kernel.cuh"

struct Philox {
  uint64_t seed, sequence, count;

  __device__ Philox(const DrawFrom &from, uint64_t sequence)
      : seed(from.state ? from.state[0] : from.seed), sequence(sequence),
        count((from.state ? from.state[1] + from.offset : from.offset) / 4) {}

  __device__ uint4 next() {
    uint4 c = {(unsigned)count, (unsigned)(count >> 32), (unsigned)sequence, (unsigned)(sequence >> 32)};
    unsigned key0 = (unsigned)seed, key1 = (unsigned)(seed >> 32);
    for (int round = 0; round < 10; round++) {
      uint64_t a = (uint64_t)c.x * 0xD2511F53u, b = (uint64_t)c.z * 0xCD9E8D57u;
      c = uint4{(unsigned)(b >> 32) ^ c.y ^ key0, (unsigned)b, (unsigned)(a >> 32) ^ c.w ^ key1, (unsigned)a};
      key0 += 0x9E3779B9u;
      key1 += 0xBB67AE85u;
    }
    count++;
    return c;
  }
};

/* (0, 1], of 32 bits and of 53. */
static __device__ inline float unit_f32(unsigned x) { return fmaf((float)x, 0x1p-32f, 0x1p-33f); }
static __device__ inline double unit_f64(unsigned x, unsigned y) {
  uint64_t z = (uint64_t)x ^ ((uint64_t)y << (53 - 32));
  return fma((double)z, 0x1p-53, 0x1p-54);
}

/* Two normal numbers of a pair of words, or of four (Box and Muller, 1958). */
static __device__ inline void normals(uint4 x, int half, float *out) {
  unsigned a = half ? x.z : x.x, b = half ? x.w : x.y;
  float angle = fmaf((float)b, 0x1.921fb6p-30f, 0x1.921fb6p-31f), size = sqrtf(-2.0f * logf(unit_f32(a)));
  out[0] = sinf(angle) * size;
  out[1] = cosf(angle) * size;
}
static __device__ inline void normals(uint4 x, double *out) {
  uint64_t z = (uint64_t)x.z ^ ((uint64_t)x.w << (53 - 32));
  double angle = fma((double)z, 0x1p-52, 0x1p-53), size = sqrt(-2.0 * log(unit_f64(x.x, x.y)));
  out[0] = sinpi(angle) * size;
  out[1] = cospi(angle) * size;
}
#endif
