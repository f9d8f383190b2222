"""Writes optim.lua: runs of PyTorch's optimisers, learning rates of its schedulers. Run with torch 2.15 from anywhere.

Numbers of parameters, groups and positions are written as moontorch counts them, from 1."""
import os
import warnings
import torch
from torch.optim import lr_scheduler

warnings.simplefilter("ignore")
inf = float("inf")
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
        return "{ " + ", ".join("%s = %s" % (k if isinstance(k, str) else "[%d]" % k, lua(x)) for k, x in v.items()) + " }"
    if isinstance(v, (list, tuple)):
        return "{ " + ", ".join(lua(x) for x in v) + " }" if len(v) else "{}"
    if isinstance(v, Code):
        return v.text
    if v != v:
        return "nan"
    if v in (inf, -inf):
        return "inf" if v > 0 else "-inf"
    return repr(v)


class Code:
    """An argument that is written in Lua."""

    def __init__(self, text, value):
        self.text, self.value = text, value


def plain(v):
    if isinstance(v, Code):
        return v.value
    if isinstance(v, (list, tuple)):
        return type(v)(plain(x) for x in v)
    return v


def short(t):
    """Values of a float32 tensor in as few digits as tell them apart."""
    if t.dtype == torch.float32:
        return [float("%.9g" % x) for x in t.detach().flatten().tolist()]
    return t.detach().flatten().tolist()


def numbers(*shape, a=7, m=23, s=11, d=5, dtype=torch.float64):
    """Element i, counted from 0, is ((i * a) mod m - s) / d."""
    n = 1
    for size in shape:
        n *= size
    return torch.tensor([((i * a) % m - s) / d for i in range(n)], dtype=dtype).reshape(shape)


def problem(dtype):
    params = [numbers(2, 3, dtype=dtype).requires_grad_(), numbers(3, a=5, dtype=dtype).requires_grad_()]
    target = numbers(2, 3, a=11, dtype=dtype)
    return params, lambda: ((params[0] * params[1] - target) ** 2).sum() + params[0].abs().sum()


# Runs of twelve steps (LBFGS: a few of many evaluations). State of the first parameter as it is in the end, by name.
RUNS = []


def run(name, dtype, steps=12, **options):
    params, loss = problem(dtype)
    optimizer = getattr(torch.optim, name)(params, **({} if name == "LBFGS" else {"foreach": False}), **options)
    losses = []

    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    for _ in range(steps):
        losses.append(optimizer.step(closure).item())
    state = {}
    for key, value in optimizer.state[params[0]].items():
        if isinstance(value, torch.Tensor):
            state[key] = short(value) if value.dim() else value.item()
        elif isinstance(value, (int, float)):
            state[key] = value
    if name == "LBFGS":
        state = {k: state[k] for k in ("func_evals", "n_iter")}
    RUNS.append({"name": name, "dtype": str(dtype)[6:], "options": options, "losses": losses,
                 "first": short(params[0]), "second": short(params[1]), "state": state})


for dtype in (torch.float64, torch.float32):
    run("Adadelta", dtype)
    run("Adadelta", dtype, lr=0.5, rho=0.8, eps=1e-4, weight_decay=0.1)
    run("Adadelta", dtype, maximize=True)
    run("Adagrad", dtype, lr=0.1)
    run("Adagrad", dtype, lr=0.1, lr_decay=0.1, weight_decay=0.1, initial_accumulator_value=0.5, eps=1e-3)
    run("Adagrad", dtype, maximize=True)
    run("RMSprop", dtype)
    run("RMSprop", dtype, lr=0.02, alpha=0.9, eps=1e-3, weight_decay=0.1)
    run("RMSprop", dtype, momentum=0.9)
    run("RMSprop", dtype, momentum=0.5, centered=True, weight_decay=0.1)
    run("RMSprop", dtype, centered=True, maximize=True)
    run("Adamax", dtype, lr=0.1)
    run("Adamax", dtype, lr=0.1, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.1)
    run("Adamax", dtype, maximize=True)
    run("NAdam", dtype, lr=0.1)
    run("NAdam", dtype, lr=0.1, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.1, momentum_decay=0.02)
    run("NAdam", dtype, lr=0.1, weight_decay=0.1, decoupled_weight_decay=True, maximize=True)
    run("RAdam", dtype, lr=0.1)
    run("RAdam", dtype, lr=0.1, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.1)
    run("RAdam", dtype, lr=0.1, weight_decay=0.1, decoupled_weight_decay=True, maximize=True)
    run("ASGD", dtype, lr=0.01)
    run("ASGD", dtype, lr=0.01, lambd=0.1, alpha=0.5, t0=3, weight_decay=0.1)
    run("ASGD", dtype, lr=0.001, t0=5, maximize=True)
    run("Rprop", dtype, lr=0.1)
    run("Rprop", dtype, lr=0.05, etas=(0.3, 1.5), step_sizes=(1e-3, 0.2))
    run("Rprop", dtype, maximize=True)
    run("Adam", dtype, lr=0.1, weight_decay=0.1, decoupled_weight_decay=True)
    if dtype == torch.float64:
        run("LBFGS", dtype, 3, lr=0.1)
    run("LBFGS", dtype, 3, lr=0.1, max_iter=6, history_size=3)
    run("LBFGS", dtype, 3, line_search_fn="strong_wolfe")
    run("LBFGS", dtype, 2, line_search_fn="strong_wolfe", max_iter=8, max_eval=7, history_size=2)
    run("LBFGS", dtype, 2, lr=0.01, max_iter=3, maximize=True)
for name in ("Adadelta", "Adagrad", "RMSprop", "Adamax", "NAdam", "RAdam", "ASGD", "Rprop"):
    run(name, torch.bfloat16, 3, lr=0.01)
OUT.append(("runs", RUNS))

# Gradients through steps: the parameter starts as 2 x, the gradient is y in the first step, 0.5 y in the second, then
# y - 1; the sum of squares of the result goes back to x and y. PyTorch goes through one step only of some.
THROUGH = []


def go_through(name, steps, options):
    x, y = numbers(5).requires_grad_(), numbers(5, a=5, s=8).requires_grad_()
    p = x * 2
    optimizer = getattr(torch.optim, name)([p], differentiable=True, **options)
    for grad in (y, y * 0.5, y - 1)[:steps]:
        p.grad = grad
        optimizer.step()
    value = (p ** 2).sum()
    value.backward()
    THROUGH.append({"name": name, "steps": steps, "options": options, "value": value, "x": x.grad, "y": y.grad})


def through(name, **options):
    try:
        go_through(name, 3, options)
    except RuntimeError:
        go_through(name, 1, options)


through("SGD", lr=0.1)
through("SGD", lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1)
through("SGD", lr=0.1, momentum=0.9, dampening=0.1, maximize=True)
through("Adam", lr=0.1, weight_decay=0.1)
through("Adam", lr=0.1, amsgrad=True)
through("AdamW", lr=0.1)
through("Adadelta", weight_decay=0.1)
through("Adagrad", lr=0.1, weight_decay=0.1)
through("RMSprop", momentum=0.5, centered=True)
through("RMSprop", weight_decay=0.1)
through("Adamax", weight_decay=0.1)
through("NAdam", weight_decay=0.1)
through("RAdam", weight_decay=0.1, betas=(0.9, 0.6))
through("ASGD", lambd=0.1, t0=1, weight_decay=0.1)
through("Rprop", lr=0.1)
OUT.append(("through", THROUGH))

# Names in the state, texts.
one = torch.nn.Parameter(torch.zeros(1))
NAMES = ("SGD", "Adam", "AdamW", "Adadelta", "Adagrad", "RMSprop", "Adamax", "NAdam", "RAdam", "ASGD", "Rprop", "LBFGS")
TEXTS = {name: repr(getattr(torch.optim, name)([one])).replace("Group 0", "Group 1") for name in NAMES}
GROUPS = {}
for name in NAMES:
    group = getattr(torch.optim, name)([one]).state_dict()["param_groups"][0]
    GROUPS[name] = {k: v for k, v in group.items() if v is not None}
OUT.append(("groups", GROUPS))
named = torch.optim.SGD([{"params": [("a", one)], "lr": 0.5}, {"params": [("b", torch.nn.Parameter(torch.zeros(2)))]}],
                        momentum=0.9)
lr_scheduler.OneCycleLR(named, max_lr=0.1, total_steps=10)
TEXTS["groups"] = repr(named).replace("Group 1", "Group 2").replace("Group 0", "Group 1")
OUT.append(("texts", TEXTS))

# Learning rates (and momenta) of both groups, before the first step of the scheduler and after each of thirty.
RATES = []


def build(optimizer, what):
    """what: [class, {options}] with schedulers inside as such pairs, in the order in which they are made."""
    name, options = what
    options = dict(options)
    parts = options.pop("schedulers", None)
    if parts is not None:
        parts = [build(optimizer, part) for part in parts]
        if name == "ChainedScheduler":
            return lr_scheduler.ChainedScheduler(parts, optimizer=optimizer)
        options["schedulers"] = parts
    return getattr(lr_scheduler, name)(optimizer, **{k: plain(v) for k, v in options.items()})


def rates(name, inner="SGD", epochs=None, metrics=None, steps=30, **options):
    params = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    settings = {"momentum": 0.9} if inner == "SGD" else {}
    optimizer = getattr(torch.optim, inner)([{"params": [params[0]]}, {"params": [params[1]], "lr": 0.05}], lr=0.5,
                                            **settings)
    scheduler = build(optimizer, (name, options))
    cycles = name in ("CyclicLR", "OneCycleLR")

    def now():
        row = [g["lr"] for g in optimizer.param_groups]
        assert row == list(scheduler.get_last_lr())
        if cycles:
            row.append(optimizer.param_groups[1]["betas"][0] if inner != "SGD"
                       else optimizer.param_groups[1]["momentum"])
        return row

    rows = [now()]
    for i in range(len(epochs) if epochs else len(metrics) if metrics else steps):
        optimizer.step()
        if epochs:
            scheduler.step(epochs[i])
        elif metrics:
            scheduler.step(metrics[i])
        else:
            scheduler.step()
        rows.append(now())
    RATES.append({"name": name, "inner": inner, "options": options, "epochs": epochs, "metrics": metrics,
                  "rates": rows})


EPOCHS = [1, 2, 7, 3, 0, 11, 25]
halves = Code("function(e) return 0.95 ^ e end", lambda e: 0.95 ** e)
slower = Code("function(e) return 1 / (1 + e) end", lambda e: 1 / (1 + e))
rates("LambdaLR", lr_lambda=halves)
rates("LambdaLR", lr_lambda=[halves, slower])
rates("LambdaLR", lr_lambda=slower, epochs=EPOCHS)
rates("MultiplicativeLR", lr_lambda=halves)
rates("MultiplicativeLR", lr_lambda=[slower, halves])
rates("StepLR", step_size=7)
rates("StepLR", step_size=4, gamma=0.7)
rates("StepLR", step_size=4, gamma=0.7, epochs=EPOCHS)
rates("MultiStepLR", milestones=[3, 8, 8, 20], gamma=0.3)
rates("MultiStepLR", milestones=[8, 3], epochs=EPOCHS)
rates("ConstantLR")
rates("ConstantLR", factor=0.7, total_iters=9)
rates("ConstantLR", factor=0.7, total_iters=9, epochs=EPOCHS)
rates("LinearLR")
rates("LinearLR", start_factor=0.9, end_factor=0.1, total_iters=13)
rates("LinearLR", start_factor=0.9, end_factor=0.1, total_iters=13, epochs=EPOCHS)
rates("ExponentialLR", gamma=0.9)
rates("ExponentialLR", gamma=0.9, epochs=EPOCHS)
rates("PolynomialLR")
rates("PolynomialLR", total_iters=17, power=2.3)
rates("PolynomialLR", total_iters=17, power=2.3, epochs=EPOCHS)
rates("CosineAnnealingLR", T_max=30)
rates("CosineAnnealingLR", T_max=7, eta_min=0.01)
rates("CosineAnnealingLR", T_max=7, eta_min=0.01, epochs=EPOCHS)
rates("CosineAnnealingWarmRestarts", T_0=6)
rates("CosineAnnealingWarmRestarts", T_0=3, T_mult=2, eta_min=0.01)
rates("CosineAnnealingWarmRestarts", T_0=3, T_mult=2, epochs=[0.5, 2.75, 3, 8, 9.5, 30])
rates("CosineAnnealingWarmRestarts", T_0=5, epochs=[0.5, 4, 5, 12.5])
rates("CyclicLR", base_lr=0.01, max_lr=0.3, step_size_up=6)
rates("CyclicLR", base_lr=[0.01, 0.02], max_lr=[0.3, 0.2], step_size_up=4, step_size_down=7, mode="triangular2")
rates("CyclicLR", base_lr=0.01, max_lr=0.3, step_size_up=4, mode="exp_range", gamma=0.95, base_momentum=0.7)
rates("CyclicLR", base_lr=0.01, max_lr=0.3, step_size_up=4, scale_fn=halves, scale_mode="iterations")
rates("CyclicLR", inner="Adam", base_lr=0.01, max_lr=0.3, step_size_up=4)
rates("CyclicLR", inner="Adam", base_lr=0.01, max_lr=0.3, step_size_up=4, cycle_momentum=False)
rates("OneCycleLR", max_lr=0.3, total_steps=31)
rates("OneCycleLR", max_lr=[0.3, 0.1], total_steps=30, pct_start=0.4, anneal_strategy="linear", three_phase=True)
rates("OneCycleLR", inner="Adam", max_lr=0.3, total_steps=30, div_factor=10.0, final_div_factor=100.0, base_momentum=0.8)
rates("OneCycleLR", max_lr=0.3, total_steps=30, cycle_momentum=False)
METRICS = [5.0, 4.0, 4.0, 4.0, 3.99999, 4.0, 4.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0,
           1.0, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5]
rates("ReduceLROnPlateau", metrics=METRICS, patience=2)
rates("ReduceLROnPlateau", metrics=METRICS, patience=1, factor=0.5, cooldown=2, min_lr=0.02)
rates("ReduceLROnPlateau", metrics=METRICS, patience=3, mode="max", threshold=0.1, threshold_mode="abs")
rates("ReduceLROnPlateau", metrics=METRICS, patience=0, mode="max", min_lr=[0.1, 0.001], eps=0.01)
rates("ReduceLROnPlateau", metrics=METRICS, patience=1, threshold=0.5, threshold_mode="abs")
rates("ChainedScheduler", schedulers=[["ConstantLR", {"factor": 0.1, "total_iters": 4}],
                                      ["ExponentialLR", {"gamma": 0.9}]])
rates("SequentialLR", schedulers=[["ConstantLR", {"factor": 0.1, "total_iters": 20}],
                                  ["ExponentialLR", {"gamma": 0.9}]], milestones=[12])
rates("SequentialLR", schedulers=[["LinearLR", {"total_iters": 5}], ["CosineAnnealingLR", {"T_max": 10}],
                                  ["StepLR", {"step_size": 3}]], milestones=[5, 15])
rates("SequentialLR", schedulers=[
    ["ChainedScheduler", {"schedulers": [["StepLR", {"step_size": 3}], ["PolynomialLR", {"total_iters": 9}]]}],
    ["LinearLR", {"total_iters": 5}]], milestones=[10])
OUT.append(("rates", RATES))

# What nn.init draws for seed 2, and the number drawn after it.
INITS = []


def drawn(name, *shape, dtype=torch.float32, **options):
    torch.manual_seed(2)
    values = getattr(torch.nn.init, name)(torch.empty(*shape, dtype=dtype), **options)
    INITS.append({"name": name, "shape": list(shape), "dtype": str(dtype)[6:], "options": options,
                  "values": short(values), "after": torch.rand(1).item()})


drawn("orthogonal_", 3, 5)
drawn("orthogonal_", 5, 3, gain=2.0)
drawn("orthogonal_", 4, 2, 2, dtype=torch.float64)
drawn("orthogonal_", 6, 2, 2)
drawn("orthogonal_", 1, 1)
drawn("sparse_", 6, 4, sparsity=0.3)
drawn("sparse_", 5, 3, sparsity=0.5, std=2.0, dtype=torch.float64)
drawn("sparse_", 3, 2, sparsity=1.0)
drawn("dirac_", 4, 2, 3)
drawn("dirac_", 4, 3, 2, 3, groups=2)
drawn("dirac_", 2, 3, 3, 2, 3)
OUT.append(("inits", INITS))

# nn.utils: gradients clipped by norm and value.
CLIPS = []


def clipped(dtype, how, *args, **options):
    params = [torch.nn.Parameter(torch.zeros(2, 3, dtype=dtype)), torch.nn.Parameter(torch.zeros(1, dtype=dtype)),
              torch.nn.Parameter(torch.zeros(3, dtype=dtype))]
    params[0].grad, params[2].grad = numbers(2, 3, dtype=dtype), numbers(3, a=5, dtype=dtype)
    result = getattr(torch.nn.utils, how)(params, *args, **options)
    CLIPS.append({"how": how, "dtype": str(dtype)[6:], "args": list(args), "options": options,
                  "result": None if result is None else result.item(),
                  "first": short(params[0].grad), "third": short(params[2].grad)})


for dtype in (torch.float64, torch.float32):
    for norm_type in (2.0, 1.0, 0.5, 3.0, 0.0, inf, -inf):
        clipped(dtype, "clip_grad_norm_", 1.5, norm_type=norm_type)
    clipped(dtype, "clip_grad_norm_", 100.0)
    clipped(dtype, "clip_grad_norm_", 0.0)
    clipped(dtype, "clip_grad_value_", 0.7)
OUT.append(("clips", CLIPS))

# Weight norm: g, the weight, and what the sum of (weight * c) ^ 2 gives back to g and v. dim -1 is all of them.
NORMS = []
for shape in ((2, 3), (2, 3, 4), (3, 1, 2, 2)):
    for dim in list(range(len(shape))) + [None]:
        module = torch.nn.Module()
        module.weight = torch.nn.Parameter(numbers(*shape, dtype=torch.float64))
        torch.nn.utils.weight_norm(module, dim=dim)
        with torch.no_grad():
            module.weight_g.mul_(1.5)
        for hook in module._forward_pre_hooks.values():
            hook(module, ())
        (module.weight * numbers(*shape, a=5)).pow(2).sum().backward()
        NORMS.append({"shape": list(shape), "dim": -1 if dim is None else dim + 1, "g": module.weight_g,
                      "weight": module.weight, "g_grad": module.weight_g.grad, "v_grad": module.weight_v.grad})
OUT.append(("weight_norms", NORMS))

# Sequences of shape [L, 2]: packed, padded again, and gradients of the padded tensor's weighted sum.
PACKS = []
rnn = torch.nn.utils.rnn


def packed(lengths, batch_first, enforce_sorted, total_length=None, padding_value=0.0):
    x = numbers(max(lengths), len(lengths), 2).requires_grad_()
    given = x.transpose(0, 1) if batch_first else x
    p = rnn.pack_padded_sequence(given, lengths, batch_first=batch_first, enforce_sorted=enforce_sorted)
    padded, out = rnn.pad_packed_sequence(p, batch_first=batch_first, padding_value=padding_value,
                                          total_length=total_length)
    (padded * numbers(*padded.shape, a=3)).sum().backward()
    PACKS.append({"lengths": lengths, "batch_first": batch_first, "enforce_sorted": enforce_sorted,
                  "total_length": total_length, "padding_value": padding_value, "data": p.data,
                  "batch_sizes": p.batch_sizes, "padded": padded, "out": out, "grad": x.grad,
                  "sorted": None if p.sorted_indices is None else p.sorted_indices + 1,
                  "unsorted": None if p.unsorted_indices is None else p.unsorted_indices + 1})


packed([4, 3, 3, 1], False, True)
packed([4, 3, 3, 1], True, False, 6, -1.5)
packed([2, 5, 1, 5], False, False)
packed([2, 5, 1], True, False, None, 7.0)
packed([1], False, True, 3)
packed([3, 3], True, True)
OUT.append(("packs", PACKS))

path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "optim.lua")
with open(path, "w") as out:
    out.write("-- Optimiser runs, gradients through steps, texts and learning rates of PyTorch %s. Made by make_optim.py.\n"
              % torch.__version__.split("+")[0])
    out.write("-- luacheck: ignore 631\nlocal nan, inf = 0 / 0, math.huge\nreturn {\n  nan = nan, inf = inf,\n")
    for name, value in OUT:
        if isinstance(value, list):
            out.write("  %s = {\n%s  },\n" % (name, "".join("    %s,\n" % lua(item) for item in value)))
        else:
            out.write("  %s = {\n%s  },\n" % (name, "".join("    %s = %s,\n" % kv for kv in
                                                             ((k, lua(v)) for k, v in value.items()))))
    out.write("}\n")
