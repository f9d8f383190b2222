/* Optimiser steps on tensors: packed operands are updated in place, others by blocks through buffers. */
#include "cpu/optim.h"
#include "base/pool.h"
#include "cpu/copy.h"
#include "cpu/copy_tensor.h"
#include "cpu/kernels.h"
#include "tensor/iter.h"
#include "tensor/tensor.h"

enum { OPERANDS = STEP_OPERANDS, BLOCK = 512, CHUNK = 16384 };

/* Operands: the parameter, the gradient, the state; NULL where the step has none. */
typedef struct {
  StepFn fn;
  const void *step;
  int operands, slot[OPERANDS]; /* row operand k is operand slot[k] of the step */
  RowFn load, store;            /* casts of 16-bit floats; NULL: the elements are the lanes */
  int size, lane;               /* bytes of an element in memory, in the step */
} Job;

static void move(RowFn cast, void *to, int64_t to_stride, void *from, int64_t from_stride, int64_t n, int size) {
  if (cast)
    cast((char *[]){to, from}, (int64_t[]){to_stride, from_stride}, n, NULL);
  else
    copy_strided(to, to_stride, from, from_stride, n, size);
}

static void row(char **ptr, const int64_t *stride, int64_t n, const void *context) {
  const Job *j = context;
  void *p[OPERANDS] = {NULL};
  bool packed = !j->load;
  for (int k = 0; k < j->operands; k++) packed = packed && stride[k] == j->size;
  if (packed) {
    for (int k = 0; k < j->operands; k++) p[j->slot[k]] = ptr[k];
    j->fn(p, n, j->step);
    return;
  }
  double buffer[OPERANDS][BLOCK];
  for (int64_t at = 0; at < n; at += BLOCK) {
    int64_t m = n - at < BLOCK ? n - at : BLOCK;
    for (int k = 0; k < j->operands; k++) {
      p[j->slot[k]] = buffer[k];
      move(j->load, buffer[k], j->lane, ptr[k] + at * stride[k], stride[k], m, j->size);
    }
    j->fn(p, m, j->step);
    for (int k = 0; k < j->operands; k++)
      if (j->slot[k] != 1) move(j->store, ptr[k] + at * stride[k], stride[k], buffer[k], j->lane, m, j->size);
  }
}

static void flat_chunks(void *context, int64_t begin, int64_t end) {
  void **at = context;
  const Job *j = at[OPERANDS];
  void *p[OPERANDS];
  for (int k = 0; k < OPERANDS; k++) p[k] = at[k] ? (char *)at[k] + begin * j->size : NULL;
  j->fn(p, end - begin, j->step);
}

bool cpu_optim_step(StepKind kind, const void *step, Tensor *const *t, int operands) {
  DType d = (DType)t[0]->dtype, lane = d == MT_F64 ? MT_F64 : MT_F32;
  Job job = {.fn = VEC_PICK(optim_table)->fn[kind][lane == MT_F64], .step = step}, *j = &job;
  Tensor *present[OPERANDS];
  bool flat = d == lane;
  j->size = dtype_size(d);
  j->lane = dtype_size(lane);
  j->operands = 0;
  j->load = d == lane ? NULL : cast_row(d, lane);
  j->store = d == lane ? NULL : cast_row(lane, d);
  for (int k = 0; k < operands; k++) {
    if (!t[k]) continue;
    j->slot[j->operands] = k;
    present[j->operands++] = t[k];
    flat = flat && tensor_is_contiguous(t[k]);
  }
  if (flat) {
    void *at[OPERANDS + 1] = {[OPERANDS] = j};
    for (int k = 0; k < operands; k++) at[k] = t[k] ? tensor_data(t[k]) : NULL;
    if (t[0]->numel <= CHUNK)
      flat_chunks(at, 0, t[0]->numel);
    else
      parallel_for(t[0]->numel, CHUNK, flat_chunks, at);
  } else {
    Iter it;
    iter_init(&it, t[0]->ndim, t[0]->shape, j->operands, present);
    iter_run(&it, row, j, 200);
  }
  return true;
}

bool cpu_optim_gather(bool begin, Device at) { return (void)begin, (void)at, true; }

/* input, found_inf, inv_scale */
bool cpu_unscale(OpCall *c) {
  int found = 0;
  UnscaleStep s = {.factor = scalar_double(tensor_scalar(in(c, 2))), .found = &found};
  Tensor *flag = in(c, 1), *one = tensor_from_scalar(scalar_float(1));
  if (!one || !cpu_optim_step(STEP_UNSCALE, &s, (Tensor *[]){c->out[0]}, 1)) return tensor_release(one), false;
  bool good = !found || tensor_copy_into(flag, one);
  tensor_release(one);
  tensor_written(flag);
  return good;
}
