/* Instruction sets: sources in src/cpu/vec are compiled once per set and picked at load.
 *
 * Inside src/cpu/vec every exported name is written VEC(name), which appends the set's suffix; a file exports tables of
 * function pointers only. Outside, VEC_PICK(table) gives the best table this processor can run.
 * MOONTORCH_ISA=base|avx2|avx512 lowers the choice (tests, benchmarks). */
#ifndef MT_ISA_H
#define MT_ISA_H

#define VEC_JOIN_(a, b) a##_##b
#define VEC_JOIN(a, b) VEC_JOIN_(a, b)
#ifdef VEC_SET
#define VEC(name) VEC_JOIN(name, VEC_SET)
#endif

enum { ISA_BASE, ISA_AVX2, ISA_AVX512 };
int isa_level(void); /* found once; the same answer for the life of the process */

#if defined(__x86_64__)
#define VEC_TABLE(type, name) extern const type name##_base, name##_avx2, name##_avx512
#define VEC_PICK(name) \
  (isa_level() == ISA_AVX512 ? &name##_avx512 : isa_level() == ISA_AVX2 ? &name##_avx2 : &name##_base)
#else
#define VEC_TABLE(type, name) extern const type name##_base
#define VEC_PICK(name) (&name##_base)
#endif
#endif
