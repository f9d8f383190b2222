"""Writes nn.lua: a layer's start, runs of optimisers, orders of loaders, texts. Run with torch 2.15 from anywhere.

Positions are written as moontorch counts them, from 1."""
import os
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, RandomSampler, random_split

inf, nan = float("inf"), float("nan")
OUT = []


def lua(v):
    if v is None:
        return "nil"
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, torch.Tensor):
        return lua(v.detach().tolist())
    if isinstance(v, str):
        return '"' + v.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    if isinstance(v, dict):
        return "{ " + ", ".join("%s = %s" % (k, lua(x)) for k, x in v.items()) + " }"
    if isinstance(v, (list, tuple)):
        return "{ " + ", ".join(lua(x) for x in v) + " }" if len(v) else "{}"
    if v != v:
        return "nan"
    if v in (inf, -inf):
        return "inf" if v > 0 else "-inf"
    return repr(v)


def numbers(*shape, a=7, m=23, s=11, d=5, dtype=torch.float64):
    """Element i, counted from 0, is ((i * a) mod m - s) / d."""
    n = 1
    for size in shape:
        n *= size
    return torch.tensor([((i * a) % m - s) / d for i in range(n)], dtype=dtype).reshape(shape)


torch.manual_seed(3)
layer = nn.Linear(4, 3)
OUT.append(("linear", {"weight": layer.weight, "bias": layer.bias, "output": layer(numbers(2, 4).float())}))

# Trajectories: a quadratic with a twist, ten steps from the same start.
RUNS = []


def run(name, dtype, **options):
    params = [numbers(2, 3, dtype=dtype).requires_grad_(), numbers(3, a=5, dtype=dtype).requires_grad_()]
    optimizer = getattr(torch.optim, name)(params, foreach=False, **options)
    target = numbers(2, 3, a=11, dtype=dtype)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        value = ((params[0] * params[1] - target) ** 2).sum() + params[0].abs().sum()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    RUNS.append({"name": name, "dtype": str(dtype)[6:], "options": options, "losses": losses, "first": params[0],
                 "second": params[1]})


for dtype in (torch.float64, torch.float32):
    run("SGD", dtype, lr=0.01)
    run("SGD", dtype, lr=0.01, momentum=0.9)
    run("SGD", dtype, lr=0.01, momentum=0.9, dampening=0.3, weight_decay=0.1)
    run("SGD", dtype, lr=0.01, momentum=0.8, nesterov=True, weight_decay=0.01)
    run("SGD", dtype, lr=0.001, maximize=True)
    run("Adam", dtype, lr=0.1)
    run("Adam", dtype, lr=0.1, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1)
    run("Adam", dtype, lr=0.1, amsgrad=True)
    run("Adam", dtype, lr=0.1, maximize=True)
    run("AdamW", dtype, lr=0.1)
    run("AdamW", dtype, lr=0.1, weight_decay=0.3, amsgrad=True)
OUT.append(("runs", RUNS))

# Orders for seed 5, positions from 1.
ORDERS = {}


def plus_one(batches):
    return [[i + 1 for i in batch] for batch in batches]


torch.manual_seed(5)
loader = DataLoader(list(range(10)), batch_size=4, shuffle=True)
ORDERS["two_epochs"] = [plus_one(b.tolist() for b in loader), plus_one(b.tolist() for b in loader)]
ORDERS["rand_after"] = torch.rand(2)
torch.manual_seed(5)
ORDERS["dropped"] = plus_one(b.tolist() for b in DataLoader(list(range(10)), batch_size=4, shuffle=True, drop_last=True))
g = torch.Generator().manual_seed(9)
ORDERS["generator"] = plus_one(b.tolist() for b in DataLoader(list(range(10)), batch_size=4, shuffle=True, generator=g))
torch.manual_seed(5)
ORDERS["split"] = plus_one(part.indices for part in random_split(range(10), [0.5, 0.3, 0.2]))
torch.manual_seed(5)
ORDERS["replacement"] = [i + 1 for i in RandomSampler(range(7), replacement=True, num_samples=40)]
torch.manual_seed(5)
ORDERS["longer"] = [i + 1 for i in RandomSampler(range(7), num_samples=17)]
torch.manual_seed(5)
ORDERS["unshuffled_rand"] = [list(DataLoader(list(range(3))))[0].item() + 1, torch.rand(1).item()]
OUT.append(("orders", ORDERS))

model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Sequential(nn.Linear(4, 4, bias=False), nn.Dropout()),
                      nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2), nn.ReLU()]))
one = nn.Parameter(torch.zeros(1))
OUT.append(("texts", {
    "linear": repr(nn.Linear(3, 4)), "inplace": repr(nn.ReLU(inplace=True)), "dropout": repr(nn.Dropout(0.2)),
    "softmax": repr(nn.Softmax(dim=-1)), "loss": repr(nn.CrossEntropyLoss()), "empty": repr(nn.Sequential()),
    "dict": repr(nn.ModuleDict({"a": nn.Linear(1, 1), "b": nn.Tanh()})),
    "parameters": repr(nn.ParameterList([nn.Parameter(torch.zeros(2, 3)), one])).replace("(1)", "(2)")
    .replace("(0)", "(1)"),
    "parameter_dict": repr(nn.ParameterDict({"x": nn.Parameter(torch.zeros(2))})),
    "model": repr(model).replace("(3)", "(4)").replace("(2)", "(3)").replace("(1)", "(2)").replace("(0)", "(1)")
    .replace("(0-1)", "(1-2)"),
    "sgd": repr(torch.optim.SGD([one], lr=0.1)).replace("Group 0", "Group 1"),
    "adam": repr(torch.optim.Adam([one])).replace("Group 0", "Group 1"),
    "adamw": repr(torch.optim.AdamW([one], betas=(0.5, 0.75))).replace("Group 0", "Group 1"),
}))

path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "nn.lua")
with open(path, "w") as out:
    out.write("-- A start value, optimiser runs, loader orders and texts of PyTorch %s. Made by make_nn.py.\n"
              % torch.__version__.split("+")[0])
    out.write("-- luacheck: ignore 631\nlocal nan, inf = 0 / 0, math.huge\nreturn {\n  nan = nan, inf = inf,\n")
    for name, value in OUT:
        if isinstance(value, list):
            out.write("  %s = {\n%s  },\n" % (name, "".join("    %s,\n" % lua(item) for item in value)))
        else:
            out.write("  %s = {\n%s  },\n" % (name, "".join("    %s = %s,\n" % kv for kv in
                                                             ((k, lua(v)) for k, v in value.items()))))
    out.write("}\n")
