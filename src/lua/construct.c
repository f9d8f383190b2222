/* Tensors from Lua values and back: torch.tensor, typed constructors, item, tolist, strings of bytes. */
#include "lua/binding.h"
#include "base/size.h"
#include "ops/ops.h"
#include <string.h>

/* --- nested tables --- */

typedef struct {
  int ndim;
  int64_t shape[MT_MAX_DIMS];
  int category;       /* highest among the elements; -1: none yet */
  DType tensor_dtype; /* promoted dtype of tensors among the elements, MT_NO_DTYPE without any */
} Nested;

/* Shape along the first elements. Scalars end it; a tensor element contributes its own dims. */
static bool measure_shape(lua_State *L, int idx, Nested *n) {
  lua_pushvalue(L, idx);
  int top = lua_gettop(L);
  while (lua_type(L, -1) == LUA_TTABLE) {
    if (n->ndim == MT_MAX_DIMS) {
      lua_settop(L, top - 1);
      return fail(MT_EARG, "too many dimensions: tables are nested more than %d deep", MT_MAX_DIMS);
    }
    lua_Unsigned size = lua_rawlen(L, -1);
    n->shape[n->ndim++] = (int64_t)size;
    if (size == 0) break;
    lua_rawgeti(L, -1, 1);
    lua_remove(L, -2);
  }
  Tensor *t = to_tensor(L, -1);
  for (int d = 0; t && d < t->ndim && n->ndim < MT_MAX_DIMS; d++) n->shape[n->ndim++] = t->shape[d];
  lua_settop(L, top - 1);
  return true;
}

static bool note_scalar(lua_State *L, int idx, Nested *n) {
  Scalar s;
  if (!read_scalar(L, idx, &s)) {
    const char *found = lua_type(L, idx) == LUA_TNIL ? "nil (a hole in the table)" : type_found(L, idx);
    return fail(MT_EARG, "expected numbers, booleans or tables of them, got %s", found);
  }
  if (s.category > n->category) n->category = s.category;
  return true;
}

/* Checks lengths and finds the dtype; depth d of the nesting. */
static bool survey(lua_State *L, int idx, int d, Nested *n) {
  Tensor *t = to_tensor(L, idx);
  if (t) {
    if (t->ndim != n->ndim - d || (t->ndim && memcmp(t->shape, n->shape + d, sizeof(int64_t) * t->ndim) != 0))
      return fail(MT_EARG, "expected a sequence of tensors of shape %s, got one of shape %s",
                  shape_text(n->ndim - d, n->shape + d), shape_text(t->ndim, t->shape));
    n->tensor_dtype =
        n->tensor_dtype == MT_NO_DTYPE ? (DType)t->dtype : dtype_promote(n->tensor_dtype, (DType)t->dtype);
    return true;
  }
  if (d == n->ndim) return note_scalar(L, idx, n);
  if (lua_type(L, idx) != LUA_TTABLE)
    return fail(MT_EARG, "expected sequence of length %lld at dim %d (got %s)", (long long)n->shape[d], d + 1,
                type_found(L, idx));
  if ((int64_t)lua_rawlen(L, idx) != n->shape[d])
    return fail(MT_EARG, "expected sequence of length %lld at dim %d (got %lld)", (long long)n->shape[d], d + 1,
                (long long)lua_rawlen(L, idx));
  luaL_checkstack(L, 2, "tables nested too deep");
  for (int64_t i = 1; i <= n->shape[d]; i++) {
    lua_rawgeti(L, idx, i);
    bool good = survey(L, lua_gettop(L), d + 1, n);
    lua_pop(L, 1);
    if (!good) return false;
  }
  return true;
}

/* Writes the elements in order; everything was checked by survey. What a finalizer has changed since is left out. */
static char *store(lua_State *L, int idx, int d, const Nested *n, DType dtype, char *to) {
  Tensor *t = to_tensor(L, idx);
  bool same =
      t ? t->ndim == n->ndim - d && (t->ndim == 0 || memcmp(t->shape, n->shape + d, sizeof(int64_t) * t->ndim) == 0)
        : d == n->ndim || lua_type(L, idx) == LUA_TTABLE;
  if (!same) {
    int64_t count = dtype_size(dtype);
    for (int k = d; k < n->ndim; k++) count *= n->shape[k];
    memset(to, 0, (size_t)count);
    return to + count;
  }
  if (t) {
    Tensor part = {.refs = 1, .dtype = (uint8_t)dtype, .ndim = t->ndim, .numel = t->numel};
    Storage memory = {.data = to, .device = {MT_CPU, 0}};
    part.storage = &memory;
    memcpy(part.shape, t->shape, sizeof(int64_t) * t->ndim);
    shape_strides(t->ndim, t->shape, part.stride);
    op_copy_values(&part, t);
    return to + t->numel * dtype_size(dtype);
  }
  if (d == n->ndim) {
    Scalar s = {0};
    read_scalar(L, idx, &s);
    scalar_store(s, dtype, to);
    return to + dtype_size(dtype);
  }
  for (int64_t i = 1; i <= n->shape[d]; i++) {
    lua_rawgeti(L, idx, i);
    to = store(L, lua_gettop(L), d + 1, n, dtype, to);
    lua_pop(L, 1);
  }
  return to;
}

static DType dtype_of(const Nested *n) {
  DType numbers = n->category < 0            ? MT_NO_DTYPE
                  : n->category == CAT_FLOAT ? default_dtype()
                  : n->category == CAT_INT   ? MT_I64
                                             : MT_BOOL;
  if (n->tensor_dtype == MT_NO_DTYPE) return numbers == MT_NO_DTYPE ? default_dtype() : numbers;
  return numbers == MT_NO_DTYPE ? n->tensor_dtype : dtype_promote(n->tensor_dtype, numbers);
}

/* Pushes a new tensor of the value at idx. dtype MT_NO_DTYPE: inferred. */
static void push_from_value(lua_State *L, const char *name, int idx, DType dtype, Device device) {
  Nested n = {.category = -1, .tensor_dtype = MT_NO_DTYPE};
  if (!measure_shape(L, idx, &n) || !survey(L, idx, 0, &n)) raise_failure(L, name);
  if (dtype == MT_NO_DTYPE) dtype = dtype_of(&n);
  Box *box = push_box(L, &TENSOR_MARK);
  Device host = {MT_CPU, 0};
  Tensor *t = tensor_new(dtype, n.ndim, n.shape, host);
  if (!t && fail_code() == MT_ENOMEM) {
    fail_clear();
    collect_hard(L);
    t = tensor_new(dtype, n.ndim, n.shape, host);
  }
  if (!t) raise_failure(L, name);
  box->tensor = t;
  luaL_checkstack(L, 2 * MT_MAX_DIMS + 4, NULL);
  store(L, idx, 0, &n, dtype, tensor_data(t));
  if (device.kind != MT_CPU) {
    int mark = pool_open();
    Tensor *moved = tensor_retain(op_on(t, device));
    pool_shut(mark);
    box->tensor = moved;
    tensor_release(t);
    if (!moved) raise_failure(L, name);
    t = moved;
  }
  box_fill(L, box, t);
}

/* Keywords dtype, device, requires_grad of constructors. */
static void read_options(lua_State *L, const char *name, int idx, DType *dtype, Device *device, bool *requires_grad) {
  lua_pushnil(L);
  while (lua_next(L, idx)) {
    const char *key = keyword_name(L);
    bool good = true;
    if (!key) raise_failure(L, name);
    if (is_none(L, -1))
      good = true;
    else if (strcmp(key, "dtype") == 0)
      good = read_dtype(L, -1, dtype);
    else if (strcmp(key, "device") == 0)
      good = read_device(L, -1, device) && (want_device(L, *device), true);
    else if (strcmp(key, "requires_grad") == 0)
      *requires_grad = lua_toboolean(L, -1);
    else if (strcmp(key, "pin_memory") != 0 && strcmp(key, "copy") != 0)
      raise_text(L, name, "got an unexpected keyword argument '%s'; it takes: dtype, device, requires_grad, pin_memory",
                 key);
    if (failed()) raise_failure(L, name);
    if (!good)
      raise_text(L, name, "argument '%s' must be a torch.%s, not %s", key, key,
                 lua_type(L, -1) == LUA_TSTRING ? text("'%s'", lua_tostring(L, -1)) : type_found(L, -1));
    lua_pop(L, 1);
  }
}

/* (data [, options]); like: whose dtype and device it takes unless told otherwise, NULL for none. */
static int make_tensor(lua_State *L, const char *name, bool share, Tensor *like) {
  DType dtype = like ? (DType)like->dtype : MT_NO_DTYPE;
  Device device = {MT_CPU, 0};
  bool requires_grad = false;
  if (like)
    device = tensor_device(like);
  else
    default_device(&device);
  int last = lua_gettop(L);
  if (last == 0) return raise_text(L, name, "missing 1 required positional arguments: \"data\"");
  if (last > 1 && is_keywords(L, last)) read_options(L, name, last--, &dtype, &device, &requires_grad);
  if (last > 1 && !lua_isnil(L, 2) && !(lua_istable(L, 2) && lua_rawlen(L, 2) == 0))
    return raise_text(L, name,
                      "takes 1 positional argument but %d were given: put the numbers in one table, torch.tensor{1, 2}",
                      last);
  Tensor *source = to_tensor(L, 1);
  if (is_tensor(L, 1) && !source) check_tensor(L, 1, name);
  if (lua_type(L, 1) == LUA_TSTRING || lua_type(L, 1) == LUA_TFUNCTION || lua_isnil(L, 1))
    return raise_text(L, name, "data must be a number, a boolean, a table of them or a Tensor, not %s",
                      luaL_typename(L, 1));
  if (source && share && (dtype == MT_NO_DTYPE || dtype == source->dtype)) return lua_settop(L, 1), 1;
  if (dtype == MT_NO_DTYPE && source) dtype = (DType)source->dtype;
  push_from_value(L, name, 1, dtype, device);
  if (requires_grad && !tensor_set_requires_grad(to_tensor(L, -1), true)) return raise_failure(L, name);
  return 1;
}

static int f_tensor(lua_State *L) { return make_tensor(L, "tensor", false, NULL); }
static int f_as_tensor(lua_State *L) { return make_tensor(L, "as_tensor", true, NULL); }
/* x:new_tensor(data): as torch.tensor, with x's dtype and device */
static int m_new_tensor(lua_State *L) {
  Tensor *like = check_tensor(L, 1, "new_tensor");
  lua_remove(L, 1);
  return make_tensor(L, "new_tensor", false, like); /* which looks at `like` before anything is allocated */
}

/* torch.FloatTensor(2, 3) is unwritten memory, torch.FloatTensor{...} has the values of the table. Upvalue 1: dtype, or
 * MT_NO_DTYPE for torch.Tensor. */
static int f_typed(lua_State *L) {
  DType dtype = (DType)lua_tointeger(L, lua_upvalueindex(1));
  const char *name = dtype == MT_NO_DTYPE ? "Tensor" : text("%sTensor", dtype_info[dtype].type_name);
  if (dtype == MT_NO_DTYPE) dtype = default_dtype();
  int64_t shape[MT_MAX_DIMS];
  int n = lua_gettop(L), ndim = 0;
  if (n == 1 && (lua_istable(L, 1) || is_tensor(L, 1))) {
    bool is_size = lua_istable(L, 1) && lua_getmetatable(L, 1);
    if (is_size) {
      lua_pop(L, 1);
      ndim = read_ints(L, 1, shape, MT_MAX_DIMS);
      if (ndim < 0)
        return raise_text(L, name, "a table with a metatable is a shape, which has at most %d integers", MT_MAX_DIMS);
    } else {
      push_from_value(L, name, 1, dtype, (Device){MT_CPU, 0});
      return 1;
    }
  } else {
    if (n > MT_MAX_DIMS) return raise_text(L, name, "at most %d dimensions", MT_MAX_DIMS);
    for (; ndim < n; ndim++)
      if (!read_integer(L, ndim + 1, &shape[ndim]))
        return raise_text(L, name, "sizes must be integers, but argument %d is %s", ndim + 1,
                          luaL_typename(L, ndim + 1));
    if (n == 0) shape[ndim++] = 0;
  }
  Box *box = push_box(L, &TENSOR_MARK);
  Tensor *t = tensor_new(dtype, ndim, shape, (Device){MT_CPU, 0});
  if (!t) return raise_failure(L, name);
  t->storage->uninitialised = true;
  storage_unwritten(t->storage, dtype, 0);
  box_fill(L, box, t);
  return 1;
}

/* --- back to Lua --- */

static Tensor *host_tensor(lua_State *L, const char *name, const char *what) {
  Tensor *t = check_tensor(L, 1, name);
  if (tensor_device(t).kind != MT_CPU)
    raise_text(
        L, name,
        "can't convert %s device type tensor to a Lua %s. Use Tensor:cpu() to copy the tensor to host memory first.",
        device_text(tensor_device(t)), what);
  return t;
}

static void push_number(lua_State *L, Scalar s) {
  if (s.category == CAT_FLOAT)
    lua_pushnumber(L, s.d);
  else if (s.category == CAT_INT)
    lua_pushinteger(L, s.i);
  else
    lua_pushboolean(L, s.i != 0);
}
static void push_element(lua_State *L, DType d, const char *from) { push_number(L, scalar_load(d, from)); }

static int m_item(lua_State *L) {
  Tensor *t = check_tensor(L, 1, "item");
  if (t->numel != 1)
    return raise_text(
        L, "item",
        "a Tensor with %d elements cannot be converted to Scalar: its shape is %s; index it first (x[i]), "
        "or use tolist()",
        (int)t->numel, shape_text(t->ndim, t->shape));
  lua_State *outer = watch_enter(L); /* a device is waited for */
  Scalar value = tensor_scalar(t);
  watch_enter(outer);
  if (failed()) return raise_failure(L, "item");
  push_number(L, value);
  return 1;
}

static void push_nested(lua_State *L, const Tensor *t, int d, const char *from) {
  int size = dtype_size((DType)t->dtype);
  if (d == t->ndim) {
    push_element(L, (DType)t->dtype, from);
    return;
  }
  lua_createtable(L, t->shape[d] < INT32_MAX ? (int)t->shape[d] : 0, 0);
  for (int64_t i = 0; i < t->shape[d]; i++) {
    push_nested(L, t, d + 1, from + i * t->stride[d] * size);
    lua_rawseti(L, -2, i + 1);
  }
}

static int m_tolist(lua_State *L) {
  Tensor *t = host_tensor(L, "tolist", "table");
  luaL_checkstack(L, 2 * MT_MAX_DIMS + 4, NULL);
  push_nested(L, t, 0, tensor_data(t));
  return 1;
}

/* The elements in index order as a Lua string, in the machine's byte order. */
static int m_tobytes(lua_State *L) {
  Tensor *t = host_tensor(L, "tobytes", "string");
  if (tensor_is_contiguous(t)) {
    lua_pushlstring(L, tensor_data(t), (size_t)tensor_bytes(t));
    return 1;
  }
  Box *box = push_box(L, &TENSOR_MARK); /* anchors the copy */
  box->tensor = op_packed(t);
  if (!box->tensor) return raise_failure(L, "tobytes");
  lua_pushlstring(L, tensor_data(box->tensor), (size_t)tensor_bytes(box->tensor));
  return 1;
}

/* frombuffer(string, {dtype =, count = -1, offset = 0, requires_grad =}): the tensor has its own copy, strings being constant. */
static int f_frombuffer(lua_State *L) {
  size_t length;
  const char *name = "frombuffer";
  if (lua_type(L, 1) != LUA_TSTRING)
    return raise_text(L, name, "argument 'buffer' must be a string, not %s", luaL_typename(L, 1));
  const char *bytes = lua_tolstring(L, 1, &length);
  DType dtype = MT_NO_DTYPE;
  int64_t count = -1, offset = 0;
  bool requires_grad = false;
  if (lua_istable(L, 2)) {
    static const char *const known[] = {"dtype", "count", "offset", "requires_grad", NULL};
    check_keys(L, 2, name, known);
    lua_getfield(L, 2, "dtype");
    if (!lua_isnil(L, -1) && !read_dtype(L, -1, &dtype))
      return raise_text(L, name, "argument 'dtype' must be a torch.dtype");
    lua_getfield(L, 2, "count");
    if (!lua_isnil(L, -1) && !read_integer(L, -1, &count))
      return raise_text(L, name, "argument 'count' must be an integer");
    lua_getfield(L, 2, "offset");
    if (!lua_isnil(L, -1) && !read_integer(L, -1, &offset))
      return raise_text(L, name, "argument 'offset' must be an integer");
    lua_getfield(L, 2, "requires_grad");
    requires_grad = lua_toboolean(L, -1);
  } else if (!read_dtype(L, 2, &dtype)) {
    dtype = MT_NO_DTYPE;
  }
  if (dtype == MT_NO_DTYPE)
    return raise_text(L, name, "missing required keyword argument 'dtype': frombuffer(s, {dtype = torch.uint8})");
  int64_t size = dtype_size(dtype), available = (int64_t)length;
  if (offset < 0 || offset > available || (offset == available && available > 0))
    return raise_text(L, name,
                      "offset (%lld bytes) must be non-negative and no greater than buffer length (%lld bytes) minus 1",
                      (long long)offset, (long long)available);
  if (count == 0 || (count < 0 && count != -1))
    return raise_text(L, name,
                      "both buffer length (%lld) and count (%lld) must not be 0, and count may only be negative as -1",
                      (long long)available, (long long)count);
  if (count == -1 && (available - offset) % size != 0)
    return raise_text(L, name,
                      "buffer length (%lld bytes) after offset (%lld bytes) must be a multiple of element size (%lld)",
                      (long long)available, (long long)offset, (long long)size);
  if (count == -1) count = (available - offset) / size;
  if (count > (available - offset) / size)
    return raise_text(
        L, name,
        "requested buffer length (%lld * %lld bytes) after offset (%lld bytes) must not be greater than actual "
        "buffer length (%lld bytes)",
        (long long)count, (long long)size, (long long)offset, (long long)available);
  Box *box = push_box(L, &TENSOR_MARK);
  Tensor *t = tensor_new(dtype, 1, &count, (Device){MT_CPU, 0});
  if (!t) return raise_failure(L, name);
  memcpy(tensor_data(t), bytes + offset, (size_t)(count * size));
  if (dtype == MT_BOOL) /* any other byte would not be a bool */
    for (int64_t i = 0; i < count; i++) ((uint8_t *)tensor_data(t))[i] = ((uint8_t *)tensor_data(t))[i] != 0;
  box_fill(L, box, t);
  if (requires_grad && !tensor_set_requires_grad(t, true)) return raise_failure(L, name);
  return 1;
}

/* --- identity and kind --- */

static int f_is_tensor(lua_State *L) { return lua_pushboolean(L, is_tensor(L, 1)), 1; }
static int f_is_freed(lua_State *L) { return lua_pushboolean(L, is_tensor(L, 1) && !to_tensor(L, 1)), 1; }

/* core.parameter(t [, requires_grad = true]): a leaf with t's memory, marked as a parameter. */
static int f_parameter(lua_State *L) {
  Tensor *t = check_tensor(L, 1, "Parameter");
  bool wants = lua_isnoneornil(L, 2) ? true : lua_toboolean(L, 2);
  if (wants && !tensor_is_float(t))
    return raise_text(
        L, "Parameter",
        "only Tensors of floating point dtype can require gradients, but this one is %s. Use :float(), or "
        "{requires_grad = false}",
        dtype_info[t->dtype].name);
  Box *box = push_box(L, &TENSOR_MARK);
  Tensor *p = tensor_detach(t);
  if (!p) return raise_failure(L, "Parameter");
  p->is_parameter = true;
  p->requires_grad = wants;
  box_fill(L, box, p);
  return 1;
}

/* core._become_parameter(t, requires_grad): t itself, which is no view, is a Parameter from now on, a leaf. */
static int f_become_parameter(lua_State *L) {
  Tensor *t = check_tensor(L, 1, "Parameter");
  if (t->base) return raise_text(L, "Parameter", "a view cannot become a Parameter in place");
  if (t->autograd) {
    Node *n = t->autograd->grad_fn;
    t->autograd->grad_fn = NULL;
    t->autograd->retain_id = 0;
    node_release(n);
  }
  t->requires_grad = lua_toboolean(L, 2);
  t->is_parameter = true;
  t->converted = false;
  return 0;
}

static int f_is_parameter(lua_State *L) {
  Tensor *t = to_tensor(L, 1);
  return lua_pushboolean(L, t && t->is_parameter), 1;
}

static int f_is_unwritten(lua_State *L) {
  Tensor *t = check_tensor(L, 1, "is_unwritten");
  return lua_pushboolean(L, t->storage->uninitialised && t->storage->version == 0 && t->numel > 0), 1;
}

/* core._on_test_device(t): a copy that says it lies on cuda:0, for specs of what refuses such tensors. */
static int f_on_test_device(lua_State *L) {
  Tensor *t = check_tensor(L, 1, "_on_test_device");
  Box *box = push_box(L, &TENSOR_MARK);
  box->tensor = op_packed(t);
  if (!box->tensor) return raise_failure(L, "_on_test_device");
  box->tensor->storage->device = (Device){MT_CUDA, 0};
  return 1;
}

static int f_result_type(lua_State *L) {
  Tensor *t[2] = {NULL, NULL};
  for (int i = 0; i < 2; i++) {
    Scalar s;
    t[i] = tensor_retain(to_tensor(L, i + 1));
    if (!t[i] && read_scalar(L, i + 1, &s)) t[i] = tensor_from_scalar(s);
  }
  DType d = t[0] && t[1] ? promote_tensors(2, t, default_dtype()) : MT_NO_DTYPE;
  tensor_release(t[0]);
  tensor_release(t[1]);
  if (d == MT_NO_DTYPE) return raise_text(L, "result_type", "takes two Tensors or numbers");
  push_dtype(L, d);
  return 1;
}

static int f_promote_types(lua_State *L) {
  DType a, b;
  if (!read_dtype(L, 1, &a) || !read_dtype(L, 2, &b)) return raise_text(L, "promote_types", "takes two dtypes");
  push_dtype(L, dtype_promote(a, b));
  return 1;
}

static int f_set_default_dtype(lua_State *L) {
  DType d;
  if (!read_dtype(L, 1, &d)) return raise_text(L, "set_default_dtype", "takes a torch.dtype");
  if (!dtype_is_float(d))
    return raise_text(L, "set_default_dtype", "only floating-point types are supported as the default type");
  set_default_dtype(d);
  return 0;
}

static int f_get_default_dtype(lua_State *L) { return push_dtype(L, default_dtype()), 1; }

/* --- memory, for files that keep what is shared --- */

/* core._storage_of(t) -> a number for its memory, one for the tensor itself, elements of t's dtype that the memory holds,
 * and t's offset in it */
static int f_storage_of(lua_State *L) {
  Tensor *t = check_tensor(L, 1, "save");
  lua_pushinteger(L, (lua_Integer)(intptr_t)t->storage);
  lua_pushinteger(L, (lua_Integer)(intptr_t)t);
  lua_pushinteger(L, t->storage->bytes / dtype_size((DType)t->dtype));
  lua_pushinteger(L, t->offset);
  return 4;
}

/* core._over_storage(t, dtype, offset, shape, stride): a tensor over t's memory that is no view of t; refuses what reaches
 * outside of it. */
static int f_over_storage(lua_State *L) {
  Tensor *t = check_tensor(L, 1, "load");
  DType dtype;
  int64_t offset, shape[MT_MAX_DIMS], stride[MT_MAX_DIMS];
  if (!read_dtype(L, 2, &dtype) || !read_integer(L, 3, &offset))
    return raise_text(L, "load", "expects a dtype and an offset");
  int n = read_ints(L, 4, shape, MT_MAX_DIMS), m = read_ints(L, 5, stride, MT_MAX_DIMS);
  if (n < 0 || n != m) return raise_text(L, "load", "expects a shape and strides of as many dimensions");
  Box *box = push_box(L, &TENSOR_MARK);
  Tensor *made = tensor_view(t->storage, dtype, offset, n, shape, stride);
  if (!made) return raise_failure(L, "load");
  box_fill(L, box, made);
  return 1;
}

static const luaL_Reg functions[] = {{"tensor", f_tensor},
                                     {"as_tensor", f_as_tensor},
                                     {"frombuffer", f_frombuffer},
                                     {"is_tensor", f_is_tensor},
                                     {"is_freed", f_is_freed},
                                     {"parameter", f_parameter},
                                     {"is_parameter", f_is_parameter},
                                     {"_become_parameter", f_become_parameter},
                                     {"is_unwritten", f_is_unwritten},
                                     {"_on_test_device", f_on_test_device},
                                     {"result_type", f_result_type},
                                     {"promote_types", f_promote_types},
                                     {"set_default_dtype", f_set_default_dtype},
                                     {"get_default_dtype", f_get_default_dtype},
                                     {"_storage_of", f_storage_of},
                                     {"_over_storage", f_over_storage},
                                     {NULL, NULL}};

static const luaL_Reg methods_list[] = {
    {"new_tensor", m_new_tensor}, {"item", m_item}, {"tolist", m_tolist}, {"tobytes", m_tobytes}, {NULL, NULL}};

void construct_open(lua_State *L, int core, int methods) {
  lua_pushvalue(L, core);
  luaL_setfuncs(L, functions, 0);
  for (int d = 0; d <= MT_DTYPES; d++) {
    lua_pushinteger(L, d == MT_DTYPES ? MT_NO_DTYPE : d);
    lua_pushcclosure(L, f_typed, 1);
    lua_setfield(L, -2, d == MT_DTYPES ? "Tensor" : text("%sTensor", dtype_info[d].type_name));
  }
  lua_pop(L, 1);
  lua_pushvalue(L, methods);
  luaL_setfuncs(L, methods_list, 0);
  lua_pop(L, 1);
}
