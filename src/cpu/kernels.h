/* The CPU's kernels, as operators name them. Each reads a checked call and fills its results; false only for what cannot be
 * known before (values out of range, memory), and then result 0 of a modifying kernel is unchanged. */
#ifndef MT_KERNELS_H
#define MT_KERNELS_H
#include "cpu/kinds.h"
#include "cpu/pointwise.h"
#include "tensor/call.h"

/* Any pointwise formula: tensors are the first arguments, a Scalar (EXTRA_SCALAR, EXPONENT) or two (LIMITS) follow them;
 * for EXTRA_FACTORS the operator fills the context. Inputs of another dtype than call->compute are converted. */
bool any_pointwise(OpCall *call);
bool any_pointwise_with(OpCall *call, Formula formula, const PointwiseContext *context);

/* Parts of a base, see part.c. */
bool cpu_part(OpCall *call);
bool cpu_part_back(OpCall *call);
bool cpu_part_put(OpCall *call);

/* Indexing by tensors, see index.c and mask.c; arguments as in the schemas of ops/index.c and ops/index_more.c. */
bool any_gather(OpCall *call);
bool any_scatter(OpCall *call);
bool any_scatter_value(OpCall *call);
bool any_scatter_add(OpCall *call);
bool any_scatter_reduce(OpCall *call);
bool any_index_select(OpCall *call);
bool any_index_add(OpCall *call);
bool any_index_copy(OpCall *call);
bool any_index_fill(OpCall *call);
bool any_index_at(OpCall *call);
bool any_index_put_at(OpCall *call);
bool cpu_position(OpCall *call);
bool cpu_mask_position(OpCall *call);
bool cpu_nonzero(OpCall *call);
bool any_masked_fill(OpCall *call);
/* How often each of 0 .. argument 1 - 1 is in argument 0, see search.c. */
bool cpu_counts(OpCall *call);

/* out[i] = start + step (i - origin) for n elements from `first` on, computed as int64, float64 or float32; see ramp.c. */
typedef struct {
  Scalar start, step;
  int64_t first, origin;
} Ramp;
void cpu_ramp(Tensor *out, Ramp ramp, int64_t n, DType as);

/* Joining and rearranging, see join.c. */
bool any_cat(OpCall *call);
bool cpu_flip(OpCall *call);
/* Sliding blocks, see slide.c: (N, C, H, W) to columns and back. */
bool cpu_im2col(OpCall *call);
bool cpu_col2im(OpCall *call);
/* Matrix products on every device, see matmul.c: input x other of any ranks; beta input + alpha mat1 mat2 (arguments 3 and 4); input
 * weight^T + bias. */
bool any_matmul(OpCall *call);
bool any_addmm(OpCall *call);
bool any_linear(OpCall *call);
/* Reductions, see reduce.h and scan.c. Extremes along dim, of all elements when dim < 0: values may be NULL, index gets
 * positions from 1. */
bool cpu_extreme(Tensor *t, int dim, bool least, Tensor *values, Tensor *index);
/* Running sums and products along dim. grad: SCAN_PRODUCT_BACK only. */
bool cpu_scan(ScanKind kind, Tensor *t, Tensor *grad, int dim, Tensor *out);
/* Running extremes along dim, the last of equals, and their positions from 1. */
bool cpu_running_extreme(Tensor *t, int dim, bool least, Tensor *values, Tensor *index);
/* softmax or its logarithm of argument 0 along dim; and the gradient, from the result's gradient and the result. */
bool cpu_softmax(Tensor *t, int dim, bool logarithm, Tensor *out);
bool cpu_softmax_back(Tensor *grad, Tensor *result, int dim, bool logarithm, Tensor *out);
/* Sorting along dim, NaN greatest, equal elements in their order. The first k of the sorted elements go to values and
 * their positions from 1 to index. */
bool cpu_sort(Tensor *t, int dim, bool descending, int64_t k, Tensor *values, Tensor *index);
/* One element of each sorted line: number k from 1; the lower median, where NaN wins or is passed over;
 * the most frequent. */
typedef enum { PICK_KTH, PICK_MEDIAN, PICK_NANMEDIAN, PICK_MODE } Pick;
bool cpu_pick(Tensor *t, int dim, Pick which, int64_t k, Tensor *values, Tensor *index);
/* Where each of values would stand in the last dim of sorted (of the same leading sizes, or a vector): positions from 1, as
 * int64 or int32, before equal elements or, with right, behind them. sorter (int64, checked) is the order of sorted or
 * NULL. Both are compared as elements of dtype `as`. */
bool cpu_search(Tensor *sorted, Tensor *values, Tensor *sorter, DType as, bool right, Tensor *out);
/* Positions from 1 that put the rows of a matrix in lexicographic order; NaN is the greatest, equals keep their order. */
bool cpu_row_order(Tensor *t, Tensor *index);
/* p-norms of differences: out[b, i, j] between rows i of x1[b] and j of x2[b], float32 or float64. */
bool cpu_distances(Tensor *x1, Tensor *x2, double p, Tensor *out);
/* Zeros with grad's elements added at index (positions from 1) along dim. */
bool cpu_selecting_back(Tensor *grad, int dim, Tensor *index, Tensor *out);
/* Square systems on every device: see lu.c. */
bool any_inverse(OpCall *call);
bool any_inverse_near(OpCall *call);
bool any_det(OpCall *call);
bool any_slogdet(OpCall *call);
bool any_solve(OpCall *call);
/* U, S, V^T of each matrix, see svd.c. */
bool cpu_svd(OpCall *call);
bool cpu_unscale(OpCall *call); /* of GradScaler, see ops/scaler.c */
/* From true to false a device may keep this thread's optimiser steps back, to launch those that are alike at once; nothing
 * else that the thread does comes before them. The second call fails when they could not be launched; gathering has ended
 * then too. */
bool cpu_optim_gather(bool begin, Device at);
#endif
