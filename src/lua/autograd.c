/* Autograd in Lua: backward, gradients as properties, and hooks.
 *
 * A callback runs in the Lua state that called backward; its error is kept and raised again when the core has unwound. */
#include "lua/callback.h"
#include "base/alloc.h"
#include "ops/ops.h"
#include <string.h>

/* --- properties --- */

#define SELF(name) Tensor *t = check_tensor(L, 1, name)

static int get_requires_grad(lua_State *L) {
  SELF("requires_grad");
  return lua_pushboolean(L, tensor_wants_grad(t)), 1;
}
static int get_is_leaf(lua_State *L) {
  SELF("is_leaf");
  tensor_wants_grad(t);
  return lua_pushboolean(L, tensor_is_leaf(t)), 1;
}
static int m_is_view(lua_State *L) {
  SELF("_is_view");
  return lua_pushboolean(L, t->base != NULL), 1;
}
static int get_retains_grad(lua_State *L) {
  SELF("retains_grad");
  return lua_pushboolean(L, t->autograd && t->autograd->retain_id), 1;
}

/* core._grad_history(t [, scaled]): how often t's .grad was another tensor, how often backward added to this one, and how
 * often it was written in all; nothing without a .grad. `scaled` counts one write as no change of what it holds. */
static int f_grad_history(lua_State *L) {
  Tensor *t = check_tensor(L, 1, "grad"), *grad = tensor_grad(t);
  if (!grad) return 0;
  if (lua_toboolean(L, 2)) t->autograd->added++;
  lua_pushinteger(L, t->autograd->grads);
  lua_pushinteger(L, t->autograd->added);
  lua_pushinteger(L, grad->storage->version);
  return 3;
}

static int get_grad(lua_State *L) {
  SELF("grad");
  Tensor *g = tensor_grad(t);
  if (!g && t->requires_grad && !tensor_is_leaf(t) && !t->autograd->retain_id)
    warn_text(
        L, "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad attribute won't be "
           "populated during autograd.backward(). If you indeed want the .grad field to be populated for a non-leaf "
           "Tensor, use .retain_grad() on the non-leaf Tensor.");
  push_borrowed(L, g);
  return 1;
}

static int get_grad_fn(lua_State *L) {
  SELF("grad_fn");
  tensor_wants_grad(t);
  if (tensor_is_leaf(t)) return lua_pushnil(L), 1;
  Box *b = push_box(L, &NODE_MARK);
  b->node = node_retain(t->autograd->grad_fn);
  return 1;
}

static int m_detach(lua_State *L) {
  SELF("detach");
  Tensor *d = tensor_detach(t);
  if (!d) return raise_failure(L, "detach");
  push_tensor(L, d);
  return 1;
}

static int m_detach_self(lua_State *L) {
  SELF("detach_");
  if (t->base) return raise_text(L, "detach_", "Can't detach views in-place. Use detach() instead.");
  if (t->autograd) {
    Node *n = t->autograd->grad_fn;
    t->autograd->grad_fn = NULL;
    t->autograd->retain_id = 0;
    node_release(n);
  }
  t->requires_grad = false;
  lua_settop(L, 1);
  return 1;
}

static int m_requires_grad_self(lua_State *L) {
  SELF("requires_grad_");
  bool on = lua_isnoneornil(L, 2) ? true : lua_toboolean(L, 2);
  if (lua_istable(L, 2)) {
    static const char *const known[] = {"requires_grad", NULL};
    check_keys(L, 2, "requires_grad_", known);
    lua_getfield(L, 2, "requires_grad");
    on = lua_isnil(L, -1) || lua_toboolean(L, -1);
  } else if (!lua_isnoneornil(L, 2) && !lua_isboolean(L, 2)) {
    return raise_text(L, "requires_grad_", "argument 'requires_grad' must be true or false, not %s", type_found(L, 2));
  }
  if (!tensor_set_requires_grad(t, on)) return raise_failure(L, "requires_grad_");
  lua_settop(L, 1);
  return 1;
}

static int set_requires_grad(lua_State *L) {
  SELF("requires_grad");
  if (!lua_isboolean(L, 2))
    return raise_text(L, "requires_grad", "requires_grad must be true or false, not %s", luaL_typename(L, 2));
  if (!tensor_set_requires_grad(t, lua_toboolean(L, 2))) return raise_failure(L, "requires_grad");
  return 0;
}

static int set_grad(lua_State *L) {
  SELF("grad");
  Tensor *g = lua_isnil(L, 2) || is_none(L, 2) ? NULL : to_tensor(L, 2);
  if (!g && !lua_isnil(L, 2) && !is_none(L, 2))
    return raise_text(L, "grad", "assigned grad expected to be a Tensor or nil, not %s", type_found(L, 2));
  if (!tensor_set_grad(t, g)) return raise_failure(L, "grad");
  return 0;
}

static int set_data(lua_State *L) {
  lua_settop(L, 2);
  check_tensor(L, 1, "data");
  if (!to_tensor(L, 2)) return raise_text(L, "data", "data must be a Tensor, not %s", type_found(L, 2));
  lua_getfield(L, 1, "set_data");
  lua_insert(L, 1);
  lua_call(L, 2, 0);
  return 0;
}

static int m_retain_grad(lua_State *L) {
  SELF("retain_grad");
  if (!tensor_retain_grad(t)) return raise_failure(L, "retain_grad");
  return 0;
}

/* --- callbacks --- */

void callback_free(void *context) {
  Callback *c = context;
  luaL_unref(c->main, LUA_REGISTRYINDEX, c->ref);
  mem_free(c);
}

Callback *callback_new(lua_State *L) {
  Callback *c = mem_zero(sizeof *c);
  if (!c) raise_failure(L, "register_hook");
  c->main = main_thread(L);
  c->ref = luaL_ref(L, LUA_REGISTRYINDEX);
  return c;
}

/* (function, lightuserdata grad) -> a tensor or nil, under protection. */
static int run_hook_protected(lua_State *L) {
  Tensor *grad = lua_touserdata(L, 2);
  lua_settop(L, 1);
  push_borrowed(L, grad);
  lua_call(L, 1, 1);
  if (!lua_isnil(L, -1) && !is_tensor(L, -1))
    return raise_text(L, "hook", "a hook must return nil or a Tensor, not %s", type_found(L, -1));
  return 1;
}

static Tensor *run_hook(void *context, Tensor *grad) {
  Callback *c = context;
  lua_State *L = callback_state(c->main);
  Tensor *result = NULL;
  if (!lua_checkstack(L, 8)) return fail(MT_ERUNTIME, "the Lua stack is full"), NULL;
  lua_pushcfunction(L, run_hook_protected);
  lua_rawgeti(L, LUA_REGISTRYINDEX, c->ref);
  lua_pushlightuserdata(L, grad);
  if (lua_pcall(L, 2, 1, 0) != LUA_OK) {
    keep_error(L);
    return NULL;
  }
  result = tensor_retain(to_tensor(L, -1));
  lua_pop(L, 1);
  return result;
}

/* The handle of a hook: a table with remove(). */
static int hook_remove(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_getfield(L, 1, "tensor");
  lua_getfield(L, 1, "id");
  Tensor *t = to_tensor(L, -2);
  if (t) tensor_unhook(t, lua_tointeger(L, -1));
  lua_pushnil(L);
  lua_setfield(L, 1, "tensor");
  return 0;
}

static int add_hook(lua_State *L, const char *name, int64_t (*add)(Tensor *, HookFn, void (*)(void *), void *)) {
  SELF(name);
  if (lua_type(L, 2) != LUA_TFUNCTION && luaL_getmetafield(L, 2, "__call") == LUA_TNIL)
    return raise_text(L, name, "the hook must be a function, not %s", luaL_typename(L, 2));
  lua_settop(L, 2);
  lua_createtable(L, 0, 4);
  lua_pushvalue(L, 1);
  lua_setfield(L, 3, "tensor");
  lua_pushcfunction(L, hook_remove);
  lua_setfield(L, 3, "remove");
  lua_pushvalue(L, 2);
  Callback *c = callback_new(L);
  int64_t id = add(t, run_hook, callback_free, c);
  if (!id) return raise_failure(L, name);
  lua_pushinteger(L, id);
  lua_setfield(L, 3, "id");
  lua_settop(L, 3);
  return 1;
}

static int m_register_hook(lua_State *L) { return add_hook(L, "register_hook", tensor_hook); }
static int m_post_hook(lua_State *L) { return add_hook(L, "register_post_accumulate_grad_hook", tensor_post_hook); }

/* --- backward --- */

Tensor **read_tensors(lua_State *L, int idx, const char *name, const char *what, bool holes, int *count) {
  bool single = is_tensor(L, idx);
  if (!single && lua_type(L, idx) != LUA_TTABLE)
    raise_text(L, name, "%s must be a Tensor or a list of Tensors, not %s%s", what, type_found(L, idx),
               lua_isnone(L, idx) && strcmp(name, "backward") == 0 ? ". Call methods with a colon: x:backward()" : "");
  *count = single ? 1 : (int)lua_rawlen(L, idx);
  Tensor **v = lua_newuserdatauv(L, sizeof *v * (size_t)(*count + 1), 0);
  for (int i = 0; i < *count; i++) {
    if (single)
      lua_pushvalue(L, idx);
    else
      lua_rawgeti(L, idx, i + 1);
    v[i] = to_tensor(L, -1);
    if (!v[i] && !(holes && (lua_isnil(L, -1) || is_none(L, -1))))
      raise_text(L, name, "%s[%d] must be a Tensor, not %s", what, i + 1, type_found(L, -1));
    lua_pop(L, 1);
  }
  return v;
}

static bool flag_field(lua_State *L, int idx, const char *key, bool otherwise) {
  lua_getfield(L, idx, key);
  bool value = lua_isnil(L, -1) ? otherwise : lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}

void check_keys(lua_State *L, int idx, const char *name, const char *const *known) {
  lua_pushnil(L);
  while (lua_next(L, idx)) {
    const char *key = keyword_name(L);
    int i = 0;
    if (!key) raise_failure(L, name);
    while (known[i] && strcmp(known[i], key) != 0) i++;
    if (!known[i]) {
      luaL_Buffer b;
      luaL_buffinit(L, &b);
      for (i = 0; known[i]; i++) {
        if (i) luaL_addstring(&b, ", ");
        luaL_addstring(&b, known[i]);
      }
      luaL_pushresult(&b);
      raise_text(L, name, "got an unexpected keyword argument '%s'; it takes: %s", key, lua_tostring(L, -1));
    }
    lua_pop(L, 1);
  }
}

static bool run_backward(lua_State *L, BackwardCall *call) {
  lua_State *outer = watch_enter(L);
  bool good = backward_run(call);
  watch_enter(outer);
  return good;
}

/* backward(tensors [, gradient] [, retain_graph] [, create_graph] [, {gradient|grad_tensors, retain_graph, create_graph, inputs}]) */
static int f_backward(lua_State *L) {
  static const char *const known[] = {"gradient", "grad_tensors", "retain_graph", "create_graph", "inputs", NULL};
  const char *name = "backward";
  int last = lua_gettop(L), keywords = last > 1 && is_keywords(L, last) ? last-- : 0, n, m;
  BackwardCall call = {0};
  call.root = read_tensors(L, 1, name, "tensors", false, &call.roots);
  if (call.roots == 0) return 0;
  int gradient = last >= 2 && !lua_isnil(L, 2) && !is_none(L, 2) ? 2 : 0;
  if (gradient && !is_tensor(L, 2) && !(lua_istable(L, 2) && is_tensor(L, 1) == false))
    return raise_text(L, name, "gradients can be either Tensors, numbers or None, but got %s", luaL_typename(L, 2));
  if (last > 5)
    return raise_text(L, name,
                      "takes tensors, gradient, retain_graph, create_graph and inputs by position, but %d arguments "
                      "were given",
                      last);
  int inputs = last == 5 && !lua_isnil(L, 5) && !is_none(L, 5) ? 5 : 0;
  bool keep = last >= 3 && lua_toboolean(L, 3);
  call.create_graph = last >= 4 && lua_toboolean(L, 4);
  bool keep_given = last >= 3 && !lua_isnil(L, 3);
  if (keywords) {
    check_keys(L, keywords, name, known);
    lua_getfield(L, keywords, "gradient");
    if (lua_isnil(L, -1)) lua_getfield(L, keywords, "grad_tensors");
    if (!lua_isnil(L, -1)) gradient = lua_gettop(L);
    call.create_graph = flag_field(L, keywords, "create_graph", call.create_graph);
    lua_getfield(L, keywords, "retain_graph");
    keep_given = keep_given || !lua_isnil(L, -1);
    keep = flag_field(L, keywords, "retain_graph", keep);
    lua_getfield(L, keywords, "inputs");
    if (!lua_isnil(L, -1) && !is_none(L, -1)) inputs = lua_gettop(L);
  }
  if (inputs) {
    call.input = read_tensors(L, inputs, name, "inputs", false, &call.inputs);
    if (call.inputs == 0) return raise_text(L, name, "`inputs` argument to `backward()` cannot be empty.");
    call.found = lua_newuserdatauv(L, sizeof *call.found * (size_t)call.inputs, 0);
    memset(call.found, 0, sizeof *call.found * (size_t)call.inputs);
    call.accumulate = true;
  }
  if (gradient) {
    call.grad = read_tensors(L, gradient, name, "gradient", true, &n);
    if (n != call.roots) return raise_text(L, name, "got %d tensors and %d gradients", call.roots, n);
  }
  call.keep_graph = keep_given ? keep : call.create_graph;
  bool good = run_backward(L, &call);
  for (m = 0; good && m < call.inputs; m++) {
    tensor_release(call.found[m]);
    call.found[m] = NULL;
  }
  if (!good) return raise_failure(L, name);
  return 0;
}

/* Boxes gradients: (array of NULLs and owned tensors as lightuserdata, count) */
static int box_gradients(lua_State *L) {
  Tensor **found = lua_touserdata(L, 1);
  int n = (int)lua_tointeger(L, 2);
  luaL_checkstack(L, n + 4, "too many gradients");
  for (int i = 0; i < n; i++) {
    if (!found[i]) {
      lua_pushnil(L);
      continue;
    }
    Box *b = push_box(L, &TENSOR_MARK);
    Tensor *t = found[i];
    found[i] = NULL;
    box_fill(L, b, t);
  }
  return n;
}

/* grad(outputs, inputs, grad_outputs, retain_graph, create_graph, only_inputs, allow_unused, is_grads_batched,
 * materialize_grads) -> one result per input. autograd.lua sees to is_grads_batched. */
static int f_grad(lua_State *L) {
  static const char *const known[] = {
      "grad_outputs", "retain_graph", "create_graph", "allow_unused",     "materialize_grads",
      "inputs",       "outputs",      "only_inputs",  "is_grads_batched", NULL};
  const char *name = "grad";
  int last = lua_gettop(L), keywords = last > 2 && is_keywords(L, last) ? last-- : 0, n;
  if (last < 2) return raise_text(L, name, "takes outputs and inputs");
  BackwardCall call = {0};
  call.root = read_tensors(L, 1, name, "outputs", false, &call.roots);
  call.input = read_tensors(L, 2, name, "inputs", false, &call.inputs);
  if (call.inputs == 0) return raise_text(L, name, "`inputs` argument to `grad()` cannot be empty.");
  int gradient = last >= 3 && !lua_isnil(L, 3) && !is_none(L, 3) ? 3 : 0;
  bool keep = last >= 4 && lua_toboolean(L, 4), keep_given = last >= 4 && !lua_isnil(L, 4);
  call.create_graph = last >= 5 && lua_toboolean(L, 5);
  bool unused = last >= 7 && lua_toboolean(L, 7), unused_given = last >= 7 && !lua_isnil(L, 7);
  bool zeros = last >= 9 && lua_toboolean(L, 9);
  if (keywords) {
    check_keys(L, keywords, name, known);
    lua_getfield(L, keywords, "grad_outputs");
    if (!lua_isnil(L, -1)) gradient = lua_gettop(L);
    call.create_graph = flag_field(L, keywords, "create_graph", call.create_graph);
    lua_getfield(L, keywords, "retain_graph");
    keep_given = keep_given || !lua_isnil(L, -1);
    keep = flag_field(L, keywords, "retain_graph", keep);
    zeros = flag_field(L, keywords, "materialize_grads", zeros);
    unused = flag_field(L, keywords, "allow_unused", unused);
    lua_getfield(L, keywords, "allow_unused");
    unused_given = unused_given || !lua_isnil(L, -1);
  }
  if (zeros && unused_given && !unused)
    return raise_text(L, name,
                      "Expected allow_unused to be True or not passed when materialize_grads=True, but got: "
                      "allow_unused=False.");
  unused = unused || zeros;
  if (gradient) {
    call.grad = read_tensors(L, gradient, name, "grad_outputs", true, &n);
    if (n != call.roots) return raise_text(L, name, "got %d outputs and %d grad_outputs", call.roots, n);
  }
  call.keep_graph = keep_given ? keep : call.create_graph;
  call.found = lua_newuserdatauv(L, sizeof *call.found * (size_t)call.inputs, 0);
  memset(call.found, 0, sizeof *call.found * (size_t)call.inputs);
  bool good = run_backward(L, &call);
  for (int i = 0; good && i < call.inputs; i++) {
    if (call.found[i]) continue;
    if (zeros) {
      int mark = pool_open();
      call.found[i] = tensor_retain(op_zeros_like(call.input[i]));
      pool_shut(mark);
      good = call.found[i] != NULL;
    } else if (!unused) {
      good = fail(MT_ERUNTIME,
                  "The differentiated Tensor at index %d appears to not have been used in the graph. Set "
                  "allow_unused=True if this is the desired behavior: it is %s",
                  i + 1, tensor_text(call.input[i]));
    }
  }
  if (!good) {
    for (int i = 0; i < call.inputs; i++) tensor_release(call.found[i]);
    return raise_failure(L, name);
  }
  int base = lua_gettop(L);
  lua_pushcfunction(L, box_gradients);
  lua_pushlightuserdata(L, call.found);
  lua_pushinteger(L, call.inputs);
  int status = lua_pcall(L, 2, LUA_MULTRET, 0);
  for (int i = 0; i < call.inputs; i++) tensor_release(call.found[i]);
  return status == LUA_OK ? lua_gettop(L) - base : lua_error(L);
}

static const luaL_Reg methods_list[] = {{"backward", f_backward},
                                        {"detach", m_detach},
                                        {"detach_", m_detach_self},
                                        {"requires_grad_", m_requires_grad_self},
                                        {"retain_grad", m_retain_grad},
                                        {"_is_view", m_is_view},
                                        {"register_hook", m_register_hook},
                                        {"register_post_accumulate_grad_hook", m_post_hook},
                                        {NULL, NULL}};
static const luaL_Reg properties_list[] = {{"requires_grad", get_requires_grad},
                                           {"is_leaf", get_is_leaf},
                                           {"grad", get_grad},
                                           {"grad_fn", get_grad_fn},
                                           {"data", m_detach},
                                           {"retains_grad", get_retains_grad},
                                           {NULL, NULL}};
static const luaL_Reg setters_list[] = {
    {"requires_grad", set_requires_grad}, {"grad", set_grad}, {"data", set_data}, {NULL, NULL}};
static const luaL_Reg functions[] = {
    {"backward", f_backward}, {"grad", f_grad}, {"_grad_history", f_grad_history}, {"detach", m_detach}, {NULL, NULL}};
static void set_all(lua_State *L, int table, const luaL_Reg *list) {
  lua_pushvalue(L, table);
  luaL_setfuncs(L, list, 0);
  lua_pop(L, 1);
}

void autograd_open(lua_State *L, int core, int methods, int properties) {
  set_all(L, methods, methods_list);
  set_all(L, properties, properties_list);
  set_all(L, core, functions);
  function_node_open(L, core);
  lua_createtable(L, 0, 4);
  luaL_setfuncs(L, setters_list, 0);
  lua_setfield(L, core, "_setters");
}
