"""Pooling, and what undoes it."""
import torch

from calls import C, I, M, V, X, inf, nan

SIZES = {1: (7,), 2: (6, 5), 3: (4, 3, 4)}
KERNEL = {1: (3,), 2: (3, 2), 3: (2, 3, 1)}
STEPS = {1: (1,), 2: (1, 2), 3: (2, 1, 2)}
SIDES = {1: (1,), 2: (1, 0), 3: (1, 1, 0)}


def both(c, n, kind, x, args, kw, **more):
    """The function and the module, whose arguments are those behind the input."""
    name = {"max": "MaxPool", "avg": "AvgPool", "lp": "LPPool", "adaptive_max": "AdaptiveMaxPool",
            "adaptive_avg": "AdaptiveAvgPool"}[kind]
    c.twins(lambda: c.f("%s_pool%dd" % (kind, n), x, *args, **kw, **more),
            lambda: c.m(M("%s%dd" % (name, n), *args, **kw), x, **more))


def windows(c):
    for n in (1, 2, 3):
        sizes = SIZES[n]
        for x in (X(2, 1, *sizes), X(2, *sizes)) if n < 3 else (X(1, 2, *sizes), X(1, *sizes)):
            for kw in ({}, {"stride": 1}, {"stride": STEPS[n]}, {"padding": 1}, {"padding": SIDES[n]}, {"ceil_mode": True},
                       {"stride": 3, "ceil_mode": True, "padding": 1}):
                both(c, n, "max", x, (3,), kw)
                both(c, n, "max", x, (3,), {**kw, "return_indices": True})
                both(c, n, "avg", x, (3,), kw)
                both(c, n, "avg", x, (3,), {**kw, "count_include_pad": False})
                if n > 1:
                    both(c, n, "avg", x, (3,), {**kw, "divisor_override": 5})
            both(c, n, "max", x, (KERNEL[n],), {})
            both(c, n, "avg", x, (KERNEL[n],), {"stride": STEPS[n]})
            both(c, n, "max", x, (2,), {"dilation": 2})
            both(c, n, "max", x, (2,), {"dilation": 2, "stride": 1, "padding": 1, "return_indices": True})
            for p in (1, 2, 3.0, 1.5, inf) if n < 3 else (2, 3.0):
                both(c, n, "lp", X(*x.shape, m=29, s=-1), (p, 2), {})
                both(c, n, "lp", X(*x.shape, m=29, s=-1), (p, KERNEL[n] if n > 1 else 3), {"stride": STEPS[n], "ceil_mode": True})
            both(c, n, "lp", x, (2, 2), {})
        special = V([0.5, nan, -inf, inf, 2.0, nan, -1.0, 3.0], shape=(1, 8), g=False) if n == 1 else None
        if special:
            for kind in ("max", "avg"):
                both(c, 1, kind, special, (2,), {})
        both(c, n, "max", V([-inf] * 4 ** n, shape=(1,) + (4,) * n), (2,), {"return_indices": True})
        for letter in "hb":
            for kind in ("max", "avg"):
                if (kind, n) != ("avg", 3):
                    c.f("%s_pool%dd" % (kind, n), X(1, 2, *sizes), 2, _dtype=letter)
        for kind in ("max", "avg"):
            f = "%s_pool%dd" % (kind, n)
            if kind == "max" or n > 1:
                c.f(f, X(0, 2, *sizes), 2)
            if f != "avg_pool2d":
                c.f(f, C(2), 2, _err=True)
            c.f(f, C(1, 2, *sizes), 9, _err=True)
            c.f(f, C(1, 2, *sizes), 2, padding=2, _err=True)
            c.f(f, C(1, 2, *sizes), 2, stride=0, _err=True)
            c.f(f, C(1, 2, *sizes), 0, _err=True)
            if n == 1:
                c.f(f, C(1, 2, *sizes), [2, 2], _err=True)
        if n > 1:
            c.f("avg_pool%dd" % n, C(1, 2, *sizes), 2, divisor_override=0, _err=True)
        c.f("lp_pool%dd" % n, C(1, 2, *sizes), 2, 9, _err=True)
        c.f("max_pool%dd" % n, C(1, *[2] * n), 3, 1, 0, 1, True, _err=True)
        if n > 1:
            c.f("avg_pool%dd" % n, C(1, *[1] * n), [3] + [1] * (n - 1), padding=1, ceil_mode=True, _err=True)
        c.m(M("LPPool%dd" % n, 0, 2), C(1, 2, *sizes), _err=True)


def adaptive(c):
    for n in (1, 2, 3):
        sizes = SIZES[n]
        for x in (X(2, 1, *sizes), X(2, *sizes)):
            for size in (1, 2, 3, 5, (3, 2, 1)[:n], (2, 7, 3)[:n]):
                for kind in ("avg", "max"):
                    both(c, n, "adaptive_" + kind, x, (size,), {})
                both(c, n, "adaptive_max", x, (size,), {"return_indices": True})
            if n > 1:
                for size in ((None, 2, 2)[:n], (2, None, None)[:n], (None,) * n):
                    for kind in ("avg", "max"):
                        both(c, n, "adaptive_" + kind, x, (size,), {})
        for kind in ("avg", "max"):
            f = "adaptive_%s_pool%dd" % (kind, n)
            c.f(f, X(0, 2, *sizes), 2)
            c.f(f, C(2), 2, _err=True)
            if kind == "avg" or n == 1:
                c.f(f, C(1, 2, *sizes), [2] * (n + 1), _err=True)
            c.f(f, C(1, 2, *[0] * n), 2, _err=True)
            for letter in "hb":
                c.f(f, X(1, 2, *sizes), 2, _dtype=letter)


def unpools(c):
    """Windows that do not overlap, so that every place is written once."""
    for n in (1, 2, 3):
        sizes = (6, 4, 4)[:n]
        plane = torch.arange(1, 1 + torch.Size(sizes).numel(), dtype=torch.float32)
        whole = ((plane * 7) % 29).reshape(1, 1, *sizes).repeat(2, 2, *[1] * n)
        pool = getattr(torch.nn.functional, "max_pool%dd" % n)
        for kernel, kw in ((2, {}), (2, {"stride": 2}), ((2,) * n, {}), (3, {"stride": 2})):
            values, index = pool(whole, kernel, return_indices=True, **kw)
            plane = index[0, 0].reshape(-1).tolist()
            if len(set(plane)) < len(plane):
                continue
            given = tuple(values.shape)
            for batched in (True, False):
                shape = given if batched else given[1:]
                i = V((index if batched else index[0]).reshape(-1).tolist(), "i", shape=shape)
                c.f("max_unpool%dd" % n, X(*shape), i, kernel, **kw)
                c.m(M("MaxUnpool%dd" % n, kernel, **kw), X(*shape), i)
                lead = list(shape[:-n]) if batched else []
                c.f("max_unpool%dd" % n, X(*shape), i, kernel, output_size=lead + list(sizes), **kw)
                c.m(M("MaxUnpool%dd" % n, kernel, **kw), X(*shape), i, output_size=list(sizes))
        values, index = pool(whole, 2, 2, 1, return_indices=True)
        i = V(index.reshape(-1).tolist(), "i", shape=tuple(values.shape))
        c.f("max_unpool%dd" % n, X(*values.shape), i, 2, 2, 1)
        c.m(M("MaxUnpool%dd" % n, 2, 2, 1), X(*values.shape), i)
        small = (1, 1) + (2,) * n
        c.f("max_unpool%dd" % n, C(*small), I(1, 1, *(3,) * n, classes=4), 2, _err=True)
        c.f("max_unpool%dd" % n, C(*small), I(*small, classes=4), 2, output_size=[9] * n, _err=True)
        c.f("max_unpool%dd" % n, C(*small), I(*small, classes=4), 2, output_size=[4] * (n + 4), _err=True)
        c.f("max_unpool%dd" % n, C(*small), V([4 ** n + 3] * 2 ** n, "i", shape=small), 2, _err=True)


def refusals(c):
    for n in (1, 2, 3):
        for name in ("MaxPool", "AvgPool"):
            if (name, n) != ("AvgPool", 2):
                c.m(M("%s%dd" % (name, n), 2), C(2), _err=True)
            c.m(M("%s%dd" % (name, n), 9), C(1, 2, *SIZES[n]), _err=True)
            c.m(M("%s%dd" % (name, n), 2, padding=2), C(1, 2, *SIZES[n]), _err=True)
        c.m(M("LPPool%dd" % n, 2, 9), C(1, 2, *SIZES[n]), _err=True)
        for name in ("AdaptiveMaxPool", "AdaptiveAvgPool"):
            c.m(M("%s%dd" % (name, n), 2), C(2), _err=True)
            c.m(M("%s%dd" % (name, n), 2), C(1, 2, *[0] * n), _err=True)
        small = (1, 1) + (2,) * n
        c.m(M("MaxUnpool%dd" % n, 2), C(*small), I(1, 1, *(3,) * n, classes=4), _err=True)
        c.m(M("MaxUnpool%dd" % n, 2), C(*small), I(*small, classes=4), output_size=[9] * n, _err=True)


def describe(c):
    windows(c)
    refusals(c)
    adaptive(c)
    unpools(c)
