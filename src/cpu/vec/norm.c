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
  }

/* Rows that weight and bias run along. */
#define NORM_EACH(T)                                                                                           \
  static inline __attribute__((always_inline)) void back_gather_loop_##T(const NormRun *r, double a, double b, \
                                                                         T *weight, T *bias, const bool w) {   \
    const T *x = r->x, *gy = r->grad, *each = r->weight;                                                       \
    T *out = r->out, mean = (T)r->mean, rstd = (T)r->rstd, less = (T)a, slope = (T)b;                          \
    int64_t begin = 0;                                                                                         \
    for (int64_t size = LANES; begin < r->n; begin += size) { /* whole blocks, then one by one */              \
      if (r->n - begin < LANES) size = 1;                                                                      \
      __builtin_prefetch(x + r->n + begin);                                                                    \
      __builtin_prefetch(gy + r->n + begin);                                                                   \
      __builtin_prefetch(out + r->n + begin, 1);                                                               \
      NO_OVERLAP                                                                                               \
      for (int64_t i = begin; i < begin + size; i++) {                                                         \
        T y = gy[i], h = (x[i] - mean) * rstd;                                                                 \
        weight[i] += y * h;                                                                                    \
        bias[i] += y;                                                                                          \
        out[i] = rstd * (y * (w ? each[i] : (T)1) - less - h * slope);                                         \
      }                                                                                                        \
    }                                                                                                          \
  }                                                                                                            \
  static void back_gather_##T(const NormRun *r, double a, double b, void *weight, void *bias) {                \
    if (r->weight)                                                                                             \
      back_gather_loop_##T(r, a, b, weight, bias, true);                                                       \
    else                                                                                                       \
      back_gather_loop_##T(r, a, b, weight, bias, false);                                                      \
  }                                                                                                            \
  static void settle_##T(void *from, double *restrict to, int64_t n) {                                         \
    T *restrict sum = from;                                                                                    \
    EACH(LANES, i, n, to[i] += (double)sum[i]; sum[i] = 0;);                                                   \
  }

/* Short rows, LANES of them side by side: turned, so that a vector holds one column. The empty asm keeps the compiler from
 * vectorising these loops: gathers and scatters of single elements, with their set-up, cost more than such short rows. */
#define TURN(T, to, from, n, rows)                       \
  for (int64_t r_ = 0; r_ < (rows); r_++)                \
    for (int64_t k_ = 0; k_ < (n); k_++) {               \
      __asm__ volatile("");                              \
      (to)[k_][r_] = ((const T *)(from))[r_ * (n) + k_]; \
    }
#define TURN_BACK(T, to, from, n, rows)            \
  for (int64_t r_ = 0; r_ < (rows); r_++)          \
    for (int64_t k_ = 0; k_ < (n); k_++) {         \
      __asm__ volatile("");                        \
      ((T *)(to))[r_ * (n) + k_] = (from)[k_][r_]; \
    }
#define LANE(l) for (int l = 0; l < LANES; l++)
#define NORM_SHORT(T, ROOT)                                                                                    \
  static void short_rows_##T(const NormShort *s, int64_t begin, int64_t end) {                                 \
    const int64_t n = s->n;                                                                                    \
    const T *w = s->weight, *b = s->bias, eps = (T)s->eps;                                                     \
    T x[NORM_SHORT_ROW][LANES] = {{0}}, *means = s->mean, *vars = s->var;                                      \
    for (int64_t at = begin; at < end; at += LANES) {                                                          \
      int64_t rows = end - at < LANES ? end - at : LANES;                                                      \
      T mean[LANES] = {0}, var[LANES] = {0}, rstd[LANES];                                                      \
      TURN(T, x, (const T *)s->x + at * n, n, rows)                                                            \
      for (int64_t k = 0; k < n; k++) LANE(l) mean[l] += x[k][l];                                              \
      LANE(l) mean[l] /= (T)n;                                                                                 \
      for (int64_t k = 0; k < n; k++) LANE(l) x[k][l] -= mean[l];                                              \
      for (int64_t k = 0; k < n; k++) LANE(l) var[l] += x[k][l] * x[k][l];                                     \
      LANE(l) var[l] /= (T)n;                                                                                  \
      LANE(l) rstd[l] = 1 / ROOT(var[l] + eps);                                                                \
      for (int64_t k = 0; k < n; k++) {                                                                        \
        T scale = w ? w[k] : 1, shift = b ? b[k] : 0;                                                          \
        LANE(l) x[k][l] = x[k][l] * rstd[l] * scale + shift;                                                   \
      }                                                                                                        \
      TURN_BACK(T, (T *)s->out + at * n, x, n, rows)                                                           \
      for (int64_t r = 0; r < rows; r++) means[at + r] = mean[r], vars[at + r] = var[r];                       \
    }                                                                                                          \
  }                                                                                                            \
  static void short_back_##T(const NormShort *s, int64_t begin, int64_t end, double *weight, double *bias) {   \
    enum { BLOCKS = 64 };                                                                                      \
    const int64_t n = s->n;                                                                                    \
    const T *w = s->weight, eps = (T)s->eps, *means = s->mean, *vars = s->var, less = s->fixed ? 0 : 1 / (T)n; \
    T x[NORM_SHORT_ROW][LANES] = {{0}}, gy[NORM_SHORT_ROW][LANES] = {{0}};                                     \
    T slope[NORM_SHORT_ROW][LANES], shift[NORM_SHORT_ROW][LANES];                                              \
    for (int64_t group = begin; group < end; group += BLOCKS * LANES) {                                        \
      int64_t last = end - group < BLOCKS * LANES ? end : group + BLOCKS * LANES;                              \
      for (int64_t k = 0; k < n; k++) LANE(l) slope[k][l] = shift[k][l] = 0;                                   \
      for (int64_t at = group; at < last; at += LANES) {                                                       \
        int64_t rows = last - at < LANES ? last - at : LANES;                                                  \
        T mean[LANES] = {0}, rstd[LANES] = {0}, a[LANES] = {0}, b[LANES] = {0};                                \
        TURN(T, x, (const T *)s->x + at * n, n, rows)                                                          \
        TURN(T, gy, (const T *)s->grad + at * n, n, rows)                                                      \
        for (int64_t r = 0; r < rows; r++) mean[r] = means[at + r], rstd[r] = vars[at + r];                    \
        LANE(l) rstd[l] = 1 / ROOT(rstd[l] + eps);                                                             \
        for (int64_t k = 0; k < n; k++) {                                                                      \
          T scale = w ? w[k] : 1;                                                                              \
          LANE(l) x[k][l] = l < rows ? (x[k][l] - mean[l]) * rstd[l] : 0;                                      \
          LANE(l) gy[k][l] = l < rows ? gy[k][l] : 0;                                                          \
          if (weight) {                                                                                        \
            LANE(l) slope[k][l] += gy[k][l] * x[k][l];                                                         \
            LANE(l) shift[k][l] += gy[k][l];                                                                   \
          }                                                                                                    \
          LANE(l) gy[k][l] *= scale;                                                                           \
          LANE(l) a[l] += gy[k][l];                                                                            \
          LANE(l) b[l] += gy[k][l] * x[k][l];                                                                  \
        }                                                                                                      \
        LANE(l) a[l] *= less;                                                                                  \
        LANE(l) b[l] *= less;                                                                                  \
        for (int64_t k = 0; k < n; k++) LANE(l) gy[k][l] = rstd[l] * (gy[k][l] - a[l] - x[k][l] * b[l]);       \
        TURN_BACK(T, (T *)s->out + at * n, gy, n, rows)                                                        \
      }                                                                                                        \
      for (int64_t k = 0; weight && k < n; k++) {                                                              \
        JOIN_LANES(LANES, slope[k], JOIN_SUM);                                                                 \
        JOIN_LANES(LANES, shift[k], JOIN_SUM);                                                                 \
        weight[k] += (double)slope[k][0];                                                                      \
        bias[k] += (double)shift[k][0];                                                                        \
      }                                                                                                        \
    }                                                                                                          \
  }

#define NORM_COLUMNS(T)                                                                                        \
  static void columns_##T(const void *px, const void *pmean, const void *pscale, const void *pshift, void *po, \
                          int64_t n) {                                                                         \
    const T *x = px, *mean = pmean, *scale = pscale, *shift = pshift;                                          \
    T *out = po;                                                                                               \
    NO_OVERLAP                                                                                                 \
    for (int64_t i = 0; i < n; i++) out[i] = (x[i] - mean[i]) * scale[i] + shift[i];                           \
  }
NORM_COLUMNS(float)
NORM_COLUMNS(double)

NORM(float)
NORM(double)
NORM_EACH(float)
NORM_EACH(double)
NORM_SHORT(float, __builtin_sqrtf)
NORM_SHORT(double, __builtin_sqrt)

const NormTable VEC(norm_table) = {.moments = {moments_float, moments_double},
                                   .apply = {apply_float, apply_double},
                                   .columns = {columns_float, columns_double},
                                   .sums = {sums_float, sums_double},
                                   .back = {back_float, back_double},
                                   .back_gather = {back_gather_float, back_gather_double},
                                   .settle = {settle_float, settle_double},
                                   .short_rows = {short_rows_float, short_rows_double},
                                   .short_back = {short_back_float, short_back_double}};
