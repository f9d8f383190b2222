/* Faults: values that a kernel cannot take, such as a position outside of its dim.
 *
 * A kernel that meets one notes it in its device's record, unless an earlier one stands there, leaves the element out and
 * goes on: nothing is read or written outside, and the context lives. The next call that waits for the device
 * (driver_settle) turns the record into a failure that says which operator, at which line of the script, met which value.
 * The record lies in memory of the host that the device writes to, so looking at it costs a load. */
#ifndef MT_CUDA_FAULT_H
#define MT_CUDA_FAULT_H
#include <stdint.h>

enum {
  FAULT_NONE,
  FAULT_BUSY,        /* being written */
  FAULT_POSITION,    /* value is no position of dimension dim (from 0; -1: flattened) with size limit; with a tensor of
                      * fault_shape, whose element number `element` it is, no row of a table */
  FAULT_LABEL,       /* value, label number `element` of the tensor of fault_shape, is none of `limit` classes */
  FAULT_PROBABILITY, /* a double whose bits are value, element number `element` of input (dim 0) or target (dim 1) */
  FAULT_CHANCE,      /* the same number `element` of what bernoulli draws by */
  FAULT_RATE         /* the same of Poisson rates */
};

typedef struct Fault {
  unsigned kind;
  int32_t ticket, dim;
  int64_t value, limit, element; /* element: from 1 */
} Fault;

/* What a launch is given that may meet one: where to note it, and as whose. */
typedef struct FaultPlace {
  Fault *record;
  int32_t ticket;
} FaultPlace;
#endif
