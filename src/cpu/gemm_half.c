/* Matrix products of 16-bit floats: summed in float32, rounded once.
 *
 * Operands are widened panel by panel while they are packed, or packed as they are where the processor multiplies pairs
 * of bfloat16; no operand is copied whole. A block of C is summed in float32 scratch through all of k, then scaled, added to
 * and rounded. Thin products are limited by reading B, which is widened on the way. All
 * cuts that an element's value depends on follow from shapes and strides, never from the number of threads. */
#include "base/alloc.h"
#include "base/pool.h"
#include "base/size.h"
#include "cpu/copy.h"
#include "cpu/gemm.h"
#include "cpu/isa.h"

VEC_TABLE(GemmThin, gemm_thin_bf16);
VEC_TABLE(GemmThin, gemm_thin_f16);
#if defined(__x86_64__)
extern const GemmKernels gemm_bf16_avx512;
#endif

enum {
  THREAD_WORK = 1 << 18, /* multiplications that are worth handing to another thread */
  MOST_STEP = 1024,      /* of k, packed together; even */
  MOST_ROWS = 2048,      /* of C summed at a time */
  MOST_COLUMNS = 1024,
  TASK_COLUMNS = 512,   /* of C that one thread computes before it rounds them */
  WIDE_ELEMENTS = 2048, /* of a panel, widened at a time for packing */
  THIN = 8,             /* rows of A that are not worth packing B for, where k is contiguous in B */
  THIN_ROWS = 4,        /* where B's rows are */
  ROUND_PIECE = 512
};

static const float one = 1, zero = 0;
static int64_t least(int64_t x, int64_t y) { return x < y ? x : y; }
static int64_t most(int64_t x, int64_t y) { return x > y ? x : y; }
static int64_t quotient_up(int64_t n, int64_t d) { return (n - 1) / d + 1; }
static int64_t whole(int64_t n, int64_t unit) { return quotient_up(n, unit) * unit; }
/* n in parts of nearly one length, at most `limit` each. */
static int64_t share_of(int64_t n, int64_t limit) { return quotient_up(n, quotient_up(n, limit)); }

/* ---- a product and what was decided for it ---- */

typedef enum { BY_TILES, BY_DOTS, BY_ROWS } Method;
typedef struct {
  Gemm g;
  int64_t c_col; /* of C, which a transposed product has */
  int64_t bias_row, bias_col;
  float alpha, beta;
  Method method;
  bool pairs; /* bfloat16 is multiplied as it is */
  const GemmKernels *kernels, *wide;
  const GemmThin *thin;
  RowFn widen, narrow;                      /* between any strides */
  const Halves *halves;                     /* of packed elements */
  int64_t rows, columns, step;              /* of C, and of k, at a time; scratch has whole tiles of them */
  int64_t a_bytes, b_bytes, c_bytes, bytes; /* of the workspace */
} Half;

static const GemmKernels *pair_kernels(int isa, const Gemm *g) {
#if defined(__x86_64__)
  /* below that packing pairs costs more than it gains */
  if (g->dtype == MT_BF16 && isa == ISA_AVX512 && (double)g->m * g->n * g->k > 4096 && gemm_bf16_avx512.tiles &&
      __builtin_cpu_supports("avx512bf16"))
    return &gemm_bf16_avx512;
#endif
  return NULL;
}

/* C^T = B^T A^T. */
static void transpose_product(Half *h) {
  Gemm t = h->g;
  Gemm *g = &h->g;
  g->m = t.n, g->n = t.m;
  g->a = t.b, g->a_row = t.b_col, g->a_col = t.b_row, g->a_batch = t.b_batch;
  g->b = t.a, g->b_row = t.a_col, g->b_col = t.a_row, g->b_batch = t.a_batch;
  g->c_row = h->c_col, h->c_col = t.c_row;
  h->bias_row = 1, h->bias_col = 0;
}

static bool plan(Half *h, int isa) {
  Gemm *g = &h->g;
  if (g->n < g->m && g->n <= THIN) transpose_product(h);
  if (g->m == 1) g->a_row = g->k;
  if (g->n == 1) g->b_col = g->k;
  h->method = g->m <= THIN && g->b_row == 1 ? BY_DOTS : g->m <= THIN_ROWS && g->b_col == 1 ? BY_ROWS : BY_TILES;
  h->wide = gemm_kernels(isa, MT_F32);
  h->thin = g->dtype == MT_BF16 ? VEC_AT(isa, gemm_thin_bf16) : VEC_AT(isa, gemm_thin_f16);
  h->halves = g->dtype == MT_BF16 ? &VEC_AT(isa, cast_table)->bf16 : &VEC_AT(isa, cast_table)->f16;
  h->widen = VEC_AT(isa, cast_table)->cast[g->dtype][MT_F32];
  h->narrow = VEC_AT(isa, cast_table)->cast[MT_F32][g->dtype];
  int64_t a_count, b_count, c_count;
  if (h->method == BY_TILES) {
    const GemmKernels *pairs = pair_kernels(isa, g);
    h->pairs = pairs != NULL;
    h->kernels = pairs ? pairs : h->wide;
    h->step = whole(share_of(most(g->k, 1), MOST_STEP), 2);
    h->rows = whole(share_of(g->m, MOST_ROWS), h->kernels->mr);
    h->columns = whole(share_of(g->n, MOST_COLUMNS), h->kernels->nr);
    a_count = h->rows * h->step, b_count = h->columns * h->step, c_count = h->rows * h->columns;
  } else {
    h->kernels = h->wide;
    h->rows = g->m, h->columns = g->n, h->step = g->k;
    b_count = 0;
    if (!size_mul(g->m, g->k, &a_count) || !size_mul(g->m, g->n, &c_count)) return false;
  }
  if (!size_mul(a_count, h->kernels->size == 2 ? 2 : 4, &h->a_bytes)) return false;
  if (!size_mul(c_count, 4, &h->c_bytes)) return false;
  h->a_bytes = whole(h->a_bytes + 64, 64), h->b_bytes = whole(b_count * h->kernels->size + 64, 64);
  return size_add(h->c_bytes, h->a_bytes + h->b_bytes, &h->bytes);
}

static void widen_line(const Half *h, float *to, const uint16_t *from, int64_t stride, int64_t n) {
  if (stride == 1)
    h->halves->widen(from, to, n);
  else
    h->widen((char *[]){(char *)to, (char *)(uintptr_t)from}, (int64_t[]){4, 2 * stride}, n, NULL);
}

/* rows x columns floats, contiguous along the source's smaller stride; to has the strides that are returned. */
static void widen_block(const Half *h, float *to, const uint16_t *from, int64_t rows, int64_t columns, int64_t row,
                        int64_t column, int64_t *to_row, int64_t *to_column) {
  bool across = column <= row;
  int64_t lines = across ? rows : columns, length = across ? columns : rows;
  int64_t line = across ? row : column, step = across ? column : row;
  for (int64_t i = 0; i < lines; i++) widen_line(h, to + i * length, from + i * line, step, length);
  *to_row = across ? columns : 1, *to_column = across ? 1 : rows;
}

/* ---- one block of C with one step of k ---- */

typedef struct {
  const Half *half;
  GemmBlock block;
  int64_t a_panels, b_panels; /* to be packed */
  int64_t task_rows, task_columns, tasks_across;
  bool last;
  uint16_t *c;         /* the block's own first element */
  const uint16_t *add; /* what beta multiplies there, or NULL */
  int64_t add_row, add_col;
} Run;

/* Widens a panel's part of k after part and lets the float32 kernel pack it there. */
static void pack_wide_a(const Run *run, int64_t i0, int64_t i1) {
  const Half *h = run->half;
  const GemmBlock *g = &run->block;
  float buffer[WIDE_ELEMENTS];
  const int64_t piece = WIDE_ELEMENTS / (i1 - i0);
  for (int64_t p = 0; p < g->k; p += piece) {
    GemmBlock part = {.m = i1 - i0, .k = least(piece, g->k - p), .a = buffer};
    const uint16_t *from = (const uint16_t *)g->a + i0 * g->a_row + p * g->a_col;
    widen_block(h, buffer, from, part.m, part.k, g->a_row, g->a_col, &part.a_row, &part.a_col);
    part.a_packed = (float *)g->a_packed + i0 * g->k + p * part.m;
    h->wide->pack_a(&part, 0, part.m);
  }
}
static void pack_wide_b(const Run *run, int64_t j0, int64_t j1) {
  const Half *h = run->half;
  const GemmBlock *g = &run->block;
  float buffer[WIDE_ELEMENTS];
  const int64_t piece = WIDE_ELEMENTS / (j1 - j0);
  for (int64_t p = 0; p < g->k; p += piece) {
    GemmBlock part = {.n = j1 - j0, .k = least(piece, g->k - p), .b = buffer};
    const uint16_t *from = (const uint16_t *)g->b + j0 * g->b_col + p * g->b_row;
    widen_block(h, buffer, from, part.k, part.n, g->b_row, g->b_col, &part.b_row, &part.b_col);
    part.b_packed = (float *)g->b_packed + j0 * g->k + p * whole(part.n, h->wide->lanes);
    h->wide->pack_b(&part, 0, part.n);
  }
}

static void pack_task(void *context, int64_t begin, int64_t end) {
  const Run *run = context;
  const Half *h = run->half;
  const GemmBlock *g = &run->block;
  const int mr = h->kernels->mr, nr = h->kernels->nr;
  for (int64_t panel = begin; panel < end; panel++) {
    if (panel < run->a_panels) {
      int64_t i0 = panel * mr, i1 = least(i0 + mr, g->m);
      if (h->pairs)
        h->kernels->pack_a(g, i0, i1);
      else
        pack_wide_a(run, i0, i1);
    } else {
      int64_t j0 = (panel - run->a_panels) * nr, j1 = least(j0 + nr, g->n);
      if (h->pairs)
        h->kernels->pack_b(g, j0, j1);
      else
        pack_wide_b(run, j0, j1);
    }
  }
}

/* Rows [i0, i1), columns [j0, j1) of C: alpha * sum + beta * add, rounded. */
static void finish(const Run *run, int64_t i0, int64_t i1, int64_t j0, int64_t j1) {
  const Half *h = run->half;
  float added[ROUND_PIECE];
  for (int64_t i = i0; i < i1; i++)
    for (int64_t j = j0; j < j1; j += ROUND_PIECE) {
      int64_t n = least(ROUND_PIECE, j1 - j);
      float *sum = (float *)run->block.c + i * run->block.c_row + j;
      if (run->add) {
        const uint16_t *add = run->add + i * run->add_row + j * run->add_col;
        widen_line(h, added, add, run->add_col, n);
        for (int64_t q = 0; q < n; q++) sum[q] = h->alpha * sum[q] + h->beta * added[q];
      } else if (h->alpha != 1) {
        for (int64_t q = 0; q < n; q++) sum[q] *= h->alpha;
      }
      uint16_t *to = run->c + i * h->g.c_row + j * h->c_col;
      if (h->c_col == 1)
        h->halves->narrow(sum, to, n);
      else
        h->narrow((char *[]){(char *)to, (char *)sum}, (int64_t[]){2 * h->c_col, 4}, n, NULL);
    }
}

static void compute_task(void *context, int64_t begin, int64_t end) {
  const Run *run = context;
  const GemmBlock *g = &run->block;
  for (int64_t t = begin; t < end; t++) {
    int64_t i0 = t / run->tasks_across * run->task_rows, j0 = t % run->tasks_across * run->task_columns;
    int64_t i1 = least(i0 + run->task_rows, g->m), j1 = least(j0 + run->task_columns, g->n);
    run->half->kernels->tiles(g, i0, i1, j0, j1);
    if (run->last) finish(run, i0, i1, j0, j1);
  }
}

/* Tasks of whole tiles, smaller ones if threads want them. */
static void compute(Run *run, bool threads) {
  const GemmBlock *g = &run->block;
  const int mr = run->half->kernels->mr, nr = run->half->kernels->nr;
  int64_t rows = least(whole(g->m, mr), 8 * mr), columns = least(whole(g->n, nr), TASK_COLUMNS / nr * nr);
  int64_t wanted = threads ? 4 * pool_threads() : 1;
  for (;;) {
    if (quotient_up(g->m, rows) * quotient_up(g->n, columns) >= wanted || (rows <= mr && columns <= nr)) break;
    if (columns > nr && (columns >= rows || rows <= mr))
      columns = whole(quotient_up(columns, 2), nr);
    else
      rows = whole(quotient_up(rows, 2), mr);
  }
  run->task_rows = rows, run->task_columns = columns, run->tasks_across = quotient_up(g->n, columns);
  int64_t tasks = quotient_up(g->m, rows) * run->tasks_across;
  if (threads)
    parallel_for(tasks, 1, compute_task, run);
  else
    compute_task(run, 0, tasks);
}

/* The operands' and the result's places for matrix `index` of the batch. */
static void begin_run(Run *run, const Half *h, int64_t index, char *workspace) {
  const Gemm *g = &h->g;
  *run = (Run){.half = h, .c = (uint16_t *)g->c + index * g->c_batch};
  run->block = (GemmBlock){.a = (const uint16_t *)g->a + index * g->a_batch,
                           .a_row = g->a_row,
                           .a_col = g->a_col,
                           .b = (const uint16_t *)g->b + index * g->b_batch,
                           .b_row = g->b_row,
                           .b_col = g->b_col,
                           .c = workspace + h->a_bytes + h->b_bytes,
                           .c_row = h->columns,
                           .add = workspace + h->a_bytes + h->b_bytes,
                           .add_row = h->columns,
                           .alpha = &one};
  if (g->bias)
    run->add = g->bias, run->add_row = h->bias_row, run->add_col = h->bias_col;
  else if (h->beta != 0)
    run->add = run->c, run->add_row = g->c_row, run->add_col = h->c_col;
}

static void run_tiles(const Half *h, int64_t index, char *workspace, bool threads) {
  const Gemm *all = &h->g;
  const int mr = h->kernels->mr, nr = h->kernels->nr;
  Run first, run;
  begin_run(&first, h, index, workspace);
  for (int64_t j = 0; j < all->n; j += h->columns)
    for (int64_t i = 0; i < all->m; i += h->rows)
      for (int64_t p = 0; p < most(all->k, 1); p += h->step) {
        run = first;
        GemmBlock *g = &run.block;
        g->m = least(h->rows, all->m - i), g->n = least(h->columns, all->n - j), g->k = least(h->step, all->k - p);
        g->a = (const uint16_t *)g->a + i * all->a_row + p * all->a_col;
        g->b = (const uint16_t *)g->b + j * all->b_col + p * all->b_row;
        g->a_packed = workspace, g->b_packed = workspace + h->a_bytes;
        g->beta = p == 0 ? &zero : &one;
        run.c += i * all->c_row + j * h->c_col;
        if (run.add) run.add += i * run.add_row + j * run.add_col;
        run.last = p + h->step >= all->k;
        /* Pairs that lie as the kernel reads them stay where they are, unless rows fall into the same lines of the cache. */
        if (h->pairs && g->a_col == 1 && g->k % 2 == 0 && g->m % 2 == 0 && g->a_row * 2 % 4096 != 0) g->a_packed = NULL;
        run.a_panels = g->a_packed ? quotient_up(g->m, mr) : 0;
        /* One step of k: B's panels stay for the blocks of rows that follow. */
        run.b_panels = i > 0 && h->step >= all->k ? 0 : quotient_up(g->n, nr);
        int64_t panels = run.a_panels + run.b_panels;
        if (threads && panels * g->k * nr > THREAD_WORK / 8)
          parallel_for(panels, quotient_up(panels, 4 * pool_threads()), pack_task, &run);
        else
          pack_task(&run, 0, panels);
        compute(&run, threads);
      }
}

/* ---- thin products ---- */

static void thin_task(void *context, int64_t begin, int64_t end) {
  Run *run = context;
  const Half *h = run->half;
  const Gemm *all = &h->g;
  for (int64_t t = begin; t < end; t++) {
    int64_t j0 = t * run->task_columns, j1 = least(j0 + run->task_columns, all->n);
    const uint16_t *b = (const uint16_t *)run->block.b + j0 * all->b_col;
    float *c = (float *)run->block.c + j0;
    if (h->method == BY_DOTS)
      h->thin->dots(all->m, j1 - j0, all->k, run->block.a, all->k, b, all->b_col, c, all->n);
    else
      h->thin->rows(all->m, j1 - j0, all->k, run->block.a, all->k, b, all->b_row, c, all->n);
    finish(run, 0, all->m, j0, j1);
  }
}

static void run_thin(const Half *h, int64_t index, char *workspace, bool threads) {
  const Gemm *all = &h->g;
  Run run;
  begin_run(&run, h, index, workspace);
  for (int64_t i = 0; i < all->m; i++)
    widen_line(h, (float *)workspace + i * all->k, (const uint16_t *)run.block.a + i * all->a_row, all->a_col, all->k);
  run.block.a = workspace;
  run.task_columns = all->n;
  if (threads) run.task_columns = most(16, quotient_up(quotient_up(all->n, 4 * pool_threads()), 16) * 16);
  int64_t tasks = quotient_up(all->n, run.task_columns);
  if (threads)
    parallel_for(tasks, 1, thin_task, &run);
  else
    thin_task(&run, 0, tasks);
}

/* ---- batches ---- */

typedef struct {
  const Half *half;
  int64_t per_chunk; /* matrices */
  char *workspace;   /* half->bytes for each chunk */
} Batch;

static void run_one(const Half *h, int64_t index, char *workspace, bool threads) {
  if (h->method == BY_TILES)
    run_tiles(h, index, workspace, threads);
  else
    run_thin(h, index, workspace, threads);
}

static void batch_task(void *context, int64_t begin, int64_t end) {
  const Batch *batch = context;
  const Half *h = batch->half;
  for (int64_t chunk = begin; chunk < end; chunk++) {
    int64_t last = least((chunk + 1) * batch->per_chunk, h->g.batch);
    for (int64_t i = chunk * batch->per_chunk; i < last; i++) run_one(h, i, batch->workspace + chunk * h->bytes, false);
  }
}

bool gemm_half(int isa, const Gemm *given) {
  Half h = {.g = *given,
            .c_col = 1,
            .bias_col = 1,
            .alpha = (float)scalar_double(given->alpha),
            .beta = (float)scalar_double(given->beta)};
  if (h.beta == 0) h.g.bias = NULL;
  Gemm *g = &h.g;
  if (g->batch > 1 && g->b_batch == 0 && g->a_batch == g->m * g->a_row && g->c_batch == g->m * g->c_row)
    g->m *= g->batch, g->batch = 1; /* one B for all: the rows of all A are one matrix */
  if (!plan(&h, isa)) return false;
  double each = (double)g->m * g->n * most(g->k, 1), total = each * g->batch;
  bool threads = total >= 2 * THREAD_WORK && pool_threads() > 1;
  bool by_matrix = threads && g->batch > 1 && each < 16.0 * THREAD_WORK * pool_threads();
  int64_t chunks = by_matrix ? least(g->batch, 4 * pool_threads()) : 1, bytes;
  Batch batch = {.half = &h, .per_chunk = quotient_up(g->batch, chunks)};
  chunks = quotient_up(g->batch, batch.per_chunk);
  if (!size_mul(h.bytes, chunks, &bytes)) return false;
  batch.workspace = block_alloc((size_t)bytes);
  if (!batch.workspace) return false;
  if (by_matrix)
    parallel_for(chunks, 1, batch_task, &batch);
  else
    for (int64_t i = 0; i < g->batch; i++) run_one(&h, i, batch.workspace, threads);
  block_free(batch.workspace, (size_t)bytes);
  return true;
}
