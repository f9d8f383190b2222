/* Thread pool: splits loops among threads.
 *
 * Starts lazily at the first loop with more than one chunk, sleeps 50 microseconds after the last one, runs serially when
 * threads cannot be made, joins in pool_close(). Nested calls, and calls while another thread's loop runs, run serially.
 * Each thread begins with the chunks of its own part of the range, so that loops over the same data find it in the same
 * processor's cache, then it helps the others. The split depends only on n and grain, never on the number of threads, so
 * that results do not either. */
#ifndef MT_POOL_H
#define MT_POOL_H
#include <stdbool.h>
#include <stdint.h>

typedef void (*PoolBody)(void *context, int64_t begin, int64_t end);
/* Calls body(context, b, e) exactly once for each chunk: b = i * grain, e = min(n, b + grain), in any order, on any
 * thread, one thread included. Returns when every chunk is done. body returns nothing; what it writes into its context is
 * seen by the caller, and a failure that it leaves pending becomes the caller's (all chunks run all the same). */
void parallel_for(int64_t n, int64_t grain, PoolBody body, void *context);
int pool_threads(void); /* threads a loop may use, the caller included; at first the cores this process may use,
                                    * or MOONTORCH_NUM_THREADS */
void pool_set_threads(int threads);
void pool_stay_out(void); /* this thread's loops are serial from now on, as a worker's that is one of several */
bool pool_inside(void);   /* whether this thread works on a shared loop: a nested loop would be serial */
/* A host's own scheduler: called instead of the pool; NULL goes back. It is told n and grain in chunks (grain 1), and may
 * call body over any disjoint ranges that cover [0, n), on any threads. Set it while no loop runs. */
typedef void (*PoolHost)(void *host, int64_t n, int64_t grain, PoolBody body, void *context);
void pool_set_host(PoolHost run, void *host);
void pool_close(void); /* joins all threads; a later parallel_for starts them again */
#endif
