/* Resampling: the table of neighbours and weights is made on the device, a thread for each result of a line; then each
 * element that is written is a sum by the table. The gradient finds the results whose neighbours hold its element. */
#include "cuda/kernel.cuh"
#define FORMULA_FN static __host__ __device__ inline
#include "cuda/resample.h"

__global__ void __launch_bounds__(THREADS) resample_taps(ResampleRun r) {
  EACH_ELEMENT(o, r.taps.out) resample_fill(&r.how, &r.taps, o);
}

template <class T> __global__ void __launch_bounds__(THREADS) resample(ResampleRun r) {
  typedef typename T::Memory M;
  typedef typename T::Value V;
  const ResampleTaps &t = r.taps;
  EACH_ELEMENT(i, r.outer * t.out * r.inner) {
    int64_t o = i / r.inner % t.out, column = i / r.inner / t.out * t.size * r.inner + i % r.inner;
    const M *x = (const M *)r.x + column;
    V sum = 0;
    for (int64_t k = o * t.width; k < o * t.width + t.count[o]; k++) {
      V v = T::load(x[t.first[k] * r.inner]), w = (V)t.weight[k];
      sum = t.width == 1 && w == 1 ? v : sum + w * v; /* also what is not finite */
    }
    ((M *)r.out)[i] = T::store(sum);
  }
}

template <class T> __global__ void __launch_bounds__(THREADS) resample_back(ResampleRun r) {
  typedef typename T::Memory M;
  typedef typename T::Value V;
  const ResampleTaps &t = r.taps;
  EACH_ELEMENT(i, r.outer * t.size * r.inner) {
    int64_t at = i / r.inner % t.size, low = 0, high = t.out;
    const M *grad = (const M *)r.x + i / r.inner / t.size * t.out * r.inner + i % r.inner;
    while (low < high) { /* the first result whose last neighbour is at least this one */
      int64_t middle = (low + high) / 2;
      if (t.first[middle * t.width + t.count[middle] - 1] >= at)
        high = middle;
      else
        low = middle + 1;
    }
    V sum = 0;
    for (int64_t o = low; o < t.out && t.first[o * t.width] <= at; o++)
      for (int64_t k = o * t.width; k < o * t.width + t.count[o]; k++)
        if (t.first[k] == at) sum += (V)t.weight[k] * T::load(grad[o * r.inner]);
    ((M *)r.out)[i] = T::store(sum);
  }
}

CUDA_API int cuda_launch_resample(int dtype, const ResampleRun *run, void *stream) {
  const ResampleRun &r = *run;
  int error = -1;
  with_float(dtype, [&](auto tag) {
    typedef decltype(tag) T;
    CUDA_LAUNCH(resample_taps, blocks_for(r.taps.out, 1), THREADS, 0, (cudaStream_t)stream, r);
    if (r.back)
      CUDA_LAUNCH(resample_back<T>, blocks_for(r.outer * r.taps.size * r.inner, 1), THREADS, 0, (cudaStream_t)stream,
                  r);
    else
      CUDA_LAUNCH(resample<T>, blocks_for(r.outer * r.taps.out * r.inner, 1), THREADS, 0, (cudaStream_t)stream, r);
    error = launched();
  });
  return error;
}
