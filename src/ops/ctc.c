/* ctc_loss: labels from 1, the blank too (default 1); lengths are counts. */
#include "cpu/device_kernels.h"
#include "base/alloc.h"
#include "base/size.h"
#include "cpu/reduce.h"
#include "ops/ops.h"
#include <math.h>
#include <string.h>

extern OpDef def_ctc, def_ctc_back, def_maximum;

/* ---- the operator ---- */

/* Arguments k ... k + 4: log_probs, targets, input_lengths, target_lengths, blank. Owned: memory, label. */
typedef struct {
  Ctc c;
  int64_t *first;
  Tensor *label;
} Problem;

static const char *const during = "(while checking arguments for ctc_loss_allocate_outputs)";

static bool check_lengths(const Arg *lengths, const char *name, int64_t most) {
  for (int n = 0; n < lengths->n; n++) {
    long long v = lengths->ints[n];
    if (v < 0) return fail(MT_EARG, "Expected %s to have value at least 0, but got value %lld %s", name, v, during);
    if (v > most)
      return fail(MT_EARG,
                  "Expected %s to have value at most %lld, but got value %lld %s: log_probs has %lld time steps", name,
                  (long long)most, v, during, (long long)most);
  }
  return true;
}

static bool check_problem(const OpCall *c, int k) {
  const Tensor *p = in(c, k), *t = in(c, k + 1);
  const Arg *inputs = &c->arg[k + 2], *lengths = &c->arg[k + 3];
  if (p->ndim != 3)
    return fail(MT_EARG, "log_probs is (time, batch, classes) or (time, classes), but it has shape %s",
                shape_text(p->ndim, p->shape));
  if (p->dtype != MT_F32 && p->dtype != MT_F64)
    return fail(MT_ENOTIMPL, "\"ctc_loss_cpu\" not implemented for '%s': log_probs is %s; use :float()",
                dtype_info[p->dtype].type_name, tensor_text(p));
  if (p->numel == 0)
    return fail(MT_EARG, "log_probs tensor must not be empty, but has shape %s", shape_text(3, p->shape));
  int64_t batch = p->shape[1], classes = p->shape[2], total = 0, longest = 0;
  if (t->dtype != MT_I64 && t->dtype != MT_I32)
    return fail(MT_EARG, "targets must be integral, but they are %s: use :long()", tensor_text(t));
  if (c->arg[k + 4].i < 0 || c->arg[k + 4].i >= classes)
    return fail(MT_EARG, "blank must be in label range: it is %lld, and labels are 1 to %lld",
                (long long)c->arg[k + 4].i + (c->arg[k + 4].i >= 0), (long long)classes);
  if (inputs->n != batch)
    return fail(MT_EARG, "input_lengths must be of size batch_size: it has %d lengths, log_probs a batch of %lld",
                inputs->n, (long long)batch);
  if (lengths->n != batch)
    return fail(MT_EARG, "target_lengths must be of size batch_size: it has %d lengths, log_probs a batch of %lld",
                lengths->n, (long long)batch);
  if (!check_lengths(lengths, "target_lengths", INT64_MAX / 4) || !check_lengths(inputs, "input_lengths", p->shape[0]))
    return false;
  for (int n = 0; n < lengths->n; n++) {
    if (!size_add(total, lengths->ints[n], &total)) return false;
    if (lengths->ints[n] > longest) longest = lengths->ints[n];
  }
  if (t->ndim == 1)
    return t->shape[0] == total ||
           fail(MT_EARG,
                "Expected tensor to have size %lld at dimension 1, but got size %lld for argument #2 'targets' "
                "%s: the sum of target_lengths",
                (long long)total, (long long)t->shape[0], during);
  if (t->ndim != 2)
    return fail(MT_EARG, "targets is (batch, longest) or the labels of all samples in a row, but it has shape %s",
                shape_text(t->ndim, t->shape));
  if (t->shape[0] != batch)
    return fail(MT_EARG,
                "Expected tensor to have size %lld at dimension 1, but got size %lld for argument #2 'targets' "
                "%s",
                (long long)batch, (long long)t->shape[0], during);
  return t->shape[1] >= longest ||
         fail(MT_EARG,
              "Expected tensor to have size at least %lld at dimension 2, but got size %lld for argument #2 "
              "'targets' %s",
              (long long)longest, (long long)t->shape[1], during);
}

static bool check_labels(const Problem *p) {
  for (int64_t n = 0; n < p->c.batch; n++)
    for (int64_t i = 0; i < p->c.target_length[n]; i++) {
      long long v = p->c.label[p->c.first[n] + i];
      if (v < 1 || v > p->c.classes)
        return fail(MT_EINDEX, "label %lld of sample %lld is %lld, for %lld classes. Labels count from 1 in Lua%s",
                    (long long)i + 1, (long long)n + 1, v, (long long)p->c.classes, v == 0 ? ": use targets + 1" : "");
    }
  return true;
}

static void problem_close(Problem *p) {
  mem_free(p->first);
  tensor_release(p->label);
}
static bool problem_open(const OpCall *call, int k, Problem *p) {
  const Tensor *x = in(call, k), *t = in(call, k + 1);
  *p = (Problem){.c = {.steps = x->shape[0], .batch = x->shape[1], .classes = x->shape[2], .step = 1}};
  p->c.blank = call->arg[k + 4].i;
  p->c.input_length = call->arg[k + 2].ints;
  p->c.target_length = call->arg[k + 3].ints;
  p->first = mem_alloc((size_t)p->c.batch * sizeof *p->first);
  p->label = p->first ? tensor_packed((Tensor *)t, MT_I64) : NULL;
  bool good = p->label != NULL;
  for (int64_t n = 0, at = 0; good && n < p->c.batch; n++) {
    p->first[n] = at;
    at += t->ndim == 2 ? t->shape[1] : p->c.target_length[n];
  }
  if (good) {
    p->c.first = p->first;
    p->c.label = (const int64_t *)(const void *)tensor_data(p->label);
    good = check_labels(p);
  }
  if (!good) problem_close(p);
  return good;
}

static bool infer_ctc(OpCall *c) {
  const Tensor *p = in(c, 0);
  return check_problem(c, 0) && out_shape(c, 0, (DType)p->dtype, 1, &p->shape[1]);
}
static bool run_ctc(OpCall *c) {
  Problem p;
  if (!problem_open(c, 0, &p)) return false;
  bool good = any_ctc(&p.c, in(c, 0), c->out[0]);
  problem_close(&p);
  return good;
}
static bool infer_ctc_back(OpCall *c) {
  const Tensor *gy = in(c, 0), *p = in(c, 1);
  if (!check_problem(c, 1)) return false;
  if (gy->ndim != 1 || gy->shape[0] != p->shape[1])
    return fail(MT_EARG, "grad %s has no element for each sample of %s", tensor_text(gy), tensor_text(p));
  return out_shape(c, 0, (DType)p->dtype, 3, p->shape);
}
static bool run_ctc_back(OpCall *c) {
  Problem p;
  if (!problem_open(c, 1, &p)) return false;
  bool good = any_ctc_back(&p.c, in(c, 0), in(c, 1), c->arg[6].i, c->out[0]);
  problem_close(&p);
  return good;
}
#define PROBLEM \
  "Tensor log_probs, Index targets, ints input_lengths, ints target_lengths, Position blank, bool zero_infinity"
OP(ctc_back, .schema = "ctc_back(Tensor grad, " PROBLEM ") -> Tensor", .doc = "Gradient of ctc.",
   .samples = "f(2) f(5,2,4) x(2,2;4) {5,4} {2,1} 1 false",
   .errors = "f(3) f(5,2,4) x(2,2;4) {5,4} {2,1} 1 false | f(2) f(5,2,4) x(2,2;9) {5,4} {2,2} 1 false",
   .flags = OP_HIDDEN | OP_NO_GRADIENT, .infer = infer_ctc_back, .kernel = EVERYWHERE(run_ctc_back));
static void back_ctc(Grad *g) {
  Arg arg[] = {ARG_T(g_out(g, 0)), ARG_T(g_in(g, 0)), ARG_T(g_in(g, 1)), *g_arg(g, 2),
               *g_arg(g, 3),       *g_arg(g, 4),      *g_arg(g, 5)};
  g_set(g, 0, op_run(&def_ctc_back, arg));
}
OP(ctc, .schema = "ctc(" PROBLEM ") -> Tensor",
   .doc =
       "The negative logarithm of the probability of each sample's labels. zero_infinity concerns the gradient only, "
       "which is that of log_softmax's input.",
   .samples = "f(5,2,4) x(2,2;4) {5,4} {2,1} 1 false | f(4,2,3) x(3;3) {3,4} {1,2} 2 true",
   .errors =
       "f(5,2) x(2,2;4) {5,4} {2,1} 1 false | f(5,2,4) x(2,2;4) {5} {2,1} 1 false | f(5,2,4) x(2,2;4) {6,4} {2,1} "
       "1 false | f(5,2,4) x(2,2;4) {5,4} {3,1} 1 false | f(5,2,4) x(2,2;4) {5,4} {2,1} 5 false | f(5,2,4) "
       "x(2,2;4) {5,4} {2,1} -1 false | f(5,2,4) f(2,2) {5,4} {2,1} 1 false | f(0,2,4) x(2,2;4) {0,0} {2,1} 1 "
       "false | f(5,2,4) x(2,2;4) {5,-4} {2,1} 1 false",
   .saves = "log_probs: log_probs targets", .flags = OP_HIDDEN, .infer = infer_ctc, .kernel = EVERYWHERE(run_ctc),
   .backward = back_ctc);

/* ---- as one calls it ---- */

static bool reduction_of(const Arg *a, int64_t *code) {
  static const char *const words[] = {"none", "mean", "sum"};
  for (*code = 0; *code < 3; ++*code)
    if (strcmp(a->str, words[*code]) == 0) return true;
  return fail(MT_EARG, "%s is not a valid value for reduction: it is 'none', 'mean' or 'sum'", a->str);
}

static bool ctc_loss(OpCall *c, const Arg *inputs, const Arg *lengths, int64_t reduction) {
  Tensor *p = in(c, 0), *t = in(c, 1);
  if (reduction < 0 || reduction > 2)
    return fail(MT_EARG, "reduction is 0 (none), 1 (mean) or 2 (sum), but it is %lld", (long long)reduction);
  bool alone = p->ndim == 2;
  if (alone) p = op_unsqueeze(p, 1);
  if (alone && t->ndim == 0) t = op_unsqueeze(t, 0);
  Tensor *loss = op_run(&def_ctc, (Arg[]){ARG_T(p), ARG_T(t), *inputs, *lengths, c->arg[4], c->arg[6]});
  if (!loss) return false;
  DType d = (DType)loss->dtype;
  if (c->arg[6].i) {
    Tensor *infinite = op_eq(loss, op_float((double)INFINITY));
    loss = op_where(infinite, op_full(d, 0, NULL, tensor_device(loss), scalar_int(0)), loss);
  }
  if (reduction == 1) {
    int64_t n = lengths->n;
    Tensor *count = op_full(d, 1, &n, (Device){MT_CPU, 0}, scalar_int(0));
    for (int64_t k = 0; count && k < n; k++)
      scalar_store(scalar_float((double)(lengths->ints[k] > 1 ? lengths->ints[k] : 1)), d,
                   tensor_data(count) + k * dtype_size(d));
    return compose_return(c, 0, op_mean(op_div(loss, op_on(count, tensor_device(loss)))));
  }
  if (reduction == 2) return compose_return(c, 0, op_sum(loss));
  return compose_return(c, 0, alone ? op_squeeze(loss, 0) : loss);
}

/* Lengths from a tensor of integers; *kept holds them. */
static bool lengths_of(Tensor *t, const char *name, Arg *out) {
  if (!dtype_is_integral((DType)t->dtype))
    return fail(MT_EARG, "%s must be integral, but it is %s: use :long()", name, tensor_text(t));
  if (t->ndim > 1 || t->numel > INT32_MAX)
    return fail(MT_EARG, "%s must be of size batch_size: a vector of lengths, but it is %s", name, tensor_text(t));
  Tensor *packed = pool_add(tensor_packed(t, MT_I64));
  if (!packed) return false;
  *out = (Arg)ARG_INTS((const int64_t *)(const void *)tensor_data(packed), (int)packed->numel);
  return true;
}

static bool by_tensors(OpCall *c, int64_t reduction) {
  Arg inputs, lengths;
  return lengths_of(in(c, 2), "input_lengths", &inputs) && lengths_of(in(c, 3), "target_lengths", &lengths) &&
         ctc_loss(c, &inputs, &lengths, reduction);
}
static bool compose_ctc_tensors(OpCall *c) { return by_tensors(c, c->arg[5].i); }
static bool compose_ctc_lists(OpCall *c) { return ctc_loss(c, &c->arg[2], &c->arg[3], c->arg[5].i); }
static bool compose_f_ctc_tensors(OpCall *c) {
  int64_t reduction;
  return reduction_of(&c->arg[5], &reduction) && by_tensors(c, reduction);
}
static bool compose_f_ctc_lists(OpCall *c) {
  int64_t reduction;
  return reduction_of(&c->arg[5], &reduction) && ctc_loss(c, &c->arg[2], &c->arg[3], reduction);
}

#define TENSORS "Tensor log_probs, Index targets, Tensor input_lengths, Tensor target_lengths, Position blank=0, "
#define LISTS "Tensor log_probs, Index targets, ints input_lengths, ints target_lengths, Position blank=0, "
#define CTC_DOC                                                                                                      \
  "Connectionist temporal classification: log_probs (time, batch, classes) or (time, classes), targets (batch, "     \
  "longest) "                                                                                                        \
  "or all labels in a row, labels and blank from 1; lengths are counts, a tensor or a list. mean divides each loss " \
  "by its "                                                                                                          \
  "target's length first. zero_infinity makes infinite losses and their gradients 0."
#define CTC_ERRORS                                                                                                 \
  "f(5,2,4) x(2,2;4) {5} {2,1} | f(5,2,4) x(2,2;4) {6,5} {2,1} | f(5,2,4) x(2,2;4) {5,5} {3,1} | f(5,2,4) f(2,2) " \
  "{5,5} "                                                                                                         \
  "{2,1} | i(5,2,4) x(2,2;4) {5,5} {2,1} | f(5,2,4) x(2,2;5) {5,5} {2,2}"
OP(ctc_loss_tensors, .schema = "ctc_loss(" TENSORS "int reduction=0, bool zero_infinity=False) -> Tensor",
   .doc = CTC_DOC, .samples = "f(5,2,4) x(2,2;4) x(2;2) x(2;2)", .errors = "f(5,2,4) x(2,2;4) f(2) x(2;2)",
   .flags = OP_FUNCTION, .compose = compose_ctc_tensors);
OP(ctc_loss_lists, .schema = "ctc_loss(" LISTS "int reduction=0, bool zero_infinity=False) -> Tensor", .doc = CTC_DOC,
   .samples = "f(5,2,4) x(2,2;4) {5,4} {2,1} | f(5,4) x(2;4) {5} {2} reduction=1", .errors = CTC_ERRORS,
   .flags = OP_FUNCTION, .compose = compose_ctc_lists);
OP(f_ctc_loss_tensors, .schema = "ctc_loss(" TENSORS "str reduction='mean', bool zero_infinity=False) -> Tensor",
   .doc = CTC_DOC, .samples = "f(5,2,4) x(2,2;4) x(2;2) x(2;2)", .flags = OP_HIDDEN, .compose = compose_f_ctc_tensors);
OP(f_ctc_loss_lists, .schema = "ctc_loss(" LISTS "str reduction='mean', bool zero_infinity=False) -> Tensor",
   .doc = CTC_DOC, .samples = "f(5,2,4) x(2,2;4) {5,4} {2,1}",
   .errors = CTC_ERRORS " | f(5,2,4) x(2,2;4) {5,4} {2,1} reduction='most'", .flags = OP_HIDDEN,
   .compose = compose_f_ctc_lists);
