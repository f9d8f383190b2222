/* Softmax on tensors: packed lines along the last dim, tiles of columns along any other. 16-bit floats go through float. */
#include "cpu/softmax.h"
#include "base/pool.h"
#include "cpu/copy_tensor.h"
#include "cpu/kernels.h"
#include "cpu/reduce.h"

enum { UNIT = 16384 };

typedef struct {
  SoftmaxFn run;
  SoftmaxBackFn back;
  const char *a, *b;
  char *out;
  int size;
  bool logarithm;
  Lines lines;
  int64_t tiles;
} Job;

static void piece(const Job *job, int64_t first, int64_t width) {
  int64_t offset = first * job->size;
  if (job->run)
    job->run(job->a + offset, job->out + offset, job->lines.length, job->lines.inner, width, job->logarithm);
  else
    job->back(job->a + offset, job->b + offset, job->out + offset, job->lines.length, job->lines.inner, width,
              job->logarithm);
}

static void body(void *context, int64_t begin, int64_t end) {
  const Job *job = context;
  int64_t inner = job->lines.inner;
  if (inner == 1) {
    piece(job, begin * job->lines.length, end - begin);
    return;
  }
  for (int64_t i = begin; i < end; i++) {
    int64_t first = i % job->tiles * SOFTMAX_TILE, width = inner - first < SOFTMAX_TILE ? inner - first : SOFTMAX_TILE;
    piece(job, i / job->tiles * job->lines.length * inner + first, width);
  }
}

static bool run(Tensor *a, Tensor *b, int dim, bool logarithm, Tensor *out) {
  if (out->numel == 0) return true;
  DType lane = out->dtype == MT_F64 ? MT_F64 : MT_F32;
  Tensor *x = tensor_packed(a, lane), *y = x && b ? tensor_packed(b, lane) : NULL;
  Tensor *to = out->dtype == lane ? tensor_retain(out)
               : x                ? tensor_new(lane, out->ndim, out->shape, tensor_device(out))
                                  : NULL;
  bool good = x && to && (y || !b);
  if (good) {
    const SoftmaxTable *table = VEC_PICK(softmax_table);
    bool wide = lane == MT_F64;
    Job job = {.run = b ? NULL : table->run[wide],
               .back = table->back[wide],
               .a = tensor_data(x),
               .b = y ? tensor_data(y) : NULL,
               .out = tensor_data(to),
               .size = dtype_size(lane),
               .logarithm = logarithm,
               .lines = lines_of(out, dim)};
    job.tiles = (job.lines.inner + SOFTMAX_TILE - 1) / SOFTMAX_TILE;
    int64_t each = job.lines.length * (job.lines.inner < SOFTMAX_TILE ? job.lines.inner : SOFTMAX_TILE);
    int64_t tasks = job.lines.outer * job.tiles, grain = each < UNIT ? UNIT / each : 1;
    if (tasks <= grain)
      body(&job, 0, tasks);
    else
      parallel_for(tasks, grain, body, &job);
  }
  if (good && to != out) good = tensor_copy_into(out, to);
  tensor_release(to);
  tensor_release(y);
  tensor_release(x);
  return good;
}

bool cpu_softmax(Tensor *t, int dim, bool logarithm, Tensor *out) { return run(t, NULL, dim, logarithm, out); }
bool cpu_softmax_back(Tensor *grad, Tensor *result, int dim, bool logarithm, Tensor *out) {
  return run(grad, result, dim, logarithm, out);
}
