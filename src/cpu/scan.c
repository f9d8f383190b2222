/* Along one dim: positions of extremes, running extremes, sums and products, and what their gradients need.
 *
 * Work goes over outer x length x inner (Lines); sums and products run in double or in wrapping 64-bit integers. */
#include "base/alloc.h"
#include "base/pool.h"
#include "cpu/copy_tensor.h"
#include "cpu/kernels.h"
#include "cpu/reduce.h"
#include "cpu/scan.h"
#include <math.h>
#include <string.h>

enum { UNIT = 65536, BLOCK = 4096, NARROW = 64, SHORT = 32, FEW = 16 };

static bool better(Acc b, Acc best, LaneType type, bool least) {
  if (type == LANE_I64) return least ? b.i < best.i : b.i > best.i;
  return best.d == best.d && (b.d != b.d || (least ? b.d < best.d : b.d > best.d));
}

/* Joins the best of n packed elements, the first of which has position first, into best and at. */
static void best_of_row(const char *x, int64_t n, LaneType type, bool least, int64_t first, Acc *best, int64_t *at) {
  Fold fold = least ? FOLD_MIN : FOLD_MAX;
  int size = dtype_size(lane_dtype(type));
  int64_t block = -1;
  for (int64_t i = 0; i < n; i += BLOCK) {
    Acc b;
    fold_start(fold, type, &b, 1);
    fold_row(fold, type, &b, x + i * size, n - i < BLOCK ? n - i : BLOCK, 0);
    if (!better(b, *best, type, least)) continue;
    *best = b;
    block = i;
  }
  if (block >= 0)
    *at = first + block + find_first(type, x + block * size, n - block < BLOCK ? n - block : BLOCK, *best);
}

static Acc best_load(LaneType type, const char *from) {
  return type == LANE_F32 ? (Acc){.d = (double)*(const float *)(const void *)from} : *(const Acc *)(const void *)from;
}
static void best_store(Acc best, LaneType type, char *to) {
  if (type == LANE_F32)
    *(float *)(void *)to = (float)best.d;
  else
    *(Acc *)(void *)to = best;
}

typedef struct {
  const char *x;
  char *best;
  int64_t *at;
  LaneType type;
  bool least;
  int size;
  BestColumns columns;
  Lines lines;
  int64_t tiles, units, unit; /* tiles of columns; units that lines are cut into, of `unit` elements each */
  char *part;                 /* best of each unit, when there are several: [unit][outer][inner] */
  int64_t *part_at;
} Extreme;

static Acc extreme_start(const Extreme *e) {
  Acc start;
  fold_start(e->least ? FOLD_MIN : FOLD_MAX, e->type, &start, 1);
  return start;
}
static void columns_start(const Extreme *e, char *best, int64_t *at, int64_t n) {
  Acc start = extreme_start(e);
  for (int64_t k = 0; k < n; k++) {
    best_store(start, e->type, best + k * e->size);
    at[k] = 1;
  }
}

static void extreme_rows(void *context, int64_t begin, int64_t end) {
  const Extreme *e = context;
  int64_t length = e->lines.length;
  if (length <= SHORT) {
    uint64_t turned[SHORT * TURN_ROWS];
    columns_start(e, e->best + begin * e->size, e->at + begin, end - begin);
    for (int64_t i = begin; i < end; i += TURN_ROWS) {
      int64_t n = end - i < TURN_ROWS ? end - i : TURN_ROWS;
      turn_rows(turned, e->x + i * length * e->size, length * e->size, n, length, e->size);
      e->columns(e->best + i * e->size, e->at + i, turned, TURN_ROWS, 1, length, n);
    }
    return;
  }
  for (int64_t i = begin; i < end; i++) {
    int64_t unit = i % e->units, row = i / e->units, first = unit * e->unit, n = length - first, at = first + 1;
    int64_t to = unit * e->lines.outer + row;
    Acc best = extreme_start(e);
    if (n > e->unit) n = e->unit;
    best_of_row(e->x + (row * length + first) * e->size, n, e->type, e->least, first + 1, &best, &at);
    best_store(best, e->type, e->part + to * e->size);
    e->part_at[to] = at;
  }
}

static void extreme_columns(void *context, int64_t begin, int64_t end) {
  const Extreme *e = context;
  int64_t inner = e->lines.inner, length = e->lines.length;
  for (int64_t i = begin; i < end; i++) {
    int64_t unit = i % e->units, tile = i / e->units % e->tiles, outer = i / e->units / e->tiles;
    int64_t first = tile * FOLD_TILE, width = inner - first < FOLD_TILE ? inner - first : FOLD_TILE;
    int64_t row = unit * e->unit, rows = length - row < e->unit ? length - row : e->unit;
    int64_t to = (unit * e->lines.outer + outer) * inner + first;
    columns_start(e, e->part + to * e->size, e->part_at + to, width);
    e->columns(e->part + to * e->size, e->part_at + to, e->x + ((outer * length + row) * inner + first) * e->size,
               inner, row + 1, rows, width);
  }
}

/* Joins the units' bests in order: where a later one is better, it and its position are taken. */
static void extreme_join(const Extreme *e) {
  int64_t n = e->lines.outer * e->lines.inner;
  memcpy(e->best, e->part, (size_t)(n * e->size));
  memcpy(e->at, e->part_at, (size_t)n * sizeof *e->at);
  for (int64_t u = 1; u < e->units; u++)
    for (int64_t k = 0; k < n; k++) {
      Acc a = best_load(e->type, e->best + k * e->size), b = best_load(e->type, e->part + (u * n + k) * e->size);
      if (!better(b, a, e->type, e->least)) continue;
      memcpy(e->best + k * e->size, e->part + (u * n + k) * e->size, (size_t)e->size);
      e->at[k] = e->part_at[u * n + k];
    }
}

/* Cuts lines into units where there are too few for threads. Extremes are exact, so the cut may depend on what is near. */
static bool extreme_run(Extreme *e) {
  Lines l = e->lines;
  int64_t n = l.outer * l.inner;
  e->tiles = (l.inner + FOLD_TILE - 1) / FOLD_TILE;
  e->units = 1;
  e->unit = l.length;
  if (l.outer * e->tiles < FEW && n * l.length >= 2 * UNIT) {
    e->unit = l.inner > 1 ? l.length / FEW * (l.outer * e->tiles) + 1 : UNIT;
    if (e->unit * l.inner < UNIT) e->unit = UNIT / l.inner;
    e->units = (l.length + e->unit - 1) / e->unit;
  }
  e->part = e->best;
  e->part_at = e->at;
  if (e->units > 1) {
    e->part_at = mem_alloc((size_t)(n * e->units) * (sizeof *e->part_at + (size_t)e->size));
    if (!e->part_at) return false;
    e->part = (char *)(e->part_at + n * e->units);
  }
  int64_t each = e->unit * (l.inner < FOLD_TILE ? l.inner : FOLD_TILE);
  parallel_for(l.outer * e->tiles * e->units, UNIT / (each + 8) + 1, l.inner > 1 ? extreme_columns : extreme_rows, e);
  if (e->units > 1) {
    extreme_join(e);
    mem_free(e->part_at);
  }
  return true;
}

bool cpu_extreme(Tensor *t, int dim, bool least, Tensor *values, Tensor *index) {
  if (index->numel == 0) return true;
  LaneType type = lane_type((DType)t->dtype);
  DType lane = lane_dtype(type);
  Tensor *x = tensor_packed(t, lane);
  Tensor *best = values && values->dtype == lane ? tensor_retain(values)
                 : x                             ? tensor_new(lane, index->ndim, index->shape, tensor_device(t))
                                                 : NULL;
  bool good = x && best;
  if (good) {
    Extreme e = {.x = tensor_data(x),
                 .best = tensor_data(best),
                 .at = (int64_t *)(void *)tensor_data(index),
                 .type = type,
                 .least = least,
                 .size = dtype_size(lane),
                 .columns = best_columns(least, type),
                 .lines = dim < 0 ? (Lines){1, t->numel, 1} : lines_of(t, dim)};
    good = extreme_run(&e);
  }
  if (good && values && best != values) good = tensor_copy_into(values, best);
  tensor_release(best);
  tensor_release(x);
  return good;
}

/* Scans: x, g and out of one type, `width` columns at a time, so that one does not wait for the sum before; step is the
 * distance between rows, across that between columns. */
typedef void (*ScanFn)(const void *x, const void *g, void *out, int64_t rows, int64_t step, int64_t width,
                       int64_t across);
enum { ABREAST = 4 }; /* columns of a contiguous dim; of more, those a power of two apart would share few cache lines */

#define SCAN(name, S, T, W, start, forward, backward, first, each)                                            \
  static void name##_##S(const void *px, const void *pg, void *po, int64_t rows, int64_t step, int64_t width, \
                         int64_t across) {                                                                    \
    const T *x = px, *g = pg;                                                                                 \
    T *out = po;                                                                                              \
    W a[NARROW];                                                                                              \
    (void)g;                                                                                                  \
    if (forward) {                                                                                            \
      for (int64_t j = 0; j < width; j++) a[j] = start;                                                       \
      for (int64_t r = 0; r < rows; r++)                                                                      \
        for (int64_t j = 0; j < width; j++) {                                                                 \
          int64_t at = r * step + j * across;                                                                 \
          (void)at;                                                                                           \
          first                                                                                               \
        }                                                                                                     \
    }                                                                                                         \
    if (backward) {                                                                                           \
      W b = 0;                                                                                                \
      (void)b;                                                                                                \
      for (int64_t j = 0; j < width; j++) a[j] = start;                                                       \
      for (int64_t r = rows - 1; r >= 0; r--)                                                                 \
        for (int64_t j = 0; j < width; j++) {                                                                 \
          int64_t at = r * step + j * across;                                                                 \
          (void)at;                                                                                           \
          each                                                                                                \
        }                                                                                                     \
    }                                                                                                         \
  }
#define RUNNING_SUM                \
  a[j] += (__typeof__(a[0]))x[at]; \
  out[at] = (__typeof__(out[0]))a[j];
#define RUNNING_PRODUCT            \
  a[j] *= (__typeof__(a[0]))x[at]; \
  out[at] = (__typeof__(out[0]))a[j];
#define PRODUCT_BEFORE                \
  out[at] = (__typeof__(out[0]))a[j]; \
  a[j] *= (__typeof__(a[0]))x[at];
#define PRODUCT_AFTER                             \
  out[at] = (__typeof__(out[0]))(out[at] * a[j]); \
  a[j] *= (__typeof__(a[0]))x[at];
#define RUNNING_LOG_SUM                \
  a[j] = log_add(a[j], (double)x[at]); \
  out[at] = (__typeof__(out[0]))a[j];
/* a holds x[k+1] times the sum for k+1; it starts as 1, which the last row must not see. */
#define GRADIENT_AFTER                                   \
  b = (__typeof__(b))g[at] + (r == rows - 1 ? 0 : a[j]); \
  out[at] = (__typeof__(out[0]))(out[at] * b);           \
  a[j] = b * (__typeof__(b))x[at];
/* log(exp(a) + exp(b)) */
static double log_add(double a, double b) {
  double less = b != b ? b : a < b ? a : b, more = b != b || a < b ? b : a;
  return less == more && isinf(less) ? less : log1p(exp(less - more)) + more;
}
#define SCANS(S, T, W)                                   \
  SCAN(sum, S, T, W, 0, true, false, RUNNING_SUM, )      \
  SCAN(sum_back, S, T, W, 0, false, true, , RUNNING_SUM) \
  SCAN(product, S, T, W, 1, true, false, RUNNING_PRODUCT, )
#define FLOAT_SCANS(S, T)                                                         \
  SCANS(S, T, double)                                                             \
  SCAN(others, S, T, double, 1, true, true, PRODUCT_BEFORE, PRODUCT_AFTER)        \
  SCAN(product_back, S, T, double, 1, true, true, PRODUCT_BEFORE, GRADIENT_AFTER) \
  SCAN(log_sum, S, T, double, -(double)INFINITY, true, false, RUNNING_LOG_SUM, )
FLOAT_SCANS(f32, float)
FLOAT_SCANS(f64, double)
SCANS(i64, int64_t, uint64_t)

/* One packed row of 64-bit elements: what is summed up so far stays in a register. */
#define PLAIN_ROW(name, T, W, start, op)                        \
  static void name(const void *px, void *po, int64_t n) {       \
    const T *x = px;                                            \
    T *out = po;                                                \
    W a = start;                                                \
    for (int64_t i = 0; i < n; i++) out[i] = (T)(a op(W) x[i]); \
  }
PLAIN_ROW(sum_row_f64, double, double, 0, +=)
PLAIN_ROW(product_row_f64, double, double, 1, *=)
PLAIN_ROW(sum_row_i64, int64_t, uint64_t, 0, +=)
PLAIN_ROW(product_row_i64, int64_t, uint64_t, 1, *=)

static ScanRow row_of(ScanKind kind, LaneType type) {
  const ScanTable *table = VEC_PICK(scan_table);
  bool sum = kind == SCAN_SUM;
  if (!sum && kind != SCAN_PRODUCT) return NULL;
  if (type == LANE_F32) return sum ? table->sum : table->product;
  return type == LANE_F64 ? sum ? sum_row_f64 : product_row_f64 : sum ? sum_row_i64 : product_row_i64;
}

static const ScanFn scans[][LANE_TYPES] = {[SCAN_SUM] = {sum_f32, sum_f64, sum_i64},
                                           [SCAN_SUM_BACK] = {sum_back_f32, sum_back_f64, sum_back_i64},
                                           [SCAN_PRODUCT] = {product_f32, product_f64, product_i64},
                                           [SCAN_OTHERS] = {others_f32, others_f64, NULL},
                                           [SCAN_PRODUCT_BACK] = {product_back_f32, product_back_f64, NULL},
                                           [SCAN_LOG_SUM_EXP] = {log_sum_f32, log_sum_f64, NULL}};

typedef struct {
  ScanFn fn;
  ScanRow row; /* of the last dim, or NULL */
  const char *x, *g;
  char *out;
  int size;
  Lines lines;
  int64_t tiles; /* of columns that lie side by side; 0: the dim is the last, and lines are columns */
} Scan;

static void scan_body(void *context, int64_t begin, int64_t end) {
  const Scan *s = context;
  int64_t length = s->lines.length;
  if (s->row) {
    for (int64_t i = begin; i < end; i++) s->row(s->x + i * length * s->size, s->out + i * length * s->size, length);
    return;
  }
  if (s->tiles == 0) {
    for (int64_t i = begin; i < end; i += ABREAST) {
      int64_t offset = i * length * s->size;
      s->fn(s->x + offset, s->g ? s->g + offset : NULL, s->out + offset, length, 1,
            end - i < ABREAST ? end - i : ABREAST, length);
    }
    return;
  }
  for (int64_t i = begin; i < end; i++) {
    int64_t first = i % s->tiles * NARROW, width = s->lines.inner - first < NARROW ? s->lines.inner - first : NARROW;
    int64_t offset = (i / s->tiles * length * s->lines.inner + first) * s->size;
    s->fn(s->x + offset, s->g ? s->g + offset : NULL, s->out + offset, length, s->lines.inner, width, 1);
  }
}

bool cpu_scan(ScanKind kind, Tensor *t, Tensor *grad, int dim, Tensor *out) {
  if (out->numel == 0) return true;
  LaneType type = lane_type((DType)out->dtype);
  if (!scans[kind][type]) return fail(MT_ENOTIMPL, "not implemented for %s", dtype_info[out->dtype].name);
  DType lane = lane_dtype(type);
  Tensor *x = tensor_packed(t, lane), *g = x && grad ? tensor_packed(grad, lane) : NULL;
  Tensor *to = out->dtype == lane ? tensor_retain(out)
               : x                ? tensor_new(lane, out->ndim, out->shape, tensor_device(out))
                                  : NULL;
  bool good = x && to && (g || !grad);
  if (good) {
    Scan s = {.fn = scans[kind][type],
              .x = tensor_data(x),
              .g = g ? tensor_data(g) : NULL,
              .out = tensor_data(to),
              .size = dtype_size(lane),
              .lines = lines_of(out, dim)};
    if (s.lines.inner == 1) s.row = row_of(kind, type);
    s.tiles = s.lines.inner == 1 ? 0 : (s.lines.inner + NARROW - 1) / NARROW;
    int64_t each = s.lines.length * (s.lines.inner < NARROW ? s.lines.inner : NARROW);
    parallel_for(s.lines.outer * (s.tiles ? s.tiles : 1), each < UNIT / 4 ? UNIT / 4 / each : 1, scan_body, &s);
  }
  if (good && to != out) good = tensor_copy_into(out, to);
  tensor_release(to);
  tensor_release(g);
  tensor_release(x);
  return good;
}

/* Running extremes: each row of the result is made from the one before. */
typedef void (*RunningFn)(const void *x, void *values, int64_t *index, bool least, int64_t rows, int64_t step,
                          int64_t width);
#define RUNNING(S, T)                                                                                                  \
  static void running_##S(const void *px, void *pv, int64_t *index, bool least, int64_t rows, int64_t step,            \
                          int64_t width) {                                                                             \
    const T *x = px;                                                                                                   \
    T *v = pv;                                                                                                         \
    if (width == 1 && step == 1) {                                                                                     \
      T best = x[0];                                                                                                   \
      int64_t place = 1;                                                                                               \
      for (int64_t r = 0; r < rows; r++) {                                                                             \
        if (x[r] != x[r] || (best == best && (least ? x[r] <= best : x[r] >= best))) {                                 \
          __asm__ volatile(""); /* rare: a branch, for which nothing waits */                                          \
          best = x[r];                                                                                                 \
          place = r + 1;                                                                                               \
        }                                                                                                              \
        v[r] = best;                                                                                                   \
        index[r] = place;                                                                                              \
      }                                                                                                                \
      return;                                                                                                          \
    }                                                                                                                  \
    for (int64_t r = 0; r < rows; r++)                                                                                 \
      for (int64_t j = 0; j < width; j++) {                                                                            \
        int64_t at = r * step + j, last = at - step;                                                                   \
        bool mine = r == 0 || x[at] != x[at] || (v[last] == v[last] && (least ? x[at] <= v[last] : x[at] >= v[last])); \
        v[at] = mine ? x[at] : v[last];                                                                                \
        index[at] = mine ? r + 1 : index[last];                                                                        \
      }                                                                                                                \
  }
RUNNING(f32, float)
RUNNING(f64, double)
RUNNING(i64, int64_t)

typedef struct {
  RunningFn fn;
  const char *x;
  char *values;
  int64_t *index;
  bool least;
  int size;
  Lines lines;
  int64_t tiles;
} Running;

static void running_body(void *context, int64_t begin, int64_t end) {
  const Running *s = context;
  for (int64_t i = begin; i < end; i++) {
    int64_t first = i % s->tiles * NARROW, width = s->lines.inner - first < NARROW ? s->lines.inner - first : NARROW;
    int64_t at = i / s->tiles * s->lines.length * s->lines.inner + first;
    s->fn(s->x + at * s->size, s->values + at * s->size, s->index + at, s->least, s->lines.length, s->lines.inner,
          width);
  }
}

bool cpu_running_extreme(Tensor *t, int dim, bool least, Tensor *values, Tensor *index) {
  static const RunningFn fns[] = {[LANE_F32] = running_f32, [LANE_F64] = running_f64, [LANE_I64] = running_i64};
  if (index->numel == 0) return true;
  LaneType type = lane_type((DType)t->dtype);
  DType lane = lane_dtype(type);
  Tensor *x = tensor_packed(t, lane);
  Tensor *to = values->dtype == lane ? tensor_retain(values)
               : x                   ? tensor_new(lane, values->ndim, values->shape, tensor_device(t))
                                     : NULL;
  bool good = x && to;
  if (good) {
    Running s = {.fn = fns[type],
                 .x = tensor_data(x),
                 .values = tensor_data(to),
                 .index = (int64_t *)(void *)tensor_data(index),
                 .least = least,
                 .size = dtype_size(lane),
                 .lines = lines_of(index, dim)};
    s.tiles = (s.lines.inner + NARROW - 1) / NARROW;
    int64_t each = s.lines.length * (s.lines.inner < NARROW ? s.lines.inner : NARROW);
    parallel_for(s.lines.outer * s.tiles, each < UNIT / 4 ? UNIT / 4 / each : 1, running_body, &s);
  }
  if (good && to != values) good = tensor_copy_into(values, to);
  tensor_release(to);
  tensor_release(x);
  return good;
}
