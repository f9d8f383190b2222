"""Writes functional.lua and functional.safetensors: PyTorch's answers to the calls that calls_*.py describe.

    /path/to/python spec/golden/make_functional.py           with torch 2.15, from anywhere

Calls that draw (dropout, rrelu) are answered by Debian's PyTorch 1.13, whose generator is not MKL's: /usr/bin/python3
runs this file with --drawn. spec/support/golden_calls.lua tells the form of what is written.
"""
import base64
import json
import os
import re
import struct
import subprocess
import sys
import warnings

import torch

import calls
import calls_activation
import calls_attention
import calls_container
import calls_conv
import calls_init
import calls_layer
import calls_loss
import calls_module
import calls_norm
import calls_pool
import calls_sample

warnings.simplefilter("ignore")
torch.set_num_threads(1)
HERE = os.path.dirname(os.path.abspath(__file__))
FAMILIES = (calls_conv, calls_pool, calls_activation, calls_norm, calls_layer, calls_sample, calls_loss, calls_attention,
            calls_container, calls_init, calls_module)
CODES = {"float64": "F64", "int64": "I64", "float32": "F32", "int32": "I32", "float16": "F16", "bfloat16": "BF16",
         "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL"}
SIZES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


def collect(drawn):
    c = calls.Calls(drawn)
    for family in FAMILIES:
        before = c.count
        family.describe(c)
        if not drawn:
            print("%-18s %5d calls" % (family.__name__, c.count - before))
    return c


def drawn_groups():
    text = subprocess.run(["/usr/bin/python3", os.path.abspath(__file__), "--drawn"], check=True, capture_output=True,
                          text=True).stdout
    return {name: (lines, [(d, dtype, base64.b64decode(data)) for d, dtype, data in tensors])
            for name, (lines, tensors) in json.loads(text).items()}


class Pool:
    """All values by dtype. Tensors of equal values are stored once; those that do not lie behind the one before are
    described with their place, from 1."""

    def __init__(self):
        self.blocks, self.known, self.next = {code: bytearray() for code in CODES}, {}, {}

    def describe(self, description, dtype, data):
        if not data:
            return description
        at = self.known.get((dtype, data))
        if at is None:
            at = self.known[dtype, data] = len(self.blocks[dtype]) // SIZES[CODES[dtype]] + 1
            self.blocks[dtype].extend(data)
        place = "" if self.next.get(dtype) == at else "@%d" % at
        self.next[dtype] = at + len(data) // SIZES[CODES[dtype]]
        return description + place


def write(c, drawn):
    pool, lines = Pool(), []
    for name in drawn:
        c.groups.setdefault(name, calls.Group())
    for name, group in c.groups.items():
        space, _, word = name.partition(".")
        lines.append('{ space = "%s", name = "%s",' % (space, word))
        pool.next = {}
        for found, tensors in ((group.lines, group.tensors), drawn.get(name, ([], []))):
            lines += [re.sub(r"<(\d+)>", lambda m: pool.describe(*tensors[int(m[1])]), line) for line in found]
        lines.append("},")
    blocks, header, at = pool.blocks, {}, 0
    for dtype, code in CODES.items():
        if blocks[dtype]:
            header[dtype] = {"dtype": code, "shape": [len(blocks[dtype]) // SIZES[code]],
                             "data_offsets": [at, at + len(blocks[dtype])]}
            at += len(blocks[dtype])
    version = torch.__version__.split("+")[0]
    header["__metadata__"] = {"torch": version}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path, values = (os.path.join(HERE, "functional." + end) for end in ("lua", "safetensors"))
    with open(values, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blocks[dtype] for dtype in CODES))
    with open(path, "w") as f:
        f.write("-- Golden calls of torch.nn and torch.nn.functional: PyTorch %s's answers.\n" % version)
        f.write("-- Made by make_functional.py; spec/support/golden_calls.lua tells the form.\n-- luacheck: ignore 631\n")
        f.write("local x, m, fn, none, inf, nan = ... -- luacheck: ignore\nreturn {\n" + "\n".join(lines) + "\n}\n")
    print("%d calls of %d names, %d + %d bytes" % (sum(len(g.lines) for g in c.groups.values()), len(c.groups),
                                                  os.path.getsize(path), os.path.getsize(values)))


if __name__ == "__main__":
    found = collect("--drawn" in sys.argv)
    if "--drawn" in sys.argv:
        print(json.dumps({name: (g.lines, [(d, dtype, base64.b64encode(data).decode()) for d, dtype, data in g.tensors])
                          for name, g in found.groups.items()}))
    else:
        write(found, drawn_groups())
        for text in found.refused:
            print("OTHERWISE:", text)
