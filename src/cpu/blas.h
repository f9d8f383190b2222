/* A library's matrix product in place of our own: `make BLAS=openblas` or `make BLAS=onednn`; else nothing is taken.
 *
 * Invariant: the library never works on threads of its own. C is cut by its shape alone, and each block is one serial call
 * on one of our threads; so our setting of threads holds, fork and unloading meet no foreign thread, and results are
 * the same for every number of threads. */
#ifndef MT_BLAS_H
#define MT_BLAS_H
#include "cpu/gemm.h"

#if defined(MT_BLAS_openblas) || defined(MT_BLAS_onednn)
/* Whether the library computes this product: a float type it has, unit strides on one side of each factor, sizes that
 * fit its integers, and enough work. */
bool blas_takes(const Gemm *g);
/* The product; `own` computes a block that the library failed on, for want of memory, and its answer is returned then. */
bool blas_batch(int isa, const Gemm *g, bool (*own)(int isa, const Gemm *g));
#else
static inline bool blas_takes(const Gemm *g) { return (void)g, false; }
static inline bool blas_batch(int isa, const Gemm *g, bool (*own)(int isa, const Gemm *g)) { return own(isa, g); }
#endif
#endif
