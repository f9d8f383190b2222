/* Kernels of convolution for int64, computed unsigned: the bits of a wrapped result are the same. */
#define REAL uint64_t
#define CONV_INTEGER
#define CONV_TABLE conv_u64
#include "cpu/vec/conv.c"
