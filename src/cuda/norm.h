/* Normalisation on a device: what norm.c asks of norm.cu. The layout is that of cpu/norm.h. */
#ifndef MT_CUDA_NORM_H
#define MT_CUDA_NORM_H
#include "cuda/rows.h"

/* x, grad and out are packed, of a float dtype; weight, bias, mean and var of float32 (float64 for float64). Sums are of
 * grad and of grad xhat, in float64: [2][...]. */
typedef struct DeviceNorm {
  const void *x, *grad, *weight, *bias;
  void *out, *mean, *var;
  int64_t outer, groups, inner, channels, run;
  int64_t runs, length; /* runs of one channel in a row, and their elements */
  int64_t shares;       /* rows that columns are summed over are cut into so many */
  bool each;            /* weight runs along the row */
  bool raw;             /* means count as 0 */
  double eps, count;    /* count: elements of a group */
  double *sums;
  const double *group_sums; /* mean of grad weight and of grad weight xhat for each group; NULL: 0 */
} DeviceNorm;

/* mean, var and out of each group, where outer is 1. */
CUDA_API int cuda_launch_norm_rows(int dtype, const DeviceNorm *n, void *stream);
/* out, given mean and var. */
CUDA_API int cuda_launch_norm_apply(int dtype, const DeviceNorm *n, void *stream);
/* The input's gradient where outer is 1 and weight, which may be NULL, runs along the row. fixed: mean and var are. */
CUDA_API int cuda_launch_norm_back_rows(int dtype, const DeviceNorm *n, bool fixed, void *stream);
/* The input's gradient given group_sums. */
CUDA_API int cuda_launch_norm_back_apply(int dtype, const DeviceNorm *n, void *stream);
/* sums [2][outer][groups][runs] of each run. */
CUDA_API int cuda_launch_norm_runs(int dtype, const DeviceNorm *n, void *stream);
/* sums [2][shares][columns] of the columns of the matrix groups x inner, or outer x groups where inner is 1. */
CUDA_API int cuda_launch_norm_columns(int dtype, const DeviceNorm *n, void *stream);
/* to [2][groups], from sums [2][groups][runs]. */
CUDA_API int cuda_launch_norm_groups(int dtype, const DeviceNorm *n, double *to, void *stream);
#endif
