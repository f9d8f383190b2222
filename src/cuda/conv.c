/* Convolution on a device: by cuDNN (conv_dnn.c), or by our own kernels where planes stand by themselves, which cuDNN is
 * slow at, where it has no way, and where it is missing or switched off. Integers go to the host. */
#include "cuda/conv.h"
#include "cpu/formula_ids.h"
#include "cuda/conv_dnn.h"
#include "cuda/driver.h"
#include <string.h>

static bool own_way(int which, const Conv *c, DType d, const void *x, const void *w, const void *y, const void *bias,
                    void *out, int index) {
  ConvRun r = {.x = x,
               .w = w,
               .y = y,
               .bias = bias,
               .out = out,
               .batch = c->batch,
               .groups = c->groups,
               .in = c->in,
               .outs = c->out};
  for (int k = 0; k < 3; k++) {
    const int64_t all[] = {c->x[k], c->y[k], c->k[k], c->stride[k], c->pad[k], c->dilation[k]};
    for (int i = 0; i < 6; i++)
      if (all[i] > INT32_MAX / 4) return left_to_host();
    r.xs[k] = (int)c->x[k], r.ys[k] = (int)c->y[k], r.ks[k] = (int)c->k[k];
    r.stride[k] = (int)c->stride[k], r.pad[k] = (int)c->pad[k], r.dilation[k] = (int)c->dilation[k];
  }
  return driver_launched(cuda_launch_conv(which, d, &r, driver_stream(index)), "convolution");
}

/* out += bias of each channel. */
static bool add_bias(Tensor *out, const void *bias) {
  int size = dtype_size((DType)out->dtype);
  int64_t plane = 1;
  for (int k = 2; k < out->ndim; k++) plane *= out->shape[k];
  Rows r = {.operands = 3,
            .ndim = 3,
            .numel = out->numel,
            .ptr = {tensor_data(out), tensor_data(out), (char *)bias},
            .shape = {plane, out->shape[1], out->shape[0]}};
  for (int k = 0; k < 2; k++)
    r.stride[k][0] = size, r.stride[k][1] = plane * size, r.stride[k][2] = plane * out->shape[1] * size;
  r.stride[2][1] = size;
  FormulaNumbers none;
  memset(&none, 0, sizeof none);
  return driver_launched(cuda_launch_pointwise(PW_add, out->dtype, &r, &none, driver_stream(tensor_device(out).index)),
                         "add");
}

/* Operands packed, in the order x, w, y without the one that is written. */
static bool run(int which, const Conv *c, Tensor *a, Tensor *b, Tensor *bias, Tensor *out) {
  DType d = (DType)out->dtype;
  int index = tensor_device(out).index;
  if (out->numel == 0) return true;
  if (!dtype_is_float(d)) return left_to_host();
  if (which == CONV_WEIGHT && (a->numel == 0 || b->numel == 0)) return cuda_fill(out, scalar_int(0));
  Tensor *p = cuda_packed(a, d), *q = p ? cuda_packed(b, d) : NULL, *s = q && bias ? cuda_packed(bias, d) : NULL;
  bool good = q && (s || !bias) && driver_use(index), done = false;
  if (good) {
    const void *x = which == CONV_INPUT ? NULL : tensor_data(p),
               *y = which == CONV_OUTPUT ? NULL : tensor_data(which == CONV_INPUT ? p : q),
               *w = which == CONV_WEIGHT ? NULL : tensor_data(q);
    const void *of_bias = s ? tensor_data(s) : NULL;
    bool depthwise = c->in == 1 && c->groups > 1;
    if (!depthwise) good = conv_by_dnn(which, c, d, x, w, y, tensor_data(out), index, &done);
    if (good && done && of_bias) good = add_bias(out, of_bias);
    if (good && !done) good = own_way(which, c, d, x, w, y, of_bias, tensor_data(out), index);
  }
  tensor_release(s);
  tensor_release(q);
  tensor_release(p);
  return good;
}

bool cuda_conv_output(const Conv *c, Tensor *x, Tensor *w, Tensor *bias, Tensor *y) {
  return run(CONV_OUTPUT, c, x, w, bias, y);
}
bool cuda_conv_input(const Conv *c, Tensor *y, Tensor *w, Tensor *bias, Tensor *x) {
  return run(CONV_INPUT, c, y, w, bias, x);
}
bool cuda_conv_weight(const Conv *c, Tensor *x, Tensor *y, Tensor *w) { return run(CONV_WEIGHT, c, x, y, NULL, w); }
