/* What operators that reduce dims share. A Dim or Dims argument that is nil, or an empty list of dims, means all dims. */
#ifndef MT_OPS_REDUCE_H
#define MT_OPS_REDUCE_H
#include "cpu/reduce.h"
#include "ops/ops.h"

typedef struct {
  bool reduced[MT_MAX_DIMS];
  int ndim; /* of the result */
  int64_t shape[MT_MAX_DIMS];
} Reduced;

bool reduced_by(const Tensor *t, const Arg *dim, ParamType type, bool keep, Reduced *r);
/* Argument `at` is the Dim or Dims: result k is argument 0 without those dims. */
bool infer_reduced(OpCall *c, int k, DType dtype, int at, bool keep);
/* Folds argument 0 over the dims of argument `at` (0: all) into result 0, as elements of dtype `as`. */
bool reduce_call(OpCall *c, int at, DType as, Reduction how);
/* A gradient or result of such an op (argument `at` its dims, 0: all), expanded to argument 0's shape. */
Tensor *spread(const Grad *g, Tensor *t, int at, bool keep);
/* How many elements went into one result. */
int64_t reduced_count(const Grad *g, int at);
/* gy shared out evenly among the elements that equal the result. */
void back_evenly(Grad *g, Tensor *result, int at, bool keep);
/* The gradient of an op that picked elements along a dim: gy goes to where `index` says. squeezed: the dim was dropped. */
Tensor *picked_back(const Grad *g, Tensor *index, int64_t dim, bool squeezed);
/* A dim that a position is asked of must have elements. */
bool infer_picked(OpCall *c, int64_t dim, bool keep, int values, int index);
#endif
