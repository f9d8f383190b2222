/* Collector: Lua cannot see native memory, so what boxes keep alive is charged to it.
 *
 * Garbage among native bytes is at most what they have grown by since the last complete cycle: the excess. The collector
 * is told of it in steps, scaled so that it is as if Lua's own heap had doubled when the excess reaches a limit. In
 * incremental mode that starts a cycle and drives it to its end; in generational mode it makes a minor collection at each
 * fifth of the limit. Where the excess passes the limit all the same (results that grew old under minor collections, a
 * host that set a long pause) a full collection is made. Memory given back by hand (free, <close>, backward) is no excess.
 *
 * A cycle takes time with the size of Lua's heap, and so the limit goes with it: a small heap is gone through often, a
 * large one lets four fifths of its size pile up. Small tensors weigh little but cost a miss of the cache for every line
 * when many dead ones lie about, so a number of boxes is a limit as well. It grows with the heap, too: a cycle shared
 * among the boxes made since the last one must stay cheaper than those misses.
 *
 * Each Lua state has a Pace. It learns of complete cycles, whoever made them, from a userdata that nothing refers to: its
 * finalizer notes what is in use then and arms itself again. Minor collections do not reach it, since it is old. The
 * collector is never driven while it is stopped or runs a finalizer.
 *
 * Memory of devices is looked at in the same way. Its limit goes with what a device has: garbage there costs nothing until
 * that is used up. */
#include "lua/binding.h"
#include "base/alloc.h"
#include "tensor/device.h"

enum {
  LOOK = 32 << 10, /* native bytes boxed by this thread between two looks at memory */
  PER_HEAP = 32,
  MOST = 16 << 20,     /* the limit with a small Lua heap is so many times the heap, at most this */
  BOXES = 2000,        /* boxes between two cycles, */
  PER_BOX = 1024,      /* or one for so many bytes of the heap */
  OF_DEVICE = 16,      /* garbage on devices is at most that part of the smallest, */
  ON_DEVICE = 64 << 20 /* or so much */
};

typedef struct Pace {
  int64_t settled; /* native bytes when the last complete cycle ended, or fewer if there were fewer since */
  int64_t device;  /* the same on devices */
  int64_t boxes;   /* made since then, or since a minor collection */
  int64_t heap;    /* Lua's own bytes soon after; 0: not looked at yet */
  double told;     /* parts of a heap that the collector was told of */
} Pace;

static const char PACE = 'p';
static _Thread_local struct { int64_t bytes, boxes; } unseen; /* boxed since the last look */

static bool running(lua_State *L) { return lua_gc(L, LUA_GCISRUNNING) > 0; } /* inside a finalizer it is 0 or -1 */

static Pace *pace_of(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &PACE);
  Pace *p = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return p;
}

/* Bytes that tensors hold on devices; in *limit how many may be garbage. */
static int64_t device_in_use(int64_t *limit) {
  const DeviceDriver *driver = device_registered(MT_CUDA);
  *limit = ON_DEVICE;
  if (__builtin_expect(!driver, 1)) return 0;
  int64_t capacity = 0, held = driver->in_use(&capacity);
  if (capacity / OF_DEVICE > *limit) *limit = capacity / OF_DEVICE;
  return held;
}

static void settle(Pace *p) {
  int64_t limit;
  *p = (Pace){.settled = memory_in_use(), .device = device_in_use(&limit)};
}

static double part_of(int64_t excess, int64_t limit) { return excess > 0 ? (double)excess / (double)limit : 0; }

static int64_t limit_of(int64_t heap) {
  int64_t few = heap < MOST / PER_HEAP ? heap * PER_HEAP : MOST, most = heap / 5 * 4;
  return few > most ? few : most;
}

static int64_t most_boxes(int64_t heap) { return heap / PER_BOX > BOXES ? heap / PER_BOX : BOXES; }

static void look(lua_State *L, int64_t boxes) {
  if (!running(L)) return;
  Pace *p = pace_of(L);
  int64_t now = memory_in_use();
  if (now < p->settled) { /* which says nothing of devices */
    int64_t device = p->device;
    settle(p);
    if (p->device > device) p->device = device;
  }
  if (!p->heap) p->heap = ((int64_t)lua_gc(L, LUA_GCCOUNT) + 1) << 10;
  p->boxes += boxes;
  int64_t most, held = device_in_use(&most), excess = now - p->settled, limit = limit_of(p->heap);
  if (held < p->device) p->device = held;
  if (excess > limit + limit / 8 || held - p->device > most + most / 8) {
    lua_gc(L, LUA_GCCOLLECT);
    settle(p);
    return;
  }
  double due = part_of(excess, limit), by_boxes = (double)p->boxes / (double)most_boxes(p->heap);
  double by_devices = part_of(held - p->device, most);
  if (due < by_devices) due = by_devices;
  if (due < by_boxes) due = by_boxes;
  int kilobytes = (int)((due - p->told) * (double)p->heap / 1024);
  if (kilobytes <= 0) return;
  p->told = due;
  lua_gc(L, LUA_GCSTEP, kilobytes);
  int64_t after = memory_in_use();
  if (after < now) { /* it freed some: a cycle has come to its finalizers, or this was a minor collection */
    by_devices = part_of(device_in_use(&most) - p->device, most);
    p->told = part_of(after - p->settled, limit);
    if (p->told < by_devices) p->told = by_devices;
    p->boxes = 0;
  }
}

void charge(lua_State *L, int64_t bytes) {
  unseen.bytes += bytes;
  unseen.boxes++;
  if (__builtin_expect(unseen.bytes < LOOK, 1)) return;
  int64_t boxes = unseen.boxes;
  unseen.bytes = unseen.boxes = 0;
  look(L, boxes);
}

void collect_hard(lua_State *L) {
  if (running(L)) lua_gc(L, LUA_GCCOLLECT);
  memory_trim();
}

/* The finalizer of the watch: a complete cycle has ended. */
static int cycle_ended(lua_State *L) {
  Pace *p = pace_of(L);
  if (p) settle(p);
  lua_getmetatable(L, 1);
  lua_setmetatable(L, 1);
  return 0;
}

void collect_open(lua_State *L) {
  Pace *p = lua_newuserdatauv(L, sizeof *p, 0);
  settle(p);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &PACE);
  lua_newuserdatauv(L, 0, 0);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, cycle_ended);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_pop(L, 1);
}
