/* Boxes: userdata that own one reference of a core object. */
#include "lua/binding.h"
#include "base/alloc.h"

const char TENSOR_MARK = 't', GENERATOR_MARK = 'g', NODE_MARK = 'n';

bool is_tensor(lua_State *L, int idx) { return box_at(L, idx, &TENSOR_MARK) != NULL; }

Tensor *to_tensor(lua_State *L, int idx) {
  Box *b = box_at(L, idx, &TENSOR_MARK);
  return b ? b->tensor : NULL;
}

Tensor *check_tensor(lua_State *L, int idx, const char *function) {
  Box *b = box_at(L, idx, &TENSOR_MARK);
  if (b && b->tensor) return b->tensor;
  if (b) raise_text(L, function, "this tensor was freed by free(), <close> or torch.scope: it has no memory any more");
  raise_text(L, function, "argument %d must be Tensor, not %s%s", idx, type_found(L, idx),
             idx == 1 ? ". Call methods with a colon: x:f()" : "");
  return NULL;
}

Box *push_box(lua_State *L, const void *mark) {
  Box *b = lua_newuserdatauv(L, sizeof *b, mark == &NODE_MARK ? 1 : 0);
  b->magic = mark;
  b->any = NULL;
  lua_rawgetp(L, LUA_REGISTRYINDEX, mark);
  lua_setmetatable(L, -2);
  return b;
}

/* What a tensor costs beyond its box: its header, and its memory if it is the first to hold it. */
static int64_t weight(const Tensor *t) { return (int64_t)sizeof *t + (t->base ? 0 : t->storage->bytes); }

void box_fill(lua_State *L, Box *box, Tensor *owned) {
  box->tensor = owned;
  charge(L, weight(owned));
}

static int fill_pushed(lua_State *L) {
  push_box(L, &TENSOR_MARK);
  return 1;
}

void push_tensor(lua_State *L, Tensor *owned) {
  if (!owned) {
    lua_pushnil(L);
    return;
  }
  lua_pushcfunction(L, fill_pushed);
  if (lua_pcall(L, 0, 1, 0) != LUA_OK) {
    tensor_release(owned);
    lua_error(L);
  }
  box_fill(L, lua_touserdata(L, -1), owned);
}

void push_borrowed(lua_State *L, Tensor *t) {
  if (!t) {
    lua_pushnil(L);
    return;
  }
  Box *b = push_box(L, &TENSOR_MARK);
  box_fill(L, b, tensor_retain(t));
}

static int free_tensor(lua_State *L) {
  Box *b = box_at(L, 1, &TENSOR_MARK);
  if (!b) return 0;
  Tensor *t = b->tensor;
  b->tensor = NULL;
  tensor_release(t);
  return 0;
}

/* free() and __close. Inside a finalizer, which may run in the middle of a call that uses this very tensor, it is left to
 * the collector instead. */
static int free_by_hand(lua_State *L) {
  Box *b = box_at(L, 1, &TENSOR_MARK);
  if (!b) return raise_text(L, "free", "argument 1 must be Tensor, not %s", luaL_typename(L, 1));
  bool finalizer = lua_gc(L, LUA_GCISRUNNING) < 0;
  Box *later = finalizer ? push_box(L, &TENSOR_MARK) : NULL;
  Tensor *t = b->tensor;
  b->tensor = NULL;
  if (later)
    later->tensor = t;
  else
    tensor_release(t);
  return 0;
}

static int free_generator(lua_State *L) {
  Box *b = box_at(L, 1, &GENERATOR_MARK);
  if (!b) return 0;
  Generator *g = b->generator;
  b->generator = NULL;
  if (g) generator_release(g);
  return 0;
}

static int free_node(lua_State *L) {
  Box *b = box_at(L, 1, &NODE_MARK);
  if (!b) return 0;
  Node *n = b->node;
  b->node = NULL;
  node_release(n);
  return 0;
}

static void open_kind(lua_State *L, const void *mark, const char *name, lua_CFunction release) {
  lua_createtable(L, 0, 8);
  lua_pushstring(L, name);
  lua_setfield(L, -2, "__name");
  lua_pushcfunction(L, release);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "__gc");
  lua_setfield(L, -2, "__close");
  lua_rawsetp(L, LUA_REGISTRYINDEX, mark);
}

void boxes_open(lua_State *L, int methods) {
  open_kind(L, &TENSOR_MARK, "moontorch.Tensor", free_tensor);
  lua_pushcfunction(L, free_by_hand);
  lua_pushvalue(L, -1);
  lua_setfield(L, methods, "free");
  lua_rawgetp(L, LUA_REGISTRYINDEX, &TENSOR_MARK);
  lua_insert(L, -2);
  lua_setfield(L, -2, "__close");
  lua_pop(L, 1);
  open_kind(L, &GENERATOR_MARK, "moontorch.Generator", free_generator);
  open_kind(L, &NODE_MARK, "moontorch.Node", free_node);
}
