/* One step of recurrent networks, bilinear forms, and attention: compositions of matrix products and pointwise operators. */
#include "ops/ops.h"
#include "ops/recurrent.h"
#include <math.h>
#include <string.h>

extern OpDef def_linear, def_sigmoid, def_tanh, def_relu, def_amax, def_softmax, def_dropout, def_tril;

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

/* ---- attention ---- */

static bool check_attention(const OpCall *c) {
  const Tensor *q = in(c, 0), *k = in(c, 1), *v = in(c, 2), *mask = in(c, 3);
  if (q->ndim < 2 || k->ndim < 2 || v->ndim < 2)
    return fail(MT_EARG,
                "Expected query, key, and value to all be  at least 2 dimensional, but got query.dim: %d key.dim: "
                "%d and value.dim: %d instead.",
                q->ndim, k->ndim, v->ndim);
  if (q->dtype != k->dtype || q->dtype != v->dtype)
    return fail(MT_EARG,
                "Expected query, key, and value to have the same dtype, but got query.dtype: %s key.dtype: %s and "
                "value.dtype: %s instead.",
                dtype_info[q->dtype].alias, dtype_info[k->dtype].alias, dtype_info[v->dtype].alias);
  if (!tensor_is_float(q))
    return fail(MT_EARG, "expected scalar type Float but found %s: query is %s; use :float()",
                dtype_info[q->dtype].type_name, tensor_text(q));
  if (q->shape[q->ndim - 1] != k->shape[k->ndim - 1] || k->shape[k->ndim - 2] != v->shape[v->ndim - 2])
    return fail(MT_EARG, "query (..., L, E), key (..., S, E) and value (..., S, Ev) do not fit: they are %s, %s and %s",
                shape_text(q->ndim, q->shape), shape_text(k->ndim, k->shape), shape_text(v->ndim, v->shape));
  if (mask && c->arg[5].i)
    return fail(MT_EARG, "_scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True");
  if (mask && mask->dtype != MT_BOOL && mask->dtype != MT_F32 && mask->dtype != q->dtype)
    return fail(
        MT_EARG,
        "Expected attn_mask dtype to be bool or float or to match query dtype, but got attn_mask.dtype: %s and  "
        "query.dtype: %s instead.: use :bool(), true where attention is paid",
        dtype_info[mask->dtype].alias, dtype_info[q->dtype].alias);
  double p = scalar_double(c->arg[4].number);
  return (p >= 0 && p <= 1) || fail(MT_EARG, "dropout probability has to be between 0 and 1, but got %g", p);
}

/* Heads of key or value (dim -3), each for as many of the query's as there are to it. */
static Tensor *repeated_heads(Tensor *t, int64_t heads) {
  int at = t->ndim - 3;
  int64_t own = t->shape[at], wide[MT_MAX_DIMS], shape[MT_MAX_DIMS];
  if (own == heads) return t;
  memcpy(shape, t->shape, sizeof(int64_t) * (size_t)t->ndim);
  shape[at] = heads;
  for (int d = 0; d <= t->ndim; d++) wide[d] = d == at + 1 ? heads / own : t->shape[d > at ? d - 1 : d];
  return op_reshape(op_expand(op_unsqueeze(t, at + 1), t->ndim + 1, wide), t->ndim, shape);
}

static bool compose_attention(OpCall *c) {
  Tensor *q = in(c, 0), *k = in(c, 1), *v = in(c, 2), *mask = in(c, 3);
  if (!check_attention(c)) return false;
  DType d = (DType)q->dtype, lane = d == MT_F64 ? MT_F64 : MT_F32;
  if (c->arg[7].i) {
    if (q->ndim < 3 || k->ndim < 3 || v->ndim < 3)
      return fail(MT_EARG, "enable_gqa is for heads in dim -3, but query is %s", shape_text(q->ndim, q->shape));
    int64_t heads = q->shape[q->ndim - 3], of_k = k->shape[k->ndim - 3], of_v = v->shape[v->ndim - 3];
    if (of_k < 1 || of_v < 1 || heads % of_k || heads % of_v)
      return fail(MT_EARG,
                  "Number of heads in key and value must divide the number of heads in query: they are %lld, %lld "
                  "and %lld",
                  (long long)of_k, (long long)of_v, (long long)heads);
    k = repeated_heads(k, heads);
    v = repeated_heads(v, heads);
    if (!k || !v) return false;
  }
  int64_t width = q->shape[q->ndim - 1], length = q->shape[q->ndim - 2], source = v->shape[v->ndim - 2];
  double scale = c->arg[6].given ? scalar_double(c->arg[6].number) : 1 / sqrt((double)width);
  /* one root of the scale to each side, so that products stay small */
  double root = sqrt(fabs(scale));
  Tensor *score = op_matmul(op_scale(op_cast(q, lane), scale < 0 ? -root : root),
                            op_transpose(op_scale(op_cast(k, lane), root), -2, -1));
  Tensor *none = NULL;
  if (c->arg[5].i) {
    Tensor *all = op_full(MT_BOOL, 2, (int64_t[]){length, source}, tensor_device(q), scalar_bool(true));
    mask = op_run(&def_tril, (Arg[]){ARG_T(all), ARG_I(0)});
  }
  if (mask) {
    score = mask->dtype == MT_BOOL ? op_where(mask, score, op_float(-(double)INFINITY))
                                   : op_add(score, op_cast(mask, lane));
    /* where nothing may be attended to, the result is 0 */
    if (source > 0) {
      Tensor *most = op_run(&def_amax, (Arg[]){ARG_T(op_detach(score)), ARG_INTS(&(int64_t){-1}, 1), ARG_I(1)});
      none = op_eq(most, op_float(-(double)INFINITY));
      score = op_where(none, op_float(0), score);
    }
  }
  Tensor *weight = op_run(&def_softmax, (Arg[]){ARG_T(score), ARG_I(-1), ARG_DTYPE(MT_NO_DTYPE)});
  if (none) weight = op_where(none, op_float(0), weight);
  if (scalar_double(c->arg[4].number) > 0) weight = op_run(&def_dropout, (Arg[]){ARG_T(weight), c->arg[4], ARG_I(1)});
  return compose_return(c, 0, op_cast(op_matmul(weight, op_cast(v, lane)), d));
}
OP(scaled_dot_product_attention,
   .schema = "scaled_dot_product_attention(Tensor query, Tensor key, Tensor value, Tensor? attn_mask=None, float "
             "dropout_p=0.0, bool is_causal=False, *, float? scale=None, bool enable_gqa=False) -> Tensor",
   .doc =
       "softmax(query key^T scale + mask) value: query (..., L, E), key (..., S, E), value (..., S, Ev). attn_mask "
       "broadcasts to (..., L, S): bool, true where attention is paid, or numbers to add. scale is 1 / sqrt(E) unless "
       "given; is_causal lets position i see the first i; enable_gqa repeats heads (dim -3) of key and value.",
   .samples = "f(2,3,4) f(2,5,4) f(2,5,2) | f(3,2) f(3,2) f(3,2) is_causal=True | f(2,3,2) f(2,4,2) f(2,4,2) b(3,4) | "
              "f(2,3,2) f(2,4,2) f(2,4,2) f(3,4) scale=0.3 | f(1,4,2,3) f(1,2,3,3) f(1,2,3,2) enable_gqa=True",
   .errors =
       "f(4) f(5,4) f(5,4) | f(2,3,4) f(2,5,3) f(2,5,3) | f(2,3,4) f(2,5,4) f(2,4,4) | f(2,3,4) g(2,5,4) f(2,5,4) | "
       "f(3,2) f(3,2) f(3,2) b(3,3) is_causal=True | f(3,2) f(3,2) f(3,2) i(3,3) | i(3,2) i(3,2) i(3,2) | f(3,2) "
       "f(3,2) f(3,2) dropout_p=1.5 | f(1,4,2,3) f(1,3,3,3) f(1,3,3,2) enable_gqa=True | f(2,3,2) f(3,4,2) f(3,4,2)",
   .flags = OP_HIDDEN, .compose = compose_attention);
