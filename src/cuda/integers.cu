/* Matrix products of whole numbers, which cuBLAS has not: a block makes a tile of C from tiles of A and B in its own
 * memory, a thread 4 x 4 elements. Sums wrap around, as on the host: they are unsigned. */
#include "cuda/integers.h"
#include "cuda/kernel.cuh"

enum { TILE = 64, DEPTH = 16, SIDE = 16, OWN = TILE / SIDE };
static_assert(SIDE * SIDE == THREADS, "a thread has 4 x 4 elements of the tile");

/* A tile, DEPTH x TILE, of a factor; `along`: step over k, `across`: over rows of A or columns of B. Neighbouring threads
 * read what lies side by side. */
template <class M, class U>
static __device__ inline void take(U (*tile)[TILE + 1], const M *x, int64_t along, int64_t across, int64_t depth,
                                   int64_t width) {
  for (int e = (int)threadIdx.x; e < DEPTH * TILE; e += THREADS) {
    int p = along == 1 ? e % DEPTH : e / TILE, i = along == 1 ? e / DEPTH : e % TILE;
    tile[p][i] = p < depth && i < width ? (U)x[p * along + i * across] : (U)0;
  }
}

template <class M, class U> __global__ void __launch_bounds__(THREADS) integer_product(IntegerProduct r) {
  __shared__ U a[DEPTH][TILE + 1], b[DEPTH][TILE + 1];
  const int row = (int)threadIdx.x / SIDE, col = (int)threadIdx.x % SIDE;
  const int64_t across = (r.n + TILE - 1) / TILE, tiles = (r.m + TILE - 1) / TILE * across;
  for (int64_t t = blockIdx.x; t < tiles * r.batch; t += gridDim.x) {
    int64_t matrix = t / tiles, i0 = t % tiles / across * TILE, j0 = t % tiles % across * TILE;
    const M *pa = (const M *)r.a + matrix * r.a_batch + i0 * r.a_row;
    const M *pb = (const M *)r.b + matrix * r.b_batch + j0 * r.b_col;
    U sum[OWN][OWN] = {};
    for (int64_t p = 0; p < r.k; p += DEPTH) {
      __syncthreads(); /* the last tiles may still be read */
      take(a, pa + p * r.a_col, r.a_col, r.a_row, r.k - p, r.m - i0);
      take(b, pb + p * r.b_row, r.b_row, r.b_col, r.k - p, r.n - j0);
      __syncthreads();
      for (int q = 0; q < DEPTH; q++)
        for (int i = 0; i < OWN; i++)
          for (int j = 0; j < OWN; j++) sum[i][j] += a[q][row + SIDE * i] * b[q][col + SIDE * j];
    }
    for (int i = 0; i < OWN; i++)
      for (int j = 0; j < OWN; j++) {
        int64_t y = i0 + row + SIDE * i, x = j0 + col + SIDE * j;
        if (y >= r.m || x >= r.n) continue;
        M *c = (M *)r.c + matrix * r.c_batch + y * r.c_row + x;
        U v = (U)r.alpha * sum[i][j];
        if ((U)r.beta != 0) v += (U)r.beta * (U)(r.bias ? ((const M *)r.bias)[x] : *c);
        *c = (M)v;
      }
  }
}

template <class M, class U> static int launch(const IntegerProduct &r, void *stream) {
  int64_t tiles = (r.m + TILE - 1) / TILE * ((r.n + TILE - 1) / TILE) * r.batch;
  CUDA_LAUNCH((integer_product<M, U>), blocks_for(tiles * THREADS, 1), THREADS, 0, (cudaStream_t)stream, r);
  return launched();
}

CUDA_API int cuda_launch_integer_product(int dtype, const IntegerProduct *product, void *stream) {
  switch (dtype) {
  case MT_U8:
  case MT_I8: return launch<uint8_t, uint32_t>(*product, stream);
  case MT_I16: return launch<uint16_t, uint32_t>(*product, stream);
  case MT_I32: return launch<uint32_t, uint32_t>(*product, stream);
  case MT_I64: return launch<uint64_t, uint64_t>(*product, stream);
  default: return -1;
  }
}
