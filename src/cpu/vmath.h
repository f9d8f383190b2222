/* Elementary functions per compute type, named name_f32 and name_f64: what formulas.h calls.
 *
 * Exponentials, logarithms, pow, erf, gelu and trigonometric functions of float, and exponentials of double, are
 * branch-free, so that a loop over them vectorises: arguments are reduced, a polynomial (minimax) is evaluated, special values are
 * selected at the end.
 * They are within 2 ulp everywhere, subnormals, infinities, NaN and -0 included; sin, cos and tan only up to SIN_LIMIT,
 * fmod up to a quotient of QUOTIENT_LIMIT, beyond which a loop takes libm. FMA is used where the instruction set has it,
 * so the sets with FMA agree bit for bit. Everything else is libm, to the last bit the same in a vector loop and alone. */
#ifndef MT_VMATH_H
#define MT_VMATH_H
#include <math.h>
#include <stdbool.h>
#include <stdint.h>

/* Inline in any loop, however long: a call would keep it from being vectorised. */
#define VECTOR_FN static inline __attribute__((always_inline))

/* Before a loop whose operands are the same memory or do not overlap. */
#if defined(__clang__)
#pragma clang diagnostic ignored "-Wpass-failed"
#define NO_OVERLAP _Pragma("clang loop vectorize(assume_safety)")
#else
#define NO_OVERLAP _Pragma("GCC ivdep")
#endif

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define FMA32(a, b, c) __builtin_fmaf(a, b, c)
#define FMA64(a, b, c) __builtin_fma(a, b, c)
#else
#define FMA32(a, b, c) ((a) * (b) + (c))
#define FMA64(a, b, c) ((a) * (b) + (c))
#endif

typedef union {
  float f;
  int32_t i;
  uint32_t u;
} Bits32;
typedef union {
  double f;
  int64_t i;
  uint64_t u;
} Bits64;

static inline float float_of_bits(uint32_t u) { return (Bits32){.u = u}.f; }
static inline uint32_t bits_of_float(float f) { return (Bits32){.f = f}.u; }
static inline double double_of_bits(uint64_t u) { return (Bits64){.u = u}.f; }
static inline uint64_t bits_of_double(double f) { return (Bits64){.f = f}.u; }

/* exp(r) - 1 for |r| <= ln 2 / 2 */
VECTOR_FN float exp_less_one_f32(float r) {
  float q = FMA32(0x1.6dbcc4p-10f, r, 0x1.124146p-7f);
  q = FMA32(q, r, 0x1.555454p-5f);
  q = FMA32(q, r, 0x1.555486p-3f);
  q = FMA32(q, r, 0x1.000000p-1f);
  return FMA32(r * r, q, r);
}
VECTOR_FN double exp_less_one_f64(double r) {
  double q = FMA64(0x1.ad80168583a46p-26, r, 0x1.28ad7b7083245p-22);
  q = FMA64(q, r, 0x1.71df24f47ea6ap-19);
  q = FMA64(q, r, 0x1.a0199a01fc128p-16);
  q = FMA64(q, r, 0x1.a01a012a79e1ep-13);
  q = FMA64(q, r, 0x1.6c16c1842e6dep-10);
  q = FMA64(q, r, 0x1.1111111127ba4p-7);
  q = FMA64(q, r, 0x1.5555555550865p-5);
  q = FMA64(q, r, 0x1.55555555554fap-3);
  q = FMA64(q, r, 0x1.000000000000ap-1);
  return FMA64(r * r, q, r);
}
/* exp(r) - 1 and exp(r), where x + low = k ln 2 + r, |r| <= ln 2 / 2, and k is exact for |x| that small. Adding `magic`
 * rounds to an integer, which is left in the low bits of *t beside those of magic. low is -0 where there is none, since
 * adding that is nothing. */
VECTOR_FN float exp_rest_less_one_f32(float x, float low, float magic, float *t) {
  *t = FMA32(x, 0x1.715476p+0f, magic);
  float n = *t - magic, r = FMA32(n, -0x1.62e400p-1f, x) + low;
  return exp_less_one_f32(FMA32(n, -0x1.7f7d1cp-20f, r));
}
VECTOR_FN float exp_rest_f32(float x, float magic, float *t) {
  return exp_rest_less_one_f32(x, -0.0f, magic, t) + 1.0f;
}
VECTOR_FN float exp_reduced_f32(float x, int32_t *k) {
  const float magic = 0x1.8p23f;
  float t, p = exp_rest_f32(x, magic, &t);
  *k = (int32_t)(bits_of_float(t) - bits_of_float(magic));
  return p;
}
/* p 2^k; the scale is applied in two halves, since 2^k may be subnormal or too large. */
VECTOR_FN float scale_f32(float p, int32_t k) {
  int32_t half = k >> 1;
  float low = float_of_bits((uint32_t)(half + 127) << 23), high = float_of_bits((uint32_t)(k - half + 127) << 23);
  return p * low * high;
}
VECTOR_FN float exp_f32(float x) {
  float c = x > 89.0f ? 89.0f : x;
  c = c < -104.0f ? -104.0f : c;
  int32_t k;
  float p = exp_reduced_f32(c, &k);
  return scale_f32(p, k);
}

/* 2^40 exp(x) for x from -110 to 60: always a normal number, so that what is divided by a sum of such ones is as exact as
 * it can be; below -110 nothing changes. For double the same from -760 on, 2^80 as large. */
#define EXP_UP_f32 0x1p40f
#define EXP_UP_f64 0x1p80
VECTOR_FN float exp_up_f32(float x) {
  float c = x < -110.0f ? -110.0f : x;
  float t, p = exp_rest_f32(c, 0x1.8p23f + 127 + 40, &t); /* so that the low bits are those of 2^(k + 40) */
  return p * float_of_bits(bits_of_float(t) << 23);
}
/* exp of what is at most 60, as softmax and gelu need it: the same as exp, but shorter. */
static inline float exp_below_f32(float x) { return exp_up_f32(x) * (1 / EXP_UP_f32); }
/* The same, but 0 where it would be below 2^-126, and shorter still: weights beside one of 1. */
VECTOR_FN float exp_weight_f32(float x) {
  float c = x < -88.0f ? -88.0f : x;
  float t, p = exp_rest_less_one_f32(c, -0.0f, 0x1.8p23f + 127, &t), scale = float_of_bits(bits_of_float(t) << 23);
  return FMA32(p, scale, scale);
}

/* The same for double. */
#define MAGIC64 0x1.8p52
VECTOR_FN double exp_rest_less_one_f64(double x, double low, double magic, double *t) {
  *t = FMA64(x, 0x1.71547652b82fep+0, magic);
  double n = *t - magic, r = FMA64(n, -0x1.62e42fefa0000p-1, x) + low;
  return exp_less_one_f64(FMA64(n, -0x1.cf79abc9e3b3ap-40, r));
}
VECTOR_FN double exp_rest_f64(double x, double magic, double *t) {
  return exp_rest_less_one_f64(x, -0.0, magic, t) + 1.0;
}
VECTOR_FN double exp_f64(double x) {
  double c = x < -746.0 ? -746.0 : x;
  double t, p = exp_rest_f64(c, MAGIC64 + 2048, &t); /* k is not negative then, and halves without its sign */
  uint64_t k = bits_of_double(t) & 0xfff, half = k >> 1;
  double y = p * double_of_bits((half - 1) << 52) * double_of_bits((k - half - 1) << 52);
  return x > 710.0 ? (double)INFINITY : y;
}
VECTOR_FN double exp_up_f64(double x) {
  double c = x < -760.0 ? -760.0 : x;
  double t, p = exp_rest_f64(c, MAGIC64 + 1023 + 80, &t);
  return p * double_of_bits(bits_of_double(t) << 52);
}
VECTOR_FN double exp_below_f64(double x) { return exp_up_f64(x) * (1 / EXP_UP_f64); }
VECTOR_FN double exp_weight_f64(double x) {
  double c = x < -709.0 ? -709.0 : x;
  double t, p = exp_rest_less_one_f64(c, -0.0, MAGIC64 + 1023, &t), scale = double_of_bits(bits_of_double(t) << 52);
  return FMA64(p, scale, scale);
}

/* 2^x = 2^k exp(r ln 2), r = x - k */
VECTOR_FN float exp2_f32(float x) {
  const float magic = 0x1.8p23f;
  float c = x > 129.0f ? 129.0f : x;
  c = c < -151.0f ? -151.0f : c;
  float t = c + magic;
  return scale_f32(exp_less_one_f32((c - (t - magic)) * 0x1.62e430p-1f) + 1.0f,
                   (int32_t)(bits_of_float(t) - bits_of_float(magic)));
}

/* expm1(x) = 2^k (exp(r) - 1) + 2^k - 1, reduced like exp, with half of each power so that none overflows.
 * Below -18 it is -1. */
VECTOR_FN float expm1_f32(float x) {
  const float magic = 0x1.8p23f;
  float c = x > 89.0f ? 89.0f : x;
  c = c < -18.0f ? -18.0f : c;
  float t = FMA32(c, 0x1.715476p+0f, magic), n = t - magic;
  float r = FMA32(n, -0x1.62e400p-1f, c);
  r = FMA32(n, -0x1.7f7d1cp-20f, r);
  float p = exp_less_one_f32(r);
  float half = float_of_bits(((bits_of_float(t) - bits_of_float(magic)) + 126) << 23);
  float y = 2.0f * FMA32(p, half, half - 0.5f);
  return __builtin_fabsf(x) < 0x1p-25f ? x : y;
}
VECTOR_FN double expm1_f64(double x) {
  double c = x > 710.0 ? 710.0 : x;
  c = c < -38.0 ? -38.0 : c;
  double t = FMA64(c, 0x1.71547652b82fep+0, MAGIC64), n = t - MAGIC64;
  double r = FMA64(n, -0x1.62e42fefa0000p-1, c), p = exp_less_one_f64(FMA64(n, -0x1.cf79abc9e3b3ap-40, r));
  double half = double_of_bits((bits_of_double(t) - bits_of_double(MAGIC64) + 1022) << 52);
  double y = 2.0 * FMA64(p, half, half - 0.5);
  return __builtin_fabs(x) < 0x1p-54 ? x : y;
}

/* x = 2^k (1 + f), 1 + f in [sqrt(1/2), sqrt(2)), for positive x. */
VECTOR_FN float log_reduced_f32(float x, float *k) {
  float scaled = x < 0x1p-126f ? x * 0x1p23f : x;
  int32_t shift = x < 0x1p-126f ? -23 : 0;
  int32_t u = (int32_t)(bits_of_float(scaled) + (0x3f800000u - 0x3f3504f3u));
  *k = (float)((u >> 23) - 127 + shift);
  return float_of_bits((uint32_t)((u & 0x7fffff) + 0x3f3504f3)) - 1.0f;
}
/* R where log(1 + f) = 2 s + s R(s^2), s = f / (2 + f) */
VECTOR_FN float log_rest_f32(float z) {
  float r = FMA32(0x1.e340c0p-3f, z, 0x1.2436fep-2f);
  r = FMA32(r, z, 0x1.999a82p-2f);
  return FMA32(r, z, 0x1.555554p-1f);
}
/* y = the logarithm of x, which was reduced as if it were positive and finite. */
VECTOR_FN float log_limits_f32(float x, float y) {
  y = x < INFINITY ? y : x;
  y = x == 0.0f ? -INFINITY : y;
  return x < 0.0f ? NAN : y;
}
VECTOR_FN float log_f32(float x) {
  float k, f = log_reduced_f32(x, &k), s = f / (2.0f + f), z = s * s, half = 0.5f * f * f, r = log_rest_f32(z);
  float y = k * 0x1.62e400p-1f - ((half - FMA32(s, half + z * r, k * 0x1.7f7d1cp-20f)) - f);
  return log_limits_f32(x, y);
}
/* Those of another base: k high + log(1 + f) / log(base); 1 / log(base) and high are in two parts each. */
VECTOR_FN float log_of_base_f32(float x, float high, float low, float scale, float rest) {
  float k, f = log_reduced_f32(x, &k), s = f / (2.0f + f), z = s * s, half = 0.5f * f * f;
  float lost = half - s * (half + z * log_rest_f32(z));
  float small = FMA32(f, rest, FMA32(-lost, scale, k * low));
  return log_limits_f32(x, FMA32(k, high, FMA32(f, scale, small)));
}
static inline float log2_f32(float x) { return log_of_base_f32(x, 1.0f, 0.0f, 0x1.715476p+0f, 0x1.4ae0cp-26f); }
static inline float log10_f32(float x) {
  return log_of_base_f32(x, 0x1.344000p-2f, 0x1.3509f8p-18f, 0x1.bcb7b2p-2f, -0x1.5b235ep-27f);
}
/* log(1 + x); what rounding the sum lost is put back to first order. */
VECTOR_FN float log1p_f32(float x) {
  float sum = 1.0f + x, larger = x > 1.0f ? x : 1.0f, smaller = x > 1.0f ? 1.0f : x;
  float lost = smaller - (sum - larger), y = log_f32(sum) + lost / sum;
  y = x > -1.0f && x < INFINITY ? y : log_f32(sum);
  return x == 0.0f ? x : y;
}

/* |x|^y = 2^(y log2 |x|) in double, where 24 bits of the result are sure; then the sign, and what IEEE 754 says of zeros,
 * infinities and negative x. */
VECTOR_FN float pow_f32(float x, float y) {
  double a = __builtin_fabsf(x), v = y;
  uint64_t u = bits_of_double(a) + (0x3ff0000000000000u - 0x3fe6a09e667f3bcdu);
  double k = double_of_bits((u >> 52) | 0x4330000000000000u) - (0x1p52 + 1023);
  double m = double_of_bits((u & 0xfffffffffffffu) + 0x3fe6a09e667f3bcdu), s = (m - 1.0) / (m + 1.0), z = s * s;
  double l = FMA64(0x1.21b518f0112c1p-2, z, 0x1.47950af246d5ep-2);
  l = FMA64(l, z, 0x1.a61a30a2dcfddp-2);
  l = FMA64(l, z, 0x1.2776c290e11bep-1);
  l = FMA64(l, z, 0x1.ec709dc53e841p-1);
  l = FMA64(l, z, 0x1.71547652b8250p+1);
  l = FMA64(l, s, k);
  l = a < (double)INFINITY ? l : a;
  l = a == 0.0 ? -(double)INFINITY : l;
  double power = v * l, c = power > 130.0 ? 130.0 : power;
  c = c < -160.0 ? -160.0 : c;
  double t = c + (MAGIC64 + 1023), r = c - (t - (MAGIC64 + 1023));
  double e = FMA64(0x1.44986fe62b311p-13, r, 0x1.5f48c66a1c79cp-10);
  e = FMA64(e, r, 0x1.3b2996ca05965p-7);
  e = FMA64(e, r, 0x1.c6aecc5758da4p-5);
  e = FMA64(e, r, 0x1.ebfbe10ced9b5p-3);
  e = FMA64(e, r, 0x1.62e430d043b24p-1);
  e = FMA64(e, r, 0x1.ffffffff4f26cp-1);
  e *= double_of_bits(bits_of_double(t) << 52);
  e = a == 1.0 || v == 0.0 ? 1.0 : e;
  double limited = __builtin_fabs(v) >= 0x1p30 ? 0x1p30 : v, whole = limited + MAGIC64; /* all that large are even */
  uint64_t odd = bits_of_double(whole) << 63;
  float positive = (float)e;
  float negative = (float)double_of_bits(bits_of_double(e) ^ odd);
  negative = whole - MAGIC64 == limited ? negative : x == 0.0f || a == (double)INFINITY ? positive : NAN;
  return __builtin_copysignf(1.0f, x) < 0.0f ? negative : positive;
}

/* log(1 + exp(x)); what the sum's rounding lost is put back to first order. */
VECTOR_FN float log1p_exp_f32(float x) {
  float e = exp_f32(x), sum = 1.0f + e, y = log_f32(sum) - ((sum - 1.0f) - e) / sum;
  return e < INFINITY ? y : e;
}

/* erf: x (1 + P(x^2)) near 0, else 1 - exp(Q(|x|)), where Q is log(erfc). Both fitted by weighted least squares. */
VECTOR_FN float erf_f32(float x) {
  float a = __builtin_fabsf(x), z = x * x, c = a > 4.0f ? 4.0f : a;
  float p = FMA32(-0x1.3a8a18p-11f, z, 0x1.475f82p-8f);
  p = FMA32(p, z, -0x1.b6930cp-6f);
  p = FMA32(p, z, 0x1.ce1b16p-4f);
  p = FMA32(p, z, -0x1.8126eap-2f);
  p = FMA32(p, z, 0x1.06eba6p-3f);
  float q = FMA32(0x1.9ae98ep-13f, c, -0x1.8ee1bep-9f);
  q = FMA32(q, c, 0x1.6c2a9cp-6f);
  q = FMA32(q, c, -0x1.a9b440p-4f);
  q = FMA32(q, c, -0x1.463cbep-1f);
  q = FMA32(q, c, -0x1.20af5ap+0f);
  q = FMA32(q, c, -0x1.9a57aap-13f);
  float near = FMA32(a, p, a), far = 1.0f - exp_f32(q);
  return __builtin_copysignf(a < 0.925f ? near : far, x);
}

/* gelu, x Phi(x), and its slope Phi(x) + x phi(x), through what lies below: with a = |x|,
 *   Phi(-a) = P(a) exp(-a^2 / 2),   P(a) = w(u) / (a + k),   u = a / (a + k),
 * so that small results keep their digits, which 1 + erf(x) would lose. w is a polynomial in u - 1/2 (minimax, 1.7e-8).
 * Within 2 ulp of a product of so many factors leaves no room for their roundings: each comes as a sum of two floats, and
 * exp(-a^2 / 2) as scale (1 + r + s). Beyond 14.8 a result below is 0, or 1 above. */
#define GELU_END 14.8f
#define MILLS_SHIFT 0x1.4a3334p+1f /* k */
#define MILLS_REST(FMA, v)                                                                                         \
  FMA(FMA(FMA(FMA(FMA(FMA(FMA(FMA(-0x1.2d8b90p-4f, v, -0x1.940f1ep-4f), v, 0x1.a3823ap-5f), v, 0x1.61bc1cp-3f), v, \
                      -0x1.191c4cp-9f),                                                                            \
                  v, -0x1.178d10p-2f),                                                                             \
              v, 0x1.b801ecp-7f),                                                                                  \
          v, 0x1.2fa740p-1f),                                                                                      \
      v, -0x1.ca1028p-1f)
#define MILLS_MIDDLE 0x1.6bf682p-1f /* w = MILLS_MIDDLE + v MILLS_REST(v) */
#define EXP_REST(FMA, r) \
  FMA(FMA(FMA(FMA(0x1.6dbcc4p-10f, r, 0x1.124146p-7f), r, 0x1.555454p-5f), r, 0x1.555486p-3f), r, 0x1.000000p-1f)
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
/* w(u) and what its rounding lost */
VECTOR_FN float mills_f32(float u, float *lost) {
  float v = u - 0.5f, rest = MILLS_REST(FMA32, v), w = FMA32(v, rest, MILLS_MIDDLE);
  *lost = FMA32(v, rest, MILLS_MIDDLE - w);
  return w;
}
/* top - (high + low) exp(-a^2 / 2). The square is not rounded: 1 / 2^25 of 144 would be 9 units in exp. */
VECTOR_FN float less_bell_f32(float top, float high, float low, float a) {
  const float magic = 0x1.8p23f + 127 + 40; /* as in exp_up_f32 */
  float half = 0.5f * a, h = half * a, t = FMA32(h, -0x1.715476p+0f, magic), n = t - magic;
  float rough = FMA32(n, -0x1.62e400p-1f, -h), fine = FMA32(n, -0x1.7f7d1cp-20f, -FMA32(half, a, -h));
  float r = rough + fine, s = FMA32(r * r, EXP_REST(FMA32, r), fine - (r - rough));
  float y = high + FMA32(high, r, FMA32(high, s, FMA32(low, r, low)));
  return FMA32(y * float_of_bits(bits_of_float(t) << 23), -1 / EXP_UP_f32, top);
}
/* top - a Phi(-a) */
VECTOR_FN float less_gelu_f32(float top, float a) {
  float sum = a + MILLS_SHIFT, u = a / sum, u_lost = FMA32(-u, sum, a); /* times sum */
  float w_lost, w = mills_f32(u, &w_lost), high = u * w, low = FMA32(u, w_lost, FMA32(u, w, -high));
  float root = FMA32(-0.794f, u, 0.794f); /* its cube is (u w)' / sum, nearly */
  return less_bell_f32(top, high, FMA32(root * root, root * u_lost, low), a);
}
/* top - (Phi(-a) - a phi(a)); the difference makes what both lost count. */
VECTOR_FN float less_gelu_slope_f32(float top, float a) {
  float sum = a + MILLS_SHIFT, of_k = sum - a, lost = (a - (sum - of_k)) + (MILLS_SHIFT - of_k);
  float inverse = 1.0f / sum, share = FMA32(-inverse, lost, FMA32(-inverse, sum, 1.0f)); /* inverse lacks that share */
  float u = a * inverse, u_lost = FMA32(u, share, FMA32(a, inverse, -u));
  float w_lost, w = mills_f32(u, &w_lost), slope = FMA32(1.186f, u, -1.488f); /* w's, nearly */
  float p = inverse * w, p_lost = FMA32(inverse, FMA32(slope, u_lost, w_lost), FMA32(inverse, w, -p));
  float high = FMA32(-0x1.988454p-2f, a, p), low = FMA32(-0x1.988454p-2f, a, p - high) + FMA32(p, share, p_lost);
  return less_bell_f32(top, high, FMA32(a, 0x1.857936p-27f, low), a); /* what 1 / sqrt(2 pi) lacks */
}
#else /* without FMA that is shorter in double */
typedef struct {
  double sum, w, bell;
} Below;
VECTOR_FN Below below_f32(float a) {
#define FMA_OF_DOUBLE(x, y, z) ((x) * (y) + (double)(z))
  double wide = a, sum = wide + (double)MILLS_SHIFT, v = wide / sum - 0.5, h = 0.5 * wide * wide;
  double t = h * -0x1.71547652b82fep+0 + 0x1.8p52, n = t - 0x1.8p52, r = -h - n * 0x1.62e42fefa39efp-1;
  Bits64 scale = {.u = ((Bits64){.f = t}.u + 1023) << 52};
  double w = (double)MILLS_MIDDLE + v * MILLS_REST(FMA_OF_DOUBLE, v);
  return (Below){sum, w, (1 + (r + r * r * EXP_REST(FMA_OF_DOUBLE, r))) * scale.f};
#undef FMA_OF_DOUBLE
}
VECTOR_FN float less_gelu_f32(float top, float a) {
  Below b = below_f32(a);
  return (float)(top - a / b.sum * b.w * b.bell);
}
VECTOR_FN float less_gelu_slope_f32(float top, float a) {
  Below b = below_f32(a);
  return (float)(top - (b.w / b.sum - 0.39894228040143267794 * a) * b.bell);
}
#endif
/* |x|, at most GELU_END: as bits, since a choice between floats makes compilers compute all that follows of both. */
VECTOR_FN float gelu_size_f32(float x) {
  uint32_t size = bits_of_float(x) & 0x7fffffffu, end = bits_of_float(GELU_END);
  return float_of_bits(size < end ? size : end);
}
/* What is added to both is x or 0, or NaN where x is, or where it is an infinity that would be multiplied by 0. */
VECTOR_FN float gelu_f32(float x) { return less_gelu_f32(x < 0.0f ? x - x : x, gelu_size_f32(x)); }
VECTOR_FN float gelu_slope_f32(float x) {
  float y = less_gelu_slope_f32(x < 0.0f ? 0.0f : 1.0f, gelu_size_f32(x));
  return (x < 0.0f ? -y : y) + (x - x);
}

/* What rounding left out of product = x y; exact. */
#define FMA_f32 FMA32
#define FMA_f64 FMA64
VECTOR_FN float product_rest_f32(float x, float y, float product) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  return __builtin_fmaf(x, y, -product);
#else
  return (float)((double)x * (double)y - (double)product);
#endif
}
VECTOR_FN double product_rest_f64(double x, double y, double product) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  return __builtin_fma(x, y, -product);
#else
  double x_high = x * 0x8000001p0, y_high = y * 0x8000001p0;
  x_high = x_high - (x_high - x), y_high = y_high - (y_high - y);
  double x_low = x - x_high, y_low = y - y_high;
  return ((x_high * y_high - product) + x_high * y_low + x_low * y_high) + x_low * y_low;
#endif
}

/* The normal distribution function. Rounding the argument of erfc would cost x^2 / 2 units: what it lost is put back to
 * first order. Beyond 40 nothing changes. */
#define SQRT_HALF_f64 0.70710678118654752440
static inline double within_40(double x) { return x > 40 ? 40 : x < -40 ? -40 : x; }
static inline double normal_f64(double x) {
  double c = within_40(x), z = -SQRT_HALF_f64 * c;
  double lost = product_rest_f64(-SQRT_HALF_f64, c, z) + 4.8336466567264567e-17 * c;
  return 0.5 * (erfc(z) - 1.12837916709551257390 * exp_f64(-z * z) * lost);
}

/* RAISED a exp(x + low) for x from -END to 20, as sigmoid's products need it: the digits are all there, and exp is not
 * rounded by itself. */
#define RAISED_f32 EXP_UP_f32
#define RAISED_f64 EXP_UP_f64
#define END_f32 110.0f
#define END_f64 760.0
VECTOR_FN float times_exp_f32(float a, float x, float low) {
  float t, less_one = exp_rest_less_one_f32(x, low, 0x1.8p23f + 127 + 40, &t);
  return FMA32(a, less_one, a) * float_of_bits(bits_of_float(t) << 23);
}
VECTOR_FN double times_exp_f64(double a, double x, double low) {
  double t, less_one = exp_rest_less_one_f64(x, low, MAGIC64 + 1023 + 80, &t);
  return FMA64(a, less_one, a) * double_of_bits(bits_of_double(t) << 52);
}

/* gelu of x < -30, which may be subnormal, or its slope: with a = |x| that is -s phi(a), or (s / a - a) phi(a), where
 * s = a Phi(-a) / phi(a) is its asymptotic series. */
static inline double gelu_far_f64(double x, bool slope) {
  double a = x > -39 ? -x : 39, square = a * a, s = 1;
  for (int k = 15; k > 0; k -= 2) s = 1 - k * s / square;
  double y = (slope ? s / a - a : -s) * 0.39894228040143267794;
  return times_exp_f64(y, -0.5 * square, -0.5 * product_rest_f64(a, a, square)) * (1 / RAISED_f64) - (x - x);
}
static inline double gelu_f64(double x) { return x < -30 ? gelu_far_f64(x, false) : x * normal_f64(x); }
static inline double gelu_slope_f64(double x) {
  if (x < -30) return gelu_far_f64(x, true);
  double c = within_40(x), square = c * c, bell = exp_f64(-0.5 * square);
  bell -= bell * (0.5 * product_rest_f64(c, c, square));
  return normal_f64(x) + 0.39894228040143267794 * c * bell + (x - x);
}

/* tanh: odd polynomial near 0, else 1 - 2 / (exp(2 |x|) + 1) with the sign put back. */
VECTOR_FN float tanh_f32(float x) {
  float a = __builtin_fabsf(x), z = x * x;
  float p = FMA32(0x1.c936b8p-10f, z, -0x1.f69bf4p-8f);
  p = FMA32(p, z, 0x1.5f9756p-6f);
  p = FMA32(p, z, -0x1.b98196p-5f);
  p = FMA32(p, z, 0x1.110dd9p-3f);
  p = FMA32(p, z, -0x1.55554ap-2f);
  float near = FMA32(a * z, p, a);
  float twice = 2.0f * a, c = twice > 40.0f ? 40.0f : twice; /* from there on it is 1 */
  int32_t k;
  float e = exp_reduced_f32(c, &k) * float_of_bits((uint32_t)(k + 127) << 23), far = 1.0f - 2.0f / (e + 1.0f);
  return __builtin_copysignf(a < 0.75f ? near : far, x);
}

VECTOR_FN double tanh_f64(double x) {
  double a = __builtin_fabs(x), e = expm1_f64(a > 20.0 ? 40.0 : 2.0 * a);
  return __builtin_copysign(e / (e + 2.0), x);
}

/* 1 / (1 + exp(-x)): through exp(-|x|), so that small results keep their digits. What the sum's rounding lost is put
 * back to first order. */
VECTOR_FN float sigmoid_f32(float x) {
  float up = exp_up_f32(-__builtin_fabsf(x)), e = up * (1 / EXP_UP_f32), sum = 1.0f + e;
  float y = (x < 0.0f ? up : EXP_UP_f32) / sum;
  return FMA32(y, ((sum - 1.0f) - e) * FMA32(-0.5f, e, 1.0f), y) * (1 / EXP_UP_f32);
}

/* sin and cos: x = n pi/2 + r in double, where n times the upper half of pi/2 is exact; then both polynomials. The lowest
 * bits of the result are those of n. */
#define SIN_LIMIT 0x1p25f
VECTOR_FN uint64_t sin_cos_reduced(double x, double *sine, double *cosine) {
  double t = x * 0x1.45f306dc9c883p-1 + MAGIC64, n = t - MAGIC64;
  double r = (x - n * 0x1.921fb54p+0) - n * 0x1.10b4611a62633p-30, z = r * r;
  double s = FMA64(0x1.6cd5ebdded474p-19, z, -0x1.a00f9397b552ap-13);
  s = FMA64(s, z, 0x1.11110889f6259p-7);
  s = FMA64(s, z, -0x1.5555554ca9351p-3);
  s = r * FMA64(s, z, 1.0);
  double c = FMA64(-0x1.23d60a4097d7fp-22, z, 0x1.a00f06dde15e0p-16);
  c = FMA64(c, z, -0x1.6c16b3eca58dbp-10);
  c = FMA64(c, z, 0x1.55555546d81a0p-5);
  c = FMA64(c, z, -0x1.ffffffffebcb0p-2);
  *cosine = FMA64(c, z, 1.0);
  *sine = s;
  return bits_of_double(t);
}
VECTOR_FN double sin_reduced(double x, uint64_t quarter) {
  double s, c;
  uint64_t q = sin_cos_reduced(x, &s, &c) + quarter;
  Bits64 y = {.f = q & 1 ? c : s};
  y.u ^= (q & 2) << 62;
  return y.f;
}
static inline float sin_f32(float x) { return (float)sin_reduced(x, 0); }
static inline float cos_f32(float x) { return (float)sin_reduced(x, 1); }
VECTOR_FN float tan_f32(float x) {
  double s, c;
  uint64_t odd = sin_cos_reduced((double)x, &s, &c) & 1;
  return (float)((odd ? -c : s) / (odd ? s : c));
}
/* For a loop in which an argument is past the limit. */
static inline float sin_wide_f32(float x) { return __builtin_fabsf(x) <= SIN_LIMIT ? sin_f32(x) : sinf(x); }
static inline float cos_wide_f32(float x) { return __builtin_fabsf(x) <= SIN_LIMIT ? cos_f32(x) : cosf(x); }
static inline float tan_wide_f32(float x) { return __builtin_fabsf(x) <= SIN_LIMIT ? tan_f32(x) : tanf(x); }

/* atan of a in 0 .. 1: a + a z P(z), z = a^2 */
VECTOR_FN float atan_reduced_f32(float a) {
  float z = a * a, p = FMA32(-0x1.decff4p-10f, z, 0x1.6a757cp-7f);
  p = FMA32(p, z, -0x1.01a370p-5f);
  p = FMA32(p, z, 0x1.dd02c8p-5f);
  p = FMA32(p, z, -0x1.58d8fap-4f);
  p = FMA32(p, z, 0x1.c0d158p-4f);
  p = FMA32(p, z, -0x1.2426dcp-3f);
  p = FMA32(p, z, 0x1.999274p-3f);
  p = FMA32(p, z, -0x1.555540p-2f);
  return FMA32(a * z, p, a);
}
#define HALF_PI_HIGH 0x1.921fb6p+0f
#define HALF_PI_LOW (-0x1.777a5cp-25f)
VECTOR_FN float atan_f32(float x) {
  float a = __builtin_fabsf(x), y = atan_reduced_f32(a > 1.0f ? 1.0f / a : a);
  return __builtin_copysignf(a > 1.0f ? HALF_PI_HIGH - (y - HALF_PI_LOW) : y, x);
}
/* The angle of the point (x, y): atan of the smaller over the larger magnitude, turned into the right eighth. */
VECTOR_FN float atan2_f32(float y, float x) {
  float a = __builtin_fabsf(x), b = __builtin_fabsf(y), less = a < b ? a : b, more = a < b ? b : a, q = less / more;
  q = less == more ? 1.0f : q;
  float angle = atan_reduced_f32(more == 0.0f ? 0.0f : q);
  angle = b > a ? HALF_PI_HIGH - (angle - HALF_PI_LOW) : angle;
  angle = __builtin_copysignf(1.0f, x) < 0.0f ? 2.0f * HALF_PI_HIGH - (angle - 2.0f * HALF_PI_LOW) : angle;
  return x == x && y == y ? __builtin_copysignf(angle, y) : NAN;
}
/* asin s = s + s z P(z), z = s^2, of s in 0 .. 1/2; beyond, pi/2 - 2 asin(sqrt((1 - a) / 2)). */
VECTOR_FN float asin_rest_f32(float z) {
  float p = FMA32(0x1.59f2f2p-5f, z, 0x1.8b87acp-6f);
  p = FMA32(p, z, 0x1.748ee8p-5f);
  p = FMA32(p, z, 0x1.330136p-4f);
  return FMA32(p, z, 0x1.5555cap-3f);
}
VECTOR_FN float asin_f32(float x) {
  float a = __builtin_fabsf(x), z = a > 0.5f ? 0.5f - 0.5f * a : a * a, s = a > 0.5f ? __builtin_sqrtf(z) : a;
  float rest = s * z * asin_rest_f32(z), far = (HALF_PI_HIGH - 2.0f * s) - (2.0f * rest - HALF_PI_LOW);
  return __builtin_copysignf(a > 0.5f ? far : s + rest, x);
}
VECTOR_FN float acos_f32(float x) {
  float a = __builtin_fabsf(x), z = a > 0.5f ? 0.5f - 0.5f * a : a * a, s = a > 0.5f ? __builtin_sqrtf(z) : a;
  float y = FMA32(s * z, asin_rest_f32(z), s);
  float far = x < 0.0f ? 2.0f * HALF_PI_HIGH - (2.0f * y - 2.0f * HALF_PI_LOW) : 2.0f * y;
  return a > 0.5f ? far : HALF_PI_HIGH - (__builtin_copysignf(y, x) - HALF_PI_LOW);
}
/* The inverse of erf: x P(w), w = -log(1 - x^2); from w = 5 on a polynomial in its root. Both are around points where P is
 * a float, nearly, so that rounding the constant costs nothing. */
VECTOR_FN float erfinv_f32(float x) {
  float w = -log_f32((1.0f - x) * (1.0f + x)), z = w - 0x1.49p+1f;
  float s = __builtin_sqrtf(w < 5.0f ? 5.0f : w) - 0x1.7fbp+1f;
  float p = FMA32(0x1.7c55b0p-32f, z, -0x1.28ca3ep-27f);
  p = FMA32(p, z, 0x1.a500a0p-27f);
  p = FMA32(p, z, 0x1.ff108ap-22f);
  p = FMA32(p, z, -0x1.ad8b20p-19f);
  p = FMA32(p, z, -0x1.ab75dep-18f);
  p = FMA32(p, z, 0x1.c59258p-13f);
  p = FMA32(p, z, -0x1.385f5cp-10f);
  p = FMA32(p, z, -0x1.22a900p-8f);
  p = FMA32(p, z, 0x1.f7e0f8p-3f);
  p = FMA32(p, z, 0x1.84cb80p+0f);
  float q = FMA32(0x1.0fd31cp-13f, s, -0x1.50f056p-12f);
  q = FMA32(q, s, -0x1.2ec806p-14f);
  q = FMA32(q, s, 0x1.886608p-10f);
  q = FMA32(q, s, -0x1.d8d338p-9f);
  q = FMA32(q, s, 0x1.775658p-8f);
  q = FMA32(q, s, -0x1.f856f2p-8f);
  q = FMA32(q, s, 0x1.375b00p-7f);
  q = FMA32(q, s, 0x1.006ac0p+0f);
  q = FMA32(q, s, 0x1.6a4edap+1f);
  float y = x * (w < 5.0f ? p : q);
  return __builtin_fabsf(x) == 1.0f ? __builtin_copysignf(INFINITY, x) : y;
}
/* In double no square overflows, and one rounding is left. */
VECTOR_FN float hypot_f32(float x, float y) {
  float h = (float)__builtin_sqrt((double)x * (double)x + (double)y * (double)y);
  return __builtin_fabsf(x) == INFINITY || __builtin_fabsf(y) == INFINITY ? INFINITY : h;
}

/* What is left of x after whole multiples of y. In double the quotient's whole part is right, and its product with y has
 * no more bits than a double, while it is less than QUOTIENT_LIMIT. */
#define QUOTIENT_LIMIT 0x1p28
VECTOR_FN float fmod_f32(float x, float y) {
  double a = x, b = y, r = a - (double)(int32_t)(a / b) * b;
  return __builtin_copysignf((float)r, x);
}
static inline bool fmod_fits(float x, float y) {
  return __builtin_fabs((double)x) < __builtin_fabs((double)y) * QUOTIENT_LIMIT && __builtin_fabsf(y) < INFINITY;
}
static inline float fmod_wide_f32(float x, float y) { return fmodf(x, y); }
#define copysign_wide_f32 copysignf
#define floor_wide_f32 floorf

VECTOR_FN double sigmoid_f64(double x) {
  double e = exp_f64(-__builtin_fabs(x));
  return (x < 0 ? e : 1.0) / (1.0 + e);
}
static inline double log1p_exp_f64(double x) { return log1p(exp_f64(x)); }
#define erf_f64 erf
#define log_f64 log
#define sin_f64 sin
#define cos_f64 cos

static inline float lgamma_f32(float x) { /* the plain one writes a global */
  int sign;
  return lgammaf_r(x, &sign);
}
static inline double lgamma_f64(double x) {
  int sign;
  return lgamma_r(x, &sign);
}

/* x 2^e for whole e */
static inline float ldexp_f32(float x, float e) { return ldexpf(x, e > 9999 ? 9999 : e > -9999 ? (int)e : -9999); }
static inline double ldexp_f64(double x, double e) { return ldexp(x, e > 9999 ? 9999 : e > -9999 ? (int)e : -9999); }

#define LIBM_1(X) X(sqrt) X(floor) X(ceil) X(rint) X(trunc) X(fabs) X(erfc) X(acosh) X(asinh) X(atanh) X(cosh) X(sinh)
#define LIBM_1_DOUBLE(X) X(log1p) X(log2) X(log10) X(exp2) X(tan) X(acos) X(asin) X(atan)
#define LIBM_2(X) X(copysign) X(nextafter)
#define LIBM_2_DOUBLE(X) X(pow) X(fmod) X(atan2) X(hypot)
#define FLOAT_1(name) \
  static inline float name##_f32(float x) { return name##f(x); }
#define DOUBLE_1(name) \
  static inline double name##_f64(double x) { return name(x); }
#define FLOAT_2(name) \
  static inline float name##_f32(float x, float y) { return name##f(x, y); }
#define DOUBLE_2(name) \
  static inline double name##_f64(double x, double y) { return name(x, y); }
LIBM_1(FLOAT_1)
LIBM_1(DOUBLE_1)
LIBM_1_DOUBLE(DOUBLE_1)
LIBM_2(FLOAT_2)
LIBM_2(DOUBLE_2)
LIBM_2_DOUBLE(DOUBLE_2)
#undef FLOAT_1
#undef DOUBLE_1
#undef FLOAT_2
#undef DOUBLE_2
#undef LIBM_1
#undef LIBM_1_DOUBLE
#undef LIBM_2
#undef LIBM_2_DOUBLE
#endif
