/* Faults on the host's side: records, whose launch a ticket was, and the failures. */
#include "cuda/driver.h"
#include <pthread.h>
#include <string.h>

enum { TICKETS = 256, PLACE = 224, DEVICES = 64 };

typedef struct {
  Fault *record;              /* mapped memory of the host; NULL before the first launch that may meet a fault */
  char place[TICKETS][PLACE]; /* of the last launches; older ones are not named */
  struct {
    int ndim;
    int64_t shape[MT_MAX_DIMS];
  } of[TICKETS]; /* the tensor whose elements may be faults, see fault_shape; ndim -1: not said */
  int32_t next;
} Faults;

static Faults *faults[DEVICES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static Faults *open_faults(int index) {
  if (faults[index]) return faults[index];
  Faults *f = mem_zero(sizeof *f);
  void *memory = NULL;
  if (f && !driver_check(cudaHostAlloc(&memory, sizeof(Fault), cudaHostAllocMapped | cudaHostAllocPortable),
                         "cudaHostAlloc")) {
    mem_free(f);
    return NULL;
  }
  if (!f) return NULL;
  memset(memory, 0, sizeof(Fault));
  f->record = memory;
  return faults[index] = f;
}

bool fault_place(int index, FaultPlace *place) {
  char here[PLACE];
  void *seen = NULL;
  call_place(here, sizeof here);
  if (!driver_use(index)) return false;
  pthread_mutex_lock(&lock);
  Faults *f = open_faults(index);
  if (f && !driver_check(cudaHostGetDevicePointer(&seen, f->record, 0), "cudaHostGetDevicePointer")) f = NULL;
  if (f) {
    *place = (FaultPlace){seen, f->next};
    f->of[f->next % TICKETS].ndim = -1;
    memcpy(f->place[f->next % TICKETS], here, sizeof here);
    f->next = f->next == INT32_MAX ? 0 : f->next + 1;
  }
  pthread_mutex_unlock(&lock);
  return f != NULL;
}

void fault_shape(int index, FaultPlace place, const Tensor *t) {
  pthread_mutex_lock(&lock);
  Faults *f = faults[index];
  f->of[place.ticket % TICKETS].ndim = t->ndim;
  memcpy(f->of[place.ticket % TICKETS].shape, t->shape, sizeof(int64_t) * t->ndim);
  pthread_mutex_unlock(&lock);
}

static bool fail_fault(const Fault *fault, const char *place, int ndim, const int64_t *shape) {
  double number;
  memcpy(&number, &fault->value, sizeof number);
  switch (fault->kind) {
  case FAULT_POSITION:
    return ndim < 0 ? position_fail_in(place, fault->value, fault->limit, fault->dim)
                    : row_fail(fault->value, fault->element, ndim, shape, fault->limit);
  case FAULT_CHANCE: return rng_chance_fail(fault->element, number);
  case FAULT_RATE: return rng_rate_fail(fault->element, number);
  case FAULT_LABEL: return label_fail(fault->value, fault->element, ndim < 0 ? 0 : ndim, shape, fault->limit);
  case FAULT_PROBABILITY: return probability_fail(number, fault->element, fault->dim == 0);
  default: return fail(MT_ERUNTIME, "CUDA error: a kernel met a value that it cannot take");
  }
}

bool fault_check(int index) {
  Fault met = {FAULT_NONE};
  char place[PLACE] = "an earlier call";
  int ndim = -1;
  int64_t shape[MT_MAX_DIMS];
  pthread_mutex_lock(&lock);
  Faults *f = faults[index];
  if (f && *(volatile unsigned *)&f->record->kind > FAULT_BUSY) {
    met = *f->record;
    if (f->next - met.ticket <= TICKETS && f->next > met.ticket) {
      memcpy(place, f->place[met.ticket % TICKETS], PLACE);
      ndim = f->of[met.ticket % TICKETS].ndim;
      memcpy(shape, f->of[met.ticket % TICKETS].shape, sizeof shape);
    }
    f->record->kind = FAULT_NONE;
  }
  pthread_mutex_unlock(&lock);
  if (met.kind == FAULT_NONE) return true;
  if (!failed()) {
    fail_fault(&met, place, ndim, shape);
    fail_suffix(": met by %s on cuda:%d, which runs later than it is called; elements with such values were left out",
                place, index);
  }
  return false;
}
