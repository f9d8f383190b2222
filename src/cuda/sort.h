/* Sorting on a device: what sort.c asks of sort.cu. */
#ifndef MT_CUDA_SORT_H
#define MT_CUDA_SORT_H
#include "cuda/rows.h"

enum {
  SORT_SHORT = 2048, /* elements of a line that a block sorts in its own memory */
  SORT_FIRST = 1024, /* elements that are picked out of a line without sorting it */
  SORT_TILE = 4096,  /* elements that a block of the radix sort places */
  SORT_DIGITS = 256
};

/* n keys with their numbers, sorted by the low `bytes` bytes of the keys, equals in their order. Launching fills number[0]
 * with 0, 1, ...; the result is in key[result], number[result]. */
struct Tensor;
typedef struct PairSort {
  uint64_t *key[2];
  uint32_t *number[2], *count, *total;
  int64_t n, tiles;
  int bytes, result;
  struct Tensor *owned;
} PairSort;
bool pair_sort_open(PairSort *p, int index, int64_t n, int bytes); /* memory on that device */
void pair_sort_close(PairSort *p);
CUDA_API int cuda_launch_pair_sort(PairSort *p, void *stream);

/* Lines along `length` of a packed tensor outer x length x inner of a dtype. The first k of each in order go to values and
 * their positions from 1 to index, both outer x k x inner. NaN is greatest; equals keep their order. */
typedef struct SortRun {
  const void *x;
  void *values;
  int64_t *index;
  int64_t outer, length, inner, k;
  bool descending;
  /* of lines that are sorted by radix */
  void *key[2];
  uint32_t *number[2], *count, *total;
  int64_t tiles;
} SortRun;
CUDA_API int cuda_launch_sort_short(int dtype, const SortRun *run, void *stream); /* length up to SORT_SHORT */
CUDA_API int cuda_launch_sort_first(int dtype, const SortRun *run, void *stream); /* k up to SORT_FIRST */
CUDA_API int cuda_launch_sort_long(int dtype, SortRun *run, void *stream);
/* Bytes of a key in SortRun.key. */
static inline int sort_key_bytes(int element) { return element == 8 ? 8 : 4; }

/* One element of each sorted line: run->x and positions are what sorting gave (k = length), values and index the results. */
typedef struct PickRun {
  const void *sorted;
  const int64_t *positions;
  void *values;
  int64_t *index;
  int64_t outer, length, inner, k;
  int which; /* Pick of cpu/kernels.h */
} PickRun;
CUDA_API int cuda_launch_pick(int dtype, const PickRun *run, void *stream);
#endif
