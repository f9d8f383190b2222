/* Blocks: how a kernel written for packed operands serves rows of any stride.
 *
 * A Loop computes n elements that lie one after another. run_rows calls it directly when every operand is packed; else
 * it walks the row by blocks, gathers strided operands into buffers on the stack (a broadcast one once), runs the loop
 * there and scatters the result. So each formula needs one loop per type, and gives the same bits at any stride. */
#ifndef MT_BLOCKS_H
#define MT_BLOCKS_H
#include "cpu/rows.h"
#include <stdbool.h>
#include <stddef.h>

typedef void (*Loop)(char **ptr, int64_t n, const void *context);

/* The loop computes in float32 what lies in memory as 16-bit floats: widen reads an input, narrow writes the output,
 * both of packed elements; NULL where that side is as the loop wants it. Operands of 2 bytes are the ones converted. */
typedef struct {
  void (*widen)(const uint16_t *from, float *to, int64_t n);
  void (*narrow)(const float *from, uint16_t *to, int64_t n);
} Halves;

/* Element sizes in bytes, a byte each, the output's lowest; 0 ends the list. */
#define LAYOUT(out, a, b, c) ((uint32_t)(out) | (uint32_t)(a) << 8 | (uint32_t)(b) << 16 | (uint32_t)(c) << 24)
#define LAYOUT_MAX 4

void run_rows(char **ptr, const int64_t *stride, int64_t n, const void *context, Loop loop, uint32_t layout);
void run_half_rows(char **ptr, const int64_t *stride, int64_t n, const void *context, Loop loop, uint32_t layout,
                   const Halves *halves);
/* n elements of size bytes (1, 2, 4 or 8), between any two strides; the two may be the very same memory. */
void copy_strided(void *to, int64_t to_stride, const void *from, int64_t from_stride, int64_t n, int size);
#endif
