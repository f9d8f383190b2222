"""Makes rng.lua, the random numbers that moontorch must repeat, from PyTorch.

    python3 spec/golden/make_rng.py [PYTHON2X] > spec/golden/rng.lua

Run it under a torch that was built without MKL (Debian's python3-torch 1.13 is one). PYTHON2X is an interpreter with
torch 2.x: it computes the cases marked newer, where 2.x draws differently than 1.13 (16-bit floats, ranges from 2^28 on,
log1p in place of log, trunc_normal_, multinomial of one sample); without it those cases are left out. Positions
(randperm, multinomial) are written from one.
"""
import json
import math
import subprocess
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

SEEDS = [0, 1, 42, 1234567890123]


def ramp(n, step, scale):
    """The inputs of the cases: the same doubles in the spec, 0 <= x < scale."""
    return [(i * step % 11) / 11 * scale for i in range(1, n + 1)]


def run(op, n, dtype, args):
    dt = getattr(torch, dtype)
    size = tuple(n) if isinstance(n, list) else (n,)
    count = math.prod(size)
    empty = lambda: torch.zeros(size, dtype=dt)
    given = lambda step, scale: torch.tensor(ramp(count, step, scale), dtype=torch.float64).to(dt).reshape(size)
    if op in ("rand", "randn"):
        return getattr(torch, op)(size, dtype=dt)
    if op == "randint":
        return torch.randint(args[0], args[1], size, dtype=dt)
    if op == "randperm":
        return torch.randperm(n) + 1
    if op == "normal":
        return torch.normal(args[0], args[1], size, dtype=dt)
    if op == "normal_tensors":
        return torch.normal(given(3, 2.0), given(5, 3.0))
    if op == "bernoulli":
        return torch.bernoulli(given(4, 1.0))
    if op == "bernoulli_tensor_":
        return empty().bernoulli_(given(7, 1.0).to(getattr(torch, args[0])))
    if op == "poisson":
        return torch.poisson(given(6, args[0]))
    if op == "multinomial":
        return torch.multinomial(given(3, 5.0), args[0], args[1]) + 1
    if op == "dropout":
        return F.dropout(torch.ones(size, dtype=dt), args[0], True)
    if op in ("Linear", "Conv2d", "Embedding", "LSTM", "BatchNorm1d"):
        layer = getattr(nn, op)(*args).to(dt)
        return torch.cat([p.detach().reshape(-1) for p in layer.parameters()])
    if hasattr(nn.init, op):
        return getattr(nn.init, op)(empty(), *args)
    return getattr(empty(), op)(*args)


def case(op, n, dtype="float32", *args, newer=False):
    return {"op": op, "n": n, "dtype": dtype, "args": list(args), "newer": newer}


def streams():
    """Each stream is the calls made after one seeding."""
    one = []
    for n in (3, 15, 16, 17, 23, 100, 1000):
        for dtype in ("float32", "float64"):
            one += [case("rand", n, dtype), case("randn", n, dtype, newer=n < 16 and dtype == "float64")]
            one += [case("uniform_", n, dtype, -0.1, 0.3), case("normal_", n, dtype, 0.3, 1.7, newer=n < 16)]
    for n in (3, 17, 1000):
        for dtype in ("float32", "float64"):
            newer = dtype == "float64"
            one += [case("exponential_", n, dtype, 1.0, newer=newer), case("exponential_", n, dtype, 2.5, newer=newer)]
            one += [case("cauchy_", n, dtype, 0.0, 1.0), case("cauchy_", n, dtype, -1.5, 0.25)]
            one += [case("log_normal_", n, dtype, 1.0, 2.0, newer=newer), case("log_normal_", n, dtype, -0.5, 0.5, newer=newer)]
            one += [case("geometric_", n, dtype, 0.3), case("bernoulli_", n, dtype, 0.25)]
            one += [case("bernoulli", n, dtype), case("poisson", n, dtype, 8.0), case("poisson", n, dtype, 60.0)]
            one += [case("dropout", n, dtype, 0.5), case("dropout", n, dtype, 0.1)]
            one += [case("normal", n, dtype, -2.0, 0.5, newer=n < 16), case("normal_tensors", n, dtype, newer=n < 16)]
    for dtype in ("uint8", "int8", "int16", "int32", "int64", "float32", "float64"):
        one += [case("random_", 17, dtype), case("random_", 5, dtype, 100), case("random_", 5, dtype, 3, 90)]
        one += [case("bernoulli_", 17, dtype, 0.6), case("geometric_", 9, dtype, 0.2)]
        one += [case("bernoulli_tensor_", 9, dtype, "float64"), case("bernoulli_tensor_", 9, dtype, "float32")]
        if dtype in ("int32", "int64", "float64"):
            one += [case("random_", 5, dtype, -100, None, newer=True)]
    one += [case("random_", 17, "bool"), case("bernoulli_", 17, "bool", 0.6), case("random_", 5, "float32", -(2 ** 63), None)]
    one += [case("random_", 5, "int64", -(2 ** 63), None), case("random_", 5, "float64", 2 ** 40)]
    for low, high in ((0, 10), (-5, 5), (0, 2 ** 27), (7, 2 ** 28 + 6), (-(2 ** 40), 2 ** 40), (-(2 ** 63), 2 ** 63 - 1)):
        one.append(case("randint", 17, "int64", low, high))
    one += [case("randint", 17, "int64", 0, 2 ** 28, newer=True), case("randint", 17, "int32", 0, 2 ** 30, newer=True)]
    one += [case("randint", 1000, "float32", 0, 7), case("randint", [3, 4], "int64", 0, 10)]
    for n in (1, 2, 3, 10, 100, 1000):
        one.append(case("randperm", n, "int64"))
    for dtype in ("float32", "float64"):
        for k, replacement in ((1, False), (1, True), (4, False), (6, False), (30, True)):
            newer = k == 1 and replacement
            one += [case("multinomial", 17, dtype, k, replacement, newer=newer)]
            one += [case("multinomial", [3, 12], dtype, k, replacement, newer=newer)]
    one += [case("multinomial", 1000, "float32", 20, False)]
    for dtype in ("float16", "bfloat16"):
        for n in (3, 16, 23, 100):
            one += [case("rand", n, dtype, newer=True), case("randn", n, dtype, newer=True)]
            one += [case("uniform_", n, dtype, -0.1, 0.3, newer=True), case("normal_", n, dtype, 0.3, 1.7, newer=True)]
        one += [case("exponential_", 9, dtype, 1.5, newer=True), case("cauchy_", 9, dtype, 0.5, 1.5, newer=True)]
        one += [case("log_normal_", 9, dtype, 0.5, 0.5, newer=True), case("geometric_", 9, dtype, 0.3, newer=True)]
        one += [case("random_", 9, dtype, newer=True), case("random_", 9, dtype, 3, 90, newer=True)]
        one += [case("bernoulli_", 9, dtype, 0.3, newer=True), case("bernoulli", 9, dtype, newer=True)]
        one += [case("poisson", 9, dtype, 30.0, newer=True), case("multinomial", 17, dtype, 4, False, newer=True)]
        one += [case("multinomial", 17, dtype, 4, True, newer=True), case("dropout", 9, dtype, 0.3, newer=True)]
    one += [case("Linear", 0, "float32", 10, 5), case("Linear", 0, "float32", 3, 2), case("Conv2d", 0, "float32", 2, 3, 3)]
    one += [case("Embedding", 0, "float32", 5, 4), case("LSTM", 0, "float32", 3, 2)]
    one += [case("xavier_uniform_", [6, 4]), case("xavier_normal_", [6, 4]), case("kaiming_uniform_", [6, 4]),
            case("kaiming_normal_", [6, 4]), case("trunc_normal_", [6, 4], newer=True),
            case("trunc_normal_", [6, 4], "float32", 0.0, 1.0, 1.5, 2.5, newer=True), case("uniform_", [3, 5], "float32", 2.0, 3.0)]
    result = [(SEEDS[i % len(SEEDS)], [c]) for i, c in enumerate(one)]
    for seed in SEEDS:
        result.append((seed, [case("rand", 3), case("randn", 5), case("rand", 2, "float64"), case("randn", 1),
                              case("randn", 17), case("randperm", 6, "int64"), case("normal_", 4, "float32", 1.0, 2.0),
                              case("randint", 5, "int64", 0, 100), case("dropout", 8, "float32", 0.5), case("rand", 700),
                              case("randn", 100), case("multinomial", 17, "float32", 3, False), case("poisson", 6, "float32", 20.0),
                              case("Linear", 0, "float32", 4, 3), case("Linear", 0, "float32", 3, 2), case("rand", 1)]))
    return result


def values(seed, calls):
    torch.manual_seed(seed)
    return [run(c["op"], c["n"], c["dtype"], c["args"]).reshape(-1).tolist() for c in calls]


def text(x, dtype):
    if isinstance(x, bool):
        return "true" if x else "false"
    if x is None:
        return "nil"
    if isinstance(x, str):
        return '"%s"' % x
    if isinstance(x, int):
        return "math.mininteger" if x == -(2 ** 63) else str(x)
    if isinstance(x, float) and x == int(x) and abs(x) < 1e15:
        return "%d.0" % x if dtype is None else "%d" % x
    return repr(x) if dtype is None else "%.17g" % x if dtype == "float64" else "%.9g" % x


def lua_list(xs, dtype=None):
    return "{" + ", ".join(text(x, dtype) for x in xs) + "}"


def lua_call(c, out):
    n = lua_list(c["n"]) if isinstance(c["n"], list) else str(c["n"])
    parts = ['op = "%s"' % c["op"], "n = " + n, 'dtype = "%s"' % c["dtype"]]
    if c["args"]:
        parts.append("args = " + lua_list(c["args"]))
    if len(out) > 40:
        at = sorted({0, 1, 2, 15, 16, 17, 31, 32, len(out) // 2, len(out) - 17, len(out) - 16, len(out) - 2, len(out) - 1})
        parts += ["count = %d" % len(out), "at = " + lua_list([i + 1 for i in at])]
        parts.append("sum = %.17g" % math.fsum(out))
        out = [out[i] for i in at]
    parts.append("want = " + lua_list(out, c["dtype"]))
    return "{" + ", ".join(parts) + "}"


def main():
    if sys.argv[1:] == ["--values"]:
        json.dump([values(seed, calls) for seed, calls in json.load(sys.stdin)], sys.stdout)
        return
    newer = [s for s in streams() if s[1][0]["newer"]]
    version, found = "", iter([])
    if len(sys.argv) > 1:
        ask = lambda a, i="": subprocess.run([sys.argv[1]] + a, input=i, stdout=subprocess.PIPE, text=True, check=True).stdout
        version = ", newer cases of torch " + ask(["-c", "import torch; print(torch.__version__)"]).strip()
        found = iter(json.loads(ask([__file__, "--values"], json.dumps(newer))))
    print("-- Random numbers of torch %s without MKL%s; made by make_rng.py, not by hand." % (torch.__version__, version))
    print("-- A stream is {seed, call, call, ...}: the calls that follow one manual_seed. Long results keep some positions")
    print("-- (at) and their sum.")
    print("-- luacheck: ignore 631")
    print("return {")
    for seed, calls in streams():
        if calls[0]["newer"]:
            if not version:
                continue
            outs = next(found)
        else:
            outs = values(seed, calls)
        sep = ", " if len(calls) == 1 else ",\n    "
        print("  {%d%s%s}," % (seed, sep, sep.join(lua_call(c, o) for c, o in zip(calls, outs))))
    print("}")


if __name__ == "__main__":
    main()
