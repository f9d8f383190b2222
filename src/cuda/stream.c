/* Streams: the pools they come from, the current one of each device and thread, and who still uses memory.
 *
 * Streams of a pool are made when first asked for and handed out in turn, so that a script may ask for any number, and
 * never destroyed: memory, events and scripts may name them for ever. Work of different streams is in no order unless
 * events say so; the default stream does not wait for the others either. */
#include "cuda/driver.h"
#include <pthread.h>

typedef struct {
  cudaStream_t stream[STREAMS]; /* by number */
  bool made[STREAMS];
  unsigned next[POOL_PRIORITIES];
  Use *spare;
} Streams;

static Streams streams[MOST_DEVICES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local uint8_t current[MOST_DEVICES];

cudaStream_t stream_of_thread(int index) { return streams[index].stream[current[index]]; }
cudaStream_t driver_stream(int index) {
  optim_flush();
  return stream_of_thread(index);
}
int stream_current(int index) { return current[index]; }
void stream_set_current(int index, int number) {
  optim_flush();
  current[index] = (uint8_t)number;
}

bool stream_handle(int index, int number, cudaStream_t *stream) {
  pthread_mutex_lock(&lock);
  bool there = number == 0 || (number > 0 && number < STREAMS && streams[index].made[number]);
  if (there) *stream = streams[index].stream[number];
  pthread_mutex_unlock(&lock);
  return there || fail(MT_EARG, "there is no stream %d on cuda:%d", number, index);
}

int stream_take(int index, int *priority) {
  int least = 0, greatest = 0;
  if (!driver_use(index) ||
      !driver_check(cudaDeviceGetStreamPriorityRange(&least, &greatest), "cudaDeviceGetStreamPriorityRange"))
    return -1;
  if (greatest < 1 - POOL_PRIORITIES) greatest = 1 - POOL_PRIORITIES;
  int p = *priority < greatest ? greatest : *priority > 0 ? 0 : *priority;
  pthread_mutex_lock(&lock);
  Streams *s = &streams[index];
  int number = 1 - p * POOL_STREAMS + (int)(s->next[-p] % POOL_STREAMS);
  bool good =
      s->made[number] || driver_check(cudaStreamCreateWithPriority(&s->stream[number], cudaStreamNonBlocking, p),
                                      "cudaStreamCreateWithPriority");
  if (good) {
    s->made[number] = true;
    s->next[-p]++;
  }
  pthread_mutex_unlock(&lock);
  *priority = p;
  return good ? number : -1;
}

/* Uses of memory ------------------------------------------------------------------------------------------------------ */

bool use_add(Use **uses, int device, cudaStream_t stream) {
  for (Use *u = *uses; u; u = u->next)
    if (u->device == device && u->stream == stream) return true;
  pthread_mutex_lock(&lock);
  Use *u = streams[device].spare;
  if (u) streams[device].spare = u->next;
  pthread_mutex_unlock(&lock);
  if (!u) {
    u = mem_alloc(sizeof *u);
    if (!u) return false;
    if (!driver_use(device) ||
        !driver_check(cudaEventCreateWithFlags(&u->event, cudaEventDisableTiming), "cudaEventCreateWithFlags"))
      return mem_free(u), false;
  }
  u->next = *uses;
  u->device = device;
  u->stream = stream;
  u->marked = false;
  u->of = NULL;
  *uses = u;
  return true;
}

/* Records the event, or waits where that cannot be done; after a loss of the device neither is needed. */
static void mark(Use *u) {
  int before = -1;
  cudaGetDevice(&before);
  if (cudaSetDevice(u->device) != cudaSuccess || cudaEventRecord(u->event, u->stream) != cudaSuccess)
    cudaStreamSynchronize(u->stream);
  u->marked = true;
  if (before >= 0 && before != u->device) cudaSetDevice(before);
  cudaGetLastError();
}

bool use_passed(Use *u) {
  if (captures_underway() > 0) return false; /* events must not be recorded or asked then */
  if (!u->marked) mark(u);
  cudaError_t error = cudaEventQuery(u->event);
  if (error == cudaErrorNotReady) return cudaGetLastError(), false;
  if (error != cudaSuccess) use_wait(u);
  return true;
}

void use_wait(Use *u) {
  if (!u->marked) mark(u);
  if (cudaEventSynchronize(u->event) != cudaSuccess) cudaStreamSynchronize(u->stream);
  cudaGetLastError();
}

void use_drop(Use *u) {
  pthread_mutex_lock(&lock);
  u->next = streams[u->device].spare;
  streams[u->device].spare = u;
  pthread_mutex_unlock(&lock);
}
