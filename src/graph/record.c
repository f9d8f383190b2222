/* Recording: turning a call into a node. Everything that can fail is done in record_reserve, before any tensor learns of
 * the node. */
#include "graph/record.h"
#include "graph/watch.h"
#include "base/alloc.h"
#include "cpu/copy_tensor.h"
#include <pthread.h>
#include <string.h>

static int tensors_of(const Schema *s, const Arg *a, int k) {
  if (!a->given) return s->param[k].type == TYPE_TENSORS ? 0 : 1;
  return s->param[k].type == TYPE_TENSORS ? a->n : 1;
}

static Tensor *tensor_of(const Schema *s, const Arg *a, int k, int i) {
  if (!a->given) return NULL;
  return s->param[k].type == TYPE_TENSORS ? a->tensors[i] : a->tensor;
}

/* Every view is brought up to date, so that the nodes this makes are older than the call's own. */
static bool any_wants_grad(const OpCall *c) {
  const Schema *s = c->def->info;
  bool any = false;
  for (int k = 0; k < s->tensors; k++) {
    const Arg *a = &c->arg[k];
    if (!a->given || s->param[k].type > TYPE_TENSORS) continue;
    if (s->param[k].type < TYPE_TENSORS) {
      any |= a->tensor->base ? tensor_wants_grad(a->tensor) : a->tensor->requires_grad;
      continue;
    }
    for (int i = 0; i < a->n; i++) any |= a->tensors[i] && tensor_wants_grad(a->tensors[i]);
  }
  return any || (c->inplace && in(c, 0)->base && tensor_wants_grad(in(c, 0)->base));
}

bool record_wanted(OpCall *c) {
  if (!c->def->backward || !grad_enabled()) return false;
  if (!any_wants_grad(c)) return false;
  if (c->inplace) return tensor_is_float(in(c, 0));
  for (int k = 0; k < c->outs; k++)
    if (tensor_is_float(c->out[k])) return true;
  return false;
}

static int count_edges(const OpCall *c) {
  const Schema *s = c->def->info;
  int edges = 0;
  for (int k = 0; k < s->params; k++)
    if (s->param[k].type <= TYPE_TENSORS) edges += tensors_of(s, &c->arg[k], k);
  return edges;
}

/* Bytes beyond the inline room: edges, metas, dims, args and lists share one block. */
typedef struct {
  int edges, dims, args;
  int64_t ints;
} Room;

/* A Scalar takes as much room as that many integers. */
enum { NUMBER_INTS = sizeof(Scalar) / sizeof(int64_t) };

static Room measure(const OpCall *c, int edges) {
  const Schema *s = c->def->info;
  Room r = {.edges = edges > NODE_EDGES ? edges : 0, .args = s->params > NODE_ARGS ? s->params : 0};
  int dims = 0;
  for (int k = 0; k < s->params; k++) {
    const Arg *a = &c->arg[k];
    int type = s->param[k].type;
    if (type <= TYPE_TENSORS) {
      int n = tensors_of(s, a, k);
      for (int i = 0; i < n; i++) {
        Tensor *t = tensor_of(s, a, k, i);
        dims += t ? t->ndim : 0;
      }
    } else if (type == TYPE_DIMS || type == TYPE_SIZE || type == TYPE_INTS) {
      r.ints += a->given ? a->n : 0;
    } else if (type == TYPE_NUMBERS) {
      r.ints += a->given ? a->n * NUMBER_INTS : 0;
    }
  }
  r.dims = dims > NODE_DIMS ? dims : 0;
  return r;
}

static bool make_room(Node *n, const OpCall *c, int edges, int64_t **dims, int64_t **ints) {
  Room r = measure(c, edges);
  *dims = n->dims;
  *ints = NULL;
  size_t bytes = (size_t)r.edges * (sizeof(Edge) + sizeof(EdgeMeta)) + (size_t)r.args * sizeof(Arg) +
                 (size_t)(r.dims + r.ints) * sizeof(int64_t);
  char *at = n->heap = bytes ? mem_zero(bytes) : NULL;
  if (bytes && !at) return false;
  n->edges = edges;
  if (r.edges) {
    n->edge = (Edge *)at;
    n->meta = (EdgeMeta *)(at += (size_t)r.edges * sizeof(Edge));
    at += (size_t)r.edges * sizeof(EdgeMeta);
  }
  if (r.args) {
    n->arg = (Arg *)at;
    at += (size_t)r.args * sizeof(Arg);
  }
  if (r.dims) {
    *dims = (int64_t *)at;
    at += (size_t)r.dims * sizeof(int64_t);
  }
  *ints = (int64_t *)at;
  return true;
}

static bool connect(Node *n, int at, Tensor *t, int64_t **dims) {
  EdgeMeta *m = &n->meta[at];
  Edge e = {NULL, 0};
  if (!t) {
    *m = (EdgeMeta){0};
    return true;
  }
  if (!tensor_edge(t, &e)) return false;
  n->edge[at] = (Edge){node_retain(e.node), e.slot};
  *m = (EdgeMeta){t->dtype, t->ndim, tensor_device(t), *dims};
  memcpy(*dims, t->shape, sizeof(int64_t) * t->ndim);
  *dims += t->ndim;
  return true;
}

/* An alias that remembers where t's gradient goes now, whatever happens to t later. */
static Tensor *save(Tensor *t, const Edge *e) {
  Tensor *a = tensor_alias(t);
  if (!a || !e || !e->node) return a;
  Autograd *g = tensor_autograd(a);
  if (!g) {
    tensor_release(a);
    return NULL;
  }
  g->grad_fn = node_retain(e->node);
  g->slot = e->slot;
  a->requires_grad = true;
  return a;
}

/* The version at which a node keeps t; the storage knows, so that a write is noticed when it happens. */
static uint32_t kept_version(const Tensor *t) {
  uint32_t version = t->storage->version;
  atomic_store_explicit(&t->storage->saved, version + 1, memory_order_relaxed);
  return version;
}

/* save, or the host's hooks: `to` stays NULL then. Lua numbers are not worth a hook. */
static bool keep(Node *n, int at, Tensor *t, const Edge *e, Tensor **to) {
  if (graph_watched() && packing_enabled() && !t->is_scalar) return watch_pack(n, at, t, e);
  return (*to = save(t, e)) != NULL;
}

/* A copy of a mode's name ('mean', 'floor') that lives as long as the process. Only names that an op accepted get here,
 * so there are few. */
static const char *keep_word(const char *word) {
  static struct Word {
    struct Word *next;
    char text[];
  } * _Atomic words;
  static pthread_mutex_t adding = PTHREAD_MUTEX_INITIALIZER;
  for (struct Word *w = words; w; w = w->next)
    if (strcmp(w->text, word) == 0) return w->text;
  size_t n = strlen(word) + 1;
  struct Word *w = mem_alloc(sizeof *w + n);
  if (!w) return NULL;
  memcpy(w->text, word, n);
  pthread_mutex_lock(&adding);
  w->next = words;
  words = w;
  pthread_mutex_unlock(&adding);
  return w->text;
}

/* Edges, saved inputs and copies of the other arguments. */
static bool fill(Node *n, OpCall *c) {
  const Schema *s = c->def->info;
  int64_t *dims, *ints;
  if (!make_room(n, c, count_edges(c), &dims, &ints)) return false;
  int edge_at[MAX_PARAMS], at = 0;
  uint32_t need_in = 0, need_out = 0;
  for (int k = 0; k < s->params; k++) {
    edge_at[k] = at;
    if (s->param[k].type > TYPE_TENSORS) continue;
    int count = tensors_of(s, &c->arg[k], k);
    for (int i = 0; i < count; i++, at++) {
      Tensor *t = tensor_of(s, &c->arg[k], k, i);
      if (!connect(n, at, t, &dims)) return false;
      bool base_wants = c->inplace && k == 0 && t->base && tensor_wants_grad(t->base);
      if (n->edge[at].node || base_wants) {
        need_in |= s->save_in[k];
        need_out |= s->save_out[k];
      }
    }
  }
  for (int k = 0; k < s->params; k++) {
    Arg *to = &n->arg[k];
    *to = c->arg[k];
    n->args = k + 1; /* what a failure has to give back */
    int type = s->param[k].type;
    if (type == TYPE_TENSORS) {
      to->tensors = NULL;
    } else if (type <= TYPE_INDEX) {
      Tensor *t = to->tensor;
      to->tensor = NULL;
      if (!to->given || !(need_in >> k & 1)) continue;
      if (c->inplace && k == 0) { /* about to be overwritten */
        Tensor *copy = tensor_new((DType)t->dtype, t->ndim, t->shape, tensor_device(t));
        if (!copy || !tensor_copy_into(copy, t)) return tensor_release(copy), false;
        bool kept = keep(n, k, copy, &n->edge[edge_at[k]], &to->tensor);
        tensor_release(copy);
        if (!kept) return false;
      } else if (!keep(n, k, t, &n->edge[edge_at[k]], &to->tensor)) {
        return false;
      }
      if (to->tensor) to->version = kept_version(to->tensor);
    } else if (to->given && (type == TYPE_DIMS || type == TYPE_SIZE || type == TYPE_INTS)) {
      if (to->n > 0) memcpy(ints, to->ints, sizeof(int64_t) * (size_t)to->n);
      to->ints = ints;
      ints += to->n;
    } else if (to->given && type == TYPE_NUMBERS) {
      if (to->n > 0) memcpy(ints, to->numbers, sizeof(Scalar) * (size_t)to->n);
      to->numbers = (const Scalar *)ints;
      ints += to->n * NUMBER_INTS;
    } else if (type == TYPE_GENERATOR) {
      to->generator = NULL;
    } else if (type == TYPE_STR && to->given && !(to->str = keep_word(to->str))) {
      return false;
    }
  }
  for (int k = 0; k < n->outs; k++)
    if (need_out >> k & 1) {
      bool good = c->inplace ? (n->result[k] = save(in(c, 0), NULL)) != NULL /* packed once it is written */
                             : keep(n, -1 - k, c->out[k], NULL, &n->result[k]);
      if (!good) return false;
    }
  return true;
}

static void meta_of(OutMeta *m, const Tensor *t) {
  m->dtype = (DType)t->dtype;
  m->ndim = t->ndim;
  m->offset = t->offset;
  memcpy(m->shape, t->shape, sizeof(int64_t) * t->ndim);
  memcpy(m->stride, t->stride, sizeof(int64_t) * t->ndim);
}

/* Wraps the node of an in-place op on a view for the view's base. Takes over `inner`. */
static Node *wrap_slice(Node *inner, Tensor *view) {
  Tensor *base = view->base;
  Slice *slice = inner ? mem_zero(sizeof *slice) : NULL;
  Node *n = slice ? node_new(NODE_SLICE, 1) : NULL;
  Edge e;
  if (!n) {
    mem_free(slice);
    node_release(inner);
    return NULL;
  }
  slice->inner = inner;
  n->slice = slice;
  meta_of(&slice->base, base);
  meta_of(&slice->view, view);
  if (inner->edges > NODE_EDGES) {
    n->heap = mem_zero((size_t)inner->edges * sizeof(Edge));
    if (!n->heap) return node_release(n), NULL;
    n->edge = n->heap;
  }
  n->edges = inner->edges;
  if (!tensor_edge(base, &e) || !tensor_autograd(base) || !tensor_autograd(view)) return node_release(n), NULL;
  n->edge[0] = (Edge){node_retain(e.node), e.slot};
  for (int i = 1; i < n->edges; i++) n->edge[i] = (Edge){node_retain(inner->edge[i].node), inner->edge[i].slot};
  return n;
}

/* Views whose base was written get their new history now: its nodes must be older than the one that will point to them. */
static bool refresh_views(const OpCall *c) {
  const Schema *s = c->def->info;
  for (int k = 0; k < s->params; k++) {
    if (s->param[k].type > TYPE_TENSORS) continue;
    int n = tensors_of(s, &c->arg[k], k);
    for (int i = 0; i < n; i++) {
      Tensor *t = tensor_of(s, &c->arg[k], k, i);
      if (t && t->base) tensor_wants_grad(t);
    }
  }
  return !failed();
}

Node *record_reserve(OpCall *c) {
  Node *n = refresh_views(c) ? node_new(NODE_OP, c->inplace ? 1 : c->outs) : NULL;
  if (!n) return NULL;
  n->def = c->def;
  bool good = fill(n, c);
  for (int k = 0; good && k < n->outs; k++) {
    Tensor *t = c->inplace ? in(c, 0) : c->out[k];
    good = tensor_autograd(t) != NULL;
  }
  if (!good) return node_release(n), NULL;
  return c->inplace && in(c, 0)->base ? wrap_slice(n, in(c, 0)) : n;
}

static void attach(Tensor *t, Node *n, int slot) {
  Autograd *a = t->autograd;
  node_retain(n);
  node_release(a->grad_fn);
  a->grad_fn = n;
  a->slot = slot;
  t->requires_grad = true;
}

bool record_commit(OpCall *c, Node *n) {
  Node *op = n->kind == NODE_SLICE ? n->slice->inner : n;
  for (int k = 0; k < op->outs; k++)
    if (op->result[k]) op->result_version[k] = kept_version(op->result[k]);
  if (c->inplace && op->result[0] && graph_watched() && packing_enabled()) {
    if (watch_pack(op, -1, op->result[0], NULL)) {
      tensor_release(op->result[0]);
      op->result[0] = NULL;
    } else if (fail_code() == MT_ENOMEM) {
      fail_clear(); /* the tensor is written already: it stays saved as it is, a second attempt would write it twice */
    } else {
      return node_release(n), false;
    }
  }
  if (n->kind == NODE_SLICE) {
    Tensor *base = in(c, 0)->base;
    attach(base, n, 0);
    base->autograd->generation++;
    tensor_wants_grad(in(c, 0)); /* the view takes its new history from the base */
  } else if (c->inplace) {
    attach(in(c, 0), n, 0);
    in(c, 0)->autograd->generation++; /* its views have a new history too */
  } else {
    for (int k = 0; k < c->outs; k++) {
      Tensor *t = c->out[k];
      if (!tensor_is_float(t)) continue;
      attach(t, n, k);
      if (t->base && t->base->autograd) t->autograd->seen = t->base->autograd->generation;
    }
  }
  node_release(n);
  return true;
}

Node *record_host(HostBackward host, int inputs, Tensor **input, int outs) {
  Node *n = node_new(NODE_HOST, outs);
  if (!n) return NULL;
  int dims = 0;
  for (int i = 0; i < inputs; i++) dims += input[i] ? input[i]->ndim : 0;
  size_t bytes = (size_t)inputs * (sizeof(Edge) + sizeof(EdgeMeta)) + (size_t)dims * sizeof(int64_t);
  n->heap = mem_zero(bytes);
  if (!n->heap) return node_release(n), NULL;
  n->edge = n->heap;
  n->meta = (EdgeMeta *)((char *)n->heap + (size_t)inputs * sizeof(Edge));
  int64_t *at = (int64_t *)(n->meta + inputs);
  n->edges = inputs;
  for (int i = 0; i < inputs; i++)
    if (!connect(n, i, input[i], &at)) return node_release(n), NULL;
  n->host = host;
  return n;
}

bool record_host_output(Node *node, int slot, Tensor *out) {
  if (!tensor_autograd(out)) return false;
  attach(out, node, slot);
  return true;
}

PartArgs part_args(int base_ndim, const int64_t *base_shape, const int64_t *base_stride, int ndim, const int64_t *shape,
                   const int64_t *stride, int64_t offset) {
  return (PartArgs){{ARG_INTS(base_shape, base_ndim), ARG_INTS(base_stride, base_ndim), ARG_INTS(shape, ndim),
                     ARG_INTS(stride, ndim), ARG_I(offset)}};
}

Node *record_part(Tensor *base, Tensor *part) {
  PartArgs g = part_args(base->ndim, base->shape, base->stride, part->ndim, part->shape, part->stride,
                         part->offset - base->offset);
  Arg arg[] = {ARG_T(base), g.arg[0], g.arg[1], g.arg[2], g.arg[3], g.arg[4]};
  OpCall c = {.def = &def_part, .arg = arg, .outs = 1, .out = {part}};
  return record_reserve(&c);
}
