/* Sorting and what follows from an order: topk, kthvalue, median, mode. NaN is the greatest; equals keep their order. */
#include "cpu/copy_tensor.h"
#include "cpu/device_kernels.h"
#include "ops/reduce.h"
#include <string.h>

/* The gradient of picking: each element of gy belongs to one place. */
static bool infer_selecting_back(OpCall *c) {
  const Tensor *grad = in(c, 0), *index = in(c, 1);
  const Arg *size = &c->arg[3];
  int dim;
  if (!dim_wrap(c->arg[2].i, size->n, &dim)) return false;
  bool good =
      (index->dtype == MT_I64 || index->dtype == MT_I32) && tensor_same_shape(grad, index) && grad->ndim == size->n;
  for (int d = 0; good && d < size->n; d++) good = d == dim || grad->shape[d] == size->ints[d];
  if (!good)
    return fail(MT_EARG, "grad %s and positions %s do not belong to a tensor of shape %s", tensor_text(grad),
                tensor_text(index), shape_text(size->n, size->ints));
  return out_shape(c, 0, (DType)grad->dtype, size->n, size->ints);
}
static bool run_value_selecting_back(OpCall *c) {
  int dim;
  Tensor *out = c->out[0];
  return dim_wrap(c->arg[2].i, out->ndim, &dim) &&
         any_check_positions(in(c, 1), out->ndim ? out->shape[dim] : 1, false, dim) &&
         any_selecting_back(in(c, 0), dim, in(c, 1), out);
}
static void back_selecting_back(Grad *g) { g_set(g, 0, op_gather(g_out(g, 0), g_arg(g, 2)->i, g_in(g, 1))); }
OP(value_selecting_back, .schema = "value_selecting_back(Tensor grad, Index index, Dim dim, Size size) -> Tensor",
   .doc = "Zeros of that size with grad written at index along dim.",
   .samples = "f(1,4) x(1,4;3) d1 {3,4} | f(3,1) x(3,1;4) d-1 {3,4} | f() x(;1) d1 {}",
   .errors = "f(1,4) x(1,4;5) d1 {3,4} | f(1,4) x(1,4;3) d1 {3,5} | f(2) x(3;3) d1 {3}", .saves = "grad: index",
   .flags = OP_HIDDEN, .infer = infer_selecting_back, .kernel = EVERYWHERE(run_value_selecting_back),
   .backward = back_selecting_back);

Tensor *picked_back(const Grad *g, Tensor *index, int64_t dim, bool squeezed) {
  const EdgeMeta *m = g_meta(g, 0);
  Tensor *gy = g_out(g, 0);
  if (!gy || m->ndim == 0) return gy ? op_reshape(gy, 0, NULL) : NULL;
  if (squeezed) {
    gy = op_unsqueeze(gy, dim);
    index = op_unsqueeze(index, dim);
  }
  return op_run(&def_value_selecting_back, (Arg[]){ARG_T(gy), ARG_T(index), ARG_I(dim), ARG_INTS(m->shape, m->ndim)});
}

/* sort */
static bool infer_sort(OpCall *c) {
  const Tensor *t = in(c, 0);
  int dim;
  return dim_wrap(c->arg[1].i, t->ndim, &dim) && out_shape(c, 0, (DType)t->dtype, t->ndim, t->shape) &&
         out_shape(c, 1, MT_I64, t->ndim, t->shape);
}
static bool run_sort(OpCall *c) {
  const Tensor *t = in(c, 0);
  int dim;
  if (!dim_wrap(c->arg[1].i, t->ndim, &dim)) return false;
  return any_sort(in(c, 0), dim, c->arg[2].i, t->ndim > 0 ? t->shape[dim] : 1, c->out[0], c->out[1]);
}
static void back_sort(Grad *g) { g_set(g, 0, picked_back(g, g_result(g, 1), g_arg(g, 1)->i, false)); }
OP(sort,
   .schema =
       "sort(Tensor input, Dim dim=-1, bool descending=False, *, bool stable=False) -> (Tensor values, Index indices)",
   .doc = "Elements in order along dim, and the positions they had. Always stable; NaN is the greatest.",
   .samples = "f(3,4) | f(3,4) d1 | i(5) d1 true | f(2,3,4) d2 descending=true | f() | f(0)", .errors = "f(3) d2",
   .saves = "input: result2", .flags = OP_BOTH, .infer = infer_sort, .kernel = EVERYWHERE(run_sort),
   .backward = back_sort);

static bool compose_argsort(OpCall *c) {
  Tensor *out[MAX_OUTS];
  return op_run_many(&def_sort, c->arg, out) && compose_return(c, 0, out[1]);
}
OP(argsort, .schema = "argsort(Tensor input, Dim dim=-1, bool descending=False, *, bool stable=False) -> Index",
   .doc = "Positions, from 1, that sort input along dim.", .samples = "f(3,4) | f(3,4) d1 | i(5) d1 true",
   .errors = "f(3) d2", .flags = OP_BOTH | OP_NO_GRADIENT, .compose = compose_argsort);

static bool compose_msort(OpCall *c) {
  return compose_return(c, 0, op_run(&def_sort, (Arg[]){c->arg[0], ARG_I(0), ARG_I(0), ARG_I(0)}));
}
OP(msort, .schema = "msort(Tensor input) -> Tensor", .doc = "Elements in order along the first dim.",
   .samples = "f(3,4) | i(5)", .flags = OP_BOTH, .compose = compose_msort);

/* topk */
static bool infer_topk(OpCall *c) {
  const Tensor *t = in(c, 0);
  int64_t k = c->arg[1].i, shape[MT_MAX_DIMS];
  int dim;
  if (!dim_wrap(c->arg[2].i, t->ndim, &dim)) return false;
  int64_t size = t->ndim > 0 ? t->shape[dim] : 1;
  if (k < 0 || k > size)
    return fail(MT_EARG, "selected index k out of range: k is %lld, dim %d of %s has %lld elements", (long long)k,
                dim + 1, shape_text(t->ndim, t->shape), (long long)size);
  if (t->dtype == MT_BOOL) return fail(MT_ENOTIMPL, "topk does not support bool dtypes on CPU. Use :int() first");
  memcpy(shape, t->shape, sizeof(int64_t) * t->ndim);
  if (t->ndim > 0) shape[dim] = k;
  return out_shape(c, 0, (DType)t->dtype, t->ndim, shape) && out_shape(c, 1, MT_I64, t->ndim, shape);
}
static bool run_topk(OpCall *c) {
  int dim;
  if (!dim_wrap(c->arg[2].i, in(c, 0)->ndim, &dim)) return false;
  return any_sort(in(c, 0), dim, c->arg[3].i, in(c, 0)->ndim > 0 ? c->arg[1].i : 1, c->out[0], c->out[1]);
}
static void back_topk(Grad *g) { g_set(g, 0, picked_back(g, g_result(g, 1), g_arg(g, 2)->i, false)); }
OP(topk,
   .schema =
       "topk(Tensor input, int k, Dim dim=-1, bool largest=True, bool sorted=True) -> (Tensor values, Index indices)",
   .doc =
       "The k largest (or least) elements along dim in order, and their positions. The result is sorted in any case.",
   .samples = "f(3,4) 2 | f(3,4) 2 d1 | f(6) 3 largest=false | f(40) 1 | f() 1",
   .errors = "f(3) 4 | f(3) -1 | f(3) 1 d2 | b(3) 1", .saves = "input: result2", .flags = OP_BOTH, .infer = infer_topk,
   .kernel = EVERYWHERE(run_topk), .backward = back_topk);

/* kthvalue(k, dim, keepdim); median and mode (dim, keepdim) */
static bool pick(OpCall *c, Pick which, int dim_at, int64_t k) {
  int dim;
  return dim_wrap(c->arg[dim_at].i, in(c, 0)->ndim, &dim) && any_pick(in(c, 0), dim, which, k, c->out[0], c->out[1]);
}
static bool refuse_bool(const OpCall *c) {
  const char *kernel = c->outs > 1 ? "median_out" : "median_cpu";
  return in(c, 0)->dtype != MT_BOOL || fail(MT_ENOTIMPL, "\"%s\" not implemented for 'Bool'. Use :int() first", kernel);
}
static bool infer_kthvalue(OpCall *c) {
  const Tensor *t = in(c, 0);
  int64_t k = c->arg[1].i;
  int dim;
  if (!dim_wrap(c->arg[2].i, t->ndim, &dim)) return false;
  int64_t size = t->ndim > 0 ? t->shape[dim] : 1;
  if (t->dtype == MT_BOOL) return fail(MT_ENOTIMPL, "\"kthvalue_cpu\" not implemented for 'Bool'. Use :int() first");
  if (size > 0 && (k < 1 || k > size))
    return fail(MT_EARG, "kthvalue(): selected number k out of range for dimension %d: k is %lld of %lld elements",
                dim + 1, (long long)k, (long long)size);
  return infer_picked(c, dim, c->arg[3].i, 0, 1);
}
static bool run_kthvalue(OpCall *c) { return pick(c, PICK_KTH, 2, c->arg[1].i); }
static void back_kthvalue(Grad *g) { g_set(g, 0, picked_back(g, g_result(g, 1), g_arg(g, 2)->i, !g_arg(g, 3)->i)); }
OP(kthvalue,
   .schema = "kthvalue(Tensor input, int k, Dim dim=-1, bool keepdim=False) -> (Tensor values, Index indices)",
   .doc = "The k-th least element along dim and its position.",
   .samples = "f(3,4) 2 | f(3,4) 1 d1 | f(6) 3 keepdim=true", .errors = "f(3) 4 | f(3) 0 | f(3) 1 d2 | b(3) 1",
   .saves = "input: result2", .flags = OP_BOTH, .infer = infer_kthvalue, .kernel = EVERYWHERE(run_kthvalue),
   .backward = back_kthvalue);

static bool infer_median(OpCall *c) { return refuse_bool(c) && out_shape(c, 0, (DType)in(c, 0)->dtype, 0, NULL); }
static bool infer_median_dim(OpCall *c) { return refuse_bool(c) && infer_picked(c, c->arg[1].i, c->arg[2].i, 0, 1); }
static bool infer_mode(OpCall *c) { return infer_picked(c, c->arg[1].i, c->arg[2].i, 0, 1); }
static bool median(OpCall *c, Pick which) {
  Tensor *t = in(c, 0);
  if (t->numel == 0) /* NaN, or what a cast makes of it */
    return tensor_fill(c->out[0], scalar_float(__builtin_nan("")));
  Tensor *line = tensor_is_contiguous(t) ? tensor_retain(t) : tensor_cast(t, (DType)t->dtype),
         *index = line ? tensor_new(MT_I64, 0, NULL, tensor_device(t)) : NULL;
  Tensor *flat = index ? tensor_view(line->storage, (DType)t->dtype, line->offset, 1, &t->numel, (int64_t[]){1}) : NULL;
  bool good = flat && any_pick(flat, 0, which, 0, c->out[0], index);
  tensor_release(flat);
  tensor_release(index);
  tensor_release(line);
  return good;
}
static bool run_median(OpCall *c) { return median(c, PICK_MEDIAN); }
static bool run_nanmedian(OpCall *c) { return median(c, PICK_NANMEDIAN); }
static bool run_median_dim(OpCall *c) { return pick(c, PICK_MEDIAN, 1, 0); }
static bool run_nanmedian_dim(OpCall *c) { return pick(c, PICK_NANMEDIAN, 1, 0); }
static bool run_mode(OpCall *c) { return pick(c, PICK_MODE, 1, 0); }
static void back_median(Grad *g) { back_evenly(g, g_result(g, 0), 0, false); }
static void back_pick(Grad *g) { g_set(g, 0, picked_back(g, g_result(g, 1), g_arg(g, 1)->i, !g_arg(g, 2)->i)); }
OP(median, .schema = "median(Tensor input) -> Tensor",
   .doc = "The middle element, the lower one of two; NaN if there is any.", .samples = "f(3,4) | f(5) | i(4)",
   .errors = "b(3)", .saves = "input: input result", .flags = OP_BOTH, .infer = infer_median,
   .kernel = EVERYWHERE(run_median), .backward = back_median);
OP(median_dim, .schema = "median(Tensor input, Dim dim, bool keepdim=False) -> (Tensor values, Index indices)",
   .doc = "The middle elements along dim, the lower ones of two, and their positions.",
   .samples = "f(3,4) d1 | f(3,5) d2 keepdim=true", .errors = "f(3) d2 | b(3) d1 | f(0,2) d1",
   .saves = "input: result2", .flags = OP_BOTH, .infer = infer_median_dim, .kernel = EVERYWHERE(run_median_dim),
   .backward = back_pick);
OP(nanmedian, .schema = "nanmedian(Tensor input) -> Tensor",
   .doc = "The middle element of those that are not NaN, the lower one of two; NaN if there is none.",
   .samples = "f(3,4) | f(5) | i(4)", .errors = "b(3)", .saves = "input: input result", .flags = OP_BOTH,
   .infer = infer_median, .kernel = EVERYWHERE(run_nanmedian), .backward = back_median);
OP(nanmedian_dim, .schema = "nanmedian(Tensor input, Dim dim, bool keepdim=False) -> (Tensor values, Index indices)",
   .doc = "The middle elements along dim of those that are not NaN, the lower ones of two, and their positions.",
   .samples = "f(3,4) d1 | f(3,5) d2 keepdim=true", .errors = "f(3) d2 | b(3) d1 | f(0,2) d1",
   .saves = "input: result2", .flags = OP_BOTH, .infer = infer_median_dim, .kernel = EVERYWHERE(run_nanmedian_dim),
   .backward = back_pick);
OP(mode, .schema = "mode(Tensor input, Dim dim=-1, bool keepdim=False) -> (Tensor values, Index indices)",
   .doc = "The most frequent element along dim, the least of several, and the last position of it.",
   .samples = "i(3,4) | i(3,4) d1", .errors = "f(3) d2 | f(0,2) d1", .saves = "input: result2", .flags = OP_BOTH,
   .infer = infer_mode, .kernel = EVERYWHERE(run_mode), .backward = back_pick);
