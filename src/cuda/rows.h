/* What host code in C says to kernels in CUDA: plain structs, which both compilers read. */
#ifndef MT_CUDA_ROWS_H
#define MT_CUDA_ROWS_H
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
#define CUDA_API extern "C"
#else
#define CUDA_API extern
#endif

enum { ROWS_DIMS = 16, ROWS_OPERANDS = 4 };

/* Operands of one broadcast shape, the output first; dims innermost first, merged where they lie evenly. Strides count
 * bytes. An operand on the host is given by value: its pointer is NULL. */
typedef struct Rows {
  int operands, ndim;
  int64_t numel;
  char *ptr[ROWS_OPERANDS];
  int64_t shape[ROWS_DIMS];
  int64_t stride[ROWS_OPERANDS][ROWS_DIMS];
  uint64_t value[ROWS_OPERANDS]; /* one element, in the type that the kernel computes with */
} Rows;

/* Factors, limits or an exponent of a formula, in the type that the kernel computes with: float, double or int64. */
typedef union FormulaNumber {
  float f;
  double d;
  int64_t i;
} FormulaNumber;
typedef struct FormulaNumbers {
  FormulaNumber s, t, u;
} FormulaNumbers;

/* Runs a formula (cpu/formula_ids.h) for inputs of a dtype. 0, a CUDA error, or -1 when the formula does not exist for
 * the dtype. The stream is a cudaStream_t. */
CUDA_API int cuda_launch_pointwise(int formula, int dtype, const Rows *rows, const FormulaNumbers *numbers,
                                   void *stream);
/* Converts every element, between any two dtypes; rows has two operands. */
CUDA_API int cuda_launch_cast(int to, int from, const Rows *rows, void *stream);
/* Writes `element`, the bits of one element of `size` bytes, everywhere; rows has one operand. */
CUDA_API int cuda_launch_fill(int size, uint64_t element, const Rows *rows, void *stream);
#endif
