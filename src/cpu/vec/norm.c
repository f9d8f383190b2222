/* Normalisation of packed runs in each instruction set. Sums run in the element's type for a block of elements, in lanes,
 * and in double across blocks. */
#include "cpu/norm.h"
#include "cpu/vec/each.h"
#include "cpu/vmath.h"
#include <stddef.h>

enum { LANES = 16, SPAN = 512 };

#define NORM(T)                                                                                                 \
  static void moments_##T(const void *from, int64_t n, double *mean, double *var) {                             \
    const T *x = from;                                                                                          \
    double total = 0, squares = 0;                                                                              \
    for (int64_t at = 0; at < n; at += SPAN) {                                                                  \
      int64_t end = n - at < SPAN ? n : at + SPAN, i = at;                                                      \
      T a[LANES] = {0};                                                                                         \
      for (; i + LANES <= end; i += LANES)                                                                      \
        for (int k = 0; k < LANES; k++) a[k] += x[i + k];                                                       \
      for (int k = 0; i < end; i++, k++) a[k] += x[i];                                                          \
      JOIN_LANES(LANES, a, JOIN_SUM);                                                                           \
      total += (double)a[0];                                                                                    \
    }                                                                                                           \
    *mean = total / (double)n;                                                                                  \
    T m = (T)*mean;                                                                                             \
    for (int64_t at = 0; at < n; at += SPAN) {                                                                  \
      int64_t end = n - at < SPAN ? n : at + SPAN, i = at;                                                      \
      T a[LANES] = {0};                                                                                         \
      for (; i + LANES <= end; i += LANES)                                                                      \
        for (int k = 0; k < LANES; k++) a[k] += (x[i + k] - m) * (x[i + k] - m);                                \
      for (int k = 0; i < end; i++, k++) a[k] += (x[i] - m) * (x[i] - m);                                       \
      JOIN_LANES(LANES, a, JOIN_SUM);                                                                           \
      squares += (double)a[0];                                                                                  \
    }                                                                                                           \
    *var = squares / (double)n;                                                                                 \
  }                                                                                                             \
  static void apply_##T(const NormRun *r) {                                                                     \
    const T *x = r->x, *w = r->weight, *b = r->bias;                                                            \
    T *out = r->out, mean = (T)r->mean, rstd = (T)r->rstd;                                                      \
    if (!r->each) {                                                                                             \
      T scale = w ? rstd * *w : rstd, shift = b ? *b : 0;                                                       \
      NO_OVERLAP                                                                                                \
      for (int64_t i = 0; i < r->n; i++) out[i] = (x[i] - mean) * scale + shift;                                \
    } else if (w && b) {                                                                                        \
      NO_OVERLAP                                                                                                \
      for (int64_t i = 0; i < r->n; i++) out[i] = (x[i] - mean) * rstd * w[i] + b[i];                           \
    } else if (w) {                                                                                             \
      NO_OVERLAP                                                                                                \
      for (int64_t i = 0; i < r->n; i++) out[i] = (x[i] - mean) * rstd * w[i];                                  \
    } else {                                                                                                    \
      NO_OVERLAP                                                                                                \
      for (int64_t i = 0; i < r->n; i++) out[i] = (x[i] - mean) * rstd + b[i];                                  \
    }                                                                                                           \
  }                                                                                                             \
  static inline __attribute__((always_inline)) void sum_loop_##T(const NormRun *r, double *sum, const bool w) { \
    const T *x = r->x, *gy = r->grad, *each = r->weight;                                                        \
    T mean = (T)r->mean;                                                                                        \
    for (int64_t at = 0; at < r->n; at += SPAN) {                                                               \
      int64_t end = r->n - at < SPAN ? r->n : at + SPAN, i = at;                                                \
      T a[LANES] = {0}, b[LANES] = {0};                                                                         \
      for (; i + LANES <= end; i += LANES)                                                                      \
        for (int k = 0; k < LANES; k++) {                                                                       \
          T g = w ? gy[i + k] * each[i + k] : gy[i + k];                                                        \
          a[k] += g;                                                                                            \
          b[k] += g * (x[i + k] - mean);                                                                        \
        }                                                                                                       \
      for (int k = 0; i < end; i++, k++) {                                                                      \
        T g = w ? gy[i] * each[i] : gy[i];                                                                      \
        a[k] += g;                                                                                              \
        b[k] += g * (x[i] - mean);                                                                              \
      }                                                                                                         \
      JOIN_LANES(LANES, a, JOIN_SUM);                                                                           \
      JOIN_LANES(LANES, b, JOIN_SUM);                                                                           \
      sum[0] += (double)a[0];                                                                                   \
      sum[1] += (double)b[0] * r->rstd;                                                                         \
    }                                                                                                           \
  }                                                                                                             \
  static void sums_##T(const NormRun *r, double *sum) {                                                         \
    if (r->each && r->weight)                                                                                   \
      sum_loop_##T(r, sum, true);                                                                               \
    else                                                                                                        \
      sum_loop_##T(r, sum, false);                                                                              \
  }                                                                                                             \
  static inline                                                                                                 \
      __attribute__((always_inline)) void back_loop_##T(const NormRun *r, double a, double b, const bool w) {   \
    const T *x = r->x, *gy = r->grad, *each = r->weight;                                                        \
    T *out = r->out, mean = (T)r->mean, rstd = (T)r->rstd, less = (T)a, slope = (T)(b * r->rstd);               \
    T one = !w && each ? *each : 1;                                                                             \
    int64_t i = 0;                                                                                              \
    for (; i + LANES <= r->n; i += LANES) {                                                                     \
      __builtin_prefetch(x + r->n + i);                                                                         \
      __builtin_prefetch(gy + r->n + i);                                                                        \
      __builtin_prefetch(out + r->n + i, 1);                                                                    \
      NO_OVERLAP                                                                                                \
      for (int64_t k = i; k < i + LANES; k++)                                                                   \
        out[k] = rstd * (gy[k] * (w ? each[k] : one) - less - (x[k] - mean) * slope);                           \
    }                                                                                                           \
    for (; i < r->n; i++) {                                                                                     \
      __asm__ volatile("");                                                                                     \
      out[i] = rstd * (gy[i] * (w ? each[i] : one) - less - (x[i] - mean) * slope);                             \
    }                                                                                                           \
  }                                                                                                             \
  static void back_##T(const NormRun *r, double a, double b) {                                                  \
    if (r->each && r->weight)                                                                                   \
      back_loop_##T(r, a, b, true);                                                                             \
    else                                                                                                        \
      back_loop_##T(r, a, b, false);                                                                            \
  }                                                                                                             \
  static void gather_##T(const NormRun *r, int rows, double *restrict weight, double *restrict bias) {          \
    const T *x = r[0].x, *gy = r[0].grad;                                                                       \
    const int64_t n = r[0].n;                                                                                   \
    T mean = (T)r[0].mean, rstd = (T)r[0].rstd;                                                                 \
    if (rows == NORM_ROWS) {                                                                                    \
      const T *x1 = r[1].x, *x2 = r[2].x, *x3 = r[3].x, *g1 = r[1].grad, *g2 = r[2].grad, *g3 = r[3].grad;      \
      const T m1 = (T)r[1].mean, m2 = (T)r[2].mean, m3 = (T)r[3].mean;                                          \
      const T s1 = (T)r[1].rstd, s2 = (T)r[2].rstd, s3 = (T)r[3].rstd;                                          \
      EACH(LANES, i, n, T a = gy[i] * ((x[i] - mean) * rstd) + g1[i] * ((x1[i] - m1) * s1);                     \
           T b = g2[i] * ((x2[i] - m2) * s2) + g3[i] * ((x3[i] - m3) * s3); weight[i] += (double)(a + b);       \
           bias[i] += (double)((gy[i] + g1[i]) + (g2[i] + g3[i])););                                            \
      return;                                                                                                   \
    }                                                                                                           \
    for (int k = 0; k < rows; k++) {                                                                            \
      x = r[k].x, gy = r[k].grad, mean = (T)r[k].mean, rstd = (T)r[k].rstd;                                     \
      EACH(LANES, i, n, weight[i] += (double)(gy[i] * ((x[i] - mean) * rstd)); bias[i] += (double)gy[i];);      \
    }                                                                                                           \
  }
NORM(float)
NORM(double)

const NormTable VEC(norm_table) = {.moments = {moments_float, moments_double},
                                   .apply = {apply_float, apply_double},
                                   .sums = {sums_float, sums_double},
                                   .back = {back_float, back_double},
                                   .gather = {gather_float, gather_double}};
