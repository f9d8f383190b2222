"""Golden cases of indexing by tensors beyond gather and scatter (scatter), and of the operators that rearrange (arrange)."""
from cases import DTYPES, LIST_OPS, POSITIONS_OUT, SIGNATURE, Family, X, b8, f64, i64

SIGNATURE.update({name: [p.split(":") for p in text.split()] for name, text in {
    "scatter_add": "input dim:D index:I src", "index_add": "input dim:D index:I source", "index_copy": "input dim:D index:I source",
    "index_fill": "input dim:D index:I value", "take": "input index:I", "put": "input index:I source accumulate",
    "take_along_dim": "input indices:I dim:D", "unravel_index": "indices:I shape", "tensor_split": "input indices_or_sections dim:D",
    "repeat_interleave": "input repeats dim:D", "flip": "input dims:D", "roll": "input shifts dims:D",
    "diagonal": "input offset dim1:D dim2:D", "movedim": "input source:D destination:D", "unflatten": "input dim:D sizes",
}.items()})
POSITIONS_OUT.update({"nonzero": {0}, "argwhere": {0}, "unravel_index": "all"})
LIST_OPS.update({"unravel_index", "tensor_split", "broadcast_tensors", "meshgrid"})


def scatters():
    fam = Family("scatter", "scatter_add, index_add, index_copy, index_fill, take, put, masked_scatter, nonzero, take_along_dim")
    c = fam.case

    def I(*values, dtype=i64):
        return X((len(values),), values, dtype)

    for layout in ("c", "t", "s"):
        for d in (0, 1, -1):
            n = 3 if d == 0 else 4
            wide = (5, 4) if d == 0 else (3, 5)
            c("scatter_add", fam.x((3, 4), layout=layout, g=True), d, fam.index(wide, n), fam.x(wide, layout=layout, g=True))
            c("index_add", fam.x((3, 4), layout=layout, g=True), d, fam.index((5,), n), fam.x(wide, layout=layout, g=True))
            two = (2, 4) if d == 0 else (3, 2)
            c("scatter", fam.x((3, 4), layout=layout, g=True), d, X(two, [0, 1, 2, 0, 1, 2, 0, 1] if d == 0 else [0, 1, 2, 3, 1, 0], i64),
              fam.x(two, layout=layout, g=True))
            c("index_copy", fam.x((3, 4), layout=layout, g=True), d, I(2, 0), fam.x(two, layout=layout, g=True))
            c("index_fill", fam.x((3, 4), layout=layout, g=True), d, I(2, 0), 1.5)
            c("index_fill", fam.x((3, 4), layout=layout, g=True), d, I(1), X((), [2.5], g=True))
            c("take_along_dim", fam.x((3, 4), layout=layout, g=True), fam.index((3, 1) if d != 0 else (1, 4), n), d)
        c("take", fam.x((3, 4), layout=layout, g=True), fam.index((2, 3), 12))
        c("put", fam.x((3, 4), layout=layout, g=True), I(3, 11, 0), fam.x((3,), layout=layout, g=True))
        c("masked_scatter", fam.x((3, 4), layout=layout, g=True), fam.x((3, 4), b8, layout=layout), fam.x((12,), layout=layout, g=True))
        c("nonzero", X((2, 3), [0.0, 1.0, 0.0, -2.0, 0.5, 0.0], layout=layout))
        for form in "i":
            c("scatter_add", fam.x((3, 4), layout=layout, g=True), 0, fam.index((2, 4), 3), fam.x((2, 4), g=True), form=form)
            c("index_add", fam.x((3, 4), layout=layout, g=True), 1, fam.index((3,), 4), fam.x((3, 3), g=True), form=form)
            c("index_copy", fam.x((3, 4), layout=layout, g=True), 0, I(1), fam.x((1, 4), g=True), form=form)
            c("index_fill", fam.x((3, 4), layout=layout, g=True), 0, I(1), -1, form=form)
            c("put", fam.x((3, 4), layout=layout, g=True), I(3, 3, 0), fam.x((3,), g=True), True, form=form)
            c("masked_scatter", fam.x((3, 4), layout=layout, g=True), fam.x((4,), b8), fam.x((12,), g=True), form=form)
            c("scatter", fam.x((3, 4), layout=layout, g=True), 1, fam.index((3, 2), 4), 2.5, form=form)
    for dt in DTYPES:
        c("scatter_add", fam.x((4,), dt), 0, I(2, 0), fam.x((2,), dt))
        c("index_add", fam.x((4,), dt), 0, I(2, 0), fam.x((2,), dt))
        c("index_copy", fam.x((4,), dt), 0, I(2, 0), fam.x((2,), dt))
        c("index_fill", fam.x((4,), dt), 0, I(2, 0), 1)
        c("take", fam.x((4,), dt), I(2, -1))
        c("put", fam.x((4,), dt), I(2, -1), fam.x((2,), dt))
        c("put", fam.x((4,), dt), I(2, 2), fam.x((2,), dt), True)
        c("masked_scatter", fam.x((4,), dt), X((4,), [True, False, True, True], b8), fam.x((3,), dt))
        c("nonzero", fam.x((3, 2), dt))
    c("index_add", fam.x((3, 4), g=True), 0, I(0, 2, 0), fam.x((3, 4), g=True), alpha=-2.5)
    c("index_add", fam.x((3,), i64), 0, I(0, 2, 0), fam.x((3,), i64), alpha=3)
    c("index_add", fam.x((3, 4)), 0, X((), [1], i64), fam.x((1, 4)))
    c("index_add", fam.x((2, 3, 4), f64, g=True), 1, I(1, 1, 0, 2), fam.x((2, 4, 4), f64, g=True))
    c("index_fill", fam.x((3, 4)), 0, I(-1), 2)
    c("index_fill", fam.x((4,), i64), 0, I(1), 2.75)
    c("scatter_add", fam.x((2, 3, 4), f64, g=True), 1, fam.index((2, 5, 3), 3), fam.x((2, 5, 3), f64, g=True))
    c("scatter_add", X((), [2.0], g=True), 0, X((), [0], i64), X((), [3.0], g=True))
    c("take", X((), [2.0]), I(0, 0))
    c("take", fam.x((2, 3), g=True), I(-6, 5))
    c("take", fam.x((2, 3)), X((0,), [], i64))
    c("take_along_dim", fam.x((3, 4)), I(11, 0))
    c("nonzero", X((), [1.5]))
    c("nonzero", X((), [0.0]))
    c("nonzero", X((0, 3), []))
    c("argwhere", X((2, 2), [True, False, True, True], b8))
    c("unravel_index", I(0, 7, 23), [2, 3, 4], form="f")
    c("masked_scatter", fam.x((3,)), X((2, 3), [True] * 6, b8), fam.x((6,)))
    # refusals
    c("scatter_add", fam.x((3, 4)), 0, fam.index((2, 4), 3), fam.x((1, 4)), err="Expected index [2, 4] to be no larger than self [3, 4]")
    c("scatter_add", fam.x((3, 4)), 0, fam.index((2,), 3), fam.x((2,)), err="Index tensor must have the same number of dimensions as self tensor")
    c("scatter_add", fam.x((3,)), 0, I(4), fam.x((1,)), err="is out of bounds for dimension")
    c("index_add", fam.x((3, 4)), 0, I(0, 1), fam.x((3, 4)), err="Number of indices (2) should be equal to source.size(dim): (3), for dim")
    c("index_add", fam.x((3, 4)), 0, I(5), fam.x((1, 4)), err="is out of bounds for dimension")
    c("index_add", fam.x((3, 4)), 0, I(1), fam.x((1, 4), f64), err="self (Float) and source (Double) must have the same scalar type")
    c("index_add", fam.x((3, 4)), 0, I(1), fam.x((1, 3)), err="source tensor shape must match self tensor shape, excluding the specified dimension.")
    c("index_copy", fam.x((3, 4)), 0, I(5), fam.x((1, 4)), err="is out of bounds for dimension")
    c("index_copy", fam.x((3, 4)), 0, I(1, 2), fam.x((1, 4)), err="Number of indices (2) should be equal to source.size(dim)")
    c("index_fill", fam.x((3,)), 0, I(7), 1, err="is out of bounds for dimension")
    c("index_fill", fam.x((3,)), 0, I(1), fam.x((2,)), err="index_fill_ only supports a 0-dimensional value tensor, but got tensor with 1 dimension(s).")
    c("take", fam.x((3,)), I(7), err="out of range: tried to access index")
    c("put", fam.x((3,)), I(7), fam.x((1,)), err="out of range: tried to access index")
    c("put", fam.x((3,)), I(0), fam.x((2,)), err="Expected source and index to have the same number of elements, but got source.numel() = 2, index.numel() = 1")
    c("masked_scatter", fam.x((3,)), X((3,), [True] * 3, b8), fam.x((2,)), err="Number of elements of source < number of ones in mask")
    for op, extra in (("scatter_add", fam.x((1,))), ("index_add", fam.x((1,))), ("index_copy", fam.x((1,))), ("index_fill", 1.0), ("gather", None)):
        zero = X((1,), [0], i64)
        zero.shifted = lambda: X((1,), [0], i64)
        c(op, fam.x((3,)), 0, zero, *([] if extra is None else [extra]), form="m", own="count from 1")
    return fam


def arranges():
    fam = Family("arrange", "repeats, flips, rolls, triangles, diagonals and other operators that rearrange")
    c = fam.case
    for layout in ("c", "t", "s"):
        x = lambda shape=(3, 4): fam.x(shape, layout=layout, g=True)
        c("tile", x(), [2])
        c("tile", x(), [2, 1, 3])
        c("repeat", x(), [2, 3], form="m")
        c("repeat", x(), [2, 1, 3], form="m")
        c("repeat_interleave", x(), 2, 0)
        c("repeat_interleave", x(), 3, -1)
        c("repeat_interleave", x(), 2)
        c("repeat_interleave", x(), X((3,), [2, 0, 1], i64), 0)
        c("flip", x(), [0])
        c("flip", x(), [0, 1])
        c("flip", x((2, 3, 4)), [1, -1])
        c("fliplr", x())
        c("flipud", x())
        c("roll", x(), 1, 0)
        c("roll", x(), [-1, 2], [0, 1])
        c("roll", x(), 5)
        c("tril", x())
        c("tril", x(), 1)
        c("tril", x(), -1)
        c("triu", x())
        c("triu", x(), 2)
        c("triu", x((2, 3, 3)), -1)
        c("tril", x(), 0, form="i")
        c("triu", x(), 1, form="i")
        c("diagonal", x(), view=True)
        c("diagonal", x(), 2, view=True)
        c("diagonal", x(), -1, view=True)
        c("diagonal", x((2, 3, 4)), 1, 0, 2, view=True)
        c("diag", x())
        c("diag", x((3,)))
        c("diag", x((3,)), -2)
        c("movedim", x((2, 3, 4)), 0, 2)
        c("movedim", x((2, 3, 4)), [0, 1], [-1, 0])
        c("tensor_split", x(), 3, 1)
        c("tensor_split", x(), 2)
        c("hstack", [x(), x()])
        c("vstack", [x(), x((4,))])
        c("dstack", [x(), x()])
        c("column_stack", [x(), x((3,))])
        c("meshgrid", x((2,)), x((3,)), indexing="ij", form="f")
        c("meshgrid", x((2,)), x((3,)), indexing="xy", form="f")
        c("broadcast_tensors", x((3, 1)), x((4,)), form="f")
        c("atleast_1d", X((), [2.0], g=True))
        c("atleast_2d", x((3,)))
        c("atleast_3d", x((3,)))
    for args in ((6, 2), (12,)):
        c("unflatten", fam.x(args, g=True), 0, [2, -1], form="m")
    for dt in DTYPES:
        for op, rest in (("flip", [[0]]), ("tril", []), ("triu", []), ("roll", [1, 0]), ("tile", [[2]]), ("diag", [])):
            c(op, fam.x((2, 3), dt), *rest)
    c("flip", X((0, 2), []), [0])
    c("tril", X((0, 2), []))
    c("diag", fam.x((2, 2)), 5)
    c("diagonal", fam.x((3, 3)), -7)
    c("repeat", fam.x((2, 3)), [0, 1], form="m")
    c("tril", fam.x((3,)), err="at least 2 dimensions")
    c("diagonal", fam.x((3, 3)), 0, 1, 1, err="diagonal dimensions cannot be identical")
    c("repeat", fam.x((2, 3)), [2], form="m", err="Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    c("flip", fam.x((3, 3)), [0, 0], err="appears multiple times in the list of dims")
    c("roll", fam.x((3, 3)), [1, 2], [0], err="shifts and dimensions must align")
    c("tensor_split", fam.x((3,)), 0, err="number of sections must be larger than 0, got 0")
    c("movedim", fam.x((2, 3)), [0, 1], [0], err="Invalid source or destination dims")
    return fam


FAMILIES = (scatters, arranges)
