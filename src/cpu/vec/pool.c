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

const PoolTable VEC(pool_table) = {.max = {max_float, max_double}, .add = {add_float, add_double}};
