/* Pooling: a thread for each element that is written; the gradient of means finds the windows that hold its element. */
#include "cuda/kernel.cuh"
#define FORMULA_FN static __device__ inline
#include "cuda/fault.cuh"
#include "cuda/pool.h"

static __host__ __device__ inline int64_t outs(const PoolRun &r) {
  return r.rule[0].out * r.rule[1].out * r.rule[2].out;
}
static __host__ __device__ inline int64_t ins(const PoolRun &r) { return r.rule[0].in * r.rule[1].in * r.rule[2].in; }

struct Window {
  Span s[3];
  __device__ bool any() const { return s[0].begin < s[0].end && s[1].begin < s[1].end && s[2].begin < s[2].end; }
};
static __device__ inline Window window_of(const PoolRun &r, int64_t o0, int64_t o1, int64_t o2) {
  return {{pool_span(&r.rule[0], o0), pool_span(&r.rule[1], o1), pool_span(&r.rule[2], o2)}};
}
/* Window number o of a plane. */
static __device__ inline Window window_at(const PoolRun &r, int64_t o) {
  int64_t line = o / r.rule[2].out;
  return window_of(r, line / r.rule[1].out, line % r.rule[1].out, o % r.rule[2].out);
}
/* f(place) for each element of a window. */
template <class F> static __device__ inline void each_element(const PoolRun &r, const Window &w, F f) {
  for (int64_t a = w.s[0].begin; a < w.s[0].end; a += r.rule[0].step)
    for (int64_t b = w.s[1].begin; b < w.s[1].end; b += r.rule[1].step) {
      int64_t line = (a * r.rule[1].in + b) * r.rule[2].in;
      for (int64_t c = w.s[2].begin; c < w.s[2].end; c += r.rule[2].step) f(line + c);
    }
}
template <class V> static __device__ inline V divisor_of(const PoolRun &r, const Window &w) {
  return r.divisor != 0 ? (V)r.divisor : (V)(w.s[0].counted * w.s[1].counted * w.s[2].counted);
}

/* A NaN that follows a NaN wins, as on the host; a window that has only padding gets the lowest value there is. */
template <class T> __global__ void __launch_bounds__(THREADS) pool_max(PoolRun r) {
  typedef typename T::Memory M;
  typedef typename T::Value V;
  EACH_ELEMENT(i, r.planes * outs(r)) {
    const M *x = (const M *)r.x + i / outs(r) * ins(r);
    Window w = window_at(r, i % outs(r));
    int64_t best = w.any() ? (w.s[0].begin * r.rule[1].in + w.s[1].begin) * r.rule[2].in + w.s[2].begin : 0;
    V most = w.any() ? T::load(x[best]) : -(V)INFINITY;
    each_element(r, w, [&](int64_t at) {
      V v = T::load(x[at]);
      if (v > most || v != v) most = v, best = at;
    });
    ((M *)r.out)[i] = T::store(most);
    r.index[i] = best + 1;
  }
}

template <class T> __global__ void __launch_bounds__(THREADS) pool_mean(PoolRun r) {
  typedef typename T::Memory M;
  typedef typename T::Value V;
  EACH_ELEMENT(i, r.planes * outs(r)) {
    const M *x = (const M *)r.x + i / outs(r) * ins(r);
    Window w = window_at(r, i % outs(r));
    V sum = 0;
    each_element(r, w, [&](int64_t at) { sum += T::load(x[at]); });
    ((M *)r.out)[i] = T::store(w.any() ? sum / divisor_of<V>(r, w) : 0);
  }
}

/* The first window along a dim that ends behind element i. */
static __device__ inline int64_t first_window(const PoolRule *rule, int64_t i) {
  int64_t low = 0, high = rule->out;
  while (low < high) {
    int64_t middle = (low + high) / 2;
    if (pool_span(rule, middle).end > i)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}
static __device__ inline bool holds(const PoolRule *rule, const Span &s, int64_t i) {
  return i >= s.begin && i < s.end && (i - s.begin) % rule->step == 0;
}

template <class T> __global__ void __launch_bounds__(THREADS) pool_mean_back(PoolRun r) {
  typedef typename T::Memory M;
  typedef typename T::Value V;
  EACH_ELEMENT(i, r.planes * ins(r)) {
    const M *grad = (const M *)r.x + i / ins(r) * outs(r);
    int64_t line = i % ins(r) / r.rule[2].in, at[3] = {line / r.rule[1].in, line % r.rule[1].in, i % r.rule[2].in};
    const int64_t first[3] = {first_window(&r.rule[0], at[0]), first_window(&r.rule[1], at[1]),
                              first_window(&r.rule[2], at[2])};
    V sum = 0;
    Window w;
    for (int64_t a = first[0]; a < r.rule[0].out && (w.s[0] = pool_span(&r.rule[0], a)).begin <= at[0]; a++) {
      if (!holds(&r.rule[0], w.s[0], at[0])) continue;
      for (int64_t b = first[1]; b < r.rule[1].out && (w.s[1] = pool_span(&r.rule[1], b)).begin <= at[1]; b++) {
        if (!holds(&r.rule[1], w.s[1], at[1])) continue;
        for (int64_t c = first[2]; c < r.rule[2].out && (w.s[2] = pool_span(&r.rule[2], c)).begin <= at[2]; c++)
          if (holds(&r.rule[2], w.s[2], at[2]))
            sum += T::load(grad[(a * r.rule[1].out + b) * r.rule[2].out + c]) / divisor_of<V>(r, w);
      }
    }
    ((M *)r.out)[i] = T::store(sum);
  }
}

CUDA_API int cuda_launch_pool(int which, int dtype, const PoolRun *run, void *stream) {
  const PoolRun &r = *run;
  int error = -1;
  with_float(dtype, [&](auto tag) {
    typedef decltype(tag) T;
    if (which == POOL_MAX)
      CUDA_LAUNCH(pool_max<T>, blocks_for(r.planes * outs(r), 1), THREADS, 0, (cudaStream_t)stream, r);
    else if (which == POOL_MEAN)
      CUDA_LAUNCH(pool_mean<T>, blocks_for(r.planes * outs(r), 1), THREADS, 0, (cudaStream_t)stream, r);
    else
      CUDA_LAUNCH(pool_mean_back<T>, blocks_for(r.planes * ins(r), 1), THREADS, 0, (cudaStream_t)stream, r);
    error = launched();
  });
  return error;
}

/* ---- by positions ---- */

/* One after another; where several meet one element, put keeps one of them, and add adds in no certain order. */
template <class M, int WHICH> __global__ void __launch_bounds__(THREADS) plane(PlaneRun r) {
  EACH_ELEMENT(i, r.planes * r.n) {
    int64_t at = position_at(r.place, r.index[i], r.size, false, -1);
    if (at < 0) continue;
    at += i / r.n * r.size;
    if constexpr (WHICH == PLANE_ADD)
      atomicAdd((M *)r.out + at, ((const M *)r.x)[i]);
    else if constexpr (WHICH == PLANE_PUT)
      ((M *)r.out)[at] = ((const M *)r.x)[i];
    else
      ((M *)r.out)[i] = ((const M *)r.x)[at];
  }
}

/* A block for each plane, all of whose threads pass over its positions in order, and each adds to the elements that are
 * its own: the same bits each time. */
template <class M> __global__ void __launch_bounds__(THREADS) plane_in_order(PlaneRun r) {
  for (int64_t p = blockIdx.x; p < r.planes; p += gridDim.x) {
    const int64_t *index = r.index + p * r.n;
    const M *x = (const M *)r.x + p * r.n;
    M *out = (M *)r.out + p * r.size;
    for (int64_t i = 0; i < r.n; i++) {
      int64_t at = index[i] - 1;
      if (at < 0 || at >= r.size) {
        if (threadIdx.x == 0) position_at(r.place, index[i], r.size, false, -1);
      } else if (at % blockDim.x == threadIdx.x) {
        out[at] += x[i];
      }
    }
  }
}

template <class M> static int launch_plane(int which, const PlaneRun &r, void *stream) {
  unsigned blocks = blocks_for(r.planes * r.n, 1);
  if (which == PLANE_PUT)
    CUDA_LAUNCH((plane<M, PLANE_PUT>), blocks, THREADS, 0, (cudaStream_t)stream, r);
  else
    CUDA_LAUNCH((plane<M, PLANE_TAKE>), blocks, THREADS, 0, (cudaStream_t)stream, r);
  return launched();
}
template <class M> static int launch_add(int which, const PlaneRun &r, void *stream) {
  if (which == PLANE_ADD)
    CUDA_LAUNCH((plane<M, PLANE_ADD>), blocks_for(r.planes * r.n, 1), THREADS, 0, (cudaStream_t)stream, r);
  else
    CUDA_LAUNCH(plane_in_order<M>, blocks_for(r.planes * THREADS, 1), THREADS, 0, (cudaStream_t)stream, r);
  return launched();
}

CUDA_API int cuda_launch_plane(int which, int dtype, const PlaneRun *run, void *stream) {
  if (which == PLANE_ADD || which == PLANE_ADD_IN_ORDER) {
    if (dtype == MT_F32) return launch_add<float>(which, *run, stream);
    return dtype == MT_F64 ? launch_add<double>(which, *run, stream) : -1;
  }
  int size = 0;
  with_type(dtype, [&](auto tag) { size = sizeof(typename decltype(tag)::Memory); });
  switch (size) {
  case 1: return launch_plane<uint8_t>(which, *run, stream);
  case 2: return launch_plane<uint16_t>(which, *run, stream);
  case 4: return launch_plane<uint32_t>(which, *run, stream);
  case 8: return launch_plane<uint64_t>(which, *run, stream);
  default: return -1;
  }
}
