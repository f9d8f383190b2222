/* Distances between the rows of two matrices on a device. */
#include "cuda/distance.h"
#include "cuda/driver.h"

bool cuda_distances(Tensor *x1, Tensor *x2, double p, Tensor *out) {
  DType d = (DType)out->dtype;
  int index = tensor_device(out).index, n = out->ndim;
  if (out->numel == 0) return true;
  Tensor *a = cuda_packed(x1, d), *b = a ? cuda_packed(x2, d) : NULL;
  bool good = b && driver_use(index);
  if (good) {
    DistanceRun r = {.a = tensor_data(a),
                     .b = tensor_data(b),
                     .out = tensor_data(out),
                     .batch = out->numel / (out->shape[n - 2] * out->shape[n - 1]),
                     .rows = out->shape[n - 2],
                     .others = out->shape[n - 1],
                     .length = x1->shape[n - 1],
                     .p = p};
    good = driver_launched(cuda_launch_distances(d, &r, driver_stream(index)), "cdist");
  }
  tensor_release(b);
  tensor_release(a);
  return good;
}
