/* Indexing by tensors on the CPU: gather, scatter, index_* and the advanced index are one loop that moves elements
 * to or from a place that a position names.
 *
 * Positions are checked in a pass of their own, before anything is written, so the moving loops need no checks.
 * Reading runs on all threads; writing runs on the caller's in order of the index, so that repeated positions add up
 * and overwrite in a fixed order. */
#include "cpu/index.h"
#include "cpu/copy_tensor.h"
#include "base/size.h"
#include "cpu/kernels.h"
#include "cpu/pointwise.h"
#include "tensor/iter.h"
#include "tensor/shape.h"
#include <math.h>
#include <stdatomic.h>

bool position_fail(int64_t value, int64_t size, int dim) {
  const char *where = dim < 0 ? text("a tensor of %lld elements", (long long)size)
                              : text("dimension %d with size %lld", dim + 1, (long long)size);
  if (value == 0) return fail(MT_EINDEX, "position 0: positions count from 1 in Lua, here in %s", where);
  return dim < 0 ? fail(MT_EINDEX, "out of range: tried to access index %lld on %s", (long long)value, where)
                 : fail(MT_EINDEX, "index %lld is out of bounds for %s", (long long)value, where);
}

typedef struct {
  bool wide, negative;
  int64_t size;
  int dim;
  atomic_bool *bad; /* threads: only noted; NULL: the first bad one fails */
} Check;

static void check_row(char **ptr, const int64_t *stride, int64_t n, const void *context) {
  const Check *c = context;
  const char *p = ptr[0];
  int64_t step = stride[0], size = c->size, unused;
  bool bad = false;
  if (!c->negative && c->wide && step == sizeof(int64_t)) {
    const int64_t *v = (const int64_t *)p;
    for (int64_t i = 0; i < n; i++) bad |= (uint64_t)v[i] - 1 >= (uint64_t)size;
  } else {
    for (int64_t i = 0; i < n; i++)
      bad |= !position_shift(position_load(p + i * step, c->wide), size, c->negative, &unused);
  }
  if (!bad) return;
  if (c->bad) {
    atomic_store_explicit(c->bad, true, memory_order_relaxed);
    return;
  }
  for (int64_t i = 0; i < n; i++) {
    int64_t value = position_load(p + i * step, c->wide);
    if (!position_shift(value, size, c->negative, &unused)) position_fail(value, size, c->dim);
  }
}

static bool check_on_host(const Tensor *index, int64_t size, bool negative, int dim) {
  Tensor *host = tensor_new((DType)index->dtype, index->ndim, index->shape, (Device){MT_CPU, 0});
  bool good = host && tensor_copy_into(host, index) && position_check(host, size, negative, dim);
  tensor_release(host);
  return good;
}

bool position_check(const Tensor *index, int64_t size, bool negative, int dim) {
  if (index->dtype != MT_I64 && index->dtype != MT_I32)
    return fail(MT_EARG, "Expected a long tensor for index, but got %s: use :long()",
                dtype_info[index->dtype].type_name);
  if (tensor_device(index).kind != MT_CPU) return check_on_host(index, size, negative, dim);
  atomic_bool bad = false;
  Check c = {index->dtype == MT_I64, negative, size, dim, &bad};
  Iter it;
  if (index->numel == 0) return true;
  iter_init(&it, index->ndim, index->shape, 1, (Tensor *[]){(Tensor *)index});
  iter_run(&it, check_row, &c, 40);
  if (!bad) return true;
  c.bad = NULL;
  iter_run_serial(&it, check_row, &c);
  return false;
}

int64_t cpu_largest(const Tensor *index) {
  int64_t largest = 0;
  for (int64_t i = 0; i < index->numel; i++) {
    int64_t rest = i, at = 0;
    for (int d = index->ndim - 1; d >= 0; d--) {
      at += rest % index->shape[d] * index->stride[d];
      rest /= index->shape[d];
    }
    int64_t v = position_load(tensor_data(index) + at * dtype_size((DType)index->dtype), index->dtype == MT_I64);
    if (i == 0 || v > largest) largest = v;
  }
  return largest;
}

/* --- the moving loop --- */

/* What a position means: elements of `dims` dims, the last one fastest. Positions were checked. */
typedef struct {
  bool wide;
  int dims;
  int64_t size;
  int64_t shape[MT_MAX_DIMS], stride[MT_MAX_DIMS]; /* stride in bytes */
  Scalar alpha;                                    /* factor of what is added */
} Reach;

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
    if (MOVED == 1 && r->dims == 1 && r->wide && s0 == sizeof(T) && s1 == 0 && s2 == sizeof(int64_t)) {      \
      T *to = (T *)ptr[0];                                                                                   \
      const int64_t *v = (const int64_t *)ptr[2];                                                            \
      int64_t size = r->size, step = r->stride[0];                                                           \
      for (int64_t i = 0; i < n; i++)                                                                        \
        ASSIGN(T, to[i], *(const T *)(ptr[1] + (v[i] > 0 ? v[i] - 1 : v[i] + size) * step));                 \
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

static int log2_size(DType d) { return dtype_size(d) == 1 ? 0 : dtype_size(d) == 2 ? 1 : dtype_size(d) == 4 ? 2 : 3; }
static IterRow read_row(DType d) { return ((const IterRow[]){read_1, read_2, read_4, read_8})[log2_size(d)]; }
static IterRow write_row(DType d) { return ((const IterRow[]){write_1, write_2, write_4, write_8})[log2_size(d)]; }

typedef enum { READ, WRITE, SUM, PRODUCT, MAXIMUM, MINIMUM } Mode;

/* One move over `shape`: `moved` is the tensor that positions reach into, `other` lies beside the index. Each comes
 * with its strides over shape. */
typedef struct {
  Mode mode;
  int ndim;
  const int64_t *shape;
  DType dtype;
  char *moved, *other;
  const int64_t *moved_stride, *other_stride;
  const Tensor *index;
  const int64_t *index_stride;
  Reach reach;
} Move;

static void move(const Move *m) {
  int size = dtype_size(m->dtype);
  Iter it;
  iter_begin(&it, m->ndim, m->shape);
  bool reads = m->mode == READ;
  iter_add(&it, reads ? m->other : m->moved, reads ? m->other_stride : m->moved_stride, size);
  iter_add(&it, reads ? m->moved : m->other, reads ? m->moved_stride : m->other_stride, size);
  iter_add(&it, tensor_data(m->index), m->index_stride, dtype_size((DType)m->index->dtype));
  iter_finish(&it);
  if (reads) {
    iter_run(&it, read_row(m->dtype), &m->reach, 150);
    return;
  }
  IterRow row;
  switch (m->mode) {
  case WRITE: row = write_row(m->dtype); break;
  case PRODUCT: row = times_rows[m->dtype]; break;
  case MAXIMUM: row = most_rows[m->dtype]; break;
  case MINIMUM: row = least_rows[m->dtype]; break;
  default: row = scalar_double(m->reach.alpha) != 1 ? scaled_rows[m->dtype] : add_rows[m->dtype];
  }
  iter_run_serial(&it, row, &m->reach);
}

static const int64_t still[MT_MAX_DIMS]; /* strides of something that stands for every element */
static const int64_t *strides_or_zero(const Tensor *t) { return t->ndim > 0 ? t->stride : still; }

/* --- gather and scatter: the index has as many dims as the tensor --- */

/* moved is read or written along dim at the positions in index; other lies beside index. */
static bool along_dim(Mode mode, Tensor *moved, int64_t dim, const Tensor *index, char *other,
                      const int64_t *other_stride) {
  int64_t stride[MT_MAX_DIMS] = {0};
  int at;
  if (!dim_wrap(dim, moved->ndim, &at)) return false;
  bool scalar = moved->ndim == 0;
  int64_t size = scalar ? 1 : moved->shape[at];
  if (!position_check(index, size, false, at)) return false;
  for (int d = 0; d < moved->ndim; d++) stride[d] = d == at ? 0 : moved->stride[d];
  Move m = {.mode = mode,
            .ndim = index->ndim,
            .shape = index->shape,
            .dtype = (DType)moved->dtype,
            .moved = tensor_data(moved),
            .other = other,
            .moved_stride = stride,
            .other_stride = other_stride,
            .index = index,
            .index_stride = index->stride};
  m.reach = (Reach){.wide = index->dtype == MT_I64, .dims = 1, .size = size, .alpha = scalar_int(1)};
  m.reach.stride[0] = scalar ? 0 : moved->stride[at] * dtype_size((DType)moved->dtype);
  move(&m);
  return true;
}

bool cpu_gather(OpCall *c) {
  Tensor *out = c->out[0];
  return along_dim(READ, in(c, 0), c->arg[1].i, in(c, 2), tensor_data(out), out->stride);
}
bool cpu_scatter(OpCall *c) {
  Tensor *source = in(c, 3);
  return along_dim(WRITE, c->out[0], c->arg[1].i, in(c, 2), tensor_data(source), strides_or_zero(source));
}
bool cpu_scatter_add(OpCall *c) {
  Tensor *source = in(c, 3);
  return along_dim(SUM, c->out[0], c->arg[1].i, in(c, 2), tensor_data(source), strides_or_zero(source));
}
bool cpu_scatter_value(OpCall *c) {
  char element[8];
  scalar_store(c->arg[3].number, (DType)c->out[0]->dtype, element);
  return along_dim(WRITE, c->out[0], c->arg[1].i, in(c, 2), element, still);
}

/* scatter_reduce_at(input, dim, index, src, reduce, include_self). Without the input's own elements, those that the index
 * names start from what changes nothing. */
bool cpu_scatter_reduce(OpCall *c) {
  const char *how = c->arg[4].str;
  Mode mode = strcmp(how, "prod") == 0 ? PRODUCT : strcmp(how, "amax") == 0 ? MAXIMUM : MINIMUM;
  Tensor *to = c->out[0], *source = in(c, 3);
  DType d = (DType)to->dtype;
  if (!c->arg[5].i) {
    char element[8];
    Scalar start = scalar_int(1);
    if (mode != PRODUCT && dtype_is_float(d)) {
      start = scalar_float(mode == MAXIMUM ? -(double)INFINITY : (double)INFINITY);
    } else if (mode != PRODUCT) {
      int bits = 8 * dtype_size(d) - dtype_info[d].is_signed;
      int64_t most = d == MT_BOOL ? 1 : (int64_t)(UINT64_MAX >> (64 - bits));
      start = scalar_int(mode == MINIMUM ? most : dtype_info[d].is_signed ? -most - 1 : 0);
    }
    scalar_store(start, d, element);
    if (!along_dim(WRITE, to, c->arg[1].i, in(c, 2), element, still)) return false;
  }
  return along_dim(mode, to, c->arg[1].i, in(c, 2), tensor_data(source), strides_or_zero(source));
}

/* --- index_* and the advanced index: an index replaces dims --- */

bool index_layout(IndexLayout *l, const Tensor *t, int axes, const int64_t *shape, int dims, const int64_t *dim) {
  int rank = t->ndim > 0 ? t->ndim : 1;
  bool indexed[MT_MAX_DIMS] = {false}, neighbours = true;
  l->dims = dims;
  l->size = 1;
  if (dims < 1 || dims > rank) return fail(MT_EINDEX, "too many indices for tensor of dimension %d", t->ndim);
  for (int k = 0; k < dims; k++) {
    if (!dim_wrap(dim[k], rank, &l->dim[k])) return false;
    if (indexed[l->dim[k]]) return fail(MT_EARG, "dim %d is indexed twice", l->dim[k] + 1);
    indexed[l->dim[k]] = true;
    neighbours &= k == 0 || l->dim[k] == l->dim[k - 1] + 1;
    if (!size_mul(l->size, t->ndim > 0 ? t->shape[l->dim[k]] : 1, &l->size)) return false;
  }
  l->ndim = rank - dims + axes;
  if (l->ndim > MT_MAX_DIMS)
    return fail(MT_EARG, "the indexed tensor would have %d dimensions; at most %d are supported", l->ndim, MT_MAX_DIMS);
  int n = 0, first = neighbours ? l->dim[0] : 0;
  for (int d = 0; d <= rank; d++) {
    for (int a = 0; d == first && a < axes; a++) {
      l->shape[n] = shape[a];
      l->from[n++] = -1 - a;
    }
    if (d == rank || indexed[d]) continue;
    l->shape[n] = t->shape[d];
    l->from[n++] = d;
  }
  return true;
}

/* other: a tensor of the layout's shape, or one that stands for it through its strides. */
static bool by_layout(Mode mode, Tensor *moved, const IndexLayout *l, const Tensor *index, bool negative, char *other,
                      const int64_t *other_stride, Scalar alpha) {
  int64_t moved_stride[MT_MAX_DIMS], index_stride[MT_MAX_DIMS];
  int size = dtype_size((DType)moved->dtype);
  if (!position_check(index, l->size, negative, l->dims == 1 ? l->dim[0] : -1)) return false;
  for (int d = 0; d < l->ndim; d++) {
    bool axis = l->from[d] < 0;
    moved_stride[d] = axis ? 0 : moved->stride[l->from[d]];
    index_stride[d] = axis && index->ndim > 0 ? index->stride[-1 - l->from[d]] : 0;
  }
  Move m = {.mode = mode,
            .ndim = l->ndim,
            .shape = l->shape,
            .dtype = (DType)moved->dtype,
            .moved = tensor_data(moved),
            .other = other,
            .moved_stride = moved_stride,
            .other_stride = other_stride,
            .index = index,
            .index_stride = index_stride};
  m.reach = (Reach){.wide = index->dtype == MT_I64, .dims = l->dims, .size = l->size, .alpha = alpha};
  for (int k = 0; k < l->dims; k++) {
    m.reach.shape[k] = moved->ndim > 0 ? moved->shape[l->dim[k]] : 1;
    m.reach.stride[k] = moved->ndim > 0 ? moved->stride[l->dim[k]] * size : 0;
  }
  move(&m);
  return true;
}

/* The layout of one dim indexed by a vector; a 0-dim index counts as [1]. */
static bool vector_layout(IndexLayout *l, const Tensor *t, int64_t dim, const Tensor *index) {
  return index_layout(l, t, 1, &index->numel, 1, &dim);
}

bool cpu_index_select(OpCall *c) {
  IndexLayout l;
  if (vector_layout(&l, in(c, 0), c->arg[1].i, in(c, 2)) &&
      by_layout(READ, in(c, 0), &l, in(c, 2), false, tensor_data(c->out[0]), strides_or_zero(c->out[0]), scalar_int(1)))
    return true;
  fail_prefix("index out of range in self: ");
  return false;
}
static bool write_vector(OpCall *c, Mode mode, Scalar alpha) {
  IndexLayout l;
  Tensor *source = in(c, 3);
  return vector_layout(&l, c->out[0], c->arg[1].i, in(c, 2)) &&
         by_layout(mode, c->out[0], &l, in(c, 2), false, tensor_data(source), strides_or_zero(source), alpha);
}
bool cpu_index_add(OpCall *c) { return write_vector(c, SUM, c->arg[4].number); }
bool cpu_index_copy(OpCall *c) { return write_vector(c, WRITE, scalar_int(1)); }
bool cpu_index_fill(OpCall *c) {
  IndexLayout l;
  char element[8];
  scalar_store(tensor_scalar(in(c, 3)), (DType)c->out[0]->dtype, element);
  return vector_layout(&l, c->out[0], c->arg[1].i, in(c, 2)) &&
         by_layout(WRITE, c->out[0], &l, in(c, 2), true, element, still, scalar_int(1));
}

bool cpu_index_at(OpCall *c) {
  IndexLayout l;
  Tensor *index = in(c, 1);
  return index_layout(&l, in(c, 0), index->ndim, index->shape, c->arg[2].n, c->arg[2].ints) &&
         by_layout(READ, in(c, 0), &l, index, true, tensor_data(c->out[0]), strides_or_zero(c->out[0]), scalar_int(1));
}
bool cpu_index_put_at(OpCall *c) {
  IndexLayout l;
  Tensor *index = in(c, 1), *values = in(c, 2);
  int64_t stride[MT_MAX_DIMS];
  return index_layout(&l, c->out[0], index->ndim, index->shape, c->arg[3].n, c->arg[3].ints) &&
         shape_expand(values, l.ndim, l.shape, stride) &&
         by_layout(c->arg[4].i ? SUM : WRITE, c->out[0], &l, index, true, tensor_data(values), stride, scalar_int(1));
}

/* position(indices, dims, sizes): one linear position for each set of positions, the last index fastest. */
typedef struct {
  bool wide;
  int64_t size, factor;
} Linear;

static void linear_row(char **ptr, const int64_t *stride, int64_t n, const void *context) {
  const Linear *l = context;
  for (int64_t i = 0; i < n; i++) {
    int64_t at = position_load(ptr[1] + i * stride[1], l->wide);
    *(int64_t *)(ptr[0] + i * stride[0]) += (at > 0 ? at - 1 : at + l->size) * l->factor;
  }
}

bool cpu_position(OpCall *c) {
  const Arg *indices = &c->arg[0], *dims = &c->arg[1], *sizes = &c->arg[2];
  Tensor *out = c->out[0];
  for (int k = 0; k < indices->n; k++)
    if (!position_check(indices->tensors[k], sizes->ints[k], true, (int)dims->ints[k])) return false;
  int64_t *to = (int64_t *)tensor_data(out), factor = 1;
  for (int64_t i = 0; i < out->numel; i++) to[i] = 1;
  for (int k = indices->n - 1; k >= 0; k--) {
    Linear l = {indices->tensors[k]->dtype == MT_I64, sizes->ints[k], factor};
    Iter it;
    iter_init(&it, out->ndim, out->shape, 2, (Tensor *[]){out, indices->tensors[k]});
    iter_run(&it, linear_row, &l, 60);
    factor *= sizes->ints[k];
  }
  return true;
}
