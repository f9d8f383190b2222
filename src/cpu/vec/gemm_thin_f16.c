/* Kernels of thin products with a B of float16. */
#define THIN_F16
#define THIN_TABLE gemm_thin_f16
#define TO_FLOAT half_to_float
#include "cpu/vec/gemm_thin.c"
