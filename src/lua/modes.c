/* Modes of a thread that a block of a script sets: recording gradients, inference mode, autocast (autocast.c), the default
 * device (objects.c). A block is a function that is called with them, or a to-be-closed variable. Invariants: what a block
 * needs memory for is made before a mode is changed, and what puts it back cannot fail; it lies in one integer, so that a
 * function may yield. */
#include "lua/binding.h"
#include "ops/optim.h"

typedef struct Block {
  const Mode *mode; /* NULL: closed */
  lua_KContext old;
} Block;

int mode_left(lua_State *L, int status, lua_KContext old, const Mode *mode) {
  mode->leave(old);
  return status == LUA_OK || status == LUA_YIELD ? lua_gettop(L) - mode->taken : lua_error(L);
}

int mode_call(lua_State *L, const Mode *mode) {
  luaL_checkany(L, mode->taken + 1);
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  lua_KContext old = mode->enter(L);
  int given = lua_gettop(L) - mode->taken - 1;
  return mode_left(L, lua_pcallk(L, given, LUA_MULTRET, 0, old, mode->left), old, mode);
}

static int close_block(lua_State *L) {
  Block *b = lua_touserdata(L, 1);
  if (b && b->mode) b->mode->leave(b->old);
  if (b) b->mode = NULL;
  return 0;
}

int mode_block(lua_State *L, const Mode *mode) {
  lua_settop(L, mode->taken);
  Block *b = lua_newuserdatauv(L, sizeof *b, 0);
  b->mode = NULL;
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_setmetatable(L, -2);
  b->old = mode->enter(L);
  b->mode = mode;
  return 1;
}

void mode_push(lua_State *L, lua_CFunction block) {
  lua_createtable(L, 0, 2);
  lua_pushcfunction(L, close_block);
  lua_setfield(L, -2, "__close");
  lua_pushliteral(L, "moontorch.Block");
  lua_setfield(L, -2, "__name");
  lua_pushcclosure(L, block, 1);
}

/* Gradients and inference --------------------------------------------------------------------------------------------- */

enum { GRAD = 1, INFERENCE = 2, BOTH = 4 }; /* not BOTH: the inference mode is none of this block's business */

/* The modes at 1 and 2; nil leaves the inference mode as it is. */
static lua_KContext enter(lua_State *L) {
  lua_KContext old = (grad_enabled() ? GRAD : 0) | (inference_mode() ? INFERENCE : 0);
  grad_set_enabled(lua_toboolean(L, 1));
  if (lua_isnoneornil(L, 2)) return old;
  inference_set(lua_toboolean(L, 2));
  return old | BOTH;
}

static void leave(lua_KContext old) {
  grad_set_enabled(old & GRAD);
  if (old & BOTH) inference_set(old & INFERENCE);
}

static int left(lua_State *L, int status, lua_KContext old);
static const Mode MODES = {2, enter, leave, left};
static int left(lua_State *L, int status, lua_KContext old) { return mode_left(L, status, old, &MODES); }

/* with_modes(grad, inference, f, ...) -> results of f(...), called with these modes. */
static int f_with_modes(lua_State *L) { return mode_call(L, &MODES); }
/* mode_block(grad, inference) -> a value to be closed: these modes until then. */
static int f_mode_block(lua_State *L) { return mode_block(L, &MODES); }

/* core.grad_mode(on) -> old; core.inference(on) -> old */
static int f_grad_mode(lua_State *L) { return lua_pushboolean(L, grad_set_enabled(lua_toboolean(L, 1))), 1; }
static int f_is_grad_enabled(lua_State *L) { return lua_pushboolean(L, grad_enabled()), 1; }
static int f_inference(lua_State *L) { return lua_pushboolean(L, inference_set(lua_toboolean(L, 1))), 1; }
static int f_is_inference(lua_State *L) { return lua_pushboolean(L, inference_mode()), 1; }

/* gather_steps(begin) -> is there a device besides the host? If so it may keep optimisers' steps of this thread back from
 * true to false. */
static int f_gather_steps(lua_State *L) {
  bool there;
  if (!optim_gather(lua_toboolean(L, 1), &there)) return raise_failure(L, "step");
  return lua_pushboolean(L, there), 1;
}

void modes_open(lua_State *L, int core) {
  static const luaL_Reg functions[] = {{"grad_mode", f_grad_mode},
                                       {"is_grad_enabled", f_is_grad_enabled},
                                       {"inference", f_inference},
                                       {"is_inference_mode_enabled", f_is_inference},
                                       {"with_modes", f_with_modes},
                                       {"gather_steps", f_gather_steps},
                                       {NULL, NULL}};
  lua_pushvalue(L, core);
  luaL_setfuncs(L, functions, 0);
  mode_push(L, f_mode_block);
  lua_setfield(L, -2, "mode_block");
  lua_pop(L, 1);
}
