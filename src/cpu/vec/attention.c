/* Rows of attention's scores, in each instruction set: masks, running maximum and sum, exponentials and their gradients.
 *
 * What lies behind a row's last valid score is set to -inf first, and gradients there to 0, so that loops run over whole
 * vectors; nobody need have made either. Sums run in LANES partial sums, joined in one order. All rows' maxima are found
 * before any exponential: row after row, each would wait for its own maximum. */
#include "cpu/attention.h"
#include "cpu/vec/each.h"
#include "cpu/vmath.h"

enum { LANES_f32 = 16, LANES_f64 = 8 };

#define ROWS(S, T)                                                                                          \
  static inline T joined_##S(T *lane) {                                                                     \
    JOIN_LANES(LANES_##S, lane, JOIN_SUM);                                                                  \
    return lane[0];                                                                                         \
  }                                                                                                         \
  static inline int64_t mask_row_##S(const ScoreBlock *b, int64_t r, T *restrict s) {                       \
    int64_t valid = b->valid + r * b->step;                                                                 \
    valid = valid < 0 ? 0 : valid < b->columns ? valid : b->columns;                                        \
    if (b->mask && b->mask_is_bool) {                                                                       \
      const uint8_t *mask = (const uint8_t *)b->mask + r * b->mask_row;                                     \
      EACH(LANES_##S, j, valid, s[j] = mask[j] ? s[j] : -(T)INFINITY;);                                     \
    } else if (b->mask) {                                                                                   \
      const T *mask = (const T *)b->mask + r * b->mask_row;                                                 \
      EACH(LANES_##S, j, valid, s[j] += mask[j];);                                                          \
    }                                                                                                       \
    for (int64_t at = valid / LANES_##S * LANES_##S; at < b->width; at += LANES_##S)                        \
      for (int k = 0; k < LANES_##S; k++) s[at + k] = at + k < valid ? s[at + k] : -(T)INFINITY;            \
    return valid;                                                                                           \
  }                                                                                                         \
  static T most_##S(const T *s, int64_t width) {                                                            \
    T lane[LANES_##S];                                                                                      \
    for (int k = 0; k < LANES_##S; k++) lane[k] = -(T)INFINITY;                                             \
    for (int64_t j = 0; j < width; j += LANES_##S)                                                          \
      for (int k = 0; k < LANES_##S; k++) lane[k] = lane[k] < s[j + k] ? s[j + k] : lane[k];                \
    JOIN_LANES(LANES_##S, lane, JOIN_MOST);                                                                 \
    return lane[0];                                                                                         \
  }                                                                                                         \
  static void weigh_##S(const ScoreBlock *b) {                                                              \
    T *most = b->most, *sum = b->sum, *shrink = b->shrink;                                                  \
    for (int64_t r = 0; r < b->rows; r++) {                                                                 \
      T *restrict s = (T *)b->score + r * b->row, old = most[r];                                            \
      mask_row_##S(b, r, s);                                                                                \
      T now = most_##S(s, b->width);                                                                        \
      most[r] = now = now < old ? old : now;                                                                \
      shrink[r] = exp_weight_##S(now == -(T)INFINITY ? old : old - now);                                    \
    }                                                                                                       \
    for (int64_t r = 0; r < b->rows; r++) {                                                                 \
      T *restrict s = (T *)b->score + r * b->row, lane[LANES_##S] = {0};                                    \
      T base = most[r] == -(T)INFINITY ? 0 : most[r];                                                       \
      for (int64_t j = 0; j < b->width; j += LANES_##S)                                                     \
        for (int k = 0; k < LANES_##S; k++) lane[k] += s[j + k] = exp_weight_##S(s[j + k] - base);          \
      sum[r] = sum[r] * shrink[r] + joined_##S(lane);                                                       \
    }                                                                                                       \
  }                                                                                                         \
  static void weigh_back_##S(const ScoreBlock *b) {                                                         \
    T scale = (T)b->scale;                                                                                  \
    for (int64_t r = 0; r < b->rows; r++) {                                                                 \
      T *restrict s = (T *)b->score + r * b->row, *restrict d = (T *)b->back + r * b->row;                  \
      T lse = ((const T *)b->lse)[r], delta = ((const T *)b->delta)[r];                                     \
      int64_t valid = mask_row_##S(b, r, s);                                                                \
      for (int64_t at = valid / LANES_##S * LANES_##S; at < b->width; at += LANES_##S)                      \
        for (int k = 0; k < LANES_##S; k++) d[at + k] = at + k < valid ? d[at + k] : 0;                     \
      for (int64_t j = 0; j < b->width; j += LANES_##S)                                                     \
        for (int k = 0; k < LANES_##S; k++) {                                                               \
          s[j + k] = exp_weight_##S(s[j + k] - lse);                                                        \
          d[j + k] = s[j + k] * (d[j + k] - delta) * scale;                                                 \
        }                                                                                                   \
    }                                                                                                       \
  }                                                                                                         \
  static void shrink_##S(void *x, int64_t row, int64_t rows, int64_t n, const void *factor) {               \
    for (int64_t r = 0; r < rows; r++) {                                                                    \
      T *restrict to = (T *)x + r * row, f = ((const T *)factor)[r];                                        \
      EACH(LANES_##S, j, n, to[j] *= f;);                                                                   \
    }                                                                                                       \
  }                                                                                                         \
  static void finish_##S(void *x, int64_t row, int64_t rows, int64_t n, const void *most, const void *sum,  \
                         void *lse) {                                                                       \
    for (int64_t r = 0; r < rows; r++) {                                                                    \
      T *restrict to = (T *)x + r * row, total = ((const T *)sum)[r], f = total == 0 ? 0 : 1 / total;       \
      EACH(LANES_##S, j, n, to[j] *= f;);                                                                   \
      ((T *)lse)[r] = total == 0 ? 0 : ((const T *)most)[r] + log_##S(total);                               \
    }                                                                                                       \
  }                                                                                                         \
  static void dots_##S(const void *x, int64_t x_row, const void *y, int64_t y_row, int64_t rows, int64_t n, \
                       const void *less, void *out) {                                                       \
    for (int64_t r = 0; r < rows; r++) {                                                                    \
      const T *a = (const T *)x + r * x_row, *b = (const T *)y + r * y_row;                                 \
      T lane[LANES_##S] = {0}, rest = 0;                                                                    \
      int64_t j = 0;                                                                                        \
      for (; j + LANES_##S <= n; j += LANES_##S)                                                            \
        for (int k = 0; k < LANES_##S; k++) lane[k] += a[j + k] * b[j + k];                                 \
      for (; j < n; j++) {                                                                                  \
        __asm__ volatile("");                                                                               \
        rest += a[j] * b[j];                                                                                \
      }                                                                                                     \
      ((T *)out)[r] = joined_##S(lane) + rest - (less ? ((const T *)less)[r] : 0);                          \
    }                                                                                                       \
  }                                                                                                         \
  static void add_##S(void *x, int64_t x_row, const void *y, int64_t y_row, int64_t rows, int64_t n) {      \
    for (int64_t r = 0; r < rows; r++) {                                                                    \
      T *restrict to = (T *)x + r * x_row;                                                                  \
      const T *restrict from = (const T *)y + r * y_row;                                                    \
      EACH(LANES_##S, j, n, to[j] += from[j];);                                                             \
    }                                                                                                       \
  }
ROWS(f32, float)
ROWS(f64, double)

const AttentionTable VEC(attention_table) = {.weigh = {weigh_f32, weigh_f64},
                                             .weigh_back = {weigh_back_f32, weigh_back_f64},
                                             .shrink = {shrink_f32, shrink_f64},
                                             .finish = {finish_f32, finish_f64},
                                             .dots = {dots_f32, dots_f64},
                                             .add = {add_f32, add_f64}};
