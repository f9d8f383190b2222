/* Attention of tensors on a device: operands as stacks of matrices, and which kernels serve them.
 *
 * An operand is read where it lies unless its columns lie apart. The choice follows from dtype, sizes and the device's
 * compute capability alone, so results are the same each time. */
#include "cuda/attention.h"
#include "cuda/driver.h"

enum { HELD = 8, PACK = 16 };

/* A tensor (..., rows, columns) that broadcasts to the batch, whose dims may be repeated. */
static AttentionStack stack_of(const AttentionRun *r, const Tensor *t, bool repeats) {
  AttentionStack s = {.data = tensor_data(t), .row = 0, .col = 0};
  int size = dtype_size((DType)t->dtype), more = r->dims + 2 - t->ndim, last = t->ndim - 1;
  bool even = (uintptr_t)s.data % PACK == 0;
  for (int d = 0; d < r->dims; d++) {
    int64_t n = d < more ? 1 : t->shape[d - more];
    s.repeat[d] = repeats && n > 1 ? r->batch[d] / n : 1;
    s.stride[d] = n == 1 ? 0 : t->stride[d - more];
    even = even && s.stride[d] * size % PACK == 0;
  }
  if (last >= 1 && t->shape[last - 1] > 1) s.row = t->stride[last - 1];
  if (last >= 0 && t->shape[last] > 1) s.col = t->stride[last];
  s.wide = even && last >= 0 && s.row * size % PACK == 0 && t->shape[last] * size % PACK == 0;
  return s;
}

/* The same for one whose columns have to lie side by side; *held owns what is read. */
static bool stack(const AttentionRun *r, Tensor *t, AttentionStack *s, Tensor **held) {
  int last = t->ndim - 1;
  *held = t->shape[last] < 2 || t->stride[last] == 1 ? tensor_retain(t) : cuda_packed(t, (DType)t->dtype);
  if (*held) *s = stack_of(r, *held, true);
  return *held != NULL;
}

static AttentionRun run_of(const Attention *a, const Tensor *lse) {
  const Tensor *q = a->query, *v = a->value;
  AttentionRun r = {.dims = lse->ndim - 1,
                    .matrices = 1,
                    .length = q->shape[q->ndim - 2],
                    .source = v->shape[v->ndim - 2],
                    .width = q->shape[q->ndim - 1],
                    .value_width = v->shape[v->ndim - 1],
                    .causal = a->causal};
  r.scale = r.width > 0 ? a->scale : 0; /* no scores then: all alike, whatever the scale */
  for (int d = 0; d < r.dims; d++) r.matrices *= r.batch[d] = lse->shape[d];
  return r;
}

static bool stack_inputs(AttentionRun *r, const Attention *a, int index, Tensor **held) {
  if (!stack(r, a->query, &r->query, held) || !stack(r, a->key, &r->key, held + 1) ||
      !stack(r, a->value, &r->value, held + 2))
    return false;
  if (!a->mask) return true;
  r->mask_is_bool = a->mask->dtype == MT_BOOL;
  held[3] = cuda_there(a->mask, r->mask_is_bool ? MT_BOOL : attention_lane(a->query), index);
  if (held[3]) r->mask = stack_of(r, held[3], true);
  return held[3] != NULL;
}

/* Tensor cores multiply 16-bit floats in this way from compute capability 8.0 on. */
static bool has_tensor_cores(DType d, int index) {
  int major = 0;
  if (d != MT_F16 && d != MT_BF16) return false;
  if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index) != cudaSuccess) cudaGetLastError();
  return major >= 8;
}

static bool finish(Tensor **held, bool good) {
  for (int k = 0; k < HELD; k++) tensor_release(held[k]);
  return good;
}

bool cuda_attention(const Attention *a, Tensor *out, Tensor *lse) {
  Tensor *held[HELD] = {NULL};
  AttentionRun r = run_of(a, lse);
  DType d = (DType)out->dtype;
  int index = tensor_device(lse).index;
  if (lse->numel == 0) return true;
  if (r.source == 0) return cuda_fill(out, scalar_int(0)) && cuda_fill(lse, scalar_int(0));
  bool good = stack_inputs(&r, a, index, held) && driver_use(index);
  if (good) {
    r.out = stack_of(&r, out, false);
    r.lse = tensor_data(lse);
    bool cores = r.width <= ATTENTION_WIDTH && has_tensor_cores(d, index);
    good = driver_launched((cores ? cuda_launch_attention_mma : cuda_launch_attention)(d, &r, driver_stream(index)),
                           "attention");
  }
  return finish(held, good);
}

bool cuda_attention_back(const Attention *a, Tensor *out, Tensor *lse, Tensor *grad, Tensor *grad_lse, Tensor *gq,
                         Tensor *gk, Tensor *gv) {
  Tensor *held[HELD] = {NULL}, *delta = NULL;
  AttentionRun r = run_of(a, lse);
  DType d = (DType)a->query->dtype, lane = attention_lane(a->query);
  int index = tensor_device(lse).index;
  if (r.matrices == 0) return true;
  if (r.length == 0 || r.source == 0)
    return cuda_fill(gq, scalar_int(0)) && cuda_fill(gk, scalar_int(0)) && cuda_fill(gv, scalar_int(0));
  bool good = stack_inputs(&r, a, index, held) && stack(&r, grad, &r.grad, held + 4) &&
              stack(&r, out, &r.out, held + 5) && (held[6] = cuda_packed(lse, lane)) &&
              (!grad_lse || (held[7] = cuda_packed(grad_lse, lane))) &&
              (delta = tensor_new(lane, lse->ndim, lse->shape, tensor_device(lse))) && driver_use(index);
  if (good) {
    r.gq = stack_of(&r, gq, false), r.gk = stack_of(&r, gk, false), r.gv = stack_of(&r, gv, false);
    r.lse = tensor_data(held[6]);
    r.grad_lse = grad_lse ? tensor_data(held[7]) : NULL;
    r.delta = tensor_data(delta);
    cudaStream_t stream = driver_stream(index);
    bool cores = r.width <= ATTENTION_WIDTH_BACK && r.value_width <= ATTENTION_WIDTH_BACK && has_tensor_cores(d, index);
    good = driver_launched(cuda_launch_attention_delta(d, &r, stream), "attention") &&
           driver_launched((cores ? cuda_launch_attention_back_mma : cuda_launch_attention_back)(d, &r, stream),
                           "attention");
  }
  tensor_release(delta);
  return finish(held, good);
}
