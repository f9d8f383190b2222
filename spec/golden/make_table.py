"""Writes table.lua and table.safetensors: PyTorch's answer to every sample of the op table.

    lua spec/support/dump_cases.lua FOLDER && python spec/golden/make_table.py FOLDER        (`make golden-table`)

Each sample is called in every dtype it can be built in, as a function (or method) and in place, floats also in other
layouts and with gradients. spec/support/golden_table.lua tells the form of what is written, and replays it. Positions
are shifted by the schemas' types; RULES below are the only other ones. Names are looked up where PyTorch has them; those it
lacks are listed in the output.
"""
import ast
import inspect
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import warnings

import torch

import schemas

warnings.simplefilter("ignore")
torch.set_num_threads(1)

HERE = os.path.dirname(os.path.abspath(__file__))
LETTERS = {"float64": "d", "float32": "s", "float16": "h", "bfloat16": "b", "int64": "q", "int32": "i", "int16": "t",
           "int8": "c", "uint8": "u", "bool": "o"}
CODES = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32",
         "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL"}
DTYPE_OF = {code: getattr(torch, name) for name, code in CODES.items()}
# Relative and absolute differences up to which two runs of PyTorch count as equal; exact otherwise.
NEAR = {torch.float64: (1e-12, 1e-14), torch.float32: (1e-6, 1e-7)}

# What the types in a schema do not tell. (operator, argument): how its values are shifted.
RULES = {
    ("tensor_split", "indices"): "position",       # the first element of each later piece
    ("hsplit", "indices"): "position", ("vsplit", "indices"): "position", ("dsplit", "indices"): "position",
    ("slice_scatter", "end"): "last",              # the last position, not the one behind it
    ("nll_loss", "ignore_index"): "label",         # a label
    ("cross_entropy", "ignore_index"): "label",    # a label
    ("cross_entropy", "target"): "index",          # labels, or probabilities if it holds floats
    ("index_put", "indices"): "index",             # a list, in which masks stay
    ("narrow", "start"): "position",               # a number, or a tensor of one
    ("tensor_split", "tensor_indices_or_sections"): "indices",  # as above, or of no dims and a number of pieces
}
# Results that are there if asked for: the second one holds positions only if this is true.
ASKED = {"unique": "return_inverse", "unique_consecutive": "return_inverse"}
# Their defaults are given: PyTorch has none, or other ones in the function of that name.
DEFAULTS = {"dropout", "ctc_loss"}
# Lists of tensors that hold positions.
POSITION_LISTS = {"unravel_index", "where", "nonzero"}
# The layout is what these look at.
ONE_LAYOUT = {"as_strided", "as_strided_scatter"}
# Where dims are expanded, medians are garbage in PyTorch, quantiles choose among equals, and matrices are singular.
ONE_LESS = {name: "cts" for name in ("median", "nanmedian", "quantile", "nanquantile", "slogdet")}
# Drawn by MKL in PyPI's builds of PyTorch; rng.lua has them from one that is built without it.
OTHER_STREAM = {"bernoulli", "dropout", "exponential", "alpha_dropout", "feature_dropout"}
# Given positions out of range, modes that do not exist or too few coordinates, these read behind the end, wrap, or give
# what was in memory: no answer to compare with.
UNCHECKED = {"take_along_dim", "unravel_index", "ctc_loss", "grid_sampler", "kl_div", "gradient"}
# What these give for infinities depends on the algorithm: products with padding, powers in a wider type, pivots.
ORDINARY = re.compile("conv|norm$|^renorm|dist|^cosine|^cov|det$|^matrix_power|^linalg|^inverse|^cholesky|^lu|^qr|^svd")
# Arguments that PyTorch does not have: the call is then one of moontorch's own.
OWN_ARGUMENTS = {"broadcast"}


def dtype_name(dtype):
    return str(dtype)[6:]


# Files ----------------------------------------------------------------------------------------------------------------

def read_safetensors(path):
    with open(path, "rb") as f:
        data = f.read()
    size = struct.unpack("<Q", data[:8])[0]
    header, out = json.loads(data[8:8 + size]), {}
    for name, entry in header.items():
        if name != "__metadata__":
            first, last = entry["data_offsets"]
            raw = bytearray(data[8 + size + first:8 + size + last])
            dtype = DTYPE_OF[entry["dtype"]]
            t = torch.frombuffer(raw, dtype=dtype) if raw else torch.empty(0, dtype=dtype)
            out[name] = t.reshape(entry["shape"])
    return out


def packed(t):
    """The bytes of all elements in order."""
    return torch.empty(t.numel(), dtype=t.dtype).copy_(t.detach().reshape(-1)).view(torch.uint8)


class Pool:
    """All values, by dtype."""

    def __init__(self):
        self.parts = {}

    def add(self, t):
        if t.numel():
            self.parts.setdefault(dtype_name(t.dtype), []).append(packed(t).numpy().tobytes())

    def write(self, path):
        header, at, blocks = {}, 0, []
        names = [n for n in LETTERS if n in self.parts]
        names.sort(key=lambda n: -getattr(torch, n).itemsize)
        for name in names:
            block = b"".join(self.parts[name])
            header[name] = {"dtype": CODES[name], "shape": [len(block) // getattr(torch, name).itemsize],
                            "data_offsets": [at, at + len(block)]}
            at += len(block)
            blocks.append(block)
        header["__metadata__"] = {"torch": VERSION}
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with open(path, "wb") as f:
            f.write(struct.pack("<Q", len(text)) + text + b"".join(blocks))


VERSION = torch.__version__.split("+")[0]


# Arguments ------------------------------------------------------------------------------------------------------------

class Zero(Exception):
    """A position 0: nothing that PyTorch could be asked."""


def shifted(v, how):
    if isinstance(v, torch.Tensor):
        if how == "indices" and v.ndim == 0:
            return v
        if v.dtype.is_floating_point or v.dtype == torch.bool:
            return v
        if (v == 0).any():
            raise Zero()
        return torch.where(v > 0, v - 1, v)
    if isinstance(v, list):
        return [shifted(x, how) for x in v]
    if isinstance(v, int) and not isinstance(v, bool):
        if how == "last" and v != 0:
            return v if v > 0 else v + 1 or None
        if v == 0 and how != "label":
            raise Zero()
        return v - 1 if v > 0 else v
    return v


TYPES = {"D": "position", "P": "position", "I": "index"}


def decode(v, tensors):
    if isinstance(v, dict):
        if "tensor" in v:
            return tensors[v["tensor"] - 1]
        if "list" in v:
            return [decode(x, tensors) for x in v["list"]]
        return float(v["float"])
    return v


def argument(schema, key, v):
    p = schema.parameter(key)
    if v is None or p is None:
        return v
    how = RULES.get((schema.name, p.name)) or TYPES.get(p.kind)
    if p.type == "dtype" and isinstance(v, str):
        return getattr(torch, v)
    if schema.name == "layer_norm" and p.type == "Size" and isinstance(v, int):  # one dim, as nn.LayerNorm takes it
        return [v]
    return shifted(v, how) if how else v


# Layouts: as in spec/support/samples.lua --------------------------------------------------------------------------------

def laid_out(t, layout):
    if layout == "t" and t.ndim > 1:
        return t.transpose(0, -1).clone(memory_format=torch.contiguous_format).transpose(0, -1)
    if layout == "s" and t.ndim and t.numel():
        base = torch.zeros(t.shape[:-1] + (2 * t.shape[-1] + 1,), dtype=t.dtype)
        view = base[..., 1::2]
        return view.copy_(t)
    if layout == "e" and t.ndim and t.shape[0] and t.dtype.is_floating_point:
        return t[:1].expand(t.shape)
    return t.clone(memory_format=torch.contiguous_format)


# Calls ----------------------------------------------------------------------------------------------------------------

MODULES = (torch, torch.nn.functional, torch.special, torch.linalg, torch.fft)
PREFIXES = {"special_": torch.special, "linalg_": torch.linalg, "fft_": torch.fft}


def function(schema):
    """PyTorch's function of that name, and whether it may be called by our parameters' names. One that is written in
    Python and has them comes first: other parameters may stand between them there."""
    spelled = [schema.name + "_with_indices"] if "Index" in schema.returns else []
    found = [getattr(m, n) for n in spelled + [schema.name] for m in MODULES if callable(getattr(m, n, None))]
    for prefix, module in PREFIXES.items():
        if schema.name.startswith(prefix) and callable(getattr(module, schema.name[len(prefix):], None)):
            found.append(getattr(module, schema.name[len(prefix):]))
    names = [p.name for p in schema.params]
    if any(p.name == "reduction" and p.type == "int" for p in schema.params):  # torch.nn.functional's is a string
        return found[0], False
    for f in found:
        try:
            given = list(inspect.signature(f).parameters)
        except (ValueError, TypeError):
            continue
        if set(names) - OWN_ARGUMENTS <= set(given):
            return f, True
    return (found[0], False) if found else (None, False)


def spread(schema, args):
    """Arguments as torch.name takes them: a list of tensors spread where it is one of any length, other lists as lists, and
    what PyTorch requires where we have a default."""
    if args and schema.params[0].varargs and schema.params[0].type == "Tensor[]" and schema.name != "meshgrid" and \
            not schema.name.startswith("atleast_"):  # those tell a list of one tensor from a tensor
        return args[0] + args[1:]
    last = len(args) - 1
    if last > 0 and schema.parameter(last) and schema.parameter(last).varargs and isinstance(args[last], int):
        args = args[:last] + [[args[last]]]
    if schema.name == "tensordot" and len(args) == 4:
        args = args[:2] + [tuple(d if isinstance(d, list) else [d] for d in args[2:])]
    return args


def completed(schema, args, kw):
    if schema.name not in DEFAULTS:
        return kw
    return {**{p.name: ast.literal_eval(p.default) for p in schema.params[len(args):] if p.default}, **kw}


def caller(schema, form):
    if form == "f":
        f, by_name = function(schema)
        if schema.name in DEFAULTS:
            f = getattr(torch, schema.name)
            return lambda args, kw: f(*args, **completed(schema, args, kw))
        if by_name:
            names = [p.name for p in schema.params]
            if schema.params[0].varargs:
                return lambda args, kw: f(*spread(schema, args), **kw)
            return lambda args, kw: f(args[0], **dict(zip(names[1:], args[1:])), **kw)
        return f and (lambda args, kw: f(*spread(schema, args), **kw))
    name = schema.name + ("_" if form == "i" else "")
    if form == "i" and not hasattr(torch.Tensor, name):
        f = getattr(torch, name, None) or getattr(torch.nn.functional, name, None)
        return f and (lambda args, kw: f(*spread(schema, args), **completed(schema, args, kw)))
    if not hasattr(torch.Tensor, name):
        return None
    def method(args, kw):
        if not isinstance(args[0], torch.Tensor):
            raise TypeError("not a tensor")
        return getattr(args[0], name)(*args[1:], **kw)
    return method


def gradient_of(out):
    """The gradient handed to backward: element i, counted from 0, is (3 i mod 7 - 3) / 4."""
    i = torch.arange(out.numel())
    return ((3 * i % 7 - 3) / 4).to(out.dtype).reshape(out.shape)


def flat(results):
    return [r for x in results for r in (x if isinstance(x, list) else [x])]


class Outcome:
    """results (numbers, tensors, one list of tensors), leaves' marks and gradients; or an exception."""

    def __init__(self, results=None, marks="", grads=(), error=None):
        self.results, self.marks, self.grads, self.error = results, marks, list(grads), error


def one_based(t):
    return torch.where(t >= 0, t + 1, t)


def results_of(schema, out, asked):
    if schema.gives_list:
        out = list(out)
        return [[one_based(t) for t in out] if schema.name in POSITION_LISTS else out]
    results = list(out) if isinstance(out, (tuple, list)) else [out]
    return [one_based(r) if k in schema.positions and asked else r for k, r in enumerate(results)]


def attempt(schema, call, spec, tensors, form, wanted):
    """One call, with gradients for the tensors whose numbers are in `wanted`."""
    tensors = [t.detach().requires_grad_() if k in wanted else t for k, t in enumerate(tensors)]
    args = [argument(schema, k, decode(v, tensors)) for k, v in enumerate(spec["args"])]
    kw = {k: argument(schema, k, decode(v, tensors)) for k, v in spec["keywords"].items()}
    torch.manual_seed(11)
    asked = True
    if schema.name in ASKED:
        at = next(k for k, p in enumerate(schema.params) if p.name == ASKED[schema.name])
        asked = kw.get(ASKED[schema.name], at < len(args) and args[at])
    results = results_of(schema, call(args, kw), asked)
    outs = [r for r in flat(results) if isinstance(r, torch.Tensor) and r.requires_grad]
    if outs:
        torch.autograd.backward(outs, [gradient_of(r) for r in outs])
    grads = [tensors[k].grad for k in sorted(wanted)]
    return results, [g.to_dense() if g is not None and g.is_sparse else g for g in grads], bool(outs)


def run(schema, call, spec, tensors, form, gradients):
    floats = [k for k, t in enumerate(tensors) if t.dtype.is_floating_point]
    try:
        results, _, _ = attempt(schema, call, spec, [t.clone() if form == "i" else t for t in tensors], form, [])
    except Zero:
        raise
    except Exception as e:
        return Outcome(error=e)
    if not gradients or not floats:
        return Outcome(results)
    wanted = []
    for k in floats:  # those that have a derivative
        try:
            if attempt(schema, call, spec, tensors, form, [k])[2]:
                wanted.append(k)
        except RuntimeError:
            pass
    if not wanted:
        return Outcome(results)
    _, grads, _ = attempt(schema, call, spec, tensors, form, wanted)
    marks, k = "", 0
    for n in floats:
        if n in wanted:
            marks += "0" if grads[k] is None else "1"
            k += 1
        else:
            marks += "-"
    return Outcome(results, marks, grads)


def same_tensor(a, b):
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype in NEAR:
        return torch.allclose(a, b, *NEAR[a.dtype], equal_nan=True)
    return torch.equal(packed(a), packed(b))


def same(a, b):
    if a.error or b.error or a.marks != b.marks or len(a.results) != len(b.results):
        return False
    x, y = flat(a.results), flat(b.results)
    if len(x) != len(y):
        return False
    pairs = list(zip(x, y)) + [(p, q) for p, q in zip(a.grads, b.grads) if p is not None and q is not None]
    return all(same_tensor(p.detach(), q.detach()) if isinstance(p, torch.Tensor) else p == q for p, q in pairs)


# Writing --------------------------------------------------------------------------------------------------------------

class Writer:
    def __init__(self):
        self.pool, self.messages, self.counts = Pool(), {}, {}

    def message(self, error):
        if isinstance(error, TypeError):
            return 0
        text = str(error).strip().split("\n")[0]
        if not text:
            return 0
        return self.messages.setdefault(text, len(self.messages) + 1)

    def tensor(self, t, unwritten):
        if not unwritten:
            self.pool.add(t)
        return ("~" if unwritten else "") + LETTERS[dtype_name(t.dtype)] + ",".join(map(str, t.shape))

    def result(self, r, unwritten):
        if isinstance(r, list):
            return "[" + ";".join(self.tensor(t, unwritten) for t in r) + "]"
        if isinstance(r, torch.Tensor):
            return self.tensor(r, unwritten)
        return "#" + ({True: "true", False: "false"}[r] if isinstance(r, bool) else repr(r))

    def outcome(self, o, unwritten):
        if o.error:
            return "!%d" % self.message(o.error)
        text = ":" + ";".join(self.result(r, unwritten) for r in o.results)
        if o.marks:
            text += "/" + o.marks
            for g in o.grads:
                if g is not None and not unwritten:
                    self.pool.add(g)
        return text


def tensors_of(inputs, number):
    tensors = []
    while "%d.%d" % (number, len(tensors) + 1) in inputs:
        tensors.append(inputs["%d.%d" % (number, len(tensors) + 1)])
    return tensors


def answer(writer, spec, schema, inputs, survives):
    """All runs of one sample, spelled; None where PyTorch has no such operator. survives(what): does PyTorch outlive it?"""
    if any(p and p.name in OWN_ARGUMENTS for p in
           [schema.parameter(k) for k in range(len(spec["args"]))] + [schema.parameter(k) for k in spec["keywords"]]):
        return []
    forms = []
    if not spec["inplace_only"]:
        forms.append("f" if spec["func"] and function(schema)[0] else "m" if spec["method"] else "f")
    if spec["inplace"] or spec["inplace_only"]:
        forms.append("i")
    words, known = [], False
    unwritten = spec["unwritten"] or spec["random"] and schema.name in OTHER_STREAM
    for dtype, number in spec["runs"].items():
        plain = tensors_of(inputs, number)
        pure = None
        for form in forms:
            call = caller(schema, form)
            if call is None:
                continue
            known = True
            if not survives("%s %s" % (schema.name, spec["sample"])):
                continue
            layouts = "c"
            if form != "i" and not spec["refused"] and dtype in ("float32", "float64") and plain and \
                    not spec["random"] and schema.name not in ONE_LAYOUT:
                layouts = ONE_LESS.get(schema.name, "ctse")
            for layout in layouts:
                tensors = [laid_out(t, layout) for t in plain]
                gradients = form != "i" and dtype in ("float32", "float64") and not spec["random"]
                try:
                    o = run(schema, call, spec, tensors, form, gradients)
                except Zero:
                    continue
                if spec["refused"] and schema.name in UNCHECKED and not o.error:
                    continue
                code = LETTERS[dtype] + layout + form
                compared = pure
                if form == "i" and pure and not pure.error and isinstance(pure.results[0], torch.Tensor):
                    compared = Outcome([pure.results[0].detach().to(plain[0].dtype)])
                if compared and not unwritten and same(o, compared):
                    words.append(code + "=")
                else:
                    words.append(code + writer.outcome(o, unwritten))
                if layout == "c" and form != "i":
                    pure = o
        if dtype in spec["special"] and not ORDINARY.search(schema.name) and known and \
                survives("%s %s with special values" % (schema.name, spec["sample"])):
            gradients = dtype in ("float32", "float64") and forms[0] != "i"
            o = run(schema, caller(schema, forms[0]), spec, tensors_of(inputs, spec["special"][dtype]), forms[0], gradients)
            words.append(LETTERS[dtype] + "x" + forms[0] + writer.outcome(o, unwritten))
    return words if known else None


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def main(folder):
    """Runs `write` in processes of its own until one comes to its end: what killed the others is left out."""
    deadly, note = [], os.path.join(folder, "running")
    while True:
        child = subprocess.run([sys.executable, __file__, folder, "--write", note] + deadly, check=False)
        if child.returncode >= 0:
            if deadly:
                print("PyTorch dies of " + "; ".join(deadly))
            sys.exit(child.returncode)
        with open(note) as f:
            what = f.read()
        assert what and what not in deadly, "PyTorch died outside of a call"
        deadly.append(what)


def write(folder, note, deadly):
    def survives(what):
        with open(note, "w") as f:
            f.write(what)
        return what not in deadly

    shutil.copy(os.path.join(folder, "schemas.txt"), os.path.join(HERE, "schemas.txt"))
    with open(os.path.join(folder, "calls.json")) as f:
        calls = json.load(f)
    inputs = read_safetensors(os.path.join(folder, "inputs.safetensors"))
    writer, lines, absent, count, last = Writer(), [], [], 0, None
    for spec in calls:
        schema = schemas.Schema(spec["schema"])
        words = answer(writer, spec, schema, inputs, survives)
        if words is None:
            if schema.name not in absent:
                absent.append(schema.name)
            continue
        if not words:
            continue
        if spec["schema"] != last:
            if last:
                lines.append("  },")
            lines.append("  { %s," % quoted(spec["schema"]))
            last = spec["schema"]
        count += len(words)
        lines.append('    { %s, "%s", "%s" },' % (quoted(spec["sample"]), spec["checksum"], " ".join(words)))
    lines.append("  },")
    head = ["-- Golden cases of every operator: PyTorch %s's answers to the samples of the op table." % VERSION,
            "-- Made by make_table.py; spec/support/golden_table.lua tells the form.", "-- luacheck: ignore 631",
            'return {\n  torch = "%s",\n  messages = {' % VERSION]
    head += ["    %s," % quoted(m) for m in writer.messages] + ["  },"]
    path = os.path.join(HERE, "table.lua")
    with open(path, "w") as f:
        f.write("\n".join(head + lines) + "\n}\n")
    values = os.path.join(HERE, "table.safetensors")
    writer.pool.write(values)
    print("%d cases, %d messages, %d + %d bytes" % (count, len(writer.messages), os.path.getsize(path), os.path.getsize(values)))
    if absent:
        print("PyTorch has no " + ", ".join(absent))


if __name__ == "__main__":
    if "--write" in sys.argv:
        write(sys.argv[1], sys.argv[3], sys.argv[4:])
    else:
        main(sys.argv[1])
