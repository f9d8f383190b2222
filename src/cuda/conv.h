/* Our own convolution kernels: what conv.c asks of conv.cu. */
#ifndef MT_CUDA_CONV_H
#define MT_CUDA_CONV_H
#include "cuda/rows.h"

enum { CONV_OUTPUT, CONV_INPUT, CONV_WEIGHT };

/* Packed tensors of one float dtype, laid out as cpu/conv.h says; bias belongs to what is written and may be NULL. The
 * one of x, w and y that `which` names is written. */
typedef struct ConvRun {
  const void *x, *w, *y, *bias;
  void *out;
  int64_t batch, groups, in, outs; /* channels of one group */
  int xs[3], ys[3], ks[3], stride[3], pad[3], dilation[3];
} ConvRun;
/* 0, a CUDA error, or -1 for other dtypes. */
CUDA_API int cuda_launch_conv(int which, int dtype, const ConvRun *run, void *stream);
#endif
