/* Tests of the generator: the mt19937 core against its published numbers, the saved state, and some numbers of PyTorch
 * (the full list is spec/golden/rng.lua). Prints "N passed, N failed". */
#include "base/rng.h"
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int passed, failures;
#define CHECK(condition) check(condition, #condition, __LINE__)
#define REFUSES(call, message)                         \
  do {                                                 \
    CHECK(!(call) && strstr(fail_message(), message)); \
    fail_clear();                                      \
  } while (0)

static void check(bool holds, const char *what, int line) {
  if (holds) {
    passed++;
    return;
  }
  failures++;
  printf("%s:%d: %s %s\n", __FILE__, line, what, failed() ? fail_message() : "");
}

/* The numbers of the C++ standard's mt19937: seed 5489 and its 10000th draw. */
static void test_core(Generator *g) {
  static const uint32_t first[] = {3499211612u, 581869302u, 3890346734u, 3586334585u, 545404204u};
  generator_manual_seed(g, 5489);
  for (int i = 0; i < 5; i++) CHECK(rng_u32(g) == first[i]);
  uint32_t last = 0;
  for (int i = 5; i < 10000; i++) last = rng_u32(g);
  CHECK(last == 4123659995u);

  /* Blocks of any length give the stream of single draws. */
  static uint32_t one[5000], block[5000];
  generator_manual_seed(g, 99);
  for (int i = 0; i < 5000; i++) one[i] = rng_u32(g);
  generator_manual_seed(g, 99);
  for (int at = 0, k = 1; at < 5000; at += k, k = k * 7 % 1301) {
    if (k > 5000 - at) k = 5000 - at;
    rng_fill_u32(g, block + at, k);
  }
  CHECK(memcmp(one, block, sizeof one) == 0);
  generator_manual_seed(g, 99);
  CHECK(rng_u64(g) == ((uint64_t)one[0] << 32 | one[1]));
  generator_manual_seed(g, (UINT64_C(7) << 32) + 99);
  CHECK(rng_u32(g) == one[0] && g->seed == (UINT64_C(7) << 32) + 99);
}

static uint64_t word_at(const uint8_t *bytes, int offset) {
  uint64_t word = 0;
  for (int i = 7; i >= 0; i--) word = word << 8 | bytes[offset + i];
  return word;
}

static void test_state(Generator *g) {
  uint8_t saved[RNG_STATE_BYTES], again[RNG_STATE_BYTES];
  float rest[40], same[40];
  double normal;
  generator_manual_seed(g, 42);
  rng_uniform(g, MT_F32, rest, 3, 0, 1);
  rng_normal(g, MT_F64, &normal, 1, 0, 1);
  generator_get_state(g, saved);
  CHECK(word_at(saved, 0) == 42);
  CHECK(word_at(saved, 8) == (UINT64_C(1) << 32 | 618)); /* left, seeded */
  CHECK(word_at(saved, 16) == 7);
  CHECK(word_at(saved, 5016 + 24) == 1); /* a normal waits; the float one does not */
  CHECK(word_at(saved, 5048) == 0);
  rng_normal(g, MT_F32, rest, 40, 0, 1);
  rng_normal(g, MT_F32, rest, 3, 0, 1);

  Generator *other = generator_new(HOST_GENERATOR);
  CHECK(other->seed == RNG_DEFAULT_SEED);
  CHECK(generator_set_state(other, saved, sizeof saved));
  generator_get_state(other, again);
  CHECK(memcmp(saved, again, sizeof saved) == 0);
  rng_normal(other, MT_F32, same, 40, 0, 1);
  rng_normal(other, MT_F32, same, 3, 0, 1);
  CHECK(memcmp(rest, same, sizeof rest) == 0);

  REFUSES(generator_set_state(other, saved, 100), "Expected a CPUGeneratorImplState of size 5056");
  memset(saved, 0, sizeof saved);
  REFUSES(generator_set_state(other, saved, sizeof saved), "Invalid mt19937 state");
  generator_get_state(other, again);
  again[16] ^= 1; /* a position that does not agree with what is left */
  REFUSES(generator_set_state(other, again, sizeof again), "Invalid mt19937 state");
  generator_release(generator_retain(other));
  generator_release(other);
}

static void test_numbers(Generator *g) {
  static const float rand42[] = {0.882269263f, 0.915003955f, 0.382863760f};
  float f[16];
  generator_manual_seed(g, 42);
  CHECK(rng_uniform(g, MT_F32, f, 3, 0, 1) && memcmp(f, rand42, sizeof rand42) == 0);
  double d[16];
  CHECK(rng_normal(g, MT_F64, d, 3, 0, 1));
  static const double normal42[] = {-0.82931918651824776, -1.6137069712013394, -0.21470453472074932};
  for (int i = 0; i < 3; i++) CHECK(fabs(d[i] - normal42[i]) < 1e-15);
  generator_manual_seed(g, 0);
  CHECK(rng_normal(g, MT_F32, f, 16, 0, 1));
  CHECK(f[0] == -1.12583983f && f[5] == 0.692009151f && f[10] == 0.349983186f && f[15] == -0.247278154f);
  int64_t order[5];
  CHECK(rng_randperm(g, order, 5));
  static const int64_t order0[] = {1, 0, 4, 2, 3};
  CHECK(memcmp(order, order0, sizeof order) == 0);

  /* Bounds: the upper one is outside, also where rounding reaches it. */
  uint16_t h[2000];
  CHECK(rng_uniform(g, MT_BF16, h, 2000, 0, 1));
  bool below = true;
  for (int i = 0; i < 2000; i++) below = below && bfloat_to_float(h[i]) < 1;
  CHECK(below);
  int8_t small[1000];
  bool inside = true;
  CHECK(rng_randint(g, MT_I8, small, 1000, -128, 128));
  CHECK(rng_randint(g, MT_I8, small, 1000, -3, 4));
  for (int i = 0; i < 1000; i++) inside = inside && small[i] >= -3 && small[i] <= 3;
  CHECK(inside);
}

/* Means and variances of 200000 draws lie within five standard errors. */
static void test_moments(Generator *g) {
  enum { N = 200000 };
  float *x = malloc(N * sizeof *x), *rate = malloc(N * sizeof *rate);
  for (int i = 0; x && rate && i < N; i++) rate[i] = 20;
  static const double want[][2] = {{0.5, 1 / 12.0},       {0, 1},   {0.5, 0.25},
                                   {1 / 0.3, 0.7 / 0.09}, {20, 20}, {0.25, 0.1875}};
  for (int kind = 0; x && rate && kind < 6; kind++) {
    if (kind == 0) rng_uniform(g, MT_F32, x, N, 0, 1);
    if (kind == 1) rng_normal(g, MT_F32, x, N, 0, 1);
    if (kind == 2) rng_exponential(g, MT_F32, x, N, 2);
    if (kind == 3) rng_geometric(g, MT_F32, x, N, 0.3);
    if (kind == 4) rng_poisson(g, MT_F32, x, rate, N);
    if (kind == 5) rng_bernoulli(g, MT_F32, x, N, 0.25);
    double sum = 0, squares = 0;
    for (int i = 0; i < N; i++) sum += x[i];
    for (int i = 0; i < N; i++) squares += (x[i] - sum / N) * (x[i] - sum / N);
    CHECK(fabs(sum / N - want[kind][0]) < 5 * sqrt(want[kind][1] / N));
    CHECK(fabs(squares / N - want[kind][1]) < 0.05 * want[kind][1]);
  }
  free(x);
  free(rate);
}

static void test_refusals(Generator *g) {
  float x[4], minus[] = {-1, 1, 1, 1}, zero[] = {0, 0, 0, 0}, one[] = {1, 1, 1, 1};
  int64_t out[8];
  REFUSES(rng_uniform(g, MT_F32, x, 4, 1, 0), "uniform_ expects to return a [from, to) range, but found from=1 > to=0");
  REFUSES(rng_uniform(g, MT_F16, x, 4, 0, 70000), "to is out of bounds for");
  REFUSES(rng_uniform(g, MT_I32, x, 4, 0, 1), "\"check_uniform_bounds\" not implemented for 'Int'");
  REFUSES(rng_normal(g, MT_F32, x, 4, 0, -1), "normal expects std >= 0.0, but found std -1");
  REFUSES(rng_normal(g, MT_F32, x, 4, 0, NAN), "normal expects std >= 0.0");
  REFUSES(rng_exponential(g, MT_F32, x, 4, 0), "exponential_ expects lambda > 0.0, but found lambda=0");
  REFUSES(rng_geometric(g, MT_F32, x, 4, 1), "geometric_ expects p to be in (0, 1), but got p=1");
  REFUSES(rng_cauchy(g, MT_F32, x, 4, 0, 0), "cauchy_ expects sigma > 0.0, but found sigma=0");
  REFUSES(rng_log_normal(g, MT_F32, x, 4, 0, 0), "log_normal_ expects std > 0.0, but found std=0");
  REFUSES(rng_bernoulli(g, MT_F32, x, 4, 2), "bernoulli_ expects p to be in [0, 1], but got p=2");
  REFUSES(rng_bernoulli_tensor(g, MT_F32, x, MT_F32, minus, 4), "Expected p_in >= 0 && p_in <= 1 to be true");
  REFUSES(rng_poisson(g, MT_F32, x, minus, 4), "invalid Poisson rate, expected rate to be non-negative");
  REFUSES(rng_randint(g, MT_I64, out, 4, 5, 5), "random_ expects 'from' to be less than 'to', but got from=5 >= to=5");
  REFUSES(rng_randint(g, MT_U8, x, 4, 0, 300), "to - 1 is out of bounds for");
  REFUSES(rng_randint(g, MT_I16, x, 4, -40000, 3), "from is out of bounds for");
  REFUSES(rng_multinomial(g, MT_F32, one, 1, 4, 5, false, out), "cannot sample n_sample > prob_dist.size(-1) samples");
  REFUSES(rng_multinomial(g, MT_F32, one, 1, 4, 0, true, out), "cannot sample n_sample <= 0 samples");
  REFUSES(rng_multinomial(g, MT_F32, zero, 1, 4, 2, true, out), "(sum of probabilities <= 0)");
  REFUSES(rng_multinomial(g, MT_F32, minus, 1, 4, 2, true, out), "encountering probability entry < 0");
  REFUSES(rng_multinomial(g, MT_F32, minus, 1, 4, 2, false, out), "probability tensor contains either `inf`, `nan`");
  CHECK(!rng_uniform(NULL, MT_F32, x, 4, 0, 1) && !failed());
}

static void *other_thread(void *mine) {
  Generator *g = generator_default();
  return (void *)(intptr_t)(g && g != mine && g == generator_default());
}

static void test_default(void) {
  Generator *g = generator_default();
  pthread_t thread;
  void *apart = NULL;
  CHECK(g && g == generator_default());
  CHECK(generator_random_seed(g) != generator_random_seed(g));
  CHECK(pthread_create(&thread, NULL, other_thread, g) == 0 && pthread_join(thread, &apart) == 0 && apart);
}

int main(void) {
  Generator *g = generator_new(HOST_GENERATOR);
  test_core(g);
  test_state(g);
  test_numbers(g);
  test_moments(g);
  test_refusals(g);
  test_default();
  generator_release(g);
  printf("%d passed, %d failed\n", passed, failures);
  return failures != 0;
}
