/* One recurrent layer over a sequence on a device, forwards and back: a product with the inputs for all steps, then
 * of each step a product with the hidden state and a kernel for its cells.
 *
 * Nothing waits: steps follow one another on the stream. Forward keeps in the reserve what cpu/recurrent.h says, so
 * that backward makes no product again; its gradients of weights are one product each for all steps. */
#include "cuda/recurrent.h"
#include "cpu/recurrent.h"
#include "base/size.h"
#include "cuda/driver.h"

enum { MOST_HELD = 24 };

typedef struct {
  const Recurrent *r;
  DType dtype;
  Device at;
  cudaStream_t stream;
  int size, held;
  Tensor *hold[MOST_HELD];
  bool good;
  int64_t sums, gate_row;                /* columns of the products with inputs, and of a row of gates */
  char *x, *w_ih, *w_hh, *w_hr, *output; /* packed */
  char *gates, *kept_c, *kept_h;         /* of all rows */
} Layer;

static bool is_gated(const Recurrent *r) { return r->mode == RECURRENT_LSTM || r->mode == RECURRENT_GRU; }

/* t's elements side by side; NULL for none. */
static char *elements(Layer *l, Tensor *t) {
  if (!t || !l->good) return NULL;
  Tensor *packed = cuda_packed(t, (DType)t->dtype);
  if (!packed) return l->good = false, NULL;
  l->hold[l->held++] = packed;
  return tensor_data(packed);
}

/* A vector of rows times n elements, held. */
static Tensor *vector(Layer *l, int64_t rows, int64_t n) {
  int64_t count;
  if (!l->good || !size_mul(rows, n, &count)) return l->good = false, NULL;
  Tensor *t = tensor_new(l->dtype, 1, &count, l->at);
  if (!t) return l->good = false, NULL;
  return l->hold[l->held++] = t;
}
static char *room(Layer *l, int64_t rows, int64_t n) {
  Tensor *t = vector(l, rows, n);
  return t ? tensor_data(t) : NULL;
}

static char *shifted(const Layer *l, const char *p, int64_t elements) {
  return p ? (char *)p + elements * l->size : NULL;
}

static void copy(Layer *l, void *to, const void *from, int64_t n) {
  if (l->good && n > 0 && to)
    l->good =
        driver_check(cudaMemcpyAsync(to, from, (size_t)(n * l->size), cudaMemcpyDeviceToDevice, l->stream), "copy");
}
/* to = a + b, of which there are `both`; either may be NULL. */
static void add(Layer *l, char *to, char *also, const char *a, const char *b, int64_t n, int64_t both) {
  if (l->good)
    l->good = driver_launched(cuda_launch_sums(l->dtype, to, also, a, b, n, both, l->stream), "a recurrent layer");
}
static void run_cells(Layer *l, bool back, const CellRun *cells) {
  if (l->good)
    l->good = driver_launched(cuda_launch_cells(l->r->mode, back, l->dtype, cells, l->stream), "a recurrent layer");
}

/* A factor of a product: where it lies, from row to row, from column to column. */
typedef struct {
  const char *data;
  int64_t row, col;
} Factor;
static Factor rows_of(const char *data, int64_t row) { return (Factor){data, row, 1}; }
static Factor columns_of(const char *data, int64_t row) { return (Factor){data, 1, row}; }

/* c (m, n) = a (m, k) b (k, n) + what was there, or + the bias, or nothing. */
static void multiply(Layer *l, int64_t m, int64_t n, int64_t k, Factor a, Factor b, char *c, int64_t c_row, bool adds,
                     const char *bias) {
  if (!l->good) return;
  l->good = cuda_products(&(Gemm){.dtype = l->dtype,
                                  .m = m,
                                  .n = n,
                                  .k = k,
                                  .batch = 1,
                                  .a = a.data,
                                  .a_row = a.row,
                                  .a_col = a.col,
                                  .b = b.data,
                                  .b_row = b.row,
                                  .b_col = b.col,
                                  .c = c,
                                  .c_row = c_row,
                                  .bias = bias,
                                  .alpha = scalar_int(1),
                                  .beta = scalar_int(adds || bias)},
                          l->at);
}

static Layer layer_of(const Recurrent *r, Device at) {
  Layer l = {.r = r, .dtype = (DType)r->t[AT_X]->dtype, .at = at};
  l.size = dtype_size(l.dtype);
  l.sums = recurrent_gates(r->mode) * r->hidden;
  l.gate_row = is_gated(r) ? 4 * r->hidden : r->hidden;
  l.good = driver_use(at.index);
  l.stream = driver_stream(at.index);
  l.x = elements(&l, r->t[AT_X]);
  l.w_ih = elements(&l, r->t[AT_W_IH]);
  l.w_hh = elements(&l, r->t[AT_W_HH]);
  l.w_hr = elements(&l, r->t[AT_W_HR]);
  return l;
}
static bool close_layer(Layer *l) {
  for (int k = 0; k < l->held; k++) tensor_release(l->hold[k]);
  return l->good;
}

static void find_reserve(Layer *l, char *reserve) {
  const Recurrent *r = l->r;
  l->kept_c = shifted(l, reserve, is_gated(r) ? r->rows * l->gate_row : 0);
  l->kept_h = shifted(l, l->kept_c, r->mode == RECURRENT_LSTM ? r->rows * r->hidden : 0);
  if (is_gated(r)) l->gates = reserve;
  if (r->mode != RECURRENT_LSTM) l->kept_c = NULL;
}

/* Goes through the steps, in falling order from the last one or from the first: row counts in the sequence. */
static void run_steps(Layer *l, bool falls, void (*step)(Layer *l, int64_t row, int64_t n, void *context),
                      void *context) {
  const Recurrent *r = l->r;
  int64_t row = falls ? r->rows : 0;
  for (int64_t i = 0; i < r->steps && r->rows > 0 && l->good; i++) {
    int64_t n = r->sizes ? r->sizes[falls ? r->steps - 1 - i : i] : r->batch;
    if (falls) row -= n;
    step(l, row, n, context);
    if (!falls) row += n;
  }
}

/* ---- forward ---- */

typedef struct {
  char *h, *c, *from_h, *wide, *bias, *bias_fresh;
  bool keeps;
} Forward;

static void forward_step(Layer *l, int64_t row, int64_t n, void *context) {
  const Recurrent *r = l->r;
  const Forward *f = context;
  char *gates = shifted(l, l->gates, row * l->gate_row), *y = shifted(l, l->output, row * r->out);
  char *kept_h = shifted(l, l->kept_h, row * r->out);
  const Factor h = rows_of(f->h, r->out), w = columns_of(l->w_hh, r->out);
  if (f->from_h)
    multiply(l, n, l->sums, r->out, h, w, f->from_h, l->sums, false, NULL);
  else
    multiply(l, n, l->sums, r->out, h, w, gates, l->gate_row, true, NULL);
  if (l->w_hr) copy(l, kept_h, f->h, n * r->out);
  run_cells(l, false,
            &(CellRun){.n = n,
                       .hidden = r->hidden,
                       .gate_row = l->gate_row,
                       .gates = gates,
                       .made = l->w_hr ? f->wide : y,
                       .h = l->w_hr ? NULL : f->h,
                       .c = f->c,
                       .kept_c = shifted(l, l->kept_c, row * r->hidden),
                       .kept_h = l->w_hr ? NULL : kept_h,
                       .from_h = f->from_h,
                       .bias_fresh = f->bias_fresh,
                       .keep = f->keeps});
  if (!l->w_hr) return;
  multiply(l, n, r->out, r->hidden, rows_of(f->wide, r->hidden), columns_of(l->w_hr, r->hidden), y, r->out, false,
           NULL);
  copy(l, f->h, y, n * r->out);
}

/* What is added to the products with the inputs: both biases, of gru's last gate only the first. */
static void join_biases(Layer *l, Forward *f) {
  const Recurrent *r = l->r;
  char *b_ih = elements(l, r->t[AT_B_IH]), *b_hh = elements(l, r->t[AT_B_HH]);
  int64_t shared = r->mode == RECURRENT_GRU ? 2 * r->hidden : l->sums;
  if (!b_ih && !b_hh) return;
  f->bias = room(l, 1, l->sums);
  add(l, f->bias, NULL, b_ih, b_hh, l->sums, shared);
  if (r->mode == RECURRENT_GRU) f->bias_fresh = shifted(l, b_hh, shared);
}

bool cuda_recurrent(const Recurrent *r, Tensor *output, Tensor *h, Tensor *c, Tensor *reserve) {
  Layer l = layer_of(r, tensor_device(output));
  Forward f = {.h = tensor_data(h), .c = c ? tensor_data(c) : NULL, .keeps = reserve != NULL};
  l.output = tensor_data(output);
  if (reserve) find_reserve(&l, tensor_data(reserve));
  if (!is_gated(r))
    l.gates = l.output;
  else if (!l.gates)
    l.gates = room(&l, r->rows, l.gate_row);
  if (r->mode == RECURRENT_GRU) f.from_h = room(&l, r->batch, l.sums);
  if (l.w_hr) f.wide = room(&l, r->batch, r->hidden);
  join_biases(&l, &f);
  l.good = l.good && cuda_copy(h, r->t[AT_H]) && (!c || cuda_copy(c, r->t[AT_C]));
  multiply(&l, r->rows, l.sums, r->features, rows_of(l.x, r->features), columns_of(l.w_ih, r->features), l.gates,
           l.gate_row, false, f.bias);
  run_steps(&l, r->reverse, forward_step, &f);
  return close_layer(&l);
}

/* ---- back ---- */

typedef struct {
  char *gy, *dh, *dc, *dgates;
  char *dy, *dh_wide, *wide; /* with a projection: gradients of its results, of a step's h before it, that h */
} Back;

/* dh and dc come from the step after, and leave for the one before. */
static void back_step(Layer *l, int64_t row, int64_t n, void *context) {
  const Recurrent *r = l->r;
  const Back *b = context;
  char *gy = shifted(l, b->gy, row * r->out), *dgates = shifted(l, b->dgates, row * l->gate_row);
  if (l->w_hr) {
    char *dy = shifted(l, b->dy, row * r->out);
    add(l, dy, NULL, b->dh, gy, n * r->out, n * r->out);
    multiply(l, n, r->hidden, r->out, rows_of(dy, r->out), rows_of(l->w_hr, r->hidden), b->dh_wide, r->hidden, false,
             NULL);
  }
  run_cells(l, true,
            &(CellRun){.n = n,
                       .hidden = r->hidden,
                       .gate_row = l->gate_row,
                       .gates = shifted(l, l->gates, row * l->gate_row),
                       .made = shifted(l, l->output, row * r->out),
                       .kept_c = shifted(l, l->kept_c, row * r->hidden),
                       .kept_h = shifted(l, l->kept_h, row * r->out),
                       .grad = l->w_hr ? NULL : gy,
                       .dh = l->w_hr ? b->dh_wide : b->dh,
                       .dc = b->dc,
                       .dgates = dgates,
                       .wide = shifted(l, b->wide, row * r->hidden)});
  bool gru = r->mode == RECURRENT_GRU;
  multiply(l, n, r->out, l->sums, rows_of(shifted(l, dgates, gru ? r->hidden : 0), l->gate_row),
           rows_of(l->w_hh, r->out), b->dh, r->out, gru, NULL);
}

static char *data_of(Tensor *t) { return t ? tensor_data(t) : NULL; }

/* Gradients of inputs, weights and biases from those of all steps' sums. */
static void collect(Layer *l, const Back *b, Tensor *const *grad) {
  const Recurrent *r = l->r;
  const int64_t rows = r->rows, row = l->gate_row, features = r->features;
  const int64_t first = r->mode == RECURRENT_GRU ? r->hidden : 0; /* column of w_hh's first gate */
  char *gx = data_of(grad[AT_X]), *gw_ih = data_of(grad[AT_W_IH]), *gw_hh = data_of(grad[AT_W_HH]),
       *gb_ih = data_of(grad[AT_B_IH]), *gb_hh = data_of(grad[AT_B_HH]), *gw_hr = data_of(grad[AT_W_HR]),
       *of_sums = NULL;
  if (gb_ih || gb_hh) {
    Tensor *sums = vector(l, 1, row);
    l->good =
        l->good && cuda_reduce_memory(b->dgates, l->dtype, 2, (int64_t[]){rows, row}, (int64_t[]){row, 1},
                                      (bool[]){true, false}, (Reduction){.fold = FOLD_SUM, .as = l->dtype}, sums, NULL);
    if (l->good) of_sums = tensor_data(sums);
  }
  RecurrentStrip strip[2];
  for (int k = 0, n = recurrent_strips(l->r, strip); k < n; k++) {
    const int64_t column = strip[k].column, at = strip[k].row, count = strip[k].count;
    const char *d = shifted(l, b->dgates, column);
    if (gx)
      multiply(l, rows, features, count, rows_of(d, row), rows_of(shifted(l, l->w_ih, at * features), features), gx,
               features, k > 0, NULL);
    if (gw_ih)
      multiply(l, count, features, rows, columns_of(d, row), rows_of(l->x, features), shifted(l, gw_ih, at * features),
               features, false, NULL);
    if (gb_ih) copy(l, shifted(l, gb_ih, at), shifted(l, of_sums, column), count);
  }
  if (gw_hh)
    multiply(l, l->sums, r->out, rows, columns_of(shifted(l, b->dgates, first), row), rows_of(l->kept_h, r->out), gw_hh,
             r->out, false, NULL);
  if (gb_hh) copy(l, gb_hh, shifted(l, of_sums, first), l->sums);
  if (gw_hr)
    multiply(l, r->out, r->hidden, rows, columns_of(b->dy, r->out), rows_of(b->wide, r->hidden), gw_hr, r->hidden,
             false, NULL);
}

/* A gradient's memory, or room for one that is not wanted, with what comes from behind the sequence. */
static char *carried(Layer *l, Tensor *wanted, Tensor *from, int64_t n) {
  char *start = elements(l, from), *to = wanted ? tensor_data(wanted) : room(l, l->r->batch, n);
  add(l, to, NULL, start, NULL, l->r->batch * n, 0);
  return to;
}

bool cuda_recurrent_back(const Recurrent *r, Tensor *const *gy, Tensor *reserve, Tensor *output, Tensor *const *grad) {
  Layer l = layer_of(r, tensor_device(r->t[AT_X]));
  bool lstm = r->mode == RECURRENT_LSTM;
  char *kept = elements(&l, reserve);
  if (l.good) find_reserve(&l, kept);
  if (!is_gated(r)) l.output = elements(&l, output);
  Back b = {.gy = elements(&l, gy[0]), .dh = carried(&l, grad[AT_H], gy[1], r->out)};
  if (lstm) b.dc = carried(&l, grad[AT_C], gy[2], r->hidden);
  b.dgates = room(&l, r->rows, l.gate_row);
  if (l.w_hr) {
    b.dy = room(&l, r->rows, r->out);
    b.wide = room(&l, r->rows, r->hidden);
    b.dh_wide = room(&l, r->batch, r->hidden);
  }
  run_steps(&l, !r->reverse, back_step, &b);
  collect(&l, &b, grad);
  return close_layer(&l);
}
