/* Instruction sets: what this processor can run. */
#include "cpu/isa.h"
#include <stdlib.h>
#include <string.h>

static int detect(void) {
  int level = ISA_BASE;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) level = ISA_AVX2; /* F16C is older than AVX2 */
  if (level == ISA_AVX2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    level = ISA_AVX512;
  const char *lower = getenv("MOONTORCH_ISA");
  if (lower && strcmp(lower, "base") == 0) level = ISA_BASE;
  if (lower && strcmp(lower, "avx2") == 0 && level > ISA_AVX2) level = ISA_AVX2;
#endif
  return level;
}

int isa_level(void) {
  static _Atomic int found; /* level + 1; every thread computes the same value */
  int level = found;
  if (level == 0) found = level = detect() + 1;
  return level - 1;
}
