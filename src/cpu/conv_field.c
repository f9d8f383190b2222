/* Axes and fields of convolution. Invariant: all sizes are checked before memory is taken. */
#include "cpu/conv_field.h"
#include "base/alloc.h"
#include "base/pool.h"
#include "base/size.h"
#include <string.h>

VEC_TABLE(ConvKernels, conv_f32);
VEC_TABLE(ConvKernels, conv_f64);
VEC_TABLE(ConvKernels, conv_u32);
VEC_TABLE(ConvKernels, conv_u64);

enum { FIELD_BYTES = 1 << 20 }; /* of fields at a time, for each thread */

const ConvKernels *conv_kernels(DType d) {
  switch (d) {
  case MT_F32: return VEC_PICK(conv_f32);
  case MT_F64: return VEC_PICK(conv_f64);
  case MT_I32: return &conv_u32_base;
  default: return &conv_u64_base;
  }
}

/* The greatest common divisor. */
static int64_t common(int64_t a, int64_t b) {
  while (b) {
    int64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

bool conv_product(int n, const int64_t *size, int64_t *out) {
  *out = 1;
  for (int i = 0; i < n; i++)
    if (!size_mul(*out, size[i], out)) return false;
  return true;
}

/* ---- one dim ---- */

void axis_lay_out(Axis *a) {
  int64_t reach = most(a->taps - 1, 0) * a->spread;
  a->low = a->shift + least(reach, 0);
  a->phases = 1;
  int64_t cycle = a->spread % a->step ? least(a->taps, a->step) : 1;
  for (int64_t j = 0; j < cycle; j++) a->phases = most(a->phases, (a->shift + j * a->spread - a->low) % a->step + 1);
  a->length = a->results + most(reach, -reach) / a->step;
}

Axis axis_down(const Conv *c, int d) {
  Axis a = {.results = c->y[d],
            .out_step = 1,
            .source = c->x[d],
            .taps = c->k[d],
            .tap_step = 1,
            .step = c->stride[d],
            .shift = -c->pad[d],
            .spread = c->dilation[d]};
  axis_lay_out(&a);
  return a;
}

Axis axis_up(const Conv *c, int d, int64_t phase) {
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
  axis_lay_out(&a);
  return a;
}

/* ---- fields ---- */

/* The range of i < n for which first + i * step is a place of the source. */
static void inside(int64_t first, int64_t step, int64_t source, int64_t n, int64_t *begin, int64_t *end) {
  *begin = least(n, quotient_up(most(-first, 0), step));
  *end = most(*begin, least(n, quotient_up(source - first, step)));
}

char *field_fill_plane(const ConvKernels *kernels, const Axis *down, const Axis *across, int64_t line, int64_t skip,
                       const char *from, char *to) {
  const int size = kernels->size;
  for (int64_t p0 = 0; p0 < down->phases; p0++)
    for (int64_t p1 = 0; p1 < across->phases; p1++, to += skip * size) {
      int64_t top = down->low + p0, left = across->low + p1, first, last, begin, end;
      inside(top, down->step, down->source, down->length, &first, &last);
      inside(left, across->step, across->source, across->length, &begin, &end);
      memset(to, 0, (size_t)(first * line * size));
      if (last > first && end > begin)
        kernels->lines(to + first * line * size, line, last - first, begin,
                       from + ((top + first * down->step) * across->source + left + begin * across->step) * size,
                       down->step * across->source, across->step, end - begin);
      else
        memset(to + first * line * size, 0, (size_t)((last - first) * line * size));
      to += last * line * size;
      memset(to, 0, (size_t)((down->length - last) * line * size));
      to += (down->length - last) * line * size;
    }
  return to;
}

static void fill_channel(const Field *f, char *to, const char *from) {
  const Axis *a = f->axis;
  int64_t plane = a[1].source * a[2].source * f->size;
  if (a[0].phases == 1 && a[0].length == 1 && a[0].low >= 0 && a[0].low < a[0].source) {
    field_fill_plane(f->kernels, &a[1], &a[2], a[2].length, 0, from + a[0].low * plane, to);
    return;
  }
  int64_t whole = a[1].phases * a[2].phases, cells = a[1].length * a[2].length * f->size;
  for (int64_t p0 = 0; p0 < a[0].phases; p0++)
    for (int64_t p = 0; p < whole; p++) {
      Axis down = a[1], across = a[2];
      down.low += p / a[2].phases, across.low += p % a[2].phases;
      down.phases = across.phases = 1;
      for (int64_t j0 = 0; j0 < a[0].length; j0++, to += cells) {
        int64_t s0 = a[0].low + p0 + j0 * a[0].step;
        if (s0 < 0 || s0 >= a[0].source)
          memset(to, 0, (size_t)cells);
        else
          field_fill_plane(f->kernels, &down, &across, a[2].length, 0, from + s0 * plane, to);
      }
    }
}

static void fill_task(void *context, int64_t begin, int64_t end) {
  const Field *f = context;
  for (int64_t i = begin; i < end; i++)
    fill_channel(f, f->data + i * f->plane * f->size,
                 f->source + (f->first * f->image_channels + i) * f->source_plane * f->size);
}

void field_fill(Field *f, int64_t first, int64_t images) {
  f->first = first;
  parallel_for(images * f->image_channels, most(1, CONV_TASK_WORK / most(f->plane, 1)), fill_task, f);
}

bool field_open(Field *f, const Conv *c, int64_t groups, int64_t extra, int64_t slack) {
  Axis *a = f->axis;
  int64_t image, cells = a[0].length * a[1].length * a[2].length;
  int64_t taps = a[0].taps * a[1].taps * a[2].taps;
  if (!conv_product(6, (int64_t[]){a[0].length, a[1].length, a[2].length, a[0].phases, a[1].phases, a[2].phases},
                    &f->plane) ||
      !conv_product(3, (int64_t[]){f->plane, groups, f->channels}, &image) || !size_mul(image, f->size, &image))
    return false;
  f->image_channels = groups * f->channels;
  f->k = f->channels * taps;
  f->source_plane = a[0].source * a[1].source * a[2].source;
  f->at_once =
      most(1, least(c->batch, (f->room ? f->room : (int64_t)FIELD_BYTES * pool_threads()) / most(image + extra, 1)));
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

void field_close(Field *f) {
  if (f->data) block_free(f->data, (size_t)f->bytes);
  mem_free(f->offset);
}
