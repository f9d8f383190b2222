/* Resampling along one dim: each result is a weighted sum of a few neighbours. A table of these serves all modes. */
#ifndef MT_RESAMPLE_KERNELS_H
#define MT_RESAMPLE_KERNELS_H
#include "tensor/tensor.h"

typedef enum {
  RESAMPLE_NEAREST,
  RESAMPLE_EXACT, /* nearest to the middle of each result */
  RESAMPLE_LINEAR,
  RESAMPLE_CUBIC,
  RESAMPLE_LINEAR_AA, /* antialiased: the filter is as wide as what it stands for */
  RESAMPLE_CUBIC_AA,
  RESAMPLE_LANCZOS_AA,
  RESAMPLE_MODES
} ResampleMode;

typedef struct {
  ResampleMode mode;
  bool align_corners;
  double scale; /* results per element as the caller gave it; 0: from the sizes */
  bool single;  /* positions are computed in float, as PyTorch does for all but float64 */
  bool bytes;   /* values are whole, from 0 to 255: fixed point weights, rounded results */
} Resample;

/* out has x's shape but for dim. back: x is a result's gradient and out the input's. Floats only. */
bool cpu_resample(const Resample *how, Tensor *x, int dim, bool back, Tensor *out);
#endif
