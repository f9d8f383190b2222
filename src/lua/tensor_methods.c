/* Tensor properties and methods that are not operators: geometry, casts between dtypes and devices, identity. */
#include "lua/binding.h"
#include "ops/ops.h"
#include "tensor/device.h"
#include <string.h>

/* --- properties: (tensor, key) -> value --- */

#define SELF(name) Tensor *t = check_tensor(L, 1, name)

static int get_shape(lua_State *L) {
  SELF("shape");
  return push_size(L, t->ndim, t->shape), 1;
}
static int get_dtype(lua_State *L) {
  SELF("dtype");
  return push_dtype(L, (DType)t->dtype), 1;
}
static int get_device(lua_State *L) {
  SELF("device");
  return push_device(L, tensor_device(t)), 1;
}
static int get_ndim(lua_State *L) {
  SELF("ndim");
  return lua_pushinteger(L, t->ndim), 1;
}
static int get_is_cuda(lua_State *L) {
  SELF("is_cuda");
  return lua_pushboolean(L, tensor_device(t).kind == MT_CUDA), 1;
}
static int get_is_cpu(lua_State *L) {
  SELF("is_cpu");
  return lua_pushboolean(L, tensor_device(t).kind == MT_CPU), 1;
}
static int get_nbytes(lua_State *L) {
  SELF("nbytes");
  return lua_pushinteger(L, tensor_bytes(t)), 1;
}
static int get_itemsize(lua_State *L) {
  SELF("itemsize");
  return lua_pushinteger(L, dtype_size((DType)t->dtype)), 1;
}
static int get_parameter(lua_State *L) {
  SELF("is_parameter");
  return lua_pushboolean(L, t->is_parameter), 1;
}
static int get_version(lua_State *L) {
  SELF("_version");
  return lua_pushinteger(L, t->storage->version), 1;
}

/* Pushes what `make` returns for t; the pool is closed before anything can raise. */
static int push_made(lua_State *L, const char *name, Tensor *t, Tensor *(*make)(Tensor *)) {
  int mark = pool_open();
  Tensor *made = tensor_retain(make(t));
  pool_shut(mark);
  if (!made) return raise_failure(L, name);
  push_tensor(L, made);
  return 1;
}

static Tensor *make_transposed(Tensor *t) {
  int64_t dims[MT_MAX_DIMS];
  for (int d = 0; d < t->ndim; d++) dims[d] = t->ndim - 1 - d;
  extern OpDef def_permute;
  return op_run(&def_permute, (Arg[]){ARG_T(t), ARG_INTS(dims, t->ndim)});
}
static Tensor *make_matrix_transposed(Tensor *t) {
  if (t->ndim < 2)
    fail(MT_EARG, "tensor.mT is only supported on matrices or batches of matrices. Got %d-D tensor.", t->ndim);
  return op_transpose(t, -2, -1);
}
static int get_T(lua_State *L) {
  SELF("T");
  return push_made(L, "T", t, make_transposed);
}
static int get_mT(lua_State *L) {
  SELF("mT");
  return push_made(L, "mT", t, make_matrix_transposed);
}

/* --- geometry --- */

static int read_dim(lua_State *L, int idx, const Tensor *t, const char *name) {
  int64_t dim;
  int wrapped;
  if (!read_integer(L, idx, &dim)) raise_text(L, name, "dim must be an integer, not %s", luaL_typename(L, idx));
  if (dim == 0)
    raise_text(L, name, "Dimension out of range: dim 0: positions count from 1 in Lua (1 is the first, -1 the last)");
  if (!dim_wrap(dim > 0 ? dim - 1 : dim, t->ndim, &wrapped)) raise_failure(L, name);
  if (t->ndim == 0) raise_text(L, name, "Dimension specified as %d but tensor has no dimensions", (int)dim);
  return wrapped;
}

static int size_or_stride(lua_State *L, const char *name, const int64_t *v, const Tensor *t, bool plain) {
  if (lua_isnoneornil(L, 2)) {
    push_size(L, t->ndim, v);
    if (plain) {
      lua_pushnil(L);
      lua_setmetatable(L, -2);
    }
  } else {
    lua_pushinteger(L, v[read_dim(L, 2, t, name)]);
  }
  return 1;
}
static int m_size(lua_State *L) {
  SELF("size");
  return size_or_stride(L, "size", t->shape, t, false);
}
static int m_stride(lua_State *L) {
  SELF("stride");
  return size_or_stride(L, "stride", t->stride, t, true);
}
static int m_numel(lua_State *L) {
  SELF("numel");
  return lua_pushinteger(L, t->numel), 1;
}
static int m_offset(lua_State *L) {
  SELF("storage_offset");
  return lua_pushinteger(L, t->offset), 1;
}
static int m_is_contiguous(lua_State *L) {
  SELF("is_contiguous");
  return lua_pushboolean(L, tensor_is_contiguous(t)), 1;
}
static int m_is_float(lua_State *L) {
  SELF("is_floating_point");
  return lua_pushboolean(L, tensor_is_float(t)), 1;
}
static int m_is_signed(lua_State *L) {
  SELF("is_signed");
  return lua_pushboolean(L, dtype_info[t->dtype].is_signed), 1;
}
static int m_data_ptr(lua_State *L) {
  SELF("data_ptr");
  t->storage->uninitialised = false; /* whoever has the address may write */
  return lua_pushinteger(L, (lua_Integer)(intptr_t)tensor_data(t)), 1;
}
static int m_same_size(lua_State *L) {
  SELF("is_same_size");
  return lua_pushboolean(L, tensor_same_shape(t, check_tensor(L, 2, "is_same_size"))), 1;
}
static int m_is_nonzero(lua_State *L) {
  SELF("is_nonzero");
  if (t->numel != 1)
    return raise_text(L, "is_nonzero",
                      "Boolean value of Tensor with %s is ambiguous: its shape is %s; use :any() or :all()",
                      t->numel == 0 ? "no values" : "more than one value", shape_text(t->ndim, t->shape));
  if (tensor_device(t).kind != MT_CPU)
    return raise_text(L, "is_nonzero", "the value lies on %s: use Tensor:cpu() first", device_text(tensor_device(t)));
  return lua_pushboolean(L, scalar_double(tensor_scalar(t)) != 0), 1;
}
static int m_get_device(lua_State *L) {
  SELF("get_device");
  return lua_pushinteger(L, tensor_device(t).kind == MT_CPU ? -1 : tensor_device(t).index), 1;
}
static int m_len(lua_State *L) {
  SELF("len");
  if (t->ndim == 0) return raise_text(L, "len", "len() of a 0-d tensor");
  return lua_pushinteger(L, t->shape[0]), 1;
}

static int m_contiguous(lua_State *L) {
  SELF("contiguous");
  if (tensor_is_contiguous(t)) return lua_settop(L, 1), 1;
  return push_made(L, "contiguous", t, op_contiguous);
}

/* True when t is `other`'s userdata or another one for the same tensor. */
static int m_identity(lua_State *L) {
  Box *a = box_at(L, 1, &TENSOR_MARK), *b = box_at(L, 2, &TENSOR_MARK);
  lua_pushboolean(L, a && b && (a == b || (a->tensor && a->tensor == b->tensor)));
  return 1;
}

/* --- casts --- */

/* Where it goes, and how: without waiting, into pinned memory. */
typedef struct Way {
  DType dtype;
  Device device;
  bool copy, non_blocking, pin;
} Way;

static Tensor *convert(Tensor *t, const Way *way) {
  extern OpDef def_move, def_clone;
  DType d = way->dtype;
  Device device = way->device;
  if (device.kind == tensor_device(t).kind && device.index == tensor_device(t).index && !way->pin) {
    Tensor *made = op_cast(t, d);
    return way->copy && made == t ? op_run(&def_clone, (Arg[]){ARG_T(t)}) : made;
  }
  /* fewer bytes to carry; and on the device when the copy need not wait, since the host would wait to cast */
  bool first = dtype_size(d) <= dtype_size((DType)t->dtype) || (way->non_blocking && device.kind == MT_CPU);
  Tensor *cast = first ? op_cast(t, d) : t;
  Arg to = {.given = true, .device = device};
  bool pin = way->pin || (way->non_blocking && device.kind == MT_CPU);
  return op_cast(op_run(&def_move, (Arg[]){ARG_T(cast), to, ARG_I(way->non_blocking), ARG_I(pin)}), d);
}

/* core._conversions: conversion -> the Parameter that it comes from, while the conversion lives. */
static const char CONVERSIONS = 0;

/* The new tensor on top came from the tensor at 1, a Parameter or itself such a conversion. */
static void note_conversion(lua_State *L, Tensor *from, Tensor *made) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &CONVERSIONS);
  lua_pushvalue(L, -2);
  lua_pushvalue(L, 1);
  if (!from->is_parameter) lua_rawget(L, -3);
  lua_rawset(L, -3);
  lua_pop(L, 1);
  made->converted = true;
}

static Tensor *converted(lua_State *L, Tensor *t, const Way *way) {
  lua_State *outer = watch_enter(L);
  int mark = pool_open();
  Tensor *made = tensor_retain(convert(t, way));
  pool_shut(mark);
  watch_enter(outer);
  return made;
}

static int push_way(lua_State *L, const char *name, Tensor *t, const Way *way) {
  Device own = tensor_device(t), device = way->device;
  if (!way->copy && !way->pin && t->dtype == way->dtype && own.kind == device.kind && own.index == device.index)
    return lua_pushvalue(L, 1), 1;
  want_device(L, device);
  Tensor *made = converted(L, t, way);
  if (!made && fail_code() == MT_ENOMEM) {
    fail_clear();
    collect_hard(L);
    made = converted(L, t, way);
  }
  if (!made) return raise_failure(L, name);
  if (t->storage->uninitialised && t->storage->version == 0) made->storage->uninitialised = true; /* nobody wrote it */
  push_tensor(L, made);
  if ((t->is_parameter || t->converted) && made != t) note_conversion(L, t, made);
  return 1;
}

static int push_converted(lua_State *L, const char *name, Tensor *t, DType d, Device device) {
  return push_way(L, name, t, &(Way){.dtype = d, .device = device});
}

static int cast_method(lua_State *L) {
  DType d = (DType)lua_tointeger(L, lua_upvalueindex(1));
  const char *name = dtype_info[d].alias;
  SELF(name);
  return push_converted(L, name, t, d, tensor_device(t));
}

/* to(dtype | device | other [, dtype]) with keywords dtype, device, copy, non_blocking */
static int m_to(lua_State *L) {
  SELF("to");
  DType d = (DType)t->dtype;
  Device device = tensor_device(t);
  bool copy = false, non_blocking = false;
  int flags = 0, last = lua_gettop(L), keywords = is_keywords(L, last) ? last-- : 0;
  for (int i = 2; i <= last; i++) {
    Tensor *other = to_tensor(L, i);
    if (lua_isnil(L, i) || is_none(L, i)) continue;
    if (other) {
      d = (DType)other->dtype;
      device = tensor_device(other);
    } else if (lua_isboolean(L, i)) {
      *(flags++ == 0 ? &non_blocking : &copy) = lua_toboolean(L, i);
    } else if (!read_dtype(L, i, &d) && !read_device(L, i, &device)) {
      if (failed()) return raise_failure(L, "to");
      return raise_text(L, "to", "argument %d must be a dtype, a device or a Tensor, not %s", i - 1,
                        luaL_typename(L, i));
    }
  }
  if (keywords) {
    lua_pushnil(L);
    while (lua_next(L, keywords)) {
      const char *key = keyword_name(L);
      bool good = true;
      if (!key) return raise_failure(L, "to");
      if (strcmp(key, "dtype") == 0)
        good = read_dtype(L, -1, &d);
      else if (strcmp(key, "device") == 0)
        good = read_device(L, -1, &device);
      else if (strcmp(key, "copy") == 0)
        copy = lua_toboolean(L, -1);
      else if (strcmp(key, "other") == 0 && to_tensor(L, -1))
        d = (DType)to_tensor(L, -1)->dtype;
      else if (strcmp(key, "non_blocking") == 0)
        non_blocking = lua_toboolean(L, -1);
      else if (strcmp(key, "memory_format") != 0)
        return raise_text(
            L, "to",
            "got an unexpected keyword argument '%s'; it takes: dtype, device, other, copy, non_blocking, "
            "memory_format",
            key);
      if (failed()) return raise_failure(L, "to");
      if (!good) return raise_text(L, "to", "keyword argument '%s' has the wrong type: %s", key, luaL_typename(L, -1));
      lua_pop(L, 1);
    }
  }
  return push_way(L, "to", t, &(Way){.dtype = d, .device = device, .copy = copy, .non_blocking = non_blocking});
}

static int m_cpu(lua_State *L) {
  SELF("cpu");
  return push_converted(L, "cpu", t, (DType)t->dtype, (Device){MT_CPU, 0});
}

/* A device of the GPUs' kind from a number, a string or a torch.device at idx; nil leaves *d. */
static void cuda_device(lua_State *L, const char *name, int idx, Device *d) {
  if (lua_isnoneornil(L, idx) || is_none(L, idx) || read_device(L, idx, d)) return;
  if (failed()) raise_failure(L, name);
  raise_text(L, name, "device must be a number or a torch.device");
}

/* cuda(device, non_blocking), also as keywords */
static int m_cuda(lua_State *L) {
  SELF("cuda");
  Device d = {MT_CUDA, (uint8_t)device_current()};
  bool non_blocking = false;
  int last = lua_gettop(L);
  if (last > 1 && is_keywords(L, last)) {
    static const char *const known[] = {"device", "non_blocking", "memory_format", NULL};
    check_keys(L, last, "cuda", known);
    lua_getfield(L, last, "device");
    cuda_device(L, "cuda", -1, &d);
    lua_getfield(L, last, "non_blocking");
    non_blocking = lua_toboolean(L, -1);
    lua_settop(L, --last);
  }
  if (last > 1) cuda_device(L, "cuda", 2, &d);
  if (last > 2) non_blocking = lua_toboolean(L, 3);
  return push_way(L, "cuda", t, &(Way){.dtype = (DType)t->dtype, .device = d, .non_blocking = non_blocking});
}

/* pin_memory(): a copy in memory of the host that GPUs reach by themselves; the tensor itself where it lies there. */
static int m_pin_memory(lua_State *L) {
  SELF("pin_memory");
  if (tensor_device(t).kind != MT_CPU)
    return raise_text(L, "pin_memory", "cannot pin 'torch.cuda.%sTensor' only dense CPU tensors can be pinned: %s",
                      dtype_info[t->dtype].type_name, tensor_text(t));
  want_device(L, (Device){MT_CUDA, 0});
  lua_settop(L, 1);
  if (storage_is_pinned(t->storage)) return 1;
  return push_way(L, "pin_memory", t, &(Way){.dtype = (DType)t->dtype, .device = tensor_device(t), .pin = true});
}

static int m_is_pinned(lua_State *L) {
  SELF("is_pinned");
  return lua_pushboolean(L, storage_is_pinned(t->storage)), 1;
}

/* _record_stream(device, number): the stream uses the tensor's memory, which waits for it when it is given back. */
static int m_record_stream(lua_State *L) {
  SELF("record_stream");
  const DeviceDriver *driver = tensor_device(t).kind == MT_CPU ? NULL : device_driver(tensor_device(t));
  if (!driver && !failed())
    return raise_text(L, "record_stream", "the tensor is on the cpu, whose memory no stream uses: %s", tensor_text(t));
  if (!driver || !driver->record_stream(t->storage, (int)luaL_checkinteger(L, 2), (int)luaL_checkinteger(L, 3)))
    return raise_failure(L, "record_stream");
  return 0;
}

/* type() names the type; type("torch.FloatTensor" | dtype) casts */
static int m_type(lua_State *L) {
  SELF("type");
  if (lua_isnoneornil(L, 2)) {
    lua_pushfstring(L, "torch.%s%sTensor", tensor_device(t).kind == MT_CUDA ? "cuda." : "",
                    dtype_info[t->dtype].type_name);
    return 1;
  }
  DType d;
  Device device = tensor_device(t);
  if (!read_dtype(L, 2, &d)) {
    const char *name = lua_tostring(L, 2);
    size_t n = name ? strlen(name) : 0;
    bool cuda = n > 11 && strncmp(name, "torch.cuda.", 11) == 0;
    const char *word = !name ? "" : cuda ? name + 11 : strncmp(name, "torch.", 6) == 0 ? name + 6 : name;
    for (d = 0; d < MT_DTYPES; d++) {
      size_t k = strlen(dtype_info[d].type_name);
      if (strncmp(word, dtype_info[d].type_name, k) == 0 && strcmp(word + k, "Tensor") == 0) break;
    }
    if (d == MT_DTYPES) return raise_text(L, "type", "invalid type: '%s'", name ? name : luaL_typename(L, 2));
    device = cuda ? (Device){MT_CUDA, (uint8_t)device_current()} : (Device){MT_CPU, 0};
  }
  return push_converted(L, "type", t, d, device);
}

static int m_type_as(lua_State *L) {
  SELF("type_as");
  Tensor *other = check_tensor(L, 2, "type_as");
  return push_converted(L, "type_as", t, (DType)other->dtype, tensor_device(other));
}

/* In-place forms of views: the tensor itself takes the view's geometry. */
static int reshape_self(lua_State *L) {
  const char *name = lua_tostring(L, lua_upvalueindex(2));
  SELF(name);
  int n = lua_gettop(L);
  if (grad_enabled() && tensor_wants_grad(t) && tensor_is_leaf(t->base ? t->base : t))
    return raise_text(L, name,
                      "a %sleaf Variable that requires grad is being used in an in-place operation. Use the form "
                      "without _",
                      t->base ? "view of a " : "");
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_pushvalue(L, 2);
  lua_insert(L, 1);
  lua_call(L, n, 1); /* the view; t stays below it */
  Tensor *view = to_tensor(L, -1);
  if (!view) return raise_text(L, name, "no view was made");
  Autograd *from = view->autograd, *to = t->autograd;
  tensor_set_data(t, view);
  if (from && from->grad_fn && (to = tensor_autograd(t))) {
    Node *old = to->grad_fn;
    to->grad_fn = node_retain(from->grad_fn);
    to->slot = from->slot;
    node_release(old);
  }
  if (failed()) return raise_failure(L, name);
  lua_settop(L, 1);
  return 1;
}

/* --- storage identity, for data that moves under a tensor (x.data = y, modules that change dtype) --- */

static int m_set_data(lua_State *L) {
  SELF("set_data");
  Tensor *other = check_tensor(L, 2, "set_data");
  if (t->requires_grad && !tensor_is_float(other))
    return raise_text(L, "set_data",
                      "data set to a tensor that requires gradients must be floating point dtype, not %s",
                      dtype_info[other->dtype].name);
  int64_t before = t->storage->bytes;
  tensor_set_data(t, other);
  if (t->storage->bytes > before) charge(L, t->storage->bytes - before);
  lua_settop(L, 1);
  return 1;
}

/* --- index and newindex of the metatable --- */

/* Upvalues: methods, properties. */
static int meta_index(lua_State *L) {
  if (lua_type(L, 2) != LUA_TSTRING) {
    check_tensor(L, 1, "index");
    return tensor_index_key(L);
  }
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
  lua_pop(L, 1);
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(2)) == LUA_TNIL)
    return raise_text(L, NULL, "'Tensor' object has no attribute '%s'", lua_tostring(L, 2));
  lua_CFunction getter = lua_tocfunction(L, -1);
  if (getter) {
    lua_settop(L, 2);
    return getter(L);
  }
  lua_pushvalue(L, 1); /* a property written in Lua */
  lua_call(L, 1, 1);
  return 1;
}

/* Upvalue 1: setters. */
static int meta_newindex(lua_State *L) {
  check_tensor(L, 1, "index");
  if (lua_type(L, 2) != LUA_TSTRING) return tensor_newindex_key(L);
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(1)) == LUA_TNIL)
    return raise_text(L, NULL, "attribute '%s' of 'Tensor' objects is not writable: grad, requires_grad and data are",
                      lua_tostring(L, 2));
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 3);
  lua_call(L, 2, 0);
  return 0;
}

static const luaL_Reg methods_list[] = {{"size", m_size},
                                        {"stride", m_stride},
                                        {"numel", m_numel},
                                        {"nelement", m_numel},
                                        {"storage_offset", m_offset},
                                        {"dim", get_ndim},
                                        {"ndimension", get_ndim},
                                        {"is_contiguous", m_is_contiguous},
                                        {"is_floating_point", m_is_float},
                                        {"is_signed", m_is_signed},
                                        {"data_ptr", m_data_ptr},
                                        {"element_size", get_itemsize},
                                        {"is_same_size", m_same_size},
                                        {"is_nonzero", m_is_nonzero},
                                        {"get_device", m_get_device},
                                        {"contiguous", m_contiguous},
                                        {"is", m_identity},
                                        {"to", m_to},
                                        {"cpu", m_cpu},
                                        {"pin_memory", m_pin_memory},
                                        {"is_pinned", m_is_pinned},
                                        {"_record_stream", m_record_stream},
                                        {"cuda", m_cuda},
                                        {"type", m_type},
                                        {"type_as", m_type_as},
                                        {"set_data", m_set_data},
                                        {NULL, NULL}};

static const luaL_Reg properties_list[] = {{"shape", get_shape},
                                           {"dtype", get_dtype},
                                           {"device", get_device},
                                           {"ndim", get_ndim},
                                           {"is_cuda", get_is_cuda},
                                           {"is_cpu", get_is_cpu},
                                           {"nbytes", get_nbytes},
                                           {"itemsize", get_itemsize},
                                           {"T", get_T},
                                           {"mT", get_mT},
                                           {"is_parameter", get_parameter},
                                           {"_version", get_version},
                                           {NULL, NULL}};

static const luaL_Reg functions_list[] = {{"numel", m_numel},
                                          {"is_floating_point", m_is_float},
                                          {"is_signed", m_is_signed},
                                          {"is_same_size", m_same_size},
                                          {"is_nonzero", m_is_nonzero},
                                          {"get_device", m_get_device},
                                          {NULL, NULL}};

static void set_all(lua_State *L, int table, const luaL_Reg *list) {
  lua_pushvalue(L, table);
  luaL_setfuncs(L, list, 0);
  lua_pop(L, 1);
}

void methods_open(lua_State *L, int core, int methods, int properties) {
  static const char *const views[] = {"transpose", "squeeze", "unsqueeze", "t", "swapaxes", "swapdims", "as_strided"};
  set_all(L, methods, methods_list);
  set_all(L, properties, properties_list);
  set_all(L, core, functions_list);
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "k");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &CONVERSIONS);
  lua_setfield(L, core, "_conversions");
  for (int d = 0; d < MT_DTYPES; d++) {
    lua_pushinteger(L, d);
    lua_pushcclosure(L, cast_method, 1);
    lua_setfield(L, methods, dtype_info[d].alias);
  }
  for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
    lua_getfield(L, methods, views[i]);
    const char *name = lua_pushfstring(L, "%s_", views[i]);
    lua_pushvalue(L, -1);
    lua_insert(L, -3); /* the name stays below while the closure is made */
    lua_pushcclosure(L, reshape_self, 2);
    lua_setfield(L, methods, name);
    lua_pop(L, 1);
  }
  lua_rawgetp(L, LUA_REGISTRYINDEX, &TENSOR_MARK);
  lua_pushvalue(L, methods);
  lua_pushvalue(L, properties);
  lua_pushcclosure(L, meta_index, 2);
  lua_setfield(L, -2, "__index");
  lua_getfield(L, core, "_setters");
  lua_pushcclosure(L, meta_newindex, 1);
  lua_setfield(L, -2, "__newindex");
  lua_pushcfunction(L, m_identity);
  lua_setfield(L, -2, "__eq");
  lua_pushcfunction(L, m_len);
  lua_setfield(L, -2, "__len");
  lua_pop(L, 1);
}
