/* Connectionist temporal classification (Graves et al. 2006): the sum over all alignments of labels with time steps. */
#ifndef MT_CTC_KERNELS_H
#define MT_CTC_KERNELS_H
#include "tensor/tensor.h"

/* log_probs (T, N, C) of float32 or float64. Labels of sample n, positions from 1: lengths[n] of them from first[n] on,
 * `step` apart. blank counts from 0. All have been checked. */
typedef struct {
  int64_t steps, batch, classes, blank, step;
  const int64_t *label, *first, *input_length, *target_length;
} Ctc;

/* out: the negative logarithm of each sample's probability. */
bool cpu_ctc(const Ctc *c, Tensor *log_probs, Tensor *out);
/* The gradient of log_softmax's input, from that of each sample's loss; what the loss did not reach is 0, and so are
 * samples of infinite loss with zero_infinity. */
bool cpu_ctc_back(const Ctc *c, Tensor *grad, Tensor *log_probs, bool zero_infinity, Tensor *out);
#endif
