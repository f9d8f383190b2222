"""Golden cases of shapes, creation, products and scatter variants beyond families_shape and families_index."""
from cases import DTYPES, FLOATS, LIST_OPS, POSITIONS_OUT, SIGNATURE, Family, X, b8, f32, f64, i32, i64, inf, nan, u8

NUMBERS = (f32, f64, i64, i32, u8)


def declare():
    """Positions of the operators here, some of which other families know in other words."""
    SIGNATURE.update({name: [p.split(":") for p in text.split()] for name, text in {
        "hsplit": "input indices:L", "vsplit": "input indices:L", "dsplit": "input indices:L",
        "tensor_split": "input indices:L dim:D", "narrow_copy": "input dim:D start:P length",
        "select_scatter": "input src dim:D index:P", "slice_scatter": "input src dim:D start:P end:E step",
        "diagonal_scatter": "input src offset dim1:D dim2:D", "scatter_reduce": "input dim:D index:I src reduce",
        "index_reduce": "input dim:D index:I source reduce", "diag_embed": "input offset dim1:D dim2:D",
        "rot90": "input k dims:D", "unfold": "input dimension:D size step", "cross": "input other dim:D",
        "swapaxes": "input axis0:D axis1:D", "swapdims": "input dim0:D dim1:D", "moveaxis": "input source:D destination:D",
        "split_with_sizes": "input split_sizes dim:D", "tensordot": "a b dims:L",
    }.items()})
    POSITIONS_OUT.update({"tril_indices": {0}, "triu_indices": {0}})
    LIST_OPS.update({"hsplit", "vsplit", "dsplit", "tensor_split", "split_with_sizes"})


def declared(make):
    """A family that is made with these positions, and leaves the tables as they were."""
    def family():
        tables = (SIGNATURE, POSITIONS_OUT, LIST_OPS)
        before = [t.copy() for t in tables]
        declare()
        made = make()
        for table, old in zip(tables, before):
            table.clear()
            table.update(old)
        return made
    return family


@declared
def reduces():
    fam = Family("scatter_reduce", "scatter_reduce, index_reduce, scatter with a reduction, and the scatters into views")
    c = fam.case

    def I(*values, dtype=i64):
        return X((len(values),), values, dtype)

    for how in ("sum", "prod", "mean", "amax", "amin"):
        for self in (True, False):
            kw = dict(reduce=how, include_self=self)
            for layout in ("c", "t", "s", "e"):
                c("scatter_reduce", fam.x((3, 4), layout=layout, g=True), 0, fam.index((5, 4), 3), fam.x((5, 4), layout=layout, g=True), **kw)
            c("scatter_reduce", fam.x((3, 4), f64), -1, fam.index((3, 2), 4), fam.x((3, 5), f64), **kw)
            c("scatter_reduce", fam.x((4,), f64, g=True), 0, I(1, 1, 3), fam.x((3,), f64, g=True), how, include_self=self)
            c("scatter_reduce", fam.x((4,)), 0, I(1, 1, 3), fam.x((3,)), how, include_self=self, form="i")
            c("scatter_reduce", X((), [2.0], g=True), 0, X((), [0], i64), X((), [3.0], g=True), **kw)
            c("scatter_reduce", fam.x((3,)), 0, X((0,), [], i64), X((0,), []), **kw)
            for dt in (f32, f64, i64, i32, u8):
                c("scatter_reduce", fam.x((4,), dt), 0, I(1, 1, 3, 1), fam.x((4,), dt), **kw)
                c("scatter_reduce", fam.x((4,), dt), 0, I(1, 1, 3, 1, dtype=i32), fam.x((4,), dt), **kw)
                if how != "sum":
                    c("index_reduce", fam.x((4, 2), dt), 0, I(1, 1, 3), fam.x((3, 2), dt), **kw)
            if how != "mean":
                c("scatter_reduce", fam.x((4,), b8), 0, I(1, 1, 3, 1), fam.x((4,), b8), **kw)
            for special in ((nan, 1.0, 2.0), (1.0, nan, 0.0), (inf, -inf, 1.0), (0.0, -0.0, 0.0)):
                c("scatter_reduce", X((2,), [1.0, -2.0]), 0, I(0, 0, 1), X((3,), special), **kw)
            c("scatter_reduce", X((3,), [0.0, 2.0, 0.0], f64, g=True), 0, I(0, 0, 1, 2, 2, 2), X((6,), [0.0, 3.0, 0.0, 2.0, 0.0, 0.0], f64, g=True), **kw)
            c("scatter_reduce", X((3,), [2.0, 2.0, 5.0], f64, g=True), 0, I(0, 0, 1, 2), X((4,), [2.0, 2.0, 2.0, 1.0], f64, g=True), **kw)
            if how == "sum":
                continue
            for layout in ("c", "t", "s"):
                c("index_reduce", fam.x((3, 4), layout=layout, g=True), 0, I(2, 0, 2), fam.x((3, 4), layout=layout, g=True), **kw)
            c("index_reduce", fam.x((3, 4), f64, g=True), 1, I(3, 0, 3), fam.x((3, 3), f64, g=True), how, include_self=self)
            c("index_reduce", fam.x((4,)), 0, I(1, 1, 3), fam.x((3,)), how, include_self=self, form="i")
            c("index_reduce", X((3,), [0.0, 2.0, 1.0], f64, g=True), 0, I(0, 0, 1), X((3,), [0.0, 3.0, 0.0], f64, g=True), **kw)
    c("scatter_reduce", fam.x((2,)), 0, I(0, 1, 0), fam.x((3,)), "most", err="reduce argument must be either sum, prod, mean, amax or amin, got most")
    c("scatter_reduce", fam.x((2,)), 0, I(0, 1, 0), fam.x((3,), f64), "sum", err="Expected self.dtype to be equal to src.dtype")
    c("scatter_reduce", fam.x((2,)), 0, I(0, 1, 0), fam.x((2,)), "sum", err="Expected index [3] to be no larger than self [2] apart from dimension")
    c("scatter_reduce", fam.x((2,)), 0, I(0, 5), fam.x((2,)), "prod", err="is out of bounds for dimension")
    c("scatter_reduce", fam.x((2,), b8), 0, I(0, 1), fam.x((2,), b8), "mean", err="not implemented for 'Bool'")
    c("index_reduce", fam.x((2,)), 0, I(0, 1), fam.x((2,)), "sum", err="index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got sum")
    c("index_reduce", fam.x((2,)), 0, I(0, 1), fam.x((3,)), "prod", err="Number of indices (2) should be equal to source.size(dim): (3)")
    c("index_reduce", fam.x((2,)), 0, I(0, 1), fam.x((2,), f64), "prod", err="must have the same scalar type")
    c("index_reduce", fam.x((2, 3)), 0, I(0, 1), fam.x((2, 4)), "prod", err="source tensor shape must match self tensor shape, excluding the specified dimension")
    for word in ("add", "multiply"):
        c("scatter", fam.x((3, 4)), 0, fam.index((5, 4), 3), fam.x((5, 4)), reduce=word)
        c("scatter", fam.x((4,), i64), 0, I(1, 1, 3), fam.x((3,), i64), reduce=word)
        c("scatter", fam.x((4,)), 0, I(1, 1, 3), 2.5, reduce=word)
        c("scatter", fam.x((4,)), 0, I(1, 1, 3), 2.0, reduce=word, form="i")
    c("scatter", fam.x((4,)), 0, I(1), fam.x((1,)), reduce="sum", err="reduce argument must be either add or multiply")
    for layout in ("c", "t", "s", "e"):
        def x(shape=(3, 4), dt=f32):
            return fam.x(shape, dt, layout=layout, g=dt in FLOATS)
        c("select_scatter", x(), fam.x((4,), g=True), 0, 1)
        c("select_scatter", x(), x((3,)), -1, -2)
        c("select_scatter", x((3, 4), f64), fam.x((4,), g=True), 0, 1)
        c("select_scatter", x((3, 4), i64), fam.x((4,)), 0, 2)
        c("slice_scatter", x(), fam.x((2, 4), g=True), 0, 1, 3)
        c("slice_scatter", x(), fam.x((3, 2), g=True), 1, 0, -1, 2)
        c("slice_scatter", x(), fam.x((3, 2), g=True), dim=1, start=-2)
        c("slice_scatter", x(), x())
        c("slice_scatter", x(), fam.x((1, 4)), start=0, end=1)
        c("slice_scatter", x(), fam.x((2, 4)), 0, -9, 2)
        c("slice_scatter", x(), fam.x((2, 4)), 0, 1, 99)
        c("diagonal_scatter", x(), fam.x((3,), g=True))
        c("diagonal_scatter", x(), fam.x((3,), g=True), 1)
        c("diagonal_scatter", x(), fam.x((2,), g=True), -1)
        c("diagonal_scatter", fam.x((2, 3, 4), layout=layout, g=True), fam.x((3, 2), g=True), 0, 0, 2)
        if layout != "e":
            c("as_strided_scatter", fam.x((3, 4), layout=layout), fam.x((2, 2)), [2, 2], [3, 1])
            c("as_strided_scatter", fam.x((6,), layout=layout), fam.x((3,)), [3], [1])
    # (PyTorch's gradient of input is that of src, in src's places: a fault of its own)
    c("as_strided_scatter", fam.x((3, 4)), fam.x((2, 2), g=True), [2, 2], [4, 2], 1)
    c("as_strided_scatter", fam.x((6,), i64), fam.x((3,), i64), [3], [2], 0)
    c("select_scatter", fam.x((2, 3)), fam.x((2,)), 0, 0, err="expected src to have a size equal to the slice of self. src size = [2], slice size = [3]")
    c("select_scatter", fam.x((2, 3)), fam.x((3,)), 0, 5, err="out of range for tensor of size [2, 3]")
    c("slice_scatter", fam.x((3, 3)), fam.x((2, 3)), err="expected src to have a size equal to the slice of self. src size = [2, 3], slice size = [3, 3]")
    c("slice_scatter", fam.x((3, 3)), fam.x((2, 3)), 0, 1, None, -1, form="f", err="slice step must be positive")
    c("diagonal_scatter", fam.x((3, 3)), fam.x((2,)), err="expected src to have a size equal to the slice of self. src size = [2], slice size = [3]")
    c("as_strided_scatter", fam.x((3, 3)), fam.x((2,)), [3], [1], err="expected src to have a size equal to the slice of self")
    c("as_strided_scatter", fam.x((3, 3)), fam.x((3,)), [3], [10], err="are out of bounds for storage of size 36")
    return fam


@declared
def shapes():
    fam = Family("arrange_more", "splits by name, diagonals, unfold, turns, shuffles and other names of views")
    c = fam.case
    for layout in ("c", "t", "s", "e"):
        def x(shape=(4, 6), dt=f32):
            return fam.x(shape, dt, layout=layout, g=dt in FLOATS)
        c("hsplit", x(), 3)
        c("hsplit", x(), [1, 4])
        c("hsplit", x((6,)), 2)
        c("hsplit", x((6,)), [2, -1])
        c("vsplit", x(), 2)
        c("vsplit", x(), [1, 1, 9])
        c("dsplit", x((2, 3, 4)), 2)
        c("dsplit", x((2, 3, 4)), [1, 3])
        c("tensor_split", x(), X((), [3], i64), 1)
        c("tensor_split", x(), X((2,), [1, 3], i64), 1)
        c("tensor_split", x(), [1, 3], -1)
        c("split_with_sizes", x(), [1, 3, 2], 1)
        c("split_with_sizes", x(), split_sizes=[1, 3], dim=0)
        c("narrow_copy", x(), 1, 2, 3)
        c("narrow_copy", x(), 0, -2, 1)
        c("narrow", x(), 1, X((), [2], i64), 3)
        c("ravel", x(), view=True)
        c("swapaxes", x(), 0, 1, view=True)
        c("swapaxes", x(), axis0=0, axis1=-1, view=True)
        c("swapdims", x(), dim0=0, dim1=-1, view=True)
        c("moveaxis", x((2, 3, 4)), 0, -1, view=True)
        c("unfold", x(), 0, 2, 1, form="m", view=True)
        c("unfold", x(), 1, 3, 2, form="m", view=True)
        c("unfold", x(), -1, 6, 5, form="m", view=True)
        c("unfold", x(), 1, 0, 2, form="m")
        c("unfold", x((7,), f64), 0, 3, 3, form="m", view=True)
        c("sum_to_size", x(), 1, 6, form="m")
        c("sum_to_size", x(), [4, 1], form="m")
        c("sum_to_size", x(), 6, form="m")
        c("sum_to_size", x(), [], form="m")
        c("sum_to_size", x(), 4, 6, form="m")
        c("sum_to_size", x((2, 3, 4)), [3, 1], form="m")
        c("diag_embed", x((2, 3)))
        c("diag_embed", x((2, 3)), 1)
        c("diag_embed", x((2, 3)), -2, 0, 2)
        c("diag_embed", x((3,)), offset=1, dim1=1, dim2=0)
        c("diagflat", x((2, 3)))
        c("diagflat", x((3,)), 1)
        c("diagflat", x((3,)), -1)
        c("rot90", x())
        for k in (0, 1, 2, 3, 4, -1, -6):
            c("rot90", x(), k, [0, 1])
        c("rot90", x((2, 3, 4)), 1, [2, 0])
        c("rot90", x((2, 3, 4)), 1, [-1, 1])
        c("channel_shuffle", x((2, 6, 2)), 3)
        c("channel_shuffle", x((2, 4, 2, 3)), 2)
        c("pixel_shuffle", x((2, 8, 2, 3)), 2)
        c("pixel_shuffle", x((9, 1, 2)), 3)
        c("pixel_unshuffle", x((2, 2, 4, 6)), 2)
        c("pixel_unshuffle", x((1, 3, 3)), 3)
        if layout != "e":
            c("fill_diagonal", fam.x((3, 4), layout=layout, g=True), 1.5, form="i")
            c("fill_diagonal", fam.x((7, 3), layout=layout, g=True), 2.0, layout == "c", form="i")
            c("fill_diagonal", fam.x((7, 3), layout=layout), 2.0, form="i")
            c("fill_diagonal", fam.x((3, 3, 3), layout=layout), 0, form="i")
    c("fill_diagonal", fam.x((3, 3), i64), 2.5, form="i")
    c("fill_diagonal", fam.x((3, 3), b8), True, form="i")
    c("fill_diagonal", X((0, 3), []), 1, form="i")
    c("fill_diagonal", fam.x((9, 3)), 1, wrap=True, form="i")
    c("fill_diagonal", fam.x((3,)), 1, form="i", err="dimensions must larger than 1")
    c("fill_diagonal", fam.x((2, 3, 2)), 1, form="i", err="all dimensions of input must be of equal length")
    for dt in DTYPES:
        c("rot90", fam.x((2, 3), dt))
        c("diag_embed", fam.x((2, 2), dt))
        c("diagflat", fam.x((2,), dt), -1)
        c("unfold", fam.x((5,), dt), 0, 2, 1, form="m")
        c("channel_shuffle", fam.x((1, 4, 2), dt), 2)
        c("pixel_shuffle", fam.x((1, 4, 1, 2), dt), 2)
        c("narrow_copy", fam.x((5,), dt), 0, 1, 2)
        c("sum_to_size", fam.x((2, 3), dt), 1, 3, form="m")
        c("sum_to_size", fam.x((2, 3), dt), 2, 3, form="m")
    c("unfold", X((), [2.0], g=True), 0, 1, 1, form="m")
    c("unfold", X((), [2.0]), 0, 0, 1, form="m")
    c("diagflat", X((), [2.0], g=True))
    c("diag_embed", X((2, 0), []), 1)
    c("channel_shuffle", X((0, 4, 2), []), 2)
    c("pixel_shuffle", X((0, 4, 2, 2), []), 2)
    c("t", fam.x((3, 4), g=True), form="i")
    c("t", fam.x((3,)), form="i")
    c("swapaxes", fam.x((3, 4, 2)), 0, 2, form="i")
    c("swapdims", fam.x((3, 4, 2)), 0, -1, form="i")
    c("squeeze", fam.x((1, 3, 1)), form="i")
    c("squeeze", fam.x((1, 3, 1)), 0, form="i")
    c("squeeze", fam.x((1, 3, 1)), [0, 2], form="i")
    c("unsqueeze", fam.x((3, 4)), 1, form="i")
    c("unsqueeze", fam.x((3, 4)), -1, form="i")
    c("as_strided", fam.x((6,)), [2, 2], [2, 1], 1, form="i")
    # memory read as another dtype; sizes and dtypes of many at once
    for layout in ("c", "s"):
        c("view", fam.x((2, 4), layout=layout), i32, form="m", view=layout == "c")
        if layout == "c":
            c("view", fam.x((2, 4)), f64, form="m")
            c("view", fam.x((2, 3), f64), i32, form="m")
            c("view", fam.x((2, 3), i32), u8, form="m")
            c("view", fam.x((2, 16), u8), i64, form="m")
    c("view", fam.x((2, 3)), dtype=i32, form="m")
    c("view", fam.x((4, 3), i32, layout="t"), f32, form="m")
    c("view", X((), [1.0]), i32, form="m")
    c("view", fam.x((2, 3)), f64, form="m", err="self.size(-1) must be divisible by 2 to view Float as Double (different element sizes), but got 3")
    c("view", fam.x((4, 3), layout="t"), u8, form="m", err="self.stride(-1) must be 1 to view Float as Byte (different element sizes), but got 4")
    c("view", X((), [1.0]), u8, form="m", err="self.dim() cannot be 0 to view Float as Byte (different element sizes)")
    c("meshgrid", fam.x((2,)), fam.x((2,), i64), indexing="ij", form="f", err="meshgrid expects all tensors to have the same dtype")
    for op in ("atleast_1d", "atleast_2d", "atleast_3d"):
        LIST_OPS.add(op)  # of several tensors
        c(op, [X((), [2.0], g=True), fam.x((3,), i64), fam.x((2, 3), g=True)])
        c(op, X((), [2.0]), fam.x((3,)), form="f")
        LIST_OPS.remove(op)
    # errors
    c("hsplit", X((), [1.0]), 2, err="torch.hsplit requires a tensor with at least 1 dimension, but got a tensor with 0 dimensions!")
    c("vsplit", fam.x((3,)), 1, err="torch.vsplit requires a tensor with at least 2 dimension, but got a tensor with 1 dimensions!")
    c("dsplit", fam.x((2, 2)), 2, err="torch.dsplit requires a tensor with at least 3 dimension, but got a tensor with 2 dimensions!")
    c("hsplit", fam.x((3,)), 2, err="but the size of the dimension 3 is not divisible by the split_size 2!")
    c("dsplit", fam.x((2, 2, 3)), 0, err="but the size of the dimension 3 is not divisible by the split_size 0!")
    c("tensor_split", fam.x((3,)), X((2,), [1.0, 2.0]), err="tensor_split expected tensor_indices_or_sections to have dtype of long, but got Float")
    c("tensor_split", fam.x((3,)), X((1, 2), [1, 2], i64), err="to be a zero-dimensional or one-dimensional tensor, but got a tensor with 2 dims")
    c("narrow_copy", X((), [1.0]), 0, 0, 1, err="narrow() cannot be applied to a 0-dim tensor.")
    c("narrow", fam.x((5,)), 0, X((1,), [1], i64), 2, err="start must be an 0-dim integral Tensor.")
    c("narrow", fam.x((5,)), 0, X((), [1.0]), 2, err="start must be an 0-dim integral Tensor.")
    c("rot90", fam.x((6,)), 1, [0, 1], err="expected total dims >= 2, but got total dims = 1")
    c("rot90", fam.x((2, 3)), 1, [0], err="expected total rotation dims == 2, but got dims = 1")
    c("rot90", fam.x((2, 3)), 1, [0, 0], err="expected rotation dims to be different, but got dim0 = ")
    c("sum_to_size", fam.x((2, 3)), 2, 2, form="m", err="size {[2, 2]} is not expandable to size {[2, 3]}.")
    c("unfold", fam.x((5,)), 0, 6, 1, form="m", err="maximum size for tensor at dimension ")
    c("unfold", fam.x((5,)), 0, 2, 0, form="m", err="step is 0 but must be > 0")
    c("unfold", fam.x((5,)), 0, -2, 1, form="m", err="size is -2 but must be >= 0")
    c("diag_embed", fam.x((2,)), 0, 0, 0, err="diagonal dimensions cannot be identical ")
    c("diag_embed", fam.x((2,)), 0, 0, 5, err="Dimension out of range")
    c("channel_shuffle", fam.x((2, 2)), 2, err="channel_shuffle expects input with > 2 dims, but got input with sizes [2, 2]")
    c("channel_shuffle", fam.x((1, 3, 2)), 2, err="Number of channels must be divisible by groups. Got 3 channels and 2 groups.")
    c("channel_shuffle", fam.x((1, 3, 2)), 0, err="Number of groups to divide channels in must be positive. Value of groups:0")
    c("pixel_shuffle", fam.x((2, 2)), 2, err="pixel_shuffle expects input to have at least 3 dimensions, but got input with 2 dimension(s)")
    c("pixel_shuffle", fam.x((3, 2, 2)), 2, err="input.size(-3)=3 is not divisible by 4")
    c("pixel_shuffle", fam.x((4, 2, 2)), 0, err="pixel_shuffle expects a positive upscale_factor, but got 0")
    c("pixel_unshuffle", fam.x((1, 3, 2)), 2, err="pixel_unshuffle expects height to be divisible by downscale_factor, but input.size(-2)=3 is not divisible by 2")
    c("pixel_unshuffle", fam.x((1, 2, 3)), 2, err="pixel_unshuffle expects width to be divisible by downscale_factor, but input.size(-1)=3 is not divisible by 2")
    return fam


@declared
def makers():
    fam = Family("creation_more", "logspace, windows, positions of triangles, and dtypes of ranges")
    c = fam.case
    for args in ((0, 2, 3), (0, 1, 5), (0, 1, 5, 2), (-1, 1, 4), (0, 1, 0), (2, 5, 1), (0, 4, 5, -2.0), (1.5, -0.5, 7)):
        c("logspace", *args)
        c("logspace", *args, dtype=f64)
    c("logspace", 0, 4, 5, 2, dtype=i64)
    c("logspace", 0, 3, 6, 2, dtype=i32)
    c("logspace", 0.5, 3.7, 4, 2, dtype=i64)
    c("logspace", 0, 1, steps=4, base=3.0)
    c("logspace", X((), [0.0]), X((), [2.0]), 3)
    c("logspace", 0, 1, 3, requires_grad=True)
    c("logspace", 0, 1, -1, err="number of steps must be non-negative")
    c("logspace", 0, 1, 4, dtype=b8, err="not implemented for 'Bool'")
    for name in ("hann_window", "hamming_window", "blackman_window", "bartlett_window", "kaiser_window"):
        for n in (0, 1, 2, 3, 4, 7, 32):
            c(name, n)
            c(name, n, False, dtype=f64)
        c(name, 6, periodic=False)
        c(name, 5, dtype=f64, requires_grad=True)
        c(name, -1, err=name + " requires non-negative window_length, got window_length=-1")
        c(name, 4, dtype=i64, err=name + " expects floating point dtypes, got: ")
    c("hamming_window", 4, True, 0.5, 0.3)
    c("hamming_window", 4, True, 0.3)
    c("kaiser_window", 6, True, 3.0)
    c("kaiser_window", 6, False, beta=0.0)
    for op in ("tril_indices", "triu_indices"):
        for args in ((3, 4), (4, 3), (3, 3, 1), (3, 3, -1), (3, 3, -5), (3, 3, 5), (0, 3), (3, 0), (1, 5, 2), (5, 1, -2)):
            c(op, *args)
        c(op, 3, 3, dtype=i32)
        c(op, row=2, col=3, offset=1)
        c(op, -1, 3, err="row must be non-negative, got")
        c(op, 3, -1, err="col must be non-negative, got")
        c(op, 3, 3, dtype=f32, err="not implemented for 'Float'")
    for v in (3, 2.5, True):
        c("scalar_tensor", v)
        c("scalar_tensor", v, dtype=i64)
    c("scalar_tensor", 2.5, dtype=f64, requires_grad=True)
    for dt in (f32, i32, b8):
        x = fam.x((2,), dt)
        c("new_tensor", x, [1.5, 0.0, 2.0], form="m")
        c("new_tensor", x, [[1, 2], [3, 4]], form="m")
        c("new_tensor", x, 3, form="m")
        c("new_tensor", x, [1, 2], form="m", dtype=f64)
        c("new_full", x, [2, 2], 3, form="m")
        c("new_full", x, [2], 2.5, form="m", dtype=f64)
        c("new_zeros", x, 2, 3, form="m")
        c("new_ones", x, [2, 3], form="m", dtype=i64)
        c("new_empty", x, 2, 3, form="m", novalues=True)
        c("new_empty_strided", x, [2, 3], [1, 2], form="m", novalues=True)
    c("new_zeros", fam.x((2,)), 2, form="m", requires_grad=True)
    c("new_full", fam.x((2,)), [2], 1.0, form="m", requires_grad=True)
    c("new_tensor", fam.x((2,)), [1.0, 2.0], form="m", requires_grad=True)
    c("empty_strided", [2, 3], [1, 2], novalues=True)
    c("empty_strided", [2, 3], [1, 2], dtype=i64, novalues=True)
    c("empty_strided", [2], [1, 1], err="dimensionality of sizes (1) must match dimensionality of strides (2)")
    # ranges of integers: ends and steps become integers first
    for args, dt in (((0.5, 10.7, 5), i64), ((0, 10, 4), i32), ((-5.5, 7.2, 4), i32), ((0, 200, 3), u8), ((-3, 3, 4), u8), ((5, -5, 4), i64)):
        c("linspace", *args, dtype=dt)
    c("linspace", 0, 300, 4, dtype=u8, err="without overflow")
    c("linspace", 0, 1, 4, dtype=b8, err="not implemented for 'Bool'")
    c("linspace", X((), [0.0]), 1, 3)
    for args, dt in (((0.5, 5.7, 1.2), i64), ((0, 5, 0.3), i32), ((2.9, 7.9), i64), ((0, 5, 0.5), i64), ((3, -3, -2), i32), ((0, 300), u8), ((0, 1, 0.1), f64)):
        c("arange", *args, dtype=dt)
    c("arange", True)
    c("arange", 2 ** 62, 2 ** 63 - 1, 2 ** 61)
    c("arange", 5, requires_grad=False)
    c("arange", 3.0, requires_grad=True)
    c("arange", 0, 5, dtype=b8, err="not implemented for 'Bool'")
    c("arange", 0, inf, err="unsupported range: 0 -> inf")
    c("arange", 1, 10, nan, err="step must be finite but got nan")
    return fam


@declared
def products():
    fam = Family("product_more", "einsum, tensordot, kron, cross, trace, tables made of vectors, inverse and powers of matrices")
    c = fam.case

    def e(equation, *shapes, dt=f64, err=None, g=True, layout="c"):
        c("einsum", equation, *[fam.x(s, dt, layout=layout, g=g and dt in FLOATS) for s in shapes], form="f", err=err)

    one = [("i->", (3,)), ("i->i", (3,)), ("i", (3,)), ("ij", (2, 3)), ("ij->ji", (2, 3)), ("ji", (2, 3)), ("ba", (2, 3)), ("ij->", (2, 3)),
           ("ij->i", (2, 3)), ("ij->j", (2, 3)), ("ii", (3, 3)), ("ii->i", (3, 3)), ("ii->", (3, 3)), ("iij", (3, 3, 2)), ("iij->ij", (3, 3, 2)),
           ("iji->j", (3, 2, 3)), ("iii->i", (2, 2, 2)), ("iijj->ij", (2, 2, 3, 3)), ("...", (2, 3)), ("...ij->...ji", (2, 3, 4)), ("i...->...", (2, 3, 4)),
           ("i...j", (2, 3, 4)), ("...ii->...i", (2, 3, 3)), ("ij...->ij", (2, 3, 4)), ("...->", (2, 3)), ("i...->i", (2, 3)), ("abc->cab", (2, 3, 4)),
           ("aBc", (2, 3, 4)), ("BA", (2, 3)), ("zA->Az", (2, 3)), (" i j -> j i ", (2, 3)), ("...i->i...", (2, 3, 4)), ("->", ()), ("", ())]
    two = [("ij,jk->ik", (2, 3), (3, 4)), ("ij,jk", (2, 3), (3, 4)), ("ij,kj->ik", (2, 3), (4, 3)), ("i,i->", (3,), (3,)), ("i,i", (3,), (3,)),
           ("i,i->i", (3,), (3,)), ("i,j->ij", (2,), (3,)), ("i,j", (2,), (3,)), ("i,j->ji", (2,), (3,)), ("ij,ij->ij", (2, 3), (2, 3)), ("ij,ij->", (2, 3), (2, 3)),
           ("ij,ji->", (2, 3), (3, 2)), ("bij,bjk->bik", (2, 3, 4), (2, 4, 2)), ("bij,jk->bik", (2, 3, 4), (4, 2)), ("bhij,bhkj->bhik", (2, 2, 3, 4), (2, 2, 5, 4)),
           ("...ij,...jk->...ik", (2, 3, 4), (4, 2)), ("...ij,...jk", (2, 1, 2, 3), (2, 3, 2)), ("ij...,jk...->ik...", (2, 3, 2), (3, 2, 2)),
           ("...i,...i->...", (2, 3), (3,)), ("...i,...j->...ij", (2, 3), (2, 4)), ("i...,j...->ij...", (2, 3), (4, 3)), ("ij,k->ijk", (2, 3), (2,)),
           ("ij,j->i", (2, 3), (3,)), ("ij,j->ij", (2, 3), (3,)), ("ij,i->ij", (2, 3), (2,)), ("ii,ij->j", (3, 3), (3, 2)), ("ijk,jil->kl", (2, 3, 4), (3, 2, 5)),
           ("ij,jk->ki", (2, 3), (3, 4)), ("ij,kl->", (2, 3), (2, 2)), ("ij,kl->il", (2, 3), (2, 2)), ("ij,jk->j", (2, 3), (3, 4)), ("Ab,bC->AC", (2, 3), (3, 4)),
           ("ab,bC", (2, 3), (3, 4)), (",i->i", (), (3,)), ("i,->", (3,), ()), (",", (), ()), ("ij,jk->ik", (2, 1), (3, 4)), ("ij,ij->ij", (1, 3), (2, 1)),
           ("ij,jk->ik", (0, 3), (3, 4)), ("ij,jk->ik", (2, 0), (0, 4)), ("i,i->", (0,), (0,)), ("...,...->...", (2, 3), (3,)), ("i...,...->i", (2, 3), (3,)),
           ("nhwc,nhwc->nc", (2, 2, 2, 3), (2, 2, 2, 3)), ("ijij->ij", (2, 3, 2, 3))]
    three = [("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)), ("i,j,k->ijk", (2,), (3,), (2,)), ("i,i,i->", (3,), (3,), (3,)), ("i,i,i->i", (3,), (3,), (3,)),
             ("bn,anm,bm->ba", (2, 3), (4, 3, 2), (2, 2)), ("ij,ik,il->jkl", (2, 3), (2, 2), (2, 4)), ("...i,...i,...i->...", (2, 3), (2, 3), (3,)),
             ("ij,jk,ki->", (2, 3), (3, 4), (4, 2)), ("a,ab,abc,bc->c", (2,), (2, 3), (2, 3, 4), (3, 4)), ("ij,j,i->", (2, 3), (3,), (2,)),
             ("ii,ij,j->i", (3, 3), (3, 3), (3,)), ("a...,b...,c...->abc...", (2, 3), (2, 3), (2, 3)), ("ea,fb,abcd,gc,hd->efgh", (2, 2), (2, 2), (2, 2, 2, 2), (2, 2), (2, 2))]
    for equation, *shapes in one + two + three:
        e(equation, *shapes)
    for equation, *shapes in two[:20:3] + one[4:16:4] + three[:2]:
        for layout in ("t", "s"):
            if all(len(s) for s in shapes):
                e(equation, *shapes, dt=f32, layout=layout)
        e(equation, *shapes, dt=i64)
        e(equation, *shapes, dt=i32)
    c("einsum", "i,j->ij", fam.x((2,), i64), fam.x((3,), f32), form="f")
    c("einsum", "i,j->ij", fam.x((2,), b8), fam.x((3,), b8), form="f")
    c("einsum", "ij->i", fam.x((2, 3), b8), form="f")
    c("einsum", "ij,jk->ik", [fam.x((2, 3), g=True), fam.x((3, 2), g=True)], form="f")
    c("einsum", fam.x((2, 3), g=True), [1, 2], fam.x((3, 2), g=True), [2, 3], [1, 3], form="f")
    c("einsum", fam.x((2, 3), g=True), [1, 2], fam.x((3, 2), g=True), [2, 0], form="f")
    c("einsum", fam.x((3, 3), g=True), [0, 0], form="f")
    c("einsum", fam.x((3, 3), g=True), [26, 5], [5, 26], form="f")
    c("einsum", fam.x((3, 3), g=True), [26, 5], form="f")
    for equation, shapes, text in (
            ("ij", [(3,)], "the number of subscripts in the equation (2) does not match the number of dimensions (1) for operand"),
            ("i...j", [(3,)], "the number of subscripts in the equation (2) is more than the number of dimensions (1) for operand"),
            ("i,j", [(3,)], "fewer operands were provided than specified in the equation"),
            ("i", [(3,), (3,)], "more operands were provided than specified in the equation"),
            ("i1", [(3, 3)], "in the equation string, subscripts must be in [a-zA-Z]"),
            ("i->1", [(3,)], "in the equation string, subscripts must be in [a-zA-Z]"),
            ("i->k", [(3,)], "einsum(): output subscript k does not appear in the equation for any input operand"),
            ("i->ii", [(3,)], "einsum(): output subscript i appears more than once in the output"),
            ("..i", [(3, 3)], "that is not part of any ellipsis"),
            ("...i...", [(3, 3)], "for which an ellipsis was already found"),
            ("i->..i", [(3,)], "einsum(): found '.' for output that is not part of any ellipsis"),
            ("i,i", [(2,), (3,)], "which does not broadcast with previously seen size 2"),
            ("ii", [(2, 3)], "but the sizes don't match, 3 != 2")):
        e(equation, *shapes, err=text, g=False)
    c("einsum", "ij,jk", fam.x((2, 3)), fam.x((3, 2), f64), form="f", err="expected scalar type Float but found Double")
    # tensordot
    for layout in ("c", "t", "s"):
        def x(*shape):
            return fam.x(shape, layout=layout, g=True)
        c("tensordot", x(2, 3, 4), x(3, 4, 2))
        c("tensordot", x(2, 3), x(3, 2), 1)
        c("tensordot", x(2, 3), x(2, 2), 0)
        c("tensordot", x(2, 3, 4), x(3, 4, 2), dims=2)
        c("tensordot", x(2, 3, 4), x(4, 3, 2), [[1, 2], [1, 0]])
        c("tensordot", x(2, 3, 4), x(5, 3), [[1], [1]])
        c("tensordot", x(2, 3, 4), x(5, 3), dims=[[-2], [-1]])
        c("tensordot", x(2, 1), x(3, 2), 1)
        c("tensordot", x(2, 3), x(1, 2), 1)
        c("kron", x(2, 3), x(3, 2))
        if layout == "c":
            c("kron", x(2), x(2, 3))
            c("kron", x(2, 2, 2), x(3))
        c("cross", x(3, 3), x(3, 3))
        c("cross", x(2, 3), x(2, 3))
        c("cross", x(2, 3), x(2, 3), 1)
        c("cross", x(2, 3), x(1, 3), dim=-1)
        c("cross", x(3, 2, 3), x(3, 1, 1), 0)
        c("trace", x(3, 4))
        c("block_diag", x(2, 3), x(3, 1), form="f")
        c("cartesian_prod", x(3), x(2), form="f")
        c("vander", fam.x((3,), layout=layout))
        c("combinations", x(4))
        c("combinations", x(4), 3)
        c("combinations", x(3), 2, True)
        c("matrix_power", x(3, 3), 3)
        c("matrix_power", x(2, 2, 2), 2)
        c("matrix_power", x(3, 3), 5)
    for dt in NUMBERS:
        c("tensordot", fam.x((2, 2), dt), fam.x((2, 2), dt), 1)
        c("kron", fam.x((2,), dt), fam.x((2, 2), dt))
        c("cross", fam.x((3,), dt), fam.x((3,), dt))
        c("trace", fam.x((3, 2), dt))
        c("vander", fam.x((3,), dt))
        c("vander", fam.x((3,), dt), 4, True)
        c("combinations", fam.x((3,), dt))
        c("block_diag", fam.x((2,), dt), fam.x((2, 2), dt), form="f")
        c("cartesian_prod", fam.x((2,), dt), fam.x((2,), dt), fam.x((2,), dt), form="f")
        c("matrix_power", fam.x((2, 2), dt), 3)
        c("matrix_power", fam.x((2, 2), dt), 0)
        c("matrix_power", fam.x((2, 2), dt), 1)
    c("kron", fam.x((2,), i64), fam.x((2,), f32))
    c("kron", X((), [2.0], g=True), fam.x((3,), g=True))
    c("kron", fam.x((2,), b8), fam.x((2,), b8))
    c("trace", X((0, 2), []))
    c("block_diag", form="f")
    c("block_diag", fam.x((2,), i64), X((), [3.0]), fam.x((1, 2), f64, g=True), form="f")
    c("block_diag", X((0,), []), fam.x((2, 2)), form="f")
    c("cartesian_prod", fam.x((3,), g=True), form="f")
    c("cartesian_prod", X((0,), []), fam.x((2,)), form="f")
    c("combinations", fam.x((3,), i64), 0)
    c("combinations", fam.x((3,)), 5)
    c("combinations", fam.x((2,)), 4, True)
    c("combinations", X((0,), []), 2, with_replacement=True)
    c("vander", fam.x((3,), b8))
    c("vander", fam.x((3,), i64), N=0)
    c("vander", fam.x((3,), i64), N=1)
    c("vander", X((0,), []))
    # errors
    a, b = fam.x((2, 3, 4)), fam.x((3, 4, 2))
    c("tensordot", a, b, 1, err="contracted dimensions need to match, but first has size 4 in dim")
    c("tensordot", a, b, -1, err="tensordot expects dims >= 0, but got dims=-1")
    c("tensordot", a, b, 4, err="tensordot expects dims < ndim_a or ndim_b, but got dims=4")
    c("tensordot", a, b, [[1, 2], [0]], err="both dimension lists should have same length")
    c("tensordot", a, b, [[1, 1], [0, 0]], err="appears multiple times in the list of dims")
    c("tensordot", a, fam.x((3, 4, 2), f64), err="both inputs should have same dtype")
    c("cross", fam.x((2,)), fam.x((2,)), err="no dimension of size 3 in input")
    c("cross", fam.x((2, 3)), fam.x((3,)), err="linalg.cross: inputs must have the same number of dimensions.")
    c("cross", fam.x((2, 3)), fam.x((2, 3)), 0, err="must have length 3. Got 2 and 2")
    c("cross", fam.x((2, 3)), fam.x((3, 3)), err="The size of tensor a (2) must match the size of tensor b (3) at non-singleton dimension")
    c("cross", fam.x((3,), b8), fam.x((3,), b8), err="not implemented for 'Bool'")
    c("cross", fam.x((3,), i64), fam.x((3,)), err="expected scalar type Long but found Float")
    c("trace", fam.x((2,)), err="trace: expected a matrix, but got tensor with dim 1")
    c("block_diag", fam.x((2, 2, 2)), form="f", err="torch.block_diag: Input tensors must have 2 or fewer dimensions. Input ")
    c("cartesian_prod", fam.x((2,), i64), fam.x((2,)), form="f", err="meshgrid expects all tensors to have the same dtype")
    c("cartesian_prod", fam.x((2, 2)), form="f", err="Expect a 1D vector, but got shape [2, 2]")
    c("combinations", fam.x((3,)), -1, err="Expect a non-negative number, but got -1")
    c("combinations", fam.x((2, 2)), err="Expect a 1D vector, but got shape [2, 2]")
    c("vander", fam.x((2, 2)), err="x must be a one-dimensional tensor.")
    c("vander", fam.x((2,)), -1, err="N must be non-negative.")
    # inverses and determinants
    def square(*shape, dt=f64, g=True):
        m = fam.x(shape, dt, g=g)
        n = shape[-1]
        # a heavy diagonal keeps it far from singular
        m.values = [v + (12.0 if (i % (n * n)) % (n + 1) == 0 else 0.0) for i, v in enumerate(m.values)]
        return m
    for shape in ((1, 1), (2, 2), (3, 3), (5, 5), (2, 3, 3), (2, 2, 2, 2), (0, 0), (2, 0, 0)):
        for dt in FLOATS:
            for op in ("inverse", "det", "slogdet", "logdet"):
                c(op, square(*shape, dt=dt))
            c("matrix_power", square(*shape, dt=dt), -1)
    c("matrix_power", square(3, 3), -3)
    c("det", X((2, 2), [0.0, 1.0, 2.0, 0.0], f64, g=True))
    c("slogdet", X((2, 2), [0.0, 1.0, 2.0, 0.0], f64, g=True))
    c("det", X((2, 2), [1.0, 2.0, 2.0, 4.0]))
    c("slogdet", X((2, 2), [1.0, 2.0, 2.0, 4.0]))
    c("logdet", X((2, 2), [0.0, 1.0, 2.0, 0.0]))
    c("inverse", X((2, 2), [0.0, 1.0, 2.0, 0.0]))
    c("inverse", X((2, 2), [1.0] * 4), err="linalg.inv: The diagonal element 2 is zero, the inversion could not be completed because the input matrix is singular.")
    c("inverse", fam.x((2, 3)), err="linalg.inv: A must be batches of square matrices, but they are 2 by 3 matrices")
    c("inverse", fam.x((2,)), err="linalg.inv: The input tensor A must have at least 2 dimensions.")
    c("inverse", fam.x((2, 2), i64), err="linalg.inv: Expected a floating point or complex tensor as input. Got Long")
    c("det", fam.x((2, 3)), err="linalg.det: A must be batches of square matrices, but they are 2 by 3 matrices")
    c("slogdet", fam.x((2, 2), i64), err="linalg.slogdet: Expected a floating point or complex tensor as input. Got Long")
    c("logdet", fam.x((2,)), err="logdet: The input tensor A must have at least 2 dimensions.")
    c("matrix_power", fam.x((2, 3)), 2, err="linalg.matrix_power: A must be batches of square matrices, but they are 2 by 3 matrices")
    c("matrix_power", fam.x((2,)), 2, err="linalg.matrix_power: The input tensor A must have at least 2 dimensions.")
    c("matrix_power", fam.x((2, 2), i64), -1, err="linalg.inv: Expected a floating point or complex tensor as input. Got Long")
    return fam


FAMILIES = (reduces, shapes, makers, products)
