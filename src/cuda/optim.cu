/* Optimiser steps: the host's steps (cpu/optim_steps.h) for each element, whose operands stand in registers. A block looks up
 * which tensor its OPTIM_CHUNK elements are of, so that one launch serves many; neighbours are read and written together. */
#include "cuda/kernel.cuh"
#include "cuda/math.cuh"
#include "cuda/optim.h"
#define NO_OVERLAP
#define OPTIM_LOOP static __device__ __forceinline__
#define OPTIM_STEP static __device__ __forceinline__
#include "cpu/optim_steps.h"

static __device__ __forceinline__ float fused(float a, float b, float c) { return fmaf(a, b, c); }
static __device__ __forceinline__ double fused(double a, double b, double c) { return fma(a, b, c); }
OPTIM_STEPS(float, f32, fused)
OPTIM_STEPS(double, f64, fused)

#define APPLY(T, S)                                                                                                \
  template <int KIND, class Step> static __device__ __forceinline__ void apply(T, void *const *p, const Step &s) { \
    if constexpr (KIND == STEP_SGD) sgd_##S(p, 1, &s);                                                             \
    if constexpr (KIND == STEP_ADAM) adam_##S(p, 1, &s);                                                           \
    if constexpr (KIND == STEP_RMS) rms_##S(p, 1, &s);                                                             \
    if constexpr (KIND == STEP_DELTA) delta_##S(p, 1, &s);                                                         \
    if constexpr (KIND == STEP_ADAMAX) adamax_##S(p, 1, &s);                                                       \
    if constexpr (KIND == STEP_NADAM) nadam_##S(p, 1, &s);                                                         \
    if constexpr (KIND == STEP_RADAM) radam_##S(p, 1, &s);                                                         \
    if constexpr (KIND == STEP_AVERAGE) average_##S(p, 1, &s);                                                     \
    if constexpr (KIND == STEP_SIGN) sign_##S(p, 1, &s);                                                           \
  }
APPLY(float, f32)
APPLY(double, f64)

template <class T, int KIND, class Step> __global__ void __launch_bounds__(THREADS) step(OptimRun r, Step s) {
  typedef typename T::Memory M;
  typedef typename T::Value V;
  int t = 0;
  for (int beyond = r.count; beyond - t > 1;) { /* the last tensor whose first block is not behind this one */
    int middle = (t + beyond) / 2;
    if (r.first[middle] <= blockIdx.x)
      t = middle;
    else
      beyond = middle;
  }
  int64_t begin = (int64_t)(blockIdx.x - r.first[t]) * OPTIM_CHUNK, end = begin + OPTIM_CHUNK;
  if (end > r.n[t]) end = r.n[t];
  void *at[OPTIM_OPERANDS];
  for (int k = 0; k < OPTIM_OPERANDS; k++) at[k] = r.at[t][k];
  for (int64_t i = begin + threadIdx.x; i < end; i += blockDim.x) {
    V value[OPTIM_OPERANDS] = {0};
    void *p[OPTIM_OPERANDS];
    for (int k = 0; k < OPTIM_OPERANDS; k++) {
      p[k] = at[k] ? &value[k] : NULL;
      if (at[k]) value[k] = T::load(((const M *)at[k])[i]);
    }
    apply<KIND>(V(), p, s);
    for (int k = 0; k < OPTIM_OPERANDS; k++)
      if (k != 1 && at[k]) ((M *)at[k])[i] = T::store(value[k]);
  }
}

template <int KIND, class Step> static int launch(int dtype, const void *numbers, const OptimRun &r, void *stream) {
  static_assert(sizeof(OptimRun) + sizeof(Step) <= 4096 - 8, "");
  int error = -1;
  with_float(dtype, [&](auto tag) {
    CUDA_LAUNCH((step<decltype(tag), KIND, Step>), r.first[r.count], THREADS, 0, (cudaStream_t)stream, r,
                *(const Step *)numbers);
    error = launched();
  });
  return error;
}

CUDA_API int cuda_launch_optim(int kind, int dtype, const void *numbers, const OptimRun *run, void *stream) {
  if (run->first[run->count] == 0) return 0;
  switch (kind) {
  case STEP_SGD: return launch<STEP_SGD, SgdStep>(dtype, numbers, *run, stream);
  case STEP_ADAM: return launch<STEP_ADAM, AdamStep>(dtype, numbers, *run, stream);
  case STEP_RMS: return launch<STEP_RMS, RmsStep>(dtype, numbers, *run, stream);
  case STEP_DELTA: return launch<STEP_DELTA, DeltaStep>(dtype, numbers, *run, stream);
  case STEP_ADAMAX: return launch<STEP_ADAMAX, MomentStep>(dtype, numbers, *run, stream);
  case STEP_NADAM: return launch<STEP_NADAM, MomentStep>(dtype, numbers, *run, stream);
  case STEP_RADAM: return launch<STEP_RADAM, MomentStep>(dtype, numbers, *run, stream);
  case STEP_AVERAGE: return launch<STEP_AVERAGE, AverageStep>(dtype, numbers, *run, stream);
  case STEP_SIGN: return launch<STEP_SIGN, SignStep>(dtype, numbers, *run, stream);
  default: return -1;
  }
}
