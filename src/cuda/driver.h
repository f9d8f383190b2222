/* Inside moontorch/cuda.so: the devices, their memory, streams and graphs, and what drives tensors on them. */
#ifndef MT_CUDA_DRIVER_H
#define MT_CUDA_DRIVER_H
#include "cpu/device_kernels.h"
#include "cuda/fault.h"
#include "cuda/rows.h"
#include "tensor/call.h"
#include "tensor/core_api.h"
#include <cuda_runtime_api.h>

enum { MOST_DEVICES = 64 };

bool core_link(const CoreApi *api); /* false: the core is of another version */

/* Finds the devices and registers the driver. NULL, or why there is none (a constant text). */
const char *driver_start(void);
int driver_devices(void);

/* Makes `index` the runtime's device of this thread. */
bool driver_use(int index);
/* False and a failure that names the call, unless the result is 0. */
bool driver_check(cudaError_t error, const char *what);
/* The same for what a cuda_launch_ function said; -1, no kernel for the dtypes, leaves the call to the host. */
bool driver_launched(int error, const char *what);

/* Waiting: every place where the host waits goes through one of these, so that what kernels noted can be told there. The
 * first two are refused while this thread captures, and are what torch.cuda.set_sync_debug_mode speaks of. */
bool driver_settle(int index); /* for this thread's stream on the device */
bool driver_settle_stream(int index, cudaStream_t stream);
bool driver_settle_device(int index); /* for all streams of the device */
bool driver_settle_event(int index, cudaEvent_t event);
enum { SYNC_QUIET, SYNC_WARNS, SYNC_FAILS };
extern int driver_sync_mode;

/* Streams (stream.c). A stream is named by its device and a number: 0 is the default one, the others come from pools that
 * live as long as the process. */
enum { POOL_STREAMS = 32, POOL_PRIORITIES = 4, STREAMS = 1 + POOL_STREAMS * POOL_PRIORITIES };
/* The stream that this thread's work on the device goes to. Steps of optimisers that wait for others run first. */
cudaStream_t driver_stream(int index);
cudaStream_t stream_of_thread(int index); /* and those that wait still do */
void optim_flush(void);                   /* optim.c: runs what waits */
int stream_current(int index);            /* its number */
void stream_set_current(int index, int number);
int stream_take(int index,
                int *priority); /* the next one of that priority's pool, which is clamped; -1 and a failure */
bool stream_handle(int index, int number, cudaStream_t *stream); /* false and a failure when there is no such stream */

/* A stream that uses memory besides the one that it belongs to. When the memory is given back, the use is marked with an
 * event, and the memory waits until that has passed. Made beforehand, so that giving back cannot fail. */
typedef struct Use {
  struct Use *next;
  int device;
  bool marked;
  cudaStream_t stream;
  cudaEvent_t event;
  void *of;
} Use;
bool use_add(Use **uses, int device, cudaStream_t stream); /* once for each stream; false and a failure */
/* Has all passed that the stream had to do when the use was first asked this? While somebody captures, no. */
bool use_passed(Use *u);
void use_wait(Use *u);
void use_drop(Use *u);

/* Faults (fault.c): what the next launch of this call is given that may meet one; and whether one was met, by all that has
 * run: a failure then, and the record is empty again. */
bool fault_place(int index, FaultPlace *place);
void fault_shape(int index, FaultPlace place, const Tensor *t); /* whose elements the fault counts, for the message */
bool fault_check(int index);

/* Memory (memory.c). A block is known by its owner, what cuda_allocate gave besides the memory. */
void *cuda_allocate(int index, int64_t bytes, void **owner);
void cuda_release(void *owner, void *data, int64_t bytes);
int64_t cuda_in_use(int64_t *capacity);
bool cuda_record_stream(const Storage *s, int index, int number); /* false and a failure */
bool cuda_trim(int index); /* gives what is free back to the device; false after a failure */
/* What torch.cuda.memory_stats tells, for all blocks, large ones (over 1 MiB) and small ones. */
enum {
  STAT_ALLOCATION,
  STAT_SEGMENT,
  STAT_ACTIVE,
  STAT_INACTIVE_SPLIT,
  STAT_ALLOCATED_BYTES,
  STAT_RESERVED_BYTES,
  STAT_ACTIVE_BYTES,
  STAT_INACTIVE_SPLIT_BYTES,
  STAT_REQUESTED_BYTES,
  STATS
};
typedef struct Stat {
  int64_t current, peak, allocated, freed;
} Stat;
typedef struct MemoryStats {
  Stat stat[STATS][3]; /* all, large_pool, small_pool */
  int64_t retries, ooms, waits, mallocs, frees;
} MemoryStats;
MemoryStats cuda_memory_stats(int index);
void cuda_reset_peak(int index);
void cuda_reset_accumulated(int index);
void cuda_set_fraction(int index, double fraction); /* of the device's memory that may be reserved; 1: all */
double cuda_fraction(int index);
/* Pools of memory that a graph keeps to itself. Counted by their users; a pool without any gives its memory back. */
typedef struct MemoryPool MemoryPool;
MemoryPool *memory_pool(int index, int64_t id); /* retained, made if need be; NULL and a failure */
void memory_pool_release(MemoryPool *pool);
/* From now on this thread's memory on the device comes from the pool; NULL: no longer. */
void memory_capture(int index, MemoryPool *pool);

/* Pinned memory of the host (pinned.c). */
void *pinned_allocate(int64_t bytes, void **owner);
void pinned_release(void *owner, void *data, int64_t bytes);
bool pinned_used(const Storage *s, int index, cudaStream_t stream); /* it waits for the stream before it is given on */
bool is_pinned(const Storage *s);
void pinned_trim(void);

/* Graphs (graph.c). */
typedef struct Graph Graph;
Graph *graph_new(void);
void graph_free(Graph *g);
int64_t graph_pool_new(void);                               /* a number for a pool that graphs share */
int64_t graph_pool(const Graph *g);                         /* of its memory; 0 before a capture */
bool graph_capture_begin(Graph *g, int64_t pool, int mode); /* pool 0: its own. All of these: false and a failure */
bool graph_capture_end(Graph *g, bool *empty);
void graph_capture_abort(Graph *g); /* leaves the stream as it was before, whatever happened */
bool graph_replay(Graph *g);
bool graph_reset(Graph *g);
bool capturing_here(void); /* this thread captures */
/* What is captured draws from g: `from`, which names the numbers that g gives now, is made to name those that g gives at
 * each replay. Nothing changes where the current stream is no part of the capture. False and a failure. */
struct DrawFrom;
bool capture_draw(Generator *g, struct DrawFrom *from);
void capture_spoil(void);    /* what it captures will not become a graph */
int captures_underway(void); /* of all threads */

/* Kernels of the list in cpu/device_kernels.h, one file a family. */
#define CUDA_KERNEL(name, parameters, arguments, device) bool cuda_##name parameters;
DEVICE_KERNELS(CUDA_KERNEL)
#undef CUDA_KERNEL

/* Whether cuDNN can be opened (library.c): its version (major * 10000 + minor * 100 + patch), else 0. Makes no failure. */
int dnn_version(void);

/* Tensors (tensors.c). */
void cuda_rows_of(const Iter *it, Rows *r);
/* Operands broadcast to the first one's shape; those past the first may be numbers (NULL), which have a NULL pointer. */
void cuda_rows_for(Rows *r, int operands, Tensor *const *t);
/* t as packed elements of dtype d on its device: t itself (retained) or a copy; owned, NULL after a failure. */
Tensor *cuda_packed(Tensor *t, DType d);
/* The same for a tensor that may be strided, or one number on the host beside tensors of the device: t itself, retained,
 * if it is on the device and of that dtype. */
Tensor *cuda_there(const Tensor *t, DType d, int index);
bool cuda_copy(Tensor *to, const Tensor *from);
bool cuda_fill(Tensor *to, Scalar value);
/* cuda_reduce of memory seen in any shape, whose dtype the fold reads (reduce.c); strides in elements. */
bool cuda_reduce_memory(const void *x, DType d, int ndim, const int64_t *shape, const int64_t *stride,
                        const bool *reduced, Reduction how, Tensor *out, Tensor *second);
struct PointwiseContext;
bool cuda_pointwise(OpCall *c, int formula, const struct PointwiseContext *context);
#endif
