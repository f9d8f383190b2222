/* Searching sorted lines, ordering rows and counting on a device: what search.c asks of search.cu. */
#ifndef MT_CUDA_SEARCH_H
#define MT_CUDA_SEARCH_H
#include "cuda/fault.h"
#include "cuda/rows.h"

/* Where each of n packed values stands in a packed sorted line of `length`; one line for all, or one for every `width`
 * values. sorter (positions from 1, NULL: none) is the order of the lines. */
typedef struct SearchRun {
  const void *line, *value;
  const int64_t *sorter;
  void *out;
  int64_t n, length, width;
  bool many, narrow, right; /* narrow: int32 results */
  FaultPlace fault;
  int dim;
} SearchRun;
CUDA_API int cuda_launch_search(int dtype, const SearchRun *run, void *stream);

/* n packed rows of `width` elements: numbers from 0 in from[0] become those in lexicographic order, in from[*result], both of
 * n elements. */
CUDA_API int cuda_launch_row_order(int dtype, const void *x, int64_t n, int64_t width, int64_t *const *number,
                                   int *result, void *stream);
CUDA_API int cuda_launch_count_from_one(int64_t *to, const int64_t *from, int64_t n, void *stream);

/* Adds to count, of `size` numbers, how often each of 0 .. size - 1 is among n packed integers. */
CUDA_API int cuda_launch_counts(int dtype, const void *x, int64_t n, int64_t size, int64_t *count, void *stream);
#endif
