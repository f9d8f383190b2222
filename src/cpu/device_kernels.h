/* Kernels that every device has, one row each: X(name, parameters, arguments, device of the call).
 *
 * any_<name> runs cpu_<name> on the host, elsewhere the function of the device's driver, which moontorch/cuda.so calls
 * cuda_<name>. What they do is said where cpu_<name> is declared. A row that a driver lacks does not link. A driver may
 * leave a case to the host by left_to_host(), before it has written anything; op_call then takes the way through it.
 * Operators whose kernels only call these say EVERYWHERE. */
#ifndef MT_DEVICE_KERNELS_H
#define MT_DEVICE_KERNELS_H
#include "cpu/attention.h"
#include "cpu/draw.h"
#include "cpu/create.h"
#include "cpu/embedding.h"
#include "cpu/index.h"
#include "cpu/kernels.h"
#include "cpu/optim.h"
#include "cpu/conv.h"
#include "cpu/gemm.h"
#include "cpu/kernels.h"
#include "cpu/pool.h"
#include "cpu/recurrent.h"
#include "cpu/ctc.h"
#include "cpu/kernels.h"
#include "cpu/loss.h"
#include "cpu/lu.h"
#include "cpu/norm.h"
#include "cpu/reduce.h"
#include "cpu/resample.h"
#include "tensor/device.h"

#define DEVICE_KERNELS(X)                                                                                              \
  X(softmax, (Tensor * t, int dim, bool logarithm, Tensor *out), (t, dim, logarithm, out), tensor_device(out))         \
  X(softmax_back, (Tensor * grad, Tensor * result, int dim, bool logarithm, Tensor *out),                              \
    (grad, result, dim, logarithm, out), tensor_device(out))                                                           \
  X(optim_step, (StepKind kind, const void *step, Tensor *const *t, int operands), (kind, step, t, operands),          \
    tensor_device(t[0]))                                                                                               \
  X(optim_gather, (bool begin, Device at), (begin, at), at)                                                            \
  X(draw, (const Draw *draw, Generator *g, Tensor *to, const Tensor *order), (draw, g, to, order), tensor_device(to))  \
  X(draw_by, (DrawBy by, Generator * g, Tensor * numbers, Tensor * to), (by, g, numbers, to), tensor_device(to))       \
  X(reduce, (const Tensor *t, const bool *reduced, Reduction how, Tensor *out, Tensor *second),                        \
    (t, reduced, how, out, second), tensor_device(out))                                                                \
  X(extreme, (Tensor * t, int dim, bool least, Tensor *values, Tensor *index), (t, dim, least, values, index),         \
    tensor_device(index))                                                                                              \
  X(scan, (ScanKind kind, Tensor * t, Tensor * grad, int dim, Tensor *out), (kind, t, grad, dim, out),                 \
    tensor_device(out))                                                                                                \
  X(running_extreme, (Tensor * t, int dim, bool least, Tensor *values, Tensor *index), (t, dim, least, values, index), \
    tensor_device(index))                                                                                              \
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
  X(products, (const Gemm *g, Device at), (g, at), at)                                                                 \
  X(im2col, (OpCall * c), (c), c->device)                                                                              \
  X(col2im, (OpCall * c), (c), c->device)                                                                              \
  X(counts, (OpCall * c), (c), c->device)                                                                              \
  X(systems, (const Systems *s), (s), tensor_device(s->a))                                                             \
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
    tensor_device(out))                                                                                                \
  X(norm,                                                                                                              \
    (const NormLayout *l, Tensor *x, Tensor *weight, Tensor *bias, double eps, bool fixed, Tensor *out, Tensor *mean,  \
     Tensor *var),                                                                                                     \
    (l, x, weight, bias, eps, fixed, out, mean, var), tensor_device(out))                                              \
  X(norm_back,                                                                                                         \
    (const NormLayout *l, Tensor *grad, Tensor *x, Tensor *weight, Tensor *mean, Tensor *var, double eps, bool fixed,  \
     bool weights, Tensor *gx, Tensor *gw, Tensor *gb),                                                                \
    (l, grad, x, weight, mean, var, eps, fixed, weights, gx, gw, gb), tensor_device(gx))                               \
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
    (c, grad, log_probs, zero_infinity, out), tensor_device(out))                                                      \
  X(attention, (const Attention *a, Tensor *out, Tensor *lse), (a, out, lse), tensor_device(lse))                      \
  X(attention_back,                                                                                                    \
    (const Attention *a, Tensor *out, Tensor *lse, Tensor *grad, Tensor *grad_lse, Tensor *gq, Tensor *gk,             \
     Tensor *gv),                                                                                                      \
    (a, out, lse, grad, grad_lse, gq, gk, gv), tensor_device(lse))                                                     \
  X(recurrent, (const Recurrent *r, Tensor *output, Tensor *h, Tensor *c, Tensor *reserve),                            \
    (r, output, h, c, reserve), tensor_device(output))                                                                 \
  X(recurrent_back, (const Recurrent *r, Tensor *const *gy, Tensor *reserve, Tensor *output, Tensor *const *grad),     \
    (r, gy, reserve, output, grad), tensor_device(r->t[AT_X]))                                                         \
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
