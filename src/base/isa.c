/* Instruction sets: what this processor can run, and what of it may be used. */
#include "base/isa.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { ON = 1, WARN_ONLY = 2, FILL = 4 };

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

static _Atomic int allowed; /* level + 1; 0 before the first look */
static _Atomic int flags = FILL;

/* Apart, so that the usual path saves no register. What another thread has set meanwhile stays. */
static __attribute__((noinline, cold)) int first_look(void) {
  int none = 0, level = detect() + 1;
  return (atomic_compare_exchange_strong(&allowed, &none, level) ? level : none) - 1;
}

int isa_level(void) {
  int level = allowed;
  return level ? level - 1 : first_look();
}

Deterministic deterministic(void) {
  int now = flags;
  return (Deterministic){.on = now & ON, .warn_only = now & WARN_ONLY, .fill = now & FILL};
}

void deterministic_set(Deterministic d) {
  int level = detect();
  flags = (d.on ? ON : 0) | (d.warn_only ? WARN_ONLY : 0) | (d.fill ? FILL : 0);
  allowed = (d.on && level > ISA_AVX2 ? ISA_AVX2 : level) + 1;
}
