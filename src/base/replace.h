/* Replacing a file by a new one, whole or not at all.
 *
 * The new file is written beside the old one, flushed to the disk, and takes its name in one step: whatever fails before,
 * a full disk or a killed process, the old file is as it was. Where the system can, the new file has no name until it is
 * whole, so that a killed process leaves nothing behind. Links are followed to the file they name; an old file keeps its
 * permissions and, where the process may give it away, its owner. What is no regular file (a device, a pipe) is written
 * to as it is. No write raises a signal: a closed pipe and a passed limit of size are errors as any other. */
#ifndef MT_REPLACE_H
#define MT_REPLACE_H
#include <stdbool.h>
#include <stddef.h>

enum { REPLACE_PATH = 4096 };
typedef struct Replace {
  int fd;
  enum { REPLACE_UNNAMED, REPLACE_NAMED, REPLACE_DIRECT } how;
  bool unlinkable; /* after replace_close failed: the unnamed file could get no name; once more with a named one */
  char target[REPLACE_PATH], temporary[REPLACE_PATH];
} Replace;

/* Each returns false with errno set. After replace_open succeeded, replace_close must follow; after any failure nothing
 * is left of the new file. */
bool replace_open(Replace *r, const char *path, bool unnamed);
bool replace_write(Replace *r, const void *bytes, size_t n);
/* `error` 0: the new file takes the old one's place. Else it is given up and errno is `error`. */
bool replace_close(Replace *r, int error);
#endif
