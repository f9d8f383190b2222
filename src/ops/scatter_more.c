/* Scatter variants: writing with a reduction (scatter_reduce, index_reduce), and replacing what a view covers
 * (select_scatter, slice_scatter, diagonal_scatter, as_strided_scatter). Results are copies; the gradient of what was
 * replaced is zero. */
#include "base/size.h"
#include "cpu/kernels.h"
#include "cpu/position.h"
#include "graph/record.h"
#include "ops/ops.h"
#include "ops/scatter.h"
#include <string.h>

extern OpDef def_scatter_reduce_at, def_scatter_value, def_floor_divide, def_clone, def_slice, def_diagonal;

static Tensor *scatter_number(Tensor *t, int64_t dim, Tensor *index, int64_t value) {
  return op_run(&def_scatter_value, (Arg[]){ARG_T(t), ARG_I(dim), ARG_T(index), ARG_N(scalar_int(value))});
}
/* t, but `number` where condition holds. */
static Tensor *filled(Tensor *t, Tensor *condition, int64_t number) { return op_where(condition, op_int(number), t); }

/* --- scatter_reduce and index_reduce --- */

static Tensor *reduce_at(Tensor *t, int64_t dim, Tensor *index, Tensor *src, const char *how, bool include,
                         bool inplace) {
  Arg arg[] = {ARG_T(t), ARG_I(dim), ARG_T(index), ARG_T(src), ARG_S(how), ARG_I(include)};
  return inplace ? op_run_inplace(&def_scatter_reduce_at, arg) : op_run(&def_scatter_reduce_at, arg);
}

/* The gradient of a product is that of the others; where a factor is zero the product of the others is computed anew, with
 * ones in the place of the only zero. */
static void back_product(Grad *g, int64_t dim, Tensor *index, bool include) {
  Tensor *x = g_in(g, 0), *src = g_in(g, 3), *gy = g_out(g, 0), *y = g_result(g, 0);
  const char *how = g_arg(g, 4)->str;
  if (g_needs(g, 0)) {
    Tensor *filled_x = filled(x, op_eq(x, op_int(0)), 1);
    Tensor *others = op_div(reduce_at(filled_x, dim, index, src, how, include, false), filled_x);
    Tensor *gx = op_mul(gy, others);
    g_set(g, 0, include ? gx : scatter_number(gx, dim, index, 0));
  }
  if (g_needs(g, 3) && src) {
    Tensor *zero = op_eq(src, op_int(0)), *none = op_zeros_like(x);
    Tensor *zeros = op_gather(op_scatter_add(none, dim, index, op_cast(zero, (DType)src->dtype)), dim, index);
    Tensor *only = op_and(zero, op_eq(zeros, op_int(1)));
    Tensor *without = reduce_at(x, dim, index, filled(src, only, 1), how, include, false);
    Tensor *quotient = op_div(op_gather(op_mul(gy, y), dim, index), filled(src, zero, 1));
    g_set(g, 3, op_where(only, op_gather(op_mul(gy, without), dim, index), quotient));
  }
}
/* Elements that equal the extreme share its gradient evenly. */
static void back_extreme(Grad *g, int64_t dim, Tensor *index, bool include) {
  Tensor *x = g_in(g, 0), *src = g_in(g, 3), *y = g_result(g, 0);
  if (!x || !src || !y) return;
  Tensor *own = op_cast(op_eq(x, y), (DType)x->dtype);
  Tensor *theirs = op_cast(op_eq(src, op_gather(y, dim, index)), (DType)x->dtype);
  Tensor *share = op_div(g_out(g, 0), op_scatter_add(own, dim, index, theirs));
  if (g_needs(g, 0)) {
    Tensor *gx = op_mul(own, share);
    g_set(g, 0, include ? gx : scatter_number(gx, dim, index, 0));
  }
  if (g_needs(g, 3)) g_set(g, 3, op_mul(theirs, op_gather(share, dim, index)));
}
static void back_scatter_reduce(Grad *g) {
  bool include = g_arg(g, 5)->i, product = strcmp(g_arg(g, 4)->str, "prod") == 0;
  (product ? back_product : back_extreme)(g, g_arg(g, 1)->i, g_in(g, 2), include);
}
static bool infer_scatter_reduce(OpCall *c) {
  const char *how = c->arg[4].str;
  if (strcmp(how, "prod") != 0 && strcmp(how, "amax") != 0 && strcmp(how, "amin") != 0)
    return fail(MT_EARG, "reduce must be prod, amax or amin, got %s", how);
  Tensor *index = in(c, 2), *src = in(c, 3);
  if (!scatter_check(c, true)) return false;
  return index->numel == 0 || index->ndim != src->ndim || tensor_same_shape(index, src) ||
         fail(MT_EARG, "scatter_reduce_at: index %s and src %s must have one shape",
              shape_text(index->ndim, index->shape), shape_text(src->ndim, src->shape));
}
OP(scatter_reduce_at,
   .schema = "scatter_reduce_at(Tensor input, Dim dim, Index index, Tensor src, str reduce, bool include_self) -> "
             "Tensor",
   .doc = "input with the elements of src multiplied in, or the extreme taken, at the positions in index along dim.",
   .samples = "f(3,4) d1 x(5,4;3) f(5,4) 'prod' true | f(3,4) d2 x(3,2;4) f(3,2) 'amax' true | f(5) d1 x(3;5) f(3) "
              "'amin' false | f(5) d1 x(3;5) f(3) 'prod' false",
   .errors = "f(3,4) d1 x(2;3) f(2) 'prod' true | f(3) d1 x(2;9) f(2) 'prod' true | f(3) d1 x(2;3) f(2) 'mean' true",
   .saves = "input: input index src result; src: input index src result", .flags = OP_HIDDEN | OP_INPLACE | OP_MODIFIES,
   .infer = infer_scatter_reduce, .kernel = EVERYWHERE(any_scatter_reduce), .backward = back_scatter_reduce);

/* src cut down to the index's shape: the rest of it is not used. */
static Tensor *used_part(Tensor *src, const Tensor *index) {
  if (src->ndim != index->ndim) return op_reshape(src, index->ndim, index->shape); /* [1] and 0-dim */
  for (int d = 0; src && d < index->ndim; d++)
    if (src->shape[d] != index->shape[d]) src = op_narrow(src, d, 0, index->shape[d]);
  return src;
}
static bool known_reduction(const char *how) {
  static const char *const known[] = {"sum", "prod", "mean", "amax", "amin"};
  for (size_t k = 0; k < sizeof known / sizeof *known; k++)
    if (strcmp(how, known[k]) == 0) return true;
  return false;
}

/* Sums and means are scatter_add, with zeros where the input's own elements do not count. */
static Tensor *reduced(Tensor *t, int64_t dim, Tensor *index, Tensor *src, const char *how, bool include,
                       bool inplace) {
  bool mean = strcmp(how, "mean") == 0;
  if (!mean && strcmp(how, "sum") != 0) return reduce_at(t, dim, index, src, how, include, inplace);
  if (!include) t = scatter_number(t, dim, index, 0);
  Tensor *sum = op_scatter_add(t, dim, index, src);
  if (!mean || !sum) return sum;
  Tensor *start = include ? op_ones_like(sum) : op_zeros_like(sum);
  Tensor *count = op_scatter_add(op_detach(start), dim, index, op_ones_like(src));
  count = filled(count, op_eq(count, op_int(0)), 1);
  return tensor_is_float(sum) ? op_div(sum, count) : op_run(&def_floor_divide, (Arg[]){ARG_T(sum), ARG_T(count)});
}
static bool compose_scatter_reduce(OpCall *c) {
  const char *how = c->arg[4].str;
  Tensor *t = in(c, 0), *index = in(c, 2);
  if (!known_reduction(how))
    return fail(MT_EARG, "reduce argument must be either sum, prod, mean, amax or amin, got %s", how);
  if (!scatter_check(c, true)) return false;
  if (t->dtype == MT_BOOL && strcmp(how, "mean") == 0)
    return fail(MT_ENOTIMPL, "\"scatter_gather_tensor_cpu_reduce_mean\" not implemented for 'Bool': use :float()");
  if (index->numel == 0) return compose_return(c, 0, c->inplace ? t : op_run(&def_clone, (Arg[]){ARG_T(t)}));
  Tensor *src = used_part(in(c, 3), index);
  return src && compose_return(c, 0, reduced(t, c->arg[1].i, index, src, how, c->arg[5].i, c->inplace));
}
OP(scatter_reduce,
   .schema = "scatter_reduce(Tensor input, Dim dim, Index index, Tensor src, str reduce, *, bool include_self=True) -> "
             "Tensor",
   .doc = "input with the elements of src reduced ('sum', 'prod', 'mean', 'amax', 'amin') into the positions in index "
          "along dim. include_self = false leaves input's own elements at these positions out.",
   .samples = "f(3,4) d1 x(5,4;3) f(5,4) 'sum' | f(3,4) d2 x(3,2;4) f(3,3) 'mean' | f(5) d1 x(3;5) f(3) 'prod' "
              "include_self=false | f(5) d-1 x(3;5) f(3) 'amax' | f(5) d1 x(4;5) f(4) 'mean' include_self=false | "
              "i(5) d1 x(3;5) i(3) 'amin'",
   .errors = "f(3) d1 x(2;3) f(2) 'most' | f(3,4) d1 x(2;3) f(2) 'sum' | f(3) d1 x(2;9) f(2) 'sum' | f(3) d1 x(2;3) "
             "i(2) 'sum'",
   .flags = OP_BOTH | OP_INPLACE, .compose = compose_scatter_reduce);

/* The old spelling of scatter with a reduction. */
static bool reduction_word(const char *word, const char **how) {
  *how = strcmp(word, "add") == 0 ? "sum" : "prod";
  return strcmp(word, "add") == 0 || strcmp(word, "multiply") == 0 ||
         fail(MT_EARG, "reduce argument must be either add or multiply. Got %s; scatter_reduce knows more", word);
}
static bool compose_scatter_word(OpCall *c) {
  const char *how;
  if (!reduction_word(c->arg[4].str, &how) || !scatter_check(c, true)) return false;
  Tensor *t = in(c, 0), *index = in(c, 2);
  if (index->numel == 0) return compose_return(c, 0, c->inplace ? t : op_run(&def_clone, (Arg[]){ARG_T(t)}));
  Tensor *src = used_part(in(c, 3), index);
  return src && compose_return(c, 0, reduced(t, c->arg[1].i, index, src, how, true, c->inplace));
}
static bool compose_scatter_value_word(OpCall *c) {
  const char *how;
  if (!reduction_word(c->arg[4].str, &how) || !scatter_check(c, false)) return false;
  Tensor *t = in(c, 0), *index = in(c, 2);
  if (index->numel == 0) return compose_return(c, 0, c->inplace ? t : op_run(&def_clone, (Arg[]){ARG_T(t)}));
  Tensor *src = op_full((DType)t->dtype, index->ndim, index->shape, c->device, c->arg[3].number);
  return src && compose_return(c, 0, reduced(t, c->arg[1].i, index, src, how, true, c->inplace));
}
OP(scatter_word, .schema = "scatter(Tensor input, Dim dim, Index index, Tensor src, *, str reduce) -> Tensor",
   .doc = "scatter that adds or multiplies (reduce 'add', 'multiply') instead of writing: scatter_reduce under its old "
          "name.",
   .samples = "f(3,4) d1 x(5,4;3) f(5,4) reduce='add' | f(5) d1 x(3;5) f(3) reduce='multiply'",
   .errors = "f(3) d1 x(2;3) f(2) reduce='sum' | f(3) d1 x(2;9) f(2) reduce='add'", .flags = OP_BOTH | OP_INPLACE,
   .compose = compose_scatter_word);
OP(scatter_value_word, .schema = "scatter(Tensor input, Dim dim, Index index, Number value, *, str reduce) -> Tensor",
   .doc = "scatter of one number that is added or multiplied in.",
   .samples = "f(3,4) d1 x(5,4;3) 1.5 reduce='add' | f(5) d1 x(3;5) 2 reduce='multiply'",
   .errors = "f(3) d1 x(2;3) 1 reduce='sum' | f(3) d1 x(2;9) 1 reduce='add'", .flags = OP_BOTH | OP_INPLACE,
   .compose = compose_scatter_value_word);

static bool compose_index_reduce(OpCall *c) {
  const char *how = c->arg[4].str;
  Tensor *t = in(c, 0), *index = in(c, 2), *source = in(c, 3);
  int64_t shape[MT_MAX_DIMS];
  int dim;
  if (strcmp(how, "sum") == 0 || !known_reduction(how))
    return fail(MT_EARG, "index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got %s%s.", how,
                strcmp(how, "sum") == 0 ? " (index_add sums)" : "");
  if (!vector_source_check(c) || !dim_wrap(c->arg[1].i, t->ndim, &dim)) return false;
  const char *kernel = !c->arg[5].i  ? "index_reduce_func_exclude_input_init"
                       : t->ndim < 2 ? "index_func_"
                                     : "div_floor_cpu";
  if (t->dtype == MT_BOOL && (!c->arg[5].i || t->ndim < 2 || strcmp(how, "mean") == 0))
    return fail(MT_ENOTIMPL, "\"%s\" not implemented for 'Bool': use :to(torch.uint8), or scatter_reduce", kernel);
  if (source->ndim == 0) source = op_reshape(source, 1, (int64_t[]){1});
  if (!source || source->numel == 0)
    return source && compose_return(c, 0, c->inplace ? t : op_run(&def_clone, (Arg[]){ARG_T(t)}));
  for (int d = 0; d < source->ndim; d++) shape[d] = d == dim ? index->numel : 1;
  index = op_expand(op_reshape(index, source->ndim, shape), source->ndim, source->shape);
  if (index && compose_return(c, 0, reduced(t, dim, index, source, how, c->arg[5].i, c->inplace))) return true;
  if (fail_code() == MT_EINDEX) fail_prefix("%s", POSITION_IN_SELF);
  return false;
}
OP(index_reduce,
   .schema =
       "index_reduce(Tensor input, Dim dim, Index index, Tensor source, str reduce, *, bool include_self=True) -> "
       "Tensor",
   .doc = "input with the slices of source reduced ('prod', 'mean', 'amax', 'amin') into the positions in the vector "
          "index along dim.",
   .samples = "f(3,4) d1 x(5;3) f(5,4) 'prod' | f(3,4) d2 x(2;4) f(3,2) 'mean' | f(5) d1 x(3;5) f(3) 'amax' "
              "include_self=false | i(4) d1 x(2;4) i(2) 'amin'",
   .errors = "f(3) d1 x(2;3) f(2) 'sum' | f(3,4) d1 x(2;3) f(3,4) 'prod' | f(3) d1 x(2;9) f(2) 'mean' | f(3) d1 "
             "x(2;3) i(2) 'prod'",
   .flags = OP_BOTH | OP_INPLACE, .compose = compose_index_reduce);

/* --- replacing what a view covers --- */

/* base, which is contiguous, with src in the place that `view` of it covers. */
static bool replace_view(OpCall *c, Tensor *base, Tensor *view, Tensor *src) {
  if (!base || !view) return false;
  if (!tensor_same_shape(view, src))
    return fail(MT_EARG, "expected src to have a size equal to the slice of self. src size = %s, slice size = %s",
                shape_text(src->ndim, src->shape), shape_text(view->ndim, view->shape));
  PartArgs p = part_args(base->ndim, base->shape, base->stride, view->ndim, view->shape, view->stride,
                         view->offset - base->offset);
  src = op_contiguous(op_cast(src, (DType)base->dtype));
  return compose_return(
      c, 0, op_run(&def_part_put, (Arg[]){ARG_T(base), ARG_T(src), p.arg[0], p.arg[1], p.arg[2], p.arg[3], p.arg[4]}));
}

static bool compose_select_scatter(OpCall *c) {
  Tensor *base = op_contiguous(in(c, 0));
  return replace_view(c, base, op_select(op_detach(base), c->arg[2].i, c->arg[3].i), in(c, 1));
}
OP(select_scatter, .schema = "select_scatter(Tensor input, Tensor src, Dim dim, Position index) -> Tensor",
   .doc = "A copy of input with src at one position of dim: the inverse of select.",
   .samples = "f(3,4) f(4) d1 2 | f(3,4) f(3) d-1 -1 | i(3) i() d1 1 | f(3,4) g(4) d1 3",
   .errors = "f(3,4) f(3) d1 2 | f(3,4) f(4) d1 4 | f() f() d1 1", .flags = OP_BOTH, .compose = compose_select_scatter);

/* A position that is inclusive, where PyTorch's stop is not. */
static bool compose_slice_scatter(OpCall *c) {
  Tensor *base = op_contiguous(in(c, 0));
  int dim;
  if (!base) return false;
  if (base->ndim == 0) return fail(MT_EINDEX, "slice() cannot be applied to a 0-dim tensor.");
  if (!dim_wrap(c->arg[2].i, base->ndim, &dim)) return false;
  int64_t size = base->shape[dim], start = c->arg[3].given ? c->arg[3].i : 0;
  int64_t last = c->arg[4].given ? c->arg[4].i : size - 1;
  if (start < 0) start = start < -size ? 0 : start + size;
  if (last < 0 && c->arg[4].given) last = last < -size ? -1 : last + size;
  if (last > size - 1) last = size - 1;
  if (c->arg[5].i < 1) return fail(MT_EARG, "slice step must be positive, got %lld", (long long)c->arg[5].i);
  Tensor *view = op_run(&def_slice,
                        (Arg[]){ARG_T(op_detach(base)), ARG_I(dim), ARG_I(start), ARG_I(last + 1), ARG_I(c->arg[5].i)});
  return replace_view(c, base, view, in(c, 1));
}
OP(slice_scatter,
   .schema = "slice_scatter(Tensor input, Tensor src, Dim dim=0, Position? start=None, Position? end=None, int step=1) "
             "-> Tensor",
   .doc = "A copy of input with src at the positions start to end of dim, both included, by step: the inverse of "
          "x[{{start, end, step}}].",
   .samples = "f(5,4) f(3,4) d1 2 4 | f(3,7) f(3,2) d2 3 -3 2 | f(3,4) f(3,4) | f(5) f(3) d1 3",
   .errors = "f(5,4) f(2,4) d1 2 4 | f(5) f(5) d1 1 5 0 | f() f() | f(5) f(3) d2 3", .flags = OP_BOTH,
   .compose = compose_slice_scatter);

static bool compose_diagonal_scatter(OpCall *c) {
  Tensor *base = op_contiguous(in(c, 0));
  Tensor *view = op_run(&def_diagonal, (Arg[]){ARG_T(op_detach(base)), c->arg[2], c->arg[3], c->arg[4]});
  return replace_view(c, base, view, in(c, 1));
}
OP(diagonal_scatter,
   .schema = "diagonal_scatter(Tensor input, Tensor src, int offset=0, Dim dim1=0, Dim dim2=1) -> Tensor",
   .doc = "A copy of input with src on the diagonal of two dims: the inverse of diagonal.",
   .samples = "f(3,4) f(3) | f(3,4) f(2) -1 | f(2,3,4) f(3,2) 1 d1 d3",
   .errors = "f(3,4) f(4) | f(3) f(3) | f(3,3) f(3) 0 d1 d1", .flags = OP_BOTH, .compose = compose_diagonal_scatter);

/* One past the last element that a geometry reaches from its start on; 0 when it is empty. */
static bool reach_of(int ndim, const int64_t *shape, const int64_t *stride, int64_t *reach) {
  int64_t last = 0, step;
  *reach = 0;
  for (int d = 0; d < ndim; d++)
    if (shape[d] == 0) return true;
  for (int d = 0; d < ndim; d++)
    if (!size_mul(shape[d] - 1, stride[d], &step) || !size_add(last, step, &last)) return false;
  *reach = last + 1;
  return true;
}
/* The memory that input and the new view reach is made as a vector: input's elements in their places, then src's. */
static bool compose_as_strided_scatter(OpCall *c) {
  Tensor *t = in(c, 0), *src = in(c, 1);
  const Arg *size = &c->arg[2], *stride = &c->arg[3];
  int64_t start = c->arg[4].given ? c->arg[4].i : t->offset, mine, theirs;
  if (start < 0) return fail(MT_EARG, "Tensor: invalid storage offset %lld", (long long)start);
  if (size->n != stride->n)
    return fail(MT_EARG, "mismatch in length of strides and shape: %s and %s", shape_text(stride->n, stride->ints),
                shape_text(size->n, size->ints));
  if (!shape_check(size->n, size->ints)) return false;
  Tensor *view = pool_add(tensor_view(t->storage, (DType)t->dtype, start, size->n, size->ints, stride->ints));
  if (!view) return false; /* it would leave the storage */
  if (!tensor_same_shape(view, src))
    return fail(MT_EARG, "expected src to have a size equal to the slice of self. src size = %s, slice size = %s",
                shape_text(src->ndim, src->shape), shape_text(view->ndim, view->shape));
  if (!reach_of(t->ndim, t->shape, t->stride, &mine) || !reach_of(size->n, size->ints, stride->ints, &theirs))
    return false;
  int64_t first = start < t->offset && theirs > 0 ? start : t->offset;
  int64_t end = t->offset + mine > start + theirs || theirs == 0 ? t->offset + mine : start + theirs, one = 1;
  int64_t length = end - first;
  Tensor *flat = op_full((DType)t->dtype, 1, &length, c->device, scalar_int(0));
  PartArgs own = part_args(1, &length, &one, t->ndim, t->shape, t->stride, t->offset - first);
  PartArgs other = part_args(1, &length, &one, size->n, size->ints, stride->ints, theirs > 0 ? start - first : 0);
  src = op_contiguous(op_cast(src, (DType)t->dtype));
  flat = op_run(&def_part_put, (Arg[]){ARG_T(flat), ARG_T(op_contiguous(t)), own.arg[0], own.arg[1], own.arg[2],
                                       own.arg[3], own.arg[4]});
  flat = op_run(&def_part_put,
                (Arg[]){ARG_T(flat), ARG_T(src), other.arg[0], other.arg[1], other.arg[2], other.arg[3], other.arg[4]});
  return compose_return(
      c, 0, op_run(&def_part, (Arg[]){ARG_T(flat), own.arg[0], own.arg[1], own.arg[2], own.arg[3], own.arg[4]}));
}
OP(as_strided_scatter,
   .schema = "as_strided_scatter(Tensor input, Tensor src, Size size, ints stride, int? storage_offset=None) -> Tensor",
   .doc = "A copy of input with src in the place that input:as_strided(size, stride, storage_offset) covers.",
   .samples = "f(3,4) f(2,2) {2,2} {4,2} 1 | f(6) f(3) {3} {2} | f(3) f() {} {} 1",
   .errors = "f(3,4) f(2) {3} {1} | f(3) f(3) {3} {2} | f(3) f(3) {3} {1,1} | f(3) f(2) {2} {1} -1", .flags = OP_BOTH,
   .compose = compose_as_strided_scatter);
