/* Pooling: the largest or the mean of windows over the last one to three dims of a tensor.
 *
 * Windows are boxes, so those of a dim are given by themselves: where each begins and ends, clipped to the input. */
#ifndef MT_POOL_KERNELS_H
#define MT_POOL_KERNELS_H
#include "cpu/isa.h"
#include "cpu/pool_span.h"
#include "tensor/tensor.h"

typedef struct Pooling {
  int64_t planes;        /* a plane is the box of the last dims */
  int64_t in[3], out[3]; /* dims that a problem lacks stand in front, with size 1 */
  int64_t step[3];       /* from element to element of a window */
  const Span *span[3];   /* out[d] of each */
  PoolRule rule[3];      /* by which they were made */
  double divisor;        /* of the mean, 0: the product of `counted` */
} Pooling;

/* Results are contiguous, inputs have any strides. Positions count from 1 within a plane; NaN is the largest, of equals the
 * first counts. False when memory runs out. */
bool cpu_pool_max(const Pooling *p, Tensor *x, Tensor *values, Tensor *index);
bool cpu_pool_mean(const Pooling *p, Tensor *x, Tensor *out);
bool cpu_pool_mean_back(const Pooling *p, Tensor *grad, Tensor *out);
/* Between a tensor and planes of `to` elements, by positions in them: out[index] = x, or += x; and out = x[index]. False for
 * a position that is none. */
bool cpu_plane_put(Tensor *x, Tensor *index, int64_t planes, bool add, Tensor *out);
bool cpu_plane_take(Tensor *x, Tensor *index, int64_t planes, Tensor *out);

/* One element of each of n windows that lie `stride` apart, float and double: joins x[i * stride], whose place is
 * place + i * stride, into the best so far; or adds it. */
enum { POOL_PAIRS = 8 }; /* windows that `pairs` takes at least */
typedef struct PoolTable {
  void (*max[2])(const void *x, int64_t stride, int64_t n, void *best, int32_t *at, int32_t place);
  void (*add[2])(const void *x, int64_t stride, int64_t n, void *sum);
  /* n windows of two by two, side by side, from the lines `top` and `bottom`; the first begins at place `place` (from 0), and
   * the lines lie `line` places apart. Writes the largest of each and its position, from 1. */
  void (*pairs[2])(const void *top, const void *bottom, int64_t n, int64_t place, int64_t line, void *best,
                   int64_t *index);
} PoolTable;
VEC_TABLE(PoolTable, pool_table);
#endif
