/* Devices: finding them, the current one, errors, waiting, and copies between devices and the host.
 *
 * Every call of the runtime goes through driver_check, so that an error is a failure of the call that met it. A device is
 * chosen for each piece of work, since threads of a host share this object and the runtime's choice is a thread's. */
#include "cuda/driver.h"

static int devices;
int driver_sync_mode = SYNC_QUIET;

/* After these a process cannot use the device any more. */
static bool is_lost(cudaError_t error) {
  switch (error) {
  case cudaErrorIllegalAddress:
  case cudaErrorLaunchFailure:
  case cudaErrorAssert:
  case cudaErrorHardwareStackError:
  case cudaErrorIllegalInstruction:
  case cudaErrorMisalignedAddress:
  case cudaErrorContextIsDestroyed:
  case cudaErrorDevicesUnavailable:
  case cudaErrorECCUncorrectable: return true;
  default: return false;
  }
}

bool driver_check(cudaError_t error, const char *what) {
  if (error == cudaSuccess) return true;
  cudaGetLastError(); /* the runtime forgets it: it is told here */
  if (error == cudaErrorMemoryAllocation) return fail(MT_ENOMEM, "CUDA out of memory: %s", what);
  return fail(MT_ERUNTIME, "CUDA error: %s (%s, in %s)%s", cudaGetErrorString(error), cudaGetErrorName(error), what,
              is_lost(error)
                  ? ". This process can use the device no more: tensors on the cpu are whole, so save what is "
                    "there and start it again"
                  : "");
}

bool driver_launched(int error, const char *what) {
  return error < 0 ? left_to_host() : driver_check((cudaError_t)error, what);
}

bool driver_use(int index) {
  int current = -1;
  if (cudaGetDevice(&current) == cudaSuccess) {
    if (current == index) return true;
  } else {
    cudaGetLastError(); /* or the next launch would be taken to have failed */
  }
  return driver_check(cudaSetDevice(index), "cudaSetDevice");
}

int driver_devices(void) { return devices; }

/* May this thread wait now? `spoken`: a call that the sync debug mode speaks of. */
static bool may_wait(bool spoken) {
  if (capturing_here()) {
    capture_spoil();
    return driver_check(cudaErrorStreamCaptureUnsupported, "a call that waits for the device");
  }
  if (!spoken || driver_sync_mode == SYNC_QUIET) return true;
  if (driver_sync_mode == SYNC_FAILS) return fail(MT_ERUNTIME, "called a synchronizing CUDA operation");
  host_warn("called a synchronizing CUDA operation");
  return true;
}

/* The host has waited for work of the device, and the runtime says how that went. */
static bool waited(int index, cudaError_t error, const char *what) {
  return driver_check(error, what) && fault_check(index);
}

bool driver_settle_stream(int index, cudaStream_t stream) {
  return may_wait(true) && driver_use(index) && waited(index, cudaStreamSynchronize(stream), "cudaStreamSynchronize");
}
bool driver_settle(int index) { return driver_settle_stream(index, driver_stream(index)); }
bool driver_settle_device(int index) {
  optim_flush();
  return may_wait(false) && driver_use(index) && waited(index, cudaDeviceSynchronize(), "cudaDeviceSynchronize");
}
bool driver_settle_event(int index, cudaEvent_t event) {
  return may_wait(false) && waited(index, cudaEventSynchronize(event), "cudaEventSynchronize");
}

/* The second stream goes on after what the first has to do now. */
static bool follow(int from, int to) {
  Use *u = NULL;
  if (!use_add(&u, from, driver_stream(from))) return false;
  bool good = driver_use(from) && driver_check(cudaEventRecord(u->event, u->stream), "cudaEventRecord") &&
              driver_use(to) &&
              driver_check(cudaStreamWaitEvent(driver_stream(to), u->event, 0), "cudaStreamWaitEvent");
  use_drop(u);
  return good;
}

/* Between two devices: on the stream of the one that is read, in order with the other's, and nobody waits here. */
static bool move_between(int to_index, void *to, int from_index, const void *from, int64_t bytes) {
  return follow(to_index, from_index) && driver_use(from_index) &&
         driver_check(cudaMemcpyPeerAsync(to, to_index, from, from_index, (size_t)bytes, driver_stream(from_index)),
                      "cudaMemcpyPeerAsync") &&
         follow(from_index, to_index);
}

static bool move(Device to_device, void *to, Device from_device, const void *from, int64_t bytes, const Storage *host) {
  bool up = from_device.kind == MT_CPU;
  int index = up ? to_device.index : from_device.index;
  if (bytes == 0) return true;
  if (!up && to_device.kind != MT_CPU) return move_between(to_device.index, to, index, from, bytes);
  bool waits = !host || !is_pinned(host);
  if (!driver_use(index) || (waits && !may_wait(true))) return false;
  cudaStream_t stream = driver_stream(index);
  if (!waits && !pinned_used(host, index, stream)) return false;
  cudaError_t error =
      cudaMemcpyAsync(to, from, (size_t)bytes, up ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost, stream);
  if (!driver_check(error, "cudaMemcpyAsync")) return false;
  return !waits || waited(index, cudaStreamSynchronize(stream), "cudaStreamSynchronize");
}

#define KERNEL(name, parameters, arguments, device) .name = cuda_##name,
static const DeviceKernels kernels = {DEVICE_KERNELS(KERNEL)};

static DeviceDriver driver = {
    .allocate = cuda_allocate,
    .release = cuda_release,
    .in_use = cuda_in_use,
    .allocate_pinned = pinned_allocate,
    .release_pinned = pinned_release,
    .move = move,
    .record_stream = cuda_record_stream,
    .copy = cuda_copy,
    .fill = cuda_fill,
    .pointwise = cuda_pointwise,
    .kernels = &kernels,
};

const char *driver_start(void) {
  int version = 0;
  if (driver.devices > 0) return NULL; /* for another Lua state */
  cudaError_t error = cudaDriverGetVersion(&version);
  if (error != cudaSuccess || version == 0)
    return "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and installed a driver "
           "from http://www.nvidia.com/Download/index.aspx. moontorch/cuda.so is there; keep the tensor on the cpu";
  error = cudaGetDeviceCount(&devices);
  cudaGetLastError();
  if (error == cudaErrorInsufficientDriver)
    return "The NVIDIA driver on your system is too old for this moontorch/cuda.so. Please update your GPU driver by "
           "downloading and installing a new version from http://www.nvidia.com/Download/index.aspx, or keep the "
           "tensor on the cpu";
  if (devices > MOST_DEVICES) devices = MOST_DEVICES;
  if (error != cudaSuccess || devices == 0) {
    devices = 0;
    return "No CUDA GPUs are available: the driver and moontorch/cuda.so are there, but no device is (is "
           "CUDA_VISIBLE_DEVICES set?). Keep the tensor on the cpu";
  }
  driver.devices = devices;
  device_register(MT_CUDA, &driver);
  return NULL;
}
