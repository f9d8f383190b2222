/* Elements that are not zero, on a device. How many there are is asked for on the host, since it is the size of results:
 * that waits for the device, and the kernel counts again, as in PyTorch. Tensors of 2^32 elements and more are left to the host. */
#include "cuda/mask.h"
#include "cuda/driver.h"
#include <string.h>

typedef struct {
  Tensor *x, *tile, *total;
  MaskRun run;
  int index;
} Mask;

static void mask_close(Mask *m) {
  tensor_release(m->total);
  tensor_release(m->tile);
  tensor_release(m->x);
}

/* Counts; the counts lie on the device then. */
static bool mask_open(Mask *m, const Tensor *t) {
  Device here = tensor_device(t);
  int64_t tiles = (t->numel + MASK_TILE - 1) / MASK_TILE;
  *m = (Mask){.index = here.index};
  if (t->numel > UINT32_MAX) return left_to_host();
  m->x = cuda_packed((Tensor *)t, (DType)t->dtype);
  m->tile = m->x ? tensor_new(MT_I32, 1, &tiles, here) : NULL;
  m->total = m->tile ? tensor_new(MT_I64, 0, NULL, here) : NULL;
  if (!m->total) return false;
  m->run = (MaskRun){.x = tensor_data(m->x),
                     .n = t->numel,
                     .tiles = tiles,
                     .is_float = tensor_is_float(t),
                     .tile = (uint32_t *)(void *)tensor_data(m->tile),
                     .total = (int64_t *)(void *)tensor_data(m->total)};
  return driver_use(here.index) &&
         driver_launched(cuda_launch_mask_count(dtype_size((DType)t->dtype), &m->run, driver_stream(here.index)),
                         "mask");
}

bool cuda_count_true(const Tensor *t, int64_t *count) {
  Mask m;
  *count = 0;
  if (t->numel == 0) return true;
  bool good = mask_open(&m, t);
  if (good) *count = tensor_scalar(m.total).i;
  good = good && !failed();
  mask_close(&m);
  return good;
}

static bool places(OpCall *c, int ndim) {
  Mask m;
  Tensor *t = in(c, 0);
  if (c->out[0]->numel == 0) return true;
  bool good = mask_open(&m, t);
  if (good) {
    m.run.out = (int64_t *)(void *)tensor_data(c->out[0]);
    m.run.ndim = ndim;
    if (ndim > 0) memcpy(m.run.shape, t->shape, sizeof(int64_t) * (size_t)ndim);
    good =
        driver_launched(cuda_launch_mask_places(dtype_size((DType)t->dtype), &m.run, driver_stream(m.index)), "mask");
  }
  mask_close(&m);
  return good;
}
bool cuda_mask_position(OpCall *c) { return places(c, 0); }
bool cuda_nonzero(OpCall *c) { return places(c, in(c, 0)->ndim); }
