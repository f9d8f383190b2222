/* Rearranging: repeats, flips, rolls, triangles, diagonals and the rest of the shape operators. */
#include "base/alloc.h"
#include "base/size.h"
#include "cpu/device_kernels.h"
#include "graph/record.h"
#include "ops/ops.h"
#include <string.h>

extern OpDef def_permute, def_clone, def_view;

/* --- repeats --- */

/* t repeated k[d] times along its d-th of n dims: each dim is doubled, expanded and joined again. */
static Tensor *repeat(Tensor *t, int n, const int64_t *k) {
  int64_t split[2 * MT_MAX_DIMS], wide[2 * MT_MAX_DIMS], shape[MT_MAX_DIMS];
  int m = 0, lead = n - t->ndim;
  for (int d = 0; d < n; d++) {
    int64_t size = d < lead ? 1 : t->shape[d - lead];
    if (k[d] < 0) {
      fail(MT_EARG, "Trying to create tensor with negative dimension: repeats are %s", shape_text(n, k));
      return NULL;
    }
    if (!size_mul(size, k[d], &shape[d])) return NULL;
    if (k[d] != 1 && size != 1) {
      split[m] = 1;
      wide[m++] = k[d];
    }
    split[m] = size;
    wide[m++] = size == 1 ? k[d] : size;
  }
  Tensor *copy = op_expand(op_reshape(t, m, split), m, wide);
  copy = copy ? op_run(&def_clone, (Arg[]){ARG_T(copy)}) : NULL;
  return op_reshape(copy, n, shape);
}
static bool compose_repeat(OpCall *c) {
  const Arg *k = &c->arg[1];
  if (k->n < in(c, 0)->ndim)
    return fail(
        MT_EARG,
        "Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor: %d repeats for %s",
        k->n, shape_text(in(c, 0)->ndim, in(c, 0)->shape));
  if (k->n > MT_MAX_DIMS) return shape_check(k->n, k->ints);
  return compose_return(c, 0, repeat(in(c, 0), k->n, k->ints));
}
OP(repeat, .schema = "repeat(Tensor input, ints... repeats) -> Tensor",
   .doc = "The tensor laid out that many times along each dim, new dims in front; a copy. tile is the readable way in "
          "Lua.",
   .samples = "f(2,3) {2,2} | f(3) {2,1,2} | f() {3} | f(2,3) {0,1}", .errors = "f(2,3) {2} | f(3) {-1}",
   .flags = OP_METHOD, .compose = compose_repeat);
static bool compose_tile(OpCall *c) {
  Tensor *t = in(c, 0);
  const Arg *k = &c->arg[1];
  int64_t all[MT_MAX_DIMS];
  if (k->n > MT_MAX_DIMS) return shape_check(k->n, k->ints);
  int lead = t->ndim > k->n ? t->ndim - k->n : 0;
  for (int d = 0; d < lead; d++) all[d] = 1;
  memcpy(all + lead, k->ints, sizeof(int64_t) * (size_t)k->n);
  return compose_return(c, 0, repeat(t, lead + k->n, all));
}
OP(tile, .schema = "tile(Tensor input, ints... dims) -> Tensor",
   .doc = "repeat, where missing repeats of leading dims are 1.", .samples = "f(2,3) {2} | f(3) {2,2}",
   .errors = "f(3) {-1}", .flags = OP_BOTH, .compose = compose_tile);

static bool compose_repeat_interleave(OpCall *c) {
  Tensor *t = in(c, 0);
  int64_t k = c->arg[1].i, shape[MT_MAX_DIMS + 1];
  int dim;
  if (k < 0) return fail(MT_EARG, "Repeats must be non-negative, got %lld", (long long)k);
  if (!c->arg[2].given || t->ndim == 0) t = op_reshape(t, 1, &t->numel);
  if (!t || !dim_wrap(c->arg[2].given ? c->arg[2].i : 0, t->ndim, &dim)) return false;
  if (t->ndim == MT_MAX_DIMS)
    return fail(MT_EARG, "repeat_interleave takes tensors of up to %d dimensions", MT_MAX_DIMS - 1);
  int ndim = t->ndim;
  for (int d = 0; d <= ndim; d++) shape[d] = d <= dim ? t->shape[d] : d == dim + 1 ? k : t->shape[d - 1];
  Tensor *wide = op_run(&def_clone, (Arg[]){ARG_T(op_expand(op_unsqueeze(t, dim + 1), ndim + 1, shape))});
  memcpy(shape, t->shape, sizeof(int64_t) * (size_t)ndim);
  if (!size_mul(shape[dim], k, &shape[dim])) return false;
  if (c->arg[3].given && c->arg[3].i != shape[dim])
    return fail(MT_EARG, "repeat_interleave: Invalid output_size, expected %lld but got %lld", (long long)shape[dim],
                (long long)c->arg[3].i);
  return compose_return(c, 0, op_reshape(wide, ndim, shape));
}
OP(repeat_interleave,
   .schema = "repeat_interleave(Tensor input, int repeats, Dim? dim=None, *, int? output_size=None) -> Tensor",
   .doc = "Each position of dim that many times in a row; without dim, each element of the flattened tensor.",
   .samples = "f(2,3) 2 d1 | f(2,3) 3 d2 | f(3) 2 | f(2) 0", .errors = "f(3) -1 | f(3) 2 d2", .flags = OP_BOTH,
   .compose = compose_repeat_interleave);

static bool refuse_repeat(int64_t k) { return fail(MT_EARG, "repeats can not be negative, got %lld", (long long)k); }
static bool check_total(const Arg *size, int64_t total) {
  return !size->given || size->i == total ||
         fail(MT_EARG, "allocated size does not match required size: output_size is %lld, the repeats sum to %lld",
              (long long)size->i, (long long)total);
}

/* On a device: where each number up to the total would stand among the running sums. The host asks for the least repeat and
 * the total alone. */
static Tensor *repeated_there(Tensor *repeats, const Arg *size) {
  extern OpDef def_amin, def_cumsum, def_arange_from, def_searchsorted;
  int64_t across = 0;
  if (repeats->numel == 0)
    return check_total(size, 0) ? op_full(MT_I64, 1, &repeats->numel, tensor_device(repeats), scalar_int(0)) : NULL;
  Tensor *least = op_run(&def_amin, (Arg[]){ARG_T(repeats), ARG_INTS(&across, 1), ARG_I(0)});
  if (!least) return NULL;
  int64_t k = tensor_scalar(least).i;
  if (failed() || (k < 0 && !refuse_repeat(k))) return NULL;
  Tensor *sums = op_run(&def_cumsum, (Arg[]){ARG_T(repeats), ARG_I(0), ARG_NIL});
  Tensor *last = sums ? op_select(sums, 0, -1) : NULL;
  if (!last) return NULL;
  int64_t total = tensor_scalar(last).i, end;
  if (failed() || !check_total(size, total) || !size_add(total, 1, &end)) return NULL;
  Arg device = {.given = true, .device = tensor_device(repeats)};
  Arg line[] = {
      ARG_N(scalar_int(1)), ARG_N(scalar_int(end)), ARG_N(scalar_int(1)), ARG_DTYPE(MT_I64), device, ARG_I(0)};
  Tensor *number = op_run(&def_arange_from, line);
  return op_run(&def_searchsorted, (Arg[]){ARG_T(sums), ARG_T(number), ARG_I(0), ARG_I(0), ARG_NIL, ARG_NIL});
}

/* Positions 1, 2, ... each as often as repeats says. */
static Tensor *repeated_positions(Tensor *repeats, const Arg *size) {
  if (repeats && repeats->dtype == MT_U8) repeats = op_cast(repeats, MT_I64);
  if (!repeats) return NULL;
  if (repeats->dtype != MT_I64 && repeats->dtype != MT_I32) {
    fail(MT_ENOTIMPL, "\"repeat_interleave_cpu\" not implemented for '%s': repeats are int64, int32 or uint8",
         dtype_info[repeats->dtype].type_name);
    return NULL;
  }
  if (repeats->ndim != 1) {
    fail(MT_EARG, "repeat_interleave only accept 1D vector as repeat, but got %s", tensor_text(repeats));
    return NULL;
  }
  if (tensor_device(repeats).kind != MT_CPU) return repeated_there(repeats, size);
  int64_t total = 0, step = repeats->stride[0] * dtype_size((DType)repeats->dtype);
  const char *p = tensor_data(repeats);
  bool wide = repeats->dtype == MT_I64;
  for (int64_t i = 0; i < repeats->numel; i++) {
    int64_t k = position_load(p + i * step, wide);
    if (k < 0) {
      refuse_repeat(k);
      return NULL;
    }
    if (!size_add(total, k, &total)) return NULL;
  }
  if (!check_total(size, total)) return NULL;
  Tensor *out = pool_add(tensor_new(MT_I64, 1, &total, (Device){MT_CPU, 0}));
  if (!out) return NULL;
  int64_t *to = (int64_t *)tensor_data(out);
  for (int64_t i = 0; i < repeats->numel; i++)
    for (int64_t k = position_load(p + i * step, wide); k > 0; k--) *to++ = i + 1;
  return out;
}
static bool compose_repeat_each(OpCall *c) {
  Tensor *t = in(c, 0), *k = in(c, 1);
  int dim;
  if (!c->arg[2].given || t->ndim == 0) t = op_reshape(t, 1, &t->numel);
  if (!t || !dim_wrap(c->arg[2].given ? c->arg[2].i : 0, t->ndim, &dim)) return false;
  if (k->ndim == 0 || (k->ndim == 1 && k->numel == 1))
    k = op_expand(op_reshape(k, 1, (int64_t[]){1}), 1, &t->shape[dim]);
  if (k && k->ndim == 1 && k->numel != t->shape[dim])
    return fail(
        MT_EARG,
        "repeats must have the same size as input along dim, but got repeats.size(0) = %lld and input.size(%d) = %lld",
        (long long)k->numel, dim + 1, (long long)t->shape[dim]);
  return k && compose_return(c, 0, op_index_select(t, dim, repeated_positions(k, &c->arg[3])));
}
OP(repeat_each,
   .schema = "repeat_interleave(Tensor input, Tensor repeats, Dim? dim=None, *, int? output_size=None) -> Tensor",
   .doc = "Position i of dim repeats[i] times in a row.", .samples = "f(3,2) x(3;3) d1 | f(3) x(3;2)",
   .errors = "f(3) x(2;2) | f(3) f(3)", .flags = OP_BOTH, .compose = compose_repeat_each);
static bool compose_repeat_positions(OpCall *c) {
  return compose_return(c, 0, op_cast(repeated_positions(in(c, 0), &c->arg[1]), (DType)in(c, 0)->dtype));
}
OP(repeat_positions, .schema = "repeat_interleave(Tensor repeats, *, int? output_size=None) -> Index",
   .doc = "Position i, counted from 1, repeats[i] times in a row.", .samples = "x(4;3)", .errors = "f(3)",
   .flags = OP_BOTH | OP_NO_GRADIENT, .compose = compose_repeat_positions);

/* --- flip and roll --- */

static bool infer_flip(OpCall *c) {
  bool reduced[MT_MAX_DIMS];
  int64_t shape[MT_MAX_DIMS];
  int ndim;
  return reduced_shape(in(c, 0), c->arg[1].n, c->arg[1].ints, true, reduced, &ndim, shape) && infer_same(c);
}
static void back_flip(Grad *g) {
  extern OpDef def_flip;
  g_set(g, 0, op_run(&def_flip, (Arg[]){ARG_T(g_out(g, 0)), *g_arg(g, 1)}));
}
OP(flip, .schema = "flip(Tensor input, Dims... dims) -> Tensor",
   .doc = "A copy with the order of positions reversed along dims.",
   .samples = "f(3,4) d1 | f(3,4) {1,2} | f(2,3,4) {-1} | f(0,2) d1", .errors = "f(3,4) d3 | f(3,4) {1,1}",
   .flags = OP_BOTH, .infer = infer_flip, .kernel = EVERYWHERE(any_flip), .backward = back_flip);
static bool flip_dim(OpCall *c, const char *name, int least, int64_t dim) {
  if (in(c, 0)->ndim < least)
    return fail(MT_EARG, "Input must be >= %d-d. %s got %s", least, name, shape_text(in(c, 0)->ndim, in(c, 0)->shape));
  return compose_return(c, 0, op_run(&def_flip, (Arg[]){ARG_T(in(c, 0)), ARG_INTS(&dim, 1)}));
}
static bool compose_fliplr(OpCall *c) { return flip_dim(c, "fliplr", 2, 1); }
static bool compose_flipud(OpCall *c) { return flip_dim(c, "flipud", 1, 0); }
OP(fliplr, .schema = "fliplr(Tensor input) -> Tensor", .doc = "flip along the second dim.", .samples = "f(2,3)",
   .errors = "f(3)", .flags = OP_BOTH, .compose = compose_fliplr);
OP(flipud, .schema = "flipud(Tensor input) -> Tensor", .doc = "flip along the first dim.", .samples = "f(2,3) | f(3)",
   .errors = "f()", .flags = OP_BOTH, .compose = compose_flipud);

static Tensor *roll(Tensor *t, int64_t shift, int64_t dim) {
  int at;
  if (!t || failed() || !dim_wrap(dim, t->ndim, &at)) return NULL;
  int64_t size = t->shape[at];
  if (size == 0) return t;
  shift = (shift % size + size) % size;
  if (shift == 0) return t;
  return op_cat(2, (Tensor *[]){op_narrow(t, at, size - shift, shift), op_narrow(t, at, 0, size - shift)}, at);
}
static bool compose_roll(OpCall *c) {
  Tensor *t = in(c, 0), *rolled = t;
  const Arg *shifts = &c->arg[1], *dims = &c->arg[2];
  if (shifts->n == 0) return fail(MT_EARG, "`shifts` required");
  if (!dims->given || dims->n == 0) {
    if (shifts->n != 1) return fail(MT_EARG, "shifts and dimensions must align. shifts: %d, dims:0", shifts->n);
    rolled = op_reshape(roll(op_reshape(t, 1, &t->numel), shifts->ints[0], 0), t->ndim, t->shape);
  } else {
    if (shifts->n != dims->n)
      return fail(MT_EARG, "shifts and dimensions must align. shifts: %d, dims:%d", shifts->n, dims->n);
    for (int k = 0; rolled && k < dims->n; k++) rolled = roll(rolled, shifts->ints[k], dims->ints[k]);
  }
  if (rolled && rolled->storage == t->storage) rolled = op_run(&def_clone, (Arg[]){ARG_T(rolled)});
  return compose_return(c, 0, rolled);
}
OP(roll, .schema = "roll(Tensor input, ints shifts, Dims? dims=None) -> Tensor",
   .doc = "A copy whose elements moved on by shifts along dims, around the end to the start; without dims in the "
          "flattened tensor.",
   .samples = "f(3,4) {1} d1 | f(3,4) {-1,2} {1,2} | f(3,4) {5} | f(3) {0} d1",
   .errors = "f(3,4) {1,2} d1 | f(3) {1} d2", .flags = OP_BOTH, .compose = compose_roll);

/* --- triangles and diagonals --- */

static bool infer_triangle(OpCall *c) {
  return in(c, 0)->ndim >= 2 ? infer_same(c)
                             : fail(MT_EARG, "%s: input tensor must have at least 2 dimensions, got %s",
                                    c->def->info->name, shape_text(in(c, 0)->ndim, in(c, 0)->shape));
}
static bool run_tril(OpCall *c) { return any_clear_side(c->out[0], c->arg[1].i, true); }
static bool run_triu(OpCall *c) { return any_clear_side(c->out[0], c->arg[1].i, false); }
static void back_tril(Grad *g);
static void back_triu(Grad *g);
OP(tril, .schema = "tril(Tensor input, int diagonal=0) -> Tensor",
   .doc = "The lower triangle of each matrix, the rest 0. diagonal k keeps k more diagonals above the main one.",
   .samples = "f(3,4) | f(2,3,3) 1 | f(4,3) -1", .errors = "f(3)", .flags = OP_BOTH | OP_INPLACE | OP_MODIFIES,
   .infer = infer_triangle, .kernel = EVERYWHERE(run_tril), .backward = back_tril);
OP(triu, .schema = "triu(Tensor input, int diagonal=0) -> Tensor",
   .doc = "The upper triangle of each matrix, the rest 0. diagonal k leaves out k diagonals from the main one up.",
   .samples = "f(3,4) | f(2,3,3) 1 | f(4,3) -1", .errors = "f(3)", .flags = OP_BOTH | OP_INPLACE | OP_MODIFIES,
   .infer = infer_triangle, .kernel = EVERYWHERE(run_triu), .backward = back_triu);
static void back_tril(Grad *g) { g_set(g, 0, op_run(&def_tril, (Arg[]){ARG_T(g_out(g, 0)), *g_arg(g, 1)})); }
static void back_triu(Grad *g) { g_set(g, 0, op_run(&def_triu, (Arg[]){ARG_T(g_out(g, 0)), *g_arg(g, 1)})); }

/* The diagonal of dims a and b of a tensor with that geometry, as the last dim of a view. */
static bool diagonal_part(int ndim, const int64_t *shape, const int64_t *stride, int64_t offset, int64_t dim1,
                          int64_t dim2, int *n, int64_t *to_shape, int64_t *to_stride, int64_t *start) {
  int a, b;
  if (!dim_wrap(dim1, ndim, &a) || !dim_wrap(dim2, ndim, &b)) return false;
  if (a == b) return fail(MT_EARG, "diagonal dimensions cannot be identical %d, %d", a + 1, b + 1);
  int64_t rows = shape[a], cols = shape[b], length;
  if (offset >= 0)
    length = offset >= cols ? 0 : rows < cols - offset ? rows : cols - offset;
  else
    length = offset <= -rows ? 0 : cols < rows + offset ? cols : rows + offset;
  *start = length == 0 ? 0 : offset >= 0 ? offset * stride[b] : -offset * stride[a];
  *n = 0;
  for (int d = 0; d < ndim; d++) {
    if (d == a || d == b) continue;
    to_shape[*n] = shape[d];
    to_stride[(*n)++] = stride[d];
  }
  to_shape[*n] = length;
  to_stride[(*n)++] = stride[a] + stride[b];
  return true;
}
static bool infer_diagonal(OpCall *c) {
  Tensor *t = in(c, 0);
  int64_t shape[MT_MAX_DIMS], stride[MT_MAX_DIMS], start;
  int n;
  return diagonal_part(t->ndim, t->shape, t->stride, c->arg[1].i, c->arg[2].i, c->arg[3].i, &n, shape, stride,
                       &start) &&
         out_view(c, n, shape, stride, t->offset + start);
}
/* gy on the diagonal of zeros */
static void back_diagonal(Grad *g) {
  const EdgeMeta *m = g_meta(g, 0);
  int64_t base[MT_MAX_DIMS], shape[MT_MAX_DIMS], stride[MT_MAX_DIMS], start;
  int n;
  shape_strides(m->ndim, m->shape, base);
  if (!diagonal_part(m->ndim, m->shape, base, g_arg(g, 1)->i, g_arg(g, 2)->i, g_arg(g, 3)->i, &n, shape, stride,
                     &start))
    return;
  PartArgs p = part_args(m->ndim, m->shape, base, n, shape, stride, start);
  g_set(g, 0, op_run(&def_part_back, (Arg[]){ARG_T(g_out(g, 0)), p.arg[0], p.arg[1], p.arg[2], p.arg[3], p.arg[4]}));
}
OP(diagonal, .schema = "diagonal(Tensor input, int offset=0, Dim dim1=0, Dim dim2=1) -> Tensor",
   .doc = "A view of the diagonal of two dims, which becomes the last dim. offset moves it up, negative ones down.",
   .samples = "f(3,4) | f(3,4) 1 | f(4,3) -2 | f(2,3,4) 0 d1 d3 | f(3,3) 5",
   .errors = "f(3) | f(3,3) 0 d1 d1 | f(3,3) 0 d1 d3", .flags = OP_BOTH | OP_VIEW, .infer = infer_diagonal,
   .backward = back_diagonal);

/* The vector as the diagonal of a square matrix of zeros. */
static Tensor *on_diagonal(Tensor *t, int64_t offset) {
  int64_t shape[2], base[2], part_shape[2], stride[2], start;
  int n;
  if (offset == INT64_MIN) {
    fail(MT_EARG, "size overflow: a matrix whose diagonal is moved by %lld does not fit 64 bits", (long long)offset);
    return NULL;
  }
  if (!size_add(t->numel, offset < 0 ? -offset : offset, &shape[0])) return NULL;
  shape[1] = shape[0];
  Tensor *zeros = op_full((DType)t->dtype, 2, shape, tensor_device(t), scalar_int(0));
  if (!zeros) return NULL;
  shape_strides(2, shape, base); /* which fit, since zeros do */
  if (!diagonal_part(2, shape, base, offset, 0, 1, &n, part_shape, stride, &start)) return NULL;
  PartArgs p = part_args(2, shape, base, n, part_shape, stride, start);
  return op_run(&def_part_put, (Arg[]){ARG_T(zeros), ARG_T(t), p.arg[0], p.arg[1], p.arg[2], p.arg[3], p.arg[4]});
}
static bool compose_diag(OpCall *c) {
  Tensor *t = in(c, 0);
  if (t->ndim == 1) return compose_return(c, 0, on_diagonal(op_contiguous(t), c->arg[1].i));
  if (t->ndim != 2) return fail(MT_EARG, "diag(): Supports 1D or 2D tensors. Got %dD", t->ndim);
  Tensor *d = op_run(&def_diagonal, (Arg[]){ARG_T(t), ARG_I(c->arg[1].i), ARG_I(0), ARG_I(1)});
  return compose_return(c, 0, d ? op_run(&def_clone, (Arg[]){ARG_T(d)}) : NULL);
}
OP(diag, .schema = "diag(Tensor input, int diagonal=0) -> Tensor",
   .doc = "A vector as the diagonal of a matrix of zeros; of a matrix its diagonal, as a copy.",
   .samples = "f(3) | f(3) 1 | f(2) -2 | f(3,4) | f(3,4) 1", .errors = "f() | f(2,2,2)", .flags = OP_BOTH,
   .compose = compose_diag);

/* --- shapes --- */

static bool compose_movedim(OpCall *c) {
  Tensor *t = in(c, 0);
  const Arg *from = &c->arg[1], *to = &c->arg[2];
  int64_t order[MT_MAX_DIMS];
  bool placed[MT_MAX_DIMS] = {false}, moved[MT_MAX_DIMS] = {false};
  if (from->n != to->n)
    return fail(MT_EARG,
                "movedim: Invalid source or destination dims: source (%d dims) should contain the same number of dims "
                "as destination (%d dims)",
                from->n, to->n);
  for (int k = 0; k < from->n; k++) {
    int a, b;
    if (!dim_wrap(from->ints[k], t->ndim, &a) || !dim_wrap(to->ints[k], t->ndim, &b)) return false;
    if (moved[a] || placed[b])
      return fail(MT_EARG, "movedim: repeated dim in `%s`: dim %d comes twice", moved[a] ? "source" : "destination",
                  (moved[a] ? a : b) + 1);
    moved[a] = placed[b] = true;
    order[b] = a;
  }
  if (t->ndim == 0) return compose_return(c, 0, t);
  for (int d = 0, next = 0; d < t->ndim; d++) {
    if (placed[d]) continue;
    while (moved[next]) next++;
    order[d] = next++;
  }
  return compose_return(c, 0, op_run(&def_permute, (Arg[]){ARG_T(t), ARG_INTS(order, t->ndim)}));
}
OP(movedim, .schema = "movedim(Tensor input, Dims source, Dims destination) -> Tensor", .alias = "moveaxis",
   .doc = "A view with the source dims at the places destination; the others keep their order.",
   .samples = "f(2,3,4) d1 d3 | f(2,3,4) {1,2} {2,3}", .errors = "f(2,3) d3 d1 | f(2,3) {1,2} {1} | f(2,3) {1,1} {1,2}",
   .flags = OP_BOTH, .compose = compose_movedim);

static bool compose_unflatten(OpCall *c) {
  Tensor *t = in(c, 0);
  const Arg *sizes = &c->arg[2];
  int64_t shape[MT_MAX_DIMS], part[MT_MAX_DIMS];
  int dim, n = 0;
  if (t->ndim == 0) return fail(MT_EARG, "unflatten: a 0-dim tensor has no dim to unflatten");
  if (!dim_wrap(c->arg[1].i, t->ndim, &dim)) return false;
  if (sizes->n == 0) return fail(MT_EARG, "unflatten: sizes must be non-empty");
  if (t->ndim - 1 + sizes->n > MT_MAX_DIMS)
    return fail(MT_EARG, "unflatten: the result would have more than %d dimensions", MT_MAX_DIMS);
  if (!shape_infer(t->shape[dim], sizes->n, sizes->ints, part)) {
    fail_prefix("unflatten: Provided sizes %s don't multiply up to the size of dim %d (%lld) in the input tensor: ",
                shape_text(sizes->n, sizes->ints), dim + 1, (long long)t->shape[dim]);
    return false;
  }
  for (int d = 0; d < t->ndim; d++) {
    if (d != dim) shape[n++] = t->shape[d];
    for (int k = 0; d == dim && k < sizes->n; k++) shape[n++] = part[k];
  }
  return compose_return(c, 0, op_run(&def_view, (Arg[]){ARG_T(t), ARG_INTS(shape, n)}));
}
OP(unflatten, .schema = "unflatten(Tensor input, Dim dim, Size sizes) -> Tensor",
   .doc = "A view with dim cut into several of those sizes; one may be -1.",
   .samples = "f(6,2) d1 {2,3} | f(2,12) d-1 {3,-1}", .errors = "f(6) d1 {4,2} | f(6) d2 {6} | f()  d1 {1}",
   .flags = OP_BOTH, .compose = compose_unflatten);

static bool compose_broadcast_tensors(OpCall *c) {
  const Arg *list = &c->arg[0];
  int64_t shape[MT_MAX_DIMS];
  int ndim = 0;
  for (int k = 0; k < list->n; k++)
    if (!shape_broadcast(&ndim, shape, list->tensors[k]->ndim, list->tensors[k]->shape)) return false;
  if (!compose_list(c, list->n)) return false;
  for (int k = 0; k < list->n; k++)
    if (!compose_append(c, op_expand(list->tensors[k], ndim, shape))) return false;
  return true;
}
OP(broadcast_tensors, .schema = "broadcast_tensors(Tensor[]... tensors) -> Tensor[]",
   .doc = "The tensors expanded to their common shape; views.", .samples = "[f(3,1),f(4)] | [f(2),f()]",
   .errors = "[f(3),f(4)]", .flags = OP_FUNCTION, .compose = compose_broadcast_tensors);

static bool compose_meshgrid(OpCall *c) {
  const Arg *list = &c->arg[0];
  bool xy = strcmp(c->arg[1].str, "xy") == 0;
  int64_t shape[MT_MAX_DIMS];
  int n = list->n;
  if (n == 0) return fail(MT_EARG, "meshgrid expects a non-empty TensorList");
  if (n > MT_MAX_DIMS) return fail(MT_EARG, "meshgrid takes at most %d tensors", MT_MAX_DIMS);
  if (!xy && strcmp(c->arg[1].str, "ij") != 0)
    return fail(MT_EARG, "torch.meshgrid: indexing must be one of \"xy\" or \"ij\", but received: %s", c->arg[1].str);
  if (!compose_list(c, n)) return false;
  for (int k = 0; k < n; k++) {
    if (list->tensors[k]->ndim > 1)
      return fail(MT_EARG, "torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: %s",
                  tensor_text(list->tensors[k]));
    if (list->tensors[k]->dtype != list->tensors[0]->dtype)
      return fail(MT_EARG, "meshgrid expects all tensors to have the same dtype: number 1 is %s, number %d %s",
                  dtype_info[list->tensors[0]->dtype].name, k + 1, dtype_info[list->tensors[k]->dtype].name);
    shape[k] = list->tensors[k]->numel;
  }
  xy = xy && n > 1;
  if (xy) { /* the first two exchange their places, so that x runs along the columns */
    int64_t first = shape[0];
    shape[0] = shape[1];
    shape[1] = first;
  }
  for (int k = 0; k < n; k++) {
    int64_t one[MT_MAX_DIMS];
    int at = xy && k < 2 ? 1 - k : k;
    for (int d = 0; d < n; d++) one[d] = 1;
    one[at] = list->tensors[k]->numel;
    if (!compose_append(c, op_expand(op_reshape(list->tensors[k], n, one), n, shape))) return false;
  }
  return true;
}
OP(meshgrid, .schema = "meshgrid(Tensor[]... tensors, *, str indexing='ij') -> Tensor[]",
   .doc =
       "Coordinates of the grid that vectors span, one tensor each; with 'xy' the first runs along the columns. Views.",
   .samples = "[f(2),f(3)] | [f(2),f(3),f(2)] indexing='xy' | [f(3)]",
   .errors = "[f(2,3)] | [f(2),f(3)] indexing='yx' | []", .flags = OP_FUNCTION, .compose = compose_meshgrid);
