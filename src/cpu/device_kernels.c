/* Kernels that every device has: the choice between the host's and a driver's. A tensor lies on a device only while its
 * driver is registered, so there is one. */
#include "cpu/device_kernels.h"
#include "tensor/core_api.h"

#define DEVICE_KERNEL_CHOICE(name, parameters, arguments, device)              \
  bool any_##name parameters {                                                 \
    Device where = device;                                                     \
    if (where.kind == MT_CPU) return cpu_##name arguments;                     \
    return device_registered((DeviceKind)where.kind)->kernels->name arguments; \
  }
DEVICE_KERNELS(DEVICE_KERNEL_CHOICE)

int device_kernels(void) { return (int)(sizeof(DeviceKernels) / sizeof(void (*)(void))); }
