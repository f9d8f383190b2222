/* Kernels that every device has, one row each: X(name, parameters, arguments, device of the call).
 *
 * any_<name> runs cpu_<name> on the host, elsewhere the function of the device's driver, which moontorch/cuda.so calls
 * cuda_<name>. What they do is said where cpu_<name> is declared. A row that a driver lacks does not link. A driver may
 * leave a case to the host by left_to_host(), before it has written anything; op_call then takes the way through it.
 * Operators whose kernels only call these say EVERYWHERE. */
#ifndef MT_DEVICE_KERNELS_H
#define MT_DEVICE_KERNELS_H
#include "cpu/draw.h"
#include "cpu/kernels.h"
#include "cpu/optim.h"
#include "cpu/reduce.h"
#include "tensor/device.h"

#define DEVICE_KERNELS(X)                                                                                              \
  X(softmax, (Tensor * t, int dim, bool logarithm, Tensor *out), (t, dim, logarithm, out), tensor_device(out))         \
  X(softmax_back, (Tensor * grad, Tensor * result, int dim, bool logarithm, Tensor *out),                              \
    (grad, result, dim, logarithm, out), tensor_device(out))                                                           \
  X(optim_step, (StepKind kind, const void *step, Tensor *const *t, int operands), (kind, step, t, operands),          \
    tensor_device(t[0]))                                                                                               \
  X(draw, (const Draw *draw, Generator *g, Tensor *to, const Tensor *order), (draw, g, to, order), tensor_device(to))  \
  X(draw_by, (DrawBy by, Generator * g, Tensor * numbers, Tensor * to), (by, g, numbers, to), tensor_device(to))       \
  X(reduce, (const Tensor *t, const bool *reduced, Reduction how, Tensor *out, Tensor *second),                        \
    (t, reduced, how, out, second), tensor_device(out))                                                                \
  X(extreme, (Tensor * t, int dim, bool least, Tensor *values, Tensor *index), (t, dim, least, values, index),         \
    tensor_device(index))                                                                                              \
  X(scan, (ScanKind kind, Tensor * t, Tensor * grad, int dim, Tensor *out), (kind, t, grad, dim, out),                 \
    tensor_device(out))                                                                                                \
  X(running_extreme, (Tensor * t, int dim, bool least, Tensor *values, Tensor *index), (t, dim, least, values, index), \
    tensor_device(index))

typedef struct DeviceKernels {
#define DEVICE_KERNEL_FIELD(name, parameters, arguments, device) bool(*name) parameters;
  DEVICE_KERNELS(DEVICE_KERNEL_FIELD)
#undef DEVICE_KERNEL_FIELD
} DeviceKernels;

#define DEVICE_KERNEL_ANY(name, parameters, arguments, device) bool any_##name parameters;
DEVICE_KERNELS(DEVICE_KERNEL_ANY)
#undef DEVICE_KERNEL_ANY
#endif
