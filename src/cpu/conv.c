/* Convolution on tensors: results are tiles over a field, a padded copy of an image in which a tap is a mere offset.
 *
 * With a stride the field holds each phase of the source as a plane of its own, so that neighbouring results still read
 * neighbouring places; where x is computed from y with a stride, every phase of x is a problem of its own with the taps
 * that meet it. No products with padding between elements arise, and no im2col. Invariant: what is summed, and in which
 * order, follows from shapes only. Without taps to speak of (1 x 1) it is a matrix product. */
#include "cpu/conv.h"
#include "base/alloc.h"
#include "base/pool.h"
#include "base/size.h"
#include "cpu/blocks.h"
#include "cpu/copy.h"
#include "cpu/copy_tensor.h"
#include "cpu/gemm.h"
#include "cpu/reduce.h"
#include <string.h>

VEC_TABLE(ConvKernels, conv_f32);
VEC_TABLE(ConvKernels, conv_f64);
VEC_TABLE(ConvKernels, conv_u32);
VEC_TABLE(ConvKernels, conv_u64);

enum {
  TASK_WORK = 1 << 15,   /* multiplications of a task */
  FIELD_BYTES = 1 << 20, /* of fields at a time, for each thread */
  PANELS = 4             /* of columns that a task takes at a time: a panel of weights stays in the first cache */
};

static const ConvKernels *kernels_for(DType d) {
  switch (d) {
  case MT_F32: return VEC_PICK(conv_f32);
  case MT_F64: return VEC_PICK(conv_f64);
  case MT_I32: return &conv_u32_base;
  default: return &conv_u64_base;
  }
}

static int64_t least(int64_t x, int64_t y) { return x < y ? x : y; }
static int64_t most(int64_t x, int64_t y) { return x > y ? x : y; }
static int64_t quotient_up(int64_t n, int64_t d) { return n <= 0 ? -(-n / d) : (n - 1) / d + 1; }
static int64_t volume(const int64_t size[3]) { return size[0] * size[1] * size[2]; }

/* The greatest common divisor. */
static int64_t common(int64_t a, int64_t b) {
  while (b) {
    int64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

static bool product(int n, const int64_t *size, int64_t *out) {
  *out = 1;
  for (int i = 0; i < n; i++)
    if (!size_mul(*out, size[i], out)) return false;
  return true;
}

/* ---- one dim ---- */

/* Result o, o < results, lies at out_first + o * out_step and takes tap j from source place o * step + shift + j * spread;
 * tap j is number tap + j * tap_step of the kernel. The field begins at source place `low`. */
typedef struct {
  int64_t results, out_first, out_step, source;
  int64_t taps, tap, tap_step, step, shift, spread;
  int64_t low, phases, length;
} Axis;

static void lay_out(Axis *a) {
  int64_t reach = most(a->taps - 1, 0) * a->spread;
  a->low = a->shift + least(reach, 0);
  a->phases = 1;
  int64_t cycle = a->spread % a->step ? least(a->taps, a->step) : 1;
  for (int64_t j = 0; j < cycle; j++) a->phases = most(a->phases, (a->shift + j * a->spread - a->low) % a->step + 1);
  a->length = a->results + most(reach, -reach) / a->step;
}

static Axis axis_down(const Conv *c, int d) {
  Axis a = {.results = c->y[d],
            .out_step = 1,
            .source = c->x[d],
            .taps = c->k[d],
            .tap_step = 1,
            .step = c->stride[d],
            .shift = -c->pad[d],
            .spread = c->dilation[d]};
  lay_out(&a);
  return a;
}

/* The places of x that are `phase` after a multiple of the stride, x computed from y. */
static Axis axis_up(const Conv *c, int d, int64_t phase) {
  int64_t s = c->stride[d], dilation = c->dilation[d], period = s / common(dilation, s), tap = 0;
  while (tap < least(period, c->k[d]) && tap * dilation % s != phase) tap++;
  int64_t first = quotient_up(c->pad[d] - phase, s), behind = c->x[d] + c->pad[d] - phase;
  Axis a = {.results = most(0, quotient_up(behind, s) - first),
            .out_first = s * first + phase - c->pad[d],
            .out_step = s,
            .source = c->y[d],
            .tap = tap,
            .tap_step = period,
            .step = 1};
  a.taps = tap < least(period, c->k[d]) ? (c->k[d] - 1 - tap) / period + 1 : 0;
  a.shift = first - (tap * dilation - phase) / s;
  a.spread = -(period * dilation / s);
  lay_out(&a);
  return a;
}

/* ---- fields ---- */

typedef struct {
  Axis axis[3];
  int64_t channels;      /* of the source in one group */
  int64_t plane, k;      /* elements of a channel; products in a sum: channels * taps */
  int64_t *offset, *tap; /* of product p: its place in the field, its number in the kernel; one block */
  const char *source;
  int64_t source_plane;
  char *data; /* `at_once` images of all channels */
  int64_t bytes, at_once, first, image_channels;
  int size;
} Field;

static void copy_line(const Axis *a, int64_t phase, int size, char *to, const char *from) {
  int64_t start = a->low + phase, begin = least(a->length, quotient_up(most(-start, 0), a->step));
  int64_t end = most(begin, least(a->length, quotient_up(a->source - start, a->step)));
  memset(to, 0, (size_t)(begin * size));
  if (end > begin) {
    from += (start + begin * a->step) * size;
    if (a->step == 1)
      memcpy(to + begin * size, from, (size_t)((end - begin) * size));
    else
      copy_strided(to + begin * size, size, from, a->step * size, end - begin, size);
  }
  memset(to + end * size, 0, (size_t)((a->length - end) * size));
}

static void fill_channel(const Field *f, char *to, const char *from) {
  const Axis *a = f->axis;
  int64_t line = a[2].length * f->size;
  for (int64_t p0 = 0; p0 < a[0].phases; p0++)
    for (int64_t p1 = 0; p1 < a[1].phases; p1++)
      for (int64_t p2 = 0; p2 < a[2].phases; p2++)
        for (int64_t j0 = 0; j0 < a[0].length; j0++) {
          int64_t s0 = a[0].low + p0 + j0 * a[0].step;
          for (int64_t j1 = 0; j1 < a[1].length; j1++, to += line) {
            int64_t s1 = a[1].low + p1 + j1 * a[1].step;
            if (s0 < 0 || s0 >= a[0].source || s1 < 0 || s1 >= a[1].source)
              memset(to, 0, (size_t)line);
            else
              copy_line(&a[2], p2, f->size, to, from + (s0 * a[1].source + s1) * a[2].source * f->size);
          }
        }
}

static void fill_task(void *context, int64_t begin, int64_t end) {
  const Field *f = context;
  for (int64_t i = begin; i < end; i++)
    fill_channel(f, f->data + i * f->plane * f->size,
                 f->source + (f->first * f->image_channels + i) * f->source_plane * f->size);
}

/* Fills the field with `images` of them from number `first` on. */
static void field_fill(Field *f, int64_t first, int64_t images) {
  f->first = first;
  parallel_for(images * f->image_channels, most(1, TASK_WORK / most(f->plane, 1)), fill_task, f);
}

/* Sizes, offsets and memory. extra: further bytes that go with an image; slack: elements read behind the last channel. */
static bool field_open(Field *f, const Conv *c, int64_t groups, int64_t extra, int64_t slack) {
  Axis *a = f->axis;
  int64_t image, cells = a[0].length * a[1].length * a[2].length;
  int64_t taps = a[0].taps * a[1].taps * a[2].taps;
  if (!product(6, (int64_t[]){a[0].length, a[1].length, a[2].length, a[0].phases, a[1].phases, a[2].phases},
               &f->plane) ||
      !product(3, (int64_t[]){f->plane, groups, f->channels}, &image) || !size_mul(image, f->size, &image))
    return false;
  f->image_channels = groups * f->channels;
  f->k = f->channels * taps;
  f->source_plane = a[0].source * a[1].source * a[2].source;
  f->at_once = most(1, least(c->batch, (int64_t)FIELD_BYTES * pool_threads() / most(image + extra, 1)));
  if (!size_mul(image, f->at_once, &f->bytes) || !size_add(f->bytes, slack * f->size, &f->bytes)) return false;
  f->offset = mem_alloc((size_t)(2 * f->k + 1) * sizeof(int64_t));
  f->data = f->offset ? block_alloc((size_t)f->bytes) : NULL;
  if (!f->data) return false;
  memset(f->data + f->bytes - slack * f->size, 0, (size_t)(slack * f->size));
  f->tap = f->offset + f->k;
  int64_t p = 0;
  for (int64_t channel = 0; channel < f->channels; channel++)
    for (int64_t t = 0; t < taps; t++, p++) {
      int64_t at = 0, phase = 0, number = 0,
              j[3] = {t / a[2].taps / a[1].taps, t / a[2].taps % a[1].taps, t % a[2].taps};
      for (int d = 0; d < 3; d++) {
        int64_t place = a[d].shift + j[d] * a[d].spread - a[d].low;
        at = at * a[d].length + place / a[d].step;
        phase = phase * a[d].phases + place % a[d].step;
        number = number * c->k[d] + a[d].tap + j[d] * a[d].tap_step;
      }
      f->offset[p] = channel * f->plane + phase * cells + at;
      f->tap[p] = number;
    }
  return true;
}

static void field_close(Field *f) {
  if (f->data) block_free(f->data, (size_t)f->bytes);
  mem_free(f->offset);
}

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
} Sums;

static void *at(void *p, int64_t i, int size) { return (char *)p + i * size; }
static const void *at_const(const void *p, int64_t i, int size) { return (const char *)p + i * size; }
static void copy_element(void *to, const void *from, int size) {
  if (size == 4)
    memcpy(to, from, 4);
  else
    memcpy(to, from, 8);
}

static int64_t panel_rows(const Sums *s, int64_t i) { return least(s->kernels->mr, s->rows - i * s->kernels->mr); }
/* Elements before panel i: all before it have the full height. */
static int64_t panel_start(const Sums *s, int64_t i) { return i * s->kernels->mr * (s->field.k + 1); }

static void pack_task(void *context, int64_t begin, int64_t end) {
  const Sums *s = context;
  const Field *f = &s->field;
  const int size = f->size;
  int64_t taps = volume(s->conv->k), each = f->channels ? f->k / f->channels : 0;
  for (int64_t t = begin; t < end; t++) {
    int64_t g = t / s->panels, i0 = t % s->panels * s->kernels->mr, rows = panel_rows(s, t % s->panels);
    int height = s->kernels->height(rows);
    char *to = at(s->packed, g * s->group_elements + panel_start(s, t % s->panels), size);
    memset(to, 0, (size_t)(height * size * (f->k + 1)));
    for (int64_t i = 0; i < rows; i++) {
      int64_t row = i0 + i;
      if (s->bias) copy_element(at(to, i, size), at_const(s->bias, g * s->rows + row, size), size);
      for (int64_t p = 0; p < f->k; p++) {
        int64_t channel = p / each;
        int64_t matrix =
            s->up ? (g * f->channels + channel) * s->rows + row : (g * s->rows + row) * f->channels + channel;
        copy_element(at(to, (p + 1) * height + i, size), at_const(s->w, matrix * taps + f->tap[p], size), size);
      }
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
    for (int64_t i = 0; count > 0 && i < rows; i++) {
      if (s->out_stride[2] == 1)
        memcpy(to, from, (size_t)(count * size));
      else
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

/* Runs a problem whose axes are set. */
static bool run_sums(Sums *s) {
  const Conv *c = s->conv;
  Field *f = &s->field;
  const Axis *a = f->axis;
  const ConvKernels *kernels = s->kernels;
  if (a[0].results * a[1].results * a[2].results == 0 || s->rows == 0) return true;
  int64_t bytes = 0;
  bool good = field_open(f, c, s->groups, 0, kernels->wide);
  if (good) {
    s->panels = quotient_up(s->rows, kernels->mr);
    good = size_mul(s->panels * kernels->mr, f->k + 1, &s->group_elements) &&
           size_mul(s->group_elements, s->groups, &bytes) && size_mul(bytes, f->size, &bytes);
  }
  s->packed = good ? block_alloc((size_t)bytes) : NULL;
  if (s->packed) {
    parallel_for(s->groups * s->panels, most(1, TASK_WORK / (kernels->mr * (f->k + 1))), pack_task, s);
    cut_columns(s);
    for (int64_t first = 0; first < c->batch; first += f->at_once) {
      int64_t images = least(f->at_once, c->batch - first), each = PANELS * s->width * s->rows * (f->k + 1);
      field_fill(f, first, images);
      parallel_for(images * s->groups * quotient_up(s->units * s->unit_panels, PANELS), most(1, TASK_WORK / each),
                   sums_task, s);
    }
    block_free(s->packed, (size_t)bytes);
  }
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
            .kernels = kernels_for(lane),
            .rows = c->out,
            .groups = c->groups,
            .w = w,
            .bias = bias,
            .out = y,
            .field = {.channels = c->in, .source = x, .size = dtype_size(lane)}};
  for (int d = 0; d < 3; d++) s.field.axis[d] = axis_down(c, d);
  out_strides(&s, c->y);
  return run_sums(&s);
}

static bool sums_up(const Conv *c, DType lane, const char *y, const char *w, const char *bias, char *x) {
  int64_t phases[3];
  for (int d = 0; d < 3; d++) phases[d] = least(c->stride[d], c->x[d]);
  for (int64_t n = 0; n < volume(phases); n++) {
    int64_t phase[3] = {n / phases[2] / phases[1], n / phases[2] % phases[1], n % phases[2]};
    Sums s = {.conv = c,
              .kernels = kernels_for(lane),
              .up = true,
              .rows = c->in,
              .groups = c->groups,
              .w = w,
              .bias = bias,
              .out = x,
              .field = {.channels = c->out, .source = y, .size = dtype_size(lane)}};
    for (int d = 0; d < 3; d++) s.field.axis[d] = axis_up(c, d, (phase[d] + c->pad[d]) % c->stride[d]);
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
    copy_transposed(to, s->y_row * size, size, from, size, s->places * size, s->places, c->out, size);
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
    copy_transposed(at(s->w, g * out * k, size), k * size, size, at_const(s->sums, g * s->rows * s->y_row, size), size,
                    s->y_row * size, out, k, size);
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
    parallel_for(c->groups * c->out * f->k, most(1, TASK_WORK / places), dots_task, s);
    return;
  }
  parallel_for(images * c->groups, most(1, TASK_WORK / most(1, s->places * s->y_row)), turn_task, s);
  parallel_for(c->groups * (s->rows / mr) * quotient_up(s->y_row, nr), most(1, TASK_WORK / (places * mr * nr)),
               weights_task, s);
}

static bool weights(const Conv *c, DType lane, const char *x, const char *y, char *w) {
  Weights s = {.conv = c,
               .kernels = kernels_for(lane),
               .places = volume(c->y),
               .y = y,
               .w = w,
               .field = {.channels = c->in, .source = x, .size = dtype_size(lane)}};
  Field *f = &s.field;
  Axis *a = f->axis;
  const int size = f->size, lanes = s.kernels->lanes, mr = s.kernels->mr;
  for (int d = 0; d < 3; d++) a[d] = axis_down(c, d);
  s.by_dots = c->out * 4 <= lanes;
  s.y_row = quotient_up(c->out, lanes) * lanes;
  int64_t extra = s.by_dots ? 0 : c->groups * s.places * s.y_row * size, turned = 0, sums = 0,
          lines = c->y[0] * c->y[1];
  int64_t *line = NULL;
  bool good = field_open(f, c, c->groups, extra, s.kernels->wide);
  if (good) {
    s.rows = quotient_up(f->k, mr) * mr;
    good = size_mul(extra, f->at_once, &turned) && product(4, (int64_t[]){c->groups, s.rows, s.y_row, size}, &sums) &&
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
    if (!s.by_dots) parallel_for(c->groups, most(1, TASK_WORK / (s.rows * s.y_row)), weights_store, &s);
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

static bool pointwise_weight(const Conv *c, DType d, const char *x, const char *y, char *w) {
  int64_t plane = volume(c->x), size = dtype_size(d);
  for (int64_t i = 0; i < c->batch; i++)
    if (!gemm(d, c->out, c->in, plane, 1, y + i * c->out * plane * size, plane, 1, x + i * c->in * plane * size, 1,
              plane, i > 0, w, c->in))
      return false;
  return true;
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
