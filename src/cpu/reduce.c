/* Reductions on tensors: what is folded with what, the cuts among threads, and the results.
 *
 * The dim with the smallest stride is the inner one. When it is reduced, runs of it are folded into one accumulator
 * (rows); when it is kept, rows of it are folded into as many accumulators (columns). A reduction of many elements into
 * few results is cut into units whose accumulators are joined in order. */
#include "cpu/reduce.h"
#include "base/alloc.h"
#include "base/pool.h"
#include "base/size.h"
#include "cpu/copy.h"
#include "cpu/copy_tensor.h"
#include <math.h>
#include <string.h>

enum { UNIT = 65536, BATCH = 128, WIDE = 256, FEW = 16, BUFFER_ROWS = 4, SHORT = 32, NARROW = 64, SHARES = 16 };

Tensor *tensor_packed(Tensor *t, DType d) {
  bool ready = t->dtype == d && tensor_is_contiguous(t) && tensor_device(t).kind == MT_CPU;
  return ready ? tensor_retain(t) : tensor_copy(t, d, (Device){MT_CPU, 0});
}

FoldColumns fold_columns(Fold f, LaneType t) {
  FoldColumns best = VEC_PICK(reduce_table)->columns[f][t];
  return best ? best : reduce_table_base.columns[f][t];
}

BestColumns best_columns(bool least, LaneType t) {
  BestColumns best = VEC_PICK(reduce_table)->best[least][t];
  return best ? best : reduce_table_base.best[least][t];
}

int64_t find_first(LaneType t, const void *x, int64_t n, Acc value) {
  FindFirst find = VEC_PICK(reduce_table)->find[t];
  if (!find) find = reduce_table_base.find[t];
  return find(x, n, value);
}

void fold_start(Fold f, LaneType t, Acc *acc, int64_t n) {
  bool ints = t == LANE_I64;
  Acc first = {.i = 0};
  switch (f) {
  case FOLD_PROD: first = ints ? (Acc){.i = 1} : (Acc){.d = 1}; break;
  case FOLD_MAX: first = ints ? (Acc){.i = INT64_MIN} : (Acc){.d = -(double)INFINITY}; break;
  case FOLD_MIN: first = ints ? (Acc){.i = INT64_MAX} : (Acc){.d = (double)INFINITY}; break;
  case FOLD_ABS_MIN: first.d = (double)INFINITY; break;
  default: break;
  }
  n *= fold_width(f);
  for (int64_t k = 0; k < n; k++) acc[k] = first;
}

/* By what accumulators of a fold are joined. */
static Fold join_of(Fold f) {
  switch (f) {
  case FOLD_PROD:
  case FOLD_MAX:
  case FOLD_MIN: return f;
  case FOLD_ABS_MAX: return FOLD_MAX;
  case FOLD_ABS_MIN: return FOLD_MIN;
  default: return FOLD_SUM;
  }
}

static void merge_moments(Acc *to, const Acc *from) {
  if (from[0].d == 0) return;
  double all = to[0].d + from[0].d, gap = from[1].d - to[1].d;
  to[2].d += from[2].d + gap * gap * (to[0].d * from[0].d / all);
  to[1].d += gap * (from[0].d / all);
  to[0].d = all;
}

void fold_merge(Fold f, LaneType t, Acc *acc, const Acc *with, int64_t rows, int64_t n) {
  if (f == FOLD_MOMENTS) {
    for (int64_t r = 0; r < rows; r++)
      for (int64_t k = 0; k < n; k++) merge_moments(acc + k * MOMENTS, with + (r * n + k) * MOMENTS);
  } else {
    LaneType words = t == LANE_I64 || f == FOLD_NONZERO ? LANE_I64 : LANE_F64;
    fold_columns(join_of(f), words)(acc, with, n, rows, n, 0);
  }
}

static FoldRow row_function(Fold f, LaneType t) {
  FoldRow row = VEC_PICK(reduce_table)->row[f][t];
  return row ? row : reduce_table_base.row[f][t];
}

void fold_row(Fold f, LaneType t, Acc *acc, const void *x, int64_t n, double p) {
  FoldRow row = row_function(f, t);
  if (row) {
    row(acc, x, n, p);
    return;
  }
  FoldColumns columns = fold_columns(f, t);
  if (n >= 4 * FEW) { /* the columns of a matrix that the row is cut into */
    Acc wide[WIDE * MOMENTS];
    int64_t across = n >= 16 * WIDE ? WIDE : FEW, rows = n / across;
    fold_start(f, t, wide, across);
    columns(wide, x, across, rows, across, p);
    fold_merge(f, t, acc, wide, across, 1);
    x = (const char *)x + rows * across * dtype_size(lane_dtype(t));
    n -= rows * across;
  }
  if (n > 0) columns(acc, x, 1, n, 1, p);
}

#define TURN(T)                          \
  for (int64_t i = 0; i < n; i++)        \
    for (int64_t k = 0; k < length; k++) \
      ((T *)turned)[k * TURN_ROWS + i] = *(const T *)(const void *)(x + i * step + k * (int64_t)sizeof(T));
void turn_rows(void *turned, const char *x, int64_t step, int64_t n, int64_t length, int size) {
  if (size == 4) {
    TURN(uint32_t)
  } else {
    TURN(uint64_t)
  }
}

/* Dims walked together, innermost first; strides in bytes. */
typedef struct {
  int n;
  int64_t count, shape[MT_MAX_DIMS], stride[MT_MAX_DIMS], out[MT_MAX_DIMS];
} Walk;

typedef struct {
  Reduction how;
  LaneType type;
  int width; /* accumulators a result */
  FoldColumns columns;
  RowFn cast;     /* NULL: elements are of the lane type already */
  int elem, size; /* bytes of an element as it lies and as it is folded */
  const char *data;
  bool inner_kept;
  int64_t inner, inner_stride; /* elements of the inner dim; bytes */
  int64_t inner_out;           /* elements of out from one column to the next */
  Walk kept, lines;            /* the other kept and reduced dims */
  int64_t per_result;          /* elements folded into one result */
  int64_t tiles, units, unit;  /* tiles of columns; units a result is cut into, of `unit` lines (or elements) each */
  Acc *partial;                /* [unit][result] when there are several units */
  Tensor *out, *second;
} Plan;

static void walk_add(Walk *w, int64_t size, int64_t stride, int64_t out) {
  int k = w->n - 1;
  if (k >= 0 && w->stride[k] * w->shape[k] == stride && w->out[k] * w->shape[k] == out) {
    w->shape[k] *= size;
  } else {
    w->shape[w->n] = size;
    w->stride[w->n] = stride;
    w->out[w->n++] = out;
  }
  w->count *= size;
}

static int64_t walk_to(const Walk *w, int64_t index, int from, int64_t *out) {
  int64_t offset = 0;
  for (int d = from; d < w->n; d++) {
    int64_t at = d == w->n - 1 ? index : index % w->shape[d];
    index /= w->shape[d];
    offset += at * w->stride[d];
    if (out) *out += at * w->out[d];
  }
  return offset;
}

/* Sorts dims into the inner one, kept and reduced ones. */
static void plan_dims(Plan *p, const Tensor *t, const bool *reduced) {
  int order[MT_MAX_DIMS], reduces = 0, inner = -1;
  int64_t out = 1, out_stride[MT_MAX_DIMS];
  for (int d = t->ndim - 1; d >= 0; d--) {
    if (!reduced[d]) {
      out_stride[d] = out;
      out *= t->shape[d];
    }
    if (t->shape[d] == 1) continue;
    bool closer = inner < 0 || (t->stride[d] != 0 && (t->stride[inner] == 0 || t->stride[d] < t->stride[inner]));
    if (closer) inner = d;
    if (!reduced[d]) continue;
    int k = reduces++; /* insertion by stride, broadcast dims last */
    for (; k > 0 && t->stride[d] != 0 && (t->stride[order[k - 1]] > t->stride[d] || t->stride[order[k - 1]] == 0); k--)
      order[k] = order[k - 1];
    order[k] = d;
  }
  p->kept = p->lines = (Walk){.count = 1};
  p->inner = 1;
  p->inner_stride = p->elem;
  p->inner_kept = inner >= 0 && !reduced[inner];
  p->inner_out = 1;
  for (int k = 0; k < reduces; k++) walk_add(&p->lines, t->shape[order[k]], t->stride[order[k]] * p->elem, 0);
  p->per_result = p->lines.count;
  if (p->inner_kept) {
    p->inner = t->shape[inner];
    p->inner_stride = t->stride[inner] * p->elem;
    p->inner_out = out_stride[inner];
  } else if (p->lines.n > 0) { /* the first of the merged lines is the run */
    p->inner = p->lines.shape[0];
    p->inner_stride = p->lines.stride[0];
    p->lines.count /= p->inner > 0 ? p->inner : 1;
    p->lines.n--;
    for (int k = 0; k < p->lines.n; k++) {
      p->lines.shape[k] = p->lines.shape[k + 1];
      p->lines.stride[k] = p->lines.stride[k + 1];
    }
  }
  for (int d = t->ndim - 1; d >= 0; d--)
    if (!reduced[d] && t->shape[d] != 1 && !(p->inner_kept && d == inner))
      walk_add(&p->kept, t->shape[d], t->stride[d] * p->elem, out_stride[d]);
}

/* n elements from ptr, inner_stride apart, into one accumulator. */
static void fold_run(const Plan *p, Acc *acc, const char *ptr, int64_t n) {
  if (!p->cast && p->inner_stride == p->size) {
    fold_row(p->how.fold, p->type, acc, ptr, n, p->how.p);
    return;
  }
  double buffer[FOLD_TILE];
  RowFn move = p->cast ? p->cast : copy_row(p->size);
  for (int64_t i = 0; i < n; i += FOLD_TILE) {
    int64_t part = n - i < FOLD_TILE ? n - i : FOLD_TILE;
    move((char *[]){(char *)buffer, (char *)(uintptr_t)(ptr + i * p->inner_stride)},
         (int64_t[]){p->size, p->inner_stride}, part, NULL);
    fold_row(p->how.fold, p->type, acc, buffer, part, p->how.p);
  }
}

/* rows x width elements into width accumulators. */
static void fold_rows(const Plan *p, Acc *acc, const char *ptr, int64_t step, int64_t rows, int64_t width) {
  double power = p->how.p;
  if (!p->cast && p->inner_stride == p->size) {
    int64_t together = WIDE / width;
    if (step == width * p->size && width < NARROW && rows >= 4 * together) { /* narrow: many rows make a wide one */
      Acc wide[WIDE * MOMENTS];
      int64_t across = together * width, whole = rows / together;
      fold_start(p->how.fold, p->type, wide, across);
      p->columns(wide, ptr, across, whole, across, power);
      fold_merge(p->how.fold, p->type, acc, wide, together, width);
      ptr += whole * together * step;
      rows -= whole * together;
    }
    p->columns(acc, ptr, step / p->size, rows, width, power);
    return;
  }
  double buffer[BUFFER_ROWS * FOLD_TILE];
  RowFn move = p->cast ? p->cast : copy_row(p->size);
  for (int64_t r = 0; r < rows; r += BUFFER_ROWS) {
    int64_t count = rows - r < BUFFER_ROWS ? rows - r : BUFFER_ROWS;
    for (int64_t k = 0; k < count; k++)
      move((char *[]){(char *)buffer + k * width * p->size, (char *)(uintptr_t)(ptr + (r + k) * step)},
           (int64_t[]){p->size, p->inner_stride}, width, NULL);
    p->columns(acc, buffer, width, count, width, power);
  }
}

/* Accumulators to results, from out's element `at` on, step elements apart. Overwrites acc. */
static void store(const Plan *p, Acc *acc, int64_t n, int64_t at, int64_t step) {
  bool ints = p->type == LANE_I64 || p->how.fold == FOLD_NONZERO;
  double count = (double)p->per_result;
  if (p->second) {
    Acc mean[FOLD_TILE];
    int size = dtype_size((DType)p->second->dtype);
    for (int64_t k = 0; k < n; k++) mean[k].d = acc[k * MOMENTS].d > 0 ? acc[k * MOMENTS + 1].d : (double)NAN;
    cast_row(MT_F64, (DType)p->second->dtype)((char *[]){tensor_data(p->second) + at * size, (char *)mean},
                                              (int64_t[]){step * size, sizeof(Acc)}, n, NULL);
  }
  for (int64_t k = 0; k < n; k++) {
    double over = count - p->how.p;
    switch (p->how.finish) {
    case FINISH_VALUE: break;
    case FINISH_MEAN: acc[k].d /= count; break;
    case FINISH_VAR: acc[k].d = acc[k * MOMENTS + 2].d / (over > 0 && count > 0 ? over : 0); break;
    case FINISH_STD: acc[k].d = sqrt(acc[k * MOMENTS + 2].d / (over > 0 && count > 0 ? over : 0)); break;
    case FINISH_ROOT: acc[k].d = sqrt(acc[k].d); break;
    case FINISH_POWER: acc[k].d = pow(acc[k].d, 1 / p->how.p); break;
    case FINISH_ANY: acc[k].i = acc[k].i > 0; break;
    case FINISH_ALL: acc[k].i = acc[k].i == p->per_result; break;
    }
  }
  DType from = ints ? MT_I64 : MT_F64, to = (DType)p->out->dtype;
  int size = dtype_size(to);
  RowFn move = from == to ? copy_row(size) : cast_row(from, to);
  move((char *[]){tensor_data(p->out) + at * size, (char *)acc}, (int64_t[]){step * size, sizeof(Acc)}, n, NULL);
}

/* One unit of one result: elements of the run when there is one line only, else lines. */
static void fold_unit(const Plan *p, Acc *acc, int64_t result, int64_t unit) {
  const char *base = p->data + walk_to(&p->kept, result, 0, NULL);
  int64_t total = p->lines.count == 1 ? p->inner : p->lines.count, begin = unit * p->unit;
  int64_t end = total - begin < p->unit ? total : begin + p->unit;
  if (p->lines.count == 1) {
    fold_run(p, acc, base + begin * p->inner_stride, end - begin);
    return;
  }
  for (int64_t l = begin; l < end; l++) fold_run(p, acc, base + walk_to(&p->lines, l, 0, NULL), p->inner);
}

/* n results of short rows, which become columns; rows of another dtype lie in one block. */
static void fold_short(const Plan *p, Acc *acc, int64_t result, int64_t n) {
  uint64_t turned[SHORT * TURN_ROWS], cast[SHORT * TURN_ROWS];
  for (int64_t k = 0; k < n; k += TURN_ROWS) {
    int64_t rows = n - k < TURN_ROWS ? n - k : TURN_ROWS, step = p->kept.stride[0];
    const char *from = p->data + (result + k) * step;
    if (p->cast) {
      p->cast((char *[]){(char *)cast, (char *)(uintptr_t)from}, (int64_t[]){p->size, p->elem}, rows * p->inner, NULL);
      from = (const char *)cast;
      step = p->inner * p->size;
    }
    turn_rows(turned, from, step, rows, p->inner, p->size);
    p->columns(acc + k * p->width, turned, TURN_ROWS, p->inner, rows, p->how.p);
  }
}

static void rows_body(void *context, int64_t begin, int64_t end) {
  const Plan *p = context;
  Acc acc[BATCH * MOMENTS];
  if (p->units > 1) {
    for (int64_t i = begin; i < end; i++) {
      int64_t result = i / p->units, unit = i % p->units;
      Acc *to = p->partial + (unit * p->kept.count + result) * p->width;
      fold_start(p->how.fold, p->type, to, 1);
      fold_unit(p, to, result, unit);
    }
    return;
  }
  bool even = p->kept.n == 1 && p->lines.count == 1, plain = even && !p->cast && p->inner_stride == p->size;
  bool block = even && p->inner_stride == p->elem && p->kept.stride[0] == p->inner * p->elem;
  FoldRow row = plain ? row_function(p->how.fold, p->type) : NULL;
  for (int64_t i = begin; i < end; i += BATCH) {
    int64_t n = end - i < BATCH ? end - i : BATCH;
    fold_start(p->how.fold, p->type, acc, n);
    if (p->inner <= SHORT && (plain || block))
      fold_short(p, acc, i, n);
    else if (row)
      for (int64_t k = 0; k < n; k++)
        row(acc + k * p->width, p->data + (i + k) * p->kept.stride[0], p->inner, p->how.p);
    else
      for (int64_t k = 0; k < n; k++) fold_unit(p, acc + k * p->width, i + k, 0);
    store(p, acc, n, i, 1);
  }
}

/* Few rows of float32 are summed where the result is. */
static bool sums_directly(const Plan *p) {
  return p->how.fold == FOLD_SUM && p->how.finish == FINISH_VALUE && p->type == LANE_F32 && !p->cast && p->units == 1 &&
         p->inner_stride == p->size && p->inner_out == 1 && p->out->dtype == MT_F32 && p->lines.n == 1 &&
         p->lines.count <= FOLD_ROWS;
}
static void direct_body(void *context, int64_t begin, int64_t end) {
  const Plan *p = context;
  const ReduceTable *table = VEC_PICK(reduce_table);
  for (int64_t i = begin; i < end; i++) {
    int64_t first = i % p->tiles * FOLD_TILE, width = p->inner - first < FOLD_TILE ? p->inner - first : FOLD_TILE,
            at = 0;
    const char *from = p->data + walk_to(&p->kept, i / p->tiles, 0, &at) + first * p->size;
    float *to = (float *)(void *)tensor_data(p->out) + at + first;
    memset(to, 0, (size_t)(width * p->size));
    table->add_rows(to, from, p->lines.stride[0] / p->size, p->lines.count, width);
  }
}

static void columns_body(void *context, int64_t begin, int64_t end) {
  const Plan *p = context;
  Acc acc[FOLD_TILE * MOMENTS];
  for (int64_t i = begin; i < end; i++) {
    int64_t unit = i % p->units, tile = i / p->units % p->tiles, result = i / p->units / p->tiles, at = 0;
    int64_t first = tile * FOLD_TILE, width = p->inner - first < FOLD_TILE ? p->inner - first : FOLD_TILE;
    const char *base = p->data + walk_to(&p->kept, result, 0, &at) + first * p->inner_stride;
    Acc *to = p->units > 1 ? p->partial + ((unit * p->kept.count + result) * p->inner + first) * p->width : acc;
    fold_start(p->how.fold, p->type, to, width);
    int64_t run = p->lines.n > 0 ? p->lines.shape[0] : 1, step = p->lines.n > 0 ? p->lines.stride[0] : 0;
    int64_t last = p->lines.count - unit * p->unit < p->unit ? p->lines.count : (unit + 1) * p->unit;
    for (int64_t r = unit * p->unit; r < last;) {
      int64_t inside = r % run, rows = run - inside < last - r ? run - inside : last - r;
      fold_rows(p, to, base + walk_to(&p->lines, r / run, 1, NULL) + inside * step, step, rows, width);
      r += rows;
    }
    if (p->units == 1) store(p, acc, width, at + first * p->inner_out, p->inner_out);
  }
}

/* Joins the units of all results in order and stores them. */
static void join_units(const Plan *p) {
  int64_t inner = p->inner_kept ? p->inner : 1, results = p->kept.count * inner;
  fold_merge(p->how.fold, p->type, p->partial, p->partial + results * p->width, p->units - 1, results);
  for (int64_t k = 0; k < p->kept.count; k++) {
    int64_t at = 0;
    walk_to(&p->kept, k, 0, &at);
    for (int64_t j = 0; j < inner; j += FOLD_TILE)
      store(p, p->partial + (k * inner + j) * p->width, inner - j < FOLD_TILE ? inner - j : FOLD_TILE,
            at + j * p->inner_out, p->inner_out);
  }
}

/* Cuts results of many elements into units, when there are too few results for threads otherwise. */
static void plan_units(Plan *p) {
  int64_t lines = p->lines.count, inner = p->inner;
  p->units = 1;
  p->tiles = 1;
  p->unit = lines == 1 ? inner : lines;
  if (p->inner_kept) {
    p->tiles = (inner + FOLD_TILE - 1) / FOLD_TILE;
    int64_t unit = UNIT / (inner < FOLD_TILE ? inner : FOLD_TILE);
    p->unit = lines;
    if (p->kept.count * p->tiles >= 16 || lines < 2 * unit) return;
    int64_t share = (lines + SHARES - 1) / SHARES; /* each unit costs accumulators that are joined in the end */
    p->unit = unit > share ? unit : (share + FOLD_ROWS - 1) / FOLD_ROWS * FOLD_ROWS;
    p->units = (lines + p->unit - 1) / p->unit;
  } else if (p->per_result >= 2 * UNIT) {
    p->unit = lines == 1 ? UNIT : inner < UNIT ? UNIT / inner : 1;
    p->units = ((lines == 1 ? inner : lines) + p->unit - 1) / p->unit;
  }
}

bool cpu_reduce(const Tensor *t, const bool *reduced, Reduction how, Tensor *out, Tensor *second) {
  if (out->numel == 0) return true;
  Plan p;
  p.how = how;
  p.type = lane_type(how.as);
  p.width = fold_width(how.fold);
  if (!fold_columns(how.fold, p.type)) p.type = LANE_F64;
  p.columns = fold_columns(how.fold, p.type);
  p.cast = t->dtype == lane_dtype(p.type) ? NULL : cast_row((DType)t->dtype, lane_dtype(p.type));
  p.elem = dtype_size((DType)t->dtype);
  p.size = dtype_size(lane_dtype(p.type));
  p.data = tensor_data(t);
  p.out = out;
  p.second = second;
  p.partial = NULL;
  if (t->numel == 0) { /* nothing to fold: results of empty reductions */
    Acc acc[MOMENTS];
    p.per_result = 0;
    for (int64_t k = 0; k < out->numel; k++) {
      fold_start(how.fold, p.type, acc, 1);
      store(&p, acc, 1, k, 1);
    }
    return true;
  }
  plan_dims(&p, t, reduced);
  plan_units(&p);
  int64_t tasks = p.kept.count * p.tiles * p.units, each = t->numel / tasks;
  size_t bytes = 0;
  if (p.units > 1) {
    bytes = (size_t)(p.units * out->numel * p.width) * sizeof(Acc);
    if (!(p.partial = block_alloc(bytes))) return false;
  }
  int64_t grain = each >= UNIT ? 1 : UNIT / (each > 0 ? each : 1);
  PoolBody body = !p.inner_kept ? rows_body : sums_directly(&p) ? direct_body : columns_body;
  if (tasks <= grain)
    body(&p, 0, tasks);
  else
    parallel_for(tasks, grain, body, &p);
  if (p.units > 1) {
    join_units(&p);
    block_free(p.partial, bytes);
  }
  return true;
}
