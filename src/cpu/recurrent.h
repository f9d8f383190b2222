/* Recurrent layers: one layer in one direction over a whole sequence, forwards and back.
 *
 * Rows of all steps lie one after another; step t has sizes[t] of them, and these are the first of the batch, so sizes
 * never grow. Gates stand in PyTorch's order: input, forget, cell, output for lstm; reset, update, new for gru.
 *
 * What backward needs lies in the reserve, (rows, width) elements in three blocks: activated gates (rows, 4 hidden),
 * for lstm the cell state before each step (rows, hidden), and the hidden state before each step (rows, out). gru keeps
 * a fourth gate: what the hidden state gives to the new one. The plain ones keep no gates: their output says enough. */
#ifndef MT_RECURRENT_H
#define MT_RECURRENT_H
#include "cpu/isa.h"
#include <stdbool.h>
#include <stdint.h>

struct Tensor;

typedef enum { RECURRENT_LSTM, RECURRENT_GRU, RECURRENT_TANH, RECURRENT_RELU } RecurrentMode;

/* What one layer works on; all tensors of one dtype, float32 or float64, in any layout. */
enum { AT_X, AT_H, AT_C, AT_W_IH, AT_W_HH, AT_B_IH, AT_B_HH, AT_W_HR, RECURRENT_TENSORS };
typedef struct {
  RecurrentMode mode;
  bool reverse;
  int64_t steps, batch, rows;          /* rows of all steps */
  int64_t features, hidden, out;       /* of x, of a gate, of the output: hidden unless that is a projection */
  const int64_t *sizes;                /* NULL: each step has the whole batch */
  struct Tensor *t[RECURRENT_TENSORS]; /* c only for lstm; biases and w_hr may be NULL */
} Recurrent;

static inline int recurrent_gates(RecurrentMode mode) {
  return mode == RECURRENT_LSTM ? 4 : mode == RECURRENT_GRU ? 3 : 1;
}
/* Columns of the sums' gradients that belong to rows of w_ih, in one strip or two: gru's stand in another order, so that
 * w_hh's are neighbours. */
typedef struct {
  int64_t column, row, count;
} RecurrentStrip;
static inline int recurrent_strips(const Recurrent *r, RecurrentStrip strip[2]) {
  int64_t n = r->hidden;
  bool gru = r->mode == RECURRENT_GRU;
  strip[0] = gru ? (RecurrentStrip){n, 0, 2 * n} : (RecurrentStrip){0, 0, recurrent_gates(r->mode) * n};
  strip[1] = (RecurrentStrip){0, 2 * n, gru ? n : 0};
  return gru ? 2 : 1;
}
/* Elements that a row keeps in the reserve. False when that overflows. */
bool recurrent_width(const Recurrent *r, int64_t *width);

/* Writes the output (rows, out), the last h (batch, out), for lstm the last c (batch, hidden), and reserve unless it is
 * NULL. */
bool cpu_recurrent(const Recurrent *r, struct Tensor *output, struct Tensor *h, struct Tensor *c,
                   struct Tensor *reserve);
/* From the gradients of these three, each of which may be NULL, those of r->t that are not NULL in grad. Reads of r->t
 * only x, w_ih, w_hh and w_hr, and output only for the plain modes. */
bool cpu_recurrent_back(const Recurrent *r, struct Tensor *const *gy, struct Tensor *reserve, struct Tensor *output,
                        struct Tensor *const *grad);

/* Below this line: what src/cpu/vec/recurrent.c offers to src/cpu/recurrent.c. */

/* Each works on n elements, a multiple of the block, of the arrays p: first those that it writes, then those that it
 * only reads. By modes:
 *   lstm   gates (4), c, h                          back: dgates (4), dc, h; gates (4), c before, dh
 *   gru    gates (3), h; the sum of h, h before     back: dgates (4), dh; gates (4), h before
 *   plain  h (the sums before)                      back: dgates; h, dh
 * A gate's array is the sum before and the activated gate after; dgates are gradients of sums, gru's in the order new,
 * reset, update, sum of h. gru's dh is the gradient of the new h, then what of it goes straight to the h before. */
enum { RECURRENT_BLOCK = 16, RECURRENT_ARRAYS = 12 };
typedef void RecurrentCells(void *const *p, int64_t n);

enum { RECURRENT_BACK = 4, RECURRENT_ADD = 8, RECURRENT_CELLS };
typedef struct {
  RecurrentCells *cells[2][RECURRENT_CELLS]; /* [is double][mode, or RECURRENT_BACK + mode, or ..ADD: p[0] += p[1]];
                                              * of float64 only in the lowest set */
} RecurrentTable;
VEC_TABLE(RecurrentTable, recurrent_table);
#endif
