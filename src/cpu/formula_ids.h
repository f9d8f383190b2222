/* Pointwise formulas by number, and what is known of each: what the host says to a kernel, on every device. */
#ifndef MT_FORMULA_IDS_H
#define MT_FORMULA_IDS_H
#include "base/dtype.h"
#include "cpu/formulas_plain.h"

#define FORMULA_ENUM(T, U, S, name, ...) PW_##name,
typedef enum {
  FORMULAS(FORMULA_ENUM, , , ) PW_VECTORISED, /* the number of those that each instruction set has */
  PW_BEFORE_PLAIN = PW_VECTORISED - 1,
  PLAIN_FORMULAS(FORMULA_ENUM, , , ) PW_FORMULAS
} Formula;

typedef struct PointwiseContext {
  Scalar s, t, u;    /* factors; exponent; lower and upper limit. Integers wrap, limits saturate */
  bool has_s, has_t; /* clamp: which limits there are */
  int *zero;         /* set to 1 when an integer was divided by zero; may be NULL */
} PointwiseContext;

typedef enum {
  EXTRA_NONE,
  EXTRA_SCALAR,
  EXTRA_FACTORS,
  EXTRA_LIMITS,
  EXTRA_EXPONENT,
  EXTRA_ANGLE,
  EXTRA_ZERO,
  EXTRA_QUOTIENT
} FormulaExtra;

typedef struct {
  const char *name;
  uint8_t inputs;
  bool to_bool;  /* the output is bool */
  bool choice;   /* the first input is bool */
  uint8_t extra; /* FormulaExtra */
} PointwiseInfo;

extern const PointwiseInfo pointwise_info[PW_FORMULAS]; /* formula_ids.c */
#endif
