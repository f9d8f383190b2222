/* CTC on a device: what ctc.c asks of ctc.cu. */
#ifndef MT_CUDA_CTC_H
#define MT_CUDA_CTC_H
#include "cuda/rows.h"

/* x: packed log-probabilities (steps, batch, classes) of float32 or float64. number: where each sample's labels begin
 * among all, its time steps, its labels, `batch` of each, then the labels, from 1. work: `room` numbers a sample, for
 * steps x states of alpha and, with grad, two rows of beta. */
typedef struct CtcRun {
  const void *x, *grad;
  void *out;
  const int64_t *number;
  double *work;
  int64_t steps, batch, classes, blank, room;
  bool zero_infinity;
} CtcRun;
/* out: a loss for each sample, or with grad the gradient of log_softmax's input. */
CUDA_API int cuda_launch_ctc(int dtype, const CtcRun *run, void *stream);
#endif
