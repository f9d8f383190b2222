/* The stand-in for a GPU: that threads meet at barriers, exchange values and vote, that what a GPU forbids ends the process
 * with the words that say what, and that each call of the runtime can be made to fail. Prints one line; non-zero on
 * failure. */
#include <cuda_runtime.h>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

static int passed, failures;
static void check(bool good, const char *what) {
  good ? passed++ : failures++;
  if (!good) fprintf(stderr, "not ok: %s\n", what);
}

__global__ void sum_block(const float *x, float *out, int n) {
  __shared__ float part[32];
  float v = (int)threadIdx.x < n ? x[threadIdx.x] : 0;
  for (int by = 16; by > 0; by /= 2) v += __shfl_down_sync(0xffffffffu, v, by);
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = v;
  __syncthreads();
  if (threadIdx.x == 0) {
    float all = 0;
    for (unsigned w = 0; w < blockDim.x / 32; w++) all += part[w];
    *out = all;
  }
}
__global__ void reverse(int *x) {
  CUDA_SHARED(int, kept);
  kept[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  x[threadIdx.x] = kept[blockDim.x - 1 - threadIdx.x];
}
__global__ void votes(unsigned *out, int *count) {
  unsigned odd = __ballot_sync(0xffffffffu, threadIdx.x % 2), any = __syncthreads_count(threadIdx.x < 5);
  int other = __shfl_xor_sync(0xffffffffu, (int)threadIdx.x, 1);
  if (threadIdx.x == 0) *out = odd + any;
  atomicAdd(count, (int)(other == (int)(threadIdx.x ^ 1)));
}
__global__ void no_meeting(int *) {
  if (threadIdx.x < 7) __syncthreads();
}
__global__ void two_barriers(int *) {
  if (threadIdx.x < 7)
    __syncthreads();
  else
    __syncthreads();
}
__global__ void beyond(int *x) { x[8] = 1; }

template <class T> static T *on_device(int n) {
  T *p = nullptr;
  if (cudaMalloc((void **)&p, n * sizeof(T)) != cudaSuccess) exit(3);
  return p;
}
template <class T> static T read(const T *p) {
  T value;
  cudaMemcpyAsync(&value, p, sizeof value, cudaMemcpyDeviceToHost, nullptr);
  cudaStreamSynchronize(nullptr);
  return value;
}

static void test_threads() {
  for (int threads = 32; threads <= 256; threads += threads == 32 ? 64 : 160) { /* 32, 96, 256 */
    float host[256], *x = on_device<float>(256), *out = on_device<float>(1);
    for (int i = 0; i < 256; i++) host[i] = (float)(i + 1);
    cudaMemcpyAsync(x, host, sizeof host, cudaMemcpyHostToDevice, nullptr);
    CUDA_LAUNCH(sum_block, 1, threads, 0, nullptr, x, out, threads);
    check(read(out) == (float)(threads * (threads + 1) / 2), "a sum through shuffles and a barrier");
    int order[256], *y = on_device<int>(256);
    for (int i = 0; i < 256; i++) order[i] = i;
    cudaMemcpyAsync(y, order, sizeof order, cudaMemcpyHostToDevice, nullptr);
    CUDA_LAUNCH(reverse, 1, threads, threads * sizeof(int), nullptr, y);
    check(read(y) == threads - 1 && read(y + threads - 1) == 0, "an exchange through shared memory");
    unsigned *v = on_device<unsigned>(1);
    int *count = on_device<int>(1);
    cudaMemsetAsync(count, 0, sizeof *count, nullptr);
    CUDA_LAUNCH(votes, 1, threads, 0, nullptr, v, count);
    check(read(v) == 0xaaaaaaaau + 5, "a ballot and a count");
    check(read(count) == threads, "neighbours exchanged by all, counted by atomics");
    for (void *p : {(void *)x, (void *)out, (void *)y, (void *)v, (void *)count}) cudaFree(p);
  }
}

/* What a child that runs `body` writes to stderr; it must not end well. */
template <class F> static std::string dies(F body) {
  int ends[2];
  if (pipe(ends)) exit(3);
  fflush(stderr);
  pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], 2);
    body();
    _exit(0);
  }
  close(ends[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t n; (n = ::read(ends[0], buffer, sizeof buffer)) > 0;) text.append(buffer, (size_t)n);
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? "" : text;
}
static bool has(const std::string &text, const char *part) { return text.find(part) != std::string::npos; }

static void test_what_is_forbidden() {
  int *p = on_device<int>(8);
  check(has(dies([&] {
              CUDA_LAUNCH(no_meeting, 1, 32, 0, nullptr, p);
              cudaStreamSynchronize(nullptr);
            }),
            "some threads ended before a barrier"),
        "a barrier that not all threads reach");
  check(has(dies([&] {
              CUDA_LAUNCH(two_barriers, 1, 32, 0, nullptr, p);
              cudaStreamSynchronize(nullptr);
            }),
            "different barriers"),
        "two barriers at once");
  check(has(dies([&] {
              CUDA_LAUNCH(beyond, 1, 1, 0, nullptr, p);
              cudaStreamSynchronize(nullptr);
            }),
            "AddressSanitizer"),
        "a write behind the end of a block");
  check(has(dies([&] { *(volatile int *)p = 1; }), "AddressSanitizer"), "the host in the device's memory");
  cudaFree(p);
  check(cudaFree(p) == cudaErrorInvalidValue, "memory that was freed already");
  CUDA_LAUNCH(beyond, 1, 2048, 0, nullptr, p);
  check(cudaGetLastError() == cudaErrorInvalidConfiguration, "a block of too many threads");
}

/* In a child whose n-th call fails: how many of five calls succeed. */
static int succeeds(int n) {
  pid_t child = fork();
  if (child == 0) {
    char text[12];
    snprintf(text, sizeof text, "%d", n);
    setenv("STANDIN_FAIL", text, 1);
    int *p = nullptr, value = 5, good = 0;
    good += cudaMalloc((void **)&p, 4) == cudaSuccess;
    good += cudaMemcpyAsync(p, &value, 4, cudaMemcpyHostToDevice, nullptr) == cudaSuccess;
    good += cudaStreamSynchronize(nullptr) == cudaSuccess;
    _exit(good);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int main() {
  /* before the first call here: a process reads its settings once */
  check(succeeds(1) == 1 && succeeds(2) == 2 && succeeds(3) == 2 && succeeds(4) == 3, "call n fails, and only it");
  test_threads();
  test_what_is_forbidden();
  printf("%d passed, %d failed\n", passed, failures);
  return failures != 0;
}
