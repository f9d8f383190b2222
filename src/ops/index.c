/* Indexing by one index tensor along a dim: gather and scatter, index_select and its kin.
 *
 * Reading and adding are each other's gradients: gather and scatter_add, index_select and index_add. Index tensors hold
 * positions from 1; the kernels check them before anything is written. */
#include "cpu/index.h"
#include "cpu/kernels.h"
#include "cpu/position.h"
#include "graph/record.h"
#include "ops/ops.h"
#include "ops/scatter.h"
#include <string.h>

extern OpDef def_amax, def_amin, def_scatter_add, def_scatter_value, def_index_add, def_index_fill;

static bool check_index_dtype(const OpCall *c, int k) {
  DType d = (DType)in(c, k)->dtype;
  return d == MT_I64 || d == MT_I32 ||
         fail(MT_EARG, "%s(): Expected dtype int32/int64 for index, but got %s: use :long()", c->def->info->name,
              dtype_info[d].name);
}

static bool check_same_dtype(const OpCall *c, int k, const char *name) {
  return in(c, 0)->dtype == in(c, k)->dtype ||
         fail(MT_EARG, "%s(): Expected self.dtype to be equal to %s.dtype, but got %s and %s: convert one with :to()",
              c->def->info->name, name, dtype_info[in(c, 0)->dtype].type_name, dtype_info[in(c, k)->dtype].type_name);
}

static int64_t size_at(const Tensor *t, int d) { return t->ndim > 0 ? t->shape[d] : 1; }
static int rank_of(const Tensor *t) { return t->ndim > 0 ? t->ndim : 1; }

static bool same_rank(const OpCall *c, int k, const char *name) {
  return rank_of(in(c, 2)) == rank_of(in(c, k)) ||
         fail(MT_EARG, "Index tensor must have the same number of dimensions as %s tensor: index is %s, %s is %s", name,
              shape_text(in(c, 2)->ndim, in(c, 2)->shape), name, shape_text(in(c, k)->ndim, in(c, k)->shape));
}

/* --- gather(input, dim, index): out[i][j] = input[index[i][j]][j] --- */

static bool infer_gather(OpCall *c) {
  Tensor *t = in(c, 0), *index = in(c, 2);
  int dim;
  if (!dim_wrap(c->arg[1].i, t->ndim, &dim) || !check_index_dtype(c, 2) || !same_rank(c, 0, "input")) return false;
  for (int d = 0; d < rank_of(t); d++)
    if (d != dim && size_at(index, d) > size_at(t, d))
      return fail(
          MT_EARG,
          "Size does not match at dimension %d expected index %s to be no larger than self %s apart from dimension %d",
          d + 1, shape_text(index->ndim, index->shape), shape_text(t->ndim, t->shape), dim + 1);
  return out_shape(c, 0, (DType)t->dtype, index->ndim, index->shape);
}
static Tensor *zeros_of(const EdgeMeta *m) {
  return op_full((DType)m->dtype, m->ndim, m->shape, m->device, scalar_int(0));
}
static void back_gather(Grad *g) {
  g_set(g, 0, op_scatter_add(zeros_of(g_meta(g, 0)), g_arg(g, 1)->i, g_in(g, 2), g_out(g, 0)));
}
OP(gather, .schema = "gather(Tensor input, Dim dim, Index index, *, bool sparse_grad=False) -> Tensor",
   .doc = "The elements of input at the positions in index along dim. index has input's number of dims and may be "
          "smaller in the "
          "others; the result has index's shape.",
   .samples = "f(3,4) d1 x(2,4;3) | f(3,4) d2 x(3,2;4) | f(3,4) d-1 x(2,3;4) | f(5) d1 x(7;5) | f() d1 x(;1) | "
              "f(2,3,4) d2 x(2,5,4;3)",
   .errors = "f(3,4) d1 x(2;3) | f(3,4) d1 x(2,5;3) | f(3,4) d1 x(2,4;9) | f(3,4) d3 x(2,4;3) | f(3,4) d1 f(2,4)",
   .saves = "input: index", .flags = OP_BOTH, .infer = infer_gather, .kernel = EVERYWHERE(any_gather),
   .backward = back_gather);

/* --- scatter(input, dim, index, src): input[index[i][j]][j] = src[i][j] --- */

bool scatter_check(OpCall *c, bool source) {
  Tensor *t = in(c, 0), *index = in(c, 2), *s = source ? in(c, 3) : NULL;
  int dim;
  if (!dim_wrap(c->arg[1].i, t->ndim, &dim) || !check_index_dtype(c, 2) || (source && !check_same_dtype(c, 3, "src")))
    return false;
  if (index->numel > 0) {
    if (!same_rank(c, 0, "self") || (source && !same_rank(c, 3, "src"))) return false;
    bool fits = true;
    for (int d = 0; d < rank_of(t); d++)
      fits &= (d == dim || size_at(index, d) <= size_at(t, d)) && (!s || size_at(index, d) <= size_at(s, d));
    if (!fits)
      return fail(MT_EARG, "Expected index %s to be no larger than self %s apart from dimension %d%s%s",
                  shape_text(index->ndim, index->shape), shape_text(t->ndim, t->shape), dim + 1,
                  s ? " and to be no larger size than src " : "", s ? shape_text(s->ndim, s->shape) : "");
  }
  return infer_same(c);
}
static bool infer_scatter(OpCall *c) { return scatter_check(c, true); }
static bool infer_scatter_value(OpCall *c) { return scatter_check(c, false); }

static Tensor *scatter_zero(Tensor *t, int64_t dim, Tensor *index) {
  return op_run(&def_scatter_value, (Arg[]){ARG_T(t), ARG_I(dim), ARG_T(index), ARG_N(scalar_int(0))});
}
/* gy at the positions of index, as the gradient of a src that may be larger than index: the rest was not used. */
static Tensor *gather_for_source(const Grad *g) {
  Tensor *index = g_in(g, 2);
  const EdgeMeta *m = g_meta(g, 3);
  if (!index) return NULL;
  if (index->numel == 0) return zeros_of(m);
  Tensor *part = op_gather(g_out(g, 0), g_arg(g, 1)->i, index);
  if (!part || (part->ndim == m->ndim && memcmp(part->shape, m->shape, sizeof(int64_t) * (size_t)m->ndim) == 0))
    return part;
  if (part->ndim != m->ndim) return op_reshape(part, m->ndim, m->shape); /* [1] and 0-dim */
  int64_t stride[MT_MAX_DIMS];
  shape_strides(m->ndim, m->shape, stride);
  PartArgs p = part_args(m->ndim, m->shape, stride, part->ndim, part->shape, stride, 0);
  return op_run(&def_part_back, (Arg[]){ARG_T(part), p.arg[0], p.arg[1], p.arg[2], p.arg[3], p.arg[4]});
}
static void back_scatter(Grad *g) {
  if (g_needs(g, 0)) g_set(g, 0, scatter_zero(g_out(g, 0), g_arg(g, 1)->i, g_in(g, 2)));
  if (g_needs(g, 3)) g_set(g, 3, gather_for_source(g));
}
static void back_scatter_value(Grad *g) { g_set(g, 0, scatter_zero(g_out(g, 0), g_arg(g, 1)->i, g_in(g, 2))); }
static void back_scatter_add(Grad *g) {
  if (g_needs(g, 0)) g_set(g, 0, g_out(g, 0));
  if (g_needs(g, 3)) g_set(g, 3, gather_for_source(g));
}
OP(scatter, .schema = "scatter(Tensor input, Dim dim, Index index, Tensor src) -> Tensor",
   .doc = "input with the elements of src written at the positions in index along dim. Where positions repeat, the "
          "last one in "
          "order stays.",
   .samples = "f(3,4) d1 x(1,4;3) f(1,4) | f(3,4) d2 x(3,1;4) f(3,2) | f(5) d-1 x(1;5) f(3)",
   .errors =
       "f(3,4) d1 x(2;3) f(2) | f(3,4) d1 x(2,4;3) f(1,4) | f(3,4) d1 x(2,4;9) f(2,4) | f(3,4) d1 x(2,4;3) i(2,4)",
   .saves = "input: index; src: index", .flags = OP_BOTH | OP_INPLACE | OP_MODIFIES, .infer = infer_scatter,
   .kernel = EVERYWHERE(any_scatter), .backward = back_scatter);
OP(scatter_value, .schema = "scatter(Tensor input, Dim dim, Index index, Number value) -> Tensor",
   .doc = "input with value written at the positions in index along dim.",
   .samples = "f(3,4) d1 x(2,4;3) 1.5 | f(3,4) d2 x(3,2;4) 0 | i(5) d1 x(2;5) 7 | b(4) d1 x(2;4) 1",
   .errors = "f(3,4) d1 x(2;3) 1 | f(3,4) d1 x(2,4;9) 1", .saves = "input: index",
   .flags = OP_BOTH | OP_INPLACE | OP_MODIFIES, .infer = infer_scatter_value, .kernel = EVERYWHERE(any_scatter_value),
   .backward = back_scatter_value);
OP(scatter_add, .schema = "scatter_add(Tensor input, Dim dim, Index index, Tensor src) -> Tensor",
   .doc = "input with the elements of src added at the positions in index along dim; repeated positions add up.",
   .samples = "f(3,4) d1 x(5,4;3) f(5,4) | f(3,4) d2 x(3,2;4) f(3,2) | f(5) d1 x(3;5) f(4) | i(5) d1 x(3;5) i(3)",
   .errors = "f(3,4) d1 x(2;3) f(2) | f(3,4) d1 x(2,4;3) f(1,4) | f(3,4) d1 x(2,4;9) f(2,4) | f(3) d1 x(2;3) i(2)",
   .saves = "src: index", .flags = OP_BOTH | OP_INPLACE | OP_MODIFIES, .infer = infer_scatter,
   .kernel = EVERYWHERE(any_scatter_add), .backward = back_scatter_add);

/* --- index_select and writing by a vector of positions --- */

static bool check_vector(const OpCall *c) {
  return check_index_dtype(c, 2) &&
         (in(c, 2)->ndim <= 1 || fail(MT_EINDEX, "%s(): Index is supposed to be a vector, but got %s",
                                      c->def->info->name, shape_text(in(c, 2)->ndim, in(c, 2)->shape)));
}

static bool infer_index_select(OpCall *c) {
  Tensor *t = in(c, 0), *index = in(c, 2);
  IndexLayout l;
  if (!check_vector(c) || !index_layout(&l, t, 1, &index->numel, 1, &c->arg[1].i)) return false;
  if (t->ndim > 0) return out_shape(c, 0, (DType)t->dtype, l.ndim, l.shape);
  if (index->numel != 1)
    return fail(MT_EINDEX, "index_select(): Index to scalar can have only 1 value, got %lld value(s)",
                (long long)index->numel);
  return infer_same(c);
}
static Tensor *op_index_add(Tensor *t, int64_t dim, Tensor *index, Tensor *source) {
  return op_run(&def_index_add, (Arg[]){ARG_T(t), ARG_I(dim), ARG_T(index), ARG_T(source), ARG_N(scalar_int(1))});
}
static void back_index_select(Grad *g) {
  g_set(g, 0, op_index_add(zeros_of(g_meta(g, 0)), g_arg(g, 1)->i, g_in(g, 2), g_out(g, 0)));
}
OP(index_select, .schema = "index_select(Tensor input, Dim dim, Index index) -> Tensor",
   .doc = "The slices of input at the positions in the vector index along dim; a copy.",
   .samples = "f(3,4) d1 x(5;3) | f(3,4) d2 x(2;4) | f(2,3,4) d-2 x(2;3) | f(5) d1 x(0;5) | f(3,4) d1 x(;3) | i(4) d1 "
              "x(2;4) | f() d1 x(1;1)",
   .errors = "f(3,4) d1 x(2;9) | f(3,4) d1 x(2,2;3) | f(3,4) d3 x(2;3) | f(3,4) d1 f(2)", .saves = "input: index",
   .flags = OP_BOTH, .infer = infer_index_select, .kernel = EVERYWHERE(any_index_select),
   .backward = back_index_select);

/* What a source written by a vector of positions must be. */
bool vector_source_check(const OpCall *c) {
  const char *name = c->def->info->name;
  Tensor *t = in(c, 0), *index = in(c, 2), *source = in(c, 3);
  int dim;
  if (!check_vector(c) || !dim_wrap(c->arg[1].i, t->ndim, &dim)) return false;
  bool copies = strcmp(name, "index_copy") == 0;
  if (t->dtype != source->dtype && copies)
    return fail(MT_EARG,
                "index_copy_(): self and source expected to have the same dtype, but got (self) %s and (source) %s: "
                "convert one with :to()",
                dtype_info[t->dtype].type_name, dtype_info[source->dtype].type_name);
  if (t->dtype != source->dtype)
    return fail(MT_EARG, "%s_(): self (%s) and source (%s) must have the same scalar type: convert one with :to()",
                name, dtype_info[t->dtype].type_name, dtype_info[source->dtype].type_name);
  if (source->ndim == 0 ? index->numel != 1 : dim < source->ndim && source->shape[dim] != index->numel)
    return fail(MT_EINDEX, "%s_(): Number of indices (%lld) should be equal to source.size(dim): (%lld), for dim: %d",
                name, (long long)index->numel, (long long)size_at(source, dim), dim + 1);
  bool same = rank_of(t) == rank_of(source);
  for (int d = 0; same && d < rank_of(t); d++) same = d == dim || size_at(t, d) == size_at(source, d);
  if (!same && copies)
    return fail(MT_EARG,
                "index_copy_(): Source/destination tensor must have same slice shapes. self is %s, source %s, and only "
                "their sizes at dimension %d may differ",
                shape_text(t->ndim, t->shape), shape_text(source->ndim, source->shape), dim + 1);
  return same ||
         fail(
             MT_EARG,
             "source tensor shape must match self tensor shape, excluding the specified dimension. Got self.shape = %s "
             "source.shape = %s",
             shape_text(t->ndim, t->shape), shape_text(source->ndim, source->shape));
}
static bool infer_index_write(OpCall *c) { return vector_source_check(c) && infer_same(c); }

static Tensor *select_for_source(const Grad *g) {
  Tensor *t = op_index_select(g_out(g, 0), g_arg(g, 1)->i, g_in(g, 2));
  const EdgeMeta *m = g_meta(g, 3);
  return t && t->ndim != m->ndim ? op_reshape(t, m->ndim, m->shape) : t;
}
static Tensor *index_zero(const Grad *g) {
  return op_run(&def_index_fill,
                (Arg[]){ARG_T(g_out(g, 0)), ARG_I(g_arg(g, 1)->i), ARG_T(g_in(g, 2)), ARG_T(op_int(0))});
}
static void back_index_add(Grad *g) {
  if (g_needs(g, 0)) g_set(g, 0, g_out(g, 0));
  if (!g_needs(g, 3)) return;
  Scalar alpha = g_arg(g, 4)->number;
  Tensor *t = select_for_source(g);
  g_set(g, 3, scalar_double(alpha) == 1 ? t : op_mul(t, op_number(alpha)));
}
static void back_index_copy(Grad *g) {
  if (g_needs(g, 0)) g_set(g, 0, index_zero(g));
  if (g_needs(g, 3)) g_set(g, 3, select_for_source(g));
}
OP(index_add, .schema = "index_add(Tensor input, Dim dim, Index index, Tensor source, *, Number alpha=1) -> Tensor",
   .doc = "input with alpha times the slices of source added at the positions in the vector index along dim.",
   .samples = "f(3,4) d1 x(5;3) f(5,4) | f(3,4) d2 x(2;4) f(3,2) alpha=2 | f(5) d1 x(3;5) f(3) | i(4) d1 x(2;4) i(2)",
   .errors = "f(3,4) d1 x(2;3) f(3,4) | f(3,4) d1 x(2;3) f(2,5) | f(3,4) d1 x(2;9) f(2,4) | f(3) d1 x(2;3) i(2)",
   .saves = "source: index", .flags = OP_BOTH | OP_INPLACE | OP_MODIFIES, .infer = infer_index_write,
   .kernel = EVERYWHERE(any_index_add), .backward = back_index_add);
OP(index_copy, .schema = "index_copy(Tensor input, Dim dim, Index index, Tensor source) -> Tensor",
   .doc = "input with the slices of source written at the positions in the vector index along dim.",
   .samples = "f(3,4) d1 x(1;3) f(1,4) | f(3,4) d2 x(1;4) f(3,1) | f(5) d1 x(1;5) f(1)",
   .errors = "f(3,4) d1 x(2;3) f(3,4) | f(3,4) d1 x(2;3) f(2,5) | f(3,4) d1 x(2;9) f(2,4) | f(3) d1 x(2;3) i(2)",
   .saves = "input: index; source: index", .flags = OP_BOTH | OP_INPLACE | OP_MODIFIES, .infer = infer_index_write,
   .kernel = EVERYWHERE(any_index_copy), .backward = back_index_copy);

static bool infer_index_fill(OpCall *c) {
  int dim;
  if (in(c, 3)->ndim != 0)
    return fail(MT_EARG, "index_fill_ only supports a 0-dimensional value tensor, but got tensor with %d dimension(s).",
                in(c, 3)->ndim);
  return check_vector(c) && dim_wrap(c->arg[1].i, in(c, 0)->ndim, &dim) && infer_same(c);
}
/* Each element that was written counts once for value, however often its position is named. */
static void back_index_fill(Grad *g) {
  Tensor *kept = index_zero(g);
  if (g_needs(g, 0)) g_set(g, 0, kept);
  if (g_needs(g, 3)) g_set(g, 3, op_sum(op_sub(g_out(g, 0), kept)));
}
OP(index_fill, .schema = "index_fill(Tensor input, Dim dim, Index index, Operand value) -> Tensor",
   .doc = "input with value, a number or a 0-dim tensor, written at the positions in the vector index along dim. "
          "Negative positions "
          "count from the end.",
   .samples = "f(3,4) d1 x(2;3) 1.5 | f(3,4) d2 x(2;4) f() | i(4) d1 x(2;4) 3",
   .errors = "f(3,4) d1 x(2;9) 1 | f(3,4) d1 x(2;3) f(2)", .saves = "input: index; value: index",
   .flags = OP_BOTH | OP_INPLACE | OP_MODIFIES, .infer = infer_index_fill, .kernel = EVERYWHERE(any_index_fill),
   .backward = back_index_fill);

/* --- built from the above --- */

/* take_along_dim: input and indices broadcast against each other except along dim */
static bool compose_take_along_dim(OpCall *c) {
  Tensor *t = in(c, 0), *index = in(c, 1);
  int64_t to[MT_MAX_DIMS], of[MT_MAX_DIMS];
  int dim, ndim = t->ndim;
  if (!c->arg[2].given)
    return compose_return(c, 0, op_gather(op_reshape(t, 1, &t->numel), 0, op_reshape(index, 1, &index->numel)));
  if (!dim_wrap(c->arg[2].i, ndim, &dim)) return false;
  if (ndim != index->ndim)
    return fail(MT_EARG,
                "torch.take_along_dim(): input and indices should have the same number of dimensions, but got %d "
                "dimensions for "
                "input, and %d dimensions for indices",
                ndim, index->ndim);
  memcpy(to, t->shape, sizeof(int64_t) * (size_t)ndim);
  memcpy(of, index->shape, sizeof(int64_t) * (size_t)ndim);
  if (ndim > 0) to[dim] = of[dim] = 1;
  int n = ndim;
  if (!shape_broadcast(&n, to, ndim, of)) return false;
  memcpy(of, to, sizeof(int64_t) * (size_t)ndim);
  if (ndim > 0) {
    to[dim] = t->shape[dim];
    of[dim] = index->shape[dim];
  }
  return compose_return(c, 0, op_gather(op_expand(t, ndim, to), dim, op_expand(index, ndim, of)));
}
OP(take_along_dim, .schema = "take_along_dim(Tensor input, Index indices, Dim? dim=None) -> Tensor",
   .doc = "As gather, after input and indices were broadcast in the other dims; without dim on the flattened tensors. "
          "Undoes what argsort and "
          "argmax (with keepdim) found.",
   .samples = "f(3,4) x(3,2;4) d2 | f(3,4) x(1,4;3) d1 | f(3,4) x(5;12)",
   .errors = "f(3,4) x(2;3) d1 | f(3,4) x(3,2;9) d2", .flags = OP_BOTH, .compose = compose_take_along_dim);

/* The largest or the smallest element. */
static int64_t limit_of(Tensor *t, OpDef *def) {
  Tensor *element = op_run(def, (Arg[]){ARG_T(t), ARG_NIL, ARG_I(0)});
  return element ? tensor_scalar(element).i : 0;
}
static bool compose_one_hot(OpCall *c) {
  Tensor *t = in(c, 0);
  int64_t classes = c->arg[1].i, shape[MT_MAX_DIMS + 1];
  if (t->dtype != MT_I64 && t->dtype != MT_I32)
    return fail(MT_EARG, "one_hot is only applicable to index tensor of type LongTensor: input is %s, use :long()",
                tensor_text(t));
  if (classes == 0 && t->numel > 0)
    return fail(MT_EINDEX, "Class values must be smaller than num_classes. num_classes is 0: it should be positive");
  if (classes == 0 || classes < -1)
    return fail(MT_EARG, "num_classes should be positive, or -1 to take the largest label, got %lld",
                (long long)classes);
  if (classes == -1 && t->numel == 0) return fail(MT_EARG, "Can not infer total number of classes from empty tensor.");
  /* With classes given, a device is not waited for: a label that is none is a fault there. */
  if (t->numel > 0 && (classes == -1 || tensor_device(t).kind == MT_CPU)) {
    int64_t largest = limit_of(t, &def_amax);
    if (failed()) return false;
    if (classes == -1)
      classes = largest;
    else if (largest > classes)
      return class_fail(largest, classes);
  }
  if (classes < 1) classes = 1; /* the labels themselves are refused below */
  if (t->ndim == MT_MAX_DIMS)
    return fail(MT_EARG, "one_hot: the result would have more than %d dimensions", MT_MAX_DIMS);
  memcpy(shape, t->shape, sizeof(int64_t) * t->ndim);
  shape[t->ndim] = classes;
  Tensor *zeros = op_full(MT_I64, t->ndim + 1, shape, tensor_device(t), scalar_int(0));
  Tensor *hot = op_run_inplace(&def_scatter_value,
                               (Arg[]){ARG_T(zeros), ARG_I(-1), ARG_T(op_unsqueeze(t, -1)), ARG_N(scalar_int(1))});
  if (!hot && fail_code() == MT_EINDEX) {
    fail_clear();
    int64_t smallest = limit_of(t, &def_amin);
    return !failed() && class_fail(smallest, classes);
  }
  return compose_return(c, 0, hot);
}
OP(one_hot, .schema = "one_hot(Index input, int num_classes=-1) -> Tensor",
   .doc = "int64 tensor of one more dim, of size num_classes, with a 1 at each label; labels count from 1. num_classes "
          "-1: the largest label.",
   .samples = "x(4;3) 3 | x(2,3;5) 6 | x(4;4)", .errors = "x(4;5) 1 | x(0;3) | x(3;3) 0",
   .flags = OP_FUNCTION | OP_NO_GRADIENT, .compose = compose_one_hot);

Tensor *op_gather(Tensor *t, int64_t dim, Tensor *index) {
  return op_run(&def_gather, (Arg[]){ARG_T(t), ARG_I(dim), ARG_T(index), ARG_I(0)});
}
Tensor *op_scatter_add(Tensor *t, int64_t dim, Tensor *index, Tensor *source) {
  return op_run(&def_scatter_add, (Arg[]){ARG_T(t), ARG_I(dim), ARG_T(index), ARG_T(source)});
}
Tensor *op_index_select(Tensor *t, int64_t dim, Tensor *index) {
  return op_run(&def_index_select, (Arg[]){ARG_T(t), ARG_I(dim), ARG_T(index)});
}
