/* Fields of convolution: a field is a padded copy of an image's channels in which a tap is a mere offset.
 *
 * Each dim of a problem is an Axis by itself. With a stride the field holds each phase of the source as a plane of its own,
 * so that neighbouring results still read neighbouring places. */
#ifndef MT_CONV_FIELD_H
#define MT_CONV_FIELD_H
#include "cpu/conv.h"

enum { CONV_TASK_WORK = 1 << 15 }; /* multiplications of a task */

static inline int64_t least(int64_t x, int64_t y) { return x < y ? x : y; }
static inline int64_t most(int64_t x, int64_t y) { return x > y ? x : y; }
static inline int64_t quotient_up(int64_t n, int64_t d) { return n <= 0 ? -(-n / d) : (n - 1) / d + 1; }
static inline int64_t volume(const int64_t size[3]) { return size[0] * size[1] * size[2]; }
static inline void *at(void *p, int64_t i, int size) { return (char *)p + i * size; }
static inline const void *at_const(const void *p, int64_t i, int size) { return (const char *)p + i * size; }

const ConvKernels *conv_kernels(DType d); /* the best for this processor */
/* The product of n sizes; false, with the failure recorded, when it is too large. */
bool conv_product(int n, const int64_t *size, int64_t *out);

/* Result o, o < results, lies at out_first + o * out_step and takes tap j from source place o * step + shift + j * spread;
 * tap j is number tap + j * tap_step of the kernel. The field begins at source place `low`. */
typedef struct {
  int64_t results, out_first, out_step, source;
  int64_t taps, tap, tap_step, step, shift, spread;
  int64_t low, phases, length;
} Axis;

void axis_lay_out(Axis *a); /* low, phases and length from what stands before them */
Axis axis_down(const Conv *c, int d);
/* The places of x that are `phase` after a multiple of the stride, x computed from y. */
Axis axis_up(const Conv *c, int d, int64_t phase);

typedef struct {
  const ConvKernels *kernels;
  Axis axis[3];
  int64_t channels;      /* of the source in one group */
  int64_t plane, k;      /* elements of a channel; products in a sum: channels * taps */
  int64_t *offset, *tap; /* of product p: its place in the field, its number in the kernel; one block */
  const char *source;
  int64_t source_plane;
  char *data; /* `at_once` images of all channels */
  int64_t bytes, at_once, first, image_channels;
  int64_t room; /* bytes of fields at a time; 0: as many as the threads' caches hold */
  int size;
} Field;

/* Sizes, offsets and memory, once kernels, axis, channels, source and size are set. extra: further bytes that go with an image;
 * slack: elements read behind the last channel. False when memory runs out; close it all the same. */
bool field_open(Field *f, const Conv *c, int64_t groups, int64_t extra, int64_t slack);
/* Fills the field with `images` of them from number `first` on. */
void field_fill(Field *f, int64_t first, int64_t images);
void field_close(Field *f);
/* All phases of one plane, in lines of `line` >= across->length elements; `skip` elements lie between phases. Returns where
 * the next would begin. */
char *field_fill_plane(const ConvKernels *kernels, const Axis *down, const Axis *across, int64_t line, int64_t skip,
                       const char *from, char *to);
#endif
