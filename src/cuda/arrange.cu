/* Sequences, triangles and their positions, frexp: a thread for each element. */
#include "cuda/arrange.h"
#include "cuda/kernel.cuh"

/* A number into an element, as the host stores it: integers wrap, halves are rounded from float. */
template <class T> static __device__ inline typename T::Memory stored(double v) {
  if constexpr ((typename T::Value)0.5 != 0)
    return T::store((typename T::Value)v);
  else
    return (typename T::Memory)(int64_t)v;
}

template <class T> __global__ void __launch_bounds__(THREADS) sequence(SequenceRun r) {
  typedef typename T::Memory M;
  EACH_ELEMENT(i, r.n) {
    M *to = (M *)r.out + i;
    if (r.kind == 0) {
      uint64_t v = (uint64_t)r.first + (uint64_t)i * (uint64_t)r.by;
      if constexpr ((typename T::Value)0.5 == 0) *to = (M)v;
      continue;
    }
    double v = r.from + (double)i * r.step;
    if (r.kind != 1) {
      bool low = i < r.n / 2 || r.n == 1;
      int64_t steps = low ? i : r.n - 1 - i;
      if (r.narrow) {
        float by = (float)r.step * (float)steps;
        v = low ? (float)r.from + by : (float)r.to - by;
      } else {
        v = low ? r.from + r.step * (double)steps : r.to - r.step * (double)steps;
      }
    }
    *to = stored<T>(r.kind == 3 ? pow(r.base, v) : v);
  }
}

CUDA_API int cuda_launch_sequence(int dtype, const SequenceRun *run, void *stream) {
  int error = -1;
  with_type(dtype, [&](auto tag) {
    typedef decltype(tag) T;
    CUDA_LAUNCH(sequence<T>, blocks_for(run->n, 1), THREADS, 0, (cudaStream_t)stream, *run);
    error = launched();
  });
  return error;
}

/* How many elements of the first `rows` rows lie on or below diagonal number `offset`. */
static __device__ inline int64_t count_lower(int64_t rows, int64_t cols, int64_t offset) {
  int64_t from = offset < 0 ? -offset : 0, full = cols - 1 - offset;
  if (full < 0) full = 0;
  if (full > rows) full = rows;
  if (from > full) from = full;
  return (full - from) * (from + full - 1) / 2 + (full - from) * (offset + 1) + (rows - full) * cols;
}
static __device__ inline int64_t count_before(const TriangleRun &r, int64_t row) {
  return r.upper ? row * r.cols - count_lower(row, r.cols, r.offset - 1) : count_lower(row, r.cols, r.offset);
}

__global__ void __launch_bounds__(THREADS) triangle(TriangleRun r) {
  EACH_ELEMENT(i, r.n) {
    int64_t from = 0, to = r.rows - 1; /* the last row that begins at or before i */
    while (from < to) {
      int64_t middle = from + (to - from + 1) / 2;
      if (count_before(r, middle) <= i)
        from = middle;
      else
        to = middle - 1;
    }
    int64_t first = r.upper && from + r.offset > 0 ? from + r.offset : 0, column = first + i - count_before(r, from);
    if (r.wide) {
      ((int64_t *)r.out)[i] = from + 1;
      ((int64_t *)r.out)[r.n + i] = column + 1;
    } else {
      ((int32_t *)r.out)[i] = (int32_t)(from + 1);
      ((int32_t *)r.out)[r.n + i] = (int32_t)(column + 1);
    }
  }
}

CUDA_API int cuda_launch_triangle(const TriangleRun *run, void *stream) {
  CUDA_LAUNCH(triangle, blocks_for(run->n, 1), THREADS, 0, (cudaStream_t)stream, *run);
  return launched();
}

template <class E> __global__ void __launch_bounds__(THREADS) clear(ClearRun r) {
  const int64_t matrix = r.rows * r.cols;
  EACH_ELEMENT(i, r.batch.numel * matrix) {
    int64_t which = i / matrix, rest = i - which * matrix, row = rest / r.cols, col = rest - row * r.cols;
    int64_t right = col - row; /* of the main diagonal */
    if (r.lower ? right <= r.diagonal : right >= r.diagonal) continue;
    int64_t at[ROWS_OPERANDS];
    rows_at<uint64_t>(r.batch, which, at);
    *(E *)(r.batch.ptr[0] + at[0] + row * r.row_step + col * r.col_step) = 0;
  }
}

template <class E> static int launch_clear(const ClearRun &r, void *stream) {
  CUDA_LAUNCH(clear<E>, blocks_for(r.batch.numel * r.rows * r.cols, 1), THREADS, 0, (cudaStream_t)stream, r);
  return launched();
}
CUDA_API int cuda_launch_clear(int size, const ClearRun *run, void *stream) {
  switch (size) {
  case 1: return launch_clear<uint8_t>(*run, stream);
  case 2: return launch_clear<uint16_t>(*run, stream);
  case 4: return launch_clear<uint32_t>(*run, stream);
  default: return launch_clear<uint64_t>(*run, stream);
  }
}

/* Every float dtype is exact in double. */
template <class T>
__global__ void __launch_bounds__(THREADS)
    split(const typename T::Memory *x, typename T::Memory *mantissa, int32_t *exponent, int64_t n) {
  EACH_ELEMENT(i, n) {
    double v = (double)T::load(x[i]), part = v;
    int e = 0;
    if (v - v == 0) part = frexp(v, &e);
    mantissa[i] = T::store((typename T::Value)part);
    exponent[i] = e;
  }
}

CUDA_API int cuda_launch_frexp(int dtype, const void *x, void *mantissa, int32_t *exponent, int64_t n, void *stream) {
  int error = -1;
  with_float(dtype, [&](auto tag) {
    typedef decltype(tag) T;
    typedef typename T::Memory M;
    CUDA_LAUNCH(split<T>, blocks_for(n, 1), THREADS, 0, (cudaStream_t)stream, (const M *)x, (M *)mantissa, exponent, n);
    error = launched();
  });
  return error;
}
