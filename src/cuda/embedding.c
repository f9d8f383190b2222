/* Embedding tables on a device. Taking rows is a move by position (index.c). */
#include "cuda/embedding.h"
#include "cuda/driver.h"
#include "cuda/sort.h"
#include <string.h>

bool cuda_embedding(Tensor *weight, Tensor *index, Tensor *out) {
  int64_t moved_stride[MT_MAX_DIMS] = {0}, index_stride[MT_MAX_DIMS] = {0};
  if (tensor_device(weight).kind != MT_CUDA) return left_to_host();
  if (!(index = cuda_packed(index, (DType)index->dtype))) return false;
  moved_stride[index->ndim] = weight->stride[1];
  if (index->ndim > 0) memcpy(index_stride, index->stride, sizeof(int64_t) * (size_t)index->ndim);
  IndexMove m = {
      .mode = READ,
      .ndim = out->ndim,
      .shape = out->shape,
      .dtype = (DType)weight->dtype,
      .device = tensor_device(out),
      .beside = tensor_device(out),
      .moved = tensor_data(weight),
      .other = tensor_data(out),
      .moved_stride = moved_stride,
      .other_stride = out->stride,
      .index = index,
      .index_stride = index_stride,
      .table = true,
      .reach = {.wide = index->dtype == MT_I64, .dims = 1, .size = weight->shape[0], .alpha = scalar_int(1)}};
  m.reach.shape[0] = weight->shape[0];
  m.reach.stride[0] = weight->stride[0] * dtype_size((DType)weight->dtype);
  bool good = cuda_index_move(&m);
  tensor_release(index);
  return good;
}

/* What is known of positions into a table: they are packed, and counted where that is asked for. */
typedef struct {
  Tensor *index, *count;
  TableRun run;
} Table;

static void table_close(Table *t) {
  tensor_release(t->count);
  tensor_release(t->index);
}
static bool table_open(Table *t, Tensor *index, int64_t rows, bool counted, int at) {
  Device here = {MT_CUDA, at};
  Tensor *there = cuda_there(index, MT_I64, at);
  t->index = there ? cuda_packed(there, MT_I64) : NULL;
  t->count = t->index && counted ? tensor_new(MT_I32, 1, &rows, here) : NULL;
  tensor_release(there);
  if (!t->index || (counted && !t->count)) return false;
  t->run = (TableRun){.index = (const int64_t *)(const void *)tensor_data(t->index), .n = index->numel, .rows = rows};
  if (!fault_place(at, &t->run.fault)) return false;
  fault_shape(at, t->run.fault, index);
  if (!counted) return true;
  t->run.count = (uint32_t *)(void *)tensor_data(t->count);
  return cuda_fill(t->count, scalar_int(0)) &&
         driver_launched(cuda_launch_table_count(&t->run, driver_stream(at)), "embedding");
}

bool cuda_embedding_share(Tensor *index, int64_t rows, int64_t padding, bool by_count, Tensor *out) {
  int at = tensor_device(out).index;
  Table t;
  if (index->numel == 0) return true;
  bool good = table_open(&t, index, rows, by_count, at) &&
              driver_launched(cuda_launch_table_share(out->dtype, &t.run, padding, tensor_data(out), driver_stream(at)),
                              "embedding");
  table_close(&t);
  return good;
}

bool cuda_embedding_renorm(Tensor *weight, Tensor *index, double most, double p) {
  int at = tensor_device(weight).index;
  Table t;
  if (index->numel == 0) return true;
  bool good = table_open(&t, index, weight->shape[0], true, at);
  if (good && weight->shape[0] > 0) {
    RenormRun r = {.weight = tensor_data(weight),
                   .rows = weight->shape[0],
                   .width = weight->shape[1],
                   .row_step = weight->stride[0],
                   .step = weight->stride[1],
                   .count = t.run.count,
                   .most = most,
                   .p = p};
    good = driver_launched(cuda_launch_renorm(weight->dtype, &r, driver_stream(at)), "embedding_renorm_");
  }
  table_close(&t);
  return good;
}

bool cuda_bag_max(Tensor *weight, Tensor *index, Tensor *bag, Tensor *out) {
  int at = tensor_device(out).index, bytes = 1;
  void *stream = driver_stream(at);
  Table rows, bags;
  PairSort pairs;
  if (out->numel == 0) return true;
  if (index->numel == 0) return cuda_fill(out, scalar_int(1));
  if (tensor_device(weight).kind != MT_CUDA) return left_to_host();
  while (bytes < 8 && (uint64_t)out->shape[0] >> 8 * bytes) bytes++;
  bool good = table_open(&rows, index, weight->shape[0], false, at);
  if (!table_open(&bags, bag, out->shape[0], false, at)) good = false;
  if (!pair_sort_open(&pairs, at, index->numel, bytes)) good = false;
  if (good) {
    good = driver_launched(cuda_launch_bag_keys(&bags.run, pairs.key[0], stream), "embedding_bag") &&
           driver_launched(cuda_launch_pair_sort(&pairs, stream), "sort");
    BagRun r = {.table = rows.run,
                .weight = tensor_data(weight),
                .width = weight->shape[1],
                .row_step = weight->stride[0],
                .step = weight->stride[1],
                .bags = out->shape[0],
                .bag = pairs.key[pairs.result],
                .number = pairs.number[pairs.result],
                .out = (int64_t *)(void *)tensor_data(out)};
    good = good && driver_launched(cuda_launch_bag_max(weight->dtype, &r, stream), "embedding_bag");
  }
  pair_sort_close(&pairs);
  table_close(&bags);
  table_close(&rows);
  return good;
}
