/* Allocator: accounting, failure injection, small blocks, slabs and plain memory. Large blocks are in large.c.
 *
 * Each thread has a record with free lists of small blocks and slabs, and a credit: bytes that it has already taken
 * from the shared count but not handed out. So the common case touches nothing shared. Invariant: `reserved` is the
 * bytes in use plus the credits of all threads, never above the cap unless it was when the cap was set. */
#include "base/alloc.h"
#include "base/large.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

/* The thread pointer, which the ABI keeps at a fixed place; 0 where it is not known how to read it. */
#if defined(__linux__) && defined(__x86_64__) && !defined(__ILP32__)
static inline uintptr_t thread_id(void) {
  uintptr_t id;
  __asm__("mov %%fs:0, %0" : "=r"(id));
  return id;
}
#define THREAD_ID thread_id()
#elif defined(__linux__) && defined(__aarch64__)
static inline uintptr_t thread_id(void) {
  uintptr_t id;
  __asm__("mrs %0, tpidr_el0" : "=r"(id));
  return id;
}
#define THREAD_ID thread_id()
#else
#define THREAD_ID ((uintptr_t)0)
#endif
#define unlikely(x) __builtin_expect(!!(x), 0)

enum {
  CREDIT = 64 * 1024,
  FINE = 1024 / 64, /* classes 64, 128 ... 1024, then four in each doubling up to LARGE_FROM */
  SMALL_CLASSES = FINE + 6 * 4,
  LIST_BYTES = 1024 * 1024, /* a list holds at most so much and so many: what a collector leaves lying about */
  LIST_MOST = 16384
};

typedef struct Free {
  struct Free *next;
} Free;
typedef struct {
  Free *head;
  uint32_t count, most;
} FreeList;

typedef struct {
  int64_t credit;
  int64_t low;   /* lowest credit since the peak was last brought up to date, but for the one that stands now */
  int64_t count; /* allocations */
  size_t slab_size[SLAB_KINDS];
  FreeList slab[SLAB_KINDS];
  FreeList small[SMALL_CLASSES];
} Thread;

static _Thread_local Thread *this_thread;
/* The record of the first thread to come. A thread-local variable of a module costs a call, and its cheaper kind may
 * keep the module from being loaded; comparing thread ids costs neither. */
static Thread first;
static _Atomic bool first_taken;
static _Atomic uintptr_t first_id; /* THREAD_ID of the owner, or 0 */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool have_key;

static _Atomic int64_t reserved, peak, cap;
static _Atomic bool armed;
static _Atomic int64_t fail_in;
static _Atomic bool fail_always;
static _Atomic int64_t count_exited;

/* ---- small size classes ---- */

static inline int small_class(size_t bytes) {
  if (bytes <= FINE * 64) return bytes ? (int)((bytes - 1) >> 6) : 0;
  int e = 63 - __builtin_clzll((unsigned long long)bytes - 1);
  return FINE + (e - 10) * 4 + (int)((bytes - 1) >> (e - 2)) - 4;
}

static inline size_t small_size(int class) {
  if (class < FINE) return (size_t)(class + 1) * 64;
  int e = (class - FINE) / 4, step = (class - FINE) % 4;
  return (size_t)(5 + step) << (8 + e);
}

size_t block_size(size_t bytes) {
  if (bytes <= LARGE_FROM) return small_size(small_class(bytes));
  return bytes <= LARGE_MAX ? large_size(bytes) : bytes;
}

/* ---- the shared count ---- */

static void raise_peak(int64_t bytes) {
  int64_t old = atomic_load_explicit(&peak, memory_order_relaxed);
  while (old < bytes &&
         !atomic_compare_exchange_weak_explicit(&peak, &old, bytes, memory_order_relaxed, memory_order_relaxed)) {}
}

static inline void note_low(Thread *t) { t->low = t->credit < t->low ? t->credit : t->low; }

static void commit_peak(Thread *t) {
  note_low(t);
  raise_peak(atomic_load_explicit(&reserved, memory_order_relaxed) - t->low);
  t->low = t->credit;
}

static bool reserve(int64_t bytes) {
  int64_t bound = atomic_load_explicit(&cap, memory_order_relaxed);
  if (bound <= 0) {
    atomic_fetch_add_explicit(&reserved, bytes, memory_order_relaxed);
    return true;
  }
  int64_t old = atomic_load_explicit(&reserved, memory_order_relaxed);
  do {
    if (old > bound || bytes > bound - old) return false;
  } while (
      !atomic_compare_exchange_weak_explicit(&reserved, &old, old + bytes, memory_order_relaxed, memory_order_relaxed));
  return true;
}

static bool take_slow(Thread *t, int64_t bytes) {
  int64_t need = bytes - t->credit;
  commit_peak(t);
  if (reserve(need + CREDIT))
    t->credit = CREDIT;
  else if (reserve(need))
    t->credit = 0;
  else
    return false;
  t->low = t->credit;
  return true;
}

/* Counts bytes as in use; false when that would pass the cap. */
static inline bool take(Thread *t, int64_t bytes) {
  int64_t left = t->credit - bytes;
  if (unlikely(left < 0)) return take_slow(t, bytes);
  t->credit = left;
  return true;
}

static void give_slow(Thread *t) {
  commit_peak(t);
  atomic_fetch_sub_explicit(&reserved, t->credit - CREDIT, memory_order_relaxed);
  t->low = t->credit = CREDIT;
}

static inline void give(Thread *t, int64_t bytes) {
  note_low(t);
  t->credit += bytes;
  if (unlikely(t->credit > 2 * CREDIT)) give_slow(t);
}

/* Takes back a take() whose memory did not come: it leaves no trace in the peak. */
static void ungive(Thread *t, int64_t bytes) {
  t->credit += bytes;
  t->low = t->credit;
  give(t, 0);
}

/* ---- threads ---- */

static void list_clear(FreeList *list) {
  while (list->head) {
    Free *f = list->head;
    list->head = f->next;
    free(f);
  }
  list->count = 0;
}

static void lists_clear(Thread *t) {
  for (int i = 0; i < SLAB_KINDS; i++) list_clear(&t->slab[i]);
  for (int i = 0; i < SMALL_CLASSES; i++) list_clear(&t->small[i]);
}

static void thread_end(void *record) {
  Thread *t = record;
  commit_peak(t);
  atomic_fetch_sub_explicit(&reserved, t->credit, memory_order_relaxed);
  atomic_fetch_add_explicit(&count_exited, t->count, memory_order_relaxed);
  lists_clear(t);
  this_thread = NULL;
  if (t != &first) {
    free(t);
    return;
  }
  atomic_store(&first_id, 0);
  first = (Thread){0};
  atomic_store(&first_taken, false);
}

/* In the child of a fork without the owner of `first`: another thread may get that owner's id, so nobody has it. */
static void forked(void) {
  large_unlock();
  if (this_thread != &first) atomic_store(&first_id, 0);
}

static void start(void) {
  have_key = pthread_key_create(&key, thread_end) == 0;
  pthread_atfork(large_lock, large_unlock, forked);
}

static __attribute__((noinline, cold)) Thread *thread_new(void) {
  pthread_once(&once, start);
  if (!have_key) return NULL;
  Thread *t = THREAD_ID && !atomic_exchange(&first_taken, true) ? &first : calloc(1, sizeof *t);
  if (!t) return NULL;
  if (pthread_setspecific(key, t) != 0) {
    if (t == &first)
      atomic_store(&first_taken, false);
    else
      free(t);
    return NULL;
  }
  for (int i = 0; i < SMALL_CLASSES; i++) {
    size_t most = LIST_BYTES / small_size(i);
    t->small[i].most = CACHING ? (uint32_t)(most < LIST_MOST ? most : LIST_MOST) : 0;
  }
  for (int i = 0; i < SLAB_KINDS; i++) t->slab[i].most = CACHING ? LIST_MOST : 0;
  if (t == &first) atomic_store(&first_id, THREAD_ID);
  return this_thread = t;
}

/* This thread's record, or NULL. */
static inline Thread *thread_known(void) {
  if (THREAD_ID && THREAD_ID == atomic_load_explicit(&first_id, memory_order_relaxed)) return &first;
  return this_thread;
}

static inline Thread *thread(void) {
  Thread *t = thread_known();
  return unlikely(!t) ? thread_new() : t;
}

static __attribute__((noinline, cold)) bool inject(void) {
  int64_t n = atomic_fetch_sub(&fail_in, 1);
  if (n == 1 && !atomic_load(&fail_always)) atomic_store(&armed, false);
  return n == 1 || (n < 1 && atomic_load(&fail_always));
}

/* Start of every allocation: counts it; false when it is the one chosen to fail. */
static inline bool admit(Thread *t) {
  if (unlikely(!t)) return false;
  t->count++;
  return !(unlikely(atomic_load_explicit(&armed, memory_order_relaxed)) && inject());
}

/* The system refused: gives back what is cached before a second try. */
static void release_all(Thread *t) {
  lists_clear(t);
  large_trim();
}

/* ---- blocks ---- */

static int64_t in_use(const Thread *t) {
  return atomic_load_explicit(&reserved, memory_order_relaxed) - (t ? t->credit : 0);
}

static __attribute__((noinline)) void *small_fresh(Thread *t, size_t size) {
  void *block = NULL;
  if (posix_memalign(&block, 64, size) == 0) return block;
  release_all(t);
  if (posix_memalign(&block, 64, size) == 0) return block;
  ungive(t, (int64_t)size);
  return fail_memory(size);
}

static __attribute__((noinline)) void *large_alloc(Thread *t, size_t bytes) {
  if (bytes > LARGE_MAX) return fail_memory(bytes);
  size_t size = large_size(bytes);
  if (!take(t, (int64_t)size)) return fail_memory(bytes);
  void *block = large_get(CACHING ? size : bytes, in_use(t), atomic_load_explicit(&cap, memory_order_relaxed));
  if (!block) {
    ungive(t, (int64_t)size);
    return fail_memory(bytes);
  }
  return block;
}

void *block_alloc(size_t bytes) {
  Thread *t = thread();
  if (unlikely(!admit(t))) return fail_memory(bytes);
  if (unlikely(bytes > LARGE_FROM)) return large_alloc(t, bytes);
  int class = small_class(bytes);
  size_t size = small_size(class);
  if (unlikely(!take(t, (int64_t)size))) return fail_memory(bytes);
  FreeList *list = &t->small[class];
  Free *f = list->head;
  if (unlikely(!f)) return small_fresh(t, CACHING ? size : bytes + !bytes);
  list->head = f->next;
  list->count--;
  return f;
}

static inline void list_put(FreeList *list, void *memory) {
  if (unlikely(list->count >= list->most)) {
    free(memory);
    return;
  }
  Free *f = memory;
  f->next = list->head;
  list->head = f;
  list->count++;
}

void block_free(void *block, size_t bytes) {
  if (!block) return;
  Thread *t = thread();
  size_t size = block_size(bytes);
  if (t)
    give(t, (int64_t)size);
  else
    atomic_fetch_sub_explicit(&reserved, (int64_t)size, memory_order_relaxed);
  if (unlikely(bytes > LARGE_FROM))
    large_put(block, size, in_use(t), atomic_load_explicit(&cap, memory_order_relaxed));
  else if (t)
    list_put(&t->small[small_class(bytes)], block);
  else
    free(block);
}

/* ---- slabs ---- */

void *slab_alloc(int kind, size_t bytes) {
  Thread *t = thread();
  if (unlikely(!admit(t) || !take(t, (int64_t)bytes))) return fail_memory(bytes);
  FreeList *list = &t->slab[kind];
  Free *f = list->head;
  if (unlikely(!f)) return small_fresh(t, bytes);
  list->head = f->next;
  list->count--;
  return f;
}

void slab_free(int kind, void *slab, size_t bytes) {
  if (!slab) return;
  Thread *t = thread();
  if (unlikely(!t)) {
    atomic_fetch_sub_explicit(&reserved, (int64_t)bytes, memory_order_relaxed);
    free(slab);
    return;
  }
  give(t, (int64_t)bytes);
  t->slab_size[kind] = bytes;
  list_put(&t->slab[kind], slab);
}

/* ---- plain memory: its size stands in front ---- */

typedef union {
  size_t bytes;
  max_align_t align;
} Head;

static void *plain(size_t bytes, void *old, bool zero) {
  Thread *t = thread();
  Head *from = old ? (Head *)old - 1 : NULL;
  if (unlikely(!admit(t) || bytes > LARGE_MAX)) return fail_memory(bytes);
  int64_t before = from ? (int64_t)(from->bytes + sizeof(Head)) : 0, after = (int64_t)(bytes + sizeof(Head));
  if (after > before && !take(t, after - before)) return fail_memory(bytes);
  Head *h = zero ? calloc(1, (size_t)after) : realloc(from, (size_t)after);
  if (unlikely(!h)) {
    release_all(t);
    h = zero ? calloc(1, (size_t)after) : realloc(from, (size_t)after);
  }
  if (unlikely(!h)) {
    if (after > before) ungive(t, after - before);
    return fail_memory(bytes);
  }
  if (after < before) give(t, before - after);
  h->bytes = bytes;
  return h + 1;
}

void *mem_alloc(size_t bytes) { return plain(bytes, NULL, false); }
void *mem_zero(size_t bytes) { return plain(bytes, NULL, true); }
void *mem_resize(void *memory, size_t bytes) { return plain(bytes, memory, false); }

void mem_free(void *memory) {
  if (!memory) return;
  Head *h = (Head *)memory - 1;
  Thread *t = thread();
  int64_t bytes = (int64_t)(h->bytes + sizeof(Head));
  if (t)
    give(t, bytes);
  else
    atomic_fetch_sub_explicit(&reserved, bytes, memory_order_relaxed);
  free(h);
}

/* ---- what hosts and tests ask ---- */

int64_t memory_in_use(void) { return in_use(thread_known()); }

int64_t memory_peak(void) {
  Thread *t = thread_known();
  if (t) commit_peak(t);
  return atomic_load_explicit(&peak, memory_order_relaxed);
}

void memory_reset_peak(void) {
  Thread *t = thread_known();
  if (t) t->low = t->credit;
  atomic_store_explicit(&peak, in_use(t), memory_order_relaxed);
}

int64_t memory_cached(void) {
  int64_t bytes = large_cached();
  Thread *t = thread_known();
  if (!t) return bytes;
  for (int i = 0; i < SMALL_CLASSES; i++) bytes += (int64_t)small_size(i) * t->small[i].count;
  for (int i = 0; i < SLAB_KINDS; i++) bytes += (int64_t)t->slab_size[i] * t->slab[i].count;
  return bytes;
}

void memory_trim(void) {
  Thread *t = thread_known();
  if (t) lists_clear(t);
  large_trim();
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

void memory_set_cap(int64_t bytes) {
  Thread *t = thread_known();
  if (t) {
    commit_peak(t);
    atomic_fetch_sub_explicit(&reserved, t->credit, memory_order_relaxed);
    t->low = t->credit = 0;
  }
  atomic_store(&cap, bytes > 0 ? bytes : 0);
}

int64_t memory_cap(void) { return atomic_load(&cap); }

void memory_fail_at(int64_t k, bool for_good) {
  atomic_store(&armed, false);
  atomic_store(&fail_in, k);
  atomic_store(&fail_always, for_good);
  atomic_store(&armed, k > 0);
}

int64_t memory_count(void) {
  int64_t count = atomic_exchange_explicit(&count_exited, 0, memory_order_relaxed);
  Thread *t = thread_known();
  if (!t) return count;
  count += t->count;
  t->count = 0;
  return count;
}
