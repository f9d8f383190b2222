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

static const luaL_Reg functions[] = {
    {"_device_api", f_device_api}, {"_device_missing", f_device_missing}, {NULL, NULL}};

void devices_open(lua_State *L, int core) {
  lua_pushvalue(L, core);
  luaL_setfuncs(L, functions, 0);
  lua_pop(L, 1);
}
