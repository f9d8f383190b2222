/* Kernels that every device has, one row each: X(name, parameters, arguments, device of the call).
 *
 * any_<name> runs cpu_<name> on the host, elsewhere the function of the device's driver, which moontorch/cuda.so calls
 * cuda_<name>. What they do is said where cpu_<name> is declared. A row that a driver lacks does not link. A driver may
 * leave a case to the host by left_to_host(), before it has written anything; op_call then takes the way through it.
 * Operators whose kernels only call these say EVERYWHERE. */
#ifndef MT_DEVICE_KERNELS_H
#define MT_DEVICE_KERNELS_H
#include "cpu/create.h"
#include "cpu/embedding.h"
#include "cpu/index.h"
#include "cpu/kernels.h"
#include "cpu/reduce.h"
#include "tensor/device.h"

#define DEVICE_KERNELS(X)                                                                                              \
  X(softmax, (Tensor * t, int dim, bool logarithm, Tensor *out), (t, dim, logarithm, out), tensor_device(out))         \
  X(softmax_back, (Tensor * grad, Tensor * result, int dim, bool logarithm, Tensor *out),                              \
    (grad, result, dim, logarithm, out), tensor_device(out))                                                           \
  X(index_move, (const IndexMove *m), (m), m->device)                                                                  \
  X(check_positions, (const Tensor *index, int64_t size, bool negative, int dim), (index, size, negative, dim),        \
    tensor_device(index))                                                                                              \
  X(position, (OpCall * c), (c), c->device)                                                                            \
  X(count_true, (const Tensor *t, int64_t *count), (t, count), tensor_device(t))                                       \
  X(mask_position, (OpCall * c), (c), c->device)                                                                       \
  X(nonzero, (OpCall * c), (c), c->device)                                                                             \
  X(part, (OpCall * c), (c), c->device)                                                                                \
  X(part_put, (OpCall * c), (c), c->device)                                                                            \
  X(part_back, (OpCall * c), (c), c->device)                                                                           \
  X(flip, (OpCall * c), (c), c->device)                                                                                \
  X(clear_side, (Tensor * t, int64_t diagonal, bool lower), (t, diagonal, lower), tensor_device(t))                    \
  X(sort, (Tensor * t, int dim, bool descending, int64_t k, Tensor *values, Tensor *index),                            \
    (t, dim, descending, k, values, index), tensor_device(t))                                                          \
  X(pick, (Tensor * t, int dim, Pick which, int64_t k, Tensor *values, Tensor *index),                                 \
    (t, dim, which, k, values, index), tensor_device(t))                                                               \
  X(selecting_back, (Tensor * grad, int dim, Tensor *index, Tensor *out), (grad, dim, index, out), tensor_device(out)) \
  X(search, (Tensor * sorted, Tensor * values, Tensor * sorter, DType as, bool right, Tensor *out),                    \
    (sorted, values, sorter, as, right, out), tensor_device(out))                                                      \
  X(row_order, (Tensor * t, Tensor * index), (t, index), tensor_device(t))                                             \
  X(embedding, (Tensor * weight, Tensor * index, Tensor * out), (weight, index, out), tensor_device(out))              \
  X(embedding_share, (Tensor * index, int64_t rows, int64_t padding, bool by_count, Tensor *out),                      \
    (index, rows, padding, by_count, out), tensor_device(out))                                                         \
  X(embedding_renorm, (Tensor * weight, Tensor * index, double most, double p), (weight, index, most, p),              \
    tensor_device(weight))                                                                                             \
  X(bag_max, (Tensor * weight, Tensor * index, Tensor * bag, Tensor * out), (weight, index, bag, out),                 \
    tensor_device(out))                                                                                                \
  X(sequence, (const Sequence *s, Tensor *out), (s, out), tensor_device(out))                                          \
  X(triangle_indices, (const Triangle *t, Tensor *out), (t, out), tensor_device(out))                                  \
  X(frexp, (Tensor * t, Tensor * mantissa, Tensor * exponent), (t, mantissa, exponent), tensor_device(t))              \
  X(distances, (Tensor * x1, Tensor * x2, double p, Tensor *out), (x1, x2, p, out), tensor_device(out))

typedef struct DeviceKernels {
#define DEVICE_KERNEL_FIELD(name, parameters, arguments, device) bool(*name) parameters;
  DEVICE_KERNELS(DEVICE_KERNEL_FIELD)
#undef DEVICE_KERNEL_FIELD
} DeviceKernels;

#define DEVICE_KERNEL_ANY(name, parameters, arguments, device) bool any_##name parameters;
DEVICE_KERNELS(DEVICE_KERNEL_ANY)
#undef DEVICE_KERNEL_ANY
#endif
