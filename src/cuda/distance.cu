/* p-norms of differences between rows, a warp for each pair; terms are of the element's type, sums in double. */
#include "cuda/distance.h"
#include "cuda/group.cuh"

template <class V> __global__ void __launch_bounds__(THREADS) distances(DistanceRun r) {
  int lane = (int)threadIdx.x % WARP;
  bool greatest = r.p - r.p != 0; /* infinity */
  for (int64_t pair = ((int64_t)blockIdx.x * THREADS + threadIdx.x) / WARP; pair < r.batch * r.rows * r.others;
       pair += (int64_t)gridDim.x * THREADS / WARP) {
    int64_t row = pair / r.others, other = row / r.rows * r.others + pair % r.others;
    const V *a = (const V *)r.a + row * r.length, *b = (const V *)r.b + other * r.length;
    double sum = 0;
    for (int64_t k = lane; k < r.length; k += WARP) {
      V difference = a[k] - b[k];
      double d = fabs((double)difference);
      if (greatest)
        sum = d > sum || d != d ? d : sum;
      else
        sum += r.p == 2 ? d * d : r.p == 1 ? d : r.p == 0 ? (double)(d != 0) : (double)(V)pow(d, r.p);
    }
    sum = greatest ? warp_all(sum, [](double x, double y) { return x > y || x != x ? x : y; })
                   : warp_all(sum, [](double x, double y) { return x + y; });
    if (lane != 0) continue;
    ((V *)r.out)[pair] = (V)(greatest || r.p == 1 || r.p == 0 ? sum : r.p == 2 ? sqrt(sum) : pow(sum, 1 / r.p));
  }
}

CUDA_API int cuda_launch_distances(int dtype, const DistanceRun *run, void *stream) {
  unsigned blocks = blocks_for(run->batch * run->rows * run->others * WARP, 1);
  if (dtype == 8)
    CUDA_LAUNCH(distances<float>, blocks, THREADS, 0, (cudaStream_t)stream, *run);
  else if (dtype == 9)
    CUDA_LAUNCH(distances<double>, blocks, THREADS, 0, (cudaStream_t)stream, *run);
  else
    return -1;
  return launched();
}
