"""PyTorch's side of the benchmarks: workloads.lua and models.lua again, on the kind of device given as second argument.

Reads lines "threads repeats clock options key args..." from the named pipe given as first argument and answers each with the
seconds that one repeat took, or with what went wrong. The clock is the device's or, "host", the caller's, who does not
wait; options are "-" or "name=value,...", see configure(). The first line it writes is PyTorch's version.
"""
import contextlib
import gc
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


DEVICE = sys.argv[2]
autocast = contextlib.nullcontext


def configure(options):
    """What a row wants to be other than usual: dtype, precision (of float32 products), autocast (a dtype)."""
    global autocast
    torch.set_default_dtype(getattr(torch, options.get("dtype", "float32")))
    torch.set_float32_matmul_precision(options.get("precision", "highest"))
    cast = options.get("autocast")
    autocast = (lambda: torch.autocast(DEVICE, getattr(torch, cast))) if cast else contextlib.nullcontext


def gradients(y, inputs):
    gy = torch.randn_like(y)
    return lambda: torch.autograd.grad(y, inputs, gy, retain_graph=True) and None


def both(way, f, *inputs):
    if way == "forward":
        return lambda: f(*inputs)
    for t in inputs:
        t.requires_grad_()
    return gradients(f(*inputs), inputs)


def matmul(n):
    a, b = torch.randn(n, n), torch.randn(n, n)
    return lambda: a @ b


def matmul_f64(n):
    a = torch.randn(n, n, dtype=torch.float64)
    b = a.clone()
    return lambda: a @ b


def matmul_half(name, n):
    a, b = (torch.randn(n, n).to(getattr(torch, name)) for _ in range(2))
    return lambda: a @ b


def linear_gradients(m, k, n):
    x, w = torch.randn(m, k, requires_grad=True), torch.randn(n, k, requires_grad=True)
    gy = torch.randn(m, n)
    return lambda: torch.autograd.grad(F.linear(x, w), (x, w), gy) and None


def matvec(n):
    a, b = torch.randn(n, n), torch.randn(n)
    return lambda: a @ b


def bmm(b, n):
    x, y = torch.randn(b, n, n), torch.randn(b, n, n)
    return lambda: torch.bmm(x, y)


def unary(name, n):
    x = torch.randn(n)
    f = getattr(torch, name, None) or getattr(F, name)
    return lambda: f(x)


def binary(name, n):
    a, b = torch.randn(n), torch.randn(n)
    f = getattr(torch, name)
    return lambda: f(a, b)


def copy(n):
    x, y = torch.randn(n), torch.empty(n)
    return lambda: y.copy_(x) is None


def fill(n):
    x = torch.empty(n)
    return lambda: x.fill_(1) is None


def transpose_copy(n):
    x = torch.randn(n, n).t()
    return lambda: x.contiguous()


def reduce(name, n, m, dim):
    x = torch.randn(n, m) if m > 1 else torch.randn(n)
    f = getattr(torch, name)
    return (lambda: f(x)) if dim == 0 else (lambda: f(x, dim - 1))


def softmax(way, n, m):
    return both(way, lambda x: F.softmax(x, -1), torch.randn(n, m))


def layer_norm(way, n, m):
    return both(way, lambda x, w, b: F.layer_norm(x, (m,), w, b), torch.randn(n, m), torch.ones(m), torch.zeros(m))


def batch_norm(way, b, c, s):
    return both(way, lambda x, w, v: F.batch_norm(x, None, None, w, v, True), torch.randn(b, c, s, s), torch.ones(c),
                torch.zeros(c))


def cross_entropy(way, n, m):
    labels = torch.randint(0, m, (n,))
    return both(way, lambda x: F.cross_entropy(x, labels), torch.randn(n, m))


def conv(way, b, c, out, size, kernel, groups):
    return both(way, lambda x, w: F.conv2d(x, w, None, 1, kernel // 2, 1, groups), torch.randn(b, c, size, size),
                torch.randn(out, c // groups, kernel, kernel))


def max_pool(way, b, c, size):
    return both(way, lambda x: F.max_pool2d(x, 2), torch.randn(b, c, size, size))


def recurrent(kind, way, t, b, n, h):
    layer, x = getattr(nn, kind)(n, h), torch.randn(t, b, n, requires_grad=way == "backward")
    if way == "forward":
        layer.requires_grad_(False)
        return lambda: layer(x)
    return gradients(layer(x)[0], [x, *layer.parameters()])


def attention(way, b, heads, length, width, causal):
    return both(way, lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=causal == 1),
                *(torch.randn(b, heads, length, width) for _ in range(3)))


def step(model, x, labels, optimizer):
    casting = autocast

    def run():
        optimizer.zero_grad()
        with casting():
            loss = F.cross_entropy(model(x).flatten(0, -2), labels)
        loss.backward()
        optimizer.step()
    return run


def classifier(model, x, classes, length=1):
    return step(model, x, torch.randint(0, classes, (x.shape[0] * length,)), torch.optim.Adam(model.parameters()))


def mlp(sizes, activation):
    layers = []
    for a, b in zip(sizes, sizes[1:]):
        layers += [nn.Linear(a, b), activation()]
    return nn.Sequential(*layers[:-1])


def mlp_step(batch, *sizes):
    return classifier(mlp(sizes, nn.ReLU), torch.randn(batch, sizes[0]), sizes[-1])


def mnist_cnn_step(batch, width):
    model = nn.Sequential(nn.Conv2d(1, width, 3), nn.ReLU(), nn.Conv2d(width, 2 * width, 3), nn.ReLU(), nn.MaxPool2d(2),
                          nn.Flatten(), nn.Linear(288 * width, 128), nn.ReLU(), nn.Linear(128, 10))
    return classifier(model, torch.randn(batch, 1, 28, 28), 10)


class Block(nn.Module):
    def __init__(self, n, out, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(n, out, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.bn2 = nn.Conv2d(out, out, 3, padding=1, bias=False), nn.BatchNorm2d(out)
        self.shortcut = nn.Identity()
        if stride > 1 or n != out:
            self.shortcut = nn.Sequential(nn.Conv2d(n, out, 1, stride=stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


def resnet18(width):
    layers, n = [nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()], width
    for out, stride in ((width, 1), (2 * width, 2), (4 * width, 2), (8 * width, 2)):
        layers += [Block(n, out, stride), Block(out, out, 1)]
        n = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(n, 10))


def resnet_step(batch, width):
    return classifier(resnet18(width), torch.randn(batch, 3, 32, 32), 10)


class Layer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, c))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Gpt(nn.Module):
    def __init__(self, layers, width, heads, length, vocabulary, tied):
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        self.layers = nn.Sequential(*(Layer(width, heads) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=not tied)
        if tied:
            self.head.weight = self.tokens.weight
        self.register_buffer("range", torch.arange(length))

    def forward(self, index):
        return self.head(self.norm(self.layers(self.tokens(index) + self.places(self.range))))


def gpt_step(layers, width, length, batch, vocabulary, tied):
    model = Gpt(layers, width, width // 64, length, vocabulary, tied == 1)
    return classifier(model, torch.randint(0, vocabulary, (batch, length)), vocabulary, length)


def adam_step(count):
    parameters = [nn.Parameter(torch.randn(count // 10)) for _ in range(10)]
    for p in parameters:
        p.grad = torch.randn_like(p)
    return torch.optim.Adam(parameters).step


def sort(n):
    return lambda: torch.randn(n).sort()


def topk(n, m, k):
    x = torch.randn(n, m)
    return lambda: x.topk(k)


def cumsum(n, m, dim):
    x = torch.randn(n, m)
    return lambda: x.cumsum(dim - 1)


def gather(n, m):
    x, index = torch.randn(n, m), torch.randint(0, m, (n, m))
    return lambda: torch.gather(x, 1, index)


def embedding(way, rows, width, count):
    index = torch.randint(0, rows, (count,))
    return both(way, lambda w: F.embedding(index, w), torch.randn(rows, width))


def add_small(n):
    a, b = torch.ones(n), torch.ones(n)

    def run(repeats):
        for _ in range(repeats):
            c = a + b  # noqa: F841
    return run


def recorded(n):
    x, b = torch.ones(n, requires_grad=True), torch.ones(n)

    def run(repeats):
        for _ in range(repeats):
            (x + b).sum().backward()
    return run


def mlp_forward(*sizes):
    model, x = mlp(sizes, nn.Tanh), torch.randn(1, sizes[0])

    def run(repeats):
        with torch.no_grad():
            for _ in range(repeats):
                model(x)
    return run


LOOPS = (add_small, recorded, mlp_forward)  # the work is a function of the repeats


def repeated(once):
    def run(repeats):
        for _ in range(repeats):
            once()
    return run


def settle():
    """Waits until PyTorch's threads, which look for more work for 10 ms, have gone to sleep: the other side is next.

    What threads that run have used is counted at the kernel's ticks only, 10 ms apart at most, so shorter looks see nothing.
    """
    for _ in range(50):
        before = time.process_time()
        time.sleep(0.012)
        if time.process_time() - before < 0.0005:
            return


def timed(run, repeats, clock):
    """Seconds of the device, or of the caller, for one repeat."""
    if DEVICE == "cpu":
        begin = time.perf_counter()
        run(repeats)
        return (time.perf_counter() - begin) / repeats
    torch.cuda.synchronize()
    if clock == "host":
        begin = time.perf_counter()
        run(repeats)
        seconds = (time.perf_counter() - begin) / repeats
        torch.cuda.synchronize()
        return seconds
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    first.record()
    run(repeats)
    last.record()
    last.synchronize()
    return first.elapsed_time(last) / 1000 / repeats


def prepare(options, key, args):
    """The work of a row, in the place of that of the row before."""
    gc.collect()
    if DEVICE == "cuda":
        torch.cuda.empty_cache()
    configure(dict(o.split("=") for o in options.split(",")) if options != "-" else {})
    make = globals()[key]
    run = make(*(int(a) if a.isdigit() else a for a in args))
    return run if make in LOOPS else repeated(run)


def main():
    name, run = None, None
    if DEVICE != "cpu":
        torch.set_default_device(DEVICE)
    print(torch.__version__, flush=True)
    with open(sys.argv[1]) as pipe:
        for line in pipe:
            threads, repeats, clock, options, key, *args = line.split()
            torch.set_num_threads(int(threads))
            try:
                if name != (options, key, args):
                    name, run = None, None
                    run = prepare(options, key, args)
                    name = (options, key, args)
                run(1)
                answer = timed(run, int(repeats), clock)
            except Exception as problem:  # the other side tells of it, and the next row has its turn
                answer = repr(problem).replace("\n", " ")
            if int(threads) > 1:
                settle()
            print(answer, flush=True)


if __name__ == "__main__":
    main()
