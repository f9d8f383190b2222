/* Resampling: the table of neighbours and weights, and the weighted sums, rows side by side where they lie so. */
#include "cpu/resample.h"
#include "base/alloc.h"
#include "base/pool.h"
#include "base/size.h"
#include "cpu/copy_tensor.h"
#include "cpu/reduce.h"
#include <math.h>

enum { UNIT = 16384 };

typedef struct {
  ResampleTaps t;
  void *memory;
  size_t bytes;
} Table;

static bool table_open(Table *table, const Resample *how, int64_t size, int64_t out) {
  ResampleTaps t = resample_table(how, size, out);
  int64_t cells, all;
  if (!size_mul(out, t.width, &cells) || !size_mul(cells, 16, &all) || !size_add(all, 8 * out, &all)) return false;
  table->bytes = (size_t)all;
  table->memory = block_alloc(table->bytes);
  if (!table->memory) return false;
  t.weight = table->memory;
  t.first = (int64_t *)(t.weight + cells);
  t.count = t.first + cells;
  for (int64_t o = 0; o < out; o++) resample_fill(how, &t, o);
  table->t = t;
  return true;
}

/* Bytes are weighted in fixed point: neighbours that are one element count once, and all weights are rounded to as many
 * binary places, at most 22, as let the largest of them stay under 2^15. Their sums are exact in double. */
static void round_taps(const ResampleTaps *t) {
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
  const ResampleTaps *t;
  const char *x;
  char *out;
  int64_t inner;
  bool back;
} Job;

#define BODY(T)                                                                                \
  static void rows_##T(void *context, int64_t begin, int64_t end) {                            \
    const Job *j = context;                                                                    \
    const ResampleTaps *t = j->t;                                                              \
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
  Table table;
  if (!table_open(&table, how, back ? out->shape[dim] : x->shape[dim], back ? x->shape[dim] : out->shape[dim]))
    return false;
  const ResampleTaps *t = &table.t;
  if (how->bytes) round_taps(t);
  Tensor *px = tensor_packed(x, lane), *to = NULL;
  if (px) to = out->dtype == lane ? tensor_retain(out) : tensor_new(lane, out->ndim, out->shape, tensor_device(out));
  bool good = to != NULL;
  if (good) {
    Lines l = lines_of(out, dim);
    Job job = {t, tensor_data(px), tensor_data(to), l.inner, back};
    int64_t work = (t->out * t->width + t->size) * l.inner;
    parallel_for(l.outer, work < UNIT ? UNIT / work : 1, lane == MT_F64 ? rows_double : rows_float, &job);
    if (how->bytes) round_bytes(to);
    if (to != out) good = tensor_copy_into(out, to);
  }
  tensor_release(to);
  tensor_release(px);
  block_free(table.memory, table.bytes);
  return good;
}
