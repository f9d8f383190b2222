/* Square systems: P A = L U with partial pivoting, and what follows from it (determinants, inverses, solutions).
 *
 * Matrices are the last two dims, batches those before. All arithmetic is float64, whatever the tensors hold, so that
 * float32 results carry only the rounding of their last step. */
#include "base/alloc.h"
#include "base/size.h"
#include "cpu/device_kernels.h"
#include <math.h>
#include <string.h>

/* Room for one matrix of a batch and for the right-hand sides. */
typedef struct {
  int64_t n, cols;
  double *lu, *x;
  int64_t *row; /* row[i]: the row of A that stands at place i */
  int sign;     /* of the permutation */
  int64_t zero; /* number, from 1, of the first pivot that is zero; 0: none */
} System;

static bool system_open(System *s, int64_t n, int64_t cols) {
  int64_t square, wide;
  *s = (System){.n = n, .cols = cols};
  if (!size_mul(n, n, &square) || !size_mul(square, sizeof(double), &square) || !size_mul(n, cols, &wide) ||
      !size_mul(wide, sizeof(double), &wide))
    return false;
  s->lu = mem_alloc((size_t)square);
  s->x = mem_alloc((size_t)wide);
  s->row = mem_alloc(sizeof *s->row * (size_t)n);
  return s->lu && s->x && s->row;
}
static void system_close(System *s) {
  mem_free(s->lu);
  mem_free(s->x);
  mem_free(s->row);
}

/* Matrix number `batch` of t, of any strides, into rows of doubles. */
static void load(const Tensor *t, int64_t batch, double *to) {
  int64_t rows = t->shape[t->ndim - 2], cols = t->shape[t->ndim - 1], at = 0;
  for (int d = t->ndim - 3; d >= 0; d--) {
    at += batch % t->shape[d] * t->stride[d];
    batch /= t->shape[d];
  }
  const char *base = tensor_data(t);
  int64_t size = dtype_size((DType)t->dtype);
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < cols; j++) {
      int64_t e = at + i * t->stride[t->ndim - 2] + j * t->stride[t->ndim - 1];
      *to++ = scalar_double(scalar_load((DType)t->dtype, base + e * size));
    }
}
/* n numbers to a contiguous tensor from element `at` on. */
static void store(Tensor *t, int64_t at, int64_t n, const double *from) {
  int size = dtype_size((DType)t->dtype);
  char *to = tensor_data(t) + at * size;
  for (int64_t i = 0; i < n; i++) scalar_store(scalar_float(from[i]), (DType)t->dtype, to + i * size);
}

/* least: what stands for a pivot that is zero. */
static void factor(System *s, double least) {
  int64_t n = s->n;
  s->sign = 1;
  s->zero = 0;
  for (int64_t i = 0; i < n; i++) s->row[i] = i;
  for (int64_t k = 0; k < n; k++) {
    int64_t best = k;
    for (int64_t i = k + 1; i < n; i++)
      if (fabs(s->lu[i * n + k]) > fabs(s->lu[best * n + k])) best = i;
    if (best != k) {
      for (int64_t j = 0; j < n; j++) {
        double v = s->lu[k * n + j];
        s->lu[k * n + j] = s->lu[best * n + j];
        s->lu[best * n + j] = v;
      }
      int64_t r = s->row[k];
      s->row[k] = s->row[best];
      s->row[best] = r;
      s->sign = -s->sign;
    }
    double pivot = s->lu[k * n + k];
    if (pivot == 0) {
      if (!s->zero) s->zero = k + 1;
      if (least == 0) continue; /* the column below is zero too */
      pivot = s->lu[k * n + k] = least;
    }
    for (int64_t i = k + 1; i < n; i++) {
      double f = s->lu[i * n + k] /= pivot;
      if (f == 0) continue;
      for (int64_t j = k + 1; j < n; j++) s->lu[i * n + j] -= f * s->lu[k * n + j];
    }
  }
}
/* x: right-hand sides as rows of `cols` numbers, in the order of s->row; becomes the solution. */
static void solve(System *s) {
  int64_t n = s->n, m = s->cols;
  for (int64_t i = 0; i < n; i++)
    for (int64_t k = 0; k < i; k++) {
      double f = s->lu[i * n + k];
      for (int64_t j = 0; f != 0 && j < m; j++) s->x[i * m + j] -= f * s->x[k * m + j];
    }
  for (int64_t i = n - 1; i >= 0; i--) {
    for (int64_t k = i + 1; k < n; k++) {
      double f = s->lu[i * n + k];
      for (int64_t j = 0; f != 0 && j < m; j++) s->x[i * m + j] -= f * s->x[k * m + j];
    }
    for (int64_t j = 0; j < m; j++) s->x[i * m + j] /= s->lu[i * n + i];
  }
}

static int64_t batches(const Tensor *t) {
  int64_t n = 1;
  for (int d = 0; d < t->ndim - 2; d++) n *= t->shape[d];
  return n;
}
/* One matrix of a batch, already factored. */
static void finish_inverse(System *s) {
  int64_t n = s->n;
  for (int64_t i = 0; i < n * n; i++) s->x[i] = 0;
  for (int64_t i = 0; i < n; i++) s->x[i * n + s->row[i]] = 1;
  solve(s);
}
static void finish_det(const System *s, double *product, double *sign, double *sum) {
  *product = *sign = s->sign;
  *sum = 0;
  for (int64_t i = 0; i < s->n; i++) {
    double pivot = s->lu[i * s->n + i];
    *product *= pivot;
    *sign *= pivot > 0 ? 1 : pivot < 0 ? -1 : pivot; /* 0 and NaN stay */
    *sum += log(fabs(pivot));
  }
}

bool cpu_systems(const Systems *call) {
  Tensor *a = call->a, *b = call->b, *out = call->out;
  System s;
  int64_t n = a->shape[a->ndim - 1], m = b ? b->shape[b->ndim - 1] : call->kind == SYSTEM_INVERSE ? n : 0;
  double *right = NULL, product, sign, sum;
  bool good = system_open(&s, n, m) && (!b || (right = mem_alloc(sizeof(double) * (size_t)(n * m))) != NULL);
  if (call->singular) call->singular[1] = 0;
  for (int64_t k = 0; good && k < batches(a); k++) {
    load(a, k, s.lu);
    factor(&s, call->least);
    if (call->singular && s.zero) {
      call->singular[0] = k;
      call->singular[1] = s.zero;
      break;
    }
    if (b) load(b, k, right);
    if (call->kind == SYSTEM_INVERSE) {
      finish_inverse(&s);
    } else if (call->kind == SYSTEM_SOLVE) {
      for (int64_t i = 0; i < n; i++) memcpy(s.x + i * m, right + s.row[i] * m, sizeof(double) * (size_t)m);
      solve(&s);
    } else {
      finish_det(&s, &product, &sign, &sum);
      store(out, k, 1, call->kind == SYSTEM_DET ? &product : &sign);
      if (call->second) store(call->second, k, 1, &sum);
      continue;
    }
    store(out, k * n * m, n * m, s.x);
  }
  mem_free(right);
  system_close(&s);
  return good;
}

/* The operators. */

static const char *batch_text(const Tensor *t, int64_t k) {
  return t->ndim > 2 ? text("(Batch element %lld): ", (long long)k + 1) : "";
}

bool any_inverse(OpCall *c) {
  int64_t singular[2];
  Systems s = {.kind = SYSTEM_INVERSE, .a = in(c, 0), .out = c->out[0], .singular = singular};
  return any_systems(&s) &&
         (singular[1] == 0 ||
          fail(MT_ERUNTIME,
               "linalg.inv: %sThe diagonal element %lld is zero, the inversion could not be completed because the "
               "input matrix is singular.",
               batch_text(in(c, 0), singular[0]), (long long)singular[1]));
}
/* inverse_near(input, nudge): zero pivots count as the smallest step from 1, or stay and give infinities. */
bool any_inverse_near(OpCall *c) {
  Systems s = {.kind = SYSTEM_INVERSE,
               .a = in(c, 0),
               .least = !c->arg[1].i                ? 0
                        : in(c, 0)->dtype == MT_F64 ? 0x1p-52
                                                    : 0x1p-23,
               .out = c->out[0]};
  return any_systems(&s);
}
bool any_det(OpCall *c) {
  Systems s = {.kind = SYSTEM_DET, .a = in(c, 0), .out = c->out[0]};
  return any_systems(&s);
}
bool any_slogdet(OpCall *c) {
  Systems s = {.kind = SYSTEM_SLOGDET, .a = in(c, 0), .out = c->out[0], .second = c->out[1]};
  return any_systems(&s);
}
/* solve_batch(A, B): matrices of one batch shape. */
bool any_solve(OpCall *c) {
  int64_t singular[2];
  Systems s = {.kind = SYSTEM_SOLVE, .a = in(c, 0), .b = in(c, 1), .out = c->out[0], .singular = singular};
  return any_systems(&s) &&
         (singular[1] == 0 ||
          fail(MT_ERUNTIME, "torch.linalg.solve: %sThe solver failed because the input matrix is singular.",
               batch_text(in(c, 0), singular[0])));
}
