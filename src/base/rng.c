/* The mt19937 generator: seeding, drawing, the saved state, and who owns a Generator.
 *
 * Invariant: state holds RNG_WORDS words of which words next.. are still to be drawn; left is 1 when there is none and
 * 625 - next otherwise, as in the reference implementation (Matsumoto and Nishimura, 2002) and in PyTorch. */
#include "base/rng.h"
#include "base/alloc.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { SHIFT = 397 }; /* the recurrence reads words j, j + 1 and j + 397 */

typedef uint32_t Words __attribute__((vector_size(16)));
static inline Words words_load(const uint32_t *from) {
  Words w;
  memcpy(&w, from, sizeof w);
  return w;
}
static inline void words_store(uint32_t *to, Words w) { memcpy(to, &w, sizeof w); }

static inline uint32_t twist_word(uint32_t u, uint32_t v, uint32_t far) {
  return far ^ (((u & 0x80000000u) | (v & 0x7fffffffu)) >> 1) ^ (-(v & 1u) & 0x9908b0dfu);
}

/* Words begin .. end-1 of the next state; each reads its neighbour and the word at distance far. */
static void twist_range(uint32_t *state, int begin, int end, int far) {
  int j = begin;
  for (; j + 4 <= end; j += 4) {
    Words u = words_load(state + j), v = words_load(state + j + 1), w = words_load(state + j + far);
    words_store(state + j, w ^ (((u & 0x80000000u) | (v & 0x7fffffffu)) >> 1) ^ (-(v & 1u) & 0x9908b0dfu));
  }
  for (; j < end; j++) state[j] = twist_word(state[j], state[j + 1], state[j + far]);
}

static void twist(Generator *g) {
  uint32_t *s = g->state;
  twist_range(s, 0, RNG_WORDS - SHIFT, SHIFT);
  twist_range(s, RNG_WORDS - SHIFT, RNG_WORDS - 1, SHIFT - RNG_WORDS);
  s[RNG_WORDS - 1] = twist_word(s[RNG_WORDS - 1], s[0], s[SHIFT - 1]);
  g->next = 0;
  g->left = RNG_WORDS + 1;
}

static inline uint32_t temper(uint32_t y) {
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680u;
  y ^= (y << 15) & 0xefc60000u;
  return y ^ (y >> 18);
}

static void temper_range(uint32_t *to, const uint32_t *from, int n) {
  int i = 0;
  for (; i + 4 <= n; i += 4) {
    Words y = words_load(from + i);
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    words_store(to + i, y ^ (y >> 18));
  }
  for (; i < n; i++) to[i] = temper(from[i]);
}

uint32_t rng_u32(Generator *g) {
  if (g->left == 1) twist(g);
  g->left--;
  return temper(g->state[g->next++]);
}

uint64_t rng_u64(Generator *g) {
  uint64_t high = rng_u32(g);
  return high << 32 | rng_u32(g);
}

void rng_fill_u32(Generator *g, uint32_t *to, int64_t n) {
  while (n > 0) {
    if (g->left == 1) twist(g);
    int count = n < g->left - 1 ? (int)n : g->left - 1;
    temper_range(to, g->state + g->next, count);
    g->next += (uint32_t)count;
    g->left -= count;
    to += count;
    n -= count;
  }
}

void generator_manual_seed(Generator *g, uint64_t seed) {
  g->seed = seed;
  g->offset = 0;
  g->seeded = true;
  g->state[0] = (uint32_t)seed;
  for (uint32_t j = 1; j < RNG_WORDS; j++) g->state[j] = 1812433253u * (g->state[j - 1] ^ (g->state[j - 1] >> 30)) + j;
  g->left = 1;
  g->next = 0;
  g->has_normal_double = g->has_normal_float = false;
  g->normal_double = 0;
  g->normal_float = 0;
}

/* 53 bits, so that the seed is also exact as a float; the clock where the system has no random device. */
static uint64_t system_seed(void) {
  uint64_t seed = 0;
  FILE *device = fopen("/dev/urandom", "rb");
  bool read = device && fread(&seed, sizeof seed, 1, device) == 1;
  if (device) fclose(device);
  if (!read) {
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    seed = ((uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec) * 0x9e3779b97f4a7c15u;
  }
  return seed & 0x1fffffffffffffu;
}

uint64_t generator_random_seed(Generator *g) {
  uint64_t seed = system_seed();
  generator_manual_seed(g, seed);
  return seed;
}

Generator *generator_new(int device) {
  Generator *g = mem_alloc(sizeof *g);
  if (!g) return NULL;
  g->refs = 1;
  g->device = device;
  generator_manual_seed(g, RNG_DEFAULT_SEED);
  return g;
}

Generator *generator_retain(Generator *g) {
  g->refs++;
  return g;
}

void generator_release(Generator *g) {
  if (g && --g->refs == 0) mem_free(g);
}

/* The default generators of a thread go when the thread ends, unless a host still holds one. Slot 0 is the host's. */
typedef struct {
  Generator *of[1 + GENERATOR_DEVICES];
  bool seeded; /* all at once, with: */
  uint64_t seed;
} Defaults;
static pthread_key_t defaults_key;
static bool defaults_key_made;
static pthread_once_t defaults_once = PTHREAD_ONCE_INIT;
static _Thread_local Defaults *defaults;

static void defaults_release(void *context) {
  Defaults *d = context;
  for (int k = 0; k <= GENERATOR_DEVICES; k++) generator_release(d->of[k]);
  mem_free(d);
  defaults = NULL;
}
static void defaults_make_key(void) { defaults_key_made = pthread_key_create(&defaults_key, defaults_release) == 0; }

static Defaults *open_defaults(void) {
  if (defaults) return defaults;
  Defaults *d = mem_zero(sizeof *d);
  if (!d) return NULL;
  pthread_once(&defaults_once, defaults_make_key);
  if (defaults_key_made) pthread_setspecific(defaults_key, d);
  return defaults = d;
}

Generator *generator_default_on(int device) {
  Defaults *d = open_defaults();
  if (!d || d->of[1 + device]) return d ? d->of[1 + device] : NULL;
  Generator *g = generator_new(device);
  if (!g) return NULL;
  if (d->seeded && device != HOST_GENERATOR)
    generator_manual_seed(g, d->seed);
  else
    generator_random_seed(g);
  return d->of[1 + device] = g;
}

Generator *generator_default(void) {
  return defaults && defaults->of[0] ? defaults->of[0] : generator_default_on(HOST_GENERATOR);
}

void generators_manual_seed(uint64_t seed) {
  Defaults *d = open_defaults();
  if (!d || !generator_default()) return;
  d->seeded = true;
  d->seed = seed;
  for (int k = 0; k <= GENERATOR_DEVICES; k++)
    if (d->of[k]) generator_manual_seed(d->of[k], seed);
}

/* PyTorch's saved state, a struct of its oldest releases: 8 bytes for each word, then the pair of Box-Muller. */
typedef struct {
  uint64_t seed;
  int32_t left, seeded;
  uint64_t next;
  uint64_t state[RNG_WORDS];
  double unused, normal_double, unused_too;
  int32_t has_normal_double, padding;
  float normal_float;
  uint8_t has_normal_float, padding_too[3];
} SavedState;
_Static_assert(sizeof(SavedState) == RNG_STATE_BYTES, "the layout of PyTorch's get_rng_state()");

int64_t generator_state_bytes(const Generator *g) {
  return g->device == HOST_GENERATOR ? RNG_STATE_BYTES : RNG_DEVICE_STATE_BYTES;
}

static bool set_device_state(Generator *g, const uint8_t *from, int64_t bytes) {
  uint64_t saved[2];
  if (bytes != RNG_DEVICE_STATE_BYTES)
    return fail(MT_EARG,
                "RNG state is wrong size: expected %d bytes of a GPU's generator, but found %lld; pass what "
                "torch.cuda.get_rng_state() or Generator:get_state() returned",
                RNG_DEVICE_STATE_BYTES, (long long)bytes);
  memcpy(saved, from, sizeof saved);
  if (saved[1] % 4 != 0)
    return fail(MT_EARG,
                "offset must be a multiple of 4, but the RNG state holds %llu; pass what "
                "torch.cuda.get_rng_state() or Generator:get_state() returned",
                (unsigned long long)saved[1]);
  generator_manual_seed(g, saved[0]);
  g->offset = saved[1];
  return true;
}

void generator_get_state(const Generator *g, uint8_t *to) {
  if (g->device != HOST_GENERATOR) {
    memcpy(to, (uint64_t[]){g->seed, g->offset}, RNG_DEVICE_STATE_BYTES);
    return;
  }
  SavedState saved;
  memset(&saved, 0, sizeof saved);
  saved.seed = g->seed;
  saved.left = g->left;
  saved.seeded = g->seeded;
  saved.next = g->next;
  for (int j = 0; j < RNG_WORDS; j++) saved.state[j] = g->state[j];
  saved.normal_double = g->has_normal_double ? g->normal_double : 0;
  saved.has_normal_double = g->has_normal_double;
  saved.normal_float = g->has_normal_float ? g->normal_float : 0;
  saved.has_normal_float = g->has_normal_float;
  memcpy(to, &saved, sizeof saved);
}

bool generator_set_state(Generator *g, const uint8_t *from, int64_t bytes) {
  if (g->device != HOST_GENERATOR) return set_device_state(g, from, bytes);
  if (bytes != RNG_STATE_BYTES)
    return fail(MT_EARG,
                "Expected a CPUGeneratorImplState of size %d but found the input RNG state size to be %lld; "
                "pass what get_rng_state() or Generator:get_state() returned",
                RNG_STATE_BYTES, (long long)bytes);
  SavedState saved;
  memcpy(&saved, from, sizeof saved);
  bool fresh = saved.left == 1 && saved.next == 0;
  bool within = saved.left >= 1 && saved.left <= RNG_WORDS && saved.next == RNG_WORDS + 1 - (uint64_t)saved.left;
  if (!saved.seeded || !(fresh || within))
    return fail(MT_EARG,
                "Invalid mt19937 state (seeded %d, left %d, next %llu); "
                "pass what get_rng_state() or Generator:get_state() returned",
                (int)saved.seeded, (int)saved.left, (unsigned long long)saved.next);
  g->seed = saved.seed;
  g->seeded = true;
  g->left = saved.left;
  g->next = (uint32_t)saved.next;
  for (int j = 0; j < RNG_WORDS; j++) g->state[j] = (uint32_t)saved.state[j];
  g->has_normal_double = saved.has_normal_double != 0;
  g->normal_double = g->has_normal_double ? saved.normal_double : 0;
  g->has_normal_float = saved.has_normal_float != 0;
  g->normal_float = g->has_normal_float ? saved.normal_float : 0;
  return true;
}
