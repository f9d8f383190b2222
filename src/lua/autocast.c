/* Autocast for scripts: the settings of the thread, and regions that put them back. lua/moontorch/amp.lua checks what is
 * given. */
#include "graph/autocast.h"
#include "lua/binding.h"
#include <string.h>

static DeviceKind kind_at(lua_State *L, int idx) {
  return strcmp(luaL_checkstring(L, idx), "cuda") == 0 ? MT_CUDA : MT_CPU;
}

/* What stands at idx, idx + 1, idx + 2; nil leaves a setting as it is. */
static void apply(DeviceKind kind, lua_State *L, int idx) {
  DType d;
  if (!lua_isnil(L, idx)) autocast_enable(kind, lua_toboolean(L, idx));
  if (!lua_isnil(L, idx + 1) && read_dtype(L, idx + 1, &d)) autocast_set_dtype(kind, d);
  if (!lua_isnil(L, idx + 2)) autocast_cache_enable(lua_toboolean(L, idx + 2));
}

enum { ENABLED = 1, CACHE = 2, CUDA = 4, DTYPE_AT = 3 }; /* a region's old settings */

/* (kind, enabled, dtype, cache) at 1 to 4 */
static lua_KContext enter(lua_State *L) {
  DeviceKind kind = kind_at(L, 1);
  lua_KContext old = (autocast_enabled(kind) ? ENABLED : 0) | (autocast_cache_enabled() ? CACHE : 0) |
                     (kind == MT_CUDA ? CUDA : 0) | (lua_KContext)autocast_dtype(kind) << DTYPE_AT;
  apply(kind, L, 2);
  autocast_enter();
  return old;
}

static void leave(lua_KContext old) {
  DeviceKind kind = old & CUDA ? MT_CUDA : MT_CPU;
  autocast_leave();
  autocast_enable(kind, old & ENABLED);
  autocast_set_dtype(kind, (DType)(old >> DTYPE_AT));
  autocast_cache_enable(old & CACHE);
}

static int left(lua_State *L, int status, lua_KContext old);
static const Mode REGION = {4, enter, leave, left};
static int left(lua_State *L, int status, lua_KContext old) { return mode_left(L, status, old, &REGION); }

/* _with_autocast(kind, enabled, dtype, cache, f, ...) -> results of f(...) */
static int f_with(lua_State *L) { return mode_call(L, &REGION); }
/* _autocast_block(kind, enabled, dtype, cache) -> a value to be closed */
static int f_block(lua_State *L) { return mode_block(L, &REGION); }

/* _autocast_state(kind) -> enabled, dtype, cache */
static int f_state(lua_State *L) {
  DeviceKind kind = kind_at(L, 1);
  lua_pushboolean(L, autocast_enabled(kind));
  push_dtype(L, autocast_dtype(kind));
  lua_pushboolean(L, autocast_cache_enabled());
  return 3;
}

/* _autocast_set(kind, enabled, dtype, cache) */
static int f_set(lua_State *L) {
  lua_settop(L, 4);
  apply(kind_at(L, 1), L, 2);
  return 0;
}

static int f_enter(lua_State *L) { return lua_pushinteger(L, autocast_enter()), 1; }
static int f_leave(lua_State *L) {
  int depth = autocast_leave();
  return lua_pushinteger(L, depth), 1;
}
static int f_forget(lua_State *L) {
  (void)L;
  autocast_forget();
  return 0;
}

/* For functions that are composed in Lua ---------------------------------------------------------------------------- */

static int f_anywhere(lua_State *L) { return lua_pushboolean(L, autocast_anywhere()), 1; }
static int f_listed(lua_State *L) { return lua_pushboolean(L, autocast_listed(luaL_checkstring(L, 1))), 1; }

/* _autocast_cast(name, t) -> t as the list has it for the function of that name; does the list have it as a whole? */
static int f_cast(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  Tensor *t = check_tensor(L, 2, name);
  DeviceKind kind = (DeviceKind)tensor_device(t).kind;
  CastPolicy policy = autocast_active(kind) ? autocast_policy(name, kind) : CAST_NONE;
  bool whole = policy != CAST_NONE && policy != CAST_PARTS;
  if (!whole) return lua_settop(L, 2), 1;
  Box *b = push_box(L, &TENSOR_MARK);
  lua_State *outer = watch_enter(L);
  int mark = pool_open();
  Tensor *made = tensor_retain(autocast_tensor(t, policy, kind));
  pool_shut(mark);
  watch_enter(outer);
  if (!made) return raise_failure(L, name);
  if (made == t) {
    tensor_release(made);
    lua_pushvalue(L, 2);
  } else {
    box_fill(L, b, made);
  }
  lua_pushboolean(L, whole);
  return 2;
}

static lua_KContext pause(lua_State *L) { return (void)L, autocast_pause(true); }
static void unpause(lua_KContext old) { autocast_pause(old); }
static int unpaused(lua_State *L, int status, lua_KContext old);
static const Mode PAUSE = {0, pause, unpause, unpaused};
static int unpaused(lua_State *L, int status, lua_KContext old) { return mode_left(L, status, old, &PAUSE); }

/* _autocast_paused(f, ...) -> results of f(...), whose operators run as they are given */
static int f_paused(lua_State *L) { return mode_call(L, &PAUSE); }

void autocast_open(lua_State *L, int core) {
  static const luaL_Reg functions[] = {{"_with_autocast", f_with},
                                       {"_autocast_state", f_state},
                                       {"_autocast_set", f_set},
                                       {"autocast_increment_nesting", f_enter},
                                       {"autocast_decrement_nesting", f_leave},
                                       {"clear_autocast_cache", f_forget},
                                       {"_autocast_anywhere", f_anywhere},
                                       {"_autocast_listed", f_listed},
                                       {"_autocast_cast", f_cast},
                                       {"_autocast_paused", f_paused},
                                       {NULL, NULL}};
  lua_pushvalue(L, core);
  luaL_setfuncs(L, functions, 0);
  mode_push(L, f_block);
  lua_setfield(L, -2, "_autocast_block");
  lua_pop(L, 1);
}
