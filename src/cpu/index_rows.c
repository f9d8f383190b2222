/* The loops that move elements to or from a place that a position names: reading, writing, sums, products, extremes. */
#include "cpu/index_rows.h"
#include "cpu/pointwise.h"
#include <string.h>

static inline int64_t place(const Reach *r, const char *p) {
  int64_t at = position_load(p, r->wide);
  at = at > 0 ? at - 1 : at + r->size;
  if (r->dims == 1) return at * r->stride[0];
  int64_t bytes = 0;
  for (int d = r->dims - 1; d > 0; d--) {
    bytes += at % r->shape[d] * r->stride[d];
    at /= r->shape[d];
  }
  return bytes + at * r->stride[0];
}

/* n elements that lie in a row on both sides. */
#define EACH(T, ASSIGN, to, from, n) \
  for (int64_t i = 0; i < (n); i++) ASSIGN(T, ((T *)(to))[i], ((const T *)(from))[i])
#define COPY_RUN(T, ASSIGN, to, from, n) memmove(to, from, (size_t)(n) * sizeof(T))
#define ADD_RUN(T, ASSIGN, to, from, n)                                                                             \
  if ((n) < 16) {                                                                                                   \
    EACH(T, ASSIGN, to, from, n);                                                                                   \
  } else {                                                                                                          \
    pointwise_row(PW_add, sizeof(T) == 8 ? MT_F64 : MT_F32)((char *[]){to, to, from},                               \
                                                            (int64_t[]){sizeof(T), sizeof(T), sizeof(T)}, n, NULL); \
  }

/* A row of ptr[0] op= ptr[1], where the position at ptr[2] moves one of both. One position for the row: elements lie
 * in a row on both sides; else each element has its own. */
#define MOVE_ROW(name, T, MOVED, ASSIGN, RUN)                                                                \
  static void name(char **ptr, const int64_t *stride, int64_t n, const void *context) {                      \
    const Reach *r = context;                                                                                \
    int64_t s0 = stride[0], s1 = stride[1], s2 = stride[2];                                                  \
    char *side[2] = {ptr[0], ptr[1]};                                                                        \
    if (s2 == 0) {                                                                                           \
      side[MOVED] += place(r, ptr[2]);                                                                       \
      if (s0 == sizeof(T) && s1 == sizeof(T)) {                                                              \
        RUN(T, ASSIGN, side[0], side[1], n);                                                                 \
      } else {                                                                                               \
        for (int64_t i = 0; i < n; i++) ASSIGN(T, *(T *)(side[0] + i * s0), *(const T *)(side[1] + i * s1)); \
      }                                                                                                      \
      return;                                                                                                \
    }                                                                                                        \
    if (r->dims == 1 && r->wide && stride[MOVED] == 0 && stride[1 - MOVED] == sizeof(T) &&                   \
        s2 == sizeof(int64_t)) { /* positions along one dim, beside packed elements */                       \
      const int64_t *v = (const int64_t *)ptr[2];                                                            \
      int64_t step = r->stride[0], size = r->size;                                                           \
      char *first = ptr[MOVED];                                                                              \
      T *beside = (T *)ptr[1 - MOVED];                                                                       \
      for (int64_t i = 0; !r->negative && step == sizeof(T) && i < n; i++) {                                 \
        T *there = (T *)first + v[i] - 1;                                                                    \
        ASSIGN(T, *(MOVED ? beside + i : there), *(MOVED ? there : beside + i));                             \
      }                                                                                                      \
      if (!r->negative && step == sizeof(T)) return;                                                         \
      for (int64_t i = 0; i < n; i++) {                                                                      \
        T *there = (T *)(first + row_number(v[i], size) * step);                                             \
        ASSIGN(T, *(MOVED ? beside + i : there), *(MOVED ? there : beside + i));                             \
      }                                                                                                      \
      return;                                                                                                \
    }                                                                                                        \
    for (int64_t i = 0; i < n; i++) {                                                                        \
      char *at[2] = {side[0] + i * s0, side[1] + i * s1};                                                    \
      at[MOVED] += place(r, ptr[2] + i * s2);                                                                \
      ASSIGN(T, *(T *)at[0], *(const T *)at[1]);                                                             \
    }                                                                                                        \
  }

#define COPY(T, to, from) (to) = (from)
MOVE_ROW(read_1, uint8_t, 1, COPY, COPY_RUN)
MOVE_ROW(read_2, uint16_t, 1, COPY, COPY_RUN)
MOVE_ROW(read_4, uint32_t, 1, COPY, COPY_RUN)
MOVE_ROW(read_8, uint64_t, 1, COPY, COPY_RUN)
MOVE_ROW(write_1, uint8_t, 0, COPY, COPY_RUN)
MOVE_ROW(write_2, uint16_t, 0, COPY, COPY_RUN)
MOVE_ROW(write_4, uint32_t, 0, COPY, COPY_RUN)
MOVE_ROW(write_8, uint64_t, 0, COPY, COPY_RUN)

/* Sums, plain and with alpha; integers wrap. */
#define ADD(T, to, from) (to) += (from)
#define ADD_BOOL(T, to, from) (to) = (to) || (from)
#define ADD_F16(T, to, from) (to) = float_to_half(half_to_float(to) + half_to_float(from))
#define ADD_BF16(T, to, from) (to) = float_to_bfloat(bfloat_to_float(to) + bfloat_to_float(from))
MOVE_ROW(add_bool, uint8_t, 0, ADD_BOOL, EACH)
MOVE_ROW(add_u8, uint8_t, 0, ADD, EACH)
MOVE_ROW(add_u16, uint16_t, 0, ADD, EACH)
MOVE_ROW(add_u32, uint32_t, 0, ADD, EACH)
MOVE_ROW(add_u64, uint64_t, 0, ADD, EACH)
MOVE_ROW(add_f16, uint16_t, 0, ADD_F16, EACH)
MOVE_ROW(add_bf16, uint16_t, 0, ADD_BF16, EACH)
MOVE_ROW(add_f32, float, 0, ADD, ADD_RUN)
MOVE_ROW(add_f64, double, 0, ADD, ADD_RUN)
#define SCALED(T, to, from) (to) += (from) * (T)scalar_double(r->alpha)
#define SCALED_INT(T, to, from) (to) += (T)((from) * (uint64_t)scalar_int64(r->alpha))
#define SCALED_BOOL(T, to, from) (to) = (to) || ((from) && scalar_double(r->alpha) != 0)
#define SCALED_F16(T, to, from) \
  (to) = float_to_half(half_to_float(to) + half_to_float(from) * (float)scalar_double(r->alpha))
#define SCALED_BF16(T, to, from) \
  (to) = float_to_bfloat(bfloat_to_float(to) + bfloat_to_float(from) * (float)scalar_double(r->alpha))
MOVE_ROW(scaled_bool, uint8_t, 0, SCALED_BOOL, EACH)
MOVE_ROW(scaled_u8, uint8_t, 0, SCALED_INT, EACH)
MOVE_ROW(scaled_u16, uint16_t, 0, SCALED_INT, EACH)
MOVE_ROW(scaled_u32, uint32_t, 0, SCALED_INT, EACH)
MOVE_ROW(scaled_u64, uint64_t, 0, SCALED_INT, EACH)
MOVE_ROW(scaled_f16, uint16_t, 0, SCALED_F16, EACH)
MOVE_ROW(scaled_bf16, uint16_t, 0, SCALED_BF16, EACH)
MOVE_ROW(scaled_f32, float, 0, SCALED, EACH)
MOVE_ROW(scaled_f64, double, 0, SCALED, EACH)

static const IterRow add_rows[MT_DTYPES] = {
    [MT_BOOL] = add_bool, [MT_U8] = add_u8,   [MT_I8] = add_u8,     [MT_I16] = add_u16, [MT_I32] = add_u32,
    [MT_I64] = add_u64,   [MT_F16] = add_f16, [MT_BF16] = add_bf16, [MT_F32] = add_f32, [MT_F64] = add_f64};
static const IterRow scaled_rows[MT_DTYPES] = {
    [MT_BOOL] = scaled_bool, [MT_U8] = scaled_u8,   [MT_I8] = scaled_u8,   [MT_I16] = scaled_u16,
    [MT_I32] = scaled_u32,   [MT_I64] = scaled_u64, [MT_F16] = scaled_f16, [MT_BF16] = scaled_bf16,
    [MT_F32] = scaled_f32,   [MT_F64] = scaled_f64};

/* One copy for the many rows below, which are not worth the space of their own. */
static __attribute__((noinline)) int64_t place_of(const void *context, const char *p) { return place(context, p); }

/* Products and extremes, where NaN wins. bool counts as uint8 of 0 and 1; a product of integers wraps. */
#define REDUCE_ROW(name, T, ASSIGN)                                                      \
  static void name(char **ptr, const int64_t *stride, int64_t n, const void *context) {  \
    for (int64_t i = 0; i < n; i++) {                                                    \
      T *to = (T *)(ptr[0] + i * stride[0] + place_of(context, ptr[2] + i * stride[2])), \
        from = *(const T *)(ptr[1] + i * stride[1]);                                     \
      ASSIGN(T, *to, from);                                                              \
    }                                                                                    \
  }
#define TIMES(T, to, from) (to) = (T)((from) * (uint64_t)(to))
#define TIMES_FLOAT(T, to, from) (to) *= (from)
#define KEEP_MOST(T, to, from) (to) = (from) > (to) || (from) != (from) ? (from) : (to)
#define KEEP_LEAST(T, to, from) (to) = (from) < (to) || (from) != (from) ? (from) : (to)
#define REDUCE_ROWS(name, ASSIGN, ASSIGN_FLOAT)                                                     \
  REDUCE_ROW(name##_u8, uint8_t, ASSIGN)                                                            \
  REDUCE_ROW(name##_i8, int8_t, ASSIGN)                                                             \
  REDUCE_ROW(name##_i16, int16_t, ASSIGN)                                                           \
  REDUCE_ROW(name##_i32, int32_t, ASSIGN)                                                           \
  REDUCE_ROW(name##_i64, int64_t, ASSIGN)                                                           \
  REDUCE_ROW(name##_f16, uint16_t, name##_HALF)                                                     \
  REDUCE_ROW(name##_bf16, uint16_t, name##_BFLOAT)                                                  \
  REDUCE_ROW(name##_f32, float, ASSIGN_FLOAT)                                                       \
  REDUCE_ROW(name##_f64, double, ASSIGN_FLOAT)                                                      \
  static const IterRow name##_rows[MT_DTYPES] = {                                                   \
      [MT_BOOL] = name##_u8, [MT_U8] = name##_u8,   [MT_I8] = name##_i8,   [MT_I16] = name##_i16,   \
      [MT_I32] = name##_i32, [MT_I64] = name##_i64, [MT_F16] = name##_f16, [MT_BF16] = name##_bf16, \
      [MT_F32] = name##_f32, [MT_F64] = name##_f64};
#define IN_FLOAT(ASSIGN, load, store, to, from) \
  float x = load(to), y = load(from);           \
  ASSIGN(float, x, y);                          \
  (to) = store(x)
#define times_HALF(T, to, from) IN_FLOAT(TIMES_FLOAT, half_to_float, float_to_half, to, from)
#define times_BFLOAT(T, to, from) IN_FLOAT(TIMES_FLOAT, bfloat_to_float, float_to_bfloat, to, from)
#define most_HALF(T, to, from) IN_FLOAT(KEEP_MOST, half_to_float, float_to_half, to, from)
#define most_BFLOAT(T, to, from) IN_FLOAT(KEEP_MOST, bfloat_to_float, float_to_bfloat, to, from)
#define least_HALF(T, to, from) IN_FLOAT(KEEP_LEAST, half_to_float, float_to_half, to, from)
#define least_BFLOAT(T, to, from) IN_FLOAT(KEEP_LEAST, bfloat_to_float, float_to_bfloat, to, from)
REDUCE_ROWS(times, TIMES, TIMES_FLOAT)
REDUCE_ROWS(most, KEEP_MOST, KEEP_MOST)
REDUCE_ROWS(least, KEEP_LEAST, KEEP_LEAST)

/* A block with a bad position is skipped and noted. Where all are good, four are asked for before one is stored. */
enum { CHECKED = 512 };
#define READ_CHECKED(T)                                                                        \
  static void checked_##T(char **ptr, const int64_t *stride, int64_t n, const void *context) { \
    const Checked *c = context;                                                                \
    const int64_t *v = (const int64_t *)ptr[2];                                                \
    T *to = (T *)ptr[0];                                                                       \
    const int64_t step = c->step;                                                              \
    const char *first = ptr[1] - step;                                                         \
    const PositionTable *table = VEC_PICK(position_table);                                     \
    for (int64_t i = 0; i < n;) {                                                              \
      int64_t end = n - i < CHECKED ? n : i + CHECKED;                                         \
      for (int64_t k = i + CHECKED; k < i + 2 * CHECKED; k += 8) __builtin_prefetch(v + k);    \
      if (table->outside(v + i, end - i, c->size)) {                                           \
        atomic_store_explicit(c->bad, true, memory_order_relaxed);                             \
        i = end;                                                                               \
      }                                                                                        \
      for (; i + 4 <= end; i += 4) {                                                           \
        T e0 = THERE(T, i), e1 = THERE(T, i + 1), e2 = THERE(T, i + 2), e3 = THERE(T, i + 3);  \
        to[i] = e0, to[i + 1] = e1, to[i + 2] = e2, to[i + 3] = e3;                            \
      }                                                                                        \
      for (; i < end; i++) to[i] = THERE(T, i);                                                \
    }                                                                                          \
  }
#define THERE(T, i) (*(const T *)(first + v[i] * step))
READ_CHECKED(uint8_t)
READ_CHECKED(uint16_t)
READ_CHECKED(uint32_t)
READ_CHECKED(uint64_t)

static int log2_size(DType d) { return dtype_size(d) == 1 ? 0 : dtype_size(d) == 2 ? 1 : dtype_size(d) == 4 ? 2 : 3; }

IterRow move_row(MoveMode mode, DType d, bool scaled) {
  static const IterRow read[] = {read_1, read_2, read_4, read_8}, write[] = {write_1, write_2, write_4, write_8};
  switch (mode) {
  case READ: return read[log2_size(d)];
  case WRITE: return write[log2_size(d)];
  case PRODUCT: return times_rows[d];
  case MAXIMUM: return most_rows[d];
  case MINIMUM: return least_rows[d];
  default: return scaled ? scaled_rows[d] : add_rows[d];
  }
}

IterRow checked_row(DType d) {
  return ((const IterRow[]){checked_uint8_t, checked_uint16_t, checked_uint32_t, checked_uint64_t})[log2_size(d)];
}
