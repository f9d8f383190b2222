/* Tests of src/base: sizes, dtypes, 16-bit floats, allocator, pool. Prints one line; non-zero exit on failure. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "base/alloc.h"
#include "base/dtype.h"
#include "base/large.h"
#include "base/pool.h"
#include "base/size.h"
#include <dirent.h>
#include <float.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_THREAD__)
#define TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TSAN 1
#endif
#endif
#ifndef TSAN
#define TSAN 0
#endif

/* A refused size must come back as NULL under the sanitizers too. */
const char *__asan_default_options(void);
const char *__tsan_default_options(void);
__attribute__((visibility("default"))) const char *__asan_default_options(void) {
  return "allocator_may_return_null=1";
}
__attribute__((visibility("default"))) const char *__tsan_default_options(void) {
  return "allocator_may_return_null=1";
}

static _Atomic int passed, wrong;

static void check(bool ok, const char *what, int line) {
  if (ok) {
    passed++;
    return;
  }
  wrong++;
  printf("base_test.c:%d: %s\n", line, what);
}
#define CHECK(x) check(x, #x, __LINE__)
#define FAILS(x, code, part)                                        \
  do {                                                              \
    CHECK(!(x));                                                    \
    CHECK(fail_code() == (code) && strstr(fail_message(), (part))); \
    fail_clear();                                                   \
  } while (0)

/* ---- sizes ---- */

static void test_sizes(void) {
  int64_t n = 0;
  CHECK(size_mul(1LL << 31, 1LL << 31, &n) && n == 1LL << 62);
  FAILS(size_mul(1LL << 32, 1LL << 31, &n), MT_EARG, "size overflow");
  CHECK(size_add(INT64_MAX - 1, 1, &n) && n == INT64_MAX);
  FAILS(size_add(INT64_MAX, 1, &n), MT_EARG, "size overflow");
  CHECK(size_product(NULL, 0, &n) && n == 1);
  CHECK(size_product((int64_t[]){2, 3, 4}, 3, &n) && n == 24);
  CHECK(size_product((int64_t[]){2, 0, 4}, 3, &n) && n == 0);
  FAILS(size_product((int64_t[]){2, -1}, 2, &n), MT_EARG, "negative dimension -1: [2, -1]");
  FAILS(size_product((int64_t[]){1LL << 40, 1LL << 40}, 2, &n), MT_EARG, "[1099511627776, 1099511627776]");
  FAILS(size_product((int64_t[]){1LL << 40, 0, 1LL << 40}, 3, &n), MT_EARG, "overflow");
  int64_t many[64];
  for (int i = 0; i < 64; i++) many[i] = INT64_MAX;
  FAILS(size_product(many, 64, &n), MT_EARG, "...]");
}

/* ---- dtypes ---- */

/* torch.promote_types of PyTorch 2, dtypes as digits in the order of the enumeration. */
static const char *const promoted[MT_DTYPES] = {
    "0123456789", "1133456789", "2323456789", "3333456789", "4444456789",
    "5555556789", "6666666889", "7777778789", "8888888889", "9999999999",
};

static void test_dtypes(void) {
  for (int a = 0; a < MT_DTYPES; a++)
    for (int b = 0; b < MT_DTYPES; b++) CHECK((int)dtype_promote((DType)a, (DType)b) == promoted[a][b] - '0');
  static const int size[MT_DTYPES] = {1, 1, 1, 2, 4, 8, 2, 2, 4, 8};
  for (int d = 0; d < MT_DTYPES; d++) {
    char full[32];
    snprintf(full, sizeof full, "torch.%s", dtype_info[d].name);
    CHECK(dtype_by_name(full) == (DType)d && dtype_by_name(dtype_info[d].alias) == (DType)d);
    CHECK(dtype_size((DType)d) == size[d]);
  }
  CHECK(dtype_by_name("int") == MT_I32 && dtype_by_name("torch.double") == MT_F64 && dtype_by_name("half") == MT_F16);
  CHECK(dtype_by_name("float8") == MT_NO_DTYPE && dtype_by_name("") == MT_NO_DTYPE);
  CHECK(strcmp(dtype_info[MT_BF16].type_name, "BFloat16") == 0 && strcmp(dtype_info[MT_U8].safetensors, "U8") == 0);
}

static Scalar through(Scalar s, DType d) {
  int64_t cell = -1;
  scalar_store(s, d, &cell);
  return scalar_load(d, &cell);
}

static void test_scalars(void) {
  CHECK(scalar_int64(scalar_float(-2.9)) == -2 && scalar_int64(scalar_float(2.9)) == 2);
  CHECK(scalar_int64(scalar_float(1e30)) == INT64_MAX && scalar_int64(scalar_float(-1e30)) == INT64_MIN);
  CHECK(scalar_int64(scalar_float(-0x1p63)) == INT64_MIN && scalar_int64(scalar_float((double)NAN)) == 0);
  CHECK(through(scalar_int(300), MT_U8).i == 44 && through(scalar_int(-1), MT_U8).i == 255);
  CHECK(through(scalar_int(200), MT_I8).i == -56 && through(scalar_int(40000), MT_I16).i == -25536);
  CHECK(through(scalar_float(-3.7), MT_I32).i == -3 && through(scalar_int(INT64_MIN), MT_I64).i == INT64_MIN);
  CHECK(through(scalar_float(0.5), MT_BOOL).i == 1 && through(scalar_float((double)NAN), MT_BOOL).i == 1);
  CHECK(through(scalar_int(256), MT_BOOL).i == 1 && through(scalar_int(0), MT_BOOL).i == 0);
  CHECK(through(scalar_int(1), MT_BOOL).category == CAT_BOOL && through(scalar_bool(true), MT_I16).i == 1);
  CHECK(through(scalar_float(0.1), MT_F32).d == (double)0.1f && through(scalar_float(0.1), MT_F64).d == 0.1);
  CHECK(through(scalar_float(0.1), MT_F16).d == 0.0999755859375 &&
        through(scalar_float(0.1), MT_BF16).d == 0.10009765625);
  /* 2^24 + 1 and 2^54 + 2^30 + 1 round once, not first to double. */
  CHECK(through(scalar_int(16777217), MT_F32).d == 16777216.0);
  CHECK(through(scalar_int((1LL << 54) + (1LL << 30) + 1), MT_F32).d == 0x1p54 + 0x1p31);
  CHECK(isinf(through(scalar_float(1e300), MT_F32).d));
}

static uint32_t bits(float f) {
  uint32_t u;
  memcpy(&u, &f, sizeof u);
  return u;
}

/* What the bits of a 16-bit float with so many mantissa bits mean, by the definition of IEEE 754. */
static double meaning(uint16_t h, int mantissa, int bias) {
  int exponent = (h & 0x7fff) >> mantissa, fraction = h & ((1 << mantissa) - 1);
  double m = exponent ? ldexp(1 + ldexp(fraction, -mantissa), exponent - bias) : ldexp(fraction, 1 - bias - mantissa);
  return h & 0x8000 ? -m : m;
}

static void test_float16(int mantissa, int bias, float (*load)(uint16_t), uint16_t (*store)(float)) {
  int bad = 0;
  uint16_t infinity = (uint16_t)(0x7fff >> mantissa << mantissa);
  for (uint32_t i = 0; i < 0x10000; i++) {
    uint16_t h = (uint16_t)i, magnitude = h & 0x7fff;
    float f = load(h);
    if (magnitude > infinity) {
      bad += !isnan(f) || (store(f) & 0x7fff) <= infinity;
      continue;
    }
    bad += store(f) != h || (signbit(f) != 0) != (h >> 15);
    if (magnitude == infinity) {
      bad += !isinf(f);
      continue;
    }
    bad += (double)f != meaning(h, mantissa, bias);
    /* Halfway to the next one goes to the even one, anything nearer to the nearer; beyond the largest is infinity. */
    double next = magnitude + 1 == infinity ? copysign(ldexp(1, bias + 1), f) : (double)load((uint16_t)(h + 1));
    float middle = (float)(((double)f + next) / 2);
    if ((double)middle != ((double)f + next) / 2) continue; /* below the smallest float32 */
    bad += store(middle) != (h & 1 ? h + 1 : h);
    bad += store(nextafterf(middle, f)) != h || store(nextafterf(middle, copysignf(INFINITY, f))) != h + 1;
  }
  CHECK(bad == 0);
  CHECK(store(INFINITY) == infinity && store(FLT_MAX) == infinity && store(-0.0f) == 0x8000 && store(0x1p-149f) == 0);
}

static void test_conversions(void) {
  test_float16(10, 15, half_to_float, float_to_half);
  test_float16(7, 127, bfloat_to_float, float_to_bfloat);
  CHECK(float_to_half(65504) == 0x7bff && float_to_half(65519.996f) == 0x7bff && float_to_half(65520) == 0x7c00);
  CHECK(float_to_half(0x1p-24f) == 1 && float_to_half(0x1p-25f) == 0 && float_to_half(0x1.8p-25f) == 1);
  CHECK(float_to_half(NAN) == 0x7e00 && float_to_bfloat(NAN) == 0x7fc0);
  CHECK(bits(half_to_float(0x3c00)) == 0x3f800000 && bits(half_to_float(0x8001)) == 0xb3800000);
}

/* ---- allocator ---- */

static void test_blocks(void) {
  int64_t before = memory_in_use();
  bool right = true;
  for (size_t n = 0; n < 3 << 20; n += 1 + n / 16) {
    char *p = block_alloc(n);
    right = right && p && (uintptr_t)p % 64 == 0 && block_size(n) >= n && block_size(block_size(n)) == block_size(n);
    right = right && (n < 64 || block_size(n) <= n + n / 4 + 64) && memory_in_use() - before == (int64_t)block_size(n);
    if (p) memset(p, 0x5a, n);
    block_free(p, n);
    right = right && memory_in_use() == before;
  }
  CHECK(right);
  block_free(NULL, 10);
  void *a = block_alloc(0), *b = block_alloc(0);
  CHECK(a && b && a != b);
  block_free(a, 0);
  block_free(b, 0);
  if (CACHING) {
    for (size_t n = 64; n <= 64 << 20; n *= 4) {
      void *p = block_alloc(n);
      block_free(p, n);
      void *q = block_alloc(n);
      CHECK(p == q);
      block_free(q, n);
    }
    CHECK(memory_cached() > 64 << 20);
    memory_trim();
  }
  CHECK(memory_cached() == 0 && memory_in_use() == before);
}

static void test_slabs_and_plain(void) {
  int64_t before = memory_in_use();
  enum { N = 20000, EACH = 96 * SLAB_KINDS + 32 * (SLAB_KINDS * (SLAB_KINDS - 1) / 2) };
  static void *slab[SLAB_KINDS][N];
  for (int kind = 0; kind < SLAB_KINDS; kind++)
    for (int i = 0; i < N; i++) {
      slab[kind][i] = slab_alloc(kind, 96 + 32 * (size_t)kind);
      memset(slab[kind][i], kind, 96 + 32 * (size_t)kind);
    }
  CHECK(memory_in_use() - before == N * EACH);
  for (int kind = 0; kind < SLAB_KINDS; kind++)
    for (int i = 0; i < N; i++) slab_free(kind, slab[kind][i], 96 + 32 * (size_t)kind);
  CHECK(memory_in_use() == before && memory_cached() <= 16384 * EACH);
  memory_trim();
  CHECK(memory_cached() == 0);

  char *p = mem_alloc(10);
  memcpy(p, "123456789", 10);
  p = mem_resize(p, 100000);
  CHECK(p && strcmp(p, "123456789") == 0 && memory_in_use() - before >= 100000);
  p = mem_resize(p, 10);
  CHECK(p && strcmp(p, "123456789") == 0);
  mem_free(p);
  mem_free(NULL);
  p = mem_zero(1000);
  bool zero = true;
  for (int i = 0; i < 1000; i++) zero = zero && p[i] == 0;
  CHECK(zero);
  mem_free(p);
  CHECK(memory_in_use() == before);
}

static void test_peak(void) {
  memory_reset_peak();
  int64_t before = memory_in_use();
  void *p = block_alloc(64), *q = block_alloc(1000), *r = block_alloc(3 << 20);
  block_free(q, 1000);
  block_free(r, 3 << 20);
  block_free(p, 64);
  CHECK(memory_peak() - before == 64 + 1024 + (3 << 20) && memory_in_use() == before);
  memory_reset_peak();
  CHECK(memory_peak() == before);
  FAILS(block_alloc((size_t)1 << 52), MT_ENOMEM, "out of memory: you tried to allocate 4503599627370496 bytes");
  CHECK(memory_peak() == before);
}

static void test_absurd(void) {
  int64_t before = memory_in_use();
  static const size_t absurd[] = {SIZE_MAX,         SIZE_MAX - 15, SIZE_MAX / 2,
                                  SIZE_MAX / 2 + 1, SIZE_MAX / 4,  (size_t)1 << 55};
  for (size_t i = 0; i < sizeof absurd / sizeof *absurd; i++) {
    FAILS(block_alloc(absurd[i]), MT_ENOMEM, "out of memory");
    FAILS(mem_alloc(absurd[i]), MT_ENOMEM, "out of memory");
    FAILS(mem_zero(absurd[i]), MT_ENOMEM, "out of memory");
    char *p = mem_alloc(4);
    memcpy(p, "abc", 4);
    FAILS(mem_resize(p, absurd[i]), MT_ENOMEM, "out of memory");
    CHECK(strcmp(p, "abc") == 0);
    mem_free(p);
  }
  CHECK(memory_in_use() == before);
}

static void test_cap(void) {
  int64_t before = memory_in_use();
  memory_set_cap(before + (1 << 20));
  CHECK(memory_cap() == before + (1 << 20));
  void *p = block_alloc(1 << 20);
  CHECK(p != NULL);
  FAILS(block_alloc(1), MT_ENOMEM, "raise the cap");
  FAILS(mem_alloc(1), MT_ENOMEM, "raise the cap");
  FAILS(slab_alloc(SLAB_NODE, 160), MT_ENOMEM, "raise the cap");
  block_free(p, 1 << 20);
  /* Exact for one thread, in small steps too, and with the cache filled. */
  static void *small[1 << 14];
  int n = 0;
  while (n < 1 << 14 && (small[n] = block_alloc(100))) n++;
  CHECK(n == (1 << 20) / 128 && memory_in_use() == memory_cap() && fail_code() == MT_ENOMEM);
  fail_clear();
  while (n > 0) block_free(small[--n], 100);
  CHECK(memory_in_use() == before);
  p = block_alloc(1 << 20);
  CHECK(p && memory_in_use() + large_cached() <= memory_cap());
  block_free(p, 1 << 20);
  memory_set_cap(0);
  p = block_alloc(8 << 20);
  CHECK(p != NULL);
  block_free(p, 8 << 20);
}

/* One of each kind; the number that succeeded. */
static int one_of_each(void) {
  void *a = block_alloc(100), *b = block_alloc(100000), *c = slab_alloc(SLAB_TENSOR, 96), *d = mem_alloc(7),
       *e = mem_zero(7);
  void *f = d ? mem_resize(d, 70) : NULL;
  int n = !!a + !!b + !!c + !!d + !!e + !!f;
  block_free(a, 100);
  block_free(b, 100000);
  slab_free(SLAB_TENSOR, c, 96);
  mem_free(f ? f : d);
  mem_free(e);
  return n;
}

static void test_fail_at(void) {
  int64_t before = memory_in_use();
  memory_count();
  CHECK(one_of_each() == 6 && memory_count() == 6);
  for (int k = 1; k <= 6; k++) {
    memory_fail_at(k, false);
    CHECK(one_of_each() == (k == 4 ? 4 : 5) && fail_code() == MT_ENOMEM);
    fail_clear();
    CHECK(one_of_each() == 6 && !failed());
    memory_fail_at(k, true);
    CHECK(one_of_each() == (k < 5 ? k - 1 : k == 5 ? 4 : 5));
    CHECK(one_of_each() == 0);
    fail_clear();
  }
  memory_fail_at(0, false);
  CHECK(one_of_each() == 6 && !failed() && memory_in_use() == before);
}

/* What the cache may hold. */
static void test_policy(void) {
  if (!CACHING) return;
  memory_trim();
  enum { MB = 1 << 20, N = 256 };
  void *p[N];
  /* 8000 results of 1 MB, freed in batches as a collector does: no more than the batch. */
  int64_t before = memory_in_use(), most = 0;
  for (int i = 0; i < 8000; i++) {
    p[i % 32] = block_alloc(MB);
    int64_t held = memory_in_use() - before + large_cached();
    if (held > most) most = held;
    if (i % 32 == 31)
      for (int j = 0; j < 32; j++) block_free(p[j], MB);
  }
  CHECK(most == 32 * MB);
  /* All that was in use lately may stay, and a quarter more; other sizes push the oldest out. */
  for (int i = 0; i < N; i++) p[i] = block_alloc(MB);
  for (int i = 0; i < N; i++) block_free(p[i], MB);
  CHECK(large_cached() == (int64_t)N * MB);
  for (int i = 0; i < N / 2; i++) p[i] = block_alloc(2 * MB);
  CHECK(memory_in_use() - before == (int64_t)N * MB && large_cached() <= (int64_t)N / 4 * MB);
  for (int i = 0; i < N / 2; i++) block_free(p[i], 2 * MB);
  CHECK(large_cached() <= (int64_t)(N + N / 4) * MB);
  /* A peak is forgotten. */
  for (int i = 0; i < 2 * 4096 + 1; i++) block_free(block_alloc(MB), MB);
  CHECK(large_cached() <= 64 * MB);
  memory_trim();
  /* A size that does not come back is forgotten too, however little it is. */
  block_free(block_alloc(3 * MB), 3 * MB);
  for (int i = 0; i < 4096; i++) block_free(block_alloc(MB), MB);
  CHECK(large_cached() == 4 * MB);
  for (int i = 0; i < 4096 + 1; i++) block_free(block_alloc(MB), MB);
  CHECK(large_cached() == MB);
  memory_trim();
  CHECK(large_cached() == 0);
}

typedef struct {
  void *block[300];
} Hand;

static void *allocates(void *to) {
  Hand *h = to;
  for (int i = 0; i < 300; i++) h->block[i] = block_alloc((size_t)i * 700);
  for (int r = 0; r < 20; r++)
    for (size_t n = 1; n < 300000; n *= 3) {
      block_free(block_alloc(n), n);
      slab_free(SLAB_NODE, slab_alloc(SLAB_NODE, 160), 160);
      mem_free(mem_alloc(n));
    }
  return NULL;
}

static void *frees(void *to) {
  Hand *h = to;
  for (int i = 0; i < 300; i++) block_free(h->block[i], (size_t)i * 700);
  return NULL;
}

static void test_threads(void) {
  enum { T = 4 };
  int64_t before = memory_in_use();
  pthread_t thread[T];
  static Hand hand[T];
  for (int i = 0; i < T; i++) CHECK(pthread_create(&thread[i], NULL, allocates, &hand[i]) == 0);
  for (int i = 0; i < T; i++) pthread_join(thread[i], NULL);
  for (int i = 0; i < T; i++) CHECK(pthread_create(&thread[i], NULL, frees, &hand[(i + 1) % T]) == 0);
  for (int i = 0; i < T; i++) pthread_join(thread[i], NULL);
  CHECK(memory_in_use() == before);
}

/* ---- thread pool ---- */

typedef struct {
  int64_t n, grain;
  _Atomic int *hits; /* for each chunk */
  _Atomic int bad;
  int depth;
} Cover;

static void cover_body(void *context, int64_t b, int64_t e) {
  Cover *c = context;
  if (b % c->grain != 0 || e != (c->n - b > c->grain ? b + c->grain : c->n)) c->bad++;
  c->hits[b / c->grain]++;
  if (c->depth > 0) {
    _Atomic int inner[8] = {0};
    Cover in = {.n = 50, .grain = 7, .hits = inner, .depth = c->depth - 1};
    parallel_for(in.n, in.grain, cover_body, &in);
    for (int i = 0; i < 8; i++)
      if (inner[i] != 1) c->bad++;
    if (in.bad) c->bad++;
  }
}

static bool covers(int64_t n, int64_t grain, int depth) {
  int64_t chunks = n > 0 ? (n - 1) / grain + 1 : 0;
  _Atomic int *hits = calloc((size_t)chunks + 1, sizeof *hits);
  Cover c = {.n = n, .grain = grain, .hits = hits, .depth = depth};
  parallel_for(n, grain, cover_body, &c);
  bool right = c.bad == 0;
  for (int64_t i = 0; i < chunks; i++) right = right && hits[i] == 1;
  free(hits);
  return right;
}

static void *loops(void *result) {
  bool right = true;
  for (int i = 0; i < 200; i++) right = right && covers(100 + i, 3, i % 2);
  *(bool *)result = right;
  return NULL;
}

static void failing_body(void *context, int64_t b, int64_t e) {
  (*(_Atomic int *)context) += (int)(e - b);
  if (b == 30) fail(MT_EINDEX, "index %d is out of range", 30);
}

static void host_scheduler(void *host, int64_t n, int64_t grain, PoolBody body, void *context) {
  (*(int *)host)++;
  int64_t middle = n / 3;
  body(context, middle, n);
  if (middle > 0) body(context, 0, middle);
  CHECK(grain == 1);
}

static void test_pool(void) {
  CHECK(pool_threads() >= 1 && !pool_inside());
  for (int threads = 1; threads <= 5; threads++) {
    pool_set_threads(threads);
    CHECK(pool_threads() == threads);
    for (int64_t n = 0; n < 40; n++) CHECK(covers(n, 4, 0));
    CHECK(covers(1000, 1, 0) && covers(100, 9, 2) && covers(1, 1000, 1) && !pool_inside());
    for (int i = 0; i < 300; i++)
      if (!covers(3, 1, 0)) CHECK(!"every chunk once");
    _Atomic int done = 0;
    parallel_for(100, 10, failing_body, &done);
    CHECK(done == 100 && fail_code() == MT_EINDEX && strcmp(fail_message(), "index 30 is out of range") == 0);
    fail_clear();
    parallel_for(20, 10, failing_body, &done);
    CHECK(!failed());
    if (threads % 2) pool_close();
  }
  pool_set_threads(3);
  enum { T = 4 };
  pthread_t thread[T];
  bool right[T];
  for (int i = 0; i < T; i++) CHECK(pthread_create(&thread[i], NULL, loops, &right[i]) == 0);
  for (int i = 0; i < 20; i++) pool_close();
  for (int i = 0; i < T; i++) {
    pthread_join(thread[i], NULL);
    CHECK(right[i]);
  }
  int calls = 0;
  pool_set_host(host_scheduler, &calls);
  CHECK(covers(100, 7, 1) && covers(5, 7, 0) && calls == 1);
  _Atomic int done = 0;
  parallel_for(100, 10, failing_body, &done);
  CHECK(done == 100 && fail_code() == MT_EINDEX);
  fail_clear();
  pool_set_host(NULL, NULL);
  CHECK(covers(100, 7, 1) && calls == 2);
}

#ifdef __linux__
/* Threads of this process that may not run where the caller may. */
static int confined_threads(void) {
  cpu_set_t own, set;
  int found = 0;
  CHECK(sched_getaffinity(0, sizeof own, &own) == 0);
  DIR *tasks = opendir("/proc/self/task");
  CHECK(tasks);
  for (struct dirent *d; tasks && (d = readdir(tasks));)
    if (d->d_name[0] != '.' && sched_getaffinity((pid_t)atoi(d->d_name), sizeof set, &set) == 0)
      found += !CPU_EQUAL(&own, &set);
  if (tasks) closedir(tasks);
  return found;
}
#endif

static double processor_seconds(void) {
  struct timespec t;
  return clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0 ? (double)t.tv_sec + (double)t.tv_nsec * 1e-9 : -1;
}

/* Threads without work take no time, and wherever they were woken they may run on every processor afterwards. */
static void test_rest(void) {
  const struct timespec pause = {0, 10000000}, rest = {0, 200000000};
  pool_set_threads(2);
  for (int i = 0; i < 10; i++) {
    CHECK(covers(100, 3, 0));
    nanosleep(&pause, NULL);
  }
#ifdef __linux__
  CHECK(confined_threads() == 0);
#endif
  double before = processor_seconds();
  nanosleep(&rest, NULL);
  CHECK(before >= 0 && processor_seconds() - before < 0.02);
}

/* Runs f in a child; whether it returned true. */
static bool in_child(bool (*f)(void)) {
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) _exit(f() ? 0 : 1);
  int status = 0;
  return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool child_works(void) {
  bool right = covers(100, 3, 1);
  void *p = block_alloc(5 << 20);
  right = right && p;
  block_free(p, 5 << 20);
  pool_close();
  return right && covers(100, 3, 0);
}

/* With no memory for the stacks of new threads loops still finish. */
static bool child_starved(void) {
  struct rlimit none = {1, 1};
  if (setrlimit(RLIMIT_AS, &none) != 0) return false;
  pool_set_threads(64);
  bool right = covers(100, 3, 1) && covers(100, 3, 1);
  void *p = block_alloc((size_t)1 << 30);
  right = right && !p && fail_code() == MT_ENOMEM;
  fail_clear();
  return right;
}

static void *forks(void *unused) {
  (void)unused;
  block_free(block_alloc(64), 64);
  CHECK(in_child(child_works));
  return NULL;
}

static void test_fork(void) {
  if (TSAN) return; /* it refuses threads in the child of a process with threads */
  pool_set_threads(3);
  CHECK(covers(100, 3, 0));
  CHECK(in_child(child_works));
  CHECK(covers(100, 3, 0));
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, forks, NULL) == 0);
  pthread_join(thread, NULL);
  if (CACHING) CHECK(in_child(child_starved));
  CHECK(covers(100, 3, 0));
}

int main(void) {
  test_sizes();
  test_dtypes();
  test_scalars();
  test_conversions();
  test_blocks();
  test_slabs_and_plain();
  test_peak();
  test_absurd();
  test_cap();
  test_fail_at();
  test_policy();
  test_threads();
  test_pool();
  test_rest();
  test_fork();
  pool_close();
  printf("%d passed, %d failed\n", passed, wrong);
  return wrong != 0;
}
