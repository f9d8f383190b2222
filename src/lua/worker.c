/* Workers: a Lua state of its own in a thread of its own, with a queue of parcels to it and one from it.
 *
 * The thread makes and closes its state; nothing else touches it, except that a worker which does not end within
 * PATIENCE is interrupted by a hook, the one thing that Lua allows from outside. Invariants: `lock` guards the queues and
 * flags; whoever takes a parcel from a queue owns it; the handle in Lua joins the thread before it frees anything, in its
 * finalizer at the latest. A thread that even a hook cannot end, as it waits in C, is left to itself: it frees its Worker
 * when it comes back. Workers take no signals, and their loops do not use the thread pool. */
#define _GNU_SOURCE
#include "base/alloc.h"
#include "base/pool.h"
#include "graph/autocast.h"
#include "lua/parcel.h"
#include <errno.h>
#include <lualib.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef __APPLE__
/* A host may have left Lua's libraries out; then there are no workers. */
extern __typeof__(luaL_openlibs) luaL_openlibs __attribute__((weak));
#endif
#ifdef __APPLE__
#define WAIT_CLOCK CLOCK_REALTIME
#else
#define WAIT_CLOCK CLOCK_MONOTONIC
#endif

enum { PATIENCE = 5, MESSAGE = 4096 };
static const char WORKER_MARK = 'w';
lua_CFunction library_open;

typedef struct Queue {
  Parcel *first, *last;
} Queue;

typedef struct Worker {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  Queue in, out;
  bool started, stop, ended;
  bool interrupted; /* its state has the hook */
  bool alone;       /* nobody waits for it any more */
  lua_State *state; /* while it may be interrupted */
  pthread_t thread;
  pid_t pid;
  Parcel *places, *setup;
  char error[MESSAGE]; /* why it ended, when that was not asked for */
  char warning[MESSAGE];
} Worker;

static void queue_put(Queue *q, Parcel *p) {
  p->next = NULL;
  if (q->last)
    q->last->next = p;
  else
    q->first = p;
  q->last = p;
}

static Parcel *queue_take(Queue *q) {
  Parcel *p = q->first;
  if (p) q->first = p->next;
  if (!q->first) q->last = NULL;
  return p;
}

static void queue_clear(Queue *q) {
  for (Parcel *p; (p = queue_take(q));) parcel_free(p);
}

static void hand_over(Worker *w, Queue *q, Parcel *p) {
  pthread_mutex_lock(&w->lock);
  queue_put(q, p);
  pthread_cond_broadcast(&w->changed);
  pthread_mutex_unlock(&w->lock);
}

/* Pushes what a parcel holds and frees it, also when unpacking raises. */
static int unpack_held(lua_State *L) {
  parcel_unpack(L, lua_touserdata(L, 1));
  return 1;
}
static void push_parcel(lua_State *L, Parcel *p) {
  lua_pushcfunction(L, unpack_held);
  lua_pushlightuserdata(L, p);
  int status = lua_pcall(L, 1, 1, 0);
  parcel_free(p);
  if (status != LUA_OK) lua_error(L);
}

/* --- the worker's side --- */

static Worker *own(lua_State *L) { return lua_touserdata(L, lua_upvalueindex(1)); }

/* receive() -> true and a value; false when the worker shall end. */
static int port_receive(lua_State *L) {
  Worker *w = own(L);
  pthread_mutex_lock(&w->lock);
  while (!w->in.first && !w->stop) pthread_cond_wait(&w->changed, &w->lock);
  Parcel *p = w->stop ? NULL : queue_take(&w->in);
  pthread_mutex_unlock(&w->lock);
  lua_pushboolean(L, p != NULL);
  if (!p) return 1;
  push_parcel(L, p);
  return 2;
}

/* send(value, what) */
static int port_send(lua_State *L) {
  Worker *w = own(L);
  lua_settop(L, 2);
  hand_over(w, &w->out, parcel_pack(L, 1, luaL_checkstring(L, 2)));
  return 0;
}

static int port_stopped(lua_State *L) {
  Worker *w = own(L);
  pthread_mutex_lock(&w->lock);
  bool stop = w->stop;
  pthread_mutex_unlock(&w->lock);
  return lua_pushboolean(L, stop), 1;
}

/* warn() in a worker: the text goes to the other side, whose state decides whether it is shown. */
static void forward_warning(void *worker, const char *piece, int continues) {
  Worker *w = worker;
  size_t used = strlen(w->warning), n = strlen(piece);
  if (used == 0 && !continues && *piece == '@') return; /* a control message */
  if (n > MESSAGE - 1 - used) n = MESSAGE - 1 - used;
  memcpy(w->warning + used, piece, n);
  w->warning[used + n] = 0;
  if (continues) return;
  lua_State *L = w->state;
  lua_pushstring(L, w->warning);
  w->warning[0] = 0;
  hand_over(w, &w->out, parcel_pack(L, -1, "a warning"));
  lua_pop(L, 1);
}

static int preload(lua_State *L, const char *name, lua_CFunction open) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, open);
  lua_setfield(L, -2, name);
  lua_pop(L, 1);
  return 0;
}

int luaopen_moontorch_core(lua_State *L);

/* Runs the worker: argument 1 is the Worker. */
static int run(lua_State *L) {
  Worker *w = lua_touserdata(L, 1);
  luaL_openlibs(L);
  lua_setwarnf(L, forward_warning, w);
  parcel_unpack(L, w->places); /* 2: {path, cpath, {name = function}} */
  lua_getglobal(L, "package");
  lua_rawgeti(L, 2, 1);
  lua_setfield(L, -2, "path");
  lua_rawgeti(L, 2, 2);
  lua_setfield(L, -2, "cpath");
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_rawgeti(L, 2, 3);
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -5);
  }
  lua_CFunction open = __atomic_load_n(&library_open, __ATOMIC_RELAXED);
  if (open)
    preload(L, "moontorch", open);
  else
    preload(L, "moontorch.core", luaopen_moontorch_core);
  lua_settop(L, 1);
  lua_getglobal(L, "require");
  lua_pushvalue(L, -1);
  lua_pushliteral(L, "moontorch");
  lua_call(L, 1, 0);
  lua_pushliteral(L, "moontorch.utils.worker");
  lua_call(L, 1, 1);
  static const luaL_Reg port[] = {
      {"receive", port_receive}, {"send", port_send}, {"stopped", port_stopped}, {NULL, NULL}};
  lua_createtable(L, 0, 3);
  lua_pushvalue(L, 1);
  luaL_setfuncs(L, port, 1);
  parcel_unpack(L, w->setup);
  lua_call(L, 2, 0);
  return 0;
}

static int add_traceback(lua_State *L) {
  luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
  return 1;
}

static void worker_free(Worker *w) {
  queue_clear(&w->in);
  queue_clear(&w->out);
  parcel_free(w->places);
  parcel_free(w->setup);
  pthread_cond_destroy(&w->changed);
  pthread_mutex_destroy(&w->lock);
  mem_free(w);
}

static void *work(void *worker) {
  Worker *w = worker;
  const char *why = "";
  pool_stay_out();
  lua_State *L = luaL_newstate();
  if (L) {
    pthread_mutex_lock(&w->lock);
    w->state = L;
    pthread_mutex_unlock(&w->lock);
    lua_pushcfunction(L, add_traceback);
    lua_pushcfunction(L, run);
    lua_pushlightuserdata(L, w);
    if (lua_pcall(L, 1, 0, 1) != LUA_OK) why = lua_tostring(L, -1);
    pthread_mutex_lock(&w->lock);
    strncpy(w->error, why ? why : "an error that is no string", MESSAGE - 1);
    w->state = NULL;
    pthread_mutex_unlock(&w->lock);
    lua_sethook(L, NULL, 0, 0);
    lua_setwarnf(L, NULL, NULL);
    lua_close(L);
  } else {
    strcpy(w->error, "out of memory: a Lua state for the worker cannot be made");
  }
  fail_clear();
  autocast_end();
  pool_end();
  pthread_mutex_lock(&w->lock);
  w->ended = true;
  bool alone = w->alone;
  pthread_cond_broadcast(&w->changed);
  pthread_mutex_unlock(&w->lock);
  if (alone) worker_free(w);
  return NULL;
}

/* --- the caller's side --- */

static Worker *check_worker(lua_State *L) {
  Box *b = box_at(L, 1, &WORKER_MARK);
  if (!b || !b->any) raise_text(L, "DataLoader", "this worker has been closed");
  return b->any;
}

static struct timespec deadline(double seconds) {
  struct timespec t;
  clock_gettime(WAIT_CLOCK, &t);
  if (seconds > 1e8) seconds = 1e8;
  t.tv_sec += (time_t)seconds;
  t.tv_nsec += (long)((seconds - (double)(time_t)seconds) * 1e9);
  if (t.tv_nsec >= 1000000000) {
    t.tv_nsec -= 1000000000;
    t.tv_sec++;
  }
  return t;
}

static void interrupt(lua_State *L, lua_Debug *d) {
  (void)d;
  luaL_error(L, "the worker was interrupted");
}

/* Under the lock. */
static void set_hook(Worker *w) {
  if (w->ended || !w->state || w->interrupted) return;
  lua_sethook(w->state, interrupt, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
  w->interrupted = true;
}

static void wait_for_end(Worker *w) {
  struct timespec until = deadline(PATIENCE);
  while (!w->ended && pthread_cond_timedwait(&w->changed, &w->lock, &until) != ETIMEDOUT) {}
}

/* Asks the thread to end, waits for it, frees all. After a fork the child has no such thread, and what it held is lost. */
static int worker_close(lua_State *L) {
  Box *b = box_at(L, 1, &WORKER_MARK);
  if (!b || !b->any) return 0;
  Worker *w = b->any;
  b->any = NULL;
  if (!w->started) return worker_free(w), 0;
  if (w->pid != getpid()) return 0;
  pthread_mutex_lock(&w->lock);
  w->stop = true;
  pthread_cond_broadcast(&w->changed);
  if (!w->interrupted) wait_for_end(w);
  if (!w->ended) {
    set_hook(w);
    wait_for_end(w);
  }
  w->alone = !w->ended;
  bool alone = w->alone;
  pthread_t thread = w->thread;
  pthread_mutex_unlock(&w->lock);
  if (alone) return pthread_detach(thread), 0;
  pthread_join(thread, NULL);
  worker_free(w);
  return 0;
}

/* worker:stop([now]): asks it to end, without waiting; with `now` its script is interrupted, whatever it does. */
static int worker_stop(lua_State *L) {
  Box *b = box_at(L, 1, &WORKER_MARK);
  Worker *w = b ? b->any : NULL;
  if (!w || w->pid != getpid()) return 0;
  pthread_mutex_lock(&w->lock);
  w->stop = true;
  if (lua_toboolean(L, 2)) set_hook(w);
  pthread_cond_broadcast(&w->changed);
  pthread_mutex_unlock(&w->lock);
  return 0;
}

/* worker:send(value, what) */
static int worker_send(lua_State *L) {
  Worker *w = check_worker(L);
  lua_settop(L, 3);
  hand_over(w, &w->in, parcel_pack(L, 2, luaL_checkstring(L, 3)));
  return 0;
}

/* worker:receive(seconds) -> true and a value; false and "timeout", or why the worker ended. 0 seconds: no limit. */
static int worker_receive(lua_State *L) {
  Worker *w = check_worker(L);
  double seconds = luaL_checknumber(L, 2);
  if (w->pid != getpid()) return lua_pushboolean(L, 0), lua_pushliteral(L, "the process was forked"), 2;
  bool late = false;
  struct timespec until = deadline(seconds);
  pthread_mutex_lock(&w->lock);
  while (!w->out.first && !w->ended && !late) {
    if (seconds > 0)
      late = pthread_cond_timedwait(&w->changed, &w->lock, &until) == ETIMEDOUT;
    else
      pthread_cond_wait(&w->changed, &w->lock);
  }
  Parcel *p = queue_take(&w->out);
  bool ended = w->ended;
  pthread_mutex_unlock(&w->lock);
  lua_pushboolean(L, p != NULL);
  if (p)
    push_parcel(L, p);
  else
    lua_pushstring(L, ended ? w->error : "timeout");
  return 2;
}

/* The table of C functions in package.preload that another state can use: those without values of their own. */
static void push_preloaded(lua_State *L) {
  lua_createtable(L, 0, 4);
  int result = lua_gettop(L);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushnil(L);
  while (lua_next(L, result + 1)) {
    if (lua_iscfunction(L, -1) && !lua_getupvalue(L, -1, 1)) {
      lua_pushvalue(L, result + 2);
      lua_pushvalue(L, result + 3);
      lua_rawset(L, result);
    }
    lua_settop(L, result + 2);
  }
  lua_settop(L, result);
}

static Worker *worker_new(void) {
  Worker *w = mem_zero(sizeof *w);
  if (!w) return NULL;
  pthread_condattr_t attributes;
  pthread_mutex_init(&w->lock, NULL);
  pthread_condattr_init(&attributes);
#ifndef __APPLE__
  pthread_condattr_setclock(&attributes, WAIT_CLOCK);
#endif
  pthread_cond_init(&w->changed, &attributes);
  pthread_condattr_destroy(&attributes);
  w->pid = getpid();
  return w;
}

static bool start(Worker *w) {
  static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
  sigset_t block, before;
  sigfillset(&block);
  for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) sigdelset(&block, faults[i]);
  pthread_sigmask(SIG_SETMASK, &block, &before);
  w->started = pthread_create(&w->thread, NULL, work, w) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return w->started;
}

/* _worker_start(setup): a worker that runs moontorch.utils.worker with a copy of `setup`; nil when there can be no
 * thread. */
static int f_worker_start(lua_State *L) {
  lua_settop(L, 1);
#ifndef __APPLE__
  if (!luaL_openlibs) return lua_pushnil(L), 1;
#endif
  Box *b = push_box(L, &WORKER_MARK); /* 2 */
  Worker *w = worker_new();
  if (!w) return raise_failure(L, "DataLoader");
  b->any = w;
  lua_createtable(L, 3, 0); /* 3: where modules are */
  lua_getglobal(L, "package");
  for (int i = 1; i <= 2; i++) {
    lua_getfield(L, 4, i == 1 ? "path" : "cpath");
    lua_rawseti(L, 3, i);
  }
  push_preloaded(L);
  lua_rawseti(L, 3, 3);
  w->places = parcel_pack(L, 3, "package");
  w->setup = parcel_pack(L, 1, "");
  if (start(w))
    lua_settop(L, 2);
  else
    lua_pushnil(L);
  return 1;
}

void workers_open(lua_State *L, int core) {
  static const luaL_Reg methods[] = {
      {"send", worker_send}, {"receive", worker_receive}, {"stop", worker_stop}, {"close", worker_close}, {NULL, NULL}};
  lua_createtable(L, 0, 4);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, worker_close);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "__gc");
  lua_setfield(L, -2, "__close");
  lua_pushliteral(L, "moontorch.Worker");
  lua_setfield(L, -2, "__name");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &WORKER_MARK);
  lua_pushcfunction(L, f_worker_start);
  lua_setfield(L, core, "_worker_start");
}
