/* Tests of base/replace.h: with an unnamed and with a named new file. Prints one line; non-zero exit on failure. */
#include "base/replace.h"
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static int passed, wrong;
static void check(bool good, const char *what, int line) {
  if (good) {
    passed++;
  } else {
    wrong++;
    printf("line %d: %s\n", line, what);
  }
}
#define CHECK(x) check((x), #x, __LINE__)

static char folder[] = "/tmp/moontorch_replace_XXXXXX", path[64];

static bool holds(const char *wanted) {
  char got[64] = "";
  FILE *f = fopen(path, "rb");
  if (!f) return false;
  size_t n = fread(got, 1, sizeof got - 1, f);
  fclose(f);
  return n == strlen(wanted) && memcmp(got, wanted, n) == 0;
}

static int files(void) {
  DIR *d = opendir(folder);
  int n = 0;
  while (d && readdir(d)) n++;
  closedir(d);
  return n - 2;
}

static bool replace(const char *text, bool unnamed, int error) {
  Replace r;
  return replace_open(&r, path, unnamed) && replace_write(&r, text, strlen(text)) && replace_close(&r, error);
}

static void test_replacing(bool unnamed) {
  unlink(path);
  CHECK(replace("first", unnamed, 0) && holds("first") && files() == 1);
  chmod(path, 0640);
  CHECK(replace("second", unnamed, 0) && holds("second") && files() == 1);
  struct stat s;
  CHECK(stat(path, &s) == 0 && (s.st_mode & 07777) == 0640);
  /* Given up: the old one stays, nothing is left, and the reason comes back. */
  CHECK(!replace("third", unnamed, EIO) && errno == EIO && holds("second") && files() == 1);
  /* While it is written the old one can be read; two at once do not meet. */
  Replace a, b;
  CHECK(replace_open(&a, path, unnamed) && replace_open(&b, path, unnamed));
  CHECK(replace_write(&a, "a", 1) && replace_write(&b, "bb", 2) && holds("second"));
  CHECK(replace_close(&b, 0) && holds("bb") && replace_close(&a, 0) && holds("a") && files() == 1);
}

/* A folder that takes the target's place while the new file is written. */
static void test_late_failure(bool unnamed) {
  Replace r;
  unlink(path);
  CHECK(replace_open(&r, path, unnamed) && replace_write(&r, "x", 1) && mkdir(path, 0755) == 0);
  CHECK(!replace_close(&r, 0) && errno == EISDIR && files() == 1);
  rmdir(path);
}

static void test_limit(bool unnamed) {
  static const char many[100000];
  struct rlimit old, small;
  CHECK(getrlimit(RLIMIT_FSIZE, &old) == 0);
  CHECK(replace("old", unnamed, 0));
  small = old;
  small.rlim_cur = 4096;
  setrlimit(RLIMIT_FSIZE, &small);
  Replace r;
  CHECK(replace_open(&r, path, unnamed) && !replace_write(&r, many, sizeof many) && errno == EFBIG);
  CHECK(!replace_close(&r, EFBIG) && errno == EFBIG);
  setrlimit(RLIMIT_FSIZE, &old);
  CHECK(holds("old") && files() == 1);
}

/* A closed pipe's signal is taken, one that waited before is left. */
static void test_signals(void) {
  int ends[2];
  sigset_t one, waiting;
  Replace r = {.how = REPLACE_DIRECT};
  CHECK(pipe(ends) == 0 && close(ends[0]) == 0);
  r.fd = ends[1];
  CHECK(!replace_write(&r, "x", 1) && errno == EPIPE);
  sigemptyset(&one);
  sigaddset(&one, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &one, NULL);
  CHECK(sigpending(&waiting) == 0 && !sigismember(&waiting, SIGPIPE));
  pthread_kill(pthread_self(), SIGPIPE);
  CHECK(!replace_write(&r, "x", 1) && sigpending(&waiting) == 0 && sigismember(&waiting, SIGPIPE));
  int taken;
  sigwait(&one, &taken);
  pthread_sigmask(SIG_UNBLOCK, &one, NULL);
  close(ends[1]);
}

int main(void) {
  if (!mkdtemp(folder)) return perror(folder), 1;
  snprintf(path, sizeof path, "%s/file", folder);
  for (int unnamed = 0; unnamed < 2; unnamed++) {
    test_replacing(unnamed);
    test_late_failure(unnamed);
    test_limit(unnamed);
  }
  test_signals();
  unlink(path);
  rmdir(folder);
  printf("%d passed, %d failed\n", passed, wrong);
  return wrong != 0;
}
