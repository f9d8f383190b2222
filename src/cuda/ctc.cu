/* CTC by the forward and backward variables of its paper, as logarithms in double: a block for each sample goes through
 * time, a thread for each state. */
#include "cuda/ctc.h"
#include "cuda/kernel.cuh"

/* One sample: its labels with blanks between and around them are the states 0 ... 2 labels. */
struct Sample {
  const int64_t *label;
  int64_t n, steps, states, blank;
  __device__ inline int64_t class_of(int64_t state) const { return state % 2 == 0 ? blank : label[state / 2] - 1; }
  /* May a path step over the blank between these states? */
  __device__ inline bool skips(int64_t from, int64_t to) const { return class_of(from) != class_of(to); }
};
static __device__ inline double log_sum(double a, double b, double c) {
  double most = a > b ? a : b;
  if (c > most) most = c;
  if (most == -(double)INFINITY) most = 0;
  return log(exp(a - most) + exp(b - most) + exp(c - most)) + most;
}
#define EACH_STATE(k, n) for (int64_t k = threadIdx.x; k < (n); k += blockDim.x)

/* alpha of every step; returns the negative logarithm of the probability. */
template <class V> static __device__ inline double forward(const CtcRun &r, const Sample &s, double *alpha) {
  const double none = -(double)INFINITY;
  if (s.steps == 0) return s.states == 1 ? -0.0 : (double)INFINITY;
  for (int64_t t = 0; t < s.steps; t++) {
    const V *x = (const V *)r.x + (t * r.batch + s.n) * r.classes;
    double *now = alpha + t * s.states, *before = now - s.states;
    EACH_STATE(k, s.states) {
      double sum = k < 2 ? 0 : none;
      if (t > 0)
        sum = log_sum(before[k], k > 0 ? before[k - 1] : none, k > 1 && s.skips(k - 2, k) ? before[k - 2] : none);
      now[k] = sum + (double)x[s.class_of(k)];
    }
    __syncthreads();
  }
  const double *last = alpha + (s.steps - 1) * s.states;
  return s.states == 1 ? -last[0] : -log_sum(last[s.states - 1], last[s.states - 2], none);
}

/* beta at time t into `now`, from that at t + 1 in `after`. */
template <class V>
static __device__ inline void backward_step(const CtcRun &r, const Sample &s, int64_t t, const double *after,
                                            double *now) {
  const double none = -(double)INFINITY;
  const V *x = (const V *)r.x + (t * r.batch + s.n) * r.classes;
  EACH_STATE(k, s.states) {
    double sum = k >= s.states - 2 ? 0 : none;
    if (t < s.steps - 1)
      sum = log_sum(after[k], k + 1 < s.states ? after[k + 1] : none,
                    k + 2 < s.states && s.skips(k, k + 2) ? after[k + 2] : none);
    now[k] = sum + (double)x[s.class_of(k)];
  }
}

/* The gradient at time t: the first state of a class gathers what all of them take part in. */
template <class V>
static __device__ inline void gather(const CtcRun &r, const Sample &s, int64_t t, const double *alpha,
                                     const double *beta, double loss, double gy) {
  int64_t row = (t * r.batch + s.n) * r.classes;
  const V *x = (const V *)r.x + row;
  V *out = (V *)r.out + row;
  EACH_STATE(c,
             r.classes) { /* no state has it, unless one writes below; the difference is NaN where loss is infinite */
    double lp = (double)x[c];
    out[c] = (V)((exp(lp) - exp(-(double)INFINITY + loss - lp)) * gy);
  }
  __syncthreads();
  EACH_STATE(k, s.states) {
    int64_t own = s.class_of(k);
    bool first = true;
    for (int64_t j = k % 2 == 0 ? 0 : 1; j < k && first; j += 2) first = s.class_of(j) != own;
    if (k % 2 == 1 && own == s.blank) first = false; /* the blank given as a label */
    if (!first) continue;
    double all = -(double)INFINITY, lp = (double)x[own];
    for (int64_t j = 0; j < s.states; j++)
      if (s.class_of(j) == own) all = log_sum(all, alpha[j] + beta[j], -(double)INFINITY);
    out[own] = (V)((exp(lp) - exp(all + loss - lp)) * gy);
  }
}

template <class V> __global__ void __launch_bounds__(THREADS) ctc(CtcRun r) {
  for (int64_t n = blockIdx.x; n < r.batch; n += gridDim.x) {
    const int64_t *labels = r.number + 3 * r.batch;
    Sample s = {labels + r.number[n], n, r.number[r.batch + n], 2 * r.number[2 * r.batch + n] + 1, r.blank};
    double *alpha = r.work + n * r.room, loss = forward<V>(r, s, alpha);
    if (!r.grad) {
      if (threadIdx.x == 0) ((V *)r.out)[n] = (V)loss;
      continue;
    }
    double gy = (double)((const V *)r.grad)[n];
    bool nothing = r.zero_infinity && loss == (double)INFINITY;
    for (int64_t t = r.steps - 1; t >= 0; t--) {
      if (t >= s.steps || nothing) {
        EACH_STATE(c, r.classes)((V *)r.out)[(t * r.batch + n) * r.classes + c] = 0;
        continue;
      }
      double *beta = alpha + (s.steps + t % 2) * s.states;
      backward_step<V>(r, s, t, alpha + (s.steps + (t + 1) % 2) * s.states, beta);
      __syncthreads();
      gather<V>(r, s, t, alpha + t * s.states, beta, loss, gy);
    }
  }
}

CUDA_API int cuda_launch_ctc(int dtype, const CtcRun *run, void *stream) {
  unsigned blocks = (unsigned)(run->batch < 1 << 20 ? run->batch : 1 << 20);
  if (run->batch == 0) return 0;
  if (dtype == MT_F64)
    CUDA_LAUNCH((ctc<double>), blocks, THREADS, 0, (cudaStream_t)stream, *run);
  else if (dtype == MT_F32)
    CUDA_LAUNCH((ctc<float>), blocks, THREADS, 0, (cudaStream_t)stream, *run);
  else
    return -1;
  return launched();
}
