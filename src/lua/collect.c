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
 * collector is never driven while it is stopped or runs a finalizer. */
#include "lua/binding.h"
#include "base/alloc.h"

enum {
  LOOK = 32 << 10, /* native bytes boxed by this thread between two looks at memory */
  PER_HEAP = 32,
  MOST = 16 << 20, /* the limit with a small Lua heap is so many times the heap, at most this */
  BOXES = 2000,    /* boxes between two cycles, */
  PER_BOX = 1024   /* or one for so many bytes of the heap */
};

typedef struct Pace {
  int64_t settled; /* native bytes when the last complete cycle ended, or fewer if there were fewer since */
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

static void settle(Pace *p) { *p = (Pace){.settled = memory_in_use()}; }

static int64_t limit_of(int64_t heap) {
  int64_t few = heap < MOST / PER_HEAP ? heap * PER_HEAP : MOST, most = heap / 5 * 4;
  return few > most ? few : most;
}

static int64_t most_boxes(int64_t heap) { return heap / PER_BOX > BOXES ? heap / PER_BOX : BOXES; }

static void look(lua_State *L, int64_t boxes) {
  if (!running(L)) return;
  Pace *p = pace_of(L);
  int64_t now = memory_in_use();
  if (now < p->settled) settle(p);
  if (!p->heap) p->heap = ((int64_t)lua_gc(L, LUA_GCCOUNT) + 1) << 10;
  p->boxes += boxes;
  int64_t excess = now - p->settled, limit = limit_of(p->heap);
  if (excess > limit + limit / 8) {
    lua_gc(L, LUA_GCCOLLECT);
    settle(p);
    return;
  }
  double due = (double)excess / (double)limit, by_boxes = (double)p->boxes / (double)most_boxes(p->heap);
  if (due < by_boxes) due = by_boxes;
  int kilobytes = (int)((due - p->told) * (double)p->heap / 1024);
  if (kilobytes <= 0) return;
  p->told = due;
  lua_gc(L, LUA_GCSTEP, kilobytes);
  int64_t after = memory_in_use();
  if (after < now) { /* it freed some: a cycle has come to its finalizers, or this was a minor collection */
    p->told = after > p->settled ? (double)(after - p->settled) / (double)limit : 0;
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
