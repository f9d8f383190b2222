/* Shapes: checks, broadcasting, and the geometry of view and expand. */
#include "tensor/shape.h"
#include "base/size.h"
#include <string.h>

bool shape_check(int ndim, const int64_t *shape) {
  if (ndim < 0 || ndim > MT_MAX_DIMS)
    return fail(MT_EARG, "tensors of %d dimensions are refused: at most %d", ndim, MT_MAX_DIMS);
  for (int d = 0; d < ndim; d++)
    if (shape[d] < 0)
      return fail(MT_EARG, "Trying to create tensor with negative dimension %lld: %s", (long long)shape[d],
                  shape_text(ndim, shape));
  return true;
}

void shape_strides(int ndim, const int64_t *shape, int64_t *stride) {
  int64_t step = 1;
  for (int d = ndim - 1; d >= 0; d--) {
    stride[d] = step;
    step *= shape[d] > 1 ? shape[d] : 1;
  }
}

bool shape_broadcast(int *out_ndim, int64_t *out, int ndim, const int64_t *shape) {
  int longest = ndim > *out_ndim ? ndim : *out_ndim;
  int64_t result[MT_MAX_DIMS];
  for (int k = 0; k < longest; k++) { /* k-th dim from the end */
    int64_t a = k < *out_ndim ? out[*out_ndim - 1 - k] : 1;
    int64_t b = k < ndim ? shape[ndim - 1 - k] : 1;
    if (a != b && a != 1 && b != 1)
      return fail(
          MT_EARG,
          "The size of tensor a (%lld) must match the size of tensor b (%lld) at non-singleton dimension %d: "
          "shapes %s and %s do not broadcast. Sizes are matched from the last dim; use unsqueeze, view or expand "
          "to line them up",
          (long long)a, (long long)b, longest - k, shape_text(*out_ndim, out), shape_text(ndim, shape));
    result[longest - 1 - k] = a == 1 ? b : a;
  }
  for (int d = 0; d < longest; d++) out[d] = result[d];
  *out_ndim = longest;
  return true;
}

bool shape_expand(const Tensor *t, int ndim, const int64_t *shape, int64_t *stride) {
  int lead = ndim - t->ndim;
  bool fits = lead >= 0;
  for (int d = 0; fits && d < ndim; d++) {
    if (d < lead) {
      stride[d] = 0;
    } else {
      int64_t size = t->shape[d - lead];
      stride[d] = size == shape[d] ? t->stride[d - lead] : 0;
      fits = size == shape[d] || size == 1;
    }
  }
  return fits;
}

bool shape_expand_fail(const Tensor *t, int ndim, const int64_t *shape) {
  int lead = ndim - t->ndim, d = ndim - 1;
  if (lead < 0)
    return fail(MT_EARG,
                "expand: the number of sizes provided (%d) must be greater or equal to the number of dimensions in the "
                "tensor (%d): shapes are %s and %s",
                ndim, t->ndim, shape_text(ndim, shape), shape_text(t->ndim, t->shape));
  while (d > lead && (t->shape[d - lead] == shape[d] || t->shape[d - lead] == 1)) d--;
  return fail(MT_EARG,
              "The expanded size of the tensor (%lld) must match the existing size (%lld) at non-singleton dimension "
              "%d.  Target sizes: %s.  Tensor sizes: %s",
              (long long)shape[d], (long long)t->shape[d - lead], d + 1, shape_text(ndim, shape),
              shape_text(t->ndim, t->shape));
}

/* For a message: the first place where a -1 would do, and what it would stand for. */
static const char *fitting(int ndim, const int64_t *shape, int64_t numel, int64_t product) {
  int64_t with[MT_MAX_DIMS];
  for (int d = 0; d < ndim && numel > 0; d++) {
    int64_t others = shape[d] > 0 ? product / shape[d] : 0;
    if (others < 1 || numel % others) continue;
    memcpy(with, shape, sizeof *shape * (size_t)ndim);
    with[d] = -1;
    return text("; %s would fit, its -1 is %lld then", shape_text(ndim, with), (long long)(numel / others));
  }
  return "; no -1 in place of one of them would fit";
}

bool shape_infer(int64_t numel, int ndim, const int64_t *requested, int64_t *out) {
  int unknown = -1;
  int64_t known = 1, span = 1; /* span: without the zeros, since strides are made of the other sizes */
  for (int d = 0; d < ndim; d++) {
    out[d] = requested[d];
    if (requested[d] == -1) {
      if (unknown >= 0)
        return fail(MT_EARG, "only one dimension can be inferred: shape %s", shape_text(ndim, requested));
      unknown = d;
    } else if (requested[d] < 0) {
      return fail(MT_EARG, "invalid shape dimension %lld in %s: sizes are 0 or more, or one -1",
                  (long long)requested[d], shape_text(ndim, requested));
    } else if (!size_mul(known, requested[d], &known) || !size_mul(span, requested[d] + !requested[d], &span)) {
      return false;
    }
  }
  if (unknown >= 0 && known == 0)
    return fail(MT_EARG,
                "cannot reshape tensor of 0 elements into shape %s because the unspecified dimension size -1 can be "
                "any value and is ambiguous",
                shape_text(ndim, requested));
  if (unknown >= 0 && numel % known == 0) {
    out[unknown] = numel / known;
    return true;
  }
  if (unknown >= 0 || known != numel)
    return fail(MT_EARG, "shape '%s' is invalid for input of size %lld: the sizes given multiply to %lld%s",
                shape_text(ndim, requested), (long long)numel, (long long)known,
                unknown >= 0 ? ", which does not divide it" : fitting(ndim, requested, numel, known));
  return true;
}

bool shape_view_strides(const Tensor *t, int ndim, const int64_t *shape, int64_t *stride) {
  if (t->numel == 0) {
    shape_strides(ndim, shape, stride);
    return true;
  }
  /* Walk both shapes from the back: each run of dims of t that lies evenly in memory must be cut exactly by new dims. */
  int view = ndim - 1;
  int64_t run = 1, viewed = 1, base = t->ndim ? t->stride[t->ndim - 1] : 1;
  for (int d = t->ndim - 1; d >= 0; d--) {
    run *= t->shape[d];
    bool ends = d == 0 || (t->shape[d - 1] != 1 && t->stride[d - 1] != run * base);
    if (!ends) continue;
    while (view >= 0 && (viewed < run || shape[view] == 1)) {
      stride[view] = viewed * base;
      viewed *= shape[view--];
    }
    if (viewed != run) return false;
    if (d > 0) base = t->stride[d - 1];
    run = viewed = 1;
  }
  for (; view >= 0; view--) stride[view] = t->ndim ? viewed * base : 1;
  return true;
}

bool dim_wrap(int64_t dim, int ndim, int *out) {
  int range = ndim > 0 ? ndim : 1;
  if (dim >= -range && dim < range) {
    *out = (int)(dim < 0 ? dim + range : dim);
    return true;
  }
  return fail(MT_EINDEX, "Dimension out of range (expected to be in range of [1, %d] or [-%d, -1], but got %lld)",
              range, range, (long long)(dim >= 0 ? dim + 1 : dim));
}
