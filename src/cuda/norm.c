/* Normalisation of tensors on a device: which kernels a layout takes, and the memory for sums on the way.
 *
 * The gradient takes two passes over x and grad: one sums, one writes. Where weight runs along rows (layer norm) each row
 * is summed and written at once, and columns are summed beside it. */
#include "cuda/norm.h"
#include "cuda/driver.h"

enum { LONG_ROW = 1 << 16, MANY_ROWS = 256, SHARES = 256, SHARE_ROWS = 16, TASKS = 1 << 17 };

static DType lane_of(const Tensor *t) { return t->dtype == MT_F64 ? MT_F64 : MT_F32; }
static void *data_of(const Tensor *t) { return t ? tensor_data(t) : NULL; }

static DeviceNorm norm_of(const NormLayout *l, double eps) {
  DeviceNorm n = {.outer = l->outer,
                  .groups = l->groups,
                  .inner = l->inner,
                  .channels = l->channels,
                  .run = l->run,
                  .raw = l->raw,
                  .eps = eps,
                  .count = (double)l->outer * (double)l->inner};
  n.each = l->run == 1 && l->channels == l->inner && l->outer == 1 && l->channels > 1;
  n.length = l->inner < l->run ? l->inner : l->run;
  n.runs = n.length > 0 ? l->inner / n.length : 0;
  return n;
}

/* Whether each row is summed and written at once. */
static bool by_row(const NormLayout *l) {
  return l->outer == 1 && (l->raw || l->inner <= LONG_ROW || l->groups >= MANY_ROWS);
}

static bool launch(int (*fn)(int, const DeviceNorm *, void *), DType d, const DeviceNorm *n, int index) {
  return driver_use(index) && driver_launched(fn(d, n, driver_stream(index)), "a normalisation");
}

/* Packed memory of that shape, folded over dim `over` (of up to 3). */
static bool sum_over(const void *data, DType d, const int64_t *shape, int over, Reduction how, Tensor *out,
                     Tensor *second, bool last_too) {
  int64_t stride[] = {shape[1] * shape[2], shape[2], 1};
  bool reduced[] = {over == 0, over == 1, over == 2 || last_too};
  return cuda_reduce_memory(data, d, 3, shape, stride, reduced, how, out, second);
}

bool cuda_norm(const NormLayout *l, Tensor *x, Tensor *weight, Tensor *bias, double eps, bool fixed, Tensor *out,
               Tensor *mean, Tensor *var) {
  DType lane = lane_of(x), d = (DType)x->dtype;
  DeviceNorm n = norm_of(l, eps);
  int index = tensor_device(out).index;
  Tensor *px = cuda_packed(x, d), *pw = weight ? cuda_packed(weight, lane) : NULL;
  Tensor *pb = bias ? cuda_packed(bias, lane) : NULL;
  bool good = px && (pw || !weight) && (pb || !bias);
  bool alone = !fixed && by_row(l) && out->numel > 0;
  if (good) {
    n.x = tensor_data(px);
    n.weight = data_of(pw);
    n.bias = data_of(pb);
    n.out = tensor_data(out);
    n.mean = tensor_data(mean);
    n.var = tensor_data(var);
    if (alone) {
      good = launch(cuda_launch_norm_rows, d, &n, index);
    } else {
      Reduction how = {FOLD_MOMENTS, FINISH_VAR, 0, d};
      if (!fixed && !l->raw)
        good = sum_over(n.x, d, (int64_t[]){l->outer, l->groups, l->inner}, 0, how, var, mean, true);
      if (good && out->numel > 0) good = launch(cuda_launch_norm_apply, d, &n, index);
    }
  }
  tensor_release(pb);
  tensor_release(pw);
  tensor_release(px);
  return good;
}

/* Sums over columns of a matrix, into gb and gw, and into both halves of `total` unless it is NULL. */
static bool column_sums(DeviceNorm *n, DType d, Device device, Tensor *gw, Tensor *gb, Tensor *total) {
  int64_t width = n->inner > 1 ? n->inner : n->groups, height = n->inner > 1 ? n->groups : n->outer;
  n->shares = (height + SHARE_ROWS - 1) / SHARE_ROWS;
  if (n->shares > SHARES) n->shares = SHARES;
  if (n->shares > 1 && n->shares * width > TASKS) n->shares = TASKS / width > 0 ? TASKS / width : 1;
  Tensor *sums = tensor_new(MT_F64, 3, (int64_t[]){2, n->shares, width}, device);
  Reduction sum = {.fold = FOLD_SUM, .as = MT_F64};
  int64_t half[] = {1, n->shares, width}, both[] = {2, n->shares, width};
  if (!sums) return false;
  n->sums = (double *)(void *)tensor_data(sums);
  bool good = launch(cuda_launch_norm_columns, d, n, device.index) &&
              sum_over(n->sums, MT_F64, half, 1, sum, gb, NULL, false) &&
              sum_over(n->sums + n->shares * width, MT_F64, half, 1, sum, gw, NULL, false) &&
              (!total || sum_over(n->sums, MT_F64, both, 1, sum, total, NULL, false));
  tensor_release(sums);
  return good;
}

/* Sums of runs, over outer, into total; then by channel into gb and gw. */
static bool run_sums(DeviceNorm *n, DType d, Device device, Tensor *gw, Tensor *gb, Tensor *total) {
  int64_t each = n->groups * n->runs;
  Tensor *sums = n->outer == 1 ? tensor_retain(total) : tensor_new(MT_F64, 3, (int64_t[]){2, n->outer, each}, device);
  Reduction sum = {.fold = FOLD_SUM, .as = MT_F64};
  if (!sums) return false;
  n->sums = (double *)(void *)tensor_data(sums);
  const double *of = (const double *)(void *)tensor_data(total);
  int64_t by_channel[] = {1, each / n->channels, n->channels};
  bool good =
      launch(cuda_launch_norm_runs, d, n, device.index) &&
      (sums == total || sum_over(n->sums, MT_F64, (int64_t[]){2, n->outer, each}, 1, sum, total, NULL, false)) &&
      sum_over(of, MT_F64, by_channel, 1, sum, gb, NULL, false) &&
      sum_over(of + each, MT_F64, by_channel, 1, sum, gw, NULL, false);
  tensor_release(sums);
  return good;
}

static bool back(DeviceNorm *n, DType d, Device device, bool fixed, bool rows, bool weights, Tensor *gw, Tensor *gb) {
  if (rows)
    return driver_use(device.index) &&
           driver_launched(cuda_launch_norm_back_rows(d, n, fixed, driver_stream(device.index)), "a normalisation") &&
           (!weights || column_sums(n, d, device, gw, gb, NULL));
  bool columns = n->inner == 1 && n->outer > 1 && n->run == 1;
  Tensor *total = tensor_new(MT_F64, 2, (int64_t[]){2, n->groups * n->runs}, device);
  Tensor *by_group = total ? tensor_new(MT_F64, 2, (int64_t[]){2, n->groups}, device) : NULL;
  bool good = by_group && (columns ? column_sums(n, d, device, gw, gb, total) : run_sums(n, d, device, gw, gb, total));
  if (good && !fixed) {
    double *to = (double *)(void *)tensor_data(by_group);
    n->sums = (double *)(void *)tensor_data(total);
    n->group_sums = to;
    good = driver_use(device.index) &&
           driver_launched(cuda_launch_norm_groups(d, n, to, driver_stream(device.index)), "a normalisation");
  }
  good = good && launch(cuda_launch_norm_back_apply, d, n, device.index);
  tensor_release(by_group);
  tensor_release(total);
  return good;
}

bool cuda_norm_back(const NormLayout *l, Tensor *grad, Tensor *x, Tensor *weight, Tensor *mean, Tensor *var, double eps,
                    bool fixed, bool weights, Tensor *gx, Tensor *gw, Tensor *gb) {
  DType lane = lane_of(x), d = (DType)x->dtype;
  DeviceNorm n = norm_of(l, eps);
  if (gx->numel == 0) return cuda_fill(gw, scalar_int(0)) && cuda_fill(gb, scalar_int(0));
  /* channels that change within a group, but not at its ends: no layer has them */
  if (!n.each && (l->inner % n.length != 0 || n.length != l->run || (l->groups * n.runs) % l->channels != 0))
    return left_to_host();
  Tensor *px = cuda_packed(x, d), *pg = px ? cuda_packed(grad, d) : NULL,
         *pw = weight ? cuda_packed(weight, lane) : NULL;
  Tensor *pm = pg ? cuda_packed(mean, lane) : NULL, *pv = pm ? cuda_packed(var, lane) : NULL;
  bool good = pv && (pw || !weight);
  if (good) {
    n.x = tensor_data(px);
    n.grad = tensor_data(pg);
    n.weight = data_of(pw);
    n.mean = tensor_data(pm);
    n.var = tensor_data(pv);
    n.out = tensor_data(gx);
    bool rows = n.each || (!weight && !weights && by_row(l));
    good = back(&n, d, tensor_device(gx), fixed, rows, weights, gw, gb);
  }
  tensor_release(pv);
  tensor_release(pm);
  tensor_release(pw);
  tensor_release(pg);
  tensor_release(px);
  return good;
}
