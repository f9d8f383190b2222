/* Softmax: exponentials of differences to the largest element, in each instruction set.
 *
 * A packed line is read three times while it is in cache: for its maximum, for the sum of exponentials, for the result.
 * Sums run in LANES partial sums, joined in one order, so that a line gives the same bits wherever it lies. */
#include "cpu/softmax.h"
#include "cpu/vec/each.h"
#include "cpu/vmath.h"
#include <string.h>

enum { LANES_f32 = 16, LANES_f64 = 8 };
#define GREATER(a, b) ((a) < (b) || (b) != (b) ? (b) : (a))

/* The sum of `term` over j from 0 to n - 1. */
#define SUM(T, S, j, n, result, term)                            \
  do {                                                           \
    T lane[LANES_##S] = {0}, rest = 0;                           \
    int64_t j##_block = 0;                                       \
    for (; j##_block + LANES_##S <= (n); j##_block += LANES_##S) \
      for (int k = 0; k < LANES_##S; k++) {                      \
        int64_t j = j##_block + k;                               \
        lane[k] += (term);                                       \
      }                                                          \
    for (int64_t j = j##_block; j < (n); j++) {                  \
      __asm__ volatile("");                                      \
      rest += (term);                                            \
    }                                                            \
    result = joined_##S(lane) + rest;                            \
  } while (0)

#define LINES(S, T)                                                                                                 \
  static inline T joined_##S(T *lane) {                                                                             \
    JOIN_LANES(LANES_##S, lane, JOIN_SUM);                                                                          \
    return lane[0];                                                                                                 \
  }                                                                                                                 \
  static T most_##S(const T *x, int64_t n) {                                                                        \
    T lane[LANES_##S], part[LANES_##S];                                                                             \
    for (int k = 0; k < LANES_##S; k++) lane[k] = part[k] = -(T)INFINITY;                                           \
    for (; n >= LANES_##S; x += LANES_##S, n -= LANES_##S)                                                          \
      for (int k = 0; k < LANES_##S; k++) lane[k] = GREATER(lane[k], x[k]);                                         \
    memcpy(part, x, sizeof(T) * (size_t)n);                                                                         \
    for (int k = 0; k < LANES_##S; k++) lane[k] = GREATER(lane[k], part[k]);                                        \
    JOIN_LANES(LANES_##S, lane, GREATER);                                                                           \
    return lane[0];                                                                                                 \
  }                                                                                                                 \
  /* Exponentials of LANES elements in place: what is left of a line goes through here, padded. */                  \
  static void exp_part_##S(T *part, T most) {                                                                       \
    for (int k = 0; k < LANES_##S; k++) part[k] = exp_##S(part[k] - most);                                          \
  }                                                                                                                 \
  /* A line shorter than LANES. */                                                                                  \
  static void short_line_##S(const T *restrict x, T *restrict out, int64_t n, bool logarithm) {                     \
    T most = x[0], sum = 0;                                                                                         \
    for (int64_t i = 1; i < n; i++) most = GREATER(most, x[i]);                                                     \
    for (int64_t i = 0; i < n; i++) sum += out[i] = exp_##S(x[i] - most);                                           \
    sum = logarithm ? log_##S(sum) : 1 / sum;                                                                       \
    for (int64_t i = 0; i < n; i++) {                                                                               \
      __asm__ volatile("");                                                                                         \
      out[i] = logarithm ? (x[i] - most) - sum : out[i] * sum;                                                      \
    }                                                                                                               \
  }                                                                                                                 \
  static void line_##S(const T *restrict x, T *restrict out, int64_t n, bool logarithm) {                           \
    T most = most_##S(x, n), lane[LANES_##S] = {0}, part[LANES_##S];                                                \
    int64_t i = 0, whole = n / LANES_##S * LANES_##S;                                                               \
    if (logarithm)                                                                                                  \
      for (; i < whole; i += LANES_##S)                                                                             \
        for (int k = 0; k < LANES_##S; k++) lane[k] += exp_##S(x[i + k] - most);                                    \
    else                                                                                                            \
      for (; i < whole; i += LANES_##S)                                                                             \
        for (int k = 0; k < LANES_##S; k++) lane[k] += out[i + k] = exp_##S(x[i + k] - most);                       \
    if (i < n) {                                                                                                    \
      for (int k = 0; k < LANES_##S; k++) part[k] = -(T)INFINITY;                                                   \
      memcpy(part, x + i, sizeof(T) * (size_t)(n - i));                                                             \
      exp_part_##S(part, most);                                                                                     \
      for (int k = 0; k < LANES_##S; k++) lane[k] += part[k];                                                       \
      if (!logarithm) memcpy(out + i, part, sizeof(T) * (size_t)(n - i));                                           \
    }                                                                                                               \
    T sum = joined_##S(lane);                                                                                       \
    sum = logarithm ? log_##S(sum) : 1 / sum;                                                                       \
    if (logarithm)                                                                                                  \
      EACH(LANES_##S, j, n, out[j] = (x[j] - most) - sum;);                                                         \
    else                                                                                                            \
      EACH(LANES_##S, j, n, out[j] *= sum;);                                                                        \
  }                                                                                                                 \
  static void columns_##S(const T *restrict x, T *restrict out, int64_t n, int64_t step, int64_t width,             \
                          bool logarithm) {                                                                         \
    T most[SOFTMAX_TILE], sum[SOFTMAX_TILE];                                                                        \
    EACH(LANES_##S, j, width, most[j] = -(T)INFINITY; sum[j] = 0;);                                                 \
    for (int64_t i = 0; i < n; i++) {                                                                               \
      const T *row = x + i * step;                                                                                  \
      EACH(LANES_##S, j, width, most[j] = GREATER(most[j], row[j]););                                               \
    }                                                                                                               \
    for (int64_t i = 0; i < n; i++) {                                                                               \
      const T *row = x + i * step;                                                                                  \
      T *to = out + i * step;                                                                                       \
      EACH(LANES_##S, j, width, T e = exp_##S(row[j] - most[j]); sum[j] += e; to[j] = e;);                          \
    }                                                                                                               \
    for (int64_t j = 0; j < width; j++) {                                                                           \
      __asm__ volatile("");                                                                                         \
      sum[j] = logarithm ? log_##S(sum[j]) : 1 / sum[j];                                                            \
    }                                                                                                               \
    for (int64_t i = 0; i < n; i++) {                                                                               \
      const T *row = x + i * step;                                                                                  \
      T *to = out + i * step;                                                                                       \
      if (logarithm)                                                                                                \
        EACH(LANES_##S, j, width, to[j] = (row[j] - most[j]) - sum[j];);                                            \
      else                                                                                                          \
        EACH(LANES_##S, j, width, to[j] *= sum[j];);                                                                \
    }                                                                                                               \
  }                                                                                                                 \
  static void softmax_##S(const void *x, void *out, int64_t n, int64_t step, int64_t width, bool logarithm) {       \
    if (step == 1 && n < LANES_##S)                                                                                 \
      short_line_##S(x, out, n, logarithm);                                                                         \
    else if (step == 1)                                                                                             \
      line_##S(x, out, n, logarithm);                                                                               \
    else                                                                                                            \
      columns_##S(x, out, n, step, width, logarithm);                                                               \
  }                                                                                                                 \
  static void line_back_##S(const T *restrict g, const T *restrict y, T *restrict out, int64_t n, bool logarithm) { \
    T sum;                                                                                                          \
    if (logarithm) {                                                                                                \
      int64_t i = 0;                                                                                                \
      SUM(T, S, j, n, sum, g[j]);                                                                                   \
      for (; i + LANES_##S <= n; i += LANES_##S)                                                                    \
        for (int k = 0; k < LANES_##S; k++) out[i + k] = g[i + k] - exp_##S(y[i + k]) * sum;                        \
      if (i < n) {                                                                                                  \
        T part[LANES_##S] = {0};                                                                                    \
        memcpy(part, y + i, sizeof(T) * (size_t)(n - i));                                                           \
        exp_part_##S(part, 0);                                                                                      \
        for (int k = 0; i < n; i++, k++) out[i] = g[i] - part[k] * sum;                                             \
      }                                                                                                             \
    } else {                                                                                                        \
      SUM(T, S, j, n, sum, g[j] * y[j]);                                                                            \
      EACH(LANES_##S, j, n, out[j] = y[j] * (g[j] - sum););                                                         \
    }                                                                                                               \
  }                                                                                                                 \
  static void columns_back_##S(const T *restrict g, const T *restrict y, T *restrict out, int64_t n, int64_t step,  \
                               int64_t width, bool logarithm) {                                                     \
    T sum[SOFTMAX_TILE];                                                                                            \
    EACH(LANES_##S, j, width, sum[j] = 0;);                                                                         \
    for (int64_t i = 0; i < n; i++) {                                                                               \
      const T *gr = g + i * step, *yr = y + i * step;                                                               \
      if (logarithm)                                                                                                \
        EACH(LANES_##S, j, width, sum[j] += gr[j];);                                                                \
      else                                                                                                          \
        EACH(LANES_##S, j, width, sum[j] += gr[j] * yr[j];);                                                        \
    }                                                                                                               \
    for (int64_t i = 0; i < n; i++) {                                                                               \
      const T *gr = g + i * step, *yr = y + i * step;                                                               \
      T *to = out + i * step;                                                                                       \
      if (logarithm)                                                                                                \
        EACH(LANES_##S, j, width, to[j] = gr[j] - exp_##S(yr[j]) * sum[j];);                                        \
      else                                                                                                          \
        EACH(LANES_##S, j, width, to[j] = yr[j] * (gr[j] - sum[j]););                                               \
    }                                                                                                               \
  }                                                                                                                 \
  static void softmax_back_##S(const void *g, const void *y, void *out, int64_t n, int64_t step, int64_t width,     \
                               bool logarithm) {                                                                    \
    if (step == 1)                                                                                                  \
      line_back_##S(g, y, out, n, logarithm);                                                                       \
    else                                                                                                            \
      columns_back_##S(g, y, out, n, step, width, logarithm);                                                       \
  }
LINES(f32, float)
LINES(f64, double)

const SoftmaxTable VEC(softmax_table) = {.run = {softmax_f32, softmax_f64},
                                         .back = {softmax_back_f32, softmax_back_f64}};
