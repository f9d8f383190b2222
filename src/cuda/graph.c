/* Graphs: the work that a script sends to a stream, noted once and sent again as a whole.
 *
 * While a thread captures, its launches are noted instead of run, its memory comes from the graph's pool, and waiting is
 * refused before the runtime hears of it (driver.c). Invariant: whatever fails in between, ending a capture leaves the
 * stream and the thread as they were. https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs */
#include "cuda/draw.h"
#include "cuda/driver.h"
#include <stdatomic.h>

/* A generator that captured kernels draw from. They read seed and offset from the device's memory, where a replay writes
 * them; their own offsets count from `begin`. As PyTorch does it. */
typedef struct Drawn {
  struct Drawn *next;
  Generator *generator;
  Tensor *state;        /* two int64 */
  uint64_t seed, begin; /* the generator's when it was first drawn from */
  uint64_t by;          /* how far a replay moves it */
} Drawn;

struct Graph {
  Drawn *drawn;
  cudaGraphExec_t exec;
  MemoryPool *pool;
  int64_t pool_id;
  int index, number; /* of the device, and of the stream of the capture */
  bool has, captures;
  bool spoiled; /* something was called that a capture forbids */
};

static atomic_int underway;
static _Atomic int64_t pools = 1;
static _Thread_local Graph *capturing; /* what this thread captures */

bool capturing_here(void) { return capturing != NULL; }
void capture_spoil(void) { capturing->spoiled = true; }
int captures_underway(void) { return atomic_load(&underway); }
int64_t graph_pool_new(void) { return atomic_fetch_add(&pools, 1); }
int64_t graph_pool(const Graph *g) { return g->pool_id; }

Graph *graph_new(void) { return mem_zero(sizeof(Graph)); }

/* The generators are again where they were when the capture began: nothing has been drawn. */
static void rewind_drawn(Graph *g) {
  for (Drawn *d = g->drawn; d; d = d->next) {
    d->by = d->generator->offset - d->begin;
    d->generator->offset = d->begin;
  }
}

static void forget_drawn(Graph *g) {
  for (Drawn *d = g->drawn, *next; d; d = next) {
    next = d->next;
    tensor_release(d->state);
    generator_release(d->generator);
    mem_free(d);
  }
  g->drawn = NULL;
}

/* The graph's record of a generator; its memory is not the graph's, whose other kernels may use that before they are
 * through with it. */
static Drawn *drawn_of(Graph *g, Generator *generator) {
  for (Drawn *d = g->drawn; d; d = d->next)
    if (d->generator == generator) return d;
  memory_capture(0, NULL);
  Tensor *state = tensor_new(MT_I64, 1, (int64_t[]){2}, (Device){MT_CUDA, (uint8_t)g->index});
  memory_capture(g->index, g->pool);
  Drawn *d = state ? mem_alloc(sizeof *d) : NULL;
  if (!d) return tensor_release(state), NULL;
  *d = (Drawn){.next = g->drawn, .generator = generator_retain(generator), .state = state};
  d->seed = generator->seed;
  d->begin = generator->offset;
  return g->drawn = d;
}

bool capture_draw(Generator *generator, DrawFrom *from) {
  enum cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  if (!driver_check(cudaStreamIsCapturing(driver_stream(generator->device), &status), "cudaStreamIsCapturing"))
    return false;
  if (status == cudaStreamCaptureStatusNone) return true;
  if (generator->device != capturing->index)
    return fail(MT_ERUNTIME,
                "Offset increment outside graph capture encountered unexpectedly: a graph of cuda:%d draws from a "
                "generator of cuda:%d; draw those numbers before, into a tensor that the graph reads",
                capturing->index, generator->device);
  Drawn *d = drawn_of(capturing, generator);
  if (!d) return false;
  if (d->seed != generator->seed)
    return fail(MT_ERUNTIME, "CUDAGeneratorImpl::set_current_seed can be called during stream capture only if new seed "
                             "is the same as the original seed: seed the generator before the capture or a replay");
  *from = (DrawFrom){.offset = generator->offset - d->begin, .state = (uint64_t *)tensor_data(d->state)};
  return true;
}

bool graph_reset(Graph *g) {
  if (g->captures) graph_capture_abort(g);
  bool good = true;
  forget_drawn(g);
  if (g->exec) good = driver_check(cudaGraphExecDestroy(g->exec), "cudaGraphExecDestroy");
  g->exec = NULL;
  g->has = false;
  if (g->pool) memory_pool_release(g->pool);
  g->pool = NULL;
  g->pool_id = 0;
  return good;
}

void graph_free(Graph *g) {
  if (!graph_reset(g)) fail_clear();
  mem_free(g);
}

bool graph_capture_begin(Graph *g, int64_t pool, int mode) {
  int index = device_current(), number = stream_current(index);
  if (g->captures || capturing)
    return fail(MT_ERUNTIME, "CUDA error: operation not permitted when stream is capturing: this thread captures a "
                             "graph already, end that first");
  if (g->has)
    return fail(MT_ERUNTIME, "This CUDAGraph instance already owns a captured graph. To capture a new graph, create a "
                             "new instance.");
  if (number == 0)
    return fail(MT_ERUNTIME,
                "CUDA graphs must be captured on a non-default stream. (However, after capture, it's ok to "
                "replay them on the default stream.) torch.cuda.graph(g, f) takes one by itself");
  FaultPlace first; /* the device's record must be there before */
  if (!driver_use(index) || !fault_place(index, &first)) return false;
  int64_t id = pool ? pool : graph_pool_new();
  MemoryPool *memory = memory_pool(index, id);
  if (!memory) return false;
  if (!driver_check(cudaStreamBeginCapture(driver_stream(index), (enum cudaStreamCaptureMode)mode),
                    "cudaStreamBeginCapture"))
    return memory_pool_release(memory), false;
  g->pool = memory;
  g->pool_id = id;
  g->index = index;
  g->number = number;
  g->captures = true;
  g->spoiled = false;
  capturing = g;
  atomic_fetch_add(&underway, 1);
  memory_capture(index, memory);
  return true;
}

/* The runtime's capture ends; what it noted, or NULL and what went wrong. */
static cudaError_t end(Graph *g, cudaGraph_t *noted) {
  cudaStream_t stream = NULL;
  int before = -1;
  *noted = NULL;
  if (stream_handle(g->index, g->number, &stream)) {
    cudaGetDevice(&before);
    if (before != g->index) cudaSetDevice(g->index);
  }
  cudaError_t error = cudaStreamEndCapture(stream, noted);
  cudaGetLastError();
  memory_capture(0, NULL);
  rewind_drawn(g);
  g->captures = false;
  if (capturing == g) capturing = NULL;
  atomic_fetch_sub(&underway, 1);
  return error;
}

void graph_capture_abort(Graph *g) {
  cudaGraph_t noted;
  if (!g->captures) return;
  end(g, &noted);
  if (noted) cudaGraphDestroy(noted);
  cudaGetLastError();
  graph_reset(g);
}

bool graph_capture_end(Graph *g, bool *empty) {
  cudaGraph_t noted = NULL;
  size_t nodes = 0;
  if (!g->captures || capturing != g)
    return fail(MT_ERUNTIME, "capture_end was called without a capture_begin of this thread before it");
  if (device_current() != g->index || stream_current(g->index) != g->number) {
    graph_capture_abort(g);
    return fail(MT_ERUNTIME, "Capture must end on the same stream it began on.");
  }
  if (g->spoiled) {
    graph_capture_abort(g);
    return driver_check(cudaErrorStreamCaptureInvalidated, "cudaStreamEndCapture");
  }
  bool good = driver_check(end(g, &noted), "cudaStreamEndCapture") &&
              driver_check(cudaGraphGetNodes(noted, NULL, &nodes), "cudaGraphGetNodes") &&
              driver_check(cudaGraphInstantiateWithFlags(&g->exec, noted, 0), "cudaGraphInstantiate");
  if (noted) cudaGraphDestroy(noted);
  *empty = nodes == 0;
  g->has = good;
  if (!good) {
    g->exec = NULL;
    graph_reset(g);
  }
  cudaGetLastError();
  return good;
}

bool graph_replay(Graph *g) {
  if (!g->has) return fail(MT_ERUNTIME, "Called CUDAGraph::replay without a preceding successful capture.");
  if (!driver_use(g->index)) return false;
  cudaStream_t stream = driver_stream(g->index);
  for (Drawn *d = g->drawn; d; d = d->next)
    if (!cuda_record_stream(d->state->storage, g->index, stream_current(g->index)) ||
        !driver_launched(
            cuda_launch_draw_state((uint64_t *)tensor_data(d->state), d->generator->seed, d->generator->offset, stream),
            "random numbers"))
      return false;
  if (!driver_check(cudaGraphLaunch(g->exec, stream), "cudaGraphLaunch")) return false;
  for (Drawn *d = g->drawn; d; d = d->next) d->generator->offset += d->by;
  return true;
}
