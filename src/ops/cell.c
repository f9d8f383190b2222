/* One step of recurrent networks, and bilinear forms: compositions of matrix products and pointwise operators. */
#include "ops/ops.h"
#include "ops/recurrent.h"
#include <string.h>

extern OpDef def_linear, def_sigmoid, def_tanh, def_relu;

/* ---- cells ---- */

/* Hidden state number k against input and weights of `gates` times its size. */
static bool check_hidden(const Tensor *x, const Tensor *hidden, const Tensor *weight, int k) {
  if (hidden->ndim != 2)
    return fail(MT_EARG, "Expected 2D hidden%d (batch x hidden size), but got %dD: it is %s", k, hidden->ndim,
                shape_text(hidden->ndim, hidden->shape));
  if (x->shape[0] != hidden->shape[0])
    return fail(MT_EARG, "Input batch size %lld doesn't match hidden%d batch size %lld: they are %s and %s",
                (long long)x->shape[0], k, (long long)hidden->shape[0], shape_text(2, x->shape),
                shape_text(2, hidden->shape));
  return hidden->shape[1] == weight->shape[1] ||
         fail(MT_EARG, "hidden%d has inconsistent hidden_size: got %lld, expected %lld: it is %s, weight_hh %s", k,
              (long long)hidden->shape[1], (long long)weight->shape[1], shape_text(2, hidden->shape),
              shape_text(2, weight->shape));
}
static bool check_cell(const Tensor *x, const Tensor *hidden, const Tensor *w_ih, const Tensor *w_hh, int gates) {
  if (x->ndim != 2)
    return fail(MT_EARG,
                "Expected 2D input (batch x feature), but got %dD input: it is %s; one sample is x:unsqueeze(1)",
                x->ndim, shape_text(x->ndim, x->shape));
  if (w_ih->ndim != 2 || w_hh->ndim != 2)
    return fail(MT_EARG, "weights must be 2-D, but they are %s and %s", shape_text(w_ih->ndim, w_ih->shape),
                shape_text(w_hh->ndim, w_hh->shape));
  if (x->shape[1] != w_ih->shape[1])
    return fail(MT_EARG, "input has inconsistent input_size: got %lld expected %lld: it is %s, weight_ih %s",
                (long long)x->shape[1], (long long)w_ih->shape[1], shape_text(2, x->shape), shape_text(2, w_ih->shape));
  if (!check_hidden(x, hidden, w_hh, 0)) return false;
  for (int k = 0; k < 2; k++) {
    const Tensor *w = k ? w_hh : w_ih;
    if (w->shape[0] != gates * w_hh->shape[1])
      return fail(MT_EARG, "%s first dim must be %d * hidden_size = %lld, but got %lld", k ? "weight_hh" : "weight_ih",
                  gates, (long long)(gates * w_hh->shape[1]), (long long)w->shape[0]);
  }
  return true;
}

/* A step of input, hx, weights and biases, which stand from argument 2 on. */
static bool cell(OpCall *c, RecurrentMode mode, Tensor *h, Tensor *cell) {
  Tensor *t[RECURRENT_TENSORS] = {[AT_X] = in(c, 0), [AT_H] = h, [AT_C] = cell}, *out[2];
  for (int k = 0; k < 4; k++) t[AT_W_IH + k] = c->arg[2 + k].given ? in(c, 2 + k) : NULL;
  return recurrent_step(mode, t, out) && compose_return(c, 0, out[0]) && (!cell || compose_return(c, 1, out[1]));
}

static bool compose_lstm_cell(OpCall *c) {
  Tensor *x = in(c, 0), *const *hx = c->arg[1].tensors;
  if (c->arg[1].n != 2) return fail(MT_EARG, "lstm_cell expects two hidden states: {h, c}, but got %d", c->arg[1].n);
  return check_cell(x, hx[0], in(c, 2), in(c, 3), 4) && check_hidden(x, hx[1], in(c, 3), 1) &&
         cell(c, RECURRENT_LSTM, hx[0], hx[1]);
}
#define WEIGHTS "Tensor w_ih, Tensor w_hh, Tensor? b_ih=None, Tensor? b_hh=None) -> "
OP(lstm_cell, .schema = "lstm_cell(Tensor input, Tensor[] hx, " WEIGHTS "(Tensor h, Tensor c)",
   .doc = "A step of long short-term memory: input (N, in), hx {h, c} of (N, hidden), weights (4 hidden, in) and (4 "
          "hidden, hidden), gates in the order input, forget, cell, output.",
   .samples = "f(2,3) [f(2,2),f(2,2)] f(8,3) f(8,2) f(8) f(8) | f(2,3) [f(2,2),f(2,2)] f(8,3) f(8,2)",
   .errors =
       "f(3) [f(2,2),f(2,2)] f(8,3) f(8,2) | f(2,3) [f(2,2)] f(8,3) f(8,2) | f(2,3) [f(3,2),f(3,2)] f(8,3) f(8,2) "
       "| f(2,3) [f(2,2),f(2,3)] f(8,3) f(8,2) | f(2,4) [f(2,2),f(2,2)] f(8,3) f(8,2) | f(2,3) [f(2,2),f(2,2)] "
       "f(7,3) f(8,2) | f(2,3) [f(2,2),f(2,2)] f(8,3) f(8,2) f(7)",
   .flags = OP_FUNCTION, .compose = compose_lstm_cell);

static bool compose_gru_cell(OpCall *c) {
  return check_cell(in(c, 0), in(c, 1), in(c, 2), in(c, 3), 3) && cell(c, RECURRENT_GRU, in(c, 1), NULL);
}
OP(gru_cell, .schema = "gru_cell(Tensor input, Tensor hx, " WEIGHTS "Tensor",
   .doc = "A step of a gated recurrent unit: input (N, in), hx (N, hidden), weights (3 hidden, in) and (3 hidden, "
          "hidden), "
          "gates in the order reset, update, new.",
   .samples = "f(2,3) f(2,2) f(6,3) f(6,2) f(6) f(6) | f(2,3) f(2,2) f(6,3) f(6,2)",
   .errors = "f(3) f(2,2) f(6,3) f(6,2) | f(2,3) f(2,3) f(6,3) f(6,2) | f(2,3) f(2,2) f(7,3) f(6,2) | f(2,3) f(3,2) "
             "f(6,3) f(6,2)",
   .flags = OP_FUNCTION, .compose = compose_gru_cell);

static bool rnn_cell(OpCall *c, RecurrentMode mode) {
  return check_cell(in(c, 0), in(c, 1), in(c, 2), in(c, 3), 1) && cell(c, mode, in(c, 1), NULL);
}
static bool compose_rnn_tanh(OpCall *c) { return rnn_cell(c, RECURRENT_TANH); }
static bool compose_rnn_relu(OpCall *c) { return rnn_cell(c, RECURRENT_RELU); }
#define RNN_DOC "(input w_ih^T + b_ih + hx w_hh^T + b_hh): input (N, in), hx (N, hidden)."
#define RNN_GOOD "f(2,3) f(2,2) f(2,3) f(2,2) f(2) f(2) | f(2,3) f(2,2) f(2,3) f(2,2)"
#define RNN_BAD "f(3) f(2,2) f(2,3) f(2,2) | f(2,3) f(2,3) f(2,3) f(2,2) | f(2,3) f(2,2) f(3,3) f(2,2)"
OP(rnn_tanh_cell, .schema = "rnn_tanh_cell(Tensor input, Tensor hx, " WEIGHTS "Tensor", .doc = "tanh" RNN_DOC,
   .samples = RNN_GOOD, .errors = RNN_BAD, .flags = OP_FUNCTION, .compose = compose_rnn_tanh);
OP(rnn_relu_cell, .schema = "rnn_relu_cell(Tensor input, Tensor hx, " WEIGHTS "Tensor", .doc = "relu" RNN_DOC,
   .samples = RNN_GOOD, .errors = RNN_BAD, .flags = OP_FUNCTION, .compose = compose_rnn_relu);

/* ---- bilinear ---- */

static bool check_bilinear(const Tensor *a, const Tensor *b, const Tensor *w, const Tensor *bias) {
  if (a->dtype != b->dtype || a->dtype != w->dtype || (bias && bias->dtype != a->dtype))
    return fail(MT_EARG, "All tensors must have the same dtype, got input1: %s, input2: %s, weight: %s%s%s",
                dtype_info[a->dtype].alias, dtype_info[b->dtype].alias, dtype_info[w->dtype].alias,
                bias ? ", bias: " : "", bias ? dtype_info[bias->dtype].alias : "");
  if (a->dtype == MT_BOOL) return fail(MT_ENOTIMPL, "\"bilinear\" not implemented for 'Bool': use :float()");
  if (a->ndim != b->ndim)
    return fail(MT_EARG, "bilinear(): input dimensions do not match: got %d and %d", a->ndim, b->ndim);
  for (int d = 0; d + 1 < a->ndim; d++)
    if (a->shape[d] != b->shape[d])
      return fail(MT_EARG, "bilinear(): input batch dimensions do not match at dim %d: got %lld and %lld", d + 1,
                  (long long)a->shape[d], (long long)b->shape[d]);
  for (int k = 0; k < 2; k++) {
    const Tensor *t = k ? b : a;
    if (t->ndim > 0 && w->ndim > 1 + k && t->shape[t->ndim - 1] != w->shape[1 + k])
      return fail(MT_EARG,
                  "bilinear(): input%d size does not match weight size: got %lld but expected %lld: it is %s, "
                  "weight %s",
                  k + 1, (long long)t->shape[t->ndim - 1], (long long)w->shape[1 + k], shape_text(t->ndim, t->shape),
                  shape_text(w->ndim, w->shape));
  }
  if (a->ndim == 0 || w->ndim != 3)
    return fail(MT_EARG,
                "bilinear(): inputs have at least one dim and weight is (out, in1, in2), but they are %s, %s "
                "and %s",
                shape_text(a->ndim, a->shape), shape_text(b->ndim, b->shape), shape_text(w->ndim, w->shape));
  return !bias || (bias->ndim == 1 && bias->shape[0] == w->shape[0]) ||
         fail(MT_EARG, "bilinear(): bias size does not match weight size: got %lld but expected %lld",
              (long long)bias->numel, (long long)w->shape[0]);
}

static bool compose_bilinear(OpCall *c) {
  Tensor *a = in(c, 0), *b = in(c, 1), *w = in(c, 2), *bias = in(c, 3);
  if (!check_bilinear(a, b, w, bias)) return false;
  DType d = (DType)a->dtype, lane = dtype_size(d) == 2 && tensor_is_float(a) ? MT_F32 : d;
  int64_t rows = 1, shape[MT_MAX_DIMS], out = w->shape[0], left = w->shape[1], right = w->shape[2];
  for (int k = 0; k + 1 < a->ndim; k++) rows *= shape[k] = a->shape[k];
  shape[a->ndim - 1] = out;
  /* input1 (N, in1) times weight as (in1, out in2), then with input2 */
  Tensor *flat = op_reshape(op_transpose(op_cast(w, lane), 0, 1), 2, (int64_t[]){left, out * right});
  Tensor *t = op_matmul(op_reshape(op_cast(a, lane), 2, (int64_t[]){rows, left}), flat);
  t = op_reshape(t, 3, (int64_t[]){rows, out, right});
  t = op_matmul(t, op_reshape(op_cast(b, lane), 3, (int64_t[]){rows, right, 1}));
  t = op_reshape(t, a->ndim, shape);
  if (bias) t = op_add(t, op_cast(bias, lane));
  return compose_return(c, 0, op_cast(t, d));
}
OP(bilinear, .schema = "bilinear(Tensor input1, Tensor input2, Tensor weight, Tensor? bias=None) -> Tensor",
   .doc = "input1^T weight[o] input2 + bias[o] for each o: inputs (..., in1) and (..., in2), weight (out, in1, in2).",
   .samples = "f(2,3) f(2,2) f(4,3,2) f(4) | f(2,2,3) f(2,2,2) f(1,3,2) | f(3) f(2) f(2,3,2) | i(2,2) i(2,2) i(1,2,2)",
   .errors =
       "f(2,3) f(3,2) f(4,3,2) | f(2,3) f(2,3) f(4,3,2) | f(2,3) f(2,2) f(4,3,2) f(3) | f(2,3) f(2,2,2) f(4,3,2) | "
       "f(2,3) f(2,2) f(3,2) | f(2,3) g(2,2) f(4,3,2)",
   .flags = OP_FUNCTION, .compose = compose_bilinear);
