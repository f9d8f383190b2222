/* Softmax: exponentials of differences to the largest element, in each instruction set.
 *
 * A packed line is read for its maximum, then exponentials are stored and summed, then scaled, all while it is in cache.
 * Short lines share the exponentials' vectors: many of them lie in one piece. Sums run in partial sums, joined in one
 * order, so that a line gives the same bits wherever it lies. A NaN needs no care in the maximum: its own exponential
 * makes the sum NaN, and that the line. */
#include "cpu/softmax.h"
#include "cpu/vec/each.h"
#include "cpu/vmath.h"
#include <string.h>

enum { LANES_f32 = 16, LANES_f64 = 8, FLAT = 1024, MOST_LINES = 256 };

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

#define LINES(S, T)                                                                                                    \
  static inline T joined_##S(T *lane) {                                                                                \
    JOIN_LANES(LANES_##S, lane, JOIN_SUM);                                                                             \
    return lane[0];                                                                                                    \
  }                                                                                                                    \
  /* The largest of n >= LANES elements; the last vector may hold some again. */                                       \
  static T most_##S(const T *x, int64_t n) {                                                                           \
    enum { L = LANES_##S };                                                                                            \
    T a[L], b[L], c[L], d[L];                                                                                          \
    const T *last = x + n - L;                                                                                         \
    for (int k = 0; k < L; k++) a[k] = b[k] = c[k] = d[k] = last[k];                                                   \
    for (; n >= 4 * L; x += 4 * L, n -= 4 * L) {                                                                       \
      for (int k = 0; k < L; k++) a[k] = JOIN_MOST(a[k], x[k]);                                                        \
      for (int k = 0; k < L; k++) b[k] = JOIN_MOST(b[k], x[k + L]);                                                    \
      for (int k = 0; k < L; k++) c[k] = JOIN_MOST(c[k], x[k + 2 * L]);                                                \
      for (int k = 0; k < L; k++) d[k] = JOIN_MOST(d[k], x[k + 3 * L]);                                                \
    }                                                                                                                  \
    for (; n >= L; x += L, n -= L)                                                                                     \
      for (int k = 0; k < L; k++) a[k] = JOIN_MOST(a[k], x[k]);                                                        \
    for (int k = 0; k < L; k++) a[k] = JOIN_MOST(a[k], b[k]);                                                          \
    for (int k = 0; k < L; k++) c[k] = JOIN_MOST(c[k], d[k]);                                                          \
    for (int k = 0; k < L; k++) a[k] = JOIN_MOST(a[k], c[k]);                                                          \
    JOIN_LANES(L, a, JOIN_MOST);                                                                                       \
    return a[0];                                                                                                       \
  }                                                                                                                    \
  /* Exponentials, EXP_UP times as large, of n elements in place. */                                                   \
  static void exp_flat_##S(T *x, int64_t n) { EACH(LANES_##S, j, n, x[j] = exp_up_##S(x[j]);); }                       \
  /* Lines shorter than LANES, `lines` of them, one after another; few enough for FLAT elements. */                    \
  static void short_lines_##S(const T *restrict x, T *restrict out, int64_t n, int64_t lines, bool logarithm) {        \
    T buffer[FLAT], sum[MOST_LINES], *e = logarithm ? buffer : out;                                                    \
    for (int64_t i = 0; i < lines; i++) {                                                                              \
      const T *from = x + i * n;                                                                                       \
      T most = from[0];                                                                                                \
      for (int64_t k = 1; k < n; k++) most = JOIN_MOST(most, from[k]);                                                 \
      for (int64_t k = 0; k < n; k++) {                                                                                \
        __asm__ volatile("");                                                                                          \
        e[i * n + k] = from[k] - most;                                                                                 \
      }                                                                                                                \
    }                                                                                                                  \
    if (logarithm) memcpy(out, e, sizeof(T) * (size_t)(lines * n));                                                    \
    exp_flat_##S(e, lines *n);                                                                                         \
    for (int64_t i = 0; i < lines; i++) {                                                                              \
      sum[i] = 0;                                                                                                      \
      for (int64_t k = 0; k < n; k++) sum[i] += e[i * n + k];                                                          \
    }                                                                                                                  \
    if (logarithm)                                                                                                     \
      EACH(LANES_##S, i, lines, sum[i] = log_##S(sum[i] * (1 / EXP_UP_##S)););                                         \
    else                                                                                                               \
      EACH(LANES_##S, i, lines, sum[i] = 1 / sum[i];);                                                                 \
    for (int64_t i = 0; i < lines; i++)                                                                                \
      for (int64_t k = i * n; k < (i + 1) * n; k++) {                                                                  \
        __asm__ volatile("");                                                                                          \
        out[k] = logarithm ? out[k] - sum[i] : out[k] * sum[i];                                                        \
      }                                                                                                                \
  }                                                                                                                    \
  /* What is left of a line after whole vectors is the end of its last vector. */                                      \
  static void line_##S(const T *restrict x, T *restrict out, int64_t n, bool logarithm) {                              \
    enum { L = LANES_##S };                                                                                            \
    T most = most_##S(x, n), lane[L] = {0}, end[L];                                                                    \
    int64_t i = 0, last = n - L, whole = n / L * L;                                                                    \
    int skip = (int)(whole - last);                                                                                    \
    if (logarithm)                                                                                                     \
      for (; i < whole; i += L) {                                                                                      \
        __builtin_prefetch(x + i + n);                                                                                 \
        for (int k = 0; k < L; k++) lane[k] += exp_up_##S(x[i + k] - most);                                            \
      }                                                                                                                \
    else                                                                                                               \
      for (; i < whole; i += L) {                                                                                      \
        __builtin_prefetch(x + i + n);                                                                                 \
        __builtin_prefetch(out + i + n, 1);                                                                            \
        for (int k = 0; k < L; k++) lane[k] += out[i + k] = exp_up_##S(x[i + k] - most);                               \
      }                                                                                                                \
    if (whole < n) {                                                                                                   \
      for (int k = 0; k < L; k++) end[k] = exp_up_##S(x[last + k] - most);                                             \
      for (int k = 0; k < L; k++) lane[k] += k < skip ? (T)0 : end[k];                                                 \
    }                                                                                                                  \
    T sum = joined_##S(lane);                                                                                          \
    if (logarithm) {                                                                                                   \
      sum = log_##S(sum * (1 / EXP_UP_##S));                                                                           \
      for (i = 0; i < whole; i += L)                                                                                   \
        for (int k = 0; k < L; k++) out[i + k] = (x[i + k] - most) - sum;                                              \
      for (int k = 0; k < L; k++) out[last + k] = (x[last + k] - most) - sum;                                          \
    } else {                                                                                                           \
      sum = 1 / sum;                                                                                                   \
      for (i = 0; i < whole; i += L)                                                                                   \
        for (int k = 0; k < L; k++) out[i + k] *= sum;                                                                 \
      if (whole < n)                                                                                                   \
        for (int k = 0; k < L; k++) out[last + k] = end[k] * sum;                                                      \
    }                                                                                                                  \
  }                                                                                                                    \
  static void columns_##S(const T *restrict x, T *restrict out, int64_t n, int64_t step, int64_t width,                \
                          bool logarithm) {                                                                            \
    T most[SOFTMAX_TILE], sum[SOFTMAX_TILE];                                                                           \
    EACH(LANES_##S, j, width, most[j] = -(T)INFINITY; sum[j] = 0;);                                                    \
    for (int64_t i = 0; i < n; i++) {                                                                                  \
      const T *row = x + i * step;                                                                                     \
      EACH(LANES_##S, j, width, most[j] = JOIN_MOST(most[j], row[j]););                                                \
    }                                                                                                                  \
    if (width == step && width < LANES_##S) { /* in one piece */                                                       \
      for (int64_t i = 0; i < n; i++) EACH(LANES_##S, j, width, out[i * step + j] = x[i * step + j] - most[j];);       \
      exp_flat_##S(out, n *width);                                                                                     \
      for (int64_t i = 0; i < n; i++) EACH(LANES_##S, j, width, sum[j] += out[i * step + j];);                         \
    } else {                                                                                                           \
      for (int64_t i = 0; i < n; i++) {                                                                                \
        const T *row = x + i * step;                                                                                   \
        T *to = out + i * step;                                                                                        \
        EACH(LANES_##S, j, width, T e = exp_up_##S(row[j] - most[j]); sum[j] += e; to[j] = e;);                        \
      }                                                                                                                \
    }                                                                                                                  \
    for (int64_t j = 0; j < width; j++) {                                                                              \
      __asm__ volatile("");                                                                                            \
      sum[j] = logarithm ? log_##S(sum[j] * (1 / EXP_UP_##S)) : 1 / sum[j];                                            \
    }                                                                                                                  \
    for (int64_t i = 0; i < n; i++) {                                                                                  \
      const T *row = x + i * step;                                                                                     \
      T *to = out + i * step;                                                                                          \
      if (logarithm)                                                                                                   \
        EACH(LANES_##S, j, width, to[j] = (row[j] - most[j]) - sum[j];);                                               \
      else                                                                                                             \
        EACH(LANES_##S, j, width, to[j] *= sum[j];);                                                                   \
    }                                                                                                                  \
  }                                                                                                                    \
  static void softmax_##S(const void *from, void *to, int64_t n, int64_t step, int64_t width, bool logarithm) {        \
    const T *x = from;                                                                                                 \
    T *out = to;                                                                                                       \
    if (step > 1) {                                                                                                    \
      columns_##S(x, out, n, step, width, logarithm);                                                                  \
    } else if (n >= LANES_##S) {                                                                                       \
      for (int64_t i = 0; i < width; i++) line_##S(x + i * n, out + i * n, n, logarithm);                              \
    } else {                                                                                                           \
      int64_t most = FLAT / n < MOST_LINES ? FLAT / n : MOST_LINES;                                                    \
      for (int64_t i = 0; i < width; i += most)                                                                        \
        short_lines_##S(x + i * n, out + i * n, n, width - i < most ? width - i : most, logarithm);                    \
    }                                                                                                                  \
  }                                                                                                                    \
  static void line_back_##S(const T *restrict g, const T *restrict y, T *restrict out, int64_t n, bool logarithm) {    \
    enum { L = LANES_##S };                                                                                            \
    T sum;                                                                                                             \
    if (logarithm) {                                                                                                   \
      SUM(T, S, j, n, sum, g[j]);                                                                                      \
      for (int64_t i = 0; i + L <= n; i += L)                                                                          \
        for (int k = 0; k < L; k++) out[i + k] = g[i + k] - exp_below_##S(y[i + k]) * sum;                             \
      if (n % L > 0)                                                                                                   \
        for (int64_t k = n - L; k < n; k++) out[k] = g[k] - exp_below_##S(y[k]) * sum;                                 \
    } else {                                                                                                           \
      SUM(T, S, j, n, sum, g[j] * y[j]);                                                                               \
      EACH(L, j, n, out[j] = y[j] * (g[j] - sum););                                                                    \
    }                                                                                                                  \
  }                                                                                                                    \
  static void short_back_##S(const T *restrict g, const T *restrict y, T *restrict out, int64_t n, int64_t lines) {    \
    memcpy(out, y, sizeof(T) * (size_t)(lines * n));                                                                   \
    exp_flat_##S(out, lines *n);                                                                                       \
    for (int64_t i = 0; i < lines * n; i += n) {                                                                       \
      T sum = 0;                                                                                                       \
      for (int64_t k = i; k < i + n; k++) sum += g[k];                                                                 \
      for (int64_t k = i; k < i + n; k++) {                                                                            \
        __asm__ volatile("");                                                                                          \
        out[k] = g[k] - out[k] * (1 / EXP_UP_##S) * sum;                                                               \
      }                                                                                                                \
    }                                                                                                                  \
  }                                                                                                                    \
  static void columns_back_##S(const T *restrict g, const T *restrict y, T *restrict out, int64_t n, int64_t step,     \
                               int64_t width, bool logarithm) {                                                        \
    T sum[SOFTMAX_TILE];                                                                                               \
    EACH(LANES_##S, j, width, sum[j] = 0;);                                                                            \
    for (int64_t i = 0; i < n; i++) {                                                                                  \
      const T *gr = g + i * step, *yr = y + i * step;                                                                  \
      if (logarithm)                                                                                                   \
        EACH(LANES_##S, j, width, sum[j] += gr[j];);                                                                   \
      else                                                                                                             \
        EACH(LANES_##S, j, width, sum[j] += gr[j] * yr[j];);                                                           \
    }                                                                                                                  \
    for (int64_t i = 0; i < n; i++) {                                                                                  \
      const T *gr = g + i * step, *yr = y + i * step;                                                                  \
      T *to = out + i * step;                                                                                          \
      if (logarithm)                                                                                                   \
        EACH(LANES_##S, j, width, to[j] = gr[j] - exp_below_##S(yr[j]) * sum[j];);                                     \
      else                                                                                                             \
        EACH(LANES_##S, j, width, to[j] = yr[j] * (gr[j] - sum[j]););                                                  \
    }                                                                                                                  \
  }                                                                                                                    \
  static void softmax_back_##S(const void *grad, const void *result, void *to, int64_t n, int64_t step, int64_t width, \
                               bool logarithm) {                                                                       \
    const T *g = grad, *y = result;                                                                                    \
    T *out = to;                                                                                                       \
    if (step > 1) {                                                                                                    \
      columns_back_##S(g, y, out, n, step, width, logarithm);                                                          \
    } else if (n >= LANES_##S || !logarithm) {                                                                         \
      for (int64_t i = 0; i < width * n; i += n) line_back_##S(g + i, y + i, out + i, n, logarithm);                   \
    } else {                                                                                                           \
      int64_t most = FLAT / n * n;                                                                                     \
      for (int64_t i = 0; i < width * n; i += most) {                                                                  \
        int64_t part = width * n - i < most ? width * n - i : most;                                                    \
        short_back_##S(g + i, y + i, out + i, n, part / n);                                                            \
      }                                                                                                                \
    }                                                                                                                  \
  }
LINES(f32, float)
LINES(f64, double)

const SoftmaxTable VEC(softmax_table) = {.run = {softmax_f32, softmax_f64},
                                         .back = {softmax_back_f32, softmax_back_f64}};
