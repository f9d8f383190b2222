"""Writes training.lua: training runs of PyTorch, number by number.

Run with torch 2.15 (pip's wheel) from anywhere. Runs with dropout come from Debian's PyTorch 1.13, which draws without MKL:
they are made by /usr/bin/python3 running this file with --drawn.

A run sets the default dtype, seeds, makes data and model in that order and trains fifty steps of random batches. Kept are
the losses, the loss in evaluation mode at the end, the next random number after the model was made (it tells that as many
were drawn), and for each entry of the state dict, at the start and at the end, its sum and its sum of squares.
spec/training_spec.lua makes the same in Lua."""
import os
import subprocess
import sys
import warnings
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.optim import lr_scheduler

warnings.simplefilter("ignore")
torch.set_num_threads(1)
STEPS, BATCH = 50, 16


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 12, 3, stride=1, bias=False), nn.BatchNorm2d(12), nn.ReLU(), nn.AvgPool2d(2))
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, 5))

    def forward(self, x):
        return self.classifier(self.features(x))


class CharLSTM(nn.Module):
    def __init__(self, dropout=0.0):
        super().__init__()
        self.embedding = nn.Embedding(12, 8)
        self.lstm = nn.LSTM(8, 16, num_layers=2, batch_first=True, dropout=dropout)
        self.head = nn.Linear(16, 12)

    def forward(self, x):
        out, _ = self.lstm(self.embedding(x))
        return self.head(out)


class Classifier(nn.Module):
    """A bidirectional GRU over sequences, whose last states are classified."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(6, 8, bidirectional=True)
        self.norm = nn.BatchNorm1d(16)
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        _, h = self.gru(x.transpose(0, 1))
        return self.head(self.norm(torch.cat([h[0], h[1]], 1)))


class Encoder(nn.Module):
    def __init__(self, dropout=0.0):
        super().__init__()
        self.embedding = nn.Embedding(12, 16)
        self.position = nn.Parameter(torch.zeros(1, 7, 16))
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        return self.head(self.encoder(self.embedding(x) + self.position).mean(1))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.ln1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)
        self.ln2 = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x):
        n, length, width = x.shape
        q, k, v = [t.view(n, length, self.heads, width // self.heads).transpose(1, 2)
                   for t in self.qkv(self.ln1(x)).chunk(3, dim=-1)]
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(y.transpose(1, 2).reshape(n, length, width))
        return x + self.fc2(F.gelu(self.fc1(self.ln2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.token = nn.Embedding(12, 16)
        self.position = nn.Embedding(7, 16)
        self.blocks = nn.ModuleList([Block(16, 2) for _ in range(2)])
        self.ln = nn.LayerNorm(16)
        self.head = nn.Linear(16, 12, bias=False)
        for p in (self.token.weight, self.position.weight):
            nn.init.normal_(p, std=0.1)
        self.head.weight = self.token.weight

    def forward(self, x):
        x = self.token(x) + self.position(torch.arange(x.size(1)))
        for block in self.blocks:
            x = block(x)
        return self.head(self.ln(x))


def mlp(dropout=0.0):
    middle = [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(nn.Linear(10, 32), nn.Tanh(), *middle, nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))


# Data: inputs and labels, drawn before the model.
def vectors():
    return torch.randn(64, 10), torch.randint(0, 4, (64,))


def images():
    return torch.randn(64, 1, 12, 12), torch.randint(0, 5, (64,))


def text():
    steps = 5 * torch.randint(0, 2, (64, 8)) + 1
    x = (torch.randint(0, 12, (64, 1)) + steps.cumsum(1)) % 12
    return x[:, :-1].contiguous(), x[:, 1:].contiguous()


def words():
    return torch.randint(0, 12, (64, 7)), torch.randint(0, 4, (64,))


def series():
    return torch.randn(64, 5, 6), torch.randint(0, 4, (64,))


MODELS = {"mlp": (vectors, mlp), "lenet": (images, LeNet), "lstm": (text, CharLSTM), "gru": (series, Classifier),
          "encoder": (words, Encoder), "gpt": (text, GPT)}
DROPPING = {"mlp": (vectors, lambda: mlp(0.3)), "lstm": (text, lambda: CharLSTM(0.4)),
            "encoder": (words, lambda: Encoder(0.2))}


# Optimiser, and the scheduler or None.
def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9), None


def adamw(model):
    return torch.optim.AdamW(model.parameters(), lr=0.003), None


def groups(model):
    """Weight decay for matrices alone."""
    params = list(model.parameters())
    return [{"params": [p for p in params if p.dim() > 1], "weight_decay": 0.01},
            {"params": [p for p in params if p.dim() <= 1], "weight_decay": 0.0}]


def one_cycle(model):
    optimizer = torch.optim.SGD(groups(model), lr=0.01, momentum=0.9, nesterov=True)
    return optimizer, lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=STEPS)


def cosine(model):
    optimizer = torch.optim.AdamW(groups(model), lr=0.004, betas=(0.9, 0.95))
    warm = lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=5)
    fall = lr_scheduler.CosineAnnealingLR(optimizer, T_max=STEPS - 5, eta_min=1e-4)
    return optimizer, lr_scheduler.SequentialLR(optimizer, [warm, fall], milestones=[5])


WAYS = {"sgd": sgd, "adamw": adamw, "one_cycle": one_cycle, "cosine": cosine}


def sums(model):
    """Of a packed projection's bias without the part of the keys: it moves all scores of a query alike, so its gradient is
    zero but for rounding, which AdamW makes steps of."""
    out = {}
    for name, t in model.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            t = t.double()
            if name.endswith("in_proj_bias"):
                third = t.numel() // 3
                t = torch.cat([t[:third], t[2 * third:]])
            out[name] = [t.sum().item(), (t * t).sum().item()]
    return out


def loss_of(model, x, y):
    out = model(x)
    return F.cross_entropy(out.reshape(-1, out.size(-1)), y.reshape(-1))


def nudge(model, seed):
    """Moves about two thirds of the start weights by one rounding of float32."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1 + (torch.randint(0, 3, p.shape, generator=g) - 1) * 6e-8)


def run(name, data, make, way, dtype, nudged=0):
    torch.set_default_dtype(dtype)
    torch.manual_seed(1234)
    x, y = data()
    model = make()
    after = torch.rand(1, dtype=torch.float64).item()
    start = sums(model)
    if nudged:
        nudge(model, nudged)
    optimizer, scheduler = WAYS[way](model)
    losses, order = [], None
    for step in range(STEPS):
        first = step * BATCH % 64
        if first == 0:
            order = torch.randperm(64)
        batch = order[first:first + BATCH]
        optimizer.zero_grad()
        loss = loss_of(model, x[batch], y[batch])
        loss.backward()
        if scheduler:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if scheduler:
            scheduler.step()
        losses.append(loss.item())
    model.eval()
    with torch.no_grad():
        evaluated = loss_of(model, x, y).item()
    return {"model": name, "way": way, "dtype": str(dtype)[6:], "after": after, "start": start, "losses": losses,
            "evaluated": evaluated, "finish": sums(model)}


def check_condition(name, data, make, way, case):
    """A run in which a rounding of the start weights grows past 1e-5 of the loss would compare nothing."""
    for seed in (1, 2):
        other = run(name, data, make, way, torch.float32, seed)
        moved = max(abs(a - b) / a for a, b in zip(case["losses"], other["losses"]))
        assert moved < 1e-5, "%s by %s is badly conditioned: %.2g" % (name, way, moved)


def lua(v):
    if isinstance(v, str):
        return '"' + v + '"'
    if isinstance(v, dict):
        return "{ " + ", ".join(('["%s"] = %s' if "." in k else "%s = %s") % (k, lua(x)) for k, x in v.items()) + " }"
    if isinstance(v, list):
        return "{ " + ", ".join(lua(x) for x in v) + " }"
    return "%.12g" % v


def write(kind, dtype, models, ways):
    for name, (data, make) in models.items():
        for way in ways:
            case = run(name, data, make, way, dtype)
            if dtype == torch.float32:
                check_condition(name, data, make, way, case)
            if way != ways[0]:
                del case["start"]  # it does not depend on the optimiser
            yield "  %s,\n" % lua({"kind": kind, **case})


DTYPES = (torch.float64, torch.float32)
if "--drawn" in sys.argv:
    for dtype in DTYPES:
        sys.stdout.writelines(write("dropout", dtype, DROPPING, ("cosine",)))
else:
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "training.lua"), "w") as f:
        f.write("-- Made by spec/golden/make_training.py from PyTorch; do not edit.\n-- luacheck: ignore 631\nreturn {\n")
        for dtype in DTYPES:
            f.writelines(write("plain", dtype, MODELS, tuple(WAYS)))
        f.write(subprocess.run(["/usr/bin/python3", os.path.abspath(__file__), "--drawn"], check=True,
                               capture_output=True, text=True).stdout)
        f.write("}\n")
