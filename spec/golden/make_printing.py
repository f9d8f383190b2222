"""Writes printing.lua: texts of tensors as PyTorch prints them. Run with torch 2.15 from any folder."""
import os
import random
import torch

inf, nan = float("inf"), float("nan")
f32, f64, i64, i32, u8, b = torch.float32, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bool
CASES = []


def number(v):
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, int):
        return "math.mininteger" if v == -2 ** 63 else str(v)
    if v != v:
        return "nan"
    if v in (inf, -inf):
        return "inf" if v > 0 else "-inf"
    return repr(v)


def lua(v):
    if v is None:
        return "nil"
    if isinstance(v, str):
        return '"' + v.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    if isinstance(v, (list, tuple)):
        return "{ " + ", ".join(lua(x) for x in v) + " }" if len(v) else "{}"
    return number(v)


def pattern(n, spec):
    a, m, s, d = spec
    return [((i * a) % m - s) / d for i in range(n)]


def case(shape, values=None, dtype=f32, gen=None, options=None, grad=None, fn=None, parameter=False):
    """values: flat list; gen: (a, m, s, d) for element i = ((i * a) mod m - s) / d; fn: name of an op applied last."""
    n = 1
    for s in shape:
        n *= s
    flat = pattern(n, gen) if gen else values
    if not dtype.is_floating_point:
        flat = [bool(v) if dtype == b else int(v) for v in flat]
    t = torch.tensor(flat, dtype=dtype).reshape(shape)
    if grad:
        t.requires_grad_()
    if parameter:
        t = torch.nn.Parameter(t, requires_grad=grad is not False)
    if fn == "mul":
        t = t * 1
    elif fn == "clone":
        t = t.clone()
    if options:
        torch.set_printoptions(**options)
    text = repr(t)
    torch.set_printoptions(profile="default")
    fields = ["shape = " + lua(list(shape)), 'dtype = "%s"' % str(dtype).replace("torch.", "")]
    if gen:
        fields.append("gen = " + lua(list(gen)))
    else:
        fields.append("values = " + lua(values))
    if options:
        fields.append("options = { " + ", ".join("%s = %s" % (k, "inf" if v == inf else lua(v))
                                                for k, v in options.items()) + " }")
    if t.requires_grad:
        fields.append("requires_grad = true")
    if fn:
        fields.append('fn = "%s", grad_fn = "%s"' % (fn, type(t.grad_fn).__name__))
    if parameter:
        fields.append("parameter = true")
    fields.append("text = " + lua(text))
    CASES.append("  { " + ", ".join(fields) + " },")


# One number of every kind.
for v in (0., -0., 1., -1., 3., 0.5, -2.25, 1e-3, 9.9999e-5, 1e-4, 1e-5, 1e8, 1.00000001e8, 1e9, 123456.789, 1e38, 1e-38,
          1e-45, nan, inf, -inf, 0.1, 1 / 3, 99999.99999, 12345678.0, 16777216.0):
    case((), [v])
for v in (0.1, 1e300, 1e-300, 5e-324, 1e100, -1e101, 0.30000000000000004, 1e8 + 1, nan):
    case((), [v], f64)
for dtype in (i64, i32, u8, b):
    case((), [1], dtype)
    case((), [0], dtype)
case((), [9223372036854775807], i64)
case((), [-9223372036854775807 - 1], i64)
case((), [-2147483648], i32)
case((), [255], u8)

# Empty ones.
for dtype in (f32, f64, i64, i32, u8, b):
    for shape in ((0,), (0, 3), (3, 0), (2, 0, 4)):
        case(shape, [], dtype)
case((0, 3), [], f32, grad=True)

# Vectors: whole, fractional, mixed, special values, column widths.
VECTORS = [
    [1., 2., 3.], [1., -2., 30.], [0., 0.], [-0., 0., 1.], [0.5, 1.5], [1., nan], [nan, nan], [inf, 1.], [-inf, 1.5], [inf, -inf, nan],
    [nan, 1.25, -inf], [0.1, 100.], [0.1, 101.], [1e-4, 1e-2], [1e-5, 1.], [1., 1000.], [1., 1001.], [1.5, 1500.], [1.5, 1500.5],
    [1e8, 1.], [1e8, 2e8], [100000000., 100000008.], [1e10, 1e10], [1e-10, 1e10], [nan, 1e-10], [inf, 1e10], [0., 1e-5], [-1e-5, -0.],
    [99999., 0.99999], [0.00005, 0.0001], [1., 2., 2.5], [1e20, 3.], [-1e-20, 5.], [65504., 1.], [3.14159265, 2.71828182, 1.41421356],
    [9.99995, 9.99994], [-9.99995, 1.], [0.99999, 0.00001], [123456.7, 987654.3], [1e7, 0.5],
]
for v in VECTORS:
    case((len(v),), v)
for v in ([0.1, 0.2], [1e-300, 1.], [1e300], [1e16, 1.], [1 / 3, 2 / 3], [1., 2.], [nan, 1e-7], [12345.678901234]):
    case((len(v),), v, f64)
for v, dtype in (([1, 2, 3], i64), ([1, -200, 30], i64), ([9223372036854775807, -1], i64), ([0, 0], i64), ([1, -2], i32),
                 ([2147483647, -2147483648], i32), ([1, 200], u8), ([True, False], b), ([True, True], b), ([False], b), ([7], i64)):
    case((len(v),), v, dtype)

# Line breaks.
for n in (8, 11, 12, 20, 24, 25, 50, 100):
    case((n,), gen=(7, 11, 5, 1))
    case((n,), gen=(7, 11, 5, 4))
    case((n,), dtype=i64, gen=(37, 101, 50, 1))
case((30,), dtype=b, gen=(1, 2, 0, 1))
case((40,), dtype=u8, gen=(13, 256, 0, 1))
case((40,), dtype=i32, gen=(137, 1000, 500, 1))
case((30,), dtype=f64, gen=(7, 113, 50, 8))
case((30,), gen=(7919, 1000003, 3, 64))

# Matrices and more.
for dtype in (f32, f64, i64, i32, u8, b):
    g = (5, 13, 0 if dtype in (u8, b) else 6, 1)
    case((2, 3), dtype=dtype, gen=g)
    case((2, 2, 2), dtype=dtype, gen=g)
    case((1, 4, 1, 3), dtype=dtype, gen=g)
    case((1, 1), dtype=dtype, gen=g)
case((2, 3), gen=(5, 13, 6, 8))
case((3, 1), gen=(5, 13, 6, 8))
case((1, 4, 3), gen=(5, 13, 6, 8))
case((2, 2, 2, 2), gen=(5, 13, 6, 8))
case((2, 1, 2, 1, 2), gen=(5, 13, 6, 8))
case((2, 30), gen=(5, 13, 6, 8))
case((2, 2, 20), gen=(5, 1013, 6, 8))
case((2, 40), dtype=i64, gen=(5, 1013, 6, 1))
case((2, 2), [1e-8, 1., 2., 3.])
case((2, 2), [nan, inf, -inf, 0.])
case((2, 2), [nan, inf, -inf, 1.])
case((2, 2), [nan, inf, -inf, 1.5])
case((2, 2), [1e10, nan, 0., -1.])

# Summaries.
case((1000,), gen=(7, 11, 5, 1))
case((1001,), gen=(7, 11, 5, 1))
case((1001,), gen=(7, 11, 5, 4))
case((2000,), dtype=i64, gen=(37, 10007, 50, 1))
case((2000,), dtype=i32, gen=(37, 10007, 50, 1))
case((2000,), dtype=u8, gen=(37, 256, 0, 1))
case((2000,), dtype=b, gen=(3, 7, 3, 1))
case((2000,), dtype=f64, gen=(37, 10007, 50, 1024))
case((40, 40), gen=(7, 113, 50, 8))
case((40, 40), gen=(7, 113, 50, 1))
case((6, 200), gen=(7, 113, 50, 8))
case((7, 200), gen=(7, 113, 50, 8))
case((200, 6), gen=(7, 113, 50, 8))
case((200, 7), dtype=i64, gen=(7, 113, 50, 1))
case((2, 1000), gen=(7, 113, 50, 8))
case((1100, 1), gen=(7, 113, 50, 8))
case((1, 1100), gen=(7, 113, 50, 8))
case((12, 11, 10), gen=(7, 113, 50, 8))
case((2, 3, 200), gen=(7, 113, 50, 8))
case((7, 8, 7, 8), gen=(7, 1130, 500, 8))
case((2, 8, 2, 80), dtype=i64, gen=(7, 1130, 500, 1))
case((1, 1, 40, 40), dtype=b, gen=(3, 7, 3, 1))
case((40, 40), gen=(7919, 1000003, 3, 64))
case((100, 100), dtype=f64, gen=(7919, 1000003, 3, 1048576))
case((28, 28, 2), dtype=u8, gen=(7, 256, 0, 1))

# What stands after the brackets.
case((), [3.], grad=True)
case((2,), [1., 2.], grad=True)
case((2,), [1., 2.], f64, grad=True)
case((2,), [1., 2.], grad=True, fn="mul")
case((2, 3), gen=(5, 13, 6, 8), grad=True, fn="mul")
case((2, 3), gen=(5, 13, 6, 8), dtype=f64, grad=True, fn="mul")
case((), [1.5], grad=True, fn="clone")
case((9,), gen=(5, 13, 6, 8), grad=True, fn="clone")
case((9,), gen=(5, 13, 6, 8), dtype=f64, grad=True, fn="mul")
for n in range(5, 12):
    case((n,), gen=(5, 13, 6, 8), grad=True)
    case((n,), gen=(5, 13, 6, 8), dtype=f64)
    case((n,), gen=(5, 13, 6, 8), dtype=f64, grad=True)
    case((2 * n,), gen=(5, 13, 6, 1), grad=True, fn="mul")
case((2000,), gen=(5, 13, 6, 8), grad=True)
case((2, 3), gen=(5, 13, 6, 8), parameter=True)
case((1,), [0.], parameter=True)
case((2, 3), gen=(5, 13, 6, 8), parameter=True, grad=False)
case((40, 40), gen=(5, 13, 6, 8), parameter=True)

# Print options.
case((3,), [1.123456789, 2., 3.5], options={"precision": 2})
case((3,), [1.123456789, 2., 3.5], options={"precision": 0})
case((3,), [1.123456789, 2., 3.5], f64, options={"precision": 10})
case((3,), [1.123456789, 2e6, 3.5], options={"precision": 2})
case((3,), [1., 2., 3.], options={"sci_mode": True})
case((3,), [1.25, 2., 3.], options={"sci_mode": True})
case((3,), [1.25, 2e9, 3.], options={"sci_mode": False})
case((3,), [1., 2e9, nan], options={"sci_mode": True})
case((3,), [1., 2e9, nan], options={"sci_mode": False})
case((3,), [1e-7, 1., inf], options={"sci_mode": False})
case((2,), [0., nan], options={"sci_mode": True})
case((), [1234.5], options={"sci_mode": True, "precision": 1})
case((10,), gen=(7, 11, 5, 1), options={"threshold": 5})
case((10,), gen=(7, 11, 5, 1), options={"threshold": 5, "edgeitems": 1})
case((10,), gen=(7, 11, 5, 1), options={"threshold": 5, "edgeitems": 5})
case((10,), gen=(7, 11, 5, 1), options={"threshold": 5, "edgeitems": 0})
case((4, 5), gen=(7, 11, 5, 1), options={"threshold": 5, "edgeitems": 0})
case((4, 5), gen=(7, 11, 5, 1), dtype=f64, options={"edgeitems": 0})
case((4, 5, 6), gen=(7, 11, 5, 4), options={"threshold": 5, "edgeitems": 1})
case((4, 5, 6), gen=(7, 11, 5, 4), options={"threshold": 5, "edgeitems": 2})
case((), [7], i64, options={"threshold": 0})
case((20,), gen=(7, 11, 5, 4), options={"linewidth": 40})
case((20,), gen=(7, 11, 5, 4), options={"linewidth": 5})
case((20,), gen=(7, 11, 5, 4), dtype=f64, options={"linewidth": 160})
case((2, 20), gen=(7, 11, 5, 4), options={"linewidth": 30}, grad=True)
case((40, 40), gen=(7, 113, 50, 8), options={"profile": "short"})
case((3,), [1.123456789, 2., 3.5], options={"profile": "short"})
case((1100,), gen=(7, 11, 5, 1), options={"profile": "full"})
case((1100,), gen=(7, 11, 5, 1), options={"threshold": inf})
case((1100,), gen=(7, 11, 5, 4), options={"profile": "short", "edgeitems": 4, "precision": 1})

# Anything at random: dtypes, shapes, magnitudes, options.
draw = random.Random("printing")


def element(dtype, style):
    if dtype == b:
        return draw.random() < 0.5
    if not dtype.is_floating_point:
        limits = torch.iinfo(dtype)
        return draw.randint(limits.min, limits.max) if style > 3 else draw.randint(max(-9, limits.min), 9)
    v = (lambda: draw.randint(-20, 20), lambda: draw.gauss(0, 1), lambda: draw.gauss(0, 1) * 10 ** draw.randint(-6, 6),
         lambda: draw.choice([inf, -inf, nan, 0., -0., 1., draw.gauss(0, 100)]),
         lambda: draw.choice([0., 1e-5, 1., 1e5, 999.5, 1e8, 2.5e-4, 99999.]),
         lambda: draw.gauss(0, 1) * 10 ** draw.randint(-38, 37))[style]()
    return torch.tensor(v, dtype=torch.float64).to(dtype).item()


for _ in range(150):
    dtype = draw.choice([f32, f32, f64, torch.float16, torch.bfloat16, i64, i32, torch.int16, torch.int8, u8, b])
    shape = [draw.choice([0, 1, 2, 3, 4, 7]) for _ in range(draw.choice([0, 1, 1, 2, 2, 3]))]
    style = draw.randrange(6)
    options = {name: draw.choice(values) for name, values in (
        ("precision", [0, 1, 2, 6, 12]), ("threshold", [0, 5, 20]), ("edgeitems", [0, 1, 2, 4]),
        ("linewidth", [5, 20, 40, 120]), ("sci_mode", [True, False])) if draw.random() < 0.3}
    case(shape, [element(dtype, style) for _ in range(torch.Size(shape).numel())], dtype, options=options or None)

path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "printing.lua")
with open(path, "w") as f:
    f.write("-- Texts of tensors as PyTorch %s prints them. Made by make_printing.py.\n" % torch.__version__.split("+")[0])
    f.write("-- gen = { a, m, s, d }: element i, counted from 0, is ((i * a) mod m - s) / d.\n")
    f.write("-- luacheck: ignore 631\nlocal nan, inf = 0 / 0, math.huge\nreturn {\n" + "\n".join(CASES) + "\n}\n")
print(len(CASES), "cases")
