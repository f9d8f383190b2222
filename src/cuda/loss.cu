/* Losses of pairs, and of class labels.
 *
 * What a value is made of is checked on the way: a probability outside of 0 ... 1 and a label that is no class are noted
 * as faults and count nothing. Values are summed in double, in an order that follows from the shapes. */
#include "cuda/fault.cuh"
#include "cuda/group.cuh"
#include "cuda/loss.h"

static __device__ inline float exp_of(float x) { return expf(x); }
static __device__ inline double exp_of(double x) { return exp(x); }
static __device__ inline float log_of(float x) { return logf(x); }
static __device__ inline double log_of(double x) { return log(x); }
static __device__ inline float log_plus(float x) { return log1pf(x); }
static __device__ inline double log_plus(double x) { return log1p(x); }
static __device__ inline double add(double a, double b) { return a + b; }
template <class V> static __device__ inline V absolute(V x) { return x < 0 ? -x : x; }
template <class V> static __device__ inline V at_least(V x, V low) { return x < low ? low : x; }

/* ---- pairs ---- */

template <class V> static __device__ inline V pair_value(const PairRun &r, int64_t i, V x, V t) {
  V a = (V)r.a, d = x - t, size = absolute(d);
  switch (r.kind) {
  case PAIR_SQUARED: return d * d;
  case PAIR_ABSOLUTE: return size;
  case PAIR_SMOOTH: return size < a ? (V)0.5 * d * d / a : size - (V)0.5 * a;
  case PAIR_HUBER: return size < a ? (V)0.5 * d * d : a * (size - (V)0.5 * a);
  case PAIR_BCE: return (t - 1) * at_least(log_plus(-x), (V)-100) - t * at_least(log_of(x), (V)-100);
  default: {
    V soft = log_plus(exp_of(-absolute(x))) + (x < 0 ? -x : 0);
    V weight = r.positive ? (((const V *)r.positive)[i] - 1) * t + 1 : 1;
    return (1 - t) * x + weight * soft;
  }
  }
}
/* Whether v lies within 0 ... 1; else it is noted. */
template <class V> static __device__ inline bool is_share(const PairRun &r, V v, int which, int64_t i) {
  if (v >= 0 && v <= 1) return true;
  double wide = (double)v;
  int64_t bits;
  memcpy(&bits, &wide, sizeof bits);
  fault_note(r.fault, FAULT_PROBABILITY, which, bits, 0, i + 1);
  return false;
}
template <class V> __global__ void __launch_bounds__(THREADS) pairs(PairRun r) {
  double sum = 0;
  EACH_ELEMENT(i, r.n) {
    V x = ((const V *)r.x)[i], t = ((const V *)r.t)[i], value = 0;
    bool good = r.kind != PAIR_BCE || (is_share(r, x, 0, i) && is_share(r, t, 1, i));
    if (good) value = pair_value(r, i, x, t) * (r.w ? ((const V *)r.w)[i] : 1);
    if (r.out)
      ((V *)r.out)[i] = value;
    else
      sum += (double)value;
  }
  if (r.out) return;
  sum = block_all(sum, 0.0, add);
  if (threadIdx.x == 0) r.partial[blockIdx.x] = sum * r.scale;
}
CUDA_API int cuda_launch_pair_loss(int dtype, const PairRun *run, void *stream) {
  if (dtype == MT_F64)
    CUDA_LAUNCH((pairs<double>), (unsigned)run->blocks, THREADS, 0, (cudaStream_t)stream, *run);
  else
    CUDA_LAUNCH((pairs<float>), (unsigned)run->blocks, THREADS, 0, (cudaStream_t)stream, *run);
  return launched();
}

/* ---- labels ---- */

template <class V> static __device__ inline V weight_of(const LabelRun &r, int64_t k) {
  return r.weight ? ((const V *)r.weight)[k] : 1;
}
/* The class of label i from 0; -1 where it does not count: it is ignored, or no class, which is noted. */
static __device__ inline int64_t class_of(const LabelRun &r, int64_t i) {
  int64_t v = r.label[i];
  if (v == r.ignore) return -1;
  if (v >= 1 && v <= r.classes) return v - 1;
  fault_note(r.fault, FAULT_LABEL, 0, v, r.classes, i + 1);
  return -1;
}

template <class V> static __device__ inline V scaled(V sum, V from, V to) {
  return from == to ? sum : sum * exp_of(from - to);
}

template <class T, int GROUP> __global__ void __launch_bounds__(THREADS) label_values(LabelRun r) {
  typedef typename T::Value V;
  int own = (int)threadIdx.x % GROUP;
  int64_t labels = r.outer * r.inner, step = (int64_t)gridDim.x * blockDim.x / GROUP;
  for (int64_t i = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / GROUP; i < labels; i += step) {
    const typename T::Memory *x = (const typename T::Memory *)r.x + i / r.inner * r.classes * r.inner + i % r.inner;
    double log_sum = 0, weights = 0, weighted = 0;
    if (r.log_sum) {
      V most = -(V)INFINITY, sum = 0;
      for (int64_t k = own; k < r.classes; k += GROUP) {
        V v = T::load(x[k * r.inner]);
        if (v > most) {
          sum = sum * exp_of(most - v) + 1;
          most = v;
        } else {
          sum += v == most ? 1 : exp_of(v - most);
        }
        if (r.smoothing > 0) {
          weights += (double)weight_of<V>(r, k);
          weighted += (double)weight_of<V>(r, k) * (double)v;
        }
      }
      V all = group_all<GROUP>(most, -(V)INFINITY, [](V a, V b) { return a > b || a != a ? a : b; });
      sum = group_all<GROUP>(scaled(sum, most, all), (V)0, [](V a, V b) { return a + b; });
      log_sum = all - all == 0 ? (double)all + (double)log_of(sum) : (double)NAN;
      if (r.smoothing > 0) {
        weights = group_all<GROUP>(weights, 0.0, add);
        weighted = group_all<GROUP>(weighted, 0.0, add);
      }
    }
    if (own > 0) continue;
    int64_t k = class_of(r, i);
    double weight = k < 0 ? 0 : (double)weight_of<V>(r, k), value = 0;
    if (k >= 0) value = weight * (log_sum - (double)T::load(x[k * r.inner]));
    if (k >= 0 && r.smoothing > 0)
      value = (1 - r.smoothing) * value + r.smoothing / (double)r.classes * (weights * log_sum - weighted);
    r.value[i] = value;
    r.value[labels + i] = weight;
    if (r.log_sum) r.log_sum[i] = log_sum;
    if (r.reduction == LOSS_NONE) ((typename T::Memory *)r.out)[i] = T::store((V)value);
  }
}
template <class T> __global__ void label_finish(LabelRun r) {
  double sum = r.total[0];
  if (r.reduction == LOSS_MEAN) sum /= r.total[1];
  *(typename T::Memory *)r.out = T::store((typename T::Value)sum);
}
template <class V> __global__ void __launch_bounds__(THREADS) label_weights(LabelRun r) {
  EACH_ELEMENT(i, r.outer * r.inner) {
    int64_t k = class_of(r, i);
    r.value[r.outer * r.inner + i] = k < 0 ? 0 : (double)weight_of<V>(r, k);
  }
}

static __device__ inline int64_t divide(int64_t a, int64_t b) {
  return (uint64_t)(a | b) >> 32 ? a / b : (uint32_t)a / (uint32_t)b;
}
/* gy (p sum(q) - q), q what the class counts; or q alone, with BACK false. */
template <class T, bool BACK> __global__ void __launch_bounds__(THREADS) by_class(LabelRun r) {
  typedef typename T::Value V;
  double part = r.smoothing / (double)r.classes, mean = r.reduction == LOSS_MEAN ? 1 / r.total[1] : 1;
  double all = r.spread ? *r.spread : (double)r.classes;
  EACH_ELEMENT(i, r.outer * r.classes * r.inner) {
    int64_t line = divide(i, r.inner), outer = divide(line, r.classes), k = line - outer * r.classes;
    int64_t at = outer * r.inner + (i - line * r.inner), label = class_of(r, at);
    V result = 0;
    if (label >= 0) {
      double own = (1 - r.smoothing) * (double)weight_of<V>(r, label);
      V q = part > 0 ? (V)(part * (double)weight_of<V>(r, k)) : 0;
      if (k == label) q += (V)own;
      if constexpr (BACK) {
        int64_t which = r.reduction == LOSS_NONE ? at : 0;
        double gy = mean * (r.wide ? ((const double *)r.gy)[which]
                                   : (double)T::load(((const typename T::Memory *)r.gy)[which]));
        double log_sum = r.log_sum[at];
        V high = (V)log_sum, low = high - high == 0 ? (V)(log_sum - (double)high) : 0;
        V p = exp_of((T::load(((const typename T::Memory *)r.x)[i]) - high) - low);
        result = p * (V)(gy * (own + part * all)) - (V)gy * q;
      } else {
        result = (V)((double)q * mean);
      }
    }
    ((typename T::Memory *)r.out)[i] = T::store(result);
  }
}

CUDA_API int cuda_launch_label_values(int dtype, const LabelRun *run, void *stream) {
  int error = -1;
  int64_t labels = run->outer * run->inner;
  with_float(dtype, [&](auto tag) {
    typedef decltype(tag) T;
    if (run->inner > 1 || run->classes < 16 || !run->log_sum)
      CUDA_LAUNCH((label_values<T, 1>), blocks_for(labels, 1), THREADS, 0, (cudaStream_t)stream, *run);
    else if (run->classes <= 2048)
      CUDA_LAUNCH((label_values<T, WARP>), blocks_for(labels * WARP, 1), THREADS, 0, (cudaStream_t)stream, *run);
    else
      CUDA_LAUNCH((label_values<T, THREADS>), blocks_for(labels * THREADS, 1), THREADS, 0, (cudaStream_t)stream, *run);
    error = launched();
  });
  return error;
}
CUDA_API int cuda_launch_label_finish(int dtype, const LabelRun *run, void *stream) {
  int error = -1;
  with_float(dtype, [&](auto tag) {
    CUDA_LAUNCH((label_finish<decltype(tag)>), 1, 1, 0, (cudaStream_t)stream, *run);
    error = launched();
  });
  return error;
}
CUDA_API int cuda_launch_label_weights(int dtype, const LabelRun *run, void *stream) {
  unsigned blocks = blocks_for(run->outer * run->inner, 1);
  if (dtype == MT_F64)
    CUDA_LAUNCH((label_weights<double>), blocks, THREADS, 0, (cudaStream_t)stream, *run);
  else
    CUDA_LAUNCH((label_weights<float>), blocks, THREADS, 0, (cudaStream_t)stream, *run);
  return launched();
}
template <bool BACK> static int launch_by_class(int dtype, const LabelRun *run, void *stream) {
  int error = -1;
  with_float(dtype, [&](auto tag) {
    unsigned blocks = blocks_for(run->outer * run->classes * run->inner, 1);
    CUDA_LAUNCH((by_class<decltype(tag), BACK>), blocks, THREADS, 0, (cudaStream_t)stream, *run);
    error = launched();
  });
  return error;
}
CUDA_API int cuda_launch_label_back(int dtype, const LabelRun *run, void *stream) {
  return launch_by_class<true>(dtype, run, stream);
}
CUDA_API int cuda_launch_class_weights(int dtype, const LabelRun *run, void *stream) {
  return launch_by_class<false>(dtype, run, stream);
}
