/* moontorch.core: the C module. lua/moontorch/init.lua builds the package on the table that it returns. */
#include "lua/binding.h"

static const luaL_Reg functions[] = {{"raise", core_raise},
                                     {"warn", core_warn},
                                     {"_library_source", core_library_source},
                                     {"_error_context", core_error_context},
                                     {"_notice_handler", core_notice_handler},
                                     {"_ops", operators_list},
                                     {NULL, NULL}};

__attribute__((visibility("default"))) int luaopen_moontorch_core(lua_State *L) {
  luaL_checkversion(L);
  lua_settop(L, 0);
  lua_createtable(L, 0, 512); /* 1: core */
  lua_createtable(L, 0, 512); /* 2: methods */
  lua_createtable(L, 0, 32);  /* 3: properties */
  lua_pushvalue(L, 1);
  luaL_setfuncs(L, functions, 0);
  lua_settop(L, 3);
  collect_open(L);
  boxes_open(L, 2);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &TENSOR_MARK); /* 4: metatable of tensors */
  objects_open(L, 1);
  devices_open(L, 1);
  operators_open(L, 1, 2, 4);
  construct_open(L, 1, 2);
  autograd_open(L, 1, 2, 3);
  modes_open(L, 1);
  autocast_open(L, 1);
  signatures_open(L, 1);
  graph_open(L, 1);
  methods_open(L, 1, 2, 3);
  storage_open(L, 1, 2);
  generators_open(L, 1);
  system_open(L, 1);
  files_open(L, 1);
  workers_open(L, 1);
  lua_pushvalue(L, 2);
  lua_setfield(L, 1, "methods");
  lua_pushvalue(L, 3);
  lua_setfield(L, 1, "properties");
  lua_pushvalue(L, 4);
  lua_setfield(L, 1, "metatable");
  lua_settop(L, 1);
  return 1;
}
