/* Scaled dot product attention: a fused operator that never holds the matrix of scores, and its definition in other
 * operators.
 *
 * The definition serves what the fused kernels do not do: dropout of the weights, a mask that wants a gradient, shapes that
 * broadcast beyond query's and key's, and the second derivative, for which the gradient is spelled out. */
#include "cpu/device_kernels.h"
#include "ops/ops.h"
#include <math.h>
#include <string.h>

extern OpDef def_amax, def_softmax, def_dropout, def_tril, def_attention, def_attention_back;

/* ---- the weights ---- */

/* Heads of key or value (dim -3), each for as many of the query's as there are to it. */
static Tensor *repeated_heads(Tensor *t, int64_t heads) {
  if (!t) return NULL;
  int at = t->ndim - 3;
  int64_t own = t->shape[at], wide[MT_MAX_DIMS], shape[MT_MAX_DIMS];
  if (own == heads) return t;
  if (t->ndim == MT_MAX_DIMS) return fail(MT_EARG, "enable_gqa is for at most %d dims", MT_MAX_DIMS - 1), NULL;
  memcpy(shape, t->shape, sizeof(int64_t) * (size_t)t->ndim);
  shape[at] = heads;
  for (int d = 0; d <= t->ndim; d++) wide[d] = d == at + 1 ? heads / own : t->shape[d > at ? d - 1 : d];
  return op_reshape(op_expand(op_unsqueeze(t, at + 1), t->ndim + 1, wide), t->ndim, shape);
}

/* softmax(query key^T scale + mask), 0 in rows that may attend to nothing. One root of the scale goes to each side, so that
 * products stay small. */
static Tensor *weights(Tensor *q, Tensor *k, Tensor *mask, bool causal, double scale) {
  if (!q || !k) return NULL;
  int64_t length = q->shape[q->ndim - 2], source = k->shape[k->ndim - 2];
  double root = sqrt(fabs(scale));
  Tensor *score = op_matmul(op_scale(q, scale < 0 ? -root : root), op_transpose(op_scale(k, root), -2, -1)),
         *none = NULL;
  if (causal) {
    Tensor *all = op_full(MT_BOOL, 2, (int64_t[]){length, source}, tensor_device(q), scalar_bool(true));
    mask = op_run(&def_tril, (Arg[]){ARG_T(all), ARG_I(0)});
  }
  if (mask && score) {
    score = mask->dtype == MT_BOOL ? op_where(mask, score, op_float(-(double)INFINITY))
                                   : op_add(score, op_cast(mask, (DType)q->dtype));
    if (source > 0) {
      Tensor *most = op_run(&def_amax, (Arg[]){ARG_T(op_detach(score)), ARG_INTS(&(int64_t){-1}, 1), ARG_I(1)});
      none = op_eq(most, op_float(-(double)INFINITY));
      score = op_where(none, op_float(0), score);
    }
  }
  Tensor *weight = op_run(&def_softmax, (Arg[]){ARG_T(score), ARG_I(-1), ARG_DTYPE(MT_NO_DTYPE)});
  return none ? op_where(none, op_float(0), weight) : weight;
}

/* ---- the fused operator ---- */

enum { QUERY, KEY, VALUE, MASK, CAUSAL, SCALE, TURNED };

/* The batch dims of query, key and value together: they broadcast, and heads (the last of them) repeat. */
static bool batch_of(const Tensor *q, const Tensor *k, const Tensor *v, int *ndim, int64_t *shape) {
  const Tensor *all[] = {q, k, v};
  *ndim = 0;
  for (int t = 0; t < 3; t++)
    if (all[t]->ndim - 2 > *ndim) *ndim = all[t]->ndim - 2;
  for (int d = 0; d < *ndim; d++) {
    shape[d] = 1;
    for (int t = 0; t < 3; t++) {
      int at = d - (*ndim - (all[t]->ndim - 2));
      int64_t n = at < 0 ? 1 : all[t]->shape[at];
      if (n == 0 || shape[d] == 0)
        shape[d] = n == 1 || n == shape[d] || shape[d] == 1 ? 0 : -1;
      else if (n > shape[d])
        shape[d] = n % shape[d] == 0 ? n : -1;
      else if (shape[d] % n)
        shape[d] = -1;
      if (shape[d] < 0) return false;
    }
  }
  return true;
}

/* Only the last batch dim of key and value may repeat; the others are equal or 1. */
static bool repeats_heads_only(const Tensor *t, int ndim, const int64_t *batch, bool heads) {
  for (int d = 0; d < t->ndim - 2; d++) {
    int at = ndim - (t->ndim - 2) + d;
    if (t->shape[d] != batch[at] && t->shape[d] != 1 && !(heads && at == ndim - 1)) return false;
  }
  return true;
}

static bool fits(const Tensor *q, const Tensor *k, const Tensor *v, const Tensor *mask, int *ndim, int64_t *shape) {
  if (q->ndim < 2 || k->ndim < 2 || v->ndim < 2 || q->shape[q->ndim - 1] != k->shape[k->ndim - 1] ||
      k->shape[k->ndim - 2] != v->shape[v->ndim - 2] || !batch_of(q, k, v, ndim, shape) || *ndim + 2 > MT_MAX_DIMS ||
      !repeats_heads_only(q, *ndim, shape, false) || !repeats_heads_only(k, *ndim, shape, true) ||
      !repeats_heads_only(v, *ndim, shape, true))
    return false;
  int64_t scores[MT_MAX_DIMS], stride[MT_MAX_DIMS];
  memcpy(scores, shape, sizeof(int64_t) * (size_t)*ndim);
  scores[*ndim] = q->shape[q->ndim - 2], scores[*ndim + 1] = k->shape[k->ndim - 2];
  return !mask || shape_expand(mask, *ndim + 2, scores, stride);
}

static bool check_fused(const OpCall *c, int first, int *ndim, int64_t *shape) {
  const Tensor *q = in(c, first + QUERY), *k = in(c, first + KEY), *v = in(c, first + VALUE),
               *mask = in(c, first + MASK);
  if (!tensor_is_float(q))
    return fail(MT_ENOTIMPL, "\"attention\" not implemented for '%s': query is %s", dtype_info[q->dtype].type_name,
                tensor_text(q));
  if (q->dtype != k->dtype || q->dtype != v->dtype ||
      (mask && mask->dtype != MT_BOOL && mask->dtype != attention_lane(q)))
    return fail(MT_EARG,
                "query, key, value and mask (float32 beside 16-bit floats) need one dtype, but they are %s, %s, %s%s%s",
                dtype_info[q->dtype].name, dtype_info[k->dtype].name, dtype_info[v->dtype].name, mask ? ", " : "",
                mask ? dtype_info[mask->dtype].name : "");
  return fits(q, k, v, mask, ndim, shape) ||
         fail(MT_EARG,
              "query (..., L, E), key (..., S, E) and value (..., S, Ev) do not fit: they are %s, %s and %s%s%s",
              shape_text(q->ndim, q->shape), shape_text(k->ndim, k->shape), shape_text(v->ndim, v->shape),
              mask ? ", mask " : "", mask ? shape_text(mask->ndim, mask->shape) : "");
}

/* (batch, rows, columns); turned: rows in front of the last batch dim. */
static bool out_matrices(OpCall *c, int k, DType d, int ndim, const int64_t *batch, int64_t rows, int64_t columns,
                         bool turned) {
  int64_t shape[MT_MAX_DIMS];
  memcpy(shape, batch, sizeof(int64_t) * (size_t)ndim);
  shape[ndim] = rows, shape[ndim + 1] = columns;
  if (turned && ndim > 0) shape[ndim] = shape[ndim - 1], shape[ndim - 1] = rows;
  return out_shape(c, k, d, ndim + 2, shape);
}
/* The same matrices as (batch, rows, columns), owned. */
static Tensor *straight(const Tensor *t, bool turned) {
  Tensor *v = tensor_alias(t);
  int n = t->ndim;
  if (!v || !turned || n < 3) return v;
  v->shape[n - 3] = t->shape[n - 2], v->shape[n - 2] = t->shape[n - 3];
  v->stride[n - 3] = t->stride[n - 2], v->stride[n - 2] = t->stride[n - 3];
  return v;
}

static Attention attention_of(const OpCall *c, int first) {
  return (Attention){.query = in(c, first + QUERY),
                     .key = in(c, first + KEY),
                     .value = in(c, first + VALUE),
                     .mask = in(c, first + MASK),
                     .causal = c->arg[first + CAUSAL].i,
                     .scale = scalar_double(c->arg[first + SCALE].number),
                     .isa = isa_level()};
}

static bool infer_attention(OpCall *c) {
  const Tensor *q = in(c, QUERY), *v = in(c, VALUE);
  int ndim;
  int64_t batch[MT_MAX_DIMS];
  if (!check_fused(c, 0, &ndim, batch)) return false;
  int64_t length = q->shape[q->ndim - 2];
  if (!out_matrices(c, 0, (DType)q->dtype, ndim, batch, length, v->shape[v->ndim - 1], c->arg[TURNED].i)) return false;
  batch[ndim] = length;
  return out_shape(c, 1, attention_lane(q), ndim + 1, batch);
}
static bool run_attention(OpCall *c) {
  Attention a = attention_of(c, 0);
  Tensor *out = straight(c->out[0], c->arg[TURNED].i);
  bool good = out && any_attention(&a, out, c->out[1]);
  tensor_release(out);
  return good;
}

enum { GRAD, OF_LSE, RESULT, LSE, FIRST };
static bool infer_attention_back(OpCall *c) {
  const Tensor *q = in(c, FIRST + QUERY), *k = in(c, FIRST + KEY), *v = in(c, FIRST + VALUE);
  const Tensor *grad = in(c, GRAD), *of_lse = in(c, OF_LSE), *out = in(c, RESULT), *lse = in(c, LSE);
  bool turned = c->arg[FIRST + TURNED].i;
  int ndim;
  int64_t batch[MT_MAX_DIMS];
  if (!check_fused(c, FIRST, &ndim, batch)) return false;
  int64_t length = q->shape[q->ndim - 2], source = k->shape[k->ndim - 2], width = k->shape[k->ndim - 1],
          value_width = v->shape[v->ndim - 1];
  DType d = (DType)q->dtype;
  if (!out_matrices(c, 0, d, ndim, batch, length, value_width, turned)) return false;
  bool good = grad->ndim == ndim + 2 && memcmp(grad->shape, c->meta[0].shape, sizeof(int64_t) * grad->ndim) == 0;
  batch[ndim] = length;
  good = good && lse->ndim == ndim + 1 && memcmp(lse->shape, batch, sizeof(int64_t) * lse->ndim) == 0;
  if (!good || !tensor_same_shape(out, grad) || (of_lse && !tensor_same_shape(lse, of_lse)) || grad->dtype != d ||
      out->dtype != d || lse->dtype != attention_lane(q) || (of_lse && of_lse->dtype != lse->dtype))
    return fail(MT_EARG, "grad %s and results %s and %s do not fit query %s and value %s", tensor_text(grad),
                tensor_text(out), tensor_text(lse), shape_text(q->ndim, q->shape), shape_text(v->ndim, v->shape));
  return out_matrices(c, 0, d, ndim, batch, length, width, turned) &&
         out_matrices(c, 1, d, ndim, batch, source, width, turned) &&
         out_matrices(c, 2, d, ndim, batch, source, value_width, turned);
}
static bool run_attention_back(OpCall *c) {
  Attention a = attention_of(c, FIRST);
  bool turned = c->arg[FIRST + TURNED].i;
  Tensor *t[5] = {in(c, GRAD), in(c, RESULT), c->out[0], c->out[1], c->out[2]};
  bool good = true;
  for (int i = 0; i < 5; i++) good = (t[i] = straight(t[i], turned)) && good;
  good = good && any_attention_back(&a, t[1], in(c, LSE), t[0], in(c, OF_LSE), t[2], t[3], t[4]);
  for (int i = 0; i < 5; i++) tensor_release(t[i]);
  return good;
}
OP(attention_back,
   .schema =
       "attention_back(Tensor grad, Tensor? grad_lse, Tensor result, Tensor lse, Tensor query, Tensor key, Tensor "
       "value, Tensor? mask, bool is_causal, float scale, bool turned) -> (Tensor query, Tensor key, Tensor value)",
   .doc = "Gradients of attention; those of key and value for each head of the query.",
   .samples = "f(2,3,4) nil f(2,3,4) p(2,3) f(2,3,2) f(2,5,2) f(2,5,4) nil false 0.5 false | f(3,2,4) f(2,3) f(3,2,4) "
              "p(2,3) f(2,3,2) f(1,5,2) f(1,5,4) f(3,5) true 0.5 true",
   .errors =
       "f(2,3,3) nil f(2,3,3) p(2,3) f(2,3,2) f(2,5,2) f(2,5,4) nil false 0.5 false | f(2,3,4) nil f(2,3,4) p(2,2) "
       "f(2,3,2) f(2,5,2) f(2,5,4) nil false 0.5 false",
   .flags = OP_HIDDEN | OP_NO_GRADIENT, .infer = infer_attention_back, .kernel = EVERYWHERE(run_attention_back));

/* A gradient in the layout of the results to that of argument k: turned back, repeated heads summed. */
static void set_matrices(Grad *g, int k, Tensor *t, bool turned) {
  if (!t || !g_needs(g, k)) return;
  const EdgeMeta *m = g_meta(g, k);
  int n = t->ndim;
  if (turned && n >= 3) t = op_transpose(t, -3, -2);
  int64_t own = m->ndim >= 3 ? m->shape[m->ndim - 3] : 1, heads = n >= 3 && t ? t->shape[n - 3] : 1;
  if (own > 1 && heads > own) {
    int64_t shape[MT_MAX_DIMS + 1];
    memcpy(shape, t->shape, sizeof(int64_t) * (size_t)(n - 3));
    shape[n - 3] = own, shape[n - 2] = heads / own, shape[n - 1] = t->shape[n - 2], shape[n] = t->shape[n - 1];
    t = op_sum_dim(op_reshape(t, n + 1, shape), -3, false);
  }
  g_set(g, k, t);
}

/* With weights w, delta the sum of grad times result of each row, and s = w (grad value^T - delta + grad_lse):
 * query: s key scale, key: s^T query scale, value: w^T grad, mask: s. 16-bit floats are computed as float32. */
static void back_spelled_out(Grad *g, bool turned) {
  Tensor *q = g_in(g, QUERY), *k = g_in(g, KEY), *v = g_in(g, VALUE),
         *mask = g_arg(g, MASK)->given ? g_in(g, MASK) : NULL;
  Tensor *gy = g_out(g, 0), *of_lse = g_out(g, 1), *inner = NULL;
  if (!q || !k || !v) return;
  DType d = (DType)q->dtype, lane = attention_lane(q);
  q = op_cast(q, lane), k = op_cast(k, lane), v = op_cast(v, lane);
  if (gy) gy = op_cast(gy, lane);
  if (failed()) return;
  double scale = q->shape[q->ndim - 1] > 0 ? scalar_double(g_arg(g, SCALE)->number) : 0;
  int ndim;
  int64_t batch[MT_MAX_DIMS];
  if (!batch_of(q, k, v, &ndim, batch)) return;
  if (ndim > 0 && k->ndim > 2 && k->shape[k->ndim - 3] > 1) k = repeated_heads(k, batch[ndim - 1]);
  if (ndim > 0 && v->ndim > 2 && v->shape[v->ndim - 3] > 1) v = repeated_heads(v, batch[ndim - 1]);
  Tensor *w = weights(q, k, mask, g_arg(g, CAUSAL)->i, scale);
  if (gy) {
    if (turned && gy->ndim >= 3) gy = op_transpose(gy, -3, -2);
    if (g_needs(g, VALUE)) set_matrices(g, VALUE, op_cast(op_matmul(op_transpose(w, -2, -1), gy), d), false);
    Tensor *gw = op_matmul(gy, op_transpose(v, -2, -1));
    inner = op_sub(gw, op_sum_dim(op_mul(gw, w), -1, true));
  }
  if (of_lse) {
    Tensor *more = op_unsqueeze(of_lse, -1);
    inner = inner ? op_add(inner, more) : more;
  }
  if (!inner) return;
  Tensor *s = op_mul(w, inner);
  if (g_needs(g, MASK)) g_set(g, MASK, s);
  s = op_scale(s, scale);
  if (g_needs(g, QUERY)) set_matrices(g, QUERY, op_cast(op_matmul(s, k), d), false);
  if (g_needs(g, KEY)) set_matrices(g, KEY, op_cast(op_matmul(op_transpose(s, -2, -1), q), d), false);
}

static void back_attention(Grad *g) {
  bool turned = g_arg(g, TURNED)->i;
  if (grad_enabled() || !g_out(g, 0) || g_needs(g, MASK)) {
    back_spelled_out(g, turned);
    return;
  }
  Tensor *out[3], *mask = g_arg(g, MASK)->given ? g_in(g, MASK) : NULL;
  Arg arg[] = {ARG_T(g_out(g, 0)),    ARG_T(g_out(g, 1)),  ARG_T(g_result(g, 0)), ARG_T(g_result(g, 1)),
               ARG_T(g_in(g, QUERY)), ARG_T(g_in(g, KEY)), ARG_T(g_in(g, VALUE)), ARG_T(mask),
               *g_arg(g, CAUSAL),     *g_arg(g, SCALE),    *g_arg(g, TURNED)};
  if (!op_run_many(&def_attention_back, arg, out)) return;
  for (int k = QUERY; k <= VALUE; k++) set_matrices(g, k, out[k], turned);
}
OP(attention,
   .schema =
       "attention(Tensor query, Tensor key, Tensor value, Tensor? mask, bool is_causal, float scale, bool turned) -> "
       "(Tensor values, Tensor lse)",
   .doc = "scaled_dot_product_attention without dropout, and the logarithm of the sum of exponentials of each row of "
          "scores, 0 where all are masked, float32 for 16-bit floats. turned: values are (..., L, heads, Ev).",
   .samples =
       "f(2,3,4) f(2,5,4) f(2,5,2) nil false 0.5 false | f(2,3,4) f(2,5,4) f(2,5,2) f(3,5) false 0.3 true | f(3,2) "
       "f(3,2) f(3,2) nil true 0.7 false | f(1,4,2,3) f(1,2,3,3) f(1,2,3,2) nil false 0.5 true | f(2,3,2) f(4,2) "
       "f(1,4,3) b(2,1,4) false 0.5 false",
   .errors =
       "f(2,3,4) f(2,5,3) f(2,5,3) nil false 0.5 false | f(4,3,2) f(3,4,2) f(3,4,2) nil false 0.5 false | f(3,2) "
       "f(3,2) f(3,2) f(2,3,3) false 0.5 false | i(3,2) i(3,2) i(3,2) nil false 0.5 false | f(3,2) g(3,2) f(3,2) nil "
       "false 0.5 false",
   .saves = "query: query key value mask result result2; key: query key value mask result result2; value: query key "
            "value mask result result2; mask: query key value mask",
   .flags = OP_HIDDEN, .infer = infer_attention, .kernel = EVERYWHERE(run_attention), .backward = back_attention);

/* ---- the operator ---- */

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

static bool check_heads(const Tensor *q, const Tensor *k, const Tensor *v) {
  if (q->ndim < 3 || k->ndim < 3 || v->ndim < 3)
    return fail(MT_EARG, "enable_gqa is for heads in dim -3, but query is %s", shape_text(q->ndim, q->shape));
  int64_t heads = q->shape[q->ndim - 3], of_k = k->shape[k->ndim - 3], of_v = v->shape[v->ndim - 3];
  return (of_k >= 1 && of_v >= 1 && heads % of_k == 0 && heads % of_v == 0) ||
         fail(MT_EARG,
              "Number of heads in key and value must divide the number of heads in query: they are %lld, %lld and %lld",
              (long long)of_k, (long long)of_v, (long long)heads);
}

/* Whether the fused kernel serves the call; heads: those of key and value may repeat. */
static bool is_fused(Tensor *q, Tensor *k, Tensor *v, Tensor *mask, bool heads) {
  int ndim;
  int64_t batch[MT_MAX_DIMS];
  if (mask && grad_enabled() && tensor_wants_grad(mask)) return false;
  return fits(q, k, v, mask, &ndim, batch) && ndim + 2 < MT_MAX_DIMS &&
         (heads || (repeats_heads_only(k, ndim, batch, false) && repeats_heads_only(v, ndim, batch, false)));
}

/* The result lies in memory as query does: heads inside of positions, or outside. */
static bool lies_turned(const Tensor *q) {
  int n = q->ndim;
  return n >= 3 && q->shape[n - 3] > 1 && q->shape[n - 2] > 1 && q->stride[n - 3] < q->stride[n - 2];
}

static Tensor *fused(Tensor *q, Tensor *k, Tensor *v, Tensor *mask, bool causal, double scale) {
  bool turned = lies_turned(q) && q->ndim >= k->ndim && q->ndim >= v->ndim;
  Tensor *out[2];
  Arg arg[] = {ARG_T(q), ARG_T(k), ARG_T(v), ARG_T(mask), ARG_I(causal), ARG_N(scalar_float(scale)), ARG_I(turned)};
  if (!op_run_many(&def_attention, arg, out)) return NULL;
  return turned ? op_transpose(out[0], -3, -2) : out[0];
}

static bool compose_attention(OpCall *c) {
  Tensor *q = in(c, QUERY), *k = in(c, KEY), *v = in(c, VALUE), *mask = in(c, MASK);
  bool causal = c->arg[5].i, heads = c->arg[7].i;
  if (!check_attention(c) || (heads && !check_heads(q, k, v))) return false;
  bool drops = scalar_double(c->arg[4].number) > 0, fuses = !drops && is_fused(q, k, v, mask, heads);
  DType d = (DType)q->dtype, lane = attention_lane(q);
  int64_t width = q->shape[q->ndim - 1];
  double scale = c->arg[6].given ? scalar_double(c->arg[6].number) : 1 / sqrt((double)width);
  if (mask && mask->dtype != MT_BOOL) mask = op_cast(mask, lane);
  if (!fuses || c->device.kind == MT_CPU) q = op_cast(q, lane), k = op_cast(k, lane), v = op_cast(v, lane);
  if (failed()) return false;
  if (fuses) return compose_return(c, 0, op_cast(fused(q, k, v, mask, causal, scale), d));
  if (heads) k = repeated_heads(k, q->shape[q->ndim - 3]), v = repeated_heads(v, q->shape[q->ndim - 3]);
  Tensor *weight = weights(q, k, mask, causal, scale);
  if (drops) weight = op_run(&def_dropout, (Arg[]){ARG_T(weight), c->arg[4], ARG_I(1)});
  return compose_return(c, 0, op_cast(op_matmul(weight, v), d));
}
OP(scaled_dot_product_attention,
   .schema = "scaled_dot_product_attention(Tensor query, Tensor key, Tensor value, Tensor? attn_mask=None, float "
             "dropout_p=0.0, bool is_causal=False, *, float? scale=None, bool enable_gqa=False) -> Tensor",
   .doc =
       "softmax(query key^T scale + mask) value: query (..., L, E), key (..., S, E), value (..., S, Ev). attn_mask "
       "broadcasts to (..., L, S): bool, true where attention is paid, or numbers to add. scale is 1 / sqrt(E) unless "
       "given; is_causal lets position i see the first i; enable_gqa repeats heads (dim -3) of key and value. Without "
       "dropout, and unless attn_mask wants a gradient, the (L, S) scores are never held.",
   .samples = "f(2,3,4) f(2,5,4) f(2,5,2) | f(3,2) f(3,2) f(3,2) is_causal=True | f(2,3,2) f(2,4,2) f(2,4,2) b(3,4) | "
              "f(2,3,2) f(2,4,2) f(2,4,2) f(3,4) scale=0.3 | f(1,4,2,3) f(1,2,3,3) f(1,2,3,2) enable_gqa=True",
   .errors =
       "f(4) f(5,4) f(5,4) | f(2,3,4) f(2,5,3) f(2,5,3) | f(2,3,4) f(2,5,4) f(2,4,4) | f(2,3,4) g(2,5,4) f(2,5,4) | "
       "f(3,2) f(3,2) f(3,2) b(3,3) is_causal=True | f(3,2) f(3,2) f(3,2) i(3,3) | i(3,2) i(3,2) i(3,2) | f(3,2) "
       "f(3,2) f(3,2) dropout_p=1.5 | f(1,4,2,3) f(1,3,3,3) f(1,3,3,2) enable_gqa=True | f(2,3,2) f(3,4,2) f(3,4,2)",
   .flags = OP_HIDDEN, .compose = compose_attention);
