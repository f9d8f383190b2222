"""Writes conv.lua: convolutions and pooling of PyTorch, with gradients. Run with torch 2.15 from anywhere.

Operands are whole numbers, so sums are exact in any order: element i of an operand, counted from 0, is
(i * a) mod m - s, with the numbers below. Positions are written as moontorch counts them, from 1."""
import os
import random
import torch
import torch.nn.functional as F

RULES = {"x": (7, 23, 11), "w": (5, 13, 6), "b": (3, 7, 3), "g": (11, 17, 8)}
OUT = []
random.seed(1)


def whole(rule, shape):
    a, m, s = RULES[rule]
    n = 1
    for size in shape:
        n *= size
    return torch.tensor([(i * a) % m - s for i in range(n)], dtype=torch.float64).reshape(shape)


def lua(v):
    if v is None:
        return "nil"
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, torch.Tensor):
        return lua(v.detach().reshape(-1).tolist())
    if isinstance(v, str):
        return '"%s"' % v
    if isinstance(v, dict):
        return "{ " + ", ".join("%s = %s" % (k, lua(x)) for k, x in v.items() if x is not None) + " }"
    if isinstance(v, (list, tuple)):
        return "{ " + ", ".join(lua(x) for x in v) + " }" if len(v) else "{}"
    if isinstance(v, float) and v == int(v):
        return str(int(v))
    return repr(v)


def finish(case, leaves, y):
    g = whole("g", list(y.shape))
    y.backward(g)
    case.update(shape=list(y.shape), value=y, **{"g" + k: t.grad for k, t in leaves.items()})
    OUT.append(case)


def conv(fn, x, w, bias, **options):
    leaves = {"x": whole("x", x).requires_grad_(), "w": whole("w", w).requires_grad_()}
    outs = w[0] if "transpose" not in fn else w[1] * options.get("groups", 1)
    if bias:
        leaves["b"] = whole("b", [outs]).requires_grad_()
    try:
        y = getattr(torch, fn)(leaves["x"], leaves["w"], leaves.get("b"), **options)
    except RuntimeError:
        return False
    if y.numel() == 0 or y.numel() > 200:
        return False
    finish({"fn": fn, "x": x, "w": w, "b": [outs] if bias else None, "options": options}, leaves, y)
    return True


def pool(fn, x, **options):
    leaf = whole("x", x).requires_grad_()
    torch_fn = getattr(F, fn)
    more = {"return_indices": True} if "max" in fn else {}
    try:
        y = torch_fn(leaf, **options, **more)
    except (RuntimeError, ValueError):
        return False
    case = {"fn": fn, "x": x, "options": options}
    if more:
        y, index = y
        case["index"] = index + 1
        case["fn"] = fn if "adaptive" in fn else fn + "_with_indices"
    if y.numel() == 0 or y.numel() > 150:
        return False
    finish(case, {"x": leaf}, y)
    return True


def unpool(dims, x, kernel_size, **options):
    fn = "max_unpool%dd" % dims
    values, index = getattr(F, "max_pool%dd" % dims)(whole("x", x), kernel_size, return_indices=True, **options)
    leaf = values.clone().requires_grad_()
    y = getattr(F, fn)(leaf, index, kernel_size, output_size=x, **options)
    finish({"fn": fn, "x": x, "given": list(values.shape), "values": values, "index": index + 1,
            "options": {"kernel_size": kernel_size, "output_size": x, **options}}, {"x": leaf}, y)


def pick(dims, values):
    return random.choice(values) if random.random() < 0.5 else [random.choice(values) for _ in range(dims)]


made = 0
while made < 60:
    dims = random.choice([1, 1, 2, 2, 3])
    groups = random.choice([1, 1, 2, 3])
    cin, cout = groups * random.choice([1, 2]), groups * random.choice([1, 1, 2])
    sizes = [random.choice([3, 4, 5, 6] if dims < 3 else [2, 3, 4]) for _ in range(dims)]
    kernel = [random.choice([1, 2, 3]) for _ in range(dims)]
    lead = random.choice([[], [1], [2]])
    padding = random.choice(["same", "valid"]) if random.random() < 0.15 else pick(dims, [0, 1, 2])
    stride = 1 if padding == "same" else pick(dims, [1, 1, 2, 3])
    made += conv("conv%dd" % dims, lead + [cin] + sizes, [cout, cin // groups] + kernel, random.random() < 0.5, stride=stride,
                 padding=padding, dilation=pick(dims, [1, 1, 2, 3]), groups=groups)
made = 0
while made < 50:
    dims = random.choice([1, 1, 2, 2, 3])
    groups = random.choice([1, 1, 2])
    cin, cout = groups * random.choice([1, 2]), random.choice([1, 1, 2])
    sizes = [random.choice([1, 2, 3, 4] if dims < 3 else [1, 2]) for _ in range(dims)]
    kernel = [random.choice([1, 2, 3]) for _ in range(dims)]
    made += conv("conv_transpose%dd" % dims, random.choice([[], [1], [2]]) + [cin] + sizes, [cin, cout] + kernel,
                 random.random() < 0.5, stride=pick(dims, [1, 2, 3]), padding=pick(dims, [0, 0, 1]),
                 output_padding=pick(dims, [0, 1, 2]), groups=groups, dilation=pick(dims, [1, 2, 3]))
made = 0
while made < 70:
    dims = random.choice([1, 2, 2, 3])
    x = random.choice([[], [2]]) + [random.choice([1, 2])] + [random.choice([3, 4, 5, 6, 7] if dims < 3 else [3, 4]) for _ in range(dims)]
    options = dict(kernel_size=pick(dims, [1, 2, 3]), stride=pick(dims, [1, 2, 3]) if random.random() < 0.6 else None,
                   padding=pick(dims, [0, 1]), ceil_mode=random.random() < 0.5)
    if random.random() < 0.5:
        made += pool("max_pool%dd" % dims, x, dilation=pick(dims, [1, 1, 2]), **options)
    else:
        options["count_include_pad"] = random.random() < 0.5
        if dims > 1 and random.random() < 0.4:
            options["divisor_override"] = random.choice([1, 2, 3])
        made += pool("avg_pool%dd" % dims, x, **options)
made = 0
while made < 24:
    dims = random.choice([1, 2, 2, 3])
    x = random.choice([[], [2]]) + [random.choice([1, 2])] + [random.choice([1, 3, 4, 5]) for _ in range(dims)]
    made += pool(random.choice(["adaptive_avg_pool%dd", "adaptive_max_pool%dd"]) % dims, x,
                 output_size=random.choice([1, 2, 3]) if dims == 1 else pick(dims, [1, 2, 3, 5]))
unpool(1, [2, 2, 6], 2)
unpool(1, [2, 7], 3, stride=2)
unpool(2, [1, 2, 4, 6], 2)
unpool(2, [2, 5, 7], [2, 3], stride=[2, 3])
unpool(2, [1, 1, 5, 5], 3, stride=3, padding=1)
unpool(3, [1, 2, 2, 4, 4], 2)

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "conv.lua"), "w") as f:
    f.write("-- Convolutions and pooling of PyTorch %s. Made by make_conv.py.\n-- luacheck: ignore 631\n" % torch.__version__.split("+")[0])
    f.write("return {\n  rules = %s,\n" % lua({k: list(v) for k, v in RULES.items()}))
    for case in OUT:
        f.write("  " + lua(case) + ",\n")
    f.write("}\n")
print(len(OUT), "cases")
