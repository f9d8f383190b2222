/* Drawing with Philox: which thread draws which number, and what becomes of it, is as in PyTorch's kernels, so a seed gives
 * its numbers on a device with as many multiprocessors. */
#include "cuda/draw.h"
#include "cuda/fault.cuh"
#include "cuda/philox.cuh"
extern "C" {
#include "cpu/draw.h"
}

template <class V> static __device__ inline V least_step() { return sizeof(V) == 8 ? (V)0x1p-52 : (V)0x1p-23; }

/* What becomes of a uniform number of (0, 1]. */
template <class V> static __device__ inline V from_uniform(int kind, V u, V a, V b) {
  V step = least_step<V>();
  switch (kind) {
  case DRAW_CAUCHY:
    u = u > 1 - step ? 1 - step : u < step ? step : u;
    return a + b * (V)tan((V)3.14159265358979323846 * (u - (V)0.5));
  case DRAW_EXPONENTIAL: return -(u >= 1 - step / 2 ? -step / 2 : (V)log(u)) / a;
  case DRAW_GEOMETRIC: return (V)ceil((V)log(u) / (V)log1p(-a));
  case DRAW_BERNOULLI: return u < a;
  default: return u * (b - a) + a;
  }
}

enum Words { UNIFORM, NORMAL, BITS };

/* V numbers of one call: four, or two of 64 bits. */
template <class T, int WORDS> static __device__ inline int draw(const DrawRun &r, Philox &p, typename T::Memory *out) {
  typedef typename T::Value V;
  uint4 x = p.next();
  if constexpr (WORDS == BITS) {
    uint64_t words[4] = {x.x, x.y, x.z, x.w};
    if (r.wide) {
      words[0] = words[0] << 32 | words[1];
      words[1] = words[2] << 32 | words[3];
    }
    int n = r.wide ? 2 : 4;
    for (int k = 0; k < n; k++) {
      int64_t value = (int64_t)((r.range ? words[k] % r.range : words[k]) + (uint64_t)r.low);
      out[k] = T::store((V)value);
    }
    return n;
  } else if constexpr (std::is_same<T, F64>::value) {
    double number[2];
    if constexpr (WORDS == NORMAL) {
      normals(x, number);
    } else {
      number[0] = unit_f64(x.x, x.y);
      number[1] = unit_f64(x.z, x.w);
    }
    for (int k = 0; k < 2; k++) {
      double y = number[k];
      if constexpr (WORDS == NORMAL) {
        y = y * r.b + r.a;
        out[k] = r.kind == DRAW_LOG_NORMAL ? exp(y) : y;
      } else {
        y = from_uniform(r.kind, y, r.a, r.b);
        out[k] = r.kind == DRAW_UNIFORM && y == r.b ? r.a : y;
      }
    }
    return 2;
  } else {
    float number[4] = {unit_f32(x.x), unit_f32(x.y), unit_f32(x.z), unit_f32(x.w)};
    if constexpr (WORDS == NORMAL) {
      normals(x, 0, number);
      normals(x, 1, number + 2);
    }
    for (int k = 0; k < 4; k++) {
      float y = number[k];
      if constexpr (WORDS == NORMAL) {
        y = y * (float)r.b + (float)r.a;
        out[k] = T::store((V)(r.kind == DRAW_LOG_NORMAL ? expf(y) : y));
      } else {
        y = from_uniform(r.kind, y, (float)r.a, (float)r.b);
        out[k] = T::store((V)y);
        if (r.kind == DRAW_UNIFORM && T::load(out[k]) == T::load(T::store((V)r.b))) out[k] = T::store((V)r.a);
      }
    }
    return 4;
  }
}

template <class T, int WORDS> __global__ void __launch_bounds__(DRAW_THREADS) fill(DrawRun r) {
  typedef typename T::Memory M;
  int64_t threads = (int64_t)gridDim.x * blockDim.x, own = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
  int each = (WORDS == BITS ? r.wide : std::is_same<T, F64>::value) ? 2 : 4;
  Philox p(r.from, (uint64_t)own);
  for (int64_t first = own; first - own < r.n; first += threads * each) {
    M out[4];
    int n = draw<T, WORDS>(r, p, out);
    for (int k = 0; k < n; k++)
      if (first + k * threads < r.n) ((M *)r.to)[first + k * threads] = out[k];
  }
}

template <class T, int WORDS> static int launch(const DrawRun &r, void *stream) {
  CUDA_LAUNCH((fill<T, WORDS>), r.blocks, DRAW_THREADS, 0, (cudaStream_t)stream, r);
  return launched();
}

CUDA_API int cuda_launch_draw(int dtype, const DrawRun *run, void *stream) {
  int error = -1;
  with_type(dtype, [&](auto tag) {
    typedef decltype(tag) T;
    if (run->kind >= DRAW_BETWEEN) {
      error = launch<T, BITS>(*run, stream);
    } else if (run->kind == DRAW_NORMAL || run->kind == DRAW_LOG_NORMAL) {
      if constexpr ((typename T::Value)0.5 != 0) error = launch<T, NORMAL>(*run, stream);
    } else {
      error = launch<T, UNIFORM>(*run, stream);
    }
  });
  return error;
}

__global__ void set_state(uint64_t *state, uint64_t seed, uint64_t offset) {
  state[0] = seed;
  state[1] = offset;
}
CUDA_API int cuda_launch_draw_state(uint64_t *state, uint64_t seed, uint64_t offset, void *stream) {
  CUDA_LAUNCH(set_state, 1, 1, 0, (cudaStream_t)stream, state, seed, offset);
  return launched();
}

/* A Poisson count: below 10 the product of uniforms, from 10 on transformed rejection (Hoermann, 1993: PTRS). */
static __device__ inline double unit(Philox &p) {
  uint4 x = p.next();
  return unit_f64(x.x, x.y);
}
static __device__ double poisson(Philox &p, double rate) {
  if (rate == 0) return 0;
  if (rate < 10) {
    double count = 0, product = 1, limit = exp(-rate);
    while ((product *= unit(p)) > limit) count++;
    return count;
  }
  double log_rate = log(rate), b = 0.931 + 2.53 * sqrt(rate), a = -0.059 + 0.02483 * b;
  double inverse_alpha = 1.1239 + 1.1328 / (b - 3.4), v_r = 0.9277 - 3.6224 / (b - 2);
  for (;;) {
    double u = unit(p) - 0.5, v = unit(p), us = 0.5 - fabs(u);
    double k = floor((2 * a / us + b) * u + rate + 0.43);
    if (us >= 0.07 && v <= v_r) return k;
    if (!(k >= 0) || (us < 0.013 && v > us)) continue;
    if (log(v) + log(inverse_alpha) - log(a / (us * us) + b) <= -rate + k * log_rate - lgamma(k + 1)) return k;
  }
}

template <class P, class T> __global__ void __launch_bounds__(DRAW_THREADS) fill_by(DrawByRun r) {
  Philox p(r.from, (uint64_t)blockIdx.x * blockDim.x + threadIdx.x);
  EACH_ELEMENT(i, r.n) {
    double number = P::load(((const typename P::Memory *)r.numbers)[i]), y = 0;
    bool chance = r.kind == DRAW_BY_CHANCE;
    if (!(number >= 0 && (!chance || number <= 1)))
      fault_note(r.fault, chance ? FAULT_CHANCE : FAULT_RATE, 0, __double_as_longlong(number), 0, i + 1);
    else if (!chance)
      y = poisson(p, number);
    else if (std::is_same<P, F64>::value)
      y = unit(p) <= number;
    else
      y = unit_f32(p.next().x) <= (float)number;
    ((typename T::Memory *)r.to)[i] = T::store((typename T::Value)y);
  }
}

CUDA_API int cuda_launch_draw_by(int dtype, int to_dtype, const DrawByRun *run, void *stream) {
  int error = -1;
  with_float(dtype, [&](auto from) {
    with_type(to_dtype, [&](auto to) {
      CUDA_LAUNCH((fill_by<decltype(from), decltype(to)>), run->blocks, DRAW_THREADS, 0, (cudaStream_t)stream, *run);
      error = launched();
    });
  });
  return error;
}
