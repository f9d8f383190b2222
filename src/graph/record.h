/* Recording, inside the graph floor: how nodes are made. */
#ifndef MT_RECORD_H
#define MT_RECORD_H
#include "graph/node.h"

Node *node_new(NodeKind kind, int outs); /* refs 1, no edges yet */
void node_drop(Node *n);                 /* frees saved tensors */
/* A node that says: `part` is that region of `base`, whose history flows to base's edge. Owned. */
Node *record_part(Tensor *base, Tensor *part);

/* The operators that the graph itself calls. */
extern OpDef def_copy_, def_add, def_part, def_part_back, def_part_put, def_zeros_like, def_sum_to, def_cast;

/* Geometry arguments shared by part, part_back and part_put: the base's shape and strides, the part's, and how many
 * elements the part starts after the base. */
typedef struct PartArgs {
  Arg arg[5];
} PartArgs;
PartArgs part_args(int base_ndim, const int64_t *base_shape, const int64_t *base_stride, int ndim, const int64_t *shape,
                   const int64_t *stride, int64_t offset);
#endif
