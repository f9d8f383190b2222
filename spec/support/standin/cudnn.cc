/* cuDNN's convolutions as plain loops: descriptors are checked as the library checks them, then all products are summed one
 * by one, in double. Of the algorithms that are offered, the first wants more memory than there is, the second is not
 * deterministic, the third needs scratch. Volumes with gaps between their taps are not supported. */
#include <cudnn.h>
#include "library.h"
#include <vector>

struct StandinDnn {
  cudaStream_t stream;
};
struct StandinDnnTensor {
  cudnnDataType_t type;
  int dims = 0, size[5], stride[5];
};
struct StandinDnnFilter {
  cudnnDataType_t type;
  int dims = 0, size[5];
};
struct StandinDnnConvolution {
  int dims = 0, pad[3], stride[3], dilation[3], groups = 1;
  cudnnDataType_t compute;
  cudnnMathType_t math = CUDNN_DEFAULT_MATH;
};

constexpr size_t SCRATCH = 1000, TOO_MUCH = (size_t)1 << 50;

static StandinType kind(cudnnDataType_t t) {
  return t == CUDNN_DATA_FLOAT    ? STANDIN_F32
         : t == CUDNN_DATA_DOUBLE ? STANDIN_F64
         : t == CUDNN_DATA_HALF   ? STANDIN_F16
                                  : STANDIN_BF16;
}

/* x, y and w as (n, c, 3 dims); dims that are missing stand in front. */
struct Problem {
  int n, groups, in, out, x[3], y[3], k[3], pad[3], stride[3], dilation[3];
  StandinType type;
  int64_t volume(const int *s) const { return (int64_t)s[0] * s[1] * s[2]; }
  size_t bytes_x() const { return (size_t)(n * groups * in * volume(x)) * standin_size(type); }
  size_t bytes_y() const { return (size_t)(n * groups * out * volume(y)) * standin_size(type); }
  size_t bytes_w() const { return (size_t)(groups * out * in * volume(k)) * standin_size(type); }
};

static cudnnStatus_t describe(cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t w, cudnnConvolutionDescriptor_t c,
                              cudnnTensorDescriptor_t y, Problem *p) {
  int dims = x->dims;
  if (dims < 4 || w->dims != dims || y->dims != dims || c->dims != dims - 2 || x->type != w->type ||
      x->type != y->type || (x->type == CUDNN_DATA_DOUBLE) != (c->compute == CUDNN_DATA_DOUBLE) ||
      x->size[0] != y->size[0] || x->size[1] != w->size[1] * c->groups || y->size[1] != w->size[0] ||
      w->size[0] % c->groups)
    return CUDNN_STATUS_BAD_PARAM;
  for (const StandinDnnTensor *t : {x, y}) {
    int step = 1;
    for (int d = dims - 1; d >= 0; step *= t->size[d], d--)
      if (t->stride[d] != step || t->size[d] < 1) return CUDNN_STATUS_BAD_PARAM;
  }
  *p = {x->size[0], c->groups, w->size[1], w->size[0] / c->groups, {}, {}, {}, {}, {}, {}, kind(x->type)};
  for (int d = 0; d < 3; d++) {
    int at = d - (5 - dims);
    p->x[d] = at < 0 ? 1 : x->size[2 + at];
    p->y[d] = at < 0 ? 1 : y->size[2 + at];
    p->k[d] = at < 0 ? 1 : w->size[2 + at];
    p->pad[d] = at < 0 ? 0 : c->pad[at];
    p->stride[d] = at < 0 ? 1 : c->stride[at];
    p->dilation[d] = at < 0 ? 1 : c->dilation[at];
    if ((p->x[d] + 2 * p->pad[d] - p->dilation[d] * (p->k[d] - 1) - 1) / p->stride[d] + 1 != p->y[d])
      return CUDNN_STATUS_BAD_PARAM;
    if (dims == 5 && p->dilation[d] > 1) return CUDNN_STATUS_NOT_SUPPORTED;
  }
  return CUDNN_STATUS_SUCCESS;
}

/* For each pair of elements of x and y that meet: f(x, w, y), positions in their arrays. */
template <class F> static void walk(const Problem &p, F f) {
  for (int n = 0; n < p.n; n++)
    for (int g = 0; g < p.groups; g++)
      for (int o = 0; o < p.out; o++)
        for (int c = 0; c < p.in; c++) {
          int64_t x = ((int64_t)(n * p.groups + g) * p.in + c) * p.volume(p.x),
                  y = ((int64_t)(n * p.groups + g) * p.out + o) * p.volume(p.y),
                  w = ((int64_t)(g * p.out + o) * p.in + c) * p.volume(p.k);
          for (int64_t q = 0; q < p.volume(p.y); q++)
            for (int64_t t = 0; t < p.volume(p.k); t++) {
              int at[3];
              bool inside = true;
              for (int64_t d = 2, i = q, j = t; d >= 0; i /= p.y[d], j /= p.k[d], d--) {
                at[d] = (int)(i % p.y[d]) * p.stride[d] - p.pad[d] + (int)(j % p.k[d]) * p.dilation[d];
                inside = inside && at[d] >= 0 && at[d] < p.x[d];
              }
              if (inside) f(x + ((int64_t)at[0] * p.x[1] + at[1]) * p.x[2] + at[2], w + t, y + q);
            }
        }
}

enum Which { FORWARD, DATA, FILTER };

static void compute(const Problem &p, Which which, const void *a, const void *b, double alpha, double beta, void *to) {
  size_t bytes = which == FORWARD ? p.bytes_y() : which == DATA ? p.bytes_x() : p.bytes_w();
  std::vector<double> sum(bytes / standin_size(p.type), 0);
  walk(p, [&](int64_t x, int64_t w, int64_t y) {
    if (which == FORWARD) sum[(size_t)y] += standin_get(p.type, a, x) * standin_get(p.type, b, w);
    if (which == DATA) sum[(size_t)x] += standin_get(p.type, a, w) * standin_get(p.type, b, y);
    if (which == FILTER) sum[(size_t)w] += standin_get(p.type, a, x) * standin_get(p.type, b, y);
  });
  for (size_t i = 0; i < sum.size(); i++)
    standin_put(p.type, to, (int64_t)i, alpha * sum[i] + (beta != 0 ? beta * standin_get(p.type, to, (int64_t)i) : 0));
}

static cudnnStatus_t run(cudnnHandle_t handle, const Problem &p, Which which, const void *a, const void *b,
                         const void *alpha, const void *beta, void *to, int algo, void *workspace, size_t bytes) {
  size_t of_a = which == DATA ? p.bytes_w() : p.bytes_x(), of_b = which == FORWARD ? p.bytes_w() : p.bytes_y(),
         of_to = which == FORWARD ? p.bytes_y()
                 : which == DATA  ? p.bytes_x()
                                  : p.bytes_w();
  if (!standin_within(a, of_a) || !standin_within(b, of_b) || !standin_within(to, of_to) ||
      (algo == 1 && (bytes < SCRATCH || !standin_within(workspace, bytes))))
    return CUDNN_STATUS_BAD_PARAM;
  bool wide = p.type == STANDIN_F64;
  double by = wide ? *(const double *)alpha : *(const float *)alpha,
         plus = wide ? *(const double *)beta : *(const float *)beta;
  cudaError_t error = standin_work(handle->stream, [=] { compute(p, which, a, b, by, plus, to); });
  return error == cudaSuccess ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_EXECUTION_FAILED;
}

template <class Perf> static cudnnStatus_t offer(cudnnStatus_t status, int requested, int *found, Perf *results) {
  *found = 0;
  if (status != CUDNN_STATUS_SUCCESS) return status;
  for (int k = 0; k < 3 && k < requested; k++) {
    results[k] = Perf();
    results[k].algo = (decltype(results[k].algo))(k == 2);
    results[k].memory = k == 0 ? TOO_MUCH : k == 1 ? 0 : SCRATCH;
    results[k].determinism = k == 1 ? CUDNN_NON_DETERMINISTIC : CUDNN_DETERMINISTIC;
    results[k].mathType = CUDNN_FMA_MATH;
    *found = k + 1;
  }
  return CUDNN_STATUS_SUCCESS;
}

#define ENTER \
  if (!standin_enter()) return CUDNN_STATUS_INTERNAL_ERROR
#define PROBLEM \
  ENTER;        \
  Problem p;    \
  cudnnStatus_t status = describe(x_desc, w_desc, conv, y_desc, &p)
#define CHECKED \
  PROBLEM;      \
  if (status != CUDNN_STATUS_SUCCESS) return status

extern "C" {

size_t cudnnGetVersion(void) { return 91000; }
const char *cudnnGetErrorString(cudnnStatus_t status) {
  switch (status) {
  case CUDNN_STATUS_BAD_PARAM: return "CUDNN_STATUS_BAD_PARAM";
  case CUDNN_STATUS_NOT_SUPPORTED: return "CUDNN_STATUS_NOT_SUPPORTED";
  case CUDNN_STATUS_EXECUTION_FAILED: return "CUDNN_STATUS_EXECUTION_FAILED";
  default: return "CUDNN_STATUS_INTERNAL_ERROR";
  }
}
cudnnStatus_t cudnnCreate(cudnnHandle_t *handle) {
  ENTER;
  *handle = new StandinDnn();
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  ENTER;
  handle->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t *t) {
  ENTER;
  *t = new StandinDnnTensor;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetTensorNdDescriptor(cudnnTensorDescriptor_t t, cudnnDataType_t type, int dims, const int size[],
                                         const int stride[]) {
  ENTER;
  if (dims < 3 || dims > 5) return CUDNN_STATUS_BAD_PARAM;
  t->type = type;
  t->dims = dims;
  memcpy(t->size, size, sizeof(int) * (size_t)dims);
  memcpy(t->stride, stride, sizeof(int) * (size_t)dims);
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t t) { return delete t, CUDNN_STATUS_SUCCESS; }
cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t *f) {
  ENTER;
  *f = new StandinDnnFilter;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetFilterNdDescriptor(cudnnFilterDescriptor_t f, cudnnDataType_t type, cudnnTensorFormat_t, int dims,
                                         const int size[]) {
  ENTER;
  if (dims < 3 || dims > 5) return CUDNN_STATUS_BAD_PARAM;
  f->type = type;
  f->dims = dims;
  memcpy(f->size, size, sizeof(int) * (size_t)dims);
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t f) { return delete f, CUDNN_STATUS_SUCCESS; }
cudnnStatus_t cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t *c) {
  ENTER;
  *c = new StandinDnnConvolution;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetConvolutionNdDescriptor(cudnnConvolutionDescriptor_t c, int dims, const int pad[],
                                              const int stride[], const int dilation[], cudnnConvolutionMode_t mode,
                                              cudnnDataType_t compute) {
  ENTER;
  if (dims < 2 || dims > 3 || mode != CUDNN_CROSS_CORRELATION) return CUDNN_STATUS_BAD_PARAM;
  c->dims = dims;
  c->compute = compute;
  for (int d = 0; d < dims; d++) c->pad[d] = pad[d], c->stride[d] = stride[d], c->dilation[d] = dilation[d];
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetConvolutionGroupCount(cudnnConvolutionDescriptor_t c, int groups) {
  ENTER;
  c->groups = groups;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t c, cudnnMathType_t math) {
  ENTER;
  c->math = math;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t c) {
  return delete c, CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionForwardAlgorithm_v7(cudnnHandle_t, STANDIN_X, STANDIN_W, STANDIN_C, STANDIN_Y,
                                                     const int requested, int *found,
                                                     cudnnConvolutionFwdAlgoPerf_t *results) {
  PROBLEM;
  return offer(status, requested, found, results);
}
cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm_v7(cudnnHandle_t, STANDIN_W, STANDIN_Y, STANDIN_C, STANDIN_X,
                                                          const int requested, int *found,
                                                          cudnnConvolutionBwdDataAlgoPerf_t *results) {
  PROBLEM;
  return offer(status, requested, found, results);
}
cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm_v7(cudnnHandle_t, STANDIN_X, STANDIN_Y, STANDIN_C, STANDIN_W,
                                                            const int requested, int *found,
                                                            cudnnConvolutionBwdFilterAlgoPerf_t *results) {
  PROBLEM;
  return offer(status, requested, found, results);
}
/* Measuring runs each algorithm, so that what is there is overwritten. */
cudnnStatus_t cudnnFindConvolutionForwardAlgorithmEx(cudnnHandle_t h, STANDIN_X, const void *x, STANDIN_W,
                                                     const void *w, STANDIN_C, STANDIN_Y, void *y, const int requested,
                                                     int *found, cudnnConvolutionFwdAlgoPerf_t *results, void *,
                                                     size_t) {
  CHECKED;
  double zero = 0;
  status = run(h, p, FORWARD, x, w, &zero, &zero, y, 0, nullptr, 0);
  return offer(status, requested, found, results);
}
cudnnStatus_t cudnnFindConvolutionBackwardDataAlgorithmEx(cudnnHandle_t h, STANDIN_W, const void *w, STANDIN_Y,
                                                          const void *y, STANDIN_C, STANDIN_X, void *x,
                                                          const int requested, int *found,
                                                          cudnnConvolutionBwdDataAlgoPerf_t *results, void *, size_t) {
  CHECKED;
  double zero = 0;
  status = run(h, p, DATA, w, y, &zero, &zero, x, 0, nullptr, 0);
  return offer(status, requested, found, results);
}
cudnnStatus_t cudnnFindConvolutionBackwardFilterAlgorithmEx(cudnnHandle_t h, STANDIN_X, const void *x, STANDIN_Y,
                                                            const void *y, STANDIN_C, STANDIN_W, void *w,
                                                            const int requested, int *found,
                                                            cudnnConvolutionBwdFilterAlgoPerf_t *results, void *,
                                                            size_t) {
  CHECKED;
  double zero = 0;
  status = run(h, p, FILTER, x, y, &zero, &zero, w, 0, nullptr, 0);
  return offer(status, requested, found, results);
}
cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t h, const void *alpha, STANDIN_X, const void *x, STANDIN_W,
                                      const void *w, STANDIN_C, cudnnConvolutionFwdAlgo_t algo, void *workspace,
                                      size_t bytes, const void *beta, STANDIN_Y, void *y) {
  CHECKED;
  return run(h, p, FORWARD, x, w, alpha, beta, y, algo, workspace, bytes);
}
cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t h, const void *alpha, STANDIN_W, const void *w, STANDIN_Y,
                                           const void *y, STANDIN_C, cudnnConvolutionBwdDataAlgo_t algo,
                                           void *workspace, size_t bytes, const void *beta, STANDIN_X, void *x) {
  CHECKED;
  return run(h, p, DATA, w, y, alpha, beta, x, algo, workspace, bytes);
}
cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t h, const void *alpha, STANDIN_X, const void *x, STANDIN_Y,
                                             const void *y, STANDIN_C, cudnnConvolutionBwdFilterAlgo_t algo,
                                             void *workspace, size_t bytes, const void *beta, STANDIN_W, void *w) {
  CHECKED;
  return run(h, p, FILTER, x, y, alpha, beta, w, algo, workspace, bytes);
}

} /* extern "C" */

#define HAS(function) \
  if (strcmp(name, #function) == 0) return (void *)function;
void *standin_dnn_symbol(const char *name) {
  HAS(cudnnGetVersion)
  HAS(cudnnGetErrorString)
  HAS(cudnnCreate)
  HAS(cudnnSetStream)
  HAS(cudnnCreateTensorDescriptor)
  HAS(cudnnSetTensorNdDescriptor)
  HAS(cudnnDestroyTensorDescriptor)
  HAS(cudnnCreateFilterDescriptor)
  HAS(cudnnSetFilterNdDescriptor)
  HAS(cudnnDestroyFilterDescriptor)
  HAS(cudnnCreateConvolutionDescriptor)
  HAS(cudnnSetConvolutionNdDescriptor)
  HAS(cudnnSetConvolutionGroupCount)
  HAS(cudnnSetConvolutionMathType)
  HAS(cudnnDestroyConvolutionDescriptor)
  HAS(cudnnGetConvolutionForwardAlgorithm_v7)
  HAS(cudnnGetConvolutionBackwardDataAlgorithm_v7)
  HAS(cudnnGetConvolutionBackwardFilterAlgorithm_v7)
  HAS(cudnnFindConvolutionForwardAlgorithmEx)
  HAS(cudnnFindConvolutionBackwardDataAlgorithmEx)
  HAS(cudnnFindConvolutionBackwardFilterAlgorithmEx)
  HAS(cudnnConvolutionForward)
  HAS(cudnnConvolutionBackwardData)
  HAS(cudnnConvolutionBackwardFilter)
  return nullptr;
}
