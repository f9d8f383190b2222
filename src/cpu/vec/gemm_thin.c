/* Kernels of thin products with a B of bfloat16, or of float16 where gemm_thin_f16.c includes this: B is widened as it is
 * read, because reading it is what such a product costs.
 *
 * Each element of C is summed in an order that depends on k alone. */
#include "cpu/gemm.h"
#include "cpu/isa.h"
#include <string.h>
#if defined(__F16C__)
#include <immintrin.h>
#endif

#ifndef THIN_TABLE
#define THIN_TABLE gemm_thin_bf16
#define TO_FLOAT bfloat_to_float
#endif

#include "cpu/vec/contract.h"

#if defined(__AVX512F__)
enum { LANES = 16, ROWS = 4 };
#elif defined(__AVX2__)
enum { LANES = 8, ROWS = 2 };
#else
enum { LANES = 4, ROWS = 2 };
#endif
enum { COLUMNS = 4, ROW_BLOCK = 4096 };

typedef float Vec __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
INLINE Vec load(const float *from) { return *(const Vec *)from; }
INLINE void store(float *to, Vec v) { *(Vec *)to = v; }

INLINE Vec widen(const uint16_t *from) {
#if defined(THIN_F16) && defined(__AVX512F__)
  return (Vec)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)from));
#elif defined(THIN_F16) && defined(__F16C__)
  return (Vec)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)from));
#elif !defined(THIN_F16) && defined(__AVX512F__)
  return (Vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)from)), 16);
#elif !defined(THIN_F16) && defined(__AVX2__)
  return (Vec)_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)from)), 16);
#else
  Vec v = {0};
  for (int i = 0; i < LANES; i++) v[i] = TO_FLOAT(from[i]);
  return v;
#endif
}

INLINE float lane_sum(float *part) {
  for (int half = LANES / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) part[i] += part[i + half];
  return part[0];
}

/* mr rows of A meet nr columns of B. */
INLINE void dot_tile(const int mr, const int nr, int64_t k, const float *a, int64_t a_row, const uint16_t *b,
                     int64_t b_col, float *c, int64_t c_row) {
  Vec sum[ROWS][COLUMNS];
  UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nr; j++) sum[i][j] = (Vec){0};
  int64_t p = 0;
  for (; p + LANES <= k; p += LANES) {
    Vec row[ROWS];
    UNROLL for (int i = 0; i < mr; i++) row[i] = load(a + i * a_row + p);
    UNROLL for (int j = 0; j < nr; j++) {
      Vec column = widen(b + j * b_col + p);
      UNROLL for (int i = 0; i < mr; i++) sum[i][j] += row[i] * column;
    }
  }
  for (int i = 0; i < mr; i++)
    for (int j = 0; j < nr; j++) {
      float part[LANES];
      store(part, sum[i][j]);
      float total = lane_sum(part);
      for (int64_t q = p; q < k; q++) total = a[i * a_row + q] * TO_FLOAT(b[j * b_col + q]) + total;
      c[i * c_row + j] = total;
    }
}

static void dots(int64_t m, int64_t n, int64_t k, const float *a, int64_t a_row, const uint16_t *b, int64_t b_col,
                 float *c, int64_t c_row) {
  int64_t j = 0;
  for (; j < n; j += COLUMNS, b += COLUMNS * b_col, c += COLUMNS) {
    int64_t i = 0;
    if (j + COLUMNS > n) break;
    for (; i + ROWS <= m; i += ROWS) dot_tile(ROWS, COLUMNS, k, a + i * a_row, a_row, b, b_col, c + i * c_row, c_row);
    for (; i < m; i++) dot_tile(1, COLUMNS, k, a + i * a_row, a_row, b, b_col, c + i * c_row, c_row);
  }
  for (; j < n; j++, b += b_col, c++)
    for (int64_t i = 0; i < m; i++) dot_tile(1, 1, k, a + i * a_row, a_row, b, b_col, c + i * c_row, c_row);
}

/* c (width) += four rows of B, weighted. */
INLINE void add_rows(int64_t width, const float *a, const uint16_t *b, int64_t b_row, float *c) {
  const float a0 = a[0], a1 = a[1], a2 = a[2], a3 = a[3];
  int64_t q = 0;
  for (; q + LANES <= width; q += LANES) {
    Vec v = load(c + q);
    v += widen(b + q) * a0;
    v += widen(b + q + b_row) * a1;
    v += widen(b + q + 2 * b_row) * a2;
    v += widen(b + q + 3 * b_row) * a3;
    store(c + q, v);
  }
  for (; q < width; q++) {
    float v = TO_FLOAT(b[q]) * a0 + c[q];
    v = TO_FLOAT(b[q + b_row]) * a1 + v;
    v = TO_FLOAT(b[q + 2 * b_row]) * a2 + v;
    c[q] = TO_FLOAT(b[q + 3 * b_row]) * a3 + v;
  }
}

/* Sums stay in the first cache while rows of B run past them, four at a time. */
static void rows(int64_t m, int64_t n, int64_t k, const float *a, int64_t a_row, const uint16_t *b, int64_t b_row,
                 float *c, int64_t c_row) {
  const int64_t block = ROW_BLOCK / m;
  for (int64_t j = 0; j < n; j += block) {
    int64_t width = n - j < block ? n - j : block, p = 0;
    for (int64_t i = 0; i < m; i++) memset(c + i * c_row + j, 0, (size_t)width * sizeof *c);
    for (; p + 4 <= k; p += 4)
      for (int64_t i = 0; i < m; i++) add_rows(width, a + i * a_row + p, b + p * b_row + j, b_row, c + i * c_row + j);
    for (; p < k; p++)
      for (int64_t i = 0; i < m; i++)
        for (int64_t q = j; q < j + width; q++)
          c[i * c_row + q] = TO_FLOAT(b[p * b_row + q]) * a[i * a_row + p] + c[i * c_row + q];
  }
}

extern const GemmThin VEC(THIN_TABLE);
const GemmThin VEC(THIN_TABLE) = {dots, rows};
