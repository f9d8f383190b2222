/* Operators in Lua: every entry of the op table becomes a function, a method and an in-place form here, by its flags alone. */
#include "lua/binding.h"
#include "base/alloc.h"
#include "graph/watch.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { MAX_OVERLOADS = 6, UP_GROUP = 1, UP_METATABLE = 2 };

/* All operators that share a name. Built once in the life of the process, like the op table. */
typedef struct Group {
  const char *name; /* as Lua spells it, "_" included */
  int count;
  OpDef *def[MAX_OVERLOADS];
  bool inplace, numbers; /* numbers: a metamethod, where either side may be a Lua number */
} Group;

static bool make_scalars(OpDef *def, Parsed *p) {
  for (int k = 0; k < def->info->params; k++) {
    if (!(p->scalars >> k & 1)) continue;
    p->arg[k].tensor = pool_add(tensor_from_scalar(p->scalar[k]));
    if (!p->arg[k].tensor) return false;
    p->arg[k].given = true;
  }
  return true;
}

/* The core's part: no Lua API call happens in here, but for hooks that are called under protection. On success c holds owned results. */
static bool run(OpDef *def, Parsed *p, bool inplace, OpCall *c) {
  int mark = p->scalars ? pool_open() : 0, wanted = def->info->requires_grad;
  c->def = def;
  c->arg = p->arg;
  c->inplace = inplace;
  c->list = NULL;
  bool good = (!p->scalars || make_scalars(def, p)) && op_call(c);
  if (good && wanted >= 0 && p->arg[wanted].given && p->arg[wanted].i) {
    good = tensor_set_requires_grad(c->out[0], true);
    if (!good) tensor_release(c->out[0]);
  }
  if (p->scalars) pool_shut(mark);
  return good;
}

/* While some thread watches, and for writes: hooks and places need to know whose call it is. */
static __attribute__((noinline)) bool run_watched(lua_State *L, OpDef *def, Parsed *p, bool inplace, OpCall *c) {
  lua_State *outer = watch_enter(L);
  bool good = run(def, p, inplace, c);
  watch_enter(outer);
  return good;
}

/* The second attempt of a call: what it looks like has been said. */
static __attribute__((noinline, cold)) bool run_quietly(lua_State *L, OpDef *def, Parsed *p, bool inplace, OpCall *c) {
  bool on = notices_set(false), good = run_watched(L, def, p, inplace, c);
  notices_set(on);
  return good;
}

/* A list of tensors as a Lua array. `list` is in a C frame, so the array is built under protection. */
typedef struct {
  Tensor **list;
  int n;
} List;
static int build_list(lua_State *L) {
  List *l = lua_touserdata(L, 1);
  lua_createtable(L, l->n, 0);
  for (int i = 0; i < l->n; i++) {
    Box *b = push_box(L, &TENSOR_MARK);
    Tensor *t = l->list[i];
    l->list[i] = NULL;
    box_fill(L, b, t);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static int push_list(lua_State *L, OpCall *c) {
  List l = {c->list, c->list_length};
  lua_pushcfunction(L, build_list);
  lua_pushlightuserdata(L, &l);
  int status = lua_pcall(L, 1, 1, 0);
  for (int i = 0; i < l.n; i++) tensor_release(l.list[i]);
  mem_free(c->list);
  return status == LUA_OK ? 1 : lua_error(L);
}

static void push_scalar(lua_State *L, Scalar s, bool boolean) {
  if (boolean)
    lua_pushboolean(L, scalar_double(s) != 0);
  else if (s.category == CAT_FLOAT)
    lua_pushnumber(L, s.d);
  else if (s.category == CAT_INT)
    lua_pushinteger(L, s.i);
  else
    lua_pushboolean(L, s.i != 0);
}

/* push_box for tensors, with the metatable at hand. */
static Box *push_tensor_box(lua_State *L) {
  Box *b = lua_newuserdatauv(L, sizeof *b, 0);
  *b = (Box){.magic = &TENSOR_MARK};
  lua_pushvalue(L, lua_upvalueindex(UP_METATABLE));
  lua_setmetatable(L, -2);
  return b;
}

/* Calls def with arguments that are ready, boxes results: returns how many were pushed. */
static int call_operator(lua_State *L, OpDef *def, const char *name, Parsed *p, bool inplace) {
  const Schema *s = def->info;
  Box *box[MAX_OUTS];
  OpCall c;
  bool fresh = !inplace && s->returns == 't';
  if (fresh) {
    if (s->outs > 1) luaL_checkstack(L, MAX_OUTS + 4, NULL);
    for (int k = 0; k < s->outs; k++) box[k] = push_tensor_box(L);
  }
  bool good = inplace || graph_watched() ? run_watched(L, def, p, inplace, &c) : run(def, p, inplace, &c);
  if (!good && fail_code() == MT_ENOTICE) {
    give_notice(L);
    good = run_quietly(L, def, p, inplace, &c);
  }
  if (!good && fail_code() == MT_ENOMEM) { /* dead tensors that Lua has not collected yet may hold what is missing */
    fail_clear();
    collect_hard(L);
    good = run_quietly(L, def, p, inplace, &c);
  }
  if (!good) return raise_failure(L, name);
  if (!fresh) {
    if (!inplace && s->returns == 'l') return push_list(L, &c);
    if (!inplace) return s->returns == 'v' ? 0 : (push_scalar(L, c.value, s->returns == 'b'), 1);
    tensor_release(c.out[0]);
    lua_pushvalue(L, p->first_tensor);
    return 1;
  }
  if (s->outs == 1 && p->first_tensor && c.out[0] == p->arg[0].tensor) { /* nothing was to be done: the same object */
    tensor_release(c.out[0]);
    lua_pushvalue(L, p->first_tensor);
    return 1;
  }
  int64_t bytes = 0;
  int pushed = 0;
  for (int k = 0; k < s->outs; k++) { /* one that was not asked for is NULL, those after it move up */
    if (!c.out[k]) continue;
    box[pushed++]->tensor = c.out[k];
    bytes += (int64_t)sizeof(Tensor) + (c.out[k]->base ? 0 : c.out[k]->storage->bytes);
  }
  lua_pop(L, s->outs - pushed);
  charge(L, bytes);
  return pushed;
}

static const char *type_words(lua_State *L, int idx) {
  return is_tensor(L, idx) ? "Tensor" : is_none(L, idx) ? "none" : luaL_typename(L, idx);
}

/* What a last table gives by name, in PyTorch's way: "stride=number". Names that do not fit are left out. */
static void keyword_words(lua_State *L, int idx, char *to, size_t room) {
  if (lua_type(L, idx) != LUA_TTABLE || luaL_getmetafield(L, idx, "__name") != LUA_TNIL) return;
  for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING) continue;
    int used = snprintf(to, room, ", %s=%s", lua_tostring(L, -2), type_words(L, lua_gettop(L)));
    if (used < 0 || (size_t)used >= room) break;
    to += used;
    room -= (size_t)used;
  }
  *to = 0;
}

/* No overload fits: PyTorch's sentence with what was given and what there is. */
static int raise_no_overload(lua_State *L, const Group *g) {
  luaL_Buffer b;
  int n = lua_gettop(L);
  char named[256] = "";
  if (n > 0) keyword_words(L, n, named, sizeof named);
  lua_settop(L, n);
  luaL_buffinit(L, &b);
  luaL_addstring(&b, "received an invalid combination of arguments - got (");
  for (int i = 1; i <= n; i++) {
    if (i == n && named[0]) { /* PyTorch: got (Tensor, Tensor, strides=int) */
      luaL_addstring(&b, n > 1 ? named : named + 2);
      break;
    }
    if (i > 1) luaL_addstring(&b, ", ");
    luaL_addstring(&b, type_words(L, i));
  }
  luaL_addstring(&b, "), but expected one of:");
  for (int i = 0; i < g->count; i++) {
    luaL_addstring(&b, "\n * ");
    luaL_addstring(&b, g->def[i]->schema);
  }
  luaL_pushresult(&b);
  return raise_text(L, g->name, "%s", lua_tostring(L, -1));
}

/* The usual call: tensors and operands in their places and nothing else. False: parse_arguments shall look. */
static bool parse_plain(lua_State *L, const Schema *s, bool numbers, Parsed *p) {
  int n = lua_gettop(L);
  if (!s->plain || n > s->tensors || n < s->least || n == 0) return false;
  p->scalars = 0;
  p->first_tensor = 0;
  for (int k = 0; k < n; k++) {
    const Param *param = &s->param[k];
    Tensor *t = to_tensor(L, k + 1);
    p->arg[k].given = true;
    p->arg[k].tensor = t;
    if (t) {
      if (k == 0) p->first_tensor = 1;
    } else if ((numbers || param->type == TYPE_OPERAND) && read_scalar(L, k + 1, &p->scalar[k])) {
      p->scalars |= 1u << k;
    } else if (param->has_default && lua_isnil(L, k + 1)) {
      p->arg[k] = param->standard;
    } else {
      return false;
    }
  }
  for (int k = n; k < s->params; k++) p->arg[k] = s->param[k].standard;
  return true;
}

static int operator_call(lua_State *L) {
  const Group *g = lua_touserdata(L, lua_upvalueindex(UP_GROUP));
  Parsed p;
  OpDef *def = g->def[0];
  if (g->count > 1) {
    int fits = 0;
    while (fits < g->count && !arguments_fit(L, g->def[fits], 1, g->numbers, false)) fits++;
    for (int i = 0; fits == g->count && i < g->count; i++)
      if (arguments_fit(L, g->def[i], 1, g->numbers, true)) {
        fits = i;
        break;
      }
    if (fits == g->count) {
      /* a single wrong argument is worth a precise message: try each and keep the last that got furthest */
      for (int i = 0; i < g->count; i++) {
        int top = lua_gettop(L);
        if (parse_arguments(L, g->def[i], 1, g->numbers, &p))
          return call_operator(L, g->def[i], g->name, &p, g->inplace);
        bool index = fail_code() == MT_EINDEX;
        lua_settop(L, top);
        if (index) return raise_failure(L, g->name);
        fail_clear();
      }
      return raise_no_overload(L, g);
    }
    def = g->def[fits];
  }
  if (!parse_plain(L, def->info, g->numbers, &p) && !parse_arguments(L, def, 1, g->numbers, &p))
    return raise_failure(L, g->name);
  if (g->inplace && !p.first_tensor) return raise_text(L, g->name, "the tensor that is written comes first");
  return call_operator(L, def, g->name, &p, g->inplace);
}

/* --- registration --- */

static Group *groups;
static int group_count, group_room;

static Group *group_named(const char *name, bool inplace, bool numbers) {
  for (int i = 0; i < group_count; i++)
    if (groups[i].inplace == inplace && groups[i].numbers == numbers && strcmp(groups[i].name, name) == 0)
      return &groups[i];
  if (group_count == group_room) return NULL;
  char *copy = mem_alloc(strlen(name) + 1);
  if (!copy) return NULL;
  strcpy(copy, name);
  groups[group_count] = (Group){.name = copy, .inplace = inplace, .numbers = numbers};
  return &groups[group_count++];
}

static bool add_to_group(OpDef *def, const char *base, bool inplace, bool numbers) {
  char name[MAX_NAME + 4];
  snprintf(name, sizeof name, "%s%s%s", def->flags & OP_HIDDEN ? "_" : "", base, inplace ? "_" : "");
  Group *g = group_named(name, inplace, numbers);
  if (!g || g->count == MAX_OVERLOADS) return false;
  g->def[g->count++] = def;
  return true;
}

static const struct {
  const char *event, *op;
} metamethods[] = {{"__add", "add"},
                   {"__sub", "sub"},
                   {"__mul", "mul"},
                   {"__div", "div"},
                   {"__idiv", "floor_divide"},
                   {"__mod", "remainder"},
                   {"__pow", "pow"},
                   {"__band", "bitwise_and"},
                   {"__bor", "bitwise_or"},
                   {"__bxor", "bitwise_xor"},
                   {"__shl", "bitwise_left_shift"},
                   {"__shr", "bitwise_right_shift"}};

/* Names an op goes by: its schema's and its aliases. */
static bool add_names(OpDef *def) {
  char names[8 * MAX_NAME];
  snprintf(names, sizeof names, "%s %s", def->info->name, def->alias ? def->alias : "");
  char *rest = names;
  for (char *name; (name = strtok_r(rest, " ", &rest));) {
    bool only = def->flags & OP_INPLACE_ONLY;
    if (!only && !add_to_group(def, name, false, false)) return false;
    if ((def->flags & (OP_INPLACE | OP_INPLACE_ONLY)) && !add_to_group(def, name, true, false)) return false;
  }
  for (size_t i = 0; i < sizeof metamethods / sizeof *metamethods; i++)
    if (strcmp(metamethods[i].op, def->info->name) == 0 && !add_to_group(def, def->info->name, false, true))
      return false;
  return true;
}

static void build_groups(void) {
  group_room = 4 * ops_count() + 64;
  groups = mem_zero(sizeof *groups * (size_t)group_room);
  for (int i = 0; groups && i < ops_count(); i++)
    if (!add_names(ops_at(i))) return;
}

static bool all_groups(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  if (!ops_load()) return false;
  pthread_once(&once, build_groups);
  return groups != NULL;
}

static void push_group(lua_State *L, Group *g) {
  lua_pushlightuserdata(L, g);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &TENSOR_MARK);
  lua_pushcclosure(L, operator_call, 2);
}

static int unary_minus(lua_State *L) {
  lua_settop(L, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, 1, 1);
  return 1;
}

/* Metamethods of one operand get it twice. */
static void set_unary(lua_State *L, int methods, int meta, const char *event, const char *op) {
  lua_getfield(L, methods, op);
  lua_pushcclosure(L, unary_minus, 1);
  lua_setfield(L, meta, event);
}

void operators_open(lua_State *L, int core, int methods, int meta) {
  if (!all_groups()) raise_failure(L, "require");
  for (int i = 0; i < group_count; i++) {
    Group *g = &groups[i];
    if (g->numbers) {
      push_group(L, g);
      for (size_t m = 0; m < sizeof metamethods / sizeof *metamethods; m++) {
        if (strcmp(metamethods[m].op, g->name) != 0) continue;
        lua_pushvalue(L, -1);
        lua_setfield(L, meta, metamethods[m].event);
      }
      lua_pop(L, 1);
      continue;
    }
    int flags = 0;
    for (int k = 0; k < g->count; k++) flags |= g->def[k]->flags;
    push_group(L, g);
    if (flags & (OP_FUNCTION | OP_HIDDEN)) {
      lua_pushvalue(L, -1);
      lua_setfield(L, core, g->name);
    }
    if (flags & OP_METHOD) {
      lua_pushvalue(L, -1);
      lua_setfield(L, methods, g->name);
    }
    lua_pop(L, 1);
  }
  set_unary(L, methods, meta, "__unm", "neg");
  set_unary(L, methods, meta, "__bnot", "bitwise_not");
}

/* core._ops(): the table of operators for specs and documentation. */
int operators_list(lua_State *L) {
  static const struct {
    int flag;
    const char *name;
  } names[] = {
      {OP_VIEW, "view"},     {OP_INPLACE, "inplace"}, {OP_INPLACE_ONLY, "inplace_only"}, {OP_METHOD, "method"},
      {OP_FUNCTION, "func"}, {OP_HIDDEN, "hidden"},   {OP_NO_GRADIENT, "no_gradient"},   {OP_RANDOM, "random"}};
  lua_createtable(L, ops_count(), 0);
  for (int i = 0; i < ops_count(); i++) {
    const OpDef *d = ops_at(i);
    lua_createtable(L, 0, 16);
    const struct {
      const char *key, *value;
    } texts[] = {{"name", d->info->name}, {"schema", d->schema},   {"alias", d->alias},
                 {"doc", d->doc},         {"samples", d->samples}, {"errors", d->errors}};
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
      lua_pushstring(L, texts[k].value);
      lua_setfield(L, -2, texts[k].key);
    }
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
      lua_pushboolean(L, (d->flags & names[k].flag) != 0);
      lua_setfield(L, -2, names[k].name);
    }
    lua_pushboolean(L, d->backward != NULL);
    lua_setfield(L, -2, "gradient");
    lua_pushboolean(L, d->compose != NULL);
    lua_setfield(L, -2, "composed");
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}
