/* The core as a module sees it that is a shared object of its own (moontorch/cuda.so): a table of its functions.
 *
 * The core shows no symbols, so such a module gets this table when it is loaded and calls through it; core_link.c gives it
 * the functions under their own names. Both sides are built from one checkout: `size` and `version` must agree. */
#ifndef MT_CORE_API_H
#define MT_CORE_API_H
#include "base/alloc.h"
#include "base/isa.h"
#include "base/rng.h"
#include "tensor/device.h"
#include "tensor/iter.h"
#include "tensor/shape.h"

enum { CORE_API_VERSION = 1 };

/* X(result, name, parameters, arguments); fail() is apart, since its arguments vary. */
#define CORE_FUNCTIONS(X)                                                                                             \
  X(const char *, fail_message, (void), ())                                                                           \
  X(MtCode, fail_code, (void), ())                                                                                    \
  X(void, fail_clear, (void), ())                                                                                     \
  X(bool, failed, (void), ())                                                                                         \
  X(const char *, device_text, (Device d), (d))                                                                       \
  X(const char *, tensor_text, (const Tensor *t), (t))                                                                \
  X(Tensor *, tensor_new, (DType d, int ndim, const int64_t *shape, Device device), (d, ndim, shape, device))         \
  X(Generator *, generator_retain, (Generator * g), (g))                                                              \
  X(void, generator_release, (Generator * g), (g))                                                                    \
  X(void, tensor_destroy, (Tensor * t), (t))                                                                          \
  X(bool, tensor_is_contiguous, (const Tensor *t), (t))                                                               \
  X(bool, tensor_same_shape, (const Tensor *a, const Tensor *b), (a, b))                                              \
  X(Tensor *, tensor_copy, (const Tensor *from, DType d, Device device), (from, d, device))                           \
  X(bool, tensor_copy_into, (Tensor * to, const Tensor *from), (to, from))                                            \
  X(Scalar, tensor_scalar, (const Tensor *t), (t))                                                                    \
  X(bool, shape_expand, (const Tensor *t, int ndim, const int64_t *shape, int64_t *stride), (t, ndim, shape, stride)) \
  X(void, iter_begin, (Iter * it, int ndim, const int64_t *shape), (it, ndim, shape))                                 \
  X(void, iter_add, (Iter * it, char *ptr, const int64_t *stride, int size), (it, ptr, stride, size))                 \
  X(void, iter_finish, (Iter * it), (it))                                                                             \
  X(void *, mem_alloc, (size_t bytes), (bytes))                                                                       \
  X(void *, mem_zero, (size_t bytes), (bytes))                                                                        \
  X(void, mem_free, (void *memory), (memory))                                                                         \
  X(Deterministic, deterministic, (void), ())                                                                         \
  X(bool, dim_wrap, (int64_t dim, int ndim, int *out), (dim, ndim, out))                                              \
  X(bool, position_fail_in, (const char *call, int64_t value, int64_t size, int dim), (call, value, size, dim))       \
  X(bool, row_fail, (int64_t value, int64_t element, int ndim, const int64_t *shape, int64_t rows),                   \
    (value, element, ndim, shape, rows))                                                                              \
  X(bool, rng_chance_fail, (int64_t number, double chance), (number, chance))                                         \
  X(bool, rng_rate_fail, (int64_t number, double rate), (number, rate))                                               \
  X(bool, label_fail, (int64_t value, int64_t label, int ndim, const int64_t *shape, int64_t classes),                \
    (value, label, ndim, shape, classes))                                                                             \
  X(bool, probability_fail, (double value, int64_t element, bool input), (value, element, input))                     \
  X(void, call_place, (char *to, size_t room), (to, room))                                                            \
  X(int, device_kernels, (void), ())                                                                                  \
  X(void, device_set_current, (int index), (index))                                                                   \
  X(int, device_current, (void), ())                                                                                  \
  X(void, host_warn, (const char *message), (message))                                                                \
  X(DeviceModes *, device_modes, (void), ())                                                                          \
  X(void, device_register, (DeviceKind kind, const DeviceDriver *driver), (kind, driver))

bool tensor_copy_into(Tensor *to, const Tensor *from);
Tensor *tensor_copy(const Tensor *from, DType d, Device device);
int device_kernels(void); /* how many there are in cpu/device_kernels.h */
/* position_fail in the words of the operator that `call`, a text of call_place, begins with. */
bool position_fail_in(const char *call, int64_t value, int64_t size, int dim);
/* Element (from 1) of indices of that shape is none of a table's rows. Returns false. */
bool row_fail(int64_t value, int64_t element, int ndim, const int64_t *shape, int64_t rows);
/* Failures of losses: label number `label` (from 1) of a target of that shape is no class; an element (from 1) of input or
 * target is no probability. Return false. */
bool label_fail(int64_t value, int64_t label, int ndim, const int64_t *shape, int64_t classes);
bool probability_fail(double value, int64_t element, bool input);
/* The operator that this thread is calling on a device, and where its script is: "embedding() at train.lua:12". */
void call_place(char *to, size_t room);
void host_warn(const char *message); /* through the host's warnings, at the script's line (graph/watch.h) */

typedef struct CoreApi {
  int version;
  size_t size;
  bool (*fail)(MtCode code, const char *format, ...);
  void (*fail_suffix)(const char *format, ...);
#define CORE_FIELD(result, name, parameters, arguments) result(*name) parameters;
  CORE_FUNCTIONS(CORE_FIELD)
#undef CORE_FIELD
} CoreApi;
#endif
