/* Square systems on a device: packed matrices, room for the blocks that share them, and which one is singular. */
#include "cuda/lu.h"
#include "cuda/driver.h"
#include "base/size.h"

enum { MOST_BLOCKS = 1024, ROOM = 1 << 25 }; /* numbers in all blocks' rooms, unless one block needs more */

static int64_t batches(const Tensor *t) {
  int64_t n = 1;
  for (int d = 0; d < t->ndim - 2; d++) n *= t->shape[d];
  return n;
}

/* Blocks that work at a time, from the shape alone, and a block's room. */
static bool plan(LuRun *r, int64_t *room) {
  int64_t wide;
  if (!size_add(r->n, r->m + 1, &wide) || !size_mul(r->n, wide, room)) return false;
  int64_t blocks = r->batch < MOST_BLOCKS ? r->batch : MOST_BLOCKS;
  if (*room > 0 && blocks > ROOM / *room) blocks = ROOM / *room > 1 ? ROOM / *room : 1;
  r->blocks = blocks;
  return size_mul(*room, blocks, room);
}

/* The host asks which matrix was singular, and waits. */
static bool read_singular(const Systems *s, int64_t n, Tensor *least) {
  int64_t found = INT64_MAX;
  if (least) {
    Scalar v = tensor_scalar(least);
    if (failed()) return false;
    found = v.i;
  }
  s->singular[0] = found == INT64_MAX ? 0 : (found - 1) / (n + 1);
  s->singular[1] = found == INT64_MAX ? 0 : found - s->singular[0] * (n + 1);
  return true;
}

bool cuda_systems(const Systems *s) {
  static const int kinds[] = {
      [SYSTEM_INVERSE] = LU_INVERSE, [SYSTEM_DET] = LU_DET, [SYSTEM_SLOGDET] = LU_SLOGDET, [SYSTEM_SOLVE] = LU_SOLVE};
  Device at = tensor_device(s->out);
  DType d = (DType)s->a->dtype;
  int64_t n = s->a->shape[s->a->ndim - 1], one = 1, room;
  LuRun r = {.n = n, .batch = batches(s->a), .least = s->least};
  r.m = s->b ? s->b->shape[s->b->ndim - 1] : s->kind == SYSTEM_INVERSE ? n : 0;
  if (s->singular) s->singular[0] = s->singular[1] = 0;
  if (r.batch == 0 || (s->out->numel == 0 && n == 0)) return true;
  if (!plan(&r, &room)) return false;
  Tensor *a = cuda_packed(s->a, d), *b = a && s->b ? cuda_packed(s->b, d) : NULL;
  Tensor *memory = b || !s->b ? tensor_new(MT_F64, 1, &room, at) : NULL;
  Tensor *least = memory && s->singular ? tensor_new(MT_I64, 1, &one, at) : NULL;
  bool good = a && memory && (least || !s->singular) && driver_use(at.index) &&
              (!least || cuda_fill(least, scalar_int(INT64_MAX)));
  if (good) {
    r.a = tensor_data(a);
    r.b = b ? tensor_data(b) : NULL;
    r.out = tensor_data(s->out);
    r.second = s->second ? tensor_data(s->second) : NULL;
    r.room = (double *)(void *)tensor_data(memory);
    r.singular = least ? (int64_t *)(void *)tensor_data(least) : NULL;
    good = driver_launched(cuda_launch_lu(kinds[s->kind], d, &r, driver_stream(at.index)), "linear algebra") &&
           (!least || read_singular(s, n, least));
  }
  tensor_release(least);
  tensor_release(memory);
  tensor_release(b);
  tensor_release(a);
  return good;
}
