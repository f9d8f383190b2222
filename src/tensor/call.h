/* Calls: what a kernel receives. Arguments lie in the order of the operator's schema; results are allocated already. */
#ifndef MT_CALL_H
#define MT_CALL_H
#include "base/rng.h"
#include "tensor/tensor.h"

enum { MAX_PARAMS = 14, MAX_OUTS = 4, MAX_NAME = 40 };

/* One argument of a call, by schema position. `given` false: left out or nil (the other fields then hold the default). */
typedef struct Arg {
  bool given;
  union {
    int32_t n;
    uint32_t version;
  }; /* list length; storage version of a saved tensor */
  union {
    Tensor *tensor; /* borrowed in a call, owned in a node */
    Tensor **tensors;
    const int64_t *ints;
    const Scalar *numbers;
    Scalar number; /* Number; float too */
    int64_t i;     /* int, Dim, Position, bool */
    DType dtype;   /* MT_NO_DTYPE when left out */
    Device device;
    const char *str;      /* one of the schema's or a caller's string that outlives the call */
    Generator *generator; /* NULL: the default one */
  };
} Arg;

/* What infer says about one result: a fresh tensor, or with `view` a view of argument 0's storage. */
typedef struct OutMeta {
  DType dtype;
  int ndim;
  int64_t shape[MT_MAX_DIMS];
  int64_t stride[MT_MAX_DIMS]; /* view only */
  int64_t offset;              /* view only */
} OutMeta;

struct OpDef;
typedef struct OpCall {
  struct OpDef *def;
  const Arg *arg; /* by schema position */
  int formula;    /* pointwise: id in cpu/formulas.h */
  bool inplace;   /* the _ form: result 0 is written into argument 0 */
  int outs;
  DType compute; /* pointwise: the dtype inputs are converted to */
  Device device;
  OutMeta meta[MAX_OUTS];
  Tensor *out[MAX_OUTS]; /* owned by the caller afterwards */
  Tensor **list;         /* Tensor[] results, mem_alloc'ed and owned by the caller */
  int list_length;
  Scalar value; /* Number or bool result */
} OpCall;

/* Argument builders by hand, for C callers. */
#define ARG_T(t) \
  { .given = (t) != NULL, .tensor = (t) }
#define ARG_TENSORS(v, count) \
  { .given = true, .n = (count), .tensors = (v) }
#define ARG_N(s) \
  { .given = true, .number = (s) }
#define ARG_I(v) \
  { .given = true, .i = (v) }
#define ARG_INTS(v, count) \
  { .given = true, .n = (count), .ints = (v) }
#define ARG_DTYPE(d) \
  { .given = (d) != MT_NO_DTYPE, .dtype = (d) }
#define ARG_S(s) \
  { .given = (s) != NULL, .str = (s) }
#define ARG_NIL \
  { .given = false }

static inline Tensor *in(const OpCall *c, int k) { return c->arg[k].tensor; }
#endif
