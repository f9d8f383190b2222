/* Pools: the tensors that gradient formulas and composed ops make on their way, released together at the end. */
#include "base/alloc.h"
#include "graph/op.h"

static _Thread_local Tensor **held;
static _Thread_local int count, room;

int pool_open(void) { return count; }

void pool_shut(int mark) {
  while (count > mark) tensor_release(held[--count]);
  if (mark == 0 && room > 4096) { /* a large one does not stay with the thread */
    mem_free(held);
    held = NULL;
    room = 0;
  }
}

void pool_end(void) {
  pool_shut(0);
  mem_free(held);
  held = NULL;
  room = 0;
}

Tensor *pool_add(Tensor *owned) {
  if (!owned) return NULL;
  if (count == room) {
    int wanted = room ? 2 * room : 64;
    Tensor **grown = mem_resize(held, sizeof *held * (size_t)wanted);
    if (!grown) {
      tensor_release(owned);
      return NULL;
    }
    held = grown;
    room = wanted;
  }
  return held[count++] = owned;
}
