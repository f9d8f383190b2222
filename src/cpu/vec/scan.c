/* Running sums and products of one packed row of float32.
 *
 * A vector of doubles is summed up within itself by adding it shifted by 1, 2, 4 lanes; what all before it came to is added
 * last, so that one addition a vector is all that waits for the one before. Terms meet in another order than one by one,
 * but in double: rounded to float32 the sums are the same but for the rarest last bit. */
#include "cpu/scan.h"

#if defined(__AVX512F__)
#include <immintrin.h>
typedef __m512d V;
enum { LANES = 8 };
#define LOAD(p) _mm512_cvtps_pd(_mm256_loadu_ps(p))
#define STORE(p, v) _mm256_storeu_ps(p, _mm512_cvtpd_ps(v))
#define ALL(x) _mm512_set1_pd(x)
#define LAST(v) _mm512_permutexvar_pd(_mm512_set1_epi64(7), v)
/* v moved up by k lanes, with those of `none` below. */
#define UP(v, none, k) (__m512d) _mm512_alignr_epi64((__m512i)(v), (__m512i)(none), 8 - (k))
#define WITHIN(v, none, op)  \
  v = op(v, UP(v, none, 1)); \
  v = op(v, UP(v, none, 2)); \
  v = op(v, UP(v, none, 4));
#define SUM(a, b) _mm512_add_pd(a, b)
#define PRODUCT(a, b) _mm512_mul_pd(a, b)
#elif defined(__AVX2__)
#include <immintrin.h>
typedef __m256d V;
enum { LANES = 4 };
#define LOAD(p) _mm256_cvtps_pd(_mm_loadu_ps(p))
#define STORE(p, v) _mm_storeu_ps(p, _mm256_cvtpd_ps(v))
#define ALL(x) _mm256_set1_pd(x)
#define LAST(v) _mm256_permute4x64_pd(v, 0xff)
#define WITHIN(v, none, op)                                            \
  v = op(v, _mm256_blend_pd(_mm256_permute4x64_pd(v, 0x90), none, 1)); \
  v = op(v, _mm256_permute2f128_pd(v, none, 0x02));
#define SUM(a, b) _mm256_add_pd(a, b)
#define PRODUCT(a, b) _mm256_mul_pd(a, b)
#endif

#if defined(__AVX2__)
#define ROW(name, start, op, sign)                              \
  static void name##_row(const void *px, void *po, int64_t n) { \
    const float *x = px;                                        \
    float *out = po;                                            \
    const V none = ALL(start);                                  \
    V before = none;                                            \
    int64_t i = 0;                                              \
    for (; i + LANES <= n; i += LANES) {                        \
      V v = LOAD(x + i);                                        \
      WITHIN(v, none, op)                                       \
      STORE(out + i, op(before, v));                            \
      before = op(before, LAST(v));                             \
    }                                                           \
    double a = before[0];                                       \
    for (; i < n; i++) {                                        \
      a sign(double) x[i];                                      \
      out[i] = (float)a;                                        \
    }                                                           \
  }
ROW(sum, 0, SUM, +=)
ROW(product, 1, PRODUCT, *=)
const ScanTable VEC(scan_table) = {.sum = sum_row, .product = product_row};
#else
const ScanTable VEC(scan_table) = {.sum = NULL};
#endif
