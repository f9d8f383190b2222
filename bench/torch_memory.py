"""PyTorch's side of memory.lua: torch_memory.py NAME STEPS trains a model of models.lua on new batches each step and prints
by how many MB the process's resident size at its peak exceeds what it was before the model was made."""
import sys

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import rnn

from torch_side import Gpt, mlp, resnet18


def resident():
    """What the process keeps resident now and at most, in MB."""
    with open("/proc/self/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    return int(fields["VmRSS"].split()[0]) / 1024, int(fields["VmHWM"].split()[0]) / 1024


def stepper(model, loss_of, clip=False):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def step():
        optimizer.zero_grad()
        loss_of().backward()
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), 1)
        optimizer.step()
    return step


def classifier(model, inputs, classes, shape, clip=False):
    return stepper(model, lambda: F.cross_entropy(model(inputs()).reshape(-1, classes),
                                                  torch.randint(0, classes, shape).flatten()), clip)


def letters(layers, width, heads, length, vocabulary, batch):
    model = Gpt(layers, width, heads, length, vocabulary, False)
    return classifier(model, lambda: torch.randint(0, vocabulary, (batch, length)), vocabulary, (batch, length), True)


def mnist_cnn():
    model = nn.Sequential(
        nn.Conv2d(1, 12, 5, padding=2, bias=False), nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(12, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.25), nn.Linear(32 * 7 * 7, 10))
    return classifier(model, lambda: torch.randn(128, 1, 28, 28), 10, (128,))


def names():
    model = nn.ModuleList([nn.Embedding(27, 32), nn.GRU(32, 256, batch_first=True), nn.Linear(256, 27)])

    def loss():
        lengths = torch.randint(3, 16, (128,))
        rows = torch.randint(0, 27, (128, lengths.max().item() + 1))
        packed = rnn.pack_padded_sequence(model[0](rows[:, :-1]), lengths, batch_first=True, enforce_sorted=False)
        targets = rnn.pack_padded_sequence(rows[:, 1:], lengths, batch_first=True, enforce_sorted=False)
        return F.cross_entropy(model[2](model[1](packed)[0].data), targets.data)
    return stepper(model, loss, True)


def autoencoder():
    encoder = nn.Sequential(nn.Conv2d(1, 16, 4, stride=2, padding=1), nn.ReLU(),
                            nn.Conv2d(16, 32, 4, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(32 * 7 * 7, 32))
    decoder = nn.Sequential(nn.Linear(16, 32 * 7 * 7), nn.ReLU(), nn.Unflatten(1, (32, 7, 7)),
                            nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1), nn.ReLU(),
                            nn.ConvTranspose2d(16, 1, 4, stride=2, padding=1))

    def loss():
        images = torch.rand(128, 1, 28, 28)
        mean, log_variance = encoder(images).chunk(2, 1)
        scores = decoder(mean + torch.exp(log_variance / 2) * torch.randn_like(mean))
        return (F.binary_cross_entropy_with_logits(scores, images, reduction="sum") / 128
                + (mean ** 2 + log_variance.exp() - 1 - log_variance).sum() / 256)
    return stepper(nn.ModuleList([encoder, decoder]), loss)


def cartpole():
    policy, value = mlp((4, 64, 2), nn.Tanh), mlp((4, 64, 1), nn.Tanh)

    def loss():
        n = torch.randint(200, 4001, ()).item()
        states, actions, returns = torch.randn(n, 4), torch.randint(0, 2, (n, 1)), torch.randn(n)
        values = value(states).squeeze(1)
        chances = F.log_softmax(policy(states), 1)
        chosen = chances.gather(1, actions).squeeze(1)
        entropy = -(chances.exp() * chances).sum(1).mean()
        return -((returns - values).detach() * chosen).mean() - 0.01 * entropy + F.smooth_l1_loss(values, returns)
    return stepper(nn.ModuleList([policy, value]), loss, True)


def shakespeare():
    return letters(2, 128, 4, 64, 65, 16)


def resnet():
    return classifier(resnet18(64), lambda: torch.randn(32, 3, 32, 32), 10, (32,))


def gpt():
    return letters(6, 384, 6, 256, 65, 8)


MODELS = {"mnist_cnn": mnist_cnn, "names": names, "autoencoder": autoencoder, "cartpole": cartpole,
          "shakespeare": shakespeare, "resnet18": resnet, "gpt": gpt}


def main():
    torch.set_num_threads(2)
    torch.manual_seed(1)
    before = resident()[0]
    step = MODELS[sys.argv[1]]()
    for _ in range(int(sys.argv[2])):
        step()
    print(resident()[1] - before)


main()
