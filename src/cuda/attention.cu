/* Attention for every float dtype and all sizes: blocks of queries by blocks of keys, whose scores stand in
 * registers.
 *
 * 256 threads are 16 x 16, and each has the scores of R queries by R keys (R is 4, for float64 2), 16 apart. Operands
 * come in chunks through shared memory, coalesced; weights lie there for the product with values. A block keeps the
 * running maximum and sum of its queries, and NC columns a thread of its results, so wide results take several blocks
 * that make the scores again. Backward makes them again from lse: one kernel for keys and values, one for queries, so
 * that nothing is summed by atomics. Shared memory: 33 KB (25 KB for float64), 128 registers: 2 blocks on a
 * multiprocessor. After Dao, FlashAttention-2 (2023). */
#include "cuda/attention.cuh"
#include "cuda/group.cuh"

enum { SIDE = 16, CHUNK = 32, STEP = CHUNK + 1 };
template <class V> struct Tile {
  enum {
    R = sizeof(V) == 8 ? 2 : 4,
    BLOCK = SIDE * R,
    ROOM = 2 * BLOCK * STEP,
    LINE = BLOCK + 1,
    WEIGHTS = BLOCK * LINE
  };
};

/* Some rows of a matrix in memory. */
template <class M> struct Lot {
  const M *at;
  int64_t row, count, width;
};
template <class M>
static __device__ inline Lot<M> rows_from(const AttentionRun &r, const AttentionStack &s, int64_t n, int64_t first,
                                          int64_t count, int64_t width) {
  return {matrix<const M>(r, s, n) + first * s.row, s.row, count, width};
}

static __device__ inline int tx() { return (int)threadIdx.x % SIDE; }
static __device__ inline int ty() { return (int)threadIdx.x / SIDE; }

/* sum[i][j] = the dot product of a's row ty + 16 i and b's row tx + 16 j; rows that are not there are 0. */
template <class T, class V, int R>
static __device__ inline void dots(V (&sum)[R][R], const Lot<typename T::Memory> &a, const Lot<typename T::Memory> &b,
                                   V *room) {
  enum { BLOCK = SIDE * R };
  V *of_a = room, *of_b = room + BLOCK * STEP;
  UNROLL
  for (int i = 0; i < R; i++) UNROLL
  for (int j = 0; j < R; j++) sum[i][j] = 0;
  __syncthreads(); /* the room and the weights may still be read */
  for (int64_t from = 0; from < a.width; from += CHUNK) {
    if (from > 0) __syncthreads();
    for (int e = (int)threadIdx.x; e < BLOCK * CHUNK; e += THREADS) {
      int row = e / CHUNK, k = e % CHUNK;
      bool inside = from + k < a.width;
      of_a[row * STEP + k] = inside && row < a.count ? T::load(a.at[row * a.row + from + k]) : (V)0;
      of_b[row * STEP + k] = inside && row < b.count ? T::load(b.at[row * b.row + from + k]) : (V)0;
    }
    __syncthreads();
    for (int k = 0; k < CHUNK; k++) {
      V x[R], y[R];
      UNROLL
      for (int i = 0; i < R; i++) x[i] = of_a[(ty() + SIDE * i) * STEP + k], y[i] = of_b[(tx() + SIDE * i) * STEP + k];
      UNROLL
      for (int i = 0; i < R; i++) UNROLL
      for (int j = 0; j < R; j++) sum[i][j] += x[i] * y[j];
    }
  }
}

/* sum[i][c] += the weights of row ty + 16 i (turned: of that column) times x's rows, in columns tx + 16 c of those from
 * `first` on. */
template <class T, bool TURNED, class V, int R, int NC>
static __device__ inline void weighted(V (&sum)[R][NC], const V *weight, const Lot<typename T::Memory> &x,
                                       int64_t first, V *room) {
  enum { BLOCK = SIDE * R, LINE = BLOCK + 1, COLUMNS = SIDE * NC, FIT = 2 * BLOCK * CHUNK / COLUMNS };
  enum { SOME = FIT < BLOCK ? FIT : BLOCK };
  for (int from = 0; from < BLOCK && from < x.count; from += SOME) {
    __syncthreads(); /* the weights are there, the room is free */
    for (int e = (int)threadIdx.x; e < SOME * COLUMNS; e += THREADS) {
      int row = from + e / COLUMNS;
      int64_t column = first + e % COLUMNS;
      room[e] = row < x.count && column < x.width ? T::load(x.at[row * x.row + column]) : (V)0;
    }
    __syncthreads();
    for (int k = 0; k < SOME; k++) {
      V w[R], y[NC];
      UNROLL
      for (int i = 0; i < R; i++)
        w[i] = TURNED ? weight[(from + k) * LINE + ty() + SIDE * i] : weight[(ty() + SIDE * i) * LINE + from + k];
      UNROLL
      for (int c = 0; c < NC; c++) y[c] = room[k * COLUMNS + tx() + SIDE * c];
      UNROLL
      for (int i = 0; i < R; i++) UNROLL
      for (int c = 0; c < NC; c++) sum[i][c] += w[i] * y[c];
    }
  }
}

/* Writes sum[i][c] * factor into row ty + 16 i of `count`, columns as above. */
template <class T, class V, int R, int NC>
static __device__ inline void put(const V (&sum)[R][NC], typename T::Memory *to, int64_t row, int64_t count,
                                  int64_t first, int64_t width, V factor) {
  UNROLL
  for (int i = 0; i < R; i++) UNROLL
  for (int c = 0; c < NC; c++) {
    int64_t at = ty() + SIDE * i, column = first + tx() + SIDE * c;
    if (at < count && column < width) to[at * row + column] = T::store(sum[i][c] * factor);
  }
}

/* Of the 16 threads that share rows. */
template <class V> static __device__ inline V side_most(V v) {
  for (int by = SIDE / 2; by > 0; by /= 2) {
    V other = __shfl_xor_sync(0xffffffffu, v, by);
    v = other > v ? other : v;
  }
  return v;
}
template <class V> static __device__ inline V side_sum(V v) {
  for (int by = SIDE / 2; by > 0; by /= 2) v += __shfl_xor_sync(0xffffffffu, v, by);
  return v;
}

/* Task number t: a matrix, a share of the result's columns, a block of rows. Blocks behind others see more when causal:
 * they come first. */
struct Task {
  int64_t n, columns, block;
  __device__ inline Task(int64_t t, int64_t shares, int64_t blocks)
      : n(t / blocks / shares), columns(t / blocks % shares), block(blocks - 1 - t % blocks) {}
};
#define EACH_TASK(t, tasks) for (int64_t t = blockIdx.x; t < (tasks); t += gridDim.x)

template <class T, int NC> __global__ void __launch_bounds__(THREADS, 2) attend(AttentionRun r) {
  typedef typename T::Memory M;
  typedef typename T::Value V;
  typedef Tile<V> Of;
  enum { R = Of::R, BLOCK = Of::BLOCK, COLUMNS = SIDE * NC };
  __shared__ V room[Of::ROOM], weight[Of::WEIGHTS];
  const int64_t shares = blocks_of(r.value_width > 0 ? r.value_width : 1, COLUMNS), blocks = blocks_of(r.length, BLOCK);
  EACH_TASK(t, r.matrices * shares * blocks) {
    Task task(t, shares, blocks);
    int64_t i0 = task.block * BLOCK, count = least(BLOCK, r.length - i0);
    int64_t end = r.causal ? least(r.source, i0 + count) : r.source, first = task.columns * COLUMNS;
    Seen<V> seen(r, task.n);
    Lot<M> query = rows_from<M>(r, r.query, task.n, i0, count, r.width);
    V out[R][NC] = {{0}}, most[R], sum[R] = {0};
    UNROLL
    for (int i = 0; i < R; i++) most[i] = -(V)INFINITY;
    for (int64_t j0 = 0; j0 < end; j0 += BLOCK) {
      int64_t keys = least(BLOCK, end - j0);
      V score[R][R];
      dots<T>(score, query, rows_from<M>(r, r.key, task.n, j0, keys, r.width), room);
      const bool all = seen.all(i0, BLOCK, j0, BLOCK);
      UNROLL
      for (int i = 0; i < R; i++) {
        V top = -(V)INFINITY;
        UNROLL
        for (int j = 0; j < R; j++) {
          V s = score[i][j] = seen.score(i0 + ty() + SIDE * i, j0 + tx() + SIDE * j, score[i][j], all);
          top = s > top ? s : top;
        }
        top = side_most(top);
        top = top > most[i] ? top : most[i];
        V base = top == -(V)INFINITY ? 0 : top, factor = exp_e(most[i] - base);
        most[i] = top;
        sum[i] *= factor;
        UNROLL
        for (int c = 0; c < NC; c++) out[i][c] *= factor;
        UNROLL
        for (int j = 0; j < R; j++) {
          V e = exp_e(score[i][j] - base);
          sum[i] += e;
          weight[(ty() + SIDE * i) * Of::LINE + tx() + SIDE * j] = e;
        }
      }
      weighted<T, false>(out, weight, rows_from<M>(r, r.value, task.n, j0, keys, r.value_width), first, room);
    }
    UNROLL
    for (int i = 0; i < R; i++) {
      V total = side_sum(sum[i]), factor = total == 0 ? 0 : 1 / total;
      UNROLL
      for (int c = 0; c < NC; c++) out[i][c] *= factor;
      int64_t at = ty() + SIDE * i;
      if (tx() == 0 && at < count && first == 0)
        ((V *)r.lse)[task.n * r.length + i0 + at] = total == 0 ? 0 : most[i] + log_e(total);
    }
    put<T>(out, matrix<M>(r, r.out, task.n) + i0 * r.out.row, r.out.row, count, first, r.value_width, (V)1);
  }
}

/* A warp for each row. */
template <class T> __global__ void __launch_bounds__(THREADS) delta_of(AttentionRun r) {
  typedef typename T::Memory M;
  typedef typename T::Value V;
  int lane = (int)threadIdx.x % WARP;
  for (int64_t row = ((int64_t)blockIdx.x * THREADS + threadIdx.x) / WARP; row < r.matrices * r.length;
       row += (int64_t)gridDim.x * THREADS / WARP) {
    int64_t n = row / r.length, i = row % r.length;
    const M *grad = matrix<const M>(r, r.grad, n) + i * r.grad.row, *out = matrix<const M>(r, r.out, n) + i * r.out.row;
    V sum = 0;
    for (int64_t c = lane; c < r.value_width; c += WARP) sum += T::load(grad[c]) * T::load(out[c]);
    sum = warp_all(sum, [](V a, V b) { return a + b; });
    if (lane == 0) ((V *)r.delta)[row] = sum - (r.grad_lse ? ((const V *)r.grad_lse)[row] : (V)0);
  }
}

/* Of a block of queries and one of keys: the weights, in their place, and the gradients of scores but for the scale. */
template <class T, class V, int R>
static __device__ inline void back_block(const AttentionRun &r, const Seen<V> &seen, int64_t n, int64_t i0, int64_t j0,
                                         int64_t queries, int64_t keys, V (&score)[R][R], V (&back)[R][R], V *room) {
  typedef typename T::Memory M;
  dots<T>(score, rows_from<M>(r, r.query, n, i0, queries, r.width), rows_from<M>(r, r.key, n, j0, keys, r.width), room);
  dots<T>(back, rows_from<M>(r, r.grad, n, i0, queries, r.value_width),
          rows_from<M>(r, r.value, n, j0, keys, r.value_width), room);
  const bool all = seen.all(i0, SIDE * R, j0, SIDE * R);
  UNROLL
  for (int i = 0; i < R; i++) {
    int64_t q = i0 + ty() + SIDE * i, at = n * r.length + (q < r.length ? q : 0);
    V lse = ((const V *)r.lse)[at], delta = ((const V *)r.delta)[at];
    UNROLL
    for (int j = 0; j < R; j++) {
      V w = exp_e(seen.score(q, j0 + tx() + SIDE * j, score[i][j], all) - lse);
      score[i][j] = w;
      back[i][j] = w * (back[i][j] - delta);
    }
  }
}
template <class V, int R> static __device__ inline void share(const V (&of)[R][R], V *weight) {
  UNROLL
  for (int i = 0; i < R; i++) UNROLL
  for (int j = 0; j < R; j++) weight[(ty() + SIDE * i) * (SIDE * R + 1) + tx() + SIDE * j] = of[i][j];
}

template <class T, int NC> __global__ void __launch_bounds__(THREADS, 2) back_of_keys(AttentionRun r) {
  typedef typename T::Memory M;
  typedef typename T::Value V;
  typedef Tile<V> Of;
  enum { R = Of::R, BLOCK = Of::BLOCK, COLUMNS = SIDE * NC };
  __shared__ V room[Of::ROOM], weight[Of::WEIGHTS];
  const int64_t widest = r.width > r.value_width ? r.width : r.value_width;
  const int64_t shares = blocks_of(widest, COLUMNS), blocks = blocks_of(r.source, BLOCK);
  EACH_TASK(t, r.matrices * shares * blocks) {
    Task task(t, shares, blocks);
    int64_t block = blocks - 1 - task.block; /* the first keys are seen by most */
    int64_t j0 = block * BLOCK, keys = least(BLOCK, r.source - j0), first = task.columns * COLUMNS;
    Seen<V> seen(r, task.n);
    V gk[R][NC] = {{0}}, gv[R][NC] = {{0}};
    for (int64_t i0 = r.causal ? j0 : 0; i0 < r.length; i0 += BLOCK) {
      int64_t queries = least(BLOCK, r.length - i0);
      V score[R][R], back[R][R];
      back_block<T>(r, seen, task.n, i0, j0, queries, keys, score, back, room);
      share(score, weight);
      weighted<T, true>(gv, weight, rows_from<M>(r, r.grad, task.n, i0, queries, r.value_width), first, room);
      __syncthreads();
      share(back, weight);
      weighted<T, true>(gk, weight, rows_from<M>(r, r.query, task.n, i0, queries, r.width), first, room);
    }
    put<T>(gk, matrix<M>(r, r.gk, task.n) + j0 * r.gk.row, r.gk.row, keys, first, r.width, (V)r.scale);
    put<T>(gv, matrix<M>(r, r.gv, task.n) + j0 * r.gv.row, r.gv.row, keys, first, r.value_width, (V)1);
  }
}

template <class T, int NC> __global__ void __launch_bounds__(THREADS, 2) back_of_queries(AttentionRun r) {
  typedef typename T::Memory M;
  typedef typename T::Value V;
  typedef Tile<V> Of;
  enum { R = Of::R, BLOCK = Of::BLOCK, COLUMNS = SIDE * NC };
  __shared__ V room[Of::ROOM], weight[Of::WEIGHTS];
  const int64_t shares = blocks_of(r.width, COLUMNS), blocks = blocks_of(r.length, BLOCK);
  EACH_TASK(t, r.matrices * shares * blocks) {
    Task task(t, shares, blocks);
    int64_t i0 = task.block * BLOCK, count = least(BLOCK, r.length - i0);
    int64_t end = r.causal ? least(r.source, i0 + count) : r.source, first = task.columns * COLUMNS;
    Seen<V> seen(r, task.n);
    V gq[R][NC] = {{0}};
    for (int64_t j0 = 0; j0 < end; j0 += BLOCK) {
      int64_t keys = least(BLOCK, end - j0);
      V score[R][R], back[R][R];
      back_block<T>(r, seen, task.n, i0, j0, count, keys, score, back, room);
      share(back, weight);
      weighted<T, false>(gq, weight, rows_from<M>(r, r.key, task.n, j0, keys, r.width), first, room);
    }
    put<T>(gq, matrix<M>(r, r.gq, task.n) + i0 * r.gq.row, r.gq.row, count, first, r.width, (V)r.scale);
  }
}

/* ---- launches ---- */

template <class T> static int64_t tile() { return Tile<typename T::Value>::BLOCK; }

template <class T, int NC> static int launch(const AttentionRun &r, void *stream) {
  int64_t shares = blocks_of(r.value_width > 0 ? r.value_width : 1, SIDE * NC);
  unsigned grid = blocks_for_tasks(r.matrices * shares * blocks_of(r.length, tile<T>()));
  CUDA_LAUNCH((attend<T, NC>), grid, THREADS, 0, (cudaStream_t)stream, r);
  return launched();
}
CUDA_API int cuda_launch_attention(int dtype, const AttentionRun *run, void *stream) {
  int error = -1;
  with_float(dtype, [&](auto tag) {
    error =
        run->value_width <= 4 * SIDE ? launch<decltype(tag), 4>(*run, stream) : launch<decltype(tag), 8>(*run, stream);
  });
  return error;
}

CUDA_API int cuda_launch_attention_delta(int dtype, const AttentionRun *run, void *stream) {
  int error = -1;
  with_float(dtype, [&](auto tag) {
    CUDA_LAUNCH((delta_of<decltype(tag)>), blocks_for(run->matrices * run->length * WARP, 1), THREADS, 0,
                (cudaStream_t)stream, *run);
    error = launched();
  });
  return error;
}

template <class T, int NC> static int launch_back(const AttentionRun &r, void *stream) {
  int64_t widest = r.width > r.value_width ? r.width : r.value_width, tasks;
  tasks = r.matrices * blocks_of(widest, SIDE * NC) * blocks_of(r.source, tile<T>());
  if (tasks > 0) CUDA_LAUNCH((back_of_keys<T, NC>), blocks_for_tasks(tasks), THREADS, 0, (cudaStream_t)stream, r);
  int error = launched();
  tasks = r.matrices * blocks_of(r.width, SIDE * NC) * blocks_of(r.length, tile<T>());
  if (error || tasks == 0) return error;
  CUDA_LAUNCH((back_of_queries<T, NC>), blocks_for_tasks(tasks), THREADS, 0, (cudaStream_t)stream, r);
  return launched();
}
CUDA_API int cuda_launch_attention_back(int dtype, const AttentionRun *run, void *stream) {
  int error = -1;
  int64_t widest = run->width > run->value_width ? run->width : run->value_width;
  with_float(dtype, [&](auto tag) {
    error =
        widest <= 4 * SIDE ? launch_back<decltype(tag), 4>(*run, stream) : launch_back<decltype(tag), 8>(*run, stream);
  });
  return error;
}
