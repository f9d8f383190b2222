/* Cells of one row in each instruction set: sums of products to activated gates and new states, and gradients back. The
 * caller fills rows up to whole blocks, so that no loop needs an end of its own. Every element is read before it is
 * written, so results may lie over what they are made from. */
#include "cpu/recurrent.h"
#include "cpu/vmath.h"
#include <stddef.h>

#define EACH                                         \
  const int64_t end = n & -(int64_t)RECURRENT_BLOCK; \
  NO_OVERLAP                                         \
  for (int64_t k = 0; k < end; k++)

#define CELLS(T, S)                                                                                        \
  /* c' = f c + i g, h = o tanh(c') */                                                                     \
  static void lstm_##S(void *const *p, int64_t n) {                                                        \
    T *i = p[0], *f = p[1], *g = p[2], *o = p[3], *c = p[4], *h = p[5];                                    \
    EACH {                                                                                                 \
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
  /* c' and h are formed again from what they were made of. */                                             \
  static void lstm_back_##S(void *const *p, int64_t n) {                                                   \
    T *di = p[0], *df = p[1], *dg = p[2], *dout = p[3], *dc = p[4], *h = p[5];                             \
    const T *i = p[6], *f = p[7], *g = p[8], *o = p[9], *c = p[10], *dh = p[11];                           \
    EACH {                                                                                                 \
      T in = i[k], keep = f[k], fresh = g[k], out = o[k], before = c[k], grad = dh[k];                     \
      T t = tanh_##S(keep * before + in * fresh), cell = dc[k] + grad * out * (1 - t * t);                 \
      di[k] = cell * fresh * in * (1 - in);                                                                \
      df[k] = cell * before * keep * (1 - keep);                                                           \
      dg[k] = cell * in * (1 - fresh * fresh);                                                             \
      dout[k] = grad * t * out * (1 - out);                                                                \
      dc[k] = cell * keep;                                                                                 \
      h[k] = out * t;                                                                                      \
    }                                                                                                      \
  }                                                                                                        \
  /* n = tanh(x's + r h's), h' = (h - n) z + n */                                                          \
  static void gru_##S(void *const *p, int64_t n) {                                                         \
    T *reset = p[0], *update = p[1], *fresh = p[2], *h = p[3];                                             \
    const T *from_h = p[4], *before = p[5];                                                                \
    EACH {                                                                                                 \
      T a = sigmoid_##S(reset[k]), z = sigmoid_##S(update[k]), v = tanh_##S(fresh[k] + a * from_h[k]);     \
      reset[k] = a;                                                                                        \
      update[k] = z;                                                                                       \
      fresh[k] = v;                                                                                        \
      h[k] = (before[k] - v) * z + v;                                                                      \
    }                                                                                                      \
  }                                                                                                        \
  static void gru_back_##S(void *const *p, int64_t n) {                                                    \
    T *dv = p[0], *da = p[1], *dz = p[2], *dfrom = p[3], *dh = p[4];                                       \
    const T *reset = p[5], *update = p[6], *fresh = p[7], *from_h = p[8], *before = p[9];                  \
    EACH {                                                                                                 \
      T a = reset[k], z = update[k], v = fresh[k], grad = dh[k], sum = grad * (1 - z) * (1 - v * v);       \
      dv[k] = sum;                                                                                         \
      da[k] = sum * from_h[k] * a * (1 - a);                                                               \
      dz[k] = grad * (before[k] - v) * z * (1 - z);                                                        \
      dfrom[k] = sum * a;                                                                                  \
      dh[k] = grad * z;                                                                                    \
    }                                                                                                      \
  }                                                                                                        \
  static void tanh_cells_##S(void *const *p, int64_t n) {                                                  \
    T *h = p[0];                                                                                           \
    EACH h[k] = tanh_##S(h[k]);                                                                            \
  }                                                                                                        \
  static void relu_cells_##S(void *const *p, int64_t n) {                                                  \
    T *h = p[0];                                                                                           \
    EACH h[k] = 0 > h[k] ? 0 : h[k];                                                                       \
  }                                                                                                        \
  static void tanh_back_##S(void *const *p, int64_t n) {                                                   \
    T *d = p[0];                                                                                           \
    const T *h = p[1], *dh = p[2];                                                                         \
    EACH d[k] = dh[k] * (1 - h[k] * h[k]);                                                                 \
  }                                                                                                        \
  static void relu_back_##S(void *const *p, int64_t n) {                                                   \
    T *d = p[0];                                                                                           \
    const T *h = p[1], *dh = p[2];                                                                         \
    EACH d[k] = h[k] <= 0 ? 0 : dh[k];                                                                     \
  }                                                                                                        \
  static void add_##S(void *const *p, int64_t n) {                                                         \
    T *to = p[0];                                                                                          \
    const T *from = p[1];                                                                                  \
    EACH to[k] += from[k];                                                                                 \
  }

CELLS(float, f32)
#if defined(__AVX2__) /* float64 spends its time in libm: the lowest set serves all */
#define CELLS_F64 \
  { NULL }
#else
CELLS(double, f64)
#define CELLS_F64                                                                                                 \
  {                                                                                                               \
    lstm_f64, gru_f64, tanh_cells_f64, relu_cells_f64, lstm_back_f64, gru_back_f64, tanh_back_f64, relu_back_f64, \
        add_f64                                                                                                   \
  }
#endif

extern const RecurrentTable VEC(recurrent_table);
const RecurrentTable VEC(recurrent_table) = {{{lstm_f32, gru_f32, tanh_cells_f32, relu_cells_f32, lstm_back_f32,
                                               gru_back_f32, tanh_back_f32, relu_back_f32, add_f32},
                                              CELLS_F64}};
