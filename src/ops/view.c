/* Views: operators whose result shares memory with their input. Geometry comes from infer; no kernel runs. */
#include "base/size.h"
#include "graph/record.h"
#include "ops/ops.h"
#include <string.h>

/* transpose: exactly two dims swapped */
static void swap(int64_t *v, int a, int b) {
  int64_t x = v[a];
  v[a] = v[b];
  v[b] = x;
}
static bool infer_transpose(OpCall *c) {
  Tensor *t = in(c, 0);
  int a, b;
  if (!dim_wrap(c->arg[1].i, t->ndim, &a) || !dim_wrap(c->arg[2].i, t->ndim, &b) ||
      !out_view(c, t->ndim, t->shape, t->stride, t->offset))
    return false;
  if (t->ndim > 0) {
    swap(c->meta[0].shape, a, b);
    swap(c->meta[0].stride, a, b);
  }
  return true;
}
static void back_transpose(Grad *g) { g_set(g, 0, op_transpose(g_out(g, 0), g_arg(g, 1)->i, g_arg(g, 2)->i)); }
OP(transpose, .schema = "transpose(Tensor input, Dim dim0, Dim dim1) -> Tensor", .alias = "swapdims",
   .doc = "A view with two dims swapped. The data does not move: the result is usually not contiguous.",
   .samples = "f(3,4) d1 d2 | f(2,3,4) d1 d-1 | f() d1 d1", .errors = "f(3,4) d1 d3", .flags = OP_BOTH | OP_VIEW,
   .infer = infer_transpose, .backward = back_transpose);

static bool compose_t(OpCall *c) {
  Tensor *t = in(c, 0);
  if (t->ndim > 2)
    return fail(MT_EARG, "t() expects a tensor with <= 2 dimensions, but self is %dD: use transpose(d1, d2) or permute",
                t->ndim);
  return compose_return(
      c, 0, t->ndim < 2 ? op_run(&def_transpose, (Arg[]){ARG_T(t), ARG_I(0), ARG_I(0)}) : op_transpose(t, 0, 1));
}
OP(t, .schema = "t(Tensor input) -> Tensor", .doc = "The transpose of a matrix; a vector stays as it is.",
   .samples = "f(3,4) | f(3) | f()", .errors = "f(2,3,4)", .flags = OP_BOTH, .compose = compose_t);

static bool infer_permute(OpCall *c) {
  Tensor *t = in(c, 0);
  const Arg *dims = &c->arg[1];
  int64_t shape[MT_MAX_DIMS], stride[MT_MAX_DIMS];
  bool used[MT_MAX_DIMS] = {false};
  if (dims->n != t->ndim)
    return fail(
        MT_EARG,
        "permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired "
        "ordering of dimensions i.e. input.dim() = %d is not equal to len(dims) = %d: permute takes every dim "
        "once, transpose swaps two",
        t->ndim, dims->n);
  for (int d = 0; d < t->ndim; d++) {
    int from;
    if (!dim_wrap(dims->ints[d], t->ndim, &from)) return false;
    if (used[from]) return fail(MT_EARG, "permute(): duplicate dims are not allowed: dim %d comes twice", from + 1);
    used[from] = true;
    shape[d] = t->shape[from];
    stride[d] = t->stride[from];
  }
  return out_view(c, t->ndim, shape, stride, t->offset);
}
static void back_permute(Grad *g) {
  const Arg *dims = g_arg(g, 1);
  int64_t inverse[MT_MAX_DIMS];
  for (int d = 0; d < dims->n; d++) inverse[dims->ints[d] < 0 ? dims->ints[d] + dims->n : dims->ints[d]] = d;
  extern OpDef def_permute;
  g_set(g, 0, op_run(&def_permute, (Arg[]){ARG_T(g_out(g, 0)), ARG_INTS(inverse, dims->n)}));
}
OP(permute, .schema = "permute(Tensor input, Dims... dims) -> Tensor", .doc = "A view with all dims in a new order.",
   .samples = "f(2,3,4) {3,1,2} | f(3,4) {2,1} | f(2,3) {-1,1}", .errors = "f(2,3) {1} | f(2,3) {1,1} | f(2,3) {1,3}",
   .flags = OP_BOTH | OP_VIEW, .infer = infer_permute, .backward = back_permute);

static bool infer_unsqueeze(OpCall *c) {
  Tensor *t = in(c, 0);
  int at;
  if (!dim_wrap(c->arg[1].i, t->ndim + 1, &at)) return false;
  int64_t shape[MT_MAX_DIMS + 1], stride[MT_MAX_DIMS + 1];
  for (int d = 0; d <= t->ndim; d++) {
    shape[d] = d == at ? 1 : t->shape[d - (d > at)];
    stride[d] = d == at ? (at < t->ndim ? t->shape[at] * t->stride[at] : 1) : t->stride[d - (d > at)];
  }
  return t->ndim < MT_MAX_DIMS ? out_view(c, t->ndim + 1, shape, stride, t->offset) : shape_check(t->ndim + 1, shape);
}
static void back_unsqueeze(Grad *g) {
  int64_t dim = g_arg(g, 1)->i;
  g_set(g, 0, op_squeeze(g_out(g, 0), dim));
}
OP(unsqueeze, .schema = "unsqueeze(Tensor input, Dim dim) -> Tensor",
   .doc = "A view with a new dim of size 1 at dim, which may be 1 to ndim+1, or -1 for the last.",
   .samples = "f(3,4) d1 | f(3,4) d3 | f(3,4) d-1 | f() d1", .errors = "f(3,4) d4", .flags = OP_BOTH | OP_VIEW,
   .infer = infer_unsqueeze, .backward = back_unsqueeze);

static bool infer_squeeze(OpCall *c) {
  Tensor *t = in(c, 0);
  bool drop[MT_MAX_DIMS] = {false};
  for (int k = 0; c->arg[1].given && k < c->arg[1].n; k++) {
    int d;
    if (!dim_wrap(c->arg[1].ints[k], t->ndim, &d)) return false;
    drop[d] = true;
  }
  bool batch = t->ndim > 1 && t->shape[0] == 1 && !t->is_parameter;
  if (!c->arg[1].given && batch && !notice("squeeze")) return false;
  int64_t shape[MT_MAX_DIMS], stride[MT_MAX_DIMS];
  int n = 0;
  for (int d = 0; d < t->ndim; d++) {
    if (t->shape[d] == 1 && (drop[d] || !c->arg[1].given)) continue;
    shape[n] = t->shape[d];
    stride[n++] = t->stride[d];
  }
  return out_view(c, n, shape, stride, t->offset);
}
static void back_squeeze(Grad *g) {
  const EdgeMeta *m = g_meta(g, 0);
  g_set(g, 0, op_reshape(g_out(g, 0), m->ndim, m->shape));
}
OP(squeeze, .schema = "squeeze(Tensor input, Dims? dim=None) -> Tensor",
   .doc = "A view without dims of size 1: all of them, or those named that have size 1. Name the dim in code that sees "
          "batches: "
          "a batch of one would lose its dim.",
   .samples = "f(1,3,1) | f(1,3,1) d1 | f(3,4) d1 | f(1,3,1) {1,3} | f()", .errors = "f(1,3) d3",
   .flags = OP_BOTH | OP_VIEW, .infer = infer_squeeze, .backward = back_squeeze);

static bool infer_view(OpCall *c) {
  Tensor *t = in(c, 0);
  const Arg *size = &c->arg[1];
  int64_t shape[MT_MAX_DIMS], stride[MT_MAX_DIMS];
  if (size->n > MT_MAX_DIMS) return shape_check(size->n, size->ints);
  if (!shape_infer(t->numel, size->n, size->ints, shape)) return false;
  if (!shape_view_strides(t, size->n, shape, stride))
    return fail(MT_ERUNTIME,
                "view size is not compatible with input tensor's size and stride (at least one dimension spans across "
                "two contiguous subspaces). Use .reshape(...) instead. Here size is %s, stride %s, asked for %s: "
                "x:contiguous():view(...) or x:reshape(...) copy the data into order first",
                shape_text(t->ndim, t->shape), shape_text(t->ndim, t->stride), shape_text(size->n, size->ints));
  return out_view(c, size->n, shape, stride, t->offset);
}
static void back_view(Grad *g) {
  const EdgeMeta *m = g_meta(g, 0);
  g_set(g, 0, op_reshape(g_out(g, 0), m->ndim, m->shape));
}
OP(view, .schema = "view(Tensor input, Size... size) -> Tensor",
   .doc = "The same elements in another shape, without moving data; one size may be -1. Refuses when data would have "
          "to move.",
   .samples = "f(3,4) {4,3} | f(3,4) {-1} | f(2,3,4) {6,-1} | f() {1}",
   .errors = "f(3,4) {5} | f(3,4) {-1,5} | f(3,4) {-1,-1}", .flags = OP_METHOD | OP_VIEW, .infer = infer_view,
   .backward = back_view);

/* view(dtype): the same bytes. The last dim grows or shrinks with the size of an element. */
static bool infer_view_dtype(OpCall *c) {
  Tensor *t = in(c, 0);
  DType from = (DType)t->dtype, to = c->arg[1].dtype;
  int64_t shape[MT_MAX_DIMS], stride[MT_MAX_DIMS], offset = t->offset, old = dtype_size(from), new = dtype_size(to);
  int last = t->ndim - 1;
  const char *why =
      text("to view %s as %s (different element sizes)", dtype_info[from].type_name, dtype_info[to].type_name);
  memcpy(shape, t->shape, sizeof(int64_t) * t->ndim);
  memcpy(stride, t->stride, sizeof(int64_t) * t->ndim);
  if (old != new) {
    if (t->ndim == 0) return fail(MT_EARG, "self.dim() cannot be 0 %s", why);
    if (stride[last] != 1)
      return fail(MT_EARG, "self.stride(-1) must be 1 %s, but got %lld", why, (long long)stride[last]);
  }
  if (old < new) {
    int64_t ratio = new / old;
    if (shape[last] % ratio != 0)
      return fail(MT_EARG, "self.size(-1) must be divisible by %lld %s, but got %lld", (long long)ratio, why,
                  (long long)shape[last]);
    if (offset % ratio != 0)
      return fail(MT_EARG, "self.storage_offset() must be divisible by %lld %s, but got %lld", (long long)ratio, why,
                  (long long)offset);
    for (int d = 0; d < last; d++) {
      if (stride[d] % ratio != 0)
        return fail(MT_EARG, "self.stride(%d) must be divisible by %lld %s, but got %lld", d + 1, (long long)ratio, why,
                    (long long)stride[d]);
      stride[d] /= ratio;
    }
    shape[last] /= ratio;
    offset /= ratio;
  } else if (old > new) {
    int64_t ratio = old / new;
    for (int d = 0; d < last; d++)
      if (!size_mul(stride[d], ratio, &stride[d])) return false;
    if (!size_mul(shape[last], ratio, &shape[last])) return false;
    offset *= ratio;
  }
  if (!out_view(c, t->ndim, shape, stride, offset)) return false;
  c->meta[0].dtype = to;
  return true;
}
OP(view_dtype, .schema = "view(Tensor input, dtype dtype) -> Tensor",
   .doc =
       "The same memory read as another dtype. Where elements differ in size the last dim, which must be contiguous, "
       "grows or shrinks. No gradient flows through it.",
   .samples = "f(3,4) 'int32' | f(2,4) 'int16' | g(2,3) 'uint8' | i() 'float64' | i(4) 'float64'",
   .errors = "f() 'float64' | f(3) 'float64'", .flags = OP_METHOD | OP_VIEW | OP_NO_GRADIENT,
   .infer = infer_view_dtype);

static bool compose_reshape(OpCall *c) {
  Tensor *t = in(c, 0);
  const Arg *size = &c->arg[1];
  int64_t shape[MT_MAX_DIMS], stride[MT_MAX_DIMS];
  if (size->n > MT_MAX_DIMS) return shape_check(size->n, size->ints);
  if (!shape_infer(t->numel, size->n, size->ints, shape)) return false;
  if (!shape_view_strides(t, size->n, shape, stride)) t = op_contiguous(t);
  return compose_return(c, 0, op_run(&def_view, (Arg[]){ARG_T(t), ARG_INTS(shape, size->n)}));
}
OP(reshape, .schema = "reshape(Tensor input, Size... shape) -> Tensor",
   .doc = "The same elements in another shape: a view where possible, else a copy.",
   .samples = "f(3,4) {4,3} | f(2,3,4) {-1,4} | f() {1,1}", .errors = "f(3,4) {5}", .flags = OP_BOTH,
   .compose = compose_reshape);

static bool compose_flatten(OpCall *c) {
  Tensor *t = in(c, 0);
  int from, to, n = 0;
  if (!dim_wrap(c->arg[1].i, t->ndim, &from) || !dim_wrap(c->arg[2].i, t->ndim, &to)) return false;
  if (from > to)
    return fail(MT_EARG, "flatten() has invalid args: start_dim cannot come after end_dim: %d, %d", from + 1, to + 1);
  if (t->ndim == 0) return compose_return(c, 0, op_reshape(t, 1, (int64_t[]){1}));
  int64_t shape[MT_MAX_DIMS];
  for (int d = 0; d < t->ndim; d++) {
    if (d > from && d <= to)
      shape[n - 1] *= t->shape[d];
    else
      shape[n++] = t->shape[d];
  }
  return compose_return(c, 0, from == to ? t : op_reshape(t, n, shape));
}
OP(flatten, .schema = "flatten(Tensor input, Dim start_dim=0, Dim end_dim=-1) -> Tensor",
   .doc = "Dims start_dim to end_dim as one; the default flattens everything.",
   .samples = "f(2,3,4) | f(2,3,4) d2 | f(2,3,4) d1 d2 | f()", .errors = "f(2,3) d2 d1 | f(2,3) d3", .flags = OP_BOTH,
   .compose = compose_flatten);

/* expand: size 1 dims repeated by stride 0; -1 keeps a size */
static bool infer_expand(OpCall *c) {
  Tensor *t = in(c, 0);
  const Arg *size = &c->arg[1];
  int lead = size->n - t->ndim;
  int64_t shape[MT_MAX_DIMS], stride[MT_MAX_DIMS];
  if (size->n > MT_MAX_DIMS) return shape_check(size->n, size->ints);
  if (lead < 0)
    return fail(MT_EARG,
                "expand: the number of sizes provided (%d) must be greater or equal to the number of dimensions in the "
                "tensor (%d)",
                size->n, t->ndim);
  for (int d = 0; d < size->n; d++) {
    shape[d] = size->ints[d];
    if (shape[d] == -1 && d < lead)
      return fail(MT_EARG, "The expanded size of the tensor (-1) isn't allowed in a leading, non-existing dimension %d",
                  d + 1);
    if (shape[d] == -1) shape[d] = t->shape[d - lead];
    if (d >= lead && t->shape[d - lead] != 1 && t->shape[d - lead] != shape[d])
      return fail(
          MT_EARG,
          "The expanded size of the tensor (%lld) must match the existing size (%lld) at non-singleton dimension "
          "%d.  Target sizes: %s.  Tensor sizes: %s",
          (long long)shape[d], (long long)t->shape[d - lead], d + 1, shape_text(size->n, size->ints),
          shape_text(t->ndim, t->shape));
  }
  if (!shape_check(size->n, shape) || !shape_expand(t, size->n, shape, stride)) return false;
  return out_view(c, size->n, shape, stride, t->offset);
}
static void back_expand(Grad *g) { g_set(g, 0, g_out(g, 0)); } /* g_set sums */
OP(expand, .schema = "expand(Tensor input, Size... size) -> Tensor", .alias = "broadcast_to",
   .doc = "A view in which dims of size 1 are repeated without copying; -1 keeps a size. It may not be written to.",
   .samples = "f(3,1) {3,4} | f(4) {3,4} | f(3,1) {2,-1,4} | f() {2}", .errors = "f(3) {4} | f(3,4) {4} | f(3) {-1,3}",
   .flags = OP_BOTH | OP_VIEW, .infer = infer_expand, .backward = back_expand);

static bool compose_expand_as(OpCall *c) {
  return compose_return(c, 0, op_expand(in(c, 0), in(c, 1)->ndim, in(c, 1)->shape));
}
static bool compose_view_as(OpCall *c) {
  Tensor *like = in(c, 1);
  return compose_return(c, 0, op_run(&def_view, (Arg[]){ARG_T(in(c, 0)), ARG_INTS(like->shape, like->ndim)}));
}
static bool compose_reshape_as(OpCall *c) {
  return compose_return(c, 0, op_reshape(in(c, 0), in(c, 1)->ndim, in(c, 1)->shape));
}
OP(expand_as, .schema = "expand_as(Tensor input, Tensor other) -> Tensor", .doc = "input expanded to other's shape.",
   .samples = "f(3,1) f(3,4)", .errors = "f(3) f(4)", .flags = OP_METHOD, .compose = compose_expand_as);
OP(view_as, .schema = "view_as(Tensor input, Tensor other) -> Tensor", .doc = "input viewed in other's shape.",
   .samples = "f(3,4) f(4,3)", .errors = "f(3) f(4)", .flags = OP_METHOD, .compose = compose_view_as);
OP(reshape_as, .schema = "reshape_as(Tensor input, Tensor other) -> Tensor", .doc = "input reshaped to other's shape.",
   .samples = "f(3,4) f(4,3)", .errors = "f(3) f(4)", .flags = OP_METHOD, .compose = compose_reshape_as);

/* One position of a dim, which vanishes. */
static bool infer_select(OpCall *c) {
  Tensor *t = in(c, 0);
  int dim, n = 0;
  int64_t at = c->arg[2].i, shape[MT_MAX_DIMS], stride[MT_MAX_DIMS];
  if (t->ndim == 0) return fail(MT_EINDEX, "select() cannot be applied to a 0-dim tensor.");
  if (!dim_wrap(c->arg[1].i, t->ndim, &dim)) return false;
  if (at < -t->shape[dim] || at >= t->shape[dim])
    return fail(MT_EINDEX, "select(): index %lld out of range for tensor of size %s at dimension %d",
                (long long)(at < 0 ? at : at + 1), shape_text(t->ndim, t->shape), dim + 1);
  if (at < 0) at += t->shape[dim];
  for (int d = 0; d < t->ndim; d++) {
    if (d == dim) continue;
    shape[n] = t->shape[d];
    stride[n++] = t->stride[d];
  }
  return out_view(c, n, shape, stride, t->offset + at * t->stride[dim]);
}
/* Views of a part share one gradient: zeros with the part filled in, or what there is of it with the part added. */
extern OpDef def_add;
static void set_part(Grad *g, Tensor *gy, int dim, int64_t start, int64_t step) {
  const EdgeMeta *m = g_meta(g, 0);
  int64_t base[MT_MAX_DIMS], stride[MT_MAX_DIMS];
  if (!gy) return;
  shape_strides(m->ndim, m->shape, base);
  memcpy(stride, base, sizeof stride);
  stride[dim] *= step;
  if (g->sum && gy->numel == 0) {
    g->added = true;
    return;
  }
  if (g->sum && gy->dtype == g->sum->dtype) {
    Tensor *sum = g->sum, *part = pool_add(tensor_view(sum->storage, (DType)sum->dtype, sum->offset + start * base[dim],
                                                       gy->ndim, gy->shape, stride));
    g->added = op_run_inplace(&def_add, (Arg[]){ARG_T(part), ARG_T(gy), ARG_N(scalar_int(1))}) != NULL;
    return;
  }
  PartArgs p = part_args(m->ndim, m->shape, base, gy->ndim, gy->shape, stride, start * base[dim]);
  g_set(g, 0, op_run(&def_part_back, (Arg[]){ARG_T(gy), p.arg[0], p.arg[1], p.arg[2], p.arg[3], p.arg[4]}));
}
static void back_select(Grad *g) {
  const EdgeMeta *m = g_meta(g, 0);
  int64_t at = g_arg(g, 2)->i;
  int dim;
  if (!dim_wrap(g_arg(g, 1)->i, m->ndim, &dim)) return;
  set_part(g, op_unsqueeze(g_out(g, 0), dim), dim, at < 0 ? at + m->shape[dim] : at, 1);
}
OP(select, .schema = "select(Tensor input, Dim dim, Position index) -> Tensor",
   .doc = "A view of one position of dim, which vanishes.", .samples = "f(3,4) d1 2 | f(3,4) d-1 -1",
   .errors = "f(3,4) d1 4 | f(3,4) d1 -4 | f() d1 1", .flags = OP_BOTH | OP_VIEW, .infer = infer_select,
   .backward = back_select);

/* slice: positions start, start+step, ... before stop (0-based, in range). A step beyond the end is one to the end. */
static int64_t slice_step(const Arg *step, int64_t size) { return step->i <= size ? step->i : size > 0 ? size : 1; }
static bool infer_slice(OpCall *c) {
  Tensor *t = in(c, 0);
  int dim;
  if (t->ndim == 0) return fail(MT_EINDEX, "slice() cannot be applied to a 0-dim tensor.");
  if (!dim_wrap(c->arg[1].i, t->ndim, &dim)) return false;
  int64_t start = c->arg[2].i, stop = c->arg[3].i, size = t->shape[dim];
  int64_t step = slice_step(&c->arg[4], size);
  if (step < 1) return fail(MT_EARG, "slice step must be positive, got %lld", (long long)step);
  if (start < 0) start = 0;
  if (start > size) start = size;
  if (stop > size) stop = size;
  if (stop < start) stop = start;
  if (!out_view(c, t->ndim, t->shape, t->stride, t->offset + start * t->stride[dim])) return false;
  c->meta[0].shape[dim] = (stop - start + step - 1) / step;
  c->meta[0].stride[dim] = t->stride[dim] * step;
  return true;
}
static void back_slice(Grad *g) {
  const EdgeMeta *m = g_meta(g, 0);
  int64_t start = g_arg(g, 2)->i;
  int dim;
  if (!dim_wrap(g_arg(g, 1)->i, m->ndim, &dim)) return;
  set_part(g, g_out(g, 0), dim, start < 0 ? 0 : start, slice_step(g_arg(g, 4), m->shape[dim]));
}
OP(slice, .schema = "slice(Tensor input, Dim dim, int start, int stop, int step=1) -> Tensor",
   .doc = "A view of positions start to stop of dim, counted from 0, stop left out.",
   .samples = "f(5,4) d1 1 4 | f(5,4) d2 0 4 2", .errors = "f(3) d1 0 2 0", .flags = OP_HIDDEN | OP_VIEW,
   .infer = infer_slice, .backward = back_slice);

static bool compose_narrow(OpCall *c) {
  Tensor *t = in(c, 0);
  int dim;
  int64_t start = c->arg[2].i, length = c->arg[3].i;
  if (t->ndim == 0) return fail(MT_EARG, "narrow() cannot be applied to a 0-dim tensor.");
  if (!dim_wrap(c->arg[1].i, t->ndim, &dim)) return false;
  if (length < 0) return fail(MT_EARG, "narrow(): length must be non-negative, got %lld", (long long)length);
  if (start < -t->shape[dim] || start > t->shape[dim])
    return fail(MT_EINDEX, "start out of range (expected to be in range of [-%lld, %lld], but got %lld)",
                (long long)t->shape[dim], (long long)t->shape[dim], (long long)(start < 0 ? start : start + 1));
  if (start < 0) start += t->shape[dim];
  if (length > t->shape[dim] - start)
    return fail(MT_EARG, "start (%lld) + length (%lld) exceeds dimension size (%lld).", (long long)(start + 1),
                (long long)length, (long long)t->shape[dim]);
  return compose_return(c, 0, op_narrow(t, dim, start, length));
}
OP(narrow, .schema = "narrow(Tensor input, Dim dim, Position start, int length) -> Tensor",
   .doc = "A view of length positions of dim from start on.", .samples = "f(5,4) d1 2 3 | f(5,4) d-1 -2 2",
   .errors = "f(5,4) d1 4 3 | f(5,4) d1 7 1 | f(5) d1 1 -1", .flags = OP_BOTH, .compose = compose_narrow);

/* detach and contiguous */
static bool infer_identity_view(OpCall *c) {
  Tensor *t = in(c, 0);
  return out_view(c, t->ndim, t->shape, t->stride, t->offset);
}
static void back_identity(Grad *g) { g_set(g, 0, g_out(g, 0)); }
OP(alias, .schema = "alias(Tensor input) -> Tensor", .doc = "Another view of the whole tensor.", .samples = "f(3,4)",
   .flags = OP_HIDDEN | OP_VIEW, .infer = infer_identity_view, .backward = back_identity);

static Tensor *dims2(OpDef *def, Tensor *t, int64_t a, int64_t b) {
  return op_run(def, (Arg[]){ARG_T(t), ARG_I(a), ARG_I(b)});
}
static Tensor *sized(OpDef *def, Tensor *t, int n, const int64_t *v) {
  return op_run(def, (Arg[]){ARG_T(t), ARG_INTS(v, n)});
}
Tensor *op_expand(Tensor *t, int ndim, const int64_t *shape) { return sized(&def_expand, t, ndim, shape); }
Tensor *op_reshape(Tensor *t, int ndim, const int64_t *shape) { return sized(&def_reshape, t, ndim, shape); }
Tensor *op_transpose(Tensor *t, int64_t dim0, int64_t dim1) { return dims2(&def_transpose, t, dim0, dim1); }
Tensor *op_unsqueeze(Tensor *t, int64_t dim) { return op_run(&def_unsqueeze, (Arg[]){ARG_T(t), ARG_I(dim)}); }
Tensor *op_squeeze(Tensor *t, int64_t dim) { return sized(&def_squeeze, t, 1, &dim); }
Tensor *op_select(Tensor *t, int64_t dim, int64_t position) { return dims2(&def_select, t, dim, position); }
Tensor *op_narrow(Tensor *t, int64_t dim, int64_t start, int64_t length) {
  return op_run(&def_slice, (Arg[]){ARG_T(t), ARG_I(dim), ARG_I(start), ARG_I(start + length), ARG_I(1)});
}
