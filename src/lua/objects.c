/* Dtypes, devices, sizes and none: the small objects around tensors. One dtype and one device are one object each. */
#include "lua/binding.h"
#include "tensor/device.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char DTYPES = 'd', DEVICES = 'v', SIZE = 'z', NONE = 'o', DTYPE_META = 'D', DEVICE_META = 'V';

typedef struct {
  const void *magic;
  DType dtype;
} DTypeObject;
typedef struct {
  const void *magic;
  Device device;
} DeviceObject;

static void *object_at(lua_State *L, int idx, size_t size, const void *magic) {
  if (lua_type(L, idx) != LUA_TUSERDATA || lua_rawlen(L, idx) != size) return NULL;
  void *o = lua_touserdata(L, idx);
  return *(const void **)o == magic ? o : NULL;
}

bool is_none(lua_State *L, int idx) {
  if (lua_type(L, idx) != LUA_TUSERDATA || lua_rawlen(L, idx) != 1) return false;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &NONE);
  bool same = lua_rawequal(L, -1, idx < 0 ? idx - 1 : idx);
  lua_pop(L, 1);
  return same;
}

void push_none(lua_State *L) { lua_rawgetp(L, LUA_REGISTRYINDEX, &NONE); }

bool size_at(lua_State *L, int idx) {
  if (!lua_istable(L, idx) || !lua_getmetatable(L, idx)) return false;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &SIZE);
  bool same = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return same;
}

/* --- dtypes --- */

void push_dtype(lua_State *L, DType d) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &DTYPES);
  lua_rawgeti(L, -1, d + 1);
  lua_remove(L, -2);
}

bool read_dtype(lua_State *L, int idx, DType *out) {
  if (lua_type(L, idx) == LUA_TSTRING) {
    const char *name = plain_string(L, idx);
    DType d = name ? dtype_by_name(name) : MT_NO_DTYPE;
    if (d != MT_NO_DTYPE) *out = d;
    return d != MT_NO_DTYPE;
  }
  DTypeObject *o = object_at(L, idx, sizeof *o, &DTYPES);
  if (o) *out = o->dtype;
  return o != NULL;
}

static int dtype_tostring(lua_State *L) {
  DType d;
  if (!read_dtype(L, 1, &d)) return luaL_argerror(L, 1, "dtype expected");
  lua_pushfstring(L, "torch.%s", dtype_info[d].name);
  return 1;
}

static int dtype_index(lua_State *L) {
  DType d;
  const char *key = luaL_checkstring(L, 2);
  if (!read_dtype(L, 1, &d)) return luaL_argerror(L, 1, "dtype expected");
  if (strcmp(key, "is_floating_point") == 0)
    lua_pushboolean(L, dtype_is_float(d));
  else if (strcmp(key, "is_signed") == 0)
    lua_pushboolean(L, dtype_info[d].is_signed);
  else if (strcmp(key, "is_complex") == 0)
    lua_pushboolean(L, 0);
  else if (strcmp(key, "itemsize") == 0)
    lua_pushinteger(L, dtype_size(d));
  else if (strcmp(key, "name") == 0)
    lua_pushstring(L, dtype_info[d].name);
  else if (strcmp(key, "type_name") == 0)
    lua_pushstring(L, dtype_info[d].type_name);
  else if (strcmp(key, "safetensors") == 0)
    lua_pushstring(L, dtype_info[d].safetensors);
  else if (strcmp(key, "alias") == 0)
    lua_pushstring(L, dtype_info[d].alias);
  else
    return raise_text(L, "dtype", "torch.dtype has no attribute '%s'", key);
  return 1;
}

static int f_is_dtype(lua_State *L) {
  return lua_pushboolean(L, object_at(L, 1, sizeof(DTypeObject), &DTYPES) != NULL), 1;
}

static void open_dtypes(lua_State *L, int core) {
  static const luaL_Reg meta[] = {{"__tostring", dtype_tostring}, {"__index", dtype_index}, {NULL, NULL}};
  lua_createtable(L, 0, 4);
  luaL_setfuncs(L, meta, 0);
  lua_pushliteral(L, "torch.dtype");
  lua_setfield(L, -2, "__name");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &DTYPE_META);
  lua_createtable(L, MT_DTYPES, 0);
  for (int d = 0; d < MT_DTYPES; d++) {
    DTypeObject *o = lua_newuserdatauv(L, sizeof *o, 0);
    *o = (DTypeObject){&DTYPES, (DType)d};
    lua_rawgetp(L, LUA_REGISTRYINDEX, &DTYPE_META);
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_setfield(L, core, dtype_info[d].name);
    lua_rawseti(L, -2, d + 1);
  }
  lua_rawsetp(L, LUA_REGISTRYINDEX, &DTYPES);
  lua_pushcfunction(L, f_is_dtype);
  lua_setfield(L, core, "is_dtype");
  static const struct {
    const char *name;
    DType d;
  } also[] = {{"float", MT_F32}, {"double", MT_F64}, {"half", MT_F16},
              {"int", MT_I32},   {"long", MT_I64},   {"short", MT_I16}};
  for (size_t i = 0; i < sizeof also / sizeof *also; i++) {
    push_dtype(L, also[i].d);
    lua_setfield(L, core, also[i].name);
  }
}

/* --- devices --- */

void push_device(lua_State *L, Device d) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &DEVICES);
  int key = d.kind * 256 + d.index + 1;
  if (lua_rawgeti(L, -1, key) == LUA_TNIL) {
    lua_pop(L, 1);
    DeviceObject *o = lua_newuserdatauv(L, sizeof *o, 0);
    *o = (DeviceObject){&DEVICES, d};
    lua_rawgetp(L, LUA_REGISTRYINDEX, &DEVICE_META);
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_rawseti(L, -3, key);
  }
  lua_remove(L, -2);
}

static bool parse_device(const char *s, Device *out) {
  int index = 0;
  if (strcmp(s, "cpu") == 0 || strcmp(s, "cpu:0") == 0) return *out = (Device){MT_CPU, 0}, true;
  if (strcmp(s, "cuda") == 0) return *out = (Device){MT_CUDA, (uint8_t)device_current()}, true;
  if (strncmp(s, "cuda:", 5) != 0) return false;
  const char *digit = s + 5;
  while (*digit >= '0' && *digit <= '9' && index < 256) index = index * 10 + (*digit++ - '0');
  if (*digit || digit == s + 5 || index >= 256) return false;
  *out = (Device){MT_CUDA, (uint8_t)index};
  return true;
}

bool read_device(lua_State *L, int idx, Device *out) {
  if (lua_type(L, idx) == LUA_TSTRING)
    return (plain_string(L, idx) && parse_device(lua_tostring(L, idx), out)) ||
           fail(MT_EARG,
                strncmp(lua_tostring(L, idx), "cpu:", 4) == 0 || strncmp(lua_tostring(L, idx), "cuda:", 5) == 0
                    ? "Invalid device string: '%s'"
                    : "Expected one of cpu, cuda device type at start of device string: %s",
                lua_tostring(L, idx));
  int64_t number; /* one alone is a GPU's */
  if (lua_type(L, idx) == LUA_TNUMBER && read_integer(L, idx, &number)) {
    if (number < 0 || number > 255)
      return fail(MT_EARG, "device numbers start at 0 and end before 256, got %lld", (long long)number);
    *out = (Device){MT_CUDA, (uint8_t)number};
    return true;
  }
  DeviceObject *o = object_at(L, idx, sizeof *o, &DEVICES);
  if (o) *out = o->device;
  return o != NULL;
}

/* --- the device of what creation functions make --- */

static _Thread_local Device standard_device;
static _Thread_local bool standard_given;

bool default_device(Device *d) {
  if (standard_given) *d = standard_device;
  return standard_given;
}

static int f_set_default_device(lua_State *L) {
  Device d = {MT_CPU, 0};
  bool none = lua_isnoneornil(L, 1) || is_none(L, 1);
  if (!none && !read_device(L, 1, &d))
    return failed() ? raise_failure(L, "set_default_device")
                    : raise_text(L, "set_default_device",
                                 "argument 'device' must be a torch.device or a string, not %s", type_found(L, 1));
  if (!none) want_device(L, d);
  standard_device = d;
  standard_given = !none;
  return 0;
}

/* A device as the default one for a while: torch.device(...):enter() until the value is closed, or a function's run. */

enum { GIVEN = 1, KIND_AT = 1, INDEX_AT = 9 }; /* the old one in an integer */

static lua_KContext enter_device(lua_State *L) {
  lua_KContext old =
      (lua_KContext)standard_device.index << INDEX_AT | (lua_KContext)standard_device.kind << KIND_AT | standard_given;
  Device d;
  if (!read_device(L, 1, &d)) luaL_argerror(L, 1, "device expected");
  want_device(L, d);
  standard_device = d;
  standard_given = true;
  return old;
}

static void leave_device(lua_KContext old) {
  standard_device = (Device){(uint8_t)(old >> KIND_AT), (uint8_t)(old >> INDEX_AT)};
  standard_given = old & GIVEN;
}

static int left_device(lua_State *L, int status, lua_KContext old);
static const Mode DEVICE = {1, enter_device, leave_device, left_device};
static int left_device(lua_State *L, int status, lua_KContext old) { return mode_left(L, status, old, &DEVICE); }

/* (device) -> a value to be closed */
static int device_enter(lua_State *L) { return mode_block(L, &DEVICE); }
/* (device, f, ...) -> results of f(...) */
static int device_run(lua_State *L) { return mode_call(L, &DEVICE); }

static int f_get_default_device(lua_State *L) {
  Device d = {MT_CPU, 0};
  default_device(&d);
  return push_device(L, d), 1;
}

/* device("cuda", 0), device("cuda:0"), device{type = "cuda", index = 0}, device(0), device(d); with a function behind
 * them, its results: creation functions in it make tensors there. */
static int device_new(lua_State *L) {
  Device d;
  if (lua_gettop(L) > 1 && lua_isfunction(L, -1)) {
    int last = lua_gettop(L);
    lua_pushcfunction(L, device_run);
    lua_pushcfunction(L, device_new);
    for (int k = 1; k < last; k++) lua_pushvalue(L, k);
    lua_call(L, last - 1, 1);
    lua_pushvalue(L, last);
    lua_call(L, 2, LUA_MULTRET);
    return lua_gettop(L) - last;
  }
  if (lua_gettop(L) == 1 && is_keywords(L, 1)) {
    static const char *const known[] = {"type", "index", "device", NULL};
    check_keys(L, 1, "device", known);
    lua_settop(L, 1);
    if (lua_getfield(L, 1, "type") == LUA_TNIL) {
      lua_pop(L, 1);
      lua_getfield(L, 1, "device");
    }
    lua_getfield(L, 1, "index");
    lua_remove(L, 1);
  }
  bool good = read_device(L, 1, &d);
  if (failed()) return raise_failure(L, "device");
  if (!good)
    return raise_text(L, "device", "argument 'type' must be a string such as 'cpu' or 'cuda:0', not %s",
                      luaL_typename(L, 1));
  if (!lua_isnoneornil(L, 2)) {
    int64_t index;
    if (!read_integer(L, 2, &index) || index < 0 || index > (d.kind == MT_CPU ? 0 : 255))
      return raise_text(L, "device",
                        "argument 'index' must be a device number, which start at 0 (the cpu is one device), not %s",
                        lua_isinteger(L, 2) ? text("%lld", (long long)lua_tointeger(L, 2)) : type_found(L, 2));
    if (lua_type(L, 1) == LUA_TSTRING && strchr(lua_tostring(L, 1), ':'))
      return raise_text(L, "device", "type (string) must not include an index because index was passed explicitly: %s",
                        lua_tostring(L, 1));
    d.index = (uint8_t)index;
  }
  push_device(L, d);
  return 1;
}

static int device_tostring(lua_State *L) {
  Device d;
  if (!read_device(L, 1, &d)) return luaL_argerror(L, 1, "device expected");
  lua_pushstring(L, device_text(d));
  return 1;
}

static int device_index(lua_State *L) {
  Device d;
  const char *key = luaL_checkstring(L, 2);
  if (!read_device(L, 1, &d)) return luaL_argerror(L, 1, "device expected");
  if (strcmp(key, "type") == 0)
    lua_pushstring(L, d.kind == MT_CPU ? "cpu" : "cuda");
  else if (strcmp(key, "index") == 0 && d.kind == MT_CUDA)
    lua_pushinteger(L, d.index);
  else if (strcmp(key, "index") == 0)
    lua_pushnil(L);
  else if (strcmp(key, "enter") == 0)
    lua_pushvalue(L, lua_upvalueindex(1));
  else
    return raise_text(L, "device", "torch.device has no attribute '%s'", key);
  return 1;
}

static void open_devices(lua_State *L, int core) {
  static const luaL_Reg meta[] = {{"__tostring", device_tostring}, {"__call", device_run}, {NULL, NULL}};
  lua_createtable(L, 0, 5);
  luaL_setfuncs(L, meta, 0);
  mode_push(L, device_enter);
  lua_pushcclosure(L, device_index, 1);
  lua_setfield(L, -2, "__index");
  lua_pushliteral(L, "torch.device");
  lua_setfield(L, -2, "__name");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &DEVICE_META);
  lua_createtable(L, 0, 2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &DEVICES);
  static const luaL_Reg functions[] = {{"device", device_new},
                                       {"set_default_device", f_set_default_device},
                                       {"get_default_device", f_get_default_device},
                                       {"_on_device", device_run},
                                       {NULL, NULL}};
  lua_pushvalue(L, core);
  luaL_setfuncs(L, functions, 0);
  lua_pop(L, 1);
}

/* --- sizes: a Lua array that prints and compares by value --- */

void push_size(lua_State *L, int n, const int64_t *v) {
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    lua_pushinteger(L, v[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_rawgetp(L, LUA_REGISTRYINDEX, &SIZE);
  lua_setmetatable(L, -2);
}

static int size_tostring(lua_State *L) {
  int64_t v[64];
  luaL_Buffer b;
  int n = read_ints(L, 1, v, 64);
  luaL_buffinit(L, &b);
  luaL_addstring(&b, "torch.Size([");
  for (int i = 0; i < n; i++) {
    if (i > 0) luaL_addstring(&b, ", ");
    lua_pushinteger(L, v[i]);
    luaL_addvalue(&b);
  }
  luaL_addstring(&b, "])");
  luaL_pushresult(&b);
  return 1;
}

static int size_eq(lua_State *L) {
  int64_t a[64], b[64];
  int n = read_ints(L, 1, a, 64), m = read_ints(L, 2, b, 64);
  lua_pushboolean(L, n >= 0 && n == m && memcmp(a, b, sizeof(int64_t) * (size_t)n) == 0);
  return 1;
}

static int size_numel(lua_State *L) {
  int64_t v[64], product = 1;
  int n = read_ints(L, 1, v, 64);
  for (int i = 0; i < n; i++)
    if (__builtin_mul_overflow(product, v[i], &product))
      return raise_text(L, "numel", "the product of %s does not fit 64 bits", shape_text(n, v));
  lua_pushinteger(L, product);
  return 1;
}

static int size_concat(lua_State *L) {
  luaL_tolstring(L, 1, NULL);
  luaL_tolstring(L, 2, NULL);
  lua_concat(L, 2);
  return 1;
}

static int size_new(lua_State *L) {
  int64_t v[64];
  int n = lua_istable(L, 1) ? read_ints(L, 1, v, 64) : 0;
  for (int i = 1; !lua_istable(L, 1) && n >= 0 && i <= lua_gettop(L); i++)
    n = n < 64 && read_integer(L, i, &v[n]) ? n + 1 : -1;
  if (n < 0) return raise_text(L, "Size", "takes a list of up to 64 integers");
  push_size(L, n, v);
  return 1;
}

/* What the array itself has not: methods, and positions from the end. Past the end is nil, so that ipairs ends there. */
static int size_index(lua_State *L) {
  if (lua_type(L, 2) != LUA_TNUMBER) {
    lua_rawget(L, lua_upvalueindex(1));
    return 1;
  }
  int whole = 0;
  lua_Integer at = lua_tointegerx(L, 2, &whole), n = (lua_Integer)lua_rawlen(L, 1);
  if (whole && at == 0)
    return raise_text(L, "Size", "position 0: positions count from 1 in Lua (1 is the first, -1 the last)");
  if (whole && at < 0 && at >= -n)
    lua_rawgeti(L, 1, n + 1 + at);
  else
    lua_pushnil(L);
  return 1;
}

static void open_sizes(lua_State *L, int core) {
  static const luaL_Reg meta[] = {
      {"__tostring", size_tostring}, {"__eq", size_eq}, {"__concat", size_concat}, {NULL, NULL}};
  lua_createtable(L, 0, 6);
  luaL_setfuncs(L, meta, 0);
  lua_pushliteral(L, "torch.Size");
  lua_setfield(L, -2, "__name");
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, size_numel);
  lua_setfield(L, -2, "numel");
  lua_pushcclosure(L, size_index, 1);
  lua_setfield(L, -2, "__index");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &SIZE);
  lua_pushcfunction(L, size_new);
  lua_setfield(L, core, "Size");
}

static int none_tostring(lua_State *L) {
  lua_pushliteral(L, "None");
  return 1;
}

static void open_none(lua_State *L, int core) {
  lua_newuserdatauv(L, 1, 0);
  lua_createtable(L, 0, 2);
  lua_pushcfunction(L, none_tostring);
  lua_setfield(L, -2, "__tostring");
  lua_pushliteral(L, "torch.none");
  lua_setfield(L, -2, "__name");
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &NONE);
  lua_pushvalue(L, -1);
  lua_setfield(L, core, "none");
  lua_setfield(L, core, "newaxis");
}

void objects_open(lua_State *L, int core) {
  open_dtypes(L, core);
  open_devices(L, core);
  open_sizes(L, core);
  open_none(L, core);
  static const struct {
    const char *name;
    double value;
  } numbers[] = {{"inf", INFINITY}, {"nan", NAN}, {"pi", 3.141592653589793}, {"e", 2.718281828459045}};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    lua_pushnumber(L, numbers[i].value);
    lua_setfield(L, core, numbers[i].name);
  }
}
