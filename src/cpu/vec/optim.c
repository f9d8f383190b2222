/* Optimiser steps in each instruction set. Numbers are rounded where PyTorch's chain of operators rounds them: its add with
 * alpha and its lerp are fused multiply-adds where the processor has them, everything else rounds each operation. */
#include "cpu/optim.h"
#include "cpu/vmath.h"
#include <stddef.h>

#define STEPS(T, S, FMA)                                                                                               \
  /* Always inlined with constants for what a loop must not ask at every element, so that it vectorises. */            \
  static inline                                                                                                        \
      __attribute__((always_inline)) void sgd_loop_##S(T *p, const T *g, T *m, int64_t n, const SgdStep *step,         \
                                                       const bool decays, const bool nesterov, const bool first) {     \
    const T rate = (T)-step->lr, decay = (T)step->weight_decay, momentum = (T)step->momentum;                          \
    const T fresh = (T)(1 - step->dampening), sign = step->maximize ? -1 : 1;                                          \
    NO_OVERLAP                                                                                                         \
    for (int64_t i = 0; i < n; i++) {                                                                                  \
      T x = p[i], d = g[i] * sign;                                                                                     \
      if (decays) d = FMA(x, decay, d);                                                                                \
      if (m) {                                                                                                         \
        T b = first ? d : FMA(d, fresh, m[i] * momentum);                                                              \
        m[i] = b;                                                                                                      \
        d = nesterov ? FMA(b, momentum, d) : b;                                                                        \
      }                                                                                                                \
      p[i] = FMA(d, rate, x);                                                                                          \
    }                                                                                                                  \
  }                                                                                                                    \
  static void sgd_##S(void *param, const void *grad, void *buffer, int64_t n, const SgdStep *step) {                   \
    const bool decays = step->weight_decay != 0;                                                                       \
    if (buffer && step->first)                                                                                         \
      sgd_loop_##S(param, grad, buffer, n, step, decays, step->nesterov, true);                                        \
    else if (buffer && decays && step->nesterov)                                                                       \
      sgd_loop_##S(param, grad, buffer, n, step, true, true, false);                                                   \
    else if (buffer && decays)                                                                                         \
      sgd_loop_##S(param, grad, buffer, n, step, true, false, false);                                                  \
    else if (buffer && step->nesterov)                                                                                 \
      sgd_loop_##S(param, grad, buffer, n, step, false, true, false);                                                  \
    else if (buffer)                                                                                                   \
      sgd_loop_##S(param, grad, buffer, n, step, false, false, false);                                                 \
    else if (decays)                                                                                                   \
      sgd_loop_##S(param, grad, NULL, n, step, true, false, false);                                                    \
    else                                                                                                               \
      sgd_loop_##S(param, grad, NULL, n, step, false, false, false);                                                   \
  }                                                                                                                    \
  static inline                                                                                                        \
      __attribute__((always_inline)) void adam_loop_##S(T *p, const T *grads, T *m1, T *m2, T *top, int64_t n,         \
                                                        const AdamStep *step, const bool decays, const bool near) {    \
    const T toward = (T)(1 - step->beta1), decay = (T)step->weight_decay, sign = step->maximize ? -1 : 1;              \
    const T keep = step->decoupled ? (T)(1 - step->lr * step->weight_decay) : 1;                                       \
    const T beta2 = (T)step->beta2, fresh = (T)(1 - step->beta2), root2 = (T)step->root2, eps = (T)step->eps;          \
    const T rate = (T)-step->step_size;                                                                                \
    NO_OVERLAP                                                                                                         \
    for (int64_t i = 0; i < n; i++) {                                                                                  \
      T x = p[i] * keep, g = grads[i] * sign;                                                                          \
      if (decays) g = FMA(x, decay, g);                                                                                \
      T a = near ? FMA(toward, g - m1[i], m1[i]) : FMA(-(g - m1[i]), 1 - toward, g);                                   \
      T b = FMA(fresh * g, g, m2[i] * beta2);                                                                          \
      m1[i] = a;                                                                                                       \
      m2[i] = b;                                                                                                       \
      if (top) b = top[i] = top[i] < b || b != b ? b : top[i];                                                         \
      p[i] = x + rate * a / (sqrt_##S(b) / root2 + eps);                                                               \
    }                                                                                                                  \
  }                                                                                                                    \
  static void adam_##S(void *param, const void *grad, void *moment1, void *moment2, void *most, int64_t n,             \
                       const AdamStep *step) {                                                                         \
    const bool decays = step->weight_decay != 0 && !step->decoupled;                                                   \
    if (step->beta1 <= 0.5)                                                                                            \
      adam_loop_##S(param, grad, moment1, moment2, most, n, step, decays, false);                                      \
    else if (most)                                                                                                     \
      adam_loop_##S(param, grad, moment1, moment2, most, n, step, decays, true);                                       \
    else if (decays)                                                                                                   \
      adam_loop_##S(param, grad, moment1, moment2, NULL, n, step, true, true);                                         \
    else                                                                                                               \
      adam_loop_##S(param, grad, moment1, moment2, NULL, n, step, false, true);                                        \
  }                                                                                                                    \
  static inline __attribute__((always_inline)) void rms_loop_##S(T *p, const T *grads, T *squares, T *buffer, T *mean, \
                                                                 int64_t n, const RmsStep *step) {                     \
    const T keep = (T)step->keep, fresh = (T)step->fresh, eps = (T)step->eps, rate = (T)-step->rate;                   \
    const T decay = (T)step->weight_decay, momentum = (T)step->momentum, sign = step->maximize ? -1 : 1;               \
    const bool decays = step->weight_decay != 0, near = step->fresh < 0.5;                                             \
    NO_OVERLAP                                                                                                         \
    for (int64_t i = 0; i < n; i++) {                                                                                  \
      T x = p[i], d = grads[i] * sign, g = decays ? FMA(x, decay, d) : d;                                              \
      T v = squares[i] = FMA(fresh * g, g, squares[i] * keep);                                                         \
      if (mean) {                                                                                                      \
        T a = mean[i], t = g - a;                                                                                      \
        a = mean[i] = near ? FMA(fresh, t, a) : FMA(-t, 1 - fresh, g);                                                 \
        v = FMA(-a, a, v);                                                                                             \
      }                                                                                                                \
      T size = sqrt_##S(v) + eps;                                                                                      \
      if (buffer) {                                                                                                    \
        T b = buffer[i] = buffer[i] * momentum + g / size;                                                             \
        p[i] = FMA(b, rate, x);                                                                                        \
      } else {                                                                                                         \
        p[i] = x + rate * g / size;                                                                                    \
      }                                                                                                                \
    }                                                                                                                  \
  }                                                                                                                    \
  static void rms_##S(void *param, const void *grad, void *squares, void *buffer, void *mean, int64_t n,               \
                      const RmsStep *step) {                                                                           \
    if (buffer && mean)                                                                                                \
      rms_loop_##S(param, grad, squares, buffer, mean, n, step);                                                       \
    else if (buffer)                                                                                                   \
      rms_loop_##S(param, grad, squares, buffer, NULL, n, step);                                                       \
    else if (mean)                                                                                                     \
      rms_loop_##S(param, grad, squares, NULL, mean, n, step);                                                         \
    else                                                                                                               \
      rms_loop_##S(param, grad, squares, NULL, NULL, n, step);                                                         \
  }
STEPS(float, f32, FMA32)
STEPS(double, f64, FMA64)

const OptimTable VEC(optim_table) = {
    .sgd = {sgd_f32, sgd_f64}, .adam = {adam_f32, adam_f64}, .rms = {rms_f32, rms_f64}};
