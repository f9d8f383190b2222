/* Kernels of convolution for int32, computed unsigned: the bits of a wrapped result are the same. */
#define REAL uint32_t
#define WIDE uint64_t
#define CONV_INTEGER
#define CONV_TABLE conv_u32
#include "cpu/vec/conv.c"
