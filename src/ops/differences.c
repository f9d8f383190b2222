/* Differences and integrals of samples along a dim: diff, trapezoid, cumulative_trapezoid, gradient. */
#include "ops/reduce.h"
#include <string.h>

extern OpDef def_cumsum, def_logical_xor, def_clone;

static bool has_dims(const OpCall *c, const Tensor *t) {
  return t->ndim > 0 ||
         fail(MT_EINDEX, "%s: Dimension specified as -1 but tensor has no dimensions", c->def->info->name);
}

/* --- diff --- */

static bool check_beside(const Tensor *t, const Tensor *other, int dim) {
  if (other->ndim != t->ndim)
    return fail(MT_EARG, "diff expects prepend or append to be the same dimension as input: input has shape %s, it %s",
                shape_text(t->ndim, t->shape), shape_text(other->ndim, other->shape));
  for (int d = 0; d < t->ndim; d++)
    if (d != dim && other->shape[d] != t->shape[d])
      return fail(MT_EARG,
                  "diff expects the shape of tensor to prepend or append to match that of input except along the "
                  "differencing dimension; input:size(%d) is %lld, but got tensor:size(%d) = %lld",
                  d + 1, (long long)t->shape[d], d + 1, (long long)other->shape[d]);
  return true;
}
static bool compose_diff(OpCall *c) {
  Tensor *t = in(c, 0), *parts[3];
  int64_t n = c->arg[1].i;
  int dim, count = 0;
  if (t->ndim == 0) return fail(MT_EARG, "diff expects input to be at least one-dimensional");
  if (!dim_wrap(c->arg[2].i, t->ndim, &dim)) return false;
  if (n < 0) return fail(MT_EARG, "order must be non-negative but got %lld", (long long)n);
  for (int k = 3; k < 5; k++)
    if (c->arg[k].given && !check_beside(t, in(c, k), dim)) return false;
  if (n == 0) return compose_return(c, 0, op_run(&def_clone, (Arg[]){ARG_T(t)}));
  if (c->arg[3].given) parts[count++] = in(c, 3);
  parts[count++] = t;
  if (c->arg[4].given) parts[count++] = in(c, 4);
  if (count > 1) t = op_cat(count, parts, dim);
  if (t && n > t->shape[dim]) n = t->shape[dim];
  for (; t && n > 0; n--) {
    int64_t rest = t->shape[dim] - 1;
    if (rest < 0) break;
    Tensor *after = op_narrow(t, dim, rest > 0 ? 1 : 0, rest), *before = op_narrow(t, dim, 0, rest);
    t = t->dtype == MT_BOOL ? op_run(&def_logical_xor, (Arg[]){ARG_T(after), ARG_T(before)}) : op_sub(after, before);
  }
  return compose_return(c, 0, t == in(c, 0) ? op_run(&def_clone, (Arg[]){ARG_T(t)}) : t);
}
OP(diff, .schema = "diff(Tensor input, int n=1, Dim dim=-1, Tensor? prepend=None, Tensor? append=None) -> Tensor",
   .doc =
       "The n-th differences of neighbours along dim, after prepend and append were put to its ends. For bool, where "
       "neighbours differ.",
   .samples = "f(3,4) | f(3,4) 2 d1 | i(5) 1 d1 | b(4) | f(2,3) 1 d2 f(2,1) f(2,2) | f(3) 0 | f(2) 5",
   .errors = "f() | f(3) -1 | f(3) 1 d2 | f(3) prepend=f() | f(2,3) prepend=f(1,3)", .flags = OP_BOTH,
   .compose = compose_diff);

/* --- trapezoid --- */

/* Distances between neighbours in x, brought to y's number of dims. */
static Tensor *steps_of(const OpCall *c, Tensor *x, const Tensor *y, int dim) {
  int64_t shape[MT_MAX_DIMS];
  if (x->ndim == 1) { /* a vector of samples along dim */
    if (x->shape[0] != y->shape[dim]) {
      fail(MT_EARG, "%s: There must be one `x` value for each sample point: x has %lld, dim %d of y has %lld",
           c->def->info->name[0] == 'c' ? "cumulative_trapezoid" : "trapezoid", (long long)x->shape[0], dim + 1,
           (long long)y->shape[dim]);
      return NULL;
    }
    for (int d = 0; d < y->ndim; d++) shape[d] = d == dim ? x->shape[0] : 1;
    x = op_reshape(x, y->ndim, shape);
  } else if (x->ndim < y->ndim) {
    int more = y->ndim - x->ndim;
    for (int d = 0; d < y->ndim; d++) shape[d] = d < more ? 1 : x->shape[d - more];
    x = op_reshape(x, y->ndim, shape);
  }
  if (!x) return NULL;
  int64_t n = x->shape[dim] - 1;
  return n < 0 ? op_narrow(x, dim, 0, 0) : op_sub(op_narrow(x, dim, n > 0, n), op_narrow(x, dim, 0, n));
}

/* Sums of neighbours along dim. */
static Tensor *pairs_of(Tensor *y, int dim) {
  int64_t n = y->shape[dim] - 1;
  return n < 0 ? op_narrow(y, dim, 0, 0) : op_add(op_narrow(y, dim, 0, n), op_narrow(y, dim, n > 0, n));
}

static bool refuse_bool(const Tensor *y, const Tensor *x, const char *name) {
  if (y->dtype != MT_BOOL && (!x || x->dtype != MT_BOOL)) return true;
  return fail(MT_ENOTIMPL, "%s: received a bool input for %s, but bool is not supported. Use :float() first", name,
              x ? "`x` or `y`" : "`y`");
}

static bool compose_trapezoid(OpCall *c) {
  Tensor *y = in(c, 0);
  int dim;
  if (!has_dims(c, y) || !dim_wrap(c->arg[2].i, y->ndim, &dim) || !refuse_bool(y, NULL, "trapezoid")) return false;
  if (c->arg[1].number.category == CAT_BOOL)
    return fail(MT_EARG, "trapezoid: Currently, we only support dx as a real number.");
  int64_t n = y->shape[dim];
  Reduced r;
  Arg one = ARG_I(dim);
  if (n == 0)
    return reduced_by(y, &one, TYPE_DIM, false, &r) &&
           compose_return(c, 0, op_full((DType)y->dtype, r.ndim, r.shape, tensor_device(y), scalar_int(0)));
  Tensor *ends = op_scale(op_add(op_select(y, dim, 0), op_select(y, dim, n - 1)), 0.5);
  return compose_return(c, 0, op_mul(op_sub(op_sum_dim(y, dim, false), ends), op_number(c->arg[1].number)));
}
static bool compose_trapezoid_at(OpCall *c) {
  Tensor *y = in(c, 0), *x = in(c, 1);
  int dim;
  if (!has_dims(c, y) || !dim_wrap(c->arg[2].i, y->ndim, &dim) || !refuse_bool(y, x, "trapezoid")) return false;
  Reduced r;
  Arg one = ARG_I(dim);
  if (y->shape[dim] == 0)
    return reduced_by(y, &one, TYPE_DIM, false, &r) &&
           compose_return(c, 0, op_full((DType)y->dtype, r.ndim, r.shape, tensor_device(y), scalar_int(0)));
  Tensor *steps = steps_of(c, x, y, dim);
  if (!steps) return false;
  Tensor *area = op_mul(pairs_of(y, dim), steps);
  if (!area) return false;
  return compose_return(c, 0, op_div(op_sum_dim(area, dim, false), op_float(2)));
}
#define AREA_DOC "Integral of y along dim by the trapezoidal rule, between samples "
#define TRAPEZOID(id, number)                                                                                          \
  OP(id, .schema = #id "(Tensor y, *, " number ", Dim dim=-1) -> Tensor", .doc = AREA_DOC "dx apart.",                 \
     .samples = "f(3,4) | f(3,4) dx=0.5 dim=1 | i(5) dx=2", .errors = "f() | b(3) | f(3) dim=2", .flags = OP_FUNCTION, \
     .compose = compose_trapezoid);                                                                                    \
  OP(id##_at, .schema = #id "(Tensor y, Tensor x, *, Dim dim=-1) -> Tensor",                                           \
     .doc = AREA_DOC "at x, which is a vector or broadcasts with y.",                                                  \
     .samples = "f(3,4) f(4) | f(3,4) f(3) dim=1 | f(2,3) f(2,3)", .errors = "f(3,4) f(3) | b(3) f(3) | f(3) b(3)",    \
     .flags = OP_FUNCTION, .compose = compose_trapezoid_at)
TRAPEZOID(trapezoid, "Number dx=1");
TRAPEZOID(trapz, "float dx=1");

static bool compose_cumulative_trapezoid(OpCall *c) {
  Tensor *y = in(c, 0);
  int dim;
  if (!refuse_bool(y, NULL, "cumulative_trapezoid")) return false;
  if (y->ndim == 0)
    return fail(MT_EINDEX, "slice() cannot be applied to a 0-dim tensor.: y has no dim along which it could be summed");
  if (!dim_wrap(c->arg[2].i, y->ndim, &dim)) return false;
  if (c->arg[1].number.category == CAT_BOOL)
    return fail(MT_EARG, "cumulative_trapezoid: Currently, we only support dx as a real number.");
  Tensor *areas = op_scale(pairs_of(y, dim), scalar_double(c->arg[1].number) / 2);
  return compose_return(c, 0, op_run(&def_cumsum, (Arg[]){ARG_T(areas), ARG_I(dim), ARG_NIL}));
}
static bool compose_cumulative_trapezoid_at(OpCall *c) {
  Tensor *y = in(c, 0), *x = in(c, 1);
  int dim;
  if (!has_dims(c, y) || !dim_wrap(c->arg[2].i, y->ndim, &dim) || !refuse_bool(y, x, "cumulative_trapezoid"))
    return false;
  Tensor *steps = steps_of(c, x, y, dim);
  if (!steps) return false;
  Tensor *area = op_mul(pairs_of(y, dim), steps);
  Tensor *sums = op_run(&def_cumsum, (Arg[]){ARG_T(area), ARG_I(dim), ARG_NIL});
  return compose_return(c, 0, op_div(sums, op_float(2)));
}
OP(cumulative_trapezoid, .schema = "cumulative_trapezoid(Tensor y, *, Number dx=1, Dim dim=-1) -> Tensor",
   .doc = "Running integral of y along dim by the trapezoidal rule, samples dx apart: one value less than y has.",
   .samples = "f(3,4) | f(3,4) dx=0.5 dim=1 | i(5) dx=2 | f(0)", .errors = "f() | b(3) | f(3) dim=2",
   .flags = OP_FUNCTION, .compose = compose_cumulative_trapezoid);
OP(cumulative_trapezoid_at, .schema = "cumulative_trapezoid(Tensor y, Tensor x, *, Dim dim=-1) -> Tensor",
   .doc = "Running integral of y along dim by the trapezoidal rule, samples at x, a vector or broadcast with y.",
   .samples = "f(3,4) f(4) | f(3,4) f(3) dim=1 | f(2,3) f(2,3)", .errors = "f(3,4) f(3) | b(3) f(3) | f(3) b(3)",
   .flags = OP_FUNCTION, .compose = compose_cumulative_trapezoid_at);

/* --- gradient --- */

/* Element k of x along dim (negative from the end), the dim kept with size 1. */
static Tensor *slab(Tensor *x, int dim, int64_t k) { return op_narrow(x, dim, k < 0 ? x->shape[dim] + k : k, 1); }
static Tensor *weighed(Tensor *x, double w) { return op_scale(x, w); }
static Tensor *joined(Tensor *first, Tensor *middle, Tensor *last, int dim) {
  return failed() ? NULL : op_cat(3, (Tensor *[]){first, middle, last}, dim);
}

/* Samples `step` apart. */
static Tensor *gradient_even(Tensor *x, Scalar step, int dim, int64_t order) {
  int64_t n = x->shape[dim];
  Tensor *by = op_number(step), *first, *last;
  if (order == 1) {
    first = op_sub(slab(x, dim, 1), slab(x, dim, 0));
    last = op_sub(slab(x, dim, -1), slab(x, dim, -2));
  } else { /* the slope at the end of the parabola through three samples */
    first = op_add(op_add(weighed(slab(x, dim, 0), -1.5), op_mul(slab(x, dim, 1), op_int(2))),
                   weighed(slab(x, dim, 2), -0.5));
    last = op_add(op_add(weighed(slab(x, dim, -1), 1.5), op_mul(slab(x, dim, -2), op_int(-2))),
                  weighed(slab(x, dim, -3), 0.5));
  }
  Tensor *middle = op_sub(op_narrow(x, dim, n > 2 ? 2 : 0, n - 2), op_narrow(x, dim, 0, n - 2));
  return joined(op_div(first, by), op_div(op_div(middle, by), op_int(2)), op_div(last, by), dim);
}

/* Samples at coordinates `at`, brought to x's number of dims: slopes of parabolas through three neighbours. */
static Tensor *gradient_at(Tensor *x, Tensor *at, int dim, int64_t order) {
  int64_t n = x->shape[dim], shape[MT_MAX_DIMS];
  for (int d = 0; d < x->ndim; d++) shape[d] = d == dim ? n : 1;
  at = op_reshape(at, x->ndim, shape);
  Tensor *step = op_sub(op_narrow(at, dim, 1, n - 1), op_narrow(at, dim, 0, n - 1)), *first, *last, *two = op_int(2);
  Tensor *h = op_narrow(step, dim, 0, n - 2), *k = op_narrow(step, dim, n > 2, n - 2), *both = op_add(h, k);
  if (!step || !both) return NULL;
  Tensor *middle = op_mul(op_neg(op_div(k, op_mul(h, both))), op_narrow(x, dim, 0, n - 2));
  middle = op_add(middle, op_mul(op_div(op_sub(k, h), op_mul(h, k)), op_narrow(x, dim, 1, n - 2)));
  middle = op_add(middle, op_mul(op_div(h, op_mul(k, both)), op_narrow(x, dim, n > 2 ? 2 : 0, n - 2)));
  if (order == 1) {
    first = op_div(op_sub(slab(x, dim, 1), slab(x, dim, 0)), slab(step, dim, 0));
    last = op_div(op_sub(slab(x, dim, -1), slab(x, dim, -2)), slab(step, dim, -1));
    return joined(first, middle, last, dim);
  }
  Tensor *a = slab(step, dim, 0), *b = slab(step, dim, 1), *ab = op_add(a, b);
  first = op_mul(op_neg(op_div(op_add(op_mul(two, a), b), op_mul(a, ab))), slab(x, dim, 0));
  first = op_add(first, op_mul(op_div(ab, op_mul(a, b)), slab(x, dim, 1)));
  first = op_sub(first, op_mul(op_div(a, op_mul(b, ab)), slab(x, dim, 2)));
  a = slab(step, dim, -2);
  b = slab(step, dim, -1);
  ab = op_add(a, b);
  last = op_mul(op_div(b, op_mul(a, ab)), slab(x, dim, -3));
  last = op_sub(last, op_mul(op_div(ab, op_mul(a, b)), slab(x, dim, -2)));
  last = op_add(last, op_mul(op_div(op_add(op_mul(two, b), a), op_mul(b, ab)), slab(x, dim, -1)));
  return joined(first, middle, last, dim);
}

typedef enum { ONE_STEP, STEPS, COORDINATES } Spacing;

static bool check_spacing(const OpCall *c, Spacing kind, int dims) {
  const Tensor *t = in(c, 0);
  const Arg *spacing = &c->arg[1];
  if (kind == ONE_STEP || spacing->n == dims) return true;
  if (!c->arg[2].given)
    return fail(
        MT_EARG,
        "torch.gradient expected spacing to be unspecified, a scalar, or a list of length equal to 'self.dim() = "
        "%d', since dim argument was not given, but got a list of length %d",
        t->ndim, spacing->n);
  return fail(
      MT_EARG,
      "torch.gradient expected spacing to be unspecified, a scalar or it's spacing and dim arguments to have the "
      "same length, but got a spacing argument of length %d and a dim argument of length %d.",
      spacing->n, dims);
}
static bool gradient(OpCall *c, Spacing kind) {
  Tensor *t = in(c, 0);
  const Arg *spacing = &c->arg[1], *dim = &c->arg[2];
  int64_t order = c->arg[3].i;
  int dims = dim->given ? dim->n : t->ndim, at[MT_MAX_DIMS];
  bool seen[MT_MAX_DIMS] = {false};
  if (t->dtype == MT_U8) return fail(MT_ENOTIMPL, "torch.gradient does not support uint8 input. Use :float() first");
  if (order != 1 && order != 2)
    return fail(MT_EARG, "torch.gradient only supports edge_order=1 and edge_order=2, not %lld.", (long long)order);
  if (!check_spacing(c, kind, dims)) return false;
  if (dims > t->ndim && t->ndim > 0)
    return fail(MT_EARG, "%d dims of %s: one appears multiple times in the list of dims", dims, tensor_text(t));
  for (int k = 0; k < dims; k++) {
    if (t->ndim == 0)
      return fail(MT_EINDEX, "torch.gradient: Dimension specified as %lld but tensor has no dimensions",
                  (long long)dim->ints[k]);
    at[k] = k;
    if (dim->given && !dim_wrap(dim->ints[k], t->ndim, &at[k])) return false;
    if (seen[at[k]]) return fail(MT_EARG, "dim %d appears multiple times in the list of dims", at[k] + 1);
    seen[at[k]] = true;
    if (t->shape[at[k]] < order + 1)
      return fail(MT_EARG,
                  "torch.gradient expected each dimension size to be at least edge_order+1: dim %d of %s has %lld",
                  at[k] + 1, shape_text(t->ndim, t->shape), (long long)t->shape[at[k]]);
  }
  if (!compose_list(c, dims)) return false;
  for (int k = 0; k < dims; k++) {
    Tensor *y;
    if (kind == COORDINATES) {
      Tensor *x = spacing->tensors[k];
      if (x->ndim != 1)
        return fail(MT_EARG,
                    "torch.gradient expected each element of spacing to have one dimension, but got an element with %d "
                    "dimensions!",
                    x->ndim);
      if (x->dtype == MT_BOOL) return op_neg(x) != NULL; /* which says that bools have none */
      if (x->shape[0] != t->shape[at[k]])
        return fail(MT_EARG, "torch.gradient: spacing %d has %lld coordinates, but dim %d of input has %lld elements",
                    k + 1, (long long)x->shape[0], at[k] + 1, (long long)t->shape[at[k]]);
      y = gradient_at(t, x, at[k], order);
    } else {
      Scalar step = kind == STEPS ? spacing->numbers[k] : spacing->given ? spacing->number : scalar_int(1);
      y = gradient_even(t, step, at[k], order);
    }
    if (!compose_append(c, y)) return false;
  }
  return true;
}
static bool compose_gradient(OpCall *c) { return gradient(c, ONE_STEP); }
static bool compose_gradient_steps(OpCall *c) { return gradient(c, STEPS); }
static bool compose_gradient_at(OpCall *c) { return gradient(c, COORDINATES); }
#define GRADIENT(id, spacing, what, inputs, wrong)                                                         \
  OP(id, .schema = "gradient(Tensor input, *, " spacing ", Dims? dim=None, int edge_order=1) -> Tensor[]", \
     .doc = "Numerical derivatives of samples along each of the dims (all unless given), " what            \
            "; central differences inside, of edge_order 1 or 2 at the ends.",                             \
     .samples = inputs, .errors = wrong, .flags = OP_FUNCTION, .compose = compose_##id)
GRADIENT(gradient, "Number? spacing=None", "spaced 1 or by one number",
         "f(3,4) | f(5) spacing=2 | f(3,4) dim=2 edge_order=2 | f(2,3) spacing=0.5 dim={2,1} | i(4)",
         "f(1) | f(2) edge_order=2 | f(3) edge_order=3 | f(3) dim=2 | f(2,2) dim={1,1}");
GRADIENT(gradient_steps, "Numbers spacing", "spaced by one number each",
         "f(3,4) spacing={2,0.5} | f(3,4) spacing={2} dim=1", "f(3,4) spacing={2} | f(3,4) spacing={1,2} dim=1");
GRADIENT(gradient_at, "Tensor[] spacing", "at the coordinates in a vector each",
         "f(3,4) spacing=[p(3),p(4)] | f(3,4) spacing=[p(3)] dim=1 edge_order=2",
         "f(3,4) spacing=[p(3)] | f(3) spacing=[p(2)] | f(3) spacing=[p(3,1)]");
