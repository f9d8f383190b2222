/* A program that links libmoontorch.a: the whole library loads without a file or a shared object, and again in a second
 * state. Built apart from the other C tests, which know nothing of Lua. */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>

int luaopen_moontorch(lua_State *L);

static const char script[] = "package.path, package.cpath = '', ''\n"
                             "local torch = require 'moontorch'\n"
                             "assert(torch == require 'moontorch')\n"
                             "assert(package.loaded['moontorch.core'])\n"
                             "local x = torch.ones(2, 3)\n"
                             "assert((x + x):sum():item() == 12)\n"
                             "local n = 0\n" /* workers find the library inside the program too */
                             "local loader = torch.utils.data.DataLoader({1, 2, 3}, {num_workers = 2})\n"
                             "for v in loader do n = n + v:item() end\n"
                             "assert(n == 6)\n"
                             "assert(not pcall(torch.utils.image.decode, ''))\n";

/* Runs the script in a new state; returns whether it passed. */
static int run(void) {
  lua_State *L = luaL_newstate();
  if (!L) return 0;
  luaL_openlibs(L);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, luaopen_moontorch);
  lua_setfield(L, -2, "moontorch");
  lua_settop(L, 0);
  int good = luaL_dostring(L, script) == LUA_OK;
  if (!good) printf("%s\n", lua_tostring(L, -1));
  lua_close(L);
  return good;
}

int main(void) {
  int passed = run() + run();
  printf("%d passed, %d failed\n", passed, 2 - passed);
  return passed != 2;
}
