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

struct Tensor;

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
  double lr, rho, eps, weight_decay;
  bool maximize;
} DeltaStep; /* Adadelta */

/* Adamax, NAdam and RAdam: the moments move by beta1 and beta2, then the parameter by rates that hold the corrections of
 * the step's number. */
typedef struct {
  double beta1, beta2, eps, weight_decay;
  double shrink;          /* decoupled: the parameter times this first; else 1 */
  double rate_grad, rate; /* of the gradient (NAdam) and of the first moment */
  double correction1,
      correction2; /* the moments are divided by the first; NAdam's second also, RAdam's root times it */
  double rectify;  /* RAdam; 0: without the second moment */
  bool maximize;
} MomentStep;

typedef struct {
  double eta, shrink, mu, weight_decay; /* mu 1: the average starts as the parameter */
  bool maximize;
} AverageStep; /* ASGD */

typedef struct {
  double down, up, least, most;
  bool maximize;
} SignStep; /* Rprop */

typedef struct {
  double factor;
  int *found;  /* becomes 1 where an element is not finite */
} UnscaleStep; /* torch.amp.GradScaler; operand 0 is a gradient */

/* What a step does to n elements of each operand: the parameter, the gradient, and
 *   SGD      momentum buffer or NULL                            Adam  moments, the largest second one so far or NULL
 *   RMS      mean of squares, momentum buffer or NULL, mean of the gradient or NULL
 *   DELTA    mean of squares, mean of squared moves             ADAMAX  first moment, largest gradient
 *   NADAM, RADAM  moments                                       AVERAGE  the average      SIGN  gradient before, step sizes */
typedef enum {
  STEP_SGD,
  STEP_ADAM,
  STEP_RMS,
  STEP_DELTA,
  STEP_ADAMAX,
  STEP_NADAM,
  STEP_RADAM,
  STEP_AVERAGE,
  STEP_SIGN,
  STEP_UNSCALE,
  STEPS
} StepKind;
/* One step on tensors of one shape and float dtype; `step` is the kind's struct above, t[k] its operand k or NULL. */
enum { STEP_OPERANDS = 5 };
bool cpu_optim_step(StepKind kind, const void *step, struct Tensor *const *t, int operands);

typedef void (*StepFn)(void *const *operand, int64_t n, const void *step);
typedef struct {
  StepFn fn[STEPS][2]; /* [is double] */
} OptimTable;
VEC_TABLE(OptimTable, optim_table);
#endif
