"""How golden cases are made: inputs, calls in PyTorch, the translation to moontorch's dialect, and the text of a Lua table.

Everything that counts from 0 in Python is shifted in this file and nowhere else: by the types in the op table's schemas
(dims, positions and index tensors that go in, index tensors that come out), where there is none by SIGNATURE and
POSITIONS_OUT, and by key_to_lua (indexing). spec/support/golden.lua documents the form of the cases that come out.
"""
import os
import random
import re

import numpy
import torch

import schemas

inf, nan = float("inf"), float("nan")
f32, f64, i64, i32, u8, b8 = torch.float32, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bool
DTYPES = (f32, f64, i64, i32, u8, b8)
FLOATS = (f32, f64)
FILLER = {f32: 99.0, f64: 99.0, i64: 99, i32: 99, u8: 99, b8: True}

# What is not in the op table, or meant otherwise there. Parameters that hold positions, in order: "dim:D" a dim or a list
# of them, "index:I" a tensor, "start:P" a number, "indices:L" positions if a list, "end:E" a position past the last.
SIGNATURE = {name: [p.split(":") for p in text.split()] for name, text in {
    "size": "input dim:D", "stride": "input dim:D",
}.items()}
# Results that are positions: 0-based numbers of results, or "all" for the tensors of a list.
POSITIONS_OUT = {"where": "all", "unravel_index": "all"}
# Results that are a Lua array, and results that are an array of numbers.
LIST_OPS = set()
TABLE_OPS = {"tolist", "size", "stride"}


def dtype_name(dtype):
    return str(dtype).replace("torch.", "")


class X:
    """A tensor that goes in: flat values, and how it lies in memory (see spec/support/golden.lua)."""

    def __init__(self, shape, values, dtype=f32, layout="c", g=False):
        self.shape, self.dtype, self.layout, self.g = tuple(shape), dtype, layout, g
        self.values = list(values)
        if layout == "e":  # every slab along the first dim is the first one
            slab = len(self.values) // self.shape[0]
            self.values = self.values[:slab] * self.shape[0]

    def make(self):
        t = torch.tensor(self.values, dtype=self.dtype).reshape(self.shape)
        if self.layout == "t":
            t = t.transpose(0, -1).clone(memory_format=torch.contiguous_format).transpose(0, -1)
        elif self.layout == "s":
            base = torch.full(self.shape[:-1] + (2 * self.shape[-1],), FILLER[self.dtype], dtype=self.dtype)
            base[..., 1::2] = t
            t = base[..., 1::2]
        elif self.layout == "e":
            t = t[:1].contiguous().expand(self.shape)
        return t.detach().requires_grad_() if self.g else t

    def __repr__(self):
        return "X%s%s%s" % (self.shape, self.values[:4], dtype_name(self.dtype))

    def shifted(self):
        """The same positions counted from 1; negative ones stay."""
        return X(self.shape, [v + 1 if v >= 0 else v for v in self.values], self.dtype, self.layout)

    def lua(self):
        fields = ['t = "%s"' % dtype_name(self.dtype), "s = " + array(self.shape), "v = " + values_to_lua(self.values, self.dtype)]
        if self.layout != "c":
            fields.append('l = "%s"' % self.layout)
        if self.g:
            fields.append("g = true")
        return "{ " + ", ".join(fields) + " }"


def array(items):
    return "{ " + ", ".join(str(i) for i in items) + " }" if len(items) else "{}"


def number_to_lua(v, dtype=None):
    """Exactly readable; without a dtype floats keep a point, so that Lua sees a float."""
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, int):
        return "math.mininteger" if v == -2 ** 63 else str(v)
    if v != v:
        return "nan"
    if v in (inf, -inf):
        return "inf" if v > 0 else "-inf"
    if v == int(v) and abs(v) < 1e15:
        whole = str(int(v))
        if v == 0 and str(v)[0] == "-":
            return "-0.0"
        return whole if dtype else whole + ".0"
    if dtype == f32:
        for digits in (4, 6, 7, 8, 9):
            text = "%.*g" % (digits, v)
            if numpy.float32(float(text)) == numpy.float32(v):
                return text
    return repr(v)


def values_to_lua(values, dtype):
    return "{ " + ", ".join(number_to_lua(v, dtype) for v in values) + " }" if values else "{}"


def string_to_lua(s):
    if isinstance(s, (bytes, bytearray)):
        return '"' + "".join("\\%03d" % c for c in s) + '"'
    return '"' + s.replace("\\", "\\\\").replace('"', '\\"') + '"'


def to_lua(v):
    if isinstance(v, X):
        return v.lua()
    if isinstance(v, torch.Tensor):
        return X(v.shape, v.detach().reshape(-1).tolist(), v.dtype, g=v.requires_grad).lua()
    if v is None:
        return "{ none = true }"
    if isinstance(v, torch.dtype):
        return '{ dtype = "%s" }' % dtype_name(v)
    if isinstance(v, (str, bytes, bytearray)):
        return string_to_lua(v)
    if isinstance(v, (list, tuple)):
        return "{ " + ", ".join(to_lua(x) for x in v) + " }" if len(v) else "{}"
    return number_to_lua(v)


def kwargs_to_lua(kw):
    return "{ " + ", ".join(("%s = %s" % (k, to_lua(v))) if k != "end" else '["end"] = ' + to_lua(v) for k, v in kw.items()) + " }"


# Translation ----------------------------------------------------------------------------------------------------------

def shift(v, kind):
    if kind == "I":
        return v.shifted()
    if kind == "L":  # a number of pieces stays; lists are positions
        if isinstance(v, X):
            return v.shifted() if v.shape else v
        return shift(v, "D") if isinstance(v, (list, tuple)) else v
    if kind == "E":  # one past the last position, where moontorch names the last
        return v if v is None or v > 0 else v - 1
    if kind == "P" and isinstance(v, X):
        return v.shifted()
    if isinstance(v, (list, tuple)):
        return [shift(x, kind) for x in v]
    if isinstance(v, int) and not isinstance(v, bool):
        return v + 1 if v >= 0 else v
    return v


def signature_of(op, form):
    """The key in SIGNATURE: a function of torch.nn.functional whose order is its own has "n " in front of it."""
    return "n " + op if form == "n" and "n " + op in SIGNATURE else op


def kind_of(op, key, count, names):
    """How argument `key`, a number or a name, of a call is shifted; None: not at all."""
    if op in SIGNATURE:
        params = SIGNATURE[op]
        if isinstance(key, int):
            found = params[min(key, len(params) - 1)] if key < len(params) or params[-1][0] == "dims" else [""]
        else:
            found = next((p for p in params if p[0] == key), [""])
        return found[1] if len(found) == 2 else None
    kinds = [p.kind for p in (s.parameter(key) for s in schemas.matching(op, count, names)) if p and p.kind]
    return kinds[0] if kinds else None


def shift_arguments(op, args, kw):
    def shifted(key, v):
        kind = kind_of(op, key, len(args), kw) if v is not None else None
        return shift(v, kind) if kind and (kind in "ILP" if isinstance(v, X) else kind != "I") else v
    return [shifted(i, v) for i, v in enumerate(args)], {k: shifted(k, v) for k, v in kw.items()}


def positions_out(op, form, out, args, kw):
    """Which results are positions, and whether they are an array."""
    if form in ("o", "x", "w", "s"):
        return set(), False
    found = schemas.matching(op, len(args), kw)
    a_list = isinstance(out, (tuple, list)) and (op in LIST_OPS or any(s.gives_list for s in found))
    if form == "n":
        return POSITIONS_OUT.get("n " + op, set()), a_list
    if op in POSITIONS_OUT:
        return (POSITIONS_OUT[op] if a_list or POSITIONS_OUT[op] != "all" else set()), a_list
    return set().union(*(s.positions for s in found)) if found else set(), a_list


def key_part_to_lua(k):
    if isinstance(k, X):
        return k if k.dtype == b8 else k.shifted()
    if k is Ellipsis:
        return "..."
    if isinstance(k, slice):
        if k == slice(None):
            return []
        first = 1 if k.start is None else k.start + 1 if k.start >= 0 else k.start
        last = -1 if k.stop is None else k.stop if k.stop >= 0 else k.stop - 1
        return [first, last] + ([k.step] if k.step is not None else [])
    if isinstance(k, int):
        return k + 1 if k >= 0 else k
    return k


def key_to_lua(key):
    if isinstance(key, tuple):
        return [key_part_to_lua(k) for k in key]
    if isinstance(key, slice):
        return [key_part_to_lua(key)]
    return [None] if key is None else ["..."] if key is Ellipsis else key_part_to_lua(key)


# Calls ----------------------------------------------------------------------------------------------------------------

OPERATORS = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b, "//": lambda a, b: a // b,
    "%": lambda a, b: a % b, "^": lambda a, b: a ** b, "&": lambda a, b: a & b, "|": lambda a, b: a | b, "~": lambda a, b: a ^ b,
    "<<": lambda a, b: a << b, ">>": lambda a, b: a >> b, "unm": lambda a: -a, "bnot": lambda a: ~a, "#": len,
}


def make(v, leaves):
    if isinstance(v, X):
        t = v.make()
        if v.g:
            leaves.append(t)
        return t
    if isinstance(v, list):
        return [make(x, leaves) for x in v]
    if isinstance(v, tuple):
        return tuple(make(x, leaves) for x in v)
    return v


def call(op, form, args, kw):
    if form == "o":
        return OPERATORS[op](*args)
    if form == "x":
        return args[0][args[1]]
    if form == "w":
        args[0][args[1]] = args[2]
        return args[0]
    if form == "p":
        return getattr(args[0], op)
    if form == "n":
        return getattr(torch.nn.functional, op)(*args, **kw)
    if form == "s":
        return getattr(torch.special, op)(*args, **kw)
    if form == "f":
        if op == "frombuffer":
            args = [bytearray(args[0])] + list(args[1:])
        return getattr(torch, op)(*args, **kw)
    if op in ("double", "float", "int", "long", "bool", "to", "type") and form == "m":
        return getattr(args[0], op)(*args[1:], **kw)
    return getattr(args[0], op + ("_" if form == "i" else ""))(*args[1:], **kw)


def gradient_of(out):
    """The gradient handed to backward: element i, counted from 0, is (3 i mod 7 - 3) / 4."""
    n = out.numel()
    return torch.tensor([((3 * i) % 7 - 3) / 4 for i in range(n)], dtype=out.dtype).reshape(out.shape)


def one_based(t):
    return torch.where(t >= 0, t + 1, t)


class Family:
    """The cases of one file."""

    def __init__(self, name, holds):
        self.name, self.holds, self.lines = name, holds, []
        self.random = random.Random(name)

    # Inputs. Values are quarters, so that they are exact and short.
    def x(self, shape, dtype=f32, layout="c", g=False, lo=-3, hi=3, distinct=False):
        n = 1
        for s in shape:
            n *= s
        if dtype == b8:
            values = [self.random.random() < 0.5 for _ in range(n)]
        elif dtype in FLOATS:
            pool = list(range(4 * lo, 4 * hi + 1))
            if distinct:
                pool = [i for i in range(-2 * n, 2 * n)] if n > len(pool) else pool
                values = [v / 4 for v in self.random.sample(pool, n)]
            else:
                values = [self.random.choice(pool) / 4 for _ in range(n)]
        else:
            low, high = (0, 9) if dtype == u8 else (4 * lo, 4 * hi)
            if dtype == u8 and lo > 0:
                low = lo
            if distinct:
                values = self.random.sample(range(low, max(high, low + 2 * n) + 1), n)
            else:
                values = [self.random.randint(max(low, lo) if lo > 0 else low, high) for _ in range(n)]
        return X(shape, values, dtype, layout, g)

    def index(self, shape, limit, dtype=i64, layout="c", distinct=False):
        n = 1
        for s in shape:
            n *= s
        values = self.random.sample(range(limit), n) if distinct else [self.random.randrange(limit) for _ in range(n)]
        return X(shape, values, dtype, layout)

    def case(self, op, *args, form=None, err=None, own=None, kw=None, seed=None, view=False, novalues=False, z=False, **more):
        """Adds a case. form: letters, all that PyTorch has when left out. err: part of PyTorch's message, checked against
        it; own: part of moontorch's message where PyTorch has none (the call may then be meaningless in Python)."""
        kw = {**(kw or {}), **more}
        if form is None:
            form = ("f" if hasattr(torch, op) else "") + ("m" if args and isinstance(args[0], X) and hasattr(torch.Tensor, op) else "")
        if form in ("x", "w"):
            lua_args, lua_kw = [args[0], key_to_lua(args[1])] + list(args[2:]), {}
        else:
            lua_args, lua_kw = shift_arguments(signature_of(op, form), args, kw)
        fields = ["op = " + string_to_lua(op), 'form = "%s"' % form, "args = " + to_lua(lua_args)]
        if lua_kw:
            fields.append("kw = " + kwargs_to_lua(lua_kw))
        if seed is not None:
            torch.manual_seed(seed)
            fields.append("seed = %d" % seed)
        if own:
            fields.append("err = " + string_to_lua(own))
        else:
            fields += self.run(op, form, args, kw, err, view, novalues)
        if z:
            fields.append("z = true")
        self.lines.append("  { " + ", ".join(fields) + " },")

    def run(self, op, form, args, kw, err, view, novalues):
        leaves = []
        args = [make(a, leaves) for a in args]
        kw = {k: make(v, leaves) for k, v in kw.items()}
        if (form in ("i", "w") or form == "n" and op.endswith("_")) and leaves and args[0] is leaves[0] and err is None:
            args[0] = args[0].clone()
        try:
            out = call(op, form[0], args, kw)
        except Exception as e:
            text = "%s: %s" % (type(e).__name__, e)
            if err is None:
                raise AssertionError("%s %s refused: %s" % (op, args, text))
            assert err in text, "%s: %r not in %r" % (op, err, text)
            return ["err = " + string_to_lua(err)]
        assert err is None, "%s %s %s was not refused" % (op, args, kw)

        positions, a_list = positions_out(op, form, out, args, kw)
        if a_list:
            results = [list(out)]
        elif op in TABLE_OPS:
            results = [out]
        elif isinstance(out, tuple):
            results = list(out)
        else:
            results = [out]
        texts = []
        for k, r in enumerate(results):
            if isinstance(r, torch.Tensor):
                t = one_based(r) if k in positions else r
                texts.append('{ t = "%s", s = %s }' % (dtype_name(t.dtype), array(t.shape)) if novalues else to_lua(t))
            elif op in TABLE_OPS and not isinstance(r, (int, float, bool)):
                texts.append("{ table = " + to_lua(r) + " }")
            elif isinstance(r, list):
                texts.append("{ list = " + to_lua([one_based(t) for t in r] if positions == "all" else r) + " }")
            elif isinstance(r, torch.dtype):
                texts.append(to_lua(r))
            else:
                texts.append(to_lua(r))
        fields = ["out = { " + ", ".join(texts) + " }"]
        if view:
            shared = out.untyped_storage().data_ptr() == args[0].untyped_storage().data_ptr()
            if out.numel() and shared:
                fields.append("view = { %d, %s }" % (out.storage_offset() - args[0].storage_offset(), array(out.stride())))
            elif out.numel():
                fields.append("copied = true")
        if leaves:
            flat = [r for result in results for r in (result if isinstance(result, list) else [result])]
            outs = [r for r in flat if isinstance(r, torch.Tensor) and r.requires_grad]
            torch.autograd.backward(outs, [gradient_of(r) for r in outs])
            fields.append("grads = { " + ", ".join("false" if x.grad is None else to_lua(x.grad) for x in leaves) + " }")
        return fields

    def write(self):
        text = "\n".join(self.lines)
        head = "-- Golden cases: %s.\n" % self.holds
        head += "-- Made by make_ops.py from PyTorch %s; spec/support/golden.lua tells the form.\n" % torch.__version__.split("+")[0]
        head += "-- luacheck: ignore 631\n"
        code = re.sub(r'"[^"]*"', "", text)
        for name, value in (("nan", "0 / 0"), ("inf", "math.huge")):
            if re.search(r"\b%s\b" % name, code):
                head += "local %s = %s\n" % (name, value)
        path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "ops_%s.lua" % self.name)
        with open(path, "w") as f:
            f.write(head + "return {\n" + text + "\n}\n")
        print("%-10s %5d cases %7d bytes" % (self.name, len(self.lines), os.path.getsize(path)))
        return len(self.lines)
