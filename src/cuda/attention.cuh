/* What the kernels of attention share: where matrices lie, what a query sees of a key, exponentials. */
#ifndef MT_CUDA_ATTENTION_CUH
#define MT_CUDA_ATTENTION_CUH
#include "cuda/attention.h"
#include "cuda/kernel.cuh"

#if defined(__CUDACC__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL
#endif

static __device__ inline float exp_e(float x) { return expf(x); }
static __device__ inline double exp_e(double x) { return exp(x); }
static __device__ inline float log_e(float x) { return logf(x); }
static __device__ inline double log_e(double x) { return log(x); }

static __device__ inline int64_t least(int64_t x, int64_t y) { return x < y ? x : y; }
static __host__ __device__ inline int64_t blocks_of(int64_t n, int64_t each) { return (n + each - 1) / each; }

/* Where matrix number n of the batch begins, in elements. */
static __device__ inline int64_t matrix_at(const AttentionRun &r, const AttentionStack &s, int64_t n) {
  int64_t offset = 0;
  for (int d = r.dims - 1; d >= 0; d--) {
    offset += n % r.batch[d] / s.repeat[d] * s.stride[d];
    n /= r.batch[d];
  }
  return offset;
}
template <class M> static __device__ inline M *matrix(const AttentionRun &r, const AttentionStack &s, int64_t n) {
  return (M *)s.data + matrix_at(r, s, n);
}

/* The mask of one matrix. */
template <class V> struct Seen {
  const void *mask;
  int64_t row, col, length, source;
  bool causal, is_bool;
  V scale;
  __device__ inline Seen(const AttentionRun &r, int64_t n)
      : mask(NULL), row(r.mask.row), col(r.mask.col), length(r.length), source(r.source), causal(r.causal),
        is_bool(r.mask_is_bool), scale((V)r.scale) {
    if (r.mask.data) mask = r.mask.data + matrix_at(r, r.mask, n) * (is_bool ? 1 : (int64_t)sizeof(V));
  }
  /* Does every one of `rows` queries from i0 on see all of `columns` keys from j0 on? The same for all threads. */
  __device__ inline bool all(int64_t i0, int rows, int64_t j0, int columns) const {
    return !mask && i0 + rows <= length && j0 + columns <= source && (!causal || j0 + columns <= i0 + 1);
  }
  /* The score of query i and key j from their product; -inf where nothing is seen, and beyond both ends. */
  __device__ inline V score(int64_t i, int64_t j, V product, bool all) const {
    if (all) return product * scale;
    if (i >= length || j >= source || (causal && j > i)) return -(V)INFINITY;
    V s = product * scale;
    if (!mask) return s;
    int64_t at = i * row + j * col;
    if (is_bool) return ((const uint8_t *)mask)[at] ? s : -(V)INFINITY;
    return s + ((const V *)mask)[at];
  }
};

/* As many blocks as there are tasks, or so many that the device is full many times over. */
static inline unsigned blocks_for_tasks(int64_t tasks) { return (unsigned)(tasks < 1 << 20 ? tasks : 1 << 20); }
#endif
