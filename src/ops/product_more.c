/* Products of tensors beyond the matrix product, and tables made of vectors: trace, kron, cross, tensordot, block_diag,
 * cartesian_prod, combinations, vander. */
#include "base/alloc.h"
#include "base/size.h"
#include "ops/ops.h"
#include <string.h>

extern OpDef def_diagonal, def_permute, def_cumprod, def_flip, def_mm, def_clone;

static const char *type_name(const Tensor *t) { return dtype_info[t->dtype].type_name; }
static bool refuse_bool(const Tensor *t, const char *kernel) {
  return t->dtype != MT_BOOL ||
         fail(MT_ENOTIMPL, "\"%s\" not implemented for 'Bool': use :float() or :long() first", kernel);
}

/* --- trace, kron, cross --- */

static bool compose_trace(OpCall *c) {
  Tensor *t = in(c, 0);
  if (t->ndim != 2)
    return fail(MT_EARG, "trace: expected a matrix, but got tensor with dim %d: diagonal(...):sum(-1) takes batches",
                t->ndim);
  if (!refuse_bool(t, "trace")) return false;
  return compose_return(c, 0, op_sum(op_run(&def_diagonal, (Arg[]){ARG_T(t), ARG_I(0), ARG_I(0), ARG_I(1)})));
}
OP(trace, .schema = "trace(Tensor input) -> Tensor", .doc = "The sum of a matrix's diagonal. Integers give int64.",
   .samples = "f(3,4) | f(2,2) | i(3,3) | f(0,2)", .errors = "f(3) | f(2,2,2)", .flags = OP_BOTH,
   .compose = compose_trace);

/* Both with a dim of size 1 beside each of the other's dims. */
static bool compose_kron(OpCall *c) {
  Tensor *a = in(c, 0), *b = in(c, 1);
  int n = a->ndim > b->ndim ? a->ndim : b->ndim;
  int64_t of_a[MT_MAX_DIMS], of_b[MT_MAX_DIMS], shape[MT_MAX_DIMS];
  if (2 * n > MT_MAX_DIMS)
    return fail(MT_EARG, "kron takes tensors of up to %d dimensions, got %d and %d", MT_MAX_DIMS / 2, a->ndim, b->ndim);
  for (int d = 0; d < n; d++) {
    int64_t x = d < n - a->ndim ? 1 : a->shape[d - (n - a->ndim)],
            y = d < n - b->ndim ? 1 : b->shape[d - (n - b->ndim)];
    of_a[2 * d] = x;
    of_a[2 * d + 1] = of_b[2 * d] = 1;
    of_b[2 * d + 1] = y;
    if (!size_mul(x, y, &shape[d])) return false;
  }
  return compose_return(c, 0, op_reshape(op_mul(op_reshape(a, 2 * n, of_a), op_reshape(b, 2 * n, of_b)), n, shape));
}
OP(kron, .schema = "kron(Tensor input, Tensor other) -> Tensor",
   .doc = "Kronecker product: each element of input times the whole of other, dim by dim.",
   .samples = "f(2,2) f(3,2) | f(2) f(2,3) | f() f(3) | i(2) i(2)", .flags = OP_BOTH, .compose = compose_kron);

static bool cross(OpCall *c, int64_t at) {
  Tensor *a = in(c, 0), *b = in(c, 1), *part[2][3], *out[3];
  int dim;
  if (a->ndim != b->ndim)
    return fail(MT_EARG, "linalg.cross: inputs must have the same number of dimensions. Got %s and %s",
                shape_text(a->ndim, a->shape), shape_text(b->ndim, b->shape));
  if (!dim_wrap(at, a->ndim, &dim)) return false;
  int64_t x = a->ndim > 0 ? a->shape[dim] : 1, y = b->ndim > 0 ? b->shape[dim] : 1;
  if (x != 3 || y != 3)
    return fail(MT_EARG, "linalg.cross: inputs dimension %d must have length 3. Got %lld and %lld", dim + 1,
                (long long)x, (long long)y);
  if (a->dtype != b->dtype)
    return fail(MT_EARG, "expected scalar type %s but found %s: convert one of them, for example with :to(torch.%s)",
                type_name(a), type_name(b), dtype_info[a->dtype].name);
  int64_t shape[MT_MAX_DIMS];
  int ndim = a->ndim;
  memcpy(shape, a->shape, sizeof(int64_t) * (size_t)ndim);
  if (!refuse_bool(a, "cross") || !shape_broadcast(&ndim, shape, b->ndim, b->shape)) return false;
  for (int k = 0; k < 3; k++) {
    part[0][k] = op_select(a, dim, k);
    part[1][k] = op_select(b, dim, k);
  }
  for (int k = 0; k < 3; k++) {
    int i = (k + 1) % 3, j = (k + 2) % 3;
    out[k] = op_sub(op_mul(part[0][i], part[1][j]), op_mul(part[0][j], part[1][i]));
  }
  return !failed() && compose_return(c, 0, op_stack(3, out, dim));
}
static bool compose_cross(OpCall *c) {
  const Tensor *a = in(c, 0);
  if (c->arg[2].given) return cross(c, c->arg[2].i);
  int dim = 0;
  while (dim < a->ndim && a->shape[dim] != 3) dim++;
  if (dim == a->ndim) return fail(MT_EARG, "no dimension of size 3 in input: it is %s", shape_text(a->ndim, a->shape));
  return cross(c, dim);
}
static bool compose_linalg_cross(OpCall *c) { return cross(c, c->arg[2].i); }
OP(cross, .schema = "cross(Tensor input, Tensor other, Dim? dim=None) -> Tensor",
   .doc =
       "Cross product of vectors of 3 elements along dim; without dim along the first dim of that size. The other dims "
       "broadcast.",
   .samples = "f(3) f(3) | f(3,2) f(3,2) | f(2,3) f(2,3) d2 | f(2,3) f(1,3) d-1 | i(3) i(3)",
   .errors = "f(2) f(2) | f(3) f(2,3) | f(2,3) f(2,3) d1 | f(3) f(4) | f(3) i(3)", .flags = OP_BOTH,
   .compose = compose_cross);
OP(linalg_cross, .schema = "linalg_cross(Tensor input, Tensor other, *, Dim dim=-1) -> Tensor",
   .doc = "Cross product of vectors of 3 elements along dim, the last one unless given: torch.linalg.cross.",
   .samples = "f(3) f(3) | f(2,3) f(1,3) | f(3,2) f(3,2) dim=1", .errors = "f(2) f(2) | f(3) f(2,3)",
   .flags = OP_HIDDEN, .compose = compose_linalg_cross);

/* --- tensordot --- */

/* The dims of t that are not among `dims`, then those, or the other way round, as a matrix. */
static Tensor *folded(Tensor *t, int n, const int *dims, bool last, int64_t *outer, int *outers) {
  int64_t order[MT_MAX_DIMS], rows = 1, inner = 1;
  bool taken[MT_MAX_DIMS] = {false};
  int at = last ? 0 : n;
  for (int k = 0; k < n; k++) {
    taken[dims[k]] = true;
    order[last ? t->ndim - n + k : k] = dims[k];
    inner *= t->shape[dims[k]];
  }
  for (int d = 0; d < t->ndim; d++) {
    if (taken[d]) continue;
    order[at++] = d;
    outer[(*outers)++] = t->shape[d];
    rows *= t->shape[d];
  }
  int64_t shape[2] = {last ? rows : inner, last ? inner : rows};
  return op_reshape(op_run(&def_permute, (Arg[]){ARG_T(t), ARG_INTS(order, t->ndim)}), 2, shape);
}
static bool tensordot(OpCall *c, int n, const int64_t *of_a, const int64_t *of_b) {
  Tensor *a = in(c, 0), *b = in(c, 1);
  int x[MT_MAX_DIMS], y[MT_MAX_DIMS], outers = 0;
  bool used[2][MT_MAX_DIMS] = {{false}};
  int64_t outer[2 * MT_MAX_DIMS];
  if (a->dtype != b->dtype)
    return fail(MT_EARG, "both inputs should have same dtype: they are %s and %s", tensor_text(a), tensor_text(b));
  if (n > a->ndim || n > b->ndim)
    return fail(MT_EARG, "tensordot: %d dims of tensors that have %d and %d", n, a->ndim, b->ndim);
  for (int k = 0; k < n; k++) {
    if (!dim_wrap(of_a[k], a->ndim, &x[k]) || !dim_wrap(of_b[k], b->ndim, &y[k])) return false;
    if (used[0][x[k]] || used[1][y[k]])
      return fail(MT_EARG, "dim %d appears multiple times in the list of dims", (used[0][x[k]] ? x[k] : y[k]) + 1);
    used[0][x[k]] = used[1][y[k]] = true;
    int64_t p = a->shape[x[k]], q = b->shape[y[k]];
    if (p == q) continue;
    int64_t one_a = x[k], one_b = y[k];
    if (q == 1) a = op_cast(op_sum_dims(a, 1, &one_a, true), (DType)b->dtype);
    if (p == 1) b = op_cast(op_sum_dims(b, 1, &one_b, true), (DType)in(c, 0)->dtype);
    if (p != 1 && q != 1)
      return fail(
          MT_EARG,
          "contracted dimensions need to match, but first has size %lld in dim %d and second has size %lld in dim "
          "%d",
          (long long)p, x[k] + 1, (long long)q, y[k] + 1);
    if (!a || !b) return false;
  }
  Tensor *left = folded(a, n, x, true, outer, &outers), *right = folded(b, n, y, false, outer, &outers);
  if (outers > MT_MAX_DIMS)
    return fail(MT_EARG, "tensordot: the result would have %d dimensions, at most %d are possible", outers,
                MT_MAX_DIMS);
  return compose_return(c, 0, op_reshape(op_run(&def_mm, (Arg[]){ARG_T(left), ARG_T(right)}), outers, outer));
}
static bool compose_tensordot(OpCall *c) {
  int64_t n = c->arg[2].i, of_a[MT_MAX_DIMS], of_b[MT_MAX_DIMS];
  if (n < 0) return fail(MT_EARG, "tensordot expects dims >= 0, but got dims=%lld", (long long)n);
  if (n > in(c, 0)->ndim || n > in(c, 1)->ndim)
    return fail(MT_EARG, "tensordot expects dims < ndim_a or ndim_b, but got dims=%lld: the tensors have %d and %d",
                (long long)n, in(c, 0)->ndim, in(c, 1)->ndim);
  for (int k = 0; k < n; k++) {
    of_a[k] = k - n;
    of_b[k] = k;
  }
  return tensordot(c, (int)n, of_a, of_b);
}
static bool compose_tensordot_dims(OpCall *c) {
  const Arg *of_a = &c->arg[2], *of_b = &c->arg[3];
  if (of_a->n != of_b->n)
    return fail(MT_EARG, "both dimension lists should have same length: they have %d and %d", of_a->n, of_b->n);
  return tensordot(c, of_a->n, of_a->ints, of_b->ints);
}
OP(tensordot, .schema = "tensordot(Tensor a, Tensor b, int dims=2) -> Tensor",
   .doc =
       "Products summed over the last dims of a and as many first dims of b; dims = {{...}, {...}} names them instead.",
   .samples = "f(2,3,4) f(3,4,2) | f(2,3) f(3,2) 1 | i(2,2) i(2,2) 1",
   .errors = "f(2,3,4) f(3,4,2) 1 | f(2) f(2) 2 | f(2) f(2) -1 | f(2) i(2) 1", .flags = OP_FUNCTION,
   .compose = compose_tensordot);
OP(tensordot_dims, .schema = "tensordot(Tensor a, Tensor b, Dims dims_self, Dims dims_other) -> Tensor",
   .doc = "Products summed over dims dims_self of a and dims_other of b, pair by pair.",
   .samples = "f(2,3,4) f(3,4,2) {2,3} {1,2} | f(2,3) f(4,3) d2 d2 | f(2,1) f(3,2) d2 d1",
   .errors = "f(2,3) f(3,2) {1,2} {1} | f(2,3) f(4,2) d1 d1 | f(2,2) f(2,2) {1,1} {1,2}", .flags = OP_FUNCTION,
   .compose = compose_tensordot_dims);

/* --- tables made of vectors --- */

/* Each matrix gets zeros to its left and right, then all are stacked. */
static bool compose_block_diag(OpCall *c) {
  const Arg *list = &c->arg[0];
  int64_t width = 0, before = 0;
  if (list->n == 0)
    return compose_return(c, 0, op_full(default_dtype(), 2, (int64_t[]){1, 0}, c->device, scalar_int(0)));
  for (int k = 0; k < list->n; k++)
    if (!list->tensors[k]) return fail(MT_EARG, "expected Tensor as element %d in argument 1, but got None", k + 1);
  DType d = promote_tensors(list->n, list->tensors, default_dtype());
  Tensor **row = mem_zero(sizeof *row * (size_t)list->n);
  bool good = row != NULL;
  for (int k = 0; good && k < list->n; k++) {
    Tensor *t = list->tensors[k];
    if (t->ndim > 2)
      good =
          fail(MT_EARG, "torch.block_diag: Input tensors must have 2 or fewer dimensions. Input %d has %d dimensions",
               k + 1, t->ndim);
    int64_t rows = t->ndim == 2 ? t->shape[0] : 1, cols = t->ndim > 0 ? t->shape[t->ndim - 1] : 1;
    if (good) good = (row[k] = op_cast(op_reshape(t, 2, (int64_t[]){rows, cols}), d)) && size_add(width, cols, &width);
  }
  for (int k = 0; good && k < list->n; k++) {
    int64_t rows = row[k]->shape[0], cols = row[k]->shape[1];
    Tensor *left = op_full(d, 2, (int64_t[]){rows, before}, c->device, scalar_int(0));
    Tensor *right = op_full(d, 2, (int64_t[]){rows, width - before - cols}, c->device, scalar_int(0));
    good = left && right && (row[k] = op_cat(3, (Tensor *[]){left, row[k], right}, 1));
    before += cols;
  }
  Tensor *all = good ? op_cat(list->n, row, 0) : NULL;
  mem_free(row);
  return compose_return(c, 0, all);
}
OP(block_diag, .schema = "block_diag(Tensor[]?... tensors) -> Tensor",
   .doc = "The matrices one after the other along the diagonal, zeros elsewhere. A vector is a row, a 0-dim tensor one "
          "element.",
   .samples = "[f(2,3),f(1,2)] | [f(2),f()] | [i(2),f(2,2)] | [f(0),f(2,2)]", .errors = "[f(2,2,2)]",
   .flags = OP_FUNCTION, .compose = compose_block_diag);

static bool is_vector(const Tensor *t) {
  return t->ndim == 1 || fail(MT_EARG, "Expect a 1D vector, but got shape %s", shape_text(t->ndim, t->shape));
}
static bool compose_cartesian_prod(OpCall *c) {
  const Arg *list = &c->arg[0];
  int64_t shape[MT_MAX_DIMS] = {0}, one[MT_MAX_DIMS], total;
  int n = list->n;
  if (n == 0) return fail(MT_EARG, "meshgrid expects a non-empty TensorList");
  if (n > MT_MAX_DIMS) return fail(MT_EARG, "cartesian_prod takes at most %d tensors", MT_MAX_DIMS);
  for (int k = 0; k < n; k++) {
    if (!is_vector(list->tensors[k])) return false;
    shape[k] = list->tensors[k]->numel;
    one[k] = 1;
  }
  for (int k = 1; k < n; k++)
    if (list->tensors[k]->dtype != list->tensors[0]->dtype)
      return fail(MT_EARG, "meshgrid expects all tensors to have the same dtype: number 1 is %s, number %d %s",
                  dtype_info[list->tensors[0]->dtype].name, k + 1, dtype_info[list->tensors[k]->dtype].name);
  if (n == 1) return compose_return(c, 0, list->tensors[0]);
  if (!size_product(shape, n, &total)) return false;
  Tensor *column[MT_MAX_DIMS];
  for (int k = 0; k < n; k++) {
    one[k] = shape[k];
    column[k] = op_reshape(op_expand(op_reshape(list->tensors[k], n, one), n, shape), 1, &total);
    if (!column[k]) return false;
    one[k] = 1;
  }
  return compose_return(c, 0, op_stack(n, column, 1));
}
OP(cartesian_prod, .schema = "cartesian_prod(Tensor[]... tensors) -> Tensor",
   .doc =
       "All choices of one element from each vector, one row each, the last vector's element changing fastest. Of one "
       "vector: itself.",
   .samples = "[f(2),f(3)] | [i(2),i(2),i(3)] | [f(3)] | [f(0),f(2)]", .errors = "[f(2,2)] | [f(2),i(2)] | []",
   .flags = OP_FUNCTION, .compose = compose_cartesian_prod);

/* Number of ways to take r out of n: each step of the product is a binomial, so it divides evenly. */
static bool binomial(int64_t n, int64_t r, int64_t *out) {
  __int128 ways = 1;
  if (r > n) return *out = 0, true;
  if (r > n - r) r = n - r;
  for (int64_t k = 1; k <= r; k++) {
    ways = ways * (n - r + k) / k;
    if (ways > INT64_MAX) return fail(MT_EARG, "combinations: there are more than 2^63 of them");
  }
  *out = (int64_t)ways;
  return true;
}
static bool compose_combinations(OpCall *c) {
  Tensor *t = in(c, 0);
  int64_t r = c->arg[1].i, rows, total, n = t->numel, none = 0;
  bool again = c->arg[2].i;
  if (!is_vector(t)) return false;
  if (r < 0) return fail(MT_EARG, "Expect a non-negative number, but got %lld", (long long)r);
  if (r == 0) return compose_return(c, 0, op_full((DType)t->dtype, 1, &none, c->device, scalar_int(0)));
  if (n == 0 || !again)
    rows = n > 0 ? -1 : 0;
  else if (!size_add(n - 1, r, &rows))
    return false;
  if (rows != 0 && !binomial(again ? rows : n, r, &rows)) return false;
  if (!size_mul(rows, r, &total)) return false;
  Tensor *index = pool_add(tensor_new(MT_I64, 1, &total, (Device){MT_CPU, 0}));
  if (!index) return false;
  int64_t *at = (int64_t *)tensor_data(index);
  for (int64_t k = 0; rows > 0 && k < r; k++) at[k] = again ? 1 : k + 1;
  for (int64_t i = 1; i < rows; i++) { /* the next row: the last position that may grow grows, those after it follow */
    int64_t *row = at + i * r, k = r - 1;
    memcpy(row, row - r, sizeof(int64_t) * (size_t)r);
    while (row[k] == (again ? n : n - (r - 1 - k))) k--;
    row[k]++;
    for (int64_t j = k + 1; j < r; j++) row[j] = again ? row[k] : row[j - 1] + 1;
  }
  return compose_return(c, 0,
                        op_reshape(op_index_select(t, 0, op_on(index, tensor_device(t))), 2, (int64_t[]){rows, r}));
}
OP(combinations, .schema = "combinations(Tensor input, int r=2, bool with_replacement=False) -> Tensor",
   .doc = "All choices of r elements of a vector, one row each, in the order of their positions.",
   .samples = "f(4) | f(4) 3 | f(3) 2 true | i(3) 1 | f(2) 3 | i(3) 0", .errors = "f(2,2) | f(3) -1",
   .flags = OP_FUNCTION, .compose = compose_combinations);

static bool compose_vander(OpCall *c) {
  Tensor *x = in(c, 0);
  if (x->ndim != 1) return fail(MT_EARG, "x must be a one-dimensional tensor. It is %s", shape_text(x->ndim, x->shape));
  int64_t n = c->arg[1].given ? c->arg[1].i : x->numel, last = 1;
  if (n < 0) return fail(MT_EARG, "N must be non-negative. Got %lld", (long long)n);
  if (!tensor_is_float(x)) x = op_cast(x, MT_I64);
  if (!x) return false;
  int64_t shape[2] = {x->numel, n < 1 ? n : 1};
  Tensor *table = op_full((DType)x->dtype, 2, shape, c->device, scalar_int(1));
  if (n > 1) {
    Tensor *wide = op_expand(op_unsqueeze(x, 1), 2, (int64_t[]){x->numel, n - 1});
    Tensor *powers = op_run(&def_cumprod, (Arg[]){ARG_T(wide), ARG_I(1), ARG_DTYPE(MT_NO_DTYPE)});
    if (!powers) return false;
    table = op_cat(2, (Tensor *[]){table, powers}, 1);
  }
  return compose_return(c, 0, c->arg[2].i ? table : op_run(&def_flip, (Arg[]){ARG_T(table), ARG_INTS(&last, 1)}));
}
OP(vander, .schema = "vander(Tensor x, int? N=None, bool increasing=False) -> Tensor",
   .doc = "Vandermonde matrix: the powers N-1 ... 0 of each element of a vector as a row; increasing: 0 ... N-1.",
   .samples = "f(3) | f(3) 4 | f(3) 2 true | i(3) | i(2) 0 | i(0)", .errors = "f(2,2) | f(2) -1 | f()",
   .flags = OP_FUNCTION, .compose = compose_vander);
