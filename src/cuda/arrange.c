/* Tensors that are made, turned round or cleared on a device, and parts of a base (see cpu/part.c). */
#include "cuda/arrange.h"
#include "cuda/driver.h"
#include <string.h>

bool cuda_sequence(const Sequence *s, Tensor *out) {
  int index = tensor_device(out).index;
  SequenceRun r = {.out = tensor_data(out),
                   .n = out->numel,
                   .first = s->first,
                   .by = s->by,
                   .from = s->from,
                   .to = s->to,
                   .step = s->step,
                   .base = s->base,
                   .kind = (int)s->kind,
                   .narrow = s->narrow};
  if (out->numel == 0) return true;
  return driver_use(index) && driver_launched(cuda_launch_sequence(out->dtype, &r, driver_stream(index)), "arange");
}

bool cuda_triangle_indices(const Triangle *t, Tensor *out) {
  int index = tensor_device(out).index;
  TriangleRun r = {.out = tensor_data(out),
                   .n = out->shape[1],
                   .rows = t->rows,
                   .cols = t->cols,
                   .offset = t->offset < -t->rows  ? -t->rows
                             : t->offset > t->cols ? t->cols
                                                   : t->offset,
                   .upper = t->upper,
                   .wide = out->dtype == MT_I64};
  if (r.n == 0) return true;
  return driver_use(index) && driver_launched(cuda_launch_triangle(&r, driver_stream(index)), "tril_indices");
}

bool cuda_clear_side(Tensor *t, int64_t diagonal, bool lower) {
  int index = tensor_device(t).index, size = dtype_size((DType)t->dtype), n = t->ndim - 2;
  if (t->numel == 0) return true;
  ClearRun r = {.rows = t->shape[n],
                .cols = t->shape[n + 1],
                .row_step = t->stride[n] * size,
                .col_step = t->stride[n + 1] * size,
                .diagonal = diagonal,
                .lower = lower};
  Iter it;
  iter_begin(&it, n, t->shape);
  iter_add(&it, tensor_data(t), t->stride, size);
  iter_finish(&it);
  cuda_rows_of(&it, &r.batch);
  return driver_use(index) && driver_launched(cuda_launch_clear(size, &r, driver_stream(index)), "tril");
}

bool cuda_frexp(Tensor *t, Tensor *mantissa, Tensor *exponent) {
  int index = tensor_device(t).index;
  if (t->numel == 0) return true;
  Tensor *x = cuda_packed(t, (DType)t->dtype);
  bool good =
      x && driver_use(index) &&
      driver_launched(cuda_launch_frexp(t->dtype, tensor_data(x), tensor_data(mantissa),
                                        (int32_t *)(void *)tensor_data(exponent), t->numel, driver_stream(index)),
                      "frexp");
  tensor_release(x);
  return good;
}

/* The input read backwards along dims: a copy from where it ends. */
bool cuda_flip(OpCall *c) {
  Tensor *t = in(c, 0), turned = *t; /* lives only for this copy; owns nothing */
  if (t->numel == 0) return true;
  for (int k = 0; k < c->arg[1].n && t->ndim > 0; k++) {
    int d;
    if (!dim_wrap(c->arg[1].ints[k], t->ndim, &d)) return false;
    if (t->shape[d] == 1) continue;
    turned.offset += (t->shape[d] - 1) * t->stride[d];
    turned.stride[d] = -t->stride[d];
  }
  return cuda_copy(c->out[0], &turned);
}

/* --- parts --- */

/* Memory as far as the base reaches, and views of it that live only while it does. */
typedef struct {
  Tensor *memory, base, part;
} PartViews;

static void view_of(Tensor *view, const Tensor *memory, const Arg *shape, const Arg *stride, int64_t start) {
  *view = *memory;
  view->ndim = shape->n;
  view->offset = memory->offset + start;
  view->numel = 1;
  for (int d = 0; d < shape->n; d++) {
    view->shape[d] = shape->ints[d];
    view->stride[d] = stride->ints[d];
    view->numel *= shape->ints[d];
  }
}
/* Arguments by number from `at`: the base's shape and strides, the part's shape and strides, and the part's start. */
static bool part_open(PartViews *p, const OpCall *c, int at, DType d) {
  const Arg *a = &c->arg[at];
  int64_t reach = 1;
  for (int k = 0; k < a[0].n; k++)
    if (a[0].ints[k] > 0) reach += (a[0].ints[k] - 1) * a[1].ints[k];
  p->memory = tensor_new(d, 1, &reach, c->device);
  if (!p->memory) return false;
  view_of(&p->base, p->memory, &a[0], &a[1], 0);
  view_of(&p->part, p->memory, &a[2], &a[3], a[4].i);
  if (p->base.numel < reach && !cuda_fill(p->memory, scalar_int(0))) {
    tensor_release(p->memory);
    return false;
  }
  return true;
}

bool cuda_part(OpCall *c) {
  PartViews p;
  if (!part_open(&p, c, 1, (DType)in(c, 0)->dtype)) return false;
  bool good = cuda_copy(&p.base, in(c, 0)) && cuda_copy(c->out[0], &p.part);
  tensor_release(p.memory);
  return good;
}

bool cuda_part_put(OpCall *c) {
  PartViews p;
  if (!part_open(&p, c, 2, (DType)in(c, 0)->dtype)) return false;
  /* One of the two may be a number of the host. */
  bool good =
      tensor_copy_into(&p.base, in(c, 0)) && tensor_copy_into(&p.part, in(c, 1)) && cuda_copy(c->out[0], &p.base);
  tensor_release(p.memory);
  return good;
}

/* Elements of the part may lie on one another: then they add up. */
bool cuda_part_back(OpCall *c) {
  PartViews p;
  Tensor *t = in(c, 0);
  if (!part_open(&p, c, 1, (DType)t->dtype)) return false;
  IndexMove m = {.mode = SUM,
                 .ndim = p.part.ndim,
                 .shape = p.part.shape,
                 .dtype = (DType)t->dtype,
                 .device = c->device,
                 .beside = c->device,
                 .moved = tensor_data(&p.part),
                 .other = tensor_data(t),
                 .moved_stride = p.part.stride,
                 .other_stride = t->stride,
                 .reach = {.alpha = scalar_int(1)}};
  bool good = cuda_fill(p.memory, scalar_int(0)) && cuda_index_move(&m) && cuda_copy(c->out[0], &p.base);
  tensor_release(p.memory);
  return good;
}
