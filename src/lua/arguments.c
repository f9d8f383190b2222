/* Arguments: from the Lua stack to an operator's schema. Keyword tables, varargs and the shift from positions counted from 1
 * are dealt with here and nowhere else. */
#include "lua/binding.h"
#include "base/size.h"
#include <math.h>
#include <string.h>

bool read_integer(lua_State *L, int idx, int64_t *out) {
  if (lua_isinteger(L, idx)) {
    *out = lua_tointeger(L, idx);
    return true;
  }
  if (lua_type(L, idx) != LUA_TNUMBER) return false;
  lua_Number n = lua_tonumber(L, idx);
  lua_Integer i;
  if (!lua_numbertointeger(n, &i) || (lua_Number)i != n) return false;
  *out = i;
  return true;
}

const char *plain_string(lua_State *L, int idx) {
  if (lua_type(L, idx) != LUA_TSTRING) return NULL;
  size_t n;
  const char *s = lua_tolstring(L, idx, &n);
  return strlen(s) == n ? s : NULL;
}

const char *keyword_name(lua_State *L) {
  const char *name = plain_string(L, -2);
  if (name) return name;
  if (lua_type(L, -2) == LUA_TSTRING)
    fail(MT_EARG, "got an unexpected keyword argument '%s...', which has a zero byte in its name", lua_tostring(L, -2));
  else
    fail(MT_EARG,
         "keyword arguments have strings for names, but one is a %s: a table with names cannot hold list entries too",
         luaL_typename(L, -2));
  return NULL;
}

bool read_scalar(lua_State *L, int idx, Scalar *out) {
  int type = lua_type(L, idx);
  if (type == LUA_TBOOLEAN)
    *out = scalar_bool(lua_toboolean(L, idx));
  else if (type != LUA_TNUMBER)
    return false;
  else if (lua_isinteger(L, idx))
    *out = scalar_int(lua_tointeger(L, idx));
  else
    *out = scalar_float(lua_tonumber(L, idx));
  return true;
}

int read_ints(lua_State *L, int idx, int64_t *out, int room) {
  if (lua_type(L, idx) != LUA_TTABLE) return -1;
  lua_Unsigned n = lua_rawlen(L, idx);
  if (n > (lua_Unsigned)room) return -1;
  idx = lua_absindex(L, idx);
  for (int i = 0; i < (int)n; i++) {
    lua_rawgeti(L, idx, i + 1);
    bool good = read_integer(L, -1, &out[i]);
    lua_pop(L, 1);
    if (!good) return -1;
  }
  return (int)n;
}

bool is_keywords(lua_State *L, int idx) {
  if (lua_type(L, idx) != LUA_TTABLE) return false;
  if (lua_getmetatable(L, idx)) {
    lua_pop(L, 1);
    return false;
  }
  if (lua_rawlen(L, idx) > 0) return false;
  idx = lua_absindex(L, idx);
  lua_pushnil(L);
  if (!lua_next(L, idx)) return false;
  lua_pop(L, 2);
  return true; /* whether its keys are names is for keyword_name to say */
}

static bool is_empty_table(lua_State *L, int idx) {
  if (lua_type(L, idx) != LUA_TTABLE) return false;
  lua_pushnil(L);
  bool filled = lua_next(L, idx);
  if (filled) lua_pop(L, 2);
  if (filled || !lua_getmetatable(L, idx)) return !filled;
  lua_pop(L, 1);
  return false;
}

static bool is_list_type(int type) {
  return type == TYPE_TENSORS || type == TYPE_SIZE || type == TYPE_DIMS || type == TYPE_INTS || type == TYPE_NUMBERS;
}

static const char *type_wanted(const Param *p) {
  switch (p->type) {
  case TYPE_TENSOR: return "Tensor";
  case TYPE_OPERAND: return "Tensor or a number";
  case TYPE_INDEX: return "Tensor of positions (int64)";
  case TYPE_TENSORS: return "a list of Tensors";
  case TYPE_NUMBER:
  case TYPE_FLOAT: return "a number";
  case TYPE_INT:
  case TYPE_DIM:
  case TYPE_POSITION: return "an integer";
  case TYPE_BOOL: return "true or false";
  case TYPE_STR: return "a string";
  case TYPE_DTYPE: return "torch.dtype";
  case TYPE_DEVICE: return "torch.device or a string";
  case TYPE_GENERATOR: return "torch.Generator";
  case TYPE_DIMS: return "an integer or a list of integers";
  case TYPE_NUMBERS: return "a list of numbers";
  default: return "a list of integers";
  }
}

const char *type_found(lua_State *L, int idx) {
  if (is_tensor(L, idx)) return to_tensor(L, idx) ? "Tensor" : "a freed Tensor";
  if (is_none(L, idx)) return "none";
  Box *g = box_at(L, idx, &GENERATOR_MARK);
  if (g && !g->generator) return "a closed torch.Generator";
  if (lua_type(L, idx) == LUA_TNUMBER) {
    lua_Number n = lua_tonumber(L, idx);
    return lua_isinteger(L, idx) ? "integer" : isnan(n) ? "nan" : text("%.14g", n);
  }
  if (luaL_getmetafield(L, idx, "__name") == LUA_TSTRING) {
    const char *name = text("%s", lua_tostring(L, -1));
    lua_pop(L, 1);
    return name;
  }
  return luaL_typename(L, idx);
}

static bool wrong_type(lua_State *L, const Schema *s, int k, int idx, const Parsed *p) {
  Box *b = box_at(L, idx, &TENSOR_MARK);
  if (b && !b->tensor)
    return fail(MT_EARG,
                "argument '%s' (position %d) was freed by free(), <close> or torch.scope: it has no memory any more",
                s->param[k].name, k + 1);
  const char *hint = k == 0 ? p->hint : "";
  if (s->param[k].type <= TYPE_INDEX && lua_type(L, idx) == LUA_TTABLE)
    hint = ". torch.tensor{...} makes one from a table";
  else if (is_list_type(s->param[k].type) && lua_type(L, idx) != LUA_TTABLE)
    hint = ". Put them in one table: {a, b}";
  else if (s->param[k].type == TYPE_DTYPE && lua_type(L, idx) == LUA_TSTRING)
    return fail(
        MT_EARG,
        "argument '%s' (position %d) names no dtype: '%s'. There are float32, float64, float16, bfloat16, int64, "
        "int32, int16, int8, uint8, bool",
        s->param[k].name, k + 1, lua_tostring(L, idx));
  return fail(MT_EARG, "argument '%s' (position %d) must be %s, not %s%s", s->param[k].name, k + 1,
              type_wanted(&s->param[k]), type_found(L, idx), hint);
}

/* From 1 to 0; negative ones count from the end and stay. */
static bool shift(const char *what, int64_t *v) {
  if (*v == 0) return fail(MT_EINDEX, "%s 0: positions count from 1 in Lua (1 is the first, -1 the last)", what);
  if (*v > 0) --*v;
  return true;
}

/* Room for n numbers, on the C stack or, when there are many, in a userdata that stays on the Lua stack. */
static int64_t *ints_room(lua_State *L, Parsed *p, int64_t n) {
  if (n <= ARG_INTS_ROOM - p->ints_used) {
    p->ints_used += (int)n;
    return p->ints + p->ints_used - n;
  }
  luaL_checkstack(L, 4, NULL);
  return lua_newuserdatauv(L, (size_t)n * sizeof(int64_t), 0);
}

/* A list of integers from a table, a single number, or `count` stack slots from idx on. */
static bool take_ints(lua_State *L, const Schema *s, int k, int idx, int count, Parsed *p) {
  const Param *param = &s->param[k];
  Arg *a = &p->arg[k];
  bool table = lua_type(L, idx) == LUA_TTABLE;
  int64_t n = table ? (int64_t)lua_rawlen(L, idx) : count;
  if (n > INT32_MAX / 16) return fail(MT_EARG, "argument '%s' has too many numbers", param->name);
  int64_t *v = ints_room(L, p, n);
  for (int64_t i = 0; i < n; i++) {
    int at = idx + (int)i;
    if (table) {
      lua_rawgeti(L, idx, i + 1);
      at = lua_gettop(L);
    }
    bool good = read_integer(L, at, &v[i]);
    if (!good)
      fail(MT_EARG, "argument '%s' (position %d) must be %s, but element %lld is %s", param->name, k + 1,
           type_wanted(param), (long long)i + 1, type_found(L, at));
    if (table) lua_pop(L, 1);
    if (!good || (param->type == TYPE_DIMS && !shift("Dimension out of range: dim", &v[i]))) return false;
  }
  *a = (Arg){.given = true, .n = (int32_t)n, .ints = v};
  return true;
}

static bool take_numbers(lua_State *L, const Schema *s, int k, int idx, Parsed *p) {
  int64_t n = (int64_t)lua_rawlen(L, idx);
  if (n > INT32_MAX / 16) return fail(MT_EARG, "argument '%s' has too many numbers", s->param[k].name);
  luaL_checkstack(L, 4, NULL);
  Scalar *v = lua_newuserdatauv(L, (size_t)n * sizeof *v, 0);
  for (int64_t i = 0; i < n; i++) {
    lua_rawgeti(L, idx, i + 1);
    bool good = read_scalar(L, -1, &v[i]);
    if (!good)
      fail(MT_EARG, "argument '%s' (position %d) must be a list of numbers, but element %lld is %s", s->param[k].name,
           k + 1, (long long)i + 1, type_found(L, -1));
    lua_pop(L, 1);
    if (!good) return false;
  }
  p->arg[k] = (Arg){.given = true, .n = (int32_t)n, .numbers = v};
  return true;
}

static bool take_tensors(lua_State *L, const Schema *s, int k, int idx, int count, Parsed *p) {
  bool table = lua_type(L, idx) == LUA_TTABLE;
  int64_t n = table ? (int64_t)lua_rawlen(L, idx) : count;
  if (n > INT32_MAX / 16) return fail(MT_EARG, "argument '%s' has too many tensors", s->param[k].name);
  Tensor **v = p->tensors + p->tensors_used;
  if (n <= ARG_TENSORS_ROOM - p->tensors_used)
    p->tensors_used += (int)n;
  else
    v = lua_newuserdatauv(L, (size_t)n * sizeof *v, 0);
  for (int64_t i = 0; i < n; i++) {
    int at = idx + (int)i;
    if (table) {
      lua_rawgeti(L, idx, i + 1);
      at = lua_gettop(L);
    }
    v[i] = to_tensor(L, at);
    bool absent = !v[i] && s->param[k].optional && is_none(L, at); /* Tensor[]?: elements may be none */
    if (!v[i] && !absent)
      fail(MT_EARG, "argument '%s' (position %d) must be a list of Tensors, but element %lld is %s", s->param[k].name,
           k + 1, (long long)i + 1, type_found(L, at));
    if (table) lua_pop(L, 1);
    if (!v[i] && !absent) return false;
  }
  p->arg[k] = (Arg){.given = true, .n = (int32_t)n, .tensors = v};
  return true;
}

/* One argument from one stack slot. */
static bool take(lua_State *L, const Schema *s, int k, int idx, bool numbers, Parsed *p) {
  const Param *param = &s->param[k];
  Arg *a = &p->arg[k];
  a->given = true;
  bool good = true;
  switch (param->type) {
  case TYPE_TENSOR:
  case TYPE_OPERAND:
  case TYPE_INDEX:
    a->tensor = to_tensor(L, idx);
    if (a->tensor) {
      if (k == 0) p->first_tensor = idx;
    } else {
      good = (param->type == TYPE_OPERAND || numbers) && read_scalar(L, idx, &p->scalar[k]);
      if (good) p->scalars |= 1u << k;
    }
    break;
  case TYPE_NUMBER:
  case TYPE_FLOAT: {
    Tensor *t = to_tensor(L, idx);
    if (t && t->ndim == 0 && t->storage->device.kind == MT_CPU)
      a->number = tensor_scalar(t);
    else
      good = read_scalar(L, idx, &a->number);
    break;
  }
  case TYPE_INT:
  case TYPE_DIM:
  case TYPE_POSITION:
    good = read_integer(L, idx, &a->i);
    if (good && param->type != TYPE_INT)
      return shift(param->type == TYPE_DIM ? "Dimension out of range: dim" : "position", &a->i);
    break;
  case TYPE_BOOL:
    good = lua_isboolean(L, idx);
    a->i = lua_toboolean(L, idx);
    break;
  case TYPE_STR:
    a->str = plain_string(L, idx);
    good = a->str != NULL;
    break;
  case TYPE_DTYPE: good = read_dtype(L, idx, &a->dtype); break;
  case TYPE_DEVICE:
    good = read_device(L, idx, &a->device);
    if (good) want_device(L, a->device);
    break;
  case TYPE_GENERATOR: {
    Box *b = box_at(L, idx, &GENERATOR_MARK);
    a->generator = b ? b->generator : NULL;
    good = a->generator != NULL;
    break;
  }
  case TYPE_TENSORS:
    if (lua_type(L, idx) == LUA_TTABLE) return take_tensors(L, s, k, idx, 0, p);
    good = false;
    break;
  case TYPE_NUMBERS:
    if (lua_type(L, idx) == LUA_TTABLE) return take_numbers(L, s, k, idx, p);
    good = false;
    break;
  case TYPE_DIMS:
  case TYPE_SIZE:
  case TYPE_INTS:
    if (lua_type(L, idx) == LUA_TTABLE || lua_type(L, idx) == LUA_TNUMBER) return take_ints(L, s, k, idx, 1, p);
    good = false;
    break;
  }
  return good || (failed() ? false : wrong_type(L, s, k, idx, p));
}

static int find_param(const Schema *s, const char *name) {
  if (strcmp(name, "axis") == 0 || strcmp(name, "axes") == 0) {
    int k = find_param(s, "dim");
    return k >= 0 ? k : find_param(s, "dims");
  }
  if (strcmp(name, "keepdims") == 0) name = "keepdim";
  if (strcmp(name, "split_size_or_sections") == 0) name = "split_size";
  for (int k = 0; k < s->params; k++)
    if (strcmp(s->param[k].name, name) == 0) return k;
  return -1;
}

/* Accepted everywhere and without effect: every tensor is strided and pageable. */
static bool is_ignored(const char *name) {
  return strcmp(name, "layout") == 0 || strcmp(name, "memory_format") == 0 || strcmp(name, "pin_memory") == 0;
}

static bool unknown_keyword(const Schema *s, const char *name) {
  char list[400];
  size_t used = 0;
  list[0] = 0;
  for (int k = 0; k < s->params && used < sizeof list - MAX_NAME - 4; k++) {
    if (used) used += (size_t)(stpcpy(list + used, ", ") - (list + used));
    used += (size_t)(stpcpy(list + used, s->param[k].name) - (list + used));
  }
  return fail(MT_EARG, "got an unexpected keyword argument '%s'; it takes: %s", name, list);
}

static bool take_keywords(lua_State *L, const Schema *s, int idx, bool numbers, Parsed *p) {
  lua_pushnil(L);
  while (lua_next(L, idx)) {
    const char *name = keyword_name(L);
    int k = name ? find_param(s, name) : -1;
    bool good = name != NULL;
    if (!good) {
    } else if (k < 0) {
      good = is_ignored(name) || unknown_keyword(s, name);
    } else if (p->arg[k].given) {
      good = fail(MT_EARG, "got multiple values for argument '%s'", s->param[k].name);
    } else if (!is_none(L, -1)) {
      /* a list in a userdata would have to stay on the stack below the iteration: short ones are copied */
      int value = lua_gettop(L);
      good = take(L, s, k, value, numbers, p);
      if (good && lua_gettop(L) > value) {
        lua_insert(L, idx); /* keep it, under the keyword table */
        idx++;
      }
    }
    lua_settop(L, lua_gettop(L) - 1);
    if (!good) {
      lua_pop(L, 1);
      return false;
    }
  }
  return true;
}

static void set_defaults(const Schema *s, Parsed *p) {
  for (int k = 0; k < s->params; k++) p->arg[k] = s->param[k].standard;
  p->scalars = 0;
  p->first_tensor = 0;
  p->ints_used = p->tensors_used = 0;
}

/* Number of stack slots from idx on that belong to a varargs list. */
static int run_of(lua_State *L, int idx, int last, bool tensors) {
  int n = 0;
  while (idx + n <= last && (tensors ? is_tensor(L, idx + n) : lua_type(L, idx + n) == LUA_TNUMBER)) n++;
  return n;
}

static bool missing(const Schema *s, int k, const Parsed *p) {
  return fail(MT_EARG, "missing 1 required positional arguments: \"%s\", which must be %s%s", s->param[k].name,
              type_wanted(&s->param[k]), k == 0 ? p->hint : "");
}

static bool fill_missing(const Schema *s, Parsed *p) {
  for (int k = 0; k < s->params; k++) {
    if (p->arg[k].given || s->param[k].has_default || (p->scalars >> k & 1)) continue;
    if (s->param[k].varargs && s->param[k].type != TYPE_TENSORS)
      p->arg[k] = (Arg){.given = true, .n = 0, .ints = p->ints};
    else
      return missing(s, k, p);
  }
  Device standard;
  if (s->tensors == 0 && default_device(&standard)) /* creation functions: the others follow their tensors */
    for (int k = 0; k < s->params; k++)
      if (s->param[k].type == TYPE_DEVICE && !p->arg[k].given) p->arg[k] = (Arg){.given = true, .device = standard};
  return true;
}

bool parse_arguments(lua_State *L, OpDef *def, int first, bool numbers, Parsed *p) {
  const Schema *s = def->info;
  int last = lua_gettop(L);
  set_defaults(s, p);
  int keywords = last >= first && !numbers && is_keywords(L, last) ? last : 0;
  if (keywords) last--;
  int k = 0, idx = first;
  p->hint = "";
  if (!numbers && (def->flags & OP_METHOD) && s->param[0].type <= TYPE_INDEX && !is_tensor(L, first))
    p->hint = text(". Call methods with a colon: x:%s(...)", s->name);
  while (idx <= last && k < s->positional) {
    const Param *param = &s->param[k];
    int type = lua_type(L, idx);
    if (type == LUA_TNIL || (is_none(L, idx) && (param->optional || param->has_default))) {
      idx++;
      k++;
      continue;
    }
    if (param->varargs && type != LUA_TTABLE) {
      int n = run_of(L, idx, last, param->type == TYPE_TENSORS);
      if (n == 0) return wrong_type(L, s, k, idx, p);
      bool good = param->type == TYPE_TENSORS ? take_tensors(L, s, k, idx, n, p) : take_ints(L, s, k, idx, n, p);
      if (!good) return false;
      idx += n;
    } else {
      /* `{}` in the last place is a list only where one may stand that is empty: not for a number of each dim */
      bool never = !is_list_type(param->type) || (param->type == TYPE_INTS && param->has_default && !param->optional);
      if (idx == last && !keywords && !numbers && never && is_empty_table(L, idx)) {
        idx++;
        break;
      }
      if (!take(L, s, k, idx, numbers, p)) return false;
      idx++;
    }
    k++;
  }
  if (idx <= last && !(idx == last && !keywords && is_empty_table(L, idx))) {
    while (idx <= last && lua_isnil(L, idx)) idx++;
    if (idx <= last)
      return fail(MT_EARG, "takes %d positional argument%s but %d were given: argument %d is %s", s->positional,
                  s->positional == 1 ? "" : "s", last - first + 1, idx - first + 1, type_found(L, idx));
  }
  int first_tensor = p->first_tensor;
  if (keywords && !take_keywords(L, s, keywords, numbers, p)) return false;
  p->first_tensor = first_tensor; /* one that came by keyword has no slot of its own on the stack */
  return fill_missing(s, p);
}

static bool slot_fits(lua_State *L, const Param *p, int idx, bool numbers, bool as_number) {
  int type = lua_type(L, idx);
  if (type == LUA_TNIL || is_none(L, idx)) return p->optional || p->has_default;
  switch (p->type) {
  case TYPE_TENSOR:
  case TYPE_INDEX: return is_tensor(L, idx) || (numbers && type == LUA_TNUMBER);
  case TYPE_OPERAND: return is_tensor(L, idx) || type == LUA_TNUMBER || type == LUA_TBOOLEAN;
  case TYPE_TENSORS: {
    if (p->varargs && is_tensor(L, idx)) return true;
    if (type != LUA_TTABLE) return false;
    lua_rawgeti(L, idx, 1);
    bool fits = lua_isnil(L, -1) || is_tensor(L, -1);
    lua_pop(L, 1);
    return fits;
  }
  case TYPE_NUMBER:
  case TYPE_FLOAT: {
    Tensor *t = to_tensor(L, idx);
    return type == LUA_TNUMBER || type == LUA_TBOOLEAN || (as_number && t && t->ndim == 0);
  }
  case TYPE_INT:
  case TYPE_DIM:
  case TYPE_POSITION: return type == LUA_TNUMBER;
  case TYPE_BOOL: return type == LUA_TBOOLEAN;
  case TYPE_STR: return type == LUA_TSTRING;
  case TYPE_DTYPE: {
    DType d;
    return read_dtype(L, idx, &d);
  }
  case TYPE_GENERATOR: return box_at(L, idx, &GENERATOR_MARK) != NULL;
  case TYPE_DEVICE: return type == LUA_TSTRING || type == LUA_TUSERDATA;
  default: {
    if (type == LUA_TNUMBER) return p->type == TYPE_DIMS || p->type == TYPE_INTS || p->varargs;
    if (type != LUA_TTABLE) return false;
    lua_rawgeti(L, idx, 1);
    bool fits = lua_isnil(L, -1) || lua_type(L, -1) == LUA_TNUMBER;
    lua_pop(L, 1);
    return fits;
  }
  }
}

bool arguments_fit(lua_State *L, OpDef *def, int first, bool numbers, bool as_number) {
  const Schema *s = def->info;
  int last = lua_gettop(L);
  bool given[MAX_PARAMS] = {false};
  int keywords = last >= first && is_keywords(L, last) ? last : 0;
  if (keywords) last--;
  int k = 0, idx = first;
  for (; idx <= last && k < s->positional; k++) {
    if (!slot_fits(L, &s->param[k], idx, numbers, as_number)) return false;
    given[k] = true;
    bool run = s->param[k].varargs && lua_type(L, idx) != LUA_TTABLE && !lua_isnil(L, idx);
    idx += run ? run_of(L, idx, last, s->param[k].type == TYPE_TENSORS) : 1;
  }
  if (idx <= last) return false;
  if (keywords) {
    lua_pushnil(L);
    while (lua_next(L, keywords)) {
      const char *name = plain_string(L, -2);
      int at = find_param(s, name ? name : "");
      bool fits = at >= 0 ? !given[at] && slot_fits(L, &s->param[at], lua_gettop(L), numbers, as_number)
                          : name && is_ignored(name);
      if (at >= 0) given[at] = true;
      lua_pop(L, 1);
      if (!fits) {
        lua_pop(L, 1);
        return false;
      }
    }
  }
  for (k = 0; k < s->params; k++)
    if (!given[k] && !s->param[k].has_default && !s->param[k].varargs) return false;
  return true;
}
