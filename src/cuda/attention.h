/* Attention on a device: what attention.c asks of the kernels, attention.cu for any float and any sizes,
 * attention_mma.cu for 16-bit floats on tensor cores. */
#ifndef MT_CUDA_ATTENTION_H
#define MT_CUDA_ATTENTION_H
#include "cuda/rows.h"

enum { ATTENTION_DIMS = ROWS_DIMS - 2, ATTENTION_WIDTH = 256, ATTENTION_WIDTH_BACK = 128 };

/* A stack of matrices: strides in elements; along dim d of the batch, `repeat` matrices of the result read the same
 * one. */
typedef struct AttentionStack {
  char *data; /* NULL: there is none */
  int64_t row, col;
  int64_t stride[ATTENTION_DIMS], repeat[ATTENTION_DIMS];
  bool wide; /* every row begins at a multiple of 16 bytes, and is as many bytes long */
} AttentionStack;

/* query (length, width), key (source, width), value (source, value_width), mask (length, source) and so on for each
 * matrix of the batch; col is 1 but for mask. lse, delta and grad_lse: packed (matrices, length), delta = the sum of
 * grad times out over a row, less grad_lse. They, and a mask of numbers, are float for 16-bit floats. */
typedef struct AttentionRun {
  AttentionStack query, key, value, mask, out, grad, gq, gk, gv;
  void *lse, *delta;
  const void *grad_lse;
  int dims;
  int64_t batch[ATTENTION_DIMS], matrices, length, source, width, value_width;
  double scale;
  bool causal, mask_is_bool;
} AttentionRun;

/* Each: a CUDA error, or -1 for dtypes that are not floats. */
CUDA_API int cuda_launch_attention(int dtype, const AttentionRun *run, void *stream);
CUDA_API int cuda_launch_attention_delta(int dtype, const AttentionRun *run, void *stream);
CUDA_API int cuda_launch_attention_back(int dtype, const AttentionRun *run, void *stream);
/* For float16 and bfloat16, width at most ATTENTION_WIDTH; back: both widths at most ATTENTION_WIDTH_BACK. */
CUDA_API int cuda_launch_attention_mma(int dtype, const AttentionRun *run, void *stream);
CUDA_API int cuda_launch_attention_back_mma(int dtype, const AttentionRun *run, void *stream);
#endif
