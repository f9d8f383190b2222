/* Losses on tensors: operands are brought to packed elements of one dtype, classes to rows, and sums are taken in an order
 * that depends on the shapes alone. */
#include "cpu/loss.h"
#include "base/alloc.h"
#include "base/pool.h"
#include "cpu/copy_tensor.h"
#include "cpu/kernels.h"
#include "cpu/reduce.h"
#include "tensor/core_api.h"
#include "tensor/shape.h"
#include <math.h>
#include <string.h>

enum { CHUNK = 16384 };

/* ---- pairs ---- */

typedef struct {
  PairFn run;
  const char *x, *t, *w, *positive;
  char *out;
  double a, *sum;
  int size;
} PairJob;

static const char *element(const char *p, int64_t at, int size) { return p ? p + at * size : NULL; }

static void pair_chunks(void *context, int64_t begin, int64_t end) {
  const PairJob *j = context;
  for (int64_t at = begin; at < end; at += CHUNK) {
    int64_t n = end - at < CHUNK ? end - at : CHUNK;
    double sum = j->run(element(j->x, at, j->size), element(j->t, at, j->size), element(j->w, at, j->size),
                        element(j->positive, at, j->size), j->a, (char *)element(j->out, at, j->size), n);
    if (!j->out) j->sum[at / CHUNK] = sum;
  }
}

/* t as packed elements of d, broadcast to the shape; owned. NULL stays NULL. */
static Tensor *spread(Tensor *t, DType d, int ndim, const int64_t *shape) {
  if (!t) return NULL;
  if (t->ndim == ndim && memcmp(t->shape, shape, sizeof(int64_t) * (size_t)ndim) == 0) return tensor_packed(t, d);
  Tensor *to = tensor_new(d, ndim, shape, tensor_device(t));
  if (to) tensor_copy_into(to, t);
  return to;
}

bool probability_fail(double value, int64_t element, bool input) {
  return fail(MT_EARG, "all elements of %s should be between 0 and 1: element %lld is %g%s", input ? "input" : "target",
              (long long)element, value,
              input ? ". For logits use BCEWithLogitsLoss (binary_cross_entropy_with_logits)" : "");
}

static bool within_one(const LossTable *table, bool wide, Tensor *t, bool input) {
  int64_t at = table->outside[wide](tensor_data(t), t->numel);
  if (at == t->numel) return true;
  double value = scalar_load((DType)t->dtype, tensor_data(t) + at * dtype_size((DType)t->dtype)).d;
  return probability_fail(value, at + 1, input);
}

bool cpu_pair_loss(PairLoss kind, DType compute, int ndim, const int64_t *shape, Tensor *x, Tensor *t, Tensor *weight,
                   Tensor *positive, double a, LossReduction reduction, Tensor *out) {
  const LossTable *table = VEC_PICK(loss_table);
  bool wide = compute == MT_F64, each = reduction == LOSS_NONE;
  Tensor *px = spread(x, compute, ndim, shape), *pt = spread(t, compute, ndim, shape), *to = NULL;
  Tensor *pw = spread(weight, compute, ndim, shape), *pp = spread(positive, compute, ndim, shape);
  double few[16], *sum = few;
  int64_t n = px ? px->numel : 0, chunks = (n + CHUNK - 1) / CHUNK;
  bool good = px && pt && (pw || !weight) && (pp || !positive);
  if (good && kind == PAIR_BCE) good = within_one(table, wide, px, true) && within_one(table, wide, pt, false);
  if (good && each)
    good = (to = out->dtype == compute ? tensor_retain(out) : tensor_new(compute, ndim, shape, tensor_device(out)));
  if (good && !each && chunks > 16) good = (sum = mem_alloc((size_t)chunks * sizeof *sum));
  if (good) {
    PairJob job = {table->pair[kind][wide],
                   tensor_data(px),
                   tensor_data(pt),
                   pw ? tensor_data(pw) : NULL,
                   pp ? tensor_data(pp) : NULL,
                   each ? tensor_data(to) : NULL,
                   a,
                   sum,
                   dtype_size(compute)};
    if (chunks <= 2)
      pair_chunks(&job, 0, n);
    else
      parallel_for(n, CHUNK, pair_chunks, &job);
    double total = 0;
    for (int64_t i = 0; !each && i < chunks; i++) total += sum[i];
    if (!each)
      scalar_store(scalar_float(reduction == LOSS_MEAN ? total / (double)n : total), (DType)out->dtype,
                   tensor_data(out));
    else if (to != out)
      tensor_copy_into(out, to);
  }
  if (sum != few) mem_free(sum);
  tensor_release(to);
  tensor_release(pp);
  tensor_release(pw);
  tensor_release(pt);
  tensor_release(px);
  return good;
}

/* ---- classes ---- */

static int class_dim(int ndim) { return ndim > 1 ? 1 : 0; }
static DType lane_of(const Tensor *t) { return t->dtype == MT_F64 ? MT_F64 : MT_F32; }

/* A view of t with the classes last; owned. */
static Tensor *classes_last(const Tensor *t) {
  Tensor *v = tensor_alias(t);
  int dim = class_dim(t->ndim), last = t->ndim - 1;
  if (!v || dim == last) return v;
  int64_t size = v->shape[dim], stride = v->stride[dim];
  for (int d = dim; d < last; d++) {
    v->shape[d] = v->shape[d + 1];
    v->stride[d] = v->stride[d + 1];
  }
  v->shape[last] = size;
  v->stride[last] = stride;
  return v;
}

/* Rows of classes, packed, of dtype d; owned. */
static Tensor *class_rows(const Tensor *t, DType d) {
  Tensor *v = classes_last(t), *rows = v ? tensor_packed(v, d) : NULL;
  tensor_release(v);
  return rows;
}

/* Memory for rows that become out: out's own where they are laid out alike. */
static Tensor *rows_for(Tensor *out, DType d) {
  if (out->dtype == d && out->ndim <= 2) return tensor_retain(out);
  Tensor *v = classes_last(out), *rows = v ? tensor_new(d, v->ndim, v->shape, tensor_device(out)) : NULL;
  tensor_release(v);
  return rows;
}
static bool rows_done(Tensor *out, Tensor *rows) {
  if (rows == out) return true;
  Tensor *v = classes_last(out);
  if (v) tensor_copy_into(v, rows);
  tensor_release(v);
  return v != NULL;
}

/* What all class kernels read: checked labels from 1, weights, their sum over the labels that count. */
typedef struct {
  Tensor *target, *weight; /* int64; lane dtype, NULL for ones */
  const int64_t *label;
  int64_t count, classes, ignore;
  double total, spread; /* sum of the labels' weights; of all classes' weights */
} Labels;

static double weight_of(const Labels *l, int64_t label) {
  if (!l->weight) return 1;
  return scalar_load((DType)l->weight->dtype,
                     tensor_data(l->weight) + (label - 1) * dtype_size((DType)l->weight->dtype))
      .d;
}

static void labels_close(Labels *l) {
  tensor_release(l->target);
  tensor_release(l->weight);
}

bool label_fail(int64_t value, int64_t label, int ndim, const int64_t *shape, int64_t classes) {
  return fail(MT_EINDEX, "Target %lld is out of bounds: label %lld of the target of shape %s, for %lld classes.%s",
              (long long)value, (long long)label, shape_text(ndim, shape), (long long)classes,
              value == 0  ? " Labels count from 1 in Lua: use target + 1"
              : value > 0 ? " Labels count from 1 to the number of classes"
                          : "");
}

static bool labels_open(Labels *l, const ClassLoss *loss, DType lane) {
  *l = (Labels){.target = tensor_packed(loss->target, MT_I64),
                .classes = loss->shape[class_dim(loss->ndim)],
                .ignore = loss->ignore};
  if (l->target && loss->weight) l->weight = tensor_packed(loss->weight, lane);
  if (!l->target || (loss->weight && !l->weight)) return labels_close(l), false;
  l->label = (const int64_t *)tensor_data(l->target);
  l->count = l->target->numel;
  for (int64_t i = 0; i < l->count; i++) {
    int64_t v = l->label[i];
    if (v == l->ignore) continue;
    if (v < 1 || v > l->classes) {
      label_fail(v, i + 1, loss->target->ndim, loss->target->shape, l->classes);
      return labels_close(l), false;
    }
    l->total += weight_of(l, v);
  }
  for (int64_t k = 1; k <= l->classes; k++) l->spread += weight_of(l, k);
  return true;
}

/* What the loss of label i is multiplied by, besides the class weights: 1 / total for a mean. */
static double share(const ClassLoss *loss, const Labels *l) { return loss->reduction == LOSS_MEAN ? 1 / l->total : 1; }

typedef struct {
  const ClassLoss *loss;
  const Labels *labels;
  const LossTable *table;
  bool wide;
  const char *x, *gy;
  char *out;
  double *log_sum, share;
  DType gy_dtype;
  int size;
} ClassJob;

static double class_at(const ClassJob *j, int64_t row, int64_t k) {
  int64_t at = row * j->labels->classes + k;
  return j->wide ? ((const double *)j->x)[at] : ((const float *)j->x)[at];
}
static void class_put(const ClassJob *j, int64_t row, int64_t k, double v, bool add) {
  int64_t at = row * j->labels->classes + k;
  if (j->wide)
    ((double *)j->out)[at] = add ? ((double *)j->out)[at] + v : v;
  else
    ((float *)j->out)[at] = (float)(add ? ((float *)j->out)[at] + v : v);
}

static void log_sums(void *context, int64_t begin, int64_t end) {
  const ClassJob *j = context;
  int64_t row = j->labels->classes * j->size;
  for (int64_t i = begin; i < end; i++) j->log_sum[i] = j->table->log_sum[j->wide](j->x + i * row, j->labels->classes);
}

/* Loss of one label; log_sum 0 when the input holds log-probabilities. */
static double loss_of(const ClassJob *j, int64_t i, double log_sum) {
  const Labels *l = j->labels;
  double smoothing = j->loss->smoothing, each = 0;
  if (l->label[i] == l->ignore) return 0;
  double value = weight_of(l, l->label[i]) * (log_sum - class_at(j, i, l->label[i] - 1));
  if (smoothing == 0) return value;
  for (int64_t k = 0; k < l->classes; k++) each += weight_of(l, k + 1) * (log_sum - class_at(j, i, k));
  return (1 - smoothing) * value + smoothing / (double)l->classes * each;
}

static void by_rows(PoolBody body, ClassJob *job) {
  int64_t each = job->labels->classes > 0 ? job->labels->classes : 1, grain = CHUNK / each + 1;
  if (job->labels->count <= 2 * grain)
    body(job, 0, job->labels->count);
  else
    parallel_for(job->labels->count, grain, body, job);
}

bool cpu_class_loss(const ClassLoss *loss, Tensor *out, Tensor *log_sum) {
  DType lane = lane_of(loss->input);
  Labels l;
  if (!labels_open(&l, loss, lane)) return false;
  Tensor *rows = class_rows(loss->input, lane);
  if (rows) {
    ClassJob job = {.loss = loss,
                    .labels = &l,
                    .table = VEC_PICK(loss_table),
                    .wide = lane == MT_F64,
                    .x = tensor_data(rows),
                    .log_sum = log_sum ? (double *)tensor_data(log_sum) : NULL,
                    .size = dtype_size(lane)};
    double sum = 0;
    if (log_sum) by_rows(log_sums, &job);
    for (int64_t i = 0; i < l.count; i++) {
      double value = loss_of(&job, i, log_sum ? job.log_sum[i] : 0);
      sum += value;
      if (loss->reduction == LOSS_NONE)
        scalar_store(scalar_float(value), (DType)out->dtype, tensor_data(out) + i * dtype_size((DType)out->dtype));
    }
    if (loss->reduction == LOSS_MEAN) sum /= l.total;
    if (loss->reduction != LOSS_NONE) scalar_store(scalar_float(sum), (DType)out->dtype, tensor_data(out));
  }
  tensor_release(rows);
  labels_close(&l);
  return rows != NULL;
}

/* d loss / d x_c = gy (p_c sum(q) - q_c), where q are the class weights of the label (see cpu_class_weights). */
static void back_rows(void *context, int64_t begin, int64_t end) {
  const ClassJob *j = context;
  const Labels *l = j->labels;
  double smoothing = j->loss->smoothing, spread = smoothing / (double)l->classes;
  for (int64_t i = begin; i < end; i++) {
    char *out = j->out + i * l->classes * j->size;
    int64_t label = l->label[i];
    if (label == l->ignore) {
      memset(out, 0, (size_t)(l->classes * j->size));
      continue;
    }
    int64_t at = j->loss->reduction == LOSS_NONE ? i : 0;
    double gy = scalar_load(j->gy_dtype, j->gy + at * dtype_size(j->gy_dtype)).d * j->share;
    double own = (1 - smoothing) * weight_of(l, label);
    j->table->back[j->wide](j->x + i * l->classes * j->size, out, l->classes, j->log_sum[i],
                            gy * (own + spread * l->spread));
    class_put(j, i, label - 1, -gy * own, true);
    for (int64_t k = 0; smoothing > 0 && k < l->classes; k++)
      class_put(j, i, k, -gy * spread * weight_of(l, k + 1), true);
  }
}

bool cpu_cross_entropy_back(const ClassLoss *loss, Tensor *gy, Tensor *log_sum, Tensor *out) {
  DType lane = lane_of(loss->input);
  Labels l;
  if (!labels_open(&l, loss, lane)) return false;
  Tensor *rows = class_rows(loss->input, lane), *to = rows ? rows_for(out, lane) : NULL;
  Tensor *packed = to ? tensor_packed(gy, (DType)gy->dtype) : NULL;
  if (packed) {
    ClassJob job = {.loss = loss,
                    .labels = &l,
                    .table = VEC_PICK(loss_table),
                    .wide = lane == MT_F64,
                    .x = tensor_data(rows),
                    .gy = tensor_data(packed),
                    .gy_dtype = (DType)gy->dtype,
                    .out = tensor_data(to),
                    .share = share(loss, &l),
                    .log_sum = (double *)tensor_data(log_sum),
                    .size = dtype_size(lane)};
    by_rows(back_rows, &job);
  }
  bool good = packed && rows_done(out, to);
  tensor_release(packed);
  tensor_release(to);
  tensor_release(rows);
  labels_close(&l);
  return good;
}

bool cpu_class_weights(const ClassLoss *loss, Tensor *out) {
  DType lane = lane_of(out);
  Labels l;
  if (!labels_open(&l, loss, lane)) return false;
  Tensor *to = rows_for(out, lane);
  if (to) {
    ClassJob job = {.labels = &l, .wide = lane == MT_F64, .out = tensor_data(to)};
    double part = share(loss, &l), spread = loss->smoothing / (double)l.classes;
    memset(job.out, 0, (size_t)tensor_bytes(to));
    for (int64_t i = 0; i < l.count; i++) {
      if (l.label[i] == l.ignore) continue;
      for (int64_t k = 0; spread > 0 && k < l.classes; k++)
        class_put(&job, i, k, part * spread * weight_of(&l, k + 1), false);
      class_put(&job, i, l.label[i] - 1, part * (1 - loss->smoothing) * weight_of(&l, l.label[i]), true);
    }
  }
  bool good = to && rows_done(out, to);
  tensor_release(to);
  labels_close(&l);
  return good;
}
