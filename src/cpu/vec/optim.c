/* Optimiser steps in each instruction set. */
#include "cpu/optim.h"
#include "cpu/vmath.h"
#include <stddef.h>
#define OPTIM_LOOP static inline __attribute__((always_inline))
#define OPTIM_STEP static
#include "cpu/optim_steps.h"

OPTIM_STEPS(float, f32, FMA32)
OPTIM_STEPS(double, f64, FMA64)

#define UNSCALE(T, S)                                                              \
  static void unscale_##S(void *const *q, int64_t n, const void *context) {        \
    const UnscaleStep *s = context;                                                \
    T *p = q[0];                                                                   \
    const T factor = (T)s->factor;                                                 \
    int wild = 0;                                                                  \
    for (int64_t i = 0; i < n; i++) {                                              \
      T x = p[i];                                                                  \
      wild |= x - x != 0; /* NaN for what is not finite */                         \
      p[i] = x * factor;                                                           \
    }                                                                              \
    if (wild) __atomic_store_n(s->found, 1, __ATOMIC_RELAXED); /* by any thread */ \
  }
UNSCALE(float, f32)
UNSCALE(double, f64)

const OptimTable VEC(optim_table) = {{[STEP_SGD] = {sgd_f32, sgd_f64},
                                      [STEP_ADAM] = {adam_f32, adam_f64},
                                      [STEP_RMS] = {rms_f32, rms_f64},
                                      [STEP_DELTA] = {delta_f32, delta_f64},
                                      [STEP_ADAMAX] = {adamax_f32, adamax_f64},
                                      [STEP_NADAM] = {nadam_f32, nadam_f64},
                                      [STEP_RADAM] = {radam_f32, radam_f64},
                                      [STEP_AVERAGE] = {average_f32, average_f64},
                                      [STEP_SIGN] = {sign_f32, sign_f64},
                                      [STEP_UNSCALE] = {unscale_f32, unscale_f64}}};
