/* The macros that turn a row of FORMULAS into a packed loop and a row function. Included by src/cpu/vec/pointwise*.c
 * and, for PLAIN_FORMULAS, by src/cpu/pointwise_plain.c.
 *
 * loop_NAME_TYPE computes packed operands and vectorises; row_NAME_TYPE brings rows of any stride to it. An output may
 * be the same memory as an input but never overlaps one otherwise: the pragma before each loop tells the compiler. */
#ifndef MT_POINTWISE_LOOPS_H
#define MT_POINTWISE_LOOPS_H
#include "cpu/blocks.h"
#include "cpu/pointwise.h"
#include "cpu/special.h"
#include "cpu/vmath.h"

#pragma GCC diagnostic ignored "-Wtype-limits" /* the integers' formulas serve uint8 too */

DEFINE_FLOAT_DIVISION(float, f32)
DEFINE_FLOAT_DIVISION(float, wide_f32)
DEFINE_FLOAT_DIVISION(double, f64)
DEFINE_ACTIVATIONS(float, f32)
DEFINE_ACTIVATIONS(double, f64)
DEFINE_LOGADDEXP(float, f32)
DEFINE_LOGADDEXP(double, f64)

/* A Scalar as one of the type; limits saturate to the type's range. */
static inline float scalar_f32(Scalar s) { return s.category == CAT_FLOAT ? (float)s.d : (float)s.i; }
static inline double scalar_f64(Scalar s) { return scalar_double(s); }
static inline float limit_f32(Scalar s) { return scalar_f32(s); }
static inline double limit_f64(Scalar s) { return scalar_double(s); }
#define DEFINE_SCALAR(T, S, low, high)                                \
  static inline T scalar_##S(Scalar s) { return (T)scalar_int64(s); } \
  static inline T limit_##S(Scalar s) {                               \
    int64_t i = scalar_int64(s);                                      \
    return i < (low) ? (T)(low) : i > (high) ? (T)(high) : (T)i;      \
  }
DEFINE_SCALAR(int64_t, i64, INT64_MIN, INT64_MAX)
DEFINE_SCALAR(int32_t, i32, INT32_MIN, INT32_MAX)
DEFINE_SCALAR(int16_t, i16, INT16_MIN, INT16_MAX)
DEFINE_SCALAR(int8_t, i8, INT8_MIN, INT8_MAX)
DEFINE_SCALAR(uint8_t, u8, 0, UINT8_MAX)
static inline uint8_t scalar_b8(Scalar s) { return s.category == CAT_FLOAT ? s.d != 0 : s.i != 0; }

/* Operands: their pointers, and their elements at i. */
#define INPUTS_UNARY(T) const T *pa = (const T *)(void *)ptr[1];
#define INPUTS_BINARY(T) INPUTS_UNARY(T) const T *pb = (const T *)(void *)ptr[2];
#define INPUTS_TERNARY(T) INPUTS_BINARY(T) const T *pc = (const T *)(void *)ptr[3];
#define INPUTS_CHOICE(T)                       \
  const uint8_t *pa = (const uint8_t *)ptr[1]; \
  const T *pb = (const T *)(void *)ptr[2], *pc = (const T *)(void *)ptr[3];
#define VALUES_UNARY(T) \
  const T a = pa[i];    \
  (void)a;
#define VALUES_BINARY(T)             \
  VALUES_UNARY(T) const T b = pb[i]; \
  (void)b;
#define VALUES_TERNARY(T)             \
  VALUES_BINARY(T) const T c = pc[i]; \
  (void)c;
#define VALUES_CHOICE(T)   \
  const uint8_t a = pa[i]; \
  const T b = pb[i], c = pc[i];
#define LAYOUT_UNARY(out, T) LAYOUT(out, sizeof(T), 0, 0)
#define LAYOUT_BINARY(out, T) LAYOUT(out, sizeof(T), sizeof(T), 0)
#define LAYOUT_TERNARY(out, T) LAYOUT(out, sizeof(T), sizeof(T), sizeof(T))
#define LAYOUT_CHOICE(out, T) LAYOUT(out, 1, sizeof(T), sizeof(T))
#define RESULT_SAME(T) T
#define RESULT_BOOL(T) uint8_t

/* Extras: what a loop reads from the context before, and writes there after. */
#define BEFORE_NONE(T, S, name)
#define BEFORE_SCALAR(T, S, name)                                 \
  const T s = scalar_##S(((const PointwiseContext *)context)->s); \
  (void)s;
#define BEFORE_FACTORS(T, S, name)                                                            \
  const PointwiseContext *factors = context;                                                  \
  const T s = scalar_##S(factors->s), t = scalar_##S(factors->t), u = scalar_##S(factors->u); \
  (void)s, (void)t, (void)u;
#define BEFORE_LIMITS(T, S, name)                                \
  const PointwiseContext *limits = context;                      \
  const T s = limits->has_s ? limit_##S(limits->s) : LOWEST_##S; \
  const T t = limits->has_t ? limit_##S(limits->t) : HIGHEST_##S;
#define BEFORE_EXPONENT(T, S, name) BEFORE_SCALAR(T, S, name) EXPONENT_##S(S)
#define BEFORE_ANGLE(T, S, name) ANGLE_##S(name)
#define BEFORE_ZERO(T, S, name) int zero = 0;
#define BEFORE_QUOTIENT(T, S, name) \
  int zero = 0;                     \
  QUOTIENT_##S(name)
#define AFTER_NONE
#define AFTER_SCALAR
#define AFTER_FACTORS
#define AFTER_LIMITS
#define AFTER_EXPONENT
#define AFTER_ANGLE
#define AFTER_ZERO                                                  \
  if (zero && context && ((const PointwiseContext *)context)->zero) \
    __atomic_store_n(((const PointwiseContext *)context)->zero, 1, __ATOMIC_RELAXED);
#define AFTER_QUOTIENT AFTER_ZERO

#define LOWEST_f32 (-INFINITY)
#define HIGHEST_f32 INFINITY
#define LOWEST_f64 (-(double)INFINITY)
#define HIGHEST_f64 (double)INFINITY
#define LOWEST_i64 INT64_MIN
#define HIGHEST_i64 INT64_MAX
#define LOWEST_i32 INT32_MIN
#define HIGHEST_i32 INT32_MAX
#define LOWEST_i16 INT16_MIN
#define HIGHEST_i16 INT16_MAX
#define LOWEST_i8 INT8_MIN
#define HIGHEST_i8 INT8_MAX
#define LOWEST_u8 0
#define HIGHEST_u8 UINT8_MAX

/* Exponents that have a formula of their own, as in PyTorch. */
#define EXPONENT_CALL(S, value, name)   \
  if (s == (value)) {                   \
    loop_##name##_##S(ptr, n, context); \
    return;                             \
  }
#define EXPONENT_INT(S) EXPONENT_CALL(S, 2, square) EXPONENT_CALL(S, 3, cube)
#define EXPONENT_FLOAT(S) \
  EXPONENT_INT(S) EXPONENT_CALL(S, 0.5, sqrt) EXPONENT_CALL(S, -0.5, rsqrt) EXPONENT_CALL(S, -1, reciprocal)
/* Other exponents go through the loop of two operands, which vectorises. */
enum { SAME_POWERS = 256 };
#define EXPONENT_f32(S)                                                      \
  EXPONENT_FLOAT(S)                                                          \
  float same[SAME_POWERS];                                                   \
  for (int64_t i = 0; i < SAME_POWERS && i < n; i++) same[i] = s;            \
  for (int64_t i = 0; i < n; i += SAME_POWERS) {                             \
    char *block[3] = {ptr[0] + 4 * i, ptr[1] + 4 * i, (char *)same};         \
    loop_pow_f32(block, n - i < SAME_POWERS ? n - i : SAME_POWERS, context); \
  }                                                                          \
  return;
#define EXPONENT_f64 EXPONENT_FLOAT
#define EXPONENT_i64 EXPONENT_INT
#define EXPONENT_i32 EXPONENT_INT
#define EXPONENT_i16 EXPONENT_INT
#define EXPONENT_i8 EXPONENT_INT
#define EXPONENT_u8 EXPONENT_INT

/* sin and cos of float: the loop holds up to SIN_LIMIT; a block with a larger argument is computed one by one. */
enum { ANGLE_BLOCK = 1024 };
static __attribute__((unused)) bool any_wide(const char *p, int64_t n) {
  const float *x = (const float *)(const void *)p;
  uint32_t found = 0;
  for (int64_t i = 0; i < n; i++) found |= (bits_of_float(x[i]) & 0x7fffffffu) > bits_of_float(SIN_LIMIT) ? 1u : 0u;
  return found != 0;
}
#define ANGLE_f64(name)
#define ANGLE_f32(name)                                                                               \
  char *part[2] = {ptr[0], ptr[1]};                                                                   \
  ptr = part;                                                                                         \
  for (; n > ANGLE_BLOCK; n -= ANGLE_BLOCK, part[0] += 4 * ANGLE_BLOCK, part[1] += 4 * ANGLE_BLOCK) { \
    char *block[2] = {part[0], part[1]};                                                              \
    loop_##name##_f32(block, ANGLE_BLOCK, context);                                                   \
  }                                                                                                   \
  if (any_wide(ptr[1], n)) {                                                                          \
    const float *x = (const float *)(void *)ptr[1];                                                   \
    for (int64_t i = 0; i < n; i++) ((float *)(void *)ptr[0])[i] = name##_wide_f32(x[i]);             \
    return;                                                                                           \
  }

/* Division with remainder of float: the loop holds while quotients fit; a block with a larger one is computed one by one. */
static __attribute__((unused)) bool any_misfit(char *const *ptr, int64_t n) {
  const float *a = (const float *)(const void *)ptr[1], *b = (const float *)(const void *)ptr[2];
  uint32_t found = 0;
  for (int64_t i = 0; i < n; i++) found |= fmod_fits(a[i], b[i]) ? 0u : 1u;
  return found != 0;
}
#define QUOTIENT_i64(name)
#define QUOTIENT_i32(name)
#define QUOTIENT_i16(name)
#define QUOTIENT_i8(name)
#define QUOTIENT_u8(name)
#define QUOTIENT_f64(name)
#define QUOTIENT_f32(name)                                                                      \
  char *part[3] = {ptr[0], ptr[1], ptr[2]};                                                     \
  ptr = part;                                                                                   \
  for (; n > ANGLE_BLOCK; n -= ANGLE_BLOCK) {                                                   \
    char *block[3] = {part[0], part[1], part[2]};                                               \
    loop_##name##_f32(block, ANGLE_BLOCK, context);                                             \
    for (int k = 0; k < 3; k++) part[k] += 4 * ANGLE_BLOCK;                                     \
  }                                                                                             \
  if (any_misfit(ptr, n)) {                                                                     \
    const float *x = (const float *)(void *)ptr[1], *y = (const float *)(void *)ptr[2];         \
    for (int64_t i = 0; i < n; i++) ((float *)(void *)ptr[0])[i] = name##_wide_f32(x[i], y[i]); \
    return;                                                                                     \
  }

/* One loop and its row function. */
#define KERNEL(T, S, name, operands, result, extra, expression)                                             \
  static void loop_##name##_##S(char **ptr, int64_t n, const void *context) {                               \
    BEFORE_##extra(T, S, name) RESULT_##result(T) *out = (RESULT_##result(T) *)(void *)ptr[0];              \
    INPUTS_##operands(T) NO_OVERLAP for (int64_t i = 0; i < n; i++) {                                       \
      VALUES_##operands(T) out[i] = (RESULT_##result(T))(expression);                                       \
    }                                                                                                       \
    AFTER_##extra                                                                                           \
  }                                                                                                         \
  static void row_##name##_##S(char **ptr, const int64_t *stride, int64_t n, const void *context) {         \
    run_rows(ptr, stride, n, context, loop_##name##_##S, LAYOUT_##operands(sizeof(RESULT_##result(T)), T)); \
  }

/* For FORMULAS: all loops of a type. */
#define FLOAT_KERNEL(T, U, S, name, operands, result, extra, types, floats, ints, bools) \
  FLOAT_##types(KERNEL, T, S, name, operands, result, extra, floats)
#define INT_KERNEL(T, U, S, name, operands, result, extra, types, floats, ints, bools) \
  INT_##types(KERNEL, T, S, name, operands, result, extra, ints)
#define BOOL_KERNEL(T, U, S, name, operands, result, extra, types, floats, ints, bools) \
  BOOL_##types(KERNEL, T, S, name, operands, result, extra, bools)

/* A 16-bit float type S: float32's loop between conversions by halves_S. */
#define HALF_ROW(S, name, operands, result)                                                         \
  static void row_##name##_##S(char **ptr, const int64_t *stride, int64_t n, const void *context) { \
    run_half_rows(ptr, stride, n, context, loop_##name##_f32,                                       \
                  LAYOUT_##operands(sizeof(RESULT_##result(uint16_t)), uint16_t), &HALVES_##S);     \
  }
#define HALF_KERNEL(T, U, S, name, operands, result, extra, types, ...) \
  HALF_##types(HALF_ROW, S, name, operands, result)

/* For FORMULAS: the table's entries. T is the DType here. */
#define ENTRY(dtype, S, name) [PW_##name][dtype] = row_##name##_##S,
#define FLOAT_ENTRY(dtype, U, S, name, operands, result, extra, types, ...) FLOAT_##types(ENTRY, dtype, S, name)
#define HALF_ENTRY(dtype, U, S, name, operands, result, extra, types, ...) HALF_##types(ENTRY, dtype, S, name)
#define INT_ENTRY(dtype, U, S, name, operands, result, extra, types, ...) INT_##types(ENTRY, dtype, S, name)
#define BOOL_ENTRY(dtype, U, S, name, operands, result, extra, types, ...) BOOL_##types(ENTRY, dtype, S, name)
#endif
