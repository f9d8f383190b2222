/* Copies: the choice of cast, fills, and transposed copies. */
#include "cpu/copy.h"
#include "cpu/stream.h"
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

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

/* Transposing. A region of the source is turned block by block, in registers, into a buffer that stays in the first
 * cache, and copied from there line by line: memory sees long pieces only, and lines a power of two apart, which share
 * a set of the cache, do not drive each other out. */
enum { BUFFER = 16384, STEP = 16 };

typedef struct {
  int64_t rows, cols;
} Region;

/* About as many rows as columns, or a like area where one side is short. */
static Region region_of(int64_t rows, int64_t cols, int size) {
  int64_t area = BUFFER / size;
  Region r = {size == 1 ? 128 : 64, 0};
  r.cols = area / r.rows;
  if (rows < r.rows)
    r.cols = area / ((rows + STEP) / STEP * STEP);
  else if (cols < r.cols)
    r.rows = area / ((cols + STEP) / STEP * STEP);
  return r;
}

int64_t transposed_band(int64_t rows, int64_t cols, int size) { return region_of(rows, cols, size).cols; }

#define REST(T)                                                                                           \
  static inline void rest_##T(char *to, int64_t to_row, const char *from, int64_t from_col, int64_t rows, \
                              int64_t cols) {                                                             \
    for (int64_t i = 0; i < rows; i++)                                                                    \
      for (int64_t j = 0; j < cols; j++)                                                                  \
        ((T *)(void *)(to + i * to_row))[j] = ((const T *)(const void *)(from + j * from_col))[i];        \
  }
REST(uint8_t)
REST(uint16_t)
REST(uint32_t)
REST(uint64_t)

#if defined(__SSE2__)
/* SIDE x SIDE elements, a register of each line: interleaving the first half with the second, log2(SIDE) times, turns
 * them. */
#define BLOCK(T, interleave_low, interleave_high)                                                          \
  enum { SIDE_##T = 16 / sizeof(T) };                                                                      \
  static inline void block_##T(char *to, int64_t to_row, const char *from, int64_t from_col) {             \
    __m128i v[SIDE_##T], w[SIDE_##T];                                                                      \
    UNROLL for (int j = 0; j < SIDE_##T; j++) v[j] = _mm_loadu_si128((const void *)(from + j * from_col)); \
    UNROLL for (int step = 1; step < SIDE_##T; step *= 2) {                                                \
      UNROLL for (int k = 0; k < SIDE_##T / 2; k++) {                                                      \
        w[2 * k] = interleave_low(v[k], v[k + SIDE_##T / 2]);                                              \
        w[2 * k + 1] = interleave_high(v[k], v[k + SIDE_##T / 2]);                                         \
      }                                                                                                    \
      UNROLL for (int k = 0; k < SIDE_##T; k++) v[k] = w[k];                                               \
    }                                                                                                      \
    UNROLL for (int i = 0; i < SIDE_##T; i++) _mm_storeu_si128((void *)(to + i * to_row), v[i]);           \
  }
#define UNROLL _Pragma("GCC unroll 16")
BLOCK(uint8_t, _mm_unpacklo_epi8, _mm_unpackhi_epi8)
BLOCK(uint16_t, _mm_unpacklo_epi16, _mm_unpackhi_epi16)
BLOCK(uint32_t, _mm_unpacklo_epi32, _mm_unpackhi_epi32)
BLOCK(uint64_t, _mm_unpacklo_epi64, _mm_unpackhi_epi64)
#else
#define BLOCK(T)                                                                               \
  enum { SIDE_##T = 16 / sizeof(T) };                                                          \
  static inline void block_##T(char *to, int64_t to_row, const char *from, int64_t from_col) { \
    rest_##T(to, to_row, from, from_col, SIDE_##T, SIDE_##T);                                  \
  }
BLOCK(uint8_t)
BLOCK(uint16_t)
BLOCK(uint32_t)
BLOCK(uint64_t)
#endif

/* A region into the buffer. What comes next along the lines is asked for, into the second cache: the first could not
 * hold it. */
#define REGION(T)                                                                                                     \
  static void region_##T(char *buffer, const char *from, int64_t from_col, int64_t rows, int64_t cols, TurnFn turn) { \
    enum { SIDE = SIDE_##T, SIZE = sizeof(T), WIDE = 8 };                                                             \
    int64_t to_row = cols * SIZE, bytes = rows * SIZE, i, j = 0;                                                      \
    for (; SIZE == 4 && turn && j + WIDE <= cols; j += WIDE) {                                                        \
      const char *line = from + j * from_col;                                                                         \
      char *to = buffer + j * SIZE;                                                                                   \
      for (int64_t k = 0; k < WIDE; k++)                                                                              \
        for (int64_t b = 0; b < bytes; b += 64) __builtin_prefetch(line + k * from_col + bytes + b, 0, 2);            \
      i = rows / 4 * 4;                                                                                               \
      turn(to, to_row, line, from_col, i);                                                                            \
      rest_##T(to + i * to_row, to_row, line + i * SIZE, from_col, rows - i, WIDE);                                   \
    }                                                                                                                 \
    for (; j + SIDE <= cols; j += SIDE) {                                                                             \
      const char *line = from + j * from_col;                                                                         \
      char *to = buffer + j * SIZE;                                                                                   \
      for (int64_t k = 0; k < SIDE; k++)                                                                              \
        for (int64_t b = 0; b < bytes; b += 64) __builtin_prefetch(line + k * from_col + bytes + b, 0, 2);            \
      for (i = 0; i + SIDE <= rows; i += SIDE) block_##T(to + i * to_row, to_row, line + i * SIZE, from_col);         \
      rest_##T(to + i * to_row, to_row, line + i * SIZE, from_col, rows - i, SIDE);                                   \
    }                                                                                                                 \
    rest_##T(buffer + j * SIZE, to_row, from + j * from_col, from_col, rows, cols - j);                               \
  }
REGION(uint8_t)
REGION(uint16_t)
REGION(uint32_t)
REGION(uint64_t)

void copy_transposed(char *to, int64_t to_row, const char *from, int64_t from_col, int64_t rows, int64_t cols, int size,
                     bool past) {
  _Alignas(64) char buffer[BUFFER];
  /* Eight lines that share a set of the first cache would drive out the buffer. */
  TurnFn turn = from_col % 4096 ? VEC_PICK(cast_table)->turn : NULL;
  Region r = region_of(rows, cols, size);
  for (int64_t j = 0; j < cols; j += r.cols)
    for (int64_t i = 0; i < rows; i += r.rows) {
      int64_t m = rows - i < r.rows ? rows - i : r.rows, n = cols - j < r.cols ? cols - j : r.cols;
      const char *f = from + j * from_col + i * size;
      switch (size) {
      case 1: region_uint8_t(buffer, f, from_col, m, n, turn); break;
      case 2: region_uint16_t(buffer, f, from_col, m, n, turn); break;
      case 4: region_uint32_t(buffer, f, from_col, m, n, turn); break;
      default: region_uint64_t(buffer, f, from_col, m, n, turn);
      }
      char *t = to + i * to_row + j * size;
      if (past)
        stream_lines(t, to_row, buffer, n * size, m);
      else
        for (int64_t k = 0; k < m; k++) memcpy(t + k * to_row, buffer + k * n * size, (size_t)(n * size));
    }
  if (past) stream_fence();
}
