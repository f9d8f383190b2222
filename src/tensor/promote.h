/* Type promotion between tensors and numbers: PyTorch's table (torch.result_type). */
#ifndef MT_PROMOTE_H
#define MT_PROMOTE_H
#include "tensor/tensor.h"

/* Tensors with dims outrank 0-dim ones, which outrank Lua numbers (is_scalar), within a category. `standard` is the
 * default float dtype, which a Lua float takes. */
DType promote_tensors(int n, Tensor *const *t, DType standard);
#endif
