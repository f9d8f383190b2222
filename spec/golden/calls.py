"""Calls of torch.nn and torch.nn.functional: PyTorch's answers, and their translation to moontorch's dialect.

calls_*.py describe the calls, make_functional.py writes them, spec/support/golden_calls.lua tells the form of what is
written and replays it. Everything that counts from 0 in Python is shifted here and nowhere else: arguments called as in
SHIFTED, tensors of positions, results that are positions, numbers inside texts.
"""
import inspect
import re
from collections import OrderedDict

import torch
import torch.nn as nn

F = torch.nn.functional
inf, nan = float("inf"), float("nan")
DTYPES = {"d": torch.float64, "s": torch.float32, "h": torch.float16, "b": torch.bfloat16}
LETTERS = {torch.float64: "d", torch.float32: "s", torch.float16: "h", torch.bfloat16: "b", torch.int64: "q",
           torch.int32: "i", torch.int16: "t", torch.int8: "c", torch.uint8: "u", torch.bool: "o"}
SHIFTED = ("dim", "start_dim", "end_dim", "padding_idx", "blank", "ignore_index")
# (a, b) of the tensors of a call, in turn.
STEPS = ((7, 0), (5, 3), (11, 9), (3, 1), (13, 4), (9, 2))
# Parameters of functions that do not tell them.
PARAMETERS = {name: inspect.signature(eval("lambda %s: 0" % text)) for names, text in {
    "conv1d conv2d conv3d": "input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1",
    "conv_transpose1d conv_transpose2d conv_transpose3d":
        "input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1",
    "avg_pool1d": "input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True",
    "avg_pool2d avg_pool3d":
        "input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None",
    "max_pool1d max_pool2d max_pool3d":
        "input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False",
    "adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d": "input, output_size, return_indices=False",
    "cosine_similarity": "x1, x2, dim=1, eps=1e-8", "pairwise_distance": "x1, x2, p=2.0, eps=1e-6, keepdim=False",
    "pdist": "input, p=2.0", "softplus": "input, beta=1, threshold=20", "softshrink hardshrink": "input, lambd=0.5",
    "pixel_shuffle": "input, upscale_factor", "pixel_unshuffle": "input, downscale_factor", "one_hot": "tensor, num_classes=-1",
    "linear": "input, weight, bias=None", "bilinear": "input1, input2, weight, bias=None", "prelu": "input, weight",
}.items() for name in names.split()}
# Functions that arguments may name.
FUNCTIONS = {"relu": F.relu, "gelu": F.gelu, "tanh": torch.tanh, "manhattan": lambda a, b: (a - b).abs().sum(-1)}


class X:
    """A tensor: element i, counted from 0, is ((i * a + b) mod m - s) / d, or given values. kind: f floats of the call's
    dtype (g: with a gradient), i positions from 0, n other integers, o booleans."""

    def __init__(self, *shape, kind="f", g=None, a=None, b=0, m=29, s=14, d=8, dtype=None, values=None):
        self.shape, self.kind, self.g = shape, kind, kind == "f" if g is None else g
        self.a, self.b, self.m, self.s, self.d, self.dtype, self.values = a, b, m, s, d, dtype, values

    def settle(self, number):
        """Tensors of one call differ unless they are told not to."""
        if self.a is None:
            self.a, self.b = STEPS[number % len(STEPS)]
        return self

    def make(self, dtype):
        n = 1
        for size in self.shape:
            n *= size
        values = self.values if self.values is not None else [(i * self.a + self.b) % self.m - self.s for i in range(n)]
        if self.kind == "f":
            if self.values is None:
                values = [v / self.d for v in values]
            t = torch.tensor(values, dtype=DTYPES[self.dtype] if self.dtype else dtype)
        elif self.kind == "o":
            t = torch.tensor([bool(v) for v in values], dtype=torch.bool)
        else:
            t = torch.tensor(values, dtype=getattr(torch, self.dtype or "int64"))
        t = t.reshape(self.shape).clone()  # no view, which in-place calls would name
        return t.requires_grad_() if self.g else t

    def lua(self):
        kind = "c" if self.kind == "f" and not self.g else self.kind
        text = kind + ",".join(map(str, self.shape))
        if self.values is not None:
            values = [v + 1 if self.kind == "i" and v >= self.first() else v for v in self.values]
            text += "=" + " ".join(bare(int(v) if isinstance(v, bool) else v) for v in values)
        else:
            s = self.s - (self.kind == "i")
            usual = (self.m, s, self.d) == (29, 14, 8) and (self.a, self.b) in STEPS
            text += ";" + (str(STEPS.index((self.a, self.b))) if usual else
                           "%d,%d,%d,%d,%s" % (self.a, self.b, self.m, s, bare(self.d)))
        return 'x"%s"' % (text + ("@" + self.dtype if self.dtype else ""))

    def first(self):
        """The first position: those before it are no positions and stay."""
        return 0


def C(*shape, **more):
    """A tensor of floats without gradient."""
    return X(*shape, g=False, **more)


def I(*shape, classes, a=3, **more):
    """Positions 0 to classes - 1."""
    return X(*shape, kind="i", a=a, m=classes, s=0, d=1, **more)


def N(*shape, m=97, s=0, a=1, **more):
    """Integers that are no positions."""
    return X(*shape, kind="n", a=a, m=m, s=s, d=1, **more)


def B(*shape, m=3, s=1, **more):
    """Booleans."""
    return X(*shape, kind="o", m=m, s=s, d=1, **more)


def V(values, kind="f", **more):
    """Given values: a flat list, or rows."""
    shape, flat = [], values
    while isinstance(flat, list):
        shape.append(len(flat))
        flat = flat[0] if flat else 0
    while values and isinstance(values, list) and isinstance(values[0], list):
        values = [v for row in values for v in row]
    return X(*more.pop("shape", shape), kind=kind, values=values if isinstance(values, list) else [values], **more)


class EndMark(X):
    """Labels whose -1 ends a row, which is 0 in moontorch."""

    def first(self):
        return -1


class Fn:
    """A function by name."""

    def __init__(self, name):
        self.name = name


class M:
    """A module that is an argument, or the one that is called: its class, and the constructor's arguments."""

    def __init__(self, name, *args, **kw):
        self.name, self.args, self.kw = name, args, kw

    def make(self, dtype):
        return getattr(nn, self.name)(*[make(a, dtype) for a in self.args], **{k: make(v, dtype) for k, v in self.kw.items()})


class D:
    """A dict, as pairs in order."""

    def __init__(self, *pairs):
        self.pairs = pairs


class P:
    """A number that is a position."""

    def __init__(self, at):
        self.at = at


def make(v, dtype, made=None):
    """What v describes. made: where the tensors are noted, by the description's id."""
    if isinstance(v, M):
        return v.make(dtype)
    if isinstance(v, X):
        t = v.make(dtype)
        if made is not None:
            made.setdefault(id(v), []).append(t)
        return t
    if isinstance(v, Fn):
        return FUNCTIONS[v.name]
    if isinstance(v, D):
        return OrderedDict((k, make(x, dtype)) for k, x in v.pairs)
    if isinstance(v, P):
        return v.at
    if isinstance(v, (list, tuple)):
        return type(v)(make(x, dtype, made) for x in v)
    return v


def descriptions(v):
    """The tensors' descriptions in v, in order."""
    if isinstance(v, X):
        return [v]
    return [x for part in v for x in descriptions(part)] if isinstance(v, (list, tuple)) else []


def in_order(made, args, kw):
    """The tensors of a call in the order in which the Lua text names them."""
    return [made[id(x)].pop(0) for x in descriptions(list(args) + list(kw.values()))]


def taking_gradients(tensors):
    return [t for t in tensors if t.requires_grad]


# Lua ------------------------------------------------------------------------------------------------------------------

def bare(v):
    if v != v:
        return "nan"
    if v in (inf, -inf):
        return "inf" if v > 0 else "-inf"
    return repr(v)


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def lua(v):
    if v is None:
        return "none"
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, X):
        return v.lua()
    if isinstance(v, Fn):
        return 'fn"%s"' % v.name
    if isinstance(v, M):
        return "m(%s)" % call_text((v.name,) + v.args, shifted(v.kw))
    if isinstance(v, P):
        return str(v.at + 1 if v.at >= 0 else v.at)
    if isinstance(v, D):
        return "{" + ",".join("{%s,%s}" % (quoted(k), lua(x)) for k, x in v.pairs) + "}"
    if isinstance(v, torch.dtype):
        return quoted(str(v)[6:])
    if isinstance(v, str):
        return quoted(v)
    if isinstance(v, dict):
        return "{" + ",".join("%s=%s" % (k, lua(x)) for k, x in v.items()) + "}"
    if isinstance(v, (list, tuple)):
        return "{" + ",".join(lua(x) for x in v) + "}"
    return bare(v)


def call_text(args, kw):
    parts = [lua(a) for a in args] + ([lua(kw)] if kw else [])
    return ",".join(parts)


def shift(name, v):
    if name in SHIFTED and not isinstance(v, bool):
        if isinstance(v, int):
            return v + 1 if v >= 0 else v
        if isinstance(v, (list, tuple)):
            return type(v)(shift(name, x) for x in v)
    return v


def shifted(kw):
    return {k: shift(k, v) for k, v in kw.items()}


def parameters_of(f, name):
    if name in PARAMETERS:
        return PARAMETERS[name].parameters
    try:
        found = dict(inspect.signature(f).parameters)
    except (ValueError, TypeError):
        return {}
    found.pop("self", None)
    return {} if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in found.values()) else found


def translated(f, name, args, kw, positional):
    """Arguments for Lua: as they are, or as far as possible by position."""
    parameters = parameters_of(f, name)
    args = list(args)
    for k, p in enumerate(parameters):
        if k < len(args):
            args[k] = shift(p, args[k])
    kw = shifted(kw)
    if positional and parameters:
        names = [p for p, v in parameters.items() if v.kind != v.KEYWORD_ONLY]
        last = max([names.index(k) for k in kw if k in names], default=-1)
        while len(args) <= last:
            p = names[len(args)]
            default = parameters[p].default
            if p in kw:
                args.append(kw.pop(p))
            elif default is inspect.Parameter.empty:
                break
            else:
                args.append(Fn(default.__name__) if inspect.isfunction(default) else shift(p, default))
    return args, kw


# Calls ----------------------------------------------------------------------------------------------------------------

def gradient_of(out):
    """The gradient handed to backward: element i, counted from 0, is (3 i mod 7 - 3) / 4."""
    i = torch.arange(out.numel())
    return ((3 * i % 7 - 3) / 4).to(out.dtype).reshape(out.shape)


def flat(v):
    """Tensors in results, in order."""
    if isinstance(v, torch.Tensor):
        return [v]
    if isinstance(v, (list, tuple)):
        return [t for x in v for t in flat(x)]
    return []


def backward(outs):
    outs = [o for o in outs if o.requires_grad]
    if outs:
        torch.autograd.backward(outs, [gradient_of(o) for o in outs])
    return bool(outs)


def first_sentence(error):
    """What our message must say: sets, which Python prints in any order, end it."""
    return re.split(r"(?<=\w{2})\. |\n| one of {", str(error), maxsplit=1)[0][:240]


def text_of(module):
    """The text with positions from 1, those of containers too."""
    text = re.sub(r"\b(dim|start_dim|end_dim|padding_idx)=(\d+)", lambda m: "%s=%d" % (m[1], int(m[2]) + 1), repr(module))
    up = lambda m: str(int(m[0]) + 1)
    return re.sub(r"(?m)((?:^|\() *)\((\d+(?:-\d+)?)\): ", lambda m: "%s(%s): " % (m[1], re.sub(r"\d+", up, m[2])), text)


def fill(parameters):
    """Parameter k, counted from 0: ((i i + 7 i + 3 k) mod 31 - 15) / 32."""
    for k, p in enumerate(parameters):
        i = torch.arange(p.numel(), dtype=torch.float64)
        with torch.no_grad():
            p.copy_((((i * i + 7 * i + 3 * k) % 31 - 15) / 32).reshape(p.shape))


class Group:
    """The calls of one name: lines, and tensors as (description, dtype, bytes), which the lines name as <number>."""

    def __init__(self):
        self.lines, self.tensors, self.made = [], [], set()

    def add(self, t):
        plain = torch.empty(t.numel(), dtype=t.dtype).copy_(t.detach().reshape(-1))
        data = plain.view(torch.uint8).numpy().tobytes() if t.numel() else b""
        self.tensors.append((LETTERS[t.dtype] + ",".join(map(str, t.shape)), str(t.dtype)[6:], data))
        return "<%d>" % (len(self.tensors) - 1)


def take_step(module, step, args):
    """A step of a container: slice, set, + and * are operators, the others methods."""
    if step == "slice":
        return module[slice(*args)]
    if step == "set":
        module[args[0]] = args[1]
    elif step == "+":
        return module + args[0]
    elif step == "*":
        return module * args[0]
    else:
        getattr(module, step)(*args)
    return module


class Calls:
    """Collects the answers in groups[(space, name)]. `drawn`: only calls that draw, which another PyTorch answers.
    `refused`: what went otherwise than the caller said."""

    def __init__(self, drawn=False):
        self.groups, self.drawn, self.count, self.refused = {}, drawn, 0, []
        self.turns = "dss"
        self.double, self.single, self.paired, self.odd = torch.float64, torch.float32, False, 0

    def take(self, t):
        """Stores a tensor, returns what stands for its description."""
        return self.group.add(t)

    def begin(self, space, name):
        self.count += 1
        self.group = self.groups.setdefault(space + "." + name, Group())

    def add(self, fields):
        self.group.lines.append("{" + ",".join("%s=%s" % item for item in fields.items()) + "},")

    def pick(self, dtype):
        """Calls take turns: single and double precision, or two of each for those of `twins`."""
        count = (self.count - self.odd) // 2 if self.paired else self.count
        return dtype or self.turns[count % len(self.turns)]

    def twins(self, first, second):
        """Two calls of one dtype, so that equal values are stored once."""
        self.paired, self.odd = True, (self.count + 1) % 2
        first()
        second()
        self.paired = False

    def turn(self):
        return self.count % 3 == 0

    def f(self, name, *args, _err=False, _dtype=None, _drawn=False, _seed=None, **kw):
        """A call of torch.nn.functional.name."""
        self.call("F", F, name, args, kw, _err, _dtype, _drawn, _seed)

    def init(self, name, *args, _err=False, _dtype=None, _drawn=False, _seed=5, **kw):
        """A call of torch.nn.init.name."""
        self.call("init", nn.init, name, args, kw, _err, _dtype, _drawn, _seed)

    def call(self, space, module, name, args, kw, _err, _dtype, _drawn, _seed):
        if _drawn != self.drawn:
            return
        self.begin(space, name)
        letter, f = self.pick(_dtype), getattr(module, name)
        settle(args, kw)
        lua_args, lua_kw = translated(f, name, args, kw, self.turn())
        fields = {"dtype": quoted(letter), "args": "{" + call_text(lua_args, lua_kw) + "}"}
        tensors = {}
        given = [make(a, DTYPES[letter], tensors) for a in args]
        more = {k: make(v, DTYPES[letter], tensors) for k, v in kw.items()}
        tensors = in_order(tensors, lua_args, lua_kw)
        leaves, before = taking_gradients(tensors), [t.detach().clone() for t in tensors]
        in_place = name.endswith("_") or kw.get("inplace")
        if in_place and not _err:
            given[0] = given[0].clone()
        if _seed is not None:
            torch.manual_seed(_seed)
            fields["seed"] = str(_seed)
        try:
            out = f(*given, **more)
        except Exception as e:
            if not _err:
                self.refused.append("%s %s: %s" % (name, fields["args"], first_sentence(e)))
            fields["err"] = quoted(first_sentence(e))
            return self.add(fields)
        if _err:
            self.refused.append("%s %s: NOT REFUSED" % (name, fields["args"]))
        if in_place:
            fields["inplace"] = "true"
        if isinstance(out, float):
            out = torch.tensor(out, dtype=torch.float64)
        self.outcome(fields, out, leaves)
        self.changes(fields, before, tensors)
        self.add(fields)

    def outcome(self, fields, out, leaves):
        outs = flat(out)
        several = isinstance(out, (tuple, list))
        fields["out"] = quoted(";".join(("*" if o.requires_grad else "") +
                                        self.take(o + 1 if several and o.dtype == torch.int64 else o) for o in outs))
        try:
            walked = backward(outs)
        except RuntimeError as e:
            fields["fails"] = quoted(first_sentence(e))
            return
        if walked and leaves:
            fields["grads"] = quoted(";".join("-" if t.grad is None else self.take(t.grad) for t in leaves))

    def changes(self, fields, before, tensors):
        """Arguments and parameters that the call wrote to."""
        now = ["-" if torch.equal(a.nan_to_num(7.5), t.detach().nan_to_num(7.5)) else self.take(t) for a, t in zip(before, tensors)]
        if any(text != "-" for text in now):
            fields["changed"] = quoted(";".join(now))

    def m(self, module, *inputs, _train=True, _calls=1, _err=False, _dtype=None, _drawn=False, **kw):
        """A call of a module (an M). kw: keywords of forward."""
        if _drawn != self.drawn:
            return
        self.begin("nn", module.name)
        letter, cls = self.pick(_dtype), getattr(nn, module.name)
        dtype = DTYPES[letter]
        settle(module.args, module.kw)
        settle(inputs, kw)
        lua_args, lua_kw = translated(cls.__init__, module.name, module.args, module.kw, self.turn())
        fields = {"dtype": quoted(letter), "make": "{" + call_text(lua_args, lua_kw) + "}"}
        torch.manual_seed(7)
        try:
            made = module.make(torch.float32)
        except Exception as e:
            if not _err:
                self.refused.append("%s %s: %s" % (module.name, fields["make"], first_sentence(e)))
            fields["err"] = quoted(first_sentence(e))
            return self.add(fields)
        state = made.state_dict()
        if fields["make"] not in self.group.made:
            fields["text"] = quoted(text_of(made))
        if state and "text" in fields:
            fields["state"] = quoted(" ".join("%s:%s" % (k, ",".join(map(str, v.shape))) for k, v in state.items()))
            # what the constructor drew, and the draw after it
            start = [p.double().reshape(-1) for p in made.parameters()]
            total = sum(float((p * torch.arange(1, p.numel() + 1)).sum()) for p in start)
            fields["start"] = "%.8g" % total
            fields["after"] = "%.8g" % torch.rand(1).item()
        self.group.made.add(fields["make"])
        if not inputs and not kw:
            return self.add(fields)
        made = made.to(dtype)
        fill(made.parameters())
        made.train(_train)
        tensors = {}
        given = [make(a, dtype, tensors) for a in inputs]
        more = {k: make(v, dtype, tensors) for k, v in kw.items()}
        fields["args"] = "{" + call_text(inputs, kw) + "}"
        tensors = in_order(tensors, inputs, kw)
        leaves = taking_gradients(tensors) + list(made.parameters())
        tensors += list(made.parameters())
        before = [t.detach().clone() for t in tensors]
        if not _train:
            fields["eval"] = "true"
        if _calls > 1:
            fields["calls"] = str(_calls)
        in_place = getattr(made, "inplace", False)
        if in_place:
            given[0] = given[0].clone()
            fields["inplace"] = "true"
        torch.manual_seed(11)
        try:
            for _ in range(_calls):
                out = made(*given, **more)
        except Exception as e:
            if not _err:
                self.refused.append("%s %s %s: %s" % (module.name, fields["make"], fields["args"], first_sentence(e)))
            fields["err"] = quoted(first_sentence(e))
            return self.add(fields)
        if _err:
            self.refused.append("%s %s: NOT REFUSED" % (module.name, fields["make"]))
        self.outcome(fields, out, leaves)
        self.changes(fields, before, tensors)
        buffers = [b for name, b in made.named_buffers() if re.search("running|tracked", name)]
        if buffers:
            fields["buffers"] = quoted(";".join(self.take(b) for b in buffers))
        self.add(fields)

    def container(self, module, *steps):
        """Steps, each a method's name and arguments, then the text and the keys."""
        if self.drawn:
            return
        self.begin("nn", module.name)
        settle((module,) + steps, {})
        fields = {"dtype": '"s"', "make": "{" + call_text(module.args, shifted(module.kw)) + "}"}
        made = module.make(torch.float32)
        for step, *args in steps:
            made = take_step(made, step, [make(a, torch.float32) for a in args])
        fields["steps"] = "{" + ", ".join(
            "{%s}" % call_text((step,) + tuple(args if step != "slice" else (P(args[0]), args[1])), {})
            for step, *args in steps) + "}"
        fields["text"] = quoted(text_of(made))
        fields["state"] = quoted(" ".join("%s:%s" % (k, ",".join(map(str, v.shape))) for k, v in made.state_dict().items()))
        self.add(fields)


def settle(args, kw):
    number = 0
    def look(v):
        nonlocal number
        if isinstance(v, X):
            v.settle(number)
            number += 1
        elif isinstance(v, M):
            look(v.args)
            look(list(v.kw.values()))
        elif isinstance(v, D):
            look([x for _, x in v.pairs])
        elif isinstance(v, (list, tuple)):
            for x in v:
                look(x)
    look(list(args))
    look(list(kw.values()))
