/* Matrix products on a device, through cuBLAS; a bias that all rows share is added by cuBLASLt.
 *
 * cuBLAS counts columns first: a packed C (m, n) is its C^T (n, m) = B^T A^T, so the factors change places and nothing is
 * turned. A factor that has unit strides on one side is read where it lies; another one is packed first. 16-bit floats are
 * summed in float32. The scratch is ours and of one stream, so results are the same each time. Whole numbers take
 * integers.cu. */
#include "cuda/integers.h"
#include "cuda/library.h"
#include "cuda/rows.h"
#include <stdint.h>
#include <string.h>

/* What cuBLAS reads for a factor of `rows` x `cols` with element strides. */
typedef struct {
  const void *data;
  cublasOperation_t op;
  int64_t lead, batch;
  void *packed, *owner; /* owned memory, or NULL; how it is given back */
  int64_t bytes;
} Operand;

static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

static cudaDataType type_of(DType d) {
  return d == MT_F64 ? CUDA_R_64F : d == MT_F32 ? CUDA_R_32F : d == MT_F16 ? CUDA_R_16F : CUDA_R_16BF;
}
static cublasComputeType_t compute_of(DType d) {
  if (d == MT_F64) return CUBLAS_COMPUTE_64F;
  return d == MT_F32 && device_modes()->matmul_tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
}

/* A packed copy of a factor's matrices, row by row. */
static bool pack(const Gemm *g, const void *from, int64_t rows, int64_t cols, int64_t row, int64_t col, int64_t step,
                 int index, Operand *o) {
  int size = dtype_size(g->dtype);
  int64_t batch = step == 0 ? 1 : g->batch, matrix = rows * cols;
  Rows r = {.operands = 2,
            .ndim = 3,
            .numel = matrix * batch,
            .shape = {cols, rows, batch},
            .stride = {{size, cols * size, matrix * size}, {col * size, row * size, step * size}}};
  o->bytes = r.numel * size;
  if (!(o->packed = cuda_allocate(index, o->bytes, &o->owner))) return false;
  r.ptr[0] = o->packed;
  r.ptr[1] = (char *)from;
  *o = (Operand){o->packed, CUBLAS_OP_N, most(1, cols), step == 0 ? 0 : matrix, o->packed, o->owner, o->bytes};
  return driver_check((cudaError_t)cuda_launch_cast(g->dtype, g->dtype, &r, driver_stream(index)), "copy");
}

/* A matrix read row by row is, to cuBLAS, its transpose read column by column; that is what it multiplies here. */
static bool operand_of(const Gemm *g, const void *data, int64_t rows, int64_t cols, int64_t row, int64_t col,
                       int64_t step, int index, Operand *o) {
  *o = (Operand){.data = data, .batch = step};
  if (rows == 0 || cols == 0) {
    o->op = CUBLAS_OP_N, o->lead = most(1, cols);
  } else if ((cols == 1 || col == 1) && (rows == 1 || row >= cols)) {
    o->op = CUBLAS_OP_N, o->lead = rows == 1 ? cols : row;
  } else if ((rows == 1 || row == 1) && (cols == 1 || col >= rows)) {
    o->op = CUBLAS_OP_T, o->lead = cols == 1 ? rows : col;
  } else {
    return pack(g, data, rows, cols, row, col, step, index, o);
  }
  return true;
}

/* ---- with a bias: cuBLASLt ---- */

/* One product as cuBLASLt is asked for it. */
typedef struct {
  int index, dtype, op_a, op_b, compute;
  int align_a, align_b, align_c, align_d;
  int64_t m, n, k, lead_a, lead_b, lead_c;
} LtKey;

typedef struct {
  LtKey key;
  bool known, usable;
  cublasLtMatmulDesc_t desc;
  cublasLtMatrixLayout_t a, b, c;
  cublasLtMatmulAlgo_t algo;
} LtPlan;

enum { LT_PLANS = 64 };
static LtPlan plans[LT_PLANS]; /* by their key's hash; under the library's lock */

static LtPlan *plan_at(const LtKey *key) {
  const unsigned char *byte = (const unsigned char *)key;
  uint64_t hash = 1469598103934665603u;
  for (size_t k = 0; k < sizeof *key; k++) hash = (hash ^ byte[k]) * 1099511628211u;
  return &plans[(hash ^ hash >> 32) % LT_PLANS];
}

static void plan_drop(const BlasLt *lt, LtPlan *p) {
  if (p->desc) lt->cublasLtMatmulDescDestroy(p->desc);
  if (p->a) lt->cublasLtMatrixLayoutDestroy(p->a);
  if (p->b) lt->cublasLtMatrixLayoutDestroy(p->b);
  if (p->c) lt->cublasLtMatrixLayoutDestroy(p->c);
  *p = (LtPlan){.known = false};
}

#define TRY(expression, name) blas_check(use, expression, name)
static bool lay_out(const BlasUse *use, LtPlan *p, cublasLtMatrixLayout_t *layout, int64_t rows, int64_t cols,
                    int64_t lead) {
  return TRY(
      use->lt->cublasLtMatrixLayoutCreate(layout, type_of((DType)p->key.dtype), (uint64_t)rows, (uint64_t)cols, lead),
      "cublasLtMatrixLayoutCreate");
}

/* The algorithm that the library recommends, which may be none. */
static bool choose(const BlasUse *use, LtPlan *p) {
  const BlasLt *lt = use->lt;
  const uint32_t align[] = {(uint32_t)p->key.align_a, (uint32_t)p->key.align_b, (uint32_t)p->key.align_c,
                            (uint32_t)p->key.align_d};
  const uint64_t room = (uint64_t)use->bytes;
  cublasLtMatmulPreference_t want = NULL;
  cublasLtMatmulHeuristicResult_t found;
  int count = 0;
#define PREFER(what, value)                                                          \
  TRY(lt->cublasLtMatmulPreferenceSetAttribute(want, what, &(value), sizeof(value)), \
      "cublasLtMatmulPreferenceSetAttribute")
  bool good = TRY(lt->cublasLtMatmulPreferenceCreate(&want), "cublasLtMatmulPreferenceCreate") &&
              PREFER(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, room) &&
              PREFER(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, align[0]) &&
              PREFER(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, align[1]) &&
              PREFER(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, align[2]) &&
              PREFER(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, align[3]);
  if (good) {
    cublasStatus_t status = lt->cublasLtMatmulAlgoGetHeuristic((cublasLtHandle_t)use->handle, p->desc, p->a, p->b, p->c,
                                                               p->c, want, 1, &found, &count);
    p->usable = status == CUBLAS_STATUS_SUCCESS && count > 0 && found.state == CUBLAS_STATUS_SUCCESS;
    if (p->usable) p->algo = found.algo;
    good = status == CUBLAS_STATUS_SUCCESS || status == CUBLAS_STATUS_NOT_SUPPORTED ||
           TRY(status, "cublasLtMatmulAlgoGetHeuristic");
  }
  if (want) lt->cublasLtMatmulPreferenceDestroy(want);
  return good;
#undef PREFER
}

#define DESCRIBE(what, value) \
  TRY(lt->cublasLtMatmulDescSetAttribute(p->desc, what, &(value), sizeof(value)), "cublasLtMatmulDescSetAttribute")
static bool plan_make(const BlasUse *use, LtPlan *p, const LtKey *key) {
  const BlasLt *lt = use->lt;
  const cublasOperation_t a = (cublasOperation_t)key->op_a, b = (cublasOperation_t)key->op_b;
  const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
  plan_drop(lt, p);
  p->key = *key;
  bool good =
      TRY(lt->cublasLtMatmulDescCreate(&p->desc, (cublasComputeType_t)key->compute,
                                       key->dtype == MT_F64 ? CUDA_R_64F : CUDA_R_32F),
          "cublasLtMatmulDescCreate") &&
      DESCRIBE(CUBLASLT_MATMUL_DESC_TRANSA, a) && DESCRIBE(CUBLASLT_MATMUL_DESC_TRANSB, b) &&
      DESCRIBE(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue) &&
      lay_out(use, p, &p->a, a == CUBLAS_OP_N ? key->m : key->k, a == CUBLAS_OP_N ? key->k : key->m, key->lead_a) &&
      lay_out(use, p, &p->b, b == CUBLAS_OP_N ? key->k : key->n, b == CUBLAS_OP_N ? key->n : key->k, key->lead_b) &&
      lay_out(use, p, &p->c, key->m, key->n, key->lead_c);
  return good;
}

static int alignment(const void *p) {
  uintptr_t at = (uintptr_t)p;
  int align = 256;
  while (at % (uintptr_t)align) align /= 2;
  return align;
}

/* C = alpha A B + bias. *done: false when cuBLASLt has no way, and nothing was written. */
static bool product_with_bias(const BlasUse *use, const Gemm *g, const Operand *a, const Operand *b, const void *alpha,
                              const void *zero, bool *done) {
  const BlasLt *lt = use->lt;
  LtKey key;
  memset(&key, 0, sizeof key); /* gaps too: it is hashed */
  key.index = use->index, key.dtype = g->dtype, key.op_a = (int)b->op, key.op_b = (int)a->op;
  key.compute = (int)compute_of(g->dtype);
  key.align_a = alignment(b->data), key.align_b = alignment(a->data), key.align_c = alignment(g->c);
  key.align_d = alignment(g->bias) < key.align_c ? alignment(g->bias) : key.align_c;
  key.m = g->n, key.n = g->m, key.k = g->k;
  key.lead_a = b->lead, key.lead_b = a->lead, key.lead_c = g->c_row;
  LtPlan *p = plan_at(&key);
  *done = false;
  if (!p->known || memcmp(&p->key, &key, sizeof key) != 0) {
    if (!plan_make(use, p, &key) || !DESCRIBE(CUBLASLT_MATMUL_DESC_BIAS_POINTER, g->bias) || !choose(use, p)) {
      plan_drop(lt, p);
      return false;
    }
    p->known = true;
  }
  if (!p->usable) return true;
  *done = true;
  return DESCRIBE(CUBLASLT_MATMUL_DESC_BIAS_POINTER, g->bias) &&
         TRY(lt->cublasLtMatmul((cublasLtHandle_t)use->handle, p->desc, alpha, b->data, p->a, a->data, p->b, zero, g->c,
                                p->c, g->c, p->c, &p->algo, use->memory, (size_t)use->bytes, driver_stream(use->index)),
             "cublasLtMatmul");
}

/* ---- the product ---- */

/* The bias in every row of C. */
static bool spread(const Gemm *g, int index) {
  int size = dtype_size(g->dtype);
  Rows r = {.operands = 2,
            .ndim = 3,
            .numel = g->m * g->n * g->batch,
            .ptr = {g->c, (char *)g->bias},
            .shape = {g->n, g->m, g->batch},
            .stride = {{size, g->c_row * size, g->c_batch * size}, {size, 0, 0}}};
  return driver_check((cudaError_t)cuda_launch_cast(g->dtype, g->dtype, &r, driver_stream(index)), "copy");
}

static cublasMath_t math_of(DType d) {
  bool reduced = d == MT_F16 ? device_modes()->fp16_reduction : d == MT_BF16 ? device_modes()->bf16_reduction : true;
  return reduced ? CUBLAS_DEFAULT_MATH : CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION;
}

static bool multiply(const BlasUse *use, const Gemm *g, const Operand *a, const Operand *b) {
  const float alpha = (float)scalar_double(g->alpha), beta = (float)scalar_double(g->beta), zero = 0;
  const double alpha_d = scalar_double(g->alpha), beta_d = scalar_double(g->beta), zero_d = 0;
  const bool wide = g->dtype == MT_F64;
  const cudaDataType type = type_of(g->dtype);
  if (g->bias) {
    bool fuses = use->lt && beta_d == 1 && g->batch == 1 && g->m > 1 && g->n > 1 && g->k > 0, done = false;
    if (fuses && !product_with_bias(use, g, a, b, wide ? (const void *)&alpha_d : &alpha,
                                    wide ? (const void *)&zero_d : &zero, &done))
      return false;
    if (done) return true;
    if (!spread(g, use->index)) return false;
  }
  return TRY(use->call->cublasSetMathMode(use->handle, math_of(g->dtype)), "cublasSetMathMode") &&
         TRY(use->call->cublasGemmStridedBatchedEx_64(
                 use->handle, b->op, a->op, g->n, g->m, g->k, wide ? (const void *)&alpha_d : &alpha, b->data, type,
                 b->lead, b->batch, a->data, type, a->lead, a->batch, wide ? (const void *)&beta_d : &beta, g->c, type,
                 g->c_row, g->c_batch, g->batch, compute_of(g->dtype), CUBLAS_GEMM_DEFAULT),
             "cublasGemmStridedBatchedEx");
}

static bool whole_products(const Gemm *g, int index) {
  IntegerProduct p = {.a = g->a,
                      .b = g->b,
                      .bias = g->bias,
                      .c = g->c,
                      .m = g->m,
                      .n = g->n,
                      .k = g->k,
                      .batch = g->batch,
                      .a_row = g->a_row,
                      .a_col = g->a_col,
                      .a_batch = g->a_batch,
                      .b_row = g->b_row,
                      .b_col = g->b_col,
                      .b_batch = g->b_batch,
                      .c_row = g->c_row,
                      .c_batch = g->c_batch};
  scalar_store(g->alpha, g->dtype, &p.alpha);
  scalar_store(g->beta, g->dtype, &p.beta);
  return driver_use(index) &&
         driver_launched(cuda_launch_integer_product(g->dtype, &p, driver_stream(index)), "a product");
}

bool cuda_products(const Gemm *g, Device at) {
  Operand a = {.packed = NULL}, b = {.packed = NULL};
  BlasUse use;
  if (g->m * g->n * g->batch == 0) return true;
  if (!dtype_is_float(g->dtype)) return whole_products(g, at.index);
  bool good = driver_use(at.index) && operand_of(g, g->a, g->m, g->k, g->a_row, g->a_col, g->a_batch, at.index, &a) &&
              operand_of(g, g->b, g->k, g->n, g->b_row, g->b_col, g->b_batch, at.index, &b);
  if (good && blas_begin(&use, at.index)) {
    good = multiply(&use, g, &a, &b);
    blas_end(&use);
  } else {
    good = false;
  }
  if (a.packed) cuda_release(a.owner, a.packed, a.bytes);
  if (b.packed) cuda_release(b.owner, b.packed, b.bytes);
  return good;
}
