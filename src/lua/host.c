/* The public C API: thin calls into the floors below. */
#include "moontorch.h"
#include "base/alloc.h"
#include "base/pool.h"
#include "base/size.h"
#include "lua/binding.h"
#include "ops/ops.h"

void mt_set_memory_cap(int64_t bytes) { memory_set_cap(bytes); }
int64_t mt_memory_in_use(void) { return memory_in_use(); }
int64_t mt_memory_peak(void) { return memory_peak(); }
void mt_trim_memory(void) { memory_trim(); }
void mt_set_threads(int threads) { pool_set_threads(threads); }
void mt_set_parallel_for(MtParallelFor run, void *host) { pool_set_host(run, host); }

void mt_close(void) {
  pool_close();
  memory_trim();
}

int mt_push_tensor(lua_State *L, void *data, const char *dtype, int ndim, const int64_t *shape,
                   void (*release)(void *owner, void *data, int64_t bytes), void *owner) {
  DType d = dtype_by_name(dtype);
  int64_t stride[MT_MAX_DIMS], numel, bytes;
  Box *box = push_box(L, &TENSOR_MARK);
  Storage *s = NULL;
  bool good = d != MT_NO_DTYPE && shape_check(ndim, shape) && size_product(shape, ndim, &numel) &&
              size_mul(numel, dtype_size(d), &bytes);
  if (good) {
    shape_strides(ndim, shape, stride);
    s = storage_wrap(data, bytes, (Device){MT_CPU, 0}, release ? release : storage_keep, owner);
  }
  Tensor *t = s ? tensor_view(s, d, 0, ndim, shape, stride) : NULL;
  if (s && !t) s->release = storage_keep; /* nothing is taken over */
  storage_release(s);
  if (!t) {
    fail_clear();
    lua_pop(L, 1);
    return 0;
  }
  box_fill(L, box, t);
  return 1;
}

int mt_view_tensor(lua_State *L, int idx, MtView *view) {
  Tensor *t = to_tensor(L, idx);
  if (!t || tensor_device(t).kind != MT_CPU) return 0;
  *view = (MtView){tensor_data(t), dtype_info[t->dtype].name, t->ndim, t->shape, t->stride};
  return 1;
}
