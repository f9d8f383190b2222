/* What operators share: inference of shapes and dtypes, results of composed ops. */
#include "ops/ops.h"
#include "base/alloc.h"
#include <string.h>

Tensor *op_number(Scalar s) { return failed() ? NULL : pool_add(tensor_from_scalar(s)); }

bool compose_return(OpCall *c, int k, Tensor *t) {
  c->out[k] = tensor_retain(t);
  return t != NULL;
}

bool compose_list(OpCall *c, int64_t n) {
  if (n > INT32_MAX) return fail(MT_EARG, "%s: a list of %lld tensors is too long", c->def->info->name, (long long)n);
  c->list = mem_zero(sizeof(Tensor *) * (size_t)(n > 0 ? n : 1));
  c->list_length = 0;
  return c->list != NULL;
}

bool compose_append(OpCall *c, Tensor *t) {
  if (t) c->list[c->list_length++] = tensor_retain(t);
  return t != NULL;
}

bool infer_same(OpCall *c) {
  c->compute = (DType)in(c, 0)->dtype;
  return out_shape(c, 0, c->compute, in(c, 0)->ndim, in(c, 0)->shape);
}

bool infer_float(OpCall *c) {
  DType d = (DType)in(c, 0)->dtype;
  c->compute = dtype_is_float(d) ? d : default_dtype();
  return out_shape(c, 0, c->compute, in(c, 0)->ndim, in(c, 0)->shape);
}

static __attribute__((noinline)) bool broadcast_any(OpCall *c, int n) {
  OutMeta *m = &c->meta[0];
  Tensor *t[3];
  t[0] = in(c, 0);
  m->ndim = t[0]->ndim;
  for (int d = 0; d < m->ndim; d++) m->shape[d] = t[0]->shape[d];
  for (int k = 1; k < n; k++) {
    t[k] = in(c, k);
    bool same = m->ndim == t[k]->ndim;
    for (int d = 0; same && d < m->ndim; d++) same = m->shape[d] == t[k]->shape[d];
    if (!same && !shape_broadcast(&m->ndim, m->shape, t[k]->ndim, t[k]->shape)) return false;
  }
  bool alike = n == 2 && t[0]->dtype == t[1]->dtype && !t[0]->is_scalar && !t[1]->is_scalar;
  c->compute = m->dtype = alike ? (DType)t[0]->dtype : promote_tensors(n, t, default_dtype());
  return true;
}

/* Broadcasts the first n arguments into meta 0 and promotes them into call->compute. Most calls have two that are alike. */
static bool broadcast(OpCall *c, int n) {
  const Tensor *a = in(c, 0), *b = in(c, 1);
  if (n != 2 || a->dtype != b->dtype || a->ndim != b->ndim || a->is_scalar || b->is_scalar) return broadcast_any(c, n);
  OutMeta *m = &c->meta[0];
  for (int d = 0; d < a->ndim; d++) {
    if (a->shape[d] != b->shape[d]) return broadcast_any(c, n);
    m->shape[d] = a->shape[d];
  }
  m->ndim = a->ndim;
  c->compute = m->dtype = (DType)a->dtype;
  return true;
}

bool infer_binary(OpCall *c) { return broadcast(c, 2); }
bool infer_ternary(OpCall *c) { return broadcast(c, 3); }

bool infer_binary_float(OpCall *c) {
  if (!broadcast(c, 2)) return false;
  if (!dtype_is_float(c->compute)) c->compute = default_dtype();
  c->meta[0].dtype = c->compute;
  return true;
}

bool infer_compare(OpCall *c) {
  if (!broadcast(c, 2)) return false;
  c->meta[0].dtype = MT_BOOL;
  return true;
}

bool reduced_shape(const Tensor *t, int dims, const int64_t *dim, bool keep, bool reduced[MT_MAX_DIMS], int *ndim,
                   int64_t *shape) {
  for (int d = 0; d < t->ndim; d++) reduced[d] = dims < 0;
  for (int k = 0; k < dims; k++) {
    int d;
    if (!dim_wrap(dim[k], t->ndim, &d)) return false;
    if (t->ndim == 0) continue;
    if (reduced[d]) return fail(MT_EARG, "dim %d appears multiple times in the list of dims", d + 1);
    reduced[d] = true;
  }
  *ndim = 0;
  for (int d = 0; d < t->ndim; d++) {
    if (!reduced[d])
      shape[(*ndim)++] = t->shape[d];
    else if (keep)
      shape[(*ndim)++] = 1;
  }
  return true;
}
