/* Searching sorted lines, ordering rows and counting on a device. */
#include "cuda/search.h"
#include "cuda/driver.h"

/* t's elements as those of dtype d, packed on the device; owned. */
static Tensor *packed_there(Tensor *t, DType d, int index) {
  Tensor *there = cuda_there(t, d, index), *packed = there ? cuda_packed(there, d) : NULL;
  tensor_release(there);
  return packed;
}

bool cuda_search(Tensor *sorted, Tensor *values, Tensor *sorter, DType as, bool right, Tensor *out) {
  int index = tensor_device(out).index;
  if (out->numel == 0) return true;
  Tensor *line = packed_there(sorted, as, index), *value = line ? packed_there(values, as, index) : NULL;
  Tensor *order = value && sorter ? packed_there(sorter, MT_I64, index) : NULL;
  bool good = value && (order || !sorter);
  if (good) {
    SearchRun r = {.line = tensor_data(line),
                   .value = tensor_data(value),
                   .sorter = order ? (const int64_t *)(const void *)tensor_data(order) : NULL,
                   .out = tensor_data(out),
                   .n = out->numel,
                   .length = sorted->shape[sorted->ndim - 1],
                   .width = values->ndim > 0 ? values->shape[values->ndim - 1] : 1,
                   .many = sorted->ndim > 1,
                   .narrow = out->dtype == MT_I32,
                   .right = right,
                   .dim = sorted->ndim - 1};
    good = fault_place(index, &r.fault) && driver_launched(cuda_launch_search(as, &r, driver_stream(index)), "search");
  }
  tensor_release(order);
  tensor_release(value);
  tensor_release(line);
  return good;
}

bool cuda_row_order(Tensor *t, Tensor *position) {
  int64_t n = position->numel, room = 2 * n;
  Device here = tensor_device(t);
  if (n == 0) return true;
  Tensor *x = cuda_packed(t, (DType)t->dtype), *numbers = x ? tensor_new(MT_I64, 1, &room, here) : NULL;
  bool good = numbers && driver_use(here.index);
  if (good) {
    int64_t *first = (int64_t *)(void *)tensor_data(numbers), *number[] = {first, first + n};
    int result = 0;
    void *stream = driver_stream(here.index);
    good =
        driver_launched(cuda_launch_row_order(t->dtype, tensor_data(x), n, t->shape[1], number, &result, stream),
                        "row_order") &&
        driver_launched(cuda_launch_count_from_one((int64_t *)(void *)tensor_data(position), number[result], n, stream),
                        "row_order");
  }
  tensor_release(numbers);
  tensor_release(x);
  return good;
}

/* counts(input, size) */
bool cuda_counts(OpCall *c) {
  Tensor *t = in(c, 0), *out = c->out[0];
  if (!cuda_fill(out, scalar_int(0))) return false;
  if (t->numel == 0 || out->numel == 0) return true;
  Tensor *x = cuda_packed(t, (DType)t->dtype);
  void *stream = driver_stream(c->device.index);
  bool good = x && driver_launched(cuda_launch_counts(t->dtype, tensor_data(x), t->numel, out->numel,
                                                      (int64_t *)(void *)tensor_data(out), stream),
                                   "counts");
  tensor_release(x);
  return good;
}
