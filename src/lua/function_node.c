/* Functions with a backward written in Lua: nodes of the graph whose gradient a Lua function computes.
 *
 * The graph holds the function and what it saved; the box that backward sees as its node holds the graph only while it runs. */
#include "lua/callback.h"
#include "base/alloc.h"
#include "ops/ops.h"
#include <string.h>

/* Can a tensor of the meta's shape be expanded to t's? Then t's sum over the broadcast dims is its gradient. */
static bool reduces_to(const Tensor *t, const EdgeMeta *m) {
  if (m->ndim > t->ndim) return false;
  for (int d = 0; d < m->ndim; d++)
    if (m->shape[d] != 1 && m->shape[d] != t->shape[t->ndim - m->ndim + d]) return false;
  return true;
}

/* Gradient i as the input's edge wants it: summed over broadcast dims, in its dtype. Owned. */
static Tensor *fit_gradient(Tensor *t, const EdgeMeta *m) {
  bool same = t->ndim == m->ndim && (m->ndim == 0 || memcmp(t->shape, m->shape, sizeof(int64_t) * m->ndim) == 0);
  int mark = pool_open();
  Tensor *fit = same ? t : op_sum_to(t, m->ndim, m->shape);
  if (fit) fit = op_cast(fit, (DType)m->dtype);
  tensor_retain(fit);
  pool_shut(mark);
  return fit;
}

/* (backward, saved, gy, gx, node): backward(saved, node, gradients of the results...) -> gradients of the inputs */
static int run_function_protected(lua_State *L) {
  Tensor **gy = lua_touserdata(L, 3), **gx = lua_touserdata(L, 4);
  Node *n = lua_touserdata(L, 5);
  luaL_checkstack(L, n->outs + n->edges + 8, "too many gradients");
  lua_settop(L, 2);
  Box *box = push_box(L, &NODE_MARK);
  lua_insert(L, 1); /* 1: the box, then the results */
  lua_pushvalue(L, 1);
  box->node = node_retain(n);
  for (int k = 0; k < n->outs; k++) push_borrowed(L, gy[k]);
  int status = lua_pcall(L, n->outs + 2, LUA_MULTRET, 0);
  box->node = NULL; /* the box may lie in the context, which the graph holds: it must not hold the graph */
  node_release(n);
  if (status != LUA_OK) return lua_error(L);
  int given = lua_gettop(L) - 1, spare = given;
  if (given == 1 && lua_type(L, 2) == LUA_TTABLE && n->edges != 1)
    luaL_error(L, "backward must return its gradients as several results");
  while (spare > n->edges && (lua_isnil(L, spare + 1) || is_none(L, spare + 1))) spare--;
  if (spare != n->edges)
    return raise_text(
        L, n->host.name,
        "function %s returned an incorrect number of gradients (expected %d, got %d): return one for each "
        "argument of forward, nil for those without",
        n->host.name, n->edges, given);
  for (int i = 0; i < n->edges; i++) {
    Tensor *t = to_tensor(L, i + 2);
    if (!t && !lua_isnil(L, i + 2) && !is_none(L, i + 2))
      return raise_text(L, n->host.name, "expected Variable or None (got %s): gradient %d must be a Tensor or nil",
                        type_found(L, i + 2), i + 1);
    const EdgeMeta *m = &n->meta[i];
    if (!t || !n->edge[i].node) continue;
    if (!reduces_to(t, m))
      return raise_text(
          L, n->host.name,
          "function %s returned an invalid gradient at index %d - got %s but expected shape compatible with %s",
          n->host.name, i + 1, shape_text(t->ndim, t->shape), shape_text(m->ndim, m->shape));
    if (!(gx[i] = fit_gradient(t, m))) return raise_failure(L, n->host.name);
  }
  return 0;
}

typedef struct HostFunction {
  Callback *backward, *saved; /* saved: NULL when backward has given it back */
  char name[64];
} HostFunction;

static bool host_run(void *context, Node *node, Tensor **gy, Tensor **gx) {
  HostFunction *f = context;
  lua_State *L = callback_state(f->backward->main);
  if (!lua_checkstack(L, 8)) return fail(MT_ERUNTIME, "the Lua stack is full");
  lua_pushcfunction(L, run_function_protected);
  lua_rawgeti(L, LUA_REGISTRYINDEX, f->backward->ref);
  if (f->saved)
    lua_rawgeti(L, LUA_REGISTRYINDEX, f->saved->ref);
  else
    lua_pushnil(L);
  lua_pushlightuserdata(L, gy);
  lua_pushlightuserdata(L, gx);
  lua_pushlightuserdata(L, node);
  if (lua_pcall(L, 5, 0, 0) == LUA_OK) return true;
  keep_error(L);
  return false;
}

static void host_drop(void *context) {
  HostFunction *f = context;
  if (f->saved) callback_free(f->saved);
  f->saved = NULL;
}

static void host_release(void *context) {
  HostFunction *f = context;
  host_drop(context);
  if (f->backward) callback_free(f->backward);
  mem_free(f);
}

/* core.function_node(name, inputs, outputs, backward, saved): outputs become results of a node over inputs whose gradient
 * is backward(saved, node, gradients...) -> one gradient for each input. `saved` is let go with the graph's other saved
 * tensors; backward gets nil then. An output that is an input was written in place. */
static int f_function_node(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  int inputs, outputs;
  lua_settop(L, 5);
  Tensor **in = read_tensors(L, 2, name, "inputs", true, &inputs);
  Tensor **out = read_tensors(L, 3, name, "outputs", true, &outputs);
  if (outputs > 255) return raise_text(L, name, "a Function has at most 255 results");
  Box *box = push_box(L, &NODE_MARK); /* owns the node while something may raise */
  HostFunction *f = mem_zero(sizeof *f);
  if (!f) return raise_failure(L, name);
  strncpy(f->name, name, sizeof f->name - 1);
  HostBackward host = {.run = host_run, .drop = host_drop, .release = host_release, .context = f, .name = f->name};
  Node *n = record_host(host, inputs, in, outputs);
  if (!n) {
    mem_free(f);
    return raise_failure(L, name);
  }
  box->node = n;
  lua_pushvalue(L, 4);
  f->backward = callback_new(L);
  lua_pushvalue(L, 5);
  f->saved = callback_new(L);
  bool good = true;
  for (int k = 0; good && k < outputs; k++) {
    if (!out[k] || !tensor_is_float(out[k])) continue;
    good = record_host_output(n, k, out[k]);
    for (int i = 0; good && i < inputs; i++)
      if (in[i] == out[k]) out[k]->autograd->generation++; /* its views have a new history too */
  }
  box->node = NULL;
  node_release(n);
  return good ? 0 : raise_failure(L, name);
}

/* core._result_of(node, k, t): t as the k-th result of node, for a backward that uses what forward returned. */
static int f_result_of(lua_State *L) {
  Box *b = box_at(L, 1, &NODE_MARK);
  Tensor *t = check_tensor(L, 3, "saved_tensors");
  if (!b || !b->node) return raise_text(L, "saved_tensors", "argument 1 must be a graph node");
  Box *box = push_box(L, &TENSOR_MARK);
  Tensor *alias = tensor_detach(t);
  if (!alias) return raise_failure(L, "saved_tensors");
  box->tensor = alias;
  if (grad_enabled() && tensor_is_float(alias) && !record_host_output(b->node, (int)lua_tointeger(L, 2) - 1, alias))
    return raise_failure(L, "saved_tensors");
  return 1;
}

/* core.wants_grad(list): does a gradient flow to any of these (and is recording on)? */
static int f_wants_grad(lua_State *L) {
  int n;
  Tensor **v = read_tensors(L, 1, "wants_grad", "inputs", true, &n);
  bool any = false;
  for (int i = 0; i < n; i++) any |= v[i] && tensor_wants_grad(v[i]);
  return lua_pushboolean(L, any && grad_enabled()), 1;
}

static const luaL_Reg functions[] = {
    {"function_node", f_function_node}, {"_result_of", f_result_of}, {"wants_grad", f_wants_grad}, {NULL, NULL}};

void function_node_open(lua_State *L, int core) {
  lua_pushvalue(L, core);
  luaL_setfuncs(L, functions, 0);
  lua_pop(L, 1);
}
