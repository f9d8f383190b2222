/* CTC of tensors on a device. Labels and lengths were checked on the host; they go to the device in one piece. */
#include "cuda/ctc.h"
#include "cuda/driver.h"
#include <string.h>

/* What CtcRun.number holds, on the device; owned. */
static Tensor *numbers(const Ctc *c, Device device, int64_t *longest) {
  int64_t labels = 0, n = c->batch;
  *longest = 0;
  for (int64_t i = 0; i < n; i++) {
    if (c->first[i] + c->target_length[i] > labels) labels = c->first[i] + c->target_length[i];
    if (c->target_length[i] > *longest) *longest = c->target_length[i];
  }
  int64_t all = 3 * n + labels;
  Tensor *host = tensor_new(MT_I64, 1, &all, (Device){MT_CPU, 0});
  Tensor *t = host ? tensor_new(MT_I64, 1, &all, device) : NULL;
  if (t) {
    int64_t *to = (int64_t *)(void *)tensor_data(host);
    memcpy(to, c->first, sizeof *to * (size_t)n);
    memcpy(to + n, c->input_length, sizeof *to * (size_t)n);
    memcpy(to + 2 * n, c->target_length, sizeof *to * (size_t)n);
    memcpy(to + 3 * n, c->label, sizeof *to * (size_t)labels);
    if (!tensor_copy_into(t, host)) {
      tensor_release(t);
      t = NULL;
    }
  }
  tensor_release(host);
  return t;
}

static bool run(const Ctc *c, Tensor *grad, Tensor *log_probs, bool zero_infinity, Tensor *out) {
  DType d = (DType)out->dtype;
  Device device = tensor_device(out);
  int64_t longest;
  if (c->step != 1 || (grad && tensor_device(grad).kind == MT_CPU)) return left_to_host();
  Tensor *x = cuda_packed(log_probs, d), *g = x && grad ? cuda_packed(grad, d) : NULL;
  Tensor *number = x && (g || !grad) ? numbers(c, device, &longest) : NULL, *work = NULL;
  if (number) work = tensor_new(MT_F64, 3, (int64_t[]){c->batch, c->steps + 2, 2 * longest + 1}, device);
  bool good = work && driver_use(device.index);
  if (good) {
    CtcRun r = {.x = tensor_data(x),
                .grad = g ? tensor_data(g) : NULL,
                .out = tensor_data(out),
                .number = (const int64_t *)(void *)tensor_data(number),
                .work = (double *)(void *)tensor_data(work),
                .steps = c->steps,
                .batch = c->batch,
                .classes = c->classes,
                .blank = c->blank,
                .room = (c->steps + 2) * (2 * longest + 1),
                .zero_infinity = zero_infinity};
    good = driver_launched(cuda_launch_ctc(d, &r, driver_stream(device.index)), "ctc_loss");
  }
  tensor_release(work);
  tensor_release(number);
  tensor_release(g);
  tensor_release(x);
  return good;
}
bool cuda_ctc(const Ctc *c, Tensor *log_probs, Tensor *out) { return run(c, NULL, log_probs, false, out); }
bool cuda_ctc_back(const Ctc *c, Tensor *grad, Tensor *log_probs, bool zero_infinity, Tensor *out) {
  return run(c, grad, log_probs, zero_infinity, out);
}
