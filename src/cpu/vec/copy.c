/* Casts: packed loops between eight types, 16-bit floats by way of float32, and the table of all pairs but a 16-bit
 * float with itself, which is a copy. */
#include "cpu/copy.h"
#include <math.h>
#if defined(__F16C__)
#include <immintrin.h>
#endif

#if defined(__clang__)
#pragma clang diagnostic ignored "-Wpass-failed"
#define NO_OVERLAP _Pragma("clang loop vectorize(assume_safety)")
#else
#define NO_OVERLAP _Pragma("GCC ivdep")
#endif

static void widen_f16(const uint16_t *from, float *to, int64_t n) {
  int64_t i = 0;
#if defined(__F16C__)
  for (; i + 8 <= n; i += 8)
    _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(from + i))));
#endif
  for (; i < n; i++) to[i] = half_to_float(from[i]);
}

static void narrow_f16(const float *from, uint16_t *to, int64_t n) {
  int64_t i = 0;
#if defined(__F16C__)
  for (; i + 8 <= n; i += 8) {
    __m256 x = _mm256_loadu_ps(from + i), sign = _mm256_and_ps(x, _mm256_set1_ps(-0.0f));
    __m256 nan = _mm256_or_ps(sign, _mm256_set1_ps(NAN)); /* its payload is dropped, as float_to_half does */
    x = _mm256_blendv_ps(x, nan, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    _mm_storeu_si128((__m128i *)(void *)(to + i), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
  }
#endif
  for (; i < n; i++) to[i] = float_to_half(from[i]);
}

static void widen_bf16(const uint16_t *from, float *to, int64_t n) {
  NO_OVERLAP for (int64_t i = 0; i < n; i++) to[i] = bfloat_to_float(from[i]);
}

static void narrow_bf16(const float *from, uint16_t *to, int64_t n) {
  NO_OVERLAP for (int64_t i = 0; i < n; i++) to[i] = float_to_bfloat(from[i]);
}

/* Toward zero; what does not fit is the lowest integer, as the processor's own conversion gives. */
static inline int64_t int64_of_f32(float x) { return x >= -0x1p63f && x < 0x1p63f ? (int64_t)x : INT64_MIN; }
static inline int64_t int64_of_f64(double x) { return x >= -0x1p63 && x < 0x1p63 ? (int64_t)x : INT64_MIN; }
static inline int32_t int32_of_f32(float x) { return x >= -0x1p31f && x < 0x1p31f ? (int32_t)x : INT32_MIN; }
static inline int32_t int32_of_f64(double x) { return x > -0x1p31 - 1 && x < 0x1p31 ? (int32_t)x : INT32_MIN; }
/* Beyond 2^31 the low eight bits of a float are 0, as those of INT32_MIN. */
static inline uint8_t uint8_of_f32(float x) { return (uint8_t)int32_of_f32(x); }
static inline uint8_t uint8_of_f64(double x) { return (uint8_t)int64_of_f64(x); }

/* Element types by name. b8 holds 0 or 1, so reading it is reading u8. */
#define TYPE_b8 uint8_t
#define TYPE_u8 uint8_t
#define TYPE_i8 int8_t
#define TYPE_i16 int16_t
#define TYPE_i32 int32_t
#define TYPE_i64 int64_t
#define TYPE_f32 float
#define TYPE_f64 double

#define LOOP(from, to, expression)                                             \
  static void loop_##from##_##to(char **ptr, int64_t n, const void *context) { \
    TYPE_##to *out = (TYPE_##to *)(void *)ptr[0];                              \
    const TYPE_##from *in = (const TYPE_##from *)(const void *)ptr[1];         \
    NO_OVERLAP for (int64_t i = 0; i < n; i++) {                               \
      const TYPE_##from x = in[i];                                             \
      out[i] = (TYPE_##to)(expression);                                        \
    }                                                                          \
  }
#define LOOPS_FROM_INT(from) \
  LOOP(from, b8, x != 0)     \
  LOOP(from, u8, x)          \
  LOOP(from, i8, x)          \
  LOOP(from, i16, x)         \
  LOOP(from, i32, x)         \
  LOOP(from, i64, x)         \
  LOOP(from, f32, x)         \
  LOOP(from, f64, x)
#define LOOPS_FROM_FLOAT(from)        \
  LOOP(from, b8, x != 0)              \
  LOOP(from, u8, uint8_of_##from(x))  \
  LOOP(from, i8, int32_of_##from(x))  \
  LOOP(from, i16, int32_of_##from(x)) \
  LOOP(from, i32, int32_of_##from(x)) \
  LOOP(from, i64, int64_of_##from(x)) \
  LOOP(from, f32, x)                  \
  LOOP(from, f64, x)
LOOPS_FROM_INT(u8)
LOOPS_FROM_INT(i8)
LOOPS_FROM_INT(i16)
LOOPS_FROM_INT(i32)
LOOPS_FROM_INT(i64)
LOOPS_FROM_FLOAT(f32)
LOOPS_FROM_FLOAT(f64)

/* Rows: source is whose loop serves, float32's for a 16-bit float. */
#define CAST(from, to, source)                                                                                       \
  static void cast_##from##_##to(char **ptr, const int64_t *stride, int64_t n, const void *context) {                \
    run_rows(ptr, stride, n, context, loop_##source##_##to, LAYOUT(sizeof(TYPE_##to), sizeof(TYPE_##source), 0, 0)); \
  }
#define CAST_HALF(from, to, loop, to_size, from_size, widen, narrow)                                  \
  static void cast_##from##_##to(char **ptr, const int64_t *stride, int64_t n, const void *context) { \
    static const Halves halves = {widen, narrow};                                                     \
    run_half_rows(ptr, stride, n, context, loop, LAYOUT(to_size, from_size, 0, 0), &halves);          \
  }

#define CASTS(from, source)                                                             \
  CAST(from, b8, source)                                                                \
  CAST(from, u8, source)                                                                \
  CAST(from, i8, source)                                                                \
  CAST(from, i16, source)                                                               \
  CAST(from, i32, source)                                                               \
  CAST(from, i64, source)                                                               \
  CAST(from, f32, source)                                                               \
  CAST(from, f64, source)                                                               \
  CAST_HALF(from, f16, loop_##source##_f32, 2, sizeof(TYPE_##source), NULL, narrow_f16) \
  CAST_HALF(from, bf16, loop_##source##_f32, 2, sizeof(TYPE_##source), NULL, narrow_bf16)
#define WIDEN(from, to) CAST_HALF(from, to, loop_f32_##to, sizeof(TYPE_##to), 2, widen_##from, NULL)
/* Between float32 and a 16-bit float: packed elements need no loop behind the conversion. */
#define PACKED_CAST(from, to, convert, From, To)                                                        \
  static void packed_##from##_##to(char **ptr, const int64_t *stride, int64_t n, const void *context) { \
    if (stride[0] == sizeof(To) && stride[1] == sizeof(From))                                           \
      convert((const From *)(const void *)ptr[1], (To *)(void *)ptr[0], n);                             \
    else                                                                                                \
      cast_##from##_##to(ptr, stride, n, context);                                                      \
  }
#define CASTS_FROM_HALF(from, other) \
  WIDEN(from, b8)                    \
  WIDEN(from, u8)                    \
  WIDEN(from, i8)                    \
  WIDEN(from, i16)                   \
  WIDEN(from, i32)                   \
  WIDEN(from, i64)                   \
  WIDEN(from, f32)                   \
  WIDEN(from, f64)                   \
  CAST_HALF(from, other, loop_f32_f32, 2, 2, widen_##from, narrow_##other)

CASTS(b8, u8)
CASTS(u8, u8)
CASTS(i8, i8)
CASTS(i16, i16)
CASTS(i32, i32)
CASTS(i64, i64)
CASTS(f32, f32)
CASTS(f64, f64)
CASTS_FROM_HALF(f16, bf16)
CASTS_FROM_HALF(bf16, f16)
PACKED_CAST(f16, f32, widen_f16, uint16_t, float)
PACKED_CAST(bf16, f32, widen_bf16, uint16_t, float)
PACKED_CAST(f32, f16, narrow_f16, float, uint16_t)
PACKED_CAST(f32, bf16, narrow_bf16, float, uint16_t)

/* float32's from 16-bit floats by their own name */
#define cast_f16_f32 packed_f16_f32
#define cast_bf16_f32 packed_bf16_f32
#define ENTRIES(from)                                                                                                 \
  [MT_BOOL] = cast_##from##_b8, [MT_U8] = cast_##from##_u8, [MT_I8] = cast_##from##_i8, [MT_I16] = cast_##from##_i16, \
  [MT_I32] = cast_##from##_i32, [MT_I64] = cast_##from##_i64, [MT_F32] = cast_##from##_f32,                           \
  [MT_F64] = cast_##from##_f64

#define FILL(T)                                                                             \
  static void fill_##T(char **ptr, const int64_t *stride, int64_t n, const void *context) { \
    const T value = *(const T *)context;                                                    \
    char *to = ptr[0];                                                                      \
    if (stride[0] == (int64_t)sizeof(T)) {                                                  \
      T *out = (T *)(void *)to;                                                             \
      for (int64_t i = 0; i < n; i++) out[i] = value;                                       \
    } else {                                                                                \
      for (int64_t i = 0; i < n; i++) *(T *)(void *)(to + i * stride[0]) = value;           \
    }                                                                                       \
  }
FILL(uint8_t)
FILL(uint16_t)
FILL(uint32_t)
FILL(uint64_t)

#define REVERSE(T)                                                 \
  static void reverse_##T(void *to, const void *last, int64_t n) { \
    T *out = to;                                                   \
    const T *in = last;                                            \
    NO_OVERLAP for (int64_t i = 0; i < n; i++) out[i] = in[-i];    \
  }
REVERSE(uint8_t)
REVERSE(uint16_t)
REVERSE(uint32_t)
REVERSE(uint64_t)

/* A register takes four elements of a line and four of the line four further, so halves need not be crossed. */
#ifdef __AVX2__
static __m256 two_pieces(const char *from, int64_t from_line) {
  return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps((const void *)from)),
                              _mm_loadu_ps((const void *)(from + 4 * from_line)), 1);
}
static void turn(char *to, int64_t to_line, const char *from, int64_t from_line, int64_t lines) {
  for (; lines > 0; lines -= 4, to += 4 * to_line, from += 4 * sizeof(float)) {
    __m256 a = two_pieces(from, from_line), b = two_pieces(from + from_line, from_line);
    __m256 c = two_pieces(from + 2 * from_line, from_line), d = two_pieces(from + 3 * from_line, from_line);
    __m256d ab = (__m256d)_mm256_unpacklo_ps(a, b), cd = (__m256d)_mm256_unpacklo_ps(c, d);
    __m256d ab_high = (__m256d)_mm256_unpackhi_ps(a, b), cd_high = (__m256d)_mm256_unpackhi_ps(c, d);
    _mm256_storeu_pd((void *)to, _mm256_unpacklo_pd(ab, cd));
    _mm256_storeu_pd((void *)(to + to_line), _mm256_unpackhi_pd(ab, cd));
    _mm256_storeu_pd((void *)(to + 2 * to_line), _mm256_unpacklo_pd(ab_high, cd_high));
    _mm256_storeu_pd((void *)(to + 3 * to_line), _mm256_unpackhi_pd(ab_high, cd_high));
  }
}
#define TURN turn
#else
#define TURN NULL
#endif

const CastTable VEC(cast_table) = {
    .turn = TURN,
    .reverse = {reverse_uint8_t, reverse_uint16_t, reverse_uint32_t, reverse_uint64_t},
    .fill = {fill_uint8_t, fill_uint16_t, fill_uint32_t, fill_uint64_t},
    .cast =
        {
            [MT_BOOL] = {ENTRIES(b8), [MT_F16] = cast_b8_f16, [MT_BF16] = cast_b8_bf16},
            [MT_U8] = {ENTRIES(u8), [MT_F16] = cast_u8_f16, [MT_BF16] = cast_u8_bf16},
            [MT_I8] = {ENTRIES(i8), [MT_F16] = cast_i8_f16, [MT_BF16] = cast_i8_bf16},
            [MT_I16] = {ENTRIES(i16), [MT_F16] = cast_i16_f16, [MT_BF16] = cast_i16_bf16},
            [MT_I32] = {ENTRIES(i32), [MT_F16] = cast_i32_f16, [MT_BF16] = cast_i32_bf16},
            [MT_I64] = {ENTRIES(i64), [MT_F16] = cast_i64_f16, [MT_BF16] = cast_i64_bf16},
            [MT_F16] = {ENTRIES(f16), [MT_BF16] = cast_f16_bf16},
            [MT_BF16] = {ENTRIES(bf16), [MT_F16] = cast_bf16_f16},
            [MT_F32] = {ENTRIES(f32), [MT_F16] = packed_f32_f16, [MT_BF16] = packed_f32_bf16},
            [MT_F64] = {ENTRIES(f64), [MT_F16] = cast_f64_f16, [MT_BF16] = cast_f64_bf16},
        },
    .f16 = {widen_f16, narrow_f16},
    .bf16 = {widen_bf16, narrow_bf16},
};
