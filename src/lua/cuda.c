/* moontorch/cuda.so as Lua sees it: opened with the core's table of functions by lua/moontorch/cuda.lua. */
#include "cuda/driver.h"
#include <lauxlib.h>
#include <lua.h>

static int device_at(lua_State *L, int idx) {
  lua_Integer i = luaL_optinteger(L, idx, 0);
  if (i < 0 || i >= driver_devices()) luaL_error(L, "CUDA error: invalid device ordinal: there is no cuda:%d", (int)i);
  return (int)i;
}

/* The failure of the call as an error; lua/moontorch/cuda.lua adds the function's name and the caller's line. */
static int raise_pending(lua_State *L) {
  lua_pushstring(L, fail_message());
  fail_clear();
  return lua_error(L);
}

static int f_device_count(lua_State *L) { return lua_pushinteger(L, driver_devices()), 1; }

static int f_memory_stats(lua_State *L) {
  MemoryStats s = cuda_memory_stats(device_at(L, 1));
  lua_createtable(L, 0, 6);
  const struct {
    const char *name;
    int64_t value;
  } field[] = {{"allocated", s.allocated},         {"peak", s.peak},     {"reserved", s.reserved},
               {"peak_reserved", s.peak_reserved}, {"blocks", s.blocks}, {"retries", s.retries}};
  for (size_t k = 0; k < sizeof field / sizeof *field; k++) {
    lua_pushinteger(L, field[k].value);
    lua_setfield(L, -2, field[k].name);
  }
  return 1;
}

static int f_empty_cache(lua_State *L) {
  for (int k = 0; k < driver_devices(); k++)
    if (!cuda_trim(k)) return raise_pending(L);
  return 0;
}

static int f_reset_peak(lua_State *L) { return cuda_reset_peak(device_at(L, 1)), 0; }

static int f_synchronize(lua_State *L) { return driver_settle(device_at(L, 1)) ? 0 : raise_pending(L); }

static int f_mem_get_info(lua_State *L) {
  size_t available = 0, total = 0;
  if (!driver_use(device_at(L, 1)) || !driver_check(cudaMemGetInfo(&available, &total), "cudaMemGetInfo"))
    return raise_pending(L);
  lua_pushinteger(L, (lua_Integer)available);
  lua_pushinteger(L, (lua_Integer)total);
  return 2;
}

static int f_dnn_version(lua_State *L) { return lua_pushinteger(L, dnn_version()), 1; }

static const luaL_Reg functions[] = {{"device_count", f_device_count}, {"dnn_version", f_dnn_version},
                                     {"memory_stats", f_memory_stats}, {"empty_cache", f_empty_cache},
                                     {"reset_peak", f_reset_peak},     {"synchronize", f_synchronize},
                                     {"mem_get_info", f_mem_get_info}, {NULL, NULL}};

/* (the core's table) -> functions, or nil and why there is no device. */
__attribute__((visibility("default"))) int luaopen_moontorch_cuda(lua_State *L) {
  const CoreApi *api = lua_touserdata(L, 1);
  if (!api || !core_link(api)) {
    lua_pushnil(L);
    lua_pushliteral(L, "moontorch/cuda.so is of another version than moontorch/core.so: build both from one checkout");
    return 2;
  }
  const char *reason = driver_start();
  if (reason) {
    lua_pushnil(L);
    lua_pushstring(L, reason);
    return 2;
  }
  luaL_newlib(L, functions);
  return 1;
}
