/* Convolution: conv1d to conv3d and their transposes, all by one operator for one to three dims.
 *
 * Its gradients are three hidden operators: y from (x, w), x from (y, w), w from (x, y). Each is linear in both arguments,
 * and its gradients are the other two, so derivatives of any order exist. */
#include "base/size.h"
#include "cpu/device_kernels.h"
#include "ops/ops.h"
#include <string.h>

/* ---- geometry ---- */

typedef struct Window {
  const int64_t *stride, *pad, *dilation;
  int64_t groups;
} Window;

/* Shapes with `dims` sizes behind batch and channels, known to fit. */
static Conv geometry(int dims, const int64_t *x, const int64_t *w, const int64_t *y, Window at) {
  Conv c = {.batch = x[0], .groups = at.groups, .in = w[1], .out = w[0] / at.groups};
  for (int d = 0; d < 3; d++) {
    int k = d - (3 - dims);
    c.x[d] = k < 0 ? 1 : x[2 + k];
    c.y[d] = k < 0 ? 1 : y[2 + k];
    c.k[d] = k < 0 ? 1 : w[2 + k];
    c.stride[d] = k < 0 || c.y[d] == 1 ? 1 : at.stride[k];
    c.dilation[d] = c.k[d] == 1 ? 1 : at.dilation[k];
    c.pad[d] = k < 0 ? 0 : at.pad[k];
  }
  return c;
}

static const char *channels_hint(int dims, int64_t wanted, const int64_t *x) {
  static const char *const order[] = {"(1, 3, 2)", "(1, 4, 2, 3)", "(1, 5, 2, 3, 4)"};
  static const char *const layout[] = {"NLC", "NHWC", "NDHWC"};
  if (x[1 + dims] != wanted) return ". The channels are dim 2 of a batch";
  return text(". It looks like %s, :permute%s brings the channels to dim 2", layout[dims - 1], order[dims - 1]);
}

static bool check_numbers(int dims, Window at, const int64_t *output_padding) {
  if (at.groups <= 0)
    return fail(MT_EARG, "non-positive groups is not supported: groups is %lld", (long long)at.groups);
  for (int d = 0; d < dims; d++) {
    if (at.pad[d] < 0)
      return fail(MT_EARG, "negative padding is not supported: padding is %s", shape_text(dims, at.pad));
    if (output_padding[d] < 0)
      return fail(MT_EARG, "negative output_padding is not supported: it is %s", shape_text(dims, output_padding));
    if (at.stride[d] <= 0)
      return fail(MT_EARG, "non-positive stride is not supported: stride is %s", shape_text(dims, at.stride));
    if (at.dilation[d] <= 0)
      return fail(MT_EARG, "dilation should be greater than zero, but got %s", shape_text(dims, at.dilation));
    if (at.stride[d] > INT32_MAX || at.pad[d] > INT32_MAX || at.dilation[d] > INT32_MAX ||
        output_padding[d] > INT32_MAX)
      return fail(MT_EARG, "stride %s, padding %s, dilation %s: none may be above 2147483647",
                  shape_text(dims, at.stride), shape_text(dims, at.pad), shape_text(dims, at.dilation));
  }
  return true;
}

static bool check_shapes(const Tensor *x, const Tensor *w, const Tensor *bias, Window at, bool transposed) {
  int dims = w->ndim - 2;
  int64_t groups = at.groups, grouped;
  const char *given = transposed ? text("transposed=1") : text("groups=%lld", (long long)groups),
             *ws = shape_text(w->ndim, w->shape);
  if (w->shape[0] < groups)
    return fail(
        MT_EARG,
        "Given groups=%lld, expected weight to be at least %lld at dimension 0, but got weight of size %s instead",
        (long long)groups, (long long)groups, ws);
  if (!size_mul(w->shape[1], groups, &grouped)) return false;
  int64_t wanted = transposed ? w->shape[0] : grouped, made = transposed ? grouped : w->shape[0];
  if (w->shape[0] % groups)
    return fail(MT_EARG,
                "Given groups=%lld, expected weight to be divisible by %lld at dimension 0, but got weight of size "
                "[%s] instead",
                (long long)groups, (long long)groups, ws);
  if (x->shape[1] != wanted)
    return fail(MT_EARG,
                "Given %s, weight of size %s, expected input%s to have %lld channels, but got %lld channels instead%s",
                given, ws, shape_text(x->ndim, x->shape), (long long)wanted, (long long)x->shape[1],
                channels_hint(dims, wanted, x->shape));
  if (bias && (bias->ndim != 1 || bias->shape[0] != made))
    return fail(
        MT_EARG,
        "Given %sweight of size %s, expected bias to be 1-dimensional with %lld elements, but got bias of size %s "
        "instead",
        transposed ? "transposed=1, " : "", ws, (long long)made, shape_text(bias->ndim, bias->shape));
  return true;
}

/* How PyTorch's message names the type of the elements. */
static const char *c_type(const Tensor *t) {
  static const char *const names[MT_DTYPES] = {
      [MT_BOOL] = "bool", [MT_U8] = "unsigned char", [MT_I8] = "signed char", [MT_I16] = "short int",
      [MT_I32] = "int",   [MT_I64] = "long int",     [MT_F16] = "c10::Half",  [MT_BF16] = "c10::BFloat16",
      [MT_F32] = "float", [MT_F64] = "double"};
  return names[t->dtype];
}

/* Of the integers, PyTorch has int64 alone where a kernel has gaps or is transposed. */
static bool check_dtypes(const Tensor *x, const Tensor *w, const Tensor *bias, bool plain) {
  if (bias && bias->dtype != x->dtype)
    return fail(MT_EARG,
                "Input type (%s) and bias type (%s) should be the same: input is %s, weight %s, bias %s%s; convert one "
                "of them, for example with :to(torch.%s)",
                c_type(x), c_type(bias), tensor_text(x), tensor_text(w), tensor_text(bias),
                x->dtype == w->dtype ? ""
                                     : text("; expected scalar type %s but found %s", dtype_info[x->dtype].type_name,
                                            dtype_info[w->dtype].type_name),
                dtype_info[bias->dtype].name);
  if (x->dtype != w->dtype)
    return fail(MT_EARG,
                "expected scalar type %s but found %s: input is %s, weight %s; convert one of them, for example with "
                ":to(torch.%s)",
                dtype_info[x->dtype].type_name, dtype_info[w->dtype].type_name, tensor_text(x), tensor_text(w),
                dtype_info[w->dtype].name);
  return (x->dtype != MT_BOOL && (plain || tensor_is_float(x) || x->dtype == MT_I64)) ||
         fail(MT_ENOTIMPL, "\"slow_conv_cpu\" not implemented for '%s': use :float() or :long() first",
              dtype_info[x->dtype].type_name);
}

static const char *sizes_text(int dims, const int64_t *size) {
  if (dims == 1) return text("(%lld)", (long long)size[0]);
  if (dims == 2) return text("(%lld x %lld)", (long long)size[0], (long long)size[1]);
  return text("(%lld x %lld x %lld)", (long long)size[0], (long long)size[1], (long long)size[2]);
}

/* Sizes of y, counted by x: floor((x + 2 pad - dilation (k - 1) - 1) / stride) + 1. */
static bool sizes_down(int dims, const int64_t *x, const int64_t *k, Window at, int64_t *y) {
  int64_t padded[3], reach[3];
  bool fits = true;
  for (int d = 0; d < dims; d++) {
    if (k[d] <= 0)
      return fail(MT_EARG, "kernel size should be greater than zero, but got weight with sizes %s",
                  sizes_text(dims, k));
    if (!size_add(x[d], 2 * at.pad[d], &padded[d]) || !size_mul(k[d] - 1, at.dilation[d], &reach[d]) ||
        !size_add(reach[d], 1, &reach[d]))
      return false;
    fits = fits && reach[d] <= padded[d];
    y[d] = (padded[d] - reach[d]) / at.stride[d] + 1;
  }
  return fits ||
         fail(MT_EARG,
              "Calculated padded input size per channel: %s. Kernel size: %s. Kernel size can't be greater than actual "
              "input size",
              sizes_text(dims, padded), sizes_text(dims, reach));
}

/* Sizes of the transposed: (x - 1) stride - 2 pad + dilation (k - 1) + output_padding + 1. */
static bool sizes_up(int dims, const int64_t *x, const int64_t *k, Window at, const int64_t *more, int64_t *y) {
  bool positive = true;
  for (int d = 0; d < dims; d++) {
    int64_t last, reach;
    if (k[d] <= 0)
      return fail(MT_EARG, "kernel size should be greater than zero, but got weight with sizes %s",
                  sizes_text(dims, k));
    if (more[d] >= at.stride[d] && more[d] >= at.dilation[d])
      return fail(
          MT_EARG,
          "output padding must be smaller than either stride or dilation, but got output_padding: %s stride: %s "
          "dilation: %s",
          shape_text(dims, more), shape_text(dims, at.stride), shape_text(dims, at.dilation));
    if (!size_mul(x[d] - 1, at.stride[d], &last) || !size_mul(k[d] - 1, at.dilation[d], &reach) ||
        !size_add(last, reach, &y[d]) || !size_add(y[d], more[d] + 1 - 2 * at.pad[d], &y[d]))
      return false;
    positive = positive && y[d] > 0;
  }
  return positive ||
         fail(MT_EARG,
              "Given input size per channel: %s. Calculated output size per channel: %s. Output size is too small",
              sizes_text(dims, x), sizes_text(dims, y));
}

/* ---- the operator ---- */

enum { INPUT, WEIGHT, BIAS, STRIDE, PADDING, DILATION, TRANSPOSED, OUTPUT_PADDING, GROUPS };

static Window window_of(const OpCall *c, int stride) {
  return (Window){c->arg[stride].ints, c->arg[stride + 1].ints, c->arg[stride + 2].ints,
                  c->arg[c->def->info->params - 1].i};
}

/* The numbers of a call that gives a list for each dim. */
static bool check_lists(const OpCall *c, int first, int last, int dims) {
  for (int k = first; k <= last; k++)
    if (c->def->info->param[k].type == TYPE_INTS && c->arg[k].n != dims)
      return fail(MT_EARG,
                  "expected %s to be a single integer value or a list of %d values to match the convolution "
                  "dimensions, but got %d values",
                  c->def->info->param[k].name, dims, c->arg[k].n);
  return true;
}

static bool infer_convolution(OpCall *c) {
  Tensor *x = in(c, INPUT), *w = in(c, WEIGHT), *bias = c->arg[BIAS].given ? in(c, BIAS) : NULL;
  int dims = w->ndim - 2;
  int64_t shape[5];
  if (dims < 1)
    return fail(MT_EARG, "weight should have at least three dimensions, but is %s", shape_text(w->ndim, w->shape));
  if (dims > 3 || x->ndim != w->ndim)
    return fail(
        MT_EARG,
        "Expected %d-dimensional input for %d-dimensional weight %s, but got %d-dimensional input of size %s instead",
        w->ndim, w->ndim, shape_text(w->ndim, w->shape), x->ndim, shape_text(x->ndim, x->shape));
  if (!check_lists(c, STRIDE, OUTPUT_PADDING, dims)) return false;
  Window at = window_of(c, STRIDE);
  const int64_t *more = c->arg[OUTPUT_PADDING].ints;
  bool transposed = c->arg[TRANSPOSED].i;
  bool plain = !transposed;
  for (int d = 0; d < dims; d++) plain = plain && at.dilation[d] == 1;
  if (!check_numbers(dims, at, more) || !check_shapes(x, w, bias, at, transposed) || !check_dtypes(x, w, bias, plain))
    return false;
  for (int d = 0; d < dims; d++)
    if (x->shape[2 + d] == 0 && transposed)
      return fail(MT_EARG, "Only zero batch or zero channel inputs are supported, but got input shape: %s",
                  shape_text(x->ndim, x->shape));
  shape[0] = x->shape[0];
  shape[1] = transposed ? w->shape[1] * at.groups : w->shape[0];
  bool good = transposed ? sizes_up(dims, x->shape + 2, w->shape + 2, at, more, shape + 2)
                         : sizes_down(dims, x->shape + 2, w->shape + 2, at, shape + 2);
  return good && out_shape(c, 0, (DType)x->dtype, x->ndim, shape);
}

static bool run_convolution(OpCall *c) {
  Tensor *x = in(c, INPUT), *w = in(c, WEIGHT), *bias = c->arg[BIAS].given ? in(c, BIAS) : NULL, *y = c->out[0];
  int dims = w->ndim - 2;
  if (c->arg[TRANSPOSED].i) {
    Conv g = geometry(dims, y->shape, w->shape, x->shape, window_of(c, STRIDE));
    return any_conv_input(&g, x, w, bias, y);
  }
  Conv g = geometry(dims, x->shape, w->shape, y->shape, window_of(c, STRIDE));
  return any_conv_output(&g, x, w, bias, y);
}

/* ---- its gradients ---- */

/* x, w, y are the shapes of a problem's three tensors. */
static bool infer_part(OpCall *c, int ndim, const int64_t *x, const int64_t *w, const int64_t *y) {
  Window at = window_of(c, 3);
  int dims = ndim - 2;
  if (dims < 1 || dims > 3 || in(c, 0)->ndim != in(c, 1)->ndim || ndim != in(c, 0)->ndim)
    return fail(MT_EARG, "input, weight and size must have 3 to 5 dims, but have %d, %d, %d", in(c, 0)->ndim,
                in(c, 1)->ndim, ndim);
  if (!shape_check(ndim, c->arg[2].ints) || !check_lists(c, 3, 5, dims) || !check_numbers(dims, at, at.pad) ||
      !check_dtypes(in(c, 0), in(c, 1), NULL, true))
    return false;
  if (x[0] != y[0] || w[0] % at.groups || w[1] * at.groups != x[1] || w[0] != y[1])
    return fail(MT_EARG, "no convolution has input %s, weight %s and result %s", shape_text(ndim, x),
                shape_text(ndim, w), shape_text(ndim, y));
  return out_shape(c, 0, (DType)in(c, 0)->dtype, ndim, c->arg[2].ints);
}

static bool infer_conv_output(OpCall *c) {
  return infer_part(c, c->arg[2].n, in(c, 0)->shape, in(c, 1)->shape, c->arg[2].ints);
}
static bool infer_conv_input(OpCall *c) {
  return infer_part(c, c->arg[2].n, c->arg[2].ints, in(c, 1)->shape, in(c, 0)->shape);
}
static bool infer_conv_weight(OpCall *c) {
  return infer_part(c, c->arg[2].n, in(c, 0)->shape, c->arg[2].ints, in(c, 1)->shape);
}

static bool run_conv_output(OpCall *c) {
  Conv g = geometry(in(c, 0)->ndim - 2, in(c, 0)->shape, in(c, 1)->shape, c->out[0]->shape, window_of(c, 3));
  return any_conv_output(&g, in(c, 0), in(c, 1), NULL, c->out[0]);
}
static bool run_conv_input(OpCall *c) {
  Conv g = geometry(in(c, 0)->ndim - 2, c->out[0]->shape, in(c, 1)->shape, in(c, 0)->shape, window_of(c, 3));
  return any_conv_input(&g, in(c, 0), in(c, 1), NULL, c->out[0]);
}
static bool run_conv_weight(OpCall *c) {
  Conv g = geometry(in(c, 0)->ndim - 2, in(c, 0)->shape, c->out[0]->shape, in(c, 1)->shape, window_of(c, 3));
  return any_conv_weight(&g, in(c, 0), in(c, 1), c->out[0]);
}

static void back_conv_output(Grad *g);
static void back_conv_input(Grad *g);
static void back_conv_weight(Grad *g);
#define PART "Size size, ints stride, ints padding, ints dilation, int groups) -> Tensor"
OP(conv_output, .schema = "conv_output(Tensor input, Tensor weight, " PART,
   .doc = "The result, of the size given, of a convolution.",
   .samples = "f(2,2,5) f(3,2,2) {2,3,4} {1} {0} {1} 1 | f(1,4,4,5) f(2,2,3,2) {1,2,2,3} {2,2} {1,1} {1,2} 2",
   .errors = "f(2,2,5) f(3,3,2) {2,3,4} {1} {0} {1} 1", .saves = "input: weight; weight: input", .flags = OP_HIDDEN,
   .infer = infer_conv_output, .kernel = EVERYWHERE(run_conv_output), .backward = back_conv_output);
OP(conv_input, .schema = "conv_input(Tensor grad, Tensor weight, " PART,
   .doc = "Gradient of a convolution's input, or its transpose.",
   .samples = "f(2,3,4) f(3,2,2) {2,2,5} {1} {0} {1} 1 | f(1,2,2,3) f(2,2,3,2) {1,4,4,5} {2,2} {1,1} {1,2} 2",
   .errors = "f(2,3,4) f(3,2,2) {3,2,5} {1} {0} {1} 1", .saves = "grad: weight; weight: grad", .flags = OP_HIDDEN,
   .infer = infer_conv_input, .kernel = EVERYWHERE(run_conv_input), .backward = back_conv_input);
OP(conv_weight, .schema = "conv_weight(Tensor input, Tensor grad, " PART, .doc = "Gradient of a convolution's weight.",
   .samples = "f(2,2,5) f(2,3,4) {3,2,2} {1} {0} {1} 1 | f(1,4,4,5) f(1,2,2,3) {2,2,3,2} {2,2} {1,1} {1,2} 2",
   .errors = "f(2,2,5) f(2,3,4) {2,2,2} {1} {0} {1} 1", .saves = "input: grad; grad: input", .flags = OP_HIDDEN,
   .infer = infer_conv_weight, .kernel = EVERYWHERE(run_conv_weight), .backward = back_conv_weight);

/* One of the three, of the shape that argument `like` has, with the numbers from argument `stride` on. */
static Tensor *part(Grad *g, OpDef *def, Tensor *a, Tensor *b, int like, int stride) {
  const EdgeMeta *m = g_meta(g, like);
  const Arg *groups = g_arg(g, g->node->def->info->params - 1);
  return op_run(def, (Arg[]){ARG_T(a), ARG_T(b), ARG_INTS(m->shape, m->ndim), *g_arg(g, stride), *g_arg(g, stride + 1),
                             *g_arg(g, stride + 2), *groups});
}
static void back_conv_output(Grad *g) {
  if (g_needs(g, 0)) g_set(g, 0, part(g, &def_conv_input, g_out(g, 0), g_in(g, 1), 0, 3));
  if (g_needs(g, 1)) g_set(g, 1, part(g, &def_conv_weight, g_in(g, 0), g_out(g, 0), 1, 3));
}
static void back_conv_input(Grad *g) {
  if (g_needs(g, 0)) g_set(g, 0, part(g, &def_conv_output, g_out(g, 0), g_in(g, 1), 0, 3));
  if (g_needs(g, 1)) g_set(g, 1, part(g, &def_conv_weight, g_out(g, 0), g_in(g, 0), 1, 3));
}
static void back_conv_weight(Grad *g) {
  if (g_needs(g, 0)) g_set(g, 0, part(g, &def_conv_input, g_in(g, 1), g_out(g, 0), 0, 3));
  if (g_needs(g, 1)) g_set(g, 1, part(g, &def_conv_output, g_in(g, 0), g_out(g, 0), 1, 3));
}
static void back_convolution(Grad *g) {
  Tensor *gy = g_out(g, 0);
  bool transposed = g_arg(g, TRANSPOSED)->i;
  if (g_needs(g, INPUT))
    g_set(g, INPUT, part(g, transposed ? &def_conv_output : &def_conv_input, gy, g_in(g, WEIGHT), INPUT, STRIDE));
  if (g_needs(g, WEIGHT)) {
    Tensor *x = g_in(g, INPUT);
    g_set(g, WEIGHT,
          transposed ? part(g, &def_conv_weight, gy, x, WEIGHT, STRIDE)
                     : part(g, &def_conv_weight, x, gy, WEIGHT, STRIDE));
  }
  if (g_needs(g, BIAS)) {
    int64_t dims[] = {0, 2, 3, 4};
    g_set(g, BIAS, op_sum_dims(gy, gy->ndim - 1, dims, false));
  }
}
OP(convolution,
   .schema = "convolution(Tensor input, Tensor weight, Tensor? bias, ints stride, ints padding, ints dilation, bool "
             "transposed, "
             "ints output_padding, int groups) -> Tensor",
   .doc =
       "conv1d to conv3d and their transposes: input (N, C, ...), with a number for each dim behind C in every list.",
   .samples =
       "f(2,2,5) f(3,2,2) f(3) {1} {0} {1} false {0} 1 | f(1,4,4,5) f(2,2,3,2) nil {2,2} {1,1} {1,2} false {0,0} 2 | "
       "f(2,3,4) f(3,2,2) f(2) {2} {1} {1} true {1} 1 | f(1,2,3,2,3) f(2,2,2,1,3) f(2) {1,1,2} {1,0,1} {1,1,1} false "
       "{0,0,0} 1",
   .errors = "f(2,2,5) f(3,2,2) f(3) {1,1} {0} {1} false {0} 1 | f(2,5) f(3,2) f(3) {1} {0} {1} false {0} 1 | "
             "f(2,2,5) f(3,2,2) f(3) {1} {0} {1} false {-1} 1 | b(2,2,5) b(3,2,2) nil {1} {0} {1} false {0} 1",
   .saves = "input: weight; weight: input", .flags = OP_FUNCTION, .infer = infer_convolution,
   .kernel = EVERYWHERE(run_convolution), .backward = back_convolution);

/* ---- conv1d ... conv_transpose3d ---- */

/* A number for each dim from a list, a number for all, or the default. */
static bool each_dim(const OpCall *c, int k, int dims, int64_t standard, int64_t *out) {
  const Arg *a = &c->arg[k];
  if (a->given && a->n != dims && a->n != 1)
    return fail(
        MT_EARG,
        "expected %s to be a single integer value or a list of %d values to match the convolution dimensions, but got "
        "%s=%s",
        c->def->info->param[k].name, dims, c->def->info->param[k].name, shape_text(a->n < 8 ? a->n : 8, a->ints));
  for (int d = 0; d < dims; d++) out[d] = !a->given ? standard : a->n == 1 ? a->ints[0] : a->ints[d];
  return true;
}

static bool check_ranks(const OpCall *c, int dims) {
  Tensor *x = in(c, 0), *w = in(c, 1);
  const char *name = c->def->info->name;
  if (x->ndim != dims + 1 && x->ndim != dims + 2)
    return fail(MT_EARG, "Expected %dD (unbatched) or %dD (batched) input to %s, but got input of size: %s", dims + 1,
                dims + 2, name, shape_text(x->ndim, x->shape));
  if (w->ndim < 3)
    return fail(MT_EARG, "weight should have at least three dimensions, but is %s", shape_text(w->ndim, w->shape));
  return w->ndim == dims + 2 || fail(MT_EARG, "Expected %dD weight for %s, but got weight of size: %s", dims + 2, name,
                                     shape_text(w->ndim, w->shape));
}

typedef struct {
  int64_t stride[3], pad[3], dilation[3], more[3];
} Numbers;

/* Runs the operator; an unbatched input is a batch of one. first, length: the part of each dim that is wanted, or NULL. */
static bool convolve(OpCall *c, int dims, const Numbers *n, bool transposed, const int64_t *first,
                     const int64_t *length) {
  Tensor *x = in(c, 0);
  bool alone = x->ndim == dims + 1;
  Tensor *y =
      op_run(&def_convolution, (Arg[]){ARG_T(alone ? op_unsqueeze(x, 0) : x), c->arg[1], c->arg[2],
                                       ARG_INTS(n->stride, dims), ARG_INTS(n->pad, dims), ARG_INTS(n->dilation, dims),
                                       ARG_I(transposed), ARG_INTS(n->more, dims), ARG_I(c->arg[6].i)});
  for (int d = 0; first && y && d < dims; d++)
    if (first[d] > 0 || length[d] < y->shape[2 + d]) y = op_narrow(y, 2 + d, first[d], length[d]);
  if (first && y) y = op_contiguous(y);
  static const char *const order[] = {"(2, 1)", "(3, 1, 2)", "(4, 1, 2, 3)"};
  if (alone && strstr(fail_message(), "It looks like N"))
    fail_suffix("; of the input %s, which has no batch, :permute%s", shape_text(x->ndim, x->shape), order[dims - 1]);
  return compose_return(c, 0, alone ? op_squeeze(y, 0) : y);
}

static bool compose_conv(OpCall *c, int dims) {
  Numbers n = {.more = {0}};
  return check_ranks(c, dims) && each_dim(c, 3, dims, 1, n.stride) && each_dim(c, 4, dims, 0, n.pad) &&
         each_dim(c, 5, dims, 1, n.dilation) && convolve(c, dims, &n, false, NULL, NULL);
}

/* 'same' pads dilation (k - 1) elements in all; where that is odd, PyTorch has the larger half behind. */
static bool compose_conv_named(OpCall *c, int dims) {
  Numbers n = {.more = {0}};
  const char *padding = c->arg[4].given ? c->arg[4].str : "valid";
  bool same = strcmp(padding, "same") == 0;
  int64_t first[3] = {0}, length[3] = {0};
  if (!check_ranks(c, dims) || !each_dim(c, 3, dims, 1, n.stride) || !each_dim(c, 5, dims, 1, n.dilation)) return false;
  if (!same && strcmp(padding, "valid") != 0)
    return fail(MT_EARG, "Invalid padding string: '%s': it may be 'valid' or 'same'", padding);
  for (int d = 0; same && d < dims; d++) {
    int64_t total;
    if (n.stride[d] != 1)
      return fail(MT_EARG, "padding='same' is not supported for strided convolutions: stride is %s",
                  shape_text(dims, n.stride));
    if (!size_mul(n.dilation[d], in(c, 1)->shape[2 + d] - 1, &total)) return false;
    if (total < 0) total = 0;
    n.pad[d] = (total + 1) / 2;
    first[d] = total % 2;
    length[d] = in(c, 0)->shape[in(c, 0)->ndim - dims + d];
  }
  return convolve(c, dims, &n, false, same ? first : NULL, length);
}

static bool compose_transposed(OpCall *c, int dims) {
  Numbers n;
  return check_ranks(c, dims) && each_dim(c, 3, dims, 1, n.stride) && each_dim(c, 4, dims, 0, n.pad) &&
         each_dim(c, 5, dims, 0, n.more) && each_dim(c, 7, dims, 1, n.dilation) &&
         convolve(c, dims, &n, true, NULL, NULL);
}

#define CONV(dims, sizes, good, wrong, same, good_up, wrong_up)                                                      \
  static bool compose_conv##dims(OpCall *c) { return compose_conv(c, dims); }                                        \
  static bool compose_conv_named##dims(OpCall *c) { return compose_conv_named(c, dims); }                            \
  static bool compose_transposed##dims(OpCall *c) { return compose_transposed(c, dims); }                            \
  OP(conv##dims##d,                                                                                                  \
     .schema = "conv" #dims "d(Tensor input, Tensor weight, Tensor? bias=None, ints stride=1, ints padding=0, "      \
               "ints dilation=1, int groups=1) -> Tensor",                                                           \
     .doc = "Convolution over " sizes                                                                                \
            ": input (N, C, ...) or (C, ...), weight (out, C / groups, kernel...). Numbers or a "                    \
            "list with one for each dim.",                                                                           \
     .samples = good, .errors = wrong, .flags = OP_FUNCTION, .compose = compose_conv##dims);                         \
  OP(conv##dims##d_named,                                                                                            \
     .schema = "conv" #dims "d(Tensor input, Tensor weight, Tensor? bias=None, ints stride=1, str padding='valid', " \
               "ints dilation=1, int groups=1) -> Tensor",                                                           \
     .doc = "Convolution with padding 'valid' (none) or 'same' (as many results as inputs, stride 1).",              \
     .samples = same, .flags = OP_FUNCTION, .compose = compose_conv_named##dims);                                    \
  OP(conv_transpose##dims##d,                                                                                        \
     .schema =                                                                                                       \
         "conv_transpose" #dims "d(Tensor input, Tensor weight, Tensor? bias=None, ints stride=1, ints padding=0, "  \
         "ints output_padding=0, int groups=1, ints dilation=1) -> Tensor",                                          \
     .doc = "Transposed convolution over " sizes ", the gradient of conv" #dims                                      \
            "d: weight (C, out / groups, kernel...).",                                                               \
     .samples = good_up, .errors = wrong_up, .flags = OP_FUNCTION, .compose = compose_transposed##dims)

CONV(1, "lines",
     "f(2,3,6) f(4,3,2) f(4) | f(3,6) f(4,3,3) stride=2 padding=1 | f(1,4,7) f(4,2,2) f(4) dilation=2 groups=2 | "
     "f(0,2,4) f(2,2,2)",
     "f(2,3,6) f(4,2,2) | f(6) f(4,3,2) | f(2,3,6) f(4,3,2) f(3) | f(2,3,6) f(4,3,2) stride=0 | f(2,3,6) f(4,3,7) | "
     "f(2,3,6) f(4,3)",
     "f(2,3,6) f(4,3,2) padding='same' | f(3,6) f(4,3,3) f(4) padding='valid' | f(1,2,6) f(2,2,2) padding='same' "
     "dilation=3",
     "f(2,3,4) f(3,2,3) f(2) stride=2 output_padding=1 | f(3,4) f(3,2,2) padding=1 dilation=2 | f(1,4,3) f(4,2,2) "
     "groups=2",
     "f(2,3,4) f(4,2,3) | f(2,3,4) f(3,2,3) output_padding=1 | f(2,3,4) f(3,2,3) f(3) | f(2,3,4) f(3,2,3) padding=4");
CONV(2, "planes",
     "f(2,2,4,5) f(3,2,2,3) f(3) | f(2,4,5) f(3,2,3,3) stride={2,1} padding=1 | f(1,4,4,3) f(4,1,2,2) f(4) groups=4 | "
     "f(1,2,5,6) f(2,2,2,2) stride=2 padding={0,1} dilation={2,3} | f(2,2,3,3) f(3,2,1,1) f(3)",
     "f(2,4,5,2) f(3,2,2,3) | f(4,5) f(3,2,2,2) | f(1,2,4,4) f(3,2,2,2) padding=-1 | f(1,2,4,4) f(3,2,2,2) groups=2 | "
     "f(1,2,4,4) f(3,2,2,2) stride={1,1,1} | f(1,2,4,4) f(3,2,2,2) dilation=0 | f(1,2,0,4) f(3,2,2,2) | b(1,2,4,4) "
     "b(3,2,2,2)",
     "f(1,2,4,5) f(3,2,3,2) f(3) padding='same' | f(2,4,5) f(3,2,3,2) padding='valid' stride=2",
     "f(2,2,3,2) f(2,3,2,3) f(3) stride=2 padding=1 output_padding={1,0} | f(2,3,2) f(2,2,2,2) dilation=2 | f(1,4,2,3) "
     "f(4,1,2,2) groups=4",
     "f(2,2,3,2) f(3,2,2,3) | f(2,2,3,2) f(2,3,2,3) stride=2 output_padding=2 | f(2,2,3,2) f(2,3,2,3) f(2)");
CONV(3, "volumes",
     "f(1,2,3,3,4) f(2,2,2,3,2) f(2) | f(2,3,3,3) f(2,2,2,2,2) stride=2 padding=1 | f(1,2,3,3,4) f(2,1,1,2,2) groups=2 "
     "dilation={1,1,2}",
     "f(1,2,3,3,4) f(2,3,2,3,2) | f(2,3,3) f(2,2,2,2,2) | f(1,2,3,3,4) f(2,2,4,3,2)",
     "f(1,2,3,3,4) f(2,2,2,3,2) padding='same'",
     "f(1,2,2,2,2) f(2,2,2,2,2) f(2) stride=2 output_padding=1 | f(2,2,2,3) f(2,1,1,2,3) padding={0,1,1} groups=2",
     "f(1,2,2,2,2) f(3,2,2,2,2) | f(1,2,2,2,2) f(2,2,2,2,2) groups=3");
