/* Masks on the CPU: where a tensor is not zero, and filling there. */
#include "cpu/index.h"
#include "cpu/kernels.h"
#include "tensor/iter.h"

/* Is the element at p other than zero? Minus zero of a float is zero. */
static inline bool nonzero_at(const char *p, DType d) {
  switch (d) {
  case MT_BOOL:
  case MT_U8:
  case MT_I8: return *p != 0;
  case MT_I16: return *(const int16_t *)p != 0;
  case MT_I32: return *(const int32_t *)p != 0;
  case MT_I64: return *(const int64_t *)p != 0;
  case MT_F32: return *(const float *)p != 0;
  case MT_F64: return *(const double *)p != 0;
  default: return (*(const uint16_t *)p & 0x7fff) != 0;
  }
}

/* Walks t in row-major order and calls at each element that is not zero. */
typedef void (*Visit)(void *context, int64_t linear, const int64_t *index);
static void walk(const Tensor *t, Visit visit, void *context) {
  int64_t index[MT_MAX_DIMS] = {0}, linear = 0;
  const DType d = (DType)t->dtype;
  if (t->numel == 0) return;
  int64_t inner = t->ndim > 0 ? t->shape[t->ndim - 1] : 1;
  int64_t step = (t->ndim > 0 ? t->stride[t->ndim - 1] : 0) * dtype_size(d);
  for (int64_t row = 0; row < t->numel / inner; row++) {
    const char *p = tensor_data(t);
    for (int k = 0; k < t->ndim - 1; k++) p += index[k] * t->stride[k] * dtype_size(d);
    for (int64_t i = 0; i < inner; i++, linear++) {
      if (!nonzero_at(p + i * step, d)) continue;
      if (t->ndim > 0) index[t->ndim - 1] = i;
      visit(context, linear, index);
    }
    for (int k = t->ndim - 2; k >= 0 && ++index[k] == t->shape[k]; k--) index[k] = 0;
  }
}

static void count_one(void *context, int64_t linear, const int64_t *index) {
  (void)linear;
  (void)index;
  ++*(int64_t *)context;
}

int64_t cpu_count_nonzero(const Tensor *t) {
  int64_t count = 0;
  if (t->dtype == MT_BOOL && tensor_is_contiguous(t)) {
    const uint8_t *p = (const uint8_t *)tensor_data(t);
    for (int64_t i = 0; i < t->numel; i++) count += p[i] != 0;
  } else {
    walk(t, count_one, &count);
  }
  return count;
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

#define FILL_ROW(T)                                                                         \
  static void fill_##T(char **ptr, const int64_t *stride, int64_t n, const void *context) { \
    const T value = *(const T *)context;                                                    \
    if (stride[0] == sizeof(T) && stride[1] == 1) {                                         \
      T *to = (T *)ptr[0];                                                                  \
      const uint8_t *mask = (const uint8_t *)ptr[1];                                        \
      for (int64_t i = 0; i < n; i++) to[i] = mask[i] ? value : to[i];                      \
      return;                                                                               \
    }                                                                                       \
    for (int64_t i = 0; i < n; i++)                                                         \
      if (ptr[1][i * stride[1]]) *(T *)(ptr[0] + i * stride[0]) = value;                    \
  }
FILL_ROW(uint8_t)
FILL_ROW(uint16_t)
FILL_ROW(uint32_t)
FILL_ROW(uint64_t)

/* masked_fill(input, mask, value): result 0 is input's copy */
bool cpu_masked_fill(OpCall *c) {
  Tensor *out = c->out[0];
  uint64_t element;
  scalar_store(tensor_scalar(in(c, 2)), (DType)out->dtype, &element);
  int size = dtype_size((DType)out->dtype);
  Iter it;
  iter_init(&it, out->ndim, out->shape, 2, (Tensor *[]){out, in(c, 1)});
  iter_run(&it,
           size == 1   ? fill_uint8_t
           : size == 2 ? fill_uint16_t
           : size == 4 ? fill_uint32_t
                       : fill_uint64_t,
           &element, 30);
  return true;
}
