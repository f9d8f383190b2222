/* Elements that are not zero, on a device: what mask.c asks of mask.cu. */
#ifndef MT_CUDA_MASK_H
#define MT_CUDA_MASK_H
#include "cuda/rows.h"

enum { MASK_TILE = 2048 }; /* elements that a block goes through */

/* n packed elements of `size` bytes. tile gets how many of each tile are not zero, then how many there are before it;
 * *total how many there are. */
typedef struct MaskRun {
  const void *x;
  int64_t n, tiles;
  bool is_float; /* minus zero is zero */
  uint32_t *tile;
  int64_t *total;
  /* of cuda_launch_mask_places: for each a row of `ndim` positions from 1, row-major over shape; ndim 0: the linear one */
  int64_t *out;
  int ndim;
  int64_t shape[ROWS_DIMS];
} MaskRun;
CUDA_API int cuda_launch_mask_count(int size, const MaskRun *run, void *stream);
CUDA_API int cuda_launch_mask_places(int size, const MaskRun *run, void *stream);
#endif
