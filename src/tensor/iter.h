/* Iterator: one loop over several tensors of one broadcast shape, handed out as rows.
 *
 * Operands are given with outputs first. Size-1 dims vanish, adjacent dims that lie evenly in every operand merge, dims
 * are ordered by the first operand's strides, and big loops split among threads. Invariant: the rows cover each index
 * exactly once, and the split depends on the shape alone. */
#ifndef MT_ITER_H
#define MT_ITER_H
#include "tensor/tensor.h"

typedef void (*IterRow)(char **ptr, const int64_t *stride, int64_t n, const void *context);

enum { ITER_OPERANDS = 6 };

typedef struct Iter {
  int operands, ndim; /* dims left after merging; dim 0 is the innermost */
  int64_t numel;
  char *ptr[ITER_OPERANDS];
  int64_t shape[MT_MAX_DIMS];
  int64_t stride[ITER_OPERANDS][MT_MAX_DIMS]; /* bytes */
} Iter;

/* Operands broadcast to `shape`, which they are known to expand to (a Tensor of fewer dims is lined up at the end). */
void iter_init(Iter *it, int ndim, const int64_t *shape, int operands, Tensor *const *operand);
/* Operand strides given by hand (elements, one per dim of shape), for loops over reduced or permuted dims. */
void iter_begin(Iter *it, int ndim, const int64_t *shape);
void iter_add(Iter *it, char *ptr, const int64_t *stride, int elem_size);
void iter_finish(Iter *it); /* after the last iter_add: merges and orders dims */
/* Runs row over everything. cost: rough nanoseconds x 100 an element (100 = 1 ns); decides about threads. */
void iter_run(const Iter *it, IterRow row, const void *context, int cost);
/* The same on the caller's thread, in index order of the merged dims. */
void iter_run_serial(const Iter *it, IterRow row, const void *context);
#endif
