/* Opening NVIDIA's libraries, their handles and their failures. */
#include "cuda/library.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEVICES = 64, MIB = 1 << 20 };

typedef struct {
  const char *what, *names[3], *remedy;
  int functions;
  const char *const *function;
  void *table; /* `functions` pointers */
  int state;   /* 0: not looked for, 1: open, -1: missing */
  char why[512];
} Library;

#define FUNCTION_NAME(name) #name,
#define FUNCTION_COUNT(name) +1

static Blas blas;
static BlasLt blas_lt;
static const char *const blas_names[] = {BLAS_FUNCTIONS(FUNCTION_NAME)}, *const blas_lt_names[] = {
                                                                             BLAS_LT_FUNCTIONS(FUNCTION_NAME)};
#define TOOLKIT                                                                                                       \
  "It comes with the CUDA toolkit (developer.nvidia.com/cuda-downloads); where it lies elsewhere, add its folder to " \
  "LD_LIBRARY_PATH"
static Library blas_library = {.what = "cuBLAS",
                               .names = {"libcublas.so.13", "libcublas.so.12"},
                               .remedy = TOOLKIT,
                               .functions = BLAS_FUNCTIONS(FUNCTION_COUNT),
                               .function = blas_names,
                               .table = &blas};
static Library lt_library = {.what = "cuBLASLt",
                             .names = {"libcublasLt.so.13", "libcublasLt.so.12"},
                             .remedy = TOOLKIT,
                             .functions = BLAS_LT_FUNCTIONS(FUNCTION_COUNT),
                             .function = blas_lt_names,
                             .table = &blas_lt};

static pthread_mutex_t blas_lock = PTHREAD_MUTEX_INITIALIZER;
static cublasHandle_t blas_handle[DEVICES];

/* From where the linker looks, and where the toolkit is installed. */
static void *open_any(const Library *l) {
  const char *home = getenv("CUDA_HOME");
  const char *const folder[] = {"", home ? home : "/usr/local/cuda", "/usr/local/cuda"};
  char path[1024];
  for (int f = 0; f < 3; f++)
    for (int k = 0; l->names[k]; k++) {
      snprintf(path, sizeof path, "%s%s%s", folder[f], *folder[f] ? "/lib64/" : "", l->names[k]);
      void *open = dlopen(path, RTLD_NOW | RTLD_LOCAL);
      if (open) return open;
    }
  return NULL;
}

/* Looks once. The library stays open: handles and kernels that run need it until the end. */
static bool library_open(Library *l) {
  if (l->state != 0) return l->state > 0;
  void *open = open_any(l), **to = l->table;
  l->state = -1;
  if (!open) {
    const char *said = dlerror();
    snprintf(l->why, sizeof l->why, "%s is missing: cannot open %s (%s). %s", l->what, l->names[0], said ? said : "",
             l->remedy);
    return false;
  }
  for (int k = 0; k < l->functions; k++)
    if (!(to[k] = dlsym(open, l->function[k]))) {
      snprintf(l->why, sizeof l->why, "%s is too old: it has no %s. %s", l->what, l->function[k], l->remedy);
      return false;
    }
  l->state = 1;
  return true;
}

bool blas_check(const BlasUse *use, cublasStatus_t status, const char *what) {
  if (status == CUBLAS_STATUS_SUCCESS) return true;
  cudaGetLastError();
  /* a handle that finds no room says that it is not initialized */
  bool room = status == CUBLAS_STATUS_ALLOC_FAILED || status == CUBLAS_STATUS_NOT_INITIALIZED;
  return fail(room ? MT_ENOMEM : MT_ERUNTIME, "CUDA error: %s when calling `%s`",
              use->call->cublasGetStatusName(status), what);
}

/* What NVIDIA recommends for scratch. */
static int64_t scratch_for(int index) {
  int major = 0;
  if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index) != cudaSuccess) cudaGetLastError();
  return major >= 9 ? 32 * MIB : 8 * MIB;
}

static bool prepare(BlasUse *use) {
  int index = use->index;
  if (!library_open(&blas_library)) return fail(MT_ERUNTIME, "%s", blas_library.why);
  use->call = &blas;
  use->lt = library_open(&lt_library) ? &blas_lt : NULL;
  if (!blas_handle[index] && !blas_check(use, blas.cublasCreate_v2(&blas_handle[index]), "cublasCreate")) {
    blas_handle[index] = NULL;
    return false;
  }
  use->handle = blas_handle[index];
  use->bytes = scratch_for(index);
  return blas_check(use, blas.cublasSetStream_v2(use->handle, driver_stream(index)), "cublasSetStream") &&
         (use->memory = cuda_allocate(index, use->bytes, &use->owner)) &&
         blas_check(use, blas.cublasSetWorkspace_v2(use->handle, use->memory, (size_t)use->bytes),
                    "cublasSetWorkspace");
}

bool blas_begin(BlasUse *use, int index) {
  *use = (BlasUse){.index = index};
  if (!driver_use(index)) return false;
  pthread_mutex_lock(&blas_lock);
  if (prepare(use)) return true;
  blas_end(use);
  return false;
}

void blas_end(BlasUse *use) {
  if (use->memory) cuda_release(use->owner, use->memory, use->bytes);
  use->memory = NULL;
  pthread_mutex_unlock(&blas_lock);
}

#ifdef CUDA_HAS_CUDNN
static Dnn dnn;
static const char *const dnn_names[] = {DNN_FUNCTIONS(FUNCTION_NAME)};
static Library dnn_library = {.what = "cuDNN",
                              .names = {"libcudnn.so.9"},
                              .remedy = "developer.nvidia.com/cudnn has it; where it lies elsewhere, add its folder to "
                                        "LD_LIBRARY_PATH",
                              .functions = DNN_FUNCTIONS(FUNCTION_COUNT),
                              .function = dnn_names,
                              .table = &dnn};
static pthread_mutex_t dnn_lock = PTHREAD_MUTEX_INITIALIZER;
static cudnnHandle_t dnn_handle[DEVICES];

bool dnn_check(const DnnUse *use, cudnnStatus_t status, const char *what) {
  if (status == CUDNN_STATUS_SUCCESS) return true;
  cudaGetLastError();
  bool room = status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED || status == CUDNN_STATUS_NOT_INITIALIZED;
  return fail(room ? MT_ENOMEM : MT_ERUNTIME, "cuDNN error: %s when calling `%s`",
              use->call->cudnnGetErrorString(status), what);
}

bool dnn_begin(DnnUse *use, int index) {
  if (!driver_use(index)) return false;
  pthread_mutex_lock(&dnn_lock);
  bool good = library_open(&dnn_library) || fail(MT_ERUNTIME, "%s", dnn_library.why);
  use->call = &dnn;
  if (good && !dnn_handle[index] && !dnn_check(use, dnn.cudnnCreate(&dnn_handle[index]), "cudnnCreate")) {
    dnn_handle[index] = NULL;
    good = false;
  }
  use->handle = dnn_handle[index];
  good = good && dnn_check(use, dnn.cudnnSetStream(use->handle, driver_stream(index)), "cudnnSetStream");
  if (!good) pthread_mutex_unlock(&dnn_lock);
  return good;
}
void dnn_end(void) { pthread_mutex_unlock(&dnn_lock); }

int dnn_version(void) {
  pthread_mutex_lock(&dnn_lock);
  int version = library_open(&dnn_library) ? (int)dnn.cudnnGetVersion() : 0;
  pthread_mutex_unlock(&dnn_lock);
  return version;
}
#else
int dnn_version(void) { return 0; }
#endif
