/* Kernels that every device has, one row each: X(name, parameters, arguments, device of the call).
 *
 * any_<name> runs cpu_<name> on the host, elsewhere the function of the device's driver, which moontorch/cuda.so calls
 * cuda_<name>. What they do is said where cpu_<name> is declared. A row that a driver lacks does not link. A driver may
 * leave a case to the host by left_to_host(), before it has written anything; op_call then takes the way through it.
 * Operators whose kernels only call these say EVERYWHERE. */
#ifndef MT_DEVICE_KERNELS_H
#define MT_DEVICE_KERNELS_H
#include "cpu/conv.h"
#include "cpu/gemm.h"
#include "cpu/kernels.h"
#include "cpu/pool.h"
#include "cpu/reduce.h"
#include "cpu/resample.h"
#include "tensor/device.h"

#define DEVICE_KERNELS(X)                                                                                              \
  X(softmax, (Tensor * t, int dim, bool logarithm, Tensor *out), (t, dim, logarithm, out), tensor_device(out))         \
  X(softmax_back, (Tensor * grad, Tensor * result, int dim, bool logarithm, Tensor *out),                              \
    (grad, result, dim, logarithm, out), tensor_device(out))                                                           \
  X(products, (const Gemm *g, Device at), (g, at), at)                                                                 \
  X(conv_output, (const Conv *c, Tensor *x, Tensor *w, Tensor *bias, Tensor *y), (c, x, w, bias, y), tensor_device(y)) \
  X(conv_input, (const Conv *c, Tensor *y, Tensor *w, Tensor *bias, Tensor *x), (c, y, w, bias, x), tensor_device(x))  \
  X(conv_weight, (const Conv *c, Tensor *x, Tensor *y, Tensor *w), (c, x, y, w), tensor_device(w))                     \
  X(pool_max, (const Pooling *p, Tensor *x, Tensor *values, Tensor *index), (p, x, values, index),                     \
    tensor_device(values))                                                                                             \
  X(pool_mean, (const Pooling *p, Tensor *x, Tensor *out), (p, x, out), tensor_device(out))                            \
  X(pool_mean_back, (const Pooling *p, Tensor *grad, Tensor *out), (p, grad, out), tensor_device(out))                 \
  X(plane_put, (Tensor * x, Tensor * index, int64_t planes, bool add, Tensor *out), (x, index, planes, add, out),      \
    tensor_device(out))                                                                                                \
  X(plane_take, (Tensor * x, Tensor * index, int64_t planes, Tensor * out), (x, index, planes, out),                   \
    tensor_device(out))                                                                                                \
  X(resample, (const Resample *how, Tensor *x, int dim, bool back, Tensor *out), (how, x, dim, back, out),             \
    tensor_device(out))

typedef struct DeviceKernels {
#define DEVICE_KERNEL_FIELD(name, parameters, arguments, device) bool(*name) parameters;
  DEVICE_KERNELS(DEVICE_KERNEL_FIELD)
#undef DEVICE_KERNEL_FIELD
} DeviceKernels;

#define DEVICE_KERNEL_ANY(name, parameters, arguments, device) bool any_##name parameters;
DEVICE_KERNELS(DEVICE_KERNEL_ANY)
#undef DEVICE_KERNEL_ANY
#endif
