/* Convolution through cuDNN. */
#ifndef MT_CUDA_CONV_DNN_H
#define MT_CUDA_CONV_DNN_H
#include "cpu/conv.h"

/* One of the three maps (CONV_OUTPUT and so on) between packed tensors of a float dtype, without bias. *done is false where
 * cuDNN is missing, switched off, or has no way: then nothing that counts was written. False after a failure. */
bool conv_by_dnn(int which, const Conv *c, DType d, const void *x, const void *w, const void *y, void *out, int index,
                 bool *done);
#endif
