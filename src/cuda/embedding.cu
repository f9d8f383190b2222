/* Embedding tables: how often rows are named, norms of rows, and the largest row of each bag. */
#include "cuda/embedding.h"
#include "cuda/fault.cuh"
#include "cuda/group.cuh"

static __device__ inline int64_t row_of(const TableRun &r, int64_t i) {
  return position_at(r.fault, r.index[i], r.rows, false, 0, i + 1);
}

__global__ void __launch_bounds__(THREADS) table_count(TableRun r) {
  EACH_ELEMENT(i, r.n) {
    int64_t row = row_of(r, i);
    if (row >= 0) atomicAdd(&r.count[row], 1u);
  }
}
CUDA_API int cuda_launch_table_count(const TableRun *run, void *stream) {
  CUDA_LAUNCH(table_count, blocks_for(run->n, 1), THREADS, 0, (cudaStream_t)stream, *run);
  return launched();
}

template <class V> __global__ void __launch_bounds__(THREADS) table_share(TableRun r, int64_t padding, V *out) {
  EACH_ELEMENT(i, r.n) {
    int64_t row = row_of(r, i);
    out[i] = row < 0 || row == padding ? (V)0 : r.count ? (V)(1 / (double)r.count[row]) : (V)1;
  }
}
CUDA_API int cuda_launch_table_share(int dtype, const TableRun *run, int64_t padding, void *out, void *stream) {
  if (dtype == 8)
    CUDA_LAUNCH(table_share<float>, blocks_for(run->n, 1), THREADS, 0, (cudaStream_t)stream, *run, padding,
                (float *)out);
  else
    CUDA_LAUNCH(table_share<double>, blocks_for(run->n, 1), THREADS, 0, (cudaStream_t)stream, *run, padding,
                (double *)out);
  return launched();
}

/* A warp for each row; norms are summed in double. */
template <class T> __global__ void __launch_bounds__(THREADS) renorm(RenormRun r) {
  typedef typename T::Memory M;
  typedef typename T::Value V;
  int lane = (int)threadIdx.x % WARP;
  bool greatest = r.p - r.p != 0; /* infinity */
  for (int64_t row = ((int64_t)blockIdx.x * THREADS + threadIdx.x) / WARP; row < r.rows;
       row += (int64_t)gridDim.x * THREADS / WARP) {
    if (r.count[row] == 0) continue;
    M *x = (M *)r.weight + row * r.row_step;
    double sum = 0;
    for (int64_t k = lane; k < r.width; k += WARP) {
      double v = fabs((double)T::load(x[k * r.step]));
      if (greatest)
        sum = v > sum || v != v ? v : sum;
      else
        sum += r.p == 2 ? v * v : r.p == 1 ? v : r.p == 0 ? (double)(v != 0) : pow(v, r.p);
    }
    sum = greatest ? warp_all(sum, [](double a, double b) { return a > b || a != a ? a : b; })
                   : warp_all(sum, [](double a, double b) { return a + b; });
    double norm = greatest || r.p == 1 || r.p == 0 ? sum : r.p == 2 ? sqrt(sum) : pow(sum, 1 / r.p);
    if (!(norm > r.most)) continue;
    double factor = r.most / (norm + 1e-7);
    for (int64_t k = lane; k < r.width; k += WARP)
      x[k * r.step] = T::store((V)((double)T::load(x[k * r.step]) * factor));
  }
}
CUDA_API int cuda_launch_renorm(int dtype, const RenormRun *run, void *stream) {
  int error = -1;
  with_float(dtype, [&](auto tag) {
    typedef decltype(tag) T;
    CUDA_LAUNCH(renorm<T>, blocks_for(run->rows * WARP, 1), THREADS, 0, (cudaStream_t)stream, *run);
    error = launched();
  });
  return error;
}

__global__ void __launch_bounds__(THREADS) bag_keys(TableRun r, uint64_t *key) {
  EACH_ELEMENT(i, r.n) {
    int64_t bag = row_of(r, i);
    key[i] = (uint64_t)(bag < 0 ? r.rows : bag);
  }
}
CUDA_API int cuda_launch_bag_keys(const TableRun *bags, uint64_t *key, void *stream) {
  CUDA_LAUNCH(bag_keys, blocks_for(bags->n, 1), THREADS, 0, (cudaStream_t)stream, *bags, key);
  return launched();
}

template <class T> __global__ void __launch_bounds__(THREADS) bag_max(BagRun r) {
  typedef typename T::Memory M;
  EACH_ELEMENT(i, r.bags * r.width) {
    int64_t bag = i / r.width, column = i - bag * r.width, from = 0, to = r.table.n;
    while (from < to) {
      int64_t middle = from + (to - from) / 2;
      if (r.bag[middle] < (uint64_t)bag)
        from = middle + 1;
      else
        to = middle;
    }
    int64_t best = -1;
    typename T::Value most = 0;
    for (int64_t k = from; k < r.table.n && r.bag[k] == (uint64_t)bag; k++) {
      int64_t row = row_of(r.table, r.number[k]);
      if (row < 0) continue;
      typename T::Value v = T::load(((const M *)r.weight)[row * r.row_step + column * r.step]);
      if (best >= 0 && !(v > most)) continue;
      best = row;
      most = v;
    }
    r.out[i] = best < 0 ? 1 : best + 1;
  }
}
CUDA_API int cuda_launch_bag_max(int dtype, const BagRun *run, void *stream) {
  int error = -1;
  with_float(dtype, [&](auto tag) {
    typedef decltype(tag) T;
    CUDA_LAUNCH(bag_max<T>, blocks_for(run->bags * run->width, 1), THREADS, 0, (cudaStream_t)stream, *run);
    error = launched();
  });
  return error;
}
