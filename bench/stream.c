/* Memory bandwidth of c = a + b on floats, measured without the library: `stream THREADS FLOATS` prints the bytes moved a
 * second (two reads and one write an element) in the median pass of the better of two loops, one that writes through the
 * caches and one that writes past them. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

enum { PASSES = 15, MOST_THREADS = 256, ALIGN = 2 << 20 };

typedef struct {
  const float *a, *b;
  float *c;
  int64_t begin, end; /* multiples of 16 */
  int past;           /* write past the caches */
} Part;

static void *add(void *context) {
  const Part *p = context;
#ifdef __SSE__
  if (p->past) {
    for (int64_t i = p->begin; i < p->end; i += 16)
      for (int k = 0; k < 16; k += 4)
        _mm_stream_ps(p->c + i + k, _mm_add_ps(_mm_load_ps(p->a + i + k), _mm_load_ps(p->b + i + k)));
    _mm_sfence();
    return NULL;
  }
#endif
  const float *a = p->a, *b = p->b;
  float *restrict c = p->c;
  for (int64_t i = p->begin; i < p->end; i++) c[i] = a[i] + b[i];
  return NULL;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double pass(Part *part, int threads) {
  pthread_t id[MOST_THREADS];
  int started = 1;
  double begin = now();
  while (started < threads && pthread_create(&id[started], NULL, add, &part[started]) == 0) started++;
  add(&part[0]);
  for (int k = started; k < threads; k++) add(&part[k]);
  for (int k = 1; k < started; k++) pthread_join(id[k], NULL);
  return now() - begin;
}

static int by_size(const void *x, const void *y) {
  double a = *(const double *)x, b = *(const double *)y;
  return a < b ? -1 : a > b;
}

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

int main(int argc, char **argv) {
  int threads = argc > 1 ? atoi(argv[1]) : 1;
  int64_t n = (argc > 2 ? atoll(argv[2]) : 1 << 24) / 16 * 16;
  if (threads < 1 || threads > MOST_THREADS || n < 16 * threads) return 1;
  float *a = array(n), *b = array(n), *c = array(n);
  double best = 0;
  for (int past = 0; past < 2; past++) {
    Part part[MOST_THREADS];
    double seconds[PASSES];
    for (int k = 0; k < threads; k++)
      part[k] = (Part){a, b, c, n / 16 * k / threads * 16, n / 16 * (k + 1) / threads * 16, past};
    pass(part, threads);
    for (int i = 0; i < PASSES; i++) seconds[i] = pass(part, threads);
    qsort(seconds, PASSES, sizeof *seconds, by_size);
    double rate = 3.0 * sizeof(float) * (double)n / seconds[PASSES / 2];
    if (rate > best) best = rate;
  }
  printf("%.0f\n", best);
  return 0;
}
