/* Storage and tensor: memory with an owner, and strided views of it.
 *
 * A Storage is shared by all views of it and counted atomically, since worker threads may hand one over. A Tensor belongs
 * to one thread and is counted plainly. Strides and offset count elements. Invariant: every element that shape, stride
 * and offset can reach lies inside the storage (tensor_new and tensor_view check it). */
#ifndef MT_TENSOR_H
#define MT_TENSOR_H
#include "base/dtype.h"
#include <stdatomic.h>

enum { MT_MAX_DIMS = 16 };

typedef enum { MT_CPU, MT_CUDA, MT_DEVICES } DeviceKind;
typedef struct {
  uint8_t kind, index;
} Device;
const char *device_text(Device d); /* "cpu", "cuda:0" */

typedef struct Storage {
  atomic_int refs;
  uint32_t version;       /* grows with every in-place write; also tells whether anybody ever wrote */
  _Atomic uint32_t saved; /* the version after the one that a graph keeps for its backward; 0: none. A hint */
  Device device;
  bool uninitialised; /* came from empty() and version was 0 then */
  uint8_t small;      /* made in one piece with so many bytes less one; 0: alone */
  void *data;
  int64_t bytes;
  void (*release)(void *owner, void *data, int64_t bytes); /* NULL: block_free */
  void *owner;
} Storage;

struct Autograd;

typedef struct Tensor {
  int refs;
  uint8_t dtype; /* DType */
  uint8_t ndim;
  bool requires_grad; /* leaf that wants a gradient, or result of a recorded op */
  bool is_parameter;
  bool converted; /* what a cast or a move of a Parameter gave */
  bool is_scalar; /* stands for a Lua number: weak in promotion, as Python's numbers are */
  bool inference;
  int64_t offset;
  int64_t numel;
  Storage *storage;
  struct Tensor *base;       /* a view: the tensor it views, itself no view; owned. NULL otherwise */
  struct Autograd *autograd; /* NULL until a gradient or a hook is involved; owned */
  int64_t shape[MT_MAX_DIMS];
  int64_t stride[MT_MAX_DIMS];
} Tensor;

/* The graph floor's destructor for Tensor.autograd; set at load. */
extern void (*autograd_release)(struct Autograd *autograd);

Storage *storage_new(int64_t bytes, Device device); /* refs 1, uninitialised memory; NULL and failure */
/* Memory of the host that devices reach by themselves. */
Storage *storage_pinned(int64_t bytes);
bool storage_is_pinned(const Storage *s);
/* Wraps memory that `release(owner, ...)` gives back; on failure nothing is taken. */
Storage *storage_wrap(void *data, int64_t bytes, Device device, void (*release)(void *, void *, int64_t), void *owner);
/* Makes room for that many bytes at least, for all tensors that share s; what it held stays, the rest is unwritten. Memory
 * that others own is refused. */
bool storage_grow(Storage *s, int64_t bytes);
/* Nobody has written the bytes from `from` on, elements of dtype: while deterministic().on and its fill say so, they hold NaN,
 * the largest integer or true. */
void storage_unwritten(Storage *s, DType dtype, int64_t from);
/* A release function for memory that outlives its tensors. */
void storage_keep(void *owner, void *data, int64_t bytes);
static inline Storage *storage_retain(Storage *s) {
  atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
  return s;
}
void storage_release(Storage *s);

/* A new contiguous tensor with its own memory, uninitialised; refs 1. */
Tensor *tensor_new(DType dtype, int ndim, const int64_t *shape, Device device);
/* A view: retains storage. Refuses geometry that reaches outside of it. */
Tensor *tensor_view(Storage *storage, DType dtype, int64_t offset, int ndim, const int64_t *shape,
                    const int64_t *stride);
/* Same storage and geometry, no autograd. */
Tensor *tensor_alias(const Tensor *t);
/* A 0-dim tensor of the scalar's dtype (int64, float64, bool), marked as weak. */
Tensor *tensor_from_scalar(Scalar s);
static inline Tensor *tensor_retain(Tensor *t) {
  if (t) t->refs++;
  return t;
}
void tensor_destroy(Tensor *t);
static inline void tensor_release(Tensor *t) {
  if (t && --t->refs == 0) tensor_destroy(t);
}
/* Gives t the storage, geometry and dtype of other (`x.data = other`); autograd stays. */
void tensor_set_data(Tensor *t, const Tensor *other);

static inline char *tensor_data(const Tensor *t) {
  return (char *)t->storage->data + t->offset * dtype_size((DType)t->dtype);
}
static inline Device tensor_device(const Tensor *t) { return t->storage->device; }
static inline bool tensor_is_float(const Tensor *t) { return dtype_is_float((DType)t->dtype); }
static inline int64_t tensor_bytes(const Tensor *t) { return t->numel * dtype_size((DType)t->dtype); }
bool tensor_is_contiguous(const Tensor *t);
/* True when two distinct indices can reach the same element (an expanded dim): such a tensor may not be written. */
bool tensor_overlaps(const Tensor *t);
bool tensor_same_shape(const Tensor *a, const Tensor *b);
/* Called after a write in place to what a graph keeps, and with watch_writes after each; set once, before the first. */
extern void (*storage_watcher)(const Storage *);
extern atomic_int watch_writes; /* threads that want to hear of all */
static inline void tensor_written(Tensor *t) {
  Storage *s = t->storage;
  s->version++;
  bool kept = atomic_load_explicit(&s->saved, memory_order_relaxed) == s->version;
  if (__builtin_expect(kept || atomic_load_explicit(&watch_writes, memory_order_relaxed), 0) && storage_watcher)
    storage_watcher(s);
}
/* Element at 0-based flat position 0 of a one-element tensor; of one on a device the call waits, and may fail(). */
Scalar tensor_scalar(const Tensor *t);

/* Texts for messages (short-lived): "[2, 3]", "float32 [2, 3] on cpu". */
const char *shape_text(int ndim, const int64_t *shape);
const char *tensor_text(const Tensor *t);
#endif
