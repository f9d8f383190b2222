/* What the machine can do, measured without the library: `machine THREADS [FLOATS [PASSES FIGURE...]]` prints a line for
 * each figure, or for those named: f32, f64 (of the widest instruction set only), read, fill, copy, add.
 *
 *   fma SET f32|f64 FLOPS      multiply-adds a second, two operations each, of the instruction set SET, all threads together
 *   read|fill|copy|add BYTES   bytes moved a second over arrays of FLOATS floats (16M): s += a, c = 1, c = a, c = a + b
 *
 * Each figure is the median of PASSES passes (15); of loops that write through the caches and past them the better counts. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#ifdef __SSE__
#include <immintrin.h>
#endif

enum { MOST_PASSES = 15, MOST_THREADS = 256, ALIGN = 2 << 20, CHAINS = 24, ROUNDS = 2000000 };

typedef struct Part {
  void (*run)(struct Part *p);
  const float *a, *b;
  float *c;
  int64_t begin, end; /* multiples of 16 */
  volatile double sink;
  int number; /* of the processor among those that may be used */
#ifdef __linux__
  cpu_set_t processors;
#endif
} Part;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Each part on a processor of its own: threads that live for milliseconds would else share one. */
static void pin(const Part *p) {
#ifdef __linux__
  cpu_set_t one;
  for (int cpu = 0, k = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, &p->processors) || k++ != p->number) continue;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
    return;
  }
#else
  (void)p;
#endif
}

/* Threads that have come to their processors; the clock starts when all have. */
static atomic_int arrived, awaited;

static void *start_together(void *part) {
  pin(part);
  atomic_fetch_add(&arrived, 1);
  while (atomic_load(&arrived) < atomic_load(&awaited)) sched_yield();
  ((Part *)part)->run(part);
  return NULL;
}

/* Seconds of one pass of all parts, each in a thread. A thread begins on its maker's processor and would wait there for
 * milliseconds if the maker did not yield. */
static double pass(Part *part, int threads) {
  pthread_t id[MOST_THREADS];
  int started = 1;
  atomic_store(&arrived, 0);
  atomic_store(&awaited, threads);
  while (started < threads && pthread_create(&id[started], NULL, start_together, &part[started]) == 0) started++;
  atomic_store(&awaited, started);
  pin(&part[0]);
  while (atomic_load(&arrived) < started - 1) sched_yield();
  double begin = now();
  atomic_fetch_add(&arrived, 1);
  part[0].run(&part[0]);
  for (int k = started; k < threads; k++) part[k].run(&part[k]);
  for (int k = 1; k < started; k++) pthread_join(id[k], NULL);
  return now() - begin;
}

static int by_size(const void *x, const void *y) {
  double a = *(const double *)x, b = *(const double *)y;
  return a < b ? -1 : a > b;
}

static int passes = MOST_PASSES;

static double median_pass(Part *part, int threads, void (*run)(Part *)) {
  double seconds[MOST_PASSES];
  for (int k = 0; k < threads; k++) part[k].run = run;
  pass(part, threads);
  for (int i = 0; i < passes; i++) seconds[i] = pass(part, threads);
  qsort(seconds, (size_t)passes, sizeof *seconds, by_size);
  return seconds[passes / 2];
}

/* ---- multiply-adds ---- */

/* CHAINS independent sums in registers, enough to hide the latency of the multiply-add. The barrier keeps the compiler from
 * merging rounds. */
#define FMA_LOOP(name, target, type, width, step)                                                                 \
  target static void name(Part *p) {                                                                              \
    typedef type V __attribute__((vector_size(width)));                                                           \
    V sum[CHAINS], x = (V){} + (type)0.999999, y = (V){} + (type)1e-7;                                            \
    for (int k = 0; k < CHAINS; k++) sum[k] = (V){} + (type)k;                                                    \
    for (int i = 0; i < ROUNDS; i++) { _Pragma("GCC unroll 24") for (int k = 0; k < CHAINS; k++) sum[k] = step; } \
    V all = sum[0];                                                                                               \
    for (int k = 1; k < CHAINS; k++) all += sum[k];                                                               \
    p->sink = (double)all[0];                                                                                     \
  }
#pragma GCC diagnostic ignored "-Wpsabi"
#ifdef __x86_64__
#define FOR(set) __attribute__((target(set)))
FMA_LOOP(sse_f32, , float, 16, sum[k] * x + y)
FMA_LOOP(sse_f64, , double, 16, sum[k] * x + y)
FMA_LOOP(avx2_f32, FOR("avx2,fma"), float, 32, (V)_mm256_fmadd_ps((__m256)sum[k], (__m256)x, (__m256)y))
FMA_LOOP(avx2_f64, FOR("avx2,fma"), double, 32, (V)_mm256_fmadd_pd((__m256d)sum[k], (__m256d)x, (__m256d)y))
FMA_LOOP(avx512_f32, FOR("avx512f"), float, 64, (V)_mm512_fmadd_ps((__m512)sum[k], (__m512)x, (__m512)y))
FMA_LOOP(avx512_f64, FOR("avx512f"), double, 64, (V)_mm512_fmadd_pd((__m512d)sum[k], (__m512d)x, (__m512d)y))
static const struct {
  const char *set;
  void (*f32)(Part *), (*f64)(Part *);
  int bytes;
} sets[] = {{"sse2", sse_f32, sse_f64, 16}, {"avx2", avx2_f32, avx2_f64, 32}, {"avx512", avx512_f32, avx512_f64, 64}};
static int set_is_there(int k) {
  return k == 0 ||
         (k == 1 ? __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") : __builtin_cpu_supports("avx512f"));
}
#else
FMA_LOOP(base_f32, , float, 16, sum[k] * x + y)
FMA_LOOP(base_f64, , double, 16, sum[k] * x + y)
static const struct {
  const char *set;
  void (*f32)(Part *), (*f64)(Part *);
  int bytes;
} sets[] = {{"base", base_f32, base_f64, 16}};
static int set_is_there(int k) { return k == 0; }
#endif

/* The figures that were asked for; NULL: all. */
static char **asked;

static int is_asked(const char *figure) {
  if (!asked) return 1;
  for (char **a = asked; *a; a++)
    if (strcmp(*a, figure) == 0) return 1;
  return 0;
}

static void show_fma(Part *part, int threads) {
  int count = (int)(sizeof sets / sizeof *sets);
  while (!set_is_there(count - 1)) count--;
  for (int k = asked ? count - 1 : 0; k < count; k++) {
    double lanes = sets[k].bytes / 4.0, work = 2.0 * CHAINS * ROUNDS * threads;
    if (is_asked("f32"))
      printf("fma %s f32 %.0f\n", sets[k].set, work * lanes / median_pass(part, threads, sets[k].f32));
    if (is_asked("f64"))
      printf("fma %s f64 %.0f\n", sets[k].set, work * lanes / 2 / median_pass(part, threads, sets[k].f64));
  }
}

/* ---- memory ---- */

static void read_all(Part *p) {
  float sum[64] = {0};
  const float *a = p->a;
  int64_t i = p->begin;
  for (; i + 64 <= p->end; i += 64)
    for (int k = 0; k < 64; k++) sum[k] += a[i + k];
  for (int k = 1; k < 64; k++) sum[0] += sum[k];
  p->sink = (double)sum[0];
}
static void fill(Part *p) {
  float *c = p->c;
  for (int64_t i = p->begin; i < p->end; i++) c[i] = 1;
}
static void copy(Part *p) {
  const float *a = p->a;
  float *restrict c = p->c;
  for (int64_t i = p->begin; i < p->end; i++) c[i] = a[i];
}
static void add(Part *p) {
  const float *a = p->a, *b = p->b;
  float *restrict c = p->c;
  for (int64_t i = p->begin; i < p->end; i++) c[i] = a[i] + b[i];
}
#ifdef __SSE__
#define PAST(name, value)                                                 \
  static void name(Part *p) {                                             \
    const float *a = p->a, *b = p->b;                                     \
    (void)a, (void)b;                                                     \
    for (int64_t i = p->begin; i < p->end; i += 16)                       \
      for (int k = 0; k < 16; k += 4) _mm_stream_ps(p->c + i + k, value); \
    _mm_sfence();                                                         \
  }
PAST(fill_past, _mm_set1_ps(1))
PAST(copy_past, _mm_load_ps(a + i + k))
PAST(add_past, _mm_add_ps(_mm_load_ps(a + i + k), _mm_load_ps(b + i + k)))
#else
#define fill_past fill
#define copy_past copy
#define add_past add
#endif

static float *array(int64_t n) {
  void *memory;
  size_t bytes = ((size_t)n * sizeof(float) + ALIGN - 1) / ALIGN * ALIGN;
  if (posix_memalign(&memory, ALIGN, bytes) != 0) exit(1);
#ifdef MADV_HUGEPAGE
  madvise(memory, bytes, MADV_HUGEPAGE);
#endif
  for (int64_t i = 0; i < n; i++) ((float *)memory)[i] = (float)(i & 1023);
  return memory;
}

static void show_memory(Part *part, int threads, int64_t n) {
  static const struct {
    const char *name;
    void (*through)(Part *), (*past)(Part *);
    int arrays;
  } loops[] = {{"read", read_all, read_all, 1},
               {"fill", fill, fill_past, 1},
               {"copy", copy, copy_past, 2},
               {"add", add, add_past, 3}};
  for (int k = 0; k < 4; k++) {
    if (!is_asked(loops[k].name)) continue;
    double through = median_pass(part, threads, loops[k].through);
    double past = k == 0 ? through : median_pass(part, threads, loops[k].past);
    double bytes = (double)loops[k].arrays * sizeof(float) * (double)n;
    printf("%s %.0f\n", loops[k].name, bytes / (past < through ? past : through));
  }
}

int main(int argc, char **argv) {
  int threads = argc > 1 ? atoi(argv[1]) : 1;
  int64_t n = (argc > 2 ? atoll(argv[2]) : 1 << 24) / 64 * 64;
  if (threads < 1 || threads > MOST_THREADS || n < 64 * threads) return 1;
  if (argc > 3) passes = atoi(argv[3]);
  if (argc > 4) asked = argv + 4;
  if (passes < 1 || passes > MOST_PASSES) return 1;
  int memory = is_asked("read") || is_asked("fill") || is_asked("copy") || is_asked("add");
  float *a = NULL, *b = NULL, *c = NULL;
  if (memory) a = array(n), b = is_asked("add") ? array(n) : NULL, c = array(n);
  Part part[MOST_THREADS];
  memset(part, 0, sizeof part);
#ifdef __linux__
  cpu_set_t processors;
  if (sched_getaffinity(0, sizeof processors, &processors) != 0) return 1;
  for (int k = 0; k < threads; k++) part[k].processors = processors;
#endif
  for (int k = 0; k < threads; k++) {
    part[k].a = a, part[k].b = b, part[k].c = c, part[k].number = k;
    part[k].begin = n / 64 * k / threads * 64, part[k].end = n / 64 * (k + 1) / threads * 64;
  }
  show_fma(part, threads);
  if (memory) show_memory(part, threads, n);
  return 0;
}
