"""Containers: what they hold after changes, and their text."""
from calls import C, D, M, P, X


def describe(c):
    a, b, d = M("Linear", 3, 2), M("ReLU"), M("Linear", 2, 4, False)
    for name in ("Sequential", "ModuleList"):
        made = M(name, a, b, d) if name == "Sequential" else M(name, [a, b, d])
        c.container(made)
        c.container(M(name))
        c.container(made, ("append", M("Tanh")))
        c.container(made, ("insert", P(0), M("Tanh")))
        c.container(made, ("insert", P(1), M("Tanh")), ("append", M("GELU")))
        c.container(made, ("extend", [M("Tanh"), M("Dropout", 0.1)]))
        c.container(made, ("slice", 0, 2))
        c.container(made, ("slice", 1, 3))
        c.container(made, ("slice", 1, 2), ("append", M("Tanh")))
        c.container(made, ("append", made))
    c.container(M("Sequential", a, M("Sequential", b, M("Sequential", d))))
    c.container(M("ModuleList", [a, a, b, b, b, a]))
    c.container(M("ModuleList", [M("Sequential", a, b), M("Sequential", a, b)]))
    c.container(M("ModuleDict", D(("z", a), ("act", b))))
    c.container(M("ModuleDict"))
    c.container(M("ModuleDict", D(("z", a), ("act", b))), ("update", D(("more", d), ("z", b))))
    c.container(M("ModuleDict", D(("list", M("ModuleList", [a, b])))))
    c.container(M("ParameterList", [C(2, 3), C(3)]))
    c.container(M("ParameterList", [C(2, 3)]), ("append", C(1)), ("extend", [C(), C(2)]))
    c.container(M("ParameterDict", D(("w", C(2, 3)), ("b", C(3)))))
    c.container(M("ParameterDict", D(("w", C(2, 3)))), ("update", D(("a", C(1)))))
    c.m(M("Sequential", a, b, d), X(4, 3))
    c.m(M("Sequential", M("Sequential", a, M("Tanh")), d), X(3))
    c.m(M("Sequential", M("Conv2d", 1, 2, 3), M("BatchNorm2d", 2), M("ReLU"), M("Flatten"), M("Linear", 8, 2)), X(2, 1, 4, 4))
