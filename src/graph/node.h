/* Graph: nodes, edges, and what a tensor knows about its gradient.
 *
 * A node points to the nodes that made its inputs, never the other way, and a leaf's node holds its tensor weakly; saved
 * tensors are aliases with the edge of their time. So no cycle can arise and reference counts free everything. A node is
 * made after every node it points to: `order` alone is a topological order. */
#ifndef MT_NODE_H
#define MT_NODE_H
#include "graph/op.h"

typedef struct Edge {
  struct Node *node; /* owned; NULL: no gradient is wanted there */
  int slot;          /* which result of that node */
} Edge;

/* Shape and dtype of the input behind an edge, to bring its gradient back to. */
typedef struct EdgeMeta {
  uint8_t dtype, ndim;
  Device device;
  const int64_t *shape; /* into Node.dims */
} EdgeMeta;

typedef Tensor *(*HookFn)(void *context, Tensor *grad); /* NULL: unchanged (or failed()); else a new owned gradient */
typedef struct Hook {
  struct Hook *next;
  int slot;
  int64_t id;
  HookFn run;
  void (*release)(void *context);
  void *context;
} Hook;

/* A backward written by the host (torch.autograd.Function). gy may hold NULLs; gx receives owned tensors or NULL. */
typedef struct HostBackward {
  bool (*run)(void *context, struct Node *node, Tensor **gy, Tensor **gx);
  void (*drop)(void *context); /* saved tensors are no longer needed */
  void (*release)(void *context);
  void *context;
  const char *name; /* owned by the context */
} HostBackward;

/* An in-place op on a view, as its base sees it: the op `inner` applied to one part of the base. edge[0] is the base's
 * old edge, the others are inner's without the one of the view itself. */
typedef struct Slice {
  struct Node *inner;
  OutMeta base, view;
} Slice;

typedef enum { NODE_OP, NODE_LEAF, NODE_SLICE, NODE_HOST } NodeKind;
enum { NODE_EDGES = 3, NODE_ARGS = 6, NODE_DIMS = 12 };

typedef struct Node {
  int refs;
  uint8_t kind;
  uint8_t outs;
  bool dropped; /* saved tensors were given back after a backward */
  int edges, args;
  union {
    uint64_t order;
    struct Node *dead;
  }; /* dead: link while a chain of nodes is being freed */
  OpDef *def;
  Edge *edge;               /* edge_inline, or heap */
  EdgeMeta *meta;           /* one an edge */
  Arg *arg;                 /* NODE_OP: arguments; tensors are saved aliases or NULL */
  Tensor *result[MAX_OUTS]; /* saved results, as aliases without an edge of their own */
  uint32_t result_version[MAX_OUTS];
  Hook *hooks;
  struct Watch *watch; /* NULL unless anomaly mode or saved_tensors_hooks was on, see watch.h; owned */
  void *heap;          /* lists and what did not fit inline; one block */
  union {
    Tensor *leaf; /* NODE_LEAF: weak; cleared when the tensor dies */
    HostBackward host;
    struct Slice *slice; /* NODE_SLICE; owned */
  };
  Edge edge_inline[NODE_EDGES];
  EdgeMeta meta_inline[NODE_EDGES];
  Arg arg_inline[NODE_ARGS];
  int64_t dims[NODE_DIMS];
} Node;

typedef struct Autograd {
  Node *grad_fn; /* owned; NULL for a leaf */
  int slot;
  Node *leaf;            /* owned; the accumulating node of a leaf, made on demand */
  Tensor *grad;          /* owned */
  uint32_t generation;   /* how often an in-place op on a view gave this tensor a new grad_fn */
  uint32_t seen;         /* a view: its base's generation when grad_fn was made */
  int64_t retain_id;     /* the hook of retain_grad(), 0 when off */
  uint32_t grads, added; /* how often grad was another tensor; how often backward then added to that one */
  Hook *post_accumulate; /* leaf: after .grad was updated */
} Autograd;

/* Grad mode of this thread. */
bool grad_enabled(void);
bool grad_set_enabled(bool on); /* returns the old value */
bool inference_mode(void);
bool inference_set(bool on);

/* What t's gradient flows to; node NULL when none is wanted. Borrowed. Brings a view up to date with its base. */
bool tensor_edge(Tensor *t, Edge *edge);
bool tensor_wants_grad(Tensor *t); /* requires_grad, views brought up to date */
static inline bool tensor_is_leaf(const Tensor *t) { return !t->autograd || !t->autograd->grad_fn; }
bool tensor_set_requires_grad(Tensor *t, bool on);
Tensor *tensor_grad(const Tensor *t);          /* borrowed */
bool tensor_set_grad(Tensor *t, Tensor *grad); /* retains; checks shape, dtype, device */
Tensor *tensor_detach(Tensor *t);              /* owned: an alias without history, sharing version */
Autograd *tensor_autograd(Tensor *t);          /* made on demand; NULL and failure */
bool tensor_retain_grad(Tensor *t);
/* The hook gets each gradient of t; returns an id for hook_remove, 0 on failure (context is released then). */
int64_t tensor_hook(Tensor *t, HookFn run, void (*release)(void *), void *context);
int64_t tensor_post_hook(Tensor *t, HookFn run, void (*release)(void *), void *context);
void tensor_unhook(Tensor *t, int64_t id);

Node *node_retain(Node *n);
void node_release(Node *n);           /* frees chains of any length without recursion */
int64_t nodes_living(void);           /* made by this thread less those that it freed */
const char *node_name(const Node *n); /* "AddBackward0" */

/* Recording, used by op_call: attach a node for the call to its results. `inplace` rebases argument 0. Reserve first
 * (can fail, changes nothing), then commit (cannot fail). */
bool record_wanted(OpCall *call);
Node *record_reserve(OpCall *call);
bool record_commit(OpCall *call, Node *node);
void record_results(OpCall *call, Node *node);
/* A host node over `inputs`; the caller attaches it with record_host_output. */
Node *record_host(HostBackward host, int inputs, Tensor **input, int outs);
bool record_host_output(Node *node, int slot, Tensor *out);

/* Backward from roots. grads[i] NULL means ones (roots of one element only). Without inputs: accumulates into leaves'
 * .grad. With inputs: returns their gradients in found[] (owned, NULL where none flowed) and touches no .grad, unless
 * accumulate is set (backward{inputs = ...}). */
typedef struct BackwardCall {
  int roots, inputs;
  Tensor **root, **grad, **input, **found;
  bool keep_graph, create_graph, accumulate;
} BackwardCall;
bool backward_run(const BackwardCall *call);

/* What an operator's backward sees. Gradients are built from op_* calls; formulas need no error checks. */
typedef struct Grad {
  Node *node;
  Tensor **gy; /* per result, NULL where none arrived */
  Tensor **gx; /* per edge, owned */
  Tensor *sum; /* what waits for the gradient of argument 0 already, to be written to; NULL: nothing, or not to be */
  bool added;  /* the formula added to sum and leaves gx[0] out */
} Grad;
static inline Tensor *g_out(const Grad *g, int k) { return g->gy[k]; }
bool g_needs(const Grad *g, int arg);           /* is a gradient wanted for tensor argument arg */
bool g_needs_at(const Grad *g, int arg, int k); /* for element k of a Tensor[] argument */
Tensor *g_in(const Grad *g, int arg);           /* saved argument; version-checked */
Tensor *g_result(const Grad *g, int k);         /* saved result; version-checked */
const Arg *g_arg(const Grad *g, int arg);       /* any argument that is not a tensor */
const EdgeMeta *g_meta(const Grad *g, int arg); /* shape and dtype of argument arg */
const EdgeMeta *g_meta_at(const Grad *g, int arg, int k);
/* Sets the gradient of argument arg; sums over broadcast dims and casts to its dtype. t is borrowed, NULL after failure. */
void g_set(Grad *g, int arg, Tensor *t);
void g_set_at(Grad *g, int arg, int k, Tensor *t);
#endif
