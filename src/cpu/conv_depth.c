/* Convolution of planes by themselves (depthwise): a task takes a plane after the other. Kernels of three by three or five by
 * five neighbours read it where it lies; for others a window of it with its padding is copied into the first cache, so that
 * memory is read and written once.
 *
 * Invariant: every result is one sum in the order of the taps' places, however a plane is cut into windows; a gradient of
 * weights is summed plane after plane. */
#include "cpu/conv_depth.h"
#include "base/alloc.h"
#include "base/pool.h"
#include "base/size.h"
#include "cpu/blocks.h"
#include "cpu/conv_field.h"
#include <string.h>

enum {
  WINDOW_BYTES = 24 << 10,
  VECTOR_BYTES = 64, /* the longest; a window is followed by as much that may be read and written */
  MOST_TAPS = 64,
  MOST_STRIDE = 4
};

/* One phase of the results (there are several where x is computed from y with a stride). */
typedef struct {
  Axis axis[2];
  int64_t rows, columns; /* of results computed from a window at a time */
  ConvWindow window;
  int64_t offset[MOST_TAPS];
  int tap[MOST_TAPS]; /* of the kernel */
  ConvPlane plane;    /* of squares, read where they lie; square is 0 for others */
} Phase;

typedef struct {
  const ConvKernels *kernels;
  int size, phases;
  int64_t planes, groups, taps; /* of one channel's kernel */
  const char *source, *w, *bias;
  int64_t source_plane, out_plane, out_row;
  char *out; /* or what is read beside the source: y */
  char *sums;
  Phase phase[MOST_STRIDE * MOST_STRIDE];
} Depth;

/* Lines of a window with all phases of the source that results of `columns` columns read. */
static int64_t line_of(const Axis *a, int64_t columns, int lanes) {
  int64_t length = columns + a->length - a->results;
  return quotient_up(length, lanes) * lanes;
}

/* Rows and columns of a window: the whole plane where it fits, else such that few lines are copied twice. */
static bool cut(Phase *p, int lanes, int size) {
  static const int vectors[] = {32, 8, 1};
  const Axis *a = p->axis;
  int64_t room = WINDOW_BYTES / size / (a[0].phases * a[1].phases), beyond = a[0].length - a[0].results;
  p->columns = a[1].results;
  for (int i = 0; i < 4; i++) {
    if (i > 0) p->columns = least(a[1].results, vectors[i - 1] * lanes);
    p->window.line = line_of(&a[1], p->columns, lanes);
    p->rows = least(a[0].results, room / p->window.line - beyond);
    if (p->rows >= least(a[0].results, i < 3 ? 2 * beyond + 4 : 1)) return true;
  }
  return false;
}

/* Taps in the order of their places in the window. */
static void place_taps(Phase *p, int kernel_columns) {
  const Axis *a = p->axis;
  int64_t lines = p->rows + a[0].length - a[0].results;
  int count = 0;
  for (int64_t i = 0; i < a[0].taps; i++)
    for (int64_t j = 0; j < a[1].taps; j++, count++) {
      int64_t t[2] = {a[0].spread < 0 ? a[0].taps - 1 - i : i, a[1].spread < 0 ? a[1].taps - 1 - j : j}, place[2];
      for (int d = 0; d < 2; d++) place[d] = a[d].shift + t[d] * a[d].spread - a[d].low;
      int64_t phase = place[0] % a[0].step * a[1].phases + place[1] % a[1].step;
      p->offset[count] = (phase * lines + place[0] / a[0].step) * p->window.line + place[1] / a[1].step;
      p->tap[count] = (int)((a[0].tap + t[0] * a[0].tap_step) * kernel_columns + a[1].tap + t[1] * a[1].tap_step);
    }
  p->window.taps = count, p->window.offset = p->offset;
}

/* A kernel of neighbours, 3 by 3 or 5 by 5, whose results lie side by side. */
static void place_square(Phase *p) {
  const Axis *a = p->axis;
  int64_t taps = a[0].taps;
  for (int d = 0; d < 2; d++)
    if (a[d].taps != taps || a[d].step != 1 || a[d].out_step != 1 || a[d].spread * a[d].spread != 1) return;
  if (taps != 3 && taps != 5) return;
  p->plane = (ConvPlane){.rows = a[0].results,
                         .columns = a[1].results,
                         .x_rows = a[0].source,
                         .x_columns = a[1].source,
                         .up = a[0].low,
                         .left = a[1].low,
                         .square = (int)taps};
}

/* False where a window would not fit. */
static bool plan(Depth *s, const Conv *c, DType lane, bool up) {
  s->kernels = conv_kernels(lane);
  s->size = dtype_size(lane);
  s->groups = c->groups;
  s->planes = c->batch * c->groups;
  s->taps = c->k[1] * c->k[2];
  const int64_t *from = up ? c->y : c->x, *to = up ? c->x : c->y;
  s->source_plane = volume(from), s->out_plane = volume(to), s->out_row = to[2];
  int64_t phases[2] = {up ? least(c->stride[1], to[1]) : 1, up ? least(c->stride[2], to[2]) : 1};
  for (int64_t i = 0; i < phases[0]; i++)
    for (int64_t j = 0; j < phases[1]; j++) {
      Phase *p = &s->phase[s->phases];
      p->axis[0] = up ? axis_up(c, 1, (i + c->pad[1]) % c->stride[1]) : axis_down(c, 1);
      p->axis[1] = up ? axis_up(c, 2, (j + c->pad[2]) % c->stride[2]) : axis_down(c, 2);
      if (p->axis[0].results == 0 || p->axis[1].results == 0) continue;
      if (!cut(p, s->kernels->lanes, s->size)) return false;
      place_taps(p, (int)c->k[2]);
      if (s->kernels->plane) place_square(p);
      s->phases++;
    }
  return true;
}

/* Copies what results from (row, column) on, `rows` by `columns` of them, read of a plane. */
static void fill_window(const Depth *s, const Phase *p, const char *source, int64_t row, int64_t column, int64_t rows,
                        int64_t columns, char *to) {
  Axis down = p->axis[0], across = p->axis[1];
  down.low += row * down.step, down.length += rows - down.results;
  across.low += column * across.step, across.length += columns - across.results;
  field_fill_plane(s->kernels, &down, &across, p->window.line, (p->rows - rows) * p->window.line, source, to);
}

/* For each window of a phase: its results begin at (r, q). */
#define EACH_WINDOW(p)                                          \
  for (int64_t r = 0; r < (p)->axis[0].results; r += (p)->rows) \
    for (int64_t q = 0, rows = least((p)->rows, (p)->axis[0].results - r); q < (p)->axis[1].results; q += (p)->columns)

static void run_phase(const Depth *s, const Phase *p, int64_t plane, bool next, char *window, char *tile) {
  const Axis *a = p->axis;
  const int size = s->size;
  const int64_t group = plane % s->groups;
  const char *source = at_const(s->source, plane * s->source_plane, size);
  char *out = at(s->out, plane * s->out_plane + a[0].out_first * s->out_row + a[1].out_first, size);
  _Alignas(64) char w[MOST_TAPS * sizeof(int64_t)], start[sizeof(int64_t)] = {0};
  for (int64_t t = 0; t < p->window.taps; t++)
    memcpy(w + t * size, at_const(s->w, group * s->taps + p->tap[t], size), (size_t)size);
  if (s->bias) memcpy(start, at_const(s->bias, group, size), (size_t)size);
  if (p->plane.square) {
    s->kernels->plane(&p->plane, source, w, start, out);
    return;
  }
  EACH_WINDOW(p) {
    int64_t columns = least(p->columns, a[1].results - q);
    fill_window(s, p, source, r, q, rows, columns, window);
    ConvWindow at_hand = p->window;
    at_hand.rows = rows, at_hand.columns = columns;
    at_hand.next = source + s->source_plane * size,
    at_hand.next_bytes = next && rows == a[0].results ? s->source_plane * size : 0;
    char *to = at(out, r * a[0].out_step * s->out_row + q * a[1].out_step, size);
    if (a[1].out_step == 1) {
      s->kernels->window(&at_hand, window, w, start, to, a[0].out_step * s->out_row);
      continue;
    }
    s->kernels->window(&at_hand, window, w, start, tile, columns);
    for (int64_t i = 0; i < rows; i++)
      copy_strided(at(to, i * a[0].out_step * s->out_row, size), a[1].out_step * size, at(tile, i * columns, size),
                   size, columns, size);
  }
}

static void planes_task(void *context, int64_t begin, int64_t end) {
  const Depth *s = context;
  _Alignas(64) char window[WINDOW_BYTES + VECTOR_BYTES], tile[WINDOW_BYTES + VECTOR_BYTES];
  memset(window + WINDOW_BYTES, 0, VECTOR_BYTES);
  for (int64_t plane = begin; plane < end; plane++)
    for (int i = 0; i < s->phases; i++) run_phase(s, &s->phase[i], plane, i == 0 && plane + 1 < end, window, tile);
}

/* Sums for each plane of x with a plane of y. */
static void dots_task(void *context, int64_t begin, int64_t end) {
  const Depth *s = context;
  const Phase *p = s->phase;
  const Axis *a = p->axis;
  const int size = s->size;
  _Alignas(64) char window[WINDOW_BYTES + VECTOR_BYTES];
  for (int64_t plane = begin; plane < end; plane++) {
    char *sums = at(s->sums, plane * s->taps, size);
    if (p->plane.square == 3) {
      s->kernels->plane_dots(&p->plane, at_const(s->source, plane * s->source_plane, size),
                             at_const(s->out, plane * s->out_plane, size), sums);
      continue;
    }
    memset(sums, 0, (size_t)(s->taps * size));
    EACH_WINDOW(p) {
      int64_t columns = least(p->columns, a[1].results - q);
      fill_window(s, p, at_const(s->source, plane * s->source_plane, size), r, q, rows, columns, window);
      ConvWindow at_hand = p->window;
      at_hand.rows = rows, at_hand.columns = columns;
      s->kernels->dots(&at_hand, window, at_const(s->out, plane * s->out_plane + r * s->out_row + q, size), s->out_row,
                       sums);
    }
  }
}

bool conv_is_depth(const Conv *c, DType lane) {
  if (c->in != 1 || c->out != 1 || c->k[0] != 1 || c->x[0] != 1 || c->y[0] != 1 || c->k[1] * c->k[2] > MOST_TAPS ||
      c->stride[1] > MOST_STRIDE || c->stride[2] > MOST_STRIDE)
    return false;
  Depth down = {0}, up = {0};
  return plan(&down, c, lane, false) && plan(&up, c, lane, true);
}

void conv_depth(const Conv *c, DType lane, const char *source, const char *w, bool up, const char *bias, char *out) {
  Depth s = {.source = source, .w = w, .bias = bias, .out = out};
  plan(&s, c, lane, up);
  parallel_for(s.planes, most(1, CONV_TASK_WORK / (s.out_plane * s.taps)), planes_task, &s);
}

bool conv_depth_weight(const Conv *c, DType lane, const char *x, const char *y, char *w) {
  Depth s = {.source = x, .out = (char *)y};
  plan(&s, c, lane, false);
  int64_t each = c->groups * s.taps, bytes;
  if (!conv_product(3, (int64_t[]){c->batch, each, s.size}, &bytes)) return false;
  s.sums = block_alloc((size_t)bytes);
  if (!s.sums) return false;
  parallel_for(s.planes, most(1, CONV_TASK_WORK / (s.out_plane * s.taps)), dots_task, &s);
  memcpy(w, s.sums, (size_t)(each * s.size));
  for (int64_t n = 1; n < c->batch; n++) s.kernels->add(w, at(s.sums, n * each, s.size), each);
  block_free(s.sums, (size_t)bytes);
  return true;
}
