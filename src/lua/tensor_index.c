/* x[key] and x[key] = value: keys become views, and one advanced index when tensors are among
 * them.
 *
 * A key is read into entries first, while nothing of the core is held, so that Lua errors leak nothing; then views
 * and kernels run inside a pool without any call of Lua's API. */
#include "lua/binding.h"
#include "ops/ops.h"
#include <string.h>

extern OpDef def_select, def_slice, def_alias, def_fill_, def_copy_, def_masked_fill;

enum { MAX_ENTRIES = 2 * MT_MAX_DIMS };
typedef enum { ENTRY_SELECT, ENTRY_RANGE, ENTRY_ALL, ENTRY_ELLIPSIS, ENTRY_NEWAXIS, ENTRY_TENSOR } EntryKind;

typedef struct Entry {
  EntryKind kind;
  int64_t first, last, step; /* SELECT: first; as written in Lua */
  Tensor *tensor;            /* borrowed from the key, which stays on the stack */
} Entry;

typedef struct Key {
  int n;
  Entry entry[MAX_ENTRIES];
} Key;

static const char NAME[] = "index";

static const char *type_word(lua_State *L, int idx) {
  return lua_type(L, idx) == LUA_TNUMBER ? "a number that is no integer" : type_found(L, idx);
}

static int refuse_zero(lua_State *L) {
  return raise_text(L, NAME, "position 0: positions count from 1 in Lua (1 is the first, -1 the last)");
}

/* {first, last[, step]} or {} at idx. torch.none stands for the end that it is at. */
static void read_range(lua_State *L, int idx, Entry *e) {
  lua_Unsigned n = lua_rawlen(L, idx);
  int64_t part[3] = {1, -1, 1};
  if (n == 0 && is_keywords(L, idx))
    raise_text(L, NAME, "a range is a list {first, last} or {first, last, step}, not a table with names");
  e->kind = n == 0 ? ENTRY_ALL : ENTRY_RANGE;
  if (n == 0) return;
  if (n > 3)
    raise_text(L, NAME,
               "a range is {first, last} or {first, last, step}, but a list of %d was given. For a list of positions "
               "use torch.tensor{...}",
               (int)n);
  for (int k = 0; k < (int)n; k++) {
    lua_rawgeti(L, idx, k + 1);
    if (!is_none(L, -1) && !read_integer(L, -1, &part[k]))
      raise_text(L, NAME, "slice indices must be integers: number %d of the range is %s", k + 1, type_word(L, -1));
    lua_pop(L, 1);
  }
  if (n == 1) {
    const char *a = text("%lld", (long long)part[0]);
    raise_text(
        L, NAME,
        "{%s} is no range: write {%s, %s} for this one position as a dim of size 1, {%s, -1} for all from there on", a,
        a, a, a);
  }
  if (part[2] < 1)
    raise_text(L, NAME, "%s: slice step must be positive, got %s",
               part[2] == 0 ? "slice step cannot be zero" : "step must be greater than zero",
               text("%lld", (long long)part[2]));
  e->first = part[0];
  e->last = part[1];
  e->step = part[2];
}

static void read_entry(lua_State *L, int idx, Entry *e) {
  idx = lua_absindex(L, idx);
  switch (lua_type(L, idx)) {
  case LUA_TNUMBER:
    e->kind = ENTRY_SELECT;
    if (!read_integer(L, idx, &e->first))
      raise_text(L, NAME, "a position must be an integer, got %s", type_found(L, idx));
    if (e->first == 0) refuse_zero(L);
    return;
  case LUA_TTABLE: read_range(L, idx, e); return;
  case LUA_TSTRING:
    if (strcmp(lua_tostring(L, idx), "...") != 0) break;
    e->kind = ENTRY_ELLIPSIS;
    return;
  case LUA_TBOOLEAN:
    raise_text(L, NAME, "%s is no key. Use a bool tensor as a mask, or torch.newaxis for a new dim",
               lua_toboolean(L, idx) ? "true" : "false");
    return;
  case LUA_TUSERDATA:
    if (is_none(L, idx)) {
      e->kind = ENTRY_NEWAXIS;
      return;
    }
    if (!is_tensor(L, idx)) break;
    e->tensor = to_tensor(L, idx);
    if (!e->tensor) raise_text(L, NAME, "a tensor of the key was freed: it has no memory any more");
    if (e->tensor->dtype == MT_U8)
      raise_text(L, NAME, "uint8 tensors are no keys. Use a bool tensor (:bool()) as a mask, or :long() for positions");
    e->kind = ENTRY_TENSOR;
    return;
  default: break;
  }
  raise_text(L, NAME,
             "only integers, ranges {first, last}, ellipsis (\"...\"), torch.newaxis and long or bool tensors are "
             "valid indices (got %s)",
             lua_type(L, idx) == LUA_TSTRING ? lua_tostring(L, idx) : type_word(L, idx));
}

static void read_key(lua_State *L, int idx, Key *key) {
  key->n = 1;
  if (lua_type(L, idx) != LUA_TTABLE) {
    read_entry(L, idx, &key->entry[0]);
    return;
  }
  lua_Unsigned n = lua_rawlen(L, idx);
  if (n == 0 && is_keywords(L, idx))
    raise_text(L, NAME, "a key is a list with an entry for each dim, not a table with names");
  if (n > MAX_ENTRIES) raise_text(L, NAME, "too many indices: a key of %d entries", (int)(n > 1000000 ? 1000000 : n));
  key->n = (int)n;
  for (int k = 0; k < key->n; k++) {
    lua_rawgeti(L, idx, k + 1);
    read_entry(L, -1, &key->entry[k]);
    lua_pop(L, 1); /* the key's table keeps a tensor alive */
  }
}

/* --- the core's part --- */

static bool is_mask(const Tensor *t) { return t->dtype == MT_BOOL; }

/* A 0-dim tensor of positions on the host is a position. */
static bool is_position(const Tensor *t) {
  return t->ndim == 0 && (t->dtype == MT_I64 || t->dtype == MT_I32) && tensor_device(t).kind == MT_CPU;
}

/* Dims of the tensor that an entry uses up. */
static int dims_of(const Entry *e) {
  if (e->kind == ENTRY_TENSOR) return is_mask(e->tensor) ? e->tensor->ndim : 1;
  return e->kind == ENTRY_ELLIPSIS || e->kind == ENTRY_NEWAXIS ? 0 : 1;
}

/* What is left of a key when its views are made. */
typedef struct Place {
  Tensor *view;
  int n;
  Tensor *index[MT_MAX_DIMS];
  int64_t dim[MT_MAX_DIMS];
} Place;

static Tensor *select_at(Tensor *t, int dim, int64_t position, int shown) {
  int64_t size = t->shape[dim], at = position > 0 ? position - 1 : position + size;
  if (position == 0)
    fail(MT_EINDEX, "position 0: positions count from 1 in Lua (1 is the first, -1 the last)");
  else if (at < 0 || at >= size)
    fail(MT_EINDEX, "index %lld is out of bounds for dimension %d with size %lld", (long long)position, shown + 1,
         (long long)size);
  else
    return op_run(&def_select, (Arg[]){ARG_T(t), ARG_I(dim), ARG_I(at)});
  return NULL;
}

/* Clamped as string.sub does. */
static Tensor *range_at(Tensor *t, int dim, const Entry *e) {
  int64_t size = t->shape[dim], first = e->first, last = e->last;
  if (first < 0) first = first < -size ? 1 : first + size + 1;
  if (first == 0) first = 1;
  if (last < 0) last = last < -size ? 0 : last + size + 1;
  if (last > size) last = size;
  if (first > size + 1) first = size + 1;
  if (first == 1 && last == size && e->step == 1) return t;
  int64_t step = e->step > size ? size + 1 : e->step; /* beyond the end is beyond the end */
  return op_run(&def_slice, (Arg[]){ARG_T(t), ARG_I(dim), ARG_I(first - 1), ARG_I(last), ARG_I(step)});
}

static bool make_views(Place *p, Tensor *t, const Key *key) {
  int used = 0, ellipses = 0, dim = 0, shown = 0; /* dim: of the view; shown: of the tensor, for messages */
  p->view = t;
  p->n = 0;
  for (int k = 0; k < key->n; k++) {
    used += dims_of(&key->entry[k]);
    ellipses += key->entry[k].kind == ENTRY_ELLIPSIS;
  }
  if (ellipses > 1) return fail(MT_EINDEX, "an index can only have a single ellipsis (\"...\")");
  if (used > t->ndim) {
    if (t->ndim == 0 && key->n == 1 && key->entry[0].kind == ENTRY_SELECT)
      return fail(MT_EINDEX,
                  "invalid index of a 0-dim tensor. Use `tensor:item()` to convert a 0-dim tensor to a number");
    return fail(MT_EINDEX, "too many indices for tensor of dimension %d", t->ndim);
  }
  for (int k = 0; k < key->n && p->view; k++) {
    const Entry *e = &key->entry[k];
    switch (e->kind) {
    case ENTRY_SELECT: p->view = select_at(p->view, dim, e->first, shown++); break;
    case ENTRY_RANGE:
      p->view = range_at(p->view, dim++, e);
      shown++;
      break;
    case ENTRY_ALL:
      dim++;
      shown++;
      break;
    case ENTRY_ELLIPSIS:
      dim += t->ndim - used;
      shown += t->ndim - used;
      break;
    case ENTRY_NEWAXIS: p->view = op_unsqueeze(p->view, dim++); break;
    case ENTRY_TENSOR: {
      Tensor *i = e->tensor;
      if (is_position(i)) {
        p->view = select_at(p->view, dim, tensor_scalar(i).i, shown++);
        break;
      }
      int takes = dims_of(e);
      if (is_mask(i) && takes == 0) { /* a 0-dim mask keeps or drops a new dim of size 1 */
        p->view = op_unsqueeze(p->view, dim);
        i = op_unsqueeze(i, 0);
        shown--;
        takes = 1;
      }
      if (p->n == MT_MAX_DIMS) return fail(MT_EINDEX, "too many index tensors");
      p->index[p->n] = i;
      p->dim[p->n++] = dim;
      dim += takes;
      shown += takes;
      break;
    }
    }
  }
  return p->view && !failed();
}

static Tensor *read_place(Tensor *t, const Key *key) {
  Place p;
  if (!make_views(&p, t, key)) return NULL;
  if (p.n > 0) return op_index(p.view, p.n, p.index, p.dim);
  return p.view == t ? op_run(&def_alias, (Arg[]){ARG_T(t)}) : p.view;
}

/* Values lose leading dims of size 1 beyond what they are written to. */
static Tensor *drop_leading(Tensor *value, int ndim) {
  while (value && value->ndim > ndim && value->shape[0] == 1) value = op_squeeze(value, 0);
  return value;
}

static bool write_place(Tensor *t, const Key *key, Tensor *value, Scalar number) {
  Place p;
  if (!make_views(&p, t, key)) return false;
  if (p.n > 0) {
    if (!value && p.n == 1 && is_mask(p.index[0]) && tensor_same_shape(p.index[0], p.view))
      return op_run_inplace(&def_masked_fill, (Arg[]){ARG_T(p.view), ARG_T(p.index[0]), ARG_T(op_number(number))}) !=
             NULL;
    if (!value) value = op_full((DType)t->dtype, 0, NULL, tensor_device(t), number);
    return op_index_put(p.view, p.n, p.index, p.dim, value, false, true) != NULL;
  }
  if (!value) return op_run_inplace(&def_fill_, (Arg[]){ARG_T(p.view), ARG_N(number)}) != NULL;
  value = drop_leading(value, p.view->ndim);
  if (!value) return false;
  if (!tensor_same_shape(value, p.view) && !op_expand(value, p.view->ndim, p.view->shape))
    return false; /* says why it does not fit */
  return op_run_inplace(&def_copy_, (Arg[]){ARG_T(p.view), ARG_T(value), ARG_I(0)}) != NULL;
}

/* --- entry points --- */

/* An owned result, NULL after a failure. */
static Tensor *run_read(lua_State *L, Tensor *t, const Key *key) {
  int mark = pool_open();
  lua_State *outer = watch_enter(L);
  Tensor *result = tensor_retain(read_place(t, key));
  watch_enter(outer);
  pool_shut(mark);
  return result;
}

int tensor_index_key(lua_State *L) {
  Tensor *t = check_tensor(L, 1, NAME);
  Key key;
  lua_settop(L, 2);
  read_key(L, 2, &key);
  Box *box = push_box(L, &TENSOR_MARK);
  Tensor *result = run_read(L, t, &key);
  if (!result && fail_code() == MT_ENOMEM) { /* dead tensors may hold what is missing */
    fail_clear();
    collect_hard(L);
    result = run_read(L, t, &key);
  }
  if (!result) return raise_failure(L, NAME);
  box_fill(L, box, result);
  return 1;
}

static bool run_write(lua_State *L, Tensor *t, const Key *key, Tensor *value, Scalar number) {
  int mark = pool_open();
  lua_State *outer = watch_enter(L);
  bool good = write_place(t, key, value, number) && !failed();
  watch_enter(outer);
  pool_shut(mark);
  return good;
}

int tensor_newindex_key(lua_State *L) {
  Tensor *t = check_tensor(L, 1, NAME), *value = NULL;
  Scalar number = scalar_int(0);
  Key key;
  lua_settop(L, 3);
  read_key(L, 2, &key);
  if (is_tensor(L, 3))
    value = check_tensor(L, 3, NAME);
  else if (!read_scalar(L, 3, &number))
    return raise_text(L, NAME, "can't assign a %s to a torch.%sTensor: it takes a number or a Tensor%s",
                      luaL_typename(L, 3), dtype_info[t->dtype].type_name,
                      lua_istable(L, 3) ? ", which torch.tensor{...} makes from a table" : "");
  if (!run_write(L, t, &key, value, number)) {
    if (fail_code() != MT_ENOMEM) return raise_failure(L, NAME);
    fail_clear();
    collect_hard(L);
    if (!run_write(L, t, &key, value, number)) return raise_failure(L, NAME);
  }
  return 0;
}
