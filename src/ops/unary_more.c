/* Unary pointwise operators continued: inverse and hyperbolic functions, angles, the parts of a number. */
#include "base/alloc.h"
#include "cpu/device_kernels.h"
#include "ops/elementwise.h"
#include <float.h>
#include <math.h>

extern OpDef def_clamp, def_isfinite, def_rsqrt, def_cosh, def_logit;
static Tensor *rsqrt(Tensor *t) { return unary(&def_rsqrt, t); }
static Tensor *one_plus_square(Tensor *x) { return op_add(squared(x), op_int(1)); }
/* 1 - x^2 and x^2 - 1 as products, which keep their digits near 1 */
static Tensor *one_minus_square(Tensor *x) { return op_mul(op_sub(op_int(1), x), op_add(x, op_int(1))); }
static Tensor *square_minus_one(Tensor *x) { return op_mul(op_sub(x, op_int(1)), op_add(x, op_int(1))); }

#define HIGH "h(3,4) | h() | h(0)"

/* ---- inverse and hyperbolic functions ---- */

FLOAT_UNARY(acos, "arccos", "Angle in radians whose cosine is input.", FRACTION, "input: input",
            op_neg(gy_times(g, rsqrt(one_minus_square(g_in(g, 0))))));
FLOAT_UNARY(asin, "arcsin", "Angle in radians whose sine is input.", FRACTION, "input: input",
            gy_times(g, rsqrt(one_minus_square(g_in(g, 0)))));
FLOAT_UNARY(atan, "arctan", "Angle in radians whose tangent is input.", ANY, "input: input",
            op_div(g_out(g, 0), one_plus_square(g_in(g, 0))));
FLOAT_UNARY(sinh, NULL, "Hyperbolic sine.", ANY, "input: input", gy_times(g, unary(&def_cosh, g_in(g, 0))));
FLOAT_UNARY(cosh, NULL, "Hyperbolic cosine.", ANY, "input: input", gy_times(g, unary(&def_sinh, g_in(g, 0))));
FLOAT_UNARY(acosh, "arccosh", "Inverse of cosh, not negative.", HIGH, "input: input",
            gy_times(g, rsqrt(square_minus_one(g_in(g, 0)))));
FLOAT_UNARY(asinh, "arcsinh", "Inverse of sinh.", ANY, "input: input", gy_times(g, rsqrt(one_plus_square(g_in(g, 0)))));
FLOAT_UNARY(atanh, "arctanh", "Inverse of tanh.", FRACTION, "input: input",
            op_div(g_out(g, 0), one_minus_square(g_in(g, 0))));

FLOAT_UNARY(exp2, NULL, "2 to the power of input.", ANY, "input: result",
            op_scale(gy_times(g, g_result(g, 0)), 0.6931471805599453));

static bool compose_degrees(OpCall *c, double factor) {
  return compose_return(c, 0, op_scale(read_float(to_read(c)), factor));
}
static bool compose_deg2rad(OpCall *c) { return compose_degrees(c, 0.017453292519943295); }
static bool compose_rad2deg(OpCall *c) { return compose_degrees(c, 57.29577951308232); }
OP(deg2rad, .schema = "deg2rad(Tensor input) -> Tensor",
   .doc = "Degrees to radians. Integers become the default float dtype.", .samples = ANY, .flags = OP_BOTH | OP_INPLACE,
   .compose = compose_deg2rad);
OP(rad2deg, .schema = "rad2deg(Tensor input) -> Tensor",
   .doc = "Radians to degrees. Integers become the default float dtype.", .samples = ANY, .flags = OP_BOTH | OP_INPLACE,
   .compose = compose_rad2deg);

/* d sinc = (z cos(z) - sin(z)) / (pi x^2), z = pi x; where that cancels, up to z = 1/4, its series. The quotient takes 1
 * there, so that it stays finite. */
static Tensor *sinc_slope(Tensor *x) {
  const double pi = 3.141592653589793, below[] = {88, 54, 28, 10};
  Tensor *square = squared(x), *small = op_lt(square, op_float(1.0 / 16 / (pi * pi)));
  Tensor *series = op_float(1), *safe = op_where(small, op_float(1), x), *angle = op_scale(safe, pi);
  for (int k = 0; k < 4; k++) series = op_sub(op_int(1), op_mul(op_scale(square, pi * pi / below[k]), series));
  Tensor *slope = op_div(op_sub(op_mul(angle, op_cos(angle)), op_sin(angle)), op_scale(squared(safe), pi));
  return op_where(small, op_mul(op_scale(x, -pi * pi / 3), series), slope);
}
FLOAT_UNARY(sinc, NULL, "sin(pi input) / (pi input), 1 at 0.", ANY, "input: input",
            gy_times(g, sinc_slope(g_in(g, 0))));

/* ---- logit ---- */

static bool has_eps(const Arg *eps) { return eps->given && scalar_double(eps->number) >= 0; }
static bool cpu_logit(OpCall *c) {
  PointwiseContext context = {.s = has_eps(&c->arg[1]) ? c->arg[1].number : scalar_float(-1)};
  return any_pointwise_with(c, PW_logit, &context);
}
/* 1 / (x (1 - x)): 0 outside of the limits, or without them NaN outside of [0, 1] */
static void back_logit(Grad *g) {
  const Arg *eps = g_arg(g, 1);
  Tensor *x = g_in(g, 0), *gy = g_out(g, 0);
  if (has_eps(eps)) {
    double low = scalar_double(eps->number), high = 1 - low;
    Tensor *z = op_run(&def_clamp, (Arg[]){ARG_T(x), ARG_N(scalar_float(low)), ARG_N(scalar_float(high))});
    Tensor *slope = op_div(gy, op_mul(z, op_sub(op_int(1), z))), *zero = op_float(0);
    g_set(g, 0, op_where(op_lt(x, op_float(low)), zero, op_where(op_gt(x, op_float(high)), zero, slope)));
  } else {
    Tensor *inside = op_and(op_ge(x, op_int(0)), op_le(x, op_int(1)));
    g_set(g, 0, op_where(inside, op_div(gy, op_mul(x, op_sub(op_int(1), x))), op_float(NAN)));
  }
}
OP(logit, .schema = "logit(Tensor input, Number? eps=None) -> Tensor",
   .doc =
       "log(input / (1 - input)), the inverse of sigmoid; with eps input is first limited to [eps, 1 - eps]. Integers "
       "become the default float dtype.",
   .samples = "u(3,4) | u(3,4) 0.2 | u() | u(0) | i(3) 0.1", .saves = "input: input", .flags = OP_POINTWISE,
   .infer = infer_float, .kernel = EVERYWHERE(cpu_logit), .backward = back_logit);

/* ---- parts of a number ---- */

static void back_frac(Grad *g) { g_set(g, 0, g_out(g, 0)); }
OP(frac, .schema = "frac(Tensor input) -> Tensor", .doc = "What trunc takes off: input - trunc(input).",
   .samples = "f(3,4) | f() | f(0)", .errors = "i(3) | b(3)", .flags = OP_POINTWISE, .infer = infer_only_float,
   .kernel = EVERYWHERE(any_pointwise), .formula = PW_frac, .backward = back_frac);

#define TEST(id, what)                                                                               \
  OP(id, .schema = #id "(Tensor input) -> Tensor", .doc = what, .samples = "f(3,4) | i(3) | b(2)",   \
     .flags = OP_BOTH | OP_NO_GRADIENT, .infer = infer_to_bool, .kernel = EVERYWHERE(any_pointwise), \
     .formula = PW_##id)
TEST(signbit, "True where the sign bit is set: below zero, and for -0.");
TEST(isposinf, "True where input is positive infinity.");
TEST(isneginf, "True where input is negative infinity.");

static bool compose_positive(OpCall *c) {
  if (in(c, 0)->dtype == MT_BOOL)
    return fail(MT_ENOTIMPL, "The `+` operator, on a bool tensor is not supported. Use :int() first");
  return compose_return(c, 0, in(c, 0));
}
OP(positive, .schema = "positive(Tensor input) -> Tensor", .doc = "input itself.", .samples = "f(3,4) | i(3)",
   .errors = "b(3)", .flags = OP_BOTH, .compose = compose_positive);

static double largest(DType d) {
  return d == MT_F16 ? 65504 : d == MT_BF16 ? 0x1.fep127 : d == MT_F32 ? (double)FLT_MAX : DBL_MAX;
}
static bool cpu_nan_to_num(OpCall *c) {
  const Arg *nan = &c->arg[1], *high = &c->arg[2], *low = &c->arg[3];
  if (!dtype_is_float(c->compute)) /* as it is */
    return tensor_data(c->out[0]) == tensor_data(in(c, 0)) || op_copy_values(c->out[0], in(c, 0));
  PointwiseContext context = {.s = nan->given ? nan->number : scalar_float(0),
                              .t = high->given ? high->number : scalar_float(largest(c->compute)),
                              .u = low->given ? low->number : scalar_float(-largest(c->compute))};
  return any_pointwise_with(c, PW_nan_to_num, &context);
}
static void back_nan_to_num(Grad *g) {
  g_set(g, 0, op_where(unary(&def_isfinite, g_in(g, 0)), g_out(g, 0), op_float(0)));
}
OP(nan_to_num, .schema = "nan_to_num(Tensor input, float? nan=None, float? posinf=None, float? neginf=None) -> Tensor",
   .doc = "input with nan (0) for NaN, posinf (the dtype's largest number) for infinity and neginf (its lowest) for "
          "negative infinity.",
   .samples = "f(3,4) | f(3) 1 2 3 | i(3) | b(3)", .saves = "input: input", .flags = OP_POINTWISE, .infer = infer_same,
   .kernel = EVERYWHERE(cpu_nan_to_num), .backward = back_nan_to_num);

/* frexp: every float dtype is exact in double. */
static bool infer_frexp(OpCall *c) {
  Tensor *t = in(c, 0);
  if (!tensor_is_float(t))
    return fail(MT_EARG, "torch.frexp() only supports floating-point dtypes: got %s. Use :float() first",
                dtype_info[t->dtype].name);
  return infer_same(c) && out_shape(c, 1, MT_I32, t->ndim, t->shape);
}
static bool run_frexp(OpCall *c) { return any_frexp(in(c, 0), c->out[0], c->out[1]); }
static void back_frexp(Grad *g) {
  Tensor *gy = g_out(g, 0);
  if (!gy) return;
  g_set(g, 0, op_div(gy, op_pow(op_float(2), op_cast(g_result(g, 1), (DType)gy->dtype))));
}
OP(frexp, .schema = "frexp(Tensor input) -> (Tensor mantissa, Tensor exponent)",
   .doc = "input = mantissa 2^exponent with 0.5 <= |mantissa| < 1, the exponent as int32; 0, infinity and NaN have "
          "exponent 0.",
   .samples = "f(3,4) | f() | f(0)", .errors = "i(3) | b(3)", .saves = "input: result2", .flags = OP_BOTH,
   .infer = infer_frexp, .kernel = EVERYWHERE(run_frexp), .backward = back_frexp);
