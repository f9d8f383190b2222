/* Losses in each instruction set: values of pairs by blocks on the stack, exponentials of rows of classes.
 *
 * Sums run in LANES partial sums within a block and in double across blocks, so a long mean stays exact. */
#include "cpu/loss.h"
#include "cpu/vec/each.h"
#include "cpu/vmath.h"
#include <string.h>

enum { LANES = 16, BLOCK = 256 };
#define ATLEAST(x, low) ((x) < (low) ? (low) : (x))

/* log(1 + e) for e >= -1, through the rounding error of the sum, so that small e keep their digits. */
static inline float log_plus_f32(float e) {
  float u = 1.0f + e, y = log_f32(u) * (e / (u - 1.0f));
  return u == 1.0f ? e : u > 0 && u < INFINITY ? y : log_f32(u);
}
static inline double log_plus_f64(double e) { return log1p(e); }

#define PAIR(name, T, S, expression)                                                                                \
  static double name##_##S(const void *px, const void *pt, const void *pw, const void *pp, double limit, void *out, \
                           int64_t n) {                                                                             \
    const T *x = px, *t = pt, *w = pw, *positive = pp, a = (T)limit;                                                \
    double total = 0;                                                                                               \
    (void)positive, (void)a;                                                                                        \
    for (int64_t at = 0; at < n; at += BLOCK) {                                                                     \
      T value[BLOCK], lane[LANES] = {0};                                                                            \
      int k = n - at < BLOCK ? (int)(n - at) : BLOCK;                                                               \
      for (int i = 0; i < k; i++) {                                                                                 \
        T xi = x[at + i], ti = t[at + i], d = xi - ti;                                                              \
        (void)d;                                                                                                    \
        value[i] = expression;                                                                                      \
      }                                                                                                             \
      if (w)                                                                                                        \
        for (int i = 0; i < k; i++) value[i] *= w[at + i];                                                          \
      if (out) {                                                                                                    \
        memcpy((T *)out + at, value, (size_t)k * sizeof(T));                                                        \
        continue;                                                                                                   \
      }                                                                                                             \
      int i = 0;                                                                                                    \
      for (; i + LANES <= k; i += LANES)                                                                            \
        for (int j = 0; j < LANES; j++) lane[j] += value[i + j];                                                    \
      for (int j = 0; i < k; i++, j++) lane[j] += value[i];                                                         \
      JOIN_LANES(LANES, lane, JOIN_SUM);                                                                            \
      total += (double)lane[0];                                                                                     \
    }                                                                                                               \
    return total;                                                                                                   \
  }

#define ROWS(T, S)                                                                                                     \
  PAIR(squared, T, S, d *d)                                                                                            \
  PAIR(absolute, T, S, fabs_##S(d))                                                                                    \
  PAIR(smooth, T, S, fabs_##S(d) < a ? (T)0.5 * d * d / a : fabs_##S(d) - (T)0.5 * a)                                  \
  PAIR(huber, T, S, fabs_##S(d) < a ? (T)0.5 * d * d : a * (fabs_##S(d) - (T)0.5 * a))                                 \
  PAIR(bce, T, S, (ti - 1) * ATLEAST(log_plus_##S(-xi), (T)-100) - ti * ATLEAST(log_##S(xi), (T)-100))                 \
  PAIR(logits, T, S, (1 - ti) * xi + (log_plus_##S(exp_##S(-fabs_##S(xi))) + (xi < 0 ? -xi : (T)0)))                   \
  PAIR(weighted_logits, T, S,                                                                                          \
       (1 - ti) * xi +                                                                                                 \
           ((positive[at + i] - 1) * ti + 1) * (log_plus_##S(exp_##S(-fabs_##S(xi))) + (xi < 0 ? -xi : (T)0)))         \
  static double any_logits_##S(const void *x, const void *t, const void *w, const void *positive, double a, void *out, \
                               int64_t n) {                                                                            \
    return positive ? weighted_logits_##S(x, t, w, positive, a, out, n) : logits_##S(x, t, w, NULL, a, out, n);        \
  }                                                                                                                    \
  static int64_t outside_##S(const void *px, int64_t n) {                                                              \
    const T *x = px;                                                                                                   \
    int64_t at = 0;                                                                                                    \
    while (at < n) {                                                                                                   \
      int bad = 0, k = n - at < BLOCK ? (int)(n - at) : BLOCK;                                                         \
      for (int i = 0; i < k; i++) bad |= !(x[at + i] >= 0) | !(x[at + i] <= 1);                                        \
      if (bad) break;                                                                                                  \
      at += k;                                                                                                         \
    }                                                                                                                  \
    while (at < n && x[at] >= 0 && x[at] <= 1) at++;                                                                   \
    return at;                                                                                                         \
  }                                                                                                                    \
  static double log_sum_##S(const void *px, int64_t n) {                                                               \
    const T *x = px;                                                                                                   \
    T most[LANES], more[LANES], lane[LANES] = {0}, rest = 0, top = -(T)INFINITY;                                       \
    int64_t i = 0;                                                                                                     \
    if (n >= LANES) {                                                                                                  \
      for (int j = 0; j < LANES; j++) most[j] = more[j] = top;                                                         \
      for (; i + 2 * LANES <= n; i += 2 * LANES) {                                                                     \
        for (int j = 0; j < LANES; j++) most[j] = JOIN_MOST(most[j], x[i + j]);                                        \
        for (int j = 0; j < LANES; j++) more[j] = JOIN_MOST(more[j], x[i + LANES + j]);                                \
      }                                                                                                                \
      for (int j = 0; j < LANES; j++) most[j] = JOIN_MOST(most[j], more[j]);                                           \
      JOIN_LANES(LANES, most, JOIN_MOST);                                                                              \
      top = most[0];                                                                                                   \
    }                                                                                                                  \
    for (; i < n; i++) {                                                                                               \
      __asm__ volatile("");                                                                                            \
      top = JOIN_MOST(top, x[i]);                                                                                      \
    }                                                                                                                  \
    for (i = 0; i + LANES <= n; i += LANES) {                                                                          \
      __builtin_prefetch(x + i + n);                                                                                   \
      for (int j = 0; j < LANES; j++) lane[j] += exp_up_##S(x[i + j] - top);                                           \
    }                                                                                                                  \
    for (; i < n; i++) rest += exp_up_##S(x[i] - top);                                                                 \
    if (n >= LANES) {                                                                                                  \
      JOIN_LANES(LANES, lane, JOIN_SUM);                                                                               \
      rest += lane[0];                                                                                                 \
    }                                                                                                                  \
    return (double)top + (double)log_##S(rest * (1 / EXP_UP_##S));                                                     \
  }                                                                                                                    \
  static void back_##S(const void *px, void *pout, int64_t n, double log_sum, double scale) {                          \
    const T *x = px;                                                                                                   \
    T *out = pout, high = (T)log_sum, low = high - high == 0 ? (T)(log_sum - (double)high) : (T)0, s = (T)scale;       \
    int64_t i = 0;                                                                                                     \
    for (; i + LANES <= n; i += LANES) {                                                                               \
      __builtin_prefetch(x + i + n);                                                                                   \
      __builtin_prefetch(out + i + n, 1);                                                                              \
      NO_OVERLAP                                                                                                       \
      for (int64_t j = i; j < i + LANES; j++) out[j] = exp_below_##S((x[j] - high) - low) * s;                         \
    }                                                                                                                  \
    NO_OVERLAP                                                                                                         \
    for (int64_t j = i; j < n; j++) out[j] = exp_below_##S((x[j] - high) - low) * s;                                   \
  }
ROWS(float, f32)
ROWS(double, f64)

#define BOTH(name) \
  { name##_f32, name##_f64 }
const LossTable VEC(loss_table) = {.pair = {[PAIR_SQUARED] = BOTH(squared),
                                            [PAIR_ABSOLUTE] = BOTH(absolute),
                                            [PAIR_SMOOTH] = BOTH(smooth),
                                            [PAIR_HUBER] = BOTH(huber),
                                            [PAIR_BCE] = BOTH(bce),
                                            [PAIR_LOGITS] = BOTH(any_logits)},
                                   .outside = BOTH(outside),
                                   .log_sum = BOTH(log_sum),
                                   .back = BOTH(back)};
