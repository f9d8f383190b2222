/* Pooling: plain loops, a plane after the other on each thread. 16-bit floats go through float32, integers through int64. */
#include "cpu/pool.h"
#include "base/pool.h"
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
} Job;

/* What follows p, for each result of a plane: its number `at` and its spans; for each element of those, its place `from`. */
#define EACH_WINDOW(p, ...)                                          \
  for (int64_t o0 = 0, at = 0; o0 < (p)->out[0]; o0++)               \
    for (int64_t o1 = 0; o1 < (p)->out[1]; o1++)                     \
      for (int64_t o2 = 0; o2 < (p)->out[2]; o2++, at++) {           \
        const Span *s0 = &(p)->span[0][o0], *s1 = &(p)->span[1][o1]; \
        const Span *s2 = &(p)->span[2][o2];                          \
        __VA_ARGS__                                                  \
      }
#define EACH_ELEMENT(p, ...)                                           \
  for (int64_t i0 = s0->begin; i0 < s0->end; i0 += (p)->step[0])       \
    for (int64_t i1 = s1->begin; i1 < s1->end; i1 += (p)->step[1]) {   \
      int64_t row = (i0 * (p)->in[1] + i1) * (p)->in[2];               \
      for (int64_t i2 = s2->begin; i2 < s2->end; i2 += (p)->step[2]) { \
        int64_t from = row + i2;                                       \
        __VA_ARGS__                                                    \
      }                                                                \
    }

/* The first element starts: minus infinity is larger than nothing. A NaN that follows a NaN wins, as in PyTorch. A window
 * that has only padding gets the lowest value there is, and some position. */
#define MAX_BODY(T, LOWEST)                                                                 \
  static void max_##T(void *context, int64_t begin, int64_t end) {                          \
    const Job *job = context;                                                               \
    const Pooling *p = job->p;                                                              \
    int64_t size = volume(p->in), results = volume(p->out);                                 \
    for (int64_t n = begin; n < end; n++) {                                                 \
      const T *x = (const T *)(const void *)job->x + n * size;                              \
      T *out = (T *)(void *)job->out + n * results;                                         \
      int64_t *index = job->index + n * results;                                            \
      EACH_WINDOW(p, {                                                                      \
        bool any = s0->begin < s0->end && s1->begin < s1->end && s2->begin < s2->end;       \
        int64_t best = any ? (s0->begin * p->in[1] + s1->begin) * p->in[2] + s2->begin : 0; \
        T most = any ? x[best] : LOWEST;                                                    \
        EACH_ELEMENT(p, {                                                                   \
          T v = x[from];                                                                    \
          if (v > most || v != v) most = v, best = from;                                    \
        })                                                                                  \
        out[at] = most;                                                                     \
        index[at] = best + 1;                                                               \
      })                                                                                    \
    }                                                                                       \
  }
static float divide_float(float a, float b) { return a / b; }
static double divide_double(double a, double b) { return a / b; }
static int64_t divide_int64_t(int64_t a, int64_t b) {
  int zero = 0; /* a divisor of 0 was refused */
  return divide_int(a, b, &zero);
}

/* U: the type in which sums of T wrap around. Whole numbers are divided toward zero. */
#define MEAN_BODY(T, U)                                                                     \
  static T divisor_##T(const Pooling *p, const Span *s0, const Span *s1, const Span *s2) {  \
    return p->divisor != 0 ? (T)p->divisor : (T)(s0->counted * s1->counted * s2->counted);  \
  }                                                                                         \
  static void mean_##T(void *context, int64_t begin, int64_t end) {                         \
    const Job *job = context;                                                               \
    const Pooling *p = job->p;                                                              \
    int64_t size = volume(p->in), results = volume(p->out);                                 \
    for (int64_t n = begin; n < end; n++) {                                                 \
      const T *x = (const T *)(const void *)job->x + n * size;                              \
      T *out = (T *)(void *)job->out + n * results;                                         \
      EACH_WINDOW(p, {                                                                      \
        U sum = 0;                                                                          \
        bool any = s0->begin < s0->end && s1->begin < s1->end && s2->begin < s2->end;       \
        EACH_ELEMENT(p, { sum += (U)x[from]; })                                             \
        out[at] = any ? divide_##T((T)sum, divisor_##T(p, s0, s1, s2)) : 0;                 \
      })                                                                                    \
    }                                                                                       \
  }                                                                                         \
  static void mean_back_##T(void *context, int64_t begin, int64_t end) {                    \
    const Job *job = context;                                                               \
    const Pooling *p = job->p;                                                              \
    int64_t size = volume(p->in), results = volume(p->out);                                 \
    for (int64_t n = begin; n < end; n++) {                                                 \
      const T *grad = (const T *)(const void *)job->x + n * results;                        \
      T *out = (T *)(void *)job->out + n * size;                                            \
      for (int64_t i = 0; i < size; i++) out[i] = 0;                                        \
      EACH_WINDOW(p, {                                                                      \
        if (s0->begin >= s0->end || s1->begin >= s1->end || s2->begin >= s2->end) continue; \
        U part = (U)divide_##T(grad[at], divisor_##T(p, s0, s1, s2));                       \
        EACH_ELEMENT(p, { out[from] = (T)((U)out[from] + part); })                          \
      })                                                                                    \
    }                                                                                       \
  }
MAX_BODY(float, -INFINITY)
MAX_BODY(double, -INFINITY)
MAX_BODY(int64_t, INT64_MIN)
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
    Job job = {p, tensor_data(packed), tensor_data(to), index};
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
} Positions;

#define POSITION_BODIES(T, U)                                                                                        \
  static void put_##T(void *context, int64_t begin, int64_t end) {                                                   \
    const Positions *p = context;                                                                                    \
    for (int64_t n = begin; n < end; n++) {                                                                          \
      T *out = (T *)(void *)p->out + n * p->size;                                                                    \
      for (int64_t i = n * p->results; i < (n + 1) * p->results; i++)                                                \
        out[p->index[i] - 1] = ((const T *)(const void *)p->x)[i];                                                   \
    }                                                                                                                \
  }                                                                                                                  \
  static void add_##T(void *context, int64_t begin, int64_t end) {                                                   \
    const Positions *p = context;                                                                                    \
    for (int64_t n = begin; n < end; n++) {                                                                          \
      T *out = (T *)(void *)p->out + n * p->size;                                                                    \
      for (int64_t i = n * p->results; i < (n + 1) * p->results; i++)                                                \
        out[p->index[i] - 1] = (T)((U)out[p->index[i] - 1] + (U)((const T *)(const void *)p->x)[i]);                 \
    }                                                                                                                \
  }                                                                                                                  \
  static void take_##T(void *context, int64_t begin, int64_t end) {                                                  \
    const Positions *p = context;                                                                                    \
    for (int64_t n = begin; n < end; n++) {                                                                          \
      const T *x = (const T *)(const void *)p->x + n * p->size;                                                      \
      for (int64_t i = n * p->results; i < (n + 1) * p->results; i++) ((T *)(void *)p->out)[i] = x[p->index[i] - 1]; \
    }                                                                                                                \
  }
POSITION_BODIES(float, float)
POSITION_BODIES(double, double)
POSITION_BODIES(int64_t, uint64_t)

static bool by_position(Tensor *x, Tensor *index, int64_t planes, int64_t size, bool clear, const PoolBody *body,
                        Tensor *out) {
  if (!position_check(index, size, false, -1)) return false;
  if (out->numel == 0) return true;
  DType lane = lane_of((DType)out->dtype);
  Tensor *packed = tensor_packed(x, lane), *at = packed ? tensor_packed(index, MT_I64) : NULL, *to = NULL;
  if (at) to = out->dtype == lane ? tensor_retain(out) : tensor_new(lane, out->ndim, out->shape, tensor_device(out));
  bool good = to != NULL && (!clear || cpu_fill(to, scalar_int(0)));
  if (good && index->numel > 0) {
    Positions p = {tensor_data(packed), tensor_data(to), (const int64_t *)(const void *)tensor_data(at),
                   index->numel / planes, size};
    int64_t work = p.results + size;
    parallel_for(planes, work < UNIT ? UNIT / work : 1, body[lane_number(lane)], &p);
  }
  if (good && to != out) good = tensor_copy_into(out, to);
  tensor_release(to);
  tensor_release(at);
  tensor_release(packed);
  return good;
}

bool cpu_plane_put(Tensor *x, Tensor *index, int64_t planes, bool add, Tensor *out) {
  static const PoolBody put[] = {put_float, put_double, put_int64_t}, sum[] = {add_float, add_double, add_int64_t};
  return by_position(x, index, planes, planes ? out->numel / planes : 0, true, add ? sum : put, out);
}
bool cpu_plane_take(Tensor *x, Tensor *index, int64_t planes, Tensor *out) {
  static const PoolBody take[] = {take_float, take_double, take_int64_t};
  return by_position(x, index, planes, planes ? x->numel / planes : 0, false, take, out);
}
