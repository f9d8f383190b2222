"""torch.nn.init: what a seed fills a tensor with."""
from calls import C, nan


def describe(c):
    shapes = ((3, 4), (2, 3, 3), (5, 2, 1, 2), (6, 6))
    for name in ("uniform_", "normal_", "xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_", "orthogonal_",
                 "trunc_normal_", "ones_", "zeros_"):
        for shape in shapes:
            c.init(name, C(*shape))
        c.init(name, C(20, 7), _seed=9)
    for shape in ((), (0,), (3,), (2, 0)):
        for name in ("uniform_", "normal_", "ones_", "zeros_", "trunc_normal_"):
            c.init(name, C(*shape))
    for letter in "dhb":
        for name in ("uniform_", "normal_", "ones_"):
            c.init(name, C(3, 4), _dtype=letter)
    for value in (2.5, -1, 0, nan):
        c.init("constant_", C(2, 3), value)
    c.init("uniform_", C(3, 4), -2.0, 3.0)
    c.init("uniform_", C(3, 4), b=4.0)
    c.init("normal_", C(3, 4), 1.0, 0.5)
    c.init("normal_", C(3, 4), std=3.0)
    c.init("normal_", C(3, 4), std=0.0)
    for kw in ({"std": 2.0}, {"mean": 0.5}, {"a": -0.5, "b": 0.25}, {"a": 1.0, "b": 1.5}, {"std": 0.5, "a": -3.0, "b": -1.0}, {"mean": 1.0, "std": 0.2, "a": 0.9, "b": 1.3}):
        c.init("trunc_normal_", C(4, 5), **kw)
    for gain in (0.5, 2.0):
        for name in ("xavier_uniform_", "xavier_normal_", "orthogonal_"):
            c.init(name, C(4, 3), gain)
    for name in ("kaiming_uniform_", "kaiming_normal_"):
        for kw in ({"a": 2.0}, {"mode": "fan_out"}, {"nonlinearity": "relu"}, {"nonlinearity": "tanh", "mode": "fan_out"},
                   {"a": 0.3, "nonlinearity": "leaky_relu"}, {"nonlinearity": "selu"}):
            c.init(name, C(4, 3, 2), **kw)
        c.init(name, C(3), _err=True)
        c.init(name, C(3, 2), mode="fan", _err=True)
        c.init(name, C(3, 2), nonlinearity="swish", _err=True)
        c.init(name, C(0, 2))
    for shape in ((3, 4), (4, 3), (2, 2), (1, 5)):
        c.init("eye_", C(*shape))
    for shape in ((3, 2, 3), (2, 3, 3, 2), (4, 2, 1, 2, 3)):
        c.init("dirac_", C(*shape))
    c.init("dirac_", C(4, 2, 3), 2)
    c.init("dirac_", C(6, 2, 3, 3), groups=3)
    for kw in ({"sparsity": 0.1}, {"sparsity": 0.5, "std": 0.5}, {"sparsity": 0.9}):
        c.init("sparse_", C(5, 4), **kw)
    c.init("sparse_", C(3), sparsity=0.1, _err=True)
    c.init("eye_", C(3), _err=True)
    c.init("dirac_", C(3, 3), _err=True)
    c.init("dirac_", C(3, 3, 3), groups=2, _err=True)
    c.init("orthogonal_", C(3), _err=True)
    c.init("xavier_uniform_", C(3), _err=True)
    c.init("xavier_normal_", C(), _err=True)
    for name in ("linear", "conv1d", "conv2d", "conv3d", "conv_transpose2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"):
        c.init("calculate_gain", name)
    for slope in (0.2, 0, -1.5, 3):
        c.init("calculate_gain", "leaky_relu", slope)
    c.init("calculate_gain", "swish", _err=True)
    c.init("calculate_gain", "leaky_relu", True, _err=True)
