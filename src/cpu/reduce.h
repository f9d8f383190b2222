/* Reductions: how a tensor is folded over some of its dims.
 *
 * Every input is folded as float, double or int64 (other dtypes are converted block by block) into accumulators of 64
 * bits: float sums run in float within a block of at most 64 terms a lane and in double across blocks, so that the error
 * does not grow with the size. Where a reduction is cut depends on shapes and strides alone, never on threads. */
#ifndef MT_REDUCE_H
#define MT_REDUCE_H
#include "cpu/isa.h"
#include "cpu/kinds.h"
#include "tensor/tensor.h"

typedef enum { LANE_F32, LANE_F64, LANE_I64, LANE_TYPES } LaneType;
/* What elements of dtype d are folded, sorted and cumulated as. */
static inline LaneType lane_type(DType d) { return d == MT_F64 ? LANE_F64 : dtype_is_float(d) ? LANE_F32 : LANE_I64; }
static inline DType lane_dtype(LaneType t) { return t == LANE_F32 ? MT_F32 : t == LANE_F64 ? MT_F64 : MT_I64; }

typedef union {
  double d;
  int64_t i;
} Acc;
enum {
  MOMENTS = 3,
  FOLD_TILE = 1024,
  FOLD_ROWS = 64
}; /* columns and rows that are folded without wider sums between */
static inline int fold_width(Fold f) { return f == FOLD_MOMENTS ? MOMENTS : 1; }

/* Folds rows of n packed elements, step elements apart, into n accumulators / n packed elements into one. */
typedef void (*FoldColumns)(Acc *acc, const void *x, int64_t step, int64_t rows, int64_t n, double p);
typedef void (*FoldRow)(Acc *acc, const void *x, int64_t n, double p);
/* Keeps in best[n] (of the lane type) and at[n] the largest (least) element seen and its row, which counts from first;
 * the first of equals and the first NaN win. */
typedef void (*BestColumns)(void *best, int64_t *at, const void *x, int64_t step, int64_t first, int64_t rows,
                            int64_t n);
BestColumns best_columns(bool least, LaneType t);
/* Place, from 0, of the first of n packed elements that is value, or a NaN when that is one; it is among them. */
typedef int64_t (*FindFirst)(const void *x, int64_t n, Acc value);
int64_t find_first(LaneType t, const void *x, int64_t n, Acc value);

typedef struct {
  FoldColumns columns[FOLDS][LANE_TYPES];
  FoldRow row[FOLDS][LANE_TYPES];
  BestColumns best[2][LANE_TYPES]; /* [least] */
  FindFirst find[LANE_TYPES];
  /* adds up to FOLD_ROWS rows of up to FOLD_TILE float32 to `sum`, as FOLD_SUM's columns do */
  void (*add_rows)(void *sum, const void *x, int64_t step, int64_t rows, int64_t n);
} ReduceTable;
VEC_TABLE(ReduceTable, reduce_table);         /* what a better set's lacks, the base one has */
FoldColumns fold_columns(Fold f, LaneType t); /* NULL: the fold exists for double only */

/* Accumulators before the first element; and joined with `rows` times n others. */
void fold_start(Fold f, LaneType t, Acc *acc, int64_t n);
void fold_merge(Fold f, LaneType t, Acc *acc, const Acc *with, int64_t rows, int64_t n);
/* n packed elements into one accumulator. */
void fold_row(Fold f, LaneType t, Acc *acc, const void *x, int64_t n, double p);

/* n short rows of `length` elements of `size` bytes, `step` bytes apart, become columns of rows of TURN_ROWS elements. */
enum { TURN_ROWS = 64 };
void turn_rows(void *turned, const char *x, int64_t step, int64_t n, int64_t length, int size);

typedef struct {
  Fold fold;
  Finish finish;
  double p; /* the power; for FOLD_MOMENTS the correction */
  DType as; /* elements are converted to it first: t's own dtype, float32, float64 or int64 */
} Reduction;

/* Folds t over the dims marked in reduced[] into out, whose elements lie in the order of the other dims. FOLD_MOMENTS
 * also writes the means into `second` unless it is NULL. False when memory runs out. */
bool cpu_reduce(const Tensor *t, const bool *reduced, Reduction how, Tensor *out, Tensor *second);

/* A contiguous tensor seen along one dim: outer x length x inner. */
typedef struct {
  int64_t outer, length, inner;
} Lines;
static inline Lines lines_of(const Tensor *t, int dim) {
  Lines l = {1, t->ndim > 0 ? t->shape[dim] : 1, 1};
  for (int d = 0; d < t->ndim; d++) {
    if (d < dim) l.outer *= t->shape[d];
    if (d > dim) l.inner *= t->shape[d];
  }
  return l;
}
/* t as contiguous elements of dtype d on the host: t itself (retained) or a copy; owned. */
Tensor *tensor_packed(Tensor *t, DType d);
#endif
