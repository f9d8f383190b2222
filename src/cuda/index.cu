/* gather, scatter and index_*: a thread for each element finds its position, checks it, and moves or adds one element.
 *
 * Reads and writes know only how many bytes an element has. Sums by atomics come in any order, as PyTorch's do; ordered
 * ones sort the places first and give each place to one thread. Bad positions are faults: reads give 0 there. */
#include "cuda/index.h"
#include "cuda/fault.cuh"

/* Byte offset that a position at `p` means; -1 and a fault for none. */
static __device__ inline int64_t place(const MoveRun &r, const char *p) {
  int64_t value = r.wide ? *(const int64_t *)p : *(const int32_t *)p;
  int64_t element = (p - r.rows.ptr[INDEX]) / (r.wide ? 8 : 4) + 1; /* of a packed index */
  int64_t at = position_at(r.fault, value, r.size, r.negative, r.dim, element);
  if (at < 0) return -1;
  if (r.dims == 1) return at * r.stride[0];
  int64_t bytes = 0;
  for (int d = r.dims - 1; d > 0; d--) {
    int64_t next = at / r.shape[d];
    bytes += (at - next * r.shape[d]) * r.stride[d];
    at = next;
  }
  return bytes + at * r.stride[0];
}

static __device__ inline void offsets(const Rows &r, int64_t i, int64_t *at) {
  if (r.numel <= INT32_MAX)
    rows_at<uint32_t>(r, i, at);
  else
    rows_at<uint64_t>(r, i, at);
}

template <class E> static __device__ inline E beside(const Rows &r, int64_t offset) {
  if (r.ptr[BESIDE]) return *(const E *)(r.ptr[BESIDE] + offset);
  E value = {};
  memcpy(&value, &r.value[BESIDE], sizeof value < 8 ? sizeof value : 8);
  return value;
}

template <class E> __global__ void __launch_bounds__(THREADS) move_read(MoveRun r) {
  EACH_ELEMENT(i, r.rows.numel) {
    int64_t at[ROWS_OPERANDS];
    offsets(r.rows, i, at);
    int64_t from = place(r, r.rows.ptr[INDEX] + at[INDEX]);
    E value = {};
    if (from >= 0) value = *(const E *)(r.rows.ptr[MOVED] + at[MOVED] + from);
    *(E *)(r.rows.ptr[BESIDE] + at[BESIDE]) = value;
  }
}

template <class E> __global__ void __launch_bounds__(THREADS) move_write(MoveRun r) {
  EACH_ELEMENT(i, r.rows.numel) {
    int64_t at[ROWS_OPERANDS];
    offsets(r.rows, i, at);
    int64_t to = place(r, r.rows.ptr[INDEX] + at[INDEX]);
    if (to >= 0) *(E *)(r.rows.ptr[MOVED] + at[MOVED] + to) = beside<E>(r.rows, at[BESIDE]);
  }
}

template <class E> static int launch_move(const MoveRun &r, void *stream) {
  if (r.mode == MOVE_READ)
    CUDA_LAUNCH(move_read<E>, blocks_for(r.rows.numel, 1), THREADS, 0, (cudaStream_t)stream, r);
  else
    CUDA_LAUNCH(move_write<E>, blocks_for(r.rows.numel, 1), THREADS, 0, (cudaStream_t)stream, r);
  return launched();
}

CUDA_API int cuda_launch_move(int bytes, const MoveRun *run, void *stream) {
  switch (bytes) {
  case 1: return launch_move<uint8_t>(*run, stream);
  case 2: return launch_move<uint16_t>(*run, stream);
  case 4: return launch_move<uint32_t>(*run, stream);
  case 8: return launch_move<uint64_t>(*run, stream);
  case 16: return launch_move<uint4>(*run, stream);
  default: return -1;
  }
}

/* --- what is written from what is there and what comes --- */

template <class T> static __device__ inline typename T::Memory scaled(const MoveRun &r, typename T::Memory x) {
  typedef typename T::Value V;
  if (!r.scaled) return x;
  if constexpr (std::is_same<T, Bool>::value)
    return x && r.alpha != 0;
  else if constexpr ((V)0.5 == 0)
    return (typename T::Memory)((uint64_t)x * (uint64_t)r.alpha_integer);
  else
    return x; /* floats are scaled as they are added */
}

template <class T>
static __device__ inline typename T::Memory combined(const MoveRun &r, typename T::Memory old, typename T::Memory x) {
  typedef typename T::Memory M;
  typedef typename T::Value V;
  V a = T::load(old), b = T::load(x);
  constexpr bool is_float = (V)0.5 != 0;
  switch (r.mode) {
  case MOVE_SUM:
    if constexpr (is_float)
      return T::store(r.scaled ? a + b * (V)r.alpha : a + b);
    else if constexpr (std::is_same<T, Bool>::value)
      return a || b;
    else
      return (M)((uint64_t)a + (uint64_t)b);
  case MOVE_PRODUCT:
    if constexpr (is_float)
      return T::store(a * b);
    else
      return (M)((uint64_t)a * (uint64_t)b);
  case MOVE_MAXIMUM: return b > a || b != b ? x : old;
  case MOVE_MINIMUM: return b < a || b != b ? x : old;
  default: return x;
  }
}

/* The element at `at` becomes combined(it, x). Smaller elements than 4 bytes are exchanged with the word around them,
 * which memory of a device always has. */
template <class T>
static __device__ inline void combine_at(const MoveRun &r, typename T::Memory *at, typename T::Memory x) {
  typedef typename T::Memory M;
  if constexpr (sizeof(M) >= 4) {
    typedef typename std::conditional<sizeof(M) == 8, unsigned long long, unsigned>::type Word;
    if (r.mode == MOVE_SUM && !(r.scaled && (typename T::Value)0.5 != 0)) {
      if constexpr (std::is_floating_point<M>::value)
        atomicAdd(at, x);
      else
        atomicAdd((Word *)at, (Word)x);
      return;
    }
    Word old = *(volatile Word *)at, seen;
    do {
      M mine, next;
      seen = old;
      memcpy(&mine, &seen, sizeof mine);
      next = combined<T>(r, mine, x);
      Word word;
      memcpy(&word, &next, sizeof word);
      if (word == seen) return;
      old = atomicCAS((Word *)at, seen, word);
    } while (old != seen);
  } else {
    unsigned *word = (unsigned *)((uintptr_t)at & ~(uintptr_t)3), shift = 8 * (unsigned)((uintptr_t)at & 3);
    unsigned mask = (sizeof(M) == 1 ? 0xffu : 0xffffu) << shift, old = *(volatile unsigned *)word, seen;
    do {
      seen = old;
      M mine = (M)(seen >> shift);
      unsigned next = (seen & ~mask) | ((unsigned)combined<T>(r, mine, x) << shift & mask);
      if (next == seen) return;
      old = atomicCAS(word, seen, next);
    } while (old != seen);
  }
}

template <class T> __global__ void __launch_bounds__(THREADS) move_combine(MoveRun r) {
  typedef typename T::Memory M;
  EACH_ELEMENT(i, r.rows.numel) {
    int64_t at[ROWS_OPERANDS];
    offsets(r.rows, i, at);
    int64_t to = r.rows.ptr[INDEX] ? place(r, r.rows.ptr[INDEX] + at[INDEX]) : 0;
    if (to < 0) continue;
    combine_at<T>(r, (M *)(r.rows.ptr[MOVED] + at[MOVED] + to), scaled<T>(r, beside<M>(r.rows, at[BESIDE])));
  }
}

CUDA_API int cuda_launch_combine(int dtype, const MoveRun *run, void *stream) {
  int error = -1;
  with_type(dtype, [&](auto tag) {
    typedef decltype(tag) T;
    CUDA_LAUNCH(move_combine<T>, blocks_for(run->rows.numel, 1), THREADS, 0, (cudaStream_t)stream, *run);
    error = launched();
  });
  return error;
}

/* --- in order --- */

__global__ void __launch_bounds__(THREADS) move_places(MoveRun r, uint64_t outside, uint64_t *key) {
  EACH_ELEMENT(i, r.rows.numel) {
    int64_t at[ROWS_OPERANDS];
    offsets(r.rows, i, at);
    int64_t to = r.rows.ptr[INDEX] ? place(r, r.rows.ptr[INDEX] + at[INDEX]) : 0;
    key[i] = to < 0 ? outside : (uint64_t)(at[MOVED] + to);
  }
}

CUDA_API int cuda_launch_places(const MoveRun *run, uint64_t outside, uint64_t *key, void *stream) {
  CUDA_LAUNCH(move_places, blocks_for(run->rows.numel, 1), THREADS, 0, (cudaStream_t)stream, *run, outside, key);
  return launched();
}

/* The first of equal keys does them all, one after the other, for one element of the rest. */
template <class T> __global__ void __launch_bounds__(THREADS) move_ordered(OrderedMove m) {
  typedef typename T::Memory M;
  const int64_t n = m.run.rows.numel, width = m.rest.numel;
  EACH_ELEMENT(i, n * width) {
    int64_t k = i / width, at[ROWS_OPERANDS], own[ROWS_OPERANDS];
    uint64_t to = m.key[k];
    if (to == m.outside || (k > 0 && m.key[k - 1] == to)) continue;
    offsets(m.rest, i - k * width, own);
    M *there = (M *)(m.run.rows.ptr[MOVED] + own[MOVED] + to), value = *there;
    for (; k < n && m.key[k] == to; k++) {
      offsets(m.run.rows, m.number[k], at);
      value = combined<T>(m.run, value, scaled<T>(m.run, beside<M>(m.run.rows, at[BESIDE] + own[BESIDE])));
    }
    *there = value;
  }
}

CUDA_API int cuda_launch_ordered(int dtype, const OrderedMove *move, void *stream) {
  int error = -1;
  with_type(dtype, [&](auto tag) {
    typedef decltype(tag) T;
    unsigned blocks = blocks_for(move->run.rows.numel * move->rest.numel, 1);
    CUDA_LAUNCH(move_ordered<T>, blocks, THREADS, 0, (cudaStream_t)stream, *move);
    error = launched();
  });
  return error;
}

/* --- positions alone --- */

__global__ void __launch_bounds__(THREADS) check_positions(MoveRun r) {
  EACH_ELEMENT(i, r.rows.numel) {
    int64_t at[ROWS_OPERANDS];
    offsets(r.rows, i, at);
    place(r, r.rows.ptr[0] + at[0]);
  }
}

CUDA_API int cuda_launch_check(const MoveRun *run, void *stream) {
  CUDA_LAUNCH(check_positions, blocks_for(run->rows.numel, 1), THREADS, 0, (cudaStream_t)stream, *run);
  return launched();
}

__global__ void __launch_bounds__(THREADS) linear_positions(MoveRun r, int64_t factor, bool first) {
  EACH_ELEMENT(i, r.rows.numel) {
    int64_t at[ROWS_OPERANDS];
    offsets(r.rows, i, at);
    int64_t position = place(r, r.rows.ptr[1] + at[1]), *to = (int64_t *)(r.rows.ptr[0] + at[0]);
    if (position < 0) /* stays bad for whoever uses it */
      *to = INT64_MIN;
    else if (first || *to != INT64_MIN)
      *to = (first ? 1 : *to) + position * factor;
  }
}

CUDA_API int cuda_launch_linear(const MoveRun *run, int64_t factor, bool first, void *stream) {
  CUDA_LAUNCH(linear_positions, blocks_for(run->rows.numel, 1), THREADS, 0, (cudaStream_t)stream, *run, factor, first);
  return launched();
}
