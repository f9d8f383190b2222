/* What is drawn from a Generator: the transforms of PyTorch's CPU kernels, one function for each fill.
 *
 * Two rules make the numbers equal. Draws are taken in PyTorch's order and width (24 bits of one 32-bit draw for a
 * float, 53 of two draws for a double). And where PyTorch's kernels are compiled with fused multiply-add, the addition
 * here rounds once too: by fma(), or through double where the product of two floats is exact. */
#include "base/box_muller.h"
#include "base/rng.h"
#include <math.h>
#include <string.h>

#define TWO_PI 6.283185307179586476925286766559
enum { DRAWS = RNG_WORDS, PAIRS = DRAWS / 2, BLOCK = 16 };

static inline int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }

/* ---- Storing: k numbers at element `at` of a tensor of dtype d ---- */

#define PUT(type, value)                              \
  {                                                   \
    type *t = (type *)to + at;                        \
    for (int i = 0; i < k; i++) t[i] = (type)(value); \
  }                                                   \
  break

static void put_ints(DType d, void *to, int64_t at, const int64_t *from, int k) {
  switch (d) {
  case MT_BOOL: PUT(uint8_t, from[i] != 0);
  case MT_U8: PUT(uint8_t, from[i]);
  case MT_I8: PUT(int8_t, from[i]);
  case MT_I16: PUT(int16_t, from[i]);
  case MT_I32: PUT(int32_t, from[i]);
  case MT_I64: PUT(int64_t, from[i]);
  case MT_F16: PUT(uint16_t, float_to_half((float)from[i]));
  case MT_BF16: PUT(uint16_t, float_to_bfloat((float)from[i]));
  case MT_F32: PUT(float, from[i]);
  case MT_F64: PUT(double, from[i]);
  default: break;
  }
}

static void put_floats(DType d, void *to, int64_t at, const float *from, int k) {
  switch (d) {
  case MT_F16: PUT(uint16_t, float_to_half(from[i]));
  case MT_BF16: PUT(uint16_t, float_to_bfloat(from[i]));
  default: memcpy((float *)to + at, from, (size_t)k * sizeof *from);
  }
}

static void put_doubles(DType d, void *to, int64_t at, const double *from, int k) {
  switch (d) {
  case MT_F16: PUT(uint16_t, float_to_half((float)from[i]));
  case MT_BF16: PUT(uint16_t, float_to_bfloat((float)from[i]));
  case MT_F32: PUT(float, from[i]);
  case MT_F64: PUT(double, from[i]);
  default:
    for (int i = 0; i < k; i++) put_ints(d, to, at + i, &(int64_t){scalar_int64(scalar_float(from[i]))}, 1);
  }
}

/* x as a value of dtype d, which is a float dtype. */
static double round_to(DType d, double x) {
  switch (d) {
  case MT_F16: return half_to_float(float_to_half((float)x));
  case MT_BF16: return bfloat_to_float(float_to_bfloat((float)x));
  case MT_F32: return (float)x;
  default: return x;
  }
}

static double load_float(DType d, const void *from, int64_t i) {
  return scalar_load(d, (const char *)from + i * dtype_size(d)).d;
}

static double largest(DType d) {
  return d == MT_F16 ? 65504.0 : d == MT_BF16 ? 0x1.fep127 : d == MT_F32 ? 0x1.fffffep127 : 0x1.fffffffffffffp1023;
}

/* Bits of the significand; every integer up to 2^digits is a value of the dtype. */
static int float_digits(DType d) { return d == MT_F16 ? 11 : d == MT_BF16 ? 8 : d == MT_F32 ? 24 : 53; }

static bool need_float(const Generator *g, DType d, const char *kernel) {
  if (!g) return false;
  if (!dtype_is_float(d))
    return fail(MT_ENOTIMPL, "\"%s\" not implemented for '%s'; use a floating point dtype, such as x:float()", kernel,
                dtype_info[d].type_name);
  return true;
}

/* ---- Uniform ---- */

static double uniform_double(uint64_t draw) { return (double)(int64_t)(draw & 0x1fffffffffffffu) * 0x1p-53; }

double rng_unit(Generator *g) { return uniform_double(rng_u64(g)); }

/* k <= PAIRS numbers of [0, 1), 53 bits each. */
static void uniform_doubles(Generator *g, double *to, int k) {
  uint32_t draws[DRAWS];
  rng_fill_u32(g, draws, 2 * k);
  for (int i = 0; i < k; i++) to[i] = uniform_double((uint64_t)draws[2 * i] << 32 | draws[2 * i + 1]);
}

/* k <= DRAWS numbers of [0, 1), 24 bits each. to has room for a multiple of four. */
static void uniform_floats(Generator *g, float *to, int k) {
  Ints draws[DRAWS / 4];
  rng_fill_u32(g, (uint32_t *)draws, k);
  for (int i = 0; i < k; i += 4) {
    if (k - i < 4) memset((uint32_t *)draws + k, 0, (size_t)(4 - (k - i)) * sizeof(uint32_t));
    floats_store(to + i, __builtin_convertvector(draws[i / 4] & 0xffffff, Floats) * 0x1p-24f);
  }
}

/* The upper bound is outside the range, and rounding must not reach it. */
static void uniform_floats_between(Generator *g, DType d, void *to, int64_t n, float from, float high) {
  float u[DRAWS], range = high - from;
  float high_stored = (float)round_to(d, high), from_stored = (float)round_to(d, from);
  for (int64_t at = 0; at < n; at += DRAWS) {
    int k = (int)min64(n - at, DRAWS);
    uniform_floats(g, u, k);
    for (int i = 0; i < k; i += 4)
      floats_store(u + i, fused(floats_load(u + i), floats_of(range), floats_of(from), false));
    if (d != MT_F32)
      for (int i = 0; i < k; i++) u[i] = (float)round_to(d, u[i]);
    for (int i = 0; i < k; i++) u[i] = u[i] == high_stored ? from_stored : u[i];
    put_floats(d, to, at, u, k);
  }
}

bool rng_uniform(Generator *g, DType d, void *to, int64_t n, double from, double high) {
  if (!need_float(g, d, "check_uniform_bounds")) return false;
  if (!(fabs(from) <= largest(d)))
    return fail(MT_EARG, "from is out of bounds for %s: found from=%g, the largest value is %g; use a wider dtype",
                dtype_info[d].name, from, largest(d));
  if (!(fabs(high) <= largest(d)))
    return fail(MT_EARG, "to is out of bounds for %s: found to=%g, the largest value is %g; use a wider dtype",
                dtype_info[d].name, high, largest(d));
  if (!(from <= high))
    return fail(MT_EARG, "uniform_ expects to return a [from, to) range, but found from=%g > to=%g; swap them", from,
                high);
  if (!(high - from <= largest(d)))
    return fail(MT_EARG,
                "uniform_ expects to-from <= std::numeric_limits<%s>::max(), but found to=%g and from=%g "
                "which result in to-from to exceed the limit; narrow the range",
                dtype_info[d].type_name, high, from);
  if (d != MT_F64) {
    uniform_floats_between(g, d, to, n, (float)from, (float)high);
    return true;
  }
  double *out = to, range = high - from;
  for (int64_t at = 0; at < n; at += PAIRS) {
    int k = (int)min64(n - at, PAIRS);
    uniform_doubles(g, out + at, k);
    if (from == 0 && high == 1) continue;
    for (int i = 0; i < k; i++) {
      double x = from == 0 ? out[at + i] * range : fma(out[at + i], range, from);
      out[at + i] = x == high ? from : x;
    }
  }
  return true;
}

/* ---- Normal ---- */

/* Box-Muller on a block of 16 uniforms: the first eight give radii, the others angles. */
static void normal_doubles_block(double *block, double mean, double std) {
  for (int j = 0; j < BLOCK / 2; j++) {
    double radius = sqrt(-2 * log(1 - block[j])), angle = TWO_PI * block[j + 8];
    block[j] = fma(radius * cos(angle), std, mean);
    block[j + 8] = fma(radius * sin(angle), std, mean);
  }
}

/* Whole blocks in order; a rest is made by drawing the last 16 elements anew. A float or double tensor has by then
 * drawn uniforms for the rest as well, a 16-bit one has not. */
static void normal_floats(Generator *g, DType d, void *to, int64_t n, float mean, float std) {
  float u[DRAWS];
  int64_t whole = n - n % BLOCK;
  for (int64_t at = 0; at < whole; at += DRAWS) {
    int k = (int)min64(whole - at, DRAWS);
    uniform_floats(g, u, k);
    box_muller_floats(u, k, mean, std);
    put_floats(d, to, at, u, k);
  }
  if (whole == n) return;
  if (d == MT_F32) uniform_floats(g, u, (int)(n - whole));
  uniform_floats(g, u, BLOCK);
  box_muller_floats(u, BLOCK, mean, std);
  put_floats(d, to, n - BLOCK, u, BLOCK);
}

static void normal_doubles(Generator *g, double *to, int64_t n, double mean, double std) {
  double u[DRAWS];
  int64_t whole = n - n % BLOCK;
  for (int64_t at = 0; at < whole; at += BLOCK) {
    uniform_doubles(g, to + at, BLOCK);
    normal_doubles_block(to + at, mean, std);
  }
  if (whole == n) return;
  uniform_doubles(g, u, (int)(n - whole));
  uniform_doubles(g, to + n - BLOCK, BLOCK);
  normal_doubles_block(to + n - BLOCK, mean, std);
}

/* One normal number in double; its twin is kept in the generator for the next call. */
static double normal_scalar(Generator *g, double mean, double std) {
  if (g->has_normal_double) {
    g->has_normal_double = false;
    return fma(g->normal_double, std, mean);
  }
  double u = rng_unit(g), v = rng_unit(g);
  double radius = sqrt(-2 * log1p(-v)), angle = TWO_PI * u;
  g->normal_double = radius * sin(angle);
  g->has_normal_double = true;
  return fma(radius * cos(angle), std, mean);
}

bool rng_normal(Generator *g, DType d, void *to, int64_t n, double mean, double std) {
  if (!need_float(g, d, "normal_kernel_cpu")) return false;
  if (!(std >= 0)) return fail(MT_EARG, "normal expects std >= 0.0, but found std %g", std);
  if (n < BLOCK)
    for (int64_t i = 0; i < n; i++) put_doubles(d, to, i, &(double){normal_scalar(g, mean, std)}, 1);
  else if (d == MT_F64)
    normal_doubles(g, to, n, mean, std);
  else
    normal_floats(g, d, to, n, (float)mean, (float)std);
  return true;
}

bool rng_log_normal(Generator *g, DType d, void *to, int64_t n, double mean, double std) {
  if (!need_float(g, d, "log_normal_cpu")) return false;
  if (!(std > 0)) return fail(MT_EARG, "log_normal_ expects std > 0.0, but found std=%g", std);
  for (int64_t i = 0; i < n; i++) put_doubles(d, to, i, &(double){exp(normal_scalar(g, mean, std))}, 1);
  return true;
}

/* ---- Integers ---- */

/* The nearest bounds that still hold after rounding to a float dtype: from moves up, to moves down. */
static int64_t bound_step(DType d, uint64_t magnitude) {
  int log2 = 63 - __builtin_clzll(magnitude | 1);
  return INT64_C(1) << (log2 - float_digits(d) + 1);
}

static int64_t round_low(DType d, int64_t low) {
  if (low == INT64_MAX) return low;
  double rounded = round_to(d, (double)(low + 1));
  if (!(fabs(rounded) <= 0x1p63) || rounded == 0x1p63 || (int64_t)rounded >= low) return low;
  return (int64_t)rounded + bound_step(d, low + 1 < 0 ? -(uint64_t)(low + 1) : (uint64_t)(low + 1));
}

static int64_t round_high(DType d, int64_t high) {
  double rounded = round_to(d, (double)(high - 1));
  if (!(fabs(rounded) <= 0x1p63) || rounded == 0x1p63 || (int64_t)rounded < high) return high;
  return (int64_t)rounded - bound_step(d, high - 1 < 0 ? -(uint64_t)(high - 1) : (uint64_t)(high - 1));
}

static int64_t int_largest(DType d) {
  return d == MT_BOOL ? 1 : (int64_t)(UINT64_MAX >> (65 - 8 * dtype_size(d) - !dtype_info[d].is_signed));
}

static bool in_range(DType d, const char *name, int64_t value) {
  double low = 0, high;
  if (dtype_is_float(d)) {
    high = largest(d);
    low = -high;
    if (fabs((double)value) <= high) return true;
  } else {
    int64_t most = int_largest(d), least = dtype_info[d].is_signed && d != MT_BOOL ? -most - 1 : 0;
    if (value >= least && value <= most) return true;
    low = (double)least;
    high = (double)most;
  }
  return fail(MT_EARG, "%s is out of bounds for %s: found %lld, the dtype holds %.17g to %.17g; use a wider dtype",
              name, dtype_info[d].name, (long long)value, low, high);
}

/* low plus a draw modulo range; range 0 stands for 2^64. From 2^28 on, two draws keep the modulus fair. */
static void fill_ints(Generator *g, DType d, void *to, int64_t n, uint64_t range, int64_t low) {
  uint32_t draws[DRAWS];
  int64_t values[DRAWS];
  bool wide = range == 0 || range >= UINT64_C(1) << 28;
  int most = wide ? PAIRS : DRAWS;
  for (int64_t at = 0; at < n; at += most) {
    int k = (int)min64(n - at, most);
    rng_fill_u32(g, draws, wide ? 2 * k : k);
    for (int i = 0; i < k; i++) {
      uint64_t draw = wide ? (uint64_t)draws[2 * i] << 32 | draws[2 * i + 1] : draws[i];
      uint64_t value = !wide ? (uint32_t)draw % (uint32_t)range : range ? draw % range : draw;
      values[i] = (int64_t)(value + (uint64_t)low);
    }
    put_ints(d, to, at, values, k);
  }
}

bool rng_randint(Generator *g, DType d, void *to, int64_t n, int64_t low, int64_t high) {
  if (!g) return false;
  if (low >= high)
    return fail(MT_EARG, "random_ expects 'from' to be less than 'to', but got from=%lld >= to=%lld; swap them",
                (long long)low, (long long)high);
  if (dtype_is_float(d)) {
    low = round_low(d, low);
    high = round_high(d, high);
    if (low >= high)
      return fail(MT_EARG,
                  "random_ expects 'from' casted to dtype to be less than 'to' casted to dtype, but got "
                  "from=%lld >= to=%lld for %s; use a wider dtype",
                  (long long)low, (long long)high, dtype_info[d].name);
  }
  if (!in_range(d, "from", low) || !in_range(d, "to - 1", high - 1)) return false;
  fill_ints(g, d, to, n, (uint64_t)high - (uint64_t)low, low);
  return true;
}

bool rng_random_from(Generator *g, DType d, void *to, int64_t n, int64_t low) {
  if (!g) return false;
  if (low == INT64_MIN) {
    if (d != MT_I64 && d != MT_F64 && d != MT_F32 && d != MT_BF16)
      return fail(MT_ENOTIMPL,
                  "random_full_64_bits_range_kernel_cpu handles only int64, double, float and bfloat16, "
                  "but got %s; give 'from' and 'to'",
                  dtype_info[d].name);
    fill_ints(g, d, to, n, 0, 0);
    return true;
  }
  int64_t last = dtype_is_float(d) ? INT64_C(1) << float_digits(d) : int_largest(d);
  if (dtype_is_float(d)) {
    low = round_low(d, low);
    if (low >= last)
      return fail(MT_EARG,
                  "random_ expects 'from' casted to dtype to be less than or equal to 'to_inc' casted to "
                  "dtype, but got from=%lld > to_inc=%lld for %s; give 'to' as well",
                  (long long)low, (long long)last, dtype_info[d].name);
  }
  if (!in_range(d, "from", low)) return false;
  fill_ints(g, d, to, n, (uint64_t)last - (uint64_t)low + 1, low);
  return true;
}

bool rng_random_full(Generator *g, DType d, void *to, int64_t n) {
  if (!g) return false;
  uint32_t draws[DRAWS];
  int64_t values[DRAWS];
  bool wide = d == MT_I64 || d == MT_F64;
  uint64_t range = dtype_is_float(d) ? (UINT64_C(1) << float_digits(d)) + 1 : (uint64_t)int_largest(d) + 1;
  int most = wide ? PAIRS : DRAWS;
  for (int64_t at = 0; at < n; at += most) {
    int k = (int)min64(n - at, most);
    rng_fill_u32(g, draws, wide ? 2 * k : k);
    for (int i = 0; i < k; i++)
      values[i] = (int64_t)((wide ? (uint64_t)draws[2 * i] << 32 | draws[2 * i + 1] : draws[i]) % range);
    put_ints(d, to, at, values, k);
  }
  return true;
}

bool rng_randperm(Generator *g, int64_t *to, int64_t n) {
  if (!g) return false;
  bool wide = n >= UINT32_MAX / 20;
  for (int64_t i = 0; i < n; i++) to[i] = i;
  for (int64_t i = 0; i < n - 1; i++) {
    int64_t rest = n - i;
    int64_t j = i + (int64_t)(wide ? rng_u64(g) % (uint64_t)rest : rng_u32(g) % (uint32_t)rest);
    int64_t kept = to[i];
    to[i] = to[j];
    to[j] = kept;
  }
  return true;
}

/* ---- Transforms of one uniform double ---- */

typedef double Transform(double u, double a, double b);

static void fill_transformed(Generator *g, DType d, void *to, int64_t n, Transform *f, double a, double b) {
  double u[PAIRS];
  for (int64_t at = 0; at < n; at += PAIRS) {
    int k = (int)min64(n - at, PAIRS);
    uniform_doubles(g, u, k);
    for (int i = 0; i < k; i++) u[i] = f(u[i], a, b);
    put_doubles(d, to, at, u, k);
  }
}

static double exponential(double u, double lambda, double unused) { return -1.0 / lambda * log1p(-u); }
static double geometric(double u, double log_failure, double unused) { return ceil(log(u) / log_failure); }
static double cauchy(double u, double median, double sigma) { return fma(sigma, tan(TWO_PI / 2 * (u - 0.5)), median); }
static double bernoulli(double u, double p, double unused) { return u < p; }

bool rng_exponential(Generator *g, DType d, void *to, int64_t n, double lambda) {
  if (!g) return false;
  if (!dtype_is_float(d))
    return fail(MT_EARG,
                "Exponential distribution is a continuous probability distribution. dtype must be a floating "
                "point but you specified %s; use x:float()",
                dtype_info[d].name);
  if (!(lambda > 0)) return fail(MT_EARG, "exponential_ expects lambda > 0.0, but found lambda=%g", lambda);
  fill_transformed(g, d, to, n, exponential, lambda, 0);
  return true;
}

bool rng_geometric(Generator *g, DType d, void *to, int64_t n, double p) {
  if (!g) return false;
  if (d == MT_BOOL)
    return fail(MT_ENOTIMPL, "\"geometric_cpu\" not implemented for 'Bool'; use an integer or floating point dtype");
  if (!(p > 0 && p < 1)) return fail(MT_EARG, "geometric_ expects p to be in (0, 1), but got p=%g", p);
  fill_transformed(g, d, to, n, geometric, log1p(-p), 0);
  return true;
}

bool rng_cauchy(Generator *g, DType d, void *to, int64_t n, double median, double sigma) {
  if (!g) return false;
  if (!dtype_is_float(d))
    return fail(MT_EARG,
                "Cauchy distribution is a continuous probability distribution. dtype must be a floating point "
                "but you specified %s; use x:float()",
                dtype_info[d].name);
  if (!(sigma > 0)) return fail(MT_EARG, "cauchy_ expects sigma > 0.0, but found sigma=%g", sigma);
  fill_transformed(g, d, to, n, cauchy, median, sigma);
  return true;
}

bool rng_bernoulli(Generator *g, DType d, void *to, int64_t n, double p) {
  if (!g) return false;
  if (!(p >= 0 && p <= 1)) return fail(MT_EARG, "bernoulli_ expects p to be in [0, 1], but got p=%g", p);
  fill_transformed(g, d, to, n, bernoulli, p, 0);
  return true;
}

bool rng_chance_fail(int64_t number, double chance) {
  return fail(MT_EARG,
              "Expected p_in >= 0 && p_in <= 1 to be true, but got false: probability number %lld is %g; "
              "pass probabilities, such as sigmoid gives",
              (long long)number, chance);
}

bool rng_bernoulli_tensor(Generator *g, DType d, void *to, DType pd, const void *p, int64_t n) {
  if (!need_float(g, pd, "bernoulli_tensor_cpu_p_")) return false;
  for (int64_t i = 0; i < n; i++) {
    double chance = load_float(pd, p, i);
    if (!(chance >= 0 && chance <= 1)) return rng_chance_fail(i + 1, chance);
    double u = pd == MT_F64 ? rng_unit(g) : (rng_u32(g) & 0xffffff) * 0x1p-24;
    put_ints(d, to, i, &(int64_t){u < chance}, 1);
  }
  return true;
}

/* ---- Poisson ---- */

/* Below 10 the product of uniforms, from 10 on transformed rejection (Hoermann, 1993: PTRS). The count stays a double,
 * as it need not fit an integer. */
static double poisson(Generator *g, double rate) {
  if (rate == 0) return 0;
  if (rate < 10) {
    double count = 0, product = 1, limit = exp(-rate);
    while ((product *= rng_unit(g)) > limit) count++;
    return count;
  }
  double log_rate = log(rate), b = 0.931 + 2.53 * sqrt(rate), a = -0.059 + 0.02483 * b;
  double inverse_alpha = 1.1239 + 1.1328 / (b - 3.4), v_r = 0.9277 - 3.6224 / (b - 2);
  for (;;) {
    double u = rng_unit(g) - 0.5, v = rng_unit(g), us = 0.5 - fabs(u);
    double k = floor((2 * a / us + b) * u + rate + 0.43);
    if (us >= 0.07 && v <= v_r) return k;
    if (!(k >= 0) || (us < 0.013 && v > us)) continue;
    int sign;
    if (log(v) + log(inverse_alpha) - log(a / (us * us) + b) <= -rate + k * log_rate - lgamma_r(k + 1, &sign)) return k;
  }
}

bool rng_rate_fail(int64_t number, double rate) {
  return fail(MT_EARG, "invalid Poisson rate, expected rate to be non-negative, but element %lld is %g; clamp it",
              (long long)number, rate);
}

bool rng_poisson(Generator *g, DType d, void *to, const void *rate, int64_t n) {
  if (!need_float(g, d, "poisson_cpu")) return false;
  for (int64_t i = 0; i < n; i++) {
    double r = load_float(d, rate, i);
    if (!(r >= 0)) return rng_rate_fail(i + 1, r);
    put_doubles(d, to, i, &(double){poisson(g, r)}, 1);
  }
  return true;
}
