/* Lua values that the core keeps, and what the files of autograd share.
 *
 * A callback runs in the Lua state that called backward; its error is kept and raised again when the core has unwound. */
#ifndef MT_CALLBACK_H
#define MT_CALLBACK_H
#include "lua/binding.h"

/* A Lua function (or table) kept alive in the registry for the core. */
typedef struct Callback {
  lua_State *main; /* a thread that lives as long as the state */
  int ref;
  int64_t id;
} Callback;

/* Takes the value on top of the stack; out of memory is an error. */
Callback *callback_new(lua_State *L);
void callback_free(void *callback);

/* Tensors from a single one or a list, into an array that Lua owns. nil and none entries are NULL where allowed. */
Tensor **read_tensors(lua_State *L, int idx, const char *name, const char *what, bool holes, int *count);

void function_node_open(lua_State *L, int core); /* function_node.c */
#endif
