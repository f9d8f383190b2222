/* Devices: finding them, the current one, streams, and waiting.
 *
 * Every call of the runtime goes through driver_check, so that an error is a failure of the call that met it. A device is
 * chosen for each piece of work, since threads of a host share this object and the runtime's choice is a thread's. */
#include "cuda/driver.h"

static int devices;

bool driver_check(cudaError_t error, const char *what) {
  if (error == cudaSuccess) return true;
  cudaGetLastError(); /* the runtime forgets it: it is told here */
  if (error == cudaErrorMemoryAllocation) return fail(MT_ENOMEM, "CUDA out of memory: %s", what);
  return fail(MT_ERUNTIME, "CUDA error: %s (%s, in %s)", cudaGetErrorString(error), cudaGetErrorName(error), what);
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

cudaStream_t driver_stream(int index) {
  (void)index;
  return NULL;
}

bool driver_settle(int index) {
  return driver_use(index) && driver_check(cudaStreamSynchronize(driver_stream(index)), "cudaStreamSynchronize") &&
         fault_check(index);
}

static bool move(Device to_device, void *to, Device from_device, const void *from, int64_t bytes) {
  bool up = from_device.kind == MT_CPU, down = to_device.kind == MT_CPU;
  int index = up ? to_device.index : from_device.index, there = down ? index : to_device.index;
  if (there != index && !driver_settle(there)) return false;
  if (!driver_use(index)) return false;
  cudaStream_t stream = driver_stream(index);
  cudaError_t error = cudaSuccess;
  if (bytes > 0 && there != index)
    error = cudaMemcpyPeerAsync(to, there, from, index, (size_t)bytes, stream);
  else if (bytes > 0)
    error = cudaMemcpyAsync(to, from, (size_t)bytes, up ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost, stream);
  return driver_check(error, "cudaMemcpyAsync") && driver_settle(index);
}

#define KERNEL(name, parameters, arguments, device) .name = cuda_##name,
static const DeviceKernels kernels = {DEVICE_KERNELS(KERNEL)};

static DeviceDriver driver = {
    .allocate = cuda_allocate,
    .release = cuda_release,
    .move = move,
    .copy = cuda_copy,
    .fill = cuda_fill,
    .pointwise = cuda_pointwise,
    .kernels = &kernels,
};

const char *driver_start(void) {
  int version = 0;
  cudaError_t error = cudaDriverGetVersion(&version);
  if (error != cudaSuccess || version == 0)
    return "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and installed a driver "
           "from "
           "http://www.nvidia.com/Download/index.aspx. moontorch/cuda.so is there; keep the tensor on the cpu";
  error = cudaGetDeviceCount(&devices);
  cudaGetLastError();
  if (error == cudaErrorInsufficientDriver)
    return "The NVIDIA driver on your system is too old for this moontorch/cuda.so. Please update your GPU driver by "
           "downloading and installing a new version from http://www.nvidia.com/Download/index.aspx, or keep the "
           "tensor "
           "on the cpu";
  if (error != cudaSuccess || devices == 0) {
    devices = 0;
    return "No CUDA GPUs are available: the driver and moontorch/cuda.so are there, but no device is (is "
           "CUDA_VISIBLE_DEVICES set?). Keep the tensor on the cpu";
  }
  driver.devices = devices;
  device_register(MT_CUDA, &driver);
  return NULL;
}
