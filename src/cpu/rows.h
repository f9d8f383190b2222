/* Rows: the unit of work that the iterator hands to a CPU kernel.
 *
 * A row is n elements of each operand: ptr[0] is the output (ptr[0..k-1] for k outputs), the inputs follow. stride[i]
 * is in bytes, 0 for a broadcast input; an output may be the very same memory as an input (in place), never partly
 * overlapping. context carries what the formula needs besides. A kernel itself tests for the packed case (stride[i] is
 * the element size) and has one loop for it that the compiler vectorises. */
#ifndef MT_ROWS_H
#define MT_ROWS_H
#include <stdint.h>
typedef void (*RowFn)(char **ptr, const int64_t *stride, int64_t n, const void *context);
#endif
