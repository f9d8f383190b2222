/* Special functions of one double, and of two: what formulas_plain.h calls for those that no math library has.
 *
 * float32 and the 16-bit floats go through double, so one text serves every float type and every device. Only functions
 * of math.h are called. Poles give an infinity or NaN, and every loop ends for any argument. */
#ifndef MT_SPECIAL_H
#define MT_SPECIAL_H
#include <math.h>

#ifndef SPECIAL_FN
#define SPECIAL_FN static __attribute__((noinline, unused))
#endif

#define SPECIAL_PI 3.14159265358979323846
#define SPECIAL_SQRT_HALF 0.70710678118654752440
#define SPECIAL_SQRT_PI 1.77245385090551602730

/* d/dx log Gamma(x): negative arguments by reflection, small ones by recurrence, then the asymptotic series. */
SPECIAL_FN double digamma_f64(double x) {
  double y = 0;
  if (x == 0) return copysign((double)INFINITY, -x);
  if (x < 0) {
    if (x == trunc(x)) return (double)NAN;
    y = -SPECIAL_PI / tan(SPECIAL_PI * (x - rint(x)));
    x = 1 - x;
  }
  for (; x < 10; x += 1) y -= 1 / x;
  double z = 1 / (x * x);
  double tail = 1.0 / 252 - z * (1.0 / 240 - z * (1.0 / 132 - z * (691.0 / 32760 - z / 12)));
  return y + log(x) - 0.5 / x - z * (1.0 / 12 - z * (1.0 / 120 - z * tail));
}

/* Hurwitz's zeta, sum of (q + k)^-x, for q > 0: nine terms or more, then Euler and Maclaurin's formula, whose
 * coefficients are B(2j) / (2j)!. */
SPECIAL_FN double zeta_positive(double x, double q) {
  const double coefficient[] = {1.0 / 12,
                                -1.0 / 720,
                                1.0 / 30240,
                                -1.0 / 1209600,
                                1.0 / 47900160,
                                -691.0 / 1307674368000,
                                1.0 / 74724249600,
                                -3617.0 / 10670622842880000,
                                43867.0 / 5109094217170944000};
  double sum = 0, w = q, term;
  if (q > 1e16) return pow(q, 1 - x) / (x - 1); /* the integral; its end is less than rounding */
  for (int k = 0; k < 9 || w <= 9; k++, w += 1) {
    term = pow(w, -x);
    sum += term;
    if (term <= sum * 1e-17) return sum;
  }
  term = pow(w, -x);
  sum += term * w / (x - 1) + 0.5 * term;
  double factor = x, power = term / w;
  for (int j = 0; j < 9; j++) {
    double more = coefficient[j] * factor * power;
    sum += more;
    if (fabs(more) <= fabs(sum) * 1e-17) break;
    factor *= (x + 2 * j + 1) * (x + 2 * j + 2);
    power /= w * w;
  }
  return sum;
}

/* The same for any q: below zero the terms on either side of it are two such sums, less what lies beyond q. */
SPECIAL_FN double zeta_f64(double x, double q) {
  if (x == 1) return (double)INFINITY;
  if (!(x > 1) || q != q) return (double)NAN;
  if (q > 0) return isinf(q) ? (double)NAN : zeta_positive(x, q); /* PyTorch's value; the limit is 0 */
  if (q == floor(q)) return (double)INFINITY;
  if (x != floor(x)) return (double)NAN; /* a power of a negative number */
  double near = -q - floor(-q), below = zeta_positive(x, near) - zeta_positive(x, 1 - q);
  return zeta_positive(x, 1 - near) + (fmod(x, 2.0) != 0 ? -below : below);
}

/* The n-th derivative of digamma, n a whole number. */
SPECIAL_FN double polygamma_f64(double n, double x) {
  if (n == 0) return digamma_f64(x);
  if (n == 1 && isinf(x) && x > 0) return 0;
  double y = tgamma(n + 1) * zeta_f64(n + 1, x);
  return fmod(n, 2.0) != 0 ? y : -y;
}

/* exp(x^2) erfc(x). The square is split, so that exp loses nothing; far out the asymptotic series. */
SPECIAL_FN double erfcx_f64(double x) {
  double square = x * x, z = 1 / (2 * square);
  if (x > 25) {
    double y = 1;
    for (int k = 15; k > 0; k -= 2) y = 1 - k * z * y;
    return y / SPECIAL_SQRT_PI / x;
  }
  if (x < -27) return (double)INFINITY;
  return exp(square) * (1 + fma(x, x, -square)) * erfc(x);
}

/* log of the normal distribution function; left of -1 by erfcx, which does not vanish. `above` is that function of -x. */
SPECIAL_FN double log_ndtr_f64(double x, double above) {
  if (x < -1) return log(erfcx_f64(-x * SPECIAL_SQRT_HALF) / 2) - x * x / 2;
  return log1p(-above);
}

/* sin(pi x) / (pi x): from the nearest whole number, so that it is 0 where it should be; large x included. */
SPECIAL_FN double sinc_f64(double x) {
  double r = x - 2 * rint(x / 2);
  if (fabs(r) > 0.5) r = copysign(1.0, r) - r;
  return x == 0 ? 1 : sin(SPECIAL_PI * r) / SPECIAL_PI / x;
}

/* The x > 0 with erf(x) = 1 - q, 0 < q < 1, to three digits (Winitzki): where Newton's method begins. */
SPECIAL_FN double erfinv_start(double q) {
  const double a = 0.147;
  double l = log(q * (2 - q)), t = 2 / (SPECIAL_PI * a) + l / 2;
  return sqrt(sqrt(t * t - l / a) - t);
}
/* The x with erfc(x) = q, 0 < q <= 1/2: Newton's method on the logarithm, which is almost a parabola. */
SPECIAL_FN double erfc_inverse(double q) {
  double x = erfinv_start(q);
  for (int k = 0; k < 4; k++) {
    double c = erfc(x), scaled = erfcx_f64(x);
    double log_ratio = c > 1e-290 ? log(c / q) : log(scaled) - x * x - log(q); /* below, c has not all its digits */
    x += log_ratio * scaled * (SPECIAL_SQRT_PI / 2);
  }
  return x;
}
/* The inverse of erf: in the middle by Halley's steps on erf itself. */
SPECIAL_FN double erfinv_f64(double y) {
  double size = fabs(y), x;
  if (!(size < 1)) return size == 1 ? y * (double)INFINITY : (double)NAN;
  if (size > 0.5) return copysign(erfc_inverse(1 - size), y);
  x = erfinv_start(1 - size);
  for (int k = 0; k < 3; k++) {
    double step = (erf(x) - size) * exp(x * x) * (SPECIAL_SQRT_PI / 2);
    x -= step / (1 + x * step);
  }
  return copysign(x, y);
}
/* The inverse of the normal distribution function. */
SPECIAL_FN double ndtri_f64(double p) {
  if (!(p > 0 && p < 1)) return p == 0 ? -(double)INFINITY : p == 1 ? (double)INFINITY : (double)NAN;
  if (p > 0.25 && p < 0.75) return erfinv_f64(2 * p - 1) / SPECIAL_SQRT_HALF;
  return (p < 0.5 ? -erfc_inverse(2 * p) : erfc_inverse(2 * (1 - p))) / SPECIAL_SQRT_HALF;
}

/* Modified Bessel function of order 0 or 1, times exp(-|x|) when scaled: the power series, all of one sign, or from
 * 30 on the asymptotic series. */
SPECIAL_FN double bessel_i(int order, double x, int scaled) {
  double size = fabs(x), term, sum;
  if (size <= 30) {
    double square = size * size / 4;
    sum = term = order ? size / 2 : 1;
    for (int k = 1; k < 100 && term > sum * 1e-17; k++) sum += term *= square / (k * (double)(k + order));
    sum *= scaled ? exp(-size) : 1;
  } else {
    sum = term = 1;
    for (int k = 1; k < 30 && fabs(term) > 1e-17; k++) {
      double odd = 2 * k - 1;
      sum += term *= (odd * odd - 4 * order) / (8 * size * k);
    }
    sum /= sqrt(2 * SPECIAL_PI) * sqrt(size);
    double half = scaled ? 1 : exp(size / 2); /* exp(size) may overflow where the product does not */
    sum = half * (half * sum);
  }
  return order && x < 0 ? -sum : sum;
}
#endif
