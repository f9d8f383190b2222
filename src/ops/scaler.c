/* What torch.amp.GradScaler does to a gradient: divides it by the scale, and notes whether all of it was finite. */
#include "cpu/kernels.h"
#include "ops/ops.h"

extern OpDef def_isfinite, def_all, def_logical_not, def_maximum, def_copy_;

static bool one_float(const Tensor *t, const char *name) {
  if (t->numel != 1) return fail(MT_EARG, "%s must be a 1-element tensor. It is %s", name, tensor_text(t));
  return tensor_is_float(t) || fail(MT_EARG, "%s must be a float tensor. It is %s", name, tensor_text(t));
}

static bool check_unscale(const OpCall *c) {
  const Tensor *t = in(c, 0);
  if (!tensor_is_float(t))
    return fail(MT_EARG, "gradients that are unscaled must be floating point tensors, but this one is %s",
                tensor_text(t));
  return one_float(in(c, 2), "inv_scale") && one_float(in(c, 1), "found_inf");
}
static bool infer_unscale(OpCall *c) { return check_unscale(c) && infer_same(c); }

/* The same of other operators, for devices without a kernel; the flag stays on the device. */
static bool compose_unscale(OpCall *c) {
  Tensor *t = in(c, 0), *flag = in(c, 1);
  if (!check_unscale(c)) return false;
  Tensor *finite = op_run(&def_all, (Arg[]){ARG_T(op_run(&def_isfinite, (Arg[]){ARG_T(t)})), ARG_NIL, ARG_I(0)});
  Tensor *wild = op_cast(op_not(finite), (DType)flag->dtype);
  if (!wild) return false;
  DType wide = t->dtype == MT_F64 ? MT_F64 : MT_F32;
  Tensor *scaled = op_mul(op_cast(t, wide), op_cast(in(c, 2), wide));
  Tensor *found = op_run(&def_maximum, (Arg[]){ARG_T(flag), ARG_T(wild)});
  if (!found || !scaled) return false;
  return op_run_inplace(&def_copy_, (Arg[]){ARG_T(t), ARG_T(scaled), ARG_I(0)}) &&
         op_run_inplace(&def_copy_, (Arg[]){ARG_T(flag), ARG_T(found), ARG_I(0)}) && compose_return(c, 0, t);
}

OP(unscale, .schema = "unscale(Tensor input, Tensor found_inf, Tensor inv_scale) -> Tensor",
   .doc =
       "input times inv_scale, in place; found_inf becomes 1 where an element of input was infinite or NaN. Both are "
       "floating point and have one element.",
   .samples = "f(3,4) f() f() | f(0) f() f(1)", .errors = "f(3) f(2) f() | i(3) f() f() | f(3) f() f(3)",
   .flags = OP_HIDDEN | OP_INPLACE | OP_INPLACE_ONLY | OP_MODIFIES | OP_NO_GRADIENT, .infer = infer_unscale,
   .kernel = {cpu_unscale}, .compose = compose_unscale);
