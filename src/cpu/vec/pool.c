/* Lines of windows in each instruction set: element i of a line lies `stride` after the one before. Each result takes its
 * elements in the order of their places, as one window by itself does. */
#include "cpu/pool.h"
#include "cpu/vmath.h"

#define ROWS(T)                                                                                                   \
  static inline __attribute__((always_inline)) void max_loop_##T(const T *x, int64_t stride, int64_t n, T *best,  \
                                                                 int32_t *at, int32_t place) {                    \
    NO_OVERLAP                                                                                                    \
    for (int64_t i = 0; i < n; i++) {                                                                             \
      T v = x[i * stride];                                                                                        \
      bool more = (v > best[i]) | (v != v);                                                                       \
      best[i] = more ? v : best[i];                                                                               \
      at[i] = more ? place + (int32_t)i * (int32_t)stride : at[i];                                                \
    }                                                                                                             \
  }                                                                                                               \
  static void max_##T(const void *x, int64_t stride, int64_t n, void *best, int32_t *at, int32_t place) {         \
    if (stride == 1)                                                                                              \
      max_loop_##T(x, 1, n, best, at, place);                                                                     \
    else if (stride == 2)                                                                                         \
      max_loop_##T(x, 2, n, best, at, place);                                                                     \
    else                                                                                                          \
      max_loop_##T(x, stride, n, best, at, place);                                                                \
  }                                                                                                               \
  static inline __attribute__((always_inline)) void add_loop_##T(const T *x, int64_t stride, int64_t n, T *sum) { \
    NO_OVERLAP                                                                                                    \
    for (int64_t i = 0; i < n; i++) sum[i] += x[i * stride];                                                      \
  }                                                                                                               \
  static void add_##T(const void *x, int64_t stride, int64_t n, void *sum) {                                      \
    if (stride == 1)                                                                                              \
      add_loop_##T(x, 1, n, sum);                                                                                 \
    else if (stride == 2)                                                                                         \
      add_loop_##T(x, 2, n, sum);                                                                                 \
    else                                                                                                          \
      add_loop_##T(x, stride, n, sum);                                                                            \
  }
ROWS(float)
ROWS(double)

/* ---- windows of two by two that lie side by side ---- */

#ifdef __AVX2__
#define PAIR_BYTES 32
#else
#define PAIR_BYTES 16
#endif
#if defined(__clang__)
#define PICK(a, b, I, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define PICK(a, b, I, ...) __builtin_shuffle(a, b, (I){__VA_ARGS__})
#endif
#if PAIR_BYTES == 32
#define EVEN_float 0, 2, 4, 6, 8, 10, 12, 14
#define ODD_float 1, 3, 5, 7, 9, 11, 13, 15
#define EVEN_double 0, 2, 4, 6
#define ODD_double 1, 3, 5, 7
#else
#define EVEN_float 0, 2, 4, 6
#define ODD_float 1, 3, 5, 7
#define EVEN_double 0, 2
#define ODD_double 1, 3
#endif

/* The order of places is top left, top right, bottom left, bottom right; the last vector may overlap the one before. */
#define PAIRS(T, I)                                                                                                  \
  typedef T Vec_##T __attribute__((vector_size(PAIR_BYTES), aligned(sizeof(T)), may_alias));                         \
  typedef I Int_##T __attribute__((vector_size(PAIR_BYTES)));                                                        \
  enum { LANES_##T = PAIR_BYTES / sizeof(T) };                                                                       \
  typedef int64_t Place_##T                                                                                          \
      __attribute__((vector_size(LANES_##T * sizeof(int64_t)), aligned(sizeof(int64_t)), may_alias));                \
  static inline __attribute__((always_inline)) void join_##T(Vec_##T v, Int_##T place, Vec_##T *best, Int_##T *at) { \
    Int_##T more = (Int_##T)(v > *best) | (Int_##T)(v != v);                                                         \
    *best = (Vec_##T)((more & (Int_##T)v) | (~more & (Int_##T) * best));                                             \
    *at = (more & place) | (~more & *at);                                                                            \
  }                                                                                                                  \
  static void pairs_##T(const void *above, const void *below, int64_t n, int64_t place, int64_t line, void *best_to, \
                        int64_t *index) {                                                                            \
    const T *top = above, *bottom = below;                                                                           \
    T *out = best_to;                                                                                                \
    Int_##T ramp;                                                                                                    \
    for (int j = 0; j < LANES_##T; j++) ramp[j] = 2 * j + 1;                                                         \
    for (int64_t begin = 0; begin < n; begin += LANES_##T) {                                                         \
      int64_t i = begin + LANES_##T <= n ? begin : n - LANES_##T;                                                    \
      Vec_##T a = *(const Vec_##T *)(top + 2 * i), b = *(const Vec_##T *)(top + 2 * i + LANES_##T);                  \
      Vec_##T c = *(const Vec_##T *)(bottom + 2 * i), d = *(const Vec_##T *)(bottom + 2 * i + LANES_##T);            \
      Vec_##T best = PICK(a, b, Int_##T, EVEN_##T);                                                                  \
      Int_##T at = ramp + (I)(place + 2 * i), under = at + (I)line;                                                  \
      join_##T(PICK(a, b, Int_##T, ODD_##T), at + 1, &best, &at);                                                    \
      join_##T(PICK(c, d, Int_##T, EVEN_##T), under, &best, &at);                                                    \
      join_##T(PICK(c, d, Int_##T, ODD_##T), under + 1, &best, &at);                                                 \
      *(Vec_##T *)(out + i) = best;                                                                                  \
      *(Place_##T *)(index + i) = __builtin_convertvector(at, Place_##T);                                            \
    }                                                                                                                \
  }
PAIRS(float, int32_t)
PAIRS(double, int64_t)

const PoolTable VEC(pool_table) = {
    .max = {max_float, max_double}, .add = {add_float, add_double}, .pairs = {pairs_float, pairs_double}};
