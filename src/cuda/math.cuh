/* Elementary functions by the names that formulas.h calls, name_f32 and name_f64: CUDA's, which are within 2 ulp, and
 * what CUDA has not. */
#ifndef MT_CUDA_MATH_CUH
#define MT_CUDA_MATH_CUH
#define FORMULA_FN static __device__ inline
#define VECTOR_FN FORMULA_FN
#define SPECIAL_FN static __device__ __noinline__ __attribute__((unused))
#include "cpu/formulas_plain.h"

#define DEFINE_1(name)                                        \
  FORMULA_FN float name##_f32(float x) { return name##f(x); } \
  FORMULA_FN double name##_f64(double x) { return name(x); }
#define DEFINE_2(name)                                                    \
  FORMULA_FN float name##_f32(float x, float y) { return name##f(x, y); } \
  FORMULA_FN double name##_f64(double x, double y) { return name(x, y); }
DEFINE_1(exp)
DEFINE_1(expm1)
DEFINE_1(log)
DEFINE_1(log1p)
DEFINE_1(log2)
DEFINE_1(log10)
DEFINE_1(sqrt)
DEFINE_1(sin)
DEFINE_1(cos)
DEFINE_1(tan)
DEFINE_1(tanh)
DEFINE_1(floor)
DEFINE_1(ceil)
DEFINE_1(rint)
DEFINE_1(trunc)
DEFINE_1(fabs)
DEFINE_1(exp2)
DEFINE_1(erf)
DEFINE_1(erfc)
DEFINE_1(lgamma)
DEFINE_1(acos)
DEFINE_1(acosh)
DEFINE_1(asin)
DEFINE_1(asinh)
DEFINE_1(atan)
DEFINE_1(atanh)
DEFINE_1(cosh)
DEFINE_1(sinh)
DEFINE_2(pow)
DEFINE_2(fmod)
DEFINE_2(atan2)
DEFINE_2(copysign)
DEFINE_2(hypot)
DEFINE_2(nextafter)
#undef DEFINE_1
#undef DEFINE_2

FORMULA_FN float ldexp_f32(float x, float e) { return ldexpf(x, e > 9999 ? 9999 : e > -9999 ? (int)e : -9999); }
FORMULA_FN double ldexp_f64(double x, double e) { return ldexp(x, e > 9999 ? 9999 : e > -9999 ? (int)e : -9999); }

/* Functions, since a call of fma with whole numbers is one of the host's templates. */
FORMULA_FN float FMA_f32(float a, float b, float c) { return fmaf(a, b, c); }
FORMULA_FN double FMA_f64(double a, double b, double c) { return fma(a, b, c); }
/* What rounding left out of product = x y. */
FORMULA_FN float product_rest_f32(float x, float y, float product) { return fmaf(x, y, -product); }
FORMULA_FN double product_rest_f64(double x, double y, double product) { return fma(x, y, -product); }

/* RAISED a exp(x + low) for x from -END to 20: what activations multiply, above the subnormal numbers. */
#define RAISED_f32 0x1p40f
#define RAISED_f64 0x1p80
#define END_f32 110.0f
#define END_f64 760.0
FORMULA_FN float times_exp_f32(float a, float x, float low) {
  float half = expf(x < -60 ? x / 2 : x) * RAISED_f32, y = x < -60 ? half * (half / RAISED_f32) : half;
  return fmaf(a, low, a) * y;
}
FORMULA_FN double times_exp_f64(double a, double x, double low) {
  double half = exp(x < -650 ? x / 2 : x) * RAISED_f64, y = x < -650 ? half * (half / RAISED_f64) : half;
  return fma(a, low, a) * y;
}

FORMULA_FN float erfinv_f32(float x) { return erfinvf(x); }
FORMULA_FN float normal_f32(float x) { return normcdff(x); }
FORMULA_FN double normal_f64(double x) { return normcdf(x); }

/* 1 / (1 + exp(-x)), through exp(-|x|) so that small results keep their digits; log(1 + exp(x)); gelu and
 * its slope by the normal distribution. */
#define DEFINE_MORE(T, S)                                           \
  FORMULA_FN T sigmoid_##S(T x) {                                   \
    T e = exp_##S(-fabs_##S(x));                                    \
    return (x < 0 ? e : 1) / (1 + e);                               \
  }                                                                 \
  FORMULA_FN T log1p_exp_##S(T x) { return log1p_##S(exp_##S(x)); } \
  FORMULA_FN T gelu_##S(T x) { return x * normal_##S(x); }          \
  FORMULA_FN T gelu_slope_##S(T x) { return normal_##S(x) + x * (T)0.39894228040143267794 * exp_##S((T)-0.5 * x * x); }
DEFINE_MORE(float, f32)
DEFINE_MORE(double, f64)
#undef DEFINE_MORE

DEFINE_FLOAT_DIVISION(float, f32)
DEFINE_FLOAT_DIVISION(double, f64)
DEFINE_ACTIVATIONS(float, f32)
DEFINE_ACTIVATIONS(double, f64)
DEFINE_LOGADDEXP(float, f32)
DEFINE_LOGADDEXP(double, f64)
DEFINE_PLAIN(float, f32)
DEFINE_PLAIN(double, f64)
#endif
