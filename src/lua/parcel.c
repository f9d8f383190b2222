/* Packing of values that go from one Lua state to another, in the form of lua/parcel_form.h. */
#include "lua/parcel_form.h"
#include "base/alloc.h"
#include <stdio.h>
#include <string.h>

enum { DEPTH = 160, PATH = 400 };

/* --- memory --- */

void parcel_free(Parcel *p) {
  if (!p) return;
  for (int i = 0; i < p->count; i++) storage_release(p->storages[i]);
  mem_free(p->storages);
  mem_free(p->bytes);
  mem_free(p);
}

/* While a parcel is packed a userdata owns it, so that an error of Lua's loses nothing. */
static int free_held(lua_State *L) {
  Parcel **held = lua_touserdata(L, 1);
  parcel_free(*held);
  *held = NULL;
  return 0;
}

typedef struct Packer {
  lua_State *L;
  Parcel *p;
  int memo;  /* stack: object -> its number; upvalue ids too */
  int index; /* stack: object -> "module" or {module, member}; made when first needed */
  int class; /* stack: the function that tells classes, or nil */
  bool indexed;
  int numbered, depth;
  size_t path_length;
  char path[PATH];
} Packer;

static int out_of_memory(Packer *k) { return raise_failure(k->L, "DataLoader"); }

static void put(Packer *k, const void *from, size_t n) {
  Parcel *p = k->p;
  if (n > p->room - p->used) {
    size_t room = (p->room + n) * 2;
    uint8_t *more = mem_resize(p->bytes, room);
    if (!more) out_of_memory(k);
    p->bytes = more;
    p->room = room;
  }
  if (n) memcpy(p->bytes + p->used, from, n);
  p->used += n;
}
static void put_tag(Packer *k, int tag) { put(k, &(uint8_t){(uint8_t)tag}, 1); }
static void put_integer(Packer *k, int64_t v) { put(k, &v, sizeof v); }
static void put_string(Packer *k, int idx) {
  size_t n;
  const char *s = lua_tolstring(k->L, idx, &n);
  put_integer(k, (int64_t)n);
  put(k, s, n);
}

/* --- packing --- */

static void pack(Packer *k, int idx);

/* Adds to the path for the time of one value; returns the length to go back to. */
static size_t enter(Packer *k, const char *format, const char *name) {
  size_t before = k->path_length;
  char part[80];
  snprintf(part, sizeof part, format, name);
  if (before + strlen(part) < PATH) {
    strcpy(k->path + before, part);
    k->path_length += strlen(part);
  }
  return before;
}
static void leave(Packer *k, size_t before) {
  k->path_length = before;
  k->path[before] = 0;
}

static int refuse(Packer *k, const char *kind) {
  return raise_text(
      k->L, "DataLoader",
      "%s is %s, which cannot be sent to another thread's Lua state: tensors, numbers, strings, booleans, "
      "tables of these and Lua functions can. Make it in the worker instead: give DataLoader a function "
      "that makes the dataset, or the name of a module that returns it (dataset = \"my.module\")",
      k->path + (*k->path == '.'), kind);
}

static void number(Packer *k, int idx) {
  lua_pushvalue(k->L, idx);
  lua_pushinteger(k->L, ++k->numbered);
  lua_rawset(k->L, k->memo);
}

/* Fills the table at `index`: object -> where `require` finds it, for every loaded module and what it holds. The members
 * of _G are left out, as another state has not what a script puts there. */
static void fill_index(lua_State *L, int index, int loaded) {
  for (int round = 0; round < 2; round++) { /* a module that is itself a member goes by its own name */
    lua_pushnil(L);
    while (lua_next(L, loaded)) {
      int name = lua_gettop(L) - 1, module = name + 1;
      bool usable = lua_type(L, name) == LUA_TSTRING && (lua_istable(L, module) || lua_isfunction(L, module));
      if (usable && round == 1) {
        lua_pushvalue(L, module);
        if (strcmp(lua_tostring(L, name), "moontorch.core") == 0) /* torch has two names */
          lua_pushliteral(L, "moontorch");
        else
          lua_pushvalue(L, name);
        lua_rawset(L, index);
      } else if (usable && lua_istable(L, module) && strcmp(lua_tostring(L, name), LUA_GNAME) != 0) {
        lua_pushnil(L);
        while (lua_next(L, module)) {
          int key = lua_gettop(L) - 1, member = key + 1;
          if (lua_type(L, key) == LUA_TSTRING && (lua_istable(L, member) || lua_isfunction(L, member))) {
            lua_pushvalue(L, member);
            lua_createtable(L, 2, 0);
            lua_pushvalue(L, name);
            lua_rawseti(L, -2, 1);
            lua_pushvalue(L, key);
            lua_rawseti(L, -2, 2);
            lua_rawset(L, index);
          }
          lua_settop(L, key);
        }
      }
      lua_settop(L, name);
    }
  }
}

/* The index, which is kept while the number of loaded modules stays the same. */
static void make_index(Packer *k) {
  static const char INDEX = 'i';
  lua_State *L = k->L;
  int top = lua_gettop(L);
  k->indexed = true;
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_Integer count = 0;
  lua_pushnil(L);
  while (lua_next(L, top + 1)) {
    count++;
    lua_pop(L, 1);
  }
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &INDEX) == LUA_TTABLE) {
    lua_rawgeti(L, -1, 1);
    if (lua_tointeger(L, -1) == count) {
      lua_rawgeti(L, -2, 2);
      lua_replace(L, k->index);
      lua_settop(L, top);
      return;
    }
  }
  lua_createtable(L, 2, 0);
  int kept = lua_gettop(L);
  lua_createtable(L, 0, 1024);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "k");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  fill_index(L, kept + 1, top + 1);
  lua_pushvalue(L, -1);
  lua_replace(L, k->index);
  lua_rawseti(L, kept, 2);
  lua_pushinteger(L, count);
  lua_rawseti(L, kept, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &INDEX);
  lua_settop(L, top);
}

/* Is the object at idx part of a module? Then its name is packed. */
static bool pack_by_name(Packer *k, int idx) {
  lua_State *L = k->L;
  if (!k->indexed) make_index(k);
  lua_pushvalue(L, idx);
  int type = lua_rawget(L, k->index);
  if (type == LUA_TSTRING) {
    put_tag(k, T_MODULE);
    put_string(k, -1);
  } else if (type == LUA_TTABLE) {
    put_tag(k, T_MEMBER);
    for (int i = 1; i <= 2; i++) {
      lua_rawgeti(L, -1, i);
      put_string(k, -1);
      lua_pop(L, 1);
    }
  }
  lua_pop(L, 1);
  return type != LUA_TNIL;
}

static void pack_tensor(Packer *k, int idx) {
  Tensor *t = to_tensor(k->L, idx);
  if (!t) {
    refuse(k, "a freed Tensor");
    return;
  }
  if (t->requires_grad && !tensor_is_leaf(t))
    raise_text(
        k->L, "DataLoader",
        "%s: Cowardly refusing to serialize non-leaf tensor which requires_grad, since autograd does not support "
        "crossing process boundaries. If you just want to transfer the data, call detach() on the tensor",
        k->path + (*k->path == '.'));
  if (tensor_device(t).kind != MT_CPU) {
    refuse(k, "a tensor that is not on the cpu");
    return;
  }
  Parcel *p = k->p;
  if (p->count == p->storage_room) {
    int room = p->storage_room * 2 + 4;
    Storage **more = mem_resize(p->storages, sizeof *more * (size_t)room);
    if (!more) out_of_memory(k);
    p->storages = more;
    p->storage_room = room;
  }
  put_tag(k, T_TENSOR);
  put_integer(k, p->count);
  put_integer(k, t->dtype);
  put_integer(k, t->ndim);
  put_integer(k, t->offset);
  put_integer(k, (t->requires_grad ? PARCEL_REQUIRES_GRAD : 0) | (t->is_parameter ? PARCEL_PARAMETER : 0));
  put(k, t->shape, sizeof *t->shape * t->ndim);
  put(k, t->stride, sizeof *t->stride * t->ndim);
  p->storages[p->count++] = storage_retain(t->storage);
}

static bool pack_object(Packer *k, int idx) {
  lua_State *L = k->L;
  DType d;
  Device device;
  if (is_tensor(L, idx)) return pack_tensor(k, idx), true;
  if (is_none(L, idx)) return put_tag(k, T_NONE), true;
  Box *g = box_at(L, idx, &GENERATOR_MARK);
  if (g && g->generator) {
    uint8_t state[RNG_STATE_BYTES];
    number(k, idx);
    put_tag(k, T_GENERATOR);
    put(k, &g->generator->device, sizeof g->generator->device);
    generator_get_state(g->generator, state);
    put(k, state, (size_t)generator_state_bytes(g->generator));
    return true;
  }
  if (read_dtype(L, idx, &d)) {
    put_tag(k, T_DTYPE);
    put_integer(k, d);
    return true;
  }
  if (read_device(L, idx, &device)) {
    put_tag(k, T_DEVICE);
    put_integer(k, device.kind * 256 + device.index);
    return true;
  }
  return false;
}

/* The part of the path that a key is. */
static size_t enter_key(Packer *k, int idx) {
  lua_State *L = k->L;
  if (lua_type(L, idx) == LUA_TSTRING) return enter(k, ".%.60s", lua_tostring(L, idx));
  if (lua_isinteger(L, idx)) return enter(k, "[%s]", text("%lld", (long long)lua_tointeger(L, idx)));
  return enter(k, "[%s]", luaL_typename(L, idx));
}

/* Raw entries of the table at idx. `parent`, for a class: the stack index of its parent class or nil; what a class holds
 * by being made is left out. */
static void pack_entries(Packer *k, int idx, int parent) {
  lua_State *L = k->L;
  lua_pushnil(L);
  while (lua_next(L, idx)) {
    int key = lua_gettop(L) - 1, value = key + 1;
    bool skip = false;
    if (parent && lua_type(L, key) == LUA_TSTRING) {
      const char *name = lua_tostring(L, key);
      skip = strcmp(name, "super") == 0 || strcmp(name, "__name") == 0;
      if (strcmp(name, "__index") == 0) skip = lua_rawequal(L, value, idx);
      if (!skip && strncmp(name, "__", 2) == 0 && lua_istable(L, parent)) { /* taken over from the parent */
        lua_pushvalue(L, key);
        lua_rawget(L, parent);
        skip = lua_rawequal(L, -1, value);
        lua_pop(L, 1);
      }
    }
    if (!skip) {
      size_t before = enter_key(k, key);
      pack(k, key);
      pack(k, value);
      leave(k, before);
    }
    lua_settop(L, key);
  }
  put_tag(k, T_NIL); /* no key is nil */
}

static bool is_class(Packer *k, int idx) {
  lua_State *L = k->L;
  if (lua_isnil(L, k->class)) return false;
  lua_pushvalue(L, k->class);
  lua_pushvalue(L, idx);
  lua_call(L, 1, 1);
  bool is = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return is;
}

static void pack_table(Packer *k, int idx) {
  lua_State *L = k->L;
  bool has_meta = lua_getmetatable(L, idx);
  int meta = lua_gettop(L);
  if (has_meta && size_at(L, idx)) {
    int64_t v[64];
    int n = read_ints(L, idx, v, 64);
    if (n >= 0) {
      put_tag(k, T_SIZE);
      put_integer(k, n);
      put(k, v, sizeof *v * (size_t)n);
      lua_pop(L, 1);
      return;
    }
  }
  if (pack_by_name(k, idx)) {
    if (has_meta) lua_pop(L, 1);
    return;
  }
  if (has_meta) { /* __transfer(v) -> maker, argument: the other state calls maker(argument) */
    lua_pushliteral(L, "__transfer");
    if (lua_rawget(L, meta) == LUA_TFUNCTION) {
      lua_pushvalue(L, idx);
      lua_call(L, 1, 2);
      put_tag(k, T_MADE);
      pack(k, meta + 1);
      pack(k, meta + 2);
      number(k, idx);
      lua_settop(L, meta - 1);
      return;
    }
    lua_settop(L, meta);
  }
  if (has_meta && is_class(k, idx)) {
    put_tag(k, T_CLASS);
    lua_pushliteral(L, "__name");
    lua_rawget(L, idx);
    luaL_tolstring(L, -1, NULL);
    size_t before = enter(k, ".%.60s", lua_tostring(L, -1));
    put_string(k, -1);
    lua_pushliteral(L, "super");
    lua_rawget(L, idx);
    int parent = lua_gettop(L);
    pack(k, parent);
    number(k, idx); /* after the parent, which is made first */
    pack_entries(k, idx, parent);
    leave(k, before);
    lua_settop(L, meta - 1);
    return;
  }
  number(k, idx);
  put_tag(k, T_TABLE);
  pack_entries(k, idx, 0);
  if (has_meta) {
    size_t before = enter(k, "%s", " (its metatable)");
    pack(k, meta);
    leave(k, before);
    lua_pop(L, 1);
  } else {
    put_tag(k, T_NIL);
  }
}

static int dump_piece(lua_State *L, const void *piece, size_t n, void *packer) {
  (void)L;
  put(packer, piece, n);
  return 0;
}

static void pack_function(Packer *k, int idx) {
  lua_State *L = k->L;
  if (pack_by_name(k, idx)) return;
  if (lua_iscfunction(L, idx)) {
    if (lua_getupvalue(L, idx, 1)) {
      refuse(k, "a C function with values of its own");
      return;
    }
    lua_CFunction f = lua_tocfunction(L, idx);
    put_tag(k, T_CFUNCTION);
    put(k, &f, sizeof f);
    return;
  }
  number(k, idx);
  int own = k->numbered;
  put_tag(k, T_FUNCTION);
  size_t at = k->p->used;
  put_integer(k, 0);
  lua_pushvalue(L, idx);
  lua_dump(L, dump_piece, k, 0);
  lua_pop(L, 1);
  int64_t length = (int64_t)(k->p->used - at - sizeof length);
  memcpy(k->p->bytes + at, &length, sizeof length);
  int n = 0;
  while (lua_getupvalue(L, idx, n + 1)) {
    lua_pop(L, 1);
    n++;
  }
  put_integer(k, n);
  for (int i = 1; i <= n; i++) {
    /* Functions that share a variable go on sharing it. */
    lua_pushlightuserdata(L, lua_upvalueid(L, idx, i));
    if (lua_rawget(L, k->memo) == LUA_TNUMBER) {
      put_integer(k, lua_tointeger(L, -1));
      lua_pop(L, 1);
      continue;
    }
    lua_pop(L, 1);
    lua_pushlightuserdata(L, lua_upvalueid(L, idx, i));
    lua_pushinteger(L, (lua_Integer)own << 8 | i);
    lua_rawset(L, k->memo);
    put_integer(k, 0);
    const char *name = lua_getupvalue(L, idx, i);
    if (strcmp(name, "_ENV") == 0) { /* its globals are the other state's, whatever it was loaded with here */
      put_tag(k, T_MODULE);
      lua_pushliteral(L, LUA_GNAME);
      put_string(k, -1);
      lua_pop(L, 2);
      continue;
    }
    size_t before = enter(k, ": its variable '%.60s'", *name ? name : "?");
    pack(k, lua_gettop(L));
    leave(k, before);
    lua_pop(L, 1);
  }
}

static void pack(Packer *k, int idx) {
  lua_State *L = k->L;
  luaL_checkstack(L, 16, NULL);
  if (++k->depth > DEPTH) refuse(k, "nested too deeply");
  int type = lua_type(L, idx);
  if (type == LUA_TTABLE || type == LUA_TFUNCTION || type == LUA_TUSERDATA) {
    lua_pushvalue(L, idx);
    bool met = lua_rawget(L, k->memo) == LUA_TNUMBER;
    int64_t n = lua_tointeger(L, -1);
    lua_pop(L, 1);
    if (met) {
      put_tag(k, T_REFERENCE);
      put_integer(k, n);
      k->depth--;
      return;
    }
  }
  switch (type) {
  case LUA_TNIL: put_tag(k, T_NIL); break;
  case LUA_TBOOLEAN: put_tag(k, lua_toboolean(L, idx) ? T_TRUE : T_FALSE); break;
  case LUA_TNUMBER:
    if (lua_isinteger(L, idx)) {
      put_tag(k, T_INTEGER);
      put_integer(k, lua_tointeger(L, idx));
    } else {
      put_tag(k, T_FLOAT);
      put(k, &(double){lua_tonumber(L, idx)}, sizeof(double));
    }
    break;
  case LUA_TSTRING:
    put_tag(k, T_STRING);
    put_string(k, idx);
    break;
  case LUA_TTABLE: pack_table(k, idx); break;
  case LUA_TFUNCTION: pack_function(k, idx); break;
  case LUA_TUSERDATA:
    if (pack_object(k, idx)) break; /* fall through */
  default: refuse(k, text("a %s", type_found(L, idx)));
  }
  k->depth--;
}

Parcel *parcel_pack(lua_State *L, int idx, const char *what) {
  idx = lua_absindex(L, idx);
  int top = lua_gettop(L);
  luaL_checkstack(L, 16, NULL);
  Parcel **held = lua_newuserdatauv(L, sizeof *held, 0);
  *held = NULL;
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, free_held);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  Packer k = {.L = L};
  lua_createtable(L, 0, 0);
  k.memo = lua_gettop(L);
  lua_createtable(L, 0, 0);
  k.index = lua_gettop(L);
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  if (lua_getfield(L, -1, "moontorch.nn.class") == LUA_TTABLE)
    lua_getfield(L, -1, "is_class");
  else
    lua_pushnil(L);
  k.class = lua_gettop(L);
  snprintf(k.path, sizeof k.path, "%.100s", what);
  k.path_length = strlen(k.path);
  *held = mem_zero(sizeof **held);
  if (!*held) raise_failure(L, "DataLoader");
  k.p = *held;
  pack(&k, idx);
  Parcel *p = *held;
  *held = NULL;
  lua_settop(L, top);
  return p;
}
