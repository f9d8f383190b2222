"""Golden cases of operators that make, view, index, join and convert tensors."""
import torch

from cases import DTYPES, FLOATS, Family, X, b8, f32, f64, i32, i64, inf, nan, u8

LAYOUTS = ("c", "t", "s", "e")


def creation():
    fam = Family("creation", "creation")
    c = fam.case
    for data in ([1, 2, 3], [1.0, 2.5], [[1, 2], [3, 4]], [[1.5, -2.0], [0.0, 4.25]], [1, 2.5], [True, False], [[True], [False]], 3, 3.0,
                 True, 2.5, [], [[], []], [[[1, 2]], [[3, 4]]], [nan, inf, -inf], [True, 2], [True, 2.5], [9223372036854775807], nan):
        c("tensor", data)
    for dtype in DTYPES:
        c("tensor", [1, 0, 3], dtype=dtype)
        c("tensor", [1.5, 0.0, 2.75], dtype=dtype)
        c("tensor", 2, dtype=dtype)
        c("tensor", [True, False], dtype=dtype)
        c("tensor", [], dtype=dtype)
        for op in ("zeros", "ones"):
            c(op, 2, 3, dtype=dtype)
            c(op, [2], dtype=dtype)
        c("empty", 2, 3, dtype=dtype, novalues=True)
        c("full", [2, 2], 3, dtype=dtype)
        c("full", [2], 1.5, dtype=dtype)
        c("eye", 3, dtype=dtype)
        x = fam.x((2, 3), dtype)
        for op in ("zeros_like", "ones_like"):
            c(op, x)
            c(op, x, dtype=f64)
        c("empty_like", x, novalues=True)
        c("full_like", x, 2)
        if dtype != b8:
            c("arange", 5, dtype=dtype)
        if dtype in FLOATS:
            c("linspace", 0, 1, 5, dtype=dtype)
    c("zeros_like", fam.x((2, 3), layout="t"))
    c("ones_like", fam.x((0, 3)))
    c("full_like", fam.x((2,)), 1.5, dtype=f64)
    c("full_like", X((), [1.0]), 4)
    c("tensor", [1.0, 2.0], requires_grad=True)
    c("tensor", [[1, 2], [3]], err="expected sequence of length 2")
    for shape in ([], [0], [0, 3], [1], [2, 0, 2], [2, 1, 3]):
        c("zeros", shape)
        c("ones", shape)
        c("empty", shape, novalues=True)
        c("full", shape, 2.5)
    c("zeros", 3)
    c("ones", 1, 2, 1)
    c("zeros", 2, 3, requires_grad=True)
    c("full", [2], 7)
    c("full", [2], True)
    c("full", [], inf)
    c("full", [2], nan)
    c("zeros", -1, err="negative")
    c("ones", 2, -3, err="negative")
    c("full", [2, -3], 1.0, err="negative")
    for args in ((5,), (0,), (1, 5), (1, 10, 3), (5, 0, -2), (0, 1, 0.25), (2.5,), (1.0, 2.0, 0.5), (-3, 3), (3, 3), (0.0, 5), (10, 1, -4)):
        c("arange", *args)
    c("arange", kw={"end": 4})
    c("arange", 1, 7, step=2)
    c("arange", 5.0, dtype=i64)
    c("arange", 0, 5, 0, err="step must be nonzero")
    c("arange", 0, 5, -1, err="upper bound and lower bound inconsistent with step sign")
    for args in ((0, 1, 5), (0.0, 10.0, 11), (5, -5, 3), (1, 1, 4), (0, 1, 1), (0, 1, 0), (-1.5, 2.5, 9), (0, 1, 7)):
        c("linspace", *args)
    c("linspace", 0, 10, steps=4)
    c("linspace", 0, 10, 5, dtype=i64)
    c("linspace", 0, 1, -1, err="number of steps must be non-negative")
    for args in ((3,), (2, 3), (3, 2), (0,), (1,)):
        c("eye", *args)
    c("eye", -1, err="n must be greater or equal to 0")
    for seed in (0, 7, 123456789):
        c("rand", 5, seed=seed)
        c("rand", 2, 3, seed=seed, dtype=f64)
        c("randn", 3, seed=seed)
        c("randn", 20, seed=seed)
        c("randn", 5, seed=seed, dtype=f64)
        c("randn", 18, seed=seed, dtype=f64)
        c("randint", 10, [6], seed=seed)
        c("randint", -5, 5, [2, 3], seed=seed)
        c("randint", 0, 2 ** 40, [3], seed=seed)
        c("randint", 2, [4], seed=seed, dtype=f32)
        c("randint", 0, 256, [4], seed=seed, dtype=u8)
        c("randperm", 7, seed=seed)
    c("randperm", 0, seed=1)
    c("randperm", 5, seed=1, dtype=i32)
    c("rand", [], seed=1)
    c("rand_like", fam.x((2, 2)), seed=5)
    c("randn_like", fam.x((2, 2), f64), seed=5)
    c("randint_like", fam.x((2, 3), i64), 10, seed=5)
    c("randint_like", fam.x((2, 3)), -2, 3, seed=5)
    c("randint", 5, 5, [2], err="expects 'from' to be less than 'to'")
    c("randperm", -1, err="negative")
    data = bytes([0, 0, 128, 63, 0, 0, 0, 64, 1, 2, 3, 4, 0, 0, 32, 192])
    for dtype in (f32, f64, i64, i32, u8):
        c("frombuffer", data, dtype=dtype)
    c("frombuffer", bytes([1, 0, 1]), dtype=b8)
    c("frombuffer", data, dtype=i32, count=2)
    c("frombuffer", data, dtype=f32, offset=4)
    c("frombuffer", data, dtype=u8, count=3, offset=5)
    c("frombuffer", data, dtype=f32, offset=3, err="buffer length")
    c("frombuffer", data, dtype=i32, count=5, err="requested buffer length")
    c("frombuffer", data, dtype=f32, offset=16, err="must be non-negative and no greater than buffer length")
    return fam


def views():
    fam = Family("view", "views and shapes")

    def v(op, x, *args, form=None, **kw):
        """A view is checked for geometry (once per layout) and for its gradient."""
        fam.case(op, x, *args, form=form, view=True, **kw)

    def all_layouts(op, shape, *args, **kw):
        for layout in ("c", "t", "s"):
            v(op, fam.x(shape, layout=layout, g=True), *args, **kw)
        v(op, fam.x(shape, i64), *args, **kw)

    for args in ((0, 1), (1, 0), (0, 2), (-1, -2), (-1, 0), (1, 1)):
        all_layouts("transpose", (2, 3, 4), *args)
    v("transpose", fam.x((2, 3)), 0, 1)
    v("transpose", X((), [1.0]), 0, -1)
    v("transpose", fam.x((2, 3)), kw={"dim0": 0, "dim1": 1})
    for args in ((0, 1), (-1, 0)):
        fam.case("transpose", fam.x((2, 3, 4)), *args, form="i")
    fam.case("transpose", fam.x((2, 3)), 0, 2, err="Dimension out of range")
    fam.case("transpose", fam.x((2, 3)), -3, 1, err="Dimension out of range")
    for dims in ((2, 0, 1), (0, 1, 2), (1, 0, 2), (-1, 0, -2), (2, 1, 0)):
        all_layouts("permute", (2, 3, 4), *dims, form="m")
        v("permute", fam.x((2, 3, 4), g=True), list(dims))
    v("permute", X((), [1.0]), [])
    v("permute", fam.x((2, 3)), dims=[1, 0])
    fam.case("permute", fam.x((2, 3)), [0, 1, 2], err="does not match the length of the desired ordering of dimensions")
    fam.case("permute", fam.x((2, 3)), [0, 0], err="duplicate dims are not allowed")
    fam.case("permute", fam.x((2, 3)), [0, 2], err="Dimension out of range")
    for d in (0, 1, 2, 3, -1, -2, -4):
        all_layouts("unsqueeze", (2, 3, 2), d)
    v("unsqueeze", fam.x((1, 4, 3)), 2)
    v("unsqueeze", X((), [1.0]), 0)
    v("unsqueeze", X((0,), []), 1)
    fam.case("unsqueeze", fam.x((2, 3)), 1, form="i")
    fam.case("unsqueeze", fam.x((2, 3)), 3, err="Dimension out of range")
    fam.case("unsqueeze", fam.x((2, 3)), -4, err="Dimension out of range")
    for shape in ((1, 4, 1, 3), (1, 1), (2, 3), (1, 4, 3)):
        v("squeeze", fam.x(shape, g=True))
    for d in (0, 1, 2, -1, -2):
        all_layouts("squeeze", (1, 4, 1), d)
    v("squeeze", fam.x((1, 4, 1)), [0, 2])
    v("squeeze", fam.x((1, 4, 1)), dim=[0, 1])
    v("squeeze", X((), [2.0]))
    v("squeeze", X((), [2.0]), 0)
    fam.case("squeeze", fam.x((1, 3, 1)), form="i")
    fam.case("squeeze", fam.x((1, 3, 1)), 0, form="i")
    fam.case("squeeze", fam.x((1, 3)), 2, err="Dimension out of range")
    for shape in ((3, 2), (6,), (-1,), (1, 6), (2, -1), (3, 1, 2), (2, 3, 1)):
        v("view", fam.x((2, 3), g=True), *shape)
        v("view", fam.x((2, 3), i64), list(shape))
        for layout in ("c", "t", "s", "e"):
            v("reshape", fam.x((2, 3), layout=layout, g=True), *shape, form="m")
        v("reshape", fam.x((2, 3)), list(shape))
    v("view", fam.x((2, 3, 4), layout="s"), 6, 4)
    v("view", fam.x((4, 6), layout="s"), 2, 2, 3, 2)
    v("view", X((), [2.0]), 1)
    v("view", X((), [2.0]), 1, 1)
    v("view", X((1,), [2.0]), [])
    v("view", X((0, 3), []), 3, 0)
    v("reshape", X((0, 3), []), [0])
    v("reshape", X((1, 1), [2.0]), [])
    v("reshape", fam.x((4, 6), layout="t"), [6, 4])
    v("reshape", fam.x((2, 3, 4), layout="t"), [2, 12])
    fam.case("view", fam.x((2, 3), layout="t"), 6, err="view size is not compatible with input tensor's size and stride")
    v("view", fam.x((3, 4), layout="s"), 2, 2, 3)
    fam.case("view", fam.x((2, 3, 4), layout="t"), 2, 12, err="view size is not compatible with input tensor's size and stride")
    fam.case("view", fam.x((2, 3)), 4, 2, err="shape '[4, 2]' is invalid for input of size 6")
    fam.case("view", fam.x((2, 3)), 4, -1, err="shape '[4, -1]' is invalid for input of size 6")
    fam.case("view", fam.x((2, 3)), -1, -1, err="only one dimension can be inferred")
    fam.case("view", fam.x((2, 3)), -2, 3, err="invalid shape dimension -2")
    fam.case("view", X((0,), []), -1, 0, err="cannot reshape tensor of 0 elements into shape [-1, 0]")
    fam.case("reshape", fam.x((2, 3)), [4, 2], err="shape '[4, 2]' is invalid for input of size 6")
    for layout in LAYOUTS:
        v("contiguous", fam.x((2, 3), layout=layout, g=True))
        v("flatten", fam.x((2, 3, 2), layout=layout, g=True))
    for shape, args in (((3,), (2, 3)), ((1, 3), (2, 3)), ((2, 1), (2, 3)), ((1,), (4,)), ((2, 1, 3), (2, 4, 3)), ((3,), (-1,)), ((2, 1), (-1, 4)),
                        ((3,), (2, 2, -1)), ((2, 3), (2, 3)), ((1, 1), (0, 2)), ((1,), (2, 0))):
        v("expand", fam.x(shape, g=True), *args)
        v("expand", fam.x(shape, i64), list(args))
    v("expand", X((), [2.0], g=True), 2, 2)
    v("expand", fam.x((1, 3), layout="s"), 2, 3)
    fam.case("expand", fam.x((3,)), 4, err="The expanded size of the tensor (4) must match the existing size (3) at non-singleton dimension")
    fam.case("expand", fam.x((2, 3)), 3, err="number of sizes provided (1) must be greater or equal to the number of dimensions in the tensor (2)")
    fam.case("expand", fam.x((3,)), -1, 3, err="isn't allowed in a leading, non-existing dimension")
    for args in ((), (1,), (0, 1), (1, 2), (0, 2), (-2, -1), (1, 1), (1, 3)):
        v("flatten", fam.x((2, 3, 2, 2), g=True), *args)
    v("flatten", fam.x((2, 3, 4)), kw={"start_dim": 1})
    v("flatten", fam.x((2, 3, 4)), kw={"end_dim": 1})
    v("flatten", X((), [2.0]))
    v("flatten", X((0, 3), []))
    fam.case("flatten", fam.x((2, 3, 4)), 2, 1, err="start_dim cannot come after end_dim")
    for x in (fam.x((2, 3), g=True), fam.x((3,), g=True), X((), [1.0]), fam.x((2, 3), layout="t"), fam.x((2, 3), layout="s")):
        v("t", x)
    fam.case("t", fam.x((2, 3)), form="i")
    fam.case("t", fam.x((2, 3, 4)), err="expects a tensor with <= 2 dimensions")
    v("T", fam.x((2, 3), g=True), form="p")
    v("mT", fam.x((2, 3, 4), g=True), form="p")
    fam.case("mT", fam.x((2,)), form="p", err="only supported on matrices or batches of matrices")
    for args in ((0, 0, 2), (1, 1, 2), (0, -1, 1), (-1, 2, 0), (1, -3, 2), (0, 3, 0)):
        all_layouts("narrow", (3, 4), *args)
    v("narrow", fam.x((3, 4)), kw={"dim": 1, "start": 2, "length": 2})
    fam.case("narrow", fam.x((3, 4)), 0, 2, 2, err="exceeds dimension size (3)")
    fam.case("narrow", fam.x((3, 4)), 0, 0, -1, err="length must be non-negative")
    fam.case("narrow", fam.x((3, 4)), 2, 0, 1, err="Dimension out of range")
    for args in ((0, 1), (1, 0), (1, -1), (-1, 2), (0, -3)):
        all_layouts("select", (3, 4), *args)
    fam.case("select", fam.x((3, 4)), 0, 3, err="out of range for tensor of size [3, 4] at dimension")
    fam.case("select", X((), [1.0]), 0, 0, err="select() cannot be applied to a 0-dim tensor")
    for d in (0, 1, -1):
        fam.case("unbind", fam.x((2, 3), g=True), d)
    fam.case("unbind", fam.x((2, 3), i64, layout="t"))
    for x in (fam.x((2, 3)), X((), [1.0]), X((0, 3), []), fam.x((2, 3), layout="t"), fam.x((2, 3, 4), layout="s")):
        for op in ("size", "stride", "dim", "numel", "is_contiguous"):
            fam.case(op, x, form="m")
        for op in ("ndim", "itemsize", "nbytes", "is_leaf", "requires_grad", "is_cuda", "dtype"):
            fam.case(op, x, form="p")
    for d in (0, 2, -1):
        fam.case("size", fam.x((2, 3, 4)), d, form="m")
        fam.case("stride", fam.x((2, 3, 4)), d, form="m")
    fam.case("size", fam.x((2, 3)), 2, form="m", err="Dimension out of range")
    fam.case("is_leaf", fam.x((2,), g=False), form="p")
    # A dim 0 is refused wherever dims arrive.
    x = fam.x((2, 3))
    for op in ("transpose", "squeeze", "unsqueeze", "unbind", "size", "sum", "softmax", "argmax", "sort", "max", "std", "flatten"):
        zero(fam, op, x)
    return fam


def zero(fam, op, x):
    """A call with dim 0, in moontorch's own counting, since Python's dim 0 would be shifted to 1."""
    args = "0, 1" if op == "transpose" else "0"
    form = "fm" if hasattr(torch, op) else "m"
    fam.lines.append('  { op = "%s", form = "%s", args = { %s, %s }, err = "from 1" },' % (op, form, x.lua(), args))


def index():
    fam = Family("index", "x[key] and x[key] = v")
    s_ = slice
    keys = {
        (5,): [0, 4, -1, -5, s_(1, 3), s_(None), s_(0, 5, 2), s_(1, None, 3), s_(-3, None), s_(1, -1), s_(2, 100), s_(-10, 2), s_(3, 1), s_(5, None),
               s_(-2, -1), None, Ellipsis, (2,), (s_(1, 4),), (None, s_(1, 4)), (Ellipsis, 0), (0, Ellipsis), (Ellipsis, None), (None, 2, None)],
        (3, 4): [0, -1, (1, 2), (-1, -1), s_(0, 2), (s_(None), 1), (1, s_(None)), (s_(None), s_(1, 3)), (s_(0, 2), s_(1, None, 2)), (Ellipsis, 0),
                 (0, Ellipsis), (s_(None), None), (None, 1), (s_(None), None, s_(1, 3)), (s_(2, 1), s_(None)), (Ellipsis, s_(0, 2)), (None, None, 1, None, 0),
                 (s_(None, None, 2), -1), (s_(-2, None), s_(-3, -1)), Ellipsis, None, (0, None, Ellipsis)],
        (2, 3, 4): [0, (1, 2), (1, 2, 3), (s_(None), 1), (s_(None), s_(None), 2), (Ellipsis, 1), (0, Ellipsis, 1), (0, Ellipsis), (s_(1, None), Ellipsis, s_(1, 3)),
                    (None, Ellipsis, None), (s_(None), 0, s_(0, 4, 3)), (-1, s_(0, 2), -2)],
    }
    number = 0
    for shape, list_ in keys.items():
        for key in list_:
            layout = "cts"[number % 3]
            number += 1
            fam.case("index", fam.x(shape, layout=layout, g=True), key, form="x", view=True)
            fam.case("index", fam.x(shape, layout=layout), key, number * 1.5, form="w")
            x = fam.x(shape)
            part = x.make()[key]
            if part.dim() <= 3:
                fam.case("index", fam.x(shape, layout=layout, g=True), key, fam.x(part.shape, g=True), form="w")
    for dtype in DTYPES:
        fam.case("index", fam.x((3,), dtype), 1, form="x")
        fam.case("index", fam.x((3,), dtype), 1, 1, form="w")
        fam.case("index", fam.x((2, 3), dtype), (s_(None), 1), fam.x((2,), dtype), form="w")
    fam.case("index", fam.x((3,), i64), 0, 2.75, form="w")
    fam.case("index", fam.x((3,), i64), s_(0, 2), fam.x((2,), f32), form="w")
    fam.case("index", fam.x((3,), f32), s_(0, 2), fam.x((2,), i64), form="w")
    fam.case("index", fam.x((3,), f32), s_(0, 2), True, form="w")
    fam.case("index", fam.x((3,), b8), 0, True, form="w")
    fam.case("index", fam.x((2, 3)), (s_(None), s_(1, 3)), fam.x((2,)), form="w")
    fam.case("index", fam.x((2, 3)), s_(None), fam.x((3,)), form="w")
    fam.case("index", fam.x((2, 3)), s_(None), fam.x((2, 1)), form="w")
    fam.case("index", fam.x((2, 3)), 0, X((), [2.5]), form="w")
    fam.case("index", fam.x((2, 3)), 0, fam.x((1, 3)), form="w")
    fam.case("index", fam.x((2, 3)), 0, fam.x((2,)), form="w", err="The expanded size of the tensor (3) must match the existing size (2)")
    # Index tensors and masks.

    def adv(shape, key, value=None):
        for layout in "ct":
            fam.case("index", fam.x(shape, layout=layout, g=True), key, form="x")
        fam.case("index", fam.x(shape, layout="s"), key, 7.5, form="w")
        part = fam.x(shape).make()[to_torch(key)]
        fam.case("index", fam.x(shape), key, fam.x(part.shape), form="w")
        fam.case("index", fam.x(shape), key, fam.x((1,) * part.dim()), form="w")

    def I(*values, dtype=i64):
        return X((len(values),), values, dtype)

    def M(values, shape=None):
        return X(shape or (len(values),), [bool(x) for x in values], b8)

    adv((5,), I(0, 3))
    adv((5,), I(4, 2, 0))
    adv((5,), I(-1, 0))
    adv((5,), I(1, 3, dtype=i32))
    adv((5,), X((2, 2), [0, 1, 2, 3], i64))
    adv((5,), X((), [3], i64))
    adv((5,), I())
    adv((5,), (I(1, 2),))
    adv((5,), (I(1, 2), None))
    adv((5,), (None, I(1, 2)))
    adv((5,), M([1, 0, 1, 1, 0]))
    adv((5,), M([0, 0, 0, 0, 0]))
    adv((3, 4), I(2, 0))
    adv((3, 4), (I(2, 0), I(1, 3)))
    adv((3, 4), (I(2, 0), 1))
    adv((3, 4), (1, I(1, 3)))
    adv((3, 4), (s_(None), I(1, 3, 0)))
    adv((3, 4), (s_(0, 2), I(1, 3)))
    adv((3, 4), (I(0, 2), s_(1, 3)))
    adv((3, 4), (X((2, 1), [0, 2], i64), I(1, 3, 0)))
    adv((3, 4), (Ellipsis, I(1, 0)))
    adv((3, 4), (I(1), I(1, 0, 2)))
    adv((3, 4), M([1, 0, 1]))
    adv((3, 4), (s_(None), M([1, 0, 1, 1])))
    adv((3, 4), (M([1, 0, 1]), 2))
    adv((3, 4), (M([1, 0, 1]), I(1, 2)))
    adv((3, 4), (M([1, 0, 1]), s_(1, 3)))
    adv((3, 4), M([1, 0, 1, 0, 0, 1, 1, 0, 1, 1, 0, 1], (3, 4)))
    adv((3, 4), (1, M([1, 0, 1, 1])))
    adv((2, 3, 4), (I(1, 0), s_(None), I(2, 3)))
    adv((2, 3, 4), (s_(None), I(1, 0), I(2, 3)))
    adv((2, 3, 4), (I(1, 0), I(2, 1)))
    adv((2, 3, 4), (I(1, 0), s_(None), 2))
    adv((2, 3, 4), (0, s_(None), I(2, 3, 1)))
    adv((2, 3, 4), (I(0, 1), None, I(2, 1)))
    adv((2, 3, 4), (s_(None), X((2, 2), [0, 1, 2, 0], i64)))
    adv((2, 3, 4), M([1, 0, 1, 0, 1, 1], (2, 3)))
    adv((2, 3, 4), (Ellipsis, M([1, 0, 0, 1])))
    adv((2, 3, 4), (s_(None), I(1), Ellipsis, 3))
    for dtype in DTYPES:
        fam.case("index", fam.x((4,), dtype), I(3, 0), form="x")
        fam.case("index", fam.x((4,), dtype), M([1, 0, 1, 0]), form="x")
        fam.case("index", fam.x((4,), dtype), I(3, 0), fam.x((2,), dtype), form="w")
        fam.case("index", fam.x((4,), dtype), M([1, 0, 1, 0]), 1, form="w")
    fam.case("index", fam.x((4,), g=True), I(1, 1, 2), form="x")
    fam.case("index", fam.x((4,), g=True), I(1, 3), fam.x((2,), g=True), form="w")
    fam.case("index", fam.x((4,), g=True), M([1, 0, 1, 0]), fam.x((2,), g=True), form="w")
    fam.case("index", fam.x((3, 4), g=True), (I(1, 0), s_(1, 3)), fam.x((2, 2), g=True), form="w")
    fam.case("index", fam.x((4,), g=True), M([1, 0, 1, 0]), 0.5, form="w")
    fam.case("index", X((0, 3), []), s_(0, 0), form="x")
    fam.case("index", X((0, 3), []), (s_(None), 1), form="x")
    fam.case("index", X((2, 2), [1, 2, 3, 4], layout="e"), s_(None), fam.x((2, 2)), form="w", err="more than one element of the written-to tensor refers to a single memory")
    # Refusals.
    x = fam.x((3, 4))
    fam.case("index", x, 3, form="x", err="is out of bounds for dimension")
    fam.case("index", x, -4, form="x", err="is out of bounds for dimension")
    fam.case("index", x, (0, 4), form="x", err="is out of bounds for dimension")
    fam.case("index", x, (0, 0, 0), form="x", err="too many indices for tensor of dimension 2")
    fam.case("index", X((), [1.0]), 0, form="x", err="invalid index of a 0-dim tensor")
    fam.case("index", x, I(0, 3), form="x", err="is out of bounds for dimension")
    fam.case("index", x, (s_(None), I(-5)), form="x", err="is out of bounds for dimension")
    fam.case("index", x, M([1, 0]), form="x", err="does not match the shape of the indexed tensor [3, 4] at index")
    fam.case("index", x, (I(0, 1), I(0, 1, 2)), form="x", err="shape mismatch: indexing tensors could not be broadcast together with shapes [2], [3]")
    fam.case("index", x, I(0, 1), fam.x((3, 3)), form="w", err="shape mismatch: value tensor of shape [3, 3] cannot be broadcast to indexing result of shape [2, 4]")
    fam.case("index", x, X((2,), [1.0, 2.0]), form="x", err="tensors used as indices must be")
    fam.case("index", x, (Ellipsis, Ellipsis), form="x", own="ellipsis")
    fam.case("index", fam.x((2, 3), g=True), 0, 1.0, form="w", err="a view of a leaf Variable that requires grad is being used in an in-place operation")
    own = [("0", "from 1"), ("{ 1, 0 }", "from 1"), ("true", "bool tensor"), ("{ { 2 } }", "-1"), ('{ t = "uint8", s = { 3 }, v = { 1, 0, 1 } }', "bool"),
           ("{ { 1, 3, 0 } }", "step"), ("{ { 1, 3, -1 } }", "step"), ('{ t = "int64", s = { 2 }, v = { 1, 0 } }', "from 1")]
    for key, err in own:
        fam.lines.append('  { op = "index", form = "x", args = { %s, %s }, err = "%s" },' % (x.lua(), key, err))
        fam.lines.append('  { op = "index", form = "w", args = { %s, %s, 1.0 }, err = "%s" },' % (x.lua(), key, err))
    return fam


def to_torch(key):
    if isinstance(key, tuple):
        return tuple(to_torch(k) for k in key)
    return key.make() if isinstance(key, X) else key


def joins():
    fam = Family("join", "cat, stack, split, chunk")
    c = fam.case
    for layout in ("c", "t", "s"):
        for d in (0, 1, -1):
            c("cat", [fam.x((2, 3), layout=layout, g=True), fam.x((2, 3), g=True)], d)
        for d in (0, 1, 2, -1):
            c("stack", [fam.x((2, 3), layout=layout, g=True), fam.x((2, 3), g=True)], d)
    c("cat", [fam.x((1, 3), g=True), fam.x((2, 3), g=True), fam.x((3, 3), g=True)])
    c("cat", [fam.x((2, 1)), fam.x((2, 3))], dim=1)
    c("cat", [fam.x((2,))])
    c("cat", [fam.x((0,)), fam.x((2, 3))])
    c("cat", [fam.x((0, 3)), fam.x((2, 3))])
    c("cat", [fam.x((2, 0)), fam.x((2, 3))], 1)
    c("stack", [X((), [1.0], g=True), X((), [2.0], g=True)])
    c("stack", [fam.x((2,))], dim=1)
    for a in DTYPES:
        for b in DTYPES:
            if DTYPES.index(b) > DTYPES.index(a):
                c("cat", [fam.x((2,), a), fam.x((1,), b)])
        c("cat", [fam.x((2,), a), fam.x((1,), a)])
        c("stack", [fam.x((2,), a), fam.x((2,), a)])
    c("stack", [fam.x((2,), f32), fam.x((2,), i64)])
    c("cat", [fam.x((2, 3)), fam.x((3, 4))], err="Sizes of tensors must match except in dimension")
    c("cat", [fam.x((2, 3)), fam.x((3,))], err="Tensors must have same number of dimensions: got 2 and 1")
    c("cat", [], err="expected a non-empty list of Tensors")
    c("cat", [X((), [1.0]), X((), [1.0])], err="zero-dimensional tensor")
    c("cat", [fam.x((2,)), fam.x((2,))], 1, err="Dimension out of range")
    c("stack", [fam.x((2, 3)), fam.x((3, 2))], err="stack expects each tensor to be equal size, but got [2, 3] at entry")
    c("stack", [], err="stack expects a non-empty TensorList")
    c("stack", [fam.x((2,)), fam.x((2,))], 2, err="Dimension out of range")
    for layout in ("c", "t", "s"):
        for args in ((2,), (2, 1), (3, 0), ([1, 2], 0), ([1, 1, 2], 1), (4, -1), (10, 0)):
            c("split", fam.x((3, 4), layout=layout, g=True), *args)
        for args in ((2,), (2, 1), (3, 0), (4, 1), (7, 1), (1, 0), (3, -1)):
            c("chunk", fam.x((3, 4), layout=layout, g=True), *args)
    c("split", fam.x((5,)), 2, dim=0)
    c("split", fam.x((5,), i64), [0, 5])
    c("split", X((0,), []), 1)
    c("chunk", X((0, 3), []), 2)
    c("chunk", fam.x((6,), u8), 4)
    c("split", fam.x((5,)), [2, 2], err="split_with_sizes expects split_sizes to sum exactly to 5")
    c("split", fam.x((5,)), 0, err="split_size can only be 0")
    c("split", fam.x((5,)), -1, err="non-negative")
    c("chunk", fam.x((5,)), 0, err="chunk expects `chunks` to be greater than 0, got: 0")
    c("chunk", X((), [1.0]), 2, err="chunk expects at least a 1-dimensional tensor")
    return fam


def casts():
    fam = Family("cast", "to and its short forms, item, tolist, tobytes, clone, detach, copy_, fill_, zero_")
    c = fam.case
    values = {f32: [1.5, -2.75, 0.0, 3.0, 0.25], f64: [1.5, -2.75, 0.0, 3.0, 0.25], i64: [1, -2, 0, 300, 7], i32: [1, -2, 0, 300, 7], u8: [1, 2, 0, 255, 7],
              b8: [True, False, True, False, True]}
    for a in DTYPES:
        for name, b in (("float", f32), ("double", f64), ("long", i64), ("int", i32), ("bool", b8)):
            c(name, X((5,), values[a], a), form="m")
        for b in DTYPES:
            v = [abs(x) for x in values[a]] if b == u8 and a in FLOATS else values[a]
            c("to", X((5,), v, a), b, form="m")
            target = fam.x((5,), b)
            c("copy", target, X((5,), v, a), form="i")
        c("to", X((5,), values[a], a), dtype=f64, form="m")
        c("to", X((5,), values[a], a), fam.x((2,), i32), form="m")
        c("item", X((), values[a][:1], a), form="m")
        c("item", X((1, 1), values[a][1:2], a), form="m")
        c("tolist", X((5,), values[a], a), form="m")
        c("tolist", X((2, 2), values[a][:4], a, layout="t"), form="m")
        c("tolist", X((), values[a][:1], a), form="m")
        c("clone", X((5,), values[a], a))
        c("fill", fam.x((3,), a), 1, form="i")
        c("zero", fam.x((3,), a), form="i")
        raw = torch.tensor(values[a], dtype=a).numpy().tobytes()
        fam.lines.append('  { op = "tobytes", form = "m", args = { %s }, out = { %s } },' % (X((5,), values[a], a).lua(), bytes_text(raw)))
    for layout in ("t", "s", "e"):
        x = fam.x((2, 3), layout=layout)
        fam.lines.append('  { op = "tobytes", form = "m", args = { %s }, out = { %s } },' % (x.lua(), bytes_text(x.make().contiguous().numpy().tobytes())))
        c("clone", fam.x((2, 3), layout=layout, g=True))
        c("detach", fam.x((2, 3), layout=layout))
        c("double", fam.x((2, 3), layout=layout, g=True), form="m")
        c("to", fam.x((2, 3), layout=layout, g=True), f64, form="m")
        c("tolist", fam.x((2, 3), layout=layout), form="m")
    for layout in ("c", "t", "s"):
        c("copy", fam.x((2, 3), layout=layout), fam.x((2, 3), layout="t"), form="i")
        c("copy", fam.x((2, 3), layout=layout), fam.x((3,)), form="i")
        c("copy", fam.x((2, 3), layout=layout), X((), [2], i64), form="i")
        c("fill", fam.x((2, 3), layout=layout), 2.5, form="i")
        c("fill", fam.x((2, 3), layout=layout), X((), [2.5]), form="i")
        c("zero", fam.x((2, 3), layout=layout), form="i")
    c("copy", fam.x((2, 3), g=True), fam.x((3,), g=True), form="i")
    c("copy", fam.x((2, 3), f64, g=True), fam.x((2, 3), g=True), form="i")
    c("fill", fam.x((2, 3), g=True), 2.5, form="i")
    c("fill", fam.x((2, 3), g=True), X((), [2.5], g=True), form="i")
    c("zero", fam.x((2, 3), g=True), form="i")
    c("zero", X((0,), []), form="i")
    c("to", X((3,), [nan, inf, 0.0]), b8, form="m")
    c("to", X((2,), [300, -1], i64), u8, form="m")
    c("to", X((2,), [2 ** 32 + 5, -2 ** 31], i64), i32, form="m")
    c("to", X((2,), [16777217, 2 ** 53 + 1], i64), f32, form="m")
    c("to", X((2,), [0.1, 1e300], f64), f32, form="m")
    c("to", X((3,), [1e-46, -0.0, 3e-39], f64), f32, form="m", z=True)
    c("to", X((2,), [1.99, -1.99]), i64, form="m")
    c("to", fam.x((2,)), "cpu", form="m")
    c("to", fam.x((2,)), "cpu", f64, form="m")
    c("item", X((), [nan]), form="m")
    c("item", X((), [-inf], f64), form="m")
    c("item", X((), [2 ** 62 + 1], i64), form="m")
    c("item", fam.x((2, 3)), form="m", err="a Tensor with 6 elements cannot be converted to Scalar")
    c("item", X((0,), []), form="m", err="a Tensor with 0 elements cannot be converted to Scalar")
    c("tolist", X((0,), []), form="m")
    c("tolist", X((2, 0), []), form="m")
    c("tolist", X((1, 2, 2), [nan, inf, 1.5, -2.0]), form="m")
    c("copy", fam.x((2, 3)), fam.x((2, 2)), form="i", err="must match the")
    c("copy", fam.x((3,)), fam.x((2, 3)), form="i", err="shape")
    c("copy", X((2, 3), [1.0] * 6, layout="e"), fam.x((3,)), form="i", err="more than one element of the written-to tensor refers to a single memory location")
    c("fill", fam.x((2,), g=True), 1.0, form="i", err="a leaf Variable that requires grad is being used in an in-place operation")
    c("fill", fam.x((2,)), fam.x((2,)), form="i", err="fill_ only supports 0-dimension value tensor")
    c("zero", fam.x((2,), g=True), form="i", err="a leaf Variable that requires grad is being used in an in-place operation")
    return fam


def bytes_text(raw):
    return '"' + "".join("\\%03d" % c for c in raw) + '"'


FAMILIES = (creation, views, index, joins, casts)
