/* cuBLAS and cuBLASLt as plain loops: every argument is checked as the libraries check it, then elements are summed one by
 * one, in double. Matrices count columns first. */
#include <cublasLt.h>
#include "library.h"

struct cublasContext {
  cudaStream_t stream;
  void *workspace;
  size_t bytes;
};
struct StandinLtDesc {
  cublasComputeType_t compute;
  cudaDataType scale;
  cublasOperation_t a = CUBLAS_OP_N, b = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void *bias = nullptr;
};
struct StandinLtLayout {
  cudaDataType type;
  int64_t rows, cols, ld;
};
struct StandinLtPreference {
  uint64_t value[16];
};

static StandinType kind(cudaDataType t) {
  return t == CUDA_R_32F ? STANDIN_F32 : t == CUDA_R_64F ? STANDIN_F64 : t == CUDA_R_16F ? STANDIN_F16 : STANDIN_BF16;
}

struct Product {
  bool turn_a, turn_b;
  int64_t m, n, k, lda, ldb, ldc, step_a, step_b, step_c, batch;
  const void *a, *b, *bias;
  void *c;
  double alpha, beta;
  StandinType type;
};

/* Bytes of a stack of matrices with so many rows and columns. */
static size_t extent(int64_t rows, int64_t cols, int64_t ld, int64_t step, int64_t batch, size_t size) {
  if (rows == 0 || cols == 0 || batch == 0) return 0;
  return (size_t)((batch - 1) * step + (cols - 1) * ld + rows) * size;
}

static bool fits(const Product &p) {
  int64_t rows_a = p.turn_a ? p.k : p.m, cols_a = p.turn_a ? p.m : p.k, rows_b = p.turn_b ? p.n : p.k,
          cols_b = p.turn_b ? p.k : p.n;
  size_t size = standin_size(p.type);
  if (p.m < 0 || p.n < 0 || p.k < 0 || p.batch < 0 || p.lda < (rows_a > 1 ? rows_a : 1) ||
      p.ldb < (rows_b > 1 ? rows_b : 1) || p.ldc < (p.m > 1 ? p.m : 1))
    return false;
  auto there = [](const void *at, size_t bytes) { return bytes == 0 || standin_within(at, bytes); };
  return there(p.a, extent(rows_a, cols_a, p.lda, p.step_a, p.batch, size)) &&
         there(p.b, extent(rows_b, cols_b, p.ldb, p.step_b, p.batch, size)) &&
         there(p.c, extent(p.m, p.n, p.ldc, p.step_c, p.batch, size)) && (!p.bias || there(p.bias, (size_t)p.m * size));
}

static void run(const Product &p) {
  for (int64_t z = 0; z < p.batch; z++)
    for (int64_t j = 0; j < p.n; j++)
      for (int64_t i = 0; i < p.m; i++) {
        double sum = 0;
        for (int64_t q = 0; q < p.k; q++)
          sum += standin_get(p.type, p.a, z * p.step_a + (p.turn_a ? i * p.lda + q : q * p.lda + i)) *
                 standin_get(p.type, p.b, z * p.step_b + (p.turn_b ? q * p.ldb + j : j * p.ldb + q));
        int64_t at = z * p.step_c + j * p.ldc + i;
        double v = p.alpha * sum;
        if (p.beta != 0) v += p.beta * standin_get(p.type, p.c, at);
        if (p.bias) v += standin_get(p.type, p.bias, i);
        standin_put(p.type, p.c, at, v);
      }
}

static cublasStatus_t launch(const Product &p, cudaStream_t stream) {
  if (!fits(p)) return CUBLAS_STATUS_INVALID_VALUE;
  return standin_work(stream, [=] { run(p); }) == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}
static double number(cudaDataType t, const void *p) { return t == CUDA_R_64F ? *(const double *)p : *(const float *)p; }

#define ENTER \
  if (!standin_enter()) return CUBLAS_STATUS_INTERNAL_ERROR

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t *handle) {
  if (!standin_enter()) return CUBLAS_STATUS_ALLOC_FAILED;
  *handle = new cublasContext();
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  ENTER;
  handle->stream = stream;
  handle->workspace = nullptr; /* as the library does */
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void *workspace, size_t bytes) {
  ENTER;
  if ((uintptr_t)workspace % 256 || !standin_within(workspace, bytes)) return CUBLAS_STATUS_INVALID_VALUE;
  handle->workspace = workspace;
  handle->bytes = bytes;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetMathMode(cublasHandle_t, cublasMath_t) {
  ENTER;
  return CUBLAS_STATUS_SUCCESS;
}
const char *cublasGetStatusName(cublasStatus_t status) {
  switch (status) {
  case CUBLAS_STATUS_ALLOC_FAILED: return "CUBLAS_STATUS_ALLOC_FAILED";
  case CUBLAS_STATUS_INVALID_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
  case CUBLAS_STATUS_EXECUTION_FAILED: return "CUBLAS_STATUS_EXECUTION_FAILED";
  default: return "CUBLAS_STATUS_INTERNAL_ERROR";
  }
}
cublasStatus_t cublasGemmStridedBatchedEx_64(cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb,
                                             int64_t m, int64_t n, int64_t k, const void *alpha, const void *A,
                                             cudaDataType Atype, int64_t lda, long long int strideA, const void *B,
                                             cudaDataType Btype, int64_t ldb, long long int strideB, const void *beta,
                                             void *C, cudaDataType Ctype, int64_t ldc, long long int strideC,
                                             int64_t batchCount, cublasComputeType_t compute, cublasGemmAlgo_t) {
  ENTER;
  if (!handle->workspace || Atype != Btype || Atype != Ctype ||
      (Atype == CUDA_R_64F) != (compute == CUBLAS_COMPUTE_64F) ||
      (compute == CUBLAS_COMPUTE_32F_FAST_TF32 && Atype != CUDA_R_32F))
    return CUBLAS_STATUS_INVALID_VALUE;
  return launch({transa == CUBLAS_OP_T, transb == CUBLAS_OP_T, m, n, k, lda, ldb, ldc, strideA, strideB, strideC,
                 batchCount, A, B, nullptr, C, number(Atype, alpha), number(Atype, beta), kind(Atype)},
                handle->stream);
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *desc, cublasComputeType_t compute, cudaDataType scale) {
  ENTER;
  *desc = new StandinLtDesc;
  (*desc)->compute = compute;
  (*desc)->scale = scale;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
  delete desc;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t attribute,
                                              const void *value, size_t bytes) {
  ENTER;
  struct {
    int attribute;
    void *to;
    size_t bytes;
  } known[] = {{CUBLASLT_MATMUL_DESC_TRANSA, &d->a, sizeof d->a},
               {CUBLASLT_MATMUL_DESC_TRANSB, &d->b, sizeof d->b},
               {CUBLASLT_MATMUL_DESC_EPILOGUE, &d->epilogue, sizeof d->epilogue},
               {CUBLASLT_MATMUL_DESC_BIAS_POINTER, &d->bias, sizeof d->bias}};
  for (auto &one : known)
    if (one.attribute == attribute && one.bytes == bytes) return memcpy(one.to, value, bytes), CUBLAS_STATUS_SUCCESS;
  return CUBLAS_STATUS_INVALID_VALUE;
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout, cudaDataType type, uint64_t rows,
                                          uint64_t cols, int64_t ld) {
  ENTER;
  *layout = new StandinLtLayout{type, (int64_t)rows, (int64_t)cols, ld};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference) {
  ENTER;
  *preference = new StandinLtPreference();
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void *value,
                                                    size_t bytes) {
  ENTER;
  if (bytes != (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES ? 8 : 4)) return CUBLAS_STATUS_INVALID_VALUE;
  memcpy(&preference->value[attribute], value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}
/* Remembers the alignment that was promised; float64 has no algorithm here, so that the other way is taken too. */
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t A,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatmulPreference_t preference, int,
                                              cublasLtMatmulHeuristicResult_t results[], int *found) {
  ENTER;
  *found = 0;
  if (A->type == CUDA_R_64F) return CUBLAS_STATUS_NOT_SUPPORTED;
  *found = 1;
  memset(results, 0, sizeof *results);
  for (int k = 0; k < 4; k++) results->algo.data[k] = preference->value[CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES + k];
  results->algo.data[4] = preference->value[CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES];
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t d, const void *alpha, const void *A,
                              cublasLtMatrixLayout_t a, const void *B, cublasLtMatrixLayout_t b, const void *beta,
                              const void *C, cublasLtMatrixLayout_t, void *D, cublasLtMatrixLayout_t c,
                              const cublasLtMatmulAlgo_t *algo, void *workspace, size_t bytes, cudaStream_t stream) {
  ENTER;
  const void *at[] = {A, B, C, D};
  for (int k = 0; k < 4; k++)
    if (algo->data[k] == 0 || (uintptr_t)at[k] % algo->data[k]) return CUBLAS_STATUS_INVALID_VALUE;
  bool biased = d->epilogue == CUBLASLT_EPILOGUE_BIAS;
  bool turn_a = d->a == CUBLAS_OP_T, turn_b = d->b == CUBLAS_OP_T;
  int64_t k = turn_a ? a->rows : a->cols;
  if (a->type != b->type || a->type != c->type || C != D || bytes > algo->data[4] ||
      !standin_within(workspace, bytes) || (turn_a ? a->cols : a->rows) != c->rows ||
      (turn_b ? b->rows : b->cols) != c->cols || (turn_b ? b->cols : b->rows) != k ||
      (biased && (uintptr_t)d->bias % algo->data[3]))
    return CUBLAS_STATUS_INVALID_VALUE;
  return launch({turn_a, turn_b, c->rows, c->cols, k, a->ld, b->ld, c->ld, 0, 0, 0, 1, A, B, biased ? d->bias : nullptr,
                 D, number(d->scale, alpha), number(d->scale, beta), kind(a->type)},
                stream);
}

} /* extern "C" */

#define HAS(function) \
  if (strcmp(name, #function) == 0) return (void *)function;
void *standin_blas_symbol(const char *name) {
  HAS(cublasCreate_v2)
  HAS(cublasSetStream_v2)
  HAS(cublasSetWorkspace_v2)
  HAS(cublasSetMathMode)
  HAS(cublasGetStatusName)
  HAS(cublasGemmStridedBatchedEx_64)
  HAS(cublasLtMatmulDescCreate)
  HAS(cublasLtMatmulDescDestroy)
  HAS(cublasLtMatmulDescSetAttribute)
  HAS(cublasLtMatrixLayoutCreate)
  HAS(cublasLtMatrixLayoutDestroy)
  HAS(cublasLtMatmulPreferenceCreate)
  HAS(cublasLtMatmulPreferenceDestroy)
  HAS(cublasLtMatmulPreferenceSetAttribute)
  HAS(cublasLtMatmulAlgoGetHeuristic)
  HAS(cublasLtMatmul)
  return nullptr;
}
