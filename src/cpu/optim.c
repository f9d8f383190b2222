/* Optimiser steps on tensors: packed operands are updated in place, others by blocks through buffers. */
#include "cpu/optim.h"
#include "base/pool.h"
#include "cpu/copy.h"
#include "cpu/copy_tensor.h"
#include "cpu/kernels.h"
#include "tensor/iter.h"
#include <math.h>

enum { OPERANDS = 5, BLOCK = 512, CHUNK = 16384 };

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

static bool run(StepKind kind, const void *step, Tensor *const *t, int operands) {
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
  return run(STEP_SGD, &s, (Tensor *[]){c->out[0], in(c, 1), s.momentum != 0 ? state(c, 2) : NULL}, 3);
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
  return run(STEP_ADAM, &s, (Tensor *[]){c->out[0], in(c, 1), in(c, 2), in(c, 3), state(c, 11)}, 5);
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
  return run(STEP_RMS, &s, (Tensor *[]){c->out[0], in(c, 1), in(c, 2), state(c, 3), state(c, 4)}, 5);
}

/* input, grad, square_avg, acc_delta, lr, rho, eps, weight_decay, maximize */
bool cpu_delta_step(OpCall *c) {
  DeltaStep s = {.lr = number(c, 4),
                 .rho = number(c, 5),
                 .eps = number(c, 6),
                 .weight_decay = number(c, 7),
                 .maximize = c->arg[8].i};
  return run(STEP_DELTA, &s, (Tensor *[]){c->out[0], in(c, 1), in(c, 2), in(c, 3)}, 4);
}

/* input, grad, exp_avg, second, lr, beta1, beta2, eps, weight_decay, decoupled, step, maximize */
static MomentStep moment_step(const OpCall *c) {
  double lr = number(c, 4), decay = number(c, 8), steps = (double)c->arg[10].i;
  bool decoupled = c->arg[9].i;
  MomentStep s = {.beta1 = number(c, 5), .beta2 = number(c, 6), .eps = number(c, 7), .maximize = c->arg[11].i};
  s.weight_decay = decoupled ? 0 : decay;
  s.shrink = decoupled ? 1 - lr * decay : 1;
  s.correction1 = 1 - pow(s.beta1, steps);
  s.correction2 = 1 - pow(s.beta2, steps);
  return s;
}

static bool run_moments(OpCall *c, StepKind kind, const MomentStep *s) {
  return run(kind, s, (Tensor *[]){c->out[0], in(c, 1), in(c, 2), in(c, 3)}, 4);
}

bool cpu_adamax_step(OpCall *c) {
  MomentStep s = moment_step(c);
  s.rate = -number(c, 4) / s.correction1;
  return run_moments(c, STEP_ADAMAX, &s);
}

/* ..., rate_grad, rate */
bool cpu_nadam_step(OpCall *c) {
  MomentStep s = moment_step(c);
  s.rate_grad = number(c, 12);
  s.rate = number(c, 13);
  return run_moments(c, STEP_NADAM, &s);
}

/* rho is the length of the average that the second moment stands for: above 5 it can be trusted. */
bool cpu_radam_step(OpCall *c) {
  MomentStep s = moment_step(c);
  double steps = (double)c->arg[10].i, longest = 2 / (1 - s.beta2) - 1;
  double rho = longest - 2 * steps * pow(s.beta2, steps) / s.correction2;
  s.rate = number(c, 4);
  if (rho > 5) s.rectify = sqrt((rho - 4) * (rho - 2) * longest / ((longest - 4) * (longest - 2) * rho));
  s.correction2 = sqrt(s.correction2);
  return run_moments(c, STEP_RADAM, &s);
}

/* input, grad, ax, eta, lambd, mu, weight_decay, maximize */
bool cpu_average_step(OpCall *c) {
  AverageStep s = {.eta = number(c, 3),
                   .shrink = 1 - number(c, 4) * number(c, 3),
                   .mu = number(c, 5),
                   .weight_decay = number(c, 6),
                   .maximize = c->arg[7].i};
  return run(STEP_AVERAGE, &s, (Tensor *[]){c->out[0], in(c, 1), in(c, 2)}, 3);
}

/* input, grad, prev, step_size, down, up, least, most, maximize */
bool cpu_sign_step(OpCall *c) {
  SignStep s = {
      .down = number(c, 4), .up = number(c, 5), .least = number(c, 6), .most = number(c, 7), .maximize = c->arg[8].i};
  return run(STEP_SIGN, &s, (Tensor *[]){c->out[0], in(c, 1), in(c, 2), in(c, 3)}, 4);
}

/* input, found_inf, inv_scale */
bool cpu_unscale(OpCall *c) {
  atomic_int found = 0;
  UnscaleStep s = {.factor = scalar_double(tensor_scalar(in(c, 2))), .found = &found};
  Tensor *flag = in(c, 1), *one = tensor_from_scalar(scalar_float(1));
  if (!one || !run(STEP_UNSCALE, &s, (Tensor *[]){c->out[0]}, 1)) return tensor_release(one), false;
  bool good = !atomic_load(&found) || tensor_copy_into(flag, one);
  tensor_release(one);
  tensor_written(flag);
  return good;
}
