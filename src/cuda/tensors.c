/* Tensors on a device: copies, fills and pointwise formulas; what is said to the kernels of copy.cu and pointwise.cu. */
#include "cpu/formula_ids.h"
#include "cuda/driver.h"
#include "cuda/rows.h"
#include <math.h>
#include <string.h>

void cuda_rows_of(const Iter *it, Rows *r) {
  r->operands = it->operands;
  r->ndim = it->ndim;
  r->numel = it->numel;
  memcpy(r->shape, it->shape, sizeof(int64_t) * (size_t)it->ndim);
  for (int k = 0; k < it->operands; k++) {
    r->ptr[k] = it->ptr[k];
    memcpy(r->stride[k], it->stride[k], sizeof(int64_t) * (size_t)it->ndim);
  }
}

void cuda_rows_for(Rows *r, int operands, Tensor *const *t) {
  Iter it;
  int64_t stride[MT_MAX_DIMS] = {0};
  iter_begin(&it, t[0]->ndim, t[0]->shape);
  for (int k = 0; k < operands; k++) {
    if (t[k])
      shape_expand(t[k], t[0]->ndim, t[0]->shape, stride);
    else
      memset(stride, 0, sizeof stride);
    iter_add(&it, t[k] ? tensor_data(t[k]) : NULL, stride, t[k] ? dtype_size((DType)t[k]->dtype) : 1);
  }
  iter_finish(&it);
  cuda_rows_of(&it, r);
  for (int k = 0; k < operands; k++)
    if (!t[k]) r->ptr[k] = NULL;
}

bool cuda_fill(Tensor *to, Scalar value) {
  int index = tensor_device(to).index;
  uint64_t element = 0;
  Rows r;
  scalar_store(value, (DType)to->dtype, &element);
  cuda_rows_for(&r, 1, (Tensor *[]){to});
  return driver_use(index) &&
         driver_check((cudaError_t)cuda_launch_fill(dtype_size((DType)to->dtype), element, &r, driver_stream(index)),
                      "fill");
}

bool cuda_copy(Tensor *to, const Tensor *from) {
  int index = tensor_device(to).index;
  if (to->numel == 0) return true;
  if (!driver_use(index)) return false;
  if (to->dtype == from->dtype && tensor_same_shape(to, from) && tensor_is_contiguous(to) && tensor_is_contiguous(from))
    return driver_check(cudaMemcpyAsync(tensor_data(to), tensor_data(from), (size_t)tensor_bytes(to),
                                        cudaMemcpyDeviceToDevice, driver_stream(index)),
                        "cudaMemcpyAsync");
  Rows r;
  cuda_rows_for(&r, 2, (Tensor *[]){to, (Tensor *)from});
  return driver_check((cudaError_t)cuda_launch_cast(to->dtype, from->dtype, &r, driver_stream(index)), "copy");
}

Tensor *cuda_packed(Tensor *t, DType d) {
  if (t->dtype == d && tensor_is_contiguous(t)) return tensor_retain(t);
  Tensor *packed = tensor_new(d, t->ndim, t->shape, tensor_device(t));
  if (packed && !cuda_copy(packed, t)) {
    tensor_release(packed);
    return NULL;
  }
  return packed;
}

Tensor *cuda_there(const Tensor *t, DType d, int index) {
  Device here = tensor_device(t);
  if (here.kind == MT_CUDA && t->dtype == d) return tensor_retain((Tensor *)t);
  return tensor_copy(t, d, (Device){MT_CUDA, index});
}

/* A number as the kernel computes with it; limits saturate to the type's range. */
static FormulaNumber number_of(Scalar s, DType d, bool limit) {
  FormulaNumber n = {.i = 0};
  if (d == MT_F64)
    n.d = scalar_double(s);
  else if (dtype_is_float(d))
    n.f = s.category == CAT_FLOAT ? (float)s.d : (float)s.i;
  else if (d == MT_BOOL)
    n.i = s.category == CAT_FLOAT ? s.d != 0 : s.i != 0;
  else
    n.i = scalar_int64(s);
  if (limit && dtype_is_integral(d) && d != MT_I64) {
    int bits = 8 * dtype_size(d) - dtype_info[d].is_signed;
    int64_t most = ((int64_t)1 << bits) - 1, least = dtype_info[d].is_signed ? -most - 1 : 0;
    n.i = n.i < least ? least : n.i > most ? most : n.i;
  }
  return n;
}
static Scalar limit(DType d, int sign) {
  return dtype_is_float(d) ? scalar_float(sign * (double)INFINITY) : scalar_int(sign > 0 ? INT64_MAX : INT64_MIN);
}

/* Exponents that have a formula of their own, as on the CPU. */
static int plain_power(double s, bool is_float) {
  if (s == 2) return PW_square;
  if (s == 3) return PW_cube;
  if (is_float && s == 0.5) return PW_sqrt;
  if (is_float && s == -0.5) return PW_rsqrt;
  return is_float && s == -1 ? PW_reciprocal : PW_pow_scalar;
}

bool cuda_pointwise(OpCall *c, int f, const PointwiseContext *context) {
  static const PointwiseContext none = {.zero = NULL};
  if (!context) context = &none;
  DType d = c->compute;
  Tensor *out = c->out[0], *operand[ROWS_OPERANDS] = {out}, *owned[ROWS_OPERANDS] = {NULL};
  const PointwiseInfo *traits = &pointwise_info[f];
  int inputs = traits->inputs;
  uint64_t value[ROWS_OPERANDS] = {0};
  bool good = driver_use(c->device.index);
  FormulaNumbers n = {number_of(context->s, d, false), number_of(context->t, d, false),
                      number_of(context->u, d, false)};
  if (traits->extra == EXTRA_LIMITS) {
    n.s = number_of(context->has_s ? context->s : limit(d, -1), d, true);
    n.t = number_of(context->has_t ? context->t : limit(d, 1), d, true);
  }
  if (traits->extra == EXTRA_EXPONENT) f = plain_power(scalar_double(context->s), dtype_is_float(d));
  for (int k = 0; good && k < inputs; k++) {
    Tensor *t = in(c, k);
    DType as = traits->choice && k == 0 ? MT_BOOL : d;
    if (tensor_device(t).kind == MT_CPU) { /* one number, beside tensors of the device */
      scalar_store(tensor_scalar(t), as, &value[k + 1]);
    } else if (t->dtype == as) {
      operand[k + 1] = t;
    } else {
      operand[k + 1] = owned[k + 1] = tensor_new(as, t->ndim, t->shape, c->device);
      good = owned[k + 1] && cuda_copy(owned[k + 1], t);
    }
  }
  if (good) {
    Rows r;
    cuda_rows_for(&r, inputs + 1, operand);
    memcpy(r.value, value, sizeof value);
    int error = cuda_launch_pointwise(f, d, &r, &n, driver_stream(c->device.index));
    good = error >= 0
               ? driver_check((cudaError_t)error, traits->name)
               : fail(MT_ENOTIMPL, "\"%s_cuda\" not implemented for '%s'", traits->name, dtype_info[d].type_name);
  }
  for (int k = 1; k <= inputs; k++) tensor_release(owned[k]);
  return good;
}
