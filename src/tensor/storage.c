/* Storage: who owns memory and who gives it back. */
#include "base/alloc.h"
#include "base/isa.h"
#include "tensor/device.h"
#include <math.h>
#include <string.h>

/* So few bytes lie in one slab with their storage, so far from its start. Under a sanitizer the slab ends with them. */
enum { SMALL_AT = 64, SMALL_MOST = 64 };
_Static_assert(sizeof(Storage) <= SMALL_AT, "the bytes follow the storage");

/* small: Storage.small. */
static size_t slab_bytes(int small) { return SMALL_AT + (size_t)(CACHING ? SMALL_MOST : small - 1); }
/* Until it grows. A block of its own may happen to lie right behind a storage that is alone. */
static bool is_inside(const Storage *s) { return s->small && s->data == (const char *)s + SMALL_AT; }

static void set(Storage *s, void *data, int64_t bytes, Device device) {
  atomic_init(&s->refs, 1);
  s->version = 0;
  atomic_init(&s->saved, 0);
  s->device = device;
  s->uninitialised = false;
  s->small = 0;
  s->data = data;
  s->bytes = bytes;
  s->release = NULL;
  s->owner = NULL;
}

Storage *storage_wrap(void *data, int64_t bytes, Device device, void (*release)(void *, void *, int64_t), void *owner) {
  Storage *s = slab_alloc(SLAB_STORAGE, sizeof *s);
  if (!s) return NULL;
  set(s, data, bytes, device);
  s->release = release;
  s->owner = owner;
  return s;
}

static Storage *storage_on(int64_t bytes, Device device) {
  const DeviceDriver *driver = device_driver(device);
  void *owner = NULL, *data = driver ? driver->allocate(device.index, bytes, &owner) : NULL;
  if (!data) return NULL;
  Storage *s = storage_wrap(data, bytes, device, driver->release, owner);
  if (!s) driver->release(owner, data, bytes);
  return s;
}

Storage *storage_pinned(int64_t bytes) {
  const DeviceDriver *driver = device_driver((Device){MT_CUDA, (uint8_t)device_current()});
  void *owner = NULL, *data = driver ? driver->allocate_pinned(bytes, &owner) : NULL;
  if (!data) return NULL;
  Storage *s = storage_wrap(data, bytes, (Device){MT_CPU, 0}, driver->release_pinned, owner);
  if (!s) driver->release_pinned(owner, data, bytes);
  return s;
}

bool storage_is_pinned(const Storage *s) {
  const DeviceDriver *driver = device_registered(MT_CUDA);
  return driver && s->release && s->release == driver->release_pinned;
}

Storage *storage_new(int64_t bytes, Device device) {
  if (device.kind != MT_CPU) return storage_on(bytes, device);
  if (bytes <= SMALL_MOST) {
    int small = (int)bytes + 1;
    Storage *s = slab_alloc(SLAB_SMALL, slab_bytes(small));
    if (!s) return NULL;
    set(s, (char *)s + SMALL_AT, bytes, device);
    s->small = (uint8_t)small;
    return s;
  }
  void *data = block_alloc((size_t)bytes);
  if (!data) return NULL;
  Storage *s = storage_wrap(data, bytes, device, NULL, NULL);
  if (!s) block_free(data, (size_t)bytes);
  return s;
}

bool storage_grow(Storage *s, int64_t bytes) {
  if (bytes <= s->bytes) return true;
  if (s->release || s->device.kind != MT_CPU)
    return fail(MT_ERUNTIME, "Trying to resize storage that is not resizable");
  void *data = block_alloc((size_t)bytes);
  if (!data) return false;
  memcpy(data, s->data, (size_t)s->bytes);
  if (!is_inside(s)) block_free(s->data, (size_t)s->bytes);
  s->data = data;
  s->bytes = bytes;
  return true;
}

static int64_t largest(DType dtype) { return dtype == MT_U8 ? UINT8_MAX : INT64_MAX >> (64 - 8 * dtype_size(dtype)); }

void storage_unwritten(Storage *s, DType dtype, int64_t from) {
  Deterministic now = deterministic();
  if (!now.on || !now.fill || s->device.kind != MT_CPU) return;
  uint64_t element;
  int64_t size = dtype_size(dtype);
  scalar_store(dtype_is_float(dtype) ? scalar_float((double)NAN) : scalar_int(dtype == MT_BOOL ? 1 : largest(dtype)),
               dtype, &element);
  for (; from + size <= s->bytes; from += size) memcpy((char *)s->data + from, &element, (size_t)size);
}

void storage_keep(void *owner, void *data, int64_t bytes) {
  (void)owner;
  (void)data;
  (void)bytes;
}

void storage_release(Storage *s) {
  if (!s) return;
  /* a sole owner cannot be joined by another: no need to count down with a locked instruction */
  bool last = atomic_load_explicit(&s->refs, memory_order_acquire) == 1;
  if (!last && atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1) return;
  if (s->release)
    s->release(s->owner, s->data, s->bytes);
  else if (!is_inside(s))
    block_free(s->data, (size_t)s->bytes);
  if (s->small)
    slab_free(SLAB_SMALL, s, slab_bytes(s->small));
  else
    slab_free(SLAB_STORAGE, s, sizeof *s);
}

const char *device_text(Device d) { return d.kind == MT_CPU ? "cpu" : text("cuda:%d", d.index); }
