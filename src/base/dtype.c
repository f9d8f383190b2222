/* Dtypes: the property table, promotion, scalars, and conversions of the 16-bit floats.
 *
 * Invariant: promotion is commutative and keeps the higher category. */
#include "base/dtype.h"
#include <string.h>

/* clang-format off */
const DTypeInfo dtype_info[MT_DTYPES] = {
  [MT_BOOL] = {"bool", "Bool", "bool", "BOOL", 1, CAT_BOOL, false},
  [MT_U8] = {"uint8", "Byte", "byte", "U8", 1, CAT_INT, false},
  [MT_I8] = {"int8", "Char", "char", "I8", 1, CAT_INT, true},
  [MT_I16] = {"int16", "Short", "short", "I16", 2, CAT_INT, true},
  [MT_I32] = {"int32", "Int", "int", "I32", 4, CAT_INT, true},
  [MT_I64] = {"int64", "Long", "long", "I64", 8, CAT_INT, true},
  [MT_F16] = {"float16", "Half", "half", "F16", 2, CAT_FLOAT, true},
  [MT_BF16] = {"bfloat16", "BFloat16", "bfloat16", "BF16", 2, CAT_FLOAT, true},
  [MT_F32] = {"float32", "Float", "float", "F32", 4, CAT_FLOAT, true},
  [MT_F64] = {"float64", "Double", "double", "F64", 8, CAT_FLOAT, true},
};
/* clang-format on */

DType dtype_by_name(const char *name) {
  if (strncmp(name, "torch.", 6) == 0) name += 6;
  for (int d = 0; d < MT_DTYPES; d++)
    if (strcmp(name, dtype_info[d].name) == 0 || strcmp(name, dtype_info[d].alias) == 0) return (DType)d;
  return MT_NO_DTYPE;
}

/* clang-format off */
/* torch.promote_types. Rows and columns in the order of the enumeration. */
enum { B1 = MT_BOOL, U1 = MT_U8, I1 = MT_I8, I2 = MT_I16, I4 = MT_I32, I8 = MT_I64,
       F2 = MT_F16, G2 = MT_BF16, F4 = MT_F32, F8 = MT_F64 };
static const uint8_t promote[MT_DTYPES][MT_DTYPES] = {
  /*        b   u8  i8  i16 i32 i64 f16 bf  f32 f64 */
  [B1] = {B1, U1, I1, I2, I4, I8, F2, G2, F4, F8},
  [U1] = {U1, U1, I2, I2, I4, I8, F2, G2, F4, F8},
  [I1] = {I1, I2, I1, I2, I4, I8, F2, G2, F4, F8},
  [I2] = {I2, I2, I2, I2, I4, I8, F2, G2, F4, F8},
  [I4] = {I4, I4, I4, I4, I4, I8, F2, G2, F4, F8},
  [I8] = {I8, I8, I8, I8, I8, I8, F2, G2, F4, F8},
  [F2] = {F2, F2, F2, F2, F2, F2, F2, F4, F4, F8},
  [G2] = {G2, G2, G2, G2, G2, G2, F4, G2, F4, F8},
  [F4] = {F4, F4, F4, F4, F4, F4, F4, F4, F4, F8},
  [F8] = {F8, F8, F8, F8, F8, F8, F8, F8, F8, F8},
};
/* clang-format on */

DType dtype_promote(DType a, DType b) { return (DType)promote[a][b]; }

int64_t scalar_int64(Scalar s) {
  if (s.category != CAT_FLOAT) return s.i;
  if (s.d >= 0x1p63) return INT64_MAX;
  if (s.d < -0x1p63) return INT64_MIN;
  return s.d == s.d ? (int64_t)s.d : 0;
}

/* As float: an integer is rounded once, not through double. */
static float scalar_float32(Scalar s) { return s.category == CAT_FLOAT ? (float)s.d : (float)s.i; }

void scalar_store(Scalar s, DType d, void *to) {
  switch (d) {
  case MT_BOOL: *(uint8_t *)to = s.category == CAT_FLOAT ? s.d != 0 : s.i != 0; break;
  case MT_U8:
  case MT_I8: *(uint8_t *)to = (uint8_t)scalar_int64(s); break;
  case MT_I16: *(uint16_t *)to = (uint16_t)scalar_int64(s); break;
  case MT_I32: *(uint32_t *)to = (uint32_t)scalar_int64(s); break;
  case MT_I64: *(int64_t *)to = scalar_int64(s); break;
  case MT_F16: *(uint16_t *)to = float_to_half(scalar_float32(s)); break;
  case MT_BF16: *(uint16_t *)to = float_to_bfloat(scalar_float32(s)); break;
  case MT_F32: *(float *)to = scalar_float32(s); break;
  case MT_F64: *(double *)to = scalar_double(s); break;
  default: break;
  }
}

Scalar scalar_load(DType d, const void *from) {
  switch (d) {
  case MT_BOOL: return scalar_bool(*(const uint8_t *)from != 0);
  case MT_U8: return scalar_int(*(const uint8_t *)from);
  case MT_I8: return scalar_int(*(const int8_t *)from);
  case MT_I16: return scalar_int(*(const int16_t *)from);
  case MT_I32: return scalar_int(*(const int32_t *)from);
  case MT_I64: return scalar_int(*(const int64_t *)from);
  case MT_F16: return scalar_float(half_to_float(*(const uint16_t *)from));
  case MT_BF16: return scalar_float(bfloat_to_float(*(const uint16_t *)from));
  case MT_F32: return scalar_float(*(const float *)from);
  case MT_F64: return scalar_float(*(const double *)from);
  default: return scalar_int(0);
  }
}

typedef union {
  uint32_t u;
  float f;
} Bits;

float half_to_float(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000) << 16, magnitude = h & 0x7fff;
  Bits v;
  if (magnitude >= 0x7c00)
    v.u = 0x7f800000 | magnitude << 13;
  else if (magnitude >= 0x0400)
    v.u = (magnitude << 13) + (112u << 23);
  else
    v.f = (float)magnitude * 0x1p-24f;
  v.u |= sign;
  return v.f;
}

uint16_t float_to_half(float f) {
  Bits v = {.f = f};
  uint32_t sign = v.u >> 16 & 0x8000, u = v.u & 0x7fffffff;
  if (u >= 0x47800000) return (uint16_t)(sign | (u > 0x7f800000 ? 0x7e00 : 0x7c00));
  if (u < 0x38800000) { /* a float in [0.5, 1) counts units of 2^-24, as a subnormal half does: adding rounds */
    v.u = u;
    v.f += 0.5f;
    return (uint16_t)(sign | (v.u - 0x3f000000));
  }
  u += 0xfff + (u >> 13 & 1) - (112u << 23); /* half to even; a carry moves into the exponent, up to infinity */
  return (uint16_t)(sign | u >> 13);
}
