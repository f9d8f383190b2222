/* Evenly spaced numbers: start + step (i - origin), in the arithmetic of int64, double or float, block by block. */
#include "base/pool.h"
#include "cpu/copy.h"
#include "cpu/kernels.h"

enum { BLOCK = 512, UNIT = 65536 };

typedef struct {
  Ramp ramp;
  DType as, dtype;
  char *to;
} Job;

/* A whole block each time, so that the loops have a known length. */
static void ramp_body(void *context, int64_t begin, int64_t end) {
  const Job *j = context;
  union {
    int64_t i[BLOCK];
    double d[BLOCK];
    float f[BLOCK];
  } block;
  const int size = dtype_size(j->dtype);
  const RowFn cast = cast_row(j->as, j->dtype);
  for (int64_t at = begin; at < end; at += BLOCK) {
    const int64_t n = end - at < BLOCK ? end - at : BLOCK, first = j->ramp.first + at - j->ramp.origin;
    const double from = (double)first;
    if (j->as == MT_I64) {
      const uint64_t start = (uint64_t)j->ramp.start.i, step = (uint64_t)j->ramp.step.i;
      for (int k = 0; k < 4; k++) block.i[k] = (int64_t)(start + ((uint64_t)first + (uint64_t)k) * step);
      for (int k = 4; k < BLOCK; k++) block.i[k] = (int64_t)((uint64_t)block.i[k - 4] + 4 * step);
    } else if (j->as == MT_F64) {
      const double start = scalar_double(j->ramp.start), step = scalar_double(j->ramp.step);
      for (int k = 0; k < BLOCK; k++) block.d[k] = start + step * (from + (double)k);
    } else {
      const float start = (float)scalar_double(j->ramp.start), step = (float)scalar_double(j->ramp.step);
      for (int k = 0; k < BLOCK; k++) block.f[k] = start + step * (float)(from + (double)k);
    }
    cast((char *[]){j->to + at * size, (char *)&block}, (int64_t[]){size, dtype_size(j->as)}, n, NULL);
  }
}

void cpu_ramp(Tensor *out, Ramp ramp, int64_t n, DType as) {
  Job j = {ramp, as, (DType)out->dtype, tensor_data(out) + ramp.first * dtype_size((DType)out->dtype)};
  if (n > 0) parallel_for(n, UNIT, ramp_body, &j);
}
