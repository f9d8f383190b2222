/* Square systems: P A = L U with partial pivoting and what follows from it, a block for each matrix, in double.
 *
 * Rows of L U and of the right-hand sides are shared among the block's warps, their columns among lanes. Each element sees
 * the same steps in the same order as on the host, but for the substitution from the end, which runs by columns. */
#include "cuda/group.cuh"
#include "cuda/lu.h"

enum { MANY_THREADS = 1024, SMALL = 64 }; /* of a block; a matrix for which THREADS do */

/* The row whose element of column k is largest, the first of equals; NaN in the first row wins, elsewhere it loses. The
 * first warp looks: a column is short, and the others wait once. */
static __device__ inline int64_t pivot_row(const double *lu, int64_t n, int64_t k) {
  __shared__ int64_t chosen;
  if (threadIdx.x < WARP) {
    double most = -2;
    int64_t row = n;
    for (int64_t i = k + threadIdx.x; i < n; i += WARP) {
      double size = fabs(lu[i * n + k]);
      if (size != size) size = i == k ? (double)INFINITY : -1.0;
      if (size > most) {
        most = size;
        row = i;
      }
    }
    double of_all = warp_all(most, [](double x, double y) { return x > y ? x : y; });
    row = warp_all(most == of_all ? row : n, [](int64_t x, int64_t y) { return x < y ? x : y; });
    if (threadIdx.x == 0) chosen = row;
  }
  __syncthreads();
  return chosen;
}

/* x[i] -= lu[i][k] x[k] for rows begin .. end - 1 of `cols` columns from `first` on; zeros are passed over, as on the host. */
static __device__ inline void eliminate(double *x, int64_t cols, int64_t first, const double *lu, int64_t n, int64_t k,
                                        int64_t begin, int64_t end) {
  int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP, warps = (int)blockDim.x / WARP;
  for (int64_t i = begin + warp; i < end; i += warps) {
    double f = lu[i * n + k];
    if (f == 0) continue;
    for (int64_t j = first + lane; j < cols; j += WARP) x[i * cols + j] -= f * x[k * cols + j];
  }
}

/* order[i]: the row of A that stands at place i. The sign of the permutation; *zero: the first pivot that is zero, from 1. */
static __device__ inline int factor(double *lu, double *order, int64_t n, double least, int64_t *zero) {
  int sign = 1;
  *zero = 0;
  for (int64_t k = 0; k < n; k++) {
    int64_t best = pivot_row(lu, n, k);
    if (best != k) {
      for (int64_t j = threadIdx.x; j < n; j += blockDim.x) {
        double v = lu[k * n + j];
        lu[k * n + j] = lu[best * n + j];
        lu[best * n + j] = v;
      }
      if (threadIdx.x == 0) {
        double row = order[k];
        order[k] = order[best];
        order[best] = row;
      }
      sign = -sign;
    }
    __syncthreads();
    double pivot = lu[k * n + k];
    __syncthreads(); /* all have seen it */
    if (pivot == 0) {
      if (*zero == 0) *zero = k + 1;
      if (least == 0) continue; /* the column below is zero too */
      pivot = least;
      if (threadIdx.x == 0) lu[k * n + k] = pivot;
    }
    for (int64_t i = k + 1 + threadIdx.x; i < n; i += blockDim.x) lu[i * n + k] /= pivot;
    __syncthreads();
    eliminate(lu, n, k + 1, lu, n, k, k + 1, n);
    __syncthreads();
  }
  return sign;
}

/* x: right-hand sides in the order of the rows; becomes the solution. */
static __device__ inline void solve(const double *lu, double *x, int64_t n, int64_t m) {
  for (int64_t k = 0; k < n; k++) {
    eliminate(x, m, 0, lu, n, k, k + 1, n);
    __syncthreads();
  }
  for (int64_t k = n - 1; k >= 0; k--) {
    for (int64_t j = threadIdx.x; j < m; j += blockDim.x) x[k * m + j] /= lu[k * n + k];
    __syncthreads();
    eliminate(x, m, 0, lu, n, k, 0, k);
    __syncthreads();
  }
}

template <class T>
static __device__ inline void finish_det(const LuRun &r, int64_t matrix, const double *lu, int sign) {
  typedef typename T::Memory M;
  double product = sign, signs = sign, sum = 0;
  for (int64_t i = 0; i < r.n; i++) {
    double pivot = lu[i * r.n + i];
    product *= pivot;
    signs *= pivot > 0 ? 1 : pivot < 0 ? -1 : pivot; /* 0 and NaN stay */
    sum += log(fabs(pivot));
  }
  ((M *)r.out)[matrix] = (M)(r.second ? signs : product);
  if (r.second) ((M *)r.second)[matrix] = (M)sum;
}

template <class T, int MOST> __global__ void __launch_bounds__(MOST) run_lu(int kind, LuRun r) {
  typedef typename T::Memory M;
  const int64_t n = r.n, m = r.m;
  double *lu = r.room + (int64_t)blockIdx.x * n * (n + m + 1), *x = lu + n * n, *order = x + n * m;
  for (int64_t matrix = blockIdx.x; matrix < r.batch; matrix += gridDim.x) {
    int64_t zero;
    __syncthreads(); /* the last matrix is done with the room */
    for (int64_t i = threadIdx.x; i < n * n; i += blockDim.x) lu[i] = (double)((const M *)r.a)[matrix * n * n + i];
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) order[i] = (double)i;
    __syncthreads();
    int sign = factor(lu, order, n, r.least, &zero);
    if (r.singular && zero > 0) {
      if (threadIdx.x == 0) atomicMin((long long *)r.singular, (long long)(matrix * (n + 1) + zero));
      continue;
    }
    __syncthreads();
    if (kind == LU_DET || kind == LU_SLOGDET) {
      if (threadIdx.x == 0) finish_det<T>(r, matrix, lu, sign);
      continue;
    }
    for (int64_t i = threadIdx.x; i < n * m; i += blockDim.x) {
      int64_t row = (int64_t)order[i / m], col = i % m;
      x[i] = kind == LU_INVERSE ? (double)(row == col) : (double)((const M *)r.b)[(matrix * n + row) * m + col];
    }
    __syncthreads();
    solve(lu, x, n, m);
    for (int64_t i = threadIdx.x; i < n * m; i += blockDim.x) ((M *)r.out)[matrix * n * m + i] = (M)x[i];
  }
}

template <class T> static int launch(int kind, const LuRun &r, void *stream) {
  if (r.n <= SMALL)
    CUDA_LAUNCH((run_lu<T, THREADS>), (unsigned)r.blocks, THREADS, 0, (cudaStream_t)stream, kind, r);
  else
    CUDA_LAUNCH((run_lu<T, MANY_THREADS>), (unsigned)r.blocks, MANY_THREADS, 0, (cudaStream_t)stream, kind, r);
  return launched();
}

CUDA_API int cuda_launch_lu(int kind, int dtype, const LuRun *run, void *stream) {
  if (dtype == MT_F32) return launch<F32>(kind, *run, stream);
  return dtype == MT_F64 ? launch<F64>(kind, *run, stream) : -1;
}
