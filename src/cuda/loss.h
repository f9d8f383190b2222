/* Losses on a device: what loss.c asks of loss.cu. */
#ifndef MT_CUDA_LOSS_H
#define MT_CUDA_LOSS_H
#include "cpu/kinds.h"
#include "cuda/fault.h"
#include "cuda/rows.h"

enum { LOSS_BLOCKS = 512 };

/* Packed operands of float32 or float64; w and positive may be NULL. Values go to out, or sums times `scale` to partial,
 * one for each of LOSS_BLOCKS blocks at most. fault: of PAIR_BCE. */
typedef struct PairRun {
  const void *x, *t, *w, *positive;
  void *out;
  double *partial;
  int64_t n;
  double a, scale;
  int kind, blocks;
  FaultPlace fault;
} PairRun;
CUDA_API int cuda_launch_pair_loss(int dtype, const PairRun *run, void *stream);

/* x: packed, of a float dtype, outer x classes x inner; a label for each outer and inner, from 1. weight is of float32
 * (float64 beside float64) or NULL. */
typedef struct LabelRun {
  const void *x, *weight, *gy;
  const int64_t *label;
  void *out;
  double *log_sum;      /* of each label; NULL: x holds log-probabilities */
  double *value;        /* [2][labels]: each one's loss, and its class's weight */
  const double *total;  /* sums of these two; the second is what a mean divides by */
  const double *spread; /* the sum of all classes' weights; NULL: their number */
  int64_t outer, classes, inner, ignore;
  double smoothing;
  int reduction;
  bool wide; /* gy is float64 beside another dtype */
  FaultPlace fault;
} LabelRun;
/* value, log_sum unless it is NULL, and with LOSS_NONE out. */
CUDA_API int cuda_launch_label_values(int dtype, const LabelRun *run, void *stream);
/* out, one element, from total. */
CUDA_API int cuda_launch_label_finish(int dtype, const LabelRun *run, void *stream);
/* The second half of value. */
CUDA_API int cuda_launch_label_weights(int dtype, const LabelRun *run, void *stream);
/* out of x's shape: the gradient of x, or what each class counts. */
CUDA_API int cuda_launch_label_back(int dtype, const LabelRun *run, void *stream);
CUDA_API int cuda_launch_class_weights(int dtype, const LabelRun *run, void *stream);
#endif
