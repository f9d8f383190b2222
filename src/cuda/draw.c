/* Drawing on a device: how many blocks draw, and how far the generator moves. */
#include "cuda/draw.h"
#include "cuda/driver.h"
#include <string.h>

/* Blocks for n elements: as many as the device holds at once, as PyTorch launches, since numbers depend on it. 0 and a
 * failure. */
static unsigned blocks_of(int index, int64_t n) {
  int processors = 0, threads = 0;
  if (!driver_use(index) ||
      !driver_check(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, index),
                    "cudaDeviceGetAttribute") ||
      !driver_check(cudaDeviceGetAttribute(&threads, cudaDevAttrMaxThreadsPerMultiProcessor, index),
                    "cudaDeviceGetAttribute"))
    return 0;
  int64_t most = (int64_t)processors * (threads / DRAW_THREADS), wanted = (n + DRAW_THREADS - 1) / DRAW_THREADS;
  return (unsigned)(wanted < most ? wanted : most > 0 ? most : 1);
}

/* Where to draw from, and the generator moves past `calls` calls of four words by each thread. */
static bool take(Generator *g, uint64_t calls, DrawFrom *from) {
  *from = (DrawFrom){.seed = g->seed, .offset = g->offset};
  if (capturing_here() && !capture_draw(g, from)) return false;
  g->offset += calls * 4;
  return true;
}

/* The largest integer up to which a dtype holds all of them. */
static uint64_t exact_up_to(DType d) {
  switch (d) {
  case MT_BOOL: return 1;
  case MT_F16: return 1 << 11;
  case MT_BF16: return 1 << 8;
  case MT_F32: return 1 << 24;
  case MT_F64: return UINT64_C(1) << 53;
  default: return UINT64_MAX >> (64 - 8 * dtype_size(d) + dtype_info[d].is_signed);
  }
}

static void set_range(DrawRun *r, const Draw *draw, DType d) {
  r->low = draw->kind == DRAW_FULL ? 0 : draw->low;
  r->range = (draw->kind == DRAW_BETWEEN ? (uint64_t)draw->high : exact_up_to(d) + 1) - (uint64_t)r->low;
  r->wide = draw->kind == DRAW_FULL ? d == MT_F64 || d == MT_I64 : r->range == 0 || r->range >= UINT64_C(1) << 28;
}

static bool draw_packed(const Draw *draw, Generator *g, Tensor *to) {
  DType d = (DType)to->dtype;
  int index = tensor_device(to).index;
  DrawRun r = {.to = tensor_data(to), .n = to->numel, .kind = draw->kind, .a = draw->a, .b = draw->b};
  if (draw->kind >= DRAW_BETWEEN)
    set_range(&r, draw, d);
  else
    r.wide = d == MT_F64;
  if (!(r.blocks = blocks_of(index, r.n))) return false;
  uint64_t threads = (uint64_t)r.blocks * DRAW_THREADS * (r.wide ? 2 : 4);
  return take(g, ((uint64_t)r.n - 1) / threads + 1, &r.from) &&
         driver_launched(cuda_launch_draw(d, &r, driver_stream(index)), "random numbers");
}

bool cuda_draw(const Draw *draw, Generator *g, Tensor *to, const Tensor *order) {
  (void)order;
  if (to->numel == 0) return true;
  if (tensor_is_contiguous(to)) return draw_packed(draw, g, to);
  Tensor *packed = tensor_new((DType)to->dtype, to->ndim, to->shape, tensor_device(to));
  bool good = packed && draw_packed(draw, g, packed) && cuda_copy(to, packed);
  tensor_release(packed);
  return good;
}

/* A Poisson count takes as many numbers as it takes: more than these calls are rare, and then a later draw of the same
 * thread repeats some. */
enum { POISSON_CALLS = 256 };

bool cuda_draw_by(DrawBy by, Generator *g, Tensor *numbers, Tensor *to) {
  int index = tensor_device(to).index;
  DType d = (DType)numbers->dtype;
  if (to->numel == 0) return true;
  Tensor *packed = cuda_packed(numbers, d);
  DrawByRun r = {.to = tensor_data(to), .n = to->numel, .kind = by};
  bool good = packed && fault_place(index, &r.fault) && (r.blocks = blocks_of(index, r.n)) != 0;
  if (good) {
    int64_t threads = (int64_t)r.blocks * DRAW_THREADS, each = (r.n - 1) / threads + 1;
    r.numbers = tensor_data(packed);
    good = take(g, (uint64_t)(each * (by == DRAW_BY_RATE ? POISSON_CALLS : 1)), &r.from) &&
           driver_launched(cuda_launch_draw_by(d, to->dtype, &r, driver_stream(index)), "random numbers");
  }
  tensor_release(packed);
  return good;
}
