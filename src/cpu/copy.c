/* Copies: the choice of cast, fills, and transposed copies by tiles. */
#include "cpu/copy.h"
#include <string.h>

#define COPY(size)                                                                             \
  static void copy_##size(char **ptr, const int64_t *stride, int64_t n, const void *context) { \
    copy_strided(ptr[0], stride[0], ptr[1], stride[1], n, size);                               \
  }
COPY(1)
COPY(2)
COPY(4)
COPY(8)

RowFn copy_row(int size) { return size == 1 ? copy_1 : size == 2 ? copy_2 : size == 4 ? copy_4 : copy_8; }

RowFn cast_row(DType from, DType to) {
  return from == to ? copy_row(dtype_size(from)) : VEC_PICK(cast_table)->cast[from][to];
}

RowFn fill_row(int size) {
  const CastTable *table = VEC_PICK(cast_table);
  return table->fill[size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3];
}

/* One tile, a cache line wide each way: whole lines of the source are read, whole lines of the result written, so that
 * rows a power of two apart, which share a set of the cache, do not drive each other out. */
enum { LINE = 64, REGION = 4 };
#define LINE_TILE(T)                                                                                              \
  static void tile_##T(char *to, int64_t to_row, const char *from, int64_t from_col) {                            \
    enum { SIDE = LINE / sizeof(T) };                                                                             \
    T tile[SIDE][SIDE];                                                                                           \
    for (int j = 0; j < SIDE; j++) {                                                                              \
      const T *line = (const T *)(const void *)(from + j * from_col);                                             \
      __builtin_prefetch(from + (j + SIDE) * from_col); /* the next tile's lines, to be read and to be written */ \
      __builtin_prefetch(to + j * to_row + LINE, 1);                                                              \
      for (int i = 0; i < SIDE; i++) tile[i][j] = line[i];                                                        \
    }                                                                                                             \
    for (int i = 0; i < SIDE; i++) memcpy(to + i * to_row, tile[i], LINE);                                        \
  }
LINE_TILE(uint8_t)
LINE_TILE(uint16_t)
LINE_TILE(uint32_t)
LINE_TILE(uint64_t)

/* Rows and columns by regions of REGION x REGION tiles: what a region reads and writes stays in the second cache. */
#define REGIONS(T)                                                                           \
  for (int64_t i0 = 0; i0 < rows; i0 += region)                                              \
    for (int64_t j0 = 0; j0 < cols; j0 += region)                                            \
      for (int64_t i1 = i0; i1 < rows && i1 < i0 + region; i1 += side)                       \
        for (int64_t j1 = j0; j1 < cols && j1 < j0 + region; j1 += side) {                   \
          char *t = (char *)to + i1 * to_row + j1 * to_col;                                  \
          const char *f = (const char *)from + i1 * from_row + j1 * from_col;                \
          if (lines && i1 + side <= rows && j1 + side <= cols) {                             \
            tile_##T(t, to_row, f, from_col);                                                \
            continue;                                                                        \
          }                                                                                  \
          for (int64_t i = i1; i < rows && i < i1 + side; i++, t += to_row, f += from_row)   \
            for (int64_t j = 0; j < cols - j1 && j < side; j++)                              \
              *(T *)(void *)(t + j * to_col) = *(const T *)(const void *)(f + j * from_col); \
        }                                                                                    \
  break

void copy_transposed(void *to, int64_t to_row, int64_t to_col, const void *from, int64_t from_row, int64_t from_col,
                     int64_t rows, int64_t cols, int size) {
  int64_t side = LINE / size, region = REGION * side;
  bool lines = to_col == size && from_row == size;
  switch (size) {
  case 1: REGIONS(uint8_t);
  case 2: REGIONS(uint16_t);
  case 4: REGIONS(uint32_t);
  default: REGIONS(uint64_t);
  }
}
