/* Convolution through cuDNN: descriptors and the algorithm of a shape are made once and kept.
 *
 * Invariant: a plan's key holds all that its descriptors and its algorithm follow from, modes of torch.backends.cudnn
 * included. Plans belong to a device's handle and are used under the library's lock. */
#include "cuda/conv_dnn.h"
#include "cuda/conv.h"
#include "cuda/library.h"
#include <string.h>

#ifdef CUDA_HAS_CUDNN

enum { PLANS = 256, ALGORITHMS = 8 };
static const size_t MOST_SCRATCH = (size_t)1 << 30;

typedef struct {
  int which, dtype, index, fast, measured, repeatable; /* TF32; by measuring; deterministic algorithms only */
  Conv conv;
} Key;

typedef struct {
  Key key;
  bool known, usable;
  cudnnTensorDescriptor_t x, y;
  cudnnFilterDescriptor_t w;
  cudnnConvolutionDescriptor_t conv;
  int algo;
  size_t scratch;
} Plan;

static Plan plans[PLANS]; /* by their key's hash */

static Plan *plan_at(const Key *key) {
  const unsigned char *byte = (const unsigned char *)key;
  uint64_t hash = 1469598103934665603u;
  for (size_t k = 0; k < sizeof *key; k++) hash = (hash ^ byte[k]) * 1099511628211u;
  return &plans[(hash ^ hash >> 32) % PLANS];
}

#define TRY(expression, name) dnn_check(use, expression, name)

static void plan_drop(const DnnUse *use, Plan *p) {
  if (p->x) use->call->cudnnDestroyTensorDescriptor(p->x);
  if (p->y) use->call->cudnnDestroyTensorDescriptor(p->y);
  if (p->w) use->call->cudnnDestroyFilterDescriptor(p->w);
  if (p->conv) use->call->cudnnDestroyConvolutionDescriptor(p->conv);
  *p = (Plan){.known = false};
}

static cudnnDataType_t type_of(int d) {
  return d == MT_F64   ? CUDNN_DATA_DOUBLE
         : d == MT_F32 ? CUDNN_DATA_FLOAT
         : d == MT_F16 ? CUDNN_DATA_HALF
                       : CUDNN_DATA_BFLOAT16;
}

/* cuDNN counts in int, and wants each size of y to follow from x's. A stride past the end changes nothing, so it may be
 * what makes a single result follow. */
static bool fits(const Conv *c, int stride[3]) {
  int64_t x = c->batch * c->groups * c->in, y = c->batch * c->groups * c->out, w = c->groups * c->out * c->in;
  for (int k = 0; k < 3; k++) {
    int64_t room = c->x[k] + 2 * c->pad[k] - c->dilation[k] * (c->k[k] - 1) - 1, step = c->stride[k];
    x *= c->x[k], y *= c->y[k], w *= c->k[k];
    if (c->y[k] == 1 && room >= step) step = room + 1;
    if (room < 0 || room / step + 1 != c->y[k] || step > INT32_MAX || c->pad[k] > INT32_MAX ||
        c->dilation[k] > INT32_MAX)
      return false;
    stride[k] = (int)step;
  }
  return x > 0 && y > 0 && w > 0 && x <= INT32_MAX && y <= INT32_MAX && w <= INT32_MAX;
}

/* Sizes of a tensor: n, c and the last dims. */
static void sizes_of(int64_t n, int64_t channels, const int64_t size[3], int first, int *shape, int *stride) {
  int dims = 5 - first, step = 1;
  shape[0] = (int)n, shape[1] = (int)channels;
  for (int k = first; k < 3; k++) shape[2 + k - first] = (int)size[k];
  for (int k = dims - 1; k >= 0; step *= shape[k], k--) stride[k] = step;
}

static bool describe(const DnnUse *use, Plan *p) {
  const Dnn *dnn = use->call;
  const Conv *c = &p->key.conv;
  cudnnDataType_t type = type_of(p->key.dtype), sums = type == CUDNN_DATA_DOUBLE ? type : CUDNN_DATA_FLOAT;
  int stride[3], pad[3], dilation[3], shape[5], step[5];
  fits(c, stride);
  /* one or two dims are seen as planes */
  int first = c->x[0] == 1 && c->y[0] == 1 && c->k[0] == 1 && c->pad[0] == 0, dims = 5 - first;
  for (int k = 0; k < 3; k++) pad[k] = (int)c->pad[k], dilation[k] = (int)c->dilation[k];
  cudnnMathType_t math = type == CUDNN_DATA_HALF || type == CUDNN_DATA_BFLOAT16 ? CUDNN_TENSOR_OP_MATH
                         : type == CUDNN_DATA_FLOAT && !p->key.fast             ? CUDNN_FMA_MATH
                                                                                : CUDNN_DEFAULT_MATH;
  sizes_of(c->batch, c->groups * c->in, c->x, first, shape, step);
  if (!TRY(dnn->cudnnCreateTensorDescriptor(&p->x), "cudnnCreateTensorDescriptor") ||
      !TRY(dnn->cudnnSetTensorNdDescriptor(p->x, type, dims, shape, step), "cudnnSetTensorNdDescriptor"))
    return false;
  sizes_of(c->batch, c->groups * c->out, c->y, first, shape, step);
  if (!TRY(dnn->cudnnCreateTensorDescriptor(&p->y), "cudnnCreateTensorDescriptor") ||
      !TRY(dnn->cudnnSetTensorNdDescriptor(p->y, type, dims, shape, step), "cudnnSetTensorNdDescriptor"))
    return false;
  sizes_of(c->groups * c->out, c->in, c->k, first, shape, step);
  return TRY(dnn->cudnnCreateFilterDescriptor(&p->w), "cudnnCreateFilterDescriptor") &&
         TRY(dnn->cudnnSetFilterNdDescriptor(p->w, type, CUDNN_TENSOR_NCHW, dims, shape),
             "cudnnSetFilterNdDescriptor") &&
         TRY(dnn->cudnnCreateConvolutionDescriptor(&p->conv), "cudnnCreateConvolutionDescriptor") &&
         TRY(dnn->cudnnSetConvolutionNdDescriptor(p->conv, dims - 2, pad + first, stride + first, dilation + first,
                                                  CUDNN_CROSS_CORRELATION, sums),
             "cudnnSetConvolutionNdDescriptor") &&
         TRY(dnn->cudnnSetConvolutionGroupCount(p->conv, (int)c->groups), "cudnnSetConvolutionGroupCount") &&
         TRY(dnn->cudnnSetConvolutionMathType(p->conv, math), "cudnnSetConvolutionMathType");
}

/* Of what cuDNN recommends, fastest first: the first that may be used. */
typedef struct {
  int algo;
  cudnnStatus_t status;
  size_t memory;
  bool repeatable;
  cudnnMathType_t math;
} Choice;

static bool choose(const DnnUse *use, Plan *p, const Choice *choice, int count) {
  for (int k = 0; k < count; k++) {
    const Choice *one = &choice[k];
    if (one->status != CUDNN_STATUS_SUCCESS || one->memory > MOST_SCRATCH || (p->key.repeatable && !one->repeatable))
      continue;
    p->usable = true;
    p->algo = one->algo;
    p->scratch = one->memory;
    bool exact = p->key.dtype == MT_F32 && !p->key.fast;
    return TRY(use->call->cudnnSetConvolutionMathType(p->conv, exact ? CUDNN_FMA_MATH : one->math),
               "cudnnSetConvolutionMathType");
  }
  return true;
}

#define CHOICES(results)                                                                                         \
  for (int k = 0; k < count; k++) choice[k] = (Choice) {                                                         \
      (int)results[k].algo, results[k].status, results[k].memory, results[k].determinism == CUDNN_DETERMINISTIC, \
          results[k].mathType                                                                                    \
    }

/* Asks for algorithms; measuring runs each of them into `out`, with all the scratch that can be had. */
static bool ask(const DnnUse *use, Plan *p, const void *x, const void *w, const void *y, void *out) {
  const Dnn *dnn = use->call;
  Choice choice[ALGORITHMS];
  int count = 0;
  cudnnStatus_t status;
  size_t room = (size_t)64 << 20;
  void *scratch = NULL, *owner = NULL;
  if (p->key.measured && !(scratch = cuda_allocate(p->key.index, (int64_t)room, &owner))) return false;
  if (p->key.which == CONV_OUTPUT) {
    cudnnConvolutionFwdAlgoPerf_t perf[ALGORITHMS];
    status = p->key.measured ? dnn->cudnnFindConvolutionForwardAlgorithmEx(use->handle, p->x, x, p->w, w, p->conv, p->y,
                                                                           out, ALGORITHMS, &count, perf, scratch, room)
                             : dnn->cudnnGetConvolutionForwardAlgorithm_v7(use->handle, p->x, p->w, p->conv, p->y,
                                                                           ALGORITHMS, &count, perf);
    if (status != CUDNN_STATUS_SUCCESS) count = 0;
    CHOICES(perf);
  } else if (p->key.which == CONV_INPUT) {
    cudnnConvolutionBwdDataAlgoPerf_t perf[ALGORITHMS];
    status = p->key.measured
                 ? dnn->cudnnFindConvolutionBackwardDataAlgorithmEx(use->handle, p->w, w, p->y, y, p->conv, p->x, out,
                                                                    ALGORITHMS, &count, perf, scratch, room)
                 : dnn->cudnnGetConvolutionBackwardDataAlgorithm_v7(use->handle, p->w, p->y, p->conv, p->x, ALGORITHMS,
                                                                    &count, perf);
    if (status != CUDNN_STATUS_SUCCESS) count = 0;
    CHOICES(perf);
  } else {
    cudnnConvolutionBwdFilterAlgoPerf_t perf[ALGORITHMS];
    status = p->key.measured
                 ? dnn->cudnnFindConvolutionBackwardFilterAlgorithmEx(use->handle, p->x, x, p->y, y, p->conv, p->w, out,
                                                                      ALGORITHMS, &count, perf, scratch, room)
                 : dnn->cudnnGetConvolutionBackwardFilterAlgorithm_v7(use->handle, p->x, p->y, p->conv, p->w,
                                                                      ALGORITHMS, &count, perf);
    if (status != CUDNN_STATUS_SUCCESS) count = 0;
    CHOICES(perf);
  }
  if (scratch) cuda_release(owner, scratch, (int64_t)room);
  bool lacks = status >= CUDNN_STATUS_NOT_SUPPORTED && status < CUDNN_STATUS_INTERNAL_ERROR;
  return (status == CUDNN_STATUS_SUCCESS || lacks || TRY(status, "cudnnGetConvolutionAlgorithm")) &&
         choose(use, p, choice, count);
}

static cudnnStatus_t launch(const DnnUse *use, const Plan *p, const void *x, const void *w, const void *y, void *out,
                            void *scratch) {
  const Dnn *dnn = use->call;
  const float one = 1, none = 0;
  const double one_d = 1, none_d = 0;
  bool wide = p->key.dtype == MT_F64;
  const void *alpha = wide ? (const void *)&one_d : &one, *beta = wide ? (const void *)&none_d : &none;
  switch (p->key.which) {
  case CONV_OUTPUT:
    return dnn->cudnnConvolutionForward(use->handle, alpha, p->x, x, p->w, w, p->conv,
                                        (cudnnConvolutionFwdAlgo_t)p->algo, scratch, p->scratch, beta, p->y, out);
  case CONV_INPUT:
    return dnn->cudnnConvolutionBackwardData(use->handle, alpha, p->w, w, p->y, y, p->conv,
                                             (cudnnConvolutionBwdDataAlgo_t)p->algo, scratch, p->scratch, beta, p->x,
                                             out);
  default:
    return dnn->cudnnConvolutionBackwardFilter(use->handle, alpha, p->x, x, p->y, y, p->conv,
                                               (cudnnConvolutionBwdFilterAlgo_t)p->algo, scratch, p->scratch, beta,
                                               p->w, out);
  }
}

static bool run(const DnnUse *use, const Key *key, const void *x, const void *w, const void *y, void *out, bool *done) {
  Plan *p = plan_at(key);
  if (!p->known || memcmp(&p->key, key, sizeof *key) != 0) {
    plan_drop(use, p);
    p->key = *key;
    if (!describe(use, p) || !ask(use, p, x, w, y, out)) {
      plan_drop(use, p);
      return false;
    }
    p->known = true;
  }
  if (!p->usable) return true;
  void *owner = NULL, *scratch = p->scratch ? cuda_allocate(key->index, (int64_t)p->scratch, &owner) : NULL;
  if (p->scratch && !scratch) return false;
  cudnnStatus_t status = launch(use, p, x, w, y, out, scratch);
  if (scratch) cuda_release(owner, scratch, (int64_t)p->scratch);
  if (status >= CUDNN_STATUS_NOT_SUPPORTED && status < CUDNN_STATUS_INTERNAL_ERROR) {
    p->usable = false;
    return true;
  }
  *done = true;
  return TRY(status, "cudnnConvolution");
}

bool conv_by_dnn(int which, const Conv *c, DType d, const void *x, const void *w, const void *y, void *out, int index,
                 bool *done) {
  const DeviceModes *modes = device_modes();
  DnnUse use;
  Key key;
  int stride[3];
  *done = false;
  if (!modes->cudnn || !fits(c, stride) || dnn_version() == 0) return true;
  memset(&key, 0, sizeof key); /* gaps too: it is hashed */
  key.which = which, key.dtype = d, key.index = index;
  key.fast = modes->cudnn_tf32;
  key.repeatable = modes->cudnn_deterministic || deterministic().on;
  key.measured = modes->cudnn_benchmark && !key.repeatable;
  key.conv = *c;
  if (!dnn_begin(&use, index)) return false;
  bool good = run(&use, &key, x, w, y, out, done);
  dnn_end();
  return good;
}

#else
bool conv_by_dnn(int which, const Conv *c, DType d, const void *x, const void *w, const void *y, void *out, int index,
                 bool *done) {
  return *done = false, true;
}
#endif
