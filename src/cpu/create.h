/* Tensors made from numbers: what their elements are, for every device. */
#ifndef MT_CPU_CREATE_H
#define MT_CPU_CREATE_H
#include "tensor/tensor.h"

/* Element i of n. SEQUENCE_INTEGERS: first + i by, which wraps. SEQUENCE_STEPS: from + i step. SEQUENCE_EVEN: from both ends,
 * from + i step below the middle, to - (n - 1 - i) step above it, so that both ends are met exactly; SEQUENCE_POWERS: base
 * to that power. narrow: of SEQUENCE_EVEN and SEQUENCE_POWERS, in float rather than double. */
typedef enum { SEQUENCE_INTEGERS, SEQUENCE_STEPS, SEQUENCE_EVEN, SEQUENCE_POWERS } SequenceKind;
typedef struct Sequence {
  SequenceKind kind;
  bool narrow;
  int64_t first, by;
  double from, to, step, base;
} Sequence;
/* A sequence of `n` numbers between two, both included, for a dtype: integers' ends become integers first. */
Sequence sequence_between(double from, double to, int64_t n, DType d);
bool cpu_sequence(const Sequence *s, Tensor *out);

/* Positions from 1 of the lower or upper triangle of a (rows, cols) matrix, row by row: rows in the first line of out (2, n),
 * int64 or int32, columns in the second. offset moves the diagonal up. */
typedef struct Triangle {
  bool upper;
  int64_t rows, cols, offset;
} Triangle;
/* Columns first..last of row i that lie in it; none when last < first. */
void triangle_row(const Triangle *t, int64_t i, int64_t *first, int64_t *last);
bool cpu_triangle_indices(const Triangle *t, Tensor *out);

/* Sets what lies right of a diagonal (lower), or left of it, to zero in each matrix of t. */
bool cpu_clear_side(Tensor *t, int64_t diagonal, bool lower);
/* t = mantissa 2^exponent (int32), element by element; both are contiguous. */
bool cpu_frexp(Tensor *t, Tensor *mantissa, Tensor *exponent);
#endif
