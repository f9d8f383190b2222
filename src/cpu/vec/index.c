/* Positions: whether all are within a dim. */
#include "cpu/position.h"

#if defined(__AVX512F__)
enum { WIDTH = 64 };
#elif defined(__AVX2__)
enum { WIDTH = 32 };
#else
enum { WIDTH = 16 };
#endif
typedef uint64_t V __attribute__((vector_size(WIDTH), aligned(8)));

/* When a position is not in 1 .. size, one of both differences has its sign set. */
#define SIGNS(x) (((x)-1) | ((uint64_t)size - (x)))

static bool outside(const int64_t *v, int64_t n, int64_t size) {
  enum { LANES = WIDTH / 8 };
  const uint64_t *x = (const uint64_t *)v;
  V even = {0}, odd = {0};
  uint64_t sign = 0;
  int64_t i = 0;
  for (; i + 2 * LANES <= n; i += 2 * LANES) {
    even |= SIGNS(*(const V *)(x + i));
    odd |= SIGNS(*(const V *)(x + i + LANES));
  }
  for (; i < n; i++) sign |= SIGNS(x[i]);
  even |= odd;
  for (int k = 0; k < LANES; k++) sign |= even[k];
  return sign >> 63 != 0;
}

const PositionTable VEC(position_table) = {.outside = outside};
