/* Devices besides the host: the registered drivers. */
#include "tensor/device.h"

static _Atomic(const DeviceDriver *) registered[MT_DEVICES];
static _Atomic(const char *) missing;
static _Thread_local int current;

int device_current(void) { return current; }
void device_set_current(int index) { current = index; }

const DeviceDriver *device_registered(DeviceKind kind) { return atomic_load(&registered[kind]); }
void device_register(DeviceKind kind, const DeviceDriver *driver) { atomic_store(&registered[kind], driver); }
void device_missing(const char *reason) { atomic_store(&missing, reason); }

DeviceModes *device_modes(void) {
  static DeviceModes modes = {.fp16_reduction = true, .bf16_reduction = true, .cudnn = true, .cudnn_tf32 = true};
  return &modes;
}

const DeviceDriver *device_driver(Device d) {
  const DeviceDriver *driver = device_registered((DeviceKind)d.kind);
  const char *reason = atomic_load(&missing);
  if (driver && d.index < driver->devices) return driver;
  if (driver)
    fail(MT_ERUNTIME,
         "CUDA error: invalid device ordinal: there is no %s, this machine has %d device%s, counted from 0: "
         "torch.cuda.device_count()",
         device_text(d), driver->devices, driver->devices == 1 ? "" : "s");
  else if (reason)
    fail(MT_ERUNTIME, "%s", reason);
  else
    fail(MT_ERUNTIME, "Torch not compiled with CUDA enabled: moontorch/cuda.so is not installed. "
                      "Install the moontorch-cuda rock, or keep the tensor on the cpu");
  return NULL;
}
