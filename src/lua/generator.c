/* Random generators in Lua: torch.Generator, seeds and states. */
#include "lua/binding.h"
#include "tensor/device.h"
#include <string.h>

static Generator *check_generator(lua_State *L, int idx, const char *name) {
  Box *b = box_at(L, idx, &GENERATOR_MARK);
  if (!b || !b->generator)
    raise_text(L, name, "argument %d must be a torch.Generator, not %s", idx, type_found(L, idx));
  return b->generator;
}

static int push_generator(lua_State *L, Generator *borrowed) {
  Box *b = push_box(L, &GENERATOR_MARK);
  b->generator = generator_retain(borrowed);
  return 1;
}

/* The generator that belongs to the device at idx, left out: the host. */
static int device_at(lua_State *L, int idx, const char *name) {
  Device d = {MT_CPU, 0};
  if (lua_isnoneornil(L, idx)) return HOST_GENERATOR;
  if (!read_device(L, idx, &d))
    raise_text(L, name, "argument %d must be a torch.device, not %s", idx, type_found(L, idx));
  want_device(L, d);
  if (d.kind != MT_CPU && !device_driver(d)) return raise_failure(L, name);
  return d.kind == MT_CPU ? HOST_GENERATOR : d.index;
}

/* Generator(device) */
static int f_generator(lua_State *L) {
  int device = device_at(L, 1, "Generator");
  Box *b = push_box(L, &GENERATOR_MARK);
  b->generator = generator_new(device);
  return b->generator ? 1 : raise_failure(L, "Generator");
}

static uint64_t check_seed(lua_State *L, int idx) {
  int64_t seed = 0;
  if (!read_integer(L, idx, &seed))
    raise_text(L, "manual_seed", "seed must be an integer, not %s", luaL_typename(L, idx));
  return (uint64_t)seed;
}

static int push_state(lua_State *L, Generator *g) {
  int64_t n = g ? generator_state_bytes(g) : 0;
  Box *box = push_box(L, &TENSOR_MARK);
  Tensor *t = g ? tensor_new(MT_U8, 1, &n, (Device){MT_CPU, 0}) : NULL;
  if (!t) return raise_failure(L, "get_rng_state");
  generator_get_state(g, (uint8_t *)tensor_data(t));
  box_fill(L, box, t);
  return 1;
}

static int restore_state(lua_State *L, Generator *g, int idx) {
  Tensor *t = check_tensor(L, idx, "set_rng_state");
  if (t->dtype != MT_U8 || !tensor_is_contiguous(t))
    return raise_text(L, "set_rng_state", "RNG state must be a torch.ByteTensor");
  if (tensor_device(t).kind != MT_CPU)
    return raise_text(L, "set_rng_state", "RNG state must be a torch.ByteTensor, but it is on %s: use state:cpu()",
                      device_text(tensor_device(t)));
  if (!g || !generator_set_state(g, (uint8_t *)tensor_data(t), t->numel)) return raise_failure(L, "set_rng_state");
  return 0;
}

/* All default generators of the thread, so that a script that is moved to a GPU keeps its seed. */
static int f_manual_seed(lua_State *L) {
  Generator *g = generator_default();
  if (!g) return raise_failure(L, "manual_seed");
  generators_manual_seed(check_seed(L, 1));
  return push_generator(L, g);
}
static int f_seed(lua_State *L) {
  Generator *g = generator_default();
  if (!g) return raise_failure(L, "seed");
  generators_manual_seed(generator_random_seed(g));
  return lua_pushinteger(L, (lua_Integer)g->seed), 1;
}
static int f_initial_seed(lua_State *L) { return lua_pushinteger(L, (lua_Integer)generator_default()->seed), 1; }
static int f_get_state(lua_State *L) { return push_state(L, generator_default()); }
static int f_set_state(lua_State *L) { return restore_state(L, generator_default(), 1); }
/* _default_generator(device) */
static int f_default(lua_State *L) {
  Generator *g = generator_default_on(device_at(L, 1, "default_generator"));
  return g ? push_generator(L, g) : raise_failure(L, "default_generator");
}

static int m_manual_seed(lua_State *L) {
  Generator *g = check_generator(L, 1, "manual_seed");
  generator_manual_seed(g, check_seed(L, 2));
  return push_generator(L, g);
}
static int m_seed(lua_State *L) {
  return lua_pushinteger(L, (lua_Integer)generator_random_seed(check_generator(L, 1, "seed"))), 1;
}
static int m_initial_seed(lua_State *L) {
  return lua_pushinteger(L, (lua_Integer)check_generator(L, 1, "initial_seed")->seed), 1;
}
static int m_get_state(lua_State *L) { return push_state(L, check_generator(L, 1, "get_state")); }
static int m_set_state(lua_State *L) {
  restore_state(L, check_generator(L, 1, "set_state"), 2);
  lua_settop(L, 1);
  return 1;
}
/* g.device and the methods */
static int m_index(lua_State *L) {
  if (lua_type(L, 2) == LUA_TSTRING && strcmp(lua_tostring(L, 2), "device") == 0) {
    int device = check_generator(L, 1, "device")->device;
    return push_device(L, device < 0 ? (Device){MT_CPU, 0} : (Device){MT_CUDA, (uint8_t)device}), 1;
  }
  lua_pushvalue(L, 2);
  lua_rawget(L, lua_upvalueindex(1));
  return 1;
}
static int m_eq(lua_State *L) {
  Box *a = box_at(L, 1, &GENERATOR_MARK), *b = box_at(L, 2, &GENERATOR_MARK);
  return lua_pushboolean(L, a && b && a->generator == b->generator), 1;
}

static const luaL_Reg functions[] = {{"Generator", f_generator},
                                     {"manual_seed", f_manual_seed},
                                     {"seed", f_seed},
                                     {"initial_seed", f_initial_seed},
                                     {"get_rng_state", f_get_state},
                                     {"set_rng_state", f_set_state},
                                     {"_default_generator", f_default},
                                     {NULL, NULL}};
static const luaL_Reg methods[] = {{"manual_seed", m_manual_seed},   {"seed", m_seed},
                                   {"initial_seed", m_initial_seed}, {"get_state", m_get_state},
                                   {"set_state", m_set_state},       {NULL, NULL}};

void generators_open(lua_State *L, int core) {
  lua_pushvalue(L, core);
  luaL_setfuncs(L, functions, 0);
  lua_pop(L, 1);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &GENERATOR_MARK);
  luaL_newlib(L, methods);
  lua_pushcclosure(L, m_index, 1);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, m_eq);
  lua_setfield(L, -2, "__eq");
  lua_pop(L, 1);
}
