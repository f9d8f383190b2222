/* Kernels of the matrix product for int32, computed unsigned: the bits of a wrapped result are the same. */
#define REAL uint32_t
#define WIDE uint64_t
#define REAL_BYTES 4
#define GEMM_INTEGER
#define GEMM_TABLE gemm_u32
#include "cpu/vec/gemm.c"
