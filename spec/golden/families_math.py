"""Golden cases of arithmetic, reductions, products and selections."""
import torch

from cases import DTYPES, FLOATS, OPERATORS, Family, X, b8, f32, f64, i32, i64, inf, nan, u8

LAYOUTS = ("c", "t", "s", "e")


ARITH = ("add", "sub", "mul", "div", "floor_divide", "remainder", "pow", "lt")


def promoted(fam, op, *args, **kw):
    """A case whatever PyTorch says to it: results, or the part of its message that moontorch shares."""
    try:
        made = [a.make() if isinstance(a, X) else a for a in args]
        if kw.get("form") == "o":
            OPERATORS[op](*made)
        elif kw.get("form") == "i":
            getattr(made[0], op + "_")(*made[1:])
        elif isinstance(made[0], torch.Tensor) and hasattr(torch.Tensor, op):
            getattr(made[0], op)(*made[1:])
        else:
            getattr(torch, op)(*made)
        fam.case(op, *args, **kw)
    except (RuntimeError, TypeError, NotImplementedError) as e:
        for part in ("not implemented for", "is not supported", "can't be cast to the desired output type",
                     "Integers to negative integer powers are not allowed"):
            if part in str(e):
                fam.case(op, *args, err=part, **kw)
                return
        raise AssertionError("%s: no known message in %r" % (op, str(e)))


def arith():
    fam = Family("arith", "arithmetic and comparison, promotion, scalars, operators")
    c = fam.case
    one = {dt: X((3,), [True, True, True] if dt == b8 else [3, 1, 4], dt) for dt in DTYPES}
    two = {dt: X((3,), [True, True, True] if dt == b8 else [2, 4, 3], dt) for dt in DTYPES}
    dim0 = {dt: X((), [True if dt == b8 else 2], dt) for dt in DTYPES}
    for op in ARITH:
        for a in DTYPES:
            for b in DTYPES:
                if DTYPES.index(b) >= DTYPES.index(a) or op in ("add", "div", "pow"):
                    promoted(fam, op, one[a], two[b])
            for scalar in (2, 2.5, True):
                if (op, a, scalar) != ("pow", b8, True):  # PyTorch has no bool power but for this exponent
                    promoted(fam, op, one[a], scalar, form="m")
    for op in ("add", "div"):
        for a in DTYPES:
            for b in DTYPES:
                if a != b:
                    promoted(fam, op, one[a], dim0[b])
                    if op == "add":
                        promoted(fam, op, dim0[a], one[b])
    for a in DTYPES:
        promoted(fam, "add", dim0[a], dim0[f32])
        promoted(fam, "mul", dim0[a], dim0[i64])
    for op in ("eq", "ne", "gt", "ge", "le"):
        for a in DTYPES:
            promoted(fam, op, one[a], two[f32])
            promoted(fam, op, one[a], two[i64])
            promoted(fam, op, one[a], 3, form="m")
            promoted(fam, op, one[a], 2.5, form="m")
        promoted(fam, op, one[b8], True, form="m")
    # In-place forms: the result is cast to self's dtype, or refused.
    for op in ("add", "sub", "mul", "div", "floor_divide", "remainder", "pow"):
        for a in DTYPES:
            for b in (f64, i64, u8, b8):
                promoted(fam, op, one[a], two[b], form="i")
            promoted(fam, op, one[a], 2, form="i")
            promoted(fam, op, one[a], 2.5, form="i")
    for op in ("eq", "lt", "ge"):
        promoted(fam, op, one[f32], two[f32], form="i")
        promoted(fam, op, one[i64], 3, form="i")
    # Operators with numbers on either side.
    for op in ("+", "-", "*", "/", "//", "%", "^"):
        for dt in (f32, f64, i64, i32, u8):
            promoted(fam, op, one[dt], two[dt], form="o")
            for scalar in (2, 2.5):
                promoted(fam, op, one[dt], scalar, form="o")
                promoted(fam, op, scalar, one[dt], form="o")
        promoted(fam, op, one[b8], two[b8], form="o")
        promoted(fam, op, 2, one[b8], form="o")
        if op != "//":
            c(op, fam.x((2, 3), lo=1, g=True), fam.x((3,), lo=1, g=True), form="o")
            c(op, fam.x((2, 3), lo=1, g=True), 2.5, form="o")
        if op not in ("//", "%"):
            c(op, 2.5, fam.x((2, 3), lo=1, g=True), form="o")
    for op in ("&", "|", "~"):
        for dt in (i64, i32, u8, b8):
            promoted(fam, op, fam.x((4,), dt, lo=1), fam.x((4,), dt, lo=1), form="o")
        promoted(fam, op, fam.x((3,), i64), fam.x((3,), u8), form="o")
        promoted(fam, op, fam.x((3,), i64), 6, form="o")
        promoted(fam, op, 6, fam.x((3,), i64), form="o")
        promoted(fam, op, one[f32], one[f32], form="o")
    for op in ("<<", ">>"):
        for dt in (i64, i32, u8):
            promoted(fam, op, X((3,), [1, 5, 100], dt), X((3,), [1, 2, 0], dt), form="o")
        promoted(fam, op, X((3,), [1, -5, 100], i64), 2, form="o")
        promoted(fam, op, 64, X((3,), [1, 2, 3], i64), form="o")
    for dt in DTYPES:
        promoted(fam, "unm", one[dt], form="o")
        if dt not in FLOATS:
            c("bnot", one[dt], form="o")
        promoted(fam, "neg", one[dt])
    c("unm", fam.x((2, 3), g=True), form="o")
    c("#", fam.x((4, 2)), form="o")
    # Broadcasting, layouts, gradients.
    for op in ("add", "sub", "mul", "div", "pow"):
        lo = 1 if op in ("pow", "div") else -3
        for layout in LAYOUTS:
            c(op, fam.x((2, 3), layout=layout, g=True, lo=lo), fam.x((2, 3), layout=layout, g=True, lo=lo))
            c(op, fam.x((2, 3), f64, layout=layout, g=True, lo=lo), fam.x((3,), f64, g=True, lo=lo))
        for sa, sb in (((2, 1), (1, 3)), ((3,), (2, 1)), ((), (2, 3)), ((2, 3), ()), ((), ()), ((0, 3), (3,)), ((2, 1, 3), (4, 1)), ((1,), (0,)), ((1,), (2, 2))):
            c(op, fam.x(sa, g=True, lo=lo), fam.x(sb, g=True, lo=lo))
        c(op, fam.x((2, 3), g=True, lo=lo), fam.x((1, 3), g=True, lo=lo), form="i")
        c(op, fam.x((2, 3), layout="t", lo=lo), fam.x((2, 3), layout="s", lo=lo), form="i")
        c(op, fam.x((2, 3), layout="s", lo=lo), fam.x((3,), lo=lo), form="i")
        c(op, fam.x((3,), lo=lo), fam.x((2, 3), lo=lo), form="i", err="output with shape [3] doesn't match the broadcast shape [2, 3]")
        c(op, fam.x((2, 3), layout="e", lo=lo), 2.0, form="i", err="more than one element of the written-to tensor refers to a single memory location")
        c(op, fam.x((2,), g=True, lo=lo), 2.0, form="i", err="a leaf Variable that requires grad is being used in an in-place operation")
        c(op, fam.x((2, 3)), fam.x((2, 4)), err="The size of tensor a (3) must match the size of tensor b (4) at non-singleton dimension")
    c("add", fam.x((2, 3), g=True), fam.x((2, 3), g=True), alpha=2)
    c("sub", fam.x((2, 3), g=True), fam.x((3,), g=True), alpha=0.5)
    c("add", fam.x((3,), i64), fam.x((3,), i64), alpha=3)
    c("add", fam.x((3,), i64), 2, alpha=3)
    c("add", fam.x((3,)), fam.x((3,)), alpha=2, form="i")
    c("add", fam.x((3,), i64), fam.x((3,), i64), alpha=0.5, err="For integral input tensors, argument alpha must not be a floating point number")
    c("add", kw={"input": fam.x((2,)), "other": fam.x((2,))}, form="f")
    special = X((8,), [0.0, -0.0, 1.0, -1.0, inf, -inf, nan, 2.5])
    other = X((8,), [0.0, 3.0, 0.0, 0.0, inf, 2.0, 1.0, nan])
    for op in ("add", "sub", "mul", "div", "floor_divide", "remainder", "pow", "eq", "ne", "lt", "le", "gt", "ge"):
        c(op, special, other, z=op in ("add", "mul", "div"))
        c(op, other, special, z=op in ("add", "mul", "div"))
        c(op, special, 0.0)
        c(op, special, nan)
    for rounding in ("floor", "trunc"):
        for dt in (f32, f64, i64, i32, u8):
            c("div", X((4,), [7, 8, 9, 1] if dt == u8 else [7, -7, 9, -1], dt), X((4,), [2, 2, 4, 3], dt), rounding_mode=rounding)
        c("div", fam.x((3,), g=True, lo=1), 2.0, rounding_mode=rounding)
        c("div", special, other, rounding_mode=rounding)
        c("div", fam.x((3,), i64), 2, rounding_mode=rounding)
        c("div", X((3,), [7, 8, 9], i64), 2, rounding_mode=rounding, form="i")
    c("div", fam.x((2,)), 2.0, rounding_mode="up", err="div expected rounding_mode to be one of")
    for op in ("floor_divide", "remainder"):
        for dt in (i64, i32):
            c(op, X((4,), [7, -7, 7, -7], dt), X((4,), [2, 2, -2, -2], dt))
            c(op, X((2,), [1, 2], dt), X((2,), [1, 0], dt), err="ZeroDivisionError")
            c(op, X((2,), [1, 2], dt), 0, err="ZeroDivisionError")
        c(op, X((4,), [7.5, -7.5, 7.5, -7.5]), X((4,), [2, 2, -2, -2]))
        c(op, X((4,), [7.5, -7.5, 7.5, -7.5], f64), 2)
        c(op, 7, X((2,), [2, -2], i64), form="f")
    c("remainder", fam.x((4,), g=True), fam.x((4,), g=True, lo=1))
    c("remainder", X((2,), [-2 ** 63, 5], i64), -1)
    c("floor_divide", X((2,), [-9, 5], i64), -1)
    for base, e in (((2, 3, 4), 0), ((2, 3, 4), 1), ((2, -3, 4), 2), ((2, -3, 4), 3), ((2, 3, 4), -1), ((2, 3, 4), 0.5), ((4, 9, 2), -0.5), ((-1, 2, 3), 2.5), ((0, 1, 2), 0),
                    ((0, 1, 2), -1), ((0, 4, 1), 0.5)):
        for dt in FLOATS:
            c("pow", X((3,), base, dt, g=True), e)
    c("pow", 2, fam.x((3,), g=True), form="f")
    c("pow", 2.5, fam.x((3,), f64, g=True), form="f")
    c("pow", 2, X((3,), [0, 3, 5], i64), form="f")
    c("pow", X((3,), [2, -3, 4], i64), 3)
    c("pow", X((3,), [2, 3, 4], i64), -1, err="Integers to negative integer powers are not allowed")
    c("pow", X((3,), [2, 3, 4], i64), 0.5)
    c("pow", X((3,), [2, -1, 1], i64), X((3,), [2, 5, 4], i64))
    c("pow", X((3,), [0, 0, 2], g=True), X((3,), [0, 2, 0], g=True))
    for op in ("eq", "ne", "lt", "le", "gt", "ge"):
        for layout in LAYOUTS:
            c(op, fam.x((2, 3), layout=layout), fam.x((3,)))
        c(op, fam.x((2, 3)), fam.x((2, 4)), err="The size of tensor a (3) must match the size of tensor b (4) at non-singleton dimension")
        c(op, X((), [2.0]), X((), [2.0]))
        c(op, X((0,), []), 1)
        c(op, X((2,), [2 ** 53 + 1, 5], i64), 2 ** 53 + 1)
    x = fam.x((2, 3))
    c("equal", x, x)
    c("equal", x, X((2, 3), x.values, layout="t"))
    c("equal", x, fam.x((2, 3)))
    c("equal", x, fam.x((3, 2)))
    c("equal", X((2,), [nan, 1]), X((2,), [nan, 1]))
    c("equal", X((0,), []), X((0,), []))
    return fam


UNARY = ("exp", "log", "sqrt", "abs", "tanh", "sigmoid", "relu", "sin", "cos", "neg")


def unary():
    fam = Family("unary", "exp, log, sqrt, abs, tanh, sigmoid, relu, sin, cos, neg, clamp")
    c = fam.case
    special = [0.0, -0.0, 1.0, -1.0, inf, -inf, nan, 1e-30, 1e30, -1e30, 88.5, 100.0, -100.0, 0.5, -20.0]
    for op in UNARY:
        lo = 1 if op in ("log", "sqrt") else -3
        for layout in LAYOUTS:
            c(op, fam.x((3, 4), layout=layout, g=True, lo=lo))
        c(op, fam.x((2, 3), f64, g=True, lo=lo))
        for dt in (i64, i32, u8, b8):
            if (op, dt) in (("neg", b8), ("relu", b8), ("abs", b8)):
                continue
            c(op, fam.x((4,), dt, lo=max(lo, 0) if dt != i64 else lo))
        c(op, X((), [1.5], g=True))
        c(op, X((0, 3), []))
        c(op, X((15,), special), z=op not in ("sin", "cos"))
        c(op, X((15,), special, f64), z=True)
        c(op, X((4,), [0.0, 1.0, 2.0, 0.25], g=True))
        c(op, fam.x((2, 3), g=True, lo=lo), form="i")
        c(op, fam.x((2, 3), layout="s", lo=lo), form="i")
        c(op, fam.x((3, 2), layout="t", lo=lo), form="i")
        c(op, fam.x((40,), lo=max(lo, 0) or -3, layout="c"))
        if op not in ("relu", "abs", "neg"):
            c(op, fam.x((3,), i64), form="i", err="can't be cast to the desired output type Long")
        c(op, fam.x((2,), layout="c", g=True, lo=lo), form="i", err="a leaf Variable that requires grad is being used in an in-place operation")
        c(op, X((2, 3), [1.0] * 6, layout="e"), form="i", err="more than one element of the written-to tensor refers to a single memory location")
    c("neg", fam.x((3,), b8), err="on a bool tensor is not supported")
    c("relu", fam.x((3,), b8), err="Boolean inputs")
    c("sin", X((4,), [1e5, -1e5, 12345.678, 3.14159274]))
    c("cos", X((4,), [1e5, -1e5, 12345.678, 1.57079637]))
    c("abs", X((2,), [-2 ** 31, 5], i32))

    def between(shape, layout="c", g=True):
        """Values that meet no bound below: what the gradient is there differs among versions of PyTorch."""
        x = fam.x(shape, layout=layout, g=g)
        x.values = [v + 0.125 for v in x.values]
        return x

    for args in ((-1, 1), (-1.0, 1.5), (None, 1.0), (0.5,), (2, 1), (0,)):
        for layout in ("c", "t", "s"):
            c("clamp", between((2, 3), layout), *args)
        c("clamp", fam.x((2, 3), i64), *args)
        c("clamp", fam.x((2, 3)), *args, form="i")
    c("clamp", between((2, 3)), min=0)
    c("clamp", between((2, 3)), max=0.5)
    c("clamp", between((2, 3)), min=-0.25, max=0.25)
    c("clamp", X((4,), [nan, inf, -inf, 0.0]), -1.0, 1.0)
    c("clamp", X((2,), [1.0, 2.0]), nan)
    c("clamp", between((2, 3)), fam.x((3,)), fam.x((2, 1)))
    c("clamp", between((2, 3)), max=fam.x((3,), g=True))
    c("clamp", fam.x((3,), u8), 2, 5)
    c("clamp", fam.x((3,), i64), 1.5)
    c("clamp", fam.x((3,)), err="At least one of 'min' or 'max' must not be None")
    return fam


def reductions():
    fam = Family("reduce", "reductions, softmax")
    c = fam.case
    for op in ("sum", "mean", "prod", "var", "std"):
        for layout in LAYOUTS:
            lo = -3
            c(op, fam.x((3, 4), layout=layout, g=True, lo=lo, distinct=layout != "e"))
            for d in (0, 1, -1):
                c(op, fam.x((3, 4), layout=layout, g=True, distinct=layout != "e"), d) if not (layout == "e" and op == "std" and d == 0) else None
        c(op, fam.x((2, 3, 4), f64, g=True))
        for d in (0, 1, 2, -2):
            c(op, fam.x((2, 3, 4), f64, g=True), d, keepdim=True)
        if op != "prod":
            for d in ([0, 1], [0, 2], [-1, 0], [0, 1, 2], [1], []):
                g = d != [] or op in ("sum", "mean")  # PyTorch's gradient of var over no dims is infinite
                c(op, fam.x((2, 3, 4), g=g), d)
                c(op, fam.x((2, 3, 4), g=g), d, keepdim=True)
            c(op, fam.x((2, 3)), dim=[0, 1])
            c(op, fam.x((2, 3)), [0, 0], err="appears multiple times in the list of dims")
        c(op, fam.x((2, 3)), dim=1, keepdim=True)
        c(op, fam.x((2, 3)), 2, err="Dimension out of range")
        c(op, X((), [2.5], g=op not in ("std", "var")))
        c(op, X((), [2.5]), 0)
        c(op, X((3,), [1.0, nan, 2.0]))
        c(op, X((3,), [1.0, inf, 2.0]))
        c(op, X((2, 2), [inf, -inf, 1.0, 2.0]), 1)
        c(op, X((0,), []))
        c(op, X((0, 3), []), 0)
        c(op, X((0, 3), []), 1)
        c(op, X((2, 0), []), 1, keepdim=True)
        c(op, fam.x((100,)))
        if op in ("sum", "prod"):
            for dt in (i64, i32, u8, b8):
                c(op, fam.x((2, 3), dt))
                c(op, fam.x((2, 3), dt), 0)
                c(op, fam.x((2, 3), dt), dtype=f32)
            c(op, fam.x((2, 3)), dtype=f64)
            c(op, fam.x((2, 3)), dtype=i64)
            c(op, fam.x((2, 3), g=True), 1, dtype=f64)
            c(op, fam.x((2, 3)), 1, True, dtype=f64)
        elif op == "mean":
            for dt in (i64, i32, u8, b8):
                c(op, fam.x((2, 3), dt), err="could not infer output dtype")
                c(op, fam.x((2, 3), dt), dtype=f32)
            c(op, fam.x((2, 3), g=True), 1, dtype=f64)
        else:
            c(op, fam.x((2, 3), i64), err="only support floating point")
            for correction in (0, 1, 2):
                c(op, fam.x((2, 3), g=True, distinct=True), dim=1, correction=correction)
                c(op, fam.x((2, 3)), correction=correction)
            c(op, fam.x((2, 3), g=True, distinct=True), 1, False)
            c(op, fam.x((2, 3)), 1, True, True)
            c(op, fam.x((2, 3)), False)
            c(op, fam.x((2, 3)), unbiased=False)
            c(op, X((1,), [2.0]))
    c("prod", X((4,), [1.0, 0.0, 2.0, 3.0], g=True))
    c("prod", X((4,), [0.0, 0.0, 2.0, 3.0], g=True))
    c("prod", X((2, 3), [1.0, 0.0, 2.0, 3.0, 4.0, 5.0], g=True), 1)
    c("sum", kw={"input": fam.x((2, 3)), "dim": 1}, form="f")
    for op in ("max", "min"):
        for layout in LAYOUTS:
            c(op, fam.x((3, 4), layout=layout, g=True, distinct=layout != "e"))
            for d in (0, 1, -1):
                if not (layout == "e" and d == 0):
                    c(op, fam.x((3, 4), layout=layout, g=True, distinct=layout != "e"), d)
        for dt in DTYPES:
            c(op, fam.x((5,), dt))
            if dt != b8:
                c(op, fam.x((2, 3), dt, distinct=True), 1, True)
        c(op, fam.x((2, 3, 4), f64, g=True, distinct=True), 1, keepdim=True)
        c(op, fam.x((2, 3), distinct=True), dim=0)
        c(op, X((4,), [2.0, 2.0, 1.0, 1.0], g=True))
        c(op, X((2, 3), [1.0, 3.0, 3.0, 1.0, 1.0, 2.0], g=True), 1)
        c(op, X((3,), [1.0, nan, 2.0]))
        c(op, X((2, 3), [1.0, nan, 2.0, inf, -inf, 0.0]), 1)
        c(op, X((), [2.5]))
        c(op, X((), [2.5]), 0)
        c(op, X((0, 3), []), 1)
        c(op, X((0,), []), err="Expected reduction dim to be specified for input.numel() == 0")
        c(op, X((0, 3), []), 0, err="Expected reduction dim")
        c(op, fam.x((2, 3)), 2, err="Dimension out of range")
        c(op, fam.x((2, 3), g=True, lo=0), fam.x((2, 3), g=True, lo=0))
        c(op, fam.x((2, 3), g=True), fam.x((3,), g=True))
        c(op, fam.x((3,), i64), fam.x((3,), f32))
        c(op, X((3,), [1.0, nan, 2.0]), X((3,), [nan, 1.0, 3.0]))
        arg = "arg" + op
        for layout in LAYOUTS:
            c(arg, fam.x((3, 4), layout=layout, distinct=layout != "e"))
            c(arg, fam.x((3, 4), layout=layout, distinct=layout != "e"), 1)
            c(arg, fam.x((3, 4), layout=layout, distinct=layout != "e"), -2, keepdim=True)
        for dt in (f64, i64, i32, u8):
            c(arg, fam.x((2, 3), dt, distinct=True))
            c(arg, fam.x((2, 3), dt, distinct=True), 0)
        c(arg, fam.x((2, 3), distinct=True), keepdim=True)
        c(arg, X((5,), [1.0, 3.0, 1.0, 3.0, 2.0]))
        c(arg, X((3,), [1.0, nan, nan]))
        c(arg, X((2, 2), [1.0, 1.0, 2.0, 2.0]), 0)
        c(arg, X((), [2.5]))
        c(arg, X((), [2.5]), 0)
        c(arg, X((0,), []), err="Expected reduction dim to be specified for input.numel() == 0")
        c(arg, fam.x((2,)), 1, err="Dimension out of range")
    for p in (1, 2, inf, -inf, 0, 3, 0.5, -1, "fro"):
        g = p != 0  # PyTorch leaves the gradient of the count of non-zeros undefined
        for layout in ("c", "t"):
            c("norm", fam.x((2, 3), layout=layout, g=g, lo=1, distinct=True), p)
            if p != "fro":
                c("norm", fam.x((2, 3), f64, layout=layout, g=g, lo=1, distinct=True), p, 1)
        c("norm", fam.x((2, 3), g=g, lo=1, distinct=True), p, [0, 1])
        if p != "fro":
            c("norm", fam.x((2, 3), g=g, lo=1, distinct=True), p, 0, True)
    c("norm", fam.x((2, 3), g=True))
    c("norm", fam.x((2, 3)), dim=1)
    c("norm", fam.x((2, 3)), p=1, dim=1, keepdim=True)
    c("norm", X((3,), [0.0, 0.0, 0.0], g=True))
    c("norm", X((3,), [0.0, 0.0, 0.0], g=True), 1)
    c("norm", X((3,), [3.0, -4.0, 0.0], g=True))
    c("norm", X((3,), [3.0, nan, 0.0]))
    c("norm", X((3,), [3.0, -inf, 0.0]))
    c("norm", X((), [-3.0]))
    c("norm", X((0,), []))
    c("norm", X((3,), [1, 2, 3], i64), err="floating point")
    for op in ("softmax", "log_softmax"):
        for layout in LAYOUTS:
            for d in (0, 1, -1):
                c(op, fam.x((3, 4), layout=layout, g=True), d)
        c(op, fam.x((2, 3, 4), f64, g=True), 1)
        c(op, fam.x((2, 3, 4), f64, g=True), -3)
        c(op, fam.x((5,), g=True), 0)
        c(op, fam.x((2, 3)), dim=1)
        c(op, fam.x((2, 3), g=True), 1, dtype=f64)
        c(op, fam.x((2, 3), i64), 1, dtype=f32)
        c(op, X((), [2.0], g=True), 0)
        c(op, X((0, 3), []), 1)
        c(op, X((2, 0), []), 1)
        c(op, X((2, 2), [1000.0, 999.0, -1000.0, -1000.0], g=True), 1)
        c(op, X((2, 2), [inf, 0.0, -inf, 0.0]), 1)
        c(op, X((2, 2), [-inf, -inf, nan, 0.0]), 1)
        c(op, fam.x((40,)), 0)
        c(op, fam.x((2, 3), i64), 1, err="not implemented for")
        c(op, fam.x((2, 3)), 2, err="Dimension out of range")
        fam.lines.append('  { op = "%s", form = "fm", args = { %s }, err = "dim" },' % (op, fam.x((2, 3)).lua()))
    return fam


def matmuls():
    fam = Family("matmul", "matmul, mm, bmm, mv, dot, addmm")
    c = fam.case
    shapes = [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((2, 2, 3), (3, 4)), ((2, 2, 3), (2, 3, 2)), ((2, 3), (2, 3, 2)), ((1, 2, 3), (2, 3, 2)),
              ((2, 1, 2, 3), (3, 3, 2)), ((3,), (2, 3, 2)), ((2, 2, 3), (3,)), ((2, 1, 2, 3), (3,)), ((2, 2, 1, 3), (2, 1, 3, 2)), ((1, 1), (1, 1)),
              ((0, 3), (3, 2)), ((2, 0), (0, 3)), ((0, 2, 3), (3, 2)), ((2, 3), (3, 0)), ((0,), (0,))]
    for a, b in shapes:
        for dt in FLOATS:
            c("matmul", fam.x(a, dt, g=True), fam.x(b, dt, g=True))
        c("matmul", fam.x(a, i64), fam.x(b, i64))
    for la in LAYOUTS:
        for lb in LAYOUTS:
            c("matmul", fam.x((2, 3), layout=la, g=True), fam.x((3, 4), layout=lb, g=True))
            c("bmm", fam.x((2, 2, 3), layout=la, g=True), fam.x((2, 3, 2), layout=lb, g=True))
        c("mm", fam.x((2, 3), layout=la, g=True), fam.x((3, 4), layout=la, g=True))
        c("mv", fam.x((2, 3), layout=la, g=True), fam.x((3,), layout="s", g=True))
        c("addmm", fam.x((2, 4), layout=la, g=True), fam.x((2, 3), layout=la, g=True), fam.x((3, 4), g=True))
        c("matmul", fam.x((2, 2, 3), layout=la, g=True), fam.x((3,), layout=la, g=True))
    c("dot", fam.x((4,), g=True), fam.x((4,), g=True))
    c("dot", fam.x((4,), layout="s", g=True), fam.x((4,), layout="s", g=True))
    c("dot", fam.x((4,), f64, g=True), fam.x((4,), f64, g=True))
    c("dot", X((0,), []), X((0,), []))
    c("mm", fam.x((0, 3)), fam.x((3, 2)))
    c("mm", fam.x((2, 0), g=True), fam.x((0, 2), g=True))
    c("bmm", fam.x((2, 0, 3)), fam.x((2, 3, 2)))
    c("bmm", fam.x((0, 2, 3)), fam.x((0, 3, 2)))
    c("mv", fam.x((2, 0)), fam.x((0,)))
    for dt in (i64, i32, u8):
        for op, a, b in (("mm", (2, 3), (3, 2)), ("bmm", (2, 2, 3), (2, 3, 2)), ("mv", (2, 3), (3,)), ("dot", (3,), (3,))):
            c(op, fam.x(a, dt), fam.x(b, dt))
    c("mm", fam.x((17, 19)), fam.x((19, 18)))
    c("mm", fam.x((33, 5), layout="t"), fam.x((5, 20), layout="t"))
    c("addmm", fam.x((4,), g=True), fam.x((2, 3), g=True), fam.x((3, 4), g=True))
    c("addmm", fam.x((2, 1), g=True), fam.x((2, 3), g=True), fam.x((3, 4), g=True), beta=0.5, alpha=2.0)
    c("addmm", fam.x((2, 4), f64, g=True), fam.x((2, 3), f64, g=True), fam.x((3, 4), f64, g=True), beta=2, alpha=-1)
    c("addmm", X((2, 2), [nan, inf, 1, 2]), fam.x((2, 3)), fam.x((3, 2)), beta=0)
    c("addmm", fam.x((2, 2), i64), fam.x((2, 3), i64), fam.x((3, 2), i64))
    c("addmm", fam.x((2, 2)), fam.x((2, 3)), fam.x((3, 2)), form="i")
    c("addmm", fam.x((2, 2), g=True), fam.x((2, 3), g=True), fam.x((3, 2), g=True), beta=0.5, form="i")
    c("mm", X((2, 2), [nan, 0.0, 1.0, inf]), X((2, 2), [1.0, 0.0, 0.0, 1.0]))
    c("matmul", fam.x((2, 3)), fam.x((4, 5)), err="mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)")
    c("matmul", fam.x((4, 5)), fam.x((3, 2)), err="mat1 and mat2 shapes cannot be multiplied (4x5 and 3x2)")
    c("matmul", fam.x((2, 3)), fam.x((4,)), err="size mismatch, got input (2), mat (2x3), vec (4)")
    c("matmul", fam.x((3,)), fam.x((4,)), err="inconsistent tensor size, expected tensor [3] and src [4] to have the same number of elements")
    c("matmul", fam.x((2, 2, 3)), fam.x((3, 3, 2)), err="The size of tensor a (2) must match the size of tensor b (3) at non-singleton dimension")
    c("matmul", X((), [1.0]), fam.x((2, 2)), err="both arguments to matmul need to be at least 1D, but they are 0D and 2D")
    c("matmul", fam.x((2, 2)), fam.x((2, 2), f64), err="to have the same dtype")
    c("mm", fam.x((2, 2)), fam.x((2, 2), i64), err="dtype")
    c("mm", fam.x((2, 3)), fam.x((2, 3)), err="mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)")
    c("mm", fam.x((3,)), fam.x((3, 2)), err="self must be a matrix")
    c("mm", fam.x((2, 3)), fam.x((3,)), err="mat2 must be a matrix")
    c("bmm", fam.x((2, 3)), fam.x((2, 3, 2)), err="batch1 must be a 3D tensor")
    c("bmm", fam.x((2, 2, 3)), fam.x((3, 2)), err="batch2 must be a 3D tensor")
    c("bmm", fam.x((2, 2, 3)), fam.x((2, 4, 2)), err="Expected size for first two dimensions of batch2 tensor to be: [2, 3] but got: [2, 4]")
    c("mv", fam.x((2, 3)), fam.x((2,)), err="size mismatch, got input (2), mat (2x3), vec (2)")
    c("dot", fam.x((3,)), fam.x((4,)), err="inconsistent tensor size, expected tensor [3] and src [4] to have the same number of elements")
    c("dot", fam.x((2, 3)), fam.x((3,)), err="1D tensors expected, but got 2D and 1D tensors")
    c("addmm", fam.x((3, 3)), fam.x((2, 3)), fam.x((3, 4)), err="The expanded size of the tensor (4) must match the existing size (3)")
    return fam


def selects():
    fam = Family("select", "gather, scatter, index_select, masked_*, where, sort, topk")
    c = fam.case
    for layout in ("c", "t", "s"):
        for d, shape, limit in ((0, (2, 4), 3), (1, (3, 2), 4), (-1, (2, 5), 4)):
            c("gather", fam.x((3, 4), layout=layout, g=True), d, fam.index(shape, limit, layout="t" if layout == "t" else "c"))
        for d, limit in ((0, 3), (1, 4), (-1, 4)):
            c("index_select", fam.x((3, 4), layout=layout, g=True), d, fam.index((5,), limit, layout="s" if layout == "s" else "c"))
        c("scatter", fam.x((3, 4), layout=layout, g=True), 1, X((3, 2), [0, 2, 1, 3, 3, 0], i64), fam.x((3, 2), layout=layout, g=True))
        c("scatter", fam.x((3, 4), layout=layout, g=True), 0, X((1, 4), [0, 2, 1, 0], i64), fam.x((2, 4)))
        c("scatter", fam.x((3, 4), layout=layout, g=True), 1, X((2, 2), [0, 2, 1, 3], i64), 2.5)
        c("scatter", fam.x((3, 4), layout=layout), 1, X((2, 2), [0, 2, 1, 3], i64), 2.5, form="i")
        c("scatter", fam.x((3, 4), layout=layout), -1, X((2, 2), [0, 2, 1, 3], i64), fam.x((2, 2)), form="i")
        mask = fam.x((3, 4), b8, layout=layout)
        c("masked_select", fam.x((3, 4), layout=layout, g=True), mask)
        c("masked_fill", fam.x((3, 4), layout=layout, g=True), mask, 2.5)
        c("masked_fill", fam.x((3, 4), layout=layout), mask, -1, form="i")
        c("where", mask, fam.x((3, 4), layout=layout, g=True), fam.x((3, 4), g=True), form="f")
        c("sort", fam.x((3, 4), layout=layout, g=True, distinct=True))
        for d in (0, 1, -1):
            c("sort", fam.x((3, 4), layout=layout, g=True, distinct=True), d)
            c("sort", fam.x((3, 4), layout=layout, distinct=True), d, True)
            c("topk", fam.x((3, 4), layout=layout, g=True, distinct=True), 2, d)
            c("topk", fam.x((3, 4), layout=layout, distinct=True), 2, d, False)
    for dt in DTYPES:
        c("gather", fam.x((3,), dt), 0, X((2,), [2, 0], i64))
        c("scatter", fam.x((4,), dt), 0, X((2,), [2, 0], i64), fam.x((2,), dt))
        c("index_select", fam.x((3,), dt), 0, X((2,), [2, 0], i64))
        c("masked_select", fam.x((4,), dt), X((4,), [True, False, True, True], b8))
        c("masked_fill", fam.x((4,), dt), X((4,), [True, False, True, True], b8), 1)
        c("where", X((3,), [True, False, True], b8), fam.x((3,), dt), fam.x((3,), dt))
        if dt != b8:
            c("sort", fam.x((6,), dt, distinct=True))
            c("sort", fam.x((6,), dt, distinct=True), descending=True)
            c("topk", fam.x((6,), dt, distinct=True), 3)
        for other in (f32, i64, u8):
            c("where", X((3,), [True, False, True], b8), fam.x((3,), dt), fam.x((3,), other))
    # gather, scatter
    c("gather", fam.x((2, 3, 4), f64, g=True), 1, fam.index((2, 2, 4), 3))
    c("gather", fam.x((2, 3), g=True), 1, X((2, 3), [0, 0, 0, 1, 1, 2], i64))
    c("gather", fam.x((3,)), 0, X((0,), [], i64))
    c("gather", X((), [2.0]), 0, X((), [0], i64))
    c("gather", fam.x((2, 3)), kw={"dim": 1, "index": X((2, 1), [2, 0], i64)})
    c("gather", fam.x((2, 3)), 1, X((2, 1), [3, 0], i64), err="is out of bounds for dimension")
    c("gather", fam.x((2, 3)), 1, X((3, 1), [0, 0, 0], i64), err="Size does not match at dimension")
    c("gather", fam.x((2, 3)), 1, X((2,), [0, 0], i64), err="Index tensor must have the same number of dimensions as input tensor")
    c("gather", fam.x((2, 3)), 1, X((2, 1), [0.0, 0.0]), err="for index")
    c("gather", fam.x((2, 3)), 2, X((2, 1), [0, 0], i64), err="Dimension out of range")
    c("scatter", fam.x((2, 3)), 1, X((2, 1), [3, 0], i64), 1.0, err="is out of bounds for dimension")
    c("scatter", fam.x((2, 3)), 1, X((2, 1), [1, 0], i64), fam.x((2, 1), f64), err="Expected self.dtype to be equal to src.dtype")
    c("scatter", fam.x((2, 3)), 1, X((0, 3), [], i64), fam.x((0, 3)))
    # index_select
    c("index_select", fam.x((3, 4)), 0, X((2,), [2, 0], i32))
    c("index_select", fam.x((3, 4)), 0, X((0,), [], i64))
    c("index_select", fam.x((3, 4)), 1, X((), [2], i64))
    c("index_select", fam.x((2, 3, 4), f64, g=True), 1, X((4,), [2, 0, 2, 1], i64))
    c("index_select", fam.x((3, 4)), 0, X((1,), [3], i64), err="out of")
    c("index_select", fam.x((3, 4)), 0, X((1, 1), [0], i64), err="Index is supposed to be a vector")
    c("index_select", fam.x((3, 4)), 0, X((1,), [1.0]), err="for index")
    # masks
    c("masked_select", fam.x((3, 4), g=True), X((4,), [True, False, True, True], b8))
    c("masked_select", fam.x((4,)), X((2, 1), [True, False], b8))
    c("masked_select", fam.x((3,)), X((3,), [False, False, False], b8))
    c("masked_select", X((), [2.0]), X((), [True], b8))
    c("masked_select", fam.x((3,)), X((4,), [True] * 4, b8), err="must match")
    c("masked_select", fam.x((3,)), X((3,), [1, 0, 1], i64), err="expected BoolTensor for mask")
    c("masked_fill", fam.x((2, 3), g=True), X((3,), [True, False, True], b8), 0)
    c("masked_fill", fam.x((2, 3), g=True), X((2, 1), [True, False], b8), X((), [1.5], g=True))
    c("masked_fill", fam.x((2, 3), g=True), X((2, 1), [True, False], b8), -inf, form="i")
    c("masked_fill", fam.x((3,)), X((2, 3), [True, False] * 3, b8), 1.5)
    c("masked_fill", fam.x((3,), i64), X((3,), [True, False, True], b8), 7)
    c("masked_fill", fam.x((3,)), X((3,), [1, 0, 1], i64), 1.0, err="only supports boolean masks")
    c("masked_fill", fam.x((3,)), X((3,), [True] * 3, b8), fam.x((2,)), err="only supports a 0-dimensional value tensor")
    # where
    cond = X((2, 3), [True, False, True, False, False, True], b8)
    c("where", cond, fam.x((3,), g=True), fam.x((2, 1), g=True))
    c("where", cond, fam.x((2, 3), g=True), 0)
    c("where", cond, 1.5, fam.x((2, 3), g=True), form="f")
    c("where", cond, fam.x((2, 3), i64), 1.5, form="f")
    c("where", cond, 1, 0, form="f")
    c("where", cond, 1.0, 0, form="f")
    c("where", cond, X((), [2.0], f64), fam.x((2, 3)), form="f")
    c("where", X((), [True], b8), fam.x((2,)), fam.x((2,)), form="f")
    c("where", cond, fam.x((2, 3), i64), fam.x((2, 3), f32), form="f")
    c("where", X((2,), [True, False], b8), X((2,), [1.0, nan], g=True), X((2,), [inf, 2.0], g=True), form="f")
    c("where", cond, form="f")
    c("where", X((5,), [0, 1, 0, 2, 3], i64), form="f")
    c("where", X((2, 2), [0.0, 1.5, nan, 0.0]), form="f")
    c("where", X((0,), []), form="f")
    c("where", cond, fam.x((2, 4)), fam.x((2, 3)), form="f", err="must match the size of tensor")
    c("where", X((2,), [1, 0], i64), 1.0, 2.0, form="f", err="where expected condition to be a boolean tensor, but got a tensor with dtype Long")
    # sort, topk
    ties = X((8,), [2.0, 1.0, 2.0, 1.0, 3.0, 2.0, 1.0, 3.0])
    c("sort", ties, stable=True)
    c("sort", ties, stable=True, dim=0, descending=True)
    c("sort", X((6,), [1.0, nan, inf, -inf, 0.0, -1.0]))
    c("sort", X((6,), [1.0, nan, inf, -inf, 0.0, -1.0]), descending=True)
    c("sort", X((), [2.0]))
    c("sort", X((0,), []))
    c("sort", X((0, 3), []), 0)
    c("sort", X((4,), [True, False, True, False], b8), stable=True)
    c("sort", fam.x((2, 3, 4), f64, g=True, distinct=True), 1)
    c("sort", fam.x((50,), distinct=True))
    c("sort", fam.x((2, 3)), 2, err="Dimension out of range")
    c("topk", fam.x((2, 3, 4), f64, g=True, distinct=True), 2, 1)
    c("topk", fam.x((5,), distinct=True), 5)
    c("topk", fam.x((5,), distinct=True), 0)
    c("topk", fam.x((5,), distinct=True), k=2, largest=False, sorted=True)
    c("topk", X((5,), [1.0, nan, 3.0, inf, 0.0]), 2)
    c("topk", X((), [2.0]), 1)
    c("topk", fam.x((40,), distinct=True), 6)
    c("topk", fam.x((5,)), 6, err="selected index k out of range")
    c("topk", fam.x((5,)), -1, err="selected index k out of range")
    c("topk", fam.x((5,)), 2, 1, err="Dimension out of range")
    return fam


FAMILIES = (arith, unary, reductions, matmuls, selects)
