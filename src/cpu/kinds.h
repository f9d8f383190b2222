/* What kernels are asked for, by names that C and CUDA share. */
#ifndef MT_KINDS_H
#define MT_KINDS_H

typedef enum {
  FOLD_SUM,
  FOLD_PROD,
  FOLD_MAX,
  FOLD_MIN,
  FOLD_NONZERO, /* a count, always int64 */
  FOLD_ABS_SUM,
  FOLD_SQUARES,
  FOLD_ABS_MAX,
  FOLD_ABS_MIN,
  FOLD_POWERS,  /* sum of |x|^p */
  FOLD_MOMENTS, /* count, mean, sum of squared deviations: three accumulators */
  FOLDS
} Fold;

/* What is made of an accumulator. */
typedef enum {
  FINISH_VALUE,
  FINISH_MEAN,
  FINISH_VAR,
  FINISH_STD,
  FINISH_ROOT,  /* square root */
  FINISH_POWER, /* to the power of 1 / p */
  FINISH_ANY,
  FINISH_ALL
} Finish;

/* Running sums and products along a dim. */
typedef enum {
  SCAN_SUM,
  SCAN_SUM_BACK,
  SCAN_PRODUCT,
  SCAN_OTHERS,       /* the product of all other elements */
  SCAN_PRODUCT_BACK, /* gradient of the running product of t, given the result's */
  SCAN_LOG_SUM_EXP   /* the logarithm of the running sum of exponentials */
} ScanKind;

typedef enum {
  PAIR_SQUARED,  /* (x - t)^2 */
  PAIR_ABSOLUTE, /* |x - t| */
  PAIR_SMOOTH,   /* |x - t| below a: (x - t)^2 / 2a, else |x - t| - a / 2 */
  PAIR_HUBER,    /* |x - t| up to a: (x - t)^2 / 2, else a (|x - t| - a / 2) */
  PAIR_BCE,      /* -(t log x + (1 - t) log(1 - x)), logarithms at least -100 */
  PAIR_LOGITS,   /* PAIR_BCE of sigmoid(x), positive answers weighted */
  PAIRS
} PairLoss;

typedef enum { LOSS_NONE, LOSS_MEAN, LOSS_SUM, LOSS_UNKNOWN } LossReduction;
#endif
