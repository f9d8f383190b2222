/* More of creation: logspace, window functions, indices of triangles, tensors with strides of their own. */
#include "base/size.h"
#include "cpu/device_kernels.h"
#include "ops/ops.h"
#include <math.h>
#include <string.h>

#define OPTIONS "*, dtype? dtype=None, device? device=None, bool requires_grad=False"

extern OpDef def_arange, def_empty;

static void use_device(OpCall *c, int k) {
  if (c->arg[k].given) c->device = c->arg[k].device;
}
static bool refuse_bool(DType d, const char *kernel) {
  return d != MT_BOOL || fail(MT_ENOTIMPL, "\"%s\" not implemented for 'Bool': use another dtype and :bool()", kernel);
}

/* --- logspace --- */

static bool infer_logspace(OpCall *c) {
  int64_t n = c->arg[2].i;
  use_device(c, 5);
  if (n < 0) return fail(MT_EARG, "number of steps must be non-negative, got %lld", (long long)n);
  DType d = arg_dtype(c, 4, default_dtype());
  return refuse_bool(d, "logspace_cpu") && out_shape(c, 0, d, 1, &n);
}
/* Exponents come from both ends towards the middle, as linspace's numbers do. */
static bool run_logspace(OpCall *c) {
  Tensor *out = c->out[0];
  Sequence s =
      sequence_between(scalar_double(c->arg[0].number), scalar_double(c->arg[1].number), out->numel, (DType)out->dtype);
  s.kind = SEQUENCE_POWERS;
  s.base = scalar_double(c->arg[3].number);
  return any_sequence(&s, out);
}
OP(logspace, .schema = "logspace(Number start, Number end, int steps, float base=10.0, " OPTIONS ") -> Tensor",
   .doc = "base to the power of steps numbers from start to end, both included, evenly spaced.",
   .samples = "0 2 3 | 0 1 5 2 | -1 1 4 | 2 5 1 | 0 1 0", .errors = "0 1 -1", .flags = OP_FUNCTION | OP_NO_GRADIENT,
   .infer = infer_logspace, .kernel = EVERYWHERE(run_logspace));

/* --- windows --- */

/* What each window starts with: positions 0, 1, ... of a window of `length`, which grows by one when it is periodic and
 * loses that element in the end. False with *done for the lengths 0 and 1, whose result is set. */
typedef struct {
  DType dtype;
  int64_t length, wanted;
  Tensor *at;
  bool done;
} Window;

static bool window_open(OpCall *c, Window *w, int dtype_at) {
  const char *name = c->def->info->name;
  w->wanted = w->length = c->arg[0].i;
  w->done = w->wanted <= 1;
  w->dtype = arg_dtype(c, dtype_at, default_dtype());
  use_device(c, dtype_at + 1);
  if (!dtype_is_float(w->dtype))
    return fail(MT_EARG, "%s expects floating point dtypes, got: %s", name, dtype_info[w->dtype].name);
  if (w->wanted < 0)
    return fail(MT_EARG, "%s requires non-negative window_length, got window_length=%lld", name, (long long)w->wanted);
  if (w->done) return compose_return(c, 0, op_full(w->dtype, 1, &w->wanted, c->device, scalar_int(1)));
  if (c->arg[1].i && !size_add(w->length, 1, &w->length)) return false;
  Arg device = {.given = true, .device = c->device};
  w->at = op_run(&def_arange, (Arg[]){ARG_N(scalar_int(w->length)), ARG_DTYPE(w->dtype), device, ARG_I(0)});
  return w->at != NULL;
}
static bool window_close(OpCall *c, const Window *w, Tensor *t) {
  if (t && w->length != w->wanted) t = op_narrow(t, 0, 0, w->wanted);
  extern OpDef def_clone;
  return compose_return(c, 0, w->length != w->wanted && t ? op_run(&def_clone, (Arg[]){ARG_T(t)}) : t);
}
/* alpha - beta cos(2 pi k / (n - 1)) */
static bool cosine_window(OpCall *c, int dtype_at, double alpha, double beta) {
  Window w;
  if (!window_open(c, &w, dtype_at)) return false;
  if (w.done) return true;
  Tensor *turn = op_cos(op_scale(w.at, M_PI * 2 / (double)(w.length - 1)));
  return window_close(c, &w, op_add(op_scale(turn, -beta), op_float(alpha)));
}
static bool compose_hann(OpCall *c) { return cosine_window(c, 2, 0.5, 0.5); }
static bool compose_hamming(OpCall *c) {
  return cosine_window(c, 4, scalar_double(c->arg[2].number), scalar_double(c->arg[3].number));
}
static bool compose_blackman(OpCall *c) {
  Window w;
  if (!window_open(c, &w, 2)) return false;
  if (w.done) return true;
  Tensor *angle = op_scale(w.at, M_PI / (double)(w.length - 1));
  Tensor *wide = op_scale(op_cos(op_scale(angle, 2)), 0.5), *narrow = op_scale(op_cos(op_scale(angle, 4)), 0.08);
  return window_close(c, &w, op_add(op_sub(narrow, wide), op_float(0.42)));
}
static bool compose_bartlett(OpCall *c) {
  Window w;
  if (!window_open(c, &w, 2)) return false;
  if (w.done) return true;
  int64_t half = ((w.length - 1) >> 1) + 1;
  Tensor *rise = op_scale(w.at, 2.0 / (double)(w.length - 1));
  Tensor *up = op_narrow(rise, 0, 0, half), *down = op_narrow(rise, 0, half, w.length - half);
  return window_close(c, &w, op_cat(2, (Tensor *[]){up, op_add(op_neg(down), op_int(2))}, 0));
}
/* Modified Bessel function of order 0, by its power series for small x and the asymptotic one beyond. */
static double bessel_i0(double x) {
  double term = 1, sum = 1;
  x = fabs(x);
  if (x < 30) {
    for (int k = 1; k < 200 && term > sum * 1e-17; k++) {
      term *= x / (2 * k) * (x / (2 * k));
      sum += term;
    }
    return sum;
  }
  for (int k = 1; k < 40; k++) { /* shrinks up to k about 2 x */
    double next = term * (2 * k - 1) * (2 * k - 1) / (8 * k * x);
    if (next >= term || next < sum * 1e-17) break;
    sum += term = next;
  }
  return exp(x) / sqrt(2 * M_PI * x) * sum;
}
static bool compose_kaiser(OpCall *c) {
  Window w;
  double beta = scalar_double(c->arg[2].number);
  if (!window_open(c, &w, 3)) return false;
  if (w.done) return true;
  DType d = w.dtype;
  int size = dtype_size(d);
  Tensor *window = op_full(d, 1, &w.length, (Device){MT_CPU, 0}, scalar_int(0));
  if (!window) return false;
  char *to = tensor_data(window);
  double middle = (double)(w.length - 1) / 2, whole = bessel_i0(beta);
  for (int64_t i = 0; i < w.length; i++) {
    double x = ((double)i - middle) / middle, y = 1 - x * x;
    scalar_store(scalar_float(bessel_i0(beta * sqrt(y > 0 ? y : 0)) / whole), d, to + i * size);
  }
  return window_close(c, &w, op_on(window, c->device));
}
#define WINDOW(id, parameters, compose_fn, what, inputs)                                                             \
  OP(id, .schema = #id "(int window_length, bool periodic=True" parameters ", " OPTIONS ") -> Tensor",               \
     .doc =                                                                                                          \
         what " A periodic window is one of window_length + 1 elements without its last; false makes it symmetric.", \
     .samples = inputs, .errors = "-1 | 4 dtype='int64'", .flags = OP_FUNCTION | OP_NO_GRADIENT,                     \
     .compose = compose_fn)
WINDOW(hann_window, "", compose_hann, "Hann window: (1 - cos(2 pi k / (N - 1))) / 2.", "0 | 1 | 5 | 4 false");
WINDOW(hamming_window, ", float alpha=0.54, float beta=0.46", compose_hamming,
       "Hamming window: alpha - beta cos(2 pi k / (N - 1)).", "0 | 1 | 5 | 4 false | 4 true 0.5 0.3");
WINDOW(blackman_window, "", compose_blackman,
       "Blackman window: 0.42 - 0.5 cos(2 pi k / (N - 1)) + 0.08 cos(4 pi k / (N - 1)).", "0 | 1 | 5 | 4 false");
WINDOW(bartlett_window, "", compose_bartlett, "Bartlett window: a triangle.", "0 | 1 | 5 | 4 false");
WINDOW(kaiser_window, ", float beta=12.0", compose_kaiser,
       "Kaiser window: I0(beta sqrt(1 - x^2)) / I0(beta), x from -1 to 1.", "0 | 1 | 5 | 4 false | 4 true 3.0");

/* --- positions of triangles --- */

/* Elements on and below the diagonal number `offset`. */
static __int128 count_lower(int64_t rows, int64_t cols, __int128 offset) {
  __int128 from = offset < 0 ? -offset : 0, full = cols - 1 - offset; /* the first rows with any, with all columns */
  if (full < 0) full = 0;
  if (full > rows) full = rows;
  if (from > full) from = full;
  __int128 partly = (full - from) * (from + full - 1) / 2 + (full - from) * (offset + 1);
  return partly + (rows - full) * cols;
}
static bool infer_triangle_indices(OpCall *c) {
  bool upper = c->def->info->name[3] == 'u';
  int64_t rows = c->arg[0].i, cols = c->arg[1].i, offset = c->arg[2].i, area;
  use_device(c, 4);
  if (rows < 0) return fail(MT_EARG, "row must be non-negative, got %lld", (long long)rows);
  if (cols < 0) return fail(MT_EARG, "col must be non-negative, got %lld", (long long)cols);
  DType d = arg_dtype(c, 3, MT_I64);
  if (d != MT_I64 && d != MT_I32)
    return fail(MT_ENOTIMPL, "\"%s\" not implemented for '%s': positions are int64 or int32", c->def->info->name,
                dtype_info[d].type_name);
  if (!size_mul(rows, cols, &area)) return false;
  int64_t count =
      (int64_t)(upper ? area - count_lower(rows, cols, (__int128)offset - 1) : count_lower(rows, cols, offset));
  return out_shape(c, 0, d, 2, (int64_t[]){2, count});
}
static bool run_triangle_indices(OpCall *c) {
  Triangle t = {c->def->info->name[3] == 'u', c->arg[0].i, c->arg[1].i, c->arg[2].i};
  return any_triangle_indices(&t, c->out[0]);
}
OP(tril_indices, .schema = "tril_indices(int row, int col, int offset=0, " OPTIONS ") -> Index",
   .doc = "Positions of the lower triangle of a (row, col) matrix, row by row: rows in the first line of the result, "
          "columns "
          "in the second. offset moves the diagonal up.",
   .samples = "3 4 | 3 3 1 | 3 3 -1 | 0 3 | 2 3 -5", .errors = "-1 3 | 3 -1 | 3 3 dtype='float32'",
   .flags = OP_FUNCTION | OP_NO_GRADIENT, .infer = infer_triangle_indices, .kernel = EVERYWHERE(run_triangle_indices));
OP(triu_indices, .schema = "triu_indices(int row, int col, int offset=0, " OPTIONS ") -> Index",
   .doc = "Positions of the upper triangle of a (row, col) matrix, row by row.",
   .samples = "3 4 | 3 3 1 | 3 3 -1 | 0 3 | 2 3 5", .errors = "-1 3 | 3 -1 | 3 3 dtype='float32'",
   .flags = OP_FUNCTION | OP_NO_GRADIENT, .infer = infer_triangle_indices, .kernel = EVERYWHERE(run_triangle_indices));

/* --- single numbers, tensors with strides of their own --- */

static bool compose_scalar_tensor(OpCall *c) {
  use_device(c, 2);
  return compose_return(c, 0, op_full(arg_dtype(c, 1, default_dtype()), 0, NULL, c->device, c->arg[0].number));
}
OP(scalar_tensor, .schema = "scalar_tensor(Number s, " OPTIONS ") -> Tensor",
   .doc = "A number as a 0-dim tensor of the default float dtype, unless dtype says otherwise.",
   .samples = "3 | 2.5 | true", .flags = OP_FUNCTION | OP_NO_GRADIENT, .compose = compose_scalar_tensor);

/* Unwritten memory as large as the strides reach. */
static bool empty_strided(OpCall *c, int at, DType d) {
  const Arg *size = &c->arg[at], *stride = &c->arg[at + 1];
  int64_t last = 0, step;
  bool empty = false;
  if (size->n != stride->n)
    return fail(MT_EARG, "dimensionality of sizes (%d) must match dimensionality of strides (%d)", size->n, stride->n);
  if (!shape_check(size->n, size->ints)) return false;
  for (int k = 0; k < size->n; k++) empty |= size->ints[k] == 0;
  for (int k = 0; !empty && k < size->n; k++) {
    if (stride->ints[k] < 0)
      return fail(MT_EARG, "empty_strided: Negative strides are not supported, got strides: %s",
                  shape_text(stride->n, stride->ints));
    if (!size_mul(size->ints[k] - 1, stride->ints[k], &step) || !size_add(last, step, &last)) return false;
  }
  int64_t reach = empty ? 0 : last + 1;
  if (!empty && !size_add(last, 1, &reach)) return false;
  Arg device = {.given = true, .device = c->device};
  Tensor *memory = op_run(&def_empty, (Arg[]){ARG_INTS(&reach, 1), ARG_DTYPE(d), device, ARG_I(0)});
  Tensor *t = memory ? tensor_view(memory->storage, d, 0, size->n, size->ints, stride->ints) : NULL;
  return compose_return(c, 0, pool_add(t));
}
static bool compose_empty_strided(OpCall *c) {
  use_device(c, 3);
  return empty_strided(c, 0, arg_dtype(c, 2, default_dtype()));
}
static bool compose_new_empty_strided(OpCall *c) {
  use_device(c, 4);
  return empty_strided(c, 1, arg_dtype(c, 3, (DType)in(c, 0)->dtype));
}
OP(empty_strided, .schema = "empty_strided(Size size, ints stride, " OPTIONS ") -> Tensor",
   .doc = "Unwritten memory with those sizes and strides.", .samples = "{2,3} {1,2}",
   .errors = "{2} {1,1} | {-1} {1} | {2} {-1}", .flags = OP_FUNCTION | OP_NO_GRADIENT | OP_RANDOM,
   .compose = compose_empty_strided);
OP(new_empty_strided, .schema = "new_empty_strided(Tensor input, Size size, ints stride, " OPTIONS ") -> Tensor",
   .doc = "Unwritten memory of input's dtype with those sizes and strides.", .samples = "f(2) {2,3} {1,2}",
   .errors = "f(2) {2} {1,1} | f(2) {-1} {1} | f(2) {2} {-1}", .flags = OP_METHOD | OP_NO_GRADIENT | OP_RANDOM,
   .compose = compose_new_empty_strided);
