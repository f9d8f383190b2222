/* NVIDIA's libraries: cuBLAS and cuBLASLt for products, cuDNN for convolutions.
 *
 * They are opened when first needed, so that moontorch/cuda.so loads without them; what is missing is named then. A device
 * has one handle of each library. Whoever uses it holds the library's lock, gives it the stream of the current work, and
 * memory of the caching allocator for as long as the call is being launched: what follows on the stream comes later. */
#ifndef MT_CUDA_LIBRARY_H
#define MT_CUDA_LIBRARY_H
#include "cuda/driver.h"
#include <cublasLt.h>
#include <cublas_v2.h>
#if __has_include(<cudnn.h>)
#include <cudnn.h>
#define CUDA_HAS_CUDNN 1 /* else this object is built without it, and convolutions take our own kernels */
#endif

#define BLAS_FUNCTIONS(X)  \
  X(cublasCreate_v2)       \
  X(cublasSetStream_v2)    \
  X(cublasSetWorkspace_v2) \
  X(cublasSetMathMode)     \
  X(cublasGetStatusName)   \
  X(cublasGemmStridedBatchedEx_64)
#define BLAS_LT_FUNCTIONS(X)              \
  X(cublasLtMatmulDescCreate)             \
  X(cublasLtMatmulDescDestroy)            \
  X(cublasLtMatmulDescSetAttribute)       \
  X(cublasLtMatrixLayoutCreate)           \
  X(cublasLtMatrixLayoutDestroy)          \
  X(cublasLtMatmulPreferenceCreate)       \
  X(cublasLtMatmulPreferenceDestroy)      \
  X(cublasLtMatmulPreferenceSetAttribute) \
  X(cublasLtMatmulAlgoGetHeuristic)       \
  X(cublasLtMatmul)
#define DNN_FUNCTIONS(X)                           \
  X(cudnnGetVersion)                               \
  X(cudnnGetErrorString)                           \
  X(cudnnCreate)                                   \
  X(cudnnSetStream)                                \
  X(cudnnCreateTensorDescriptor)                   \
  X(cudnnSetTensorNdDescriptor)                    \
  X(cudnnDestroyTensorDescriptor)                  \
  X(cudnnCreateFilterDescriptor)                   \
  X(cudnnSetFilterNdDescriptor)                    \
  X(cudnnDestroyFilterDescriptor)                  \
  X(cudnnCreateConvolutionDescriptor)              \
  X(cudnnSetConvolutionNdDescriptor)               \
  X(cudnnSetConvolutionGroupCount)                 \
  X(cudnnSetConvolutionMathType)                   \
  X(cudnnDestroyConvolutionDescriptor)             \
  X(cudnnGetConvolutionForwardAlgorithm_v7)        \
  X(cudnnGetConvolutionBackwardDataAlgorithm_v7)   \
  X(cudnnGetConvolutionBackwardFilterAlgorithm_v7) \
  X(cudnnFindConvolutionForwardAlgorithmEx)        \
  X(cudnnFindConvolutionBackwardDataAlgorithmEx)   \
  X(cudnnFindConvolutionBackwardFilterAlgorithmEx) \
  X(cudnnConvolutionForward)                       \
  X(cudnnConvolutionBackwardData)                  \
  X(cudnnConvolutionBackwardFilter)

#define LIBRARY_FIELD(name) __typeof__(name) *name;
typedef struct Blas {
  BLAS_FUNCTIONS(LIBRARY_FIELD)
} Blas;
typedef struct BlasLt {
  BLAS_LT_FUNCTIONS(LIBRARY_FIELD)
} BlasLt;

/* A device's handle while it is used; from blas_begin to blas_end the lock is held, and `memory` is scratch of so many
 * bytes. */
typedef struct BlasUse {
  const Blas *call;
  const BlasLt *lt; /* NULL: there is none */
  cublasHandle_t handle;
  int index;
  void *memory, *owner;
  int64_t bytes;
} BlasUse;
bool blas_begin(BlasUse *use, int index);
void blas_end(BlasUse *use);
/* False and a failure that names the call, unless the status is success. */
bool blas_check(const BlasUse *use, cublasStatus_t status, const char *what);

#ifdef CUDA_HAS_CUDNN
typedef struct Dnn {
  DNN_FUNCTIONS(LIBRARY_FIELD)
} Dnn;
typedef struct DnnUse {
  const Dnn *call;
  cudnnHandle_t handle;
} DnnUse;
/* The same for cuDNN, without scratch. Whether there is one to use is asked first. */
bool dnn_begin(DnnUse *use, int index);
void dnn_end(void);
bool dnn_check(const DnnUse *use, cudnnStatus_t status, const char *what);
#endif
#endif
