/* Replacing a file by a new one: see replace.h. */
#define _GNU_SOURCE
#include "base/replace.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_LINKS = 40, MOST_NAMES = 1000 };

/* Length of the folder's part of a path, with its slash; 0 for none. */
static size_t folder_length(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? (size_t)(slash - path) + 1 : 0;
}

/* The file that a path names in the end, links followed, whether it exists or not. */
static bool follow(const char *path, char *out) {
  char link[REPLACE_PATH];
  if (strlen(path) >= REPLACE_PATH) return errno = ENAMETOOLONG, false;
  memcpy(out, path, strlen(path) + 1);
  for (int i = 0; i < MOST_LINKS; i++) {
    struct stat s;
    if (lstat(out, &s) != 0 || !S_ISLNK(s.st_mode)) return true;
    ssize_t n = readlink(out, link, sizeof link - 1);
    if (n < 0) return false;
    link[n] = 0;
    size_t folder = link[0] == '/' ? 0 : folder_length(out);
    if (folder + (size_t)n >= REPLACE_PATH) return errno = ENAMETOOLONG, false;
    memcpy(out + folder, link, (size_t)n + 1);
  }
  return errno = ELOOP, false;
}

/* Another name in the target's folder. It does not hold the target's own, so that it is no longer than names may be. */
static bool next_name(Replace *r) {
  static _Atomic unsigned counter;
  size_t folder = folder_length(r->target);
  int n = snprintf(r->temporary, REPLACE_PATH, "%.*s.moontorch-%ld-%u.tmp", (int)folder, r->target, (long)getpid(),
                   atomic_fetch_add(&counter, 1));
  if (n < 0 || n >= REPLACE_PATH) return errno = ENAMETOOLONG, false;
  return true;
}

static int open_again(const char *path, int flags) {
  int fd;
  do fd = open(path, flags | O_CLOEXEC, 0666);
  while (fd < 0 && errno == EINTR);
  return fd;
}

#ifdef O_TMPFILE
static void unnamed_path(const Replace *r, char *out, size_t size) { snprintf(out, size, "/proc/self/fd/%d", r->fd); }

static bool open_unnamed(Replace *r) {
  char folder[REPLACE_PATH], self[64];
  size_t n = folder_length(r->target);
  memcpy(folder, r->target, n);
  folder[n] = 0;
  r->fd = open_again(n ? folder : ".", O_TMPFILE | O_WRONLY);
  if (r->fd < 0) return false;
  unnamed_path(r, self, sizeof self);
  if (access(self, F_OK) == 0) return true; /* the only way to name it needs /proc */
  close(r->fd);
  return false;
}

static bool name_it(Replace *r) {
  char self[64];
  unnamed_path(r, self, sizeof self);
  for (int i = 0; i < MOST_NAMES; i++) {
    if (!next_name(r)) return false;
    if (linkat(AT_FDCWD, self, AT_FDCWD, r->temporary, AT_SYMLINK_FOLLOW) == 0) return true;
    if (errno != EEXIST) break;
  }
  r->unlinkable = true;
  return false;
}
#else
static bool open_unnamed(Replace *r) { return (void)r, false; }
static bool name_it(Replace *r) { return (void)r, false; }
#endif

static bool open_named(Replace *r) {
  for (int i = 0; i < MOST_NAMES; i++) {
    if (!next_name(r)) return false;
    r->fd = open_again(r->temporary, O_WRONLY | O_CREAT | O_EXCL);
    if (r->fd >= 0) return true;
    if (errno != EEXIST) return false;
  }
  return false;
}

bool replace_open(Replace *r, const char *path, bool unnamed) {
  struct stat old;
  r->unlinkable = false;
  bool exists = stat(path, &old) == 0;
  if (!exists && (errno != ENOENT || !*path)) return false;
  if (exists && S_ISDIR(old.st_mode)) return errno = EISDIR, false;
  if (exists && !S_ISREG(old.st_mode)) {
    r->how = REPLACE_DIRECT;
    r->fd = open_again(path, O_WRONLY);
    return r->fd >= 0;
  }
  if (!follow(path, r->target)) return false;
  /* Who may write to the folder could replace a file that is write-protected; nobody expects it. */
  if (exists && faccessat(AT_FDCWD, r->target, W_OK, AT_EACCESS) != 0) return false;
  r->how = REPLACE_UNNAMED;
  if (!unnamed || !open_unnamed(r)) {
    r->how = REPLACE_NAMED;
    if (!open_named(r)) return false;
  }
  if (exists) {
    bool given = fchown(r->fd, old.st_uid, old.st_gid) == 0;
    (void)given; /* only root gives files away */
    if (fchmod(r->fd, old.st_mode & 0777) != 0) return replace_close(r, errno);
  }
  return true;
}

/* Takes a signal that the write has sent to this thread, and none that was waiting before. */
static void take(int signal, const sigset_t *before) {
  sigset_t now, one;
  sigpending(&now);
  if (sigismember(before, signal) || !sigismember(&now, signal)) return;
  sigemptyset(&one);
  sigaddset(&one, signal);
  sigwait(&one, &signal);
}

/* write() whose failure is no signal. A write that a closed pipe cuts short sends one too. */
static ssize_t quiet_write(int fd, const void *bytes, size_t n) {
  sigset_t both, mask, waiting;
  sigemptyset(&both);
  sigaddset(&both, SIGPIPE);
  sigaddset(&both, SIGXFSZ);
  sigpending(&waiting);
  pthread_sigmask(SIG_BLOCK, &both, &mask);
  ssize_t w = write(fd, bytes, n);
  int error = errno;
  if (w < (ssize_t)n) {
    take(SIGPIPE, &waiting);
    take(SIGXFSZ, &waiting);
  }
  pthread_sigmask(SIG_SETMASK, &mask, NULL);
  errno = error;
  return w;
}

bool replace_write(Replace *r, const void *bytes, size_t n) {
  const char *at = bytes;
  while (n > 0) {
    ssize_t w = quiet_write(r->fd, at, n < 1 << 30 ? n : 1 << 30);
    if (w < 0 && errno == EINTR) continue;
    if (w == 0) errno = ENOSPC;
    if (w <= 0) return false;
    at += w;
    n -= (size_t)w;
  }
  return true;
}

/* To the disk itself. Pipes, devices and some file systems know no such thing. */
static bool flush(int fd) {
  int result;
#ifdef F_FULLFSYNC
  if (fcntl(fd, F_FULLFSYNC) == 0) return true;
#endif
  do result = fsync(fd);
  while (result != 0 && errno == EINTR);
  return result == 0 || errno == EINVAL || errno == ENOTSUP || errno == EROFS;
}

/* The folder's entry too, so that the new name survives a power cut. Best effort: some file systems refuse. */
static void flush_folder(const char *path) {
  char folder[REPLACE_PATH];
  size_t n = folder_length(path);
  memcpy(folder, path, n);
  folder[n] = 0;
  int fd = open_again(n ? folder : ".", O_RDONLY | O_DIRECTORY);
  if (fd < 0) return;
  fsync(fd);
  close(fd);
}

bool replace_close(Replace *r, int error) {
  if (!error && !flush(r->fd)) error = errno;
  if (!error && r->how == REPLACE_UNNAMED && !name_it(r)) error = errno;
  bool named = r->how == REPLACE_NAMED || (r->how == REPLACE_UNNAMED && !error);
  /* A file system may tell only now that a write failed; the descriptor is gone whatever close() says. */
  if (close(r->fd) != 0 && !error && errno != EINTR) error = errno;
  if (!error && named && rename(r->temporary, r->target) != 0) error = errno;
  if (error && named) unlink(r->temporary);
  if (!error && named) flush_folder(r->target);
  return errno = error, !error;
}
