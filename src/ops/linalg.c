/* Linear algebra on square matrices: inverse, determinants, solving, powers. The last two dims are the matrix, those in
 * front are batches. lua/moontorch/linalg.lua gives these their names under torch.linalg. */
#include "cpu/kernels.h"
#include "ops/ops.h"
#include <math.h>
#include <string.h>

extern OpDef def_diag_embed, def_inverse, def_inverse_near, def_det, def_slogdet, def_solve_batch, def_eye, def_clone;

static const char *type_name(const Tensor *t) { return dtype_info[t->dtype].type_name; }
static Tensor *turned(Tensor *t) { return op_transpose(t, -2, -1); }

static bool is_square(const Tensor *t, const char *name) {
  if (t->ndim < 2)
    return fail(MT_EARG, "%s: The input tensor A must have at least 2 dimensions. It is %s", name,
                shape_text(t->ndim, t->shape));
  int64_t rows = t->shape[t->ndim - 2], cols = t->shape[t->ndim - 1];
  return rows == cols || fail(MT_EARG, "%s: A must be batches of square matrices, but they are %lld by %lld matrices",
                              name, (long long)rows, (long long)cols);
}
static bool is_wide_float(const Tensor *t, const char *name) {
  if (!tensor_is_float(t))
    return fail(MT_ENOTIMPL, "%s: Expected a floating point or complex tensor as input. Got %s: use :float() first",
                name, type_name(t));
  bool wide = t->dtype == MT_F32 || t->dtype == MT_F64;
  if (!wide && (strcmp(name, "linalg.det") == 0 || strcmp(name, "linalg.solve") == 0))
    return fail(MT_ENOTIMPL, "\"lu_cpu\" not implemented for '%s': use :float() first", type_name(t));
  return wide ||
         fail(MT_ENOTIMPL, "%s: Low precision dtypes not supported. Got %s: use :float() first", name, type_name(t));
}
static bool check(const OpCall *c, const char *name) {
  return is_square(in(c, 0), name) && is_wide_float(in(c, 0), name);
}

/* --- inverse: dA = -A^-T g A^-T --- */

static bool infer_inverse(OpCall *c) { return check(c, "linalg.inv") && infer_same(c); }
static void back_inverse(Grad *g) {
  Tensor *t = turned(g_result(g, 0));
  g_set(g, 0, op_neg(op_matmul(t, op_matmul(g_out(g, 0), t))));
}
OP(inverse, .schema = "inverse(Tensor input) -> Tensor",
   .doc = "Inverse of each square matrix; a singular one is refused.", .samples = "f(2,3,3) | f(0,0) | f(1,1)",
   .errors = "f(2,3) | f(3) | i(2,2)", .saves = "input: result", .flags = OP_BOTH, .infer = infer_inverse,
   .kernel = EVERYWHERE(any_inverse), .backward = back_inverse);
OP(inverse_near, .schema = "inverse_near(Tensor input, bool nudge) -> Tensor",
   .doc = "The inverse, where a pivot that is zero counts as epsilon (nudge), or gives infinities: for gradients.",
   .samples = "f(2,3,3) true | f(2,2,2) false", .errors = "f(2,3) true | i(2,2) true", .saves = "input: result",
   .flags = OP_HIDDEN, .infer = infer_inverse, .kernel = EVERYWHERE(any_inverse_near), .backward = back_inverse);

static Tensor *inverse_near(Tensor *t, bool nudge) {
  return op_run(&def_inverse_near, (Arg[]){ARG_T(t), ARG_I(nudge)});
}
/* g, one number for each matrix, times the matrices t. */
static Tensor *times_each(Tensor *g, Tensor *t) { return op_mul(op_unsqueeze(op_unsqueeze(g, -1), -1), t); }

/* --- determinants: d det(A) = det(A) A^-T, d log|det(A)| = A^-T --- */

static bool out_batch(OpCall *c, int k) {
  Tensor *t = in(c, 0);
  return out_shape(c, k, (DType)t->dtype, t->ndim - 2, t->shape);
}
static bool infer_det(OpCall *c) { return check(c, "linalg.det") && out_batch(c, 0); }
static bool infer_slogdet(OpCall *c) { return check(c, "linalg.slogdet") && out_batch(c, 0) && out_batch(c, 1); }
static void back_det(Grad *g) {
  Tensor *scale = op_mul(g_out(g, 0), g_result(g, 0));
  g_set(g, 0, times_each(scale, turned(inverse_near(g_in(g, 0), true))));
}
static void back_slogdet(Grad *g) { /* the sign is constant wherever it has a derivative */
  Tensor *gy = g_out(g, 1), *t = g_in(g, 0);
  g_set(g, 0, gy ? times_each(gy, turned(inverse_near(t, false))) : op_zeros_like(t));
}
OP(det, .schema = "det(Tensor input) -> Tensor", .doc = "Determinant of each square matrix.",
   .samples = "f(3,3) | f(2,2,2) | f(0,0)", .errors = "f(2,3) | f(3) | i(2,2)", .saves = "input: input result",
   .flags = OP_BOTH, .infer = infer_det, .kernel = EVERYWHERE(any_det), .backward = back_det);
OP(slogdet, .schema = "slogdet(Tensor input) -> (Tensor sign, Tensor logabsdet)",
   .doc = "Sign of each square matrix's determinant, and the logarithm of its size.", .samples = "f(3,3) | f(2,2,2)",
   .errors = "f(2,3) | f(3) | i(2,2)", .saves = "input: input", .flags = OP_BOTH, .infer = infer_slogdet,
   .kernel = EVERYWHERE(any_slogdet), .backward = back_slogdet);
static bool compose_logdet(OpCall *c) {
  Tensor *out[MAX_OUTS] = {NULL};
  if (!check(c, "logdet") || !op_run_many(&def_slogdet, (Arg[]){c->arg[0]}, out)) return false;
  return compose_return(c, 0, op_where(op_lt(out[0], op_int(0)), op_float((double)NAN), out[1]));
}
OP(logdet, .schema = "logdet(Tensor input) -> Tensor",
   .doc = "Logarithm of each square matrix's determinant; NaN where that is negative.", .samples = "p(2,1,1) | p(1,1)",
   .errors = "f(2,3) | f(3) | i(2,2)", .flags = OP_BOTH, .compose = compose_logdet);

/* --- solve: A X = B; dB = A^-T g, dA = -dB X^T --- */

static bool infer_solve_batch(OpCall *c) {
  Tensor *a = in(c, 0), *b = in(c, 1);
  if (!check(c, "linalg.solve")) return false;
  bool fits = a->ndim == b->ndim && a->dtype == b->dtype && b->shape[b->ndim - 2] == a->shape[a->ndim - 1] &&
              memcmp(a->shape, b->shape, sizeof(int64_t) * (size_t)(a->ndim - 2)) == 0;
  return fits ? out_shape(c, 0, (DType)a->dtype, b->ndim, b->shape)
              : fail(MT_EARG, "solve_batch: %s does not go with %s", tensor_text(b), tensor_text(a));
}
static Tensor *solve_batch(Tensor *a, Tensor *b) { return op_run(&def_solve_batch, (Arg[]){ARG_T(a), ARG_T(b)}); }
static void back_solve_batch(Grad *g) {
  Tensor *gb = solve_batch(turned(g_in(g, 0)), g_out(g, 0));
  if (g_needs(g, 1)) g_set(g, 1, gb);
  if (g_needs(g, 0)) g_set(g, 0, op_neg(op_matmul(gb, turned(g_result(g, 0)))));
}
OP(solve_batch, .schema = "solve_batch(Tensor input, Tensor other) -> Tensor",
   .doc = "The X with input X = other, matrices with the same batches.",
   .samples = "f(2,3,3) f(2,3,2) | f(2,2,2) f(2,2,1)", .errors = "f(2,3) f(2,1) | f(2,2) f(3,1) | f(2,2) i(2,1)",
   .saves = "input: input result; other: input", .flags = OP_HIDDEN, .infer = infer_solve_batch,
   .kernel = EVERYWHERE(any_solve), .backward = back_solve_batch);

/* B is a vector, or a batch of them, when it has A's batch dims and one more, of A's size. */
static bool is_vectors(const Tensor *a, const Tensor *b) {
  return b->ndim == 1 || (b->ndim == a->ndim - 1 && memcmp(b->shape, a->shape, sizeof(int64_t) * (size_t)b->ndim) == 0);
}
static bool compose_solve(OpCall *c) {
  Tensor *a = in(c, 0), *b = in(c, 1);
  bool left = c->arg[2].i;
  const char *name = "linalg.solve";
  if (!check(c, name)) return false;
  if (b->ndim == 0) return fail(MT_EARG, "%s: The input tensor B must have at least 2 dimensions.", name);
  if (a->dtype != b->dtype)
    return fail(MT_EARG, "%s: Expected A and B to have the same dtype, but found A of type %s and B of type %s instead",
                name, type_name(a), type_name(b));
  bool vectors = is_vectors(a, b);
  if (vectors) b = op_unsqueeze(b, -1);
  if (!b) return false;
  int64_t n = a->shape[a->ndim - 1], rows = b->shape[b->ndim - 2], cols = b->shape[b->ndim - 1];
  if ((left ? rows : cols) != n)
    return fail(MT_EARG, "%s: Incompatible shapes of A and B for the equation %s (%lldx%lld and %lldx%lld)", name,
                left ? "AX = B" : "XA = B", (long long)n, (long long)n, (long long)rows, (long long)cols);
  int64_t shape[MT_MAX_DIMS], of_b[MT_MAX_DIMS];
  int ndim = 0;
  if (!shape_broadcast(&ndim, shape, a->ndim - 2, a->shape) || !shape_broadcast(&ndim, shape, b->ndim - 2, b->shape))
    return false;
  if (ndim + 2 > MT_MAX_DIMS) return fail(MT_EARG, "%s: at most %d dimensions are possible", name, MT_MAX_DIMS);
  memcpy(of_b, shape, sizeof(int64_t) * (size_t)ndim);
  shape[ndim] = shape[ndim + 1] = n;
  of_b[ndim] = rows;
  of_b[ndim + 1] = cols;
  a = op_expand(a, ndim + 2, shape);
  b = op_expand(b, ndim + 2, of_b);
  Tensor *x = left ? solve_batch(a, b) : turned(solve_batch(turned(a), turned(b)));
  return compose_return(c, 0, vectors ? op_squeeze(x, -1) : x);
}
OP(linalg_solve, .schema = "linalg_solve(Tensor A, Tensor B, *, bool left=True) -> Tensor",
   .doc = "The X with A X = B, or X A = B if left is false: torch.linalg.solve. B may be a vector; batches broadcast.",
   .samples = "f(1,1) f(1) | f(2,3,3) f(2,3,2) | f(2,3,3) f(2,2,3) left=false | f(2,2,2) f(2,2) | f(2,2,2) f(2,3)",
   .errors = "f(2,3) f(2) | f(2,2) f(3) | f(2,2) i(2) | f(2) f(2) | f(2,2) f()", .flags = OP_HIDDEN,
   .compose = compose_solve);

/* --- singular values: A = U S V^T, all with min(m, n) columns --- */

static bool infer_svd(OpCall *c) {
  Tensor *t = in(c, 0);
  int n = t->ndim;
  int64_t shape[MT_MAX_DIMS], vectors[MT_MAX_DIMS];
  if (n < 2)
    return fail(MT_EARG, "linalg.svd: The input tensor A must have at least 2 dimensions. It is %s",
                shape_text(n, t->shape));
  if (!is_wide_float(t, "linalg.svd")) return false;
  memcpy(shape, t->shape, sizeof(int64_t) * (size_t)n);
  memcpy(vectors, t->shape, sizeof(int64_t) * (size_t)n);
  int64_t k = shape[n - 2] < shape[n - 1] ? shape[n - 2] : shape[n - 1];
  shape[n - 1] = vectors[n - 2] = k;
  if (!out_shape(c, 0, (DType)t->dtype, n, shape) || !out_shape(c, 2, (DType)t->dtype, n, vectors)) return false;
  shape[n - 2] = k;
  return out_shape(c, 1, (DType)t->dtype, n - 1, shape);
}
static Tensor *skew(Tensor *t) { return op_sub(t, turned(t)); }
/* With E_ij = s_j^2 - s_i^2 off the diagonal: dA = U (skew(U^T dU) / E S + S skew(V^T dV) / E + diag(ds)) V^T, and what dU
 * and dV have outside of the spaces that U and V span. */
static void back_svd(Grad *g) {
  Tensor *u = g_result(g, 0), *s = g_result(g, 1), *vt = g_result(g, 2);
  Tensor *gu = g_out(g, 0), *gs = g_out(g, 1), *gvt = g_out(g, 2);
  if (!u || !s || !vt) return;
  Tensor *right = op_unsqueeze(s, -2), *down = op_unsqueeze(s, -1);
  Tensor *inner = gs ? op_run(&def_diag_embed, (Arg[]){ARG_T(gs), ARG_I(0), ARG_I(-2), ARG_I(-1)}) : NULL;
  Tensor *gaps = op_sub(op_mul(right, right), op_mul(down, down)), *one = op_ones_like(s);
  gaps = op_add(gaps, op_run(&def_diag_embed, (Arg[]){ARG_T(one), ARG_I(0), ARG_I(-2), ARG_I(-1)}));
  Tensor *ugu = gu ? op_matmul(turned(u), gu) : NULL, *vgv = gvt ? op_matmul(vt, turned(gvt)) : NULL;
  if (gu) {
    Tensor *part = op_mul(op_div(skew(ugu), gaps), right);
    inner = inner ? op_add(inner, part) : part;
  }
  if (gvt) {
    Tensor *part = op_mul(down, op_div(skew(vgv), gaps));
    inner = inner ? op_add(inner, part) : part;
  }
  if (!inner) return;
  Tensor *left = op_matmul(u, inner);
  if (gu && u->shape[u->ndim - 2] > u->shape[u->ndim - 1])
    left = op_add(left, op_div(op_sub(gu, op_matmul(u, ugu)), right));
  Tensor *ga = op_matmul(left, vt);
  if (gvt && vt->shape[vt->ndim - 1] > vt->shape[vt->ndim - 2])
    ga = op_add(ga, op_matmul(u, op_div(op_sub(gvt, op_matmul(turned(vgv), vt)), down)));
  g_set(g, 0, ga);
}
OP(svd, .schema = "svd(Tensor input) -> (Tensor u, Tensor s, Tensor vh)",
   .doc =
       "Singular values, falling, and vectors of each matrix: input = u diag(s) vh. The signs of a pair of vectors are "
       "free, so only what does not depend on them is PyTorch's.",
   .samples = "f(2,3,2) | f(2,2,3) | f(2,3,3) | f(0,3)", .errors = "f(3) | i(2,2)",
   .saves = "input: result result2 result3", .flags = OP_HIDDEN, .infer = infer_svd, .kernel = {cpu_svd},
   .backward = back_svd);

/* --- powers --- */

static bool compose_matrix_power(OpCall *c) {
  Tensor *t = in(c, 0), *square = NULL, *power = NULL;
  int64_t n = c->arg[1].i;
  if (!is_square(t, "linalg.matrix_power")) return false;
  if (n == 0) {
    Arg device = {.given = true, .device = c->device};
    Tensor *eye =
        op_run(&def_eye, (Arg[]){ARG_I(t->shape[t->ndim - 1]), ARG_NIL, ARG_DTYPE((DType)t->dtype), device, ARG_I(0)});
    eye = op_expand(eye, t->ndim, t->shape);
    return eye && compose_return(c, 0, op_run(&def_clone, (Arg[]){ARG_T(eye)}));
  }
  if (n < 0) t = op_run(&def_inverse, (Arg[]){ARG_T(t)});
  uint64_t left = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
  for (; left > 0 && !failed(); left >>= 1) {
    square = square ? op_matmul(square, square) : t;
    if (left & 1) power = power ? op_matmul(power, square) : square;
  }
  return compose_return(c, 0, power == in(c, 0) ? op_run(&def_clone, (Arg[]){ARG_T(power)}) : power);
}
OP(matrix_power, .schema = "matrix_power(Tensor input, int n) -> Tensor",
   .doc =
       "Each square matrix times itself, n factors in all; 0 gives the identity, a negative n powers of the inverse.",
   .samples = "f(3,3) 3 | f(2,3,3) 2 | f(2,2,2) -2 | i(2,2) 3 | i(2,2) 0 | f(2,2) 1",
   .errors = "f(2,3) 2 | f(2) 2 | i(2,2) -1", .flags = OP_BOTH, .compose = compose_matrix_power);
