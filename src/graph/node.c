/* Graph nodes and what a tensor keeps of them: lifetime, edges, leaves, views, hooks. */
#include "graph/node.h"
#include "base/alloc.h"
#include "graph/record.h"
#include "graph/watch.h"
#include <stdio.h>
#include <string.h>

static _Thread_local bool grad_off, inference_on;
bool grad_enabled(void) { return !grad_off; }
bool grad_set_enabled(bool on) {
  bool old = !grad_off;
  grad_off = !on;
  return old;
}
bool inference_mode(void) { return inference_on; }
bool inference_set(bool on) {
  bool old = inference_on;
  inference_on = on;
  return old;
}

static _Atomic uint64_t next_order = 1;

static _Thread_local int64_t living;
int64_t nodes_living(void) { return living; }

Node *node_new(NodeKind kind, int outs) {
  Node *n = slab_alloc(SLAB_NODE, sizeof *n);
  if (!n) return NULL;
  memset(n, 0, offsetof(Node, edge_inline));
  living++;
  n->refs = 1;
  n->kind = (uint8_t)kind;
  n->outs = (uint8_t)outs;
  n->order = kind == NODE_LEAF ? 0 : atomic_fetch_add_explicit(&next_order, 1, memory_order_relaxed);
  n->edge = n->edge_inline;
  n->meta = n->meta_inline;
  n->arg = n->arg_inline;
  memset(n->edge_inline, 0, sizeof n->edge_inline);
  if (graph_watched() && kind != NODE_LEAF && !watch_node(n)) {
    living--;
    return slab_free(SLAB_NODE, n, sizeof *n), NULL;
  }
  return n;
}

Node *node_retain(Node *n) {
  if (n) n->refs++;
  return n;
}

static void hooks_free(Hook *h) {
  while (h) {
    Hook *next = h->next;
    if (h->release) h->release(h->context);
    mem_free(h);
    h = next;
  }
}

/* A tensor that was kept at `version` goes: writes to it matter no longer. */
static void let_go(Tensor *t, uint32_t version) {
  if (!t) return;
  _Atomic uint32_t *saved = &t->storage->saved;
  if (atomic_load_explicit(saved, memory_order_relaxed) == version + 1)
    atomic_store_explicit(saved, 0, memory_order_relaxed);
  tensor_release(t);
}

/* Gives back what only backward needs. */
void node_drop(Node *n) {
  n->dropped = true;
  if (n->watch) watch_drop(n);
  if (n->kind == NODE_OP) {
    const Schema *s = n->def->info;
    for (int k = 0; k < n->args; k++) {
      if (s->param[k].type > TYPE_INDEX) continue;
      let_go(n->arg[k].tensor, n->arg[k].version);
      n->arg[k].tensor = NULL;
    }
    for (int k = 0; k < MAX_OUTS; k++) {
      let_go(n->result[k], n->result_version[k]);
      n->result[k] = NULL;
    }
  } else if (n->kind == NODE_HOST && n->host.drop) {
    n->host.drop(n->host.context);
  } else if (n->kind == NODE_SLICE) {
    node_drop(n->slice->inner);
  }
}

static void node_free(Node *n) {
  node_drop(n);
  for (int i = 0; i < n->edges; i++) node_release(n->edge[i].node);
  if (n->kind == NODE_SLICE) {
    node_release(n->slice->inner);
    mem_free(n->slice);
  }
  if (n->kind == NODE_HOST && n->host.release) n->host.release(n->host.context);
  if (n->watch) watch_free(n);
  hooks_free(n->hooks);
  mem_free(n->heap);
  living--;
  slab_free(SLAB_NODE, n, sizeof *n);
}

/* A chain can be 100,000 nodes long: dying nodes queue up and the outermost call frees them one by one. */
void node_release(Node *n) {
  static _Thread_local Node *dying;
  static _Thread_local bool draining;
  if (!n || --n->refs > 0) return;
  n->dead = dying;
  dying = n;
  if (draining) return;
  draining = true;
  while (dying) {
    Node *next = dying;
    dying = next->dead;
    node_free(next);
  }
  draining = false;
}

const char *node_name(const Node *n) {
  if (n->kind == NODE_LEAF) return "AccumulateGrad";
  if (n->kind == NODE_SLICE) return "CopySlices";
  if (n->kind == NODE_HOST) return n->host.name;
  char name[2 * MAX_NAME];
  int used = 0;
  bool upper = true;
  for (const char *p = n->def->info->name; *p; p++) {
    if (*p == '_') {
      upper = true;
    } else {
      name[used++] = (char)(upper && *p >= 'a' && *p <= 'z' ? *p - 32 : *p);
      upper = false;
    }
  }
  name[used] = 0;
  return text("%sBackward0", name);
}

Autograd *tensor_autograd(Tensor *t) {
  if (!t->autograd && (t->autograd = slab_alloc(SLAB_AUTOGRAD, sizeof *t->autograd)))
    memset(t->autograd, 0, sizeof *t->autograd);
  return t->autograd;
}

static bool unhook(Hook **list, int64_t id) {
  for (; *list; list = &(*list)->next) {
    if ((*list)->id != id) continue;
    Hook *h = *list;
    *list = h->next;
    h->next = NULL;
    hooks_free(h);
    return true;
  }
  return false;
}

static void autograd_free(Autograd *a) {
  if (a->leaf) a->leaf->leaf = NULL;
  if (a->retain_id && a->grad_fn) unhook(&a->grad_fn->hooks, a->retain_id);
  node_release(a->leaf);
  node_release(a->grad_fn);
  tensor_release(a->grad);
  hooks_free(a->post_accumulate);
  slab_free(SLAB_AUTOGRAD, a, sizeof *a);
}

__attribute__((constructor)) static void install(void) { autograd_release = autograd_free; }

/* The leaf's node, made when a gradient first flows to it. Borrowed. */
static Node *leaf_node(Tensor *t) {
  Autograd *a = tensor_autograd(t);
  if (!a) return NULL;
  if (!a->leaf && (a->leaf = node_new(NODE_LEAF, 1))) a->leaf->leaf = t;
  return a->leaf;
}

/* A view whose base was written to in place by another view: its history is now "that part of the base". */
static bool view_refresh(Tensor *t) {
  Autograd *base = t->base->autograd;
  if (!base || base->generation == (t->autograd ? t->autograd->seen : 0)) return true;
  Autograd *a = tensor_autograd(t);
  Node *n = a ? record_part(t->base, t) : NULL;
  if (!n) return false;
  node_release(a->grad_fn);
  a->grad_fn = n;
  a->slot = 0;
  a->seen = base->generation;
  t->requires_grad = true;
  return true;
}

bool tensor_wants_grad(Tensor *t) {
  if (t->base) view_refresh(t);
  return t->requires_grad;
}

bool tensor_edge(Tensor *t, Edge *edge) {
  *edge = (Edge){NULL, 0};
  if (t->base && !view_refresh(t)) return false;
  if (!t->requires_grad) return true;
  if (t->autograd && t->autograd->grad_fn)
    *edge = (Edge){t->autograd->grad_fn, t->autograd->slot};
  else
    edge->node = leaf_node(t);
  return edge->node != NULL;
}

bool tensor_set_requires_grad(Tensor *t, bool on) {
  if (on && !tensor_is_float(t))
    return fail(MT_EARG,
                "only Tensors of floating point dtype can require gradients, but this one is %s: use :float() first",
                tensor_text(t));
  if (!on && !tensor_is_leaf(t))
    return fail(MT_ERUNTIME,
                "you can only change requires_grad flags of leaf variables. If you want to use a computed "
                "variable in a subgraph that doesn't require differentiation use var_no_grad = var:detach()");
  if (on && !t->requires_grad && t->base) { /* a leaf from here on: what is written to its views is written to a leaf */
    tensor_release(t->base);
    t->base = NULL;
  }
  t->requires_grad = on;
  return true;
}

Tensor *tensor_grad(const Tensor *t) { return t->autograd ? t->autograd->grad : NULL; }

bool tensor_set_grad(Tensor *t, Tensor *grad) {
  if (grad == t) return fail(MT_ERUNTIME, "can't assign Variable as its own grad");
  if (grad && (!tensor_same_shape(t, grad) || t->dtype != grad->dtype))
    return fail(MT_EARG, "assigned grad has data of a different size or type: the tensor is %s, the gradient %s",
                tensor_text(t), tensor_text(grad));
  if (!grad && !t->autograd) return true;
  Autograd *a = tensor_autograd(t);
  if (!a) return false;
  Tensor *old = a->grad;
  if (old != grad) {
    a->grads++;
    a->added = 0;
  }
  a->grad = tensor_retain(grad);
  tensor_release(old);
  return true;
}

Tensor *tensor_detach(Tensor *t) { return tensor_alias(t); }

static Hook *hook_new(HookFn run, void (*release)(void *), void *context) {
  static _Atomic int64_t next_id = 1;
  Hook *h = mem_zero(sizeof *h);
  if (!h) {
    if (release) release(context);
    return NULL;
  }
  h->id = next_id++;
  h->run = run;
  h->release = release;
  h->context = context;
  return h;
}

static int64_t hook_append(Hook **list, Hook *h) {
  while (*list) list = &(*list)->next;
  *list = h;
  return h->id;
}

int64_t tensor_hook(Tensor *t, HookFn run, void (*release)(void *), void *context) {
  Edge e = {NULL, 0};
  Hook *h = hook_new(run, release, context);
  if (!h) return 0;
  if (!tensor_wants_grad(t)) fail(MT_ERUNTIME, "cannot register a hook on a tensor that doesn't require gradient");
  if (failed() || !tensor_edge(t, &e)) {
    hooks_free(h);
    return 0;
  }
  h->slot = e.slot;
  return hook_append(&e.node->hooks, h);
}

int64_t tensor_post_hook(Tensor *t, HookFn run, void (*release)(void *), void *context) {
  Hook *h = hook_new(run, release, context);
  if (!h) return 0;
  if (!t->requires_grad || !tensor_is_leaf(t))
    fail(MT_ERUNTIME,
         "post accumulate grad hooks cannot be registered on non-leaf tensors or ones that do not require grad");
  Autograd *a = failed() ? NULL : tensor_autograd(t);
  if (!a) {
    hooks_free(h);
    return 0;
  }
  return hook_append(&a->post_accumulate, h);
}

void tensor_unhook(Tensor *t, int64_t id) {
  Autograd *a = t->autograd;
  if (!a) return;
  if (a->leaf && unhook(&a->leaf->hooks, id)) return;
  if (a->grad_fn && unhook(&a->grad_fn->hooks, id)) return;
  unhook(&a->post_accumulate, id);
}

/* The hook holds t weakly: autograd_free removes it when t dies first. */
static Tensor *keep_grad(void *context, Tensor *grad) {
  tensor_set_grad(context, grad);
  return NULL;
}

bool tensor_retain_grad(Tensor *t) {
  if (!tensor_wants_grad(t)) return fail(MT_ERUNTIME, "can't retain_grad on Tensor that has requires_grad=False");
  if (tensor_is_leaf(t) || t->autograd->retain_id) return true;
  t->autograd->retain_id = tensor_hook(t, keep_grad, NULL, t);
  return t->autograd->retain_id != 0;
}
