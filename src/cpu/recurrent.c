/* One recurrent layer over a sequence: what is a product of many rows, who computes which rows, where states lie.
 *
 * Steps go in chunks. The chunk's products with the input weights (forward), and with everything but the hidden weights
 * (back), are one matrix product each; between them its steps follow one another, with the hidden weights packed once
 * for all. Rows of a batch do not meet, so threads share them out and never wait within a chunk. Chunks follow from
 * shapes alone, and no element's value depends on how many rows are computed together: results do not on threads. */
#include "cpu/recurrent.h"
#include "base/alloc.h"
#include "base/pool.h"
#include "base/size.h"
#include "cpu/copy_tensor.h"
#include "cpu/gemm.h"
#include "cpu/reduce.h"
#include <string.h>

enum {
  CHUNK_ROWS = 320,    /* about as many rows' gates are worked on together */
  PART_ROWS = 8,       /* fewest rows of a batch that another thread takes */
  PART_WORK = 1 << 19, /* products with the hidden weights that are worth another thread */
  PACK_ROWS = 16,      /* products with as many rows pay for packing the weights */
  PADDING = 16         /* elements between rows of gradients: a row of whole pages would meet the next in the cache */
};

static int64_t least(int64_t x, int64_t y) { return x < y ? x : y; }
static int64_t most(int64_t x, int64_t y) { return x > y ? x : y; }

/* Gates that a row keeps. */
static int64_t kept_gates(RecurrentMode mode) { return mode == RECURRENT_LSTM || mode == RECURRENT_GRU ? 4 : 0; }

bool recurrent_width(const Recurrent *r, int64_t *width) {
  int64_t states = kept_gates(r->mode) + (r->mode == RECURRENT_LSTM);
  return size_mul(states, r->hidden, width) && size_add(*width, r->out, width);
}

/* ---- a matrix that all steps are multiplied by ---- */

typedef struct {
  GemmPacked packed; /* memory NULL: B is read as it lies, in products of their own */
  DType dtype;
  int64_t n, k, row, col;
  const char *b;
} Factor;

static bool packs(const Recurrent *r) { return r->steps >= 2 && r->rows >= PACK_ROWS; }

static bool factor_open(Factor *f, const Recurrent *r, DType d, int64_t n, int64_t k, const char *b, int64_t row,
                        int64_t col) {
  *f = (Factor){.dtype = d, .n = n, .k = k, .row = row, .col = col, .b = b};
  return !packs(r) || gemm_pack(&f->packed, d, n, k, b, row, col);
}
static void factor_close(Factor *f) { gemm_pack_free(&f->packed); }

/* C = A B + add: nothing (NULL), C itself, or one row for all (add_row 0). */
static bool multiply(const Factor *f, int64_t m, const char *a, int64_t a_row, char *c, int64_t c_row, const char *add,
                     int64_t add_row) {
  if (f->packed.memory) return gemm_packed(&f->packed, m, a, a_row, c, c_row, add, add_row), true;
  return gemm_batch(&(Gemm){.dtype = f->dtype,
                            .m = m,
                            .n = f->n,
                            .k = f->k,
                            .batch = 1,
                            .a = a,
                            .a_row = a_row,
                            .a_col = 1,
                            .b = f->b,
                            .b_row = f->row,
                            .b_col = f->col,
                            .c = c,
                            .c_row = c_row,
                            .bias = add_row == 0 ? add : NULL,
                            .alpha = scalar_int(1),
                            .beta = scalar_int(add != NULL)});
}

/* ---- what both directions share ---- */

/* Blocks of memory and packed tensors, given back together. */
enum { MOST_HELD = 16 };
typedef struct {
  Tensor *tensor[MOST_HELD];
  void *block[MOST_HELD];
  size_t bytes[MOST_HELD];
  int tensors, blocks;
} Held;

static void release_all(Held *h) {
  for (int i = 0; i < h->tensors; i++) tensor_release(h->tensor[i]);
  for (int i = 0; i < h->blocks; i++) block_free(h->block[i], h->bytes[i]);
}

/* count rows of n elements each, of that size. */
static char *room(Held *h, int64_t count, int64_t n, int size) {
  int64_t bytes;
  if (!size_mul(count, n, &bytes) || !size_mul(bytes, size, &bytes)) return NULL;
  void *block = block_alloc((size_t)bytes);
  if (block) h->block[h->blocks] = block, h->bytes[h->blocks++] = (size_t)bytes;
  return block;
}

/* t's elements side by side; NULL for none, and then *good stays. */
static char *elements(Held *h, Tensor *t, bool *good) {
  if (!t || !*good) return NULL;
  Tensor *packed = tensor_packed(t, (DType)t->dtype);
  if (!packed) return *good = false, NULL;
  h->tensor[h->tensors++] = packed;
  return tensor_data(packed);
}

typedef struct {
  const Recurrent *r;
  DType dtype;
  bool failed;
  int size;
  int64_t sums, kept;                   /* elements of a row of sums, and of one in the reserve's first block */
  int64_t gate_row, dgate_row;          /* from one row to the next */
  int64_t part_rows;                    /* of the batch, for one thread */
  int64_t chunk, first, last, from, to; /* the chunk: number, steps in order of work, rows */
  RecurrentCells *cells, *add;
  Held held;
  Factor input, hidden, fresh, projection; /* fresh: gru's last gate, whose sum stands by itself */
  char *kept_gates, *kept_c, *kept_h;      /* the reserve; NULL: nothing is kept */
  char *gates;                             /* the chunk's */
  char *output, *h, *c, *h_wide;           /* h_wide: before the projection; of the batch, in backward of the chunk */
  const char *bias, *bias_fresh;
  char *gy, *dh, *dc, *dh_wide; /* gradients of output, and of states on the way */
  char *dgates, *dy;            /* the chunk's; dy: of the output, kept for the projection's weights */
} Layer;

static Layer layer_of(const Recurrent *r, bool back) {
  Layer l = {.r = r, .dtype = (DType)r->t[AT_X]->dtype};
  bool is_double = l.dtype == MT_F64;
  const RecurrentTable *table = is_double ? &recurrent_table_base : VEC_PICK(recurrent_table);
  l.size = dtype_size(l.dtype);
  l.sums = recurrent_gates(r->mode) * r->hidden;
  l.kept = kept_gates(r->mode) * r->hidden;
  l.gate_row = l.kept ? l.kept : r->hidden;
  l.dgate_row = l.gate_row + PADDING;
  l.cells = table->cells[is_double][r->mode + (back ? RECURRENT_BACK : 0)];
  l.add = table->cells[is_double][RECURRENT_ADD];
  /* how many rows are computed together may depend on the number of threads only where it changes no value */
  double work = (double)r->rows * (double)l.sums * (double)r->out;
  int64_t parts = packs(r) && work >= PART_WORK ? least(pool_threads(), r->batch / PART_ROWS) : 1;
  l.part_rows = parts > 1 ? (r->batch + parts - 1) / parts : most(r->batch, 1);
  return l;
}

static void find_reserve(Layer *l, char *reserve) {
  if (!reserve) return;
  const Recurrent *r = l->r;
  l->kept_gates = reserve;
  l->kept_c = l->kept_gates + r->rows * l->kept * l->size;
  l->kept_h = l->kept_c + (r->mode == RECURRENT_LSTM ? r->rows * r->hidden * l->size : 0);
}

static int64_t size_at(const Recurrent *r, int64_t t) { return r->sizes ? r->sizes[t] : r->batch; }
/* Number i in order of work, which rises or falls in t. */
static int64_t step_size(const Recurrent *r, int64_t i, bool falls) { return size_at(r, falls ? r->steps - 1 - i : i); }

static void first_chunk(Layer *l, bool falls) {
  l->first = l->last = l->chunk = 0;
  l->from = l->to = falls ? l->r->rows : 0;
}
/* Steps that follow, about as many rows as in each other chunk; false at the end. */
static bool next_chunk(Layer *l, bool falls) {
  const Recurrent *r = l->r;
  int64_t chunks = r->rows > 0 ? (r->rows - 1) / CHUNK_ROWS + 1 : 1, n;
  int64_t done = falls ? r->rows - l->from : l->to, start = done;
  double end = (double)r->rows * (double)++l->chunk / (double)chunks;
  l->first = l->last;
  if (r->rows == 0) l->last = r->steps;
  for (; l->last < r->steps; l->last++, done += n) {
    n = step_size(r, l->last, falls);
    if (done > start && (double)done + (double)n / 2 > end) break;
  }
  if (falls)
    l->to = l->from, l->from = r->rows - done;
  else
    l->from = l->to, l->to = done;
  return l->first < l->last;
}
/* The most rows that a chunk has. */
static int64_t chunk_rows(const Recurrent *r) { return least(r->rows, CHUNK_ROWS + r->batch); }

/* Runs one step after another of the chunk for rows [begin, end) of the batch. */
static void run_steps(Layer *l, bool falls, int64_t begin, int64_t end,
                      bool (*step)(Layer *l, int64_t row, int64_t begin, int64_t n)) {
  int64_t row = falls ? l->to : l->from;
  if (l->from == l->to) return; /* however many steps of nothing */
  for (int64_t i = l->first; i < l->last; i++) {
    int64_t n = step_size(l->r, i, falls);
    if (falls) row -= n;
    if (begin < n && !step(l, row + begin, begin, least(end, n) - begin)) l->failed = true;
    if (!falls) row += n;
  }
}
static bool run_chunk(Layer *l, PoolBody rows) {
  if (l->part_rows >= l->r->batch)
    rows(l, 0, l->r->batch);
  else
    parallel_for(l->r->batch, l->part_rows, rows, l);
  return !l->failed;
}

/* ---- rows of cells ---- */

/* Arrays of a row, the first `written` of which are written, and how far the next row is from each in bytes. */
typedef struct {
  int arrays, written;
  void *p[RECURRENT_ARRAYS];
  int64_t step[RECURRENT_ARRAYS];
} Rows;

/* `count` arrays of n bytes each that lie one after another in a row. */
static void arrays(Rows *w, int count, char *p, int64_t n, int64_t step) {
  for (int k = 0; k < count; k++, w->arrays++) {
    w->p[w->arrays] = p + k * n;
    w->step[w->arrays] = step;
  }
}

/* Whole blocks where they lie, the rest of a row in a block of its own. */
static void run_row(RecurrentCells *cells, const Rows *w, int64_t n, int size) {
  int64_t whole = n & -(int64_t)RECURRENT_BLOCK, rest = (n - whole) * size;
  if (whole > 0) cells(w->p, whole);
  if (rest == 0) return;
  _Alignas(64) char block[RECURRENT_ARRAYS][RECURRENT_BLOCK * sizeof(double)] = {{0}};
  void *p[RECURRENT_ARRAYS];
  for (int k = 0; k < w->arrays; k++) {
    p[k] = block[k];
    memcpy(p[k], (char *)w->p[k] + whole * size, (size_t)rest);
  }
  cells(p, RECURRENT_BLOCK);
  for (int k = 0; k < w->written; k++) memcpy((char *)w->p[k] + whole * size, p[k], (size_t)rest);
}
static void run_cells(const Layer *l, Rows *w, int64_t rows) {
  for (int64_t r = 0; r < rows; r++) {
    run_row(l->cells, w, l->r->hidden, l->size);
    for (int k = 0; k < w->arrays; k++) w->p[k] = (char *)w->p[k] + w->step[k];
  }
}
/* to += from */
static void add_elements(const Layer *l, char *to, char *from, int64_t n) {
  Rows w = {.written = 1};
  arrays(&w, 1, to, 0, 0);
  arrays(&w, 1, from, 0, 0);
  run_row(l->add, &w, n, l->size);
}

/* c (m, n) = a (m, k) b (k, n), added to what c holds where `adds`. Rows of b and of c lie side by side. */
static bool product(const Layer *l, int64_t m, int64_t n, int64_t k, const char *a, int64_t a_row, int64_t a_col,
                    const char *b, bool adds, char *c) {
  return gemm(l->dtype, m, n, k, 1, a, a_row, a_col, b, n, 1, adds, c, n);
}

/* ---- forward ---- */

/* One step's rows: gates, cell state, new hidden state and the one before. */
static Rows forward_arrays(const Layer *l, char *gates, char *c, char *made, char *h) {
  int64_t n = l->r->hidden * l->size, row = l->gate_row * l->size;
  RecurrentMode mode = l->r->mode;
  Rows w = {0};
  arrays(&w, recurrent_gates(mode), gates, n, row); /* of the plain modes this is the new hidden state */
  if (mode == RECURRENT_LSTM) arrays(&w, 1, c, n, n);
  if (l->kept > 0) arrays(&w, 1, made, n, n);
  w.written = w.arrays;
  if (mode == RECURRENT_GRU) {
    arrays(&w, 1, gates + 3 * n, n, row);
    arrays(&w, 1, h, n, n);
  }
  return w;
}

/* n rows of one step; `row` counts in the sequence, `begin` in the batch. */
static bool forward_step(Layer *l, int64_t row, int64_t begin, int64_t n) {
  const Recurrent *r = l->r;
  const int64_t size = l->size, out = r->out * size, hidden = r->hidden * size;
  char *gates = l->gates + (row - l->from) * l->gate_row * size, *y = l->output + row * out;
  char *h = l->h + begin * out, *c = l->c ? l->c + begin * hidden : NULL;
  char *made = l->h_wide ? l->h_wide + begin * hidden : y;
  if (l->kept_h) memcpy(l->kept_h + row * out, h, (size_t)(n * out));
  if (l->kept_h && c) memcpy(l->kept_c + row * hidden, c, (size_t)(n * hidden));
  if (!multiply(&l->hidden, n, h, r->out, gates, l->gate_row, gates, l->gate_row)) return false;
  if (r->mode == RECURRENT_GRU && !multiply(&l->fresh, n, h, r->out, gates + 3 * hidden, l->gate_row, l->bias_fresh, 0))
    return false;
  Rows w = forward_arrays(l, gates, c, made, h);
  run_cells(l, &w, n);
  if (l->h_wide && !multiply(&l->projection, n, made, r->hidden, y, r->out, NULL, 0)) return false;
  memcpy(h, y, (size_t)(n * out));
  return true;
}
static void forward_rows(void *layer, int64_t begin, int64_t end) {
  Layer *l = layer;
  run_steps(l, l->r->reverse, begin, end, forward_step);
}

/* What is added to the products with the inputs: both biases, of gru's last gate only the first. */
static bool join_biases(Layer *l, bool *good) {
  const Recurrent *r = l->r;
  char *b_ih = elements(&l->held, r->t[AT_B_IH], good), *b_hh = elements(&l->held, r->t[AT_B_HH], good);
  if (!*good || (!b_ih && !b_hh)) return *good;
  char *bias = room(&l->held, l->sums, 1, l->size);
  if (!bias) return *good = false;
  int64_t shared = r->mode == RECURRENT_GRU ? 2 * r->hidden : l->sums, bytes = l->sums * l->size;
  if (b_ih)
    memcpy(bias, b_ih, (size_t)bytes);
  else
    memset(bias, 0, (size_t)bytes);
  if (b_hh) add_elements(l, bias, b_hh, shared);
  l->bias = bias;
  if (b_hh && r->mode == RECURRENT_GRU) l->bias_fresh = b_hh + shared * l->size;
  return true;
}

static bool open_forward(Layer *l, const char *w_ih, const char *w_hh, const char *w_hr) {
  const Recurrent *r = l->r;
  int64_t joined = r->mode == RECURRENT_GRU ? 2 * r->hidden : l->sums;
  return factor_open(&l->input, r, l->dtype, l->sums, r->features, w_ih, 1, r->features) &&
         factor_open(&l->hidden, r, l->dtype, joined, r->out, w_hh, 1, r->out) &&
         (r->mode != RECURRENT_GRU ||
          factor_open(&l->fresh, r, l->dtype, r->hidden, r->out, w_hh + joined * r->out * l->size, 1, r->out)) &&
         (!w_hr || factor_open(&l->projection, r, l->dtype, r->out, r->hidden, w_hr, 1, r->hidden));
}
static bool close_layer(Layer *l, bool good) {
  factor_close(&l->input);
  factor_close(&l->hidden);
  factor_close(&l->fresh);
  factor_close(&l->projection);
  release_all(&l->held);
  return good;
}

static bool run_forward(Layer *l, const char *x) {
  const Recurrent *r = l->r;
  for (first_chunk(l, r->reverse); next_chunk(l, r->reverse);) {
    if (l->kept_gates && l->kept) l->gates = l->kept_gates + l->from * l->gate_row * l->size;
    if (!l->kept) l->gates = l->output + l->from * l->gate_row * l->size;
    const char *rows = x + l->from * r->features * l->size;
    if (!multiply(&l->input, l->to - l->from, rows, r->features, l->gates, l->gate_row, l->bias, 0) ||
        !run_chunk(l, forward_rows))
      return false;
  }
  return true;
}

bool cpu_recurrent(const Recurrent *r, Tensor *output, Tensor *h, Tensor *c, Tensor *reserve) {
  Layer l = layer_of(r, false);
  bool good = true;
  char *x = elements(&l.held, r->t[AT_X], &good), *w_ih = elements(&l.held, r->t[AT_W_IH], &good),
       *w_hh = elements(&l.held, r->t[AT_W_HH], &good), *w_hr = elements(&l.held, r->t[AT_W_HR], &good);
  find_reserve(&l, reserve ? tensor_data(reserve) : NULL);
  l.output = tensor_data(output);
  l.h = tensor_data(h);
  if (c) l.c = tensor_data(c);
  good = good && join_biases(&l, &good) && open_forward(&l, w_ih, w_hh, w_hr) && tensor_copy_into(h, r->t[AT_H]) &&
         (!c || tensor_copy_into(c, r->t[AT_C])) &&
         (!l.kept || reserve || (l.gates = room(&l.held, chunk_rows(r), l.gate_row, l.size))) &&
         (!w_hr || (l.h_wide = room(&l.held, r->batch, r->hidden, l.size))) && run_forward(&l, x);
  return close_layer(&l, good);
}

/* ---- back ---- */

/* One step's rows: `row` counts in the sequence, `begin` in the batch; dh is the gradient of the new hidden state. */
static Rows back_arrays(const Layer *l, int64_t row, int64_t begin, char *dgates, char *dh) {
  int64_t n = l->r->hidden * l->size, local = row - l->from;
  int64_t gate_row = l->gate_row * l->size, dgate_row = l->dgate_row * l->size;
  Rows w = {0};
  arrays(&w, l->kept > 0 ? 4 : 1, dgates, n, dgate_row);
  switch (l->r->mode) {
  case RECURRENT_LSTM:
    arrays(&w, 1, l->dc + begin * n, n, n);
    if (l->dy)
      arrays(&w, 1, l->h_wide + local * n, n, n);
    else
      arrays(&w, 1, l->h_wide + begin * n, n, 0); /* nobody wants it */
    w.written = w.arrays;
    arrays(&w, 4, l->kept_gates + row * gate_row, n, gate_row);
    arrays(&w, 1, l->kept_c + row * n, n, n);
    arrays(&w, 1, dh, n, n);
    break;
  case RECURRENT_GRU:
    arrays(&w, 1, dh, n, n);
    w.written = w.arrays;
    arrays(&w, 4, l->kept_gates + row * gate_row, n, gate_row);
    arrays(&w, 1, l->kept_h + row * n, n, n);
    break;
  default:
    w.written = w.arrays;
    arrays(&w, 1, l->output + row * n, n, n);
    arrays(&w, 1, dh, n, n);
  }
  return w;
}

/* dh and dc come from the step after, and leave for the one before. */
static bool back_step(Layer *l, int64_t row, int64_t begin, int64_t n) {
  const Recurrent *r = l->r;
  const int64_t size = l->size, out = r->out * size, hidden = r->hidden * size, local = row - l->from;
  char *dh = l->dh + begin * out, *dgates = l->dgates + local * l->dgate_row * size, *wide = dh;
  if (l->gy) add_elements(l, dh, l->gy + row * out, n * r->out);
  if (l->dy) {
    memcpy(l->dy + local * out, dh, (size_t)(n * out));
    wide = l->dh_wide + begin * hidden;
    if (!multiply(&l->projection, n, dh, r->out, wide, r->hidden, NULL, 0)) return false;
  }
  Rows w = back_arrays(l, row, begin, dgates, wide);
  run_cells(l, &w, n);
  bool gru = r->mode == RECURRENT_GRU;
  return multiply(&l->hidden, n, gru ? dgates + hidden : dgates, l->dgate_row, dh, r->out, gru ? dh : NULL, r->out);
}
static void back_rows(void *layer, int64_t begin, int64_t end) {
  Layer *l = layer;
  run_steps(l, !l->r->reverse, begin, end, back_step);
}

/* Adds up the chunk's rows: a row of ones times dgates. */
static bool add_rows(const Layer *l, int64_t count, const char *dgates, bool adds, char *to) {
  Scalar one = scalar_int(1);
  char unit[sizeof(double)];
  scalar_store(one, l->dtype, unit);
  return gemm(l->dtype, 1, count, l->to - l->from, 1, unit, 0, 0, dgates, l->dgate_row, 1, adds, to, count);
}

static char *data_of(Tensor *t) { return t ? tensor_data(t) : NULL; }

/* What the chunk gives to the gradients of inputs, weights and biases. */
static bool collect_chunk(const Layer *l, const char *x, const char *w_ih, Tensor *const *grad) {
  const Recurrent *r = l->r;
  const int64_t rows = l->to - l->from, size = l->size, row = l->dgate_row, features = r->features;
  char *gx = data_of(grad[AT_X]), *gw_ih = data_of(grad[AT_W_IH]), *gw_hh = data_of(grad[AT_W_HH]),
       *gb_ih = data_of(grad[AT_B_IH]), *gb_hh = data_of(grad[AT_B_HH]), *gw_hr = data_of(grad[AT_W_HR]);
  bool adds = l->first > 0, good = true;
  RecurrentStrip strip[2];
  for (int k = 0, n = recurrent_strips(l->r, strip); k < n && good; k++) {
    const char *d = l->dgates + strip[k].column * size;
    int64_t at = strip[k].row * features * size, count = strip[k].count;
    if (gx) good = product(l, rows, features, count, d, row, 1, w_ih + at, k > 0, gx + l->from * features * size);
    if (gw_ih)
      good = good && product(l, count, features, rows, d, 1, row, x + l->from * features * size, adds, gw_ih + at);
    if (gb_ih) good = good && add_rows(l, count, d, adds, gb_ih + strip[k].row * size);
  }
  const char *d = l->dgates + (r->mode == RECURRENT_GRU ? r->hidden * size : 0);
  if (gw_hh)
    good = good && product(l, l->sums, r->out, rows, d, 1, row, l->kept_h + l->from * r->out * size, adds, gw_hh);
  if (gb_hh) good = good && add_rows(l, l->sums, d, adds, gb_hh);
  if (gw_hr) good = good && product(l, r->out, r->hidden, rows, l->dy, 1, r->out, l->h_wide, adds, gw_hr);
  return good;
}

/* A gradient's memory, or room for one that is not wanted, with what comes from behind the sequence. */
static char *carried(Layer *l, Tensor *wanted, Tensor *from, int64_t n, bool *good) {
  int64_t bytes = l->r->batch * n * l->size;
  char *to = wanted ? tensor_data(wanted) : room(&l->held, l->r->batch, n, l->size),
       *start = elements(&l->held, from, good);
  if (!to) *good = false;
  if (!*good) return NULL;
  if (start)
    memcpy(to, start, (size_t)bytes);
  else
    memset(to, 0, (size_t)bytes);
  return to;
}

bool cpu_recurrent_back(const Recurrent *r, Tensor *const *gy, Tensor *reserve, Tensor *output, Tensor *const *grad) {
  Layer l = layer_of(r, true);
  bool good = true, projects = r->t[AT_W_HR] != NULL, lstm = r->mode == RECURRENT_LSTM;
  char *x = elements(&l.held, r->t[AT_X], &good), *w_ih = elements(&l.held, r->t[AT_W_IH], &good),
       *w_hh = elements(&l.held, r->t[AT_W_HH], &good), *w_hr = elements(&l.held, r->t[AT_W_HR], &good),
       *kept = elements(&l.held, reserve, &good);
  int64_t rows = chunk_rows(r);
  l.output = elements(&l.held, l.kept ? NULL : output, &good);
  l.gy = elements(&l.held, gy[0], &good);
  l.dh = carried(&l, grad[AT_H], gy[1], r->out, &good);
  if (lstm) l.dc = carried(&l, grad[AT_C], gy[2], r->hidden, &good);
  if (good) find_reserve(&l, kept);
  good = good && (l.dgates = room(&l.held, rows, l.dgate_row, l.size)) &&
         (!lstm || (l.h_wide = room(&l.held, projects ? rows : r->batch, r->hidden, l.size))) &&
         (!projects ||
          ((l.dy = room(&l.held, rows, r->out, l.size)) && (l.dh_wide = room(&l.held, r->batch, r->hidden, l.size)))) &&
         factor_open(&l.hidden, r, l.dtype, r->out, l.sums, w_hh, r->out, 1) &&
         (!projects || factor_open(&l.projection, r, l.dtype, r->hidden, r->out, w_hr, r->hidden, 1));
  for (first_chunk(&l, !r->reverse); good && next_chunk(&l, !r->reverse);)
    good = run_chunk(&l, back_rows) && collect_chunk(&l, x, w_ih, grad);
  return close_layer(&l, good);
}
