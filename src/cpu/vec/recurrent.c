/* Cells of one row in each instruction set: sums of products to activated gates and new states, and gradients back. The
 * caller fills rows up to whole blocks, so that no loop needs an end of its own. Every element is read before it is
 * written, so results may lie over what they are made from. */
#include "cpu/recurrent.h"
#include "cpu/vmath.h"
#include <stddef.h>
#define CELL_FN static
#define EACH                                         \
  const int64_t end = n & -(int64_t)RECURRENT_BLOCK; \
  NO_OVERLAP                                         \
  for (int64_t k = 0; k < end; k++)
#include "cpu/recurrent_cells.h"

CELLS(float, f32)
#if defined(__AVX2__) /* float64 spends its time in libm: the lowest set serves all */
#define CELLS_F64 \
  { NULL }
#else
CELLS(double, f64)
#define CELLS_F64                                                                                                 \
  {                                                                                                               \
    lstm_f64, gru_f64, tanh_cells_f64, relu_cells_f64, lstm_back_f64, gru_back_f64, tanh_back_f64, relu_back_f64, \
        add_f64                                                                                                   \
  }
#endif

extern const RecurrentTable VEC(recurrent_table);
const RecurrentTable VEC(recurrent_table) = {{{lstm_f32, gru_f32, tanh_cells_f32, relu_cells_f32, lstm_back_f32,
                                               gru_back_f32, tanh_back_f32, relu_back_f32, add_f32},
                                              CELLS_F64}};
