/* Included first by the sources of products: a multiply and an add may become one instruction there; the rest of the
 * library keeps them apart. */
#ifndef MT_CONTRACT_H
#define MT_CONTRACT_H
#ifdef __clang__
#pragma clang fp contract(fast)
#define UNROLL _Pragma("unroll")
#else
#pragma GCC optimize("fp-contract=fast")
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define INLINE static inline __attribute__((always_inline))
#endif
