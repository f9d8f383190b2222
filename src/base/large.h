/* Large blocks: memory straight from the system, with one cache of freed blocks for all threads. Only alloc.c uses it. */
#ifndef MT_LARGE_H
#define MT_LARGE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Blocks above this are large. */
enum { LARGE_FROM = 64 * 1024 };
/* No block may be larger: no machine has so much, and every sum of sizes stays far from overflow. */
#define LARGE_MAX ((size_t)PTRDIFF_MAX >> (sizeof(size_t) == 8 ? 16 : 1))

/* The size that a large block of so many bytes takes: one of eight steps in each doubling, so at most an eighth more. */
size_t large_size(size_t bytes);
/* size is a large_size(). in_use is the bytes in use with this block counted (get) or no longer counted (put); cap the
 * host's bound or 0. NULL when the system refuses. */
void *large_get(size_t size, int64_t in_use, int64_t cap);
void large_put(void *block, size_t size, int64_t in_use, int64_t cap);
int64_t large_cached(void);
void large_trim(void);
/* For fork: the cache's lock is held across it, so that the child finds it whole. */
void large_lock(void);
void large_unlock(void);
#endif
