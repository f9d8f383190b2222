/* Memory of the devices, kept for reuse: asking the runtime for memory waits for the device, and costs more than most
 * kernels. The scheme is that of PyTorch's allocator: https://docs.pytorch.org/docs/stable/notes/cuda.html#memory-management
 *
 * The runtime gives segments: 2 MiB for requests up to 1 MiB, 20 MiB for those below 10 MiB, else the size in units of
 * 2 MiB. A segment is cut into blocks, which join again when they are free. A block belongs to the stream that its segment
 * was made for and is given to the next request of that stream at once, since the stream runs in order; other streams that
 * use it are noted (cuda_record_stream), and it waits for them. Memory of a captured graph comes from a pool of its own,
 * as replays use the same addresses.
 *
 * Invariants: free blocks, and only those, are in the tree of their pool, ordered by stream, size and address; no free
 * block has a free neighbour that waits for nobody; giving back needs no memory, so it cannot fail. One lock. */
#include "cuda/driver.h"
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

static const int64_t UNIT = 512, SMALL_MOST = 1 << 20, SMALL_SEGMENT = 2 << 20, LARGE_SEGMENT = 20 << 20,
                     LARGE_FROM = 10 << 20, LARGE_UNIT = 2 << 20;

typedef struct Block {
  struct Block *left, *right;   /* in the tree */
  struct Block *before, *after; /* in the segment */
  char *data;
  int64_t bytes, asked;
  struct Pool *pool;
  cudaStream_t stream;
  Use *uses;
  int waiting; /* uses that have not passed, of a block that was given back */
  bool held;
} Block;

typedef struct Pool {
  Block *free;
  int index;
  bool small;
} Pool;

struct MemoryPool {
  Pool small, large;
  struct MemoryPool *next;
  int64_t id, segments;
  int users;
};

typedef struct {
  Pool small, large;
  MemoryPool *pools; /* of graphs */
  MemoryStats stats;
  Use *pending;    /* of blocks that were given back */
  int64_t total;   /* of the device; 0: not asked yet */
  double fraction; /* of it that may be reserved, where limited */
  bool limited, ready;
} Memory;

static Memory memories[MOST_DEVICES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int64_t in_use, capacity; /* for Lua's collector: cuda_in_use */
/* What this thread captures into. */
static _Thread_local struct {
  MemoryPool *pool;
  int index;
} capture;

static Memory *memory_of(int index) {
  Memory *m = &memories[index];
  if (!m->ready) {
    m->small = (Pool){.index = index, .small = true};
    m->large = (Pool){.index = index};
    m->ready = true;
  }
  return m;
}

/* Statistics ---------------------------------------------------------------------------------------------------------- */

static void count(Memory *m, int stat, const Pool *p, int64_t by) {
  for (int k = 0; k < 3; k++) {
    if (k != 0 && k != (p->small ? 2 : 1)) continue;
    Stat *s = &m->stats.stat[stat][k];
    s->current += by;
    if (s->current > s->peak) s->peak = s->current;
    if (by > 0)
      s->allocated += by;
    else
      s->freed -= by;
  }
}

/* A part of a segment that is free cannot go back to the device. */
static void count_split(Memory *m, const Block *b, int sign) {
  if (!b->before && !b->after) return;
  count(m, STAT_INACTIVE_SPLIT, b->pool, sign);
  count(m, STAT_INACTIVE_SPLIT_BYTES, b->pool, sign * b->bytes);
}

/* The tree: a treap whose heap order is a hash of the block's own address. ---------------------------------------------- */

static uint64_t rank(const Block *b) { return (uint64_t)(uintptr_t)b * 0x9E3779B97F4A7C15u; }

static bool comes_before(const Block *a, const Block *b) {
  if (a->stream != b->stream) return (uintptr_t)a->stream < (uintptr_t)b->stream;
  if (a->bytes != b->bytes) return a->bytes < b->bytes;
  return (uintptr_t)a->data < (uintptr_t)b->data;
}

/* Those of t that come before b, and the others. */
static void split(Block *t, const Block *b, Block **less, Block **more) {
  while (t) {
    if (comes_before(t, b)) {
      *less = t;
      less = &t->right;
      t = t->right;
    } else {
      *more = t;
      more = &t->left;
      t = t->left;
    }
  }
  *less = *more = NULL;
}

static Block *merge(Block *less, Block *more) {
  Block *root = NULL, **at = &root;
  while (less && more) {
    if (rank(less) > rank(more)) {
      *at = less;
      at = &less->right;
      less = less->right;
    } else {
      *at = more;
      at = &more->left;
      more = more->left;
    }
  }
  *at = less ? less : more;
  return root;
}

static void insert(Memory *m, Block *b) {
  Block **at = &b->pool->free;
  while (*at && rank(*at) > rank(b)) at = comes_before(*at, b) ? &(*at)->right : &(*at)->left;
  Block *t = *at;
  split(t, b, &b->left, &b->right);
  *at = b;
  count_split(m, b, 1);
}

static void take_out(Memory *m, Block *b) {
  Block **at = &b->pool->free;
  while (*at != b) at = comes_before(*at, b) ? &(*at)->right : &(*at)->left;
  *at = merge(b->left, b->right);
  b->left = b->right = NULL;
  count_split(m, b, -1);
}

/* The smallest free block of the stream with so many bytes; NULL. */
static Block *find(const Pool *p, cudaStream_t stream, int64_t bytes) {
  Block key = {.stream = stream, .bytes = bytes}, *best = NULL;
  for (Block *t = p->free; t;) {
    if (comes_before(t, &key)) {
      t = t->right;
    } else {
      best = t;
      t = t->left;
    }
  }
  return best && best->stream == stream ? best : NULL;
}

/* Giving back --------------------------------------------------------------------------------------------------------- */

/* b takes its free neighbour in. */
static void join(Memory *m, Block *b, Block *other) {
  if (!other || other->held || other->waiting > 0) return;
  take_out(m, other);
  if (b->before == other) {
    b->data = other->data;
    b->before = other->before;
    if (b->before) b->before->after = b;
  } else {
    b->after = other->after;
    if (b->after) b->after->before = b;
  }
  b->bytes += other->bytes;
  mem_free(other);
}

/* Nobody uses it any more. */
static void set_free(Memory *m, Block *b) {
  count(m, STAT_ACTIVE, b->pool, -1);
  count(m, STAT_ACTIVE_BYTES, b->pool, -b->bytes);
  join(m, b, b->before);
  join(m, b, b->after);
  insert(m, b);
}

/* Blocks whose streams have come past their uses are free. wait: until they have. */
static void look_at_pending(Memory *m, bool wait) {
  for (Use **at = &m->pending; *at;) {
    Use *u = *at;
    if (wait)
      use_wait(u);
    else if (!use_passed(u)) {
      at = &u->next;
      continue;
    }
    *at = u->next;
    Block *b = u->of;
    use_drop(u);
    if (--b->waiting == 0) set_free(m, b);
  }
}

void cuda_release(void *owner, void *data, int64_t bytes) {
  Block *b = owner;
  (void)data;
  (void)bytes;
  if (!b) return;
  pthread_mutex_lock(&lock);
  Memory *m = memory_of(b->pool->index);
  count(m, STAT_ALLOCATION, b->pool, -1);
  count(m, STAT_ALLOCATED_BYTES, b->pool, -b->bytes);
  atomic_fetch_sub(&in_use, b->bytes);
  count(m, STAT_REQUESTED_BYTES, b->pool, -b->asked);
  b->held = false;
  if (!b->uses) set_free(m, b);
  while (b->uses) {
    Use *u = b->uses;
    b->uses = u->next;
    u->of = b;
    u->next = m->pending;
    m->pending = u;
    b->waiting++;
    if (captures_underway() == 0) use_passed(u); /* marks it; looked at when memory is wanted */
  }
  pthread_mutex_unlock(&lock);
}

/* Whole segments of the pool go back to the device. The runtime waits for all that is on its way there. */
static bool drop_segments(Memory *m, Pool *p, int64_t *segments) {
  Block *all = p->free, *kept = NULL;
  bool any = false;
  p->free = NULL;
  while (all) {
    Block *b = all;
    all = merge(b->left, b->right);
    b->left = b->right = NULL;
    if (b->before || b->after) {
      b->right = kept;
      kept = b;
      continue;
    }
    count(m, STAT_SEGMENT, p, -1);
    count(m, STAT_RESERVED_BYTES, p, -b->bytes);
    m->stats.frees++;
    if (segments) --*segments;
    cudaFree(b->data);
    mem_free(b);
    any = true;
  }
  while (kept) {
    Block *b = kept;
    kept = b->right;
    b->right = NULL;
    count_split(m, b, -1); /* it is counted again */
    insert(m, b);
  }
  return any;
}

static bool drop_cached(Memory *m) {
  if (captures_underway() > 0) return false;
  m->stats.waits++;
  look_at_pending(m, true);
  bool any = drop_segments(m, &m->small, NULL);
  any = drop_segments(m, &m->large, NULL) || any;
  for (MemoryPool **at = &m->pools; *at;) {
    MemoryPool *pool = *at;
    if (pool->users > 0) {
      at = &pool->next;
      continue;
    }
    any = drop_segments(m, &pool->small, &pool->segments) || any;
    any = drop_segments(m, &pool->large, &pool->segments) || any;
    if (pool->segments > 0) {
      at = &pool->next;
    } else {
      *at = pool->next;
      mem_free(pool);
    }
  }
  cudaGetLastError();
  return any;
}

bool cuda_trim(int index) {
  if (!driver_use(index)) return false;
  pthread_mutex_lock(&lock);
  drop_cached(memory_of(index));
  pthread_mutex_unlock(&lock);
  return true;
}

/* Getting ------------------------------------------------------------------------------------------------------------- */

static int64_t rounded(int64_t bytes) { return (bytes + UNIT - 1) / UNIT * UNIT; }

static int64_t segment_size(int64_t bytes) {
  if (bytes <= SMALL_MOST) return SMALL_SEGMENT;
  if (bytes < LARGE_FROM) return LARGE_SEGMENT;
  return (bytes + LARGE_UNIT - 1) / LARGE_UNIT * LARGE_UNIT;
}

/* Notes how much the device has, before it is first asked for memory. */
static void note_total(Memory *m) {
  size_t available = 0, total = 0;
  if (cudaMemGetInfo(&available, &total) != cudaSuccess) return (void)cudaGetLastError();
  int64_t least = atomic_load(&capacity);
  m->total = (int64_t)total;
  if (least == 0 || m->total < least) atomic_store(&capacity, m->total);
}

static int64_t allowed(const Memory *m) {
  return m->limited && m->total > 0 ? (int64_t)(m->fraction * (double)m->total) : INT64_MAX;
}

/* A capture forbids calls that might wait; asking for memory is safe all the same. */
static cudaError_t ask_runtime(void **data, int64_t bytes) {
  enum cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
  bool captures = capturing_here();
  if (captures && cudaThreadExchangeStreamCaptureMode(&mode) != cudaSuccess) captures = false;
  cudaError_t error = cudaMalloc(data, (size_t)bytes);
  if (captures) cudaThreadExchangeStreamCaptureMode(&mode);
  return error;
}

static Block *new_segment(Memory *m, Pool *p, cudaStream_t stream, int64_t bytes, cudaError_t *error) {
  *error = cudaErrorMemoryAllocation;
  if (m->total == 0) note_total(m);
  if (bytes > allowed(m) - m->stats.stat[STAT_RESERVED_BYTES][0].current) return NULL;
  void *data = NULL;
  Block *b = mem_alloc(sizeof *b);
  *error = b ? ask_runtime(&data, bytes) : cudaSuccess;
  if (!b || *error != cudaSuccess) {
    cudaGetLastError();
    mem_free(b);
    return NULL;
  }
  m->stats.mallocs++;
  if (capture.pool && (p == &capture.pool->small || p == &capture.pool->large)) capture.pool->segments++;
  *b = (Block){.data = data, .bytes = bytes, .pool = p, .stream = stream};
  count(m, STAT_SEGMENT, p, 1);
  count(m, STAT_RESERVED_BYTES, p, bytes);
  return b;
}

/* The rest of b becomes a free block; where there is no memory to say so, b stays whole. */
static void cut(Memory *m, Block *b, int64_t bytes) {
  int64_t left = b->bytes - bytes;
  if (b->pool->small ? left < UNIT : left <= SMALL_MOST) return;
  Block *rest = mem_alloc(sizeof *rest);
  if (!rest) return fail_clear();
  *rest = (Block){.data = b->data + bytes, .bytes = left, .pool = b->pool, .stream = b->stream};
  rest->before = b;
  rest->after = b->after;
  if (rest->after) rest->after->before = rest;
  b->after = rest;
  b->bytes = bytes;
  insert(m, rest);
}

typedef struct {
  char at[32];
} SizeText;

static SizeText size_text(int64_t bytes) {
  static const char *const unit[] = {"bytes", "KiB", "MiB", "GiB"};
  SizeText t;
  int k = 0;
  double n = (double)bytes;
  for (; k < 3 && n > 1024; k++) n /= 1024;
  snprintf(t.at, sizeof t.at, k ? "%.2f %s" : "%.0f %s", n, unit[k]);
  return t;
}

static void *fail_device_memory(Memory *m, int index, int64_t bytes) {
  size_t available = 0, total = 0;
  if (cudaMemGetInfo(&available, &total) != cudaSuccess) cudaGetLastError();
  int64_t held = m->stats.stat[STAT_ALLOCATED_BYTES][0].current;
  int64_t reserved = m->stats.stat[STAT_RESERVED_BYTES][0].current;
  char limit[48] = "";
  if (m->limited) snprintf(limit, sizeof limit, " %s allowed;", size_text(allowed(m)).at);
  m->stats.ooms++;
  fail(
      MT_ENOMEM,
      "CUDA out of memory. Tried to allocate %s. GPU %d has a total capacity of %s of which %s is free. Process %d has "
      "%s memory in use.%s Of the allocated memory %s is allocated by moontorch, and %s is reserved by moontorch but "
      "unallocated. Free tensors early (x:free(), torch.scope), use smaller batches or torch.utils.checkpoint; if much "
      "is reserved but unallocated, torch.cuda.empty_cache() and sizes that stay the same help against fragmentation",
      size_text(bytes).at, index, size_text((int64_t)total).at, size_text((int64_t)available).at, (int)getpid(),
      size_text(reserved).at, limit, size_text(held).at, size_text(reserved - held).at);
  return NULL;
}

static Block *get(Memory *m, int index, Pool *p, int64_t bytes, int64_t asked) {
  cudaStream_t stream = driver_stream(index);
  if (captures_underway() == 0 && m->pending) look_at_pending(m, false);
  Block *b = find(p, stream, bytes);
  if (b) {
    take_out(m, b);
    return b;
  }
  cudaError_t error;
  int64_t size = segment_size(bytes);
  b = new_segment(m, p, stream, size, &error);
  if (!b && error == cudaErrorMemoryAllocation && drop_cached(m)) {
    m->stats.retries++;
    b = new_segment(m, p, stream, size, &error);
  }
  if (b || failed()) return b;
  if (error == cudaErrorMemoryAllocation) return fail_device_memory(m, index, asked);
  return driver_check(error, "cudaMalloc"), NULL;
}

void *cuda_allocate(int index, int64_t bytes, void **owner) {
  static _Alignas(256) char nothing[256]; /* what an empty tensor points to */
  *owner = NULL;
  if (bytes == 0) return nothing;
  if (!driver_use(index)) return NULL;
  pthread_mutex_lock(&lock);
  Memory *m = memory_of(index);
  bool own = capture.pool && capture.index == index;
  int64_t size = bytes > INT64_MAX - LARGE_UNIT ? bytes : rounded(bytes);
  Pool *small = own ? &capture.pool->small : &m->small, *large = own ? &capture.pool->large : &m->large;
  Block *b = bytes > INT64_MAX - LARGE_UNIT ? fail_device_memory(m, index, bytes)
                                            : get(m, index, size <= SMALL_MOST ? small : large, size, bytes);
  if (b) {
    cut(m, b, size);
    b->held = true;
    b->asked = bytes;
    count(m, STAT_ALLOCATION, b->pool, 1);
    count(m, STAT_ALLOCATED_BYTES, b->pool, b->bytes);
    atomic_fetch_add(&in_use, b->bytes);
    count(m, STAT_REQUESTED_BYTES, b->pool, bytes);
    count(m, STAT_ACTIVE, b->pool, 1);
    count(m, STAT_ACTIVE_BYTES, b->pool, b->bytes);
    *owner = b;
  }
  pthread_mutex_unlock(&lock);
  return b ? b->data : NULL;
}

bool cuda_record_stream(const Storage *s, int index, int number) {
  Block *b = s->release == cuda_release ? s->owner : NULL;
  cudaStream_t stream = NULL;
  if (!stream_handle(index, number, &stream)) return false;
  if (!b) return true; /* nothing, or memory of a host, which keeps it */
  pthread_mutex_lock(&lock);
  bool good = (b->stream == stream && b->pool->index == index) || use_add(&b->uses, index, stream);
  pthread_mutex_unlock(&lock);
  return good;
}

/* Pools of graphs ----------------------------------------------------------------------------------------------------- */

MemoryPool *memory_pool(int index, int64_t id) {
  pthread_mutex_lock(&lock);
  Memory *m = memory_of(index);
  MemoryPool *pool = m->pools;
  while (pool && pool->id != id) pool = pool->next;
  if (!pool && (pool = mem_alloc(sizeof *pool))) {
    *pool = (MemoryPool){.id = id, .next = m->pools};
    pool->small = (Pool){.index = index, .small = true};
    pool->large = (Pool){.index = index};
    m->pools = pool;
  }
  if (pool) pool->users++;
  pthread_mutex_unlock(&lock);
  return pool;
}

void memory_pool_release(MemoryPool *pool) {
  pthread_mutex_lock(&lock);
  pool->users--;
  pthread_mutex_unlock(&lock);
}

void memory_capture(int index, MemoryPool *pool) {
  capture.index = index;
  capture.pool = pool;
}

/* Telling ------------------------------------------------------------------------------------------------------------- */

int64_t cuda_in_use(int64_t *least) {
  *least = atomic_load_explicit(&capacity, memory_order_relaxed);
  return atomic_load_explicit(&in_use, memory_order_relaxed);
}

MemoryStats cuda_memory_stats(int index) {
  pthread_mutex_lock(&lock);
  MemoryStats s = memory_of(index)->stats;
  pthread_mutex_unlock(&lock);
  return s;
}

void cuda_reset_peak(int index) {
  pthread_mutex_lock(&lock);
  MemoryStats *s = &memory_of(index)->stats;
  for (int i = 0; i < STATS; i++)
    for (int k = 0; k < 3; k++) s->stat[i][k].peak = s->stat[i][k].current;
  pthread_mutex_unlock(&lock);
}

void cuda_reset_accumulated(int index) {
  pthread_mutex_lock(&lock);
  MemoryStats *s = &memory_of(index)->stats;
  for (int i = 0; i < STATS; i++)
    for (int k = 0; k < 3; k++) s->stat[i][k].allocated = s->stat[i][k].freed = 0;
  s->retries = s->ooms = s->waits = s->mallocs = s->frees = 0;
  pthread_mutex_unlock(&lock);
}

void cuda_set_fraction(int index, double fraction) {
  pthread_mutex_lock(&lock);
  Memory *m = memory_of(index);
  m->fraction = fraction;
  m->limited = fraction < 1;
  pthread_mutex_unlock(&lock);
}

double cuda_fraction(int index) {
  pthread_mutex_lock(&lock);
  const Memory *m = memory_of(index);
  double fraction = m->limited ? m->fraction : 1;
  pthread_mutex_unlock(&lock);
  return fraction;
}
