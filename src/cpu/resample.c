/* Resampling: the table of neighbours and weights, and the weighted sums, rows side by side where they lie so. */
#include "cpu/resample.h"
#include "base/alloc.h"
#include "base/pool.h"
#include "base/size.h"
#include "cpu/copy_tensor.h"
#include "cpu/reduce.h"
#include <math.h>

enum { UNIT = 16384 };

/* Result o is the sum of weight[o * width + k] x[first[o * width + k]] over k < count[o]. */
typedef struct {
  int64_t size, out, width;
  int64_t *first, *count;
  double *weight;
  void *memory;
  size_t bytes;
} Taps;

/* ---- where and how much ---- */

static double narrow(const Resample *how, double v) { return how->single ? (double)(float)v : v; }

/* Elements for each result. */
static double ratio(const Resample *how, int64_t size, int64_t out) {
  if (how->align_corners) return out > 1 ? narrow(how, (double)(size - 1) / (double)(out - 1)) : 0;
  return narrow(how, how->scale > 0 ? 1 / how->scale : (double)size / (double)out);
}

/* The middle of result o among the elements. */
static double position(const Resample *how, double step, int64_t o, bool cubic) {
  if (how->align_corners) return narrow(how, step * (double)o);
  double at = narrow(how, narrow(how, step * ((double)o + 0.5)) - 0.5);
  return !cubic && at < 0 ? 0 : at;
}

static double cubic_near(double x, double a) { return ((a + 2) * x - (a + 3)) * x * x + 1; }
static double cubic_far(double x, double a) { return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a; }
static double sinc(double x) { return x == 0 ? 1 : sin(M_PI * x) / (M_PI * x); }

static double filter(ResampleMode mode, double x) {
  x = fabs(x);
  if (mode == RESAMPLE_LINEAR_AA) return x < 1 ? 1 - x : 0;
  if (mode == RESAMPLE_LANCZOS_AA) return x < 3 ? sinc(x) * sinc(x / 3) : 0;
  return x < 1 ? cubic_near(x, -0.5) : x < 2 ? cubic_far(x, -0.5) : 0;
}

static int64_t clamp(double at, int64_t size) { return at < 0 ? 0 : at >= (double)size ? size - 1 : (int64_t)at; }

static void wide_taps(const Resample *how, const Taps *t, double step, double support, int64_t o) {
  double middle = narrow(how, step * ((double)o + 0.5)), inverse = step >= 1 ? 1 / step : 1, total = 0;
  double low = narrow(how, middle - support + 0.5), high = narrow(how, middle + support + 0.5);
  int64_t begin = low > 0 ? (int64_t)low : 0, end = high < (double)t->size ? (int64_t)high : t->size, n = end - begin;
  n = n > t->width ? t->width : n < 1 ? 1 : n;
  if (begin > t->size - n) begin = t->size - n;
  for (int64_t k = 0; k < n; k++) {
    double w = filter(how->mode, ((double)(begin + k) - middle + 0.5) * inverse);
    t->first[o * t->width + k] = begin + k;
    t->weight[o * t->width + k] = w;
    total += w;
  }
  for (int64_t k = 0; k < n && total != 0; k++) t->weight[o * t->width + k] /= total;
  t->count[o] = n;
}

static void taps_of(const Resample *how, const Taps *t, double step, int64_t o) {
  int64_t *first = t->first + o * t->width;
  double *weight = t->weight + o * t->width;
  bool cubic = how->mode == RESAMPLE_CUBIC;
  if (how->mode == RESAMPLE_NEAREST || how->mode == RESAMPLE_EXACT) {
    double at = how->mode == RESAMPLE_NEAREST ? narrow(how, step * (double)o) : position(how, step, o, false) + 0.5;
    first[0] = clamp((double)floorf((float)at), t->size);
    weight[0] = 1;
    t->count[o] = 1;
    return;
  }
  double at = position(how, step, o, cubic);
  if (!cubic && t->size == t->out) at = (double)o;
  double whole = floor(at), part;
  if (whole > (double)(t->size - 1)) whole = (double)(t->size - 1);
  part = narrow(how, at - whole);
  part = part < 0 ? 0 : part > 1 ? 1 : part;
  t->count[o] = cubic ? 4 : 2;
  for (int k = 0; k < t->count[o]; k++) first[k] = clamp(whole + k - cubic, t->size);
  if (!cubic) {
    weight[0] = 1 - part;
    weight[1] = part;
    return;
  }
  weight[0] = cubic_far(part + 1, -0.75);
  weight[1] = cubic_near(part, -0.75);
  weight[2] = cubic_near(1 - part, -0.75);
  weight[3] = cubic_far(2 - part, -0.75);
}

static bool taps_open(Taps *t, const Resample *how, int64_t size, int64_t out) {
  static const int64_t widths[RESAMPLE_MODES] = {1, 1, 2, 4, 2, 4, 6};
  double step = ratio(how, size, out), support = 0;
  int64_t cells, all;
  *t = (Taps){.size = size, .out = out, .width = widths[how->mode]};
  bool wide = how->mode >= RESAMPLE_LINEAR_AA;
  if (wide) {
    support = (double)t->width * 0.5 * (step >= 1 ? step : 1);
    double most = 2 * ceil(support) + 1;
    t->width = most < (double)size ? (int64_t)most : size;
  }
  if (!size_mul(out, t->width, &cells) || !size_mul(cells, 16, &all) || !size_add(all, 8 * out, &all)) return false;
  t->bytes = (size_t)all;
  t->memory = block_alloc(t->bytes);
  if (!t->memory) return false;
  t->weight = t->memory;
  t->first = (int64_t *)(t->weight + cells);
  t->count = t->first + cells;
  for (int64_t o = 0; o < out; o++)
    if (wide)
      wide_taps(how, t, step, support, o);
    else
      taps_of(how, t, step, o);
  return true;
}

/* Bytes are weighted in fixed point: neighbours that are one element count once, and all weights are rounded to as many
 * binary places, at most 22, as let the largest of them stay under 2^15. Their sums are exact in double. */
static void round_taps(const Taps *t) {
  double most = 0;
  for (int64_t o = 0; o < t->out; o++) {
    int64_t *first = t->first + o * t->width, n = 0;
    double *weight = t->weight + o * t->width;
    for (int64_t k = 0; k < t->count[o]; k++) {
      if (n > 0 && first[n - 1] == first[k]) {
        weight[n - 1] += weight[k];
      } else {
        first[n] = first[k];
        weight[n++] = weight[k];
      }
    }
    t->count[o] = n;
    for (int64_t k = 0; k < n; k++) most = weight[k] > most ? weight[k] : most;
  }
  int places = 0;
  while (places < 22 && floor(0.5 + ldexp(most, places + 1)) < 32768) places++;
  for (int64_t o = 0; o < t->out; o++)
    for (int64_t k = o * t->width; k < o * t->width + t->count[o]; k++)
      t->weight[k] = ldexp(round(ldexp(t->weight[k], places)), -places);
}

static void round_bytes(Tensor *t) {
  double *v = (double *)(void *)tensor_data(t);
  for (int64_t i = 0; i < t->numel; i++) v[i] = fmin(fmax(floor(v[i] + 0.5), 0), 255);
}

/* ---- the sums ---- */

typedef struct {
  const Taps *t;
  const char *x;
  char *out;
  int64_t inner;
  bool back;
} Job;

#define BODY(T)                                                                                \
  static void rows_##T(void *context, int64_t begin, int64_t end) {                            \
    const Job *j = context;                                                                    \
    const Taps *t = j->t;                                                                      \
    int64_t inner = j->inner;                                                                  \
    for (int64_t r = begin; r < end; r++) {                                                    \
      const T *x = (const T *)(const void *)j->x + r * (j->back ? t->out : t->size) * inner;   \
      T *y = (T *)(void *)j->out + r * (j->back ? t->size : t->out) * inner;                   \
      for (int64_t i = 0; i < (j->back ? t->size : t->out) * inner; i++) y[i] = 0;             \
      for (int64_t o = 0; o < t->out; o++)                                                     \
        for (int64_t k = o * t->width; k < o * t->width + t->count[o]; k++) {                  \
          T w = (T)t->weight[k];                                                               \
          const T *from = x + (j->back ? o : t->first[k]) * inner;                             \
          T *to = y + (j->back ? t->first[k] : o) * inner;                                     \
          if (w == 1 && t->width == 1 && !j->back)                                             \
            for (int64_t i = 0; i < inner; i++) to[i] = from[i]; /* also what is not finite */ \
          else                                                                                 \
            for (int64_t i = 0; i < inner; i++) to[i] += w * from[i];                          \
        }                                                                                      \
    }                                                                                          \
  }
BODY(float)
BODY(double)

bool cpu_resample(const Resample *how, Tensor *x, int dim, bool back, Tensor *out) {
  if (out->numel == 0) return true;
  DType lane = how->bytes || x->dtype == MT_F64 ? MT_F64 : MT_F32;
  Taps t;
  if (!taps_open(&t, how, back ? out->shape[dim] : x->shape[dim], back ? x->shape[dim] : out->shape[dim])) return false;
  if (how->bytes) round_taps(&t);
  Tensor *px = tensor_packed(x, lane), *to = NULL;
  if (px) to = out->dtype == lane ? tensor_retain(out) : tensor_new(lane, out->ndim, out->shape, tensor_device(out));
  bool good = to != NULL;
  if (good) {
    Lines l = lines_of(out, dim);
    Job job = {&t, tensor_data(px), tensor_data(to), l.inner, back};
    int64_t work = (t.out * t.width + t.size) * l.inner;
    parallel_for(l.outer, work < UNIT ? UNIT / work : 1, lane == MT_F64 ? rows_double : rows_float, &job);
    if (how->bytes) round_bytes(to);
    if (to != out) good = tensor_copy_into(out, to);
  }
  tensor_release(to);
  tensor_release(px);
  block_free(t.memory, t.bytes);
  return good;
}
