/* Convolution on tensors: results are tiles over a field, a padded copy of an image in which a tap is a mere offset.
 *
 * Where x is computed from y with a stride, every phase of x is a problem of its own with the taps that meet it. No products
 * with padding between elements arise, and no im2col. Invariant: what is summed, and in which order, follows from shapes
 * only. Without taps to speak of (1 x 1) it is a matrix product, and planes by themselves go to conv_depth.c. */
#include "base/alloc.h"
#include "base/pool.h"
#include "base/size.h"
#include "cpu/blocks.h"
#include "cpu/conv_depth.h"
#include "cpu/conv_field.h"
#include "cpu/copy.h"
#include "cpu/copy_tensor.h"
#include "cpu/gemm.h"
#include "cpu/reduce.h"
#include <string.h>

enum {
  PANELS = 4,                /* of columns that a task takes at a time: a panel of weights stays in the first cache */
  GATHERED_BYTES = 1 << 19,  /* of columns that are gathered at a time, one panel at least */
  GATHERED_FIELDS = 4 << 20, /* of fields at a time, for each thread */
  DOTS_FIELDS = 4 << 20,     /* of fields at a time, of all threads */
  MOST_COLUMNS = 64          /* of a panel */
};

/* ---- sums over taps: y from (x, w), or one phase of x from (y, w) ---- */

typedef struct {
  const Conv *conv;
  const ConvKernels *kernels;
  Field field;
  bool up;              /* x from y */
  int64_t rows, groups; /* channels of the result in one group */
  const char *w, *bias;
  char *packed;                   /* panels of weights: an initial value for each row, then product after product */
  int64_t panels, group_elements; /* of rows; of `packed` for one group */
  int64_t unit_length, unit_panels, units, width; /* columns are cut along lines, planes or volumes of the field */
  int unit_dims;
  char *out;
  int64_t out_plane, out_stride[3];
  bool gathered; /* columns are results one after another, of all images, rather than places of the field */
  int64_t results, total, at_once, slots,
      slot_bytes; /* of an image, of all at hand; panels at a time; memory for each */
  char *slot;
  int64_t *row;         /* where each product lies in a gathered panel */
  _Atomic int64_t next; /* panels that are still to be taken */
} Sums;

static int64_t panel_rows(const Sums *s, int64_t i) { return least(s->kernels->mr, s->rows - i * s->kernels->mr); }
/* Elements before panel i: all before it have the full height. */
static int64_t panel_start(const Sums *s, int64_t i) { return i * s->kernels->mr * (s->field.k + 1); }

/* n elements, `to` one after another, `from` apart by step elements. */
static void take_apart(void *to, const void *from, int64_t step, int64_t n, int size) {
  if (size == 4)
    for (int64_t i = 0; i < n; i++) ((uint32_t *)to)[i] = ((const uint32_t *)from)[i * step];
  else
    for (int64_t i = 0; i < n; i++) ((uint64_t *)to)[i] = ((const uint64_t *)from)[i * step];
}

/* A panel: a line of `height` elements for each product, and one of initial values before them. */
static void pack_task(void *context, int64_t begin, int64_t end) {
  const Sums *s = context;
  const Field *f = &s->field;
  const int size = f->size;
  const int64_t taps = volume(s->conv->k), each = f->channels ? f->k / f->channels : 0;
  for (int64_t t = begin; t < end; t++) {
    const int64_t g = t / s->panels, row = t % s->panels * s->kernels->mr, rows = panel_rows(s, t % s->panels);
    const int height = s->kernels->height(rows), line = height * size;
    char *to = at(s->packed, g * s->group_elements + panel_start(s, t % s->panels), size);
    memset(to, 0, (size_t)(rows < height ? line * (f->k + 1) : line));
    if (s->bias) memcpy(to, at_const(s->bias, g * s->rows + row, size), (size_t)(rows * size));
    to += line;
    if (!s->up) { /* all taps, in their order */
      copy_transposed(to, line, at_const(s->w, (g * s->rows + row) * f->k, size), f->k * size, f->k, rows, size, false);
      continue;
    }
    for (int64_t channel = 0; channel < f->channels; channel++) {
      const char *from = at_const(s->w, ((g * f->channels + channel) * s->rows + row) * taps, size);
      for (int64_t p = 0; p < each; p++, to += line) take_apart(to, at_const(from, f->tap[p], size), taps, rows, size);
    }
  }
}

/* Stores the columns of a tile that are results: `columns` places of the field from q on. */
static void scatter(const Sums *s, const char *tile, int64_t rows, int64_t q, int64_t columns, char *out) {
  const Axis *a = s->field.axis;
  const int size = s->field.size;
  for (int64_t begin = 0; begin < columns;) {
    int64_t o2 = (q + begin) % a[2].length, line = (q + begin) / a[2].length;
    int64_t o1 = line % a[1].length, o0 = line / a[1].length, run = least(a[2].length - o2, columns - begin);
    int64_t count = o1 < a[1].results ? least(run, a[2].results - o2) : 0;
    char *to = out + (o0 * s->out_stride[0] + o1 * s->out_stride[1] + o2 * s->out_stride[2]) * size;
    const char *from = tile + begin * size;
    if (s->out_stride[2] == 1 && count > 0) s->kernels->copy_lines(to, s->out_plane, from, s->width, rows, count);
    for (int64_t i = 0; s->out_stride[2] != 1 && count > 0 && i < rows; i++) {
      copy_strided(to, s->out_stride[2] * size, from, size, count, size);
      to += s->out_plane * size;
      from += s->width * size;
    }
    begin += run;
  }
}

static void sums_task(void *context, int64_t begin, int64_t end) {
  const Sums *s = context;
  const Field *f = &s->field;
  const Axis *a = f->axis;
  const int size = f->size;
  const int64_t columns_each = s->units * s->unit_panels, tasks_each = quotient_up(columns_each, PANELS);
  _Alignas(64) char tile[CONV_TILE_BYTES];
  for (int64_t t = begin; t < end; t++) {
    int64_t plane = t / tasks_each, group = plane % s->groups, first = t % tasks_each * PANELS;
    int64_t last = least(first + PANELS, columns_each);
    const char *field = at_const(f->data, plane * f->channels * f->plane, size);
    char *out = at(s->out, (f->first * s->groups + plane) * s->rows * s->out_plane, size);
    for (int64_t i = 0; i < s->panels; i++) {
      const int64_t rows = panel_rows(s, i);
      const int height = s->kernels->height(rows);
      const char *w = at_const(s->packed, group * s->group_elements + panel_start(s, i), size);
      for (int64_t j = first; j < last; j++) {
        int64_t unit = j / s->unit_panels, begins = j % s->unit_panels * s->width;
        int64_t columns = least(s->width, s->unit_length - begins), q = begins;
        if (s->unit_dims == 1) q += (unit / a[1].results * a[1].length + unit % a[1].results) * a[2].length;
        if (s->unit_dims == 2) q += unit * a[1].length * a[2].length;
        s->kernels->tile(height, columns, f->k, w, at_const(field, q, size), f->offset, tile, s->width);
        scatter(s, tile, rows, q, columns, at(out, i * s->kernels->mr * s->out_plane, size));
      }
    }
  }
}

/* Lines, planes or the whole volume as the unit that is cut into panels: the one with the least to compute. */
static void cut_columns(Sums *s) {
  const Axis *a = s->field.axis;
  int64_t best = 0;
  s->width = s->kernels->height(s->rows) == 1 ? s->kernels->wide : s->kernels->nr;
  for (int dims = 3; dims >= 1; dims--) {
    int64_t length = a[2].results, units = 1;
    if (dims >= 2)
      length += (a[1].results - 1) * a[2].length;
    else
      units *= a[1].results;
    if (dims == 3)
      length += (a[0].results - 1) * a[1].length * a[2].length;
    else
      units *= a[0].results;
    int64_t lanes = s->kernels->lanes, cost = units * (quotient_up(length, lanes) + 1);
    if (dims < 3 && cost >= best) continue;
    best = cost;
    s->unit_dims = dims, s->units = units, s->unit_length = length, s->unit_panels = quotient_up(length, s->width);
  }
}

/* ---- gathered columns ---- */

/* The runs of results that lie one after another in the source, from result q of the images at hand on: in pieces of at most
 * a vector. */
static int64_t find_pieces(const Sums *s, int64_t q, int64_t columns, int64_t *from, int64_t *to) {
  const Field *f = &s->field;
  const Axis *a = f->axis;
  int64_t count = 0, step = f->image_channels * f->plane, lanes = s->kernels->lanes;
  for (int64_t begin = 0; begin < columns; count++) {
    int64_t image = (q + begin) / s->results, o = (q + begin) % s->results, o2 = o % a[2].results;
    int64_t line = o / a[2].results, o1 = line % a[1].results, o0 = line / a[1].results;
    from[count] = image * step + (o0 * a[1].length + o1) * a[2].length + o2;
    to[count] = begin;
    begin += least(least(lanes, a[2].results - o2), columns - begin);
  }
  return count;
}

/* Stores a tile of results from number q on; they lie one after another, or as the strides say. */
static void store_results(const Sums *s, const char *tile, int64_t rows, int64_t q, int64_t columns, char *out) {
  const Axis *a = s->field.axis;
  const int size = s->field.size;
  const bool packed = s->out_stride[2] == 1 && s->results == s->out_plane;
  for (int64_t begin = 0, run; begin < columns; begin += run) {
    int64_t image = (q + begin) / s->results, o = (q + begin) % s->results, place = o, step = 1;
    run = least(s->results - o, columns - begin);
    if (!packed) {
      int64_t o2 = o % a[2].results, line = o / a[2].results, o1 = line % a[1].results, o0 = line / a[1].results;
      place = o0 * s->out_stride[0] + o1 * s->out_stride[1] + o2 * s->out_stride[2];
      step = s->out_stride[2], run = least(run, a[2].results - o2);
    }
    char *to = at(out, image * s->groups * s->rows * s->out_plane + place, size);
    const char *from = tile + begin * size;
    if (step == 1) s->kernels->copy_lines(to, s->out_plane, from, s->width, rows, run);
    for (int64_t i = 0; step != 1 && i < rows; i++, to += s->out_plane * size, from += s->width * size)
      copy_strided(to, step * size, from, size, run, size);
  }
}

/* Each slot takes `at_once` panels of a group again and again, until none is left. */
static void gathered_task(void *context, int64_t begin, int64_t end) {
  Sums *s = context;
  const Field *f = &s->field;
  const int size = f->size;
  const int64_t each = quotient_up(quotient_up(s->total, s->width), s->at_once), panel = f->k * s->width;
  _Alignas(64) char tile[CONV_TILE_BYTES];
  int64_t from[MOST_COLUMNS], to[MOST_COLUMNS];
  for (int64_t slot = begin; slot < end; slot++) {
    char *packed = s->slot + slot * s->slot_bytes;
    for (int64_t t; (t = s->next++) < s->groups * each;) {
      const int64_t group = t / each, first = t % each * s->at_once * s->width;
      const int64_t last = least(s->total, first + s->at_once * s->width);
      const char *field = at_const(f->data, group * f->channels * f->plane, size);
      char *out = at(s->out, (f->first * s->groups + group) * s->rows * s->out_plane, size);
      for (int64_t q = first, i = 0; q < last; q += s->width, i++) {
        int64_t pieces = find_pieces(s, q, least(s->width, last - q), from, to);
        s->kernels->gather(f->k, f->offset, field, pieces, from, to, at(packed, i * panel, size));
      }
      for (int64_t i = 0; i < s->panels; i++) {
        const int64_t rows = panel_rows(s, i);
        const char *w = at_const(s->packed, group * s->group_elements + panel_start(s, i), size);
        for (int64_t q = first, j = 0; q < last; q += s->width, j++) {
          int64_t columns = least(s->width, last - q);
          s->kernels->tile(s->kernels->height(rows), columns, f->k, w, at_const(packed, j * panel, size), s->row, tile,
                           s->width);
          store_results(s, tile, rows, q, columns, at(out, i * s->kernels->mr * s->out_plane, size));
        }
      }
    }
  }
}

/* Whether gathering costs less than the places between the results: both in vectors of products. */
static bool prefers_gathering(const Sums *s) {
  const Axis *a = s->field.axis;
  int64_t batch = s->conv->batch, lanes = s->kernels->lanes, results = a[0].results * a[1].results * a[2].results;
  int64_t lines = a[0].results * a[1].results, pieces = quotient_up(a[2].results, lanes);
  int64_t direct = batch * s->units * quotient_up(s->unit_length, lanes) * s->rows;
  int64_t gathered = quotient_up(batch * results, lanes) * s->rows + 4 * batch * lines * pieces;
  return s->rows > 1 && s->width <= MOST_COLUMNS && gathered < direct - direct / 16;
}

static bool open_slots(Sums *s) {
  const Field *f = &s->field;
  int64_t panel, bytes;
  s->results = f->axis[0].results * f->axis[1].results * f->axis[2].results;
  if (!size_mul(most(1, f->k), s->width * f->size, &panel)) return false;
  s->at_once = most(1, least(PANELS, GATHERED_BYTES / panel));
  s->slots = least(pool_threads(), s->groups * quotient_up(f->at_once * s->results, s->width));
  if (!size_mul(panel, s->at_once, &bytes) || !size_add(bytes, s->kernels->wide * f->size, &s->slot_bytes) ||
      !size_mul(s->slot_bytes, s->slots, &bytes))
    return false;
  s->row = mem_alloc((size_t)(f->k + 1) * sizeof *s->row);
  s->slot = s->row ? block_alloc((size_t)bytes) : NULL;
  for (int64_t p = 0; s->slot && p < f->k; p++) s->row[p] = p * s->width;
  return s->slot != NULL;
}

/* Runs a problem whose axes are set. */
static bool run_sums(Sums *s) {
  const Conv *c = s->conv;
  Field *f = &s->field;
  const Axis *a = f->axis;
  const ConvKernels *kernels = s->kernels;
  if (a[0].results * a[1].results * a[2].results == 0 || s->rows == 0) return true;
  int64_t bytes = 0;
  cut_columns(s);
  s->gathered = prefers_gathering(s);
  if (s->gathered) f->room = (int64_t)GATHERED_FIELDS * pool_threads();
  bool good = field_open(f, c, s->groups, 0, kernels->wide);
  if (good) {
    s->panels = quotient_up(s->rows, kernels->mr);
    good = size_mul(s->panels * kernels->mr, f->k + 1, &s->group_elements) &&
           size_mul(s->group_elements, s->groups, &bytes) && size_mul(bytes, f->size, &bytes);
  }
  if (good && s->gathered) good = open_slots(s);
  s->packed = good ? block_alloc((size_t)bytes) : NULL;
  if (s->packed) {
    parallel_for(s->groups * s->panels, most(1, CONV_TASK_WORK / (kernels->mr * (f->k + 1))), pack_task, s);
    for (int64_t first = 0; first < c->batch; first += f->at_once) {
      int64_t images = least(f->at_once, c->batch - first), each = PANELS * s->width * s->rows * (f->k + 1);
      field_fill(f, first, images);
      if (s->gathered) {
        s->total = images * s->results, s->next = 0;
        parallel_for(s->slots, 1, gathered_task, s);
        continue;
      }
      parallel_for(images * s->groups * quotient_up(s->units * s->unit_panels, PANELS), most(1, CONV_TASK_WORK / each),
                   sums_task, s);
    }
    block_free(s->packed, (size_t)bytes);
  }
  if (s->slot) block_free(s->slot, (size_t)(s->slots * s->slot_bytes));
  mem_free(s->row);
  good = s->packed != NULL;
  field_close(f);
  return good;
}

static void out_strides(Sums *s, const int64_t size[3]) {
  const Axis *a = s->field.axis;
  int64_t stride[3] = {size[1] * size[2], size[2], 1};
  s->out_plane = volume(size);
  for (int d = 0; d < 3; d++) {
    s->out += a[d].out_first * stride[d] * s->field.size;
    s->out_stride[d] = a[d].out_step * stride[d];
  }
}

static bool sums_down(const Conv *c, DType lane, const char *x, const char *w, const char *bias, char *y) {
  Sums s = {.conv = c,
            .kernels = conv_kernels(lane),
            .rows = c->out,
            .groups = c->groups,
            .w = w,
            .bias = bias,
            .out = y,
            .field = {.kernels = conv_kernels(lane), .channels = c->in, .source = x, .size = dtype_size(lane)}};
  for (int d = 0; d < 3; d++) s.field.axis[d] = axis_down(c, d);
  out_strides(&s, c->y);
  return run_sums(&s);
}

typedef struct {
  char *to;
  int64_t bytes;
} Clear;
enum { CLEAR_BYTES = 1 << 18 };
static void clear_task(void *context, int64_t begin, int64_t end) {
  const Clear *c = context;
  int64_t from = begin * CLEAR_BYTES;
  memset(c->to + from, 0, (size_t)(least(c->bytes, end * CLEAR_BYTES) - from));
}

static bool sums_up(const Conv *c, DType lane, const char *y, const char *w, const char *bias, char *x) {
  int64_t phases[3];
  bool gaps = false; /* places that no tap meets */
  for (int d = 0; d < 3; d++) {
    phases[d] = least(c->stride[d], c->x[d]);
    for (int64_t phase = 0; phase < phases[d]; phase++)
      gaps = gaps || axis_up(c, d, (phase + c->pad[d]) % c->stride[d]).taps == 0;
  }
  if (gaps && !bias) {
    Clear clear = {x, c->batch * c->groups * c->in * volume(c->x) * dtype_size(lane)};
    parallel_for(quotient_up(clear.bytes, CLEAR_BYTES), 1, clear_task, &clear);
  }
  for (int64_t n = 0; n < volume(phases); n++) {
    int64_t phase[3] = {n / phases[2] / phases[1], n / phases[2] % phases[1], n % phases[2]};
    Sums s = {.conv = c,
              .kernels = conv_kernels(lane),
              .up = true,
              .rows = c->in,
              .groups = c->groups,
              .w = w,
              .bias = bias,
              .out = x,
              .field = {.kernels = conv_kernels(lane), .channels = c->out, .source = y, .size = dtype_size(lane)}};
    for (int d = 0; d < 3; d++) s.field.axis[d] = axis_up(c, d, (phase[d] + c->pad[d]) % c->stride[d]);
    if (gaps && !bias && s.field.axis[0].taps * s.field.axis[1].taps * s.field.axis[2].taps == 0) continue;
    out_strides(&s, c->x);
    if (!run_sums(&s)) return false;
  }
  return true;
}

/* ---- sums over places: w from (x, y) ---- */

typedef struct {
  const Conv *conv;
  const ConvKernels *kernels;
  Field field;
  ConvPlaces at;
  int64_t places, y_row; /* results of an image; channels of y in `turned`, filled up to whole vectors */
  bool by_dots;          /* few channels: y stays as it is */
  const char *y;
  char *turned;    /* y of the images at hand, place after place */
  char *sums;      /* (group, product rounded up to whole tiles, y_row) */
  int64_t rows;    /* k rounded up */
  int64_t *offset; /* of the field, for all rows */
  bool add;
  char *w;
} Weights;

static void turn_task(void *context, int64_t begin, int64_t end) {
  const Weights *s = context;
  const Conv *c = s->conv;
  const int size = s->field.size;
  for (int64_t i = begin; i < end; i++) {
    char *to = at(s->turned, i * s->places * s->y_row, size);
    const char *from = at_const(s->y, (s->field.first * c->groups + i) * c->out * s->places, size);
    if (s->y_row > c->out) memset(to, 0, (size_t)(s->places * s->y_row * size));
    copy_transposed(to, s->y_row * size, from, s->places * size, s->places, c->out, size, false);
  }
}

static void weights_task(void *context, int64_t begin, int64_t end) {
  const Weights *s = context;
  const Field *f = &s->field;
  const Conv *c = s->conv;
  const int size = f->size, mr = s->kernels->mr, nr = s->kernels->nr;
  int64_t across = quotient_up(s->y_row, nr), down = s->rows / mr;
  for (int64_t t = begin; t < end; t++) {
    int64_t j = t % across * nr, i = t / across % down * mr, g = t / across / down;
    s->kernels->outer(&s->at, least(nr, s->y_row - j), at_const(f->data, g * c->in * f->plane, size), s->offset + i,
                      at_const(s->turned, g * s->places * s->y_row + j, size), s->y_row, s->add,
                      at(s->sums, (g * s->rows + i) * s->y_row + j, size), s->y_row);
  }
}

static void dots_task(void *context, int64_t begin, int64_t end) {
  const Weights *s = context;
  const Field *f = &s->field;
  const Conv *c = s->conv;
  const int size = f->size;
  for (int64_t t = begin; t < end; t++) {
    int64_t channel = t / f->k, p = t % f->k, g = channel / c->out;
    s->kernels->dot(&s->at, at_const(f->data, g * c->in * f->plane + f->offset[p], size),
                    at_const(s->y, (f->first * c->groups * c->out + channel) * s->places, size), s->add,
                    at(s->w, t, size));
  }
}

static void weights_store(void *context, int64_t begin, int64_t end) {
  const Weights *s = context;
  const int64_t out = s->conv->out, k = s->field.k;
  const int size = s->field.size;
  for (int64_t g = begin; g < end; g++)
    copy_transposed(at(s->w, g * out * k, size), k * size, at_const(s->sums, g * s->rows * s->y_row, size),
                    s->y_row * size, out, k, size, false);
}

static void run_images(Weights *s, int64_t first, int64_t images) {
  const Conv *c = s->conv;
  Field *f = &s->field;
  const int mr = s->kernels->mr, nr = s->kernels->nr;
  field_fill(f, first, images);
  s->add = first > 0;
  s->at.images = images;
  int64_t places = most(1, images * s->places);
  if (s->by_dots) {
    parallel_for(c->groups * c->out * f->k, most(1, CONV_TASK_WORK / places), dots_task, s);
    return;
  }
  parallel_for(images * c->groups, most(1, CONV_TASK_WORK / most(1, s->places * s->y_row)), turn_task, s);
  parallel_for(c->groups * (s->rows / mr) * quotient_up(s->y_row, nr), most(1, CONV_TASK_WORK / (places * mr * nr)),
               weights_task, s);
}

static bool weights(const Conv *c, DType lane, const char *x, const char *y, char *w) {
  Weights s = {.conv = c,
               .kernels = conv_kernels(lane),
               .places = volume(c->y),
               .y = y,
               .w = w,
               .field = {.kernels = conv_kernels(lane), .channels = c->in, .source = x, .size = dtype_size(lane)}};
  Field *f = &s.field;
  Axis *a = f->axis;
  const int size = f->size, lanes = s.kernels->lanes, mr = s.kernels->mr;
  for (int d = 0; d < 3; d++) a[d] = axis_down(c, d);
  s.by_dots = c->out * 4 <= lanes;
  s.y_row = quotient_up(c->out, lanes) * lanes;
  if (s.by_dots) f->room = DOTS_FIELDS; /* how images are divided shows in the sums */
  int64_t extra = s.by_dots ? 0 : c->groups * s.places * s.y_row * size, turned = 0, sums = 0,
          lines = c->y[0] * c->y[1];
  int64_t *line = NULL;
  bool good = field_open(f, c, c->groups, extra, s.kernels->wide);
  if (good) {
    s.rows = quotient_up(f->k, mr) * mr;
    good = size_mul(extra, f->at_once, &turned) &&
           conv_product(4, (int64_t[]){c->groups, s.rows, s.y_row, size}, &sums) &&
           (line = mem_alloc((size_t)(lines + s.rows + 1) * sizeof *line)) != NULL;
  }
  if (s.by_dots) turned = sums = 0;
  if (good && !s.by_dots) {
    s.turned = block_alloc((size_t)turned);
    s.sums = s.turned ? block_alloc((size_t)sums) : NULL;
    good = s.sums != NULL;
  }
  if (good) {
    s.offset = line + lines;
    for (int64_t r = 0; r < lines; r++) line[r] = (r / c->y[1] * a[1].length + r % c->y[1]) * a[2].length;
    for (int64_t p = 0; p < s.rows; p++) s.offset[p] = f->offset[least(p, f->k - 1)];
    s.at = (ConvPlaces){.field_step = f->image_channels * f->plane, .rows = lines, .width = c->y[2], .row = line};
    s.at.other_step = s.by_dots ? c->groups * c->out * s.places : c->groups * s.places * s.y_row;
    for (int64_t first = 0; first < c->batch; first += f->at_once)
      run_images(&s, first, least(f->at_once, c->batch - first));
    if (!s.by_dots) parallel_for(c->groups, most(1, CONV_TASK_WORK / (s.rows * s.y_row)), weights_store, &s);
  }
  if (s.turned) block_free(s.turned, (size_t)turned);
  if (s.sums) block_free(s.sums, (size_t)sums);
  mem_free(line);
  field_close(f);
  return good;
}

/* ---- 1 x 1: matrix products ---- */

static bool is_pointwise(const Conv *c) {
  for (int d = 0; d < 3; d++)
    if (c->k[d] != 1 || c->stride[d] != 1 || c->pad[d] != 0 || c->x[d] != c->y[d]) return false;
  return c->groups == 1 && c->in * c->out > 1;
}

static void fill_bias(DType d, const Conv *c, int64_t channels, const char *bias, char *to) {
  int size = dtype_size(d);
  int64_t plane = volume(c->x);
  for (int64_t i = 0; i < c->batch * channels; i++)
    fill_row(size)((char *[]){to + i * plane * size}, (int64_t[]){size}, plane, bias + i % channels * size);
}

/* out (rows, plane) = w source (channels, plane) for each image; w has the strides given. */
static bool pointwise(const Conv *c, DType d, const char *source, const char *w, bool up, const char *bias, char *out) {
  int64_t plane = volume(c->x), rows = up ? c->in : c->out, channels = up ? c->out : c->in;
  if (bias) fill_bias(d, c, rows, bias, out);
  return gemm_batch(&(Gemm){.dtype = d,
                            .m = rows,
                            .n = plane,
                            .k = channels,
                            .batch = c->batch,
                            .a = w,
                            .a_row = up ? 1 : c->in,
                            .a_col = up ? c->in : 1,
                            .b = source,
                            .b_row = plane,
                            .b_col = 1,
                            .b_batch = channels * plane,
                            .c = out,
                            .c_row = plane,
                            .c_batch = rows * plane,
                            .alpha = scalar_int(1),
                            .beta = scalar_int(bias != NULL)});
}

/* w (out, channels) = the sum over images of y (out, plane) x^T (plane, channels). */
static bool pointwise_weight(const Conv *c, DType d, const char *x, const char *y, char *w) {
  int64_t plane = volume(c->x);
  return gemm_batch(&(Gemm){.dtype = d,
                            .m = c->out,
                            .n = c->in,
                            .k = plane,
                            .batch = c->batch,
                            .a = y,
                            .a_row = plane,
                            .a_col = 1,
                            .a_batch = c->out * plane,
                            .b = x,
                            .b_row = 1,
                            .b_col = plane,
                            .b_batch = c->in * plane,
                            .c = w,
                            .c_row = c->in,
                            .alpha = scalar_int(1),
                            .beta = scalar_int(0)});
}

/* ---- tensors ---- */

static DType lane_of(DType d) {
  switch (d) {
  case MT_F64:
  case MT_I64: return d;
  case MT_F16:
  case MT_BF16:
  case MT_F32: return MT_F32;
  default: return MT_I32;
  }
}

typedef enum { DOWN, UP, WEIGHT } Which;

static bool dispatch(Which which, const Conv *c, DType lane, const char *a, const char *b, const char *bias,
                     char *out) {
  if (is_pointwise(c))
    return which == WEIGHT ? pointwise_weight(c, lane, a, b, out) : pointwise(c, lane, a, b, which == UP, bias, out);
  if (conv_is_depth(c, lane)) {
    if (which == WEIGHT) return conv_depth_weight(c, lane, a, b, out);
    conv_depth(c, lane, a, b, which == UP, bias, out);
    return true;
  }
  if (which == WEIGHT) return weights(c, lane, a, b, out);
  return which == UP ? sums_up(c, lane, a, b, bias, out) : sums_down(c, lane, a, b, bias, out);
}

/* Operands packed in the dtype that is computed in. */
static bool run(Which which, const Conv *c, Tensor *a, Tensor *b, Tensor *bias, Tensor *out) {
  if (out->numel == 0) return true;
  if (which == WEIGHT && (a->numel == 0 || b->numel == 0)) return tensor_fill(out, scalar_int(0));
  DType lane = lane_of((DType)out->dtype);
  Tensor *x = tensor_packed(a, lane), *y = x ? tensor_packed(b, lane) : NULL,
         *z = y && bias ? tensor_packed(bias, lane) : NULL;
  Tensor *to = NULL;
  if (y && (z || !bias))
    to = out->dtype == lane ? tensor_retain(out) : tensor_new(lane, out->ndim, out->shape, tensor_device(out));
  bool good =
      to && dispatch(which, c, lane, tensor_data(x), tensor_data(y), z ? tensor_data(z) : NULL, tensor_data(to));
  if (good && to != out) good = tensor_copy_into(out, to);
  tensor_release(to);
  tensor_release(z);
  tensor_release(y);
  tensor_release(x);
  return good;
}

bool cpu_conv_output(const Conv *c, Tensor *x, Tensor *w, Tensor *bias, Tensor *y) {
  return run(DOWN, c, x, w, bias, y);
}
bool cpu_conv_input(const Conv *c, Tensor *y, Tensor *w, Tensor *bias, Tensor *x) { return run(UP, c, y, w, bias, x); }
bool cpu_conv_weight(const Conv *c, Tensor *x, Tensor *y, Tensor *w) { return run(WEIGHT, c, x, y, NULL, w); }
