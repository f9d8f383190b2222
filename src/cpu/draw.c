/* Drawing on the host: base/rng.h fills contiguous memory; a tensor that is not contiguous is filled in the order of its
 * memory, as PyTorch's iterator walks it. */
#include "cpu/draw.h"
#include "base/alloc.h"
#include "cpu/blocks.h"
#include "cpu/reduce.h"
#include "tensor/iter.h"

/* Writes n packed elements. `scattered`: for a tensor that is not contiguous, whose normal numbers PyTorch makes by the
 * path for fewer than 16. */
static bool fill(const Draw *w, Generator *g, DType d, void *to, int64_t n, bool scattered) {
  switch (w->kind) {
  case DRAW_UNIFORM: return rng_uniform(g, d, to, n, w->a, w->b);
  case DRAW_CAUCHY: return rng_cauchy(g, d, to, n, w->a, w->b);
  case DRAW_EXPONENTIAL: return rng_exponential(g, d, to, n, w->a);
  case DRAW_GEOMETRIC: return rng_geometric(g, d, to, n, w->a);
  case DRAW_BERNOULLI: return rng_bernoulli(g, d, to, n, w->a);
  case DRAW_LOG_NORMAL: return rng_log_normal(g, d, to, n, w->a, w->b);
  case DRAW_BETWEEN: return rng_randint(g, d, to, n, w->low, w->high);
  case DRAW_FROM: return rng_random_from(g, d, to, n, w->low);
  case DRAW_FULL: return rng_random_full(g, d, to, n);
  case DRAW_NORMAL: break;
  }
  if (!scattered || n == 0) return rng_normal(g, d, to, n, w->a, w->b);
  for (int64_t at = 0; at < n; at += 8)
    if (!rng_normal(g, d, (char *)to + at * dtype_size(d), n - at < 8 ? n - at : 8, w->a, w->b)) return false;
  return true;
}

bool draw_check(const Draw *draw, DType d) {
  Generator *g = generator_default();
  return g && fill(draw, g, d, NULL, 0, false);
}

typedef struct {
  char *from;
  int size;
} Source;

static void spread_row(char **ptr, const int64_t *stride, int64_t n, const void *context) {
  Source *source = *(Source *const *)context;
  copy_strided(ptr[1], stride[1], source->from, source->size, n, source->size);
  source->from += n * source->size;
}

/* Hands the numbers at `from` to t's elements in the order of `order`'s memory. */
static void spread(Tensor *t, const Tensor *order, void *from) {
  Source source = {from, dtype_size((DType)t->dtype)}, *context = &source;
  Iter it;
  iter_begin(&it, t->ndim, t->shape);
  iter_add(&it, tensor_data(t), order->stride, source.size); /* operand 0 sorts the dims */
  iter_add(&it, tensor_data(t), t->stride, source.size);
  iter_finish(&it);
  iter_run_serial(&it, spread_row, &context);
}

bool cpu_draw(const Draw *draw, Generator *g, Tensor *to, const Tensor *order) {
  DType d = (DType)to->dtype;
  if (tensor_is_contiguous(order)) return fill(draw, g, d, tensor_data(to), to->numel, false);
  size_t bytes = (size_t)tensor_bytes(to);
  void *numbers = block_alloc(bytes);
  bool good = numbers && fill(draw, g, d, numbers, to->numel, true);
  if (good) spread(to, order, numbers);
  if (numbers) block_free(numbers, bytes);
  return good;
}

bool cpu_draw_by(DrawBy by, Generator *g, Tensor *numbers, Tensor *to) {
  DType d = (DType)numbers->dtype;
  Tensor *p = tensor_packed(numbers, d);
  if (!p) return false;
  bool good = by == DRAW_BY_CHANCE
                  ? rng_bernoulli_tensor(g, (DType)to->dtype, tensor_data(to), d, tensor_data(p), to->numel)
                  : rng_poisson(g, d, tensor_data(to), tensor_data(p), to->numel);
  tensor_release(p);
  return good;
}
