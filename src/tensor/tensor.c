/* Tensor: construction, lifetime and geometry of strided views. */
#include "tensor/tensor.h"
#include "base/alloc.h"
#include "base/size.h"
#include "tensor/device.h"
#include "tensor/shape.h"
#include <stdio.h>
#include <string.h>

void (*autograd_release)(struct Autograd *autograd);
void (*storage_watcher)(const Storage *);
atomic_int watch_writes;

/* A header without storage; the caller sets storage, offset and strides. */
static Tensor *header_new(DType dtype, int ndim, const int64_t *shape) {
  int64_t numel;
  if (!size_product(shape, ndim, &numel)) return NULL;
  Tensor *t = slab_alloc(SLAB_TENSOR, sizeof *t);
  if (!t) return NULL;
  memset(t, 0, offsetof(Tensor, shape));
  t->refs = 1;
  t->dtype = (uint8_t)dtype;
  t->ndim = (uint8_t)ndim;
  t->numel = numel;
  for (int d = 0; d < ndim; d++) t->shape[d] = shape[d];
  return t;
}

Tensor *tensor_new(DType dtype, int ndim, const int64_t *shape, Device device) {
  if ((unsigned)ndim > MT_MAX_DIMS && !shape_check(ndim, shape)) return NULL; /* sizes are looked at when multiplied */
  Tensor *t = header_new(dtype, ndim, shape);
  if (!t) return NULL;
  shape_strides(ndim, shape, t->stride);
  int64_t bytes;
  if (size_mul(t->numel, dtype_size(dtype), &bytes)) t->storage = storage_new(bytes, device);
  if (!t->storage) {
    slab_free(SLAB_TENSOR, t, sizeof *t);
    return NULL;
  }
  return t;
}

Tensor *tensor_view(Storage *storage, DType dtype, int64_t offset, int ndim, const int64_t *shape,
                    const int64_t *stride) {
  if (!shape_check(ndim, shape)) return NULL;
  int64_t numel, last = offset, room = storage->bytes / dtype_size(dtype);
  if (!size_product(shape, ndim, &numel)) return NULL;
  for (int d = 0; d < ndim; d++) {
    int64_t reach;
    if (stride[d] < 0) {
      fail(MT_EARG, "as_strided: Negative strides are not supported at the moment, got strides: %s",
           shape_text(ndim, stride));
      return NULL;
    }
    if (numel > 0 && (!size_mul(shape[d] - 1, stride[d], &reach) || !size_add(last, reach, &last))) return NULL;
  }
  if (offset < 0 || (numel > 0 && last >= room)) {
    int64_t wanted = INT64_MAX; /* where it overflows */
    if (last < INT64_MAX / dtype_size(dtype)) wanted = (last + 1) * dtype_size(dtype);
    fail(MT_EARG,
         "setStorage: sizes %s, strides %s, storage offset %lld, and itemsize %d requiring a storage size of %lld are "
         "out of bounds for storage of size %lld",
         shape_text(ndim, shape), shape_text(ndim, stride), (long long)offset, dtype_size(dtype), (long long)wanted,
         (long long)storage->bytes);
    return NULL;
  }
  Tensor *t = header_new(dtype, ndim, shape);
  if (!t) return NULL;
  for (int d = 0; d < ndim; d++) t->stride[d] = stride[d];
  t->offset = offset;
  t->storage = storage_retain(storage);
  return t;
}

Tensor *tensor_alias(const Tensor *t) {
  Tensor *a = slab_alloc(SLAB_TENSOR, sizeof *a);
  if (!a) return NULL;
  memcpy(a, t, offsetof(Tensor, shape));
  memcpy(a->shape, t->shape, sizeof(int64_t) * t->ndim);
  memcpy(a->stride, t->stride, sizeof(int64_t) * t->ndim);
  a->refs = 1;
  a->requires_grad = a->is_parameter = a->converted = false;
  a->autograd = NULL;
  a->base = NULL;
  storage_retain(a->storage);
  return a;
}

Tensor *tensor_from_scalar(Scalar s) {
  DType dtype = s.category == CAT_FLOAT ? MT_F64 : s.category == CAT_INT ? MT_I64 : MT_BOOL;
  Tensor *t = tensor_new(dtype, 0, NULL, (Device){MT_CPU, 0});
  if (!t) return NULL;
  scalar_store(s, dtype, t->storage->data);
  t->is_scalar = true;
  return t;
}

void tensor_destroy(Tensor *t) {
  if (t->autograd) autograd_release(t->autograd);
  tensor_release(t->base);
  storage_release(t->storage);
  slab_free(SLAB_TENSOR, t, sizeof *t);
}

void tensor_set_data(Tensor *t, const Tensor *other) {
  Storage *old = t->storage;
  t->storage = storage_retain(other->storage);
  t->dtype = other->dtype;
  t->ndim = other->ndim;
  t->offset = other->offset;
  t->numel = other->numel;
  memmove(t->shape, other->shape, sizeof(int64_t) * other->ndim);
  memmove(t->stride, other->stride, sizeof(int64_t) * other->ndim);
  storage_release(old);
}

bool tensor_is_contiguous(const Tensor *t) {
  int64_t expected = 1;
  if (t->numel == 0) return true;
  for (int d = t->ndim - 1; d >= 0; d--) {
    if (t->shape[d] == 1) continue;
    if (t->stride[d] != expected) return false;
    expected *= t->shape[d];
  }
  return true;
}

bool tensor_overlaps(const Tensor *t) {
  if (t->numel < 2) return false;
  for (int d = 0; d < t->ndim; d++)
    if (t->stride[d] == 0 && t->shape[d] > 1) return true;
  return false;
}

bool tensor_same_shape(const Tensor *a, const Tensor *b) {
  return a->ndim == b->ndim && memcmp(a->shape, b->shape, sizeof(int64_t) * a->ndim) == 0;
}

Scalar tensor_scalar(const Tensor *t) {
  uint64_t element = 0;
  if (__builtin_expect(t->storage->device.kind == MT_CPU, 1)) return scalar_load((DType)t->dtype, tensor_data(t));
  const DeviceDriver *driver = device_driver(tensor_device(t));
  if (driver)
    driver->move((Device){MT_CPU, 0}, &element, tensor_device(t), tensor_data(t), dtype_size((DType)t->dtype), NULL);
  return scalar_load((DType)t->dtype, &element);
}

const char *shape_text(int ndim, const int64_t *shape) {
  char line[400];
  size_t used = 0;
  line[0] = 0;
  for (int d = 0; d < ndim && used < sizeof line - 32; d++)
    used += (size_t)snprintf(line + used, sizeof line - used, d ? ", %lld" : "%lld", (long long)shape[d]);
  return text("[%s]", line);
}

const char *tensor_text(const Tensor *t) {
  return text("%s %s on %s", dtype_info[t->dtype].name, shape_text(t->ndim, t->shape), device_text(t->storage->device));
}
