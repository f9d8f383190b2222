"""Convolutions and their transposed, padding, unfold and fold."""
from calls import C, M, V, X

# By the number of spatial dims: sizes of the input, a kernel, settings that differ from dim to dim.
SIZES = {1: (7,), 2: (5, 4), 3: (3, 2, 3)}
KERNEL = {1: (3,), 2: (3, 2), 3: (2, 1, 2)}
STEPS = {1: (2,), 2: (2, 1), 3: (1, 2, 1)}
SIDES = {1: (1,), 2: (0, 1), 3: (1, 0, 1)}


def convolutions(c):
    for n in (1, 2, 3):
        f, sizes, kernel = "conv%dd" % n, SIZES[n], KERNEL[n]
        settings = [{}, {"stride": 2}, {"stride": STEPS[n]}, {"padding": 1}, {"padding": SIDES[n]}, {"padding": "valid"},
                    {"dilation": 2, "padding": 1}, {"dilation": STEPS[n], "padding": 2}, {"groups": 2},
                    {"padding": "same"}, {"padding": "same", "dilation": 2}, {"padding": "same", "dilation": STEPS[n]},
                    {"stride": STEPS[n], "padding": SIDES[n], "dilation": STEPS[n], "groups": 2}]
        for kw in settings:
            groups = kw.get("groups", 1)
            for lead in ((2,), ()):
                for bias in ((X(2),), ()):
                    c.f(f, X(*lead, 2, *sizes), X(2, 2 // groups, *kernel), *bias, **kw)
        c.f(f, X(1, 3, *sizes), X(6, 1, *kernel), X(6), groups=3)                         # depthwise
        c.f(f, X(0, 2, *sizes), X(2, 2, *kernel), X(2))
        c.f(f, X(1, 2, *sizes), X(1, 2, *[1] * n), X(1))
        c.f(f, X(1, 2, *sizes), C(1, 2, *kernel), X(1))
        c.f(f, C(1, 2, *sizes), X(1, 2, *kernel))
        for letter in "hb":
            c.f(f, X(1, 2, *sizes), X(2, 2, *kernel), X(2), _dtype=letter)
        c.f(f, C(1, 3, *sizes), C(2, 2, *kernel), _err=True)
        c.f(f, C(1, 2, *sizes), C(2, 2, *kernel), C(3), _err=True)
        c.f(f, C(1, 2, *sizes), C(2, 2, *[9] * n), _err=True)
        c.f(f, C(1, 2, *sizes), C(2, 2, *kernel), stride=0, _err=True)
        c.f(f, C(1, 2, *sizes), C(2, 2, *kernel), padding=-1, _err=True)
        c.f(f, C(1, 2, *sizes), C(2, 2, *kernel), dilation=0, _err=True)
        c.f(f, C(1, 2, *sizes), C(3, 1, *kernel), groups=2, _err=True)
        c.f(f, C(2), C(2, 2, *kernel), _err=True)
        c.f(f, C(1, 2, *sizes), C(2, 2, *kernel), padding="same", stride=2, _err=True)
        c.f(f, C(1, 2, *sizes), C(2, 2, *kernel), padding="full", _err=True)
        c.f(f, C(1, 2, *sizes), C(2, 2, *kernel, dtype="h"), _err=True)

        name = "Conv%dd" % n
        x, alone = X(2, 4, *sizes), X(4, *sizes)
        for kw in settings:
            c.m(M(name, 4, 2, kernel, **kw), x)
        c.m(M(name, 4, 2, 2, bias=False), alone)
        for mode in ("reflect", "replicate", "circular"):
            c.m(M(name, 4, 2, kernel, padding=1, padding_mode=mode), x)
            c.m(M(name, 4, 2, kernel, padding=SIDES[n], padding_mode=mode, stride=2), alone)
            c.m(M(name, 4, 2, 2, padding="same", padding_mode=mode), x)
        c.m(M(name, 4, 4, 2, 2, 1, 1, 2, False, "circular"), x)
        c.m(M(name, 4, 3, 1, groups=2), _err=True)
        c.m(M(name, 3, 4, 1, groups=2), _err=True)
        c.m(M(name, 4, 4, 1, padding_mode="mirror"), _err=True)
        c.m(M(name, 4, 4, 1, padding="valid", stride=2), x)
        c.m(M(name, 4, 4, 1, padding="same", stride=2), _err=True)
        c.m(M(name, 4, 4, 1, padding="full"), _err=True)
        c.m(M(name, 4, 4, 1, groups=0), _err=True)
        c.m(M(name, 4, 4, 1), C(2, 3, *sizes), _err=True)
        c.m(M(name, 4, 4, 1), C(2), _err=True)


def transposed(c):
    for n in (1, 2, 3):
        f, sizes, kernel = "conv_transpose%dd" % n, (3, 2, 2)[:n], KERNEL[n]
        settings = [{}, {"stride": 2}, {"stride": STEPS[n]}, {"padding": 1 if n < 3 else SIDES[n]}, {"dilation": 2},
                    {"stride": 2, "output_padding": 1}, {"stride": 3, "output_padding": SIDES[n], "padding": 1 if n < 3 else 0},
                    {"groups": 2}, {"dilation": STEPS[n], "stride": STEPS[n]}]
        for kw in settings:
            for lead in ((2,), ()):
                for bias in ((X(2 * kw.get("groups", 1)),), ()):
                    c.f(f, X(*lead, 2, *sizes), X(2, 2, *kernel), *bias, **kw)
        c.f(f, X(0, 2, *sizes), X(2, 2, *kernel), X(2))
        for letter in "hb":
            c.f(f, X(1, 2, *sizes), X(2, 2, *kernel), X(2), _dtype=letter)
        c.f(f, C(1, 3, *sizes), C(2, 2, *kernel), _err=True)
        c.f(f, C(1, 2, *sizes), C(2, 2, *kernel), C(3), _err=True)
        c.f(f, C(1, 2, *sizes), C(2, 2, *kernel), output_padding=1, _err=True)
        c.f(f, C(1, 2, *sizes), C(2, 2, *kernel), stride=0, _err=True)
        name = "ConvTranspose%dd" % n
        x = X(2, 4, *sizes)
        for kw in settings:
            c.m(M(name, 4, 2, kernel, **kw), x)
        c.m(M(name, 4, 2, 2, bias=False), X(4, *sizes))
        c.m(M(name, 4, 2, 3, 2), x, list((8, 5, 6)[:n]))
        c.m(M(name, 4, 2, 3, 2), x, output_size=list((7, 6, 5)[:n]))
        c.m(M(name, 4, 2, 3, 2), x, output_size=[2, 2] + list((7, 6, 5)[:n]))
        c.m(M(name, 4, 2, 3, 2), C(2, 4, *sizes), [20] * n, _err=True)
        c.m(M(name, 4, 2, 3, 2), C(2, 4, *sizes), [7] * (n + 3), _err=True)
        c.m(M(name, 4, 2, 3, padding_mode="reflect"), _err=True)
        c.m(M(name, 4, 3, 1, groups=2), _err=True)


def pads(c):
    small = {1: (2, 4), 2: (2, 3, 4), 3: (1, 3, 3, 2)}
    for n in (1, 2, 3):
        inner = small[n]
        for lead in ((), (2,)):
            x = X(*lead, *inner)
            for mode in ("constant", "reflect", "replicate", "circular"):
                for sides in ((1,) * (2 * n), (1, 0, 0, 2, 2, 1)[:2 * n] if n < 3 else (1, 0, 0, 2, 2, 1), (0,) * (2 * n),
                              (-1, 1) + (1, 0) * (n - 1), (1, -1) + (0, -1) * (n - 1)):
                    c.f("pad", x, sides, mode=mode)
        c.f("pad", X(0, *inner), (1, 1) * n)
        c.f("pad", X(1, *inner), (1, 1) * n, value=2.5)
        c.f("pad", X(1, *inner), (1, 1) * n, "constant", -1.0)
        sides = (1, 2, 0, 1, 2, 1)[:2 * n] if n < 3 else (1, 0, 0, 1, 2, 1)
        for kind in ("Reflection", "Replication", "Circular", "Zero"):
            for x in (X(*inner), X(2, *inner)):
                c.m(M("%sPad%dd" % (kind, n), 1), x)
                c.m(M("%sPad%dd" % (kind, n), sides), x)
                c.m(M("%sPad%dd" % (kind, n), (-1, 1) + (1, 1) * (n - 1)), x)
            c.m(M("%sPad%dd" % (kind, n), 1), X(0, *inner))
        for x in (X(*inner), X(2, *inner)):
            c.m(M("ConstantPad%dd" % n, 1, 2.5), x)
            c.m(M("ConstantPad%dd" % n, sides, -3), x)
            c.m(M("ConstantPad%dd" % n, (0, -1) * n, 0), x)
        c.m(M("ReflectionPad%dd" % n, 4), C(1, *inner), _err=True)
        c.m(M("CircularPad%dd" % n, 7), C(1, *inner), _err=True)
        c.f("pad", C(*inner), (4, 4) * n, mode="reflect", _err=True)
        c.f("pad", C(1, *inner), (-4, -4) * n, _err=True)
    for sides in ((1, 2), (1, 2, 0, 1), (1, 0, 0, 1, 2, 0), (0, 1, 0, 0, 1, 1, 2, 0), (-1, -1), (-1, 2, 1, -1)):
        c.f("pad", X(2, 1, 3, 4), sides)
        c.f("pad", X(2, 1, 3, 4), sides, value=1)
    for mode in ("reflect", "replicate"):
        c.f("pad", C(1, 2, 3), (-2, -1), mode=mode, _err=True)
        c.f("pad", C(1, 2, 3, 3), (1, 0, -2, -2), mode=mode, _err=True)
        c.f("pad", C(1, 2, 3, 3, 3), (0, 0, 1, 0, -2, -1), mode=mode, _err=True)
    c.f("pad", C(1, 2, 3, 3), (3, 0, -2, -2), mode="reflect", _err=True)
    c.f("pad", C(1, 2, 3), (-2, -2), mode="circular", _err=True)
    c.f("pad", C(1, 2, 3), (4, -2), mode="circular", _err=True)
    c.f("pad", V([1, 2, 3], "n"), (1, 1), value=7)
    c.f("pad", V([1, 0, 1], "o"), (1, 1))
    c.f("pad", X(3), (1, 1, 1, 1), _err=True)
    c.f("pad", X(3), (1,), _err=True)
    c.f("pad", X(2, 3), (1, 1), mode="mirror", _err=True)
    c.f("pad", X(2, 2, 3), (1, 1), mode="reflect", value=1.0, _err=True)
    c.f("pad", X(3), (1, 1), mode="reflect", _err=True)
    for letter in "hb":
        for mode in ("constant", "reflect", "replicate", "circular"):
            c.f("pad", X(1, 2, 4), (1, 2), mode=mode, _dtype=letter)


def folds(c):
    for x in (X(2, 2, 4, 3), X(2, 4, 3)):
        for kernel, kw in ((2, {}), ((3, 2), {}), (2, {"stride": 2}), (2, {"padding": 1}), (2, {"dilation": 2}),
                           ((2, 1), {"stride": (1, 2), "padding": (1, 0), "dilation": (2, 1)})):
            c.f("unfold", x, kernel, **kw)
            c.m(M("Unfold", kernel, **kw), x)
    for lead in ((2,), ()):
        for rows, kernel, kw in ((6, 2, {}), (6, (2, 2), {}), (2, 2, {"stride": 2}), (20, 2, {"padding": 1}),
                                 (20, (2, 2), {"padding": (1, 1)})):
            c.f("fold", X(*lead, 8, rows), (4, 3), kernel, **kw)
            c.m(M("Fold", (4, 3), kernel, **kw), X(*lead, 8, rows))
        c.f("fold", X(*lead, 4, 2), (4, 3), (2, 1), dilation=(3, 1), stride=(1, 2))
        c.f("fold", X(*lead, 4, 9), 4, 2)
    c.f("unfold", X(0, 2, 4, 3), 2)
    c.f("unfold", C(1, 2, 4, 3), 5, _err=True)
    c.f("unfold", C(1, 2, 4, 3), 2, stride=0, _err=True)
    c.f("fold", C(1, 8, 5), (4, 3), 2, _err=True)
    c.f("fold", C(1, 7, 6), (4, 3), 2, _err=True)
    c.f("fold", C(8), (4, 3), 2, _err=True)


def describe(c):
    convolutions(c)
    transposed(c)
    pads(c)
    folds(c)
