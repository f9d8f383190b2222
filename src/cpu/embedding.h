/* Embedding: rows of a table by position. `index` is an int64 or int32 tensor of positions from 1, checked here. */
#ifndef MT_EMBEDDING_KERNELS_H
#define MT_EMBEDDING_KERNELS_H
#include "tensor/tensor.h"

/* Whether index is an index tensor of positions from 1 to rows; else fails with the first that is not. */
bool cpu_embedding_check(const Tensor *index, int64_t rows);
/* out[i] = weight[index[i]]; out is contiguous, index has one element for each of its rows. */
bool cpu_embedding(Tensor *weight, Tensor *index, Tensor *out);
/* What the gradient of each row of the result counts: 0 for row `padding` (from 0; -1 none), else 1, with by_count
 * divided by how often the row was taken. out: float32 or float64. */
bool cpu_embedding_share(Tensor *index, int64_t rows, int64_t padding, bool by_count, Tensor *out);
/* Scales the rows of weight that index names, where their norm is above most, to norm `most`. */
bool cpu_embedding_renorm(Tensor *weight, Tensor *index, double most, double p);
/* index and bag (int64, contiguous) name a row and a bag each: out[b][d] is the position of the row whose element d is
 * the largest of bag b's; the first of equals, 1 for an empty bag. */
bool cpu_bag_max(Tensor *weight, Tensor *index, Tensor *bag, Tensor *out);
#endif
