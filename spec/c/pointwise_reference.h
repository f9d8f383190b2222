/* What pointwise_test.c holds the kernels against: each formula in long double or 128-bit integers, and by how much a
 * float result may differ from it. */
#ifndef POINTWISE_REFERENCE_H
#define POINTWISE_REFERENCE_H
#include "cpu/pointwise.h"
#include <float.h>
#include <math.h>

static long double sigmoidl(long double a) { return a < 0 ? expl(a) / (1 + expl(a)) : 1 / (1 + expl(-a)); }
/* The sigmoid of this times a is gelu's approximation by tanh. */
static long double gelu_anglel(long double a) { return 1.595769121605730711759784L * (a + 0.044715 * a * a * a); }
static long double limitl(long double a, long double low, long double high) {
  return a < low ? low : a > high ? high : a;
}

/* Formulas without a reference here: PyTorch's values in the golden cases stand for it. */
static bool unreferenced(Formula f) {
  switch (f) {
  case PW_nextafter:
  case PW_ldexp:
  case PW_digamma:
  case PW_polygamma:
  case PW_zeta:
  case PW_erfinv:
  case PW_erfcx:
  case PW_log_ndtr:
  case PW_ndtri:
  case PW_i0:
  case PW_i0e:
  case PW_i1:
  case PW_i1e:
  case PW_sinc:
  case PW_mish_back: return true;
  default: return false;
  }
}

/* The reference. Floats: the exact value as far as long double goes, and the magnitude that rounding is measured by
 * when terms cancel. */
static long double python_remainder(long double a, long double b) {
  long double r = fmodl(a, b);
  return r != 0 && (b < 0) != (r < 0) ? r + b : r;
}
static long double floor_quotient(long double a, long double b) {
  if (b == 0) return a / b;
  if (isinf(a) || isnan(a) || isnan(b)) return NAN;
  if (isinf(b)) return a == 0 ? a / b : (a < 0) != (b < 0) ? -1 : copysignl(0, a / b);
  long double q = (a - python_remainder(a, b)) / b;
  return q == 0 ? copysignl(0, a / b) : roundl(q);
}
static long double greatest(long double a, long double b) { return isnan(a) || isnan(b) ? NAN : a < b ? b : a; }
static long double least(long double a, long double b) { return isnan(a) || isnan(b) ? NAN : b < a ? b : a; }

static long double reference_float(Formula f, DType d, long double a, long double b, long double c,
                                   const PointwiseContext *x, long double *scale) {
  long double s = scalar_double(x->s), t = scalar_double(x->t), u = scalar_double(x->u), y;
  switch (f) {
  case PW_neg: return -a;
  case PW_abs: return fabsl(a);
  case PW_sign: return isnan(a) ? 0 : (a > 0) - (a < 0);
  case PW_exp: return expl(a);
  case PW_expm1: return expm1l(a);
  case PW_log: return logl(a);
  case PW_log1p: return log1pl(a);
  case PW_log2: return log2l(a);
  case PW_log10: return log10l(a);
  case PW_sqrt: return sqrtl(a);
  case PW_rsqrt: return 1 / sqrtl(a);
  case PW_square: return a * a;
  case PW_cube: return a * a * a;
  case PW_reciprocal: return 1 / a;
  case PW_sin: return sinl(a);
  case PW_cos: return cosl(a);
  case PW_tan: return tanl(a);
  case PW_tanh: return tanhl(a);
  case PW_sigmoid: return sigmoidl(a);
  case PW_gelu: return a * erfcl(-a * 0.707106781186547524400844362104849039L) / 2;
  case PW_gelu_back:
    *scale = b > -2 ? fabsl(a) : 0; /* around its root */
    return a * (erfcl(-b * 0.707106781186547524400844362104849039L) / 2 +
                b * expl(-b * b / 2) * 0.398942280401432677939946L);
  case PW_gelu_tanh: return a * sigmoidl(gelu_anglel(a));
  case PW_gelu_tanh_back:
    *scale = b > -2 ? fabsl(a) : 0;
    return a * sigmoidl(gelu_anglel(b)) *
           (1 + b * sigmoidl(-gelu_anglel(b)) * 1.595769121605730711759784L * (1 + 3 * 0.044715 * b * b));
  case PW_silu: return a * sigmoidl(a);
  case PW_silu_back: *scale = b > -3 ? fabsl(a) : 0; return a * sigmoidl(b) * (1 + b * sigmoidl(-b));
  case PW_mish: return a * tanhl(log1pl(expl(a)));
  case PW_hardswish: *scale = fabsl(a) / 2; return a * limitl(a + 3, 0, 6) / 6;
  case PW_leaky_relu: return a > 0 ? a : a * s;
  case PW_softplus: /* what rounds the argument of exp */
    y = a * s > t ? a : log1pl(expl(a * s)) / s;
    *scale = fabsl(y) * (1 + (a < 0 ? fabsl(a * s) : 0));
    return y;
  case PW_elu: *scale = a < 0 ? fabsl(t) / 2 : 0; return a < 0 ? expm1l(a * u) * t : a * s;
  case PW_acos: return acosl(a);
  case PW_acosh: return acoshl(a);
  case PW_asin: return asinl(a);
  case PW_asinh: return asinhl(a);
  case PW_atan: return atanl(a);
  case PW_atanh: return atanhl(a);
  case PW_cosh: return coshl(a);
  case PW_sinh: return sinhl(a);
  case PW_exp2: return exp2l(a);
  case PW_erfc: return erfcl(a);
  case PW_lgamma: *scale = 1; return lgammal(a);
  case PW_ndtr:
    y = erfcl(-a * 0.707106781186547524400844362104849039L) / 2;
    *scale = y * (1 + a * a);
    return y;
  case PW_logit:
    *scale = 2;
    y = a < s ? s : a > 1 - s ? 1 - s : a;
    return logl(y / (1 - y));
  case PW_logaddexp: *scale = 1; return a == b ? a + logl(2) : greatest(a, b) + log1pl(expl(-fabsl(a - b)));
  case PW_logaddexp2: *scale = 1; return a == b ? a + 1 : greatest(a, b) + log2l(1 + exp2l(-fabsl(a - b)));
  case PW_xlogy: return isnan(b) ? b : a == 0 ? 0 : a * logl(b);
  case PW_xlog1py: return isnan(b) ? b : a == 0 ? 0 : a * log1pl(b);
  case PW_entr: return a > 0 ? -a * logl(a) : a == 0 ? 0 : a < 0 ? -INFINITY : a;
  case PW_frac: return a - truncl(a);
  case PW_signbit: return signbit(a) != 0;
  case PW_isposinf: return a == INFINITY;
  case PW_isneginf: return a == -INFINITY;
  case PW_copysign: return copysignl(a, b);
  case PW_nan_to_num: return isnan(a) ? s : isinf(a) ? a > 0 ? t : u : a;
  case PW_hypot: return hypotl(a, b);
  case PW_fmax: return isnan(a) ? b : isnan(b) || a >= b ? a : b;
  case PW_fmin: return isnan(a) ? b : isnan(b) || a <= b ? a : b;
  case PW_heaviside: return a == 0 ? b : a > 0;
  case PW_hardsigmoid: *scale = 0.5L; return limitl(a + 3, 0, 6) / 6;
  case PW_hardshrink: return a >= -s && a <= s ? 0 : a;
  case PW_softshrink: return a > s ? a - s : a < -s ? a + s : a * 0;
  case PW_threshold: return a <= s ? t : a;
  case PW_logsigmoid: return least(a, 0) - log1pl(expl(-fabsl(a)));
  case PW_prelu: return a > 0 ? a : b * a;
  case PW_elu_back:
    y = b <= 0 ? a * t * u * expl(b * u) : a * s;
    *scale = fabsl(y) * (1 + (b < 0 ? fabsl(b * u) : 0));
    return y;
  case PW_zero_inside: return b >= s && b <= t ? 0 : a;
  case PW_zero_outside: return b <= s || b >= t ? 0 : a;
  case PW_leaky_relu_back: return b > 0 ? a : a * s;
  case PW_softplus_back:
    y = b * s > t ? a : a * sigmoidl(b * s);
    *scale = fabsl(y) * (1 + (b < 0 ? fabsl(b * s) : 0));
    return y;
  case PW_hardswish_back: *scale = fabsl(a) / 2; return b <= -3 ? 0 : b < 3 ? a * (b / 3 + 0.5L) : a;
  case PW_relu: return a < 0 ? 0 : a;
  case PW_floor: return floorl(a);
  case PW_ceil: return ceill(a);
  case PW_round: return rintl(a);
  case PW_trunc: return truncl(a);
  case PW_erf: return erfl(a);
  case PW_isnan: return isnan(a) != 0;
  case PW_isinf: return isinf(a) != 0;
  case PW_isfinite: return isfinite(a) != 0;
  case PW_logical_not: return a == 0;
  case PW_clamp: y = x->has_s ? greatest(a, s) : a; return x->has_t ? least(y, t) : y;
  case PW_pow_scalar: return s == 0.5L ? sqrtl(a) : s == -0.5L ? 1 / sqrtl(a) : powl(a, s);
  case PW_add: return a + b;
  case PW_add_scaled: *scale = fabsl(s * b); return a + s * b;
  case PW_sub: return a - b;
  case PW_mul: return a * b;
  case PW_div: return a / b;
  case PW_trunc_divide: /* of the rounded quotient */
    return d == MT_F64 ? trunc((double)(a / b)) : truncf((float)(a / b));
  case PW_floor_divide: return floor_quotient(a, b);
  case PW_remainder: return python_remainder(a, b);
  case PW_fmod: return fmodl(a, b);
  case PW_pow: return powl(a, b);
  case PW_maximum: return greatest(a, b);
  case PW_minimum: return least(a, b);
  case PW_atan2: return atan2l(a, b);
  case PW_eq: return a == b;
  case PW_ne: return a != b;
  case PW_lt: return a < b;
  case PW_le: return a <= b;
  case PW_gt: return a > b;
  case PW_ge: return a >= b;
  case PW_logical_and: return a != 0 && b != 0;
  case PW_logical_or: return a != 0 || b != 0;
  case PW_logical_xor: return (a != 0) != (b != 0);
  case PW_where: return a != 0 ? b : c;
  case PW_addcmul: *scale = fabsl(s * b * c); return a + s * b * c;
  case PW_addcdiv: *scale = fabsl(s * b / c); return a + s * b / c;
  case PW_lerp:
    *scale = fabsl(a) + fabsl(b) + fabsl((b - a) * c) + fabsl((b - a) * (1 - c));
    return fabsl(c) < 0.5L ? a + c * (b - a) : b - (b - a) * (1 - c);
  case PW_relu_back: return b <= 0 ? 0 : a;
  case PW_sigmoid_back: *scale = fabsl(a * b) + fabsl(a * b * b); return a * (1 - b) * b;
  case PW_tanh_back: *scale = fabsl(a) + fabsl(a * b * b); return a * (1 - b * b);
  default: return NAN;
  }
}

/* The value on a formula's way that may overflow or vanish although the result does not; nothing is asked there. */
static long double inner_value(Formula f, long double a, long double b, long double c, long double s) {
  switch (f) {
  case PW_add_scaled: return fabsl(s * b);
  case PW_addcmul: return isfinite(c) ? fabsl(s * b) : INFINITY;
  case PW_addcdiv: return fabsl(s * b / c) > FLT_MAX ? INFINITY : fabsl(s * b);
  case PW_lerp: return greatest(fabsl(b - a) * greatest(1, greatest(fabsl(c), fabsl(1 - c))), 1);
  case PW_sigmoid_back: return fabsl(a * (1 - b));
  case PW_tanh_back: return greatest(b * b, 1);
  case PW_hardswish: return fabsl(a * limitl(a + 3, 0, 6));
  case PW_gelu_tanh_back: return isinf(a) ? a : expl(-fabsl(gelu_anglel(b)));
  case PW_gelu_back: return isinf(a) ? a : expl(-b * b / 2);
  case PW_silu_back: return expl(-fabsl(b));
  case PW_elu_back: return fabsl(a) > FLT_MAX / 8 ? INFINITY : b <= 0 ? expl(b * 0.7L) : 0;
  case PW_softplus_back: return expl(-fabsl(b * s));
  case PW_softplus: return fabsl(a * s);
  default: return 0;
  }
}

/* Units in the last place that a formula may be off. */
static double allowed_ulp(Formula f) {
  switch (f) {
  case PW_exp:
  case PW_log:
  case PW_tanh:
  case PW_sigmoid:
  case PW_sin:
  case PW_cos:
  case PW_rsqrt:
  case PW_cube:
  case PW_expm1:
  case PW_log1p:
  case PW_log2:
  case PW_log10:
  case PW_tan:
  case PW_erf:
  case PW_pow:
  case PW_atan2:
  case PW_pow_scalar:
  case PW_add_scaled:
  case PW_addcmul:
  case PW_addcdiv:
  case PW_lerp:
  case PW_tanh_back:
  case PW_acos:
  case PW_asin:
  case PW_gelu:
  case PW_gelu_tanh:
  case PW_silu:
  case PW_softplus:
  case PW_logsigmoid:
  case PW_logit:
  case PW_acosh:
  case PW_asinh:
  case PW_atan:
  case PW_atanh:
  case PW_cosh:
  case PW_sinh:
  case PW_exp2:
  case PW_hypot:
  case PW_entr:
  case PW_xlogy:
  case PW_xlog1py:
  case PW_hardsigmoid:
  case PW_elu_back:
  case PW_hardswish_back: return 2;
  case PW_sigmoid_back:
    return 2.5; /* 1 - b and its product with a are each up to a unit off, the result is half of one */
  case PW_gelu_back:
  case PW_gelu_tanh_back:
  case PW_silu_back:
  case PW_mish:
  case PW_softplus_back:
  case PW_elu:
  case PW_hardswish:
  case PW_erfc:
  case PW_lgamma:
  case PW_ndtr:
  case PW_logaddexp:
  case PW_logaddexp2: return 5;
  case PW_leaky_relu:
  case PW_floor_divide:
  case PW_trunc_divide: return 1;
  default: return 0.5;
  }
}

static int64_t wrap(DType d, __int128 v) {
  switch (d) {
  case MT_BOOL: return v != 0;
  case MT_U8: return (uint8_t)v;
  case MT_I8: return (int8_t)v;
  case MT_I16: return (int16_t)v;
  case MT_I32: return (int32_t)v;
  default: return (int64_t)v;
  }
}
static __int128 floor_int(__int128 a, __int128 b) {
  __int128 q = a / b;
  return q * b != a && (a < 0) != (b < 0) ? q - 1 : q;
}

/* Integers and bool: exact, then wrapped. A division by zero gives 0. */
static __int128 reference_int(Formula f, DType d, __int128 a, __int128 b, __int128 c, const PointwiseContext *x) {
  int64_t s = scalar_int64(x->s), t = scalar_int64(x->t);
  bool is_bool = d == MT_BOOL;
  int bits = 8 * dtype_size(d);
  switch (f) {
  case PW_neg: return -a;
  case PW_abs: return a < 0 ? -a : a;
  case PW_sign: return (a > 0) - (a < 0);
  case PW_square: return a * a;
  case PW_cube: return wrap(d, a * a) * a;
  case PW_relu: return a > 0 ? a : 0;
  case PW_floor:
  case PW_ceil:
  case PW_round:
  case PW_trunc: return a;
  case PW_isnan:
  case PW_isinf: return 0;
  case PW_isfinite: return 1;
  case PW_logical_not: return a == 0;
  case PW_bitwise_not: return is_bool ? !a : ~a;
  case PW_clamp:
    if (x->has_s && a < s) a = s;
    return x->has_t && a > t ? t : a;
  case PW_pow_scalar: b = wrap(d, s); /* fall through */
  case PW_pow: {
    if (b < 0) return a == 1 ? 1 : a == -1 ? (b & 1 ? -1 : 1) : 0;
    int64_t y = 1, base = (int64_t)a;
    for (; b > 0; b >>= 1, base = wrap(MT_I64, (__int128)base * base))
      if (b & 1) y = wrap(MT_I64, (__int128)y * base);
    return y;
  }
  case PW_add: return is_bool ? a | b : a + b;
  case PW_add_scaled: return is_bool ? a | ((s != 0) & b) : a + s * b;
  case PW_sub: return a - b;
  case PW_mul: return a * b;
  case PW_trunc_divide: return b == 0 ? 0 : a / b;
  case PW_floor_divide: return b == 0 ? 0 : floor_int(a, b);
  case PW_remainder: return b == 0 ? 0 : a - floor_int(a, b) * b;
  case PW_fmod: return b == 0 ? 0 : a % b;
  case PW_maximum: return a > b ? a : b;
  case PW_minimum: return a < b ? a : b;
  case PW_eq: return a == b;
  case PW_ne: return a != b;
  case PW_lt: return a < b;
  case PW_le: return a <= b;
  case PW_gt: return a > b;
  case PW_ge: return a >= b;
  case PW_logical_and: return a != 0 && b != 0;
  case PW_logical_or: return a != 0 || b != 0;
  case PW_logical_xor: return (a != 0) != (b != 0);
  case PW_bitwise_and: return a & b;
  case PW_bitwise_or: return a | b;
  case PW_bitwise_xor: return a ^ b;
  case PW_lshift: return b < 0 || b >= bits ? 0 : (__int128)((unsigned __int128)a << b);
  case PW_rshift: return b < 0 || b >= bits ? (a < 0 ? -1 : 0) : a >> b;
  case PW_where: return a ? b : c;
  case PW_addcmul: return a + (__int128)wrap(d, (__int128)wrap(d, s * b) * c);
  case PW_relu_back: return b <= 0 ? 0 : a;
  case PW_signbit: return a < 0;
  case PW_isposinf:
  case PW_isneginf: return 0;
  case PW_fmax: return a > b ? a : b;
  case PW_fmin: return a < b ? a : b;
  case PW_heaviside: return a == 0 ? b : a > 0;
  case PW_threshold: return a <= s ? t : a;
  case PW_gcd:
  case PW_lcm: {
    __int128 p = a < 0 ? -a : a, q = b < 0 ? -b : b;
    while (q != 0) {
      __int128 r = p % q;
      p = q;
      q = r;
    }
    if (f == PW_gcd) return p;
    __int128 wide = p == 0 ? 0 : a / p * b; /* overflows into int, or int64, before its sign is dropped */
    wide = d == MT_I64 ? (int64_t)wide : (int32_t)wide;
    return wide < 0 ? -wide : wide;
  }
  default: return -999;
  }
}
#endif
