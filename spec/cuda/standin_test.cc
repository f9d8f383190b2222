/* The stand-in for a GPU: that threads meet at barriers, exchange values and vote, that what a GPU forbids ends the process
 * with the words that say what, that streams run in the orders that their events allow, and that each call of the runtime can
 * be made to fail. Prints one line; non-zero on
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

/* Streams ----------------------------------------------------------------------------------------------------------- */

__global__ void set(int *x, int value) { *x = value; }
__global__ void add(int *x, const int *y) { *x += *y; }

/* What `body` returns (0 to 255) in a child with these settings; -1 when it does not end well. */
template <class F> static int in_child(const char *lazy, const char *reverse, const char *devices, F body) {
  fflush(stderr);
  pid_t child = fork();
  if (child == 0) {
    setenv("STANDIN_LAZY", lazy, 1);
    setenv("STANDIN_REVERSE", reverse, 1);
    setenv("STANDIN_DEVICES", devices, 1);
    _exit(body());
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static cudaStream_t new_stream() {
  cudaStream_t s = nullptr;
  if (cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking) != cudaSuccess) exit(3);
  return s;
}
static cudaEvent_t new_event() {
  cudaEvent_t e = nullptr;
  if (cudaEventCreateWithFlags(&e, cudaEventDefault) != cudaSuccess) exit(3);
  return e;
}
static int read_on(const int *p, cudaStream_t s) {
  int value = -1;
  cudaMemcpyAsync(&value, p, sizeof value, cudaMemcpyDeviceToHost, s);
  cudaStreamSynchronize(s);
  return value;
}

/* One stream writes 1, later 7; another adds what it finds after the event to 10. */
static int handed_over(bool with_event) {
  cudaStream_t a = new_stream(), b = new_stream();
  cudaEvent_t e = new_event();
  int *x = on_device<int>(1), *y = on_device<int>(1);
  CUDA_LAUNCH(set, 1, 1, 0, nullptr, x, 0);
  cudaStreamSynchronize(nullptr);
  CUDA_LAUNCH(set, 1, 1, 0, a, x, 1);
  cudaEventRecord(e, a);
  CUDA_LAUNCH(set, 1, 1, 0, a, x, 7); /* after the event: who waits for that need not see it */
  CUDA_LAUNCH(set, 1, 1, 0, b, y, 10);
  if (with_event) cudaStreamWaitEvent(b, e, 0);
  CUDA_LAUNCH(add, 1, 1, 0, b, y, x);
  return read_on(y, b);
}

/* Which of two unordered writes is the last one. */
static int last_of_two() {
  cudaStream_t a = new_stream(), b = new_stream();
  int *x = on_device<int>(1);
  CUDA_LAUNCH(set, 1, 1, 0, a, x, 1);
  CUDA_LAUNCH(set, 1, 1, 0, b, x, 2);
  cudaDeviceSynchronize();
  return read_on(x, nullptr);
}

static int blocking_with_default() {
  cudaStream_t s = nullptr;
  cudaStreamCreateWithFlags(&s, cudaStreamDefault);
  int *x = on_device<int>(1);
  CUDA_LAUNCH(set, 1, 1, 0, s, x, 1);
  int seen = read_on(x, nullptr);
  CUDA_LAUNCH(set, 1, 1, 0, nullptr, x, 5);
  return seen * 10 + read_on(x, s);
}

static int queries_end() {
  cudaStream_t s = new_stream();
  cudaEvent_t e = new_event();
  int *x = on_device<int>(1), asked = 0;
  for (int i = 0; i < 5; i++) CUDA_LAUNCH(set, 1, 1, 0, s, x, i);
  cudaEventRecord(e, s);
  while (cudaEventQuery(e) == cudaErrorNotReady) asked++;
  return asked * 10 + (cudaStreamQuery(s) == cudaSuccess);
}

/* From memory that is not pinned a copy is made at once, from pinned memory when the stream comes to it. */
static int copies_late() {
  cudaStream_t s = new_stream();
  int *x = on_device<int>(2), paged = 1, *pinned = nullptr;
  cudaHostAlloc((void **)&pinned, 8, cudaHostAllocPortable);
  pinned[1] = 1;
  cudaMemcpyAsync(x, &paged, 4, cudaMemcpyHostToDevice, s);
  cudaMemcpyAsync(x + 1, pinned + 1, 4, cudaMemcpyHostToDevice, s);
  paged = 2;
  pinned[1] = 2;
  return read_on(x, s) * 10 + read_on(x + 1, s);
}

static int wrong_device() {
  int *x = on_device<int>(1);
  cudaSetDevice(1);
  cudaStream_t s = new_stream();
  cudaEvent_t e = new_event();
  cudaSetDevice(0);
  CUDA_LAUNCH(set, 1, 1, 0, s, x, 1);
  bool launch = cudaGetLastError() == cudaErrorInvalidResourceHandle;
  bool record = cudaEventRecord(e, nullptr) == cudaErrorInvalidResourceHandle;
  int can = 0;
  cudaDeviceCanAccessPeer(&can, 0, 1);
  return launch + 2 * record + 4 * can;
}

static int foreign_memory() {
  int *x = on_device<int>(1);
  cudaSetDevice(1);
  return has(dies([&] {
               CUDA_LAUNCH(set, 1, 1, 0, nullptr, x, 1);
               cudaDeviceSynchronize();
             }),
             "AddressSanitizer");
}

static int peer_copy() {
  int *x = on_device<int>(1), *y;
  CUDA_LAUNCH(set, 1, 1, 0, nullptr, x, 9);
  cudaStreamSynchronize(nullptr);
  cudaSetDevice(1);
  y = on_device<int>(1);
  cudaMemcpyPeerAsync(y, 1, x, 0, 4, nullptr);
  return read_on(y, nullptr);
}

/* Two branches from one stream and back; what is not ordered runs in either order. */
static int graph_of_two() {
  cudaStream_t a = new_stream(), b = new_stream();
  cudaEvent_t fork_at = new_event(), join_at = new_event();
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  int *x = on_device<int>(3);
  size_t nodes = 0;
  cudaMemsetAsync(x, 0, 12, nullptr);
  cudaStreamSynchronize(nullptr);
  if (cudaStreamBeginCapture(a, cudaStreamCaptureModeGlobal) != cudaSuccess) return 200;
  CUDA_LAUNCH(set, 1, 1, 0, a, x, 1);
  cudaEventRecord(fork_at, a);
  cudaStreamWaitEvent(b, fork_at, 0);
  CUDA_LAUNCH(set, 1, 1, 0, b, x + 2, 3); /* the last of these two stays */
  CUDA_LAUNCH(set, 1, 1, 0, a, x + 2, 4);
  CUDA_LAUNCH(add, 1, 1, 0, b, x + 1, x);
  cudaEventRecord(join_at, b);
  cudaStreamWaitEvent(a, join_at, 0);
  CUDA_LAUNCH(add, 1, 1, 0, a, x + 1, x);
  if (cudaStreamEndCapture(a, &graph) != cudaSuccess || read_on(x, nullptr) != 0) return 201;
  cudaGraphGetNodes(graph, nullptr, &nodes);
  cudaGraphInstantiateWithFlags(&exec, graph, 0);
  cudaGraphDestroy(graph);
  for (int i = 0; i < 3; i++) cudaGraphLaunch(exec, a);
  int sum = read_on(x + 1, a), last = read_on(x + 2, a);
  cudaGraphExecDestroy(exec);
  return nodes >= 5 && sum == 6 ? last : 202;
}

/* How a capture ends in which `body` was called. */
template <class F> static cudaError_t captured(F body) {
  cudaStream_t s = new_stream();
  cudaGraph_t graph = nullptr;
  cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal);
  body(s);
  cudaError_t error = cudaStreamEndCapture(s, &graph);
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusActive;
  cudaStreamIsCapturing(s, &status);
  if (status != cudaStreamCaptureStatusNone || (error == cudaSuccess) != (graph != nullptr)) return cudaErrorUnknown;
  if (graph) cudaGraphDestroy(graph);
  cudaGetLastError();
  return error;
}

static void test_streams() {
  check(in_child("0", "0", "1", [] { return handed_over(true); }) == 17, "an event, at once");
  check(in_child("1", "0", "1", [] { return handed_over(true); }) == 11, "an event, late");
  check(in_child("1", "0", "1", [] { return handed_over(false); }) == 10, "no event: the other stream has not run");
  check(in_child("1", "0", "1", last_of_two) == 2, "no order: the first stream first");
  check(in_child("1", "1", "1", last_of_two) == 1, "no order: the last stream first");
  check(in_child("1", "0", "1", blocking_with_default) == 15, "a blocking stream and the default one");
  check(in_child("1", "0", "1", queries_end) == 61, "queries of a late device end");
  check(in_child("0", "0", "1", queries_end) == 1, "queries of a prompt device");
  check(in_child("1", "0", "1", copies_late) == 12, "a copy from pinned memory is late");
  check(in_child("0", "0", "2", wrong_device) == 7, "streams and events of another device");
  check(in_child("0", "0", "2", foreign_memory) == 1, "memory of another device");
  check(in_child("1", "0", "2", peer_copy) == 9, "a copy between devices");
  check(in_child("0", "0", "1", graph_of_two) == 4, "a graph in its order");
  check(in_child("0", "1", "1", graph_of_two) == 3, "a graph in another order");
}

static void test_captures() {
  int *x = on_device<int>(1), paged = 0;
  cudaStream_t other = new_stream();
  check(captured([&](cudaStream_t s) { CUDA_LAUNCH(set, 1, 1, 0, s, x, 1); }) == cudaSuccess, "a capture");
  check(captured([&](cudaStream_t s) { cudaStreamSynchronize(s); }) == cudaErrorStreamCaptureInvalidated, "waiting");
  check(captured([&](cudaStream_t s) { cudaMemcpyAsync(&paged, x, 4, cudaMemcpyDeviceToHost, s); }) ==
            cudaErrorStreamCaptureInvalidated,
        "a copy to memory that is not pinned");
  check(captured([&](cudaStream_t) {
          void *p = nullptr;
          cudaMalloc(&p, 4);
        }) == cudaErrorStreamCaptureInvalidated,
        "asking for memory");
  check(captured([&](cudaStream_t) {
          cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
          void *p = nullptr;
          cudaThreadExchangeStreamCaptureMode(&mode);
          cudaMalloc(&p, 4);
          cudaThreadExchangeStreamCaptureMode(&mode);
          cudaFree(nullptr);
        }) == cudaErrorStreamCaptureInvalidated,
        "the relaxed mode ends");
  check(captured([&](cudaStream_t s) {
          cudaEvent_t e = new_event();
          cudaEventRecord(e, s);
          cudaStreamWaitEvent(other, e, 0);
          CUDA_LAUNCH(set, 1, 1, 0, other, x, 2);
        }) == cudaErrorStreamCaptureUnjoined,
        "a stream that does not come back");
  check(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal) == cudaErrorStreamCaptureUnsupported,
        "the default stream");
  cudaGetLastError();
  CUDA_LAUNCH(set, 1, 1, 0, other, x, 6);
  check(read_on(x, other) == 6, "streams work after a capture that failed");
  cudaFree(x);
}

int main() {
  /* before the first call here: a process reads its settings once */
  check(succeeds(1) == 1 && succeeds(2) == 2 && succeeds(3) == 2 && succeeds(4) == 3, "call n fails, and only it");
  test_streams(); /* each in a child, too */
  test_threads();
  test_what_is_forbidden();
  test_captures();
  printf("%d passed, %d failed\n", passed, failures);
  return failures != 0;
}
