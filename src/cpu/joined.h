/* Short rows joined into blocks, so that a kernel is called once for many of them. */
#ifndef MT_JOINED_H
#define MT_JOINED_H
#include "tensor/iter.h"

/* Runs row over everything, as iter_run does, but on packed operands only: an input that is not packed over a block of
 * rows (one that is broadcast) is laid out in a buffer first. size: bytes of an element of each operand. False, and nothing
 * is done, where that does not pay or operand 0, the only output, is not contiguous. */
bool joined_run(const Iter *it, IterRow row, const void *context, const int *size, int cost);
#endif
