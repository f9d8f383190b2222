/* read_file: the bytes of a regular file, or some of them.
 *
 * Lua's io would wait for ever on a FIFO without a writer, and read a device without end. Invariant: no more memory is
 * taken than the file is long, and none while the file is open, so that nothing leaks when Lua has none left. */
#define _GNU_SOURCE
#include "lua/binding.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "it is a directory";
  if (S_ISFIFO(mode)) return "it is a pipe (FIFO), which has no length: give the open file, io.open(path, \"rb\")";
  if (S_ISSOCK(mode)) return "it is a socket";
  return "it is a device";
}

static int refuse(lua_State *L, const char *path, const char *why) {
  lua_pushnil(L);
  lua_pushfstring(L, "%s: %s", path, why);
  return 2;
}

/* Reads up to n bytes from `first` on; -1 with errno when it cannot, else how many there were. */
static int64_t read_part(const char *path, char *to, int64_t first, int64_t n) {
  int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return -1;
  int64_t got = 0;
  while (got < n) {
    ssize_t r = pread(fd, to + got, n - got < 1 << 30 ? (size_t)(n - got) : 1 << 30, (off_t)(first + got));
    if (r < 0 && errno == EINTR) continue;
    if (r < 0) got = -1;
    if (r <= 0) break;
    got += r;
  }
  int error = errno;
  close(fd);
  errno = error;
  return got;
}

/* read_file(path [, first, count]) -> the bytes from `first` (from 0) on, at most `count`, and the file's length; or nil
 * and a message that starts with the path. */
int f_read_file(lua_State *L) {
  const char *path = plain_string(L, 1);
  if (!path) return refuse(L, "the path", "it holds a zero byte, which no path can");
  int64_t first = luaL_optinteger(L, 2, 0), count = luaL_optinteger(L, 3, INT64_MAX);
  struct stat s;
  if (stat(path, &s) != 0) return refuse(L, path, strerror(errno));
  if (!S_ISREG(s.st_mode)) return refuse(L, path, kind_of(s.st_mode));
  int64_t length = (int64_t)s.st_size;
  int64_t n = first < 0 || first >= length ? 0 : length - first;
  if (n > count) n = count < 0 ? 0 : count;
  char *bytes = lua_newuserdatauv(L, (size_t)n + 1, 0);
  int64_t got = read_part(path, bytes, first, n);
  if (got < 0) return refuse(L, path, strerror(errno));
  lua_pushlstring(L, bytes, (size_t)got);
  lua_pushinteger(L, length);
  return 2;
}
