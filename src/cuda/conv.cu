/* Convolution by definition: a thread for each element of a result, or for weights, whose sums are long, a warp or a block.
 *
 * It serves depthwise convolutions, which are limited by memory, and what cuDNN does not do. Each element is summed in an
 * order that follows from the shapes. */
#include "cuda/conv.h"
#include "cuda/group.cuh"

static __device__ __host__ inline int64_t volume(const int s[3]) { return (int64_t)s[0] * s[1] * s[2]; }

struct Place {
  int at[3];
};
static __device__ inline Place place_of(unsigned i, const int s[3]) {
  unsigned line = i / (unsigned)s[2];
  return {{(int)(line / (unsigned)s[1]), (int)(line % (unsigned)s[1]), (int)(i % (unsigned)s[2])}};
}

/* y[n, g, o, q] = bias + the sum over channels and taps of x w. */
template <class T> __global__ void __launch_bounds__(THREADS) conv_output(ConvRun r) {
  typedef typename T::Memory M;
  typedef typename T::Value V;
  const int64_t xs = volume(r.xs), ys = volume(r.ys), ks = volume(r.ks), channels = r.groups * r.outs;
  EACH_ELEMENT(i, r.batch * channels * ys) {
    Place q = place_of((unsigned)(i % ys), r.ys);
    int64_t channel = i / ys % channels, n = i / ys / channels, g = channel / r.outs;
    const M *x = (const M *)r.x + (n * r.groups + g) * r.in * xs, *w = (const M *)r.w + channel * r.in * ks;
    V sum = 0;
    for (int64_t c = 0; c < r.in; c++, x += xs, w += ks) {
      const M *tap = w;
      for (int a = 0; a < r.ks[0]; a++)
        for (int b = 0; b < r.ks[1]; b++) {
          int i0 = q.at[0] * r.stride[0] - r.pad[0] + a * r.dilation[0],
              i1 = q.at[1] * r.stride[1] - r.pad[1] + b * r.dilation[1];
          bool inside = (unsigned)i0 < (unsigned)r.xs[0] && (unsigned)i1 < (unsigned)r.xs[1];
          const M *line = x + ((int64_t)i0 * r.xs[1] + i1) * r.xs[2];
          for (int t = 0; t < r.ks[2]; t++, tap++) {
            int i2 = q.at[2] * r.stride[2] - r.pad[2] + t * r.dilation[2];
            if (inside && (unsigned)i2 < (unsigned)r.xs[2]) sum += T::load(line[i2]) * T::load(*tap);
          }
        }
    }
    if (r.bias) sum += T::load(((const M *)r.bias)[channel]);
    ((M *)r.out)[i] = T::store(sum);
  }
}

/* The result along one dim that takes element i by tap t; -1: none. */
static __device__ inline int result_of(int i, int t, int stride, int pad, int dilation, int results) {
  int at = i + pad - t * dilation;
  if (at < 0 || at % stride) return -1;
  return at / stride < results ? at / stride : -1;
}

/* x[n, g, c, p] = bias + the sum over channels and taps of y w, where tap t of a result lies on p. */
template <class T> __global__ void __launch_bounds__(THREADS) conv_input(ConvRun r) {
  typedef typename T::Memory M;
  typedef typename T::Value V;
  const int64_t xs = volume(r.xs), ys = volume(r.ys), ks = volume(r.ks), channels = r.groups * r.in;
  EACH_ELEMENT(i, r.batch * channels * xs) {
    Place p = place_of((unsigned)(i % xs), r.xs);
    int64_t channel = i / xs % channels, n = i / xs / channels, g = channel / r.in, c = channel % r.in;
    const M *y = (const M *)r.y + (n * r.groups + g) * r.outs * ys, *w = (const M *)r.w + (g * r.outs * r.in + c) * ks;
    V sum = 0;
    for (int a = 0; a < r.ks[0]; a++) {
      int q0 = result_of(p.at[0], a, r.stride[0], r.pad[0], r.dilation[0], r.ys[0]);
      for (int b = 0; q0 >= 0 && b < r.ks[1]; b++) {
        int q1 = result_of(p.at[1], b, r.stride[1], r.pad[1], r.dilation[1], r.ys[1]);
        for (int t = 0; q1 >= 0 && t < r.ks[2]; t++) {
          int q2 = result_of(p.at[2], t, r.stride[2], r.pad[2], r.dilation[2], r.ys[2]);
          if (q2 < 0) continue;
          const M *from = y + ((int64_t)q0 * r.ys[1] + q1) * r.ys[2] + q2,
                  *tap = w + ((int64_t)a * r.ks[1] + b) * r.ks[2] + t;
          for (int64_t o = 0; o < r.outs; o++) sum += T::load(from[o * ys]) * T::load(tap[o * r.in * ks]);
        }
      }
    }
    if (r.bias) sum += T::load(((const M *)r.bias)[channel]);
    ((M *)r.out)[i] = T::store(sum);
  }
}

/* w[g, o, c, t] = the sum over images and results of x y: a group of threads for each. */
template <class T, int GROUP> __global__ void __launch_bounds__(THREADS) conv_weight(ConvRun r) {
  typedef typename T::Memory M;
  typedef typename T::Value V;
  const int64_t xs = volume(r.xs), ys = volume(r.ys), ks = volume(r.ks), all = r.groups * r.outs * r.in * ks;
  for (int64_t i = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / GROUP; i < all;
       i += (int64_t)gridDim.x * blockDim.x / GROUP) {
    Place t = place_of((unsigned)(i % ks), r.ks);
    int64_t c = i / ks % r.in, channel = i / ks / r.in, g = channel / r.outs;
    V sum = 0;
    for (int64_t at = threadIdx.x % GROUP; at < r.batch * ys; at += GROUP) {
      int64_t n = at / ys;
      unsigned q = (unsigned)(at - n * ys);
      Place to = place_of(q, r.ys);
      int i0 = to.at[0] * r.stride[0] - r.pad[0] + t.at[0] * r.dilation[0],
          i1 = to.at[1] * r.stride[1] - r.pad[1] + t.at[1] * r.dilation[1],
          i2 = to.at[2] * r.stride[2] - r.pad[2] + t.at[2] * r.dilation[2];
      if ((unsigned)i0 >= (unsigned)r.xs[0] || (unsigned)i1 >= (unsigned)r.xs[1] || (unsigned)i2 >= (unsigned)r.xs[2])
        continue;
      const M *x = (const M *)r.x + ((n * r.groups + g) * r.in + c) * xs + ((int64_t)i0 * r.xs[1] + i1) * r.xs[2] + i2;
      const M *y = (const M *)r.y + (n * r.groups * r.outs + channel) * ys + q;
      sum += T::load(*x) * T::load(*y);
    }
    sum = group_all<GROUP>(sum, (V)0, [](V a, V b) { return a + b; });
    if (threadIdx.x % GROUP == 0) ((M *)r.out)[i] = T::store(sum);
  }
}

CUDA_API int cuda_launch_conv(int which, int dtype, const ConvRun *run, void *stream) {
  const ConvRun &r = *run;
  int64_t xs = volume(r.xs), ys = volume(r.ys), weights = r.groups * r.outs * r.in * volume(r.ks);
  int error = -1;
  with_float(dtype, [&](auto tag) {
    typedef decltype(tag) T;
    if (which == CONV_OUTPUT)
      CUDA_LAUNCH(conv_output<T>, blocks_for(r.batch * r.groups * r.outs * ys, 1), THREADS, 0, (cudaStream_t)stream, r);
    else if (which == CONV_INPUT)
      CUDA_LAUNCH(conv_input<T>, blocks_for(r.batch * r.groups * r.in * xs, 1), THREADS, 0, (cudaStream_t)stream, r);
    else if (r.batch * ys <= 1024)
      CUDA_LAUNCH((conv_weight<T, WARP>), blocks_for(weights * WARP, 1), THREADS, 0, (cudaStream_t)stream, r);
    else
      CUDA_LAUNCH((conv_weight<T, THREADS>), blocks_for(weights * THREADS, 1), THREADS, 0, (cudaStream_t)stream, r);
    error = launched();
  });
  return error;
}
