/* Kernels of the matrix product for int64, computed unsigned: the bits of a wrapped result are the same. */
#define REAL uint64_t
#define WIDE uint64_t
#define REAL_BYTES 8
#define GEMM_INTEGER
#define GEMM_TABLE gemm_u64
#include "cpu/vec/gemm.c"
