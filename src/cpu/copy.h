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
#include <string.h>

/* Copies so few bytes that a call would take longer; the two do not overlap. */
enum { FEW_BYTES = 256 };
static inline void copy_few(char *to, const char *from, int64_t bytes) {
  if (bytes >= 16) {
    for (int64_t i = 0; i + 16 <= bytes; i += 16) memcpy(to + i, from + i, 16);
    memcpy(to + bytes - 16, from + bytes - 16, 16);
  } else if (bytes >= 8) {
    memcpy(to, from, 8);
    memcpy(to + bytes - 8, from + bytes - 8, 8);
  } else if (bytes >= 4) {
    memcpy(to, from, 4);
    memcpy(to + bytes - 4, from + bytes - 4, 4);
  } else {
    for (int64_t i = 0; i < bytes; i++) to[i] = from[i];
  }
}

/* `lines` (a multiple of 4) of 8 elements of 4 bytes, `to`, from 8 lines that hold their columns, `from`. */
typedef void (*TurnFn)(char *to, int64_t to_line, const char *from, int64_t from_line, int64_t lines);

typedef struct {
  RowFn cast[MT_DTYPES][MT_DTYPES]; /* [from][to], different ones; ptr[0] is written, ptr[1] read; needs no context */
  Halves f16, bf16;                 /* packed conversions */
  RowFn fill[4];                    /* of elements of 1, 2, 4 and 8 bytes, see fill_row */
  void (*reverse[4])(void *to, const void *last, int64_t n); /* what lies up to `last`, from there on */
  TurnFn turn;                                               /* or NULL */
} CastTable;

VEC_TABLE(CastTable, cast_table);

/* The best cast for this processor; the same dtype twice copies. */
RowFn cast_row(DType from, DType to);
/* Copies elements of 1, 2, 4 or 8 bytes from ptr[1] to ptr[0]. */
RowFn copy_row(int size);
/* Fills ptr[0] with the element of that size that context points to. size is 1, 2, 4 or 8. */
RowFn fill_row(int size);
/* Copies rows x cols elements from columns to rows: elements of a row lie side by side in `to`, those of a column in
 * `from`. Steps are in bytes: to_row to the next row, from_col to the next column. past: writes past the caches. */
void copy_transposed(char *to, int64_t to_row, const char *from, int64_t from_col, int64_t rows, int64_t cols, int size,
                     bool past);
/* How many columns are best taken together where the work is split. */
int64_t transposed_band(int64_t rows, int64_t cols, int size);
#endif
