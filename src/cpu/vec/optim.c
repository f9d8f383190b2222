/* Optimiser steps in each instruction set. Numbers are rounded where PyTorch's chain of operators rounds them: its add with
 * alpha and its lerp are fused multiply-adds where the processor has them, everything else rounds each operation. */
#include "cpu/optim.h"
#include "cpu/vmath.h"
#include <stddef.h>

#define PASSES(T, S, FMA)                                                                                              \
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
  static void sgd_##S(void *const *q, int64_t n, const void *context) {                                                \
    const SgdStep *step = context;                                                                                     \
    T *param = q[0], *buffer = q[2];                                                                                   \
    const T *grad = q[1];                                                                                              \
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
  static void adam_##S(void *const *q, int64_t n, const void *context) {                                               \
    const AdamStep *step = context;                                                                                    \
    T *param = q[0], *moment1 = q[2], *moment2 = q[3], *most = q[4];                                                   \
    const T *grad = q[1];                                                                                              \
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
  static void rms_##S(void *const *q, int64_t n, const void *context) {                                                \
    const RmsStep *step = context;                                                                                     \
    T *param = q[0], *squares = q[2], *buffer = q[3], *mean = q[4];                                                    \
    const T *grad = q[1];                                                                                              \
    if (buffer && mean)                                                                                                \
      rms_loop_##S(param, grad, squares, buffer, mean, n, step);                                                       \
    else if (buffer)                                                                                                   \
      rms_loop_##S(param, grad, squares, buffer, NULL, n, step);                                                       \
    else if (mean)                                                                                                     \
      rms_loop_##S(param, grad, squares, NULL, mean, n, step);                                                         \
    else                                                                                                               \
      rms_loop_##S(param, grad, squares, NULL, NULL, n, step);                                                         \
  }
PASSES(float, f32, FMA32)
PASSES(double, f64, FMA64)

/* The mean `m` moved toward g by the fraction w, as lerp rounds it. */
#define TOWARD(FMA, m, g, w) ((w) < (__typeof__(w))0.5 ? FMA(w, (g) - (m), m) : FMA(-((g) - (m)), 1 - (w), g))
#define RELATIVES(T, S, FMA)                                                                \
  static void delta_##S(void *const *q, int64_t n, const void *context) {                   \
    const DeltaStep *s = context;                                                           \
    T *p = q[0], *average = q[2], *moves = q[3];                                            \
    const T *grad = q[1];                                                                   \
    const T rho = (T)s->rho, fresh = (T)(1 - s->rho), eps = (T)s->eps, rate = (T)-s->lr;    \
    const T decay = (T)s->weight_decay, sign = s->maximize ? -1 : 1;                        \
    const bool decays = s->weight_decay != 0;                                               \
    NO_OVERLAP                                                                              \
    for (int64_t i = 0; i < n; i++) {                                                       \
      T x = p[i], d = grad[i] * sign, g = decays ? FMA(x, decay, d) : d;                    \
      T v = average[i] = FMA(fresh * g, g, average[i] * rho);                               \
      T move = sqrt_##S(moves[i] + eps) / sqrt_##S(v + eps) * g;                            \
      moves[i] = FMA(fresh * move, move, moves[i] * rho);                                   \
      p[i] = FMA(move, rate, x);                                                            \
    }                                                                                       \
  }                                                                                         \
  static void adamax_##S(void *const *q, int64_t n, const void *context) {                  \
    const MomentStep *s = context;                                                          \
    T *p = q[0], *mean = q[2], *largest = q[3];                                             \
    const T *grad = q[1];                                                                   \
    const T w = (T)(1 - s->beta1), beta2 = (T)s->beta2, eps = (T)s->eps, rate = (T)s->rate; \
    const T decay = (T)s->weight_decay, sign = s->maximize ? -1 : 1;                        \
    const bool decays = s->weight_decay != 0;                                               \
    NO_OVERLAP                                                                              \
    for (int64_t i = 0; i < n; i++) {                                                       \
      T x = p[i], d = grad[i] * sign, g = decays ? FMA(x, decay, d) : d;                    \
      T m = mean[i] = TOWARD(FMA, mean[i], g, w);                                           \
      T old = largest[i] * beta2, now = (g < 0 ? -g : g) + eps;                             \
      T most = largest[i] = old > now || old != old ? old : now;                            \
      p[i] = x + rate * m / most;                                                           \
    }                                                                                       \
  }                                                                                         \
  static void nadam_##S(void *const *q, int64_t n, const void *context) {                   \
    const MomentStep *s = context;                                                          \
    T *p = q[0], *mean = q[2], *squares = q[3];                                             \
    const T *grad = q[1];                                                                   \
    const T w = (T)(1 - s->beta1), beta2 = (T)s->beta2, fresh = (T)(1 - s->beta2);          \
    const T eps = (T)s->eps, of_grad = (T)s->rate_grad, rate = (T)s->rate;                  \
    const T correction = (T)s->correction2, decay = (T)s->weight_decay;                     \
    const T shrink = (T)s->shrink, sign = s->maximize ? -1 : 1;                             \
    const bool decays = s->weight_decay != 0;                                               \
    NO_OVERLAP                                                                              \
    for (int64_t i = 0; i < n; i++) {                                                       \
      T x = p[i] * shrink, d = grad[i] * sign, g = decays ? FMA(x, decay, d) : d;           \
      T m = mean[i] = TOWARD(FMA, mean[i], g, w);                                           \
      T v = squares[i] = FMA(fresh * g, g, squares[i] * beta2);                             \
      T size = sqrt_##S(v / correction) + eps;                                              \
      x = x + of_grad * g / size;                                                           \
      p[i] = x + rate * m / size;                                                           \
    }                                                                                       \
  }                                                                                         \
  static void radam_##S(void *const *q, int64_t n, const void *context) {                   \
    const MomentStep *s = context;                                                          \
    T *p = q[0], *mean = q[2], *squares = q[3];                                             \
    const T *grad = q[1];                                                                   \
    const T w = (T)(1 - s->beta1), beta2 = (T)s->beta2, fresh = (T)(1 - s->beta2);          \
    const T eps = (T)s->eps, rate = (T)s->rate, decay = (T)s->weight_decay;                 \
    const T correction1 = (T)s->correction1, correction2 = (T)s->correction2;               \
    const T shrink = (T)s->shrink, sign = s->maximize ? -1 : 1, rectify = (T)s->rectify;    \
    const bool decays = s->weight_decay != 0, rectifies = s->rectify != 0;                  \
    NO_OVERLAP                                                                              \
    for (int64_t i = 0; i < n; i++) {                                                       \
      T x = p[i] * shrink, d = grad[i] * sign, g = decays ? FMA(x, decay, d) : d;           \
      T m = mean[i] = TOWARD(FMA, mean[i], g, w);                                           \
      T v = squares[i] = FMA(fresh * g, g, squares[i] * beta2);                             \
      T move = m / correction1 * rate;                                                      \
      T scaled = move * (1 / (sqrt_##S(v) + eps) * correction2) * rectify;                  \
      p[i] = x - (rectifies ? scaled : move);                                               \
    }                                                                                       \
  }                                                                                         \
  static void average_##S(void *const *q, int64_t n, const void *context) {                 \
    const AverageStep *s = context;                                                         \
    T *p = q[0], *average = q[2];                                                           \
    const T *grad = q[1];                                                                   \
    const T shrink = (T)s->shrink, rate = (T)-s->eta, mu = (T)s->mu;                        \
    const T decay = (T)s->weight_decay, sign = s->maximize ? -1 : 1;                        \
    const bool decays = s->weight_decay != 0, starts = s->mu == 1;                          \
    NO_OVERLAP                                                                              \
    for (int64_t i = 0; i < n; i++) {                                                       \
      T x = p[i], d = grad[i] * sign, g = decays ? FMA(x, decay, d) : d;                    \
      x = p[i] = FMA(g, rate, x * shrink);                                                  \
      average[i] = starts ? x : average[i] + (x - average[i]) * mu;                         \
    }                                                                                       \
  }                                                                                         \
  static void sign_##S(void *const *q, int64_t n, const void *context) {                    \
    const SignStep *s = context;                                                            \
    T *p = q[0], *before = q[2], *size = q[3];                                              \
    const T *grad = q[1];                                                                   \
    const T down = (T)s->down, up = (T)s->up, least = (T)s->least, most = (T)s->most;       \
    const T sign = s->maximize ? -1 : 1;                                                    \
    NO_OVERLAP                                                                              \
    for (int64_t i = 0; i < n; i++) {                                                       \
      T g = grad[i] * sign, turn = g * before[i];                                           \
      T width = size[i] * (turn > 0 ? up : turn < 0 ? down : 1);                            \
      width = width < least ? least : width;                                                \
      width = size[i] = width > most ? most : width;                                        \
      g = before[i] = turn < 0 ? 0 : g;                                                     \
      p[i] -= g > 0 ? width : g < 0 ? -width : 0;                                           \
    }                                                                                       \
  }                                                                                         \
  static void unscale_##S(void *const *q, int64_t n, const void *context) {                 \
    const UnscaleStep *s = context;                                                         \
    T *p = q[0];                                                                            \
    const T factor = (T)s->factor;                                                          \
    int wild = 0;                                                                           \
    for (int64_t i = 0; i < n; i++) {                                                       \
      T x = p[i];                                                                           \
      wild |= x - x != 0; /* NaN for what is not finite */                                  \
      p[i] = x * factor;                                                                    \
    }                                                                                       \
    if (wild) atomic_store_explicit(s->found, 1, memory_order_relaxed);                     \
  }
RELATIVES(float, f32, FMA32)
RELATIVES(double, f64, FMA64)

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
