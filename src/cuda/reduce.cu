/* Reductions: one kernel for each fold and dtype, and one that joins what several units of a result came to.
 *
 * A thread folds its share as the element's own type, a few elements at a time, and joins these in double or 64-bit
 * integers, as the host does; threads are joined in an order that follows from the shapes. */
#include "cuda/group.cuh"
#include "cuda/reduce.h"

/* What elements are folded as. */
template <class T> struct LaneOf {
  typedef std::conditional_t<(typename T::Value)0.5 == 0, int64_t, typename T::Value> Type;
};
template <class V> struct WideOf { typedef std::conditional_t<std::is_same<V, int64_t>::value, int64_t, double> Type; };
template <class V> static __device__ inline V plus(V a, V b) {
  if constexpr (std::is_same<V, int64_t>::value)
    return (int64_t)((uint64_t)a + (uint64_t)b);
  else
    return a + b;
}
template <class V> static __device__ inline V times(V a, V b) {
  if constexpr (std::is_same<V, int64_t>::value)
    return (int64_t)((uint64_t)a * (uint64_t)b);
  else
    return a * b;
}
/* The better of two: NaN on either side wins, of equals the first. */
template <bool LEAST, class V> static __device__ inline V better(V a, V b) {
  if (a != a) return a;
  return b != b || (LEAST ? b < a : b > a) ? b : a;
}
template <class V> static __device__ inline V endless(bool negative) {
  if constexpr (std::is_same<V, int64_t>::value)
    return negative ? INT64_MIN : INT64_MAX;
  else
    return negative ? -(V)INFINITY : (V)INFINITY;
}

/* How accumulators are joined, and what is made of one. */
template <class A> struct JoinSum {
  typedef A Acc;
  static __device__ inline A none() { return 0; }
  static __device__ inline A join(A a, A b) { return plus(a, b); }
};
template <class A> struct JoinProduct {
  typedef A Acc;
  static __device__ inline A none() { return 1; }
  static __device__ inline A join(A a, A b) { return times(a, b); }
};
template <class A, bool LEAST> struct JoinBetter {
  typedef A Acc;
  static __device__ inline A none() { return endless<A>(!LEAST); }
  static __device__ inline A join(A a, A b) { return better<LEAST>(a, b); }
};
struct Moments {
  double n, mean, squares;
};
struct JoinMoments {
  typedef Moments Acc;
  static __device__ inline Moments none() { return {0, 0, 0}; }
  static __device__ inline Moments join(Moments a, Moments b) {
    if (b.n == 0) return a;
    if (a.n == 0) return b;
    double all = a.n + b.n, gap = b.mean - a.mean;
    return {all, a.mean + gap * (b.n / all), a.squares + b.squares + gap * gap * (a.n * b.n / all)};
  }
};
template <class A> struct Place {
  A value;
  int64_t at;
};
template <class A, bool LEAST> struct JoinFirst {
  typedef Place<A> Acc;
  static __device__ inline Acc none() { return {endless<A>(!LEAST), INT64_MAX}; }
  static __device__ inline Acc join(Acc a, Acc b) {
    bool a_nan = a.value != a.value, b_nan = b.value != b.value;
    if (a.value == b.value || (a_nan && b_nan)) return a.at <= b.at ? a : b;
    return b_nan || (!a_nan && (LEAST ? b.value < a.value : b.value > a.value)) ? b : a;
  }
};

/* What a thread gathers: add for each element, settle after a few of them, total at the end. */
template <class V> struct FoldSum {
  typedef typename WideOf<V>::Type A;
  typedef JoinSum<A> Join;
  V part = 0;
  A all = 0;
  __device__ inline void add(V x, int64_t, double) { part = plus(part, x); }
  __device__ inline void settle() {
    all = plus(all, (A)part);
    part = 0;
  }
  __device__ inline A total() { return all; }
};
template <class V> struct FoldSquares : FoldSum<V> {
  __device__ inline void add(V x, int64_t, double) { this->part += x * x; }
};
template <class V> struct FoldAbsolute {
  typedef JoinSum<double> Join;
  double all = 0;
  __device__ inline void add(V x, int64_t, double) { all += fabs((double)x); }
  __device__ inline void settle() {}
  __device__ inline double total() { return all; }
};
template <class V> struct FoldPowers : FoldAbsolute<V> {
  __device__ inline void add(V x, int64_t, double p) { this->all += pow(fabs((double)x), p); }
};
template <class V> struct FoldNonzero {
  typedef JoinSum<int64_t> Join;
  int64_t all = 0;
  __device__ inline void add(V x, int64_t, double) { all += x != 0; }
  __device__ inline void settle() {}
  __device__ inline int64_t total() { return all; }
};
template <class V> struct FoldProduct {
  typedef typename WideOf<V>::Type A;
  typedef JoinProduct<A> Join;
  A all = 1;
  __device__ inline void add(V x, int64_t, double) { all = times(all, (A)x); }
  __device__ inline void settle() {}
  __device__ inline A total() { return all; }
};
template <class V, bool LEAST, bool ABSOLUTE> struct FoldBetter {
  typedef typename WideOf<V>::Type A;
  typedef JoinBetter<A, LEAST> Join;
  V best = endless<V>(!LEAST);
  __device__ inline void add(V x, int64_t, double) {
    if constexpr (ABSOLUTE) x = (V)fabs((double)x);
    best = better<LEAST>(best, x);
  }
  __device__ inline void settle() {}
  __device__ inline A total() { return (A)best; }
};
/* The largest |x| of nothing is 0. */
template <class V> struct FoldAbsMost : FoldBetter<V, false, true> {
  __device__ inline FoldAbsMost() { this->best = 0; }
};
/* Sums of distances from the first number that the thread meets, in double: equal elements have a variance of exactly 0. */
template <class V> struct FoldMoments {
  typedef JoinMoments Join;
  double n = 0, shift = 0, sum = 0, squares = 0;
  __device__ inline void add(V x, int64_t, double) {
    if (n == 0 && x - x == 0) shift = (double)x;
    double d = (double)x - shift;
    n += 1;
    sum += d;
    squares += d * d;
  }
  __device__ inline void settle() {}
  __device__ inline Moments total() {
    if (n == 0) return {0, 0, 0};
    double mean = sum / n, spread = squares - sum * mean;
    return {n, shift + mean, spread < 0 ? 0 : spread};
  }
};
template <class V, bool LEAST> struct FoldFirst {
  typedef typename WideOf<V>::Type A;
  typedef JoinFirst<A, LEAST> Join;
  V best = endless<V>(!LEAST);
  int64_t at = INT64_MAX;
  __device__ inline void add(V x, int64_t k, double) { /* a thread's elements come in order */
    if (at == INT64_MAX || (best == best && (x != x || (LEAST ? x < best : x > best)))) {
      best = x;
      at = k;
    }
  }
  __device__ inline void settle() {}
  __device__ inline Place<A> total() { return {(A)best, at}; }
};

static __device__ inline int64_t walk_to(const ReduceWalk &w, int64_t i, const int64_t *stride) {
  int64_t at = 0;
  for (int d = 0; d + 1 < w.n; d++) {
    int64_t size = w.shape[d], next = ((uint64_t)i | (uint64_t)size) >> 32 ? i / size : (uint32_t)i / (uint32_t)size;
    at += (i - next * size) * stride[d];
    i = next;
  }
  return w.n > 0 ? at + i * stride[w.n - 1] : 0;
}

template <class M, int N> struct alignas(sizeof(M) * N) Pack { M at[N]; };

/* Elements begin + own, begin + own + step, ... before end, or packs of them. */
template <class T, class F>
static __device__ inline void fold_share(F &f, const ReduceRun &r, const typename T::Memory *x, int64_t begin,
                                         int64_t end, int own, int step) {
  typedef typename T::Memory M;
  typedef typename LaneOf<T>::Type V;
  if (r.packed) {
    enum { N = 16 / sizeof(M), ABREAST = 4 };
    const Pack<M, N> *pack = (const Pack<M, N> *)x;
    int64_t k = begin / N + own, last = end / N;
    for (; k + (ABREAST - 1) * step < last; k += ABREAST * step) {
      Pack<M, N> v[ABREAST];
      for (int u = 0; u < ABREAST; u++) v[u] = pack[k + u * step];
      for (int u = 0; u < ABREAST; u++)
        for (int e = 0; e < N; e++) f.add((V)T::load(v[u].at[e]), (k + u * step) * N + e, r.p);
      f.settle();
    }
    for (; k < last; k += step) {
      Pack<M, N> v = pack[k];
      for (int e = 0; e < N; e++) f.add((V)T::load(v.at[e]), k * N + e, r.p);
      f.settle();
    }
  } else if (r.lines.n <= 1) {
    enum { ABREAST = 8 };
    int64_t stride = r.lines.n ? r.lines.stride[0] : 0, k = begin + own;
    for (; k + (ABREAST - 1) * step < end; k += ABREAST * step) {
      M v[ABREAST];
      for (int u = 0; u < ABREAST; u++) v[u] = x[(k + u * step) * stride];
      for (int u = 0; u < ABREAST; u++) f.add((V)T::load(v[u]), k + u * step, r.p);
      f.settle();
    }
    for (; k < end; k += step) f.add((V)T::load(x[k * stride]), k, r.p);
    f.settle();
  } else {
    for (int64_t k = begin + own; k < end; k += step) {
      f.add((V)T::load(x[walk_to(r.lines, k, r.lines.stride)]), k, r.p);
      f.settle();
    }
  }
}

template <class A> static __device__ inline A shuffle_xor(A a, int by) {
  static_assert(sizeof(A) % 8 == 0, "");
  double word[sizeof(A) / 8];
  memcpy(word, &a, sizeof a);
  for (double &w : word) w = __shfl_xor_sync(0xffffffffu, w, by);
  memcpy(&a, word, sizeof a);
  return a;
}

/* What the group's threads have, joined, for its first thread. Every thread of the block comes here. */
template <class J> static __device__ inline typename J::Acc join_group(typename J::Acc a, int group, bool across) {
  typedef typename J::Acc A;
  __shared__ double room[REDUCE_THREADS * sizeof(A) / 8];
  A *of = (A *)room;
  if (group == 1) return a;
  if (across) {
    int per = REDUCE_THREADS / group, row = (int)threadIdx.x / per;
    __syncthreads();
    of[threadIdx.x] = a;
    for (int by = group / 2; by > 0; by /= 2) {
      __syncthreads();
      if (row < by) of[threadIdx.x] = J::join(of[threadIdx.x], of[threadIdx.x + by * per]);
    }
    return of[threadIdx.x];
  }
  for (int by = (group < WARP ? group : WARP) / 2; by > 0; by /= 2) a = J::join(a, shuffle_xor(a, by));
  if (group <= WARP) return a;
  __syncthreads();
  if (threadIdx.x % WARP == 0) of[threadIdx.x / WARP] = a;
  __syncthreads();
  if (threadIdx.x == 0)
    for (int k = 1; k < REDUCE_THREADS / WARP; k++) a = J::join(a, of[k]);
  return a;
}

/* v as the host stores it: to integers through int64, to bool by comparison with 0. */
template <class V> static __device__ inline void put(void *to, int dtype, int64_t at, V v) {
  switch (dtype) {
  case MT_BOOL: ((uint8_t *)to)[at] = v != 0; break;
  case MT_U8: ((uint8_t *)to)[at] = (uint8_t)(int64_t)v; break;
  case MT_I8: ((int8_t *)to)[at] = (int8_t)(int64_t)v; break;
  case MT_I16: ((int16_t *)to)[at] = (int16_t)(int64_t)v; break;
  case MT_I32: ((int32_t *)to)[at] = (int32_t)(int64_t)v; break;
  case MT_I64: ((int64_t *)to)[at] = (int64_t)v; break;
  case MT_F16: ((uint16_t *)to)[at] = F16::store((float)v); break;
  case MT_BF16: ((uint16_t *)to)[at] = BF16::store((float)v); break;
  case MT_F32: ((float *)to)[at] = (float)v; break;
  default: ((double *)to)[at] = (double)v;
  }
}
static __device__ inline void finish(const ReduceRun &r, int64_t at, double a) {
  if (r.finish == FINISH_MEAN) a /= (double)r.length;
  if (r.finish == FINISH_ROOT) a = sqrt(a);
  if (r.finish == FINISH_POWER) a = pow(a, 1 / r.p);
  put(r.out, r.out_dtype, at, a);
}
static __device__ inline void finish(const ReduceRun &r, int64_t at, int64_t a) {
  if (r.finish == FINISH_ANY) a = a > 0;
  if (r.finish == FINISH_ALL) a = a == r.length;
  put(r.out, r.out_dtype, at, a);
}
static __device__ inline void finish(const ReduceRun &r, int64_t at, Moments a) {
  double over = (double)r.length - r.p, variance = a.squares / (over > 0 && r.length > 0 ? over : 0);
  if (r.second) put(r.second, r.second_dtype, at, a.n > 0 ? a.mean : (double)NAN);
  put(r.out, r.out_dtype, at, r.finish == FINISH_STD ? sqrt(variance) : variance);
}
template <class A> static __device__ inline void finish(const ReduceRun &r, int64_t at, Place<A> a) {
  if (r.out) put(r.out, r.out_dtype, at, a.value);
  put(r.second, r.second_dtype, at, a.at + 1);
}

/* The result and the place in its group of this thread; blocks go over `tiles` of results. */
static __device__ inline int64_t result_of(bool across, int group, int64_t tile, int *own) {
  int per = REDUCE_THREADS / group;
  *own = across ? (int)threadIdx.x / per : (int)threadIdx.x % group;
  return tile * per + (across ? (int)threadIdx.x % per : (int)threadIdx.x / group);
}

template <class T, class F> __global__ void __launch_bounds__(REDUCE_THREADS) fold(ReduceRun r) {
  typedef typename F::Join J;
  int per = REDUCE_THREADS / r.group;
  int64_t tasks = (r.results + per - 1) / per * r.units;
  for (int64_t task = blockIdx.x; task < tasks; task += gridDim.x) {
    int64_t tile = r.units > 1 ? task / r.units : task, unit = task - tile * r.units;
    int own;
    int64_t result = result_of(r.across, r.group, tile, &own);
    F f;
    if (result < r.results) {
      int64_t begin = unit * r.unit, end = r.length - begin < r.unit ? r.length : begin + r.unit;
      fold_share<T>(f, r, (const typename T::Memory *)r.x + walk_to(r.kept, result, r.kept.stride), begin, end, own,
                    r.group);
    }
    typename J::Acc all = join_group<J>(f.total(), r.group, r.across);
    if (own > 0 || result >= r.results) continue;
    if (r.units > 1)
      ((typename J::Acc *)r.partial)[unit * r.results + result] = all;
    else
      finish(r, walk_to(r.kept, result, r.kept.out), all);
  }
}

/* Joins the units of each result; neighbours have neighbouring results. */
template <class J> __global__ void __launch_bounds__(REDUCE_THREADS) join_units(ReduceRun r) {
  int per = REDUCE_THREADS / r.group;
  for (int64_t tile = blockIdx.x; tile * per < r.results; tile += gridDim.x) {
    int own;
    int64_t result = result_of(true, r.group, tile, &own);
    typename J::Acc all = J::none();
    if (result < r.results)
      for (int64_t unit = own; unit < r.units; unit += r.group)
        all = J::join(all, ((const typename J::Acc *)r.partial)[unit * r.results + result]);
    all = join_group<J>(all, r.group, true);
    if (own == 0 && result < r.results) finish(r, walk_to(r.kept, result, r.kept.out), all);
  }
}

static unsigned grid(int64_t blocks) { return (unsigned)(blocks < 1 << 20 ? blocks : 1 << 20); }

template <class T, class F> static int launch(ReduceRun r, void *stream) {
  int per = REDUCE_THREADS / r.group;
  CUDA_LAUNCH((fold<T, F>), grid((r.results + per - 1) / per * r.units), REDUCE_THREADS, 0, (cudaStream_t)stream, r);
  int error = launched();
  if (error || r.units == 1) return error;
  r.group = 1;
  while (r.group < REDUCE_THREADS && (r.group < r.units && REDUCE_THREADS / r.group >= 2 * r.results)) r.group *= 2;
  if (r.results >= WARP) r.group = REDUCE_THREADS / WARP;
  per = REDUCE_THREADS / r.group;
  CUDA_LAUNCH((join_units<typename F::Join>), grid((r.results + per - 1) / per), REDUCE_THREADS, 0,
              (cudaStream_t)stream, r);
  return launched();
}

enum { IS_F16 = 1, IS_BF16 = 2, IS_F32 = 4, IS_F64 = 8, IS_I64 = 16, IS_I32 = 32, IS_BYTE = 64 };
enum { HALVES = IS_F16 | IS_BF16, FLOATS = IS_F32 | IS_F64, LANES = FLOATS | IS_I64 };
/* Dtypes that each fold has kernels for. */
static int types_of(int fold) {
  switch (fold) {
  case FOLD_SUM: return HALVES | LANES | IS_I32 | IS_BYTE;
  case FOLD_NONZERO: return LANES | IS_BYTE;
  case FOLD_PROD: return LANES;
  case FOLD_ABS_MAX:
  case FOLD_ABS_MIN:
  case FOLD_POWERS: return FLOATS;
  case FOLD_ABS_SUM:
  case FOLD_SQUARES:
  case FOLD_MOMENTS: return HALVES | FLOATS;
  default: return HALVES | LANES;
  }
}
static int type_bit(int dtype) {
  static const int bits[] = {IS_BYTE, IS_BYTE, 0, 0, IS_I32, IS_I64, IS_F16, IS_BF16, IS_F32, IS_F64};
  return dtype < 0 || dtype >= MT_DTYPES ? 0 : bits[dtype];
}

template <int TYPES, template <class> class F> static int with(int dtype, const ReduceRun &r, void *stream) {
  int bit = type_bit(dtype) & TYPES;
  if constexpr ((TYPES & HALVES) != 0) {
    if (bit == IS_F16) return launch<F16, F<float>>(r, stream);
    if (bit == IS_BF16) return launch<BF16, F<float>>(r, stream);
  }
  if (bit == IS_F32) return launch<F32, F<float>>(r, stream);
  if (bit == IS_F64) return launch<F64, F<double>>(r, stream);
  if constexpr ((TYPES & IS_I64) != 0)
    if (bit == IS_I64) return launch<I64, F<int64_t>>(r, stream);
  if constexpr ((TYPES & IS_I32) != 0)
    if (bit == IS_I32) return launch<I32, F<int64_t>>(r, stream);
  if constexpr ((TYPES & IS_BYTE) != 0)
    if (bit == IS_BYTE) return launch<U8, F<int64_t>>(r, stream);
  return -1;
}
template <class V> using FoldMost = FoldBetter<V, false, false>;
template <class V> using FoldLeast = FoldBetter<V, true, false>;
template <class V> using FoldAbsLeast = FoldBetter<V, true, true>;
template <class V> using FoldFirstMost = FoldFirst<V, false>;
template <class V> using FoldFirstLeast = FoldFirst<V, true>;

CUDA_API bool cuda_reduce_reads(int fold, int dtype) { return (types_of(fold) & type_bit(dtype)) != 0; }
CUDA_API int cuda_reduce_room(int fold) {
  return fold == FOLD_MOMENTS ? sizeof(Moments) : fold >= FOLDS ? sizeof(Place<double>) : sizeof(double);
}

CUDA_API int cuda_launch_reduce(int dtype, const ReduceRun *run, void *stream) {
  if (run->results == 0) return 0;
  switch (run->fold) {
  case FOLD_SUM: return with<HALVES | LANES | IS_I32 | IS_BYTE, FoldSum>(dtype, *run, stream);
  case FOLD_NONZERO: return with<LANES | IS_BYTE, FoldNonzero>(dtype, *run, stream);
  case FOLD_PROD: return with<LANES, FoldProduct>(dtype, *run, stream);
  case FOLD_MAX: return with<HALVES | LANES, FoldMost>(dtype, *run, stream);
  case FOLD_MIN: return with<HALVES | LANES, FoldLeast>(dtype, *run, stream);
  case FOLD_ABS_SUM: return with<HALVES | FLOATS, FoldAbsolute>(dtype, *run, stream);
  case FOLD_SQUARES: return with<HALVES | FLOATS, FoldSquares>(dtype, *run, stream);
  case FOLD_ABS_MAX: return with<FLOATS, FoldAbsMost>(dtype, *run, stream);
  case FOLD_ABS_MIN: return with<FLOATS, FoldAbsLeast>(dtype, *run, stream);
  case FOLD_POWERS: return with<FLOATS, FoldPowers>(dtype, *run, stream);
  case FOLD_MOMENTS: return with<HALVES | FLOATS, FoldMoments>(dtype, *run, stream);
  case FOLD_FIRST_MAX: return with<HALVES | LANES, FoldFirstMost>(dtype, *run, stream);
  case FOLD_FIRST_MIN: return with<HALVES | LANES, FoldFirstLeast>(dtype, *run, stream);
  default: return -1;
  }
}
