/* Random numbers: tensors filled from a Generator, with PyTorch's numbers for the same seed.
 *
 * A tensor that is not contiguous is filled in the order of its memory (cpu/draw.h); sampling results come in logical
 * order. Invariant: a call that is refused has changed no tensor. */
#include "base/alloc.h"
#include "cpu/copy.h"
#include "cpu/copy_tensor.h"
#include "cpu/device_kernels.h"
#include "cpu/reduce.h"
#include "ops/ops.h"
#include "tensor/iter.h"
#include <math.h>
#include <string.h>

extern OpDef def_all, def_argmax, def_argsort, def_cumsum, def_multinomial, def_searchsorted, def_topk;

#define OPTIONS "*, Generator? generator=None, dtype? dtype=None, device? device=None, bool requires_grad=False"
#define GENERATOR "*, Generator? generator=None"

/* What a call draws from: the one that it is given, or the default one of its device. NULL and a failure. */
static Generator *generator_of(const OpCall *c, const Arg *a) {
  int device = c->device.kind == MT_CPU ? HOST_GENERATOR : c->device.index;
  if (!a->given || !a->generator) return generator_default_on(device);
  int own = a->generator->device;
  if (own == device) return a->generator;
  return fail(MT_EARG, "Expected a '%s' device type for generator but found '%s': make it with torch.Generator(\"%s\")",
              device_text(c->device), own < 0 ? "cpu" : text("cuda:%d", own), device_text(c->device)),
         NULL;
}

/* ---- filling ---- */

static bool fill(OpCall *c, const Tensor *order, Draw draw, const Arg *generator) {
  Tensor *t = c->out[0];
  Generator *g = generator_of(c, generator);
  return g && (tensor_device(t).kind == MT_CPU || draw_check(&draw, (DType)t->dtype)) && any_draw(&draw, g, t, order);
}

/* ---- in place ---- */

static void back_nothing(Grad *g) { (void)g; }
#define FILL_FLAGS (OP_METHOD | OP_INPLACE | OP_INPLACE_ONLY | OP_INTO | OP_OVERWRITES | OP_RANDOM)
#define FILL_SELF(id, args, at, what, inputs, refused, ...)                                         \
  static bool fill_##id(OpCall *c) { return fill(c, c->out[0], (Draw){__VA_ARGS__}, &c->arg[at]); } \
  OP(id##_, .schema = args, .doc = what, .samples = inputs, .errors = refused, .flags = FILL_FLAGS, \
     .infer = infer_same, .kernel = EVERYWHERE(fill_##id), .backward = back_nothing)
#define NUMBER(c, k) scalar_double((c)->arg[k].number)

FILL_SELF(uniform, "uniform(Tensor input, float from=0, float to=1, " GENERATOR ") -> Tensor", 3,
          "Uniform numbers of [from, to).", "f(3,4) | f(3) -1 2", "i(3) | f(3) 2 1", DRAW_UNIFORM, .a = NUMBER(c, 1),
          .b = NUMBER(c, 2));
FILL_SELF(normal, "normal(Tensor input, float mean=0, float std=1, " GENERATOR ") -> Tensor", 3,
          "Normal numbers with that mean and standard deviation.", "f(3,4) | f(20) 1 2", "i(3) | f(3) 0 -1",
          DRAW_NORMAL, .a = NUMBER(c, 1), .b = NUMBER(c, 2));
FILL_SELF(log_normal, "log_normal(Tensor input, float mean=1, float std=2, " GENERATOR ") -> Tensor", 3,
          "exp of normal numbers.", "f(3,4)", "i(3) | f(3) 0 -1", DRAW_LOG_NORMAL, .a = NUMBER(c, 1),
          .b = NUMBER(c, 2));
FILL_SELF(cauchy, "cauchy(Tensor input, float median=0, float sigma=1, " GENERATOR ") -> Tensor", 3,
          "Cauchy distributed numbers.", "f(3,4)", "i(3) | f(3) 0 -1", DRAW_CAUCHY, .a = NUMBER(c, 1),
          .b = NUMBER(c, 2));
FILL_SELF(exponential, "exponential(Tensor input, float lambd=1, " GENERATOR ") -> Tensor", 2,
          "Exponentially distributed numbers with rate lambd.", "f(3,4) | f(3) 2", "i(3) | f(3) -1", DRAW_EXPONENTIAL,
          .a = NUMBER(c, 1));
FILL_SELF(geometric, "geometric(Tensor input, float p, " GENERATOR ") -> Tensor", 2,
          "How often one tries until the first success of probability p: 1, 2, ...", "f(3,4) 0.5 | i(3) 0.5",
          "f(3) 1 | b(3) 0.5", DRAW_GEOMETRIC, .a = NUMBER(c, 1));
FILL_SELF(bernoulli, "bernoulli(Tensor input, float p=0.5, " GENERATOR ") -> Tensor", 2,
          "1 with probability p, else 0.", "f(3,4) | i(3) 0.2 | b(3) 0.5", "f(3) 2", DRAW_BERNOULLI, .a = NUMBER(c, 1));

#define RANDOM_DOC \
  "Integers of [from, to); without bounds up to the largest that the dtype holds exactly. Values, so not shifted."
FILL_SELF(random, "random(Tensor input, " GENERATOR ") -> Tensor", 1, RANDOM_DOC, "f(3,4) | i(3)", NULL,
          .kind = DRAW_FULL);
FILL_SELF(random_to, "random(Tensor input, int to, " GENERATOR ") -> Tensor", 2, RANDOM_DOC, "f(3,4) 5 | i(3) 2",
          "f(3) 0", DRAW_BETWEEN, .high = c->arg[1].i);
static bool fill_random_from(OpCall *c) {
  const Arg *to = &c->arg[2];
  Draw draw = {.kind = to->given ? DRAW_BETWEEN : DRAW_FROM, .low = c->arg[1].i, .high = to->i};
  return fill(c, c->out[0], draw, &c->arg[3]);
}
OP(random_from_, .schema = "random(Tensor input, int from, int? to, " GENERATOR ") -> Tensor", .doc = RANDOM_DOC,
   .samples = "f(3,4) -2 5 | i(3) 0 2", .errors = "f(3) 3 1", .flags = FILL_FLAGS, .infer = infer_same,
   .kernel = EVERYWHERE(fill_random_from), .backward = back_nothing);

/* Probabilities are checked as they are drawn with, so the result is made aside: no OP_INTO. */
static bool infer_bernoulli_by(OpCall *c) {
  Tensor *self = in(c, 0), *p = in(c, 1);
  int64_t stride[MT_MAX_DIMS];
  if (!tensor_is_float(p))
    return fail(MT_ENOTIMPL,
                "\"bernoulli_tensor_cpu_p_\" not implemented for '%s': p holds probabilities, use p:float()",
                dtype_info[p->dtype].type_name);
  if (!shape_expand(p, self->ndim, self->shape, stride)) return shape_expand_fail(p, self->ndim, self->shape);
  return infer_same(c);
}
static bool bernoulli_by(OpCall *c) {
  Tensor *out = c->out[0], *p = in(c, 1);
  Generator *g = generator_of(c, &c->arg[2]);
  Tensor *spread = g ? tensor_new((DType)p->dtype, out->ndim, out->shape, c->device) : NULL;
  bool good = spread && tensor_copy_into(spread, p) && any_draw_by(DRAW_BY_CHANCE, g, spread, out);
  tensor_release(spread);
  return good;
}
OP(bernoulli_by_, .schema = "bernoulli(Tensor input, Tensor p, " GENERATOR ") -> Tensor",
   .doc = "1 with the probability that p has there, else 0; p broadcasts.", .samples = "f(3,4) u(3,4) | i(3) u(3)",
   .errors = "f(3) i(3) | f(3) u(4)", .flags = FILL_FLAGS & ~OP_INTO, .infer = infer_bernoulli_by,
   .kernel = EVERYWHERE(bernoulli_by), .backward = back_nothing);

/* ---- creation ---- */

static void use_device(OpCall *c, int k) {
  if (c->arg[k].given) c->device = c->arg[k].device;
}

static bool infer_sized(OpCall *c) { /* size, generator, dtype, device */
  use_device(c, 3);
  return out_shape(c, 0, arg_dtype(c, 2, default_dtype()), c->arg[0].n, c->arg[0].ints);
}
static bool make_rand(OpCall *c) { return fill(c, c->out[0], (Draw){DRAW_UNIFORM, .b = 1}, &c->arg[1]); }
static bool make_randn(OpCall *c) { return fill(c, c->out[0], (Draw){DRAW_NORMAL, .b = 1}, &c->arg[1]); }
#define CREATES (OP_FUNCTION | OP_NO_GRADIENT | OP_RANDOM)
OP(rand, .schema = "rand(Size... size, " OPTIONS ") -> Tensor", .doc = "Uniform numbers of [0, 1).",
   .samples = "{2,3} | {} | {0}", .errors = "{-1}", .flags = CREATES, .infer = infer_sized,
   .kernel = EVERYWHERE(make_rand));
OP(randn, .schema = "randn(Size... size, " OPTIONS ") -> Tensor",
   .doc = "Normal numbers with mean 0 and standard deviation 1.", .samples = "{2,3} | {} | {20}", .errors = "{-1}",
   .flags = CREATES, .infer = infer_sized, .kernel = EVERYWHERE(make_randn));

static bool infer_randint(OpCall *c) { /* low, high, size, generator, dtype, device */
  use_device(c, 5);
  return out_shape(c, 0, arg_dtype(c, 4, MT_I64), c->arg[2].n, c->arg[2].ints);
}
static bool make_randint(OpCall *c) {
  return fill(c, c->out[0], (Draw){DRAW_BETWEEN, .low = c->arg[0].i, .high = c->arg[1].i}, &c->arg[3]);
}
OP(randint, .schema = "randint(int low, int high, Size size, " OPTIONS ") -> Tensor",
   .doc = "Integers of [low, high), int64 unless dtype says otherwise. Values, so not shifted.",
   .samples = "2 7 {2,3} | -3 3 {5}", .errors = "5 3 {2} | 0 5 {-1}", .flags = CREATES, .infer = infer_randint,
   .kernel = EVERYWHERE(make_randint));
static bool compose_randint(OpCall *c) {
  Arg arg[] = {ARG_I(0), c->arg[0], c->arg[1], c->arg[2], c->arg[3], c->arg[4], ARG_NIL};
  return compose_return(c, 0, op_run(&def_randint, arg));
}
OP(randint_to, .schema = "randint(int high, Size size, " OPTIONS ") -> Tensor", .doc = "Integers of [0, high).",
   .samples = "7 {2,3}", .errors = "0 {2}", .flags = CREATES, .compose = compose_randint);

/* A permutation is drawn as int64, then stored as positions from 1. */
static bool infer_randperm(OpCall *c) { /* n, generator, dtype, device */
  DType d = arg_dtype(c, 2, MT_I64);
  int64_t n = c->arg[0].i;
  static const int64_t most[MT_DTYPES] = {
      [MT_U8] = 255,   [MT_I8] = 127,   [MT_I16] = 32767,   [MT_I32] = INT32_MAX,       [MT_I64] = INT64_MAX,
      [MT_F16] = 2048, [MT_BF16] = 256, [MT_F32] = 1 << 24, [MT_F64] = INT64_C(1) << 53};
  use_device(c, 3);
  if (d == MT_BOOL)
    return fail(MT_ENOTIMPL, "\"randperm\" not implemented for 'Bool': it makes positions, use torch.int64");
  if (n > most[d])
    return fail(MT_EARG, "value cannot be converted to type %s without overflow: position %lld; use torch.int64",
                dtype_info[d].name, (long long)n);
  return out_shape(c, 0, d, 1, &n);
}
static bool make_randperm(OpCall *c) {
  Tensor *out = c->out[0];
  Generator *g = generator_of(c, &c->arg[1]);
  Tensor *drawn = g ? tensor_new(MT_I64, 1, out->shape, c->device) : NULL;
  if (!drawn) return false;
  int64_t *p = (int64_t *)tensor_data(drawn);
  bool good = rng_randperm(g, p, out->numel);
  for (int64_t i = 0; good && i < out->numel; i++) p[i]++;
  good = good && tensor_copy_into(out, drawn);
  tensor_release(drawn);
  return good;
}
/* On a device: the order of as many random keys. */
static bool compose_randperm(OpCall *c) {
  if (!infer_randperm(c)) return false;
  Tensor *keys = op_full(MT_I64, 1, c->meta[0].shape, c->device, scalar_int(0));
  keys = keys ? op_run_inplace(&def_random_, (Arg[]){ARG_T(keys), c->arg[1]}) : NULL;
  Tensor *order = keys ? op_run(&def_argsort, (Arg[]){ARG_T(keys), ARG_I(-1), ARG_I(false), ARG_I(true)}) : NULL;
  return compose_return(c, 0, op_cast(order, c->meta[0].dtype));
}
OP(randperm, .schema = "randperm(int n, " OPTIONS ") -> Index", .doc = "The positions 1 to n in random order.",
   .samples = "5 | 0 | 1", .errors = "-1", .flags = CREATES, .infer = infer_randperm, .kernel = {make_randperm},
   .compose = compose_randperm);

/* *_like: PyTorch's result keeps a dense layout, such as a transposed one, and is filled in the order of its memory; here
 * it is contiguous and holds the same numbers. */
static const Tensor *layout_of(const Tensor *t, const Tensor *out) {
  int64_t numel = 1;
  bool used[MT_MAX_DIMS] = {false};
  for (int k = 0; k < t->ndim; k++) { /* the dims by growing stride fill memory without gaps */
    int next = -1;
    for (int d = 0; d < t->ndim; d++)
      if (!used[d] && (t->shape[d] == 1 || t->stride[d] == numel) && (next < 0 || t->shape[d] == 1)) next = d;
    if (next < 0) return out;
    used[next] = true;
    numel *= t->shape[next];
  }
  return t;
}

static bool infer_like(OpCall *c) { /* input, generator, dtype, device */
  use_device(c, 3);
  return out_shape(c, 0, arg_dtype(c, 2, (DType)in(c, 0)->dtype), in(c, 0)->ndim, in(c, 0)->shape);
}
static bool fill_like(OpCall *c, Draw draw, const Arg *generator) {
  return fill(c, layout_of(in(c, 0), c->out[0]), draw, generator);
}
static bool make_rand_like(OpCall *c) { return fill_like(c, (Draw){DRAW_UNIFORM, .b = 1}, &c->arg[1]); }
static bool make_randn_like(OpCall *c) { return fill_like(c, (Draw){DRAW_NORMAL, .b = 1}, &c->arg[1]); }
OP(rand_like, .schema = "rand_like(Tensor input, " OPTIONS ") -> Tensor",
   .doc = "Uniform numbers of [0, 1) in input's shape and dtype.", .samples = "f(2,3)", .errors = "i(3)",
   .flags = CREATES, .infer = infer_like, .kernel = EVERYWHERE(make_rand_like));
OP(randn_like, .schema = "randn_like(Tensor input, " OPTIONS ") -> Tensor",
   .doc = "Normal numbers in input's shape and dtype.", .samples = "f(2,3) | f(4,5)", .errors = "i(3)",
   .flags = CREATES, .infer = infer_like, .kernel = EVERYWHERE(make_randn_like));
static bool infer_randint_like(OpCall *c) { /* input, low, high, generator, dtype, device */
  use_device(c, 5);
  return out_shape(c, 0, arg_dtype(c, 4, (DType)in(c, 0)->dtype), in(c, 0)->ndim, in(c, 0)->shape);
}
static bool make_randint_like(OpCall *c) {
  return fill_like(c, (Draw){DRAW_BETWEEN, .low = c->arg[1].i, .high = c->arg[2].i}, &c->arg[3]);
}
OP(randint_like, .schema = "randint_like(Tensor input, int low, int high, " OPTIONS ") -> Tensor",
   .doc = "Integers of [low, high) in input's shape and dtype.", .samples = "f(2,3) 2 7 | i(3) 0 2",
   .errors = "f(3) 5 2", .flags = CREATES, .infer = infer_randint_like, .kernel = EVERYWHERE(make_randint_like));
static bool compose_randint_like(OpCall *c) {
  Arg arg[] = {c->arg[0], ARG_I(0), c->arg[1], c->arg[2], c->arg[3], c->arg[4], ARG_NIL};
  return compose_return(c, 0, op_run(&def_randint_like, arg));
}
OP(randint_like_to, .schema = "randint_like(Tensor input, int high, " OPTIONS ") -> Tensor",
   .doc = "Integers of [0, high) in input's shape and dtype.", .samples = "f(2,3) 7", .errors = "f(3) 0",
   .flags = CREATES, .compose = compose_randint_like);

/* ---- normal with tensors ---- */

static bool check_std(Tensor *std) {
  if (!tensor_is_float(std))
    return fail(MT_ENOTIMPL, "\"normal_kernel_cpu\" not implemented for '%s': use :float()",
                dtype_info[std->dtype].type_name);
  Tensor *packed = tensor_packed(std, (DType)std->dtype);
  if (!packed) return false;
  bool good = true;
  int size = dtype_size((DType)std->dtype);
  for (int64_t i = 0; good && i < packed->numel; i++)
    good = scalar_load((DType)std->dtype, tensor_data(packed) + i * size).d >= 0;
  tensor_release(packed);
  return good || fail(MT_EARG, "normal expects all elements of std >= 0.0: std is %s; take :abs() or exp of it",
                      tensor_text(std));
}

/* Standard normal numbers of that shape and dtype, times std, plus mean, in this order of rounding. */
static Tensor *standard_normal(Tensor *like, int ndim, const int64_t *shape, Arg generator, double std) {
  Tensor *t = op_full((DType)like->dtype, ndim, shape, tensor_device(like), scalar_int(0));
  return t ? op_run_inplace(&def_normal_,
                            (Arg[]){ARG_T(t), ARG_N(scalar_float(0)), ARG_N(scalar_float(std)), generator})
           : NULL;
}
static bool compose_normal_both(OpCall *c) {
  Tensor *mean = in(c, 0), *std = in(c, 1);
  int ndim = 0;
  int64_t shape[MT_MAX_DIMS];
  if (!check_std(std) || !shape_broadcast(&ndim, shape, mean->ndim, mean->shape) ||
      !shape_broadcast(&ndim, shape, std->ndim, std->shape))
    return false;
  Tensor *t = standard_normal(mean, ndim, shape, c->arg[2], 1);
  return compose_return(c, 0, op_add(op_mul(t, op_detach(std)), op_detach(mean)));
}
static bool compose_normal_mean(OpCall *c) {
  Tensor *mean = in(c, 0);
  Tensor *t = standard_normal(mean, mean->ndim, mean->shape, c->arg[2], NUMBER(c, 1));
  return compose_return(c, 0, op_add(t, op_detach(mean)));
}
static bool compose_normal_std(OpCall *c) {
  Tensor *std = in(c, 1);
  if (!check_std(std)) return false;
  Tensor *t = standard_normal(std, std->ndim, std->shape, c->arg[2], 1);
  return compose_return(c, 0, op_add(op_mul(t, op_detach(std)), op_float(NUMBER(c, 0))));
}
static bool compose_normal_size(OpCall *c) { /* mean, std, size, generator, dtype, device */
  const Arg *size = &c->arg[2];
  if (!shape_check(size->n, size->ints)) return false;
  DType d = arg_dtype(c, 4, default_dtype());
  Tensor *t = op_full(d, size->n, size->ints, c->arg[5].given ? c->arg[5].device : (Device){MT_CPU, 0}, scalar_int(0));
  return t && compose_return(c, 0, op_run_inplace(&def_normal_, (Arg[]){ARG_T(t), c->arg[0], c->arg[1], c->arg[3]}));
}
OP(normal_both, .schema = "normal(Tensor mean, Tensor std, " GENERATOR ") -> Tensor",
   .doc = "Normal numbers whose mean and standard deviation are given element by element; both broadcast.",
   .samples = "f(3,4) p(3,4) | f(3,1) p(4)", .errors = "f(3) p(4) | f(3) i(3)", .flags = CREATES,
   .compose = compose_normal_both);
OP(normal_mean, .schema = "normal(Tensor mean, float std=1, " GENERATOR ") -> Tensor",
   .doc = "Normal numbers around each of mean.", .samples = "f(3,4) 0.5", .errors = "i(3) 1 | f(3) -1",
   .flags = CREATES, .compose = compose_normal_mean);
OP(normal_std, .schema = "normal(float mean, Tensor std, " GENERATOR ") -> Tensor",
   .doc = "Normal numbers with each of std.", .samples = "0 p(3,4)", .errors = "0 i(3)", .flags = CREATES,
   .compose = compose_normal_std);
OP(normal_size, .schema = "normal(float mean, float std, Size size, " OPTIONS ") -> Tensor",
   .doc = "Normal numbers of a given shape.", .samples = "0 1 {2,3} | 1 2 {20}", .errors = "0 -1 {2}", .flags = CREATES,
   .compose = compose_normal_size);

/* ---- sampling by tensors ---- */

static bool infer_bernoulli(OpCall *c) {
  return tensor_is_float(in(c, 0))
             ? infer_same(c)
             : fail(MT_ENOTIMPL,
                    "\"bernoulli_tensor_cpu_p_\" not implemented for '%s': input holds probabilities, use :float()",
                    dtype_info[in(c, 0)->dtype].type_name);
}
static bool sample_bernoulli(OpCall *c) {
  Generator *g = generator_of(c, &c->arg[1]);
  return g && any_draw_by(DRAW_BY_CHANCE, g, in(c, 0), c->out[0]);
}
static bool sample_bernoulli_number(OpCall *c) {
  return fill(c, c->out[0], (Draw){DRAW_BERNOULLI, .a = NUMBER(c, 1)}, &c->arg[2]);
}
static void back_zero(Grad *g) { g_set(g, 0, op_zeros_like(g_out(g, 0))); }
OP(bernoulli, .schema = "bernoulli(Tensor input, " GENERATOR ") -> Tensor",
   .doc = "1 with the probability that input has there, else 0.", .samples = "u(3,4)", .errors = "i(3)",
   .flags = OP_BOTH | OP_RANDOM, .infer = infer_bernoulli, .kernel = EVERYWHERE(sample_bernoulli),
   .backward = back_zero);
OP(bernoulli_p, .schema = "bernoulli(Tensor input, float p, " GENERATOR ") -> Tensor",
   .doc = "input's shape and dtype: 1 with probability p.", .samples = "f(3,4) 0.3 | i(3) 0.5", .errors = "f(3) 1.5",
   .flags = OP_BOTH | OP_RANDOM, .infer = infer_same, .kernel = EVERYWHERE(sample_bernoulli_number),
   .backward = back_zero);

static bool infer_poisson(OpCall *c) {
  return tensor_is_float(in(c, 0)) ? infer_same(c)
                                   : fail(MT_ENOTIMPL, "\"poisson_cpu\" not implemented for '%s': use :float()",
                                          dtype_info[in(c, 0)->dtype].type_name);
}
static bool sample_poisson(OpCall *c) {
  Generator *g = generator_of(c, &c->arg[1]);
  return g && any_draw_by(DRAW_BY_RATE, g, in(c, 0), c->out[0]);
}
OP(poisson, .schema = "poisson(Tensor input, Generator? generator=None) -> Tensor",
   .doc = "Counts whose mean is input.", .samples = "p(3,4)", .errors = "i(3)", .flags = OP_FUNCTION | OP_RANDOM,
   .infer = infer_poisson, .kernel = EVERYWHERE(sample_poisson), .backward = back_zero);

static bool infer_multinomial(OpCall *c) {
  Tensor *w = in(c, 0);
  int64_t k = c->arg[1].i;
  if (w->ndim != 1 && w->ndim != 2)
    return fail(MT_EARG, "prob_dist must be 1 or 2 dim, but input is %s", tensor_text(w));
  if (!tensor_is_float(w))
    return fail(MT_EARG, "multinomial only supports floating-point dtypes for input, got: %s: use :float()",
                dtype_info[w->dtype].type_name);
  if (k <= 0) return fail(MT_EARG, "cannot sample n_sample <= 0 samples: num_samples is %lld", (long long)k);
  int64_t shape[2] = {w->shape[0], k};
  return out_shape(c, 0, MT_I64, w->ndim, w->ndim == 2 ? shape : shape + 1);
}
static bool sample_multinomial(OpCall *c) {
  Tensor *w = in(c, 0), *out = c->out[0], *packed = tensor_packed(w, (DType)w->dtype);
  int64_t rows = w->ndim == 2 ? w->shape[0] : 1, *to = (int64_t *)tensor_data(out);
  bool good = packed && rng_multinomial(generator_of(c, &c->arg[3]), (DType)w->dtype, tensor_data(packed), rows,
                                        w->shape[w->ndim - 1], c->arg[1].i, c->arg[2].i, to);
  for (int64_t i = 0; good && i < out->numel; i++) to[i]++;
  tensor_release(packed);
  return good;
}
/* On a device, with weights that are checked there: whoever waits longest for an event of his rate is drawn first (Efraimidis
 * and Spirakis, 2006); with replacement the running sums are searched. What is refused goes to the host, which says why. */
static bool weights_hold(Tensor *w, int64_t k, bool replacement, Tensor **total) {
  *total = op_sum_dim(w, -1, true);
  Tensor *good = op_and(op_ge(w, op_float(0)), op_lt(w, op_float((double)INFINITY)));
  Tensor *all =
      good ? op_run(&def_all, (Arg[]){ARG_T(op_and(good, op_gt(*total, op_float(0)))), ARG_NIL, ARG_I(0)}) : NULL;
  Tensor *host = op_host(all);
  return host && scalar_int64(tensor_scalar(host)) && (replacement || k <= w->shape[w->ndim - 1]);
}
static Tensor *draw_weighted(Tensor *w, Tensor *total, int64_t k, bool replacement, Arg generator) {
  int64_t shape[2] = {w->shape[0], k}, last = w->ndim - 1;
  if (replacement && k > 1) {
    Tensor *u = op_full((DType)w->dtype, w->ndim, w->ndim == 2 ? shape : shape + 1, tensor_device(w), scalar_int(0));
    u = u ? op_run_inplace(&def_uniform_, (Arg[]){ARG_T(u), ARG_N(scalar_float(0)), ARG_N(scalar_float(1)), generator})
          : NULL;
    Tensor *sums = op_div(op_run(&def_cumsum, (Arg[]){ARG_T(w), ARG_I(last), ARG_DTYPE(MT_NO_DTYPE)}), total);
    return op_run(&def_searchsorted,
                  (Arg[]){ARG_T(op_contiguous(sums)), ARG_T(u), ARG_I(false), ARG_I(true), ARG_NIL, ARG_NIL});
  }
  Tensor *wait = op_run_inplace(&def_exponential_, (Arg[]){ARG_T(op_zeros_like(w)), ARG_N(scalar_float(1)), generator});
  Tensor *rate = op_div(w, wait), *out[MAX_OUTS] = {NULL};
  if (k == 1) return op_run(&def_argmax, (Arg[]){ARG_T(rate), ARG_I(last), ARG_I(true)});
  Arg arg[] = {ARG_T(rate), ARG_I(k), ARG_I(last), ARG_I(true), ARG_I(true)};
  return op_run_many(&def_topk, arg, out) ? out[1] : NULL;
}
static bool compose_multinomial(OpCall *c) {
  int64_t k = c->arg[1].i;
  bool replacement = c->arg[2].i;
  if (!infer_multinomial(c)) return false;
  Tensor *w = op_detach(in(c, 0)), *total;
  w = w ? op_cast(w, w->dtype == MT_F64 ? MT_F64 : MT_F32) : NULL;
  bool good = w && weights_hold(w, k, replacement, &total);
  if (failed()) return false;
  if (good)
    return generator_of(c, &c->arg[3]) && compose_return(c, 0, draw_weighted(w, total, k, replacement, c->arg[3]));
  Tensor *drawn = op_run(&def_multinomial, (Arg[]){ARG_T(op_host(in(c, 0))), c->arg[1], c->arg[2], ARG_NIL});
  return compose_return(c, 0, op_on(drawn, c->device));
}
OP(multinomial, .schema = "multinomial(Tensor input, int num_samples, bool replacement=False, " GENERATOR ") -> Index",
   .doc = "Positions of the last dim, drawn with input as weights; each row is a distribution of its own.",
   .samples = "u(5) 3 | u(2,5) 2 | u(5) 8 True", .errors = "u(3) 4 | u(3) 0 | i(3) 1 | u(2,2,2) 1",
   .flags = OP_BOTH | OP_NO_GRADIENT | OP_RANDOM, .infer = infer_multinomial, .kernel = {sample_multinomial},
   .compose = compose_multinomial);
