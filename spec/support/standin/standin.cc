/* The stand-in for CUDA's runtime and for the order in which a GPU runs threads. See cuda_runtime_api.h for what it
 * watches over. All of it is for one thread of the host at a time: calls take one lock. */
#include "cuda_runtime.h"
#include "library.h"
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <stdio.h>
#include <stdlib.h>
#include <string>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <vector>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define POISON(at, bytes) __asan_poison_memory_region(at, bytes)
#define UNPOISON(at, bytes) __asan_unpoison_memory_region(at, bytes)
#else
#define POISON(at, bytes) (void)0
#define UNPOISON(at, bytes) (void)0
#define __sanitizer_start_switch_fiber(...) (void)0
#define __sanitizer_finish_switch_fiber(...) (void)0
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace {

int setting(const char *name, int standard) {
  const char *given = getenv(name);
  return given ? atoi(given) : standard;
}

[[noreturn]] void die(const std::string &what) {
  fprintf(stderr, "stand-in: %s\n", what.c_str());
  abort();
}

/* Fibers ------------------------------------------------------------------------------------------------------------ */

enum Wait { READY, AT_BARRIER, AT_VOTE, AT_WARP, DONE };

struct Fiber {
  ucontext_t context;
  std::vector<char> stack;
  void *fake = nullptr; /* ASan's */
  Wait wait = DONE;
  const char *where = "";
  unsigned index = 0; /* of the thread in its block */
  unsigned mask = 0;
  int from = 0, vote = 0;
  unsigned ballot = 0;
  const void *value = nullptr;
  size_t bytes = 0;
  alignas(16) char taken[16];
};

struct Block {
  std::vector<Fiber *> fiber; /* one for each thread that has begun */
  const std::function<void()> *thread = nullptr;
  const char *name = "";
  unsigned count = 0;
  int votes = 0;
};

constexpr size_t STACK = 256 << 10;
std::vector<Fiber *> &spare = *new std::vector<Fiber *>; /* lives on: LeakSanitizer looks after static ones have gone */
ucontext_t scheduler;
void *scheduler_fake;
const void *scheduler_stack;
size_t scheduler_bytes;
Fiber *running;
Block block;
std::vector<char> shared_memory;

void place(unsigned index) {
  threadIdx.x = index % blockDim.x;
  threadIdx.y = index / blockDim.x % blockDim.y;
  threadIdx.z = index / (blockDim.x * blockDim.y);
}

void give_way() {
  Fiber *f = running;
  __sanitizer_start_switch_fiber(&f->fake, scheduler_stack, scheduler_bytes);
  swapcontext(&f->context, &scheduler);
  __sanitizer_finish_switch_fiber(f->fake, &scheduler_stack, &scheduler_bytes);
}

/* A fiber runs one thread after the other until one has to wait. */
void fiber_main() {
  __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_bytes);
  for (;;) {
    (*block.thread)();
    running->wait = DONE;
    give_way();
  }
}

void resume(Fiber *f) {
  running = f;
  f->wait = READY;
  place(f->index);
  __sanitizer_start_switch_fiber(&scheduler_fake, f->stack.data(), f->stack.size());
  swapcontext(&scheduler, &f->context);
  __sanitizer_finish_switch_fiber(scheduler_fake, nullptr, nullptr);
  running = nullptr;
}

Fiber *new_fiber() {
  Fiber *f = new Fiber;
  f->stack.resize(STACK);
  getcontext(&f->context);
  f->context.uc_stack.ss_sp = f->stack.data();
  f->context.uc_stack.ss_size = f->stack.size();
  f->context.uc_link = nullptr;
  makecontext(&f->context, fiber_main, 0);
  return f;
}

Fiber *take_fiber() {
  if (spare.empty()) return new_fiber();
  Fiber *f = spare.back();
  spare.pop_back();
  return f;
}

bool warp_ready(const Fiber *f) {
  unsigned warp = f->index / 32;
  for (unsigned lane = 0; lane < 32; lane++) {
    unsigned i = warp * 32 + lane;
    if (!(f->mask >> lane & 1) || i >= block.count) continue;
    Fiber *other = block.fiber[i];
    if (!other || (other->wait != AT_WARP && other->wait != DONE)) return false;
    if (other->wait == AT_WARP && (other->mask != f->mask || other->bytes != f->bytes))
      die(std::string(block.name) + ": lanes of a warp meet in different calls, " + f->where + " and " + other->where);
  }
  return true;
}

void warp_release(Fiber *f) {
  unsigned first = f->index / 32 * 32, ballot = 0;
  for (unsigned lane = 0; lane < 32 && first + lane < block.count; lane++) {
    Fiber *one = block.fiber[first + lane];
    if (!(f->mask >> lane & 1) || one->wait != AT_WARP) continue;
    unsigned from = first + (unsigned)one->from;
    Fiber *other = one->from >= 0 && one->from < 32 && from < block.count ? block.fiber[from] : nullptr;
    bool there = other && (f->mask >> one->from & 1) && other->wait == AT_WARP;
    if (one->vote) ballot |= 1u << lane;
    memcpy(one->taken, there ? other->value : one->value, one->bytes);
  }
  for (unsigned lane = 0; lane < 32 && first + lane < block.count; lane++) {
    Fiber *one = block.fiber[first + lane];
    if (!(f->mask >> lane & 1) || one->wait != AT_WARP) continue;
    one->ballot = ballot;
    one->wait = READY;
  }
}

/* Runs the threads of the current block, in the order asked for, until all are done. */
void run_block(bool reverse) {
  block.fiber.assign(block.count, nullptr);
  Fiber *idle = nullptr;
  unsigned done = 0;
  while (done < block.count) {
    bool moved = false;
    for (unsigned k = 0; k < block.count; k++) {
      unsigned i = reverse ? block.count - 1 - k : k;
      Fiber *f = block.fiber[i];
      if (f && f->wait != READY) continue;
      if (!f) {
        f = idle ? idle : take_fiber();
        idle = nullptr;
        f->index = i;
        block.fiber[i] = f;
      }
      resume(f);
      moved = true;
      if (f->wait == DONE) {
        done++;
        if (!idle) { /* its stack serves the next thread; a mark stays */
          static Fiber finished;
          finished.wait = DONE;
          block.fiber[i] = &finished;
          idle = f;
        }
      } else if (f->wait == AT_WARP && warp_ready(f)) {
        warp_release(f);
      }
    }
    unsigned barrier = 0, vote = 0;
    const char *where = nullptr;
    for (Fiber *f : block.fiber) {
      barrier += f->wait == AT_BARRIER;
      vote += f->wait == AT_VOTE;
      if (f->wait == AT_BARRIER) where = f->where;
      if (f->wait == AT_WARP && warp_ready(f)) {
        warp_release(f);
        moved = true;
      }
    }
    if (barrier + vote > 0 && barrier + vote + done == block.count) {
      if (done > 0)
        die(std::string(block.name) + ": some threads ended before a barrier, " + (where ? where : "a vote"));
      if (barrier > 0 && vote > 0) die(std::string(block.name) + ": threads meet at different barriers");
      int votes = 0;
      for (Fiber *f : block.fiber) {
        if (f->wait == AT_BARRIER && strcmp(f->where, where) != 0)
          die(std::string(block.name) + ": threads meet at different barriers, " + where + " and " + f->where);
        votes += f->vote;
      }
      for (Fiber *f : block.fiber) f->wait = READY;
      block.votes = votes;
      moved = true;
    }
    if (!moved) die(std::string(block.name) + ": threads wait for each other for ever");
  }
  if (idle) spare.push_back(idle);
  for (Fiber *f : block.fiber)
    if (f->stack.size() > 0 && f != idle) spare.push_back(f);
}

/* Memory ------------------------------------------------------------------------------------------------------------ */

constexpr size_t GUARD = 256;

struct Device {
  char *arena = nullptr;
  size_t bytes = 0, used = 0, open = 0;
  std::map<size_t, size_t> free_blocks; /* offset to size, guards included */
  std::map<size_t, size_t> blocks;      /* handed out: offset of the memory to bytes asked for */
};

std::recursive_mutex lock;
std::vector<Device> devices;
std::set<void *> pinned;
thread_local int current;
thread_local cudaError_t last = cudaSuccess;
long calls;

void start() {
  if (!devices.empty() || setting("STANDIN_DEVICES", 1) <= 0) return;
  devices.resize((size_t)setting("STANDIN_DEVICES", 1));
  for (Device &d : devices) {
    const char *given = getenv("STANDIN_BYTES");
    d.bytes = given ? strtoull(given, nullptr, 10) : (size_t)1 << 30;
    d.arena = (char *)mmap(nullptr, d.bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (d.arena == MAP_FAILED) die("no room for the device's memory");
    d.free_blocks[0] = d.bytes;
  }
  if (setting("STANDIN_COUNT", 0)) atexit([] { fprintf(stderr, "stand-in: %ld calls\n", calls); });
}

cudaError_t note(cudaError_t error) {
  if (error != cudaSuccess) last = error;
  return error;
}

/* Every entry begins with this: counts the call, and lets it fail when its turn has come. */
bool enter() {
  static const int at = setting("STANDIN_FAIL", 0), for_good = setting("STANDIN_FAIL_FOR_GOOD", 0);
  start();
  calls++;
  return at == 0 || !(calls == at || (for_good && calls > at));
}
#define ENTER(error)                                 \
  std::lock_guard<std::recursive_mutex> guard(lock); \
  if (!enter()) return note(error)

/* While one of these lives, all devices' memory may be touched. */
struct Opened {
  Opened() {
    for (Device &d : devices)
      if (d.open++ == 0 && mprotect(d.arena, d.bytes, PROT_READ | PROT_WRITE)) die("mprotect failed");
  }
  ~Opened() {
    for (Device &d : devices)
      if (--d.open == 0 && mprotect(d.arena, d.bytes, PROT_NONE)) die("mprotect failed");
  }
};

Device *owner(const void *p) {
  for (Device &d : devices)
    if ((const char *)p >= d.arena && (const char *)p < d.arena + d.bytes) return &d;
  return nullptr;
}

/* [p, p + bytes) lies within one block that is handed out. */
bool within(const void *p, size_t bytes) {
  Device *d = owner(p);
  if (!d) return false;
  size_t at = (size_t)((const char *)p - d->arena);
  auto next = d->blocks.upper_bound(at);
  if (next == d->blocks.begin()) return false;
  --next;
  return at + bytes <= next->first + next->second;
}

size_t rounded(size_t bytes) { return (bytes + 511) / 512 * 512; }

}  // namespace

/* Streams ----------------------------------------------------------------------------------------------------------- */

struct StandinEvent {
  bool recorded = false, done = true;
  double time = 0;
  cudaStream_t stream = nullptr;
};
struct StandinStream {
  std::deque<std::function<void()>> work;
};

namespace {

StandinStream legacy;
std::set<StandinStream *> streams = {&legacy};
std::set<StandinEvent *> events;

StandinStream *stream_of(cudaStream_t s) { return s ? s : &legacy; }

void drain(StandinStream *s) {
  while (!s->work.empty()) {
    auto job = std::move(s->work.front());
    s->work.pop_front();
    job();
  }
}
void drain_all() {
  for (StandinStream *s : streams) drain(s);
}

cudaError_t enqueue(cudaStream_t stream, std::function<void()> job) {
  static const bool lazy = setting("STANDIN_LAZY", 0);
  StandinStream *s = stream_of(stream);
  if (!streams.count(s)) return note(cudaErrorInvalidResourceHandle);
  if (s == &legacy) drain_all(); /* the legacy stream waits for all others */
  if (lazy)
    s->work.push_back(std::move(job));
  else
    job();
  return cudaSuccess;
}

}  // namespace

void standin_launch(dim3 grid, dim3 threads, size_t shared, cudaStream_t stream, const char *name,
                    std::function<void()> thread) {
  std::lock_guard<std::recursive_mutex> guard(lock);
  if (!enter()) {
    note(cudaErrorUnknown);
    return;
  }
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || threads.x * threads.y * threads.z == 0 || shared > 48 << 10 ||
      threads.x * threads.y * threads.z > 1024 || grid.y > 65535 || grid.z > 65535) {
    note(cudaErrorInvalidConfiguration);
    return;
  }
  note(enqueue(stream, [=] {
    static const bool reverse = setting("STANDIN_REVERSE", 0);
    Opened opened;
    gridDim = grid;
    blockDim = threads;
    block.thread = &thread;
    block.name = name;
    block.count = threads.x * threads.y * threads.z;
    uint64_t blocks = (uint64_t)grid.x * grid.y * grid.z;
    for (uint64_t k = 0; k < blocks; k++) {
      uint64_t b = reverse ? blocks - 1 - k : k;
      blockIdx.x = (unsigned)(b % grid.x);
      blockIdx.y = (unsigned)(b / grid.x % grid.y);
      blockIdx.z = (unsigned)(b / grid.x / grid.y);
      shared_memory.assign(shared + 16, (char)0xa5);
      run_block(reverse);
    }
  }));
}

void *standin_shared() { return (void *)(((uintptr_t)shared_memory.data() + 15) & ~(uintptr_t)15); }
unsigned standin_lane() { return running->index % 32; }

void standin_barrier(const char *where) {
  Fiber *f = running;
  f->wait = AT_BARRIER;
  f->where = where;
  f->vote = 0;
  give_way();
}
int standin_vote(int add) {
  Fiber *f = running;
  f->wait = AT_VOTE;
  f->where = "__syncthreads_or";
  f->vote = add;
  give_way();
  return block.votes;
}
void standin_exchange(unsigned mask, const void *value, void *out, size_t bytes, int from, const char *where) {
  Fiber *f = running;
  if (bytes > sizeof f->taken) die(std::string(where) + ": the value is too large");
  if (!(mask >> standin_lane() & 1)) die(std::string(where) + ": a lane calls that is not in its own mask");
  f->wait = AT_WARP;
  f->where = where;
  f->mask = mask;
  f->from = from;
  f->value = value;
  f->bytes = bytes;
  give_way();
  memcpy(out, f->taken, bytes);
}
unsigned __ballot_sync(unsigned mask, int predicate) {
  char own = 0, other;
  running->vote = predicate != 0;
  standin_exchange(mask, &own, &other, 1, (int)standin_lane(), "__ballot_sync");
  running->vote = 0;
  return running->ballot;
}

/* The runtime ------------------------------------------------------------------------------------------------------- */

extern "C" {

cudaError_t cudaGetDeviceCount(int *count) {
  ENTER(cudaErrorInitializationError);
  *count = (int)devices.size();
  return devices.empty() ? note(cudaErrorNoDevice) : cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  ENTER(cudaErrorUnknown);
  if (device < 0 || device >= (int)devices.size()) return note(cudaErrorInvalidDevice);
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
  if (device < 0 || device >= (int)devices.size()) return note(cudaErrorInvalidDevice);
  memset(p, 0, sizeof *p);
  snprintf(p->name, sizeof p->name, "Stand-in");
  p->totalGlobalMem = devices[(size_t)device].bytes;
  p->sharedMemPerBlock = 48 << 10;
  p->major = 8;
  p->multiProcessorCount = 4;
  p->warpSize = 32;
  p->maxThreadsPerBlock = 1024;
  p->maxThreadsPerMultiProcessor = 2048;
  p->l2CacheSize = 1 << 20;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device) {
  ENTER(cudaErrorUnknown);
  if (device < 0 || device >= (int)devices.size()) return note(cudaErrorInvalidDevice);
  *value = attribute == cudaDevAttrMultiProcessorCount ? 4 : attribute == cudaDevAttrComputeCapabilityMajor ? 8 : 0;
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize(void) {
  ENTER(cudaErrorUnknown);
  drain_all();
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int *version) {
  ENTER(cudaErrorUnknown);
  *version = setting("STANDIN_DRIVER", CUDART_VERSION);
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
const char *cudaGetErrorName(cudaError_t error) {
  switch (error) {
  case cudaSuccess: return "cudaSuccess";
  case cudaErrorInvalidValue: return "cudaErrorInvalidValue";
  case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
  case cudaErrorNoDevice: return "cudaErrorNoDevice";
  case cudaErrorInvalidDevice: return "cudaErrorInvalidDevice";
  case cudaErrorInvalidConfiguration: return "cudaErrorInvalidConfiguration";
  case cudaErrorInvalidResourceHandle: return "cudaErrorInvalidResourceHandle";
  default: return "cudaErrorUnknown";
  }
}
const char *cudaGetErrorString(cudaError_t error) {
  switch (error) {
  case cudaSuccess: return "no error";
  case cudaErrorInvalidValue: return "invalid argument";
  case cudaErrorMemoryAllocation: return "out of memory";
  case cudaErrorNoDevice: return "no CUDA-capable device is detected";
  case cudaErrorInvalidDevice: return "invalid device ordinal";
  case cudaErrorInvalidConfiguration: return "invalid configuration argument";
  case cudaErrorInvalidResourceHandle: return "invalid resource handle";
  default: return "unknown error";
  }
}

cudaError_t cudaMalloc(void **memory, size_t bytes) {
  ENTER(cudaErrorMemoryAllocation);
  *memory = nullptr;
  if (devices.empty()) return note(cudaErrorNoDevice);
  Device &d = devices[(size_t)current];
  size_t need = rounded(bytes) + 2 * GUARD;
  for (auto b = d.free_blocks.begin(); b != d.free_blocks.end(); ++b) {
    if (b->second < need) continue;
    size_t at = b->first, size = b->second;
    d.free_blocks.erase(b);
    if (size > need) d.free_blocks[at + need] = size - need;
    d.blocks[at + GUARD] = bytes;
    d.used += need;
    Opened opened;
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
  ENTER(cudaErrorUnknown);
  if (!memory) return cudaSuccess;
  drain_all();
  Device *d = owner(memory);
  size_t at = d ? (size_t)((char *)memory - d->arena) : 0;
  auto found = d ? d->blocks.find(at) : std::map<size_t, size_t>::iterator();
  if (!d || found == d->blocks.end()) return note(cudaErrorInvalidValue);
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
      return cudaSuccess;
    }
  }
  d->free_blocks[begin] = size;
  return cudaSuccess;
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
  *memory = malloc(bytes ? bytes : 1);
  if (!*memory) return note(cudaErrorMemoryAllocation);
  pinned.insert(*memory);
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void *memory) {
  ENTER(cudaErrorUnknown);
  if (!memory) return cudaSuccess;
  drain_all();
  if (!pinned.erase(memory)) return note(cudaErrorInvalidValue);
  free(memory);
  return cudaSuccess;
}
cudaError_t cudaHostGetDevicePointer(void **device, void *host, unsigned) {
  ENTER(cudaErrorUnknown);
  *device = host;
  return cudaSuccess;
}

static cudaError_t copy(void *to, const void *from, size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  if ((owner(to) && !within(to, bytes)) || (owner(from) && !within(from, bytes))) return note(cudaErrorInvalidValue);
  bool pageable = !owner(from) && !pinned.count((void *)from);
  std::vector<char> staged;
  if (pageable) { /* as the runtime does: what the caller may change afterwards is taken at once */
    staged.assign((const char *)from, (const char *)from + bytes);
    return enqueue(stream, [=] {
      Opened opened;
      memcpy(to, staged.data(), bytes);
    });
  }
  cudaError_t error = enqueue(stream, [=] {
    Opened opened;
    memmove(to, from, bytes);
  });
  if (error == cudaSuccess && !owner(to) && !pinned.count(to)) drain(stream_of(stream)); /* to pageable memory: waits */
  return error;
}
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  ENTER(cudaErrorUnknown);
  bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (bytes > 0 && kind != cudaMemcpyDefault &&
      ((owner(to) != nullptr) != to_device || (owner(from) != nullptr) != from_device))
    return note(cudaErrorInvalidValue);
  return copy(to, from, bytes, stream);
}
cudaError_t cudaMemcpyPeerAsync(void *to, int, const void *from, int, size_t bytes, cudaStream_t stream) {
  ENTER(cudaErrorUnknown);
  return copy(to, from, bytes, stream);
}
cudaError_t cudaMemsetAsync(void *to, int byte, size_t bytes, cudaStream_t stream) {
  ENTER(cudaErrorUnknown);
  if (bytes == 0) return cudaSuccess;
  if (!within(to, bytes)) return note(cudaErrorInvalidValue);
  return enqueue(stream, [=] {
    Opened opened;
    memset(to, byte, bytes);
  });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned) {
  ENTER(cudaErrorMemoryAllocation);
  *stream = new StandinStream;
  streams.insert(*stream);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  ENTER(cudaErrorUnknown);
  if (!stream || !streams.count(stream)) return note(cudaErrorInvalidResourceHandle);
  drain(stream);
  streams.erase(stream);
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  ENTER(cudaErrorUnknown);
  if (!streams.count(stream_of(stream))) return note(cudaErrorInvalidResourceHandle);
  drain(stream_of(stream));
  return cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  ENTER(cudaErrorUnknown);
  return stream_of(stream)->work.empty() ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned) {
  ENTER(cudaErrorMemoryAllocation);
  *event = new StandinEvent;
  events.insert(*event);
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  ENTER(cudaErrorUnknown);
  if (!events.count(event)) return note(cudaErrorInvalidResourceHandle);
  if (!event->done) drain_all();
  events.erase(event);
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  ENTER(cudaErrorUnknown);
  if (!events.count(event)) return note(cudaErrorInvalidResourceHandle);
  event->recorded = true;
  event->done = false;
  event->stream = stream_of(stream);
  return enqueue(stream, [event] {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    event->time = (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
    event->done = true;
  });
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  ENTER(cudaErrorUnknown);
  return event->done ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  ENTER(cudaErrorUnknown);
  if (!events.count(event)) return note(cudaErrorInvalidResourceHandle);
  if (!event->done) drain(event->stream);
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  ENTER(cudaErrorUnknown);
  if (!begin->recorded || !end->recorded) return note(cudaErrorInvalidResourceHandle);
  if (!begin->done || !end->done) return cudaErrorNotReady;
  *milliseconds = (float)(end->time - begin->time);
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  ENTER(cudaErrorUnknown);
  if (!events.count(event)) return note(cudaErrorInvalidResourceHandle);
  cudaStream_t other = event->stream;
  return enqueue(stream, [event, other] {
    if (!event->done && other && streams.count(other)) drain(other);
  });
}

} /* extern "C" */

/* For the libraries (library.h) ------------------------------------------------------------------------------------- */

bool standin_enter() {
  std::lock_guard<std::recursive_mutex> guard(lock);
  return enter();
}
cudaError_t standin_work(cudaStream_t stream, std::function<void()> job) {
  std::lock_guard<std::recursive_mutex> guard(lock);
  return enqueue(stream, [=] {
    Opened opened;
    job();
  });
}
bool standin_within(const void *p, size_t bytes) {
  std::lock_guard<std::recursive_mutex> guard(lock);
  return within(p, bytes);
}
