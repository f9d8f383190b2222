/* Parts: what views need of the graph. A part is given by its geometry in the base's memory, see cpu/part.c. */
#include "cpu/device_kernels.h"
#include "graph/record.h"
#include "ops/ops.h"
#include <string.h>

extern OpDef def_part_view;

#define GEOMETRY "Size base_shape, ints base_stride, Size shape, ints stride, int start"

static PartArgs geometry(const Grad *g, int at) {
  return (PartArgs){{*g_arg(g, at), *g_arg(g, at + 1), *g_arg(g, at + 2), *g_arg(g, at + 3), *g_arg(g, at + 4)}};
}
static Tensor *run_part(OpDef *def, Tensor *t, PartArgs p) {
  return op_run(def, (Arg[]){ARG_T(t), p.arg[0], p.arg[1], p.arg[2], p.arg[3], p.arg[4]});
}
static Tensor *run_put(Tensor *t, Tensor *source, PartArgs p) {
  return op_run(&def_part_put, (Arg[]){ARG_T(t), ARG_T(source), p.arg[0], p.arg[1], p.arg[2], p.arg[3], p.arg[4]});
}

/* One past the last position that a geometry reaches, counted from its start; 0 when it is empty, -1 when it is none. */
static int64_t reach(const Arg *shape, const Arg *stride) {
  int64_t last = 0, step;
  bool empty = false;
  if (shape->n != stride->n || shape->n > MT_MAX_DIMS) return -1;
  for (int d = 0; d < shape->n; d++) {
    if (shape->ints[d] < 0 || stride->ints[d] < 0) return -1;
    empty |= shape->ints[d] == 0;
    if (shape->ints[d] > 1 && (__builtin_mul_overflow(shape->ints[d] - 1, stride->ints[d], &step) ||
                               __builtin_add_overflow(last, step, &last) || last > INT64_MAX / 16))
      return -1;
  }
  return empty ? 0 : last + 1;
}
static bool has_shape(const Tensor *t, const Arg *shape) {
  return t->ndim == shape->n && (t->ndim == 0 || memcmp(t->shape, shape->ints, sizeof(int64_t) * t->ndim) == 0);
}
/* The geometry from argument `at` on: the part lies inside of the base, and the tensors have their shapes. */
static bool check_part(const OpCall *c, int at, const Tensor *base, const Tensor *part) {
  const Arg *a = &c->arg[at];
  int64_t whole = reach(&a[0], &a[1]), piece = reach(&a[2], &a[3]), start = a[4].i;
  bool inside = whole >= 0 && piece >= 0 && start >= 0 && (piece == 0 || (start < whole && piece <= whole - start));
  if (inside && (!base || has_shape(base, &a[0])) && (!part || has_shape(part, &a[2]))) return true;
  return fail(MT_EARG, "%s: the part %s from %lld on does not lie in the base %s, or a tensor has another shape",
              c->def->info->name, shape_text(a[2].n, a[2].ints), (long long)start, shape_text(a[0].n, a[0].ints));
}

static bool infer_part(OpCall *c) {
  return check_part(c, 1, in(c, 0), NULL) && out_shape(c, 0, (DType)in(c, 0)->dtype, c->arg[3].n, c->arg[3].ints);
}
static bool infer_part_put(OpCall *c) {
  if (in(c, 0)->dtype != in(c, 1)->dtype) return fail(MT_EARG, "part_put: source must have input's dtype");
  return check_part(c, 2, in(c, 0), in(c, 1)) && infer_same(c);
}
static bool infer_part_back(OpCall *c) {
  if (!check_part(c, 1, NULL, in(c, 0))) return false;
  if (!tensor_is_float(in(c, 0))) return fail(MT_ENOTIMPL, "part_back is for float tensors");
  return out_shape(c, 0, (DType)in(c, 0)->dtype, c->arg[1].n, c->arg[1].ints);
}

/* Where the gradient is to come back, each element of the base has a place of its own and the view keeps to them. */
static bool infer_part_view(OpCall *c) {
  Tensor *t = in(c, 0);
  const Arg *shape = &c->arg[3], *stride = &c->arg[4];
  if (shape->n != stride->n)
    return fail(MT_EARG, "mismatch in length of strides and shape: %s and %s", shape_text(stride->n, stride->ints),
                shape_text(shape->n, shape->ints));
  if (grad_enabled() && tensor_wants_grad(t)) {
    for (int d = 0; d < t->ndim; d++)
      if (t->stride[d] == 0 && t->shape[d] > 1)
        return fail(
            MT_ENOTIMPL,
            "as_strided has no gradient for an expanded tensor, here %s with strides %s: use contiguous() first",
            shape_text(t->ndim, t->shape), shape_text(t->ndim, t->stride));
    if (!check_part(c, 1, NULL, NULL)) return false;
  }
  return shape_check(shape->n, shape->ints) &&
         out_view(c, shape->n, shape->ints, stride->ints, t->offset + c->arg[5].i);
}
static bool compose_as_strided(OpCall *c) {
  Tensor *t = in(c, 0);
  int64_t start = c->arg[3].given ? c->arg[3].i : t->offset;
  if (start < 0) return fail(MT_EARG, "Tensor: invalid storage offset %lld", (long long)start);
  return compose_return(
      c, 0,
      op_run(&def_part_view, (Arg[]){ARG_T(t), ARG_INTS(t->shape, t->ndim), ARG_INTS(t->stride, t->ndim), c->arg[1],
                                     c->arg[2], ARG_I(start - t->offset)}));
}

static void back_part(Grad *g) { g_set(g, 0, run_part(&def_part_back, g_out(g, 0), geometry(g, 1))); }
static void back_part_back(Grad *g) { g_set(g, 0, run_part(&def_part, g_out(g, 0), geometry(g, 1))); }
static void back_part_put(Grad *g) {
  PartArgs p = geometry(g, 2);
  const EdgeMeta *m = g_meta(g, 1);
  if (g_needs(g, 0))
    g_set(g, 0, run_put(g_out(g, 0), op_full((DType)m->dtype, m->ndim, m->shape, m->device, scalar_int(0)), p));
  if (g_needs(g, 1)) g_set(g, 1, run_part(&def_part, g_out(g, 0), p));
}

OP(part, .schema = "part(Tensor input, " GEOMETRY ") -> Tensor", .doc = "The elements of a part of input.",
   .samples = "f(3,4) {3,4} {4,1} {2,2} {4,2} 1", .flags = OP_HIDDEN, .infer = infer_part,
   .kernel = EVERYWHERE(any_part), .backward = back_part);
OP(part_view, .schema = "part_view(Tensor input, " GEOMETRY ") -> Tensor", .doc = "A view of a part of input.",
   .samples = "f(3,4) {3,4} {4,1} {2,2} {4,2} 1", .flags = OP_HIDDEN | OP_VIEW, .infer = infer_part_view,
   .backward = back_part);
OP(as_strided, .schema = "as_strided(Tensor input, Size size, ints stride, int? storage_offset=None) -> Tensor",
   .doc = "A view of input's memory with any sizes, strides (in elements) and offset from the start of its storage.",
   .samples = "f(3,4) {2,2} {4,2} 1 | f(6) {5,2} {1,1}",
   .errors = "f(3,4) {4,4} {4,1} | f(6) {2} {1,1} | f(6) {2} {-1} | f(6) {1} {1} 6", .flags = OP_BOTH,
   .compose = compose_as_strided);
OP(part_back, .schema = "part_back(Tensor input, " GEOMETRY ") -> Tensor",
   .doc = "Zeros, with the elements of a part added in.", .samples = "f(2,2) {3,4} {4,1} {2,2} {4,2} 1",
   .flags = OP_HIDDEN, .infer = infer_part_back, .kernel = EVERYWHERE(any_part_back), .backward = back_part_back);
OP(part_put, .schema = "part_put(Tensor input, Tensor source, " GEOMETRY ") -> Tensor",
   .doc = "input with a part replaced by source.", .samples = "f(3,4) f(2,2) {3,4} {4,1} {2,2} {4,2} 1",
   .flags = OP_HIDDEN, .infer = infer_part_put, .kernel = EVERYWHERE(any_part_put), .backward = back_part_put);
