/* group.cuh: what warps and blocks join is the same for every thread of them, for blocks of 32, 96 and 256 threads, several
 * times in a row, and values of 1 to 16 bytes. Prints one line; non-zero on failure. */
#include <cuda_runtime.h>
#include <cstdio>
#include <cstdlib>
#include "cuda/group.cuh"

static int passed, failures;
static void check(bool good, const char *what, int threads) {
  good ? passed++ : failures++;
  if (!good) fprintf(stderr, "not ok: %s, %d threads\n", what, threads);
}

struct Pair {
  double value;
  int64_t at;
};
static __device__ inline Pair larger(Pair a, Pair b) { return b.value > a.value ? b : a; }

/* Thread t has t + 1 in round 0 and twice that in round 1, which follows at once. */
__global__ void sums(int *of_warp, int *of_block, double *alone) {
  int own = (int)threadIdx.x + 1;
  of_warp[threadIdx.x] = warp_all(own, [](int a, int b) { return a + b; });
  int once = block_all(own, 0, [](int a, int b) { return a + b; });
  int twice = block_all(2 * own, 0, [](int a, int b) { return a + b; });
  of_block[threadIdx.x] = twice - once == once ? once : -1;
  alone[threadIdx.x] = group_all<1>((double)own, 0.0, [](double a, double b) { return a + b; });
}
__global__ void largest(Pair *out, unsigned char *least) {
  Pair own = {(double)((threadIdx.x * 37) % blockDim.x), (int64_t)threadIdx.x}, none = {-1, -1};
  out[threadIdx.x] = block_all(own, none, larger);
  least[threadIdx.x] = block_all((unsigned char)(200 - threadIdx.x % 100), (unsigned char)255,
                                 [](unsigned char a, unsigned char b) { return a < b ? a : b; });
}

template <class T> static T *on_device(int n) {
  T *p = nullptr;
  if (cudaMalloc((void **)&p, n * sizeof(T)) != cudaSuccess) exit(3);
  return p;
}
template <class T> static void read(T *to, const T *from, int n) {
  cudaMemcpyAsync(to, from, n * sizeof(T), cudaMemcpyDeviceToHost, nullptr);
  cudaStreamSynchronize(nullptr);
}

int main() {
  for (int threads : {32, 96, 256}) {
    int *w = on_device<int>(256), *b = on_device<int>(256), of_warp[256], of_block[256];
    double *one = on_device<double>(256), alone[256];
    Pair *p = on_device<Pair>(256), best[256];
    unsigned char *l = on_device<unsigned char>(256), least[256];
    CUDA_LAUNCH(sums, 1, threads, 0, nullptr, w, b, one);
    CUDA_LAUNCH(largest, 1, threads, 0, nullptr, p, l);
    read(of_warp, w, threads);
    read(of_block, b, threads);
    read(alone, one, threads);
    read(best, p, threads);
    read(least, l, threads);
    bool warps = true, blocks = true, singles = true, pairs = true, bytes = true;
    for (int t = 0; t < threads; t++) {
      int first = t / 32 * 32;
      warps &= of_warp[t] == 32 * (first + 1) + 31 * 32 / 2;
      blocks &= of_block[t] == threads * (threads + 1) / 2;
      singles &= alone[t] == t + 1;
      pairs &= best[t].value == threads - 1 && best[t].at * 37 % threads == threads - 1;
      bytes &= least[t] == (threads > 99 ? 101 : 200 - (threads - 1));
    }
    check(warps, "the sum of a warp", threads);
    check(blocks, "sums of a block, one after the other", threads);
    check(singles, "a group of one", threads);
    check(pairs, "the largest with its place", threads);
    check(bytes, "the least of bytes", threads);
    for (void *q : {(void *)w, (void *)b, (void *)one, (void *)p, (void *)l}) cudaFree(q);
  }
  printf("%d passed, %d failed\n", passed, failures);
  return failures != 0;
}
