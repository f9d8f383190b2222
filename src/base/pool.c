/* Thread pool: workers that take chunks of one loop at a time beside the thread that asked for it.
 *
 * The gate says whether the current loop may still be joined and how many workers are inside: bit 0 open, 15 bits of
 * workers, then the loop's number. A worker joins by raising the count of an open gate; the caller closes the gate when
 * no chunk is left and waits for the count to fall to 0. Invariant: the job is written only while the gate is closed
 * and nobody is inside, so a worker that wakes late finds a closed gate and touches nothing. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "base/pool.h"
#include "base/status.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { MOST_THREADS = 256, MESSAGE = 1024, PARTS = 16 };
/* How long who waits stays awake: about what sleeping and being woken costs. Looks between two looks at the clock. */
enum { AWAKE_NS = 50000, LOOKS = 32 };
enum { OPEN = 1, INSIDE = 2, INSIDE_MASK = 0xfffe, LOOP = 0x10000 };

/* Neighbouring chunks, on a line of the cache of their own. */
typedef struct {
  _Alignas(64) _Atomic int64_t next; /* first chunk not taken */
  int64_t end;
} Part;

typedef struct {
  PoolBody body;
  void *context;
  int64_t n, grain, chunks;
  int parts;
  Part part[PARTS];
  _Atomic int failure; /* 0 none, 1 being written, 2 written */
  MtCode code;
  char message[MESSAGE];
} Job;

static Job shared; /* the workers' job, owned by who holds `busy` */
static _Atomic uint64_t gate;
static _Atomic bool busy;
static _Atomic int wanted; /* threads, 0 until first asked */
static _Atomic bool stop;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;    /* workers: a gate opened or stop was set */
static pthread_cond_t emptied = PTHREAD_COND_INITIALIZER; /* the caller: the last worker left */
static _Atomic int sleepers;
static _Atomic bool caller_sleeps;
/* Under the lock: the processor of who last woke sleepers; whether one of them woke there. */
static int caller_at = -1;
static bool crowded;

typedef struct {
  pthread_t thread;
  uint64_t seen; /* number of the last loop it knows of */
  bool asleep;   /* under the lock */
  int kept_off;  /* a processor it may not use now, or -1; the waker's while it sleeps, else its own */
} Worker;

/* Changed only by who holds `busy`. */
static Worker worker[MOST_THREADS];
static int workers, workers_for; /* running; and for how many wanted threads they were started */
static bool spin, fork_watched;

static PoolHost host_run;
static void *host_data;
static _Thread_local bool inside;

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/* Whether a wait, for which *until was 0 at first, shall go on awake. A thread that had to give up its processor meanwhile
 * is past its time, so a busy machine is not made busier. */
static bool stay_awake(int64_t *until) {
  struct timespec t;
  if (!spin || clock_gettime(CLOCK_MONOTONIC, &t) != 0) return false;
  int64_t now = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
  if (*until == 0) *until = now + AWAKE_NS;
  return now < *until;
}

static int cores(void) {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
  long n = sysconf(_SC_NPROCESSORS_ONLN);
  return n > 0 ? (int)(n < MOST_THREADS ? n : MOST_THREADS) : 1;
}

static int clamp_threads(long n) { return n < 1 ? 1 : n > MOST_THREADS ? MOST_THREADS : (int)n; }

int pool_threads(void) {
  int n = atomic_load_explicit(&wanted, memory_order_relaxed);
  if (n > 0) return n;
  const char *env = getenv("MOONTORCH_NUM_THREADS");
  char *end = NULL;
  long asked = env ? strtol(env, &end, 10) : 0;
  n = clamp_threads(env && end != env && *end == 0 && asked > 0 ? asked : cores());
  int none = 0;
  return atomic_compare_exchange_strong(&wanted, &none, n) ? n : none;
}

void pool_set_threads(int threads) { atomic_store(&wanted, clamp_threads(threads)); }
void pool_stay_out(void) { inside = true; }
bool pool_inside(void) { return inside; }

/* ---- running chunks ---- */

static void run_chunk(const Job *job, int64_t chunk) {
  int64_t b = chunk * job->grain, e = job->n - b > job->grain ? b + job->grain : job->n;
  job->body(job->context, b, e);
}

/* Moves this thread's pending failure into the job, the first one only. */
static void collect_failure(Job *job) {
  int none = 0;
  if (atomic_compare_exchange_strong(&job->failure, &none, 1)) {
    job->code = fail_code();
    snprintf(job->message, sizeof job->message, "%s", fail_message());
    atomic_store(&job->failure, 2);
  }
  fail_clear();
}

static void raise_failure(Job *job) {
  if (atomic_load_explicit(&job->failure, memory_order_acquire) == 2) fail(job->code, "%s", job->message);
}

static void job_init(Job *job, int64_t n, int64_t grain, PoolBody body, void *context, int threads) {
  job->body = body;
  job->context = context;
  job->n = n;
  job->grain = grain;
  job->chunks = (n - 1) / grain + 1;
  job->parts = threads < PARTS ? threads : PARTS;
  int64_t each = job->chunks / job->parts, more = job->chunks % job->parts, end = 0;
  for (int p = 0; p < job->parts; p++) {
    atomic_store_explicit(&job->part[p].next, end, memory_order_relaxed);
    job->part[p].end = end += each + (p < more);
  }
  atomic_store_explicit(&job->failure, 0, memory_order_relaxed);
}

/* Thread `number` begins with its own part, so that from loop to loop it meets what is in its cache, and then helps the
 * others. */
static void take_chunks(Job *job, int number) {
  for (int k = 0; k < job->parts; k++) {
    Part *part = &job->part[(number + k) % job->parts];
    for (int64_t i; (i = atomic_fetch_add_explicit(&part->next, 1, memory_order_relaxed)) < part->end;)
      run_chunk(job, i);
  }
}

static void run_serial(int64_t n, int64_t grain, PoolBody body, void *context) {
  for (int64_t b = 0; b < n;) {
    int64_t e = n - b > grain ? b + grain : n;
    body(context, b, e);
    b = e;
  }
}

/* What a host's scheduler calls: ranges of chunks. */
static void host_body(void *context, int64_t begin, int64_t end) {
  Job *job = context;
  bool outer = inside, pending = failed();
  inside = true;
  for (int64_t i = begin; i < end; i++) run_chunk(job, i);
  inside = outer;
  if (!pending && failed()) collect_failure(job);
}

/* ---- workers ---- */

/* Joins an open gate. */
static bool enter(void) {
  uint64_t g = atomic_load_explicit(&gate, memory_order_relaxed);
  while (g & OPEN)
    if (atomic_compare_exchange_weak_explicit(&gate, &g, g + INSIDE, memory_order_acquire, memory_order_relaxed))
      return true;
  return false;
}

static void leave(void) {
  uint64_t g = atomic_fetch_sub(&gate, INSIDE) - INSIDE;
  if ((g & (INSIDE_MASK | OPEN)) == 0 && atomic_load(&caller_sleeps)) {
    pthread_mutex_lock(&lock);
    pthread_cond_signal(&emptied);
    pthread_mutex_unlock(&lock);
  }
}

/* A kernel under a hypervisor takes a processor that has halted for busy: it starts or wakes a worker on its caller's, and
 * both share that for milliseconds. So a new worker, and once one was woken so all that sleep, may not run on the caller's
 * processor until they run elsewhere. Under the lock. */
static void keep_off(Worker *w, int processor) {
#ifdef __linux__
  cpu_set_t set;
  if (processor < 0 || pthread_getaffinity_np(w->thread, sizeof set, &set) != 0) return;
  if (w->kept_off >= 0) CPU_SET(w->kept_off, &set);
  w->kept_off = CPU_ISSET(processor, &set) ? processor : -1;
  CPU_CLR(processor, &set);
  if (CPU_COUNT(&set) == 0 || pthread_setaffinity_np(w->thread, sizeof set, &set) != 0) w->kept_off = -1;
#endif
}

/* Lets the calling worker use the processor that it was kept off. */
static void let_back(Worker *w) {
#ifdef __linux__
  cpu_set_t set;
  if (w->kept_off >= 0 && sched_getaffinity(0, sizeof set, &set) == 0) {
    CPU_SET(w->kept_off, &set);
    sched_setaffinity(0, sizeof set, &set);
  }
#endif
  w->kept_off = -1;
}

static int this_processor(void) {
#ifdef __linux__
  return sched_getcpu();
#else
  return -1;
#endif
}

/* Waits for a loop that is new to the worker, first awake, then asleep. False when the pool closes. */
static bool await_loop(Worker *w) {
  int64_t until = 0;
  do
    for (int i = 0; i < LOOKS; i++, relax()) {
      if (atomic_load_explicit(&stop, memory_order_relaxed)) return false;
      if (atomic_load_explicit(&gate, memory_order_relaxed) / LOOP != w->seen) return true;
    }
  while (stay_awake(&until));
  pthread_mutex_lock(&lock);
  atomic_fetch_add(&sleepers, 1);
  w->asleep = true;
  while (atomic_load(&gate) / LOOP == w->seen && !atomic_load(&stop)) pthread_cond_wait(&wake, &lock);
  w->asleep = false;
  atomic_fetch_sub(&sleepers, 1);
  if (this_processor() == caller_at) crowded = true;
  pthread_mutex_unlock(&lock);
  let_back(w);
  return !atomic_load(&stop);
}

static void *work(void *self) {
  Worker *w = self;
  inside = true;
  pthread_mutex_lock(&lock); /* its maker holds it until the worker's record is complete */
  pthread_mutex_unlock(&lock);
  let_back(w);
  while (await_loop(w)) {
    w->seen = atomic_load_explicit(&gate, memory_order_relaxed) / LOOP;
    if (!enter()) continue;
    take_chunks(&shared, (int)(w - worker) + 1);
    if (failed()) collect_failure(&shared);
    leave();
  }
  return NULL;
}

static void stop_workers(void) {
  if (workers == 0) return;
  pthread_mutex_lock(&lock);
  atomic_store(&stop, true);
  pthread_cond_broadcast(&wake);
  pthread_mutex_unlock(&lock);
  for (int i = 0; i < workers; i++) pthread_join(worker[i].thread, NULL);
  atomic_store(&stop, false);
  workers = 0;
}

/* In the child of a fork only the calling thread exists. */
static void forked(void) {
  pthread_mutex_init(&lock, NULL);
  pthread_cond_init(&wake, NULL);
  pthread_cond_init(&emptied, NULL);
  atomic_store(&gate, atomic_load(&gate) & ~(uint64_t)INSIDE_MASK);
  atomic_store(&sleepers, 0);
  atomic_store(&stop, false);
  workers = workers_for = 0;
  if (!inside) atomic_store(&busy, false);
}

/* Starts or stops workers so that `threads` share a loop; as many as the system gives. A refusal is not tried again
 * until another number is wanted. Workers take no signals but the ones that report their own faults. */
static void resize(int threads) {
  if (threads == workers_for) return;
  stop_workers();
  workers_for = threads;
  spin = threads <= cores();
  if (!fork_watched) fork_watched = pthread_atfork(NULL, NULL, forked) == 0;
  sigset_t block, before;
  sigfillset(&block);
  sigdelset(&block, SIGSEGV);
  sigdelset(&block, SIGBUS);
  sigdelset(&block, SIGFPE);
  sigdelset(&block, SIGILL);
  sigdelset(&block, SIGTRAP);
  pthread_sigmask(SIG_SETMASK, &block, &before);
  pthread_mutex_lock(&lock);
  for (Worker *w = worker; workers < threads - 1; w++, workers++) {
    w->seen = atomic_load(&gate) / LOOP;
    w->asleep = false;
    w->kept_off = -1;
    if (pthread_create(&w->thread, NULL, work, w) != 0) break;
    keep_off(w, this_processor());
  }
  pthread_mutex_unlock(&lock);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void wake_workers(int64_t most) {
  if (atomic_load(&sleepers) == 0) return;
  pthread_mutex_lock(&lock);
  caller_at = this_processor();
  for (int i = 0; crowded && i < workers; i++)
    if (worker[i].asleep && worker[i].kept_off != caller_at) keep_off(&worker[i], caller_at);
  if (most >= workers)
    pthread_cond_broadcast(&wake);
  else
    for (int64_t i = 0; i < most; i++) pthread_cond_signal(&wake);
  pthread_mutex_unlock(&lock);
}

static void await_empty(void) {
  uint64_t g = atomic_fetch_sub(&gate, OPEN) - OPEN;
  int64_t until = 0;
  do
    for (int i = 0; i < LOOKS && (g & INSIDE_MASK); i++) {
      relax();
      g = atomic_load(&gate);
    }
  while ((g & INSIDE_MASK) && stay_awake(&until));
  if ((g & INSIDE_MASK) == 0) return;
  pthread_mutex_lock(&lock);
  atomic_store(&caller_sleeps, true);
  while (atomic_load(&gate) & INSIDE_MASK) pthread_cond_wait(&emptied, &lock);
  atomic_store(&caller_sleeps, false);
  pthread_mutex_unlock(&lock);
}

void parallel_for(int64_t n, int64_t grain, PoolBody body, void *context) {
  if (n <= 0) return;
  if (grain < 1) grain = 1;
  if (n <= grain || inside) {
    run_serial(n, grain, body, context);
    return;
  }
  if (host_run) {
    Job job;
    job_init(&job, n, grain, body, context, 1);
    host_run(host_data, job.chunks, 1, host_body, &job);
    raise_failure(&job);
    return;
  }
  int threads = pool_threads();
  if (threads == 1 || atomic_exchange_explicit(&busy, true, memory_order_acquire)) {
    run_serial(n, grain, body, context);
    return;
  }
  inside = true;
  resize(threads);
  if (workers == 0) {
    run_serial(n, grain, body, context);
  } else {
    job_init(&shared, n, grain, body, context, threads);
    atomic_fetch_add(&gate, LOOP + OPEN);
    wake_workers(shared.chunks - 1);
    take_chunks(&shared, 0);
    await_empty();
    raise_failure(&shared);
  }
  inside = false;
  atomic_store_explicit(&busy, false, memory_order_release);
}

void pool_set_host(PoolHost run, void *host) {
  host_run = run;
  host_data = host;
}

void pool_close(void) {
  if (inside) return; /* a loop cannot wait for itself */
  while (atomic_exchange_explicit(&busy, true, memory_order_acquire)) sched_yield();
  stop_workers();
  workers_for = 0;
  atomic_store_explicit(&busy, false, memory_order_release);
}
