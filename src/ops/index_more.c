/* Indexing by several tensors and by masks: the advanced index, take, put, masked_* and nonzero.
 *
 * Everything here is reduced to one pair of operators that are each other's gradients: index_at and index_put_at, which
 * take one tensor of linear positions into some dims. Masks and sets of index tensors first become such positions. */
#include "cpu/device_kernels.h"
#include "base/alloc.h"
#include "base/size.h"
#include "graph/record.h"
#include "ops/ops.h"
#include <string.h>

extern OpDef def_position, def_index_at, def_index_put_at, def_mask_position, def_nonzero, def_masked_fill;
extern OpDef def_remainder, def_floor_divide;

static bool is_index(const Tensor *t) { return t->dtype == MT_I64 || t->dtype == MT_I32; }
static bool refuse_key(const Tensor *t) {
  return fail(
      MT_EINDEX,
      "tensors used as indices must be long, int or bool tensors, but got %s. Use :long() for positions, %s for a mask",
      tensor_text(t), t->dtype == MT_U8 ? ":bool()" : "a comparison such as x:gt(0)");
}

/* --- positions --- */

/* Sets of positions, one tensor for each of dims, to linear positions into the space of those sizes. */
static bool infer_position(OpCall *c) {
  const Arg *indices = &c->arg[0];
  int64_t shape[MT_MAX_DIMS], total;
  int ndim = 0;
  if (c->arg[1].n != indices->n || c->arg[2].n != indices->n)
    return fail(MT_EARG, "position: one dim and one size for each index");
  if (!size_product(c->arg[2].ints, indices->n, &total)) return false;
  for (int k = 0; k < indices->n; k++) {
    Tensor *t = indices->tensors[k];
    if (!is_index(t)) return refuse_key(t);
    int wide = ndim;
    int64_t before[MT_MAX_DIMS];
    memcpy(before, shape, sizeof(int64_t) * (size_t)ndim);
    bool fits = true;
    for (int d = 1; d <= t->ndim && d <= ndim; d++) {
      int64_t a = shape[ndim - d], b = t->shape[t->ndim - d];
      fits &= a == b || a == 1 || b == 1;
    }
    if (!fits)
      return fail(MT_EINDEX, "shape mismatch: indexing tensors could not be broadcast together with shapes %s, %s",
                  shape_text(wide, before), shape_text(t->ndim, t->shape));
    if (!shape_broadcast(&ndim, shape, t->ndim, t->shape)) return false;
  }
  return out_shape(c, 0, MT_I64, ndim, shape);
}
OP(position, .schema = "position(Tensor[] indices, ints dims, ints sizes) -> Index",
   .doc = "Linear positions into a space of those sizes, the last dim fastest, from one index tensor a dim; the "
          "tensors broadcast. Negative "
          "positions count from the end.",
   .samples = "[x(3;4),x(2,3;5)] {0,1} {4,5} | [x(3;4)] {0} {4}",
   .errors = "[x(3;9)] {0} {4} | [x(3;4)] {0,1} {4,4} | [f(3)] {0} {4}", .flags = OP_HIDDEN | OP_NO_GRADIENT,
   .infer = infer_position, .kernel = EVERYWHERE(any_position));

/* The size of the result depends on values, so a device is waited for. */
static bool infer_mask_position(OpCall *c) {
  int64_t n;
  return any_count_true(in(c, 0), &n) && out_shape(c, 0, MT_I64, 1, &n);
}
OP(mask_position, .schema = "mask_position(Tensor mask) -> Index",
   .doc = "Linear positions of the elements of mask that are not zero.", .samples = "b(3,4) | b(0)",
   .flags = OP_HIDDEN | OP_NO_GRADIENT, .infer = infer_mask_position, .kernel = EVERYWHERE(any_mask_position));

static bool infer_nonzero(OpCall *c) {
  int64_t n;
  return any_count_true(in(c, 0), &n) && out_shape(c, 0, MT_I64, 2, (int64_t[]){n, in(c, 0)->ndim});
}
OP(nonzero, .schema = "nonzero(Tensor input) -> Index", .alias = "argwhere",
   .doc = "Positions of the elements that are not zero, one row each with a position for each dim, in row-major order.",
   .samples = "b(3,4) | f(3) | i(2,2) | b() | f(0)", .flags = OP_BOTH | OP_NO_GRADIENT, .infer = infer_nonzero,
   .kernel = EVERYWHERE(any_nonzero));

static bool nonzero_tuple(OpCall *c, Tensor *t) {
  if (t->ndim == 0) t = op_unsqueeze(t, 0);
  Tensor *rows = op_run(&def_nonzero, (Arg[]){ARG_T(t)});
  if (!rows || !compose_list(c, t->ndim)) return false;
  for (int d = 0; d < t->ndim; d++)
    if (!compose_append(c, op_select(rows, 1, d))) return false;
  return true;
}
static bool compose_nonzero_tuple(OpCall *c) { return nonzero_tuple(c, in(c, 0)); }
OP(nonzero_tuple, .schema = "nonzero(Tensor input, *, bool as_tuple) -> Tensor[]",
   .doc = "Positions of the elements that are not zero, as one vector a dim.", .samples = "b(3,4) as_tuple=true",
   .flags = OP_BOTH | OP_NO_GRADIENT, .compose = compose_nonzero_tuple);
static bool compose_where_tuple(OpCall *c) { return nonzero_tuple(c, in(c, 0)); }
OP(where_tuple, .schema = "where(Tensor condition) -> Tensor[]",
   .doc = "Positions where condition is not zero, as one vector a dim: nonzero with as_tuple.",
   .samples = "b(3,4) | f(3)", .flags = OP_BOTH | OP_NO_GRADIENT, .compose = compose_where_tuple);

/* --- index_at and index_put_at --- */

static bool infer_index_at(OpCall *c) {
  Tensor *t = in(c, 0), *index = in(c, 1);
  IndexLayout l;
  if (!is_index(index)) return refuse_key(index);
  return index_layout(&l, t, index->ndim, index->shape, c->arg[2].n, c->arg[2].ints) &&
         out_shape(c, 0, (DType)t->dtype, l.ndim, l.shape);
}
static bool infer_index_put_at(OpCall *c) {
  Tensor *t = in(c, 0), *index = in(c, 1), *values = in(c, 2);
  IndexLayout l;
  int64_t stride[MT_MAX_DIMS];
  if (!is_index(index)) return refuse_key(index);
  if (!index_layout(&l, t, index->ndim, index->shape, c->arg[3].n, c->arg[3].ints)) return false;
  if (t->dtype != values->dtype)
    return fail(
        MT_EARG,
        "Index put requires the source and destination dtypes match, got %s for the destination and %s for the source. "
        "Convert the values with :to(torch.%s)",
        dtype_info[t->dtype].type_name, dtype_info[values->dtype].type_name, dtype_info[t->dtype].name);
  if (!shape_expand(values, l.ndim, l.shape, stride))
    return fail(MT_EARG, "shape mismatch: value tensor of shape %s cannot be broadcast to indexing result of shape %s",
                shape_text(values->ndim, values->shape), shape_text(l.ndim, l.shape));
  return infer_same(c);
}

static Tensor *op_index_at(Tensor *t, Tensor *at, int n, const int64_t *dims) {
  return op_run(&def_index_at, (Arg[]){ARG_T(t), ARG_T(at), ARG_INTS(dims, n)});
}
static Tensor *index_put_at(Tensor *t, Tensor *at, Tensor *values, int n, const int64_t *dims, bool accumulate,
                            bool inplace) {
  Arg arg[] = {ARG_T(t), ARG_T(at), ARG_T(values), ARG_INTS(dims, n), ARG_I(accumulate)};
  return inplace ? op_run_inplace(&def_index_put_at, arg) : op_run(&def_index_put_at, arg);
}
static Tensor *full_like_meta(const EdgeMeta *m) {
  return op_full((DType)m->dtype, m->ndim, m->shape, m->device, scalar_int(0));
}

static void back_index_at(Grad *g) {
  const Arg *dims = g_arg(g, 2);
  g_set(g, 0, index_put_at(full_like_meta(g_meta(g, 0)), g_in(g, 1), g_out(g, 0), dims->n, dims->ints, true, false));
}
static void back_index_put_at(Grad *g) {
  const Arg *dims = g_arg(g, 3);
  Tensor *gy = g_out(g, 0);
  const EdgeMeta *m = g_meta(g, 0);
  if (g_needs(g, 0)) {
    Tensor *zero = g_arg(g, 4)->i ? NULL : op_full((DType)m->dtype, 0, NULL, m->device, scalar_int(0));
    g_set(g, 0, g_arg(g, 4)->i ? gy : index_put_at(gy, g_in(g, 1), zero, dims->n, dims->ints, false, false));
  }
  if (g_needs(g, 2)) g_set(g, 2, op_index_at(gy, g_in(g, 1), dims->n, dims->ints));
}
OP(index_at, .schema = "index_at(Tensor input, Index index, ints dims) -> Tensor",
   .doc = "The elements at linear positions into dims. The index's axes stand where dims stood if those are neighbours "
          "in order, else in front.",
   .samples = "f(3,4) x(2,2;3) {0} | f(2,3,4) x(5;12) {1,2} | f(2,3,4) x(5;8) {0,2} | i(4) x(3;4) {0}",
   .errors = "f(3,4) x(3;9) {0}", .saves = "input: index", .flags = OP_HIDDEN, .infer = infer_index_at,
   .kernel = EVERYWHERE(any_index_at), .backward = back_index_at);
OP(index_put_at,
   .schema = "index_put_at(Tensor input, Index index, Tensor values, ints dims, bool accumulate=False) -> Tensor",
   .doc = "input with values written or added at linear positions into dims.",
   .samples = "f(3,4) x(2,2;3) f(4) {0} true | f(2,3,4) x(1;12) f(2,1) {1,2} | f(2,3,4) x(5;8) f(5,3) {0,2} true",
   .errors = "f(3,4) x(3;9) f() {0}", .saves = "input: index; values: index",
   .flags = OP_HIDDEN | OP_INPLACE | OP_MODIFIES, .infer = infer_index_put_at, .kernel = EVERYWHERE(any_index_put_at),
   .backward = back_index_put_at);

/* --- the advanced index --- */

/* Linear positions for index tensors or one mask, and the dims they stand for: masks take as many dims as they have.
 * index[k] belongs to dim[k]. NULL after a failure. */
typedef struct {
  int n;
  int64_t dim[MT_MAX_DIMS];
  Tensor *at;
} Advanced;

static bool check_mask(const Tensor *t, const Tensor *mask, int64_t dim) {
  bool fits = dim + mask->ndim <= t->ndim;
  for (int d = 0; d < mask->ndim; d++) {
    if (!fits)
      return fail(MT_EINDEX, "too many indices for tensor of dimension %d: the mask has shape %s", t->ndim,
                  shape_text(mask->ndim, mask->shape));
    if (mask->shape[d] != t->shape[dim + d])
      return fail(MT_EINDEX,
                  "The shape of the mask %s at index %d does not match the shape of the indexed tensor %s at index %d",
                  shape_text(mask->ndim, mask->shape), d + 1, shape_text(t->ndim, t->shape), (int)dim + d + 1);
  }
  return fits;
}

static bool advanced(Advanced *a, Tensor *t, int n, Tensor *const *index, const int64_t *dim) {
  Tensor *list[MT_MAX_DIMS];
  int64_t size[MT_MAX_DIMS];
  a->n = 0;
  a->at = NULL;
  if (n == 1 && index[0]->dtype == MT_BOOL) {
    if (!check_mask(t, index[0], dim[0])) return false;
    for (int d = 0; d < index[0]->ndim; d++) a->dim[a->n++] = dim[0] + d;
    a->at = op_run(&def_mask_position, (Arg[]){ARG_T(index[0])});
    return a->at != NULL;
  }
  for (int k = 0; k < n; k++) {
    Tensor *i = index[k];
    int takes = i->dtype == MT_BOOL ? i->ndim : 1;
    if (!is_index(i) && i->dtype != MT_BOOL) return refuse_key(i);
    if (a->n + takes > MT_MAX_DIMS || dim[k] + takes > t->ndim)
      return fail(MT_EINDEX, "too many indices for tensor of dimension %d", t->ndim);
    Tensor *rows = NULL;
    if (i->dtype == MT_BOOL && (!check_mask(t, i, dim[k]) || !(rows = op_run(&def_nonzero, (Arg[]){ARG_T(i)}))))
      return false;
    for (int d = 0; d < takes; d++) {
      size[a->n] = t->shape[dim[k] + d];
      a->dim[a->n] = dim[k] + d;
      list[a->n++] = rows ? op_select(rows, 1, d) : i;
    }
  }
  if (failed()) return false;
  a->at = a->n == 1
              ? list[0]
              : op_run(&def_position, (Arg[]){ARG_TENSORS(list, a->n), ARG_INTS(a->dim, a->n), ARG_INTS(size, a->n)});
  return a->at != NULL;
}

/* Neighbouring dims of a tensor that lies evenly become one, so that positions need no division. */
static Tensor *join_dims(Tensor *t, Advanced *a) {
  int64_t shape[MT_MAX_DIMS], stride[MT_MAX_DIMS];
  int ndim = 0;
  for (int k = 1; k < a->n; k++)
    if (a->dim[k] != a->dim[k - 1] + 1) return t;
  if (a->n < 2) return t;
  for (int d = 0; d < t->ndim; d++) {
    if (d > a->dim[0] && d <= a->dim[a->n - 1])
      shape[ndim - 1] *= t->shape[d];
    else
      shape[ndim++] = t->shape[d];
  }
  if (!shape_view_strides(t, ndim, shape, stride)) return t;
  a->n = 1;
  return op_reshape(t, ndim, shape);
}

Tensor *op_index(Tensor *t, int n, Tensor *const *index, const int64_t *dims) {
  Advanced a;
  if (!t || failed() || !advanced(&a, t, n, index, dims)) return NULL;
  t = join_dims(t, &a);
  return op_index_at(t, a.at, a.n, a.dim);
}

/* Values may have more leading dims of size 1 than the place they go to. */
static Tensor *drop_leading(Tensor *values) {
  while (values && values->ndim > 0 && values->shape[0] == 1) values = op_squeeze(values, 0);
  return values;
}

Tensor *op_index_put(Tensor *t, int n, Tensor *const *index, const int64_t *dims, Tensor *values, bool accumulate,
                     bool inplace) {
  Advanced a;
  if (!t || !values || failed() || !advanced(&a, t, n, index, dims)) return NULL;
  return index_put_at(t, a.at, drop_leading(values), a.n, a.dim, accumulate, inplace);
}

/* index_put: entries that are nil leave their dim alone; a mask takes as many dims as it has. */
static bool compose_index_put(OpCall *c) {
  Tensor *t = in(c, 0), *index[MT_MAX_DIMS];
  const Arg *indices = &c->arg[1];
  int64_t dim[MT_MAX_DIMS];
  int n = 0, at = 0;
  for (int k = 0; indices->given && k < indices->n; k++) {
    Tensor *i = indices->tensors[k];
    if (at >= MT_MAX_DIMS) return fail(MT_EINDEX, "too many indices for tensor of dimension %d", t->ndim);
    if (i) {
      index[n] = i;
      dim[n++] = at;
    }
    at += i && i->dtype == MT_BOOL ? i->ndim : 1;
  }
  if (n == 0) return fail(MT_EINDEX, "index_put: at least one index tensor is needed");
  return compose_return(c, 0, op_index_put(t, n, index, dim, in(c, 2), c->arg[3].i, c->inplace));
}
OP(index_put, .schema = "index_put(Tensor input, Tensor[]? indices, Tensor values, bool accumulate=False) -> Tensor",
   .doc = "input with values written (or added, with accumulate) at the places that one index tensor or mask a dim "
          "names, as x[{...}] = values "
          "does; torch.none leaves a dim alone.",
   .samples = "f(3,4) [x(1;3)] f(4) | f(3,4) [x(5;3),x(5;4)] f(5) true | f(3) [x(2;3)] f() true",
   .errors = "f(3,4) [x(2;9)] f(4) | f(3) [x(2;3)] f(5)", .flags = OP_BOTH | OP_INPLACE, .compose = compose_index_put);

/* --- take and put: positions in the flattened tensor --- */

static int all_dims(const Tensor *t, int64_t *dims) {
  for (int d = 0; d < t->ndim; d++) dims[d] = d;
  if (t->ndim == 0) dims[0] = 0;
  return t->ndim > 0 ? t->ndim : 1;
}
static bool compose_take(OpCall *c) {
  Tensor *t = in(c, 0);
  int64_t dims[MT_MAX_DIMS];
  bool flat = tensor_is_contiguous(t) && t->ndim > 1;
  if (flat) t = op_reshape(t, 1, &t->numel);
  if (!t || !any_check_positions(in(c, 1), t->numel, true, -1)) return false;
  return compose_return(c, 0, op_index_at(t, in(c, 1), all_dims(t, dims), dims));
}
OP(take, .schema = "take(Tensor input, Index index) -> Tensor",
   .doc = "The elements at positions counted through the flattened input; the result has index's shape. Negative "
          "positions count from the end.",
   .samples = "f(3,4) x(2,3;12) | f(5) x(3;5) | i(4) x(2;4)", .errors = "f(3,4) x(3;30)", .flags = OP_BOTH,
   .compose = compose_take);

static bool compose_put(OpCall *c) {
  Tensor *t = in(c, 0), *index = in(c, 1), *source = in(c, 2);
  int64_t dims[MT_MAX_DIMS];
  if (source->numel != index->numel)
    return fail(MT_EINDEX,
                "put_(): Expected source and index to have the same number of elements, but got source.numel() = %lld, "
                "index.numel() = %lld",
                (long long)source->numel, (long long)index->numel);
  if (source->dtype != t->dtype)
    return fail(
        MT_EARG,
        "put_(): self and source expected to have the same dtype, but got self.dtype = %s and source.dtype = %s",
        dtype_info[t->dtype].type_name, dtype_info[source->dtype].type_name);
  if (!any_check_positions(index, t->numel, true, -1)) return false;
  source = op_reshape(source, index->ndim, index->shape);
  return compose_return(c, 0, index_put_at(t, index, source, all_dims(t, dims), dims, c->arg[3].i, c->inplace));
}
OP(put, .schema = "put(Tensor input, Index index, Tensor source, bool accumulate=False) -> Tensor",
   .doc = "input with source written (or added) at positions counted through the flattened input.",
   .samples = "f(3,4) x(1;12) f(1) | f(3,4) x(5;12) f(5) true", .errors = "f(3,4) x(3;12) f(2) | f(3) x(1;9) f(1)",
   .flags = OP_BOTH | OP_INPLACE, .compose = compose_put);

/* --- masks --- */

static bool is_mask(const Tensor *mask, const char *sentence) {
  return mask->dtype == MT_BOOL ||
         fail(MT_EARG, "%s but got mask with dtype %s. Compare first (x:gt(0)) or use :bool()", sentence,
              dtype_info[mask->dtype].name);
}

/* Both broadcast against each other, as vectors if they were 0-dim. */
static bool broadcast_mask(Tensor **t, Tensor **mask) {
  int64_t shape[MT_MAX_DIMS];
  int ndim = 0;
  if (!shape_broadcast(&ndim, shape, (*t)->ndim, (*t)->shape) ||
      !shape_broadcast(&ndim, shape, (*mask)->ndim, (*mask)->shape))
    return false;
  if (ndim == 0) shape[ndim++] = 1;
  *t = op_expand(*t, ndim, shape);
  *mask = op_expand(*mask, ndim, shape);
  return *t && *mask;
}

static bool compose_masked_select(OpCall *c) {
  Tensor *t = in(c, 0), *mask = in(c, 1);
  if (!is_mask(mask, "masked_select: expected BoolTensor for mask") || !broadcast_mask(&t, &mask)) return false;
  return compose_return(c, 0, op_index(t, 1, &mask, (int64_t[]){0}));
}
OP(masked_select, .schema = "masked_select(Tensor input, Tensor mask) -> Tensor",
   .doc = "The elements of input where mask holds, as a vector in row-major order; both broadcast.",
   .samples = "f(3,4) b(3,4) | f(3,4) b(4) | f() b() | i(3) b(3)", .errors = "f(3) b(4) | f(3) f(3)", .flags = OP_BOTH,
   .compose = compose_masked_select);

static bool infer_masked_fill(OpCall *c) {
  OutMeta *m = &c->meta[0];
  if (!is_mask(in(c, 1), "masked_fill_ only supports boolean masks,")) return false;
  if (in(c, 2)->ndim != 0)
    return fail(MT_EARG,
                "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with %d dimension(s).",
                in(c, 2)->ndim);
  m->ndim = 0;
  m->dtype = (DType)in(c, 0)->dtype;
  return shape_broadcast(&m->ndim, m->shape, in(c, 0)->ndim, in(c, 0)->shape) &&
         shape_broadcast(&m->ndim, m->shape, in(c, 1)->ndim, in(c, 1)->shape);
}
static void back_masked_fill(Grad *g) {
  Tensor *gy = g_out(g, 0), *mask = g_in(g, 1);
  if (g_needs(g, 0)) g_set(g, 0, op_run(&def_masked_fill, (Arg[]){ARG_T(gy), ARG_T(mask), ARG_T(op_int(0))}));
  if (g_needs(g, 2)) g_set(g, 2, op_sum(op_where(mask, gy, op_float(0))));
}
OP(masked_fill, .schema = "masked_fill(Tensor input, Tensor mask, Operand value) -> Tensor",
   .doc = "input with value, a number or a 0-dim tensor, where mask holds; input and mask broadcast.",
   .samples = "f(3,4) b(3,4) 1.5 | f(3,4) b(4) f() | f(3,1) b(4) -2 | i(3) b(3) 7",
   .errors = "f(3) b(4) 1 | f(3) f(3) 1 | f(3) b(3) f(3)", .saves = "input: mask; value: mask",
   .flags = OP_BOTH | OP_INPLACE | OP_INTO, .infer = infer_masked_fill, .kernel = EVERYWHERE(any_masked_fill),
   .backward = back_masked_fill);

static bool compose_masked_scatter(OpCall *c) {
  Tensor *t = in(c, 0), *mask = in(c, 1), *source = in(c, 2), *to = t;
  int64_t dims[MT_MAX_DIMS];
  if (!is_mask(mask, "masked_scatter_ only supports boolean masks,")) return false;
  if (source->dtype != t->dtype)
    return fail(MT_EARG, "masked_scatter: expected self and source to have same dtypes but got %s and %s",
                dtype_info[t->dtype].type_name, dtype_info[source->dtype].type_name);
  int ndim = t->ndim;
  if (!broadcast_mask(&to, &mask)) return false;
  bool same = tensor_same_shape(to, t) || (ndim == 0 && to->numel == 1);
  if (c->inplace && !same)
    return fail(MT_EARG, "output with shape %s doesn't match the broadcast shape %s", shape_text(t->ndim, t->shape),
                shape_text(to->ndim, to->shape));
  Tensor *at = op_run(&def_mask_position, (Arg[]){ARG_T(mask)});
  if (!at) return false;
  if (source->numel < at->numel)
    return fail(MT_EARG, "Number of elements of source < number of ones in mask: %lld < %lld", (long long)source->numel,
                (long long)at->numel);
  source = op_narrow(op_reshape(source, 1, &source->numel), 0, 0, at->numel);
  if (same) to = t;
  return compose_return(c, 0, index_put_at(to, at, source, all_dims(to, dims), dims, false, c->inplace));
}
OP(masked_scatter, .schema = "masked_scatter(Tensor input, Tensor mask, Tensor source) -> Tensor",
   .doc = "input with the elements of source written, in order, where mask holds.",
   .samples = "f(3,4) b(3,4) f(12) | f(3,4) b(4) f(3,4)", .errors = "f(3) b(4) f(4) | f(3) f(3) f(3) | f(3) b(3) i(3)",
   .flags = OP_BOTH | OP_INPLACE, .compose = compose_masked_scatter);

/* --- unravel_index --- */

static bool compose_unravel_index(OpCall *c) {
  const Arg *shape = &c->arg[1];
  int64_t total;
  if (!dtype_is_integral((DType)in(c, 0)->dtype))
    return fail(MT_EARG, "expected 'indices' to be integer dtype, but got torch.%s", dtype_info[in(c, 0)->dtype].name);
  Tensor *index = op_cast(in(c, 0), MT_I64);
  if (!index || !shape_check(shape->n, shape->ints) || !size_product(shape->ints, shape->n, &total) ||
      !any_check_positions(index, total, false, -1))
    return false;
  if (!compose_list(c, shape->n)) return false;
  c->list_length = shape->n; /* filled from the last dim on */
  Tensor *rest = op_sub(index, op_int(1));
  for (int d = shape->n - 1; d >= 0; d--) {
    Tensor *size = op_int(shape->ints[d] > 0 ? shape->ints[d] : 1);
    c->list[d] = tensor_retain(op_add(op_run(&def_remainder, (Arg[]){ARG_T(rest), ARG_T(size)}), op_int(1)));
    rest = op_run(&def_floor_divide, (Arg[]){ARG_T(rest), ARG_T(size)});
  }
  return !failed();
}
OP(unravel_index, .schema = "unravel_index(Index indices, ints shape) -> Tensor[]",
   .doc = "Positions in a flattened tensor of that shape as positions in each of its dims.",
   .samples = "x(5;12) {3,4} | x(2,2;24) {2,3,4}", .errors = "x(3;30) {3,4} | f(3) {3,4}",
   .flags = OP_FUNCTION | OP_NO_GRADIENT, .compose = compose_unravel_index);
