/* Devices besides the host: what the core asks of the module that drives them.
 *
 * A driver is registered once, by a shared object that is loaded when a script first speaks of such a device; until then
 * every use of the device fails and says what is missing. Its functions return false or NULL after fail(). */
#ifndef MT_DEVICE_H
#define MT_DEVICE_H
#include "tensor/tensor.h"

struct OpCall;
struct PointwiseContext;
struct DeviceKernels;

typedef struct DeviceDriver {
  int devices;
  /* Memory of one device, 256-byte aligned, uninitialised, and its owner, for release. */
  void *(*allocate)(int index, int64_t bytes, void **owner);
  void (*release)(void *owner, void *data, int64_t bytes);
  /* Bytes that tensors hold on all devices, and that the smallest one in use has; cheap. */
  int64_t (*in_use)(int64_t *capacity);
  /* Memory of the host that the devices reach by themselves. */
  void *(*allocate_pinned)(int64_t bytes, void **owner);
  void (*release_pinned)(void *owner, void *data, int64_t bytes);
  /* Bytes from one device to another; one of them may be the host. Comes after all that this thread launched before on
   * either. With the host it says what went wrong there, and waits until the bytes may be used on both sides; unless
   * `host` is the storage on the host's side and pinned: then the bytes pass when the device comes to it. */
  bool (*move)(Device to_device, void *to, Device from_device, const void *from, int64_t bytes, const Storage *host);
  /* Stream `number` of device `index` uses the storage: it waits for that stream when it is given back. */
  bool (*record_stream)(const Storage *s, int index, int number);
  /* Between tensors on one device, any layout and dtype. */
  bool (*copy)(Tensor *to, const Tensor *from);
  bool (*fill)(Tensor *to, Scalar value);
  /* A formula of cpu/formula_ids.h, as any_pointwise_with. */
  bool (*pointwise)(struct OpCall *call, int formula, const struct PointwiseContext *context);
  /* What else operators need: cpu/device_kernels.h. */
  const struct DeviceKernels *kernels;
} DeviceDriver;

/* What drives devices of that kind and index; NULL and a failure that says what is missing. The host has none. */
const DeviceDriver *device_driver(Device d);
/* The same for a kind, without a failure. */
const DeviceDriver *device_registered(DeviceKind kind);
/* `driver` lives on. NULL takes the driver away (tests). */
void device_register(DeviceKind kind, const DeviceDriver *driver);
/* The device of a kind that this thread means when it names none; 0 at first. */
int device_current(void);
void device_set_current(int index);
/* Why there is none, for the message; `reason` lives on. */
void device_missing(const char *reason);
/* What scripts set for the libraries of a device (torch.backends); of the process, read at each call. */
typedef struct DeviceModes {
  bool matmul_tf32, fp16_reduction, bf16_reduction; /* products: float32 through TF32; sums in parts of 16 bits */
  bool cudnn, cudnn_tf32, cudnn_benchmark, cudnn_deterministic;
} DeviceModes;
DeviceModes *device_modes(void);
/* A driver's kernel has no way for this case, and has written nothing: the call goes through the host. Returns false. */
static inline bool left_to_host(void) { return fail(MT_ENODEVICE, "a kernel left the call to the host"); }
#endif
