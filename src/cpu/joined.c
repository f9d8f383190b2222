/* Short rows joined into blocks: buffers hold what is broadcast, as often as the block repeats it. */
#include "cpu/joined.h"
#include "base/pool.h"
#include "cpu/copy.h"

enum { BUFFER = 8192, INPUTS = 3, WORK = 4000000 };

typedef struct {
  const Iter *it;
  IterRow row;
  const void *context;
  int64_t size[INPUTS + 1];
  int64_t block; /* rows of a block at most */
} Joined;

/* `rows` rows of n elements of one input, from `from` on, one after another in `to`. */
static void lay_out(char *to, const char *from, int64_t step, int64_t row_step, int64_t n, int64_t rows, int64_t size) {
  const RowFn fill = fill_row((int)size);
  for (int64_t r = 0; r < rows; r++, to += n * size, from += row_step) {
    if (step == 0)
      fill(&to, &size, n, from);
    else if (n * size <= FEW_BYTES)
      copy_few(to, from, n * size);
    else
      memcpy(to, from, (size_t)(n * size));
  }
}

static void run_rows_joined(void *context, int64_t begin, int64_t end) {
  const Joined *j = context;
  const Iter *it = j->it;
  const int64_t n = it->shape[0];
  _Alignas(64) char buffer[INPUTS][BUFFER];
  const char *held[INPUTS] = {NULL}; /* what the buffer holds, where rows are all the same */
  int64_t held_rows[INPUTS] = {0}, stride[INPUTS + 1];
  for (int k = 0; k < it->operands; k++) stride[k] = j->size[k];
  for (int64_t at = begin; at < end;) {
    int64_t first = at % it->shape[1], rows = it->shape[1] - first;
    if (rows > end - at) rows = end - at;
    if (rows > j->block) rows = j->block;
    char *ptr[INPUTS + 1];
    for (int k = 0; k < it->operands; k++) {
      int64_t rest = at / it->shape[1], step = it->stride[k][0], row_step = it->stride[k][1];
      char *from = it->ptr[k] + first * row_step;
      for (int d = 2; d < it->ndim; d++) {
        from += rest % it->shape[d] * it->stride[k][d];
        rest /= it->shape[d];
      }
      ptr[k] = from;
      if (step == j->size[k] && (row_step == n * step || rows == 1)) continue;
      ptr[k] = buffer[k - 1];
      if (row_step == 0 && held[k - 1] == from && held_rows[k - 1] >= rows) continue;
      lay_out(ptr[k], from, step, row_step, n, rows, j->size[k]);
      held[k - 1] = from;
      held_rows[k - 1] = row_step == 0 ? rows : 0;
    }
    j->row(ptr, stride, rows * n, j->context);
    at += rows;
  }
}

bool joined_run(const Iter *it, IterRow row, const void *context, const int *size, int cost) {
  Joined j = {.it = it, .row = row, .context = context};
  int64_t n = it->shape[0], widest = 0, packed = size[0];
  if (it->ndim < 2 || it->operands > INPUTS + 1 || it->numel == 0) return false;
  for (int d = 0; d < it->ndim; packed *= it->shape[d++])
    if (it->stride[0][d] != packed) return false;
  for (int k = 0; k < it->operands; k++) {
    if (it->stride[k][0] != 0 && it->stride[k][0] != size[k]) return false;
    j.size[k] = size[k];
    if (size[k] > widest) widest = size[k];
  }
  j.block = BUFFER / (n * widest);
  if (j.block < 2) return false;
  if (j.block > it->shape[1]) j.block = it->shape[1];
  int64_t grain = WORK / cost / n;
  parallel_for(it->numel / n, grain > j.block ? grain / j.block * j.block : j.block, run_rows_joined, &j);
  return true;
}
