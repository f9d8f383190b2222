/* Shapes: checks, contiguous strides, broadcasting and view geometry. Positions here count from 0; the binding shifts. */
#ifndef MT_SHAPE_H
#define MT_SHAPE_H
#include "tensor/tensor.h"

/* Sizes are >= 0, at most MT_MAX_DIMS of them, and their product fits. */
bool shape_check(int ndim, const int64_t *shape);
void shape_strides(int ndim, const int64_t *shape, int64_t *stride);
/* Broadcasts `shape` into (ndim, out), which holds the result so far; false with PyTorch's message. */
bool shape_broadcast(int *out_ndim, int64_t *out, int ndim, const int64_t *shape);
/* Strides of t seen as `shape` (broadcast dims get 0); false when it does not expand to it. */
bool shape_expand(const Tensor *t, int ndim, const int64_t *shape, int64_t *stride);
/* Records PyTorch's message for a t that does not expand to shape. Returns false. */
bool shape_expand_fail(const Tensor *t, int ndim, const int64_t *shape) __attribute__((cold));
/* Fills the -1 of a requested shape; false with PyTorch's text when the counts cannot match. */
bool shape_infer(int64_t numel, int ndim, const int64_t *requested, int64_t *out);
/* Strides of t viewed as shape without moving data; false (no failure recorded) when data would have to move. */
bool shape_view_strides(const Tensor *t, int ndim, const int64_t *shape, int64_t *stride);
/* A dim given by the caller, -ndim..ndim-1 (0-based, negative from the end), to 0..ndim-1; a 0-dim tensor takes 0 and
 * -1. False with a message in the caller's counting from 1. */
bool dim_wrap(int64_t dim, int ndim, int *out);
#endif
