/* The cells of recurrent layers: the host's formulas (cpu/recurrent_cells.h), a thread for each unit of each row.
 *
 * One kernel does all that a step needs between its product and the next one's: states before are kept, gates
 * activated, states replaced. Threads side by side have units side by side, so each array is read and written in
 * whole lines. At most 12 numbers a thread: registers do not limit how many threads run. */
#include "cuda/kernel.cuh"
#include "cuda/math.cuh"
#include "cuda/recurrent.h"
extern "C" {
#include "cpu/recurrent.h"
}
#define CELL_FN static __device__ __forceinline__
#define EACH for (int64_t k = 0; k < n; k++)
#include "cpu/recurrent_cells.h"
CELLS(float, f32)
CELLS(double, f64)
#undef EACH

/* The cells of a mode, of one unit. */
#define CELL(name, call)                                                                          \
  static __device__ __forceinline__ void name##_cell(float, void *const *p) { call##_f32(p, 1); } \
  static __device__ __forceinline__ void name##_cell(double, void *const *p) { call##_f64(p, 1); }
CELL(lstm, lstm)
CELL(gru, gru)
CELL(tanh, tanh_cells)
CELL(relu, relu_cells)
CELL(lstm_back, lstm_back)
CELL(gru_back, gru_back)
CELL(tanh_back, tanh_back)
CELL(relu_back, relu_back)
CELL(add, add)

template <class V, int MODE> __global__ void __launch_bounds__(THREADS) forward(CellRun r) {
  EACH_ELEMENT(e, r.n * r.hidden) {
    int64_t row = e / r.hidden, unit = e % r.hidden;
    V *made = (V *)r.made, *h = (V *)r.h, v[6], before = h ? h[e] : (V)0;
    void *p[] = {&v[0], &v[1], &v[2], &v[3], &v[4], &v[5]};
    if (r.kept_h) ((V *)r.kept_h)[e] = before;
    if constexpr (MODE == RECURRENT_LSTM || MODE == RECURRENT_GRU) {
      V *gate = (V *)r.gates + row * r.gate_row + unit;
      for (int k = 0; k < (MODE == RECURRENT_LSTM ? 4 : 3); k++) v[k] = gate[k * r.hidden];
      if constexpr (MODE == RECURRENT_LSTM) {
        V *c = (V *)r.c + e;
        v[4] = *c;
        if (r.kept_c) ((V *)r.kept_c)[e] = v[4];
        lstm_cell(V(), p);
        *c = v[4];
      } else {
        const V *from = (const V *)r.from_h + row * 3 * r.hidden + unit;
        v[0] += from[0];
        v[1] += from[r.hidden];
        v[4] = from[2 * r.hidden] + (r.bias_fresh ? ((const V *)r.bias_fresh)[unit] : (V)0);
        v[5] = before;
        void *q[] = {&v[0], &v[1], &v[2], &v[3], &v[4], &v[5]};
        gru_cell(V(), q);
        V fresh = v[3];
        v[3] = v[4];
        v[5] = fresh;
      }
      for (int k = 0; k < 4 && r.keep; k++) gate[k * r.hidden] = v[k];
      made[e] = v[5];
    } else {
      v[5] = made[e];
      void *q[] = {&v[5]};
      if constexpr (MODE == RECURRENT_TANH)
        tanh_cell(V(), q);
      else
        relu_cell(V(), q);
      made[e] = v[5];
    }
    if (h) h[e] = v[5];
  }
}

template <class V, int MODE> __global__ void __launch_bounds__(THREADS) backward(CellRun r) {
  EACH_ELEMENT(e, r.n * r.hidden) {
    int64_t row = e / r.hidden, unit = e % r.hidden;
    V *dgate = (V *)r.dgates + row * r.gate_row + unit, *dh = (V *)r.dh + e;
    V grad = *dh + (r.grad ? ((const V *)r.grad)[e] : (V)0);
    if constexpr (MODE == RECURRENT_LSTM || MODE == RECURRENT_GRU) {
      const V *gate = (const V *)r.gates + row * r.gate_row + unit;
      V d[4], g[4];
      for (int k = 0; k < 4; k++) g[k] = gate[k * r.hidden];
      if constexpr (MODE == RECURRENT_LSTM) {
        V *dc = (V *)r.dc + e, of_cell = *dc, h, before = ((const V *)r.kept_c)[e];
        void *p[] = {&d[0], &d[1], &d[2], &d[3], &of_cell, &h, &g[0], &g[1], &g[2], &g[3], &before, &grad};
        lstm_back_cell(V(), p);
        *dc = of_cell;
        if (r.wide) ((V *)r.wide)[e] = h;
      } else {
        V before = ((const V *)r.kept_h)[e];
        void *p[] = {&d[0], &d[1], &d[2], &d[3], &grad, &g[0], &g[1], &g[2], &g[3], &before};
        gru_back_cell(V(), p);
        *dh = grad;
      }
      for (int k = 0; k < 4; k++) dgate[k * r.hidden] = d[k];
    } else {
      V h = ((const V *)r.made)[e], d;
      void *p[] = {&d, &h, &grad};
      if constexpr (MODE == RECURRENT_TANH)
        tanh_back_cell(V(), p);
      else
        relu_back_cell(V(), p);
      *dgate = d;
    }
  }
}

template <class V>
__global__ void __launch_bounds__(THREADS) sums(V *to, V *copy, const V *a, const V *b, int64_t n, int64_t both) {
  EACH_ELEMENT(k, n) {
    V v = a ? a[k] : (V)0, more = b && k < both ? b[k] : (V)0;
    void *p[] = {&v, &more};
    add_cell(V(), p);
    to[k] = v;
    if (copy) copy[k] = v;
  }
}

template <class V, int MODE> static int launch(bool back, const CellRun &r, void *stream) {
  if (back)
    CUDA_LAUNCH((backward<V, MODE>), blocks_for(r.n * r.hidden, 1), THREADS, 0, (cudaStream_t)stream, r);
  else
    CUDA_LAUNCH((forward<V, MODE>), blocks_for(r.n * r.hidden, 1), THREADS, 0, (cudaStream_t)stream, r);
  return launched();
}
template <class V> static int by_mode(int mode, bool back, const CellRun &r, void *stream) {
  switch (mode) {
  case RECURRENT_LSTM: return launch<V, RECURRENT_LSTM>(back, r, stream);
  case RECURRENT_GRU: return launch<V, RECURRENT_GRU>(back, r, stream);
  case RECURRENT_TANH: return launch<V, RECURRENT_TANH>(back, r, stream);
  case RECURRENT_RELU: return launch<V, RECURRENT_RELU>(back, r, stream);
  default: return -1;
  }
}
CUDA_API int cuda_launch_cells(int mode, bool back, int dtype, const CellRun *run, void *stream) {
  if (dtype != MT_F32 && dtype != MT_F64) return -1;
  return dtype == MT_F64 ? by_mode<double>(mode, back, *run, stream) : by_mode<float>(mode, back, *run, stream);
}

template <class V>
static int launch_sums(char *to, char *copy, const char *a, const char *b, int64_t n, int64_t both, void *stream) {
  CUDA_LAUNCH((sums<V>), blocks_for(n, 1), THREADS, 0, (cudaStream_t)stream, (V *)to, (V *)copy, (const V *)a,
              (const V *)b, n, both);
  return launched();
}
CUDA_API int cuda_launch_sums(int dtype, char *to, char *copy, const char *a, const char *b, int64_t n, int64_t both,
                              void *stream) {
  if (n == 0) return 0;
  return dtype == MT_F64 ? launch_sums<double>(to, copy, a, b, n, both, stream)
                         : launch_sums<float>(to, copy, a, b, n, both, stream);
}
