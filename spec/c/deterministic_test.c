/* Products on machines whose caches have other sizes: this program says how large they are, each size in a process of its
 * own, because the library asks once. With the switch on the bits are the same; off, they are not, or nothing was tried. */
#include "base/isa.h"
#include "base/pool.h"
#include "cpu/gemm.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static long cache = 1 << 20;

#ifdef _SC_LEVEL2_CACHE_SIZE
/* Stands before the C library's. */
__attribute__((no_sanitize("address"))) long sysconf(int name) {
  if (name == _SC_LEVEL2_CACHE_SIZE) return cache;
  if (name == _SC_PAGESIZE) return 4096;
  return name == _SC_NPROCESSORS_ONLN || name == _SC_NPROCESSORS_CONF ? 2 : -1;
}
#endif

static uint64_t state;
static float draw(void) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (float)(int64_t)(state >> 40) / (1 << 23) - 1;
}

/* The bits of products (m, k) (k, n), B as it lies or transposed, summed with odd weights. */
static uint64_t products(void) {
  static const int64_t shapes[][3] = {{40, 3000, 70}, {3, 3000, 64}, {30, 1500, 90}, {1, 5000, 33}, {200, 600, 520}};
  uint64_t sum = 0, weight = 1;
  state = 1;
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
    for (int turned = 0; turned < 2; turned++) {
      int64_t m = shapes[s][0], k = shapes[s][1], n = shapes[s][2];
      float *a = malloc((size_t)(m * k) * sizeof *a), *b = malloc((size_t)(k * n) * sizeof *b);
      float *c = malloc((size_t)(m * n) * sizeof *c);
      for (int64_t i = 0; i < m * k; i++) a[i] = draw();
      for (int64_t i = 0; i < k * n; i++) b[i] = draw();
      if (!gemm(MT_F32, m, n, k, 1, a, k, 1, b, turned ? 1 : n, turned ? k : 1, 0, c, n)) exit(1);
      for (int64_t i = 0; i < m * n; i++, weight += 2) {
        uint32_t bits;
        memcpy(&bits, &c[i], sizeof bits);
        sum += bits * weight * 0x9e3779b97f4a7c15u;
      }
      free(a), free(b), free(c);
    }
  return sum;
}

static uint64_t with_cache(long bytes, bool on) {
  int ends[2];
  uint64_t sum = 0;
  if (pipe(ends) != 0) exit(1);
  pid_t child = fork();
  if (child == 0) {
    cache = bytes;
    pool_set_threads(1);
    deterministic_set((Deterministic){.on = on});
    sum = products();
    _exit(write(ends[1], &sum, sizeof sum) == sizeof sum ? 0 : 1);
  }
  int status = 1;
  if (child < 0 || read(ends[0], &sum, sizeof sum) != sizeof sum || waitpid(child, &status, 0) != child || status)
    exit(1);
  close(ends[0]), close(ends[1]);
  return sum;
}

int main(void) {
  int passed = 0, failed = 0;
#ifdef _SC_LEVEL2_CACHE_SIZE
  const long sizes[] = {1 << 18, 1 << 20, 1 << 23};
  for (int on = 0; on < 2; on++) {
    uint64_t first = with_cache(sizes[0], on);
    bool same = true;
    for (int k = 1; k < 3; k++) same = with_cache(sizes[k], on) == first && same;
    bool good = same == (on == 1);
    if (!good) printf("failed: with the switch %s, results %s\n", on ? "on" : "off", same ? "do not differ" : "differ");
    if (good)
      passed++;
    else
      failed++;
  }
#endif
  int best = isa_level();
  deterministic_set((Deterministic){.on = true});
  bool lowered = isa_level() == (best > ISA_AVX2 ? ISA_AVX2 : best);
  deterministic_set((Deterministic){.on = false});
  bool restored = isa_level() == best;
  passed += lowered + restored, failed += !lowered + !restored;
  printf("%d passed, %d failed\n", passed, failed);
  return failed > 0;
}
