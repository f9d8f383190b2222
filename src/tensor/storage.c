/* Storage: who owns memory and who gives it back. */
#include "base/alloc.h"
#include "tensor/device.h"
#include <string.h>

Storage *storage_wrap(void *data, int64_t bytes, Device device, void (*release)(void *, void *, int64_t), void *owner) {
  Storage *s = slab_alloc(SLAB_STORAGE, sizeof *s);
  if (!s) return NULL;
  atomic_init(&s->refs, 1);
  s->version = 0;
  atomic_init(&s->saved, 0);
  s->device = device;
  s->uninitialised = false;
  s->data = data;
  s->bytes = bytes;
  s->release = release;
  s->owner = owner;
  return s;
}

/* The driver's memory: `owner` says where it lies. */
static void release_device(void *owner, void *data, int64_t bytes) {
  int index = (int)(intptr_t)owner - 1;
  const DeviceDriver *driver = device_registered(MT_CUDA);
  if (driver) driver->release(index, data, bytes);
}

static Storage *storage_on(int64_t bytes, Device device) {
  const DeviceDriver *driver = device_driver(device);
  void *data = driver ? driver->allocate(device.index, bytes) : NULL;
  if (!data) return NULL;
  Storage *s = storage_wrap(data, bytes, device, release_device, (void *)(intptr_t)(device.index + 1));
  if (!s) driver->release(device.index, data, bytes);
  return s;
}

Storage *storage_new(int64_t bytes, Device device) {
  if (device.kind != MT_CPU) return storage_on(bytes, device);
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
  block_free(s->data, (size_t)s->bytes);
  s->data = data;
  s->bytes = bytes;
  return true;
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
  else
    block_free(s->data, (size_t)s->bytes);
  slab_free(SLAB_STORAGE, s, sizeof *s);
}

const char *device_text(Device d) { return d.kind == MT_CPU ? "cpu" : text("cuda:%d", d.index); }
