/* Drawing on a device: what draw.c asks of draw.cu. */
#ifndef MT_CUDA_DRAW_H
#define MT_CUDA_DRAW_H
#include "cuda/fault.h"
#include "cuda/rows.h"

/* `blocks` blocks draw n packed elements; a thread's numbers are those of its own sequence from `offset` on. */
typedef struct DrawRun {
  void *to;
  int64_t n;
  unsigned blocks;
  uint64_t seed, offset;
  int kind; /* a DrawKind of cpu/draw.h */
  double a, b;
  uint64_t range; /* integers: low + a number below range, 0 stands for 2^64 */
  int64_t low;
  bool wide; /* of 64 bits, two for each call, where there are else four */
} DrawRun;
CUDA_API int cuda_launch_draw(int dtype, const DrawRun *run, void *stream);

/* The same by an element of `numbers` each, packed floats; kind is a DrawBy. */
typedef struct DrawByRun {
  const void *numbers;
  void *to;
  int64_t n;
  unsigned blocks;
  uint64_t seed, offset;
  int kind;
  FaultPlace fault;
} DrawByRun;
CUDA_API int cuda_launch_draw_by(int dtype, int to_dtype, const DrawByRun *run, void *stream);
enum { DRAW_THREADS = 256 };
#endif
