/* One recurrent layer in one direction over a whole sequence: lstm, gru and the plain ones.
 *
 * Each is composed of products and pointwise operators: that is what it means, what a second derivative goes through,
 * and what refuses tensors that do not fit. Where they fit and are floats, one kernel does the same; its gradient is
 * another. A sequence is padded, (T, N, in), or packed: the rows of its steps, of which there are sizes[t]. */
#include "ops/recurrent.h"
#include "base/alloc.h"
#include "base/size.h"
#include "cpu/device_kernels.h"
#include "graph/autocast.h"
#include "ops/ops.h"
#include <string.h>

extern OpDef def_linear, def_sigmoid, def_tanh, def_relu, def_recurrent, def_recurrent_back;

/* ---- composed ---- */

static Tensor *unary(OpDef *def, Tensor *t) { return op_run(def, (Arg[]){ARG_T(t)}); }
static Tensor *linear(Tensor *x, Tensor *weight, Tensor *bias) {
  return op_run(&def_linear, (Arg[]){ARG_T(x), ARG_T(weight), ARG_T(bias)});
}
static Tensor *gate(Tensor *gates, int k, int count) {
  if (!gates) return NULL;
  int64_t size = gates->shape[1] / count;
  return op_narrow(gates, 1, k * size, size);
}

/* Gates of integers cannot be: PyTorch writes their sigmoid over them. */
static void check_gates(const Tensor *gates) {
  if (gates && !tensor_is_float(gates))
    fail(MT_EARG, "result type Float can't be cast to the desired output type %s: input is %s; use :float()",
         dtype_info[gates->dtype].type_name, dtype_info[gates->dtype].name);
}

/* `sums` are the step's products with the input weights, h and c the state before and after. */
static void composed_step(const Recurrent *r, Tensor *sums, Tensor **h, Tensor **c) {
  Tensor *from_h = linear(*h, r->t[AT_W_HH], r->t[AT_B_HH]);
  if (r->mode == RECURRENT_GRU) {
    check_gates(sums);
    Tensor *reset = unary(&def_sigmoid, op_add(gate(sums, 0, 3), gate(from_h, 0, 3)));
    Tensor *update = unary(&def_sigmoid, op_add(gate(sums, 1, 3), gate(from_h, 1, 3)));
    Tensor *fresh = unary(&def_tanh, op_add(gate(sums, 2, 3), op_mul(reset, gate(from_h, 2, 3))));
    *h = op_add(op_mul(op_sub(*h, fresh), update), fresh);
    return;
  }
  sums = op_add(sums, from_h);
  if (r->mode != RECURRENT_LSTM) {
    *h = unary(r->mode == RECURRENT_TANH ? &def_tanh : &def_relu, sums);
    return;
  }
  check_gates(sums);
  Tensor *let_in = unary(&def_sigmoid, gate(sums, 0, 4)), *keep = unary(&def_sigmoid, gate(sums, 1, 4));
  Tensor *fresh = unary(&def_tanh, gate(sums, 2, 4)), *let_out = unary(&def_sigmoid, gate(sums, 3, 4));
  *c = op_add(op_mul(keep, *c), op_mul(let_in, fresh));
  *h = op_mul(let_out, unary(&def_tanh, *c));
  if (r->t[AT_W_HR]) *h = linear(*h, r->t[AT_W_HR], NULL);
}

static Tensor *rows(Tensor *t, int64_t first, int64_t last) {
  if (!t || (first == 0 && last == t->shape[0])) return t;
  return op_narrow(t, 0, first, last - first);
}
static Tensor *joined(int64_t n, Tensor **part) { return n == 1 ? part[0] : op_cat((int)n, part, 0); }

/* Forwards, sequences that have ended leave the state with their last rows; backwards, those that begin enter it from
 * the initial state. `room` has three parts of steps + 1: the outputs, then what left h and c, from the end of each. */
static bool composed_steps(const Recurrent *r, Tensor *sums, Tensor **room, Tensor *state[2]) {
  Tensor *start[2] = {state[0], state[1]}, **ended[2] = {room + 2 * (r->steps + 1), room + 3 * (r->steps + 1)};
  int64_t row = 0, left = 0;
  for (int64_t t = 0; t < r->steps; t++) row += r->sizes ? r->sizes[t] : 0;
  if (!r->reverse) row = 0;
  for (int64_t i = 0; i < r->steps; i++) {
    int64_t t = r->reverse ? r->steps - 1 - i : i, n = r->sizes ? r->sizes[t] : 0;
    int64_t before = r->reverse && i == 0 ? 0 : r->sizes && !failed() ? state[0]->shape[0] : n;
    for (int k = 0; k < 2 && state[k] && n != before && !failed(); k++) {
      if (r->reverse) {
        Tensor *enter = rows(start[k], before, n);
        state[k] = before == 0 ? enter : op_cat(2, (Tensor *[]){state[k], enter}, 0);
      } else {
        *--ended[k] = rows(state[k], n, before);
        state[k] = rows(state[k], 0, n);
        left += k == 0;
      }
    }
    if (r->reverse) row -= n;
    composed_step(r, r->sizes ? rows(sums, row, row + n) : op_select(sums, 0, t), &state[0], &state[1]);
    if (!r->reverse) row += n;
    if (failed()) return false;
    room[t] = state[0];
  }
  for (int k = 0; k < 2 && state[k] && left > 0; k++) {
    *--ended[k] = state[k];
    state[k] = joined(left + 1, ended[k]);
  }
  return !failed();
}

/* Output, last h, last c. What does not fit is refused here, by the operators or before. */
static bool composed(const Recurrent *r, Tensor *out[3]) {
  Tensor *w_ih = r->t[AT_W_IH], *w_hh = r->t[AT_W_HH], *state[2] = {r->t[AT_H], r->t[AT_C]};
  if (w_ih->ndim != 2 || w_hh->ndim != 2)
    return fail(MT_EARG, "weights must be 2-D, but they are %s and %s", shape_text(w_ih->ndim, w_ih->shape),
                shape_text(w_hh->ndim, w_hh->shape));
  int gates = recurrent_gates(r->mode);
  if (w_ih->shape[0] % gates)
    return fail(MT_EARG, "weight_ih first dim must be %d * hidden_size, but got %lld", gates,
                (long long)w_ih->shape[0]);
  Tensor *sums = linear(r->t[AT_X], w_ih, r->t[AT_B_IH]);
  int64_t bytes;
  if (!sums || !size_mul(3 * (r->steps + 1), sizeof(Tensor *), &bytes)) return false;
  Tensor **room = mem_alloc((size_t)bytes);
  bool good = room && composed_steps(r, sums, room, state);
  if (good) out[0] = r->sizes ? joined(r->steps, room) : op_stack((int)r->steps, room, 0);
  out[1] = state[0], out[2] = state[1];
  mem_free(room);
  return good && !failed();
}

/* ---- fused ---- */

/* Sizes of steps are positive, fall, and have `rows` as their sum. */
static bool add_up(const int64_t *sizes, int n, int64_t rows) {
  for (int t = 0; t < n; rows -= sizes[t++])
    if (sizes[t] < 1 || sizes[t] > rows || (t > 0 && sizes[t] > sizes[t - 1])) return false;
  return rows == 0;
}

/* Sizes from x, the weights and r->sizes. False, without a failure, when these do not fit one another. */
static bool measure(Recurrent *r, int n) {
  const Tensor *x = r->t[AT_X], *w_ih = r->t[AT_W_IH], *w_hh = r->t[AT_W_HH], *w_hr = r->t[AT_W_HR];
  if (x->ndim != (r->sizes ? 2 : 3) || w_ih->ndim != 2 || w_hh->ndim != 2) return false;
  int gates = recurrent_gates(r->mode);
  r->features = x->shape[x->ndim - 1];
  r->hidden = w_hh->shape[0] / gates;
  r->out = w_hh->shape[1];
  r->steps = r->sizes ? n : x->shape[0];
  r->rows = r->sizes ? x->shape[0] : x->shape[0] * x->shape[1];
  r->batch = r->sizes ? (n > 0 ? r->sizes[0] : 0) : x->shape[1];
  if (r->sizes && !add_up(r->sizes, n, r->rows)) return false;
  if (r->steps < 1 || r->hidden < 1 || r->out < 1 || w_hh->shape[0] != gates * r->hidden ||
      w_ih->shape[0] != w_hh->shape[0] || w_ih->shape[1] != r->features)
    return false;
  if (!w_hr) return r->out == r->hidden;
  return r->mode == RECURRENT_LSTM && w_hr->ndim == 2 && w_hr->shape[0] == r->out && w_hr->shape[1] == r->hidden;
}

static bool is_matrix(const Tensor *t, int64_t m, int64_t n) {
  return t && t->ndim == 2 && t->shape[0] == m && t->shape[1] == n;
}
static bool is_bias(const Recurrent *r, const Tensor *t) {
  return !t || (t->ndim == 1 && t->shape[0] == recurrent_gates(r->mode) * r->hidden);
}
/* All fits, and is of one dtype that is a float. */
static bool fits(Recurrent *r, int n) {
  if (!measure(r, n) || !is_matrix(r->t[AT_H], r->batch, r->out) || !is_bias(r, r->t[AT_B_IH]) ||
      !is_bias(r, r->t[AT_B_HH]))
    return false;
  if (r->mode == RECURRENT_LSTM ? !is_matrix(r->t[AT_C], r->batch, r->hidden) : r->t[AT_C] != NULL) return false;
  for (int k = 0; k < RECURRENT_TENSORS; k++)
    if (r->t[k] && (r->t[k]->dtype != r->t[AT_X]->dtype || !tensor_is_float(r->t[k]))) return false;
  return true;
}

enum { SIZES = RECURRENT_TENSORS, MODE, REVERSE, KEEP };
static bool is_mode(const Arg *a) {
  return (a->i >= 0 && a->i <= RECURRENT_RELU) || fail(MT_EARG, "there is no mode %lld", (long long)a->i);
}
static Recurrent recurrent_of(const Arg *arg) {
  Recurrent r = {.mode = (RecurrentMode)arg[MODE].i, .reverse = arg[REVERSE].i};
  for (int k = 0; k < RECURRENT_TENSORS; k++) r.t[k] = arg[k].given ? arg[k].tensor : NULL;
  r.sizes = arg[SIZES].given ? arg[SIZES].ints : NULL;
  return r;
}

static bool infer_recurrent(OpCall *c) {
  if (!is_mode(&c->arg[MODE])) return false;
  Recurrent r = recurrent_of(c->arg);
  const Tensor *x = in(c, AT_X);
  if (!fits(&r, c->arg[SIZES].n) || dtype_size((DType)x->dtype) < 4)
    return fail(MT_EARG, "states and weights do not fit input %s, or are not all float32 or float64", tensor_text(x));
  DType d = (DType)x->dtype;
  int64_t width = 0, bytes = 0, shape[] = {r.steps, r.batch, r.out};
  if (c->arg[KEEP].i &&
      !(recurrent_width(&r, &width) && size_mul(width, r.rows, &bytes) && size_mul(bytes, dtype_size(d), &bytes)))
    return false;
  bool lstm = r.mode == RECURRENT_LSTM;
  bool good = r.sizes ? out_shape(c, 0, d, 2, (int64_t[]){r.rows, r.out}) : out_shape(c, 0, d, 3, shape);
  return good && out_shape(c, 1, d, 2, shape + 1) &&
         (lstm ? out_shape(c, 2, d, 2, (int64_t[]){r.batch, r.hidden}) : out_shape(c, 2, d, 1, (int64_t[]){0})) &&
         out_shape(c, 3, MT_U8, 1, &bytes);
}
static bool run_recurrent(OpCall *c) {
  Recurrent r = recurrent_of(c->arg);
  measure(&r, c->arg[SIZES].n);
  return any_recurrent(&r, c->out[0], c->out[1], r.mode == RECURRENT_LSTM ? c->out[2] : NULL,
                       c->arg[KEEP].i ? c->out[3] : NULL);
}

/* ---- gradients ---- */

static Arg arg_of(Tensor *t) { return (Arg)ARG_T(t); }

/* The composed layer once more, and back through it: differentiable when that is asked for. */
static void back_composed(Grad *g) {
  bool twice = grad_enabled();
  Arg arg[KEEP + 1] = {0};
  for (int k = SIZES; k <= KEEP; k++) arg[k] = *g_arg(g, k);
  Tensor *input[RECURRENT_TENSORS], *found[RECURRENT_TENSORS] = {NULL}, *root[3], *grad[3], *out[3] = {NULL};
  int at[RECURRENT_TENSORS], inputs = 0, roots = 0;
  grad_set_enabled(true);
  for (int k = 0; k < RECURRENT_TENSORS; k++) {
    Tensor *t = g_arg(g, k)->given ? g_in(g, k) : NULL;
    if (t && g_needs(g, k)) {
      /* a node of its own for each, also where one tensor stands in two places */
      t = twice ? op_expand(t, t->ndim, t->shape) : op_detach(t);
      if (t && !twice) tensor_set_requires_grad(t, true);
      at[inputs] = k;
      input[inputs++] = t;
    }
    arg[k] = arg_of(t);
  }
  Recurrent r = recurrent_of(arg);
  bool good = !failed();
  r.steps = !good ? 0 : r.sizes ? arg[SIZES].n : r.t[AT_X]->shape[0];
  good = good && composed(&r, out);
  grad_set_enabled(twice);
  for (int k = 0; k < 3 && good; k++)
    if (g_out(g, k) && out[k] && tensor_wants_grad(out[k])) root[roots] = out[k], grad[roots++] = g_out(g, k);
  if (good && roots > 0)
    good = backward_run(&(BackwardCall){.roots = roots,
                                        .inputs = inputs,
                                        .root = root,
                                        .grad = grad,
                                        .input = input,
                                        .found = found,
                                        .keep_graph = twice,
                                        .create_graph = twice});
  for (int i = 0; i < inputs && good; i++) g_set(g, at[i], found[i] ? pool_add(found[i]) : op_zeros_like(input[i]));
}

/* The reserve's bytes as elements. Hooks may give it back in memory of another layout. */
static Tensor *reserve_of(const Grad *g, DType d) {
  Tensor *bytes = g_result(g, 3);
  if (bytes && (bytes->offset % dtype_size(d) || !tensor_is_contiguous(bytes))) bytes = pool_add(op_packed(bytes));
  if (!bytes) return NULL;
  int64_t n = bytes->numel / dtype_size(d), one = 1;
  return pool_add(tensor_view(bytes->storage, d, bytes->offset / dtype_size(d), 1, &n, &one));
}

static void back_recurrent(Grad *g) {
  if (!g_out(g, 0) && !g_out(g, 1) && !g_out(g, 2)) return;
  if (grad_enabled() || !g_arg(g, KEEP)->i) {
    back_composed(g);
    return;
  }
  int64_t wanted = 0;
  for (int k = 0; k < RECURRENT_TENSORS; k++) wanted |= (int64_t)g_needs(g, k) << k;
  bool plain = g_arg(g, MODE)->i >= RECURRENT_TANH, lstm = g_arg(g, MODE)->i == RECURRENT_LSTM;
  Arg arg[] = {arg_of(g_out(g, 0)),
               arg_of(g_out(g, 1)),
               arg_of(lstm ? g_out(g, 2) : NULL),
               arg_of(reserve_of(g, (DType)g_meta(g, AT_X)->dtype)),
               arg_of(plain ? g_result(g, 0) : NULL),
               arg_of(g_in(g, AT_X)),
               arg_of(g_in(g, AT_W_IH)),
               arg_of(g_in(g, AT_W_HH)),
               arg_of(g_arg(g, AT_W_HR)->given ? g_in(g, AT_W_HR) : NULL),
               *g_arg(g, SIZES),
               *g_arg(g, MODE),
               *g_arg(g, REVERSE),
               ARG_I(wanted)};
  OpCall c = {.def = &def_recurrent_back, .arg = arg};
  if (failed() || !op_call(&c)) return;
  for (int k = 0, i = 0; k < RECURRENT_TENSORS; k++)
    if (wanted >> k & 1) g_set(g, k, pool_add(c.list[i++]));
  mem_free(c.list);
}

#define ALL "input hx cx w_ih w_hh b_ih b_hh w_hr result result4"
OP(recurrent,
   .schema = "recurrent(Tensor input, Tensor hx, Tensor? cx, Tensor w_ih, Tensor w_hh, Tensor? b_ih, Tensor? b_hh, "
             "Tensor? w_hr, ints? sizes, int mode, bool reverse, bool keep) -> (Tensor output, Tensor h, Tensor c, "
             "Tensor reserve)",
   .doc = "The kernel of lstm, gru, rnn_tanh and rnn_relu (mode 0 to 3); with keep the reserve holds what the fused "
          "gradient needs.",
   .samples =
       "f(3,2,2) f(2,2) f(2,2) f(8,2) f(8,2) f(8) f(8) nil nil 0 false false | f(3,2,1) f(2,1) f(2,2) f(8,1) "
       "f(8,1) nil nil f(1,2) nil 0 true false | f(4,2) f(2,2) nil f(6,2) f(6,2) f(6) f(6) nil {2,1,1} 1 false false "
       "| f(2,1,2) f(1,2) nil f(2,2) f(2,2) f(2) f(2) nil nil 2 true false | f(3,1) f(2,1) nil f(1,1) f(1,1) f(1) f(1) "
       "nil {2,1} 3 false false",
   .errors = "f(3,2,2) f(2,2) nil f(8,2) f(8,2) nil nil nil nil 0 false false | f(3,2,2) f(2,2) nil f(6,2) f(6,2) nil "
             "nil nil nil 4 false false | f(4,2) f(2,2) nil f(6,2) f(6,2) nil nil nil {2,1} 1 false false | f(4,2) "
             "f(1,2) nil f(6,2) f(6,2) nil nil nil {1,2,1} 1 false false",
   .saves = "input: " ALL "; hx: " ALL "; cx: " ALL "; w_ih: " ALL "; w_hh: " ALL "; b_ih: " ALL "; b_hh: " ALL
            "; w_hr: " ALL,
   .flags = OP_HIDDEN, .infer = infer_recurrent, .kernel = EVERYWHERE(run_recurrent), .backward = back_recurrent);

/* Arguments: gradients of output, h and c, reserve, output, input, w_ih, w_hh, w_hr, sizes, mode, reverse, wanted. */
static bool check_back(const OpCall *c, const Recurrent *r, int64_t width) {
  const Tensor *gy = in(c, 0), *x = in(c, 5);
  int64_t elements;
  if (!size_mul(width, r->rows, &elements)) return false;
  bool good =
      in(c, 3)->ndim == 1 && in(c, 3)->numel == elements && (!c->arg[0].given || gy->numel == r->rows * r->out) &&
      (!c->arg[1].given || is_matrix(in(c, 1), r->batch, r->out)) &&
      (r->mode == RECURRENT_LSTM ? !c->arg[2].given || is_matrix(in(c, 2), r->batch, r->hidden) : !c->arg[2].given) &&
      (r->mode < RECURRENT_TANH || (c->arg[4].given && in(c, 4)->numel == r->rows * r->out));
  for (int k = 0; k < 9; k++) good = good && (!c->arg[k].given || in(c, k)->dtype == x->dtype);
  return good;
}
static bool run_back(OpCall *c) {
  const Arg *arg = c->arg;
  if (!is_mode(&arg[10])) return false;
  Recurrent r = {.mode = (RecurrentMode)arg[10].i, .reverse = arg[11].i, .sizes = arg[9].given ? arg[9].ints : NULL};
  r.t[AT_X] = in(c, 5);
  r.t[AT_W_IH] = in(c, 6);
  r.t[AT_W_HH] = in(c, 7);
  r.t[AT_W_HR] = arg[8].given ? in(c, 8) : NULL;
  Tensor *x = in(c, 5), *gy[3], *grad[RECURRENT_TENSORS] = {NULL};
  int64_t wanted = arg[12].i, width = 0;
  DType d = (DType)x->dtype;
  bool none = (wanted >> AT_C & 1 && r.mode != RECURRENT_LSTM) || (wanted >> AT_W_HR & 1 && !r.t[AT_W_HR]);
  if (none || wanted >> RECURRENT_TENSORS || !measure(&r, arg[9].n) || (d != MT_F32 && d != MT_F64) ||
      !recurrent_width(&r, &width) || !check_back(c, &r, width))
    return failed() ? false : fail(MT_EARG, "gradients, reserve and weights do not fit input %s", tensor_text(x));
  int64_t sums = recurrent_gates(r.mode) * r.hidden;
  int64_t state[] = {r.batch, r.out}, cell[] = {r.batch, r.hidden}, hr[] = {r.out, r.hidden};
  const int64_t *shape[] = {x->shape, state, cell, in(c, 6)->shape, in(c, 7)->shape, &sums, &sums, hr};
  bool good = true;
  int n = 0;
  for (int k = 0; k < 3; k++) gy[k] = arg[k].given ? in(c, k) : NULL;
  for (int k = 0; k < RECURRENT_TENSORS; k++) {
    if (!(wanted >> k & 1)) continue;
    int ndim = k == AT_X ? x->ndim : k == AT_B_IH || k == AT_B_HH ? 1 : 2;
    good = good && (grad[k] = pool_add(tensor_new(d, ndim, shape[k], c->device)));
    n++;
  }
  good = good && any_recurrent_back(&r, gy, in(c, 3), arg[4].given ? in(c, 4) : NULL, grad) && compose_list(c, n);
  for (int k = 0; k < RECURRENT_TENSORS && good; k++) good = !grad[k] || compose_append(c, grad[k]);
  return good;
}
OP(recurrent_back,
   .schema = "recurrent_back(Tensor? g_output, Tensor? g_h, Tensor? g_c, Tensor reserve, Tensor? output, Tensor input, "
             "Tensor w_ih, Tensor w_hh, Tensor? w_hr, ints? sizes, int mode, bool reverse, int wanted) -> Tensor[]",
   .doc = "Gradients of recurrent's tensors, of those whose bits are set in wanted.",
   .samples = "f(3,2,2) f(2,2) f(2,2) u(72) nil f(3,2,2) f(8,2) f(8,2) nil nil 0 false 127 | f(3,2,1) nil nil u(66) "
              "nil f(3,2,1) f(8,1) f(8,1) f(1,2) nil 0 true 255 | f(4,2) f(2,2) nil u(40) nil f(4,2) f(6,2) f(6,2) "
              "nil {2,1,1} 1 false 123 | nil f(1,2) nil u(4) u(2,1,2) f(2,1,2) f(2,2) f(2,2) nil nil 2 true 121 | "
              "f(3,1) nil nil u(3) f(3,1) f(3,1) f(1,1) f(1,1) nil {2,1} 3 false 25",
   .errors = "f(3,2,2) nil nil u(71) nil f(3,2,2) f(8,2) f(8,2) nil nil 0 false 127 | f(3,2,2) nil nil u(12) nil "
             "f(3,2,2) f(2,2) f(2,2) nil nil 2 false 1 | f(3,1) nil nil u(3) f(3,1) f(3,1) f(1,1) f(1,1) nil {2,1} 3 "
             "false 29",
   .flags = OP_HIDDEN | OP_NO_GRADIENT, .compose = run_back);

/* ---- the layers ---- */

/* Recorded, and anything to record for. */
static bool keeps(const Recurrent *r) {
  if (!grad_enabled()) return false;
  for (int k = 0; k < RECURRENT_TENSORS; k++)
    if (r->t[k] && tensor_wants_grad(r->t[k])) return true;
  return false;
}

/* The kernel, for all that fits; narrow floats are computed as float32. */
static bool run_fused(const Recurrent *r, const Arg *sizes, Tensor **out) {
  DType d = (DType)r->t[AT_X]->dtype, lane = d == MT_F64 ? MT_F64 : MT_F32;
  Arg arg[KEEP + 1];
  for (int k = 0; k < RECURRENT_TENSORS; k++) arg[k] = arg_of(r->t[k] ? op_cast(r->t[k], lane) : NULL);
  arg[SIZES] = *sizes;
  arg[MODE] = (Arg)ARG_I(r->mode);
  arg[REVERSE] = (Arg)ARG_I(r->reverse);
  arg[KEEP] = (Arg)ARG_I(keeps(r));
  if (!op_run_many(&def_recurrent, arg, out)) return false;
  for (int k = 0; k < 3; k++) out[k] = op_cast(out[k], d);
  return true;
}

bool recurrent_step(RecurrentMode mode, Tensor *const *t, Tensor *out[2]) {
  Recurrent r = {.mode = mode};
  Tensor *all[MAX_OUTS];
  memcpy(r.t, t, sizeof r.t);
  r.t[AT_X] = op_unsqueeze(t[AT_X], 0);
  if (!r.t[AT_X]) return false;
  if (!autocast_active((DeviceKind)tensor_device(t[AT_X]).kind) && fits(&r, 0)) {
    if (!run_fused(&r, &(Arg)ARG_NIL, all)) return false;
    out[0] = all[1], out[1] = all[2];
    return true;
  }
  out[0] = t[AT_H], out[1] = t[AT_C];
  composed_step(&r, linear(t[AT_X], t[AT_W_IH], t[AT_B_IH]), &out[0], &out[1]);
  return !failed();
}

static bool layer(OpCall *c, Recurrent *r, const Arg *sizes, const Arg *reverse) {
  Tensor *out[MAX_OUTS] = {NULL}, *x = r->t[AT_X];
  r->sizes = sizes->given ? sizes->ints : NULL;
  r->reverse = reverse->i;
  r->steps = sizes->given ? sizes->n : x->ndim > 0 ? x->shape[0] : 0;
  if (r->steps < 1 || x->ndim < 2)
    return fail(MT_EARG, "Expected sequence length to be larger than 0 in RNN: the input is %s",
                shape_text(x->ndim, x->shape));
  if (r->sizes && !add_up(r->sizes, sizes->n, x->shape[0]))
    return fail(MT_EARG, "batch_sizes must be positive and fall, and their sum be the rows of data, which is %s",
                shape_text(x->ndim, x->shape));
  bool fused = !autocast_active((DeviceKind)c->device.kind) && fits(r, sizes->n);
  if (!(fused ? run_fused(r, sizes, out) : composed(r, out))) return false;
  for (int k = 0; k < c->outs; k++)
    if (!compose_return(c, k, out[k])) return false;
  return true;
}

static bool compose_lstm(OpCall *c) {
  Recurrent r = {.mode = RECURRENT_LSTM};
  for (int k = 0; k < RECURRENT_TENSORS; k++) r.t[k] = c->arg[k].given ? in(c, k) : NULL;
  return layer(c, &r, &c->arg[RECURRENT_TENSORS], &c->arg[RECURRENT_TENSORS + 1]);
}
static bool compose_other(OpCall *c, RecurrentMode mode) {
  static const int places[] = {AT_X, AT_H, AT_W_IH, AT_W_HH, AT_B_IH, AT_B_HH};
  Recurrent r = {.mode = mode};
  for (int k = 0; k < 6; k++) r.t[places[k]] = c->arg[k].given ? in(c, k) : NULL;
  return layer(c, &r, &c->arg[6], &c->arg[7]);
}
static bool compose_gru(OpCall *c) { return compose_other(c, RECURRENT_GRU); }
static bool compose_rnn_tanh(OpCall *c) { return compose_other(c, RECURRENT_TANH); }
static bool compose_rnn_relu(OpCall *c) { return compose_other(c, RECURRENT_RELU); }

#define WEIGHTS "Tensor w_ih, Tensor w_hh, Tensor? b_ih=None, Tensor? b_hh=None, "
#define OTHER "(Tensor input, Tensor hx, " WEIGHTS "ints? sizes=None, bool reverse=False) -> (Tensor output, Tensor h)"
#define DOC                                                                                                           \
  " in one direction over input (T, N, in), or over the packed rows of steps that have sizes[t] of them; states (N, " \
  "hidden)."
OP(lstm,
   .schema = "lstm(Tensor input, Tensor hx, Tensor cx, " WEIGHTS "Tensor? w_hr=None, ints? sizes=None, bool "
             "reverse=False) -> (Tensor output, Tensor h, Tensor c)",
   .doc = "A layer of long short-term memory" DOC " With w_hr (proj, hidden) h is a projection.",
   .samples =
       "f(3,2,2) f(2,2) f(2,2) f(8,2) f(8,2) f(8) f(8) | f(3,1) f(2,1) f(2,2) f(8,1) f(8,1) nil nil f(1,2) {2,1} "
       "true",
   .errors =
       "f(3,2,2) f(2,2) f(2,2) f(8,3) f(8,2) | f(3,2,2) f(2,2) f(2,3) f(8,2) f(8,2) | f(3,2,2) f(2,2) f(2,2) "
       "f(7,2) f(7,2) | f(3,2,2) f(2,2) f(2,2) f(8) f(8,2) | f(3,2,2) f(2,2) g(2,2) g(8,2) f(8,2) | f(0,2,2) "
       "f(2,2) f(2,2) f(8,2) f(8,2) | f(3,2) f(2,2) f(2,2) f(8,2) f(8,2) sizes={1,2} | f(3,2) f(2,2) f(2,2) f(8,2) "
       "f(8,2) sizes={2,2} | f(3,2) f(2,2) f(2,2) f(8,2) f(8,2) sizes={}",
   .flags = OP_HIDDEN, .compose = compose_lstm);
OP(gru, .schema = "gru" OTHER, .doc = "A layer of gated recurrent units" DOC,
   .samples = "f(3,2,2) f(2,2) f(6,2) f(6,2) f(6) f(6) | f(4,2) f(2,2) f(6,2) f(6,2) nil nil {2,1,1} true",
   .errors = "f(3,2,2) f(2,2) f(6,3) f(6,2) | f(3,2,2) f(2,3) f(6,2) f(6,2) | f(3,2,2) f(2,2) f(5,2) f(5,2)",
   .flags = OP_HIDDEN, .compose = compose_gru);
#define PLAIN_GOOD "f(3,2,2) f(2,2) f(2,2) f(2,2) f(2) f(2) | f(4,2) f(2,2) f(2,2) f(2,2) nil nil {2,1,1} true"
#define PLAIN_BAD "f(3,2,2) f(2,2) f(2,3) f(2,2) | f(3,2,2) f(2,3) f(2,2) f(2,2)"
OP(rnn_tanh, .schema = "rnn_tanh" OTHER, .doc = "A layer of h' = tanh(w_ih x + b_ih + w_hh h + b_hh)" DOC,
   .samples = PLAIN_GOOD, .errors = PLAIN_BAD, .flags = OP_HIDDEN, .compose = compose_rnn_tanh);
OP(rnn_relu, .schema = "rnn_relu" OTHER, .doc = "A layer of h' = relu(w_ih x + b_ih + w_hh h + b_hh)" DOC,
   .samples = PLAIN_GOOD, .errors = PLAIN_BAD, .flags = OP_HIDDEN, .compose = compose_rnn_relu);
