/* Softmax of tensors on a device. */
#include "cuda/softmax.h"
#include "cuda/driver.h"

static bool run(Tensor *x, Tensor *grad, int dim, bool logarithm, Tensor *out) {
  if (out->numel == 0) return true;
  DType d = (DType)out->dtype;
  int index = tensor_device(out).index;
  Tensor *packed = cuda_packed(x, d), *packed_grad = grad && packed ? cuda_packed(grad, d) : NULL;
  Lines l = lines_of(out, dim);
  bool good = packed && (packed_grad || !grad) && driver_use(index);
  if (good) {
    SoftmaxRun r = {.x = tensor_data(packed),
                    .grad = grad ? tensor_data(packed_grad) : NULL,
                    .out = tensor_data(out),
                    .outer = l.outer,
                    .length = l.length,
                    .inner = l.inner,
                    .logarithm = logarithm};
    good = driver_launched(cuda_launch_softmax(d, &r, driver_stream(index)), "softmax");
  }
  tensor_release(packed_grad);
  tensor_release(packed);
  return good;
}

bool cuda_softmax(Tensor *t, int dim, bool logarithm, Tensor *out) { return run(t, NULL, dim, logarithm, out); }
bool cuda_softmax_back(Tensor *grad, Tensor *result, int dim, bool logarithm, Tensor *out) {
  return run(result, grad, dim, logarithm, out);
}
