/* Drawing: what tensors are filled with from a Generator, on every device. */
#ifndef MT_DRAW_H
#define MT_DRAW_H
#include "base/rng.h"

struct Tensor;

typedef enum {
  DRAW_UNIFORM,     /* [a, b) */
  DRAW_CAUCHY,      /* median a, scale b */
  DRAW_EXPONENTIAL, /* rate a */
  DRAW_GEOMETRIC,   /* first success of probability a */
  DRAW_BERNOULLI,   /* 1 with probability a */
  DRAW_NORMAL,      /* mean a, standard deviation b */
  DRAW_LOG_NORMAL,  /* exp of it */
  DRAW_BETWEEN,     /* integers of [low, high) */
  DRAW_FROM,        /* integers from low on, as far as the dtype is exact */
  DRAW_FULL         /* integers from 0 on, as far as the dtype is exact */
} DrawKind;

typedef struct Draw {
  DrawKind kind;
  double a, b;
  int64_t low, high;
} Draw;

/* Fills `to`, in the order of its memory. `order` is `to`, or a tensor of the same shape whose layout PyTorch's result
 * would have. False for numbers that the kind does not take. */
bool cpu_draw(const Draw *draw, Generator *g, struct Tensor *to, const struct Tensor *order);
/* Whether the numbers are ones that the kind takes for the dtype. */
bool draw_check(const Draw *draw, DType d);

typedef enum { DRAW_BY_CHANCE, DRAW_BY_RATE } DrawBy;
/* 1 with the probability that `numbers` has there; Poisson counts of that mean. numbers (floats) and to have one shape,
 * to lies packed. */
bool cpu_draw_by(DrawBy by, Generator *g, struct Tensor *numbers, struct Tensor *to);
#endif
