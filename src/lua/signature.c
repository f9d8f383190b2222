/* Signatures: the arguments of functions that are written in Lua, where all are in their places. Everything else,
 * keywords above all, and every refusal is left to lua/moontorch/arguments.lua, which gives the same results. */
#include "lua/binding.h"
#include <string.h>

enum { UP_KINDS = 1, UP_REQUIRED, UP_DEFAULTS, UP_ALL_RULES };

static int by_all_rules(lua_State *L) {
  lua_pushvalue(L, lua_upvalueindex(UP_ALL_RULES));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  return lua_gettop(L);
}

static bool plain_table(lua_State *L, int idx) {
  if (lua_type(L, idx) != LUA_TTABLE) return false;
  bool plain = !lua_getmetatable(L, idx);
  if (!plain) lua_pop(L, 1);
  return plain;
}

/* Keyword arguments, or an empty table that may stand for none. */
static bool perhaps_keywords(lua_State *L, int idx) {
  if (!plain_table(L, idx)) return false;
  lua_pushnil(L);
  if (!lua_next(L, idx)) return true;
  bool named = lua_type(L, -2) == LUA_TSTRING;
  lua_pop(L, 2);
  return named;
}

/* Is the value at idx, not nil, what a parameter of that kind (a letter of arguments.lua) takes as it is? */
static bool suits(lua_State *L, int idx, char kind) {
  int type = lua_type(L, idx);
  if (type == LUA_TUSERDATA && is_none(L, idx)) return false;
  switch (kind) {
  case 'a': return true;
  case 'v': return !plain_table(L, idx);
  case 't': return type == LUA_TUSERDATA && to_tensor(L, idx);
  case 'i': return lua_isinteger(L, idx);
  case 'n': return type == LUA_TNUMBER;
  case 'x': return type == LUA_TNUMBER || is_tensor(L, idx);
  case 's': return type == LUA_TSTRING;
  case 'b': return type == LUA_TBOOLEAN;
  case 'l':
  case 'd': return type == LUA_TTABLE;
  case 'c': return type == LUA_TFUNCTION;
  default: return false;
  }
}

static int in_order(lua_State *L) {
  size_t count;
  const char *kind = lua_tolstring(L, lua_upvalueindex(UP_KINDS), &count);
  const char *required = lua_tostring(L, lua_upvalueindex(UP_REQUIRED));
  int n = lua_gettop(L);
  while (n > 0 && lua_isnil(L, n)) n--;
  luaL_checkstack(L, (int)count + 4, NULL);
  if (n > (int)count || (n > 0 && perhaps_keywords(L, n))) return by_all_rules(L);
  for (int k = 0; k < (int)count; k++)
    if (k >= n || lua_isnil(L, k + 1) ? required[k] == 'r' : !suits(L, k + 1, kind[k])) return by_all_rules(L);
  lua_settop(L, (int)count);
  for (int k = 1; k <= (int)count; k++)
    if (lua_isnil(L, k)) {
      lua_rawgeti(L, lua_upvalueindex(UP_DEFAULTS), k);
      lua_replace(L, k);
    }
  return (int)count;
}

/* core._in_order(kinds, required, defaults, all_rules): a function of the caller's arguments that returns one value for
 * each parameter. kinds: a letter for each; required: 'r' for those that must be given; defaults: by position. */
static int f_in_order(lua_State *L) {
  lua_settop(L, 4);
  if (strlen(luaL_checkstring(L, 1)) != strlen(luaL_checkstring(L, 2))) return luaL_argerror(L, 2, "another length");
  luaL_checktype(L, 3, LUA_TTABLE);
  lua_pushcclosure(L, in_order, 4);
  return 1;
}

void signatures_open(lua_State *L, int core) {
  lua_pushcfunction(L, f_in_order);
  lua_setfield(L, core, "_in_order");
}
