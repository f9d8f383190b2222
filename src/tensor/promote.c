/* Type promotion: three ranks of operands, combined by category. */
#include "tensor/promote.h"

static DType join(DType a, DType b) {
  if (a == MT_NO_DTYPE) return b;
  return b == MT_NO_DTYPE ? a : dtype_promote(a, b);
}

/* The higher rank's dtype stands unless the lower rank has a higher category. */
static DType combine(DType high, DType low) {
  if (high == MT_NO_DTYPE) return low;
  if (low == MT_NO_DTYPE) return high;
  return dtype_info[low].category > dtype_info[high].category ? join(high, low) : high;
}

DType promote_tensors(int n, Tensor *const *t, DType standard) {
  if (n == 2 && t[0]->dtype == t[1]->dtype && !t[0]->is_scalar && !t[1]->is_scalar) return (DType)t[0]->dtype;
  DType rank[3] = {MT_NO_DTYPE, MT_NO_DTYPE, MT_NO_DTYPE};
  for (int i = 0; i < n; i++) {
    DType d = (DType)t[i]->dtype;
    if (t[i]->is_scalar && dtype_is_float(d)) d = standard;
    int r = t[i]->is_scalar ? 2 : t[i]->ndim == 0 ? 1 : 0;
    rank[r] = join(rank[r], d);
  }
  return combine(combine(rank[0], rank[1]), rank[2]);
}
