/* Softmax on a device: what softmax.c asks of softmax.cu. */
#ifndef MT_CUDA_SOFTMAX_H
#define MT_CUDA_SOFTMAX_H
#include "cuda/rows.h"

/* Packed tensors of a float dtype, seen as outer x length x inner; lines run along length. With `grad` the gradient from
 * the result's gradient and the result x, else the result of x. A CUDA error, or -1 for other dtypes. */
typedef struct SoftmaxRun {
  const void *x, *grad;
  void *out;
  int64_t outer, length, inner;
  bool logarithm;
} SoftmaxRun;
CUDA_API int cuda_launch_softmax(int dtype, const SoftmaxRun *run, void *stream);
#endif
