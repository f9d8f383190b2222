/* The Box-Muller transform in float, as PyTorch's vectorised kernel computes it.
 *
 * Invariant: the same operations in the same order as that kernel, the fused ones included, so that randn is equal to
 * the last bit. Logarithm, sine and cosine are the approximations of Cephes (Moshier, 1989) for float. */
#include "base/box_muller.h"
#include <math.h>

enum { BLOCK = 16 };

/* Natural logarithm of x in (0, 1]: the exponent times ln 2, in two parts, and a polynomial around 1. */
VECTOR_INLINE Floats log_floats(Floats x, bool native) {
  static const float p[] = {-1.1514610310e-1f, 1.1676998740e-1f, -1.2420140846e-1f, 1.4249322787e-1f,
                            -1.6668057665e-1f, 2.0000714765e-1f, -2.4999993993e-1f, 3.3333331174e-1f};
  Ints bits = (Ints)x;
  Ints exponent = (bits >> 23) - 126;
  Floats m = (Floats)((bits & 0x7fffff) | 0x3f000000);
  Ints small = m < floats_of(0.707106781186547524f);
  exponent += small;
  m = (m - 1.0f) + (Floats)(small & (Ints)m);
  Floats e = __builtin_convertvector(exponent, Floats), z = m * m, y = floats_of(7.0376836292e-2f);
  for (int i = 0; i < 8; i++) y = fused(y, m, floats_of(p[i]), native);
  y = fused(y * m, z, e * -2.12194440e-4f, native);
  y = fused(-z, floats_of(0.5f), y, native);
  return fused(e, floats_of(0.693359375f), m + y, native);
}

VECTOR_INLINE Floats floats_select(Ints mask, Floats a, Floats b) {
  return (Floats)((mask & (Ints)a) | (~mask & (Ints)b));
}

/* Sine and cosine of x >= 0: reduced to an eighth of the circle, then one of two polynomials each. */
VECTOR_INLINE void sincos_floats(Floats x, Floats *sine, Floats *cosine, bool native) {
  Ints octant = (__builtin_convertvector(x * 1.27323954473516f, Ints) + 1) & ~1;
  Floats y = __builtin_convertvector(octant, Floats);
  x = fused(y, floats_of(-0.78515625f), x, native);
  x = fused(y, floats_of(-2.4187564849853515625e-4f), x, native);
  x = fused(y, floats_of(-3.77489497744594108e-8f), x, native);
  Floats z = x * x;
  Floats c = fused(floats_of(2.443315711809948e-5f), z, floats_of(-1.388731625493765e-3f), native);
  c = fused(c, z, floats_of(4.166664568298827e-2f), native);
  c = fused(c * z, z, -(z * 0.5f), native) + 1.0f;
  Floats s = fused(floats_of(-1.9515295891e-4f), z, floats_of(8.3321608736e-3f), native);
  s = fused(s, z, floats_of(-1.6666654611e-1f), native);
  s = fused(s * z, x, x, native);
  Ints swap = (octant & 2) != 0;
  Ints sine_sign = (octant & 4) << 29, cosine_sign = (~(octant - 2) & 4) << 29;
  *sine = (Floats)((Ints)floats_select(swap, c, s) ^ sine_sign);
  *cosine = (Floats)((Ints)floats_select(swap, s, c) ^ cosine_sign);
}

VECTOR_INLINE void transform(float *numbers, int k, float mean, float std, bool native) {
  for (int at = 0; at < k; at += BLOCK)
    for (int j = at; j < at + BLOCK / 2; j += 4) {
      Floats radius = log_floats(1.0f - floats_load(numbers + j), native) * -2.0f, sine, cosine;
      for (int i = 0; i < 4; i++) radius[i] = sqrtf(radius[i]);
      sincos_floats(floats_load(numbers + j + 8) * 6.28318530717958648f, &sine, &cosine, native);
      floats_store(numbers + j, fused(radius * cosine, floats_of(std), floats_of(mean), native));
      floats_store(numbers + j + 8, fused(radius * sine, floats_of(std), floats_of(mean), native));
    }
}

#if defined(__x86_64__) && !defined(__FMA__)
__attribute__((target("avx2,fma"))) static void transform_fma(float *numbers, int k, float mean, float std) {
  transform(numbers, k, mean, std, true);
}

void box_muller_floats(float *numbers, int k, float mean, float std) {
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    transform_fma(numbers, k, mean, std);
  else
    transform(numbers, k, mean, std, false);
}
#else
void box_muller_floats(float *numbers, int k, float mean, float std) {
#if defined(__FMA__) || defined(__aarch64__)
  transform(numbers, k, mean, std, true);
#else
  transform(numbers, k, mean, std, false);
#endif
}
#endif
