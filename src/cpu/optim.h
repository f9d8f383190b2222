/* Optimiser steps: one pass over a parameter, its gradient and its state.
 *
 * A row function gets n elements of each operand, packed: the parameter, then what the names below say. Arithmetic is
 * float for float32 and the 16-bit floats, else double, with the roundings of PyTorch's separate operators; the caller
 * gathers strided operands. */
#ifndef MT_OPTIM_H
#define MT_OPTIM_H
#include "cpu/isa.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct {
  double lr, momentum, dampening, weight_decay;
  bool nesterov, maximize, first; /* first: the momentum buffer starts as the gradient */
} SgdStep;

typedef struct {
  double lr, beta1, beta2, eps, weight_decay;
  bool decoupled, maximize; /* decoupled: AdamW */
  double step_size, root2;  /* lr / (1 - beta1^step); sqrt(1 - beta2^step) */
} AdamStep;

/* keep and fresh weigh the old mean of squares and the new square: RMSprop's alpha and 1 - alpha; both 1 in Adagrad */
typedef struct {
  double rate, keep, fresh, eps, weight_decay, momentum;
  bool maximize;
} RmsStep;

typedef struct {
  /* param, grad, momentum buffer or NULL */
  void (*sgd[2])(void *param, const void *grad, void *buffer, int64_t n, const SgdStep *step);
  /* most: the largest second moment so far (amsgrad), or NULL */
  void (*adam[2])(void *param, const void *grad, void *moment1, void *moment2, void *most, int64_t n,
                  const AdamStep *step);
  /* buffer: momentum's, or NULL; mean: that of the gradient (centered), or NULL */
  void (*rms[2])(void *param, const void *grad, void *squares, void *buffer, void *mean, int64_t n,
                 const RmsStep *step);
} OptimTable; /* [is double] */
VEC_TABLE(OptimTable, optim_table);
#endif
