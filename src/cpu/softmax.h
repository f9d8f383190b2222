/* Softmax of lines of n elements that lie `step` apart: `width` columns side by side, or with step 1 so many packed lines
 * one after another. */
#ifndef MT_SOFTMAX_H
#define MT_SOFTMAX_H
#include "cpu/isa.h"
#include <stdbool.h>
#include <stdint.h>

enum { SOFTMAX_TILE = 128 }; /* most columns of a call */
typedef void (*SoftmaxFn)(const void *x, void *out, int64_t n, int64_t step, int64_t width, bool logarithm);
typedef void (*SoftmaxBackFn)(const void *grad, const void *result, void *out, int64_t n, int64_t step, int64_t width,
                              bool logarithm);

typedef struct {
  SoftmaxFn run[2]; /* [is double] */
  SoftmaxBackFn back[2];
} SoftmaxTable;
VEC_TABLE(SoftmaxTable, softmax_table);
#endif
