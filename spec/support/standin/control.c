/* The stand-in as a spec sees it, beside torch.cuda: package.loadlib(path of cuda.so, "luaopen_standin")() gives
 * fail_at(n, for_good), calls() and count() -> {bytes, pinned, events, graphs, jobs}. */
#include <lauxlib.h>
#include <lua.h>

void standin_fail_at(long n, int for_good);
long standin_calls(void);
void standin_count(long *bytes, long *pieces, long *events, long *graphs, long *jobs);

static int f_fail_at(lua_State *L) {
  standin_fail_at((long)luaL_checkinteger(L, 1), lua_toboolean(L, 2));
  return 0;
}
static int f_calls(lua_State *L) { return lua_pushinteger(L, standin_calls()), 1; }
static int f_count(lua_State *L) {
  static const char *const name[] = {"bytes", "pinned", "events", "graphs", "jobs"};
  long n[5];
  standin_count(&n[0], &n[1], &n[2], &n[3], &n[4]);
  lua_createtable(L, 0, 5);
  for (int k = 0; k < 5; k++) {
    lua_pushinteger(L, n[k]);
    lua_setfield(L, -2, name[k]);
  }
  return 1;
}

__attribute__((visibility("default"))) int luaopen_standin(lua_State *L) {
  static const luaL_Reg functions[] = {{"fail_at", f_fail_at}, {"calls", f_calls}, {"count", f_count}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
