/* Pointwise, cast, fill and transposed copy kernels against plain references, on every instruction set of the machine.
 *
 * A formula is first computed on packed operands and held against long double (floats) or 128-bit integers; then every
 * other layout (strided, broadcast, in place, short) must give the same bits. Prints one line; non-zero on failure. */
#include "cpu/copy.h"
#include "cpu/isa.h"
#include "cpu/stream.h"
#include "pointwise_reference.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int passed, wrong;
static const char *set_name;

static void check(bool ok, const char *what, const char *dtype, const char *detail) {
  if (ok) {
    passed++;
  } else if (wrong++ < 40) {
    fprintf(stderr, "not ok: %s %s %s: %s\n", set_name, what, dtype, detail);
  }
}

static uint64_t state = 88172645463325252u;
static uint64_t random_bits(void) {
  state ^= state << 13;
  state ^= state >> 7;
  return state ^= state << 17;
}
static double uniform(double low, double high) { return low + (high - low) * (double)(random_bits() >> 11) * 0x1p-53; }

/* A value of any dtype, wide enough for all. */
typedef struct {
  long double f;
  int64_t i;
} Value;

static Value load(DType d, const void *from) {
  Scalar s = scalar_load(d, from);
  return s.category == CAT_FLOAT ? (Value){.f = s.d} : (Value){.f = (long double)s.i, .i = s.i};
}

/* Distance between two representable values of the type near y. */
static long double ulp_of(DType d, long double y) {
  int digits = d == MT_F64 ? 53 : d == MT_F32 ? 24 : d == MT_F16 ? 11 : 8;
  int lowest = d == MT_F64 ? -1074 : d == MT_F32 ? -149 : d == MT_F16 ? -24 : -133;
  if (y == 0) return ldexpl(1, lowest);
  int e = ilogbl(y) - digits + 1;
  return ldexpl(1, e > lowest ? e : lowest);
}
static long double largest_of(DType d) {
  return d == MT_F64 ? DBL_MAX : d == MT_F32 ? FLT_MAX : d == MT_F16 ? 65504 : 0x1.fep127L;
}

static bool near(DType d, Formula f, long double got, long double want, long double scale) {
  if (isnan(want)) return isnan(got);
  if (isnan(got)) return false;
  double ulps = allowed_ulp(f) + (d == MT_F16 || d == MT_BF16 ? 0.51 : d == MT_F64 && f == PW_sigmoid ? 1 : 0.01);
  long double m = fabsl(want) > scale ? fabsl(want) : scale;
  if (isinf(want) || fabsl(want) > largest_of(d)) { /* overflows, or is within rounding of it */
    if (got == want || (isinf(got) && (got > 0) == (want > 0))) return true;
    return !isinf(want) && fabsl(got - want) <= ulps * ulp_of(d, largest_of(d));
  }
  if (isinf(got)) return fabsl(want) > largest_of(d) - ulps * ulp_of(d, largest_of(d));
  if (got == 0 && want == 0) return true;
  if (scale > largest_of(d)) return true;
  return fabsl(got - want) <= ulps * ulp_of(d, m > largest_of(d) ? largest_of(d) : m);
}

enum { COUNT = 1400, ROOM = COUNT * 8 * 3 + 64 };

static const double special_float[] = {0.0,       -0.0,     1,         -1,    0.5,       -0.5,     1.5,   2.5,
                                       -2.5,      3,        -7,        10,    88.5,      -88.5,    89.5,  -104,
                                       1e-3,      1e-30,    -1e-40,    1e-45, 0x1p-126,  3e38,     -3e38, 1e10,
                                       12345.678, INFINITY, -INFINITY, NAN,   0.6931472, 3.1415927};
static const int64_t special_int[] = {0,   1,     -1,     2,         -2,        3,         7,         8,
                                      31,  32,    63,     64,        100,       -100,      127,       -128,
                                      255, 32767, -32768, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, INT64_MIN + 1};

/* Every pair of special values, then random ones. For halves the random ones stay where results are finite. */
static void fill_operand(DType d, int k, char *to) {
  int size = dtype_size(d), specials = dtype_is_float(d) ? (int)(sizeof special_float / sizeof *special_float)
                                                         : (int)(sizeof special_int / sizeof *special_int);
  for (int i = 0; i < COUNT; i++) {
    int j = k == 1 ? i % specials : k == 2 ? i / specials % specials : (i * 7 + i / specials) % specials;
    bool special = i < specials * specials;
    Scalar s;
    if (dtype_is_float(d))
      s = scalar_float(special ? special_float[j] : uniform(-1, 1) * (i % 3 == 0 ? 1 : i % 3 == 1 ? 9 : 300));
    else if (d == MT_BOOL)
      s = scalar_bool(random_bits() & 1);
    else
      s = scalar_int(special ? special_int[j] : i % 2 ? (int64_t)random_bits() : (int64_t)(random_bits() % 20) - 9);
    scalar_store(s, d, to + i * size);
  }
}

static bool same(DType d, const char *a, const char *b) {
  if (memcmp(a, b, (size_t)dtype_size(d)) == 0) return true;
  return dtype_is_float(d) && isnan(load(d, a).f) && isnan(load(d, b).f);
}

static void describe(char *text, size_t size, int i, const char *what, Value a, Value b, Value c, Value got,
                     long double want) {
  snprintf(text, size, "[%d] %s a=%La %lld b=%La %lld c=%Lg got %Lg (%La) want %Lg (%La)", i, what, a.f, (long long)a.i,
           b.f, (long long)b.i, c.f, got.f, got.f, want, want);
}

static char packed[4][ROOM], spread[4][ROOM], result[ROOM];

/* One formula for one dtype and context: packed against the reference, then every layout against packed. */
static void test_formula(RowFn row, Formula f, DType d, PointwiseContext context) {
  const PointwiseInfo *info = &pointwise_info[f];
  DType type[4] = {info->to_bool ? MT_BOOL : d, info->choice ? MT_BOOL : d, d, d};
  int64_t size[4];
  char *ptr[4];
  char text[400] = "";
  int flag = 0, want_flag = 0, operands = info->inputs + 1;
  context.zero = &flag;
  for (int k = 0; k < 4; k++) {
    size[k] = dtype_size(type[k]);
    ptr[k] = packed[k];
    if (k > 0) fill_operand(type[k], k, packed[k]);
  }
  row(ptr, size, COUNT, &context);
  bool ok = true;
  for (int i = 0; i < COUNT && ok; i++) {
    Value v[4];
    for (int k = 0; k < 4; k++) v[k] = load(type[k], packed[k] + i * size[k]);
    long double want, scale = 0;
    if (dtype_is_float(d)) {
      PointwiseContext rounded = context; /* the scalars as the kernel sees them */
      if (d != MT_F64) {
        rounded.s = scalar_float((float)scalar_double(context.s));
        rounded.t = scalar_float((float)scalar_double(context.t));
        rounded.u = scalar_float((float)scalar_double(context.u));
      }
      want = reference_float(f, d, v[1].f, v[2].f, v[3].f, &rounded, &scale);
      ok = unreferenced(f) || (info->to_bool ? v[0].i == (int64_t)want : near(d, f, v[0].f, want, scale));
      long double inner = inner_value(f, v[1].f, v[2].f, v[3].f, scalar_double(context.s));
      ok |= !isfinite(inner) || (d != MT_F64 && inner != 0 && (inner > FLT_MAX || inner < 0x1p-100L));
    } else {
      int64_t exact = wrap(info->to_bool ? MT_BOOL : d, reference_int(f, d, v[1].i, v[2].i, v[3].i, &context));
      want = (long double)exact;
      ok = v[0].i == exact;
      want_flag |= (info->extra == EXTRA_ZERO || info->extra == EXTRA_QUOTIENT) && v[2].i == 0;
    }
    if (!ok) describe(text, sizeof text, i, "packed", v[1], v[2], v[3], v[0], want);
  }
  check(ok, info->name, dtype_info[d].name, text);
  check(flag == want_flag, info->name, dtype_info[d].name, "division by zero is reported");

  /* Layouts: bit k of the mask spreads operand k; broadcast repeats element 5 of one input; lengths of all kinds. */
  static const int lengths[] = {0, 1, 3, 17, 512, 513, COUNT};
  for (int mask = 0; mask < 1 << operands; mask++) {
    int64_t stride[4];
    int n = mask == 0 ? 0 : lengths[mask % 7];
    for (int length = 0; length < (mask == 0 ? 7 : 1); length++) {
      if (mask == 0) n = lengths[length];
      for (int k = 0; k < operands; k++) {
        bool wide = mask >> k & 1;
        stride[k] = wide ? (k + 2) * size[k] : size[k];
        if (wide && k == 0) stride[0] = 3 * size[0];
        if (wide && k > 0) stride[k] = 2 * size[k] + (k == 2 ? size[k] : 0);
        memset(spread[k], 0x55, ROOM);
        for (int i = 0; k > 0 && i < n; i++)
          memcpy(spread[k] + i * stride[k], packed[k] + i * size[k], (size_t)size[k]);
        ptr[k] = spread[k];
      }
      row(ptr, stride, n, &context);
      ok = true;
      for (int i = 0; i < n; i++) ok &= same(type[0], packed[0] + i * size[0], spread[0] + i * stride[0]);
      for (int i = 0; i < n * stride[0] + 8; i++) /* nothing between and after was touched */
        ok &= (i < n * stride[0] && i % stride[0] < size[0]) || spread[0][i] == 0x55;
      snprintf(text, sizeof text, "layout %d, n = %d", mask, n);
      check(ok, info->name, dtype_info[d].name, text);
    }
  }
  for (int k = 1; k < operands; k++) {
    int64_t stride[4] = {size[0], size[1], size[2], size[3]};
    for (int j = 0; j < 4; j++) ptr[j] = j == 0 ? result : packed[j];
    for (int i = 0; i < COUNT; i++) memcpy(spread[k] + i * size[k], packed[k] + 5 * size[k], (size_t)size[k]);
    ptr[k] = spread[k];
    row(ptr, stride, COUNT, &context);
    ptr[0] = spread[0];
    ptr[k] = packed[k] + 5 * size[k];
    stride[k] = 0;
    row(ptr, stride, COUNT, &context);
    ok = true;
    for (int i = 0; i < COUNT; i++) ok &= same(type[0], result + i * size[0], spread[0] + i * size[0]);
    check(ok, info->name, dtype_info[d].name, "broadcast operand");
    if (type[k] != type[0]) continue;
    for (int wide = 1; wide <= 2; wide++) {
      for (int j = 0; j < 4; j++) ptr[j] = packed[j], stride[j] = size[j];
      for (int i = 0; i < COUNT; i++) memcpy(result + i * wide * size[0], packed[k] + i * size[0], (size_t)size[0]);
      ptr[0] = ptr[k] = result;
      stride[0] = stride[k] = wide * size[0];
      row(ptr, stride, COUNT, &context);
      ok = true;
      for (int i = 0; i < COUNT; i++) ok &= same(type[0], packed[0] + i * size[0], result + i * wide * size[0]);
      check(ok, info->name, dtype_info[d].name, "in place");
    }
  }
}

/* The formulas from number `first` to before number `past`. */
static void test_table(const RowFn rows[][MT_DTYPES], int first, int past) {
  static const double exponents[] = {2.5, 0.5, 1, 2, 3, -1, -0.5, 0, -2, 7};
  for (int f = first; f < past; f++) {
    for (int d = 0; d < MT_DTYPES; d++) {
      RowFn row = rows[f - first][d];
      if (!row) continue;
      Formula formula = (Formula)f;
      PointwiseContext c = {.s = scalar_float(dtype_is_float((DType)d) ? 1.7 : 3),
                            .has_s = true,
                            .t = scalar_float(6),
                            .has_t = true,
                            .u = scalar_float(0.7)};
      if (pointwise_info[f].extra == EXTRA_EXPONENT) {
        for (size_t e = 0; e < sizeof exponents / sizeof *exponents; e++) {
          if (!dtype_is_float((DType)d) && exponents[e] != floor(exponents[e])) continue;
          c.s = scalar_float(exponents[e]);
          test_formula(row, formula, (DType)d, c);
        }
      } else if (pointwise_info[f].extra == EXTRA_LIMITS) {
        for (int given = 0; given < 4; given++) {
          c.has_s = given & 1;
          c.has_t = given & 2;
          test_formula(row, formula, (DType)d, c);
        }
        c = (PointwiseContext){.s = scalar_float(8), .t = scalar_float(2), .has_s = true, .has_t = true};
        test_formula(row, formula, (DType)d, c);
        if (!dtype_is_float((DType)d)) continue;
        c.s = scalar_float(NAN);
        test_formula(row, formula, (DType)d, c);
      } else {
        test_formula(row, formula, (DType)d, c);
      }
    }
  }
}

/* Which slots exist, in a set or one below it, is part of the contract: floats have no bitwise operators, bool no
 * subtraction. */
static void test_slots(const PointwiseTable *const *table, int level) {
  static const struct {
    Formula f;
    const char *has;
  } slots[] = {/* b bool, i integers, f floats */
               {PW_add, "bif"},         {PW_sub, "if"},          {PW_mul, "bif"},  {PW_div, "f"},
               {PW_exp, "f"},           {PW_bitwise_and, "bi"},  {PW_lshift, "i"}, {PW_eq, "bif"},
               {PW_where, "bif"},       {PW_isnan, "bif"},       {PW_clamp, "if"}, {PW_relu, "if"},
               {PW_logical_xor, "bif"}, {PW_floor_divide, "if"}, {PW_lerp, "f"},   {PW_addcmul, "if"},
               {PW_sign, "bif"},        {PW_gelu, "f"},          {PW_elu, "f"},    {PW_leaky_relu, "f"}};
  for (size_t k = 0; k < sizeof slots / sizeof *slots; k++)
    for (int d = 0; d < MT_DTYPES; d++) {
      char kind = dtype_is_float((DType)d) ? 'f' : d == MT_BOOL ? 'b' : 'i';
      bool there = false;
      for (int l = level; l >= 0; l--) there = there || table[l]->fn[slots[k].f][d];
      check(there == (strchr(slots[k].has, kind) != NULL), pointwise_info[slots[k].f].name, dtype_info[d].name, "slot");
    }
}

/* Streams write what the ordinary rows write, at any start and length, and nothing beside. */
static void test_stream(const StreamTable *stream, const PointwiseTable *table) {
  static const Formula formulas[] = {PW_add, PW_sub, PW_mul, PW_div};
  for (int k = 0; k < 8; k++) {
    DType d = k < 4 ? MT_F32 : MT_F64;
    RowFn row = k < 4 ? stream->f32[k] : stream->f64[k - 4];
    if (!row) continue;
    int64_t size = dtype_size(d);
    fill_operand(d, 1, packed[1]);
    fill_operand(d, 2, packed[2]);
    for (int start = 0; start < 20; start += 3)
      for (int n = 0; n < COUNT - 20; n += n < 70 ? 1 : 400)
        for (int step = 0; step < 2; step++) {
          memset(packed[0], 0x55, ROOM);
          memset(spread[0], 0x55, ROOM);
          int64_t stride[3] = {size, size, step * size};
          char *ptr[3] = {packed[0] + start * size, packed[1] + start * size, packed[2] + size};
          table->fn[formulas[k % 4]][d](ptr, stride, n, NULL);
          ptr[0] = spread[0] + start * size;
          row(ptr, stride, n, NULL);
          bool ok = true;
          for (int i = 0; i < COUNT; i++) ok &= same(d, packed[0] + i * size, spread[0] + i * size);
          check(ok, "stream", dtype_info[d].name, pointwise_info[formulas[k % 4]].name);
        }
  }
}

/* Bytes from any start to any other, of any length, and nothing beside. */
static void test_stream_copy(const StreamTable *stream) {
  if (!stream->copy) return;
  for (int i = 0; i < 1000; i++) packed[1][i] = (char)(i * 37 + i / 256);
  for (int to = 0; to < 64; to += 7)
    for (int from = 0; from < 16; from += 5)
      for (int n = 0; n < 300; n++) {
        memset(packed[0], 0x55, 600);
        stream->copy(packed[0] + 64 + to, packed[1] + from, n);
        bool ok = memcmp(packed[0] + 64 + to, packed[1] + from, (size_t)n) == 0;
        for (int i = 0; i < 600; i++) ok &= (i >= 64 + to && i < 64 + to + n) || packed[0][i] == 0x55;
        check(ok, "stream copy", "", "values");
      }
}

/* Rows by way of the buffer write what the rows that they stand for write. */
static void test_stream_rows(void) {
  static char from[40000 * 8], want[40000 * 8], got[40000 * 8];
  if (!stream_pays(32 << 20)) return;
  for (size_t i = 0; i < sizeof from; i++) from[i] = (char)random_bits();
  for (int size = 1; size <= 8; size *= 2)
    for (int start = 0; start < 3; start++)
      for (int n = 0; n < 12000; n = n < 20 ? n + 1 : n * 3 + 1)
        for (int layout = 0; layout < 6;
             layout++) { /* the result packed or not; the source packed, apart or one element */
          int64_t stride[2] = {layout % 2 ? 3 * size : size, layout / 2 * size};
          char *in = from + start * size;
          bool ok = true;
          for (int kind = 0; kind < 3; kind++) {
            memset(want, 0x55, sizeof want);
            memset(got, 0x55, sizeof got);
            RowFn plain = kind == 0 ? fill_row(size) : copy_row(size);
            plain((char *[]){want + start * size, in}, stride, n, in);
            char *ptr[2] = {got + start * size, in};
            if (kind == 0) stream_fill_row(size)(ptr, stride, n, in);
            if (kind == 1) stream_copy_row(size)(ptr, stride, n, NULL);
            if (kind == 2) stream_row(ptr, stride, n, &(Streamed){plain, in, size, 2});
            ok &= memcmp(want, got, sizeof want) == 0;
          }
          check(ok, "stream rows", "", "values");
        }
}

/* The vector functions over every exponent: the largest error in ulp. */
static void test_ulp(const PointwiseTable *table, uint32_t step) {
  static const struct {
    Formula f;
    double (*exact)(double);
    double bound;
  } functions[] = {{PW_exp, exp, 2}, {PW_log, log, 2}, {PW_tanh, tanh, 2},   {PW_sigmoid, NULL, 2},
                   {PW_sin, sin, 1}, {PW_cos, cos, 1}, {PW_expm1, expm1, 2}, {PW_erf, erf, 2}};
  enum { BATCH = 4096 };
  static float x[BATCH], y[BATCH];
  for (int k = 0; k < 8; k++) {
    double worst = 0;
    float at = 0;
    bool ok = true;
    for (uint64_t bits = 0; bits < 1ull << 32;) {
      int n = 0;
      for (; n < BATCH && bits < 1ull << 32; n++, bits += step) {
        uint32_t u = (uint32_t)bits;
        memcpy(&x[n], &u, 4);
        if ((k == 4 || k == 5) && fabsf(x[n]) > 0x1p25f && n % 64 != 0)
          x[n] = 1.0f / x[n]; /* wide blocks are libm's; keep few */
      }
      char *ptr[2] = {(char *)y, (char *)x};
      table->fn[functions[k].f][MT_F32](ptr, (int64_t[]){4, 4}, n, NULL);
      for (int i = 0; i < n; i++) {
        double v = x[i], e = exp(-fabs(v));
        double want = functions[k].exact ? functions[k].exact(v) : v < 0 ? e / (1 + e) : 1 / (1 + e);
        if (isnan(want) || isnan(y[i]) || fabs(want) > FLT_MAX || isinf(y[i])) {
          bool good = isnan(want) ? isnan(y[i]) : isinf(y[i]) && fabs(want) > FLT_MAX * 0.9999999;
          if (!good) ok = false, at = x[i];
          continue;
        }
        if (want == 0 && (y[i] != 0 || signbit(want) != signbit(y[i]))) ok = false, at = x[i];
        double error = fabs(y[i] - want) / (double)ulp_of(MT_F32, want);
        if (error > worst) worst = error, at = x[i];
      }
    }
    char text[120];
    snprintf(text, sizeof text, "largest error %.3f ulp at %a", worst, at);
    check(ok && worst <= functions[k].bound, pointwise_info[functions[k].f].name, "float32", text);
    if (getenv("SHOW_ULP")) fprintf(stderr, "%s %s %s\n", set_name, pointwise_info[functions[k].f].name, text);
  }
}

/* Casts: the value of one element by plain rules, for every pair. */
static void reference_cast(DType from, const char *in, DType to, char *out) {
  Scalar s = scalar_load(from, in);
  if (s.category == CAT_FLOAT && (to == MT_I64 || to == MT_U8))
    s = scalar_int(s.d >= -0x1p63 && s.d < 0x1p63 ? (int64_t)s.d : INT64_MIN);
  else if (s.category == CAT_FLOAT && dtype_is_integral(to))
    s = scalar_int(s.d > -0x1p31 - 1 && s.d < 0x1p31 ? (int64_t)s.d : INT32_MIN);
  if (to == MT_F16 && from == MT_F64) s = scalar_float((float)s.d);
  if (to == MT_BF16 && from == MT_F64) s = scalar_float((float)s.d);
  scalar_store(s, to, out);
}

static void test_casts(const CastTable *table) {
  for (int from = 0; from < MT_DTYPES; from++)
    for (int to = 0; to < MT_DTYPES; to++) {
      RowFn row = from == to ? cast_row((DType)from, (DType)to) : table->cast[from][to];
      int64_t a = dtype_size((DType)from), b = dtype_size((DType)to);
      fill_operand((DType)from, 1, packed[1]);
      for (int i = 0; i < COUNT; i++) reference_cast((DType)from, packed[1] + i * a, (DType)to, packed[2] + i * b);
      for (int layout = 0; layout < 4; layout++) {
        int64_t stride[2] = {layout & 1 ? 3 * b : b, layout & 2 ? 2 * a : a};
        for (int i = 0; i < COUNT; i++) memcpy(spread[1] + i * stride[1], packed[1] + i * a, (size_t)a);
        char *ptr[2] = {spread[0], spread[1]};
        row(ptr, stride, COUNT, NULL);
        int bad = -1;
        for (int i = 0; i < COUNT && bad < 0; i++)
          if (!same((DType)to, packed[2] + i * b, spread[0] + i * stride[0])) bad = i;
        char text[200] = "";
        if (bad >= 0)
          snprintf(text, sizeof text, "to %s, layout %d, from %Lg: got %Lg, want %Lg", dtype_info[to].name, layout,
                   load((DType)from, packed[1] + bad * a).f, load((DType)to, spread[0] + bad * stride[0]).f,
                   load((DType)to, packed[2] + bad * b).f);
        check(bad < 0, "cast", dtype_info[from].name, text);
      }
    }
}

static void test_copies(void) {
  static char from[300 * 200 * 8], to[300 * 200 * 8];
  for (size_t i = 0; i < sizeof from; i++) from[i] = (char)random_bits();
  static const int sides[][2] = {{1, 1},   {3, 70},   {70, 3},    {15, 16},   {33, 32},  {64, 64},
                                 {65, 63}, {100, 61}, {170, 200}, {16, 1100}, {300, 15}, {129, 257}};
  for (int size = 1; size <= 8; size *= 2) {
    for (int k = 0; k < 24; k++) {
      int64_t rows = sides[k / 2][0], cols = sides[k / 2][1];
      memset(to, 0, sizeof to);
      copy_transposed(to, cols * size, from, rows * size, rows, cols, size, k % 2 == 1 && stream_pays(32 << 20));
      bool ok = true;
      for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
          ok &= memcmp(to + (i * cols + j) * size, from + (j * rows + i) * size, (size_t)size) == 0;
      check(ok && to[rows * cols * size % (int64_t)sizeof to] == (rows * cols * size < (int64_t)sizeof to ? 0 : to[0]),
            "copy_transposed", "", "values");
    }
    for (int step = 1; step <= 2; step++) {
      memset(to, 0x11, 4000);
      char *ptr[1] = {to};
      fill_row(size)(ptr, (int64_t[]){size * step}, 100, from);
      bool ok = true;
      for (int i = 0; i < 100 * size * step; i++)
        ok &= to[i] == (i % (size * step) < size ? from[i % (size * step)] : 0x11);
      check(ok && to[100 * size * step] == 0x11, "fill", "", "values");
    }
  }
}

int main(int argc, char **argv) {
  static const PointwiseTable *const tables[] = {
    &pointwise_table_base,
#if defined(__x86_64__)
    &pointwise_table_avx2,
    &pointwise_table_avx512
#endif
  };
  static const CastTable *const casts[] = {
    &cast_table_base,
#if defined(__x86_64__)
    &cast_table_avx2,
    &cast_table_avx512
#endif
  };
  static const StreamTable *const streams[] = {
    &stream_table_base,
#if defined(__x86_64__)
    &stream_table_avx2,
    &stream_table_avx512
#endif
  };
  static const char *const names[] = {"base", "avx2", "avx512"};
  uint32_t step = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 4999; /* 1 is exhaustive */
  for (int level = 0; level <= isa_level(); level++) {
    set_name = names[level];
    test_slots(tables, level);
    test_table(tables[level]->fn, 0, PW_VECTORISED);
    test_stream(streams[level], tables[level]);
    test_stream_copy(streams[level]);
    test_casts(casts[level]);
    test_ulp(tables[level], step);
  }
  set_name = "any";
  test_table(pointwise_plain, PW_VECTORISED, PW_FORMULAS);
  check(pointwise_row(PW_acosh, MT_F64) == pointwise_plain[PW_acosh - PW_VECTORISED][MT_F64], "pointwise_row", "",
        "plain");
  check(pointwise_row(PW_add, MT_F32) == tables[isa_level()]->fn[PW_add][MT_F32], "pointwise_row", "", "picks the set");
  test_copies();
  test_stream_rows();
  printf("%d passed, %d failed\n", passed, wrong);
  return wrong != 0;
}
