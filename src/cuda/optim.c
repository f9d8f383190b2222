/* Optimiser steps on a device. Operands that do not lie in order are stepped as packed copies and copied back.
 *
 * Between cuda_optim_gather(true) and (false) a thread's steps wait for others that are alike, so that many
 * parameters take one launch. They run when one comes that is not alike or meets memory of theirs, and before
 * anything else that this thread does on a device (driver_stream asks for it): nobody can tell that they waited. */
#include "cuda/optim.h"
#include "cuda/driver.h"
#include <string.h>

typedef union {
  SgdStep sgd;
  AdamStep adam;
  RmsStep rms;
  DeltaStep delta;
  MomentStep moment;
  AverageStep average;
  SignStep sign;
} AnyStep;

static const size_t step_bytes[STEPS] = {
    [STEP_SGD] = sizeof(SgdStep),      [STEP_ADAM] = sizeof(AdamStep),       [STEP_RMS] = sizeof(RmsStep),
    [STEP_DELTA] = sizeof(DeltaStep),  [STEP_ADAMAX] = sizeof(MomentStep),   [STEP_NADAM] = sizeof(MomentStep),
    [STEP_RADAM] = sizeof(MomentStep), [STEP_AVERAGE] = sizeof(AverageStep), [STEP_SIGN] = sizeof(SignStep)};

/* Steps that are alike: one kind, one dtype, one device, the same numbers. */
typedef struct {
  StepKind kind;
  DType dtype;
  int index;
  AnyStep step;
  OptimRun run;
  Tensor *held[OPTIM_TENSORS][OPTIM_OPERANDS];
  bool lost; /* a launch failed where nobody could be told */
} Steps;
static _Thread_local Steps *gathered; /* NULL: steps do not wait */

static void append(Steps *s, Tensor *const *t, int operands) {
  int k = s->run.count++;
  s->run.n[k] = t[0]->numel;
  s->run.first[k + 1] = s->run.first[k] + (uint32_t)((t[0]->numel + OPTIM_CHUNK - 1) / OPTIM_CHUNK);
  for (int o = 0; o < OPTIM_OPERANDS; o++) s->run.at[k][o] = o < operands && t[o] ? tensor_data(t[o]) : NULL;
}

static bool launch(Steps *s) {
  cudaStream_t stream = stream_of_thread(s->index);
  return driver_use(s->index) &&
         driver_launched(cuda_launch_optim(s->kind, s->dtype, &s->step, &s->run, stream), "optimiser");
}

static bool flush(Steps *s) {
  int n = s->run.count;
  if (n == 0) return true;
  bool good = launch(s);
  s->run.count = 0; /* giving memory back asks for the stream */
  for (int k = 0; k < n; k++)
    for (int o = 0; o < OPTIM_OPERANDS; o++) tensor_release(s->held[k][o]);
  return good;
}

void optim_flush(void) {
  if (gathered && gathered->run.count > 0 && !flush(gathered)) {
    gathered->lost = true; /* told when the gathering ends */
    fail_clear();
  }
}

bool cuda_optim_gather(bool begin, Device at) {
  (void)at;
  if (begin) return gathered || (gathered = mem_zero(sizeof *gathered));
  if (!gathered) return true;
  bool good = flush(gathered);
  if (good && gathered->lost)
    good = fail(MT_ERUNTIME, "CUDA error: an optimiser's step could not be launched: parameters are not all stepped");
  mem_free(gathered);
  gathered = NULL;
  return good;
}

/* Does t share memory with what waits? Two that are only read may. */
static bool meets(const Steps *s, const Tensor *t, bool writes) {
  const char *from = tensor_data(t), *to = from + tensor_bytes(t);
  for (int k = 0; k < s->run.count; k++)
    for (int o = 0; o < OPTIM_OPERANDS; o++) {
      const char *at = s->run.at[k][o];
      if (at && (writes || o != 1) && from < at + s->run.n[k] * dtype_size(s->dtype) && at < to) return true;
    }
  return false;
}

static bool wait(Steps *s, StepKind kind, const void *step, Tensor *const *t, int operands) {
  DType d = (DType)t[0]->dtype;
  int index = tensor_device(t[0]).index;
  bool alike = s->run.count > 0 && s->run.count < OPTIM_TENSORS && s->kind == kind && s->dtype == d &&
               s->index == index && memcmp(&s->step, step, step_bytes[kind]) == 0;
  for (int k = 0; k < operands && alike; k++) alike = !t[k] || !meets(s, t[k], k != 1);
  if (!alike && !flush(s)) return false;
  s->kind = kind, s->dtype = d, s->index = index;
  memcpy(&s->step, step, step_bytes[kind]);
  for (int k = 0; k < OPTIM_OPERANDS; k++) s->held[s->run.count][k] = k < operands && t[k] ? tensor_retain(t[k]) : NULL;
  append(s, t, operands);
  return true;
}

static bool run(StepKind kind, const void *step, Tensor *const *t, int operands) {
  Steps one;
  driver_stream(tensor_device(t[0]).index); /* what waits comes first */
  one.kind = kind, one.dtype = (DType)t[0]->dtype, one.index = tensor_device(t[0]).index;
  memcpy(&one.step, step, step_bytes[kind]);
  one.run.count = 0, one.run.first[0] = 0;
  append(&one, t, operands);
  return launch(&one);
}

bool cuda_optim_step(StepKind kind, const void *step, Tensor *const *t, int operands) {
  DType d = (DType)t[0]->dtype;
  Tensor *packed[STEP_OPERANDS] = {NULL};
  bool good = true, lies = dtype_is_float(d);
  if (t[0]->numel == 0) return true;
  for (int k = 0; k < operands; k++) lies = lies && (!t[k] || (t[k]->dtype == d && tensor_is_contiguous(t[k])));
  if (lies && gathered) return wait(gathered, kind, step, t, operands);
  for (int k = 0; good && k < operands; k++) good = !t[k] || (packed[k] = cuda_packed(t[k], d)) != NULL;
  good = good && run(kind, step, packed, operands);
  for (int k = 0; k < operands; k++) {
    if (good && k != 1 && packed[k] != t[k]) good = cuda_copy(t[k], packed[k]);
    tensor_release(packed[k]);
  }
  return good;
}
