/* Kernels of the matrix product for bfloat16 on processors that multiply pairs of them (AVX-512 BF16).
 *
 * Panels hold two neighbours of k side by side, an odd last one with a zero; heights are rounded up to even ones and both
 * panels padded with zeros, so that every tile is whole. Where k lies side by side in A, k and m are even, its pairs are read
 * as they lie (a_packed NULL). C is float32 scratch of the caller with room for whole tiles.
 * A sum goes on from what C holds, pair after pair, so its value does not depend on how k is cut at even places. The
 * instruction treats numbers below 2^-126 as zeros, as PyTorch's products on these processors do. */
#include "cpu/gemm.h"
#include "cpu/isa.h"
#include <stddef.h>
#include <string.h>

#if defined(__AVX512F__) && (defined(__clang__) || __GNUC__ >= 10)
#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16")))
#define INLINE static inline __attribute__((always_inline)) TARGET
#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
enum { MR = 14, NV = 2, LANES = 16, NR = NV * LANES, AHEAD = 16, HALF = 2, PAIR = 4 };

static int64_t least(int64_t x, int64_t y) { return x < y ? x : y; }

/* Two neighbours of k, which need not be aligned, in every lane. */
INLINE __m512bh pair(const char *a) {
  int32_t two;
  memcpy(&two, a, sizeof two);
  return (__m512bh)_mm512_set1_epi32(two);
}

/* c (mr, NR) += a b over `pairs` pairs of k; c is taken as zeros when `first`. Pairs of A are a_row and a_col bytes apart. */
INLINE void tile(const int mr, int64_t pairs, const char *a, int64_t a_row, int64_t a_col, const uint16_t *b, float *c,
                 int64_t c_row, bool first) {
  __m512 sum[MR][NV];
  UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < NV; j++) {
    sum[i][j] = first ? _mm512_setzero_ps() : _mm512_loadu_ps(c + i * c_row + j * LANES);
  }
  for (int64_t p = 0; p < pairs; p++, a += a_col, b += 2 * NR) {
    __m512bh row[NV];
    UNROLL for (int j = 0; j < NV; j++) row[j] = (__m512bh)_mm512_loadu_si512(b + j * 2 * LANES);
    UNROLL for (int i = 0; i < mr; i++) {
      __m512bh one = pair(a + i * a_row);
      UNROLL for (int j = 0; j < NV; j++) sum[i][j] = _mm512_dpbf16_ps(sum[i][j], row[j], one);
    }
  }
  UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < NV; j++)
      _mm512_storeu_ps(c + i * c_row + j * LANES, sum[i][j]);
}

typedef void TileFn(int64_t pairs, const char *a, int64_t a_row, int64_t a_col, const uint16_t *b, float *c,
                    int64_t c_row, bool first);
#define TILE(mr)                                                                                              \
  TARGET static void tile_##mr(int64_t pairs, const char *a, int64_t a_row, int64_t a_col, const uint16_t *b, \
                               float *c, int64_t c_row, bool first) {                                         \
    tile(mr, pairs, a, a_row, a_col, b, c, c_row, first);                                                     \
  }
TILE(2)
TILE(4)
TILE(6)
TILE(8)
TILE(10)
TILE(12)
TILE(14)
static TileFn *const tile_fn[] = {tile_2, tile_4, tile_6, tile_8, tile_10, tile_12, tile_14};

static int64_t height_of(int64_t rows) { return (rows + 1) / 2 * 2; }

TARGET static void tiles(const GemmBlock *g, int64_t i0, int64_t i1, int64_t j0, int64_t j1) {
  const int64_t pairs = (g->k + 1) / 2;
  const bool first = *(const float *)g->beta == 0;
  for (int64_t j = j0; j < j1; j += NR)
    for (int64_t i = i0; i < i1; i += MR) {
      int64_t height = height_of(least(MR, i1 - i));
      const char *a =
          g->a_packed ? (const char *)g->a_packed + i * pairs * PAIR : (const char *)g->a + i * g->a_row * HALF;
      int64_t a_row = g->a_packed ? PAIR : g->a_row * HALF, a_col = g->a_packed ? height * PAIR : PAIR;
      tile_fn[height / 2 - 1](pairs, a, a_row, a_col, (const uint16_t *)g->b_packed + j * 2 * pairs,
                              (float *)g->c + i * g->c_row + j, g->c_row, first);
    }
}

/* ---- packing: to[(p * width + w) * 2 + q] = from[w * w_stride + (2 p + q) * k_stride] ---- */

static void pack_any(uint16_t *to, int64_t width, const uint16_t *from, int64_t w_stride, int64_t k_stride,
                     int64_t present, int64_t k) {
  for (int64_t p = 0; p < k; p += 2)
    for (int64_t w = 0; w < width; w++) {
      const uint16_t *at = from + w * w_stride + p * k_stride;
      to[p * width + 2 * w] = w < present ? at[0] : 0;
      to[p * width + 2 * w + 1] = w < present && p + 1 < k ? at[k_stride] : 0;
    }
}

/* The columns lie side by side: two rows of k are zipped. */
TARGET static void pack_rows(uint16_t *to, int64_t width, const uint16_t *from, int64_t k_stride, int64_t present,
                             int64_t k) {
  const __m512i even = _mm512_cvtepu16_epi32(_mm256_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
  const __m512i low = _mm512_or_si512(even, _mm512_slli_epi32(_mm512_add_epi32(even, _mm512_set1_epi32(32)), 16));
  const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
  const __mmask32 there = present < NR ? (1u << present) - 1 : ~0u;
  const __mmask16 first = width < LANES ? (__mmask16)((1u << width) - 1) : (__mmask16)~0u;
  for (int64_t p = 0; p < k; p += 2) {
    const uint16_t *at = from + p * k_stride;
    __m512i x = _mm512_maskz_loadu_epi16(there, at), y = _mm512_setzero_si512();
    if (p + 1 < k) y = _mm512_maskz_loadu_epi16(there, at + k_stride);
    __builtin_prefetch(at + AHEAD * k_stride), __builtin_prefetch(at + (AHEAD + 1) * k_stride);
    _mm512_mask_storeu_epi32(to + p * width, first, _mm512_permutex2var_epi16(x, low, y));
    if (width == NR) _mm512_storeu_si512(to + p * width + NR, _mm512_permutex2var_epi16(x, high, y));
  }
}

/* k lies side by side: squares of 16 pairs are transposed by four perfect shuffles. */
TARGET static void pack_columns(uint16_t *to, int64_t width, const uint16_t *from, int64_t w_stride, int64_t present,
                                int64_t k) {
  const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const __m512i high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  int64_t p = 0;
  for (; p + 2 * LANES <= k; p += 2 * LANES)
    for (int64_t w = 0; w < width; w += LANES) {
      __mmask16 places = (__mmask16)((1u << least(LANES, width - w)) - 1);
      __m512i v[LANES], t[LANES];
      UNROLL for (int i = 0; i < LANES; i++) {
        v[i] = w + i < present ? _mm512_loadu_si512(from + (w + i) * w_stride + p) : _mm512_setzero_si512();
        __builtin_prefetch(from + (w + i + width) * w_stride + p);
      }
      UNROLL for (int stage = 0; stage < 4; stage++) {
        UNROLL for (int i = 0; i < LANES / 2; i++) {
          t[2 * i] = _mm512_permutex2var_epi32(v[i], low, v[i + LANES / 2]);
          t[2 * i + 1] = _mm512_permutex2var_epi32(v[i], high, v[i + LANES / 2]);
        }
        UNROLL for (int i = 0; i < LANES; i++) v[i] = t[i];
      }
      UNROLL for (int i = 0; i < LANES; i++) {
        _mm512_mask_storeu_epi32(to + (p + 2 * i) * width + 2 * w, places, v[i]);
      }
    }
  pack_any(to + p * width, width, from + p, w_stride, 1, present, k - p);
}

static void pack(uint16_t *to, int64_t width, const uint16_t *from, int64_t w_stride, int64_t k_stride, int64_t present,
                 int64_t k) {
  if (w_stride == 1)
    pack_rows(to, width, from, k_stride, present, k);
  else if (k_stride == 1)
    pack_columns(to, width, from, w_stride, present, k);
  else
    pack_any(to, width, from, w_stride, k_stride, present, k);
}

static void pack_a(const GemmBlock *g, int64_t i0, int64_t i1) {
  const int64_t even = (g->k + 1) / 2 * 2;
  for (int64_t i = i0; i < i1; i += MR) {
    int64_t rows = least(MR, i1 - i);
    pack((uint16_t *)g->a_packed + i * even, height_of(rows), (const uint16_t *)g->a + i * g->a_row, g->a_row, g->a_col,
         rows, g->k);
  }
}

static void pack_b(const GemmBlock *g, int64_t j0, int64_t j1) {
  const int64_t even = (g->k + 1) / 2 * 2;
  for (int64_t j = j0; j < j1; j += NR)
    pack((uint16_t *)g->b_packed + j * even, NR, (const uint16_t *)g->b + j * g->b_col, g->b_col, g->b_row,
         least(NR, j1 - j), g->k);
}

extern const GemmKernels VEC(gemm_bf16);
const GemmKernels VEC(gemm_bf16) = {
    .mr = MR, .nr = NR, .lanes = LANES, .size = 2, .pack_a = pack_a, .pack_b = pack_b, .tiles = tiles};
#elif defined(__AVX512F__)
extern const GemmKernels VEC(gemm_bf16);
const GemmKernels VEC(gemm_bf16) = {.tiles = NULL}; /* a compiler that does not know the instruction */
#endif
