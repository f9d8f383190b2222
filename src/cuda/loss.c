/* Losses of tensors on a device: operands brought to one shape and dtype, sums and what a mean divides by left on the
 * device, so that nothing waits. */
#include "cuda/loss.h"
#include "cuda/driver.h"

static DType lane_of(const Tensor *t) { return t->dtype == MT_F64 ? MT_F64 : MT_F32; }
static void *data_of(const Tensor *t) { return t ? tensor_data(t) : NULL; }
static bool on_host(const Tensor *t) { return t && tensor_device(t).kind == MT_CPU; }

/* Sums over the last dim of packed float64 (rows, n) into out. */
static bool sum_rows(const double *x, int64_t rows, int64_t n, Tensor *out) {
  int64_t shape[] = {rows, n}, stride[] = {n, 1};
  return cuda_reduce_memory(x, MT_F64, 2, shape, stride, (bool[]){false, true},
                            (Reduction){.fold = FOLD_SUM, .as = MT_F64}, out, NULL);
}

/* ---- pairs ---- */

/* t as packed elements of d, broadcast to out's place; owned. NULL stays NULL. */
static Tensor *spread(Tensor *t, DType d, int ndim, const int64_t *shape, Device device) {
  Tensor want = {.ndim = (uint8_t)ndim};
  if (!t) return NULL;
  for (int k = 0; k < ndim; k++) want.shape[k] = shape[k];
  if (tensor_same_shape(t, &want)) return cuda_packed(t, d);
  Tensor *to = tensor_new(d, ndim, shape, device);
  if (to && !cuda_copy(to, t)) {
    tensor_release(to);
    return NULL;
  }
  return to;
}

static bool run_pairs(PairRun *r, DType d, LossReduction reduction, Tensor *out) {
  Device device = tensor_device(out);
  int64_t blocks = (r->n + 4095) / 4096;
  r->blocks = (int)(blocks < 1 ? 1 : blocks > LOSS_BLOCKS ? LOSS_BLOCKS : blocks);
  r->scale = reduction == LOSS_MEAN ? 1 / (double)r->n : 1;
  Tensor *partial = r->out ? NULL : tensor_new(MT_F64, 1, (int64_t[]){r->blocks}, device);
  if (!r->out && !partial) return false;
  r->partial = data_of(partial);
  bool good = (r->kind != PAIR_BCE || fault_place(device.index, &r->fault)) && driver_use(device.index) &&
              driver_launched(cuda_launch_pair_loss(d, r, driver_stream(device.index)), "a loss") &&
              (r->out || sum_rows(r->partial, 1, r->blocks, out));
  tensor_release(partial);
  return good;
}

bool cuda_pair_loss(PairLoss kind, DType compute, int ndim, const int64_t *shape, Tensor *x, Tensor *t, Tensor *weight,
                    Tensor *positive, double a, LossReduction reduction, Tensor *out) {
  Device device = tensor_device(out);
  bool each = reduction == LOSS_NONE;
  if (on_host(x) || on_host(t) || on_host(weight) || on_host(positive)) return left_to_host(); /* 0-dim ones */
  Tensor *px = spread(x, compute, ndim, shape, device), *pt = px ? spread(t, compute, ndim, shape, device) : NULL;
  Tensor *pw = pt ? spread(weight, compute, ndim, shape, device) : NULL;
  Tensor *pp = pt ? spread(positive, compute, ndim, shape, device) : NULL, *to = NULL;
  bool good = pt && (pw || !weight) && (pp || !positive);
  if (good && each)
    good = (to = out->dtype == compute ? tensor_retain(out) : tensor_new(compute, ndim, shape, device)) != NULL;
  if (good) {
    PairRun r = {.x = tensor_data(px),
                 .t = tensor_data(pt),
                 .w = data_of(pw),
                 .positive = data_of(pp),
                 .out = data_of(to),
                 .n = px->numel,
                 .a = a,
                 .kind = kind};
    good = run_pairs(&r, compute, reduction, out) && (!each || to == out || cuda_copy(out, to));
  }
  tensor_release(to);
  tensor_release(pp);
  tensor_release(pw);
  tensor_release(pt);
  tensor_release(px);
  return good;
}

/* ---- labels ---- */

typedef struct {
  LabelRun r;
  DType dtype; /* of x or out */
  Device device;
  Tensor *x, *target, *weight, *value, *total, *spread;
} Labels;

static void labels_close(Labels *l) {
  tensor_release(l->spread);
  tensor_release(l->total);
  tensor_release(l->value);
  tensor_release(l->weight);
  tensor_release(l->target);
  tensor_release(l->x);
}

static bool labels_open(Labels *l, const ClassLoss *loss, Tensor *out) {
  int dim = loss->ndim > 1 ? 1 : 0;
  *l = (Labels){.dtype = (DType)out->dtype, .device = tensor_device(out)};
  l->r = (LabelRun){.outer = dim ? loss->shape[0] : 1,
                    .classes = loss->shape[dim],
                    .inner = 1,
                    .ignore = loss->ignore,
                    .smoothing = loss->smoothing,
                    .reduction = loss->reduction,
                    .out = tensor_data(out)};
  for (int d = 2; d < loss->ndim; d++) l->r.inner *= loss->shape[d];
  if (on_host(loss->target) || on_host(loss->weight)) return left_to_host(); /* one 0-dim label */
  DType lane = lane_of(out);
  int64_t labels = l->r.outer * l->r.inner;
  bool good = (l->target = cuda_packed(loss->target, MT_I64)) &&
              (!loss->weight || (l->weight = cuda_packed(loss->weight, lane))) &&
              (!loss->input || (l->x = cuda_packed(loss->input, l->dtype))) &&
              (l->value = tensor_new(MT_F64, 2, (int64_t[]){2, labels}, l->device)) &&
              (l->total = tensor_new(MT_F64, 1, (int64_t[]){2}, l->device)) &&
              fault_place(l->device.index, &l->r.fault);
  if (good && l->weight && loss->smoothing > 0) {
    int64_t stride = 1;
    good = (l->spread = tensor_new(MT_F64, 0, NULL, l->device)) &&
           cuda_reduce_memory(tensor_data(l->weight), lane, 1, &l->r.classes, &stride, (bool[]){true},
                              (Reduction){.fold = FOLD_SUM, .as = lane}, l->spread, NULL);
  }
  if (!good) return labels_close(l), false;
  fault_shape(l->device.index, l->r.fault, loss->target);
  l->r.label = (const int64_t *)(void *)tensor_data(l->target);
  l->r.weight = data_of(l->weight);
  l->r.x = data_of(l->x);
  l->r.value = (double *)(void *)tensor_data(l->value);
  l->r.total = (const double *)(void *)tensor_data(l->total);
  l->r.spread = data_of(l->spread);
  return true;
}

static bool launch(int (*fn)(int, const LabelRun *, void *), const Labels *l) {
  return driver_use(l->device.index) &&
         driver_launched(fn(l->dtype, &l->r, driver_stream(l->device.index)), "a loss of labels");
}
static bool sum_values(Labels *l) { return sum_rows(l->r.value, 2, l->r.outer * l->r.inner, l->total); }

bool cuda_class_loss(const ClassLoss *loss, Tensor *out, Tensor *log_sum) {
  Labels l;
  if (!labels_open(&l, loss, out)) return false;
  l.r.log_sum = data_of(log_sum);
  bool good = launch(cuda_launch_label_values, &l) &&
              (loss->reduction == LOSS_NONE || (sum_values(&l) && launch(cuda_launch_label_finish, &l)));
  labels_close(&l);
  return good;
}

/* What a mean divides by, into total. */
static bool find_total(Labels *l) {
  if (l->r.reduction != LOSS_MEAN) return true;
  return cuda_fill(l->value, scalar_int(0)) && launch(cuda_launch_label_weights, l) && sum_values(l);
}

bool cuda_cross_entropy_back(const ClassLoss *loss, Tensor *gy, Tensor *log_sum, Tensor *out) {
  Labels l;
  if (out->numel == 0) return true;
  if (on_host(gy)) return left_to_host();
  if (!labels_open(&l, loss, out)) return false;
  DType d = gy->dtype == MT_F64 ? MT_F64 : l.dtype;
  Tensor *packed = cuda_packed(gy, d);
  l.r.gy = data_of(packed);
  l.r.wide = d == MT_F64;
  l.r.log_sum = data_of(log_sum);
  bool good = packed && find_total(&l) && launch(cuda_launch_label_back, &l);
  tensor_release(packed);
  labels_close(&l);
  return good;
}

bool cuda_class_weights(const ClassLoss *loss, Tensor *out) {
  Labels l;
  if (out->numel == 0) return true;
  if (!labels_open(&l, loss, out)) return false;
  bool good = find_total(&l) && launch(cuda_launch_class_weights, &l);
  labels_close(&l);
  return good;
}
