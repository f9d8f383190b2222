/* Normalisation: (x - mean) / sqrt(var + eps), scaled and shifted, where groups of elements share mean and variance.
 *
 * Input seen flat as (outer, groups, inner): a group is everything that agrees in the middle index. Weight and bias are
 * indexed by (flat position / run) % channels. Batch norm has outer = N and a group a channel; layer, group and instance
 * norm have outer = 1, a group being a row of `inner` elements. */
#ifndef MT_NORM_KERNELS_H
#define MT_NORM_KERNELS_H
#include "cpu/isa.h"
#include "tensor/tensor.h"

typedef struct {
  int64_t outer, groups, inner, channels, run;
  bool raw; /* means count as 0 (RMS norm): var is the mean square; outer is 1 */
} NormLayout;

/* One run of n packed elements. each: weight and bias (NULL: 1 and 0) have an element for every one of x, else one that
 * all share. */
typedef struct {
  const void *x, *grad, *weight, *bias;
  void *out;
  int64_t n;
  bool each;
  double mean, rstd;
} NormRun;

/* Rows of n <= NORM_SHORT_ROW packed elements, one after another, each with a mean and a biased variance of the element's
 * type. weight and bias run along the row, or are NULL. fixed: mean and var do not depend on x. */
typedef struct {
  const void *x, *grad, *weight, *bias;
  void *out, *mean, *var;
  int64_t n;
  double eps;
  bool fixed;
} NormShort;

enum { NORM_SHORT_ROW = 24 };
typedef struct {
  /* of n packed elements, at least one; var is the biased one */
  void (*moments[2])(const void *x, int64_t n, double *mean, double *var); /* [is double] */
  void (*apply[2])(const NormRun *r);
  /* a row of elements that each have a mean, scale and shift of their own */
  void (*columns[2])(const void *x, const void *mean, const void *scale, const void *shift, void *out, int64_t n);
  /* sum[0] += grad w, sum[1] += grad w (x - mean) rstd; w is 1 without a weight */
  void (*sums[2])(const NormRun *r, double *sum);
  /* out = rstd (grad w - a - (x - mean) rstd b) */
  void (*back[2])(const NormRun *r, double a, double b);
  /* the same, where weight and bias run along the row, and what the row adds to their gradients, which are of the element's
   * type: weight[i] += grad (x - mean) rstd, bias[i] += grad */
  void (*back_gather[2])(const NormRun *r, double a, double b, void *weight, void *bias);
  /* to[i] += from[i], of the element's type, which becomes 0 */
  void (*settle[2])(void *from, double *to, int64_t n);
  /* rows begin .. end - 1: means, variances and results; gradients, those of weight and bias added
   * unless weight is NULL */
  void (*short_rows[2])(const NormShort *s, int64_t begin, int64_t end);
  void (*short_back[2])(const NormShort *s, int64_t begin, int64_t end, double *weight, double *bias);
} NormTable;
VEC_TABLE(NormTable, norm_table);

/* mean and var (biased), one for each group in float32 (float64 for float64 input), are written, or read when `fixed`.
 * weight and bias may be NULL. */
bool cpu_norm(const NormLayout *l, Tensor *x, Tensor *weight, Tensor *bias, double eps, bool fixed, Tensor *out,
              Tensor *mean, Tensor *var);
/* Gradients of input, weight and bias; with `fixed` mean and var do not depend on x. Without `weights` those of weight and
 * bias are not asked for, and may be anything. */
bool cpu_norm_back(const NormLayout *l, Tensor *grad, Tensor *x, Tensor *weight, Tensor *mean, Tensor *var, double eps,
                   bool fixed, bool weights, Tensor *gx, Tensor *gw, Tensor *gb);
#endif
