/* Optimiser steps on a device: what optim.c asks of optim.cu. */
#ifndef MT_CUDA_OPTIM_H
#define MT_CUDA_OPTIM_H
#include "cuda/rows.h"

/* Up to OPTIM_TENSORS parameters that one launch steps alike: n packed elements of each operand of a step
 * (cpu/optim.h), NULL where it has none. first: the number of each one's first block of OPTIM_CHUNK elements, and how
 * many there are. With a step's numbers it fits into the 4 KB that a launch may be given. */
enum { OPTIM_OPERANDS = 5, OPTIM_TENSORS = 60, OPTIM_CHUNK = 2048 };
typedef struct OptimRun {
  int count;
  uint32_t first[OPTIM_TENSORS + 1];
  int64_t n[OPTIM_TENSORS];
  void *at[OPTIM_TENSORS][OPTIM_OPERANDS];
} OptimRun;
/* kind is a StepKind, step its struct; a CUDA error, or -1 for dtypes that are not floats. */
CUDA_API int cuda_launch_optim(int kind, int dtype, const void *step, const OptimRun *run, void *stream);
#endif
