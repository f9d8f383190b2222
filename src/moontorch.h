/* moontorch for host programs: what C code that embeds Lua may call.
 *
 * Link libmoontorch.a and register luaopen_moontorch, or let scripts `require "moontorch"` the shared module. Functions
 * return 0 for failure and never print, exit or jump, except that those taking a lua_State may raise Lua errors when
 * Lua itself is out of memory: call them under lua_pcall. */
#ifndef MOONTORCH_H
#define MOONTORCH_H
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define MT_API __attribute__((visibility("default")))
#else
#define MT_API
#endif

struct lua_State;

/* For luaL_requiref(L, "moontorch", luaopen_moontorch, 0). Only in the static library. */
MT_API int luaopen_moontorch(struct lua_State *L);

/* --- memory: native bytes of all states of the process --- */

/* Upper bound; an allocation past it is a Lua error "out of memory" after which everything still works. 0: none. */
MT_API void mt_set_memory_cap(int64_t bytes);
MT_API int64_t mt_memory_in_use(void);
MT_API int64_t mt_memory_peak(void);
/* Returns the blocks kept for reuse to the system. */
MT_API void mt_trim_memory(void);

/* --- threads --- */

/* How many threads a big operation may use, the caller's included. */
MT_API void mt_set_threads(int threads);
/* The host's own scheduler instead of ours. It must call body(context, begin, end) over disjoint ranges that cover
 * [0, n), each of at most grain, from any threads, and return when all are done. NULL goes back to ours. */
typedef void (*MtBody)(void *context, int64_t begin, int64_t end);
typedef void (*MtParallelFor)(void *host, int64_t n, int64_t grain, MtBody body, void *context);
MT_API void mt_set_parallel_for(MtParallelFor run, void *host);
/* Joins our threads and trims memory, before the host unloads or forks. Everything starts again on demand. */
MT_API void mt_close(void);

/* --- tensors in and out, without copying --- */

/* A dtype by its name: "float32", "int64", ... */
typedef struct MtView {
  void *data;        /* first element */
  const char *dtype; /* static string */
  int ndim;
  const int64_t *shape;  /* these two live as long as the tensor */
  const int64_t *stride; /* in elements */
} MtView;

/* Pushes a tensor over the host's own memory (contiguous, row-major). release(owner, data, bytes) is called when the last
 * tensor that sees it is gone; NULL: the memory outlives them. 0 and nothing pushed when the arguments are wrong or
 * memory is short; then release is not called. */
MT_API int mt_push_tensor(struct lua_State *L, void *data, const char *dtype, int ndim, const int64_t *shape,
                          void (*release)(void *owner, void *data, int64_t bytes), void *owner);
/* Describes the host-memory tensor at stack index idx; 0 when there is none. Writing through `data` is not seen by
 * autograd: do it outside of recorded computations. */
MT_API int mt_view_tensor(struct lua_State *L, int idx, MtView *view);

#ifdef __cplusplus
}
#endif
#endif
