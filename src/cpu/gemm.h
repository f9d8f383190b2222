/* Matrix products on plain pointers: C = alpha * A B + beta * C, for every numeric dtype.
 *
 * A is (m, k), B is (k, n), both with any element strides (transposed, sliced, stride 0); the rows of C are contiguous.
 * Invariant: each element of C is summed over k in an order that depends on the shapes only, so results are the
 * same for every number of threads. Zeros are not skipped: NaN and infinity propagate as in IEEE arithmetic. */
#ifndef MT_GEMM_H
#define MT_GEMM_H
#include "base/dtype.h"
#include "tensor/tensor.h"

typedef struct {
  DType dtype;            /* any but bool; float16 and bfloat16 are summed in float32, integers wrap around */
  int64_t m, n, k, batch; /* a size of 0 is legal: k = 0 gives beta * C, the others do nothing */
  const void *a;
  int64_t a_row, a_col, a_batch; /* strides count elements; a batch stride of 0 repeats the matrix */
  const void *b;
  int64_t b_row, b_col, b_batch;
  void *c;                /* shares no element with A, B or bias */
  int64_t c_row, c_batch; /* c_batch 0: the products of the batch are summed in turn; not for 16 bits and less */
  const void *bias;       /* NULL, or n elements: then C = alpha * A B + beta * bias, and C is not read */
  Scalar alpha, beta;     /* beta = 0: C is not read */
} Gemm;

/* False when memory for packed copies cannot be had; then C is unchanged. */
bool gemm_batch(const Gemm *g);
/* The same as a kernel of devices (cpu/device_kernels.h); pointers are of the device. */
bool cpu_products(const Gemm *g, Device at);
/* One product without bias. */
bool gemm(DType d, int64_t m, int64_t n, int64_t k, double alpha, const void *a, int64_t a_row, int64_t a_col,
          const void *b, int64_t b_row, int64_t b_col, double beta, void *c, int64_t c_row);
/* gemm_batch on the kernels of instruction set `isa` (at most isa_level()); for tests. */
bool gemm_batch_isa(int isa, const Gemm *g);

/* The same for float16 and bfloat16, no size 0 but k: gemm_batch_isa calls it. */
bool gemm_half(int isa, const Gemm *g);

/* B (k, n), packed once for many products with few rows each. float32 and float64 only. */
typedef struct {
  const struct GemmKernels *kernels;
  DType dtype;
  int64_t n, k, step; /* step: of k, packed together */
  char *memory;
  int64_t bytes;
} GemmPacked;
/* False when memory cannot be had; then nothing is held. */
bool gemm_pack(GemmPacked *p, DType d, int64_t n, int64_t k, const void *b, int64_t b_row, int64_t b_col);
void gemm_pack_free(GemmPacked *p);
/* C = A B + add, where A is (m, k) with contiguous rows; add NULL: nothing is added; it may be C, or one row for all (add_row
 * 0). Sums run in an order that depends on k alone. */
void gemm_packed(const GemmPacked *p, int64_t m, const void *a, int64_t a_row, void *c, int64_t c_row, const void *add,
                 int64_t add_row);

/* Below this line: what src/cpu/vec/gemm.c offers to src/cpu/gemm.c. */

/* One step of a product over k: a block of C with the parts of A and B that meet in it. Pointers are at the block's
 * first element. Packed operands are panels of `mr` rows (`nr` columns), each stored k after k: element (i, p) of a
 * panel of w rows lies at p * w + i; B's last panel is padded with zeros to whole vectors. */
typedef struct {
  int64_t m, n, k;
  const void *a;
  int64_t a_row, a_col;
  void *a_packed; /* NULL: A is read in place */
  const void *b;
  int64_t b_row, b_col;
  void *b_packed; /* panels from column b_first on; the columns before it are read in place (b_col is 1) */
  int64_t b_first;
  bool b_far; /* what is read of B in place comes from beyond the second cache */
  void *c;
  int64_t c_row;
  const void *add; /* what beta multiplies: C itself, or the bias with add_row 0 */
  int64_t add_row;
  const void *alpha, *beta; /* one element each */
} GemmBlock;

typedef struct GemmKernels {
  int mr, nr, lanes, size; /* rows and columns of a tile; elements of a vector; bytes of an element */
  /* Packs the panels of A's rows [i0, i1), of B's columns [j0, j1); i0 is a multiple of mr, j0 - b_first of nr. */
  void (*pack_a)(const GemmBlock *g, int64_t i0, int64_t i1);
  void (*pack_b)(const GemmBlock *g, int64_t j0, int64_t j1);
  /* Computes rows [i0, i1), columns [j0, j1) of C; both begin at a tile's edge and end at one or at the block's end. */
  void (*tiles)(const GemmBlock *g, int64_t i0, int64_t i1, int64_t j0, int64_t j1);
  /* The same region where A and B both have k contiguous (a_col = b_row = 1): dot products, nothing packed. */
  void (*dots)(const GemmBlock *g, int64_t i0, int64_t i1, int64_t j0, int64_t j1);
  /* One row of C where B's rows are contiguous: C is the sum of B's rows weighted by A, in memory order. */
  void (*row)(const GemmBlock *g, int64_t j0, int64_t j1);
} GemmKernels;
/* Few rows of A, in float32 with k contiguous, times a B of 16-bit floats; C is overwritten with the sums. */
typedef struct {
  /* dots: k is contiguous in B, whose columns are b_step apart. rows: B's rows are contiguous, b_step apart. */
  void (*dots)(int64_t m, int64_t n, int64_t k, const float *a, int64_t a_row, const uint16_t *b, int64_t b_step,
               float *c, int64_t c_row);
  void (*rows)(int64_t m, int64_t n, int64_t k, const float *a, int64_t a_row, const uint16_t *b, int64_t b_step,
               float *c, int64_t c_row);
} GemmThin;
/* The kernels of an instruction set for float32, float64, int32 or int64: for what makes its products block by block. */
const GemmKernels *gemm_kernels(int isa, DType d);
#endif
