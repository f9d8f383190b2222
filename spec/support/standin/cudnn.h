/* The stand-in for cuDNN: the part of its interface that src/cuda calls; see cudnn.cc. Names and values are cuDNN's. */
#ifndef STANDIN_CUDNN_H
#define STANDIN_CUDNN_H
#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
  CUDNN_STATUS_SUCCESS = 0,
  CUDNN_STATUS_NOT_INITIALIZED = 1001,
  CUDNN_STATUS_BAD_PARAM = 2000,
  CUDNN_STATUS_NOT_SUPPORTED = 3000,
  CUDNN_STATUS_INTERNAL_ERROR = 4000,
  CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED = 4004,
  CUDNN_STATUS_EXECUTION_FAILED = 5000
} cudnnStatus_t;
typedef enum {
  CUDNN_DATA_FLOAT = 0,
  CUDNN_DATA_DOUBLE = 1,
  CUDNN_DATA_HALF = 2,
  CUDNN_DATA_BFLOAT16 = 9
} cudnnDataType_t;
typedef enum { CUDNN_TENSOR_NCHW = 0 } cudnnTensorFormat_t;
typedef enum { CUDNN_DEFAULT_MATH = 0, CUDNN_TENSOR_OP_MATH = 1, CUDNN_FMA_MATH = 3 } cudnnMathType_t;
typedef enum { CUDNN_CONVOLUTION = 0, CUDNN_CROSS_CORRELATION = 1 } cudnnConvolutionMode_t;
typedef enum { CUDNN_NON_DETERMINISTIC = 0, CUDNN_DETERMINISTIC = 1 } cudnnDeterminism_t;
typedef enum {
  CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM,
  CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM
} cudnnConvolutionFwdAlgo_t;
typedef enum { CUDNN_CONVOLUTION_BWD_DATA_ALGO_0, CUDNN_CONVOLUTION_BWD_DATA_ALGO_1 } cudnnConvolutionBwdDataAlgo_t;
typedef enum {
  CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0,
  CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1
} cudnnConvolutionBwdFilterAlgo_t;
typedef struct StandinDnn *cudnnHandle_t;
typedef struct StandinDnnTensor *cudnnTensorDescriptor_t;
typedef struct StandinDnnFilter *cudnnFilterDescriptor_t;
typedef struct StandinDnnConvolution *cudnnConvolutionDescriptor_t;

#define STANDIN_PERF(which)           \
  typedef struct {                    \
    cudnnConvolution##which##_t algo; \
    cudnnStatus_t status;             \
    float time;                       \
    size_t memory;                    \
    cudnnDeterminism_t determinism;   \
    cudnnMathType_t mathType;         \
    int reserved[3];                  \
  } cudnnConvolution##which##Perf_t
STANDIN_PERF(FwdAlgo);
STANDIN_PERF(BwdDataAlgo);
STANDIN_PERF(BwdFilterAlgo);

size_t cudnnGetVersion(void);
const char *cudnnGetErrorString(cudnnStatus_t status);
cudnnStatus_t cudnnCreate(cudnnHandle_t *handle);
cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream);
cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t *tensor);
cudnnStatus_t cudnnSetTensorNdDescriptor(cudnnTensorDescriptor_t tensor, cudnnDataType_t type, int dims,
                                         const int dimA[], const int strideA[]);
cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t tensor);
cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t *filter);
cudnnStatus_t cudnnSetFilterNdDescriptor(cudnnFilterDescriptor_t filter, cudnnDataType_t type,
                                         cudnnTensorFormat_t format, int dims, const int dimA[]);
cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t filter);
cudnnStatus_t cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t *conv);
cudnnStatus_t cudnnSetConvolutionNdDescriptor(cudnnConvolutionDescriptor_t conv, int length, const int padA[],
                                              const int strideA[], const int dilationA[], cudnnConvolutionMode_t mode,
                                              cudnnDataType_t compute);
cudnnStatus_t cudnnSetConvolutionGroupCount(cudnnConvolutionDescriptor_t conv, int groups);
cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t conv, cudnnMathType_t math);
cudnnStatus_t cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t conv);

#define STANDIN_X const cudnnTensorDescriptor_t x_desc
#define STANDIN_Y const cudnnTensorDescriptor_t y_desc
#define STANDIN_W const cudnnFilterDescriptor_t w_desc
#define STANDIN_C const cudnnConvolutionDescriptor_t conv
cudnnStatus_t cudnnGetConvolutionForwardAlgorithm_v7(cudnnHandle_t handle, STANDIN_X, STANDIN_W, STANDIN_C, STANDIN_Y,
                                                     const int requested, int *found,
                                                     cudnnConvolutionFwdAlgoPerf_t *results);
cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm_v7(cudnnHandle_t handle, STANDIN_W, STANDIN_Y, STANDIN_C,
                                                          STANDIN_X, const int requested, int *found,
                                                          cudnnConvolutionBwdDataAlgoPerf_t *results);
cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm_v7(cudnnHandle_t handle, STANDIN_X, STANDIN_Y, STANDIN_C,
                                                            STANDIN_W, const int requested, int *found,
                                                            cudnnConvolutionBwdFilterAlgoPerf_t *results);
cudnnStatus_t cudnnFindConvolutionForwardAlgorithmEx(cudnnHandle_t handle, STANDIN_X, const void *x, STANDIN_W,
                                                     const void *w, STANDIN_C, STANDIN_Y, void *y, const int requested,
                                                     int *found, cudnnConvolutionFwdAlgoPerf_t *results,
                                                     void *workspace, size_t bytes);
cudnnStatus_t cudnnFindConvolutionBackwardDataAlgorithmEx(cudnnHandle_t handle, STANDIN_W, const void *w, STANDIN_Y,
                                                          const void *y, STANDIN_C, STANDIN_X, void *x,
                                                          const int requested, int *found,
                                                          cudnnConvolutionBwdDataAlgoPerf_t *results, void *workspace,
                                                          size_t bytes);
cudnnStatus_t cudnnFindConvolutionBackwardFilterAlgorithmEx(cudnnHandle_t handle, STANDIN_X, const void *x, STANDIN_Y,
                                                            const void *y, STANDIN_C, STANDIN_W, void *w,
                                                            const int requested, int *found,
                                                            cudnnConvolutionBwdFilterAlgoPerf_t *results,
                                                            void *workspace, size_t bytes);
cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t handle, const void *alpha, STANDIN_X, const void *x, STANDIN_W,
                                      const void *w, STANDIN_C, cudnnConvolutionFwdAlgo_t algo, void *workspace,
                                      size_t bytes, const void *beta, STANDIN_Y, void *y);
cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t handle, const void *alpha, STANDIN_W, const void *w, STANDIN_Y,
                                           const void *y, STANDIN_C, cudnnConvolutionBwdDataAlgo_t algo,
                                           void *workspace, size_t bytes, const void *beta, STANDIN_X, void *x);
cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t handle, const void *alpha, STANDIN_X, const void *x,
                                             STANDIN_Y, const void *y, STANDIN_C, cudnnConvolutionBwdFilterAlgo_t algo,
                                             void *workspace, size_t bytes, const void *beta, STANDIN_W, void *w);
#ifdef __cplusplus
}
#endif
#endif
