/* Matrix products: how one is cut into blocks, what is packed, who computes what.
 *
 * Threads share C by rectangles. Each computes its own alone and packs for itself what it reads: that costs less than
 * waiting for one another and reading what another processor packed. k is cut into steps whose packed panels fit the
 * caches; that cut, and the choice between the kernels, follow from shapes and strides. The number of threads only decides
 * how C is cut, which no element's value depends on. Memory is taken before C is touched. */
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
  MOST_COLUMNS = 2048,     /* of B packed at a time */
  FEW_ROWS = 128,          /* of B, so many can be read in place though no cache holds it */
  PACKING = 12             /* multiplications that take as long as packing an element */
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

/* What is decided for a product, or for a rectangle of one. */
typedef struct {
  const GemmKernels *kernels;
  Method method;
  GemmBlock all;               /* without pointers */
  bool pack_a, pack_b;         /* pack_b: all of B; else only the columns from all.b_first on */
  int64_t step, rows, columns; /* of k; of A, so that they stay in the second cache, and of B at a time */
  int64_t a_bytes, bytes;      /* workspace: A's part, then B's */
  Element alpha, beta, one;
} Plan;

/* Packing B costs as much as some rows of the product: with few rows, or a B that no cache holds, and sums long enough
 * to be worth adding up across a vector, dot products are faster. One row or column is limited by reading. */
static Method choose_method(const GemmKernels *kernels, const GemmBlock *g) {
  if (!kernels->dots) return BY_TILES;
  if (g->a_col == 1 && g->b_row == 1) {
    int64_t few = least(g->m, g->n), vectors = g->k / kernels->lanes;
    bool large = (double)g->k * g->n * kernels->size > 8.0 * cache_bytes();
    if (few == 1 || (few <= 4 && vectors >= 16) || (vectors >= 32 && g->m <= (large ? 48 : 24))) return BY_DOTS;
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
  int64_t most_rows = most(1, cache / 2 / (plan->step * size) / mr) * mr;
  plan->rows = quotient_up(g->m, quotient_up(g->m, most_rows));
  plan->columns = least(g->n, MOST_COLUMNS / nr * nr);

  /* Packing pays where an operand is read often and does not stay in the cache as it lies, unless k runs through it in one
   * piece; rows a multiple of a page apart fall into the same few lines of the cache. */
  bool clash = g->a_row != 1 && g->a_row * size % 4096 == 0;
  plan->pack_a = g->n > 2 * nr && (clash || (g->a_col != 1 && (double)g->m * g->k * size > cache / 2)) &&
                 !(g->a_row == 1 && g->m <= mr);
  if (plan->pack_a) plan->rows = whole(plan->rows, mr);
  g->b_far = (double)g->k * g->n * size > cache / 2;
  plan->pack_b = g->b_col != 1 || (g->m > 8 * mr && g->b_far && (g->k > FEW_ROWS || g->b_row * size % 4096 == 0));
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

/* The plan of a rectangle of (m, n). What its elements' values depend on is the whole product's. */
static Plan plan_part(const Plan *whole_plan, int64_t m, int64_t n) {
  Plan plan = *whole_plan;
  plan.all.m = m, plan.all.n = n;
  if (plan.method == BY_TILES) plan_tiles(&plan);
  return plan;
}

/* ---- what one thread computes ---- */

static void run_block(const Plan *plan, const GemmBlock *g) {
  switch (plan->method) {
  case BY_TILES: plan->kernels->tiles(g, 0, g->m, 0, g->n); break;
  case BY_DOTS: plan->kernels->dots(g, 0, g->m, 0, g->n); break;
  case BY_ROW: plan->kernels->row(g, 0, g->n); break;
  }
}

/* C = alpha A B + beta bias, or beta C without a bias, or C itself if it `adds`. */
static void run_plan(const Plan *plan, const void *a, const void *b, void *c, const void *bias, bool adds,
                     void *workspace) {
  const GemmBlock *all = &plan->all;
  const GemmKernels *kernels = plan->kernels;
  const int size = kernels->size;
  if (adds) bias = NULL;
  if (plan->method != BY_TILES) {
    GemmBlock g = *all;
    g.a = a, g.b = b, g.c = c, g.add = bias ? bias : c, g.add_row = bias ? 0 : g.c_row;
    g.alpha = &plan->alpha, g.beta = adds ? &plan->one : &plan->beta;
    run_block(plan, &g);
    return;
  }
  for (int64_t j = 0; j < all->n; j += plan->columns)
    for (int64_t p = 0; p < most(all->k, 1); p += plan->step)
      for (int64_t i = 0; i < all->m; i += plan->rows) {
        GemmBlock g = *all;
        g.m = least(plan->rows, all->m - i);
        g.n = least(plan->columns, all->n - j);
        g.k = least(plan->step, all->k - p);
        g.a = element(a, i * all->a_row + p * all->a_col, size);
        g.b = element(b, j * all->b_col + p * all->b_row, size);
        g.c = (char *)c + (i * all->c_row + j) * size;
        bool first = p == 0;
        g.add = first && bias ? element(bias, j, size) : g.c;
        g.add_row = first && bias ? 0 : all->c_row;
        g.beta = first && !adds ? &plan->beta : &plan->one;
        g.alpha = &plan->alpha;
        g.b_first = plan->pack_b ? 0 : most(all->b_first - j, 0);
        g.a_packed = plan->pack_a ? workspace : NULL;
        g.b_packed = g.b_first < g.n ? (char *)workspace + plan->a_bytes : NULL;
        if (g.a_packed) kernels->pack_a(&g, 0, g.m);
        if (g.b_packed && i == 0) kernels->pack_b(&g, g.b_first, g.n);
        run_block(plan, &g);
      }
}

/* ---- threads and batches ---- */

/* A task computes one rectangle of C for some matrices of the batch. */
typedef struct {
  Plan *plan; /* of a whole rectangle */
  const Gemm *gemm;
  int64_t rows, columns, across; /* of a rectangle; rectangles side by side */
  int64_t rectangles;            /* of a matrix */
  int64_t first, matrices;       /* of the batch: where tasks begin, and how many one does */
  char *workspace;               /* `bytes` for each task */
  int64_t bytes;
} Cut;

static void cut_task(void *context, int64_t begin, int64_t end) {
  const Cut *cut = context;
  const Gemm *g = cut->gemm;
  const int size = cut->plan->kernels->size;
  for (int64_t t = begin; t < end; t++) {
    int64_t group = t, i = 0, j = 0;
    if (cut->rectangles > 1) {
      int64_t at = t % cut->rectangles;
      group = t / cut->rectangles, i = at / cut->across * cut->rows, j = at % cut->across * cut->columns;
    }
    int64_t from = cut->first + group * cut->matrices, to = least(from + cut->matrices, g->batch);
    int64_t m = least(cut->rows, g->m - i), n = least(cut->columns, g->n - j);
    Plan last;
    const Plan *plan = cut->plan;
    if (m < cut->rows || n < cut->columns) last = plan_part(plan, m, n), plan = &last;
    for (int64_t z = from; z < to; z++)
      run_plan(plan, element(g->a, z * g->a_batch + i * g->a_row, size),
               element(g->b, z * g->b_batch + j * g->b_col, size),
               (char *)g->c + (z * g->c_batch + i * g->c_row + j) * size, g->bias ? element(g->bias, j, size) : NULL,
               g->c_batch == 0 && z > 0, cut->workspace + t * cut->bytes);
  }
}

/* Cuts a matrix into rectangles for so many threads: all in as little time as can be. */
static void cut_matrix(Cut *cut, int64_t threads, int64_t tasks) {
  const GemmKernels *kernels = cut->plan->kernels;
  const bool tiles = cut->plan->method == BY_TILES;
  const int64_t m = cut->gemm->m, n = cut->gemm->n, unit = tiles ? kernels->lanes : 4 * kernels->lanes;
  double best = 0;
  for (int64_t down = 1; down <= tasks; down++) {
    int64_t rows = least(m, whole(quotient_up(m, down), tiles ? 2 : 4));
    int64_t columns = least(n, whole(quotient_up(n, quotient_up(tasks, down)), unit));
    int64_t count = quotient_up(m, rows) * quotient_up(n, columns);
    double time = (double)quotient_up(count, threads) * ((double)rows * columns + PACKING * ((double)rows + columns));
    if (best > 0 && time >= best) continue;
    best = time;
    cut->rows = rows, cut->columns = columns, cut->across = quotient_up(n, columns), cut->rectangles = count;
  }
}

static bool run_batch(Plan *plan, const Gemm *g) {
  const double one = (double)g->m * g->n * most(g->k, 1), total = one * g->batch;
  const bool sum = g->batch > 1 && g->c_batch == 0;
  int64_t threads = total >= 2 * THREAD_WORK && !pool_inside() ? pool_threads() : 1, tasks = 1, bytes;
  if (total < (double)THREAD_WORK * threads) threads = (int64_t)(total / THREAD_WORK);
  Cut cut = {.plan = plan, .gemm = g, .rows = g->m, .columns = g->n, .across = 1, .rectangles = 1};
  cut.matrices = g->batch;
  /* By matrices if they are many or small, else by rectangles; of large ones two for each thread, since some may be slow. */
  if (threads > 1 && g->batch > 1 && !sum &&
      (one < 16.0 * THREAD_WORK * threads || whole(g->batch, threads) <= g->batch + g->batch / 16)) {
    cut.matrices = quotient_up(g->batch, one * 16 > THREAD_WORK ? threads : 4 * threads);
    tasks = quotient_up(g->batch, cut.matrices);
  } else if (threads > 1) {
    cut_matrix(&cut, threads, one >= 32768.0 * THREAD_WORK * threads ? 2 * threads : threads);
    tasks = cut.rectangles;
    if (tasks > 1 && !sum) cut.matrices = 1;
  }
  *plan = plan_part(plan, cut.rows, cut.columns);
  cut.bytes = plan->bytes;
  if (cut.rectangles > 1) {
    int64_t m = (g->m - 1) % cut.rows + 1, n = (g->n - 1) % cut.columns + 1; /* of the last ones */
    cut.bytes = most(cut.bytes, plan_part(plan, m, cut.columns).bytes);
    cut.bytes = most(cut.bytes, most(plan_part(plan, cut.rows, n).bytes, plan_part(plan, m, n).bytes));
  }
  _Alignas(64) char small[SMALL_WORKSPACE];
  if (!size_mul(cut.bytes, tasks, &bytes)) return false;
  cut.workspace = bytes <= SMALL_WORKSPACE ? small : block_alloc((size_t)bytes);
  if (!cut.workspace) return false;
  for (; cut.first<g->batch; cut.first += cut.rectangles> 1 ? cut.matrices : g->batch)
    parallel_for(tasks, 1, cut_task, &cut);
  if (cut.workspace != small) block_free(cut.workspace, (size_t)bytes);
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
                         .add_row = g.bias ? 0 : g.c_row};
  plan.method = choose_method(plan.kernels, &plan.all);
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

typedef struct {
  const GemmKernels *kernels;
  GemmBlock block;
} Run;

static void pack_panels(void *context, int64_t begin, int64_t end) {
  const Run *run = context;
  const GemmKernels *all = run->kernels;
  all->pack_b(&run->block, begin * all->nr, least(end * all->nr, run->block.n));
}

bool gemm_pack(GemmPacked *p, DType d, int64_t n, int64_t k, const void *b, int64_t b_row, int64_t b_col) {
  const GemmKernels *all = gemm_kernels(isa_level(), d);
  int64_t size = all->size, width = n > 0 ? whole(n, all->lanes) : 0;
  *p = (GemmPacked){.kernels = all, .dtype = d, .n = n, .k = k, .step = step_of(all, k)};
  if (!size_mul(width * size, k, &p->bytes) || !(p->memory = block_alloc((size_t)p->bytes))) return false;
  Run run = {.kernels = all, .block = {.n = n, .b_row = b_row, .b_col = b_col}};
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
  const GemmKernels *all = run->kernels;
  all->tiles(&run->block, 0, run->block.m, begin * all->nr, least(end * all->nr, run->block.n));
}

void gemm_packed(const GemmPacked *p, int64_t m, const void *a, int64_t a_row, void *c, int64_t c_row, const void *add,
                 int64_t add_row) {
  const GemmKernels *all = p->kernels;
  if (m == 0 || p->n == 0) return;
  Element zero = {0}, one;
  scalar_store(scalar_int(1), p->dtype, &one);
  Run run = {.kernels = all, .block = {.m = m, .n = p->n, .a_row = a_row, .a_col = 1, .c = c, .c_row = c_row}};
  GemmBlock *g = &run.block;
  int64_t panels = quotient_up(p->n, all->nr), width = whole(p->n, all->lanes);
  bool threads = (double)m * p->n * p->step >= 2.0 * THREAD_WORK && pool_threads() > 1;
  g->alpha = &one;
  for (int64_t at = 0; at < most(p->k, 1); at += p->step) {
    bool first = at == 0;
    g->k = least(p->step, p->k - at);
    g->a = element(a, at, all->size);
    g->b_packed = p->memory + at * width * all->size;
    g->add = first && add ? add : c;
    g->add_row = first && add ? add_row : c_row;
    g->beta = first && !add ? &zero : &one;
    if (threads)
      parallel_for(panels, quotient_up(panels, pool_threads()), packed_panels, &run);
    else
      packed_panels(&run, 0, panels);
  }
}
