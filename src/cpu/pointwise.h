/* Pointwise kernels of the CPU: one row function per formula and input dtype.
 *
 * The output's dtype is the inputs' or bool, by pointwise_info; the first input of `where` is bool. A NULL slot means
 * that PyTorch has no such operator for the dtype, or that the operator promotes first (exp of integers).
 * The context of a row is a PointwiseContext, or NULL for formulas whose `extra` is EXTRA_NONE or EXTRA_ANGLE. */
#ifndef MT_POINTWISE_H
#define MT_POINTWISE_H
#include "base/dtype.h"
#include "cpu/formula_ids.h"
#include "cpu/isa.h"
#include "cpu/rows.h"

typedef struct {
  RowFn fn[PW_VECTORISED][MT_DTYPES];
} PointwiseTable;

VEC_TABLE(PointwiseTable, pointwise_table);

/* The formulas of formulas_plain.h, from PW_VECTORISED on. */
extern const RowFn pointwise_plain[PW_FORMULAS - PW_VECTORISED][MT_DTYPES];

/* The best row function for this processor; NULL when the formula does not exist for the dtype. */
RowFn pointwise_row(Formula formula, DType dtype);

/* A row function that writes past the caches, with the same result; NULL where there is none: see stream.h. */
RowFn pointwise_stream_row(Formula formula, DType dtype);
#endif
