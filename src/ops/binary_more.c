/* Pointwise operators of two operands continued: logarithms of sums, signs, neighbours, divisors. */
#include "ops/elementwise.h"

extern OpDef def_isnan, def_sigmoid, def_xlogy, def_xlog1py;
static Tensor *two(OpDef *def, Tensor *a, Tensor *b) { return op_run(def, (Arg[]){ARG_T(a), ARG_T(b)}); }

static bool infer_two_floats(OpCall *c) { return infer_binary(c) && refuse_integers(c); }

/* d log(e^a + e^b) / da = 1 / (1 + e^(b - a)), and so with 2 for e */
static void back_sum_of_powers(Grad *g, double log_base) {
  Tensor *gy = g_out(g, 0), *apart = op_sub(g_in(g, 0), g_in(g, 1));
  if (log_base != 1) apart = op_scale(apart, log_base);
  if (g_needs(g, 0)) g_set(g, 0, op_mul(gy, unary(&def_sigmoid, apart)));
  if (g_needs(g, 1)) g_set(g, 1, op_mul(gy, unary(&def_sigmoid, op_neg(apart))));
}
static void back_logaddexp(Grad *g) { back_sum_of_powers(g, 1); }
static void back_logaddexp2(Grad *g) { back_sum_of_powers(g, 0.6931471805599453); }
OP(logaddexp, .schema = "logaddexp(Tensor input, Tensor other) -> Tensor",
   .doc = "log(exp(input) + exp(other)) without overflow.", .samples = "f(3,4) f(3,4) | f(3,4) f(4) | f() f(0)",
   .errors = "f(3) f(4) | i(3) i(3)", .saves = "input: input other; other: input other", .flags = OP_BOTH | OP_INTO,
   .infer = infer_two_floats, .kernel = EVERYWHERE(any_pointwise), .formula = PW_logaddexp, .backward = back_logaddexp);
OP(logaddexp2, .schema = "logaddexp2(Tensor input, Tensor other) -> Tensor",
   .doc = "log2(2^input + 2^other) without overflow.", .samples = "f(3,4) f(3,4) | f(3,4) f(4)",
   .errors = "f(3) f(4) | i(3) i(3)", .saves = "input: input other; other: input other", .flags = OP_BOTH | OP_INTO,
   .infer = infer_two_floats, .kernel = EVERYWHERE(any_pointwise), .formula = PW_logaddexp2,
   .backward = back_logaddexp2);

/* x log(y): 0 where x is 0, also in the gradient where log is none. `past`: y + past is the logarithm's argument. */
static void back_x_log(Grad *g, OpDef *def, int past) {
  Tensor *gy = g_out(g, 0), *x = g_in(g, 0), *y = g_in(g, 1);
  if (g_needs(g, 0)) {
    Tensor *none = op_and(op_eq(x, op_int(0)), op_le(y, op_int(-past)));
    g_set(g, 0, op_where(none, op_float(0), two(def, gy, y)));
  }
  if (g_needs(g, 1)) g_set(g, 1, op_div(op_mul(gy, x), past ? op_add(y, op_int(past)) : y));
}
static void back_xlogy(Grad *g) { back_x_log(g, &def_xlogy, 0); }
static void back_xlog1py(Grad *g) { back_x_log(g, &def_xlog1py, 1); }
OP(xlogy, .schema = "xlogy(Operand input, Operand other) -> Tensor",
   .doc = "input log(other), 0 where input is 0 and NaN where other is NaN. Integers become the default float dtype.",
   .samples = "f(3,4) p(3,4) | f(3,4) p(4) | f(3) 2 | 2 p(3)", .errors = "f(3) f(4)",
   .saves = "input: input other; other: input other", .flags = OP_POINTWISE, .infer = infer_binary_float,
   .kernel = EVERYWHERE(any_pointwise), .formula = PW_xlogy, .backward = back_xlogy);
OP(xlog1py, .schema = "xlog1py(Operand input, Operand other) -> Tensor",
   .doc =
       "input log(1 + other), 0 where input is 0 and NaN where other is NaN. Integers become the default float dtype.",
   .samples = "f(3,4) p(3,4) | f(3,4) p(4) | f(3) 2 | 2 p(3)", .errors = "f(3) f(4)",
   .saves = "input: input other; other: input other", .flags = OP_HIDDEN | OP_INTO, .infer = infer_binary_float,
   .kernel = EVERYWHERE(any_pointwise), .formula = PW_xlog1py, .backward = back_xlog1py);

static void back_hypot(Grad *g) {
  for (int k = 0; k < 2; k++) /* the quotient first: it is at most 1, where 1 / result may overflow */
    if (g_needs(g, k)) g_set(g, k, gy_times(g, op_div(g_in(g, k), g_result(g, 0))));
}
OP(hypot, .schema = "hypot(Tensor input, Tensor other) -> Tensor",
   .doc = "Length of the hypotenuse, sqrt(input^2 + other^2), without overflow.",
   .samples = "f(3,4) f(3,4) | f(3,4) f(4)", .errors = "f(3) f(4) | i(3) i(3)",
   .saves = "input: input result; other: other result", .flags = OP_POINTWISE, .infer = infer_two_floats,
   .kernel = EVERYWHERE(any_pointwise), .formula = PW_hypot, .backward = back_hypot);

/* The slope is 1 or -1, 0 where input is 0: a constant, so it is taken out of the graph. */
static void back_copysign(Grad *g) {
  if (g_needs(g, 0)) {
    Tensor *x = op_detach(g_in(g, 0)), *y = op_detach(g_result(g, 0));
    g_set(g, 0, gy_times(g, op_where(op_eq(x, op_int(0)), op_float(0), op_div(y, x))));
  }
  if (g_needs(g, 1)) g_set(g, 1, op_zeros_like(g_out(g, 0)));
}
OP(copysign, .schema = "copysign(Tensor input, Operand other) -> Tensor",
   .doc = "input's magnitude with other's sign, -0 and NaN included. Integers become the default float dtype.",
   .samples = "f(3,4) f(3,4) | f(3,4) f(4) | f(3) -2", .errors = "f(3) f(4)",
   .saves = "input: input result; other:", .flags = OP_POINTWISE, .infer = infer_binary_float,
   .kernel = EVERYWHERE(any_pointwise), .formula = PW_copysign, .backward = back_copysign);

/* Like maximum and minimum, but a number wins over NaN. Ties halve the gradient. */
static void back_ignoring_nan(Grad *g, Tensor *(*wins)(Tensor *, Tensor *)) {
  Tensor *gy = g_out(g, 0), *a = g_in(g, 0), *b = g_in(g, 1), *zero = op_float(0);
  Tensor *tie = op_eq(a, b), *half = op_scale(gy, 0.5), *missing = unary(&def_isnan, b), *first = wins(a, b);
  if (g_needs(g, 0)) g_set(g, 0, op_where(tie, half, op_where(first, gy, op_where(missing, gy, zero))));
  if (g_needs(g, 1)) g_set(g, 1, op_where(tie, half, op_where(first, zero, op_where(missing, zero, gy))));
}
static void back_fmax(Grad *g) { back_ignoring_nan(g, op_gt); }
static void back_fmin(Grad *g) { back_ignoring_nan(g, op_lt); }
OP(fmax, .schema = "fmax(Tensor input, Tensor other) -> Tensor", .doc = "The larger of both; a number wins over NaN.",
   .samples = "f(3,4) f(3,4) | f(3,4) f(4) | i(3) i(3) | b(3) b(3)", .errors = "f(3) f(4)",
   .saves = "input: input other; other: input other", .flags = OP_BOTH | OP_INTO, .infer = infer_binary,
   .kernel = EVERYWHERE(any_pointwise), .formula = PW_fmax, .backward = back_fmax);
OP(fmin, .schema = "fmin(Tensor input, Tensor other) -> Tensor", .doc = "The smaller of both; a number wins over NaN.",
   .samples = "f(3,4) f(3,4) | f(3,4) f(4) | i(3) i(3) | b(3) b(3)", .errors = "f(3) f(4)",
   .saves = "input: input other; other: input other", .flags = OP_BOTH | OP_INTO, .infer = infer_binary,
   .kernel = EVERYWHERE(any_pointwise), .formula = PW_fmin, .backward = back_fmin);

static void back_nextafter(Grad *g) {
  if (g_needs(g, 0)) g_set(g, 0, op_where(op_eq(g_in(g, 0), g_in(g, 1)), op_float(0), g_out(g, 0)));
  if (g_needs(g, 1)) g_set(g, 1, op_zeros_like(g_out(g, 0)));
}
OP(nextafter, .schema = "nextafter(Tensor input, Tensor other) -> Tensor",
   .doc = "The dtype's next number after input on the way to other.", .samples = "f(3,4) f(3,4) | f(3,4) f(4)",
   .errors = "f(3) f(4) | i(3) i(3)", .saves = "input: input other; other:", .flags = OP_POINTWISE,
   .infer = infer_two_floats, .kernel = EVERYWHERE(any_pointwise), .formula = PW_nextafter, .backward = back_nextafter);

static bool infer_heaviside(OpCall *c) {
  if (in(c, 0)->dtype != in(c, 1)->dtype)
    return fail(
        MT_EARG,
        "heaviside is not yet implemented for tensors with different dtypes. input is %s and values %s: convert "
        "one with :to()",
        dtype_info[in(c, 0)->dtype].name, dtype_info[in(c, 1)->dtype].name);
  return infer_binary(c);
}
OP(heaviside, .schema = "heaviside(Tensor input, Tensor values) -> Tensor",
   .doc = "0 where input is below 0, values where it is 0, 1 above. Both have the same dtype.",
   .samples = "f(3,4) f(3,4) | f(3,4) f(4) | i(3) i(3) | b(3) b(3)", .errors = "f(3) f(4) | f(3) i(3)",
   .flags = OP_POINTWISE | OP_NO_GRADIENT, .infer = infer_heaviside, .kernel = EVERYWHERE(any_pointwise),
   .formula = PW_heaviside);

static bool infer_divisors(OpCall *c) {
  return infer_binary(c) &&
         (dtype_is_integral(c->compute) ||
          fail(MT_ENOTIMPL, "\"%s_cpu\" not implemented for '%s': it works on integers, use :long() first",
               c->def->info->name, dtype_info[c->compute].type_name));
}
#define DIVISORS(id, what)                                                                                 \
  OP(id, .schema = #id "(Tensor input, Tensor other) -> Tensor", .doc = what,                              \
     .samples = "i(3,4) i(3,4) | i(3,4) i(4) | i(0) i(0)", .errors = "i(3) i(4) | f(3) f(3) | b(3) b(3)",  \
     .flags = OP_POINTWISE | OP_NO_GRADIENT, .infer = infer_divisors, .kernel = EVERYWHERE(any_pointwise), \
     .formula = PW_##id)
DIVISORS(gcd, "Greatest common divisor of integers, not negative; with 0 the other's magnitude.");
DIVISORS(lcm, "Least common multiple of integers, not negative; 0 with 0.");

/* Whole exponents scale input exactly, in its dtype (16-bit floats go through float32, which holds every exponent that
 * matters); fractions make it a product with a power of 2. */
static bool infer_ldexp_whole(OpCall *c) {
  if (!infer_binary(c)) return false;
  c->compute = c->meta[0].dtype = (DType)in(c, 0)->dtype;
  return true;
}
static void back_ldexp_whole(Grad *g) {
  extern OpDef def_ldexp_whole;
  g_set(g, 0, two(&def_ldexp_whole, g_out(g, 0), g_in(g, 1)));
}
OP(ldexp_whole, .schema = "ldexp_whole(Tensor input, Tensor other) -> Tensor",
   .doc = "input 2^other, in input's float dtype.", .samples = "f(3,4) i(3,4) | f(3,4) i(4)", .errors = "f(3) i(4)",
   .saves = "input: other", .flags = OP_HIDDEN, .infer = infer_ldexp_whole, .kernel = EVERYWHERE(any_pointwise),
   .formula = PW_ldexp, .backward = back_ldexp_whole);
static bool compose_ldexp(OpCall *c) {
  Tensor *x = to_read(c), *e = in(c, 1);
  if (e->dtype == MT_BOOL && tensor_is_float(in(c, 0)))
    return fail(MT_ENOTIMPL, "\"ldexp_cpu\" not implemented for 'Bool': other holds exponents, use other:int()");
  if (c->inplace && !tensor_is_float(in(c, 0)))
    return fail(MT_EARG, "ldexp can't be cast to the desired output type %s: use the form without _, or :float() first",
                dtype_info[in(c, 0)->dtype].type_name);
  if (tensor_is_float(e) || !tensor_is_float(in(c, 0))) return compose_return(c, 0, op_mul(x, op_pow(op_float(2), e)));
  DType d = (DType)x->dtype;
  Tensor *y = two(&def_ldexp_whole, dtype_size(d) == 2 ? op_cast(x, MT_F32) : x, e);
  return compose_return(c, 0, y ? op_cast(y, d) : NULL);
}
OP(ldexp, .schema = "ldexp(Tensor input, Tensor other) -> Tensor",
   .doc = "input 2^other. Integers become the default float dtype.",
   .samples = "f(3,4) i(3,4) | f(3,4) f(4) | i(3) i(3)", .errors = "f(3) f(4)", .flags = OP_BOTH | OP_INPLACE,
   .compose = compose_ldexp);

/* Numbers stay numbers, which take pow's fast cases. */
static Tensor *in_double(Tensor *t) {
  if (!t || !t->is_scalar) return op_cast(t, MT_F64);
  return op_float(scalar_double(tensor_scalar(t)));
}
static bool compose_float_power(OpCall *c) {
  if (c->inplace && in(c, 0)->dtype != MT_F64)
    return fail(MT_EARG,
                "the base given to float_power_ has dtype %s but the operation's result requires dtype Double. Use "
                "float_power without _",
                dtype_info[in(c, 0)->dtype].type_name);
  Tensor *base = in_double(to_read(c)), *exponent = in_double(in(c, 1));
  if (base && base->is_scalar) base = op_cast(base, MT_F64);
  return compose_return(c, 0, op_pow(base, exponent));
}
OP(float_power, .schema = "float_power(Operand input, Operand exponent) -> Tensor",
   .doc = "input raised to exponent, computed in float64.", .samples = "p(3,4) f(3,4) | i(3) 2 | 2 f(3) | f(3,4) 2",
   .errors = "f(3) f(4)", .flags = OP_BOTH | OP_INPLACE, .compose = compose_float_power);
