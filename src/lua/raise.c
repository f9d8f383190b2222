/* Errors: position of the caller's line, name of the function, then the core's message. */
#include "lua/binding.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Registry keys: prefixes of our chunks; a hook's error value; a function that says where in a model an error was; one that
 * hears of likely mistakes. */
static const char SOURCES = 's', KEPT = 'k', CONTEXT = 'c', NOTICE = 'n';

/* Is this chunk one of moontorch's own Lua files? */
static bool is_ours(lua_State *L, const char *source) {
  bool ours = false;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &SOURCES);
  const char *prefix = lua_tostring(L, -1);
  if (prefix) ours = strncmp(source, prefix, strlen(prefix)) == 0;
  lua_pop(L, 1);
  return ours || strncmp(source, "=moontorch", 10) == 0;
}

bool find_position(lua_State *L, lua_Debug *d) {
  for (int level = 0; lua_getstack(L, level, d); level++) {
    lua_getinfo(L, "Sl", d);
    if (d->currentline > 0 && !is_ours(L, d->source)) return true;
  }
  return false;
}

void push_position(lua_State *L) {
  lua_Debug d;
  if (find_position(L, &d))
    lua_pushfstring(L, "%s:%d: ", d.short_src, d.currentline);
  else
    lua_pushliteral(L, "");
}

int core_notice_handler(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &NOTICE);
  notices_set(true);
  return 0;
}

void give_notice(lua_State *L) {
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  bool known = lua_rawgetp(L, LUA_REGISTRYINDEX, &NOTICE) == LUA_TFUNCTION;
  lua_pushstring(L, fail_message());
  fail_clear();
  push_position(L);
  if (known)
    lua_call(L, 2, 0);
  else
    lua_pop(L, 3);
}

int core_library_source(lua_State *L) {
  luaL_checkstring(L, 1);
  lua_settop(L, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &SOURCES);
  return 0;
}

int core_error_context(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &CONTEXT);
  return 0;
}

/* Adds to the message on top of the stack what the context function says, which sees the stack of the error. An error in
 * that function, or a stack that is full, leaves the message as it is. */
static void add_context(lua_State *L) {
  static _Thread_local bool busy;
  if (busy || !lua_checkstack(L, 4)) return;
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &CONTEXT) == LUA_TFUNCTION) {
    busy = true;
    lua_pushvalue(L, -2);
    bool good = lua_pcall(L, 1, 1, 0) == LUA_OK && lua_type(L, -1) == LUA_TSTRING;
    busy = false;
    if (good) return lua_concat(L, 2);
  }
  lua_pop(L, 1);
}

/* Position and "name(): " unless the message names itself already. */
static int raise_message(lua_State *L, const char *function, const char *message) {
  push_position(L);
  if (function && *function == '_') function++; /* an inner operator, under the name of the function that calls it */
  size_t n = function ? strlen(function) : 0;
  bool named = n == 0 || (strncmp(message, function, n) == 0 && message[n] == '(');
  if (named)
    lua_pushstring(L, message);
  else
    lua_pushfstring(L, "%s(): %s", function, message);
  lua_concat(L, 2);
  add_context(L);
  return lua_error(L);
}

int raise_failure(lua_State *L, const char *function) {
  if (fail_code() == MT_EHOST) {
    fail_clear();
    lua_rawgetp(L, LUA_REGISTRYINDEX, &KEPT);
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &KEPT);
    return lua_error(L);
  }
  char message[2048];
  snprintf(message, sizeof message, "%s", fail_message());
  fail_clear();
  return raise_message(L, function, message);
}

int raise_text(lua_State *L, const char *function, const char *format, ...) {
  char message[2048];
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  return raise_message(L, function, message);
}

void keep_error(lua_State *L) {
  lua_rawsetp(L, LUA_REGISTRYINDEX, &KEPT);
  fail(MT_EHOST, "an error in a Lua callback");
}

int core_raise(lua_State *L) {
  const char *function = luaL_optstring(L, 1, NULL);
  luaL_checkstring(L, 2);
  if (lua_gettop(L) > 2) {
    lua_getglobal(L, "string");
    lua_getfield(L, -1, "format");
    lua_insert(L, 2);
    lua_pop(L, 1);
    lua_call(L, lua_gettop(L) - 2, 1);
  }
  return raise_message(L, function, lua_tostring(L, 2));
}

int core_warn(lua_State *L) {
  const char *message = luaL_checkstring(L, 1);
  push_position(L);
  lua_pushstring(L, message);
  lua_concat(L, 2);
  lua_warning(L, lua_tostring(L, -1), 0);
  return 0;
}

void warn_text(lua_State *L, const char *message) {
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_getfield(L, -1, "moontorch.core");
  lua_getfield(L, -1, "warn");
  lua_pushstring(L, message);
  lua_call(L, 1, 0);
  lua_pop(L, 2);
}
