/* Reductions: the loops that fold rows and columns, per lane type, in each instruction set.
 *
 * A row runs through a strip of vector accumulators, and is fetched AHEAD elements before: what folds them with more than
 * one instruction would else wait for memory. Columns are joined four rows at a time into a block that stays in cache.
 * Either holds at most ROWS terms a lane before it is joined with the accumulator, which is wider. Folds that are rare
 * exist for double only, and in the base set only. */
#include "cpu/reduce.h"
#include "cpu/vec/each.h"
#include "cpu/vmath.h"
#include <float.h>
#include <stddef.h>

/* LARGER_*(a, b): a < b ? b : a in one instruction, where there is one. HOLD: the vector is loaded once, for a load that
 * several instructions repeat takes the place of others that miss the cache. */
#if defined(__x86_64__)
#include <immintrin.h>
#define HOLD(v) __asm__("" : "+v"(v))
#if defined(__AVX512F__)
#define VECTOR 64
#define OF_TWO(op, type, a, b) _mm512_##op((type)(b), (type)(a))
#define PS __m512
#define PD __m512d
#elif defined(__AVX2__)
#define VECTOR 32
#define OF_TWO(op, type, a, b) _mm256_##op((type)(b), (type)(a))
#define PS __m256
#define PD __m256d
#else
#define VECTOR 16
#define OF_TWO(op, type, a, b) _mm_##op((type)(b), (type)(a))
#define PS __m128
#define PD __m128d
#endif
#define LARGER_f32(a, b) ((V_f32)OF_TWO(max_ps, PS, a, b))
#define LARGER_f64(a, b) ((V_f64)OF_TWO(max_pd, PD, a, b))
#define LESSER_f32(a, b) ((V_f32)OF_TWO(min_ps, PS, a, b))
#define LESSER_f64(a, b) ((V_f64)OF_TWO(min_pd, PD, a, b))
#else
#define VECTOR 16
#define HOLD(v) (void)0
#define LARGER_f32(a, b) select_f32((V_i32)((a) < (b)), b, a)
#define LARGER_f64(a, b) select_f64((V_i64)((a) < (b)), b, a)
#define LESSER_f32(a, b) select_f32((V_i32)((b) < (a)), b, a)
#define LESSER_f64(a, b) select_f64((V_i64)((b) < (a)), b, a)
#endif
#define LARGER_i64(a, b) select_i64((a) < (b), b, a)
#define LESSER_i64(a, b) select_i64((b) < (a), b, a)
#define IS_base 1
#define IN_BASE VEC_JOIN(IS, VEC_SET)
enum { ROWS = FOLD_ROWS, WIDE = 256, PARTS = 4, AHEAD = 4096 };

/* Vectors of a type, and the same where they lie in memory. */
#define VECTORS(S, T)                                   \
  typedef T V_##S __attribute__((vector_size(VECTOR))); \
  typedef T U_##S __attribute__((vector_size(VECTOR), aligned(sizeof(T)), may_alias));
VECTORS(f32, float)
VECTORS(f64, double)
VECTORS(i32, int32_t)
VECTORS(i64, int64_t)
VECTORS(u64, uint64_t)
#define LOAD(S, p) (*(const U_##S *)(const void *)(p))
#define STORE(S, p, v) (*(U_##S *)(void *)(p) = (v))

/* A NaN on either side wins; of equals the first. */
#define GREATER(a, b) ((b) != (b) ? (b) : (a) < (b) ? (b) : (a))
#define SMALLER(a, b) ((b) != (b) ? (b) : (b) < (a) ? (b) : (a))
#define JOIN_LEAST(a, b) ((b) < (a) ? (b) : (a))
#define PLUS(a, b) ((a) + (b))
#define TIMES(a, b) ((a) * (b))
#define DEFINE_SELECT(S, M)                                                                                       \
  static inline V_##S select_##S(V_##M m, V_##S a, V_##S b) { return (V_##S)(((V_##M)a & m) | ((V_##M)b & ~m)); } \
  static inline V_##S greater_##S(V_##S a, V_##S b) {                                                             \
    HOLD(b);                                                                                                      \
    return select_##S((V_##M)(b != b), b, LARGER_##S(a, b));                                                      \
  }                                                                                                               \
  static inline V_##S smaller_##S(V_##S a, V_##S b) {                                                             \
    HOLD(b);                                                                                                      \
    return select_##S((V_##M)(b != b), b, LESSER_##S(a, b));                                                      \
  }
DEFINE_SELECT(f32, i32)
DEFINE_SELECT(f64, i64)
DEFINE_SELECT(i64, i64)
#define PLAIN(x) (x)
#define UNSIGNED(x) ((V_u64)(x))
#define SQUARE(x) ((x) * (x))
#define ABS(x) __builtin_fabs(x)
#define VECTOR_ABS(x) ((V_f64)((V_i64)(x)&INT64_MAX))
#define IS_SET(x) ((x) != 0)
#define VECTOR_IS_SET(x) (-(V_i64)((x) != 0))

/* S, T: suffix and type of elements; R, A: of what is folded; field, W: of the accumulator. vmap and vjoin are map and
 * join on vectors. The empty asm keeps a loop that only does a remainder from being vectorised again. */
#define FOLD(name, S, T, R, A, field, W, start, map, vmap, join, vjoin)                                            \
  static W lanes_##name##_##S(V_##R v) {                                                                           \
    enum { LANES = VECTOR / sizeof(A) };                                                                           \
    A lane[LANES];                                                                                                 \
    STORE(R, lane, v);                                                                                             \
    JOIN_LANES(LANES, lane, join);                                                                                 \
    return (W)lane[0];                                                                                             \
  }                                                                                                                \
  static void row_##name##_##S(Acc *acc, const void *from, int64_t n, double p) {                                  \
    enum { LANES = VECTOR / sizeof(T), STRIP = PARTS * LANES };                                                    \
    const T *x = from;                                                                                             \
    W total = (W)acc->field, u;                                                                                    \
    (void)p;                                                                                                       \
    while (n >= STRIP) {                                                                                           \
      int64_t strips = n / STRIP < ROWS ? n / STRIP : ROWS;                                                        \
      V_##R a = vmap(LOAD(S, x)), b = vmap(LOAD(S, x + LANES)), c = vmap(LOAD(S, x + 2 * LANES)),                  \
            d = vmap(LOAD(S, x + 3 * LANES));                                                                      \
      n -= strips * STRIP;                                                                                         \
      for (x += STRIP; --strips > 0; x += STRIP) {                                                                 \
        __builtin_prefetch(x + AHEAD + 0 * LANES);                                                                 \
        __builtin_prefetch(x + AHEAD + 1 * LANES);                                                                 \
        __builtin_prefetch(x + AHEAD + 2 * LANES);                                                                 \
        __builtin_prefetch(x + AHEAD + 3 * LANES);                                                                 \
        a = vjoin(a, vmap(LOAD(S, x)));                                                                            \
        b = vjoin(b, vmap(LOAD(S, x + LANES)));                                                                    \
        c = vjoin(c, vmap(LOAD(S, x + 2 * LANES)));                                                                \
        d = vjoin(d, vmap(LOAD(S, x + 3 * LANES)));                                                                \
      }                                                                                                            \
      a = vjoin(a, b);                                                                                             \
      c = vjoin(c, d);                                                                                             \
      u = lanes_##name##_##S(vjoin(a, c));                                                                         \
      total = join(total, u);                                                                                      \
    }                                                                                                              \
    if (n >= LANES) {                                                                                              \
      V_##R a = vmap(LOAD(S, x));                                                                                  \
      for (x += LANES, n -= LANES; n >= LANES; x += LANES, n -= LANES) a = vjoin(a, vmap(LOAD(S, x)));             \
      u = lanes_##name##_##S(a);                                                                                   \
      total = join(total, u);                                                                                      \
    }                                                                                                              \
    for (int64_t i = 0; i < n; i++) {                                                                              \
      __asm__ volatile("");                                                                                        \
      u = (W)map(x[i]);                                                                                            \
      total = join(total, u);                                                                                      \
    }                                                                                                              \
    acc->field = total;                                                                                            \
  }                                                                                                                \
  /* at most ROWS rows of `width` elements, at most FOLD_TILE, joined with block */                                \
  static void block_##name##_##S(void *pblock, const void *from, int64_t step, int64_t rows, int64_t width) {      \
    enum { LANES = VECTOR / sizeof(T) };                                                                           \
    A *block = pblock;                                                                                             \
    const T *x = from;                                                                                             \
    int64_t r = 0;                                                                                                 \
    for (; r + 4 <= rows; r += 4, x += 4 * step) {                                                                 \
      int64_t j = 0;                                                                                               \
      const T *x1 = x + step, *x2 = x1 + step, *x3 = x2 + step;                                                    \
      for (; j + LANES <= width; j += LANES) {                                                                     \
        V_##R u = vjoin(vmap(LOAD(S, x + j)), vmap(LOAD(S, x1 + j)));                                              \
        V_##R v = vjoin(vmap(LOAD(S, x2 + j)), vmap(LOAD(S, x3 + j)));                                             \
        STORE(R, block + j, vjoin(LOAD(R, block + j), vjoin(u, v)));                                               \
      }                                                                                                            \
      for (; j < width; j++) {                                                                                     \
        __asm__ volatile("");                                                                                      \
        A u = (A)map(x[j]), v = (A)map(x1[j]), w = (A)map(x2[j]), z = (A)map(x3[j]);                               \
        u = join(u, v);                                                                                            \
        w = join(w, z);                                                                                            \
        u = join(u, w);                                                                                            \
        block[j] = join(block[j], u);                                                                              \
      }                                                                                                            \
    }                                                                                                              \
    for (; r < rows; r++, x += step) {                                                                             \
      int64_t j = 0;                                                                                               \
      for (; j + LANES <= width; j += LANES) STORE(R, block + j, vjoin(LOAD(R, block + j), vmap(LOAD(S, x + j)))); \
      for (; j < width; j++) {                                                                                     \
        __asm__ volatile("");                                                                                      \
        A u = (A)map(x[j]);                                                                                        \
        block[j] = join(block[j], u);                                                                              \
      }                                                                                                            \
    }                                                                                                              \
  }                                                                                                                \
  static void columns_##name##_##S(Acc *acc, const void *from, int64_t step, int64_t rows, int64_t n, double p) {  \
    enum { LANES = VECTOR / sizeof(T) };                                                                           \
    A block[FOLD_TILE];                                                                                            \
    (void)p;                                                                                                       \
    for (int64_t c = 0; c < n; c += FOLD_TILE) {                                                                   \
      int64_t width = n - c < FOLD_TILE ? n - c : FOLD_TILE;                                                       \
      Acc *to = acc + c;                                                                                           \
      for (int64_t r = 0; r < rows; r += ROWS) {                                                                   \
        EACH(LANES, j, width, block[j] = (A)(start););                                                             \
        block_##name##_##S(block, (const T *)from + r * step + c, step, rows - r < ROWS ? rows - r : ROWS, width); \
        EACH(LANES, j, width, W old = (W)to[j].field; W u = (W)block[j]; to[j].field = join(old, u););             \
      }                                                                                                            \
    }                                                                                                              \
  }

#define FLOAT_FOLDS(S, T)                                                         \
  FOLD(sum, S, T, S, T, d, double, 0, PLAIN, PLAIN, PLUS, PLUS)                   \
  FOLD(max, S, T, S, T, d, double, -INFINITY, PLAIN, PLAIN, GREATER, greater_##S) \
  FOLD(min, S, T, S, T, d, double, INFINITY, PLAIN, PLAIN, SMALLER, smaller_##S)  \
  FOLD(squares, S, T, S, T, d, double, 0, SQUARE, SQUARE, PLUS, PLUS)
FLOAT_FOLDS(f32, float)
FLOAT_FOLDS(f64, double)
FOLD(nonzero, i64, int64_t, i64, int64_t, i, int64_t, 0, IS_SET, VECTOR_IS_SET, PLUS, PLUS)
FOLD(sum, i64, uint64_t, u64, uint64_t, i, uint64_t, 0, PLAIN, UNSIGNED, PLUS, PLUS)
FOLD(max, i64, int64_t, i64, int64_t, i, int64_t, INT64_MIN, PLAIN, PLAIN, GREATER, greater_i64)
FOLD(min, i64, int64_t, i64, int64_t, i, int64_t, INT64_MAX, PLAIN, PLAIN, SMALLER, smaller_i64)
FOLD(prod, f64, double, f64, double, d, double, 1, PLAIN, PLAIN, TIMES, TIMES)
#if IN_BASE
FOLD(nonzero, f64, double, i64, int64_t, i, int64_t, 0, IS_SET, VECTOR_IS_SET, PLUS, PLUS)
FOLD(abs_sum, f64, double, f64, double, d, double, 0, ABS, VECTOR_ABS, PLUS, PLUS)
FOLD(abs_max, f64, double, f64, double, d, double, 0, ABS, VECTOR_ABS, GREATER, greater_f64)
FOLD(abs_min, f64, double, f64, double, d, double, INFINITY, ABS, VECTOR_ABS, SMALLER, smaller_f64)
FOLD(prod, i64, uint64_t, u64, uint64_t, i, uint64_t, 1, PLAIN, UNSIGNED, TIMES, TIMES)

/* Any other power, by libm. */
static void columns_powers_f64(Acc *acc, const void *from, int64_t step, int64_t rows, int64_t n, double p) {
  const double *x = from;
  for (int64_t r = 0; r < rows; r++)
    for (int64_t j = 0; j < n; j++) acc[j].d += pow(ABS(x[r * step + j]), p);
}
static void row_powers_f64(Acc *acc, const void *x, int64_t n, double p) { columns_powers_f64(acc, x, 1, n, 1, p); }
#endif

#define LARGEST_f32 FLT_MAX
#define LARGEST_f64 DBL_MAX
/* Moments of a block: its mean, then squared deviations from the mean as the type rounds it; joined by Chan's formula.
 * Sums are of distances from the first row, so that equal elements have a variance of exactly 0. */
static inline void join_moments(Acc *acc, double count, double mean, double m2) {
  double all = acc[0].d + count, gap = mean - acc[1].d;
  acc[2].d += m2 + gap * gap * (acc[0].d * count / all);
  acc[1].d += gap * (count / all);
  acc[0].d = all;
}

/* The same of one column in double, where squares of the type overflow or there is no number. */
#define WIDE_MOMENTS(S, T)                                                                                     \
  static void wide_moments_##S(Acc *acc, const T *x, int64_t step, int64_t count) {                            \
    double sum = 0, square = 0;                                                                                \
    for (int64_t r = 0; r < count; r++) sum += (double)x[r * step];                                            \
    double mean = sum / (double)count;                                                                         \
    for (int64_t r = 0; r < count; r++) square += ((double)x[r * step] - mean) * ((double)x[r * step] - mean); \
    join_moments(acc, (double)count, mean, square);                                                            \
  }
WIDE_MOMENTS(f32, float)
WIDE_MOMENTS(f64, double)

#define MOMENTS_FOLD(S, T)                                                                                       \
  static void columns_moments_##S(Acc *acc, const void *from, int64_t step, int64_t rows, int64_t n, double p) { \
    enum { LANES = VECTOR / sizeof(T) };                                                                         \
    T sum[WIDE], shift[WIDE], square[WIDE];                                                                      \
    double mean[WIDE];                                                                                           \
    (void)p;                                                                                                     \
    for (int64_t c = 0; c < n; c += WIDE) {                                                                      \
      int64_t width = n - c < WIDE ? n - c : WIDE;                                                               \
      for (int64_t r0 = 0; r0 < rows; r0 += ROWS) {                                                              \
        int64_t count = rows - r0 < ROWS ? rows - r0 : ROWS;                                                     \
        const T *x = (const T *)from + r0 * step + c;                                                            \
        EACH(LANES, j, width, sum[j] = square[j] = 0;);                                                          \
        for (int64_t r = 1; r < count; r++) EACH(LANES, j, width, sum[j] += x[r * step + j] - x[j];);            \
        EACH(LANES, j, width, mean[j] = (double)x[j] + (double)sum[j] / (double)count; shift[j] = (T)mean[j];);  \
        for (int64_t r = 0; r < count; r++)                                                                      \
          EACH(LANES, j, width, T d = x[r * step + j] - shift[j]; square[j] += d * d;);                          \
        for (int64_t j = 0; j < width; j++)                                                                      \
          if (square[j] <= LARGEST_##S)                                                                          \
            join_moments(acc + (c + j) * MOMENTS, (double)count, mean[j], (double)square[j]);                    \
          else                                                                                                   \
            wide_moments_##S(acc + (c + j) * MOMENTS, x + j, step, count);                                       \
      }                                                                                                          \
    }                                                                                                            \
  }
MOMENTS_FOLD(f32, float)
MOMENTS_FOLD(f64, double)

/* The sum over the count elements of x: of vterm for vectors u, of term for what is left, v. */
#define SUM_OF(S, T, total, ahead, vterm, term)             \
  do {                                                      \
    V_##S a = {0}, b = {0}, u;                              \
    T rest = 0;                                             \
    int64_t i = 0;                                          \
    for (; i + 2 * LANES <= count; i += 2 * LANES) {        \
      if (ahead) __builtin_prefetch(x + i + AHEAD);         \
      if (ahead) __builtin_prefetch(x + i + AHEAD + LANES); \
      u = LOAD(S, x + i);                                   \
      a += vterm;                                           \
      u = LOAD(S, x + i + LANES);                           \
      b += vterm;                                           \
    }                                                       \
    for (; i < count; i++) {                                \
      __asm__ volatile("");                                 \
      T v = x[i];                                           \
      rest += term;                                         \
    }                                                       \
    total = lanes_sum_##S(a + b) + (double)rest;            \
  } while (0)
#define MOMENTS_ROW(S, T)                                                                \
  static void row_moments_##S(Acc *acc, const void *from, int64_t n, double p) {         \
    enum { LANES = VECTOR / sizeof(T), SPAN = 1024 };                                    \
    (void)p;                                                                             \
    for (int64_t at = 0; at < n; at += SPAN) {                                           \
      int64_t count = n - at < SPAN ? n - at : SPAN;                                     \
      const T *x = (const T *)from + at, first = x[0];                                   \
      double sum, square;                                                                \
      SUM_OF(S, T, sum, true, u - first, v - first);                                     \
      double mean = (double)first + sum / (double)count;                                 \
      const T shift = (T)mean;                                                           \
      SUM_OF(S, T, square, false, (u - shift) * (u - shift), (v - shift) * (v - shift)); \
      if (square <= LARGEST_##S)                                                         \
        join_moments(acc, (double)count, mean, square);                                  \
      else                                                                               \
        wide_moments_##S(acc, x, 1, count);                                              \
    }                                                                                    \
  }
MOMENTS_ROW(f32, float)
MOMENTS_ROW(f64, double)

/* Positions of extremes. I: a position as wide as an element, so that both select in one mask. A few rows at a time, while
 * the best of two vectors of columns stay in registers. `no` holds of an element that is no better; a NaN is better than all
 * but a NaN. */
#define BETTER(S, v, p, from, i, no)                 \
  do {                                               \
    V_##S now = LOAD(S, from);                       \
    HOLD(now);                                       \
    for (int k = 0; k < LANES; k++) {                \
      int take = (v[k] == v[k]) & !(now[k] no v[k]); \
      v[k] = take ? now[k] : v[k];                   \
      p[k] = take ? i : p[k];                        \
    }                                                \
  } while (0)
#define BEST(name, S, T, M, I, no)                                                                                    \
  static void best_##name##_##S(void *best, int64_t *at, const void *from, int64_t step, int64_t first, int64_t rows, \
                                int64_t n) {                                                                          \
    enum { LANES = VECTOR / sizeof(T), FEW = 4 };                                                                     \
    T value[FOLD_TILE];                                                                                               \
    I place[FOLD_TILE];                                                                                               \
    for (int64_t c = 0; c < n; c += FOLD_TILE) {                                                                      \
      int64_t width = n - c < FOLD_TILE ? n - c : FOLD_TILE;                                                          \
      for (int64_t r0 = 0; r0 < rows; r0 += 1 << 20) {                                                                \
        int64_t count = rows - r0 < 1 << 20 ? rows - r0 : 1 << 20;                                                    \
        const T *old = (const T *)best + c;                                                                           \
        EACH(LANES, j, width, value[j] = old[j]; place[j] = -1;);                                                     \
        for (int64_t r1 = 0; r1 < count; r1 += FEW) {                                                                 \
          const T *x = (const T *)from + (r0 + r1) * step + c;                                                        \
          I r = (I)r1, end = (I)(count - r1 < FEW ? count : r1 + FEW);                                                \
          int64_t j = 0;                                                                                              \
          for (int64_t gap = LANES; j + LANES <= width; j += LANES + gap) { /* two vectors, or the last one twice */  \
            if (j + 2 * LANES > width) gap = 0;                                                                       \
            const T *u = x + j, *t = u + gap;                                                                         \
            V_##S v = LOAD(S, value + j), w = LOAD(S, value + j + gap);                                               \
            V_##M p = LOAD(M, place + j), q = LOAD(M, place + j + gap);                                               \
            for (I i = r; i < end; i++, u += step, t += step) {                                                       \
              __builtin_prefetch(u + FEW * step);                                                                     \
              __builtin_prefetch(t + FEW * step);                                                                     \
              BETTER(S, v, p, u, i, no);                                                                              \
              BETTER(S, w, q, t, i, no);                                                                              \
            }                                                                                                         \
            STORE(S, value + j, v);                                                                                   \
            STORE(M, place + j, p);                                                                                   \
            STORE(S, value + j + gap, w);                                                                             \
            STORE(M, place + j + gap, q);                                                                             \
          }                                                                                                           \
          for (; j < width; j++) {                                                                                    \
            const T *u = x + j;                                                                                       \
            T v = value[j];                                                                                           \
            for (I i = r; i < end; i++, u += step)                                                                    \
              if ((v == v) & !(*u no v)) v = *u, place[j] = i;                                                        \
            value[j] = v;                                                                                             \
          }                                                                                                           \
        }                                                                                                             \
        for (int64_t j = 0; j < width; j++) {                                                                         \
          __asm__ volatile("");                                                                                       \
          ((T *)best)[c + j] = value[j];                                                                              \
          if (place[j] >= 0) at[c + j] = first + r0 + place[j];                                                       \
        }                                                                                                             \
      }                                                                                                               \
    }                                                                                                                 \
  }
BEST(most, f32, float, i32, int32_t, <=)
BEST(most, f64, double, i64, int64_t, <=)
BEST(least, f32, float, i32, int32_t, >=)
BEST(least, f64, double, i64, int64_t, >=)
BEST(most, i64, int64_t, i64, int64_t, <=)
BEST(least, i64, int64_t, i64, int64_t, >=)

/* From the end, so that the first one is written last: no branch depends on where it is. What lies behind is fetched, for
 * it is likely to be the next row. */
#define FIND(S, T, I, field)                                                        \
  static int64_t find_##S(const void *px, int64_t n, Acc acc) {                     \
    enum { LANES = 64 / sizeof(T) };                                                \
    const T *x = px, value = (T)acc.field;                                          \
    int64_t i = 0, whole = n / LANES * LANES, found = n;                            \
    I at[LANES];                                                                    \
    if (value != value) {                                                           \
      while (i < n - 1 && x[i] == x[i]) i++;                                        \
      return i;                                                                     \
    }                                                                               \
    for (i = n - 1; i >= whole; i--)                                                \
      if (x[i] == value) found = i;                                                 \
    for (int k = 0; k < LANES; k++) at[k] = (I)found;                               \
    for (i = whole - LANES; i >= 0; i -= LANES) {                                   \
      __builtin_prefetch(x + n + i);                                                \
      for (int k = 0; k < LANES; k++) at[k] = x[i + k] == value ? (I)i + k : at[k]; \
    }                                                                               \
    JOIN_LANES(LANES, at, JOIN_LEAST);                                              \
    return at[0];                                                                   \
  }
FIND(f32, float, int32_t, d)
FIND(f64, double, int64_t, d)
FIND(i64, int64_t, int64_t, i)

#define FLOATS(kind, name) \
  { [LANE_F32] = kind##_##name##_f32, [LANE_F64] = kind##_##name##_f64 }
#define ALL(kind, name) \
  { [LANE_F32] = kind##_##name##_f32, [LANE_F64] = kind##_##name##_f64, [LANE_I64] = kind##_##name##_i64 }
#define DOUBLE(kind, name) \
  { [LANE_F64] = kind##_##name##_f64 }
#define WHOLE(kind, name) \
  { [LANE_F64] = kind##_##name##_f64, [LANE_I64] = kind##_##name##_i64 }
#define ENTRIES(kind)                                                                    \
  [FOLD_SUM] = ALL(kind, sum), [FOLD_MAX] = ALL(kind, max), [FOLD_MIN] = ALL(kind, min), \
  [FOLD_SQUARES] = FLOATS(kind, squares)
#if IN_BASE
#define RARE(kind)                                                                                                \
  [FOLD_PROD] = WHOLE(kind, prod), [FOLD_NONZERO] = WHOLE(kind, nonzero), [FOLD_ABS_SUM] = DOUBLE(kind, abs_sum), \
  [FOLD_ABS_MAX] = DOUBLE(kind, abs_max), [FOLD_ABS_MIN] = DOUBLE(kind, abs_min), [FOLD_POWERS] = DOUBLE(kind, powers)
#else
#define RARE(kind) [FOLD_NONZERO] = {[LANE_I64] = kind##_nonzero_i64}, [FOLD_PROD] = DOUBLE(kind, prod)
#endif
const ReduceTable VEC(reduce_table) = {
    .columns = {ENTRIES(columns), RARE(columns), [FOLD_MOMENTS] = FLOATS(columns, moments)},
    .row = {ENTRIES(row), RARE(row), [FOLD_MOMENTS] = FLOATS(row, moments)},
    .best = {ALL(best, most), ALL(best, least)},
    .find = {find_f32, find_f64, find_i64},
    .add_rows = block_sum_f32};
