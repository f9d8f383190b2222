/* Indexing by position on a device: geometry for index.cu, elements as wide as they may be, and order where it is asked for. */
#include "cuda/index.h"
#include "cuda/driver.h"
#include "cuda/sort.h"
#include <string.h>

enum { WIDEST = 16 };

/* The move's operands over some of its dims, by default all of them; row-major or in the order of memory. */
static void rows_of(Rows *r, const IndexMove *m, const Tensor *index, const bool *taken, bool row_major) {
  int64_t shape[MT_MAX_DIMS], stride[3][MT_MAX_DIMS];
  int n = 0, size = dtype_size(m->dtype);
  for (int d = 0; d < m->ndim; d++) {
    if (taken && !taken[d]) continue;
    shape[n] = m->shape[d];
    stride[MOVED][n] = m->moved_stride[d];
    stride[BESIDE][n] = m->other_stride[d];
    stride[INDEX][n++] = index ? m->index_stride[d] : 0;
  }
  Iter it;
  int order[] = {MOVED, BESIDE, INDEX};
  if (m->mode == READ) { /* what is written decides the order */
    order[0] = BESIDE;
    order[1] = MOVED;
  }
  char *ptr[] = {m->moved, m->other, index ? tensor_data(index) : NULL};
  iter_begin(&it, n, shape);
  for (int k = 0; k < 3; k++)
    iter_add(&it, ptr[order[k]], stride[order[k]],
             order[k] == INDEX ? index ? dtype_size((DType)index->dtype) : 1 : size);
  if (!row_major) iter_finish(&it);
  cuda_rows_of(&it, r);
  for (int k = 0; k < 3; k++) {
    r->ptr[order[k]] = it.ptr[k];
    memcpy(r->stride[order[k]], it.stride[k], sizeof(int64_t) * (size_t)it.ndim);
  }
}

/* Rows that lie packed on both sides and share a position are moved in as large pieces as their places allow: bytes of one. */
static int widen(MoveRun *r, int size) {
  Rows *rows = &r->rows;
  if (rows->ndim == 0 || !rows->ptr[BESIDE] || rows->stride[MOVED][0] != size || rows->stride[BESIDE][0] != size ||
      rows->stride[INDEX][0] != 0)
    return size;
  int64_t all = rows->shape[0] * size | (int64_t)(uintptr_t)rows->ptr[MOVED] | (int64_t)(uintptr_t)rows->ptr[BESIDE];
  for (int d = 1; d < rows->ndim; d++) all |= rows->stride[MOVED][d] | rows->stride[BESIDE][d];
  for (int d = 0; d < r->dims; d++) all |= r->stride[d];
  int wide = WIDEST;
  while (wide > size && all % wide != 0) wide /= 2;
  rows->numel = rows->numel / rows->shape[0] * (rows->shape[0] * size / wide);
  rows->shape[0] = rows->shape[0] * size / wide;
  rows->stride[MOVED][0] = rows->stride[BESIDE][0] = wide;
  return wide;
}

/* Bytes from moved's first element to one past its last. */
static uint64_t reach_of(const IndexMove *m) {
  uint64_t last = 0;
  int size = dtype_size(m->dtype);
  for (int d = 0; d < m->ndim; d++) last += (uint64_t)((m->shape[d] - 1) * m->moved_stride[d] * size);
  for (int d = 0; d < m->reach.dims; d++) last += (uint64_t)((m->reach.shape[d] - 1) * m->reach.stride[d]);
  return last + (uint64_t)size;
}

/* Places are sorted together with their numbers, and then written place by place. */
static bool move_in_order(const IndexMove *m, MoveRun *r, const Tensor *index) {
  bool taken[MT_MAX_DIMS], rest[MT_MAX_DIMS];
  int at = m->device.index;
  for (int d = 0; d < m->ndim; d++) {
    taken[d] = !index || m->moved_stride[d] == 0 || m->index_stride[d] != 0;
    rest[d] = !taken[d];
  }
  OrderedMove o = {.outside = reach_of(m)};
  rows_of(&r->rows, m, index, taken, true);
  rows_of(&o.rest, m, index, rest, false);
  memcpy(r->rows.value, &o.rest.value, sizeof r->rows.value);
  o.run = *r;
  PairSort pairs;
  int bytes = 1;
  while (bytes < 8 && o.outside >> 8 * bytes) bytes++;
  if (!pair_sort_open(&pairs, at, r->rows.numel, bytes)) return false;
  bool good = driver_launched(cuda_launch_places(r, o.outside, pairs.key[0], driver_stream(at)), "index") &&
              driver_launched(cuda_launch_pair_sort(&pairs, driver_stream(at)), "sort");
  o.key = pairs.key[pairs.result];
  o.number = pairs.number[pairs.result];
  good = good && driver_launched(cuda_launch_ordered(m->dtype, &o, driver_stream(at)), "index");
  pair_sort_close(&pairs);
  return good;
}

static bool keeps_order(const IndexMove *m) {
  if (m->mode == READ || !deterministic().on) return false;
  return m->mode == WRITE || (dtype_is_float(m->dtype) && (m->mode == SUM || m->mode == PRODUCT));
}

bool cuda_index_move(const IndexMove *m) {
  int64_t numel = 1;
  int at = m->device.index;
  for (int d = 0; d < m->ndim; d++) numel *= m->shape[d];
  if (numel == 0) return true;
  Tensor *index = m->index ? cuda_there(m->index, (DType)m->index->dtype, at) : NULL;
  if (m->index && !index) return false;
  IndexMove local = *m;
  MoveRun r = {.mode = (int)m->mode,
               .dims = m->reach.dims,
               .dim = m->dim,
               .wide = m->reach.wide,
               .negative = m->reach.negative,
               .scaled = scalar_double(m->reach.alpha) != 1,
               .size = m->reach.size,
               .alpha = scalar_double(m->reach.alpha),
               .alpha_integer = scalar_int64(m->reach.alpha)};
  memcpy(r.shape, m->reach.shape, sizeof(int64_t) * (size_t)m->reach.dims);
  memcpy(r.stride, m->reach.stride, sizeof(int64_t) * (size_t)m->reach.dims);
  uint64_t value = 0;
  if (m->beside.kind == MT_CPU) {
    memcpy(&value, m->other, (size_t)dtype_size(m->dtype));
    local.other = NULL;
  }
  rows_of(&r.rows, &local, index, NULL, false);
  r.rows.value[BESIDE] = value;
  bool good = fault_place(at, &r.fault), plain = m->mode == READ || m->mode == WRITE;
  if (good && m->table) fault_shape(at, r.fault, m->index);
  if (good && keeps_order(m))
    good = move_in_order(&local, &r, index);
  else if (good && plain)
    good = driver_launched(cuda_launch_move(widen(&r, dtype_size(m->dtype)), &r, driver_stream(at)), "index");
  else if (good)
    good = driver_launched(cuda_launch_combine(m->dtype, &r, driver_stream(at)), "index");
  tensor_release(index);
  return good;
}

static bool is_index(const Tensor *index) {
  return index->dtype == MT_I64 || index->dtype == MT_I32 ||
         fail(MT_EARG, "Expected a long tensor for index, but got %s: use :long()", dtype_info[index->dtype].type_name);
}

static MoveRun positions_of(const Tensor *index, int64_t size, bool negative, int dim) {
  return (MoveRun){
      .dims = 1, .dim = dim, .wide = index->dtype == MT_I64, .negative = negative, .size = size, .stride = {1}};
}

bool cuda_check_positions(const Tensor *index, int64_t size, bool negative, int dim) {
  int at = tensor_device(index).index;
  if (!is_index(index)) return false;
  if (index->numel == 0) return true;
  MoveRun r = positions_of(index, size, negative, dim);
  cuda_rows_for(&r.rows, 1, (Tensor *[]){(Tensor *)index});
  return fault_place(at, &r.fault) && driver_launched(cuda_launch_check(&r, driver_stream(at)), "index");
}

bool cuda_position(OpCall *c) {
  const Arg *indices = &c->arg[0], *dims = &c->arg[1], *sizes = &c->arg[2];
  Tensor *out = c->out[0];
  int64_t factor = 1;
  int at = c->device.index;
  bool good = true;
  if (out->numel == 0) return true;
  for (int k = indices->n - 1; good && k >= 0; k--) {
    Tensor *index = cuda_there(indices->tensors[k], (DType)indices->tensors[k]->dtype, at);
    if (!index) return false;
    MoveRun r = positions_of(index, sizes->ints[k], true, (int)dims->ints[k]);
    cuda_rows_for(&r.rows, 2, (Tensor *[]){out, index});
    good = fault_place(at, &r.fault) &&
           driver_launched(cuda_launch_linear(&r, factor, k == indices->n - 1, driver_stream(at)), "index");
    factor *= sizes->ints[k];
    tensor_release(index);
  }
  return good;
}

bool cuda_selecting_back(Tensor *grad, int dim, Tensor *index, Tensor *out) {
  int64_t stride[MT_MAX_DIMS] = {0};
  bool scalar = out->ndim == 0;
  for (int d = 0; d < out->ndim; d++) stride[d] = d == dim ? 0 : out->stride[d];
  Tensor *from = cuda_there(grad, (DType)out->dtype, tensor_device(out).index);
  if (!from) return false;
  IndexMove m = {.mode = WRITE,
                 .ndim = index->ndim,
                 .shape = index->shape,
                 .dtype = (DType)out->dtype,
                 .device = tensor_device(out),
                 .beside = tensor_device(out),
                 .moved = tensor_data(out),
                 .other = tensor_data(from),
                 .moved_stride = stride,
                 .other_stride = from->stride,
                 .index = index,
                 .index_stride = index->stride,
                 .dim = dim};
  m.reach =
      (Reach){.wide = index->dtype == MT_I64, .dims = 1, .size = scalar ? 1 : out->shape[dim], .alpha = scalar_int(1)};
  m.reach.shape[0] = m.reach.size;
  m.reach.stride[0] = scalar ? 0 : out->stride[dim] * dtype_size((DType)out->dtype);
  bool good = cuda_fill(out, scalar_int(0)) && cuda_index_move(&m);
  tensor_release(from);
  return good;
}
