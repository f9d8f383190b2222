/* Matrix products of whole numbers: what products.c asks of integers.cu. */
#ifndef MT_CUDA_INTEGERS_H
#define MT_CUDA_INTEGERS_H
#include "cuda/rows.h"

/* C = alpha A B + beta C, or with a bias alpha A B + beta bias; as cpu/gemm.h has it, strides in elements. */
typedef struct IntegerProduct {
  const void *a, *b, *bias;
  void *c;
  int64_t m, n, k, batch;
  int64_t a_row, a_col, a_batch, b_row, b_col, b_batch, c_row, c_batch;
  uint64_t alpha, beta; /* in the lowest bits */
} IntegerProduct;
/* 0, a CUDA error, or -1 for other dtypes. */
CUDA_API int cuda_launch_integer_product(int dtype, const IntegerProduct *product, void *stream);
#endif
