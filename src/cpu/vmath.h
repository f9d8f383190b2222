/* Elementary functions per compute type, named name_f32 and name_f64: what formulas.h calls.
 *
 * exp, expm1, log, erf, tanh, sigmoid, sin and cos of float are branch-free, so that a loop over them vectorises:
 * arguments are reduced, a polynomial (minimax, fitted by Remez's exchange) is evaluated, special values are selected
 * at the end.
 * They are within 2 ulp everywhere, subnormals, infinities, NaN and -0 included; sin and cos only up to SIN_LIMIT,
 * beyond which a loop takes libm. FMA is used where the instruction set has it, so the sets with FMA agree bit for bit.
 * Everything else is libm, to the last bit the same in a vector loop and alone. */
#ifndef MT_VMATH_H
#define MT_VMATH_H
#include <math.h>
#include <stdint.h>

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

/* exp(r) where x = k ln 2 + r, |r| <= ln 2 / 2, and k is exact for |x| that small. Adding `magic` rounds to an integer,
 * which is left in the low bits of *t beside those of magic. */
static inline __attribute__((always_inline)) float exp_rest_f32(float x, float magic, float *t) {
  *t = FMA32(x, 0x1.715476p+0f, magic);
  float n = *t - magic, r = FMA32(n, -0x1.62e400p-1f, x);
  r = FMA32(n, -0x1.7f7d1cp-20f, r);
  float q = FMA32(0x1.6dbcc4p-10f, r, 0x1.124146p-7f);
  q = FMA32(q, r, 0x1.555454p-5f);
  q = FMA32(q, r, 0x1.555486p-3f);
  q = FMA32(q, r, 0x1.000000p-1f);
  return FMA32(r * r, q, r) + 1.0f;
}
static inline __attribute__((always_inline)) float exp_reduced_f32(float x, int32_t *k) {
  const float magic = 0x1.8p23f;
  float t, p = exp_rest_f32(x, magic, &t);
  *k = (int32_t)(bits_of_float(t) - bits_of_float(magic));
  return p;
}
/* p 2^k; the scale is applied in two halves, since 2^k may be subnormal or too large. */
static inline float scale_f32(float p, int32_t k) {
  int32_t half = k >> 1;
  float low = float_of_bits((uint32_t)(half + 127) << 23), high = float_of_bits((uint32_t)(k - half + 127) << 23);
  return p * low * high;
}
static inline float exp_f32(float x) {
  float c = x > 89.0f ? 89.0f : x;
  c = c < -104.0f ? -104.0f : c;
  int32_t k;
  float p = exp_reduced_f32(c, &k);
  return scale_f32(p, k);
}

/* 2^40 exp(x) for x up to 60: always a normal number unless it is 0, so that what is divided by a sum of such ones is as
 * exact as it can be. */
#define EXP_UP_f32 0x1p40f
#define EXP_UP_f64 1.0
static inline float exp_up_f32(float x) {
  float c = x < -104.0f ? -104.0f : x;
  float t, p = exp_rest_f32(c, 0x1.8p23f + 127 + 40, &t); /* so that the low bits are those of 2^(k + 40) */
  return p * float_of_bits(bits_of_float(t) << 23);
}
/* exp of what is at most 60, as softmax and gelu need it: the same as exp, but shorter. */
static inline float exp_below_f32(float x) { return exp_up_f32(x) * (1 / EXP_UP_f32); }

/* expm1(x) = 2^k (exp(r) - 1) + 2^k - 1, reduced like exp, with half of each power so that none overflows.
 * Below -18 it is -1. */
static inline float expm1_f32(float x) {
  const float magic = 0x1.8p23f;
  float c = x > 89.0f ? 89.0f : x;
  c = c < -18.0f ? -18.0f : c;
  float t = FMA32(c, 0x1.715476p+0f, magic), n = t - magic;
  float r = FMA32(n, -0x1.62e400p-1f, c);
  r = FMA32(n, -0x1.7f7d1cp-20f, r);
  float q = FMA32(0x1.6dbcc4p-10f, r, 0x1.124146p-7f);
  q = FMA32(q, r, 0x1.555454p-5f);
  q = FMA32(q, r, 0x1.555486p-3f);
  q = FMA32(q, r, 0x1.000000p-1f);
  float p = FMA32(r * r, q, r);
  float half = float_of_bits(((bits_of_float(t) - bits_of_float(magic)) + 126) << 23);
  float y = 2.0f * FMA32(p, half, half - 0.5f);
  return x == 0.0f ? x : y;
}

/* log(x) = k ln 2 + log(1 + f), 1 + f in [sqrt(1/2), sqrt(2)); with s = f / (2 + f), log(1 + f) = 2 s + s R(s^2). */
static inline float log_f32(float x) {
  float scaled = x < 0x1p-126f ? x * 0x1p23f : x;
  int32_t shift = x < 0x1p-126f ? -23 : 0;
  int32_t u = (int32_t)(bits_of_float(scaled) + (0x3f800000u - 0x3f3504f3u));
  float k = (float)((u >> 23) - 127 + shift);
  float f = float_of_bits((uint32_t)((u & 0x7fffff) + 0x3f3504f3)) - 1.0f;
  float s = f / (2.0f + f), z = s * s, half = 0.5f * f * f;
  float r = FMA32(0x1.e340c0p-3f, z, 0x1.2436fep-2f);
  r = FMA32(r, z, 0x1.999a82p-2f);
  r = FMA32(r, z, 0x1.555554p-1f);
  float y = k * 0x1.62e400p-1f - ((half - FMA32(s, half + z * r, k * 0x1.7f7d1cp-20f)) - f);
  y = x < INFINITY ? y : x;
  y = x == 0.0f ? -INFINITY : y;
  return x < 0.0f ? NAN : y;
}

/* log(1 + exp(x)); what the sum's rounding lost is put back to first order. */
static inline float log1p_exp_f32(float x) {
  float e = exp_f32(x), sum = 1.0f + e, y = log_f32(sum) - ((sum - 1.0f) - e) / sum;
  return e < INFINITY ? y : e;
}

/* erf: x (1 + P(x^2)) near 0, else 1 - exp(Q(|x|)), where Q is log(erfc). Both fitted by weighted least squares. */
static inline __attribute__((always_inline)) float erf_f32(float x) {
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

/* The normal distribution below -|x|, given e = exp(-x^2 / 2): e P(t) with t = 1 / (1 + p |x|), fitted by weighted least
 * squares. Small results keep their digits, which 1 + erf(x) would lose. */
static inline __attribute__((always_inline)) float normal_below_f32(float x, float e) {
  float t = 1.0f / FMA32(0x1.6147aep-2f, __builtin_fabsf(x), 1.0f);
  float q = FMA32(-0x1.d13462p-6f, t, 0x1.29a40ap-3f);
  q = FMA32(q, t, -0x1.15c604p-2f);
  q = FMA32(q, t, 0x1.7f8f2cp-3f);
  q = FMA32(q, t, -0x1.34744cp-5f);
  q = FMA32(q, t, 0x1.ca0190p-4f);
  q = FMA32(q, t, 0x1.e03134p-4f);
  q = FMA32(q, t, 0x1.1aaaecp-3f);
  q = FMA32(q, t, 0x1.19d822p-3f);
  return e * (q * t);
}
/* What rounding h = x x left out; exact. */
static inline __attribute__((always_inline)) float square_rest_f32(float x, float h) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  return __builtin_fmaf(x, x, -h);
#else
  float high = float_of_bits(bits_of_float(x) & 0xfffff000u),
        low = x - high; /* 12 bits each: their products are exact */
  return ((high * high - h) + 2.0f * high * low) + low * low;
#endif
}
/* EXP_UP exp(-x^2 / 2) for x of 0 to 16, where the square is not rounded: 1 / 2^25 of 144 would be 9 units in exp. */
static inline __attribute__((always_inline)) float bell_up_f32(float x) {
  float h = x * x, e = exp_up_f32(-0.5f * h);
  return FMA32(-0.5f * e, square_rest_f32(x, h), e);
}
/* x Phi(x), and its slope Phi(x) + x phi(x). Beyond 16 nothing changes, but that inf times 0 is NaN. */
static inline __attribute__((always_inline)) float gelu_f32(float x) {
  float a = __builtin_fabsf(x), c = a > 16.0f ? 16.0f : a, below = normal_below_f32(c, bell_up_f32(c));
  float left = c * below * (-1 / EXP_UP_f32), right = x * (1.0f - below * (1 / EXP_UP_f32));
  left = a < INFINITY ? left : NAN;
  return x < 0.0f ? left : right;
}
static inline __attribute__((always_inline)) float gelu_slope_f32(float x) {
  float a = __builtin_fabsf(x), c = a > 16.0f ? 16.0f : a, e = bell_up_f32(c), below = normal_below_f32(c, e);
  float rest = FMA32(c * -0.39894228040143267794f, e, below) * (1 / EXP_UP_f32), y = x < 0.0f ? rest : 1.0f - rest;
  return a < INFINITY ? y : NAN;
}
static inline double gelu_f64(double x) { return 0.5 * x * erfc(x * -0.70710678118654752440); }
static inline double gelu_slope_f64(double x) {
  return 0.5 * erfc(x * -0.70710678118654752440) + x * 0.39894228040143267794 * exp(-0.5 * x * x);
}

/* tanh: odd polynomial near 0, else 1 - 2 / (exp(2 |x|) + 1) with the sign put back. */
static inline __attribute__((always_inline)) float tanh_f32(float x) {
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

/* 1 / (1 + exp(-x)), through exp(-|x|) so that small results keep their digits. What the sum's rounding lost is put
 * back to first order: 1 / (1 + e) is the result itself, or 1 minus it: the larger of both. */
static inline __attribute__((always_inline)) float sigmoid_f32(float x) {
  float a = -__builtin_fabsf(x), c = a < -104.0f ? -104.0f : a;
  int32_t k;
  float p = exp_reduced_f32(c, &k);
  float e = scale_f32(p, k), sum = 1.0f + e, lost = e - (sum - 1.0f);
  float y = (x < 0.0f ? e : 1.0f) / sum, rest = 1.0f - y;
  return FMA32(-y * lost, y > rest ? y : rest, y);
}

/* sin and cos: x = n pi/2 + r in double, where n times the upper half of pi/2 is exact; then both polynomials. */
#define SIN_LIMIT 0x1p25f
static inline double sin_reduced(double x, uint64_t quarter) {
  const double magic = 0x1.8p52;
  double t = x * 0x1.45f306dc9c883p-1 + magic, n = t - magic;
  double r = (x - n * 0x1.921fb54p+0) - n * 0x1.10b4611a62633p-30, z = r * r;
  double s = FMA64(0x1.6cd5ebdded474p-19, z, -0x1.a00f9397b552ap-13);
  s = FMA64(s, z, 0x1.11110889f6259p-7);
  s = FMA64(s, z, -0x1.5555554ca9351p-3);
  s = r * FMA64(s, z, 1.0);
  double c = FMA64(-0x1.23d60a4097d7fp-22, z, 0x1.a00f06dde15e0p-16);
  c = FMA64(c, z, -0x1.6c16b3eca58dbp-10);
  c = FMA64(c, z, 0x1.55555546d81a0p-5);
  c = FMA64(c, z, -0x1.ffffffffebcb0p-2);
  c = FMA64(c, z, 1.0);
  uint64_t q = (Bits64){.f = t}.u + quarter;
  Bits64 y = {.f = q & 1 ? c : s};
  y.u ^= (q & 2) << 62;
  return y.f;
}
static inline float sin_f32(float x) { return (float)sin_reduced(x, 0); }
static inline float cos_f32(float x) { return (float)sin_reduced(x, 1); }
/* For a loop in which an argument is past the limit. */
static inline float sin_wide_f32(float x) { return __builtin_fabsf(x) <= SIN_LIMIT ? sin_f32(x) : sinf(x); }
static inline float cos_wide_f32(float x) { return __builtin_fabsf(x) <= SIN_LIMIT ? cos_f32(x) : cosf(x); }

static inline double sigmoid_f64(double x) {
  double e = exp(-fabs(x));
  return (x < 0 ? e : 1.0) / (1.0 + e);
}
static inline double log1p_exp_f64(double x) { return log1p(exp(x)); }
#define exp_f64 exp
#define exp_below_f64 exp
#define exp_up_f64 exp
#define expm1_f64 expm1
#define erf_f64 erf
#define sin_wide_f64 sin
#define log_f64 log
#define tanh_f64 tanh
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

#define LIBM_1(X) X(log1p) X(log2) X(log10) X(sqrt) X(tan) X(floor) X(ceil) X(rint) X(trunc) X(fabs) X(exp2) X(erfc)
#define LIBM_ANGLES(X) X(acos) X(acosh) X(asin) X(asinh) X(atan) X(atanh) X(cosh) X(sinh)
#define LIBM_2(X) X(pow) X(fmod) X(atan2) X(copysign) X(hypot) X(nextafter)
#define DEFINE_1(name)                                           \
  static inline float name##_f32(float x) { return name##f(x); } \
  static inline double name##_f64(double x) { return name(x); }
#define DEFINE_2(name)                                                       \
  static inline float name##_f32(float x, float y) { return name##f(x, y); } \
  static inline double name##_f64(double x, double y) { return name(x, y); }
LIBM_1(DEFINE_1)
LIBM_ANGLES(DEFINE_1)
LIBM_2(DEFINE_2)
#undef DEFINE_1
#undef DEFINE_2
#undef LIBM_1
#undef LIBM_ANGLES
#undef LIBM_2
#endif
