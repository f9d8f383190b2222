/* Parts of a base: reading, summing into and replacing the elements that a view with any strides covers.
 *
 * Arguments by number from `at`: the base's shape and strides, the part's shape and strides, and the part's start. The base
 * may itself be strided, so positions are those of its memory: a scratch block as large as its reach holds it. */
#include "base/alloc.h"
#include "base/size.h"
#include "cpu/copy.h"
#include "cpu/copy_tensor.h"
#include "cpu/kernels.h"
#include "tensor/iter.h"
#include "tensor/shape.h"
#include <string.h>

typedef struct {
  const Arg *base_shape, *base_stride, *shape, *stride;
  int64_t start, reach;
  char *memory;
  size_t bytes; /* of a block of its own; 0: memory is the base itself, which lies as its strides say */
} Part;

/* base: a tensor of the base's shape, for which no copy is made when it lies as the base does. */
static bool part_open(Part *p, const OpCall *c, int at, Tensor *base) {
  p->base_shape = &c->arg[at];
  p->base_stride = &c->arg[at + 1];
  p->shape = &c->arg[at + 2];
  p->stride = &c->arg[at + 3];
  p->start = c->arg[at + 4].i;
  p->reach = 1;
  for (int d = 0; d < p->base_shape->n; d++)
    if (p->base_shape->ints[d] > 0) p->reach += (p->base_shape->ints[d] - 1) * p->base_stride->ints[d];
  int64_t bytes, dense[MT_MAX_DIMS];
  bool same = tensor_is_contiguous(base) && base->numel > 0;
  shape_strides(p->base_shape->n, p->base_shape->ints, dense);
  for (int d = 0; d < p->base_shape->n; d++)
    same = same && (p->base_shape->ints[d] == 1 || p->base_stride->ints[d] == dense[d]);
  p->bytes = 0;
  p->memory = tensor_data(base);
  if (same) return true;
  if (!size_mul(p->reach, dtype_size((DType)base->dtype), &bytes)) return false;
  p->bytes = (size_t)bytes;
  p->memory = block_alloc(p->bytes);
  if (p->memory) memset(p->memory, 0, p->bytes);
  return p->memory != NULL;
}

static void part_close(Part *p) {
  if (p->bytes > 0) block_free(p->memory, p->bytes);
}

/* Copies between a contiguous tensor and the scratch block through the geometry (shape, stride, start). */
static void through(const Part *p, const Arg *shape, const Arg *stride, int64_t start, Tensor *t, bool to_block,
                    RowFn row) {
  int size = dtype_size((DType)t->dtype);
  int64_t dense[MT_MAX_DIMS];
  Iter it;
  if (t->numel == 0) return;
  iter_begin(&it, shape->n, shape->ints);
  if (to_block) {
    iter_add(&it, p->memory + start * size, stride->ints, size);
    iter_add(&it, tensor_data(t), t->stride, size);
  } else {
    shape_strides(shape->n, shape->ints, dense);
    iter_add(&it, tensor_data(t), dense, size);
    iter_add(&it, p->memory + start * size, stride->ints, size);
  }
  if (row == cast_row((DType)t->dtype, (DType)t->dtype)) iter_finish(&it);
  iter_run_serial(&it, row, NULL);
}

static RowFn same_row(const Tensor *t) { return cast_row((DType)t->dtype, (DType)t->dtype); }

/* part(input, geometry): the elements of the part, contiguous. */
bool cpu_part(OpCall *c) {
  Part p;
  Tensor *t = in(c, 0);
  if (!part_open(&p, c, 1, t)) return false;
  if (p.bytes > 0) through(&p, p.base_shape, p.base_stride, 0, t, true, same_row(t));
  through(&p, p.shape, p.stride, p.start, c->out[0], false, same_row(t));
  part_close(&p);
  return true;
}

/* part_put(input, source, geometry): input with the part replaced. */
bool cpu_part_put(OpCall *c) {
  Part p;
  Tensor *t = in(c, 0), *source = in(c, 1);
  if (!part_open(&p, c, 2, c->out[0])) return false;
  if (p.bytes > 0)
    through(&p, p.base_shape, p.base_stride, 0, t, true, same_row(t));
  else if (!tensor_copy_into(c->out[0], t))
    return false;
  through(&p, p.shape, p.stride, p.start, source, true, same_row(t));
  if (p.bytes > 0) through(&p, p.base_shape, p.base_stride, 0, c->out[0], false, same_row(t));
  part_close(&p);
  return true;
}

#define SUM_ROW(T, S)                                                                                 \
  static void sum_##S(char **ptr, const int64_t *stride, int64_t n, const void *context) {            \
    (void)context;                                                                                    \
    for (int64_t i = 0; i < n; i++) *(T *)(ptr[0] + i * stride[0]) += *(T *)(ptr[1] + i * stride[1]); \
  }
SUM_ROW(float, f32)
SUM_ROW(double, f64)
#define SUM_HALF(S, load, store)                                                           \
  static void sum_##S(char **ptr, const int64_t *stride, int64_t n, const void *context) { \
    (void)context;                                                                         \
    for (int64_t i = 0; i < n; i++) {                                                      \
      uint16_t *to = (uint16_t *)(ptr[0] + i * stride[0]);                                 \
      *to = store(load(*to) + load(*(uint16_t *)(ptr[1] + i * stride[1])));                \
    }                                                                                      \
  }
SUM_HALF(f16, half_to_float, float_to_half)
SUM_HALF(bf16, bfloat_to_float, float_to_bfloat)

/* May two elements of the part be one in memory? Not if each stride steps over all that smaller ones reach. */
static bool may_overlap(const Arg *shape, const Arg *stride) {
  bool used[MT_MAX_DIMS] = {false};
  int64_t reach = 0;
  for (;;) {
    int next = -1;
    for (int d = 0; d < shape->n; d++)
      if (!used[d] && shape->ints[d] > 1 && (next < 0 || stride->ints[d] < stride->ints[next])) next = d;
    if (next < 0) return false;
    if (stride->ints[next] <= reach) return true;
    reach += (shape->ints[next] - 1) * stride->ints[next];
    used[next] = true;
  }
}

/* part_back(input, geometry): zeros of the base's shape with the part's elements added where they belong. */
bool cpu_part_back(OpCall *c) {
  Part p;
  Tensor *t = in(c, 0);
  if (!part_open(&p, c, 1, c->out[0])) return false;
  if (p.bytes == 0) memset(p.memory, 0, (size_t)tensor_bytes(c->out[0]));
  RowFn row = t->dtype == MT_F32 ? sum_f32 : t->dtype == MT_F64 ? sum_f64 : t->dtype == MT_F16 ? sum_f16 : sum_bf16;
  through(&p, p.shape, p.stride, p.start, t, true, may_overlap(p.shape, p.stride) ? row : same_row(t));
  if (p.bytes > 0) through(&p, p.base_shape, p.base_stride, 0, c->out[0], false, same_row(t));
  part_close(&p);
  return true;
}
