/* Random numbers: the streams of PyTorch's CPU generator (mt19937, built without MKL), number for number. A device's
 * generator is the pair of seed and offset that kernels draw from with Philox; its state here is that pair.
 *
 * rng.c holds the generator and its state, distributions.c and multinomial.c what is drawn from it. A Generator is not
 * locked: one belongs to one thread at a time. Fill functions write n contiguous elements. Each returns false with the
 * failure recorded for arguments that PyTorch refuses, and for a NULL generator, which is what generator_default()
 * gives out of memory. */
#ifndef MT_RNG_H
#define MT_RNG_H
#include "base/dtype.h"

enum { RNG_WORDS = 624, HOST_GENERATOR = -1, GENERATOR_DEVICES = 64 };

typedef struct Generator {
  int refs, device; /* device: HOST_GENERATOR or the index of a GPU */
  uint64_t seed;
  uint64_t offset; /* of a GPU's: how many 32-bit numbers each thread of a kernel has drawn */
  uint32_t state[RNG_WORDS];
  int left;      /* as in the reference mt19937: 1 before a twist, else 625 - next */
  uint32_t next; /* position in state */
  bool seeded;
  bool has_normal_double;
  double normal_double; /* the second of a Box-Muller pair, kept by scalar normals */
  bool has_normal_float;
  float normal_float; /* never made here, but part of PyTorch's state */
} Generator;

#define RNG_DEFAULT_SEED UINT64_C(67280421310721)
Generator *generator_new(int device); /* refs 1, default seed; NULL out of memory */
Generator *generator_retain(Generator *g);
void generator_release(Generator *g); /* NULL is fine */
/* This thread's default one of the host, of a device; seeded from the system, or as all were last; borrowed. */
Generator *generator_default(void);
Generator *generator_default_on(int device);
void generators_manual_seed(uint64_t seed); /* this thread's default ones, those of devices that come later too */
void generator_manual_seed(Generator *g, uint64_t seed);
uint64_t generator_random_seed(Generator *g); /* from the system; also seeds g, and returns it (torch.seed) */
uint32_t rng_u32(Generator *g);
uint64_t rng_u64(Generator *g); /* the first draw is the high half */
double rng_unit(Generator *g);  /* [0, 1), 53 bits of two draws */
void rng_fill_u32(Generator *g, uint32_t *to, int64_t n);
/* Byte-for-byte PyTorch's get_rng_state() layout: 5056 bytes, of a device 16 (seed, offset). */
enum { RNG_STATE_BYTES = 5056, RNG_DEVICE_STATE_BYTES = 16 };
int64_t generator_state_bytes(const Generator *g);
void generator_get_state(const Generator *g, uint8_t *to);
bool generator_set_state(Generator *g, const uint8_t *from, int64_t bytes);

/* Tensor fills, each with the algorithm that PyTorch picks for a contiguous tensor of that dtype and n (normal: the
 * 16-wide Box-Muller path from 16 elements on, scalar pairs below). Floats: F16 BF16 F32 F64; others where noted. */
bool rng_uniform(Generator *g, DType d, void *to, int64_t n, double from, double to_value);
bool rng_normal(Generator *g, DType d, void *to, int64_t n, double mean, double std);
bool rng_randint(Generator *g, DType d, void *to, int64_t n, int64_t low, int64_t high); /* [low, high), all dtypes */
bool rng_random_from(Generator *g, DType d, void *to, int64_t n, int64_t low); /* random_(low, None), all dtypes */
bool rng_random_full(Generator *g, DType d, void *to, int64_t n);          /* random_() without bounds, all dtypes */
bool rng_bernoulli(Generator *g, DType d, void *to, int64_t n, double p);  /* bernoulli_(p), all dtypes */
bool rng_chance_fail(int64_t number, double chance) __attribute__((cold)); /* it is no probability */
bool rng_rate_fail(int64_t number, double rate) __attribute__((cold));     /* Poisson has no such rate */
bool rng_bernoulli_tensor(Generator *g, DType d, void *to, DType pd, const void *p, int64_t n); /* bernoulli(p) */
bool rng_exponential(Generator *g, DType d, void *to, int64_t n, double lambda);
bool rng_geometric(Generator *g, DType d, void *to, int64_t n, double p); /* all dtypes but bool */
bool rng_cauchy(Generator *g, DType d, void *to, int64_t n, double median, double sigma);
bool rng_log_normal(Generator *g, DType d, void *to, int64_t n, double mean, double std);
bool rng_poisson(Generator *g, DType d, void *to, const void *rate, int64_t n); /* rate has dtype d */
bool rng_randperm(Generator *g, int64_t *to, int64_t n);                        /* 0-based; the binding shifts */
/* torch.multinomial over one row or many: weights (rows, n) contiguous of dtype d -> out (rows, k), 0-based. */
bool rng_multinomial(Generator *g, DType d, const void *weights, int64_t rows, int64_t n, int64_t k, bool replacement,
                     int64_t *out);
#endif
