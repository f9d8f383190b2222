/* Products of 16-bit floats by a warp on tensor cores: c (16 x 8, float) += a (16 x 16) b (16 x 8), as PTX defines
 * mma.m16n8k16 and ldmatrix.
 *
 * With g = lane / 4 and t = lane % 4 a lane holds, two 16-bit floats a register:
 *   a  (g, 2t) (g + 8, 2t) (g, 2t + 8) (g + 8, 2t + 8)       b  (2t, g) (2t + 8, g), pairs along k
 *   c  (g, 2t) (g, 2t + 1) (g + 8, 2t) (g + 8, 2t + 1)
 * So c's of two tiles side by side, rounded, are an a. Below compute capability 8.0, and on the host, shuffles do the
 * same. */
#ifndef MT_CUDA_MMA_CUH
#define MT_CUDA_MMA_CUH
#include "cuda/kernel.cuh"

#define ALL_LANES 0xffffffffu
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#define HAS_MMA 1
#else
#define HAS_MMA 0
#endif

template <class T> static __device__ inline uint32_t pair_of(float low, float high) {
  return (uint32_t)T::store(low) | (uint32_t)T::store(high) << 16;
}

#if !HAS_MMA
/* Two registers of another lane. */
static __device__ inline void of_lane(uint32_t *to, const uint32_t *own, int lane) {
  unsigned long long both = __shfl_sync(ALL_LANES, own[0] | (unsigned long long)own[1] << 32, lane);
  to[0] = (uint32_t)both, to[1] = (uint32_t)(both >> 32);
}
template <class T> static __device__ inline float half_of(uint32_t pair, int which) {
  return T::load((uint16_t)(pair >> 16 * which));
}
#endif

template <class T>
static __device__ inline void multiply_add(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if HAS_MMA
  if constexpr (std::is_same<T, F16>::value)
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  else
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  int lane = (int)threadIdx.x % 32, g = lane / 4, t = lane % 4;
  uint32_t row[4][4], column[2][4][2]; /* what the 4 lanes have that hold this lane's rows of a, its columns of b */
  for (int s = 0; s < 4; s++) {
    for (int k = 0; k < 4; k += 2) of_lane(row[s] + k, a + k, 4 * g + s);
    for (int e = 0; e < 2; e++) of_lane(column[e][s], b, 4 * (2 * t + e) + s);
  }
  for (int half = 0; half < 2; half++)     /* of the 16 rows */
    for (int e = 0; e < 2; e++)            /* of this lane's two columns */
      for (int part = 0; part < 2; part++) /* of k */
        for (int s = 0; s < 4; s++)
          for (int k = 0; k < 2; k++)
            c[2 * half + e] += half_of<T>(row[s][2 * part + half], k) * half_of<T>(column[e][s][part], k);
#endif
}

/* Four 8 x 8 tiles from shared memory: lane 8 m + r says where row r of tile m begins, 16 bytes. A lane gets (g, 2t)
 * and (g, 2t + 1) of each, TURNED (2t, g) and (2t + 1, g). */
template <bool TURNED> static __device__ inline void load_tiles(uint32_t (&to)[4], const uint16_t *row) {
#if HAS_MMA
  unsigned at = (unsigned)__cvta_generic_to_shared(row);
  if constexpr (TURNED)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(at)
                 : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(at)
                 : "memory");
#else
  int lane = (int)threadIdx.x % 32, g = lane / 4, t = lane % 4;
  for (int m = 0; m < 4; m++) {
    const uint16_t *first =
        (const uint16_t *)__shfl_sync(ALL_LANES, (unsigned long long)row, 8 * m + (TURNED ? 2 * t : g));
    if (TURNED) {
      const uint16_t *second = (const uint16_t *)__shfl_sync(ALL_LANES, (unsigned long long)row, 8 * m + 2 * t + 1);
      to[m] = (uint32_t)first[g] | (uint32_t)second[g] << 16;
    } else {
      to[m] = (uint32_t)first[2 * t] | (uint32_t)first[2 * t + 1] << 16;
    }
  }
#endif
}
#endif
