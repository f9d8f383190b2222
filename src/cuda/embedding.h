/* Embedding tables on a device: what embedding.c asks of embedding.cu. */
#ifndef MT_CUDA_EMBEDDING_H
#define MT_CUDA_EMBEDDING_H
#include "cuda/fault.h"
#include "cuda/rows.h"

/* n packed positions into a table of `rows` rows. */
typedef struct TableRun {
  const int64_t *index;
  int64_t n, rows;
  FaultPlace fault;
  uint32_t *count; /* one for each row, or NULL */
} TableRun;
/* Adds how often each row is named to count. */
CUDA_API int cuda_launch_table_count(const TableRun *run, void *stream);
/* out: 0 for row `padding` and for what is no row, else 1, divided by the row's count if there is one. float or double. */
CUDA_API int cuda_launch_table_share(int dtype, const TableRun *run, int64_t padding, void *out, void *stream);
/* Rows that were counted are scaled to norm `most` where they are above it; strides in elements. */
typedef struct RenormRun {
  void *weight;
  int64_t rows, width, row_step, step;
  const uint32_t *count;
  double most, p;
} RenormRun;
CUDA_API int cuda_launch_renorm(int dtype, const RenormRun *run, void *stream);
/* Which row of each bag is the largest in each column: index sorted by bag with n numbers. */
typedef struct BagRun {
  TableRun table;
  const void *weight;
  int64_t width, row_step, step, bags;
  const uint64_t *bag;    /* sorted, from 0; outside of a bag: bags */
  const uint32_t *number; /* which index each belongs to */
  int64_t *out;           /* bags x width */
} BagRun;
CUDA_API int cuda_launch_bag_keys(const TableRun *bags, uint64_t *key, void *stream);
CUDA_API int cuda_launch_bag_max(int dtype, const BagRun *run, void *stream);
#endif
