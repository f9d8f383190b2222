/* Unpacking of gzip data (RFC 1951, 1952), for data files. The input is never trusted: every read and write is bounded,
 * checksums and sizes are compared. */
#ifndef MT_INFLATE_H
#define MT_INFLATE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
  INFLATE_DONE,
  INFLATE_FULL, /* more than `room` bytes come out; nothing was recorded */
  INFLATE_BAD   /* damaged or truncated; fail() was called */
} InflateResult;

/* Unpacks all members of a gzip file of n bytes into out and counts the bytes in *written. */
InflateResult inflate_gzip(const uint8_t *in, size_t n, uint8_t *out, size_t room, size_t *written);
/* A first guess of the unpacked size from the file's last bytes, never more than n could unpack to. */
size_t inflate_guess(const uint8_t *in, size_t n);
/* CRC-32 of n bytes, as gzip and zip files hold it. */
uint32_t crc32_of(const uint8_t *p, size_t n);
#endif
