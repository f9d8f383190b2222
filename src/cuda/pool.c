/* Pooling on a device. Integers go to the host. */
#include "cuda/pool.h"
#include "cuda/driver.h"
#include <string.h>

static bool run(int which, const Pooling *p, Tensor *x, Tensor *out, Tensor *index) {
  DType d = (DType)out->dtype;
  int at = tensor_device(out).index;
  if (out->numel == 0) return true;
  if (!dtype_is_float(d)) return left_to_host();
  Tensor *packed = cuda_packed(x, d);
  PoolRun r = {.out = tensor_data(out), .planes = p->planes, .divisor = p->divisor};
  memcpy(r.rule, p->rule, sizeof r.rule);
  if (index) r.index = (int64_t *)tensor_data(index);
  bool good = packed && driver_use(at);
  if (good) {
    r.x = tensor_data(packed);
    good = driver_launched(cuda_launch_pool(which, d, &r, driver_stream(at)), "pooling");
  }
  tensor_release(packed);
  return good;
}

bool cuda_pool_max(const Pooling *p, Tensor *x, Tensor *values, Tensor *index) {
  return run(POOL_MAX, p, x, values, index);
}
bool cuda_pool_mean(const Pooling *p, Tensor *x, Tensor *out) { return run(POOL_MEAN, p, x, out, NULL); }
bool cuda_pool_mean_back(const Pooling *p, Tensor *grad, Tensor *out) {
  return run(POOL_MEAN_BACK, p, grad, out, NULL);
}

/* x packed as dtype d, positions as int64; `to` is of dtype d and packed. */
static bool launch_planes(int which, Tensor *x, Tensor *index, int64_t planes, int64_t size, DType d, Tensor *to) {
  int at = tensor_device(to).index;
  Tensor *from = cuda_packed(x, d), *positions = from ? cuda_packed(index, MT_I64) : NULL;
  bool good = positions && driver_use(at);
  if (good && planes > 0 && index->numel > 0) {
    PlaneRun r = {.x = tensor_data(from),
                  .out = tensor_data(to),
                  .index = (const int64_t *)tensor_data(positions),
                  .n = index->numel / planes,
                  .planes = planes,
                  .size = size};
    good = fault_place(at, &r.place) && driver_launched(cuda_launch_plane(which, d, &r, driver_stream(at)), "planes");
  }
  tensor_release(positions);
  tensor_release(from);
  return good;
}

/* 16-bit floats are added up in float32. */
bool cuda_plane_put(Tensor *x, Tensor *index, int64_t planes, bool add, Tensor *out) {
  DType own = (DType)out->dtype, d = add && own != MT_F64 ? MT_F32 : own;
  if (!dtype_is_float(own)) return left_to_host();
  Tensor *to = d == own ? tensor_retain(out) : tensor_new(d, out->ndim, out->shape, tensor_device(out));
  int which = !add ? PLANE_PUT : deterministic().on ? PLANE_ADD_IN_ORDER : PLANE_ADD;
  bool good = to && cuda_fill(to, scalar_int(0)) &&
              launch_planes(which, x, index, planes, planes ? out->numel / planes : 0, d, to) &&
              (to == out || cuda_copy(out, to));
  tensor_release(to);
  return good;
}

bool cuda_plane_take(Tensor *x, Tensor *index, int64_t planes, Tensor *out) {
  return launch_planes(PLANE_TAKE, x, index, planes, planes ? x->numel / planes : 0, (DType)out->dtype, out);
}
