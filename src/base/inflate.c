/* Unpacking of gzip data: headers, stored, fixed and dynamic blocks, CRC-32 (RFC 1951, 1952).
 *
 * A Huffman code is decoded by one look-up of FAST bits; longer codes go on bit by bit from there. Invariants: `at` never
 * passes `end`, `used` never passes `room`; bits beyond the end read as zero and are counted, so a truncated stream is
 * noticed before anything made from them is kept. */
#include "base/inflate.h"
#include "base/status.h"
#include <pthread.h>
#include <string.h>

enum { FAST = 10, MAX_BITS = 15, LITERALS = 288, DISTANCES = 32 };

typedef struct Huffman {
  uint16_t fast[1 << FAST];     /* symbol << 4 | length; 0 where the code is longer or does not exist */
  uint16_t count[MAX_BITS + 1]; /* codes of each length */
  uint16_t symbol[LITERALS];    /* symbols ordered by code */
} Huffman;

typedef struct Inflater {
  const uint8_t *at, *end;
  uint64_t bits; /* the next bits, lowest first */
  int have;      /* how many of them are real or made up */
  int made_up;   /* zero bits added after the end */
  uint8_t *out;
  size_t used, room;
  const char *error; /* why the data is bad */
  bool full;
  Huffman literal, distance;
} Inflater;

static void refill(Inflater *s) {
  while (s->have <= 56) {
    if (s->at < s->end)
      s->bits |= (uint64_t)*s->at++ << s->have;
    else
      s->made_up += 8;
    s->have += 8;
  }
}

static bool bad(Inflater *s, const char *why) {
  if (!s->error) s->error = why;
  return false;
}

/* Takes n <= 16 bits. */
static unsigned take(Inflater *s, int n) {
  if (s->have < n) refill(s);
  unsigned v = (unsigned)(s->bits & ((1u << n) - 1));
  s->bits >>= n;
  s->have -= n;
  return v;
}

static bool overran(Inflater *s) { return s->made_up > s->have; }

/* Builds the decoder for code lengths; false when they describe more codes than there are, or too few (a single code of
 * one bit is allowed, as is none at all). */
static bool build(Huffman *h, const uint8_t *length, int n) {
  uint16_t offset[MAX_BITS + 2];
  memset(h->count, 0, sizeof h->count);
  for (int i = 0; i < n; i++) h->count[length[i]]++;
  int coded = n - h->count[0];
  h->count[0] = 0;
  int left = 1;
  for (int len = 1; len <= MAX_BITS; len++) {
    left = (left << 1) - h->count[len];
    if (left < 0) return false;
  }
  if (left > 0 && !(coded == 0 || (coded == 1 && h->count[1] == 1))) return false;
  offset[1] = 0;
  for (int len = 1; len <= MAX_BITS; len++) offset[len + 1] = (uint16_t)(offset[len] + h->count[len]);
  for (int i = 0; i < n; i++)
    if (length[i]) h->symbol[offset[length[i]]++] = (uint16_t)i;
  memset(h->fast, 0, sizeof h->fast);
  int code = 0, index = 0;
  for (int len = 1; len <= FAST; len++, code <<= 1)
    for (int k = 0; k < h->count[len]; k++, code++, index++) {
      unsigned reversed = 0;
      for (int b = 0; b < len; b++) reversed |= (unsigned)((code >> b) & 1) << (len - 1 - b);
      for (unsigned i = reversed; i < 1u << FAST; i += 1u << len) h->fast[i] = (uint16_t)(h->symbol[index] << 4 | len);
    }
  return true;
}

/* The next symbol, or -1 when the bits are no code. */
static int decode(Inflater *s, const Huffman *h) {
  if (s->have < MAX_BITS) refill(s);
  unsigned entry = h->fast[s->bits & ((1u << FAST) - 1)];
  if (entry) {
    s->bits >>= entry & 15;
    s->have -= (int)(entry & 15);
    return (int)(entry >> 4);
  }
  int code = 0, first = 0, index = 0;
  uint64_t bits = s->bits;
  for (int len = 1; len <= MAX_BITS; len++) {
    code |= (int)(bits & 1);
    bits >>= 1;
    int count = h->count[len];
    if (code - count < first) {
      s->bits = bits;
      s->have -= len;
      return h->symbol[index + (code - first)];
    }
    index += count;
    first = (first + count) << 1;
    code <<= 1;
  }
  return -1;
}

static bool stored(Inflater *s) {
  take(s, s->have & 7);
  unsigned length = take(s, 16), inverse = take(s, 16);
  if (overran(s)) return bad(s, "it is truncated");
  if (length != (~inverse & 0xffff)) return bad(s, "a stored block's length is damaged");
  /* Whole bytes that were read ahead go back. */
  size_t ahead = (size_t)(s->have - s->made_up) / 8;
  s->at -= ahead;
  s->bits = 0;
  s->have = s->made_up = 0;
  if (length > (size_t)(s->end - s->at)) return bad(s, "it is truncated");
  if (length > s->room - s->used) return s->full = true, false;
  memcpy(s->out + s->used, s->at, length);
  s->at += length;
  s->used += length;
  return true;
}

static const uint16_t length_base[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                         31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
static const uint8_t length_extra[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                         2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
static const uint16_t distance_base[30] = {1,    2,    3,    4,    5,    7,    9,    13,    17,    25,
                                           33,   49,   65,   97,   129,  193,  257,  385,   513,   769,
                                           1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
static const uint8_t distance_extra[30] = {0, 0, 0, 0, 1, 1, 2, 2,  3,  3,  4,  4,  5,  5,  6,
                                           6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13};

static bool copy_match(Inflater *s, size_t length, size_t distance) {
  if (distance > s->used) return bad(s, "it refers to data before its start");
  if (length > s->room - s->used) return s->full = true, false;
  uint8_t *to = s->out + s->used;
  const uint8_t *from = to - distance;
  if (distance >= length)
    memcpy(to, from, length);
  else
    for (size_t i = 0; i < length; i++) to[i] = from[i];
  s->used += length;
  return true;
}

static bool compressed(Inflater *s) {
  for (;;) {
    int symbol = decode(s, &s->literal);
    if (overran(s)) return bad(s, "it is truncated");
    if (symbol < 0) return bad(s, "a code does not exist");
    if (symbol < 256) {
      if (s->used == s->room) return s->full = true, false;
      s->out[s->used++] = (uint8_t)symbol;
      continue;
    }
    if (symbol == 256) return true;
    symbol -= 257;
    if (symbol >= 29) return bad(s, "a length does not exist");
    size_t length = length_base[symbol] + take(s, length_extra[symbol]);
    symbol = decode(s, &s->distance);
    if (symbol < 0 || symbol >= 30) return bad(s, "a distance does not exist");
    size_t distance = distance_base[symbol] + take(s, distance_extra[symbol]);
    if (overran(s)) return bad(s, "it is truncated");
    if (!copy_match(s, length, distance)) return false;
  }
}

static bool fixed_codes(Inflater *s) {
  uint8_t length[LITERALS];
  for (int i = 0; i < LITERALS; i++) length[i] = (uint8_t)(i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8);
  bool good = build(&s->literal, length, LITERALS);
  memset(length, 5, DISTANCES);
  return good && build(&s->distance, length, DISTANCES);
}

static bool dynamic_codes(Inflater *s) {
  static const uint8_t order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
  uint8_t length[LITERALS + DISTANCES] = {0};
  int literals = (int)take(s, 5) + 257, distances = (int)take(s, 5) + 1, lengths = (int)take(s, 4) + 4;
  if (literals > 286 || distances > 30) return bad(s, "a block has too many codes");
  for (int i = 0; i < lengths; i++) length[order[i]] = (uint8_t)take(s, 3);
  if (!build(&s->literal, length, 19)) return bad(s, "a block's codes make no sense");
  memset(length, 0, sizeof length);
  for (int i = 0; i < literals + distances;) {
    int symbol = decode(s, &s->literal);
    if (symbol < 0 || overran(s)) return bad(s, "a block's codes are damaged");
    if (symbol < 16) {
      length[i++] = (uint8_t)symbol;
      continue;
    }
    if (symbol == 16 && i == 0) return bad(s, "a block's codes make no sense");
    uint8_t value = symbol == 16 ? length[i - 1] : 0;
    int times = symbol == 16 ? 3 + (int)take(s, 2) : symbol == 17 ? 3 + (int)take(s, 3) : 11 + (int)take(s, 7);
    if (i + times > literals + distances) return bad(s, "a block has too many codes");
    while (times-- > 0) length[i++] = value;
  }
  if (length[256] == 0) return bad(s, "a block has no end");
  if (!build(&s->literal, length, literals) || !build(&s->distance, length + literals, distances))
    return bad(s, "a block's codes make no sense");
  return true;
}

static bool deflate_stream(Inflater *s) {
  bool last = false;
  while (!last) {
    last = take(s, 1);
    unsigned type = take(s, 2);
    if (overran(s)) return bad(s, "it is truncated");
    if (type == 3) return bad(s, "a block's type does not exist");
    if (type == 0 ? !stored(s) : !((type == 1 ? fixed_codes(s) : dynamic_codes(s)) && compressed(s))) return false;
  }
  /* Whole bytes that were read ahead go back: the trailer follows. */
  take(s, s->have & 7);
  if (overran(s)) return bad(s, "it is truncated");
  s->at -= (size_t)(s->have - s->made_up) / 8;
  s->bits = 0;
  s->have = s->made_up = 0;
  return true;
}

/* crc_of[k][i]: what byte i becomes that k more bytes follow, so that eight bytes are taken at once. */
static uint32_t crc_of[8][256];
static void make_crc(void) {
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t c = i;
    for (int k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >> 1) : c >> 1;
    crc_of[0][i] = c;
  }
  for (uint32_t i = 0; i < 256; i++)
    for (int k = 1; k < 8; k++) crc_of[k][i] = crc_of[0][crc_of[k - 1][i] & 255] ^ (crc_of[k - 1][i] >> 8);
}

uint32_t crc32_of(const uint8_t *p, size_t n) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, make_crc);
  uint32_t crc = 0xffffffff;
  for (; n >= 8; n -= 8, p += 8) {
    uint32_t low = crc ^ (p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
    crc = crc_of[7][low & 255] ^ crc_of[6][low >> 8 & 255] ^ crc_of[5][low >> 16 & 255] ^ crc_of[4][low >> 24] ^
          crc_of[3][p[4]] ^ crc_of[2][p[5]] ^ crc_of[1][p[6]] ^ crc_of[0][p[7]];
  }
  for (; n > 0; n--) crc = crc_of[0][(crc ^ *p++) & 255] ^ (crc >> 8);
  return ~crc;
}

static uint32_t read_32(const uint8_t *p) {
  return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Skips a member's header: magic, flags, and the fields that the flags announce. */
static bool header(Inflater *s) {
  if (s->end - s->at < 10) return bad(s, "it is truncated");
  const uint8_t *p = s->at;
  if (p[0] != 31 || p[1] != 139 || p[2] != 8) return bad(s, "it is no gzip data");
  int flags = p[3];
  if (flags & 0xe0) return bad(s, "its header has unknown flags");
  p += 10;
  if (flags & 4) {
    if (s->end - p < 2) return bad(s, "it is truncated");
    size_t extra = p[0] | (size_t)p[1] << 8;
    if ((size_t)(s->end - p) < 2 + extra) return bad(s, "it is truncated");
    p += 2 + extra;
  }
  for (int bit = 8; bit <= 16; bit <<= 1) { /* file name, comment */
    if (!(flags & bit)) continue;
    const uint8_t *zero = memchr(p, 0, (size_t)(s->end - p));
    if (!zero) return bad(s, "it is truncated");
    p = zero + 1;
  }
  if (flags & 2) {
    if (s->end - p < 2) return bad(s, "it is truncated");
    p += 2;
  }
  s->at = p;
  return true;
}

static bool member(Inflater *s) {
  size_t before = s->used;
  if (!header(s) || !deflate_stream(s)) return false;
  if (s->end - s->at < 8) return bad(s, "it is truncated");
  if (read_32(s->at) != crc32_of(s->out + before, s->used - before)) return bad(s, "its checksum does not match");
  if (read_32(s->at + 4) != (uint32_t)(s->used - before)) return bad(s, "its size does not match");
  s->at += 8;
  return true;
}

InflateResult inflate_gzip(const uint8_t *in, size_t n, uint8_t *out, size_t room, size_t *written) {
  Inflater s = {.at = in, .end = in + n, .out = out, .room = room};
  bool good = true;
  do good = member(&s);
  while (good && s.at < s.end);
  *written = s.used;
  if (good) return INFLATE_DONE;
  if (s.full) return INFLATE_FULL;
  fail(MT_EIO, "gzip data is damaged: %s", s.error);
  return INFLATE_BAD;
}

size_t inflate_guess(const uint8_t *in, size_t n) {
  if (n < 18) return 0;
  size_t said = read_32(in + n - 4);
  /* Deflate packs at most 258 bytes into two bits. */
  return said / 1032 < n ? said : n * 1032;
}
