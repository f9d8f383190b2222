/* Pooling: a plane after the other on each thread, and of floats the windows of a line together, element by element.
 * 16-bit floats go through float32, integers through int64. */
#include "cpu/pool.h"
#include "base/pool.h"
#include "cpu/copy.h"
#include "cpu/copy_tensor.h"
#include "cpu/formulas.h"
#include "cpu/position.h"
#include "cpu/reduce.h"
#include <math.h>

enum { UNIT = 16384 };

static int64_t volume(const int64_t size[3]) { return size[0] * size[1] * size[2]; }

static DType lane_of(DType d) {
  if (d == MT_F64 || d == MT_F32) return d;
  return dtype_is_float(d) ? MT_F32 : MT_I64;
}

typedef struct {
  const Pooling *p;
  const char *x;
  char *out;
  int64_t *index;
  int64_t first, last; /* windows of a line that have as many elements each, and lie `stride` apart */
  int64_t stride;
  bool pairs; /* windows of a line are two elements, side by side */
  const PoolTable *table;
} Job;

/* Windows that a pass over their elements takes together, at most and at least. */
enum { LINE = 256, SHORT_LINE = 8 };

/* The longest windows along the last dim; those before and behind are clipped by an end of the input. */
static void find_line(Job *job) {
  const Span *s = job->p->span[2];
  int64_t n = job->p->out[2], length = 0;
  for (int64_t o = 0; o < n; o++)
    if (s[o].end - s[o].begin > length) length = s[o].end - s[o].begin, job->first = o;
  job->stride = job->first + 1 < n ? s[job->first + 1].begin - s[job->first].begin : 1;
  job->last = job->first + (length > 0 && volume(job->p->in) <= INT32_MAX);
  while (job->last > job->first && job->last < n && s[job->last].end - s[job->last].begin == length &&
         s[job->last].counted == s[job->first].counted &&
         s[job->last].begin == s[job->first].begin + (job->last - job->first) * job->stride)
    job->last++;
  if (job->last - job->first < SHORT_LINE) job->last = job->first;
  job->pairs = length == 2 && job->stride == 2 && job->p->step[1] == 1 && job->p->step[2] == 1 &&
               job->last - job->first >= POOL_PAIRS;
}

/* What follows p, for each line of a plane's results, which begins at `line`. */
#define EACH_LINE(p, ...)                                               \
  for (int64_t o0 = 0, line = 0; o0 < (p)->out[0]; o0++)                \
    for (int64_t o1 = 0; o1 < (p)->out[1]; o1++, line += (p)->out[2]) { \
      const Span *s0 = &(p)->span[0][o0], *s1 = &(p)->span[1][o1];      \
      __VA_ARGS__                                                       \
    }
/* For each element of a window, its place `from`. */
#define EACH_ELEMENT(p, ...)                                           \
  for (int64_t i0 = s0->begin; i0 < s0->end; i0 += (p)->step[0])       \
    for (int64_t i1 = s1->begin; i1 < s1->end; i1 += (p)->step[1]) {   \
      int64_t row = (i0 * (p)->in[1] + i1) * (p)->in[2];               \
      for (int64_t i2 = s2->begin; i2 < s2->end; i2 += (p)->step[2]) { \
        int64_t from = row + i2;                                       \
        __VA_ARGS__                                                    \
      }                                                                \
    }

/* Windows begin … end of a line, one by one. The first element starts: minus infinity is larger than nothing. A NaN that
 * follows a NaN wins, as in PyTorch. A window that has only padding gets the lowest value there is, and some position. */
#define MAX_WINDOWS(T, LOWEST)                                                                             \
  static void max_windows_##T(const Pooling *p, const T *x, const Span *s0, const Span *s1, int64_t begin, \
                              int64_t end, T *out, int64_t *index) {                                       \
    for (int64_t o = begin; o < end; o++) {                                                                \
      const Span *s2 = &p->span[2][o];                                                                     \
      bool any = s0->begin < s0->end && s1->begin < s1->end && s2->begin < s2->end;                        \
      int64_t best = any ? (s0->begin * p->in[1] + s1->begin) * p->in[2] + s2->begin : 0;                  \
      T most = any ? x[best] : LOWEST;                                                                     \
      EACH_ELEMENT(p, {                                                                                    \
        T v = x[from];                                                                                     \
        if (v > most || v != v) most = v, best = from;                                                     \
      })                                                                                                   \
      out[o] = most;                                                                                       \
      index[o] = best + 1;                                                                                 \
    }                                                                                                      \
  }
MAX_WINDOWS(float, -INFINITY)
MAX_WINDOWS(double, -INFINITY)
MAX_WINDOWS(int64_t, INT64_MIN)

/* The windows of a line that lie evenly, LINE at a time; not empty. */
#define MAX_LINE(T, K)                                                                                                 \
  static void max_line_##T(const Job *job, const T *x, const Span *s0, const Span *s1, T *out, int64_t *index) {       \
    const Pooling *p = job->p;                                                                                         \
    if (job->pairs && s0->end - s0->begin == 1 && s1->end - s1->begin == 2) {                                          \
      int64_t place = (s0->begin * p->in[1] + s1->begin) * p->in[2] + p->span[2][job->first].begin;                    \
      job->table->pairs[K](x + place, x + place + p->in[2], job->last - job->first, place, p->in[2], out + job->first, \
                           index + job->first);                                                                        \
      return;                                                                                                          \
    }                                                                                                                  \
    for (int64_t o = job->first; o < job->last; o += LINE) {                                                           \
      int64_t n = job->last - o < LINE ? job->last - o : LINE;                                                         \
      const Span *s2 = &p->span[2][o];                                                                                 \
      int64_t place = (s0->begin * p->in[1] + s1->begin) * p->in[2] + s2->begin;                                       \
      int32_t at[LINE];                                                                                                \
      for (int64_t i = 0; i < n; i++) {                                                                                \
        out[o + i] = x[place + i * job->stride];                                                                       \
        at[i] = (int32_t)(place + i * job->stride);                                                                    \
      }                                                                                                                \
      EACH_ELEMENT(p, { job->table->max[K](x + from, job->stride, n, out + o, at, (int32_t)from); })                   \
      for (int64_t i = 0; i < n; i++) index[o + i] = (int64_t)at[i] + 1;                                               \
    }                                                                                                                  \
  }
MAX_LINE(float, 0)
MAX_LINE(double, 1)
static void max_line_int64_t(const Job *job, const int64_t *x, const Span *s0, const Span *s1, int64_t *out,
                             int64_t *index) {
  max_windows_int64_t(job->p, x, s0, s1, job->first, job->last, out, index);
}

#define MAX_BODY(T)                                                               \
  static void max_##T(void *context, int64_t begin, int64_t end) {                \
    const Job *job = context;                                                     \
    const Pooling *p = job->p;                                                    \
    int64_t size = volume(p->in), results = volume(p->out);                       \
    for (int64_t n = begin; n < end; n++) {                                       \
      const T *x = (const T *)(const void *)job->x + n * size;                    \
      T *out = (T *)(void *)job->out + n * results;                               \
      int64_t *index = job->index + n * results;                                  \
      EACH_LINE(p, {                                                              \
        bool any = s0->begin < s0->end && s1->begin < s1->end;                    \
        int64_t last = any ? job->last : job->first;                              \
        max_windows_##T(p, x, s0, s1, 0, job->first, out + line, index + line);   \
        if (any) max_line_##T(job, x, s0, s1, out + line, index + line);          \
        max_windows_##T(p, x, s0, s1, last, p->out[2], out + line, index + line); \
      })                                                                          \
    }                                                                             \
  }
MAX_BODY(float)
MAX_BODY(double)
MAX_BODY(int64_t)

static float divide_float(float a, float b) { return a / b; }
static double divide_double(double a, double b) { return a / b; }
static int64_t divide_int64_t(int64_t a, int64_t b) {
  int zero = 0; /* a divisor of 0 was refused */
  return divide_int(a, b, &zero);
}

/* U: the type in which sums of T wrap around. Whole numbers are divided toward zero. */
#define MEAN_WINDOWS(T, U)                                                                                  \
  static T divisor_##T(const Pooling *p, const Span *s0, const Span *s1, const Span *s2) {                  \
    return p->divisor != 0 ? (T)p->divisor : (T)(s0->counted * s1->counted * s2->counted);                  \
  }                                                                                                         \
  static void mean_windows_##T(const Pooling *p, const T *x, const Span *s0, const Span *s1, int64_t begin, \
                               int64_t end, T *out) {                                                       \
    for (int64_t o = begin; o < end; o++) {                                                                 \
      const Span *s2 = &p->span[2][o];                                                                      \
      bool any = s0->begin < s0->end && s1->begin < s1->end && s2->begin < s2->end;                         \
      U sum = 0;                                                                                            \
      EACH_ELEMENT(p, { sum += (U)x[from]; })                                                               \
      out[o] = any ? divide_##T((T)sum, divisor_##T(p, s0, s1, s2)) : 0;                                    \
    }                                                                                                       \
  }
MEAN_WINDOWS(float, float)
MEAN_WINDOWS(double, double)
MEAN_WINDOWS(int64_t, uint64_t)

#define MEAN_LINE(T, K)                                                                           \
  static void mean_line_##T(const Job *job, const T *x, const Span *s0, const Span *s1, T *out) { \
    const Pooling *p = job->p;                                                                    \
    for (int64_t o = job->first; o < job->last; o += LINE) {                                      \
      int64_t n = job->last - o < LINE ? job->last - o : LINE;                                    \
      const Span *s2 = &p->span[2][o];                                                            \
      T divisor = divisor_##T(p, s0, s1, s2);                                                     \
      for (int64_t i = 0; i < n; i++) out[o + i] = 0;                                             \
      EACH_ELEMENT(p, { job->table->add[K](x + from, job->stride, n, out + o); })                 \
      for (int64_t i = 0; i < n; i++) out[o + i] = divide_##T(out[o + i], divisor);               \
    }                                                                                             \
  }
MEAN_LINE(float, 0)
MEAN_LINE(double, 1)
static void mean_line_int64_t(const Job *job, const int64_t *x, const Span *s0, const Span *s1, int64_t *out) {
  mean_windows_int64_t(job->p, x, s0, s1, job->first, job->last, out);
}

#define MEAN_BODY(T, U)                                                                       \
  static void mean_##T(void *context, int64_t begin, int64_t end) {                           \
    const Job *job = context;                                                                 \
    const Pooling *p = job->p;                                                                \
    int64_t size = volume(p->in), results = volume(p->out);                                   \
    for (int64_t n = begin; n < end; n++) {                                                   \
      const T *x = (const T *)(const void *)job->x + n * size;                                \
      T *out = (T *)(void *)job->out + n * results;                                           \
      EACH_LINE(p, {                                                                          \
        bool any = s0->begin < s0->end && s1->begin < s1->end;                                \
        mean_windows_##T(p, x, s0, s1, 0, job->first, out + line);                            \
        if (any) mean_line_##T(job, x, s0, s1, out + line);                                   \
        mean_windows_##T(p, x, s0, s1, any ? job->last : job->first, p->out[2], out + line);  \
      })                                                                                      \
    }                                                                                         \
  }                                                                                           \
  static void mean_back_##T(void *context, int64_t begin, int64_t end) {                      \
    const Job *job = context;                                                                 \
    const Pooling *p = job->p;                                                                \
    int64_t size = volume(p->in), results = volume(p->out);                                   \
    for (int64_t n = begin; n < end; n++) {                                                   \
      const T *grad = (const T *)(const void *)job->x + n * results;                          \
      T *out = (T *)(void *)job->out + n * size;                                              \
      for (int64_t i = 0; i < size; i++) out[i] = 0;                                          \
      EACH_LINE(p, {                                                                          \
        for (int64_t o = 0; o < p->out[2]; o++) {                                             \
          const Span *s2 = &p->span[2][o];                                                    \
          if (s0->begin >= s0->end || s1->begin >= s1->end || s2->begin >= s2->end) continue; \
          U part = (U)divide_##T(grad[line + o], divisor_##T(p, s0, s1, s2));                 \
          EACH_ELEMENT(p, { out[from] = (T)((U)out[from] + part); })                          \
        }                                                                                     \
      })                                                                                      \
    }                                                                                         \
  }
MEAN_BODY(float, float)
MEAN_BODY(double, double)
MEAN_BODY(int64_t, uint64_t)

static int lane_number(DType lane) { return lane == MT_F32 ? 0 : lane == MT_F64 ? 1 : 2; }

static bool run(const Pooling *p, const PoolBody *body, Tensor *x, Tensor *out, int64_t *index) {
  if (out->numel == 0) return true;
  DType lane = lane_of((DType)out->dtype);
  Tensor *packed = tensor_packed(x, lane), *to = NULL;
  if (packed)
    to = out->dtype == lane ? tensor_retain(out) : tensor_new(lane, out->ndim, out->shape, tensor_device(out));
  bool good = to != NULL;
  if (good) {
    Job job = {.p = p, .x = tensor_data(packed), .out = tensor_data(to), .index = index, .table = VEC_PICK(pool_table)};
    find_line(&job);
    int64_t work = volume(p->in) + volume(p->out);
    parallel_for(p->planes, work < UNIT ? UNIT / work : 1, body[lane_number(lane)], &job);
  }
  if (good && to != out) good = tensor_copy_into(out, to);
  tensor_release(to);
  tensor_release(packed);
  return good;
}

bool cpu_pool_max(const Pooling *p, Tensor *x, Tensor *values, Tensor *index) {
  static const PoolBody body[] = {max_float, max_double, max_int64_t};
  return run(p, body, x, values, (int64_t *)(void *)tensor_data(index));
}
bool cpu_pool_mean(const Pooling *p, Tensor *x, Tensor *out) {
  static const PoolBody body[] = {mean_float, mean_double, mean_int64_t};
  return run(p, body, x, out, NULL);
}
bool cpu_pool_mean_back(const Pooling *p, Tensor *grad, Tensor *out) {
  static const PoolBody body[] = {mean_back_float, mean_back_double, mean_back_int64_t};
  return run(p, body, grad, out, NULL);
}

/* ---- by positions ---- */

typedef struct {
  const char *x;
  char *out;
  const int64_t *index;
  int64_t results, size; /* elements of a plane of positions, and of the plane they point into */
  _Atomic bool bad;      /* a position that is none was met, and skipped */
} Positions;

/* For each result i of plane n, `at`: its place in a plane. */
#define EACH_POSITION(p, n, ...)                                                  \
  {                                                                               \
    const int64_t *index = (p)->index, last = ((n) + 1) * (p)->results;           \
    const uint64_t size = (uint64_t)(p)->size;                                    \
    _Pragma("GCC unroll 4") for (int64_t i = (n) * (p)->results; i < last; i++) { \
      uint64_t at = (uint64_t)index[i] - 1;                                       \
      if (at < size)                                                              \
        __VA_ARGS__;                                                              \
      else                                                                        \
        (p)->bad = true;                                                          \
    }                                                                             \
  }
/* Zeros that stay in the first cache: a long memset may go around it. */
static void clear_plane(void *to, int64_t n, int size) {
  const uint64_t zero = 0;
  fill_row(size)((char *[]){to}, (int64_t[]){size}, n, &zero);
}
#define POSITION_BODIES(T, U)                                       \
  static void put_##T(void *context, int64_t begin, int64_t end) {  \
    Positions *p = context;                                         \
    const T *x = (const T *)(const void *)p->x;                     \
    for (int64_t n = begin; n < end; n++) {                         \
      T *out = (T *)(void *)p->out + n * p->size;                   \
      clear_plane(out, p->size, (int)sizeof *out);                  \
      EACH_POSITION(p, n, out[at] = x[i])                           \
    }                                                               \
  }                                                                 \
  static void add_##T(void *context, int64_t begin, int64_t end) {  \
    Positions *p = context;                                         \
    const T *x = (const T *)(const void *)p->x;                     \
    for (int64_t n = begin; n < end; n++) {                         \
      T *out = (T *)(void *)p->out + n * p->size;                   \
      clear_plane(out, p->size, (int)sizeof *out);                  \
      EACH_POSITION(p, n, out[at] = (T)((U)out[at] + (U)x[i]))      \
    }                                                               \
  }                                                                 \
  static void take_##T(void *context, int64_t begin, int64_t end) { \
    Positions *p = context;                                         \
    T *out = (T *)(void *)p->out;                                   \
    for (int64_t n = begin; n < end; n++) {                         \
      const T *x = (const T *)(const void *)p->x + n * p->size;     \
      EACH_POSITION(p, n, out[i] = x[at])                           \
    }                                                               \
  }
POSITION_BODIES(float, float)
POSITION_BODIES(double, double)
POSITION_BODIES(int64_t, uint64_t)

static bool by_position(Tensor *x, Tensor *index, int64_t planes, int64_t size, const PoolBody *body, Tensor *out) {
  if (out->numel == 0) return position_check(index, size, false, -1);
  DType lane = lane_of((DType)out->dtype);
  Tensor *packed = tensor_packed(x, lane), *at = packed ? tensor_packed(index, MT_I64) : NULL, *to = NULL;
  if (at) to = out->dtype == lane ? tensor_retain(out) : tensor_new(lane, out->ndim, out->shape, tensor_device(out));
  bool good = to != NULL;
  if (good) {
    Positions p = {tensor_data(packed),
                   tensor_data(to),
                   (const int64_t *)(const void *)tensor_data(at),
                   index->numel / planes,
                   size,
                   false};
    int64_t work = p.results + size;
    parallel_for(planes, work < UNIT ? UNIT / work : 1, body[lane_number(lane)], &p);
    good = !p.bad || position_check(index, size, false, -1);
  }
  if (good && to != out) good = tensor_copy_into(out, to);
  tensor_release(to);
  tensor_release(at);
  tensor_release(packed);
  return good;
}

bool cpu_plane_put(Tensor *x, Tensor *index, int64_t planes, bool add, Tensor *out) {
  static const PoolBody put[] = {put_float, put_double, put_int64_t}, sum[] = {add_float, add_double, add_int64_t};
  return by_position(x, index, planes, planes ? out->numel / planes : 0, add ? sum : put, out);
}
bool cpu_plane_take(Tensor *x, Tensor *index, int64_t planes, Tensor *out) {
  static const PoolBody take[] = {take_float, take_double, take_int64_t};
  return by_position(x, index, planes, planes ? x->numel / planes : 0, take, out);
}
