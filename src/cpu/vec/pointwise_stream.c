/* Arithmetic whose result goes past the caches: for outputs so large that the next reader would miss anyway.
 *
 * Non-temporal stores spare the read of each output line before it is written: a quarter of the traffic of c = a + b.
 * The results are those of the ordinary rows, to the bit. Operands that are not packed go there. */
#include "cpu/pointwise.h"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__AVX512F__)
enum { WIDTH = 64 };
#define STREAM_f32(to, v) _mm512_stream_ps(to, (__m512)(v))
#define STREAM_f64(to, v) _mm512_stream_pd(to, (__m512d)(v))
#elif defined(__AVX2__)
enum { WIDTH = 32 };
#define STREAM_f32(to, v) _mm256_stream_ps(to, (__m256)(v))
#define STREAM_f64(to, v) _mm256_stream_pd(to, (__m256d)(v))
#else
enum { WIDTH = 16 };
#define STREAM_f32(to, v) _mm_stream_ps(to, (__m128)(v))
#define STREAM_f64(to, v) _mm_stream_pd(to, (__m128d)(v))
#endif
typedef float V_f32 __attribute__((vector_size(WIDTH), aligned(4)));
typedef double V_f64 __attribute__((vector_size(WIDTH), aligned(8)));

/* Whole lines of 64 bytes are written at once; the ends, up to a line each, as usual. */
#define STREAM(T, S, name, op, DTYPE)                                                                  \
  static void stream_##name##_##S(char **ptr, const int64_t *stride, int64_t n, const void *context) { \
    enum { LANES = WIDTH / sizeof(T), LINE = 64 / sizeof(T) };                                         \
    T *out = (T *)(void *)ptr[0];                                                                      \
    const T *a = (const T *)(const void *)ptr[1], *b = (const T *)(const void *)ptr[2];                \
    if (stride[0] != sizeof(T) || stride[1] != sizeof(T) || stride[2] != sizeof(T)) {                  \
      VEC(pointwise_table).fn[PW_##name][DTYPE](ptr, stride, n, context);                              \
      return;                                                                                          \
    }                                                                                                  \
    int64_t i = 0;                                                                                     \
    for (; i < n && (uintptr_t)(out + i) % 64 != 0; i++) out[i] = a[i] op b[i];                        \
    for (; i + LINE <= n; i += LINE)                                                                   \
      for (int k = 0; k < LINE; k += LANES)                                                            \
        STREAM_##S(out + i + k, *(const V_##S *)(a + i + k) op * (const V_##S *)(b + i + k));          \
    for (; i < n; i++) out[i] = a[i] op b[i];                                                          \
    _mm_sfence();                                                                                      \
  }
#define STREAMS(T, S, DTYPE)  \
  STREAM(T, S, add, +, DTYPE) \
  STREAM(T, S, sub, -, DTYPE) \
  STREAM(T, S, mul, *, DTYPE) \
  STREAM(T, S, div, /, DTYPE)
STREAMS(float, f32, MT_F32)
STREAMS(double, f64, MT_F64)

const StreamTable VEC(stream_table) = {
    .f32 = {stream_add_f32, stream_sub_f32, stream_mul_f32, stream_div_f32},
    .f64 = {stream_add_f64, stream_sub_f64, stream_mul_f64, stream_div_f64},
};
#else
const StreamTable VEC(stream_table) = {.f32 = {NULL}};
#endif
