"""Writes accuracy.safetensors: exact values and slopes of the float functions, and PyTorch's at special arguments.

    /path/to/python spec/golden/make_accuracy.py [NAME ...]     with torch 2.15 and mpmath; names: print, write nothing

Exact values come from mpmath, which shares nothing with a C library: each is computed with 60 digits and again with 120,
with more until both agree to 40 digits, and rounded once to float64. What rounding took off is kept beside it in 254ths
of a unit of the last place, so that an error of half a unit can be told from one of a whole.

In the file, for each function: NAME.x what is added to the arguments that all share ("x": every exponent of float32 and
each twelfth of float64 beyond, subnormals too, signs alternating, mantissas drawn), NAME.y and NAME.rest (the values),
NAME.slope and NAME.slope_rest (the derivative). Functions of two arguments have NAME.a and NAME.b, slopes by a and by b.
NaN stands where there is no value, infinity where it rounds past the largest number. special.x, and special.NAME.DTYPE and
special.NAME.DTYPE.slope: zeros of both signs, the least and the largest numbers, infinities, NaN, as PyTorch has them.
"""
import math
import multiprocessing
import os
import random
import struct
import sys

import mpmath
from mpmath import mp, mpf

HERE = os.path.dirname(os.path.abspath(__file__))
NAN, INF = float("nan"), float("inf")
FLOAT32, FLOAT64 = (24, -149, 128), (53, -1074, 1024)  # digits, least exponent, end of the exponents


def drawn(rng, exponent, digits, least, negative):
    """A number of that exponent with a drawn mantissa, subnormal where it must be."""
    unit = max(exponent - digits + 1, least)
    n = rng.randrange(1 << (exponent - unit), 1 << (exponent - unit + 1))
    return math.ldexp(-n if negative else n, unit)


def shared_arguments():
    rng, x = random.Random(1), []
    for e in range(FLOAT32[1], FLOAT32[2]):
        x.append(drawn(rng, e, 24, -149, e % 2 == 1))
    for k, e in enumerate(range(FLOAT64[1], FLOAT64[2], 12)):
        x.append(drawn(rng, e, 53, -1074, k % 2 == 1))
    return x


def float32(x):
    return struct.unpack("f", struct.pack("f", x))[0]


def neighbours(x):
    """The numbers of both types around x."""
    near = float32(x)
    bits = struct.unpack("I", struct.pack("f", near))[0]
    out = [struct.unpack("f", struct.pack("I", bits + k))[0] for k in (-1, 0, 1)] if near != 0 else []
    return out + [math.nextafter(x, -INF), x, math.nextafter(x, INF)]


def own_arguments(name, ranges, points):
    rng, x = random.Random(name), []
    for low, high in ranges:
        for k in range(120 // len(ranges)):
            x.append(float32(low + (high - low) * rng.random()))
        for k in range(60 // len(ranges)):
            x.append(low + (high - low) * rng.random())
    for p in points:
        x += neighbours(float(p))
    return [v for v in x if v != 0]


def rounded(y):
    """An mpf (or None) as float64 and what is left in 254ths of its unit."""
    if y is None:
        return NAN, 0
    if mpmath.isinf(y):
        return (INF if y > 0 else -INF), 0
    if y == 0:
        return 0.0, 0
    sign, man, exponent, bits = y._mpf_
    unit = max(exponent + bits - 53, -1074)
    shift = exponent - unit
    if shift >= 0:
        n, rest = man << shift, mpf(0)
    elif -shift > bits + 60:
        n, rest = 0, mpf(0)
    else:
        n, left = man >> -shift, man & ((1 << -shift) - 1)
        half = 1 << (-shift - 1)
        up = left > half or (left == half and n & 1)
        n += up
        rest = mpf(left) / mpf(1 << -shift) - up
    try:
        value = math.ldexp(n, unit)
    except OverflowError:
        return (-INF if sign else INF), 0
    rest = int(mpmath.nint(rest * 254))
    return (-value, -rest) if sign else (value, rest)


def exact(f, *x):
    """f at x, of whatever precision that takes; None where it has no real value."""
    before = None
    for digits in (60, 120, 240, 480, 960, 1920):
        mp.dps = digits
        try:
            y = f(*(mpf(v) for v in x))
        except (ZeroDivisionError, ValueError):
            return None
        if y is None or isinstance(y, mpmath.mpc) or mpmath.isnan(y):
            return None
        y = +mpf(y)
        if mpmath.isinf(y):
            return y
        if before is not None and y != 0 and abs(y - before) <= abs(y) * mpf(10) ** -40:
            return y
        before = y
    if y == 0:
        return y
    raise ArithmeticError("%s of %r does not settle" % (f, x))


# ---- functions that mpmath has in another form ----

def erfc(x):
    return mpmath.erfc(x) if x < 1000 else mpmath.exp(-x * x) * erfcx(x)


def erfcx(x):
    if x < 1000:
        return mpmath.exp(x * x) * mpmath.erfc(x)
    y = term = mpf(1)
    for k in range(1, 100):
        term *= -mpf(2 * k - 1) / (2 * x * x)
        y += term
    return y / (x * mpmath.sqrt(mp.pi))


def half_erfc(x):
    return erfc(x) / 2


def phi(x):
    return mpmath.exp(-x * x / 2) / mpmath.sqrt(2 * mp.pi)


def ncdf(x):
    return half_erfc(-x / mpmath.sqrt(2))


def sigmoid(x):
    e = mpmath.exp(-abs(x))
    return (e if x < 0 else 1) / (1 + e)


def sech2(x):
    e = mpmath.exp(-2 * abs(x))
    return 4 * e / (1 + e) ** 2


def softplus(x):
    return max(x, mpf(0)) + mpmath.log1p(mpmath.exp(-abs(x)))


def mish(x):
    return x * mpmath.tanh(softplus(x))


def mish_slope(x):
    s = softplus(x)
    return mpmath.tanh(s) + x * sech2(s) * sigmoid(x)


def gelu_angle(x):
    return mpmath.sqrt(2 / mp.pi) * (x + mpf(0.044715) * x ** 3)


def gelu_tanh(x):
    return x * sigmoid(2 * gelu_angle(x))


def gelu_tanh_slope(x):
    a = gelu_angle(x)
    return sigmoid(2 * a) + x * sech2(a) / 2 * mpmath.sqrt(2 / mp.pi) * (1 + 3 * mpf(0.044715) * x * x)


def silu_slope(x):
    return sigmoid(x) * (1 + x * sigmoid(-x))


def sinc_slope(x):
    return (mp.pi * x * mpmath.cospi(x) - mpmath.sinpi(x)) / (mp.pi * x * x)


def is_pole(x):
    return x <= 0 and x == mpmath.floor(x)


def lgamma(x):
    if is_pole(x):
        return mpf("inf")
    if x > 0:
        return mpmath.loggamma(x)
    return mpmath.log(mp.pi) - mpmath.log(abs(mpmath.sinpi(x))) - mpmath.loggamma(1 - x)


def digamma(x):
    if is_pole(x):
        return None
    if x > 0:
        return mpmath.digamma(x)
    return mpmath.digamma(1 - x) - mp.pi * mpmath.cospi(x) / mpmath.sinpi(x)


def trigamma(x):
    if is_pole(x):
        return mpf("inf")
    if x > mpf(10) ** 40:  # 1 / x + 1 / (2 x^2) + ...
        return 1 / x + 1 / (2 * x * x) + 1 / (6 * x ** 3)
    if x > 0:
        return mpmath.polygamma(1, x)
    return (mp.pi / mpmath.sinpi(x)) ** 2 - trigamma(1 - x)


def tetragamma(x):
    if is_pole(x):
        return None
    if x > mpf(10) ** 40:
        return -1 / x ** 2 - 1 / x ** 3 - 1 / (2 * x ** 4)
    if x > 0:
        return mpmath.polygamma(2, x)
    return tetragamma(1 - x) - 2 * mp.pi ** 3 * mpmath.cospi(x) / mpmath.sinpi(x) ** 3


def bessel(order, x, scaled):
    size = abs(x)
    if size > 10000:
        y = term = mpf(1)
        for k in range(1, 200):
            term *= mpf((2 * k - 1) ** 2 - 4 * order) / (8 * size * k)
            y += term
        y /= mpmath.sqrt(2 * mp.pi * size)
        y = y if scaled else y * mpmath.exp(size)
    else:
        y = mpmath.besseli(order, size) * (mpmath.exp(-size) if scaled else 1)
    return -y if order and x < 0 else y


def sign(x):
    return 1 if x > 0 else -1


def i1_slope(x, scaled):
    return bessel(0, x, scaled) - bessel(1, x, scaled) / x - (sign(x) * bessel(1, x, scaled) if scaled else 0)


def i0e_slope(x):
    return bessel(1, x, True) - sign(x) * bessel(0, x, True)


def erfc_inverse(q):
    """The x with erfc(x) = q, 0 < q <= 1: Newton's method on the logarithm."""
    if q == 1:
        return mpf(0)
    x = mpmath.sqrt(max(-mpmath.log(q), mpf(0.0001))) * (mpf(1) if q < 0.1 else mpf("0.5"))
    if q > 0.5:
        x = (1 - q) * mpmath.sqrt(mp.pi) / 2
    for k in range(80):
        c = erfc(x)
        step = mpmath.log(c / q) * c * mpmath.exp(x * x) * mpmath.sqrt(mp.pi) / 2
        x += step
        if abs(step) <= abs(x) * mpf(10) ** (5 - mp.dps):
            return x
    raise ArithmeticError("erfc_inverse")


def erfinv(y):
    if abs(y) >= 1:
        return None if abs(y) > 1 else y * mpf("inf")
    with mp.extradps(5 - int(min(mpmath.log10(abs(y)), mpf(0)))):
        return erfc_inverse(1 - abs(y)) * sign(y)


def ndtri(p):
    if not 0 < p < 1:
        return mpf("-inf") if p == 0 else mpf("inf") if p == 1 else None
    if p == 0.5:
        return mpf(0)
    with mp.extradps(20):
        return (-erfc_inverse(2 * p) if p < 0.5 else erfc_inverse(2 * (1 - p))) * mpmath.sqrt(2)


def log_ndtr(x):
    if x > 0:
        return mpmath.log1p(-half_erfc(x / mpmath.sqrt(2)))
    return mpmath.log(erfcx(-x / mpmath.sqrt(2)) / 2) - x * x / 2


def inside(low, high, f):
    return lambda x: f(x) if low <= x <= high else None


def positive(f):
    return lambda x: f(x) if x > 0 else None


def elu(alpha, scale, width):
    return (lambda x: scale * x if x > 0 else scale * alpha * mpmath.expm1(x / width),
            lambda x: scale if x > 0 else scale * alpha / width * mpmath.exp(x / width))


SELU = (mpf(1.6732632423543772), mpf(1.0507009873554805))
LN2, LN10 = lambda: mp.ln2, lambda: mp.ln10
PI = math.pi
# float64's worst argument of sin and cos (Kahan), and the nearest ones to multiples of pi/2
ANGLES = [k * PI / 2 for k in (1, 2, 3, 4, 7, 10, 22, 100, 355, 710, 10 ** 6)] + [2.0 ** 25, math.ldexp(
    6381956970095103, 797), 16367173.0, 1e22]

# name: value, slope, ranges where it bends, hard points
FUNCTIONS = {
    "exp": (mpmath.exp, mpmath.exp, [(-110, 95), (-760, 720)], [88.72283905206835, 709.782712893384, -87.33654475,
                                                                -103.9720770839918, -708.3964185322641, -745.1332191019411]),
    "exp2": (lambda x: mpf(2) ** x, lambda x: mpf(2) ** x * LN2(), [(-150, 130), (-1080, 1030)], [128, 1024, -126, -149,
                                                                                                -150, -1022, -1074, 0.5]),
    "expm1": (mpmath.expm1, mpmath.exp, [(-20, 95), (-1, 1)], [88.72283905206835, 709.782712893384, -17.5, -37.4]),
    "log": (positive(mpmath.log), positive(lambda x: 1 / x), [(0.5, 2), (0, 100)], [1, 0.5, 2, 2.718281828459045]),
    "log1p": (lambda x: mpmath.log1p(x) if x > -1 else None, lambda x: 1 / (1 + x) if x > -1 else None,
              [(-1, 1), (0, 100)], [-1 + 1e-7, 1, 1e-8, -1e-8]),
    "log2": (positive(lambda x: mpmath.log(x) / LN2()), positive(lambda x: 1 / (x * LN2())), [(0.5, 2), (0, 100)],
             [1, 0.5, 2, 8]),
    "log10": (positive(lambda x: mpmath.log(x) / LN10()), positive(lambda x: 1 / (x * LN10())), [(0.5, 2), (0, 100)],
              [1, 10, 1000, 0.1]),
    "sqrt": (positive(mpmath.sqrt), positive(lambda x: 1 / (2 * mpmath.sqrt(x))), [(0, 4)], [1, 4, 2]),
    "rsqrt": (positive(lambda x: 1 / mpmath.sqrt(x)), positive(lambda x: -1 / (2 * x * mpmath.sqrt(x))), [(0, 4)],
              [1, 4]),
    "reciprocal": (lambda x: 1 / x, lambda x: -1 / x ** 2, [(-4, 4)], [1, 3]),
    "sin": (mpmath.sin, mpmath.cos, [(-100, 100)], ANGLES),
    "cos": (mpmath.cos, lambda x: -mpmath.sin(x), [(-100, 100)], ANGLES),
    "tan": (mpmath.tan, lambda x: 1 / mpmath.cos(x) ** 2, [(-100, 100)], ANGLES),
    "sinc": (mpmath.sincpi, sinc_slope, [(-10, 10), (-1, 1)], [1, 2, 3, 100, 0.5, 1e-3]),
    "asin": (inside(-1, 1, mpmath.asin), inside(-1, 1, lambda x: 1 / mpmath.sqrt(1 - x * x)), [(-1, 1)], [1, -1, 0.5]),
    "acos": (inside(-1, 1, mpmath.acos), inside(-1, 1, lambda x: -1 / mpmath.sqrt(1 - x * x)), [(-1, 1)], [1, -1, 0.5]),
    "atan": (mpmath.atan, lambda x: 1 / (1 + x * x), [(-5, 5)], [1, 0.5]),
    "sinh": (mpmath.sinh, mpmath.cosh, [(-95, 95), (-2, 2)], [89.41598629, 710.4758600739439]),
    "cosh": (mpmath.cosh, mpmath.sinh, [(-95, 95), (-2, 2)], [89.41598629, 710.4758600739439]),
    "tanh": (mpmath.tanh, sech2, [(-10, 10), (-45, 45)], [0.75, 9.01, 19.06]),
    "asinh": (mpmath.asinh, lambda x: 1 / mpmath.sqrt(1 + x * x), [(-5, 5)], [0.5, 1]),
    "acosh": (lambda x: mpmath.acosh(x) if x >= 1 else None, lambda x: 1 / mpmath.sqrt(x * x - 1) if x >= 1 else None,
              [(1, 10), (1, 1.1)], [1, 2]),
    "atanh": (inside(-1, 1, lambda x: mpmath.atanh(x) if abs(x) < 1 else x * mpf("inf")),
              inside(-1, 1, lambda x: 1 / (1 - x * x)), [(-1, 1)], [0.5, 1 - 1e-7]),
    "sigmoid": (sigmoid, lambda x: sigmoid(x) * sigmoid(-x), [(-104, 20), (-745, 40), (-5, 5)], [-87.3, -88, -103.5]),
    "logit": (inside(0, 1, lambda x: mpmath.log(x / (1 - x))), inside(0, 1, lambda x: 1 / (x * (1 - x))), [(0, 1)],
              [0.5, 1 - 1e-7]),
    "erf": (mpmath.erf, lambda x: 2 / mpmath.sqrt(mp.pi) * mpmath.exp(-x * x), [(-4.5, 4.5), (-7, 7)], [0.925, 1, 4]),
    "erfc": (erfc, lambda x: -2 / mpmath.sqrt(mp.pi) * mpmath.exp(-x * x), [(-6, 10.2), (-6, 27.3)],
             [1, 0.5, 9.19, 10.05, 26.5]),
    "erfinv": (erfinv, inside(-1, 1, lambda y: mpmath.sqrt(mp.pi) / 2 * mpmath.exp(erfinv(y) ** 2)), [(-1, 1)],
               [0.5, 1 - 1e-7, 1 - 1e-15]),
    "erfcx": (erfcx, lambda x: 2 * x * erfcx(x) - 2 / mpmath.sqrt(mp.pi), [(-9.5, 10), (-27, 60)], [-9.38, -26.6, 25,
                                                                                                  50]),
    "ndtr": (ncdf, phi, [(-14, 8), (-39, 9)], [-12.9, -37.5]),
    "log_ndtr": (log_ndtr, lambda x: mpmath.sqrt(2 / mp.pi) / erfcx(-x / mpmath.sqrt(2)), [(-20, 10), (-40, 40)], [-1, 5, 38]),
    "ndtri": (ndtri, inside(0, 1, lambda p: 1 / phi(ndtri(p))), [(0, 1)], [0.25, 0.5, 0.75, 1 - 1e-7, 1 - 1e-15]),
    "entr": (lambda x: -x * mpmath.log(x) if x > 0 else mpf("-inf"), positive(lambda x: -mpmath.log(x) - 1), [(0, 4)],
             [1, math.exp(-1)]),
    "lgamma": (lgamma, digamma, [(0, 5), (-10, 20)], [1, 2, 1.4616321449683622, -2.4570247382208006, -2.7476826467274127,
                                                     -3.143580888349980, -0.5, -1.5, 35.04, 2.556e305]),
    "digamma": (digamma, trigamma, [(0, 5), (-10, 20)], [1.4616321449683622, -0.5040830082644554, -1.573498473162390,
                                                        10, 1, 2]),
    "trigamma": (trigamma, tetragamma, [(0, 5), (-10, 20)], [1, 9, 10]),
    "i0": (lambda x: bessel(0, x, False), lambda x: bessel(1, x, False), [(-95, 95), (-8, 8)], [30, 91.9, 713.98]),
    "i1": (lambda x: bessel(1, x, False), lambda x: i1_slope(x, False), [(-95, 95), (-8, 8)], [30, 91.9, 713.98]),
    "i0e": (lambda x: bessel(0, x, True), i0e_slope, [(-95, 95), (-8, 8)], [30, 500]),
    "i1e": (lambda x: bessel(1, x, True), lambda x: i1_slope(x, True), [(-95, 95), (-8, 8)], [30, 500]),
    "gelu": (lambda x: x * ncdf(x), lambda x: ncdf(x) + x * phi(x), [(-14.5, 6), (-39, 9)], [
        -0.7517915246935645, -14.1, -13.2, -38.5]),
    "gelu_tanh": (gelu_tanh, gelu_tanh_slope, [(-11, 6), (-25, 9)], [-0.7524614220710162, -10.7]),
    "silu": (lambda x: x * sigmoid(x), silu_slope, [(-110, 20), (-750, 40)], [-1.2784645427610738, -92, -88, -103.9]),
    "mish": (mish, mish_slope, [(-110, 25), (-750, 40)], [-1.1924312145154, 20, -92, -88]),
    "softplus": (lambda x: x if x > 20 else softplus(x), lambda x: mpf(1) if x > 20 else sigmoid(x),
                 [(-110, 25), (-750, 40)], [20, -87.3, -103.5]),
    "logsigmoid": (lambda x: -softplus(-x), lambda x: sigmoid(-x), [(-110, 110), (-750, 750)], [87.3, 103.5]),
    "elu": elu(mpf(1), mpf(1), mpf(1)) + ([(-20, 5)], [-0.5]),
    "selu": elu(*SELU, mpf(1)) + ([(-20, 5)], [-0.5]),
    "celu": elu(mpf(1.5), mpf(1), mpf(1.5)) + ([(-30, 5)], [-0.5]),
}


# ---- functions of two arguments ----

def powers():
    """General exponents, results of every size, and the numbers around 1 that are raised highest."""
    rng, pairs = random.Random("pow"), []
    for k in range(400):
        single = k % 2 == 0
        digits, least, end = FLOAT32 if single else FLOAT64
        cast = float32 if single else float
        a = drawn(rng, rng.randrange(least, end), digits, least, False)
        b = cast(rng.uniform(-1, 1) * 1.1 * end / max(abs(math.log2(a)), 0.01))
        pairs.append((a, b))
    for k in range(200):
        cast, most = (float32, 2.0 ** 20) if k % 2 == 0 else (float, 2.0 ** 45)
        a = cast(1 + rng.uniform(-1, 1) * 2.0 ** -rng.randrange(1, 24 if k % 2 == 0 else 52))
        pairs.append((a, cast(rng.uniform(-1, 1) * min(most, 700 / max(abs(math.log(a)), 1e-13)))))
    for k in range(60):
        pairs.append((float32(-rng.uniform(0, 10)), float(rng.randrange(-30, 31))))
    for b in (0.5, -0.5, 2.0, 3.0, -1.0, -2.0, 1.0 / 3, 1.5, 2.625, 10.0, 0.0, 1.0):
        pairs += [(drawn(rng, e, 24, -149, False), float32(b)) for e in range(-140, 128, 12)]
    return pairs


def couples(name, exponents):
    rng, pairs = random.Random(name), []
    for k in range(300):
        single = k % 2 == 0
        digits, least, end = FLOAT32 if single else FLOAT64
        e = rng.randrange(max(least, -exponents), min(end, exponents))
        near = max(min(e + rng.randrange(-6, 7), end - 1), least)
        pairs.append((drawn(rng, e, digits, least, rng.random() < 0.5),
                      drawn(rng, near, digits, least, rng.random() < 0.5)))
    return pairs


def sums(name):
    rng = random.Random(name)
    return [(c(rng.uniform(-60, 60)), c(rng.uniform(-60, 60))) for c in (float32, float) * 100]


def factors(name, low):
    rng = random.Random(name)
    out = [(c(rng.uniform(-9, 9)), c(low + math.exp(rng.uniform(-30, 30)))) for c in (float32, float) * 60]
    out = [(a, b) for a, b in out if b > low]
    return out + [(c(rng.uniform(-9, 9)), c(low + 1 + rng.uniform(-1, 1) * 2.0 ** -rng.randrange(1, 22)))
                  for c in (float32, float) * 60]


def power(a, b):
    return mpf(a) ** b if a > 0 or b == mpmath.floor(b) else None


def power_slope(a, b):
    return mpf(0) if b == 0 else b * mpf(a) ** (b - 1) if a > 0 or b == mpmath.floor(b) else None


def logaddexp(a, b):
    return max(a, b) + mpmath.log1p(mpmath.exp(-abs(a - b)))


def logaddexp2(a, b):
    return max(a, b) + mpmath.log1p(mpf(2) ** -abs(a - b)) / LN2()


PAIRS = {
    "pow": (powers(), power, power_slope, lambda a, b: mpf(a) ** b * mpmath.log(a) if a > 0 else None),
    "atan2": (couples("atan2", 1100), lambda a, b: mpmath.atan2(a, b), lambda a, b: b / (a * a + b * b),
              lambda a, b: -a / (a * a + b * b)),
    "hypot": (couples("hypot", 1100), lambda a, b: mpmath.sqrt(a * a + b * b),
              lambda a, b: a / mpmath.sqrt(a * a + b * b), lambda a, b: b / mpmath.sqrt(a * a + b * b)),
    "logaddexp": (sums("logaddexp"), logaddexp, lambda a, b: sigmoid(a - b), lambda a, b: sigmoid(b - a)),
    "logaddexp2": (sums("logaddexp2"), logaddexp2, lambda a, b: sigmoid((a - b) * LN2()),
                   lambda a, b: sigmoid((b - a) * LN2())),
    "xlogy": (factors("xlogy", 0), lambda a, b: a * mpmath.log(b), lambda a, b: mpmath.log(b), lambda a, b: a / b),
    "xlog1py": (factors("xlog1py", -1), lambda a, b: a * mpmath.log1p(b) if b > -1 else None,
                lambda a, b: mpmath.log1p(b) if b > -1 else None, lambda a, b: a / (1 + b) if b > -1 else None),
}


def values(f, arguments):
    y, rest = zip(*(rounded(exact(f, *x)) for x in arguments))
    return list(y), list(rest)


def work(name):
    """What the file holds for a function: (key, code of the dtype, numbers)."""
    out = []
    if name in PAIRS:
        pairs, f, by_a, by_b = PAIRS[name]
        out += [("a", "d", [a for a, _ in pairs]), ("b", "d", [b for _, b in pairs])]
        for key, g in (("y", f), ("slope_a", by_a), ("slope_b", by_b)):
            y, rest = values(g, pairs)
            out += [(key, "d", y), (key + ".rest", "b", rest)]
    else:
        f, slope, ranges, points = FUNCTIONS[name]
        own = own_arguments(name, ranges, points)
        arguments = [(x,) for x in shared_arguments() + own]
        out.append(("x", "d", own))
        for key, g in (("y", f), ("slope", slope)):
            y, rest = values(g, arguments)
            out += [(key, "d", y), (key + ".rest", "b", rest)]
    return name, out


# ---- PyTorch at special arguments ----

def special_arguments(dtype):
    digits, least, end = FLOAT32 if dtype == "float32" else FLOAT64
    tiny, normal = math.ldexp(1.0, least), math.ldexp(1.0, least + digits - 1)
    most = math.ldexp(2.0 ** digits - 1, end - digits)
    return [0.0, -0.0, tiny, -tiny, normal, -normal, 1.0, -1.0, most, -most, INF, -INF, NAN]


def torch_functions():
    import torch
    import torch.nn.functional as F
    calls = {name: getattr(torch, name) for name in FUNCTIONS if hasattr(torch, name)}
    calls.update({name: getattr(torch.special, name) for name in FUNCTIONS if hasattr(torch.special, name)})
    calls.update({name: getattr(F, name) for name in FUNCTIONS if hasattr(F, name) and name not in ("tanh", "sigmoid")})
    calls.update(gelu_tanh=lambda x: F.gelu(x, approximate="tanh"), celu=lambda x: F.celu(x, 1.5),
                 trigamma=lambda x: torch.polygamma(1, x))
    return torch, calls


def special():
    torch, calls = torch_functions()
    out = []
    for dtype in ("float32", "float64"):
        arguments = special_arguments(dtype)
        out.append(("special.%s" % dtype, "d", arguments))
        for name in FUNCTIONS:
            # One element at a time: PyTorch's vector loops and its loop for what is left differ at times.
            y, slope = [], []
            for a in arguments:
                x = torch.tensor(a, dtype=getattr(torch, dtype), requires_grad=True)
                r = calls[name](x)
                r.backward()
                y.append(r.item())
                slope.append(x.grad.item())
            out += [("special.%s.%s" % (dtype, name), "d", y), ("special.%s.%s.slope" % (dtype, name), "d", slope)]
    return out


def write(path, tensors):
    import json
    header, data = {}, b""
    for key, code, numbers in sorted(tensors, key=lambda t: t[1] == "b"):  # the wide ones first, so that they lie aligned
        piece = struct.pack("<%d%s" % (len(numbers), code), *numbers)
        header[key] = {"dtype": {"d": "F64", "b": "I8"}[code], "shape": [len(numbers)],
                       "data_offsets": [len(data), len(data) + len(piece)]}
        data += piece
    text = json.dumps(header, separators=(",", ":"))
    text += " " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text.encode() + data)
    print("%s: %d bytes" % (os.path.basename(path), 8 + len(text) + len(data)))


if __name__ == "__main__":
    names = sys.argv[1:] or list(FUNCTIONS) + list(PAIRS)
    tensors = [("x", "d", shared_arguments())]
    with multiprocessing.Pool(2) as pool:
        for name, found in pool.imap(work, names):
            tensors += [("%s.%s" % (name, key), code, numbers) for key, code, numbers in found]
            print(name, flush=True)
    if not sys.argv[1:]:
        write(os.path.join(HERE, "accuracy.safetensors"), tensors + special())
