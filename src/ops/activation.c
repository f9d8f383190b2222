/* Activations: functions of one tensor that networks put between layers. Most are hidden, for torch.nn.functional.
 *
 * The smooth ones have their slope times the gradient as an operator of its own, name_back, in one loop; its gradient
 * is the second derivative, composed. The others are straight pieces, whose slope is a choice between numbers. */
#include "base/rng.h"
#include "cpu/reduce.h"
#include "ops/elementwise.h"
#include <float.h>
#include <string.h>

extern OpDef def_clamp, def_uniform_, def_sigmoid, def_tanh, def_leaky_relu, def_hardtanh;

#define SMOOTH "f(3,4) | f() | f(0)"
#define REFUSED "i(3) | b(3)"
#define INNER (OP_HIDDEN | OP_INPLACE | OP_INTO)

static Tensor *sigmoid(Tensor *t) { return unary(&def_sigmoid, t); }
static Tensor *one_minus(Tensor *t) { return op_sub(op_int(1), t); }
static double number(const Arg *a) { return scalar_double(a->number); }

static bool with_factors(OpCall *c, Formula f, double s, double t, double u) {
  PointwiseContext context = {.s = scalar_float(s), .t = scalar_float(t), .u = scalar_float(u)};
  return any_pointwise_with(c, f, &context);
}

/* ---- smooth, without settings: gelu, silu, mish, hardswish ---- */

/* id_back(grad, input): linear in grad; curve is the second derivative at x. */
#define SLOPE(id, curve)                                                                             \
  static void back_##id##_back(Grad *g) {                                                            \
    Tensor *x = g_in(g, 1);                                                                          \
    if (g_needs(g, 0)) g_set(g, 0, slope(&def_##id##_back, g_out(g, 0), x));                         \
    if (g_needs(g, 1)) g_set(g, 1, gy_times(g, op_mul(g_in(g, 0), curve)));                          \
  }                                                                                                  \
  OP(id##_back, .schema = #id "_back(Tensor grad, Tensor input) -> Tensor",                          \
     .doc = "grad times the derivative of " #id " at input.", .samples = "f(3,4) f(3,4)",            \
     .saves = "grad: input; input: grad input", .flags = OP_HIDDEN | OP_INTO, .infer = infer_binary, \
     .kernel = EVERYWHERE(any_pointwise), .formula = PW_##id##_back, .backward = back_##id##_back)
extern OpDef def_gelu_back, def_gelu_tanh_back, def_silu_back, def_mish_back, def_hardswish_back;
static Tensor *slope(OpDef *def, Tensor *gy, Tensor *x) { return op_run(def, (Arg[]){ARG_T(gy), ARG_T(x)}); }

/* gelu'' = phi(x) (2 - x^2), phi the normal density */
static Tensor *gelu_curve(Tensor *x) {
  Tensor *square = squared(x), *density = op_scale(op_exp(op_scale(square, -0.5)), 0.3989422804014327);
  return op_mul(density, op_sub(op_int(2), square));
}
SLOPE(gelu, gelu_curve(x));

/* With u = k (x + c x^3) and y = tanh(u): y' = (1 - y^2) u', gelu'' = y' + x (1 - y^2) (u'' / 2 - y u'^2) */
static Tensor *gelu_tanh_curve(Tensor *x) {
  const double k = 0.7978845608028654, c = 0.044715;
  Tensor *square = squared(x), *y = unary(&def_tanh, op_scale(op_mul(x, op_add(op_scale(square, c), op_int(1))), k));
  Tensor *first = op_scale(op_add(op_scale(square, 3 * c), op_int(1)), k), *half_second = op_scale(x, 3 * k * c);
  Tensor *inner = op_add(first, op_mul(x, op_sub(half_second, op_mul(y, squared(first)))));
  return op_mul(one_minus(squared(y)), inner);
}
SLOPE(gelu_tanh, gelu_tanh_curve(x));

/* silu'' = s (1 - s) (2 + x (1 - 2 s)), s = sigmoid(x) */
static Tensor *silu_curve(Tensor *x) {
  Tensor *s = sigmoid(x);
  return op_mul(op_mul(s, one_minus(s)), op_add(op_mul(x, one_minus(op_scale(s, 2))), op_int(2)));
}
SLOPE(silu, silu_curve(x));

/* With w = tanh(softplus(x)) = (q - 1) / (q + 1), q = (1 + e^x)^2: w' = s (1 - w^2) and
 * mish'' = w' (2 + x (1 - s - 2 w s)). x is limited, since past 20 w is 1. */
static Tensor *mish_curve(Tensor *x) {
  Tensor *low = op_run(&def_clamp, (Arg[]){ARG_T(x), ARG_NIL, ARG_N(scalar_int(20))}), *s = sigmoid(low);
  Tensor *q = squared(op_add(op_exp(low), op_int(1))), *w = op_sub(op_int(1), op_div(op_int(2), op_add(q, op_int(1))));
  Tensor *inner = op_mul(x, op_sub(one_minus(s), op_scale(op_mul(w, s), 2)));
  return op_mul(op_mul(s, one_minus(squared(w))), op_add(inner, op_int(2)));
}
SLOPE(mish, mish_curve(x));

static Tensor *hardswish_curve(Tensor *x) {
  Tensor *inside = op_and(op_gt(x, op_int(-3)), op_lt(x, op_int(3)));
  return op_where(inside, op_float(1.0 / 3), op_float(0));
}
SLOPE(hardswish, hardswish_curve(x));

static bool is_tanh(const Arg *approximate) { return strcmp(approximate->str, "tanh") == 0; }
static bool infer_gelu(OpCall *c) {
  const Arg *approximate = &c->arg[1];
  if (!is_tanh(approximate) && strcmp(approximate->str, "none") != 0)
    return fail(MT_EARG, "approximate argument must be either none or tanh. Got '%s'", approximate->str);
  return infer_only_float(c);
}
static bool cpu_gelu(OpCall *c) { return any_pointwise_with(c, is_tanh(&c->arg[1]) ? PW_gelu_tanh : PW_gelu, NULL); }
static void back_gelu(Grad *g) {
  g_set(g, 0, slope(is_tanh(g_arg(g, 1)) ? &def_gelu_tanh_back : &def_gelu_back, g_out(g, 0), g_in(g, 0)));
}
OP(gelu, .schema = "gelu(Tensor input, *, str approximate='none') -> Tensor",
   .doc = "input times the standard normal distribution function of it; approximate 'tanh' takes "
          "(1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 for that function.",
   .samples = SMOOTH " | f(3,4) approximate='tanh'", .errors = REFUSED " | f(3) approximate='erf'",
   .saves = "input: input", .flags = INNER, .infer = infer_gelu, .kernel = EVERYWHERE(cpu_gelu), .backward = back_gelu);

#define ACTIVATION(id, what)                                                                                  \
  static void back_##id(Grad *g) { g_set(g, 0, slope(&def_##id##_back, g_out(g, 0), g_in(g, 0))); }           \
  OP(id, .schema = #id "(Tensor input) -> Tensor", .doc = what, .samples = SMOOTH, .errors = REFUSED,         \
     .saves = "input: input", .flags = INNER, .infer = infer_only_float, .kernel = EVERYWHERE(any_pointwise), \
     .formula = PW_##id, .backward = back_##id)
ACTIVATION(silu, "input sigmoid(input).");
ACTIVATION(mish, "input tanh(softplus(input)).");
ACTIVATION(hardswish, "input min(max(input + 3, 0), 6) / 6.");

/* ---- elu, selu, celu ---- */

/* (x, or grad and x, then) alpha, scale, input_scale: below 0 the result is scale alpha expm1(input_scale x) */
static bool elu_loop(OpCall *c, Formula f, const Arg *setting) {
  double scale = number(&setting[1]);
  return with_factors(c, f, scale, number(&setting[0]) * scale, number(&setting[2]));
}
static bool cpu_elu(OpCall *c) { return elu_loop(c, PW_elu, &c->arg[1]); }
static bool cpu_elu_back(OpCall *c) { return elu_loop(c, PW_elu_back, &c->arg[2]); }
static Tensor *elu_slope(Tensor *gy, Tensor *x, const Arg *setting) {
  extern OpDef def_elu_back;
  return op_run(&def_elu_back, (Arg[]){ARG_T(gy), ARG_T(x), setting[0], setting[1], setting[2]});
}
static void back_elu(Grad *g) { g_set(g, 0, elu_slope(g_out(g, 0), g_in(g, 0), g_arg(g, 1))); }
static void back_elu_back(Grad *g) {
  const Arg *setting = g_arg(g, 2);
  Tensor *x = g_in(g, 1);
  if (g_needs(g, 0)) g_set(g, 0, elu_slope(g_out(g, 0), x, setting));
  if (!g_needs(g, 1)) return;
  double u = number(&setting[2]), factor = number(&setting[0]) * number(&setting[1]) * u * u;
  Tensor *low = op_run(&def_clamp, (Arg[]){ARG_T(x), ARG_NIL, ARG_N(scalar_int(0))});
  Tensor *curve = op_scale(op_exp(op_scale(low, u)), factor);
  g_set(g, 1, op_where(op_lt(x, op_int(0)), gy_times(g, op_mul(g_in(g, 0), curve)), op_float(0)));
}
OP(elu_back, .schema = "elu_back(Tensor grad, Tensor input, Number alpha, Number scale, Number input_scale) -> Tensor",
   .doc = "grad times the derivative of elu at input.", .samples = "f(3,4) f(3,4) 1.5 1.2 0.8",
   .saves = "grad: input; input: grad input", .flags = OP_HIDDEN | OP_INTO, .infer = infer_binary,
   .kernel = EVERYWHERE(cpu_elu_back), .backward = back_elu_back);
OP(elu, .schema = "elu(Tensor input, Number alpha=1, Number scale=1, Number input_scale=1) -> Tensor",
   .doc = "scale input, and below 0 scale alpha (exp(input_scale input) - 1).",
   .samples = SMOOTH " | f(3,4) 1.5 | f(3,4) 1.5 1.2 0.8", .errors = REFUSED, .saves = "input: input", .flags = INNER,
   .infer = infer_only_float, .kernel = EVERYWHERE(cpu_elu), .backward = back_elu);

static bool run_elu(OpCall *c, double alpha, double scale, double input_scale) {
  Arg arg[] = {c->arg[0], ARG_N(scalar_float(alpha)), ARG_N(scalar_float(scale)), ARG_N(scalar_float(input_scale))};
  return compose_return(c, 0, c->inplace ? op_run_inplace(&def_elu, arg) : op_run(&def_elu, arg));
}
static bool compose_selu(OpCall *c) { return run_elu(c, 1.6732632423543772, 1.0507009873554805, 1); }
static bool compose_celu(OpCall *c) {
  double alpha = number(&c->arg[1]);
  if (alpha == 0)
    return fail(MT_EARG, "ZeroDivisionError: alpha cannot be 0 for CELU. Give another alpha, or use relu");
  return run_elu(c, alpha, 1, 1 / alpha);
}
OP(selu, .schema = "selu(Tensor input) -> Tensor",
   .doc = "elu with the alpha and scale that keep mean 0 and variance 1 (Klambauer and others, Self-Normalizing Neural "
          "Networks).",
   .samples = SMOOTH, .errors = REFUSED, .flags = OP_FUNCTION | OP_INPLACE, .compose = compose_selu);
OP(celu, .schema = "celu(Tensor input, Number alpha=1) -> Tensor",
   .doc = "input, and below 0 alpha (exp(input / alpha) - 1).", .samples = SMOOTH " | f(3,4) 1.5",
   .errors = REFUSED " | f(3) 0", .flags = OP_FUNCTION | OP_INPLACE, .compose = compose_celu);

/* ---- softplus, logsigmoid ---- */

static bool cpu_softplus(OpCall *c) { return with_factors(c, PW_softplus, number(&c->arg[1]), number(&c->arg[2]), 0); }
static bool cpu_softplus_back(OpCall *c) {
  return with_factors(c, PW_softplus_back, number(&c->arg[2]), number(&c->arg[3]), 0);
}
static Tensor *softplus_slope(Tensor *gy, Tensor *x, const Arg *setting) {
  extern OpDef def_softplus_back;
  return op_run(&def_softplus_back, (Arg[]){ARG_T(gy), ARG_T(x), setting[0], setting[1]});
}
static void back_softplus(Grad *g) { g_set(g, 0, softplus_slope(g_out(g, 0), g_in(g, 0), g_arg(g, 1))); }
/* softplus'' = beta s (1 - s), s = sigmoid(beta x), and 0 past the threshold */
static void back_softplus_back(Grad *g) {
  const Arg *setting = g_arg(g, 2);
  Tensor *x = g_in(g, 1), *scaled = op_scale(x, number(&setting[0]));
  if (g_needs(g, 0)) g_set(g, 0, softplus_slope(g_out(g, 0), x, setting));
  if (!g_needs(g, 1)) return;
  Tensor *s = sigmoid(scaled), *curve = op_scale(op_mul(s, one_minus(s)), number(&setting[0]));
  Tensor *past = op_gt(scaled, op_float(number(&setting[1])));
  g_set(g, 1, op_where(past, op_float(0), gy_times(g, op_mul(g_in(g, 0), curve))));
}
OP(softplus_back, .schema = "softplus_back(Tensor grad, Tensor input, Number beta, Number threshold) -> Tensor",
   .doc = "grad times the derivative of softplus at input.", .samples = "f(3,4) f(3,4) 1.5 1",
   .saves = "grad: input; input: grad input", .flags = OP_HIDDEN | OP_INTO, .infer = infer_binary,
   .kernel = EVERYWHERE(cpu_softplus_back), .backward = back_softplus_back);
OP(softplus, .schema = "softplus(Tensor input, Number beta=1, Number threshold=20) -> Tensor",
   .doc = "log(1 + exp(beta input)) / beta, and input itself where beta input > threshold.",
   .samples = SMOOTH " | f(3,4) 2 | f(3,4) 1.5 1", .errors = REFUSED, .saves = "input: input",
   .flags = OP_HIDDEN | OP_INTO, .infer = infer_only_float, .kernel = EVERYWHERE(cpu_softplus),
   .backward = back_softplus);

static void back_logsigmoid(Grad *g) { g_set(g, 0, gy_times(g, sigmoid(op_neg(g_in(g, 0))))); }
OP(logsigmoid, .schema = "logsigmoid(Tensor input) -> Tensor", .doc = "log(sigmoid(input)), without overflow.",
   .samples = SMOOTH, .errors = REFUSED, .saves = "input: input", .flags = OP_HIDDEN | OP_INTO,
   .infer = infer_only_float, .kernel = EVERYWHERE(any_pointwise), .formula = PW_logsigmoid,
   .backward = back_logsigmoid);

/* ---- straight pieces ---- */

/* grad, with zeros where input is within [low, high], or at them and beyond. Operators, so that a gradient of the
 * gradient finds its way to input, where it is zero. */
static bool cpu_zero_inside(OpCall *c) {
  return with_factors(c, PW_zero_inside, number(&c->arg[2]), number(&c->arg[3]), 0);
}
static bool cpu_zero_outside(OpCall *c) {
  return with_factors(c, PW_zero_outside, number(&c->arg[2]), number(&c->arg[3]), 0);
}
static Tensor *zeroed(OpDef *def, Tensor *gy, Tensor *x, double low, double high) {
  return op_run(def, (Arg[]){ARG_T(gy), ARG_T(x), ARG_N(scalar_float(low)), ARG_N(scalar_float(high))});
}
static void back_zeroed(Grad *g) {
  double low = number(g_arg(g, 2)), high = number(g_arg(g, 3));
  if (g_needs(g, 0)) g_set(g, 0, zeroed(g->node->def, g_out(g, 0), g_in(g, 1), low, high));
  if (g_needs(g, 1)) g_set(g, 1, op_zeros_like(g_out(g, 0)));
}
#define ZEROES(id, where)                                                                       \
  OP(id, .schema = #id "(Tensor grad, Tensor input, Number low, Number high) -> Tensor",        \
     .doc = "grad, and 0 where input " where, .samples = "f(3,4) f(3,4) -0.5 0.3",              \
     .saves = "grad: input; input: input", .flags = OP_HIDDEN | OP_INTO, .infer = infer_binary, \
     .kernel = EVERYWHERE(cpu_##id), .backward = back_zeroed)
ZEROES(zero_inside, "is within [low, high].");
ZEROES(zero_outside, "is low or less, or high or more.");

static bool cpu_leaky_relu_back(OpCall *c) {
  PointwiseContext context = {.s = c->arg[2].number};
  return any_pointwise_with(c, PW_leaky_relu_back, &context);
}
static Tensor *leaky_slope(Tensor *gy, Tensor *x, const Arg *setting) {
  extern OpDef def_leaky_relu_back;
  return op_run(&def_leaky_relu_back, (Arg[]){ARG_T(gy), ARG_T(x), *setting});
}
static void back_leaky_relu(Grad *g) { g_set(g, 0, leaky_slope(g_out(g, 0), g_in(g, 0), g_arg(g, 1))); }
static void back_leaky_relu_back(Grad *g) {
  if (g_needs(g, 0)) g_set(g, 0, leaky_slope(g_out(g, 0), g_in(g, 1), g_arg(g, 2)));
  if (g_needs(g, 1)) g_set(g, 1, op_zeros_like(g_out(g, 0)));
}
OP(leaky_relu_back, .schema = "leaky_relu_back(Tensor grad, Tensor input, Number negative_slope) -> Tensor",
   .doc = "grad times the derivative of leaky_relu at input.", .samples = "f(3,4) f(3,4) 0.1",
   .saves = "grad: input; input: input", .flags = OP_HIDDEN | OP_INTO, .infer = infer_binary,
   .kernel = EVERYWHERE(cpu_leaky_relu_back), .backward = back_leaky_relu_back);
OP(leaky_relu, .schema = "leaky_relu(Tensor input, Number negative_slope=0.01) -> Tensor",
   .doc = "input, and negative_slope input below 0.", .samples = SMOOTH " | f(3,4) 0.2", .errors = REFUSED,
   .saves = "input: input", .flags = INNER, .infer = infer_only_float, .kernel = EVERYWHERE(any_pointwise),
   .formula = PW_leaky_relu, .backward = back_leaky_relu);

/* input x weight, both broadcast already */
static void back_prelu_pair(Grad *g) {
  Tensor *gy = g_out(g, 0), *x = g_in(g, 0), *above = op_gt(x, op_int(0));
  if (g_needs(g, 0)) g_set(g, 0, op_where(above, gy, op_mul(gy, g_in(g, 1))));
  if (g_needs(g, 1)) g_set(g, 1, op_mul(gy, op_where(above, op_float(0), x)));
}
OP(prelu_pair, .schema = "prelu_pair(Tensor input, Tensor weight) -> Tensor", .doc = "input, and weight input below 0.",
   .samples = "f(3,4) f(3,4) | f(3,4) f(4)", .saves = "input: input weight; weight: input",
   .flags = OP_HIDDEN | OP_INTO, .infer = infer_binary, .kernel = EVERYWHERE(any_pointwise), .formula = PW_prelu,
   .backward = back_prelu_pair);
static bool compose_prelu(OpCall *c) {
  Tensor *x = in(c, 0), *w = in(c, 1);
  c->compute = (DType)x->dtype;
  if (x->dtype != w->dtype)
    return fail(MT_EARG, "prelu: Type promoting not supported. Got %s and %s: convert one with :to()",
                dtype_info[x->dtype].type_name, dtype_info[w->dtype].type_name);
  if (!refuse_integers(c)) return false;
  int64_t shape[MT_MAX_DIMS];
  for (int d = 0; d < x->ndim; d++) shape[d] = d == 1 ? w->numel : 1;
  if (w->numel != 1) {
    int64_t channels = x->ndim > 1 ? x->shape[1] : 1;
    if (x->ndim == 0)
      return fail(MT_EARG, "Not allow zero-dim input tensor. weight has %lld numbers, one a channel: give it one",
                  (long long)w->numel);
    if (channels != w->numel)
      return fail(MT_EARG,
                  "Mismatch of parameter numbers and input channel size. Found parameter numbers = %lld and channel "
                  "size = %lld. weight holds one number, or one for each of dim 2 of input %s",
                  (long long)w->numel, (long long)channels, shape_text(x->ndim, x->shape));
  }
  Tensor *each = w->numel == 1 ? op_reshape(w, 0, NULL) : op_reshape(w, x->ndim, shape);
  return compose_return(c, 0, op_run(&def_prelu_pair, (Arg[]){ARG_T(x), ARG_T(each)}));
}
OP(prelu, .schema = "prelu(Tensor input, Tensor weight) -> Tensor",
   .doc = "input, and weight input below 0: one weight for all, or one for each channel (dim 2).",
   .samples = "f(3,4) f(1) | f(3,4) f(4) | f(2,3,4) f(3) | f() f()", .errors = "f(3,4) f(3) | f(3) f(3) | i(3) i(1)",
   .flags = OP_BOTH, .compose = compose_prelu);

/* hardtanh: clamp but for its gradient, which is 0 at the limits, and for integers, whose limits are truncated. */
static bool infer_hardtanh(OpCall *c) {
  if (in(c, 0)->dtype == MT_BOOL)
    return fail(MT_ENOTIMPL, "Bool inputs not supported for hardtanh: use :float() first");
  if (number(&c->arg[1]) > number(&c->arg[2]))
    return fail(MT_EARG, "min_val cannot be greater than max_val: got %g and %g", number(&c->arg[1]),
                number(&c->arg[2]));
  return infer_same(c);
}
static bool cpu_hardtanh(OpCall *c) {
  PointwiseContext context = {.s = c->arg[1].number, .t = c->arg[2].number, .has_s = true, .has_t = true};
  return any_pointwise_with(c, PW_clamp, &context);
}
static void back_hardtanh(Grad *g) {
  g_set(g, 0, zeroed(&def_zero_outside, g_out(g, 0), g_in(g, 0), number(g_arg(g, 1)), number(g_arg(g, 2))));
}
OP(hardtanh, .schema = "hardtanh(Tensor input, Number min_val=-1, Number max_val=1) -> Tensor",
   .doc = "input limited to [min_val, max_val].", .samples = SMOOTH " | f(3,4) -0.5 0.2 | i(3)",
   .errors = "b(3) | f(3) 2 1", .saves = "input: input", .flags = INNER, .infer = infer_hardtanh,
   .kernel = EVERYWHERE(cpu_hardtanh), .backward = back_hardtanh);
static bool compose_relu6(OpCall *c) {
  Arg arg[] = {c->arg[0], ARG_N(scalar_int(0)), ARG_N(scalar_int(6))};
  return compose_return(c, 0, c->inplace ? op_run_inplace(&def_hardtanh, arg) : op_run(&def_hardtanh, arg));
}
OP(relu6, .schema = "relu6(Tensor input) -> Tensor", .doc = "input limited to [0, 6].", .samples = SMOOTH " | i(3)",
   .errors = "b(3)", .flags = OP_HIDDEN | OP_INPLACE, .compose = compose_relu6);

static void back_hardsigmoid(Grad *g) {
  Tensor *x = g_in(g, 0);
  g_set(g, 0, op_scale(op_where(op_and(op_gt(x, op_int(-3)), op_lt(x, op_int(3))), g_out(g, 0), op_float(0)), 1.0 / 6));
}
OP(hardsigmoid, .schema = "hardsigmoid(Tensor input) -> Tensor", .doc = "min(max(input + 3, 0), 6) / 6.",
   .samples = SMOOTH, .errors = REFUSED, .saves = "input: input", .flags = INNER, .infer = infer_only_float,
   .kernel = EVERYWHERE(any_pointwise), .formula = PW_hardsigmoid, .backward = back_hardsigmoid);

static void back_shrink(Grad *g) {
  double limit = number(g_arg(g, 1));
  g_set(g, 0, zeroed(&def_zero_inside, g_out(g, 0), g_in(g, 0), -limit, limit));
}
OP(hardshrink, .schema = "hardshrink(Tensor input, Number lambd=0.5) -> Tensor",
   .doc = "input, and 0 within [-lambd, lambd].", .samples = SMOOTH " | f(3,4) 0.3", .errors = REFUSED,
   .saves = "input: input", .flags = OP_BOTH | OP_INTO, .infer = infer_only_float, .kernel = EVERYWHERE(any_pointwise),
   .formula = PW_hardshrink, .backward = back_shrink);
static bool infer_softshrink(OpCall *c) {
  double lambda = number(&c->arg[1]);
  if (!infer_only_float(c)) return false;
  double most = c->compute == MT_F64    ? DBL_MAX
                : c->compute == MT_F32  ? (double)FLT_MAX
                : c->compute == MT_BF16 ? 0x1.fep127
                                        : 65504;
  return (lambda >= 0 && lambda <= most) ||
         fail(MT_EARG, "lambda must be in range [0, %g] for input dtype %s, but found %g", most,
              dtype_info[c->compute].type_name, lambda);
}
OP(softshrink, .schema = "softshrink(Tensor input, Number lambd=0.5) -> Tensor",
   .doc = "input brought nearer to 0 by lambd, and 0 within [-lambd, lambd].", .samples = SMOOTH " | f(3,4) 0.3",
   .errors = REFUSED " | f(3) -1", .saves = "input: input", .flags = OP_HIDDEN | OP_INTO, .infer = infer_softshrink,
   .kernel = EVERYWHERE(any_pointwise), .formula = PW_softshrink, .backward = back_shrink);

static bool infer_threshold(OpCall *c) {
  return infer_same(c) && (c->compute != MT_BOOL ||
                           fail(MT_ENOTIMPL, "\"threshold_cpu\" not implemented for 'Bool': use :float() first"));
}
static bool cpu_threshold(OpCall *c) {
  PointwiseContext context = {.s = c->arg[1].number, .t = c->arg[2].number, .u = scalar_int(0)};
  return any_pointwise_with(c, PW_threshold, &context);
}
static void back_threshold(Grad *g) {
  g_set(g, 0, zeroed(&def_zero_inside, g_out(g, 0), g_in(g, 0), -INFINITY, number(g_arg(g, 1))));
}
OP(threshold, .schema = "threshold(Tensor input, Number threshold, Number value) -> Tensor",
   .doc = "input where it is above threshold, else value.", .samples = "f(3,4) 0.2 -1 | f() 0 1 | f(0) 0 1 | i(3) 1 7",
   .errors = "b(3) 0 1", .saves = "input: input", .flags = OP_FUNCTION | OP_INPLACE | OP_INTO, .infer = infer_threshold,
   .kernel = EVERYWHERE(cpu_threshold), .backward = back_threshold);

/* ---- rrelu: the slope below 0 is drawn, a number for each such element in their order ---- */

static bool cpu_rrelu_noise(OpCall *c) {
  double low = number(&c->arg[1]), high = number(&c->arg[2]);
  Generator *g = c->arg[3].given && c->arg[3].generator ? c->arg[3].generator : generator_default();
  Tensor *x = g ? tensor_packed(in(c, 0), MT_F64) : NULL;
  if (!x) return false;
  const double *p = (const double *)tensor_data(x);
  char *to = tensor_data(c->out[0]);
  DType d = (DType)c->out[0]->dtype;
  for (int64_t i = 0; i < x->numel; i++, to += dtype_size(d))
    scalar_store(scalar_float(p[i] <= 0 ? rng_unit(g) * (high - low) + low : 1), d, to);
  tensor_release(x);
  return true;
}
static bool compose_rrelu_noise(OpCall *c) {
  Tensor *x = in(c, 0), *noise = op_zeros_like(x);
  Arg arg[] = {ARG_T(noise), ARG_N(scalar_float(number(&c->arg[1]))), ARG_N(scalar_float(number(&c->arg[2]))),
               c->arg[3]};
  noise = noise ? op_run_inplace(&def_uniform_, arg) : NULL;
  return compose_return(c, 0, op_where(op_le(x, op_float(0)), noise, op_ones_like(x)));
}
OP(rrelu_noise, .schema = "rrelu_noise(Tensor input, Number lower, Number upper, Generator? generator=None) -> Tensor",
   .doc = "1 where input is above 0, else a uniform number of [lower, upper).", .samples = "f(3,4) 0.1 0.3",
   .errors = "i(3) 0.1 0.3", .flags = OP_HIDDEN | OP_NO_GRADIENT | OP_RANDOM, .infer = infer_only_float,
   .kernel = {cpu_rrelu_noise}, .compose = compose_rrelu_noise);
static bool compose_rrelu(OpCall *c) {
  double low = number(&c->arg[1]), high = number(&c->arg[2]);
  if (!(low <= high))
    return fail(MT_EARG, "Lower bound should be less than or equal to the upper bound. Got %g and %g", low, high);
  Tensor *x = to_read(c);
  c->compute = (DType)in(c, 0)->dtype;
  if (!refuse_integers(c)) return false;
  if (!c->arg[3].i)
    return compose_return(c, 0, op_run(&def_leaky_relu, (Arg[]){ARG_T(x), ARG_N(scalar_float((low + high) / 2))}));
  if (x && x->dtype == MT_F16)
    return fail(MT_ENOTIMPL, "\"rrelu_with_noise_out_cpu\" not implemented for 'Half': use :float() or :bfloat16()");
  Arg arg[] = {ARG_T(op_detach(x)), c->arg[1], c->arg[2], c->arg[4]};
  return compose_return(c, 0, op_mul(x, op_run(&def_rrelu_noise, arg)));
}
OP(rrelu,
   .schema = "rrelu(Tensor input, Number lower=0.125, Number upper=0.3333333333333333, bool training=False, *, "
             "Generator? generator=None) -> Tensor",
   .doc = "leaky_relu whose slope below 0 is drawn from [lower, upper) for each element in training, and else is their "
          "mean.",
   .samples = SMOOTH " | f(3,4) 0.1 0.3 | f(3,4) 0.1 0.3 True", .errors = REFUSED " | f(3) 0.5 0.1",
   .flags = OP_FUNCTION | OP_INPLACE | OP_RANDOM, .compose = compose_rrelu);

/* ---- composed ---- */

static bool compose_softsign(OpCall *c) {
  extern OpDef def_abs;
  Tensor *x = in(c, 0);
  return compose_return(c, 0, op_div(x, op_add(unary(&def_abs, x), op_int(1))));
}
OP(softsign, .schema = "softsign(Tensor input) -> Tensor",
   .doc = "input / (1 + |input|). Integers become the default float dtype.", .samples = SMOOTH " | i(3)",
   .errors = "b(3)", .flags = OP_HIDDEN, .compose = compose_softsign);
static bool compose_tanhshrink(OpCall *c) { return compose_return(c, 0, op_sub(in(c, 0), unary(&def_tanh, in(c, 0)))); }
OP(tanhshrink, .schema = "tanhshrink(Tensor input) -> Tensor",
   .doc = "input - tanh(input). Integers become the default float dtype.", .samples = SMOOTH " | i(3)",
   .errors = "b(3)", .flags = OP_HIDDEN, .compose = compose_tanhshrink);

static bool compose_glu(OpCall *c) {
  Tensor *x = in(c, 0);
  int dim;
  if (x->ndim == 0)
    return fail(MT_EARG, "glu does not support scalars because halving size must be even: input is 0-dim");
  if (!dim_wrap(c->arg[1].i, x->ndim, &dim)) return false;
  c->compute = (DType)x->dtype;
  if (!refuse_integers(c)) return false;
  int64_t half = x->shape[dim] / 2;
  if (x->shape[dim] % 2 != 0)
    return fail(MT_EARG, "Halving dimension must be even, but dimension %d is size %lld: input is %s", dim + 1,
                (long long)x->shape[dim], shape_text(x->ndim, x->shape));
  return compose_return(c, 0, op_mul(op_narrow(x, dim, 0, half), sigmoid(op_narrow(x, dim, half, half))));
}
OP(glu, .schema = "glu(Tensor input, Dim dim=-1) -> Tensor",
   .doc = "The first half of dim times sigmoid of the second.", .samples = "f(3,4) | f(4,3) d1 | f(2,6,2) d2 | f(0,2)",
   .errors = "f(3) | f() | i(4)", .flags = OP_HIDDEN, .compose = compose_glu);
