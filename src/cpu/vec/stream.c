/* Stores past the caches: copies, and arithmetic whose two inputs leave no room for a buffer beside them.
 *
 * Whole lines of 64 bytes are written at once; the ends, up to a line each, as usual. The caller fences. */
#include "cpu/pointwise.h"
#include "cpu/stream.h"
#include <string.h>

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
typedef float V_bytes __attribute__((vector_size(WIDTH), aligned(1)));
typedef double V_f64 __attribute__((vector_size(WIDTH), aligned(8)));

static void stream_copy(char *to, const char *from, int64_t bytes) {
  int64_t i = -(int64_t)(uintptr_t)to & 63;
  if (i > bytes) i = bytes;
  memcpy(to, from, (size_t)i);
  for (; i + 64 <= bytes; i += 64)
    for (int k = 0; k < 64; k += WIDTH)
      STREAM_f32((float *)(void *)(to + i + k), *(const V_bytes *)(const void *)(from + i + k));
  memcpy(to + i, from + i, (size_t)(bytes - i));
}

/* Operands that are not packed go to the ordinary rows. */
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
    .copy = stream_copy,
    .f32 = {stream_add_f32, stream_sub_f32, stream_mul_f32, stream_div_f32},
    .f64 = {stream_add_f64, stream_sub_f64, stream_mul_f64, stream_div_f64},
};
#else
const StreamTable VEC(stream_table) = {.copy = NULL};
#endif
