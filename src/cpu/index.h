/* Indexing by tensors: geometry and values that infer functions and kernels both need. */
#ifndef MT_CPU_INDEX_H
#define MT_CPU_INDEX_H
#include "cpu/position.h"
#include "tensor/call.h"

/* Result of indexing dims of a tensor by one index tensor of linear positions: the dims vanish, the index's axes stand
 * where the first of them was when they are neighbours in order, else in front. A 0-dim tensor counts as [1]. */
typedef struct IndexLayout {
  int ndim;
  int64_t shape[MT_MAX_DIMS]; /* of the result */
  int from[MT_MAX_DIMS];      /* result dim d: dim from[d] of the tensor, or index axis -1 - from[d] */
  int dims;
  int dim[MT_MAX_DIMS]; /* the indexed dims, wrapped */
  int64_t size;         /* product of their sizes */
} IndexLayout;
bool index_layout(IndexLayout *l, const Tensor *t, int axes, const int64_t *shape, int dims, const int64_t *dim);

int64_t cpu_count_nonzero(const Tensor *t);
/* Copies n rows of so many bytes, those whose positions (from 1, negative ones from the end of `size`) are in `at`:
 * from rows `step` apart to rows to_step apart. The positions were checked. */
void cpu_take_rows(char *to, int64_t to_step, const char *from, int64_t step, int64_t size, const int64_t *at,
                   int64_t n, int64_t bytes);
#endif
