/* Calling an operator: the one path that every call takes, from Lua or from a gradient formula. */
#include "base/alloc.h"
#include "cpu/copy_tensor.h"
#include "graph/autocast.h"
#include "graph/node.h"
#include "graph/record.h"
#include "graph/watch.h"
#include "tensor/core_api.h"
#include "tensor/shape.h"
#include <stdio.h>
#include <string.h>

static _Thread_local DType default_float = MT_F32;
DType default_dtype(void) { return default_float; }
void set_default_dtype(DType d) { default_float = d; }

bool out_shape(OpCall *c, int k, DType dtype, int ndim, const int64_t *shape) {
  if (!shape_check(ndim, shape)) return false;
  OutMeta *m = &c->meta[k];
  m->dtype = dtype;
  m->ndim = ndim;
  if (ndim > 0) memcpy(m->shape, shape, sizeof(int64_t) * (size_t)ndim);
  return true;
}

bool out_view(OpCall *c, int ndim, const int64_t *shape, const int64_t *stride, int64_t offset) {
  if (!out_shape(c, 0, (DType)in(c, 0)->dtype, ndim, shape)) return false;
  memcpy(c->meta[0].stride, stride, sizeof(int64_t) * (size_t)ndim);
  c->meta[0].offset = offset;
  return true;
}

static bool same_device(Device a, Device b) { return a.kind == b.kind && a.index == b.index; }

/* The i-th tensor of argument k, NULL past the last: a list may hold several. */
static Tensor *tensor_at(const OpCall *c, int k, int i) {
  const Arg *a = &c->arg[k];
  int type = c->def->info->param[k].type;
  if (!a->given || type > TYPE_TENSORS) return NULL;
  if (type < TYPE_TENSORS) return i == 0 ? a->tensor : NULL;
  return i < a->n ? a->tensors[i] : NULL;
}

/* Names every tensor with its device, and what moves one. A call goes to the GPU rather than away from it. */
static bool fail_devices(const OpCall *c, Device other) {
  char all[1024] = "", moved[MAX_NAME + 16] = "";
  Device to = c->device.kind == MT_CPU ? other : c->device;
  size_t used = 0;
  for (int k = 0; k < c->def->info->tensors; k++)
    for (int i = 0; tensor_at(c, k, i) && used < sizeof all; i++) {
      Tensor *t = tensor_at(c, k, i);
      const char *name = c->def->info->param[k].name;
      if (c->def->info->param[k].type == TYPE_TENSORS) name = text("%s[%d]", name, i + 1);
      used += (size_t)snprintf(all + used, sizeof all - used, "%s%s is %s", used ? ", " : "", name, tensor_text(t));
      bool stays = same_device(tensor_device(t), to) || (tensor_device(t).kind == MT_CPU && t->ndim == 0);
      if (!*moved && !stays) snprintf(moved, sizeof moved, "%s", name);
    }
  return fail(MT_EARG,
              "Expected all tensors to be on the same device, but found at least two devices, %s and %s: %s. Move them "
              "to one: %s:to(\"%s\") for a tensor, model:to(\"%s\") for a model",
              device_text(c->device), device_text(other), all, moved, device_text(to), device_text(to));
}

/* All tensors on one device; a 0-dim one on the host may go along with others. */
static bool check_devices(OpCall *c) {
  bool found = false;
  for (int k = 0; k < c->def->info->tensors; k++) {
    Tensor *t;
    for (int i = 0; (t = tensor_at(c, k, i)); i++) {
      Device d = tensor_device(t);
      if (d.kind == MT_CPU && t->ndim == 0) continue;
      if (found && !same_device(d, c->device)) return fail_devices(c, d);
      c->device = d;
      found = true;
    }
  }
  return true;
}

/* Where the call runs: the device of its first tensor, which all must share. */
static bool find_device(OpCall *c, const Schema *s) {
  Tensor *first = NULL;
  bool alike = !s->lists;
  for (int k = 0; k < s->tensors; k++) {
    const Arg *a = &c->arg[k];
    if (!a->given || s->param[k].type > TYPE_TENSORS) continue;
    Tensor *t = s->param[k].type < TYPE_TENSORS ? a->tensor : a->n > 0 ? a->tensors[0] : NULL;
    if (!first)
      first = t;
    else if (t && alike)
      alike = t->storage->device.kind == first->storage->device.kind &&
              t->storage->device.index == first->storage->device.index;
  }
  c->device = first ? tensor_device(first) : (Device){MT_CPU, 0};
  return alike || !first || (c->def->flags & OP_ANY_DEVICE) || check_devices(c);
}

static const char *type_word(DType d) { return dtype_info[d].type_name; }

/* The result, which meta 0 describes, fits into argument 0. */
static bool check_result(OpCall *c) {
  Tensor *self = in(c, 0);
  const OutMeta *m = &c->meta[0];
  if (m->ndim != self->ndim || memcmp(m->shape, self->shape, sizeof(int64_t) * self->ndim) != 0)
    return fail(MT_EARG,
                "output with shape %s doesn't match the broadcast shape %s: the tensor written in place keeps its "
                "shape; use the form without _",
                shape_text(self->ndim, self->shape), shape_text(m->ndim, m->shape));
  if (!(c->def->flags & OP_OVERWRITES) && dtype_info[m->dtype].category > dtype_info[self->dtype].category)
    return fail(MT_EARG,
                "result type %s can't be cast to the desired output type %s: use the form without _, or convert the "
                "tensor first with :to(torch.%s)",
                type_word(m->dtype), type_word((DType)self->dtype), dtype_info[m->dtype].name);
  return true;
}

/* What must hold before argument 0 may be written. */
static bool check_inplace(OpCall *c) {
  Tensor *self = in(c, 0);
  if (tensor_overlaps(self))
    return fail(MT_ERUNTIME,
                "unsupported operation: more than one element of the written-to tensor refers to a single memory "
                "location. Please clone() the tensor before performing the operation: %s was made by expand",
                tensor_text(self));
  if (!check_result(c)) return false;
  if (grad_enabled() && tensor_wants_grad(self)) {
    if (tensor_is_leaf(self) && !self->base)
      return fail(MT_ERUNTIME,
                  "a leaf Variable that requires grad is being used in an in-place operation. Write to it inside "
                  "torch.no_grad(function() ... end), or use the form without _");
    if (self->base && tensor_is_leaf(self->base))
      return fail(MT_ERUNTIME,
                  "a view of a leaf Variable that requires grad is being used in an in-place operation. Write to "
                  "it inside torch.no_grad(function() ... end), or clone the leaf first");
    if (!c->def->backward)
      return fail(MT_ENOTIMPL,
                  "the derivative for '%s' is not implemented for %s_, and the tensor requires grad. Write to it "
                  "inside torch.no_grad(function() ... end), or use %s:detach()",
                  c->def->info->param[0].name, c->def->info->name, c->def->info->param[0].name);
  }
  return true;
}

/* First and one past the last byte that t can reach. */
static void reach(const Tensor *t, char **first, char **last) {
  *first = *last = tensor_data(t);
  for (int d = 0; d < t->ndim; d++) *last += (t->shape[d] - 1) * t->stride[d] * dtype_size((DType)t->dtype);
  *last += dtype_size((DType)t->dtype);
}

/* Another argument lies in the same memory as argument 0, and not element on element of a pointwise op. */
static bool reads_what_is_written(const OpCall *c) {
  const Tensor *self = in(c, 0);
  for (int k = 1; k < c->def->info->params; k++) {
    if (c->def->info->param[k].type > TYPE_INDEX || !c->arg[k].given) continue;
    const Tensor *t = c->arg[k].tensor;
    if (t->storage != self->storage || t->numel == 0 || self->numel == 0) continue;
    bool same = t->offset == self->offset && t->dtype == self->dtype && tensor_same_shape(t, self) &&
                memcmp(t->stride, self->stride, sizeof(int64_t) * t->ndim) == 0;
    char *a, *b, *x, *y;
    reach(self, &a, &b);
    reach(t, &x, &y);
    if (!(same && (c->def->flags & OP_INTO)) && x < b && a < y) return true;
  }
  return false;
}

static bool run_kernel(OpCall *c) {
  bool (*kernel)(OpCall *) = c->def->kernel[c->device.kind];
  if (!kernel)
    return fail(MT_ENOTIMPL, "%s is not implemented for %s on %s", c->def->info->name,
                dtype_info[c->outs > 0 ? c->meta[0].dtype : default_float].name, device_text(c->device));
  return kernel(c);
}

static void drop_results(OpCall *c) {
  for (int k = 0; k < c->outs; k++) {
    tensor_release(c->out[k]);
    c->out[k] = NULL;
  }
}

static Tensor *make_out(OpCall *c, int k) {
  const OutMeta *m = &c->meta[k];
  if (c->def->flags & OP_VIEW) {
    Tensor *of = in(c, 0), *t = tensor_view(of->storage, m->dtype, m->offset, m->ndim, m->shape, m->stride);
    /* the graph takes a view for a part of its base, which memory read as another dtype is not */
    if (t && m->dtype == of->dtype) t->base = tensor_retain(of->base ? of->base : of);
    return t;
  }
  return tensor_new(m->dtype, m->ndim, m->shape, c->device);
}

/* Writes the result into argument 0. Everything that can fail happens on the side; only then is argument 0 touched. */
static bool call_inplace(OpCall *c) {
  Tensor *self = in(c, 0);
  if (!check_inplace(c)) return false;
  bool direct =
      (c->def->flags & (OP_INTO | OP_MODIFIES)) && c->meta[0].dtype == self->dtype && !reads_what_is_written(c);
  Node *node = NULL;
  if (record_wanted(c) && !(node = record_reserve(c))) return false;
  bool done = false;
  if (direct) {
    c->out[0] = self;
    done = run_kernel(c);
  } else {
    Tensor *result = c->out[0] = tensor_new(c->meta[0].dtype, c->meta[0].ndim, c->meta[0].shape, c->device);
    if (result && (c->def->flags & OP_MODIFIES))
      done = tensor_copy_into(result, self) && run_kernel(c);
    else
      done = result && run_kernel(c);
    done = done && tensor_copy_into(self, result);
    tensor_release(result);
    c->out[0] = self;
  }
  if (done) {
    tensor_written(self);
    tensor_retain(self);
    if (node && !record_commit(c, node)) {
      tensor_release(self);
      c->out[0] = NULL;
      done = false;
    }
  } else {
    c->out[0] = NULL;
    node_release(node);
  }
  return done;
}

/* Through the host: for operators whose kernel a device lacks. Inputs come to the host, the results go back. ------- */

typedef struct {
  OpCall call;
  Arg arg[MAX_PARAMS];
  Tensor *held[MAX_PARAMS]; /* owned: inputs on the host */
  Tensor **list[MAX_PARAMS];
} HostCall;

static Tensor *to_host(Tensor *t) {
  if (tensor_device(t).kind == MT_CPU) return tensor_retain(t);
  Tensor *host = tensor_copy(t, (DType)t->dtype, (Device){MT_CPU, 0});
  if (host) host->is_scalar = t->is_scalar;
  return host;
}

static bool host_list(HostCall *h, const OpCall *c, int k) {
  const Arg *a = &c->arg[k];
  if (!(h->list[k] = mem_zero(sizeof(Tensor *) * (size_t)(a->n + 1)))) return false;
  for (int i = 0; i < a->n; i++)
    if (a->tensors[i] && !(h->list[k][i] = to_host(a->tensors[i]))) return false;
  h->arg[k].tensors = h->list[k];
  return true;
}

static bool host_args(HostCall *h, const OpCall *c) {
  const Schema *s = c->def->info;
  for (int k = 0; k < s->params; k++) {
    h->arg[k] = c->arg[k];
    if (!c->arg[k].given) continue;
    if (s->param[k].type == TYPE_DEVICE) h->arg[k].device = (Device){MT_CPU, 0};
    if (s->param[k].type == TYPE_TENSORS && !host_list(h, c, k)) return false;
    if (s->param[k].type < TYPE_TENSORS && !(h->arg[k].tensor = h->held[k] = to_host(c->arg[k].tensor))) return false;
  }
  return true;
}

static void host_release(HostCall *h) {
  const Schema *s = h->call.def->info;
  for (int k = 0; k < s->params; k++) {
    tensor_release(h->held[k]);
    for (int i = 0; h->list[k] && i < h->arg[k].n; i++) tensor_release(h->list[k][i]);
    mem_free(h->list[k]);
  }
  drop_results(&h->call);
}

/* Arguments that the kernel wrote besides its results, an optimiser's state, go back. */
static bool host_written(HostCall *h, const OpCall *c) {
  for (int k = 0; k < c->def->info->params; k++) {
    Tensor *host = h->held[k], *own = host ? c->arg[k].tensor : NULL;
    if (!host || host == own || host->storage->version == 0) continue;
    if (!tensor_copy_into(own, host)) return false;
    tensor_written(own);
  }
  return true;
}

/* What the host made, on the call's device. */
static bool host_results(OpCall *c, OpCall *h) {
  c->outs = h->outs;
  c->value = h->value;
  for (int k = 0; k < h->outs; k++) {
    Tensor *t = h->out[k];
    c->meta[k] = h->meta[k];
    c->out[k] = NULL;
    if (t &&
        (!(c->out[k] = tensor_new((DType)t->dtype, t->ndim, t->shape, c->device)) || !tensor_copy_into(c->out[k], t)))
      return drop_results(c), false;
  }
  return true;
}

static bool call_through_host(OpCall *c) {
  HostCall h;
  memset(h.held, 0, sizeof h.held);
  memset(h.list, 0, sizeof h.list);
  h.call = *c;
  h.call.arg = h.arg;
  h.call.device = (Device){MT_CPU, 0};
  h.call.inplace = false;
  h.call.outs = c->def->info->outs;
  for (int k = 0; k < MAX_OUTS; k++) h.call.out[k] = NULL;
  bool good = host_args(&h, c) && c->def->infer(&h.call);
  for (int k = 0; good && k < h.call.outs; k++) good = (h.call.out[k] = make_out(&h.call, k)) != NULL;
  if (good && (c->def->flags & OP_MODIFIES)) good = tensor_copy_into(h.call.out[0], in(&h.call, 0));
  if (good && c->inplace) { /* refused before anything is written */
    c->meta[0] = h.call.meta[0];
    good = check_inplace(c);
  }
  good = good && run_kernel(&h.call) && host_results(c, &h.call);
  if (good && !host_written(&h, c)) {
    drop_results(c);
    good = false;
  }
  host_release(&h);
  return good;
}

static bool record_made(OpCall *c) {
  if (!record_wanted(c)) return true;
  Node *node = record_reserve(c);
  return node && record_commit(c, node);
}

/* The _ form: the result is computed aside and copied. */
static bool finish_inplace_host(OpCall *c) {
  Tensor *self = in(c, 0), *result = c->out[0];
  Node *node = NULL;
  bool good = (!record_wanted(c) || (node = record_reserve(c))) && tensor_copy_into(self, result);
  drop_results(c);
  if (!good) {
    node_release(node);
    return false;
  }
  c->out[0] = tensor_retain(self);
  tensor_written(self);
  if (node && !record_commit(c, node)) return drop_results(c), false;
  return true;
}

static bool call_elsewhere(OpCall *c) {
  c->outs = c->def->info->outs;
  for (int k = 0; k < MAX_OUTS; k++) c->out[k] = NULL;
  if (!call_through_host(c)) return false;
  if (c->inplace) return finish_inplace_host(c);
  return record_made(c) || (drop_results(c), false);
}

/* A call without tensors runs where `device` says. */
static void creation_device(OpCall *c) {
  const Schema *s = c->def->info;
  for (int k = 0; k < s->params && s->tensors == 0; k++)
    if (s->param[k].type == TYPE_DEVICE && c->arg[k].given) c->device = c->arg[k].device;
}

/* A device that has no kernel of its own for the call. */
static bool lacks_kernel(const OpCall *c) {
  return c->device.kind != MT_CPU && !c->def->kernel[c->device.kind] && !(c->def->flags & OP_VIEW);
}

static bool call_kernel(OpCall *c) {
  const Schema *s = c->def->info;
  c->outs = s->outs;
  for (int k = 0; k < c->outs; k++) c->out[k] = NULL;
  if (!c->def->infer(c)) return false;
  if (c->inplace) return call_inplace(c);
  for (int k = 0; k < c->outs; k++)
    if (!(c->out[k] = make_out(c, k))) return drop_results(c), false;
  bool good = (c->def->flags & OP_VIEW) ||
              ((!(c->def->flags & OP_MODIFIES) || tensor_copy_into(c->out[0], in(c, 0))) && run_kernel(c));
  good = good && record_made(c);
  if (!good) drop_results(c);
  return good;
}

/* A composed op: its parts record themselves. The _ form computes and copies, unless compose wrote into argument 0 itself. */
static bool call_composed(OpCall *c) {
  int mark = pool_open();
  c->outs = c->def->info->outs;
  c->list = NULL;
  for (int k = 0; k < MAX_OUTS; k++) c->out[k] = NULL;
  bool good = c->def->compose(c) && !failed();
  if (good && c->inplace && c->out[0] != in(c, 0)) {
    Tensor *self = in(c, 0), *result = c->out[0];
    if (!out_shape(c, 0, (DType)result->dtype, result->ndim, result->shape) || !check_result(c) ||
        tensor_retain(op_run_inplace(&def_copy_, (Arg[]){ARG_T(self), ARG_T(c->out[0]), ARG_I(0)})) == NULL)
      good = false;
    if (good) tensor_release(c->out[0]);
    c->out[0] = good ? self : c->out[0];
  }
  pool_shut(mark);
  if (!good) {
    drop_results(c);
    for (int i = 0; c->list && i < c->list_length; i++) tensor_release(c->list[i]);
    mem_free(c->list);
    c->list = NULL;
  }
  return good;
}

/* The outermost operator that this thread calls on a device. */
static _Thread_local const OpDef *device_op;

void call_place(char *to, size_t room) {
  char place[WATCH_PLACE];
  watch_here(place);
  snprintf(to, room, "%s()%s%s", device_op ? device_op->info->name : "a call", *place ? " at " : "", place);
}

static bool call_on_device(OpCall *c) {
  creation_device(c);
  if (c->def->compose && !c->def->kernel[c->device.kind]) return call_composed(c);
  if (lacks_kernel(c)) return call_elsewhere(c);
  if (call_kernel(c)) return true;
  if (fail_code() != MT_ENODEVICE) return false;
  fail_clear();
  return call_elsewhere(c);
}

bool op_call(OpCall *c) {
  if (failed()) return false;
  const Schema *s = c->def->info;
  c->formula = c->def->formula;
  if (!find_device(c, s)) return false;
  if (autocast_anywhere() && autocast_wants(c)) return autocast_call(c);
  if (__builtin_expect(c->device.kind != MT_CPU || s->tensors == 0, 0)) {
    const OpDef *outer = device_op;
    if (!outer) device_op = c->def;
    bool good = call_on_device(c);
    device_op = outer;
    return good;
  }
  return c->def->compose && !c->def->kernel[MT_CPU] ? call_composed(c) : call_kernel(c);
}

/* A formula that reads what its op did not save hands on NULL without a failure. */
static bool has_tensors(const OpDef *def, const Arg *arg) {
  const Schema *s = def->info;
  for (int k = 0; k < s->params; k++)
    if (s->param[k].type < TYPE_TENSORS && !arg[k].given && !s->param[k].optional)
      return fail(MT_ERUNTIME, "%s has no tensor for its argument '%s'", s->name, s->param[k].name);
  return true;
}

static bool run(OpDef *def, const Arg *arg, bool inplace, Tensor **out) {
  if (failed() || (!def->info && !ops_load()) || !has_tensors(def, arg)) return false;
  OpCall c;
  c.def = def;
  c.arg = arg;
  c.inplace = inplace;
  if (!op_call(&c)) return false;
  bool good = true;
  for (int k = 0; k < c.outs; k++) { /* one that was not asked for stays NULL */
    out[k] = pool_add(c.out[k]);
    good = good && (out[k] || !c.out[k]);
  }
  return good;
}

bool op_run_many(OpDef *def, const Arg *arg, Tensor **out) { return run(def, arg, false, out); }

Tensor *op_run(OpDef *def, const Arg *arg) {
  Tensor *out[MAX_OUTS] = {NULL};
  return run(def, arg, false, out) ? out[0] : NULL;
}

Tensor *op_run_inplace(OpDef *def, const Arg *arg) {
  Tensor *out[MAX_OUTS] = {NULL};
  return run(def, arg, true, out) ? out[0] : NULL;
}
