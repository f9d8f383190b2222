/* Optimiser steps: what torch.optim's optimisers do to one parameter, as one operator each; only LBFGS has none.
 *
 * The parameter and its state are written in place; nothing is recorded, so they run under no_grad. Invariant: everything
 * is checked before the first element changes. */
#include "cpu/kernels.h"
#include "ops/ops.h"

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
   .infer = infer_sgd, .kernel = {cpu_sgd_step});

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
   .flags = STEP_FLAGS, .infer = infer_adam, .kernel = {cpu_adam_step});

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
   .flags = STEP_FLAGS, .infer = infer_rms, .kernel = {cpu_rms_step});

OP(delta_step,
   .schema =
       "delta_step(Tensor input, Tensor grad, Tensor square_avg, Tensor acc_delta, float lr, float rho, float eps, "
       "float weight_decay=0, bool maximize=False) -> Tensor",
   .doc = "One step of torch.optim.Adadelta on a parameter.",
   .samples = "f(3,4) f(3,4) p(3,4) p(3,4) 1 0.9 1e-6 | f(3) f(3) p(3) p(3) 1 0.9 1e-6 0.01 True",
   .errors = "f(3) f(4) p(3) p(3) 1 0.9 1e-6 | f(3) f(3) p(3) p(4) 1 0.9 1e-6", .flags = STEP_FLAGS,
   .infer = infer_step, .kernel = {cpu_delta_step});

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
     .flags = STEP_FLAGS, .infer = infer_adam, .kernel = {cpu_##name##_step})
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
   .kernel = {cpu_average_step});

OP(sign_step,
   .schema = "sign_step(Tensor input, Tensor grad, Tensor prev, Tensor step_size, float down, float up, float least, "
             "float most, bool maximize=False) -> Tensor",
   .doc = "One step of torch.optim.Rprop on a parameter; prev becomes the gradient, 0 where its sign changed.",
   .samples = "f(3,4) f(3,4) f(3,4) p(3,4) 0.5 1.2 1e-6 50 | f(3) f(3) f(3) p(3) 0.5 1.2 0.2 0.5 True",
   .errors = "f(3) f(4) f(3) p(3) 0.5 1.2 1e-6 50 | f(3) f(3) f(3) p(4) 0.5 1.2 1e-6 50", .flags = STEP_FLAGS,
   .infer = infer_step, .kernel = {cpu_sign_step});
