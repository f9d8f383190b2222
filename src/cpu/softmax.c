/* Softmax on tensors: packed lines along the last dim, tiles of columns along any other. 16-bit floats go through float, a
 * few lines at a time where those are packed. */
#include "cpu/softmax.h"
#include "base/pool.h"
#include "cpu/copy.h"
#include "cpu/copy_tensor.h"
#include "cpu/kernels.h"
#include "cpu/reduce.h"
#include "cpu/stream.h"

/* LEAST_PAST: bytes of a line, PAST: of a result, that are written past the caches: input and result fill one together */
enum { UNIT = 16384, BLOCK = 4096, LEAST_PAST = 1024, PAST = 16 << 20 };

typedef struct {
  SoftmaxFn run;
  SoftmaxBackFn back;
  const char *a, *b;
  char *out;
  int size;
  bool logarithm;
  Lines lines;
  int64_t tiles;
  RowFn widen, narrow;                                     /* for lines of 16-bit floats, else NULL */
  void (*past)(char *to, const char *from, int64_t bytes); /* writes a line past the caches, or NULL */
} Job;

static void piece(const Job *job, int64_t first, int64_t width) {
  int64_t offset = first * job->size;
  if (job->run)
    job->run(job->a + offset, job->out + offset, job->lines.length, job->lines.inner, width, job->logarithm);
  else
    job->back(job->a + offset, job->b + offset, job->out + offset, job->lines.length, job->lines.inner, width,
              job->logarithm);
}

/* Lines of 16-bit floats, as many together as fit. */
static void narrow_lines(const Job *job, int64_t begin, int64_t end) {
  float a[BLOCK], b[BLOCK], out[BLOCK];
  int64_t length = job->lines.length, most = BLOCK / length;
  for (int64_t i = begin; i < end; i += most) {
    int64_t lines = end - i < most ? end - i : most, n = lines * length, at = i * length * 2;
    job->widen((char *[]){(char *)a, (char *)(uintptr_t)(job->a + at)}, (int64_t[]){4, 2}, n, NULL);
    if (job->run) {
      job->run(a, out, length, 1, lines, job->logarithm);
    } else {
      job->widen((char *[]){(char *)b, (char *)(uintptr_t)(job->b + at)}, (int64_t[]){4, 2}, n, NULL);
      job->back(a, b, out, length, 1, lines, job->logarithm);
    }
    job->narrow((char *[]){job->out + at, (char *)out}, (int64_t[]){2, 4}, n, NULL);
  }
}

/* Each line by way of a buffer, which spares reading the result's memory before it is written. */
static void lines_past(const Job *job, int64_t begin, int64_t end) {
  double line[BLOCK / 2];
  int64_t length = job->lines.length, bytes = length * job->size;
  for (int64_t i = begin; i < end; i++) {
    job->run(job->a + i * bytes, line, length, 1, 1, job->logarithm);
    job->past(job->out + i * bytes, (const char *)line, bytes);
  }
  stream_fence();
}

static void body(void *context, int64_t begin, int64_t end) {
  const Job *job = context;
  int64_t inner = job->lines.inner;
  if (job->widen) {
    narrow_lines(job, begin, end);
    return;
  }
  if (job->past) {
    lines_past(job, begin, end);
    return;
  }
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
  Lines lines = lines_of(out, dim);
  DType lane = out->dtype == MT_F64 ? MT_F64 : MT_F32, own = (DType)out->dtype;
  bool narrow =
      dtype_size(own) == 2 && a->dtype == own && (!b || b->dtype == own) && lines.inner == 1 && lines.length <= BLOCK;
  DType held = narrow ? own : lane;
  Tensor *x = tensor_packed(a, held), *y = x && b ? tensor_packed(b, held) : NULL;
  Tensor *to = own == held ? tensor_retain(out)
               : x         ? tensor_new(lane, out->ndim, out->shape, tensor_device(out))
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
               .lines = lines,
               .widen = narrow ? cast_row(own, lane) : NULL,
               .narrow = narrow ? cast_row(lane, own) : NULL};
    int64_t line = lines.length * job.size;
    if (job.run && lines.inner == 1 && !narrow && line >= LEAST_PAST && line <= 4 * BLOCK && tensor_bytes(out) >= PAST)
      job.past = VEC_PICK(stream_table)->copy;
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
