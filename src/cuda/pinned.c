/* Pinned memory of the host: pages that the device can read and write by itself, so that copies run beside the script.
 *
 * Sizes are rounded to powers of two and kept for reuse, since pinning costs more than a copy. A piece that a stream still
 * reads or writes when its tensor is given back waits for it in `pending`. Invariant: giving back needs no memory. */
#include "cuda/driver.h"
#include <pthread.h>

enum { CLASSES = 48, LEAST_CLASS = 6 };

typedef struct Pinned {
  struct Pinned *next; /* in a list of free pieces */
  void *data;
  int class, waiting;
  Use *uses;
} Pinned;

static Pinned *free_pieces[CLASSES];
static Use *pending;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void set_free(Pinned *p) {
  p->next = free_pieces[p->class];
  free_pieces[p->class] = p;
}

static void look_at_pending(bool wait) {
  if (captures_underway() > 0) return;
  for (Use **at = &pending; *at;) {
    Use *u = *at;
    if (wait)
      use_wait(u);
    else if (!use_passed(u)) {
      at = &u->next;
      continue;
    }
    *at = u->next;
    Pinned *p = u->of;
    use_drop(u);
    if (--p->waiting == 0) set_free(p);
  }
}

void pinned_release(void *owner, void *data, int64_t bytes) {
  Pinned *p = owner;
  (void)data;
  (void)bytes;
  pthread_mutex_lock(&lock);
  if (!p->uses) set_free(p);
  while (p->uses) {
    Use *u = p->uses;
    p->uses = u->next;
    u->of = p;
    u->next = pending;
    pending = u;
    p->waiting++;
    if (captures_underway() == 0) use_passed(u); /* marks it */
  }
  pthread_mutex_unlock(&lock);
}

static bool drop_free(void) {
  bool any = false;
  if (captures_underway() > 0) return false;
  look_at_pending(true);
  for (int k = 0; k < CLASSES; k++)
    while (free_pieces[k]) {
      Pinned *p = free_pieces[k];
      free_pieces[k] = p->next;
      cudaFreeHost(p->data);
      mem_free(p);
      any = true;
    }
  cudaGetLastError();
  return any;
}

void pinned_trim(void) {
  pthread_mutex_lock(&lock);
  drop_free();
  pthread_mutex_unlock(&lock);
}

static cudaError_t ask_runtime(void **data, size_t bytes) {
  enum cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
  bool captures = capturing_here();
  if (captures && cudaThreadExchangeStreamCaptureMode(&mode) != cudaSuccess) captures = false;
  cudaError_t error = cudaHostAlloc(data, bytes, cudaHostAllocPortable);
  if (captures) cudaThreadExchangeStreamCaptureMode(&mode);
  return error;
}

static Pinned *fresh(int class) {
  Pinned *p = mem_alloc(sizeof *p);
  if (!p) return NULL;
  *p = (Pinned){.class = class};
  cudaError_t error = ask_runtime(&p->data, (size_t)1 << class);
  if (error == cudaErrorMemoryAllocation && drop_free()) error = ask_runtime(&p->data, (size_t)1 << class);
  if (driver_check(error, "cudaHostAlloc")) return p;
  mem_free(p);
  return NULL;
}

void *pinned_allocate(int64_t bytes, void **owner) {
  int class = LEAST_CLASS;
  while (class < CLASSES && (int64_t)1 << class < bytes) class ++;
  if (class == CLASSES) return fail(MT_ENOMEM, "CUDA out of memory: %lld bytes to pin", (long long)bytes), NULL;
  if (!driver_use(device_current())) return NULL;
  pthread_mutex_lock(&lock);
  look_at_pending(false);
  Pinned *p = free_pieces[class];
  if (p)
    free_pieces[class] = p->next;
  else
    p = fresh(class);
  pthread_mutex_unlock(&lock);
  *owner = p;
  return p ? p->data : NULL;
}

bool is_pinned(const Storage *s) { return s->release == pinned_release; }

bool pinned_used(const Storage *s, int index, cudaStream_t stream) {
  pthread_mutex_lock(&lock);
  bool good = use_add(&((Pinned *)s->owner)->uses, index, stream);
  pthread_mutex_unlock(&lock);
  return good;
}
