/* Four floats at a time, and the Box-Muller transform on them, to the last bit as PyTorch's kernels compute it. */
#ifndef MT_BOX_MULLER_H
#define MT_BOX_MULLER_H
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Turns k uniform numbers of [0, 1), k a multiple of 16, into normal ones: in each block of 16 the first eight give the
 * radii and the others the angles. */
void box_muller_floats(float *numbers, int k, float mean, float std);

/* Vectors of four, which every 64-bit processor has. */
typedef float Floats __attribute__((vector_size(16)));
typedef int32_t Ints __attribute__((vector_size(16)));
typedef double Doubles __attribute__((vector_size(32)));

#define VECTOR_INLINE static inline __attribute__((always_inline))
VECTOR_INLINE Floats floats_load(const float *from) {
  Floats v;
  memcpy(&v, from, sizeof v);
  return v;
}
VECTOR_INLINE void floats_store(float *to, Floats v) { memcpy(to, &v, sizeof v); }
VECTOR_INLINE Floats floats_of(float x) { return (Floats){x, x, x, x}; }

/* a * b + c rounded once. native: the caller is compiled for a processor with such an instruction, and the lanes become
 * one. Else the product is exact in double, and the sum rounds to double before it rounds to float, which differs from
 * one rounding in some 2^-29 of all cases. */
VECTOR_INLINE Floats fused(Floats a, Floats b, Floats c, bool native) {
  if (native) {
    Floats sum;
    for (int i = 0; i < 4; i++) sum[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return sum;
  }
  Doubles sum =
      __builtin_convertvector(a, Doubles) * __builtin_convertvector(b, Doubles) + __builtin_convertvector(c, Doubles);
  return __builtin_convertvector(sum, Floats);
}
#endif
