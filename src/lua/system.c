/* The host's side: threads, memory figures, files written whole or not at all, terminal, clock. */
#define _GNU_SOURCE
#include "lua/binding.h"
#include "base/alloc.h"
#include "base/inflate.h"
#include "base/pool.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int f_get_num_threads(lua_State *L) { return lua_pushinteger(L, pool_threads()), 1; }
static int f_set_num_threads(lua_State *L) {
  int64_t n;
  if (!read_integer(L, 1, &n) || n < 1 || n > 4096)
    return raise_text(L, "set_num_threads", "expects a positive integer");
  pool_set_threads((int)n);
  return 0;
}

/* memory() -> table of native bytes: in_use, peak, cached, cap */
static int f_memory(lua_State *L) {
  lua_createtable(L, 0, 4);
  const struct {
    const char *key;
    int64_t value;
  } rows[] = {{"in_use", memory_in_use()}, {"peak", memory_peak()}, {"cached", memory_cached()}, {"cap", memory_cap()}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    lua_pushinteger(L, rows[i].value);
    lua_setfield(L, -2, rows[i].key);
  }
  return 1;
}
static int f_reset_peak(lua_State *L) { return (void)L, memory_reset_peak(), 0; }
static int f_trim(lua_State *L) { return (void)L, memory_trim(), 0; }
static int f_set_cap(lua_State *L) {
  int64_t n;
  if (!read_integer(L, 1, &n) || n < 0) return raise_text(L, "set_memory_cap", "expects bytes, 0 for none");
  memory_set_cap(n);
  return 0;
}
static int f_fail_at(lua_State *L) {
  memory_fail_at(luaL_checkinteger(L, 1), lua_toboolean(L, 2));
  return 0;
}
static int f_count(lua_State *L) { return lua_pushinteger(L, memory_count()), 1; }

static int f_isatty(lua_State *L) { return lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1))), 1; }
static int f_columns(lua_State *L) {
  struct winsize w;
  bool known = ioctl((int)luaL_optinteger(L, 1, 2), TIOCGWINSZ, &w) == 0 && w.ws_col > 0;
  return lua_pushinteger(L, known ? w.ws_col : 80), 1;
}
static int f_clock(lua_State *L) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return lua_pushnumber(L, (double)t.tv_sec + (double)t.tv_nsec * 1e-9), 1;
}

/* --- files --- */

static bool write_all(int fd, const char *bytes, size_t n) {
  while (n > 0) {
    ssize_t w = write(fd, bytes, n < 1 << 30 ? n : 1 << 30);
    if (w < 0 && errno == EINTR) continue;
    if (w <= 0) return false;
    bytes += w;
    n -= (size_t)w;
  }
  return true;
}

/* Flushes the folder's entry too, so that the rename survives a power cut. Best effort: some file systems refuse. */
static void sync_folder(const char *path) {
  char folder[4096];
  const char *slash = strrchr(path, '/');
  size_t n = slash ? (size_t)(slash - path) + (slash == path) : 0;
  if (n >= sizeof folder) return;
  memcpy(folder, path, n);
  folder[n] = 0;
  int fd = open(n ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  fsync(fd);
  close(fd);
}

/* write_file_atomic(path, pieces): strings and contiguous host tensors, one after the other, into a temporary file beside
 * path, synced, renamed. true; or nil and a message, and path is as it was. */
static int f_write_file(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  char *temporary = lua_newuserdatauv(L, strlen(path) + 32, 0);
  int fd = -1;
  for (int attempt = 0; fd < 0 && attempt < 100; attempt++) {
    sprintf(temporary, "%s.tmp%d-%d", path, (int)getpid() % 1000000, attempt);
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 && errno != EEXIST) break;
  }
  if (fd < 0) {
    lua_pushnil(L);
    lua_pushfstring(L, "%s: %s", path, strerror(errno));
    return 2;
  }
  struct stat old;
  if (stat(path, &old) == 0) fchmod(fd, old.st_mode & 07777);
  lua_Unsigned n = lua_rawlen(L, 2);
  bool good = true;
  for (lua_Unsigned i = 1; good && i <= n; i++) {
    lua_rawgeti(L, 2, (lua_Integer)i);
    Tensor *t = to_tensor(L, -1);
    if (t) {
      good = tensor_is_contiguous(t) && tensor_device(t).kind == MT_CPU;
      if (!good) errno = EINVAL;
      good = good && write_all(fd, tensor_data(t), (size_t)tensor_bytes(t));
    } else if (lua_type(L, -1) == LUA_TSTRING) {
      size_t length;
      const char *bytes = lua_tolstring(L, -1, &length);
      good = write_all(fd, bytes, length);
    } else {
      good = false;
      errno = EINVAL;
    }
    lua_pop(L, 1);
  }
  int error = good ? 0 : errno;
  if (good && fsync(fd) != 0) error = errno;
  if (close(fd) != 0 && !error) error = errno;
  if (!error && rename(temporary, path) != 0) error = errno;
  if (error) {
    unlink(temporary);
    lua_pushnil(L);
    lua_pushfstring(L, "%s: %s", path, strerror(error));
    return 2;
  }
  sync_folder(path);
  lua_pushboolean(L, 1);
  return 1;
}

/* inflate(gzip, limit [, cut]) -> what it unpacks to, at most `limit` bytes; or nil and a message. With `cut`, more than
 * that is no error: the first `limit` bytes come. The output lies in a Lua userdata, so nothing is lost when memory for
 * the string fails. */
static int f_inflate(lua_State *L) {
  size_t n, written;
  const char *in = luaL_checklstring(L, 1, &n);
  int64_t limit;
  if (!read_integer(L, 2, &limit) || limit < 0) return raise_text(L, "inflate", "expects a limit in bytes");
  size_t room = inflate_guess((const uint8_t *)in, n);
  for (;;) {
    if (room > (uint64_t)limit) room = (size_t)limit;
    uint8_t *out = lua_newuserdatauv(L, room + 1, 0);
    InflateResult result = inflate_gzip((const uint8_t *)in, n, out, room, &written);
    bool enough = result == INFLATE_FULL && room == (uint64_t)limit && lua_toboolean(L, 3);
    if (result == INFLATE_DONE || enough) return lua_pushlstring(L, (const char *)out, written), 1;
    lua_pop(L, 1);
    if (result == INFLATE_BAD || room == (uint64_t)limit) break;
    room = room * 2 + 4096;
  }
  lua_pushnil(L);
  if (failed())
    lua_pushstring(L, fail_message());
  else
    lua_pushfstring(L, "it unpacks to more than %I bytes", (LUAI_UACINT)limit);
  fail_clear();
  return 2;
}

/* crc32(string) -> the checksum of zip files. */
static int f_crc32(lua_State *L) {
  size_t n;
  const char *bytes = luaL_checklstring(L, 1, &n);
  return lua_pushinteger(L, (lua_Integer)crc32_of((const uint8_t *)bytes, n)), 1;
}

static bool checks_off; /* one word for the process: warnings about likely mistakes */
static int f_set_checks(lua_State *L) {
  checks_off = !lua_toboolean(L, 1);
  return 0;
}
static int f_checks(lua_State *L) { return lua_pushboolean(L, !checks_off), 1; }

static const luaL_Reg functions[] = {{"get_num_threads", f_get_num_threads},
                                     {"set_num_threads", f_set_num_threads},
                                     {"memory", f_memory},
                                     {"reset_peak_memory", f_reset_peak},
                                     {"trim_memory", f_trim},
                                     {"set_memory_cap", f_set_cap},
                                     {"_fail_at", f_fail_at},
                                     {"_allocations", f_count},
                                     {"isatty", f_isatty},
                                     {"columns", f_columns},
                                     {"clock", f_clock},
                                     {"write_file_atomic", f_write_file},
                                     {"read_file", f_read_file},
                                     {"inflate", f_inflate},
                                     {"crc32", f_crc32},
                                     {"set_checks", f_set_checks},
                                     {"checks_enabled", f_checks},
                                     {NULL, NULL}};

void system_open(lua_State *L, int core) {
  lua_pushvalue(L, core);
  luaL_setfuncs(L, functions, 0);
  lua_pop(L, 1);
}
