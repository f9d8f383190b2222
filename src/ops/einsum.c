/* einsum: sums of products in the notation of Einstein.
 *
 * Each operand is a tensor with one label a dim. Operands are contracted from left to right, each pair by one product of
 * batches of matrices, so every letter is batch, left, right or inner of a pair. A dim of size 1 that meets a larger one
 * loses its label: it broadcasts by not being there. */
#include "base/alloc.h"
#include "ops/ops.h"
#include <ctype.h>
#include <string.h>

extern OpDef def_permute, def_diagonal, def_bmm, def_alias;

enum { LETTERS = 52, LABELS = LETTERS + MT_MAX_DIMS, ELLIPSIS = 255 }; /* letters, then the dims of "..." */

typedef struct Term {
  Tensor *t;
  int n;
  uint8_t label[MT_MAX_DIMS];
} Term;

typedef struct Equation {
  int terms;
  Term *term;
  int ellipsis;         /* dims that "..." stands for */
  int64_t size[LABELS]; /* of each label; 0: not seen */
  int count[LETTERS];   /* how often a letter stands on the left */
  int outs;
  uint8_t out[LABELS];
} Equation;

/* Capitals come first, as in the alphabet of an implicit output. */
static int label_of(char c) { return isupper((unsigned char)c) ? c - 'A' : c - 'a' + 26; }
static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static const char *spelled(int label) {
  return label >= LETTERS ? "..." : text("%c", label < 26 ? 'A' + label : 'a' + label - 26);
}

/* --- reading --- */

/* The labels of one operand, up to a comma or `end`: letters and at most one ELLIPSIS. Advances *at. */
static bool read_labels(const char *equation, int end, int *at, const char *whose, uint8_t *label, int room, int *n) {
  bool dots = false;
  *n = 0;
  for (; *at < end && equation[*at] != ','; ++*at) {
    char c = equation[*at];
    if (c == ' ') continue;
    if (c == '.') {
      if (dots) return fail(MT_EARG, "einsum(): found '.' for %s for which an ellipsis was already found", whose);
      if (*at + 2 >= end || equation[*at + 1] != '.' || equation[*at + 2] != '.')
        return fail(MT_EARG, "einsum(): found '.' for %s that is not part of any ellipsis", whose);
      *at += 2;
      dots = true;
    } else if (!is_letter(c)) {
      return fail(MT_EARG,
                  "einsum(): invalid subscript given at index %d in the equation string, subscripts must be in "
                  "[a-zA-Z]: '%s'",
                  *at + 1, equation);
    }
    if (*n == room) return fail(MT_EARG, "einsum(): too many subscripts for %s in '%s'", whose, equation);
    label[(*n)++] = c == '.' ? ELLIPSIS : (uint8_t)label_of(c);
  }
  return true;
}

/* Gives each dim of operand k its label. "..." is lined up at its end with those of other operands. */
static bool label_term(Equation *e, int k, const uint8_t *label, int n) {
  Term *term = &e->term[k];
  bool dots = memchr(label, ELLIPSIS, (size_t)n) != NULL;
  int letters = n - dots, ndim = term->t->ndim;
  if (dots && letters > ndim)
    return fail(
        MT_EARG,
        "einsum(): the number of subscripts in the equation (%d) is more than the number of dimensions (%d) for "
        "operand %d, which is %s",
        letters, ndim, k + 1, shape_text(ndim, term->t->shape));
  if (!dots && letters != ndim)
    return fail(MT_EARG,
                "einsum(): the number of subscripts in the equation (%d) does not match the number of dimensions (%d) "
                "for operand %d and no ellipsis was given: it is %s",
                letters, ndim, k + 1, shape_text(ndim, term->t->shape));
  term->n = 0;
  for (int i = 0; i < n; i++) {
    if (label[i] != ELLIPSIS) {
      e->count[label[i]]++;
      term->label[term->n++] = label[i];
      continue;
    }
    for (int d = ndim - letters; d > 0; d--) term->label[term->n++] = (uint8_t)(LABELS - d);
    if (ndim - letters > e->ellipsis) e->ellipsis = ndim - letters;
  }
  return true;
}

static bool read_operands(Equation *e, const char *equation, int end) {
  uint8_t label[MT_MAX_DIMS + 2];
  int at = 0, n;
  for (int k = 0;; k++) {
    if (k == e->terms)
      return fail(MT_EARG, "einsum(): fewer operands were provided than specified in the equation: %d for '%s'",
                  e->terms, equation);
    if (!read_labels(equation, end, &at, text("operand %d", k + 1), label, MT_MAX_DIMS + 2, &n) ||
        !label_term(e, k, label, n))
      return false;
    if (at < end) { /* a comma */
      at++;
      continue;
    }
    return k + 1 == e->terms ||
           fail(MT_EARG, "einsum(): more operands were provided than specified in the equation: %d for '%s'", e->terms,
                equation);
  }
}

static void append_ellipsis(Equation *e) {
  for (int d = e->ellipsis; d > 0; d--) e->out[e->outs++] = (uint8_t)(LABELS - d);
}
static bool read_output(Equation *e, const char *equation, int at, int end) {
  uint8_t label[LETTERS + 1];
  bool used[LETTERS] = {false};
  int n;
  if (!read_labels(equation, end, &at, "output", label, LETTERS + 1, &n)) return false;
  if (at < end)
    return fail(MT_EARG,
                "einsum(): invalid subscript given at index %d in the equation string, subscripts must be in [a-zA-Z]",
                at + 1);
  for (int i = 0; i < n; i++) {
    if (label[i] == ELLIPSIS) {
      append_ellipsis(e);
      continue;
    }
    if (used[label[i]] || e->count[label[i]] == 0)
      return fail(MT_EARG, "einsum(): output subscript %s %s", spelled(label[i]),
                  used[label[i]] ? "appears more than once in the output"
                                 : "does not appear in the equation for any input operand");
    used[label[i]] = true;
    e->out[e->outs++] = label[i];
  }
  return true;
}
/* Without "->": the dims of "...", then the letters that stand once, in the order of the alphabet. */
static void implicit_output(Equation *e) {
  append_ellipsis(e);
  for (int c = 0; c < LETTERS; c++)
    if (e->count[c] == 1) e->out[e->outs++] = (uint8_t)c;
}

/* --- operands --- */

static int place_of(const Term *term, int label) {
  for (int d = 0; d < term->n; d++)
    if (term->label[d] == label) return d;
  return -1;
}
static void drop(Term *term, int d) {
  memmove(term->label + d, term->label + d + 1, (size_t)(term->n - d - 1));
  term->n--;
}

/* A letter that stands twice is the diagonal of its dims. */
static bool take_diagonals(Term *term, int k) {
  for (int d = 0; d < term->n; d++) {
    int first = place_of(term, term->label[d]);
    if (first == d) continue;
    if (term->t->shape[first] != term->t->shape[d])
      return fail(MT_EARG, "einsum(): subscript %s is repeated for operand %d but the sizes don't match, %lld != %lld",
                  spelled(term->label[d]), k + 1, (long long)term->t->shape[d], (long long)term->t->shape[first]);
    uint8_t label = term->label[d];
    term->t = op_run(&def_diagonal, (Arg[]){ARG_T(term->t), ARG_I(0), ARG_I(first), ARG_I(d)});
    if (!term->t) return false;
    drop(term, d);
    drop(term, first);
    term->label[term->n++] = label;
    d = -1; /* the dims moved: look again */
  }
  return true;
}
static bool note_sizes(Equation *e, int k) {
  const Term *term = &e->term[k];
  for (int d = 0; d < term->n; d++) {
    int64_t *known = &e->size[term->label[d]], size = term->t->shape[d];
    bool clash = *known != size && *known > -1 && *known != 1 && size != 1;
    if (clash && term->label[d] >= LETTERS)
      return fail(
          MT_EARG,
          "einsum(): dimension %d covered by ellipsis in operand %d has size %lld which does not broadcast with "
          "previously seen ellipsis with size %lld for the respective dimension",
          e->ellipsis - (LABELS - term->label[d]) + 1, k + 1, (long long)size, (long long)*known);
    if (clash)
      return fail(MT_EARG,
                  "einsum(): subscript %s has size %lld for operand %d which does not broadcast with previously seen "
                  "size %lld",
                  spelled(term->label[d]), (long long)size, k + 1, (long long)*known);
    if (*known == -1 || *known == 1) *known = size;
  }
  return true;
}
/* Dims of size 1 vanish unless the result shows them. */
static bool drop_ones(const Equation *e, Term *term) {
  for (int d = term->n - 1; d >= 0; d--) {
    if (term->t->shape[d] != 1) continue;
    bool shown = e->size[term->label[d]] == 1 && memchr(e->out, term->label[d], (size_t)e->outs);
    if (shown) continue;
    if (!(term->t = op_squeeze(term->t, d))) return false;
    drop(term, d);
  }
  return true;
}

/* --- products --- */

/* The term's dims in that order; labels that it lacks get size 1. */
static Tensor *lined_up(const Term *term, int n, const uint8_t *order) {
  int64_t dims[MT_MAX_DIMS], shape[MT_MAX_DIMS];
  int present = 0;
  bool moved = false;
  for (int i = 0; i < n; i++) {
    int d = place_of(term, order[i]);
    shape[i] = d < 0 ? 1 : term->t->shape[d];
    if (d < 0) continue;
    moved |= d != present;
    dims[present++] = d;
  }
  Tensor *t = moved ? op_run(&def_permute, (Arg[]){ARG_T(term->t), ARG_INTS(dims, term->n)}) : term->t;
  return t && n != present ? op_reshape(t, n, shape) : t;
}
/* Sums the dims whose label is neither in `other` nor kept. */
static bool sum_own(Term *term, const Term *other, const bool *kept) {
  int64_t dims[MT_MAX_DIMS];
  int n = 0;
  for (int d = 0; d < term->n; d++)
    if (!kept[term->label[d]] && (!other || place_of(other, term->label[d]) < 0)) dims[n++] = d;
  if (n == 0) return true;
  term->t = op_sum_dims(term->t, n, dims, false);
  while (n > 0) drop(term, (int)dims[--n]);
  return term->t != NULL;
}

typedef struct {
  int n;
  uint8_t label[MT_MAX_DIMS];
  int64_t count; /* product of their sizes */
} Group;
static bool add_label(Group *g, int label, int64_t size) {
  if (g->n == MT_MAX_DIMS) return fail(MT_EARG, "einsum(): a product would have more than %d dimensions", MT_MAX_DIMS);
  g->label[g->n++] = (uint8_t)label;
  g->count *= size;
  return true;
}

/* a becomes the product of a and b, summed over the labels that are not kept. */
static bool contract(Term *a, Term *b, const bool *kept) {
  Group batch = {.count = 1}, left = {.count = 1}, inner = {.count = 1}, right = {.count = 1};
  uint8_t order[3 * MT_MAX_DIMS];
  int64_t shape[MT_MAX_DIMS];
  if (!sum_own(a, b, kept) || !sum_own(b, a, kept)) return false;
  for (int d = 0; d < a->n; d++) {
    int label = a->label[d];
    bool shared = place_of(b, label) >= 0;
    if (!add_label(!shared ? &left : kept[label] ? &batch : &inner, label, a->t->shape[d])) return false;
  }
  for (int d = 0; d < b->n; d++)
    if (place_of(a, b->label[d]) < 0 && !add_label(&right, b->label[d], b->t->shape[d])) return false;
  int n = batch.n + left.n + right.n;
  if (n > MT_MAX_DIMS)
    return fail(MT_EARG, "einsum(): a product would have %d dimensions, at most %d are possible", n, MT_MAX_DIMS);
  memcpy(order, batch.label, (size_t)batch.n);
  memcpy(order + batch.n, left.label, (size_t)left.n);
  memcpy(order + batch.n + left.n, right.label, (size_t)right.n);
  Tensor *product;
  if (inner.n == 0) {
    product = op_mul(lined_up(a, n, order), lined_up(b, n, order));
  } else {
    uint8_t of_a[2 * MT_MAX_DIMS], of_b[2 * MT_MAX_DIMS];
    memcpy(of_a, order, (size_t)(batch.n + left.n));
    memcpy(of_a + batch.n + left.n, inner.label, (size_t)inner.n);
    memcpy(of_b, batch.label, (size_t)batch.n);
    memcpy(of_b + batch.n, inner.label, (size_t)inner.n);
    memcpy(of_b + batch.n + inner.n, right.label, (size_t)right.n);
    for (int i = 0; i < n; i++) {
      int at = place_of(a, order[i]);
      shape[i] = at >= 0 ? a->t->shape[at] : b->t->shape[place_of(b, order[i])];
    }
    Tensor *x = op_reshape(lined_up(a, a->n, of_a), 3, (int64_t[]){batch.count, left.count, inner.count});
    Tensor *y = op_reshape(lined_up(b, b->n, of_b), 3, (int64_t[]){batch.count, inner.count, right.count});
    product = op_reshape(op_run(&def_bmm, (Arg[]){ARG_T(x), ARG_T(y)}), n, shape);
  }
  a->t = product;
  a->n = n;
  memcpy(a->label, order, (size_t)n);
  return product != NULL;
}

static Tensor *evaluate(Equation *e) {
  bool kept[LABELS];
  for (int k = 0; k < e->terms; k++)
    if (!take_diagonals(&e->term[k], k) || !note_sizes(e, k)) return NULL;
  for (int k = 0; k < e->terms; k++)
    if (!drop_ones(e, &e->term[k])) return NULL;
  Term *first = &e->term[0];
  for (int k = 1; k <= e->terms; k++) {
    memset(kept, 0, sizeof kept);
    for (int i = 0; i < e->outs; i++) kept[e->out[i]] = true;
    for (int j = k + 1; j < e->terms; j++)
      for (int d = 0; d < e->term[j].n; d++) kept[e->term[j].label[d]] = true;
    if (k < e->terms ? !contract(first, &e->term[k], kept) : !sum_own(first, NULL, kept)) return NULL;
  }
  if (e->outs > MT_MAX_DIMS) {
    fail(MT_EARG, "einsum(): the result would have %d dimensions, at most %d are possible", e->outs, MT_MAX_DIMS);
    return NULL;
  }
  return lined_up(first, e->outs, e->out);
}

static Tensor *einsum(const char *equation, int n, Tensor *const *operand) {
  const char *arrow = strstr(equation, "->");
  int end = (int)strlen(equation), left = arrow ? (int)(arrow - equation) : end;
  if (n == 0) {
    fail(MT_EARG, "einsum(): must provide at least one operand");
    return NULL;
  }
  Equation e = {.terms = n, .term = mem_zero(sizeof(Term) * (size_t)n)};
  if (!e.term) return NULL;
  for (int k = 0; k < n; k++) e.term[k].t = operand[k];
  for (int c = 0; c < LABELS; c++) e.size[c] = -1;
  Tensor *result = NULL;
  bool good = read_operands(&e, equation, left);
  if (good && arrow)
    good = read_output(&e, equation, left + 2, end);
  else if (good)
    implicit_output(&e);
  if (good) result = evaluate(&e);
  mem_free(e.term);
  for (int k = 0; result && k < n; k++)
    if (result == operand[k]) return op_run(&def_alias, (Arg[]){ARG_T(result)});
  return result;
}
static bool compose_einsum(OpCall *c) {
  return compose_return(c, 0, einsum(c->arg[0].str, c->arg[1].n, c->arg[1].tensors));
}
OP(einsum, .schema = "einsum(str equation, Tensor[]... operands) -> Tensor",
   .doc =
       "Sums of products: each letter names a dim; letters that the output lacks are summed over, a letter that an "
       "operand repeats is its diagonal, '...' stands for all other dims, which broadcast. Without '->' the output is "
       "the letters that stand once, in alphabetical order. torch.einsum(a, {1, 2}, b, {2, 3}, {1, 3}) takes numbers "
       "from 0 to 51 for letters.",
   .samples =
       "'ij,jk->ik' [f(2,3),f(3,4)] | 'ij->ji' [f(2,3)] | 'ii' [f(3,3)] | '...ij,...jk' [f(2,2,3),f(3,4)] | "
       "'i,j' [f(2),f(3)] | 'bij,bjk,bk->bi' [f(2,2,3),f(2,3,2),f(2,2)] | 'ij->' [f(2,3)] | 'iij->ij' [f(2,2,3)]",
   .errors = "'ij' [f(3)] | 'ij,jk' [f(2,3)] | 'i-' [f(3)] | 'i->k' [f(3)] | 'i->ii' [f(3)] | 'i,i' [f(2),f(3)] | "
             "'..i' [f(2)] | 'ii' [f(2,3)]",
   .flags = OP_FUNCTION, .compose = compose_einsum);
