"""Activations, softmaxes, dropout."""
from calls import C, M, N, V, X, inf, nan

# Function, its module, settings.
TABLE = [
    ("relu", "ReLU", [{}]), ("relu6", "ReLU6", [{}]), ("selu", "SELU", [{}]), ("silu", "SiLU", [{}]), ("mish", "Mish", [{}]),
    ("hardsigmoid", "Hardsigmoid", [{}]), ("hardswish", "Hardswish", [{}]), ("sigmoid", "Sigmoid", [{}]), ("tanh", "Tanh", [{}]),
    ("logsigmoid", "LogSigmoid", [{}]), ("softsign", "Softsign", [{}]), ("tanhshrink", "Tanhshrink", [{}]),
    ("elu", "ELU", [{}, {"alpha": 0.5}, {"alpha": 2}]), ("celu", "CELU", [{}, {"alpha": 0.5}, {"alpha": 2.0}, {"alpha": -1.5}]),
    ("leaky_relu", "LeakyReLU", [{}, {"negative_slope": 0.3}, {"negative_slope": 0}, {"negative_slope": -0.5}]),
    ("hardtanh", "Hardtanh", [{}, {"min_val": -0.5}, {"max_val": 0.25}, {"min_val": -0.25, "max_val": 1.5}]),
    ("threshold", "Threshold", [{"threshold": 0.5, "value": 20}, {"threshold": -0.25, "value": -1.5}]),
    ("softplus", "Softplus", [{}, {"beta": 2}, {"beta": 0.5, "threshold": 0.25}, {"threshold": 1}]),
    ("hardshrink", "Hardshrink", [{}, {"lambd": 0.0}, {"lambd": 1.25}]),
    ("softshrink", "Softshrink", [{}, {"lambd": 0.0}, {"lambd": 1.25}]),
    ("gelu", "GELU", [{}, {"approximate": "tanh"}, {"approximate": "none"}]),
    ("rrelu", "RReLU", [{}, {"lower": 0.25, "upper": 0.75}]),
]
INPLACE = "relu relu6 selu silu mish hardsigmoid hardswish elu celu leaky_relu hardtanh threshold rrelu".split()
UNDERSCORE = "relu_ elu_ hardtanh_ threshold_ leaky_relu_ rrelu_".split()
SPECIAL = [nan, inf, -inf, 0.0, -0.0, 1e30, -1e30, 1e-30, 20.5, -20.5, 100.0, -100.0, 3.0, -3.0, 6.0, 1.0, -1.0, 0.5, -0.5]


def elementwise(c):
    for f, module, settings in TABLE:
        for kw in settings:
            for shape in ((3, 4), (), (2, 1, 3)):
                c.f(f, X(*shape), **kw)
            c.m(M(module, **kw), X(3, 4), _train=False)
            c.m(M(module, **kw), X(29, s=14, d=4), _train=False)
            if f in INPLACE:
                c.f(f, X(3, 4), inplace=True, **kw)
                c.m(M(module, inplace=True, **kw), X(3, 4), _train=False)
                c.m(M(module, inplace=True, **kw), C(4), _train=False)
        kw = settings[0]
        c.f(f, V(SPECIAL[1:]), _dtype="d", **kw)
        c.f(f, V([nan]), **kw)  # alone: among others the gradient depends on the width of PyTorch's vectors
        c.f(f, V(SPECIAL, g=False), _dtype="s", **kw)
        c.f(f, X(0, 3), **kw)
        for letter in "hb":
            c.f(f, X(3, 7), _dtype=letter, **kw)
            c.f(f, V(SPECIAL, g=False), _dtype=letter, **kw)
        if f not in ("sigmoid", "tanh", "relu", "threshold", "softsign", "tanhshrink", "hardtanh", "relu6"):
            c.f(f, N(3, s=1), _err=True, **kw)
    for f, kw in (("relu", {}), ("threshold", {"threshold": 2, "value": 7}), ("hardtanh", {"min_val": -1, "max_val": 3}),
                  ("relu6", {}), ("softsign", {}), ("sigmoid", {}), ("tanh", {}), ("tanhshrink", {})):
        c.f(f, V([-3, -1, 0, 2, 9], "n"), **kw)
    for f in UNDERSCORE:
        kw = {"threshold_": {"threshold": 0.5, "value": 2.0}, "rrelu_": {"lower": 0.25, "upper": 0.5}}.get(f, {})
        c.f(f, X(3, 4), **kw)
        c.f(f, C(5), **kw)
    c.f("hardtanh", C(3), 2.0, 1.0, _err=True)
    c.m(M("Hardtanh", 2.0, 1.0), _err=True)
    c.f("softshrink", C(3), -1.0, _err=True)
    c.f("gelu", C(3), approximate="sigmoid", _err=True)
    c.m(M("RReLU", 2.0, 1.0), C(3), _err=True)
    c.f("celu", C(3), alpha=0.0, _err=True)


def with_sizes(c):
    for shape, dim in (((3, 4), -1), ((4, 3), 0), ((2, 4, 3), 1), ((2, 3, 2), -1), ((6,), 0)):
        c.f("glu", X(*shape), dim)
        c.m(M("GLU", dim), X(*shape))
    c.f("glu", X(2, 4))
    c.m(M("GLU"), X(2, 4))
    c.f("glu", C(2, 3), _err=True)
    c.f("glu", C(), _err=True)
    for letter in "hb":
        c.f("glu", X(2, 4), _dtype=letter)
    for shape in ((4,), (2, 3), (2, 3, 4), (2, 3, 2, 2)):
        c.f("prelu", X(*shape), X(1))
        if len(shape) > 1:
            c.f("prelu", X(*shape), X(3))
            c.m(M("PReLU", 3), X(*shape))
        c.m(M("PReLU"), X(*shape))
        c.m(M("PReLU", 1, 0.5), X(*shape))
    c.f("prelu", C(2, 3), C(4), _err=True)
    c.f("prelu", C(2, 3), C(2, 3), _err=True)
    for f, module in (("softmax", "Softmax"), ("log_softmax", "LogSoftmax"), ("softmin", "Softmin")):
        for shape, dims in (((4,), (0,)), ((3, 4), (0, 1, -1)), ((2, 3, 4), (0, 1, 2, -2)), ((2, 1, 3, 2), (1, -1))):
            for dim in dims:
                c.f(f, X(*shape), dim)
                c.m(M(module, dim), X(*shape))
        c.f(f, X(3, 4), dim=1, dtype=c.double)
        c.f(f, N(3, 4, m=5), dim=1, dtype=c.single)
        c.f(f, X(0, 3), dim=1)
        c.f(f, X(3, 0), dim=1)
        c.f(f, V([nan, 1.0, 2.0]), dim=0)
        c.f(f, V([inf, 1.0, 2.0], g=False), dim=0)
        c.f(f, V([-inf, 1.0, 2.0]), dim=0)
        c.f(f, V([1000.0, 1001.0, -1000.0]), dim=0)
        c.f(f, V(2.5), dim=0)
        c.f(f, C(3, 4), dim=2, _err=True)
        c.f(f, N(3, 4), dim=1, _err=True)
        for letter in "hb":
            c.f(f, X(3, 4), dim=1, _dtype=letter)
    c.m(M("Softmax2d"), X(2, 3, 2, 2))
    c.m(M("Softmax2d"), X(3, 2, 2))
    c.m(M("Softmax2d"), C(3, 2), _err=True)


DROPOUTS = {"dropout": "Dropout", "dropout1d": "Dropout1d", "dropout2d": "Dropout2d", "dropout3d": "Dropout3d",
            "alpha_dropout": "AlphaDropout", "feature_alpha_dropout": "FeatureAlphaDropout"}
SHAPES = {"dropout": [(4, 5), (3,), ()], "alpha_dropout": [(4, 5)], "dropout1d": [(2, 3, 2), (3, 2)],
          "dropout2d": [(2, 3, 2, 2)], "dropout3d": [(2, 3, 1, 2, 2), (3, 1, 2, 2)], "feature_alpha_dropout": [(3, 4, 2), (2, 3)]}


def dropouts(c):
    for f, module in DROPOUTS.items():
        for shape in SHAPES[f]:
            for p in (0.0, 0.3, 1.0):
                c.f(f, X(*shape), p, training=False)
                c.m(M(module, p), X(*shape), _train=False)
                c.m(M(module, p, inplace=True), X(*shape), _train=False)
                c.f(f, C(*shape), p, False, True)
            for p in (0.0, 1.0):
                c.f(f, X(*shape), p, training=True)
                c.m(M(module, p), X(*shape))
            for p in (0.2, 0.5):
                c.f(f, X(*shape), p, training=True, _drawn=True, _seed=5)
                c.m(M(module, p), X(*shape), _drawn=True)
                c.f(f, X(*shape), p, training=True, inplace=True, _drawn=True, _seed=5)
        c.f(f, X(0, *SHAPES[f][0][1:]), 0.5, training=False)
        c.f(f, C(*SHAPES[f][0]), 1.5, training=True, _err=True)
        c.f(f, C(*SHAPES[f][0]), -0.5, training=True, _err=True)
        c.m(M(module, 2), _err=True)
    c.f("dropout1d", C(3), _err=True)
    c.f("rrelu", X(3, 4), training=True, _drawn=True, _seed=5)
    c.f("rrelu", X(3, 4), 0.25, 0.75, training=True, _drawn=True, _seed=5)
    c.m(M("RReLU", 0.2, 0.6), X(3, 4), _drawn=True)
    c.f("rrelu", X(3, 4), 0.5, 0.5, training=True)
    for kw in ({}, {"tau": 0.5}, {"hard": True}, {"dim": 0}, {"hard": True, "dim": 0, "tau": 2}):
        c.f("gumbel_softmax", X(3, 4), _drawn=True, _seed=5, **kw)
        c.f("gumbel_softmax", X(2, 3, 2), _drawn=True, _seed=6, **kw)


def refusals(c):
    flags = V([1, 0, 1], "o")
    c.f("relu", flags, _err=True)
    c.f("relu6", flags, _err=True)
    c.f("hardtanh", flags, _err=True)
    c.f("tanhshrink", flags, _err=True)
    c.f("softsign", flags, _err=True)
    for f in UNDERSCORE:
        kw = {"threshold_": {"threshold": 0.5, "value": 2.0}}.get(f, {})
        c.f(f, X(3, 4), _err=True, **kw)
    c.f("gumbel_softmax", C(3, 4), dim=2, _err=True)
    for module, kw in (("ELU", {}), ("SELU", {}), ("CELU", {}), ("GELU", {}), ("SiLU", {}), ("Mish", {}), ("Softplus", {}),
                       ("Hardsigmoid", {}), ("Hardswish", {}), ("LeakyReLU", {}), ("LogSigmoid", {}), ("Hardshrink", {}),
                       ("Softshrink", {}), ("Softmax", {"dim": 0}), ("LogSoftmax", {"dim": 0}), ("GLU", {})):
        c.m(M(module, **kw), N(4, s=1), _err=True)
    for module in ("ReLU", "ReLU6", "Tanhshrink", "Softsign"):
        c.m(M(module), flags, _err=True)
    c.m(M("PReLU", 3), C(2, 4), _err=True)
    c.m(M("PReLU", 3), C(4), _err=True)
    c.m(M("Softmin", 1), C(3), _err=True)


def describe(c):
    elementwise(c)
    refusals(c)
    with_sizes(c)
    dropouts(c)
