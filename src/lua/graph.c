/* The graph as Lua sees it: nodes, anomaly mode, and hooks on saved tensors.
 *
 * Modes belong to a thread of the process and are given back when the Lua state that set them is closed. Blocks set them
 * back inside of C, where nothing needs memory. */
#include "lua/binding.h"
#include "base/alloc.h"
#include "graph/watch.h"
#include <stdio.h>
#include <string.h>

/* Registry keys: {pack, unpack}, false when there are none; a userdata that ends the modes with the state. */
static const char HOOKS = 'h', GUARD = 'w';

static _Thread_local lua_State *calling; /* whose script calls the core */
static _Thread_local lua_State *owner;   /* main thread of the state that set a mode */

lua_State *watch_enter(lua_State *L) {
  lua_State *outer = calling;
  calling = L;
  return outer;
}

lua_State *main_thread(lua_State *L) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  lua_State *m = lua_tothread(L, -1);
  lua_pop(L, 1);
  return m;
}

lua_State *callback_state(lua_State *main) {
  bool same = calling && lua_checkstack(calling, 8) && main_thread(calling) == main;
  return same ? calling : main;
}

/* --- nodes --- */

static Node *check_node(lua_State *L) {
  Box *b = box_at(L, 1, &NODE_MARK);
  if (!b || !b->node) raise_text(L, "grad_fn", "argument 1 must be a graph node");
  return b->node;
}

static int node_get_name(lua_State *L) { return lua_pushstring(L, node_name(check_node(L))), 1; }

static int node_tostring(lua_State *L) {
  Node *n = check_node(L);
  lua_pushfstring(L, "<%s object at %p>", node_name(n), (void *)n);
  return 1;
}

static int node_eq(lua_State *L) {
  Box *a = box_at(L, 1, &NODE_MARK), *b = box_at(L, 2, &NODE_MARK);
  return lua_pushboolean(L, a && b && a->node == b->node), 1;
}

static void push_next(lua_State *L, const Node *n) {
  lua_createtable(L, n->edges, 0);
  for (int i = 0; i < n->edges; i++) {
    lua_createtable(L, 2, 0);
    if (n->edge[i].node) {
      Box *b = push_box(L, &NODE_MARK);
      b->node = node_retain(n->edge[i].node);
      lua_rawseti(L, -2, 1);
    }
    lua_pushinteger(L, n->edge[i].slot + 1);
    lua_rawseti(L, -2, 2);
    lua_rawseti(L, -2, i + 1);
  }
}

static int node_index(lua_State *L) {
  Node *n = check_node(L);
  const char *key = luaL_checkstring(L, 2);
  if (strcmp(key, "name") == 0) {
    lua_pushcfunction(L, node_get_name);
  } else if (strcmp(key, "next_functions") == 0) {
    push_next(L, n);
  } else if (strcmp(key, "metadata") == 0) {
    lua_createtable(L, 0, 1);
    if (*watch_place(n)) {
      lua_pushstring(L, watch_place(n));
      lua_setfield(L, -2, "traceback_");
    }
  } else if (strcmp(key, "variable") == 0 && n->kind == NODE_LEAF) {
    push_borrowed(L, n->leaf);
  } else {
    return raise_text(L, "grad_fn",
                      "a graph node has no attribute '%s': it has name, next_functions, metadata, variable", key);
  }
  return 1;
}

/* --- anomaly mode --- */

static void place(char *to, size_t room) {
  lua_State *L = calling ? calling : owner;
  lua_Debug d;
  *to = 0;
  if (L && lua_checkstack(L, 4) && find_position(L, &d)) snprintf(to, room, "%s:%d", d.short_src, d.currentline);
}

void watch_own(lua_State *L) { owner = main_thread(L); }

static int warn_protected(lua_State *L) { return warn_text(L, lua_touserdata(L, 1)), 0; }

/* An error in the script's own warning function is dropped: the call that is made goes on. */
static void warn(const char *message) {
  lua_State *L = calling ? calling : owner;
  if (!L || !lua_checkstack(L, 8)) return;
  lua_pushcfunction(L, warn_protected);
  lua_pushlightuserdata(L, (void *)(uintptr_t)message);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK) lua_pop(L, 1);
}

/* _anomaly_mode(on, check_nan) -> the old two */
static int f_anomaly(lua_State *L) {
  bool on = lua_toboolean(L, 1), nan = lua_toboolean(L, 2);
  lua_pushboolean(L, anomaly_enabled());
  lua_pushboolean(L, anomaly_checks_nan());
  watch_own(L);
  anomaly_set(on, nan);
  return 2;
}

static int leave_anomaly(lua_State *L, int status, lua_KContext old) {
  anomaly_set(old & 1, old >> 1 & 1);
  return status == LUA_OK || status == LUA_YIELD ? lua_gettop(L) - 2 : lua_error(L);
}

/* _with_anomaly(on, check_nan, f) -> results of f */
static int f_with_anomaly(lua_State *L) {
  lua_settop(L, 3);
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  lua_KContext old = (lua_KContext)anomaly_enabled() | (lua_KContext)anomaly_checks_nan() << 1;
  watch_own(L);
  anomaly_set(lua_toboolean(L, 1), lua_toboolean(L, 2));
  return leave_anomaly(L, lua_pcallk(L, 0, LUA_MULTRET, 0, old, leave_anomaly), old);
}

static int f_anomaly_enabled(lua_State *L) { return lua_pushboolean(L, anomaly_enabled()), 1; }
static int f_anomaly_checks_nan(lua_State *L) { return lua_pushboolean(L, anomaly_checks_nan()), 1; }

/* --- hooks on saved tensors --- */

typedef struct Handle {
  lua_State *main;
  int ref; /* {unpack, what pack gave} in the registry */
} Handle;

/* (tensor as lightuserdata) -> reference of {unpack, pack(tensor)} */
static int pack_protected(lua_State *L) {
  Tensor *t = lua_touserdata(L, 1);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &HOOKS);
  lua_createtable(L, 2, 0);
  lua_rawgeti(L, 2, 2);
  lua_rawseti(L, 3, 1);
  lua_rawgeti(L, 2, 1);
  push_borrowed(L, t);
  lua_call(L, 1, 1);
  lua_rawseti(L, 3, 2);
  lua_pushinteger(L, luaL_ref(L, LUA_REGISTRYINDEX));
  return 1;
}

static void *pack(Tensor *t) {
  Handle *h = mem_alloc(sizeof *h);
  if (!h) return NULL;
  lua_State *L = callback_state(owner);
  h->main = owner;
  lua_pushcfunction(L, pack_protected);
  lua_pushlightuserdata(L, t);
  if (lua_pcall(L, 1, 1, 0) != LUA_OK) {
    keep_error(L);
    mem_free(h);
    return NULL;
  }
  h->ref = (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  return h;
}

static int unpack_protected(lua_State *L) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, lua_tointeger(L, 1));
  lua_rawgeti(L, 2, 1);
  lua_rawgeti(L, 2, 2);
  lua_call(L, 1, 1);
  if (!to_tensor(L, -1))
    return raise_text(L, "saved_tensors_hooks",
                      "Output of saved tensor unpack_hook expected to be a Tensor but got result of type %s",
                      type_found(L, -1));
  return 1;
}

static Tensor *unpack(void *handle) {
  Handle *h = handle;
  lua_State *L = callback_state(h->main);
  if (!lua_checkstack(L, 8)) return fail(MT_ERUNTIME, "the Lua stack is full"), NULL;
  lua_pushcfunction(L, unpack_protected);
  lua_pushinteger(L, h->ref);
  if (lua_pcall(L, 1, 1, 0) != LUA_OK) {
    keep_error(L);
    return NULL;
  }
  Tensor *t = tensor_retain(to_tensor(L, -1));
  lua_pop(L, 1);
  return t;
}

static void release(void *handle) {
  Handle *h = handle;
  luaL_unref(h->main, LUA_REGISTRYINDEX, h->ref);
  mem_free(h);
}

/* Makes the values at the two stack places the hooks, and leaves the old ones on top. Needs no memory. */
static void exchange_hooks(lua_State *L, int pack_at, int unpack_at) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &HOOKS);
  lua_rawgeti(L, -1, 1);
  lua_rawgeti(L, -2, 2);
  lua_pushvalue(L, pack_at);
  lua_rawseti(L, -4, 1);
  lua_pushvalue(L, unpack_at);
  lua_rawseti(L, -4, 2);
  lua_remove(L, -3);
  packing_set(lua_toboolean(L, pack_at));
}

/* _saved_hooks(pack, unpack) -> the old two; false: none */
static int f_saved_hooks(lua_State *L) {
  lua_settop(L, 2);
  watch_own(L);
  exchange_hooks(L, 1, 2);
  return 2;
}

/* _current_hooks() -> pack, unpack; nothing when there are none */
static int f_current_hooks(lua_State *L) {
  if (!packing_enabled()) return 0;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &HOOKS);
  lua_rawgeti(L, -1, 1);
  lua_rawgeti(L, -2, 2);
  return 2;
}

static int leave_hooks(lua_State *L, int status, lua_KContext unused) {
  lua_checkstack(L, 8);
  exchange_hooks(L, 4, 5);
  lua_pop(L, 2);
  return status == LUA_OK || status == LUA_YIELD ? lua_gettop(L) - 5 : lua_error(L);
}

/* _with_saved_hooks(pack, unpack, f) -> results of f */
static int f_with_saved_hooks(lua_State *L) {
  lua_settop(L, 3);
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  watch_own(L);
  exchange_hooks(L, 1, 2);
  lua_pushvalue(L, 3);
  return leave_hooks(L, lua_pcallk(L, 0, LUA_MULTRET, 0, 0, leave_hooks), 0);
}

/* The state is closed: what it set is no longer wanted. */
static int end_modes(lua_State *L) {
  if (!owner || owner != main_thread(L)) return 0;
  anomaly_set(false, false);
  packing_set(false);
  owner = calling = NULL;
  return 0;
}

static int f_nodes(lua_State *L) { return lua_pushinteger(L, nodes_living()), 1; }

static const luaL_Reg functions[] = {{"_anomaly_mode", f_anomaly},
                                     {"_nodes_living", f_nodes},
                                     {"_with_anomaly", f_with_anomaly},
                                     {"is_anomaly_enabled", f_anomaly_enabled},
                                     {"is_anomaly_check_nan_enabled", f_anomaly_checks_nan},
                                     {"_saved_hooks", f_saved_hooks},
                                     {"_current_hooks", f_current_hooks},
                                     {"_with_saved_hooks", f_with_saved_hooks},
                                     {NULL, NULL}};
static const luaL_Reg node_meta[] = {
    {"__index", node_index}, {"__tostring", node_tostring}, {"__eq", node_eq}, {NULL, NULL}};

void graph_open(lua_State *L, int core) {
  static const WatchHost host = {place, warn, pack, unpack, release};
  watch_start(&host);
  lua_pushvalue(L, core);
  luaL_setfuncs(L, functions, 0);
  lua_pop(L, 1);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &NODE_MARK);
  luaL_setfuncs(L, node_meta, 0);
  lua_pop(L, 1);
  lua_createtable(L, 2, 0);
  for (int i = 1; i <= 2; i++) {
    lua_pushboolean(L, 0);
    lua_rawseti(L, -2, i);
  }
  lua_rawsetp(L, LUA_REGISTRYINDEX, &HOOKS);
  lua_newuserdatauv(L, 0, 0);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, end_modes);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &GUARD);
}
