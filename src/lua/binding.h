/* Binding: the only floor that includes lua.h.
 *
 * A tensor in Lua is a full userdata (Box) that owns one reference. Invariants: a C resource is never held across a Lua
 * API call that can raise (boxes are made empty first, then filled); a core failure is turned into a Lua error by
 * raise_failure() after everything was given back. */
#ifndef MT_BINDING_H
#define MT_BINDING_H
#include "graph/node.h"
#include <lauxlib.h>
#include <lua.h>

typedef struct Box {
  const void *magic; /* says what kind of box it is: the address of one of the marks below */
  union {
    Tensor *tensor;
    Generator *generator;
    Node *node;
    void *any;
  };
} Box;

extern const char TENSOR_MARK, GENERATOR_MARK, NODE_MARK;

/* The userdata at idx if it is one of ours with that mark, else NULL. Costs no registry look-up. */
static inline Box *box_at(lua_State *L, int idx, const void *mark) {
  Box *b = lua_touserdata(L, idx);
  if (!b || lua_rawlen(L, idx) != sizeof(Box)) return NULL; /* a light userdata has length 0 */
  return b->magic == mark ? b : NULL;
}

/* --- boxes (box.c) --- */
bool is_tensor(lua_State *L, int idx);    /* a freed one too */
Tensor *to_tensor(lua_State *L, int idx); /* borrowed; NULL when it is none, or freed (check_tensor tells) */
Tensor *check_tensor(lua_State *L, int idx, const char *function); /* raises */
Box *push_box(lua_State *L, const void *mark);                     /* an empty box with its metatable; may raise */
/* Fills an empty tensor box, taking over the reference, and charges its memory to the collector. Cannot raise by itself,
 * but a collector step may run finalizers: call it last. */
void box_fill(lua_State *L, Box *box, Tensor *owned);
/* push_box + box_fill; the tensor is released if memory for the box fails. Takes over the reference. NULL pushes nil. */
void push_tensor(lua_State *L, Tensor *owned);
/* The same for a borrowed tensor. */
void push_borrowed(lua_State *L, Tensor *t);
void boxes_open(lua_State *L, int methods); /* metatables into the registry */

/* --- errors (raise.c) --- */
/* Raises the pending failure: "script.lua:12: name(): message". A hook's Lua error is raised as it was. */
int raise_failure(lua_State *L, const char *function);
/* Raises text, positioned at the first frame outside of moontorch's own Lua files. */
int raise_text(lua_State *L, const char *function, const char *format, ...) __attribute__((format(printf, 3, 4)));
void push_position(lua_State *L); /* "script.lua:12: " or "" */
/* The innermost frame outside of moontorch's own files: short_src and currentline. Needs two free slots; raises nothing. */
bool find_position(lua_State *L, lua_Debug *d);
/* A hook failed: keeps the error value on top of the stack (popped) until raise_failure, and records MT_EHOST. */
void keep_error(lua_State *L);
int core_raise(lua_State *L); /* core.raise(function, format, ...) */
int core_warn(lua_State *L);
void warn_text(lua_State *L, const char *message); /* through core.warn, which a script may replace */
int core_error_context(lua_State *L);              /* core._error_context(f): f(message) returns what to add, or nil */
int core_notice_handler(lua_State *L); /* core._notice_handler(f): f(about, position) hears of likely mistakes */
void give_notice(lua_State *L);        /* calls it for the pending MT_ENOTICE, which ends */
int core_library_source(lua_State *L); /* core._library_source(prefix): chunks whose name starts so are ours */

/* --- devices (devices.c) --- */
void want_device(lua_State *L, Device d); /* before d is used: loads what drives it */
void devices_open(lua_State *L, int core);

/* --- collector (collect.c) --- */
void charge(lua_State *L, int64_t bytes); /* native bytes that a new box keeps alive */
void collect_hard(lua_State *L);          /* before a retry: full collection, caches trimmed */
void collect_open(lua_State *L);

/* --- arguments (arguments.c) --- */
enum { ARG_INTS_ROOM = 96, ARG_TENSORS_ROOM = 16 };
typedef struct Parsed {
  Arg arg[MAX_PARAMS];
  uint32_t scalars; /* bit k: argument k is a Lua number that still must become a weak tensor */
  Scalar scalar[MAX_PARAMS];
  int first_tensor; /* stack index of argument 0 when that is a tensor */
  const char *hint; /* for a message about argument 0: methods take a colon */
  int ints_used, tensors_used;
  int64_t ints[ARG_INTS_ROOM];
  Tensor *tensors[ARG_TENSORS_ROOM];
} Parsed;
/* Reads the stack from `first` on by a schema. False with a failure recorded; may raise only when memory for a long list
 * cannot be had. numbers: Lua numbers are welcome wherever a Tensor is (metamethods). */
bool parse_arguments(lua_State *L, OpDef *def, int first, bool numbers, Parsed *out);
/* A cheap test whether the arguments could fit, for choosing among overloads. as_number: a 0-dim tensor may stand where a
 * number is wanted, which is right only when no overload takes the tensor. */
bool arguments_fit(lua_State *L, OpDef *def, int first, bool numbers, bool as_number);
bool is_keywords(lua_State *L, int idx);       /* a plain table with keys but no list */
const char *type_found(lua_State *L, int idx); /* what stands at idx, in words for a message */
/* The string at idx; NULL when it is none, or has a zero byte, after which C would not look. */
const char *plain_string(lua_State *L, int idx);
/* The key at -2 during lua_next over keyword arguments; NULL with a failure recorded when it is no name. */
const char *keyword_name(lua_State *L);
bool is_none(lua_State *L, int idx); /* torch.none */
void push_none(lua_State *L);
bool size_at(lua_State *L, int idx);                    /* a torch.Size */
bool read_integer(lua_State *L, int idx, int64_t *out); /* integers and floats of integral value */
bool read_scalar(lua_State *L, int idx, Scalar *out);   /* numbers and booleans */
bool read_dtype(lua_State *L, int idx, DType *out);     /* dtype objects and names */
bool read_device(lua_State *L, int idx, Device *out);
bool default_device(Device *d); /* set_default_device: fills *d and says true if one was set */
/* Raises unless the keys of the table at idx are among `known`, which ends with NULL. */
void check_keys(lua_State *L, int idx, const char *name, const char *const *known);
/* Table of integers at idx into at most `room` numbers; -1 when it is not one (no failure recorded). */
int read_ints(lua_State *L, int idx, int64_t *out, int room);

/* --- operators (operators.c) --- */
void operators_open(lua_State *L, int core, int methods, int meta); /* registers the whole table */
int operators_list(lua_State *L);                                   /* core._ops() */

/* --- the rest --- */
int f_read_file(lua_State *L);             /* read.c */
void objects_open(lua_State *L, int core); /* dtypes, devices, none, Size (objects.c) */
void push_dtype(lua_State *L, DType d);
void push_device(lua_State *L, Device d);
void push_size(lua_State *L, int n, const int64_t *v);                  /* torch.Size */
void methods_open(lua_State *L, int core, int methods, int properties); /* tensor_methods.c */
void construct_open(lua_State *L, int core, int methods); /* construct.c: torch.tensor, frombuffer, tolist, ... */
void autograd_open(lua_State *L, int core, int methods, int properties); /* autograd.c */
void storage_open(lua_State *L, int core, int methods);                  /* storage.c: resize_, set_ */
void modes_open(lua_State *L, int core);                                 /* modes.c: no_grad, inference_mode */
/* A mode that a block sets: from so many arguments, what `leave` puts back comes from `enter`; `left` calls mode_left. */
typedef struct Mode {
  int taken;
  lua_KContext (*enter)(lua_State *L);
  void (*leave)(lua_KContext old);
  int (*left)(lua_State *L, int status, lua_KContext old);
} Mode;
int mode_call(lua_State *L, const Mode *mode); /* behind the mode's arguments f, ...: results of f(...) */
int mode_left(lua_State *L, int status, lua_KContext old, const Mode *mode);
int mode_block(lua_State *L, const Mode *mode); /* a value to be closed, for a function of mode_push */
void mode_push(lua_State *L, lua_CFunction block);
void autocast_open(lua_State *L, int core);   /* autocast.c */
void signatures_open(lua_State *L, int core); /* signature.c: arguments of functions written in Lua */
void graph_open(lua_State *L, int core);      /* graph.c: nodes, anomaly mode, hooks on saving */
/* The state whose script calls the core, for callbacks and positions: set around what may need it; returns the one before. */
lua_State *watch_enter(lua_State *L);
void watch_own(lua_State *L);         /* its main thread stands for callers that are not known */
lua_State *main_thread(lua_State *L); /* lives as long as the state */
/* Where a callback that belongs to the state of `main` runs: the calling thread if it is of that state, else `main`. */
lua_State *callback_state(lua_State *main);
void generators_open(lua_State *L, int core); /* generator.c */
void system_open(lua_State *L, int core);     /* system.c: threads, memory, terminal */
void files_open(lua_State *L, int core);      /* files.c */
int tensor_index_key(lua_State *L);           /* tensor_index.c: (tensor, key) */
int tensor_newindex_key(lua_State *L);        /* (tensor, key, value) */
void workers_open(lua_State *L, int core);    /* worker.c: states in other threads */
/* Set by static hosts: opens the library in a new state. NULL: the module is found on the package path. */
extern lua_CFunction library_open;
#endif
