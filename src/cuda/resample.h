/* Resampling on a device: what resample.c asks of resample.cu. */
#ifndef MT_CUDA_RESAMPLE_H
#define MT_CUDA_RESAMPLE_H
#include "cpu/resample_taps.h"
#include "cuda/rows.h"

/* Packed tensors of a float dtype, seen as outer x length x inner along the dim; taps' arrays lie on the device. back: x is
 * a result's gradient, and out the input's. */
typedef struct ResampleRun {
  const void *x;
  void *out;
  int64_t outer, inner;
  bool back;
  Resample how;
  ResampleTaps taps;
} ResampleRun;
/* 0, a CUDA error, or -1 for other dtypes. */
CUDA_API int cuda_launch_resample(int dtype, const ResampleRun *run, void *stream);
#endif
