/* The stand-in's devices, memory, streams, events and graphs. See cuda_runtime_api.h for what is watched over.
 *
 * Each stream has a queue. With STANDIN_LAZY a job runs when somebody waits for it, together with what streams and events
 * order before it and with nothing else; so work that somebody forgot to wait for has not happened yet. What the runtime
 * leaves unordered (streams that the default one does not wait for, nodes of a graph) runs in either order. Everything
 * happens under one lock. */
#include "inside.h"
#include "library.h"
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <vector>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define POISON(at, bytes) __asan_poison_memory_region(at, bytes)
#define UNPOISON(at, bytes) __asan_unpoison_memory_region(at, bytes)
#else
#define POISON(at, bytes) (void)0
#define UNPOISON(at, bytes) (void)0
#endif

typedef std::function<void()> Job;

/* What an event was last recorded behind. */
struct Mark {
  StandinStream *stream = nullptr; /* NULL: of a capture */
  uint64_t at = 0;
  bool done = false;
  double time = 0;
  struct Capture *capture = nullptr;
  int node = -1;
};
struct StandinEvent {
  int device = 0;
  bool timed = true;
  std::shared_ptr<Mark> mark;
};
struct StandinStream {
  int device = 0, priority = 0, number = 0;
  bool blocking = false; /* ordered with the default stream */
  uint64_t queued = 0, done = 0;
  std::deque<Job> work;
  struct Capture *capture = nullptr;
  std::set<int> tail; /* nodes that the next one of the capture comes after */
};
struct Node {
  Job job;
  std::set<int> after;
};
struct Capture {
  StandinStream *origin = nullptr;
  bool invalid = false;
  std::vector<Node> nodes;
  std::set<StandinStream *> streams;
};
struct StandinGraph {
  int device = 0;
  std::vector<Node> nodes;
};
struct StandinGraphExec {
  int device = 0;
  std::vector<Node> nodes;
};

std::recursive_mutex standin_lock;

int standin_setting(const char *name, int standard) {
  const char *given = getenv(name);
  return given ? atoi(given) : standard;
}

void standin_die(const std::string &what) {
  fprintf(stderr, "stand-in: %s\n", what.c_str());
  abort();
}

namespace {

constexpr size_t GUARD = 256;

struct Device {
  char *arena = nullptr;
  size_t bytes = 0, used = 0;
  std::map<size_t, size_t> free_blocks; /* offset to size, guards included */
  std::map<size_t, size_t> blocks;      /* handed out: offset of the memory to bytes asked for */
  StandinStream legacy;
};

/* These live on: threads and finalizers may call when static objects have gone. */
std::deque<Device> &devices = *new std::deque<Device>;
std::map<const char *, size_t> &pinned = *new std::map<const char *, size_t>;
std::map<int, StandinStream *> &streams = *new std::map<int, StandinStream *>; /* by number, the default ones first */
std::set<StandinStream *> &living = *new std::set<StandinStream *>;
std::set<StandinEvent *> &events = *new std::set<StandinEvent *>;
thread_local int current;
thread_local cudaError_t last = cudaSuccess;
thread_local Capture *capturing; /* begun by this thread */
thread_local cudaStreamCaptureMode thread_mode = cudaStreamCaptureModeGlobal;
long calls, graphs;
long fail_at, fail_for_good;
int numbers;

void add_stream(StandinStream *s, int device) {
  s->device = device;
  s->number = numbers++;
  streams[s->number] = s;
  living.insert(s);
}

void start() {
  int wanted = standin_setting("STANDIN_DEVICES", 1);
  if (!devices.empty() || wanted <= 0) return;
  devices.resize((size_t)wanted);
  for (int k = 0; k < wanted; k++) {
    Device &d = devices[(size_t)k];
    const char *given = getenv("STANDIN_BYTES");
    d.bytes = given ? strtoull(given, nullptr, 10) : (size_t)1 << 30;
    d.arena = (char *)mmap(nullptr, d.bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (d.arena == MAP_FAILED) standin_die("no room for the device's memory");
#ifdef MADV_HUGEPAGE
    madvise(d.arena, d.bytes, MADV_HUGEPAGE); /* opening and closing costs by the page; without it, only more time */
#endif
    d.free_blocks[0] = d.bytes;
    d.legacy.blocking = true;
    add_stream(&d.legacy, k);
  }
  if (standin_setting("STANDIN_COUNT", 0)) atexit([] { fprintf(stderr, "stand-in: %ld calls\n", calls); });
}

cudaError_t note(cudaError_t error) { return standin_note(error); }
/* What gives something back does so even when it fails, as after an error of work that came before. */
#define ENTER_END()                                          \
  std::lock_guard<std::recursive_mutex> guard(standin_lock); \
  cudaError_t told = standin_enter() ? cudaSuccess : cudaErrorUnknown
#define ENTER(error)                                         \
  std::lock_guard<std::recursive_mutex> guard(standin_lock); \
  if (!standin_enter()) return note(error)

bool lazy() {
  static const bool value = standin_setting("STANDIN_LAZY", 0);
  return value;
}
bool reversed() {
  static const bool value = standin_setting("STANDIN_REVERSE", 0);
  return value;
}

/* While one of these lives, the memory of that device may be touched, or of all (-1). */
struct Opened {
  int only;
  explicit Opened(int only) : only(only) { protect(PROT_READ | PROT_WRITE); }
  ~Opened() { protect(PROT_NONE); }
  void protect(int how) {
    for (size_t k = 0; k < devices.size(); k++)
      if ((only < 0 || only == (int)k) && mprotect(devices[k].arena, devices[k].bytes, how))
        standin_die("mprotect failed");
  }
};

int owner(const void *p) {
  for (size_t k = 0; k < devices.size(); k++)
    if ((const char *)p >= devices[k].arena && (const char *)p < devices[k].arena + devices[k].bytes) return (int)k;
  return -1;
}

bool is_pinned(const void *p) {
  auto next = pinned.upper_bound((const char *)p);
  return next != pinned.begin() && (const char *)p < std::prev(next)->first + std::prev(next)->second;
}

/* [p, p + bytes) lies within one block that is handed out. */
bool within(const void *p, size_t bytes) {
  int k = owner(p);
  if (k < 0) return false;
  Device &d = devices[(size_t)k];
  size_t at = (size_t)((const char *)p - d.arena);
  auto next = d.blocks.upper_bound(at);
  if (next == d.blocks.begin()) return false;
  --next;
  return at + bytes <= next->first + next->second;
}

size_t rounded(size_t bytes) { return (bytes + 511) / 512 * 512; }

/* Streams ----------------------------------------------------------------------------------------------------------- */

StandinStream *stream_of(cudaStream_t s) { return s || devices.empty() ? s : &devices[(size_t)current].legacy; }
bool known(StandinStream *s) { return s && living.count(s); }

void advance(StandinStream *s, uint64_t upto) {
  while (s->done < upto && !s->work.empty()) {
    Job job = std::move(s->work.front());
    s->work.pop_front();
    s->done++;
    job();
  }
}
void drain(StandinStream *s) { advance(s, s->queued); }

void drain_device(int device) {
  std::vector<StandinStream *> list;
  for (auto &s : streams)
    if (device < 0 || s.second->device == device) list.insert(reversed() ? list.begin() : list.end(), s.second);
  for (StandinStream *s : list) drain(s);
}

/* The default stream and blocking ones wait for each other. */
Job ordered(StandinStream *s, Job job) {
  std::vector<std::pair<StandinStream *, uint64_t>> before;
  StandinStream *legacy = &devices[(size_t)s->device].legacy;
  for (auto &other : streams) {
    bool waits = s == legacy ? other.second->blocking && other.second != s : s->blocking && other.second == legacy;
    if (waits && other.second->device == s->device && other.second->queued > other.second->done)
      before.push_back({other.second, other.second->queued});
  }
  if (before.empty()) return job;
  return [=] {
    for (auto &b : before)
      if (living.count(b.first)) advance(b.first, b.second);
    job();
  };
}

cudaError_t invalidate(cudaError_t error) {
  if (capturing) capturing->invalid = true;
  return note(error);
}

/* What a capture forbids: waiting, and whatever might wait. */
#define NOT_IN_CAPTURE() \
  if (capturing && thread_mode != cudaStreamCaptureModeRelaxed) return invalidate(cudaErrorStreamCaptureUnsupported)

cudaError_t enqueue(StandinStream *s, Job job) {
  if (!known(s)) return note(cudaErrorInvalidResourceHandle);
  if (s->capture) {
    if (s->capture->invalid) return note(cudaErrorStreamCaptureInvalidated);
    s->capture->nodes.push_back({std::move(job), s->tail});
    s->tail = {(int)s->capture->nodes.size() - 1};
    return cudaSuccess;
  }
  s->work.push_back(ordered(s, std::move(job)));
  s->queued++;
  if (!lazy()) drain(s);
  return cudaSuccess;
}

/* A query lets a device that runs late go on by one job. */
void go_on(StandinStream *s, uint64_t upto) {
  if (s->done < upto) advance(s, s->done + 1);
}

void wait_mark(const std::shared_ptr<Mark> &mark) {
  if (!mark->done && mark->stream && living.count(mark->stream)) advance(mark->stream, mark->at);
}

/* The nodes of a graph in an order that their edges allow. */
void run_nodes(const std::vector<Node> &nodes) {
  std::vector<bool> done(nodes.size());
  for (size_t left = nodes.size(); left > 0; left--) {
    int next = -1;
    for (int i = 0; i < (int)nodes.size(); i++) {
      bool ready = !done[(size_t)i];
      for (int a : nodes[(size_t)i].after) ready = ready && done[(size_t)a];
      if (ready && (next < 0 || reversed())) next = i;
    }
    if (next < 0) standin_die("a graph with a cycle");
    nodes[(size_t)next].job();
    done[(size_t)next] = true;
  }
}

double milliseconds() {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

}  // namespace

bool standin_enter() {
  static bool first = true;
  if (first) {
    fail_at = standin_setting("STANDIN_FAIL", 0);
    fail_for_good = standin_setting("STANDIN_FAIL_FOR_GOOD", 0);
    first = false;
  }
  start();
  calls++;
  return fail_at == 0 || !(calls == fail_at || (fail_for_good && calls > fail_at));
}

/* For tests: call n from now on fails (1: the next), once or for good; 0: none. */
extern "C" void standin_fail_at(long n, int for_good) {
  std::lock_guard<std::recursive_mutex> guard(standin_lock);
  fail_at = n > 0 ? calls + n : 0;
  fail_for_good = for_good;
}
extern "C" long standin_calls(void) { return calls; }
/* What is there: bytes of all devices that were handed out, pieces of pinned memory, events, graphs of either kind, and
 * jobs that nobody has waited for. */
extern "C" void standin_count(long *bytes, long *pieces, long *living_events, long *living_graphs, long *jobs) {
  std::lock_guard<std::recursive_mutex> guard(standin_lock);
  *bytes = *jobs = 0;
  for (Device &d : devices) *bytes += (long)d.used;
  for (auto &s : streams) *jobs += (long)s.second->work.size();
  *pieces = (long)pinned.size();
  *living_events = (long)events.size();
  *living_graphs = graphs;
}

cudaError_t standin_note(cudaError_t error) {
  if (error != cudaSuccess) last = error;
  return error;
}

cudaError_t standin_run(cudaStream_t stream, Job job) {
  StandinStream *s = stream_of(stream);
  if (!known(s) || s->device != current) return cudaErrorInvalidResourceHandle;
  int device = s->device;
  return enqueue(s, [=] {
    Opened opened(device);
    job();
  });
}

/* For the libraries (library.h), which launch no kernels of their own. */
cudaError_t standin_work(cudaStream_t stream, Job job) {
  std::lock_guard<std::recursive_mutex> guard(standin_lock);
  return standin_run(stream, std::move(job));
}
bool standin_within(const void *p, size_t bytes) {
  std::lock_guard<std::recursive_mutex> guard(standin_lock);
  return within(p, bytes);
}

extern "C" {

/* Devices ----------------------------------------------------------------------------------------------------------- */

cudaError_t cudaGetDeviceCount(int *count) {
  ENTER(cudaErrorInitializationError);
  *count = (int)devices.size();
  if (standin_setting("STANDIN_DRIVER", CUDART_VERSION) < CUDART_VERSION) return note(cudaErrorInsufficientDriver);
  return devices.empty() ? note(cudaErrorNoDevice) : cudaSuccess;
}
static bool exists(int device) { return device >= 0 && device < (int)devices.size(); }
cudaError_t cudaSetDevice(int device) {
  ENTER(cudaErrorUnknown);
  if (!exists(device)) return note(cudaErrorInvalidDevice);
  current = device;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int *device) {
  ENTER(cudaErrorUnknown);
  *device = current;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int device) {
  ENTER(cudaErrorUnknown);
  if (!exists(device)) return note(cudaErrorInvalidDevice);
  memset(p, 0, sizeof *p);
  snprintf(p->name, sizeof p->name, "Stand-in");
  for (int k = 0; k < 16; k++) p->uuid.bytes[k] = (char)(k == 15 ? device : k);
  p->totalGlobalMem = devices[(size_t)device].bytes;
  p->sharedMemPerBlock = p->sharedMemPerBlockOptin = 48 << 10;
  p->sharedMemPerMultiprocessor = 64 << 10;
  p->major = 8;
  p->multiProcessorCount = 4;
  p->warpSize = 32;
  p->maxThreadsPerBlock = 1024;
  p->maxThreadsPerMultiProcessor = 2048;
  p->regsPerMultiprocessor = 65536;
  p->l2CacheSize = 1 << 20;
  p->pciBusID = device + 1;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device) {
  ENTER(cudaErrorUnknown);
  if (!exists(device)) return note(cudaErrorInvalidDevice);
  *value = attribute == cudaDevAttrMultiProcessorCount           ? 4
           : attribute == cudaDevAttrMaxThreadsPerMultiProcessor ? 1024
           : attribute == cudaDevAttrComputeCapabilityMajor      ? 8
                                                                 : 0;
  return cudaSuccess;
}
cudaError_t cudaDeviceCanAccessPeer(int *can, int device, int peer) {
  ENTER(cudaErrorUnknown);
  if (!exists(device) || !exists(peer)) return note(cudaErrorInvalidDevice);
  *can = device != peer;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest) {
  ENTER(cudaErrorUnknown);
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize(void) {
  ENTER(cudaErrorUnknown);
  NOT_IN_CAPTURE();
  drain_device(current);
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int *version) {
  ENTER(cudaErrorUnknown);
  *version = standin_setting("STANDIN_DRIVER", CUDART_VERSION);
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int *version) {
  ENTER(cudaErrorUnknown);
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaGetLastError(void) {
  cudaError_t error = last;
  last = cudaSuccess;
  return error;
}
cudaError_t cudaPeekAtLastError(void) { return last; }

#define ERRORS(X)                                                                                 \
  X(cudaSuccess, "no error")                                                                      \
  X(cudaErrorInvalidValue, "invalid argument")                                                    \
  X(cudaErrorMemoryAllocation, "out of memory")                                                   \
  X(cudaErrorInitializationError, "initialization error")                                         \
  X(cudaErrorInsufficientDriver, "CUDA driver version is insufficient for CUDA runtime version")  \
  X(cudaErrorNoDevice, "no CUDA-capable device is detected")                                      \
  X(cudaErrorInvalidDevice, "invalid device ordinal")                                             \
  X(cudaErrorInvalidConfiguration, "invalid configuration argument")                              \
  X(cudaErrorInvalidResourceHandle, "invalid resource handle")                                    \
  X(cudaErrorNotReady, "device not ready")                                                        \
  X(cudaErrorIllegalAddress, "an illegal memory access was encountered")                          \
  X(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing")        \
  X(cudaErrorStreamCaptureInvalidated, "operation failed due to a previous error during capture") \
  X(cudaErrorStreamCaptureUnmatched, "capture was not initiated in this stream")                  \
  X(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work")
const char *cudaGetErrorName(cudaError_t error) {
  switch (error) {
#define NAME(name, text) \
  case name: return #name;
    ERRORS(NAME)
  default: return "cudaErrorUnknown";
  }
}
const char *cudaGetErrorString(cudaError_t error) {
  switch (error) {
#define TEXT(name, text) \
  case name: return text;
    ERRORS(TEXT)
  default: return "unknown error";
  }
}

/* Memory ------------------------------------------------------------------------------------------------------------ */

cudaError_t cudaMalloc(void **memory, size_t bytes) {
  ENTER(cudaErrorMemoryAllocation);
  NOT_IN_CAPTURE();
  *memory = nullptr;
  if (devices.empty()) return note(cudaErrorNoDevice);
  Device &d = devices[(size_t)current];
  if (bytes > d.bytes) return note(cudaErrorMemoryAllocation);
  size_t need = rounded(bytes) + 2 * GUARD;
  for (auto b = d.free_blocks.begin(); b != d.free_blocks.end(); ++b) {
    if (b->second < need) continue;
    size_t at = b->first, size = b->second;
    d.free_blocks.erase(b);
    if (size > need) d.free_blocks[at + need] = size - need;
    d.blocks[at + GUARD] = bytes;
    d.used += need;
    Opened opened(current);
    char *p = d.arena + at;
    UNPOISON(p, need);
    memset(p, 0xcd, need);
    POISON(p, GUARD);
    POISON(p + GUARD + bytes, need - GUARD - bytes);
    *memory = p + GUARD;
    return cudaSuccess;
  }
  return note(cudaErrorMemoryAllocation);
}
cudaError_t cudaFree(void *memory) {
  ENTER_END();
  NOT_IN_CAPTURE();
  if (!memory) return note(told);
  int k = owner(memory);
  if (k < 0) return note(cudaErrorInvalidValue);
  drain_device(k);
  Device *d = &devices[(size_t)k];
  size_t at = (size_t)((char *)memory - d->arena);
  auto found = d->blocks.find(at);
  if (found == d->blocks.end()) return note(cudaErrorInvalidValue);
  size_t size = rounded(found->second) + 2 * GUARD, begin = at - GUARD;
  d->blocks.erase(found);
  d->used -= size;
  POISON(d->arena + begin, size);
  auto next = d->free_blocks.lower_bound(begin);
  if (next != d->free_blocks.end() && begin + size == next->first) {
    size += next->second;
    next = d->free_blocks.erase(next);
  }
  if (next != d->free_blocks.begin()) {
    auto before = std::prev(next);
    if (before->first + before->second == begin) {
      before->second += size;
      return note(told);
    }
  }
  d->free_blocks[begin] = size;
  return note(told);
}
cudaError_t cudaMemGetInfo(size_t *available, size_t *total) {
  ENTER(cudaErrorUnknown);
  if (devices.empty()) return note(cudaErrorNoDevice);
  *total = devices[(size_t)current].bytes;
  *available = *total - devices[(size_t)current].used;
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void **memory, size_t bytes, unsigned) {
  ENTER(cudaErrorMemoryAllocation);
  NOT_IN_CAPTURE();
  *memory = malloc(bytes ? bytes : 1);
  if (!*memory) return note(cudaErrorMemoryAllocation);
  pinned[(const char *)*memory] = bytes ? bytes : 1;
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void *memory) {
  ENTER_END();
  NOT_IN_CAPTURE();
  if (!memory) return note(told);
  drain_device(-1);
  if (!pinned.erase((const char *)memory)) return note(cudaErrorInvalidValue);
  free(memory);
  return note(told);
}
cudaError_t cudaHostGetDevicePointer(void **device, void *host, unsigned) {
  ENTER(cudaErrorUnknown);
  if (!is_pinned(host)) return note(cudaErrorInvalidValue);
  *device = host;
  return cudaSuccess;
}

/* Memory of the host that is not pinned is taken at once, and filled before the call returns. */
static cudaError_t copy(void *to, const void *from, size_t bytes, cudaStream_t stream) {
  StandinStream *s = stream_of(stream);
  if (bytes == 0) return cudaSuccess;
  if (!known(s)) return note(cudaErrorInvalidResourceHandle);
  int to_device = owner(to), from_device = owner(from);
  if ((to_device >= 0 && !within(to, bytes)) || (from_device >= 0 && !within(from, bytes)))
    return note(cudaErrorInvalidValue);
  bool paged_from = from_device < 0 && !is_pinned(from), paged_to = to_device < 0 && !is_pinned(to);
  if (s->capture && (paged_from || paged_to)) {
    s->capture->invalid = true;
    return note(cudaErrorStreamCaptureUnsupported);
  }
  int device = to_device >= 0 && from_device >= 0 && to_device != from_device ? -1
               : to_device >= 0                                               ? to_device
                                                                              : from_device;
  auto staged = std::make_shared<std::vector<char>>();
  if (paged_from) staged->assign((const char *)from, (const char *)from + bytes);
  cudaError_t error = enqueue(s, [=] {
    Opened opened(device);
    if (staged->empty())
      memmove(to, from, bytes);
    else
      memcpy(to, staged->data(), bytes);
  });
  if (error == cudaSuccess && paged_to) drain(s);
  return error;
}
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  ENTER(cudaErrorUnknown);
  bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (bytes > 0 && kind != cudaMemcpyDefault && ((owner(to) >= 0) != to_device || (owner(from) >= 0) != from_device))
    return note(cudaErrorInvalidValue);
  return copy(to, from, bytes, stream);
}
cudaError_t cudaMemcpyPeerAsync(void *to, int to_device, const void *from, int from_device, size_t bytes,
                                cudaStream_t stream) {
  ENTER(cudaErrorUnknown);
  if (bytes > 0 && (owner(to) != to_device || owner(from) != from_device)) return note(cudaErrorInvalidValue);
  return copy(to, from, bytes, stream);
}
cudaError_t cudaMemsetAsync(void *to, int byte, size_t bytes, cudaStream_t stream) {
  ENTER(cudaErrorUnknown);
  if (bytes == 0) return cudaSuccess;
  if (!within(to, bytes)) return note(cudaErrorInvalidValue);
  int device = owner(to);
  return enqueue(stream_of(stream), [=] {
    Opened opened(device);
    memset(to, byte, bytes);
  });
}

/* Streams and events ------------------------------------------------------------------------------------------------ */

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int priority) {
  ENTER(cudaErrorMemoryAllocation);
  if (devices.empty()) return note(cudaErrorNoDevice);
  *stream = new StandinStream;
  (*stream)->blocking = !(flags & cudaStreamNonBlocking);
  (*stream)->priority = priority;
  add_stream(*stream, current);
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) {
  return cudaStreamCreateWithPriority(stream, flags, 0);
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  ENTER(cudaErrorUnknown);
  if (!stream || !known(stream)) return note(cudaErrorInvalidResourceHandle);
  drain(stream);
  living.erase(stream);
  streams.erase(stream->number);
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  ENTER(cudaErrorUnknown);
  StandinStream *s = stream_of(stream);
  if (!known(s)) return note(cudaErrorInvalidResourceHandle);
  NOT_IN_CAPTURE();
  drain(s);
  return cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  ENTER(cudaErrorUnknown);
  StandinStream *s = stream_of(stream);
  if (!known(s)) return note(cudaErrorInvalidResourceHandle);
  NOT_IN_CAPTURE();
  if (s->done == s->queued) return cudaSuccess;
  go_on(s, s->queued);
  return cudaErrorNotReady;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
  ENTER(cudaErrorMemoryAllocation);
  *event = new StandinEvent;
  (*event)->device = current;
  (*event)->timed = !(flags & cudaEventDisableTiming);
  events.insert(*event);
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  ENTER_END();
  if (!events.count(event)) return note(cudaErrorInvalidResourceHandle);
  events.erase(event);
  delete event;
  return note(told);
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  ENTER(cudaErrorUnknown);
  StandinStream *s = stream_of(stream);
  if (!events.count(event) || !known(s) || event->device != s->device) return note(cudaErrorInvalidResourceHandle);
  auto mark = std::make_shared<Mark>();
  if (s->capture) {
    if (s->capture->invalid) return note(cudaErrorStreamCaptureInvalidated);
    mark->capture = s->capture;
    cudaError_t error = enqueue(s, [] {});
    mark->node = (int)s->capture->nodes.size() - 1;
    event->mark = mark;
    return error;
  }
  mark->stream = s;
  mark->at = s->queued + 1;
  event->mark = mark;
  return enqueue(s, [mark] {
    mark->time = milliseconds();
    mark->done = true;
  });
}
static bool in_capture(cudaEvent_t event) { return event->mark && event->mark->capture; }
cudaError_t cudaEventQuery(cudaEvent_t event) {
  ENTER(cudaErrorUnknown);
  if (!events.count(event)) return note(cudaErrorInvalidResourceHandle);
  NOT_IN_CAPTURE();
  if (in_capture(event)) return note(cudaErrorStreamCaptureUnsupported);
  if (!event->mark || event->mark->done) return cudaSuccess;
  go_on(event->mark->stream, event->mark->at);
  return cudaErrorNotReady;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  ENTER(cudaErrorUnknown);
  if (!events.count(event)) return note(cudaErrorInvalidResourceHandle);
  NOT_IN_CAPTURE();
  if (in_capture(event)) return note(cudaErrorStreamCaptureUnsupported);
  if (event->mark) wait_mark(event->mark);
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  ENTER(cudaErrorUnknown);
  if (!events.count(begin) || !events.count(end) || !begin->mark || !end->mark || !begin->timed || !end->timed ||
      in_capture(begin) || in_capture(end))
    return note(cudaErrorInvalidResourceHandle);
  if (!begin->mark->done || !end->mark->done) return cudaErrorNotReady;
  *milliseconds = (float)(end->mark->time - begin->mark->time);
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  ENTER(cudaErrorUnknown);
  StandinStream *s = stream_of(stream);
  if (!events.count(event) || !known(s)) return note(cudaErrorInvalidResourceHandle);
  auto mark = event->mark;
  if (!mark) return cudaSuccess;
  if (mark->capture) { /* the stream joins the capture */
    if (s->capture && s->capture != mark->capture) return invalidate(cudaErrorStreamCaptureUnsupported);
    s->capture = mark->capture;
    s->capture->streams.insert(s);
    s->tail.insert(mark->node);
    return cudaSuccess;
  }
  if (s->capture) return invalidate(cudaErrorStreamCaptureUnsupported); /* work from outside of it */
  return enqueue(s, [mark] { wait_mark(mark); });
}

/* Graphs ------------------------------------------------------------------------------------------------------------ */

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode *mode) {
  ENTER(cudaErrorUnknown);
  std::swap(*mode, thread_mode);
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus *status) {
  ENTER(cudaErrorUnknown);
  StandinStream *s = stream_of(stream);
  if (!known(s)) return note(cudaErrorInvalidResourceHandle);
  *status = !s->capture           ? cudaStreamCaptureStatusNone
            : s->capture->invalid ? cudaStreamCaptureStatusInvalidated
                                  : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  ENTER(cudaErrorUnknown);
  if (!stream || !known(stream)) return note(cudaErrorStreamCaptureUnsupported); /* the default one cannot */
  if (stream->capture || capturing) return note(cudaErrorStreamCaptureUnsupported);
  capturing = new Capture;
  capturing->origin = stream;
  capturing->streams.insert(stream);
  stream->capture = capturing;
  stream->tail.clear();
  return cudaSuccess;
}
/* Every node must come before the end of the stream where the capture began. */
static bool joined(const Capture *c) {
  std::set<int> reached;
  std::vector<int> todo(c->origin->tail.begin(), c->origin->tail.end());
  while (!todo.empty()) {
    int n = todo.back();
    todo.pop_back();
    if (!reached.insert(n).second) continue;
    for (int a : c->nodes[(size_t)n].after) todo.push_back(a);
  }
  for (StandinStream *s : c->streams)
    for (int n : s->tail)
      if (!reached.count(n)) return false;
  return true;
}
/* Ends a capture however it went; a failure is told afterwards. */
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
  std::lock_guard<std::recursive_mutex> guard(standin_lock);
  bool good = standin_enter();
  *graph = nullptr;
  if (!stream || !known(stream) || !stream->capture) return note(cudaErrorInvalidValue);
  Capture *c = stream->capture;
  if (c != capturing) return note(cudaErrorStreamCaptureWrongThread);
  if (c->origin != stream) return invalidate(cudaErrorStreamCaptureUnmatched);
  cudaError_t error = !good        ? cudaErrorUnknown
                      : c->invalid ? cudaErrorStreamCaptureInvalidated
                      : !joined(c) ? cudaErrorStreamCaptureUnjoined
                                   : cudaSuccess;
  if (error == cudaSuccess) {
    *graph = new StandinGraph;
    (*graph)->device = stream->device;
    (*graph)->nodes = std::move(c->nodes);
    graphs++;
  }
  for (StandinStream *s : c->streams) {
    s->capture = nullptr;
    s->tail.clear();
  }
  capturing = nullptr;
  delete c;
  return note(error);
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *, size_t *count) {
  ENTER(cudaErrorUnknown);
  *count = graph->nodes.size();
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long) {
  ENTER(cudaErrorMemoryAllocation);
  *exec = new StandinGraphExec;
  (*exec)->device = graph->device;
  (*exec)->nodes = graph->nodes;
  graphs++;
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  ENTER(cudaErrorUnknown);
  StandinStream *s = stream_of(stream);
  if (!known(s) || s->capture || s->device != exec->device) return note(cudaErrorInvalidValue);
  auto nodes = exec->nodes;
  return enqueue(s, [nodes] { run_nodes(nodes); });
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  ENTER_END();
  delete graph;
  graphs--;
  return note(told);
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  ENTER_END();
  delete exec;
  graphs--;
  return note(told);
}

} /* extern "C" */
