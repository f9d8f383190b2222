/* Binary search in sorted lines, a thread for each value, and the order of rows by merging: in each pass every row finds its
 * place among the rows of the neighbouring run. Counts of few values are gathered by each block first. */
#include "cuda/search.h"
#include "cuda/fault.cuh"

template <class T> __global__ void __launch_bounds__(THREADS) search(SearchRun r) {
  typedef typename T::Memory M;
  typedef typename T::Value V;
  EACH_ELEMENT(i, r.n) {
    int64_t first = r.many ? i / r.width * r.length : 0, from = 0, to = r.length;
    V v = T::load(((const M *)r.value)[i]);
    while (from < to) {
      int64_t middle = from + (to - from) / 2, at = middle;
      if (r.sorter) at = position_at(r.fault, r.sorter[first + middle], r.length, false, r.dim);
      V m = T::load(((const M *)r.line)[first + (at < 0 ? 0 : at)]);
      if (r.right ? !(m > v) : !(m >= v)) /* comparisons with NaN are false, as in PyTorch */
        from = middle + 1;
      else
        to = middle;
    }
    if (r.narrow)
      ((int32_t *)r.out)[i] = (int32_t)from + 1;
    else
      ((int64_t *)r.out)[i] = from + 1;
  }
}

CUDA_API int cuda_launch_search(int dtype, const SearchRun *run, void *stream) {
  int error = -1;
  with_type(dtype, [&](auto tag) {
    typedef decltype(tag) T;
    CUDA_LAUNCH(search<T>, blocks_for(run->n, 1), THREADS, 0, (cudaStream_t)stream, *run);
    error = launched();
  });
  return error;
}

/* -1, 0 or 1; NaN is after every number and like itself. */
template <class T>
static __device__ inline int row_compare(const typename T::Memory *a, const typename T::Memory *b, int64_t width) {
  for (int64_t k = 0; k < width; k++) {
    typename T::Value x = T::load(a[k]), y = T::load(b[k]);
    if (x == y || (x != x && y != y)) continue;
    return x > y || x != x ? 1 : -1;
  }
  return 0;
}

template <class T>
__global__ void __launch_bounds__(THREADS)
    merge_rows(const typename T::Memory *x, int64_t n, int64_t width, int64_t run, const int64_t *from, int64_t *to) {
  EACH_ELEMENT(i, n) {
    int64_t own = i / run * run, other = own / run % 2 ? own - run : own + run, begin = other;
    int64_t end = other + run < n ? other + run : n;
    bool is_left = other > own; /* equals of the left run come first */
    if (begin > n) begin = n;
    int64_t low = begin, high = end > begin ? end : begin, mine = from[i];
    while (low < high) {
      int64_t middle = low + (high - low) / 2;
      int order = row_compare<T>(x + from[middle] * width, x + mine * width, width);
      if (order < 0 || (order == 0 && !is_left))
        low = middle + 1;
      else
        high = middle;
    }
    to[(is_left ? own : other) + (i - own) + (low - begin)] = mine;
  }
}

__global__ void __launch_bounds__(THREADS) count_rows(int64_t *to, const int64_t *from, int64_t n) {
  EACH_ELEMENT(i, n) to[i] = from ? from[i] + 1 : i;
}
CUDA_API int cuda_launch_count_from_one(int64_t *to, const int64_t *from, int64_t n, void *stream) {
  CUDA_LAUNCH(count_rows, blocks_for(n, 1), THREADS, 0, (cudaStream_t)stream, to, from, n);
  return launched();
}

CUDA_API int cuda_launch_row_order(int dtype, const void *x, int64_t n, int64_t width, int64_t *const *number,
                                   int *result, void *stream) {
  int error = -1, from = 0;
  cuda_launch_count_from_one(number[0], NULL, n, stream);
  with_type(dtype, [&](auto tag) {
    typedef decltype(tag) T;
    typedef typename T::Memory M;
    for (int64_t run = 1; run < n; run *= 2, from = 1 - from)
      CUDA_LAUNCH(merge_rows<T>, blocks_for(n, 1), THREADS, 0, (cudaStream_t)stream, (const M *)x, n, width, run,
                  (const int64_t *)number[from], number[1 - from]);
    error = launched();
  });
  *result = from;
  return error;
}

enum { FEW_COUNTS = 2048, COUNTING_BLOCKS = 512 };
static __device__ inline void count_one(int64_t *count, int64_t by) {
  atomicAdd((unsigned long long *)count, (unsigned long long)by);
}

template <class M, bool FEW>
__global__ void __launch_bounds__(THREADS) counts(const M *x, int64_t n, int64_t size, int64_t *count) {
  if constexpr (FEW) {
    __shared__ uint32_t own[FEW_COUNTS];
    for (int64_t b = threadIdx.x; b < size; b += blockDim.x) own[b] = 0;
    __syncthreads();
    EACH_ELEMENT(i, n) {
      int64_t v = (int64_t)x[i];
      if (v >= 0 && v < size) atomicAdd(&own[v], 1u);
    }
    __syncthreads();
    for (int64_t b = threadIdx.x; b < size; b += blockDim.x)
      if (own[b] > 0) count_one(&count[b], own[b]);
  } else {
    EACH_ELEMENT(i, n) {
      int64_t v = (int64_t)x[i];
      if (v >= 0 && v < size) count_one(&count[v], 1);
    }
  }
}

template <class M> static int launch_counts(const void *x, int64_t n, int64_t size, int64_t *count, void *stream) {
  unsigned blocks = blocks_for(n, 4);
  if (size <= FEW_COUNTS && n >> 32 == 0)
    CUDA_LAUNCH((counts<M, true>), blocks < COUNTING_BLOCKS ? blocks : (unsigned)COUNTING_BLOCKS, THREADS, 0,
                (cudaStream_t)stream, (const M *)x, n, size, count);
  else
    CUDA_LAUNCH((counts<M, false>), blocks, THREADS, 0, (cudaStream_t)stream, (const M *)x, n, size, count);
  return launched();
}

CUDA_API int cuda_launch_counts(int dtype, const void *x, int64_t n, int64_t size, int64_t *count, void *stream) {
  switch (dtype) {
  case MT_U8: return launch_counts<uint8_t>(x, n, size, count, stream);
  case MT_I8: return launch_counts<int8_t>(x, n, size, count, stream);
  case MT_I16: return launch_counts<int16_t>(x, n, size, count, stream);
  case MT_I32: return launch_counts<int32_t>(x, n, size, count, stream);
  case MT_I64: return launch_counts<int64_t>(x, n, size, count, stream);
  default: return -1;
  }
}
