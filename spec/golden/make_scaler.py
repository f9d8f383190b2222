"""Writes scaler.lua: rounds of PyTorch's torch.amp.GradScaler on the CPU.

A run is a scaler's options and rounds. A round scales the losses of one or two optimisers (SGD, a parameter each) that
multiply their parameter by a number, so that its gradient is that number; what follows are the parameters, the scale, the
count, and the gradients that step left.
"""
import os

import torch

HERE = os.path.dirname(os.path.abspath(__file__))
INF = float("inf")
RUNS = [
    ({"init_scale": 8.0, "growth_interval": 2}, [[1.0], [2.0], [3.0], [4.0], [INF], [1.0], [1.0], [1.0]]),
    ({"init_scale": 4.0, "growth_interval": 3, "growth_factor": 3.0, "backoff_factor": 0.25},
     [[1.0, 2.0], [INF, 2.0], [1.0, INF], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]),
    ({"init_scale": 2.0 ** 127, "growth_interval": 1}, [[0.0], [0.0], [1e-3]]),
    ({"init_scale": 1024.0, "growth_interval": 1}, [[float("nan")], [0.125]]),
]


def number(v):
    return {"inf": "math.huge", "nan": "0/0"}.get(repr(v), "%.9g" % v)


def run(options, rounds):
    scaler = torch.amp.GradScaler("cpu", **options)
    count = max(len(r) for r in rounds)
    params = [torch.nn.Parameter(torch.ones(2)) for _ in range(count)]
    optimizers = [torch.optim.SGD([p], lr=0.5) for p in params]
    rows = []
    for factors in rounds:
        for p, optimizer, factor in zip(params, optimizers, factors):
            optimizer.zero_grad()
            loss = (p * torch.tensor([factor, 1.0])).sum()
            scaler.scale(loss).backward()
        for optimizer in optimizers:
            scaler.step(optimizer)
        grads = [p.grad.tolist() for p in params]
        scaler.update()
        state = scaler.state_dict()
        rows.append((factors, [p.tolist() for p in params], state["scale"], state["_growth_tracker"], grads))
    return rows


def table(v):
    if isinstance(v, (list, tuple)):
        return "{ " + ", ".join(table(x) for x in v) + " }"
    return number(v) if isinstance(v, float) else str(v)


def main():
    lines = ["-- Rounds of PyTorch %s's GradScaler, made by make_scaler.py, which tells the form." % torch.__version__.split("+")[0],
             "-- luacheck: ignore 631", "return {"]
    for options, rounds in RUNS:
        lines.append("  { { %s }," % ", ".join("%s = %s" % (k, table(v)) for k, v in options.items()))
        for row in run(options, rounds):
            lines.append("    %s," % table(row))
        lines.append("  },")
    with open(os.path.join(HERE, "scaler.lua"), "w") as f:
        f.write("\n".join(lines) + "\n}\n")


main()
