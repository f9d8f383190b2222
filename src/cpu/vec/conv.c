/* Kernels of convolution for one element type: float32, or what conv_f64.c and conv_u*.c set and include this.
 *
 * A tile of results stays in registers while its sums run. Every result is one sum in an order that does not depend on
 * where in a tile it falls. Integers are computed unsigned and wrap around. */
#include "cpu/conv.h"
#include <stddef.h>
#include <string.h>

#ifndef REAL
#define REAL float
#define CONV_TABLE conv_f32
#endif
#ifndef WIDE
#define WIDE REAL /* the type of scalar products: no integer promotion to a signed type */
#endif

#include "cpu/vec/contract.h"

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#define MR 14
#elif defined(__AVX2__)
#define VECTOR_BYTES 32
#define MR 6
#elif defined(__aarch64__)
#define VECTOR_BYTES 16
#define MR 12
#else
#define VECTOR_BYTES 16
#define MR 6
#endif
#ifdef CONV_INTEGER /* rare: small code matters more */
#undef MR
#define MR 4
#endif
enum { LANES = VECTOR_BYTES / sizeof(REAL), NV = 2, NR = NV * LANES, WIDE_NV = 8 };

typedef REAL Vec __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(REAL)), may_alias));
INLINE Vec load(const REAL *from) { return *(const Vec *)from; }
INLINE void store(REAL *to, Vec v) { *(Vec *)to = v; }
INLINE REAL mul_add(REAL x, REAL y, REAL z) { return (REAL)((WIDE)x * (WIDE)y + (WIDE)z); }
/* Keeps v in a register: gcc would rather load it again for every use. */
#if defined(__AVX512F__)
#define KEEP(v) __asm__("" : "+v"(v))
#elif defined(__x86_64__)
#define KEEP(v) __asm__("" : "+x"(v))
#elif defined(__aarch64__)
#define KEEP(v) __asm__("" : "+w"(v))
#else
#define KEEP(v) (void)(v)
#endif
static int64_t vectors(int64_t n) { return (n + LANES - 1) / LANES; }

/* ---- lines ---- */

INLINE void copy_line(REAL *to, const REAL *from, int64_t n) {
  if (n < LANES) {
    memcpy(to, from, (size_t)n * sizeof *to);
    return;
  }
  for (int64_t i = 0; i < n - LANES; i += LANES) store(to + i, load(from + i));
  store(to + n - LANES, load(from + n - LANES)); /* may overlap the one before */
}

static void copy_lines(void *to_lines, int64_t to_row, const void *from_lines, int64_t from_row, int64_t rows,
                       int64_t n) {
  REAL *to = to_lines;
  const REAL *from = from_lines;
  for (int64_t r = 0; r < rows; r++, to += to_row, from += from_row) copy_line(to, from, n);
}

/* Zeros come first, in whole vectors, so that nothing outside the line is written. */
static void lines(void *to_lines, int64_t line, int64_t rows, int64_t left, const void *from_lines, int64_t from_row,
                  int64_t step, int64_t n) {
  REAL *to = to_lines;
  const REAL *from = from_lines;
  for (int64_t r = 0; r < rows; r++, to += line, from += from_row) {
    if (line < LANES)
      memset(to, 0, (size_t)line * sizeof *to);
    else {
      for (int64_t i = 0; i < left; i += LANES) store(to + (i < line - LANES ? i : line - LANES), (Vec){0});
      for (int64_t i = line; i > left + n; i -= LANES) store(to + (i > LANES ? i - LANES : 0), (Vec){0});
    }
    if (step == 1)
      copy_line(to + left, from, n);
    else if (step == 2)
      for (int64_t i = 0; i < n; i++) to[left + i] = from[2 * i];
    else
      for (int64_t i = 0; i < n; i++) to[left + i] = from[i * step];
  }
}

/* ---- sums over taps ---- */

typedef void TileFn(int64_t k, const REAL *a, const REAL *field, const int64_t *offset, REAL *c, int64_t c_row);

INLINE void tile_of(const int mr, const int nv, int64_t k, const REAL *a, const REAL *field, const int64_t *offset,
                    REAL *c, int64_t c_row) {
  Vec sum[MR][WIDE_NV]; /* of which only mr by nv come to be */
  UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nv; j++) sum[i][j] = (Vec){0} + a[i];
  a += mr;
  for (int64_t p = 0; p < k; p++) {
    Vec row[WIDE_NV];
    const REAL *from = field + offset[p];
    UNROLL for (int j = 0; j < nv; j++) row[j] = load(from + j * LANES);
    UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nv; j++) sum[i][j] += row[j] * a[i];
    a += mr;
  }
  UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nv; j++) store(c + i * c_row + j * LANES, sum[i][j]);
}

#define TILE(mr, nv)                                                                                        \
  static void tile_##mr##_##nv(int64_t k, const REAL *a, const REAL *field, const int64_t *offset, REAL *c, \
                               int64_t c_row) {                                                             \
    tile_of(mr, nv, k, a, field, offset, c, c_row);                                                         \
  }
/* clang-format off */
#define TILES(mr) TILE(mr, 1) TILE(mr, 2)
#define NAMES(mr) {tile_##mr##_1, tile_##mr##_2}
TILES(1) TILES(2) TILES(4) TILE(1, 4) TILE(1, 8)
#if MR == 6
TILES(6)
#endif
#if MR > 6
TILES(8) TILES(12)
#endif
#if MR > 12
TILES(14)
#endif
static const struct { int height; TileFn *run[NV]; } tiles[] = {
  {1, NAMES(1)}, {2, NAMES(2)}, {4, NAMES(4)},
#if MR == 6
  {6, NAMES(6)},
#endif
#if MR > 6
  {8, NAMES(8)}, {12, NAMES(12)},
#endif
#if MR > 12
  {14, NAMES(14)},
#endif
};
/* clang-format on */
enum { HEIGHTS = sizeof tiles / sizeof *tiles };

static int height(int64_t rows) {
  int i = 0;
  while (i < HEIGHTS - 1 && tiles[i].height < rows) i++;
  return tiles[i].height;
}

static void tile(int height, int64_t columns, int64_t k, const void *a, const void *field, const int64_t *offset,
                 void *c, int64_t c_row) {
  int64_t nv = vectors(columns);
  int i = 0;
  while (tiles[i].height != height) i++;
  TileFn *run = nv <= NV ? tiles[i].run[nv - 1] : nv <= 4 ? tile_1_4 : tile_1_8;
  run(k, a, field, offset, c, c_row);
}

static void gather(int64_t k, const int64_t *offset, const void *field, int64_t pieces, const int64_t *from,
                   const int64_t *to, void *out) {
  for (int64_t p = 0; p < k; p++) {
    const REAL *x = (const REAL *)field + offset[p];
    REAL *row = (REAL *)out + p * NR;
    for (int64_t i = 0; i < pieces; i++) store(row + to[i], load(x + from[i]));
  }
}

/* ---- sums over places ---- */

INLINE void outer_of(const int nv, const ConvPlaces *at, const REAL *field, const int64_t *offset, const REAL *other,
                     int64_t other_row, bool add, REAL *c, int64_t c_row) {
  Vec sum[MR][NV];
  /* Going on from the sums so far, it does not matter how the images are divided among calls. */
  UNROLL for (int i = 0; i < MR; i++) UNROLL for (int j = 0; j < nv; j++) sum[i][j] =
      add ? load(c + i * c_row + j * LANES) : (Vec){0};
  for (int64_t n = 0; n < at->images; n++) {
    const REAL *from = other + n * at->other_step;
    for (int64_t r = 0; r < at->rows; r++) {
      const REAL *x = field + n * at->field_step + at->row[r];
      for (int64_t w = 0; w < at->width; w++, x++, from += other_row) {
        Vec y[NV];
        UNROLL for (int j = 0; j < nv; j++) y[j] = load(from + j * LANES);
        UNROLL for (int i = 0; i < MR; i++) UNROLL for (int j = 0; j < nv; j++) sum[i][j] += y[j] * x[offset[i]];
      }
    }
  }
  UNROLL for (int i = 0; i < MR; i++) UNROLL for (int j = 0; j < nv; j++) store(c + i * c_row + j * LANES, sum[i][j]);
}

static void outer(const ConvPlaces *at, int64_t columns, const void *field, const int64_t *offset, const void *other,
                  int64_t other_row, bool add, void *c, int64_t c_row) {
  if (columns > LANES)
    outer_of(2, at, field, offset, other, other_row, add, c, c_row);
  else
    outer_of(1, at, field, offset, other, other_row, add, c, c_row);
}

static void dot(const ConvPlaces *at, const void *field, const void *other, bool add, void *c) {
  Vec even = {0}, odd = {0};
  REAL total = add ? *(REAL *)c : 0;
  for (int64_t n = 0; n < at->images; n++) {
    const REAL *y = (const REAL *)other + n * at->other_step;
    for (int64_t r = 0; r < at->rows; r++, y += at->width) {
      const REAL *x = (const REAL *)field + n * at->field_step + at->row[r];
      int64_t w = 0;
      for (; w + 2 * LANES <= at->width; w += 2 * LANES) {
        even += load(x + w) * load(y + w);
        odd += load(x + w + LANES) * load(y + w + LANES);
      }
      if (w + LANES <= at->width) even += load(x + w) * load(y + w), w += LANES;
      for (; w < at->width; w++) total = mul_add(x[w], y[w], total);
    }
  }
  even += odd;
  for (int j = 0; j < LANES; j++) total += even[j];
  *(REAL *)c = total;
}

/* ---- planes by themselves ---- */

enum { DEPTH_ROWS = 4 };

/* A vector of results in each of `rows` lines: taps in a square share what they load. */
INLINE void strip_of(const int rows, const int square, const ConvWindow *at, const REAL *x, const REAL *w,
                     const REAL *start, Vec *sum) {
  UNROLL for (int r = 0; r < rows; r++) sum[r] = (Vec){0} + *start;
  if (square) {
    UNROLL for (int i = 0; i < rows + square - 1; i++) UNROLL for (int j = 0; j < square; j++) {
      Vec v = load(x + i * at->line + j);
      KEEP(v);
      UNROLL for (int r = 0; r < rows; r++) if (i >= r && i - r < square) sum[r] += v * w[(i - r) * square + j];
    }
  } else
    for (int64_t t = 0; t < at->taps; t++)
      UNROLL for (int r = 0; r < rows; r++) sum[r] += load(x + r * at->line + at->offset[t]) * w[t];
}

INLINE void strip_out(const int rows, const int square, const ConvWindow *at, const REAL *x, const REAL *w,
                      const REAL *start, REAL *out, int64_t out_row) {
  Vec sum[DEPTH_ROWS];
  strip_of(rows, square, at, x, w, start, sum);
  UNROLL for (int r = 0; r < rows; r++) store(out + r * out_row, sum[r]);
}

/* Strips of rows and vectors of columns; the last of each may overlap the one before. Meanwhile what is read next is asked
 * for. */
INLINE void window_of(const int square, const ConvWindow *at, const REAL *x, const REAL *w, const REAL *start,
                      REAL *out, int64_t out_row) {
  const int64_t down = at->rows - DEPTH_ROWS, across = at->columns - LANES;
  const char *next = at->next, *end = next + at->next_bytes;
  for (int64_t row = 0; row < at->rows; row += down >= 0 ? DEPTH_ROWS : 1) {
    const int64_t r = row > down && down >= 0 ? down : row;
    for (int64_t column = 0; column < at->columns; column += LANES) {
      const int64_t q = column > across && across >= 0 ? across : column;
      for (int i = 0; i < DEPTH_ROWS && next < end; i++, next += 64) __builtin_prefetch(next);
      const REAL *from = x + r * at->line + q;
      REAL *to = out + r * out_row + q, tile[DEPTH_ROWS * LANES];
      if (down >= 0)
        strip_out(DEPTH_ROWS, square, at, from, w, start, across >= 0 ? to : tile, across >= 0 ? out_row : LANES);
      else
        strip_out(1, 0, at, from, w, start, across >= 0 ? to : tile, LANES);
      for (int64_t i = 0; across < 0 && i < (down >= 0 ? DEPTH_ROWS : 1); i++)
        memcpy(to + i * out_row, tile + i * LANES, (size_t)at->columns * sizeof *to);
    }
  }
}

static void window(const ConvWindow *at, const void *x, const void *w, const void *start, void *out, int64_t out_row) {
#ifndef CONV_INTEGER
  if (at->square == 3) {
    window_of(3, at, x, w, start, out, out_row);
    return;
  }
  if (at->square == 5) {
    window_of(5, at, x, w, start, out, out_row);
    return;
  }
#endif
  window_of(0, at, x, w, start, out, out_row);
}

typedef __typeof__(__builtin_choose_expr(sizeof(REAL) == 4, (int32_t)0, (int64_t)0)) Bits;
typedef Bits Mask __attribute__((vector_size(VECTOR_BYTES)));
INLINE Vec masked(Vec v, Mask m) { return (Vec)((Mask)v & m); }
enum { DOTS = 9, SQUARE = 3 }; /* sums side by side */

/* A vector of a line's elements, nothing beyond the line. */
INLINE Vec load_line(const REAL *y, int64_t columns) {
  if (columns >= LANES) return load(y);
  Vec v = {0};
  for (int64_t j = 0; j < columns; j++) v[j] = y[j];
  return v;
}

/* Taps that are a square: as a line of y passes, it meets `square` lines of x, each loaded once for all of them. */
INLINE void square_dots(const int square, const bool partly, const ConvWindow *at, const REAL *x, const REAL *y,
                        int64_t y_row, Mask m, Vec *sum) {
  Vec line[SQUARE] = {{0}};
  for (int64_t i = 0; i < at->rows + square - 1; i++, x += at->line) {
    Vec v[SQUARE];
    UNROLL for (int j = 0; j < square; j++) v[j] = partly ? masked(load(x + j), m) : load(x + j);
    UNROLL for (int k = square - 1; k > 0; k--) line[k] = line[k - 1];
    if (i < at->rows) {
      line[0] = partly ? masked(load_line(y, at->columns), m) : load(y);
      y += y_row;
    }
    if (i >= square - 1 && i < at->rows) {
      UNROLL for (int k = 0; k < square; k++) UNROLL for (int j = 0; j < square; j++) sum[k * square + j] +=
          v[j] * line[k];
    } else
      UNROLL for (int k = 0; k < square; k++) if (i >= k && i - k < at->rows) UNROLL for (int j = 0; j < square; j++)
          sum[k * square + j] += v[j] * line[k];
  }
}

static void dots(const ConvWindow *at, const void *x_lines, const void *y_lines, int64_t y_row, void *sums) {
  const int64_t last = at->columns - LANES;
  for (int64_t first = 0; first < at->taps; first += DOTS) {
    Vec sum[DOTS];
    int64_t offset[DOTS];
    for (int t = 0; t < DOTS; t++) {
      sum[t] = (Vec){0};
      offset[t] = at->offset[first + t < at->taps ? first + t : at->taps - 1];
    }
    for (int64_t begin = 0; begin < at->columns; begin += LANES) {
      const int64_t q = begin < last || last < 0 ? begin : last;
      const REAL *x = (const REAL *)x_lines + q, *y = (const REAL *)y_lines + q;
      Mask m = {0};
      if (at->square == SQUARE && begin + LANES <= at->columns) {
        square_dots(SQUARE, false, at, x, y, y_row, m, sum);
        continue;
      }
      if (begin + LANES <= at->columns) {
        for (int64_t r = 0; r < at->rows; r++, x += at->line, y += y_row) {
          Vec v = load(y);
          UNROLL for (int t = 0; t < DOTS; t++) sum[t] += v * load(x + offset[t]);
        }
        continue;
      }
      for (int j = 0; j < LANES; j++) m[j] = -(q + j >= begin && q + j < at->columns);
      if (at->square == SQUARE) {
        square_dots(SQUARE, true, at, x, y, y_row, m, sum);
        continue;
      }
      for (int64_t r = 0; r < at->rows; r++, x += at->line, y += y_row) {
        Vec v = masked(load_line(y, at->columns), m);
        UNROLL for (int t = 0; t < DOTS; t++) sum[t] += v * masked(load(x + offset[t]), m);
      }
    }
    for (int t = 0; t < DOTS && first + t < at->taps; t++) {
      REAL total = 0;
      for (int j = 0; j < LANES; j++) total += sum[t][j];
      ((REAL *)sums)[first + t] += total;
    }
  }
}

static void add(void *to, const void *from, int64_t n) {
  for (int64_t i = 0; i < n; i++) ((REAL *)to)[i] += ((const REAL *)from)[i];
}

extern const ConvKernels VEC(CONV_TABLE);
const ConvKernels VEC(CONV_TABLE) = {MR,    NR,  WIDE_NV *LANES, LANES, sizeof(REAL), height, tile, gather,
                                     outer, dot, copy_lines,     lines, window,       dots,   add};
