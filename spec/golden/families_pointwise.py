"""Golden cases of pointwise mathematics: torch's own functions, torch.special's, and the activations of torch.nn.functional."""
import torch

from cases import DTYPES, FLOATS, Family, X, b8, f32, f64, i32, i64, inf, nan, u8

LAYOUTS = ("c", "t", "s", "e")
NO_ROW = "not implemented for"

# Functions of one tensor: where their values lie.
UNARY = {
    "acos": (-1, 1), "acosh": (1, 4), "asin": (-1, 1), "asinh": (-3, 3), "atan": (-3, 3), "atanh": (-1, 1), "cosh": (-3, 3), "sinh": (-3, 3),
    "deg2rad": (-90, 90), "rad2deg": (-3, 3), "digamma": (1, 5), "lgamma": (1, 5), "erfc": (-3, 3), "erfinv": (-1, 1), "exp2": (-3, 3),
    "frac": (-3, 3), "logit": (0, 1), "sinc": (-3, 3), "i0": (-3, 3), "positive": (-3, 3), "nan_to_num": (-3, 3),
}
ALIASES = ("arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctanh")
NO_INPLACE_SLOPE = ("acosh", "asinh", "atanh")  # PyTorch gives no derivative of acosh_ and the like
TESTS = ("signbit", "isposinf", "isneginf")
SPECIAL = {
    "entr": (0, 3), "ndtr": (-3, 3), "ndtri": (0, 1), "log_ndtr": (-3, 3), "erfcx": (-3, 3), "i0e": (-3, 3), "i1": (-3, 3), "i1e": (-3, 3),
    "digamma": (1, 5), "psi": (1, 5), "gammaln": (1, 5), "erf": (-3, 3), "erfc": (-3, 3), "erfinv": (-1, 1), "exp2": (-3, 3),
    "expm1": (-3, 3), "expit": (-3, 3), "logit": (0, 1), "log1p": (0, 3), "sinc": (-3, 3), "round": (-3, 3), "i0": (-3, 3),
}
BINARY = {
    "float_power": (1, 4), "ldexp": (-3, 3), "logaddexp": (-3, 3), "logaddexp2": (-3, 3), "hypot": (1, 4), "xlogy": (1, 4), "copysign": (1, 4),
    "fmax": (-3, 3), "fmin": (-3, 3), "nextafter": (-3, 3),
}
# Activations of torch.nn.functional, with settings besides the defaults, and the kinds of dtype that PyTorch refuses.
ACTIVATIONS = {
    "selu": [()], "celu": [(), (-1.5,), (0.5,)], "elu": [(), (0.5,)], "leaky_relu": [(), (-0.5,), (0.25,)], "hardshrink": [(), (1,)],
    "softshrink": [(), (1,)], "hardtanh": [(), (-2, 0.5)], "relu6": [()], "hardsigmoid": [()], "hardswish": [()], "gelu": [()],
    "silu": [()], "mish": [()], "softplus": [(), (2,), (1.5, 1)], "softsign": [()], "logsigmoid": [()], "tanhshrink": [()],
    "threshold": [(0.5, 2.0), (-1, 7)], "relu": [()], "rrelu": [(), (0.25, 0.75)],
}
SINGLE = ("hardsigmoid",)  # PyTorch multiplies its gradient by a sixth in single precision
HAVE_INPLACE = ("selu", "celu", "elu", "leaky_relu", "hardtanh", "relu6", "hardsigmoid", "hardswish", "silu", "mish", "threshold", "relu", "rrelu")
INPLACE_NAMES = ("elu_", "selu_", "celu_", "leaky_relu_", "hardtanh_", "threshold_", "rrelu_", "relu_")


def inner(fam, limits, shape, dtype=f32, layout="c", g=True):
    """Values strictly between the limits, where every function has a slope; sixteenths."""
    low, high = 16 * limits[0] + 1, 16 * limits[1] - 1
    n = 1
    for s in shape:
        n *= s
    values = [fam.random.randint(low, high) for _ in range(n)]
    return X(shape, [(v if v % 16 else v + 1) / 16 for v in values], dtype, layout, g)


def attempt(fam, op, *args, form, **kw):
    """The case, or what PyTorch refuses it with."""
    where = {"n": torch.nn.functional, "s": torch.special, "f": torch}.get(form[0])
    made = [a.make() if isinstance(a, X) else a for a in args]
    try:
        if form[0] in "mi":
            getattr(made[0], op + ("_" if form[0] == "i" else ""))(*made[1:], **kw)
        else:
            getattr(where, op)(*made, **kw)
    except (RuntimeError, NotImplementedError) as e:
        for part in (NO_ROW, "can't be cast to the desired output type", "on a bool tensor is not supported", "with a bool tensor is not supported",
                     "Bool inputs not supported", "Boolean inputs not supported", "is not yet implemented for tensors with different dtypes",
                     "operation's result requires dtype Double"):
            if part in str(e):
                fam.case(op, *args, form=form, err=part, **kw)
                return
        raise AssertionError("%s: no known message in %r" % (op, str(e)))
    fam.case(op, *args, form=form, **kw)


def whole(dtype):
    return X((3,), [True, False, True] if dtype == b8 else [1, 2, 1], dtype)


def unary_cases(fam):
    c = fam.case
    for op, limits in UNARY.items():
        inplace = hasattr(torch.Tensor, op + "_")
        for layout in LAYOUTS:
            c(op, inner(fam, limits, (2, 3), layout=layout))
            if inplace and layout == "t":
                c(op, inner(fam, limits, (2, 3), layout=layout, g=op not in NO_INPLACE_SLOPE), form="i")
        c(op, inner(fam, limits, (2, 3), f64))
        c(op, inner(fam, limits, (24,), f64, g=False))
        c(op, inner(fam, limits, (24,), g=False))
        for dt in (i64, i32, u8, b8):
            attempt(fam, op, whole(dt), form="fm")
            if inplace:
                attempt(fam, op, whole(dt), form="i")
        c(op, inner(fam, limits, ()))
        c(op, X((0,), []))
        c(op, X((2, 0), []))
        c(op, kw={"input": inner(fam, limits, (3,))}, form="f")
        if inplace:
            c(op, fam.x((2, 3), layout="e"), form="i", err="more than one element of the written-to tensor refers to a single memory location")
            c(op, fam.x((2,), g=True), form="i", err="a leaf Variable that requires grad is being used in an in-place operation")
    for op in ALIASES:
        c(op, inner(fam, UNARY[op.replace("arc", "a")], (3,)))
        c(op, inner(fam, UNARY[op.replace("arc", "a")], (3,), g=op.replace("arc", "a") not in NO_INPLACE_SLOPE), form="i")
    special = [0.0, -0.0, 1.0, -1.0, inf, -inf, nan, 0.5, -0.5, 1e-30, -1e-30, 2.0, -2.5]
    for op in ("acos", "acosh", "asin", "asinh", "atan", "atanh", "cosh", "sinh", "deg2rad", "rad2deg", "lgamma", "erfc", "erfinv", "exp2",
               "frac", "nan_to_num", "erf", "expm1"):
        for dt in FLOATS:
            c(op, X((13,), special, dt), z=True)
    for dt in FLOATS:
        c("digamma", X((11,), [0.0, -0.0, 1.0, -1.0, inf, -inf, nan, 1e-30, -1e-30, -2.5, 1e30], dt))
        c("sinc", X((9,), [0.0, -0.0, 0.5, -0.5, inf, -inf, nan, 1e-30, 2.5], dt, g=False))
        c("sinc", X((4,), [0.0, 0.5, -0.25, 2.5], dt, g=True))
        c("frac", X((6,), [2.75, -2.75, 1e10, -1e10, 0.25, -3.0], dt, g=True), z=True)
        c("logit", X((8,), [0.0, 1.0, 2.0, -1.0, nan, 0.25, inf, 0.5], dt, g=True))
        c("i0", X((6,), [0.0, nan, 20.0, -20.0, 80.0, -50.0], dt, g=True))
        c("exp2", X((6,), [150.0, -200.0, 1e30, -1e30, 0.0, -140.0], dt))
        c("lgamma", X((9,), [-0.5, -1.5, -2.25, -10.5, 1e-20, 100.5, 3.0, 1e10, -100.25], dt))
        c("digamma", X((9,), [-0.5, -1.5, -2.25, -10.5, 1e-20, 100.5, 3.0, 1e10, -100.25], dt))
        c("lgamma", X((4,), [-0.5, -1.5, -2.25, 1.75], dt, g=True))
        c("digamma", X((4,), [-0.5, -1.5, -2.25, 1.75], dt, g=True))
        c("erfinv", X((9,), [0.999, -0.9999, 1e-10, 0.1, -0.5, 0.5, 0.50001, -0.97, 1.5], dt))
        c("erfc", X((6,), [5.0, 9.0, -5.0, 0.001, 3.5, 12.0], dt))
        c("acosh", X((3,), [1e10, 1.001, 1e30], dt, g=dt == f64))
        c("asinh", X((4,), [1e10, -1e-10, 1e30, -1e30], dt))
        c("cosh", X((3,), [80.0, -80.0, 100.0], dt))
        c("sinh", X((3,), [80.0, -80.0, 1e-5], dt))
        c("nan_to_num", X((4,), [nan, inf, -inf, 1.5], dt, g=True))
        c("nan_to_num", X((4,), [nan, inf, -inf, 1.5], dt, g=True), 2.5)
        c("nan_to_num", X((4,), [nan, inf, -inf, 1.5], dt), 2.5, 3, -4)
        c("nan_to_num", X((4,), [nan, inf, -inf, 1.5], dt), posinf=1e300, neginf=-2.0)
        c("nan_to_num", X((4,), [nan, inf, -inf, 1.5], dt), nan=1, form="i")
        for eps in (0, 0.125, 0.5, 0.75, -1.0, 1e-6):
            c("logit", X((7,), [0.0625, 0.25, 0.5, 0.625, 0.8125, 0.9375, 0.125 + 1 / 1024], dt, g=True), eps)
        c("logit", X((6,), [0.0, 1.0, 2.0, -1.0, nan, 0.5], dt, g=True), 0.25)
        c("logit", X((3,), [0.0, 1.0, 0.25], dt), eps=0.125)
        c("logit", X((3,), [0.0, 1.0, 0.25], dt), eps=0.125, form="i")
    c("logit", X((3,), [0, 1, 1], i64), 0.25)
    c("nan_to_num", X((3,), [2, -1, 7], i64), 1.0, 2.0, 3.0, form="fmi")
    for op in TESTS:
        for dt in DTYPES:
            c(op, fam.x((4,), dt))
        for dt in FLOATS:
            for layout in LAYOUTS:
                c(op, X((7,), [0.0, -0.0, 1.0, -1.0, inf, -inf, nan if op != "signbit" else 2.0], dt, layout))
        c(op, X((), [-inf]))
        c(op, X((0,), []))
    for dt in FLOATS:
        for layout in LAYOUTS:
            c("frexp", fam.x((2, 3), dt, layout=layout, g=True))
        c("frexp", X((9,), [0.0, -0.0, inf, -inf, nan, 1e-30, -1e30, 0.75, -8.0], dt), z=True)
        c("frexp", X((), [10.0], dt, g=True))
        c("frexp", X((0,), [], dt))
    for dt in (i64, u8, b8):
        c("frexp", whole(dt), err="torch.frexp() only supports floating-point dtypes")
    c("positive", whole(b8), err="The `+` operator, on a bool tensor is not supported.")


def gamma_cases(fam):
    c = fam.case
    for n in (0, 1, 2, 3, 5):
        for dt in FLOATS:
            for layout in ("c", "t", "s"):
                c("polygamma", n, inner(fam, (0, 4), (2, 3), dt, layout), form="fs")
            c("polygamma", n, X((4,), [1e-3, 30.0, 0.5, 170.0], dt), form="f")
            c("polygamma", n, X((3,), [-0.5, -1.25, -2.75], dt, g=True), form="f")
            c("polygamma", inner(fam, (0, 4), (3,), dt), n, form="mi")
        c("polygamma", n, X((3,), [1, 2, 3], i64), form="f")
        c("polygamma", n, X((3,), [0.0, nan, inf]), form="f")
    c("polygamma", n=1, kw={"input": inner(fam, (0, 4), (3,))}, form="f")
    c("polygamma", -1, fam.x((2,), lo=1), form="f", err="polygamma(n, x) does not support negative n.")
    c("polygamma", fam.x((2,), lo=1), -2, form="m", err="polygamma(n, x) does not support negative n.")
    for p in (1, 2, 4):
        for dt in FLOATS:
            for layout in LAYOUTS:
                c("mvlgamma", inner(fam, (2, 6), (2, 3), dt, layout), p)
            c("mvlgamma", inner(fam, (2, 6), (3,), dt), p, form="i")
        c("mvlgamma", X((3,), [2, 3, 4], i64), p)
        c("multigammaln", inner(fam, (2, 6), (3,)), p, form="s")
    c("mvlgamma", inner(fam, (2, 6), ()), p=2)
    c("mvlgamma", X((0,), []), 2)
    c("mvlgamma", fam.x((2,)), 0, err="p has to be greater than or equal to 1")
    c("mvlgamma", X((3,), [2, 3, 4], i64), 2, form="i", err="can't be cast to the desired output type")
    for dt in FLOATS:
        for a, b in (((2, 3), (3,)), ((3,), (3,)), ((), (4,))):
            c("zeta", inner(fam, (1, 5), a, dt, g=False), inner(fam, (0, 4), b, dt), form="s")
        c("zeta", X((7,), [1.0, 0.5, 2.0, 3.0, 2.5, nan, 4.0], dt), X((7,), [2.0, 2.0, 0.0, -1.0, -0.5, 1.0, nan], dt), form="s")
        c("zeta", X((4,), [2.0, 3.0, 4.0, 2.0], dt), X((4,), [-0.5, -1.25, -3.75, -8.5], dt), form="s")
        c("zeta", 2, inner(fam, (0, 4), (3,), dt), form="s")
        c("zeta", X((3,), [1.5, 20.0, 100.0], dt), X((3,), [100.0, 1.0, 1.5], dt), form="s")
        c("zeta", inner(fam, (1, 5), (3,), dt, g=False), 2.0, form="s")
    c("zeta", X((3,), [2, 3, 4], i64), X((3,), [1, 2, 3], i64), form="s")


def special_cases(fam):
    c = fam.case
    for op, limits in SPECIAL.items():
        for layout in LAYOUTS:
            c(op, inner(fam, limits, (2, 3), layout=layout), form="s")
        c(op, inner(fam, limits, (2, 3), f64), form="s")
        if op != "round":  # PyTorch's torch.round takes integers
            for dt in (i64, u8, b8):
                attempt(fam, op, whole(dt), form="s")
        c(op, X((0,), []), form="s")
        c(op, inner(fam, limits, ()), form="s")
    for dt in FLOATS:
        c("entr", X((7,), [0.0, -0.0, 1.0, -1.0, inf, nan, 1e-30], dt), form="s")
        c("ndtri", X((11,), [0.0, 1.0, -0.5, 2.0, nan, 0.5, 1e-10, 1e-30, 0.2, 0.25, 0.75], dt), form="s")
        c("ndtr", X((6,), [-5.0, -8.0, 8.0, inf, -inf, nan], dt), form="s")
        c("log_ndtr", X((8,), [-1.0, -1.5, -30.0, -300.0, 10.0, inf, -inf, nan], dt), form="s")
        c("erfcx", X((10,), [26.0, 24.0, 1000.0, -5.0, -9.0, -30.0, inf, nan, 1e-10, 0.0], dt), form="s")
        for op in ("i0e", "i1", "i1e"):
            c(op, X((8,), [0.0, 0.25, -7.5, 9.0, 29.0, 31.0, -60.0, nan], dt, g=True), form="s")
    for dt in FLOATS:
        for layout in ("c", "t", "s"):
            for op in ("xlogy", "xlog1py"):
                c(op, inner(fam, (-3, 3), (2, 3), dt, layout), inner(fam, (0, 4), (3,), dt), form="s")
        c("xlog1py", X((7,), [0.0, 0.0, 0.0, 1.0, nan, 2.0, inf], dt), X((7,), [nan, -1.0, inf, -1.0, 1.0, 0.0, 1.0], dt), form="s")
        c("xlog1py", X((4,), [0.0, 0.0, 1.0, 2.0], dt, g=True), X((4,), [-1.0, 1.0, 0.5, -0.5], dt, g=True), form="s")
    c("xlog1py", 2, inner(fam, (0, 4), (3,)), form="s")
    c("xlog1py", inner(fam, (0, 4), (3,)), 2.5, form="s")
    c("xlog1py", whole(i64), whole(i64), form="s")
    c("round", inner(fam, (-3, 3), (4,)), decimals=1, form="s")


def binary_cases(fam):
    c = fam.case
    one = {dt: X((3,), [True, False, True] if dt == b8 else [3, 1, 4], dt) for dt in DTYPES}
    two = {dt: X((3,), [True, True, False] if dt == b8 else [2, 4, 3], dt) for dt in DTYPES}
    for op, (lo, hi) in BINARY.items():
        inplace = hasattr(torch.Tensor, op + "_")
        for layout in LAYOUTS:
            c(op, fam.x((2, 3), layout=layout, g=True, lo=lo, hi=hi), fam.x((2, 3), layout=layout, g=True, lo=lo, hi=hi))
            c(op, fam.x((2, 3), f64, layout=layout, g=True, lo=lo, hi=hi), fam.x((3,), f64, g=True, lo=lo, hi=hi))
        for sa, sb in (((2, 1), (1, 3)), ((3,), (2, 1)), ((), (2, 3)), ((2, 3), ()), ((), ()), ((0, 3), (3,)), ((1,), (0,))):
            c(op, fam.x(sa, g=True, lo=lo, hi=hi), fam.x(sb, g=True, lo=lo, hi=hi))
        for a in DTYPES:
            for b in DTYPES:
                attempt(fam, op, one[a], two[b], form="fm")
            if inplace:
                attempt(fam, op, one[a], two[a], form="i")
                if a != b8:
                    attempt(fam, op, one[a], two[i64], form="i")
        if inplace:
            dt = f64 if op == "float_power" else f32
            c(op, fam.x((2, 3), dt, layout="t", g=True, lo=lo, hi=hi), fam.x((1, 3), dt, g=True, lo=lo, hi=hi), form="i")
            c(op, fam.x((2, 3), dt, layout="s", lo=lo, hi=hi), fam.x((3,), dt, lo=lo, hi=hi), form="i")
            c(op, fam.x((3,), dt, lo=lo, hi=hi), fam.x((2, 3), dt, lo=lo, hi=hi), form="i", err="output with shape [3] doesn't match the broadcast shape [2, 3]")
        c(op, fam.x((2, 3)), fam.x((2, 4)), err="The size of tensor a (3) must match the size of tensor b (4) at non-singleton dimension")
    for op in ("float_power", "xlogy", "copysign"):
        for dt in DTYPES:
            for number in (2, 2.5):
                attempt(fam, op, one[dt], number, form="fm")
                if op != "copysign":
                    attempt(fam, op, number, two[dt], form="f")
        c(op, fam.x((3,), g=True, lo=1), 2.5)
        c(op, fam.x((3,), f64, g=True, lo=1), 2, form="i")
        if op != "copysign":
            c(op, 2.5, fam.x((3,), g=True, lo=1), form="f")
    c("copysign", fam.x((4,), g=True), -1)
    c("copysign", fam.x((4,), g=True), 1.5)
    c("float_power", X((4,), [-2.0, 0.0, 4.0, 9.0], g=True), 2)
    c("float_power", X((4,), [2.0, 1.0, 4.0, 9.0], g=True), 0.5)
    special = X((8,), [0.0, -0.0, 1.0, -1.0, inf, -inf, nan, 2.5])
    for op in ("logaddexp", "logaddexp2", "hypot", "xlogy", "copysign", "fmax", "fmin", "nextafter", "heaviside"):
        for v in (0.0, -0.0, 1.0, inf, -inf, nan):
            a, b = X((8,), special.values, f32), X((8,), [v] * 8, f32)
            if op in ("hypot", "copysign") and v != v:
                continue  # infinity beside NaN depends on PyTorch's vectors; NaN's sign is nobody's
            c(op, a, b, z=op in ("copysign", "nextafter", "heaviside"))
            c(op, X((8,), special.values, f64), X((8,), [v] * 8, f64), z=op in ("copysign", "nextafter", "heaviside"))
    for dt in FLOATS:
        c("logaddexp", X((4,), [100.0, -100.0, 1000.0, 3.0], dt, g=True), X((4,), [-100.0, -100.0, 999.0, 3.0], dt, g=True))
        c("logaddexp2", X((4,), [100.0, -100.0, 1000.0, 3.0], dt, g=True), X((4,), [-100.0, -100.0, 999.0, 3.0], dt, g=True))
        c("hypot", X((3,), [3.0, 1e30, 1e-30], dt, g=dt == f64), X((3,), [4.0, 1e30, 1e-30], dt, g=dt == f64))
        c("xlogy", X((5,), [0.0, 0.0, 0.0, 1.0, 2.0], dt, g=True), X((5,), [0.0, 2.0, -1.0, 0.5, 4.0], dt, g=True))
        for op in ("fmax", "fmin"):
            c(op, X((7,), [1.0, 2.0, nan, 3.0, nan, 2.0, inf], dt, g=True), X((7,), [2.0, 1.0, 3.0, nan, nan, 2.0, inf], dt, g=True))
        c("copysign", X((5,), [0.0, 1.5, -2.0, -0.0, 3.0], dt, g=True), X((5,), [1.0, -1.0, -2.0, 0.0, -0.0], dt, g=True), z=True)
        c("ldexp", X((7,), [1e-30, 1.0, 3.0, -0.0, inf, nan, 1.0], dt, g=True), X((7,), [100, 3, -2, 5, -100, 2, -20], i32))
        c("ldexp", X((4,), [1.5, 1.0, 3.0, -2.0], dt, g=True), X((4,), [0.5, -1.5, 2.0, 0.25], dt, g=True))
    c("ldexp", X((2,), [1.0, 3.0], f64), X((2,), [1000, -1070], i64))
    c("logaddexp", kw={"input": fam.x((3,)), "other": fam.x((3,))}, form="f")
    # heaviside, gcd, lcm
    for dt in DTYPES:
        for layout in ("c", "t", "s"):
            x = X((2, 3), [True, False, True, False, False, True], b8, layout) if dt == b8 else X((2, 3), [0, 1, 2, 0, 3, 0] if dt == u8 else [0, 1, -2, 0, 3, -1], dt, layout)
            c("heaviside", x, fam.x((3,), dt))
            if layout != "e":
                c("heaviside", x, fam.x((3,), dt), form="i")
        if dt != f32:
            c("heaviside", fam.x((3,), dt), fam.x((3,)), err="heaviside is not yet implemented for tensors with different dtypes")
    c("heaviside", X((0,), []), X((1,), [2.0]))
    for op in ("gcd", "lcm"):
        for dt in (i64, i32, u8):
            for layout in LAYOUTS:
                c(op, fam.x((2, 3), dt, layout=layout), fam.x((2, 3), dt, layout=layout))
            c(op, X((6,), [0, 0, 12, 18, 7, 100], dt), X((6,), [0, 5, 0, 12, 21, 75], dt))
            c(op, fam.x((3,), dt), fam.x((3,), dt), form="i")
            c(op, fam.x((3,), dt), fam.x((2, 1), i64))
        c(op, X((5,), [-12, 12, -12, 0, -7], i64), X((5,), [18, -18, -18, -5, 0], i64))
        for dt in (f32, f64, b8):
            c(op, one[dt], two[dt], err=NO_ROW)
            c(op, one[dt], two[dt], form="i", err=NO_ROW)
        c(op, one[i64], two[b8])
        c(op, fam.x((0,), i64), fam.x((1,), i64))
        c(op, fam.x((2, 3), i64), fam.x((2, 4), i64), err="The size of tensor a (3) must match the size of tensor b (4) at non-singleton dimension")
    c("lcm", X((3,), [2147483647, -6, 2147483646], i32), X((3,), [2147483646, 4, 3], i32))
    c("gcd", X((2,), [-2 ** 63 + 1, 2 ** 63 - 1], i64), X((2,), [6, 7], i64))


def activation_cases(fam):
    c = fam.case
    for op, settings in ACTIVATIONS.items():
        for setting in settings:
            for layout in LAYOUTS:
                c(op, inner(fam, (-4, 4), (2, 3), layout=layout), *setting, form="n")
            c(op, inner(fam, (-4, 4), (2, 3), f64, g=op not in SINGLE), *setting, form="n")
            c(op, inner(fam, (-9, 9), (20,)), *setting, form="n")
        full = settings[-1]
        c(op, inner(fam, (-4, 4), ()), *settings[0], form="n")
        c(op, X((0,), []), *settings[0], form="n")
        for dt in (i64, i32, u8, b8):
            attempt(fam, op, whole(dt), *settings[0], form="n")
        if op in HAVE_INPLACE and op + "_" in INPLACE_NAMES:
            for layout in ("c", "t", "s"):
                c(op + "_", inner(fam, (-4, 4), (2, 3), layout=layout), *full, form="n")
            c(op + "_", inner(fam, (-4, 4), (2, 3), f64), *settings[0], form="n")
            key = "own" if op == "threshold" else "err"  # PyTorch's threshold_ writes there
            c(op + "_", fam.x((2, 3), layout="e"), *settings[0], form="n", **{key: "more than one element of the written-to tensor refers to a single memory location"})
        if op in HAVE_INPLACE:
            c(op, fam.x((2,), g=True), *settings[0], form="n", inplace=True, err="a leaf Variable that requires grad is being used in an in-place operation")
            c(op, inner(fam, (-4, 4), (3,)), *settings[0], form="n", inplace=False)
    special = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 3.0, -3.0, 6.0, -3.5, 25.0, 100.0, -100.0, nan]
    for op in ("selu", "celu", "elu", "leaky_relu", "hardshrink", "softshrink", "hardtanh", "relu6", "hardsigmoid", "hardswish", "gelu", "silu", "mish",
               "softplus", "softsign", "logsigmoid", "tanhshrink"):
        for dt in FLOATS:
            # The slopes of elu and its kin at -100 are subnormal in float32.
            c(op, X((14,), special, dt, g=op not in SINGLE if dt == f64 else op not in ("silu", "mish", "softplus")), form="n", z=op not in ("silu", "softplus", "softshrink"))
        if op not in ("gelu", "silu", "mish", "softsign", "hardswish"):
            c(op, X((2,), [inf, -inf]), form="n")
    for dt in FLOATS:
        c("threshold", X((14,), special, dt, g=True), 0.5, 7, form="fn")
        for layout in LAYOUTS:
            c("gelu", inner(fam, (-4, 4), (2, 3), dt, layout), approximate="tanh", form="n")
        c("gelu", X((14,), special, dt, g=True), approximate="tanh", form="n")
        c("gelu", X((3,), [1.0, -1.0, 0.0], dt, g=True), approximate="none", form="n")
        c("softplus", X((4,), [1.0, 30.0, 50.0, -30.0], dt, g=True), 1, 40, form="n")
    c("gelu", fam.x((3,)), approximate="erf", form="n", err="approximate argument must be either none or tanh.")
    for op in ("selu", "celu", "rrelu", "prelu", "hardshrink", "threshold"):
        extra = {"prelu": (X((1,), [0.25], g=True),), "threshold": (0.5, 2.0)}.get(op, ())
        form = ("f" if hasattr(torch, op) else "") + ("m" if hasattr(torch.Tensor, op) else "")
        c(op, inner(fam, (-4, 4), (2, 3)), *extra, form=form)
        c(op, inner(fam, (-4, 4), (2, 3), layout="t"), *extra, form=form)
    c("hardtanh", fam.x((3,), i64), -2, 3, form="n")
    c("hardtanh", fam.x((3,), i64), -1.5, 1.5, form="n")
    c("hardtanh", X((3,), [0, 1, 7], u8), -1, 3, form="n")
    c("hardtanh", fam.x((3,)), min_val=-2, max_val=0.5, form="n")
    c("threshold", fam.x((4,), i64), 1.5, 2.5, form="n")
    c("threshold", fam.x((4,), i32), 1, 7, form="fn")
    c("hardtanh", fam.x((3,)), 2, 1, form="n", err="min_val cannot be greater than max_val")
    c("softshrink", fam.x((3,)), -1, form="n", err="lambda must be in range [0, 3.40282e+38] for input dtype Float, but found -1")
    c("celu", fam.x((3,)), 0, form="fn", err="ZeroDivisionError: alpha cannot be 0 for CELU")
    c("elu", fam.x((3,)), alpha=0.5, form="n")
    c("leaky_relu", fam.x((3,)), negative_slope=0.5, form="n")
    c("threshold", fam.x((3,)), threshold=0.5, value=2, form="n")
    # prelu
    for dt in FLOATS:
        for shape, weights in (((3,), 1), ((2, 3), 1), ((2, 3), 3), ((2, 3, 4), 3), ((2, 1, 2), 1), ((4,), 1), ((0, 3), 3), ((2, 3, 2, 2), 3)):
            c("prelu", fam.x(shape, dt, g=True), fam.x((weights,), dt, g=True), form="fmn")
    for layout in LAYOUTS:
        c("prelu", fam.x((2, 3, 2), layout=layout, g=True), fam.x((3,), layout="s", g=True), form="fmn")
    c("prelu", fam.x((2, 3), g=True), X((), [0.5], g=True), form="fmn")
    c("prelu", X((), [-2.0], g=True), X((1,), [0.5], g=True), form="fmn")
    c("prelu", X((5,), [0.0, -0.0, nan, inf, -inf], g=True), X((1,), [0.5], g=True), form="f")
    c("prelu", fam.x((2, 3)), fam.x((4,)), form="fmn", err="Mismatch of parameter numbers and input channel size. Found parameter numbers = 4 and channel size = 3.")
    c("prelu", fam.x((4,)), fam.x((4,)), form="fmn", err="Mismatch of parameter numbers and input channel size. Found parameter numbers = 4 and channel size = 1.")
    c("prelu", X((), [1.0]), fam.x((2,)), form="fmn", err="Not allow zero-dim input tensor.")
    c("prelu", fam.x((2, 3)), fam.x((3,), f64), form="fmn", err="prelu: Type promoting not supported. Got Float and Double")
    c("prelu", fam.x((2, 3), i64), fam.x((3,), i64), form="fmn", err=NO_ROW)
    # glu
    from cases import SIGNATURE
    SIGNATURE["glu"] = [["input"], ["dim", "D"]]
    for layout in LAYOUTS:
        for d in (0, 1, -1, -2):
            c("glu", fam.x((4, 6), layout=layout, g=True), d, form="n")
    c("glu", fam.x((2, 4, 3), f64, g=True), 1, form="n")
    c("glu", fam.x((4,), g=True), form="n")
    c("glu", fam.x((2, 6), g=True), dim=1, form="n")
    c("glu", X((0, 4), []), form="n")
    c("glu", fam.x((4, 3)), form="n", err="Halving dimension must be even, but dimension")
    c("glu", X((), [1.0]), form="n", err="glu does not support scalars because halving size must be even")
    c("glu", fam.x((4,)), 2, form="n", err="Dimension out of range")
    c("glu", fam.x((4,), i64), form="n", err=NO_ROW)
    # rrelu draws a number for each element that is not above 0
    for seed, dt in ((3, f32), (4, f64)):
        for layout in LAYOUTS:
            c("rrelu", fam.x((5, 2), dt, layout=layout, g=True), training=True, form="fn", seed=seed)
        c("rrelu", fam.x((20,), dt, g=True), 0.25, 0.5, True, form="fn", seed=seed)
        c("rrelu_", fam.x((20,), dt, g=True), 0.25, 0.5, True, form="n", seed=seed)
        c("rrelu", X((4,), [0.0, -0.0, nan, -inf], dt), 0.25, 0.5, True, form="fn", seed=seed)
    c("rrelu", X((0,), []), training=True, form="fn", seed=5)
    c("rrelu", fam.x((3,)), 0.5, 0.25, True, form="fn", err="Lower bound should be less than or equal to the upper bound")
    c("rrelu", fam.x((3,)), 0.5, 0.25, form="fn", err="Lower bound should be less than or equal to the upper bound")
    c("rrelu", fam.x((3,), i64), training=True, form="fn", err=NO_ROW)


def pointwise():
    fam = Family("pointwise", "pointwise mathematics of torch and torch.special, activations of torch.nn.functional")
    unary_cases(fam)
    gamma_cases(fam)
    special_cases(fam)
    binary_cases(fam)
    activation_cases(fam)
    return fam


FAMILIES = (pointwise,)
