/* Autocast: the lists of operators, casts of their arguments, and the casts of weights that are kept.
 *
 * The lists are PyTorch's (aten/src/ATen/autocast_mode.h and .cpp), with our names where an operator of its own does the
 * same here. float64 is never cast, integers and Lua numbers neither. A kept cast is used only while its tensor has the
 * memory and the version that it was made from, so a write to a weight is never missed.
 * Source: https://docs.pytorch.org/docs/stable/amp.html#autocast-op-reference */
#include "graph/autocast.h"
#include "base/alloc.h"
#include "graph/node.h"
#include "graph/record.h"
#include <stdlib.h>
#include <string.h>

/* Sorted by name. */
static const struct {
  const char *name;
  uint8_t policy[MT_DEVICES]; /* CastPolicy on the cpu, on cuda */
} table[] = {
    {"acos", {CAST_NONE, CAST_FLOAT}},
    {"adaptive_avg_pool3d", {CAST_FLOAT, CAST_NONE}},
    {"adaptive_max_pool3d", {CAST_FLOAT, CAST_NONE}},
    {"addbmm", {CAST_LOWER, CAST_LOWER}},
    {"addcdiv", {CAST_NONE, CAST_WIDEST}},
    {"addcmul", {CAST_NONE, CAST_WIDEST}},
    {"addmm", {CAST_LOWER, CAST_LOWER}},
    {"addmv", {CAST_NONE, CAST_LOWER}},
    {"addr", {CAST_NONE, CAST_LOWER}},
    {"affine_grid_generator", {CAST_LOWER, CAST_NONE}},
    {"asin", {CAST_NONE, CAST_FLOAT}},
    {"atan2", {CAST_NONE, CAST_WIDEST}},
    {"avg_pool3d", {CAST_FLOAT, CAST_NONE}},
    {"baddbmm", {CAST_LOWER, CAST_LOWER}},
    {"bilinear", {CAST_NONE, CAST_WIDEST}},
    {"binary_cross_entropy", {CAST_FLOAT, CAST_REFUSED}},
    {"binary_cross_entropy_with_logits", {CAST_FLOAT, CAST_FLOAT}},
    {"bmm", {CAST_LOWER, CAST_LOWER}},
    {"cat", {CAST_WIDEST, CAST_NONE}},
    {"cdist", {CAST_FLOAT, CAST_FLOAT}},
    {"conv1d", {CAST_LOWER, CAST_LOWER}},
    {"conv2d", {CAST_LOWER, CAST_LOWER}},
    {"conv3d", {CAST_LOWER, CAST_LOWER}},
    {"conv_transpose1d", {CAST_LOWER, CAST_LOWER}},
    {"conv_transpose2d", {CAST_LOWER, CAST_LOWER}},
    {"conv_transpose3d", {CAST_LOWER, CAST_LOWER}},
    {"convolution", {CAST_NONE, CAST_LOWER}},
    {"corrcoef", {CAST_PARTS, CAST_PARTS}},
    {"cosh", {CAST_NONE, CAST_FLOAT}},
    {"cosine_embedding_loss", {CAST_FLOAT, CAST_FLOAT}},
    {"cosine_similarity", {CAST_NONE, CAST_FLOAT}},
    {"cov", {CAST_PARTS, CAST_PARTS}},
    {"cross", {CAST_NONE, CAST_WIDEST}},
    {"cross_entropy", {CAST_FLOAT, CAST_FLOAT}},
    {"ctc_loss", {CAST_FLOAT, CAST_NONE}},
    {"cumprod", {CAST_NONE, CAST_RESULT}},
    {"cumsum", {CAST_NONE, CAST_RESULT}},
    {"cumulative_trapezoid", {CAST_NONE, CAST_FLOAT}},
    {"dist", {CAST_NONE, CAST_FLOAT}},
    {"dot", {CAST_NONE, CAST_WIDEST}},
    {"einsum", {CAST_PARTS, CAST_LOWER}},
    {"erfinv", {CAST_NONE, CAST_FLOAT}},
    {"exp", {CAST_NONE, CAST_FLOAT}},
    {"expm1", {CAST_NONE, CAST_FLOAT}},
    {"grid_sampler", {CAST_FLOAT, CAST_WIDEST}},
    {"group_norm", {CAST_NONE, CAST_FLOAT}},
    {"gru", {CAST_PARTS, CAST_LOWER}},
    {"gru_cell", {CAST_PARTS, CAST_LOWER}},
    {"hinge_embedding_loss", {CAST_FLOAT, CAST_FLOAT}},
    {"huber_loss", {CAST_FLOAT, CAST_FLOAT}},
    {"index_copy", {CAST_WIDEST, CAST_NONE}},
    {"index_put", {CAST_NONE, CAST_WIDEST}},
    {"inner", {CAST_PARTS, CAST_WIDEST}},
    {"inverse", {CAST_FLOAT, CAST_NONE}},
    {"kl_div", {CAST_FLOAT, CAST_FLOAT}},
    {"l1_loss", {CAST_FLOAT, CAST_FLOAT}},
    {"layer_norm", {CAST_NONE, CAST_FLOAT}},
    {"linalg_matrix_norm", {CAST_NONE, CAST_FLOAT}},
    {"linalg_multi_dot", {CAST_PARTS, CAST_LOWER}},
    {"linalg_solve", {CAST_FLOAT, CAST_NONE}},
    {"linalg_svdvals", {CAST_FLOAT, CAST_NONE}},
    {"linalg_vecdot", {CAST_LOWER, CAST_LOWER}},
    {"linalg_vector_norm", {CAST_NONE, CAST_FLOAT}},
    {"linear", {CAST_LOWER, CAST_LOWER}},
    {"log", {CAST_NONE, CAST_FLOAT}},
    {"log10", {CAST_NONE, CAST_FLOAT}},
    {"log1p", {CAST_NONE, CAST_FLOAT}},
    {"log2", {CAST_NONE, CAST_FLOAT}},
    {"log_softmax", {CAST_NONE, CAST_RESULT}},
    {"logsumexp", {CAST_NONE, CAST_FLOAT}},
    {"lstm", {CAST_CELLS, CAST_LOWER}},
    {"lstm_cell", {CAST_PARTS, CAST_LOWER}},
    {"margin_ranking_loss", {CAST_FLOAT, CAST_FLOAT}},
    {"matmul", {CAST_LOWER, CAST_LOWER}},
    {"matrix_power", {CAST_PARTS, CAST_PARTS}},
    {"max_pool3d", {CAST_FLOAT, CAST_NONE}},
    {"max_unpool2d", {CAST_FLOAT, CAST_NONE}},
    {"max_unpool3d", {CAST_FLOAT, CAST_NONE}},
    {"mm", {CAST_LOWER, CAST_LOWER}},
    {"mse_loss", {CAST_FLOAT, CAST_FLOAT}},
    {"multi_margin_loss", {CAST_FLOAT, CAST_FLOAT}},
    {"multilabel_margin_loss", {CAST_FLOAT, CAST_FLOAT}},
    {"mv", {CAST_NONE, CAST_LOWER}},
    {"nanquantile", {CAST_FLOAT, CAST_NONE}},
    {"nll_loss", {CAST_FLOAT, CAST_FLOAT}},
    {"norm", {CAST_NONE, CAST_RESULT}},
    {"pad", {CAST_PADDING, CAST_NONE}},
    {"pairwise_distance", {CAST_NONE, CAST_FLOAT}},
    {"pdist", {CAST_NONE, CAST_FLOAT}},
    {"poisson_nll_loss", {CAST_FLOAT, CAST_FLOAT}},
    {"pow", {CAST_NONE, CAST_FLOAT}},
    {"prelu", {CAST_LOWER, CAST_LOWER}},
    {"prod", {CAST_FLOAT, CAST_RESULT}},
    {"quantile", {CAST_FLOAT, CAST_NONE}},
    {"reciprocal", {CAST_NONE, CAST_FLOAT}},
    {"renorm", {CAST_NONE, CAST_FLOAT}},
    {"resample", {CAST_NONE, CAST_FLOAT}},
    {"rms_norm", {CAST_NONE, CAST_FLOAT}},
    {"rnn_relu", {CAST_PARTS, CAST_LOWER}},
    {"rnn_relu_cell", {CAST_PARTS, CAST_LOWER}},
    {"rnn_tanh", {CAST_PARTS, CAST_LOWER}},
    {"rnn_tanh_cell", {CAST_PARTS, CAST_LOWER}},
    {"rsqrt", {CAST_NONE, CAST_FLOAT}},
    {"scaled_dot_product_attention", {CAST_LOWER, CAST_LOWER}},
    {"scatter_add", {CAST_NONE, CAST_WIDEST}},
    {"sinh", {CAST_NONE, CAST_FLOAT}},
    {"smooth_l1_loss", {CAST_FLOAT, CAST_FLOAT}},
    {"soft_margin_loss", {CAST_FLOAT, CAST_FLOAT}},
    {"softmax", {CAST_NONE, CAST_RESULT}},
    {"softplus", {CAST_NONE, CAST_FLOAT}},
    {"square", {CAST_NONE, CAST_FLOAT}},
    {"stack", {CAST_WIDEST, CAST_NONE}},
    {"sum", {CAST_NONE, CAST_RESULT}},
    {"sum_to_size", {CAST_NONE, CAST_FLOAT}},
    {"svd", {CAST_FLOAT, CAST_NONE}},
    {"tan", {CAST_NONE, CAST_FLOAT}},
    {"tensordot", {CAST_PARTS, CAST_WIDEST}},
    {"trace", {CAST_FLOAT, CAST_NONE}},
    {"trapezoid", {CAST_NONE, CAST_FLOAT}},
    {"trapz", {CAST_NONE, CAST_FLOAT}},
    {"triplet_margin_loss", {CAST_FLOAT, CAST_FLOAT}},
    {"vdot", {CAST_NONE, CAST_WIDEST}},
};

static int by_name(const void *name, const void *row) { return strcmp(name, *(const char *const *)row); }

bool autocast_listed(const char *name) {
  return bsearch(name, table, sizeof table / sizeof *table, sizeof *table, by_name) != NULL;
}

CastPolicy autocast_policy(const char *name, DeviceKind kind) {
  const char *row = bsearch(name, table, sizeof table / sizeof *table, sizeof *table, by_name);
  return row ? (CastPolicy)table[(row - (const char *)table) / (ptrdiff_t)sizeof *table].policy[kind] : CAST_NONE;
}

/* Settings of this thread ------------------------------------------------------------------------------------------ */

atomic_int autocast_threads;
static _Thread_local struct {
  bool enabled[MT_DEVICES], paused, uncached;
  uint8_t dtype[MT_DEVICES]; /* one more than the dtype, 0: the default */
  int depth;
} here;

bool autocast_enabled(DeviceKind kind) { return here.enabled[kind]; }
void autocast_enable(DeviceKind kind, bool on) {
  if (on != here.enabled[kind]) atomic_fetch_add_explicit(&autocast_threads, on ? 1 : -1, memory_order_relaxed);
  here.enabled[kind] = on;
}
DType autocast_dtype(DeviceKind kind) {
  if (here.dtype[kind]) return (DType)(here.dtype[kind] - 1);
  return kind == MT_CPU ? MT_BF16 : MT_F16;
}
void autocast_set_dtype(DeviceKind kind, DType d) { here.dtype[kind] = (uint8_t)(d + 1); }
bool autocast_cache_enabled(void) { return !here.uncached; }
void autocast_cache_enable(bool on) { here.uncached = !on; }
bool autocast_active(DeviceKind kind) { return here.enabled[kind] && !here.paused; }
bool autocast_pause(bool on) {
  bool old = here.paused;
  here.paused = on;
  return old;
}
int autocast_enter(void) { return ++here.depth; }
int autocast_leave(void) {
  if (here.depth > 0 && --here.depth == 0) autocast_forget();
  return here.depth;
}

/* Casts that are kept, by the tensor they are of ------------------------------------------------------------------- */

typedef struct {
  Tensor *of, *cast; /* owned, as is the storage; of NULL: an empty place */
  Storage *storage;
  int64_t offset;
  uint32_t version;
} Kept;
static _Thread_local Kept *kept; /* open addressing, a power of two of places, at most half of them full */
static _Thread_local size_t places, full;

static void drop(Kept *k) {
  tensor_release(k->cast);
  storage_release(k->storage);
  tensor_release(k->of);
}

void autocast_forget(void) {
  Kept *old = kept;
  size_t n = places;
  kept = NULL;
  places = full = 0;
  for (size_t i = 0; i < n; i++)
    if (old[i].of) drop(&old[i]);
  mem_free(old);
}

void autocast_end(void) {
  autocast_forget();
  for (int kind = 0; kind < MT_DEVICES; kind++) autocast_enable((DeviceKind)kind, false);
}

static Kept *place_of(Kept *in, size_t room, const Tensor *t) {
  size_t i = ((uintptr_t)t >> 6) * 0x9E3779B97F4A7C15u & (room - 1);
  while (in[i].of && in[i].of != t) i = (i + 1) & (room - 1);
  return &in[i];
}

/* Where t's cast stands or shall stand; NULL when there is no memory for it, which is no failure: it is not kept then. */
static Kept *keep_place(const Tensor *t) {
  if (2 * (full + 1) > places) {
    size_t room = places ? 2 * places : 64;
    Kept *grown = mem_zero(sizeof *grown * room);
    if (!grown) return fail_clear(), NULL;
    for (size_t i = 0; i < places; i++)
      if (kept[i].of) *place_of(grown, room, kept[i].of) = kept[i];
    mem_free(kept);
    kept = grown;
    places = room;
  }
  return place_of(kept, places, t);
}

/* A cast that was made without a gradient does not serve where one is wanted. */
static bool serves(const Kept *k, DType d) {
  const Tensor *t = k->of;
  return t && k->storage == t->storage && k->version == t->storage->version && k->offset == t->offset &&
         k->cast->dtype == d && tensor_same_shape(t, k->cast) && (k->cast->requires_grad || !grad_enabled());
}

static Tensor *cast(Tensor *t, DType d) { return op_run(&def_cast, (Arg[]){ARG_T(t), ARG_DTYPE(d)}); }

static Tensor *cast_weight(Tensor *t, DType d) {
  Kept *k = keep_place(t);
  if (k && serves(k, d)) return pool_add(tensor_retain(k->cast));
  Tensor *made = cast(t, d);
  if (!made || !k) return made;
  if (k->of)
    drop(k);
  else
    full++;
  *k = (Kept){tensor_retain(t), tensor_retain(made), storage_retain(t->storage), t->offset, t->storage->version};
  return made;
}

/* Casting ---------------------------------------------------------------------------------------------------------- */

static bool may_cast(const Tensor *t, DeviceKind kind) {
  return t && tensor_is_float(t) && t->dtype != MT_F64 && !t->is_scalar && tensor_device(t).kind == kind;
}

static Tensor *cast_to(Tensor *t, DType d, DeviceKind kind) {
  if (!may_cast(t, kind) || t->dtype == d) return t;
  bool weight = t->dtype == MT_F32 && d == autocast_dtype(kind) && t->requires_grad && tensor_is_leaf(t) && !t->base;
  return weight && !here.uncached && !inference_mode() ? cast_weight(t, d) : cast(t, d);
}

Tensor *autocast_tensor(Tensor *t, CastPolicy policy, DeviceKind kind) {
  if (policy == CAST_LOWER) return cast_to(t, autocast_dtype(kind), kind);
  return policy == CAST_FLOAT || policy == CAST_RESULT ? cast_to(t, MT_F32, kind) : t;
}

bool autocast_refuse(const char *name) {
  return fail(MT_ERUNTIME,
              "torch.nn.functional.%s and torch.nn.BCELoss are unsafe to autocast.\n"
              "Many models use a sigmoid layer right before the binary cross entropy layer.\n"
              "In this case, combine the two layers using torch.nn.functional.binary_cross_entropy_with_logits\n"
              "or torch.nn.BCEWithLogitsLoss.  binary_cross_entropy_with_logits and BCEWithLogits are\n"
              "safe to autocast.",
              name);
}

static bool widen(const Tensor *t, DeviceKind kind, DType *widest) {
  if (!may_cast(t, kind) || t->dtype == *widest) return true;
  if (t->dtype == MT_F32) return *widest = MT_F32, true;
  if (*widest == MT_F32 && t->dtype == autocast_dtype(kind)) return true;
  return fail(MT_ERUNTIME,
              "Unexpected floating ScalarType in at::autocast::prioritize: a tensor is %s where autocast is to %s. "
              "Convert it with :to(torch.%s)",
              dtype_info[t->dtype].name, dtype_info[autocast_dtype(kind)].name, dtype_info[autocast_dtype(kind)].name);
}

static bool find_widest(const OpCall *c, DType *widest) {
  const Schema *s = c->def->info;
  *widest = autocast_dtype((DeviceKind)c->device.kind);
  for (int k = 0; k < s->tensors; k++) {
    const Arg *a = &c->arg[k];
    if (!a->given || s->param[k].type > TYPE_TENSORS) continue;
    int n = s->param[k].type == TYPE_TENSORS ? a->n : 1;
    Tensor *const *t = s->param[k].type == TYPE_TENSORS ? a->tensors : &a->tensor;
    for (int i = 0; i < n; i++)
      if (!widen(t[i], (DeviceKind)c->device.kind, widest)) return false;
  }
  return true;
}

static bool cast_list(const OpCall *c, Arg *a, DType d, Tensor ***made) {
  Tensor **list = *made = mem_zero(sizeof *list * (size_t)(a->n + 1));
  for (int i = 0; list && i < a->n; i++)
    if (!(list[i] = a->tensors[i] ? cast_to(a->tensors[i], d, (DeviceKind)c->device.kind) : NULL) && a->tensors[i])
      return false;
  a->tensors = list;
  return list != NULL;
}

static bool cast_args(const OpCall *c, DType d, Arg *arg, Tensor ***lists) {
  const Schema *s = c->def->info;
  for (int k = 0; k < s->tensors; k++) {
    if (!arg[k].given) continue;
    if (s->param[k].type == TYPE_TENSORS && !cast_list(c, &arg[k], d, &lists[k])) return false;
    if (s->param[k].type < TYPE_TENSORS && !(arg[k].tensor = cast_to(arg[k].tensor, d, (DeviceKind)c->device.kind)))
      return false;
  }
  return true;
}

/* The dtype argument is float32 unless one is given, or the first tensor is none that autocast casts. */
static void ask_float(const OpCall *c, Arg *arg) {
  const Schema *s = c->def->info;
  for (int k = 0; k < s->params; k++)
    if (s->param[k].type == TYPE_DTYPE && !arg[k].given && may_cast(in(c, 0), (DeviceKind)c->device.kind))
      arg[k] = (Arg)ARG_DTYPE(MT_F32);
}

/* pad(input, pad, mode, value): reflection of one or two dims and replication are operators of their own in PyTorch. */
static bool pads_in_float(const OpCall *c) {
  const char *mode = c->arg[2].str;
  return strcmp(mode, "replicate") == 0 || (strcmp(mode, "reflect") == 0 && c->arg[1].n <= 4);
}

/* lstm(input, hx, cx, w_ih, w_hh, b_ih, b_hh, w_hr, ...) */
static bool projects(const OpCall *c) { return c->arg[7].given; }

/* What the list says of the call. The _ forms are not listed. */
static CastPolicy policy_of(const OpCall *c) {
  if (c->inplace) return CAST_NONE;
  CastPolicy policy = autocast_policy(c->def->info->name, (DeviceKind)c->device.kind);
  if (policy == CAST_PADDING) return pads_in_float(c) ? CAST_FLOAT : CAST_NONE;
  if (policy == CAST_CELLS) return projects(c) ? CAST_PARTS : CAST_LOWER;
  return policy;
}

bool autocast_wants(const OpCall *c) {
  if (!autocast_active((DeviceKind)c->device.kind)) return false;
  CastPolicy policy = policy_of(c);
  return policy == CAST_NONE ? c->def->compose != NULL : policy != CAST_PARTS;
}

bool autocast_call(OpCall *c) {
  CastPolicy policy = policy_of(c);
  if (policy == CAST_REFUSED) return autocast_refuse(c->def->info->name);
  Arg arg[MAX_PARAMS];
  const Arg *given = c->arg;
  Tensor **lists[MAX_PARAMS] = {NULL};
  int mark = pool_open();
  bool old = autocast_pause(true), good = true;
  DType d = policy == CAST_LOWER ? autocast_dtype((DeviceKind)c->device.kind) : MT_F32;
  memcpy(arg, c->arg, sizeof *arg * (size_t)c->def->info->params);
  if (policy == CAST_WIDEST) good = find_widest(c, &d);
  if (policy == CAST_LOWER || policy == CAST_FLOAT || policy == CAST_WIDEST)
    good = good && cast_args(c, d, arg, lists);
  else if (policy == CAST_RESULT)
    ask_float(c, arg);
  c->arg = arg;
  good = good && op_call(c);
  c->arg = given;
  autocast_pause(old);
  for (int k = 0; k < MAX_PARAMS; k++) mem_free(lists[k]);
  pool_shut(mark);
  return good;
}
