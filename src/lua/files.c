/* Files written whole or not at all: pieces from Lua, the rest is base/replace.h. Reading is read.c. */
#include "lua/binding.h"
#include "base/replace.h"
#include <errno.h>
#include <string.h>

/* Strings and contiguous host tensors at stack index `list`, one after the other. Nothing here raises: a file is open. */
static int write_pieces(lua_State *L, int list, Replace *r) {
  lua_Unsigned n = lua_rawlen(L, list);
  int error = 0;
  for (lua_Unsigned i = 1; !error && i <= n; i++) {
    const void *bytes = NULL;
    size_t length = 0;
    lua_rawgeti(L, list, (lua_Integer)i);
    Tensor *t = to_tensor(L, -1);
    if (t && tensor_is_contiguous(t) && tensor_device(t).kind == MT_CPU) {
      bytes = tensor_data(t);
      length = (size_t)tensor_bytes(t);
    } else if (lua_type(L, -1) == LUA_TSTRING) {
      bytes = lua_tolstring(L, -1, &length);
    } else {
      error = EINVAL;
    }
    if (!error && length > 0 && !replace_write(r, bytes, length)) error = errno;
    lua_pop(L, 1);
  }
  return error;
}

static const char *remedy(int error) {
  switch (error) {
  case ENOENT:
  case ENOTDIR: return "make its folder first";
  case EISDIR: return "it is a folder: name a file in it";
  case EACCES:
  case EPERM:
  case EROFS: return "the file, and the folder it is in, must be writable: the new file is made beside the old one";
  case ENOSPC:
  case EDQUOT: return "free some space: the new file stands beside the old one until it is whole";
  case EFBIG: return "it would be larger than this process (ulimit -f) or the file system allows";
  default: return "";
  }
}

/* write_file_atomic(path, pieces): strings and contiguous host tensors, one after the other, replace the file. true; or
 * nil, what is wrong and what helps, and the file is as it was. */
static int f_write_file(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  Replace r = {.unlinkable = false};
  bool done = false;
  if (strlen(path) == lua_rawlen(L, 1)) {
    done = replace_open(&r, path, true) && replace_close(&r, write_pieces(L, 2, &r));
    if (r.unlinkable) done = replace_open(&r, path, false) && replace_close(&r, write_pieces(L, 2, &r));
  } else {
    errno = ENOENT; /* a zero byte ends it early */
  }
  if (done) return lua_pushboolean(L, 1), 1;
  int error = errno;
  lua_pushnil(L);
  lua_pushstring(L, strerror(error));
  lua_pushstring(L, remedy(error));
  return 3;
}

void files_open(lua_State *L, int core) {
  lua_pushvalue(L, core);
  lua_pushcfunction(L, f_write_file);
  lua_setfield(L, -2, "write_file_atomic");
  lua_pushcfunction(L, f_read_file);
  lua_setfield(L, -2, "read_file");
  lua_pop(L, 1);
}
