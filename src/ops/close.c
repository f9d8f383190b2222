/* Equality within a tolerance. */
#include "ops/ops.h"

extern OpDef def_abs, def_all, def_isfinite, def_isnan, def_logical_or;

static Tensor *unary(OpDef *def, Tensor *t) { return op_run(def, (Arg[]){ARG_T(t)}); }
static Tensor *either(Tensor *a, Tensor *b) { return op_run(&def_logical_or, (Arg[]){ARG_T(a), ARG_T(b)}); }

/* |a - b| <= atol + rtol |b|, or equal, which infinite elements must be. */
static Tensor *close(const OpCall *c) {
  Tensor *a = op_detach(in(c, 0)), *b = op_detach(in(c, 1));
  double rtol = scalar_double(c->arg[2].number), atol = scalar_double(c->arg[3].number);
  if (!a || !b) return NULL;
  if (a->dtype != b->dtype) {
    fail(MT_EARG, "%s did not match %s: input is %s, other %s. Convert one with :to()", dtype_info[a->dtype].type_name,
         dtype_info[b->dtype].type_name, tensor_text(a), tensor_text(b));
    return NULL;
  }
  if (!(rtol >= 0) || !(atol >= 0)) {
    bool first = !(rtol >= 0);
    fail(MT_EARG, "%s must be greater than or equal to zero, but got %g", first ? "rtol" : "atol", first ? rtol : atol);
    return NULL;
  }
  Tensor *same = op_eq(a, b);
  if (c->arg[4].i && tensor_is_float(a)) same = either(same, op_and(unary(&def_isnan, a), unary(&def_isnan, b)));
  if (rtol == 0 && atol == 0) return same;
  if (!tensor_is_float(a)) {
    a = op_cast(a, default_dtype());
    b = op_cast(b, default_dtype());
  }
  Tensor *allowed = op_add(unary(&def_abs, op_scale(b, rtol)), op_float(atol));
  Tensor *actual = unary(&def_abs, op_sub(a, b));
  return either(same, op_and(unary(&def_isfinite, actual), op_le(actual, allowed)));
}
static bool compose_isclose(OpCall *c) { return compose_return(c, 0, close(c)); }
static bool compose_allclose(OpCall *c) {
  Tensor *where = close(c), *all = where ? op_run(&def_all, (Arg[]){ARG_T(where), ARG_NIL, ARG_I(0)}) : NULL;
  if (all) c->value = tensor_scalar(all);
  return all != NULL;
}
#define CLOSE(id, returns, compose_fn, what)                                                                           \
  OP(id,                                                                                                               \
     .schema = #id "(Tensor input, Tensor other, float rtol=1e-5, float atol=1e-8, bool equal_nan=False) -> " returns, \
     .doc = what " |input - other| <= atol + rtol |other|, or both are equal (with equal_nan: both NaN). Both have "   \
                 "one dtype.",                                                                                         \
     .samples = "f(3,4) f(3,4) | f(3,4) f(4) 0.5 0.1 true | i(3) i(3) | b(3) b(3)",                                    \
     .errors = "f(3) f(4) | f(3) i(3) | f(3) f(3) -1", .flags = OP_BOTH | OP_NO_GRADIENT, .compose = compose_fn)
CLOSE(isclose, "Tensor", compose_isclose, "Where");
CLOSE(allclose, "bool", compose_allclose, "Whether everywhere");
