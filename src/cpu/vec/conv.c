/* Kernels of convolution for one element type: float32, or what conv_f64.c and conv_u*.c set and include this.
 *
 * A tile of results stays in registers while its sums run. Every result is one sum in an order that does not depend on
 * where in a tile it falls. Integers are computed unsigned and wrap around. */
#include "cpu/conv.h"
#include <stddef.h>

#ifndef REAL
#define REAL float
#define CONV_TABLE conv_f32
#endif
#ifndef WIDE
#define WIDE REAL /* the type of scalar products: no integer promotion to a signed type */
#endif

/* A multiply and an add may become one instruction, as in the matrix product. */
#ifdef __clang__
#pragma clang fp contract(fast)
#define UNROLL _Pragma("unroll")
#else
#pragma GCC optimize("fp-contract=fast")
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define INLINE static inline __attribute__((always_inline))

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
static int64_t vectors(int64_t n) { return (n + LANES - 1) / LANES; }

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

/* ---- sums over places ---- */

INLINE void outer_of(const int nv, const ConvPlaces *at, const REAL *field, const int64_t *offset, const REAL *other,
                     int64_t other_row, bool add, REAL *c, int64_t c_row) {
  Vec sum[MR][NV];
  UNROLL for (int i = 0; i < MR; i++) UNROLL for (int j = 0; j < nv; j++) sum[i][j] = (Vec){0};
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
  UNROLL for (int i = 0; i < MR; i++) UNROLL for (int j = 0; j < nv; j++) {
    REAL *to = c + i * c_row + j * LANES;
    if (add) sum[i][j] += load(to);
    store(to, sum[i][j]);
  }
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

extern const ConvKernels VEC(CONV_TABLE);
const ConvKernels VEC(CONV_TABLE) = {MR, NR, WIDE_NV *LANES, LANES, sizeof(REAL), height, tile, outer, dot};
