/* Matrix products: mm, bmm, mv, dot, matmul, what adds to them, outer and inner products, linear.
 *
 * One kernel serves all ranks (cpu/matmul.c); the operators differ in what they refuse. Gradients read transposed views,
 * so nothing is copied to form them. */
#include "cpu/kernels.h"
#include "ops/ops.h"
#include <string.h>

/* ---- checks ---- */

/* C's name of an element type, as PyTorch's messages give it here. */
static const char *c_name(DType d) {
  static const char *const names[MT_DTYPES] = {
      [MT_BOOL] = "bool", [MT_U8] = "unsigned char", [MT_I8] = "signed char", [MT_I16] = "short",
      [MT_I32] = "int",   [MT_I64] = "long",         [MT_F16] = "c10::Half",  [MT_BF16] = "c10::BFloat16",
      [MT_F32] = "float", [MT_F64] = "double"};
  return names[d];
}
static const char *type_name(const Tensor *t) { return dtype_info[t->dtype].type_name; }

static bool refuse_bool(const Tensor *t, const char *kernel) {
  return t->dtype != MT_BOOL ||
         fail(MT_ENOTIMPL, "\"%s\" not implemented for 'Bool': use :float() or :long() first", kernel);
}

static bool same_dtype(const OpCall *c, int first) {
  Tensor *a = in(c, first), *b = in(c, first + 1);
  if (a->dtype == b->dtype) return refuse_bool(a, "addmm_impl_cpu_");
  return fail(MT_EARG,
              "expected m1 and m2 to have the same dtype, but got: %s != %s. %s is %s, %s is %s: convert one of them, "
              "for example with :to(torch.%s)",
              c_name((DType)a->dtype), c_name((DType)b->dtype), c->def->info->param[first].name, tensor_text(a),
              c->def->info->param[first + 1].name, tensor_text(b), dtype_info[a->dtype].name);
}

/* Arguments 'added', a and b of added + a b: PyTorch compares the first with the last, then a with b. */
static bool same_as_added(const OpCall *c, int added, int a, int b) {
  int odd = in(c, added)->dtype != in(c, b)->dtype ? added : a;
  Tensor *t = in(c, odd), *m = in(c, b);
  return t->dtype == m->dtype ||
         fail(MT_EARG,
              "%s and mat2 must have the same dtype, but got %s and %s: %s is %s, %s is %s; convert one of them, for "
              "example with :to(torch.%s)",
              odd == added ? "self" : "mat1", type_name(t), type_name(m), c->def->info->param[odd].name, tensor_text(t),
              c->def->info->param[b].name, tensor_text(m), dtype_info[m->dtype].name);
}

static bool expect_dims(const OpCall *c, int k, int ndim, const char *format) {
  return in(c, k)->ndim == ndim || fail(MT_EARG, format, in(c, k)->ndim);
}
#define EXPECT_MATRIX(c, k, what) \
  expect_dims(c, k, 2, what " must be a matrix, got %d-D tensor: matmul takes other ranks, unsqueeze adds a dim")

/* (m, k) times (k, n); `rows` is m. */
static bool sizes_meet(int64_t rows, int64_t cols, const Tensor *b) {
  int64_t k = b->shape[b->ndim - 2], n = b->shape[b->ndim - 1];
  if (cols == k) return true;
  return fail(
      MT_EARG,
      "mat1 and mat2 shapes cannot be multiplied (%lldx%lld and %lldx%lld): the inner sizes %lld and %lld must be "
      "equal%s",
      (long long)rows, (long long)cols, (long long)k, (long long)n, (long long)cols, (long long)k,
      cols == n ? "; the second one transposed (:t()) would fit" : "");
}

/* self: the size that is added to, or -1. */
static bool vector_meets(const Tensor *m, const Tensor *v, int64_t self) {
  int64_t k = m->shape[m->ndim - 1], rows = k ? m->numel / k : m->shape[0];
  if (k != v->shape[0])
    return fail(MT_EARG, "size mismatch, got input (%lld), mat (%lldx%lld), vec (%lld): the vector needs %lld elements",
                (long long)rows, (long long)rows, (long long)k, (long long)v->shape[0], (long long)k);
  return self < 0 || self == 1 || self == rows ||
         fail(MT_EARG, "size mismatch, got input (%lld), mat (%lldx%lld), vec (%lld): input needs %lld elements",
              (long long)self, (long long)rows, (long long)k, (long long)v->shape[0], (long long)rows);
}

static bool vectors_meet(const Tensor *a, const Tensor *b) {
  if (a->dtype != b->dtype)
    return fail(MT_EARG,
                "dot : expected both vectors to have same dtype, but found %s and %s: convert one of them, for example "
                "with :to(torch.%s)",
                type_name(a), type_name(b), dtype_info[a->dtype].name);
  if (!refuse_bool(a, "dot")) return false;
  return a->numel == b->numel ||
         fail(MT_EARG,
              "inconsistent tensor size, expected tensor [%lld] and src [%lld] to have the same number of elements, "
              "but got "
              "%lld and %lld elements respectively",
              (long long)a->numel, (long long)b->numel, (long long)a->numel, (long long)b->numel);
}

/* batch, m, n of two stacks of matrices given as arguments first and first + 1. */
static bool stacks_meet(const OpCall *c, int first, const char *a_name, const char *b_name) {
  Tensor *a = in(c, first), *b = in(c, first + 1);
  if (a->ndim != 3)
    return fail(MT_EARG, "%s must be a 3D tensor: it is %s, matmul takes other ranks", a_name, tensor_text(a));
  if (b->ndim != 3)
    return fail(MT_EARG, "%s must be a 3D tensor: it is %s, matmul takes other ranks", b_name, tensor_text(b));
  if (a->shape[0] != b->shape[0] || a->shape[2] != b->shape[1])
    return fail(
        MT_EARG,
        "Expected size for first two dimensions of batch2 tensor to be: [%lld, %lld] but got: [%lld, %lld]. batch1 "
        "is %s, batch2 %s",
        (long long)a->shape[0], (long long)a->shape[2], (long long)b->shape[0], (long long)b->shape[1],
        shape_text(3, a->shape), shape_text(3, b->shape));
  if (a->dtype != b->dtype)
    return fail(
        MT_EARG,
        "expected scalar type %s but found %s: both factors need one dtype, convert one of them, for example with "
        ":to(torch.%s)",
        type_name(a), type_name(b), dtype_info[a->dtype].name);
  return refuse_bool(a, "bmm");
}

/* Result 0 has this shape, and argument 0 expands to it; in place it has it already. */
static bool out_plus(OpCall *c, int ndim, const int64_t *shape) {
  Tensor *self = in(c, 0);
  int64_t stride[MT_MAX_DIMS];
  if (!out_shape(c, 0, (DType)in(c, 1)->dtype, ndim, shape)) return false;
  if (!shape_expand(self, ndim, shape, stride)) return shape_expand_fail(self, ndim, shape);
  bool same = self->ndim == ndim && memcmp(self->shape, shape, sizeof *shape * (size_t)ndim) == 0;
  return !c->inplace || same ||
         fail(MT_EARG,
              "Bad in-place call: input tensor size %s and output tensor size %s should match: use the form without _",
              shape_text(self->ndim, self->shape), shape_text(ndim, shape));
}

/* ---- matmul ---- */

static bool matmul_fits(OpCall *c, const Tensor *a, const Tensor *b) {
  if (a->ndim == 0 || b->ndim == 0)
    return fail(MT_EARG,
                "both arguments to matmul need to be at least 1D, but they are %dD and %dD: use * for a 0-dim tensor",
                a->ndim, b->ndim);
  if (a->ndim == 1 && b->ndim == 1) return vectors_meet(a, b);
  if (!same_dtype(c, 0)) return false;
  if (b->ndim == 1) return vector_meets(a, b, -1);
  int64_t k = a->shape[a->ndim - 1], rows = k > 0 ? a->numel / k : 0;
  if (b->ndim == 2 || a->ndim <= 2) return sizes_meet(rows, k, b);
  int64_t first = 1;
  for (int d = 0; d < a->ndim - 2; d++) first *= a->shape[d];
  return k == b->shape[b->ndim - 2] ||
         fail(MT_EARG,
              "Expected size for first two dimensions of batch2 tensor to be: [%lld, %lld] but got: [%lld, %lld]. "
              "input is "
              "%s, other %s: the last size of the first must equal the second-to-last of the second",
              (long long)first, (long long)k, (long long)first, (long long)b->shape[b->ndim - 2],
              shape_text(a->ndim, a->shape), shape_text(b->ndim, b->shape));
}

static bool infer_matmul(OpCall *c) {
  Tensor *a = in(c, 0), *b = in(c, 1);
  OutMeta *m = &c->meta[0];
  if (!matmul_fits(c, a, b)) return false;
  m->dtype = (DType)a->dtype;
  m->ndim = 0;
  if (a->ndim > 2 && !shape_broadcast(&m->ndim, m->shape, a->ndim - 2, a->shape)) return false;
  if (b->ndim > 2 && !shape_broadcast(&m->ndim, m->shape, b->ndim - 2, b->shape)) return false;
  if (a->ndim > 1) m->shape[m->ndim++] = a->shape[a->ndim - 2];
  if (b->ndim > 1) m->shape[m->ndim++] = b->shape[b->ndim - 1];
  return shape_check(m->ndim, m->shape);
}

static Tensor *turn(Tensor *t) { return op_transpose(t, -2, -1); }

/* A stack of matrices as one tall matrix. */
static Tensor *tall(Tensor *t) {
  if (!t || t->ndim <= 2) return t;
  int64_t rows = 1, cols = t->shape[t->ndim - 1];
  for (int d = 0; d < t->ndim - 1; d++) rows *= t->shape[d];
  return op_reshape(t, 2, (int64_t[]){rows, cols});
}

/* y = a b: da = gy b^T, db = a^T gy, summed by g_set over the dims that were broadcast. A vector is a matrix on the way;
 * where all batches share b, the sum over them is part of one product. */
static void back_product(Grad *g, int first, Tensor *gy, Tensor *a, Tensor *b) {
  int rank_a = g_meta(g, first)->ndim, rank_b = g_meta(g, first + 1)->ndim;
  if (rank_a == 1 && rank_b == 1) {
    if (g_needs(g, first)) g_set(g, first, op_mul(gy, b));
    if (g_needs(g, first + 1)) g_set(g, first + 1, op_mul(gy, a));
    return;
  }
  if (rank_a == 1) gy = op_unsqueeze(gy, -2);
  if (rank_b == 1) gy = op_unsqueeze(gy, -1);
  if (g_needs(g, first)) g_set(g, first, op_matmul(gy, rank_b == 1 ? op_unsqueeze(b, 0) : turn(b)));
  if (g_needs(g, first + 1)) {
    if (rank_a == 1) a = op_unsqueeze(a, 0);
    if (rank_b <= 2) a = tall(a), gy = tall(gy);
    Tensor *gb = op_matmul(turn(a), gy);
    g_set(g, first + 1, rank_b == 1 ? op_squeeze(gb, -1) : gb);
  }
}
static void back_matmul(Grad *g) { back_product(g, 0, g_out(g, 0), g_in(g, 0), g_in(g, 1)); }

OP(matmul, .schema = "matmul(Tensor input, Tensor other) -> Tensor",
   .doc = "Matrix product: (m, k) x (k, n) -> (m, n). A vector counts as a row on the left and a column on the right, "
          "and the "
          "dim it was given vanishes; further dims in front are batches, which broadcast. Both need one dtype.",
   .samples = "f(3,4) f(4,2) | f(4) f(4) | f(3,4) f(4) | f(3) f(3,4) | f(2,3,4) f(4,5) | f(3,4) f(2,4,5) | f(2,3,4) "
              "f(2,4,5) | "
              "f(2,1,3,4) f(3,4,2) | f(2,3,4) f(4) | f(4) f(2,4,3) | f(0,3) f(3,2) | f(2,0) f(0,3) | i(2,3) i(3,2)",
   .errors = "f(3,4) f(3,4) | f() f(3) | f(3,4) i(4,2) | b(2,2) b(2,2) | f(2,3,4) f(3,4,5) | f(3) f(4)",
   .saves = "input: other; other: input", .flags = OP_BOTH, .infer = infer_matmul, .kernel = EVERYWHERE(any_matmul),
   .backward = back_matmul);

static bool infer_mm(OpCall *c) {
  return EXPECT_MATRIX(c, 0, "self") && EXPECT_MATRIX(c, 1, "mat2") && infer_matmul(c);
}
OP(mm, .schema = "mm(Tensor input, Tensor mat2) -> Tensor",
   .doc = "Product of two matrices: (m, k) x (k, n) -> (m, n).",
   .samples = "f(3,4) f(4,2) | f(0,4) f(4,2) | i(2,3) i(3,2)",
   .errors = "f(3,4) f(3,4) | f(3) f(3,4) | f(2,3) f(3) | b(2,2) b(2,2)", .saves = "input: mat2; mat2: input",
   .flags = OP_BOTH, .infer = infer_mm, .kernel = EVERYWHERE(any_matmul), .backward = back_matmul);

static bool infer_bmm(OpCall *c) { return stacks_meet(c, 0, "batch1", "batch2") && infer_matmul(c); }
OP(bmm, .schema = "bmm(Tensor input, Tensor mat2) -> Tensor",
   .doc = "Products of matrices pair by pair: (b, m, k) x (b, k, n) -> (b, m, n).",
   .samples = "f(2,3,4) f(2,4,5) | f(0,3,4) f(0,4,2)",
   .errors = "f(2,3,4) f(3,4,5) | f(2,3,4) f(2,3,4) | f(3,4) f(2,4,5)", .saves = "input: mat2; mat2: input",
   .flags = OP_BOTH, .infer = infer_bmm, .kernel = EVERYWHERE(any_matmul), .backward = back_matmul);

static bool vector_ranks(int vector, int mat, int vec) {
  return (vector == 1 && mat == 2 && vec == 1) ||
         fail(MT_EARG, "vector + matrix @ vector expected, got %d, %d, %d dims: matmul takes other ranks", vector, mat,
              vec);
}
static bool vector_dtypes(const Tensor *self, const Tensor *mat, const Tensor *vec) {
  if (self->dtype == mat->dtype && mat->dtype == vec->dtype) return refuse_bool(mat, "addmv_impl_cpu");
  return fail(MT_EARG,
              "addmv input tensors must have the same dtype, but got %s, %s, and %s: convert them, for example with "
              ":to(torch.%s)",
              type_name(self), type_name(mat), type_name(vec), dtype_info[mat->dtype].name);
}
static bool infer_mv(OpCall *c) {
  return vector_ranks(1, in(c, 0)->ndim, in(c, 1)->ndim) && vector_dtypes(in(c, 1), in(c, 0), in(c, 1)) &&
         infer_matmul(c);
}
OP(mv, .schema = "mv(Tensor input, Tensor vec) -> Tensor", .doc = "Matrix times vector: (m, k) x (k) -> (m).",
   .samples = "f(3,4) f(4) | f(3,0) f(0)", .errors = "f(3,4) f(3) | f(3,4) f(4,1) | f(3) f(3)",
   .saves = "input: vec; vec: input", .flags = OP_BOTH, .infer = infer_mv, .kernel = EVERYWHERE(any_matmul),
   .backward = back_matmul);

static bool infer_dot(OpCall *c) {
  Tensor *a = in(c, 0), *b = in(c, 1);
  if (a->ndim != 1 || b->ndim != 1)
    return fail(MT_EARG, "1D tensors expected, but got %dD and %dD tensors: use matmul, or (x * y):sum()", a->ndim,
                b->ndim);
  return infer_matmul(c);
}
OP(dot, .schema = "dot(Tensor input, Tensor tensor) -> Tensor",
   .doc = "Sum of the products of two vectors of one length.", .samples = "f(4) f(4) | f(0) f(0) | i(3) i(3)",
   .errors = "f(3) f(4) | f(2,3) f(3) | b(3) b(3)", .saves = "input: tensor; tensor: input", .flags = OP_BOTH,
   .infer = infer_dot, .kernel = EVERYWHERE(any_matmul), .backward = back_matmul);
static bool compose_vdot(OpCall *c) { return compose_return(c, 0, op_run(&def_dot, (Arg[]){c->arg[0], c->arg[1]})); }
OP(vdot, .schema = "vdot(Tensor input, Tensor other) -> Tensor", .doc = "dot: real vectors are their own conjugates.",
   .samples = "f(4) f(4)", .errors = "f(3) f(4)", .flags = OP_BOTH, .compose = compose_vdot);

/* ---- beta * input + alpha * product ---- */

static Tensor *times(Tensor *t, Scalar factor) { return scalar_double(factor) == 1 ? t : op_mul(t, op_number(factor)); }

static void back_addmm(Grad *g) {
  if (g_needs(g, 0)) g_set(g, 0, times(g_out(g, 0), g_arg(g, 3)->number));
  if (g_needs(g, 1) || g_needs(g, 2))
    back_product(g, 1, times(g_out(g, 0), g_arg(g, 4)->number), g_in(g, 1), g_in(g, 2));
}

static bool infer_addmm(OpCall *c) {
  Tensor *a = in(c, 1), *b = in(c, 2);
  return EXPECT_MATRIX(c, 1, "addmm: self") && EXPECT_MATRIX(c, 2, "addmm: mat2") && same_as_added(c, 0, 1, 2) &&
         same_dtype(c, 1) && sizes_meet(a->shape[0], a->shape[1], b) &&
         out_plus(c, 2, (int64_t[]){a->shape[0], b->shape[1]});
}
#define SCALED "*, Number beta=1, Number alpha=1) -> Tensor"
OP(addmm, .schema = "addmm(Tensor input, Tensor mat1, Tensor mat2, " SCALED,
   .doc = "beta * input + alpha * (mat1 x mat2); input broadcasts. With beta = 0 input is not read.",
   .samples =
       "f(3) f(2,4) f(4,3) | f(2,3) f(2,4) f(4,3) beta=0.5 alpha=2 | f(2,1) f(2,4) f(4,3) | i(2,3) i(2,2) i(2,3)",
   .errors = "f(4) f(2,4) f(4,3) | f(3) f(2,4) f(3,3) | f(3) f(4) f(4,3)", .saves = "mat1: mat2; mat2: mat1",
   .flags = OP_BOTH | OP_INPLACE, .infer = infer_addmm, .kernel = EVERYWHERE(any_addmm), .backward = back_addmm);

static bool infer_addmv(OpCall *c) {
  Tensor *m = in(c, 1), *v = in(c, 2);
  return vector_ranks(in(c, 0)->ndim > 1 ? in(c, 0)->ndim : 1, m->ndim, v->ndim) && vector_dtypes(in(c, 0), m, v) &&
         vector_meets(m, v, in(c, 0)->ndim == 1 ? in(c, 0)->shape[0] : -1) && out_plus(c, 1, m->shape);
}
OP(addmv, .schema = "addmv(Tensor input, Tensor mat, Tensor vec, " SCALED, .doc = "beta * input + alpha * (mat x vec).",
   .samples = "f(3) f(3,4) f(4) | f(1) f(3,4) f(4) beta=2 alpha=0.5",
   .errors = "f(2) f(3,4) f(4) | f(3) f(3,4) f(3) | f(3) f(3) f(3)", .saves = "mat: vec; vec: mat",
   .flags = OP_BOTH | OP_INPLACE, .infer = infer_addmv, .kernel = EVERYWHERE(any_addmm), .backward = back_addmm);

static bool infer_baddbmm(OpCall *c) {
  Tensor *self = in(c, 0), *a = in(c, 1), *b = in(c, 2);
  if (!stacks_meet(c, 1, "batch1", "batch2")) return false;
  if (self->dtype != a->dtype)
    return fail(MT_EARG, "Input dtypes must be the same, got: input %s, batch1: %s, batch2: %s",
                c_name((DType)self->dtype), c_name((DType)a->dtype), c_name((DType)b->dtype));
  return out_plus(c, 3, (int64_t[]){a->shape[0], a->shape[1], b->shape[2]});
}
OP(baddbmm, .schema = "baddbmm(Tensor input, Tensor batch1, Tensor batch2, " SCALED,
   .doc = "beta * input + alpha * bmm(batch1, batch2); input broadcasts.",
   .samples = "f(2,3,5) f(2,3,4) f(2,4,5) | f(5) f(2,3,4) f(2,4,5) beta=0.5 alpha=2",
   .errors = "f(4) f(2,3,4) f(2,4,5) | f(5) f(2,3,4) f(2,3,5)", .saves = "batch1: batch2; batch2: batch1",
   .flags = OP_BOTH | OP_INPLACE, .infer = infer_baddbmm, .kernel = EVERYWHERE(any_addmm), .backward = back_addmm);

/* The sum over the batch is part of one product: (m, b k) x (b k, n). */
static bool compose_addbmm(OpCall *c) {
  Tensor *a = in(c, 1), *b = in(c, 2);
  if (a->ndim == 3 && b->ndim == 3 && a->shape[0] != b->shape[0])
    return fail(MT_EARG, "batch1 and batch2 must have same number of batches, got %lld and %lld",
                (long long)a->shape[0], (long long)b->shape[0]);
  if (a->ndim == 3 && b->ndim == 3 && a->shape[2] != b->shape[1])
    return fail(MT_EARG, "Incompatible matrix sizes for bmm (%lldx%lld and %lldx%lld)", (long long)a->shape[1],
                (long long)a->shape[2], (long long)b->shape[1], (long long)b->shape[2]);
  if (!stacks_meet(c, 1, "batch1", "batch2")) return false;
  int64_t inner = a->shape[0] * a->shape[2];
  Tensor *wide = op_reshape(op_transpose(a, 0, 1), 2, (int64_t[]){a->shape[1], inner});
  Tensor *high = op_reshape(b, 2, (int64_t[]){inner, b->shape[2]});
  return compose_return(c, 0, op_run(&def_addmm, (Arg[]){c->arg[0], ARG_T(wide), ARG_T(high), c->arg[3], c->arg[4]}));
}
OP(addbmm, .schema = "addbmm(Tensor input, Tensor batch1, Tensor batch2, " SCALED,
   .doc = "beta * input + alpha * the sum over the batch of bmm(batch1, batch2).",
   .samples = "f(3,5) f(2,3,4) f(2,4,5) | f(5) f(2,3,4) f(2,4,5) beta=0.5 alpha=2",
   .errors = "f(5) f(2,3,4) f(3,4,5) | f(5) f(2,3,4) f(2,3,5)", .flags = OP_BOTH | OP_INPLACE,
   .compose = compose_addbmm);

/* ---- outer and inner products ---- */

static bool is_vector(const OpCall *c, int k, const char *op, const char *name) {
  return in(c, k)->ndim == 1 ||
         fail(MT_EARG, "%s: Expected 1-D argument %s, but got %d-D: flatten it first", op, name, in(c, k)->ndim);
}
static Tensor *outer(Tensor *a, Tensor *b) { return op_mul(op_unsqueeze(a, 1), b); }

static bool compose_outer(OpCall *c) {
  return is_vector(c, 0, "outer", "self") && is_vector(c, 1, "outer", "vec2") &&
         compose_return(c, 0, outer(in(c, 0), in(c, 1)));
}
OP(outer, .schema = "outer(Tensor input, Tensor vec2) -> Tensor", .alias = "ger",
   .doc = "The products of all pairs: (m), (n) -> (m, n).", .samples = "f(3) f(4) | i(2) f(3) | f(0) f(3)",
   .errors = "f(2,3) f(3) | f(2) f(3,3)", .flags = OP_BOTH, .compose = compose_outer);

static bool compose_addr(OpCall *c) {
  Scalar beta = c->arg[3].number, alpha = c->arg[4].number;
  if (!is_vector(c, 1, "addr", "vec1") || !is_vector(c, 2, "addr", "vec2")) return false;
  DType d = promote_tensors(3, (Tensor *[]){in(c, 0), in(c, 1), in(c, 2)}, default_dtype());
  for (int k = 3; k < 5 && !dtype_is_float(d); k++)
    if (c->arg[k].number.category == CAT_FLOAT)
      return fail(MT_EARG,
                  "For integral input tensors, argument %s must not be a floating point number: got %g with %s",
                  k == 3 ? "beta" : "alpha", c->arg[k].number.d, dtype_info[d].name);
  int64_t shape[] = {in(c, 1)->numel, in(c, 2)->numel}, stride[MT_MAX_DIMS];
  if (c->inplace && in(c, 0)->ndim != 2)
    return fail(MT_EARG, "2D tensor expected, got %dD tensor for input: addr_ writes a matrix", in(c, 0)->ndim);
  if (c->inplace && (in(c, 0)->shape[0] != shape[0] || in(c, 0)->shape[1] != shape[1]))
    return fail(MT_EARG, "size mismatch, input: %s, v1: %s, v2: %s", shape_text(2, in(c, 0)->shape),
                shape_text(1, in(c, 1)->shape), shape_text(1, in(c, 2)->shape));
  if (!shape_expand(in(c, 0), 2, shape, stride)) return shape_expand_fail(in(c, 0), 2, shape);
  bool whole = !tensor_is_float(in(c, 0)) && !tensor_is_float(in(c, 1)) && !tensor_is_float(in(c, 2));
  for (int k = 3; whole && k < 5; k++)
    if (c->arg[k].number.category == CAT_FLOAT)
      return fail(MT_EARG, "For integral input tensors, argument %s must not be a floating point number.",
                  c->def->info->param[k].name);
  Tensor *product = times(outer(in(c, 1), in(c, 2)), alpha);
  return compose_return(c, 0, scalar_double(beta) == 0 ? product : op_add(times(in(c, 0), beta), product));
}
OP(addr, .schema = "addr(Tensor input, Tensor vec1, Tensor vec2, " SCALED,
   .doc = "beta * input + alpha * outer(vec1, vec2).", .samples = "f(3,4) f(3) f(4) | f(4) f(3) f(4) beta=0.5 alpha=2",
   .errors = "f(3,5) f(3) f(4) | f(3,4) f(3,1) f(4)", .flags = OP_BOTH | OP_INPLACE, .compose = compose_addr);

static bool compose_inner(OpCall *c) {
  Tensor *a = in(c, 0), *b = in(c, 1);
  if (a->ndim == 0 || b->ndim == 0) return compose_return(c, 0, op_mul(a, b));
  int64_t k = a->shape[a->ndim - 1], shape[2 * MT_MAX_DIMS];
  int n = 0;
  if (k != b->shape[b->ndim - 1])
    return fail(MT_EARG, "inner() the last dimension must match on both input tensors but got shapes %s and %s",
                shape_text(a->ndim, a->shape), shape_text(b->ndim, b->shape));
  if (a->dtype != b->dtype)
    return fail(MT_EARG, "both inputs should have same dtype, but are %s and %s", dtype_info[a->dtype].name,
                dtype_info[b->dtype].name);
  for (int d = 0; d < a->ndim - 1; d++) shape[n++] = a->shape[d];
  for (int d = 0; d < b->ndim - 1; d++) shape[n++] = b->shape[d];
  if (!shape_check(n, shape)) return false;
  if (a->ndim == 1 && b->ndim == 1) return compose_return(c, 0, op_run(&def_dot, (Arg[]){ARG_T(a), ARG_T(b)}));
  if (a->ndim > 1) a = tall(a);
  if (b->ndim > 1) b = turn(tall(b));
  return compose_return(c, 0, op_reshape(op_matmul(a, b), n, shape));
}
OP(inner, .schema = "inner(Tensor input, Tensor other) -> Tensor",
   .doc = "Products summed over the last dim of both: (..., k), (***, k) -> (..., ***).",
   .samples = "f(4) f(4) | f(2,4) f(3,4) | f(2,3,4) f(4) | f() f(3)", .errors = "f(4) f(3) | f(2,4) f(4,2)",
   .flags = OP_BOTH, .compose = compose_inner);

/* ---- linear ---- */

static bool infer_linear(OpCall *c) {
  Tensor *x = in(c, 0), *w = in(c, 1);
  int64_t shape[MT_MAX_DIMS], rows = 1;
  if (w->ndim > 2)
    return fail(MT_EARG, "t() expects a tensor with <= 2 dimensions, but self is %dD: linear takes weight as [out, in]",
                w->ndim);
  if (x->ndim == 0 || w->ndim == 0)
    return fail(MT_EARG, "both arguments to linear need to be at least 1D, but they are %dD and %dD", x->ndim, w->ndim);
  if (c->arg[2].given && !same_as_added(c, 2, 0, 1)) return false;
  if (!same_dtype(c, 0)) return false;
  int64_t k = x->shape[x->ndim - 1], in_features = w->shape[w->ndim - 1];
  int n = x->ndim - 1;
  for (int d = 0; d < n; d++) rows *= shape[d] = x->shape[d];
  if (k != in_features)
    return fail(
        MT_EARG,
        "mat1 and mat2 shapes cannot be multiplied (%lldx%lld and %lldx%lld): input is %s and weight %s, so the last "
        "dim of input must be %lld",
        (long long)rows, (long long)k, (long long)in_features, (long long)(w->ndim == 2 ? w->shape[0] : 1),
        shape_text(x->ndim, x->shape), shape_text(w->ndim, w->shape), (long long)in_features);
  if (w->ndim == 2) shape[n++] = w->shape[0];
  if (!out_shape(c, 0, (DType)x->dtype, n, shape)) return false;
  if (!c->arg[2].given) return true;
  Tensor *bias = in(c, 2);
  int64_t stride[MT_MAX_DIMS];
  return shape_expand(bias, n, shape, stride) || shape_expand_fail(bias, n, shape);
}

/* y = x W^T + b: dx = gy W, dW = gy^T x over all leading dims, db = gy summed by g_set */
static void back_linear(Grad *g) {
  Tensor *gy = g_out(g, 0);
  if (g_needs(g, 2)) g_set(g, 2, gy);
  if (!g_needs(g, 0) && !g_needs(g, 1)) return;
  bool single = g_meta(g, 1)->ndim == 1;
  if (single) gy = op_unsqueeze(gy, -1);
  if (g_needs(g, 0)) {
    Tensor *w = g_in(g, 1);
    g_set(g, 0, op_matmul(gy, single ? op_unsqueeze(w, 0) : w));
  }
  if (g_needs(g, 1)) {
    Tensor *x = g_in(g, 0);
    if (x && x->ndim == 1) x = op_unsqueeze(x, 0), gy = op_unsqueeze(gy, 0);
    Tensor *gw = op_matmul(turn(tall(gy)), tall(x));
    g_set(g, 1, single ? op_squeeze(gw, 0) : gw);
  }
}
OP(linear, .schema = "linear(Tensor input, Tensor weight, Tensor? bias=None) -> Tensor",
   .doc = "input x weight^T + bias: (..., in), (out, in), (out) -> (..., out).",
   .samples = "f(3,4) f(2,4) f(2) | f(3,4) f(2,4) | f(4) f(2,4) f(2) | f(2,3,4) f(5,4) f(5) | f(2,3,4) f(4) | f(0,4) "
              "f(2,4) f(2)",
   .errors = "f(3,4) f(4,2) | f(3,4) f(2,4) f(3) | f(3,4) i(2,4) | f(3,4) f(2,4,1)",
   .saves = "input: weight; weight: input", .flags = OP_FUNCTION, .infer = infer_linear,
   .kernel = EVERYWHERE(any_linear), .backward = back_linear);

Tensor *op_matmul(Tensor *a, Tensor *b) { return op_run(&def_matmul, (Arg[]){ARG_T(a), ARG_T(b)}); }
