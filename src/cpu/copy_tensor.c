/* Copies between tensors: contiguous, strided, cast, and and transposed. */
#include "cpu/copy_tensor.h"
#include "base/pool.h"
#include "cpu/copy.h"
#include "cpu/stream.h"
#include "tensor/device.h"
#include "tensor/iter.h"
#include <string.h>

enum { GRAIN = 32768, SHARE = 131072 }; /* elements, and bytes, that are worth a thread */

/* A transposed copy: the iterator runs along `to`, `from` runs along dim 1. */
static bool transposed(const Iter *it, int size) {
  int64_t step = it->stride[1][0];
  return it->ndim >= 2 && it->stride[0][0] == size && step != size && step != 0 && it->stride[1][1] == size &&
         it->shape[0] >= 8 && it->shape[1] >= 8;
}

typedef struct {
  const Iter *it;
  int size;
  bool past;
  int64_t band, bands; /* columns of a band; bands of each plane */
} Planes;

/* Bands of columns, which are lines of the source. */
static void copy_bands(void *context, int64_t begin, int64_t end) {
  const Planes *p = context;
  const Iter *it = p->it;
  for (int64_t b = begin; b < end; b++) {
    char *to = it->ptr[0], *from = it->ptr[1];
    int64_t rest = b / p->bands, first = b % p->bands * p->band, cols = it->shape[0] - first;
    for (int d = 2; d < it->ndim; d++) {
      to += rest % it->shape[d] * it->stride[0][d];
      from += rest % it->shape[d] * it->stride[1][d];
      rest /= it->shape[d];
    }
    copy_transposed(to + first * p->size, it->stride[0][1], from + first * it->stride[1][0], it->stride[1][0],
                    it->shape[1], cols < p->band ? cols : p->band, p->size, p->past);
  }
}

static void copy_planes(const Iter *it, int size, bool past) {
  Planes p = {it, size, past, transposed_band(it->shape[1], it->shape[0], size), 0};
  int64_t planes = 1, each = it->shape[1] * (it->shape[0] < p.band ? it->shape[0] : p.band);
  p.bands = (it->shape[0] + p.band - 1) / p.band;
  for (int d = 2; d < it->ndim; d++) planes *= it->shape[d];
  parallel_for(planes * p.bands, each < GRAIN ? GRAIN / each : 1, copy_bands, &p);
}

/* Many short rows that are packed on both sides. */
typedef struct {
  const Iter *it;
  int64_t bytes;
} Rows;

static void copy_rows(void *context, int64_t begin, int64_t end) {
  const Iter *it = ((const Rows *)context)->it;
  const int64_t bytes = ((const Rows *)context)->bytes, to_step = it->stride[0][1], from_step = it->stride[1][1];
  for (int64_t at = begin; at < end;) {
    int64_t first = at % it->shape[1], rest = at / it->shape[1], rows = it->shape[1] - first;
    char *to = it->ptr[0] + first * to_step, *from = it->ptr[1] + first * from_step;
    for (int d = 2; d < it->ndim; d++) {
      to += rest % it->shape[d] * it->stride[0][d];
      from += rest % it->shape[d] * it->stride[1][d];
      rest /= it->shape[d];
    }
    if (rows > end - at) rows = end - at;
    for (int64_t r = 0; r < rows; r++) copy_few(to + r * to_step, from + r * from_step, bytes);
    at += rows;
  }
}

/* Rows of very few elements: column by column instead, some rows at a time that stay in cache. */
enum { NARROW = 8, TOGETHER = 512 };
static void copy_narrow(void *context, int64_t begin, int64_t end) {
  const Iter *it = ((const Rows *)context)->it;
  const int size = (int)((const Rows *)context)->bytes;
  for (int64_t at = begin; at < end;) {
    int64_t first = at % it->shape[1], rest = at / it->shape[1], rows = it->shape[1] - first;
    char *to = it->ptr[0] + first * it->stride[0][1], *from = it->ptr[1] + first * it->stride[1][1];
    for (int d = 2; d < it->ndim; d++) {
      to += rest % it->shape[d] * it->stride[0][d];
      from += rest % it->shape[d] * it->stride[1][d];
      rest /= it->shape[d];
    }
    if (rows > end - at) rows = end - at;
    if (rows > TOGETHER) rows = TOGETHER;
    for (int64_t k = 0; k < it->shape[0]; k++)
      copy_strided(to + k * it->stride[0][0], it->stride[0][1], from + k * it->stride[1][0], it->stride[1][1], rows,
                   size);
    at += rows;
  }
}

/* From one device to another: what is packed on both sides passes, anything else is packed on its own side. */
static bool cross(Tensor *to, const Tensor *from, bool wait) {
  bool plain = tensor_is_contiguous(to);
  const DeviceDriver *driver = device_driver(tensor_device(tensor_device(to).kind == MT_CPU ? from : to));
  if (!driver) return false;
  DType d = (DType)(plain ? to : from)->dtype;
  Tensor *source = NULL, *target = NULL;
  const Storage *host = tensor_device(to).kind == MT_CPU ? to->storage : from->storage;
  bool good = true;
  if (from->dtype != d || !tensor_same_shape(to, from) || !tensor_is_contiguous(from))
    good = (source = tensor_new(d, to->ndim, to->shape, tensor_device(from))) && tensor_copy_into(source, from);
  if (good && !plain) good = (target = tensor_new(d, to->ndim, to->shape, tensor_device(to))) != NULL;
  wait = wait ||
         (tensor_device(to).kind == MT_CPU ? target : source) != NULL; /* what is packed on the host goes at once */
  if (good)
    good = driver->move(tensor_device(to), tensor_data(target ? target : to), tensor_device(from),
                        tensor_data(source ? source : from), to->numel * dtype_size(d), wait ? NULL : host);
  if (good && target) good = tensor_copy_into(to, target);
  tensor_release(source);
  tensor_release(target);
  return good;
}

static bool copy_elsewhere(Tensor *to, const Tensor *from, bool wait) {
  Device a = tensor_device(to), b = tensor_device(from);
  if (a.kind != b.kind || a.index != b.index) return cross(to, from, wait);
  const DeviceDriver *driver = device_driver(tensor_device(to));
  return driver && driver->copy(to, from);
}

bool tensor_copy_into(Tensor *to, const Tensor *from) {
  int size = dtype_size((DType)to->dtype);
  if (to->numel == 0) return true;
  if (__builtin_expect(tensor_device(to).kind != MT_CPU || tensor_device(from).kind != MT_CPU, 0))
    return copy_elsewhere(to, from, true);
  if (to->dtype == from->dtype && to->numel < 4096 && tensor_same_shape(to, from) && tensor_is_contiguous(to) &&
      tensor_is_contiguous(from)) {
    memmove(tensor_data(to), tensor_data(from), (size_t)(to->numel * size));
    return true;
  }
  Iter it;
  iter_init(&it, to->ndim, to->shape, 2, (Tensor *[]){to, (Tensor *)from});
  bool past = stream_pays(tensor_bytes(to)) && from->storage != to->storage;
  if (to->dtype == from->dtype && transposed(&it, size)) {
    copy_planes(&it, size, tensor_bytes(to) >= 8 << 20);
    return true;
  }
  int64_t bytes = it.shape[0] * size;
  if (to->dtype == from->dtype && !past && it.ndim > 1 && bytes <= FEW_BYTES && it.stride[0][0] == size &&
      it.stride[1][0] == size && from->storage != to->storage) {
    Rows rows = {&it, bytes};
    parallel_for(to->numel / it.shape[0], SHARE / bytes, copy_rows, &rows);
    return true;
  }
  if (to->dtype == from->dtype && it.ndim > 1 && it.shape[0] <= NARROW && it.shape[1] >= 2 * it.shape[0] &&
      from->storage != to->storage) {
    Rows rows = {&it, size};
    parallel_for(to->numel / it.shape[0], SHARE / bytes, copy_narrow, &rows);
    return true;
  }
  RowFn row = cast_row((DType)from->dtype, (DType)to->dtype);
  if (!past) {
    iter_run(&it, row, NULL, 20);
  } else if (to->dtype == from->dtype) {
    iter_run(&it, stream_copy_row(size), NULL, 20);
  } else {
    Streamed cast = {row, NULL, size, 2};
    iter_run(&it, stream_row, &cast, 20);
  }
  return true;
}

bool tensor_copy_async(Tensor *to, const Tensor *from) {
  if (tensor_device(to).kind == MT_CPU && tensor_device(from).kind == MT_CPU) return tensor_copy_into(to, from);
  return to->numel == 0 || copy_elsewhere(to, from, false);
}

Tensor *tensor_copy(const Tensor *from, DType d, Device device) {
  Tensor *to = tensor_new(d, from->ndim, from->shape, device);
  if (to && !tensor_copy_into(to, from)) {
    tensor_release(to);
    return NULL;
  }
  return to;
}

Tensor *tensor_cast(const Tensor *from, DType d) { return tensor_copy(from, d, tensor_device(from)); }

bool tensor_fill(Tensor *to, Scalar value) {
  uint64_t element;
  if (tensor_device(to).kind != MT_CPU) {
    const DeviceDriver *driver = device_driver(tensor_device(to));
    return driver && (to->numel == 0 || driver->fill(to, value));
  }
  scalar_store(value, (DType)to->dtype, &element);
  Iter it;
  iter_init(&it, to->ndim, to->shape, 1, &to);
  int size = dtype_size((DType)to->dtype);
  iter_run(&it, stream_pays(tensor_bytes(to)) ? stream_fill_row(size) : fill_row(size), &element, 20);
  return true;
}
