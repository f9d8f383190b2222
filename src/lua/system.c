/* The host's side: threads, memory figures, terminal, clock, packed data. */
#define _GNU_SOURCE
#include "lua/binding.h"
#include "base/alloc.h"
#include "base/inflate.h"
#include "base/isa.h"
#include "base/pool.h"
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
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

/* _blas() -> the library that multiplies large matrices, "own" where none was chosen when this was built */
static int f_blas(lua_State *L) {
#if defined(MT_BLAS_openblas)
  lua_pushliteral(L, "openblas");
#elif defined(MT_BLAS_onednn)
  lua_pushliteral(L, "onednn");
#else
  lua_pushliteral(L, "own");
#endif
  return 1;
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

/* --- packed data --- */

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

/* crc32(string, offset = 0, count = the rest) -> the checksum of zip files, of count bytes from byte offset (from 0). */
static int f_crc32(lua_State *L) {
  size_t n;
  const char *bytes = luaL_checklstring(L, 1, &n);
  int64_t offset = 0, count;
  if (!lua_isnoneornil(L, 2) && (!read_integer(L, 2, &offset) || offset < 0 || offset > (int64_t)n))
    return raise_text(L, "crc32", "offset must be a position in the string");
  count = (int64_t)n - offset;
  if (!lua_isnoneornil(L, 3) && (!read_integer(L, 3, &count) || count < 0 || count > (int64_t)n - offset))
    return raise_text(L, "crc32", "count reaches past the string");
  return lua_pushinteger(L, (lua_Integer)crc32_of((const uint8_t *)bytes + offset, (size_t)count)), 1;
}

static bool checks_off; /* one word for the process: warnings about likely mistakes */
static int f_set_checks(lua_State *L) {
  checks_off = !lua_toboolean(L, 1);
  return 0;
}
static int f_checks(lua_State *L) { return lua_pushboolean(L, !checks_off), 1; }

/* _deterministic(on, warn_only, fill) -> the old three; nil leaves one as it is */
static int f_deterministic(lua_State *L) {
  Deterministic d = deterministic();
  bool *part[] = {&d.on, &d.warn_only, &d.fill};
  lua_settop(L, 3);
  for (int k = 0; k < 3; k++) {
    bool old = *part[k];
    if (!lua_isnil(L, k + 1)) *part[k] = lua_toboolean(L, k + 1);
    lua_pushboolean(L, old);
  }
  deterministic_set(d);
  return 3;
}

static const luaL_Reg functions[] = {{"get_num_threads", f_get_num_threads},
                                     {"set_num_threads", f_set_num_threads},
                                     {"_blas", f_blas},
                                     {"memory", f_memory},
                                     {"reset_peak_memory", f_reset_peak},
                                     {"trim_memory", f_trim},
                                     {"set_memory_cap", f_set_cap},
                                     {"_fail_at", f_fail_at},
                                     {"_allocations", f_count},
                                     {"isatty", f_isatty},
                                     {"columns", f_columns},
                                     {"clock", f_clock},
                                     {"inflate", f_inflate},
                                     {"crc32", f_crc32},
                                     {"set_checks", f_set_checks},
                                     {"checks_enabled", f_checks},
                                     {"_deterministic", f_deterministic},
                                     {NULL, NULL}};

void system_open(lua_State *L, int core) {
  lua_pushvalue(L, core);
  luaL_setfuncs(L, functions, 0);
  lua_pop(L, 1);
}
