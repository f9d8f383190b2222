/* Sorting along lines. Elements become unsigned keys in the order wanted (NaN greatest, -0 equal to 0, inverted when
 * descending) beside their numbers, so that every sort is stable and values keep their bits.
 *
 * Short lines: a bitonic network in a block's own memory, several lines to a block. Long ones: radix sort by bytes from the
 * lowest; each tile counts its digits, the counts become places, and each tile moves its elements there. The first few of
 * a long line: the digits of the last one that is wanted are found from the highest, and those before it are sorted. */
#include "cuda/sort.h"
#include "cuda/prefix.cuh"

enum { SPAN = 512 }; /* elements that a block sorts at least */

template <class T> struct KeyOf {
  typedef typename std::conditional<sizeof(typename T::Memory) == 8, uint64_t, uint32_t>::type Key;
};

template <class T> static __device__ inline typename KeyOf<T>::Key key_of(typename T::Memory x, bool descending) {
  typedef typename T::Memory M;
  typedef typename KeyOf<T>::Key Key;
  typedef typename std::conditional<
      sizeof(M) == 8, uint64_t,
      typename std::conditional<sizeof(M) == 4, uint32_t,
                                typename std::conditional<sizeof(M) == 2, uint16_t, uint8_t>::type>::type>::type Bits;
  Bits bits, top = (Bits)((Bits)1 << (8 * sizeof(Bits) - 1)), key;
  memcpy(&bits, &x, sizeof bits);
  auto v = T::load(x);
  if constexpr ((decltype(v))0.5 != 0) {
    if (v == 0) bits = 0;
    key = v != v ? (Bits) ~(Bits)0 : bits & top ? (Bits)~bits : (Bits)(bits | top);
  } else {
    key = std::is_signed<M>::value ? (Bits)(bits ^ top) : bits;
  }
  return (Key)(descending ? (Bits)~key : key);
}

/* --- radix --- */

/* The number of a block: its line and its tile. */
struct Tile {
  int64_t line, tile, begin, end;
};
static __device__ inline Tile tile_of(int64_t n, int64_t tiles) {
  Tile t = {(int64_t)blockIdx.x / tiles, (int64_t)blockIdx.x % tiles, 0, 0};
  t.begin = t.tile * SORT_TILE;
  t.end = t.begin + SORT_TILE < n ? t.begin + SORT_TILE : n;
  return t;
}

template <class K>
__global__ void __launch_bounds__(SORT_DIGITS)
    radix_count(const K *key, int64_t n, int64_t tiles, int shift, uint32_t *count) {
  __shared__ uint32_t own[SORT_DIGITS];
  Tile t = tile_of(n, tiles);
  own[threadIdx.x] = 0;
  __syncthreads();
  for (int64_t i = t.begin + threadIdx.x; i < t.end; i += SORT_DIGITS)
    atomicAdd(&own[key[t.line * n + i] >> shift & (SORT_DIGITS - 1)], 1u);
  __syncthreads();
  count[(t.line * SORT_DIGITS + threadIdx.x) * tiles + t.tile] = own[threadIdx.x];
}

/* A warp for each of n digits of lines: its counts become the sums of those before them. */
__global__ void __launch_bounds__(THREADS) radix_sum(uint32_t *count, int64_t tiles, uint32_t *total, int64_t n) {
  int lane = (int)threadIdx.x % WARP;
  int64_t digit = ((int64_t)blockIdx.x * THREADS + threadIdx.x) / WARP;
  if (digit >= n) return;
  uint32_t *own = count + digit * tiles, sum = 0;
  for (int64_t first = 0; first < tiles; first += WARP) {
    int64_t i = first + lane;
    uint32_t here = i < tiles ? own[i] : 0, upto = here;
    for (int by = 1; by < WARP; by *= 2) {
      uint32_t other = __shfl_up_sync(0xffffffffu, upto, by);
      if (lane >= by) upto += other;
    }
    if (i < tiles) own[i] = sum + upto - here;
    sum += __shfl_sync(0xffffffffu, upto, WARP - 1);
  }
  if (lane == 0) total[digit] = sum;
}

template <class K>
__global__ void __launch_bounds__(SORT_DIGITS)
    radix_move(const K *key, const uint32_t *number, int64_t n, int64_t tiles, int shift, const uint32_t *count,
               const uint32_t *total, K *to_key, uint32_t *to_number) {
  __shared__ uint32_t base[SORT_DIGITS], of_warp[SORT_DIGITS / WARP][SORT_DIGITS];
  Tile t = tile_of(n, tiles);
  int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP;
  int64_t digit_at = t.line * SORT_DIGITS + threadIdx.x, line = t.line * n;
  uint32_t all, before = block_before(total[digit_at], &all);
  base[threadIdx.x] = before + count[digit_at * tiles + t.tile];
  for (int64_t first = t.begin; first < t.end; first += SORT_DIGITS) {
    int64_t i = first + threadIdx.x;
    bool there = i < t.end;
    K k = there ? key[line + i] : 0;
    unsigned digit = (unsigned)(k >> shift & (SORT_DIGITS - 1));
    unsigned peers = __ballot_sync(0xffffffffu, there); /* lanes with this digit */
    for (int bit = 0; bit < 8; bit++) {
      unsigned set = __ballot_sync(0xffffffffu, digit >> bit & 1);
      peers &= digit >> bit & 1 ? set : ~set;
    }
    int rank = __popc(peers & ((1u << lane) - 1));
    for (int w = 0; w < SORT_DIGITS / WARP; w++) of_warp[w][threadIdx.x] = 0;
    __syncthreads();
    if (there && rank == 0) of_warp[warp][digit] = (uint32_t)__popc(peers);
    __syncthreads();
    uint32_t sum = base[threadIdx.x];
    for (int w = 0; w < SORT_DIGITS / WARP; w++) {
      uint32_t here = of_warp[w][threadIdx.x];
      of_warp[w][threadIdx.x] = sum;
      sum += here;
    }
    base[threadIdx.x] = sum;
    __syncthreads();
    if (there) {
      int64_t to = line + of_warp[warp][digit] + rank;
      to_key[to] = k;
      to_number[to] = number[line + i];
    }
    __syncthreads();
  }
}

/* Sorts lines; which of both buffers has the result. */
template <class K>
static int radix_sort(K *const *key, uint32_t *const *number, int64_t n, int64_t lines, int64_t tiles, uint32_t *count,
                      uint32_t *total, int bytes, int *result, void *stream) {
  cudaStream_t s = (cudaStream_t)stream;
  unsigned blocks = (unsigned)(lines * tiles);
  int from = 0;
  for (int b = 0; b < bytes; b++, from = 1 - from) {
    CUDA_LAUNCH(radix_count<K>, blocks, SORT_DIGITS, 0, s, key[from], n, tiles, 8 * b, count);
    CUDA_LAUNCH(radix_sum, (unsigned)(lines * SORT_DIGITS * WARP / THREADS), THREADS, 0, s, count, tiles, total,
                lines * SORT_DIGITS);
    CUDA_LAUNCH(radix_move<K>, blocks, SORT_DIGITS, 0, s, key[from], number[from], n, tiles, 8 * b, count, total,
                key[1 - from], number[1 - from]);
  }
  *result = from;
  return launched();
}

__global__ void __launch_bounds__(THREADS) count_up(uint32_t *number, int64_t n) {
  EACH_ELEMENT(i, n) number[i] = (uint32_t)i;
}

CUDA_API int cuda_launch_pair_sort(PairSort *p, void *stream) {
  CUDA_LAUNCH(count_up, blocks_for(p->n, 1), THREADS, 0, (cudaStream_t)stream, p->number[0], p->n);
  return radix_sort<uint64_t>(p->key, p->number, p->n, 1, p->tiles, p->count, p->total, p->bytes, &p->result, stream);
}

template <class T> __global__ void __launch_bounds__(THREADS) line_keys(SortRun r) {
  typedef typename T::Memory M;
  typedef typename KeyOf<T>::Key K;
  EACH_ELEMENT(i, r.outer * r.inner * r.length) {
    int64_t line = i / r.length, at = i % r.length;
    const M *x = (const M *)r.x + line / r.inner * r.length * r.inner + line % r.inner;
    ((K *)r.key[0])[i] = key_of<T>(x[at * r.inner], r.descending);
    r.number[0][i] = (uint32_t)at;
  }
}

/* The first k of each line, by their sorted numbers. */
template <class M> __global__ void __launch_bounds__(THREADS) line_values(SortRun r, const uint32_t *number) {
  EACH_ELEMENT(i, r.outer * r.inner * r.k) {
    int64_t line = i / r.k, at = i % r.k, outer = line / r.inner, column = line % r.inner;
    uint32_t from = number[line * r.length + at];
    int64_t to = (outer * r.k + at) * r.inner + column;
    ((M *)r.values)[to] = ((const M *)r.x)[(outer * r.length + from) * r.inner + column];
    r.index[to] = (int64_t)from + 1;
  }
}

CUDA_API int cuda_launch_sort_long(int dtype, SortRun *run, void *stream) {
  int error = -1, result = 0;
  with_type(dtype, [&](auto tag) {
    typedef decltype(tag) T;
    typedef typename T::Memory M;
    typedef typename KeyOf<T>::Key K;
    int64_t lines = run->outer * run->inner;
    K *key[] = {(K *)run->key[0], (K *)run->key[1]};
    CUDA_LAUNCH(line_keys<T>, blocks_for(lines * run->length, 1), THREADS, 0, (cudaStream_t)stream, *run);
    error = radix_sort<K>(key, run->number, run->length, lines, run->tiles, run->count, run->total, (int)sizeof(M),
                          &result, stream);
    if (error) return;
    const uint32_t *number = run->number[result];
    CUDA_LAUNCH(line_values<M>, blocks_for(lines * run->k, 1), THREADS, 0, (cudaStream_t)stream, *run, number);
    error = launched();
  });
  return error;
}

/* --- in a block's memory --- */

/* Keys beside numbers: in one word where the key has 32 bits. */
template <class K> struct Sortable { uint64_t key; };
template <> struct Sortable<uint64_t> {
  uint64_t key;
  uint32_t number;
};
static __device__ inline Sortable<uint32_t> sortable(uint32_t key, uint32_t number) {
  return {(uint64_t)key << 32 | number};
}
static __device__ inline Sortable<uint64_t> sortable(uint64_t key, uint32_t number) { return {key, number}; }
static __device__ inline uint32_t number_of(Sortable<uint32_t> s) { return (uint32_t)s.key; }
static __device__ inline uint32_t number_of(Sortable<uint64_t> s) { return s.number; }
static __device__ inline bool after(Sortable<uint32_t> a, Sortable<uint32_t> b) { return a.key > b.key; }
static __device__ inline bool after(Sortable<uint64_t> a, Sortable<uint64_t> b) {
  return a.key > b.key || (a.key == b.key && a.number > b.number);
}

/* Sorts each `width` (a power of 2) of `span` elements; all threads of the block call it after writing them. */
template <class S> static __device__ inline void bitonic(S *s, int span, int width) {
  __syncthreads();
  for (int k = 2; k <= width; k *= 2)
    for (int by = k / 2; by > 0; by /= 2) {
      for (int p = (int)threadIdx.x; p < span / 2; p += (int)blockDim.x) {
        int low = 2 * p - (p & (by - 1)), high = low + by;
        bool up = (low & (width - 1) & k) == 0;
        S a = s[low], b = s[high];
        if (after(a, b) == up) {
          s[low] = b;
          s[high] = a;
        }
      }
      __syncthreads();
    }
}

template <class T> __global__ void __launch_bounds__(THREADS) sort_short(SortRun r, int width, int span) {
  typedef typename T::Memory M;
  typedef typename KeyOf<T>::Key K;
  __shared__ Sortable<K> s[SORT_SHORT];
  int64_t first = (int64_t)blockIdx.x * (span / width), lines = r.outer * r.inner;
  for (int e = (int)threadIdx.x; e < span; e += THREADS) {
    int64_t line = first + e / width;
    int at = e & (width - 1);
    K key = (K) ~(K)0;
    if (line < lines && at < r.length)
      key = key_of<T>(((const M *)r.x)[(line / r.inner * r.length + at) * r.inner + line % r.inner], r.descending);
    s[e] = sortable(key, (uint32_t)at);
  }
  bitonic(s, span, width);
  for (int e = (int)threadIdx.x; e < span; e += THREADS) {
    int64_t line = first + e / width, outer = line / r.inner, column = line % r.inner;
    int at = e & (width - 1);
    if (line >= lines || at >= r.k) continue;
    uint32_t from = number_of(s[e]);
    int64_t to = (outer * r.k + at) * r.inner + column;
    ((M *)r.values)[to] = ((const M *)r.x)[(outer * r.length + from) * r.inner + column];
    r.index[to] = (int64_t)from + 1;
  }
}

CUDA_API int cuda_launch_sort_short(int dtype, const SortRun *run, void *stream) {
  int error = -1, width = 1;
  while (width < run->length) width *= 2;
  int span = width < SPAN ? SPAN : width;
  int64_t lines = run->outer * run->inner, each = span / width;
  with_type(dtype, [&](auto tag) {
    typedef decltype(tag) T;
    CUDA_LAUNCH(sort_short<T>, (unsigned)((lines + each - 1) / each), THREADS, 0, (cudaStream_t)stream, *run, width,
                span);
    error = launched();
  });
  return error;
}

/* A block for each line. */
template <class T> __global__ void __launch_bounds__(THREADS) sort_first(SortRun r, int width) {
  typedef typename T::Memory M;
  typedef typename KeyOf<T>::Key K;
  __shared__ Sortable<K> s[SORT_FIRST];
  __shared__ uint32_t count[SORT_DIGITS], found, left, taken;
  int64_t outer = blockIdx.x / r.inner, column = blockIdx.x % r.inner;
  const M *x = (const M *)r.x + outer * r.length * r.inner + column;
  K last = 0, known = 0; /* the key of number k - 1, as far as it is known */
  uint32_t all;
  if (threadIdx.x == 0) {
    left = (uint32_t)r.k;
    taken = 0;
  }
  for (int shift = 8 * (int)sizeof(M) - 8; shift >= 0; shift -= 8) {
    count[threadIdx.x] = 0;
    __syncthreads();
    for (int64_t i = threadIdx.x; i < r.length; i += THREADS) {
      K key = key_of<T>(x[i * r.inner], r.descending);
      if ((key & known) == last) atomicAdd(&count[key >> shift & (SORT_DIGITS - 1)], 1u);
    }
    __syncthreads();
    uint32_t own = count[threadIdx.x], wanted = left, before = block_before(own, &all);
    __syncthreads();
    if (before < wanted && wanted <= before + own) {
      found = threadIdx.x;
      left = wanted - before;
    }
    __syncthreads();
    last |= (K)found << shift;
    known |= (K)(SORT_DIGITS - 1) << shift;
  }
  uint32_t equals = left, seen = 0; /* so many of those with the last key, in their order */
  for (int64_t first = 0; first < r.length; first += THREADS) {
    int64_t i = first + threadIdx.x;
    K key = i < r.length ? key_of<T>(x[i * r.inner], r.descending) : (K) ~(K)0;
    bool equal = i < r.length && key == last;
    if (i < r.length && key < last) s[atomicAdd(&taken, 1u)] = sortable(key, (uint32_t)i);
    if (seen >= equals || !__syncthreads_or(equal)) continue;
    uint32_t before = block_before(equal, &all);
    if (equal && seen + before < equals) s[r.k - equals + seen + before] = sortable(key, (uint32_t)i);
    seen += all;
  }
  for (int e = (int)(r.k + threadIdx.x); e < width; e += THREADS) s[e] = sortable((K) ~(K)0, ~0u);
  bitonic(s, width, width);
  for (int e = (int)threadIdx.x; e < r.k; e += THREADS) {
    uint32_t from = number_of(s[e]);
    int64_t to = (outer * r.k + e) * r.inner + column;
    ((M *)r.values)[to] = x[from * r.inner];
    r.index[to] = (int64_t)from + 1;
  }
}

CUDA_API int cuda_launch_sort_first(int dtype, const SortRun *run, void *stream) {
  int error = -1, width = 1;
  while (width < run->k) width *= 2;
  with_type(dtype, [&](auto tag) {
    typedef decltype(tag) T;
    CUDA_LAUNCH(sort_first<T>, (unsigned)(run->outer * run->inner), THREADS, 0, (cudaStream_t)stream, *run, width);
    error = launched();
  });
  return error;
}

/* --- one element of a sorted line --- */

struct Longest {
  int64_t run, at; /* of the longest run: its length and its last element; the first of several */
};

template <class T> struct SortedLine {
  const typename T::Memory *x;
  int64_t step;
  __device__ typename T::Value at(int64_t i) const { return T::load(x[i * step]); }
  /* NaN is like NaN here */
  __device__ bool same(int64_t i, int64_t j) const {
    typename T::Value a = at(i), b = at(j);
    return a == b || (a != a && b != b);
  }
  __device__ int64_t numbers(int64_t n) const { /* how many come before the first NaN */
    int64_t from = 0, to = n;
    while (from < to) {
      int64_t middle = from + (to - from) / 2;
      typename T::Value v = at(middle);
      if (v != v)
        to = middle;
      else
        from = middle + 1;
    }
    return from;
  }
  __device__ int64_t run_start(int64_t end) const { /* of the run whose last element is `end` */
    int64_t from = 0, to = end;
    while (from < to) {
      int64_t middle = from + (to - from) / 2;
      if (same(middle, end))
        to = middle;
      else
        from = middle + 1;
    }
    return from;
  }
};

/* A warp for each line. */
template <class T> __global__ void __launch_bounds__(THREADS) pick_sorted(PickRun r) {
  typedef typename T::Memory M;
  int lane = (int)threadIdx.x % WARP;
  for (int64_t line = ((int64_t)blockIdx.x * THREADS + threadIdx.x) / WARP; line < r.outer * r.inner;
       line += (int64_t)gridDim.x * THREADS / WARP) {
    int64_t first = line / r.inner * r.length * r.inner + line % r.inner, n = r.length, at = r.k - 1;
    SortedLine<T> s = {(const M *)r.sorted + first, r.inner};
    if (r.which == 1 || r.which == 2) {
      int64_t numbers = s.numbers(n);
      at = r.which == 1 ? (numbers < n ? numbers : (n - 1) / 2) : numbers > 0 ? (numbers - 1) / 2 : 0;
    } else if (r.which == 3) {
      Longest best = {0, 0};
      for (int64_t i = lane; i < n; i += WARP) {
        if (i + 1 < n && s.same(i, i + 1)) continue;
        int64_t run = i + 1 - s.run_start(i);
        if (run > best.run) best = {run, i};
      }
      for (int by = WARP / 2; by > 0; by /= 2) {
        Longest other = {__shfl_xor_sync(0xffffffffu, best.run, by), __shfl_xor_sync(0xffffffffu, best.at, by)};
        if (other.run > best.run || (other.run == best.run && other.at < best.at)) best = other;
      }
      at = best.at;
    }
    if (lane != 0) continue;
    ((M *)r.values)[line] = s.x[at * r.inner];
    r.index[line] = r.positions[first + at * r.inner];
  }
}

CUDA_API int cuda_launch_pick(int dtype, const PickRun *run, void *stream) {
  int error = -1;
  with_type(dtype, [&](auto tag) {
    typedef decltype(tag) T;
    CUDA_LAUNCH(pick_sorted<T>, blocks_for(run->outer * run->inner * WARP, 1), THREADS, 0, (cudaStream_t)stream, *run);
    error = launched();
  });
  return error;
}
