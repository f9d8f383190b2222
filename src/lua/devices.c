/* Devices besides the host, as the binding sees them: the module that drives them is loaded when a script first names
 * one, and gets the core's table of functions (tensor/core_api.h). */
#include "lua/binding.h"
#include "graph/watch.h"
#include "tensor/core_api.h"

#define FIELD(result, name, parameters, arguments) .name = name,
static const CoreApi core_api = {.version = CORE_API_VERSION,
                                 .size = sizeof(CoreApi),
                                 .fail = fail,
                                 .fail_suffix = fail_suffix,
                                 CORE_FUNCTIONS(FIELD)};

/* Loads the module for d unless that was tried before. Never raises: what is missing is said when the device is used. */
void want_device(lua_State *L, Device d) {
  if (d.kind == MT_CPU || device_registered((DeviceKind)d.kind)) return;
  int top = lua_gettop(L);
  if (!lua_checkstack(L, 6)) return;
  if (lua_getglobal(L, "require") == LUA_TFUNCTION) {
    lua_pushliteral(L, "moontorch.cuda");
    if (lua_pcall(L, 1, 1, 0) == LUA_OK && lua_type(L, -1) == LUA_TTABLE &&
        lua_getfield(L, -1, "_load") == LUA_TFUNCTION)
      lua_pcall(L, 0, 0, 0);
  }
  lua_settop(L, top);
}

static int f_device_api(lua_State *L) {
  watch_devices();
  watch_own(L);
  return lua_pushlightuserdata(L, (void *)(uintptr_t)&core_api), 1;
}

/* core._device_missing(reason): what a script hears that names a device. */
static int f_device_missing(lua_State *L) {
  static const char KEY = 0;
  const char *reason = luaL_checkstring(L, 1);
  lua_settop(L, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &KEY); /* keeps the string */
  device_missing(reason);
  return 0;
}

/* core._device_mode(name, on) -> what it was; nil leaves it. */
static int f_device_mode(lua_State *L) {
  DeviceModes *m = device_modes();
  static const char *const names[] = {"matmul_tf32", "fp16_reduction",  "bf16_reduction",      "cudnn",
                                      "cudnn_tf32",  "cudnn_benchmark", "cudnn_deterministic", NULL};
  bool *const mode[] = {&m->matmul_tf32, &m->fp16_reduction,  &m->bf16_reduction,     &m->cudnn,
                        &m->cudnn_tf32,  &m->cudnn_benchmark, &m->cudnn_deterministic};
  int k = luaL_checkoption(L, 1, NULL, names);
  lua_pushboolean(L, *mode[k]);
  if (!lua_isnoneornil(L, 2)) *mode[k] = lua_toboolean(L, 2);
  return 1;
}

static const luaL_Reg functions[] = {{"_device_api", f_device_api},
                                     {"_device_missing", f_device_missing},
                                     {"_device_mode", f_device_mode},
                                     {NULL, NULL}};

void devices_open(lua_State *L, int core) {
  lua_pushvalue(L, core);
  luaL_setfuncs(L, functions, 0);
  lua_pop(L, 1);
}
