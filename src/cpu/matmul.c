/* Matrix products of tensors on every device: any ranks and strides are brought to calls of the product on pointers.
 *
 * Batch dims that lie evenly in memory become one; a matrix that all batches share is read in place, and where only the
 * second factor is shared the batches are one tall product. Invariant: no operand is copied. */
#include "cpu/copy_tensor.h"
#include "cpu/device_kernels.h"
#include "tensor/shape.h"

/* One factor as a stack of matrices. */
typedef struct {
  const Tensor *t;
  int64_t rows, cols, row, col; /* sizes and strides of a matrix */
  int batch;                    /* leading dims */
} Factor;

/* A vector is one row as the left factor, one column as the right one. */
static Factor factor_of(const Tensor *t, bool right) {
  Factor f = {.t = t, .rows = 1, .cols = 1};
  if (t->ndim == 1) {
    if (right)
      f.rows = t->shape[0], f.row = t->stride[0], f.col = 1;
    else
      f.cols = t->shape[0], f.col = t->stride[0], f.row = t->shape[0];
    return f;
  }
  f.batch = t->ndim - 2;
  f.rows = t->shape[f.batch];
  f.cols = t->shape[f.batch + 1];
  f.row = t->stride[f.batch];
  f.col = t->stride[f.batch + 1];
  return f;
}

static Factor transposed(Factor f) { return (Factor){f.t, f.cols, f.rows, f.col, f.row, f.batch}; }

/* A group of batch dims; strides in elements. */
typedef struct {
  int64_t size, a, b, c;
} Group;

/* Batch dims from the innermost on, broadcast, without those of size 1, even neighbours merged. */
static int batch_groups(const Factor *a, const Factor *b, int64_t matrix, Group *group) {
  int dims = a->batch > b->batch ? a->batch : b->batch, n = 0;
  int64_t c = matrix;
  for (int k = 0; k < dims; k++) {
    int da = a->batch - 1 - k, db = b->batch - 1 - k;
    int64_t sa = da >= 0 ? a->t->shape[da] : 1, sb = db >= 0 ? b->t->shape[db] : 1, size = sa == 1 ? sb : sa;
    if (size == 1) continue;
    Group g = {size, sa == 1 ? 0 : a->t->stride[da], sb == 1 ? 0 : b->t->stride[db], c};
    c *= size;
    Group *last = n > 0 ? &group[n - 1] : NULL;
    if (last && g.a == last->a * last->size && g.b == last->b * last->size)
      last->size *= size;
    else
      group[n++] = g;
  }
  return n;
}

bool cpu_products(const Gemm *g, Device at) { return (void)at, gemm_batch(g); }

/* out = alpha a b + beta out, or alpha a b + beta bias. out is contiguous. */
static bool product(Tensor *out, Factor a, Factor b, Scalar alpha, Scalar beta, const void *bias) {
  Group group[MT_MAX_DIMS];
  int size = dtype_size((DType)out->dtype), groups = batch_groups(&a, &b, a.rows * b.cols, group), first = 0;
  Gemm g = {.dtype = (DType)out->dtype,
            .m = a.rows,
            .n = b.cols,
            .k = a.cols,
            .batch = 1,
            .a = tensor_data(a.t),
            .a_row = a.row,
            .a_col = a.col,
            .b = tensor_data(b.t),
            .b_row = b.row,
            .b_col = b.col,
            .c = tensor_data(out),
            .c_row = b.cols,
            .bias = bias,
            .alpha = alpha,
            .beta = beta};
  Device at = tensor_device(out);
  if (out->numel == 0) return true;
  while (first < groups && group[first].b == 0 && (g.m == 1 || group[first].a == g.m * g.a_row)) {
    if (g.m == 1) g.a_row = group[first].a;
    g.m *= group[first++].size;
  }
  if (first < groups) {
    g.batch = group[first].size;
    g.a_batch = group[first].a;
    g.b_batch = group[first].b;
    g.c_batch = group[first++].c;
  }
  int64_t index[MT_MAX_DIMS] = {0};
  for (;;) {
    if (!any_products(&g, at)) return false;
    int d = first;
    for (; d < groups; d++) {
      g.a = (const char *)g.a + group[d].a * size;
      g.b = (const char *)g.b + group[d].b * size;
      g.c = (char *)g.c + group[d].c * size;
      if (++index[d] < group[d].size) break;
      g.a = (const char *)g.a - group[d].size * group[d].a * size;
      g.b = (const char *)g.b - group[d].size * group[d].b * size;
      g.c = (char *)g.c - group[d].size * group[d].c * size;
      index[d] = 0;
    }
    if (d >= groups) return true;
  }
}

/* out = alpha a b + beta added, added broadcast. A row that all rows share is added by the product itself. */
static bool product_plus(Tensor *out, Factor a, Factor b, Scalar alpha, Scalar beta, Tensor *added) {
  int64_t stride[MT_MAX_DIMS] = {0};
  if (scalar_double(beta) == 0) return product(out, a, b, alpha, scalar_int(0), NULL);
  shape_expand(added, out->ndim, out->shape, stride);
  bool shared = out->ndim > 0 && out->shape[out->ndim - 1] == b.cols && (b.cols == 1 || stride[out->ndim - 1] == 1);
  for (int d = 0; shared && d < out->ndim - 1; d++) shared = stride[d] == 0 || out->shape[d] == 1;
  if (shared && (b.cols > 1 || added->numel == 1)) return product(out, a, b, alpha, beta, tensor_data(added));
  return tensor_copy_into(out, added) && product(out, a, b, alpha, beta, NULL);
}

bool any_matmul(OpCall *c) {
  return product(c->out[0], factor_of(in(c, 0), false), factor_of(in(c, 1), true), scalar_int(1), scalar_int(0), NULL);
}

bool any_addmm(OpCall *c) {
  return product_plus(c->out[0], factor_of(in(c, 1), false), factor_of(in(c, 2), true), c->arg[4].number,
                      c->arg[3].number, in(c, 0));
}

bool any_linear(OpCall *c) {
  Factor a = factor_of(in(c, 0), false), b = transposed(factor_of(in(c, 1), false));
  if (!c->arg[2].given) return product(c->out[0], a, b, scalar_int(1), scalar_int(0), NULL);
  return product_plus(c->out[0], a, b, scalar_int(1), scalar_int(1), in(c, 2));
}
