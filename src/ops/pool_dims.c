/* Pooling as one calls it, a function for each number of dims: numbers for each dim are read, and refused in the words of
 * PyTorch's function of that name, before the operator of ops/pool.c runs. Hidden are those that PyTorch has in
 * torch.nn.functional alone. */
#include "base/size.h"
#include "ops/ops.h"
#include <string.h>

extern OpDef def_max_pool_with_indices, def_adaptive_max_pool, def_avg_pool, def_adaptive_avg_pool, def_plane_put;

static const char *const number_word[] = {"", "one", "two", "three"};

/* A number for each dim from a list or from one for all; what is left out is taken from `otherwise` (NULL: standard). */
static bool each_dim(const OpCall *c, int k, int dims, const int64_t *otherwise, int64_t standard, int64_t *out) {
  const Arg *a = &c->arg[k];
  bool given = a->given && !(a->n == 0 && otherwise); /* {} as nil */
  if (given && a->n != 1 && strcmp(c->def->info->name, "max_pool1d") == 0)
    return fail(MT_EARG, "max_pool1d() %s must be an int, list of ints or tuple of ints of size 1 but got size %d",
                c->def->info->param[k].name, a->n);
  if (given && dims == 1 && a->n != 1)
    return fail(MT_EARG, "%s() argument '%s' should contain one int (got %d)", c->def->info->name,
                c->def->info->param[k].name, a->n);
  if (given && a->n != dims && a->n != 1)
    return fail(MT_EARG, "%s: %s must either be %sa single int, or a list of %s ints", c->def->info->name,
                c->def->info->param[k].name, otherwise ? "omitted, " : "", number_word[dims]);
  for (int d = 0; d < dims; d++)
    out[d] = !given ? otherwise ? otherwise[d] : standard : a->n == 1 ? a->ints[0] : a->ints[d];
  return true;
}

/* PyTorch's sentences: of all its pooling over lines, of averages over planes, of the rest. */
static bool check_rank(const OpCall *c, int dims) {
  const Tensor *t = in(c, 0);
  const char *name = c->def->info->name;
  if (t->ndim == dims + 1 || t->ndim == dims + 2) return true;
  if (strcmp(name, "max_pool1d") == 0)
    return fail(MT_EARG,
                "%s: Expected 2D or 3D (batch mode) tensor with optional 0 dim batch size for input, but got:%s", name,
                shape_text(t->ndim, t->shape));
  if (dims == 1)
    return fail(MT_EARG,
                "%s: Expected 2 to 3 dimensions, but got %d-dimensional tensor for argument #1 'self': it is %s", name,
                t->ndim, shape_text(t->ndim, t->shape));
  return fail(MT_EARG, "%s: non-empty %dD or %dD (batch mode) tensor expected for input, but got: %s", name, dims + 1,
              dims + 2, shape_text(t->ndim, t->shape));
}

typedef struct Lines {
  int64_t kernel, stride, pad, dilation;
  bool ceil;
} Lines;

/* What PyTorch's max_pool1d says in words of its own, and refuses; the positions are another function there. */
static bool lines_fit(const Tensor *t, Lines w) {
  int64_t size = t->shape[t->ndim - 1];
  if (w.kernel <= 0)
    return fail(MT_EARG, "max_pool1d() kernel_size must be greater than zero, but got %lld", (long long)w.kernel);
  if (w.stride <= 0)
    return fail(MT_EARG, "max_pool1d() stride must be greater than zero, but got %lld", (long long)w.stride);
  if (w.pad < 0) return fail(MT_EARG, "max_pool1d() padding must be non-negative, but got %lld", (long long)w.pad);
  if (w.pad > w.kernel / 2)
    return fail(MT_EARG,
                "max_pool1d() padding should be at most half of kernel size, but got padding=%lld and kernel_size=%lld",
                (long long)w.pad, (long long)w.kernel);
  if (w.dilation <= 0)
    return fail(MT_EARG, "max_pool1d() dilation must be greater than zero, but got %lld", (long long)w.dilation);
  int64_t slack = !w.ceil ? 0 : w.stride < INT32_MAX ? w.stride - 1 : INT32_MAX;
  if (size > 0 && (w.kernel - 1) > (size + 2 * w.pad - 1 + slack) / w.dilation)
    return fail(MT_EARG, "max_pool1d() Invalid computed output size: 0: a window of %lld in lines of %lld",
                (long long)w.kernel, (long long)size);
  return tensor_is_float(t) || fail(MT_ENOTIMPL, "\"max_pool1d_impl\" not implemented for '%s': use :float() first",
                                    dtype_info[t->dtype].type_name);
}

static bool compose_max(OpCall *c, int dims, bool indices) {
  int64_t kernel[3], stride[3], pad[3], dilation[3];
  Tensor *out[2];
  return check_rank(c, dims) && each_dim(c, 1, dims, NULL, 1, kernel) && each_dim(c, 2, dims, kernel, 1, stride) &&
         each_dim(c, 3, dims, NULL, 0, pad) && each_dim(c, 4, dims, NULL, 1, dilation) &&
         (dims > 1 || indices || lines_fit(in(c, 0), (Lines){*kernel, *stride, *pad, *dilation, c->arg[5].i})) &&
         op_run_many(&def_max_pool_with_indices,
                     (Arg[]){c->arg[0], ARG_INTS(kernel, dims), ARG_INTS(stride, dims), ARG_INTS(pad, dims),
                             ARG_INTS(dilation, dims), c->arg[5]},
                     out) &&
         compose_return(c, 0, out[0]) && (!indices || compose_return(c, 1, out[1]));
}

/* PyTorch wants this of averages over volumes alone: padding does not help. */
static bool volume_fits(const Tensor *t, const int64_t *kernel, const int64_t *pad) {
  const int64_t *size = t->shape + t->ndim - 3;
  for (int d = 0; d < 3; d++)
    if (pad[d] < 0 || pad[d] > kernel[d] / 2) return true; /* refused first, by avg_pool */
  return (size[0] >= kernel[0] && size[1] >= kernel[1] && size[2] >= kernel[2]) ||
         fail(MT_EARG,
              "input image (T: %lld H: %lld W: %lld) smaller than kernel size (kT: %lld kH: %lld kW: %lld): use a "
              "smaller window, or pad the input itself with torch.nn.functional.pad",
              (long long)size[0], (long long)size[1], (long long)size[2], (long long)kernel[0], (long long)kernel[1],
              (long long)kernel[2]);
}

static bool compose_avg(OpCall *c, int dims) {
  int64_t kernel[3], stride[3], pad[3];
  return check_rank(c, dims) && each_dim(c, 1, dims, NULL, 1, kernel) && each_dim(c, 2, dims, kernel, 1, stride) &&
         each_dim(c, 3, dims, NULL, 0, pad) && (dims < 3 || volume_fits(in(c, 0), kernel, pad)) &&
         compose_return(c, 0,
                        op_run(&def_avg_pool,
                               (Arg[]){c->arg[0], ARG_INTS(kernel, dims), ARG_INTS(stride, dims), ARG_INTS(pad, dims),
                                       c->arg[4], c->arg[5], c->def->info->params > 6 ? c->arg[6] : (Arg)ARG_NIL}));
}

static bool adaptive_sizes(const OpCall *c, int dims, int64_t *size) {
  const char *name = c->def->info->name;
  const Arg *a = &c->arg[1];
  const Tensor *t = in(c, 0);
  if (dims == 1 && !check_rank(c, dims)) return false;
  if (t->ndim != dims + 1 && t->ndim != dims + 2)
    return fail(MT_EARG, "%s(): Expected %dD or %dD tensor, but got: %s", name, dims + 1, dims + 2,
                shape_text(t->ndim, t->shape));
  if (a->n != 1 && dims == 1)
    return fail(MT_EARG, "%s() argument 'output_size' should contain one int (got %d)", name, a->n);
  if (a->n != dims && a->n != 1)
    return fail(MT_EARG, "%s: output_size must be %d numbers, or one for all dims", name, dims);
  for (int d = 0; d < dims; d++) {
    size[d] = a->ints[a->n == 1 ? 0 : d];
    if (size[d] < 0)
      return fail(MT_EARG, "%s: elements of output_size must be greater than or equal to 0 but received %s", name,
                  shape_text(a->n, a->ints));
  }
  for (int d = t->ndim == dims + 2; d < t->ndim; d++)
    if (t->shape[d] == 0)
      return fail(
          MT_EARG,
          "%s(): Expected input to have non-zero size for non-batch dimensions, but input has sizes %s with dimension "
          "%d being empty",
          name, shape_text(t->ndim, t->shape), d + 1);
  return true;
}
static bool compose_adaptive_avg(OpCall *c, int dims) {
  int64_t size[3];
  return adaptive_sizes(c, dims, size) &&
         compose_return(c, 0, op_run(&def_adaptive_avg_pool, (Arg[]){c->arg[0], ARG_INTS(size, dims)}));
}
static bool compose_adaptive_max(OpCall *c, int dims) {
  int64_t size[3];
  Tensor *out[2];
  return adaptive_sizes(c, dims, size) &&
         op_run_many(&def_adaptive_max_pool, (Arg[]){c->arg[0], ARG_INTS(size, dims)}, out) &&
         compose_return(c, 0, out[0]) && compose_return(c, 1, out[1]);
}

/* The size that pooling with these numbers came from; one that is given may differ by less than a stride. */
static bool compose_unpool(OpCall *c, int dims) {
  const Tensor *t = in(c, 0);
  const Arg *wanted = &c->arg[5];
  int64_t kernel[3], stride[3], pad[3], shape[5];
  if (t->ndim != dims + 1 && t->ndim != dims + 2)
    return fail(MT_EARG,
                "Input to max_unpooling%dd should be a %dd or %dd Tensor, but got a tensor with %d dimensions.", dims,
                dims + 1, dims + 2, t->ndim);
  if (!each_dim(c, 2, dims, NULL, 1, kernel) || !each_dim(c, 3, dims, kernel, 1, stride) ||
      !each_dim(c, 4, dims, NULL, 0, pad))
    return false;
  int lead = t->ndim - dims, first = wanted->given ? wanted->n - dims : 0;
  if (wanted->given && wanted->n != dims && wanted->n != t->ndim)
    return fail(MT_EARG, "output_size should be a sequence containing %d or %d elements, but it has a length of '%d'",
                dims, dims + 2, wanted->n);
  for (int d = 0; d < lead; d++) shape[d] = t->shape[d];
  for (int d = 0; d < dims; d++) {
    int64_t size;
    if (!size_mul(t->shape[lead + d] - 1, stride[d], &size) || !size_add(size, kernel[d], &size) ||
        (pad[d] > INT32_MAX || pad[d] < 0 ? !fail(MT_EARG, "padding %s is out of range", shape_text(dims, pad))
                                          : false) ||
        !size_add(size, -2 * pad[d], &size))
      return false;
    shape[lead + d] = wanted->given ? wanted->ints[first + d] : size;
    if (wanted->given && (shape[lead + d] <= size - stride[d] || shape[lead + d] >= size + stride[d]))
      return fail(MT_EARG, "invalid output_size \"%s\" (dim %d must be between %lld and %lld)",
                  shape_text(wanted->n, wanted->ints), d + 1, (long long)(size - stride[d]),
                  (long long)(size + stride[d]));
  }
  return compose_return(
      c, 0, op_run(&def_plane_put, (Arg[]){c->arg[0], c->arg[1], ARG_INTS(shape, t->ndim), ARG_I(dims), ARG_I(false)}));
}

#define D1 "input (N, C, L) or (C, L)."
#define D2 "input (N, C, H, W) or (C, H, W)."
#define D3 "input (N, C, D, H, W) or (C, D, H, W)."
#define BY_DIMS(fn)                                  \
  static bool fn##1(OpCall * c) { return fn(c, 1); } \
  static bool fn##2(OpCall * c) { return fn(c, 2); } \
  static bool fn##3(OpCall * c) { return fn(c, 3); }
static bool compose_max_only(OpCall *c, int dims) { return compose_max(c, dims, false); }
static bool compose_max_both(OpCall *c, int dims) { return compose_max(c, dims, true); }
BY_DIMS(compose_max_only)
BY_DIMS(compose_max_both)
BY_DIMS(compose_avg)
BY_DIMS(compose_adaptive_avg)
BY_DIMS(compose_adaptive_max)
BY_DIMS(compose_unpool)

#define MAX_POOL "ints kernel_size, ints? stride=None, ints padding=0, ints dilation=1, bool ceil_mode=False) -> "
#define POOLS(n, good, wrong)                                                                                         \
  OP(max_pool##n##d, .schema = "max_pool" #n "d(Tensor input, " MAX_POOL "Tensor",                                    \
     .doc = "The largest element of each window: " D##n, .samples = good, .errors = wrong, .flags = OP_FUNCTION,      \
     .compose = compose_max_only##n);                                                                                 \
  OP(max_pool##n##d_with_indices,                                                                                     \
     .schema = "max_pool" #n "d_with_indices(Tensor input, " MAX_POOL "(Tensor values, Index indices)",               \
     .doc = "max_pool" #n "d and the position of each element in its plane: " D##n, .samples = good, .errors = wrong, \
     .flags = (n) == 1 ? OP_FUNCTION : OP_HIDDEN, .compose = compose_max_both##n)
POOLS(1, "f(2,2,6) 2 | f(2,7) 3 2 1 | f(1,2,7) 2 dilation=2 | f(1,2,6) {3} stride=2 ceil_mode=true | f(0,2,6) 2",
      "f(6) 2 | f(1,2,6) 7 | f(1,2,6) 2 0 | f(1,2,6) 2 padding=2 | f(1,2,6) {2,2} | f(1,0,6) 2");
POOLS(2, "f(2,2,4,6) 2 | f(2,5,7) {3,2} {2,1} 1 | f(1,1,7,7) 2 dilation={2,3} | f(1,2,5,6) 3 stride=2 ceil_mode=true",
      "f(4,6) 2 | f(1,2,4,6) 5 | f(1,2,4,6) 0 | f(1,2,4,6) 2 dilation=0 | f(1,2,4,6) {2,2,2} | b(1,2,4,6) 2");
POOLS(3, "f(1,2,2,4,4) 2 | f(2,3,4,3) {2,3,2} 2 {1,1,0}", "f(3,4,3) 2 | f(1,2,2,4,4) 3 | f(1,2,2,4,4) 2 padding=-1");

OP(avg_pool1d,
   .schema = "avg_pool1d(Tensor input, ints kernel_size, ints? stride=None, ints padding=0, bool ceil_mode=False, "
             "bool count_include_pad=True) -> Tensor",
   .doc = "The mean of each window: " D1, .samples = "f(2,2,6) 2 | f(2,7) 3 2 1 | f(2,7) 3 2 1 true false",
   .errors = "f(6) 2 | f(2,6) 7 | f(2,6) 2 0 | f(2,6) 2 padding=2", .flags = OP_FUNCTION, .compose = compose_avg1);
#define AVG_POOL(n, good, wrong)                                                                                     \
  OP(avg_pool##n##d,                                                                                                 \
     .schema =                                                                                                       \
         "avg_pool" #n "d(Tensor input, ints kernel_size, ints? stride=None, ints padding=0, bool ceil_mode=False, " \
         "bool count_include_pad=True, int? divisor_override=None) -> Tensor",                                       \
     .doc = "The mean of each window: " D##n, .samples = good, .errors = wrong, .flags = OP_HIDDEN,                  \
     .compose = compose_avg##n)
AVG_POOL(2, "f(2,2,4,6) 2 | f(2,5,7) {3,2} {2,1} 1 true false | f(1,1,5,4) 3 divisor_override=2",
         "f(4,6) 2 | f(2,4,6) 2 divisor_override=0");
AVG_POOL(3, "f(1,2,2,4,4) 2 | f(2,3,4,3) {2,3,2} 2 {1,1,0} true", "f(3,4,3) 2 | f(2,3,4,3) 4");

#define ADAPTIVE(n, good, wrong)                                                                                      \
  OP(adaptive_avg_pool##n##d, .schema = "adaptive_avg_pool" #n "d(Tensor input, Size output_size) -> Tensor",         \
     .doc = "Means of windows so chosen that there are output_size of them: " D##n, .samples = good, .errors = wrong, \
     .flags = (n) == 1 ? OP_FUNCTION : OP_HIDDEN, .compose = compose_adaptive_avg##n);                                \
  OP(adaptive_max_pool##n##d,                                                                                         \
     .schema = "adaptive_max_pool" #n "d(Tensor input, Size output_size) -> (Tensor values, Index indices)",          \
     .doc =                                                                                                           \
         "The largest of windows so chosen that there are output_size of them, and its position in its plane: " D##n, \
     .samples = good, .errors = wrong, .flags = (n) == 1 ? OP_FUNCTION : OP_HIDDEN,                                   \
     .compose = compose_adaptive_max##n)
ADAPTIVE(1, "f(2,2,7) 3 | f(2,5) {7}", "f(7) 3 | f(2,2,7) {2,2} | f(2,2,0) 3 | f(2,2,7) -1");
ADAPTIVE(2, "f(2,2,5,4) 3 | f(2,4,5) {1,7}", "f(4,5) 3 | f(2,2,5,4) {2,2,2} | i(2,5,4) 2");
ADAPTIVE(3, "f(1,2,3,5,4) 2 | f(2,2,3,4) {1,2,3}", "f(2,3,4) 3 | f(2,2,3,4) {2,2}");

#define UNPOOL(n, good, wrong)                                                                                        \
  OP(max_unpool##n##d,                                                                                                \
     .schema = "max_unpool" #n "d(Tensor input, Index indices, ints kernel_size, ints? stride=None, ints padding=0, " \
               "Size? output_size=None) -> Tensor",                                                                   \
     .doc = "Zeros with each element at the position that max_pool" #n "d took it from: " D##n, .samples = good,      \
     .errors = wrong, .flags = OP_HIDDEN, .compose = compose_unpool##n)
UNPOOL(1, "f(2,3,1) x(2,3,1;3) 3 | f(2,1) x(2,1;4) 3 output_size={4}",
       "f(2,3,2) x(2,3,2;5) 2 | f(2) x(2;3) 2 | f(2,2) x(2,1;3) 2");
UNPOOL(2, "f(2,2,1,1) x(2,2,1,1;4) 2 | f(2,1,1) x(2,1,1;6) {2,2} output_size={2,3}",
       "f(2,2,1,1) x(2,2,1,1;5) 2 | f(2,1,1) x(2,1,1;4) 2 output_size={4,2} | f(1,1) x(1,1;1) 2");
UNPOOL(3, "f(2,2,1,1,1) x(2,2,1,1,1;8) 2 | f(2,1,1,1) x(2,1,1,1;12) {2,2,3}", "f(2,1,1,1) x(2,1,1,1;9) 2");
