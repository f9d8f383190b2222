/* EACH: loops over columns that vectorise in blocks of one known length, so that no further copies of a loop are made for
 * what is left over. Included by sources in src/cpu/vec. */
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
#endif
