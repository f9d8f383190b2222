/* torch.multinomial: positions drawn by weight, with or without replacement, as PyTorch's CPU kernels draw them.
 *
 * Without replacement, or for a single draw, each weight is divided by an exponential number and the k largest
 * quotients win (the Gumbel trick). With replacement a uniform double is looked up in the cumulated weights of the row.
 * All of the weights are checked before anything is drawn, so a refused call leaves the generator as it was. */
#include "base/alloc.h"
#include "base/rng.h"
#include <math.h>

enum { MOST_CATEGORIES = 1 << 24 };

static double weight_at(DType d, const void *weights, int64_t i) {
  return scalar_load(d, (const char *)weights + i * dtype_size(d)).d;
}

static bool check_weights(DType d, const void *weights, int64_t rows, int64_t n, bool replacement) {
  for (int64_t row = 0; row < rows; row++) {
    bool positive = false;
    for (int64_t i = row * n; i < (row + 1) * n; i++) {
      double w = weight_at(d, weights, i);
      if (w >= 0 && w < INFINITY) {
        positive = positive || w > 0;
        continue;
      }
      const char *what = !replacement ? "probability tensor contains either `inf`, `nan` or element < 0"
                         : w < 0
                             ? "invalid multinomial distribution (encountering probability entry < 0)"
                             : "invalid multinomial distribution (encountering probability entry = infinity or NaN)";
      return fail(MT_EARG, "%s: entry %lld of row %lld is %g; pass weights such as softmax gives", what,
                  (long long)(i - row * n) + 1, (long long)row + 1, w);
    }
    if (!positive)
      return fail(MT_EARG,
                  "invalid multinomial distribution (sum of probabilities <= 0): all weights of row %lld are "
                  "zero; at least one must be positive",
                  (long long)row + 1);
  }
  return true;
}

/* A candidate ranks higher by a larger key, or by a lower position at equal keys. */
typedef struct {
  double key;
  int64_t position;
} Candidate;

static bool ranks_lower(Candidate a, Candidate b) {
  return a.key < b.key || (a.key == b.key && a.position > b.position);
}

/* Restores the heap of n candidates, lowest on top, below node i. */
static void sift_down(Candidate *heap, int64_t n, int64_t i) {
  Candidate moved = heap[i];
  for (int64_t child; (child = 2 * i + 1) < n; i = child) {
    if (child + 1 < n && ranks_lower(heap[child + 1], heap[child])) child++;
    if (!ranks_lower(heap[child], moved)) break;
    heap[i] = heap[child];
  }
  heap[i] = moved;
}

/* Writes the positions of the k highest of the row's quotients, highest first. */
static void pick_highest(DType d, const void *weights, int64_t first, const void *exponentials, int64_t n, int64_t k,
                         Candidate *heap, int64_t *out) {
  for (int64_t i = 0; i < n; i++) {
    union {
      double f64;
      float f32;
      uint16_t f16;
    } key;
    scalar_store(scalar_float(weight_at(d, weights, first + i) / weight_at(d, exponentials, i)), d, &key);
    Candidate c = {scalar_load(d, &key).d, i};
    if (i < k) {
      heap[i] = c;
      if (i == k - 1)
        for (int64_t j = k / 2; j-- > 0;) sift_down(heap, k, j);
    } else if (ranks_lower(heap[0], c)) {
      heap[0] = c;
      sift_down(heap, k, 0);
    }
  }
  while (k-- > 0) {
    out[k] = heap[0].position;
    heap[0] = heap[k];
    sift_down(heap, k, 0);
  }
}

static bool without_replacement(Generator *g, DType d, const void *weights, int64_t rows, int64_t n, int64_t k,
                                int64_t *out) {
  void *exponentials = mem_alloc((size_t)n * (size_t)dtype_size(d));
  Candidate *heap = exponentials ? mem_alloc((size_t)k * sizeof *heap) : NULL;
  for (int64_t row = 0; heap && row < rows; row++) {
    rng_exponential(g, d, exponentials, n, 1);
    pick_highest(d, weights, row * n, exponentials, n, k, heap, out + row * k);
  }
  mem_free(heap);
  mem_free(exponentials);
  return heap != NULL;
}

/* Sums and quotients are rounded as the dtype's accumulator is: float, or double for float64. */
static double accumulator(DType d, double x) { return d == MT_F64 ? x : (float)x; }

static bool with_replacement(Generator *g, DType d, const void *weights, int64_t rows, int64_t n, int64_t k,
                             int64_t *out) {
  double *cumulated = mem_alloc((size_t)n * sizeof *cumulated);
  if (!cumulated) return false;
  for (int64_t row = 0; row < rows; row++) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) cumulated[i] = sum = accumulator(d, sum + weight_at(d, weights, row * n + i));
    for (int64_t i = 0; i < n; i++) cumulated[i] = accumulator(d, cumulated[i] / sum);
    cumulated[n - 1] = 1;
    for (int64_t j = 0; j < k; j++) {
      double u = rng_unit(g);
      int64_t low = 0, high = n;
      while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (cumulated[middle] < u)
          low = middle + 1;
        else
          high = middle;
      }
      out[row * k + j] = low;
    }
  }
  mem_free(cumulated);
  return true;
}

bool rng_multinomial(Generator *g, DType d, const void *weights, int64_t rows, int64_t n, int64_t k, bool replacement,
                     int64_t *out) {
  if (!g) return false;
  if (!dtype_is_float(d))
    return fail(MT_EARG, "multinomial only supports floating-point dtypes for input, got: %s; use input:float()",
                dtype_info[d].type_name);
  if (k <= 0)
    return fail(MT_EARG, "cannot sample n_sample <= 0 samples, got num_samples=%lld; ask for at least 1", (long long)k);
  if (!replacement && k > n)
    return fail(MT_EARG,
                "cannot sample n_sample > prob_dist.size(-1) samples without replacement: num_samples=%lld, "
                "categories %lld; pass replacement = true",
                (long long)k, (long long)n);
  if (n > MOST_CATEGORIES)
    return fail(MT_EARG, "number of categories cannot exceed 2^24, but there are %lld; draw in two steps",
                (long long)n);
  if (rows == 0) return true;
  if (k == 1) replacement = false; /* the same distribution, and the stream of PyTorch 2 */
  if (!check_weights(d, weights, rows, n, replacement)) return false;
  return replacement ? with_replacement(g, d, weights, rows, n, k, out)
                     : without_replacement(g, d, weights, rows, n, k, out);
}
