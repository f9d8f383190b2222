/* Pointwise, cast and fill kernels of src/cuda against the CPU's rows: every formula, dtype and layout. Runs on a device
 * or on the stand-in. Prints one line; non-zero on failure. */
#include <cuda_runtime_api.h>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "cuda/rows.h"
extern "C" {
#include "cpu/copy.h"
#include "cpu/pointwise.h"
}

static int passed, failures;

static void check(bool good, const char *what, DType d, const char *detail) {
  if (good)
    passed++;
  else if (failures++ < 20)
    fprintf(stderr, "not ok: %s %s: %s\n", what, dtype_info[d].name, detail);
}
static void must(int error, const char *what) {
  if (error == 0) return;
  fprintf(stderr, "%s: %s\n", what, cudaGetErrorString((cudaError_t)error));
  exit(1);
}

static uint64_t state = 88172645463325252u;
static uint64_t random_bits() {
  state ^= state << 13;
  state ^= state >> 7;
  return state ^= state << 17;
}

enum { COUNT = 331, STEP = 3 }; /* elements, and the distance between those of a strided operand */

static const double special[] = {0.0, -0.0, 1,    -1,    0.5, -0.5, 2,        3,         -7,  20,
                                 88,  -90,  1e-3, 1e-30, 1e9, 100,  INFINITY, -INFINITY, NAN, 0.25};

static void fill_input(DType d, char *to, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    uint64_t bits = random_bits();
    double v = bits % 4 == 0 ? special[bits / 4 % (sizeof special / sizeof *special)]
                             : ((double)(bits >> 11) * 0x1p-53 - 0.5) * (bits % 8 < 4 ? 4 : 60);
    if (dtype_info[d].category == CAT_FLOAT)
      scalar_store(scalar_float(v), d, to + i * dtype_size(d));
    else if (d == MT_BOOL)
      scalar_store(scalar_bool(bits & 1), d, to + i);
    else
      scalar_store(scalar_int(bits % 3 ? (int64_t)(bits % 41) - 20 : (int64_t)bits), d, to + i * dtype_size(d));
  }
}

/* Same NaN, infinity, integer; floats within so many units in the last place, of 1 near zero where terms cancel. */
static bool near(DType d, const char *a, const char *b, double ulps) {
  Scalar x = scalar_load(d, a), y = scalar_load(d, b);
  if (x.category != CAT_FLOAT) return x.i == y.i;
  if (std::isnan(x.d) || std::isnan(y.d)) return std::isnan(x.d) == std::isnan(y.d);
  if (x.d == y.d) return true;
  int digits = d == MT_F64 ? 53 : d == MT_F32 ? 24 : d == MT_F16 ? 11 : 8;
  if (std::isinf(x.d) || std::isinf(y.d)) { /* one just past the largest */
    double largest = d == MT_F64 ? 1.7e308 : d == MT_F32 ? 3.4e38 : d == MT_F16 ? 65400 : 3.3e38;
    return std::fabs(std::isinf(x.d) ? y.d : x.d) > largest;
  }
  double scale = std::fmax(std::fmax(std::fabs(x.d), std::fabs(y.d)), d == MT_F16   ? 6.2e-5
                                                                      : d == MT_F64 ? 2.3e-308
                                                                                    : 1.2e-38);
  return std::fabs(x.d - y.d) <= ulps * std::ldexp(scale, 1 - digits);
}

struct Buffer { /* the same bytes on both sides */
  char *device = nullptr;
  std::vector<char> host;
  explicit Buffer(size_t bytes) : host(bytes + 16, (char)0x5a) {
    must(cudaMalloc((void **)&device, bytes + 16), "malloc");
  }
  ~Buffer() { cudaFree(device); }
  void up() { must(cudaMemcpyAsync(device, host.data(), host.size(), cudaMemcpyHostToDevice, nullptr), "up"); }
  void down(std::vector<char> &to) {
    to.resize(host.size());
    must(cudaMemcpyAsync(to.data(), device, to.size(), cudaMemcpyDeviceToHost, nullptr), "down");
    must(cudaStreamSynchronize(nullptr), "wait");
  }
};

enum Layout { PACKED, MISALIGNED, STRIDED, ONE, VALUE, TWO_DIMS, LAYOUTS };
static const char *layout_name[] = {"packed", "misaligned", "strided", "one element", "a number", "two dims"};

/* The value of those that the CPU rounds early where the result is tiny goes to `want`. False where it is below what float
 * holds, or infinity meets zero: nothing is asked there. */
static bool exact(int f, DType d, const char *a, const char *b, char *want) {
  long double x = scalar_load(d, f == PW_gelu ? a : b).d, half = sqrtl(0.5L), below = 0.5L * erfcl(-x * half);
  if (f != PW_gelu && f != PW_gelu_back) return true;
  if (f == PW_gelu_back && !(fabsl(x) < 12 && !std::isinf(scalar_load(d, a).d))) return false;
  long double slope = below + x * 0.398942280401432677939946L * expl(-x * x / 2);
  scalar_store(scalar_float((double)(f == PW_gelu ? x * below : (long double)scalar_load(d, a).d * slope)), d, want);
  return true;
}

/* Formulas that lose digits on one side, and those whose CPU text is another approximation. */
static double allowed(int f, DType d) {
  if (d == MT_F16 || d == MT_BF16) return 2;
  switch (f) {
  case PW_gelu_tanh_back:
  case PW_mish_back:
  case PW_softplus:
  case PW_silu_back:
  case PW_logaddexp:
  case PW_logaddexp2: return 4000;
  case PW_gelu_back: return 1e6; /* its zero crossing */
  case PW_elu:
  case PW_pow:
  case PW_pow_scalar: return 40;
  default: return f >= PW_VECTORISED ? 40 : 12;
  }
}

static void test_formula(int f, DType d, Layout layout) {
  const PointwiseInfo *info = &pointwise_info[f];
  RowFn row = pointwise_row((Formula)f, d);
  DType out_type = info->to_bool ? MT_BOOL : d;
  int out_size = dtype_size(out_type);
  int64_t shift = layout == MISALIGNED ? 1 : 0;
  Buffer out((size_t)(COUNT * STEP * 8 + 16));
  std::vector<Buffer *> in;
  Rows r = {};
  r.operands = 1 + info->inputs;
  r.ndim = layout == TWO_DIMS ? 2 : 1;
  r.numel = layout == TWO_DIMS ? 30 * 11 : COUNT;
  r.shape[0] = layout == TWO_DIMS ? 30 : COUNT;
  r.shape[1] = 11;
  r.ptr[0] = out.device + shift * out_size;
  r.stride[0][0] = layout == STRIDED ? STEP * out_size : out_size;
  r.stride[0][1] = 30 * out_size;
  char *host[4] = {nullptr};
  int64_t stride[4] = {out_size};
  for (int k = 0; k < info->inputs; k++) {
    DType type = info->choice && k == 0 ? MT_BOOL : d;
    int bytes = dtype_size(type);
    Buffer *b = new Buffer((size_t)(COUNT * STEP * 8 + 16));
    fill_input(type, b->host.data(), COUNT * STEP + 1);
    b->up();
    in.push_back(b);
    bool last = k == info->inputs - 1;
    int64_t step = layout == STRIDED ? STEP : (layout == ONE || layout == VALUE) && last ? 0 : 1;
    host[k + 1] = b->host.data() + shift * bytes;
    stride[k + 1] = step * bytes;
    r.ptr[k + 1] = b->device + shift * bytes;
    r.stride[k + 1][0] = step * bytes;
    r.stride[k + 1][1] = layout == TWO_DIMS ? (last ? 0 : 30 * bytes) : 0;
    if (layout == VALUE && last) {
      r.ptr[k + 1] = nullptr;
      memcpy(&r.value[k + 1], host[k + 1], (size_t)bytes);
    }
  }
  PointwiseContext context = {};
  FormulaNumbers numbers = {};
  double s = info->extra == EXTRA_EXPONENT ? 2
             : info->extra == EXTRA_LIMITS ? -3
             : f == PW_polygamma           ? 1
                                           : 2,
         t = 5, u = 1;
  bool is_float = dtype_info[d].category == CAT_FLOAT;
  FormulaNumber *to[3] = {&numbers.s, &numbers.t, &numbers.u};
  double from[3] = {s, t, u};
  Scalar scalar[3];
  for (int k = 0; k < 3; k++) {
    if (d == MT_U8 && from[k] < 0) from[k] = 0;
    if (d == MT_BOOL) from[k] = 1;
    scalar[k] = is_float ? scalar_float(from[k]) : scalar_int((int64_t)from[k]);
    if (d == MT_F64)
      to[k]->d = from[k];
    else if (is_float)
      to[k]->f = (float)from[k];
    else
      to[k]->i = (int64_t)from[k];
  }
  context.s = scalar[0], context.t = scalar[1], context.u = scalar[2];
  context.has_s = context.has_t = true;
  out.up();
  int error = cuda_launch_pointwise(f, d, &r, &numbers, nullptr);
  std::vector<char> got, want(COUNT * 8);
  char detail[200];
  if (error) {
    snprintf(detail, sizeof detail, "launch gave %d", error);
    check(false, info->name, d, detail);
  } else {
    out.down(got);
    int rows = layout == TWO_DIMS ? 11 : 1, n = layout == TWO_DIMS ? 30 : COUNT;
    bool good = true;
    for (int j = 0; good && j < rows; j++) {
      char *ptr[4] = {want.data() + j * n * out_size};
      for (int k = 1; k <= info->inputs; k++) ptr[k] = host[k] + j * r.stride[k][1];
      row(ptr, stride, n, &context);
      for (int i = 0; good && i < n; i++) {
        const char *g = got.data() + shift * out_size + i * r.stride[0][0] + j * r.stride[0][1];
        char *w = ptr[0] + i * out_size;
        if (!exact(f, d, ptr[1] + i * stride[1], info->inputs > 1 ? ptr[2] + i * stride[2] : ptr[1], w)) continue;
        double ulps = info->to_bool ? 0 : allowed(f, d);
        if (!(good = near(out_type, g, w, ulps))) {
          double a = scalar_double(scalar_load(info->choice ? MT_BOOL : d, ptr[1] + i * stride[1]));
          double b = info->inputs > 1 ? scalar_double(scalar_load(d, ptr[2] + i * stride[2])) : 0;
          snprintf(detail, sizeof detail, "%s, element %d of %.17g, %.17g: %.17g, not %.17g", layout_name[layout], i, a,
                   b, scalar_double(scalar_load(out_type, g)), scalar_double(scalar_load(out_type, w)));
        }
      }
    }
    for (size_t k = (size_t)((r.numel - 1) * (layout == STRIDED ? STEP : 1) + 1 + shift) * (size_t)out_size;
         good && k < got.size(); k++)
      if (got[k] != 0x5a)
        good = false, snprintf(detail, sizeof detail, "%s: wrote behind its end", layout_name[layout]);
    check(good, info->name, d, detail);
  }
  for (Buffer *b : in) delete b;
}

static void test_cast(DType to, DType from, int64_t step) {
  Buffer in(COUNT * STEP * 8), out(COUNT * 8);
  fill_input(from, in.host.data(), COUNT * STEP);
  in.up();
  out.up();
  Rows r = {};
  r.operands = 2;
  r.ndim = 1;
  r.numel = r.shape[0] = COUNT;
  r.ptr[0] = out.device;
  r.ptr[1] = in.device;
  r.stride[0][0] = dtype_size(to);
  r.stride[1][0] = step * dtype_size(from);
  must(cuda_launch_cast(to, from, &r, nullptr), "cast");
  std::vector<char> got, want(COUNT * 8);
  out.down(got);
  char *ptr[2] = {want.data(), in.host.data()};
  int64_t stride[2] = {r.stride[0][0], r.stride[1][0]};
  cast_row(from, to)(ptr, stride, COUNT, nullptr);
  bool good = true;
  char detail[200] = "";
  for (int i = 0; good && i < COUNT; i++) {
    Scalar x = scalar_load(from, in.host.data() + i * stride[1]);
    /* what no integer holds has no value in C either */
    if (x.category == CAT_FLOAT && dtype_info[to].category == CAT_INT && !(std::fabs(x.d) < 9e18)) continue;
    const char *g = got.data() + i * dtype_size(to), *w = want.data() + i * dtype_size(to);
    if (!(good = near(to, g, w, 0)))
      snprintf(detail, sizeof detail, "from %s, element %d, %.17g: %.17g, not %.17g", dtype_info[from].name, i,
               scalar_double(x), scalar_double(scalar_load(to, g)), scalar_double(scalar_load(to, w)));
  }
  check(good, "cast to", to, detail);
}

static void test_fill(DType d) {
  Buffer out(COUNT * STEP * 8);
  out.up();
  Rows r = {};
  r.operands = 1;
  r.ndim = 1;
  r.numel = r.shape[0] = COUNT;
  r.ptr[0] = out.device;
  r.stride[0][0] = STEP * dtype_size(d);
  uint64_t element = 0;
  scalar_store(d == MT_BOOL ? scalar_bool(true) : scalar_int(3), d, &element);
  must(cuda_launch_fill(dtype_size(d), element, &r, nullptr), "fill");
  std::vector<char> got;
  out.down(got);
  bool good = true;
  for (int i = 0; i < COUNT * STEP; i++) {
    bool same = memcmp(got.data() + i * dtype_size(d), &element, (size_t)dtype_size(d)) == 0;
    good = good && same == (i % STEP == 0 && i / STEP < COUNT);
  }
  check(good, "fill", d, "wrong elements");
}

int main() {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    printf("cuda pointwise: skipped, there is no GPU\n0 passed, 0 failed\n");
    return 0;
  }
  Rows none = {};
  FormulaNumbers numbers = {};
  none.ndim = 1;
  none.operands = 2;
  for (int f = 0; f < PW_FORMULAS; f++)
    for (int d = 0; d < MT_DTYPES; d++) {
      bool known = cuda_launch_pointwise(f, d, &none, &numbers, nullptr) == 0;
      check(known == (pointwise_row((Formula)f, (DType)d) != nullptr), pointwise_info[f].name, (DType)d,
            "exists on one side only");
      if (!known || f == PW_digamma || f == PW_polygamma || f == PW_zeta) continue;
      for (int layout = 0; layout < LAYOUTS; layout++) test_formula(f, (DType)d, (Layout)layout);
    }
  for (int to = 0; to < MT_DTYPES; to++) {
    test_fill((DType)to);
    for (int from = 0; from < MT_DTYPES; from++) {
      test_cast((DType)to, (DType)from, 1);
      test_cast((DType)to, (DType)from, STEP);
    }
  }
  printf("%d passed, %d failed\n", passed, failures);
  return failures != 0;
}
