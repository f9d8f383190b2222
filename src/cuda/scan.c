/* Scans of tensors on a device: operands packed as what is scanned, and how lines are shared among threads. */
#include "cuda/scan.h"
#include "cuda/driver.h"

enum { SHORT = 32, TILES = 8, MOST_CHUNKS = 256, BLOCKS = 512, BY_THREAD = 64, THREADS_WANTED = 65536 };

/* How many threads share a line, and into how many chunks it is cut; from the shape alone. */
static void plan(ScanRun *r) {
  int64_t lines = r->outer * r->inner, least, wanted;
  r->group = r->inner > 1 || r->length <= SHORT ? 1 : r->length <= SHORT * SHORT ? SHORT : SCAN_THREADS;
  if (r->group == 1) {
    least = BY_THREAD;
    wanted = THREADS_WANTED / lines;
  } else {
    least = TILES * SCAN_THREADS * SCAN_ITEMS;
    wanted = BLOCKS / lines;
  }
  int64_t chunks = r->length / least;
  if (chunks > wanted) chunks = wanted;
  if (chunks > MOST_CHUNKS) chunks = MOST_CHUNKS;
  r->chunk = chunks > 1 ? (r->length + chunks - 1) / chunks : r->length;
  r->chunks = (r->length + r->chunk - 1) / r->chunk;
}

static bool run(ScanRun *r, const ScanPass *pass, int passes, DType lane, Device device) {
  Tensor *carry = NULL;
  plan(r);
  if (r->chunks > 1) {
    int64_t words = 2 * r->chunks * r->outer * r->inner;
    if (!(carry = tensor_new(MT_F64, 1, &words, device))) return false;
    r->carry = tensor_data(carry);
  }
  bool good = driver_use(device.index);
  for (int k = 0; good && k < passes; k++) {
    if (k > 0) r->reverse = true;
    good = driver_launched(cuda_launch_scan(pass[k], lane, r, driver_stream(device.index)), "a scan");
  }
  tensor_release(carry);
  return good;
}

/* out itself, or memory for it in the lane's dtype; owned. */
static Tensor *room(Tensor *out, DType lane) {
  return out->dtype == lane ? tensor_retain(out) : tensor_new(lane, out->ndim, out->shape, tensor_device(out));
}

static bool scan(const ScanPass *pass, int passes, bool reverse, Tensor *t, Tensor *grad, int dim, Tensor *out,
                 Tensor *index) {
  if (out->numel == 0) return true;
  DType lane = lane_dtype(lane_type((DType)out->dtype));
  Tensor *x = cuda_packed(t, lane), *g = x && grad ? cuda_packed(grad, lane) : NULL, *to = x ? room(out, lane) : NULL;
  Lines l = lines_of(out, dim);
  bool good = to && (g || !grad);
  if (good) {
    ScanRun r = {.x = tensor_data(x),
                 .g = g ? tensor_data(g) : NULL,
                 .out = tensor_data(to),
                 .index = index ? (int64_t *)(void *)tensor_data(index) : NULL,
                 .outer = l.outer,
                 .length = l.length,
                 .inner = l.inner,
                 .reverse = reverse};
    good = run(&r, pass, passes, lane, tensor_device(out)) && (to == out || cuda_copy(out, to));
  }
  tensor_release(to);
  tensor_release(g);
  tensor_release(x);
  return good;
}

bool cuda_scan(ScanKind kind, Tensor *t, Tensor *grad, int dim, Tensor *out) {
  static const struct {
    int passes;
    bool reverse;
    ScanPass pass[2];
  } ways[] = {[SCAN_SUM] = {1, false, {PASS_SUM}},
              [SCAN_SUM_BACK] = {1, true, {PASS_SUM}},
              [SCAN_PRODUCT] = {1, false, {PASS_PRODUCT}},
              [SCAN_OTHERS] = {2, false, {PASS_BEFORE, PASS_AFTER}},
              [SCAN_PRODUCT_BACK] = {2, false, {PASS_BEFORE, PASS_GRADIENT}},
              [SCAN_LOG_SUM_EXP] = {1, false, {PASS_LOG_SUM}}};
  return scan(ways[kind].pass, ways[kind].passes, ways[kind].reverse, t, grad, dim, out, NULL);
}

bool cuda_running_extreme(Tensor *t, int dim, bool least, Tensor *values, Tensor *index) {
  ScanPass pass = least ? PASS_LEAST : PASS_MOST;
  return scan(&pass, 1, false, t, NULL, dim, values, index);
}
