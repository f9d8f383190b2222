/* Normalisation layers: batch_norm, instance_norm, layer_norm, group_norm and rms_norm.
 *
 * All but the last are one operator, `standardize`, under different layouts (cpu/norm.h). Its gradient is one fused kernel;
 * for a second derivative it is spelled out in other operators instead. */
#include "cpu/device_kernels.h"
#include "base/size.h"
#include "cpu/copy_tensor.h"
#include "cpu/reduce.h"
#include "ops/ops.h"
#include <string.h>

extern OpDef def_copy_, def_standardize, def_rsqrt;

static DType lane_of(DType d) { return d == MT_F64 ? MT_F64 : MT_F32; }
static NormLayout layout_of(const Arg *a) {
  return (NormLayout){a->ints[0], a->ints[1], a->ints[2], a->ints[3], a->ints[4], a->n == 6 && a->ints[5]};
}

/* ---- the operator ---- */

enum { INPUT, WEIGHT, BIAS, MEAN, VAR, LAYOUT, EPS };

static bool check_layout(const Tensor *x, const Tensor *weight, const Tensor *bias, const Arg *layout) {
  int64_t total, period;
  if (layout->n == 6 && layout->ints[5] && layout->ints[0] != 1)
    return fail(MT_EARG, "a raw layout has outer 1, not %lld", (long long)layout->ints[0]);
  if (layout->n != 5 && layout->n != 6) return fail(MT_EARG, "layout has %d numbers instead of 5", layout->n);
  if (!size_product(layout->ints, 3, &total) || !size_product(layout->ints + 3, 2, &period)) return false;
  if (total != x->numel || (total > 0 && (period < 1 || total % period)))
    return fail(MT_EARG, "layout %s does not fit input %s", shape_text(5, layout->ints), shape_text(x->ndim, x->shape));
  return ((!weight || weight->numel == layout->ints[3]) && (!bias || bias->numel == layout->ints[3])) ||
         fail(MT_EARG, "weight and bias should have %lld elements", (long long)layout->ints[3]);
}

static bool check_float(const Tensor *t, const char *name) {
  return tensor_is_float(t) || fail(MT_ENOTIMPL, "\"%s\" not implemented for '%s': input is %s; use :float() first",
                                    name, dtype_info[t->dtype].type_name, tensor_text(t));
}

static bool infer_standardize(OpCall *c) {
  const Tensor *x = in(c, INPUT);
  const Arg *layout = &c->arg[LAYOUT];
  DType lane = lane_of((DType)x->dtype);
  if (!check_float(x, "batch_norm") || !check_layout(x, in(c, WEIGHT), in(c, BIAS), layout)) return false;
  for (int k = MEAN; k <= VAR; k++)
    if (c->arg[k].given != c->arg[MEAN].given || (c->arg[k].given && in(c, k)->numel != layout->ints[1]))
      return fail(MT_EARG, "mean and var come together and have %lld elements", (long long)layout->ints[1]);
  return infer_same(c) && out_shape(c, 1, lane, 1, &layout->ints[1]) && out_shape(c, 2, lane, 1, &layout->ints[1]);
}
static bool run_standardize(OpCall *c) {
  NormLayout l = layout_of(&c->arg[LAYOUT]);
  bool fixed = c->arg[MEAN].given;
  if (fixed && !(tensor_copy_into(c->out[1], in(c, MEAN)) && tensor_copy_into(c->out[2], in(c, VAR)))) return false;
  return any_norm(&l, in(c, INPUT), in(c, WEIGHT), in(c, BIAS), scalar_double(c->arg[EPS].number), fixed, c->out[0],
                  c->out[1], c->out[2]);
}

/* grad, input, weight, mean, var, layout, eps, fixed */
static bool infer_standardize_back(OpCall *c) {
  const Tensor *x = in(c, 1);
  const Arg *layout = &c->arg[5];
  DType lane = lane_of((DType)x->dtype);
  if (!check_float(x, "batch_norm") || !check_layout(x, in(c, 2), NULL, layout)) return false;
  if (!tensor_same_shape(x, in(c, 0)) || in(c, 3)->numel != layout->ints[1] || in(c, 4)->numel != layout->ints[1])
    return fail(MT_EARG, "grad %s does not fit input %s", tensor_text(in(c, 0)), tensor_text(x));
  return out_shape(c, 0, (DType)x->dtype, x->ndim, x->shape) && out_shape(c, 1, lane, 1, &layout->ints[3]) &&
         out_shape(c, 2, lane, 1, &layout->ints[3]);
}
static bool run_standardize_back(OpCall *c) {
  NormLayout l = layout_of(&c->arg[5]);
  return any_norm_back(&l, in(c, 0), in(c, 1), in(c, 2), in(c, 3), in(c, 4), scalar_double(c->arg[6].number),
                       c->arg[7].i, c->arg[8].i, c->out[0], c->out[1], c->out[2]);
}
OP(standardize_back,
   .schema = "standardize_back(Tensor grad, Tensor input, Tensor? weight, Tensor mean, Tensor var, ints layout, float "
             "eps, bool fixed, bool weights=True) -> (Tensor input, Tensor weight, Tensor bias)",
   .doc = "Gradients of standardize; those of weight and bias may be anything without weights.",
   .samples = "f(2,3,4) f(2,3,4) f(3) f(3) p(3) {2,3,4,3,4} 0.1 false | f(3,4) f(3,4) f(4) f(3) p(3) {1,3,4,4,1} 0.1 "
              "false | f(2,4,3) f(2,4,3) nil f(4) p(4) {1,4,6,4,3} 0.1 true | f(3,2) f(3,2) f(2) f(2) p(2) "
              "{3,2,1,2,1} 0.1 false | f(3,4) f(3,4) f(4) f(3) p(3) {1,3,4,4,1,1} 0.1 false",
   .errors = "f(2,4) f(4,2) nil f(2) f(2) {1,2,4,4,1} 0.1 false | f(2,4) f(2,4) f(3) f(2) f(2) {1,2,4,4,1} 0.1 false",
   .flags = OP_HIDDEN | OP_NO_GRADIENT, .infer = infer_standardize_back, .kernel = EVERYWHERE(run_standardize_back));

static void set_shaped(Grad *g, int k, Tensor *t) {
  const EdgeMeta *m = g_meta(g, k);
  g_set(g, k, op_reshape(t, m->ndim, m->shape));
}

/* The gradients as formulas: with xhat = (x - mean) r and r = (var + eps)^-1/2,
 * x: r (gw - mean(gw) - xhat mean(gw xhat)), weight: sum(grad xhat), bias: sum(grad). */
static void back_spelled_out(Grad *g) {
  const EdgeMeta *m = g_meta(g, INPUT);
  const Arg *layout = g_arg(g, LAYOUT);
  NormLayout l = layout_of(layout);
  bool fixed = g_arg(g, MEAN)->given;
  int64_t groups[] = {l.outer, l.groups, l.inner}, middle[] = {1, l.groups, 1}, dims[] = {0, 2};
  int64_t period = l.channels * l.run;
  int64_t channels[] = {period > 0 ? l.outer * l.groups * l.inner / period : 0, l.channels, l.run};
  DType lane = lane_of((DType)m->dtype);
  double n = (double)l.outer * (double)l.inner;
  Tensor *x = op_reshape(op_cast(g_in(g, INPUT), lane), 3, groups), *gy = g_out(g, 0), *gx = NULL;
  Tensor *mean = fixed   ? op_reshape(g_in(g, MEAN), 3, middle)
                 : l.raw ? NULL
                         : op_scale(op_sum_dims(x, 2, dims, true), 1 / n);
  Tensor *d = mean ? op_sub(x, mean) : x;
  Tensor *var = fixed ? op_reshape(g_in(g, VAR), 3, middle) : op_scale(op_sum_dims(op_mul(d, d), 2, dims, true), 1 / n);
  Tensor *r = op_run(&def_rsqrt, (Arg[]){ARG_T(op_add(var, op_float(scalar_double(g_arg(g, EPS)->number))))});
  Tensor *xhat = op_mul(d, r);
  if (gy) {
    Tensor *by_channel = op_reshape(op_cast(gy, lane), 3, channels), *scaled = by_channel;
    if (g_needs(g, INPUT)) {
      if (g_arg(g, WEIGHT)->given)
        scaled = op_mul(by_channel, op_reshape(op_cast(g_in(g, WEIGHT), lane), 3, (int64_t[]){1, l.channels, 1}));
      Tensor *gw = op_reshape(scaled, 3, groups);
      gx = op_mul(r, gw);
      if (!fixed) {
        Tensor *b = op_scale(op_sum_dims(op_mul(gw, xhat), 2, dims, true), 1 / n), *centred = gw;
        if (!l.raw) centred = op_sub(gw, op_scale(op_sum_dims(gw, 2, dims, true), 1 / n));
        gx = op_mul(r, op_sub(centred, op_mul(xhat, b)));
      }
    }
    if (g_needs(g, WEIGHT))
      set_shaped(g, WEIGHT, op_sum_dims(op_mul(by_channel, op_reshape(xhat, 3, channels)), 2, dims, false));
    if (g_needs(g, BIAS)) set_shaped(g, BIAS, op_sum_dims(by_channel, 2, dims, false));
  }
  if (!g_needs(g, INPUT)) return;
  if (g_out(g, 1) && mean && !fixed) {
    Tensor *part = op_expand(op_scale(op_reshape(g_out(g, 1), 3, middle), 1 / n), 3, groups);
    gx = gx ? op_add(gx, part) : part;
  }
  if (g_out(g, 2) && !fixed) {
    Tensor *part = op_mul(op_scale(op_reshape(g_out(g, 2), 3, middle), 2 / n), d);
    gx = gx ? op_add(gx, part) : part;
  }
  if (gx) g_set(g, INPUT, op_reshape(gx, m->ndim, m->shape));
}
static void back_standardize(Grad *g) {
  if (grad_enabled() || !g_out(g, 0) || g_out(g, 1) || g_out(g, 2)) {
    back_spelled_out(g);
    return;
  }
  Tensor *out[3], *weight = g_arg(g, WEIGHT)->given ? g_in(g, WEIGHT) : NULL;
  Arg arg[] = {ARG_T(g_out(g, 0)),    ARG_T(g_in(g, INPUT)),        ARG_T(weight),
               ARG_T(g_result(g, 1)), ARG_T(g_result(g, 2)),        *g_arg(g, LAYOUT),
               *g_arg(g, EPS),        ARG_I(g_arg(g, MEAN)->given), ARG_I(g_needs(g, WEIGHT) || g_needs(g, BIAS))};
  if (!op_run_many(&def_standardize_back, arg, out)) return;
  for (int k = INPUT; k <= BIAS; k++)
    if (g_needs(g, k)) set_shaped(g, k, out[k]);
}
OP(standardize,
   .schema =
       "standardize(Tensor input, Tensor? weight, Tensor? bias, Tensor? mean, Tensor? var, ints layout, float eps) "
       "-> (Tensor values, Tensor mean, Tensor var)",
   .doc = "(input - mean) / sqrt(var + eps) weight + bias, where mean and var are those of input's groups, or given: "
          "constants then. layout is {outer, groups, inner, channels, run}; with a sixth number that is not 0 means "
          "are 0.",
   .samples = "f(2,3,4) f(3) f(3) nil nil {2,3,4,3,4} 0.1 | f(3,4) f(4) f(4) nil nil {1,3,4,4,1} 0.1 | f(2,4,3) f(4) "
              "nil nil nil {1,4,6,4,3} 0.1 | f(3,4) nil f(4) nil nil {1,3,4,4,1} 0.1 | f(4,3) f(3) f(3) nil nil "
              "{4,3,1,3,1} 0.1 | f(3,4) f(4) nil nil nil {1,3,4,4,1} 0.1 | f(3,4) f(4) nil nil nil {1,3,4,4,1,1} 0.1",
   .errors =
       "f(2,4) f(3) nil nil nil {1,2,4,4,1} 0.1 | f(2,4) nil nil nil nil {1,2,3,4,1} 0.1 | i(2,4) nil nil nil nil "
       "{1,2,4,4,1} 0.1 | f(2,4) nil nil f(2) nil {1,2,4,4,1} 0.1",
   .saves =
       "input: input weight mean var result2 result3; weight: input mean var result2 result3; bias: input mean var "
       "result2 result3",
   .flags = OP_HIDDEN, .infer = infer_standardize, .kernel = EVERYWHERE(run_standardize), .backward = back_standardize);

static Tensor *standardize(Tensor *x, Tensor *weight, Tensor *bias, NormLayout l, const Arg *eps, Tensor **out) {
  int64_t layout[] = {l.outer, l.groups, l.inner, l.channels, l.run, l.raw};
  Arg arg[] = {ARG_T(x), ARG_T(weight), ARG_T(bias), ARG_T(out[1]), ARG_T(out[2]), ARG_INTS(layout, 6), *eps};
  return op_run_many(&def_standardize, arg, out) ? out[0] : NULL;
}

/* ---- checks ---- */

/* Weight and bias have input's dtype, or are float32 beside a 16-bit input. */
static bool check_dtypes(const Tensor *x, const Tensor *weight, const Tensor *bias) {
  DType d = (DType)x->dtype, w = weight ? (DType)weight->dtype : bias ? (DType)bias->dtype : d;
  if (weight && bias && weight->dtype != bias->dtype)
    return fail(MT_EARG, "expected scalar type %s but found %s: weight is %s, bias %s; convert one of them with :to()",
                dtype_info[w].type_name, dtype_info[bias->dtype].type_name, tensor_text(weight), tensor_text(bias));
  if (w == d || (w == MT_F32 && dtype_size(d) == 2)) return true;
  return w != MT_F32 ? fail(MT_EARG,
                            "mixed dtype (CPU): expect parameter to have scalar type of Float: input is %s, weight or "
                            "bias %s; convert one of them, for example with :to(torch.%s)",
                            tensor_text(x), dtype_info[w].name, dtype_info[d].name)
                     : fail(MT_EARG,
                            "mixed dtype (CPU): all inputs must share same datatype.: input is %s, weight or bias %s; "
                            "convert one of them, for example with :to(torch.%s)",
                            tensor_text(x), dtype_info[w].name, dtype_info[w].name);
}

static bool check_vector(const char *name, const Tensor *t, int64_t channels, const Tensor *x) {
  return !t || (t->ndim == 1 && t->shape[0] == channels) ||
         fail(MT_EARG, "%s should contain %lld elements not %lld: one for each channel, dim 2 of input %s; %s is %s",
              name, (long long)channels, (long long)t->numel, shape_text(x->ndim, x->shape), name,
              shape_text(t->ndim, t->shape));
}

static bool check_running(const Tensor *x, const Tensor *mean, const Tensor *var, const Tensor *weight, bool training) {
  if (!mean || !var) return true;
  if (mean->dtype != var->dtype)
    return fail(MT_EARG, "expected scalar type %s but found %s: running_mean is %s, running_var %s",
                dtype_info[mean->dtype].type_name, dtype_info[var->dtype].type_name, tensor_text(mean),
                tensor_text(var));
  DType p = weight ? (DType)weight->dtype : (DType)mean->dtype;
  if (mean->dtype != p || (p != (DType)x->dtype && !(p == MT_F32 && dtype_size((DType)x->dtype) == 2)))
    return fail(MT_EARG, "mixed dtype (CPU): all inputs must share same datatype.: input is %s, running_mean %s%s%s",
                tensor_text(x), dtype_info[mean->dtype].name, weight ? ", weight " : "",
                weight ? dtype_info[weight->dtype].name : "");
  if (training && (tensor_overlaps(mean) || tensor_overlaps(var)))
    return fail(MT_ERUNTIME, "unsupported operation: more than one element of the written-to tensor refers to a single "
                             "memory location. Please clone() the running statistics before");
  return true;
}

/* ---- batch and instance norm ---- */

/* running = (1 - momentum) running + momentum now, outside of the graph. */
static Tensor *moved(Tensor *running, Tensor *now, double momentum) {
  return op_add(op_scale(op_detach(running), 1 - momentum), op_scale(op_detach(now), momentum));
}
static bool write_running(Tensor *running, Tensor *value) {
  return running && value && op_run_inplace(&def_copy_, (Arg[]){ARG_T(running), ARG_T(value), ARG_I(0)}) != NULL;
}

static int64_t inner_of(const Tensor *x, int from) {
  int64_t n = 1;
  for (int d = from; d < x->ndim; d++) n *= x->shape[d];
  return n;
}

typedef struct {
  Tensor *x, *weight, *bias, *mean, *var;
  bool training;
  double momentum;
  const Arg *eps;
} Batch;

static bool check_constant(Tensor *t, const char *name) {
  return !t || !grad_enabled() || !tensor_wants_grad(t) ||
         fail(MT_EARG,
              "The function 'native_batch_norm' is not differentiable with respect to argument '%s'. This input cannot "
              "have requires_grad True.: use :detach()",
              name);
}

static bool check_batch(const Batch *b) {
  const Tensor *x = b->x;
  if (x->ndim < 2)
    return fail(MT_EARG,
                "batch_norm expects input (N, C) or (N, C, ...), but it is %s: channels are dim 2; a single "
                "row is x:unsqueeze(1)",
                shape_text(x->ndim, x->shape));
  if (!b->training && !b->mean)
    return fail(MT_EARG, "running_mean must be defined in evaluation mode: give running_mean and running_var, or "
                         "training = true");
  if (!b->training && !b->var)
    return fail(MT_EARG, "running_var must be defined in evaluation mode: give running_mean and running_var, or "
                         "training = true");
  if (!b->mean != !b->var)
    return fail(MT_EARG, "running_mean and running_var must either both be None or neither be None");
  int64_t c = x->shape[1];
  return check_float(x, "batch_norm") && check_vector("running_mean", b->mean, c, x) &&
         check_vector("running_var", b->var, c, x) && check_vector("weight", b->weight, c, x) &&
         check_vector("bias", b->bias, c, x) && check_dtypes(x, b->weight, b->bias) &&
         check_running(x, b->mean, b->var, b->weight, b->training) && check_constant(b->mean, "running_mean") &&
         check_constant(b->var, "running_var");
}

static Tensor *batch_norm(const Batch *b) {
  const Tensor *x = b->x;
  if (!check_batch(b)) return NULL;
  if (b->training && b->mean && !grad_enabled() && !notice("batch_norm")) return NULL;
  int64_t inner = inner_of(x, 2);
  NormLayout l = {x->shape[0], x->shape[1], inner, x->shape[1], inner, false};
  Tensor *out[3] = {NULL, b->training ? NULL : op_detach(b->mean), b->training ? NULL : op_detach(b->var)};
  if (!standardize(b->x, b->weight, b->bias, l, b->eps, out)) return NULL;
  double n = (double)x->shape[0] * (double)inner;
  if (!b->training || !b->mean || n == 0) return out[0];
  Tensor *mean = moved(b->mean, out[1], b->momentum),
         *var = moved(b->var, op_scale(op_detach(out[2]), n / (n - 1)), b->momentum);
  return var && write_running(b->mean, mean) && write_running(b->var, var) ? out[0] : NULL;
}

static bool needs_two(const Tensor *x, int64_t n) {
  const char *size = shape_text(x->ndim, x->shape);
  return n != 1 || fail(MT_EARG,
                        "Expected more than 1 value per channel when training, got input size torch.Size(%s): "
                        "one value has no variance. Use larger batches (DataLoader's drop_last), or eval()",
                        size);
}

static bool compose_batch_norm(OpCall *c) {
  Batch b = {in(c, 0),  in(c, 1), in(c, 2), in(c, 3), in(c, 4), c->arg[5].i, scalar_double(c->arg[6].number),
             &c->arg[7]};
  return compose_return(c, 0, batch_norm(&b));
}
OP(batch_norm,
   .schema = "batch_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool "
             "training, float momentum, float eps, bool cudnn_enabled) -> Tensor",
   .doc = "Each channel (dim 2) less its mean, over its deviation, times weight plus bias. Training takes the batch's "
          "statistics and moves running_mean and running_var by momentum towards them (in place); else these are used. "
          "16-bit input goes with float32 or its own dtype for the others. cudnn_enabled changes nothing.",
   .samples = "f(3,2) f(2) f(2) nil nil True 0.1 0.1 True | f(2,3,2,2) "
              "f(3) nil nil nil True 0.1 0.1 False",
   .errors = "f(3,2) nil nil nil nil False 0.1 0.1 True | f(3) nil nil nil nil True 0.1 0.1 True | f(3,2) f(3) nil nil "
             "nil True 0.1 0.1 True | i(3,2) nil nil nil nil True 0.1 0.1 True | f(3,2) g(2) nil nil nil True 0.1 0.1 "
             "True | f(3,2) nil nil f(2) nil True 0.1 0.1 True | f(3,2) nil nil f(2) g(2) True 0.1 0.1 True",
   .flags = OP_FUNCTION, .compose = compose_batch_norm);

/* torch.nn.functional's order, and its check. */
static bool compose_f_batch_norm(OpCall *c) {
  Tensor *x = in(c, 0);
  Batch b = {x, in(c, 3), in(c, 4), in(c, 1), in(c, 2), c->arg[5].i, scalar_double(c->arg[6].number), &c->arg[7]};
  if (b.training && x->ndim >= 2 && !needs_two(x, x->shape[0] * inner_of(x, 2))) return false;
  return compose_return(c, 0, batch_norm(&b));
}
OP(f_batch_norm,
   .schema = "batch_norm(Tensor input, Tensor? running_mean, Tensor? running_var, Tensor? weight=None, Tensor? "
             "bias=None, bool training=False, float momentum=0.1, float eps=1e-05) -> Tensor",
   .doc = "batch_norm as torch.nn.functional has it.", .samples = "f(3,2) nil nil f(2) f(2) True",
   .errors = "f(1,2) nil nil nil nil True | f(3,2) nil nil", .flags = OP_HIDDEN, .compose = compose_f_batch_norm);

/* Each sample by itself: a batch of one with N * C channels. Running statistics move by the mean over the samples. */
static bool compose_instance_norm(OpCall *c) {
  Tensor *x = in(c, 0), *weight = in(c, 1), *bias = in(c, 2), *mean = in(c, 3), *var = in(c, 4);
  bool stats = c->arg[5].i;
  double momentum = scalar_double(c->arg[6].number);
  if (!stats && !(mean && var))
    return fail(MT_EARG, "Expected running_mean and running_var to be defined when use_input_stats is false");
  if (x->ndim < 2)
    return fail(MT_EARG, "instance_norm expects input (N, C, ...), but it is %s", shape_text(x->ndim, x->shape));
  Batch b = {x, weight, bias, mean, var, true, momentum, &c->arg[7]};
  if (!check_batch(&b)) return false;
  if (!stats) {
    b.training = false;
    return compose_return(c, 0, batch_norm(&b));
  }
  int64_t inner = inner_of(x, 2), n = x->shape[0], channels = x->shape[1], groups;
  if (!size_mul(n, channels, &groups)) return false;
  NormLayout l = {1, groups, inner, channels, inner, false};
  Tensor *out[3] = {NULL, NULL, NULL};
  if (!standardize(x, weight, bias, l, b.eps, out)) return false;
  if (mean && n > 0 && inner > 0) {
    int64_t shape[] = {n, channels};
    Tensor *now = op_scale(op_sum_dim(op_reshape(op_detach(out[1]), 2, shape), 0, false), 1 / (double)n);
    Tensor *spread = op_scale(op_sum_dim(op_reshape(op_detach(out[2]), 2, shape), 0, false),
                              (double)inner / (double)(inner - 1) / (double)n);
    now = moved(mean, now, momentum);
    spread = moved(var, spread, momentum);
    if (!spread || !write_running(mean, now) || !write_running(var, spread)) return false;
  }
  return compose_return(c, 0, out[0]);
}
OP(instance_norm,
   .schema =
       "instance_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool "
       "use_input_stats, float momentum, float eps, bool cudnn_enabled) -> Tensor",
   .doc = "batch_norm with statistics of each sample's channel by itself, unless use_input_stats is false: then "
          "running_mean and running_var are used.",
   .samples = "f(2,3,4) f(3) f(3) nil nil True 0.1 0.1 True",
   .errors = "f(2,3,4) nil nil nil nil False 0.1 0.1 True | f(3) nil nil nil nil True 0.1 0.1 True | f(2,3,4) f(4) nil "
             "nil nil True 0.1 0.1 True | i(2,3,4) nil nil nil nil True 0.1 0.1 True",
   .flags = OP_FUNCTION, .compose = compose_instance_norm);

static bool compose_f_instance_norm(OpCall *c) {
  Tensor *x = in(c, 0);
  if (c->arg[5].i && x->ndim >= 2 && inner_of(x, 2) == 1)
    return fail(MT_EARG,
                "Expected more than 1 spatial element when training, got input size torch.Size(%s): one value "
                "has no variance",
                shape_text(x->ndim, x->shape));
  Arg arg[] = {c->arg[0], c->arg[3], c->arg[4], c->arg[1], c->arg[2], c->arg[5], c->arg[6], c->arg[7], ARG_I(0)};
  return compose_return(c, 0, op_run(&def_instance_norm, arg));
}
OP(f_instance_norm,
   .schema = "instance_norm(Tensor input, Tensor? running_mean=None, Tensor? running_var=None, Tensor? weight=None, "
             "Tensor? bias=None, bool use_input_stats=True, float momentum=0.1, float eps=1e-05) -> Tensor",
   .doc = "instance_norm as torch.nn.functional has it.", .samples = "f(2,3,4) | f(2,3,4) nil nil f(3) f(3) eps=0.1",
   .errors = "f(2,3,1) | f(2,3)", .flags = OP_HIDDEN, .compose = compose_f_instance_norm);

/* ---- layer, group and root mean square norm ---- */

static bool check_normalized(const Tensor *x, const Tensor *weight, const Tensor *bias, const Arg *shape,
                             const char *gap) {
  int lead = x->ndim - shape->n;
  if (shape->n < 1)
    return fail(MT_EARG, "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one "
                         "element, but got normalized_shape = []");
  for (int k = 0; k < 2; k++) {
    const Tensor *t = k ? bias : weight;
    if (t && (t->ndim != shape->n || memcmp(t->shape, shape->ints, sizeof(int64_t) * (size_t)shape->n) != 0))
      return fail(MT_EARG,
                  "Expected %s to be of same shape as normalized_shape, but got %s of shape %s and "
                  "normalized_shape = %s",
                  k ? "bias" : "weight", k ? "bias" : "weight", shape_text(t->ndim, t->shape),
                  shape_text(shape->n, shape->ints));
  }
  if (lead >= 0 && memcmp(x->shape + lead, shape->ints, sizeof(int64_t) * (size_t)shape->n) == 0) return true;
  const char *wanted = shape_text(shape->n, shape->ints);
  return fail(MT_EARG,
              "Given normalized_shape=%s, expected input with shape [*%s%s, but got input of size%s: the last "
              "dims are normalized",
              wanted, gap, wanted + 1, shape_text(x->ndim, x->shape));
}

static bool compose_layer_norm(OpCall *c) {
  Tensor *x = in(c, 0), *weight = in(c, 2), *bias = in(c, 3);
  const Arg *shape = &c->arg[1];
  if (!check_normalized(x, weight, bias, shape, ", ") || !check_float(x, "LayerNormKernelImpl") ||
      !check_dtypes(x, weight, bias))
    return false;
  int64_t inner = inner_of(x, x->ndim - shape->n), rows = 1;
  for (int d = 0; d < x->ndim - shape->n; d++) rows *= x->shape[d];
  Tensor *out[3] = {NULL, NULL, NULL};
  return compose_return(c, 0,
                        standardize(x, weight, bias, (NormLayout){1, rows, inner, inner, 1, false}, &c->arg[4], out));
}
OP(layer_norm,
   .schema = "layer_norm(Tensor input, Size normalized_shape, Tensor? weight=None, Tensor? bias=None, float eps=1e-05, "
             "bool cudnn_enable=True) -> Tensor",
   .doc =
       "The last dims, of sizes normalized_shape, less their mean, over their deviation, times weight plus bias, both "
       "of shape normalized_shape. 16-bit input goes with float32 or its own dtype.",
   .samples = "f(2,3) {3} eps=0.1 | f(2,3,4) {3,4} f(3,4) f(3,4) 0.1 | f(2,3) {3} f(3) eps=0.1 | f(4) 4 | f(0,3) {3}",
   .errors = "f(2,3) {2} | f(2,3) {} | f(2,3) {3} f(2) | f(2,3) {3} f(3) f(2) | i(2,3) {3} | f(2,3) {3} g(3) | f(2,3) "
             "{3} f(3) g(3)",
   .flags = OP_FUNCTION, .compose = compose_layer_norm);

static bool compose_group_norm(OpCall *c) {
  Tensor *x = in(c, 0), *weight = in(c, 2), *bias = in(c, 3);
  int64_t groups = c->arg[1].i;
  if (x->ndim < 2)
    return fail(MT_EARG, "Expected at least 2 dimensions for input tensor but received %d: input is (N, C, ...)",
                x->ndim);
  if (groups <= 0) return fail(MT_EARG, "Expected num groups to be greater than 0, got %lld", (long long)groups);
  int64_t channels = x->shape[1], rows;
  if (channels % groups)
    return fail(MT_EARG,
                "Expected number of channels in input to be divisible by num_groups, but got input of shape %s "
                "and num_groups=%lld",
                shape_text(x->ndim, x->shape), (long long)groups);
  for (int k = 0; k < 2; k++) {
    const Tensor *t = k ? bias : weight;
    if (t && (t->ndim != 1 || t->shape[0] != channels))
      return fail(MT_EARG,
                  "Expected %s to be a vector of size equal to the number of channels in input, but got %s of "
                  "shape %s and input of shape %s",
                  k ? "bias" : "weight", k ? "bias" : "weight", shape_text(t->ndim, t->shape),
                  shape_text(x->ndim, x->shape));
  }
  if (!check_float(x, "GroupNormKernelImpl") || !check_dtypes(x, weight, bias) || !size_mul(x->shape[0], groups, &rows))
    return false;
  int64_t run = inner_of(x, 2);
  Tensor *out[3] = {NULL, NULL, NULL};
  return compose_return(c, 0,
                        standardize(x, weight, bias,
                                    (NormLayout){1, rows, channels / groups * run, channels, run, false}, &c->arg[4],
                                    out));
}
#define GROUP_NORM "group_norm(Tensor input, int num_groups, Tensor? weight=None, Tensor? bias=None, float eps=1e-05"
OP(group_norm, .schema = GROUP_NORM ", bool cudnn_enabled=True) -> Tensor",
   .doc =
       "Each of num_groups groups of a sample's channels (dim 2) less its mean, over its deviation, times weight plus "
       "bias, both with an element for each channel.",
   .samples = "f(2,4,3) 2 f(4) f(4) 0.1 | f(2,4) 1 eps=0.1 | f(2,4,2,2) 4 f(4) eps=0.1",
   .errors = "f(2,4,3) 3 | f(4) 2 | f(2,4) 0 | f(2,4) 2 f(2) | f(2,4) 2 f(4) f(2) | i(2,4) 2 | f(2,4) 2 g(4)",
   .flags = OP_FUNCTION, .compose = compose_group_norm);

static bool compose_f_group_norm(OpCall *c) {
  const Tensor *x = in(c, 0);
  int64_t groups = c->arg[1].i, channels = x->ndim >= 2 ? x->shape[1] : 0;
  bool one = x->ndim >= 2 && groups > 0 && channels == groups && x->shape[0] * inner_of(x, 2) == 1;
  if (one && !needs_two(x, 1)) return false;
  Arg arg[] = {c->arg[0], c->arg[1], c->arg[2], c->arg[3], c->arg[4], ARG_I(0)};
  return compose_return(c, 0, op_run(&def_group_norm, arg));
}
OP(f_group_norm, .schema = GROUP_NORM ") -> Tensor", .doc = "group_norm as torch.nn.functional has it.",
   .samples = "f(2,4,3) 2 f(4) f(4) 0.1", .errors = "f(1,4) 4 | f(2,4,3) 3", .flags = OP_HIDDEN,
   .compose = compose_f_group_norm);

static bool compose_rms_norm(OpCall *c) {
  Tensor *x = in(c, 0), *weight = in(c, 2);
  const Arg *shape = &c->arg[1];
  if (!check_normalized(x, weight, NULL, shape, "") || !check_float(x, "rms_norm")) return false;
  double eps = c->arg[3].given ? scalar_double(c->arg[3].number) : x->dtype == MT_F64 ? 0x1p-52 : 0x1p-23;
  int64_t inner = inner_of(x, x->ndim - shape->n), rows = 1;
  for (int d = 0; d < x->ndim - shape->n; d++) rows *= x->shape[d];
  Tensor *out[3] = {NULL, NULL, NULL};
  return compose_return(
      c, 0,
      standardize(x, weight, NULL, (NormLayout){1, rows, inner, inner, 1, true}, &(Arg)ARG_N(scalar_float(eps)), out));
}
OP(rms_norm, .schema = "rms_norm(Tensor input, Size normalized_shape, Tensor? weight=None, float? eps=None) -> Tensor",
   .doc =
       "The last dims, of sizes normalized_shape, over the root of their mean square plus eps (left out: the smallest "
       "number that adds to 1), times weight.",
   .samples = "f(2,3) {3} f(3) 0.1 | f(2,3,4) {3,4} eps=0.1 | p(2,3) {3}",
   .errors = "f(2,3) {2} | f(2,3) {} | f(2,3) {3} f(2) | i(2,3) {3}", .flags = OP_FUNCTION,
   .compose = compose_rms_norm);
