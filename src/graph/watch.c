/* Watching the graph: places of nodes and of writes, NaN in gradients, saved tensors in the host's keeping.
 *
 * Invariant: with both modes off nothing here allocates, and what was noted is given back with the node that it is about
 * (writes: when anomaly mode ends). */
#include "graph/watch.h"
#include "base/alloc.h"
#include "graph/record.h"
#include <string.h>

extern OpDef def_isnan, def_any;

static const WatchHost *watch_host;
atomic_int graph_watchers;

static _Thread_local bool anomaly, check_nan, packing;
static _Thread_local const Node *running;

void watch_here(char *place) {
  *place = 0;
  if (watch_host) watch_host->place(place, WATCH_PLACE);
}

void host_warn(const char *message) {
  if (watch_host) watch_host->warn(message);
}

void watch_devices(void) {
  static atomic_bool watched;
  if (!atomic_exchange(&watched, true)) atomic_fetch_add(&graph_watchers, 1);
}

/* The last writes, by storage: those whose hashes agree share WAYS slots, and the oldest goes. Memory is bounded; a write
 * that others pushed out is not named. Without anomaly mode only writes to what a graph keeps come here, and WAYS do. */
typedef struct Write {
  const Storage *storage;
  uint32_t version;
  uint64_t number; /* counted from the thread's first write */
  char place[WATCH_PLACE];
} Write;
enum { WRITES = 256, WAYS = 8 };
static _Thread_local Write few_writes[WAYS], *many_writes;
static _Thread_local uint64_t writes_noted;

/* The slot of a storage, or the oldest of those that it may take. */
static Write *write_slot(const Storage *s) {
  uint64_t hash = ((uintptr_t)s >> 4) * 0x9E3779B97F4A7C15u >> 32;
  Write *set = many_writes ? &many_writes[hash % (WRITES / WAYS) * WAYS] : few_writes, *oldest = set;
  for (int i = 0; i < WAYS; i++) {
    if (set[i].storage == s) return &set[i];
    if (set[i].number < oldest->number) oldest = &set[i];
  }
  return oldest;
}

static void note_write(const Storage *s) {
  if (!watch_host) return;
  Write *w = write_slot(s);
  w->storage = s;
  w->version = s->version;
  w->number = ++writes_noted;
  watch_host->place(w->place, sizeof w->place);
}

const char *watch_written(const Tensor *t, uint32_t kept) {
  const Write *w = write_slot(t->storage);
  if (w->storage != t->storage || !*w->place) return "";
  if (w->version == kept + 1) return text(": it was written at %s", w->place);
  return w->version == t->storage->version ? text(": it was last written at %s", w->place) : "";
}

void watch_start(const WatchHost *host) {
  static atomic_bool started; /* by the first of several states of the host */
  if (atomic_exchange(&started, true)) return;
  watch_host = host;
  storage_watcher = note_write;
}

/* --- modes --- */

static void count(bool was, bool is) {
  if (was != is) atomic_fetch_add(&graph_watchers, is ? 1 : -1);
}

bool anomaly_enabled(void) { return anomaly; }
bool anomaly_checks_nan(void) { return anomaly && check_nan; }
void anomaly_set(bool on, bool nan) {
  count(anomaly, on);
  if (anomaly != on) atomic_fetch_add(&watch_writes, on ? 1 : -1);
  anomaly = on;
  check_nan = nan;
  if (on && !many_writes) {
    many_writes = mem_zero(sizeof *many_writes * WRITES);
    if (!many_writes) fail_clear(); /* the mode works with few */
  } else if (!on && many_writes) {
    mem_free(many_writes);
    many_writes = NULL;
  }
}

bool packing_enabled(void) { return packing; }
void packing_set(bool on) {
  count(packing, on);
  packing = on;
}

/* --- nodes --- */

static Watch *watch_of(Node *n) {
  if (!n->watch) n->watch = mem_zero(sizeof *n->watch);
  return n->watch;
}

bool watch_node(Node *n) {
  if (!anomaly || !watch_host) return true;
  Watch *w = watch_of(n);
  if (!w) return false;
  watch_host->place(w->place, sizeof w->place);
  if (!running) return true;
  const char *before = watch_place(running);
  const char *more =
      text("%sin the backward of %s%s%s", *w->place ? ", " : "", node_name(running), *before ? " from " : "", before);
  size_t used = strlen(w->place), length = strlen(more), room = sizeof w->place - 1 - used;
  memcpy(w->place + used, more, length < room ? length : room); /* zeros follow */
  return true;
}

const char *watch_place(const Node *n) { return n->watch ? n->watch->place : ""; }

const Node *watch_running(const Node *n) {
  const Node *outer = running;
  running = n;
  return outer;
}

void watch_free(Node *n) {
  watch_drop(n);
  mem_free(n->watch);
  n->watch = NULL;
}

/* --- packed tensors --- */

typedef struct Packed {
  struct Packed *next;
  int at;
  void *handle;
  Edge edge;    /* owned */
  Tensor *open; /* what the hook gave back, while the node runs; owned */
} Packed;

void watch_drop(Node *n) {
  Packed *p = n->watch ? n->watch->packed : NULL;
  if (n->watch) n->watch->packed = NULL;
  while (p) {
    Packed *next = p->next;
    tensor_release(p->open);
    node_release(p->edge.node);
    watch_host->release(p->handle);
    mem_free(p);
    p = next;
  }
}

bool watch_pack(Node *n, int at, Tensor *t, const Edge *edge) {
  Watch *w = watch_of(n);
  Packed *p = w ? mem_zero(sizeof *p) : NULL;
  if (!p) return false;
  uint32_t version = t->storage->version;
  bool recording = grad_set_enabled(false);
  packing_set(false); /* what the hook itself computes is not saved through it */
  p->handle = watch_host->pack(t);
  packing_set(true);
  grad_set_enabled(recording);
  if (p->handle && t->storage->version != version)
    fail(MT_ERUNTIME,
         "A saved tensor pack hook is modifying its input in place. Tensors provided as input to pack hook cannot be "
         "modified by in-place operations as this can lead to unexpected side-effects. Clone it first");
  if (failed()) {
    if (p->handle) watch_host->release(p->handle);
    mem_free(p);
    return false;
  }
  p->at = at;
  if (edge) p->edge = (Edge){node_retain(edge->node), edge->slot};
  p->next = w->packed;
  w->packed = p;
  return true;
}

/* The hook's tensor may be anything: an alias of it gets the edge of the saved one. */
static Tensor *linked(Tensor *t, const Edge *edge) {
  Tensor *a = tensor_alias(t);
  if (!a || !edge->node || !tensor_is_float(a)) return a;
  Autograd *g = tensor_autograd(a);
  if (!g) return tensor_release(a), NULL;
  g->grad_fn = node_retain(edge->node);
  g->slot = edge->slot;
  a->requires_grad = true;
  return a;
}

Tensor *watch_unpack(Node *n, int at) {
  Packed *p = n->watch ? n->watch->packed : NULL;
  while (p && p->at != at) p = p->next;
  if (!p || failed()) return NULL;
  if (p->open) return p->open;
  Tensor *t = watch_host->unpack(p->handle);
  if (t) p->open = linked(t, &p->edge);
  tensor_release(t);
  return p->open;
}

void watch_close(Node *n) {
  for (Packed *p = n->watch ? n->watch->packed : NULL; p; p = p->next) {
    tensor_release(p->open);
    p->open = NULL;
  }
}

/* --- gradients --- */

static bool has_nan(Tensor *t) {
  if (!tensor_is_float(t) || t->numel == 0) return false;
  int mark = pool_open();
  bool recording = grad_set_enabled(false), found = false;
  Tensor *nan = op_run(&def_isnan, (Arg[]){ARG_T(t)});
  Tensor *any = nan ? op_run(&def_any, (Arg[]){ARG_T(nan), ARG_NIL, ARG_I(0)}) : NULL;
  if (any) found = tensor_scalar(any).i != 0;
  grad_set_enabled(recording);
  pool_shut(mark);
  return found;
}

/* The name of the argument behind edge `at`, for ops that have a schema. */
static const char *argument_of(const Node *n, int at) {
  if (n->kind != NODE_OP) return "";
  const Schema *s = n->def->info;
  for (int k = 0; k < s->params; k++) {
    if (s->param[k].type > TYPE_TENSORS) continue;
    int room = s->param[k].type == TYPE_TENSORS ? (n->arg[k].given ? n->arg[k].n : 0) : 1;
    if (at < room) return text(" It is the gradient of argument '%s'.", s->param[k].name);
    at -= room;
  }
  return "";
}

bool watch_check(const Node *n, Tensor *const *gx) {
  if (!anomaly_checks_nan() || n->kind == NODE_LEAF) return true;
  for (int i = 0; i < n->edges; i++)
    if (gx[i] && has_nan(gx[i]))
      return fail(MT_ERUNTIME, "Function '%s' returned nan values in its %dth output.%s", node_name(n), i,
                  argument_of(n, i));
  return !failed();
}
