/* Losses: kernels over pairs of elements, and over rows of classes. */
#ifndef MT_LOSS_H
#define MT_LOSS_H
#include "cpu/isa.h"
#include "cpu/kinds.h"
#include "tensor/call.h"

/* n packed elements of each; w and positive may be NULL. Values go to out, or their sum is returned when out is NULL. */
typedef double (*PairFn)(const void *x, const void *t, const void *w, const void *positive, double a, void *out,
                         int64_t n);

typedef struct {
  PairFn pair[PAIRS][2];                           /* [is double] */
  int64_t (*outside[2])(const void *x, int64_t n); /* first element that is not within [0, 1]; n: none */
  double (*log_sum[2])(const void *x, int64_t n);  /* log of the sum of exponentials */
  void (*back[2])(const void *x, void *out, int64_t n, double log_sum, double scale); /* scale * exp(x - log_sum) */
} LossTable;
VEC_TABLE(LossTable, loss_table);

/* x and t are converted to compute (float32 or float64) and broadcast to `shape`; so are weight and positive, which may
 * be NULL. out holds one element, or all of them for LOSS_NONE. */
bool cpu_pair_loss(PairLoss kind, DType compute, int ndim, const int64_t *shape, Tensor *x, Tensor *t, Tensor *weight,
                   Tensor *positive, double a, LossReduction reduction, Tensor *out);

/* Labels against classes. Input (C), (N, C) or (N, C, d...), labels of its shape without C; weight has C elements. */
typedef struct ClassLoss {
  Tensor *input; /* NULL where only its shape is known */
  int ndim;
  const int64_t *shape;
  Tensor *target, *weight;
  int64_t ignore;
  LossReduction reduction;
  double smoothing; /* this part of each label's weight is spread over all classes */
} ClassLoss;

/* loss = -input[label] weight[label], or with log_sum (one float64 per label, written) cross-entropy of logits. */
bool cpu_class_loss(const ClassLoss *loss, Tensor *out, Tensor *log_sum);
/* Gradient of the cross-entropy: gy has one element or one per label. */
bool cpu_cross_entropy_back(const ClassLoss *loss, Tensor *gy, Tensor *log_sum, Tensor *out);
/* out, of input's shape: what each class's negative log-probability counts in the loss. */
bool cpu_class_weights(const ClassLoss *loss, Tensor *out);
#endif
