/* Reductions: the loops that fold rows and columns, per lane type, in each instruction set.
 *
 * A row runs through a strip of vector accumulators; columns are joined four rows at a time into a block that stays in
 * cache. Either holds at most ROWS terms a lane before it is joined with the accumulator, which is wider. Folds that are
 * rare exist for double only, and with the integers' in the base set only. */
#include "cpu/reduce.h"
#include "cpu/vec/each.h"
#include "cpu/vmath.h"
#include <float.h>
#include <stddef.h>

#if defined(__AVX512F__)
#define VECTOR 64
#elif defined(__AVX2__)
#define VECTOR 32
#else
#define VECTOR 16
#endif
#define IS_base 1
#define IN_BASE VEC_JOIN(IS, VEC_SET)
enum { ROWS = 64, WIDE = 256, PARTS = 4 };

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
#define GREATER(a, b) ((a) < (b) || (b) != (b) ? (b) : (a))
#define SMALLER(a, b) ((b) < (a) || (b) != (b) ? (b) : (a))
#define PLUS(a, b) ((a) + (b))
#define TIMES(a, b) ((a) * (b))
#define DEFINE_SELECT(S, M)                                                                                        \
  static inline V_##S select_##S(V_##M m, V_##S a, V_##S b) { return (V_##S)(((V_##M)a & m) | ((V_##M)b & ~m)); }  \
  static inline V_##S greater_##S(V_##S a, V_##S b) { return select_##S((V_##M)(a < b) | (V_##M)(b != b), b, a); } \
  static inline V_##S smaller_##S(V_##S a, V_##S b) { return select_##S((V_##M)(b < a) | (V_##M)(b != b), b, a); }
DEFINE_SELECT(f32, i32)
DEFINE_SELECT(f64, i64)
#if IN_BASE
DEFINE_SELECT(i64, i64)
#endif
#define PLAIN(x) (x)
#define UNSIGNED(x) ((V_u64)(x))
#define SQUARE(x) ((x) * (x))
#define ABS(x) __builtin_fabs(x)
#define VECTOR_ABS(x) ((V_f64)((V_i64)(x)&INT64_MAX))
#define IS_SET(x) ((x) != 0)
#define VECTOR_IS_SET(x) (-(V_i64)((x) != 0))

/* S, T: suffix and type of elements; R, A: of what is folded; field, W: of the accumulator. vmap and vjoin are map and
 * join on vectors. The empty asm keeps a loop that only does a remainder from being vectorised again. */
#define FOLD(name, S, T, R, A, field, W, start, map, vmap, join, vjoin)                                                \
  static W lanes_##name##_##S(V_##R v) {                                                                               \
    enum { LANES = VECTOR / sizeof(A) };                                                                               \
    A lane[LANES];                                                                                                     \
    STORE(R, lane, v);                                                                                                 \
    for (int half = LANES / 2; half > 0; half /= 2)                                                                    \
      for (int j = 0; j < half; j++) lane[j] = join(lane[j], lane[j + half]);                                          \
    return (W)lane[0];                                                                                                 \
  }                                                                                                                    \
  static void row_##name##_##S(Acc *acc, const void *from, int64_t n, double p) {                                      \
    enum { LANES = VECTOR / sizeof(T), STRIP = PARTS * LANES };                                                        \
    const T *x = from;                                                                                                 \
    W total = (W)acc->field, u;                                                                                        \
    (void)p;                                                                                                           \
    while (n >= STRIP) {                                                                                               \
      int64_t strips = n / STRIP < ROWS ? n / STRIP : ROWS;                                                            \
      V_##R a = vmap(LOAD(S, x)), b = vmap(LOAD(S, x + LANES)), c = vmap(LOAD(S, x + 2 * LANES)),                      \
            d = vmap(LOAD(S, x + 3 * LANES));                                                                          \
      n -= strips * STRIP;                                                                                             \
      for (x += STRIP; --strips > 0; x += STRIP) {                                                                     \
        a = vjoin(a, vmap(LOAD(S, x)));                                                                                \
        b = vjoin(b, vmap(LOAD(S, x + LANES)));                                                                        \
        c = vjoin(c, vmap(LOAD(S, x + 2 * LANES)));                                                                    \
        d = vjoin(d, vmap(LOAD(S, x + 3 * LANES)));                                                                    \
      }                                                                                                                \
      a = vjoin(a, b);                                                                                                 \
      c = vjoin(c, d);                                                                                                 \
      u = lanes_##name##_##S(vjoin(a, c));                                                                             \
      total = join(total, u);                                                                                          \
    }                                                                                                                  \
    if (n >= LANES) {                                                                                                  \
      V_##R a = vmap(LOAD(S, x));                                                                                      \
      for (x += LANES, n -= LANES; n >= LANES; x += LANES, n -= LANES) a = vjoin(a, vmap(LOAD(S, x)));                 \
      u = lanes_##name##_##S(a);                                                                                       \
      total = join(total, u);                                                                                          \
    }                                                                                                                  \
    for (int64_t i = 0; i < n; i++) {                                                                                  \
      __asm__ volatile("");                                                                                            \
      u = (W)map(x[i]);                                                                                                \
      total = join(total, u);                                                                                          \
    }                                                                                                                  \
    acc->field = total;                                                                                                \
  }                                                                                                                    \
  static void columns_##name##_##S(Acc *acc, const void *from, int64_t step, int64_t rows, int64_t n, double p) {      \
    enum { LANES = VECTOR / sizeof(T) };                                                                               \
    A block[FOLD_TILE];                                                                                                \
    (void)p;                                                                                                           \
    for (int64_t c = 0; c < n; c += FOLD_TILE) {                                                                       \
      int64_t width = n - c < FOLD_TILE ? n - c : FOLD_TILE;                                                           \
      for (int64_t r0 = 0; r0 < rows; r0 += ROWS) {                                                                    \
        int64_t r = r0, end = rows - r0 < ROWS ? rows : r0 + ROWS;                                                     \
        const T *x = (const T *)from + r0 * step + c;                                                                  \
        EACH(LANES, j, width, block[j] = (A)(start););                                                                 \
        for (; r + 4 <= end; r += 4, x += 4 * step) {                                                                  \
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
        for (; r < end; r++, x += step) {                                                                              \
          int64_t j = 0;                                                                                               \
          for (; j + LANES <= width; j += LANES) STORE(R, block + j, vjoin(LOAD(R, block + j), vmap(LOAD(S, x + j)))); \
          for (; j < width; j++) {                                                                                     \
            __asm__ volatile("");                                                                                      \
            A u = (A)map(x[j]);                                                                                        \
            block[j] = join(block[j], u);                                                                              \
          }                                                                                                            \
        }                                                                                                              \
        Acc *to = acc + c;                                                                                             \
        EACH(LANES, j, width, W old = (W)to[j].field; W u = (W)block[j]; to[j].field = join(old, u););                 \
      }                                                                                                                \
    }                                                                                                                  \
  }

#define FLOAT_FOLDS(S, T)                                                         \
  FOLD(sum, S, T, S, T, d, double, 0, PLAIN, PLAIN, PLUS, PLUS)                   \
  FOLD(max, S, T, S, T, d, double, -INFINITY, PLAIN, PLAIN, GREATER, greater_##S) \
  FOLD(min, S, T, S, T, d, double, INFINITY, PLAIN, PLAIN, SMALLER, smaller_##S)  \
  FOLD(squares, S, T, S, T, d, double, 0, SQUARE, SQUARE, PLUS, PLUS)
FLOAT_FOLDS(f32, float)
FLOAT_FOLDS(f64, double)
#if IN_BASE
FOLD(prod, f64, double, f64, double, d, double, 1, PLAIN, PLAIN, TIMES, TIMES)
FOLD(abs_sum, f64, double, f64, double, d, double, 0, ABS, VECTOR_ABS, PLUS, PLUS)
FOLD(abs_max, f64, double, f64, double, d, double, 0, ABS, VECTOR_ABS, GREATER, greater_f64)
FOLD(abs_min, f64, double, f64, double, d, double, INFINITY, ABS, VECTOR_ABS, SMALLER, smaller_f64)
FOLD(nonzero, f64, double, i64, int64_t, i, int64_t, 0, IS_SET, VECTOR_IS_SET, PLUS, PLUS)
FOLD(nonzero, i64, int64_t, i64, int64_t, i, int64_t, 0, IS_SET, VECTOR_IS_SET, PLUS, PLUS)
FOLD(sum, i64, uint64_t, u64, uint64_t, i, uint64_t, 0, PLAIN, UNSIGNED, PLUS, PLUS)
FOLD(prod, i64, uint64_t, u64, uint64_t, i, uint64_t, 1, PLAIN, UNSIGNED, TIMES, TIMES)
FOLD(max, i64, int64_t, i64, int64_t, i, int64_t, INT64_MIN, PLAIN, PLAIN, GREATER, greater_i64)
FOLD(min, i64, int64_t, i64, int64_t, i, int64_t, INT64_MAX, PLAIN, PLAIN, SMALLER, smaller_i64)

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

/* Positions of extremes. I: a position as wide as an element, so that both select in one mask. */
#define BEST(name, S, T, I, wins)                                                                                     \
  static void best_##name##_##S(void *best, int64_t *at, const void *from, int64_t step, int64_t first, int64_t rows, \
                                int64_t n) {                                                                          \
    enum { LANES = VECTOR / sizeof(T) };                                                                              \
    T value[WIDE];                                                                                                    \
    I place[WIDE];                                                                                                    \
    for (int64_t c = 0; c < n; c += WIDE) {                                                                           \
      int64_t width = n - c < WIDE ? n - c : WIDE;                                                                    \
      for (int64_t r0 = 0; r0 < rows; r0 += 1 << 20) {                                                                \
        int64_t count = rows - r0 < 1 << 20 ? rows - r0 : 1 << 20;                                                    \
        const T *x = (const T *)from + r0 * step + c;                                                                 \
        const T *old = (const T *)best + c;                                                                           \
        EACH(LANES, j, width, value[j] = old[j]; place[j] = -1;);                                                     \
        for (int64_t r = 0; r < count; r++, x += step)                                                                \
          EACH(LANES, j, width, T u = x[j]; T v = value[j]; I take = (I)((v == v) & ((u wins v) | (u != u)));         \
               value[j] = take ? u : v; place[j] = take ? (I)r : place[j];);                                          \
        for (int64_t j = 0; j < width; j++) {                                                                         \
          __asm__ volatile("");                                                                                       \
          ((T *)best)[c + j] = value[j];                                                                              \
          if (place[j] >= 0) at[c + j] = first + r0 + place[j];                                                       \
        }                                                                                                             \
      }                                                                                                               \
    }                                                                                                                 \
  }
BEST(most, f32, float, int32_t, >)
BEST(most, f64, double, int64_t, >)
BEST(least, f32, float, int32_t, <)
BEST(least, f64, double, int64_t, <)
#if IN_BASE
BEST(most, i64, int64_t, int64_t, >)
BEST(least, i64, int64_t, int64_t, <)
#endif

/* A group at a time until one has it: the comparisons of a group are one vector or few. */
#define FIND(S, T, I, field)                                          \
  static int64_t find_##S(const void *px, int64_t n, Acc acc) {       \
    enum { GROUP = 64 };                                              \
    const T *x = px, value = (T)acc.field;                            \
    const bool nan = value != value;                                  \
    int64_t i = 0;                                                    \
    for (; i + GROUP <= n; i += GROUP) {                              \
      I hits = 0;                                                     \
      if (nan)                                                        \
        for (int k = 0; k < GROUP; k++) hits |= x[i + k] != x[i + k]; \
      else                                                            \
        for (int k = 0; k < GROUP; k++) hits |= x[i + k] == value;    \
      if (hits) break;                                                \
    }                                                                 \
    while (i < n - 1 && !(nan ? x[i] != x[i] : x[i] == value)) i++;   \
    return i;                                                         \
  }
FIND(f32, float, int32_t, d)
FIND(f64, double, int64_t, d)
#if IN_BASE
FIND(i64, int64_t, int64_t, i)
#endif

#define FLOATS(kind, name) \
  { [LANE_F32] = kind##_##name##_f32, [LANE_F64] = kind##_##name##_f64 }
#if IN_BASE
#define DOUBLE(kind, name) \
  { [LANE_F64] = kind##_##name##_f64 }
#define ALL(kind, name) \
  { [LANE_F32] = kind##_##name##_f32, [LANE_F64] = kind##_##name##_f64, [LANE_I64] = kind##_##name##_i64 }
#define WHOLE(kind, name) \
  { [LANE_F64] = kind##_##name##_f64, [LANE_I64] = kind##_##name##_i64 }
#else
#define DOUBLE(kind, name) \
  { NULL }
#define ALL(kind, name) FLOATS(kind, name)
#define WHOLE(kind, name) \
  { NULL }
#endif
#define ENTRIES(kind)                                                                                         \
  [FOLD_SUM] = ALL(kind, sum), [FOLD_PROD] = WHOLE(kind, prod), [FOLD_MAX] = ALL(kind, max),                  \
  [FOLD_MIN] = ALL(kind, min), [FOLD_NONZERO] = WHOLE(kind, nonzero), [FOLD_ABS_SUM] = DOUBLE(kind, abs_sum), \
  [FOLD_SQUARES] = FLOATS(kind, squares), [FOLD_ABS_MAX] = DOUBLE(kind, abs_max),                             \
  [FOLD_ABS_MIN] = DOUBLE(kind, abs_min), [FOLD_POWERS] = DOUBLE(kind, powers)
const ReduceTable VEC(reduce_table) = {.columns = {ENTRIES(columns), [FOLD_MOMENTS] = FLOATS(columns, moments)},
                                       .row = {ENTRIES(row)},
                                       .best = {ALL(best, most), ALL(best, least)},
#if IN_BASE
                                       .find = {[LANE_F32] = find_f32, [LANE_F64] = find_f64, [LANE_I64] = find_i64}};
#else
                                       .find = {[LANE_F32] = find_f32, [LANE_F64] = find_f64}};
#endif
