/* Modes of a thread that a block of a script sets: recording gradients, and inference mode. A block is a function that
 * is called with them, or a to-be-closed variable. Invariant: what a block needs memory for is made before a mode is
 * changed. */
#include "lua/binding.h"

typedef struct Modes {
  bool grad, inference, both; /* not both: the inference mode is none of this block's business */
} Modes;

/* The modes at idx and idx + 1 in place of those that it returns; nil leaves the inference mode as it is. */
static Modes enter(lua_State *L, int idx) {
  Modes old = {grad_enabled(), inference_mode(), !lua_isnoneornil(L, idx + 1)};
  grad_set_enabled(lua_toboolean(L, idx));
  if (old.both) inference_set(lua_toboolean(L, idx + 1));
  return old;
}

static void leave(Modes old) {
  grad_set_enabled(old.grad);
  if (old.both) inference_set(old.inference);
}

/* core.grad_mode(on) -> old; core.inference(on) -> old */
static int f_grad_mode(lua_State *L) { return lua_pushboolean(L, grad_set_enabled(lua_toboolean(L, 1))), 1; }
static int f_is_grad_enabled(lua_State *L) { return lua_pushboolean(L, grad_enabled()), 1; }
static int f_inference(lua_State *L) { return lua_pushboolean(L, inference_set(lua_toboolean(L, 1))), 1; }
static int f_is_inference(lua_State *L) { return lua_pushboolean(L, inference_mode()), 1; }

/* Ends with_modes: the modes first, which cannot fail, then the results or the error. */
static int leave_modes(lua_State *L, int status, lua_KContext old) {
  leave((Modes){old & 1, old >> 1 & 1, old >> 2 & 1});
  return status == LUA_OK || status == LUA_YIELD ? lua_gettop(L) - 2 : lua_error(L);
}

/* with_modes(grad, inference, f, ...) -> results of f(...), called with these modes. */
static int f_with_modes(lua_State *L) {
  luaL_checkany(L, 3);
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  Modes m = enter(L, 1);
  lua_KContext old = (lua_KContext)m.grad | (lua_KContext)m.inference << 1 | (lua_KContext)m.both << 2;
  return leave_modes(L, lua_pcallk(L, lua_gettop(L) - 3, LUA_MULTRET, 0, old, leave_modes), old);
}

static int close_block(lua_State *L) {
  Modes *old = lua_touserdata(L, 1);
  if (old) leave(*old);
  return 0;
}

/* mode_block(grad, inference) -> a value to be closed: these modes until then. */
static int f_mode_block(lua_State *L) {
  lua_settop(L, 2);
  Modes *old = lua_newuserdatauv(L, sizeof *old, 0);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_setmetatable(L, -2);
  *old = enter(L, 1);
  return 1;
}

void modes_open(lua_State *L, int core) {
  static const luaL_Reg functions[] = {{"grad_mode", f_grad_mode},   {"is_grad_enabled", f_is_grad_enabled},
                                       {"inference", f_inference},   {"is_inference_mode_enabled", f_is_inference},
                                       {"with_modes", f_with_modes}, {NULL, NULL}};
  lua_pushvalue(L, core);
  luaL_setfuncs(L, functions, 0);
  lua_createtable(L, 0, 2);
  lua_pushcfunction(L, close_block);
  lua_setfield(L, -2, "__close");
  lua_pushliteral(L, "moontorch.Block");
  lua_setfield(L, -2, "__name");
  lua_pushcclosure(L, f_mode_block, 1);
  lua_setfield(L, -2, "mode_block");
  lua_pop(L, 1);
}
