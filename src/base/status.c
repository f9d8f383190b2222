/* Status: one pending failure per thread, in fixed storage so that running out of memory can be reported. */
#include "base/status.h"
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE = 4096, PIECES = 8, PIECE = 512 };
static _Thread_local MtCode pending;
static _Thread_local char message[MESSAGE];
static _Thread_local char piece[PIECES][PIECE];
static _Thread_local unsigned piece_turn;

/* C prints a sign before some NaNs, which means nothing: both are nan. */
static void drop_signs_of_nan(char *text) {
  for (char *at = text; (at = strstr(at, "-nan")) != NULL; at += 3)
    if (at == text || !isalnum((unsigned char)at[-1])) memmove(at, at + 1, strlen(at));
}

bool fail(MtCode code, const char *format, ...) {
  if (pending != MT_OK) return false;
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  drop_signs_of_nan(message);
  pending = code;
  return false;
}

void *fail_memory(size_t bytes) {
  fail(MT_ENOMEM,
       "out of memory: you tried to allocate %zu bytes. Free tensors (t:free(), <close>, torch.scope), "
       "use a smaller batch, or raise the cap",
       bytes);
  return NULL;
}

void fail_prefix(const char *format, ...) {
  if (pending == MT_OK) return;
  char head[MESSAGE / 4], tail[MESSAGE];
  va_list args;
  va_start(args, format);
  vsnprintf(head, sizeof head, format, args);
  va_end(args);
  memcpy(tail, message, sizeof tail);
  size_t n = strlen(head);
  memcpy(message, head, n);
  snprintf(message + n, sizeof message - n, "%s", tail);
}

void fail_suffix(const char *format, ...) {
  if (pending == MT_OK) return;
  size_t n = strlen(message);
  va_list args;
  va_start(args, format);
  vsnprintf(message + n, sizeof message - n, format, args);
  va_end(args);
}

bool failed(void) { return pending != MT_OK; }
MtCode fail_code(void) { return pending; }
const char *fail_message(void) { return pending == MT_OK ? "" : message; }
void fail_clear(void) { pending = MT_OK; }

enum { NOTICES = 2000 };
static _Thread_local bool notices;
static _Thread_local int notices_given;
bool notice(const char *about) {
  if (!notices || notices_given >= NOTICES) return true;
  notices_given++;
  return fail(MT_ENOTICE, "%s", about);
}
bool notices_set(bool on) {
  bool old = notices;
  notices = on;
  return old;
}

const char *text(const char *format, ...) {
  char *to = piece[piece_turn++ % PIECES];
  va_list args;
  va_start(args, format);
  vsnprintf(to, PIECE, format, args);
  va_end(args);
  return to;
}
