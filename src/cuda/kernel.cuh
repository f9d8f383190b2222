/* What every kernel shares: element types, their conversions, the walk over strided operands, and launches.
 *
 * A type tag T has Memory (as it lies in memory), Value (as it is computed with), load and store. 16-bit floats are
 * computed as float. */
#ifndef MT_CUDA_KERNEL_CUH
#define MT_CUDA_KERNEL_CUH
#include "cuda/rows.h"
#include <cuda_runtime.h>
#include <type_traits>
extern "C" {
#include "base/dtype.h"
}
#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#define CUDA_LAUNCH(kernel, grid, block, shared, stream, ...) \
  kernel<<<grid, block, shared, (cudaStream_t)(stream)>>>(__VA_ARGS__)
#endif

template <class M, class V> struct Plain {
  typedef M Memory;
  typedef V Value;
  static __device__ inline V load(M x) { return (V)x; }
  static __device__ inline M store(V x) { return (M)x; }
};
typedef Plain<float, float> F32;
typedef Plain<double, double> F64;
typedef Plain<int64_t, int64_t> I64;
typedef Plain<int32_t, int32_t> I32;
typedef Plain<int16_t, int16_t> I16;
typedef Plain<int8_t, int8_t> I8;
typedef Plain<uint8_t, uint8_t> U8;
struct Bool {
  typedef uint8_t Memory;
  typedef uint8_t Value;
  static __device__ inline uint8_t load(uint8_t x) { return x; }
  static __device__ inline uint8_t store(uint8_t x) { return x; }
};
struct F16 {
  typedef uint16_t Memory;
  typedef float Value;
#if defined(__CUDACC__)
  static __device__ inline float load(uint16_t x) { return __half2float(__ushort_as_half(x)); }
  static __device__ inline uint16_t store(float x) { return __half_as_ushort(__float2half_rn(x)); }
#else
  static inline float load(uint16_t x) { return half_to_float(x); }
  static inline uint16_t store(float x) { return float_to_half(x); }
#endif
};
struct BF16 {
  typedef uint16_t Memory;
  typedef float Value;
#if defined(__CUDACC__)
  static __device__ inline float load(uint16_t x) { return __bfloat162float(__ushort_as_bfloat16(x)); }
  static __device__ inline uint16_t store(float x) { return __bfloat16_as_ushort(__float2bfloat16_rn(x)); }
#else
  static inline float load(uint16_t x) { return bfloat_to_float(x); }
  static inline uint16_t store(float x) { return float_to_bfloat(x); }
#endif
};

/* Calls f(tag) for the tag of a DType (base/dtype.h, in its order); false for none. */
template <class F> static bool with_type(int dtype, F f) {
  switch (dtype) {
  case 0: return f(Bool()), true;
  case 1: return f(U8()), true;
  case 2: return f(I8()), true;
  case 3: return f(I16()), true;
  case 4: return f(I32()), true;
  case 5: return f(I64()), true;
  case 6: return f(F16()), true;
  case 7: return f(BF16()), true;
  case 8: return f(F32()), true;
  case 9: return f(F64()), true;
  default: return false;
  }
}

/* The same for float dtypes alone. */
template <class F> static bool with_float(int dtype, F f) {
  switch (dtype) {
  case 6: return f(F16()), true;
  case 7: return f(BF16()), true;
  case 8: return f(F32()), true;
  case 9: return f(F64()), true;
  default: return false;
  }
}

/* Where element i of each operand lies. Indices of 32 bits divide several times faster. */
template <class Index> __device__ static inline void rows_at(const Rows &r, int64_t i, int64_t *offset) {
  for (int k = 0; k < r.operands; k++) offset[k] = 0;
  Index rest = (Index)i;
  for (int d = 0; d + 1 < r.ndim; d++) {
    Index size = (Index)r.shape[d], next = rest / size, at = rest - next * size;
    for (int k = 0; k < r.operands; k++) offset[k] += (int64_t)at * r.stride[k][d];
    rest = next;
  }
  if (r.ndim > 0)
    for (int k = 0; k < r.operands; k++) offset[k] += (int64_t)rest * r.stride[k][r.ndim - 1];
}

enum { THREADS = 256 };
/* Blocks of THREADS for n elements, `each` a thread; kernels go on in strides of the whole grid. */
static inline unsigned blocks_for(int64_t n, int64_t each) {
  int64_t blocks = (n + THREADS * each - 1) / (THREADS * each);
  return (unsigned)(blocks < 1 ? 1 : blocks > 1 << 20 ? 1 << 20 : blocks);
}
#define EACH_ELEMENT(i, n) \
  for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < (n); i += (int64_t)gridDim.x * blockDim.x)

static inline int launched(void) { return (int)cudaGetLastError(); }
#endif
