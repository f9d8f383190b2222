/* Attention and its gradients against sums in double, on every instruction set this machine has. */
#include "cpu/attention.h"
#include "base/alloc.h"
#include "base/pool.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int passed, wrong;
static const char *about = "";

static void check(bool ok, const char *what) {
  if (ok) {
    passed++;
    return;
  }
  if (++wrong <= 20) printf("failed: %s of %s: %s\n", what, about, fail_message());
  fail_clear();
}

static uint64_t state = 1;
static uint32_t draw(void) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(state >> 33);
}

static void give_back(void *owner, void *data, int64_t bytes) { (void)owner, (void)bytes, free(data); }

/* (rows, columns) that end where their memory ends, so that the sanitizer sees a read past them; turned: columns far apart. */
static Tensor *matrix(DType d, int64_t rows, int64_t columns, bool turned) {
  int64_t n = rows * columns, bytes = n * dtype_size(d);
  char *p = malloc(bytes > 0 ? (size_t)bytes : 1);
  Storage *s = storage_wrap(p, bytes, (Device){MT_CPU, 0}, give_back, NULL);
  for (int64_t i = 0; i < n; i++)
    scalar_store(d == MT_BOOL ? scalar_bool(draw() % 4 > 0) : scalar_float((draw() % 2001 - 1000.0) / 500), d,
                 p + i * dtype_size(d));
  Tensor *t = tensor_view(s, d, 0, 2, (int64_t[]){rows, columns}, (int64_t[]){turned ? 1 : columns, turned ? rows : 1});
  storage_release(s);
  return t;
}
static double at(const Tensor *t, int64_t i, int64_t j) {
  int64_t place = i * t->stride[0] + (t->ndim > 1 ? j * t->stride[1] : 0);
  return scalar_double(scalar_load((DType)t->dtype, tensor_data(t) + place * dtype_size((DType)t->dtype)));
}

typedef struct {
  Tensor *q, *k, *v, *mask, *out, *lse, *grad, *of_lse, *gq, *gk, *gv;
} Case;

/* Weights of row i in w, the logarithm of their sum before they were divided by it; 0 when all are 0. */
static double weigh(const Attention *a, int64_t i, double *w) {
  int64_t source = a->key->shape[0], width = a->key->shape[1];
  double most = -INFINITY, sum = 0;
  for (int64_t j = 0; j < source; j++) {
    w[j] = 0;
    for (int64_t e = 0; e < width; e++) w[j] += at(a->query, i, e) * at(a->key, j, e);
    w[j] = width > 0 ? w[j] * a->scale : 0;
    if (a->mask && a->mask->dtype == MT_BOOL && at(a->mask, i, j) == 0) w[j] = -INFINITY;
    if (a->mask && a->mask->dtype != MT_BOOL) w[j] += at(a->mask, i, j);
    if (a->causal && j > i) w[j] = -INFINITY;
    most = w[j] > most ? w[j] : most;
  }
  for (int64_t j = 0; j < source; j++) sum += w[j] = most == -INFINITY ? 0 : exp(w[j] - most);
  for (int64_t j = 0; j < source; j++) w[j] = sum > 0 ? w[j] / sum : 0;
  return sum > 0 ? most + log(sum) : 0;
}

/* The largest difference to a matrix of doubles, in units of its largest element or 1. */
static double difference(const Tensor *t, const double *want) {
  double most = 0, size = 1;
  int64_t columns = t->ndim > 1 ? t->shape[1] : 1;
  for (int64_t i = 0; i < t->shape[0]; i++)
    for (int64_t j = 0; j < columns; j++) {
      double d = fabs(at(t, i, j) - want[i * columns + j]);
      most = d <= most ? most : d; /* NaN stays */
      size = fmax(size, fabs(want[i * columns + j]));
    }
  return most / size;
}

static double *zeros(int64_t n) { return calloc(n > 0 ? (size_t)n : 1, sizeof(double)); }

static void compare(const Attention *a, const Case *c) {
  int64_t length = a->query->shape[0], source = a->key->shape[0], width = a->key->shape[1], out = a->value->shape[1];
  double tolerance = a->query->dtype == MT_F64 ? 1e-13 : 4e-5;
  double *w = zeros(source), *s = zeros(source), *y = zeros(length * out), *l = zeros(length),
         *gq = zeros(length * width), *gk = zeros(source * width), *gv = zeros(source * out);
  for (int64_t i = 0; i < length; i++) {
    l[i] = weigh(a, i, w);
    double delta = 0;
    for (int64_t j = 0; j < source; j++) {
      s[j] = 0;
      for (int64_t e = 0; e < out; e++) {
        y[i * out + e] += w[j] * at(a->value, j, e);
        gv[j * out + e] += w[j] * at(c->grad, i, e);
        s[j] += at(c->grad, i, e) * at(a->value, j, e);
      }
      delta += w[j] * s[j];
    }
    for (int64_t j = 0; j < source; j++) {
      double slope = w[j] * (s[j] - delta + (c->of_lse ? at(c->of_lse, i, 0) : 0)) * a->scale;
      for (int64_t e = 0; e < width; e++) {
        gq[i * width + e] += slope * at(a->key, j, e);
        gk[j * width + e] += slope * at(a->query, i, e);
      }
    }
  }
  check(difference(c->out, y) < tolerance, "result");
  check(difference(c->lse, l) < tolerance, "lse");
  check(difference(c->gq, gq) < tolerance, "gradient of query");
  check(difference(c->gk, gk) < tolerance, "gradient of key");
  check(difference(c->gv, gv) < tolerance, "gradient of value");
  free(w), free(s), free(y), free(l), free(gq), free(gk), free(gv);
}

typedef enum { PLAIN, CAUSAL, BOOL_MASK, FLOAT_MASK, KINDS } Kind;

/* Fills memory that lies free with NaN, so that what is used without having been written shows. */
static void spoil_memory(void) {
  for (size_t bytes = 1024; bytes <= 1 << 20; bytes += bytes / 8) {
    void *p = block_alloc(bytes);
    if (p) memset(p, 0xff, bytes);
    block_free(p, bytes);
  }
}

static void try_case(int isa, DType d, Kind kind, int64_t length, int64_t source, int64_t width, int64_t out,
                     bool turned) {
  static char text[160];
  snprintf(text, sizeof text, "isa %d %s kind %d L %d S %d E %d Ev %d%s", isa, dtype_info[d].name, kind, (int)length,
           (int)source, (int)width, (int)out, turned ? " turned" : "");
  about = text;
  Case c = {matrix(d, length, width, turned),
            matrix(d, source, width, turned),
            matrix(d, source, out, turned),
            kind == BOOL_MASK    ? matrix(MT_BOOL, length, source, turned)
            : kind == FLOAT_MASK ? matrix(d, length, source, turned)
                                 : NULL,
            matrix(d, length, out, false),
            tensor_new(d, 1, &length, (Device){MT_CPU, 0}),
            matrix(d, length, out, turned),
            kind == PLAIN ? tensor_new(d, 1, &length, (Device){MT_CPU, 0}) : NULL,
            matrix(d, length, width, false),
            matrix(d, source, width, false),
            matrix(d, source, out, false)};
  for (int64_t i = 0; c.of_lse && i < length; i++)
    scalar_store(scalar_float((double)i / 8), d, tensor_data(c.of_lse) + i * dtype_size(d));
  if (kind == BOOL_MASK && length > 1) /* one row that sees nothing */
    for (int64_t j = 0; j < source; j++) tensor_data(c.mask)[c.mask->stride[0] + j * c.mask->stride[1]] = 0;
  Attention a = {c.q, c.k, c.v, c.mask, kind == CAUSAL, 0.3, isa};
  if (kind == CAUSAL) spoil_memory();
  check(cpu_attention(&a, c.out, c.lse), "call");
  check(cpu_attention_back(&a, c.out, c.lse, c.grad, c.of_lse, c.gq, c.gk, c.gv), "call back");
  compare(&a, &c);
  Tensor *all[] = {c.q, c.k, c.v, c.mask, c.out, c.lse, c.grad, c.of_lse, c.gq, c.gk, c.gv};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) tensor_release(all[i]);
}

/* Lengths around the edges of vectors, tiles and blocks, each with each kind somewhere. */
static void try_lengths(int isa, DType d) {
  /* the other length is one of the first 20 */
  static const int64_t lengths[] = {0,  1,  2,  5,  6,  7,   8,   13,  14,  15,  16,  17,  28, 31,
                                    32, 33, 63, 64, 65, 127, 128, 129, 255, 257, 300, 513, 600};
  static const int64_t widths[] = {0, 1, 3, 4, 8, 15, 16, 17, 24, 32, 33, 64, 70};
  const int n = sizeof lengths / sizeof *lengths, m = sizeof widths / sizeof *widths;
  for (int i = 0; i < n; i++)
    for (int k = 0; k < KINDS; k++) {
      int64_t other = lengths[draw() % 20], width = widths[draw() % m], out = widths[draw() % m];
      try_case(isa, d, k, lengths[i], other, width, out, draw() % 4 == 0);
      try_case(isa, d, k, other, lengths[i], width, out, false);
    }
}

static void try_out_of_memory(int isa) {
  int64_t length = 40, source = 300;
  Tensor *q = matrix(MT_F32, length, 5, true), *k = matrix(MT_F32, source, 5, false),
         *v = matrix(MT_F32, source, 7, false);
  Tensor *out = matrix(MT_F32, length, 7, false), *lse = tensor_new(MT_F32, 1, &length, (Device){MT_CPU, 0});
  Tensor *gq = matrix(MT_F32, length, 5, false), *gk = matrix(MT_F32, source, 5, false),
         *gv = matrix(MT_F32, source, 7, false);
  Attention a = {q, k, v, NULL, false, 1, isa};
  about = "little memory";
  int64_t in_use = memory_in_use();
  int refused = 0;
  for (int at = 1; at <= 40; at++) {
    memory_fail_at(at, true);
    bool good = cpu_attention(&a, out, lse) && cpu_attention_back(&a, out, lse, out, NULL, gq, gk, gv);
    memory_fail_at(0, false);
    check(good != failed(), "one or the other");
    check(good || fail_code() == MT_ENOMEM, "code");
    fail_clear();
    refused += !good;
    check(memory_in_use() == in_use, "memory returned");
  }
  check(refused > 4 && refused < 40, "refusals");
  Tensor *all[] = {q, k, v, out, lse, gq, gk, gv};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) tensor_release(all[i]);
}

int main(void) {
  for (int isa = ISA_BASE; isa <= isa_level(); isa++) {
    try_lengths(isa, MT_F32);
    try_lengths(isa, MT_F64);
    try_out_of_memory(isa);
  }
  pool_close();
  memory_trim();
  printf("%d passed, %d failed\n", passed, wrong);
  return wrong != 0;
}
