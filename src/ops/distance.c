/* Distances and similarities between vectors: cdist, pdist, pairwise_distance, cosine_similarity. */
#include "base/size.h"
#include "cpu/device_kernels.h"
#include "ops/reduce.h"
#include <math.h>
#include <string.h>

extern OpDef def_abs, def_clamp_min, def_norm;

static Tensor *absolute(Tensor *t) { return op_run(&def_abs, (Arg[]){ARG_T(t)}); }
/* t, but 0 where `at` is 0. */
static Tensor *zero_where_zero(Tensor *at, Tensor *t) { return op_where(op_eq(at, op_int(0)), op_float(0), t); }
static Tensor *one_where_zero(Tensor *at) { return op_where(op_eq(at, op_int(0)), op_float(1), at); }
static Tensor *norm_of(Tensor *t, Scalar p, int64_t dim, bool keep) {
  return op_run(&def_norm, (Arg[]){ARG_T(t), ARG_N(p), ARG_INTS(&dim, 1), ARG_I(keep), ARG_NIL});
}

/* --- the p-norms of all differences between rows --- */

static bool infer_distances(OpCall *c) {
  const Tensor *a = in(c, 0), *b = in(c, 1);
  int n = a->ndim;
  bool good = n >= 2 && n == b->ndim && a->dtype == b->dtype && a->shape[n - 1] == b->shape[n - 1];
  for (int d = 0; good && d < n - 2; d++) good = a->shape[d] == b->shape[d];
  if (!good) return fail(MT_EARG, "distances between rows of %s and %s", tensor_text(a), tensor_text(b));
  if (a->dtype != MT_F32 && a->dtype != MT_F64)
    return fail(MT_ENOTIMPL, "\"cdist\" not implemented for '%s'. Use :float() first", dtype_info[a->dtype].type_name);
  int64_t shape[MT_MAX_DIMS];
  memcpy(shape, a->shape, sizeof(int64_t) * (size_t)(n - 1));
  shape[n - 1] = b->shape[n - 2];
  return out_shape(c, 0, (DType)a->dtype, n, shape);
}
static bool run_distances(OpCall *c) {
  return any_distances(in(c, 0), in(c, 1), scalar_double(c->arg[2].number), c->out[0]);
}
/* With d the differences and y their norm: dy/dd is sign(d) |d|^(p-1) / y^(p-1), 0 where y or d is 0. For the largest
 * difference it is the sign of each one that is the largest. */
static void back_distances(Grad *g) {
  double p = scalar_double(g_arg(g, 2)->number);
  Tensor *a = g_in(g, 0), *b = g_in(g, 1), *y = op_unsqueeze(g_result(g, 0), -1), *gy = op_unsqueeze(g_out(g, 0), -1);
  Tensor *d = op_sub(op_unsqueeze(a, -2), op_unsqueeze(b, -3)), *slope;
  if (p == 0)
    slope = op_zeros_like(d);
  else if (p == 1)
    slope = op_mul(gy, op_sign(d));
  else if (p == 2)
    slope = op_mul(gy, zero_where_zero(y, op_div(d, one_where_zero(y))));
  else if (isinf(p))
    slope = op_mul(op_mul(gy, op_sign(d)), op_cast(op_eq(absolute(d), y), gy ? (DType)gy->dtype : MT_F32));
  else {
    Tensor *power = op_mul(op_sign(d), op_pow(absolute(one_where_zero(d)), op_float(p - 1)));
    slope = op_mul(gy, zero_where_zero(y, op_div(power, op_pow(one_where_zero(y), op_float(p - 1)))));
  }
  if (g_needs(g, 0)) g_set(g, 0, op_sum_dim(slope, -2, false));
  if (g_needs(g, 1)) g_set(g, 1, op_neg(op_sum_dim(slope, -3, false)));
}
OP(distances, .schema = "distances(Tensor x1, Tensor x2, float p) -> Tensor",
   .doc = "p-norms of the differences between the rows of two matrices or batches of them.",
   .samples = "f(3,4) f(2,4) 2 | f(2,3,4) f(2,2,4) 1 | f(3,4) f(2,4) 3 | f(3,2) f(2,2) inf | f(3,9) f(2,9) 2 | f(3,4) "
              "f(2,4) 1.5",
   .errors = "f(3,4) f(3,3) 2 | f(3) f(3) 2 | i(3,4) i(3,4) 2", .saves = "x1: x1 x2 result; x2: x1 x2 result",
   .flags = OP_HIDDEN, .infer = infer_distances, .kernel = EVERYWHERE(run_distances), .backward = back_distances);
static Tensor *distances(Tensor *a, Tensor *b, double p) {
  return op_run(&def_distances, (Arg[]){ARG_T(a), ARG_T(b), ARG_N(scalar_float(p))});
}

/* Euclidean distances by one matrix product: (-2 a, |a|^2, 1) times (b, 1, |b|^2). The root has the gradient 0 at 0. */
static Tensor *distances_by_product(Tensor *a, Tensor *b) {
  Tensor *aa = op_sum_dim(op_mul(a, a), -1, true), *bb = op_sum_dim(op_mul(b, b), -1, true);
  if (!aa || !bb) return NULL;
  Tensor *left = op_cat(3, (Tensor *[]){op_scale(a, -2), aa, op_ones_like(aa)}, -1);
  Tensor *right = op_cat(3, (Tensor *[]){b, op_ones_like(bb), bb}, -1);
  Tensor *squares = op_matmul(left, op_transpose(right, -2, -1));
  squares = op_run(&def_clamp_min, (Arg[]){ARG_T(squares), ARG_N(scalar_int(0))});
  return zero_where_zero(squares, op_sqrt(one_where_zero(squares)));
}

/* By a product: PyTorch's modes 1 always, 0 when there are more rows than that, 2 never. */
enum { MANY_ROWS = 25, MODE_UNKNOWN = 3 };
static int mode_of(const Arg *mode) {
  static const char *const names[] = {"use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist",
                                      "donot_use_mm_for_euclid_dist"};
  int k = 0;
  while (k < MODE_UNKNOWN && strcmp(mode->str, names[k]) != 0) k++;
  return k;
}

static bool check_cdist(const Tensor *a, const Tensor *b) {
  const Tensor *t[] = {a, b};
  for (int k = 0; k < 2; k++)
    if (t[k]->ndim < 2)
      return fail(MT_EARG, "cdist only supports at least 2D tensors, X%d got: %dD", k + 1, t[k]->ndim);
  if (a->shape[a->ndim - 1] != b->shape[b->ndim - 1])
    return fail(MT_EARG, "X1 and X2 must have the same number of columns. X1: %lld X2: %lld",
                (long long)a->shape[a->ndim - 1], (long long)b->shape[b->ndim - 1]);
  for (int k = 0; k < 2; k++)
    if (!tensor_is_float(t[k]))
      return fail(MT_EARG, "cdist only supports floating-point dtypes, X%d got: %s. Use :float() first", k + 1,
                  dtype_info[t[k]->dtype].type_name);
  if (a->dtype != b->dtype)
    return fail(MT_EARG, "expected scalar type %s but found %s: x1 is %s, x2 %s. Convert one with :to()",
                dtype_info[a->dtype].type_name, dtype_info[b->dtype].type_name, tensor_text(a), tensor_text(b));
  return true;
}
static Tensor *with_batch(Tensor *t, int n, const int64_t *batch) {
  int64_t shape[MT_MAX_DIMS];
  memcpy(shape, batch, sizeof(int64_t) * (size_t)n);
  shape[n] = t->shape[t->ndim - 2];
  shape[n + 1] = t->shape[t->ndim - 1];
  return op_expand(t, n + 2, shape);
}
static bool compose_cdist(OpCall *c) {
  Tensor *a = in(c, 0), *b = in(c, 1);
  double p = scalar_double(c->arg[2].number);
  int mode = c->arg[3].given ? mode_of(&c->arg[3]) : 0, n;
  int64_t batch[MT_MAX_DIMS];
  if (mode == MODE_UNKNOWN) return fail(MT_EARG, "%s is not a valid value for compute_mode", c->arg[3].str);
  if (!check_cdist(a, b)) return false;
  if (!(p >= 0)) return fail(MT_EARG, "cdist only supports non-negative p values, not %g", p);
  n = a->ndim - 2;
  memcpy(batch, a->shape, sizeof(int64_t) * (size_t)n);
  if (!shape_broadcast(&n, batch, b->ndim - 2, b->shape)) return false;
  int64_t rows = a->shape[a->ndim - 2], others = b->shape[b->ndim - 2];
  a = with_batch(a, n, batch);
  b = with_batch(b, n, batch);
  bool product = p == 2 && (mode == 1 || (mode == 0 && (rows > MANY_ROWS || others > MANY_ROWS)));
  return compose_return(c, 0, product ? distances_by_product(a, b) : distances(a, b, p));
}
OP(cdist,
   .schema =
       "cdist(Tensor x1, Tensor x2, float p=2, str? compute_mode='use_mm_for_euclid_dist_if_necessary') -> Tensor",
   .doc =
       "p-norms of the differences between all rows of x1 (..., P, M) and of x2 (..., R, M), whose batches broadcast: "
       "(..., P, R). p = 2 with more than 25 rows goes by a matrix product, unless compute_mode is "
       "'donot_use_mm_for_euclid_dist'; 'use_mm_for_euclid_dist' always does. The gradient at equal rows is 0.",
   .samples =
       "f(3,4) f(2,4) | f(3,4) f(2,4) 1 | f(2,1,3,4) f(3,2,4) inf | f(26,2) f(2,2) | f(3,0) f(2,0) | f(3,2) f(2,2) "
       "0.5",
   .errors = "f(3) f(2,2) | f(2,3) f(2,2) | i(2,2) i(2,2) | f(2,2) f(2,2) -1 | f(2,2) f(2,2) 2 'x' | f(2,3,2) f(4,5,2)",
   .flags = OP_FUNCTION, .compose = compose_cdist);

/* Positions, from 1, of the pairs i < j in an n x n matrix. */
static Tensor *pair_positions(int64_t n, Device device) {
  int64_t twice, count;
  if (!size_mul(n, n > 0 ? n - 1 : 0, &twice)) return NULL;
  count = twice / 2;
  Tensor *t = failed() ? NULL : pool_add(tensor_new(MT_I64, 1, &count, (Device){MT_CPU, 0}));
  int64_t *at = t ? (int64_t *)(void *)tensor_data(t) : NULL;
  for (int64_t i = 0; at && i < n; i++)
    for (int64_t j = i + 1; j < n; j++) *at++ = i * n + j + 1;
  return op_on(t, device);
}
static bool compose_pdist(OpCall *c) {
  Tensor *x = in(c, 0);
  double p = scalar_double(c->arg[1].number);
  if (x->ndim != 2)
    return fail(MT_EARG, "pdist only supports 2D tensors, got: %dD: %s", x->ndim, shape_text(x->ndim, x->shape));
  if (!tensor_is_float(x))
    return fail(MT_EARG, "pdist only supports floating-point dtypes, not %s. Use :float() first",
                dtype_info[x->dtype].name);
  if (!(p >= 0)) return fail(MT_EARG, "pdist only supports non-negative p values, not %g", p);
  bool pairs = x->shape[0] > 1 && x->shape[1] > 0; /* else there is nothing to compute, in any dtype */
  if (pairs && x->dtype != MT_F32 && x->dtype != MT_F64)
    return fail(MT_ENOTIMPL, "\"pdist\" not implemented for '%s'. Use :float() first", dtype_info[x->dtype].type_name);
  DType d = (DType)x->dtype;
  if (dtype_size(d) == 2) x = op_cast(x, MT_F32);
  Tensor *all = x ? distances(x, x, p) : NULL;
  if (!all) return false;
  Tensor *at = pair_positions(x->shape[0], tensor_device(x));
  return compose_return(c, 0, op_cast(op_index_select(op_reshape(all, 1, &all->numel), 0, at), d));
}
OP(pdist, .schema = "pdist(Tensor input, float p=2) -> Tensor",
   .doc = "p-norms of the differences between all pairs of rows i < j of an (N, M) matrix: a vector of N (N - 1) / 2.",
   .samples = "f(4,3) | f(4,3) 1 | f(3,2) 3 | f(1,2) | f(0,2)", .errors = "f(3) | i(2,2) | f(2,2) -1",
   .flags = OP_FUNCTION, .compose = compose_pdist);

/* --- pairs of vectors --- */

static bool compose_pairwise_distance(OpCall *c) {
  Tensor *x1 = in(c, 0), *x2 = in(c, 1);
  int n = x1->ndim > x2->ndim ? x1->ndim : x2->ndim;
  Tensor *d = op_add(op_sub(x1, x2), op_float(scalar_double(c->arg[3].number)));
  return compose_return(c, 0, norm_of(d, c->arg[2].number, n > 0 ? n - 1 : 0, c->arg[4].i));
}
OP(pairwise_distance,
   .schema = "pairwise_distance(Tensor x1, Tensor x2, float p=2, float eps=1e-6, bool keepdim=False) -> Tensor",
   .doc = "p-norm over the last dim of x1 - x2 + eps, which broadcast.",
   .samples = "f(3,4) f(3,4) | f(3,4) f(4) 1 keepdim=true | f(4) f(4) 3", .errors = "f(3,4) f(2,4)",
   .flags = OP_FUNCTION, .compose = compose_pairwise_distance);

/* t's norm along dim, at least eps; the limit is no matter to the gradient. */
static Tensor *limited_norm(Tensor *t, int64_t dim, double eps) {
  Tensor *norm = norm_of(t, scalar_int(2), dim, true), *plain = op_detach(norm);
  Tensor *most = op_run(&def_clamp_min, (Arg[]){ARG_T(plain), ARG_N(scalar_float(eps))});
  return op_add(norm, op_sub(most, plain));
}
static bool compose_cosine_similarity(OpCall *c) {
  Tensor *t[2];
  DType d = promote_tensors(2, (Tensor *[]){in(c, 0), in(c, 1)}, default_dtype());
  int64_t shape[MT_MAX_DIMS];
  int n = in(c, 0)->ndim, dim;
  if (!dtype_is_float(d))
    return fail(MT_EARG, "expected common dtype to be floating point, yet common dtype is %s. Use :float() first",
                dtype_info[d].type_name);
  memcpy(shape, in(c, 0)->shape, sizeof(int64_t) * (size_t)n);
  if (!shape_broadcast(&n, shape, in(c, 1)->ndim, in(c, 1)->shape) || !dim_wrap(c->arg[2].i, n, &dim)) return false;
  for (int k = 0; k < 2; k++) {
    t[k] = op_expand(tensor_is_float(in(c, k)) ? in(c, k) : op_cast(in(c, k), d), n, shape);
    t[k] = op_div(t[k], limited_norm(t[k], dim, scalar_double(c->arg[3].number)));
  }
  return compose_return(c, 0, op_sum_dim(op_mul(t[0], t[1]), dim, false));
}
OP(cosine_similarity, .schema = "cosine_similarity(Tensor x1, Tensor x2, Dim dim=1, float eps=1e-8) -> Tensor",
   .doc =
       "Cosine of the angle between x1 and x2, which broadcast, along dim (the second unless given). Norms below eps "
       "count as eps.",
   .samples = "f(3,4) f(3,4) | f(3,4) f(4) d-1 | f(4) f(4) d1 1e-3",
   .errors = "i(2,2) i(2,2) | f(3,4) f(2,4) | f(3) f(3)", .flags = OP_FUNCTION, .compose = compose_cosine_similarity);
