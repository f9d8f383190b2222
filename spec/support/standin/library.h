/* What the stand-ins for NVIDIA's libraries share: elements of a float type as doubles, calls that can fail, work on a
 * stream. */
#ifndef STANDIN_LIBRARY_H
#define STANDIN_LIBRARY_H
#include <cuda_runtime_api.h>
#include <functional>
#include <string.h>
extern "C" {
#include "base/dtype.h"
}

/* Counts a call, as each of the runtime's is; false when it is to fail. */
bool standin_enter();
/* Runs the job in the stream's order, with the devices' memory open. */
cudaError_t standin_work(cudaStream_t stream, std::function<void()> job);
/* All these bytes lie in one block of a device. */
bool standin_within(const void *p, size_t bytes);
/* The library function of that name; NULL. */
void *standin_blas_symbol(const char *name);
void *standin_dnn_symbol(const char *name);

enum StandinType { STANDIN_F32, STANDIN_F64, STANDIN_F16, STANDIN_BF16 };
inline size_t standin_size(StandinType t) { return t == STANDIN_F64 ? 8 : t == STANDIN_F32 ? 4 : 2; }
inline double standin_get(StandinType t, const void *p, int64_t i) {
  switch (t) {
  case STANDIN_F32: return ((const float *)p)[i];
  case STANDIN_F64: return ((const double *)p)[i];
  case STANDIN_F16: return half_to_float(((const uint16_t *)p)[i]);
  default: return bfloat_to_float(((const uint16_t *)p)[i]);
  }
}
inline void standin_put(StandinType t, void *p, int64_t i, double v) {
  switch (t) {
  case STANDIN_F32: ((float *)p)[i] = (float)v; break;
  case STANDIN_F64: ((double *)p)[i] = v; break;
  case STANDIN_F16: ((uint16_t *)p)[i] = float_to_half((float)v); break;
  default: ((uint16_t *)p)[i] = float_to_bfloat((float)v); break;
  }
}
#endif
