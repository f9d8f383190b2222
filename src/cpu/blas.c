/* A library's matrix product, called serially on blocks of C. Empty unless the build chose a library.
 *
 * OpenBLAS starts its threads when it is loaded; they are told to be one and joined at the first product. That is a
 * setting of the process: a host that uses the same OpenBLAS for itself gets one thread there too. Built with OpenMP it
 * cannot be told so, and is not used. oneDNN takes the number from the OpenMP setting of the calling thread, which is put
 * back after each call. */
#include "cpu/blas.h"

#if defined(MT_BLAS_openblas) || defined(MT_BLAS_onednn)
#include "base/pool.h"
#include <limits.h>
#include <string.h>

static int64_t least(int64_t x, int64_t y) { return x < y ? x : y; }
static int64_t quotient_up(int64_t n, int64_t d) { return (n - 1) / d + 1; }

/* Below it a call costs more than the library gains; thin products are limited by reading. */
enum { LEAST_WORK = 96 * 96 * 96, LEAST_SIDE = 16, LEAST_EDGE = 128, MOST_EDGE = 512, ENOUGH_TASKS = 16 };

typedef struct {
  const Gemm *g;
  int isa;
  bool (*own)(int isa, const Gemm *g);
  int64_t edge, across, blocks; /* blocks of C are squares; across a row, and in one matrix */
  _Atomic bool failed;
} Job;

#if defined(MT_BLAS_openblas)
#include <cblas.h>
#include <pthread.h>

/* Joins the worker threads; not in a library built without any. */
extern int blas_thread_shutdown_(void) __attribute__((weak));

static int kind; /* of the library: serial, with threads of its own, with OpenMP */
static void prepare(void) {
  kind = openblas_get_parallel();
  if (kind != OPENBLAS_THREAD) return;
  openblas_set_num_threads(1);
  if (blas_thread_shutdown_) blas_thread_shutdown_();
}
static bool ready(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, prepare);
  return kind != OPENBLAS_OPENMP;
}
/* A serial library need not be safe in several threads. */
static bool many_threads(void) { return kind == OPENBLAS_THREAD; }
static bool takes_dtype(DType d) { return d == MT_F32 || d == MT_F64; }

static bool call(const Gemm *g, const void *a, const void *b, void *c, Scalar beta) {
  const enum CBLAS_TRANSPOSE ta = g->a_col == 1 ? CblasNoTrans : CblasTrans;
  const enum CBLAS_TRANSPOSE tb = g->b_col == 1 ? CblasNoTrans : CblasTrans;
  const int m = (int)g->m, n = (int)g->n, k = (int)g->k, lda = (int)(g->a_col == 1 ? g->a_row : g->a_col),
            ldb = (int)(g->b_col == 1 ? g->b_row : g->b_col), ldc = (int)g->c_row;
  if (g->dtype == MT_F32)
    cblas_sgemm(CblasRowMajor, ta, tb, m, n, k, (float)scalar_double(g->alpha), a, lda, b, ldb,
                (float)scalar_double(beta), c, ldc);
  else
    cblas_dgemm(CblasRowMajor, ta, tb, m, n, k, scalar_double(g->alpha), a, lda, b, ldb, scalar_double(beta), c, ldc);
  return true;
}
#else
#include <dnnl.h>
#if DNNL_CPU_RUNTIME == DNNL_RUNTIME_OMP
int omp_get_max_threads(void);
void omp_set_num_threads(int threads);
#elif DNNL_CPU_RUNTIME == DNNL_RUNTIME_SEQ
static int omp_get_max_threads(void) { return 1; }
static void omp_set_num_threads(int threads) { (void)threads; }
#else
#error "BLAS=onednn needs a oneDNN built for OpenMP or for one thread"
#endif

static bool ready(void) { return true; }
static bool many_threads(void) { return true; }
static bool takes_dtype(DType d) { return d == MT_F32; }

static bool call(const Gemm *g, const void *a, const void *b, void *c, Scalar beta) {
  int before = omp_get_max_threads();
  omp_set_num_threads(1);
  dnnl_status_t status = dnnl_sgemm(g->a_col == 1 ? 'N' : 'T', g->b_col == 1 ? 'N' : 'T', g->m, g->n, g->k,
                                    (float)scalar_double(g->alpha), a, g->a_col == 1 ? g->a_row : g->a_col, b,
                                    g->b_col == 1 ? g->b_row : g->b_col, (float)scalar_double(beta), c, g->c_row);
  omp_set_num_threads(before);
  return status == dnnl_success;
}
#endif

/* One stride is 1, and the other is long enough not to fold lines over one another. */
static bool plain(int64_t rows, int64_t columns, int64_t row, int64_t column) {
  if (column == 1) return row >= columns && row <= INT_MAX;
  return row == 1 && column >= rows && column <= INT_MAX;
}

bool blas_takes(const Gemm *g) {
  return takes_dtype(g->dtype) && (g->batch == 1 || g->c_batch != 0) && g->m >= LEAST_SIDE && g->n >= LEAST_SIDE &&
         g->k >= LEAST_SIDE && (double)g->m * g->n * g->k >= LEAST_WORK && g->k <= INT_MAX && g->c_row <= INT_MAX &&
         scalar_double(g->alpha) != 0 && /* libraries do not read A then, but 0 * NaN is NaN */
         plain(g->m, g->k, g->a_row, g->a_col) && plain(g->k, g->n, g->b_row, g->b_col) && ready();
}

static void task(void *context, int64_t begin, int64_t end) {
  Job *job = context;
  for (int64_t t = begin; t < end; t++) {
    const Gemm *all = job->g;
    Gemm g = *all;
    const int64_t size = dtype_size(g.dtype), z = t / job->blocks, block = t % job->blocks;
    const int64_t i = block / job->across * job->edge, j = block % job->across * job->edge;
    g.batch = 1, g.m = least(job->edge, all->m - i), g.n = least(job->edge, all->n - j);
    g.a = (const char *)all->a + (z * all->a_batch + i * all->a_row) * size;
    g.b = (const char *)all->b + (z * all->b_batch + j * all->b_col) * size;
    g.c = (char *)all->c + (z * all->c_batch + i * all->c_row + j) * size;
    if (all->bias) {
      for (int64_t r = 0; r < g.m; r++)
        memcpy((char *)g.c + r * g.c_row * size, (const char *)all->bias + j * size, (size_t)(g.n * size));
      g.bias = NULL;
    }
    if (!call(&g, g.a, g.b, g.c, g.beta) && !job->own(job->isa, &g)) job->failed = true;
  }
}

bool blas_batch(int isa, const Gemm *g, bool (*own)(int isa, const Gemm *g)) {
  Job job = {.g = g, .isa = isa, .own = own, .edge = LEAST_EDGE};
  while (job.edge < MOST_EDGE && quotient_up(g->m, job.edge) * quotient_up(g->n, job.edge) > ENOUGH_TASKS)
    job.edge *= 2;
  job.across = quotient_up(g->n, job.edge);
  job.blocks = quotient_up(g->m, job.edge) * job.across;
  if (many_threads())
    parallel_for(job.blocks * g->batch, 1, task, &job);
  else
    task(&job, 0, job.blocks * g->batch);
  return !job.failed;
}
#endif
