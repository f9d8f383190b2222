/* Resampling along one dim: each result is a weighted sum of a few neighbours. A table of these serves all modes. */
#ifndef MT_RESAMPLE_KERNELS_H
#define MT_RESAMPLE_KERNELS_H
#include "cpu/resample_taps.h"
#include "tensor/tensor.h"

/* out has x's shape but for dim. back: x is a result's gradient and out the input's. Floats only. */
bool cpu_resample(const Resample *how, Tensor *x, int dim, bool back, Tensor *out);
#endif
