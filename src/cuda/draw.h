/* Drawing on a device: what draw.c asks of draw.cu. */
#ifndef MT_CUDA_DRAW_H
#define MT_CUDA_DRAW_H
#include "cuda/fault.h"
#include "cuda/rows.h"

/* Where a launch's numbers begin: at `offset` of the stream of `seed`; in a graph, whose kernels are launched again and
 * again, `offset` past the pair that lies in the device's memory at `state`: seed, offset. */
typedef struct DrawFrom {
  uint64_t seed, offset;
  const uint64_t *state;
} DrawFrom;
CUDA_API int cuda_launch_draw_state(uint64_t *state, uint64_t seed, uint64_t offset, void *stream);

/* `blocks` blocks draw n packed elements; a thread's numbers are those of its own sequence. */
typedef struct DrawRun {
  void *to;
  int64_t n;
  unsigned blocks;
  DrawFrom from;
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
  DrawFrom from;
  int kind;
  FaultPlace fault;
} DrawByRun;
CUDA_API int cuda_launch_draw_by(int dtype, int to_dtype, const DrawByRun *run, void *stream);
enum { DRAW_THREADS = 256 };
#endif
