"""Writes spec/golden/files/theirs and checkpoints.lua: what PyTorch saves, for spec/checkpoint_spec.lua. Run with torch 2.15
and safetensors; /usr/bin/python3 has torch 1.13, which writes the files of an older PyTorch (this file with --old)."""
import collections
import math
import os
import subprocess
import sys
import warnings
import torch
import torch.nn as nn

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
import crossover_models as cross  # noqa: E402

warnings.simplefilter("ignore")
out = os.path.join(here, "files", "theirs")
OLD = "--old" in sys.argv


def path(name):
    return os.path.join(out, name)


def trained(make, x):
    """Start values from the seed; batch norm has seen data."""
    torch.manual_seed(5)
    model = make()
    with torch.no_grad():
        model(x)
    return model.eval()


def models():
    expected = {}
    for name, (make, data) in cross.MODELS.items():
        x = data()
        model = trained(make, x)
        state = model.state_dict()
        expected[name] = model(x).detach()
        if OLD:
            torch.save(state, path("old_%s.pth" % name), _use_new_zipfile_serialization=False)
            continue
        torch.save(state, path(name + ".pt"))
        # safetensors refuses what shares memory: its own way is to leave the second name out
        save_file({k: v for k, v in state.items() if not (name == "tied" and k == "head.weight")},
                  path(name + ".safetensors"))
    if not OLD:
        save_file({k: v.contiguous() for k, v in expected.items()}, path("outputs.safetensors"))


def variants():
    """One checkpoint in every form that torch.save has."""
    torch.manual_seed(5)
    model = cross.mlp()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.25)
    model(cross.numbers(4, 5)).sum().backward()
    optimizer.step()
    x = torch.arange(12.0).reshape(3, 4)
    checkpoint = {
        "model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 7, "best": 0.125, "name": "grüße",
        "history": [0.5, None, (1, "two", (3,))], "done": True, "large": 2**40, "negative": -(2**62), "size": x.shape,
        "dtypes": {str(d)[6:]: torch.tensor([[0, 1, 3]]).to(d) for d in (
            torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16,
            torch.int8, torch.uint8, torch.bool)},
        "shared": {"whole": x, "row": x[1], "column": x[:, 2], "turned": x.t(), "alias": x.view(12)},
        "ordered": collections.OrderedDict([("z", 1), ("a", 2)]), "counts": collections.Counter({3: 2, 1: 1}),
        "set": {1, 2}, "bytes": b"\x00\xffa", "parameter": nn.Parameter(torch.ones(2)), "dtype": torch.bfloat16,
        "device": torch.device("cpu"),
    }
    for protocol in (1, 2, 3, 4, 5):
        for kind, zipped in (("zip", True), ("legacy", False)):
            torch.save(checkpoint, path("checkpoint_%s_%d.pt" % (kind, protocol)), pickle_protocol=protocol,
                       _use_new_zipfile_serialization=zipped)


def numpy_scalars():
    import numpy as np
    kinds = ("float64", "float32", "int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "bool_")
    for protocol in (2, 4):
        torch.save({k: getattr(np, k)(1.5 if k[0] == "f" else 3) for k in kinds}, path("numpy_%d.pt" % protocol),
                   pickle_protocol=protocol)
    torch.save({"a": np.arange(3)}, path("numpy_array.pt"))


def spelled():
    """Protocol 0, in which tensors cannot be, and what else a pickle can say."""
    import pickle
    import zipfile
    value = {"integers": [0, -1, 2**31, -(2**63), 2**63 - 1], "booleans": [True, False], "floats": [0.5, -1e300, math.inf],
             "text": "grüße \u20ac \U0001f600 \\ \n 'quoted' \"twice\"", "tuple": (), "nested": ((1, (2,)), [[]], {"k": {}}),
             "none": None, "set": {1, "a"}, "frozen": frozenset([2]), "bytes": b"\x00\xff'\n", "array": bytearray(b"xyz"),
             "counter": collections.Counter("aab"), "ordered": collections.OrderedDict(b=1, a=2)}
    value["again"] = value["nested"]
    for protocol in range(6):
        with zipfile.ZipFile(path("spelled_%d.pt" % protocol), "w") as z:
            z.writestr("archive/data.pkl", pickle.dumps(value, protocol=protocol))


def attributes():
    x, p = torch.ones(2), nn.Parameter(torch.full((2,), 2.0))
    x.note, p.note = "kept by Python alone", "too"
    frozen = nn.Parameter(torch.ones(1), requires_grad=False)
    leaf = torch.ones(3, requires_grad=True)
    torch.save({"x": x, "p": p, "frozen": frozen, "leaf": leaf}, path("attributes.pt"))


def locations():
    """A file that says that its tensors were on a GPU."""
    class Gpu:
        pass

    original = torch.serialization.location_tag
    torch.serialization.location_tag = lambda storage: "cuda:0"
    for kind, zipped in (("zip", True), ("legacy", False)):
        torch.save({"a": torch.arange(3.0), "b": torch.ones(2)}, path("cuda_%s.pt" % kind),
                   _use_new_zipfile_serialization=zipped)
    torch.serialization.location_tag = original


def runs():
    """Five steps, a checkpoint, and from that five more: the losses, and the rates at the end."""
    text = []
    for name in cross.RUNS:
        torch.manual_seed(3)
        model, optimizer, scheduler = cross.start(name)
        for _ in range(5):
            cross.step(model, optimizer, scheduler)
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(),
                    "scheduler": scheduler.state_dict(), "epoch": 5}, path("run_%s.pt" % name))
        saved = torch.load(path("run_%s.pt" % name))
        model, optimizer, scheduler = cross.start(name)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        scheduler.load_state_dict(saved["scheduler"])
        losses = [cross.step(model, optimizer, scheduler) for _ in range(5)]
        rates = [g["lr"] for g in optimizer.param_groups]
        text.append("  %s = { losses = { %s }, rates = { %s } },\n" % (
            name, ", ".join("%.17g" % v for v in losses), ", ".join("%.17g" % v for v in rates)))
    with open(os.path.join(here, "checkpoints.lua"), "w") as f:
        f.write("-- Made by spec/golden/make_checkpoints.py from PyTorch; do not edit.\n-- luacheck: ignore 631\n")
        f.write("-- Steps 6 to 10 of the training runs in files/theirs/run_*.pt.\nreturn {\n%s}\n" % "".join(text))


os.makedirs(out, exist_ok=True)
if OLD:
    models()
else:
    from safetensors.torch import save_file
    models()
    variants()
    numpy_scalars()
    spelled()
    attributes()
    locations()
    runs()
    subprocess.run(["/usr/bin/python3", os.path.abspath(__file__), "--old"], check=True)
