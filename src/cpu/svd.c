/* Singular values and vectors by one-sided Jacobi rotations, in float64 whatever the tensors hold.
 *
 * The columns of a tall matrix A are rotated in pairs until all are orthogonal: A V = U S. A wide matrix is turned first.
 * Invariant: U and V have orthonormal columns, and S falls. */
#include "base/alloc.h"
#include "base/size.h"
#include "cpu/kernels.h"
#include <math.h>
#include <string.h>

typedef struct {
  int64_t rows, cols; /* rows >= cols */
  double *u, *v, *s;  /* columns one after the other: cols of `rows` numbers, cols of `cols` numbers, cols numbers */
} Decomposition;

static double product(const double *a, const double *b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
  return sum;
}
static void rotate(double *a, double *b, int64_t n, double c, double s) {
  for (int64_t i = 0; i < n; i++) {
    double x = a[i], y = b[i];
    a[i] = c * x - s * y;
    b[i] = s * x + c * y;
  }
}
static void swap(double *a, double *b, int64_t n) { rotate(a, b, n, 0, 1); }

/* True when two columns were not orthogonal yet. */
static bool rotate_pair(Decomposition *d, int64_t p, int64_t q) {
  double *a = d->u + p * d->rows, *b = d->u + q * d->rows;
  double aa = product(a, a, d->rows), bb = product(b, b, d->rows), ab = product(a, b, d->rows);
  if (!(fabs(ab) > 1e-16 * sqrt(aa) * sqrt(bb))) return false;
  double zeta = (bb - aa) / (2 * ab);
  double t = (zeta >= 0 ? 1 : -1) / (fabs(zeta) + hypot(1, zeta)), c = 1 / hypot(1, t);
  rotate(a, b, d->rows, c, c * t);
  rotate(d->v + p * d->cols, d->v + q * d->cols, d->cols, c, c * t);
  return true;
}
/* Column k, whose singular value is zero, becomes a unit vector that is orthogonal to those before. */
static void complete(Decomposition *d, int64_t k) {
  double *u = d->u + k * d->rows, best = -1;
  int64_t at = 0;
  for (int64_t e = 0; e < d->rows; e++) { /* the axis that the others say least about */
    double left = 1;
    for (int64_t j = 0; j < k; j++) left -= d->u[j * d->rows + e] * d->u[j * d->rows + e];
    if (left > best) best = left, at = e;
  }
  memset(u, 0, sizeof *u * (size_t)d->rows);
  u[at] = 1;
  for (int again = 0; again < 2; again++)
    for (int64_t j = 0; j < k; j++) {
      double f = product(u, d->u + j * d->rows, d->rows);
      for (int64_t i = 0; i < d->rows; i++) u[i] -= f * d->u[j * d->rows + i];
    }
  double length = sqrt(product(u, u, d->rows));
  for (int64_t i = 0; i < d->rows; i++) u[i] /= length;
}
static void decompose(Decomposition *d) {
  int64_t n = d->cols;
  memset(d->v, 0, sizeof *d->v * (size_t)(n * n));
  for (int64_t k = 0; k < n; k++) d->v[k * n + k] = 1;
  bool moving = true;
  for (int sweep = 0; moving && sweep < 60; sweep++) {
    moving = false;
    for (int64_t p = 0; p < n; p++)
      for (int64_t q = p + 1; q < n; q++) moving |= rotate_pair(d, p, q);
  }
  for (int64_t k = 0; k < n; k++) d->s[k] = sqrt(product(d->u + k * d->rows, d->u + k * d->rows, d->rows));
  for (int64_t k = 0; k < n; k++) {
    int64_t most = k;
    for (int64_t j = k + 1; j < n; j++)
      if (d->s[j] > d->s[most]) most = j;
    if (most != k) {
      swap(d->s + k, d->s + most, 1);
      d->s[k] = fabs(d->s[k]);
      d->s[most] = fabs(d->s[most]);
      swap(d->u + k * d->rows, d->u + most * d->rows, d->rows);
      swap(d->v + k * n, d->v + most * n, n);
    }
    if (d->s[k] == 0)
      complete(d, k);
    else
      for (int64_t i = 0; i < d->rows; i++) d->u[k * d->rows + i] /= d->s[k];
  }
}

/* Matrix number `batch` of t from or to columns; `turned` exchanges rows and columns of t. */
static void columns(Tensor *t, int64_t batch, int64_t rows, int64_t cols, bool turned, double *v, bool store) {
  int64_t at = 0, size = dtype_size((DType)t->dtype);
  for (int d = t->ndim - 3; d >= 0; d--) {
    at += batch % t->shape[d] * t->stride[d];
    batch /= t->shape[d];
  }
  int64_t down = t->stride[t->ndim - (turned ? 1 : 2)], across = t->stride[t->ndim - (turned ? 2 : 1)];
  for (int64_t j = 0; j < cols; j++)
    for (int64_t i = 0; i < rows; i++) {
      char *p = tensor_data(t) + (at + i * down + j * across) * size;
      if (store)
        scalar_store(scalar_float(v[j * rows + i]), (DType)t->dtype, p);
      else
        v[j * rows + i] = scalar_double(scalar_load((DType)t->dtype, p));
    }
}

bool cpu_svd(OpCall *c) {
  Tensor *t = in(c, 0), *s = c->out[1];
  int64_t m = t->shape[t->ndim - 2], n = t->shape[t->ndim - 1], batches = 1, cells;
  bool wide = m < n;
  Decomposition d = {.rows = wide ? n : m, .cols = wide ? m : n};
  for (int k = 0; k < t->ndim - 2; k++) batches *= t->shape[k];
  if (!size_mul(d.rows + d.cols + 1, d.cols, &cells) || !size_mul(cells, sizeof(double), &cells)) return false;
  if (batches == 0 || d.cols == 0) return true;
  if (!(d.u = mem_alloc((size_t)cells))) return false;
  d.v = d.u + d.rows * d.cols;
  d.s = d.v + d.cols * d.cols;
  for (int64_t b = 0; b < batches; b++) {
    columns(t, b, d.rows, d.cols, wide, d.u, false);
    decompose(&d);
    /* A = U S V^T; of a wide matrix U and V have changed places */
    columns(c->out[0], b, wide ? d.cols : d.rows, d.cols, false, wide ? d.v : d.u, true);
    columns(c->out[2], b, wide ? d.rows : d.cols, d.cols, true, wide ? d.u : d.v, true);
    for (int64_t k = 0; k < d.cols; k++)
      scalar_store(scalar_float(d.s[k]), (DType)s->dtype,
                   tensor_data(s) + (b * d.cols + k) * dtype_size((DType)s->dtype));
  }
  mem_free(d.u);
  return true;
}
