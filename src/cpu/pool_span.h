/* Where the windows of pooling lie along one dim, in words that C and CUDA share. */
#ifndef MT_POOL_SPAN_H
#define MT_POOL_SPAN_H
#include <stdbool.h>
#include <stdint.h>

#ifndef FORMULA_FN
#define FORMULA_FN static inline
#endif

typedef struct Span {
  int64_t begin, end; /* within the input */
  int64_t counted;    /* elements that a mean divides by along this dim */
} Span;

typedef struct PoolRule {
  int64_t in, out;                  /* sizes */
  int64_t stride, pad, reach, step; /* windows: how far each goes, and from element to element */
  bool adaptive;                    /* instead: `out` equal parts, rounded outwards */
  bool include_pad;                 /* padding counts */
} PoolRule;

/* Window o; begins and ends never fall from one to the next. */
FORMULA_FN Span pool_span(const PoolRule *r, int64_t o) {
  Span s;
  if (r->adaptive) { /* whole elements and a remainder, so that no product overflows */
    int64_t whole = r->in / r->out, rest = r->in % r->out;
    s.begin = o * whole + o * rest / r->out;
    s.end = (o + 1) * whole + ((o + 1) * rest + r->out - 1) / r->out;
    s.counted = s.end - s.begin;
    return s;
  }
  int64_t begin = o * r->stride - r->pad, end = begin + r->reach, padded = r->in + r->pad;
  s.begin = begin < 0 ? (-begin + r->step - 1) / r->step * r->step + begin : begin;
  s.end = end < r->in ? end : r->in;
  s.counted = r->include_pad ? (end < padded ? end : padded) - begin : s.end - s.begin;
  return s;
}
#endif
