/* Rows of moves by position, for the iterator: ptr[0] op= ptr[1], and the position at ptr[2] moves one of both. */
#ifndef MT_INDEX_ROWS_H
#define MT_INDEX_ROWS_H
#include "base/dtype.h"
#include "cpu/position.h"
#include "tensor/iter.h"
#include <stdatomic.h>

typedef enum { READ, WRITE, SUM, PRODUCT, MAXIMUM, MINIMUM } MoveMode;

static inline int64_t row_number(int64_t at, int64_t size) { return at > 0 ? at - 1 : at + size; }

/* What a position means: elements of `dims` dims, the last one fastest. Positions were checked. */
typedef struct {
  bool wide, negative; /* int64 positions; some may be negative */
  int dims;
  int64_t size;
  int64_t shape[MT_MAX_DIMS], stride[MT_MAX_DIMS]; /* stride in bytes */
  Scalar alpha;                                    /* factor of what is added */
} Reach;

/* The row of a mode, whose context is a Reach; scaled: sums take alpha times what they add. */
IterRow move_row(MoveMode mode, DType d, bool scaled);

/* Reads one dim at positive int64 positions, packed beside packed elements: each block of positions is checked when it is
 * read, which spares a pass over memory. *bad is set when one is bad. */
typedef struct {
  int64_t size, step;
  atomic_bool *bad;
} Checked;
IterRow checked_row(DType d);
#endif
