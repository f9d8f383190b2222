/* The order in which a GPU runs threads: the threads of a block are fibers that meet at barriers, in warps and in votes.
 * See cuda_runtime_api.h for what is watched over. One kernel runs at a time, under the runtime's lock. */
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>
#include <vector>
#include "inside.h"
#include "cuda_runtime.h"
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#else
#define __sanitizer_start_switch_fiber(...) (void)0
#define __sanitizer_finish_switch_fiber(...) (void)0
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace {

[[noreturn]] void die(const std::string &what) { standin_die(what); }

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

}  // namespace

/* The kernel, block after block. */
static void run_grid(dim3 grid, dim3 threads, size_t shared, const char *name, const std::function<void()> &thread) {
  static const bool reverse = standin_setting("STANDIN_REVERSE", 0);
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
}

void standin_launch(dim3 grid, dim3 threads, size_t shared, cudaStream_t stream, const char *name,
                    std::function<void()> thread) {
  std::lock_guard<std::recursive_mutex> guard(standin_lock);
  if (!standin_enter()) {
    standin_note(cudaErrorUnknown);
    return;
  }
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || threads.x * threads.y * threads.z == 0 || shared > 48 << 10 ||
      threads.x * threads.y * threads.z > 1024 || grid.y > 65535 || grid.z > 65535) {
    standin_note(cudaErrorInvalidConfiguration);
    return;
  }
  standin_note(standin_run(stream, [=] { run_grid(grid, threads, shared, name, thread); }));
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
