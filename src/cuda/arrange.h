/* Tensors that are made or cleared on a device: what arrange.c asks of arrange.cu. */
#ifndef MT_CUDA_ARRANGE_H
#define MT_CUDA_ARRANGE_H
#include "cuda/rows.h"

/* n packed elements of a dtype; kinds as in cpu/create.h. */
typedef struct SequenceRun {
  void *out;
  int64_t n, first, by;
  double from, to, step, base;
  int kind;
  bool narrow;
} SequenceRun;
CUDA_API int cuda_launch_sequence(int dtype, const SequenceRun *run, void *stream);

/* Rows and columns of n places in a triangle; offset lies in -rows .. cols. */
typedef struct TriangleRun {
  void *out;
  int64_t n, rows, cols, offset;
  bool upper, wide;
} TriangleRun;
CUDA_API int cuda_launch_triangle(const TriangleRun *run, void *stream);

/* Elements of `size` bytes of batch x rows x cols, whose batch has dims of any strides (bytes), become 0 on one side. */
typedef struct ClearRun {
  Rows batch;
  int64_t rows, cols, row_step, col_step, diagonal;
  bool lower;
} ClearRun;
CUDA_API int cuda_launch_clear(int size, const ClearRun *run, void *stream);

/* n packed floats. */
CUDA_API int cuda_launch_frexp(int dtype, const void *x, void *mantissa, int32_t *exponent, int64_t n, void *stream);
#endif
