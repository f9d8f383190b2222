/* Matrix products against sums in double (in uint64_t for integers), on every instruction set this machine has. */
#include "base/alloc.h"
#include "base/pool.h"
#include "cpu/gemm.h"
#include "cpu/isa.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int passed, wrong;
static int isa;

static void check(bool ok, const char *what, const Gemm *g) {
  if (ok) {
    passed++;
    return;
  }
  wrong++;
  if (wrong <= 20)
    printf("failed: %s isa %d %s m %d n %d k %d batch %d, A strides %d %d, B strides %d %d, C row %d, threads %d: %s\n",
           what, isa, dtype_info[g->dtype].name, (int)g->m, (int)g->n, (int)g->k, (int)g->batch, (int)g->a_row,
           (int)g->a_col, (int)g->b_row, (int)g->b_col, (int)g->c_row, pool_threads(), fail_message());
  fail_clear();
}

static uint64_t state = 1;
static uint32_t draw(void) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(state >> 33);
}

/* Blocks that end where the elements end, so that the sanitizer sees a read past them. */
static void *elements(DType d, int64_t n) {
  char *p = malloc(n > 0 ? (size_t)n * dtype_size(d) : 1);
  for (int64_t i = 0; i < n; i++) {
    Scalar s = dtype_is_float(d) ? scalar_float((draw() % 2001 - 1000.0) / 1000)
                                 : scalar_int((int64_t)((uint64_t)draw() << 33 ^ draw()));
    scalar_store(s, d, p + i * dtype_size(d));
  }
  return p;
}

/* Places a matrix in memory: rows, columns, or with gaps in both directions. */
typedef enum { ROWS, COLUMNS, WIDE_ROWS, WIDE_COLUMNS, GAPS, LAYOUTS } Layout;
static int64_t lay_out(Layout layout, int64_t rows, int64_t columns, int64_t *row, int64_t *column) {
  switch (layout) {
  case ROWS: *row = columns, *column = 1; break;
  case COLUMNS: *row = 1, *column = rows; break;
  case WIDE_ROWS: *row = columns + 3, *column = 1; break;
  case WIDE_COLUMNS: *row = 1, *column = rows + 5; break;
  default: *row = 2 * columns + 1, *column = 2; break;
  }
  return rows && columns ? (rows - 1) * *row + (columns - 1) * *column + 1 : 0;
}

typedef struct {
  double d;
  uint64_t i;
} Number;
static Number number(DType d, const void *p, int64_t i) {
  Scalar s = scalar_load(d, (const char *)p + i * dtype_size(d));
  return dtype_is_float(d) ? (Number){.d = s.d} : (Number){.i = (uint64_t)s.i};
}

/* Element (i, j) against its sum: to rounding for floats, bit for bit for integers. */
static bool right_element(const Gemm *g, const Number *row, const Number *column, Number add, const void *out) {
  if (!dtype_is_float(g->dtype)) {
    uint64_t sum = 0;
    for (int64_t p = 0; p < g->k; p++) sum += row[p].i * column[p].i;
    sum = sum * (uint64_t)g->alpha.i + (uint64_t)g->beta.i * add.i;
    char want[8];
    scalar_store(scalar_int((int64_t)sum), g->dtype, want);
    return memcmp(want, out, dtype_size(g->dtype)) == 0;
  }
  double unit = g->dtype == MT_F64 ? 1e-15 : 5e-7;
  /* 16-bit floats are summed in float32 and rounded once: half a step of the result besides. */
  double step = g->dtype == MT_F16 ? 0x1p-11 : g->dtype == MT_BF16 ? 0x1p-8 : 0;
  double sum = 0, magnitude = 0;
  for (int64_t p = 0; p < g->k; p++) sum += row[p].d * column[p].d, magnitude += fabs(row[p].d * column[p].d);
  double alpha = scalar_double(g->alpha), beta = scalar_double(g->beta);
  double want = alpha * sum + (beta != 0 ? beta * add.d : 0), got = scalar_double(scalar_load(g->dtype, out));
  return fabs(got - want) <= unit * (4 + fabs(alpha) * magnitude + 2 * fabs(want)) + step * fabs(want);
}

/* Is out what the definition says, started from before? */
static bool right(const Gemm *g, const void *before, const void *out) {
  DType d = g->dtype;
  Number *a = malloc((g->m * g->k + 1) * sizeof *a), *b = malloc((g->k * g->n + 1) * sizeof *b);
  bool ok = true;
  for (int64_t z = 0; z < g->batch && ok; z++) {
    for (int64_t i = 0; i < g->m; i++)
      for (int64_t p = 0; p < g->k; p++)
        a[i * g->k + p] = number(d, g->a, z * g->a_batch + i * g->a_row + p * g->a_col);
    for (int64_t j = 0; j < g->n; j++)
      for (int64_t p = 0; p < g->k; p++)
        b[j * g->k + p] = number(d, g->b, z * g->b_batch + p * g->b_row + j * g->b_col);
    for (int64_t i = 0; i < g->m; i++)
      for (int64_t j = 0; j < g->n && ok; j++) {
        int64_t at = z * g->c_batch + i * g->c_row + j;
        Number add = g->bias ? number(d, g->bias, j) : number(d, before, at);
        ok = right_element(g, a + i * g->k, b + j * g->k, add, (const char *)out + at * dtype_size(d));
      }
  }
  free(a), free(b);
  return ok;
}

/* Runs one product with one thread and with several: right, the same bits, nothing written between the rows of C. */
static void try(Gemm g, Layout a, Layout b, int64_t gap, bool shared_a, bool shared_b, bool bias) {
  int64_t a_count = lay_out(a, g.m, g.k, &g.a_row, &g.a_col), b_count = lay_out(b, g.k, g.n, &g.b_row, &g.b_col);
  g.a_batch = shared_a ? 0 : a_count, g.b_batch = shared_b ? 0 : b_count;
  g.c_row = g.n + gap, g.c_batch = g.m * g.c_row;
  int64_t c_count = g.batch * g.c_batch, size = dtype_size(g.dtype);
  void *pa = elements(g.dtype, shared_a ? a_count : a_count * g.batch);
  void *pb = elements(g.dtype, shared_b ? b_count : b_count * g.batch);
  void *before = elements(g.dtype, c_count), *one = malloc(c_count * size + 1), *two = malloc(c_count * size + 1);
  void *pbias = elements(g.dtype, g.n);
  g.a = pa, g.b = pb, g.bias = bias ? pbias : NULL;
  if (scalar_double(g.beta) == 0 && dtype_is_float(g.dtype))
    for (int64_t i = 0; i < c_count; i++) scalar_store(scalar_float(NAN), g.dtype, (char *)before + i * size);
  memcpy(one, before, c_count * size);
  memcpy(two, before, c_count * size);
  pool_set_threads(1);
  g.c = one;
  bool ok = gemm_batch_isa(isa, &g);
  pool_set_threads((int[]){2, 3, 7}[draw() % 3]);
  g.c = two;
  ok = gemm_batch_isa(isa, &g) && ok;
  bool gaps = true;
  for (int64_t r = 0; r < g.batch * g.m; r++)
    gaps = gaps && memcmp((char *)one + (r * g.c_row + g.n) * size, (char *)before + (r * g.c_row + g.n) * size,
                          gap * size) == 0;
  check(ok && right(&g, before, one), "value", &g);
  check(memcmp(one, two, c_count * size) == 0, "same with several threads", &g);
  check(gaps, "writes outside C", &g);
  free(pa), free(pb), free(before), free(one), free(two), free(pbias);
}

static Gemm shape(DType d, int64_t m, int64_t n, int64_t k, double alpha, double beta) {
  Scalar x = dtype_is_float(d) ? scalar_float(alpha) : scalar_int((int64_t)alpha);
  Scalar y = dtype_is_float(d) ? scalar_float(beta) : scalar_int((int64_t)beta);
  return (Gemm){.dtype = d, .m = m, .n = n, .k = k, .batch = 1, .alpha = x, .beta = y};
}

static void try_sizes(void) {
  static const DType dtypes[] = {MT_F32, MT_F64, MT_I64, MT_I32, MT_I16, MT_I8, MT_U8, MT_F16, MT_BF16};
  static const int64_t sizes[] = {0, 1, 2, 3, 5, 6, 7, 13, 14, 15, 16, 17, 29, 31, 32, 33, 48, 65};
  enum { SIZES = sizeof sizes / sizeof *sizes };
  for (unsigned d = 0; d < sizeof dtypes / sizeof *dtypes; d++)
    for (int round = 0; round < (d < 2 ? 700 : 150); round++) {
      Gemm g = shape(dtypes[d], sizes[draw() % SIZES], sizes[draw() % SIZES], sizes[draw() % SIZES],
                     (int[]){1, 1, 2, -1}[draw() % 4], (int[]){0, 1, 3, 0}[draw() % 4]);
      g.batch = draw() % 4 ? 1 : draw() % 4;
      bool bias = draw() % 4 == 0;
      try(g, draw() % LAYOUTS, draw() % LAYOUTS, draw() % 3, draw() % 3 == 0, draw() % 3 == 0, bias);
    }
  /* Every layout around the edges of the blocks: packed and read in place, several steps of k, threads. */
  static const int64_t large[][3] = {{65, 100, 300}, {200, 130, 70}, {100, 70, 1111}, {1, 500, 600}, {500, 1, 600},
                                     {3, 200, 300},  {150, 1, 2},    {64, 128, 784},  {30, 300, 40}, {129, 257, 513},
                                     {2, 3, 5000},   {8, 1000, 64},  {1000, 8, 64},   {17, 4100, 9}, {4100, 17, 9}};
  for (unsigned s = 0; s < sizeof large / sizeof *large; s++)
    for (int a = 0; a < LAYOUTS; a++)
      for (int b = 0; b < LAYOUTS; b++) {
        const int64_t *z = large[s];
        DType d = draw() % 2 ? MT_F32 : MT_F64;
        if (a == b) d = dtypes[draw() % 9];
        try(shape(d, z[0], z[1], z[2], draw() % 2 ? 1 : 0.5, draw() % 2), a, b, draw() % 2, false, false,
            draw() % 4 == 0);
      }
  for (unsigned s = 0; s < sizeof large / sizeof *large; s++)
    for (int round = 0; round < 6; round++) {
      Gemm g = shape(round % 2 ? MT_F16 : MT_BF16, large[s][0], large[s][1], large[s][2], 1, draw() % 2);
      g.batch = round == 5 ? 3 : 1;
      try(g, round % 3 == 0 ? ROWS : draw() % LAYOUTS, round % 3 == 1 ? COLUMNS : draw() % LAYOUTS, draw() % 2, false,
          round == 5, draw() % 3 == 0);
    }
  for (int b = 0; b < LAYOUTS; b++) {
    Gemm g = shape(MT_F32, 40, 70, 100, 1, 0);
    g.batch = 37;
    try(g, ROWS, b, 0, false, true, true);
    try(g, ROWS, b, 1, true, false, false);
    try(g, COLUMNS, b, 0, false, false, false);
    g.m = 1;
    try(g, ROWS, b, 0, false, true, false);
    g.m = 40, g.n = 1;
    try(g, b, COLUMNS, 0, false, false, true);
  }
}

/* An input of stride 0 is one element, row or column for all. */
static void try_expanded(void) {
  float x[40], y = 2, c[40 * 40];
  for (int i = 0; i < 40; i++) x[i] = (float)i;
  Gemm g = shape(MT_F32, 40, 40, 40, 1, 0);
  g.a = x, g.a_row = 0, g.a_col = 1, g.b = &y, g.b_row = g.b_col = 0, g.c = c, g.c_row = 40;
  bool ok = gemm_batch_isa(isa, &g);
  for (int i = 0; i < 1600; i++) ok = ok && c[i] == 2 * 780;
  check(ok, "expanded inputs", &g);
}

static void try_special(void) {
  static const int64_t shapes[][3] = {{20, 40, 50}, {1, 40, 50}, {20, 1, 50}, {1, 1, 50}, {3, 40, 200}};
  for (unsigned s = 0; s < 5; s++)
    for (int b = 0; b < 2; b++) {
      int64_t m = shapes[s][0], n = shapes[s][1], k = shapes[s][2];
      Gemm g = shape(MT_F32, m, n, k, 1, 0);
      float *a = calloc(m * k, 4), *w = calloc(k * n, 4), *c = calloc(m * n, 4);
      a[0] = 0, a[k - 1] = 1;
      lay_out(ROWS, m, k, &g.a_row, &g.a_col);
      lay_out(b ? COLUMNS : ROWS, k, n, &g.b_row, &g.b_col);
      g.a = a, g.b = w, g.c = c, g.c_row = n;
      w[0] = INFINITY;
      check(gemm_batch_isa(isa, &g) && isnan(c[0]) && (m == 1 || isnan(c[(m - 1) * n])), "0 * inf", &g);
      w[0] = 0, w[(k - 1) * g.b_row] = -INFINITY;
      check(gemm_batch_isa(isa, &g) && c[0] == -INFINITY && (n == 1 || c[n - 1] == 0), "1 * -inf", &g);
      w[(k - 1) * g.b_row] = NAN;
      check(gemm_batch_isa(isa, &g) && isnan(c[0]) && (n == 1 || c[1] == 0), "nan stays in its column", &g);
      g.k = 0, g.beta = scalar_float(2), c[0] = 3;
      if (n > 1) c[1] = -4;
      check(gemm_batch_isa(isa, &g) && c[0] == 6 && (n == 1 || c[1] == -8), "k = 0", &g);
      free(a), free(w), free(c);
    }
}

/* Each allocation fails in turn: false, C as it was, nothing kept. */
static void try_out_of_memory(void) {
  static const DType dtypes[] = {MT_F32, MT_F16, MT_I8};
  for (int t = 0; t < 3; t++) {
    Gemm g = shape(dtypes[t], 100, 200, 300, 1, 0);
    void *a = elements(g.dtype, 30000), *b = elements(g.dtype, 60000), *c = elements(g.dtype, 20000);
    void *before = malloc(20000 * 4);
    memcpy(before, c, 20000 * dtype_size(g.dtype));
    g.a = a, g.a_row = 300, g.a_col = 1, g.b = b, g.b_row = 1, g.b_col = 300, g.c = c, g.c_row = 200;
    int64_t in_use = memory_in_use();
    bool done = false;
    for (int k = 1; k < 10 && !done; k++) {
      memory_fail_at(k, true);
      done = gemm_batch_isa(isa, &g);
      memory_fail_at(0, false);
      if (!done) {
        check(fail_code() == MT_ENOMEM, "code", &g);
        check(memcmp(before, c, 20000 * dtype_size(g.dtype)) == 0, "C unchanged", &g);
        fail_clear();
      }
      check(memory_in_use() == in_use, "memory returned", &g);
    }
    check(done, "enough memory", &g);
    free(a), free(b), free(c), free(before);
  }
}

/* A B that is packed once: how C begins (nothing, C, a row), B both ways, all rows together and one by one. */
static void try_packed(DType d, int64_t m, int64_t n, int64_t k, int start, Layout of_b) {
  Gemm g = shape(d, m, n, k, 1, start > 0);
  int64_t size = dtype_size(d), gap = 3;
  int64_t a_count = lay_out(WIDE_ROWS, m, k, &g.a_row, &g.a_col), b_count = lay_out(of_b, k, n, &g.b_row, &g.b_col);
  int64_t bytes = m * (g.c_row = n + gap) * size;
  void *a = elements(d, a_count), *b = elements(d, b_count), *row = elements(d, n), *before = elements(d, m * g.c_row);
  char *one = malloc((size_t)bytes + 1), *two = malloc((size_t)bytes + 1);
  memcpy(one, before, (size_t)bytes);
  memcpy(two, before, (size_t)bytes);
  g.a = a, g.b = b, g.bias = start == 2 ? row : NULL;
  GemmPacked packed;
  bool ok = gemm_pack(&packed, d, n, k, b, g.b_row, g.b_col), gaps = true;
  for (int64_t i = 0; ok && i < m; i++) {
    char *c = one + i * g.c_row * size;
    gemm_packed(&packed, 1, (char *)a + i * g.a_row * size, g.a_row, c, g.c_row,
                start == 2 ? row
                : start    ? c
                           : NULL,
                0);
    gaps = gaps && memcmp(c + n * size, (char *)before + (i * g.c_row + n) * size, (size_t)(gap * size)) == 0;
  }
  for (int threads = 1; ok && threads <= 3; threads += 2) {
    pool_set_threads(threads);
    memcpy(two, before, (size_t)bytes);
    gemm_packed(&packed, m, a, g.a_row, two, g.c_row, start == 2 ? row : start ? two : NULL, start == 2 ? 0 : g.c_row);
    check(memcmp(one, two, (size_t)bytes) == 0, "packed, same for any rows and threads", &g);
  }
  check(ok && right(&g, before, one), "packed", &g);
  check(gaps, "packed writes outside C", &g);
  gemm_pack_free(&packed);
  free(a), free(b), free(row), free(before), free(one), free(two);
}
static void try_packed_sizes(void) {
  for (int start = 0; start < 3; start++)
    for (int of_b = ROWS; of_b < LAYOUTS; of_b++) {
      try_packed(MT_F32, 17, 71, 37, start, of_b);
      try_packed(MT_F64, 29, 9, 16, start, of_b);
      try_packed(MT_F32, 4, 33, 2100, start, of_b);
      try_packed(MT_F32, 60, 300, 130, start, of_b);
      try_packed(MT_F64, 2, 3, 0, start, of_b);
      try_packed(MT_F32, 0, 5, 4, start, of_b);
      try_packed(MT_F32, 3, 0, 4, start, of_b);
    }
}

/* The products of a batch summed: one after another, the same with any number of threads. */
static void try_sum(DType d, int64_t m, int64_t n, int64_t k, Layout of_a, Layout of_b) {
  enum { BATCH = 5 };
  Gemm g = shape(d, m, n, k, 2, 3), one;
  const int size = dtype_size(d);
  g.a_batch = lay_out(of_a, m, k, &g.a_row, &g.a_col), g.b_batch = lay_out(of_b, k, n, &g.b_row, &g.b_col);
  g.c_row = n;
  void *a = elements(d, BATCH * g.a_batch), *b = elements(d, BATCH * g.b_batch), *before = elements(d, m * n);
  char *want = malloc((size_t)(m * n * size) + 1), *got = malloc((size_t)(m * n * size) + 1);
  memcpy(want, before, (size_t)(m * n * size));
  bool ok = true;
  for (int z = 0; z < BATCH; z++) {
    one = g;
    one.a = (char *)a + z * g.a_batch * size, one.b = (char *)b + z * g.b_batch * size, one.c = want;
    if (z > 0) one.beta = dtype_is_float(d) ? scalar_float(1) : scalar_int(1);
    ok = gemm_batch_isa(isa, &one) && ok;
  }
  g.batch = BATCH, g.a = a, g.b = b, g.c = got;
  for (int threads = 1; threads <= 5; threads += 2) {
    pool_set_threads(threads);
    memcpy(got, before, (size_t)(m * n * size));
    ok = gemm_batch_isa(isa, &g) && ok;
    check(ok && memcmp(want, got, (size_t)(m * n * size)) == 0, "sum of a batch", &g);
  }
  free(a), free(b), free(before), free(want), free(got);
}
static void try_sums(void) {
  static const DType dtypes[] = {MT_F32, MT_F64, MT_I32, MT_I64};
  static const int64_t sizes[][3] = {{3, 2, 5},    {64, 100, 150}, {100, 33, 1100},
                                     {1, 70, 200}, {40, 1, 300},   {300, 9, 64}};
  for (unsigned t = 0; t < 4; t++)
    for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++)
      try_sum(dtypes[t], sizes[s][0], sizes[s][1], sizes[s][2], draw() % LAYOUTS, draw() % LAYOUTS);
}

static void try_interface(void) {
  float a[] = {1, 2, 3, 4, 5, 6}, b[] = {1, 0, 0, 1, 1, 1}, c[] = {1, 1, 1, 1};
  Gemm g = shape(MT_F32, 2, 2, 3, 1, 1);
  bool ok = gemm(MT_F32, 2, 2, 3, 1, a, 3, 1, b, 2, 1, 1, c, 2);
  check(ok && c[0] == 5 && c[1] == 6 && c[2] == 11 && c[3] == 12, "gemm", &g);
  uint8_t flag[1] = {1};
  g.dtype = MT_BOOL;
  ok = gemm(MT_BOOL, 1, 1, 1, 1, flag, 1, 1, flag, 1, 1, 0, flag, 1);
  check(!ok && fail_code() == MT_ENOTIMPL, "bool is refused", &g);
  fail_clear();
  int64_t big = (int64_t)1 << 53 | 1, x = 3, y = 1, z = 0;
  g = shape(MT_I64, 1, 1, 1, 1, 0);
  g.alpha = scalar_int(big), g.a = &x, g.b = &y, g.c = &z, g.a_row = g.a_col = g.b_row = g.b_col = g.c_row = 1;
  check(gemm_batch(&g) && z == 3 * big, "int64 alpha is exact", &g);
}

int main(void) {
  for (isa = ISA_BASE; isa <= isa_level(); isa++) {
    try_sizes();
    try_expanded();
    try_special();
    try_out_of_memory();
    try_sums();
  }
  try_packed_sizes();
  try_interface();
  pool_close();
  memory_trim();
  printf("%d passed, %d failed\n", passed, wrong);
  return wrong != 0;
}
