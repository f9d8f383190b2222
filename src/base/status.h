/* Status: how the core says that something failed.
 *
 * A function that can fail returns NULL or false after calling fail(). The first message of a thread stays
 * until fail_clear(): while one is pending every op_* call returns NULL at once, so formulas nest without checks.
 * Messages use PyTorch's wording where it has one and end with the remedy; the binding adds position and name. */
#ifndef MT_STATUS_H
#define MT_STATUS_H
#include <stdbool.h>
#include <stddef.h>

typedef enum {
  MT_OK = 0,
  MT_EARG,      /* wrong type, dtype, shape, keyword */
  MT_EINDEX,    /* a position out of range */
  MT_ENOMEM,    /* out of memory or over the host's cap */
  MT_ENOTIMPL,  /* no kernel for this dtype and device */
  MT_EIO,       /* a file could not be read or written */
  MT_ERUNTIME,  /* any other refusal */
  MT_EHOST,     /* a host callback (Lua hook) raised; the host keeps its error value */
  MT_ENODEVICE, /* a device's kernel leaves the call to the host; never seen outside of op_call */
  MT_ENOTICE    /* nothing is wrong with the call, but the host may want to say something first: see notice() */
} MtCode;

/* Records a failure unless one is pending. Always returns false. */
bool fail(MtCode code, const char *format, ...) __attribute__((format(printf, 2, 3), cold));
/* Out of memory, without allocating. Always returns NULL. */
void *fail_memory(size_t bytes) __attribute__((cold));
/* Puts text in front of the pending message (a function's or module's name). */
void fail_prefix(const char *format, ...) __attribute__((format(printf, 1, 2), cold));
/* Puts text behind it (where in a script it comes from). */
void fail_suffix(const char *format, ...) __attribute__((format(printf, 1, 2), cold));
bool failed(void);
MtCode fail_code(void);
const char *fail_message(void); /* "" when nothing is pending; valid until the thread's next fail() */
void fail_clear(void);
/* A likely mistake in a call that is valid, found before anything was changed. Where notices are on, the call fails with
 * MT_ENOTICE and the message `about`; the host then says what it likes and calls again with notices off. So a call without
 * a mistake pays nothing. True: go on. Each thread has so many notices, that a habit of the script stays cheap. */
bool notice(const char *about) __attribute__((cold));
bool notices_set(bool on); /* of this thread; returns the old value */
/* A short-lived string: one of eight thread-local buffers of 512 bytes, reused in turn. For message parts. */
const char *text(const char *format, ...) __attribute__((format(printf, 1, 2)));
#endif
