/* One step's cells in each instruction set: sums of products to activated gates and new states, and gradients back.
 * Every operand is read before it is written at the same element, so results may lie over what they are made from. */
#include "cpu/recurrent.h"
#include "cpu/vmath.h"
#include <stddef.h>

#define CELLS(T, S)                                                                                          \
  /* c' = f c + i g, h = o tanh(c') */                                                                       \
  static void lstm_##S(const RecurrentCells *s) {                                                            \
    const int64_t n = s->hidden;                                                                             \
    for (int64_t r = 0; r < s->rows; r++) {                                                                  \
      T *i = (T *)s->gates + r * s->gate_row, *f = i + n, *g = f + n, *o = g + n;                            \
      T *c = (T *)s->c + r * n, *h = (T *)s->h + r * n;                                                      \
      NO_OVERLAP                                                                                             \
      for (int64_t k = 0; k < n; k++) {                                                                      \
        T in = sigmoid_##S(i[k]), keep = sigmoid_##S(f[k]), fresh = tanh_##S(g[k]), out = sigmoid_##S(o[k]); \
        T cell = keep * c[k] + in * fresh;                                                                   \
        i[k] = in;                                                                                           \
        f[k] = keep;                                                                                         \
        g[k] = fresh;                                                                                        \
        o[k] = out;                                                                                          \
        c[k] = cell;                                                                                         \
        h[k] = out * tanh_##S(cell);                                                                         \
      }                                                                                                      \
    }                                                                                                        \
  }                                                                                                          \
  /* c' is formed again from what it was made of. h gets o tanh(c'), which a projection's weights need. */   \
  static void lstm_back_##S(const RecurrentCells *s) {                                                       \
    const int64_t n = s->hidden;                                                                             \
    for (int64_t r = 0; r < s->rows; r++) {                                                                  \
      const T *i = (const T *)s->gates + r * s->gate_row, *f = i + n, *g = f + n, *o = g + n;                \
      const T *c = (const T *)s->c_before + r * n, *dh = (const T *)s->dh + r * n;                           \
      T *dc = (T *)s->dc + r * n, *h = (T *)s->h + r * s->h_row;                                             \
      T *di = (T *)s->dgates + r * s->dgate_row, *df = di + n, *dg = df + n, *dout = dg + n;                 \
      NO_OVERLAP                                                                                             \
      for (int64_t k = 0; k < n; k++) {                                                                      \
        T in = i[k], keep = f[k], fresh = g[k], out = o[k], before = c[k];                                   \
        T t = tanh_##S(keep * before + in * fresh), grad = dh[k];                                            \
        T cell = dc[k] + grad * out * (1 - t * t);                                                           \
        di[k] = cell * fresh * in * (1 - in);                                                                \
        df[k] = cell * before * keep * (1 - keep);                                                           \
        dg[k] = cell * in * (1 - fresh * fresh);                                                             \
        dout[k] = grad * t * out * (1 - out);                                                                \
        dc[k] = cell * keep;                                                                                 \
        h[k] = out * t;                                                                                      \
      }                                                                                                      \
    }                                                                                                        \
  }                                                                                                          \
  /* n = tanh(x's + r h's), h' = (h - n) z + n */                                                            \
  static void gru_##S(const RecurrentCells *s) {                                                             \
    const int64_t n = s->hidden;                                                                             \
    for (int64_t r = 0; r < s->rows; r++) {                                                                  \
      T *reset = (T *)s->gates + r * s->gate_row, *update = reset + n, *fresh = update + n;                  \
      const T *from_h = fresh + n, *before = (const T *)s->h_before + r * n;                                 \
      T *h = (T *)s->h + r * n;                                                                              \
      NO_OVERLAP                                                                                             \
      for (int64_t k = 0; k < n; k++) {                                                                      \
        T a = sigmoid_##S(reset[k]), z = sigmoid_##S(update[k]), v = tanh_##S(fresh[k] + a * from_h[k]);     \
        reset[k] = a;                                                                                        \
        update[k] = z;                                                                                       \
        fresh[k] = v;                                                                                        \
        h[k] = (before[k] - v) * z + v;                                                                      \
      }                                                                                                      \
    }                                                                                                        \
  }                                                                                                          \
  static void gru_back_##S(const RecurrentCells *s) {                                                        \
    const int64_t n = s->hidden;                                                                             \
    for (int64_t r = 0; r < s->rows; r++) {                                                                  \
      const T *reset = (const T *)s->gates + r * s->gate_row, *update = reset + n, *fresh = update + n;      \
      const T *from_h = fresh + n, *before = (const T *)s->h_before + r * n;                                 \
      T *dh = (T *)s->dh + r * n;                                                                            \
      T *dv = (T *)s->dgates + r * s->dgate_row, *da = dv + n, *dz = da + n, *dfrom = dz + n;                \
      NO_OVERLAP                                                                                             \
      for (int64_t k = 0; k < n; k++) {                                                                      \
        T a = reset[k], z = update[k], v = fresh[k], grad = dh[k];                                           \
        T dsum = grad * (1 - z) * (1 - v * v);                                                               \
        dv[k] = dsum;                                                                                        \
        da[k] = dsum * from_h[k] * a * (1 - a);                                                              \
        dz[k] = grad * (before[k] - v) * z * (1 - z);                                                        \
        dfrom[k] = dsum * a;                                                                                 \
        dh[k] = grad * z;                                                                                    \
      }                                                                                                      \
    }                                                                                                        \
  }                                                                                                          \
  static void tanh_cells_##S(const RecurrentCells *s) {                                                      \
    for (int64_t r = 0; r < s->rows; r++) {                                                                  \
      T *h = (T *)s->h + r * s->hidden, *sum = (T *)s->gates + r * s->gate_row;                              \
      NO_OVERLAP                                                                                             \
      for (int64_t k = 0; k < s->hidden; k++) h[k] = tanh_##S(sum[k]);                                       \
    }                                                                                                        \
  }                                                                                                          \
  static void relu_cells_##S(const RecurrentCells *s) {                                                      \
    for (int64_t r = 0; r < s->rows; r++) {                                                                  \
      T *h = (T *)s->h + r * s->hidden, *sum = (T *)s->gates + r * s->gate_row;                              \
      NO_OVERLAP                                                                                             \
      for (int64_t k = 0; k < s->hidden; k++) h[k] = sum[k] < 0 ? 0 : sum[k];                                \
    }                                                                                                        \
  }                                                                                                          \
  static void tanh_back_##S(const RecurrentCells *s) {                                                       \
    for (int64_t r = 0; r < s->rows; r++) {                                                                  \
      const T *h = (const T *)s->h + r * s->hidden;                                                          \
      T *dh = (T *)s->dh + r * s->hidden, *d = (T *)s->dgates + r * s->dgate_row;                            \
      NO_OVERLAP                                                                                             \
      for (int64_t k = 0; k < s->hidden; k++) d[k] = dh[k] * (1 - h[k] * h[k]);                              \
    }                                                                                                        \
  }                                                                                                          \
  static void relu_back_##S(const RecurrentCells *s) {                                                       \
    for (int64_t r = 0; r < s->rows; r++) {                                                                  \
      const T *h = (const T *)s->h + r * s->hidden;                                                          \
      T *dh = (T *)s->dh + r * s->hidden, *d = (T *)s->dgates + r * s->dgate_row;                            \
      NO_OVERLAP                                                                                             \
      for (int64_t k = 0; k < s->hidden; k++) d[k] = h[k] <= 0 ? 0 : dh[k];                                  \
    }                                                                                                        \
  }                                                                                                          \
  static void add_##S(void *to, const void *from, int64_t n) {                                               \
    T *a = to;                                                                                               \
    const T *b = from;                                                                                       \
    NO_OVERLAP                                                                                               \
    for (int64_t k = 0; k < n; k++) a[k] += b[k];                                                            \
  }

CELLS(float, f32)
#if defined(__AVX2__) /* float64 spends its time in libm: the lowest set serves all */
#define FORWARD_F64
#define BACK_F64
#define ADD_F64 NULL
#else
CELLS(double, f64)
#define FORWARD_F64 lstm_f64, gru_f64, tanh_cells_f64, relu_cells_f64
#define BACK_F64 lstm_back_f64, gru_back_f64, tanh_back_f64, relu_back_f64
#define ADD_F64 add_f64
#endif

extern const RecurrentTable VEC(recurrent_table);
const RecurrentTable VEC(recurrent_table) = {
    .forward = {{lstm_f32, gru_f32, tanh_cells_f32, relu_cells_f32}, {FORWARD_F64}},
    .back = {{lstm_back_f32, gru_back_f32, tanh_back_f32, relu_back_f32}, {BACK_F64}},
    .add = {add_f32, ADD_F64}};
