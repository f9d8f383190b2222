"""Models, optimisers and schedulers whose files cross between PyTorch and moontorch; spec/support/crossover.lua has the
same. make_checkpoints.py and check_ours.py use them."""
import torch
import torch.nn as nn


class CNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2))
        self.head = nn.Linear(3 * 3 * 3, 4)

    def forward(self, x):
        return self.head(self.features(x).flatten(1))


class BiLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 4, num_layers=2, bidirectional=True)
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.head(out)


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(9, 4, padding_idx=0)
        self.bag = nn.EmbeddingBag(9, 4, mode="sum")
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(torch.cat([self.embedding(x).mean(1), self.bag(x)], 1))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.mix = nn.Linear(4, 4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, x):
        return self.head(torch.tanh(self.mix(self.embedding(x))))


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.stages = nn.ModuleList([
            nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)]),
            nn.ModuleDict({"left": nn.Linear(4, 4), "right": nn.Sequential(nn.Linear(4, 4), nn.PReLU())}),
            nn.Linear(4, 4)])
        self.scales = nn.ParameterList([torch.ones(4), torch.full((4,), 0.5)])
        self.register_buffer("shift", torch.arange(4.0))

    def forward(self, x):
        for layer, scale in zip(self.stages[0], self.scales):
            x = torch.tanh(layer(x)) * scale
        x = self.stages[1]["left"](x) + self.stages[1]["right"](x)
        return self.stages[2](x) + self.shift


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(8), enable_nested_tensor=False)

    def forward(self, x):
        return self.encoder(x)


def mlp():
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))


def numbers(*shape):
    """Element i, counted from 0, is ((7 i) mod 23 - 11) / 8."""
    n = torch.Size(shape).numel()
    return (((torch.arange(n) * 7) % 23 - 11) / 8).reshape(shape)


def positions(classes, *shape):
    n = torch.Size(shape).numel()
    return ((torch.arange(n) * 5 + 1) % classes).reshape(shape)


MODELS = {
    "mlp": (mlp, lambda: numbers(4, 5)), "cnn": (CNN, lambda: numbers(2, 1, 6, 6)),
    "bilstm": (BiLSTM, lambda: numbers(5, 2, 3)), "encoder": (Encoder, lambda: numbers(2, 5, 8)),
    "words": (Words, lambda: positions(9, 3, 4)), "tied": (Tied, lambda: positions(7, 2, 3)),
    "nested": (Nested, lambda: numbers(3, 4)),
}


# Training that goes on: a small regression in float64.
def problem():
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()


def groups(model):
    params = list(model.parameters())
    return [{"params": params[0::2]}, {"params": params[1::2]}]


def step(model, optimizer, scheduler):
    x, y = numbers(6, 3).double(), numbers(6, 2).double() * 0.5

    def closure():
        optimizer.zero_grad()
        loss = ((model(x) - y) ** 2).mean()
        loss.backward()
        return loss

    loss = optimizer.step(closure).item()
    if isinstance(scheduler, S.ReduceLROnPlateau):
        scheduler.step(loss)
    else:
        scheduler.step()
    return loss


O, S = torch.optim, torch.optim.lr_scheduler
RUNS = {
    "sgd": (lambda p: O.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01), lambda o: S.StepLR(o, 3, 0.5)),
    "plain": (lambda p: O.SGD(p, lr=0.1), lambda o: S.MultiStepLR(o, [2, 6, 6], 0.5)),
    "adam": (lambda p: O.Adam(p, lr=0.05, amsgrad=True), lambda o: S.CosineAnnealingLR(o, 8, 0.01)),
    "adamw": (lambda p: O.AdamW(p, lr=0.05, betas=(0.8, 0.9)), lambda o: S.OneCycleLR(o, 0.1, total_steps=20)),
    "rmsprop": (lambda p: O.RMSprop(p, lr=0.01, momentum=0.5, centered=True), lambda o: S.ExponentialLR(o, 0.9)),
    "adagrad": (lambda p: O.Adagrad(p, lr=0.1, lr_decay=0.1), lambda o: S.PolynomialLR(o, 12, 0.5)),
    "adadelta": (lambda p: O.Adadelta(p), lambda o: S.LinearLR(o, 0.2, total_iters=7)),
    "adamax": (lambda p: O.Adamax(p, lr=0.05),
               lambda o: S.SequentialLR(o, [S.ConstantLR(o, 0.5, 2), S.ExponentialLR(o, 0.9)], [4])),
    "nadam": (lambda p: O.NAdam(p, lr=0.05), lambda o: S.CosineAnnealingWarmRestarts(o, 3, 2)),
    "radam": (lambda p: O.RAdam(p, lr=0.05), lambda o: S.ReduceLROnPlateau(o, factor=0.5, patience=1, threshold=0.2)),
    "asgd": (lambda p: O.ASGD(p, lr=0.05, t0=3), lambda o: S.ChainedScheduler([S.StepLR(o, 4), S.ExponentialLR(o, 0.9)])),
    "rprop": (lambda p: O.Rprop(p, lr=0.05),
              lambda o: S.CyclicLR(o, 0.01, 0.1, step_size_up=3, mode="triangular2", cycle_momentum=False)),
    "lbfgs": (lambda p: O.LBFGS(p, lr=0.5, max_iter=4, history_size=3), lambda o: S.LambdaLR(o, lambda e: 0.95 ** e)),
}


def start(name):
    """A model, an optimiser over two groups (LBFGS: one) and a scheduler."""
    model = problem()
    make_optimizer, make_scheduler = RUNS[name]
    optimizer = make_optimizer(model.parameters() if name == "lbfgs" else groups(model))
    return model, optimizer, make_scheduler(optimizer)
