/* softmax, log_softmax and their gradients: a thread, a warp or a block for each line, in two passes over it.
 *
 * Lines with neighbours (inner > 1) go to a thread each, so that threads side by side read side by side; short ones to a
 * warp, long ones to a block. The maximum and the sum are found in one pass: a sum made with a smaller maximum is scaled. */
#include "cuda/group.cuh"
#include "cuda/softmax.h"

template <class V> struct Sum { V most, sum; };

template <class V> static __device__ inline V power_e(V x) {
  if constexpr (sizeof(V) == 8)
    return exp(x);
  else
    return expf(x);
}
template <class V> static __device__ inline V log_e(V x) {
  if constexpr (sizeof(V) == 8)
    return log(x);
  else
    return logf(x);
}

/* A line that is -inf everywhere has a maximum of -inf, whose differences would be NaN before they are due. */
template <class V> static __device__ inline V scaled(V sum, V from, V to) {
  return from == to ? sum : sum * power_e(from - to);
}
template <class V> static __device__ inline Sum<V> join(Sum<V> a, Sum<V> b) {
  V most = a.most > b.most || a.most != a.most ? a.most : b.most;
  return {most, scaled(a.sum, a.most, most) + scaled(b.sum, b.most, most)};
}

template <int GROUP> static __device__ inline int64_t first_line() {
  return ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / GROUP;
}
template <int GROUP> static __device__ inline int64_t line_step() { return (int64_t)gridDim.x * blockDim.x / GROUP; }

template <class T, int GROUP> __global__ void __launch_bounds__(THREADS) forward(SoftmaxRun r) {
  typedef typename T::Memory M;
  typedef typename T::Value V;
  int own = (int)threadIdx.x % GROUP;
  for (int64_t line = first_line<GROUP>(); line < r.outer * r.inner; line += line_step<GROUP>()) {
    int64_t at = line / r.inner * r.length * r.inner + line % r.inner;
    const M *x = (const M *)r.x + at;
    M *out = (M *)r.out + at;
    Sum<V> empty = {-(V)INFINITY, 0}, all = empty;
    for (int64_t k = own; k < r.length; k += GROUP) {
      V v = T::load(x[k * r.inner]);
      all = join(all, Sum<V>{v, 1});
    }
    if constexpr (GROUP > 1) {
      V most = group_all<GROUP>(all.most, empty.most, [](V a, V b) { return a > b || a != a ? a : b; });
      V sum = scaled(all.sum, all.most, most);
      all = {most, group_all<GROUP>(sum, (V)0, [](V a, V b) { return a + b; })};
    }
    V shift = r.logarithm ? all.most + log_e(all.sum) : all.most, share = 1 / all.sum;
    for (int64_t k = own; k < r.length; k += GROUP) {
      V v = T::load(x[k * r.inner]);
      out[k * r.inner] = T::store(r.logarithm ? v - shift : power_e(v - shift) * share);
    }
  }
}

template <class T, int GROUP> __global__ void __launch_bounds__(THREADS) backward(SoftmaxRun r) {
  typedef typename T::Memory M;
  typedef typename T::Value V;
  int own = (int)threadIdx.x % GROUP;
  for (int64_t line = first_line<GROUP>(); line < r.outer * r.inner; line += line_step<GROUP>()) {
    int64_t at = line / r.inner * r.length * r.inner + line % r.inner;
    const M *y = (const M *)r.x + at, *grad = (const M *)r.grad + at;
    M *out = (M *)r.out + at;
    V sum = 0;
    for (int64_t k = own; k < r.length; k += GROUP) {
      V g = T::load(grad[k * r.inner]);
      sum += r.logarithm ? g : g * T::load(y[k * r.inner]);
    }
    sum = group_all<GROUP>(sum, (V)0, [](V a, V b) { return a + b; });
    for (int64_t k = own; k < r.length; k += GROUP) {
      V g = T::load(grad[k * r.inner]), v = T::load(y[k * r.inner]);
      out[k * r.inner] = T::store(r.logarithm ? g - power_e(v) * sum : (g - sum) * v);
    }
  }
}

template <class T, int GROUP> static int launch(const SoftmaxRun &r, void *stream) {
  unsigned blocks = blocks_for(r.outer * r.inner * GROUP, 1);
  if (r.grad)
    CUDA_LAUNCH((backward<T, GROUP>), blocks, THREADS, 0, (cudaStream_t)stream, r);
  else
    CUDA_LAUNCH((forward<T, GROUP>), blocks, THREADS, 0, (cudaStream_t)stream, r);
  return launched();
}

CUDA_API int cuda_launch_softmax(int dtype, const SoftmaxRun *run, void *stream) {
  int error = -1;
  if (run->outer * run->length * run->inner == 0) return 0;
  with_float(dtype, [&](auto tag) {
    typedef decltype(tag) T;
    if (run->inner > 1 || run->length < 8)
      error = launch<T, 1>(*run, stream);
    else if (run->length <= 1024)
      error = launch<T, WARP>(*run, stream);
    else
      error = launch<T, THREADS>(*run, stream);
  });
  return error;
}
