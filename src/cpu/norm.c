/* Normalisation on tensors: moments by the reductions, then runs of elements that share mean, variance and weight.
 *
 * How work is cut, and so every sum's order, depends on the layout alone. 16-bit floats go through float. */
#include "cpu/norm.h"
#include "base/alloc.h"
#include "base/pool.h"
#include "cpu/copy_tensor.h"
#include "cpu/reduce.h"
#include <math.h>
#include <string.h>

enum { UNIT = 16384, SHARES = 16, LONG_ROW = 1 << 16, TOGETHER = 8 };

static DType lane_of(const Tensor *t) { return t->dtype == MT_F64 ? MT_F64 : MT_F32; }

/* Batch norm of (N, C): channels are columns. Gradients are taken of rows into which they are copied first. */
static bool is_columns(const NormLayout *l) { return l->inner == 1 && l->outer > 1 && l->run == 1; }

static Tensor *reshaped(const Tensor *t, int ndim, const int64_t *shape, const int64_t *stride) {
  Tensor *v = tensor_alias(t);
  if (!v) return NULL;
  v->ndim = (uint8_t)ndim;
  for (int d = 0; d < ndim; d++) {
    v->shape[d] = shape[d];
    v->stride[d] = stride[d];
  }
  return v;
}
static Tensor *as_rows(const NormLayout *l, const Tensor *t) {
  return reshaped(t, 2, (int64_t[]){l->groups, l->outer}, (int64_t[]){1, l->groups});
}

/* t's elements as the kernels want them: packed, of the lane's dtype, a group in one piece; owned. */
static Tensor *ready(const NormLayout *l, Tensor *t, DType lane) {
  Tensor *packed = tensor_packed(t, lane);
  if (!packed || !is_columns(l)) return packed;
  Tensor *rows = as_rows(l, packed), *moved = rows ? tensor_packed(rows, lane) : NULL;
  tensor_release(rows);
  tensor_release(packed);
  return moved;
}
/* Memory for a result, and bringing it to its place. */
static Tensor *room(const NormLayout *l, Tensor *out, DType lane) {
  if (out->dtype == lane && !is_columns(l)) return tensor_retain(out);
  return is_columns(l) ? tensor_new(lane, 2, (int64_t[]){l->groups, l->outer}, tensor_device(out))
                       : tensor_new(lane, out->ndim, out->shape, tensor_device(out));
}
static bool settle(const NormLayout *l, Tensor *out, Tensor *from) {
  if (from == out) return true;
  Tensor *to = is_columns(l) ? as_rows(l, out) : tensor_retain(out);
  bool good = to && tensor_copy_into(to, from);
  tensor_release(to);
  return good;
}
static NormLayout turned(const NormLayout *l) {
  return is_columns(l) ? (NormLayout){1, l->groups, l->outer, l->channels, l->outer, false} : *l;
}

typedef struct {
  NormLayout l;
  const NormTable *table;
  bool wide, fixed;
  int size;
  const char *x, *grad, *weight, *bias, *mean, *var;
  char *out, *sums;         /* sums: of a few rows, two for each channel and share */
  double eps, *sum, *share; /* two for each run of a group; two for each channel and share */
  int64_t shares;
  int64_t runs, length;     /* runs of one weight in a group's row, and their length; `each`: one run */
  bool each;                /* weight and bias run along the row */
  bool weights;             /* their gradients are asked for */
  char *own_mean, *own_var; /* moments that apply_groups finds first, else NULL */
} Job;

static const char *at(const char *p, int64_t i, int size) { return p ? p + i * size : NULL; }
static double number(const Job *j, const char *p, int64_t i) {
  return j->wide ? ((const double *)(const void *)p)[i] : (double)((const float *)(const void *)p)[i];
}

/* Rows of group g: how many, and where row r starts in the flat order. */
static NormRun run_of(const Job *j, int64_t g, int64_t r, int64_t k) {
  int64_t first = (r * j->l.groups + g) * j->l.inner + k * j->length;
  int64_t channel = j->each ? 0 : first / j->l.run % j->l.channels;
  return (NormRun){.x = at(j->x, first, j->size),
                   .grad = at(j->grad, first, j->size),
                   .weight = at(j->weight, channel, j->size),
                   .bias = at(j->bias, channel, j->size),
                   .out = j->out ? j->out + first * j->size : NULL,
                   .n = j->length,
                   .each = j->each,
                   .mean = number(j, j->mean, g),
                   .rstd = 1 / sqrt(number(j, j->var, g) + j->eps)};
}

static void set_number(const Job *j, char *p, int64_t i, double v) {
  if (j->wide)
    ((double *)(void *)p)[i] = v;
  else
    ((float *)(void *)p)[i] = (float)v;
}

/* Rows so short that several are best taken side by side. */
static bool is_short(const Job *j) {
  return !j->l.raw && j->l.outer == 1 && j->l.inner <= NORM_SHORT_ROW && (j->each || (!j->weight && !j->bias));
}
static NormShort short_of(const Job *j) {
  return (NormShort){j->x,           j->grad,    j->weight, j->bias, j->out, (char *)j->mean,
                     (char *)j->var, j->l.inner, j->eps,    j->fixed};
}
static void apply_short(void *context, int64_t begin, int64_t end) {
  const Job *j = context;
  NormShort s = short_of(j);
  j->table->short_rows[j->wide](&s, begin, end);
}

/* Of one group in a row. */
static void moments_of(const Job *j, const char *x, double *mean, double *var) {
  if (!j->l.raw) {
    j->table->moments[j->wide](x, j->l.inner, mean, var);
    return;
  }
  NormRun run = {.x = x, .grad = x, .n = j->l.inner, .mean = 0, .rstd = 1};
  double sum[2] = {0, 0};
  j->table->sums[j->wide](&run, sum);
  *mean = 0;
  *var = sum[1] / (double)j->l.inner;
}

static void apply_groups(void *context, int64_t begin, int64_t end) {
  const Job *j = context;
  for (int64_t g = begin; g < end; g++) {
    if (j->own_mean) {
      double mean, var;
      moments_of(j, at(j->x, g * j->l.inner, j->size), &mean, &var);
      set_number(j, j->own_mean, g, mean);
      set_number(j, j->own_var, g, var);
    }
    for (int64_t r = 0; r < j->l.outer; r++)
      for (int64_t k = 0; k < j->runs; k++) {
        NormRun run = run_of(j, g, r, k);
        j->table->apply[j->wide](&run);
      }
  }
}

/* Sums over a group, then its elements. A run's own sums are kept for the gradients of weight and bias. */
static void back_groups(void *context, int64_t begin, int64_t end) {
  const Job *j = context;
  double count = (double)j->l.outer * (double)j->l.inner;
  for (int64_t g = begin; g < end; g++) {
    double total[2] = {0, 0};
    for (int64_t k = 0; k < j->runs; k++) {
      double *sum = j->sum + 2 * (g * j->runs + k), weight = 1;
      sum[0] = sum[1] = 0;
      for (int64_t r = 0; r < j->l.outer; r++) {
        NormRun run = run_of(j, g, r, k);
        j->table->sums[j->wide](&run, sum);
        if (run.weight && !j->each) weight = number(j, run.weight, 0);
      }
      total[0] += weight * sum[0];
      total[1] += weight * sum[1];
    }
    for (int64_t r = 0; r < j->l.outer; r++)
      for (int64_t k = 0; k < j->runs; k++) {
        NormRun run = run_of(j, g, r, k);
        j->table->back[j->wide](&run, j->fixed || j->l.raw ? 0 : total[0] / count, j->fixed ? 0 : total[1] / count);
      }
  }
}

/* The same where weight and bias run along the row: a share of the groups has sums of its own for every channel, of
 * TOGETHER rows in the element's type, then in double. */
static void back_shares(void *context, int64_t begin, int64_t end) {
  const Job *j = context;
  double count = (double)j->l.inner;
  NormShort brief = short_of(j);
  for (int64_t s = begin; s < end; s++) {
    double *share = j->share + 2 * s * j->l.channels;
    memset(share, 0, 2 * sizeof *share * (size_t)j->l.channels);
    int64_t first = j->l.groups * s / j->shares, last = j->l.groups * (s + 1) / j->shares;
    if (is_short(j)) {
      j->table->short_back[j->wide](&brief, first, last, j->weights ? share : NULL, share + j->l.channels);
      continue;
    }
    void *sums = j->sums + s * 2 * j->l.channels * j->size, *shifts = (char *)sums + j->l.channels * j->size;
    if (j->weights) memset(sums, 0, (size_t)(2 * j->l.channels * j->size));
    for (int64_t g = first; g < last; g++) {
      NormRun run = run_of(j, g, 0, 0);
      double sum[2] = {0, 0};
      if (!j->fixed) j->table->sums[j->wide](&run, sum);
      if (j->l.raw) sum[0] = 0;
      if (!j->weights) {
        j->table->back[j->wide](&run, sum[0] / count, sum[1] / count);
        continue;
      }
      j->table->back_gather[j->wide](&run, sum[0] / count, sum[1] / count, sums, shifts);
      if ((g - first) % TOGETHER != TOGETHER - 1 && g + 1 < last) continue;
      j->table->settle[j->wide](sums, share, j->l.channels);
      j->table->settle[j->wide](shifts, share + j->l.channels, j->l.channels);
    }
  }
}

static void spread(const Job *j, PoolBody body) {
  int64_t each = j->l.outer * j->l.inner, grain = each >= UNIT || each == 0 ? 1 : UNIT / each;
  if (j->l.groups <= grain)
    body((void *)j, 0, j->l.groups);
  else
    parallel_for(j->l.groups, grain, body, (void *)j);
}

static Job job_of(const NormLayout *l, DType lane, double eps, bool fixed) {
  Job j = {.l = turned(l),
           .table = VEC_PICK(norm_table),
           .wide = lane == MT_F64,
           .size = dtype_size(lane),
           .eps = eps,
           .fixed = fixed};
  j.each = j.l.run == 1 && j.l.channels == j.l.inner && j.l.outer == 1 && j.l.channels > 1;
  j.length = j.each || j.l.inner < j.l.run ? j.l.inner : j.l.run;
  j.runs = j.length > 0 ? j.l.inner / j.length : 0;
  return j;
}

/* Mean and variance of each group of x, which is as `ready` made it. */
static bool moments(const Job *j, Tensor *x, Tensor *mean, Tensor *var) {
  int64_t shape[] = {j->l.outer, j->l.groups, j->l.inner}, stride[] = {j->l.groups * j->l.inner, j->l.inner, 1};
  Tensor *v = reshaped(x, 3, shape, stride);
  Reduction how = {FOLD_MOMENTS, FINISH_VAR, 0, (DType)x->dtype};
  bool good = v && cpu_reduce(v, (bool[MT_MAX_DIMS]){true, false, true}, how, var, mean);
  tensor_release(v);
  return good;
}

static void apply_rows(void *context, int64_t begin, int64_t end) {
  const Job *j = context;
  int64_t n = j->l.groups, bytes = n * j->size;
  const char *scale = (const char *)j->sum, *shift = scale + bytes;
  for (int64_t i = begin; i < end; i++)
    j->table->columns[j->wide](j->x + i * bytes, j->mean, scale, shift, j->out + i * bytes, n);
}

/* Columns where they lie: moments by the reductions, then row after row. */
static bool norm_columns(Job *j, Tensor *x, Tensor *weight, Tensor *bias, Tensor *to, Tensor *mean, Tensor *var) {
  int64_t n = j->l.groups;
  size_t bytes = (size_t)(2 * n) * sizeof(double);
  if (!j->fixed && !moments(j, x, mean, var)) return false;
  if (to->numel == 0) return true;
  if (!(j->sum = block_alloc(bytes))) return false;
  j->x = tensor_data(x);
  j->mean = tensor_data(mean);
  j->out = tensor_data(to);
  char *scale = (char *)j->sum, *shift = scale + n * j->size;
  for (int64_t c = 0; c < n; c++) {
    double rstd = 1 / sqrt(number(j, tensor_data(var), c) + j->eps);
    double w = weight ? number(j, tensor_data(weight), c) : 1;
    set_number(j, scale, c, j->wide ? rstd * w : (double)((float)rstd * (float)w));
    set_number(j, shift, c, bias ? number(j, tensor_data(bias), c) : 0);
  }
  parallel_for(j->l.outer, n >= UNIT ? 1 : UNIT / n, apply_rows, j);
  block_free(j->sum, bytes);
  return true;
}

bool cpu_norm(const NormLayout *l, Tensor *x, Tensor *weight, Tensor *bias, double eps, bool fixed, Tensor *out,
              Tensor *mean, Tensor *var) {
  DType lane = lane_of(x);
  Job j = job_of(l, lane, eps, fixed);
  bool columns = is_columns(l);
  Tensor *px = tensor_packed(x, lane), *pw = weight ? tensor_packed(weight, lane) : NULL,
         *pb = bias ? tensor_packed(bias, lane) : NULL,
         *to = out->dtype == lane ? tensor_retain(out) : tensor_new(lane, out->ndim, out->shape, tensor_device(out));
  if (columns) {
    bool done = px && (pw || !weight) && (pb || !bias) && to;
    j.l = *l;
    done = done && norm_columns(&j, px, pw, pb, to, mean, var) && (to == out || tensor_copy_into(out, to));
    tensor_release(to);
    tensor_release(pb);
    tensor_release(pw);
    tensor_release(px);
    return done;
  }
  /* a long row is shared among threads, one that stays in cache is read again at once */
  bool alone = !fixed && j.l.outer == 1 && (j.l.inner <= LONG_ROW || l->raw) && out->numel > 0;
  bool good = px && (pw || !weight) && (pb || !bias) && to && (fixed || alone || l->raw || moments(&j, px, mean, var));
  if (good && out->numel > 0) {
    j.x = tensor_data(px);
    j.weight = pw ? tensor_data(pw) : NULL;
    j.bias = pb ? tensor_data(pb) : NULL;
    if (!pw && !pb) j.each = false; /* nothing runs along the row */
    j.mean = tensor_data(mean);
    j.var = tensor_data(var);
    j.out = tensor_data(to);
    if (alone) j.own_mean = tensor_data(mean), j.own_var = tensor_data(var);
    if (alone && is_short(&j))
      parallel_for(j.l.groups, UNIT / NORM_SHORT_ROW, apply_short, &j);
    else
      spread(&j, apply_groups);
    good = settle(l, out, to);
  }
  tensor_release(to);
  tensor_release(pb);
  tensor_release(pw);
  tensor_release(px);
  return good;
}

static void store(Tensor *t, int64_t i, double v) {
  scalar_store(scalar_float(v), (DType)t->dtype, tensor_data(t) + i * dtype_size((DType)t->dtype));
}

/* Sums of the channels' gradients, from the shares or from the runs. */
static void finish_weights(const Job *j, Tensor *gw, Tensor *gb) {
  int64_t channels = j->l.channels;
  for (int64_t s = 1; j->each && s < j->shares; s++)
    for (int64_t c = 0; c < 2 * channels; c++) j->share[c] += j->share[2 * s * channels + c];
  for (int64_t c = 0; c < channels; c++) {
    double w = 0, b = 0;
    if (j->each) w = j->share[c], b = j->share[channels + c];
    for (int64_t r = 0; !j->each && r < j->l.groups * j->runs / channels; r++) {
      w += j->sum[2 * (r * channels + c) + 1];
      b += j->sum[2 * (r * channels + c)];
    }
    store(gw, c, w);
    store(gb, c, b);
  }
}

bool cpu_norm_back(const NormLayout *l, Tensor *grad, Tensor *x, Tensor *weight, Tensor *mean, Tensor *var, double eps,
                   bool fixed, bool weights, Tensor *gx, Tensor *gw, Tensor *gb) {
  DType lane = lane_of(x);
  Job j = job_of(l, lane, eps, fixed);
  if (gx->numel == 0) return tensor_fill(gw, scalar_int(0)) && tensor_fill(gb, scalar_int(0));
  j.weights = weights;
  j.shares = j.l.groups < 8 * SHARES ? (j.l.groups + 7) / 8 : SHARES;
  size_t bytes = (size_t)(j.each ? 4 * j.shares * j.l.channels : 2 * j.l.groups * j.runs) * sizeof(double);
  Tensor *px = ready(l, x, lane), *pg = ready(l, grad, lane), *pw = weight ? tensor_packed(weight, lane) : NULL,
         *to = room(l, gx, lane), *pm = tensor_packed(mean, lane), *pv = tensor_packed(var, lane);
  bool good = px && pg && (pw || !weight) && to && pm && pv && (j.sum = block_alloc(bytes));
  if (good) {
    j.share = j.sum;
    j.sums = j.each ? (char *)(j.sum + 2 * j.shares * j.l.channels) : NULL;
    j.x = tensor_data(px);
    j.grad = tensor_data(pg);
    j.weight = pw ? tensor_data(pw) : NULL;
    j.mean = tensor_data(pm);
    j.var = tensor_data(pv);
    j.out = tensor_data(to);
    if (j.each)
      parallel_for(j.shares, j.l.groups * j.l.inner >= UNIT ? 1 : SHARES, back_shares, &j);
    else
      spread(&j, back_groups);
    finish_weights(&j, gw, gb);
    good = settle(l, gx, to);
    block_free(j.sum, bytes);
  }
  tensor_release(pv);
  tensor_release(pm);
  tensor_release(to);
  tensor_release(pw);
  tensor_release(pg);
  tensor_release(px);
  return good;
}
