/* Indexing by tensors on the CPU: gather, scatter, index_* and the advanced index are one loop that moves elements
 * to or from a place that a position names (index_rows.c).
 *
 * Positions are checked before anything is written, so the moving loops need no checks; gather, whose result is new,
 * checks as it reads. Reading runs on all threads; writing on as many as there are parts that no position connects, in
 * order of the index, so that repeated positions add up and overwrite in a fixed order. */
#include "cpu/index.h"
#include "base/pool.h"
#include "base/size.h"
#include "cpu/copy.h"
#include "cpu/copy_tensor.h"
#include "cpu/device_kernels.h"
#include "cpu/index_rows.h"
#include "cpu/kernels.h"
#include "cpu/stream.h"
#include "tensor/iter.h"
#include "tensor/shape.h"
#include <math.h>
#include <stdatomic.h>
#include <string.h>

bool position_fail(int64_t value, int64_t size, int dim) {
  const char *where = dim < 0 ? text("a tensor of %lld elements", (long long)size)
                              : text("dimension %d with size %lld", dim + 1, (long long)size);
  if (value == 0) return fail(MT_EINDEX, "position 0: positions count from 1 in Lua, here in %s", where);
  return dim < 0 ? fail(MT_EINDEX, "out of range: tried to access index %lld on %s", (long long)value, where)
                 : fail(MT_EINDEX, "index %lld is out of bounds for %s", (long long)value, where);
}

bool class_fail(int64_t value, int64_t classes) {
  if (value < 1)
    return fail(
        MT_EINDEX,
        "Class values must be non-negative, and in Lua they count from 1 (labels from 0: use input + 1): got %lld",
        (long long)value);
  return fail(MT_EINDEX,
              "Class values must be smaller than num_classes. Labels count from 1: got %lld, num_classes is %lld",
              (long long)value, (long long)classes);
}

bool position_fail_in(const char *call, int64_t value, int64_t size, int dim) {
  if (strncmp(call, "one_hot(", 8) == 0) return class_fail(value, size);
  position_fail(value, size, dim);
  if (strncmp(call, "index_select(", 13) == 0) fail_prefix("%s", POSITION_IN_SELF);
  return false;
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
    bad = VEC_PICK(position_table)->outside((const int64_t *)p, n, size);
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

bool position_check(const Tensor *index, int64_t size, bool negative, int dim) {
  if (index->dtype != MT_I64 && index->dtype != MT_I32)
    return fail(MT_EARG, "Expected a long tensor for index, but got %s: use :long()",
                dtype_info[index->dtype].type_name);
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

bool cpu_check_positions(const Tensor *index, int64_t size, bool negative, int dim) {
  return position_check(index, size, negative, dim);
}

/* --- the moving loop --- */

enum {
  SHARED = 32768,   /* elements written that are worth threads */
  LINE = 16,        /* elements that lie in one cache line at least */
  UNIT = 262144,    /* bytes of rows that are worth a thread */
  SHORT = 64,       /* bytes of a row that are copied without a call */
  GROUP = 8,        /* rows that are asked for together */
  ROWS_AHEAD = 6,   /* or how many rows ahead, */
  MOST_AHEAD = 1024 /* up to so many bytes of each, */
};
static const int64_t IN_CACHE = 1 << 20; /* unless all rows are so few bytes */

/* The move's part from `begin` to `end` of a dim. */
static void begin_iter(Iter *it, const IndexMove *m, int dim, int64_t begin, int64_t end) {
  int64_t shape[MT_MAX_DIMS];
  int size = dtype_size((DType)m->dtype), index_size = dtype_size((DType)m->index->dtype);
  bool reads = m->mode == READ;
  char *moved = m->moved, *other = m->other, *index = tensor_data(m->index);
  for (int d = 0; d < m->ndim; d++) shape[d] = d == dim ? end - begin : m->shape[d];
  if (begin > 0) {
    moved += begin * m->moved_stride[dim] * size;
    other += begin * m->other_stride[dim] * size;
    index += begin * m->index_stride[dim] * index_size;
  }
  iter_begin(it, m->ndim, shape);
  iter_add(it, reads ? other : moved, reads ? m->other_stride : m->moved_stride, size);
  iter_add(it, reads ? moved : other, reads ? m->moved_stride : m->other_stride, size);
  iter_add(it, index, m->index_stride, index_size);
  iter_finish(it);
}

static IterRow row_of(const IndexMove *m) { return move_row(m->mode, m->dtype, scalar_double(m->reach.alpha) != 1); }

typedef struct {
  const IndexMove *move;
  const Iter *rows; /* of write_rows */
  int dim;
} WritePart;

static void write_part(void *context, int64_t begin, int64_t end) {
  const WritePart *p = context;
  Iter it;
  begin_iter(&it, p->move, p->dim, begin, end);
  iter_run_serial(&it, row_of(p->move), &p->move->reach);
}

/* Rows that are written whole, each at one position: a thread takes those that end in its share of the target's rows. It
 * looks for them by groups, and asks for one group's before it adds the last one's. */
static void write_rows(void *context, int64_t begin, int64_t end) {
  const WritePart *p = context;
  const IndexMove *m = p->move;
  const Iter *it = p->rows;
  const IterRow row = row_of(m);
  const int64_t *at = (const int64_t *)it->ptr[2];
  int64_t size = dtype_size(m->dtype), bytes = it->shape[0] * size, stride[] = {size, size, 0};
  int64_t group[2][GROUP], count[2] = {0, 0}, i = 0;
  for (int now = 0; i < it->shape[1] || count[1 - now] > 0; now = 1 - now) {
    for (count[now] = 0; i < it->shape[1] && count[now] < GROUP; i++) {
      int64_t to = row_number(at[i], m->reach.size);
      if (to < begin || to >= end) continue;
      group[now][count[now]++] = i;
      for (int64_t b = 0; b < bytes && b < MOST_AHEAD; b += 64)
        __builtin_prefetch(it->ptr[1] + i * it->stride[1][1] + b);
    }
    for (int64_t k = 0; k < count[1 - now]; k++) {
      int64_t j = group[1 - now][k];
      row((char *[]){it->ptr[0], it->ptr[1] + j * it->stride[1][1], (char *)&at[j]}, stride, it->shape[0], &m->reach);
    }
    count[1 - now] = 0;
  }
}
static bool writes_rows(const IndexMove *m, const Iter *it) {
  int64_t size = dtype_size(m->dtype);
  return m->reach.wide && m->reach.dims == 1 && it->ndim == 2 && it->stride[0][0] == size && it->stride[1][0] == size &&
         it->stride[2][0] == 0 && it->stride[0][1] == 0 && it->stride[2][1] == sizeof(int64_t);
}

/* Along a dim that no position reaches, parts write to different elements, each in order of the index. So they may run
 * side by side, and however they are cut the result is the same. */
static void write_all(const IndexMove *m) {
  int64_t numel = 1, most = 1;
  WritePart part = {m, NULL, 0};
  for (int d = 0; d < m->ndim; d++) {
    numel *= m->shape[d];
    if (m->moved_stride[d] == 0 || m->shape[d] <= most) continue;
    most = m->shape[d];
    part.dim = d;
  }
  if (m->ndim == 0 || most == 1 || numel < SHARED || !m->plain) {
    write_part(&part, 0, m->ndim > 0 ? m->shape[part.dim] : 1);
    return;
  }
  int64_t threads = pool_threads();
  Iter it;
  begin_iter(&it, m, 0, 0, m->shape[0]);
  if (writes_rows(m, &it)) {
    part.rows = &it;
    parallel_for(m->reach.size, (m->reach.size + threads - 1) / threads, write_rows, &part);
    return;
  }
  bool side_by_side = m->moved_stride[part.dim] == 1;
  int64_t parts = threads * (side_by_side ? 1 : 4), grain = (most + parts - 1) / parts;
  parallel_for(most, side_by_side ? (grain + LINE - 1) / LINE * LINE : grain, write_part, &part);
}

typedef struct {
  char *to;
  const char *from;
  const int64_t *at;
  int64_t to_step, step, size, bytes;
  bool past;
} TakeRows;

static void take_rows(void *context, int64_t begin, int64_t end) {
  const TakeRows *t = context;
  const bool far = t->size * t->step > IN_CACHE;
  void (*past)(char *, const char *, int64_t) = t->past ? VEC_PICK(stream_table)->copy : NULL;
  for (int64_t i = begin; i < end; i++) {
    if (far && i + ROWS_AHEAD < end) {
      const char *later = t->from + row_number(t->at[i + ROWS_AHEAD], t->size) * t->step;
      for (int64_t b = 0; b < t->bytes && b < MOST_AHEAD; b += 64) __builtin_prefetch(later + b);
    }
    char *to = t->to + i * t->to_step;
    const char *from = t->from + row_number(t->at[i], t->size) * t->step;
    if (past) {
      past(to, from, t->bytes);
    } else if (t->bytes <= SHORT) {
      copy_few(to, from, t->bytes);
    } else {
      memcpy(to, from, (size_t)t->bytes);
    }
  }
  if (past) stream_fence();
}

void cpu_take_rows(char *to, int64_t to_step, const char *from, int64_t step, int64_t size, const int64_t *at,
                   int64_t n, int64_t bytes) {
  TakeRows t = {to, from, at, to_step, step, size, bytes, bytes >= 64 && stream_pays(n * bytes)};
  parallel_for(n, bytes < UNIT ? UNIT / (bytes + 1) + 1 : 1, take_rows, &t);
}

/* Whole rows, each at one position, of a result that lies as it should. */
static bool takes_rows(const IndexMove *m, const Iter *it, int size) {
  return m->reach.wide && m->reach.dims == 1 && it->ndim == 2 && it->stride[0][0] == size && it->stride[1][0] == size &&
         it->stride[2][0] == 0 && it->stride[1][1] == 0 && it->stride[2][1] == sizeof(int64_t);
}

/* Positions are checked already. */
static void move(const IndexMove *m) {
  int size = dtype_size(m->dtype);
  Iter it;
  if (m->mode != READ) {
    write_all(m);
    return;
  }
  begin_iter(&it, m, 0, 0, m->ndim > 0 ? m->shape[0] : 1);
  if (takes_rows(m, &it, size))
    cpu_take_rows(it.ptr[0], it.stride[0][1], it.ptr[1], m->reach.stride[0], m->reach.size, (const int64_t *)it.ptr[2],
                  it.shape[1], it.shape[0] * size);
  else
    iter_run(&it, row_of(m), &m->reach, 150);
}

/* Reads and checks at once, where that is possible; *good is whether all positions were good. */
static bool read_checked(const IndexMove *m, bool *good) {
  atomic_bool bad = false;
  Checked c = {m->reach.size, m->reach.stride[0], &bad};
  Iter it;
  if (m->mode != READ || !m->reach.wide || m->reach.negative || m->reach.dims != 1 || m->ndim == 0) return false;
  begin_iter(&it, m, 0, 0, m->shape[0]);
  if (it.stride[0][0] != dtype_size(m->dtype) || it.stride[1][0] != 0 || it.stride[2][0] != sizeof(int64_t))
    return false;
  iter_run(&it, checked_row(m->dtype), &c, 100);
  *good = !bad;
  return true;
}

bool cpu_index_move(const IndexMove *m) {
  bool good;
  if (read_checked(m, &good) && good) return true;
  if (!position_check(m->index, m->reach.size, m->reach.negative, m->dim)) return false;
  move(m);
  return true;
}

static const int64_t still[MT_MAX_DIMS]; /* strides of something that stands for every element */
static const int64_t *strides_or_zero(const Tensor *t) { return t->ndim > 0 ? t->stride : still; }

/* --- gather and scatter: the index has as many dims as the tensor --- */

/* What lies beside an index: a tensor's elements, or one element that stands for all. */
typedef struct {
  char *data;
  const int64_t *stride;
  Device device;
} Beside;
static Beside beside(Tensor *t) { return (Beside){tensor_data(t), strides_or_zero(t), tensor_device(t)}; }
static Beside element_beside(char *element) { return (Beside){element, still, {MT_CPU, 0}}; }

/* One element of the host that a call on a device reads by positions. */
static bool astray(const OpCall *c, const Tensor *moved) { return tensor_device(moved).kind != c->device.kind; }

/* moved is read or written along dim (argument 1) at the positions in the index (argument 2); other lies beside index. */
static bool along_dim(const OpCall *c, MoveMode mode, Tensor *moved, Beside other) {
  const Tensor *index = in(c, 2);
  int64_t stride[MT_MAX_DIMS] = {0};
  int at;
  if (!dim_wrap(c->arg[1].i, moved->ndim, &at)) return false;
  if (astray(c, moved)) return left_to_host();
  bool scalar = moved->ndim == 0;
  for (int d = 0; d < moved->ndim; d++) stride[d] = d == at ? 0 : moved->stride[d];
  IndexMove m = {.mode = mode,
                 .ndim = index->ndim,
                 .shape = index->shape,
                 .dtype = (DType)moved->dtype,
                 .device = c->device,
                 .beside = other.device,
                 .moved = tensor_data(moved),
                 .other = other.data,
                 .moved_stride = stride,
                 .other_stride = other.stride,
                 .index = index,
                 .index_stride = index->stride,
                 .dim = at,
                 .plain = tensor_is_contiguous(moved)};
  m.reach =
      (Reach){.wide = index->dtype == MT_I64, .dims = 1, .size = scalar ? 1 : moved->shape[at], .alpha = scalar_int(1)};
  m.reach.shape[0] = m.reach.size;
  m.reach.stride[0] = scalar ? 0 : moved->stride[at] * dtype_size((DType)moved->dtype);
  return any_index_move(&m);
}

bool any_gather(OpCall *c) { return along_dim(c, READ, in(c, 0), beside(c->out[0])); }
bool any_scatter(OpCall *c) { return along_dim(c, WRITE, c->out[0], beside(in(c, 3))); }
bool any_scatter_add(OpCall *c) { return along_dim(c, SUM, c->out[0], beside(in(c, 3))); }
bool any_scatter_value(OpCall *c) {
  char element[8];
  scalar_store(c->arg[3].number, (DType)c->out[0]->dtype, element);
  return along_dim(c, WRITE, c->out[0], element_beside(element));
}

/* scatter_reduce_at(input, dim, index, src, reduce, include_self). Without the input's own elements, those that the index
 * names start from what changes nothing. */
bool any_scatter_reduce(OpCall *c) {
  const char *how = c->arg[4].str;
  MoveMode mode = strcmp(how, "prod") == 0 ? PRODUCT : strcmp(how, "amax") == 0 ? MAXIMUM : MINIMUM;
  Tensor *to = c->out[0];
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
    if (!along_dim(c, WRITE, to, element_beside(element))) return false;
  }
  return along_dim(c, mode, to, beside(in(c, 3)));
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
static bool by_layout(const OpCall *c, MoveMode mode, Tensor *moved, const IndexLayout *l, const Tensor *index,
                      bool negative, Beside other, Scalar alpha) {
  int64_t moved_stride[MT_MAX_DIMS], index_stride[MT_MAX_DIMS];
  int size = dtype_size((DType)moved->dtype);
  if (astray(c, moved)) return left_to_host();
  for (int d = 0; d < l->ndim; d++) {
    bool axis = l->from[d] < 0;
    moved_stride[d] = axis ? 0 : moved->stride[l->from[d]];
    index_stride[d] = axis && index->ndim > 0 ? index->stride[-1 - l->from[d]] : 0;
  }
  IndexMove m = {.mode = mode,
                 .ndim = l->ndim,
                 .shape = l->shape,
                 .dtype = (DType)moved->dtype,
                 .device = c->device,
                 .beside = other.device,
                 .moved = tensor_data(moved),
                 .other = other.data,
                 .moved_stride = moved_stride,
                 .other_stride = other.stride,
                 .index = index,
                 .index_stride = index_stride,
                 .dim = l->dims == 1 ? l->dim[0] : -1,
                 .plain = tensor_is_contiguous(moved)};
  m.reach =
      (Reach){.wide = index->dtype == MT_I64, .negative = negative, .dims = l->dims, .size = l->size, .alpha = alpha};
  for (int k = 0; k < l->dims; k++) {
    m.reach.shape[k] = moved->ndim > 0 ? moved->shape[l->dim[k]] : 1;
    m.reach.stride[k] = moved->ndim > 0 ? moved->stride[l->dim[k]] * size : 0;
  }
  return any_index_move(&m);
}

/* The layout of one dim indexed by a vector; a 0-dim index counts as [1]. */
static bool vector_layout(IndexLayout *l, const Tensor *t, int64_t dim, const Tensor *index) {
  return index_layout(l, t, 1, &index->numel, 1, &dim);
}

bool any_index_select(OpCall *c) {
  IndexLayout l;
  if (vector_layout(&l, in(c, 0), c->arg[1].i, in(c, 2)) &&
      by_layout(c, READ, in(c, 0), &l, in(c, 2), false, beside(c->out[0]), scalar_int(1)))
    return true;
  if (fail_code() == MT_EINDEX) fail_prefix("%s", POSITION_IN_SELF);
  return false;
}
static bool write_vector(OpCall *c, MoveMode mode, Scalar alpha) {
  IndexLayout l;
  return vector_layout(&l, c->out[0], c->arg[1].i, in(c, 2)) &&
         by_layout(c, mode, c->out[0], &l, in(c, 2), false, beside(in(c, 3)), alpha);
}
bool any_index_add(OpCall *c) { return write_vector(c, SUM, c->arg[4].number); }
bool any_index_copy(OpCall *c) { return write_vector(c, WRITE, scalar_int(1)); }
bool any_index_fill(OpCall *c) {
  IndexLayout l;
  Tensor *value = in(c, 3), *cast = NULL;
  char element[8];
  Beside other = element_beside(element);
  if (tensor_device(value).kind == MT_CPU) {
    scalar_store(tensor_scalar(value), (DType)c->out[0]->dtype, element);
  } else { /* stays where it is: nobody waits for it */
    if (!(cast = tensor_cast(value, (DType)c->out[0]->dtype))) return false;
    other = beside(cast);
  }
  bool good = vector_layout(&l, c->out[0], c->arg[1].i, in(c, 2)) &&
              by_layout(c, WRITE, c->out[0], &l, in(c, 2), true, other, scalar_int(1));
  tensor_release(cast);
  return good;
}

bool any_index_at(OpCall *c) {
  IndexLayout l;
  Tensor *index = in(c, 1);
  return index_layout(&l, in(c, 0), index->ndim, index->shape, c->arg[2].n, c->arg[2].ints) &&
         by_layout(c, READ, in(c, 0), &l, index, true, beside(c->out[0]), scalar_int(1));
}
bool any_index_put_at(OpCall *c) {
  IndexLayout l;
  Tensor *index = in(c, 1), *values = in(c, 2);
  int64_t stride[MT_MAX_DIMS];
  return index_layout(&l, c->out[0], index->ndim, index->shape, c->arg[3].n, c->arg[3].ints) &&
         shape_expand(values, l.ndim, l.shape, stride) &&
         by_layout(c, c->arg[4].i ? SUM : WRITE, c->out[0], &l, index, true,
                   (Beside){tensor_data(values), stride, tensor_device(values)}, scalar_int(1));
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
