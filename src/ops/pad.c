/* Padding, and sliding blocks: pad, unfold (im2col) and fold (col2im).
 *
 * Padding is a composition of cat and index_select, one dim after the other; the gradient of one of im2col and col2im is
 * the other. So derivatives of any order exist. */
#include "base/size.h"
#include "cpu/device_kernels.h"
#include "ops/ops.h"
#include <string.h>

extern OpDef def_clone, def_col2im;

/* ---- pad ---- */

typedef enum { PAD_REFLECT, PAD_REPLICATE, PAD_CIRCULAR } PadMode;

/* `before` and `after` elements of `value` along dim; negative numbers drop elements. */
static Tensor *pad_constant(Tensor *t, int dim, int64_t before, int64_t after, Scalar value) {
  if (!t) return NULL;
  int64_t size = t->shape[dim], first = before < 0 ? -before : 0, drop = after < 0 ? -after : 0, block[MT_MAX_DIMS];
  if (first > size || drop > size - first) {
    fail(MT_EARG,
         "narrow(): length must be non-negative.: dim %d has size %lld, padding of %lld and %lld leaves nothing",
         dim + 1, (long long)size, (long long)before, (long long)after);
    return NULL;
  }
  if (first || drop) t = op_narrow(t, dim, first, size - first - drop);
  if (!t || (before <= 0 && after <= 0)) return t;
  memcpy(block, t->shape, sizeof(int64_t) * (size_t)t->ndim);
  Tensor *part[3];
  int n = 0;
  for (int side = 0; side < 2; side++) {
    int64_t width = side ? after : before;
    block[dim] = width;
    if (side) part[n++] = t;
    if (width > 0 && !(part[n++] = op_full((DType)t->dtype, t->ndim, block, tensor_device(t), value))) return NULL;
  }
  return op_cat(n, part, dim);
}

static int64_t source(PadMode mode, int64_t i, int64_t before, int64_t after, int64_t size) {
  int64_t j = i - before;
  if (mode == PAD_REPLICATE) return j < 0 ? 0 : j >= size ? size - 1 : j;
  if (mode == PAD_REFLECT) return j < 0 ? -j : j >= size ? 2 * (size - 1) - j : j;
  /* what is dropped takes no part in going round */
  int64_t first = before < 0 ? -before : 0, kept = size - first - (after < 0 ? -after : 0);
  j = (j - first) % kept;
  return first + (j < 0 ? j + kept : j);
}

/* The elements of dim at n positions (from 1 in the tensor), found by a function of their number. */
static Tensor *pad_by_position(Tensor *t, int dim, PadMode mode, int64_t before, int64_t after) {
  if (!t || (before == 0 && after == 0)) return t;
  int64_t size = t->shape[dim], n = size + before + after;
  Tensor *index = op_full(MT_I64, 1, &n, (Device){MT_CPU, 0}, scalar_int(0));
  int64_t *at = index ? (int64_t *)(void *)tensor_data(index) : NULL;
  for (int64_t i = 0; index && i < n; i++) at[i] = source(mode, i, before, after, size) + 1;
  return op_index_select(t, dim, op_on(index, tensor_device(t)));
}

/* Says which of the sizes out, of the last dims from the last on, is below 1. */
static bool refuse_empty(const Tensor *t, const Arg *pad, int dims, const int64_t *out) {
  const int64_t *size = t->shape + t->ndim - dims;
  const char *tail = shape_text(pad->n, pad->ints), *shape = shape_text(t->ndim, t->shape);
  if (dims == 1)
    return fail(MT_EARG, "input (W: %lld) is too small. Calculated output W: %lld: padding %s of input %s",
                (long long)size[0], (long long)out[0], tail, shape);
  if (dims == 2)
    return fail(MT_EARG,
                "Calculated output H: %lld W: %lld must be >= 1 in every dimension (input H: %lld, W: %lld): padding "
                "%s of input %s",
                (long long)out[1], (long long)out[0], (long long)size[0], (long long)size[1], tail, shape);
  return fail(MT_EARG,
              "Calculated output D: %lld H: %lld W: %lld must be >= 1 in every dimension (input D: %lld, H: %lld, W: "
              "%lld): padding %s of input %s",
              (long long)out[2], (long long)out[1], (long long)out[0], (long long)size[0], (long long)size[1],
              (long long)size[2], tail, shape);
}

static bool check_positions(const Tensor *t, PadMode mode, const Arg *pad) {
  int dims = pad->n / 2;
  if (dims < 1 || dims > 3 || (t->ndim != dims + 1 && t->ndim != dims + 2))
    return fail(
        MT_ENOTIMPL,
        "Padding size %d is not supported for %dD input tensor.\nSupported combinations for non-constant "
        "padding:\n  - 2D or 3D input: padding size = 2 (pads last dimension)\n  - 3D or 4D input: padding size "
        "= 4 (pads last 2 dimensions)\n  - 4D or 5D input: padding size = 6 (pads last 3 dimensions)",
        pad->n, t->ndim);
  if (mode != PAD_CIRCULAR) {
    if (t->dtype == MT_BOOL)
      return fail(MT_ENOTIMPL, "\"%s_pad%dd\" not implemented for 'Bool': use :to(torch.uint8) first",
                  mode == PAD_REFLECT ? "reflection" : "replication", dims);
    for (int d = t->ndim == dims + 2; d < t->ndim; d++)
      if (t->shape[d] == 0)
        return fail(MT_EARG,
                    "Expected %dD or %dD (batch mode) tensor with possibly 0 batch size and other non-zero dimensions "
                    "for input, but got: %s",
                    dims + 1, dims + 2, shape_text(t->ndim, t->shape));
  }
  int64_t out[3];
  bool empty = false;
  for (int k = 0; k < dims; k++) {
    int dim = t->ndim - 1 - k;
    int64_t size = t->shape[dim], before = pad->ints[2 * k], after = pad->ints[2 * k + 1];
    if (mode == PAD_REFLECT && (before >= size || after >= size))
      return fail(MT_EARG,
                  "Argument #%d: Padding size should be less than the corresponding input dimension, but got: padding "
                  "(%lld, %lld) at dimension %d of input %s",
                  4 + 2 * k, (long long)before, (long long)after, dim + 1, shape_text(t->ndim, t->shape));
    if (mode == PAD_CIRCULAR && (before > size || after > size))
      return fail(MT_EARG,
                  "Padding value causes wrapping around more than once.: padding (%lld, %lld) at dimension %d of input "
                  "%s",
                  (long long)before, (long long)after, dim + 1, shape_text(t->ndim, t->shape));
    if (!size_add(size, before, &out[k]) || !size_add(out[k], after, &out[k])) return false;
    int64_t kept = size;
    if (before < 0) kept += before;
    if (after < 0) kept += after;
    if (mode == PAD_CIRCULAR && (out[k] < 0 || (out[k] > 0 && kept < 1)))
      return fail(MT_EARG,
                  "Negative padding value is resulting in an empty dimension: padding (%lld, %lld) at dimension %d of "
                  "input %s",
                  (long long)before, (long long)after, dim + 1, shape_text(t->ndim, t->shape));
    empty = empty || out[k] < 1;
    /* reflecting and repeating reach what dropping leaves */
    if (mode == PAD_REFLECT && (-before > size - 1 + after || -after > size - 1 + before) && out[k] > 0 && kept < 1)
      return fail(MT_EARG, "padding (%lld, %lld) at dimension %d reaches outside of input %s", (long long)before,
                  (long long)after, dim + 1, shape_text(t->ndim, t->shape));
  }
  return mode == PAD_CIRCULAR || !empty || refuse_empty(t, pad, dims, out);
}

static bool compose_pad(OpCall *c) {
  Tensor *x = in(c, 0), *t = x;
  const Arg *pad = &c->arg[1];
  const char *mode = c->arg[2].str;
  static const char *const modes[] = {"reflect", "replicate", "circular"};
  if (pad->n % 2)
    return fail(MT_EARG,
                "Padding length must be divisible by 2: two numbers for each dim, the last dim first, but got "
                "%s",
                shape_text(pad->n < MT_MAX_DIMS ? pad->n : MT_MAX_DIMS, pad->ints));
  if (pad->n / 2 > x->ndim)
    return fail(MT_EARG,
                "Padding length should be less than or equal to two times the input dimension but got padding "
                "length %d and input of dimension %d",
                pad->n, x->ndim);
  if (strcmp(mode, "constant") == 0) {
    Scalar value = c->arg[3].given ? c->arg[3].number : scalar_int(0);
    for (int k = 0; k < pad->n / 2; k++)
      t = pad_constant(t, x->ndim - 1 - k, pad->ints[2 * k], pad->ints[2 * k + 1], value);
  } else {
    int m = 0;
    while (m < 3 && strcmp(mode, modes[m]) != 0) m++;
    if (m == 3)
      return fail(MT_ENOTIMPL,
                  "Unrecognised padding mode %s: it may be 'constant', 'reflect', 'replicate' or 'circular'", mode);
    if (c->arg[3].given && scalar_double(c->arg[3].number) != 0)
      return fail(MT_EARG, "Padding mode \"%s\" doesn't take in value argument", mode);
    if (!check_positions(x, (PadMode)m, pad)) return false;
    for (int k = 0; k < pad->n / 2; k++)
      t = pad_by_position(t, x->ndim - 1 - k, (PadMode)m, pad->ints[2 * k], pad->ints[2 * k + 1]);
  }
  bool fresh = t && t->storage != x->storage; /* never input itself, nor a view of it */
  return compose_return(c, 0, fresh || !t ? t : op_run(&def_clone, (Arg[]){ARG_T(t)}));
}
OP(f_pad, .schema = "pad(Tensor input, ints pad, str mode='constant', Number? value=None) -> Tensor",
   .doc =
       "input with elements before and behind its last dims: two numbers a dim, the last dim first; negative numbers "
       "drop elements. 'constant' puts value (0); 'reflect', 'replicate' and 'circular' repeat the last one to three "
       "dims' own.",
   .samples = "f(2,3) {1,2} | f(2,3) {1,0,0,2} 'constant' 1.5 | f(2,4) {-1,1} | f(2,4) {2,3} 'reflect' | f(1,3,3) "
              "{1,2,1,0} 'reflect' | f(2,3) {4,1} 'replicate' | f(1,2,2,2) {1,1,1,0,2,1} 'replicate' | f(2,3) {3,1} "
              "'circular' | f(2,4) {-1,2} 'circular' | i(3) {1,1} | f(2) {0,0} | f(2,3) {-1,-1}",
   .errors = "f(2,3) {1} | f(3) {1,1,1,1} | f(2,3) {-4,0} | f(2,3) {1,1} 'round' | f(2,3) {3,0} 'reflect' | f(3) {1,1} "
             "'reflect' | f(2,3) {1,1} 'replicate' 1.0 | f(2,3) {4,0} 'circular' | f(2,3) {-4,0} 'replicate' | b(2,3) "
             "{1,1} 'replicate'",
   .flags = OP_HIDDEN, .compose = compose_pad);

/* ---- sliding blocks ---- */

typedef struct {
  int64_t kernel[2], dilation[2], pad[2], stride[2];
} Blocks;

static bool pair(const OpCall *c, int k, int64_t standard, int64_t *out) {
  const Arg *a = &c->arg[k];
  out[0] = out[1] = standard;
  if (!a->given) return true;
  if (a->n != 2 && a->n != 1)
    return fail(MT_EARG,
                "It is expected %s equals to 2, but got size %d: a number for each of height and width, or one "
                "for both",
                c->def->info->param[k].name, a->n);
  out[0] = a->ints[0];
  out[1] = a->ints[a->n - 1];
  return true;
}

static bool check_pair(const char *name, const char *word, const int64_t *v, int64_t least) {
  if (v[0] > INT32_MAX || v[1] > INT32_MAX) return fail(MT_EARG, "%s %s: none may be above 2147483647", name, word);
  if (v[0] >= least && v[1] >= least) return true;
  return fail(MT_EARG, "%s should be %s, but got %s_height: %lld %s_width: %lld", name,
              least ? "greater than zero" : "non-negative", word, (long long)v[0], word, (long long)v[1]);
}

static bool read_blocks(const OpCall *c, int k, Blocks *b) {
  return pair(c, k, 1, b->kernel) && pair(c, k + 1, 1, b->dilation) && pair(c, k + 2, 0, b->pad) &&
         pair(c, k + 3, 1, b->stride) && check_pair("kernel size", "kernel", b->kernel, 1) &&
         check_pair("dilation", "dilation", b->dilation, 1) && check_pair("padding", "pad", b->pad, 0) &&
         check_pair("stride", "stride", b->stride, 1);
}

static int64_t steps_of(const Blocks *b, int d, int64_t size) {
  int64_t room = size + 2 * b->pad[d] - b->dilation[d] * (b->kernel[d] - 1) - 1;
  return room < 0 ? -((-room + b->stride[d] - 1) / b->stride[d]) + 1 : room / b->stride[d] + 1;
}

static const char *two(const int64_t *v) { return text("(%lld, %lld)", (long long)v[0], (long long)v[1]); }

static bool refuse_ints(const Tensor *t, const char *name) {
  return !dtype_is_integral((DType)t->dtype) ||
         fail(MT_ENOTIMPL, "\"%s\" not implemented for '%s': use :float() first", name, dtype_info[t->dtype].type_name);
}

/* ---- what unfold and fold are made of: `blocks` is {kernel, dilation, padding, stride}, two numbers each ---- */

static bool check_blocks(const OpCall *c, int k, const int64_t *size, Blocks *b) {
  const Arg *blocks = &c->arg[k], *steps = &c->arg[k + 1];
  if (blocks->n != 8 || steps->n != 2) return fail(MT_EARG, "blocks are 8 numbers, and steps 2");
  memcpy(b, blocks->ints, sizeof *b);
  for (int i = 0; i < 8; i++)
    if (blocks->ints[i] < (i == 4 || i == 5 ? 0 : 1) || blocks->ints[i] > INT32_MAX)
      return fail(MT_EARG, "blocks: %lld cannot be", (long long)blocks->ints[i]);
  for (int d = 0; d < 2; d++)
    if (size[d] < 1 || size[d] > INT32_MAX || steps->ints[d] < 1 || steps->ints[d] != steps_of(b, d, size[d]))
      return fail(MT_EARG, "%lld steps do not fit a size of %lld", (long long)steps->ints[d], (long long)size[d]);
  return true;
}

static bool infer_im2col(OpCall *c) {
  Tensor *x = in(c, 0);
  Blocks b;
  int64_t shape[3], area;
  if (x->ndim != 4) return fail(MT_EARG, "im2col: input is %s, not (N, C, H, W)", tensor_text(x));
  if (!refuse_ints(x, "im2col_out_cpu") || !check_blocks(c, 1, x->shape + 2, &b)) return false;
  shape[0] = x->shape[0];
  return size_mul(b.kernel[0], b.kernel[1], &area) && size_mul(x->shape[1], area, &shape[1]) &&
         size_mul(c->arg[2].ints[0], c->arg[2].ints[1], &shape[2]) && out_shape(c, 0, (DType)x->dtype, 3, shape);
}
static void back_im2col(Grad *g) {
  const EdgeMeta *m = g_meta(g, 0);
  g_set(g, 0, op_run(&def_col2im, (Arg[]){ARG_T(g_out(g, 0)), ARG_INTS(m->shape + 2, 2), *g_arg(g, 1), *g_arg(g, 2)}));
}
OP(im2col, .schema = "im2col(Tensor input, ints blocks, ints steps) -> Tensor", .doc = "unfold of (N, C, H, W).",
   .samples = "f(1,2,3,4) {2,2,1,1,0,0,1,1} {2,3} | f(2,1,4,5) {2,3,1,1,1,0,2,1} {3,3}",
   .errors =
       "f(2,3,4) {2,2,1,1,0,0,1,1} {2,3} | f(1,2,3,4) {2,2,1,1,0,0,1,1} {2,2} | f(1,2,3,4) {0,2,1,1,0,0,1,1} {2,3}",
   .flags = OP_HIDDEN, .infer = infer_im2col, .kernel = EVERYWHERE(any_im2col), .backward = back_im2col);

static bool infer_col2im(OpCall *c) {
  Tensor *x = in(c, 0);
  const Arg *size = &c->arg[1], *steps = &c->arg[3];
  Blocks b;
  if (x->ndim != 3 || size->n != 2)
    return fail(MT_EARG, "col2im: input is %s, not (N, C kernel, steps)", tensor_text(x));
  if (!refuse_ints(x, "col2im_out_cpu") || !check_blocks(c, 2, size->ints, &b)) return false;
  int64_t area, columns;
  if (!size_mul(b.kernel[0], b.kernel[1], &area) || !size_mul(steps->ints[0], steps->ints[1], &columns)) return false;
  if (x->shape[1] % area || x->shape[2] != columns)
    return fail(MT_EARG, "col2im: input %s does not fit the blocks", tensor_text(x));
  return out_shape(c, 0, (DType)x->dtype, 4,
                   (int64_t[]){x->shape[0], x->shape[1] / area, size->ints[0], size->ints[1]});
}
static void back_col2im(Grad *g) {
  extern OpDef def_im2col;
  g_set(g, 0, op_run(&def_im2col, (Arg[]){ARG_T(g_out(g, 0)), *g_arg(g, 2), *g_arg(g, 3)}));
}
OP(col2im, .schema = "col2im(Tensor input, ints size, ints blocks, ints steps) -> Tensor",
   .doc = "fold of (N, C kernel, steps).",
   .samples = "f(1,8,6) {3,4} {2,2,1,1,0,0,1,1} {2,3} | f(2,6,9) {4,5} {2,3,1,1,1,0,2,1} {3,3}",
   .errors = "f(8,6) {3,4} {2,2,1,1,0,0,1,1} {2,3} | f(1,7,6) {3,4} {2,2,1,1,0,0,1,1} {2,3} | f(1,8,6) {3,4} "
             "{2,2,1,1,0,0,1,1} {2,2}",
   .flags = OP_HIDDEN, .infer = infer_col2im, .kernel = EVERYWHERE(any_col2im), .backward = back_col2im);

static bool compose_unfold(OpCall *c) {
  Tensor *x = in(c, 0);
  Blocks b;
  if (!read_blocks(c, 1, &b)) return false;
  bool alone = x->ndim == 3, good = alone || x->ndim == 4;
  for (int d = alone ? 0 : 1; good && d < x->ndim; d++) good = x->shape[d] > 0;
  if (!good)
    return fail(MT_EARG,
                "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for "
                "input, but got: %s",
                shape_text(x->ndim, x->shape));
  if (!refuse_ints(x, "im2col_out_cpu")) return false;
  Tensor *t = alone ? op_unsqueeze(x, 0) : x;
  if (!t) return false;
  int64_t steps[] = {steps_of(&b, 0, t->shape[2]), steps_of(&b, 1, t->shape[3])};
  if (steps[0] < 1 || steps[1] < 1)
    return fail(MT_EARG,
                "Given input with spatial size %s, kernel_size=%s, dilation=%s, padding=%s, calculated shape of the "
                "array of sliding blocks as %s, but its components must be at least one.",
                two(t->shape + 2), two(b.kernel), two(b.dilation), two(b.pad), two(steps));
  t = op_run(&def_im2col, (Arg[]){ARG_T(t), ARG_INTS((const int64_t *)&b, 8), ARG_INTS(steps, 2)});
  return compose_return(c, 0, alone ? op_squeeze(t, 0) : t);
}
OP(f_unfold,
   .schema = "unfold(Tensor input, ints kernel_size, ints dilation=1, ints padding=0, ints stride=1) -> Tensor",
   .doc = "The sliding blocks of input (N, C, H, W) or (C, H, W) as columns: (N, C * kernel, number of blocks).",
   .samples = "f(1,2,3,4) 2 | f(2,4,5) {2,3} 1 {1,0} {2,1} | f(1,1,5,5) 2 dilation=2 padding=1 | f(0,2,3,3) 2",
   .errors = "f(3,4) 2 | f(1,2,3,4) 5 | f(1,2,3,4) 0 | f(1,2,3,4) 2 stride=0 | f(1,2,3,4) 2 dilation=0 | f(1,2,3,4) 2 "
             "padding=-1 | i(1,2,3,4) 2 | f(1,2,3,4) {2,2,2} | f(1,0,3,4) 2",
   .flags = OP_HIDDEN, .compose = compose_unfold);

static bool compose_fold(OpCall *c) {
  Tensor *x = in(c, 0);
  Blocks b;
  int64_t size[2];
  if (!pair(c, 1, 1, size) || !read_blocks(c, 2, &b)) return false;
  bool alone = x->ndim == 2, good = alone || x->ndim == 3;
  for (int d = alone ? 0 : 1; good && d < x->ndim; d++) good = x->shape[d] > 0;
  if (!good)
    return fail(
        MT_EARG,
        "Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero dimensions for "
        "input, but got: %s",
        shape_text(x->ndim, x->shape));
  int64_t rows = x->shape[x->ndim - 2], columns = x->shape[x->ndim - 1], area = b.kernel[0] * b.kernel[1];
  if (rows % area)
    return fail(MT_EARG,
                "Expected size of input's dimension %d to be divisible by the product of kernel_size, but got "
                "input.size(%d)=%lld and kernel_size=%s.",
                x->ndim - 1, x->ndim - 1, (long long)rows, two(b.kernel));
  if (size[0] < 1 || size[1] < 1 || size[0] > INT32_MAX || size[1] > INT32_MAX)
    return fail(MT_EARG, "Expected output spatial size (output_size: %lld x %lld) to be positive, and below 2147483648",
                (long long)size[0], (long long)size[1]);
  int64_t steps[] = {steps_of(&b, 0, size[0]), steps_of(&b, 1, size[1])};
  if (steps[0] < 1 || steps[1] < 1 || steps[0] * steps[1] != columns)
    return fail(MT_EARG,
                "Given output_size=%s, kernel_size=%s, dilation=%s, padding=%s, stride=%s, expected size of input's "
                "dimension %d to match the calculated number of sliding blocks %lld * %lld = %lld, but got "
                "input.size(%d)=%lld.",
                two(size), two(b.kernel), two(b.dilation), two(b.pad), two(b.stride), x->ndim, (long long)steps[0],
                (long long)steps[1], (long long)(steps[0] * steps[1]), x->ndim, (long long)columns);
  if (!refuse_ints(x, "col2im_out_cpu")) return false;
  Tensor *t = alone ? op_unsqueeze(x, 0) : x;
  if (!t) return false;
  t = op_run(&def_col2im, (Arg[]){ARG_T(t), ARG_INTS(size, 2), ARG_INTS((const int64_t *)&b, 8), ARG_INTS(steps, 2)});
  return compose_return(c, 0, alone ? op_squeeze(t, 0) : t);
}
OP(f_fold,
   .schema =
       "fold(Tensor input, ints output_size, ints kernel_size, ints dilation=1, ints padding=0, ints stride=1) -> "
       "Tensor",
   .doc =
       "Columns of blocks (N, C * kernel, number of blocks), or (C * kernel, blocks), added up where unfold takes them "
       "from: (N, C, H, W).",
   .samples = "f(1,8,6) {3,4} 2 | f(6,9) {4,5} {2,3} 1 {1,0} {2,1} | f(0,4,4) {3,3} 2",
   .errors = "f(1,7,6) {3,4} 2 | f(1,8,5) {3,4} 2 | f(8) {3,4} 2 | f(1,8,6) {3,4} 0 | f(1,8,6) {3,4} 2 stride=0 | "
             "i(1,8,6) {3,4} 2 | f(1,8,6) {1,1} 2 | f(1,8,6) {3,4} 2 padding=-1",
   .flags = OP_HIDDEN, .compose = compose_fold);
