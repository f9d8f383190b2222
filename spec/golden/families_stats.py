"""Golden cases of statistics (stats), running and differing values (running), searching and sets (search), distances (distance)
and of what the reductions do to every dtype, NaN and lists of dims (reduce_more)."""
from cases import DTYPES, FLOATS, LIST_OPS, POSITIONS_OUT, SIGNATURE, Family, X, b8, f32, f64, i32, i64, inf, nan, u8

SIGNATURE.update({name: [p.split(":") for p in text.split()] for name, text in {
    "aminmax": "input dim:D keepdim", "nansum": "input dim:D keepdim", "nanmean": "input dim:D keepdim",
    "nanmedian": "input dim:D keepdim", "median": "input dim:D keepdim", "mode": "input dim:D keepdim",
    "kthvalue": "input k dim:D keepdim", "quantile": "input q dim:D keepdim", "nanquantile": "input q dim:D keepdim",
    "renorm": "input p dim:D maxnorm", "cummax": "input dim:D", "cummin": "input dim:D", "logcumsumexp": "input dim:D",
    "cumsum": "input dim:D", "cumprod": "input dim:D", "searchsorted": "sorted_sequence input out_int32 right side sorter:I",
    "unique": "input sorted return_inverse return_counts dim:D", "unique_consecutive": "input return_inverse return_counts dim:D",
    "trapezoid": "y x dim:D", "trapz": "y x dim:D", "cumulative_trapezoid": "y x dim:D", "gradient": "input spacing dim:D edge_order",
    "diff": "input n dim:D prepend append", "cosine_similarity": "x1 x2 dim:D eps", "logsumexp": "input dim:D keepdim",
    "any": "input dim:D keepdim", "all": "input dim:D keepdim", "count_nonzero": "input dim:D", "amax": "input dim:D keepdim",
    "amin": "input dim:D keepdim", "std_mean": "input dim:D unbiased keepdim", "var_mean": "input dim:D unbiased keepdim",
    "argsort": "input dim:D descending",
}.items()})
POSITIONS_OUT.update({name: {1} for name in ("nanmedian", "median", "mode", "kthvalue", "cummax", "cummin", "unique", "unique_consecutive")})
POSITIONS_OUT.update({name: {0} for name in ("searchsorted", "bucketize", "argsort")})
LIST_OPS.add("gradient")
LAYOUTS = ("c", "t", "s", "e")
ALL = ("linear", "lower", "higher", "midpoint", "nearest")


def v(*values, dtype=f32, **more):
    return X((len(values),), values, dtype, **more)


def m(rows, dtype=f32, **more):
    return X((len(rows), len(rows[0])), [x for row in rows for x in row], dtype, **more)


def stats():
    fam = Family("stats", "aminmax, nansum, nanmean, nanmedian, quantile, nanquantile, cov, corrcoef, dist, renorm")
    c = fam.case
    holes = [nan, 1.5, -2.0, nan, 0.25, 3.0, nan, nan, nan, 1.0, 1.0, 2.0]
    for layout in LAYOUTS:
        for dt in FLOATS:
            c("aminmax", fam.x((3, 4), dt, layout, g=True))
            c("aminmax", fam.x((3, 4), dt, layout, g=True), dim=0)
            c("aminmax", fam.x((3, 4), dt, layout, g=True), dim=-1, keepdim=True)
            for op in ("nansum", "nanmean"):
                c(op, X((3, 4), holes, dt, layout, True))
                c(op, X((3, 4), holes, dt, layout, True), 1)
                c(op, X((3, 4), holes, dt, layout, True), (0, 1), True)
            c("nanmedian", X((3, 4), holes, dt, layout, True))
            c("nanmedian", fam.x((3, 4), dt, layout, g=True, distinct=layout != "e"))
            for op in ("quantile", "nanquantile"):
                c(op, fam.x((3, 4), dt, layout, g=layout != "e", distinct=layout != "e"), 0.4)
                c(op, fam.x((3, 4), dt, layout, g=True, distinct=layout != "e"), X((2,), [0.25, 0.8], dt, g=True), 1)
                c(op, X((3, 4), holes, dt, layout, True), X((3,), [0.0, 0.5, 1.0], dt), dim=0, keepdim=True)
                c(op, X((3, 4), holes, dt, layout, True), 0.3, -1)
            c("dist", fam.x((3, 4), dt, layout, g=True), fam.x((3, 4), dt, g=True))
            for p in (0, 1, 2.5, inf, -inf):
                c("dist", fam.x((3, 4), dt, layout, g=p != 0, distinct=layout != "e"), X((4,), [9, 8, 7, 6], dt), p)
            for p in (1, 2, 3.5):
                c("renorm", fam.x((3, 4), dt, layout, g=True), p, 0, 2)
                c("renorm", fam.x((3, 4), dt, layout, g=True), p, -1, 2.5)
            c("cov", fam.x((3, 4), dt, layout, g=True))
            c("corrcoef", X((3, 4), [1, 2, 4, 3, 0, 1, 5, 2, -1, 3, 2, 2], dt, "c" if layout == "e" else layout, True))
            c("cov", fam.x((3, 4), dt, layout, g=True), correction=0, fweights=X((4,), [1, 2, 0, 3], i64), aweights=X((4,), [1, 0.5, 2, 1], dt, g=True))
    for dt in DTYPES:
        c("aminmax", fam.x((5,), dt))
        c("aminmax", fam.x((2, 3), dt), dim=1)
        c("nansum", fam.x((2, 3), dt))
        c("nansum", fam.x((2, 3), dt), 0, dtype=f64)
        if dt not in FLOATS:
            c("nanmean", fam.x((3,), dt), err="nanmean(): expected input to have floating point or complex dtype but got")
            c("quantile", fam.x((3,), dt), 0.5, err="quantile() input tensor must be either float or double dtype")
        if dt != b8:
            c("nanmedian", fam.x((6,), dt))
            c("nanmedian", fam.x((3, 5), dt, distinct=True), 1)
            c("cov", fam.x((2, 4), dt))
            c("corrcoef", m([[1, 2, 4, 3], [0, 1, 5, 2]], dt))
    c("aminmax", v(nan, 1, 1, g=True))
    c("aminmax", v(2, 1, 1, 2, g=True))
    c("aminmax", X((), [3.0], g=True), dim=0)
    c("aminmax", X((0, 3), []), dim=1)
    c("aminmax", v(), err="aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity.")
    c("aminmax", X((0, 3), []), err="aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity.")
    c("aminmax", X((0, 3), []), dim=0, err="Expected reduction dim")
    c("aminmax", v(1), dim=1, err="Dimension out of range")
    c("nansum", v(1.5, nan), dtype=i64)
    c("nansum", v(nan, inf, -inf))
    c("nansum", v(nan, inf, g=True))
    c("nansum", v())
    c("nanmean", v(nan, nan))
    c("nanmean", v(1, nan), dtype=f64)
    c("nanmean", v(1, nan), dtype=i64, err="nanmean(): could not infer output dtype. Optional dtype must be either a floating point or complex dtype. Got: Long")
    for values in ([nan, 3, nan, 1, 2, 4], [nan, nan, nan], [2, nan, 1], [inf, nan, -inf, 5]):
        c("nanmedian", v(*values), 0)
        c("nanmedian", v(*values))
        c("median", v(*values))
    c("nanmedian", v(5, nan, 1, 3, g=True), 0, True)
    c("nanmedian", v())
    c("nanmedian", X((0, 2), []), 0, err="Expected reduction dim")
    c("nanmedian", fam.x((2,), b8), err="\"median_cpu\" not implemented for 'Bool'")
    c("nanmedian", fam.x((2,), b8), 0, err="\"median_out\" not implemented for 'Bool'")
    for how in ALL:
        for op in ("quantile", "nanquantile"):
            c(op, v(1, 4, 2, 8, 0.5, g=True), v(0, 0.1, 0.5, 0.6, 0.75, 1), interpolation=how)
            c(op, m([[1, nan, 2], [3, 4, 8]], g=True), 0.3, 1, interpolation=how)
            c(op, m([[1, nan, 2], [nan, nan, nan]], f64), X((2,), [0.3, 0.9], f64), 1, True, interpolation=how)
    c("quantile", v(inf, 1, -inf), v(0.25, 0.5))
    c("quantile", v(1, 4, 2, g=True), v(0.3, g=True))
    c("quantile", v(1, 4, 2), v())
    c("quantile", X((), [3.0]), 0.5, 0, True)
    c("quantile", X((), [3.0]), v(0.5, 0.2))
    c("quantile", m([[1, 2], [3, 4]]), 0.25, keepdim=True)
    c("quantile", m([[1, 2], [3, 4]]), v(0.25, 0.5), keepdim=True)
    c("quantile", kw={"input": v(1, 4, 2), "q": 0.5, "dim": 0})
    for q, message in ((1.5, "quantile() q must be in the range [0, 1] but got 1.5"), (nan, "quantile() q must be in the range [0, 1] but got"),
                       (v(0.5, -1), "quantile() q values must be in the range [0, 1]"), (m([[0.5]]), "quantile() q must be a scalar or 1D tensor"),
                       (v(0.5, dtype=f64), "quantile() q tensor must be same dtype as the input tensor")):
        c("quantile", v(1, 2), q, err=message)
        c("nanquantile", v(1, 2), q, err=message)
    c("quantile", v(), 0.5, err="quantile() input tensor must be non-empty")
    c("quantile", v(1), 0.5, interpolation="up", err="quantile() interpolation must be one of linear, lower, higher, midpoint or nearest, but got up")
    x = m([[1, 2, 4], [3, 1, 5]])
    c("cov", X((), [3.0]), correction=0)
    c("cov", v(1, 2, 4, g=True))
    c("cov", x, fweights=v(1, 2, 1, dtype=i32))
    c("cov", x, aweights=v(1, 2, 1))
    c("cov", x, fweights=v(1, 2, 1, dtype=i64), aweights=v(1, 2, 0.5), correction=2)
    c("cov", x, aweights=v(1, 2, 1, dtype=f64))
    c("cov", x, correction=3)
    c("cov", X((0, 3), []))
    c("corrcoef", v(1, 2, 3))
    c("corrcoef", X((), [3.0]))
    c("corrcoef", m([[1, 1, 1], [1, 2, 3]]))
    for kw, message in (({"fweights": v(1, 2, 1)}, "expected fweights to have integral dtype but got fweights with Float dtype"),
                        ({"fweights": v(1, 2, dtype=i64)}, "expected fweights to have the same numel as there are observations in the input but got 2 != 3"),
                        ({"fweights": v(1, -2, 1, dtype=i64)}, "cov(): fweights cannot be negative"),
                        ({"fweights": m([[1, 2, 1]], i64)}, "expected fweights to have one or fewer dimensions but got fweights with 2 dimensions"),
                        ({"aweights": v(1, 2, 1, dtype=i64)}, "expected aweights to have floating point dtype but got aweights with Long dtype"),
                        ({"aweights": v(1, -2, 1)}, "cov(): aweights cannot be negative"),
                        ({"fweights": v(0, 0, 0, dtype=i64)}, "cov(): weights sum to zero, can't be normalized")):
        c("cov", x, kw=kw, err=message)
    for op in ("cov", "corrcoef"):
        c(op, X((2, 0), []))
        c(op, v())
    for op in ("cov", "corrcoef"):
        c(op, fam.x((2, 2, 2)), err=op + "(): expected input to have two or fewer dimensions but got an input with 3 dimensions")
        c(op, fam.x((3,), b8), err="cov(): bool dtype is not supported for input")
    c("dist", v(1, 2, g=True), v(1, 2, g=True))
    c("dist", v(1, 2), X((), [3.0], f64))
    c("dist", v(1, 2, dtype=i64), v(3, 4, dtype=i64), err="norm(): input dtype should be either floating point or complex. Got Long instead.")
    c("renorm", m([[0, 0], [3, 4]], g=True), 2, 0, 1)
    c("renorm", m([[1, 2], [3, 4]]), inf, 1, 1)
    c("renorm", m([[nan, 1], [1, 2]]), 2, 0, 1)
    c("renorm", m([[1, 2], [3, 4]]), 2, 0, 0)
    c("renorm", fam.x((2, 3, 2), g=True), 2, 1, 1.5)
    c("renorm", fam.x((2, 3, 2), g=True), 2, 1, 1.5, form="i")
    c("renorm", X((0, 2), []), 2, 0, 1)
    c("renorm", m([[1, 2], [3, 4]]), -1, 0, 1, err="renorm: non-positive-norm not supported")
    c("renorm", m([[1, 2], [3, 4]]), 2, 0, -1, err="renorm: expected maxnorm to be >= 0 but got -1")
    c("renorm", v(1), 2, 0, 1, err="renorm: input needs at least 2 dimensions, got 1 dimensions")
    c("renorm", fam.x((2, 2), i64), 2, 0, 1, err="linalg.vector_norm: Expected a floating point or complex tensor as input. Got Long")
    return fam


def running():
    fam = Family("running", "cummax, cummin, logcumsumexp, diff, trapezoid, trapz, cumulative_trapezoid, gradient")
    c = fam.case
    for layout in LAYOUTS:
        for dt in FLOATS:
            for d in (0, 1, -1):
                for op in ("cummax", "cummin", "logcumsumexp"):
                    c(op, fam.x((3, 4), dt, layout, g=True), d)
                c("diff", fam.x((3, 4), dt, layout, g=True), 1, d)
                for op in ("trapezoid", "trapz", "cumulative_trapezoid"):
                    c(op, fam.x((3, 4), dt, layout, g=True), dim=d)
                    c(op, fam.x((3, 4), dt, layout, g=True), dx=0.5, dim=d)
                    c(op, fam.x((3, 4), dt, layout, g=True), fam.x((3 if d == 0 else 4,), dt, g=True), dim=d)
                c("gradient", fam.x((3, 4), dt, layout, g=True), dim=d, edge_order=2)
                c("gradient", fam.x((3, 4), dt, layout, g=True), spacing=0.5, dim=d)
            c("gradient", fam.x((3, 4), dt, layout, g=True))
            c("gradient", fam.x((3, 4), dt, layout, g=True), spacing=(2.0, 3), dim=(1, 0))
            for order in (1, 2):
                c("gradient", fam.x((3, 4), dt, layout, g=True), spacing=[X((3,), [0, 1, 3], dt, g=True), X((4,), [0, 1, 3, 3.5], dt, g=True)], edge_order=order)
            c("diff", fam.x((3, 4), dt, layout, g=True), 2, 1, fam.x((3, 1), dt, g=True), fam.x((3, 2), dt, g=True))
    for dt in DTYPES:
        for op in ("cummax", "cummin"):
            c(op, fam.x((6,), dt), 0)
            c(op, fam.x((3, 4), dt), 1)
        c("diff", fam.x((5,), dt))
        c("diff", fam.x((5,), dt), 2)
        c("diff", fam.x((3, 4), dt), dim=0, append=fam.x((1, 4), dt))
        if dt not in FLOATS:
            c("logcumsumexp", fam.x((3,), dt), 0, err="\"logcumsumexp_out_cpu\" not implemented for")
        if dt == b8:
            for op in ("trapezoid", "trapz", "cumulative_trapezoid"):
                name = "trapezoid" if op == "trapz" else op
                c(op, fam.x((3,), dt), err=name + ": received a bool input for `y`, but bool is not supported")
                c(op, fam.x((3,)), fam.x((3,), dt), err=name + ": received a bool input for `x` or `y`, but bool is not supported")
            c("gradient", fam.x((3,), dt), err="Subtraction, the `-` operator, with two bool tensors is not supported.")
            continue
        c("trapezoid", fam.x((2, 4), dt))
        c("trapezoid", fam.x((2, 4), dt), dx=2)
        c("trapezoid", fam.x((2, 4), dt), fam.x((4,), dt))
        c("cumulative_trapezoid", fam.x((2, 4), dt))
        c("cumulative_trapezoid", fam.x((2, 4), dt), dx=3)
        c("cumulative_trapezoid", fam.x((2, 4), dt), fam.x((4,), dt))
        if dt == u8:
            c("gradient", fam.x((3,), dt), err="torch.gradient does not support uint8 input.")
            continue
        c("gradient", fam.x((5,), dt))
        c("gradient", fam.x((5,), dt), edge_order=2)
        c("gradient", fam.x((5,), dt), spacing=2)
        c("gradient", fam.x((5,), dt), spacing=[X((5,), [0, 1, 3, 4, 6], dt)])
    for op in ("cummax", "cummin"):
        c(op, v(1, nan, 3, nan, g=True), 0)
        c(op, v(1, 3, 3, 1, 1, g=True), 0)
        c(op, v(0.0, -0.0, 0.0), 0, z=True)
        c(op, X((), [3.0], g=True), 0)
        c(op, X((0, 2), []), 0)
        c(op, v(1), 1, err="Dimension out of range")
        c(op, X((2,), [-2 ** 63, 2 ** 63 - 1], i64), 0)
    c("logcumsumexp", v(-inf, -inf, 1, inf, nan, 2), 0)
    c("logcumsumexp", v(inf, -inf, 1, inf), 0)
    c("logcumsumexp", v(1000, 1, 1000.5, -1000), 0)
    c("logcumsumexp", v(1, inf, 2, g=True), 0)
    c("logcumsumexp", v(-inf, -inf, 1, 2, g=True), 0)
    c("logcumsumexp", X((), [2.0], g=True), 0)
    c("logcumsumexp", X((0, 2), []), 0)
    c("diff", v(1, 2, 4, g=True), 0)
    c("diff", v(1, 2, 4), 5)
    c("diff", v(1, 2, 4), 5, prepend=v(0))
    c("diff", v(1, 2, 4), 0, prepend=v(0))
    c("diff", v())
    c("diff", v(1, 2, 4, dtype=i64), prepend=v(0.5), append=v(9, dtype=i64))
    c("diff", v(True, False, True, dtype=b8), 2)
    c("diff", X((), [3.0]), err="diff expects input to be at least one-dimensional")
    c("diff", v(1, 2), -1, err="order must be non-negative but got -1")
    c("diff", v(1, 2), prepend=X((), [0.0]), err="diff expects prepend or append to be the same dimension as input")
    c("diff", m([[1, 2], [3, 4]]), prepend=m([[0]]), err="diff expects the shape of tensor to prepend or append to match that of input except along the differencing dimension")
    c("diff", v(1), dim=4, err="Dimension out of range")
    y = m([[1, 2, 4], [3, 1, 5]])
    for op in ("trapezoid", "trapz"):
        c(op, y, y)
        c(op, y, m([[0], [2]]), dim=0)
        c(op, v(1, 2, 4), y, err="must match the size of tensor b (3) at non-singleton dimension")
        c(op, v())
        c(op, v(), v())
        c(op, X((0, 2), [], i64), dim=0)
        c(op, X((1, 2), [1, 2]), dim=0)
        c(op, X((2, 0), []), dim=1)
        c(op, y, m([[0, 2]]), dim=0, err="The size of tensor a (3) must match the size of tensor b (2) at non-singleton dimension")
        c(op, y, v(0, 1, 3), dim=0, err="trapezoid: There must be one `x` value for each sample point")
        c(op, X((), [3.0]), err="Dimension specified as -1 but tensor has no dimensions")
    c("trapezoid", y, dx=True, err="trapezoid: Currently, we only support dx as a real number.")
    c("cumulative_trapezoid", v(1, 2, 4), y, err="must match the size of tensor b (3) at non-singleton dimension")
    c("cumulative_trapezoid", v())
    c("cumulative_trapezoid", v(), v())
    c("cumulative_trapezoid", X((1, 2), [1, 2]), dim=0)
    c("cumulative_trapezoid", X((0, 2), []), dim=0)
    c("cumulative_trapezoid", y, v(1, 2), err="cumulative_trapezoid: There must be one `x` value for each sample point")
    c("gradient", X((), [3.0]))
    c("gradient", y, dim=())
    c("gradient", y, spacing=[2.0], dim=0)
    c("gradient", y, spacing=0)
    c("gradient", y, spacing=(2.0, 3), dim=1, err="spacing and dim arguments to have the same length, but got a spacing argument of length 2 and a dim argument of length 1")
    c("gradient", y, spacing=[2.0], err="since dim argument was not given, but got a list of length 1")
    c("gradient", y, spacing=[m([[0, 1, 3]])], dim=1, err="torch.gradient expected each element of spacing to have one dimension, but got an element with 2 dimensions!")
    c("gradient", y, spacing=[v(0, 1)], dim=1, own="spacing 1 has 2 coordinates, but dim 2 of input has 3 elements")
    c("gradient", y, edge_order=3, err="torch.gradient only supports edge_order=1 and edge_order=2")
    c("gradient", y, edge_order=2, err="torch.gradient expected each dimension size to be at least edge_order+1")
    c("gradient", v(1), err="torch.gradient expected each dimension size to be at least edge_order+1")
    c("gradient", y, dim=(0, 0), err="appears multiple times in the list of dims")
    c("gradient", y, dim=5, err="Dimension out of range")
    return fam


def search():
    fam = Family("search", "searchsorted, bucketize, isin, unique, unique_consecutive, bincount, histc, histogram")
    c = fam.case

    def only_counts(op, *args, **kw):
        """The second result is no position when it holds counts."""
        POSITIONS_OUT[op] = set()
        c(op, *args, return_counts=True, **kw)
        POSITIONS_OUT[op] = {1}

    def bits(shape, dt, layout):
        values = [fam.random.randrange(2) for _ in range(shape[0] * shape[1])]
        return X(shape, [bool(x) for x in values] if dt == b8 else values, dt, layout)

    def ascending(shape, dt, layout="c"):
        x = fam.x(shape, dt)
        n = shape[-1]
        x.values = [y for i in range(0, len(x.values), n) for y in sorted(x.values[i:i + n])]
        return X(shape, x.values, dt, layout)

    for layout in LAYOUTS:
        for dt in DTYPES:
            if dt == b8:
                continue
            c("searchsorted", ascending((5,), dt), fam.x((3, 4), dt, layout))
            c("searchsorted", ascending((3, 5), dt, layout), fam.x((3, 4), dt, layout), right=True)
            c("bucketize", fam.x((3, 4), dt, layout), ascending((5,), dt))
            c("isin", fam.x((3, 4), dt, layout), fam.x((6,), dt))
            c("isin", fam.x((3, 4), dt, layout), fam.x((2, 3), dt), invert=True)
        for dt in DTYPES:
            c("unique", fam.x((3, 4), dt, layout, lo=-1, hi=1), return_inverse=True, return_counts=True)
            c("unique", bits((6, 2), dt, layout), True, True, True, 0)
            c("unique", bits((2, 6), dt, layout), True, True, True, -1)
            c("unique_consecutive", bits((3, 5), dt, layout), True, True)
            c("unique_consecutive", bits((6, 2), dt, layout), True, True, 0)
            c("unique_consecutive", bits((2, 6), dt, layout), return_inverse=True, return_counts=True, dim=1)
        for dt in FLOATS:
            c("histc", fam.x((3, 4), dt, layout), 5)
            c("histc", fam.x((3, 4), dt, layout), 4, -1, 2)
            c("histogram", fam.x((3, 4), dt, layout), 5)
            c("histogram", fam.x((3, 4), dt, layout), 4, range=(-1.0, 2), weight=fam.x((3, 4), dt, layout), density=True)
            c("histogram", fam.x((3, 4), dt, layout), X((4,), [-2, -0.5, 0, 2], dt))
            c("histogram", fam.x((3, 4), dt, layout), X((4,), [-2, -0.5, 0, 2], dt), weight=fam.x((12,), dt), density=True)
    s = v(1, 3, 3, 5)
    for right in (False, True):
        for dt in FLOATS:
            values = [3, 0, 6, nan, 1, 5, inf, -inf]
            c("searchsorted", X((4,), s.values, dt), X((8,), values, dt), right=right)
            c("searchsorted", X((3,), [1, nan, nan], dt), X((3,), [nan, 2, 0], dt), right=right)
            c("bucketize", X((8,), values, dt), X((4,), s.values, dt), right=right, out_int32=True)
        c("searchsorted", s, 3, right=right)
        c("searchsorted", v(1, 3, 5, dtype=i64), 2.5, right=right)
        c("bucketize", 3, s, right=right)
        c("bucketize", 2.5, v(1, 3, 5, dtype=i64), right=right)
        c("searchsorted", v(5, 1, 3), v(2, 3, 5), sorter=v(1, 2, 0, dtype=i64), right=right)
        c("searchsorted", m([[5, 1, 3], [2, 9, 4]]), m([[2, 3, 5], [4, 10, 1]]), sorter=X((2, 3), [1, 2, 0, 0, 2, 1], i64), right=right)
    for side in ("left", "right"):
        c("searchsorted", s, v(3, 0), side=side)
    c("searchsorted", s, v(3, 0), out_int32=True)
    c("searchsorted", s, v(3, 0, dtype=i64))
    c("searchsorted", s, X((), [2.0], f64))
    c("searchsorted", v(), v(2))
    c("searchsorted", s, v())
    c("searchsorted", kw={"sorted_sequence": s, "input": v(4)}, form="f")
    c("searchsorted", v(2 ** 53, 2 ** 53 + 1, dtype=i64), v(2 ** 53 + 1, dtype=i64))
    c("searchsorted", s, v(3), side="left", right=True, err="torch.searchsorted(): side and right can't be set to opposites, got side of left while right was True")
    c("searchsorted", s, v(3), side="x", err="torch.searchsorted(): side can only be 'left' or 'right' but got x")
    c("searchsorted", m([[1, 2], [3, 4]]), v(1, 2), err="boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries tensor and input value tensor must match, but we got boundaries tensor [2, 2] and input value tensor [2]")
    c("searchsorted", m([[1, 2], [3, 4]]), 3, err="input value can be a scalar only when boundaries tensor dimension is 1, but we got boundaries tensor dim(2) and input value's dim(0) numel(1)")
    c("searchsorted", m([[1, 2], [3, 4]]), m([[1], [2], [3]]), err="but we got boundaries tensor [2, 2] and input value tensor [3, 1]")
    c("searchsorted", fam.x((2,), b8), fam.x((2,), b8), err="\"searchsorted_out_cpu\" not implemented for 'Bool'")
    c("searchsorted", v(5, 1, 3), v(2), sorter=v(1, 2, dtype=i64), err="boundary and sorter must have the same size, but got boundary tensor [3]")
    c("searchsorted", v(5, 1, 3), v(2), sorter=v(1, 2, 3, dtype=i64), err="torch.searchsorted(): sorter index out of range")
    c("searchsorted", v(5, 1, 3), v(2), sorter=v(1, 2, 0), err="torch.searchsorted(): sorter must be a tensor of long dtype but got dtype Float")
    c("bucketize", v(3), m([[1]]), err="boundaries tensor must be 1 dimension, but got dim(2)")
    c("isin", v(1, 2, nan, inf), v(nan, 1))
    c("isin", v(1, 2, nan, inf), v(nan, inf, nan))
    c("isin", v(1, nan), v(nan, nan), invert=True)
    for value in (1.5, 1):
        c("isin", v(1, 2, dtype=i64), value)
        c("isin", value, v(1, 2, dtype=i64), form="f")
        c("isin", v(1, 2, dtype=i64), value, invert=True)
    c("isin", v(1, 2, 4), v(4, 2, 3), assume_unique=True, invert=True)
    c("isin", v(1, 2), v())
    c("isin", v(1, 2), v(), invert=True)
    c("isin", v(), v(1))
    c("isin", v(300, 44, dtype=i64), v(44, dtype=u8))
    c("isin", v(2 ** 24 + 1, dtype=i64), v(2 ** 24))
    c("isin", X((), [2], i64), v(1, 2, dtype=i64))
    c("isin", kw={"elements": v(1, 2), "test_elements": v(2)}, form="f")
    c("isin", kw={"elements": v(1, 2), "test_element": 2}, form="f")
    c("isin", kw={"element": 2, "test_elements": v(1, 2)}, form="f")
    c("isin", fam.x((2,), b8), fam.x((2,), b8), err="Unsupported input type encountered for isin(): Bool")
    for op in ("unique", "unique_consecutive"):
        for values in ([3, nan, 1, nan, 3], [nan, nan, 1, 1], [3, -0.0, 0.0, 1, 1]):
            c(op, v(*values), return_inverse=True, return_counts=True)
            c(op, v(*values), return_inverse=True)
            only_counts(op, v(*values))
            c(op, v(*values))
        c(op, v(), return_inverse=True, return_counts=True)
        c(op, X((), [3], i64), return_inverse=True, return_counts=True)
        c(op, X((2, 0), []), return_inverse=True, return_counts=True)
        c(op, X((2, 0), []), return_inverse=True, return_counts=True, dim=1)
        c(op, X((2, 2, 3), [1, 2, 3, 1, 2, 3, 1, 2, 3, 4, 5, 6]), return_inverse=True, return_counts=True, dim=1)
        only_counts(op, m([[1, 2], [1, 2], [0, 5]]), dim=0)
        c(op, X((2, 0), []), dim=0, err="There are 0 sized dimensions, and they aren't selected, so unique cannot be applied")
        c(op, X((), [3]), dim=0, err="but tensor has no dimensions")
        c(op, v(1), dim=5, err="Dimension out of range")
    c("unique", v(5, 3, 9, 3, 5, 1, dtype=i64), False, True, True)
    c("unique", X((2,), [2 ** 63 - 1, -2 ** 63], i64), True, True)
    c("unique", m([[5, 3], [5, 3], [1, 2], [5, 1]], i64), False, True, True, 0)
    c("unique", kw={"input": v(3, 1, 3), "sorted": True, "return_inverse": True}, form="f")
    c("unique", X((40, 2), [fam.random.randrange(4) for _ in range(80)], i64), True, True, True, 0)
    for dt in (i64, i32, u8):
        c("bincount", v(3, 0, 1, 3, 3, dtype=dt))
        c("bincount", v(3, 0, 1, 3, 3, dtype=dt), minlength=6)
        c("bincount", v(3, 0, 1, 3, 3, dtype=dt), minlength=2)
        for wt in DTYPES:
            c("bincount", v(3, 0, 1, 3, 3, dtype=dt), X((5,), [True, False, True, True, False] if wt == b8 else [1, 2, 3, 4, 5] if wt not in FLOATS else [0.5, 1, -2, 0.25, 4], wt))
    for layout in ("t", "s", "e"):
        c("bincount", X((4,), [2, 2, 0, 1], i64, layout), X((4,), [0.5, 1, 2, 4], f32, layout))
    c("bincount", v(dtype=i64))
    c("bincount", v(dtype=i64), minlength=3)
    c("bincount", v(dtype=i64), v(), minlength=3)
    c("bincount", v(1), err="\"bincount_cpu\" not implemented for 'Float'")
    c("bincount", fam.x((2,), b8), err="\"bincount_cpu\" not implemented for 'Bool'")
    c("bincount", v(1, -2, dtype=i64), err="bincount only supports 1-d non-negative integral inputs.")
    c("bincount", m([[1, 2]], i64), err="bincount only supports 1-d non-negative integral inputs.")
    c("bincount", X((), [3], i64), err="bincount only supports 1-d non-negative integral inputs.")
    c("bincount", v(1, dtype=i64), minlength=-1, err="minlength should be >= 0")
    c("bincount", v(1, dtype=i64), v(1, 2), err="weights should be 1-d and have the same length as input")
    c("bincount", v(1, dtype=i64), m([[1]]), err="weights should be 1-d and have the same length as input")
    c("bincount", v(2 ** 63 - 1, dtype=i64), err="maximum value of input overflowed, it should be < 9223372036854775807 but got 9223372036854775807")
    for dt in DTYPES:
        if dt not in FLOATS and dt != b8:
            c("histc", fam.x((3,), dt), err="\"histogram_cpu\" not implemented for")
        if dt not in FLOATS:
            c("histogram", fam.x((3,), dt), 2, err="\"histogramdd\" not implemented for")
    for args in ((v(), 3), (v(1, 2, 3), 3, 0, 0), (v(1, 2, 3), 3, 1, 1), (v(1, 2, nan), 3, 0, 3), (v(1, 1), 4), (v(1, inf), 3, 0, 2),
                 (v(1, 2, 3, 4), 3, 1, 2.5), (v(0.7, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 0.9), 10, 0, 1), (v(1, 2, 2.5),)):
        c("histc", *args)
    c("histc", v(1, 2, 3), bins=3, min=1, max=4)
    c("histc", v(1, 2), 3, 2, 1, err="torch.histc: max must be larger than min")
    c("histc", v(1, nan), 3, err="torch.histc: range of [")
    c("histc", v(1, 2), 3, 0, inf, err="torch.histc: range of [0, inf] is not finite")
    c("histc", v(1), 0, err="torch.histogram(): bins must be > 0, but got 0")
    h = v(1, 2, 3, 4)
    for bins in (v(0, 2, 3), v(3, 2, 1), v(1, 1, 2, nan), v(1, 2, 2, 4)):
        c("histogram", h, bins)
    c("histogram", h)
    c("histogram", h, 3, range=(1, 3))
    c("histogram", h, 3, range=(3, 3))
    c("histogram", h, 3, weight=h, density=True)
    c("histogram", v(1, nan), 3, range=(0.0, 2.0))
    c("histogram", v(), 3)
    c("histogram", v(1, 1), 2)
    c("histogram", X((), [2.0]), 3)
    c("histogram", v(5, 6), v(1, 2), density=True)
    c("histogram", m([[1, 2]]), 2, weight=v(1, 2))
    c("histogram", kw={"input": h, "bins": 2, "range": (0.5, 4)}, form="f")
    for bins, kw, message in ((m([[3, 2, 1]]), {}, "bins tensor should have one dimension, but got 2 dimensions in the bins tensor for dimension"),
                              (v(3), {}, "torch.histogram(): bins must be > 0, but got 0"), (0, {}, "torch.histogram(): bins must be > 0, but got 0"),
                              (v(), {}, "bins tensor should have at least 1 element, but got 0 elements in the bins tensor for dimension"),
                              (v(1, 2, dtype=f64), {}, "input tensor and bins tensors should have the same dtype, but got input with dtype float and bins for dimension"),
                              (3, {"range": (3.0, 1.0)}, "torch.histogramdd: min should not exceed max, but got min 3 max 1 for dimension"),
                              (3, {"range": [3.0]}, "for a 1-dimensional histogram range should have 2 elements, but got 1"),
                              (3, {"range": (0.0, inf)}, "range [0, inf] is not finite"),
                              (3, {"weight": v(1)}, "if weight tensor is provided it should have the same shape as the input tensor"),
                              (3, {"weight": X((4,), [1, 2, 3, 4], f64)}, "input tensor and weight tensor should have the same dtype, but got input(float), and weight(double)")):
        c("histogram", h, bins, kw=kw, err=message)
    c("histogram", v(1, nan), 3, err="is not finite")
    return fam


def distances():
    fam = Family("distance", "cdist, pdist, pairwise_distance, cosine_similarity")
    c = fam.case
    never = "donot_use_mm_for_euclid_dist"
    for dt in FLOATS:
        for layout in LAYOUTS:
            for p in (0, 0.5, 1, 1.5, 2, 3, inf):
                c("cdist", fam.x((3, 4), dt, layout, g=True), fam.x((2, 4), dt, layout, g=True), p)
                c("pdist", fam.x((4, 3), dt, layout, g=True), p)
            c("cdist", fam.x((3, 2), dt, layout, g=True), fam.x((5, 2), dt, g=True), 2.0, "use_mm_for_euclid_dist")
            c("cdist", fam.x((2, 1, 3, 2), dt, layout, g=True), fam.x((4, 5, 2), dt, g=True))
            for op in ("cosine_similarity", "pairwise_distance"):
                c(op, fam.x((3, 4), dt, layout, g=True), fam.x((3, 4), dt, layout, g=True))
                c(op, fam.x((3, 4), dt, layout, g=True), fam.x((1, 4), dt, g=True))
            for d in (0, -1):
                c("cosine_similarity", fam.x((3, 4), dt, layout, g=True), fam.x((4,), dt, g=True), dim=d)
            for p in (1, 3, inf):
                c("pairwise_distance", fam.x((3, 4), dt, layout, g=True), fam.x((4,), dt, g=True), p, keepdim=True)
        a, b = [0, 1, 2, 3, 0, 1], [0, 1, 5, 5]
        for p in (0, 0.5, 1, 1.5, 2, 3, inf):
            c("cdist", X((3, 2), a, dt, g=True), X((2, 2), b, dt, g=True), p)
            c("pdist", X((4, 2), [0, 3, 2, 2, 0, 0, 0, 3], dt, g=True), p)
        c("cdist", X((3, 2), a, dt, g=True), X((2, 2), b, dt, g=True), compute_mode="use_mm_for_euclid_dist")
        c("cdist", X((3, 2), a, dt, g=True), X((2, 2), b, dt, g=True), compute_mode=never)
        c("cdist", fam.x((30, 2), dt), fam.x((2, 2), dt))
        c("cdist", fam.x((2, 2), dt, g=True), fam.x((27, 2), dt, g=True))
        c("cdist", fam.x((30, 2), dt), fam.x((2, 2), dt), compute_mode=never)
        c("cdist", X((3, 2), [0, 3, 2, 2, 0, 0], dt, g=True), X((1, 2), [1, 1], dt, g=True), inf)
        c("cosine_similarity", X((2,), [0, 0], dt, g=True), X((2,), [1, 2], dt, g=True), 0)
        c("cosine_similarity", X((2,), [0, 0], dt, g=True), X((2,), [0.25, 0.5], dt, g=True), 0, 1.0)
        c("pairwise_distance", X((2, 2), [1, 2, 3, 4], dt), X((2, 2), [1, 2, 3, 4], dt))
    c("cdist", X((0, 2), []), m([[1, 2]]))
    c("cdist", X((3, 0), []), X((2, 0), []))
    c("cdist", m([[nan, 1]]), m([[1, 2], [3, 4]]))
    a = m([[0, 1], [2, 3]])
    c("cdist", a, a, -1, err="cdist only supports non-negative p values")
    c("cdist", a, v(1, 2), err="cdist only supports at least 2D tensors, X2 got: 1D")
    c("cdist", a, m([[1]]), err="X1 and X2 must have the same number of columns. X1: 2 X2: 1")
    c("cdist", a, m([[1, 2]], f64), err="expected scalar type Float but found Double")
    c("cdist", a, a, compute_mode="x", err="x is not a valid value for compute_mode")
    c("cdist", fam.x((2, 3, 2)), fam.x((4, 5, 2)), err="The size of tensor a (2) must match the size of tensor b (4) at non-singleton dimension")
    c("cdist", fam.x((2, 2), i64), fam.x((2, 2), i64), err="cdist only supports floating-point dtypes, X1 got: Long")
    c("pdist", X((1, 2), [1, 2]))
    c("pdist", X((0, 2), []))
    c("pdist", X((3, 0), []))
    c("pdist", v(1, 2), err="pdist only supports 2D tensors, got: 1D")
    c("pdist", fam.x((2, 2), i64), err="pdist only supports floating-point dtypes")
    c("pdist", a, -1, err="pdist only supports non-negative p values")
    c("cosine_similarity", a, fam.x((2, 2), i64, lo=1))
    c("cosine_similarity", a, m([[1, 2], [3, 4]], f64), dim=0, eps=0.5)
    c("cosine_similarity", fam.x((2, 2), i64), fam.x((2, 2), i64), err="expected common dtype to be floating point, yet common dtype is Long")
    c("cosine_similarity", v(1, 2), v(1, 2), err="Dimension out of range")
    c("cosine_similarity", fam.x((3, 2)), fam.x((2, 2)), err="The size of tensor a (3) must match the size of tensor b (2) at non-singleton dimension")
    c("pairwise_distance", fam.x((2, 2), i64), fam.x((2, 2), i64))
    c("pairwise_distance", X((), [1.0]), X((), [2.0]))
    c("pairwise_distance", a, v(0, 1), 2.0, 1e-6, False)
    return fam


def reductions_more():
    fam = Family("reduce_more", "overloads of reductions: every dtype, NaN, lists of dims, empty tensors, ties")
    c = fam.case
    for dt in DTYPES:
        x, one = fam.x((3, 4), dt, distinct=dt != b8), fam.x((5,), dt)
        for op in ("max", "min", "amax", "amin", "sum", "prod", "any", "all", "count_nonzero"):
            c(op, one)
            c(op, x, 0)
            c(op, x, -1)
        for op in ("amax", "amin", "any", "all"):
            c(op, x, (0, 1))
            c(op, x, dim=(1,), keepdim=True)
        for op in ("max", "min"):
            c(op, fam.x((3, 4), dt, lo=-1, hi=1), 1, True)
            if dt != b8:
                c("arg" + op, x)
                c("arg" + op, fam.x((3, 4), dt, lo=-1, hi=1), 1, True)
        c("count_nonzero", x, (0, 1))
        c("count_nonzero", x, dim=())
        c("any", x, dim=())
        c("all", x, dim=())
        c("prod", x, 1, dtype=f64)
        c("sum", x, (0, 1), True, dtype=f32)
        c("mode", x)
        c("mode", fam.x((3, 6), dt, lo=0, hi=1), 1, True)
        c("mode", fam.x((6, 2), dt, lo=0, hi=1), 0)
        c("logsumexp", fam.x((3, 4), dt), 1)
        c("logsumexp", fam.x((3, 4), dt), (0, 1), True)
        c("cumsum", x, 1)
        c("cumprod", x, 0)
        c("argsort", x, 0, True)
        if dt == b8:
            c("kthvalue", one, 2, err="\"kthvalue_cpu\" not implemented for 'Bool'")
            c("median", one, err="\"median_cpu\" not implemented for 'Bool'")
            c("median", one, 0, err="\"median_out\" not implemented for 'Bool'")
            c("argmax", one, err="argmax(): does not support bool input")
            continue
        c("kthvalue", x, 2)
        c("kthvalue", x, 3, 0, True)
        c("median", one)
        c("median", x, 1)
        c("median", x, 0, True)
    for dt in FLOATS:
        for layout in LAYOUTS:
            x = fam.x((3, 4), dt, layout, g=True, lo=-1, hi=1)
            for op in ("max", "min", "amax", "amin", "median"):
                c(op, x)
            for op in ("amax", "amin"):
                c(op, x, 1)
                c(op, x, (0, 1), True)
            c("logsumexp", x, (0, 1))
            for op in ("std_mean", "var_mean"):
                c(op, x, 1)
                c(op, x, (0, 1), unbiased=False, form="f")
                c(op, x, correction=2, keepdim=True, form="f")
                c(op, x, False, form="f")
            c("kthvalue", fam.x((3, 4), dt, layout, g=True, distinct=layout != "e"), 2, 1)
        tied, ranked = (X((2, 3), [1, 1, 0, 2, nan, 2], dt, g=g) for g in (True, False))
        for op in ("max", "min", "amax", "amin", "median", "nanmedian"):
            c(op, tied)
        for op in ("amax", "amin"):
            c(op, tied, 1)
        for op in ("max", "min", "cummax"):
            c(op, X((2, 3), [1, nan, 0, 2, 2, 1], dt, g=True), 1)
        for op in ("argmax", "argmin"):
            c(op, ranked)
            c(op, ranked, 1)
        c("kthvalue", X((4,), [1, nan, 2, nan], dt), 2)
        c("kthvalue", X((4,), [1, nan, 2, 0], dt), 4)
        c("prod", X((4,), [2, 0, 3, 1], dt, g=True))
        c("prod", X((2, 3), [2, 0, 3, 0, 0, 1], dt, g=True), 1)
        c("logsumexp", X((3,), [-inf, -inf, -inf], dt), 0)
        c("logsumexp", X((3,), [inf, 1, -inf], dt), 0)
        c("logsumexp", X((3,), [nan, 1, -inf], dt), 0)
        c("logsumexp", X((0,), [], dt), 0)
        c("logsumexp", X((0, 2), [], dt), 1)
    c("mode", X((2, 0), []), err="Expected reduction dim")
    c("mode", X((0, 2), []))
    c("kthvalue", X((0, 2), []), 1)
    c("kthvalue", X((0, 2), []), 1, 0, err="Expected reduction dim")
    c("kthvalue", v(1, 2), 3, err="selected number k out of range for dimension")
    c("kthvalue", v(1, 2), 0, err="selected number k out of range for dimension")
    for op in ("std_mean", "var_mean"):
        c(op, v(1, 2, dtype=i64), err=op + " only support floating point and complex dtypes")
    for op in ("std", "var"):
        c(op, v(1, 2, dtype=i64), 0, err="std and var only support floating point and complex dtypes")
    for op in ("equal", "allclose"):
        c(op, v(1, 2), v(1, 2))
        c(op, v(1, 2), v(1, 2.5))
    c("equal", v(1, dtype=i64), m([[1]], i64))
    c("equal", v(1, dtype=i64), v(1))
    c("allclose", v(1, dtype=i64), v(1), err="Long did not match Float")
    c("isclose", v(1), v(1, dtype=f64), err="Float did not match Double")
    c("isclose", v(1), v(1), rtol=-1.0, err="rtol must be greater than or equal to zero, but got -1")
    c("isclose", v(1, 2, dtype=i64), v(1, 2, dtype=i64), 1e-5, -1.0, err="atol must be greater than or equal to zero, but got -1")
    c("isclose", v(inf, -inf, inf, nan, 1), v(inf, inf, 1, nan, 1.000001))
    c("isclose", v(inf, nan, 1), v(inf, nan, 2), equal_nan=True)
    c("isclose", v(2 ** 53 + 1, 5, dtype=i64), v(2 ** 53, 5, dtype=i64), 0.0, 0.0)
    c("isclose", fam.x((4,), b8), fam.x((4,), b8))
    c("isclose", v(1, 2), m([[1], [2]]))
    c("allclose", v(nan), v(nan), equal_nan=True)
    c("allclose", v(1), v(2), 1.0, 0.1)
    return fam


FAMILIES = (stats, running, search, distances, reductions_more)
