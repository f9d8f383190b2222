/* Statistics: sums and means that pass over NaN, quantiles, covariance, both extremes at once, limited norms. */
#include "cpu/kernels.h"
#include "ops/reduce.h"
#include <math.h>
#include <string.h>

extern OpDef def_amax, def_amin, def_any, def_ceil, def_clamp, def_clone, def_diagonal, def_floor, def_isnan, def_lerp;
extern OpDef def_norm, def_round, def_sort, def_sum;

static Tensor *unary(OpDef *def, Tensor *t) { return op_run(def, (Arg[]){ARG_T(t)}); }
static const char *type_word(const Tensor *t) { return dtype_info[t->dtype].type_name; }
/* The value of a 0-dim result. */
static double value_of(Tensor *t) { return t ? scalar_double(tensor_scalar(t)) : 0; }

/* --- both extremes --- */

static bool compose_aminmax(OpCall *c) {
  Tensor *t = in(c, 0);
  const Arg *dim = &c->arg[1];
  Reduced r;
  if (!reduced_by(t, dim, TYPE_DIM, c->arg[2].i, &r)) return false;
  for (int d = 0; d < t->ndim && dim->given; d++)
    if (r.reduced[d] && t->shape[d] == 0)
      return fail(MT_EINDEX, "aminmax: Expected reduction dim %d to have non-zero size: the tensor has shape %s", d + 1,
                  shape_text(t->ndim, t->shape));
  if (t->numel == 0 && !dim->given)
    return fail(MT_EARG,
                "aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity. Its shape "
                "is %s",
                shape_text(t->ndim, t->shape));
  Arg arg[] = {ARG_T(t), ARG_NIL, c->arg[2]};
  if (dim->given) arg[1] = (Arg)ARG_INTS(&dim->i, 1);
  return compose_return(c, 0, op_run(&def_amin, arg)) && compose_return(c, 1, op_run(&def_amax, arg));
}
OP(aminmax, .schema = "aminmax(Tensor input, *, Dim? dim=None, bool keepdim=False) -> (Tensor min, Tensor max)",
   .doc = "The least and the largest element of all or along dim. NaN wins; gradients are shared out among equals.",
   .samples = "f(2,3) | f(2,3) dim=1 | f(2,3) dim=-1 keepdim=true | i(4) | b(3) | f()",
   .errors = "f(0) | f(0,3) dim=1 | f(3) dim=2", .flags = OP_BOTH, .compose = compose_aminmax);

/* --- sums and means without NaN --- */

/* 0 in place of NaN. */
static Tensor *numbers_of(Tensor *t) {
  return t && tensor_is_float(t) ? op_where(unary(&def_isnan, t), op_float(0), t) : t;
}
static Tensor *nansum(const OpCall *c) {
  Tensor *t = in(c, 0);
  /* Integers and bool are cast by sum itself; a float first loses its NaN, which no integer can hold. */
  return op_run(&def_sum, (Arg[]){ARG_T(numbers_of(t)), c->arg[1], c->arg[2], c->arg[3]});
}
static bool compose_nansum(OpCall *c) { return compose_return(c, 0, nansum(c)); }
OP(nansum, .schema = "nansum(Tensor input, Dims? dim=None, bool keepdim=False, *, dtype? dtype=None) -> Tensor",
   .doc = "Sum of the elements that are not NaN, of all or over the given dims. Integers and bool give int64; dtype "
          "converts first.",
   .samples = "f(2,3) | f(2,3) d1 | f(2,3,4) {1,3} keepdim=true | i(2,3) d-1 | b(4) | f() | f(0,3) d1",
   .errors = "f(2,3) d3 | f(2,3) {1,1}", .flags = OP_BOTH, .compose = compose_nansum);

static bool compose_nanmean(OpCall *c) {
  Tensor *t = in(c, 0);
  DType d = arg_dtype(c, 3, (DType)t->dtype);
  if (!tensor_is_float(t))
    return fail(MT_ENOTIMPL,
                "nanmean(): expected input to have floating point or complex dtype but got %s. Use :float():nanmean()",
                type_word(t));
  if (!dtype_is_float(d))
    return fail(MT_EARG,
                "nanmean(): could not infer output dtype. Optional dtype must be either a floating point or complex "
                "dtype. Got: %s",
                dtype_info[d].type_name);
  Tensor *count = op_run(&def_sum, (Arg[]){ARG_T(op_not(unary(&def_isnan, t))), c->arg[1], c->arg[2], ARG_NIL});
  return compose_return(c, 0, op_div(nansum(c), count));
}
OP(nanmean, .schema = "nanmean(Tensor input, Dims? dim=None, bool keepdim=False, *, dtype? dtype=None) -> Tensor",
   .doc = "Mean of the elements that are not NaN, of all or over the given dims. Integers are refused.",
   .samples = "f(2,3) | f(2,3) d1 | f(2,3,4) {1,3} keepdim=true | f(2,3) dtype='float64' | f()",
   .errors = "i(2,3) | b(2) | f(2,3) d3 | f(2) dtype='int64'", .flags = OP_BOTH, .compose = compose_nanmean);

/* --- quantiles --- */

/* Ranks, from 0 and fractional, of the quantiles q among the n elements of each line of x; they have the shape of x with
 * q in place of the last dim. Where NaN is not passed over it takes the rank of the last element, which is it. */
static Tensor *ranks_of(Tensor *x, Tensor *q, bool pass_over) {
  Tensor *nan = unary(&def_isnan, op_detach(x));
  int64_t last = -1;
  if (!nan) return NULL;
  if (!pass_over) {
    Tensor *any = op_run(&def_any, (Arg[]){ARG_T(nan), ARG_INTS(&last, 1), ARG_I(1)});
    Tensor *end = op_float((double)(x->shape[x->ndim - 1] - 1));
    return op_where(any, end, op_mul(q, end));
  }
  Tensor *count = op_cast(op_sum_dim(op_not(nan), -1, true), (DType)x->dtype);
  Tensor *ranks = op_mul(q, op_sub(count, op_int(1)));
  return op_where(op_lt(ranks, op_int(0)), op_float(0), ranks);
}

/* The elements of sorted at whole ranks. */
static Tensor *at_rank(Tensor *sorted, Tensor *ranks) {
  return op_gather(sorted, -1, op_add(op_cast(ranks, MT_I64), op_int(1)));
}

static Tensor *quantile_lines(Tensor *x, Tensor *q, const char *how, bool pass_over) {
  Tensor *sorted[MAX_OUTS];
  Tensor *ranks = ranks_of(x, q, pass_over);
  if (!ranks || !op_run_many(&def_sort, (Arg[]){ARG_T(x), ARG_I(-1), ARG_I(0), ARG_I(0)}, sorted)) return NULL;
  if (strcmp(how, "lower") == 0) return at_rank(sorted[0], unary(&def_floor, ranks));
  if (strcmp(how, "higher") == 0) return at_rank(sorted[0], unary(&def_ceil, ranks));
  if (strcmp(how, "nearest") == 0) return at_rank(sorted[0], op_run(&def_round, (Arg[]){ARG_T(ranks), ARG_I(0)}));
  Tensor *floor = unary(&def_floor, ranks);
  Tensor *weight = strcmp(how, "midpoint") == 0 ? op_float(0.5) : op_sub(ranks, floor);
  Tensor *low = at_rank(sorted[0], floor), *high = at_rank(sorted[0], unary(&def_ceil, ranks));
  return op_run(&def_lerp, (Arg[]){ARG_T(low), ARG_T(high), ARG_T(weight)});
}

static bool check_quantile(const OpCall *c, const Tensor *q) {
  const Tensor *t = in(c, 0);
  const char *name = c->def->info->name, *how = c->arg[4].str;
  static const char *const ways[] = {"linear", "lower", "higher", "midpoint", "nearest"};
  bool known = false;
  for (size_t k = 0; k < sizeof ways / sizeof *ways; k++) known |= strcmp(how, ways[k]) == 0;
  if (!known)
    return fail(MT_EARG,
                "quantile() interpolation must be one of linear, lower, higher, midpoint or nearest, but got %s", how);
  if (t->numel == 0)
    return fail(MT_EARG, "quantile() input tensor must be non-empty: %s has shape %s", c->def->info->param[0].name,
                shape_text(t->ndim, t->shape));
  if (q->ndim > 1)
    return fail(MT_EARG, "quantile() q must be a scalar or 1D tensor, but its shape is %s",
                shape_text(q->ndim, q->shape));
  if (t->dtype != MT_F32 && t->dtype != MT_F64)
    return fail(MT_EARG, "quantile() input tensor must be either float or double dtype, not %s. Use :float():%s()",
                dtype_info[t->dtype].name, name);
  if (q->dtype != t->dtype)
    return fail(MT_EARG, "quantile() q tensor must be same dtype as the input tensor: input is %s, q is %s",
                dtype_info[t->dtype].name, dtype_info[q->dtype].name);
  return true;
}

/* q has x's dtype. Its dim comes first in the result. */
static bool quantile(OpCall *c, Tensor *q, bool pass_over) {
  Tensor *x = in(c, 0);
  const Arg *dim = &c->arg[2];
  bool keep = c->arg[3].i;
  int at = 0, n = x->ndim;
  int64_t shape[MT_MAX_DIMS + 1];
  if (!q || !check_quantile(c, q) || (dim->given && !dim_wrap(dim->i, n, &at))) return false;
  if (n == MT_MAX_DIMS)
    return fail(MT_EARG, "%s needs one dim more than the %d of %s", c->def->info->name, n, tensor_text(x));
  if (dim->given && n > 0) { /* the dim goes last and leaves a 1 behind */
    x = op_transpose(op_unsqueeze(x, -1), at, -1);
  } else {
    for (int d = 0; d < n; d++) shape[d] = 1;
    shape[n] = x->numel;
    x = op_reshape(x, n + 1, shape);
  }
  Tensor *y = quantile_lines(x, op_reshape(q, 1, &q->numel), c->arg[4].str, pass_over);
  y = op_squeeze(op_transpose(op_unsqueeze(y, 0), 0, -1), -1); /* (q, ..., 1) to (q, ...) */
  if (!y) return false;
  if (!keep && n > 0) {
    if (dim->given)
      y = op_squeeze(y, at + 1);
    else
      y = op_reshape(y, 1, &q->numel);
  }
  if (q->ndim == 0) y = op_squeeze(y, 0);
  return compose_return(c, 0, y);
}
static bool quantile_number(OpCall *c, bool pass_over) {
  double q = scalar_double(c->arg[1].number);
  const Tensor *t = in(c, 0);
  if (!(q >= 0 && q <= 1)) return fail(MT_EARG, "quantile() q must be in the range [0, 1] but got %g", q);
  return quantile(c, op_full((DType)t->dtype, 0, NULL, tensor_device(t), scalar_float(q)), pass_over);
}
static bool quantile_tensor(OpCall *c, bool pass_over) {
  Tensor *q = in(c, 1);
  if (!check_quantile(c, q)) return false;
  if (q->numel > 0) { /* a NaN is both */
    Arg arg[] = {ARG_T(op_detach(q)), ARG_NIL, ARG_I(0)};
    double low = value_of(op_run(&def_amin, arg)), high = value_of(op_run(&def_amax, arg));
    if (failed()) return false;
    if (!(low >= 0 && high <= 1))
      return fail(MT_EARG, "quantile() q values must be in the range [0, 1], but are from %g to %g", low, high);
  }
  return quantile(c, q, pass_over);
}
static bool compose_quantile(OpCall *c) { return quantile_number(c, false); }
static bool compose_quantile_tensor(OpCall *c) { return quantile_tensor(c, false); }
static bool compose_nanquantile(OpCall *c) { return quantile_number(c, true); }
static bool compose_nanquantile_tensor(OpCall *c) { return quantile_tensor(c, true); }
#define QUANTILE(id, what)                                                                                        \
  OP(id,                                                                                                          \
     .schema = #id "(Tensor input, float q, Dim? dim=None, bool keepdim=False, *, str "                           \
                   "interpolation='linear') -> Tensor",                                                           \
     .doc = what " q is in [0, 1]; a rank between two elements is interpolated: linear, lower, higher, midpoint " \
                 "or nearest. float32 and float64.",                                                              \
     .samples = "f(3,4) 0.3 | f(3,4) 0.5 d1 | f(2,3) 1 d-1 keepdim=true | f(5) 0.4 interpolation='lower' | "      \
                "f(5) 0.4 interpolation='midpoint' | f() 0.2",                                                    \
     .errors = "f(3) 1.5 | f(0) 0.5 | i(3) 0.5 | f(3) 0.5 d2 | f(3) 0.5 interpolation='abc'", .flags = OP_BOTH,   \
     .compose = compose_##id);                                                                                    \
  OP(id##_tensor,                                                                                                 \
     .schema = #id "(Tensor input, Tensor q, Dim? dim=None, bool keepdim=False, *, str "                          \
                   "interpolation='linear') -> Tensor",                                                           \
     .doc = what " One for each element of q, which has input's dtype; they come in a first dim of their own.",   \
     .samples = "f(3,4) u(2) | f(3,4) u(3) d1 | f(2,3) u(1) d-1 keepdim=true | f(2,3) u() keepdim=true | "        \
                "f(7) u(2) interpolation='higher' | f(7) u(2) interpolation='nearest'",                           \
     .errors = "f(3) f(2,2) | i(3) u(2) | f(3) i(2) | f(3) u(2) d2", .flags = OP_BOTH,                            \
     .compose = compose_##id##_tensor)
QUANTILE(quantile, "The value below which that share of the elements lies, of all or along dim; NaN if there is any.");
QUANTILE(nanquantile, "The value below which that share of the elements that are not NaN lies, of all or along dim.");

/* --- covariance --- */

static bool check_weights(const char *which, Tensor *w, int64_t observations, bool whole) {
  if (w->ndim > 1)
    return fail(MT_EARG, "cov(): expected %s to have one or fewer dimensions but got %s with %d dimensions", which,
                which, w->ndim);
  if (whole ? !dtype_is_integral((DType)w->dtype) : !tensor_is_float(w))
    return fail(MT_EARG, "cov(): expected %s to have %s dtype but got %s with %s dtype", which,
                whole ? "integral" : "floating point", which, type_word(w));
  if (w->numel != observations)
    return fail(MT_EARG,
                "cov(): expected %s to have the same numel as there are observations in the input but got %lld != %lld",
                which, (long long)w->numel, (long long)observations);
  if (w->numel > 0 && value_of(op_run(&def_amin, (Arg[]){ARG_T(op_detach(w)), ARG_NIL, ARG_I(0)})) < 0)
    return fail(MT_EARG, "cov(): %s cannot be negative", which);
  return !failed();
}

/* Rows are variables, columns observations. */
static Tensor *covariance(Tensor *x, int64_t correction, Tensor *fweights, Tensor *aweights) {
  if (x->ndim > 2) {
    fail(MT_EARG, "cov(): expected input to have two or fewer dimensions but got an input with %d dimensions: %s",
         x->ndim, shape_text(x->ndim, x->shape));
    return NULL;
  }
  if (x->dtype == MT_BOOL) {
    fail(MT_ENOTIMPL, "cov(): bool dtype is not supported for input. Use :float() first");
    return NULL;
  }
  if (x->ndim < 2) x = op_reshape(x, 2, (int64_t[]){1, x->numel});
  if (!x) return NULL;
  int64_t observations = x->shape[1];
  if (fweights && !check_weights("fweights", fweights, observations, true)) return NULL;
  if (aweights && !check_weights("aweights", aweights, observations, false)) return NULL;
  Tensor *w = fweights && aweights ? op_mul(fweights, aweights) : fweights ? fweights : aweights;
  Tensor *total = w ? op_sum(w) : op_int(observations);
  if (!total) return NULL;
  if (w && value_of(total) == 0) {
    fail(MT_EARG, "cov(): weights sum to zero, can't be normalized: there are %lld observations",
         (long long)observations);
    return NULL;
  }
  Tensor *mean = op_div(op_sum_dim(w ? op_mul(x, w) : x, 1, true), total), *degrees;
  if (w && aweights && correction != 0)
    degrees = op_sub(total, op_div(op_mul(op_int(correction), op_sum(op_mul(w, aweights))), total));
  else
    degrees = op_sub(total, op_int(correction));
  if (degrees && value_of(degrees) <= 0) degrees = op_zeros_like(degrees);
  x = op_sub(x, mean);
  Tensor *y = op_div(op_matmul(x, op_transpose(w ? op_mul(x, w) : x, 0, 1)), degrees);
  return y && y->numel == 1 ? op_reshape(y, 0, NULL) : y;
}
static bool compose_cov(OpCall *c) {
  Tensor *f = c->arg[2].given ? in(c, 2) : NULL, *a = c->arg[3].given ? in(c, 3) : NULL;
  return compose_return(c, 0, covariance(in(c, 0), c->arg[1].i, f, a));
}
OP(cov, .schema = "cov(Tensor input, *, int correction=1, Tensor? fweights=None, Tensor? aweights=None) -> Tensor",
   .doc = "Covariances of the rows of input over its columns, the observations: (n, m) to (n, n), one row to a number. "
          "fweights counts each observation (integers), aweights weighs it (floats); correction is taken off their "
          "number.",
   .samples = "f(3,5) | f(4) | f(3,5) correction=0 | f(2,3) aweights=p(3) | i(2,4)",
   .errors = "f(2,2,2) | b(3) | f(2,3) aweights=p(2) | f(2,3) fweights=p(3)", .flags = OP_BOTH, .compose = compose_cov);

static bool compose_corrcoef(OpCall *c) {
  Tensor *x = in(c, 0);
  if (x->ndim > 2)
    return fail(MT_EARG,
                "corrcoef(): expected input to have two or fewer dimensions but got an input with %d dimensions",
                x->ndim);
  Tensor *y = covariance(x, 1, NULL, NULL);
  if (!y || y->ndim == 0) return compose_return(c, 0, op_div(y, y));
  Tensor *deviation = op_sqrt(op_run(&def_diagonal, (Arg[]){ARG_T(y), ARG_I(0), ARG_I(0), ARG_I(1)}));
  y = op_div(op_div(y, op_unsqueeze(deviation, 1)), op_unsqueeze(deviation, 0));
  Arg limits[] = {ARG_T(y), ARG_N(scalar_int(-1)), ARG_N(scalar_int(1))};
  return compose_return(c, 0, op_run(&def_clamp, limits));
}
OP(corrcoef, .schema = "corrcoef(Tensor input) -> Tensor",
   .doc = "Pearson's correlations of the rows of input over its columns: (n, m) to (n, n), one row to a number.",
   .samples = "f(3,5) | f(4) | i(2,4)", .errors = "f(2,2,2) | b(3)", .flags = OP_BOTH, .compose = compose_corrcoef);

/* --- norms --- */

static bool compose_dist(OpCall *c) {
  Tensor *difference = op_sub(in(c, 0), in(c, 1));
  if (difference && !tensor_is_float(difference))
    return fail(MT_ENOTIMPL,
                "norm(): input dtype should be either floating point or complex. Got %s instead. Use "
                ":float() first",
                type_word(difference));
  return compose_return(c, 0, op_run(&def_norm, (Arg[]){ARG_T(difference), c->arg[2], ARG_NIL, ARG_I(0), ARG_NIL}));
}
OP(dist, .schema = "dist(Tensor input, Tensor other, Number p=2) -> Tensor",
   .doc = "The p-norm of input - other, which broadcast.", .samples = "f(3,4) f(3,4) | f(3,4) f(4) 1 | f(3) f(3) 3",
   .errors = "f(3) f(4) | i(3) i(3)", .flags = OP_BOTH, .compose = compose_dist);

static bool compose_renorm(OpCall *c) {
  Tensor *x = c->inplace ? unary(&def_clone, in(c, 0)) : in(c, 0);
  double p = scalar_double(c->arg[1].number), most = scalar_double(c->arg[3].number);
  int64_t dims[MT_MAX_DIMS];
  int at, n = 0;
  if (!x || !dim_wrap(c->arg[2].i, x->ndim, &at)) return false;
  if (!(p > 0)) return fail(MT_EARG, "renorm: non-positive-norm not supported: p is %g", p);
  if (!(most >= 0)) return fail(MT_EARG, "renorm: expected maxnorm to be >= 0 but got %g", most);
  if (x->ndim < 2)
    return fail(MT_EARG, "renorm: input needs at least 2 dimensions, got %d dimensions: %s", x->ndim,
                shape_text(x->ndim, x->shape));
  for (int d = 0; d < x->ndim; d++)
    if (d != at) dims[n++] = d;
  DType wide = x->dtype == MT_F64 || !tensor_is_float(x) ? MT_NO_DTYPE : MT_F32;
  Tensor *norm = op_run(&def_norm, (Arg[]){ARG_T(x), c->arg[1], ARG_INTS(dims, n), ARG_I(1), ARG_DTYPE(wide)});
  Tensor *factor =
      op_where(op_gt(norm, op_float(most)), op_div(op_float(most), op_add(norm, op_float(1e-7))), op_float(1));
  return compose_return(c, 0, op_mul(x, factor ? op_cast(factor, (DType)x->dtype) : NULL));
}
OP(renorm, .schema = "renorm(Tensor input, Number p, Dim dim, Number maxnorm) -> Tensor",
   .doc = "input with each slice along dim scaled down to a p-norm of at most maxnorm.",
   .samples = "f(3,4) 2 d1 1 | f(3,4) 1 d2 0.5 | f(2,3,2) 3 d-1 100",
   .errors = "f(3) 2 d1 1 | f(2,2) 0 d1 1 | f(2,2) 2 d1 -1 | f(2,2) 2 d3 1 | i(2,2) 2 d1 1",
   .flags = OP_BOTH | OP_INPLACE, .compose = compose_renorm);
