/* Pointwise kernels: every formula for every type, in each instruction set, as one table.
 *
 * Nothing is written by hand here: FORMULAS gives the loops, the row functions and the entries. 16-bit floats run
 * float32's loops between conversions, with the same result in every set that has FMA. */
#include "cpu/copy.h"
#include "cpu/vec/pointwise_loops.h"

#define HALVES_f16 VEC(cast_table).f16
#define HALVES_bf16 VEC(cast_table).bf16

#if defined(__AVX512F__)
#define OF_SET MOST_FORMULAS
#else
#define OF_SET FORMULAS
#endif

static void loop_pow_f32(char **ptr, int64_t n, const void *context); /* for pow_scalar */
OF_SET(FLOAT_KERNEL, float, uint32_t, f32)
OF_SET(FLOAT_KERNEL, double, uint64_t, f64)
OF_SET(HALF_KERNEL, uint16_t, uint32_t, f16)
OF_SET(HALF_KERNEL, uint16_t, uint32_t, bf16)
OF_SET(INT_KERNEL, int64_t, uint64_t, i64)
#define I64_ENTRIES OF_SET(INT_ENTRY, MT_I64, , i64)

/* Loops over narrow integers are as fast as memory with short vectors: a set leaves them to the one below it. */
#if !defined(__AVX512F__)
FORMULAS(INT_KERNEL, int32_t, uint32_t, i32)
FORMULAS(INT_KERNEL, uint8_t, uint32_t, u8)
FORMULAS(BOOL_KERNEL, uint8_t, uint32_t, b8)
#define I32_ENTRIES FORMULAS(INT_ENTRY, MT_I32, , i32)
#define U8_ENTRIES FORMULAS(INT_ENTRY, MT_U8, , u8)
#define B8_ENTRIES FORMULAS(BOOL_ENTRY, MT_BOOL, , b8)
#else
#define I32_ENTRIES
#define U8_ENTRIES
#define B8_ENTRIES
#endif
#if !defined(__AVX2__)
FORMULAS(INT_KERNEL, int16_t, uint32_t, i16)
FORMULAS(INT_KERNEL, int8_t, uint32_t, i8)
#define I16_ENTRIES FORMULAS(INT_ENTRY, MT_I16, , i16)
#define I8_ENTRIES FORMULAS(INT_ENTRY, MT_I8, , i8)
#else
#define I16_ENTRIES
#define I8_ENTRIES
#endif

const PointwiseTable VEC(pointwise_table) = {
    .fn = {OF_SET(FLOAT_ENTRY, MT_F32, , f32) OF_SET(FLOAT_ENTRY, MT_F64, , f64) OF_SET(HALF_ENTRY, MT_F16, , f16)
               OF_SET(HALF_ENTRY, MT_BF16, , bf16)
                   I64_ENTRIES I32_ENTRIES I16_ENTRIES I8_ENTRIES U8_ENTRIES B8_ENTRIES}};
