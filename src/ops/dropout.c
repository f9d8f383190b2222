/* Dropout: of elements, of whole channels, and alpha dropout, which keeps mean and variance of selu's outputs. */
#include "ops/ops.h"
#include <math.h>

extern OpDef def_bernoulli_, def_div;

/* input itself when nothing is dropped. feature: one draw for each channel, dims 1 and 2. */
static bool drop(OpCall *c, bool feature, bool alpha) {
  Tensor *x = in(c, 0);
  double p = scalar_double(c->arg[1].number);
  if (!(p >= 0 && p <= 1)) return fail(MT_EARG, "dropout probability has to be between 0 and 1, but got %g", p);
  if (p == 0 || !c->arg[2].i || x->numel == 0) return compose_return(c, 0, x);
  DType d = (DType)x->dtype;
  if (p == 1 && !grad_enabled() && !notice("dropout")) return false;
  if (p == 1) return compose_return(c, 0, op_mul(x, op_full(d, 0, NULL, tensor_device(x), scalar_int(0))));
  if (feature && x->ndim < 2)
    return fail(MT_EARG,
                "Feature dropout requires at least 2 dimensions in the input: channels are dim 2, but it is %s",
                tensor_text(x));
  if (!tensor_is_float(x))
    return fail(
        MT_EARG,
        "result type Float can't be cast to the desired output type %s: dropout scales what it keeps, use :float()",
        dtype_info[x->dtype].type_name);
  if (!grad_enabled() && !notice("dropout")) return false;
  int64_t shape[MT_MAX_DIMS];
  for (int k = 0; k < x->ndim; k++) shape[k] = feature && k > 1 ? 1 : x->shape[k];
  Tensor *noise = op_full(d, x->ndim, shape, tensor_device(x), scalar_int(0));
  if (noise) noise = op_run_inplace(&def_bernoulli_, (Arg[]){ARG_T(noise), ARG_N(scalar_float(1 - p)), ARG_NIL});
  if (!noise) return false;
  if (!alpha) {
    noise = op_run_inplace(&def_div, (Arg[]){ARG_T(noise), ARG_T(op_float(1 - p)), ARG_NIL});
    return compose_return(c, 0, op_mul(x, noise));
  }
  /* what is dropped becomes selu's limit, -scale alpha; then all are brought back to mean 0 and variance 1 */
  const double limit = 1.7580993408473766;
  double a = 1 / sqrt((limit * limit * p + 1) * (1 - p));
  Tensor *shift = op_add(op_scale(op_sub(noise, op_float(1)), limit * a), op_float(limit * a * p));
  return compose_return(c, 0, op_add(op_mul(x, op_scale(noise, a)), shift));
}
static bool compose_dropout(OpCall *c) { return drop(c, false, false); }
static bool compose_feature(OpCall *c) { return drop(c, true, false); }
static bool compose_alpha(OpCall *c) { return drop(c, false, true); }
static bool compose_feature_alpha(OpCall *c) { return drop(c, true, true); }

#define DROP_FLAGS (OP_FUNCTION | OP_INPLACE | OP_RANDOM)
OP(dropout, .schema = "dropout(Tensor input, float p=0.5, bool train=True) -> Tensor",
   .doc = "Zeroes each element with probability p and scales the others by 1 / (1 - p); with train false input itself.",
   .samples = "f(3,4) | f(3,4) 0.2 | f(3,4) 0.5 False | f(3) 0 | f(3) 1", .errors = "f(3) 1.5 | f(3) -0.1 | i(3)",
   .flags = DROP_FLAGS, .compose = compose_dropout);
#define CHANNELS "f(2,3,4) 0.5 True | f(2,3) 0.2 True | f(2,3,2,2) 0.5 False | f(2,3) 0 True | f(2,3) 1 True"
OP(feature_dropout, .schema = "feature_dropout(Tensor input, float p, bool train) -> Tensor",
   .doc = "Dropout of whole channels: input (N, C, ...).", .samples = CHANNELS,
   .errors = "f(3) 0.5 True | f(2,3) 1.5 True | i(2,3) 0.5 True", .flags = DROP_FLAGS, .compose = compose_feature);
OP(alpha_dropout, .schema = "alpha_dropout(Tensor input, float p, bool train) -> Tensor",
   .doc = "Dropout to selu's limit, scaled and shifted so that mean 0 and variance 1 are kept.",
   .samples = "f(3,4) 0.5 True | f(3,4) 0.2 True | f(3) 0.5 False | f(3) 1 True",
   .errors = "f(3) 1.5 True | i(3) 0.5 True", .flags = DROP_FLAGS, .compose = compose_alpha);
OP(feature_alpha_dropout, .schema = "feature_alpha_dropout(Tensor input, float p, bool train) -> Tensor",
   .doc = "alpha_dropout of whole channels: input (N, C, ...).", .samples = CHANNELS,
   .errors = "f(3) 0.5 True | f(2,3) 1.5 True | i(2,3) 0.5 True", .flags = DROP_FLAGS,
   .compose = compose_feature_alpha);
