/* Special functions: those of torch itself and, hidden, those that only torch.special has. */
#include "ops/elementwise.h"

extern OpDef def_digamma, def_polygamma, def_erfcx, def_i0, def_i0e, def_i1e, def_i1;
#define SQRT_PI 1.7724538509055160
#define SQRT_2PI 2.5066282746310002

/* ---- error function ---- */

static Tensor *exp_of_square(Tensor *t, double factor) { return op_exp(op_scale(squared(t), factor)); }

FLOAT_UNARY(erfc, NULL, "1 - erf(input), accurate where that is small.", ANY, "input: input",
            op_scale(gy_times(g, exp_of_square(g_in(g, 0), -1)), -2 / SQRT_PI));
FLOAT_UNARY(erfinv, NULL, "Inverse of erf: NaN outside of [-1, 1].", FRACTION, "input: result",
            op_scale(gy_times(g, exp_of_square(g_result(g, 0), 1)), SQRT_PI / 2));

#define HIDDEN (OP_HIDDEN | OP_INTO)
FLOAT_FUNCTION(erfcx, NULL, HIDDEN, "exp(input^2) erfc(input), without overflow.", ANY, "input: input result",
               gy_times(g, op_sub(op_scale(op_mul(g_in(g, 0), g_result(g, 0)), 2), op_float(2 / SQRT_PI))));
FLOAT_FUNCTION(ndtr, NULL, HIDDEN, "Distribution function of the standard normal distribution.", ANY, "input: input",
               op_scale(gy_times(g, exp_of_square(g_in(g, 0), -0.5)), 1 / SQRT_2PI));
FLOAT_FUNCTION(log_ndtr, NULL, HIDDEN, "Logarithm of ndtr, accurate far out.", ANY, "input: input",
               op_scale(op_div(g_out(g, 0), unary(&def_erfcx, op_scale(g_in(g, 0), -0.7071067811865476))),
                        2 / SQRT_2PI));
FLOAT_FUNCTION(ndtri, NULL, HIDDEN, "Inverse of ndtr: NaN outside of [0, 1].", FRACTION, "input: result",
               op_scale(gy_times(g, exp_of_square(g_result(g, 0), 0.5)), SQRT_2PI));
FLOAT_FUNCTION(entr, NULL, HIDDEN, "-input log(input), the term of an entropy: 0 at 0, -inf below.", POSITIVE,
               "input: input", gy_times(g, op_neg(op_add(op_log(g_in(g, 0)), op_int(1)))));

/* ---- gamma function ---- */

static Tensor *polygamma(int64_t n, Tensor *t) { return op_run(&def_polygamma, (Arg[]){ARG_T(t), ARG_I(n)}); }

FLOAT_UNARY(lgamma, NULL, "Logarithm of the magnitude of the gamma function.", POSITIVE, "input: input",
            gy_times(g, unary(&def_digamma, g_in(g, 0))));
FLOAT_UNARY(digamma, NULL, "Derivative of lgamma.", POSITIVE, "input: input", gy_times(g, polygamma(1, g_in(g, 0))));

static bool infer_polygamma(OpCall *c) {
  if (c->arg[1].i < 0)
    return fail(MT_ENOTIMPL, "polygamma(n, x) does not support negative n. n is %lld", (long long)c->arg[1].i);
  return infer_float(c);
}
static bool cpu_polygamma(OpCall *c) {
  PointwiseContext context = {.s = scalar_int(c->arg[1].i)};
  return any_pointwise_with(c, PW_polygamma, &context);
}
static void back_polygamma(Grad *g) {
  int64_t n = g_arg(g, 1)->i;
  g_set(g, 0, gy_times(g, polygamma(n < INT64_MAX ? n + 1 : n, g_in(g, 0))));
}
OP(polygamma, .schema = "polygamma(Tensor input, int n) -> Tensor",
   .doc = "The n-th derivative of digamma at input. Integers become the default float dtype.",
   .samples = "p(3,4) 1 | p(3) 0 | p(3) 3 | i(3) 2", .errors = "p(3) -1", .saves = "input: input",
   .flags = OP_METHOD | OP_INPLACE | OP_INTO, .infer = infer_polygamma, .kernel = EVERYWHERE(cpu_polygamma),
   .backward = back_polygamma);
static bool compose_polygamma(OpCall *c) { return compose_return(c, 0, polygamma(c->arg[0].i, in(c, 1))); }
OP(polygamma_of, .schema = "polygamma(int n, Tensor input) -> Tensor",
   .doc = "The n-th derivative of digamma at input. Integers become the default float dtype.",
   .samples = "1 p(3,4) | 2 p(3)", .errors = "-1 p(3)", .flags = OP_FUNCTION, .compose = compose_polygamma);

/* log of the multivariate gamma function: p (p - 1) / 4 log(pi) + sum over j < p of lgamma(input - j / 2) */
static bool compose_mvlgamma(OpCall *c) {
  int64_t p = c->arg[1].i;
  if (p < 1) return fail(MT_EARG, "p has to be greater than or equal to 1: p is %lld", (long long)p);
  if (in(c, 0)->dtype == MT_BOOL)
    return fail(MT_EARG, "The input tensor may not be a boolean tensor. Use :float() first");
  Tensor *t = read_float(to_read(c));
  Tensor *shift = t ? op_full((DType)t->dtype, 1, &p, (Device){MT_CPU, 0}, scalar_int(0)) : NULL;
  if (!shift) return false;
  char *to = tensor_data(shift);
  for (int64_t j = 0; j < p; j++, to += dtype_size((DType)shift->dtype))
    scalar_store(scalar_float(-0.5 * (double)j), (DType)shift->dtype, to);
  extern OpDef def_lgamma;
  Tensor *sum = op_sum_dim(unary(&def_lgamma, op_add(op_unsqueeze(t, -1), op_on(shift, tensor_device(t)))), -1, false);
  double factors = (double)p * ((double)p - 1) / 4;
  return compose_return(c, 0, op_add(sum, op_float(factors * 1.1447298858494002)));
}
OP(mvlgamma, .schema = "mvlgamma(Tensor input, int p) -> Tensor",
   .doc = "Logarithm of the multivariate gamma function of dimension p. Integers become the default float dtype.",
   .samples = "h(3,4) 2 | h() 1 | h(0) 3 | i(3) 2", .errors = "h(3) 0 | h(3) -2", .flags = OP_BOTH | OP_INPLACE,
   .compose = compose_mvlgamma);

/* d zeta(x, q) / dq = -x zeta(x + 1, q); none by x, as in PyTorch */
static void back_zeta(Grad *g) {
  extern OpDef def_zeta;
  if (!g_needs(g, 1)) return;
  Tensor *x = g_in(g, 0);
  Tensor *slope = op_run(&def_zeta, (Arg[]){ARG_T(op_add(x, op_int(1))), ARG_T(g_in(g, 1))});
  g_set(g, 1, gy_times(g, op_neg(op_mul(x, slope))));
}
OP(zeta, .schema = "zeta(Operand input, Operand other) -> Tensor",
   .doc =
       "Hurwitz's zeta function: the sum over k >= 0 of (other + k)^-input. Integers become the default float dtype.",
   .samples = "h(3,4) p(3,4) | 2 p(3)", .errors = "h(3) p(4)", .saves = "other: input other", .flags = HIDDEN,
   .infer = infer_binary_float, .kernel = EVERYWHERE(any_pointwise), .formula = PW_zeta, .backward = back_zeta);

/* ---- modified Bessel functions ---- */

/* i1(x) / x, and around 0, where that is 1/2 and both may be subnormal, from a quotient that stays finite */
static Tensor *per_x(Tensor *y, Tensor *x) {
  Tensor *at_zero = op_lt(squared(x), op_float(0x1p-100));
  return op_where(at_zero, op_float(0.5), op_div(y, op_where(at_zero, op_float(1), x)));
}
FLOAT_UNARY(i0, NULL, "Modified Bessel function of the first kind, order 0.", ANY, "input: input",
            gy_times(g, unary(&def_i1, g_in(g, 0))));
FLOAT_FUNCTION(i1, NULL, HIDDEN, "Modified Bessel function of the first kind, order 1.", ANY, "input: input result",
               gy_times(g, op_sub(unary(&def_i0, g_in(g, 0)), per_x(g_result(g, 0), g_in(g, 0)))));
FLOAT_FUNCTION(i0e, NULL, HIDDEN, "exp(-|input|) i0(input).", ANY, "input: input result",
               gy_times(g, op_sub(unary(&def_i1e, g_in(g, 0)), op_mul(op_sign(g_in(g, 0)), g_result(g, 0)))));
FLOAT_FUNCTION(i1e, NULL, HIDDEN, "exp(-|input|) i1(input).", ANY, "input: input result",
               gy_times(g, op_sub(op_sub(unary(&def_i0e, g_in(g, 0)), per_x(g_result(g, 0), g_in(g, 0))),
                                  op_mul(op_sign(g_in(g, 0)), g_result(g, 0)))));
