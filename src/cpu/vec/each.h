/* EACH: loops over columns that vectorise in blocks of one known length, so that no further copies of a loop are made for
 * what is left over. JOIN_LANES: partial results of such loops. Included by sources in src/cpu/vec. */
#ifndef MT_EACH_H
#define MT_EACH_H

/* Runs the body for j = 0 .. n - 1: in blocks of `lanes` (a constant), then one by one, which the empty asm keeps from
 * being vectorised too. */
#define EACH(lanes, j, n, ...)                                                  \
  do {                                                                          \
    int64_t j##_block = 0;                                                      \
    for (; j##_block + (lanes) <= (n); j##_block += (lanes))                    \
      for (int64_t j = j##_block; j < j##_block + (lanes); j++) { __VA_ARGS__ } \
    for (int64_t j = j##_block; j < (n); j++) {                                 \
      __asm__ volatile("");                                                     \
      __VA_ARGS__                                                               \
    }                                                                           \
  } while (0)

/* lane[0] becomes what `op` makes of all lanes, 2 to 16 of them: halves of known length, so that each is a vector. */
#define JOIN_HALF(lane, half, op) \
  for (int k_ = 0; k_ < (half); k_++) lane[k_] = op(lane[k_], lane[k_ + (half)]);
#define JOIN_LANES(lanes, lane, op)         \
  do {                                      \
    if ((lanes) > 8) JOIN_HALF(lane, 8, op) \
    if ((lanes) > 4) JOIN_HALF(lane, 4, op) \
    if ((lanes) > 2) JOIN_HALF(lane, 2, op) \
    JOIN_HALF(lane, 1, op)                  \
  } while (0)
#define JOIN_SUM(a, b) ((a) + (b))
#define JOIN_MOST(a, b) ((a) < (b) ? (b) : (a))
#endif
