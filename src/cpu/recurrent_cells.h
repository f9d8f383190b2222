/* What one row of cells computes, for every device: sums of products to activated gates and new states, and gradients
 * back. The arrays p are named in cpu/recurrent.h.
 *
 * Before it is included CELL_FN is what the functions are, and EACH begins the loop over k. Every element is read
 * before it is written, so results may lie over what they are made from. */
#define CELLS(T, S)                                                                                                   \
  /* c' = f c + i g, h = o tanh(c') */                                                                                \
  CELL_FN void lstm_##S(void *const *p, int64_t n) {                                                                  \
    T *i = (T *)p[0], *f = (T *)p[1], *g = (T *)p[2], *o = (T *)p[3], *c = (T *)p[4], *h = (T *)p[5];                 \
    EACH {                                                                                                            \
      T in = sigmoid_##S(i[k]), keep = sigmoid_##S(f[k]), fresh = tanh_##S(g[k]), out = sigmoid_##S(o[k]);            \
      T cell = keep * c[k] + in * fresh;                                                                              \
      i[k] = in;                                                                                                      \
      f[k] = keep;                                                                                                    \
      g[k] = fresh;                                                                                                   \
      o[k] = out;                                                                                                     \
      c[k] = cell;                                                                                                    \
      h[k] = out * tanh_##S(cell);                                                                                    \
    }                                                                                                                 \
  }                                                                                                                   \
  /* c' and h are formed again from what they were made of. */                                                        \
  CELL_FN void lstm_back_##S(void *const *p, int64_t n) {                                                             \
    T *di = (T *)p[0], *df = (T *)p[1], *dg = (T *)p[2], *dout = (T *)p[3], *dc = (T *)p[4], *h = (T *)p[5];          \
    const T *i = (const T *)p[6], *f = (const T *)p[7], *g = (const T *)p[8], *o = (const T *)p[9],                   \
            *c = (const T *)p[10], *dh = (const T *)p[11];                                                            \
    EACH {                                                                                                            \
      T in = i[k], keep = f[k], fresh = g[k], out = o[k], before = c[k], grad = dh[k];                                \
      T t = tanh_##S(keep * before + in * fresh), cell = dc[k] + grad * out * (1 - t * t);                            \
      di[k] = cell * fresh * in * (1 - in);                                                                           \
      df[k] = cell * before * keep * (1 - keep);                                                                      \
      dg[k] = cell * in * (1 - fresh * fresh);                                                                        \
      dout[k] = grad * t * out * (1 - out);                                                                           \
      dc[k] = cell * keep;                                                                                            \
      h[k] = out * t;                                                                                                 \
    }                                                                                                                 \
  }                                                                                                                   \
  /* n = tanh(x's + r h's), h' = (h - n) z + n */                                                                     \
  CELL_FN void gru_##S(void *const *p, int64_t n) {                                                                   \
    T *reset = (T *)p[0], *update = (T *)p[1], *fresh = (T *)p[2], *h = (T *)p[3];                                    \
    const T *from_h = (const T *)p[4], *before = (const T *)p[5];                                                     \
    EACH {                                                                                                            \
      T a = sigmoid_##S(reset[k]), z = sigmoid_##S(update[k]), v = tanh_##S(fresh[k] + a * from_h[k]);                \
      reset[k] = a;                                                                                                   \
      update[k] = z;                                                                                                  \
      fresh[k] = v;                                                                                                   \
      h[k] = (before[k] - v) * z + v;                                                                                 \
    }                                                                                                                 \
  }                                                                                                                   \
  CELL_FN void gru_back_##S(void *const *p, int64_t n) {                                                              \
    T *dv = (T *)p[0], *da = (T *)p[1], *dz = (T *)p[2], *dfrom = (T *)p[3], *dh = (T *)p[4];                         \
    const T *reset = (const T *)p[5], *update = (const T *)p[6], *fresh = (const T *)p[7], *from_h = (const T *)p[8], \
            *before = (const T *)p[9];                                                                                \
    EACH {                                                                                                            \
      T a = reset[k], z = update[k], v = fresh[k], grad = dh[k], sum = grad * (1 - z) * (1 - v * v);                  \
      dv[k] = sum;                                                                                                    \
      da[k] = sum * from_h[k] * a * (1 - a);                                                                          \
      dz[k] = grad * (before[k] - v) * z * (1 - z);                                                                   \
      dfrom[k] = sum * a;                                                                                             \
      dh[k] = grad * z;                                                                                               \
    }                                                                                                                 \
  }                                                                                                                   \
  CELL_FN void tanh_cells_##S(void *const *p, int64_t n) {                                                            \
    T *h = (T *)p[0];                                                                                                 \
    EACH h[k] = tanh_##S(h[k]);                                                                                       \
  }                                                                                                                   \
  CELL_FN void relu_cells_##S(void *const *p, int64_t n) {                                                            \
    T *h = (T *)p[0];                                                                                                 \
    EACH h[k] = 0 > h[k] ? 0 : h[k];                                                                                  \
  }                                                                                                                   \
  CELL_FN void tanh_back_##S(void *const *p, int64_t n) {                                                             \
    T *d = (T *)p[0];                                                                                                 \
    const T *h = (const T *)p[1], *dh = (const T *)p[2];                                                              \
    EACH d[k] = dh[k] * (1 - h[k] * h[k]);                                                                            \
  }                                                                                                                   \
  CELL_FN void relu_back_##S(void *const *p, int64_t n) {                                                             \
    T *d = (T *)p[0];                                                                                                 \
    const T *h = (const T *)p[1], *dh = (const T *)p[2];                                                              \
    EACH d[k] = h[k] <= 0 ? 0 : dh[k];                                                                                \
  }                                                                                                                   \
  CELL_FN void add_##S(void *const *p, int64_t n) {                                                                   \
    T *to = (T *)p[0];                                                                                                \
    const T *from = (const T *)p[1];                                                                                  \
    EACH to[k] += from[k];                                                                                            \
  }
