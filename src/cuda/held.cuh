/* Lines that stay in the registers of a warp or a block: which line a group of threads begins with, and its elements, read
 * and written once, 16 bytes at a time where they lie so. */
#ifndef MT_CUDA_HELD_CUH
#define MT_CUDA_HELD_CUH
#include "cuda/group.cuh"

template <int GROUP> static __device__ inline int64_t first_line() {
  return ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / GROUP;
}
template <int GROUP> static __device__ inline int64_t line_step() { return (int64_t)gridDim.x * blockDim.x / GROUP; }

/* Element (j, e) of a thread's share of a line, HOLD elements in packs of N: `wide` packs follow each other from thread to
 * thread, else single elements do. */
template <class T> struct Wide {
  enum { N = 16 / sizeof(typename T::Memory) };
  struct alignas(16) Pack {
    typename T::Memory at[N];
  };
};
/* Whether packed lines of that length at these places are read in packs. */
template <class T> static inline bool in_packs(int64_t length, const void *a, const void *b, const void *c) {
  return length % Wide<T>::N == 0 && ((uintptr_t)a | (uintptr_t)b | (uintptr_t)c) % 16 == 0;
}
/* Where in its line element k of a thread's share stands; past the end there is none. */
template <class T, int GROUP> static __device__ inline int held_at(int k, int own, bool wide) {
  enum { N = Wide<T>::N };
  return wide ? (own + GROUP * (k / N)) * N + k % N : own + GROUP * k;
}
template <class T, int GROUP, int HOLD>
static __device__ inline void hold(typename T::Value *v, const typename T::Memory *x, int length, int own, bool wide,
                                   typename T::Value nothing) {
  enum { N = Wide<T>::N };
  typedef typename Wide<T>::Pack Pack;
  if (wide) {
    for (int j = 0; j < HOLD / N; j++) {
      int at = (own + GROUP * j) * N;
      Pack pack;
      if (at < length) pack = *(const Pack *)(x + at);
      for (int e = 0; e < N; e++) v[j * N + e] = at < length ? T::load(pack.at[e]) : nothing;
    }
  } else {
    for (int j = 0; j < HOLD; j++) {
      int at = own + GROUP * j;
      v[j] = at < length ? T::load(x[at]) : nothing;
    }
  }
}
template <class T, int GROUP, int HOLD>
static __device__ inline void let_go(const typename T::Value *v, typename T::Memory *out, int length, int own,
                                     bool wide) {
  enum { N = Wide<T>::N };
  typedef typename Wide<T>::Pack Pack;
  if (wide) {
    for (int j = 0; j < HOLD / N; j++) {
      int at = (own + GROUP * j) * N;
      Pack pack;
      for (int e = 0; e < N; e++) pack.at[e] = T::store(v[j * N + e]);
      if (at < length) *(Pack *)(out + at) = pack;
    }
  } else {
    for (int j = 0; j < HOLD; j++) {
      int at = own + GROUP * j;
      if (at < length) out[at] = T::store(v[j]);
    }
  }
}
#endif
