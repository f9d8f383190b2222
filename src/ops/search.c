/* Searching sorted tensors, and sets: what is in one, what is unique, how often it is there.
 *
 * None of it has a gradient: tensors are detached first. Results whose size depends on values read them on the host. */
#include "cpu/device_kernels.h"
#include "base/size.h"
#include "ops/reduce.h"
#include <math.h>
#include <string.h>

extern OpDef def_amax, def_amin, def_any, def_clamp, def_cumsum, def_linspace, def_mask_position, def_sort;

static const char *type_word(const Tensor *t) { return dtype_info[t->dtype].type_name; }
static Tensor *flat(Tensor *t) { return t ? op_reshape(t, 1, &t->numel) : NULL; }
static Tensor *zeros(DType d, int64_t n, Device device) { return op_full(d, 1, &n, device, scalar_int(0)); }
static Tensor *clamp_positions(Tensor *t, int64_t most) {
  return op_run(&def_clamp, (Arg[]){ARG_T(t), ARG_N(scalar_int(1)), ARG_N(scalar_int(most))});
}
static double value_of(Tensor *t) { return t ? scalar_double(tensor_scalar(t)) : 0; }
static Tensor *whole_extreme(OpDef *def, Tensor *t) { return op_run(def, (Arg[]){ARG_T(t), ARG_NIL, ARG_I(0)}); }

/* --- searchsorted and bucketize --- */

static bool check_side(const OpCall *c, bool *right) {
  *right = c->arg[3].i;
  if (!c->arg[4].given) return true;
  bool left = strcmp(c->arg[4].str, "left") == 0;
  if (!left && strcmp(c->arg[4].str, "right") != 0)
    return fail(MT_EARG, "torch.searchsorted(): side can only be 'left' or 'right' but got %s", c->arg[4].str);
  if (left && *right)
    return fail(
        MT_EARG,
        "torch.searchsorted(): side and right can't be set to opposites, got side of left while right was True");
  *right = !left;
  return true;
}
static bool infer_searchsorted(OpCall *c) {
  Tensor *line = in(c, 0), *v = in(c, 1), *sorter = c->arg[5].given ? in(c, 5) : NULL;
  bool right, fits = line->ndim == 1 || line->ndim == v->ndim;
  if (!check_side(c, &right)) return false;
  if (line->ndim != 1 && v->ndim == 0)
    return fail(MT_EARG,
                "torch.searchsorted(): input value can be a scalar only when boundaries tensor dimension is 1, but we "
                "got boundaries tensor dim(%d) and input value's dim(0) numel(1)",
                line->ndim);
  for (int d = 0; fits && line->ndim > 1 && d < v->ndim - 1; d++) fits = line->shape[d] == v->shape[d];
  if (!fits || line->ndim == 0)
    return fail(MT_EARG,
                "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of "
                "boundaries tensor and input value tensor must match, but we got boundaries tensor %s and input value "
                "tensor %s",
                shape_text(line->ndim, line->shape), shape_text(v->ndim, v->shape));
  if (sorter && sorter->dtype != MT_I64 && sorter->dtype != MT_I32)
    return fail(MT_EARG, "torch.searchsorted(): sorter must be a tensor of long dtype but got dtype %s. Use :long()",
                type_word(sorter));
  if (sorter && !tensor_same_shape(sorter, line))
    return fail(MT_EARG,
                "torch.searchsorted(): boundary and sorter must have the same size, but got boundary tensor %s and got "
                "sorter tensor %s",
                shape_text(line->ndim, line->shape), shape_text(sorter->ndim, sorter->shape));
  c->compute = promote_tensors(2, (Tensor *[]){line, v}, default_dtype());
  if (c->compute == MT_BOOL)
    return fail(MT_ENOTIMPL, "\"searchsorted_out_cpu\" not implemented for 'Bool'. Use :int() first");
  if (c->arg[2].i && line->shape[line->ndim - 1] >= INT32_MAX)
    return fail(MT_EARG,
                "torch.searchsorted(): the size of boundaries' last dimension should be less than %d when out_int32 is "
                "true, but we got %lld",
                INT32_MAX, (long long)line->shape[line->ndim - 1]);
  return out_shape(c, 0, c->arg[2].i ? MT_I32 : MT_I64, v->ndim, v->shape);
}
static bool run_searchsorted(OpCall *c) {
  Tensor *sorter = c->arg[5].given ? in(c, 5) : NULL;
  bool right;
  if (!check_side(c, &right)) return false;
  if (sorter && !any_check_positions(sorter, sorter->shape[sorter->ndim - 1], false, sorter->ndim - 1)) {
    fail_prefix("torch.searchsorted(): sorter index out of range: ");
    return false;
  }
  return any_search(in(c, 0), in(c, 1), sorter, c->compute, right, c->out[0]);
}
OP(searchsorted,
   .schema = "searchsorted(Tensor sorted_sequence, Operand input, *, bool out_int32=False, bool right=False, str? "
             "side=None, Index? sorter=None) -> Index",
   .doc = "Positions, from 1, at which input's elements would go into the sorted last dim of sorted_sequence, before "
          "equal elements or, with right or side = 'right', behind them; n + 1 is behind all. sorted_sequence is a "
          "vector or has input's leading sizes; sorter holds the positions that sort it.",
   .samples = "p(4) f(2,3) | i(5) i(3) right=true | p(2,3) f(2,4) side='right' | f(3) f(4) sorter=x(3;3) | p(4) 1.5 | "
              "f(0) f(2)",
   .errors = "f(2,3) f(3,2) | f(2,3) 1.5 | f(3) f(3) side='up' | f(3) f(2) right=true side='left' | b(3) b(2)",
   .flags = OP_FUNCTION | OP_NO_GRADIENT, .infer = infer_searchsorted, .kernel = EVERYWHERE(run_searchsorted));

static bool compose_bucketize(OpCall *c) {
  Tensor *line = in(c, 1);
  if (line->ndim != 1)
    return fail(MT_EARG, "boundaries tensor must be 1 dimension, but got dim(%d): %s", line->ndim,
                shape_text(line->ndim, line->shape));
  return compose_return(
      c, 0, op_run(&def_searchsorted, (Arg[]){c->arg[1], c->arg[0], c->arg[2], c->arg[3], ARG_NIL, ARG_NIL}));
}
OP(bucketize,
   .schema = "bucketize(Operand input, Tensor boundaries, *, bool out_int32=False, bool right=False) -> Index",
   .doc = "Numbers, from 1, of the buckets between ascending boundaries that input's elements belong to. A boundary "
          "itself belongs to the bucket before it or, with right, to the one behind it.",
   .samples = "f(2,3) p(4) | i(3) i(5) right=true | 1.5 p(4)", .errors = "f(3) f(2,2) | f(3) f() | b(2) b(3)",
   .flags = OP_FUNCTION | OP_NO_GRADIENT, .compose = compose_bucketize);

/* --- isin --- */

static bool compose_isin(OpCall *c) {
  Tensor *e = in(c, 0), *s = in(c, 1);
  for (int k = 0; k < 2; k++)
    if (in(c, k)->dtype == MT_BOOL)
      return fail(MT_ENOTIMPL, "Unsupported input type encountered for isin(): Bool. Use :int() first");
  if (e->is_scalar && s->is_scalar)
    return fail(MT_EARG, "received an invalid combination of arguments - got two numbers: one must be a Tensor");
  DType as = promote_tensors(2, (Tensor *[]){e, s}, default_dtype());
  bool invert = c->arg[3].i;
  Tensor *sorted[MAX_OUTS];
  e = op_on(op_cast(op_detach(e), as), c->device);
  s = flat(op_on(op_cast(op_detach(s), as), c->device));
  if (s && tensor_is_float(s)) /* a NaN equals nothing, and would mislead the search */
    s = op_index_select(s, 0, op_run(&def_mask_position, (Arg[]){ARG_T(op_eq(s, s))}));
  if (s && s->numel == 0)
    return compose_return(c, 0, op_full(MT_BOOL, e->ndim, e->shape, tensor_device(e), scalar_bool(invert)));
  if (!s || !op_run_many(&def_sort, (Arg[]){ARG_T(s), ARG_I(0), ARG_I(0), ARG_I(0)}, sorted)) return false;
  Arg search[] = {ARG_T(sorted[0]), ARG_T(e), ARG_I(0), ARG_I(0), ARG_NIL, ARG_NIL};
  Tensor *at = clamp_positions(flat(op_run(&def_searchsorted, search)), s->numel);
  Tensor *found = op_eq(flat(e), op_index_select(sorted[0], 0, at));
  if (invert) found = op_not(found);
  return compose_return(c, 0, found ? op_reshape(found, e->ndim, e->shape) : NULL);
}
#define ISIN(id, elements, tests, inputs, wrong)                                                              \
  OP(id, .schema = "isin(" elements ", " tests ", *, bool assume_unique=False, bool invert=False) -> Tensor", \
     .doc = "Which elements are among the test elements (with invert: are not), as bool of the shape of the " \
            "former. NaN is among none.",                                                                     \
     .samples = inputs, .errors = wrong, .flags = OP_FUNCTION | OP_NO_GRADIENT, .compose = compose_isin)
ISIN(isin, "Tensor elements", "Tensor test_elements", "i(3,4) i(5) | f(3) f(0) | i(4) f(2,3) invert=true", "b(3) b(2)");
ISIN(isin_number, "Tensor elements", "Operand test_element", "i(3,4) 2 | f(3) 0.5 invert=true", "b(3) 1");
ISIN(isin_of_number, "Operand element", "Tensor test_elements", "2 i(3,4) | 0.5 f(3) invert=true", "1 b(3)");

/* --- unique --- */

static bool infer_row_order(OpCall *c) {
  const Tensor *t = in(c, 0);
  if (t->ndim != 2) return fail(MT_EARG, "row_order expects a matrix, not %s", tensor_text(t));
  return out_shape(c, 0, MT_I64, 1, t->shape);
}
static bool run_row_order(OpCall *c) { return any_row_order(in(c, 0), c->out[0]); }
OP(row_order, .schema = "row_order(Tensor input) -> Index",
   .doc = "Positions, from 1, that put the rows of a matrix in lexicographic order.",
   .samples = "i(40,2) | f(3,4) | i(2,0)", .errors = "f(3)", .flags = OP_HIDDEN | OP_NO_GRADIENT,
   .infer = infer_row_order, .kernel = EVERYWHERE(run_row_order));

/* What a result of unique is made of: rows (n) or (n, m), equal ones next to each other, stand at `order` (NULL: in
 * their own order) along dim of source. */
typedef struct {
  Tensor *source, *rows, *order;
  int64_t dim;
  bool inverse, counts;
} Sets;

static bool return_sets(OpCall *c, const Sets *s, int ndim, const int64_t *shape) {
  Tensor *rows = s->rows;
  if (!rows) return false;
  int64_t n = rows->shape[0];
  Device device = tensor_device(rows);
  Tensor *first = op_full(MT_BOOL, 1, (int64_t[]){n > 0}, device, scalar_bool(true));
  if (n > 1) {
    Tensor *differs = op_ne(op_narrow(rows, 0, 1, n - 1), op_narrow(rows, 0, 0, n - 1));
    int64_t across = 1;
    if (rows->ndim > 1) differs = op_run(&def_any, (Arg[]){ARG_T(differs), ARG_INTS(&across, 1), ARG_I(0)});
    first = op_cat(2, (Tensor *[]){first, differs}, 0);
  }
  Tensor *at = op_run(&def_mask_position, (Arg[]){ARG_T(first)});
  if (!compose_return(c, 0, op_index_select(s->source, s->dim, s->order ? op_index_select(s->order, 0, at) : at)))
    return false;
  if (s->inverse) {
    Tensor *set = op_run(&def_cumsum, (Arg[]){ARG_T(first), ARG_I(0), ARG_NIL});
    if (s->order) set = op_scatter_add(zeros(MT_I64, n, device), 0, s->order, set);
    if (!compose_return(c, 1, op_reshape(set, ndim, shape))) return false;
  }
  if (!s->counts) return true;
  Tensor *next = at;
  if (n > 0)
    next = op_cat(2,
                  (Tensor *[]){op_narrow(at, 0, 1, at ? at->numel - 1 : 0),
                               op_full(MT_I64, 1, (int64_t[]){1}, device, scalar_int(n + 1))},
                  0);
  return compose_return(c, 2, op_sub(next, at));
}

/* Equal slices along dim become one; sorted: wherever they stand, else only neighbours. */
static bool unique(OpCall *c, bool sort, bool inverse, bool counts, const Arg *dim) {
  Tensor *t = op_detach(in(c, 0));
  int at = 0;
  if (!t) return false;
  if (!dim->given) {
    Sets s = {.source = flat(t), .inverse = inverse, .counts = counts};
    Tensor *sorted[MAX_OUTS];
    s.rows = s.source;
    if (sort) {
      if (!s.rows || !op_run_many(&def_sort, (Arg[]){ARG_T(s.rows), ARG_I(0), ARG_I(0), ARG_I(0)}, sorted))
        return false;
      s.rows = sorted[0];
      s.order = sorted[1];
    }
    return return_sets(c, &s, t->ndim, t->shape);
  }
  if (!dim_wrap(dim->i, t->ndim, &at)) return false;
  if (t->ndim == 0) return fail(MT_EINDEX, "Dimension specified as 1 but tensor has no dimensions");
  int64_t n = t->shape[at], width = 1;
  for (int d = 0; d < t->ndim; d++) {
    if (d == at) continue;
    if (t->shape[d] == 0 && n > 0)
      return fail(MT_EARG,
                  "There are 0 sized dimensions, and they aren't selected, so unique cannot be applied: the tensor has "
                  "shape %s",
                  shape_text(t->ndim, t->shape));
    if (!size_mul(width, t->shape[d], &width)) return false;
  }
  Tensor *rows = op_reshape(op_transpose(t, 0, at), 2, (int64_t[]){n, width});
  Sets s = {.source = t, .rows = rows, .dim = at, .inverse = inverse, .counts = counts};
  if (sort) {
    s.order = op_run(&def_row_order, (Arg[]){ARG_T(rows)});
    s.rows = op_index_select(rows, 0, s.order);
  }
  return return_sets(c, &s, 1, &n);
}
static bool compose_unique(OpCall *c) { return unique(c, true, c->arg[2].i, c->arg[3].i, &c->arg[4]); }
static bool compose_unique_consecutive(OpCall *c) { return unique(c, false, c->arg[1].i, c->arg[2].i, &c->arg[3]); }
#define SETS " -> (Tensor output, Index? inverse_indices, Tensor? counts)"
#define SETS_DOC                                                                                                   \
  " With return_inverse also where each element went (positions from 1), with return_counts how many each stands " \
  "for. Every NaN is unique."
OP(unique,
   .schema = "unique(Tensor input, bool sorted=True, bool return_inverse=False, bool return_counts=False, Dim? "
             "dim=None)" SETS,
   .doc = "The distinct elements, or slices along dim, in ascending (lexicographic) order, sorted or not." SETS_DOC,
   .samples = "i(3,4) | i(20) true true true | f(5) return_counts=true | i(8,1) return_inverse=true dim=1 | "
              "i(2,6) true true true d2 | b(4) | f(0) true true true | f()",
   .errors = "f(2,0) dim=1 | f() dim=1 | f(3) dim=2", .flags = OP_BOTH | OP_NO_GRADIENT, .compose = compose_unique);
OP(unique_consecutive,
   .schema = "unique_consecutive(Tensor input, bool return_inverse=False, bool return_counts=False, Dim? "
             "dim=None)" SETS,
   .doc = "The first element, or slice along dim, of each run of equal ones." SETS_DOC,
   .samples =
       "i(3,4) | i(20) true true | b(9) return_counts=true | i(8,1) return_inverse=true dim=1 | b(2,6) true true "
       "d2 | f()",
   .errors = "f(2,0) dim=1 | f() dim=1 | f(3) dim=2", .flags = OP_BOTH | OP_NO_GRADIENT,
   .compose = compose_unique_consecutive);

/* --- counting --- */

static bool infer_counts(OpCall *c) {
  if (!dtype_is_integral((DType)in(c, 0)->dtype))
    return fail(MT_EARG, "counts: %s holds no integers", tensor_text(in(c, 0)));
  if (c->arg[1].i < 0) return fail(MT_EARG, "counts: size %lld", (long long)c->arg[1].i);
  return out_shape(c, 0, MT_I64, 1, &c->arg[1].i);
}
OP(counts, .schema = "counts(Tensor input, int size) -> Tensor",
   .doc = "How often each of 0 .. size - 1 is in a tensor of integers; others are not counted.",
   .samples = "i(5) 9 | i(2,4) 2 | i(0) 3", .errors = "f(3) 2 | i(3) -1", .flags = OP_HIDDEN | OP_NO_GRADIENT,
   .infer = infer_counts, .kernel = EVERYWHERE(any_counts));

static bool compose_bincount(OpCall *c) {
  Tensor *t = in(c, 0), *weights = c->arg[1].given ? in(c, 1) : NULL;
  int64_t size = c->arg[2].i;
  Device device = tensor_device(t);
  if (!dtype_is_integral((DType)t->dtype))
    return fail(MT_ENOTIMPL, "\"bincount_cpu\" not implemented for '%s'. Use :long() first", type_word(t));
  if (size < 0) return fail(MT_EARG, "minlength should be >= 0, not %lld", (long long)size);
  if (t->ndim == 1 && t->numel == 0) return compose_return(c, 0, zeros(MT_I64, size, device));
  Tensor *most = t->ndim == 1 ? op_cast(whole_extreme(&def_amax, t), MT_I64) : NULL;
  Tensor *least = t->ndim == 1 ? op_cast(whole_extreme(&def_amin, t), MT_I64) : NULL;
  if (failed()) return false;
  if (!most || !least || tensor_scalar(least).i < 0)
    return fail(MT_EARG, "bincount only supports 1-d non-negative integral inputs. Got %s%s", tensor_text(t),
                t->ndim == 1 ? " with negative elements" : "");
  int64_t last = tensor_scalar(most).i;
  if (last == INT64_MAX)
    return fail(MT_EARG, "maximum value of input overflowed, it should be < %lld but got %lld", (long long)INT64_MAX,
                (long long)last);
  if (weights && (weights->ndim != 1 || weights->numel != t->numel))
    return fail(MT_EARG, "weights should be 1-d and have the same length as input: input is %s, weights is %s",
                tensor_text(t), tensor_text(weights));
  if (last + 1 > size) size = last + 1;
  if (!weights) return compose_return(c, 0, op_run(&def_counts, (Arg[]){ARG_T(t), ARG_I(size)}));
  DType d = weights->dtype == MT_F32 ? MT_F32 : MT_F64;
  return compose_return(
      c, 0,
      op_scatter_add(zeros(d, size, device), 0, op_add(op_cast(t, MT_I64), op_int(1)), op_cast(op_detach(weights), d)));
}
OP(bincount, .schema = "bincount(Tensor input, Tensor? weights=None, int minlength=0) -> Tensor",
   .doc =
       "How often each value 0, 1, 2, ... is in a vector of integers, or the sum of its weights. The count of value v "
       "stands at position v + 1; there are at least minlength. float32 weights give float32, others float64.",
   .samples = "x(5;4) | x(5;4) g(5) | x(5;4) minlength=9 | i(0) minlength=3",
   .errors = "f(3) | i(2,2) | b(2) | x(3;2) f(2) | x(3;2) minlength=-1", .flags = OP_BOTH | OP_NO_GRADIENT,
   .compose = compose_bincount);

/* The range that bins cover: what was given, else that of the values, widened by `widen` when it is a point. */
static bool range_of(const Tensor *t, Tensor *x, bool given, double widen, double *low, double *high) {
  if (!given && t->numel > 0) {
    *low = value_of(whole_extreme(&def_amin, x));
    *high = value_of(whole_extreme(&def_amax, x));
  }
  if (failed()) return false;
  bool finite = isfinite(*low) && isfinite(*high);
  if (finite && *low == *high) {
    *low -= widen;
    *high += widen;
  }
  return finite;
}
/* Sums of weight by bin, a position from 1, of those that `takes` holds of. */
static Tensor *fill_bins(Tensor *bin, Tensor *takes, Tensor *weight, DType d, int64_t bins) {
  Tensor *share = weight ? op_where(takes, weight, op_float(0)) : op_cast(takes, d);
  return bin ? op_scatter_add(zeros(d, bins, tensor_device(bin)), 0, bin, share) : NULL;
}
static bool check_bins(int64_t bins) {
  return bins > 0 || fail(MT_EARG, "torch.histogram(): bins must be > 0, but got %lld", (long long)bins);
}

static bool compose_histc(OpCall *c) {
  Tensor *t = in(c, 0);
  int64_t bins = c->arg[1].i;
  double low = scalar_double(c->arg[2].number), high = scalar_double(c->arg[3].number);
  if (!tensor_is_float(t))
    return fail(MT_ENOTIMPL, "\"histogram_cpu\" not implemented for '%s'. Use :float() first", type_word(t));
  if (!check_bins(bins)) return false;
  /* in input's dtype, where 16-bit floats are rounded at every step, as the bins of PyTorch are; counted in float32 */
  DType d = (DType)t->dtype, wide = d == MT_F64 ? MT_F64 : MT_F32;
  Tensor *x = flat(op_detach(t));
  if (!x) return false;
  if (!range_of(t, x, low != high, 1, &low, &high))
    return failed() ? false : fail(MT_EARG, "torch.histc: range of [%g, %g] is not finite", low, high);
  if (low > high) return fail(MT_EARG, "torch.histc: max must be larger than min, but max is %g, min %g", high, low);
  Tensor *first = op_full(d, 0, NULL, c->device, scalar_float(low));
  Tensor *last = op_full(d, 0, NULL, c->device, scalar_float(high));
  Tensor *count = op_full(d, 0, NULL, c->device, scalar_int(bins));
  Tensor *takes = op_and(op_ge(x, first), op_le(x, last)), *width = op_sub(last, first);
  x = op_sub(op_where(takes, x, first), first);
  Tensor *bin = op_add(op_cast(op_div(op_mul(x, count), width), MT_I64), op_int(1));
  Tensor *counts = fill_bins(clamp_positions(bin, bins), takes, NULL, wide, bins);
  return compose_return(c, 0, counts ? op_cast(counts, (DType)t->dtype) : NULL);
}
OP(histc, .schema = "histc(Tensor input, int bins=100, Number min=0, Number max=0) -> Tensor",
   .doc =
       "How many elements are in each of `bins` equal bins between min and max, the least and the largest element if "
       "both are equal. Others, and NaN, are left out. The counts have input's dtype.",
   .samples = "f(3,4) | f(20) 4 | f(20) 5 -1 1 | f(0) 3", .errors = "f(3) 0 | i(3) | f(3) 2 1 0",
   .flags = OP_BOTH | OP_NO_GRADIENT, .compose = compose_histc);

/* Counts by edges: the first belongs to its bin, as do all others to the bin behind them, but the last one. */
static bool histogram(OpCall *c, Tensor *edges, int64_t bins, const Arg *weight_arg, bool density) {
  Tensor *t = in(c, 0), *weight = weight_arg->given ? weight_arg->tensor : NULL;
  if (weight && weight->numel != t->numel)
    return fail(
        MT_EARG,
        "torch.histogramdd: if weight tensor is provided it should have the same shape as the input tensor excluding "
        "its innermost dimension, but got input with shape %s and weight with shape %s",
        shape_text(t->ndim, t->shape), shape_text(weight->ndim, weight->shape));
  if (weight && weight->dtype != t->dtype)
    return fail(MT_EARG,
                "torch.histogramdd: if weight tensor is provided, input tensor and weight tensor should have the same "
                "dtype, but got input(%s), and weight(%s)",
                dtype_info[t->dtype].alias, dtype_info[weight->dtype].alias);
  Tensor *x = flat(op_detach(t));
  Tensor *takes = op_and(op_ge(x, op_select(edges, 0, 0)), op_le(x, op_select(edges, 0, -1)));
  Arg search[] = {ARG_T(edges), ARG_T(x), ARG_I(0), ARG_I(1), ARG_NIL, ARG_NIL};
  Tensor *bin = clamp_positions(op_sub(op_run(&def_searchsorted, search), op_int(1)), bins);
  DType d = (DType)t->dtype, wide = d == MT_F64 ? MT_F64 : MT_F32;
  Tensor *counts = fill_bins(bin, takes, weight ? flat(op_cast(op_detach(weight), wide)) : NULL, wide, bins);
  if (density) {
    Tensor *at = op_cast(edges, wide), *widths = op_sub(op_narrow(at, 0, 1, bins), op_narrow(at, 0, 0, bins));
    counts = op_div(op_div(counts, op_sum(counts)), widths);
  }
  return counts && compose_return(c, 0, op_cast(counts, d)) && compose_return(c, 1, edges);
}
/* 16-bit floats do where the ends of the range need not be found. */
static bool check_histogram(const Tensor *t, bool known) {
  if (t->dtype == MT_F32 || t->dtype == MT_F64 || (known && tensor_is_float(t))) return true;
  return fail(MT_ENOTIMPL, "\"%s\" not implemented for '%s'. Use :float() first",
              known ? "histogram_cpu" : "histogramdd", type_word(t));
}
static bool compose_histogram(OpCall *c) {
  Tensor *t = in(c, 0);
  int64_t bins = c->arg[1].i, edges;
  const Arg *range = &c->arg[2];
  double low = 0, high = t->numel > 0 || range->given ? 0 : 1;
  if (!check_histogram(t, range->given) || !check_bins(bins) || !size_add(bins, 1, &edges)) return false;
  if (range->given) {
    if (range->n != 2)
      return fail(MT_EARG, "torch.histogramdd: for a 1-dimensional histogram range should have 2 elements, but got %d",
                  range->n);
    low = scalar_double(range->numbers[0]);
    high = scalar_double(range->numbers[1]);
  }
  if (!range_of(t, op_detach(t), range->given, 0.5, &low, &high))
    return failed() ? false : fail(MT_EARG, "torch.histogramdd: dimension 1's range [%g, %g] is not finite", low, high);
  if (low > high)
    return fail(MT_EARG, "torch.histogramdd: min should not exceed max, but got min %g max %g for dimension 1", low,
                high);
  Arg line[] = {
      ARG_N(scalar_float(low)), ARG_N(scalar_float(high)), ARG_I(edges), ARG_DTYPE((DType)t->dtype), ARG_NIL, ARG_I(0)};
  Tensor *at = op_on(op_run(&def_linspace, line), c->device);
  return at && histogram(c, at, bins, &c->arg[3], c->arg[4].i);
}
static bool compose_histogram_edges(OpCall *c) {
  Tensor *t = in(c, 0), *edges = op_detach(in(c, 1));
  if (!edges || !check_histogram(t, true)) return false;
  if (edges->ndim != 1)
    return fail(
        MT_EARG,
        "torch.histogramdd: bins tensor should have one dimension, but got %d dimensions in the bins tensor for "
        "dimension 1",
        edges->ndim);
  if (edges->numel < 1)
    return fail(MT_EARG, "torch.histogramdd: bins tensor should have at least 1 element, but got 0 elements in the "
                         "bins tensor for dimension 1");
  if (edges->dtype != t->dtype)
    return fail(MT_EARG,
                "torch.histogramdd: input tensor and bins tensors should have the same dtype, but got input with dtype "
                "%s and bins for dimension 1 with dtype %s",
                dtype_info[t->dtype].alias, dtype_info[edges->dtype].alias);
  return check_bins(edges->numel - 1) && histogram(c, edges, edges->numel - 1, &c->arg[2], c->arg[3].i);
}
#define HISTOGRAM_DOC                                                                                                \
  " Each bin has its lower edge, the last one both. weight (input's shape) is summed in place of counting; density " \
  "makes the integral 1. float32 and float64; 16-bit floats where the range or the edges are given."
OP(histogram,
   .schema = "histogram(Tensor input, int bins=100, *, Numbers? range=None, Tensor? weight=None, bool density=False) "
             "-> (Tensor hist, Tensor bin_edges)",
   .doc =
       "How many elements are in each of `bins` equal bins over range = {low, high}, by default that of the elements, "
       "and the edges of the bins." HISTOGRAM_DOC,
   .samples = "f(3,4) 5 | f(9) 4 range={-1,1} | f(6) 3 weight=p(6) density=true | f(0) 2",
   .errors = "f(3) 0 | i(3) 2 | f(3) 2 range={1} | f(3) 2 range={2,1} | f(3) 2 weight=f(2)",
   .flags = OP_BOTH | OP_NO_GRADIENT, .compose = compose_histogram);
OP(histogram_edges,
   .schema = "histogram(Tensor input, Tensor bins, *, Tensor? weight=None, bool density=False) -> (Tensor hist, Tensor "
             "bin_edges)",
   .doc = "How many elements are between neighbours in bins, a vector of ascending edges, and bins." HISTOGRAM_DOC,
   .samples = "f(3,4) p(4) | f(9) p(3) weight=p(9) density=true",
   .errors = "f(3) f(2,2) | f(3) f(1) | f(3) f(0) | f(3) i(3)", .flags = OP_BOTH | OP_NO_GRADIENT,
   .compose = compose_histogram_edges);
