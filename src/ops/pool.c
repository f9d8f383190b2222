/* Pooling: the largest or the mean of windows over the last one to three dims, of given or of adapted size, and unpooling.
 *
 * One operator of each kind serves all dims. What was the largest is kept as a position in its plane, counted from 1. */
#include "cpu/device_kernels.h"
#include "base/alloc.h"
#include "base/size.h"
#include "ops/ops.h"
#include <stdlib.h>
#include <string.h>

/* ---- windows ---- */

typedef struct Window {
  const int64_t *kernel, *stride, *pad, *dilation; /* dilation NULL: 1 */
  bool ceil, include_pad;
  int64_t divisor;
} Window;

static int64_t dilation_of(Window w, int d) { return w.dilation ? w.dilation[d] : 1; }
static int64_t reach_of(Window w, int d) { return dilation_of(w, d) * (w.kernel[d] - 1) + 1; }

static bool check_window(int dims, Window w) {
  for (int d = 0; d < dims; d++) {
    int64_t dilation = dilation_of(w, d);
    if (w.stride[d] == 0) return fail(MT_EARG, "stride should not be zero: stride is %s", shape_text(dims, w.stride));
    if (w.kernel[d] <= 0)
      return fail(MT_EARG, "kernel size should be greater than zero, but got kernel_size %s",
                  shape_text(dims, w.kernel));
    if (w.stride[d] <= 0)
      return fail(MT_EARG, "stride should be greater than zero, but got stride %s", shape_text(dims, w.stride));
    if (dilation <= 0)
      return fail(MT_EARG, "dilation should be greater than zero, but got dilation %s", shape_text(dims, w.dilation));
    if (w.kernel[d] > INT32_MAX || w.stride[d] > INT32_MAX || dilation > INT32_MAX)
      return fail(MT_EARG, "kernel_size %s, stride %s: no number may be above 2147483647", shape_text(dims, w.kernel),
                  shape_text(dims, w.stride));
    if (w.pad[d] < 0) return fail(MT_EARG, "pad must be non-negative, but got pad: %lld", (long long)w.pad[d]);
    if (w.pad[d] > reach_of(w, d) / 2)
      return fail(
          MT_EARG,
          "pad should be at most half of effective kernel size, but got pad=%lld, kernel_size=%lld and dilation=%lld",
          (long long)w.pad[d], (long long)w.kernel[d], (long long)dilation);
  }
  /* windows of three dims with gaps: PyTorch does not count the gaps here */
  for (int d = 0; d < dims && dims == 3; d++)
    if (w.pad[d] > w.kernel[d] / 2)
      return fail(
          MT_EARG,
          "pad should be smaller than or equal to half of kernel size, but got kT: %lld kW: %lld kH: %lld padT: "
          "%lld padW: %lld padH: %lld",
          (long long)w.kernel[0], (long long)w.kernel[2], (long long)w.kernel[1], (long long)w.pad[0],
          (long long)w.pad[2], (long long)w.pad[1]);
  return true;
}

static const char *box_text(int64_t channels, int dims, const int64_t *size) {
  const char *t = text("%lld", (long long)channels);
  for (int d = 0; d < dims; d++) t = text("%sx%lld", t, (long long)size[d]);
  return t;
}

/* Sizes of the result; with ceil, a last window may reach over the end if it begins inside or in the padding before. */
static bool pooled_sizes(const Tensor *t, int dims, Window w, int64_t *out) {
  const int64_t *in = t->shape + t->ndim - dims;
  bool positive = true;
  for (int d = 0; d < dims; d++) {
    int64_t room = in[d] + 2 * w.pad[d] - reach_of(w, d);
    out[d] =
        room < 0 && !(w.ceil && room > -w.stride[d]) ? 0 : (room + (w.ceil ? w.stride[d] - 1 : 0)) / w.stride[d] + 1;
    if (w.ceil && out[d] > 0 && (out[d] - 1) * w.stride[d] >= in[d] + w.pad[d]) out[d]--;
    positive = positive && out[d] > 0;
  }
  int64_t channels = t->shape[t->ndim - dims - 1];
  return positive ||
         fail(MT_EARG,
              "Given input size: (%s). Calculated output size: (%s). Output size is too small: the window is %s",
              box_text(channels, dims, in), box_text(channels, dims, out), shape_text(dims, w.kernel));
}

/* Where the windows lie, of sizes `in` and `out` behind the leading dims. Owned: pooling_close. */
static bool pooling_open(Pooling *p, int ndim, int dims, const int64_t *in, const int64_t *out, const Window *w) {
  Span *span[3];
  int64_t spans = 0;
  *p = (Pooling){.planes = 1, .divisor = w ? (double)w->divisor : 0};
  for (int d = 0; d < ndim - dims; d++) p->planes *= in[d];
  for (int d = 0; d < 3; d++) {
    int k = d - (3 - dims);
    p->in[d] = k < 0 ? 1 : in[ndim - dims + k];
    p->out[d] = k < 0 ? 1 : out[ndim - dims + k];
    p->step[d] = k < 0 || !w ? 1 : dilation_of(*w, k);
    if (!size_add(spans, p->out[d], &spans)) return false;
  }
  Span *all = mem_alloc((size_t)(spans + 1) * sizeof *all);
  if (!all) return false;
  for (int d = 0; d < 3; d++) {
    int k = d - (3 - dims);
    p->span[d] = span[d] = d == 0 ? all : span[d - 1] + p->out[d - 1];
    bool window = k >= 0 && w;
    p->rule[d] = (PoolRule){.in = p->in[d],
                            .out = p->out[d],
                            .stride = window ? w->stride[k] : 1,
                            .pad = window ? w->pad[k] : 0,
                            .reach = window ? reach_of(*w, k) : 1,
                            .step = p->step[d],
                            .adaptive = k >= 0 && !w,
                            .include_pad = window && w->include_pad};
    for (int64_t o = 0; o < p->out[d]; o++) span[d][o] = pool_span(&p->rule[d], o);
  }
  return true;
}
static void pooling_close(Pooling *p) { mem_free((void *)p->span[0]); }

static bool check_lists(const OpCall *c, int first, int dims) {
  for (int k = first; k < c->def->info->params; k++)
    if (c->def->info->param[k].type == TYPE_INTS && c->arg[k].n != dims)
      return fail(MT_EARG, "%s needs %d numbers, one for each dim, but has %d", c->def->info->param[k].name, dims,
                  c->arg[k].n);
  return true;
}

static bool check_dims(int dims, int ndim) {
  return (dims >= 1 && dims <= 3 && ndim > dims) ||
         fail(MT_EARG, "pooling is over one to three dims with channels in front, but %d of %d dims were asked for",
              dims, ndim);
}

/* Only the batch may be empty. */
static bool check_filled(const Tensor *t, int dims) {
  for (int d = t->ndim == dims + 2; d < t->ndim; d++)
    if (t->shape[d] == 0)
      return fail(MT_EARG,
                  "Expected %dD or %dD (batch mode) tensor with optional 0 dim batch size for input, but got:%s",
                  dims + 1, dims + 2, shape_text(t->ndim, t->shape));
  return true;
}

static bool out_pooled(OpCall *c, int k, DType dtype, int dims, const int64_t *sizes) {
  const Tensor *t = in(c, 0);
  int64_t shape[MT_MAX_DIMS];
  for (int d = 0; d < t->ndim; d++) shape[d] = d < t->ndim - dims ? t->shape[d] : sizes[d - (t->ndim - dims)];
  return out_shape(c, k, dtype, t->ndim, shape);
}

static bool refuse(const Tensor *t, bool allowed, const char *name) {
  return allowed ||
         fail(MT_ENOTIMPL, "\"%s\" not implemented for '%s': use :float() first", name, dtype_info[t->dtype].type_name);
}

/* ---- by positions in planes ---- */

static int64_t planes_of(const Tensor *t, int64_t dims) {
  int64_t planes = 1;
  for (int d = 0; d < t->ndim - dims; d++) planes *= t->shape[d];
  return planes;
}

static bool check_positions(const Tensor *t, const Tensor *index) {
  if (index->dtype != MT_I64 && index->dtype != MT_I32)
    return fail(MT_EARG, "elements in indices should be type int64 but got: %s", dtype_info[index->dtype].type_name);
  return tensor_same_shape(t, index) || fail(MT_EARG,
                                             "Expected shape of indices to be same as that of the input tensor (%s) "
                                             "but got indices tensor with shape: %s",
                                             shape_text(t->ndim, t->shape), shape_text(index->ndim, index->shape));
}

/* The sizes in front of a plane stay. */
static bool check_planes(const Tensor *t, int64_t dims, int ndim, const int64_t *shape) {
  bool same = dims >= 1 && dims <= 3 && ndim == t->ndim && ndim > dims;
  for (int d = 0; same && d < ndim - dims; d++) same = t->shape[d] == shape[d];
  return same || fail(MT_EARG, "planes of %s and of %s do not correspond in the dims before the last %lld",
                      shape_text(t->ndim, t->shape), shape_text(ndim, shape), (long long)dims);
}

static bool infer_put(OpCall *c) {
  const Arg *size = &c->arg[2];
  return check_positions(in(c, 0), in(c, 1)) && shape_check(size->n, size->ints) &&
         refuse(in(c, 0), tensor_is_float(in(c, 0)), "max_unpool") &&
         check_planes(in(c, 0), c->arg[3].i, size->n, size->ints) &&
         out_shape(c, 0, (DType)in(c, 0)->dtype, size->n, size->ints);
}
static bool infer_take(OpCall *c) {
  const Tensor *index = in(c, 1);
  return check_positions(index, index) && refuse(in(c, 0), in(c, 0)->dtype != MT_BOOL, "max_pool") &&
         check_planes(in(c, 0), c->arg[2].i, index->ndim, index->shape) &&
         out_shape(c, 0, (DType)in(c, 0)->dtype, index->ndim, index->shape);
}
static bool run_put(OpCall *c) {
  if (any_plane_put(in(c, 0), in(c, 1), planes_of(in(c, 0), c->arg[3].i), c->arg[4].i, c->out[0])) return true;
  int dims = (int)c->arg[3].i;
  if (fail_code() == MT_EINDEX) {
    const int64_t *size = c->arg[2].ints + c->arg[2].n - dims;
    const char *volume = text("%lld", (long long)size[0]), *found = strstr(fail_message(), "index ");
    for (int d = 1; d < dims; d++) volume = text("%sx%lld", volume, (long long)size[d]);
    fail_prefix("Found an invalid max index: %lld (output volumes are of size %s): ", found ? atoll(found + 6) : 0,
                volume);
  }
  return false;
}
static bool run_take(OpCall *c) {
  return any_plane_take(in(c, 0), in(c, 1), planes_of(in(c, 0), c->arg[2].i), c->out[0]);
}
static void back_put(Grad *g);
static void back_take(Grad *g);
OP(plane_put, .schema = "plane_put(Tensor input, Index indices, Size size, int dims, bool add) -> Tensor",
   .doc = "Zeros of that size with input written, or added, at positions in the planes of the last dims.",
   .samples =
       "f(2,3,2) x(2,3,2;4) {2,3,4} 1 true | f(2,1,1) x(2,1,1;6) {2,2,3} 2 false | f(0,2,2) x(0,2,2;4) {0,2,4} 1 true",
   .errors =
       "f(2,3,2) x(2,3,2;5) {2,3,4} 1 true | f(2,3,2) x(2,3,1;4) {2,3,4} 1 true | f(2,3,2) x(2,3,2;4) {2,2,4} 1 true",
   .saves = "input: indices", .flags = OP_HIDDEN, .infer = infer_put, .kernel = EVERYWHERE(run_put),
   .backward = back_put);
OP(plane_take, .schema = "plane_take(Tensor input, Index indices, int dims) -> Tensor",
   .doc = "Elements at positions in the planes of the last dims.",
   .samples = "f(2,3,4) x(2,3,2;4) 1 | f(2,2,3) x(2,1,1;6) 2",
   .errors = "f(2,3,4) x(2,3,2;5) 1 | f(2,3,4) x(2,2,2;4) 1", .saves = "input: indices", .flags = OP_HIDDEN,
   .infer = infer_take, .kernel = EVERYWHERE(run_take), .backward = back_take);

static Tensor *put_back(const Grad *g, Tensor *gy, Tensor *index, int64_t dims) {
  const EdgeMeta *m = g_meta(g, 0);
  return op_run(&def_plane_put,
                (Arg[]){ARG_T(gy), ARG_T(index), ARG_INTS(m->shape, m->ndim), ARG_I(dims), ARG_I(true)});
}
static void back_put(Grad *g) {
  g_set(g, 0, op_run(&def_plane_take, (Arg[]){ARG_T(g_out(g, 0)), ARG_T(g_in(g, 1)), *g_arg(g, 3)}));
}
static void back_take(Grad *g) { g_set(g, 0, put_back(g, g_out(g, 0), g_in(g, 1), g_arg(g, 2)->i)); }

/* ---- the largest ---- */

static Window max_window(const OpCall *c) {
  return (Window){c->arg[1].ints, c->arg[2].ints, c->arg[3].ints, c->arg[4].ints, c->arg[5].i, false, 0};
}
static bool infer_max(OpCall *c) {
  const Tensor *t = in(c, 0);
  int dims = c->arg[1].n;
  int64_t sizes[3];
  return check_dims(dims, t->ndim) && check_lists(c, 1, dims) && refuse(t, t->dtype != MT_BOOL, "max_pool") &&
         check_filled(t, dims) && check_window(dims, max_window(c)) && pooled_sizes(t, dims, max_window(c), sizes) &&
         out_pooled(c, 0, (DType)t->dtype, dims, sizes) && out_pooled(c, 1, MT_I64, dims, sizes);
}
static bool infer_adaptive_max(OpCall *c) {
  const Tensor *t = in(c, 0);
  const Arg *size = &c->arg[1];
  return check_dims(size->n, t->ndim) && refuse(t, tensor_is_float(t), "adaptive_max_pool") &&
         out_pooled(c, 0, (DType)t->dtype, size->n, size->ints) && out_pooled(c, 1, MT_I64, size->n, size->ints);
}
static bool run_max(OpCall *c, const Window *w) {
  Pooling p;
  if (!pooling_open(&p, in(c, 0)->ndim, c->arg[1].n, in(c, 0)->shape, c->out[0]->shape, w)) return false;
  bool good = any_pool_max(&p, in(c, 0), c->out[0], c->out[1]);
  pooling_close(&p);
  return good;
}
static bool run_max_pool(OpCall *c) {
  Window w = max_window(c);
  return run_max(c, &w);
}
static bool run_adaptive_max(OpCall *c) { return run_max(c, NULL); }
static void back_max(Grad *g) {
  if (g_out(g, 0)) g_set(g, 0, put_back(g, g_out(g, 0), g_result(g, 1), g_arg(g, 1)->n));
}
OP(max_pool_with_indices,
   .schema = "max_pool_with_indices(Tensor input, ints kernel_size, ints stride, ints padding, ints dilation, bool "
             "ceil_mode) -> "
             "(Tensor values, Index indices)",
   .doc = "The largest of each window over the last dims, and its position in its plane.",
   .samples = "f(2,2,5) {2} {2} {0} {1} false | f(2,4,5) {2,2} {1,2} {1,0} {1,2} true",
   .errors = "f(2,2,5) {6} {2} {0} {1} false | f(2,2,5) {2} {2} {2} {1} false | b(2,2,5) {2} {2} {0} {1} false",
   .saves = "input: result2", .flags = OP_HIDDEN, .infer = infer_max, .kernel = EVERYWHERE(run_max_pool),
   .backward = back_max);
OP(adaptive_max_pool, .schema = "adaptive_max_pool(Tensor input, Size output_size) -> (Tensor values, Index indices)",
   .doc = "The largest of as many windows as output_size has, and its position in its plane.",
   .samples = "f(2,2,5) {3} | f(2,4,5) {3,2} | f(2,3,3,3) {2,1,2}", .errors = "f(2,2,5) {1,1,1} | i(2,2,5) {2}",
   .saves = "input: result2", .flags = OP_HIDDEN, .infer = infer_adaptive_max, .kernel = EVERYWHERE(run_adaptive_max),
   .backward = back_max);

/* ---- means ---- */

/* Arguments from kernel_size on. */
static Window mean_window(const OpCall *c, int k) {
  return (Window){c->arg[k].ints,
                  c->arg[k + 1].ints,
                  c->arg[k + 2].ints,
                  NULL,
                  c->arg[k + 3].i,
                  c->arg[k + 4].i,
                  c->arg[k + 5].given ? c->arg[k + 5].i : 0};
}
static bool infer_mean(OpCall *c) {
  const Tensor *t = in(c, 0);
  int dims = c->arg[1].n;
  int64_t sizes[3];
  if (dims == 3 && c->device.kind == MT_CPU && (t->dtype == MT_F16 || t->dtype == MT_BF16))
    return refuse(t, false, "avg_pool3d_out_frame"); /* as in PyTorch, where a GPU's takes them */
  if (c->arg[6].given && c->arg[6].i == 0) return fail(MT_EARG, "divisor must be not zero: divisor_override is 0");
  return check_dims(dims, t->ndim) && check_lists(c, 1, dims) &&
         refuse(t, tensor_is_float(t) || t->dtype == MT_I64, "avg_pool") && check_filled(t, dims) &&
         check_window(dims, mean_window(c, 1)) && pooled_sizes(t, dims, mean_window(c, 1), sizes) &&
         out_pooled(c, 0, (DType)t->dtype, dims, sizes);
}
static bool same_sizes(const Tensor *t, int dims, const int64_t *sizes) {
  for (int d = 0; d < dims; d++)
    if (t->shape[t->ndim - dims + d] != sizes[d])
      return fail(MT_EARG, "grad %s should end with %s", shape_text(t->ndim, t->shape), shape_text(dims, sizes));
  return true;
}
static bool infer_mean_back(OpCall *c) {
  const Arg *size = &c->arg[1];
  int dims = c->arg[2].n;
  int64_t sizes[3];
  Tensor as = {.ndim = (uint8_t)size->n};
  if (!shape_check(size->n, size->ints)) return false;
  for (int d = 0; d < size->n; d++) as.shape[d] = size->ints[d];
  return check_dims(dims, size->n) && check_lists(c, 2, dims) && check_planes(in(c, 0), dims, size->n, size->ints) &&
         refuse(in(c, 0), tensor_is_float(in(c, 0)) || in(c, 0)->dtype == MT_I64, "avg_pool") &&
         check_window(dims, mean_window(c, 2)) && pooled_sizes(&as, dims, mean_window(c, 2), sizes) &&
         same_sizes(in(c, 0), dims, sizes) && out_shape(c, 0, (DType)in(c, 0)->dtype, size->n, size->ints);
}
static bool infer_adaptive_mean(OpCall *c) {
  const Tensor *t = in(c, 0);
  const Arg *size = &c->arg[1];
  return check_dims(size->n, t->ndim) && refuse(t, tensor_is_float(t), "adaptive_avg_pool") &&
         out_pooled(c, 0, (DType)t->dtype, size->n, size->ints);
}
static bool infer_adaptive_mean_back(OpCall *c) {
  const Arg *size = &c->arg[1];
  return shape_check(size->n, size->ints) && check_planes(in(c, 0), c->arg[2].i, size->n, size->ints) &&
         refuse(in(c, 0), tensor_is_float(in(c, 0)), "adaptive_avg_pool") &&
         out_shape(c, 0, (DType)in(c, 0)->dtype, size->n, size->ints);
}
static bool run_mean(OpCall *c, const Window *w, int dims, bool back) {
  Pooling p;
  const Tensor *x = back ? c->out[0] : in(c, 0), *y = back ? in(c, 0) : c->out[0];
  if (!pooling_open(&p, x->ndim, dims, x->shape, y->shape, w)) return false;
  bool good = back ? any_pool_mean_back(&p, in(c, 0), c->out[0]) : any_pool_mean(&p, in(c, 0), c->out[0]);
  pooling_close(&p);
  return good;
}
static bool run_avg(OpCall *c) {
  Window w = mean_window(c, 1);
  return run_mean(c, &w, c->arg[1].n, false);
}
static bool run_avg_back(OpCall *c) {
  Window w = mean_window(c, 2);
  return run_mean(c, &w, c->arg[2].n, true);
}
static bool run_adaptive_avg(OpCall *c) {
  const Tensor *t = in(c, 0);
  int dims = c->arg[1].n;
  bool reduced[MT_MAX_DIMS] = {false}, whole = t->numel > 0;
  for (int d = 0; d < dims; d++) {
    reduced[t->ndim - dims + d] = true;
    whole = whole && c->arg[1].ints[d] == 1;
  }
  if (!whole) return run_mean(c, NULL, dims, false);
  return any_reduce(t, reduced, (Reduction){FOLD_SUM, FINISH_MEAN, 0, (DType)t->dtype}, c->out[0], NULL);
}
static bool run_adaptive_avg_back(OpCall *c) { return run_mean(c, NULL, (int)c->arg[2].i, true); }

static void back_avg(Grad *g);
static void back_avg_back(Grad *g);
static void back_adaptive_avg(Grad *g);
static void back_adaptive_avg_back(Grad *g);
#define MEAN                                                                                                          \
  "ints kernel_size, ints stride, ints padding, bool ceil_mode, bool count_include_pad, int? divisor_override=None) " \
  "-> Tensor"
OP(avg_pool, .schema = "avg_pool(Tensor input, " MEAN, .doc = "Means of windows over the last dims.",
   .samples = "f(2,2,5) {2} {2} {1} true true | f(2,4,5) {2,3} {1,2} {1,0} false false | f(2,4,5) {2,2} {2,2} {0,0} "
              "true true 3",
   .errors = "f(2,2,5) {6} {2} {0} false true | f(2,2,5) {2} {2} {0} false true 0 | f(2,2,5) {2,2} {2} {0} false true",
   .flags = OP_HIDDEN, .infer = infer_mean, .kernel = EVERYWHERE(run_avg), .backward = back_avg);
OP(avg_pool_back, .schema = "avg_pool_back(Tensor grad, Size size, " MEAN, .doc = "Gradient of avg_pool.",
   .samples = "f(2,2,3) {2,2,5} {2} {2} {1} true true | f(2,5,2) {2,4,5} {2,3} {1,2} {1,0} false false",
   .errors = "f(2,2,4) {2,2,5} {2} {2} {1} true true | f(2,2,3) {2,3,5} {2} {2} {1} true true", .flags = OP_HIDDEN,
   .infer = infer_mean_back, .kernel = EVERYWHERE(run_avg_back), .backward = back_avg_back);
OP(adaptive_avg_pool, .schema = "adaptive_avg_pool(Tensor input, Size output_size) -> Tensor",
   .doc = "Means of as many windows as output_size has.",
   .samples = "f(2,2,5) {3} | f(2,4,5) {3,2} | f(2,3,3,3) {2,1,2}", .errors = "f(2,2,5) {1,1,1} | i(2,2,5) {2}",
   .flags = OP_HIDDEN, .infer = infer_adaptive_mean, .kernel = EVERYWHERE(run_adaptive_avg),
   .backward = back_adaptive_avg);
OP(adaptive_avg_pool_back, .schema = "adaptive_avg_pool_back(Tensor grad, Size size, int dims) -> Tensor",
   .doc = "Gradient of adaptive_avg_pool.", .samples = "f(2,2,3) {2,2,5} 1 | f(2,3,2) {2,4,5} 2",
   .errors = "f(2,2,3) {2,3,5} 1", .flags = OP_HIDDEN, .infer = infer_adaptive_mean_back,
   .kernel = EVERYWHERE(run_adaptive_avg_back), .backward = back_adaptive_avg_back);

static void back_avg(Grad *g) {
  const EdgeMeta *m = g_meta(g, 0);
  g_set(g, 0,
        op_run(&def_avg_pool_back, (Arg[]){ARG_T(g_out(g, 0)), ARG_INTS(m->shape, m->ndim), *g_arg(g, 1), *g_arg(g, 2),
                                           *g_arg(g, 3), *g_arg(g, 4), *g_arg(g, 5), *g_arg(g, 6)}));
}
static void back_avg_back(Grad *g) {
  g_set(g, 0,
        op_run(&def_avg_pool, (Arg[]){ARG_T(g_out(g, 0)), *g_arg(g, 2), *g_arg(g, 3), *g_arg(g, 4), *g_arg(g, 5),
                                      *g_arg(g, 6), *g_arg(g, 7)}));
}
static void back_adaptive_avg(Grad *g) {
  const EdgeMeta *m = g_meta(g, 0);
  g_set(g, 0,
        op_run(&def_adaptive_avg_pool_back,
               (Arg[]){ARG_T(g_out(g, 0)), ARG_INTS(m->shape, m->ndim), ARG_I(g_arg(g, 1)->n)}));
}
static void back_adaptive_avg_back(Grad *g) {
  const EdgeMeta *m = g_meta(g, 0);
  int dims = (int)g_arg(g, 2)->i;
  g_set(g, 0, op_run(&def_adaptive_avg_pool, (Arg[]){ARG_T(g_out(g, 0)), ARG_INTS(m->shape + m->ndim - dims, dims)}));
}
