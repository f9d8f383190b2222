"""Writes torch_types.lua: what PyTorch 2.15 says of dtypes, for spec/torch_spec.lua.

Pairs are written as one row of names a dtype, in the order of `dtypes`. Run from any folder.
"""
import os

import torch

NAMES = ["float64", "float32", "float16", "bfloat16", "uint8", "int8", "int16", "int32", "int64", "bool"]
DTYPES = [getattr(torch, name) for name in NAMES]


def word(dtype):
    return str(dtype).replace("torch.", "")


def table(name, f):
    rows = ['  %s = "%s",' % (word(a), " ".join(word(f(a, b)) for b in DTYPES)) for a in DTYPES]
    return "cases.%s = {\n%s\n}\n" % (name, "\n".join(rows))


def ones(dtype):
    return torch.ones(2, dtype=dtype)


def main():
    out = ["-- Made by make_torch.py from PyTorch 2.15: promotion, casts and limits of dtypes.\nlocal cases = {}\n"]
    out.append('cases.dtypes = "%s"\n' % " ".join(NAMES))
    out.append(table("promote_types", torch.promote_types))
    out.append(table("can_cast", lambda a, b: "yes" if torch.can_cast(a, b) else "no"))
    out.append(table("dimmed_with_zero_dim", lambda a, b: torch.result_type(ones(a), torch.ones((), dtype=b))))
    out.append(table("dimmed_with_dimmed", lambda a, b: torch.result_type(ones(a), ones(b))))
    out.append(table("zero_dim_with_zero_dim",
                     lambda a, b: torch.result_type(torch.ones((), dtype=a), torch.ones((), dtype=b))))
    for name, scalar in (("integer", 3), ("float", 2.5), ("boolean", True)):
        out.append('cases.with_%s = "%s"\n' % (name, " ".join(word(torch.result_type(ones(d), scalar)) for d in DTYPES)))
    scalars = (True, 3, 2.5)
    out.append('cases.scalars = "%s"\n' % " ".join(word(torch.result_type(a, b)) for a in scalars for b in scalars))
    out.append("cases.finfo = {\n")
    for d in DTYPES[:4]:
        f = torch.finfo(d)
        values = ",\n    ".join("%s = %s" % (k, float(getattr(f, k)).hex()) for k in
                           ("eps", "max", "min", "tiny", "smallest_normal", "resolution"))
        text = str(f).replace(", smallest", ', "\n      .. "smallest')
        out.append('  %s = { bits = %d, %s,\n    text = "%s" },\n' % (word(d), f.bits, values, text))
    out.append("}\ncases.iinfo = {\n")
    for d in DTYPES[4:9]:
        i = torch.iinfo(d)
        low = "math.mininteger" if i.min == -2**63 else str(i.min)
        out.append('  %s = { bits = %d, min = %s, max = %d,\n    text = "%s" },\n' % (word(d), i.bits, low, i.max, i))
    out.append("}\nreturn cases\n")
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch_types.lua"), "w") as f:
        f.write("".join(out))


if __name__ == "__main__":
    main()
