/* Normalisation: rows by warps or blocks, which hold theirs in registers up to 4096 elements and read longer ones again from
 * the cache, and elements by threads where mean and variance are known. Sums of a thread run in the element's type, those
 * of groups and columns in double. */
#include "cuda/held.cuh"
#include "cuda/norm.h"

static __device__ inline int64_t divide(int64_t a, int64_t b) {
  return (uint64_t)(a | b) >> 32 ? a / b : (uint32_t)a / (uint32_t)b;
}
template <class V> static __device__ inline V inverse_root(V var, double eps) {
  if constexpr (sizeof(V) == 8)
    return 1 / sqrt(var + eps);
  else
    return 1 / sqrtf(var + (float)eps);
}
static __device__ inline double add(double a, double b) { return a + b; }
template <class V> static __device__ inline V at_or(const void *p, int64_t i, V otherwise) {
  return p ? ((const V *)p)[i] : otherwise;
}

#define EACH_LINE(line, lines, GROUP)                                           \
  for (int64_t line = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / GROUP, \
               line##_step = (int64_t)gridDim.x * blockDim.x / GROUP;           \
       line < (lines); line += line##_step)

/* What differences are taken to before they are summed, so that a mean far from 0 costs no digits. */
template <class T> static __device__ inline typename T::Value first_of(const typename T::Memory *x) {
  typename T::Value first = T::load(x[0]);
  return first - first != 0 ? 0 : first;
}
template <class T, int GROUP> __global__ void __launch_bounds__(THREADS) rows(DeviceNorm n) {
  typedef typename T::Value V;
  int own = (int)threadIdx.x % GROUP;
  EACH_LINE(row, n.groups, GROUP) {
    const typename T::Memory *x = (const typename T::Memory *)n.x + row * n.inner;
    typename T::Memory *out = (typename T::Memory *)n.out + row * n.inner;
    V sum = 0, squares = 0, mean = 0;
    if (!n.raw) {
      V first = first_of<T>(x);
      for (int64_t k = own; k < n.inner; k += GROUP) sum += T::load(x[k]) - first;
      mean = (V)(first + group_all<GROUP>((double)sum, 0.0, add) / (double)n.inner);
    }
    for (int64_t k = own; k < n.inner; k += GROUP) {
      V d = T::load(x[k]) - mean;
      squares += d * d;
    }
    V var = (V)(group_all<GROUP>((double)squares, 0.0, add) / (double)n.inner), scale = inverse_root(var, n.eps);
    if (own == 0) {
      ((V *)n.mean)[row] = mean;
      ((V *)n.var)[row] = var;
    }
    for (int64_t k = own; k < n.inner; k += GROUP) {
      int64_t c = n.each ? k : n.weight || n.bias ? divide(row * n.inner + k, n.run) % n.channels : 0;
      V y = (T::load(x[k]) - mean) * scale;
      out[k] = T::store(y * at_or<V>(n.weight, c, 1) + at_or<V>(n.bias, c, 0));
    }
  }
}

template <class T, int GROUP, int HOLD> __global__ void __launch_bounds__(THREADS) rows_held(DeviceNorm n, bool wide) {
  typedef typename T::Value V;
  int own = (int)threadIdx.x % GROUP, length = (int)n.inner;
  EACH_LINE(row, n.groups, GROUP) {
    const typename T::Memory *x = (const typename T::Memory *)n.x + row * length;
    V v[HOLD], sum = 0, squares = 0, mean = 0;
    hold<T, GROUP, HOLD>(v, x, length, own, wide, (V)0);
    if (!n.raw) {
      V first = first_of<T>(x);
      for (int j = 0; j < HOLD; j++)
        if (held_at<T, GROUP>(j, own, wide) < length) sum += v[j] - first;
      mean = (V)(first + group_all<GROUP>((double)sum, 0.0, add) / (double)length);
    }
    for (int j = 0; j < HOLD; j++) {
      v[j] -= mean;
      if (held_at<T, GROUP>(j, own, wide) < length) squares += v[j] * v[j];
    }
    V var = (V)(group_all<GROUP>((double)squares, 0.0, add) / (double)length), scale = inverse_root(var, n.eps);
    if (own == 0) {
      ((V *)n.mean)[row] = mean;
      ((V *)n.var)[row] = var;
    }
    for (int j = 0; j < HOLD; j++) {
      int k = held_at<T, GROUP>(j, own, wide);
      if (k < length) v[j] = v[j] * scale * at_or<V>(n.weight, k, 1) + at_or<V>(n.bias, k, 0);
    }
    let_go<T, GROUP, HOLD>(v, (typename T::Memory *)n.out + row * length, length, own, wide);
  }
}

template <class T> __global__ void __launch_bounds__(THREADS) apply(DeviceNorm n) {
  typedef typename T::Value V;
  EACH_ELEMENT(i, n.outer * n.groups * n.inner) {
    int64_t row = divide(i, n.inner), g = row - divide(row, n.groups) * n.groups, c = divide(i, n.run);
    c -= divide(c, n.channels) * n.channels;
    V y = (T::load(((const typename T::Memory *)n.x)[i]) - ((const V *)n.mean)[g]) *
          inverse_root(((const V *)n.var)[g], n.eps);
    ((typename T::Memory *)n.out)[i] = T::store(y * at_or<V>(n.weight, c, 1) + at_or<V>(n.bias, c, 0));
  }
}

template <class T, int GROUP> __global__ void __launch_bounds__(THREADS) back_rows(DeviceNorm n, bool fixed) {
  typedef typename T::Value V;
  int own = (int)threadIdx.x % GROUP;
  EACH_LINE(row, n.groups, GROUP) {
    const typename T::Memory *x = (const typename T::Memory *)n.x + row * n.inner;
    const typename T::Memory *grad = (const typename T::Memory *)n.grad + row * n.inner;
    typename T::Memory *out = (typename T::Memory *)n.out + row * n.inner;
    V mean = ((const V *)n.mean)[row], scale = inverse_root(((const V *)n.var)[row], n.eps), a = 0, b = 0;
    if (!fixed) {
      for (int64_t k = own; k < n.inner; k += GROUP) {
        V g = T::load(grad[k]) * at_or<V>(n.weight, k, 1);
        a += g;
        b += g * (T::load(x[k]) - mean);
      }
      a = n.raw ? 0 : (V)(group_all<GROUP>((double)a, 0.0, add) / n.count);
      b = (V)(group_all<GROUP>((double)b, 0.0, add) * (double)scale * (double)scale / n.count);
    }
    for (int64_t k = own; k < n.inner; k += GROUP) {
      V g = T::load(grad[k]) * at_or<V>(n.weight, k, 1);
      out[k] = T::store(scale * (g - a - (T::load(x[k]) - mean) * b));
    }
  }
}

/* The same for rows that are held: g is grad times weight, x its difference from the mean. */
template <class T, int GROUP, int HOLD>
__global__ void __launch_bounds__(THREADS) back_rows_held(DeviceNorm n, bool fixed, bool wide) {
  typedef typename T::Value V;
  typedef typename T::Memory M;
  int own = (int)threadIdx.x % GROUP, length = (int)n.inner;
  EACH_LINE(row, n.groups, GROUP) {
    V g[HOLD], x[HOLD], a = 0, b = 0;
    V mean = ((const V *)n.mean)[row], scale = inverse_root(((const V *)n.var)[row], n.eps);
    hold<T, GROUP, HOLD>(g, (const M *)n.grad + row * length, length, own, wide, (V)0);
    hold<T, GROUP, HOLD>(x, (const M *)n.x + row * length, length, own, wide, mean);
    for (int j = 0; j < HOLD; j++) {
      int k = held_at<T, GROUP>(j, own, wide);
      g[j] *= k < length ? at_or<V>(n.weight, k, 1) : (V)0;
      x[j] -= mean;
      a += g[j];
      if (k < length) b += g[j] * x[j];
    }
    if (!fixed) {
      a = n.raw ? 0 : (V)(group_all<GROUP>((double)a, 0.0, add) / n.count);
      b = (V)(group_all<GROUP>((double)b, 0.0, add) * (double)scale * (double)scale / n.count);
    } else {
      a = b = 0;
    }
    for (int j = 0; j < HOLD; j++) g[j] = scale * (g[j] - a - x[j] * b);
    let_go<T, GROUP, HOLD>(g, (M *)n.out + row * length, length, own, wide);
  }
}

template <class T> __global__ void __launch_bounds__(THREADS) back_apply(DeviceNorm n) {
  typedef typename T::Value V;
  EACH_ELEMENT(i, n.outer * n.groups * n.inner) {
    int64_t row = divide(i, n.inner), g = row - divide(row, n.groups) * n.groups, c = divide(i, n.run);
    c -= divide(c, n.channels) * n.channels;
    V scale = inverse_root(((const V *)n.var)[g], n.eps);
    V v = T::load(((const typename T::Memory *)n.grad)[i]) * at_or<V>(n.weight, c, 1);
    if (n.group_sums) {
      V xhat = (T::load(((const typename T::Memory *)n.x)[i]) - ((const V *)n.mean)[g]) * scale;
      v -= (n.raw ? 0 : (V)n.group_sums[g]) + xhat * (V)n.group_sums[n.groups + g];
    }
    ((typename T::Memory *)n.out)[i] = T::store(scale * v);
  }
}

template <class T, int GROUP> __global__ void __launch_bounds__(THREADS) run_sums(DeviceNorm n) {
  typedef typename T::Value V;
  int own = (int)threadIdx.x % GROUP;
  int64_t all = n.outer * n.groups * n.runs;
  EACH_LINE(s, all, GROUP) {
    int64_t row = divide(s, n.runs), first = row * n.inner + (s - row * n.runs) * n.length;
    int64_t g = row - divide(row, n.groups) * n.groups;
    const typename T::Memory *x = (const typename T::Memory *)n.x + first;
    const typename T::Memory *grad = (const typename T::Memory *)n.grad + first;
    V mean = ((const V *)n.mean)[g], scale = inverse_root(((const V *)n.var)[g], n.eps), a = 0, b = 0;
    for (int64_t k = own; k < n.length; k += GROUP) {
      V v = T::load(grad[k]);
      a += v;
      b += v * (T::load(x[k]) - mean);
    }
    double sum = group_all<GROUP>((double)a, 0.0, add), with_xhat = group_all<GROUP>((double)b, 0.0, add);
    if (own > 0) continue;
    n.sums[s] = sum;
    n.sums[all + s] = with_xhat * (double)scale;
  }
}

/* A thread for each column and share of the rows. Moments are those of the row, or of the column. */
template <class T> __global__ void __launch_bounds__(THREADS) columns(DeviceNorm n, bool by_row) {
  typedef typename T::Value V;
  int64_t width = by_row ? n.inner : n.groups, height = by_row ? n.groups : n.outer;
  EACH_ELEMENT(task, width * n.shares) {
    int64_t share = divide(task, width), column = task - share * width;
    int64_t begin = height * share / n.shares, end = height * (share + 1) / n.shares;
    V mean = 0, scale = 0, a = 0, b = 0;
    double sum = 0, with_xhat = 0;
    for (int64_t row = begin; row < end; row++) {
      if (by_row || row == begin) {
        int64_t g = by_row ? row : column;
        mean = ((const V *)n.mean)[g];
        scale = inverse_root(((const V *)n.var)[g], n.eps);
      }
      V v = T::load(((const typename T::Memory *)n.grad)[row * width + column]);
      a += v;
      b += v * ((T::load(((const typename T::Memory *)n.x)[row * width + column]) - mean) * scale);
      if ((row - begin) % 16 == 15 || row + 1 == end) {
        sum += (double)a;
        with_xhat += (double)b;
        a = b = 0;
      }
    }
    n.sums[task] = sum;
    n.sums[width * n.shares + task] = with_xhat;
  }
}

template <class V> __global__ void __launch_bounds__(THREADS) groups(DeviceNorm n, double *to) {
  int own = (int)threadIdx.x % WARP;
  int64_t all = n.groups * n.runs;
  EACH_LINE(g, n.groups, WARP) {
    double a = 0, b = 0;
    for (int64_t k = own; k < n.runs; k += WARP) {
      int64_t s = g * n.runs + k;
      double w = (double)at_or<V>(n.weight, s % n.channels, 1);
      a += w * n.sums[s];
      b += w * n.sums[all + s];
    }
    a = warp_all(a, add);
    b = warp_all(b, add);
    if (own > 0) continue;
    to[g] = a / n.count;
    to[n.groups + g] = b / n.count;
  }
}

/* Blocks for lines of that length: a warp each, or a block. */
static bool short_line(int64_t length) { return length <= 2048; }
static unsigned line_blocks(int64_t lines, int64_t length) {
  return blocks_for(lines * (short_line(length) ? (int)WARP : (int)THREADS), 1);
}

/* The kernels by the length of a row: f(group, elements held by a thread; 0: none, where the row is not `plain` too). */
template <int N> using Number = std::integral_constant<int, N>;
template <class F> static void by_length(int64_t length, bool plain, F f) {
  if (!plain && length <= 32 * WARP)
    f(Number<WARP>(), Number<0>());
  else if (plain && length <= 8 * WARP)
    f(Number<WARP>(), Number<8>());
  else if (plain && length <= 32 * WARP)
    f(Number<WARP>(), Number<32>());
  else if (plain && length <= 16 * THREADS)
    f(Number<THREADS>(), Number<16>());
  else
    f(Number<THREADS>(), Number<0>());
}

CUDA_API int cuda_launch_norm_rows(int dtype, const DeviceNorm *n, void *stream) {
  int error = -1;
  with_float(dtype, [&](auto tag) {
    typedef decltype(tag) T;
    bool wide = in_packs<T>(n->inner, n->x, n->out, NULL);
    by_length(n->inner, n->each || (!n->weight && !n->bias), [&](auto group, auto held) {
      constexpr int GROUP = decltype(group)::value, HOLD = decltype(held)::value;
      unsigned blocks = blocks_for(n->groups * GROUP, 1);
      if constexpr (HOLD > 0)
        CUDA_LAUNCH((rows_held<T, GROUP, HOLD>), blocks, THREADS, 0, (cudaStream_t)stream, *n, wide);
      else
        CUDA_LAUNCH((rows<T, GROUP>), blocks, THREADS, 0, (cudaStream_t)stream, *n);
    });
    error = launched();
  });
  return error;
}
CUDA_API int cuda_launch_norm_apply(int dtype, const DeviceNorm *n, void *stream) {
  int error = -1;
  with_float(dtype, [&](auto tag) {
    typedef decltype(tag) T;
    CUDA_LAUNCH((apply<T>), blocks_for(n->outer * n->groups * n->inner, 1), THREADS, 0, (cudaStream_t)stream, *n);
    error = launched();
  });
  return error;
}
CUDA_API int cuda_launch_norm_back_rows(int dtype, const DeviceNorm *n, bool fixed, void *stream) {
  int error = -1;
  with_float(dtype, [&](auto tag) {
    typedef decltype(tag) T;
    bool wide = in_packs<T>(n->inner, n->x, n->grad, n->out);
    by_length(n->inner, true, [&](auto group, auto held) {
      constexpr int GROUP = decltype(group)::value, HOLD = decltype(held)::value;
      unsigned blocks = blocks_for(n->groups * GROUP, 1);
      if constexpr (HOLD > 0)
        CUDA_LAUNCH((back_rows_held<T, GROUP, HOLD>), blocks, THREADS, 0, (cudaStream_t)stream, *n, fixed, wide);
      else
        CUDA_LAUNCH((back_rows<T, GROUP>), blocks, THREADS, 0, (cudaStream_t)stream, *n, fixed);
    });
    error = launched();
  });
  return error;
}
CUDA_API int cuda_launch_norm_back_apply(int dtype, const DeviceNorm *n, void *stream) {
  int error = -1;
  with_float(dtype, [&](auto tag) {
    typedef decltype(tag) T;
    CUDA_LAUNCH((back_apply<T>), blocks_for(n->outer * n->groups * n->inner, 1), THREADS, 0, (cudaStream_t)stream, *n);
    error = launched();
  });
  return error;
}
CUDA_API int cuda_launch_norm_runs(int dtype, const DeviceNorm *n, void *stream) {
  int error = -1;
  with_float(dtype, [&](auto tag) {
    typedef decltype(tag) T;
    int64_t all = n->outer * n->groups * n->runs;
    if (n->length < 16)
      CUDA_LAUNCH((run_sums<T, 1>), blocks_for(all, 1), THREADS, 0, (cudaStream_t)stream, *n);
    else if (short_line(n->length))
      CUDA_LAUNCH((run_sums<T, WARP>), line_blocks(all, n->length), THREADS, 0, (cudaStream_t)stream, *n);
    else
      CUDA_LAUNCH((run_sums<T, THREADS>), line_blocks(all, n->length), THREADS, 0, (cudaStream_t)stream, *n);
    error = launched();
  });
  return error;
}
CUDA_API int cuda_launch_norm_columns(int dtype, const DeviceNorm *n, void *stream) {
  int error = -1;
  bool by_row = n->inner > 1;
  with_float(dtype, [&](auto tag) {
    typedef decltype(tag) T;
    unsigned blocks = blocks_for((by_row ? n->inner : n->groups) * n->shares, 1);
    CUDA_LAUNCH((columns<T>), blocks, THREADS, 0, (cudaStream_t)stream, *n, by_row);
    error = launched();
  });
  return error;
}
CUDA_API int cuda_launch_norm_groups(int dtype, const DeviceNorm *n, double *to, void *stream) {
  unsigned blocks = blocks_for(n->groups * WARP, 1);
  if (dtype == MT_F64)
    CUDA_LAUNCH((groups<double>), blocks, THREADS, 0, (cudaStream_t)stream, *n, to);
  else
    CUDA_LAUNCH((groups<float>), blocks, THREADS, 0, (cudaStream_t)stream, *n, to);
  return launched();
}
