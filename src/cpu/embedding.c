/* Embedding kernels: rows are copied as bytes, so all dtypes and strides go one way. */
#include "cpu/embedding.h"
#include "base/alloc.h"
#include "base/pool.h"
#include "cpu/blocks.h"
#include "cpu/index.h"
#include "cpu/position.h"
#include "cpu/reduce.h"
#include <math.h>
#include <string.h>

enum { UNIT = 16384 };

bool row_fail(int64_t value, int64_t element, int ndim, const int64_t *shape, int64_t rows) {
  return fail(MT_EINDEX, POSITION_IN_SELF "element %lld of the indices %s is %lld, but the table has %lld rows%s",
              (long long)element, shape_text(ndim, shape), (long long)value, (long long)rows,
              value == 0 ? ". Positions count from 1 in Lua: use indices + 1" : ", and positions count from 1");
}

/* The first element that is no position, for the message. */
static bool refuse(const Tensor *index, int64_t rows) {
  Tensor *packed = tensor_packed((Tensor *)index, MT_I64);
  if (!packed) return false;
  const int64_t *at = (const int64_t *)(const void *)tensor_data(packed);
  int64_t i = 0;
  while (i < packed->numel - 1 && at[i] >= 1 && at[i] <= rows) i++;
  row_fail(at[i], i + 1, index->ndim, index->shape, rows);
  tensor_release(packed);
  return false;
}

bool cpu_embedding_check(const Tensor *index, int64_t rows) {
  if (index->dtype == MT_I64 || index->dtype == MT_I32) {
    if (index->numel == 0) return true;
    if (rows > 0 && position_check(index, rows, false, 0)) return true;
    if (failed() && fail_code() != MT_EINDEX) return false;
    fail_clear();
    return refuse(index, rows);
  }
  return position_check(index, rows, false, 0);
}

typedef struct {
  const Tensor *weight;
  const int64_t *index;
  char *out;
} Take;

/* Rows whose elements lie apart. */
static void take_strided(void *context, int64_t begin, int64_t end) {
  const Take *t = context;
  int size = dtype_size((DType)t->weight->dtype);
  int64_t width = t->weight->shape[1], row = t->weight->stride[0] * size, step = t->weight->stride[1] * size;
  const char *from = tensor_data(t->weight);
  for (int64_t i = begin; i < end; i++)
    copy_strided(t->out + i * width * size, size, from + (t->index[i] - 1) * row, step, width, size);
}

bool cpu_embedding(Tensor *weight, Tensor *index, Tensor *out) {
  if (!cpu_embedding_check(index, weight->shape[0])) return false;
  if (out->numel == 0) return true;
  Tensor *at = tensor_packed(index, MT_I64);
  if (!at) return false;
  Take t = {weight, (const int64_t *)(const void *)tensor_data(at), tensor_data(out)};
  int64_t width = weight->shape[1], size = dtype_size((DType)weight->dtype);
  if (weight->stride[1] == 1 || width == 1)
    cpu_take_rows(t.out, width * size, tensor_data(weight), weight->stride[0] * size, weight->shape[0], t.index,
                  at->numel, width * size);
  else
    parallel_for(at->numel, width < UNIT ? UNIT / width : 1, take_strided, &t);
  tensor_release(at);
  return true;
}

static void store(Tensor *t, int64_t i, double v) {
  scalar_store(scalar_float(v), (DType)t->dtype, tensor_data(t) + i * dtype_size((DType)t->dtype));
}

bool cpu_embedding_share(Tensor *index, int64_t rows, int64_t padding, bool by_count, Tensor *out) {
  if (!cpu_embedding_check(index, rows)) return false;
  size_t bytes = by_count ? (size_t)rows * sizeof(int64_t) : 0;
  Tensor *packed = tensor_packed(index, MT_I64);
  int64_t *count = bytes && packed ? block_alloc(bytes) : NULL;
  bool good = packed && (count || !bytes);
  if (good) {
    const int64_t *at = (const int64_t *)(const void *)tensor_data(packed);
    if (count) memset(count, 0, bytes);
    for (int64_t i = 0; count && i < packed->numel; i++) count[at[i] - 1]++;
    for (int64_t i = 0; i < packed->numel; i++)
      store(out, i, at[i] - 1 == padding ? 0 : count ? 1 / (double)count[at[i] - 1] : 1);
  }
  if (count) block_free(count, bytes);
  tensor_release(packed);
  return good;
}

static double element(const Tensor *t, int64_t row, int64_t d) {
  return scalar_load((DType)t->dtype,
                     tensor_data(t) + (row * t->stride[0] + d * t->stride[1]) * dtype_size((DType)t->dtype))
      .d;
}

/* Norm of a row, summed in double. */
static double row_norm(const Tensor *t, int64_t row, double p) {
  double sum = 0;
  for (int64_t d = 0; d < t->shape[1]; d++) {
    double v = fabs(element(t, row, d));
    if (p == INFINITY)
      sum = v > sum || v != v ? v : sum;
    else
      sum += p == 2 ? v * v : p == 1 ? v : p == 0 ? v != 0 : pow(v, p);
  }
  return p == INFINITY || p == 1 || p == 0 ? sum : p == 2 ? sqrt(sum) : pow(sum, 1 / p);
}

bool cpu_embedding_renorm(Tensor *weight, Tensor *index, double most, double p) {
  int64_t rows = weight->shape[0], width = weight->shape[1];
  if (!cpu_embedding_check(index, rows)) return false;
  if (index->numel == 0) return true;
  Tensor *packed = tensor_packed(index, MT_I64);
  char *seen = packed ? block_alloc((size_t)rows) : NULL;
  if (seen) {
    const int64_t *at = (const int64_t *)(const void *)tensor_data(packed);
    memset(seen, 0, (size_t)rows);
    for (int64_t i = 0; i < packed->numel; i++) {
      int64_t row = at[i] - 1;
      if (seen[row]) continue;
      seen[row] = 1;
      double norm = row_norm(weight, row, p);
      if (!(norm > most)) continue;
      double factor = most / (norm + 1e-7);
      int size = dtype_size((DType)weight->dtype);
      for (int64_t d = 0; d < width; d++)
        scalar_store(scalar_float(element(weight, row, d) * factor), (DType)weight->dtype,
                     tensor_data(weight) + (row * weight->stride[0] + d * weight->stride[1]) * size);
    }
    block_free(seen, (size_t)rows);
  }
  tensor_release(packed);
  return seen != NULL;
}

bool cpu_bag_max(Tensor *weight, Tensor *index, Tensor *bag, Tensor *out) {
  if (!cpu_embedding_check(index, weight->shape[0]) || !cpu_embedding_check(bag, out->shape[0])) return false;
  Tensor *packed = tensor_packed(index, MT_I64), *bags = packed ? tensor_packed(bag, MT_I64) : NULL;
  if (bags) {
    const int64_t *at = (const int64_t *)(const void *)tensor_data(packed);
    const int64_t *of = (const int64_t *)(const void *)tensor_data(bags);
    int64_t width = weight->shape[1], *best = (int64_t *)(void *)tensor_data(out);
    for (int64_t i = 0; i < out->numel; i++) best[i] = 0;
    for (int64_t i = 0; i < packed->numel; i++)
      for (int64_t d = 0; d < width; d++) {
        int64_t *b = &best[(of[i] - 1) * width + d];
        if (*b == 0 || element(weight, at[i] - 1, d) > element(weight, *b - 1, d)) *b = at[i];
      }
    for (int64_t i = 0; i < out->numel; i++) best[i] = best[i] > 0 ? best[i] : 1;
  }
  tensor_release(bags);
  tensor_release(packed);
  return bags != NULL;
}
