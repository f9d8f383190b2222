/* Attention: softmax(scale Q K^T + mask) V without the matrix of scores, and its gradients.
 *
 * Blocks of scores are made, weighed by exponentials and used up while they are in cache. A row keeps its running maximum
 * and sum; what stays for the gradients is lse, the logarithm of the sum of exponentials of each row's scores. A row that
 * may attend to nothing gives 0, and so does its lse: exp(-inf - lse) is 0 there too. After Dao, FlashAttention-2 (2023). */
#ifndef MT_ATTENTION_H
#define MT_ATTENTION_H
#include "cpu/isa.h"
#include "tensor/tensor.h"

/* What scores are summed in: the dtype of lse, and of a mask of numbers. */
static inline DType attention_lane(const Tensor *query) { return query->dtype == MT_F64 ? MT_F64 : MT_F32; }

/* query (batch, L, E), key (batch, S, E), value (batch, S, Ev), all of one float dtype, with any strides; batch stands for the dims of lse (batch, L) but its last one. A size of key's, value's or mask's batch that divides lse's
 * is repeated, element by element. mask is bool or of lse's dtype, expands to (batch, L, S), and may be NULL. */
typedef struct {
  Tensor *query, *key, *value, *mask;
  bool causal; /* row i sees the first i + 1 keys */
  double scale;
  int isa; /* whose kernels run: isa_level() but in tests */
} Attention;

/* out is (batch, L, Ev), with any strides. */
bool cpu_attention(const Attention *a, Tensor *out, Tensor *lse);
/* Gradients from that of out, and from that of lse unless it is NULL. gq, gk and gv have batch's full sizes: what was
 * repeated is not summed. */
bool cpu_attention_back(const Attention *a, Tensor *out, Tensor *lse, Tensor *grad, Tensor *grad_lse, Tensor *gq,
                        Tensor *gk, Tensor *gv);

/* Below this line: what src/cpu/vec/attention.c offers to src/cpu/attention.c. */

/* A block of scores: row r has `width` elements, whole vectors, of which the first valid + r * step count (clipped to
 * 0 .. columns); what follows is garbage and becomes 0. */
typedef struct {
  void *score, *back; /* back: gradients of the weights, which become those of the scores */
  int64_t rows, columns, width, row, valid, step;
  const void *mask; /* columns elements a row, or NULL */
  int64_t mask_row;
  bool mask_is_bool;
  /* One element a row. weigh: the maximum and sum so far, and by what earlier results shrink. weigh_back: lse, the sum of
   * weight and gradient. */
  void *most, *sum, *shrink;
  const void *lse, *delta;
  double scale;
} ScoreBlock;

typedef struct {
  /* Scores become exponentials of their distance to the maximum, which is brought up to date. */
  void (*weigh[2])(const ScoreBlock *b); /* [is double] */
  /* Scores become weights, back becomes scale weight (back - delta). */
  void (*weigh_back[2])(const ScoreBlock *b);
  /* Rows of n elements, `row` apart, times a factor each. */
  void (*shrink[2])(void *x, int64_t row, int64_t rows, int64_t n, const void *factor);
  /* The same by 1 / sum, or 0 for an empty row; and lse of each. */
  void (*finish[2])(void *x, int64_t row, int64_t rows, int64_t n, const void *most, const void *sum, void *lse);
  /* The dot product of each row of x and y, less `less` unless that is NULL. */
  void (*dots[2])(const void *x, int64_t x_row, const void *y, int64_t y_row, int64_t rows, int64_t n, const void *less,
                  void *out);
  void (*add[2])(void *x, int64_t x_row, const void *y, int64_t y_row, int64_t rows, int64_t n);
} AttentionTable;
VEC_TABLE(AttentionTable, attention_table);
#endif
