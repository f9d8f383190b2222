/* Unary pointwise operators and those with numbers besides: activation, powers, rounding, limits. */
#include "ops/elementwise.h"

static bool refuse_bool(OpCall *c) {
  return infer_same(c) && (c->compute != MT_BOOL || fail(MT_ENOTIMPL,
                                                         "\"%s_cpu\" not implemented for 'Bool': use :long() or "
                                                         "logical_not",
                                                         c->def->info->name));
}
static bool infer_bits(OpCall *c) {
  return infer_same(c) && (!dtype_is_float(c->compute) ||
                           fail(MT_ENOTIMPL, "\"%s_cpu\" not implemented for '%s': it works on integers and bool",
                                c->def->info->name, dtype_info[c->compute].type_name));
}

FLOAT_UNARY(exp, NULL, "e to the power of input.", ANY, "input: result", gy_times(g, g_result(g, 0)));
FLOAT_UNARY(expm1, NULL, "exp(input) - 1, accurate near 0.", ANY, "input: result",
            gy_times(g, op_add(g_result(g, 0), op_int(1))));
FLOAT_UNARY(log, NULL, "Natural logarithm.", POSITIVE, "input: input", op_div(g_out(g, 0), g_in(g, 0)));
FLOAT_UNARY(log1p, NULL, "log(1 + input), accurate near 0.", POSITIVE, "input: input",
            op_div(g_out(g, 0), op_add(g_in(g, 0), op_int(1))));
FLOAT_UNARY(log2, NULL, "Logarithm to base 2.", POSITIVE, "input: input",
            op_div(g_out(g, 0), op_scale(g_in(g, 0), 0.6931471805599453)));
FLOAT_UNARY(log10, NULL, "Logarithm to base 10.", POSITIVE, "input: input",
            op_div(g_out(g, 0), op_scale(g_in(g, 0), 2.302585092994046)));
FLOAT_UNARY(sqrt, NULL, "Square root.", POSITIVE, "input: result", op_div(g_out(g, 0), op_scale(g_result(g, 0), 2)));
FLOAT_UNARY(rsqrt, NULL, "1 / sqrt(input).", POSITIVE, "input: result",
            op_scale(gy_times(g, op_pow(g_result(g, 0), op_int(3))), -0.5));
FLOAT_UNARY(reciprocal, NULL, "1 / input.", POSITIVE, "input: result", op_neg(gy_times(g, squared(g_result(g, 0)))));
FLOAT_UNARY(sin, NULL, "Sine of input in radians.", ANY, "input: input", gy_times(g, op_cos(g_in(g, 0))));
FLOAT_UNARY(cos, NULL, "Cosine of input in radians.", ANY, "input: input", op_neg(gy_times(g, op_sin(g_in(g, 0)))));
FLOAT_UNARY(tan, NULL, "Tangent of input in radians.", ANY, "input: result",
            gy_times(g, op_add(squared(g_result(g, 0)), op_int(1))));
FLOAT_UNARY(erf, NULL, "Error function.", ANY, "input: input",
            op_scale(gy_times(g, op_exp(op_neg(squared(g_in(g, 0))))), 1.1283791670955126));

/* tanh and sigmoid: the slope follows from the result, in one fused loop, itself an operator so that it has a gradient. */
static void back_tanh_back(Grad *g);
static void back_sigmoid_back(Grad *g);
static void back_relu_back(Grad *g);
#define SLOPE(id, what, second)                                                                           \
  OP(id, .schema = #id "(Tensor grad, Tensor result) -> Tensor", .doc = what, .samples = "f(3,4) f(3,4)", \
     .saves = "grad: result; result: grad result", .flags = OP_HIDDEN | OP_INTO, .infer = infer_binary,   \
     .kernel = EVERYWHERE(any_pointwise), .formula = PW_##id, .backward = second)
SLOPE(tanh_back, "grad * (1 - result^2).", back_tanh_back);
SLOPE(sigmoid_back, "grad * (1 - result) * result.", back_sigmoid_back);
SLOPE(relu_back, "grad where result > 0, else 0.", back_relu_back);
static Tensor *slope(OpDef *def, Tensor *gy, Tensor *result) { return op_run(def, (Arg[]){ARG_T(gy), ARG_T(result)}); }

static void back_tanh_back(Grad *g) {
  Tensor *gg = g_out(g, 0), *y = g_in(g, 1);
  if (g_needs(g, 0)) g_set(g, 0, slope(&def_tanh_back, gg, y));
  if (g_needs(g, 1)) g_set(g, 1, op_scale(op_mul(op_mul(gg, g_in(g, 0)), y), -2));
}
static void back_sigmoid_back(Grad *g) {
  Tensor *gg = g_out(g, 0), *y = g_in(g, 1);
  if (g_needs(g, 0)) g_set(g, 0, slope(&def_sigmoid_back, gg, y));
  if (g_needs(g, 1)) g_set(g, 1, op_mul(op_mul(gg, g_in(g, 0)), op_sub(op_int(1), op_scale(y, 2))));
}
static void back_relu_back(Grad *g) {
  if (g_needs(g, 0)) g_set(g, 0, slope(&def_relu_back, g_out(g, 0), g_in(g, 1)));
  if (g_needs(g, 1)) g_set(g, 1, op_zeros_like(g_out(g, 0)));
}

FLOAT_UNARY(tanh, NULL, "Hyperbolic tangent.", ANY, "input: result",
            slope(&def_tanh_back, g_out(g, 0), g_result(g, 0)));
FLOAT_UNARY(sigmoid, NULL,
            "1 / (1 + exp(-input)). It saturates: far from 0 its gradient vanishes, so give logits to "
            "BCEWithLogitsLoss rather than sigmoid's result to a squared error.",
            ANY, "input: result", slope(&def_sigmoid_back, g_out(g, 0), g_result(g, 0)));

static bool infer_relu(OpCall *c) {
  return infer_same(c) && (c->compute != MT_BOOL ||
                           fail(MT_ENOTIMPL, "Boolean inputs not supported for relu: use :int() or :float() first"));
}
static void back_relu(Grad *g) { g_set(g, 0, slope(&def_relu_back, g_out(g, 0), g_result(g, 0))); }
OP(relu, .schema = "relu(Tensor input) -> Tensor", .doc = "max(input, 0); the gradient at 0 is 0.",
   .samples = "f(3,4) | f() | f(0)", .errors = "b(3)", .saves = "input: result", .flags = OP_POINTWISE | OP_FUNCTION,
   .infer = infer_relu, .kernel = EVERYWHERE(any_pointwise), .formula = PW_relu, .backward = back_relu);

static void back_neg(Grad *g) { g_set(g, 0, op_neg(g_out(g, 0))); }
static bool infer_neg(OpCall *c) {
  return infer_same(c) &&
         (c->compute != MT_BOOL ||
          fail(MT_EARG,
               "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a mask, use "
               "the `~` or `logical_not()` operator instead."));
}
OP(neg, .schema = "neg(Tensor input) -> Tensor", .alias = "negative", .doc = "-input.",
   .samples = "f(3,4) | i(3) | f()", .errors = "b(3)", .flags = OP_POINTWISE, .infer = infer_neg,
   .kernel = EVERYWHERE(any_pointwise), .formula = PW_neg, .backward = back_neg);

static void back_abs(Grad *g) { g_set(g, 0, gy_times(g, op_sign(g_in(g, 0)))); }
OP(abs, .schema = "abs(Tensor input) -> Tensor", .alias = "absolute", .doc = "Absolute value; the gradient at 0 is 0.",
   .samples = "f(3,4) | i(3)", .errors = "b(3)", .saves = "input: input", .flags = OP_POINTWISE, .infer = refuse_bool,
   .kernel = EVERYWHERE(any_pointwise), .formula = PW_abs, .backward = back_abs);

/* The power 2 is an int, so bool becomes int64. */
static bool infer_square(OpCall *c) {
  if (!infer_same(c)) return false;
  if (c->compute == MT_BOOL) c->compute = c->meta[0].dtype = MT_I64;
  return true;
}
static void back_square(Grad *g) { g_set(g, 0, gy_times(g, op_scale(g_in(g, 0), 2))); }
OP(square, .schema = "square(Tensor input) -> Tensor", .doc = "input * input.", .samples = "f(3,4) | i(3)",
   .saves = "input: input", .flags = OP_POINTWISE, .infer = infer_square, .kernel = EVERYWHERE(any_pointwise),
   .formula = PW_square, .backward = back_square);

/* Steps: the gradient is zero everywhere. */
static void back_step(Grad *g) { g_set(g, 0, op_zeros_like(g_out(g, 0))); }
#define STEP(id, also, what)                                                                               \
  OP(id, .schema = #id "(Tensor input) -> Tensor", .alias = also, .doc = what, .samples = "f(3,4) | i(3)", \
     .errors = "b(3)", .flags = OP_POINTWISE, .infer = refuse_bool, .kernel = EVERYWHERE(any_pointwise),   \
     .formula = PW_##id, .backward = back_step)
STEP(floor, NULL, "Largest integer not above.");
STEP(ceil, NULL, "Smallest integer not below.");
STEP(trunc, "fix", "The integer part.");
OP(sign, .schema = "sign(Tensor input) -> Tensor", .alias = "sgn", .doc = "-1, 0 or 1; NaN gives 0.",
   .samples = "f(3,4) | i(3) | b(3)", .flags = OP_POINTWISE, .infer = infer_same, .kernel = EVERYWHERE(any_pointwise),
   .formula = PW_sign, .backward = back_step);

/* round to `decimals`: scaled, rounded half to even, scaled back, as PyTorch does. */
static bool cpu_round(OpCall *c) { return any_pointwise_with(c, PW_round, NULL); }
OP(round_whole, .schema = "round_whole(Tensor input) -> Tensor", .doc = "Nearest integer, halves to even.",
   .samples = "f(3,4)", .flags = OP_HIDDEN | OP_INTO, .infer = refuse_bool, .kernel = EVERYWHERE(cpu_round),
   .backward = back_step);
static bool compose_round(OpCall *c) {
  int64_t decimals = c->arg[1].i;
  Tensor *t = in(c, 0);
  if (decimals != 0 && !tensor_is_float(t))
    return fail(MT_ENOTIMPL, "\"round_cpu\" not implemented for '%s' with decimals", dtype_info[t->dtype].type_name);
  if (decimals == 0) return compose_return(c, 0, unary(&def_round_whole, t));
  double scale = __builtin_pow(10, __builtin_fabs((double)decimals));
  Tensor *s = op_float(scale);
  Tensor *whole = unary(&def_round_whole, decimals > 0 ? op_mul(t, s) : op_div(t, s));
  return compose_return(c, 0, decimals > 0 ? op_div(whole, s) : op_mul(whole, s));
}
OP(round, .schema = "round(Tensor input, *, int decimals=0) -> Tensor",
   .doc = "Nearest number with that many decimals, halves to even.", .samples = "f(3,4) | f(3) decimals=2 | i(3)",
   .errors = "b(3)", .flags = OP_BOTH | OP_INPLACE, .compose = compose_round);

#define TEST(id, what)                                                                               \
  OP(id, .schema = #id "(Tensor input) -> Tensor", .doc = what, .samples = "f(3,4) | i(3)",          \
     .flags = OP_BOTH | OP_NO_GRADIENT, .infer = infer_to_bool, .kernel = EVERYWHERE(any_pointwise), \
     .formula = PW_##id)
TEST(isnan, "True where input is NaN.");
TEST(isinf, "True where input is infinite.");
TEST(isfinite, "True where input is neither infinite nor NaN.");
OP(logical_not, .schema = "logical_not(Tensor input) -> Tensor", .doc = "True where input is zero.",
   .samples = "f(3,4) | b(3)", .flags = OP_BOTH | OP_INPLACE | OP_NO_GRADIENT, .infer = infer_to_bool,
   .kernel = EVERYWHERE(any_pointwise), .formula = PW_logical_not);
OP(bitwise_not, .schema = "bitwise_not(Tensor input) -> Tensor", .doc = "Every bit flipped; logical not for bool.",
   .samples = "i(3) | b(3)", .errors = "f(3)", .flags = OP_POINTWISE | OP_NO_GRADIENT, .infer = infer_bits,
   .kernel = EVERYWHERE(any_pointwise), .formula = PW_bitwise_not);

/* clamp: limits as numbers in one loop, as tensors by maximum and minimum. A limit that no element of an integer dtype
 * can keep is refused. */
static bool fits_limit(DType d, const Arg *limit, bool low) {
  if (!limit->given || limit->number.category == CAT_FLOAT) return true;
  int bits = 8 * (int)dtype_size(d) - (d != MT_U8);
  int64_t most = bits == 63 ? INT64_MAX : (INT64_C(1) << bits) - 1, least = d == MT_U8 ? 0 : -most - 1;
  int64_t i = scalar_int64(limit->number);
  return (low ? i <= most : i >= least) || fail(MT_EARG, "Clamp %s value %lld is outside the representable range of %s",
                                                low ? "min" : "max", (long long)i, dtype_info[d].type_name);
}
static bool infer_clamp(OpCall *c) {
  const Arg *low = &c->arg[1], *high = &c->arg[2];
  if (!low->given && !high->given) return fail(MT_EARG, "At least one of 'min' or 'max' must not be None (nil)");
  if (!infer_same(c)) return false;
  Category kind = low->given ? low->number.category : CAT_BOOL;
  if (high->given && high->number.category > kind) kind = high->number.category;
  if (kind > dtype_info[c->compute].category) c->compute = kind == CAT_FLOAT ? default_dtype() : MT_I64;
  c->meta[0].dtype = c->compute;
  if (c->compute == MT_BOOL)
    return fail(MT_ENOTIMPL, "\"clamp_scalar_cpu\" not implemented for 'Bool': use :long() or logical_and");
  return dtype_is_float(c->compute) || (fits_limit(c->compute, low, true) && fits_limit(c->compute, high, false));
}
/* At a limit the gradient is 0. */
static void back_clamp(Grad *g) {
  const Arg *low = g_arg(g, 1), *high = g_arg(g, 2);
  Tensor *x = g_in(g, 0), *inside = NULL;
  if (low->given) inside = op_gt(x, op_number(low->number));
  if (high->given) {
    Tensor *below = op_lt(x, op_number(high->number));
    inside = inside ? op_and(inside, below) : below;
  }
  g_set(g, 0, op_where(inside, g_out(g, 0), op_float(0)));
}
OP(clamp, .schema = "clamp(Tensor input, Number? min=None, Number? max=None) -> Tensor", .alias = "clip",
   .doc = "input limited to [min, max]; either may be left out. NaN stays.",
   .samples = "f(3,4) -0.5 0.5 | f(3,4) min=0 | f(3,4) max=0.1 | i(3) 0 2", .errors = "f(3)", .saves = "input: input",
   .flags = OP_POINTWISE, .infer = infer_clamp, .kernel = EVERYWHERE(any_pointwise), .formula = PW_clamp,
   .backward = back_clamp);
static bool compose_clamp(OpCall *c) {
  Tensor *t = to_read(c);
  extern OpDef def_maximum, def_minimum;
  if (c->arg[1].given) t = op_run(&def_maximum, (Arg[]){ARG_T(t), c->arg[1]});
  if (c->arg[2].given) t = op_run(&def_minimum, (Arg[]){ARG_T(t), c->arg[2]});
  return compose_return(c, 0, t);
}
OP(clamp_tensor, .schema = "clamp(Tensor input, Tensor? min=None, Tensor? max=None) -> Tensor", .alias = "clip",
   .doc = "input limited to [min, max] element by element.", .samples = "f(3,4) f(4) | f(3) max=f(3)",
   .flags = OP_BOTH | OP_INPLACE, .compose = compose_clamp);
static bool clamped(OpCall *c, Arg low, Arg high) {
  Arg arg[] = {c->arg[0], low, high};
  return compose_return(c, 0, c->inplace ? op_run_inplace(&def_clamp, arg) : op_run(&def_clamp, arg));
}
static bool compose_clamp_min(OpCall *c) { return clamped(c, c->arg[1], (Arg)ARG_NIL); }
static bool compose_clamp_max(OpCall *c) { return clamped(c, (Arg)ARG_NIL, c->arg[1]); }
OP(clamp_min, .schema = "clamp_min(Tensor input, Number min) -> Tensor", .doc = "input, but at least min.",
   .samples = "f(3,4) 0", .flags = OP_BOTH | OP_INPLACE, .compose = compose_clamp_min);
OP(clamp_max, .schema = "clamp_max(Tensor input, Number max) -> Tensor", .doc = "input, but at most max.",
   .samples = "f(3,4) 0", .flags = OP_BOTH | OP_INPLACE, .compose = compose_clamp_max);

Tensor *op_neg(Tensor *a) { return unary(&def_neg, a); }
Tensor *op_exp(Tensor *a) { return unary(&def_exp, a); }
Tensor *op_log(Tensor *a) { return unary(&def_log, a); }
Tensor *op_sqrt(Tensor *a) { return unary(&def_sqrt, a); }
Tensor *op_sign(Tensor *a) { return unary(&def_sign, a); }
Tensor *op_sin(Tensor *a) { return unary(&def_sin, a); }
Tensor *op_cos(Tensor *a) { return unary(&def_cos, a); }
Tensor *op_reciprocal(Tensor *a) { return unary(&def_reciprocal, a); }
Tensor *op_not(Tensor *a) { return unary(&def_logical_not, a); }
