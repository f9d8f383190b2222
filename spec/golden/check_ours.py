"""Proves with PyTorch that it reads what moontorch wrote: python check_ours.py FOLDER...

A folder is one that spec/support/crossover.lua wrote. Models load strictly and predict the same; training goes on from a
checkpoint of torch.save with the same losses. Needs torch 2.x and safetensors."""
import json
import math
import os
import sys
import warnings
import torch
from safetensors import safe_open
from safetensors.torch import load_file

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import crossover_models as cross  # noqa: E402

warnings.simplefilter("ignore")


def as_python(value):
    """A table with the keys 1 to n is a list."""
    if not isinstance(value, dict):
        return value
    if value and list(value) == list(range(1, len(value) + 1)):
        return [as_python(v) for v in value.values()]
    return {k: as_python(v) for k, v in value.items()}


def read_saved(path):
    """What torch.save wrote here: the tensors of a safetensors file, and as JSON in its metadata what the tables were."""
    with safe_open(path, "pt") as file:
        description = json.loads(file.metadata()["moontorch"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    values = []
    for kind, *fields in description["nodes"]:
        if kind in ("nil", "none"):
            values.append(None)
        elif kind == "bool":
            values.append(fields[0] == 1)
        elif kind == "int":
            values.append(int(fields[0]))
        elif kind == "num":
            values.append(float.fromhex(fields[0]))
        elif kind in ("str", "dtype", "device"):
            values.append(fields[0])
        elif kind == "bytes":
            values.append(bytes.fromhex(fields[0]))
        elif kind == "size":
            values.append(torch.Size(fields))
        elif kind == "tensor":
            values.append(tensors[fields[0]])
        elif kind == "view":
            name, _, _, _, _, offset, *numbers = fields
            half = len(numbers) // 2
            values.append(tensors[name].as_strided(numbers[:half], numbers[half:], offset))
        else:
            values.append({})
    for value, node in zip(values, description["nodes"]):
        if node[0] in ("table", "ordered"):
            for key, item in zip(node[1::2], node[2::2]):
                value[values[key - 1]] = values[item - 1]
    return as_python(values[description["root"] - 1])


def check_model(folder, name, expected):
    make, data = cross.MODELS[name]
    model = make()
    model.load_state_dict(load_file(os.path.join(folder, name + ".safetensors")))
    model.eval()
    with torch.no_grad():
        off = (model(data()) - expected).abs().max().item()
    assert off < 2e-6, "%s: outputs are off by %g" % (name, off)
    return off


def check_run(folder, name):
    saved = read_saved(os.path.join(folder, "run_%s.st" % name))
    model, optimizer, scheduler = cross.start(name)
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    scheduler.load_state_dict(saved["scheduler"])
    worst = 0
    for i, wanted in enumerate(saved["losses"]):
        loss = cross.step(model, optimizer, scheduler)
        worst = max(worst, abs(loss - wanted) / wanted)
        assert worst < 1e-11, "%s: the loss of step %d is %.17g, expected %.17g" % (name, 6 + i, loss, wanted)
    for group, rate in zip(optimizer.param_groups, saved["rates"]):
        assert math.isclose(group["lr"], rate, rel_tol=1e-13), "%s: the rate is %r, expected %r" % (name, group["lr"], rate)
    return worst


def check_values(folder, name):
    v = read_saved(os.path.join(folder, name + ".st"))
    x = torch.arange(12.0).reshape(3, 4)
    for key, wanted in {"whole": x, "row": x[1], "column": x[:, 2], "turned": x.t(), "parameter": torch.ones(2)}.items():
        assert torch.equal(v[key], wanted), key
    assert v["turned"].stride() == (1, 4), "strides"
    v["row"].fill_(-1)
    assert v["whole"][1].eq(-1).all() and v["turned"][:, 1].eq(-1).all(), "memory is not shared"
    assert len(v["dtypes"]) == 10
    for dtype, t in v["dtypes"].items():
        assert torch.equal(t, torch.tensor([[0, 1, 3]]).to(getattr(torch, dtype))), dtype
    assert v["bytes"] == b"\x00\xffa" and v["size"] == torch.Size([3, 4]) and v["kind"] == "bfloat16"
    assert v["plain"] == [1, 2.5, "grüße", True, None, [-(2**62), math.inf]] and v[2.5] == "number"
    return 0


failed = 0
for folder in sys.argv[1:]:
    outputs = load_file(os.path.join(folder, "outputs.safetensors"))
    assert sorted(outputs) == sorted(cross.MODELS), "outputs of other models"
    checks = [(check_model, (folder, name, outputs[name])) for name in cross.MODELS]
    checks += [(check_run, (folder, name)) for name in cross.RUNS]
    checks.append((check_values, (folder, "values")))
    worst = []
    for check, arguments in checks:
        try:
            worst.append(check(*arguments))
        except Exception as error:
            failed += 1
            print("FAILED %s/%s: %s: %s" % (folder, arguments[1], type(error).__name__, error))
    print("%s: PyTorch %s reads %d of %d; the largest difference is %.2g" % (
        folder, torch.__version__, len(worst), len(checks), max(worst, default=0)))
sys.exit(failed > 0)
