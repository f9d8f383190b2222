/* Square systems on a device: what lu.c asks of lu.cu. */
#ifndef MT_CUDA_LU_H
#define MT_CUDA_LU_H
#include "cuda/rows.h"

enum { LU_INVERSE, LU_DET, LU_SLOGDET, LU_SOLVE };

/* `batch` packed matrices n x n, and for LU_SOLVE right-hand sides n x m (LU_INVERSE: m = n); float32 or float64. */
typedef struct LuRun {
  const void *a, *b;
  void *out, *second; /* second: LU_SLOGDET */
  int64_t n, m, batch;
  double least;      /* what stands for a pivot that is zero; 0: it stays */
  double *room;      /* n (n + m + 1) numbers for each block */
  int64_t blocks;    /* that run */
  int64_t *singular; /* NULL, or the least of (matrix (n + 1) + first zero pivot) goes here; not for the others */
} LuRun;
CUDA_API int cuda_launch_lu(int kind, int dtype, const LuRun *run, void *stream);
#endif
