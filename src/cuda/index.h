/* Moves of elements by position on a device: what index.c asks of index.cu. */
#ifndef MT_CUDA_INDEX_H
#define MT_CUDA_INDEX_H
#include "cuda/fault.h"
#include "cuda/rows.h"

enum { MOVE_READ, MOVE_WRITE, MOVE_SUM, MOVE_PRODUCT, MOVE_MAXIMUM, MOVE_MINIMUM }; /* MoveMode of cpu/index_rows.h */
enum { MOVED, BESIDE, INDEX };                                                      /* operands */

/* rows: the tensor that positions reach into, what lies beside the index (by value: one element for all), the index, whose
 * pointer is NULL where elements go where the strides say. A position means `dims` dims, the last one fastest. */
typedef struct MoveRun {
  Rows rows;
  FaultPlace fault;
  int mode, dims, dim;         /* dim: for the fault */
  bool wide, negative, scaled; /* int64 positions; some may be negative; sums take alpha times what they add */
  int64_t size;
  int64_t shape[ROWS_DIMS], stride[ROWS_DIMS]; /* stride in bytes */
  double alpha;
  int64_t alpha_integer;
} MoveRun;

/* Elements of `bytes` bytes, 1 to 16: reads and writes. */
CUDA_API int cuda_launch_move(int bytes, const MoveRun *run, void *stream);
/* The other modes, element by element in whatever order. */
CUDA_API int cuda_launch_combine(int dtype, const MoveRun *run, void *stream);
/* The order that repeated positions keep: rows has the dims along which places differ by position, row-major; key gets each
 * one's place in bytes, `outside` where a position is bad. */
CUDA_API int cuda_launch_places(const MoveRun *run, uint64_t outside, uint64_t *key, void *stream);
/* Any writing mode, in order: n sorted keys with their numbers in run->rows, and the dims that positions do not touch. */
typedef struct OrderedMove {
  MoveRun run;
  Rows rest;
  const uint64_t *key;
  const uint32_t *number;
  uint64_t outside;
} OrderedMove;
CUDA_API int cuda_launch_ordered(int dtype, const OrderedMove *move, void *stream);
/* Notes a fault for each bad position; rows has the index alone. */
CUDA_API int cuda_launch_check(const MoveRun *run, void *stream);
/* Adds factor (position - 1) to each out, which starts at 1 for the first index: rows has out (int64) and the index. Where
 * a position is bad out is one too. */
CUDA_API int cuda_launch_linear(const MoveRun *run, int64_t factor, bool first, void *stream);
#endif
