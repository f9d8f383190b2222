/* Running extremes and the running logarithm of a sum of exponentials. */
#include "cpu/device_kernels.h"
#include "ops/reduce.h"
#include <math.h>

extern OpDef def_flip, def_abs;

static bool infer_running_extreme(OpCall *c) {
  const Tensor *t = in(c, 0);
  int dim;
  return dim_wrap(c->arg[1].i, t->ndim, &dim) && out_shape(c, 0, (DType)t->dtype, t->ndim, t->shape) &&
         out_shape(c, 1, MT_I64, t->ndim, t->shape);
}
static bool running_extreme(OpCall *c, bool least) {
  int dim;
  return dim_wrap(c->arg[1].i, in(c, 0)->ndim, &dim) && any_running_extreme(in(c, 0), dim, least, c->out[0], c->out[1]);
}
static bool run_cummax(OpCall *c) { return running_extreme(c, false); }
static bool run_cummin(OpCall *c) { return running_extreme(c, true); }
/* One element may stand in many places: what arrives there is summed. */
static void back_running_extreme(Grad *g) {
  const EdgeMeta *m = g_meta(g, 0);
  Tensor *gy = g_out(g, 0), *zeros = op_full((DType)m->dtype, m->ndim, m->shape, m->device, scalar_int(0));
  g_set(g, 0, m->ndim == 0 ? gy : op_scatter_add(zeros, g_arg(g, 1)->i, g_result(g, 1), gy));
}
#define RUNNING_EXTREME(id, word)                                                                                      \
  OP(id, .schema = #id "(Tensor input, Dim dim) -> (Tensor values, Index indices)",                                    \
     .doc = "The " word                                                                                                \
            " element so far along dim and its position, the last one of equals; NaN stays once it is there.",         \
     .samples = "f(3,4) d1 | f(3,4) d-1 | i(5) d1 | f() d1 | f(0) d1", .errors = "f(3) d2", .saves = "input: result2", \
     .flags = OP_BOTH, .infer = infer_running_extreme, .kernel = EVERYWHERE(run_##id),                                 \
     .backward = back_running_extreme)
RUNNING_EXTREME(cummax, "largest");
RUNNING_EXTREME(cummin, "least");

static bool infer_logcumsumexp(OpCall *c) {
  const Tensor *t = in(c, 0);
  int dim;
  if (!dim_wrap(c->arg[1].i, t->ndim, &dim)) return false;
  if (!tensor_is_float(t))
    return fail(MT_ENOTIMPL, "\"logcumsumexp_out_cpu\" not implemented for '%s'. Use :float() first",
                dtype_info[t->dtype].type_name);
  return infer_same(c);
}
static bool run_logcumsumexp(OpCall *c) {
  int dim;
  return dim_wrap(c->arg[1].i, in(c, 0)->ndim, &dim) && any_scan(SCAN_LOG_SUM_EXP, in(c, 0), NULL, dim, c->out[0]);
}
static void back_logcumsumexp(Grad *g);
OP(logcumsumexp, .schema = "logcumsumexp(Tensor input, Dim dim) -> Tensor",
   .doc = "log of the running sum of exp(input) along dim, without overflow.",
   .samples = "f(3,4) d1 | f(3,4) d-1 | f() d1 | f(0) d1", .errors = "f(3) d2 | i(3) d1 | b(3) d1",
   .saves = "input: input result", .flags = OP_BOTH, .infer = infer_logcumsumexp,
   .kernel = EVERYWHERE(run_logcumsumexp), .backward = back_logcumsumexp);

/* exp(x_i) times the sum over j >= i of |gy_j| exp(-y_j), for the gy_j that `takes` holds of. In logarithms, so that
 * nothing overflows; those that are left out count as the lowest number. */
static Tensor *share(const Grad *g, Tensor *takes) {
  Tensor *x = g_in(g, 0), *gy = g_out(g, 0), *y = g_result(g, 0);
  const Arg *dim = g_arg(g, 1);
  if (!x || !gy) return NULL;
  DType d = (DType)x->dtype;
  double lowest = d == MT_F64   ? -0x1.fffffffffffffp1023
                  : d == MT_F16 ? -65504
                  : d == MT_F32 ? -0x1.fffffep127
                                : -0x1.fep127;
  Tensor *size = op_run(&def_abs, (Arg[]){ARG_T(op_where(takes, gy, op_float(1)))});
  Tensor *log = op_sub(op_where(takes, op_log(size), op_float(lowest)), y);
  if (x->ndim == 0) return op_exp(op_add(log, x));
  Arg turn = ARG_INTS(&dim->i, 1);
  log = op_run(&def_flip, (Arg[]){ARG_T(log), turn});
  log = op_run(&def_logcumsumexp, (Arg[]){ARG_T(log), *dim});
  log = op_run(&def_flip, (Arg[]){ARG_T(log), turn});
  return op_exp(op_add(log, x));
}
static void back_logcumsumexp(Grad *g) {
  Tensor *gy = g_out(g, 0);
  g_set(g, 0, op_sub(share(g, op_gt(gy, op_int(0))), share(g, op_lt(gy, op_int(0)))));
}
