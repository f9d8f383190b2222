/* Resampling on a device. Whole numbers in fixed point go to the host. */
#include "cuda/resample.h"
#include "base/size.h"
#include "cuda/driver.h"

bool cuda_resample(const Resample *how, Tensor *x, int dim, bool back, Tensor *out) {
  DType d = (DType)out->dtype;
  int at = tensor_device(out).index;
  if (out->numel == 0) return true;
  if (how->bytes || !dtype_is_float(d)) return left_to_host();
  Lines l = lines_of(out, dim);
  ResampleRun r = {.out = tensor_data(out), .outer = l.outer, .inner = l.inner, .back = back, .how = *how};
  r.taps =
      back ? resample_table(how, out->shape[dim], x->shape[dim]) : resample_table(how, x->shape[dim], out->shape[dim]);
  int64_t cells, bytes;
  if (!size_mul(r.taps.out, r.taps.width, &cells) || !size_mul(cells, 16, &bytes) ||
      !size_add(bytes, 8 * r.taps.out, &bytes))
    return false;
  Tensor *packed = cuda_packed(x, d);
  void *owner = NULL;
  char *memory = packed ? cuda_allocate(at, bytes, &owner) : NULL;
  bool good = memory && driver_use(at);
  if (good) {
    r.x = tensor_data(packed);
    r.taps.weight = (double *)(void *)memory;
    r.taps.first = (int64_t *)(void *)(memory + 8 * cells);
    r.taps.count = r.taps.first + cells;
    good = driver_launched(cuda_launch_resample(d, &r, driver_stream(at)), "resample");
  }
  if (memory) cuda_release(owner, memory, bytes);
  tensor_release(packed);
  return good;
}
