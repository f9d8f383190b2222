/* Convolution: geometry of one, what runs it on tensors, and the kernels that src/cpu/vec/conv.c offers to src/cpu/conv.c.
 *
 * Three maps with one geometry: y from (x, w), x from (y, w), w from (x, y); each is linear in both arguments and the
 * gradients of each are the other two. Layouts: x (batch, groups * in, x...), y (batch, groups * out, y...),
 * w (groups * out, in, k...); y[o] sums w[t] x[o * stride - pad + t * dilation]. */
#ifndef MT_CONV_H
#define MT_CONV_H
#include "cpu/isa.h"
#include "tensor/tensor.h"

typedef struct Conv {
  int64_t batch, groups, in, out; /* in, out: channels of one group */
  int64_t x[3], y[3], k[3];       /* dims that a problem lacks stand in front, with size 1 */
  int64_t stride[3], pad[3], dilation[3];
} Conv;

/* Tensors of any strides and of one dtype, results contiguous; bias has a value for each channel, or is NULL. False when
 * memory runs out. */
bool cpu_conv_output(const Conv *c, Tensor *x, Tensor *w, Tensor *bias, Tensor *y);
bool cpu_conv_input(const Conv *c, Tensor *y, Tensor *w, Tensor *bias, Tensor *x);
bool cpu_conv_weight(const Conv *c, Tensor *x, Tensor *y, Tensor *w);

/* Below this line: the kernels of one element type. A field is a padded copy of an image's channels in which the same tap
 * of neighbouring results lies at neighbouring places. */
enum { CONV_TILE_BYTES = 2048 }; /* the largest tile */

/* Where the results of a sum over all places lie: `rows` lines of `width` places, in each of `images` fields. */
typedef struct {
  int64_t images, field_step, other_step; /* from image to image */
  int64_t rows, width;
  const int64_t *row; /* of the field, where each line begins */
} ConvPlaces;

/* A window of a plane: lines of `line` elements, a whole number of vectors, from which `rows` lines of `columns` results are
 * computed. Result (r, q) takes tap t from place r * line + q + offset[t]. As much as a vector behind the last line may be
 * read. */
typedef struct {
  int64_t rows, columns, line, taps;
  const int64_t *offset;
  const void *next; /* next_bytes that will be read next */
  int64_t next_bytes;
} ConvWindow;

/* A plane and a kernel of square * square neighbours: result (r, q) takes tap (i, j) from row r + i + up, column
 * q + j + left, and zero where there is none. */
typedef struct {
  int64_t rows, columns, x_rows, x_columns, up, left;
  int square;
} ConvPlane;

typedef struct {
  int mr, nr, wide, lanes, size; /* rows and columns of a tile, columns of a tile of one row */
  int (*height)(int64_t rows);   /* the least height of a tile for so many rows, at most mr */
  /* c[i][q] = a[i] + the sum over p < k of a[(p + 1) * height + i] * field[offset[p] + q]; columns are computed, and c
   * written, in whole vectors; columns <= nr (wide if the height is 1). */
  void (*tile)(int height, int64_t columns, int64_t k, const void *a, const void *field, const int64_t *offset, void *c,
               int64_t c_row);
  /* Packs columns of a field for `tile`, k rows of nr: row p has, from column to[i] on, what follows offset[p] + from[i].
   * Each piece is at most a vector, in the order of `to`; a vector behind the last row may be written. */
  void (*gather)(int64_t k, const int64_t *offset, const void *field, int64_t pieces, const int64_t *from,
                 const int64_t *to, void *out);
  /* c[i][j] (+)= the sum over all places q of field[offset[i] + q] * other[q * other_row + j], for mr rows and `columns`
   * columns in whole vectors; places in `other` are packed. */
  void (*outer)(const ConvPlaces *at, int64_t columns, const void *field, const int64_t *offset, const void *other,
                int64_t other_row, bool add, void *c, int64_t c_row);
  /* The same for one row and one column: c (+)= the sum over q of field[offset + q] * other[q]. */
  void (*dot)(const ConvPlaces *at, const void *field, const void *other, bool add, void *c);
  /* rows of n elements, which lie so far apart. */
  void (*copy_lines)(void *to, int64_t to_row, const void *from, int64_t from_row, int64_t rows, int64_t n);
  /* Lines of a padded copy: `left` zeros, n elements that lie `step` apart, zeros; sources lie from_row apart. */
  void (*lines)(void *to, int64_t line, int64_t rows, int64_t left, const void *from, int64_t from_row, int64_t step,
                int64_t n);
  /* out[r][q] = *start + the sum over t of w[t] * what tap t takes. */
  void (*window)(const ConvWindow *at, const void *x, const void *w, const void *start, void *out, int64_t out_row);
  /* sums[t] += the sum over all results of y[r][q] * what tap t takes. */
  void (*dots)(const ConvWindow *at, const void *x, const void *y, int64_t y_row, void *sums);
  /* The same on planes as they lie, for squares of 3 and 5, and sums = rather than += for squares of 3; NULL for integers. */
  void (*plane)(const ConvPlane *at, const void *x, const void *w, const void *start, void *out);
  void (*plane_dots)(const ConvPlane *at, const void *x, const void *y, void *sums);
  void (*add)(void *to, const void *from, int64_t n);
} ConvKernels;
#endif
