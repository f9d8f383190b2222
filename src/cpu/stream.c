/* Rows by way of a buffer that stays in the first cache, from where the result goes past the caches. */
#include "cpu/stream.h"
#include "cpu/copy.h"

enum { BUFFER = 2048, AHEAD = 4096, LINE = 64, OPERANDS = 4 };

/* Bytes of the result up to the next block, so that all blocks but the first begin with a line. */
static int64_t first_block(const char *to) { return BUFFER - (int64_t)((uintptr_t)to % LINE); }

/* The processor, which looks ahead at regular reads, loses its way when these come in bursts: what block after next reads
 * is asked for here, where it lies close together. */
static char *ask_for(char *from, int64_t stride, int64_t n) {
  for (int64_t i = 0; stride <= LINE && i < n * stride; i += LINE) __builtin_prefetch(from + AHEAD + i);
  return from;
}

void stream_row(char **ptr, const int64_t *stride, int64_t n, const void *streamed) {
  const Streamed *s = streamed;
  _Alignas(LINE) char buffer[BUFFER];
  if (stride[0] != s->size || n * s->size < 2 * BUFFER) {
    s->row(ptr, stride, n, s->context);
    return;
  }
  void (*copy)(char *, const char *, int64_t) = VEC_PICK(stream_table)->copy;
  int64_t block = first_block(ptr[0]) / s->size;
  for (int64_t i = 0; i < n; i += block, block = BUFFER / s->size) {
    if (block > n - i) block = n - i;
    char *at[OPERANDS] = {buffer};
    for (int k = 1; k < s->operands; k++) at[k] = ask_for(ptr[k] + i * stride[k], stride[k], block);
    s->row(at, stride, block, s->context);
    copy(ptr[0] + i * s->size, buffer, block * s->size);
  }
  stream_fence();
}

/* The buffer holds whole elements, so it can be copied from its beginning again and again. */
static void fill_past(char **ptr, const int64_t *stride, int64_t n, const void *element, int size) {
  _Alignas(LINE) char buffer[BUFFER];
  if (stride[0] != size || n * size < 2 * BUFFER) {
    fill_row(size)(ptr, stride, n, element);
    return;
  }
  fill_row(size)((char *[]){buffer}, (int64_t[]){size}, BUFFER / size, element);
  int64_t bytes = n * size, block = first_block(ptr[0]) / size * size;
  for (int64_t i = 0; i < bytes; i += block, block = BUFFER) {
    if (block > bytes - i) block = bytes - i;
    VEC_PICK(stream_table)->copy(ptr[0] + i, buffer, block);
  }
  stream_fence();
}

static void copy_past(char **ptr, const int64_t *stride, int64_t n, int size) {
  if (stride[0] != size || stride[1] != size) {
    stream_row(ptr, stride, n, &(Streamed){copy_row(size), NULL, size, 2});
    return;
  }
  VEC_PICK(stream_table)->copy(ptr[0], ptr[1], n * size);
  stream_fence();
}

#define ROWS(size)                                                                             \
  static void fill_##size(char **ptr, const int64_t *stride, int64_t n, const void *context) { \
    fill_past(ptr, stride, n, context, size);                                                  \
  }                                                                                            \
  static void copy_##size(char **ptr, const int64_t *stride, int64_t n, const void *context) { \
    copy_past(ptr, stride, n, size);                                                           \
  }
ROWS(1)
ROWS(2)
ROWS(4)
ROWS(8)

RowFn stream_fill_row(int size) { return size == 1 ? fill_1 : size == 2 ? fill_2 : size == 4 ? fill_4 : fill_8; }
RowFn stream_copy_row(int size) { return size == 1 ? copy_1 : size == 2 ? copy_2 : size == 4 ? copy_4 : copy_8; }

void stream_lines(char *to, int64_t to_step, const char *from, int64_t bytes, int64_t lines) {
  void (*copy)(char *, const char *, int64_t) = VEC_PICK(stream_table)->copy;
  for (int64_t i = 0; i < lines; i++) copy(to + i * to_step, from + i * bytes, bytes);
}
