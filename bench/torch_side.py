"""The rival's side of bench/run.lua: reads lines "workload threads repeats" from the named pipe given as its argument and
answers each with the seconds that one repeat took."""
import sys
import time

import torch
from torch import nn


def add4():
    a, b = torch.ones(4), torch.ones(4)

    def run(repeats):
        for _ in range(repeats):
            c = a + b  # noqa: F841
    return run


def recorded():
    x, b = torch.ones(4, requires_grad=True), torch.ones(4)

    def run(repeats):
        for _ in range(repeats):
            (x + b).sum().backward()
    return run


def trainer(sizes, batch):
    layers = []
    for k in range(len(sizes) - 1):
        layers += [nn.Linear(sizes[k], sizes[k + 1]), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    optimizer, loss = torch.optim.Adam(model.parameters()), nn.CrossEntropyLoss()
    x, y = torch.randn(batch, sizes[0]), torch.randint(0, sizes[-1], (batch,))

    def run(repeats):
        for _ in range(repeats):
            optimizer.zero_grad()
            loss(model(x), y).backward()
            optimizer.step()
    return run


def attention(*shape):
    inputs = [torch.randn(shape, requires_grad=True) for _ in range(3)]
    gradient = torch.randn(shape)

    def run(repeats):
        for _ in range(repeats):
            y = nn.functional.scaled_dot_product_attention(*inputs, is_causal=True)
            torch.autograd.grad(y, inputs, gradient)
    return run


def add16m():
    a, b = torch.ones(1 << 24), torch.ones(1 << 24)

    def run(repeats):
        for _ in range(repeats):
            c = a + b  # noqa: F841
    return run


WORKLOADS = {
    "add4": add4,
    "recorded": recorded,
    "mlp": lambda: trainer([32, 64, 64, 8], 16),
    "mnist": lambda: trainer([784, 256, 128, 10], 64),
    "attention_short": lambda: attention(32, 4, 64, 32),
    "attention_long": lambda: attention(4, 8, 256, 64),
    "add16m": add16m,
}


def main():
    made = {}
    print(torch.__version__, flush=True)
    with open(sys.argv[1]) as pipe:
        for line in pipe:
            name, threads, repeats = line.split()
            torch.set_num_threads(int(threads))
            if name not in made:
                made = {name: WORKLOADS[name]()}
                made[name](1)
            begin = time.perf_counter()
            made[name](int(repeats))
            print((time.perf_counter() - begin) / int(repeats), flush=True)


main()
