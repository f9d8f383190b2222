/* Joining and rearranging on the CPU: cat, flip and triangles. Each result is new memory, written once. */
#include "cpu/copy.h"
#include "cpu/copy_tensor.h"
#include "cpu/kernels.h"
#include "tensor/iter.h"
#include "tensor/shape.h"
#include <string.h>

/* cat(tensors, dim): each tensor is copied, and cast where needed, into its part of the result. Vectors of size 0
 * join in whatever the others' rank is. */
bool any_cat(OpCall *c) {
  Tensor *out = c->out[0];
  const Arg *list = &c->arg[0];
  int64_t start = 0;
  int dim;
  if (!dim_wrap(c->arg[1].i, out->ndim, &dim)) return false;
  for (int k = 0; k < list->n; k++) {
    Tensor *t = list->tensors[k];
    if (t->numel == 0) continue;
    Tensor part = *out; /* lives only for this copy; owns nothing */
    part.shape[dim] = t->shape[dim];
    part.offset += start * out->stride[dim];
    part.numel = t->numel;
    tensor_copy_into(&part, t);
    start += t->shape[dim];
  }
  return true;
}

/* flip(input, dims): the input read backwards along dims. */
bool cpu_flip(OpCall *c) {
  Tensor *t = in(c, 0), *out = c->out[0];
  int64_t stride[MT_MAX_DIMS], start = 0;
  int size = dtype_size((DType)t->dtype);
  if (t->numel == 0) return true;
  memcpy(stride, t->stride, sizeof(int64_t) * t->ndim);
  for (int k = 0; k < c->arg[1].n && t->ndim > 0; k++) {
    int d;
    if (!dim_wrap(c->arg[1].ints[k], t->ndim, &d)) return false;
    start += (t->shape[d] - 1) * t->stride[d];
    stride[d] = -t->stride[d];
  }
  Iter it;
  iter_begin(&it, t->ndim, t->shape);
  iter_add(&it, tensor_data(out), out->stride, size);
  iter_add(&it, tensor_data(t) + start * size, stride, size);
  iter_finish(&it);
  iter_run(&it, copy_row(size), NULL, 40);
  return true;
}

bool cpu_clear_side(Tensor *t, int64_t diagonal, bool lower) {
  int64_t rows = t->shape[t->ndim - 2], cols = t->shape[t->ndim - 1], index[MT_MAX_DIMS] = {0};
  int64_t row_step = t->stride[t->ndim - 2], col_step = t->stride[t->ndim - 1];
  int size = dtype_size((DType)t->dtype);
  uint64_t zero = 0;
  RowFn fill = fill_row(size);
  if (t->numel == 0) return true;
  for (int64_t m = 0; m < t->numel / (rows * cols); m++) {
    char *p = tensor_data(t);
    for (int d = 0; d < t->ndim - 2; d++) p += index[d] * t->stride[d] * size;
    for (int64_t r = 0; r < rows; r++) {
      /* the first column that is right of the diagonal, or on it for the upper triangle */
      int64_t edge = diagonal > cols - r ? cols : r + diagonal + (lower ? 1 : 0);
      edge = edge < 0 ? 0 : edge > cols ? cols : edge;
      int64_t from = lower ? edge : 0, to = lower ? cols : edge;
      if (from >= to) continue;
      fill((char *[]){p + (r * row_step + from * col_step) * size}, (int64_t[]){col_step * size}, to - from, &zero);
    }
    for (int d = t->ndim - 3; d >= 0 && ++index[d] == t->shape[d]; d--) index[d] = 0;
  }
  return true;
}
