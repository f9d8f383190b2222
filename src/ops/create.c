/* Creation, casts and copies: tensors made from numbers, and from other tensors. */
#include "cpu/copy_tensor.h"
#include "cpu/device_kernels.h"
#include "graph/record.h"
#include "ops/ops.h"
#include <math.h>
#include <string.h>

#define OPTIONS "*, dtype? dtype=None, device? device=None, bool requires_grad=False"
#define LIKE_OPTIONS "*, dtype? dtype=None, device? device=None, bool requires_grad=False"

static bool use_device(OpCall *c, int k) {
  if (c->arg[k].given) c->device = c->arg[k].device;
  return true;
}

static bool infer_sized(OpCall *c) {
  use_device(c, 2);
  return out_shape(c, 0, arg_dtype(c, 1, default_dtype()), c->arg[0].n, c->arg[0].ints);
}
static bool infer_like(OpCall *c) {
  use_device(c, 2);
  return out_shape(c, 0, arg_dtype(c, 1, (DType)in(c, 0)->dtype), in(c, 0)->ndim, in(c, 0)->shape);
}

static bool infer_zeros(OpCall *c) {
  for (int k = 0; k < c->arg[0].n; k++)
    if (c->arg[0].ints[k] < 0)
      return fail(
          MT_EARG,
          "zeros: Dimension size must be non-negative. Trying to create tensor with negative dimension %lld: %s",
          (long long)c->arg[0].ints[k], shape_text(c->arg[0].n, c->arg[0].ints));
  return infer_sized(c);
}
static bool zeros(OpCall *c) {
  if (c->device.kind != MT_CPU) return tensor_fill(c->out[0], scalar_int(0));
  memset(tensor_data(c->out[0]), 0, (size_t)tensor_bytes(c->out[0]));
  return true;
}
static bool ones(OpCall *c) { return tensor_fill(c->out[0], scalar_int(1)); }
static bool empty(OpCall *c) {
  c->out[0]->storage->uninitialised = true;
  storage_unwritten(c->out[0]->storage, (DType)c->out[0]->dtype, 0);
  return true;
}

OP(zeros, .schema = "zeros(Size... size, " OPTIONS ") -> Tensor", .doc = "A tensor filled with 0.",
   .samples = "{2,3} | {} | {0,3}", .errors = "{-1}", .flags = OP_FUNCTION | OP_NO_GRADIENT, .infer = infer_zeros,
   .kernel = EVERYWHERE(zeros));
OP(ones, .schema = "ones(Size... size, " OPTIONS ") -> Tensor", .doc = "A tensor filled with 1.",
   .samples = "{2,3} | {}", .errors = "{-1}", .flags = OP_FUNCTION | OP_NO_GRADIENT, .infer = infer_sized,
   .kernel = EVERYWHERE(ones));
OP(empty, .schema = "empty(Size... size, " OPTIONS ") -> Tensor",
   .doc = "A tensor whose values are whatever its memory held; NaN, the largest integer or true under "
          "use_deterministic_algorithms. nn refuses parameters that nobody wrote to.",
   .samples = "{2,3}", .errors = "{-1}", .flags = OP_FUNCTION | OP_NO_GRADIENT | OP_RANDOM, .infer = infer_sized,
   .kernel = EVERYWHERE(empty));
OP(zeros_like, .schema = "zeros_like(Tensor input, " LIKE_OPTIONS ") -> Tensor",
   .doc = "Zeros of input's shape and dtype.", .samples = "f(2,3) | i(2)", .flags = OP_FUNCTION | OP_NO_GRADIENT,
   .infer = infer_like, .kernel = EVERYWHERE(zeros));
OP(ones_like, .schema = "ones_like(Tensor input, " LIKE_OPTIONS ") -> Tensor",
   .doc = "Ones of input's shape and dtype.", .samples = "f(2,3) | i(2)", .flags = OP_FUNCTION | OP_NO_GRADIENT,
   .infer = infer_like, .kernel = EVERYWHERE(ones));
OP(empty_like, .schema = "empty_like(Tensor input, " LIKE_OPTIONS ") -> Tensor",
   .doc = "Unwritten memory of input's shape and dtype.", .samples = "f(2,3)",
   .flags = OP_FUNCTION | OP_NO_GRADIENT | OP_RANDOM, .infer = infer_like, .kernel = EVERYWHERE(empty));

static DType dtype_of(Scalar s) {
  return s.category == CAT_FLOAT ? default_dtype() : s.category == CAT_INT ? MT_I64 : MT_BOOL;
}

static bool infer_full(OpCall *c) {
  use_device(c, 3);
  return out_shape(c, 0, arg_dtype(c, 2, dtype_of(c->arg[1].number)), c->arg[0].n, c->arg[0].ints);
}
static bool infer_full_like(OpCall *c) {
  use_device(c, 3);
  return out_shape(c, 0, arg_dtype(c, 2, (DType)in(c, 0)->dtype), in(c, 0)->ndim, in(c, 0)->shape);
}
static bool full(OpCall *c) { return tensor_fill(c->out[0], c->arg[1].number); }
OP(full, .schema = "full(Size size, Number fill_value, " OPTIONS ") -> Tensor",
   .doc = "A tensor filled with one number; its dtype follows the number's kind.",
   .samples = "{2,3} 1.5 | {2} 3 | {} 2.5", .errors = "{-1} 2", .flags = OP_FUNCTION | OP_NO_GRADIENT,
   .infer = infer_full, .kernel = EVERYWHERE(full));
OP(full_like, .schema = "full_like(Tensor input, Number fill_value, " LIKE_OPTIONS ") -> Tensor",
   .doc = "input's shape and dtype, filled with one number.", .samples = "f(2,3) 1.5",
   .flags = OP_FUNCTION | OP_NO_GRADIENT, .infer = infer_full_like, .kernel = EVERYWHERE(full));

/* new_*: dtype and device of the tensor they are called on */
static bool infer_new(OpCall *c) {
  use_device(c, 3);
  return out_shape(c, 0, arg_dtype(c, 2, (DType)in(c, 0)->dtype), c->arg[1].n, c->arg[1].ints);
}
static bool infer_new_full(OpCall *c) {
  use_device(c, 4);
  return out_shape(c, 0, arg_dtype(c, 3, (DType)in(c, 0)->dtype), c->arg[1].n, c->arg[1].ints);
}
static bool new_full(OpCall *c) { return tensor_fill(c->out[0], c->arg[2].number); }
OP(new_zeros, .schema = "new_zeros(Tensor input, Size... size, " OPTIONS ") -> Tensor",
   .doc = "Zeros of input's dtype and device.", .samples = "f(2) {2,3}", .errors = "f(2) {-1}",
   .flags = OP_METHOD | OP_NO_GRADIENT, .infer = infer_new, .kernel = EVERYWHERE(zeros));
OP(new_ones, .schema = "new_ones(Tensor input, Size... size, " OPTIONS ") -> Tensor",
   .doc = "Ones of input's dtype and device.", .samples = "f(2) {2,3}", .errors = "f(2) {-1}",
   .flags = OP_METHOD | OP_NO_GRADIENT, .infer = infer_new, .kernel = EVERYWHERE(ones));
OP(new_empty, .schema = "new_empty(Tensor input, Size... size, " OPTIONS ") -> Tensor",
   .doc = "Unwritten memory of input's dtype.", .samples = "f(2) {2,3}", .errors = "f(2) {-1}",
   .flags = OP_METHOD | OP_NO_GRADIENT | OP_RANDOM, .infer = infer_new, .kernel = EVERYWHERE(empty));
OP(new_full, .schema = "new_full(Tensor input, Size size, Number fill_value, " OPTIONS ") -> Tensor",
   .doc = "One number, in input's dtype and device.", .samples = "f(2) {2,3} 1.5", .errors = "f(2) {-1} 1",
   .flags = OP_METHOD | OP_NO_GRADIENT, .infer = infer_new_full, .kernel = EVERYWHERE(new_full));

static bool refuse_bool(DType d, const char *kernel) {
  return d != MT_BOOL || fail(MT_ENOTIMPL, "\"%s\" not implemented for 'Bool': use another dtype and :bool()", kernel);
}

/* arange: ceil((end - start) / step) values, in double or int64 arithmetic */
static bool infer_arange(OpCall *c) {
  Scalar start = c->arg[0].number, end = c->arg[1].number, step = c->arg[2].number;
  bool integral = start.category != CAT_FLOAT && end.category != CAT_FLOAT && step.category != CAT_FLOAT;
  double a = scalar_double(start), b = scalar_double(end), s = scalar_double(step);
  use_device(c, 4);
  if (s == 0) return fail(MT_EARG, "step must be nonzero");
  if (!isfinite(a) || !isfinite(b)) return fail(MT_EARG, "unsupported range: %g -> %g", a, b);
  if (!isfinite(s)) return fail(MT_EARG, "step must be finite but got %s", isnan(s) ? "nan" : text("%g", s));
  if ((s > 0) != (b > a) && a != b)
    return fail(MT_EARG, "upper bound and lower bound inconsistent with step sign: %g to %g by %g", a, b, s);
  double count = ceil((b - a) / s);
  if (integral) {
    __int128 span = (__int128)end.i - start.i, by = step.i;
    count = (double)((span + by - (by > 0 ? 1 : -1)) / by);
  }
  if (count > 9e15) return fail(MT_EARG, "invalid size, possible overflow?");
  int64_t n = (int64_t)count;
  DType d = arg_dtype(c, 3, integral ? MT_I64 : default_dtype());
  return refuse_bool(d, "arange_cpu") && out_shape(c, 0, d, 1, &n);
}
static bool run_arange(OpCall *c) {
  Scalar start = c->arg[0].number, step = c->arg[2].number;
  Sequence s = {.kind = SEQUENCE_STEPS, .from = scalar_double(start), .step = scalar_double(step)};
  if (!dtype_is_float((DType)c->out[0]->dtype)) /* start and step become integers first: by 0.5, all are zeros */
    s = (Sequence){.kind = SEQUENCE_INTEGERS, .first = scalar_int64(start), .by = scalar_int64(step)};
  return any_sequence(&s, c->out[0]);
}
OP(arange_from, .schema = "arange(Number start, Number end, Number step=1, " OPTIONS ") -> Tensor",
   .doc = "start, start + step, ... below end. Values, so counted as written. Integers give int64.",
   .samples = "1 5 | 0 1 0.25 | 5 0 -2", .errors = "0 1 0 | 0 1 -1", .flags = OP_FUNCTION | OP_NO_GRADIENT,
   .infer = infer_arange, .kernel = EVERYWHERE(run_arange));
static bool compose_arange(OpCall *c) {
  Arg arg[] = {ARG_N(scalar_int(0)), c->arg[0], ARG_N(scalar_int(1)), c->arg[1], c->arg[2], ARG_I(0)};
  return compose_return(c, 0, op_run(&def_arange_from, arg));
}
OP(arange, .schema = "arange(Number end, " OPTIONS ") -> Tensor", .doc = "0, 1, ... below end.", .samples = "5 | 2.5",
   .errors = "-1", .flags = OP_FUNCTION | OP_NO_GRADIENT, .compose = compose_arange);

static bool infer_linspace(OpCall *c) {
  use_device(c, 4);
  int64_t n = c->arg[2].i;
  DType d = arg_dtype(c, 3, default_dtype());
  if (n < 0) return fail(MT_EARG, "number of steps must be non-negative, got %lld", (long long)n);
  for (int k = 0; k < 2 && !dtype_is_float(d); k++) {
    double v = trunc(scalar_double(c->arg[k].number)), bits = 8 * dtype_size(d) - dtype_info[d].is_signed;
    double least = dtype_info[d].is_signed ? -ldexp(1, (int)bits) : -ldexp(1, (int)bits) + 1; /* those wrap */
    if (!(v >= least && v < ldexp(1, (int)bits)))
      return fail(MT_EARG, "value cannot be converted to type %s without overflow: %g", dtype_info[d].name, v);
  }
  return refuse_bool(d, "linspace_cpu") && out_shape(c, 0, d, 1, &n);
}
static bool run_linspace(OpCall *c) {
  Tensor *out = c->out[0];
  double a = scalar_double(c->arg[0].number), b = scalar_double(c->arg[1].number);
  if (out->dtype == MT_U8) { /* negative ends wrap */
    a = (double)(uint8_t)(int64_t)a;
    b = (double)(uint8_t)(int64_t)b;
  }
  Sequence s = sequence_between(a, b, out->numel, (DType)out->dtype);
  return any_sequence(&s, out);
}
OP(linspace, .schema = "linspace(Number start, Number end, int steps, " OPTIONS ") -> Tensor",
   .doc = "steps numbers from start to end, both included, evenly spaced.", .samples = "0 1 5 | -2 2 4 | 3 3 1",
   .errors = "0 1 -1", .flags = OP_FUNCTION | OP_NO_GRADIENT, .infer = infer_linspace,
   .kernel = EVERYWHERE(run_linspace));

static bool infer_eye(OpCall *c) {
  use_device(c, 3);
  int64_t shape[2] = {c->arg[0].i, c->arg[1].given ? c->arg[1].i : c->arg[0].i};
  if (shape[0] < 0) return fail(MT_EARG, "n must be greater or equal to 0, got %lld", (long long)shape[0]);
  if (shape[1] < 0) return fail(MT_EARG, "m must be greater or equal to 0, got %lld", (long long)shape[1]);
  return out_shape(c, 0, arg_dtype(c, 2, default_dtype()), 2, shape);
}
static bool run_eye(OpCall *c) {
  Tensor *out = c->out[0], diagonal = *out; /* lives only for this call; owns nothing */
  if (!zeros(c)) return false;
  diagonal.ndim = 1;
  diagonal.numel = diagonal.shape[0] = out->shape[0] < out->shape[1] ? out->shape[0] : out->shape[1];
  diagonal.stride[0] = out->shape[1] + 1;
  return tensor_fill(&diagonal, scalar_int(1));
}
OP(eye, .schema = "eye(int n, int? m=None, " OPTIONS ") -> Tensor",
   .doc = "Ones on the diagonal of an (n, m) matrix, else zeros.", .samples = "3 | 2 4 | 0", .errors = "-1",
   .flags = OP_FUNCTION | OP_NO_GRADIENT, .infer = infer_eye, .kernel = EVERYWHERE(run_eye));

/* clone, cast, copy: gradients pass through, cast back by g_set */
static bool cpu_copy(OpCall *c) { return tensor_copy_into(c->out[0], in(c, 0)); }
static void back_pass(Grad *g) { g_set(g, 0, g_out(g, 0)); }
OP(clone, .schema = "clone(Tensor input) -> Tensor", .doc = "A copy with its own memory, through which gradients flow.",
   .samples = "f(2,3) | i(3) | f()", .flags = OP_BOTH, .infer = infer_same, .kernel = EVERYWHERE(cpu_copy),
   .backward = back_pass);

static bool infer_cast(OpCall *c) { return out_shape(c, 0, c->arg[1].dtype, in(c, 0)->ndim, in(c, 0)->shape); }
OP(cast, .schema = "cast(Tensor input, dtype dtype) -> Tensor", .doc = "A copy in another dtype.",
   .samples = "f(2,3) 'float64'", .flags = OP_HIDDEN, .infer = infer_cast, .kernel = EVERYWHERE(cpu_copy),
   .backward = back_pass);

/* PyTorch broadcasts both and says what does not fit; a source that would make the tensor larger is refused too. */
static bool fail_copy(const Tensor *to, const Tensor *from) {
  int64_t shape[MT_MAX_DIMS];
  int ndim = 0;
  return shape_broadcast(&ndim, shape, to->ndim, to->shape) && shape_broadcast(&ndim, shape, from->ndim, from->shape) &&
         fail(MT_EARG, "output with shape %s doesn't match the broadcast shape %s: cannot copy %s into it",
              shape_text(to->ndim, to->shape), shape_text(ndim, shape), shape_text(from->ndim, from->shape));
}

/* copy_: result 0 is argument 0, so the source is cast to its dtype here */
static bool infer_copy_into(OpCall *c) {
  Tensor *to = in(c, 0), *from = in(c, 1);
  int64_t stride[MT_MAX_DIMS];
  if (!shape_expand(from, to->ndim, to->shape, stride)) return fail_copy(to, from);
  return out_shape(c, 0, (DType)to->dtype, to->ndim, to->shape);
}
/* A copy on another device; the gradient goes back. */
static bool infer_move(OpCall *c) {
  c->device = c->arg[1].device;
  return out_shape(c, 0, (DType)in(c, 0)->dtype, in(c, 0)->ndim, in(c, 0)->shape);
}
extern OpDef def_move;
static void back_move(Grad *g) {
  if (g_needs(g, 0)) g_set(g, 0, op_on(g_out(g, 0), g_meta(g, 0)->device));
}
/* pin: the copy lies in memory of the host that devices reach by themselves. */
static bool cpu_move(OpCall *c) {
  Tensor *out = c->out[0];
  if (c->arg[3].given && c->arg[3].i && tensor_device(out).kind == MT_CPU) {
    Storage *pinned = storage_pinned(tensor_bytes(out));
    if (!pinned) return false;
    storage_release(out->storage);
    out->storage = pinned;
  }
  bool wait = !c->arg[2].given || !c->arg[2].i;
  return wait ? tensor_copy_into(out, in(c, 0)) : tensor_copy_async(out, in(c, 0));
}
OP(move, .schema = "move(Tensor input, device device, bool non_blocking=False, bool pin=False) -> Tensor",
   .doc = "A copy on another device.", .samples = "f(2,3) 'cpu' | i(3) 'cpu' | f() 'cpu'", .flags = OP_HIDDEN,
   .infer = infer_move, .kernel = EVERYWHERE(cpu_move), .backward = back_move);

static bool cpu_copy_into(OpCall *c) { return tensor_copy_into(c->out[0], in(c, 1)); }
static bool cpu_copy_into_async(OpCall *c) {
  bool wait = !c->arg[2].given || !c->arg[2].i;
  return wait ? tensor_copy_into(c->out[0], in(c, 1)) : tensor_copy_async(c->out[0], in(c, 1));
}
static void back_copy_into(Grad *g) {
  if (g_needs(g, 1)) g_set(g, 1, op_on(g_out(g, 0), g_meta(g, 1)->device));
}
OP(copy_, .schema = "copy(Tensor input, Operand src, bool non_blocking=False) -> Tensor",
   .doc = "Writes src's values, broadcast and cast, into the tensor.", .samples = "f(2,3) f(3) | i(3) f(3)",
   .errors = "f(3) f(4)", .flags = OP_METHOD | OP_INPLACE | OP_INPLACE_ONLY | OP_INTO | OP_OVERWRITES | OP_ANY_DEVICE,
   .infer = infer_copy_into, .kernel = EVERYWHERE(cpu_copy_into_async), .backward = back_copy_into);

static bool cpu_fill_self(OpCall *c) { return tensor_fill(c->out[0], c->arg[1].number); }
static bool cpu_zero_self(OpCall *c) { return tensor_fill(c->out[0], scalar_int(0)); }
static void back_nothing(Grad *g) { (void)g; }
OP(fill_, .schema = "fill(Tensor input, Number value) -> Tensor", .doc = "Every element set to value.",
   .samples = "f(2,3) 1.5 | i(3) 2", .flags = OP_BOTH | OP_INPLACE | OP_INTO | OP_OVERWRITES, .infer = infer_same,
   .kernel = EVERYWHERE(cpu_fill_self), .backward = back_nothing);
static bool infer_fill_tensor(OpCall *c) {
  Tensor *value = in(c, 1);
  if (value->ndim != 0)
    return fail(MT_EARG, "fill_ only supports 0-dimension value tensor but got tensor with %d dimensions.",
                value->ndim);
  return infer_same(c);
}
OP(fill_tensor, .schema = "fill(Tensor input, Tensor value) -> Tensor",
   .doc = "Every element set to a 0-dim tensor's value.", .samples = "f(2,3) f()", .errors = "f(2) f(2)",
   .flags = OP_BOTH | OP_INPLACE | OP_INTO | OP_OVERWRITES, .infer = infer_fill_tensor,
   .kernel = EVERYWHERE(cpu_copy_into), .backward = back_copy_into);
OP(zero_, .schema = "zero(Tensor input) -> Tensor", .doc = "Every element set to 0.", .samples = "f(2,3) | i(3)",
   .flags = OP_METHOD | OP_INPLACE | OP_INPLACE_ONLY | OP_INTO | OP_OVERWRITES, .infer = infer_same,
   .kernel = EVERYWHERE(cpu_zero_self), .backward = back_nothing);

Tensor *op_cast(Tensor *t, DType d) {
  return !t || t->dtype == d ? t : op_run(&def_cast, (Arg[]){ARG_T(t), ARG_DTYPE(d)});
}
Tensor *op_on(Tensor *t, Device d) {
  Arg device = {.given = true, .device = d};
  if (!t || (tensor_device(t).kind == d.kind && tensor_device(t).index == d.index)) return t;
  return op_run(&def_move, (Arg[]){ARG_T(t), device, ARG_I(0), ARG_I(0)});
}
Tensor *op_contiguous(Tensor *t) { return !t || tensor_is_contiguous(t) ? t : op_run(&def_clone, (Arg[]){ARG_T(t)}); }
Tensor *op_detach(Tensor *t) { return t && !failed() ? pool_add(tensor_detach(t)) : NULL; }
static Tensor *like(OpDef *def, Tensor *t) { return op_run(def, (Arg[]){ARG_T(t), ARG_NIL, ARG_NIL, ARG_NIL}); }
Tensor *op_zeros_like(Tensor *t) { return like(&def_zeros_like, t); }
Tensor *op_ones_like(Tensor *t) { return like(&def_ones_like, t); }
Tensor *op_full(DType d, int ndim, const int64_t *shape, Device device, Scalar value) {
  Arg arg[] = {ARG_INTS(shape, ndim), ARG_N(value), ARG_DTYPE(d), {.given = true, .device = device}, ARG_NIL};
  return op_run(&def_full, arg);
}
bool op_copy_values(Tensor *to, const Tensor *from) { return tensor_copy_into(to, from); }
Tensor *op_packed(const Tensor *t) { return tensor_cast(t, (DType)t->dtype); }
