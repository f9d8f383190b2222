/* Sorting along one dim.
 *
 * Elements become unsigned keys in the order wanted (NaN greatest, -0 equal to 0, inverted when descending) beside their
 * positions; short lines are sorted by counting and merging, long ones by radix, all stably; where few of a line are
 * wanted, a heap finds them. Values are then fetched by position, so that they keep their bits. */
#include "base/alloc.h"
#include "base/pool.h"
#include "cpu/copy.h"
#include "cpu/copy_tensor.h"
#include "cpu/kernels.h"
#include "cpu/reduce.h"
#include <string.h>

enum { UNIT = 16384, SHORT = 24, RADIX = 256, HEAP_SHARE = 64, BLOCK = 64 };

typedef struct {
  uint64_t key;
  int64_t at;
} Item;

static uint64_t key_f64(double x) {
  union {
    double d;
    uint64_t u;
  } v = {.d = x + 0.0}; /* -0 + 0 is 0 */
  if (x != x) return UINT64_MAX;
  return v.u >> 63 ? ~v.u : v.u | (uint64_t)1 << 63;
}

/* Bits that differ among keys of the lane type lie in the low `bytes` bytes. */
static int key_bytes(LaneType t, DType d) { return t == LANE_F32 ? 4 : t == LANE_I64 ? dtype_size(d) : 8; }

static uint64_t key_f32(float x) {
  union {
    float f;
    uint32_t u;
  } v = {.f = x + 0.0f};
  if (x != x) return UINT32_MAX;
  return v.u >> 31 ? (uint32_t)~v.u : v.u | 0x80000000u;
}

/* How elements become keys. Integers are shifted so that the least becomes 0 within as many bytes as they have. */
typedef struct {
  LaneType type;
  uint64_t mask, sign, flip;
} Keys;

static Keys keys_of(LaneType type, int bytes, bool is_signed, bool descending) {
  uint64_t mask = bytes == 8 ? UINT64_MAX : ((uint64_t)1 << 8 * bytes) - 1;
  return (Keys){type, mask, is_signed ? (mask >> 1) + 1 : 0, descending ? mask : 0};
}

static inline uint64_t key_at(const Keys *k, const void *x, int64_t i) {
  uint64_t key = k->type == LANE_F32   ? key_f32(((const float *)x)[i])
                 : k->type == LANE_F64 ? key_f64(((const double *)x)[i])
                                       : ((uint64_t)((const int64_t *)x)[i] + k->sign) & k->mask;
  return key ^ k->flip;
}

static void make_keys(const Keys *keys, const void *x, int64_t n, Item *item) {
  const Keys k = *keys;
  for (int64_t i = 0; i < n; i++) item[i] = (Item){key_at(&k, x, i), i};
}

/* At most SHORT items: each counts those that go before it, without a branch that could be guessed wrong. */
static void rank_sort(Item *a, int64_t n) {
  Item from[SHORT];
  int64_t rank[SHORT];
  for (int64_t i = 0; i < n; i++) {
    uint64_t key = a[i].key;
    int64_t before = 0;
    from[i] = a[i];
    for (int64_t j = 0; j < i; j++) {
      int64_t first = from[j].key <= key;
      before += first;
      rank[j] += 1 - first;
    }
    rank[i] = before;
  }
  for (int64_t i = 0; i < n; i++) a[rank[i]] = from[i];
}

/* Sorts a with the help of spare; the result is in a. */
static void merge_sort(Item *a, Item *spare, int64_t n) {
  for (int64_t i = 0; i < n; i += SHORT) rank_sort(a + i, n - i < SHORT ? n - i : SHORT);
  Item *from = a, *to = spare;
  for (int64_t run = SHORT; run < n; run *= 2) {
    for (int64_t i = 0; i < n; i += 2 * run) {
      int64_t l = i, middle = i + run < n ? i + run : n, r = middle, end = i + 2 * run < n ? i + 2 * run : n;
      for (int64_t k = i; k < end; k++)
        to[k] = l < middle && (r >= end || from[l].key <= from[r].key) ? from[l++] : from[r++];
    }
    Item *t = from;
    from = to;
    to = t;
  }
  if (from != a) memcpy(a, from, sizeof *a * (size_t)n);
}

static void radix_sort(Item *a, Item *spare, int64_t n, int bytes) {
  int64_t count[8][RADIX];
  memset(count, 0, sizeof(int64_t) * RADIX * (size_t)bytes);
  for (int64_t i = 0; i < n; i++)
    for (int b = 0; b < bytes; b++) count[b][a[i].key >> 8 * b & (RADIX - 1)]++;
  Item *from = a, *to = spare;
  for (int b = 0; b < bytes; b++) {
    int64_t *c = count[b], sum = 0;
    if (c[from[0].key >> 8 * b & (RADIX - 1)] == n) continue; /* this digit is the same everywhere */
    for (int d = 0; d < RADIX; d++) {
      int64_t here = c[d];
      c[d] = sum;
      sum += here;
    }
    for (int64_t i = 0; i < n; i++) to[c[from[i].key >> 8 * b & (RADIX - 1)]++] = from[i];
    Item *t = from;
    from = to;
    to = t;
  }
  if (from != a) memcpy(a, from, sizeof *a * (size_t)n);
}

static bool after(Item a, Item b) { return a.key > b.key || (a.key == b.key && a.at > b.at); }

static void sift(Item *heap, int64_t k, int64_t at) {
  Item it = heap[at];
  for (int64_t child; (child = 2 * at + 1) < k; at = child) {
    if (child + 1 < k && after(heap[child + 1], heap[child])) child++;
    if (!after(heap[child], it)) break;
    heap[at] = heap[child];
  }
  heap[at] = it;
}

/* Whether one of BLOCK elements may come before the element at `last`, or a NaN is among them. */
#define ANY_BEFORE(S, T)                                                                           \
  static bool any_before_##S(const void *block, const void *line, int64_t last, bool descending) { \
    const T *x = block, limit = ((const T *)line)[last];                                           \
    int found = 0;                                                                                 \
    if (descending)                                                                                \
      for (int k = 0; k < BLOCK; k++) found |= !(x[k] <= limit);                                   \
    else                                                                                           \
      for (int k = 0; k < BLOCK; k++) found |= !(x[k] >= limit);                                   \
    return found != 0;                                                                             \
  }
ANY_BEFORE(f32, float)
ANY_BEFORE(f64, double)
ANY_BEFORE(i64, int64_t)

/* The first k items of a line in order at the front of a: a heap of the k least seen, its root the greatest of them.
 * Blocks without an element before the root are passed over. */
static void select_first(const Keys *keys, const char *x, int size, int64_t n, int64_t k, Item *a) {
  bool descending = keys->flip != 0;
  int64_t next = k;
  make_keys(keys, x, k, a);
  for (int64_t i = k / 2 - 1; i >= 0; i--) sift(a, k, i);
  for (int64_t i = k; i < n; i = next) {
    next = i + BLOCK < n ? i + BLOCK : n;
    if (next - i == BLOCK) {
      const char *block = x + i * size;
      if (!(keys->type == LANE_F32   ? any_before_f32(block, x, a[0].at, descending)
            : keys->type == LANE_F64 ? any_before_f64(block, x, a[0].at, descending)
                                     : any_before_i64(block, x, a[0].at, descending)))
        continue;
    }
    for (int64_t j = i; j < next; j++) {
      Item it = {key_at(keys, x, j), j};
      if (it.key >= a[0].key) continue;
      a[0] = it;
      sift(a, k, 0);
    }
  }
  for (int64_t i = k - 1; i > 0; i--) {
    Item it = a[0];
    a[0] = a[i];
    a[i] = it;
    sift(a, i, 0);
  }
}

static void sort_items(Item *a, Item *spare, int64_t n, int bytes) {
  if (n <= SHORT)
    rank_sort(a, n);
  else if (n < 2 * RADIX)
    merge_sort(a, spare, n);
  else
    radix_sort(a, spare, n, bytes);
}

typedef struct {
  const Tensor *x;        /* packed, of the lane type */
  Tensor *values, *index; /* values of the lane type */
  Lines lines;
  LaneType type;
  int bytes, size;
  bool is_signed, descending, pick;
  Pick which;
  int64_t k;
  atomic_bool failed;
} Job;

/* Where in the sorted line the picked element is. */
static int64_t picked(const Job *job, const Item *a, int64_t n) {
  if (job->which == PICK_KTH) return job->k - 1;
  if (job->which == PICK_MEDIAN || job->which == PICK_NANMEDIAN) {
    uint64_t nan = job->type == LANE_F32 ? UINT32_MAX : UINT64_MAX;
    int64_t numbers = n;
    while (job->type != LANE_I64 && numbers > 0 && a[numbers - 1].key == nan) numbers--;
    if (job->which == PICK_NANMEDIAN) return numbers > 0 ? (numbers - 1) / 2 : 0;
    return numbers < n ? numbers : (n - 1) / 2;
  }
  int64_t best = 0, longest = 0;
  for (int64_t i = 0, run = 0; i < n; i++) {
    run = i > 0 && a[i].key == a[i - 1].key ? run + 1 : 1;
    if (run > longest) {
      longest = run;
      best = i;
    }
  }
  return best;
}

static void body(void *context, int64_t begin, int64_t end) {
  Job *job = context;
  int64_t n = job->lines.length, inner = job->lines.inner, take = job->pick ? 1 : job->k;
  size_t bytes = (size_t)n * (2 * sizeof(Item) + sizeof(int64_t));
  Item *item = block_alloc(bytes);
  if (!item) {
    job->failed = true;
    return;
  }
  Keys keys = keys_of(job->type, job->bytes, job->is_signed, job->descending);
  Item *spare = item + n;
  char *line = (char *)(spare + n);
  for (int64_t i = begin; i < end; i++) {
    int64_t outer = i / inner, column = i % inner;
    const char *x = tensor_data(job->x) + (outer * n * inner + column) * job->size;
    const char *packed = inner == 1 ? x : line;
    if (inner > 1) copy_strided(line, job->size, x, inner * job->size, n, job->size);
    if (!job->pick && n > SHORT && take > 0 && (take <= n / HEAP_SHARE || take * take <= n)) {
      select_first(&keys, packed, job->size, n, take, item);
    } else {
      make_keys(&keys, packed, n, item);
      sort_items(item, spare, n, job->bytes);
    }
    char *value = tensor_data(job->values) + (outer * take * inner + column) * job->size;
    int64_t *at = (int64_t *)(void *)tensor_data(job->index) + outer * take * inner + column;
    int64_t from = job->pick ? picked(job, item, n) : 0;
    for (int64_t r = 0; r < take; r++) {
      int64_t position = item[from + r].at;
      memcpy(value + r * inner * job->size, packed + position * job->size, (size_t)job->size);
      at[r * inner] = position + 1;
    }
  }
  block_free(item, bytes);
}

static bool run(Tensor *t, int dim, Job job, Tensor *values, Tensor *index) {
  if (index->numel == 0) return true;
  job.type = lane_type((DType)t->dtype);
  DType lane = lane_dtype(job.type);
  Tensor *x = tensor_packed(t, lane);
  Tensor *to = values->dtype == lane ? tensor_retain(values)
               : x                   ? tensor_new(lane, values->ndim, values->shape, tensor_device(t))
                                     : NULL;
  bool good = x && to;
  if (good) {
    job.x = x;
    job.values = to;
    job.index = index;
    job.lines = lines_of(x, dim);
    job.size = dtype_size(lane);
    job.bytes = key_bytes(job.type, (DType)t->dtype);
    job.is_signed = dtype_info[t->dtype].is_signed;
    parallel_for(job.lines.outer * job.lines.inner, job.lines.length < UNIT ? UNIT / job.lines.length : 1, body, &job);
    good = !job.failed;
  }
  if (good && to != values) good = tensor_copy_into(values, to);
  tensor_release(to);
  tensor_release(x);
  return good;
}

bool cpu_sort(Tensor *t, int dim, bool descending, int64_t k, Tensor *values, Tensor *index) {
  return run(t, dim, (Job){.descending = descending, .k = k}, values, index);
}
bool cpu_pick(Tensor *t, int dim, Pick which, int64_t k, Tensor *values, Tensor *index) {
  return run(t, dim, (Job){.pick = true, .which = which, .k = k}, values, index);
}

bool cpu_selecting_back(Tensor *grad, int dim, Tensor *index, Tensor *out) {
  Tensor *g = tensor_packed(grad, (DType)out->dtype), *at = g ? tensor_packed(index, MT_I64) : NULL;
  if (at) {
    Lines from = lines_of(g, dim), to = lines_of(out, dim);
    int size = dtype_size((DType)out->dtype);
    const int64_t *position = (const int64_t *)(void *)tensor_data(at);
    const char *x = tensor_data(g);
    char *y = tensor_data(out);
    memset(y, 0, (size_t)tensor_bytes(out));
    for (int64_t o = 0, i = 0; o < from.outer; o++)
      for (int64_t r = 0; r < from.length; r++)
        for (int64_t c = 0; c < from.inner; c++, i++)
          memcpy(y + ((o * to.length + position[i] - 1) * to.inner + c) * size, x + i * size, (size_t)size);
  }
  tensor_release(at);
  tensor_release(g);
  return at != NULL;
}
