/* Copies between tensors: contiguous, strided, cast, and transposed by tiles. */
#include "cpu/copy_tensor.h"
#include "cpu/copy.h"
#include "tensor/device.h"
#include "tensor/iter.h"
#include <string.h>

/* A transposed copy: the iterator runs along `to`, `from` runs along dim 1. Tiles keep both in cache. */
static bool transposed(const Iter *it, int size) {
  return it->ndim >= 2 && it->stride[0][0] == size && it->stride[1][0] != size && it->stride[1][1] == size &&
         it->shape[0] >= 8 && it->shape[1] >= 8;
}

static void copy_planes(const Iter *it, int size) {
  int64_t planes = 1;
  for (int d = 2; d < it->ndim; d++) planes *= it->shape[d];
  for (int64_t p = 0; p < planes; p++) {
    char *to = it->ptr[0], *from = it->ptr[1];
    int64_t rest = p;
    for (int d = 2; d < it->ndim; d++) {
      to += rest % it->shape[d] * it->stride[0][d];
      from += rest % it->shape[d] * it->stride[1][d];
      rest /= it->shape[d];
    }
    copy_transposed(to, it->stride[0][1], it->stride[0][0], from, it->stride[1][1], it->stride[1][0], it->shape[1],
                    it->shape[0], size);
  }
}

/* From the host to a device or back: what is packed on both sides passes, anything else is packed on its own side. */
static bool cross(Tensor *to, const Tensor *from) {
  bool up = tensor_device(to).kind != MT_CPU, plain = tensor_is_contiguous(to);
  Device device = tensor_device(up ? to : from);
  const DeviceDriver *driver = device_driver(device);
  if (!driver) return false;
  DType d = (DType)(plain ? to : from)->dtype;
  Tensor *source = NULL, *target = NULL;
  bool good = true;
  if (from->dtype != d || !tensor_same_shape(to, from) || !tensor_is_contiguous(from)) {
    good = (source = tensor_new(d, to->ndim, to->shape, tensor_device(from))) && tensor_copy_into(source, from);
  }
  if (good && !plain) good = (target = tensor_new(d, to->ndim, to->shape, tensor_device(to))) != NULL;
  if (good) {
    void *t = tensor_data(target ? target : to), *f = tensor_data(source ? source : from);
    int64_t bytes = to->numel * dtype_size(d);
    good = up ? driver->write(device.index, t, f, bytes) : driver->read(device.index, t, f, bytes);
  }
  if (good && target) good = tensor_copy_into(to, target);
  tensor_release(source);
  tensor_release(target);
  return good;
}

static bool copy_elsewhere(Tensor *to, const Tensor *from) {
  if (tensor_device(to).kind != tensor_device(from).kind) return cross(to, from);
  const DeviceDriver *driver = device_driver(tensor_device(to));
  return driver && driver->copy(to, from);
}

bool tensor_copy_into(Tensor *to, const Tensor *from) {
  int size = dtype_size((DType)to->dtype);
  if (to->numel == 0) return true;
  if (__builtin_expect(tensor_device(to).kind != MT_CPU || tensor_device(from).kind != MT_CPU, 0))
    return copy_elsewhere(to, from);
  if (to->dtype == from->dtype && to->numel < 4096 && tensor_same_shape(to, from) && tensor_is_contiguous(to) &&
      tensor_is_contiguous(from)) {
    memmove(tensor_data(to), tensor_data(from), (size_t)(to->numel * size));
    return true;
  }
  Iter it;
  iter_init(&it, to->ndim, to->shape, 2, (Tensor *[]){to, (Tensor *)from});
  if (to->dtype == from->dtype && transposed(&it, size)) {
    copy_planes(&it, size);
    return true;
  }
  iter_run(&it, cast_row((DType)from->dtype, (DType)to->dtype), NULL, 20);
  return true;
}

Tensor *tensor_cast(const Tensor *from, DType d) {
  Tensor *to = tensor_new(d, from->ndim, from->shape, tensor_device(from));
  if (to && !tensor_copy_into(to, from)) {
    tensor_release(to);
    return NULL;
  }
  return to;
}

bool tensor_fill(Tensor *to, Scalar value) {
  uint64_t element;
  if (tensor_device(to).kind != MT_CPU) {
    const DeviceDriver *driver = device_driver(tensor_device(to));
    return driver && (to->numel == 0 || driver->fill(to, value));
  }
  scalar_store(value, (DType)to->dtype, &element);
  Iter it;
  iter_init(&it, to->ndim, to->shape, 1, &to);
  iter_run(&it, fill_row(dtype_size((DType)to->dtype)), &element, 20);
  return true;
}
