/* Kernels of the matrix product for one element type: float32, or what gemm_f64.c and gemm_u*.c set and include this.
 *
 * A tile of C, MR rows by NV vectors, stays in registers while k runs. Every element of C is the sum over k in
 * ascending order, whatever the tile it falls in, so how a product is cut into blocks does not change its value.
 * Integers are computed unsigned and wrap around. */
#include "cpu/gemm.h"
#include "cpu/isa.h"
#include <string.h>

#ifndef REAL
#define REAL float
#define GEMM_TABLE gemm_f32
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
#ifdef GEMM_INTEGER /* integer products are rare: small code matters more */
#undef MR
#define MR 4
enum { FLOATS = 0 };
#else
enum { FLOATS = 1 };
#endif
enum { LANES = VECTOR_BYTES / sizeof(REAL), NV = 2, NR = NV * LANES, LINE = 64, AHEAD = 16 };
/* Sums so long, rows of C so far apart and panels of so many bytes that asking for what comes next pays; where code is. */
enum { LONG = 256, FAR_ROW = 8192, FAR = 4 << 20, ASKS = FLOATS && VECTOR_BYTES >= 32 };

typedef REAL Vec __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(REAL)), may_alias));
INLINE Vec load(const REAL *from) { return *(const Vec *)from; }
INLINE void store(REAL *to, Vec v) { *(Vec *)to = v; }
INLINE REAL mul(REAL x, REAL y) { return (REAL)((WIDE)x * (WIDE)y); }
INLINE REAL mul_add(REAL x, REAL y, REAL z) { return (REAL)((WIDE)x * (WIDE)y + (WIDE)z); }
INLINE REAL finish(REAL sum, REAL alpha, REAL beta, const REAL *add) {
  return beta == 0 ? mul(alpha, sum) : mul_add(beta, *add, mul(alpha, sum));
}

/* ---- tiles ---- */

typedef void TileFn(int64_t k, const REAL *a, int64_t a_row, int64_t a_col, const REAL *b, int64_t b_row, int64_t ahead,
                    REAL *c, int64_t c_row, const REAL *add, int64_t add_row, REAL alpha, REAL beta);

/* c (mr, nv vectors) = alpha * a (mr, k) b (k, nv vectors) + beta * add. Meanwhile what lies `ahead` of b is asked for. */
INLINE void tile(const int mr, const int nv, int64_t k, const REAL *a, int64_t a_row, int64_t a_col, const REAL *b,
                 int64_t b_row, int64_t ahead, REAL *c, int64_t c_row, const REAL *add, int64_t add_row, REAL alpha,
                 REAL beta) {
  Vec sum[MR][NV];
  UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nv; j++) sum[i][j] = (Vec){0};
  for (int64_t p = 0; p < k; p++) {
    Vec row[NV];
    UNROLL for (int j = 0; j < nv; j++) row[j] = load(b + j * LANES);
    if (ahead)
      for (int j = 0; j < nv * LANES; j += LINE / (int)sizeof *b) __builtin_prefetch(b + ahead + j);
    UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nv; j++) sum[i][j] += row[j] * a[i * a_row];
    a += a_col;
    b += b_row;
  }
  UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nv; j++) {
    Vec v = sum[i][j] * alpha;
    if (beta != 0) v += load(add + i * add_row + j * LANES) * beta;
    store(c + i * c_row + j * LANES, v);
  }
}

#define TILE(mr, nv)                                                                                                 \
  static void tile_##mr##_##nv(int64_t k, const REAL *a, int64_t a_row, int64_t a_col, const REAL *b, int64_t b_row, \
                               int64_t ahead, REAL *c, int64_t c_row, const REAL *add, int64_t add_row, REAL alpha,  \
                               REAL beta) {                                                                          \
    tile(mr, nv, k, a, a_row, a_col, b, b_row, ahead, c, c_row, add, add_row, alpha, beta);                          \
  }
/* clang-format off */
#define TILES(mr) TILE(mr, 1) TILE(mr, 2)
#define NAMES(mr) {tile_##mr##_1, tile_##mr##_2}
TILES(1) TILES(2) TILES(3) TILES(4)
#if MR > 4
TILES(5) TILES(6)
#endif
#if MR > 6
TILES(7) TILES(8) TILES(9) TILES(10) TILES(11) TILES(12)
#endif
#if MR > 12
TILES(13) TILES(14)
#endif
static TileFn *const tile_fn[MR][NV] = {
  NAMES(1), NAMES(2), NAMES(3), NAMES(4),
#if MR > 4
  NAMES(5), NAMES(6),
#endif
#if MR > 6
  NAMES(7), NAMES(8), NAMES(9), NAMES(10), NAMES(11), NAMES(12),
#endif
#if MR > 12
  NAMES(13), NAMES(14),
#endif
};
/* clang-format on */

static int64_t least(int64_t x, int64_t y) { return x < y ? x : y; }
static int64_t whole_vectors(int64_t n) { return (n + LANES - 1) / LANES * LANES; }

/* Columns that do not fill their last vector: the tile is computed aside, then the part that exists is merged. */
static void merge(const REAL *sum, int64_t rows, int64_t columns, REAL *c, int64_t c_row, const REAL *add,
                  int64_t add_row, REAL alpha, REAL beta) {
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < columns; j++)
      c[i * c_row + j] = finish(sum[i * NR + j], alpha, beta, add + i * add_row + j);
}

static __attribute__((noinline)) void ask_for(const REAL *c, int64_t row, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < columns; j += LINE / (int)sizeof *c) __builtin_prefetch(c + i * row + j, 1);
}

static void tiles(const GemmBlock *g, int64_t i0, int64_t i1, int64_t j0, int64_t j1) {
  const REAL alpha = *(const REAL *)g->alpha, beta = *(const REAL *)g->beta;
  const bool far = ASKS && (j1 - j0) * g->k * (int64_t)sizeof(REAL) > FAR;
  const bool far_rows = ASKS && g->k >= LONG && g->c_row * (int64_t)sizeof(REAL) >= FAR_ROW;
  for (int64_t j = j0; j < j1; j += NR) {
    int64_t columns = least(NR, j1 - j), width = whole_vectors(columns), b_row = g->b_row;
    const REAL *b = (const REAL *)g->b + j;
    int64_t ahead = g->b_far && j + NR < j1 ? NR : 0; /* the panel that is next */
    const bool packed = g->b_packed && j >= g->b_first;
    if (packed) ahead = 0, b = (const REAL *)g->b_packed + (j - g->b_first) * g->k, b_row = width;
    /* Rows that lie as they are go in tiles of nearly one height: a low tile waits for its own sums. */
    int64_t parts = g->a_packed ? 0 : (i1 - i0 + MR - 1) / MR, rows;
    int64_t height = parts > 1 ? (i1 - i0 + parts - 1) / parts : MR;
    for (int64_t i = i0; i < i1; i += rows) {
      int64_t a_row = g->a_row, a_col = g->a_col;
      rows = least(height, i1 - i);
      if (packed && far && i + rows == i1 && i > i0) ahead = width * g->k;
      const REAL *a = (const REAL *)g->a + i * a_row;
      if (g->a_packed) a = (const REAL *)g->a_packed + i * g->k, a_row = 1, a_col = rows;
      TileFn *run = tile_fn[rows - 1][width / LANES - 1];
      REAL *c = (REAL *)g->c + i * g->c_row + j;
      const REAL *add = (const REAL *)g->add + i * g->add_row + j;
      if (far_rows) ask_for(c, g->c_row, rows, columns);
      if (columns == width) {
        run(g->k, a, a_row, a_col, b, b_row, ahead, c, g->c_row, add, g->add_row, alpha, beta);
      } else {
        REAL sum[MR * NR];
        run(g->k, a, a_row, a_col, b, b_row, ahead, sum, NR, NULL, 0, 1, 0);
        merge(sum, rows, columns, c, g->c_row, add, g->add_row, alpha, beta);
      }
    }
  }
}

/* ---- packing ---- */

/* Copies fewer elements than a vector has, without reading past them. */
INLINE void copy_some(REAL *to, const REAL *from, int64_t n) {
  UNROLL for (int part = LANES / 2; part > 0; part /= 2) if (n & part) {
    memcpy(to, from, part * sizeof(REAL));
    to += part, from += part;
  }
}

/* Strides: from has its columns (the panel's width) side by side. */
static void pack_rows(REAL *to, int64_t to_row, const REAL *from, int64_t from_row, int64_t width, int64_t k) {
  for (int64_t p = 0; p < k; p++, to += to_row, from += from_row) {
    int64_t w = 0;
    UNROLL for (int j = 0; j < NR; j += LINE / (int)sizeof *from) __builtin_prefetch(from + AHEAD * from_row + j);
    for (; w + LANES <= width; w += LANES) store(to + w, load(from + w));
    copy_some(to + w, from + w, width - w);
    for (w = width; w < to_row; w++) to[w] = 0;
  }
}

static void pack_any(REAL *to, int64_t to_row, const REAL *from, int64_t w_stride, int64_t k_stride, int64_t width,
                     int64_t k) {
  for (int64_t p = 0; p < k; p++) {
    for (int64_t w = 0; w < width; w++) to[p * to_row + w] = from[p * k_stride + w * w_stride];
    for (int64_t w = width; w < to_row; w++) to[p * to_row + w] = 0;
  }
}

/* zip_low(x, y) is x0 y0 x1 y1 ..., zip_high the same of the upper halves. */
#define ZIP2(o, n) (o), (o) + (n)
#define ZIP4(o, n) ZIP2(o, n), ZIP2((o) + 1, n)
#define ZIP8(o, n) ZIP4(o, n), ZIP4((o) + 2, n)
#define ZIP16(o, n) ZIP8(o, n), ZIP8((o) + 4, n)
#define ZIP(x, y, list, o) __builtin_shufflevector(x, y, list(o, LANES))
#define VECTOR_LANES (VECTOR_BYTES / REAL_BYTES)
#ifndef REAL_BYTES
#define REAL_BYTES 4
#endif
#if VECTOR_LANES == 2
#define ZIP_LIST ZIP2
#elif VECTOR_LANES == 4
#define ZIP_LIST ZIP4
#elif VECTOR_LANES == 8
#define ZIP_LIST ZIP8
#elif VECTOR_LANES == 16
#define ZIP_LIST ZIP16
#endif

#if defined(ZIP_LIST) && !defined(GEMM_INTEGER)
INLINE void transpose(Vec v[LANES]) {
  UNROLL for (int stage = 1; stage < LANES; stage *= 2) {
    Vec t[LANES];
    UNROLL for (int i = 0; i < LANES / 2; i++) {
      t[2 * i] = ZIP(v[i], v[i + LANES / 2], ZIP_LIST, 0);
      t[2 * i + 1] = ZIP(v[i], v[i + LANES / 2], ZIP_LIST, LANES / 2);
    }
    UNROLL for (int i = 0; i < LANES; i++) v[i] = t[i];
  }
}

/* Strides: from has k contiguous. Squares of LANES by LANES are transposed in registers; a narrower one spills zeros
 * into the elements after it, which are written later, hence the order; the last ones go through a buffer. */
static void pack_columns(REAL *to, int64_t to_row, const REAL *from, int64_t w_stride, int64_t width, int64_t k) {
  int64_t p = 0;
  for (; p + LANES <= k; p += LANES)
    for (int64_t w = (width - 1) / LANES * LANES; w >= 0; w -= LANES) {
      int64_t n = least(LANES, width - w);
      const REAL *at = from + w * w_stride + p;
      REAL *square = to + p * to_row + w;
      Vec v[LANES];
      UNROLL for (int i = 0; i < LANES; i++) v[i] = i < n ? load(at + i * w_stride) : (Vec){0};
      for (int i = 0; i < LANES; i++) __builtin_prefetch(at + (i + NR) * w_stride);
      transpose(v);
      if ((p + LANES - 1) * to_row + w + LANES <= k * to_row) {
        UNROLL for (int i = 0; i < LANES; i++) store(square + i * to_row, v[i]);
      } else {
        REAL buffer[LANES * LANES];
        UNROLL for (int i = 0; i < LANES; i++) store(buffer + i * LANES, v[i]);
        for (int i = 0; i < LANES; i++) memcpy(square + i * to_row, buffer + i * LANES, n * sizeof(REAL));
      }
    }
  pack_any(to + p * to_row, to_row, from + p, w_stride, 1, width, k - p);
}
#else
static void pack_columns(REAL *to, int64_t to_row, const REAL *from, int64_t w_stride, int64_t width, int64_t k) {
  pack_any(to, to_row, from, w_stride, 1, width, k);
}
#endif

/* A panel: to[p * to_row + w] = from[w * w_stride + p * k_stride], zeros where w reaches past width. */
static void pack(REAL *to, int64_t to_row, const REAL *from, int64_t w_stride, int64_t k_stride, int64_t width,
                 int64_t k) {
  if (w_stride == 1)
    pack_rows(to, to_row, from, k_stride, width, k);
  else if (k_stride == 1)
    pack_columns(to, to_row, from, w_stride, width, k);
  else
    pack_any(to, to_row, from, w_stride, k_stride, width, k);
}

static void pack_a(const GemmBlock *g, int64_t i0, int64_t i1) {
  for (int64_t i = i0; i < i1; i += MR) {
    int64_t rows = least(MR, i1 - i);
    pack((REAL *)g->a_packed + i * g->k, rows, (const REAL *)g->a + i * g->a_row, g->a_row, g->a_col, rows, g->k);
  }
}

static void pack_b(const GemmBlock *g, int64_t j0, int64_t j1) {
  for (int64_t j = j0; j < j1; j += NR) {
    int64_t columns = least(NR, j1 - j);
    pack((REAL *)g->b_packed + (j - g->b_first) * g->k, whole_vectors(columns), (const REAL *)g->b + j * g->b_col,
         g->b_col, g->b_row, columns, g->k);
  }
}

#ifndef GEMM_INTEGER
/* ---- thin products, limited by memory ---- */

enum { DOT_ROWS = VECTOR_BYTES == 64 ? 4 : 2, DOT_COLUMNS = 4 };

/* Halves of known length, so that each sum of two is one vector. */
#define ADD_HALF(part, half) \
  if (LANES > (half))        \
    for (int i_ = 0; i_ < (half); i_++) (part)[i_] = (REAL)((WIDE)(part)[i_] + (WIDE)(part)[i_ + (half)])
INLINE REAL lane_sum(REAL *part) {
  ADD_HALF(part, 8);
  ADD_HALF(part, 4);
  ADD_HALF(part, 2);
  ADD_HALF(part, 1);
  return part[0];
}

/* The dot products of mr rows of A with nr columns of B. */
INLINE void dot_tile(const int mr, const int nr, const GemmBlock *g, int64_t i0, int64_t j0, REAL alpha, REAL beta) {
  const REAL *a = (const REAL *)g->a + i0 * g->a_row, *b = (const REAL *)g->b + j0 * g->b_col;
  Vec sum[DOT_ROWS][DOT_COLUMNS];
  UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nr; j++) sum[i][j] = (Vec){0};
  int64_t p = 0;
  for (; p + LANES <= g->k; p += LANES) {
    Vec row[DOT_ROWS];
    UNROLL for (int i = 0; i < mr; i++) row[i] = load(a + i * g->a_row + p);
    UNROLL for (int j = 0; j < nr; j++) {
      Vec column = load(b + j * g->b_col + p);
      UNROLL for (int i = 0; i < mr; i++) sum[i][j] += row[i] * column;
    }
  }
  REAL part[DOT_ROWS][DOT_COLUMNS][LANES];
  UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nr; j++) store(part[i][j], sum[i][j]);
  for (int i = 0; i < mr; i++)
    for (int j = 0; j < nr; j++) {
      REAL total = lane_sum(part[i][j]);
      for (int64_t q = p; q < g->k; q++) total = mul_add(a[i * g->a_row + q], b[j * g->b_col + q], total);
      REAL *c = (REAL *)g->c + (i0 + i) * g->c_row + j0 + j;
      *c = finish(total, alpha, beta, (const REAL *)g->add + (i0 + i) * g->add_row + j0 + j);
    }
}

static void dots(const GemmBlock *g, int64_t i0, int64_t i1, int64_t j0, int64_t j1) {
  const REAL alpha = *(const REAL *)g->alpha, beta = *(const REAL *)g->beta;
  for (int64_t j = j0; j < j1;) {
    int nr = j + DOT_COLUMNS <= j1 ? DOT_COLUMNS : 1;
    int64_t i = i0;
    if (nr == DOT_COLUMNS) {
      for (; i + DOT_ROWS <= i1; i += DOT_ROWS) dot_tile(DOT_ROWS, DOT_COLUMNS, g, i, j, alpha, beta);
      for (; i < i1; i++) dot_tile(1, DOT_COLUMNS, g, i, j, alpha, beta);
    } else {
      for (; i + DOT_ROWS <= i1; i += DOT_ROWS) dot_tile(DOT_ROWS, 1, g, i, j, alpha, beta);
      for (; i < i1; i++) dot_tile(1, 1, g, i, j, alpha, beta);
    }
    j += nr;
  }
}

enum { ROW_BLOCK = 16384 / sizeof(REAL) };

/* Blocks span several pages, so that the processor reads ahead. */
static void row(const GemmBlock *g, int64_t j0, int64_t j1) {
  const REAL alpha = *(const REAL *)g->alpha, beta = *(const REAL *)g->beta;
  const REAL *a = g->a;
  int64_t s = g->b_row;
  for (int64_t j = j0; j < j1; j += ROW_BLOCK) {
    int64_t n = least(ROW_BLOCK, j1 - j), p = 0;
    REAL sum[ROW_BLOCK];
    memset(sum, 0, n * sizeof(REAL));
    const REAL *b = (const REAL *)g->b + j;
    for (; p + 4 <= g->k; p += 4, b += 4 * s) {
      REAL a0 = a[p * g->a_col], a1 = a[(p + 1) * g->a_col], a2 = a[(p + 2) * g->a_col], a3 = a[(p + 3) * g->a_col];
      int64_t q = 0;
      for (; q + LANES <= n; q += LANES) {
        Vec v = load(sum + q);
        v += load(b + q) * a0;
        v += load(b + q + s) * a1;
        v += load(b + q + 2 * s) * a2;
        v += load(b + q + 3 * s) * a3;
        store(sum + q, v);
      }
      for (; q < n; q++)
        sum[q] = mul_add(b[q + 3 * s], a3, mul_add(b[q + 2 * s], a2, mul_add(b[q + s], a1, mul_add(b[q], a0, sum[q]))));
    }
    for (; p < g->k; p++, b += s)
      for (int64_t q = 0; q < n; q++) sum[q] = mul_add(b[q], a[p * g->a_col], sum[q]);
    for (int64_t q = 0; q < n; q++) {
      const REAL *add = (const REAL *)g->add + j + q;
      ((REAL *)g->c)[j + q] = finish(sum[q], alpha, beta, add);
    }
  }
}
#endif

extern const GemmKernels VEC(GEMM_TABLE);
#ifdef GEMM_INTEGER
const GemmKernels VEC(GEMM_TABLE) = {MR, NR, LANES, sizeof(REAL), pack_a, pack_b, tiles, NULL, NULL};
#else
const GemmKernels VEC(GEMM_TABLE) = {MR, NR, LANES, sizeof(REAL), pack_a, pack_b, tiles, dots, row};
#endif
