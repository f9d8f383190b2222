/* Memory of the devices, kept for reuse: asking the runtime for memory waits for the device, and costs more than most
 * kernels.
 *
 * Sizes are rounded to 512 bytes, from 1 MiB on to 2 MiB, and a free block serves requests of its own size. Invariant:
 * each block has a node, in `free` while it is free and else, without its block, in `spare`; so giving back cannot fail.
 * All work of a device goes to one stream, so a block may be given to the next kernel while the last one still runs.
 * One lock; what is free is kept by size in a list of its own for each device. */
#include "cuda/driver.h"
#include <pthread.h>

enum { DEVICES = 64 };
static const int64_t SMALL_UNIT = 512, LARGE_UNIT = 2 << 20, LARGE_FROM = 1 << 20;

typedef struct Free {
  struct Free *next;
  void *data;
  int64_t bytes;
} Free;

typedef struct {
  Free *free, *spare;
  MemoryStats stats;
} Pool;

static Pool pools[DEVICES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int64_t rounded(int64_t bytes) {
  int64_t unit = bytes >= LARGE_FROM ? LARGE_UNIT : SMALL_UNIT;
  if (bytes > INT64_MAX - unit) return INT64_MAX;
  return bytes <= 0 ? SMALL_UNIT : (bytes + unit - 1) / unit * unit;
}

static void note_peaks(MemoryStats *s) {
  if (s->allocated > s->peak) s->peak = s->allocated;
  if (s->reserved > s->peak_reserved) s->peak_reserved = s->reserved;
}

/* The block for so many bytes, taken out of the list; NULL. */
static void *take(Pool *p, int64_t bytes) {
  for (Free **at = &p->free; *at; at = &(*at)->next) {
    Free *f = *at;
    if (f->bytes != bytes) continue;
    *at = f->next;
    f->next = p->spare;
    p->spare = f;
    return f->data;
  }
  return NULL;
}

static bool give_back(int index) {
  Pool *p = &pools[index];
  bool any = p->free != NULL;
  while (p->free) {
    Free *f = p->free;
    p->free = f->next;
    p->stats.reserved -= f->bytes;
    cudaFree(f->data);
    mem_free(f);
  }
  cudaGetLastError();
  return any;
}

bool cuda_trim(int index) {
  if (!driver_use(index)) return false;
  pthread_mutex_lock(&lock);
  give_back(index);
  pthread_mutex_unlock(&lock);
  return true;
}

static void *fresh(int index, int64_t bytes) {
  Pool *p = &pools[index];
  void *data = NULL;
  Free *node = mem_alloc(sizeof *node);
  if (!node) return NULL;
  cudaError_t error = cudaMalloc(&data, (size_t)bytes);
  if (error == cudaErrorMemoryAllocation && give_back(index)) {
    cudaGetLastError();
    p->stats.retries++;
    error = cudaMalloc(&data, (size_t)bytes);
  }
  if (error == cudaSuccess) {
    p->stats.reserved += bytes;
    node->next = p->spare;
    p->spare = node;
    return data;
  }
  mem_free(node);
  cudaGetLastError();
  if (error != cudaErrorMemoryAllocation) return driver_check(error, "cudaMalloc"), NULL;
  size_t left = 0, total = 0;
  if (cudaMemGetInfo(&left, &total) != cudaSuccess) cudaGetLastError();
  fail(MT_ENOMEM,
       "CUDA out of memory. Tried to allocate %.2f MiB. GPU %d has a total capacity of %.2f GiB of which %.2f MiB is "
       "free. "
       "%.2f MiB is allocated by moontorch. Free tensors (x:free(), torch.scope), use smaller batches, or "
       "torch.utils.checkpoint",
       (double)bytes / 0x1p20, index, (double)total / 0x1p30, (double)left / 0x1p20,
       (double)p->stats.allocated / 0x1p20);
  return NULL;
}

void *cuda_allocate(int index, int64_t bytes) {
  if (!driver_use(index)) return NULL;
  int64_t size = rounded(bytes);
  pthread_mutex_lock(&lock);
  Pool *p = &pools[index];
  void *data = take(p, size);
  if (!data) data = fresh(index, size);
  if (data) {
    p->stats.allocated += size;
    p->stats.blocks++;
    note_peaks(&p->stats);
  }
  pthread_mutex_unlock(&lock);
  return data;
}

void cuda_release(int index, void *data, int64_t bytes) {
  int64_t size = rounded(bytes);
  pthread_mutex_lock(&lock);
  Pool *p = &pools[index];
  Free *f = p->spare;
  p->spare = f->next;
  *f = (Free){p->free, data, size};
  p->free = f;
  p->stats.allocated -= size;
  p->stats.blocks--;
  pthread_mutex_unlock(&lock);
}

MemoryStats cuda_memory_stats(int index) {
  pthread_mutex_lock(&lock);
  MemoryStats s = pools[index].stats;
  pthread_mutex_unlock(&lock);
  return s;
}

void cuda_reset_peak(int index) {
  pthread_mutex_lock(&lock);
  pools[index].stats.peak = pools[index].stats.allocated;
  pools[index].stats.peak_reserved = pools[index].stats.reserved;
  pthread_mutex_unlock(&lock);
}
