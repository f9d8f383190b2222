/* Sorting on a device: which way a line goes, and the memory that it takes. Lines have less than 2^32 elements; longer ones
 * are left to the host. */
#include "cuda/sort.h"
#include "cuda/driver.h"
#include <string.h>

enum {
  ONE_LINE = 1 << 20,
  FEW_LINES = 8
}; /* lines of more elements, and fewer of them, are not left to one block each */

static Tensor *memory(int index, int64_t bytes) {
  return tensor_new(MT_U8, 1, (int64_t[]){bytes > 0 ? bytes : 1}, (Device){MT_CUDA, index});
}

/* Parts of one block of memory, each on a line of its own. */
typedef struct {
  int64_t bytes;
  char *at;
} Room;
static int64_t room_add(Room *r, int64_t bytes) {
  int64_t at = r->bytes;
  r->bytes += (bytes + 255) / 256 * 256;
  return at;
}

bool pair_sort_open(PairSort *p, int index, int64_t n, int bytes) {
  memset(p, 0, sizeof *p);
  p->n = n;
  p->bytes = bytes;
  p->tiles = (n + SORT_TILE - 1) / SORT_TILE;
  if (n > UINT32_MAX) return left_to_host();
  Room room = {0, NULL};
  int64_t key0 = room_add(&room, n * 8), key1 = room_add(&room, n * 8), number0 = room_add(&room, n * 4),
          number1 = room_add(&room, n * 4), count = room_add(&room, p->tiles * SORT_DIGITS * 4),
          total = room_add(&room, SORT_DIGITS * 4);
  Tensor *own = memory(index, room.bytes);
  if (!own) return false;
  char *at = tensor_data(own);
  p->owned = own;
  p->key[0] = (uint64_t *)(void *)(at + key0);
  p->key[1] = (uint64_t *)(void *)(at + key1);
  p->number[0] = (uint32_t *)(void *)(at + number0);
  p->number[1] = (uint32_t *)(void *)(at + number1);
  p->count = (uint32_t *)(void *)(at + count);
  p->total = (uint32_t *)(void *)(at + total);
  return true;
}
void pair_sort_close(PairSort *p) { tensor_release(p->owned); }

static bool sort_long(DType d, SortRun *r, int index) {
  int64_t lines = r->outer * r->inner, n = lines * r->length, bytes = sort_key_bytes(dtype_size(d));
  r->tiles = (r->length + SORT_TILE - 1) / SORT_TILE;
  if (r->length > UINT32_MAX || lines * r->tiles > INT32_MAX || lines > INT32_MAX / SORT_DIGITS) return left_to_host();
  Room room = {0, NULL};
  int64_t key0 = room_add(&room, n * bytes), key1 = room_add(&room, n * bytes), number0 = room_add(&room, n * 4),
          number1 = room_add(&room, n * 4), count = room_add(&room, lines * r->tiles * SORT_DIGITS * 4),
          total = room_add(&room, lines * SORT_DIGITS * 4);
  Tensor *own = memory(index, room.bytes);
  if (!own) return false;
  char *at = tensor_data(own);
  r->key[0] = at + key0;
  r->key[1] = at + key1;
  r->number[0] = (uint32_t *)(void *)(at + number0);
  r->number[1] = (uint32_t *)(void *)(at + number1);
  r->count = (uint32_t *)(void *)(at + count);
  r->total = (uint32_t *)(void *)(at + total);
  bool good = driver_launched(cuda_launch_sort_long(d, r, driver_stream(index)), "sort");
  tensor_release(own);
  return good;
}

bool cuda_sort(Tensor *t, int dim, bool descending, int64_t k, Tensor *values, Tensor *position) {
  if (position->numel == 0) return true;
  DType d = (DType)t->dtype;
  int index = tensor_device(t).index;
  Tensor *packed = cuda_packed(t, d);
  if (!packed) return false;
  Lines l = lines_of(packed, dim);
  int64_t lines = l.outer * l.inner;
  SortRun r = {.x = tensor_data(packed),
               .values = tensor_data(values),
               .index = (int64_t *)(void *)tensor_data(position),
               .outer = l.outer,
               .length = l.length,
               .inner = l.inner,
               .k = k,
               .descending = descending};
  bool good = driver_use(index);
  if (good && lines > INT32_MAX)
    good = left_to_host();
  else if (good && l.length <= SORT_SHORT)
    good = driver_launched(cuda_launch_sort_short(d, &r, driver_stream(index)), "sort");
  else if (good && k <= SORT_FIRST && l.length <= UINT32_MAX && (l.length <= ONE_LINE || lines >= FEW_LINES))
    good = driver_launched(cuda_launch_sort_first(d, &r, driver_stream(index)), "sort");
  else if (good)
    good = sort_long(d, &r, index);
  tensor_release(packed);
  return good;
}

bool cuda_pick(Tensor *t, int dim, Pick which, int64_t k, Tensor *values, Tensor *position) {
  if (position->numel == 0) return true;
  DType d = (DType)t->dtype;
  Device here = tensor_device(t);
  Tensor *sorted = tensor_new(d, t->ndim, t->shape, here);
  Tensor *positions = sorted ? tensor_new(MT_I64, t->ndim, t->shape, here) : NULL;
  Lines l = lines_of(t, dim);
  bool good = positions && cuda_sort(t, dim, false, l.length, sorted, positions);
  if (good) {
    PickRun r = {.sorted = tensor_data(sorted),
                 .positions = (const int64_t *)(const void *)tensor_data(positions),
                 .values = tensor_data(values),
                 .index = (int64_t *)(void *)tensor_data(position),
                 .outer = l.outer,
                 .length = l.length,
                 .inner = l.inner,
                 .k = k,
                 .which = (int)which};
    good = driver_launched(cuda_launch_pick(d, &r, driver_stream(here.index)), "sort");
  }
  tensor_release(positions);
  tensor_release(sorted);
  return good;
}
