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
#ifdef __AVX2__
#include <immintrin.h>
#endif

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
  const int64_t right = line - left - n;
  if (step == 1 && n >= LANES && left <= LANES && right <= LANES) { /* a vector of zeros at each end is enough */
    for (int64_t r = 0; r < rows; r++, to += line, from += from_row) {
      if (left) store(to, (Vec){0});
      if (right) store(to + line - LANES, (Vec){0});
      copy_line(to + left, from, n);
    }
    return;
  }
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

/* ---- windows of planes ---- */

enum { DEPTH_ROWS = 4 };

/* A vector of results in each of `rows` lines. */
INLINE void strip_out(const int rows, const ConvWindow *at, const REAL *x, const REAL *w, const REAL *start, REAL *out,
                      int64_t out_row) {
  Vec sum[DEPTH_ROWS];
  UNROLL for (int r = 0; r < rows; r++) sum[r] = (Vec){0} + *start;
  for (int64_t t = 0; t < at->taps; t++)
    UNROLL for (int r = 0; r < rows; r++) sum[r] += load(x + r * at->line + at->offset[t]) * w[t];
  UNROLL for (int r = 0; r < rows; r++) store(out + r * out_row, sum[r]);
}

/* Strips of rows and vectors of columns; the last of each may overlap the one before. Meanwhile what is read next is asked
 * for. */
static void window(const ConvWindow *at, const void *x, const void *w, const void *start, void *out, int64_t out_row) {
  const int64_t down = at->rows - DEPTH_ROWS, across = at->columns - LANES;
  const char *next = at->next, *end = next + at->next_bytes;
  for (int64_t row = 0; row < at->rows; row += down >= 0 ? DEPTH_ROWS : 1) {
    const int64_t r = row > down && down >= 0 ? down : row;
    for (int64_t column = 0; column < at->columns; column += LANES) {
      const int64_t q = column > across && across >= 0 ? across : column;
      for (int i = 0; i < DEPTH_ROWS && next < end; i++, next += 64) __builtin_prefetch(next);
      const REAL *from = (const REAL *)x + r * at->line + q;
      REAL *to = (REAL *)out + r * out_row + q, tile[DEPTH_ROWS * LANES];
      if (down >= 0)
        strip_out(DEPTH_ROWS, at, from, w, start, across >= 0 ? to : tile, across >= 0 ? out_row : LANES);
      else
        strip_out(1, at, from, w, start, across >= 0 ? to : tile, LANES);
      for (int64_t i = 0; across < 0 && i < (down >= 0 ? DEPTH_ROWS : 1); i++)
        memcpy(to + i * out_row, tile + i * LANES, (size_t)at->columns * sizeof *to);
    }
  }
}

typedef __typeof__(__builtin_choose_expr(sizeof(REAL) == 4, (int32_t)0, (int64_t)0)) Bits;
typedef Bits Mask __attribute__((vector_size(VECTOR_BYTES)));
INLINE Vec masked(Vec v, Mask m) { return (Vec)((Mask)v & m); }
enum { DOTS = 9 }; /* sums side by side */

/* A vector of a line's elements, nothing beyond the line. */
INLINE Vec load_line(const REAL *y, int64_t columns) {
  if (columns >= LANES) return load(y);
  Vec v = {0};
  for (int64_t j = 0; j < columns; j++) v[j] = y[j];
  return v;
}

static __attribute__((noinline)) REAL total_of(Vec v) {
  REAL total = 0;
  for (int j = 0; j < LANES; j++) total += v[j];
  return total;
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
      if (begin + LANES <= at->columns) {
        for (int64_t r = 0; r < at->rows; r++, x += at->line, y += y_row) {
          Vec v = load(y);
          UNROLL for (int t = 0; t < DOTS; t++) sum[t] += v * load(x + offset[t]);
        }
        continue;
      }
      Mask m = {0};
      for (int j = 0; j < LANES; j++) m[j] = -(q + j >= begin && q + j < at->columns);
      for (int64_t r = 0; r < at->rows; r++, x += at->line, y += y_row) {
        Vec v = masked(load_line(y, at->columns), m);
        UNROLL for (int t = 0; t < DOTS; t++) sum[t] += v * masked(load(x + offset[t]), m);
      }
    }
    for (int t = 0; t < DOTS && first + t < at->taps; t++) ((REAL *)sums)[first + t] += total_of(sum[t]);
  }
}

/* ---- planes with square kernels, read where they lie ---- */

#ifndef CONV_INTEGER

/* Lanes from begin on and before end. */
#ifdef __AVX512F__
typedef __typeof__(__builtin_choose_expr(sizeof(REAL) == 4, (__mmask16)0, (__mmask8)0)) Lanes;
#else
typedef Mask Lanes;
#endif
INLINE Lanes lanes_of(int64_t begin, int64_t end) {
  begin = begin < 0 ? 0 : begin, end = end > LANES ? LANES : end;
#ifdef __AVX512F__
  return begin < end ? (Lanes)((1u << end) - (1u << begin)) : 0;
#else
  static const Bits below[2 * LANES] = {[0 ... LANES - 1] = -1};
  typedef Mask Loose __attribute__((aligned(sizeof(REAL)), may_alias));
  begin = begin > LANES ? LANES : begin, end = end < 0 ? 0 : end;
  return *(const Loose *)(below + LANES - end) & ~*(const Loose *)(below + LANES - begin);
#endif
}
INLINE Vec only(Vec v, Lanes m) {
#ifdef __AVX512F__
  KEEP(v); /* a load with a mask is slow where it misses the cache */
  return sizeof(REAL) == 4 ? (Vec)_mm512_maskz_mov_ps((__mmask16)m, (__m512)v)
                           : (Vec)_mm512_maskz_mov_pd((__mmask8)m, (__m512d)v);
#else
  return masked(v, m);
#endif
}
/* Touches nothing but those lanes. */
INLINE Vec load_only(const REAL *from, Lanes m) {
#if defined(__AVX512F__)
  return sizeof(REAL) == 4 ? (Vec)_mm512_maskz_loadu_ps((__mmask16)m, from)
                           : (Vec)_mm512_maskz_loadu_pd((__mmask8)m, from);
#elif defined(__AVX2__)
  return sizeof(REAL) == 4 ? (Vec)_mm256_maskload_ps((const float *)from, (__m256i)m)
                           : (Vec)_mm256_maskload_pd((const double *)from, (__m256i)m);
#else
  Vec v = {0};
  for (int j = 0; j < LANES; j++)
    if (m[j]) v[j] = from[j];
  return v;
#endif
}

enum { MOST_SQUARE = 5, DOTS_SQUARE = 3, BLOCK_BYTES = 28 << 10, BLOCK_ROWS = 16 };

/* Rows of results at a time: what they read and write stays in the first cache while column after column passes. */
static int64_t block_rows(const ConvPlane *at) {
  int64_t fit = BLOCK_BYTES / (int64_t)sizeof(REAL) / (at->x_columns + at->columns);
  int64_t blocks = (at->rows + (fit > BLOCK_ROWS ? fit : BLOCK_ROWS) - 1) / (fit > BLOCK_ROWS ? fit : BLOCK_ROWS);
  return (at->rows + blocks - 1) / blocks;
}

/* How many steps from a place, `step` elements each, come no further than `end`. */
static int64_t steps(int64_t place, int64_t end, int64_t step) { return end < place ? 0 : (end - place) / step + 1; }

/* A strip of results, a vector wide from column q on. Line i of x that it passes is row `row` + i; whole vectors of what
 * lines `first` to `last` - 1 meet lie within the planes. */
typedef struct {
  int64_t q, row, first, last;
  bool all; /* lanes */
  Lanes results, taps[MOST_SQUARE];
} Strip;

/* The strip for `column`, from row r on; it reaches back where the line ends, `once`: without the lanes that have had their
 * turn. Of the lines, at most `most` meet whole vectors on the side of the results. */
static __attribute__((noinline)) Strip strip_at(const ConvPlane *at, int64_t r, int64_t column, int64_t most,
                                                bool once) {
  const int64_t square = at->square, wide = square - 1 + LANES, across = at->columns - LANES;
  Strip s = {.q = column > across && across >= 0 ? across : column, .row = r + at->up, .last = most};
  const int64_t place = s.q + at->left, begin = s.row * at->x_columns + place, skip = once ? column - s.q : 0;
  s.all = place >= 0 && place + wide <= at->x_columns && across >= 0 && skip == 0;
  s.first = steps(begin, -1, at->x_columns);
  if (s.first < -s.row) s.first = -s.row;
  if (s.first < square - 1) s.first = square - 1;
  const int64_t last = steps(begin, at->x_rows * at->x_columns - wide, at->x_columns);
  if (s.last > last) s.last = last;
  if (s.last > at->x_rows - s.row) s.last = at->x_rows - s.row;
  s.results = lanes_of(skip, at->columns - s.q);
  for (int j = 0; j < square; j++) {
    int64_t from = -(place + j), to = from + at->x_columns, end = at->columns - s.q;
    s.taps[j] = lanes_of(from > skip ? from : skip, to < end ? to : end);
  }
  return s;
}

/* Rows of `rows` from r on where a vector of results does not reach beyond the plane. */
static int64_t fitting(const ConvPlane *at, int64_t r, int64_t rows) {
  return rows - (r + rows == at->rows && at->columns < LANES ? (LANES - 1) / at->columns : 0);
}

/* What line i of x at `from` gives to each column of taps. */
INLINE void taps_of(const int square, const bool whole, const bool all, const bool there, const REAL *from,
                    const Lanes *m, Vec *v) {
  if (whole) {
    UNROLL for (int j = 0; j < square; j++) v[j] = load(from + j);
    if (!all) UNROLL for (int j = 0; j < square; j++) v[j] = only(v[j], m[j]);
  } else if (there)
    UNROLL for (int j = 0; j < square; j++) v[j] = load_only(from + j, m[j]);
  else
    UNROLL for (int j = 0; j < square; j++) v[j] = (Vec){0};
}

/* As lines of x pass, the sums of `square` lines of results are under way. A vector that is longer than a line of results
 * runs into the next one, which is written later. Meanwhile what follows in memory, and will be next, is asked for. */
INLINE void plane_of(const int square, const ConvPlane *at, const REAL *x, const REAL *w_of, const REAL *start_of,
                     REAL *out) {
  const int64_t columns = at->columns, x_columns = at->x_columns, block = block_rows(at);
  const Vec start = (Vec){0} + *start_of;
  Vec w[MOST_SQUARE * MOST_SQUARE], sum[MOST_SQUARE], v[MOST_SQUARE];
  REAL tile[LANES];
  UNROLL for (int t = 0; t < square * square; t++) w[t] = (Vec){0} + w_of[t];
  for (int64_t r = 0; r < at->rows; r += block) {
    const int64_t rows = block < at->rows - r ? block : at->rows - r;
    const char *x_next = (const char *)(x + (r + rows) * x_columns), *next = (const char *)(out + (r + rows) * columns);
    for (int64_t column = 0; column < columns; column += LANES) {
      const Strip s = strip_at(at, r, column, fitting(at, r, rows) + square - 1, false);
      const int64_t first = s.first, last = s.last, begin = -s.row, end = at->x_rows - s.row;
      const bool all = s.all;
      Lanes m[MOST_SQUARE];
      UNROLL for (int j = 0; j < square; j++) m[j] = s.taps[j];
      const REAL *from = x + s.row * x_columns + at->left + s.q;
      REAL *to = out + (r - square + 1) * columns + s.q;
      UNROLL for (int k = 0; k < square; k++) sum[k] = start;
      for (int64_t i = 0; i < rows + square - 1; i++, from += x_columns, to += columns) {
        const bool whole = i >= first && i < last;
        taps_of(square, whole, all, i >= begin && i < end, from, m, v);
        UNROLL for (int j = 0; j < square; j++) UNROLL for (int k = 0; k < square; k++) sum[k] +=
            v[j] * w[(square - 1 - k) * square + j];
        if (whole || (i >= square - 1 && columns >= LANES))
          store(to, sum[0]);
        else if (i >= square - 1) {
          store(tile, sum[0]);
          memcpy(to, tile, (size_t)columns * sizeof *to);
        }
        UNROLL for (int k = 0; k < square - 1; k++) sum[k] = sum[k + 1];
        sum[square - 1] = start;
        __builtin_prefetch(x_next), x_next += VECTOR_BYTES;
        __builtin_prefetch(next, 1), next += VECTOR_BYTES;
      }
    }
  }
}

static void plane(const ConvPlane *at, const void *x, const void *w, const void *start, void *out) {
  if (at->square == 3)
    plane_of(3, at, x, w, start, out);
  else
    plane_of(5, at, x, w, start, out);
}

/* As a line of y passes, it meets `square` lines of x, each loaded once for all of them. */
static void plane_dots(const ConvPlane *at, const void *x, const void *y, void *sums) {
  enum { SQUARE = DOTS_SQUARE };
  const int64_t columns = at->columns, x_columns = at->x_columns, block = block_rows(at);
  Vec sum[SQUARE * SQUARE], line[SQUARE], v[SQUARE];
  UNROLL for (int t = 0; t < SQUARE * SQUARE; t++) sum[t] = (Vec){0};
  for (int64_t r = 0; r < at->rows; r += block) {
    const int64_t rows = block < at->rows - r ? block : at->rows - r;
    const char *x_next = (const char *)((const REAL *)x + (r + rows) * x_columns);
    const char *next = (const char *)((const REAL *)y + (r + rows) * columns);
    for (int64_t column = 0; column < columns; column += LANES) {
      const Strip s = strip_at(at, r, column, fitting(at, r, rows), true);
      const int64_t first = s.first, last = s.last, begin = -s.row, end = at->x_rows - s.row;
      const bool all = s.all;
      const Lanes results = s.results;
      Lanes m[SQUARE];
      UNROLL for (int j = 0; j < SQUARE; j++) m[j] = s.taps[j];
      const REAL *from = (const REAL *)x + s.row * x_columns + at->left + s.q;
      const REAL *other = (const REAL *)y + r * columns + s.q;
      UNROLL for (int k = 0; k < SQUARE; k++) line[k] = (Vec){0};
      for (int64_t i = 0; i < rows + SQUARE - 1; i++, from += x_columns, other += columns) {
        const bool whole = i >= first && i < last;
        taps_of(SQUARE, whole, all, i >= begin && i < end, from, m, v);
        UNROLL for (int k = SQUARE - 1; k > 0; k--) line[k] = line[k - 1];
        if (whole) {
          line[0] = load(other);
          if (!all) line[0] = only(line[0], results);
        } else if (i < rows)
          line[0] = load_only(other, results);
        if (whole) {
          UNROLL for (int k = 0; k < SQUARE; k++) UNROLL for (int j = 0; j < SQUARE; j++) sum[k * SQUARE + j] +=
              v[j] * line[k];
        } else
          UNROLL for (int k = 0; k < SQUARE; k++) if (i >= k && i - k < rows) UNROLL for (int j = 0; j < SQUARE; j++)
              sum[k * SQUARE + j] += v[j] * line[k];
        __builtin_prefetch(x_next), x_next += VECTOR_BYTES;
        __builtin_prefetch(next), next += VECTOR_BYTES;
      }
    }
  }
  Vec all[SQUARE * SQUARE];
  UNROLL for (int t = 0; t < SQUARE * SQUARE; t++) all[t] = sum[t];
  for (int t = 0; t < SQUARE * SQUARE; t++) ((REAL *)sums)[t] = total_of(all[t]);
}

#else
#define plane NULL
#define plane_dots NULL
#endif

static void add(void *to, const void *from, int64_t n) {
  for (int64_t i = 0; i < n; i++) ((REAL *)to)[i] += ((const REAL *)from)[i];
}

extern const ConvKernels VEC(CONV_TABLE);
const ConvKernels VEC(CONV_TABLE) = {MR,     NR,     WIDE_NV *LANES, LANES,      sizeof(REAL), height,
                                     tile,   gather, outer,          dot,        copy_lines,   lines,
                                     window, dots,   plane,          plane_dots, add};
