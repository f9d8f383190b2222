/* Kernels of convolution for float64. */
#define REAL double
#define CONV_TABLE conv_f64
#include "cpu/vec/conv.c"
