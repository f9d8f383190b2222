/* Reductions built on squares, powers and logarithms: variance, norms, logsumexp; and running sums and products. */
#include "base/alloc.h"
#include "cpu/device_kernels.h"
#include "ops/reduce.h"
#include <math.h>
#include <string.h>

extern OpDef def_abs, def_all, def_amax, def_cat, def_isnan, def_logical_or, def_mean, def_sum;

/* var, std and their pairs with the mean have three forms: (dim, *, correction, keepdim), (unbiased), (dim, unbiased,
 * keepdim). */
typedef struct {
  int dim; /* argument with the dims, 0: all */
  double correction;
  bool keep;
} Moments;

static Moments moments_of(const OpDef *def, const Arg *arg) {
  const Param *param = def->info->param;
  if (param[1].type == TYPE_BOOL) return (Moments){0, arg[1].i ? 1 : 0, false};
  if (param[2].type == TYPE_BOOL) return (Moments){1, arg[2].i ? 1 : 0, arg[3].i};
  return (Moments){1, arg[2].given ? scalar_double(arg[2].number) : 1, arg[3].i};
}
static bool infer_moments(OpCall *c) {
  DType d = (DType)in(c, 0)->dtype;
  Moments m = moments_of(c->def, c->arg);
  if (!dtype_is_float(d))
    return fail(MT_EARG, "%s only support floating point and complex dtypes: got %s. Use :float():%s()",
                c->outs > 1 ? c->def->info->name : "std and var", dtype_info[d].name, c->def->info->name);
  for (int k = 0; k < c->outs; k++)
    if (!infer_reduced(c, k, d, m.dim, m.keep)) return false;
  return true;
}
static bool run_moments(OpCall *c, Finish finish) {
  Moments m = moments_of(c->def, c->arg);
  return reduce_call(c, m.dim, (DType)in(c, 0)->dtype,
                     (Reduction){.fold = FOLD_MOMENTS, .finish = finish, .p = m.correction});
}
static bool run_var(OpCall *c) { return run_moments(c, FINISH_VAR); }
static bool run_std(OpCall *c) { return run_moments(c, FINISH_STD); }

/* The mean with argument `at`'s dims kept. */
static Tensor *kept_mean(const Grad *g, Tensor *x, int at) {
  return op_run(&def_mean, (Arg[]){ARG_T(x), at ? *g_arg(g, at) : (Arg)ARG_NIL, ARG_I(1), ARG_NIL});
}
/* d var = 2 / (n - correction) (x - mean); d std = d var / (2 std), 0 where std is 0; d mean = 1 / n */
static void back_moments(Grad *g, bool root) {
  Moments m = moments_of(g->node->def, g->node->arg);
  Tensor *gy = g_out(g, 0), *gx = NULL, *mean_gy = g->node->outs > 1 ? g_out(g, 1) : NULL;
  double count = (double)reduced_count(g, m.dim);
  if (gy) {
    Tensor *x = g_in(g, 0), *y = root ? g_result(g, 0) : NULL;
    if (root) gy = op_where(op_eq(y, op_int(0)), op_float(0), op_div(gy, op_scale(y, 2)));
    gx = op_mul(spread(g, op_scale(gy, 2 / (count - m.correction)), m.dim, m.keep), op_sub(x, kept_mean(g, x, m.dim)));
  }
  if (mean_gy) {
    Tensor *share = spread(g, op_div(mean_gy, op_float(count)), m.dim, m.keep);
    gx = gx ? op_add(gx, share) : share;
  }
  g_set(g, 0, gx);
}
static void back_var(Grad *g) { back_moments(g, false); }
static void back_std(Grad *g) { back_moments(g, true); }

#define MOMENT_FORM(id, name, parameters, returns, needs, where, kernel_fn, back, what, inputs) \
  OP(id, .schema = name "(Tensor input, " parameters ") -> " returns,                           \
     .doc = what " `correction` is taken off the number of "                                    \
                 "elements (1 unless given; unbiased = false means 0).",                        \
     .samples = inputs, .errors = "i(3) | b(2)", .saves = "input: input" needs, .flags = where, \
     .infer = infer_moments, .kernel = EVERYWHERE(kernel_fn), .backward = back);
#define MOMENT(id, returns, needs, where, kernel_fn, back, what)                                                    \
  MOMENT_FORM(id, #id, "Dims? dim=None, *, Number? correction=1, bool keepdim=False", returns, needs, where,        \
              kernel_fn, back, what, "f(3,4) | f(3,4) d1 | f(2,3,4) {1,3} keepdim=true | f(3,4) correction=0")      \
  MOMENT_FORM(id##_all, #id, "bool unbiased", returns, needs, where, kernel_fn, back, what, "f(3,4) false")         \
  MOMENT_FORM(id##_dim, #id, "Dims? dim, bool unbiased=True, bool keepdim=False", returns, needs, where, kernel_fn, \
              back, what, "f(3,4) d2 false | f(3,4) d1 true true")
MOMENT(var, "Tensor", "", OP_BOTH, run_var, back_var, "Variance of all elements or over the given dims.")
MOMENT(std, "Tensor", " result", OP_BOTH, run_std, back_std,
       "Standard deviation of all elements or over the given dims.")
MOMENT(var_mean, "(Tensor var, Tensor mean)", "", OP_FUNCTION, run_var, back_var, "Variance and mean.")
MOMENT(std_mean, "(Tensor std, Tensor mean)", " result", OP_FUNCTION, run_std, back_std, "Standard deviation and mean.")

/* norm: arguments input, p, dim, keepdim, dtype; p a number or 'fro' */
static double power_of(const OpDef *def, const Arg *p) {
  return def->info->param[1].type == TYPE_STR || !p->given ? 2 : scalar_double(p->number);
}
static Reduction norm_of(double p) {
  Reduction how = {.fold = FOLD_POWERS, .finish = FINISH_POWER, .p = p};
  if (p == 2) how = (Reduction){.fold = FOLD_SQUARES, .finish = FINISH_ROOT};
  if (p == 1) how = (Reduction){.fold = FOLD_ABS_SUM};
  if (p == 0) how = (Reduction){.fold = FOLD_NONZERO};
  if (p == (double)INFINITY) how = (Reduction){.fold = FOLD_ABS_MAX};
  if (p == -(double)INFINITY) how = (Reduction){.fold = FOLD_ABS_MIN};
  return how;
}
static bool infer_norm(OpCall *c) {
  const Tensor *t = in(c, 0);
  const Arg *p = &c->arg[1];
  if (c->def->info->param[1].type == TYPE_STR && strcmp(p->str, "fro") != 0)
    return fail(MT_EARG, "linalg.matrix_norm: Order %s not supported: give 'fro' or a number", p->str);
  if (!dtype_is_float((DType)t->dtype))
    return fail(MT_EARG,
                "linalg.vector_norm: Expected a floating point or complex tensor as input. Got %s. Use :float():norm()",
                dtype_info[t->dtype].type_name);
  DType d = arg_dtype(c, 4, (DType)t->dtype);
  if (!dtype_is_float(d))
    return fail(MT_EARG, "linalg.vector_norm: dtype should be floating point or complex, but got %s",
                dtype_info[d].type_name);
  if (!infer_reduced(c, 0, d, 2, c->arg[3].i)) return false;
  double power = power_of(c->def, p);
  if (t->numel == 0 && (power < 0 || power == (double)INFINITY)) {
    int64_t results = 1;
    for (int k = 0; k < c->meta[0].ndim; k++) results *= c->meta[0].shape[k];
    if (results > 0)
      return fail(
          MT_EARG,
          "linalg.vector_norm cannot compute the %g norm on an empty tensor because the operation does not have an "
          "identity: shape %s",
          power, shape_text(t->ndim, t->shape));
  }
  return true;
}
static bool run_norm(OpCall *c) { return reduce_call(c, 2, c->meta[0].dtype, norm_of(power_of(c->def, &c->arg[1]))); }

static Tensor *absolute(Tensor *t) { return op_run(&def_abs, (Arg[]){ARG_T(t)}); }
/* t, but 0 where `at` is 0. */
static Tensor *zero_where_zero(Tensor *at, Tensor *t) { return op_where(op_eq(at, op_int(0)), op_float(0), t); }

/* The subgradient at 0 is 0, as is that of the 0-norm. */
static void back_norm(Grad *g) {
  double p = power_of(g->node->def, g_arg(g, 1));
  bool keep = g_arg(g, 3)->i;
  Tensor *x = g_in(g, 0);
  if (p == 0) {
    if (x) g_set(g, 0, op_zeros_like(x));
    return;
  }
  Tensor *y = spread(g, g_result(g, 0), 2, keep), *gy = spread(g, g_out(g, 0), 2, keep);
  if (p == 1) {
    g_set(g, 0, op_mul(gy, op_sign(x)));
  } else if (p == 2) {
    g_set(g, 0, op_mul(gy, zero_where_zero(y, op_div(x, y))));
  } else if (isinf(p)) {
    Tensor *nan = op_and(op_run(&def_isnan, (Arg[]){ARG_T(x)}), op_run(&def_isnan, (Arg[]){ARG_T(y)}));
    Tensor *mine = op_run(&def_logical_or, (Arg[]){ARG_T(op_eq(absolute(x), y)), ARG_T(nan)});
    Tensor *count = op_run(&def_sum, (Arg[]){ARG_T(mine), *g_arg(g, 2), ARG_I(1), ARG_NIL});
    g_set(g, 0, op_mul(op_sign(x), op_where(mine, op_div(gy, count), op_float(0))));
  } else {
    Tensor *slope = op_mul(op_sign(x), op_pow(absolute(x), op_float(p - 1)));
    if (p < 1)
      g_set(g, 0, op_mul(op_mul(zero_where_zero(x, slope), gy), op_pow(y, op_float(1 - p))));
    else
      g_set(g, 0, op_mul(slope, zero_where_zero(y, op_div(gy, op_pow(y, op_float(p - 1))))));
  }
}
#define NORM(id, p, what, inputs, wrong)                                                                         \
  OP(id, .schema = "norm(Tensor input, " p ", Dims? dim=None, bool keepdim=False, dtype? dtype=None) -> Tensor", \
     .doc = what " The gradient at 0 is 0.", .samples = inputs, .errors = wrong, .saves = "input: input result", \
     .flags = OP_BOTH, .infer = infer_norm, .kernel = EVERYWHERE(run_norm), .backward = back_norm)
NORM(norm, "Number? p=2",
     "(sum |input|^p)^(1/p) of all elements or over the given dims; p = math.huge is the largest |input|, p = 0 "
     "counts the non-zero ones.",
     "f(3,4) | f(3,4) 1 d1 | f(3,4) 3 | f(2,3,4) 2 {1,3} true", "i(3) | f(2,3) 2 d3");
NORM(norm_named, "str p", "The Frobenius norm: p is 'fro'.", "f(3,4) 'fro' | f(3,4) 'fro' {1,2}", "f(3,4) 'abc'");

/* log(sum(exp(x))), shifted by the maximum, which is a constant to the gradient */
static bool compose_logsumexp(OpCall *c) {
  Tensor *t = op_cast(in(c, 0), tensor_is_float(in(c, 0)) ? (DType)in(c, 0)->dtype : default_dtype());
  const Arg *dim = &c->arg[1];
  if (!t) return false;
  if (t->numel == 0) return compose_return(c, 0, op_log(op_sum_dims(op_exp(t), dim->n, dim->ints, c->arg[2].i)));
  Tensor *most = op_detach(op_run(&def_amax, (Arg[]){ARG_T(t), *dim, ARG_I(1)}));
  Tensor *infinite = op_eq(absolute(most), op_float((double)INFINITY));
  most = op_where(infinite, op_float(0), most);
  Tensor *sum = op_sum_dims(op_exp(op_sub(t, most)), dim->n, dim->ints, c->arg[2].i);
  if (sum && !c->arg[2].i) most = op_reshape(most, sum->ndim, sum->shape);
  return compose_return(c, 0, op_add(op_log(sum), most));
}
OP(logsumexp, .schema = "logsumexp(Tensor input, Dims dim, bool keepdim=False) -> Tensor",
   .doc = "log(sum(exp(input))) over the given dims, without overflow.",
   .samples = "f(3,4) d1 | f(3,4) {1,2} | f(2,3) d2 keepdim=true", .errors = "f(3,4) d3", .flags = OP_BOTH,
   .compose = compose_logsumexp);

/* Running sums and products */
static bool infer_running(OpCall *c) {
  DType d = (DType)in(c, 0)->dtype;
  int dim;
  if (c->inplace && d == MT_BOOL && in(c, 0)->ndim > 0)
    return fail(MT_ENOTIMPL, "\"%s_out_cpu\" not implemented for 'Bool': use the form without _", c->def->info->name);
  d = arg_dtype(c, 2, dtype_is_float(d) || c->inplace ? d : MT_I64);
  return dim_wrap(c->arg[1].i, in(c, 0)->ndim, &dim) && out_shape(c, 0, d, in(c, 0)->ndim, in(c, 0)->shape);
}
static bool scan(OpCall *c, ScanKind kind, Tensor *grad, int dim_at) {
  int dim;
  return dim_wrap(c->arg[dim_at].i, in(c, 0)->ndim, &dim) && any_scan(kind, in(c, 0), grad, dim, c->out[0]);
}
static bool run_cumsum(OpCall *c) { return scan(c, SCAN_SUM, NULL, 1); }
static bool run_cumsum_back(OpCall *c) { return scan(c, SCAN_SUM_BACK, NULL, 1); }
static bool run_cumprod(OpCall *c) { return scan(c, SCAN_PRODUCT, NULL, 1); }
static bool run_cumprod_back(OpCall *c) { return scan(c, SCAN_PRODUCT_BACK, in(c, 1), 2); }

static void back_cumsum(Grad *g);
static void back_cumsum_back(Grad *g);
OP(cumsum, .schema = "cumsum(Tensor input, Dim dim, *, dtype? dtype=None) -> Tensor",
   .doc = "Running sum along dim. Integers and bool give int64; dtype converts first.",
   .samples = "f(3,4) d1 | f(3,4) d-1 | i(4) d1 | f() d1", .errors = "f(3) d2", .flags = OP_BOTH | OP_INPLACE,
   .infer = infer_running, .kernel = EVERYWHERE(run_cumsum), .backward = back_cumsum);
OP(cumsum_back, .schema = "cumsum_back(Tensor input, Dim dim) -> Tensor", .doc = "Running sum from the end.",
   .samples = "f(3,4) d1", .flags = OP_HIDDEN, .infer = infer_same, .kernel = EVERYWHERE(run_cumsum_back),
   .backward = back_cumsum_back);
static void back_cumsum(Grad *g) { g_set(g, 0, op_run(&def_cumsum_back, (Arg[]){ARG_T(g_out(g, 0)), *g_arg(g, 1)})); }
static void back_cumsum_back(Grad *g) {
  g_set(g, 0, op_run(&def_cumsum, (Arg[]){ARG_T(g_out(g, 0)), *g_arg(g, 1), ARG_NIL}));
}

/* cumprod: one pass that zeros do not disturb. For a second derivative the gradient is spelled out as
 * cumsum_back(result * gy) / input, or element by element where an element is zero. */
extern OpDef def_cumprod;
static void back_cumprod(Grad *g);
static bool infer_cumprod_back(OpCall *c) {
  const Tensor *x = in(c, 0), *grad = in(c, 1);
  if (!tensor_is_float(x) || !tensor_same_shape(x, grad))
    return fail(MT_EARG, "cumprod_back expects float tensors of one shape, not %s and %s", tensor_text(x),
                tensor_text(grad));
  return infer_same(c);
}
OP(cumprod_back, .schema = "cumprod_back(Tensor input, Tensor grad, Dim dim) -> Tensor",
   .doc = "The gradient of cumprod at input.", .samples = "f(3,4) f(3,4) d1", .flags = OP_HIDDEN | OP_NO_GRADIENT,
   .infer = infer_cumprod_back, .kernel = EVERYWHERE(run_cumprod_back));
OP(cumprod, .schema = "cumprod(Tensor input, Dim dim, *, dtype? dtype=None) -> Tensor",
   .doc = "Running product along dim. Integers and bool give int64; dtype converts first.",
   .samples = "f(3,4) d1 | f(3,4) d-1 | i(4) d1 | f() d1", .errors = "f(3) d2", .saves = "input: input result",
   .flags = OP_BOTH | OP_INPLACE, .infer = infer_running, .kernel = EVERYWHERE(run_cumprod), .backward = back_cumprod);
/* Element k gets result[k - 1] (gy[k] + sum over j > k of gy[j] times the product of the elements between). */
static Tensor *cumprod_slopes(Tensor *x, Tensor *y, Tensor *gy, int64_t dim) {
  int64_t n = x->shape[dim];
  Tensor **part = mem_alloc(sizeof *part * (size_t)n), *all = NULL;
  if (!part) return NULL;
  for (int64_t k = 0; k < n; k++) {
    Tensor *sum = op_narrow(gy, dim, k, 1);
    if (k + 1 < n) {
      Tensor *between = op_run(&def_cumprod, (Arg[]){ARG_T(op_narrow(x, dim, k + 1, n - k - 1)), ARG_I(dim), ARG_NIL});
      sum = op_add(sum, op_sum_dim(op_mul(op_narrow(gy, dim, k + 1, n - k - 1), between), dim, true));
    }
    part[k] = k ? op_mul(op_narrow(y, dim, k - 1, 1), sum) : sum;
  }
  if (!failed()) all = op_run(&def_cat, (Arg[]){ARG_TENSORS(part, (int32_t)n), ARG_I(dim)});
  mem_free(part);
  return all;
}
static void back_cumprod(Grad *g) {
  Tensor *x = g_in(g, 0), *gy = g_out(g, 0);
  const Arg *dim = g_arg(g, 1);
  if (!grad_enabled() || !x || !gy) {
    g_set(g, 0, op_run(&def_cumprod_back, (Arg[]){ARG_T(op_cast(x, gy ? (DType)gy->dtype : MT_F32)), ARG_T(gy), *dim}));
    return;
  }
  Tensor *smooth = op_run(&def_all, (Arg[]){ARG_T(x), ARG_NIL, ARG_I(0)});
  int d;
  if (smooth && !tensor_scalar(smooth).i && dim_wrap(dim->i, x->ndim, &d)) {
    g_set(g, 0, x->ndim == 0 ? gy : cumprod_slopes(op_cast(x, (DType)gy->dtype), g_result(g, 0), gy, d));
    return;
  }
  Tensor *sum = op_run(&def_cumsum_back, (Arg[]){ARG_T(op_mul(g_result(g, 0), gy)), *dim});
  g_set(g, 0, op_div(sum, x));
}
