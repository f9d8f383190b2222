/* Reductions on a device: what reduce.c asks of reduce.cu. */
#ifndef MT_CUDA_REDUCE_H
#define MT_CUDA_REDUCE_H
#include "cpu/kinds.h"
#include "cuda/rows.h"

/* Besides those of cpu/kinds.h: the first largest or least element and its place. */
enum { FOLD_FIRST_MAX = FOLDS, FOLD_FIRST_MIN };
enum { REDUCE_THREADS = 256 };

/* Dims walked together, the innermost first; strides in elements. */
typedef struct ReduceWalk {
  int n;
  int64_t shape[ROWS_DIMS], stride[ROWS_DIMS], out[ROWS_DIMS]; /* out: of the result, kept dims only */
} ReduceWalk;

/* results x length elements of x, each result's cut into `units` of `unit` elements. `group` threads share one; they lie
 * side by side in a warp or are a block, or, when `across`, stand below each other while neighbours have neighbouring
 * results. packed: the elements of a result follow each other and may be read 16 bytes at a time. */
typedef struct ReduceRun {
  const void *x;
  int64_t results, length;
  ReduceWalk kept, lines;
  bool across, packed;
  int group, fold, finish;
  double p;
  int64_t units, unit;
  void *partial; /* [unit][result], cuda_reduce_room bytes each; when there are several units */
  void *out, *second;
  int out_dtype, second_dtype; /* FOLD_FIRST: out may be NULL, second holds places from 1 */
} ReduceRun;

/* Whether the fold reads the dtype as it lies; else elements are converted to what cpu/reduce.h folds them as first. */
CUDA_API bool cuda_reduce_reads(int fold, int dtype);
CUDA_API int cuda_reduce_room(int fold);
CUDA_API int cuda_launch_reduce(int dtype, const ReduceRun *run, void *stream);
#endif
