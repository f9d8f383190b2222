/* Operators: how one is declared and called.
 *
 * An OpDef is declared once with OP(); the binding, keyword names, 1-based shifting, in-place forms, error texts, docs
 * and tests follow from it. A call goes: check -> infer -> allocate -> kernel -> record. Invariant: no tensor has changed
 * before the last step that can fail.
 *
 * Schema grammar:  name(Type name, Type? name=None, *, Type name=default) -> Tensor | (Tensor values, Index indices) |
 * Tensor[] | bool | Number.   Types:
 *   Tensor     a tensor                       Operand   a tensor or a Lua number (a weak 0-dim tensor)
 *   Index      int64/int32 tensor of positions counted from 1, inside the core too (position_read shifts)
 *   Tensor[]   a list of tensors              Generator
 *   Number     Scalar, Numbers a list of them  int, float, bool, str, dtype, device
 *   Dim        a dim, Dims a dim or a list of them: from 1 in Lua, from 0 (negative from the end) in the core
 *   Position   an element position: from 1 in Lua, from 0 in the core, negative from the end
 *   Size       a list of sizes, ints a list of numbers; "..." after Size, ints or Dims: also given as varargs
 * `?` lets nil in, and torch.none as an element of Tensor[]?. After `*` by keyword only. A result with `?` is left out when
 * compose leaves it NULL. */
#ifndef MT_OP_H
#define MT_OP_H
#include "tensor/call.h"

typedef enum {
  TYPE_TENSOR,
  TYPE_OPERAND,
  TYPE_INDEX,
  TYPE_TENSORS,
  TYPE_NUMBER,
  TYPE_INT,
  TYPE_FLOAT,
  TYPE_BOOL,
  TYPE_STR,
  TYPE_DTYPE,
  TYPE_DEVICE,
  TYPE_DIM,
  TYPE_DIMS,
  TYPE_POSITION,
  TYPE_SIZE,
  TYPE_INTS,
  TYPE_NUMBERS,
  TYPE_GENERATOR
} ParamType;

typedef struct Param {
  char name[MAX_NAME];
  uint8_t type; /* ParamType */
  bool optional, keyword_only, varargs, has_default;
  Arg standard; /* the default, given = false */
} Param;

typedef struct Schema {
  char name[MAX_NAME];
  int params, positional; /* positional: how many come before `*` */
  Param param[MAX_PARAMS];
  int tensors;              /* params up to the last that is a tensor or a list of them */
  bool lists;               /* one of these is a list */
  bool plain;               /* the first `tensors` are tensors or operands; all others may be left out */
  int least;                /* params up to the last of these that must be given */
  int requires_grad;        /* the param of that name, -1: none */
  int outs;                 /* tensors returned; 0 when the result is a list or a Scalar */
  char returns;             /* 't' tensors, 'l' list of tensors, 'n' number, 'b' bool, 'v' nothing */
  bool out_index[MAX_OUTS]; /* result k holds positions */
  char out_name[MAX_OUTS][MAX_NAME];
  uint32_t save_in[MAX_PARAMS];  /* for the gradient of tensor param p: bit a = argument a is needed */
  uint32_t save_out[MAX_PARAMS]; /*                                     bit k = result k is needed */
} Schema;

struct Grad;
enum {
  OP_VIEW = 1,          /* result is a view of argument 0, geometry from infer; no kernel */
  OP_INTO = 2,          /* the kernel may write over argument 0 element by element (pointwise) */
  OP_MODIFIES = 4,      /* the kernel changes result 0 that starts as a copy of argument 0 (scatter, index_fill, ...) */
  OP_INPLACE = 8,       /* the _ form exists where the plain one does */
  OP_INPLACE_ONLY = 16, /* only the _ form exists (copy_, fill_, uniform_) */
  OP_METHOD = 32,       /* x:name() exists */
  OP_FUNCTION = 64,     /* torch.name() exists */
  OP_HIDDEN = 128,      /* reachable for moontorch's own Lua files only, as torch._name */
  OP_NO_GRADIENT = 256, /* the word that it has none */
  OP_RANDOM = 512,      /* the result depends on the generator: specs compare distributions and streams, not values */
  OP_OVERWRITES = 1024, /* _ form does not read argument 0's old values (fill_, copy_): its gradient is zero */
  OP_ANY_DEVICE = 2048, /* tensors may lie on different devices; the call runs on the first one's */
  OP_BOTH = OP_METHOD | OP_FUNCTION,
  OP_POINTWISE = OP_BOTH | OP_INPLACE | OP_INTO
};

typedef struct OpDef {
  const char *schema;
  const char *alias;   /* further names, separated by spaces: "absolute arccos" */
  const char *doc;     /* one paragraph: what, shapes, dtypes, source */
  const char *samples; /* sample inputs for the op-table spec, see spec/support/samples.lua */
  const char *errors;  /* sample inputs that must be refused */
  const char *saves;   /* "input: other; other: input result": what the gradient of each needs */
  int flags;
  int formula; /* pointwise: id in cpu/formulas.h, 0 none */
  bool (*infer)(OpCall *call);
  bool (*kernel[MT_DEVICES])(OpCall *call); /* by device; a device without one goes through the host */
  bool (*compose)(OpCall *call);            /* definition in other ops: fills out/list/value */
  void (*backward)(struct Grad *grad);
  int line;     /* order of overloads within a file */
  Schema *info; /* parsed schema, filled at load */
} OpDef;

/* A kernel that only calls what serves every device. */
#define EVERYWHERE(function) \
  { function, function }
/* Declares and registers an operator. */
#if defined(__APPLE__)
#define OP_SECTION "__DATA,mt_ops"
#else
#define OP_SECTION "mt_ops"
#endif
#define OP(id, ...)                                 \
  OpDef def_##id = {.line = __LINE__, __VA_ARGS__}; \
  static OpDef *const registered_##id __attribute__((section(OP_SECTION), used)) = &def_##id

/* All operators, sorted by schema name, then declaration. ops_load is idempotent and thread-safe. */
bool ops_load(void);
int ops_count(void);
OpDef *ops_at(int i);

/* Calls an op: on success true with call->out (refs owned by the caller), list or value filled. */
bool op_call(OpCall *call);

/* For C callers: results go to the innermost pool and are borrowed. NULL after a failure, also an earlier one. */
Tensor *op_run(OpDef *def, const Arg *arg);
bool op_run_many(OpDef *def, const Arg *arg, Tensor **out);
Tensor *op_run_inplace(OpDef *def, const Arg *arg);

/* Pools: tensors that C code made on the way, released together. pool_open returns a mark for pool_close. */
int pool_open(void);
void pool_shut(int mark);
void pool_end(void);             /* before a thread that ran operators ends: nothing stays with it */
Tensor *pool_add(Tensor *owned); /* hands a reference to the pool; NULL stays NULL */

/* For infer functions. */
bool out_shape(OpCall *c, int k, DType dtype, int ndim, const int64_t *shape);
bool out_view(OpCall *c, int ndim, const int64_t *shape, const int64_t *stride, int64_t offset);
DType default_dtype(void);
void set_default_dtype(DType d);
#endif
