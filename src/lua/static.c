/* Static hosts: luaopen_moontorch, the whole library from inside the program, Lua modules included.
 *
 * Only the archive holds this file. A module that the host has put into package.preload itself is left alone. */
#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

/* Made at build time from lua/moontorch; ends with a NULL name. */
typedef struct {
  const char *name, *chunk;
  const unsigned char *data;
  size_t size;
} EmbeddedModule;
extern const EmbeddedModule embedded_modules[];

EXPORT int luaopen_moontorch(lua_State *L);
int luaopen_moontorch_core(lua_State *L);
extern lua_CFunction library_open; /* worker.c: workers open the library as their host did */

/* package.preload entry of one module: upvalue 1 is its place in the table; the argument is the module's name. */
static int load_embedded(lua_State *L) {
  const EmbeddedModule *m = &embedded_modules[lua_tointeger(L, lua_upvalueindex(1))];
  lua_settop(L, 2);
  if (luaL_loadbufferx(L, (const char *)m->data, m->size, m->chunk, "t") != LUA_OK) return lua_error(L);
  lua_insert(L, 1);
  lua_call(L, 2, 1);
  return 1;
}

static void preload(lua_State *L, const char *name, lua_CFunction open, int place) {
  if (lua_getfield(L, -1, name) == LUA_TNIL) {
    lua_pushinteger(L, place);
    lua_pushcclosure(L, open, 1);
    lua_setfield(L, -3, name);
  }
  lua_pop(L, 1);
}

/* For luaL_requiref(L, "moontorch", luaopen_moontorch, 0), or as a package.preload entry: registers every part of the
 * library and returns the module. */
int luaopen_moontorch(lua_State *L) {
  __atomic_store_n(&library_open, luaopen_moontorch, __ATOMIC_RELAXED);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  preload(L, "moontorch.core", luaopen_moontorch_core, 0);
  int main_module = -1;
  for (int i = 0; embedded_modules[i].name; i++) {
    if (strcmp(embedded_modules[i].name, "moontorch") == 0)
      main_module = i;
    else
      preload(L, embedded_modules[i].name, load_embedded, i);
  }
  lua_pop(L, 1);
  if (main_module < 0) return luaL_error(L, "libmoontorch.a was built without its Lua modules");
  lua_pushinteger(L, main_module);
  lua_pushcclosure(L, load_embedded, 1);
  lua_pushliteral(L, "moontorch");
  lua_pushliteral(L, ":static:");
  lua_call(L, 2, 1);
  return 1;
}
