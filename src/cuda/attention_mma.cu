/* Attention of float16 and bfloat16 on tensor cores.
 *
 * A block is 4 warps of 16 rows each: queries, or keys for the gradients of keys and values. Scores, weights and
 * results stay in the registers that mma.cuh names: the weights of a block are at once the first factor of the next
 * product. Rows of the other side come through shared memory, 16 bytes at a time where they lie so, with 16 bytes
 * between rows so that ldmatrix meets no bank twice. P is the width rounded up: 32, 64, 128 or 256; what is beyond
 * the end is 0. Sums are float, weights and gradients of scores are rounded for their products; wide results take
 * several blocks that make the scores again. Shared memory: at most 34 KB. Registers say how many blocks a
 * multiprocessor has: 4 for P 32, 3 (for keys' gradients 2) for 64, 2 above; none spill. After Dao, FlashAttention-2
 * (2023). */
#include "cuda/attention.cuh"
#include "cuda/mma.cuh"

enum { WARPS = 4, TEAM = 32 * WARPS, HEIGHT = 16 * WARPS };
template <int P> struct Shape {
  enum {
    LINE = P + 8,                 /* elements of a row in shared memory */
    KEYS = P <= 128 ? 64 : 32,    /* of a block, forward */
    COLUMNS = P <= 128 ? P : 128, /* of the result, forward */
    BACK = 32,                    /* rows of the other side, backward */
    COLUMNS_BACK = P <= 64 ? P : 64
  };
};

/* Near enough for what is rounded to 16 bits. */
static __device__ inline float power_e(float x) {
#if defined(__CUDA_ARCH__)
  return __expf(x);
#else
  return expf(x);
#endif
}

static __device__ inline int lane_of() { return (int)threadIdx.x % 32; }
static __device__ inline int warp_of() { return (int)threadIdx.x / 32; }

/* ROWS rows of W elements into shared memory, from column `first` on; what is not there becomes 0. */
template <int ROWS, int W>
static __device__ inline void bring(uint16_t *to, const uint16_t *from, const AttentionStack &s, int64_t count,
                                    int64_t first, int64_t width) {
  enum { PACKS = W / 8, LINE = W + 8 };
  for (int e = (int)threadIdx.x; e < ROWS * PACKS; e += TEAM) {
    int row = e / PACKS, at = e % PACKS * 8;
    const uint16_t *source = from + row * s.row + first + at;
    int64_t valid = row < count ? width - first - at : 0;
    uint4 pack = {0, 0, 0, 0};
    if (s.wide && valid >= 8) {
      pack = *(const uint4 *)source;
    } else if (valid > 0) {
      uint32_t word[4];
      for (int k = 0; k < 4; k++)
        word[k] = (2 * k < valid ? source[2 * k] : 0u) | (uint32_t)(2 * k + 1 < valid ? source[2 * k + 1] : 0u) << 16;
      pack.x = word[0], pack.y = word[1], pack.z = word[2], pack.w = word[3];
    }
    *(uint4 *)(to + row * LINE + at) = pack;
  }
}

/* The first factor of this warp's 16 rows, all of P columns, from rows in shared memory. */
template <int P> static __device__ inline void take_rows(uint32_t (&a)[P / 16][4], const uint16_t *room) {
  const uint16_t *row = room + (16 * warp_of() + lane_of() % 16) * (P + 8) + lane_of() / 16 * 8;
  for (int k = 0; k < P / 16; k++) load_tiles<false>(a[k], row + 16 * k);
}

/* c (16 rows, N rows of `room`) = a room^T. */
template <class T, int P, int N>
static __device__ inline void times_turned(float (&c)[N / 8][4], const uint32_t (&a)[P / 16][4], const uint16_t *room) {
  int lane = lane_of();
  const uint16_t *row = room + (lane % 8 + lane / 16 * 8) * (P + 8) + lane / 8 % 2 * 8;
  UNROLL
  for (int n = 0; n < N / 8; n += 2) {
    for (int e = 0; e < 4; e++) c[n][e] = c[n + 1][e] = 0;
    UNROLL
    for (int k = 0; k < P / 16; k++) {
      uint32_t b[4];
      load_tiles<false>(b, row + 8 * n * (P + 8) + 16 * k);
      multiply_add<T>(c[n], a[k], {b[0], b[1]});
      multiply_add<T>(c[n + 1], a[k], {b[2], b[3]});
    }
  }
}

/* c (16 rows, C columns) += a (16 rows, N) times the N rows of `room`, LINE apart. */
template <class T, int N, int C, int LINE>
static __device__ inline void times(float (&c)[C / 8][4], const float (&a)[N / 8][4], const uint16_t *room) {
  int lane = lane_of();
  const uint16_t *row = room + lane % 16 * LINE + lane / 16 * 8;
  UNROLL
  for (int k = 0; k < N / 16; k++) {
    const uint32_t factor[4] = {pair_of<T>(a[2 * k][0], a[2 * k][1]), pair_of<T>(a[2 * k][2], a[2 * k][3]),
                                pair_of<T>(a[2 * k + 1][0], a[2 * k + 1][1]),
                                pair_of<T>(a[2 * k + 1][2], a[2 * k + 1][3])};
    UNROLL
    for (int n = 0; n < C / 8; n += 2) {
      uint32_t b[4];
      load_tiles<true>(b, row + 16 * k * LINE + 8 * n);
      multiply_add<T>(c[n], factor, {b[0], b[1]});
      multiply_add<T>(c[n + 1], factor, {b[2], b[3]});
    }
  }
}

/* This warp's rows of c, a factor each, to rows of `count`, columns from `first` on. */
template <class T, int C>
static __device__ inline void put_rows(const float (&c)[C / 8][4], uint16_t *to, int64_t row, int64_t count,
                                       int64_t first, int64_t width, const float (&factor)[2]) {
  int g = lane_of() / 4, t = lane_of() % 4;
  UNROLL
  for (int n = 0; n < C / 8; n++) UNROLL
  for (int e = 0; e < 4; e++) {
    int64_t at = 16 * warp_of() + g + e / 2 * 8, column = first + 8 * n + 2 * t + e % 2;
    if (at < count && column < width) to[at * row + column] = T::store(c[n][e] * factor[e / 2]);
  }
}

/* Of the 4 lanes that share rows. */
static __device__ inline float quad_most(float v) {
  for (int by = 2; by > 0; by /= 2) {
    float other = __shfl_xor_sync(ALL_LANES, v, by);
    v = other > v ? other : v;
  }
  return v;
}
static __device__ inline float quad_sum(float v) {
  for (int by = 2; by > 0; by /= 2) v += __shfl_xor_sync(ALL_LANES, v, by);
  return v;
}

/* Task number t: a matrix, a share of the result's columns, a block of rows, the last first. */
struct Work {
  int64_t n, columns, block;
  __device__ inline Work(int64_t t, int64_t shares, int64_t blocks)
      : n(t / blocks / shares), columns(t / blocks % shares), block(blocks - 1 - t % blocks) {}
};

template <class T, int P> __global__ void __launch_bounds__(TEAM) attend_mma(AttentionRun r) {
  typedef Shape<P> Of;
  enum { KEYS = Of::KEYS, C = Of::COLUMNS, LINE = Of::LINE, LINE_V = C + 8 };
  enum { TOGETHER = KEYS * LINE + KEYS * LINE_V, ROOM = TOGETHER > HEIGHT * LINE ? TOGETHER : HEIGHT * LINE };
  __shared__ uint4 room[ROOM / 8];
  uint16_t *of_keys = (uint16_t *)room, *of_values = of_keys + KEYS * LINE;
  const int g = lane_of() / 4, t = lane_of() % 4;
  const int64_t shares = blocks_of(r.value_width > 0 ? r.value_width : 1, C), blocks = blocks_of(r.length, HEIGHT);
  for (int64_t at = blockIdx.x; at < r.matrices * shares * blocks; at += gridDim.x) {
    Work work(at, shares, blocks);
    const int64_t i0 = work.block * HEIGHT, count = least(HEIGHT, r.length - i0), first = work.columns * C;
    const int64_t end = r.causal ? least(r.source, i0 + count) : r.source;
    const uint16_t *key = matrix<const uint16_t>(r, r.key, work.n), *value = matrix<const uint16_t>(r, r.value, work.n);
    Seen<float> seen(r, work.n);
    uint32_t query[P / 16][4];
    float out[C / 8][4] = {{0}}, most[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};
    __syncthreads();
    bring<HEIGHT, P>(of_keys, matrix<const uint16_t>(r, r.query, work.n) + i0 * r.query.row, r.query, count, 0,
                     r.width);
    __syncthreads();
    take_rows<P>(query, of_keys);
    for (int64_t j0 = 0; j0 < end; j0 += KEYS) {
      float score[KEYS / 8][4], top[2] = {-INFINITY, -INFINITY}, base[2], factor[2];
      __syncthreads();
      bring<KEYS, P>(of_keys, key + j0 * r.key.row, r.key, end - j0, 0, r.width);
      bring<KEYS, C>(of_values, value + j0 * r.value.row, r.value, end - j0, first, r.value_width);
      __syncthreads();
      times_turned<T, P, KEYS>(score, query, of_keys);
      const bool all = seen.all(i0, HEIGHT, j0, KEYS);
      UNROLL
      for (int n = 0; n < KEYS / 8; n++) UNROLL
      for (int e = 0; e < 4; e++) {
        int64_t i = i0 + 16 * warp_of() + g + e / 2 * 8, j = j0 + 8 * n + 2 * t + e % 2;
        float s = score[n][e] = seen.score(i, j, score[n][e], all);
        top[e / 2] = s > top[e / 2] ? s : top[e / 2];
      }
      for (int h = 0; h < 2; h++) {
        float now = quad_most(top[h]);
        now = now > most[h] ? now : most[h];
        base[h] = now == -INFINITY ? 0 : now;
        factor[h] = power_e(most[h] - base[h]);
        most[h] = now;
        sum[h] *= factor[h];
      }
      UNROLL
      for (int n = 0; n < KEYS / 8; n++) UNROLL
      for (int e = 0; e < 4; e++) sum[e / 2] += score[n][e] = power_e(score[n][e] - base[e / 2]);
      UNROLL
      for (int n = 0; n < C / 8; n++) UNROLL
      for (int e = 0; e < 4; e++) out[n][e] *= factor[e / 2];
      times<T, KEYS, C, LINE_V>(out, score, of_values);
    }
    float factor[2];
    for (int h = 0; h < 2; h++) {
      float total = quad_sum(sum[h]);
      int64_t i = 16 * warp_of() + g + h * 8;
      factor[h] = total == 0 ? 0 : 1 / total;
      if (t == 0 && i < count && first == 0)
        ((float *)r.lse)[work.n * r.length + i0 + i] = total == 0 ? 0 : most[h] + log_e(total);
    }
    put_rows<T, C>(out, matrix<uint16_t>(r, r.out, work.n) + i0 * r.out.row, r.out.row, count, first, r.value_width,
                   factor);
  }
}

/* Rows are keys here, columns queries. */
template <class T, int P> __global__ void __launch_bounds__(TEAM) back_of_keys_mma(AttentionRun r) {
  typedef Shape<P> Of;
  enum { QUERIES = Of::BACK, C = Of::COLUMNS_BACK, LINE = Of::LINE };
  __shared__ uint4 room[HEIGHT * LINE / 8];
  uint16_t *of_queries = (uint16_t *)room, *of_grads = of_queries + QUERIES * LINE;
  const int g = lane_of() / 4, t = lane_of() % 4;
  const int64_t widest = r.width > r.value_width ? r.width : r.value_width;
  const int64_t shares = blocks_of(widest, C), blocks = blocks_of(r.source, HEIGHT);
  for (int64_t at = blockIdx.x; at < r.matrices * shares * blocks; at += gridDim.x) {
    Work work(at, shares, blocks);
    const int64_t j0 = (blocks - 1 - work.block) * HEIGHT, keys = least(HEIGHT, r.source - j0),
                  first = work.columns * C;
    const uint16_t *query = matrix<const uint16_t>(r, r.query, work.n),
                   *grad = matrix<const uint16_t>(r, r.grad, work.n);
    const float *lse = (const float *)r.lse + work.n * r.length, *delta = (const float *)r.delta + work.n * r.length;
    Seen<float> seen(r, work.n);
    uint32_t key[P / 16][4], value[P / 16][4];
    float gk[C / 8][4] = {{0}}, gv[C / 8][4] = {{0}};
    __syncthreads();
    bring<HEIGHT, P>(of_queries, matrix<const uint16_t>(r, r.key, work.n) + j0 * r.key.row, r.key, keys, 0, r.width);
    __syncthreads();
    take_rows<P>(key, of_queries);
    __syncthreads();
    bring<HEIGHT, P>(of_queries, matrix<const uint16_t>(r, r.value, work.n) + j0 * r.value.row, r.value, keys, 0,
                     r.value_width);
    __syncthreads();
    take_rows<P>(value, of_queries);
    for (int64_t i0 = r.causal ? j0 : 0; i0 < r.length; i0 += QUERIES) {
      float score[QUERIES / 8][4], back[QUERIES / 8][4];
      __syncthreads();
      bring<QUERIES, P>(of_queries, query + i0 * r.query.row, r.query, r.length - i0, 0, r.width);
      bring<QUERIES, P>(of_grads, grad + i0 * r.grad.row, r.grad, r.length - i0, 0, r.value_width);
      __syncthreads();
      times_turned<T, P, QUERIES>(score, key, of_queries);
      const bool all = seen.all(i0, QUERIES, j0, HEIGHT);
      times_turned<T, P, QUERIES>(back, value, of_grads);
      UNROLL
      for (int n = 0; n < QUERIES / 8; n++) UNROLL
      for (int e = 0; e < 4; e++) {
        int64_t j = j0 + 16 * warp_of() + g + e / 2 * 8, i = i0 + 8 * n + 2 * t + e % 2;
        int64_t inside = i < r.length ? i : 0;
        float w = power_e(seen.score(i, j, score[n][e], all) - lse[inside]);
        score[n][e] = w;
        back[n][e] = w * (back[n][e] - delta[inside]);
      }
      times<T, QUERIES, C, LINE>(gv, score, of_grads + first);
      times<T, QUERIES, C, LINE>(gk, back, of_queries + first);
    }
    const float one[2] = {1, 1}, scale[2] = {(float)r.scale, (float)r.scale};
    put_rows<T, C>(gk, matrix<uint16_t>(r, r.gk, work.n) + j0 * r.gk.row, r.gk.row, keys, first, r.width, scale);
    put_rows<T, C>(gv, matrix<uint16_t>(r, r.gv, work.n) + j0 * r.gv.row, r.gv.row, keys, first, r.value_width, one);
  }
}

template <class T, int P> __global__ void __launch_bounds__(TEAM) back_of_queries_mma(AttentionRun r) {
  typedef Shape<P> Of;
  enum { KEYS = Of::BACK, LINE = Of::LINE };
  __shared__ uint4 room[HEIGHT * LINE / 8];
  uint16_t *of_keys = (uint16_t *)room, *of_values = of_keys + KEYS * LINE;
  const int g = lane_of() / 4, t = lane_of() % 4;
  const int64_t blocks = blocks_of(r.length, HEIGHT);
  for (int64_t at = blockIdx.x; at < r.matrices * blocks; at += gridDim.x) {
    Work work(at, 1, blocks);
    const int64_t i0 = work.block * HEIGHT, count = least(HEIGHT, r.length - i0);
    const int64_t end = r.causal ? least(r.source, i0 + count) : r.source;
    const uint16_t *key = matrix<const uint16_t>(r, r.key, work.n), *value = matrix<const uint16_t>(r, r.value, work.n);
    Seen<float> seen(r, work.n);
    uint32_t query[P / 16][4], grad[P / 16][4];
    float gq[P / 8][4] = {{0}}, lse[2], delta[2];
    for (int h = 0; h < 2; h++) {
      int64_t i = i0 + 16 * warp_of() + g + h * 8, row = work.n * r.length + (i < r.length ? i : 0);
      lse[h] = ((const float *)r.lse)[row], delta[h] = ((const float *)r.delta)[row];
    }
    __syncthreads();
    bring<HEIGHT, P>(of_keys, matrix<const uint16_t>(r, r.query, work.n) + i0 * r.query.row, r.query, count, 0,
                     r.width);
    __syncthreads();
    take_rows<P>(query, of_keys);
    __syncthreads();
    bring<HEIGHT, P>(of_keys, matrix<const uint16_t>(r, r.grad, work.n) + i0 * r.grad.row, r.grad, count, 0,
                     r.value_width);
    __syncthreads();
    take_rows<P>(grad, of_keys);
    for (int64_t j0 = 0; j0 < end; j0 += KEYS) {
      float score[KEYS / 8][4], back[KEYS / 8][4];
      __syncthreads();
      bring<KEYS, P>(of_keys, key + j0 * r.key.row, r.key, end - j0, 0, r.width);
      bring<KEYS, P>(of_values, value + j0 * r.value.row, r.value, end - j0, 0, r.value_width);
      __syncthreads();
      times_turned<T, P, KEYS>(score, query, of_keys);
      const bool all = seen.all(i0, HEIGHT, j0, KEYS);
      times_turned<T, P, KEYS>(back, grad, of_values);
      UNROLL
      for (int n = 0; n < KEYS / 8; n++) UNROLL
      for (int e = 0; e < 4; e++) {
        int64_t i = i0 + 16 * warp_of() + g + e / 2 * 8, j = j0 + 8 * n + 2 * t + e % 2;
        float w = power_e(seen.score(i, j, score[n][e], all) - lse[e / 2]);
        back[n][e] = w * (back[n][e] - delta[e / 2]);
      }
      times<T, KEYS, P, LINE>(gq, back, of_keys);
    }
    const float scale[2] = {(float)r.scale, (float)r.scale};
    put_rows<T, P>(gq, matrix<uint16_t>(r, r.gq, work.n) + i0 * r.gq.row, r.gq.row, count, 0, r.width, scale);
  }
}

/* ---- launches ---- */

template <class T, int P> static int launch(const AttentionRun &r, void *stream) {
  int64_t shares = blocks_of(r.value_width > 0 ? r.value_width : 1, Shape<P>::COLUMNS);
  unsigned grid = blocks_for_tasks(r.matrices * shares * blocks_of(r.length, HEIGHT));
  CUDA_LAUNCH((attend_mma<T, P>), grid, TEAM, 0, (cudaStream_t)stream, r);
  return launched();
}
template <class T> static int by_width(const AttentionRun &r, void *stream) {
  if (r.width <= 32) return launch<T, 32>(r, stream);
  if (r.width <= 64) return launch<T, 64>(r, stream);
  return r.width <= 128 ? launch<T, 128>(r, stream) : launch<T, 256>(r, stream);
}
CUDA_API int cuda_launch_attention_mma(int dtype, const AttentionRun *run, void *stream) {
  return dtype == MT_F16 ? by_width<F16>(*run, stream) : dtype == MT_BF16 ? by_width<BF16>(*run, stream) : -1;
}

template <class T, int P> static int launch_back(const AttentionRun &r, void *stream) {
  int64_t widest = r.width > r.value_width ? r.width : r.value_width;
  int64_t tasks = r.matrices * blocks_of(widest, Shape<P>::COLUMNS_BACK) * blocks_of(r.source, HEIGHT);
  if (tasks > 0) CUDA_LAUNCH((back_of_keys_mma<T, P>), blocks_for_tasks(tasks), TEAM, 0, (cudaStream_t)stream, r);
  int error = launched();
  tasks = r.width > 0 ? r.matrices * blocks_of(r.length, HEIGHT) : 0;
  if (error || tasks == 0) return error;
  CUDA_LAUNCH((back_of_queries_mma<T, P>), blocks_for_tasks(tasks), TEAM, 0, (cudaStream_t)stream, r);
  return launched();
}
template <class T> static int back_by_width(const AttentionRun &r, void *stream) {
  int64_t widest = r.width > r.value_width ? r.width : r.value_width;
  if (widest <= 32) return launch_back<T, 32>(r, stream);
  return widest <= 64 ? launch_back<T, 64>(r, stream) : launch_back<T, 128>(r, stream);
}
CUDA_API int cuda_launch_attention_back_mma(int dtype, const AttentionRun *run, void *stream) {
  return dtype == MT_F16 ? back_by_width<F16>(*run, stream) : dtype == MT_BF16 ? back_by_width<BF16>(*run, stream) : -1;
}
