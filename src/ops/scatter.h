/* Scatter: the checks that the families of index.c and scatter_more.c share. */
#ifndef MT_OPS_SCATTER_H
#define MT_OPS_SCATTER_H
#include "graph/op.h"

/* Arguments input, dim, index and, with `source`, src of a scatter; result 0 has input's shape and dtype. */
bool scatter_check(OpCall *c, bool source);
/* Arguments input, dim, index (a vector) and source, which has one slice for each position. */
bool vector_source_check(const OpCall *c);
#endif
