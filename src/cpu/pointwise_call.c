/* Pointwise kernels on tensors: operands are converted to the compute dtype and the loop is built. */
#include "cpu/copy_tensor.h"
#include "cpu/joined.h"
#include "cpu/kernels.h"
#include "cpu/stream.h"
#include "tensor/device.h"
#include "tensor/iter.h"
#include "tensor/shape.h"

enum {
  SMALL = 4096,   /* elements that are not worth a look at threads */
  TURNED = 65536, /* elements from which on an operand that lies across is turned */
  CHEAP = 20      /* cost of a formula that takes no longer than its operands */
};

/* Rough cost of one element, nanoseconds x 100: decides when threads are worth waking. */
static int cost_of(Formula f) {
  switch (f) {
  case PW_exp:
  case PW_log:
  case PW_tanh:
  case PW_sigmoid:
  case PW_sin:
  case PW_cos:
  case PW_gelu:
  case PW_gelu_back:
  case PW_gelu_tanh:
  case PW_gelu_tanh_back:
  case PW_silu:
  case PW_silu_back:
  case PW_mish:
  case PW_softplus:
  case PW_mish_back:
  case PW_softplus_back:
  case PW_elu:
  case PW_elu_back:
  case PW_expm1:
  case PW_erf:
  case PW_log1p:
  case PW_log2:
  case PW_log10:
  case PW_exp2:
  case PW_tan:
  case PW_acos:
  case PW_asin:
  case PW_atan:
  case PW_atan2:
  case PW_pow:
  case PW_pow_scalar:
  case PW_logaddexp:
  case PW_logsigmoid:
  case PW_xlogy:
  case PW_erfinv:
  case PW_hypot: return 100;
  case PW_fmod:
  case PW_remainder:
  case PW_floor_divide: return 500;
  default: return f < PW_VECTORISED ? CHEAP : 500;
  }
}

/* One operand as the loop reads it. */
typedef struct {
  char *ptr;
  const Tensor *tensor;
  int size;
  uint64_t scalar;   /* a one-element operand, converted */
  Tensor *converted; /* owned */
} Operand;

static bool operand_set(Operand *o, Tensor *t, DType dtype) {
  o->tensor = t;
  o->converted = NULL;
  o->size = dtype_size(dtype);
  o->ptr = tensor_data(t);
  if (t->dtype == dtype) return true;
  if (t->numel == 1) {
    scalar_store(tensor_scalar(t), dtype, &o->scalar);
    o->ptr = (char *)&o->scalar;
    return true;
  }
  o->tensor = o->converted = tensor_cast(t, dtype);
  if (o->converted) o->ptr = tensor_data(o->converted);
  return o->converted != NULL;
}

/* An operand that lies across a large output: reading it element by element would miss a cache line each time, so it is
 * turned first. */
static void operand_turn(Operand *o, const Tensor *out) {
  const Tensor *t = o->tensor;
  int last = t->ndim - 1;
  if (t->numel < TURNED || t->numel != out->numel || o->converted || t->stride[last] < 8 || t->shape[last] < 8 ||
      !tensor_same_shape(t, out) || !tensor_is_contiguous(out))
    return;
  Tensor *turned = tensor_cast(t, (DType)t->dtype);
  if (!turned) { /* memory is short: the loop can do without */
    fail_clear();
    return;
  }
  o->tensor = o->converted = turned;
  o->ptr = tensor_data(turned);
}

/* Every operand is one element or lies like the output: one row does it. */
static bool flat(const Tensor *out, const Operand *o, int inputs, int64_t *stride) {
  if (!tensor_is_contiguous(out)) return false;
  for (int k = 0; k < inputs; k++) {
    const Tensor *t = o[k].tensor;
    if (t->numel == 1)
      stride[k + 1] = 0;
    else if (tensor_same_shape(t, out) && tensor_is_contiguous(t))
      stride[k + 1] = o[k].size;
    else
      return false;
  }
  stride[0] = dtype_size((DType)out->dtype);
  return true;
}

static void loop(Tensor *out, const Operand *o, int inputs, RowFn row, const void *context, int cost) {
  int64_t stride[ITER_OPERANDS];
  Iter it;
  if (flat(out, o, inputs, stride)) {
    char *ptr[ITER_OPERANDS] = {tensor_data(out)};
    for (int k = 0; k < inputs; k++) ptr[k + 1] = o[k].ptr;
    if (out->numel <= SMALL) {
      if (out->numel > 0) row(ptr, stride, out->numel, context);
      return;
    }
    iter_begin(&it, 1, &out->numel);
    for (int k = 0; k <= inputs; k++) iter_add(&it, ptr[k], &stride[k], 1);
  } else {
    int64_t expanded[MT_MAX_DIMS];
    iter_begin(&it, out->ndim, out->shape);
    iter_add(&it, tensor_data(out), out->stride, dtype_size((DType)out->dtype));
    for (int k = 0; k < inputs; k++) {
      shape_expand(o[k].tensor, out->ndim, out->shape, expanded);
      iter_add(&it, o[k].ptr, expanded, o[k].size);
    }
  }
  iter_finish(&it);
  int size[ITER_OPERANDS] = {dtype_size((DType)out->dtype)};
  for (int k = 0; k < inputs; k++) size[k + 1] = o[k].size;
  if (!joined_run(&it, row, context, size, cost)) iter_run(&it, row, context, cost);
}

/* Whether the result goes past the caches: it is large, no input's memory, and waits for memory rather than for the
 * formula. */
static bool past_caches(const Tensor *out, const Operand *o, int inputs, int cost) {
  if (!stream_pays(tensor_bytes(out)) || cost > CHEAP) return false;
  for (int k = 0; k < inputs; k++)
    if (tensor_data(out) == o[k].ptr) return false;
  return true;
}

/* Few elements of the compute dtype, lying like the output: one row without further ado. */
static bool small(OpCall *c, const PointwiseInfo *info, RowFn row, const PointwiseContext *context) {
  Tensor *out = c->out[0];
  if (out->numel > SMALL || info->choice || (c->inplace && !tensor_is_contiguous(out))) return false;
  char *ptr[4] = {tensor_data(out)};
  int64_t stride[4] = {dtype_size((DType)out->dtype)}, size = dtype_size(c->compute);
  for (int k = 0; k < info->inputs; k++) {
    Tensor *t = in(c, k);
    bool packed = t->ndim == 1 ? t->stride[0] == 1 || t->numel == 1 : tensor_is_contiguous(t);
    if (t->dtype != c->compute || t->numel != out->numel || !packed) return false; /* as many: nothing is repeated */
    ptr[k + 1] = tensor_data(t);
    stride[k + 1] = size;
  }
  if (out->numel > 0) row(ptr, stride, out->numel, context);
  return true;
}

/* A factor, divisor or weight that is a number stays float32 beside 16-bit floats: rounding it first would show. */
static bool number_is_wide(const OpCall *c, Formula f) {
  if (c->compute != MT_F16 && c->compute != MT_BF16) return false;
  int first = 1, last = 1;
  switch (f) {
  case PW_mul: first = 0; break;
  case PW_div:
  case PW_trunc_divide:
  case PW_floor_divide: break;
  case PW_lerp: first = last = 2; break;
  default: return false;
  }
  for (int k = first; k <= last; k++) {
    if (!in(c, k)->is_scalar) continue;
    uint64_t rounded = 0;
    Scalar number = tensor_scalar(in(c, k));
    scalar_store(number, c->compute, &rounded);
    if (scalar_double(scalar_load(c->compute, &rounded)) != scalar_double(number)) return true;
  }
  return false;
}

/* The whole call in float32, rounded at the end. */
static bool through_float(OpCall *c, Formula f, const PointwiseContext *context) {
  Tensor *out = c->out[0], *wide = tensor_new(MT_F32, out->ndim, out->shape, c->device);
  OpCall inner = *c;
  inner.compute = MT_F32;
  inner.out[0] = wide;
  bool good = wide && any_pointwise_with(&inner, f, context) && tensor_copy_into(out, wide);
  tensor_release(wide);
  return good;
}

static bool pointwise_elsewhere(OpCall *c, Formula f, const PointwiseContext *context) {
  const DeviceDriver *driver = device_driver(c->device);
  return driver && driver->pointwise(c, f, context);
}

/* Whatever is not small. */
static __attribute__((noinline)) bool pointwise_any(OpCall *c, Formula f, RowFn row, const PointwiseContext *context) {
  const PointwiseInfo *info = &pointwise_info[f];
  if (!row)
    return fail(MT_ENOTIMPL, "\"%s_cpu\" not implemented for '%s'", info->name, dtype_info[c->compute].type_name);
  if (number_is_wide(c, f)) return through_float(c, f, context);
  Operand o[3];
  int ready = 0;
  bool good = true;
  while (good && ready < info->inputs) {
    good = operand_set(&o[ready], in(c, ready), info->choice && ready == 0 ? MT_BOOL : c->compute);
    if (good) operand_turn(&o[ready], c->out[0]);
    ready++;
  }
  Streamed streamed;
  const void *extra = context;
  if (good && past_caches(c->out[0], o, info->inputs, cost_of(f))) {
    bool packed = info->inputs == 2 && o[0].tensor->numel == o[1].tensor->numel;
    RowFn own = packed ? pointwise_stream_row(f, c->compute) : NULL;
    streamed = (Streamed){row, context, dtype_size((DType)c->out[0]->dtype), info->inputs + 1};
    row = own ? own : stream_row;
    extra = own ? extra : &streamed;
  }
  if (good) loop(c->out[0], o, info->inputs, row, extra, cost_of(f));
  for (int k = 0; k < ready; k++) tensor_release(o[k].converted);
  return good;
}

bool any_pointwise_with(OpCall *c, Formula f, const PointwiseContext *context) {
  if (__builtin_expect(c->device.kind != MT_CPU, 0)) return pointwise_elsewhere(c, f, context);
  RowFn row = pointwise_row(f, c->compute);
  return (row && small(c, &pointwise_info[f], row, context)) || pointwise_any(c, f, row, context);
}

bool any_pointwise(OpCall *c) {
  Formula f = (Formula)c->formula;
  const PointwiseInfo *info = &pointwise_info[f];
  int zero = 0;
  PointwiseContext context = {.zero = &zero};
  const Arg *extra = c->arg + info->inputs;
  if (info->extra == EXTRA_SCALAR || info->extra == EXTRA_EXPONENT || info->extra == EXTRA_LIMITS) {
    context.s = extra[0].number;
    context.has_s = extra[0].given;
  }
  if (info->extra == EXTRA_LIMITS) {
    context.t = extra[1].number;
    context.has_t = extra[1].given;
  }
  if (!any_pointwise_with(c, f, &context)) return false;
  return !zero ||
         fail(MT_EARG, "ZeroDivisionError: integer division by zero. Use float tensors (:float()) to get inf or nan");
}
