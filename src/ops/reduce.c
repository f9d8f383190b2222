/* Reductions: sums, means, products, extremes and their positions, truth. Integers are summed and multiplied as int64. */
#include "ops/reduce.h"
#include "cpu/copy_tensor.h"
#include "cpu/device_kernels.h"
#include <string.h>

extern OpDef def_logical_or, def_maximum, def_minimum;

bool reduced_by(const Tensor *t, const Arg *dim, ParamType type, bool keep, Reduced *r) {
  int n = !dim || !dim->given ? -1 : type == TYPE_DIM ? 1 : dim->n > 0 ? dim->n : -1;
  return reduced_shape(t, n,
                       n > 0 && type == TYPE_DIM ? &dim->i
                       : n > 0                   ? dim->ints
                                                 : NULL,
                       keep, r->reduced, &r->ndim, r->shape);
}

static ParamType type_at(const OpDef *def, int at) { return (ParamType)def->info->param[at].type; }

bool infer_reduced(OpCall *c, int k, DType dtype, int at, bool keep) {
  Reduced r;
  return reduced_by(in(c, 0), at ? &c->arg[at] : NULL, type_at(c->def, at), keep, &r) &&
         out_shape(c, k, dtype, r.ndim, r.shape);
}

static bool fold(OpCall *c, const bool *reduced, DType as, Reduction how) {
  Tensor *t = in(c, 0), *cast = NULL;
  how.as = as;
  if (as != t->dtype && as != lane_dtype(lane_type(as))) { /* its rounding must be seen */
    t = cast = tensor_cast(t, as);
    if (!t) return false;
  }
  bool good = any_reduce(t, reduced, how, c->out[0], c->outs > 1 ? c->out[1] : NULL);
  tensor_release(cast);
  return good;
}

bool reduce_call(OpCall *c, int at, DType as, Reduction how) {
  Reduced r;
  return reduced_by(in(c, 0), at ? &c->arg[at] : NULL, type_at(c->def, at), false, &r) && fold(c, r.reduced, as, how);
}

Tensor *spread(const Grad *g, Tensor *t, int at, bool keep) {
  const EdgeMeta *m = g_meta(g, 0);
  const Arg *dim = at ? g_arg(g, at) : NULL;
  if (t && t->ndim > 0 && t->ndim != m->ndim && !keep) {
    Tensor shaped = {.ndim = m->ndim};
    Reduced r;
    memcpy(shaped.shape, m->shape, sizeof(int64_t) * m->ndim);
    if (!reduced_by(&shaped, dim, type_at(g->node->def, at), true, &r)) return NULL;
    t = op_reshape(t, r.ndim, r.shape);
  }
  return op_expand(t, m->ndim, m->shape);
}

int64_t reduced_count(const Grad *g, int at) {
  const EdgeMeta *m = g_meta(g, 0);
  Tensor shaped = {.ndim = m->ndim};
  Reduced r;
  memcpy(shaped.shape, m->shape, sizeof(int64_t) * m->ndim);
  if (!reduced_by(&shaped, at ? g_arg(g, at) : NULL, type_at(g->node->def, at), true, &r)) return 0;
  int64_t count = 1;
  for (int d = 0; d < m->ndim; d++) count *= r.reduced[d] ? m->shape[d] : 1;
  return count;
}

/* sum */
static DType summed_dtype(const OpCall *c, int at) {
  DType d = (DType)in(c, 0)->dtype;
  return arg_dtype(c, at, dtype_is_float(d) ? d : MT_I64);
}
static bool infer_sum(OpCall *c) { return infer_reduced(c, 0, summed_dtype(c, 3), 1, c->arg[2].i); }
static bool run_sum(OpCall *c) { return reduce_call(c, 1, c->meta[0].dtype, (Reduction){.fold = FOLD_SUM}); }
static void back_sum(Grad *g) { g_set(g, 0, spread(g, g_out(g, 0), 1, g_arg(g, 2)->i)); }
OP(sum, .schema = "sum(Tensor input, Dims? dim=None, bool keepdim=False, *, dtype? dtype=None) -> Tensor",
   .doc = "Sum of all elements, or over the given dims. Integers and bool give int64; dtype converts first. float32 is "
          "summed "
          "in blocks, so that the error does not grow with the size.",
   .samples = "f(2,3) | f(2,3) d1 | f(2,3,4) {1,3} keepdim=true | i(2,3) d-1 | b(4) | f() | f(0,3) d1",
   .errors = "f(2,3) d3 | f(2,3) {1,1}", .flags = OP_BOTH, .infer = infer_sum, .kernel = EVERYWHERE(run_sum),
   .backward = back_sum);

/* sum_to: the reverse of broadcasting */
static void summed_dims(const Tensor *t, const Arg *size, bool *reduced) {
  int lead = t->ndim - size->n;
  for (int d = 0; d < t->ndim; d++) reduced[d] = d < lead || (size->ints[d - lead] == 1 && t->shape[d] != 1);
}
static bool infer_sum_to(OpCall *c) {
  const Tensor *t = in(c, 0);
  const Arg *size = &c->arg[1];
  bool good = size->n <= t->ndim;
  for (int d = 0; good && d < size->n; d++)
    good = size->ints[d] == 1 || size->ints[d] == t->shape[t->ndim - size->n + d];
  if (!good)
    return fail(MT_EARG, "size %s is not expandable to size %s", shape_text(size->n, size->ints),
                shape_text(t->ndim, t->shape));
  return out_shape(c, 0, (DType)t->dtype, size->n, size->ints);
}
static bool run_sum_to(OpCall *c) {
  bool reduced[MT_MAX_DIMS];
  summed_dims(in(c, 0), &c->arg[1], reduced);
  return fold(c, reduced, c->meta[0].dtype, (Reduction){.fold = FOLD_SUM});
}
static void back_sum_to(Grad *g) { g_set(g, 0, op_expand(g_out(g, 0), g_meta(g, 0)->ndim, g_meta(g, 0)->shape)); }
OP(sum_to, .schema = "sum_to(Tensor input, Size size) -> Tensor",
   .doc = "Sums over broadcast dims, so that the result has that size.",
   .samples = "f(2,3) {3} | f(2,3) {2,1} | f(2,3) {}", .errors = "f(2,3) {2}", .flags = OP_HIDDEN,
   .infer = infer_sum_to, .kernel = EVERYWHERE(run_sum_to), .backward = back_sum_to);

/* mean */
static bool infer_mean(OpCall *c) {
  const char *which = c->arg[3].given ? "Optional" : "Input";
  DType d = arg_dtype(c, 3, (DType)in(c, 0)->dtype);
  if (!dtype_is_float(d))
    return fail(
        MT_EARG,
        "mean(): could not infer output dtype. %s dtype must be either a floating point or complex dtype. Got: %s. "
        "Use :float():mean(), or dtype = torch.float32",
        which, dtype_info[d].type_name);
  return infer_reduced(c, 0, d, 1, c->arg[2].i);
}
static bool run_mean(OpCall *c) {
  return reduce_call(c, 1, c->meta[0].dtype, (Reduction){.fold = FOLD_SUM, .finish = FINISH_MEAN});
}
static void back_mean(Grad *g) {
  g_set(g, 0, spread(g, op_div(g_out(g, 0), op_float((double)reduced_count(g, 1))), 1, g_arg(g, 2)->i));
}
OP(mean, .schema = "mean(Tensor input, Dims? dim=None, bool keepdim=False, *, dtype? dtype=None) -> Tensor",
   .doc = "Mean of all elements, or over the given dims. Integers are refused: convert them, or give dtype.",
   .samples = "f(2,3) | f(2,3) d1 | f(2,3,4) {1,3} keepdim=true | i(2,3) dtype='float32' | f()",
   .errors = "i(2,3) | b(2) | f(2,3) d3", .flags = OP_BOTH, .infer = infer_mean, .kernel = EVERYWHERE(run_mean),
   .backward = back_mean);

/* prod: the gradient is gy times the product of the others, which zeros do not disturb */
static bool infer_prod(OpCall *c) { return infer_reduced(c, 0, summed_dtype(c, 3), 1, c->arg[2].i); }
static bool run_prod(OpCall *c) { return reduce_call(c, 1, c->meta[0].dtype, (Reduction){.fold = FOLD_PROD}); }
static void back_product_of_others(Grad *g);
static bool run_product_of_others(OpCall *c) {
  int dim;
  return dim_wrap(c->arg[1].i, in(c, 0)->ndim, &dim) && any_scan(SCAN_OTHERS, in(c, 0), NULL, dim, c->out[0]);
}
OP(product_of_others, .schema = "product_of_others(Tensor input, Dim dim) -> Tensor",
   .doc = "Along dim, the product of all elements but the one in place.", .samples = "f(3,4) d1 | f(3,4) d2",
   .saves = "input: input", .flags = OP_HIDDEN, .infer = infer_same, .kernel = EVERYWHERE(run_product_of_others),
   .backward = back_product_of_others);
static Tensor *others(Tensor *t, int64_t dim) { return op_run(&def_product_of_others, (Arg[]){ARG_T(t), ARG_I(dim)}); }

/* True on the diagonal. */
static Tensor *diagonal(int64_t n, Device device) {
  Tensor *t = failed() ? NULL : pool_add(tensor_new(MT_BOOL, 2, (int64_t[]){n, n}, (Device){MT_CPU, 0}));
  if (!t) return NULL;
  char *mask = tensor_data(t);
  memset(mask, 0, (size_t)t->numel);
  for (int64_t i = 0; i < n; i++) mask[i * n + i] = 1;
  return op_on(t, device);
}
/* With dim last: row i of `factors` holds what output i multiplies, 1 in its own place. */
static void back_product_of_others(Grad *g) {
  int64_t dim = g_arg(g, 1)->i, shape[MT_MAX_DIMS];
  Tensor *x = g_in(g, 0), *gy = g_out(g, 0);
  if (!x || x->ndim == 0) {
    if (x) g_set(g, 0, op_zeros_like(gy));
    return;
  }
  if (x->ndim == MT_MAX_DIMS) {
    fail(MT_EARG, "the second derivative of prod needs one dim more than the %d of %s", MT_MAX_DIMS, tensor_text(x));
    return;
  }
  x = op_transpose(x, dim, -1);
  int n = x ? x->ndim : 0;
  if (n == 0) return;
  memcpy(shape, x->shape, sizeof(int64_t) * (size_t)n);
  shape[n] = shape[n - 1];
  Tensor *own = diagonal(shape[n], tensor_device(x));
  Tensor *factors = op_where(own, op_float(1), op_expand(op_unsqueeze(x, -2), n + 1, shape));
  Tensor *each = op_mul(op_unsqueeze(op_transpose(gy, dim, -1), -1), op_where(own, op_float(0), others(factors, -1)));
  g_set(g, 0, op_transpose(op_sum_dim(each, -2, false), dim, -1));
}
static void back_prod(Grad *g) {
  const Arg *dim = g_arg(g, 1);
  const EdgeMeta *m = g_meta(g, 0);
  Tensor *x = g_in(g, 0), *slope = NULL;
  if (!x) return;
  if (dim->given)
    slope = others(x, dim->i);
  else
    slope = op_reshape(others(op_reshape(x, 1, &x->numel), 0), m->ndim, m->shape);
  g_set(g, 0, op_mul(spread(g, g_out(g, 0), 1, g_arg(g, 2)->i), slope));
}
OP(prod, .schema = "prod(Tensor input, Dim? dim=None, bool keepdim=False, *, dtype? dtype=None) -> Tensor",
   .doc = "Product of all elements, or along dim. Integers and bool give int64; dtype converts first.",
   .samples = "f(2,3) | f(2,3) d1 | f(2,3) d-1 keepdim=true | i(2,3) | f() | f(0)", .errors = "f(2,3) d3",
   .saves = "input: input", .flags = OP_BOTH, .infer = infer_prod, .kernel = EVERYWHERE(run_prod),
   .backward = back_prod);

/* Extremes */
static bool refuse_empty(const OpCall *c, int at, const bool *reduced) {
  const Tensor *t = in(c, 0);
  const char *name = c->def->info->name;
  if (t->numel > 0) return true;
  if (!at || !c->arg[at].given || (type_at(c->def, at) == TYPE_DIMS && c->arg[at].n == 0))
    return fail(
        MT_EARG,
        "%s(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the "
        "'dim' argument.",
        name);
  for (int d = 0; d < t->ndim; d++)
    if (reduced[d] && t->shape[d] == 0)
      return fail(MT_EINDEX, "%s(): Expected reduction dim %d to have non-zero size: the tensor has shape %s", name,
                  d + 1, shape_text(t->ndim, t->shape));
  return true;
}
static bool infer_extreme(OpCall *c, int at, bool keep) {
  Reduced r;
  return reduced_by(in(c, 0), at ? &c->arg[at] : NULL, type_at(c->def, at), keep, &r) &&
         refuse_empty(c, at, r.reduced) && out_shape(c, 0, (DType)in(c, 0)->dtype, r.ndim, r.shape);
}
bool infer_picked(OpCall *c, int64_t dim, bool keep, int values, int index) {
  const Tensor *t = in(c, 0);
  Reduced r;
  if (!reduced_shape(t, 1, &dim, keep, r.reduced, &r.ndim, r.shape)) return false;
  for (int d = 0; d < t->ndim; d++)
    if (r.reduced[d] && t->shape[d] == 0)
      return fail(MT_EINDEX, "%s(): Expected reduction dim %d to have non-zero size: the tensor has shape %s",
                  c->def->info->name, d + 1, shape_text(t->ndim, t->shape));
  return (values < 0 || out_shape(c, values, (DType)t->dtype, r.ndim, r.shape)) &&
         out_shape(c, index, MT_I64, r.ndim, r.shape);
}

void back_evenly(Grad *g, Tensor *result, int at, bool keep) {
  Tensor *x = g_in(g, 0), *y = spread(g, result, at, keep), *mine = op_eq(x, y);
  if (x && tensor_is_float(x) && !at) { /* with dims NaN equals nothing, and the gradient is NaN, as in PyTorch */
    Tensor *nan = op_and(op_ne(x, x), op_ne(y, y));
    mine = op_run(&def_logical_or, (Arg[]){ARG_T(mine), ARG_T(nan)});
  }
  const Arg *dim = at ? g_arg(g, at) : NULL;
  Tensor *count = op_run(&def_sum, (Arg[]){ARG_T(mine), dim ? *dim : (Arg)ARG_NIL, ARG_I(keep), ARG_NIL});
  Tensor *gy = op_where(mine, spread(g, g_out(g, 0), at, keep), op_float(0));
  g_set(g, 0, op_div(gy, at ? spread(g, count, at, keep) : count));
}

static bool infer_whole_extreme(OpCall *c) { return infer_extreme(c, 0, false); }
static bool infer_dims_extreme(OpCall *c) { return infer_extreme(c, 1, c->arg[2].i); }
static bool infer_dim_extreme(OpCall *c) { return infer_picked(c, c->arg[1].i, c->arg[2].i, 0, 1); }
static void back_whole_extreme(Grad *g) { back_evenly(g, g_result(g, 0), 0, false); }
static void back_dims_extreme(Grad *g) { back_evenly(g, g_result(g, 0), 1, g_arg(g, 2)->i); }
static void back_dim_extreme(Grad *g) { g_set(g, 0, picked_back(g, g_result(g, 1), g_arg(g, 1)->i, !g_arg(g, 2)->i)); }

#define EXTREME(id, arg_id, a_id, a_name, other, which, least, word)                                                  \
  static bool run_##id(OpCall *c) { return reduce_call(c, 0, c->meta[0].dtype, (Reduction){.fold = which}); }         \
  static bool run_##a_id(OpCall *c) { return reduce_call(c, 1, c->meta[0].dtype, (Reduction){.fold = which}); }       \
  static bool run_##id##_dim(OpCall *c) {                                                                             \
    int dim;                                                                                                          \
    return dim_wrap(c->arg[1].i, in(c, 0)->ndim, &dim) && any_extreme(in(c, 0), dim, least, c->out[0], c->out[1]);    \
  }                                                                                                                   \
  static bool compose_##id##_other(OpCall *c) {                                                                       \
    return compose_return(c, 0, op_run(&other, (Arg[]){c->arg[0], c->arg[1]}));                                       \
  }                                                                                                                   \
  OP(id, .schema = #id "(Tensor input) -> Tensor",                                                                    \
     .doc = "The " word " element. NaN wins; the gradient is shared out among equals.",                               \
     .samples = "f(2,3) | i(4) | b(3) | f()", .errors = "f(0)", .saves = "input: input result", .flags = OP_BOTH,     \
     .infer = infer_whole_extreme, .kernel = EVERYWHERE(run_##id), .backward = back_whole_extreme);                   \
  OP(id##_dim, .schema = #id "(Tensor input, Dim dim, bool keepdim=False) -> (Tensor values, Index indices)",         \
     .doc = "The " word " elements along dim and their positions, the first one of equals. The gradient goes there.", \
     .samples = "f(2,3) d1 | f(2,3,4) d2 keepdim=true | i(4) d1 | f() d1", .errors = "f(2,3) d3 | f(0,3) d1",         \
     .saves = "input: result2", .flags = OP_BOTH, .infer = infer_dim_extreme, .kernel = EVERYWHERE(run_##id##_dim),   \
     .backward = back_dim_extreme);                                                                                   \
  OP(id##_other, .schema = #id "(Tensor input, Tensor other) -> Tensor", .doc = "Element by element, as " a_name ".", \
     .samples = "f(2,3) f(2,3) | f(2,3) f(3)", .errors = "f(3) f(4)", .flags = OP_BOTH,                               \
     .compose = compose_##id##_other);                                                                                \
  OP(a_id, .schema = #a_id "(Tensor input, Dims? dim=None, bool keepdim=False) -> Tensor",                            \
     .doc = "The " word " element of all, or over the given dims. The gradient is shared out among equals.",          \
     .samples = "f(2,3) | f(2,3) d1 | f(2,3,4) {1,3} keepdim=true | i(4)", .errors = "f(2,3) d3 | f(0)",              \
     .saves = "input: input result", .flags = OP_BOTH, .infer = infer_dims_extreme, .kernel = EVERYWHERE(run_##a_id), \
     .backward = back_dims_extreme);
EXTREME(max, argmax, amax, "maximum", def_maximum, FOLD_MAX, false, "largest")
EXTREME(min, argmin, amin, "minimum", def_minimum, FOLD_MIN, true, "least")

static bool infer_arg(OpCall *c) {
  Reduced r;
  if (in(c, 0)->dtype == MT_BOOL)
    return fail(MT_ENOTIMPL, "%s(): does not support bool input. Use :int() first", c->def->info->name);
  return reduced_by(in(c, 0), &c->arg[1], TYPE_DIM, c->arg[2].i, &r) && refuse_empty(c, 1, r.reduced) &&
         out_shape(c, 0, MT_I64, r.ndim, r.shape);
}
static bool run_arg(OpCall *c, bool least) {
  int dim = -1;
  if (c->arg[1].given && !dim_wrap(c->arg[1].i, in(c, 0)->ndim, &dim)) return false;
  return any_extreme(in(c, 0), dim, least, NULL, c->out[0]);
}
static bool run_argmax(OpCall *c) { return run_arg(c, false); }
static bool run_argmin(OpCall *c) { return run_arg(c, true); }
#define POSITION(id, word)                                                                                  \
  OP(id, .schema = #id "(Tensor input, Dim? dim=None, bool keepdim=False) -> Index",                        \
     .doc = "Position, from 1, of the " word                                                                \
            " element along dim, or among all elements in row order. The first of equals; NaN wins.",       \
     .samples = "f(2,3) | f(2,3) d1 | f(2,3) d-1 keepdim=true | i(4)", .errors = "f(2,3) d3 | f(0) | b(3)", \
     .flags = OP_BOTH | OP_NO_GRADIENT, .infer = infer_arg, .kernel = EVERYWHERE(run_##id))
POSITION(argmax, "largest");
POSITION(argmin, "least");

/* all, any, count_nonzero: an empty list of dims reduces none */
static bool truth_dims(OpCall *c, bool keep, Reduced *r) {
  const Arg *dim = &c->arg[1];
  return reduced_shape(in(c, 0), dim->given ? dim->n : -1, dim->given ? dim->ints : NULL, keep, r->reduced, &r->ndim,
                       r->shape);
}
static bool infer_truth(OpCall *c) {
  Reduced r;
  return truth_dims(c, c->arg[2].i, &r) && out_shape(c, 0, in(c, 0)->dtype == MT_U8 ? MT_U8 : MT_BOOL, r.ndim, r.shape);
}
static bool run_truth(OpCall *c, Finish finish) {
  Reduced r;
  return truth_dims(c, false, &r) &&
         any_reduce(in(c, 0), r.reduced, (Reduction){FOLD_NONZERO, finish, 0, (DType)in(c, 0)->dtype}, c->out[0], NULL);
}
static bool run_all(OpCall *c) { return run_truth(c, FINISH_ALL); }
static bool run_any(OpCall *c) { return run_truth(c, FINISH_ANY); }
#define TRUTH(id, what)                                                                             \
  OP(id, .schema = #id "(Tensor input, Dims? dim=None, bool keepdim=False) -> Tensor", .doc = what, \
     .samples = "b(2,3) | b(2,3) d1 | f(2,3) {1,2} keepdim=true | i(3)", .errors = "b(2,3) d3",     \
     .flags = OP_BOTH | OP_NO_GRADIENT, .infer = infer_truth, .kernel = EVERYWHERE(run_##id))
TRUTH(all, "Whether all elements are non-zero, as bool; uint8 stays uint8.");
TRUTH(any, "Whether any element is non-zero, as bool; uint8 stays uint8.");

static bool infer_count(OpCall *c) { return infer_reduced(c, 0, MT_I64, 1, false); }
static bool run_count_nonzero(OpCall *c) {
  return reduce_call(c, 1, (DType)in(c, 0)->dtype, (Reduction){.fold = FOLD_NONZERO});
}
OP(count_nonzero, .schema = "count_nonzero(Tensor input, Dims? dim=None) -> Tensor",
   .doc = "How many elements are not zero, as int64.", .samples = "i(2,3) | i(2,3) d1 | f(2,3,4) {1,3}",
   .errors = "f(2,3) d3", .flags = OP_BOTH | OP_NO_GRADIENT, .infer = infer_count,
   .kernel = EVERYWHERE(run_count_nonzero));

Tensor *op_sum(Tensor *t) { return op_run(&def_sum, (Arg[]){ARG_T(t), ARG_NIL, ARG_I(0), ARG_NIL}); }
Tensor *op_sum_dim(Tensor *t, int64_t dim, bool keepdim) { return op_sum_dims(t, 1, &dim, keepdim); }
Tensor *op_sum_dims(Tensor *t, int n, const int64_t *dims, bool keepdim) {
  return op_run(&def_sum, (Arg[]){ARG_T(t), ARG_INTS(dims, n), ARG_I(keepdim), ARG_NIL});
}
Tensor *op_sum_to(Tensor *t, int ndim, const int64_t *shape) {
  return op_run(&def_sum_to, (Arg[]){ARG_T(t), ARG_INTS(shape, ndim)});
}
Tensor *op_mean(Tensor *t) { return op_run(&def_mean, (Arg[]){ARG_T(t), ARG_NIL, ARG_I(0), ARG_NIL}); }
