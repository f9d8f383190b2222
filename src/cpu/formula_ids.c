/* Pointwise formulas: what is known of each, read off the lists. */
#include "cpu/formula_ids.h"

enum { INPUTS_UNARY = 1, INPUTS_BINARY = 2, INPUTS_TERNARY = 3, INPUTS_CHOICE = 3 };
enum { CHOICE_UNARY, CHOICE_BINARY = 0, CHOICE_TERNARY = 0, CHOICE_CHOICE = 1 };
enum { TO_BOOL_SAME, TO_BOOL_BOOL };

#define INFO(T, U, S, name, operands, result, extra, ...) \
  [PW_##name] = {#name, INPUTS_##operands, TO_BOOL_##result, CHOICE_##operands, EXTRA_##extra},
const PointwiseInfo pointwise_info[PW_FORMULAS] = {FORMULAS(INFO, , , ) PLAIN_FORMULAS(INFO, , , )};
