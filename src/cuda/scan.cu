/* Scans: running sums, products, logarithms of sums and extremes along lines.
 *
 * A line in memory order goes to a warp or a block, tile after tile: each thread scans a few elements, threads are scanned
 * by shuffles, and a tile begins with what all before it came to. Lines with neighbours, and short ones, go to a thread
 * each. Where there are few lines they are cut into chunks: first each chunk's total is found, then the totals are
 * scanned, then the chunks. Sums and products run in double or in wrapping 64-bit integers. */
#include "cuda/group.cuh"
#include "cuda/scan.h"

template <class V> struct Wide { typedef std::conditional_t<std::is_same<V, int64_t>::value, int64_t, double> Type; };

/* What is scanned: element k's part, how two are joined, the first before the second, and what is written given what all
 * before came to and what it comes to with the element. */
template <class T> struct ScanSum {
  typedef T V;
  typedef typename Wide<V>::Type Acc;
  static __device__ inline Acc none() { return 0; }
  static __device__ inline Acc element(const ScanRun &r, int64_t at, int64_t) { return (Acc)((const V *)r.x)[at]; }
  static __device__ inline Acc join(Acc a, Acc b) {
    if constexpr (std::is_same<V, int64_t>::value)
      return (int64_t)((uint64_t)a + (uint64_t)b);
    else
      return a + b;
  }
  static __device__ inline void put(const ScanRun &r, int64_t at, Acc, Acc now) { ((V *)r.out)[at] = (V)now; }
};
template <class T> struct ScanProduct : ScanSum<T> {
  typedef typename Wide<T>::Type Acc;
  static __device__ inline Acc none() { return 1; }
  static __device__ inline Acc join(Acc a, Acc b) {
    if constexpr (std::is_same<T, int64_t>::value)
      return (int64_t)((uint64_t)a * (uint64_t)b);
    else
      return a * b;
  }
};
template <class T> struct ScanBefore : ScanProduct<T> {
  static __device__ inline void put(const ScanRun &r, int64_t at, double before, double) {
    ((T *)r.out)[at] = (T)before;
  }
};
template <class T> struct ScanAfter : ScanProduct<T> {
  static __device__ inline void put(const ScanRun &r, int64_t at, double before, double) {
    T *out = (T *)r.out + at;
    *out = (T)(*out * before);
  }
};
/* b[k] = g[k] + x[k + 1] b[k + 1], from the end: maps z to factor z + sum, one after the other, of z = 0. */
struct Map {
  double factor, sum;
};
template <class T> struct ScanGradient {
  typedef T V;
  typedef Map Acc;
  static __device__ inline Map none() { return {1, 0}; }
  static __device__ inline Map element(const ScanRun &r, int64_t at, int64_t k) {
    return {k + 1 < r.length ? (double)((const T *)r.x)[at + r.inner] : 0, (double)((const T *)r.g)[at]};
  }
  static __device__ inline Map join(Map a, Map b) {
    if (a.factor == 1 && a.sum == 0) return b;
    return {a.factor * b.factor, b.factor * a.sum + b.sum};
  }
  static __device__ inline void put(const ScanRun &r, int64_t at, Map, Map now) {
    T *out = (T *)r.out + at;
    *out = (T)(*out * now.sum);
  }
};
template <class T> struct ScanLogSum : ScanSum<T> {
  static __device__ inline double none() { return -(double)INFINITY; }
  static __device__ inline double join(double a, double b) {
    double less = b != b ? b : a < b ? a : b, more = b != b || a < b ? b : a;
    return less == more && less - less != 0 ? less : log1p(exp(less - more)) + more;
  }
};
template <class A> struct Best {
  A value;
  int64_t at; /* from 1; 0: nothing yet */
};
template <class T, bool LEAST> struct ScanExtreme {
  typedef T V;
  typedef Best<typename Wide<T>::Type> Acc;
  static __device__ inline Acc none() { return {0, 0}; }
  static __device__ inline Acc element(const ScanRun &r, int64_t at, int64_t k) {
    return {(typename Wide<T>::Type)((const T *)r.x)[at], k + 1};
  }
  static __device__ inline Acc join(Acc a, Acc b) {
    if (a.at == 0 || b.at == 0) return a.at == 0 ? b : a;
    if (b.value != b.value) return b;
    return a.value == a.value && (LEAST ? b.value <= a.value : b.value >= a.value) ? b : a;
  }
  static __device__ inline void put(const ScanRun &r, int64_t at, Acc, Acc now) {
    ((T *)r.out)[at] = (T)now.value;
    r.index[at] = now.at;
  }
};

template <class A> static __device__ inline A shuffle(A a, int from) {
  double word[sizeof(A) / 8];
  memcpy(word, &a, sizeof a);
  for (double &w : word) w = __shfl_sync(0xffffffffu, w, from);
  memcpy(&a, word, sizeof a);
  return a;
}
template <class A> static __device__ inline A shuffle_up(A a, int by) {
  double word[sizeof(A) / 8];
  memcpy(word, &a, sizeof a);
  for (double &w : word) w = __shfl_up_sync(0xffffffffu, w, by);
  memcpy(&a, word, sizeof a);
  return a;
}

/* What the threads before this one have, of those that share a chunk; *all gets what all have. */
template <class S>
static __device__ inline typename S::Acc before_thread(typename S::Acc own, bool block, typename S::Acc *all) {
  typedef typename S::Acc A;
  __shared__ double memory[SCAN_THREADS / WARP * sizeof(A) / 8];
  A *room = (A *)memory, now = own;
  int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP;
  for (int by = 1; by < WARP; by *= 2) {
    A other = shuffle_up(now, by);
    if (lane >= by) now = S::join(other, now);
  }
  A before = shuffle_up(now, 1);
  if (lane == 0) before = S::none();
  *all = shuffle(now, WARP - 1);
  if (!block) return before;
  __syncthreads(); /* the room may still be read for the last tile */
  if (lane == WARP - 1) room[warp] = now;
  __syncthreads();
  A sum = S::none(), mine = S::none();
  for (int k = 0; k < SCAN_THREADS / WARP; k++) {
    if (k == warp) mine = sum;
    sum = S::join(sum, room[k]);
  }
  *all = sum;
  return S::join(mine, before);
}

template <class S> __global__ void __launch_bounds__(SCAN_THREADS) along(ScanRun r) {
  typedef typename S::Acc A;
  int own = (int)threadIdx.x % r.group, per = SCAN_THREADS / r.group;
  int64_t tasks = r.outer * r.chunks;
  for (int64_t first = (int64_t)blockIdx.x * per; first < tasks; first += (int64_t)gridDim.x * per) {
    int64_t task = first + (int)threadIdx.x / r.group, chunk = task / r.outer,
            base = (task - chunk * r.outer) * r.length;
    int64_t begin = chunk * r.chunk, end = r.length - begin < r.chunk ? r.length : begin + r.chunk;
    A so_far = task < tasks && r.carry && !r.totals ? ((const A *)r.carry)[task] : S::none();
    if (task >= tasks) end = begin;
    for (int64_t tile = 0; tile < r.chunk; tile += r.group * SCAN_ITEMS) {
      A v[SCAN_ITEMS], all;
      int64_t k0 = begin + tile + own * SCAN_ITEMS;
      for (int e = 0; e < SCAN_ITEMS; e++) {
        int64_t k = k0 + e, at = r.reverse ? r.length - 1 - k : k;
        v[e] = k < end ? S::element(r, base + at, at) : S::none();
        if (e > 0) v[e] = S::join(v[e - 1], v[e]);
      }
      A before = before_thread<S>(v[SCAN_ITEMS - 1], r.group > WARP, &all);
      before = S::join(so_far, before);
      so_far = S::join(so_far, all);
      if (r.totals) continue;
      for (int e = 0; e < SCAN_ITEMS; e++) {
        int64_t k = k0 + e, at = r.reverse ? r.length - 1 - k : k;
        if (k < end) S::put(r, base + at, e > 0 ? S::join(before, v[e - 1]) : before, S::join(before, v[e]));
      }
    }
    if (r.totals && own == 0 && task < tasks) ((A *)r.carry)[task] = so_far;
  }
}

template <class S> __global__ void __launch_bounds__(SCAN_THREADS) by_thread(ScanRun r) {
  typedef typename S::Acc A;
  int64_t lines = r.outer * r.inner;
  EACH_ELEMENT(task, lines * r.chunks) {
    int64_t chunk = task / lines, line = task - chunk * lines;
    int64_t base = line / r.inner * r.length * r.inner + line % r.inner;
    int64_t begin = chunk * r.chunk, end = r.length - begin < r.chunk ? r.length : begin + r.chunk;
    A so_far = r.carry && !r.totals ? ((const A *)r.carry)[task] : S::none();
    for (int64_t k = begin; k < end; k++) {
      int64_t place = r.reverse ? r.length - 1 - k : k, at = base + place * r.inner;
      A now = S::join(so_far, S::element(r, at, place));
      if (!r.totals) S::put(r, at, so_far, now);
      so_far = now;
    }
    if (r.totals) ((A *)r.carry)[task] = so_far;
  }
}

/* Totals of chunks become what all chunks before came to. */
template <class S> __global__ void __launch_bounds__(SCAN_THREADS) carry(ScanRun r) {
  typedef typename S::Acc A;
  int64_t lines = r.outer * r.inner;
  EACH_ELEMENT(line, lines) {
    A so_far = S::none();
    for (int64_t chunk = 0; chunk < r.chunks; chunk++) {
      A *at = (A *)r.carry + chunk * lines + line, total = *at;
      *at = so_far;
      so_far = S::join(so_far, total);
    }
  }
}

template <class S> static int launch_pass(const ScanRun &r, void *stream) {
  if (r.group > 1) {
    unsigned blocks = blocks_for(r.outer * r.chunks * r.group, 1);
    CUDA_LAUNCH((along<S>), blocks, SCAN_THREADS, 0, (cudaStream_t)stream, r);
  } else {
    unsigned blocks = blocks_for(r.outer * r.inner * r.chunks, 1);
    CUDA_LAUNCH((by_thread<S>), blocks, SCAN_THREADS, 0, (cudaStream_t)stream, r);
  }
  return launched();
}
template <class S> static int launch(ScanRun r, void *stream) {
  int error = 0;
  static_assert(sizeof(typename S::Acc) <= 16 && (int)SCAN_THREADS == (int)THREADS, "");
  if (r.chunks > 1) {
    r.totals = true;
    error = launch_pass<S>(r, stream);
    r.totals = false;
    if (error) return error;
    CUDA_LAUNCH((carry<S>), blocks_for(r.outer * r.inner, 1), SCAN_THREADS, 0, (cudaStream_t)stream, r);
    if ((error = launched())) return error;
  }
  return launch_pass<S>(r, stream);
}

template <class V> using ScanMost = ScanExtreme<V, false>;
template <class V> using ScanLeast = ScanExtreme<V, true>;
template <template <class> class S> static int with_float_lane(int dtype, const ScanRun &r, void *stream) {
  if (dtype == MT_F32) return launch<S<float>>(r, stream);
  return dtype == MT_F64 ? launch<S<double>>(r, stream) : -1;
}
template <template <class> class S> static int with_lane(int dtype, const ScanRun &r, void *stream) {
  return dtype == MT_I64 ? launch<S<int64_t>>(r, stream) : with_float_lane<S>(dtype, r, stream);
}

CUDA_API int cuda_launch_scan(ScanPass pass, int dtype, const ScanRun *run, void *stream) {
  if (run->outer * run->length * run->inner == 0) return 0;
  switch (pass) {
  case PASS_SUM: return with_lane<ScanSum>(dtype, *run, stream);
  case PASS_PRODUCT: return with_lane<ScanProduct>(dtype, *run, stream);
  case PASS_BEFORE: return with_float_lane<ScanBefore>(dtype, *run, stream);
  case PASS_AFTER: return with_float_lane<ScanAfter>(dtype, *run, stream);
  case PASS_GRADIENT: return with_float_lane<ScanGradient>(dtype, *run, stream);
  case PASS_LOG_SUM: return with_float_lane<ScanLogSum>(dtype, *run, stream);
  case PASS_MOST: return with_lane<ScanMost>(dtype, *run, stream);
  case PASS_LEAST: return with_lane<ScanLeast>(dtype, *run, stream);
  }
  return -1;
}
