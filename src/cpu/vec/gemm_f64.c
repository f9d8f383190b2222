/* Kernels of the matrix product for float64. */
#define REAL double
#define REAL_BYTES 8
#define GEMM_TABLE gemm_f64
#include "cpu/vec/gemm.c"
