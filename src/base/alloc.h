/* Allocator: all memory of tensors and of the core, with a cache of free blocks and a cap for hosts.
 *
 * Blocks are 64-byte aligned. Freed blocks are kept for reuse, since fresh pages are the largest cost of big
 * elementwise work. Invariant: memory_in_use() counts bytes handed out and not yet freed, by size class. All of it may
 * be called from any thread, and after a fork. */
#ifndef MT_ALLOC_H
#define MT_ALLOC_H
#include "base/status.h"
#include <stdint.h>

/* Under AddressSanitizer no freed memory is kept, so that it sees each use after free. */
#if defined(__SANITIZE_ADDRESS__)
#define CACHING 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CACHING 0
#endif
#endif
#ifndef CACHING
#define CACHING 1
#endif

/* Tensor memory: 64-byte aligned, uninitialised. NULL with the failure recorded when it cannot be had. bytes 0 gives
 * a valid non-NULL block. The size passed to block_free must be the one asked for. Thread-safe. */
void *block_alloc(size_t bytes);
void block_free(void *block, size_t bytes);
/* Bytes that block_alloc(bytes) really takes from the system. */
size_t block_size(size_t bytes);

/* Small fixed structs of the core (tensors, nodes), 64-byte aligned: per-thread free lists, no locking.
 * kind < SLAB_KINDS, and one kind always has one size. The memory is not zeroed. A slab freed on another thread joins
 * that thread's list. */
enum { SLAB_TENSOR, SLAB_STORAGE, SLAB_SMALL, SLAB_NODE, SLAB_AUTOGRAD, SLAB_KINDS };
void *slab_alloc(int kind, size_t bytes);
void slab_free(int kind, void *slab, size_t bytes);

/* Anything else: malloc with the failure recorded, counted against the cap, failure injection included. Sizes 0 are
 * valid; mem_resize(NULL, n) allocates, and leaves the old memory as it was when it fails. */
void *mem_alloc(size_t bytes);
void *mem_zero(size_t bytes);
void *mem_resize(void *memory, size_t bytes);
void mem_free(void *memory);

/* Exact while one thread allocates; each other thread that does may add 128 KiB that it has set aside. Cheap. */
int64_t memory_in_use(void);
int64_t memory_peak(void);
void memory_reset_peak(void);
/* Bytes that free blocks hold, the large ones and this thread's small ones; trimming returns them to the system. How much
 * may be held is said in large.c. */
int64_t memory_cached(void);
void memory_trim(void);
/* Upper bound on memory_in_use(), and on it and the large free blocks together; 0 is none. Passing it is out of memory. */
void memory_set_cap(int64_t bytes);
int64_t memory_cap(void);
/* For tests: allocation number k from now on fails (k = 1 is the next), once or for good; k = 0 turns it off.
 * Counts block, slab and mem allocations of all threads alike. memory_count() tells how many this thread, and threads
 * that have ended, made since the last call of it. */
void memory_fail_at(int64_t k, bool for_good);
int64_t memory_count(void);
#endif
