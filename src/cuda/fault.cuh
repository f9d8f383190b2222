/* Faults on the device's side, see fault.h. */
#ifndef MT_CUDA_FAULT_CUH
#define MT_CUDA_FAULT_CUH
#include "cuda/fault.h"
#include "cuda/kernel.cuh"

static __device__ inline void fault_note(FaultPlace p, unsigned kind, int dim, int64_t value, int64_t limit,
                                         int64_t element = 0) {
  if (atomicCAS(&p.record->kind, (unsigned)FAULT_NONE, (unsigned)FAULT_BUSY) != FAULT_NONE) return;
  p.record->ticket = p.ticket;
  p.record->dim = dim;
  p.record->value = value;
  p.record->limit = limit;
  p.record->element = element;
  __threadfence_system();
  atomicExch(&p.record->kind, kind);
}

/* Position `value` (from 1; negative ones from the end where the operator takes them) of a dim of that size, counted from
 * 0; -1 and a fault when there is no such element. */
static __device__ inline int64_t position_at(FaultPlace p, int64_t value, int64_t size, bool negative, int dim,
                                             int64_t element = 0) {
  if (value > 0 && value <= size) return value - 1;
  if (negative && value < 0 && value >= -size) return value + size;
  fault_note(p, FAULT_POSITION, dim, value, size, element);
  return -1;
}
#endif
