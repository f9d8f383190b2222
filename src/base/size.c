/* Checked size arithmetic: the product of a shape.
 *
 * Invariant: a shape that passes has contiguous strides that fit int64_t, even when one of its sizes is 0. */
#include "base/size.h"
#include <stdio.h>

/* "[2, -1, 3]" for a message; long shapes end in "...". */
static const char *shape_text(const int64_t *size, int n, char *to, size_t room) {
  size_t at = (size_t)snprintf(to, room, "[");
  for (int i = 0; i < n; i++) {
    if (at + 32 > room) {
      at += (size_t)snprintf(to + at, room - at, ", ...");
      break;
    }
    at += (size_t)snprintf(to + at, room - at, "%s%lld", i ? ", " : "", (long long)size[i]);
  }
  snprintf(to + at, room - at, "]");
  return to;
}

static __attribute__((noinline, cold)) bool refuse(const int64_t *size, int n, int64_t one) {
  char shape[256];
  shape_text(size, n, shape, sizeof shape);
  if (one < 0) return fail(MT_EARG, "Trying to create tensor with negative dimension %lld: %s", (long long)one, shape);
  return fail(MT_EARG,
              "numel: integer multiplication overflow for size %s; its elements cannot be counted in "
              "64 bits, use smaller sizes",
              shape);
}

bool size_product(const int64_t *size, int n, int64_t *out) {
  int64_t product = 1;
  bool empty = false;
  for (int i = 0; i < n; i++) {
    if (size[i] == 0)
      empty = true;
    else if (size[i] < 0 || __builtin_mul_overflow(product, size[i], &product))
      return refuse(size, n, size[i]);
  }
  *out = empty ? 0 : product;
  return true;
}
