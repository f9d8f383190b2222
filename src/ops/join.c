/* Joining and splitting: cat and what is made of it; split and its kin, whose results are views of their input. */
#include "base/alloc.h"
#include "cpu/kernels.h"
#include "ops/ops.h"
#include <string.h>

/* --- cat --- */

/* A vector of size 0 joins with anything, as it always has. */
static bool joins_anything(const Tensor *t) { return t->ndim == 1 && t->shape[0] == 0; }

static bool infer_cat(OpCall *c) {
  const Arg *list = &c->arg[0];
  Tensor *model = NULL;
  int64_t shape[MT_MAX_DIMS];
  int dim;
  if (list->n == 0) return fail(MT_EARG, "torch.cat(): expected a non-empty list of Tensors");
  for (int k = 0; k < list->n; k++) {
    Tensor *t = list->tensors[k];
    if (t->ndim == 0)
      return fail(MT_EARG,
                  "zero-dimensional tensor (at position %d) cannot be concatenated. Use torch.stack, or x:unsqueeze(1)",
                  k + 1);
    if (!model && !joins_anything(t)) model = t;
  }
  DType dtype = promote_tensors(list->n, list->tensors, default_dtype());
  if (!model) model = list->tensors[0];
  if (joins_anything(model)) return dim_wrap(c->arg[1].i, MT_MAX_DIMS, &dim) && out_shape(c, 0, dtype, 1, model->shape);
  if (!dim_wrap(c->arg[1].i, model->ndim, &dim)) return false;
  memcpy(shape, model->shape, sizeof(int64_t) * model->ndim);
  shape[dim] = 0;
  for (int k = 0; k < list->n; k++) {
    Tensor *t = list->tensors[k];
    if (joins_anything(t)) continue;
    if (t->ndim != model->ndim)
      return fail(MT_EARG,
                  "Tensors must have same number of dimensions: got %d and %d: tensor number %d in the list is %s, the "
                  "first %s",
                  model->ndim, t->ndim, k + 1, shape_text(t->ndim, t->shape), shape_text(model->ndim, model->shape));
    for (int d = 0; d < t->ndim; d++)
      if (d != dim && t->shape[d] != model->shape[d])
        return fail(MT_EARG,
                    "Sizes of tensors must match except in dimension %d. Expected size %lld but got size %lld for "
                    "tensor number %d in "
                    "the list: it is %s, the first %s",
                    dim + 1, (long long)model->shape[d], (long long)t->shape[d], k + 1, shape_text(t->ndim, t->shape),
                    shape_text(model->ndim, model->shape));
    if (__builtin_add_overflow(shape[dim], t->shape[dim], &shape[dim])) return fail(MT_EARG, "size overflow in cat");
  }
  return out_shape(c, 0, dtype, model->ndim, shape);
}
static bool run_cat(OpCall *c) {
  return joins_anything(c->out[0]) || any_cat(c); /* nothing to copy, and dim may be beyond a vector's */
}
static void back_cat(Grad *g) {
  Tensor *gy = g_out(g, 0);
  int n = g->node->edges, dim;
  if (joins_anything(gy)) {
    for (int k = 0; k < n; k++)
      if (g_needs_at(g, 0, k)) g_set_at(g, 0, k, gy);
    return;
  }
  if (!dim_wrap(g_arg(g, 1)->i, gy->ndim, &dim)) return;
  int64_t start = 0;
  for (int k = 0; k < n; k++) {
    const EdgeMeta *m = g_meta_at(g, 0, k);
    bool nothing = m->ndim == 1 && m->shape[0] == 0;
    int64_t length = nothing ? 0 : m->shape[dim];
    if (g_needs_at(g, 0, k))
      g_set_at(g, 0, k,
               nothing ? op_full((DType)m->dtype, 1, m->shape, m->device, scalar_int(0))
                       : op_narrow(gy, dim, start, length));
    start += length;
  }
}
OP(cat, .schema = "cat(Tensor[] tensors, Dim dim=0) -> Tensor", .alias = "concat concatenate",
   .doc = "The tensors one after the other along dim, in their promoted dtype; the other sizes must agree. Vectors of "
          "size 0 are passed over.",
   .samples = "[f(2,3),f(4,3)] | [f(2,3),f(2,1),f(2,2)] d2 | [f(2,3),i(2,3)] d-1 | [f(0),f(2,3)] d2 | [f(3)]",
   .errors = "[f(2,3),f(2,4)] | [f(2,3),f(3)] | [f(),f(3)] | [f(2,3)] d3 | []", .flags = OP_FUNCTION,
   .infer = infer_cat, .kernel = EVERYWHERE(run_cat), .backward = back_cat);

Tensor *op_cat(int n, Tensor *const *t, int64_t dim) {
  return op_run(&def_cat, (Arg[]){ARG_TENSORS((Tensor **)t, n), ARG_I(dim)});
}

/* Room for n tensors that a composed op works with; mem_free when done. */
static Tensor **tensor_room(int n) { return failed() ? NULL : mem_zero(sizeof(Tensor *) * (size_t)(n > 0 ? n : 1)); }

typedef Tensor *(*Each)(Tensor *t);
/* cat of each(t) along dim. */
static Tensor *cat_of_each(const Arg *list, Each each, int64_t dim) {
  Tensor **parts = tensor_room(list->n), *joined = NULL;
  bool good = parts != NULL;
  for (int k = 0; good && k < list->n; k++) good = (parts[k] = each(list->tensors[k])) != NULL;
  if (good) joined = op_cat(list->n, parts, dim);
  mem_free(parts);
  return joined;
}

static bool check_list(const Arg *list, const char *name) {
  return list->n > 0 || fail(MT_EARG, "%s expects a non-empty TensorList", name);
}

Tensor *op_stack(int n, Tensor *const *t, int64_t dim) {
  Arg list = ARG_TENSORS((Tensor **)t, n);
  Tensor **parts, *joined = NULL;
  int at;
  if (failed() || !check_list(&list, "stack") || !dim_wrap(dim, t[0]->ndim + 1, &at)) return NULL;
  for (int k = 1; k < n; k++)
    if (!tensor_same_shape(t[k], t[0])) {
      fail(MT_EARG, "stack expects each tensor to be equal size, but got %s at entry 1 and %s at entry %d",
           shape_text(t[0]->ndim, t[0]->shape), shape_text(t[k]->ndim, t[k]->shape), k + 1);
      return NULL;
    }
  if (!(parts = tensor_room(n))) return NULL;
  bool good = true;
  for (int k = 0; good && k < n; k++) good = (parts[k] = op_unsqueeze(t[k], at)) != NULL;
  if (good) joined = op_cat(n, parts, at);
  mem_free(parts);
  return joined;
}
static bool compose_stack(OpCall *c) {
  return compose_return(c, 0, op_stack(c->arg[0].n, c->arg[0].tensors, c->arg[1].i));
}
OP(stack, .schema = "stack(Tensor[] tensors, Dim dim=0) -> Tensor",
   .doc = "Tensors of one shape side by side along a new dim.",
   .samples = "[f(2,3),f(2,3)] | [f(2,3),f(2,3)] d2 | [f(2),i(2)] d-1 | [f(),f()]",
   .errors = "[f(2,3),f(3,2)] | [f(2)] d3 | []", .flags = OP_FUNCTION, .compose = compose_stack);

/* atleast_1d, 2d, 3d */
static Tensor *at_least_1d(Tensor *t) { return t->ndim > 0 ? t : op_unsqueeze(t, 0); }
static Tensor *at_least_2d(Tensor *t) {
  Tensor *v = at_least_1d(t);
  return !v || v->ndim > 1 ? v : op_unsqueeze(v, 0);
}
static Tensor *at_least_3d(Tensor *t) {
  Tensor *m = at_least_2d(t);
  return !m || m->ndim > 2 ? m : op_unsqueeze(m, -1);
}
#define AT_LEAST(n, what)                                                                                   \
  static bool compose_atleast_##n##d(OpCall *c) { return compose_return(c, 0, at_least_##n##d(in(c, 0))); } \
  OP(atleast_##n##d, .schema = "atleast_" #n "d(Tensor input) -> Tensor", .doc = what,                      \
     .samples = "f() | f(3) | f(2,3) | f(2,3,2)", .flags = OP_FUNCTION, .compose = compose_atleast_##n##d)
#define AT_LEAST_EACH(n, what)                                                                       \
  static bool compose_atleast_##n##d_each(OpCall *c) { return each_of(c, at_least_##n##d); }         \
  OP(atleast_##n##d_each, .schema = "atleast_" #n "d(Tensor[]... tensors) -> Tensor[]", .doc = what, \
     .samples = "[f(),f(3)] | [f(2,3)]", .flags = OP_FUNCTION, .compose = compose_atleast_##n##d_each)
static bool each_of(OpCall *c, Each each) {
  const Arg *list = &c->arg[0];
  if (!compose_list(c, list->n)) return false;
  for (int k = 0; k < list->n; k++)
    if (!compose_append(c, each(list->tensors[k]))) return false;
  return true;
}
AT_LEAST(1, "The tensor, as a vector if it is 0-dim.");
AT_LEAST(2, "The tensor with dims put in front until there are two.");
AT_LEAST(3, "The tensor with dims added until there are three.");
AT_LEAST_EACH(1, "Each tensor, as a vector if it is 0-dim.");
AT_LEAST_EACH(2, "Each tensor with dims put in front until there are two.");
AT_LEAST_EACH(3, "Each tensor with dims added until there are three.");

static Tensor *as_column(Tensor *t) { return t->ndim > 1 ? t : op_reshape(t, 2, (int64_t[]){t->numel, 1}); }

static bool compose_hstack(OpCall *c) {
  if (!check_list(&c->arg[0], "hstack")) return false;
  return compose_return(c, 0, cat_of_each(&c->arg[0], at_least_1d, c->arg[0].tensors[0]->ndim < 2 ? 0 : 1));
}
static bool compose_vstack(OpCall *c) {
  return check_list(&c->arg[0], "vstack") && compose_return(c, 0, cat_of_each(&c->arg[0], at_least_2d, 0));
}
static bool compose_dstack(OpCall *c) {
  return check_list(&c->arg[0], "dstack") && compose_return(c, 0, cat_of_each(&c->arg[0], at_least_3d, 2));
}
static bool compose_column_stack(OpCall *c) {
  return check_list(&c->arg[0], "column_stack") && compose_return(c, 0, cat_of_each(&c->arg[0], as_column, 1));
}
OP(hstack, .schema = "hstack(Tensor[] tensors) -> Tensor", .doc = "cat along the second dim; vectors along the first.",
   .samples = "[f(2),f(3)] | [f(2,3),f(2,1)] | [f(),f()]", .errors = "[f(2,3),f(3,3)] | []", .flags = OP_FUNCTION,
   .compose = compose_hstack);
OP(vstack, .schema = "vstack(Tensor[] tensors) -> Tensor", .alias = "row_stack",
   .doc = "cat along the first dim, vectors as rows.", .samples = "[f(3),f(3)] | [f(2,3),f(1,3)]",
   .errors = "[f(2,3),f(3,2)] | []", .flags = OP_FUNCTION, .compose = compose_vstack);
OP(dstack, .schema = "dstack(Tensor[] tensors) -> Tensor", .doc = "cat along the third dim, made where it lacks.",
   .samples = "[f(3),f(3)] | [f(2,3),f(2,3)]", .errors = "[f(2,3),f(3,2)] | []", .flags = OP_FUNCTION,
   .compose = compose_dstack);
OP(column_stack, .schema = "column_stack(Tensor[] tensors) -> Tensor",
   .doc = "cat along the second dim, vectors as columns.", .samples = "[f(3),f(3)] | [f(3,2),f(3)]",
   .errors = "[f(2,3),f(3,2)] | []", .flags = OP_FUNCTION, .compose = compose_column_stack);

/* --- split --- */

static bool split_dim(const OpCall *c, const char *name, int *dim) {
  if (in(c, 0)->ndim == 0 && strcmp(name, "tensor_split") == 0)
    return fail(MT_EARG, "tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims");
  if (in(c, 0)->ndim == 0) return fail(MT_EARG, "%s expects at least a 1-dimensional tensor", name);
  return dim_wrap(c->arg[2].i, in(c, 0)->ndim, dim);
}

/* Parts of `size`, the last one smaller. A dim of size 0 is one part. */
static bool split_evenly(OpCall *c, int dim, int64_t size) {
  Tensor *t = in(c, 0);
  int64_t total = t->shape[dim], n = total == 0 ? 1 : (total - 1) / size + 1;
  if (!compose_list(c, n)) return false;
  for (int64_t k = 0; k < n; k++) {
    int64_t start = k * size, length = total - start < size ? total - start : size;
    if (!compose_append(c, op_narrow(t, dim, start, length))) return false;
  }
  return true;
}
static bool compose_split(OpCall *c) {
  int64_t size = c->arg[1].i;
  int dim;
  if (!split_dim(c, "split", &dim)) return false;
  if (size < 0)
    return fail(MT_EARG, "split expects split_size be non-negative, but got split_size=%lld", (long long)size);
  if (size == 0 && in(c, 0)->shape[dim] != 0)
    return fail(MT_EARG, "split_size can only be 0 if dimension size is 0, but got dimension size of %lld",
                (long long)in(c, 0)->shape[dim]);
  return split_evenly(c, dim, size);
}
static bool compose_split_sizes(OpCall *c) {
  Tensor *t = in(c, 0);
  const Arg *sizes = &c->arg[1];
  int64_t start = 0;
  int dim;
  if (!split_dim(c, "split", &dim)) return false;
  for (int k = 0; k < sizes->n; k++) {
    if (sizes->ints[k] < 0)
      return fail(MT_EARG,
                  "split_with_sizes expects split_sizes have only non-negative entries, but got split_sizes=%s",
                  shape_text(sizes->n, sizes->ints));
    if (__builtin_add_overflow(start, sizes->ints[k], &start))
      return fail(MT_EARG, "split_with_sizes: the sizes overflow");
  }
  if (start != t->shape[dim])
    return fail(MT_EARG,
                "split_with_sizes expects split_sizes to sum exactly to %lld (input tensor's size at dimension %d), "
                "but got split_sizes=%s",
                (long long)t->shape[dim], dim + 1, shape_text(sizes->n, sizes->ints));
  if (!compose_list(c, sizes->n)) return false;
  start = 0;
  for (int k = 0; k < sizes->n; k++) {
    if (!compose_append(c, op_narrow(t, dim, start, sizes->ints[k]))) return false;
    start += sizes->ints[k];
  }
  return true;
}
OP(split, .schema = "split(Tensor input, int split_size, Dim dim=0) -> Tensor[]",
   .doc = "Views of split_size positions of dim each, the last one maybe smaller.",
   .samples = "f(5,2) 2 | f(3,4) 3 d2 | f(0,2) 2", .errors = "f(5) 0 | f(5) -1 | f() 1 | f(5) 2 d2", .flags = OP_BOTH,
   .compose = compose_split);
OP(split_sizes, .schema = "split(Tensor input, ints split_size, Dim dim=0) -> Tensor[]",
   .doc = "Views of as many positions of dim as the list says, which must add up to its size.",
   .samples = "f(5,2) {2,3} | f(3,4) {1,0,3} d2", .errors = "f(5) {2,2} | f(5) {6,-1} | f() {1}", .flags = OP_BOTH,
   .compose = compose_split_sizes);

OP(split_with_sizes, .schema = "split_with_sizes(Tensor input, ints split_sizes, Dim dim=0) -> Tensor[]",
   .doc = "split by a list of sizes.", .samples = "f(5,2) {2,3} | f(3,4) {1,0,3} d2",
   .errors = "f(5) {2,2} | f(5) {6,-1} | f() {1}", .flags = OP_BOTH, .compose = compose_split_sizes);

static bool compose_chunk(OpCall *c) {
  int64_t chunks = c->arg[1].i;
  int dim;
  if (!split_dim(c, "chunk", &dim)) return false;
  if (chunks <= 0) return fail(MT_EARG, "chunk expects `chunks` to be greater than 0, got: %lld", (long long)chunks);
  int64_t total = in(c, 0)->shape[dim], size = total == 0 ? 0 : (total - 1) / chunks + 1;
  if (size > 0) return split_evenly(c, dim, size);
  if (!compose_list(c, chunks)) return false;
  for (int64_t k = 0; k < chunks; k++)
    if (!compose_append(c, op_narrow(in(c, 0), dim, 0, 0))) return false;
  return true;
}
OP(chunk, .schema = "chunk(Tensor input, int chunks, Dim dim=0) -> Tensor[]",
   .doc = "Views that cut dim into at most chunks parts of one size, the last one maybe smaller.",
   .samples = "f(5,2) 2 | f(3,4) 3 d2 | f(0,2) 2", .errors = "f(5) 0 | f() 1 | f(5) 2 d2", .flags = OP_BOTH,
   .compose = compose_chunk);

static bool compose_unbind(OpCall *c) {
  Tensor *t = in(c, 0);
  int dim;
  if (t->ndim == 0)
    return fail(MT_EINDEX, "Dimension specified as %lld but tensor has no dimensions",
                (long long)(c->arg[1].i < 0 ? c->arg[1].i : c->arg[1].i + 1));
  if (!dim_wrap(c->arg[1].i, t->ndim, &dim) || !compose_list(c, t->shape[dim])) return false;
  for (int64_t k = 0; k < t->shape[dim]; k++)
    if (!compose_append(c, op_select(t, dim, k))) return false;
  return true;
}
OP(unbind, .schema = "unbind(Tensor input, Dim dim=0) -> Tensor[]",
   .doc = "A view of each position of dim, which vanishes.", .samples = "f(3,2) | f(3,2) d2", .errors = "f() | f(3) d2",
   .flags = OP_BOTH, .compose = compose_unbind);

static bool compose_tensor_split(OpCall *c) {
  Tensor *t = in(c, 0);
  int64_t n = c->arg[1].i;
  int dim;
  if (!split_dim(c, "tensor_split", &dim)) return false;
  if (n <= 0) return fail(MT_EARG, "number of sections must be larger than 0, got %lld", (long long)n);
  int64_t total = t->shape[dim], start = 0;
  if (!compose_list(c, n)) return false;
  for (int64_t k = 0; k < n; k++) {
    int64_t length = total / n + (k < total % n);
    if (!compose_append(c, op_narrow(t, dim, start, length))) return false;
    start += length;
  }
  return true;
}
/* Position p (from 1, negative from the end) of a dim as an offset, clamped as ranges are. */
static int64_t clamp_position(int64_t p, int64_t size) {
  int64_t at = p > 0 ? p - 1 : p + size;
  return at < 0 ? 0 : at > size ? size : at;
}
static bool compose_tensor_split_at(OpCall *c) {
  Tensor *t = in(c, 0);
  const Arg *at = &c->arg[1];
  int dim;
  if (!split_dim(c, "tensor_split", &dim)) return false;
  for (int k = 0; k < at->n; k++)
    if (at->ints[k] == 0) return fail(MT_EINDEX, "position 0: positions count from 1 in Lua");
  if (!compose_list(c, at->n + 1)) return false;
  int64_t size = t->shape[dim], start = 0;
  for (int k = 0; k <= at->n; k++) {
    int64_t stop = k < at->n ? clamp_position(at->ints[k], size) : size;
    if (!compose_append(c, op_narrow(t, dim, start, stop > start ? stop - start : 0))) return false;
    start = stop;
  }
  return true;
}
OP(tensor_split, .schema = "tensor_split(Tensor input, int sections, Dim dim=0) -> Tensor[]",
   .doc = "Views that cut dim into that many parts, the first ones larger by one where it does not come out even.",
   .samples = "f(5,2) 3 | f(3,4) 2 d2 | f(2) 3", .errors = "f(5) 0 | f() 1", .flags = OP_BOTH,
   .compose = compose_tensor_split);
OP(tensor_split_at, .schema = "tensor_split(Tensor input, ints indices, Dim dim=0) -> Tensor[]",
   .doc = "Views that cut dim before each of the positions.", .samples = "f(5,2) {2,4} | f(3,4) {3} d2",
   .errors = "f(5) {0} | f() {1}", .flags = OP_BOTH, .compose = compose_tensor_split_at);
