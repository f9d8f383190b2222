/* Positions: the one way an element of an index tensor becomes an offset. Index tensors (int64 or int32) hold positions
 * that count from 1, negative ones from the end where the operator takes them. */
#ifndef MT_POSITION_H
#define MT_POSITION_H
#include "cpu/isa.h"
#include "tensor/tensor.h"
#include <string.h>

static inline int64_t position_load(const char *p, bool wide) {
  if (wide) {
    int64_t v;
    memcpy(&v, p, sizeof v);
    return v;
  }
  int32_t v;
  memcpy(&v, p, sizeof v);
  return v;
}

/* Position `value` of a dim of that size, counted from 0 into *out; false when there is no such element. */
static inline bool position_shift(int64_t value, int64_t size, bool negative, int64_t *out) {
  if (value > 0 && value <= size) {
    *out = value - 1;
    return true;
  }
  if (!negative || value >= 0 || value < -size) return false;
  *out = value + size;
  return true;
}

static inline bool position_read(const char *p, DType dtype, int64_t size, bool negative, int64_t *out) {
  return position_shift(position_load(p, dtype == MT_I64), size, negative, out);
}

/* Records that `value` is no position of dimension `dim` (from 0; -1: of the flattened tensor). Returns false. */
bool position_fail(int64_t value, int64_t size, int dim) __attribute__((cold));
/* `value` is none of so many classes. Returns false. */
bool class_fail(int64_t value, int64_t classes) __attribute__((cold));
#define POSITION_IN_SELF "index out of range in self: " /* what index_select and embedding begin with */
/* Whether index, on the host, is an index tensor and every element of it a position of a dim of that size; else fails with
 * the first that is not. */
bool position_check(const Tensor *index, int64_t size, bool negative, int dim);

typedef struct {
  bool (*outside)(const int64_t *v, int64_t n, int64_t size); /* whether any of n is not in 1 .. size */
} PositionTable;
VEC_TABLE(PositionTable, position_table);
#endif
