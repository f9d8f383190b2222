/* More of rearranging: splits by name, diagonals that are written, windows of positions (unfold), turns and shuffles. */
#include "base/size.h"
#include "cpu/copy_tensor.h"
#include "cpu/kernels.h"
#include "cpu/position.h"
#include "graph/record.h"
#include "ops/ops.h"
#include <string.h>

extern OpDef def_tensor_split, def_tensor_split_at, def_narrow, def_clone, def_diagonal, def_flip, def_permute;
extern OpDef def_fill_diagonal_, def_transpose;

static Tensor *copy_of(Tensor *t) { return t ? op_run(&def_clone, (Arg[]){ARG_T(t)}) : NULL; }

/* --- hsplit, vsplit, dsplit --- */

static bool split_rank(const OpCall *c, int least) {
  return in(c, 0)->ndim >= least ||
         fail(MT_EARG, "torch.%s requires a tensor with at least %d dimension, but got a tensor with %d dimensions!",
              c->def->info->name, least, in(c, 0)->ndim);
}
/* Runs tensor_split over dim; its list becomes this call's. */
static bool split_along(OpCall *c, OpDef *def, int64_t dim) {
  Arg arg[] = {c->arg[0], c->arg[1], ARG_I(dim)};
  OpCall inner = {.def = def, .arg = arg};
  if (failed() || !op_call(&inner)) return false;
  c->list = inner.list;
  c->list_length = inner.list_length;
  return true;
}
static bool split_sections(OpCall *c, int least, int64_t dim) {
  if (!split_rank(c, least)) return false;
  int64_t n = c->arg[1].i, size = in(c, 0)->shape[dim];
  if (n == 0 || size % n != 0)
    return fail(
        MT_EARG,
        "torch.%s attempted to split along dimension %d, but the size of the dimension %lld is not divisible by "
        "the split_size %lld!",
        c->def->info->name, (int)dim + 1, (long long)size, (long long)n);
  return split_along(c, &def_tensor_split, dim);
}
static int64_t across(const OpCall *c) { return in(c, 0)->ndim > 1 ? 1 : 0; }
static bool compose_hsplit(OpCall *c) { return split_sections(c, 1, across(c)); }
static bool compose_vsplit(OpCall *c) { return split_sections(c, 2, 0); }
static bool compose_dsplit(OpCall *c) { return split_sections(c, 3, 2); }
static bool compose_hsplit_at(OpCall *c) { return split_rank(c, 1) && split_along(c, &def_tensor_split_at, across(c)); }
static bool compose_vsplit_at(OpCall *c) { return split_rank(c, 2) && split_along(c, &def_tensor_split_at, 0); }
static bool compose_dsplit_at(OpCall *c) { return split_rank(c, 3) && split_along(c, &def_tensor_split_at, 2); }
/* Two declarations, on lines of their own: their order decides which overload is tried first. */
#define SPLIT_EVEN(name, where, inputs, refused)                                                     \
  OP(name, .schema = #name "(Tensor input, int sections) -> Tensor[]",                               \
     .doc = "Views that cut the " where " dim into that many parts of one size.", .samples = inputs, \
     .errors = refused, .flags = OP_BOTH, .compose = compose_##name)
#define SPLIT_AT(name, where, inputs)                                                            \
  OP(name##_at, .schema = #name "(Tensor input, ints indices) -> Tensor[]",                      \
     .doc = "Views that cut the " where " dim before each of the positions.", .samples = inputs, \
     .errors = "f() {1} | f(4,4,4) {0}", .flags = OP_BOTH, .compose = compose_##name##_at)
SPLIT_EVEN(hsplit, "second (of a vector the only)", "f(3,4) 2 | f(4) 2", "f(4) 3 | f() 1 | f(4) 0");
SPLIT_AT(hsplit, "second (of a vector the only)", "f(3,4) {2,4} | f(4) {3}");
SPLIT_EVEN(vsplit, "first", "f(4,3) 2", "f(3,2) 2 | f(4) 2");
SPLIT_AT(vsplit, "first", "f(4,3) {2,4}");
SPLIT_EVEN(dsplit, "third", "f(2,3,4) 2", "f(2,2,3) 2 | f(4,4) 2");
SPLIT_AT(dsplit, "third", "f(2,3,4) {2,4}");

/* Sections as a 0-dim tensor, positions as a vector. */
static bool compose_tensor_split_by(OpCall *c) {
  Tensor *by = in(c, 1);
  if (by->dtype != MT_I64 && by->dtype != MT_I32)
    return fail(MT_EARG, "tensor_split expected tensor_indices_or_sections to have dtype of long, but got %s",
                dtype_info[by->dtype].type_name);
  if (by->ndim > 1)
    return fail(MT_EARG,
                "tensor_split expected tensor_indices_or_sections to be a zero-dimensional or one-dimensional tensor, "
                "but got a tensor with %d dims",
                by->ndim);
  by = op_contiguous(op_host(op_cast(op_detach(by), MT_I64)));
  if (!by) return false;
  const int64_t *value = (const int64_t *)tensor_data(by);
  Arg arg[] = {c->arg[0], by->ndim == 0 ? (Arg)ARG_I(*value) : (Arg)ARG_INTS(value, (int32_t)by->numel), c->arg[2]};
  OpCall inner = {.def = by->ndim == 0 ? &def_tensor_split : &def_tensor_split_at, .arg = arg};
  if (!op_call(&inner)) return false;
  c->list = inner.list;
  c->list_length = inner.list_length;
  return true;
}
OP(tensor_split_by, .schema = "tensor_split(Tensor input, Tensor tensor_indices_or_sections, Dim dim=0) -> Tensor[]",
   .doc = "tensor_split with the number of sections as a 0-dim tensor, or the positions as a vector.",
   .samples = "f(5,2) x(2;4) | f(3,4) x(;2) d2", .errors = "f(5) f(2) | f(5) x(2,2;3)", .flags = OP_BOTH,
   .compose = compose_tensor_split_by);

/* --- narrow --- */

static bool compose_narrow_copy(OpCall *c) {
  if (c->arg[3].i < 0)
    return fail(MT_EARG, "start (%lld) + length (%lld) exceeds dimension size of %s: length must be non-negative",
                (long long)(c->arg[2].i < 0 ? c->arg[2].i : c->arg[2].i + 1), (long long)c->arg[3].i,
                tensor_text(in(c, 0)));
  return compose_return(c, 0, copy_of(op_run(&def_narrow, (Arg[]){c->arg[0], c->arg[1], c->arg[2], c->arg[3]})));
}
OP(narrow_copy, .schema = "narrow_copy(Tensor input, Dim dim, Position start, int length) -> Tensor",
   .doc = "narrow, as a copy.", .samples = "f(5,4) d1 2 3 | f(5,4) d-1 -2 2",
   .errors = "f(5,4) d1 4 3 | f(5,4) d1 7 1 | f(5) d1 1 -1 | f() d1 1 1", .flags = OP_BOTH,
   .compose = compose_narrow_copy);

static bool compose_narrow_by(OpCall *c) {
  Tensor *start = in(c, 2);
  if (start->ndim != 0 || !dtype_is_integral((DType)start->dtype) || start->dtype == MT_BOOL)
    return fail(MT_EARG, "start must be an 0-dim integral Tensor. It is %s", tensor_text(start));
  int64_t at = scalar_int64(tensor_scalar(start));
  if (at == 0) return fail(MT_EINDEX, "position 0: positions count from 1 in Lua (1 is the first, -1 the last)");
  return compose_return(c, 0,
                        op_run(&def_narrow, (Arg[]){c->arg[0], c->arg[1], ARG_I(at > 0 ? at - 1 : at), c->arg[3]}));
}
OP(narrow_by, .schema = "narrow(Tensor input, Dim dim, Tensor start, int length) -> Tensor",
   .doc = "narrow from the position that a 0-dim tensor of integers holds.", .samples = "f(5,4) d1 x(;2) 3",
   .errors = "f(5,4) d1 x(2;2) 3 | f(5,4) d1 f() 1", .flags = OP_BOTH, .compose = compose_narrow_by);

/* --- names of their own, with PyTorch's names of arguments --- */

static bool compose_swap(OpCall *c) { return compose_return(c, 0, op_transpose(in(c, 0), c->arg[1].i, c->arg[2].i)); }
OP(swapaxes, .schema = "swapaxes(Tensor input, Dim axis0, Dim axis1) -> Tensor", .doc = "transpose under numpy's name.",
   .samples = "f(3,4) d1 d2", .errors = "f(3,4) d1 d3", .flags = OP_BOTH, .compose = compose_swap);
static bool compose_ravel(OpCall *c) {
  Tensor *t = in(c, 0);
  return compose_return(c, 0, op_reshape(op_contiguous(t), 1, &t->numel));
}
OP(ravel, .schema = "ravel(Tensor input) -> Tensor",
   .doc = "All elements as a vector: a view of contiguous memory, else a copy.", .samples = "f(2,3) | f() | f(0,3)",
   .flags = OP_BOTH, .compose = compose_ravel);

static bool compose_sum_to_size(OpCall *c) {
  Tensor *t = in(c, 0);
  const Arg *size = &c->arg[1];
  bool fits = size->n <= t->ndim;
  for (int d = 1; fits && d <= size->n; d++) {
    int64_t wanted = size->ints[size->n - d];
    fits = wanted == t->shape[t->ndim - d] || wanted == 1;
  }
  if (!fits)
    return fail(MT_EARG, "size {%s} is not expandable to size {%s}.", shape_text(size->n, size->ints),
                shape_text(t->ndim, t->shape));
  int64_t dims[MT_MAX_DIMS], lead = t->ndim - size->n;
  int n = 0;
  for (int d = 0; d < t->ndim; d++)
    if (d < lead || (size->ints[d - lead] == 1 && t->shape[d] != 1)) dims[n++] = d;
  if (n > 0) t = op_sum_dims(t, n, dims, true);
  return compose_return(c, 0, t && t->ndim != size->n ? op_reshape(t, size->n, size->ints) : t);
}
OP(sum_to_size, .schema = "sum_to_size(Tensor input, Size... size) -> Tensor",
   .doc = "The sum over the dims along which a tensor of that size would have been expanded to input's.",
   .samples = "f(2,3) {1,3} | f(2,3) {3} | f(2,3) {2,1} | f(2,3) {2,3} | f(2,3) {}",
   .errors = "f(2,3) {2,2} | f(3) {1,3}", .flags = OP_METHOD, .compose = compose_sum_to_size);

/* --- unfold --- */

static bool infer_unfold(OpCall *c) {
  Tensor *t = in(c, 0);
  int64_t shape[MT_MAX_DIMS + 1], stride[MT_MAX_DIMS + 1], size = c->arg[2].i, step = c->arg[3].i;
  int dim;
  if (!dim_wrap(c->arg[1].i, t->ndim, &dim)) return false;
  int64_t whole = t->ndim > 0 ? t->shape[dim] : 1;
  if (size < 0) return fail(MT_EARG, "size is %lld but must be >= 0", (long long)size);
  if (size > whole)
    return fail(MT_EARG, "maximum size for tensor at dimension %d is %lld but size is %lld", dim + 1, (long long)whole,
                (long long)size);
  if (step <= 0) return fail(MT_EARG, "step is %lld but must be > 0", (long long)step);
  memcpy(shape, t->shape, sizeof(int64_t) * t->ndim);
  memcpy(stride, t->stride, sizeof(int64_t) * t->ndim);
  shape[t->ndim] = size;
  stride[t->ndim] = t->ndim > 0 ? t->stride[dim] : 1;
  if (t->ndim > 0) {
    shape[dim] = (whole - size) / step + 1;
    if (shape[dim] > 1)
      stride[dim] *= step;
    else if (__builtin_mul_overflow(stride[dim], step, &stride[dim]))
      stride[dim] = t->stride[dim]; /* one window: the step is not taken */
  }
  return t->ndim < MT_MAX_DIMS ? out_view(c, t->ndim + 1, shape, stride, t->offset) : shape_check(t->ndim + 1, shape);
}
/* Windows overlap: their elements add up. */
static void back_unfold(Grad *g) {
  const EdgeMeta *m = g_meta(g, 0);
  Tensor *gy = g_out(g, 0);
  int64_t base[MT_MAX_DIMS], stride[MT_MAX_DIMS];
  int dim;
  if (!gy || !dim_wrap(g_arg(g, 1)->i, m->ndim, &dim)) return;
  shape_strides(m->ndim, m->shape, base);
  memcpy(stride, base, sizeof base);
  stride[m->ndim] = m->ndim > 0 ? base[dim] : 1;
  if (m->ndim > 0 && __builtin_mul_overflow(base[dim], g_arg(g, 3)->i, &stride[dim])) stride[dim] = base[dim];
  PartArgs p = part_args(m->ndim, m->shape, base, gy->ndim, gy->shape, stride, 0);
  g_set(g, 0, op_run(&def_part_back, (Arg[]){ARG_T(gy), p.arg[0], p.arg[1], p.arg[2], p.arg[3], p.arg[4]}));
}
OP(unfold, .schema = "unfold(Tensor input, Dim dimension, int size, int step) -> Tensor",
   .doc = "A view of all windows of `size` positions of a dim, `step` apart; the windows' elements are a new last dim.",
   .samples = "f(5) d1 3 1 | f(5,4) d1 2 2 | f(5,4) d-1 2 1 | f() d1 1 1 | f(3) d1 0 1",
   .errors = "f(5) d1 6 1 | f(5) d1 2 0 | f(5) d1 -1 1 | f(5) d2 1 1", .flags = OP_METHOD | OP_VIEW,
   .infer = infer_unfold, .backward = back_unfold);

/* --- diagonals --- */

/* Zeros with the last dim of t as the diagonal of two new dims. */
static bool compose_diag_embed(OpCall *c) {
  Tensor *t = in(c, 0);
  int64_t offset = c->arg[1].i, shape[MT_MAX_DIMS + 1], side;
  int a, b, ndim = t->ndim + 1, last, from = 0;
  if (!dim_wrap(c->arg[2].i, ndim, &a) || !dim_wrap(c->arg[3].i, ndim, &b)) return false;
  if (a == b) return fail(MT_EARG, "diagonal dimensions cannot be identical %d, %d", a + 1, b + 1);
  if (t->ndim == 0) return fail(MT_EINDEX, "diag_embed needs a tensor of at least 1 dimension: x:reshape(1) makes one");
  if (ndim > MT_MAX_DIMS) return shape_check(ndim, t->shape);
  last = t->ndim - 1;
  if (offset == INT64_MIN || !size_add(t->shape[last], offset < 0 ? -offset : offset, &side))
    return failed() ? false : fail(MT_EARG, "size overflow: offset %lld", (long long)offset);
  for (int d = 0; d < ndim; d++) shape[d] = d == a || d == b ? side : t->shape[from++];
  Tensor *zeros = op_full((DType)t->dtype, ndim, shape, c->device, scalar_int(0));
  Tensor *view = op_run(&def_diagonal, (Arg[]){ARG_T(zeros), c->arg[1], ARG_I(a), ARG_I(b)});
  t = op_contiguous(t);
  if (!view || !t) return false;
  PartArgs p = part_args(ndim, shape, zeros->stride, view->ndim, view->shape, view->stride, view->offset);
  return compose_return(
      c, 0, op_run(&def_part_put, (Arg[]){ARG_T(zeros), ARG_T(t), p.arg[0], p.arg[1], p.arg[2], p.arg[3], p.arg[4]}));
}
OP(diag_embed, .schema = "diag_embed(Tensor input, int offset=0, Dim dim1=-2, Dim dim2=-1) -> Tensor",
   .doc = "Zeros of one more dim in which the last dim of input is the diagonal of dims dim1 and dim2; offset moves it "
          "up.",
   .samples = "f(3) | f(2,3) 1 | f(2,3) -1 d1 d2 | f(2,0)", .errors = "f() | f(3) 0 d1 d1 | f(3) 0 d1 d4",
   .flags = OP_BOTH, .compose = compose_diag_embed);
static bool compose_diagflat(OpCall *c) {
  Tensor *t = in(c, 0);
  t = op_reshape(t, 1, &t->numel);
  return compose_return(c, 0, op_run(&def_diag_embed, (Arg[]){ARG_T(t), c->arg[1], ARG_I(0), ARG_I(1)}));
}
OP(diagflat, .schema = "diagflat(Tensor input, int offset=0) -> Tensor",
   .doc = "All elements as the diagonal of a matrix of zeros.", .samples = "f(2,2) | f(3) 1 | f() | f(2) -2",
   .flags = OP_BOTH, .compose = compose_diagflat);

static bool infer_fill_diagonal(OpCall *c) {
  Tensor *t = in(c, 0);
  if (t->ndim < 2) return fail(MT_EARG, "dimensions must larger than 1: got %s", shape_text(t->ndim, t->shape));
  for (int d = 1; t->ndim > 2 && d < t->ndim; d++)
    if (t->shape[d] != t->shape[0])
      return fail(MT_EARG, "all dimensions of input must be of equal length: got %s", shape_text(t->ndim, t->shape));
  return infer_same(c);
}
/* Every element whose positions are all equal; with wrap also the diagonals that begin anew, a row further down: whole ones
 * together, then the one that is cut off. */
static bool run_fill_diagonal(OpCall *c) {
  Tensor *t = c->out[0], part = *t; /* lives only for this call; owns nothing */
  int64_t rows = t->shape[0], least = rows, step = 0;
  for (int k = 0; k < t->ndim; k++) {
    if (t->shape[k] < least) least = t->shape[k];
    step += t->stride[k];
  }
  if (least == 0) return true;
  bool wrap = c->arg[2].i && t->ndim == 2;
  int64_t turn = wrap ? t->shape[1] + 1 : rows, whole = wrap ? (rows - least) / turn + 1 : 1;
  int64_t rest = rows - whole * turn;
  part.ndim = 2;
  part.shape[0] = whole;
  part.stride[0] = turn * t->stride[0];
  part.shape[1] = least;
  part.stride[1] = step;
  part.numel = whole * least;
  if (!tensor_fill(&part, c->arg[1].number)) return false;
  if (!wrap || rest <= 0) return true;
  part.offset += whole * turn * t->stride[0];
  part.shape[0] = 1;
  part.numel = part.shape[1] = rest;
  return tensor_fill(&part, c->arg[1].number);
}
static void back_fill_diagonal(Grad *g) {
  Tensor *gy = copy_of(g_out(g, 0));
  if (gy) g_set(g, 0, op_run_inplace(&def_fill_diagonal_, (Arg[]){ARG_T(gy), ARG_N(scalar_int(0)), *g_arg(g, 2)}));
}
OP(fill_diagonal_, .schema = "fill_diagonal(Tensor input, Number fill_value, bool wrap=False) -> Tensor",
   .doc =
       "Writes fill_value on the main diagonal. Of more than two dims all must have one size. wrap: the diagonal of a "
       "tall matrix begins anew below.",
   .samples = "f(3,3) 1.5 | f(7,3) 2 true | f(3,5) 1 | f(2,2,2) 0", .errors = "f(3) 1 | f(2,2,3) 1",
   .flags = OP_METHOD | OP_INPLACE | OP_INPLACE_ONLY | OP_MODIFIES, .infer = infer_fill_diagonal,
   .kernel = EVERYWHERE(run_fill_diagonal), .backward = back_fill_diagonal);

/* --- turns and shuffles --- */

static bool compose_rot90(OpCall *c) {
  Tensor *t = in(c, 0);
  const Arg *dims = &c->arg[2];
  int64_t d[2] = {0, 1}, k = c->arg[1].i % 4;
  int a, b;
  if (t->ndim < 2) return fail(MT_EARG, "expected total dims >= 2, but got total dims = %d", t->ndim);
  if (dims->given && dims->n != 2)
    return fail(MT_EARG, "expected total rotation dims == 2, but got dims = %d", dims->n);
  if (dims->given) memcpy(d, dims->ints, sizeof d);
  if (!dim_wrap(d[0], t->ndim, &a) || !dim_wrap(d[1], t->ndim, &b)) return false;
  if (a == b)
    return fail(MT_EARG, "expected rotation dims to be different, but got dim0 = %d and dim1 = %d", a + 1, b + 1);
  if (k < 0) k += 4;
  int64_t both[2] = {a, b}, turned = k == 1 ? b : a;
  if (k == 0) return compose_return(c, 0, copy_of(t));
  Tensor *flipped = op_run(&def_flip, (Arg[]){ARG_T(t), ARG_INTS(k == 2 ? both : &turned, k == 2 ? 2 : 1)});
  return compose_return(c, 0, k == 2 ? flipped : op_transpose(flipped, a, b));
}
OP(rot90, .schema = "rot90(Tensor input, int k=1, Dims? dims=None) -> Tensor",
   .doc = "input turned k times by 90 degrees in the plane of two dims (the first two), from the first towards the "
          "second.",
   .samples = "f(2,3) | f(2,3) 2 | f(2,3) -1 {1,2} | f(2,3,4) 1 {2,3} | f(2,3) 4 {2,1}",
   .errors = "f(3) | f(2,3) 1 {1} | f(2,3) 1 {1,1} | f(2,3) 1 {1,3}", .flags = OP_BOTH, .compose = compose_rot90);

/* t seen as `shape` with its dims in that order, as `result`. */
static bool reordered(OpCall *c, Tensor *t, int n, const int64_t *shape, const int64_t *order, int m,
                      const int64_t *result) {
  Tensor *wide = op_reshape(t, n, shape);
  wide = op_run(&def_permute, (Arg[]){ARG_T(wide), ARG_INTS(order, n)});
  return compose_return(c, 0, op_reshape(wide, m, result));
}
static bool compose_channel_shuffle(OpCall *c) {
  Tensor *t = in(c, 0);
  int64_t groups = c->arg[1].i;
  if (t->ndim <= 2)
    return fail(MT_EARG, "channel_shuffle expects input with > 2 dims, but got input with sizes %s",
                shape_text(t->ndim, t->shape));
  if (groups <= 0)
    return fail(MT_EARG, "Number of groups to divide channels in must be positive. Value of groups:%lld",
                (long long)groups);
  if (t->shape[1] % groups != 0)
    return fail(MT_EARG, "Number of channels must be divisible by groups. Got %lld channels and %lld groups.",
                (long long)t->shape[1], (long long)groups);
  int64_t rest = 1, order[] = {0, 2, 1, 3};
  for (int d = 2; d < t->ndim; d++) rest *= t->shape[d];
  int64_t shape[] = {t->shape[0], groups, t->shape[1] / groups, rest};
  return reordered(c, t, 4, shape, order, t->ndim, t->shape);
}
OP(channel_shuffle, .schema = "channel_shuffle(Tensor input, int groups) -> Tensor",
   .doc = "(N, C, ...) with the channels of the groups interleaved: as (groups, C / groups), transposed.",
   .samples = "f(2,4,3) 2 | f(1,6,2,2) 3 | f(0,4,2) 2", .errors = "f(2,4) 2 | f(1,3,2) 2 | f(1,4,2) 0",
   .flags = OP_FUNCTION, .compose = compose_channel_shuffle);

static bool shuffle_rank(const OpCall *c, const char *factor) {
  const char *name = c->def->info->name;
  if (in(c, 0)->ndim < 3)
    return fail(MT_EARG, "%s expects input to have at least 3 dimensions, but got input with %d dimension(s)", name,
                in(c, 0)->ndim);
  return c->arg[1].i > 0 ||
         fail(MT_EARG, "%s expects a positive %s, but got %lld", name, factor, (long long)c->arg[1].i);
}
/* The leading dims as one; returns how many there are. */
static int leading(const Tensor *t, int64_t *n) {
  *n = 1;
  for (int d = 0; d < t->ndim - 3; d++) *n *= t->shape[d];
  return t->ndim - 3;
}
static bool compose_pixel_shuffle(OpCall *c) {
  Tensor *t = in(c, 0);
  int64_t r = c->arg[1].i, n, square, result[MT_MAX_DIMS];
  if (!shuffle_rank(c, "upscale_factor")) return false;
  const int64_t *s = t->shape + t->ndim - 3;
  if (!size_mul(r, r, &square)) return false;
  if (s[0] % square != 0)
    return fail(
        MT_EARG,
        "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, "
        "but input.size(-3)=%lld is not divisible by %lld",
        (long long)s[0], (long long)square);
  int lead = leading(t, &n);
  memcpy(result, t->shape, sizeof(int64_t) * (size_t)lead);
  result[lead] = s[0] / square;
  if (!size_mul(s[1], r, &result[lead + 1]) || !size_mul(s[2], r, &result[lead + 2])) return false;
  int64_t shape[] = {n, s[0] / square, r, r, s[1], s[2]}, order[] = {0, 1, 4, 2, 5, 3};
  return reordered(c, t, 6, shape, order, t->ndim, result);
}
OP(pixel_shuffle, .schema = "pixel_shuffle(Tensor input, int upscale_factor) -> Tensor",
   .doc = "(..., C r^2, H, W) to (..., C, H r, W r): channels become pixels.",
   .samples = "f(1,4,2,3) 2 | f(9,2,2) 3 | f(4,1,2) 1", .errors = "f(2,2) 2 | f(3,2,2) 2 | f(4,2,2) 0",
   .flags = OP_FUNCTION, .compose = compose_pixel_shuffle);
static bool compose_pixel_unshuffle(OpCall *c) {
  Tensor *t = in(c, 0);
  int64_t r = c->arg[1].i, n, result[MT_MAX_DIMS];
  if (!shuffle_rank(c, "downscale_factor")) return false;
  const int64_t *s = t->shape + t->ndim - 3;
  for (int k = 1; k < 3; k++)
    if (s[k] % r != 0)
      return fail(MT_EARG,
                  "pixel_unshuffle expects %s to be divisible by downscale_factor, but input.size(%d)=%lld is not "
                  "divisible by %lld",
                  k == 1 ? "height" : "width", k - 3, (long long)s[k], (long long)r);
  int lead = leading(t, &n);
  memcpy(result, t->shape, sizeof(int64_t) * (size_t)lead);
  if (!size_mul(s[0], r, &result[lead]) || !size_mul(result[lead], r, &result[lead])) return false;
  result[lead + 1] = s[1] / r;
  result[lead + 2] = s[2] / r;
  int64_t shape[] = {n, s[0], s[1] / r, r, s[2] / r, r}, order[] = {0, 1, 3, 5, 2, 4};
  return reordered(c, t, 6, shape, order, t->ndim, result);
}
OP(pixel_unshuffle, .schema = "pixel_unshuffle(Tensor input, int downscale_factor) -> Tensor",
   .doc = "(..., C, H r, W r) to (..., C r^2, H, W): the inverse of pixel_shuffle.",
   .samples = "f(1,1,4,6) 2 | f(2,3,3) 3", .errors = "f(2,2) 2 | f(1,3,2) 2 | f(1,2,3) 2 | f(1,2,2) -1",
   .flags = OP_FUNCTION, .compose = compose_pixel_unshuffle);
