/* Square systems by P A = L U with partial pivoting: what is asked of a device for batches of matrices. */
#ifndef MT_LU_H
#define MT_LU_H
#include "tensor/tensor.h"

typedef enum { SYSTEM_INVERSE, SYSTEM_DET, SYSTEM_SLOGDET, SYSTEM_SOLVE } SystemKind;

/* All arithmetic is float64. The results are contiguous. */
typedef struct {
  SystemKind kind;
  Tensor *a, *b; /* matrices of any strides; b: right-hand sides with a's batches (SYSTEM_SOLVE) */
  double least;  /* what stands for a pivot that is zero; 0: it stays */
  Tensor *out, *second;
  int64_t
      *singular; /* NULL, or where the first singular matrix goes (from 0) and its first zero pivot (from 1; 0: none is
                      * singular); then out may be anything, and the host waits for a device */
} Systems;
bool cpu_systems(const Systems *s);
#endif
