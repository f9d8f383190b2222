/* Instruction sets: what this processor can run, what of it may be used, and the switch that takes the machine's part out
 * of results.
 *
 * MOONTORCH_ISA=base|avx2|avx512 lowers the choice (tests, benchmarks). Invariant: while the switch is on, no bit of a
 * result depends on the machine, as long as it has AVX2. Longer vectors sum in another order, so kernels run on AVX2 at
 * most; and what is cut by the size of a cache is cut for one size. The number of threads never changes a result. */
#ifndef MT_ISA_H
#define MT_ISA_H
#include <stdbool.h>

enum { ISA_BASE, ISA_AVX2, ISA_AVX512 };
int isa_level(void); /* the best set that may be used now */

/* What torch.use_deterministic_algorithms sets; of the process. At first only `fill` is. */
typedef struct {
  bool on, warn_only;
  bool fill; /* while it is on, memory that nobody has written holds NaN, the largest integer or true */
} Deterministic;
Deterministic deterministic(void);
void deterministic_set(Deterministic d);
#endif
