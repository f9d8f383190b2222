/* Losses: of pairs of equal shape, and of class labels, which count from 1.
 *
 * The forward pass is one kernel (cpu/loss.h) that sums as it goes. Shapes that would broadcast are refused, since a loss
 * of [N, 1] against [N] compares every pair and does not learn; {broadcast = true} allows it. */
#include "cpu/device_kernels.h"
#include "ops/ops.h"
#include <string.h>

extern OpDef def_clamp, def_sigmoid;

static LossReduction reduction_of(const Arg *a) {
  if (strcmp(a->str, "mean") == 0) return LOSS_MEAN;
  if (strcmp(a->str, "sum") == 0) return LOSS_SUM;
  return strcmp(a->str, "none") == 0 ? LOSS_NONE : LOSS_UNKNOWN;
}
static bool check_reduction(const Arg *a) {
  return reduction_of(a) != LOSS_UNKNOWN ||
         fail(MT_EARG, "%s is not a valid value for reduction; it is \"mean\", \"sum\" or \"none\"", a->str);
}
static Tensor *reduce(Tensor *t, const Arg *reduction) {
  LossReduction r = reduction_of(reduction);
  return r == LOSS_MEAN ? op_mean(t) : r == LOSS_SUM ? op_sum(t) : t;
}

/* ---- pairs ---- */

static const char *size_text(const Tensor *t) { return text("torch.Size(%s)", shape_text(t->ndim, t->shape)); }

/* The dim that b would have to gain to have a's shape, from 1; 0 when that does not help. */
static int missing_dim(const Tensor *a, const Tensor *b) {
  if (a->ndim != b->ndim + 1) return 0;
  int d = 0;
  while (d < b->ndim && a->shape[d] == b->shape[d]) d++;
  if (a->shape[d] != 1) return 0;
  for (int e = d; e < b->ndim; e++)
    if (a->shape[e + 1] != b->shape[e]) return 0;
  return d + 1;
}

static bool can_broadcast(const Tensor *a, const Tensor *b) {
  for (int k = 1; k <= a->ndim && k <= b->ndim; k++) {
    int64_t x = a->shape[a->ndim - k], y = b->shape[b->ndim - k];
    if (x != y && x != 1 && y != 1) return false;
  }
  return true;
}

#define LIKELY                                                                                                     \
  "Using a target size (%s) that is different to the input size (%s). This will likely lead to incorrect results " \
  "due to broadcasting. Please ensure they have the same size"
#define DEPRECATED                                                                                                     \
  "Using a target size (%s) that is different to the input size (%s) is deprecated. Please ensure they have the same " \
  "size"
#define MUST "Target size (%s) must be the same as input size (%s)"

/* PyTorch's sentence for the loss, then what makes the shapes equal. broadcast < 0: there is no such argument. */
static bool check_pair(const OpCall *c, int broadcast) {
  Tensor *x = in(c, 0), *t = in(c, 1);
  if (tensor_same_shape(x, t) || (broadcast >= 0 && c->arg[broadcast].i)) return true;
  int there = missing_dim(x, t), here = missing_dim(t, x);
  const char *remedy = there  ? text(": target:unsqueeze(%d) or pred:squeeze(%d) makes them equal", there, there)
                       : here ? text(": pred:unsqueeze(%d) or target:squeeze(%d) makes them equal", here, here)
                              : "";
  const char *allow = broadcast >= 0 && can_broadcast(x, t) ? "; {broadcast = true} allows it" : "";
  const char *name = c->def->info->name;
  if (strcmp(name, "binary_cross_entropy") == 0)
    return fail(MT_EARG, DEPRECATED "%s", size_text(t), size_text(x), remedy);
  if (broadcast < 0) return fail(MT_EARG, MUST "%s", size_text(t), size_text(x), remedy);
  return fail(MT_EARG, LIKELY "%s%s", size_text(t), size_text(x), remedy, allow);
}

/* |input - target| of integers has no mean; its sum is an int64. */
static bool infer_whole(OpCall *c, int reduction) {
  LossReduction r = reduction_of(&c->arg[reduction]);
  if (c->compute == MT_BOOL)
    return fail(MT_EARG, "Subtraction, the `-` operator, with two bool tensors is not supported. Use :float() first");
  if (r == LOSS_MEAN)
    return fail(MT_EARG,
                "mean(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. "
                "Got: %s: use :float(), or reduction = 'sum'",
                dtype_info[c->compute].type_name);
  if (r == LOSS_SUM) c->meta[0].ndim = 0, c->meta[0].dtype = MT_I64;
  return true;
}

/* Result 0 of a loss of two tensors: promoted, broadcast, then reduced to one element unless reduction is 'none'.
 * kernel NULL: of absolute differences, which integers have too. */
static bool infer_pair(OpCall *c, const char *kernel, int reduction, int broadcast) {
  if (!check_reduction(&c->arg[reduction]) || !check_pair(c, broadcast) || !infer_binary(c)) return false;
  if (!dtype_is_float(c->compute) && kernel == NULL) return infer_whole(c, reduction);
  if (!dtype_is_float(c->compute))
    return fail(MT_ENOTIMPL, "\"%s\" not implemented for '%s': input and target are %s and %s, use :float()", kernel,
                dtype_info[c->compute].type_name, dtype_info[in(c, 0)->dtype].name, dtype_info[in(c, 1)->dtype].name);
  if (reduction_of(&c->arg[reduction]) != LOSS_NONE) c->meta[0].ndim = 0;
  return true;
}

/* Runs the kernel over the broadcast shape, which meta 0 no longer holds. */
static bool run_pair(OpCall *c, PairLoss kind, Tensor *weight, Tensor *positive, double a, int reduction) {
  Tensor *x = in(c, 0), *t = in(c, 1);
  int ndim = 0;
  int64_t shape[MT_MAX_DIMS];
  return shape_broadcast(&ndim, shape, x->ndim, x->shape) && shape_broadcast(&ndim, shape, t->ndim, t->shape) &&
         any_pair_loss(kind, c->compute == MT_F64 ? MT_F64 : MT_F32, ndim, shape, x, t, weight, positive, a,
                       reduction_of(&c->arg[reduction]), c->out[0]);
}

/* The gradient that reaches each element: gy, over the number of elements for a mean. */
static Tensor *each_gy(const Grad *g, int reduction, double factor) {
  if (reduction_of(g_arg(g, reduction)) == LOSS_MEAN) {
    const EdgeMeta *x = g_meta(g, 0), *t = g_meta(g, 1);
    int ndim = 0;
    int64_t shape[MT_MAX_DIMS], n = 1;
    shape_broadcast(&ndim, shape, x->ndim, x->shape);
    shape_broadcast(&ndim, shape, t->ndim, t->shape);
    for (int d = 0; d < ndim; d++) n *= shape[d];
    factor /= (double)n;
  }
  return factor == 1 ? g_out(g, 0) : op_scale(g_out(g, 0), factor);
}

/* Losses of the difference: the target's gradient is the input's negated. */
static void set_difference(Grad *g, Tensor *slope, Tensor *gy) {
  Tensor *gx = op_mul(slope, gy);
  if (g_needs(g, 0)) g_set(g, 0, gx);
  if (g_needs(g, 1)) g_set(g, 1, op_neg(gx));
}
static Tensor *difference(const Grad *g) { return op_sub(g_in(g, 0), g_in(g, 1)); }

#define PAIR_SAMPLES "f(3,4) f(3,4) | f(5) f(5) 'sum' | f(2,3) f(2,3) 'none' | f(3,1) f(3) 'mean' True | f() f()"
#define PAIR_ERRORS "f(3,1) f(3) | f(3) f(3) 'max' | f(3) f(4)"
#define BOTH_SAVED "input: input target; target: input target"
static bool infer_mse(OpCall *c) { return infer_pair(c, "mse_cpu", 2, 3); }
static bool run_mse(OpCall *c) { return run_pair(c, PAIR_SQUARED, NULL, NULL, 0, 2); }
static void back_mse(Grad *g) { set_difference(g, difference(g), each_gy(g, 2, 2)); }
OP(mse_loss, .schema = "mse_loss(Tensor input, Tensor target, str reduction='mean', bool broadcast=False) -> Tensor",
   .doc = "(input - target)^2: mean, sum or none. Integer targets are promoted. After a sigmoid its gradient vanishes "
          "where the "
          "sigmoid saturates; binary_cross_entropy_with_logits does not have that.",
   .samples = PAIR_SAMPLES " | f(3) i(3)", .errors = PAIR_ERRORS " | i(3) i(3)", .saves = BOTH_SAVED,
   .flags = OP_FUNCTION, .infer = infer_mse, .kernel = EVERYWHERE(run_mse), .backward = back_mse);

static bool infer_l1(OpCall *c) { return infer_pair(c, NULL, 2, 3); }
static bool absolute(OpCall *c) {
  extern OpDef def_abs;
  if (dtype_is_float(c->compute)) return run_pair(c, PAIR_ABSOLUTE, NULL, NULL, 0, 2);
  int mark = pool_open();
  Tensor *value = op_run(&def_abs, (Arg[]){ARG_T(op_sub(in(c, 0), in(c, 1)))});
  bool good = value && (value = reduce(value, &c->arg[2])) && op_copy_values(c->out[0], value);
  pool_shut(mark);
  return good;
}
static bool run_l1(OpCall *c) { return absolute(c); }
static void back_l1(Grad *g) { set_difference(g, op_sign(difference(g)), each_gy(g, 2, 1)); }
OP(l1_loss, .schema = "l1_loss(Tensor input, Tensor target, str reduction='mean', bool broadcast=False) -> Tensor",
   .doc = "|input - target|: mean, sum or none.", .samples = PAIR_SAMPLES " | f(3) i(3)", .errors = PAIR_ERRORS,
   .saves = BOTH_SAVED, .flags = OP_FUNCTION, .infer = infer_l1, .kernel = EVERYWHERE(run_l1), .backward = back_l1);

static Tensor *clamped(Tensor *t, double limit) {
  return op_run(&def_clamp, (Arg[]){ARG_T(t), ARG_N(scalar_float(-limit)), ARG_N(scalar_float(limit))});
}
#define LIMIT(c, k) scalar_double((c)->arg[k].number)
static double grad_limit(const Grad *g, int k) { return scalar_double(g_arg(g, k)->number); }

/* beta = 0 is l1 */
static bool infer_smooth_l1(OpCall *c) {
  if (!(LIMIT(c, 3) >= 0)) return fail(MT_EARG, "smooth_l1_loss does not support negative values for beta.");
  return infer_pair(c, LIMIT(c, 3) > 0 ? "smooth_l1_cpu" : NULL, 2, 4);
}
static bool run_smooth_l1(OpCall *c) {
  return LIMIT(c, 3) > 0 ? run_pair(c, PAIR_SMOOTH, NULL, NULL, LIMIT(c, 3), 2) : absolute(c);
}
static void back_smooth_l1(Grad *g) {
  double beta = grad_limit(g, 3);
  Tensor *d = difference(g);
  set_difference(g, beta > 0 ? clamped(op_scale(d, 1 / beta), 1) : op_sign(d), each_gy(g, 2, 1));
}
OP(smooth_l1_loss,
   .schema = "smooth_l1_loss(Tensor input, Tensor target, str reduction='mean', float beta=1, bool broadcast=False) -> "
             "Tensor",
   .doc = "Squared below beta, absolute above: d^2 / 2 beta, or |d| - beta / 2.",
   .samples = "f(3,4) f(3,4) | f(5) f(5) 'sum' 0.5 | f(2,3) f(2,3) 'none' | f(4) f(4) 'mean' 0",
   .errors = "f(3,1) f(3) | f(3) f(3) 'mean' -1", .saves = BOTH_SAVED, .flags = OP_FUNCTION, .infer = infer_smooth_l1,
   .kernel = EVERYWHERE(run_smooth_l1), .backward = back_smooth_l1);

static bool infer_huber(OpCall *c) {
  if (!(LIMIT(c, 3) > 0)) return fail(MT_EARG, "huber_loss does not support non-positive values for delta.");
  return infer_pair(c, "huber_cpu", 2, 4);
}
static bool run_huber(OpCall *c) { return run_pair(c, PAIR_HUBER, NULL, NULL, LIMIT(c, 3), 2); }
static void back_huber(Grad *g) { set_difference(g, clamped(difference(g), grad_limit(g, 3)), each_gy(g, 2, 1)); }
OP(huber_loss,
   .schema =
       "huber_loss(Tensor input, Tensor target, str reduction='mean', float delta=1, bool broadcast=False) -> Tensor",
   .doc = "d^2 / 2 up to delta, then delta (|d| - delta / 2).",
   .samples = "f(3,4) f(3,4) | f(5) f(5) 'sum' 0.5 | f(2,3) f(2,3) 'none'",
   .errors = "f(3,1) f(3) | f(3) f(3) 'mean' 0", .saves = BOTH_SAVED, .flags = OP_FUNCTION, .infer = infer_huber,
   .kernel = EVERYWHERE(run_huber), .backward = back_huber);

/* ---- binary cross-entropy ---- */

static const char *type_text(const Tensor *t) { return text("torch.%sTensor", dtype_info[t->dtype].type_name); }

static bool expands(Tensor *t, const OpCall *c, const char *name) {
  int64_t stride[MT_MAX_DIMS];
  if (!t || shape_expand(t, in(c, 0)->ndim, in(c, 0)->shape, stride)) return true;
  if (strcmp(c->def->info->name, "binary_cross_entropy") == 0)
    return fail(MT_EARG,
                "Attempting to broadcast a dimension of length %lld at -1! Mismatching argument at index 1 had "
                "torch.Size(%s); but expected shape should be broadcastable to %s: %s must broadcast to input",
                (long long)(t->ndim ? t->shape[t->ndim - 1] : 1), shape_text(t->ndim, t->shape),
                shape_text(in(c, 0)->ndim, in(c, 0)->shape), name);
  int64_t shape[MT_MAX_DIMS];
  int ndim = 0;
  if (!shape_broadcast(&ndim, shape, in(c, 0)->ndim, in(c, 0)->shape) ||
      !shape_broadcast(&ndim, shape, t->ndim, t->shape))
    return false;
  return fail(MT_EARG,
              "The size of tensor a (%s) must match the size of tensor b (%s): %s must broadcast to the input's shape",
              shape_text(t->ndim, t->shape), shape_text(in(c, 0)->ndim, in(c, 0)->shape), name);
}

/* Both sides are float, and no loss is made of integers by promotion: a target of labels is usually meant for another one. */
static bool infer_bce(OpCall *c, int reduction, bool same) {
  Tensor *x = in(c, 0), *t = in(c, 1);
  if (!tensor_is_float(x))
    return fail(
        MT_ENOTIMPL,
        "\"binary_cross_entropy\" not implemented for '%s': expected type torch.FloatTensor but found type %s for "
        "argument 'input', use input:float()",
        dtype_info[x->dtype].type_name, type_text(x));
  if (!tensor_is_float(t) || (same && t->dtype != x->dtype))
    return fail(MT_EARG,
                "Expected object of type %s but found type %s for argument 'target' (shape %s): use target:%s()",
                type_text(x), type_text(t), shape_text(t->ndim, t->shape), dtype_info[x->dtype].alias);
  for (int k = 2; k < reduction; k++)
    if (c->arg[k].given && !expands(in(c, k), c, c->def->info->param[k].name)) return false;
  return infer_pair(c, "binary_cross_entropy", reduction, -1);
}
static Tensor *optional(const OpCall *c, int k) { return c->arg[k].given ? in(c, k) : NULL; }

static bool infer_binary_cross_entropy(OpCall *c) { return infer_bce(c, 3, true); }
static bool run_binary_cross_entropy(OpCall *c) { return run_pair(c, PAIR_BCE, optional(c, 2), NULL, 0, 3); }
/* dx = (x - t) / (x (1 - x)), the divisor at least 1e-12; dt = log(1 - x) - log(x), logarithms at least -100 */
static void back_binary_cross_entropy(Grad *g) {
  if (!g_needs(g, 0) && !g_needs(g, 1)) return;
  Tensor *x = g_in(g, 0), *t = g_in(g, 1), *w = g_in(g, 2), *gy = each_gy(g, 3, 1), *rest = op_sub(op_int(1), x);
  if (w) gy = op_mul(gy, w);
  if (g_needs(g, 0)) {
    Arg least[] = {ARG_T(op_mul(rest, x)), ARG_N(scalar_float((double)1e-12f)),
                   ARG_NIL}; /* PyTorch keeps this one in float */
    g_set(g, 0, op_mul(gy, op_div(op_sub(x, t), op_run(&def_clamp, least))));
  }
  if (g_needs(g, 1)) {
    Arg low[] = {ARG_T(op_log(rest)), ARG_N(scalar_float(-100)), ARG_NIL},
        high[] = {ARG_T(op_log(x)), ARG_N(scalar_float(-100)), ARG_NIL};
    g_set(g, 1, op_mul(gy, op_sub(op_run(&def_clamp, low), op_run(&def_clamp, high))));
  }
}
OP(binary_cross_entropy,
   .schema = "binary_cross_entropy(Tensor input, Tensor target, Tensor? weight=None, str reduction='mean') -> Tensor",
   .doc = "-(target log input + (1 - target) log(1 - input)) of probabilities; logarithms count as -100 at least. "
          "weight is a "
          "constant that broadcasts. For logits use binary_cross_entropy_with_logits.",
   .samples = "u(3,4) u(3,4) | u(5) u(5) reduction='sum' | u(2,3) u(2,3) p(3) 'none'",
   .errors = "u(3,1) u(3) | u(3) i(3) | u(3) u(3) p(4) | u(3) u(3) reduction='max'",
   .saves = "input: input target weight; target: input weight", .flags = OP_FUNCTION,
   .infer = infer_binary_cross_entropy, .kernel = EVERYWHERE(run_binary_cross_entropy),
   .backward = back_binary_cross_entropy);

static bool infer_logits(OpCall *c) { return infer_bce(c, 4, false); }
static bool run_logits(OpCall *c) { return run_pair(c, PAIR_LOGITS, optional(c, 2), optional(c, 3), 0, 4); }
/* dx = (q + 1 - t) sigmoid(x) - q with q = positive t; dt = -x + (positive - 1) softplus(-x) */
static void back_logits(Grad *g) {
  if (!g_needs(g, 0) && !g_needs(g, 1)) return;
  Tensor *x = g_in(g, 0), *t = g_in(g, 1), *w = g_in(g, 2), *positive = g_in(g, 3), *gy = each_gy(g, 4, 1);
  if (w) gy = op_mul(gy, w);
  if (g_needs(g, 0)) {
    Tensor *s = op_run(&def_sigmoid, (Arg[]){ARG_T(x)}), *slope;
    if (positive) {
      Tensor *q = op_mul(positive, t);
      slope = op_sub(op_mul(op_add(op_sub(q, t), op_int(1)), s), q);
    } else {
      slope = op_sub(s, t);
    }
    g_set(g, 0, op_mul(gy, slope));
  }
  if (g_needs(g, 1)) {
    Tensor *slope = op_neg(x);
    if (positive) { /* softplus(-x) = log(1 + exp(-|x|)) + max(-x, 0) */
      extern OpDef def_log1p, def_relu, def_abs;
      Tensor *tail = op_run(&def_log1p, (Arg[]){ARG_T(op_exp(op_neg(op_run(&def_abs, (Arg[]){ARG_T(x)}))))});
      Tensor *soft = op_add(tail, op_run(&def_relu, (Arg[]){ARG_T(op_neg(x))}));
      slope = op_add(slope, op_mul(op_sub(positive, op_int(1)), soft));
    }
    g_set(g, 1, op_mul(gy, slope));
  }
}
OP(binary_cross_entropy_with_logits,
   .schema =
       "binary_cross_entropy_with_logits(Tensor input, Tensor target, Tensor? weight=None, Tensor? pos_weight=None, "
       "str reduction='mean') -> Tensor",
   .doc = "binary_cross_entropy of sigmoid(input), without overflow. weight and pos_weight (of positive answers) are "
          "constants "
          "that broadcast.",
   .samples = "f(3,4) u(3,4) | f(5) u(5) reduction='sum' | f(2,3) u(2,3) p(3) reduction='none' | f(2,3) u(2,3) "
              "pos_weight=p(3)",
   .errors = "f(3,1) u(3) | f(3) i(3) | f(3) u(3) p(4)",
   .saves = "input: input target weight pos_weight; target: input weight pos_weight", .flags = OP_FUNCTION,
   .infer = infer_logits, .kernel = EVERYWHERE(run_logits), .backward = back_logits);

static bool check_divergence(const OpCall *c) {
  const Tensor *x = in(c, 0), *t = in(c, 1);
  return (tensor_is_float(x) && tensor_is_float(t)) ||
         fail(MT_EARG, "kl_div: Integral inputs not supported. input is %s, target %s: use :float()",
              dtype_info[x->dtype].name, dtype_info[t->dtype].name);
}
/* target (log target - input), 0 where target is 0 */
static bool compose_kl_div(OpCall *c) {
  Tensor *x = in(c, 0), *t = in(c, 1), *value;
  bool batch = strcmp(c->arg[2].str, "batchmean") == 0;
  if (!batch && !check_reduction(&c->arg[2])) return false;
  if (!check_pair(c, 4) || !check_divergence(c)) return false;
  if (c->arg[3].i) {
    value = op_mul(op_exp(t), op_sub(t, x));
  } else {
    Tensor *safe = op_where(op_eq(t, op_int(0)), op_float(1), t);
    value = op_sub(op_mul(safe, op_log(safe)), op_mul(t, x));
  }
  if (!batch) return compose_return(c, 0, reduce(value, &c->arg[2]));
  Tensor *sum = op_sum(value);
  return compose_return(c, 0, x->ndim == 0 ? sum : op_div(sum, op_int(x->shape[0])));
}
OP(kl_div,
   .schema = "kl_div(Tensor input, Tensor target, str reduction='mean', bool log_target=False, bool broadcast=False) "
             "-> Tensor",
   .doc = "target (log target - input), where input holds logarithms; with log_target target does too. 'batchmean' "
          "divides the "
          "sum by the first size.",
   .samples = "f(3,4) u(3,4) | f(3,4) u(3,4) 'batchmean' | f(3,4) f(3,4) 'sum' True | f(2,3) u(2,3) 'none' | f() u() "
              "'batchmean'",
   .errors = "f(3,4) u(4) | f(3) i(3) | f(3) u(3) 'max'", .flags = OP_FUNCTION, .compose = compose_kl_div);
static bool compose_kl_div_number(OpCall *c) {
  static const char *const reductions[] = {"none", "mean", "sum"};
  int64_t k = c->arg[2].i;
  if (!check_divergence(c)) return false;
  if (k < 0 || k > 2)
    return fail(MT_EARG, "%lld is not a valid value for reduction: 0 none, 1 mean, 2 sum", (long long)k);
  Arg arg[] = {c->arg[0], c->arg[1], ARG_S(reductions[k]), c->arg[3], ARG_I(0)};
  return compose_return(c, 0, op_run(&def_kl_div, arg));
}
OP(kl_div_number, .schema = "kl_div(Tensor input, Tensor target, int reduction, *, bool log_target=False) -> Tensor",
   .doc = "kl_div with the reduction as PyTorch numbers it: 0 none, 1 mean, 2 sum.",
   .samples = "f(3,4) u(3,4) 2 | f(3) u(3) 0", .errors = "f(3,4) u(3,4) 3", .flags = OP_FUNCTION,
   .compose = compose_kl_div_number);

/* ---- labels ---- */

/* input, target, weight, ignore_index, reduction[, label_smoothing] from argument `at` on. */
static ClassLoss class_loss(const Arg *arg, int at) {
  return (ClassLoss){.target = arg[at].tensor,
                     .weight = arg[at + 1].given ? arg[at + 1].tensor : NULL,
                     .ignore = arg[at + 2].i,
                     .reduction = reduction_of(&arg[at + 3])};
}
static void class_input(ClassLoss *loss, Tensor *input) {
  loss->input = input;
  loss->ndim = input->ndim;
  loss->shape = input->shape;
}

static bool check_labels(const Tensor *x, const Tensor *t) {
  if (!dtype_is_integral((DType)t->dtype))
    return fail(
        MT_EARG,
        "expected scalar type Long but found %s for argument 'target' of shape %s. Class labels are integers from 1: "
        "use target:long(); for probabilities give cross_entropy a target of the input's shape %s",
        dtype_info[t->dtype].type_name, shape_text(t->ndim, t->shape), shape_text(x->ndim, x->shape));
  if (x->ndim == 0) return fail(MT_EARG, "input tensor should be 1D or 2D or more: it is 0-dim, classes need a dim");
  if (x->ndim == 1 && t->numel == 1 && t->ndim <= 1) return true;
  if (x->ndim > 1 && t->ndim > 0 && x->shape[0] != t->shape[0])
    return fail(
        MT_EARG,
        "Expected input batch_size (%lld) to match target batch_size (%lld). The input has shape %s, the target %s",
        (long long)x->shape[0], (long long)t->shape[0], shape_text(x->ndim, x->shape), shape_text(t->ndim, t->shape));
  bool same = x->ndim > 1 && t->ndim == x->ndim - 1;
  for (int d = 1; same && d < t->ndim; d++) same = t->shape[d] == x->shape[d + 1];
  if (same) return true;
  if (x->ndim <= 2)
    return fail(MT_EARG,
                "0D or 1D target tensor expected, multi-target not supported: the target has shape %s, the input %s%s",
                shape_text(t->ndim, t->shape), shape_text(x->ndim, x->shape),
                t->ndim == 2 && t->shape[1] == 1 ? "; use target:squeeze(2)"
                : tensor_same_shape(t, x)        ? "; as probabilities (one-hot labels) it is target:float()"
                                                 : "");
  int64_t wanted[MT_MAX_DIMS];
  wanted[0] = x->shape[0];
  for (int d = 2; d < x->ndim; d++) wanted[d - 1] = x->shape[d];
  return fail(MT_EARG, "Expected target size %s, got %s: the input has shape %s, with the classes in dim 2",
              shape_text(x->ndim - 1, wanted), shape_text(t->ndim, t->shape), shape_text(x->ndim, x->shape));
}

/* Checks input (0), target (1), weight (2), reduction (4); result 0 is the loss. */
static bool infer_labels(OpCall *c) {
  Tensor *x = in(c, 0), *t = in(c, 1);
  if (!check_reduction(&c->arg[4]) || !check_labels(x, t)) return false;
  if (!tensor_is_float(x))
    return fail(MT_ENOTIMPL, "\"%s\" not implemented for '%s': use input:float()", c->def->info->name,
                dtype_info[x->dtype].type_name);
  int64_t classes = x->shape[x->ndim > 1];
  if (c->arg[2].given) {
    Tensor *w = in(c, 2);
    if (w->ndim != 1 || w->numel != classes)
      return fail(MT_EARG,
                  "weight tensor should be defined either for all %lld classes or no classes but got weight tensor of "
                  "shape: %s",
                  (long long)classes, shape_text(w->ndim, w->shape));
    if (w->dtype != x->dtype)
      return fail(MT_EARG, "expected scalar type %s but found %s: weight needs the input's dtype, use weight:%s()",
                  dtype_info[x->dtype].type_name, dtype_info[w->dtype].type_name, dtype_info[x->dtype].alias);
  }
  bool each = reduction_of(&c->arg[4]) == LOSS_NONE;
  return out_shape(c, 0, (DType)x->dtype, each ? t->ndim : 0, t->shape);
}

/* Hidden operators get what a loss has checked; this guards their memory. */
static bool labels_fit(const Arg *arg, int at, int ndim, const int64_t *shape) {
  int64_t numel = 1, classes = ndim > 0 ? shape[ndim > 1] : 0;
  for (int d = 0; d < ndim; d++) numel *= d == (ndim > 1) ? 1 : shape[d];
  return (ndim > 0 && dtype_is_integral((DType)arg[at].tensor->dtype) && arg[at].tensor->numel == numel &&
          (!arg[at + 1].given || arg[at + 1].tensor->numel == classes) && check_reduction(&arg[at + 3])) ||
         fail(MT_EARG, "target and weight do not fit the shape %s", shape_text(ndim, shape));
}

/* What each class's negative log-probability counts, with the input's shape. A constant. */
static bool infer_class_weights(OpCall *c) {
  const Arg *shape = &c->arg[5];
  return out_shape(c, 0, c->arg[6].dtype, shape->n, shape->ints) && labels_fit(c->arg, 0, shape->n, shape->ints) &&
         (dtype_is_float(c->arg[6].dtype) || fail(MT_EARG, "class_weights are float"));
}
static bool run_class_weights(OpCall *c) {
  ClassLoss loss = class_loss(c->arg, 0);
  loss.ndim = c->arg[5].n;
  loss.shape = c->arg[5].ints;
  loss.smoothing = LIMIT(c, 4);
  return any_class_weights(&loss, c->out[0]);
}
OP(class_weights,
   .schema = "class_weights(Index target, Tensor? weight, int ignore_index, str reduction, float label_smoothing, Size "
             "shape, "
             "dtype dtype) -> Tensor",
   .doc = "What the loss of labels multiplies each negative log-probability by; shape is the input's.",
   .samples = "x(3;4) p(4) -100 'mean' 0.1 {3,4} 'float64' | x(3;4) nil -100 'sum' 0 {3,4} 'float32'",
   .flags = OP_HIDDEN | OP_NO_GRADIENT, .infer = infer_class_weights, .kernel = EVERYWHERE(run_class_weights));

/* The weights that argument 0's loss used, and gy as it multiplies them. */
static Tensor *weights_of(const Grad *g, double smoothing) {
  const EdgeMeta *x = g_meta(g, 0);
  Tensor *weight = g_in(g, 2);
  Arg arg[] = {ARG_T(g_in(g, 1)),
               ARG_T(weight),
               *g_arg(g, 3),
               *g_arg(g, 4),
               ARG_N(scalar_float(smoothing)),
               ARG_INTS(x->shape, x->ndim),
               ARG_DTYPE((DType)x->dtype)};
  return op_run(&def_class_weights, arg);
}
static Tensor *gy_by_class(const Grad *g) {
  Tensor *gy = g_out(g, 0);
  if (reduction_of(g_arg(g, 4)) != LOSS_NONE || g_meta(g, 0)->ndim < 2) return gy;
  return op_unsqueeze(gy, 1);
}

static bool run_nll_loss(OpCall *c) {
  ClassLoss loss = class_loss(c->arg, 1);
  class_input(&loss, in(c, 0));
  return any_class_loss(&loss, c->out[0], NULL);
}
static void back_nll_loss(Grad *g) {
  if (g_needs(g, 0)) g_set(g, 0, op_neg(op_mul(weights_of(g, 0), gy_by_class(g))));
}
OP(nll_loss,
   .schema = "nll_loss(Tensor input, Index target, Tensor? weight=None, int ignore_index=-100, str reduction='mean') "
             "-> Tensor",
   .doc = "-weight[label] input[label] of log-probabilities (C), (N, C) or (N, C, d...) and labels from 1 of the same "
          "shape without "
          "C. A mean divides by the sum of the labels' weights. Labels equal to ignore_index do not count.",
   .samples = "f(3,4) x(3;4) | f(3,4) x(3;4) p(4) | f(3,4) x(3;4) reduction='sum' | f(3,4) x(3;4) p(4) 2 'none' | f(4) "
              "x(;4) | "
              "f(2,4,3) x(2,3;4) p(4) | f(2,4,3,2) x(2,3,2;4) reduction='none'",
   .errors = "f(3,4) x(2;4) | f(3,4) x(3,1;4) | f(3,4) f(3) | f(3,4) x(3;4) p(3) | i(3,4) x(3;4) | f(3,4) x(3;4) "
             "reduction='max'",
   .saves = "input: target weight", .flags = OP_FUNCTION, .infer = infer_labels, .kernel = EVERYWHERE(run_nll_loss),
   .backward = back_nll_loss);

/* Cross-entropy in one pass. Result 2 is the log of the sum of exponentials per label, in double, from which backward
 * rebuilds the probabilities p: the gradient is gy (p sum(q) - q), q the class weights. */
static bool infer_log_sum_loss(OpCall *c) {
  double smoothing = LIMIT(c, 5);
  if (!(smoothing >= 0 && smoothing <= 1))
    return fail(MT_EARG, "label_smoothing must be between 0.0 and 1.0. Got: %g", smoothing);
  return infer_labels(c) && out_shape(c, 1, MT_F64, in(c, 1)->ndim, in(c, 1)->shape);
}
static bool run_log_sum_loss(OpCall *c) {
  ClassLoss loss = class_loss(c->arg, 1);
  class_input(&loss, in(c, 0));
  loss.smoothing = LIMIT(c, 5);
  return any_class_loss(&loss, c->out[0], c->out[1]);
}

static bool infer_cross_entropy_back(OpCall *c) {
  Tensor *gy = in(c, 0), *x = in(c, 1), *log_sum = in(c, 2), *t = in(c, 3);
  if (!labels_fit(c->arg, 3, x->ndim, x->shape)) return false;
  if (log_sum->dtype != MT_F64 || log_sum->numel != t->numel || !tensor_is_contiguous(log_sum) || !tensor_is_float(x) ||
      !tensor_is_float(gy) || gy->numel != (reduction_of(&c->arg[6]) == LOSS_NONE ? t->numel : 1))
    return fail(MT_EARG, "grad, log_sum and input do not belong to one loss");
  return out_shape(c, 0, (DType)x->dtype, x->ndim, x->shape);
}
static bool run_cross_entropy_back(OpCall *c) {
  ClassLoss loss = class_loss(c->arg, 3);
  class_input(&loss, in(c, 1));
  loss.smoothing = LIMIT(c, 7);
  return any_cross_entropy_back(&loss, in(c, 0), in(c, 2), c->out[0]);
}
OP(cross_entropy_back,
   .schema =
       "cross_entropy_back(Tensor grad, Tensor input, Tensor log_sum, Index target, Tensor? weight, int ignore_index, "
       "str reduction, float label_smoothing) -> Tensor",
   .doc = "The input's gradient of cross_entropy, in one pass; not recorded.",
   .samples = "f() f(3,4) g(3) x(3;4) nil -100 'mean' 0 | f(3) f(3,4) g(3) x(3;4) p(4) 2 'none' 0.1",
   .errors = "f() f(3,4) f(3) x(3;4) nil -100 'mean' 0", .flags = OP_HIDDEN | OP_NO_GRADIENT,
   .infer = infer_cross_entropy_back, .kernel = EVERYWHERE(run_cross_entropy_back));

/* log_sum per label, to stand beside each class. */
static Tensor *beside_classes(Tensor *t, const EdgeMeta *x) {
  if (x->ndim == 1) return op_reshape(t, 0, NULL);
  return op_unsqueeze(t, 1);
}
static void back_log_sum_loss(Grad *g) {
  if (!g_needs(g, 0)) return;
  Tensor *x = g_in(g, 0), *log_sum = g_result(g, 1), *gx = NULL;
  if (!g_out(g, 1) && !grad_enabled()) {
    Arg arg[] = {ARG_T(g_out(g, 0)), ARG_T(x),     ARG_T(log_sum), ARG_T(g_in(g, 1)),
                 ARG_T(g_in(g, 2)),  *g_arg(g, 3), *g_arg(g, 4),   *g_arg(g, 5)};
    g_set(g, 0, op_run(&def_cross_entropy_back, arg));
    return;
  }
  Tensor *p = op_exp(op_sub(x, beside_classes(log_sum, g_meta(g, 0))));
  if (g_out(g, 0)) {
    Tensor *q = weights_of(g, scalar_double(g_arg(g, 5)->number));
    gx = op_mul(gy_by_class(g), op_sub(op_mul(p, op_sum_dim(q, g_meta(g, 0)->ndim > 1, true)), q));
  }
  if (g_out(g, 1)) {
    Tensor *through = op_mul(p, beside_classes(g_out(g, 1), g_meta(g, 0)));
    gx = gx ? op_add(gx, through) : through;
  }
  g_set(g, 0, gx);
}
OP(log_sum_loss,
   .schema =
       "log_sum_loss(Tensor input, Index target, Tensor? weight=None, int ignore_index=-100, str reduction='mean', "
       "float label_smoothing=0) -> (Tensor loss, Tensor log_sum)",
   .doc = "cross_entropy, and the log of the sum of exponentials of each label's logits.",
   .samples = "f(3,4) x(3;4) | f(2,4,3) x(2,3;4) p(4) -100 'none' 0.1", .saves = "input: input target weight result2",
   .flags = OP_HIDDEN, .infer = infer_log_sum_loss, .kernel = EVERYWHERE(run_log_sum_loss),
   .backward = back_log_sum_loss);

/* Logits that were normalised already, perhaps seen in another shape: the loss takes the softmax of a softmax. */
static bool made_by_softmax(const Tensor *x) {
  extern OpDef def_softmax, def_reshape;
  const Node *n = x->autograd ? x->autograd->grad_fn : NULL;
  for (int k = 0; k < 8 && n && n->kind == NODE_OP && n->edges == 1; k++) {
    if (n->def == &def_softmax) return true;
    if (!(n->def->flags & OP_VIEW) && n->def != &def_reshape) return false;
    n = n->edge[0].node;
  }
  return false;
}

static bool compose_cross_entropy(OpCall *c) {
  if (made_by_softmax(in(c, 0)) && !notice("softmax")) return false;
  Tensor *out[MAX_OUTS] = {NULL};
  return op_run_many(&def_log_sum_loss, c->arg, out) && compose_return(c, 0, out[0]);
}
OP(cross_entropy,
   .schema =
       "cross_entropy(Tensor input, Index target, Tensor? weight=None, int ignore_index=-100, str reduction='mean', "
       "float label_smoothing=0) -> Tensor",
   .doc = "log_softmax and nll_loss in one pass: logits (C), (N, C) or (N, C, d...) and labels from 1. label_smoothing "
          "spreads that "
          "part of each label's weight over all classes.",
   .samples = "f(3,4) x(3;4) | f(3,4) x(3;4) p(4) | f(3,4) x(3;4) reduction='sum' | f(3,4) x(3;4) p(4) 2 'none' 0.2 | "
              "f(4) x(;4) | "
              "f(2,4,3) x(2,3;4) p(4) label_smoothing=0.1 | f(2,4,3,2) x(2,3,2;4) reduction='none'",
   .errors = "f(3,4) x(2;4) | f(3,4) x(3,1;4) | f(3,4) f(3) | f(3,4) x(3;4) p(3) | i(3,4) x(3;4) | f(3,4) x(3;4) "
             "label_smoothing=2",
   .flags = OP_HIDDEN, .compose = compose_cross_entropy);
