/* What an operator's backward reads and writes. */
#include "graph/record.h"
#include "graph/watch.h"

static int edge_of(const Node *n, int arg) {
  const Schema *s = n->def->info;
  int at = 0;
  for (int k = 0; k < arg; k++) {
    if (s->param[k].type > TYPE_TENSORS) continue;
    at += s->param[k].type == TYPE_TENSORS ? (n->arg[k].given ? n->arg[k].n : 0) : 1;
  }
  return at;
}

bool g_needs(const Grad *g, int arg) { return g->node->edge[edge_of(g->node, arg)].node != NULL; }
bool g_needs_at(const Grad *g, int arg, int k) { return g->node->edge[edge_of(g->node, arg) + k].node != NULL; }

/* The first freed node that backward reaches made the tensor that a second pass came through. */
static void fail_second(const Node *n) {
  if (failed()) return;
  const char *made_at = watch_place(n);
  fail(MT_ERUNTIME,
       "Trying to backward through the graph a second time (or directly access saved tensors after they have "
       "already been freed). Saved intermediate values of the graph are freed when you call backward() or "
       "autograd.grad(). The way into the freed part is the result of %s%s%s: if that is a tensor carried from step to "
       "step, :detach() it there; to go through the same graph again, specify retain_graph = true",
       node_name(n), *made_at ? ", made at " : "", made_at);
  if (!*made_at)
    fail_suffix(". torch.autograd.set_detect_anomaly(true), called before the forward pass, names its line");
}

static Tensor *saved(const Grad *g, Tensor *t, uint32_t version) {
  if (!t && g->node->dropped) fail_second(g->node);
  if (!t) return NULL;
  if (t->storage->version == version) return t;
  if (failed()) return NULL;
  const char *saved_at = watch_place(g->node);
  fail(MT_ERUNTIME,
       "one of the variables needed for gradient computation has been modified by an inplace operation: "
       "[%s], which %s saved%s%s, is at version %u; expected version %u instead%s. Use the form without _ there, or "
       "clone the tensor before it is changed",
       tensor_text(t), node_name(g->node), *saved_at ? " at " : "", saved_at, t->storage->version, version,
       watch_written(t, version));
  if (!*saved_at)
    fail_suffix(". torch.autograd.set_detect_anomaly(true), called before the forward pass, names the line of %s too",
                node_name(g->node));
  return NULL;
}

Tensor *g_in(const Grad *g, int arg) {
  const Arg *a = &g->node->arg[arg];
  if (a->given && !a->tensor && g->node->watch) {
    Tensor *t = watch_unpack(g->node, arg);
    if (t || failed()) return t;
  }
  return a->given ? saved(g, a->tensor, a->version) : NULL;
}

/* A saved result knows no edge of its own (it would be a cycle); with create_graph it is handed out with this node's. */
Tensor *g_result(const Grad *g, int k) {
  Tensor *t = g->node->watch && !g->node->result[k] ? watch_unpack(g->node, -1 - k) : NULL;
  if (!t) t = failed() ? NULL : saved(g, g->node->result[k], g->node->result_version[k]);
  if (!t || !grad_enabled() || !tensor_is_float(t)) return t;
  Tensor *linked = pool_add(tensor_alias(t));
  Autograd *a = linked ? tensor_autograd(linked) : NULL;
  if (!a) return NULL;
  a->grad_fn = node_retain(g->node);
  a->slot = k;
  linked->requires_grad = true;
  return linked;
}

const Arg *g_arg(const Grad *g, int arg) { return &g->node->arg[arg]; }
const EdgeMeta *g_meta(const Grad *g, int arg) { return &g->node->meta[edge_of(g->node, arg)]; }
const EdgeMeta *g_meta_at(const Grad *g, int arg, int k) { return &g->node->meta[edge_of(g->node, arg) + k]; }

static void set(Grad *g, int edge, Tensor *t) {
  if (!t || !g->node->edge[edge].node) return;
  const EdgeMeta *m = &g->node->meta[edge];
  bool same = t->ndim == m->ndim;
  for (int d = 0; same && d < t->ndim; d++) same = t->shape[d] == m->shape[d];
  if (!same) t = op_run(&def_sum_to, (Arg[]){ARG_T(t), ARG_INTS(m->shape, m->ndim)});
  if (t && t->dtype != m->dtype) t = op_run(&def_cast, (Arg[]){ARG_T(t), ARG_DTYPE((DType)m->dtype)});
  if (t) g->gx[edge] = tensor_retain(t);
}

void g_set(Grad *g, int arg, Tensor *t) { set(g, edge_of(g->node, arg), t); }
void g_set_at(Grad *g, int arg, int k, Tensor *t) { set(g, edge_of(g->node, arg) + k, t); }
