/* Optimiser steps on a device: what optim.c asks of optim.cu. */
#ifndef MT_CUDA_OPTIM_H
#define MT_CUDA_OPTIM_H
#include "cuda/rows.h"

/* n packed elements of each operand of a step (cpu/optim.h), NULL where it has none. */
enum { OPTIM_OPERANDS = 5 };
typedef struct OptimRun {
  void *at[OPTIM_OPERANDS];
  int64_t n;
} OptimRun;
/* kind is a StepKind, step its struct; a CUDA error, or -1 for dtypes that are not floats. */
CUDA_API int cuda_launch_optim(int kind, int dtype, const void *step, const OptimRun *run, void *stream);
#endif
