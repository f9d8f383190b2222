/* Inside moontorch/cuda.so: the devices, their memory and streams, and what drives tensors on them. */
#ifndef MT_CUDA_DRIVER_H
#define MT_CUDA_DRIVER_H
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
/* The stream that this thread's work on its current device goes to. */
cudaStream_t driver_stream(int index);
/* Waits for all that this thread launched on the device; false with what went wrong. */
bool driver_settle(int index);

/* Memory (memory.c): blocks kept for reuse, by device. */
void *cuda_allocate(int index, int64_t bytes);
void cuda_release(int index, void *data, int64_t bytes);
bool cuda_trim(int index); /* gives what is free back to the device; false after a failure */
typedef struct MemoryStats {
  int64_t allocated, peak, reserved, peak_reserved, blocks, retries;
} MemoryStats;
MemoryStats cuda_memory_stats(int index);
void cuda_reset_peak(int index);

/* Tensors (tensors.c). */
bool cuda_copy(Tensor *to, const Tensor *from);
bool cuda_fill(Tensor *to, Scalar value);
struct PointwiseContext;
bool cuda_pointwise(OpCall *c, int formula, const struct PointwiseContext *context);
#endif
