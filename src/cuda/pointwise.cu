/* Pointwise kernels: every row of FORMULAS and PLAIN_FORMULAS for every dtype.
 *
 * One kernel holds the formulas of a group for a type and takes the formula's number as an argument, which costs nothing
 * beside the memory; so there are some hundred kernels instead of thousands. Formulas that are called all the time have
 * kernels of their own: the number is then a constant, and the compiler folds the choice. Packed operands go through
 * 16 bytes at a time, others through rows_at. */
#include "cuda/kernel.cuh"
#include "cuda/math.cuh"
extern "C" {
#include "cpu/formula_ids.h"
}

/* Which formulas a kernel holds: those whose results have the inputs' type or bool, of either list. */
enum Group { LIGHT_SAME, LIGHT_BOOL, PLAIN_SAME, PLAIN_BOOL };
enum { ANY = -1 };

template <class T> struct Numbers { typename T::Value s, t, u; };

#define TO_BOOL_SAME 0
#define TO_BOOL_BOOL 1
#define ARM(name, result, expression) \
  case PW_##name:                     \
    if constexpr (TO_BOOL_##result == TO_BOOL) return (R)(expression);
#define FLOAT_ARM(T, U, S, name, operands, result, extra, types, floats, ints, bools) \
  FLOAT_##types(ARM, name, result, floats)
#define INT_ARM(T, U, S, name, operands, result, extra, types, floats, ints, bools) INT_##types(ARM, name, result, ints)
#define BOOL_ARM(T, U, S, name, operands, result, extra, types, floats, ints, bools) \
  BOOL_##types(ARM, name, result, bools)

/* The value of formula f; R is bool's byte or the type. zero takes what the CPU raises for: an integer divided by zero. */
#define COMPUTE(T, U, S, kind)                                                  \
  template <int TO_BOOL, bool PLAIN, class R>                                   \
  static __device__ inline R compute_##S(int f, T a, T b, T c, T s, T t, T u) { \
    int zero = 0;                                                               \
    (void)b, (void)c, (void)s, (void)t, (void)u, (void)zero;                    \
    if constexpr (PLAIN) {                                                      \
      switch (f) {                                                              \
        PLAIN_FORMULAS(kind##_ARM, T, U, S)                                     \
      default: return (R)0;                                                     \
      }                                                                         \
    } else {                                                                    \
      switch (f) {                                                              \
        FORMULAS(kind##_ARM, T, U, S)                                           \
      default: return (R)0;                                                     \
      }                                                                         \
    }                                                                           \
  }
COMPUTE(float, uint32_t, f32, FLOAT)
COMPUTE(double, uint64_t, f64, FLOAT)
COMPUTE(int64_t, uint64_t, i64, INT)
COMPUTE(int32_t, uint32_t, i32, INT)
COMPUTE(int16_t, uint32_t, i16, INT)
COMPUTE(int8_t, uint32_t, i8, INT)
COMPUTE(uint8_t, uint32_t, u8, INT)
COMPUTE(uint8_t, uint32_t, b8, BOOL)

#define TYPED(tag, S)                                                            \
  template <int TO_BOOL, bool PLAIN, class R, class V>                           \
  static __device__ inline R compute(tag, int f, V a, V b, V c, V s, V t, V u) { \
    return compute_##S<TO_BOOL, PLAIN, R>(f, a, b, c, s, t, u);                  \
  }
TYPED(F32, f32)
TYPED(F16, f32)
TYPED(BF16, f32)
TYPED(F64, f64)
TYPED(I64, i64)
TYPED(I32, i32)
TYPED(I16, i16)
TYPED(I8, i8)
TYPED(U8, u8)
TYPED(Bool, b8)

/* One element: from inputs as they lie in memory to the result as it lies there. */
template <class T, int GROUP, int FIXED>
static __device__ inline auto element(int formula, typename T::Memory a, typename T::Memory b, typename T::Memory c,
                                      const Numbers<T> &n) {
  constexpr int to_bool = GROUP == LIGHT_BOOL || GROUP == PLAIN_BOOL;
  constexpr bool plain = GROUP >= PLAIN_SAME;
  int f = FIXED == ANY ? formula : FIXED;
  if constexpr (to_bool) {
    return compute<1, plain, uint8_t>(T(), f, T::load(a), T::load(b), T::load(c), n.s, n.t, n.u);
  } else {
    if constexpr (plain && sizeof(typename T::Memory) == 2 && sizeof(typename T::Value) == 4)
      if (f == PW_nextafter) return next_half(a, b, T::store(INFINITY));
    return T::store(compute<0, plain, typename T::Value>(T(), f, T::load(a), T::load(b), T::load(c), n.s, n.t, n.u));
  }
}

template <class M> static __device__ inline M operand(const Rows &r, int k, int64_t offset) {
  if (r.ptr[k]) return *(const M *)(r.ptr[k] + offset);
  M value;
  memcpy(&value, &r.value[k], sizeof value);
  return value;
}

/* Operands of any strides. INPUTS 4: three, the first of which is bool (where). */
template <class T, int GROUP, int FIXED, int INPUTS, class Index>
__global__ void __launch_bounds__(THREADS) strided(int formula, Rows r, Numbers<T> n) {
  typedef typename T::Memory M;
  EACH_ELEMENT(i, r.numel) {
    int64_t at[ROWS_OPERANDS];
    rows_at<Index>(r, i, at);
    if constexpr (INPUTS == 4) {
      bool yes = operand<uint8_t>(r, 1, at[1]) != 0;
      *(M *)(r.ptr[0] + at[0]) = yes ? operand<M>(r, 2, at[2]) : operand<M>(r, 3, at[3]);
    } else {
      M a = operand<M>(r, 1, at[1]), b = a, c = a;
      if constexpr (INPUTS > 1) b = operand<M>(r, 2, at[2]);
      if constexpr (INPUTS > 2) c = operand<M>(r, 3, at[3]);
      auto y = element<T, GROUP, FIXED>(formula, a, b, c, n);
      *(decltype(y) *)(r.ptr[0] + at[0]) = y;
    }
  }
}

template <class M, int N> struct alignas(sizeof(M) * N) Pack { M at[N]; };

/* Packed operands, N elements of each at a time; the first threads do what is left over. */
template <class T, int GROUP, int FIXED, int INPUTS>
__global__ void __launch_bounds__(THREADS) packed(int formula, Rows r, Numbers<T> n) {
  typedef typename T::Memory M;
  constexpr int N = 16 / sizeof(M);
  typedef decltype(element<T, GROUP, FIXED>(0, M(), M(), M(), n)) R;
  int64_t packs = r.numel / N;
  EACH_ELEMENT(i, packs) {
    Pack<M, N> x[3];
    for (int k = 0; k < INPUTS; k++) {
      if (r.stride[k + 1][0] != 0)
        x[k] = ((const Pack<M, N> *)r.ptr[k + 1])[i];
      else
        for (int j = 0; j < N; j++) x[k].at[j] = operand<M>(r, k + 1, 0);
    }
    for (int k = INPUTS; k < 3; k++) x[k] = x[0];
    Pack<R, N> y;
    for (int j = 0; j < N; j++) y.at[j] = element<T, GROUP, FIXED>(formula, x[0].at[j], x[1].at[j], x[2].at[j], n);
    ((Pack<R, N> *)r.ptr[0])[i] = y;
  }
  EACH_ELEMENT(rest, r.numel - packs * N) {
    int64_t i = packs * N + rest;
    M x[3];
    for (int k = 0; k < 3; k++) {
      int from = k < INPUTS ? k : 0;
      x[k] = operand<M>(r, from + 1, i * r.stride[from + 1][0]);
    }
    ((R *)r.ptr[0])[i] = element<T, GROUP, FIXED>(formula, x[0], x[1], x[2], n);
  }
}

/* One row: results follow each other, inputs do too or are one element; all aligned for packs. */
static bool is_packed(const Rows &r, int size, int out_size) {
  if (r.ndim != 1 || r.stride[0][0] != out_size || (uintptr_t)r.ptr[0] % 16 != 0) return false;
  for (int k = 1; k < r.operands; k++) {
    bool one = r.stride[k][0] == 0;
    if (!one && (r.stride[k][0] != size || (uintptr_t)r.ptr[k] % 16 != 0)) return false;
  }
  return true;
}

template <class T, int GROUP, int FIXED, int INPUTS>
static int launch(int formula, const Rows &r, const Numbers<T> &n, void *stream) {
  constexpr int size = sizeof(typename T::Memory);
  constexpr int out_size = GROUP == LIGHT_BOOL || GROUP == PLAIN_BOOL ? 1 : size;
  if (INPUTS < 4 && is_packed(r, size, out_size)) {
    if constexpr (INPUTS < 4)
      CUDA_LAUNCH((packed<T, GROUP, FIXED, INPUTS>), blocks_for(r.numel, 16 / size), THREADS, 0, (cudaStream_t)stream,
                  formula, r, n);
  } else if (r.numel <= INT32_MAX) {
    CUDA_LAUNCH((strided<T, GROUP, FIXED, INPUTS, uint32_t>), blocks_for(r.numel, 1), THREADS, 0, (cudaStream_t)stream,
                formula, r, n);
  } else {
    CUDA_LAUNCH((strided<T, GROUP, FIXED, INPUTS, uint64_t>), blocks_for(r.numel, 1), THREADS, 0, (cudaStream_t)stream,
                formula, r, n);
  }
  return launched();
}

template <class T, int GROUP> static int launch_group(int f, const Rows &r, const Numbers<T> &n, void *stream) {
  switch (r.operands) {
  case 2: return launch<T, GROUP, ANY, 1>(f, r, n, stream);
  case 3: return launch<T, GROUP, ANY, 2>(f, r, n, stream);
  default: return launch<T, GROUP, ANY, 3>(f, r, n, stream);
  }
}

/* Formulas with kernels of their own. */
#define HOT_UNARY(X) X(relu) X(gelu) X(sigmoid) X(tanh) X(exp) X(silu)
#define HOT_BINARY(X) X(add) X(add_scaled) X(sub) X(mul) X(div) X(relu_back) X(gelu_back)
template <class T> static int launch_hot(int f, const Rows &r, const Numbers<T> &n, void *stream, bool *done) {
  *done = true;
  switch (f) {
#define HOT(name) \
  case PW_##name: return launch<T, LIGHT_SAME, PW_##name, 1>(f, r, n, stream);
    HOT_UNARY(HOT)
#undef HOT
#define HOT(name) \
  case PW_##name: return launch<T, LIGHT_SAME, PW_##name, 2>(f, r, n, stream);
    HOT_BINARY(HOT)
#undef HOT
  default: *done = false; return 0;
  }
}

#define KIND(T, U, S, name, operands, result, extra, types, ...) {KIND_##types, TO_BOOL_##result, INPUTS_##operands},
enum { HAS_FLOAT = 1, HAS_INT = 2, HAS_BOOL = 4, HAS_WIDE = 8 };
enum {
  KIND_F = HAS_FLOAT | HAS_WIDE,
  KIND_FI = KIND_F | HAS_INT,
  KIND_FIB = KIND_FI | HAS_BOOL,
  KIND_IB = HAS_INT | HAS_BOOL,
  KIND_I = HAS_INT,
  KIND_W = HAS_WIDE
};
enum { INPUTS_UNARY = 1, INPUTS_BINARY = 2, INPUTS_TERNARY = 3, INPUTS_CHOICE = 4 };
static const struct { uint8_t kinds, to_bool, inputs; } about[] = {FORMULAS(KIND, , , ) PLAIN_FORMULAS(KIND, , , )};

/* nextafter is written by hand for 16-bit floats; ldexp does not exist for them. */
static bool exists(int f, int dtype) {
  bool half = dtype == MT_F16 || dtype == MT_BF16, wide = dtype == MT_F32 || dtype == MT_F64;
  int needed = half ? HAS_FLOAT : wide ? HAS_WIDE : dtype == MT_BOOL ? HAS_BOOL : HAS_INT;
  return (about[f].kinds & needed) != 0 || (half && f == PW_nextafter);
}

template <class V> static V number(FormulaNumber x) {
  if constexpr (sizeof(V) == 4 && (V)0.5 != 0) return (V)x.f;
  if constexpr (sizeof(V) == 8 && (V)0.5 != 0) return (V)x.d;
  return (V)x.i;
}

CUDA_API int cuda_launch_pointwise(int formula, int dtype, const Rows *rows, const FormulaNumbers *numbers,
                                   void *stream) {
  if (formula < 0 || formula >= PW_FORMULAS || !exists(formula, dtype)) return -1;
  if (rows->numel == 0) return 0;
  int error = -1;
  with_type(dtype, [&](auto tag) {
    typedef decltype(tag) T;
    typedef typename T::Value V;
    Numbers<T> n = {number<V>(numbers->s), number<V>(numbers->t), number<V>(numbers->u)};
    bool done = false;
    if (about[formula].inputs == INPUTS_CHOICE) {
      error = launch<T, LIGHT_SAME, ANY, 4>(formula, *rows, n, stream);
      return;
    }
    if constexpr (sizeof(V) == 4 && (V)0.5 != 0) error = launch_hot<T>(formula, *rows, n, stream, &done);
    if (done) return;
    if (formula < PW_VECTORISED)
      error = about[formula].to_bool ? launch_group<T, LIGHT_BOOL>(formula, *rows, n, stream)
                                     : launch_group<T, LIGHT_SAME>(formula, *rows, n, stream);
    else
      error = about[formula].to_bool ? launch_group<T, PLAIN_BOOL>(formula, *rows, n, stream)
                                     : launch_group<T, PLAIN_SAME>(formula, *rows, n, stream);
  });
  return error;
}
