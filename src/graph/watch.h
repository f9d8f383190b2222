/* Watching the graph: anomaly mode and hooks on saved tensors.
 *
 * Both are modes of a thread, off unless asked for. While no thread watches, a call pays for them with one load of
 * graph_watchers. What only a host can tell (where its script is, what its hooks give) comes through a WatchHost. */
#ifndef MT_WATCH_H
#define MT_WATCH_H
#include "graph/node.h"

enum { WATCH_PLACE = 160 };

typedef struct WatchHost {
  /* Where the script is now, such as "train.lua:12"; "" when that cannot be said. Allocates nothing, never fails. */
  void (*place)(char *to, size_t room);
  /* Says it through the host's warnings, with the place. Never fails. */
  void (*warn)(const char *message);
  /* Saved tensors: a handle for what the hook made of t, NULL after a failure; later a tensor (owned) from it. */
  void *(*pack)(Tensor *t);
  Tensor *(*unpack)(void *handle);
  void (*release)(void *handle);
} WatchHost;
void watch_start(const WatchHost *host); /* at load */
void watch_here(char *place);            /* WATCH_PLACE bytes; "" when the host cannot say */
void watch_devices(void);                /* from now on warn and place know the call: devices tell of mistakes later */
void host_warn(const char *message);     /* WatchHost.warn, if there is a host */

extern __attribute__((visibility("hidden")))
atomic_int graph_watchers; /* threads that watch, each mode counted by itself */
static inline bool graph_watched(void) {
  return __builtin_expect(atomic_load_explicit(&graph_watchers, memory_order_relaxed) != 0, 0);
}

/* Anomaly mode of this thread: backward names the op and the script line behind a failure, and with check_nan refuses
 * gradients that are NaN. */
bool anomaly_enabled(void);
bool anomaly_checks_nan(void);
void anomaly_set(bool on, bool check_nan);
/* Are saved tensors of this thread given to the host's hooks? */
bool packing_enabled(void);
void packing_set(bool on);

/* What a node keeps for this: where it was made (anomaly mode), saved tensors that the host's hooks packed. */
typedef struct Watch {
  char place[WATCH_PLACE];
  struct Packed *packed;
} Watch;

bool watch_node(Node *n);               /* in anomaly mode: notes where the node is being made. False and a failure */
const char *watch_place(const Node *n); /* "" when nothing was noted */
void watch_drop(Node *n);               /* gives the packed tensors back */
void watch_free(Node *n);
/* Packs t for argument `at`, or for result -1 - at. The edge is the one that the saved tensor will have. */
bool watch_pack(Node *n, int at, Tensor *t, const Edge *edge);
/* The packed tensor as the backward formula sees it, borrowed until watch_close; NULL when there is none, or failed. */
Tensor *watch_unpack(Node *n, int at);
void watch_close(Node *n); /* after the node has run */

/* After a node has run in anomaly mode: refuses NaN among its gradients. */
bool watch_check(const Node *n, Tensor *const *gx);
/* The node being run in this thread's backward, for places of nodes made by it; returns the one before. */
const Node *watch_running(const Node *n);
/* ": it was written at train.lua:12", of a tensor that a node keeps at version `kept`; "" when that is not known. */
const char *watch_written(const Tensor *t, uint32_t kept);
#endif
