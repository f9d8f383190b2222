/* Inside moontorch/cuda.so: the devices, their memory and streams, and what drives tensors on them. */
#ifndef MT_CUDA_DRIVER_H
#define MT_CUDA_DRIVER_H
#include "cpu/device_kernels.h"
#include "cuda/fault.h"
#include "tensor/call.h"
#include "tensor/core_api.h"
#include <cuda_runtime_api.h>

bool core_link(const CoreApi *api); /* false: the core is of another version */

/* Finds the devices and registers the driver. NULL, or why there is none (a constant text). */
const char *driver_start(void);
int driver_devices(void);

/* Makes `index` the current device of this thread. */
bool driver_use(int index);
/* False and a failure that names the call, unless the result is 0. */
bool driver_check(cudaError_t error, const char *what);
/* The same for what a cuda_launch_ function said; -1, no kernel for the dtypes, leaves the call to the host. */
bool driver_launched(int error, const char *what);
/* The stream that this thread's work on its current device goes to. */
cudaStream_t driver_stream(int index);
/* Waits for all that this thread launched on the device; false with what went wrong, faults of kernels too. */
bool driver_settle(int index);

/* Faults (fault.c): what the next launch of this call is given that may meet one; and whether one was met, by all that has
 * run: a failure then, and the record is empty again. */
bool fault_place(int index, FaultPlace *place);
void fault_shape(int index, FaultPlace place, const Tensor *t); /* whose elements the fault counts, for the message */
bool fault_check(int index);

/* Memory (memory.c): blocks kept for reuse, by device. */
void *cuda_allocate(int index, int64_t bytes);
void cuda_release(int index, void *data, int64_t bytes);
bool cuda_trim(int index); /* gives what is free back to the device; false after a failure */
typedef struct MemoryStats {
  int64_t allocated, peak, reserved, peak_reserved, blocks, retries;
} MemoryStats;
MemoryStats cuda_memory_stats(int index);
void cuda_reset_peak(int index);

/* Kernels of the list in cpu/device_kernels.h, one file a family. */
#define CUDA_KERNEL(name, parameters, arguments, device) bool cuda_##name parameters;
DEVICE_KERNELS(CUDA_KERNEL)
#undef CUDA_KERNEL

/* Tensors (tensors.c). */
/* t as packed elements of dtype d on its device: t itself (retained) or a copy; owned, NULL after a failure. */
Tensor *cuda_packed(Tensor *t, DType d);
bool cuda_copy(Tensor *to, const Tensor *from);
bool cuda_fill(Tensor *to, Scalar value);
/* cuda_reduce of memory seen in any shape, whose dtype the fold reads (reduce.c); strides in elements. */
bool cuda_reduce_memory(const void *x, DType d, int ndim, const int64_t *shape, const int64_t *stride,
                        const bool *reduced, Reduction how, Tensor *out, Tensor *second);
struct PointwiseContext;
bool cuda_pointwise(OpCall *c, int formula, const struct PointwiseContext *context);
#endif
