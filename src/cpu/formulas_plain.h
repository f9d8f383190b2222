/* Pointwise formulas that are compiled once, for the base instruction set: they call the math library for every element
 * or are rare, so that vector instructions would not pay for their size.
 *
 * PLAIN_FORMULAS has the shape of FORMULAS in formulas.h, and its Formula ids follow those. A formula of type letter
 * W exists for float32 and float64 only; nextafter's rows for 16-bit floats are written by hand. */
#ifndef MT_FORMULAS_PLAIN_H
#define MT_FORMULAS_PLAIN_H
#include "cpu/formulas.h"
#include "cpu/special.h"

/* Greatest common divisor of the magnitudes. */
FORMULA_FN uint64_t gcd_int(int64_t a, int64_t b) {
  uint64_t x = a < 0 ? 0 - (uint64_t)a : (uint64_t)a, y = b < 0 ? 0 - (uint64_t)b : (uint64_t)b;
  while (y != 0) {
    uint64_t r = x % y;
    x = y;
    y = r;
  }
  return x;
}
/* Least common multiple, of either sign; 0 with 0. */
FORMULA_FN int64_t lcm_int(int64_t a, int64_t b) {
  uint64_t g = gcd_int(a, b);
  return g == 0 ? 0 : (int64_t)((a < 0 ? 0 - (uint64_t)a : (uint64_t)a) / g * (uint64_t)b);
}
/* nextafter of a 16-bit float: its neighbours differ from it by one in the lower 15 bits. `infinity`: the bits of it. */
FORMULA_FN uint16_t next_half(uint16_t a, uint16_t b, uint16_t infinity) {
  uint16_t size = a & 0x7fff, other = b & 0x7fff;
  if (size > infinity) return a;
  if (other > infinity) return b;
  if (size == 0) return other == 0 ? b : (uint16_t)((b & 0x8000) | 1);
  if (a == b) return b;
  bool grows = (a & 0x8000) == (b & 0x8000) && other > size;
  return (uint16_t)(grows ? a + 1 : a - 1);
}
/* Magnitude of what is left of x in the arithmetic of U. */
#define MAGNITUDE(U, x) ((U)(x) >> (BITS(U) - 1) ? (U)(0 - (U)(x)) : (U)(x))

#define DEFINE_PLAIN(T, S)                                                                                           \
  FORMULA_FN T logit_##S(T p) { /* near 1/2 with what the quotient lost, to first order; of float that is nothing */ \
    double d = 1 - (double)p, q = p / d, lost = sizeof p < 8 ? 0 : -product_rest_f64(q, d, p) - q * ((1 - d) - p);   \
    return (T)(log_f64(q) + (p > (T)0.25 && p < (T)0.75 ? lost / p : 0));                                            \
  }                                                                                                                  \
  FORMULA_FN T logaddexp2_##S(T a, T b) {                                                                            \
    return a == b ? a + 1 : GREATEST(a, b) + log1p_##S(exp2_##S(-fabs_##S(a - b))) * (T)1.44269504088896340736;      \
  }

#define PLAIN_FORMULAS(X, T, U, S)                                                                              \
  /* trigonometric and hyperbolic */                                                                            \
  X(T, U, S, acosh, UNARY, SAME, NONE, F, acosh_##S(a), 0, 0)                                                   \
  X(T, U, S, asinh, UNARY, SAME, NONE, F, asinh_##S(a), 0, 0)                                                   \
  X(T, U, S, atanh, UNARY, SAME, NONE, F, atanh_##S(a), 0, 0)                                                   \
  X(T, U, S, cosh, UNARY, SAME, NONE, F, cosh_##S(a), 0, 0)                                                     \
  X(T, U, S, sinh, UNARY, SAME, NONE, F, sinh_##S(a), 0, 0)                                                     \
  X(T, U, S, sinc, UNARY, SAME, NONE, F, sinc_f64(a), 0, 0)                                                     \
  /* exponentials, logarithms; logit limits a to [s, 1 - s] unless s < 0 */                                     \
  X(T, U, S, logit, UNARY, SAME, SCALAR, F, logit_##S(s < 0 ? a : a < s ? s : a > 1 - s ? 1 - s : a), 0, 0)     \
  X(T, U, S, logaddexp2, BINARY, SAME, NONE, F, logaddexp2_##S(a, b), 0, 0)                                     \
  X(T, U, S, xlog1py, BINARY, SAME, NONE, F, b != b ? b : a == 0 ? 0 : a * log1p_##S(b), 0, 0)                  \
  X(T, U, S, entr, UNARY, SAME, NONE, F, a > 0 ? -a * log_##S(a) : a == 0 ? 0 : a < 0 ? -(T)INFINITY : a, 0, 0) \
  /* parts of a number */                                                                                       \
  X(T, U, S, signbit, UNARY, BOOL, NONE, FIB, copysign_##S((T)1, a) < 0, a < 0, 0)                              \
  X(T, U, S, isposinf, UNARY, BOOL, NONE, FIB, a == (T)INFINITY, 0, 0)                                          \
  X(T, U, S, isneginf, UNARY, BOOL, NONE, FIB, a == -(T)INFINITY, 0, 0)                                         \
  X(T, U, S, nextafter, BINARY, SAME, NONE, W, nextafter_##S(a, b), 0, 0)                                       \
  X(T, U, S, ldexp, BINARY, SAME, NONE, W, ldexp_##S(a, b), 0, 0)                                               \
  /* two operands */                                                                                            \
  X(T, U, S, gcd, BINARY, SAME, NONE, I, 0, gcd_int(a, b), 0)                                                   \
  X(T, U, S, lcm, BINARY, SAME, NONE, I, 0, MAGNITUDE(U, lcm_int(a, b)), 0)                                     \
  /* special functions; s is the order of polygamma */                                                          \
  X(T, U, S, erfc, UNARY, SAME, NONE, F, erfc_##S(a), 0, 0)                                                     \
  X(T, U, S, lgamma, UNARY, SAME, NONE, F, lgamma_##S(a), 0, 0)                                                 \
  X(T, U, S, digamma, UNARY, SAME, NONE, F, digamma_f64(a), 0, 0)                                               \
  X(T, U, S, polygamma, UNARY, SAME, SCALAR, F, polygamma_f64(s, a), 0, 0)                                      \
  X(T, U, S, zeta, BINARY, SAME, NONE, F, zeta_f64(a, b), 0, 0)                                                 \
  X(T, U, S, erfcx, UNARY, SAME, NONE, F, erfcx_f64(a), 0, 0)                                                   \
  X(T, U, S, ndtr, UNARY, SAME, NONE, F, normal_f64(a), 0, 0)                                                   \
  X(T, U, S, log_ndtr, UNARY, SAME, NONE, F, log_ndtr_f64(a, normal_f64(-(double)a)), 0, 0)                     \
  X(T, U, S, ndtri, UNARY, SAME, NONE, F, ndtri_f64(a), 0, 0)                                                   \
  X(T, U, S, i0, UNARY, SAME, NONE, F, bessel_i(0, a, 0), 0, 0)                                                 \
  X(T, U, S, i0e, UNARY, SAME, NONE, F, bessel_i(0, a, 1), 0, 0)                                                \
  X(T, U, S, i1, UNARY, SAME, NONE, F, bessel_i(1, a, 0), 0, 0)                                                 \
  X(T, U, S, i1e, UNARY, SAME, NONE, F, bessel_i(1, a, 1), 0, 0)
#endif
