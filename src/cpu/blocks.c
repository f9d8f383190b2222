/* Blocks: strided rows through packed buffers. An operand's buffer holds BLOCK elements of up to 8 bytes; the output's
 * block is written only after all inputs' blocks were read, so an output may be the same memory as an input. */
#include "cpu/blocks.h"
#include "cpu/copy.h"
#include <string.h>

enum { BLOCK = 512 };

#define COPY(T)                                                                              \
  for (int64_t i = 0; i < n; i++) {                                                          \
    *(T *)((char *)to + i * to_stride) = *(const T *)((const char *)from + i * from_stride); \
  }                                                                                          \
  break

void copy_strided(void *to, int64_t to_stride, const void *from, int64_t from_stride, int64_t n, int size) {
  if (to_stride == size && from_stride == size) {
    memmove(to, from, (size_t)(n * size));
    return;
  }
  if (to_stride == size && from_stride == 0) {
    fill_row(size)((char *[]){to}, &to_stride, n, from);
    return;
  }
  if (to_stride == size && from_stride == -size) { /* as flip reads */
    VEC_PICK(cast_table)->reverse[size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3](to, from, n);
    return;
  }
  switch (size) {
  case 1: COPY(uint8_t);
  case 2: COPY(uint16_t);
  case 4: COPY(uint32_t);
  default: COPY(uint64_t);
  }
}

void run_half_rows(char **ptr, const int64_t *stride, int64_t n, const void *context, Loop loop, uint32_t layout,
                   const Halves *halves) {
  _Alignas(64) char buffer[LAYOUT_MAX][BLOCK * 8];
  uint16_t half[BLOCK];
  char *at[LAYOUT_MAX] = {0};
  bool wide[LAYOUT_MAX], moved[LAYOUT_MAX]; /* is converted; lies in its buffer during the loop */
  int size[LAYOUT_MAX], count = 0;
  for (; count < LAYOUT_MAX && (layout >> 8 * count & 255) != 0; count++) {
    size[count] = (int)(layout >> 8 * count & 255);
    wide[count] = halves && size[count] == 2 && (count == 0 ? halves->narrow != NULL : halves->widen != NULL);
    moved[count] = wide[count] || stride[count] != size[count];
  }
  for (int64_t start = 0; start < n; start += BLOCK) {
    int64_t m = n - start < BLOCK ? n - start : BLOCK;
    for (int k = 0; k < count; k++) {
      char *first = ptr[k] + start * stride[k];
      at[k] = moved[k] ? buffer[k] : first;
      if (k == 0 || !moved[k] || (stride[k] == 0 && start > 0)) continue;
      if (!wide[k] && stride[k] == 0) {
        fill_row(size[k])((char *[]){buffer[k]}, (int64_t[]){size[k]}, m, first);
      } else if (!wide[k]) {
        copy_strided(buffer[k], size[k], first, stride[k], m, size[k]);
      } else if (stride[k] == 2) {
        halves->widen((const uint16_t *)(void *)first, (float *)(void *)buffer[k], m);
      } else {
        copy_strided(half, 2, first, stride[k], m, 2);
        halves->widen(half, (float *)(void *)buffer[k], m);
      }
    }
    loop(at, m, context);
    if (!moved[0]) continue;
    char *first = ptr[0] + start * stride[0];
    if (!wide[0]) {
      copy_strided(first, stride[0], buffer[0], size[0], m, size[0]);
    } else if (stride[0] == 2) {
      halves->narrow((const float *)(void *)buffer[0], (uint16_t *)(void *)first, m);
    } else {
      halves->narrow((const float *)(void *)buffer[0], half, m);
      copy_strided(first, stride[0], half, 2, m, 2);
    }
  }
}

void run_rows(char **ptr, const int64_t *stride, int64_t n, const void *context, Loop loop, uint32_t layout) {
  bool packed = stride[0] == (int64_t)(layout & 255) && stride[1] == (int64_t)(layout >> 8 & 255);
  if (layout >> 16 != 0) packed &= stride[2] == (int64_t)(layout >> 16 & 255);
  if (layout >> 24 != 0) packed &= stride[3] == (int64_t)(layout >> 24);
  if (packed || n == 1)
    loop(ptr, n, context);
  else
    run_half_rows(ptr, stride, n, context, loop, layout, NULL);
}
