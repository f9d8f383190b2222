/* Reductions of tensors on a device: how dims are walked, how many threads share a result, and how results of many
 * elements are cut into units. All of it follows from shapes and strides. */
#include "cuda/reduce.h"
#include "cuda/driver.h"

enum {
  BLOCKS = 1024,
  EACH = 16,
  UNIT_STEP = 4096,
  LANES_ABREAST = 32
}; /* blocks worth having; elements a thread folds at least */

static void walk_add(ReduceWalk *w, int64_t size, int64_t stride, int64_t out) {
  int k = w->n - 1;
  if (k >= 0 && w->stride[k] * w->shape[k] == stride && w->out[k] * w->shape[k] == out) {
    w->shape[k] *= size;
    return;
  }
  w->shape[w->n] = size;
  w->stride[w->n] = stride;
  w->out[w->n++] = out;
}

/* Dims by stride, broadcast ones last; the closest one decides whether neighbours are folded or kept. In `flat` order of a
 * packed tensor, so that places are counted as the host does. */
static void plan_dims(ReduceRun *r, int ndim, const int64_t *shape, const int64_t *stride, const bool *reduced) {
  int order[MT_MAX_DIMS], n = 0;
  int64_t out = 1, out_stride[MT_MAX_DIMS] = {0};
  r->results = r->length = 1;
  r->kept.n = r->lines.n = 0;
  for (int d = ndim - 1; d >= 0; d--) {
    if (!reduced[d]) {
      out_stride[d] = out;
      out *= shape[d];
    }
    *(reduced[d] ? &r->length : &r->results) *= shape[d];
    if (shape[d] == 1) continue;
    int k = n++;
    for (; k > 0 && stride[d] != 0 && (stride[order[k - 1]] > stride[d] || stride[order[k - 1]] == 0); k--)
      order[k] = order[k - 1];
    order[k] = d;
  }
  for (int k = 0; k < n; k++) {
    int d = order[k];
    walk_add(reduced[d] ? &r->lines : &r->kept, shape[d], stride[d], reduced[d] ? 0 : out_stride[d]);
  }
  r->across = n > 0 && !reduced[order[0]];
}

static int64_t power_of_two(int64_t at_least, int most) {
  int n = 1;
  while (n < most && n < at_least) n *= 2;
  return n;
}

static void plan_threads(ReduceRun *r, int size) {
  int64_t n = r->length;
  if (r->across) { /* 32 neighbours read a line of the cache */
    int width = (int)power_of_two(r->results, LANES_ABREAST);
    r->group = (int)power_of_two((n + EACH - 1) / EACH, REDUCE_THREADS / width);
    r->packed = false;
  } else {
    int pack = 16 / size;
    r->packed = r->lines.n == 1 && r->lines.stride[0] == 1 && n % pack == 0 && (uintptr_t)r->x % 16 == 0;
    for (int d = 0; d < r->kept.n; d++) r->packed = r->packed && r->kept.stride[d] % pack == 0;
    r->group = n > 32 * LANES_ABREAST ? REDUCE_THREADS : (int)power_of_two((n + 3) / 4, LANES_ABREAST);
  }
  int64_t per = REDUCE_THREADS / r->group, blocks = (r->results + per - 1) / per;
  int64_t most = n / ((int64_t)r->group * EACH), units = blocks > 0 ? BLOCKS / blocks : 1;
  if (units > most) units = most;
  r->units = 1;
  r->unit = n;
  if (units < 2) return;
  r->unit = (n + units - 1) / units;
  if (!r->across) r->unit = (r->unit + UNIT_STEP - 1) / UNIT_STEP * UNIT_STEP; /* whole packs */
  r->units = (n + r->unit - 1) / r->unit;
}

static bool run(ReduceRun *r, DType d, Device device) {
  Tensor *partial = NULL;
  plan_threads(r, dtype_size(d));
  if (r->units > 1) {
    int64_t words = r->units * r->results * (cuda_reduce_room(r->fold) / 8);
    if (!(partial = tensor_new(MT_F64, 1, &words, device))) return false;
    r->partial = tensor_data(partial);
  }
  bool good =
      driver_use(device.index) && driver_launched(cuda_launch_reduce(d, r, driver_stream(device.index)), "a reduction");
  tensor_release(partial);
  return good;
}

/* t, or a copy that the fold can read: of dtype `as`, or of what elements of it are folded as; owned. */
static Tensor *readable(Tensor *t, DType as, int fold) {
  if (t->dtype != as && lane_dtype(lane_type((DType)t->dtype)) != as) return cuda_packed(t, as);
  if (cuda_reduce_reads(fold, t->dtype)) return tensor_retain(t);
  return cuda_packed(t, lane_dtype(lane_type((DType)t->dtype)));
}

bool cuda_reduce_memory(const void *x, DType d, int ndim, const int64_t *shape, const int64_t *stride,
                        const bool *reduced, Reduction how, Tensor *out, Tensor *second) {
  if (out->numel == 0) return true;
  ReduceRun r = {.x = x,
                 .fold = how.fold,
                 .finish = how.finish,
                 .p = how.p,
                 .out = tensor_data(out),
                 .out_dtype = out->dtype,
                 .second = second ? tensor_data(second) : NULL,
                 .second_dtype = second ? second->dtype : 0};
  plan_dims(&r, ndim, shape, stride, reduced);
  return run(&r, d, tensor_device(out));
}

bool cuda_reduce(const Tensor *t, const bool *reduced, Reduction how, Tensor *out, Tensor *second) {
  if (out->numel == 0) return true;
  Tensor *x = readable((Tensor *)t, how.as, how.fold);
  if (!x) return false;
  bool good =
      cuda_reduce_memory(tensor_data(x), (DType)x->dtype, x->ndim, x->shape, x->stride, reduced, how, out, second);
  tensor_release(x);
  return good;
}

bool cuda_extreme(Tensor *t, int dim, bool least, Tensor *values, Tensor *index) {
  int fold = least ? FOLD_FIRST_MIN : FOLD_FIRST_MAX;
  if (index->numel == 0) return true;
  Tensor *x = readable(t, (DType)t->dtype, fold);
  if (x && dim < 0 && !tensor_is_contiguous(x)) { /* places count elements in their order */
    Tensor *flat = cuda_packed(x, (DType)x->dtype);
    tensor_release(x);
    x = flat;
  }
  if (!x) return false;
  bool reduced[MT_MAX_DIMS];
  for (int d = 0; d < x->ndim; d++) reduced[d] = d == dim || dim < 0;
  ReduceRun r = {.x = tensor_data(x),
                 .fold = fold,
                 .out = values ? tensor_data(values) : NULL,
                 .out_dtype = values ? values->dtype : 0,
                 .second = tensor_data(index),
                 .second_dtype = MT_I64};
  plan_dims(&r, x->ndim, x->shape, x->stride, reduced);
  bool good = run(&r, (DType)x->dtype, tensor_device(index));
  tensor_release(x);
  return good;
}
