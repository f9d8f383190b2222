/* Distances between rows on a device: what distance.c asks of distance.cu. */
#ifndef MT_CUDA_DISTANCE_H
#define MT_CUDA_DISTANCE_H
#include "cuda/rows.h"

/* p-norms of differences of packed float or double rows of `length`: out (batch, rows, others). */
typedef struct DistanceRun {
  const void *a, *b;
  void *out;
  int64_t batch, rows, others, length;
  double p;
} DistanceRun;
CUDA_API int cuda_launch_distances(int dtype, const DistanceRun *run, void *stream);
#endif
