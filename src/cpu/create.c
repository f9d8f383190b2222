/* Tensors made from numbers on the CPU: sequences and the positions of triangles. */
#include "cpu/create.h"
#include "cpu/kernels.h"
#include <math.h>

Sequence sequence_between(double from, double to, int64_t n, DType d) {
  Sequence s = {.kind = SEQUENCE_EVEN, .narrow = dtype_is_float(d) && d != MT_F64, .from = from, .to = to};
  if (!dtype_is_float(d)) {
    s.from = trunc(s.from);
    s.to = trunc(s.to);
  }
  if (s.narrow) {
    float a = (float)from, b = (float)to;
    s.from = a;
    s.to = b;
    s.step = n > 1 ? (b - a) / (float)(n - 1) : 0;
  } else {
    s.step = n > 1 ? (s.to - s.from) / (double)(n - 1) : 0;
  }
  return s;
}

static Ramp ramp(double start, double step, int64_t first, int64_t origin) {
  return (Ramp){scalar_float(start), scalar_float(step), first, origin};
}

/* Exponents of SEQUENCE_POWERS, which are not rounded to the result's dtype. */
static bool write_powers(const Sequence *s, Tensor *out) {
  DType d = (DType)out->dtype;
  char *to = tensor_data(out);
  int64_t n = out->numel;
  for (int64_t i = 0; i < n; i++, to += dtype_size(d)) {
    bool low = i < n / 2 || n == 1;
    double steps = (double)(low ? i : n - 1 - i), e = low ? s->from + s->step * steps : s->to - s->step * steps;
    if (s->narrow)
      e = low ? (float)s->from + (float)s->step * (float)steps : (float)s->to - (float)s->step * (float)steps;
    scalar_store(scalar_float(pow(s->base, e)), d, to);
  }
  return true;
}

bool cpu_sequence(const Sequence *s, Tensor *out) {
  int64_t n = out->numel, half = n == 1 ? 1 : n / 2;
  if (s->kind == SEQUENCE_POWERS) return write_powers(s, out);
  if (s->kind == SEQUENCE_INTEGERS) {
    cpu_ramp(out, (Ramp){scalar_int(s->first), scalar_int(s->by), 0, 0}, n, MT_I64);
  } else if (s->kind == SEQUENCE_STEPS) {
    cpu_ramp(out, ramp(s->from, s->step, 0, 0), n, MT_F64);
  } else {
    DType as = s->narrow ? MT_F32 : MT_F64;
    cpu_ramp(out, ramp(s->from, s->step, 0, 0), half, as);
    cpu_ramp(out, ramp(s->to, s->step, half, n - 1), n - half, as);
  }
  return true;
}

void triangle_row(const Triangle *t, int64_t i, int64_t *first, int64_t *last) {
  __int128 edge = (__int128)i + t->offset;
  int64_t at = edge < -1 ? -1 : edge > t->cols ? t->cols : (int64_t)edge; /* the diagonal's column */
  *first = t->upper && at > 0 ? at : 0;
  *last = t->upper ? t->cols - 1 : at < t->cols - 1 ? at : t->cols - 1;
}

bool cpu_triangle_indices(const Triangle *t, Tensor *out) {
  int64_t n = out->shape[1], k = 0, first, last;
  void *to = tensor_data(out);
  if (n == 0) return true; /* offset may be any number */
  for (int64_t i = !t->upper && t->offset < 0 ? -t->offset : 0; k < n; i++) {
    triangle_row(t, i, &first, &last);
    for (int64_t j = first; j <= last; j++, k++) {
      if (out->dtype == MT_I64) {
        ((int64_t *)to)[k] = i + 1;
        ((int64_t *)to)[n + k] = j + 1;
      } else {
        ((int32_t *)to)[k] = (int32_t)(i + 1);
        ((int32_t *)to)[n + k] = (int32_t)(j + 1);
      }
    }
  }
  return true;
}

bool cpu_frexp(Tensor *t, Tensor *mantissa, Tensor *exponent) {
  DType d = (DType)t->dtype;
  int size = dtype_size(d);
  char *to = tensor_data(mantissa);
  int32_t *power = (int32_t *)(void *)tensor_data(exponent);
  int64_t index[MT_MAX_DIMS] = {0};
  for (int64_t i = 0; i < t->numel; i++, to += size) {
    int64_t at = 0;
    for (int k = 0; k < t->ndim; k++) at += index[k] * t->stride[k];
    double x = scalar_load(d, tensor_data(t) + at * size).d;
    int e = 0;
    scalar_store(scalar_float(isfinite(x) ? frexp(x, &e) : x), d, to);
    power[i] = e;
    for (int k = t->ndim - 1; k >= 0 && ++index[k] == t->shape[k]; k--) index[k] = 0;
  }
  return true;
}
