/* Recurrent layers, for other operators. */
#ifndef MT_OPS_RECURRENT_H
#define MT_OPS_RECURRENT_H
#include "cpu/recurrent.h"
#include "tensor/call.h"

/* One step of a layer: t by AT_X ..., with x (N, in); out gets the new h, and c for lstm, borrowed. */
bool recurrent_step(RecurrentMode mode, Tensor *const *t, Tensor *out[2]);
#endif
