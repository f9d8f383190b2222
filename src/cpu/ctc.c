/* CTC by the forward and backward variables of its paper, as logarithms in double, one sample at a time. */
#include "cpu/ctc.h"
#include "base/alloc.h"
#include "base/pool.h"
#include "base/size.h"
#include "cpu/reduce.h"
#include <math.h>

typedef struct {
  const Ctc *c;
  bool wide, zero_infinity;
  const char *log_probs, *grad;
  char *out;
  double *work; /* `room` numbers for each sample */
  int64_t room;
} Job;

static double number(const Job *j, const char *p, int64_t i) {
  return j->wide ? ((const double *)(const void *)p)[i] : (double)((const float *)(const void *)p)[i];
}
static void store(const Job *j, int64_t i, double v) {
  if (j->wide)
    ((double *)(void *)j->out)[i] = v;
  else
    ((float *)(void *)j->out)[i] = (float)v;
}

/* One sample: its labels with blanks between and around them are the states 0 ... 2 labels. */
typedef struct {
  const Job *j;
  int64_t n, steps, labels, states;
} Sample;

static int64_t class_of(const Sample *s, int64_t state) {
  const Ctc *c = s->j->c;
  return state % 2 == 0 ? c->blank : c->label[c->first[s->n] + state / 2 * c->step] - 1;
}
static double log_prob(const Sample *s, int64_t t, int64_t class) {
  const Ctc *c = s->j->c;
  return number(s->j, s->j->log_probs, (t * c->batch + s->n) * c->classes + class);
}

static double log_sum(double a, double b, double c) {
  double most = a > b ? a : b;
  if (c > most) most = c;
  if (most == -INFINITY) most = 0;
  return log(exp(a - most) + exp(b - most) + exp(c - most)) + most;
}

/* May a path step over the blank between these states? */
static bool skips(const Sample *s, int64_t from, int64_t to) { return class_of(s, from) != class_of(s, to); }

/* alpha[t][state]; returns the negative logarithm of the probability. */
static double forward(const Sample *s, double *alpha) {
  if (s->steps == 0) return s->labels == 0 ? -0.0 : INFINITY;
  for (int64_t t = 0; t < s->steps; t++) {
    double *now = alpha + t * s->states, *before = now - s->states;
    for (int64_t k = 0; k < s->states; k++) {
      double sum;
      if (t == 0)
        sum = k < 2 ? 0 : -INFINITY;
      else
        sum = log_sum(before[k], k > 0 ? before[k - 1] : -INFINITY,
                      k > 1 && skips(s, k - 2, k) ? before[k - 2] : -INFINITY);
      now[k] = sum + log_prob(s, t, class_of(s, k));
    }
  }
  const double *last = alpha + (s->steps - 1) * s->states;
  if (s->labels == 0) return -last[0];
  return -log_sum(last[s->states - 1], last[s->states - 2], -INFINITY);
}

/* The states' beta at time t into `now`, from that at t + 1 in `after`. */
static void backward_step(const Sample *s, int64_t t, const double *after, double *now) {
  for (int64_t k = 0; k < s->states; k++) {
    double sum;
    if (t == s->steps - 1)
      sum = k >= s->states - 2 ? 0 : -INFINITY;
    else
      sum = log_sum(after[k], k + 1 < s->states ? after[k + 1] : -INFINITY,
                    k + 2 < s->states && skips(s, k, k + 2) ? after[k + 2] : -INFINITY);
    now[k] = sum + log_prob(s, t, class_of(s, k));
  }
}

/* The logarithms of what each class takes part in at time t. */
static void gather(const Sample *s, const double *alpha, const double *beta, double *by_class) {
  for (int64_t c = 0; c < s->j->c->classes; c++) by_class[c] = -INFINITY;
  for (int64_t k = 0; k < s->states; k++) {
    double *to = &by_class[class_of(s, k)];
    *to = log_sum(*to, alpha[k] + beta[k], -INFINITY);
  }
}

static Sample sample_of(const Job *j, int64_t n) {
  return (Sample){j, n, j->c->input_length[n], j->c->target_length[n], 2 * j->c->target_length[n] + 1};
}

static void losses(void *context, int64_t begin, int64_t end) {
  const Job *j = context;
  for (int64_t n = begin; n < end; n++) {
    Sample s = sample_of(j, n);
    store(j, n, forward(&s, j->work + n * j->room));
  }
}

static void gradients(void *context, int64_t begin, int64_t end) {
  const Job *j = context;
  const Ctc *c = j->c;
  for (int64_t n = begin; n < end; n++) {
    Sample s = sample_of(j, n);
    double *alpha = j->work + n * j->room;
    double *beta[] = {alpha + s.steps * s.states, alpha + (s.steps + 1) * s.states};
    double *by_class = alpha + (s.steps + 2) * s.states, loss = forward(&s, alpha), gy = number(j, j->grad, n);
    bool nothing = j->zero_infinity && loss == INFINITY;
    for (int64_t t = c->steps - 1; t >= 0; t--) {
      int64_t row = (t * c->batch + n) * c->classes;
      if (t >= s.steps || nothing) {
        for (int64_t k = 0; k < c->classes; k++) store(j, row + k, 0);
        continue;
      }
      backward_step(&s, t, beta[(t + 1) % 2], beta[t % 2]);
      gather(&s, alpha + t * s.states, beta[t % 2], by_class);
      for (int64_t k = 0; k < c->classes; k++) {
        double lp = log_prob(&s, t, k);
        store(j, row + k, (exp(lp) - exp(by_class[k] + loss - lp)) * gy);
      }
    }
  }
}

/* Numbers that a sample's variables take: alpha, for gradients two rows of beta and the classes too; for all samples, in
 * bytes. */
static bool room_of(const Ctc *c, bool back, int64_t *room, int64_t *bytes) {
  *room = 0;
  for (int64_t n = 0; n < c->batch; n++) {
    int64_t cells;
    if (!size_mul(c->input_length[n] + 2 * back, 2 * c->target_length[n] + 1, &cells) ||
        !size_add(cells, back ? c->classes : 0, &cells))
      return false;
    if (cells > *room) *room = cells;
  }
  return size_mul(*room, c->batch, bytes) && size_mul(*bytes, (int64_t)sizeof(double), bytes);
}

static bool run(const Ctc *c, Tensor *grad, Tensor *log_probs, bool zero_infinity, Tensor *out) {
  DType lane = (DType)out->dtype;
  Tensor *p = tensor_packed(log_probs, lane), *g = p && grad ? tensor_packed(grad, lane) : NULL;
  Job j = {.c = c, .wide = lane == MT_F64, .zero_infinity = zero_infinity, .out = tensor_data(out)};
  int64_t bytes;
  bool good =
      p && (g || !grad) && room_of(c, grad != NULL, &j.room, &bytes) && (j.work = block_alloc((size_t)bytes + 1));
  if (good) {
    j.log_probs = tensor_data(p);
    j.grad = g ? tensor_data(g) : NULL;
    parallel_for(c->batch, 1, grad ? gradients : losses, &j);
    block_free(j.work, (size_t)bytes + 1);
  }
  tensor_release(g);
  tensor_release(p);
  return good;
}
bool cpu_ctc(const Ctc *c, Tensor *log_probs, Tensor *out) { return run(c, NULL, log_probs, false, out); }
bool cpu_ctc_back(const Ctc *c, Tensor *grad, Tensor *log_probs, bool zero_infinity, Tensor *out) {
  return run(c, grad, log_probs, zero_infinity, out);
}
