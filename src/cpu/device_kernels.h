/* Kernels that every device has, one row each: X(name, parameters, arguments, device of the call).
 *
 * any_<name> runs cpu_<name> on the host, elsewhere the function of the device's driver, which moontorch/cuda.so calls
 * cuda_<name>. What they do is said where cpu_<name> is declared. A row that a driver lacks does not link. A driver may
 * leave a case to the host by left_to_host(), before it has written anything; op_call then takes the way through it.
 * Operators whose kernels only call these say EVERYWHERE. */
#ifndef MT_DEVICE_KERNELS_H
#define MT_DEVICE_KERNELS_H
#include "cpu/ctc.h"
#include "cpu/kernels.h"
#include "cpu/loss.h"
#include "cpu/norm.h"
#include "cpu/reduce.h"
#include "tensor/device.h"

#define DEVICE_KERNELS(X)                                                                                              \
  X(softmax, (Tensor * t, int dim, bool logarithm, Tensor *out), (t, dim, logarithm, out), tensor_device(out))         \
  X(softmax_back, (Tensor * grad, Tensor * result, int dim, bool logarithm, Tensor *out),                              \
    (grad, result, dim, logarithm, out), tensor_device(out))                                                           \
  X(reduce, (const Tensor *t, const bool *reduced, Reduction how, Tensor *out, Tensor *second),                        \
    (t, reduced, how, out, second), tensor_device(out))                                                                \
  X(extreme, (Tensor * t, int dim, bool least, Tensor *values, Tensor *index), (t, dim, least, values, index),         \
    tensor_device(index))                                                                                              \
  X(scan, (ScanKind kind, Tensor * t, Tensor * grad, int dim, Tensor *out), (kind, t, grad, dim, out),                 \
    tensor_device(out))                                                                                                \
  X(running_extreme, (Tensor * t, int dim, bool least, Tensor *values, Tensor *index), (t, dim, least, values, index), \
    tensor_device(index))                                                                                              \
  X(norm,                                                                                                              \
    (const NormLayout *l, Tensor *x, Tensor *weight, Tensor *bias, double eps, bool fixed, Tensor *out, Tensor *mean,  \
     Tensor *var),                                                                                                     \
    (l, x, weight, bias, eps, fixed, out, mean, var), tensor_device(out))                                              \
  X(norm_back,                                                                                                         \
    (const NormLayout *l, Tensor *grad, Tensor *x, Tensor *weight, Tensor *mean, Tensor *var, double eps, bool fixed,  \
     Tensor *gx, Tensor *gw, Tensor *gb),                                                                              \
    (l, grad, x, weight, mean, var, eps, fixed, gx, gw, gb), tensor_device(gx))                                        \
  X(pair_loss,                                                                                                         \
    (PairLoss kind, DType compute, int ndim, const int64_t *shape, Tensor *x, Tensor *t, Tensor *weight,               \
     Tensor *positive, double a, LossReduction reduction, Tensor *out),                                                \
    (kind, compute, ndim, shape, x, t, weight, positive, a, reduction, out), tensor_device(out))                       \
  X(class_loss, (const ClassLoss *loss, Tensor *out, Tensor *log_sum), (loss, out, log_sum), tensor_device(out))       \
  X(cross_entropy_back, (const ClassLoss *loss, Tensor *gy, Tensor *log_sum, Tensor *out), (loss, gy, log_sum, out),   \
    tensor_device(out))                                                                                                \
  X(class_weights, (const ClassLoss *loss, Tensor *out), (loss, out), tensor_device(out))                              \
  X(ctc, (const Ctc *c, Tensor *log_probs, Tensor *out), (c, log_probs, out), tensor_device(out))                      \
  X(ctc_back, (const Ctc *c, Tensor *grad, Tensor *log_probs, bool zero_infinity, Tensor *out),                        \
    (c, grad, log_probs, zero_infinity, out), tensor_device(out))

typedef struct DeviceKernels {
#define DEVICE_KERNEL_FIELD(name, parameters, arguments, device) bool(*name) parameters;
  DEVICE_KERNELS(DEVICE_KERNEL_FIELD)
#undef DEVICE_KERNEL_FIELD
} DeviceKernels;

#define DEVICE_KERNEL_ANY(name, parameters, arguments, device) bool any_##name parameters;
DEVICE_KERNELS(DEVICE_KERNEL_ANY)
#undef DEVICE_KERNEL_ANY
#endif
