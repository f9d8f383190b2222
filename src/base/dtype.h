/* Dtypes and scalars: the element types, their properties, and a number that is not a tensor. */
#ifndef MT_DTYPE_H
#define MT_DTYPE_H
#include "base/status.h"
#include <stdint.h>

/* Order matters to nobody; names and properties come from the table in dtype.c. */
typedef enum {
  MT_BOOL,
  MT_U8,
  MT_I8,
  MT_I16,
  MT_I32,
  MT_I64,
  MT_F16,
  MT_BF16,
  MT_F32,
  MT_F64,
  MT_DTYPES,
  MT_NO_DTYPE = 255
} DType;

/* Category for promotion: a higher category wins regardless of width. */
typedef enum { CAT_BOOL, CAT_INT, CAT_FLOAT } Category;

typedef struct {
  const char *name;        /* "float32" */
  const char *type_name;   /* "Float", as PyTorch's messages and "torch.FloatTensor" spell it */
  const char *alias;       /* "float", the method that casts to it */
  const char *safetensors; /* "F32" */
  uint8_t size;            /* bytes of an element */
  uint8_t category;
  bool is_signed;
} DTypeInfo;

extern const DTypeInfo dtype_info[MT_DTYPES];
static inline int dtype_size(DType d) { return dtype_info[d].size; }
static inline bool dtype_is_float(DType d) { return dtype_info[d].category == CAT_FLOAT; }
static inline bool dtype_is_integral(DType d) { return dtype_info[d].category == CAT_INT; }
/* "float32", "torch.float32" or "float" to a dtype; MT_NO_DTYPE when unknown. */
DType dtype_by_name(const char *name);
/* The dtype that holds both, by PyTorch's table (torch.promote_types). */
DType dtype_promote(DType a, DType b);

/* A Lua number or boolean: integers are int64, floats double. */
typedef struct {
  uint8_t category; /* Category */
  union {
    int64_t i;
    double d;
  };
} Scalar;

static inline Scalar scalar_int(int64_t i) { return (Scalar){.category = CAT_INT, .i = i}; }
static inline Scalar scalar_float(double d) { return (Scalar){.category = CAT_FLOAT, .d = d}; }
static inline Scalar scalar_bool(bool b) { return (Scalar){.category = CAT_BOOL, .i = b}; }
static inline double scalar_double(Scalar s) { return s.category == CAT_FLOAT ? s.d : (double)s.i; }
int64_t scalar_int64(Scalar s); /* truncates a float; saturates what does not fit */
/* Writes s as one element of dtype d / reads one element. Integers wrap as a C cast through int64 does. */
void scalar_store(Scalar s, DType d, void *to);
Scalar scalar_load(DType d, const void *from);

/* Conversions for the 16-bit floats, round to nearest even. */
float half_to_float(uint16_t h);
uint16_t float_to_half(float f);
static inline float bfloat_to_float(uint16_t h) {
  union {
    uint32_t u;
    float f;
  } v = {.u = (uint32_t)h << 16};
  return v.f;
}
static inline uint16_t float_to_bfloat(float f) {
  union {
    float f;
    uint32_t u;
  } v = {.f = f};
  uint32_t rounded = (v.u + 0x7fff + (v.u >> 16 & 1)) >> 16;
  return (uint16_t)(f != f ? 0x7fc0 : rounded);
}
#endif
