/* Writing past the caches, for results so large that the next reader would miss anyway.
 *
 * A non-temporal store spares the read of each line of the result before it is written: half of a fill's traffic, a third
 * of a copy's. The values are those of the ordinary rows, to the bit. A result of such a size must not overlap what it is
 * made from. */
#ifndef MT_STREAM_H
#define MT_STREAM_H
#include "cpu/isa.h"
#include "cpu/rows.h"
#include <stdbool.h>

typedef struct {
  void (*copy)(char *to, const char *from, int64_t bytes); /* NULL: this processor has no such stores */
  RowFn f32[4], f64[4];                                    /* add, sub, mul, div of packed operands */
} StreamTable;
VEC_TABLE(StreamTable, stream_table);

/* Whether a result of so many bytes should be written so: from 32 MB on. */
static inline bool stream_pays(int64_t bytes) { return bytes >= 32 << 20 && VEC_PICK(stream_table)->copy; }

/* Any row function with one output, which computes into a buffer that is copied: the context of stream_row. */
typedef struct {
  RowFn row;
  const void *context;
  int size, operands; /* bytes of an element of the output; operands, the output too */
} Streamed;
void stream_row(char **ptr, const int64_t *stride, int64_t n, const void *streamed);
/* As fill_row and copy_row of copy.h. */
RowFn stream_fill_row(int size);
RowFn stream_copy_row(int size);
/* Stores past the caches are seen by other threads only after this; the rows above do it, stream_lines does not: it waits
 * for memory. */
static inline void stream_fence(void) {
#if defined(__SSE__)
  __builtin_ia32_sfence();
#endif
}
/* Copies lines of so many bytes each, one after another in `from`, to_step apart in `to`. */
void stream_lines(char *to, int64_t to_step, const char *from, int64_t bytes, int64_t lines);
#endif
