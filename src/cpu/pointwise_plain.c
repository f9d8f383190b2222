/* Pointwise kernels of PLAIN_FORMULAS: one table for every instruction set. */
#include "cpu/copy.h"
#include "cpu/vec/pointwise_loops.h"

/* Out of line: the choice of an instruction set in every row would double its size. */
static __attribute__((noinline)) const CastTable *casts(void) { return VEC_PICK(cast_table); }
#define HALVES_f16 casts()->f16
#define HALVES_bf16 casts()->bf16

DEFINE_PLAIN(float, f32)
DEFINE_PLAIN(double, f64)

PLAIN_FORMULAS(FLOAT_KERNEL, float, uint32_t, f32)
PLAIN_FORMULAS(FLOAT_KERNEL, double, uint64_t, f64)
PLAIN_FORMULAS(HALF_KERNEL, uint16_t, uint32_t, f16)
PLAIN_FORMULAS(HALF_KERNEL, uint16_t, uint32_t, bf16)
PLAIN_FORMULAS(INT_KERNEL, int64_t, uint64_t, i64)
PLAIN_FORMULAS(INT_KERNEL, int32_t, uint32_t, i32)
PLAIN_FORMULAS(INT_KERNEL, int16_t, uint32_t, i16)
PLAIN_FORMULAS(INT_KERNEL, int8_t, uint32_t, i8)
PLAIN_FORMULAS(INT_KERNEL, uint8_t, uint32_t, u8)
PLAIN_FORMULAS(BOOL_KERNEL, uint8_t, uint32_t, b8)

#define NEXT_HALF(S, infinity)                                                                       \
  static void loop_nextafter_##S(char **ptr, int64_t n, const void *context) {                       \
    uint16_t *out = (uint16_t *)(void *)ptr[0];                                                      \
    const uint16_t *a = (const uint16_t *)(void *)ptr[1], *b = (const uint16_t *)(void *)ptr[2];     \
    for (int64_t i = 0; i < n; i++) out[i] = next_half(a[i], b[i], infinity);                        \
  }                                                                                                  \
  static void row_nextafter_##S(char **ptr, const int64_t *stride, int64_t n, const void *context) { \
    run_rows(ptr, stride, n, context, loop_nextafter_##S, LAYOUT(2, 2, 2, 0));                       \
  }
NEXT_HALF(f16, 0x7c00)
NEXT_HALF(bf16, 0x7f80)

#undef ENTRY
#define ENTRY(dtype, S, name) [PW_##name - PW_VECTORISED][dtype] = row_##name##_##S,
const RowFn pointwise_plain[PW_FORMULAS - PW_VECTORISED][MT_DTYPES] = {
    PLAIN_FORMULAS(FLOAT_ENTRY, MT_F32, , f32) PLAIN_FORMULAS(FLOAT_ENTRY, MT_F64, , f64)
        PLAIN_FORMULAS(HALF_ENTRY, MT_F16, , f16) PLAIN_FORMULAS(HALF_ENTRY, MT_BF16, , bf16)
            PLAIN_FORMULAS(INT_ENTRY, MT_I64, , i64) PLAIN_FORMULAS(INT_ENTRY, MT_I32, , i32)
                PLAIN_FORMULAS(INT_ENTRY, MT_I16, , i16) PLAIN_FORMULAS(INT_ENTRY, MT_I8, , i8)
                    PLAIN_FORMULAS(INT_ENTRY, MT_U8, , u8) PLAIN_FORMULAS(BOOL_ENTRY, MT_BOOL, , b8)
                        ENTRY(MT_F16, f16, nextafter) ENTRY(MT_BF16, bf16, nextafter)};
