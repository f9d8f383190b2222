/* Resampling: what interpolate is made of, and grid_sampler with affine_grid_generator.
 *
 * resample works along one dim and is linear, so it and its transpose are each other's gradients. grid_sampler is spelled out
 * in other operators: positions and weights by arithmetic, neighbours by gather; derivatives of any order follow. */
#include "base/size.h"
#include "cpu/device_kernels.h"
#include "ops/ops.h"
#include <string.h>

extern OpDef def_linspace, def_floor, def_round_whole, def_resample, def_resample_back;

/* ---- one dim ---- */

static int mode_of(const char *word) {
  static const char *const words[] = {"nearest",          "nearest-exact",   "linear",           "cubic",
                                      "linear-antialias", "cubic-antialias", "lanczos-antialias"};
  int m = 0;
  while (m < RESAMPLE_MODES && strcmp(word, words[m]) != 0) m++;
  return m;
}

static bool infer_resample(OpCall *c) {
  const Tensor *t = in(c, 0);
  int64_t shape[MT_MAX_DIMS], size = c->arg[2].i;
  int dim, mode = mode_of(c->arg[3].str);
  if (mode == RESAMPLE_MODES) return fail(MT_EARG, "there is no mode '%s'", c->arg[3].str);
  if (t->ndim == 0) return fail(MT_EARG, "input has no dims");
  if (!dim_wrap(c->arg[1].i, t->ndim, &dim)) return false;
  if (!tensor_is_float(t))
    return fail(MT_ENOTIMPL, "\"compute_indices_weights_%s\" not implemented for '%s': input is %s; use :float() first",
                mode < RESAMPLE_LINEAR    ? "nearest"
                : mode == RESAMPLE_LINEAR ? "linear"
                                          : "cubic",
                dtype_info[t->dtype].type_name, tensor_text(t));
  if (size < 1 || t->shape[dim] < 1 || size > INT32_MAX)
    return fail(MT_EARG, "Input and output sizes should be greater than 0, but got input %s and size %lld of dim %d",
                shape_text(t->ndim, t->shape), (long long)size, dim + 1);
  memcpy(shape, t->shape, sizeof(int64_t) * (size_t)t->ndim);
  shape[dim] = size;
  return out_shape(c, 0, (DType)t->dtype, t->ndim, shape);
}
static bool resample(OpCall *c, bool back, bool bytes) {
  Resample how = {(ResampleMode)mode_of(c->arg[3].str), c->arg[4].i, scalar_double(c->arg[5].number),
                  in(c, 0)->dtype != MT_F64, bytes};
  int dim;
  return dim_wrap(c->arg[1].i, in(c, 0)->ndim, &dim) && any_resample(&how, in(c, 0), dim, back, c->out[0]);
}
static bool run_resample(OpCall *c) { return resample(c, false, false); }
static bool run_resample_bytes(OpCall *c) { return resample(c, false, true); }
static bool run_resample_back(OpCall *c) { return resample(c, true, false); }
/* The other of the two, back to argument 0's size. */
static void back_through(Grad *g, OpDef *def) {
  const EdgeMeta *m = g_meta(g, 0);
  int dim;
  if (!dim_wrap(g_arg(g, 1)->i, m->ndim, &dim)) return;
  Arg arg[] = {ARG_T(g_out(g, 0)), ARG_I(dim), ARG_I(m->shape[dim]), *g_arg(g, 3), *g_arg(g, 4), *g_arg(g, 5)};
  g_set(g, 0, op_run(def, arg));
}
static void back_resample(Grad *g) { back_through(g, &def_resample_back); }
static void back_resample_back(Grad *g) { back_through(g, &def_resample); }
#define RESAMPLED "Tensor input, Dim dim, int size, str mode, bool align_corners=False, float scale=0) -> Tensor"
#define MODES                                                                                                          \
  "f(2,5) d2 8 'nearest' | f(2,5) d2 3 'nearest-exact' | f(5,2) d1 7 'linear' | f(2,5,2) d2 3 'linear' true | f(2,5) " \
  "d2 9 'cubic' | f(2,5) d2 3 'linear-antialias' | f(2,7) d2 3 'cubic-antialias' | f(2,9) d2 4 'lanczos-antialias' | " \
  "f(2,5) d2 8 'linear' false 1.7"
#define REFUSED "f(2,5) d2 0 'linear' | f(2,0) d2 3 'linear' | f(2,5) d2 3 'round' | i(2,5) d2 3 'linear'"
OP(resample, .schema = "resample(" RESAMPLED, .doc = "input with dim brought to another size.", .samples = MODES,
   .errors = REFUSED, .flags = OP_HIDDEN, .infer = infer_resample, .kernel = EVERYWHERE(run_resample),
   .backward = back_resample);
OP(resample_back, .schema = "resample_back(" RESAMPLED, .doc = "Gradient of resample: back to the size that was.",
   .samples = MODES, .errors = REFUSED, .flags = OP_HIDDEN, .infer = infer_resample,
   .kernel = EVERYWHERE(run_resample_back), .backward = back_resample_back);

OP(resample_bytes, .schema = "resample_bytes(" RESAMPLED,
   .doc = "input, whole numbers from 0 to 255, with dim brought to another size; weighted in fixed point and rounded.",
   .samples = MODES, .errors = REFUSED, .flags = OP_HIDDEN | OP_NO_GRADIENT, .infer = infer_resample,
   .kernel = EVERYWHERE(run_resample_bytes));

/* ---- grid_sampler ---- */

typedef enum { GRID_LINEAR, GRID_NEAREST, GRID_CUBIC } GridMode;
typedef enum { OUTSIDE_ZERO, OUTSIDE_BORDER, OUTSIDE_REFLECT } Outside;

typedef struct {
  int dims; /* x is number 0: the last dim */
  int64_t size[3], batch, channels, space, points;
  Tensor *flat; /* (N, C, space) */
  GridMode mode;
  Outside outside;
  bool align;
} Grid;

static Tensor *floored(Tensor *t) { return op_run(&def_floor, (Arg[]){ARG_T(t)}); }
static Tensor *within(Tensor *t, double low, double high) {
  return op_and(op_ge(t, op_float(low)), op_le(t, op_float(high)));
}

/* To 0 ... size - 1; beyond, and on the borders, there is no gradient; NaN becomes 0. */
static Tensor *clipped(Tensor *t, int64_t size) {
  double last = (double)(size - 1);
  return op_where(op_gt(t, op_float(0)), op_where(op_lt(t, op_float(last)), t, op_float(last)), op_float(0));
}

/* Mirrored at the borders: the middles of the outer elements, or their outer edges. */
static Tensor *reflected(Tensor *t, int64_t size, bool align) {
  double low = align ? 0 : -0.5, span = align ? (double)(size - 1) : (double)size;
  if (span <= 0) return op_scale(op_detach(t), 0);
  Tensor *d = op_sub(t, op_float(low));
  d = op_mul(d, op_where(op_lt(d, op_float(0)), op_float(-1), op_float(1)));
  Tensor *flips = floored(op_scale(op_detach(d), 1 / span));
  Tensor *rest = op_sub(d, op_scale(flips, span)), *half = op_scale(flips, 0.5);
  Tensor *even = op_eq(floored(half), half);
  return op_where(even, op_add(rest, op_float(low)), op_sub(op_float(span + low), rest));
}

static Tensor *padded(const Grid *g, Tensor *t, int64_t size) {
  if (g->outside == OUTSIDE_ZERO) return t;
  return clipped(g->outside == OUTSIDE_REFLECT ? reflected(t, size, g->align) : t, size);
}

/* Values (N, C, L) at whole positions, one tensor (N, L) of them for each dim; 0 outside. */
static Tensor *values_at(const Grid *g, Tensor *const *at) {
  Tensor *index = NULL, *inside = NULL;
  for (int k = g->dims - 1; k >= 0; k--) {
    Tensor *whole = op_detach(at[k]), *valid = within(whole, 0, (double)(g->size[k] - 1));
    whole = op_cast(op_where(valid, whole, op_float(0)), MT_I64);
    index = index ? op_add(op_mul(index, op_int(g->size[k])), whole) : whole;
    inside = inside ? op_and(inside, valid) : valid;
  }
  int64_t wide[] = {g->batch, g->channels, g->points};
  index = op_expand(op_unsqueeze(op_add(index, op_int(1)), 1), 3, wide);
  Tensor *values = op_gather(g->flat, 2, index);
  if (g->outside != OUTSIDE_ZERO) return values;
  return op_where(op_unsqueeze(inside, 1), values, op_float(0));
}

static Tensor *weighted(Tensor *sum, Tensor *values, Tensor *weight) {
  if (weight) values = op_mul(values, op_unsqueeze(weight, 1));
  return sum ? op_add(sum, values) : values;
}

static Tensor *sample_linear(const Grid *g, Tensor *const *place) {
  Tensor *first[3], *far[3], *near[3], *sum = NULL;
  for (int k = 0; k < g->dims; k++) {
    first[k] = floored(op_detach(place[k]));
    far[k] = op_sub(place[k], first[k]);
    near[k] = op_sub(op_float(1), far[k]);
  }
  for (int corner = 0; corner < 1 << g->dims; corner++) {
    Tensor *at[3], *weight = NULL;
    for (int k = 0; k < g->dims; k++) {
      bool next = corner >> k & 1;
      at[k] = next ? op_add(first[k], op_float(1)) : first[k];
      /* clipped positions keep their neighbour inside, where its weight is 0 */
      if (next && g->outside != OUTSIDE_ZERO) at[k] = clipped(at[k], g->size[k]);
      Tensor *w = next ? far[k] : near[k];
      weight = weight ? op_mul(weight, w) : w;
    }
    sum = weighted(sum, values_at(g, at), weight);
  }
  return sum;
}

/* ((a t + b) t + c) t + d */
static Tensor *cubic(Tensor *t, double a, double b, double c, double d) {
  Tensor *sum = op_add(op_scale(t, a), op_float(b));
  sum = op_add(op_mul(sum, t), op_float(c));
  return op_add(op_mul(sum, t), op_float(d));
}
static void cubic_weights(Tensor *t, Tensor **weight) {
  const double a = -0.75;
  Tensor *rest = op_sub(op_float(1), t);
  weight[0] = cubic(op_add(t, op_float(1)), a, -5 * a, 8 * a, -4 * a);
  weight[1] = cubic(t, a + 2, -(a + 3), 0, 1);
  weight[2] = cubic(rest, a + 2, -(a + 3), 0, 1);
  weight[3] = cubic(op_add(rest, op_float(1)), a, -5 * a, 8 * a, -4 * a);
}
/* The sum over four neighbours in dim k, and in the dims after it, of what `at` says of the dims before. */
static Tensor *sum_cubic(const Grid *g, Tensor *const *first, Tensor *const (*weight)[4], Tensor **at, int k) {
  Tensor *sum = NULL;
  if (k < 0) return values_at(g, at);
  for (int i = 0; i < 4; i++) {
    at[k] = padded(g, op_add(first[k], op_float(i - 1)), g->size[k]);
    sum = weighted(sum, sum_cubic(g, first, weight, at, k - 1), weight[k][i]);
  }
  return sum;
}
static Tensor *sample_cubic(const Grid *g, Tensor *const *place) {
  Tensor *first[3], *weight[3][4], *at[3];
  for (int k = 0; k < g->dims; k++) {
    first[k] = floored(op_detach(place[k]));
    cubic_weights(op_sub(place[k], first[k]), weight[k]);
  }
  return sum_cubic(g, first, weight, at, g->dims - 1);
}

static Tensor *sample_grid(const Grid *g, Tensor *grid) {
  Tensor *place[3];
  int64_t lines[] = {g->batch, g->points, g->dims};
  grid = op_reshape(grid, 3, lines);
  if (!grid) return NULL;
  for (int k = 0; k < g->dims; k++) {
    double size = (double)g->size[k];
    Tensor *t = op_add(op_select(grid, 2, k), op_float(1));
    t = g->align ? op_scale(op_scale(t, 0.5), size - 1) : op_scale(op_sub(op_scale(t, size), op_float(1)), 0.5);
    place[k] = g->mode == GRID_CUBIC ? t : padded(g, t, g->size[k]);
  }
  if (g->mode == GRID_LINEAR) return sample_linear(g, place);
  if (g->mode == GRID_CUBIC) return sample_cubic(g, place);
  for (int k = 0; k < g->dims; k++) place[k] = op_run(&def_round_whole, (Arg[]){ARG_T(op_detach(place[k]))});
  Tensor *values = values_at(g, place);
  if (!tensor_wants_grad(grid)) return values;
  /* grid gets a gradient of zeros */
  Tensor *never = op_full(MT_BOOL, 0, NULL, tensor_device(grid), scalar_bool(false));
  return op_where(never, op_unsqueeze(op_select(grid, 2, 0), 1), values);
}

static bool check_grid(const Tensor *x, const Tensor *grid) {
  const char *xs = shape_text(x->ndim, x->shape), *gs = shape_text(grid->ndim, grid->shape);
  int dims = x->ndim - 2;
  if (grid->ndim > 0 && x->ndim > 0 && x->shape[0] != grid->shape[0])
    return fail(MT_EARG,
                "grid_sampler(): expected grid and input to have same batch size, but got input with sizes %s and grid "
                "with sizes %s",
                xs, gs);
  if (dims > 0 && grid->ndim > 0 && grid->shape[grid->ndim - 1] != dims)
    return fail(MT_EARG,
                "grid_sampler(): expected grid to have size %d in last dimension, but got grid with sizes %s: (x, y%s) "
                "for each result",
                dims, gs, dims == 3 ? ", z" : "");
  if ((dims == 2 || dims == 3) && grid->ndim != x->ndim)
    return fail(
        MT_EARG,
        "grid_sampler(): expected %dD input and grid with same number of dimensions, but got input with sizes %s "
        "and grid with sizes %s",
        x->ndim, xs, gs);
  if (dims != 2 && dims != 3)
    return fail(MT_EARG,
                "grid_sampler(): expected 4D or 5D input (N, C, H, W) or (N, C, D, H, W), but got input with "
                "sizes %s and grid with sizes %s",
                xs, gs);
  for (int d = 2; d < x->ndim; d++)
    if (x->shape[d] == 0)
      return fail(MT_EARG,
                  "grid_sampler(): expected input to have non-empty spatial dimensions, but input has sizes %s with "
                  "dimension %d being empty",
                  xs, d + 1);
  if (!tensor_is_float(x))
    return fail(MT_ENOTIMPL, "\"grid_sampler_%dd_cpu_kernel_impl\" not implemented for '%s': input is %s; use :float()",
                dims, dtype_info[x->dtype].type_name, tensor_text(x));
  return x->dtype == grid->dtype ||
         fail(MT_EARG, "expected scalar type %s but found %s: input is %s, grid %s; convert one of them with :to()",
              dtype_info[x->dtype].type_name, dtype_info[grid->dtype].type_name, tensor_text(x), tensor_text(grid));
}

static bool compose_grid_sampler(OpCall *c) {
  Tensor *x = in(c, 0), *grid = in(c, 1);
  int64_t mode = c->arg[2].i, outside = c->arg[3].i;
  if (!check_grid(x, grid)) return false;
  if (mode < 0 || mode > GRID_CUBIC || outside < 0 || outside > OUTSIDE_REFLECT)
    return fail(MT_EARG,
                "interpolation_mode is 0 (bilinear), 1 (nearest) or 2 (bicubic), padding_mode 0 (zeros), 1 "
                "(border) or 2 (reflection), but got %lld and %lld",
                (long long)mode, (long long)outside);
  Grid g = {.dims = x->ndim - 2, .batch = x->shape[0], .channels = x->shape[1], .space = 1, .points = 1};
  g.mode = (GridMode)mode;
  g.outside = (Outside)outside;
  g.align = c->arg[4].i;
  int64_t shape[5] = {g.batch, g.channels};
  for (int d = 0; d < g.dims; d++) {
    g.size[d] = x->shape[x->ndim - 1 - d];
    shape[2 + d] = grid->shape[1 + d];
    if (!size_mul(g.space, x->shape[2 + d], &g.space) || !size_mul(g.points, shape[2 + d], &g.points)) return false;
  }
  DType lane = x->dtype == MT_F64 ? MT_F64 : MT_F32;
  int64_t flat[] = {g.batch, g.channels, g.space};
  g.flat = op_reshape(op_cast(x, lane), 3, flat);
  Tensor *out = op_reshape(sample_grid(&g, op_cast(grid, lane)), x->ndim, shape);
  return compose_return(c, 0, op_cast(out, (DType)x->dtype));
}
OP(grid_sampler,
   .schema = "grid_sampler(Tensor input, Tensor grid, int interpolation_mode, int padding_mode, bool align_corners) -> "
             "Tensor",
   .doc =
       "input (N, C, H, W) or (N, C, D, H, W) at the places in grid (N, ..., 2 or 3), x first, where -1 and 1 are the "
       "first and the last element's middle (align_corners) or outer edge. interpolation_mode 0 bilinear, 1 nearest, "
       "2 bicubic (of three dims tricubic); padding_mode 0 zeros, 1 border, 2 reflection.",
   .samples = "f(1,2,3,4) f(1,2,3,2) 0 0 false | f(2,1,3,3) f(2,1,2,2) 0 1 true | f(1,1,3,4) f(1,1,4,2) 0 2 false | "
              "f(1,2,3,4) f(1,2,3,2) 1 0 false | f(1,1,4,4) f(1,1,3,2) 2 0 true | f(1,1,4,4) f(1,1,3,2) 2 2 false | "
              "f(1,1,2,3,2) f(1,1,2,2,3) 0 0 false | f(1,1,2,3,2) f(1,1,2,2,3) 1 2 true | f(1,1,2,3,2) f(1,1,1,2,3) 2 "
              "1 false | f(0,2,3,4) f(0,2,3,2) 0 0 "
              "false",
   .errors = "f(1,2,3,4) f(1,2,3,3) 0 0 false | f(1,2,3,4) f(2,2,3,2) 0 0 false | f(1,2,3,4) f(1,3,2) 0 0 false | "
             "f(1,2,3,4) g(1,2,3,2) 0 0 false | i(1,2,3,4) f(1,2,3,2) 0 0 false | f(1,2,0,4) f(1,2,3,2) 0 0 false | "
             "f(1,2,3,4) f(1,2,3,2) 3 0 false | f(1,2,3) f(1,2,2) 0 0 false",
   .flags = OP_FUNCTION, .compose = compose_grid_sampler);

/* ---- affine_grid_generator ---- */

/* The places of n elements between -1 and 1: their middles, or from end to end. Integers are cut off at each step. */
static Tensor *even_places(DType d, int64_t n, bool align) {
  if (!dtype_is_float(d)) {
    Arg line[] = {ARG_N(scalar_int(-1)), ARG_N(scalar_int(1)), ARG_I(n), ARG_DTYPE(d), ARG_NIL, ARG_I(0)};
    Tensor *t = n > 1 ? op_run(&def_linspace, line) : op_full(d, 1, &n, (Device){MT_CPU, 0}, scalar_int(0));
    return align || n < 1 ? t : op_cast(op_div(op_mul(t, op_int(n - 1)), op_int(n)), d);
  }
  Tensor *t = op_full(MT_F64, 1, &n, (Device){MT_CPU, 0}, scalar_int(0));
  double *p = t ? (double *)(void *)tensor_data(t) : NULL;
  for (int64_t i = 0; t && i < n; i++) {
    double at = n > 1 ? -1 + 2 * (double)i / (double)(n - 1) : 0;
    p[i] = align ? at : at * (double)(n - 1) / (double)n;
  }
  return t ? op_cast(t, d) : NULL;
}

static bool compose_affine_grid(OpCall *c) {
  Tensor *theta = in(c, 0);
  const Arg *size = &c->arg[1];
  bool align = c->arg[2].i;
  int dims = size->n - 2;
  if (dims != 2 && dims != 3)
    return fail(MT_EARG, "AffineGridGenerator needs 4d (spatial) or 5d (volumetric) inputs., but size is %s",
                shape_text(size->n, size->ints));
  if (theta->dtype == MT_BOOL)
    return fail(MT_ENOTIMPL, "\"linspace_cpu\" not implemented for 'Bool'. Use :float() first");
  if (!shape_check(size->n, size->ints)) return false;
  int64_t batch = size->ints[0], points[4], shape[5] = {batch}, numbers;
  if (theta->ndim != 3)
    return fail(MT_EARG, "batch2 must be a 3D tensor: theta is %s, but must be (%lld, %d, %d)",
                shape_text(theta->ndim, theta->shape), (long long)batch, dims, dims + 1);
  if (theta->shape[0] != batch || theta->shape[2] != dims + 1)
    return fail(MT_EARG,
                "Expected size for first two dimensions of batch2 tensor to be: [%lld, %d] but got: [%lld, %lld].: "
                "theta is %s, but must be (%lld, %d, %d) for size %s",
                (long long)batch, dims + 1, (long long)theta->shape[0], (long long)theta->shape[2],
                shape_text(3, theta->shape), (long long)batch, dims, dims + 1, shape_text(size->n, size->ints));
  DType lane = tensor_is_float(theta) && theta->dtype != MT_F64 ? MT_F32 : (DType)theta->dtype;
  /* a base grid (points, dims + 1): x, y, z, 1 */
  Tensor *column[4];
  int64_t total = 1;
  for (int d = 0; d < dims; d++) {
    points[d] = shape[1 + d] = size->ints[2 + d];
    if (!size_mul(total, points[d], &total)) return false;
  }
  shape[1 + dims] = dims;
  if (theta->shape[1] != dims)
    return size_mul(theta->numel / (dims + 1), total, &numbers) &&
           fail(MT_EARG, "shape '%s' is invalid for input of size %lld: theta is %s, but must be (%lld, %d, %d)",
                shape_text(dims + 2, shape), (long long)numbers, shape_text(3, theta->shape), (long long)batch, dims,
                dims + 1);
  for (int k = 0; k < dims; k++) {
    int64_t along[3] = {1, 1, 1}, dim = dims - 1 - k;
    along[dim] = points[dim];
    Tensor *t =
        op_reshape(op_on(even_places((DType)theta->dtype, points[dim], align), tensor_device(theta)), dims, along);
    column[k] = op_reshape(op_cast(op_expand(t, dims, points), lane), 1, &total);
  }
  column[dims] = op_full(lane, 1, &total, tensor_device(theta), scalar_int(1));
  Tensor *base = column[dims] ? op_stack(dims + 1, column, 1) : NULL;
  Tensor *out = op_matmul(base, op_transpose(op_cast(theta, lane), 1, 2));
  return compose_return(c, 0, op_cast(op_reshape(out, dims + 2, shape), (DType)theta->dtype));
}
OP(affine_grid_generator, .schema = "affine_grid_generator(Tensor theta, Size size, bool align_corners) -> Tensor",
   .doc =
       "The grid for grid_sampler that affine matrices theta (N, 2, 3) or (N, 3, 4) make of the places of a result of "
       "that size, (N, C, H, W) or (N, C, D, H, W).",
   .samples = "f(2,2,3) {2,1,3,4} false | f(1,2,3) {1,2,1,3} true | f(1,3,4) {1,1,2,3,2} true | i(1,2,3) {1,1,3,4} "
              "false | f(1,2,3) {1,1,0,4} true",
   .errors =
       "f(2,2,3) {1,1,3,4} false | f(1,2,3) {1,3,4} false | f(1,3,3) {1,1,3,4} false | b(1,2,3) {1,1,3,4} false | "
       "f(1,2,3) {1,1,-2,4} false",
   .flags = OP_FUNCTION, .compose = compose_affine_grid);
