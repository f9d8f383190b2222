/* Copies: casts between all dtypes, fills, and transposed copies.
 *
 * Casts are PyTorch's on x86: a float becomes int64 or uint8 through int64, the other integers through int32 (toward
 * zero; what does not fit there, NaN too, is the lowest value), an integer is cut to the width, anything becomes bool
 * by != 0, 16-bit floats go through float32. */
#ifndef MT_COPY_H
#define MT_COPY_H
#include "base/dtype.h"
#include "cpu/blocks.h"
#include "cpu/isa.h"

typedef struct {
  RowFn cast[MT_DTYPES][MT_DTYPES]; /* [from][to], different ones; ptr[0] is written, ptr[1] read; needs no context */
  Halves f16, bf16;                 /* packed conversions */
  RowFn fill[4];                    /* of elements of 1, 2, 4 and 8 bytes, see fill_row */
} CastTable;

VEC_TABLE(CastTable, cast_table);

/* The best cast for this processor; the same dtype twice copies. */
RowFn cast_row(DType from, DType to);
/* Copies elements of 1, 2, 4 or 8 bytes from ptr[1] to ptr[0]. */
RowFn copy_row(int size);
/* Fills ptr[0] with the element of that size that context points to. size is 1, 2, 4 or 8. */
RowFn fill_row(int size);
/* Copies rows x cols elements by tiles that stay in cache, for when one side runs along rows and the other along
 * columns. Steps are in bytes: to_row and from_row to the next row, to_col and from_col to the next column. */
void copy_transposed(void *to, int64_t to_row, int64_t to_col, const void *from, int64_t from_row, int64_t from_col,
                     int64_t rows, int64_t cols, int size);
#endif
