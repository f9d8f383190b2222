/* softmax and log_softmax: one fused kernel each way; the gradients follow from the result and are operators themselves. */
#include "cpu/device_kernels.h"
#include "ops/ops.h"

static bool infer_softmax(OpCall *c) {
  Tensor *t = in(c, 0);
  const char *name = c->def->info->name;
  DType d = arg_dtype(c, 2, (DType)t->dtype);
  int dim;
  if (!c->arg[1].given)
    return fail(
        MT_EARG,
        "%s(): missing argument 'dim': say along which dim the probabilities add up to 1, %s(x, -1) for the last", name,
        name);
  if (!dim_wrap(c->arg[1].i, t->ndim, &dim)) return false;
  if (!dtype_is_float(d))
    return fail(MT_ENOTIMPL,
                "\"%s_kernel_impl\" not implemented for '%s'. Use :float() first, or dtype = torch.float32", name,
                dtype_info[d].type_name);
  return out_shape(c, 0, d, t->ndim, t->shape);
}
static bool forward(OpCall *c, bool logarithm) {
  int dim;
  return dim_wrap(c->arg[1].i, in(c, 0)->ndim, &dim) && any_softmax(in(c, 0), dim, logarithm, c->out[0]);
}
static bool forward_plain(OpCall *c) { return forward(c, false); }
static bool forward_log(OpCall *c) { return forward(c, true); }
static bool backward(OpCall *c, bool logarithm) {
  int dim;
  return dim_wrap(c->arg[2].i, in(c, 0)->ndim, &dim) && any_softmax_back(in(c, 0), in(c, 1), dim, logarithm, c->out[0]);
}
static bool backward_plain(OpCall *c) { return backward(c, false); }
static bool backward_log(OpCall *c) { return backward(c, true); }

/* y (gy - sum(gy y)) and gy - exp(y) sum(gy), with their own gradients */
static void back_softmax_back(Grad *g);
static void back_log_softmax_back(Grad *g);
OP(softmax_back, .schema = "softmax_back(Tensor grad, Tensor result, Dim dim) -> Tensor", .doc = "Gradient of softmax.",
   .samples = "f(3,4) p(3,4) d2 | f(3,4) p(3,4) d1", .saves = "grad: result; result: grad result", .flags = OP_HIDDEN,
   .infer = infer_same, .kernel = EVERYWHERE(backward_plain), .backward = back_softmax_back);
OP(log_softmax_back, .schema = "log_softmax_back(Tensor grad, Tensor result, Dim dim) -> Tensor",
   .doc = "Gradient of log_softmax.", .samples = "f(3,4) f(3,4) d2 | f(3,4) f(3,4) d1",
   .saves = "grad: result; result: grad result", .flags = OP_HIDDEN, .infer = infer_same,
   .kernel = EVERYWHERE(backward_log), .backward = back_log_softmax_back);
static void back_softmax_back(Grad *g) {
  Tensor *v = g_out(g, 0), *y = g_in(g, 1);
  const Arg *dim = g_arg(g, 2);
  if (g_needs(g, 0)) g_set(g, 0, op_run(&def_softmax_back, (Arg[]){ARG_T(v), ARG_T(y), *dim}));
  if (g_needs(g, 1)) {
    Tensor *gy = g_in(g, 0), *inner = op_sum_dim(op_mul(gy, y), dim->i, true),
           *outer = op_sum_dim(op_mul(v, y), dim->i, true);
    g_set(g, 1, op_sub(op_mul(v, op_sub(gy, inner)), op_mul(gy, outer)));
  }
}
static void back_log_softmax_back(Grad *g) {
  Tensor *v = g_out(g, 0), *y = g_in(g, 1), *weighted = op_mul(v, op_exp(y));
  const Arg *dim = g_arg(g, 2);
  if (g_needs(g, 0)) g_set(g, 0, op_sub(v, op_sum_dim(weighted, dim->i, true)));
  if (g_needs(g, 1)) g_set(g, 1, op_neg(op_mul(weighted, op_sum_dim(g_in(g, 0), dim->i, true))));
}
static void back_softmax(Grad *g) {
  g_set(g, 0, op_run(&def_softmax_back, (Arg[]){ARG_T(g_out(g, 0)), ARG_T(g_result(g, 0)), *g_arg(g, 1)}));
}
static void back_log_softmax(Grad *g) {
  g_set(g, 0, op_run(&def_log_softmax_back, (Arg[]){ARG_T(g_out(g, 0)), ARG_T(g_result(g, 0)), *g_arg(g, 1)}));
}

#define SOFTMAX(id, kernel_fn, what)                                                                                \
  OP(id, .schema = #id "(Tensor input, Dim? dim=None, *, dtype? dtype=None) -> Tensor",                             \
     .doc = what " dim must be given; dtype converts first.",                                                       \
     .samples = "f(3,4) d2 | f(3,4) d1 | f(2,3,4) d2 | f() d1 | f(0,3) d2", .errors = "f(3,4) | i(3) d1 | f(3) d2", \
     .saves = "input: result", .flags = OP_BOTH, .infer = infer_softmax, .kernel = EVERYWHERE(kernel_fn),           \
     .backward = back_##id)
SOFTMAX(softmax, forward_plain, "exp(input) / sum(exp(input)) along dim.");
SOFTMAX(log_softmax, forward_log, "log(softmax(input)) along dim, computed without losing digits.");
