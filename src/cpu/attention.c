/* Attention on tensors: how the scores are cut into blocks, which products are made of them, and who makes them.
 *
 * A task is some queries of one matrix of the batch, for the gradients some of its keys. How work is cut, and so the order
 * of every sum, depends on shapes alone. Keys (for the gradients values too) are packed, transposed, once a task; all other
 * operands of the products are read as they lie. */
#include "cpu/attention.h"
#include "base/alloc.h"
#include "base/pool.h"
#include "base/size.h"
#include "cpu/copy_tensor.h"
#include "cpu/gemm.h"
#include <string.h>

enum {
  KEYS = 512,          /* of a block of scores */
  BLOCK_BYTES = 57344, /* of its scores */
  FEW_QUERIES = 2,     /* whose scores are dot products */
  KEYS_BACK = 128,
  BLOCK_BYTES_BACK = 65536,
  TASKS = 32,           /* that are wanted, if they have enough rows each */
  TASK_ROWS = 128,      /* queries or keys */
  THREAD_WORK = 1 << 19 /* multiplications that are worth handing to another thread */
};

static int64_t least(int64_t x, int64_t y) { return x < y ? x : y; }
static int64_t most(int64_t x, int64_t y) { return x > y ? x : y; }
static int64_t quotient_up(int64_t n, int64_t d) { return n > 0 ? (n - 1) / d + 1 : 0; }
static int64_t whole(int64_t n, int64_t unit) { return quotient_up(n, unit) * unit; }

/* A stack of matrices: (batch, rows, columns), columns side by side. */
typedef struct {
  char *data; /* NULL: there is none */
  int64_t row;
  int size;                                        /* bytes of an element */
  int64_t count[MT_MAX_DIMS], stride[MT_MAX_DIMS]; /* of the batch's dims */
} Stack;

typedef struct {
  const GemmKernels *kernels;
  const AttentionTable *table;
  bool wide, causal, mask_is_bool;
  bool dots; /* so few queries that scores are dot products and keys are not packed */
  int size;
  int64_t lanes; /* elements in whole vectors of any instruction set */
  int dims;      /* of the batch */
  int64_t batch[MT_MAX_DIMS], matrices, length, source, width, value_width;
  double scale;
  Stack query, key, value, mask, out, lse, grad, grad_lse, gq, gk, gv;
  char *partial;                 /* gradients of query by tasks but the first of a matrix, length by width each */
  int64_t parts, part_rows;      /* tasks of a matrix, and its rows that each takes */
  int64_t block_rows, keys, row; /* queries and keys of a block, elements from a row of it to the next */
  int64_t key_bytes, value_bytes, score_bytes, tail_bytes, bytes; /* of a task's memory */
} Job;

/* One element of either type. */
typedef union {
  float f;
  double d;
} Number;
static Number number(const Job *j, double v) {
  Number n = {.d = v};
  if (!j->wide) n.f = (float)v;
  return n;
}

/* ---- operands ---- */

static Stack stack_of(const Tensor *t, int dims, int64_t row) {
  Stack s = {.data = tensor_data(t), .row = row, .size = dtype_size((DType)t->dtype)};
  for (int d = 0; d < dims; d++) s.count[d] = t->shape[d], s.stride[d] = t->stride[d];
  return s;
}

/* Matrix number n of the batch. */
static char *matrix(const Job *j, const Stack *s, int64_t n) {
  if (!s->data) return NULL;
  int64_t offset = 0;
  for (int d = j->dims - 1; d >= 0; d--) {
    offset += n % j->batch[d] * s->count[d] / j->batch[d] * s->stride[d];
    n /= j->batch[d];
  }
  return s->data + offset * s->size;
}

static char *element(const Job *j, const void *p, int64_t i) { return (char *)p + i * j->size; }
static char *row_of(const Job *j, const Stack *s, char *p, int64_t i) { return element(j, p, i * s->row); }

/* t with dims in front, so that it has `ndim`, and the columns side by side; owned. */
static Tensor *lined_up(const Tensor *t, int ndim, int64_t columns) {
  Tensor *v = tensor_alias(t);
  if (!v) return NULL;
  int more = ndim - t->ndim;
  v->ndim = (uint8_t)ndim;
  for (int d = 0; d < ndim; d++) {
    v->shape[d] = d < more ? 1 : t->shape[d - more];
    v->stride[d] = d < more ? 0 : t->stride[d - more];
  }
  if (v->shape[ndim - 1] != columns) v->shape[ndim - 1] = columns, v->stride[ndim - 1] = 0;
  v->numel = 1;
  for (int d = 0; d < ndim; d++) v->numel *= v->shape[d];
  if (columns < 2 || v->stride[ndim - 1] == 1) return v;
  Tensor *packed = tensor_cast(v, (DType)v->dtype);
  tensor_release(v);
  return packed;
}

/* Keeps what stack s reads alive in `held`. */
static bool stack(Job *j, const Tensor *t, int64_t columns, Stack *s, Tensor **held) {
  int ndim = j->dims + 2;
  if (!t || !(*held = lined_up(t, ndim, columns))) return !t;
  *s = stack_of(*held, j->dims, (*held)->shape[ndim - 2] == 1 ? 0 : (*held)->stride[ndim - 2]);
  return true;
}

/* ---- blocks ---- */

/* How many of the keys j0 .. j0 + n - 1 query i sees. */
static int64_t seen(const Job *j, int64_t i, int64_t j0, int64_t n) {
  return j->causal ? most(0, least(n, i + 1 - j0)) : n;
}

/* Operand b of a product, whose columns lie side by side: what does not fill vectors is packed behind `tail`. */
static void set_columns(const Job *j, GemmBlock *g, const void *b, int64_t row, int64_t n, int64_t k, void *tail) {
  int64_t rest = n % j->kernels->nr;
  g->b = b, g->b_row = row, g->b_col = 1, g->n = n, g->k = k;
  g->b_first = rest % j->kernels->lanes ? n - rest : n;
  g->b_packed = tail;
  if (g->b_first < n) j->kernels->pack_b(g, g->b_first, n);
}

/* Keys (or values) j0 .. j0 + n - 1, k elements each, as the columns of operand b. */
static void set_packed(const Job *j, GemmBlock *g, const void *b, int64_t row, int64_t n, int64_t k, void *memory) {
  *g = (GemmBlock){.n = n, .k = k, .b = b, .b_row = 1, .b_col = row, .b_packed = memory};
  if (!j->dots) j->kernels->pack_b(g, 0, n);
}

/* rows by n scores, from query i and key j0 on: a's rows times packed columns. Panels of columns are made for the queries
 * that see them only. */
static void make_scores(const Job *j, GemmBlock *g, const void *a, int64_t a_row, void *to, const void *alpha,
                        int64_t i, int64_t rows, int64_t j0, int64_t n) {
  const GemmKernels *kernels = j->kernels;
  static const Number zero;
  int64_t width = whole(n, kernels->lanes);
  g->m = rows, g->a = a, g->a_row = a_row, g->a_col = 1;
  g->c = to, g->c_row = j->row, g->add = to, g->alpha = alpha, g->beta = &zero;
  if (j->dots) {
    kernels->dots(g, 0, rows, 0, n);
    return;
  }
  if (!j->causal || i + 1 >= j0 + n) {
    kernels->tiles(g, 0, rows, 0, width);
    return;
  }
  for (int64_t column = 0; column < n && j0 + column < i + rows; column += kernels->nr)
    kernels->tiles(g, most(0, j0 + column - i) / kernels->mr * kernels->mr, rows, column,
                   least(column + kernels->nr, width));
}

/* c (rows, g->n) += or = scores (rows, n) times b's rows, of which query i and those behind it see so many. */
static void use_scores(const Job *j, GemmBlock *g, const char *scores, char *c, int64_t c_row, const void *beta,
                       const void *one, int64_t i, int64_t rows, int64_t j0, int64_t n) {
  int64_t step = j->causal && i + 1 < j0 + n ? j->kernels->mr : rows;
  g->a_row = j->row, g->a_col = 1, g->c_row = g->add_row = c_row, g->alpha = one, g->beta = beta;
  for (int64_t r = 0; r < rows; r += step) {
    int64_t some = least(step, rows - r);
    g->m = some, g->k = seen(j, i + r + some - 1, j0, n);
    g->a = element(j, scores, r * j->row);
    g->c = element(j, c, r * c_row), g->add = g->c;
    j->kernels->tiles(g, 0, some, 0, g->n);
  }
}

/* c (n, g->n) += scores^T (n, rows) times b (rows, g->n); key j0 + k is seen by query j0 + k and those behind it. The first
 * block of rows that sees a key writes its row of c. */
static void use_turned(const Job *j, GemmBlock *g, const char *scores, char *c, int64_t c_row, const void *zero,
                       const void *one, int64_t i, int64_t rows, int64_t j0, int64_t n) {
  int64_t step = j->causal && i < j0 + n ? j->kernels->mr : n;
  const char *b = g->b, *tail = g->b_packed;
  g->a_row = 1, g->a_col = j->row, g->c_row = g->add_row = c_row, g->alpha = one;
  for (int64_t k = 0; k < n; k += step) {
    int64_t some = least(step, n - k), first = j->causal ? most(0, j0 + k - i) : 0;
    if (first >= rows) break;
    g->m = some, g->k = rows - first;
    g->beta = (j->causal ? j0 + k >= i : i == 0) ? zero : one;
    g->a = element(j, scores, first * j->row + k);
    g->b = element(j, b, first * g->b_row);
    if (tail) g->b_packed = element(j, (void *)tail, first * whole(g->n - g->b_first, j->kernels->lanes));
    g->c = element(j, c, k * c_row), g->add = g->c;
    j->kernels->tiles(g, 0, some, 0, g->n);
  }
}

/* The rows of a block that are weighed together: all, or so few that little is wasted on what they do not see; `more` keys
 * behind those that they see have to become 0 too. */
static ScoreBlock score_block(const Job *j, char *score, const char *mask, int64_t i, int64_t rows, int64_t j0,
                              int64_t n, int64_t more) {
  int64_t columns = least(n, seen(j, i + rows - 1, j0, n) + more);
  return (ScoreBlock){.score = score,
                      .rows = rows,
                      .columns = columns,
                      .width = whole(columns, j->lanes),
                      .row = j->row,
                      .valid = j->causal ? i + 1 - j0 : columns,
                      .step = j->causal,
                      .mask = mask ? mask + (i * j->mask.row + j0) * j->mask.size : NULL,
                      .mask_row = j->mask.row,
                      .mask_is_bool = j->mask_is_bool,
                      .scale = j->scale};
}

/* ---- results ---- */

static void fill(const Job *j, char *p, int64_t n, double v) {
  for (int64_t i = 0; i < n; i++)
    if (j->wide)
      ((double *)(void *)p)[i] = v;
    else
      ((float *)(void *)p)[i] = (float)v;
}

static void attend(const Job *j, int64_t n, int64_t i0, int64_t i1, char *memory) {
  const GemmKernels *kernels = j->kernels;
  const Number zero = number(j, 0), one = number(j, 1), scale = number(j, j->scale);
  char *query = matrix(j, &j->query, n), *key = matrix(j, &j->key, n), *value = matrix(j, &j->value, n);
  char *out = matrix(j, &j->out, n), *lse = matrix(j, &j->lse, n), *mask = matrix(j, &j->mask, n);
  char *packed = memory, *tail = packed + j->key_bytes, *score = tail + j->tail_bytes;
  char *largest = score + j->score_bytes, *sum = element(j, largest, i1 - i0), *shrink = element(j, sum, i1 - i0);
  fill(j, largest, i1 - i0, -__builtin_inf());
  fill(j, sum, i1 - i0, 0);
  int64_t end = j->causal ? least(i1, j->source) : j->source;
  for (int64_t j0 = 0; j0 < end; j0 += j->keys) {
    int64_t count = least(j->keys, end - j0);
    bool last = j0 + count == end;
    GemmBlock scores, products = {0};
    set_packed(j, &scores, row_of(j, &j->key, key, j0), j->key.row, count, j->width, packed);
    set_columns(j, &products, row_of(j, &j->value, value, j0), j->value.row, j->value_width, count, tail);
    for (int64_t i = i0; i < i1; i += j->block_rows) {
      int64_t rows = least(j->block_rows, i1 - i), seen_here = seen(j, i + rows - 1, j0, count);
      char *to = row_of(j, &j->out, out, i);
      if (seen_here > 0) {
        make_scores(j, &scores, row_of(j, &j->query, query, i), j->query.row, score, &scale, i, rows, j0, count);
        int64_t step = j->causal ? kernels->mr : rows;
        for (int64_t r = 0; r < rows; r += step) {
          ScoreBlock b =
              score_block(j, element(j, score, r * j->row), mask, i + r, least(step, rows - r), j0, seen_here, 0);
          b.most = element(j, largest, i - i0 + r), b.sum = element(j, sum, i - i0 + r),
          b.shrink = element(j, shrink, r);
          j->table->weigh[j->wide](&b);
        }
        if (j0 > 0) j->table->shrink[j->wide](to, j->out.row, rows, j->value_width, shrink);
        use_scores(j, &products, score, to, j->out.row, j0 > 0 ? &one : &zero, &one, i, rows, j0, seen_here);
      }
      if (last)
        j->table->finish[j->wide](to, j->out.row, rows, j->value_width, element(j, largest, i - i0),
                                  element(j, sum, i - i0), element(j, lse, i));
    }
  }
}

static void attend_tasks(void *context, int64_t begin, int64_t end) {
  const Job *j = context;
  char *memory = block_alloc((size_t)j->bytes);
  for (int64_t t = begin; memory && t < end; t++) {
    int64_t i0 = t % j->parts * j->part_rows;
    attend(j, t / j->parts, i0, least(j->length, i0 + j->part_rows), memory);
  }
  if (memory) block_free(memory, (size_t)j->bytes);
}

/* ---- gradients ---- */

static void clear(const Job *j, char *p, int64_t row, int64_t rows, int64_t n) {
  for (int64_t r = 0; n > 0 && r < rows; r++) memset(element(j, p, r * row), 0, (size_t)(n * j->size));
}

/* Keys and values j0 .. j1 - 1 of matrix n: their gradients, and what they add to those of the queries. */
static void attend_back(const Job *j, int64_t n, int64_t part, int64_t j0, int64_t j1, char *memory) {
  const Number zero = number(j, 0), one = number(j, 1), scale = number(j, j->scale);
  char *query = matrix(j, &j->query, n), *key = matrix(j, &j->key, n), *value = matrix(j, &j->value, n);
  char *grad = matrix(j, &j->grad, n), *mask = matrix(j, &j->mask, n), *lse = matrix(j, &j->lse, n);
  char *gq = matrix(j, &j->gq, n), *gk = matrix(j, &j->gk, n), *gv = matrix(j, &j->gv, n);
  int64_t gq_row = j->gq.row;
  if (part > 0) gq = element(j, j->partial, (n * (j->parts - 1) + part - 1) * j->length * j->width), gq_row = j->width;
  char *packed_key = memory, *packed_value = packed_key + j->key_bytes, *score = packed_value + j->value_bytes;
  char *back = score + j->score_bytes, *tail_q = back + j->score_bytes, *tail_k = tail_q + j->tail_bytes,
       *tail_g = tail_k + j->tail_bytes, *delta = tail_g + j->tail_bytes;
  j->table->dots[j->wide](grad, j->grad.row, matrix(j, &j->out, n), j->out.row, j->length, j->value_width,
                          matrix(j, &j->grad_lse, n), delta);
  /* Products write what they reach first; these rows are reached by none. */
  clear(j, gq, gq_row, j->causal ? least(j->length, j0 / j->block_rows * j->block_rows) : 0, j->width);
  int64_t unseen = j->causal ? most(j0, least(j1, j->length)) : j1;
  clear(j, row_of(j, &j->gk, gk, unseen), j->gk.row, j1 - unseen, j->width);
  clear(j, row_of(j, &j->gv, gv, unseen), j->gv.row, j1 - unseen, j->value_width);
  const void *beta_q = &zero;
  for (; j0 < j1; j0 += j->keys, beta_q = &one) {
    int64_t count = least(j->keys, j1 - j0);
    GemmBlock scores, backs, for_q = {0}, for_k = {0}, for_v = {0};
    set_packed(j, &scores, row_of(j, &j->key, key, j0), j->key.row, count, j->width, packed_key);
    set_packed(j, &backs, row_of(j, &j->value, value, j0), j->value.row, count, j->value_width, packed_value);
    set_columns(j, &for_q, row_of(j, &j->key, key, j0), j->key.row, j->width, count, tail_k);
    for (int64_t i = j->causal ? j0 / j->block_rows * j->block_rows : 0; i < j->length; i += j->block_rows) {
      int64_t rows = least(j->block_rows, j->length - i), seen_here = seen(j, i + rows - 1, j0, count);
      char *q = row_of(j, &j->query, query, i), *g = row_of(j, &j->grad, grad, i);
      make_scores(j, &scores, q, j->query.row, score, &scale, i, rows, j0, count);
      make_scores(j, &backs, g, j->grad.row, back, &one, i, rows, j0, count);
      int64_t step = j->causal ? j->kernels->mr : rows;
      for (int64_t r = 0; r < rows; r += step) {
        ScoreBlock b = score_block(j, element(j, score, r * j->row), mask, i + r, least(step, rows - r), j0, count,
                                   j->kernels->mr);
        b.back = element(j, back, r * j->row);
        b.lse = element(j, lse, i + r), b.delta = element(j, delta, i + r);
        j->table->weigh_back[j->wide](&b);
      }
      use_scores(j, &for_q, back, element(j, gq, i * gq_row), gq_row, beta_q, &one, i, rows, j0, seen_here);
      set_columns(j, &for_v, g, j->grad.row, j->value_width, rows, tail_g);
      use_turned(j, &for_v, score, row_of(j, &j->gv, gv, j0), j->gv.row, &zero, &one, i, rows, j0, count);
      set_columns(j, &for_k, q, j->query.row, j->width, rows, tail_q);
      use_turned(j, &for_k, back, row_of(j, &j->gk, gk, j0), j->gk.row, &zero, &one, i, rows, j0, count);
    }
  }
}

static void back_tasks(void *context, int64_t begin, int64_t end) {
  const Job *j = context;
  char *memory = block_alloc((size_t)j->bytes);
  for (int64_t t = begin; memory && t < end; t++) {
    int64_t part = t % j->parts, j0 = part * j->part_rows;
    attend_back(j, t / j->parts, part, j0, least(j->source, j0 + j->part_rows), memory);
  }
  if (memory) block_free(memory, (size_t)j->bytes);
}

/* Adds the other tasks' gradients of a matrix's queries to those of its first. */
static void join_tasks(void *context, int64_t begin, int64_t end) {
  const Job *j = context;
  for (int64_t n = begin; n < end; n++)
    for (int64_t part = 1; part < j->parts; part++) {
      char *from = element(j, j->partial, (n * (j->parts - 1) + part - 1) * j->length * j->width);
      j->table->add[j->wide](matrix(j, &j->gq, n), j->gq.row, from, j->width, j->length, j->width);
    }
}

/* ---- calls ---- */

static void run(Job *j, PoolBody body) {
  int64_t tasks = j->matrices * j->parts;
  double each = (double)j->length * (double)j->source * (double)(j->width + j->value_width) / (double)j->parts;
  int64_t grain = each * 2 < THREAD_WORK ? (int64_t)most(1, (int64_t)(THREAD_WORK / most(1, (int64_t)each))) : 1;
  if (tasks <= grain)
    body(j, 0, tasks);
  else
    parallel_for(tasks, grain, body, j);
}

/* Cuts `rows` of each matrix into parts, in units, so that there are tasks enough. */
static void cut(Job *j, int64_t rows, int64_t unit) {
  int64_t parts = most(1, least(quotient_up(TASKS, most(1, j->matrices)), rows / TASK_ROWS));
  j->part_rows = most(unit, whole(quotient_up(rows, parts), unit));
  j->parts = most(1, quotient_up(rows, j->part_rows));
}

/* Sizes of blocks and of a task's memory. */
static bool lay_out(Job *j, int64_t keys, int64_t block_bytes, bool back) {
  const GemmKernels *kernels = j->kernels;
  int64_t mr = kernels->mr, nr = kernels->nr, size = j->size;
  j->keys = keys;
  j->dots = !back && j->length <= FEW_QUERIES;
  int64_t columns = least(keys, most(1, j->source));
  j->row = whole(columns, most(j->lanes, nr));
  int64_t rows = most(1, block_bytes / (j->row * size) / mr) * mr;
  /* blocks of about the same height */
  int64_t blocks = most(1, quotient_up(j->length, rows));
  j->block_rows = most(mr, whole(quotient_up(j->length, blocks), mr));
  cut(j, back ? j->source : j->length, back ? keys : j->block_rows);
  int64_t tallest = most(columns, j->block_rows);
  if (!size_mul(j->row * size, j->width, &j->key_bytes) || !size_mul(j->row * size, j->value_width, &j->value_bytes) ||
      !size_mul(j->length, size, &j->bytes))
    return false;
  j->key_bytes = whole(j->key_bytes + 1, 64), j->value_bytes = whole(j->value_bytes + 1, 64);
  j->score_bytes = j->block_rows * j->row * size;
  j->tail_bytes = whole(tallest * nr * size, 64);
  if (back)
    j->bytes += j->key_bytes + j->value_bytes + 2 * j->score_bytes + 3 * j->tail_bytes;
  else
    j->bytes = 2 * j->part_rows * size + j->block_rows * size + j->key_bytes + j->score_bytes + j->tail_bytes;
  return true;
}

/* The call on float32 copies of 16-bit operands; owned by `held`, which has room for three. */
static bool widened(const Attention *a, Attention *wide, Tensor **held) {
  *wide = *a;
  Tensor **at[] = {&wide->query, &wide->key, &wide->value};
  for (int k = 0; k < 3; k++)
    if (!(*at[k] = held[k] = tensor_cast(*at[k], MT_F32))) return false;
  return true;
}
static bool is_narrow(const Attention *a) { return dtype_size((DType)a->query->dtype) < 4; }

static Job job_of(const Attention *a, const Tensor *lse) {
  const Tensor *q = a->query, *v = a->value;
  Job j = {.kernels = gemm_kernels(a->isa, (DType)q->dtype),
           .table = VEC_AT(a->isa, attention_table),
           .wide = q->dtype == MT_F64,
           .causal = a->causal,
           .mask_is_bool = a->mask && a->mask->dtype == MT_BOOL,
           .size = dtype_size((DType)q->dtype),
           .dims = lse->ndim - 1,
           .matrices = 1,
           .length = q->shape[q->ndim - 2],
           .source = v->shape[v->ndim - 2],
           .width = q->shape[q->ndim - 1],
           .value_width = v->shape[v->ndim - 1]};
  j.lanes = 64 / j.size;
  j.scale = j.width > 0 ? a->scale : 0; /* no scores then: all alike, whatever the scale */
  for (int d = 0; d < j.dims; d++) j.matrices *= j.batch[d] = lse->shape[d];
  return j;
}

enum { HELD = 8 };
static void release_all(Tensor **held) {
  for (int k = 0; k < HELD; k++) tensor_release(held[k]);
}

static Tensor *like(const Tensor *t) { return tensor_new(MT_F32, t->ndim, t->shape, tensor_device(t)); }
static bool narrow_attention(const Attention *a, Tensor *out, Tensor *lse) {
  Attention wide;
  Tensor *held[HELD] = {NULL};
  bool good = widened(a, &wide, held) && (held[3] = like(out)) && cpu_attention(&wide, held[3], lse) &&
              tensor_copy_into(out, held[3]);
  release_all(held);
  return good;
}
static bool narrow_attention_back(const Attention *a, Tensor *out, Tensor *lse, Tensor *grad, Tensor *grad_lse,
                                  Tensor *const *to) {
  Attention wide;
  Tensor *held[HELD] = {NULL};
  bool good = widened(a, &wide, held) && (held[3] = tensor_cast(out, MT_F32)) && (held[4] = tensor_cast(grad, MT_F32));
  for (int k = 0; k < 3; k++) good = good && (held[5 + k] = like(to[k]));
  good = good && cpu_attention_back(&wide, held[3], lse, held[4], grad_lse, held[5], held[6], held[7]);
  for (int k = 0; k < 3; k++) good = good && tensor_copy_into(to[k], held[5 + k]);
  release_all(held);
  return good;
}

static bool stack_inputs(Job *j, const Attention *a, Tensor **held) {
  return stack(j, a->query, j->width, &j->query, held) && stack(j, a->key, j->width, &j->key, held + 1) &&
         stack(j, a->value, j->value_width, &j->value, held + 2) && stack(j, a->mask, j->source, &j->mask, held + 3);
}

static Stack result(const Job *j, const Tensor *t) { return stack_of(t, j->dims, t->stride[t->ndim - 2]); }

bool cpu_attention(const Attention *a, Tensor *out, Tensor *lse) {
  if (is_narrow(a)) return narrow_attention(a, out, lse);
  Job j = job_of(a, lse);
  if (lse->numel == 0) return true;
  if (j.source == 0) return tensor_fill(out, scalar_int(0)) && tensor_fill(lse, scalar_int(0));
  Tensor *held[HELD] = {NULL};
  bool good = lay_out(&j, KEYS, BLOCK_BYTES, false) && stack_inputs(&j, a, held);
  if (good) {
    j.out = result(&j, out);
    j.lse = stack_of(lse, j.dims, 1);
    run(&j, attend_tasks);
  }
  release_all(held);
  return good && !failed();
}

bool cpu_attention_back(const Attention *a, Tensor *out, Tensor *lse, Tensor *grad, Tensor *grad_lse, Tensor *gq,
                        Tensor *gk, Tensor *gv) {
  if (is_narrow(a)) return narrow_attention_back(a, out, lse, grad, grad_lse, (Tensor *[]){gq, gk, gv});
  Job j = job_of(a, lse);
  if (j.matrices == 0) return true;
  if (j.length == 0 || j.source == 0)
    return tensor_fill(gq, scalar_int(0)) && tensor_fill(gk, scalar_int(0)) && tensor_fill(gv, scalar_int(0));
  Tensor *held[HELD] = {NULL};
  int64_t partial = 0;
  bool good = lay_out(&j, KEYS_BACK, BLOCK_BYTES_BACK, true) && stack_inputs(&j, a, held) &&
              stack(&j, grad, j.value_width, &j.grad, held + 4) && stack(&j, out, j.value_width, &j.out, held + 5) &&
              (held[6] = tensor_cast(lse, (DType)lse->dtype)) &&
              (!grad_lse || (held[7] = tensor_cast(grad_lse, (DType)lse->dtype))) &&
              size_mul(j.matrices * (j.parts - 1) * j.size, j.length * j.width, &partial) &&
              (partial == 0 || (j.partial = block_alloc((size_t)partial)));
  if (good) {
    j.lse = stack_of(held[6], j.dims, 1);
    if (grad_lse) j.grad_lse = stack_of(held[7], j.dims, 1);
    j.gq = result(&j, gq), j.gk = result(&j, gk), j.gv = result(&j, gv);
    run(&j, back_tasks);
    if (j.partial) parallel_for(j.matrices, 1, join_tasks, &j);
  }
  if (j.partial) block_free(j.partial, (size_t)partial);
  release_all(held);
  return good && !failed();
}
