/* Optimiser steps on tensors: packed operands are updated in place, others by blocks through buffers. */
#include "cpu/optim.h"
#include "base/pool.h"
#include "cpu/copy.h"
#include "cpu/kernels.h"
#include "tensor/iter.h"
#include <math.h>

enum { OPERANDS = 5, BLOCK = 512, CHUNK = 16384 };

/* Operands: the parameter, the gradient, the state; NULL where the step has none. */
typedef struct {
  const OptimTable *table;
  const SgdStep *sgd;   /* or */
  const AdamStep *adam; /* or */
  const RmsStep *rms;
  bool wide;
  int operands, slot[OPERANDS]; /* row operand k is operand slot[k] of the step */
  RowFn load, store;            /* casts of 16-bit floats; NULL: the elements are the lanes */
  int size, lane;               /* bytes of an element in memory, in the step */
} Job;

static void step(const Job *j, void *const *p, int64_t n) {
  if (j->sgd)
    j->table->sgd[j->wide](p[0], p[1], p[2], n, j->sgd);
  else if (j->rms)
    j->table->rms[j->wide](p[0], p[1], p[2], p[3], p[4], n, j->rms);
  else
    j->table->adam[j->wide](p[0], p[1], p[2], p[3], p[4], n, j->adam);
}

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
    step(j, p, n);
    return;
  }
  double buffer[OPERANDS][BLOCK];
  for (int64_t at = 0; at < n; at += BLOCK) {
    int64_t m = n - at < BLOCK ? n - at : BLOCK;
    for (int k = 0; k < j->operands; k++) {
      p[j->slot[k]] = buffer[k];
      move(j->load, buffer[k], j->lane, ptr[k] + at * stride[k], stride[k], m, j->size);
    }
    step(j, p, m);
    for (int k = 0; k < j->operands; k++)
      if (j->slot[k] != 1) move(j->store, ptr[k] + at * stride[k], stride[k], buffer[k], j->lane, m, j->size);
  }
}

static void flat_chunks(void *context, int64_t begin, int64_t end) {
  void **at = context;
  const Job *j = at[OPERANDS];
  void *p[OPERANDS];
  for (int k = 0; k < OPERANDS; k++) p[k] = at[k] ? (char *)at[k] + begin * j->size : NULL;
  step(j, p, end - begin);
}

static bool run(Job *j, Tensor *const *t, int operands) {
  DType d = (DType)t[0]->dtype, lane = d == MT_F64 ? MT_F64 : MT_F32;
  Tensor *present[OPERANDS];
  bool flat = d == lane;
  j->table = VEC_PICK(optim_table);
  j->wide = lane == MT_F64;
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
  for (int k = 2; k < operands; k++)
    if (t[k]) tensor_written(t[k]);
  return true;
}

static double number(const OpCall *c, int k) { return scalar_double(c->arg[k].number); }
static Tensor *state(const OpCall *c, int k) { return c->arg[k].given ? in(c, k) : NULL; }

/* input, grad, momentum_buffer, lr, momentum, dampening, weight_decay, nesterov, first, maximize */
bool cpu_sgd_step(OpCall *c) {
  SgdStep s = {.lr = number(c, 3),
               .momentum = number(c, 4),
               .dampening = number(c, 5),
               .weight_decay = number(c, 6),
               .nesterov = c->arg[7].i,
               .first = c->arg[8].i,
               .maximize = c->arg[9].i};
  Job j = {.sgd = &s};
  return run(&j, (Tensor *[]){c->out[0], in(c, 1), s.momentum != 0 ? state(c, 2) : NULL}, 3);
}

/* input, grad, exp_avg, exp_avg_sq, lr, beta1, beta2, eps, weight_decay, decoupled, step, max_exp_avg_sq, maximize */
bool cpu_adam_step(OpCall *c) {
  double steps = (double)c->arg[10].i;
  AdamStep s = {.lr = number(c, 4),
                .beta1 = number(c, 5),
                .beta2 = number(c, 6),
                .eps = number(c, 7),
                .weight_decay = number(c, 8),
                .decoupled = c->arg[9].i,
                .maximize = c->arg[12].i};
  s.step_size = s.lr / (1 - pow(s.beta1, steps));
  s.root2 = sqrt(1 - pow(s.beta2, steps));
  Job j = {.adam = &s};
  return run(&j, (Tensor *[]){c->out[0], in(c, 1), in(c, 2), in(c, 3), state(c, 11)}, 5);
}

/* input, grad, square_avg, momentum_buffer, grad_avg, lr, keep, fresh, eps, weight_decay, momentum, maximize */
bool cpu_rms_step(OpCall *c) {
  RmsStep s = {.rate = number(c, 5),
               .keep = number(c, 6),
               .fresh = number(c, 7),
               .eps = number(c, 8),
               .weight_decay = number(c, 9),
               .momentum = number(c, 10),
               .maximize = c->arg[11].i};
  Job j = {.rms = &s};
  return run(&j, (Tensor *[]){c->out[0], in(c, 1), in(c, 2), state(c, 3), state(c, 4)}, 5);
}
