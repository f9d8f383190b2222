/* Iterator: merging of dims and the walk over rows. */
#include "tensor/iter.h"
#include "base/pool.h"
#include "tensor/shape.h"

void iter_begin(Iter *it, int ndim, const int64_t *shape) {
  it->operands = 0;
  it->ndim = ndim;
  it->numel = 1;
  for (int d = 0; d < ndim; d++) { /* kept innermost first */
    it->shape[d] = shape[ndim - 1 - d];
    it->numel *= it->shape[d];
  }
}

void iter_add(Iter *it, char *ptr, const int64_t *stride, int elem_size) {
  int k = it->operands++;
  it->ptr[k] = ptr;
  /* strides of an empty tensor may be anything: no element is reached through them */
  for (int d = 0; d < it->ndim; d++) it->stride[k][d] = it->numel ? stride[it->ndim - 1 - d] * elem_size : 0;
}

/* True when dim a should be inside dim b: by the first operand whose strides tell them apart. */
static bool belongs_inside(const Iter *it, int a, int b) {
  for (int k = 0; k < it->operands; k++) {
    int64_t sa = it->stride[k][a], sb = it->stride[k][b];
    if (sa != sb && sa != 0 && sb != 0) return sa < sb;
  }
  return false;
}

static void swap_dims(Iter *it, int a, int b) {
  int64_t size = it->shape[a];
  it->shape[a] = it->shape[b];
  it->shape[b] = size;
  for (int k = 0; k < it->operands; k++) {
    int64_t s = it->stride[k][a];
    it->stride[k][a] = it->stride[k][b];
    it->stride[k][b] = s;
  }
}

void iter_finish(Iter *it) {
  int kept = 0;
  for (int d = 0; d < it->ndim; d++) {
    if (it->shape[d] == 1) continue;
    if (kept != d) {
      it->shape[kept] = it->shape[d];
      for (int k = 0; k < it->operands; k++) it->stride[k][kept] = it->stride[k][d];
    }
    kept++;
  }
  it->ndim = kept;
  for (int d = 1; d < it->ndim; d++) /* insertion sort: few dims, usually in order */
    for (int e = d; e > 0 && belongs_inside(it, e, e - 1); e--) swap_dims(it, e, e - 1);
  int merged = it->ndim > 0 ? 1 : 0;
  for (int d = 1; d < it->ndim; d++) {
    bool even = true;
    for (int k = 0; even && k < it->operands; k++)
      even = it->stride[k][d] == it->stride[k][merged - 1] * it->shape[merged - 1];
    if (even) {
      it->shape[merged - 1] *= it->shape[d];
    } else {
      if (merged != d) {
        it->shape[merged] = it->shape[d];
        for (int k = 0; k < it->operands; k++) it->stride[k][merged] = it->stride[k][d];
      }
      merged++;
    }
  }
  it->ndim = merged;
  if (merged == 0) { /* one element */
    it->ndim = 1;
    it->shape[0] = it->numel > 0 ? 1 : 0;
    for (int k = 0; k < it->operands; k++) it->stride[k][0] = 0;
  }
}

void iter_init(Iter *it, int ndim, const int64_t *shape, int operands, Tensor *const *operand) {
  iter_begin(it, ndim, shape);
  for (int k = 0; k < operands; k++) {
    int64_t stride[MT_MAX_DIMS] = {0};
    const Tensor *t = operand[k];
    shape_expand(t, ndim, shape, stride);
    iter_add(it, tensor_data(t), stride, dtype_size((DType)t->dtype));
  }
  iter_finish(it);
}

/* Runs elements [begin, end) of the flattened merged index space. */
static void run_range(const Iter *it, IterRow row, const void *context, int64_t begin, int64_t end) {
  char *ptr[ITER_OPERANDS];
  int64_t index[MT_MAX_DIMS], inner = it->shape[0], stride[ITER_OPERANDS];
  int64_t rest = begin;
  for (int d = 0; d < it->ndim; d++) {
    index[d] = rest % it->shape[d];
    rest /= it->shape[d];
  }
  for (int k = 0; k < it->operands; k++) {
    ptr[k] = it->ptr[k];
    stride[k] = it->stride[k][0];
    for (int d = 0; d < it->ndim; d++) ptr[k] += index[d] * it->stride[k][d];
  }
  for (int64_t at = begin; at < end;) {
    int64_t n = inner - index[0], rows = 1;
    char *start[ITER_OPERANDS];
    if (n > end - at) n = end - at;
    if (n == inner && it->ndim > 1) { /* whole rows, up to the end of dim 1 */
      rows = (end - at) / inner;
      if (rows > it->shape[1] - index[1]) rows = it->shape[1] - index[1];
    }
    for (int64_t r = 0;;) {
      for (int k = 0; k < it->operands; k++) start[k] = ptr[k];
      row(start, stride, n, context);
      if (++r == rows) break;
      for (int k = 0; k < it->operands; k++) ptr[k] += it->stride[k][1];
    }
    at += rows * n;
    if (at >= end) break;
    for (int k = 0; k < it->operands; k++) ptr[k] -= index[0] * it->stride[k][0];
    index[0] = 0;
    index[1] += rows - 1;
    for (int d = 1; d < it->ndim; d++) {
      index[d]++;
      for (int k = 0; k < it->operands; k++) ptr[k] += it->stride[k][d];
      if (index[d] < it->shape[d]) break;
      for (int k = 0; k < it->operands; k++) ptr[k] -= it->shape[d] * it->stride[k][d];
      index[d] = 0;
    }
  }
}

typedef struct {
  const Iter *it;
  IterRow row;
  const void *context;
} Job;

static void run_job(void *context, int64_t begin, int64_t end) {
  const Job *job = context;
  run_range(job->it, job->row, job->context, begin, end);
}

/* 20 and 40 microseconds; a loop of fewer than SHARES grains is cut finer, so that threads end together. */
enum { SERIAL_COST = 2000000, GRAIN_COST = 4000000, SHARES = 16 };

void iter_run(const Iter *it, IterRow row, const void *context, int cost) {
  if (it->numel == 0) return;
  if (it->numel < SERIAL_COST / cost) {
    iter_run_serial(it, row, context);
    return;
  }
  Job job = {it, row, context};
  int64_t grain = GRAIN_COST / cost, share = it->numel / SHARES;
  if (share < grain) grain = share > grain / 4 ? share : grain / 4;
  parallel_for(it->numel, (grain + 63) / 64 * 64, run_job, &job);
}

void iter_run_serial(const Iter *it, IterRow row, const void *context) {
  if (it->numel == 0) return;
  if (it->ndim == 1) { /* the usual case: everything merged */
    char *ptr[ITER_OPERANDS];
    int64_t stride[ITER_OPERANDS];
    for (int k = 0; k < it->operands; k++) {
      ptr[k] = it->ptr[k];
      stride[k] = it->stride[k][0];
    }
    row(ptr, stride, it->shape[0], context);
    return;
  }
  run_range(it, row, context, 0, it->numel);
}
