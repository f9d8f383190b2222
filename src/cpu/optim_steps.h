/* Optimiser steps, for every device: OPTIM_STEPS(T, S, FMA) defines what each step of optim.h does to n elements, named
 * <step>_<S>. Numbers are rounded where PyTorch's chain of operators rounds them: its add with alpha and its lerp are fused
 * multiply-adds where the processor has them, everything else rounds each operation.
 *
 * Who includes this says before what a loop is preceded by (NO_OVERLAP), how functions are declared (OPTIM_LOOP, always
 * inlined with constants for what a loop must not ask at every element, so that it vectorises; OPTIM_STEP), and sqrt_<S>. */
#ifndef MT_OPTIM_STEPS_H
#define MT_OPTIM_STEPS_H
#include "cpu/optim.h"

#define PASSES(T, S, FMA)                                                                                              \
  /* Always inlined with constants for what a loop must not ask at every element, so that it vectorises. */            \
  OPTIM_LOOP void sgd_loop_##S(T *p, const T *g, T *m, int64_t n, const SgdStep *step, const bool decays,              \
                               const bool nesterov, const bool first) {                                                \
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
  OPTIM_STEP void sgd_##S(void *const *q, int64_t n, const void *context) {                                            \
    const SgdStep *step = (const SgdStep *)context;                                                                    \
    T *param = (T *)q[0], *buffer = (T *)q[2];                                                                         \
    const T *grad = (const T *)q[1];                                                                                   \
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
  OPTIM_LOOP void adam_loop_##S(T *p, const T *grads, T *m1, T *m2, T *top, int64_t n, const AdamStep *step,           \
                                const bool decays, const bool near) {                                                  \
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
  OPTIM_STEP void adam_##S(void *const *q, int64_t n, const void *context) {                                           \
    const AdamStep *step = (const AdamStep *)context;                                                                  \
    T *param = (T *)q[0], *moment1 = (T *)q[2], *moment2 = (T *)q[3], *most = (T *)q[4];                               \
    const T *grad = (const T *)q[1];                                                                                   \
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
  OPTIM_LOOP void rms_loop_##S(T *p, const T *grads, T *squares, T *buffer, T *mean, int64_t n, const RmsStep *step) { \
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
  OPTIM_STEP void rms_##S(void *const *q, int64_t n, const void *context) {                                            \
    const RmsStep *step = (const RmsStep *)context;                                                                    \
    T *param = (T *)q[0], *squares = (T *)q[2], *buffer = (T *)q[3], *mean = (T *)q[4];                                \
    const T *grad = (const T *)q[1];                                                                                   \
    if (buffer && mean)                                                                                                \
      rms_loop_##S(param, grad, squares, buffer, mean, n, step);                                                       \
    else if (buffer)                                                                                                   \
      rms_loop_##S(param, grad, squares, buffer, NULL, n, step);                                                       \
    else if (mean)                                                                                                     \
      rms_loop_##S(param, grad, squares, NULL, mean, n, step);                                                         \
    else                                                                                                               \
      rms_loop_##S(param, grad, squares, NULL, NULL, n, step);                                                         \
  }
/* The mean `m` moved toward g by the fraction w, as lerp rounds it. */
#define TOWARD(FMA, m, g, w) (2 * (w) < 1 ? FMA(w, (g) - (m), m) : FMA(-((g) - (m)), 1 - (w), g))
#define RELATIVES(T, S, FMA)                                                                \
  OPTIM_STEP void delta_##S(void *const *q, int64_t n, const void *context) {               \
    const DeltaStep *s = (const DeltaStep *)context;                                        \
    T *p = (T *)q[0], *average = (T *)q[2], *moves = (T *)q[3];                             \
    const T *grad = (const T *)q[1];                                                        \
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
  OPTIM_STEP void adamax_##S(void *const *q, int64_t n, const void *context) {              \
    const MomentStep *s = (const MomentStep *)context;                                      \
    T *p = (T *)q[0], *mean = (T *)q[2], *largest = (T *)q[3];                              \
    const T *grad = (const T *)q[1];                                                        \
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
  OPTIM_STEP void nadam_##S(void *const *q, int64_t n, const void *context) {               \
    const MomentStep *s = (const MomentStep *)context;                                      \
    T *p = (T *)q[0], *mean = (T *)q[2], *squares = (T *)q[3];                              \
    const T *grad = (const T *)q[1];                                                        \
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
  OPTIM_STEP void radam_##S(void *const *q, int64_t n, const void *context) {               \
    const MomentStep *s = (const MomentStep *)context;                                      \
    T *p = (T *)q[0], *mean = (T *)q[2], *squares = (T *)q[3];                              \
    const T *grad = (const T *)q[1];                                                        \
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
  OPTIM_STEP void average_##S(void *const *q, int64_t n, const void *context) {             \
    const AverageStep *s = (const AverageStep *)context;                                    \
    T *p = (T *)q[0], *average = (T *)q[2];                                                 \
    const T *grad = (const T *)q[1];                                                        \
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
  OPTIM_STEP void sign_##S(void *const *q, int64_t n, const void *context) {                \
    const SignStep *s = (const SignStep *)context;                                          \
    T *p = (T *)q[0], *before = (T *)q[2], *size = (T *)q[3];                               \
    const T *grad = (const T *)q[1];                                                        \
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
  }

#define OPTIM_STEPS(T, S, FMA) PASSES(T, S, FMA) RELATIVES(T, S, FMA)
#endif
