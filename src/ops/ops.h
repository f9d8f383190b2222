/* Operators as C functions, for gradient formulas and composed ops, and what infer functions share.
 *
 * Tensors go in borrowed and come out borrowed from the innermost pool; NULL after any failure. */
#ifndef MT_OPS_H
#define MT_OPS_H
#include "graph/node.h"
#include "tensor/promote.h"
#include "tensor/shape.h"

/* A Lua number as a weak 0-dim tensor in the pool. */
Tensor *op_number(Scalar s);
static inline Tensor *op_float(double d) { return op_number(scalar_float(d)); }
static inline Tensor *op_int(int64_t i) { return op_number(scalar_int(i)); }

/* pointwise.c, unary.c */
Tensor *op_add(Tensor *a, Tensor *b);
Tensor *op_sub(Tensor *a, Tensor *b);
Tensor *op_mul(Tensor *a, Tensor *b);
Tensor *op_div(Tensor *a, Tensor *b);
Tensor *op_pow(Tensor *a, Tensor *b);
Tensor *op_scale(Tensor *a, double factor); /* a * factor */
Tensor *op_neg(Tensor *a);
Tensor *op_exp(Tensor *a);
Tensor *op_log(Tensor *a);
Tensor *op_sqrt(Tensor *a);
Tensor *op_sign(Tensor *a);
Tensor *op_sin(Tensor *a);
Tensor *op_cos(Tensor *a);
Tensor *op_reciprocal(Tensor *a);
Tensor *op_eq(Tensor *a, Tensor *b);
Tensor *op_ne(Tensor *a, Tensor *b);
Tensor *op_lt(Tensor *a, Tensor *b);
Tensor *op_le(Tensor *a, Tensor *b);
Tensor *op_gt(Tensor *a, Tensor *b);
Tensor *op_ge(Tensor *a, Tensor *b);
Tensor *op_and(Tensor *a, Tensor *b); /* logical */
Tensor *op_not(Tensor *a);
Tensor *op_where(Tensor *condition, Tensor *a, Tensor *b);
Tensor *op_cast(Tensor *t, DType d); /* t itself when it has dtype d */

/* shape.c; dims count from 0, negative from the end */
Tensor *op_expand(Tensor *t, int ndim, const int64_t *shape);
Tensor *op_sum_to(Tensor *t, int ndim, const int64_t *shape);
Tensor *op_reshape(Tensor *t, int ndim, const int64_t *shape);
Tensor *op_transpose(Tensor *t, int64_t dim0, int64_t dim1);
Tensor *op_unsqueeze(Tensor *t, int64_t dim);
Tensor *op_squeeze(Tensor *t, int64_t dim); /* drops dim, which has size 1 */
Tensor *op_select(Tensor *t, int64_t dim, int64_t position);
Tensor *op_narrow(Tensor *t, int64_t dim, int64_t start, int64_t length);
Tensor *op_contiguous(Tensor *t);
Tensor *op_detach(Tensor *t);

/* create.c */
Tensor *op_zeros_like(Tensor *t);
Tensor *op_ones_like(Tensor *t);
Tensor *op_full(DType d, int ndim, const int64_t *shape, Device device, Scalar value);

/* Outside of the graph: writes values, cast and broadcast; a contiguous copy, owned by the caller. */
bool op_copy_values(Tensor *to, const Tensor *from);
Tensor *op_packed(const Tensor *t);
/* t on device d: itself where it is there. op_host: what C reads element by element. */
Tensor *op_on(Tensor *t, Device d);
static inline Tensor *op_host(Tensor *t) { return op_on(t, (Device){MT_CPU, 0}); }

/* reduce.c */
Tensor *op_sum(Tensor *t); /* everything, 0-dim */
Tensor *op_sum_dim(Tensor *t, int64_t dim, bool keepdim);
Tensor *op_sum_dims(Tensor *t, int n, const int64_t *dims, bool keepdim);
Tensor *op_mean(Tensor *t);

/* matmul.c */
Tensor *op_matmul(Tensor *a, Tensor *b);

/* index.c; index holds positions from 1 */
Tensor *op_gather(Tensor *t, int64_t dim, Tensor *index);
Tensor *op_scatter_add(Tensor *t, int64_t dim, Tensor *index, Tensor *source);
Tensor *op_index_select(Tensor *t, int64_t dim, Tensor *index);

/* index_more.c. The advanced index: index[k], an int64 or int32 tensor of positions or a mask, stands for dims[k] (from 0,
 * ascending; a mask for as many dims as it has). Index tensors broadcast; their axes stand where dims stood if those are
 * neighbours, else in front. Values broadcast too and have t's dtype. */
Tensor *op_index(Tensor *t, int n, Tensor *const *index, const int64_t *dims);
Tensor *op_index_put(Tensor *t, int n, Tensor *const *index, const int64_t *dims, Tensor *values, bool accumulate,
                     bool inplace);

/* join.c */
Tensor *op_cat(int n, Tensor *const *t, int64_t dim);
Tensor *op_stack(int n, Tensor *const *t, int64_t dim);

/* For infer functions. */
static inline DType arg_dtype(const OpCall *c, int k, DType otherwise) {
  return c->arg[k].given ? c->arg[k].dtype : otherwise;
}
/* Result 0 has argument 0's shape: with its dtype; as float (ints become the default one). Sets call->compute. */
bool infer_same(OpCall *c);
bool infer_float(OpCall *c);
/* Result 0 is the broadcast of the first 2 (3) arguments, in their promoted dtype / as float / as bool. */
bool infer_binary(OpCall *c);
bool infer_binary_float(OpCall *c);
bool infer_compare(OpCall *c);
bool infer_ternary(OpCall *c);
/* Shape of argument 0 without the reduced dims. dims < 0 of them: all. keep: they stay with size 1. Fills reduced[]. */
bool reduced_shape(const Tensor *t, int dims, const int64_t *dim, bool keep, bool reduced[MT_MAX_DIMS], int *ndim,
                   int64_t *shape);

/* One result of a composed op: takes a reference of its own. False when t is NULL. */
bool compose_return(OpCall *c, int k, Tensor *t);
/* A list as the result of a composed op: room for n tensors, then one after the other, each with a reference of its own. */
bool compose_list(OpCall *c, int64_t n);
bool compose_append(OpCall *c, Tensor *t);
#endif
