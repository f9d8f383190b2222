/* Checked size arithmetic: the only way a count of elements or bytes is computed.
 *
 * Each function returns false, with the failure recorded, instead of overflowing int64_t. */
#ifndef MT_SIZE_H
#define MT_SIZE_H
#include "base/status.h"
#include <stdint.h>

static inline bool size_mul(int64_t a, int64_t b, int64_t *out) {
  if (__builtin_mul_overflow(a, b, out))
    return fail(MT_EARG, "size overflow: %lld x %lld does not fit 64 bits", (long long)a, (long long)b);
  return true;
}

static inline bool size_add(int64_t a, int64_t b, int64_t *out) {
  if (__builtin_add_overflow(a, b, out))
    return fail(MT_EARG, "size overflow: %lld + %lld does not fit 64 bits", (long long)a, (long long)b);
  return true;
}

/* Product of n sizes, each of which must be >= 0; 1 when n is 0. A zero makes the product 0, but the others are
 * still checked, as a shape whose non-zero part overflows cannot have strides. */
bool size_product(const int64_t *size, int n, int64_t *out);
#endif
