/* Sliding blocks of images as columns, and columns added up where they come from: im2col and col2im.
 *
 * A row of the columns' matrix is one element of the kernel at every step: rows of the image, shifted. Planes (an image's
 * channel each) are shared among threads; a plane's sums run in the kernel's order. 16-bit floats are summed in float32. */
#include "base/pool.h"
#include "cpu/copy.h"
#include "cpu/copy_tensor.h"
#include "cpu/kernels.h"
#include "cpu/reduce.h"
#include <string.h>

typedef struct {
  const int64_t *kernel, *dilation, *pad, *stride; /* two each, height first */
  int64_t size[2], steps[2];                       /* of the image, of blocks */
  int64_t bytes;                                   /* of an element */
  char *image, *columns;
} Slide;

/* Steps of dim d that kernel element k finds inside of the image: [*first, *last). */
static void inside(const Slide *s, int d, int64_t k, int64_t *first, int64_t *last) {
  int64_t at = k * s->dilation[d] - s->pad[d], step = s->stride[d], left = s->size[d] - at;
  *first = at >= 0 ? 0 : (-at + step - 1) / step;
  *last = left <= 0 ? 0 : (left + step - 1) / step;
  if (*last > s->steps[d]) *last = s->steps[d];
  if (*first > *last) *first = *last;
}

static void take_row(const Slide *s, char *to, const char *from, int64_t first, int64_t last) {
  int64_t size = s->bytes, n = last - first;
  memset(to, 0, (size_t)(first * size));
  memset(to + last * size, 0, (size_t)((s->steps[1] - last) * size));
  if (s->stride[1] == 1 && n * size <= FEW_BYTES)
    copy_few(to + first * size, from, n * size);
  else
    copy_strided(to + first * size, size, from, s->stride[1] * size, n, (int)size);
}

#define ADD_ROW(T)                                                                       \
  typedef T Four_##T __attribute__((vector_size(4 * sizeof(T)), aligned(sizeof(T))));    \
  static void add_row_##T(char *image, int64_t step, const char *columns, int64_t n) {   \
    T *restrict to = (T *)image;                                                         \
    const T *restrict from = (const T *)columns;                                         \
    int64_t i = 0;                                                                       \
    if (step == 1)                                                                       \
      for (; i + 4 <= n; i += 4) *(Four_##T *)(to + i) += *(const Four_##T *)(from + i); \
    for (T *at = to + i * step; i < n; i++, at += step) *at += from[i];                  \
  }
ADD_ROW(float)
ADD_ROW(double)

/* Planes begin .. end - 1, one way or the other. */
static void run_planes(const Slide *s, int64_t begin, int64_t end, bool add) {
  int64_t size = s->bytes, row = s->steps[1] * size, first[2], last[2];
  for (int64_t p = begin; p < end; p++) {
    char *image = s->image + p * s->size[0] * s->size[1] * size;
    char *columns = s->columns + p * s->kernel[0] * s->kernel[1] * s->steps[0] * row;
    if (add) memset(image, 0, (size_t)(s->size[0] * s->size[1] * size));
    for (int64_t k = 0; k < s->kernel[0] * s->kernel[1]; k++) {
      int64_t across = k % s->kernel[1], down = k / s->kernel[1];
      inside(s, 0, down, &first[0], &last[0]);
      inside(s, 1, across, &first[1], &last[1]);
      if (first[1] == last[1]) first[0] = last[0] = 0;
      for (int64_t i = 0; i < s->steps[0]; i++, columns += row) {
        if (i < first[0] || i >= last[0]) {
          if (!add) memset(columns, 0, (size_t)row);
          continue;
        }
        int64_t y = i * s->stride[0] + down * s->dilation[0] - s->pad[0];
        int64_t x = first[1] * s->stride[1] + across * s->dilation[1] - s->pad[1], n = last[1] - first[1];
        char *at = image + (y * s->size[1] + x) * size;
        if (!add)
          take_row(s, columns, at, first[1], last[1]);
        else if (size == 4)
          add_row_float(at, s->stride[1], columns + first[1] * size, n);
        else
          add_row_double(at, s->stride[1], columns + first[1] * size, n);
      }
    }
  }
}
static void take_planes(void *context, int64_t begin, int64_t end) { run_planes(context, begin, end, false); }
static void add_planes(void *context, int64_t begin, int64_t end) { run_planes(context, begin, end, true); }

enum { UNIT = 32768 }; /* elements that are worth a thread */

static Slide slide_of(const Arg *blocks, const Tensor *image, const int64_t *steps, DType dtype) {
  const int64_t *b = blocks->ints;
  return (Slide){b,    b + 2, b + 4, b + 6, {image->shape[2], image->shape[3]}, {steps[0], steps[1]}, dtype_size(dtype),
                 NULL, NULL};
}
static void run(Slide *s, const Tensor *image, bool add) {
  int64_t planes = image->shape[0] * image->shape[1], each = s->kernel[0] * s->kernel[1] * s->steps[0] * s->steps[1];
  parallel_for(planes, each >= UNIT ? 1 : UNIT / (each + 1) + 1, add ? add_planes : take_planes, s);
}

/* im2col(input, blocks, steps): (N, C, H, W) to (N, C kernel, steps) */
bool cpu_im2col(OpCall *c) {
  DType dtype = (DType)in(c, 0)->dtype;
  Tensor *image = tensor_packed(in(c, 0), dtype);
  if (!image) return false;
  Slide s = slide_of(&c->arg[1], image, c->arg[2].ints, dtype);
  s.image = tensor_data(image);
  s.columns = tensor_data(c->out[0]);
  if (c->out[0]->numel > 0) run(&s, image, false);
  tensor_release(image);
  return true;
}

/* col2im(input, size, blocks, steps): the sums, (N, C, H, W) */
bool cpu_col2im(OpCall *c) {
  Tensor *out = c->out[0];
  DType lane = out->dtype == MT_F64 ? MT_F64 : MT_F32;
  Tensor *columns = tensor_packed(in(c, 0), lane);
  Tensor *image = out->dtype == lane ? tensor_retain(out) : tensor_new(lane, out->ndim, out->shape, tensor_device(out));
  bool good = columns && image;
  if (good && out->numel > 0) {
    Slide s = slide_of(&c->arg[2], image, c->arg[3].ints, lane);
    s.image = tensor_data(image);
    s.columns = tensor_data(columns);
    run(&s, image, true);
    good = image == out || tensor_copy_into(out, image);
  }
  tensor_release(image);
  tensor_release(columns);
  return good;
}
