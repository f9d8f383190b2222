"""Learns to tell discs, squares, diamonds and crosses apart. train.lua is the same program in Lua, line for line.

    python3 train.py [CHECKPOINT] > expected.txt

expected.txt holds what this printed with PyTorch 1.13 as Debian builds it, on 2.15 it prints the same, and so does
train.lua. Where PyTorch takes dropout's random numbers from MKL, others are dropped and the numbers differ.
"""
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset, random_split

NAMES = ["disc", "square", "diamond", "cross"]
SIZE = 16
EPOCHS = 8


class Shapes(Dataset):
    """Pictures of SIZE x SIZE with noise; each holds one shape, of any size and anywhere."""

    def __init__(self, count, seed):
        generator = torch.Generator().manual_seed(seed)
        y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
        pictures, labels = [], []
        for i in range(count):
            label = i % len(NAMES)
            radius = 2.5 + 2.5 * torch.rand(1, generator=generator).item()
            center = torch.randint(5, SIZE - 5, (2,), generator=generator)
            dy, dx = (y - center[0]).abs(), (x - center[1]).abs()
            inside = [
                dx**2 + dy**2 <= radius**2,
                torch.maximum(dx, dy) <= 0.85 * radius,
                dx + dy <= 1.25 * radius,
                (torch.minimum(dx, dy) <= 1) & (torch.maximum(dx, dy) <= radius),
            ][label]
            noise = torch.randn(SIZE, SIZE, generator=generator)
            pictures.append(inside.float() + 0.1 * noise)
            labels.append(label)
        self.pictures = torch.stack(pictures).unsqueeze(1)
        self.labels = torch.tensor(labels)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.pictures[index], self.labels[index]


class Net(nn.Module):
    def __init__(self, classes, width=8, dropout=0.2):
        super().__init__()
        self.features = nn.Sequential(
            self.stage(1, width),
            self.stage(width, 2 * width),
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(2 * width * (SIZE // 4) ** 2, classes)

    def stage(self, n_in, n_out):
        return nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.SiLU(),
            nn.AvgPool2d(2),
        )

    def forward(self, x):
        x = self.features(x)
        x = self.dropout(torch.flatten(x, 1))
        return self.classifier(x)


def make_optimizer(model):
    """Weight decay for the weights of layers only; a lower rate for the classifier."""
    weights = [p for p in model.features.parameters() if p.dim() > 1]
    others = [p for p in model.features.parameters() if p.dim() == 1]
    return torch.optim.SGD(
        [
            {"params": weights, "weight_decay": 1e-3},
            {"params": others},
            {"params": model.classifier.parameters(), "lr": 0.01},
        ],
        lr=0.03,
        momentum=0.9,
        nesterov=True,
    )


def train_one_epoch(model, loader, optimizer):
    model.train()
    total, right, seen = 0.0, 0, 0
    for pictures, labels in loader:
        # Half of the batches are mirrored.
        if torch.rand(1).item() < 0.5:
            pictures = pictures.flip(3)
        scores = model(pictures)
        loss = F.cross_entropy(scores, labels, label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        total += loss.item() * len(labels)
        right += (scores.argmax(1) == labels).sum().item()
        seen += len(labels)
    return total / seen, right / seen


@torch.no_grad()
def evaluate(model, loader):
    """Mean loss, share of right answers, and how often each shape was taken for each."""
    model.eval()
    total = 0.0
    confusion = torch.zeros(len(NAMES), len(NAMES), dtype=torch.int64)
    for pictures, labels in loader:
        scores = model(pictures)
        total += F.cross_entropy(scores, labels, reduction="sum").item()
        for truth, said in zip(labels.tolist(), scores.argmax(1).tolist()):
            confusion[truth, said] += 1
    count = confusion.sum().item()
    return total / count, confusion.diag().sum().item() / count, confusion


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else "shapes.pt"
    torch.manual_seed(22)
    training, validation = random_split(Shapes(640, seed=2), [512, 128])
    train_loader = DataLoader(training, batch_size=32, shuffle=True, drop_last=True)
    validation_loader = DataLoader(validation, batch_size=64)

    model = Net(len(NAMES))
    print(f"{sum(p.numel() for p in model.parameters())} parameters")
    optimizer = make_optimizer(model)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS, eta_min=0.001)

    best = float("inf")
    for epoch in range(EPOCHS):
        rates = " ".join(f"{group['lr']:.5f}" for group in optimizer.param_groups)
        train_loss, train_accuracy = train_one_epoch(model, train_loader, optimizer)
        loss, accuracy, _ = evaluate(model, validation_loader)
        scheduler.step()
        print(
            f"epoch {epoch}  lr {rates}  training: loss {train_loss:.4f} accuracy {train_accuracy:.3f}"
            f"  validation: loss {loss:.4f} accuracy {accuracy:.3f}"
        )
        if loss < best:
            best = loss
            torch.save(
                {
                    "epoch": epoch,
                    "loss": loss,
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "scheduler": scheduler.state_dict(),
                },
                path,
            )

    # Another model, with weights of its own, takes over what was saved and goes on for an epoch.
    model = Net(len(NAMES))
    optimizer = make_optimizer(model)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS, eta_min=0.001)
    checkpoint = torch.load(path)
    model.load_state_dict(checkpoint["model"])
    optimizer.load_state_dict(checkpoint["optimizer"])
    scheduler.load_state_dict(checkpoint["scheduler"])
    print(f"best epoch {checkpoint['epoch']}, loss {checkpoint['loss']:.4f}")
    train_loss, train_accuracy = train_one_epoch(model, train_loader, optimizer)
    rate = scheduler.get_last_lr()[0]
    print(f"one more   lr {rate:.5f}  training: loss {train_loss:.4f} accuracy {train_accuracy:.3f}")

    loss, accuracy, confusion = evaluate(model, DataLoader(Shapes(400, seed=3), batch_size=100))
    print(f"test: loss {loss:.4f} accuracy {accuracy:.3f}")

    recall = confusion.diag() / confusion.sum(1)
    precision = confusion.diag() / confusion.sum(0)
    for i, name in enumerate(NAMES):
        row = " ".join(f"{n:4d}" for n in confusion[i].tolist())
        print(f"{name:8s}{row}  recall {recall[i].item():.3f}  precision {precision[i].item():.3f}")
    for name, tensor in model.state_dict().items():
        print(f"{name:36s}{str(tensor.shape):28s}norm {tensor.float().norm().item():.4f}")
    print(checkpoint["model"]["features.0.1.running_mean"])


if __name__ == "__main__":
    main()
