/* Masks on the CPU: where a tensor is not zero, and filling there. */
#include "cpu/index.h"
#include "cpu/kernels.h"
#include "cpu/pointwise.h"
#include "tensor/iter.h"

enum { BLOCK = 256 };

/* Writes to `at` which of n <= BLOCK elements are other than zero, and returns how many. Minus zero of a float is zero.
 * Every place is written and the count decides whether it stays: a branch would be guessed wrong half of the time. */
static int find_nonzero(const char *p, int64_t step, DType d, int64_t n, uint8_t *at) {
  int count = 0;
#define FIND(T, mask)                                               \
  for (int64_t i = 0; i < n; i++) {                                 \
    at[count] = (uint8_t)i;                                         \
    count += (*(const T *)(p + i * step) & (T)(mask)) != 0 ? 1 : 0; \
  }                                                                 \
  return count
  switch (d) {
  case MT_BOOL:
  case MT_U8:
  case MT_I8: FIND(uint8_t, UINT8_MAX);
  case MT_I16: FIND(uint16_t, UINT16_MAX);
  case MT_I32: FIND(uint32_t, UINT32_MAX);
  case MT_I64: FIND(uint64_t, UINT64_MAX);
  case MT_F32: FIND(uint32_t, UINT32_MAX >> 1);
  case MT_F64: FIND(uint64_t, UINT64_MAX >> 1);
  default: FIND(uint16_t, UINT16_MAX >> 1);
  }
}

/* Walks t in row-major order and calls at each element that is not zero. */
typedef void (*Visit)(void *context, int64_t linear, const int64_t *index);
static void walk(const Tensor *t, Visit visit, void *context) {
  int64_t index[MT_MAX_DIMS] = {0};
  const DType d = (DType)t->dtype;
  if (t->numel == 0) return;
  int64_t inner = t->ndim > 0 ? t->shape[t->ndim - 1] : 1;
  int64_t step = (t->ndim > 0 ? t->stride[t->ndim - 1] : 0) * dtype_size(d);
  for (int64_t row = 0; row < t->numel / inner; row++) {
    const char *p = tensor_data(t);
    for (int k = 0; k < t->ndim - 1; k++) p += index[k] * t->stride[k] * dtype_size(d);
    for (int64_t i = 0; i < inner; i += BLOCK) {
      uint8_t at[BLOCK];
      int count = find_nonzero(p + i * step, step, d, inner - i < BLOCK ? inner - i : BLOCK, at);
      for (int k = 0; k < count; k++) {
        if (t->ndim > 0) index[t->ndim - 1] = i + at[k];
        visit(context, row * inner + i + at[k], index);
      }
    }
    for (int k = t->ndim - 2; k >= 0 && ++index[k] == t->shape[k]; k--) index[k] = 0;
  }
}

static void count_one(void *context, int64_t linear, const int64_t *index) {
  (void)linear;
  (void)index;
  ++*(int64_t *)context;
}

bool cpu_count_true(const Tensor *t, int64_t *count) {
  *count = 0;
  if (t->dtype == MT_BOOL && tensor_is_contiguous(t)) {
    const uint8_t *p = (const uint8_t *)tensor_data(t);
    int64_t sum = 0;
    for (int64_t i = 0; i < t->numel; i++) sum += p[i] != 0;
    *count = sum;
  } else {
    walk(t, count_one, count);
  }
  return true;
}

typedef struct {
  int64_t *to;
  int ndim;
} Positions;

static void put_linear(void *context, int64_t linear, const int64_t *index) {
  (void)index;
  *((Positions *)context)->to++ = linear + 1;
}
static void put_index(void *context, int64_t linear, const int64_t *index) {
  Positions *p = context;
  (void)linear;
  for (int d = 0; d < p->ndim; d++) *p->to++ = index[d] + 1;
}

/* mask_position(mask): linear positions, one for each element that is not zero. */
bool cpu_mask_position(OpCall *c) {
  Positions p = {(int64_t *)tensor_data(c->out[0]), 0};
  walk(in(c, 0), put_linear, &p);
  return true;
}

/* nonzero(input): one row of positions for each element that is not zero. */
bool cpu_nonzero(OpCall *c) {
  Positions p = {(int64_t *)tensor_data(c->out[0]), in(c, 0)->ndim};
  walk(in(c, 0), put_index, &p);
  return true;
}

/* masked_fill(input, mask, value) */
bool any_masked_fill(OpCall *c) {
  const Arg arg[] = {c->arg[1], c->arg[2], c->arg[0]};
  OpCall choice = *c;
  choice.arg = arg;
  choice.compute = (DType)c->out[0]->dtype;
  return any_pointwise_with(&choice, PW_where, NULL);
}
