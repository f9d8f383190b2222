/* Parcels: Lua values on their way from one Lua state to another, in another thread.
 *
 * A parcel belongs to no state. Tensors cross as their storage, counted atomically, and geometry: a fresh header is made in
 * the receiving state. Numbers, strings, tables and metatables, Lua functions (bytecode and upvalues) are copied, shared
 * references once. Modules and what they hold go by name, C functions without upvalues by address. */
#ifndef MT_PARCEL_H
#define MT_PARCEL_H
#include "lua/binding.h"

typedef struct Parcel {
  struct Parcel *next;
  uint8_t *bytes;
  size_t used, room;
  Storage **storages;
  int count, storage_room;
} Parcel;

/* Packs the value at idx; `what` is what messages call it ("dataset"). The parcel is the caller's. Raises an error that
 * names the field that cannot be sent. */
Parcel *parcel_pack(lua_State *L, int idx, const char *what);
/* Pushes the value; may raise. The parcel stays as it is and can be unpacked again. */
void parcel_unpack(lua_State *L, const Parcel *p);
void parcel_free(Parcel *p); /* NULL is fine */
#endif
