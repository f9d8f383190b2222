# Makes spec/golden/data.lua (orders and random numbers of PyTorch's loaders) and the files in spec/golden/files that the
# specs of the readers read. Run: python make_data.py (PyTorch, NumPy).
import os
import struct
import zlib

import numpy as np
import torch
from torch.utils import data

here = os.path.dirname(os.path.abspath(__file__))
files = os.path.join(here, "files")


def lua(v):
    if isinstance(v, dict):
        return "{ " + ", ".join(f"{k} = {lua(x)}" for k, x in v.items()) + " }"
    if isinstance(v, (list, tuple)):
        return "{ " + ", ".join(lua(x) for x in v) + " }"
    if isinstance(v, bool):
        return "true" if v else "false"
    return repr(v)


class Noise(data.Dataset):
    """Samples that draw from the worker's generator."""

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return torch.tensor(i + 1), torch.rand(2)


class Count(data.IterableDataset):
    """A stream that the workers share out among themselves."""

    def __init__(self, n):
        self.n = n

    def __iter__(self):
        info = data.get_worker_info()
        first, step = (info.id, info.num_workers) if info else (0, 1)
        return iter(range(1 + first, self.n + 1, step))


def positions(loader):
    return [[i + 1 for i in batch.tolist()] for batch in loader]


def orders():
    result = {}
    for n in (8, 10):  # the last batch is full, or not
        g = torch.Generator().manual_seed(3)
        loader = data.DataLoader(range(n), 4, shuffle=True, generator=g)
        result[f"own_generator_{n}"] = [positions(loader), positions(loader)]
    g = torch.Generator().manual_seed(3)
    loader = data.DataLoader(range(9), 2, sampler=data.RandomSampler(range(9), num_samples=20, generator=g), drop_last=True)
    result["longer"] = [positions(loader), positions(loader)]
    g = torch.Generator().manual_seed(4)
    result["subset"] = [i for i in data.SubsetRandomSampler([2, 4, 6, 8], generator=g)]
    result["weighted"] = [i + 1 for i in data.WeightedRandomSampler([0.1, 0.9, 0.4, 0.7], 9, generator=g)]
    result["weighted_once"] = [i + 1 for i in data.WeightedRandomSampler([0.1, 0.9, 0.4, 0.7], 3, False, generator=g)]
    parts = data.random_split(range(10), [3, 7], generator=g)
    result["split"] = [[i + 1 for i in p.indices] for p in parts]
    return result


def workers():
    result = {}
    torch.manual_seed(11)
    loader = data.DataLoader(Noise(7), batch_size=2, num_workers=2, shuffle=True)
    epochs = []
    for _ in range(2):
        epochs.append([[i.tolist(), r.tolist()] for i, r in loader])
    result["noise"] = epochs
    for name, args in {"count": {}, "count_dropped": {"drop_last": True}}.items():
        result[name] = [b.tolist() for b in data.DataLoader(Count(11), batch_size=2, num_workers=3, **args)]
    result["single"] = list(data.DataLoader(Count(5), batch_size=None, num_workers=2))
    return result


def write(name, content):
    with open(os.path.join(files, name), "wb") as f:
        f.write(content)


def arrays():
    x = np.arange(6).reshape(2, 3)
    for code in ("b1", "u1", "i1", "<i2", "<i4", "<i8", "<f2", "<f4", "<f8", ">i2", ">i4", ">i8", ">f2", ">f4", ">f8"):
        np.save(os.path.join(files, "c_" + code.replace("<", "l").replace(">", "b") + ".npy"), (x - 2).astype(code))
    np.save(os.path.join(files, "fortran.npy"), np.asfortranarray(np.arange(24, dtype="f4").reshape(2, 3, 4)))
    np.save(os.path.join(files, "scalar.npy"), np.float32(2.5))
    np.save(os.path.join(files, "empty.npy"), np.zeros((0, 3), "i4"))
    np.save(os.path.join(files, "uint32.npy"), np.arange(3, dtype="u4"))
    np.save(os.path.join(files, "text.npy"), np.array(["a", "bc"]))
    np.save(os.path.join(files, "objects.npy"), np.array([{}, None], dtype=object))
    np.save(os.path.join(files, "records.npy"), np.zeros(2, dtype=[("a", "f4"), ("b", "i4")]))
    with open(os.path.join(files, "version2.npy"), "wb") as f:
        np.lib.format.write_array(f, np.arange(3.0), version=(2, 0))
    np.savez(os.path.join(files, "stored.npz"), b=np.arange(3), a=np.ones((2, 2), "f4"))
    np.savez_compressed(os.path.join(files, "deflated.npz"), zeros=np.zeros((50, 60)), a=np.arange(3, dtype=">i2"))


def png(name, width, height, depth, color, rows, extra=(), interlaced=False):
    """A PNG of packed rows; interlaced ones give the rows of each pass in turn."""
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced))
    body = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows))
    write(name, b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(chunk(*e) for e in extra)
          + chunk(b"IDAT", body) + chunk(b"IEND", b""))


def pictures():
    png("gray16.png", 2, 2, 16, 0, [[0x12, 0x34, 0xFF, 0xFF], [0, 0, 0x80, 0x80]])
    png("gray1.png", 10, 1, 1, 0, [[0b10110011, 0b01000000]])
    palette = (b"PLTE", bytes([255, 0, 0, 0, 255, 0, 1, 2, 3]))
    png("palette2.png", 3, 2, 2, 3, [[0b00011000], [0b10010000]], [palette])
    png("palette_alpha.png", 3, 1, 8, 3, [[0, 1, 2]], [palette, (b"tRNS", bytes([7, 255]))])
    # Adam7, 3 x 2 gray pixels: pass 1 has (0,0), pass 6 has (1,0), pass 4 has (2,0), pass 7 has the second row.
    png("interlaced.png", 3, 2, 8, 0, [[10], [30], [20], [40, 50, 60]], interlaced=True)


def states():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.25)
    model(torch.ones(4, 3)).sum().backward()
    optimizer.step()
    torch.save(model.state_dict(), os.path.join(files, "model.pth"))
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 7, "best": 0.125},
               os.path.join(files, "checkpoint.pt"))
    x = torch.arange(12.0).reshape(3, 4)
    torch.save({"x": x, "row": x[1], "column": x[:, 2], "t": x.t(), "spread": torch.tensor([3]).expand(2, 3)},
               os.path.join(files, "views.pt"))
    dtypes = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
    torch.save({d: torch.tensor([[0, 1, 3]]).to(getattr(torch, d)) for d in dtypes}, os.path.join(files, "dtypes.pt"))
    values = {"none": None, "list": [1, None, [2.5, "s"]], "tuple": (1, (2, 3)), "big": 2**62, "negative": -5,
              "wide": -(2**40), "true": True, "unicode": "grüße", "size": x.shape, "device": torch.device("cpu"),
              "dtype": torch.bfloat16, "parameter": torch.nn.Parameter(x[0].clone()), "empty": torch.zeros(0, 2),
              "scalar": torch.tensor(2.5), 3: "three", "nan": float("nan")}
    torch.save(values, os.path.join(files, "values.pt"))
    torch.save(values, os.path.join(files, "protocol4.pt"), pickle_protocol=4)
    torch.save(torch.ones(2), os.path.join(files, "bare.pt"))
    torch.serialization.set_crc32_options(False)
    torch.save({"a": torch.ones(2)}, os.path.join(files, "unchecked.pt"))
    torch.serialization.set_crc32_options(True)
    torch.save(torch.nn.ReLU(), os.path.join(files, "whole_model.pt"))
    torch.save({"a": torch.ones(2, dtype=torch.complex64)}, os.path.join(files, "complex.pt"))
    torch.save({"a": np.float64(1.5)}, os.path.join(files, "numpy.pt"))
    torch.save(torch.eye(2).to_sparse(), os.path.join(files, "sparse.pt"))
    torch.save({"a": torch.ones(2)}, os.path.join(files, "legacy.pt"), _use_new_zipfile_serialization=False)


os.makedirs(files, exist_ok=True)
with open(os.path.join(here, "data.lua"), "w") as f:
    f.write("-- Made by spec/golden/make_data.py from PyTorch; do not edit.\n")
    f.write("-- luacheck: ignore 631\n")
    f.write("return {\n")
    for name, value in {"orders": orders(), "workers": workers()}.items():
        f.write(f"  {name} = {{\n")
        for key, v in value.items():
            f.write(f"    {key} = {lua(v)},\n")
        f.write("  },\n")
    f.write("}\n")
arrays()
pictures()
states()
