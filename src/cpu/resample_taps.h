/* Resampling along one dim, in words that C and CUDA share: which neighbours a result is the sum of, and with what weights. */
#ifndef MT_RESAMPLE_TAPS_H
#define MT_RESAMPLE_TAPS_H
#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#ifndef FORMULA_FN
#define FORMULA_FN static inline
#endif

typedef enum {
  RESAMPLE_NEAREST,
  RESAMPLE_EXACT, /* nearest to the middle of each result */
  RESAMPLE_LINEAR,
  RESAMPLE_CUBIC,
  RESAMPLE_LINEAR_AA, /* antialiased: the filter is as wide as what it stands for */
  RESAMPLE_CUBIC_AA,
  RESAMPLE_LANCZOS_AA,
  RESAMPLE_MODES
} ResampleMode;

typedef struct {
  ResampleMode mode;
  bool align_corners;
  double scale; /* results per element as the caller gave it; 0: from the sizes */
  bool single;  /* positions are computed in float, as PyTorch does for all but float64 */
  bool bytes;   /* values are whole, from 0 to 255: fixed point weights, rounded results */
} Resample;

/* Result o is the sum of weight[o * width + k] x[first[o * width + k]] over k < count[o]. Neighbours never fall from one
 * result to the next. */
typedef struct {
  int64_t size, out, width;
  double step, support; /* elements for each result; how far a filter reaches */
  int64_t *first, *count;
  double *weight;
} ResampleTaps;

FORMULA_FN double resample_narrow(const Resample *how, double v) { return how->single ? (double)(float)v : v; }

/* Elements for each result. */
FORMULA_FN double resample_ratio(const Resample *how, int64_t size, int64_t out) {
  if (how->align_corners) return out > 1 ? resample_narrow(how, (double)(size - 1) / (double)(out - 1)) : 0;
  return resample_narrow(how, how->scale > 0 ? 1 / how->scale : (double)size / (double)out);
}

/* The middle of result o among the elements. */
FORMULA_FN double resample_position(const Resample *how, double step, int64_t o, bool cubic) {
  if (how->align_corners) return resample_narrow(how, step * (double)o);
  double at = resample_narrow(how, resample_narrow(how, step * ((double)o + 0.5)) - 0.5);
  return !cubic && at < 0 ? 0 : at;
}

FORMULA_FN double resample_near(double x, double a) { return ((a + 2) * x - (a + 3)) * x * x + 1; }
FORMULA_FN double resample_far(double x, double a) { return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a; }
FORMULA_FN double resample_sinc(double x) { return x == 0 ? 1 : sin(M_PI * x) / (M_PI * x); }

FORMULA_FN double resample_filter(ResampleMode mode, double x) {
  x = fabs(x);
  if (mode == RESAMPLE_LINEAR_AA) return x < 1 ? 1 - x : 0;
  if (mode == RESAMPLE_LANCZOS_AA) return x < 3 ? resample_sinc(x) * resample_sinc(x / 3) : 0;
  return x < 1 ? resample_near(x, -0.5) : x < 2 ? resample_far(x, -0.5) : 0;
}

FORMULA_FN int64_t resample_clamp(double at, int64_t size) {
  return at < 0 ? 0 : at >= (double)size ? size - 1 : (int64_t)at;
}

/* The table's sizes; its arrays are still to be had: out * width of first and of weight, out of count. */
static inline ResampleTaps resample_table(const Resample *how, int64_t size, int64_t out) {
  static const int64_t widths[RESAMPLE_MODES] = {1, 1, 2, 4, 2, 4, 6};
  ResampleTaps t = {size, out, widths[how->mode], resample_ratio(how, size, out), 0, 0, 0, 0};
  if (how->mode >= RESAMPLE_LINEAR_AA) {
    t.support = (double)t.width * 0.5 * (t.step >= 1 ? t.step : 1);
    double most = 2 * ceil(t.support) + 1;
    t.width = most < (double)size ? (int64_t)most : size;
  }
  return t;
}

FORMULA_FN void resample_wide_taps(const Resample *how, const ResampleTaps *t, int64_t o) {
  double middle = resample_narrow(how, t->step * ((double)o + 0.5)), inverse = t->step >= 1 ? 1 / t->step : 1,
         total = 0;
  double low = resample_narrow(how, middle - t->support + 0.5), high = resample_narrow(how, middle + t->support + 0.5);
  int64_t begin = low > 0 ? (int64_t)low : 0, end = high < (double)t->size ? (int64_t)high : t->size, n = end - begin;
  n = n > t->width ? t->width : n < 1 ? 1 : n;
  if (begin > t->size - n) begin = t->size - n;
  for (int64_t k = 0; k < n; k++) {
    double w = resample_filter(how->mode, ((double)(begin + k) - middle + 0.5) * inverse);
    t->first[o * t->width + k] = begin + k;
    t->weight[o * t->width + k] = w;
    total += w;
  }
  for (int64_t k = 0; k < n && total != 0; k++) t->weight[o * t->width + k] /= total;
  t->count[o] = n;
}

FORMULA_FN void resample_close_taps(const Resample *how, const ResampleTaps *t, int64_t o) {
  int64_t *first = t->first + o * t->width;
  double *weight = t->weight + o * t->width;
  bool cubic = how->mode == RESAMPLE_CUBIC;
  if (how->mode == RESAMPLE_NEAREST || how->mode == RESAMPLE_EXACT) {
    double at = how->mode == RESAMPLE_NEAREST ? resample_narrow(how, t->step * (double)o)
                                              : resample_position(how, t->step, o, false) + 0.5;
    first[0] = resample_clamp((double)floorf((float)at), t->size);
    weight[0] = 1;
    t->count[o] = 1;
    return;
  }
  double at = resample_position(how, t->step, o, cubic);
  if (!cubic && t->size == t->out) at = (double)o;
  double whole = floor(at), part;
  if (whole > (double)(t->size - 1)) whole = (double)(t->size - 1);
  part = resample_narrow(how, at - whole);
  part = part < 0 ? 0 : part > 1 ? 1 : part;
  t->count[o] = cubic ? 4 : 2;
  for (int k = 0; k < t->count[o]; k++) first[k] = resample_clamp(whole + k - cubic, t->size);
  if (!cubic) {
    weight[0] = 1 - part;
    weight[1] = part;
    return;
  }
  weight[0] = resample_far(part + 1, -0.75);
  weight[1] = resample_near(part, -0.75);
  weight[2] = resample_near(1 - part, -0.75);
  weight[3] = resample_far(2 - part, -0.75);
}
/* Fills the table for result o. */
FORMULA_FN void resample_fill(const Resample *how, const ResampleTaps *t, int64_t o) {
  if (how->mode >= RESAMPLE_LINEAR_AA)
    resample_wide_taps(how, t, o);
  else
    resample_close_taps(how, t, o);
}
#endif
