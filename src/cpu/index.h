/* Indexing by tensors: geometry and values that infer functions and kernels both need. */
#ifndef MT_CPU_INDEX_H
#define MT_CPU_INDEX_H
#include "cpu/index_rows.h"
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

/* One move over `shape`: `moved` is the tensor that positions reach into, `other` lies beside the index. Each comes
 * with its strides over shape; moved's is 0 along the index. */
typedef struct IndexMove {
  MoveMode mode;
  int ndim;
  const int64_t *shape;
  DType dtype;
  Device device, beside; /* of moved and the index; of other, which may be one element of the host beside a device */
  char *moved, *other;
  const int64_t *moved_stride, *other_stride;
  const Tensor *index;
  const int64_t *index_stride;
  Reach reach;
  int dim;    /* that positions are of, for messages; -1: of the flattened tensor */
  bool plain; /* no element of moved has two places */
  bool table; /* a device says of a bad position that it is none of a table's rows; index is packed */
} IndexMove;
/* Positions are checked before anything is written; on a device, elements with bad ones are left out. */
bool cpu_index_move(const IndexMove *m);
/* position_check, on a device a fault. */
bool cpu_check_positions(const Tensor *index, int64_t size, bool negative, int dim);

/* How many elements are not zero. */
bool cpu_count_true(const Tensor *t, int64_t *count);
/* Copies n rows of so many bytes, those whose positions (from 1, negative ones from the end of `size`) are in `at`:
 * from rows `step` apart to rows to_step apart. The positions were checked. */
void cpu_take_rows(char *to, int64_t to_step, const char *from, int64_t step, int64_t size, const int64_t *at,
                   int64_t n, int64_t bytes);
#endif
