/* Optimiser steps on a device. Operands that do not lie in order are stepped as packed copies and copied back. */
#include "cuda/optim.h"
#include "cuda/driver.h"

static bool run(StepKind kind, const void *step, DType d, int index, Tensor *const *t, int operands) {
  OptimRun r = {.n = t[0]->numel};
  for (int k = 0; k < operands; k++) r.at[k] = t[k] ? tensor_data(t[k]) : NULL;
  return driver_use(index) && driver_launched(cuda_launch_optim(kind, d, step, &r, driver_stream(index)), "optimiser");
}

bool cuda_optim_step(StepKind kind, const void *step, Tensor *const *t, int operands) {
  DType d = (DType)t[0]->dtype;
  Tensor *packed[STEP_OPERANDS] = {NULL};
  bool good = true;
  for (int k = 0; good && k < operands; k++) good = !t[k] || (packed[k] = cuda_packed(t[k], d)) != NULL;
  good = good && run(kind, step, d, tensor_device(t[0]).index, packed, operands);
  for (int k = 0; k < operands; k++) {
    if (good && k != 1 && packed[k] != t[k]) good = cuda_copy(t[k], packed[k]);
    tensor_release(packed[k]);
  }
  return good;
}
