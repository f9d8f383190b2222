/* Optimiser steps: what torch.optim's optimisers do to one parameter, as one operator each; only LBFGS has none.
 *
 * The parameter and its state are written in place; nothing is recorded, so they run under no_grad. Invariant: everything
 * is checked before the first element changes. */
#include "ops/optim.h"
#include "cpu/device_kernels.h"
#include "ops/ops.h"
#include <math.h>

/* Whether two tensors may share an element: same storage and ranges that meet. */
static bool may_meet(const Tensor *a, const Tensor *b) {
  int64_t a_last = a->offset, b_last = b->offset;
  for (int d = 0; d < a->ndim; d++) a_last += (a->shape[d] - 1) * a->stride[d];
  for (int d = 0; d < b->ndim; d++) b_last += (b->shape[d] - 1) * b->stride[d];
  return a->storage == b->storage && a->numel > 0 && a->offset <= b_last && b->offset <= a_last;
}

/* Argument k has the parameter's shape and dtype, and lies apart from those before it. */
static bool fits(const OpCall *c, int k) {
  Tensor *p = in(c, 0), *t = in(c, k);
  const Param *param = c->def->info->param;
  if (!tensor_same_shape(p, t) || p->dtype != t->dtype)
    return fail(MT_EARG, "%s is %s, but the parameter is %s: both need one shape and dtype", param[k].name,
                tensor_text(t), tensor_text(p));
  if (k > 1 && tensor_overlaps(t))
    return fail(MT_EARG, "%s was made by expand and cannot be written: clone it", param[k].name);
  for (int other = 0; other < k; other++)
    if (param[other].type == TYPE_TENSOR && c->arg[other].given && may_meet(t, in(c, other)))
      return fail(MT_EARG, "%s shares memory with %s: clone it", param[k].name,
                  other ? param[other].name : "the parameter");
  return true;
}

static bool infer_step(OpCall *c) {
  const Schema *s = c->def->info;
  if (!tensor_is_float(in(c, 0)))
    return fail(MT_EARG, "only Tensors of floating point dtype can be optimised, but this one is %s",
                tensor_text(in(c, 0)));
  for (int k = 1; k < s->params; k++)
    if (s->param[k].type == TYPE_TENSOR && c->arg[k].given && !fits(c, k)) return false;
  return infer_same(c);
}

/* The parameter and its state are written; the operator's call counts the parameter's version itself. */
static bool step(StepKind kind, const void *numbers, Tensor *const *t, int operands) {
  if (!any_optim_step(kind, numbers, t, operands)) return false;
  for (int k = 2; k < operands; k++)
    if (t[k]) tensor_written(t[k]);
  return true;
}

bool optim_gather(bool begin, bool *there) {
  *there = device_registered(MT_CUDA) != NULL;
  return !*there || any_optim_gather(begin, (Device){MT_CUDA, 0});
}

static double number(const OpCall *c, int k) { return scalar_double(c->arg[k].number); }
static Tensor *state(const OpCall *c, int k) { return c->arg[k].given ? in(c, k) : NULL; }

/* input, grad, momentum_buffer, lr, momentum, dampening, weight_decay, nesterov, first, maximize */
static bool sgd_step(OpCall *c) {
  SgdStep s = {.lr = number(c, 3),
               .momentum = number(c, 4),
               .dampening = number(c, 5),
               .weight_decay = number(c, 6),
               .nesterov = c->arg[7].i,
               .first = c->arg[8].i,
               .maximize = c->arg[9].i};
  return step(STEP_SGD, &s, (Tensor *[]){c->out[0], in(c, 1), s.momentum != 0 ? state(c, 2) : NULL}, 3);
}

/* input, grad, exp_avg, exp_avg_sq, lr, beta1, beta2, eps, weight_decay, decoupled, step, max_exp_avg_sq, maximize */
static bool adam_step(OpCall *c) {
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
  return step(STEP_ADAM, &s, (Tensor *[]){c->out[0], in(c, 1), in(c, 2), in(c, 3), state(c, 11)}, 5);
}

/* input, grad, square_avg, momentum_buffer, grad_avg, lr, keep, fresh, eps, weight_decay, momentum, maximize */
static bool rms_step(OpCall *c) {
  RmsStep s = {.rate = number(c, 5),
               .keep = number(c, 6),
               .fresh = number(c, 7),
               .eps = number(c, 8),
               .weight_decay = number(c, 9),
               .momentum = number(c, 10),
               .maximize = c->arg[11].i};
  return step(STEP_RMS, &s, (Tensor *[]){c->out[0], in(c, 1), in(c, 2), state(c, 3), state(c, 4)}, 5);
}

/* input, grad, square_avg, acc_delta, lr, rho, eps, weight_decay, maximize */
static bool delta_step(OpCall *c) {
  DeltaStep s = {.lr = number(c, 4),
                 .rho = number(c, 5),
                 .eps = number(c, 6),
                 .weight_decay = number(c, 7),
                 .maximize = c->arg[8].i};
  return step(STEP_DELTA, &s, (Tensor *[]){c->out[0], in(c, 1), in(c, 2), in(c, 3)}, 4);
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
  return step(kind, s, (Tensor *[]){c->out[0], in(c, 1), in(c, 2), in(c, 3)}, 4);
}

static bool adamax_step(OpCall *c) {
  MomentStep s = moment_step(c);
  s.rate = -number(c, 4) / s.correction1;
  return run_moments(c, STEP_ADAMAX, &s);
}

/* ..., rate_grad, rate */
static bool nadam_step(OpCall *c) {
  MomentStep s = moment_step(c);
  s.rate_grad = number(c, 12);
  s.rate = number(c, 13);
  return run_moments(c, STEP_NADAM, &s);
}

/* rho is the length of the average that the second moment stands for: above 5 it can be trusted. */
static bool radam_step(OpCall *c) {
  MomentStep s = moment_step(c);
  double steps = (double)c->arg[10].i, longest = 2 / (1 - s.beta2) - 1;
  double rho = longest - 2 * steps * pow(s.beta2, steps) / s.correction2;
  s.rate = number(c, 4);
  if (rho > 5) s.rectify = sqrt((rho - 4) * (rho - 2) * longest / ((longest - 4) * (longest - 2) * rho));
  s.correction2 = sqrt(s.correction2);
  return run_moments(c, STEP_RADAM, &s);
}

/* input, grad, ax, eta, lambd, mu, weight_decay, maximize */
static bool average_step(OpCall *c) {
  AverageStep s = {.eta = number(c, 3),
                   .shrink = 1 - number(c, 4) * number(c, 3),
                   .mu = number(c, 5),
                   .weight_decay = number(c, 6),
                   .maximize = c->arg[7].i};
  return step(STEP_AVERAGE, &s, (Tensor *[]){c->out[0], in(c, 1), in(c, 2)}, 3);
}

/* input, grad, prev, step_size, down, up, least, most, maximize */
static bool sign_step(OpCall *c) {
  SignStep s = {
      .down = number(c, 4), .up = number(c, 5), .least = number(c, 6), .most = number(c, 7), .maximize = c->arg[8].i};
  return step(STEP_SIGN, &s, (Tensor *[]){c->out[0], in(c, 1), in(c, 2), in(c, 3)}, 4);
}

#define STEP_FLAGS (OP_HIDDEN | OP_INPLACE | OP_INPLACE_ONLY | OP_MODIFIES | OP_NO_GRADIENT)

static bool infer_sgd(OpCall *c) {
  if (!infer_step(c)) return false;
  return c->arg[2].given || scalar_double(c->arg[4].number) == 0 || fail(MT_EARG, "momentum needs a momentum_buffer");
}
OP(sgd_step,
   .schema =
       "sgd_step(Tensor input, Tensor grad, Tensor? momentum_buffer, float lr, float momentum=0, float dampening=0, "
       "float weight_decay=0, bool nesterov=False, bool first=False, bool maximize=False) -> Tensor",
   .doc = "One step of torch.optim.SGD on a parameter. With first the momentum buffer starts as the gradient.",
   .samples = "f(3,4) f(3,4) nil 0.1 | f(3,4) f(3,4) f(3,4) 0.1 0.9 0.1 0.01 | f(3) f(3) f(3) 0.1 0.9 0 0 True | "
              "f(3) f(3) f(3) 0.1 0.9 first=True maximize=True",
   .errors = "f(3) f(4) nil 0.1 | f(3) f(3) nil 0.1 0.9 | f(3) f(3) f(4) 0.1 0.9", .flags = STEP_FLAGS,
   .infer = infer_sgd, .kernel = EVERYWHERE(sgd_step));

static bool infer_adam(OpCall *c) {
  if (c->arg[10].i < 1) return fail(MT_EARG, "step counts from 1, but is %lld", (long long)c->arg[10].i);
  return infer_step(c);
}
OP(adam_step,
   .schema =
       "adam_step(Tensor input, Tensor grad, Tensor exp_avg, Tensor exp_avg_sq, float lr, float beta1, float beta2, "
       "float eps, "
       "float weight_decay, bool decoupled, int step, Tensor? max_exp_avg_sq=None, bool maximize=False) -> Tensor",
   .doc = "One step of torch.optim.Adam on a parameter; decoupled is AdamW, max_exp_avg_sq amsgrad.",
   .samples = "f(3,4) f(3,4) f(3,4) p(3,4) 0.1 0.9 0.999 1e-8 0 False 1 | f(3) f(3) f(3) p(3) 0.1 0.9 0.999 1e-8 0.01 "
              "True 3 | "
              "f(3) f(3) f(3) p(3) 0.1 0.9 0.999 1e-8 0.01 False 2 p(3) True",
   .errors = "f(3) f(4) f(3) p(3) 0.1 0.9 0.999 1e-8 0 False 1 | f(3) f(3) f(3) p(3) 0.1 0.9 0.999 1e-8 0 False 0",
   .flags = STEP_FLAGS, .infer = infer_adam, .kernel = EVERYWHERE(adam_step));

static bool infer_rms(OpCall *c) {
  if (!infer_step(c)) return false;
  return c->arg[3].given || scalar_double(c->arg[10].number) == 0 || fail(MT_EARG, "momentum needs a momentum_buffer");
}
OP(rms_step,
   .schema = "rms_step(Tensor input, Tensor grad, Tensor square_avg, Tensor? momentum_buffer, Tensor? grad_avg, float "
             "lr, float keep, float fresh, float eps, float weight_decay=0, float momentum=0, bool maximize=False) -> "
             "Tensor",
   .doc = "One step of torch.optim.RMSprop on a parameter: keep is alpha, fresh 1 - alpha, grad_avg centers. With keep "
          "and fresh 1 it is torch.optim.Adagrad.",
   .samples = "f(3,4) f(3,4) p(3,4) nil nil 0.1 0.9 0.1 1e-8 | f(3) f(3) p(3) f(3) nil 0.1 0.9 0.1 1e-8 0.01 0.9 | "
              "f(3) f(3) p(3) nil nil 0.1 1 1 1e-10 0.01 0 True",
   .errors = "f(3) f(4) p(3) nil nil 0.1 1 1 1e-8 | f(3) f(3) p(4) nil nil 0.1 1 1 1e-8 | "
             "f(3) f(3) p(3) f(4) nil 0.1 1 1 1e-8 | f(3) f(3) p(3) nil nil 0.1 1 1 1e-8 0 0.9",
   .flags = STEP_FLAGS, .infer = infer_rms, .kernel = EVERYWHERE(rms_step));

OP(delta_step,
   .schema =
       "delta_step(Tensor input, Tensor grad, Tensor square_avg, Tensor acc_delta, float lr, float rho, float eps, "
       "float weight_decay=0, bool maximize=False) -> Tensor",
   .doc = "One step of torch.optim.Adadelta on a parameter.",
   .samples = "f(3,4) f(3,4) p(3,4) p(3,4) 1 0.9 1e-6 | f(3) f(3) p(3) p(3) 1 0.9 1e-6 0.01 True",
   .errors = "f(3) f(4) p(3) p(3) 1 0.9 1e-6 | f(3) f(3) p(3) p(4) 1 0.9 1e-6", .flags = STEP_FLAGS,
   .infer = infer_step, .kernel = EVERYWHERE(delta_step));

#define MOMENT_STEP(name, optimiser, second, more, values)                                                             \
  OP(name##_step,                                                                                                      \
     .schema = #name "_step(Tensor input, Tensor grad, Tensor exp_avg, Tensor " second                                 \
                     ", float lr, float beta1, float beta2, float eps, float weight_decay, bool decoupled, int step, " \
                     "bool maximize" more ") -> Tensor",                                                               \
     .doc = "One step of torch.optim." optimiser " on a parameter.",                                                   \
     .samples = "f(3,4) f(3,4) f(3,4) p(3,4) 0.1 0.9 0.999 1e-8 0 False 1 False" values                                \
                " | f(3) f(3) f(3) p(3) 0.1 0.4 0.9 1e-8 0.01 False 9 True" values                                     \
                " | f(3) f(3) f(3) p(3) 0.1 0.9 0.99 1e-8 0.01 True 30 False" values,                                  \
     .errors = "f(3) f(4) f(3) p(3) 0.1 0.9 0.999 1e-8 0 False 1 False" values                                         \
               " | f(3) f(3) f(3) p(3) 0.1 0.9 0.999 1e-8 0 False 0 False" values,                                     \
     .flags = STEP_FLAGS, .infer = infer_adam, .kernel = EVERYWHERE(name##_step))
MOMENT_STEP(adamax, "Adamax", "exp_inf", "", "");
/* rate_grad and rate: what the gradient and the first moment count, which hold the products of the momenta. */
MOMENT_STEP(nadam, "NAdam", "exp_avg_sq", ", float rate_grad, float rate", " -0.01 -0.1");
MOMENT_STEP(radam, "RAdam", "exp_avg_sq", "", "");

OP(average_step,
   .schema =
       "average_step(Tensor input, Tensor grad, Tensor ax, float eta, float lambd, float mu, float weight_decay=0, "
       "bool maximize=False) -> Tensor",
   .doc = "One step of torch.optim.ASGD on a parameter, whose average ax moves toward it by mu.",
   .samples = "f(3,4) f(3,4) f(3,4) 0.1 1e-4 1 | f(3) f(3) f(3) 0.1 1e-4 0.25 0.01 True",
   .errors = "f(3) f(4) f(3) 0.1 1e-4 1 | f(3) f(3) f(4) 0.1 1e-4 1", .flags = STEP_FLAGS, .infer = infer_step,
   .kernel = EVERYWHERE(average_step));

OP(sign_step,
   .schema = "sign_step(Tensor input, Tensor grad, Tensor prev, Tensor step_size, float down, float up, float least, "
             "float most, bool maximize=False) -> Tensor",
   .doc = "One step of torch.optim.Rprop on a parameter; prev becomes the gradient, 0 where its sign changed.",
   .samples = "f(3,4) f(3,4) f(3,4) p(3,4) 0.5 1.2 1e-6 50 | f(3) f(3) f(3) p(3) 0.5 1.2 0.2 0.5 True",
   .errors = "f(3) f(4) f(3) p(3) 0.5 1.2 1e-6 50 | f(3) f(3) f(3) p(4) 0.5 1.2 1e-6 50", .flags = STEP_FLAGS,
   .infer = infer_step, .kernel = EVERYWHERE(sign_step));
