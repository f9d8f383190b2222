/* What the files of elementwise operators share: how a float function of one operand is declared, and small helpers. */
#ifndef MT_ELEMENTWISE_H
#define MT_ELEMENTWISE_H
#include "cpu/kernels.h"
#include "ops/ops.h"

/* id, aliases, flags, what is computed, sample inputs, what the gradient saves, formula of its slope times gy */
#define FLOAT_FUNCTION(id, also, where, what, inputs, needs, slope)                                              \
  static void back_##id(Grad *g) { g_set(g, 0, slope); }                                                         \
  OP(id, .schema = #id "(Tensor input) -> Tensor", .alias = also,                                                \
     .doc = what " Integers become the default float dtype.", .samples = inputs, .saves = needs, .flags = where, \
     .infer = infer_float, .kernel = EVERYWHERE(any_pointwise), .formula = PW_##id, .backward = back_##id)
#define FLOAT_UNARY(id, also, what, inputs, needs, slope) \
  FLOAT_FUNCTION(id, also, OP_POINTWISE, what, inputs, needs, slope)

#define ANY "f(3,4) | f() | f(0) | i(3)"
#define POSITIVE "p(3,4) | p() | p(0)"
#define FRACTION "u(3,4) | u() | u(0)"

static inline Tensor *gy_times(const Grad *g, Tensor *slope) { return op_mul(g_out(g, 0), slope); }
static inline Tensor *squared(Tensor *t) { return op_mul(t, t); }
static inline Tensor *unary(OpDef *def, Tensor *t) { return op_run(def, (Arg[]){ARG_T(t)}); }

/* Result 0 is bool. */
static inline bool infer_to_bool(OpCall *c) {
  if (!infer_same(c)) return false;
  c->meta[0].dtype = MT_BOOL;
  return true;
}
/* Refuses what promotion has left of integers and bool. */
static inline bool refuse_integers(OpCall *c) {
  return dtype_is_float(c->compute) || fail(MT_ENOTIMPL, "\"%s_cpu\" not implemented for '%s': use :float() first",
                                            c->def->info->name, dtype_info[c->compute].type_name);
}
static inline bool infer_only_float(OpCall *c) { return infer_same(c) && refuse_integers(c); }

/* Argument 0 as a composed float function reads it: integers in the default float dtype. */
static inline Tensor *read_float(Tensor *t) { return t && !tensor_is_float(t) ? op_cast(t, default_dtype()) : t; }

/* What the parts of a composed op read: in place a copy, which they may save, since argument 0 is written after. */
static inline Tensor *to_read(OpCall *c) {
  extern OpDef def_clone;
  return c->inplace ? op_run(&def_clone, (Arg[]){ARG_T(in(c, 0))}) : in(c, 0);
}
#endif
