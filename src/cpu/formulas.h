/* Pointwise formulas: one row each, for every device. Adding a pointwise operator is adding one row to FORMULAS.
 *
 * FORMULAS(X, T, U, S) is X(T, U, S, name, operands, result, extra, types, floats, ints, bools) for every formula:
 *   T, U, S   element type, unsigned type in which integer arithmetic wraps, suffix of the type's functions (f32, i64)
 *   operands  UNARY a; BINARY a, b; TERNARY a, b, c; CHOICE a (bool), b, c
 *   result    SAME as the inputs' type, or BOOL
 *   extra     what the expression uses besides: NONE; SCALAR s; FACTORS s, t, u; LIMITS s <= . <= t, infinite when
 *             absent; EXPONENT s; ANGLE, the argument of sin, cos or tan; ZERO, a flag to set when an integer is divided
 *             by zero; QUOTIENT, the same where a float takes longer if a / b is large
 *   types     for which kinds the formula exists: letters of F float, I integer, B bool
 *   floats, ints, bools   the expression for each kind, of type T or a truth value; 0 where there is none
 * 16-bit floats are computed as float32. Results are PyTorch's: integers wrap, NaN propagates through minimum, maximum,
 * clamp and relu, remainder has the divisor's sign, round goes to even, a bool adds as or and multiplies as and. */
#ifndef MT_FORMULAS_H
#define MT_FORMULAS_H
#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#ifndef FORMULA_FN
#define FORMULA_FN static inline
#endif

/* Division of integers in 64 bits: narrower types cannot overflow, INT64_MIN / -1 wraps, by zero sets *zero. */
FORMULA_FN int64_t divide_int(int64_t a, int64_t b, int *zero) {
  if (b == 0) *zero = 1;
  if (b == 0 || b == -1) return (int64_t)(-(uint64_t)a) & -(int64_t)(b != 0);
  return a / b;
}
FORMULA_FN int64_t fmod_int(int64_t a, int64_t b, int *zero) {
  if (b == 0) *zero = 1;
  return b == 0 || b == -1 ? 0 : a % b;
}
FORMULA_FN int64_t remainder_int(int64_t a, int64_t b, int *zero) {
  int64_t r = fmod_int(a, b, zero);
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
FORMULA_FN int64_t floor_divide_int(int64_t a, int64_t b, int *zero) {
  int64_t q = divide_int(a, b, zero);
  return b != 0 && b != -1 && (a < 0) != (b < 0) && q * b != a ? q - 1 : q;
}
/* a^b modulo 2^64; a negative power is 0 but for 1 and -1. */
FORMULA_FN int64_t pow_int(int64_t a, int64_t b) {
  if (b < 0) return a == 1 ? 1 : a != -1 ? 0 : b & 1 ? -1 : 1;
  uint64_t base = (uint64_t)a, y = 1;
  for (; b != 0; b >>= 1, base *= base)
    if (b & 1) y *= base;
  return (int64_t)y;
}

/* Python's // and % on floats: the remainder takes the divisor's sign, the quotient is corrected for its rounding. */
#define DEFINE_FLOAT_DIVISION(T, S)                  \
  FORMULA_FN T remainder_##S(T a, T b) {             \
    T r = fmod_##S(a, b);                            \
    return r != 0 && (b < 0) != (r < 0) ? r + b : r; \
  }                                                  \
  FORMULA_FN T floor_divide_##S(T a, T b) {          \
    if (b == 0) return a / b;                        \
    T r = fmod_##S(a, b), q = (a - r) / b;           \
    if (r != 0 && (b < 0) != (r < 0)) q -= 1;        \
    if (q == 0) return copysign_##S((T)0, a / b);    \
    T whole = floor_##S(q);                          \
    return q - whole > (T)0.5 ? whole + 1 : whole;   \
  }

/* Activations, by exp(-|x|) raised above the subnormal numbers, so that small results keep their digits.
 * gated = x sigmoid(+-t) with x's sign, and gated_slope its derivative, where dt is t's; a is -|x| and t at most 0, both
 * not below -END, and `low` is what rounding left out of t. silu is that of t = x, gelu's approximation
 * x (1 + tanh(k (x + c x^3))) / 2 that of t = 2 k (x + c x^3), k = sqrt(2 / pi): without `low` exp would have each
 * rounding of that angle up to 100 times. What rounding 1 + e lost is put back to first order.
 * mish is x tanh(log(1 + e)), e = exp(x), whose tanh is n / (n + 2) with n = e (e + 2).
 * VECTOR_FN, FMA, times_exp and product_rest are of vmath.h, or of the device. */
#define GELU_TANH_END_f32 10.9f /* where t is END, nearly, and both are 0 or x and 1 */
#define GELU_TANH_END_f64 21.6
#define DEFINE_ACTIVATIONS(T, S)                                                                                     \
  VECTOR_FN T within_##S(T x, T low, T high) { return x < low ? low : x > high ? high : x; }                         \
  VECTOR_FN T least_size_##S(T x, T end) { return fabs_##S(x) > end ? -end : -fabs_##S(x); }                         \
  VECTOR_FN T gated_##S(T x, T a, T t, T low) {                                                                      \
    T e = times_exp_##S(1, t, low) * (1 / RAISED_##S), sum = 1 + e, left = times_exp_##S(a, t, low);                 \
    T y = (x < 0 ? left : x * RAISED_##S) / sum;                                                                     \
    y += y * (((sum - 1) - e) * (1 - e / 2));                                                                        \
    y *= 1 / RAISED_##S;                                                                                             \
    return x > END_##S ? x : y - (x - x); /* the product may have overflowed; NaN for infinity */                    \
  }                                                                                                                  \
  VECTOR_FN T gated_slope_##S(T x, T a, T t, T low, T dt) {                                                          \
    T up = times_exp_##S(1, t, low), e = up * (1 / RAISED_##S), sum = 1 + e;                                         \
    T more = FMA_##S(x < 0 ? a : -a, dt, 1), left = times_exp_##S(more + e, t, low);                                 \
    T y = (x < 0 ? left : FMA_##S(up, more, RAISED_##S)) / (sum * sum);                                              \
    y += y * (((sum - 1) - e) * (2 - e));                                                                            \
    y *= 1 / RAISED_##S;                                                                                             \
    return y - (x - x);                                                                                              \
  }                                                                                                                  \
  VECTOR_FN T silu_##S(T x) {                                                                                        \
    T a = least_size_##S(x, END_##S);                                                                                \
    return gated_##S(x, a, a, -(T)0);                                                                                \
  }                                                                                                                  \
  VECTOR_FN T silu_slope_##S(T x) {                                                                                  \
    T a = least_size_##S(x, END_##S);                                                                                \
    return gated_slope_##S(x, a, a, -(T)0, 1);                                                                       \
  }                                                                                                                  \
  /* -2 k (|a| + c |a|^3) */                                                                                         \
  VECTOR_FN T gelu_angle_##S(T a, T *low) {                                                                          \
    const T k = (T)1.59576912160573071176, c = (T)0.044715;                                                          \
    const T k_low = (T)(1.59576912160573071176 - (double)k - 9.9693088e-17), c_low = (T)(0.044715 - (double)c);      \
    T ka = k * a, square = a * a, cube = c * square, sum = 1 + cube, of_one = sum - cube;                            \
    T lost = FMA_##S(c_low, square, FMA_##S(c, product_rest_##S(a, a, square), product_rest_##S(c, square, cube)));  \
    T t = ka * sum, ka_lost = FMA_##S(k_low, a, product_rest_##S(k, a, ka));                                         \
    lost += (1 - of_one) + (cube - (sum - of_one));                                                                  \
    *low = FMA_##S(ka, lost, FMA_##S(ka_lost, sum, product_rest_##S(ka, sum, t)));                                   \
    return t;                                                                                                        \
  }                                                                                                                  \
  VECTOR_FN T gelu_tanh_##S(T x) {                                                                                   \
    T low, a = least_size_##S(x, GELU_TANH_END_##S), t = gelu_angle_##S(a, &low);                                    \
    return gated_##S(x, a, t, low);                                                                                  \
  }                                                                                                                  \
  VECTOR_FN T gelu_tanh_slope_##S(T x) {                                                                             \
    T low, a = least_size_##S(x, GELU_TANH_END_##S), t = gelu_angle_##S(a, &low);                                    \
    return gated_slope_##S(x, a, t, low, (T)1.59576912160573071176 * FMA_##S((T)(3 * 0.044715) * a, a, 1));          \
  }                                                                                                                  \
  VECTOR_FN T mish_##S(T x) {                                                                                        \
    T c = within_##S(x, -END_##S, 20), e = times_exp_##S(1, c, -(T)0) * (1 / RAISED_##S);                            \
    T y = times_exp_##S(FMA_##S(c, e, 2 * c), c, -(T)0) / FMA_##S(e, e + 2, 2) * (1 / RAISED_##S);                   \
    y = x > 20 ? x : y;                                                                                              \
    return x == -(T)INFINITY ? (T)NAN : y;                                                                           \
  }                                                                                                                  \
  VECTOR_FN T mish_slope_##S(T x) {                                                                                  \
    T c = within_##S(x, -END_##S, 20), up = times_exp_##S(1, c, -(T)0), e = up * (1 / RAISED_##S), n = up * (e + 2); \
    T d = n * (1 / RAISED_##S) + 2, y = (n / d + 4 * c * (up / d * ((1 + e) / d))) * (1 / RAISED_##S);               \
    y = x > 20 ? 1 : y;                                                                                              \
    return x == -(T)INFINITY ? (T)NAN : y;                                                                           \
  }

/* log(exp(a) + exp(b)) */
#define DEFINE_LOGADDEXP(T, S)                              \
  FORMULA_FN T logaddexp_##S(T a, T b) {                    \
    T y = GREATEST(a, b) + log1p_exp_##S(-fabs_##S(a - b)); \
    return a == b ? a + (T)0.69314718055994530942 : y;      \
  }

#define BITS(T) (8 * sizeof(T))

#define MOST_FORMULAS(X, T, U, S)                                                                                      \
  /* one operand */                                                                                                    \
  X(T, U, S, neg, UNARY, SAME, NONE, FI, -a, 0 - (U)a, 0)                                                              \
  X(T, U, S, abs, UNARY, SAME, NONE, FI, fabs_##S(a), a < 0 ? 0 - (U)a : (U)a, 0)                                      \
  X(T, U, S, sign, UNARY, SAME, NONE, FIB, (a > 0) - (a < 0), (a > 0) - (a < 0), a)                                    \
  X(T, U, S, exp, UNARY, SAME, NONE, F, exp_##S(a), 0, 0)                                                              \
  X(T, U, S, expm1, UNARY, SAME, NONE, F, expm1_##S(a), 0, 0)                                                          \
  X(T, U, S, exp2, UNARY, SAME, NONE, F, exp2_##S(a), 0, 0)                                                            \
  X(T, U, S, log, UNARY, SAME, NONE, F, log_##S(a), 0, 0)                                                              \
  X(T, U, S, log1p, UNARY, SAME, NONE, F, log1p_##S(a), 0, 0)                                                          \
  X(T, U, S, sqrt, UNARY, SAME, NONE, F, sqrt_##S(a), 0, 0)                                                            \
  X(T, U, S, rsqrt, UNARY, SAME, NONE, F, 1 / sqrt_##S(a), 0, 0)                                                       \
  X(T, U, S, square, UNARY, SAME, NONE, FI, a *a, (U)a *(U)a, 0)                                                       \
  X(T, U, S, cube, UNARY, SAME, NONE, FI, a *a *a, (U)a *(U)a *(U)a, 0)                                                \
  X(T, U, S, reciprocal, UNARY, SAME, NONE, F, 1 / a, 0, 0)                                                            \
  X(T, U, S, sin, UNARY, SAME, ANGLE, F, sin_##S(a), 0, 0)                                                             \
  X(T, U, S, cos, UNARY, SAME, ANGLE, F, cos_##S(a), 0, 0)                                                             \
  X(T, U, S, tanh, UNARY, SAME, NONE, F, tanh_##S(a), 0, 0)                                                            \
  X(T, U, S, sigmoid, UNARY, SAME, NONE, F, sigmoid_##S(a), 0, 0)                                                      \
  X(T, U, S, relu, UNARY, SAME, NONE, FI, 0 > a ? 0 : a, a > 0 ? a : 0, 0)                                             \
  X(T, U, S, floor, UNARY, SAME, NONE, FI, floor_##S(a), a, 0)                                                         \
  X(T, U, S, ceil, UNARY, SAME, NONE, FI, ceil_##S(a), a, 0)                                                           \
  X(T, U, S, round, UNARY, SAME, NONE, FI, rint_##S(a), a, 0)                                                          \
  X(T, U, S, trunc, UNARY, SAME, NONE, FI, trunc_##S(a), a, 0)                                                         \
  X(T, U, S, erf, UNARY, SAME, NONE, F, erf_##S(a), 0, 0)                                                              \
  X(T, U, S, gelu, UNARY, SAME, NONE, F, gelu_##S(a), 0, 0)                                                            \
  X(T, U, S, gelu_tanh, UNARY, SAME, NONE, F, gelu_tanh_##S(a), 0, 0)                                                  \
  X(T, U, S, silu, UNARY, SAME, NONE, F, silu_##S(a), 0, 0)                                                            \
  X(T, U, S, softplus, UNARY, SAME, FACTORS, F, a *s > t ? a : log1p_exp_##S(a * s) / s, 0, 0)                         \
  X(T, U, S, logsigmoid, UNARY, SAME, NONE, F, LEAST(a, 0) - log1p_exp_##S(-fabs_##S(a)), 0, 0)                        \
  X(T, U, S, clamp, UNARY, SAME, LIMITS, FI, LEAST(GREATEST(a, s), t), LEAST(GREATEST(a, s), t), 0)                    \
  X(T, U, S, nan_to_num, UNARY, SAME, FACTORS, F, a != a ? s : a == (T)INFINITY ? t : a == -(T)INFINITY ? u : a, 0, 0) \
  X(T, U, S, pow_scalar, UNARY, SAME, EXPONENT, FI, pow_##S(a, s), pow_int(a, s), 0)                                   \
  /* two operands; add_scaled is a + s b */                                                                            \
  X(T, U, S, add, BINARY, SAME, NONE, FIB, a + b, (U)a + (U)b, a | b)                                                  \
  X(T, U, S, add_scaled, BINARY, SAME, SCALAR, FIB, a + s * b, (U)a + (U)s * (U)b, a | (s & b))                        \
  X(T, U, S, sub, BINARY, SAME, NONE, FI, a - b, (U)a - (U)b, 0)                                                       \
  X(T, U, S, mul, BINARY, SAME, NONE, FIB, a *b, (U)a *(U)b, a &b)                                                     \
  X(T, U, S, div, BINARY, SAME, NONE, F, a / b, 0, 0)                                                                  \
  X(T, U, S, pow, BINARY, SAME, NONE, FI, pow_##S(a, b), pow_int(a, b), 0)                                             \
  X(T, U, S, maximum, BINARY, SAME, NONE, FIB, GREATEST(a, b), GREATEST(a, b), a | b)                                  \
  X(T, U, S, logaddexp, BINARY, SAME, NONE, F, logaddexp_##S(a, b), 0, 0)                                              \
  X(T, U, S, minimum, BINARY, SAME, NONE, FIB, LEAST(a, b), LEAST(a, b), a &b)                                         \
  X(T, U, S, eq, BINARY, BOOL, NONE, FIB, a == b, a == b, a == b)                                                      \
  X(T, U, S, ne, BINARY, BOOL, NONE, FIB, a != b, a != b, a != b)                                                      \
  X(T, U, S, lt, BINARY, BOOL, NONE, FIB, a < b, a < b, a < b)                                                         \
  X(T, U, S, le, BINARY, BOOL, NONE, FIB, a <= b, a <= b, a <= b)                                                      \
  X(T, U, S, gt, BINARY, BOOL, NONE, FIB, a > b, a > b, a > b)                                                         \
  X(T, U, S, ge, BINARY, BOOL, NONE, FIB, a >= b, a >= b, a >= b)                                                      \
  /* three operands; s is the factor of addcmul */                                                                     \
  X(T, U, S, where, CHOICE, SAME, NONE, FIB, a ? b : c, a ? b : c, a ? b : c)                                          \
  X(T, U, S, addcmul, TERNARY, SAME, SCALAR, FI, a + s * b * c, (U)a + (U)s * (U)b * (U)c, 0)                          \
  /* gradients: a is the result's gradient, b the result (of relu, sigmoid, tanh) */                                   \
  X(T, U, S, relu_back, BINARY, SAME, NONE, FI, b <= 0 ? 0 : a, b <= 0 ? 0 : a, 0)                                     \
  X(T, U, S, sigmoid_back, BINARY, SAME, NONE, F, a *(1 - b) * b, 0, 0)                                                \
  X(T, U, S, tanh_back, BINARY, SAME, NONE, F, a *(1 - b * b), 0, 0)                                                   \
  /* here b is the input */                                                                                            \
  X(T, U, S, gelu_back, BINARY, SAME, NONE, F, a *gelu_slope_##S(b), 0, 0)                                             \
  X(T, U, S, silu_back, BINARY, SAME, NONE, F, a *silu_slope_##S(b), 0, 0)                                             \
  X(T, U, S, gelu_tanh_back, BINARY, SAME, NONE, F, a *gelu_tanh_slope_##S(b), 0, 0)                                   \
  X(T, U, S, softplus_back, BINARY, SAME, FACTORS, F, b *s > t ? a : a * sigmoid_##S(b * s), 0, 0)

/* Those that a set with longer vectors leaves to AVX2: less used, or waiting for memory as it is. */
#define MORE_FORMULAS(X, T, U, S)                                                                                    \
  /* logarithms, exponentials, angles */                                                                             \
  X(T, U, S, log2, UNARY, SAME, NONE, F, log2_##S(a), 0, 0)                                                          \
  X(T, U, S, log10, UNARY, SAME, NONE, F, log10_##S(a), 0, 0)                                                        \
  X(T, U, S, tan, UNARY, SAME, ANGLE, F, tan_##S(a), 0, 0)                                                           \
  X(T, U, S, acos, UNARY, SAME, NONE, F, acos_##S(a), 0, 0)                                                          \
  X(T, U, S, asin, UNARY, SAME, NONE, F, asin_##S(a), 0, 0)                                                          \
  X(T, U, S, atan, UNARY, SAME, NONE, F, atan_##S(a), 0, 0)                                                          \
  X(T, U, S, atan2, BINARY, SAME, NONE, F, atan2_##S(a, b), 0, 0)                                                    \
  X(T, U, S, erfinv, UNARY, SAME, NONE, F, erfinv_##S(a), 0, 0)                                                      \
  X(T, U, S, xlogy, BINARY, SAME, NONE, F, b != b ? b : a == 0 ? 0 : a * log_##S(b), 0, 0)                           \
  /* division */                                                                                                     \
  X(T, U, S, floor_divide, BINARY, SAME, QUOTIENT, FI, floor_divide_##S(a, b), floor_divide_int(a, b, &zero), 0)     \
  X(T, U, S, remainder, BINARY, SAME, QUOTIENT, FI, remainder_##S(a, b), remainder_int(a, b, &zero), 0)              \
  X(T, U, S, fmod, BINARY, SAME, QUOTIENT, FI, fmod_##S(a, b), fmod_int(a, b, &zero), 0)                             \
  X(T, U, S, trunc_divide, BINARY, SAME, ZERO, FI, trunc_##S(a / b), divide_int(a, b, &zero), 0)                     \
  /* parts of a number */                                                                                            \
  X(T, U, S, frac, UNARY, SAME, NONE, F, a - trunc_##S(a), 0, 0)                                                     \
  X(T, U, S, copysign, BINARY, SAME, NONE, F, copysign_##S(a, b), 0, 0)                                              \
  X(T, U, S, hypot, BINARY, SAME, NONE, F, hypot_##S(a, b), 0, 0)                                                    \
  X(T, U, S, fmax, BINARY, SAME, NONE, FIB, a >= b ? a : b != b ? a : b, a < b ? b : a, a | b)                       \
  X(T, U, S, fmin, BINARY, SAME, NONE, FIB, a <= b ? a : b != b ? a : b, b < a ? b : a, a & b)                       \
  X(T, U, S, heaviside, BINARY, SAME, NONE, FIB, a == 0 ? b : a > 0, a == 0 ? b : a > 0, a | b)                      \
  /* truth and bits */                                                                                               \
  X(T, U, S, isnan, UNARY, BOOL, NONE, FIB, a != a, 0, 0)                                                            \
  X(T, U, S, isinf, UNARY, BOOL, NONE, FIB, fabs_##S(a) == (T)INFINITY, 0, 0)                                        \
  X(T, U, S, isfinite, UNARY, BOOL, NONE, FIB, fabs_##S(a) < (T)INFINITY, 1, 1)                                      \
  X(T, U, S, logical_not, UNARY, BOOL, NONE, FIB, a == 0, a == 0, a == 0)                                            \
  X(T, U, S, logical_and, BINARY, BOOL, NONE, FIB, (a != 0) & (b != 0), (a != 0) & (b != 0), (a != 0) & (b != 0))    \
  X(T, U, S, logical_or, BINARY, BOOL, NONE, FIB, (a != 0) | (b != 0), (a != 0) | (b != 0), (a != 0) | (b != 0))     \
  X(T, U, S, logical_xor, BINARY, BOOL, NONE, FIB, (a != 0) != (b != 0), (a != 0) != (b != 0), (a != 0) != (b != 0)) \
  X(T, U, S, bitwise_not, UNARY, SAME, NONE, IB, 0, ~a, a == 0)                                                      \
  X(T, U, S, bitwise_and, BINARY, SAME, NONE, IB, 0, a &b, a &b)                                                     \
  X(T, U, S, bitwise_or, BINARY, SAME, NONE, IB, 0, a | b, a | b)                                                    \
  X(T, U, S, bitwise_xor, BINARY, SAME, NONE, IB, 0, a ^ b, a ^ b)                                                   \
  X(T, U, S, lshift, BINARY, SAME, NONE, I, 0, (U)b >= BITS(T) ? 0 : (U)a << ((U)b & (BITS(T) - 1)), 0)              \
  X(T, U, S, rshift, BINARY, SAME, NONE, I, 0, (U)b >= BITS(T) ? -(a < 0) : a >> ((U)b & (BITS(T) - 1)), 0)          \
  /* three operands: s is the factor of addcdiv, c the weight of lerp */                                             \
  X(T, U, S, addcdiv, TERNARY, SAME, SCALAR, F, a + s * b / c, 0, 0)                                                 \
  X(T, U, S, lerp, TERNARY, SAME, NONE, F, fabs_##S(c) < (T)0.5 ? a + c * (b - a) : b - (b - a) * (1 - c), 0, 0)     \
  /* activations: s is a limit or slope, t the value of threshold; b the weight of prelu */                          \
  X(T, U, S, hardsigmoid, UNARY, SAME, NONE, F, LEAST(GREATEST(a + 3, 0), 6) / 6, 0, 0)                              \
  X(T, U, S, hardshrink, UNARY, SAME, SCALAR, F, fabs_##S(a) <= s ? 0 : a, 0, 0)                                     \
  X(T, U, S, softshrink, UNARY, SAME, SCALAR, F, a > s ? a - s : a < -s ? a + s : a * 0, 0, 0)                       \
  X(T, U, S, threshold, UNARY, SAME, FACTORS, FI, a <= s ? t : a, a <= s ? t : a, 0)                                 \
  X(T, U, S, prelu, BINARY, SAME, NONE, F, a > 0 ? a : b * a, 0, 0)                                                  \
  /* activations and their gradients: a is the result's, b the input */                                              \
  X(T, U, S, hardswish, UNARY, SAME, NONE, F, a *LEAST(GREATEST(a + 3, 0), 6) / 6, 0, 0)                             \
  X(T, U, S, hardswish_back, BINARY, SAME, NONE, F, b <= -3 ? 0 : b < 3 ? a * (b / 3 + (T)0.5) : a, 0, 0)            \
  X(T, U, S, leaky_relu, UNARY, SAME, SCALAR, F, a > 0 ? a : a * s, 0, 0)                                            \
  X(T, U, S, leaky_relu_back, BINARY, SAME, SCALAR, F, b > 0 ? a : a * s, 0, 0)                                      \
  X(T, U, S, elu, UNARY, SAME, FACTORS, F, a < 0 ? expm1_##S(a * u) * t : a * s, 0, 0)                               \
  X(T, U, S, elu_back, BINARY, SAME, FACTORS, F, b <= 0 ? a * (t * u) * exp_##S(b * u) : a * s, 0, 0)                \
  X(T, U, S, mish, UNARY, SAME, NONE, F, mish_##S(a), 0, 0)                                                          \
  X(T, U, S, mish_back, BINARY, SAME, NONE, F, a *mish_slope_##S(b), 0, 0)                                           \
  X(T, U, S, zero_inside, BINARY, SAME, FACTORS, F, b >= s && b <= t ? 0 : a, 0, 0)                                  \
  X(T, U, S, zero_outside, BINARY, SAME, FACTORS, F, b <= s || b >= t ? 0 : a, 0, 0)

#define FORMULAS(X, T, U, S) MOST_FORMULAS(X, T, U, S) MORE_FORMULAS(X, T, U, S)

/* A NaN on either side wins; of equals the first. */
#define GREATEST(x, y) ((x) < (y) || (y) != (y) ? (y) : (x))
#define LEAST(x, y) ((y) < (x) || (y) != (y) ? (y) : (x))

/* K(...) where the formula exists for the kind of type. */
#define FLOAT_F(K, ...) K(__VA_ARGS__)
#define FLOAT_FI(K, ...) K(__VA_ARGS__)
#define FLOAT_FIB(K, ...) K(__VA_ARGS__)
#define FLOAT_IB(K, ...)
#define FLOAT_I(K, ...)
#define FLOAT_W(K, ...) K(__VA_ARGS__)
#define HALF_F(K, ...) K(__VA_ARGS__)
#define HALF_FI(K, ...) K(__VA_ARGS__)
#define HALF_FIB(K, ...) K(__VA_ARGS__)
#define HALF_IB(K, ...)
#define HALF_I(K, ...)
#define HALF_W(K, ...)
#define INT_F(K, ...)
#define INT_FI(K, ...) K(__VA_ARGS__)
#define INT_FIB(K, ...) K(__VA_ARGS__)
#define INT_IB(K, ...) K(__VA_ARGS__)
#define INT_I(K, ...) K(__VA_ARGS__)
#define INT_W(K, ...)
#define BOOL_F(K, ...)
#define BOOL_FI(K, ...)
#define BOOL_FIB(K, ...) K(__VA_ARGS__)
#define BOOL_IB(K, ...) K(__VA_ARGS__)
#define BOOL_I(K, ...)
#define BOOL_W(K, ...)
#endif
