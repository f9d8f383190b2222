/* Embedding tables: embedding and embedding_bag.
 *
 * Positions count from 1, padding_idx too; offsets of bags and their sizes are counts. Everything but the taking of rows is
 * made of other operators, so derivatives of any order exist. */
#include "cpu/device_kernels.h"
#include "ops/ops.h"
#include <string.h>

extern OpDef def_embedding, def_index_add, def_embedding_renorm_, def_gather, def_maximum;

static bool is_index(const Tensor *t) { return t->dtype == MT_I64 || t->dtype == MT_I32; }

static bool check_indices(const Tensor *index, const char *name, const char *caller) {
  return is_index(index) ||
         fail(MT_EARG,
              "Expected tensor for argument #1 '%s' to have one of the following scalar types: Long, Int; but got "
              "torch.%sTensor instead (while checking arguments for %s): it is %s; use :long()",
              name, dtype_info[index->dtype].type_name, caller, tensor_text(index));
}
static bool check_weight(const Tensor *weight, const Tensor *index) {
  return weight->ndim == 2 || fail(MT_EARG, "'weight' must be 2-D, but it is %s%s", tensor_text(weight),
                                   !is_index(index) && is_index(weight) ? ": weight and indices are the other way round"
                                                                        : ": (rows, width of an embedding)");
}

/* ---- rows ---- */

static bool infer_share(OpCall *c) {
  return check_indices(in(c, 0), "indices", "embedding") &&
         out_shape(c, 0, c->arg[4].dtype == MT_F64 ? MT_F64 : MT_F32, 2, (int64_t[]){in(c, 0)->numel, 1});
}
static bool run_share(OpCall *c) {
  return any_embedding_share(in(c, 0), c->arg[1].i, c->arg[2].i, c->arg[3].i, c->out[0]);
}
OP(embedding_share,
   .schema = "embedding_share(Index indices, int rows, int padding, bool by_count, dtype dtype) -> Tensor",
   .doc = "A column: what each row's gradient counts.", .samples = "x(2,3;4) 4 1 true 'float32'",
   .errors = "f(2,3) 4 1 true 'float32'", .flags = OP_HIDDEN | OP_NO_GRADIENT, .infer = infer_share,
   .kernel = EVERYWHERE(run_share));

/* weight, indices, padding_idx, scale_grad_by_freq, sparse */
static bool infer_embedding(OpCall *c) {
  const Tensor *weight = in(c, 0), *index = in(c, 1);
  int64_t shape[MT_MAX_DIMS];
  if (!check_weight(weight, index) || !check_indices(index, "indices", "embedding")) return false;
  if (index->ndim == MT_MAX_DIMS)
    return fail(MT_EARG, "indices of %d dims give a result of more than %d", index->ndim, MT_MAX_DIMS);
  memcpy(shape, index->shape, sizeof(int64_t) * (size_t)index->ndim);
  shape[index->ndim] = weight->shape[1];
  return out_shape(c, 0, (DType)weight->dtype, index->ndim + 1, shape);
}
static bool run_embedding(OpCall *c) { return any_embedding(in(c, 0), in(c, 1), c->out[0]); }
static void back_embedding(Grad *g) {
  const EdgeMeta *m = g_meta(g, 0);
  Tensor *index = g_in(g, 1), *gy = g_out(g, 0);
  if (!index || !gy) return;
  DType lane = m->dtype == MT_F64 ? MT_F64 : MT_F32;
  int64_t flat[] = {index->numel}, rows[] = {index->numel, m->shape[1]};
  gy = op_reshape(op_cast(gy, lane), 2, rows);
  index = op_reshape(index, 1, flat);
  int64_t padding = g_arg(g, 2)->i;
  if (padding >= 0 || g_arg(g, 3)->i) {
    extern OpDef def_embedding_share;
    Arg arg[] = {ARG_T(index), ARG_I(m->shape[0]), ARG_I(padding), *g_arg(g, 3), ARG_DTYPE(lane)};
    Tensor *share = op_run(&def_embedding_share, arg);
    gy = op_where(op_eq(share, op_int(0)), op_float(0), op_mul(gy, share)); /* padding is 0, whatever gy is */
  }
  Tensor *zero = op_full(lane, 2, m->shape, m->device, scalar_int(0));
  g_set(g, 0, op_run(&def_index_add, (Arg[]){ARG_T(zero), ARG_I(0), ARG_T(index), ARG_T(gy), ARG_N(scalar_int(1))}));
}
OP(embedding,
   .schema = "embedding(Tensor weight, Index indices, Position padding_idx=-1, bool scale_grad_by_freq=False, bool "
             "sparse=False) -> Tensor",
   .doc =
       "Rows of weight (rows, width) at the positions in indices, of any shape. The row padding_idx gets no gradient; "
       "with scale_grad_by_freq each row's gradient is divided by how often it was taken. Gradients are dense, with "
       "sparse too.",
   .samples = "f(4,3) x(2,3;4) | f(4,2) x(;4) | i(4,2) x(3;4) | f(4,3) x(0;4) | f(4,3) x(5;4) sparse=True",
   .errors = "f(4) x(2;4) | f(4,3) f(2) | f(4,3) x(2;5)", .saves = "weight: indices", .flags = OP_FUNCTION,
   .infer = infer_embedding, .kernel = EVERYWHERE(run_embedding), .backward = back_embedding);

/* ---- as torch.nn.functional has it ---- */

static bool infer_renorm(OpCall *c) {
  const Tensor *weight = in(c, 0), *index = in(c, 1);
  if (!check_weight(weight, index) || !check_indices(index, "indices", "embedding_renorm_")) return false;
  if (!tensor_is_float(weight))
    return fail(MT_ENOTIMPL,
                "norm(): input dtype should be either floating point or complex. Got %s instead.: max_norm "
                "is for float weights",
                dtype_info[weight->dtype].type_name);
  return infer_same(c);
}
static bool run_renorm(OpCall *c) {
  return any_embedding_renorm(c->out[0], in(c, 1), scalar_double(c->arg[2].number), scalar_double(c->arg[3].number));
}
OP(embedding_renorm_,
   .schema = "embedding_renorm(Tensor input, Index indices, float max_norm, float norm_type) -> Tensor",
   .doc = "Scales rows that indices name down to max_norm.", .samples = "f(4,3) x(5;4) 0.5 2 | f(4,3) x(5;4) 1 1",
   .errors = "f(4) x(2;4) 1 2 | i(4,2) x(2;4) 1 2 | f(4,3) x(2;5) 1 2 | f(4,3) f(2) 1 2",
   .flags = OP_HIDDEN | OP_INPLACE | OP_INPLACE_ONLY | OP_MODIFIES | OP_NO_GRADIENT, .infer = infer_renorm,
   .kernel = EVERYWHERE(run_renorm));

/* A row from 0, or -1 for none, from argument k; negative ones count from the end. */
static bool padding_row(const OpCall *c, int k, const Tensor *weight, const char *sentence, int64_t *row) {
  int64_t rows = weight->ndim > 0 ? weight->shape[0] : 0, i = c->arg[k].i;
  *row = -1;
  if (!c->arg[k].given) return true;
  if (i >= rows || i < -rows)
    return fail(MT_EARG, "%s: it is %lld, and weight has %lld rows, counted from 1", sentence,
                (long long)(i < 0 ? i : i + 1), (long long)rows);
  *row = i < 0 ? i + rows : i;
  return true;
}

/* Rows above max_norm are scaled in the table itself, outside of the graph. */
static bool renorm(Tensor *weight, Tensor *index, const Arg *max_norm, const Arg *norm_type) {
  return !max_norm->given ||
         op_run_inplace(&def_embedding_renorm_, (Arg[]){ARG_T(op_detach(weight)), ARG_T(index), *max_norm, *norm_type});
}

/* input, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse */
static bool compose_f_embedding(OpCall *c) {
  Tensor *index = in(c, 0), *weight = in(c, 1);
  int64_t padding;
  if (!check_weight(weight, index) || !check_indices(index, "indices", "embedding") ||
      !padding_row(c, 2, weight, "Padding_idx must be within num_embeddings", &padding) ||
      !renorm(weight, index, &c->arg[3], &c->arg[4]))
    return false;
  Arg arg[] = {ARG_T(weight), ARG_T(index), ARG_I(padding), c->arg[5], ARG_I(0)};
  return compose_return(c, 0, op_run(&def_embedding, arg));
}
OP(f_embedding,
   .schema = "embedding(Index input, Tensor weight, Position? padding_idx=None, float? max_norm=None, float "
             "norm_type=2.0, bool scale_grad_by_freq=False, bool sparse=False) -> Tensor",
   .doc =
       "embedding as torch.nn.functional has it: negative padding_idx count from the last row, and rows above max_norm "
       "are scaled down in weight itself.",
   .samples = "x(2,3;4) f(4,3) | x(;4) f(4,2)",
   .errors = "x(2;4) f(4) | x(2;4) f(4,3) 5 | x(2;4) f(4,3) -5 | x(2;4) i(4,3) max_norm=1.0", .flags = OP_HIDDEN,
   .compose = compose_f_embedding);

/* ---- bags ---- */

static bool check_table(const Tensor *weight, const Tensor *index) {
  return check_weight(weight, index) ||
         (fail_prefix("weight has to be a 2D Tensor, but got Tensor of dimension %d: ", weight->ndim), false);
}

static bool infer_bag_max(OpCall *c) {
  const Tensor *weight = in(c, 0);
  return check_table(weight, in(c, 1)) && check_indices(in(c, 1), "indices", "embedding_bag") &&
         (in(c, 1)->numel == in(c, 2)->numel || fail(MT_EARG, "one bag for each index")) &&
         (tensor_is_float(weight) || fail(MT_EARG, "weight must be of floats")) &&
         out_shape(c, 0, MT_I64, 2, (int64_t[]){c->arg[3].i, weight->shape[1]});
}
static bool run_bag_max(OpCall *c) { return any_bag_max(in(c, 0), in(c, 1), in(c, 2), c->out[0]); }
OP(bag_max, .schema = "bag_max(Tensor weight, Index indices, Index bags, int count) -> Index",
   .doc = "Which row is the largest of each bag, in each column.", .samples = "f(4,3) x(5;4) x(5;2) 2",
   .errors = "f(4,3) x(5;4) x(4;2) 2 | f(4,3) x(5;4) x(5;3) 2", .flags = OP_HIDDEN | OP_NO_GRADIENT,
   .infer = infer_bag_max, .kernel = EVERYWHERE(run_bag_max));

/* What offsets say: the bag of each index that is not padding, from 1, and how many of these each bag has. */
typedef struct {
  Tensor *index, *kept, *bag, *size; /* int64; in the pool */
  int64_t *where;                    /* numbers from 0 of the kept ones; owned by `kept` */
  int64_t bags;
} Bags;

static Tensor *new_index(int64_t n) { return op_full(MT_I64, 1, &n, (Device){MT_CPU, 0}, scalar_int(0)); }
static int64_t *numbers(const Tensor *t) { return (int64_t *)(void *)tensor_data(t); }

/* Bags are read on the host; what is made of them goes to `device`. */
static bool read_bags(Bags *b, Device device, int64_t rows, Tensor *indices, Tensor *offsets, bool last,
                      int64_t padding) {
  indices = op_host(indices);
  if (!indices || !cpu_embedding_check(indices, rows)) {
    if (fail_code() == MT_EINDEX)
      fail_prefix("embedding_bag: Expected idx >= 0 && idx < num_embeddings but found idx to be outside: ");
    return false;
  }
  int64_t n = indices->numel, *bag_of;
  Tensor *from = pool_add(tensor_packed(offsets, MT_I64));
  b->index = pool_add(tensor_packed(indices, MT_I64));
  if (!from || !b->index) return false;
  if (last && from->numel == 0) return fail(MT_EARG, "include_last_offset: number of offset should be at least 1");
  const int64_t *start = numbers(from), *at = numbers(b->index);
  b->bags = from->numel - last;
  for (int64_t k = 0; k < from->numel; k++) {
    if (k == 0 && start[0] != 0)
      return fail(MT_EARG,
                  "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from position 0. "
                  "However, got %lld. Offsets count elements and are not shifted in Lua",
                  (long long)start[0]);
    if (start[k] > n)
      return fail(MT_EARG, "offsets[-1] can not be greater than input's length %lld but got offsets[-1] of %lld",
                  (long long)n, (long long)start[k]);
    if (k > 0 && start[k] < start[k - 1])
      return fail(MT_EARG, "offsets should not decrease: element %lld is %lld after %lld", (long long)k + 1,
                  (long long)start[k], (long long)start[k - 1]);
  }
  int64_t count = 0, used = b->bags > 0 && last ? start[b->bags] : b->bags > 0 ? n : 0;
  for (int64_t i = 0; i < used; i++) count += at[i] - 1 != padding;
  b->size = new_index(b->bags);
  b->bag = new_index(count);
  b->kept = new_index(count);
  Tensor *where = new_index(count);
  if (!b->size || !b->bag || !b->kept || !where) return false;
  bag_of = numbers(b->bag);
  b->where = numbers(where);
  int64_t k = 0;
  for (int64_t g = 0; g < b->bags; g++) {
    int64_t end = g + 1 < from->numel ? start[g + 1] : n;
    for (int64_t i = start[g]; i < end; i++) {
      if (at[i] - 1 == padding) continue;
      numbers(b->size)[g]++;
      bag_of[k] = g + 1;
      b->where[k] = i + 1;
      numbers(b->kept)[k++] = at[i];
    }
  }
  b->size = op_on(b->size, device);
  b->bag = op_on(b->bag, device);
  b->kept = op_on(b->kept, device);
  return !failed();
}

enum { BAG_SUM, BAG_MEAN, BAG_MAX };

/* The reduced bags. weights: those of the kept indices, or NULL. */
static Tensor *reduce_bags(const Bags *b, Tensor *weight, int mode, bool by_count, Tensor *weights, Tensor **largest) {
  DType d = (DType)weight->dtype, lane = d == MT_F64 ? MT_F64 : MT_F32;
  int64_t shape[] = {b->bags, weight->shape[1]}, column[] = {b->bags, 1};
  Device device = tensor_device(weight);
  if (mode == BAG_MAX) {
    extern OpDef def_bag_max;
    *largest = op_run(&def_bag_max, (Arg[]){ARG_T(weight), ARG_T(b->kept), ARG_T(b->bag), ARG_I(b->bags)});
    if (weight->shape[0] == 0) return op_full(d, 2, shape, device, scalar_int(0));
    Tensor *empty = op_eq(op_reshape(b->size, 2, column), op_int(0));
    return op_where(empty, op_full(d, 0, NULL, device, scalar_int(0)), op_gather(weight, 0, *largest));
  }
  Arg arg[] = {ARG_T(weight), ARG_T(b->kept), ARG_I(-1), ARG_I(by_count), ARG_I(0)};
  Tensor *rows = op_cast(op_run(&def_embedding, arg), lane);
  if (weights) rows = op_mul(rows, op_unsqueeze(op_cast(weights, lane), 1));
  Tensor *zero = op_full(lane, 2, shape, device, scalar_int(0));
  Tensor *sum =
      op_run(&def_index_add, (Arg[]){ARG_T(zero), ARG_I(0), ARG_T(b->bag), ARG_T(rows), ARG_N(scalar_int(1))});
  if (mode == BAG_MEAN) {
    Tensor *count = op_run(&def_maximum, (Arg[]){ARG_T(b->size), ARG_T(op_int(1))});
    sum = op_div(sum, op_cast(op_reshape(count, 2, column), lane));
  }
  return op_cast(sum, d);
}

typedef struct {
  Tensor *weight, *indices, *offsets, *weights; /* weights: per sample, or NULL */
  bool by_count, last;
  int64_t mode, padding; /* a row from 0, -1 for none */
} Bagging;

static bool check_bagging(const Bagging *g) {
  const Tensor *w = g->weight;
  if (!check_table(w, g->indices) || !check_indices(g->indices, "indices", "embedding_bag") ||
      !check_indices(g->offsets, "offsets", "embedding_bag"))
    return false;
  if (!tensor_is_float(w))
    return fail(MT_EARG,
                "Expected tensor for argument #1 'weight' to have one of the following scalar types: Half, "
                "BFloat16, Float, Double; but got torch.%sTensor instead (while checking arguments for "
                "embedding_bag): use :float()",
                dtype_info[w->dtype].type_name);
  if (g->indices->ndim != 1 || g->offsets->ndim != 1)
    return fail(MT_EARG, "input has to be a 1D Tensor, and offsets too, but they are %s and %s",
                shape_text(g->indices->ndim, g->indices->shape), shape_text(g->offsets->ndim, g->offsets->shape));
  if (g->mode < BAG_SUM || g->mode > BAG_MAX)
    return fail(MT_EARG, "`mode` must be sum, mean, or max.: 0, 1 or 2, but it is %lld", (long long)g->mode);
  if (!g->weights) return true;
  if (g->mode != BAG_SUM) return fail(MT_EARG, "embedding_bag: per_sample_weights only supported with mode='sum'");
  if (g->weights->dtype != w->dtype)
    return fail(MT_EARG, "expected scalar type %s but found %s: weight is %s, per_sample_weights %s",
                dtype_info[w->dtype].type_name, dtype_info[g->weights->dtype].type_name, tensor_text(w),
                tensor_text(g->weights));
  return (g->weights->ndim == 1 && g->weights->numel == g->indices->numel) ||
         fail(MT_EARG,
              "Expected per_sample_weights.value().numel() == indices.numel() to be true, but got false.: they "
              "are %s and %s",
              shape_text(g->weights->ndim, g->weights->shape), shape_text(g->indices->ndim, g->indices->shape));
}

/* out: bags, offset2bag, bag_size, max_indices. PyTorch leaves the last three empty or zero where its own gradient does
 * without them. */
static bool embedding_bag(const Bagging *g, Tensor **out) {
  Bags b;
  Device device = tensor_device(g->weight);
  if (!check_bagging(g) || !read_bags(&b, device, g->weight->shape[0], g->indices, g->offsets, g->last, g->padding))
    return false;
  Tensor *weights = g->weights;
  if (weights && b.kept->numel < weights->numel) {
    int64_t n = b.kept->numel;
    Tensor *where = new_index(n);
    if (!where) return false;
    if (n > 0) memcpy(tensor_data(where), b.where, sizeof(int64_t) * (size_t)n);
    weights = op_index_select(weights, 0, op_on(where, device));
  }
  out[0] = reduce_bags(&b, g->weight, (int)g->mode, g->by_count, weights, &out[3]);
  bool plain = g->mode == BAG_SUM && g->padding < 0 && g->weight->dtype != MT_F64 && g->weight->stride[1] == 1;
  out[1] = plain ? op_on(new_index(0), device) : b.bag;
  if (!plain && g->padding >= 0) { /* every index has its bag, padding too */
    Bags all;
    if (!read_bags(&all, device, g->weight->shape[0], g->indices, g->offsets, g->last, -1)) return false;
    out[1] = all.bag;
  }
  out[2] = g->mode == BAG_SUM ? op_on(new_index(b.bags), device) : b.size;
  if (g->mode != BAG_MAX) out[3] = out[2] ? op_detach(out[2]) : NULL;
  return out[0] && out[1] && out[2] && out[3];
}

static bool compose_embedding_bag(OpCall *c) {
  Bagging g = {in(c, 0), in(c, 1), in(c, 2), in(c, 6), c->arg[3].i, c->arg[7].i, c->arg[4].i, -1};
  Tensor *out[4];
  if (!check_table(g.weight, g.indices) ||
      !padding_row(c, 8, g.weight, "padding_idx must be within the number of embeddings", &g.padding) ||
      !embedding_bag(&g, out))
    return false;
  for (int k = 0; k < 4; k++)
    if (!compose_return(c, k, out[k])) return false;
  return true;
}
OP(embedding_bag,
   .schema = "embedding_bag(Tensor weight, Index indices, Tensor offsets, bool scale_grad_by_freq=False, int mode=0, "
             "bool sparse=False, Tensor? per_sample_weights=None, bool include_last_offset=False, Position? "
             "padding_idx=None) -> (Tensor bags, Index offset2bag, Tensor bag_size, Index max_indices)",
   .doc = "Sums (mode 0), means (1) or maxima (2) of bags of embedding's rows. Bag b begins after offsets[b] indices "
          "(a count, so not shifted); with include_last_offset the last offset is where the last bag ends. "
          "per_sample_weights multiply the rows of a sum; indices equal to padding_idx are left out.",
   .samples = "f(4,3) x(5;4) x(0;1)",
   .errors = "f(4) x(5;4) x(0;1) | f(4,3) f(5) x(0;1) | i(4,3) x(5;4) x(0;1) | f(4,3) x(5;4) x(2;1)",
   .flags = OP_FUNCTION, .compose = compose_embedding_bag);

/* input, weight, offsets, max_norm, norm_type, scale_grad_by_freq, mode, sparse, per_sample_weights, include_last_offset,
 * padding_idx */
static bool compose_f_embedding_bag(OpCall *c) {
  Tensor *input = in(c, 0), *weight = in(c, 1), *offsets = in(c, 2), *weights = in(c, 8), *out[4];
  static const char *const modes[] = {"sum", "mean", "max"};
  int mode = 0;
  while (mode < 3 && strcmp(c->arg[6].str, modes[mode]) != 0) mode++;
  if (!check_table(weight, input) || !check_indices(input, "indices", "embedding_bag")) return false;
  if (weights && !tensor_same_shape(weights, input))
    return fail(
        MT_EARG,
        "embedding_bag: If per_sample_weights (torch.Size(%s)) is not None, then it must have the same shape as "
        "the input (torch.Size(%s))",
        shape_text(weights->ndim, weights->shape), shape_text(input->ndim, input->shape));
  bool last = c->arg[9].i;
  if (input->ndim == 2) {
    if (offsets)
      return fail(MT_EARG,
                  "if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed "
                  "length sequences. However, found offsets %s",
                  tensor_text(offsets));
    int64_t rows = input->shape[0], width = input->shape[1];
    last = false;
    offsets = new_index(rows);
    for (int64_t i = 0; offsets && i < rows; i++) numbers(offsets)[i] = i * width;
    input = op_reshape(input, 1, (int64_t[]){rows * width});
    if (weights) weights = op_reshape(weights, 1, (int64_t[]){rows * width});
    if (!offsets || !input) return false;
  } else if (input->ndim != 1) {
    return fail(MT_EARG, "input has to be 1D or 2D Tensor, but got Tensor of dimension %d", input->ndim);
  } else if (!offsets) {
    return fail(MT_EARG,
                "offsets has to be a 1D Tensor but got None: it says after how many elements of input each bag "
                "begins; a 2-D input has a bag in each row");
  } else if (offsets->ndim != 1) {
    return fail(MT_EARG, "offsets has to be a 1D Tensor, but it is %s", shape_text(offsets->ndim, offsets->shape));
  }
  if (mode == 3) return fail(MT_EARG, "mode has to be one of sum, mean or max, but it is '%s'", c->arg[6].str);
  if (mode == BAG_MAX && c->arg[5].i)
    return fail(MT_EARG, "max mode does not support scaling the gradient by the frequency");
  if (mode == BAG_MAX && c->arg[7].i)
    return fail(MT_EARG, "max mode does not support sparse weights: leave sparse out");
  if (weights && mode != BAG_SUM)
    return fail(MT_ENOTIMPL,
                "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for "
                "mode='sum' (got mode='%s')",
                modes[mode]);
  Bagging g = {weight, input, offsets, weights, c->arg[5].i, last, mode, -1};
  return padding_row(c, 10, weight, "padding_idx must be within the number of embeddings", &g.padding) &&
         check_bagging(&g) && renorm(weight, input, &c->arg[3], &c->arg[4]) && embedding_bag(&g, out) &&
         compose_return(c, 0, out[0]);
}
OP(f_embedding_bag,
   .schema = "embedding_bag(Index input, Tensor weight, Tensor? offsets=None, float? max_norm=None, float norm_type=2, "
             "bool scale_grad_by_freq=False, str mode='mean', bool sparse=False, Tensor? per_sample_weights=None, bool "
             "include_last_offset=False, Position? padding_idx=None) -> Tensor",
   .doc = "embedding_bag as torch.nn.functional has it: a 2-D input has a bag in each row.",
   .samples = "x(2,3;4) f(4,3) | x(2,3;4) f(4,3) mode='sum' per_sample_weights=f(2,3) | x(2,3;4) f(4,3) mode='max'",
   .errors = "x(4;4) f(4,3) | x(2,2;4) f(4,3) mode='avg' | x(2,2;4) f(4,3) padding_idx=5 | x(2,2;4) f(4,3) mode='max' "
             "scale_grad_by_freq=True | x(2,2;4) f(4,3) mode='mean' per_sample_weights=f(2,2) | x(2,2;4) f(4,3) "
             "mode='max' sparse=True | x(;4) f(4,3) | x(2,2;4) f(4,3) mode='sum' per_sample_weights=f(4)",
   .flags = OP_HIDDEN, .compose = compose_f_embedding_bag);
