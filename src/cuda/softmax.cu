/* softmax, log_softmax and their gradients: a thread, a warp or a block for each line.
 *
 * A packed line of up to 4096 elements stays in the registers of a warp or a block, which reads and writes it once, 16
 * bytes at a time where it can. Longer ones are read twice by a block, and lines with neighbours (inner > 1) by a thread
 * each, so that threads side by side read side by side; there the maximum and the sum are found in one pass: a sum made
 * with a smaller maximum is scaled. */
#include "cuda/held.cuh"
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

template <class T, int GROUP, int HOLD>
__global__ void __launch_bounds__(THREADS) forward_held(SoftmaxRun r, bool wide) {
  typedef typename T::Value V;
  int own = (int)threadIdx.x % GROUP, length = (int)r.length;
  for (int64_t line = first_line<GROUP>(); line < r.outer; line += line_step<GROUP>()) {
    V v[HOLD], most = -(V)INFINITY, sum = 0;
    hold<T, GROUP, HOLD>(v, (const typename T::Memory *)r.x + line * length, length, own, wide, most);
    for (int j = 0; j < HOLD; j++) most = v[j] > most || v[j] != v[j] ? v[j] : most;
    most = group_all<GROUP>(most, -(V)INFINITY, [](V a, V b) { return a > b || a != a ? a : b; });
    for (int j = 0; j < HOLD; j++) {
      V e = power_e(v[j] - most);
      sum += e;
      if (!r.logarithm) v[j] = e;
    }
    sum = group_all<GROUP>(sum, (V)0, [](V a, V b) { return a + b; });
    V shift = most + log_e(sum), share = 1 / sum;
    for (int j = 0; j < HOLD; j++) v[j] = r.logarithm ? v[j] - shift : v[j] * share;
    let_go<T, GROUP, HOLD>(v, (typename T::Memory *)r.out + line * length, length, own, wide);
  }
}

template <class T, int GROUP, int HOLD>
__global__ void __launch_bounds__(THREADS) backward_held(SoftmaxRun r, bool wide) {
  typedef typename T::Value V;
  int own = (int)threadIdx.x % GROUP, length = (int)r.length;
  for (int64_t line = first_line<GROUP>(); line < r.outer; line += line_step<GROUP>()) {
    V y[HOLD], g[HOLD], sum = 0;
    hold<T, GROUP, HOLD>(y, (const typename T::Memory *)r.x + line * length, length, own, wide, (V)0);
    hold<T, GROUP, HOLD>(g, (const typename T::Memory *)r.grad + line * length, length, own, wide, (V)0);
    for (int j = 0; j < HOLD; j++) sum += r.logarithm ? g[j] : g[j] * y[j];
    sum = group_all<GROUP>(sum, (V)0, [](V a, V b) { return a + b; });
    for (int j = 0; j < HOLD; j++) y[j] = r.logarithm ? g[j] - power_e(y[j]) * sum : (g[j] - sum) * y[j];
    let_go<T, GROUP, HOLD>(y, (typename T::Memory *)r.out + line * length, length, own, wide);
  }
}

template <class T, int GROUP, int HOLD> static int launch_held(const SoftmaxRun &r, void *stream) {
  unsigned blocks = blocks_for(r.outer * GROUP, 1);
  bool wide = in_packs<T>(r.length, r.x, r.grad, r.out);
  if (r.grad)
    CUDA_LAUNCH((backward_held<T, GROUP, HOLD>), blocks, THREADS, 0, (cudaStream_t)stream, r, wide);
  else
    CUDA_LAUNCH((forward_held<T, GROUP, HOLD>), blocks, THREADS, 0, (cudaStream_t)stream, r, wide);
  return launched();
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
    else if (run->length <= 8 * WARP)
      error = launch_held<T, WARP, 8>(*run, stream);
    else if (run->length <= 32 * WARP)
      error = launch_held<T, WARP, 32>(*run, stream);
    else if (run->length <= 16 * THREADS)
      error = launch_held<T, THREADS, 16>(*run, stream);
    else
      error = launch<T, THREADS>(*run, stream);
  });
  return error;
}
