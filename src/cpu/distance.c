/* Distances: p-norms of the differences between the rows of two matrices. Sums run in double, in four parts. */
#include "base/pool.h"
#include "cpu/copy_tensor.h"
#include "cpu/kernels.h"
#include "cpu/reduce.h"
#include <math.h>

enum { UNIT = 16384, PARTS = 4 };

/* What one element of the difference adds. */
static double term(double d, double p) {
  d = fabs(d);
  return p == 0 ? d != 0 : p == 1 ? d : p == 2 ? d * d : pow(d, p);
}

#define DISTANCE(S, T)                                                              \
  static double distance_##S(const void *pa, const void *pb, int64_t n, double p) { \
    const T *a = pa, *b = pb;                                                       \
    double sum[PARTS] = {0};                                                        \
    int64_t k = 0;                                                                  \
    if (isinf(p)) {                                                                 \
      for (; k < n; k++) {                                                          \
        double d = fabs((double)(T)(a[k] - b[k]));                                  \
        if (d > sum[0] || d != d) sum[0] = d;                                       \
        if (d != d) break;                                                          \
      }                                                                             \
      return sum[0];                                                                \
    }                                                                               \
    for (; (p == 1 || p == 2) && k + PARTS <= n; k += PARTS)                        \
      for (int j = 0; j < PARTS; j++) {                                             \
        double d = (double)(T)(a[k + j] - b[k + j]);                                \
        sum[j] += p == 2 ? d * d : fabs(d);                                         \
      }                                                                             \
    for (; k < n; k++) sum[0] += term((double)(T)(a[k] - b[k]), p);                 \
    double all = sum[0] + sum[1] + (sum[2] + sum[3]);                               \
    return p == 2 ? sqrt(all) : p == 0 || p == 1 ? all : pow(all, 1 / p);           \
  }
DISTANCE(f32, float)
DISTANCE(f64, double)

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
      if (j->wide)
        ((double *)(void *)j->out)[at] = distance_f64(a, b, j->length, j->p);
      else
        ((float *)(void *)j->out)[at] = (float)distance_f32(a, b, j->length, j->p);
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
