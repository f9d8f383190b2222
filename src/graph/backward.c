/* Backward: sends gradients through the graph, newest node first.
 *
 * Since a node is always newer than those it points to, a heap ordered by Node.order visits each node after all its
 * consumers; leaves have order 0 and come last. No recursion: depth is bounded by the heap alone. */
#include "base/alloc.h"
#include "graph/autocast.h"
#include "graph/record.h"
#include "graph/watch.h"
#include "tensor/shape.h"
#include "cpu/copy_tensor.h"
#include <stdlib.h>
#include <string.h>

/* What a pass knows of one node. */
typedef struct {
  Node *node;  /* owned while gradients wait */
  Tensor **gy; /* node->outs gradients, owned; inline_gy when they fit */
  Tensor *inline_gy[2];
  bool waiting, runs, captures;
} Visit;

typedef struct {
  const BackwardCall *call;
  bool limited; /* only nodes that lead to the inputs run */
  Visit *visit; /* in order of discovery */
  int *slot;    /* hash: visit number + 1, 0 empty */
  Visit **heap;
  int visits, visit_room, slots, waiting;
  Edge *input; /* where each wanted input's gradient arrives */
} Pass;

static int hash_of(const Node *n, int slots) {
  return (int)(((uintptr_t)n >> 6) * 0x9E3779B97F4A7C15u >> 40) & (slots - 1);
}

static int find_slot(const Pass *p, const Node *n) {
  int at = hash_of(n, p->slots);
  while (p->slot[at] && p->visit[p->slot[at] - 1].node != n) at = (at + 1) & (p->slots - 1);
  return at;
}

static bool grow(Pass *p) {
  int room = p->visit_room ? 4 * p->visit_room : 32;
  Visit *visit = mem_alloc(sizeof *visit * (size_t)room);
  Visit **heap = mem_alloc(sizeof *heap * (size_t)room);
  int *slot = mem_zero(sizeof *slot * (size_t)room * 2);
  if (!visit || !heap || !slot) {
    mem_free(visit);
    mem_free(heap);
    mem_free(slot);
    return false;
  }
  if (p->visits) memcpy(visit, p->visit, sizeof *visit * (size_t)p->visits);
  for (int i = 0; i < p->visits; i++)
    if (visit[i].gy == p->visit[i].inline_gy) visit[i].gy = visit[i].inline_gy;
  for (int i = 0; i < p->waiting; i++) heap[i] = visit + (p->heap[i] - p->visit);
  mem_free(p->visit);
  mem_free(p->heap);
  mem_free(p->slot);
  p->visit = visit;
  p->heap = heap;
  p->slot = slot;
  p->visit_room = room;
  p->slots = 2 * room;
  for (int i = 0; i < p->visits; i++) p->slot[find_slot(p, visit[i].node)] = i + 1;
  return true;
}

/* Making one may move all others. */
static Visit *visit_of(Pass *p, Node *n, bool make) {
  int at = find_slot(p, n);
  if (p->slot[at]) return &p->visit[p->slot[at] - 1];
  if (!make) return NULL;
  if (p->visits == p->visit_room) {
    if (!grow(p)) return NULL;
    at = find_slot(p, n);
  }
  Visit *v = &p->visit[p->visits];
  memset(v, 0, sizeof *v);
  v->gy = v->inline_gy;
  if (n->outs > 2 && !(v->gy = mem_zero(sizeof *v->gy * n->outs))) return NULL;
  v->node = node_retain(n);
  p->slot[at] = ++p->visits;
  return v;
}

static void heap_push(Pass *p, Visit *v) {
  int i = p->waiting++;
  while (i > 0 && p->heap[(i - 1) / 2]->node->order < v->node->order) {
    p->heap[i] = p->heap[(i - 1) / 2];
    i = (i - 1) / 2;
  }
  p->heap[i] = v;
  v->waiting = true;
}

static Visit *heap_pop(Pass *p) {
  Visit *top = p->heap[0], *last = p->heap[--p->waiting];
  int i = 0, n = p->waiting;
  for (int child; (child = 2 * i + 1) < n; i = child) {
    if (child + 1 < n && p->heap[child + 1]->node->order > p->heap[child]->node->order) child++;
    if (p->heap[child]->node->order <= last->node->order) break;
    p->heap[i] = p->heap[child];
  }
  if (n > 0) p->heap[i] = last;
  top->waiting = false;
  return top;
}

static bool exclusive(const Tensor *t) {
  return t->refs == 1 && atomic_load_explicit(&t->storage->refs, memory_order_relaxed) == 1 && !t->base;
}

/* sum + grad, in sum's memory when nobody else sees it. Takes over `sum`; returns an owned tensor. */
static Tensor *add_up(const Pass *p, Tensor *sum, Tensor *grad) {
  int mark = pool_open();
  Arg arg[] = {ARG_T(sum), ARG_T(grad), ARG_N(scalar_int(1))};
  bool direct = !p->call->create_graph && exclusive(sum) && sum->dtype == grad->dtype;
  Tensor *result = tensor_retain(direct ? op_run_inplace(&def_add, arg) : op_run(&def_add, arg));
  pool_shut(mark);
  tensor_release(sum);
  return result;
}

/* Adds an owned gradient to what waits for (node, slot). */
static bool deliver(Pass *p, Edge e, Tensor *grad) {
  Visit *v = visit_of(p, e.node, !p->limited);
  if (!v || (p->limited && !v->runs && !v->captures)) {
    tensor_release(grad);
    return !failed();
  }
  if (v->gy[e.slot]) {
    Tensor *sum = add_up(p, v->gy[e.slot], grad);
    v->gy[e.slot] = sum;
    tensor_release(grad);
    if (!sum) return false;
  } else {
    v->gy[e.slot] = grad;
  }
  if (!v->waiting) heap_push(p, v);
  return true;
}

static bool run_hooks(Hook *hooks, Tensor **gy) {
  for (Hook *h = hooks; h; h = h->next) {
    if (!gy[h->slot]) continue;
    Tensor *changed = h->run(h->context, gy[h->slot]);
    if (failed()) return tensor_release(changed), false;
    if (!changed) continue;
    tensor_release(gy[h->slot]);
    gy[h->slot] = changed;
  }
  return true;
}

/* A leaf's .grad: taken over when nobody else holds it, else copied; later ones are added in place. */
static bool accumulate(const Pass *p, Node *n, Tensor **gy) {
  Tensor *t = n->leaf, *grad = gy[0];
  if (!t || !grad || !t->requires_grad) return true; /* detached since, or frozen: it wants none any more */
  Tensor *now = tensor_grad(t), *next;
  int mark = pool_open();
  if (!now) {
    bool take = p->call->create_graph || (exclusive(grad) && tensor_is_contiguous(grad));
    next = take ? tensor_retain(grad) : tensor_cast(grad, (DType)grad->dtype);
  } else if (p->call->create_graph) {
    Arg arg[] = {ARG_T(now), ARG_T(grad), ARG_N(scalar_int(1))};
    next = tensor_retain(op_run(&def_add, arg));
  } else {
    Arg arg[] = {ARG_T(now), ARG_T(grad), ARG_N(scalar_int(1))};
    next = tensor_retain(op_run_inplace(&def_add, arg));
    t->autograd->added++;
  }
  bool good = next && tensor_set_grad(t, next);
  tensor_release(next);
  pool_shut(mark);
  for (Hook *h = t->autograd ? t->autograd->post_accumulate : NULL; good && h; h = h->next) {
    tensor_release(h->run(h->context, t));
    good = !failed();
  }
  return good;
}

/* A formula that leaves out an argument has no gradient for it: that is said, not passed off as zero. */
static bool check_complete(const Node *n, Tensor **gy, Tensor **gx) {
  const Schema *s = n->def->info;
  bool any = false;
  for (int k = 0; k < n->outs; k++) any |= gy[k] != NULL;
  for (int k = 0, at = 0; any && k < s->params; k++) {
    if (s->param[k].type > TYPE_TENSORS) continue;
    int count = s->param[k].type == TYPE_TENSORS ? (n->arg[k].given ? n->arg[k].n : 0) : 1;
    for (int i = 0; i < count; i++, at++)
      if (n->edge[at].node && !gx[at])
        return fail(MT_ENOTIMPL, "the derivative for '%s' is not implemented for %s: use %s:detach()", s->param[k].name,
                    s->name, s->param[k].name);
  }
  return true;
}

static bool run_op(Node *n, Tensor **gy, Tensor **gx, Tensor *sum) {
  Grad g = {n, gy, gx, sum, false};
  bool casts = autocast_anywhere(), paused = casts && autocast_pause(true);
  n->def->backward(&g);
  if (casts) autocast_pause(paused);
  if (g.added) return !failed();
  if ((n->def->flags & OP_OVERWRITES) && n->edge[0].node && !gx[0] && gy[0])
    gx[0] = tensor_retain(op_run(&def_zeros_like, (Arg[]){ARG_T(gy[0]), ARG_DTYPE(MT_NO_DTYPE), ARG_NIL, ARG_NIL}));
  return !failed() && check_complete(n, gy, gx);
}

static bool run_node(Node *n, Tensor **gy, Tensor **gx, Tensor *sum);

/* The base's gradient: outside the part it passes; inside, what the op on the part says. */
static bool run_slice(Node *n, Tensor **gy, Tensor **gx) {
  Slice *s = n->slice;
  Node *inner = s->inner;
  if (!gy[0]) return true;
  PartArgs g = part_args(s->base.ndim, s->base.shape, s->base.stride, s->view.ndim, s->view.shape, s->view.stride,
                         s->view.offset - s->base.offset);
  Tensor *part = op_run(&def_part, (Arg[]){ARG_T(gy[0]), g.arg[0], g.arg[1], g.arg[2], g.arg[3], g.arg[4]});
  if (!part) return false;
  Tensor *inner_gy[1] = {tensor_retain(part)};
  Edge own = inner->edge[0];
  if (n->edge[0].node) inner->edge[0].node = n->edge[0].node; /* so that the formula computes it */
  bool overwrites = inner->def->flags & OP_OVERWRITES;
  if (overwrites) inner->edge[0].node = NULL;
  bool good = run_node(inner, inner_gy, gx, NULL);
  inner->edge[0] = own;
  tensor_release(inner_gy[0]);
  if (good && n->edge[0].node) {
    Tensor *inside = gx[0];
    if (!inside) inside = op_run(&def_zeros_like, (Arg[]){ARG_T(part), ARG_DTYPE(MT_NO_DTYPE), ARG_NIL, ARG_NIL});
    Tensor *whole = tensor_retain(
        op_run(&def_part_put, (Arg[]){ARG_T(gy[0]), ARG_T(inside), g.arg[0], g.arg[1], g.arg[2], g.arg[3], g.arg[4]}));
    tensor_release(gx[0]);
    gx[0] = whole;
    good = whole != NULL;
  }
  return good;
}

static bool run_node(Node *n, Tensor **gy, Tensor **gx, Tensor *sum) {
  if (n->kind == NODE_OP) return run_op(n, gy, gx, sum);
  if (n->kind == NODE_SLICE) return run_slice(n, gy, gx);
  return n->host.run(n->host.context, n, gy, gx);
}

/* run_node, and in anomaly mode the script line behind a failure. */
static bool run_watched(Node *n, Tensor **gy, Tensor **gx) {
  const Node *outer = watch_running(n);
  bool good = run_node(n, gy, gx, NULL) && watch_check(n, gx);
  watch_running(outer);
  watch_close(n->kind == NODE_SLICE ? n->slice->inner : n);
  if (!good && anomaly_enabled() && *watch_place(n) && fail_code() != MT_EHOST &&
      !strstr(fail_message(), watch_place(n)))
    fail_suffix("\nError detected in %s: the forward call that caused it was made at %s", node_name(n), watch_place(n));
  return good;
}

/* Hands the wanted inputs what arrived at their edges. */
static void capture(Pass *p, Visit *v) {
  for (int i = 0; i < p->call->inputs; i++) {
    if (p->input[i].node != v->node || !v->gy[p->input[i].slot]) continue;
    tensor_release(p->call->found[i]);
    p->call->found[i] = tensor_retain(v->gy[p->input[i].slot]);
  }
}

/* The gradient that waits where a view's goes to: the view may add its part to it, instead of the whole with zeros around. */
static Tensor *waiting_sum(Pass *p, const Node *n) {
  if (n->kind != NODE_OP || !(n->def->flags & OP_VIEW) || p->call->create_graph || !n->edge[0].node) return NULL;
  Visit *v = visit_of(p, n->edge[0].node, false);
  Tensor *sum = v ? v->gy[n->edge[0].slot] : NULL;
  return sum && exclusive(sum) && sum->dtype == n->meta[0].dtype && tensor_is_contiguous(sum) ? sum : NULL;
}

/* Hides the edges of an operator's node that lead to no wanted input, so that its formula leaves their gradients out;
 * they come back after. A function that the host wrote sees all: what it returns goes where it is wanted. */
enum { HIDDEN_EDGES = 16 };
typedef struct {
  Node *few[HIDDEN_EDGES], **node; /* what edge k led to, or NULL where it was not hidden */
} Hidden;
static bool hide_edges(Pass *p, Node *n, Hidden *h) {
  h->node = NULL;
  if (!p->limited || n->kind == NODE_HOST) return true;
  for (int k = 0; k < n->edges; k++) {
    Visit *to = n->edge[k].node ? visit_of(p, n->edge[k].node, false) : NULL;
    if (!n->edge[k].node || (to && (to->runs || to->captures))) continue;
    if (!h->node) {
      h->node = n->edges <= HIDDEN_EDGES ? h->few : mem_alloc(sizeof *h->node * (size_t)n->edges);
      if (!h->node) return false;
      memset(h->node, 0, sizeof *h->node * (size_t)n->edges);
    }
    h->node[k] = n->edge[k].node;
    n->edge[k].node = NULL;
  }
  return true;
}
static void show_edges(Node *n, Hidden *h) {
  for (int k = 0; h->node && k < n->edges; k++)
    if (h->node[k]) n->edge[k].node = h->node[k];
  if (h->node != h->few) mem_free(h->node);
}

static bool process(Pass *p, int index) {
  Visit *v = &p->visit[index];
  Node *n = v->node;
  if (!run_hooks(n->hooks, v->gy)) return false;
  if (v->captures) capture(p, v);
  if (n->kind == NODE_LEAF) return p->limited && !p->call->accumulate ? true : accumulate(p, n, v->gy);
  if (p->limited && !v->runs) return true;
  Tensor *few[8] = {NULL}, **gx = few;
  if (n->edges > 8 && !(gx = mem_zero(sizeof *gx * (size_t)n->edges))) return false;
  Hidden hidden;
  bool good = hide_edges(p, n, &hidden);
  int mark = pool_open();
  if (good) good = graph_watched() || n->watch ? run_watched(n, v->gy, gx) : run_node(n, v->gy, gx, waiting_sum(p, n));
  pool_shut(mark);
  show_edges(n, &hidden);
  v = NULL; /* a backward written by the host may have started passes of its own, never on this Pass */
  for (int i = 0; i < n->edges; i++) {
    if (!gx[i]) continue;
    if (good && n->edge[i].node)
      good = deliver(p, n->edge[i], gx[i]);
    else
      tensor_release(gx[i]);
  }
  if (gx != few) mem_free(gx);
  if (good && !p->call->keep_graph) node_drop(n);
  Visit *again = &p->visit[index];
  for (int k = 0; k < n->outs; k++) {
    tensor_release(again->gy[k]);
    again->gy[k] = NULL;
  }
  return good;
}

static int by_order(const void *a, const void *b) {
  uint64_t x = (*(Node *const *)a)->order, y = (*(Node *const *)b)->order;
  return x < y ? -1 : x > y;
}

/* Marks the nodes from which a wanted input can be reached. Oldest first: what a node points to is decided before it. */
static bool limit(Pass *p) {
  for (int i = 0; i < p->call->inputs; i++) {
    if (!p->input[i].node) continue;
    Visit *v = visit_of(p, p->input[i].node, true);
    if (!v) return false;
    v->captures = true;
  }
  for (int i = 0; i < p->call->roots; i++) {
    Edge e;
    if (!tensor_edge(p->call->root[i], &e) || (e.node && !visit_of(p, e.node, true))) return false;
  }
  for (int done = 0; done < p->visits; done++) {
    Node *n = p->visit[done].node;
    for (int i = 0; i < n->edges; i++)
      if (n->edge[i].node && !visit_of(p, n->edge[i].node, true)) return false;
  }
  Node **sorted = mem_alloc(sizeof *sorted * (size_t)(p->visits + 1));
  if (!sorted) return false;
  for (int i = 0; i < p->visits; i++) sorted[i] = p->visit[i].node;
  qsort(sorted, (size_t)p->visits, sizeof *sorted, by_order);
  for (int i = 0; i < p->visits; i++) {
    Visit *v = visit_of(p, sorted[i], false);
    for (int k = 0; k < sorted[i]->edges && !v->runs; k++) {
      if (!sorted[i]->edge[k].node) continue;
      Visit *to = visit_of(p, sorted[i]->edge[k].node, false);
      v->runs = to->runs || to->captures;
    }
  }
  mem_free(sorted);
  return true;
}

static Tensor *ones_for(const Tensor *root) {
  Tensor *one = tensor_new((DType)root->dtype, root->ndim, root->shape, tensor_device(root));
  if (one && tensor_fill(one, scalar_int(1))) return one;
  tensor_release(one);
  return NULL;
}

/* Checks everything about roots and inputs before any gradient moves. */
static bool start(Pass *p) {
  const BackwardCall *c = p->call;
  if (c->roots == 0) return fail(MT_EARG, "backward needs at least one tensor");
  for (int i = 0; i < c->roots; i++) {
    Tensor *t = c->root[i], *g = c->grad ? c->grad[i] : NULL;
    if (!tensor_wants_grad(t))
      return fail(MT_ERUNTIME,
                  "element %d of tensors does not require grad and does not have a grad_fn: %s was made %s. Set "
                  "requires_grad on the tensors it comes from",
                  i + 1, tensor_text(t),
                  tensor_is_float(t)
                      ? "from tensors without requires_grad (data, frozen parameters), under torch.no_grad or "
                        "torch.inference_mode, or by detach()"
                      : "by an operation on integers, which has no gradient");
    if (!g && t->numel != 1)
      return fail(MT_ERUNTIME,
                  "grad can be implicitly created only for scalar outputs: this one has shape %s. Reduce it first "
                  "with :sum() or :mean(), or pass a gradient of that shape",
                  shape_text(t->ndim, t->shape));
    if (g && !tensor_same_shape(t, g))
      return fail(MT_ERUNTIME, "Mismatch in shape: grad_output[%d] has a shape of %s and output[%d] has a shape of %s.",
                  i + 1, shape_text(g->ndim, g->shape), i + 1, shape_text(t->ndim, t->shape));
  }
  p->limited = c->inputs > 0;
  if (!p->limited) return true;
  p->input = mem_zero(sizeof *p->input * (size_t)c->inputs);
  if (!p->input) return false;
  for (int i = 0; i < c->inputs; i++) {
    if (!tensor_wants_grad(c->input[i]))
      return fail(MT_ERUNTIME, "One of the differentiated Tensors does not require grad: input %d, %s", i + 1,
                  tensor_text(c->input[i]));
    if (!tensor_edge(c->input[i], &p->input[i])) return false;
  }
  return limit(p);
}

/* The caller's gradient in the root's dtype. Owned. */
static Tensor *as_root(Tensor *grad, DType d) {
  if (grad->dtype == d) return tensor_retain(grad);
  int mark = pool_open();
  Tensor *t = tensor_retain(op_run(&def_cast, (Arg[]){ARG_T(grad), ARG_DTYPE(d)}));
  pool_shut(mark);
  return t;
}

static bool send_roots(Pass *p) {
  const BackwardCall *c = p->call;
  for (int i = 0; i < c->roots; i++) {
    Edge e;
    if (!tensor_edge(c->root[i], &e)) return false;
    Tensor *g = c->grad && c->grad[i] ? as_root(c->grad[i], (DType)c->root[i]->dtype) : ones_for(c->root[i]);
    if (!g || !deliver(p, e, g)) return false;
  }
  return true;
}

static void finish(Pass *p) {
  for (int i = 0; i < p->visits; i++) {
    Visit *v = &p->visit[i];
    for (int k = 0; k < v->node->outs; k++) tensor_release(v->gy[k]);
    if (v->gy != v->inline_gy) mem_free(v->gy);
    node_release(v->node);
  }
  mem_free(p->visit);
  mem_free(p->heap);
  mem_free(p->slot);
  mem_free(p->input);
}

bool backward_run(const BackwardCall *call) {
  if (failed()) return false;
  Pass p = {.call = call};
  bool recording = grad_set_enabled(call->create_graph);
  bool good = grow(&p) && start(&p) && send_roots(&p);
  while (good && p.waiting > 0) good = process(&p, (int)(heap_pop(&p) - p.visit));
  grad_set_enabled(recording);
  finish(&p);
  for (int i = 0; !good && i < call->inputs; i++) {
    tensor_release(call->found[i]);
    call->found[i] = NULL;
  }
  return good;
}
