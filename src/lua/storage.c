/* Storage under a tensor: giving it another size or other memory in place (resize_, resize_as_, set_).
 *
 * Such a call changes what the tensor is, not what it computes, so it is refused where a gradient is wanted. */
#include "lua/binding.h"
#include "base/size.h"
#include "tensor/shape.h"
#include <string.h>

/* The tensor becomes a part of `storage`, which grows when the part reaches beyond it. Takes effect only when nothing can
 * fail any more. */
static bool become(Tensor *t, Storage *storage, int64_t offset, int ndim, const int64_t *shape, const int64_t *stride) {
  int64_t numel, last = offset, step, bytes = 0;
  if (!shape_check(ndim, shape) || !size_product(shape, ndim, &numel)) return false;
  if (offset < 0) return fail(MT_EARG, "Tensor: invalid storage offset %lld", (long long)offset);
  for (int d = 0; d < ndim && numel > 0; d++) {
    if (stride[d] < 0)
      return fail(MT_EARG, "Negative strides are not supported at the moment, got strides: %s",
                  shape_text(ndim, stride));
    if (!size_mul(shape[d] - 1, stride[d], &step) || !size_add(last, step, &last)) return false;
  }
  if (numel > 0 && (!size_add(last, 1, &last) || !size_mul(last, dtype_size((DType)t->dtype), &bytes))) return false;
  int64_t held = storage->bytes;
  if (!storage_grow(storage, bytes)) return false;
  if (storage->bytes > held) storage_unwritten(storage, (DType)t->dtype, held);
  if (storage != t->storage) { /* no view of its old base any more */
    Tensor *base = t->base;
    Storage *old = t->storage;
    t->storage = storage_retain(storage);
    t->base = NULL;
    storage_release(old);
    tensor_release(base);
  } else {
    tensor_written(t);
  }
  t->offset = offset;
  t->numel = numel;
  t->ndim = (uint8_t)ndim;
  if (ndim > 0) memcpy(t->shape, shape, sizeof(int64_t) * (size_t)ndim);
  if (ndim > 0) memcpy(t->stride, stride, sizeof(int64_t) * (size_t)ndim);
  return true;
}

static int finish(lua_State *L, const char *name, Tensor *t, bool good, int64_t before) {
  if (!good) return raise_failure(L, name);
  if (t->storage->bytes > before) charge(L, t->storage->bytes - before);
  lua_settop(L, 1);
  return 1;
}

static int resize(lua_State *L, const char *name, Tensor *t, int ndim, const int64_t *shape) {
  int64_t stride[MT_MAX_DIMS], before = t->storage->bytes, numel;
  if (tensor_wants_grad(t)) return raise_text(L, name, "cannot resize variables that require grad: use detach() first");
  bool good = shape_check(ndim, shape) && size_product(shape, ndim, &numel);
  if (good && t->ndim == ndim && memcmp(t->shape, shape, sizeof(int64_t) * (size_t)ndim) == 0)
    memcpy(stride, t->stride, sizeof(int64_t) * (size_t)ndim); /* strides change with the size only */
  else if (good)
    shape_strides(ndim, shape, stride);
  return finish(L, name, t, good && become(t, t->storage, t->offset, ndim, shape, stride), before);
}

/* Sizes from a table at idx or from all slots up to `last`. */
static int read_sizes(lua_State *L, const char *name, int idx, int last, int64_t *shape) {
  int n = lua_istable(L, idx) ? (idx == last ? read_ints(L, idx, shape, MT_MAX_DIMS) : -1) : 0;
  if (!lua_istable(L, idx))
    for (int i = idx; i <= last && n >= 0; i++) n = n < MT_MAX_DIMS && read_integer(L, i, &shape[n]) ? n + 1 : -1;
  if (n < 0)
    raise_text(L, name, "argument 'size' (position 2) must be up to %d integers, or a list of them", MT_MAX_DIMS);
  return n;
}

/* x:resize_(size...), {memory_format =} is taken and changes nothing */
static int m_resize(lua_State *L) {
  static const char *const known[] = {"size", "memory_format", NULL};
  Tensor *t = check_tensor(L, 1, "resize_");
  int64_t shape[MT_MAX_DIMS];
  int last = lua_gettop(L);
  if (last > 1 && is_keywords(L, last)) {
    check_keys(L, last, "resize_", known);
    lua_getfield(L, last, "size");
    bool named = !lua_isnil(L, -1);
    if (named && last > 2) return raise_text(L, "resize_", "got multiple values for argument 'size'");
    if (named)
      lua_replace(L, last);
    else
      lua_settop(L, --last);
  }
  if (last < 2) return raise_text(L, "resize_", "missing 1 required positional arguments: \"size\"");
  int n = read_sizes(L, "resize_", 2, last, shape);
  return resize(L, "resize_", t, n, shape);
}

static int m_resize_as(lua_State *L) {
  Tensor *t = check_tensor(L, 1, "resize_as_"), *other = check_tensor(L, 2, "resize_as_");
  int64_t shape[MT_MAX_DIMS];
  memcpy(shape, other->shape, sizeof(int64_t) * other->ndim); /* other may be t */
  return resize(L, "resize_as_", t, other->ndim, shape);
}

/* core._set(t, source, any_dtype, offset, sizes, strides): t becomes that part of source's storage; without sizes all of
 * source as it lies, without strides contiguous. */
static int f_set(lua_State *L) {
  Tensor *t = check_tensor(L, 1, "set_"), *source = check_tensor(L, 2, "set_");
  int64_t offset = source->offset, shape[MT_MAX_DIMS], stride[MT_MAX_DIMS], before = t->storage->bytes, numel;
  int ndim = source->ndim;
  if (tensor_wants_grad(t))
    return raise_text(L, "set_",
                      "a leaf Variable that requires grad is being used in an in-place operation: use detach() first");
  if (!lua_toboolean(L, 3) && t->dtype != source->dtype)
    return raise_text(L, "set_", "Could not set tensor of type %s to a tensor of type %s",
                      dtype_info[source->dtype].name, dtype_info[t->dtype].name);
  if (tensor_device(t).kind != tensor_device(source).kind)
    return raise_text(L, "set_",
                      "Attempted to set the storage of a tensor on device \"%s\" to a storage on different "
                      "device \"%s\"",
                      device_text(tensor_device(t)), device_text(tensor_device(source)));
  memcpy(shape, source->shape, sizeof(int64_t) * source->ndim);
  memcpy(stride, source->stride, sizeof(int64_t) * source->ndim);
  if (!lua_isnoneornil(L, 4) && !read_integer(L, 4, &offset))
    return raise_text(L, "set_", "argument 'storage_offset' must be an integer, not %s", type_found(L, 4));
  if (!lua_isnoneornil(L, 5)) {
    ndim = read_ints(L, 5, shape, MT_MAX_DIMS);
    if (ndim < 0) return raise_text(L, "set_", "argument 'size' must be a list of up to %d integers", MT_MAX_DIMS);
    int strides = lua_isnoneornil(L, 6) ? 0 : read_ints(L, 6, stride, MT_MAX_DIMS);
    if (!shape_check(ndim, shape) || !size_product(shape, ndim, &numel)) return raise_failure(L, "set_");
    if (strides == 0) {
      shape_strides(ndim, shape, stride);
    } else if (strides != ndim) {
      return raise_text(L, "set_", "mismatch in length of strides and shape: %d strides for %s", strides,
                        shape_text(ndim, shape));
    }
  }
  return finish(L, "set_", t, become(t, source->storage, offset, ndim, shape, stride), before);
}

/* core._storage_bytes(t): size of the memory that t is a part of. */
static int f_storage_bytes(lua_State *L) {
  return lua_pushinteger(L, check_tensor(L, 1, "storage")->storage->bytes), 1;
}

void storage_open(lua_State *L, int core, int methods) {
  static const luaL_Reg of_methods[] = {{"resize_", m_resize}, {"resize_as_", m_resize_as}, {NULL, NULL}};
  static const luaL_Reg of_core[] = {{"_set", f_set}, {"_storage_bytes", f_storage_bytes}, {NULL, NULL}};
  lua_pushvalue(L, methods);
  luaL_setfuncs(L, of_methods, 0);
  lua_pop(L, 1);
  lua_pushvalue(L, core);
  luaL_setfuncs(L, of_core, 0);
  lua_pop(L, 1);
}
