/* Large blocks: system memory and the cache of freed blocks.
 *
 * Policy. What a program has used in the recent past it will use again: in use and cached together may reach the
 * highest use of the last two windows of WINDOW large allocations, plus a quarter for sizes that do not match. When
 * that is less, KEEP bytes may be cached all the same. With a cap, in use and cached together stay below it. Beyond
 * that the blocks that have waited longest go back to the system, and so does what has waited for two windows: sizes that
 * change from step to step would otherwise leave one block of each behind. So a training step finds all its memory warm, a
 * loop over one size never holds more than its own peak, and a peak is forgotten after two windows. A fresh 4 KiB page
 * costs 1.7 microseconds in a virtual machine, half a second for each GB; huge pages are fifteen times cheaper.
 *
 * Invariant: a cached block has exactly the size of its list, and its first bytes are its entry in both lists. */
#include "base/large.h"
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { STEPS = 8, LOWEST = 16, CLASSES = (62 - LOWEST) * STEPS, WINDOW = 4096 };
static const int64_t KEEP = 64 << 20;
static const size_t MAP_FROM = 256 << 10; /* smaller ones come from malloc */
static const size_t HUGE_PAGE = 2 << 20;  /* from here on blocks are aligned to it and ask for huge pages */

typedef struct Entry {
  struct Entry *next, *prev;   /* the same size, last freed first */
  struct Entry *newer, *older; /* all sizes */
  size_t size;
  uint64_t freed; /* when, counted in large allocations */
} Entry;

#ifndef MAP_POPULATE
#define MAP_POPULATE 0
#endif

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Entry *list[CLASSES], *newest, *oldest;
static int64_t cached, high, high_before;
static uint64_t gets;

void large_lock(void) { pthread_mutex_lock(&lock); }
void large_unlock(void) { pthread_mutex_unlock(&lock); }

/* e with 2^e < bytes <= 2^(e+1); bytes > LARGE_FROM. */
static int exponent(size_t bytes) { return 63 - __builtin_clzll((unsigned long long)bytes - 1); }

size_t large_size(size_t bytes) {
  size_t step = (size_t)1 << (exponent(bytes) - 3);
  return (bytes + step - 1) & ~(step - 1);
}

static int class_of(size_t size) {
  int e = exponent(size);
  return (e - LOWEST) * STEPS + (int)((size - ((size_t)1 << e)) >> (e - 3)) - 1;
}

static void *system_get(size_t size) {
  void *block = NULL;
  if (!CACHING || size < MAP_FROM) return posix_memalign(&block, 64, size) == 0 ? block : NULL;
  size_t align = size >= HUGE_PAGE ? HUGE_PAGE : 0;
  /* Without huge pages, faulting all small ones at once takes three fifths of the time. */
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | (align ? 0 : MAP_POPULATE);
  char *map = mmap(NULL, size + align, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (map == MAP_FAILED) return NULL;
  if (align == 0) return map;
  size_t head = -(uintptr_t)map & (align - 1);
  if (head) munmap(map, head);
  if (align - head) munmap(map + head + size, align - head);
#ifdef MADV_HUGEPAGE
  madvise(map + head, size, MADV_HUGEPAGE);
#endif
  return map + head;
}

static void system_put(void *block, size_t size) {
  if (!CACHING || size < MAP_FROM)
    free(block);
  else
    munmap(block, size);
}

static void unlink_entry(Entry *e) {
  if (e->prev)
    e->prev->next = e->next;
  else
    list[class_of(e->size)] = e->next;
  if (e->next) e->next->prev = e->prev;
  if (e->newer)
    e->newer->older = e->older;
  else
    newest = e->older;
  if (e->older)
    e->older->newer = e->newer;
  else
    oldest = e->newer;
  cached -= (int64_t)e->size;
}

/* Takes the oldest blocks off the lists until `allowed` bytes remain, and none that waited for long; the caller frees the
 * chain without the lock. */
static Entry *take_beyond(int64_t allowed) {
  Entry *chain = NULL;
  while (oldest && (cached > allowed || gets - oldest->freed > 2 * WINDOW)) {
    Entry *e = oldest;
    unlink_entry(e);
    e->next = chain;
    chain = e;
  }
  return chain;
}

static void free_chain(Entry *chain) {
  while (chain) {
    Entry *next = chain->next;
    system_put(chain, chain->size);
    chain = next;
  }
}

static int64_t allowed_now(int64_t in_use, int64_t cap) {
  int64_t top = high > high_before ? high : high_before;
  int64_t allowed = top + top / 4 - in_use;
  if (allowed < KEEP) allowed = KEEP;
  if (cap > 0 && allowed > cap - in_use) allowed = cap - in_use;
  return allowed;
}

static void raise_high(int64_t in_use) {
  if (in_use > high) high = in_use;
}

void *large_get(size_t size, int64_t in_use, int64_t cap) {
  if (!CACHING) return system_get(size);
  pthread_mutex_lock(&lock);
  if (++gets % WINDOW == 0) {
    high_before = high;
    high = 0;
  }
  Entry *found = list[class_of(size)];
  if (found) {
    unlink_entry(found);
    raise_high(in_use);
  }
  Entry *chain = take_beyond(allowed_now(in_use, cap));
  pthread_mutex_unlock(&lock);
  free_chain(chain);
  if (found) return found;
  void *block = system_get(size);
  if (!block) {
    large_trim();
    block = system_get(size);
  }
  if (block) { /* only now: a refused absurd size must not count as use */
    pthread_mutex_lock(&lock);
    raise_high(in_use);
    pthread_mutex_unlock(&lock);
  }
  return block;
}

void large_put(void *block, size_t size, int64_t in_use, int64_t cap) {
  if (!CACHING) {
    system_put(block, size);
    return;
  }
  Entry *e = block;
  pthread_mutex_lock(&lock);
  Entry **head = &list[class_of(size)];
  *e = (Entry){.next = *head, .older = newest, .size = size, .freed = gets};
  if (*head) (*head)->prev = e;
  *head = e;
  if (newest)
    newest->newer = e;
  else
    oldest = e;
  newest = e;
  cached += (int64_t)size;
  Entry *chain = take_beyond(allowed_now(in_use, cap));
  pthread_mutex_unlock(&lock);
  free_chain(chain);
}

int64_t large_cached(void) {
  pthread_mutex_lock(&lock);
  int64_t bytes = cached;
  pthread_mutex_unlock(&lock);
  return bytes;
}

void large_trim(void) {
  pthread_mutex_lock(&lock);
  Entry *chain = take_beyond(0);
  pthread_mutex_unlock(&lock);
  free_chain(chain);
}
