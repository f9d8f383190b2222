/* Distances: p-norms of the differences between the rows of two matrices. Terms are the element's type, in the kernels of
 * the pointwise losses and of pow; sums run in double across blocks. */
#include "base/pool.h"
#include "cpu/copy_tensor.h"
#include "cpu/kernels.h"
#include "cpu/loss.h"
#include "cpu/pointwise.h"
#include "cpu/reduce.h"
#include <math.h>

enum { UNIT = 16384, BLOCK = 256, PARTS = 4, SHORT = 48 };

/* The largest difference, or how many are not 0; a NaN is the largest. */
#define EXTREME(S, T)                                                                              \
  static double extreme_##S(const void *pa, const void *pb, int64_t n, bool count) {               \
    const T *a = pa, *b = pb;                                                                      \
    double all = 0;                                                                                \
    for (int64_t k = 0; k < n && all == all; k++) {                                                \
      double d = fabs((double)(T)(a[k] - b[k]));                                                   \
      if (count)                                                                                   \
        all += d != 0;                                                                             \
      else if (d > all || d != d)                                                                  \
        all = d;                                                                                   \
    }                                                                                              \
    return all;                                                                                    \
  }                                                                                                \
  /* The sum of |a - b| or of its square where a call for the row would cost more than the row. */ \
  static double short_sum_##S(const void *pa, const void *pb, int64_t n, bool square) {            \
    const T *a = pa, *b = pb;                                                                      \
    double part[PARTS] = {0};                                                                      \
    int64_t k = 0;                                                                                 \
    for (; k + PARTS <= n; k += PARTS)                                                             \
      for (int j = 0; j < PARTS; j++) {                                                            \
        double d = (double)(T)(a[k + j] - b[k + j]);                                               \
        part[j] += square ? d * d : fabs(d);                                                       \
      }                                                                                            \
    for (; k < n; k++) {                                                                           \
      double d = (double)(T)(a[k] - b[k]);                                                         \
      part[0] += square ? d * d : fabs(d);                                                         \
    }                                                                                              \
    return part[0] + part[1] + (part[2] + part[3]);                                                \
  }                                                                                                \
  static double sum_##S(const T *x, int64_t n) {                                                   \
    double part[PARTS] = {0};                                                                      \
    for (int64_t k = 0; k < n; k++) part[k % PARTS] += (double)x[k];                               \
    return part[0] + part[1] + (part[2] + part[3]);                                                \
  }
EXTREME(f32, float)
EXTREME(f64, double)

/* The sum of |a - b| ^ p. */
static double power_sum(bool wide, const char *a, const char *b, int64_t n, double p) {
  const DType d = wide ? MT_F64 : MT_F32;
  const int64_t size = dtype_size(d), stride[] = {size, size};
  PairFn absolute = VEC_PICK(loss_table)->pair[PAIR_ABSOLUTE][wide];
  RowFn power = pointwise_row(PW_pow_scalar, d);
  PointwiseContext context = {.s = scalar_float(p)};
  double all = 0, block[BLOCK];
  for (int64_t k = 0; k < n; k += BLOCK) {
    int64_t m = n - k < BLOCK ? n - k : BLOCK;
    absolute(a + k * size, b + k * size, NULL, NULL, 0, block, m);
    power((char *[]){(char *)block, (char *)block}, stride, m, &context);
    all += wide ? sum_f64(block, m) : sum_f32((const float *)(const void *)block, m);
  }
  return all;
}

static double distance(bool wide, const char *a, const char *b, int64_t n, double p) {
  if (p == 0 || isinf(p)) return wide ? extreme_f64(a, b, n, p == 0) : extreme_f32(a, b, n, p == 0);
  if (p == 1 || p == 2) {
    double sum =
        n < SHORT
            ? (wide ? short_sum_f64(a, b, n, p == 2) : short_sum_f32(a, b, n, p == 2))
            : VEC_PICK(loss_table)->pair[p == 2 ? PAIR_SQUARED : PAIR_ABSOLUTE][wide](a, b, NULL, NULL, 0, NULL, n);
    return p == 2 ? sqrt(sum) : sum;
  }
  return pow(power_sum(wide, a, b, n, p), 1 / p);
}

typedef struct {
  const char *a, *b;
  char *out;
  bool wide;
  int64_t rows, others, length; /* rows of x1 and x2 in a batch; elements of a row */
  double p;
} Job;

static void body(void *context, int64_t begin, int64_t end) {
  const Job *j = context;
  int size = j->wide ? 8 : 4;
  for (int64_t i = begin; i < end; i++) { /* one row of x1 */
    const char *a = j->a + i * j->length * size, *b = j->b + i / j->rows * j->others * j->length * size;
    for (int64_t k = 0; k < j->others; k++, b += j->length * size) {
      int64_t at = i * j->others + k;
      double d = distance(j->wide, a, b, j->length, j->p);
      if (j->wide)
        ((double *)(void *)j->out)[at] = d;
      else
        ((float *)(void *)j->out)[at] = (float)d;
    }
  }
}

bool cpu_distances(Tensor *x1, Tensor *x2, double p, Tensor *out) {
  if (out->numel == 0) return true;
  DType d = (DType)out->dtype;
  Tensor *a = tensor_packed(x1, d), *b = a ? tensor_packed(x2, d) : NULL;
  if (b) {
    int n = x1->ndim;
    Job job = {tensor_data(a),    tensor_data(b),    tensor_data(out), d == MT_F64,
               out->shape[n - 2], out->shape[n - 1], x1->shape[n - 1], p};
    int64_t each = job.others * (job.length + 1);
    parallel_for(out->numel / job.others, each < UNIT ? UNIT / each : 1, body, &job);
  }
  tensor_release(b);
  tensor_release(a);
  return b != NULL;
}
