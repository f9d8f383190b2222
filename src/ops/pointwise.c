/* Binary and ternary pointwise operators: arithmetic, comparison, logic, choice. */
#include "cpu/kernels.h"
#include "ops/ops.h"
#include <string.h>

/* add and sub differ in the sign of alpha. */
static bool cpu_add_scaled(OpCall *c, int sign, Formula plain) {
  Scalar alpha = c->arg[2].number;
  bool one = scalar_double(alpha) == 1;
  if (alpha.category == CAT_FLOAT)
    alpha.d *= sign;
  else
    alpha.i = (int64_t)((uint64_t)alpha.i * (uint64_t)(int64_t)sign);
  PointwiseContext context = {.s = alpha, .has_s = true};
  return any_pointwise_with(c, one ? plain : PW_add_scaled, &context);
}
static bool cpu_add(OpCall *c) { return cpu_add_scaled(c, 1, PW_add); }
static bool cpu_sub(OpCall *c) { return cpu_add_scaled(c, -1, PW_sub); }

static bool check_alpha(OpCall *c) {
  Scalar alpha = c->arg[2].number;
  if (alpha.category == CAT_FLOAT && !dtype_is_float(c->compute))
    return fail(MT_EARG,
                "For integral input tensors, argument alpha must not be a floating point number: got %g with %s",
                alpha.d, dtype_info[c->compute].name);
  if (alpha.category == CAT_BOOL && c->compute != MT_BOOL)
    return fail(MT_EARG, "Boolean alpha only supported for Boolean results.");
  return true;
}
static bool infer_add(OpCall *c) { return infer_binary(c) && check_alpha(c); }

static bool infer_sub(OpCall *c) {
  if (in(c, 0)->dtype == MT_BOOL && in(c, 1)->dtype == MT_BOOL)
    return fail(MT_EARG, "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or "
                         "`logical_xor()` operator instead (in Lua: a ~ b).");
  if (in(c, 0)->dtype == MT_BOOL || in(c, 1)->dtype == MT_BOOL)
    return fail(MT_EARG,
                "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a "
                "mask, use the `~` or `logical_not()` operator instead.");
  return infer_add(c);
}

static Tensor *times(Tensor *t, Scalar factor) { return scalar_double(factor) == 1 ? t : op_mul(t, op_number(factor)); }

static void back_add(Grad *g) {
  if (g_needs(g, 0)) g_set(g, 0, g_out(g, 0));
  if (g_needs(g, 1)) g_set(g, 1, times(g_out(g, 0), g_arg(g, 2)->number));
}
static void back_sub(Grad *g) {
  if (g_needs(g, 0)) g_set(g, 0, g_out(g, 0));
  if (g_needs(g, 1)) g_set(g, 1, op_neg(times(g_out(g, 0), g_arg(g, 2)->number)));
}
static void back_mul(Grad *g) {
  if (g_needs(g, 0)) g_set(g, 0, op_mul(g_out(g, 0), g_in(g, 1)));
  if (g_needs(g, 1)) g_set(g, 1, op_mul(g_out(g, 0), g_in(g, 0)));
}
/* a/b: da = gy/b, db = -gy (a/b)/b */
static void back_true_div(Grad *g) {
  Tensor *gy = g_out(g, 0);
  if (g_needs(g, 0)) g_set(g, 0, op_div(gy, g_in(g, 1)));
  if (g_needs(g, 1)) g_set(g, 1, op_mul(op_neg(gy), op_div(op_div(g_in(g, 0), g_in(g, 1)), g_in(g, 1))));
}

OP(add, .schema = "add(Tensor input, Operand other, *, Number alpha=1) -> Tensor",
   .doc = "input + alpha * other, broadcast and promoted.",
   .samples = "f(3,4) f(3,4) | f(3,4) f(4) | i(3) f(1) | f(0) f(0) | f(2,3) 2.5", .errors = "f(3) f(4)",
   .flags = OP_POINTWISE, .infer = infer_add, .kernel = EVERYWHERE(cpu_add), .backward = back_add);
OP(sub, .schema = "sub(Tensor input, Operand other, *, Number alpha=1) -> Tensor", .alias = "subtract",
   .doc = "input - alpha * other, broadcast and promoted.",
   .samples = "f(3,4) f(3,4) | f(3,4) f(4) | i(3) i(3) | f(2,3) 2", .errors = "b(3) b(3) | f(3) f(4)",
   .flags = OP_POINTWISE, .infer = infer_sub, .kernel = EVERYWHERE(cpu_sub), .backward = back_sub);

static bool compose_rsub(OpCall *c) {
  return compose_return(c, 0, op_run(&def_sub, (Arg[]){c->arg[1], c->arg[0], c->arg[2]}));
}
OP(rsub, .schema = "rsub(Tensor input, Operand other, *, Number alpha=1) -> Tensor", .doc = "other - alpha * input.",
   .samples = "f(3,4) f(3,4) | f(3,4) 1", .errors = "b(3) b(3)", .flags = OP_FUNCTION, .compose = compose_rsub);

OP(mul, .schema = "mul(Tensor input, Operand other) -> Tensor", .alias = "multiply",
   .doc = "input * other, broadcast and promoted.",
   .samples = "f(3,4) f(3,4) | f(3,1) f(1,4) | i(3) f() | b(3) b(3) | f(3) 2", .errors = "f(3) f(4)",
   .saves = "input: other; other: input", .flags = OP_POINTWISE, .infer = infer_binary,
   .kernel = EVERYWHERE(any_pointwise), .formula = PW_mul, .backward = back_mul);

/* div has one schema and three formulas. */
enum { TRUE_DIV, TRUNC_DIV, FLOOR_DIV, UNKNOWN_DIV };
static int rounding(const Arg *mode) {
  if (!mode->given) return TRUE_DIV;
  if (strcmp(mode->str, "trunc") == 0) return TRUNC_DIV;
  return strcmp(mode->str, "floor") == 0 ? FLOOR_DIV : UNKNOWN_DIV;
}
static bool infer_div(OpCall *c) {
  switch (rounding(&c->arg[2])) {
  case TRUE_DIV: return infer_binary_float(c);
  case UNKNOWN_DIV:
    return fail(MT_EARG, "div expected rounding_mode to be one of nil, 'trunc', or 'floor' but found '%s'",
                c->arg[2].str);
  default: return infer_binary(c);
  }
}
static bool cpu_div(OpCall *c) {
  static const Formula by_mode[] = {PW_div, PW_trunc_divide, PW_floor_divide};
  c->formula = by_mode[rounding(&c->arg[2])];
  return any_pointwise(c);
}
static void back_div(Grad *g) {
  if (rounding(g_arg(g, 2)) == TRUE_DIV) {
    back_true_div(g);
    return;
  }
  for (int k = 0; k < 2; k++) /* a step function */
    if (g_needs(g, k)) g_set(g, k, op_zeros_like(g_out(g, 0)));
}
OP(div, .schema = "div(Tensor input, Operand other, *, str? rounding_mode=None) -> Tensor", .alias = "divide",
   .doc = "input / other. rounding_mode nil divides truly (integers become float); 'trunc' and 'floor' round and keep "
          "integers.",
   .samples = "f(3,4) p(3,4) | f(3,4) p(4) | f(3) 2 | i(3) 2", .errors = "f(3) f(4)",
   .saves = "input: other; other: input other", .flags = OP_BOTH | OP_INPLACE, .infer = infer_div,
   .kernel = EVERYWHERE(cpu_div), .backward = back_div);
static bool compose_true_divide(OpCall *c) {
  Arg arg[] = {c->arg[0], c->arg[1], ARG_NIL};
  return compose_return(c, 0, c->inplace ? op_run_inplace(&def_div, arg) : op_run(&def_div, arg));
}
OP(true_divide, .schema = "true_divide(Tensor input, Operand other) -> Tensor",
   .doc = "input / other, always as float.", .samples = "f(3,4) p(3,4)", .errors = "f(3) f(4)",
   .flags = OP_BOTH | OP_INPLACE, .compose = compose_true_divide);

OP(floor_divide, .schema = "floor_divide(Operand input, Operand other) -> Tensor",
   .doc = "Division rounded towards minus infinity.", .samples = "f(3,4) p(3,4) | i(3) 2", .errors = "f(3) f(4)",
   .flags = OP_BOTH | OP_INPLACE | OP_NO_GRADIENT, .infer = infer_binary, .kernel = EVERYWHERE(any_pointwise),
   .formula = PW_floor_divide);

/* remainder(a, b) = a - floor(a/b) b */
static void back_remainder(Grad *g) {
  Tensor *gy = g_out(g, 0);
  if (g_needs(g, 0)) g_set(g, 0, gy);
  if (g_needs(g, 1))
    g_set(g, 1, op_neg(op_mul(gy, op_run(&def_floor_divide, (Arg[]){ARG_T(g_in(g, 0)), ARG_T(g_in(g, 1))}))));
}
OP(remainder, .schema = "remainder(Operand input, Operand other) -> Tensor",
   .doc = "Python's %: the result has the divisor's sign.", .samples = "f(3,4) p(3,4) | i(3) 2", .errors = "f(3) f(4)",
   .saves = "other: input other", .flags = OP_BOTH | OP_INPLACE, .infer = infer_binary,
   .kernel = EVERYWHERE(any_pointwise), .formula = PW_remainder, .backward = back_remainder);
static void back_fmod(Grad *g) {
  Tensor *gy = g_out(g, 0);
  if (g_needs(g, 0)) g_set(g, 0, gy);
  if (g_needs(g, 1))
    g_set(g, 1, op_neg(op_mul(gy, op_run(&def_div, (Arg[]){ARG_T(g_in(g, 0)), ARG_T(g_in(g, 1)), ARG_S("trunc")}))));
}
OP(fmod, .schema = "fmod(Tensor input, Operand other) -> Tensor",
   .doc = "C's fmod: the result has the dividend's sign.", .samples = "f(3,4) p(3,4) | i(3) 2", .errors = "f(3) f(4)",
   .saves = "other: input other", .flags = OP_BOTH | OP_INPLACE, .infer = infer_binary,
   .kernel = EVERYWHERE(any_pointwise), .formula = PW_fmod, .backward = back_fmod);

/* pow: the exponent as a number takes the fast cases. d/da = b a^(b-1), d/db = a^b ln a, both 0 where PyTorch says so. */
static bool infer_pow(OpCall *c) {
  if (!infer_binary(c)) return false;
  Tensor *b = in(c, 1);
  if (b->is_scalar && !dtype_is_float(c->compute) && b->dtype == MT_I64 && tensor_scalar(b).i < 0)
    return fail(MT_EARG, "Integers to negative integer powers are not allowed. Use :float() first");
  if (c->compute == MT_BOOL)
    return fail(MT_ENOTIMPL, "\"pow\" not implemented for 'Bool'. Use :long() or :float() first");
  return true;
}
static bool cpu_pow(OpCall *c) {
  Tensor *b = in(c, 1);
  if (!b->is_scalar) return any_pointwise(c);
  PointwiseContext context = {.s = tensor_scalar(b), .has_s = true};
  return any_pointwise_with(c, PW_pow_scalar, &context);
}
static void back_pow(Grad *g) {
  Tensor *gy = g_out(g, 0), *b = g_in(g, 1);
  if (g_needs(g, 0) && b) {
    Tensor *a = g_in(g, 0);
    if (b->numel == 1 &&
        b->is_scalar) { /* the exponent keeps all its digits, which two numbers' difference would not */
      Scalar n = tensor_scalar(b);
      double e = scalar_double(n);
      Tensor *less = n.category == CAT_FLOAT ? op_float(e - 1) : op_int((int64_t)((uint64_t)n.i - 1));
      g_set(g, 0,
            e == 0   ? op_zeros_like(gy)
            : e == 1 ? gy
            : e == 2 ? op_mul(gy, op_mul(a, op_int(2)))
                     : op_mul(gy, op_mul(b, op_pow(a, less))));
    } else {
      Tensor *slope = op_mul(b, op_pow(a, op_sub(b, op_int(1))));
      g_set(g, 0, op_mul(gy, op_where(op_eq(b, op_int(0)), op_float(0), slope)));
    }
  }
  if (g_needs(g, 1)) {
    Tensor *a = g_in(g, 0), *zero = op_and(op_eq(a, op_int(0)), op_ge(b, op_int(0)));
    g_set(g, 1, op_mul(gy, op_where(zero, op_float(0), op_mul(g_result(g, 0), op_log(a)))));
  }
}
OP(pow, .schema = "pow(Operand input, Operand exponent) -> Tensor",
   .doc = "input raised to exponent, broadcast and promoted.",
   .samples = "p(3,4) f(3,4) | f(3,4) 2 | p(3) 0.5 | p(4) -1 | 2.5 f(3)", .errors = "f(3) f(4) | b(3) b(3)",
   .saves = "input: input exponent; exponent: input exponent result", .flags = OP_POINTWISE, .infer = infer_pow,
   .kernel = EVERYWHERE(cpu_pow), .formula = PW_pow, .backward = back_pow);

/* At ties each side gets half; beside a NaN neither loses. */
static void back_extremum(Grad *g, Tensor *(*loses)(Tensor *, Tensor *)) {
  Tensor *gy = g_out(g, 0), *a = g_in(g, 0), *b = g_in(g, 1), *half = op_scale(gy, 0.5), *tie = op_eq(a, b),
         *zero = op_float(0);
  if (g_needs(g, 0)) g_set(g, 0, op_where(tie, half, op_where(loses(a, b), zero, gy)));
  if (g_needs(g, 1)) g_set(g, 1, op_where(tie, half, op_where(loses(b, a), zero, gy)));
}
static void back_maximum(Grad *g) { back_extremum(g, op_lt); }
static void back_minimum(Grad *g) { back_extremum(g, op_gt); }
OP(maximum, .schema = "maximum(Tensor input, Tensor other) -> Tensor", .doc = "The larger of both; NaN wins.",
   .samples = "f(3,4) f(3,4) | f(3,4) f(4) | i(3) i(3)", .errors = "f(3) f(4)",
   .saves = "input: input other; other: input other", .flags = OP_BOTH | OP_INTO, .infer = infer_binary,
   .kernel = EVERYWHERE(any_pointwise), .formula = PW_maximum, .backward = back_maximum);
OP(minimum, .schema = "minimum(Tensor input, Tensor other) -> Tensor", .doc = "The smaller of both; NaN wins.",
   .samples = "f(3,4) f(3,4) | f(3,4) f(4) | i(3) i(3)", .errors = "f(3) f(4)",
   .saves = "input: input other; other: input other", .flags = OP_BOTH | OP_INTO, .infer = infer_binary,
   .kernel = EVERYWHERE(any_pointwise), .formula = PW_minimum, .backward = back_minimum);

/* atan2(a, b): da = b/(a²+b²), db = -a/(a²+b²) */
static void back_atan2(Grad *g) {
  Tensor *a = g_in(g, 0), *b = g_in(g, 1), *scaled = op_div(g_out(g, 0), op_add(op_mul(a, a), op_mul(b, b)));
  if (g_needs(g, 0)) g_set(g, 0, op_mul(scaled, b));
  if (g_needs(g, 1)) g_set(g, 1, op_neg(op_mul(scaled, a)));
}
OP(atan2, .schema = "atan2(Tensor input, Tensor other) -> Tensor", .alias = "arctan2",
   .doc = "Angle of the point (other, input) in radians.", .samples = "f(3,4) p(3,4)", .errors = "f(3) f(4)",
   .saves = "input: input other; other: input other", .flags = OP_POINTWISE, .infer = infer_binary_float,
   .kernel = EVERYWHERE(any_pointwise), .formula = PW_atan2, .backward = back_atan2);

/* Steps: in place their results are float, and the gradient of both sides is zero. */
static void back_compare(Grad *g) {
  for (int k = 0; k < 2; k++)
    if (g_needs(g, k)) g_set(g, k, op_zeros_like(g_out(g, 0)));
}
#define TO_BOOL(id, type, also, what, more)                                                                           \
  OP(id, .schema = #id "(Tensor input, " type " other) -> Tensor", .alias = also, .doc = what, .errors = "f(3) f(4)", \
     .samples = "f(3,4) f(3,4) | i(3) i(3) | b(3) b(3)" more, .flags = OP_BOTH | OP_INPLACE, .infer = infer_compare,  \
     .kernel = EVERYWHERE(any_pointwise), .formula = PW_##id, .backward = back_compare)
#define COMPARE(id, also, what) TO_BOOL(id, "Operand", also, what, " | f(3) 0")
#define LOGIC(id, what) TO_BOOL(id, "Tensor", NULL, what, "")
COMPARE(eq, NULL, "Element by element input == other, as bool.");
COMPARE(ne, "not_equal", "Element by element input ~= other, as bool.");
COMPARE(lt, "less", "Element by element input < other, as bool.");
COMPARE(le, "less_equal", "Element by element input <= other, as bool.");
COMPARE(gt, "greater", "Element by element input > other, as bool.");
COMPARE(ge, "greater_equal", "Element by element input >= other, as bool.");
LOGIC(logical_and, "Both are non-zero, as bool.");
LOGIC(logical_or, "One of both is non-zero, as bool.");
LOGIC(logical_xor, "Exactly one of both is non-zero, as bool.");

static bool infer_bitwise(OpCall *c) {
  if (!infer_binary(c)) return false;
  return !dtype_is_float(c->compute) ||
         fail(MT_ENOTIMPL, "\"%s_cpu\" not implemented for '%s': it works on integers and bool", c->def->info->name,
              dtype_info[c->compute].type_name);
}
#define BITWISE(id, formula_id, what)                                                                  \
  OP(id, .schema = #id "(Operand input, Operand other) -> Tensor", .doc = what, .errors = "f(3) f(3)", \
     .samples = "i(3) i(3) | i(3) 1", .flags = OP_POINTWISE | OP_NO_GRADIENT, .infer = infer_bitwise,  \
     .kernel = EVERYWHERE(any_pointwise), .formula = formula_id)
BITWISE(bitwise_and, PW_bitwise_and, "Bits set in both; logical and for bool.");
BITWISE(bitwise_or, PW_bitwise_or, "Bits set in one of both; logical or for bool.");
BITWISE(bitwise_xor, PW_bitwise_xor, "Bits set in exactly one of both; logical xor for bool.");
BITWISE(bitwise_left_shift, PW_lshift, "input shifted left by other bits.");
BITWISE(bitwise_right_shift, PW_rshift, "input shifted right by other bits, keeping the sign.");

static bool infer_where(OpCall *c) {
  OutMeta *m = &c->meta[0];
  if (in(c, 0)->dtype != MT_BOOL && in(c, 0)->dtype != MT_U8)
    return fail(MT_EARG,
                "where expected condition to be a boolean tensor, but got a tensor with dtype %s. Compare first "
                "(x:gt(0)) or use :bool()",
                dtype_info[in(c, 0)->dtype].type_name);
  m->ndim = 0;
  for (int k = 0; k < 3; k++)
    if (!shape_broadcast(&m->ndim, m->shape, in(c, k)->ndim, in(c, k)->shape)) return false;
  c->compute = m->dtype = promote_tensors(2, (Tensor *[]){in(c, 1), in(c, 2)}, default_dtype());
  return true;
}
static void back_where(Grad *g) {
  Tensor *gy = g_out(g, 0), *condition = g_in(g, 0);
  if (g_needs(g, 1)) g_set(g, 1, op_where(condition, gy, op_float(0)));
  if (g_needs(g, 2)) g_set(g, 2, op_where(condition, op_float(0), gy));
}
OP(where, .schema = "where(Tensor condition, Operand input, Operand other) -> Tensor",
   .doc = "input where condition holds, else other; all three broadcast.",
   .samples = "b(3,4) f(3,4) f(4) | b(3) 1.5 f(3)", .errors = "f(3) f(3) f(3)",
   .saves = "input: condition; other: condition", .flags = OP_FUNCTION, .infer = infer_where,
   .kernel = EVERYWHERE(any_pointwise), .formula = PW_where, .backward = back_where);

/* input + value * a * b and input + value * a / b */
static void back_addcmul(Grad *g) {
  Tensor *gy = g_out(g, 0), *scaled = times(gy, g_arg(g, 3)->number);
  if (g_needs(g, 0)) g_set(g, 0, gy);
  if (g_needs(g, 1)) g_set(g, 1, op_mul(scaled, g_in(g, 2)));
  if (g_needs(g, 2)) g_set(g, 2, op_mul(scaled, g_in(g, 1)));
}
static void back_addcdiv(Grad *g) {
  Tensor *gy = g_out(g, 0), *scaled = times(gy, g_arg(g, 3)->number), *b = g_in(g, 2);
  if (g_needs(g, 0)) g_set(g, 0, gy);
  if (g_needs(g, 1)) g_set(g, 1, op_div(scaled, b));
  if (g_needs(g, 2)) g_set(g, 2, op_neg(op_div(op_mul(scaled, g_in(g, 1)), op_mul(b, b))));
}
static bool infer_addcdiv(OpCall *c) {
  bool whole = !dtype_is_float((DType)in(c, 1)->dtype) && !dtype_is_float((DType)in(c, 2)->dtype);
  return infer_ternary(c) &&
         (!whole ||
          fail(MT_EARG, "Integer division with addcdiv is no longer supported, and in a future  release addcdiv will "
                        "perform a true division of tensor1 and tensor2. Use float tensors (:float())"));
}
OP(addcmul, .schema = "addcmul(Tensor input, Tensor tensor1, Tensor tensor2, *, Number value=1) -> Tensor",
   .doc = "input + value * tensor1 * tensor2.", .samples = "f(3,4) f(3,4) f(4)", .errors = "f(3) f(4) f(3)",
   .saves = "tensor1: tensor2; tensor2: tensor1", .flags = OP_POINTWISE, .infer = infer_ternary,
   .kernel = EVERYWHERE(any_pointwise), .formula = PW_addcmul, .backward = back_addcmul);
OP(addcdiv, .schema = "addcdiv(Tensor input, Tensor tensor1, Tensor tensor2, *, Number value=1) -> Tensor",
   .doc = "input + value * tensor1 / tensor2.", .samples = "f(3,4) f(3,4) p(4)", .errors = "f(3) f(4) f(3)",
   .saves = "tensor1: tensor2; tensor2: tensor1 tensor2", .flags = OP_POINTWISE, .infer = infer_addcdiv,
   .kernel = EVERYWHERE(any_pointwise), .formula = PW_addcdiv, .backward = back_addcdiv);

/* input + weight * (end - input) */
static bool infer_lerp(OpCall *c) {
  static const char *const name[] = {"input", "end", "weight"};
  for (int k = 1; k < 3; k++)
    if (in(c, k)->dtype != in(c, 0)->dtype && !in(c, k)->is_scalar)
      return fail(MT_EARG, "expected dtype %s for `%s` but got dtype %s: convert one of them, for example with :to()",
                  dtype_info[in(c, 0)->dtype].name, name[k], dtype_info[in(c, k)->dtype].name);
  if (!tensor_is_float(in(c, 0)))
    return fail(MT_ENOTIMPL, "\"lerp_kernel_%s\" not implemented for '%s': use :float()",
                in(c, 2)->is_scalar ? "scalar" : "tensor", dtype_info[in(c, 0)->dtype].type_name);
  return infer_ternary(c);
}
static void back_lerp(Grad *g) {
  Tensor *gy = g_out(g, 0), *w = g_in(g, 2);
  if (g_needs(g, 0)) g_set(g, 0, op_sub(gy, op_mul(gy, w))); /* 1 - w of a number would be of the default dtype */
  if (g_needs(g, 1)) g_set(g, 1, op_mul(gy, w));
  if (g_needs(g, 2)) g_set(g, 2, op_mul(gy, op_sub(g_in(g, 1), g_in(g, 0))));
}
OP(lerp, .schema = "lerp(Tensor input, Tensor end, Operand weight) -> Tensor",
   .doc = "Linear interpolation from input to end.", .samples = "f(3,4) f(3,4) 0.3 | f(3) f(3) f(3)",
   .errors = "f(3) f(4) 0.5", .saves = "input: weight; end: weight; weight: input end", .flags = OP_POINTWISE,
   .infer = infer_lerp, .kernel = EVERYWHERE(any_pointwise), .formula = PW_lerp, .backward = back_lerp);

static Tensor *binary(OpDef *def, Tensor *a, Tensor *b) {
  return op_run(def, (Arg[]){ARG_T(a), ARG_T(b), ARG_N(scalar_int(1))});
}
Tensor *op_add(Tensor *a, Tensor *b) { return binary(&def_add, a, b); }
Tensor *op_sub(Tensor *a, Tensor *b) { return binary(&def_sub, a, b); }
Tensor *op_mul(Tensor *a, Tensor *b) { return binary(&def_mul, a, b); }
Tensor *op_div(Tensor *a, Tensor *b) { return op_run(&def_div, (Arg[]){ARG_T(a), ARG_T(b), ARG_NIL}); }
Tensor *op_pow(Tensor *a, Tensor *b) { return binary(&def_pow, a, b); }
Tensor *op_scale(Tensor *a, double factor) { return op_mul(a, op_float(factor)); }
Tensor *op_eq(Tensor *a, Tensor *b) { return binary(&def_eq, a, b); }
Tensor *op_ne(Tensor *a, Tensor *b) { return binary(&def_ne, a, b); }
Tensor *op_lt(Tensor *a, Tensor *b) { return binary(&def_lt, a, b); }
Tensor *op_le(Tensor *a, Tensor *b) { return binary(&def_le, a, b); }
Tensor *op_gt(Tensor *a, Tensor *b) { return binary(&def_gt, a, b); }
Tensor *op_ge(Tensor *a, Tensor *b) { return binary(&def_ge, a, b); }
Tensor *op_and(Tensor *a, Tensor *b) { return binary(&def_logical_and, a, b); }
Tensor *op_where(Tensor *condition, Tensor *a, Tensor *b) {
  return op_run(&def_where, (Arg[]){ARG_T(condition), ARG_T(a), ARG_T(b)});
}
