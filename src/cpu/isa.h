/* Instruction sets: sources in src/cpu/vec are compiled once per set and picked at each call.
 *
 * Inside src/cpu/vec every exported name is written VEC(name), which appends the set's suffix; a file exports tables of
 * function pointers only. Outside, VEC_PICK(table) gives the best table this processor can run, VEC_AT(level, table)
 * that of a lower set.
 * A call may run while another thread flips the switch in base/isa.h, so a kernel takes its table once. */
#ifndef MT_VEC_H
#define MT_VEC_H
#include "base/isa.h"

#define VEC_JOIN_(a, b) a##_##b
#define VEC_JOIN(a, b) VEC_JOIN_(a, b)
#ifdef VEC_SET
#define VEC(name) VEC_JOIN(name, VEC_SET)
#endif

#if defined(__x86_64__)
#define VEC_TABLE(type, name) extern const type name##_base, name##_avx2, name##_avx512
#define VEC_AT(level, name) ((level) == ISA_AVX512 ? &name##_avx512 : (level) == ISA_AVX2 ? &name##_avx2 : &name##_base)
#else
#define VEC_TABLE(type, name) extern const type name##_base
#define VEC_AT(level, name) ((void)(level), &name##_base)
#endif
#define VEC_PICK(name) VEC_AT(isa_level(), name)
#endif
