/* Pooling on a device: what pool.c asks of pool.cu. Each returns 0, a CUDA error, or -1 for dtypes that it has not. */
#ifndef MT_CUDA_POOL_H
#define MT_CUDA_POOL_H
#include "cpu/pool_span.h"
#include "cuda/fault.h"
#include "cuda/rows.h"

enum { POOL_MAX, POOL_MEAN, POOL_MEAN_BACK };

/* Packed planes of a float dtype; for the gradient x is the result's and out the input's. */
typedef struct PoolRun {
  const void *x;
  void *out;
  int64_t *index; /* POOL_MAX: positions from 1 */
  int64_t planes;
  PoolRule rule[3];
  double divisor; /* 0: what is counted */
} PoolRun;
CUDA_API int cuda_launch_pool(int which, int dtype, const PoolRun *run, void *stream);

/* n positions, from 1, in `planes` planes of `size` elements. Puts x there, adds it, or takes what is there. */
enum { PLANE_PUT, PLANE_ADD, PLANE_ADD_IN_ORDER, PLANE_TAKE };
typedef struct PlaneRun {
  const void *x;
  void *out;
  const int64_t *index;
  int64_t n, planes, size;
  FaultPlace place;
} PlaneRun;
CUDA_API int cuda_launch_plane(int which, int dtype, const PlaneRun *run, void *stream);
#endif
