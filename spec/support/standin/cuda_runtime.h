/* What a .cu source sees in place of CUDA's language, compiled as C++ for the host: qualifiers, built-in variables,
 * barriers, warp functions and atomics, and the launch.
 *
 * The threads of a block are fibers of one thread of the host, and blocks run one after the other; a fiber gives way only
 * where it waits for others. So __shared__ is static memory and atomics are plain. A kernel that waits for a thread that
 * never comes, or leaves a barrier out, ends the process with a line that says where. */
#ifndef STANDIN_CUDA_RUNTIME_H
#define STANDIN_CUDA_RUNTIME_H
#include "cuda_runtime_api.h"
#include <cmath>
#include <cstring>
#include <functional>

#define __global__ static
#define __device__
#define __host__
#define __constant__ static
#define __shared__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __restrict__ __restrict

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct uint3 {
  unsigned x, y, z;
};
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
enum { warpSize = 32 };

struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};

/* Called by a fiber: waits until every thread of the block, or of the warp's mask, has come here. */
void standin_barrier(const char *where);
int standin_vote(int add);
/* Gives `bytes` at `value` to the other lanes of the mask and takes those of lane `from`; a lane that is not there keeps
 * its own. */
void standin_exchange(unsigned mask, const void *value, void *out, size_t bytes, int from, const char *where);
unsigned standin_lane();
void standin_launch(dim3 grid, dim3 block, size_t shared, cudaStream_t stream, const char *name,
                    std::function<void()> thread);
void *standin_shared();

#define STANDIN_TEXT_(x) #x
#define STANDIN_TEXT(x) STANDIN_TEXT_(x)
#define STANDIN_HERE __FILE__ ":" STANDIN_TEXT(__LINE__)
#define __syncthreads() standin_barrier(STANDIN_HERE)
static inline int __syncthreads_or(int value) { return standin_vote(value != 0) != 0; }
static inline int __syncthreads_count(int value) { return standin_vote(value != 0); }
static inline void __syncwarp(unsigned mask = 0xffffffffu) {
  char own = 0, other;
  standin_exchange(mask, &own, &other, 1, (int)standin_lane(), "__syncwarp");
}
template <class T> static inline T standin_shuffle(unsigned mask, T value, int from, int width, const char *where) {
  T out;
  int lane = (int)standin_lane(), base = lane / width * width;
  bool inside = from >= base && from < base + width;
  standin_exchange(mask, &value, &out, sizeof value, inside ? from : lane, where);
  return out;
}
template <class T> static inline T __shfl_sync(unsigned mask, T value, int from, int width = 32) {
  return standin_shuffle(mask, value, (int)standin_lane() / width * width + from % width, width, "__shfl_sync");
}
template <class T> static inline T __shfl_xor_sync(unsigned mask, T value, int with, int width = 32) {
  return standin_shuffle(mask, value, (int)standin_lane() ^ with, width, "__shfl_xor_sync");
}
template <class T> static inline T __shfl_down_sync(unsigned mask, T value, int by, int width = 32) {
  return standin_shuffle(mask, value, (int)standin_lane() + by, width, "__shfl_down_sync");
}
template <class T> static inline T __shfl_up_sync(unsigned mask, T value, int by, int width = 32) {
  return standin_shuffle(mask, value, (int)standin_lane() - by, width, "__shfl_up_sync");
}
unsigned __ballot_sync(unsigned mask, int predicate);
static inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
static inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, !predicate) == 0; }
static inline unsigned __activemask() { return 0xffffffffu; }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
static inline void __threadfence() {}
static inline void __threadfence_system() {}

#define STANDIN_ATOMIC(name, expression)                    \
  template <class T> static inline T name(T *at, T value) { \
    T old = *at;                                            \
    *at = expression;                                       \
    return old;                                             \
  }
STANDIN_ATOMIC(atomicAdd, old + value)
STANDIN_ATOMIC(atomicMax, old > value ? old : value)
STANDIN_ATOMIC(atomicMin, old < value ? old : value)
STANDIN_ATOMIC(atomicOr, old | value)
STANDIN_ATOMIC(atomicExch, value)
template <class T> static inline T atomicCAS(T *at, T expected, T value) {
  T old = *at;
  if (old == expected) *at = value;
  return old;
}
static inline double sinpi(double x) { return sin(M_PI * x); }
static inline double cospi(double x) { return cos(M_PI * x); }
static inline long long __double_as_longlong(double x) {
  long long bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}
/* Newton's method: on erf where that is small, else from Winitzki's approximation on erfc, so that both ends keep their
 * digits. */
static inline double erfinv(double y) {
  long double size = fabsl((long double)y), rest = 1 - size, half_root_pi = 0.886226925452758013649L;
  if (!(size < 1)) return size == 1 ? copysign(INFINITY, y) : NAN;
  long double a = 0.147L, l = logl(rest * (1 + size)), b = 2 / (M_PIl * a) + l / 2;
  long double x = size < 0.5L ? half_root_pi * size : sqrtl(sqrtl(b * b - l / a) - b);
  for (int k = 0; k < 8; k++) x += (size < 0.5L ? size - erfl(x) : erfcl(x) - rest) * expl(x * x) * half_root_pi;
  return copysign((double)x, y);
}
static inline float erfinvf(float y) { return (float)erfinv(y); }
static inline float normcdff(float x) { return (float)(0.5 * erfc(-(double)x * 0.70710678118654752440)); }
static inline double normcdf(double x) {
  return (double)(0.5L * erfcl(-(long double)x * 0.707106781186547524400844362104849039L));
}
template <class T> static inline T __ldg(const T *at) { return *at; }

/* kernel<<<grid, block, shared, stream>>>(...), in words that both compilers know. The arguments are copied now, whenever
 * the kernel runs. */
template <class Kernel, class... A>
static void standin_call(dim3 grid, dim3 block, size_t shared, cudaStream_t stream, const char *name, Kernel kernel,
                         A... a) {
  standin_launch(grid, block, shared, stream, name, [=] { kernel(a...); });
}
#define CUDA_LAUNCH(kernel, grid, block, shared, stream, ...) \
  standin_call(                                               \
      grid, block, shared, stream, #kernel, [](auto... a) { kernel(a...); }, __VA_ARGS__)
#define CUDA_SHARED(type, name) type *name = (type *)standin_shared()
#endif
