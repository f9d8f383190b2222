/* Copies between tensors, any layout and dtype: the one piece of kernel that the graph itself needs. */
#ifndef MT_COPY_TENSOR_H
#define MT_COPY_TENSOR_H
#include "tensor/tensor.h"

/* Writes from's values, cast and broadcast, into to, from any device to any. Does not touch versions or the graph. */
bool tensor_copy_into(Tensor *to, const Tensor *from);
/* The same, without waiting where one side is pinned memory of the host: who reads it there, or writes to it, waits for the
 * device's stream first. */
bool tensor_copy_async(Tensor *to, const Tensor *from);
/* A new contiguous tensor of dtype d on `device` with from's values; on its own device; owned. */
Tensor *tensor_copy(const Tensor *from, DType d, Device device);
Tensor *tensor_cast(const Tensor *from, DType d);
/* Writes one number into every element. */
bool tensor_fill(Tensor *to, Scalar value);
#endif
