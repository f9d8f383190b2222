/* Recurrent layers on a device: what recurrent.c asks of recurrent.cu. */
#ifndef MT_CUDA_RECURRENT_H
#define MT_CUDA_RECURRENT_H
#include "cuda/rows.h"

/* The cells of one step: n rows of `hidden` units each; gates are (n, gate_row), the others (n, hidden), packed.
 *
 * Forward: gates holds the sums (for the plain modes in `made`) and, with keep, gets the activated gates. from_h and
 * bias_fresh are gru's products with the hidden state, (n, 3 hidden), and what is added to the last of them, or NULL.
 * c is lstm's state, replaced. made gets the new hidden state, and so does h, which is the one before; with a
 * projection made is what is projected, and h is NULL. kept_c and kept_h get the states before, unless NULL.
 *
 * Back: gates, kept_c and kept_h are what forward kept, made the plain modes' output; grad is the gradient of the
 * step's output or NULL, dh that of the new hidden state from behind, replaced by what goes straight to the one
 * before (gru), dc lstm's, replaced. dgates (n, gate_row), in cpu/recurrent.h's order; wide gets the hidden state
 * again unless NULL. */
typedef struct CellRun {
  int64_t n, hidden, gate_row;
  char *gates, *made, *h, *c, *kept_c, *kept_h;
  const char *from_h, *bias_fresh;
  bool keep;
  const char *grad;
  char *dh, *dc, *dgates, *wide;
} CellRun;
/* mode is a RecurrentMode, dtype float32 or float64. A CUDA error, or -1 for others. */
CUDA_API int cuda_launch_cells(int mode, bool back, int dtype, const CellRun *run, void *stream);
/* to = a + b of n elements, the first `both`; behind them a. b may be NULL: zeros. copy gets it too unless NULL. */
CUDA_API int cuda_launch_sums(int dtype, char *to, char *copy, const char *a, const char *b, int64_t n, int64_t both,
                              void *stream);
#endif
