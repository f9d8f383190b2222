/* Unpacking of values that came from another Lua state: lua/parcel_form.h says in which form. */
#include "lua/parcel_form.h"
#include <string.h>

typedef struct Reader {
  lua_State *L;
  const Parcel *p;
  const uint8_t *at;
  int objects; /* stack: number -> object */
  int numbered;
} Reader;

static void unpack(Reader *r); /* pushes one value */

static int take_tag(Reader *r) { return *r->at++; }
static int64_t take_integer(Reader *r) {
  int64_t v;
  memcpy(&v, r->at, sizeof v);
  r->at += sizeof v;
  return v;
}
static void take_string(Reader *r) {
  int64_t n = take_integer(r);
  lua_pushlstring(r->L, (const char *)r->at, (size_t)n);
  r->at += n;
}

/* Numbers the value on top of the stack. */
static void keep(Reader *r) {
  lua_pushvalue(r->L, -1);
  lua_rawseti(r->L, r->objects, ++r->numbered);
}

static void unpack_tensor(Reader *r) {
  lua_State *L = r->L;
  int64_t shape[MT_MAX_DIMS], stride[MT_MAX_DIMS];
  Box *box = push_box(L, &TENSOR_MARK);
  Storage *s = r->p->storages[take_integer(r)];
  DType d = (DType)take_integer(r);
  int ndim = (int)take_integer(r);
  int64_t offset = take_integer(r), flags = take_integer(r);
  memcpy(shape, r->at, sizeof *shape * (size_t)ndim);
  r->at += sizeof *shape * (size_t)ndim;
  memcpy(stride, r->at, sizeof *stride * (size_t)ndim);
  r->at += sizeof *stride * (size_t)ndim;
  Tensor *t = tensor_view(s, d, offset, ndim, shape, stride);
  if (!t) raise_failure(L, "DataLoader");
  t->is_parameter = (flags & PARCEL_PARAMETER) != 0;
  t->requires_grad = (flags & PARCEL_REQUIRES_GRAD) != 0;
  box_fill(L, box, t);
}

static void unpack_entries(Reader *r, int table) {
  for (;;) {
    unpack(r);
    if (lua_isnil(r->L, -1)) break;
    unpack(r);
    lua_rawset(r->L, table);
  }
  lua_pop(r->L, 1);
}

static void require_module(Reader *r) {
  lua_State *L = r->L;
  take_string(r);
  lua_getglobal(L, "require");
  lua_insert(L, -2);
  lua_call(L, 1, 1);
}

static void unpack_class(Reader *r) {
  lua_State *L = r->L;
  int base = lua_gettop(L);
  take_string(r);
  unpack(r);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "moontorch.nn.class");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, lua_isnil(L, base + 2) ? "root" : "extend");
  lua_pushvalue(L, base + 1);
  lua_pushvalue(L, base + 2);
  lua_call(L, 2, 1);
  keep(r);
  unpack_entries(r, lua_gettop(L));
  lua_replace(L, base + 1);
  lua_settop(L, base + 1);
}

static void unpack_function(Reader *r) {
  lua_State *L = r->L;
  int64_t length = take_integer(r);
  if (luaL_loadbufferx(L, (const char *)r->at, (size_t)length, "=function", "b") != LUA_OK) lua_error(L);
  r->at += length;
  keep(r);
  int own = lua_gettop(L), n = (int)take_integer(r);
  for (int i = 1; i <= n; i++) {
    int64_t shared = take_integer(r);
    if (shared) {
      lua_rawgeti(L, r->objects, shared >> 8);
      lua_upvaluejoin(L, own, i, -1, (int)(shared & 255));
      lua_pop(L, 1);
    } else {
      unpack(r);
      lua_setupvalue(L, own, i);
    }
  }
}

static void unpack_generator(Reader *r) {
  Box *b = push_box(r->L, &GENERATOR_MARK);
  int device;
  memcpy(&device, r->at, sizeof device);
  r->at += sizeof device;
  Generator *g = b->generator = generator_new(device);
  if (!g || !generator_set_state(g, r->at, generator_state_bytes(g))) raise_failure(r->L, "DataLoader");
  r->at += generator_state_bytes(g);
  keep(r);
}

static void unpack(Reader *r) {
  lua_State *L = r->L;
  luaL_checkstack(L, 16, NULL);
  int tag = take_tag(r);
  switch (tag) {
  case T_NIL: lua_pushnil(L); break;
  case T_FALSE:
  case T_TRUE: lua_pushboolean(L, tag == T_TRUE); break;
  case T_INTEGER: lua_pushinteger(L, take_integer(r)); break;
  case T_FLOAT: {
    double d;
    memcpy(&d, r->at, sizeof d);
    r->at += sizeof d;
    lua_pushnumber(L, d);
    break;
  }
  case T_STRING: take_string(r); break;
  case T_REFERENCE: lua_rawgeti(L, r->objects, take_integer(r)); break;
  case T_TABLE:
    lua_createtable(L, 0, 0);
    keep(r);
    unpack_entries(r, lua_gettop(L));
    unpack(r);
    if (lua_isnil(L, -1))
      lua_pop(L, 1);
    else
      lua_setmetatable(L, -2);
    break;
  case T_CLASS: unpack_class(r); break;
  case T_MODULE: require_module(r); break;
  case T_MEMBER:
    require_module(r);
    take_string(r);
    lua_gettable(L, -2);
    lua_remove(L, -2);
    break;
  case T_FUNCTION: unpack_function(r); break;
  case T_CFUNCTION: {
    lua_CFunction f;
    memcpy(&f, r->at, sizeof f);
    r->at += sizeof f;
    lua_pushcfunction(L, f);
    break;
  }
  case T_TENSOR: unpack_tensor(r); break;
  case T_GENERATOR: unpack_generator(r); break;
  case T_DTYPE: push_dtype(L, (DType)take_integer(r)); break;
  case T_DEVICE: {
    int64_t v = take_integer(r);
    push_device(L, (Device){(uint8_t)(v >> 8), (uint8_t)(v & 255)});
    break;
  }
  case T_NONE: push_none(L); break;
  case T_MADE:
    unpack(r);
    unpack(r);
    lua_call(L, 1, 1);
    keep(r);
    break;
  case T_SIZE: {
    int64_t v[64];
    int n = (int)take_integer(r);
    memcpy(v, r->at, sizeof *v * (size_t)n);
    r->at += sizeof *v * (size_t)n;
    push_size(L, n, v);
    break;
  }
  default: luaL_error(L, "a parcel is damaged");
  }
}

void parcel_unpack(lua_State *L, const Parcel *p) {
  lua_createtable(L, 0, 0);
  Reader r = {.L = L, .p = p, .at = p->bytes, .objects = lua_gettop(L)};
  unpack(&r);
  lua_remove(L, r.objects);
}
