/* Lua's own allocator fails: a host whose state runs out of memory while the library loads or runs. For every k the k-th
 * allocation of a workload fails, once and then for good; the call ends well or with an error, native memory returns to
 * what it was, and the workload gives its result afterwards. Lua itself collects and tries again after a single failure,
 * in the middle of whatever the library is doing: that must be harmless.
 *
 * Links libmoontorch.a and Lua. Run from the project's root: the workloads are spec/support/workloads.lua. */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int luaopen_moontorch(lua_State *L);

/* Allocations are counted while `armed`; number `fail_at` fails, later ones too if `for_good`. Shrinking and freeing
 * never fail, as Lua demands. */
static struct {
  bool armed, for_good;
  long count, fail_at;
} plan;
static long passed, failed;

static void *allocate(void *context, void *block, size_t old, size_t size) {
  (void)context;
  if (size == 0) {
    free(block);
    return NULL;
  }
  if (plan.armed && (!block || size > old)) {
    plan.count++;
    if (plan.fail_at && (plan.count == plan.fail_at || (plan.for_good && plan.count > plan.fail_at))) return NULL;
  }
  return realloc(block, size);
}

static void start(long fail_at, bool for_good) {
  plan.armed = true;
  plan.count = 0;
  plan.fail_at = fail_at;
  plan.for_good = for_good;
}
static long stop(void) {
  plan.armed = false;
  return plan.count;
}

static void check(bool good, const char *name, long k, bool for_good, const char *what) {
  if (good) {
    passed++;
    return;
  }
  failed++;
  if (failed < 30) printf("%s, allocation %ld failing %s: %s\n", name, k, for_good ? "for good" : "once", what);
}

static lua_State *open_state(void) {
  lua_State *L = lua_newstate(allocate, NULL);
  if (!L) return NULL;
  luaL_openlibs(L);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, luaopen_moontorch);
  lua_setfield(L, -2, "moontorch");
  lua_settop(L, 0);
  if (luaL_dostring(L, "package.path = './?.lua'") != LUA_OK) return NULL;
  return L;
}

/* torch.memory().in_use after full collections; stack index 1 holds the module. */
static long in_use(lua_State *L) {
  for (int i = 0; i < 3; i++) lua_gc(L, LUA_GCCOLLECT);
  lua_getfield(L, 1, "memory");
  lua_call(L, 0, 1);
  lua_getfield(L, -1, "in_use");
  long bytes = (long)lua_tointeger(L, -1);
  lua_pop(L, 2);
  return bytes;
}

/* Loading under failures: each k in a state of its own, the first ones all and later ones in growing steps. */
static void test_loading(void) {
  for (int for_good = 0; for_good < 2; for_good++) {
    bool ended = false;
    for (long k = 1; !ended; k += 1 + k / 16) {
      lua_State *L = open_state();
      if (!L) return;
      lua_getglobal(L, "require");
      lua_pushliteral(L, "moontorch");
      start(k, for_good);
      int status = lua_pcall(L, 1, 1, 0);
      ended = stop() < k;
      check(status == LUA_OK || lua_type(L, -1) == LUA_TSTRING, "loading", k, for_good, "the error is no text");
      if (status != LUA_OK) { /* a second attempt, with memory */
        lua_settop(L, 0);
        bool good = luaL_dostring(L, "assert(require('moontorch').ones(2):sum():item() == 2)") == LUA_OK;
        check(good, "loading", k, for_good, good ? "" : lua_tostring(L, -1));
      }
      lua_close(L);
    }
  }
}

/* The function on top of the stack, called; true and its result in *result, or false, the error on the stack. */
static bool run(lua_State *L, int function, lua_Number *result) {
  lua_pushvalue(L, function);
  if (lua_pcall(L, 0, 1, 0) != LUA_OK) return false;
  *result = lua_tonumber(L, -1);
  lua_pop(L, 1);
  return true;
}

static void test_workload(lua_State *L, const char *name, int function) {
  lua_Number expected = 0, again = 0;
  if (!run(L, function, &expected) || !run(L, function, &again) || expected != again) {
    check(false, name, 0, false, lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "no result to compare with");
    return;
  }
  for (int for_good = 0; for_good < 2; for_good++) {
    bool ended = false;
    for (long k = 1; !ended; k++) {
      int top = lua_gettop(L);
      long before = in_use(L);
      start(k, for_good);
      lua_Number got = 0;
      bool good = run(L, function, &got);
      ended = stop() < k;
      if (good)
        check(got == expected, name, k, for_good, "another result");
      else
        check(lua_type(L, -1) == LUA_TSTRING && strstr(lua_tostring(L, -1), "memory"), name, k, for_good,
              lua_tostring(L, -1));
      lua_settop(L, top);
      check(in_use(L) <= before, name, k, for_good, "native memory is left behind");
    }
  }
  check(run(L, function, &again) && again == expected, name, 0, true, "afterwards it does not work");
}

int main(void) {
  test_loading();
  lua_State *L = open_state();
  if (!L || luaL_dostring(L, "return require 'moontorch', require 'spec.support.workloads'") != LUA_OK) {
    printf("%s\n0 passed, 1 failed\n", L ? lua_tostring(L, -1) : "no state");
    return 1;
  }
  int count = (int)lua_rawlen(L, 2);
  for (int i = 1; i <= count; i++) {
    lua_settop(L, 2);
    lua_rawgeti(L, 2, i);
    lua_rawgeti(L, 3, 1);
    lua_rawgeti(L, 3, 2);
    test_workload(L, lua_tostring(L, 4), 5);
  }
  lua_close(L);
  printf("%ld passed, %ld failed\n", passed, failed);
  return failed != 0;
}
