/* Searching: where values stand in sorted lines, and the lexicographic order of rows.
 *
 * A NaN is greater than every number, so that what sort made can be searched. */
#include "base/alloc.h"
#include "base/pool.h"
#include "cpu/kernels.h"
#include "cpu/reduce.h"
#include <string.h>

enum { UNIT = 1024, RUN = 16 };

typedef struct {
  const char *line, *value;
  const int64_t *sorter; /* NULL: the lines are sorted */
  char *out;
  LaneType type;
  int size;
  bool right, many, narrow; /* many: a line for each row of values; narrow: int32 results */
  int64_t length, width;    /* elements of a line; values in a row */
} Search;

/* How many of a line's n elements stand before v. All comparisons with NaN are false, as in PyTorch. */
#define COUNT_BEFORE(S, T)                                                                                       \
  static int64_t before_##S(const void *line, const int64_t *sorter, int64_t n, const void *value, bool right) { \
    const T *x = line, v = *(const T *)value;                                                                    \
    int64_t from = 0, to = n;                                                                                    \
    while (from < to) {                                                                                          \
      int64_t middle = from + (to - from) / 2;                                                                   \
      T m = x[sorter ? sorter[middle] - 1 : middle];                                                             \
      if (right ? !(m > v) : !(m >= v))                                                                          \
        from = middle + 1;                                                                                       \
      else                                                                                                       \
        to = middle;                                                                                             \
    }                                                                                                            \
    return from;                                                                                                 \
  }
COUNT_BEFORE(f32, float)
COUNT_BEFORE(f64, double)
COUNT_BEFORE(i64, int64_t)

static void search_body(void *context, int64_t begin, int64_t end) {
  const Search *s = context;
  for (int64_t i = begin; i < end; i++) {
    int64_t first = s->many ? i / s->width * s->length : 0;
    const char *line = s->line + first * s->size, *value = s->value + i * s->size;
    const int64_t *sorter = s->sorter ? s->sorter + first : NULL;
    int64_t at = 1 + (s->type == LANE_F32   ? before_f32(line, sorter, s->length, value, s->right)
                      : s->type == LANE_F64 ? before_f64(line, sorter, s->length, value, s->right)
                                            : before_i64(line, sorter, s->length, value, s->right));
    if (s->narrow)
      ((int32_t *)(void *)s->out)[i] = (int32_t)at;
    else
      ((int64_t *)(void *)s->out)[i] = at;
  }
}

/* t's elements as those of dtype `as`, then of the lane type; owned. */
static Tensor *packed_as(Tensor *t, DType as) {
  Tensor *cast = tensor_packed(t, as), *lane = cast ? tensor_packed(cast, lane_dtype(lane_type(as))) : NULL;
  tensor_release(cast);
  return lane;
}

bool cpu_search(Tensor *sorted, Tensor *values, Tensor *sorter, DType as, bool right, Tensor *out) {
  if (out->numel == 0) return true;
  Tensor *line = packed_as(sorted, as), *value = line ? packed_as(values, as) : NULL;
  Tensor *order = value && sorter ? tensor_packed(sorter, MT_I64) : NULL;
  bool good = value && (order || !sorter);
  if (good) {
    LaneType type = lane_type(as);
    Search s = {.line = tensor_data(line),
                .value = tensor_data(value),
                .sorter = order ? (const int64_t *)(void *)tensor_data(order) : NULL,
                .out = tensor_data(out),
                .type = type,
                .size = dtype_size(lane_dtype(type)),
                .right = right,
                .many = sorted->ndim > 1,
                .narrow = out->dtype == MT_I32,
                .length = sorted->shape[sorted->ndim - 1],
                .width = values->ndim > 0 ? values->shape[values->ndim - 1] : 1};
    parallel_for(out->numel, UNIT, search_body, &s);
  }
  tensor_release(order);
  tensor_release(value);
  tensor_release(line);
  return good;
}

/* --- the order of rows --- */

typedef struct {
  const char *x;
  LaneType type;
  int64_t width; /* elements of a row */
} Rows;

#define ROW_AFTER(S, T)                                                   \
  static bool after_##S(const T *a, const T *b, int64_t n) {              \
    for (int64_t k = 0; k < n; k++) {                                     \
      if (a[k] == b[k] || (a[k] != a[k] && b[k] != b[k])) continue;       \
      return a[k] > b[k] || a[k] != a[k]; /* NaN is after every number */ \
    }                                                                     \
    return false;                                                         \
  }
ROW_AFTER(f32, float)
ROW_AFTER(f64, double)
ROW_AFTER(i64, int64_t)

/* Row a must stand after row b. */
static bool row_after(const Rows *r, int64_t a, int64_t b) {
  const void *x = r->x;
  int64_t i = a * r->width, j = b * r->width;
  if (r->type == LANE_F32) return after_f32((const float *)x + i, (const float *)x + j, r->width);
  if (r->type == LANE_F64) return after_f64((const double *)x + i, (const double *)x + j, r->width);
  return after_i64((const int64_t *)x + i, (const int64_t *)x + j, r->width);
}

/* Sorts the n row numbers in a, with the help of spare. */
static void merge_rows(const Rows *rows, int64_t *a, int64_t *spare, int64_t n) {
  for (int64_t first = 0; first < n; first += RUN)
    for (int64_t i = first + 1; i < n && i < first + RUN; i++) {
      int64_t it = a[i], j = i;
      for (; j > first && row_after(rows, a[j - 1], it); j--) a[j] = a[j - 1];
      a[j] = it;
    }
  for (int64_t run = RUN; run < n; run *= 2) {
    for (int64_t i = 0; i < n; i += 2 * run) {
      int64_t l = i, middle = i + run < n ? i + run : n, r = middle, end = i + 2 * run < n ? i + 2 * run : n;
      for (int64_t k = i; k < end; k++)
        spare[k] = l < middle && (r >= end || !row_after(rows, a[l], a[r])) ? a[l++] : a[r++];
    }
    memcpy(a, spare, sizeof *a * (size_t)n);
  }
}

bool cpu_row_order(Tensor *t, Tensor *index) {
  int64_t n = index->numel;
  if (n == 0) return true;
  LaneType type = lane_type((DType)t->dtype);
  Tensor *x = tensor_packed(t, lane_dtype(type));
  int64_t *at = (int64_t *)(void *)tensor_data(index), *spare = x ? mem_alloc(sizeof *at * (size_t)n) : NULL;
  if (spare) {
    Rows rows = {tensor_data(x), type, t->shape[1]};
    for (int64_t i = 0; i < n; i++) at[i] = i;
    merge_rows(&rows, at, spare, n);
    for (int64_t i = 0; i < n; i++) at[i]++;
  }
  mem_free(spare);
  tensor_release(x);
  return spare != NULL;
}

/* Counts. Few bins are counted in four tables by turns: one count would wait for the last of the same. */
enum { FEW_BINS = 256 };
#define COUNT(T)                                                                                           \
  static void count_##T(const void *values, int64_t n, int64_t size, int64_t *count) {                     \
    const T *v = values;                                                                                   \
    int64_t table[4][FEW_BINS] = {{0}}, i = 0;                                                             \
    if (size <= FEW_BINS) {                                                                                \
      for (; i + 4 <= n; i += 4)                                                                           \
        for (int k = 0; k < 4; k++)                                                                        \
          if ((uint64_t)(int64_t)v[i + k] < (uint64_t)size) table[k][v[i + k]]++;                          \
      for (int64_t b = 0; b < size; b++) count[b] = table[0][b] + table[1][b] + table[2][b] + table[3][b]; \
    }                                                                                                      \
    for (; i < n; i++)                                                                                     \
      if ((uint64_t)(int64_t)v[i] < (uint64_t)size) count[v[i]]++;                                         \
  }
COUNT(uint8_t)
COUNT(int8_t)
COUNT(int16_t)
COUNT(int32_t)
COUNT(int64_t)

bool cpu_counts(OpCall *c) {
  Tensor *out = c->out[0], *t = packed_as(in(c, 0), (DType)in(c, 0)->dtype);
  if (!t) return false;
  int64_t *count = (int64_t *)(void *)tensor_data(out), size = out->numel;
  memset(count, 0, sizeof *count * (size_t)size);
  const void *values = tensor_data(t);
  switch (t->dtype) {
  case MT_U8: count_uint8_t(values, t->numel, size, count); break;
  case MT_I8: count_int8_t(values, t->numel, size, count); break;
  case MT_I16: count_int16_t(values, t->numel, size, count); break;
  case MT_I32: count_int32_t(values, t->numel, size, count); break;
  default: count_int64_t(values, t->numel, size, count);
  }
  tensor_release(t);
  return true;
}
