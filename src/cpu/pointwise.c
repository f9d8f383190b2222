/* Pointwise kernels: the choice among the instruction sets' tables. */
#include "cpu/pointwise.h"
#include "cpu/stream.h"

RowFn pointwise_row(Formula formula, DType dtype) {
  if (formula >= PW_VECTORISED) return pointwise_plain[formula - PW_VECTORISED][dtype];
  RowFn row = NULL;
  for (int level = isa_level(); !row && level >= 0; level--) row = VEC_AT(level, pointwise_table)->fn[formula][dtype];
  return row;
}

RowFn pointwise_stream_row(Formula formula, DType dtype) {
  const StreamTable *table = VEC_PICK(stream_table);
  int k = formula == PW_add ? 0 : formula == PW_sub ? 1 : formula == PW_mul ? 2 : formula == PW_div ? 3 : -1;
  if (k < 0) return NULL;
  return dtype == MT_F32 ? table->f32[k] : dtype == MT_F64 ? table->f64[k] : NULL;
}
