/* Matrix products: how one is cut into blocks, what is packed, who computes what.
 *
 * k is cut into steps whose packed panels fit the caches, C into blocks of whole tiles that threads take in turn. Both
 * cuts, and the choice between the kernels, follow from shapes and strides; the number of threads only decides how many
 * blocks C is cut into, which no element's value depends on. Memory is taken before C is touched. */
#include "cpu/gemm.h"
#include "base/alloc.h"
#include "base/pool.h"
#include "base/size.h"
#include "cpu/blas.h"
#include "cpu/isa.h"
#include <string.h>
#include <unistd.h>

VEC_TABLE(GemmKernels, gemm_f32);
VEC_TABLE(GemmKernels, gemm_f64);
VEC_TABLE(GemmKernels, gemm_u32);
VEC_TABLE(GemmKernels, gemm_u64);

#if defined(__x86_64__)
#define AT(isa, name) ((isa) == ISA_AVX512 ? &name##_avx512 : (isa) == ISA_AVX2 ? &name##_avx2 : &name##_base)
#else
#define AT(isa, name) (&name##_base)
#endif

const GemmKernels *gemm_kernels(int isa, DType d) {
  switch (d) {
  case MT_F32: return AT(isa, gemm_f32);
  case MT_F64: return AT(isa, gemm_f64);
  case MT_I32: return AT(isa, gemm_u32);
  case MT_I64: return AT(isa, gemm_u64);
  default: return NULL;
  }
}

enum {
  THREAD_WORK = 1 << 18,   /* multiplications that are worth handing to another thread */
  SMALL_WORKSPACE = 16384, /* bytes of packed panels that live on the stack */
  MOST_ROWS = 2048,
  MOST_COLUMNS = 2048 /* of A and B packed at a time */
};

/* Bytes of a core's second cache; of a usual one where results must not depend on the machine. */
static int64_t cache_bytes(void) {
  if (deterministic().on) return 1 << 20;
  static _Atomic int64_t found; /* every thread finds the same */
  int64_t bytes = found;
  if (bytes == 0) {
#ifdef _SC_LEVEL2_CACHE_SIZE
    bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
    found = bytes = bytes >= 1 << 17 && bytes <= 1 << 26 ? bytes : 1 << 19;
  }
  return bytes;
}

static int64_t least(int64_t x, int64_t y) { return x < y ? x : y; }
static int64_t most(int64_t x, int64_t y) { return x > y ? x : y; }
static int64_t quotient_up(int64_t n, int64_t d) { return (n - 1) / d + 1; }
static int64_t whole(int64_t n, int64_t unit) { return quotient_up(n, unit) * unit; }
static const void *element(const void *p, int64_t i, int size) { return (const char *)p + i * size; }

/* ---- the plan of one product ---- */

typedef enum { BY_TILES, BY_DOTS, BY_ROW } Method;
typedef union {
  int64_t i;
  double d;
} Element;

/* What is decided once for all matrices of a batch. Pointers in `whole` are the first matrix's. */
typedef struct {
  const GemmKernels *kernels;
  Method method;
  GemmBlock all;
  bool pack_a, pack_b;         /* pack_b: all of B; else only the columns from all.b_first on */
  int64_t step, rows, columns; /* of k; of A and of B packed at a time */
  int64_t block_rows;          /* rows of A that stay in the second cache */
  int64_t a_bytes, bytes;      /* workspace: A's part, then B's */
  Element alpha, beta, one;
} Plan;

/* Packing B costs as much as some rows of the product: with few rows, or a B that no cache holds, and sums long enough
 * to be worth adding up across a vector, dot products are faster. One row or column is limited by reading. */
static Method choose_method(const GemmKernels *kernels, const GemmBlock *g) {
  if (!kernels->dots) return BY_TILES;
  if (g->a_col == 1 && g->b_row == 1) {
    int64_t few = least(g->m, g->n), vectors = g->k / kernels->lanes;
    bool large = (double)g->k * g->n * kernels->size > cache_bytes();
    if (few == 1 || (few <= 4 && vectors >= 16) || (vectors >= 32 && g->m <= (large ? 64 : 24))) return BY_DOTS;
  }
  if (g->m == 1 && g->b_col == 1) return BY_ROW;
  return BY_TILES;
}

/* k is cut into steps of nearly one length, such that a panel of B takes an eighth of the second cache. */
static int64_t step_of(const GemmKernels *kernels, int64_t k) {
  int64_t step = most(256, least(1024, cache_bytes() / 8 / (kernels->nr * kernels->size)));
  return whole(quotient_up(most(k, 1), quotient_up(most(k, 1), step)), 8);
}

static void plan_tiles(Plan *plan) {
  const GemmKernels *kernels = plan->kernels;
  GemmBlock *g = &plan->all;
  const int size = kernels->size, mr = kernels->mr, nr = kernels->nr;
  const int64_t cache = cache_bytes();
  plan->step = step_of(kernels, g->k);
  plan->block_rows = most(1, cache / 2 / (plan->step * size) / mr) * mr;
  plan->rows = least(g->m, MOST_ROWS / mr * mr);
  plan->columns = least(g->n, MOST_COLUMNS / nr * nr);

  /* Packing pays where an operand is read often and does not stay in the cache as it lies, unless k runs through it in one
   * piece; rows a multiple of a page apart fall into the same few lines of the cache. */
  bool clash = g->a_row != 1 && g->a_row * size % 4096 == 0;
  plan->pack_a = g->n > 2 * nr && (clash || (g->a_col != 1 && (double)g->m * g->k * size > cache / 2)) &&
                 !(g->a_row == 1 && g->m <= mr);
  plan->pack_b = g->b_col != 1 || (g->m > 8 * mr && (double)g->k * g->n * size > cache / 2);
  if (plan->pack_b)
    g->b_first = 0;
  else {
    int64_t tail = g->n % nr;
    g->b_first = tail % kernels->lanes ? g->n - tail : g->n;
    if (g->n > plan->columns) plan->columns = whole(g->n, nr); /* nothing to hold at a time */
  }
  int64_t a_elements = plan->pack_a ? plan->step * plan->rows : 0;
  int64_t b_columns = plan->pack_b ? plan->columns : g->n - g->b_first;
  plan->a_bytes = whole(a_elements * size + 1, 64);
  plan->bytes = plan->a_bytes + plan->step * whole(b_columns + 1, kernels->lanes) * size;
  if (!plan->pack_a && b_columns == 0) plan->bytes = 0;
}

/* ---- running it ---- */

typedef struct {
  const Plan *plan;
  GemmBlock block;
  int64_t task_rows, task_columns, tasks_across;
  int64_t a_panels; /* that are packed before the tasks begin; panels of B follow them */
  bool task_packs;  /* each task packs its columns of B: no other task has the same */
} Run;

static void pack_task(void *context, int64_t begin, int64_t end) {
  Run *run = context;
  const GemmKernels *kernels = run->plan->kernels;
  const GemmBlock *g = &run->block;
  int64_t a_end = least(end, run->a_panels), b_begin = most(begin - run->a_panels, 0), b_end = end - run->a_panels;
  if (begin < a_end) kernels->pack_a(g, begin * kernels->mr, least(a_end * kernels->mr, g->m));
  if (b_begin < b_end)
    kernels->pack_b(g, g->b_first + b_begin * kernels->nr, least(g->b_first + b_end * kernels->nr, g->n));
}

static void compute_task(void *context, int64_t begin, int64_t end) {
  Run *run = context;
  const GemmKernels *kernels = run->plan->kernels;
  const GemmBlock *g = &run->block;
  for (int64_t t = begin; t < end; t++) {
    int64_t i0 = t / run->tasks_across * run->task_rows, j0 = t % run->tasks_across * run->task_columns;
    int64_t i1 = least(i0 + run->task_rows, g->m), j1 = least(j0 + run->task_columns, g->n);
    int64_t first = most(j0, g->b_first);
    if (run->task_packs && first < j1) kernels->pack_b(g, first, j1);
    switch (run->plan->method) {
    case BY_TILES: kernels->tiles(g, i0, i1, j0, j1); break;
    case BY_DOTS: kernels->dots(g, i0, i1, j0, j1); break;
    case BY_ROW: kernels->row(g, j0, j1); break;
    }
  }
}

/* Cuts the block's C into tasks of whole tiles: blocks of rows that fit a cache, smaller ones if threads want them. */
static void compute(Run *run, bool threads) {
  const GemmBlock *g = &run->block;
  const GemmKernels *kernels = run->plan->kernels;
  bool tiles = run->plan->method == BY_TILES;
  int64_t unit_rows = tiles ? kernels->mr : 4, unit_columns = tiles ? kernels->nr : 16 * kernels->lanes;
  int64_t rows = tiles ? least(g->m, run->plan->block_rows) : g->m, columns = g->n;
  int64_t tasks = quotient_up(g->m, rows);
  if (threads) {
    double cost = (double)most(g->k, 1) * g->m * g->n;
    int64_t wanted =
        cost >= 2.0 * THREAD_WORK * pool_threads() ? 4 * pool_threads() : (int64_t)(cost / (THREAD_WORK / 2));
    while (tasks < wanted && ((rows > unit_rows && !run->task_packs) || columns > unit_columns)) {
      if (rows > unit_rows && (rows >= columns || columns <= unit_columns) && !run->task_packs)
        rows = whole(quotient_up(rows, 2), unit_rows);
      else
        columns = whole(quotient_up(columns, 2), unit_columns);
      tasks = quotient_up(g->m, rows) * quotient_up(g->n, columns);
    }
  }
  run->task_rows = rows, run->task_columns = columns, run->tasks_across = quotient_up(g->n, columns);
  if (threads && tasks > 1)
    parallel_for(tasks, 1, compute_task, run);
  else
    compute_task(run, 0, tasks);
}

static void run_plan(const Plan *plan, const void *a, const void *b, void *c, const void *bias, void *workspace,
                     bool threads) {
  const GemmBlock *all = &plan->all;
  const int size = plan->kernels->size, mr = plan->kernels->mr, nr = plan->kernels->nr;
  Run run = {.plan = plan, .block = *all};
  GemmBlock *g = &run.block;
  if (plan->method != BY_TILES) {
    g->a = a, g->b = b, g->c = c, g->add = bias ? bias : c;
    compute(&run, threads);
    return;
  }
  for (int64_t j = 0; j < all->n; j += plan->columns)
    for (int64_t p = 0; p < most(all->k, 1); p += plan->step)
      for (int64_t i = 0; i < all->m; i += plan->rows) {
        g->m = least(plan->rows, all->m - i);
        g->n = least(plan->columns, all->n - j);
        g->k = least(plan->step, all->k - p);
        g->a = element(a, i * all->a_row + p * all->a_col, size);
        g->b = element(b, j * all->b_col + p * all->b_row, size);
        g->c = (char *)c + (i * all->c_row + j) * size;
        bool first = p == 0;
        g->add = first && bias ? element(bias, j, size) : g->c;
        g->add_row = first && bias ? 0 : all->c_row;
        g->beta = first ? &plan->beta : &plan->one;
        g->b_first = plan->pack_b ? 0 : most(all->b_first - j, 0);
        g->a_packed = plan->pack_a ? workspace : NULL;
        g->b_packed = g->b_first < g->n ? (char *)workspace + plan->a_bytes : NULL;
        run.a_panels = plan->pack_a ? quotient_up(g->m, mr) : 0;
        int64_t b_panels = g->b_packed && i == 0 ? quotient_up(g->n - g->b_first, nr) : 0;
        run.task_packs =
            b_panels > 0 && g->m == all->m && g->m <= plan->block_rows && (!threads || g->n >= 2 * pool_threads() * nr);
        if (run.task_packs) b_panels = 0;
        int64_t panels = run.a_panels + b_panels;
        if (threads && panels * g->k * mr > THREAD_WORK / 8)
          parallel_for(panels, quotient_up(panels, 4 * pool_threads()), pack_task, &run);
        else if (panels > 0)
          pack_task(&run, 0, panels);
        compute(&run, threads);
      }
}

/* ---- batches ---- */

typedef struct {
  const Plan *plan;
  const Gemm *gemm;
  int64_t per_chunk; /* matrices */
  char *workspace;   /* plan->bytes for each chunk */
} Batch;

static void batch_task(void *context, int64_t begin, int64_t end) {
  Batch *batch = context;
  const Gemm *g = batch->gemm;
  int size = batch->plan->kernels->size;
  for (int64_t chunk = begin; chunk < end; chunk++) {
    int64_t last = least((chunk + 1) * batch->per_chunk, g->batch);
    for (int64_t i = chunk * batch->per_chunk; i < last; i++)
      run_plan(batch->plan, element(g->a, i * g->a_batch, size), element(g->b, i * g->b_batch, size),
               (char *)g->c + i * g->c_batch * size, g->bias, batch->workspace + chunk * batch->plan->bytes, false);
  }
}

static bool run_batch(const Plan *plan, const Gemm *g) {
  double one = (double)g->m * g->n * most(g->k, 1), total = one * g->batch;
  bool threads = total >= 2 * THREAD_WORK && pool_threads() > 1;
  bool by_matrix = threads && g->batch > 1 && (one < 16.0 * THREAD_WORK * pool_threads());
  int64_t chunks = by_matrix ? least(g->batch, 4 * pool_threads()) : 1, bytes;
  Batch batch = {plan, g, quotient_up(g->batch, chunks), NULL};
  chunks = quotient_up(g->batch, batch.per_chunk);
  _Alignas(64) char small[SMALL_WORKSPACE];
  if (!size_mul(plan->bytes, chunks, &bytes)) return false;
  batch.workspace = bytes <= SMALL_WORKSPACE ? small : block_alloc(bytes);
  if (!batch.workspace) return false;
  int size = plan->kernels->size;
  if (by_matrix)
    parallel_for(chunks, 1, batch_task, &batch);
  else
    for (int64_t i = 0; i < g->batch; i++)
      run_plan(plan, element(g->a, i * g->a_batch, size), element(g->b, i * g->b_batch, size),
               (char *)g->c + i * g->c_batch * size, g->bias, batch.workspace, threads);
  if (batch.workspace != small) block_free(batch.workspace, bytes);
  return true;
}

/* ---- narrow integers: computed in int32 through contiguous copies ---- */

static bool is_narrow(DType d) { return d == MT_U8 || d == MT_I8 || d == MT_I16; }

static void widen_row(DType d, void *to, const void *from, int64_t stride, int64_t n) {
  int32_t *w = to;
  switch (d) {
  case MT_U8:
    for (int64_t i = 0; i < n; i++) w[i] = ((const uint8_t *)from)[i * stride];
    break;
  case MT_I8:
    for (int64_t i = 0; i < n; i++) w[i] = ((const int8_t *)from)[i * stride];
    break;
  default:
    for (int64_t i = 0; i < n; i++) w[i] = ((const int16_t *)from)[i * stride];
    break;
  }
}

static void narrow_row(DType d, void *to, const void *from, int64_t n) {
  const int32_t *w = from;
  if (d == MT_I16)
    for (int64_t i = 0; i < n; i++) ((uint16_t *)to)[i] = (uint16_t)w[i];
  else
    for (int64_t i = 0; i < n; i++) ((uint8_t *)to)[i] = (uint8_t)w[i];
}

typedef struct {
  DType dtype;
  char *wide; /* (rows, columns) contiguous */
  char *narrow;
  int64_t columns, row_stride, stride;
  bool narrowing;
} Conversion;

static void convert_task(void *context, int64_t begin, int64_t end) {
  Conversion *v = context;
  for (int64_t i = begin; i < end; i++) {
    char *wide = v->wide + i * v->columns * 4, *narrow = v->narrow + i * v->row_stride * dtype_size(v->dtype);
    if (v->narrowing)
      narrow_row(v->dtype, narrow, wide, v->columns);
    else
      widen_row(v->dtype, wide, narrow, v->stride, v->columns);
  }
}

static void convert(DType d, void *wide, const void *narrow, int64_t rows, int64_t columns, int64_t row_stride,
                    int64_t stride, bool narrowing) {
  Conversion v = {d, wide, (char *)narrow, columns, row_stride, stride, narrowing};
  parallel_for(rows, most(1, 16384 / most(columns, 1)), convert_task, &v);
}

/* One matrix after another, so that the copies stay small. The operand's smaller stride runs fastest. */
static bool run_narrow(int isa, const Gemm *g) {
  DType d = g->dtype;
  int size = dtype_size(d);
  int64_t a_bytes, b_bytes, c_bytes, bytes;
  if (!size_mul(most(g->m, 1), most(g->k, 1) * 4, &a_bytes) || !size_mul(most(g->k, 1) * 4, g->n, &b_bytes) ||
      !size_mul(g->m * 4, g->n, &c_bytes) || !size_add(a_bytes, b_bytes, &bytes) || !size_add(bytes, c_bytes, &bytes) ||
      !size_add(bytes, g->n * 4, &bytes))
    return false;
  char *wide = block_alloc(bytes);
  if (!wide) return false;
  char *a = wide, *b = a + a_bytes, *c = b + b_bytes, *bias = c + c_bytes;
  bool a_across = g->a_col <= g->a_row, b_across = g->b_col <= g->b_row,
       read_c = !g->bias && scalar_double(g->beta) != 0;
  Gemm one = *g;
  one.dtype = MT_I32, one.batch = 1;
  one.a = a, one.a_row = a_across ? g->k : 1, one.a_col = a_across ? 1 : g->m;
  one.b = b, one.b_row = b_across ? g->n : 1, one.b_col = b_across ? 1 : g->k;
  one.c = c, one.c_row = g->n;
  one.bias = g->bias ? bias : NULL;
  if (g->bias) widen_row(d, bias, g->bias, 1, g->n);
  bool ok = true;
  for (int64_t i = 0; i < g->batch && ok; i++) {
    const void *from_a = element(g->a, i * g->a_batch, size), *from_b = element(g->b, i * g->b_batch, size);
    char *to_c = (char *)g->c + i * g->c_batch * size;
    if (i == 0 || g->a_batch != 0) {
      if (a_across)
        convert(d, a, from_a, g->m, g->k, g->a_row, g->a_col, false);
      else
        convert(d, a, from_a, g->k, g->m, g->a_col, g->a_row, false);
    }
    if (i == 0 || g->b_batch != 0) {
      if (b_across)
        convert(d, b, from_b, g->k, g->n, g->b_row, g->b_col, false);
      else
        convert(d, b, from_b, g->n, g->k, g->b_col, g->b_row, false);
    }
    if (read_c) convert(d, c, to_c, g->m, g->n, g->c_row, 1, false);
    ok = gemm_batch_isa(isa, &one);
    if (ok) convert(d, c, to_c, g->m, g->n, g->c_row, 1, true);
  }
  block_free(wide, bytes);
  return ok;
}

/* ---- entry points ---- */

/* C^T = B^T A^T, for C that is one row or one contiguous column. */
static void transpose_product(Gemm *g) {
  Gemm t = *g;
  g->m = t.n, g->n = t.m;
  g->a = t.b, g->a_row = t.b_col, g->a_col = t.b_row, g->a_batch = t.b_batch;
  g->b = t.a, g->b_row = t.a_col, g->b_col = t.a_row, g->b_batch = t.a_batch;
  g->c_row = t.m == 1 ? 1 : t.m;
}

/* Rewrites the product where an equal one is faster. */
static void simplify(Gemm *g) {
  if (g->m == 1) g->a_row = g->k;
  if (g->n == 1) g->b_col = g->k;
  if (g->k == 1) g->a_col = g->b_row = 1;
  if (g->batch > 1 && g->b_batch == 0 && g->a_batch == g->m * g->a_row && g->c_batch == g->m * g->c_row) {
    g->m *= g->batch; /* one B for all: the rows of all A are one matrix */
    g->batch = 1;
  }
  /* A vector times a matrix whose lines lie along C is summed line by line; a strided vector is read fastest as B. */
  bool lines = g->n == 1 && g->m > 1 && g->a_row == 1 && g->a_col != 1 && g->c_row == 1;
  bool strided = g->m == 1 && g->n > 1 && g->b_row == 1 && g->b_col != 1 && g->a_col != 1;
  if ((lines || strided) && !g->bias) transpose_product(g);
}

/* On our kernels, for every dtype they have. */
static bool own_batch(int isa, const Gemm *given) {
  Gemm g = *given;
  Plan plan = {.kernels = gemm_kernels(isa, g.dtype)};
  if (!plan.kernels)
    return fail(MT_ENOTIMPL, "\"addmm_impl_cpu_\" not implemented for '%s'", dtype_info[g.dtype].type_name);
  simplify(&g);
  scalar_store(g.alpha, g.dtype, &plan.alpha);
  scalar_store(g.beta, g.dtype, &plan.beta);
  scalar_store(scalar_int(1), g.dtype, &plan.one);
  plan.all = (GemmBlock){.m = g.m,
                         .n = g.n,
                         .k = g.k,
                         .a_row = g.a_row,
                         .a_col = g.a_col,
                         .b_row = g.b_row,
                         .b_col = g.b_col,
                         .c_row = g.c_row,
                         .add_row = g.bias ? 0 : g.c_row,
                         .alpha = &plan.alpha,
                         .beta = &plan.beta};
  plan.method = choose_method(plan.kernels, &plan.all);
  if (plan.method == BY_TILES) plan_tiles(&plan);
  return run_batch(&plan, &g);
}

bool gemm_batch_isa(int isa, const Gemm *g) {
  if (g->m == 0 || g->n == 0 || g->batch == 0) return true;
  if (g->dtype == MT_F16 || g->dtype == MT_BF16) return gemm_half(isa, g);
  if (is_narrow(g->dtype)) return run_narrow(isa, g);
  /* a library chooses by the machine, which may not show under use_deterministic_algorithms */
  return blas_takes(g) && !deterministic().on ? blas_batch(isa, g, own_batch) : own_batch(isa, g);
}

bool gemm_batch(const Gemm *g) { return gemm_batch_isa(isa_level(), g); }

bool gemm(DType d, int64_t m, int64_t n, int64_t k, double alpha, const void *a, int64_t a_row, int64_t a_col,
          const void *b, int64_t b_row, int64_t b_col, double beta, void *c, int64_t c_row) {
  return gemm_batch(&(Gemm){.dtype = d,
                            .m = m,
                            .n = n,
                            .k = k,
                            .batch = 1,
                            .a = a,
                            .a_row = a_row,
                            .a_col = a_col,
                            .b = b,
                            .b_row = b_row,
                            .b_col = b_col,
                            .c = c,
                            .c_row = c_row,
                            .alpha = scalar_float(alpha),
                            .beta = scalar_float(beta)});
}

/* ---- a B that is packed once ---- */

static void pack_panels(void *context, int64_t begin, int64_t end) {
  const Run *run = context;
  const GemmKernels *all = run->plan->kernels;
  all->pack_b(&run->block, begin * all->nr, least(end * all->nr, run->block.n));
}

bool gemm_pack(GemmPacked *p, DType d, int64_t n, int64_t k, const void *b, int64_t b_row, int64_t b_col) {
  const GemmKernels *all = gemm_kernels(isa_level(), d);
  int64_t size = all->size, width = n > 0 ? whole(n, all->lanes) : 0;
  *p = (GemmPacked){.kernels = all, .dtype = d, .n = n, .k = k, .step = step_of(all, k)};
  if (!size_mul(width * size, k, &p->bytes) || !(p->memory = block_alloc((size_t)p->bytes))) return false;
  Plan plan = {.kernels = all};
  Run run = {.plan = &plan, .block = {.n = n, .b_row = b_row, .b_col = b_col}};
  int64_t panels = n > 0 ? quotient_up(n, all->nr) : 0, share = quotient_up(most(panels, 1), pool_threads());
  for (int64_t at = 0; at < k && n > 0; at += p->step) {
    run.block.k = least(p->step, k - at);
    run.block.b = element(b, at * b_row, all->size);
    run.block.b_packed = p->memory + at * width * size;
    parallel_for(panels, width * run.block.k > THREAD_WORK / 8 ? share : panels, pack_panels, &run);
  }
  return true;
}

void gemm_pack_free(GemmPacked *p) {
  if (p->memory) block_free(p->memory, (size_t)p->bytes);
  p->memory = NULL;
}

static void packed_panels(void *context, int64_t begin, int64_t end) {
  const Run *run = context;
  const GemmKernels *all = run->plan->kernels;
  all->tiles(&run->block, 0, run->block.m, begin * all->nr, least(end * all->nr, run->block.n));
}

void gemm_packed(const GemmPacked *p, int64_t m, const void *a, int64_t a_row, void *c, int64_t c_row, const void *add,
                 int64_t add_row) {
  const GemmKernels *all = p->kernels;
  if (m == 0 || p->n == 0) return;
  Plan plan = {.kernels = all};
  Element zero = {0};
  scalar_store(scalar_int(1), p->dtype, &plan.one);
  Run run = {.plan = &plan, .block = {.m = m, .n = p->n, .a_row = a_row, .a_col = 1, .c = c, .c_row = c_row}};
  GemmBlock *g = &run.block;
  int64_t panels = quotient_up(p->n, all->nr), width = whole(p->n, all->lanes);
  bool threads = (double)m * p->n * p->step >= 2.0 * THREAD_WORK && pool_threads() > 1;
  g->alpha = &plan.one;
  for (int64_t at = 0; at < most(p->k, 1); at += p->step) {
    bool first = at == 0;
    g->k = least(p->step, p->k - at);
    g->a = element(a, at, all->size);
    g->b_packed = p->memory + at * width * all->size;
    g->add = first && add ? add : c;
    g->add_row = first && add ? add_row : c_row;
    g->beta = first && !add ? &zero : &plan.one;
    if (threads)
      parallel_for(panels, quotient_up(panels, pool_threads()), packed_panels, &run);
    else
      packed_panels(&run, 0, panels);
  }
}
