/* Autocast: which operators run in a lower precision, and which in float32, while a thread asks for it.
 *
 * The lists are one table in autocast.c, by the operator's name and the kind of device. A call looks at it only while some
 * thread has autocast on; off, a call pays one load of autocast_threads. What a listed operator is composed of runs as it
 * is given; so do gradient formulas. */
#ifndef MT_AUTOCAST_H
#define MT_AUTOCAST_H
#include "graph/op.h"

typedef enum {
  CAST_NONE,    /* runs as it is given, and so does what it is composed of */
  CAST_LOWER,   /* floats become the lower precision */
  CAST_FLOAT,   /* 16-bit floats become float32 */
  CAST_RESULT,  /* the result is float32: its dtype argument, unless one is given */
  CAST_WIDEST,  /* floats become the widest of their dtypes */
  CAST_PARTS,   /* what it is composed of is looked up itself */
  CAST_CELLS,   /* as CAST_LOWER; with a projection, as CAST_PARTS */
  CAST_PADDING, /* as CAST_FLOAT where PyTorch pads by reflection of one or two dims, or replication */
  CAST_REFUSED  /* binary_cross_entropy, whose 16-bit gradients overflow */
} CastPolicy;

extern __attribute__((visibility("hidden")))
atomic_int autocast_threads; /* (thread, kind of device) with autocast on */
static inline bool autocast_anywhere(void) {
  return __builtin_expect(atomic_load_explicit(&autocast_threads, memory_order_relaxed) != 0, 0);
}

/* This thread's settings for a kind of device. */
bool autocast_enabled(DeviceKind kind);
void autocast_enable(DeviceKind kind, bool on);
DType autocast_dtype(DeviceKind kind); /* bfloat16 for the cpu, float16 for cuda unless set */
void autocast_set_dtype(DeviceKind kind, DType d);
/* Casts of leaves that want a gradient are kept and used again; the end of the outermost region forgets them. */
bool autocast_cache_enabled(void);
void autocast_cache_enable(bool on);
void autocast_forget(void);
int autocast_enter(void); /* into a region; the depth that it has */
int autocast_leave(void); /* the depth that is left; at 0 casts are forgotten */
void autocast_end(void);  /* before a thread ends */

/* Is autocast on here and now: enabled, and not inside of a listed operator or a gradient formula? */
bool autocast_active(DeviceKind kind);
bool autocast_pause(bool on); /* returns the old value */

/* A function's policy by its name, as the table has it. */
CastPolicy autocast_policy(const char *name, DeviceKind kind);
bool autocast_listed(const char *name);
/* What t becomes by a policy that looks at one tensor at a time: itself, or a cast in the pool; NULL and a failure. */
Tensor *autocast_tensor(Tensor *t, CastPolicy policy, DeviceKind kind);
bool autocast_refuse(const char *name); /* fails as PyTorch does */

/* For op_call, once the call's device is known: does autocast change it? and the call as it changes it. */
bool autocast_wants(const OpCall *call);
bool autocast_call(OpCall *call);
#endif
