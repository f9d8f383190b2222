"""Writes recurrent.lua: what PyTorch computes with recurrent layers, attention and transformers, in float64.

Run with torch 2.15 from anywhere. Inputs are integers over 8, so they need few digits.
The gradient handed to each result is ((3 i mod 7) - 3) / 4 at element i."""
import os
import torch
import torch.nn as nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

torch.set_default_dtype(torch.float64)
inf, nan = float("inf"), float("nan")


def lua(v):
    if v is None:
        return "false"
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, torch.Tensor):
        kind = str(v.dtype)[6:]
        flat = v.detach().contiguous().reshape(-1).tolist()
        return '{ t = "%s", s = %s, v = %s }' % (kind, lua(list(v.shape)), lua(flat))
    if isinstance(v, str):
        return '"' + v.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    if isinstance(v, dict):
        return "{ " + ", ".join("%s = %s" % (k, lua(x)) for k, x in v.items()) + " }" if v else "{}"
    if isinstance(v, (list, tuple)):
        return "{ " + ", ".join(lua(x) for x in v) + " }" if len(v) else "{}"
    if isinstance(v, float):
        if v != v:
            return "nan"
        if v in (inf, -inf):
            return "inf" if v > 0 else "-inf"
        return "%.13g" % v
    return repr(v)


def numbers(*shape, a=7, m=23, s=11):
    n = 1
    for size in shape:
        n *= size
    return torch.tensor([((i * a) % m - s) / 8 for i in range(n)]).reshape(shape)


def flat(values):
    out = []
    for v in values if isinstance(values, (list, tuple)) and not isinstance(values, PackedSequence) else [values]:
        if isinstance(v, PackedSequence):
            out.append(v.data)
        elif isinstance(v, (list, tuple)):
            out.extend(flat(v))
        elif v is not None:
            out.append(v)
    return out


def backward(outputs):
    total = 0
    for out in outputs:
        g = torch.tensor([((3 * i) % 7 - 3) / 4 for i in range(out.numel())]).reshape(out.shape)
        total = total + (out * g).sum()
    total.backward()


RECURRENT, CELLS, ATTENTION, MODELS, REPRS = [], [], [], [], []


def parameters(module):
    return [[name, p.grad if p.grad is not None else torch.zeros_like(p)] for name, p in module.named_parameters()]


def recurrent(name, sizes, shape, hx=None, lengths=None, sort=True, **options):
    torch.manual_seed(5)
    layer = getattr(nn, name)(*sizes, **options)
    first = [p.detach().clone() for p in layer.parameters()]
    x = numbers(*shape).requires_grad_()
    states = [numbers(*s, a=5, m=13, s=6).requires_grad_() for s in hx or []]
    given = x
    if lengths:
        given = pack_padded_sequence(x, lengths, batch_first=options.get("batch_first", False), enforce_sorted=sort)
    start = (tuple(states) if name == "LSTM" else states[0]) if states else None
    out = flat(layer(given, start))
    backward(out)
    case = {"name": name, "sizes": list(sizes), "options": options, "x": x, "states": states, "out": out,
            "grad_x": x.grad, "grad_states": [s.grad for s in states],
            "names": [n for n, _ in layer.named_parameters()],
            "start": [sum(p.sum().item() * (i + 1) for i, p in enumerate(first)), first[0], first[-1]],
            "grads": [g for _, g in parameters(layer)]}
    if lengths:
        case["lengths"], case["sort"] = lengths, sort
    RECURRENT.append(case)


for name in ("LSTM", "GRU", "RNN"):
    two = 2 if name == "LSTM" else 1
    recurrent(name, (3, 2), (4, 2, 3))
    recurrent(name, (3, 2), (2, 4, 3), hx=[(1, 2, 2)] * two, batch_first=True)
    recurrent(name, (2, 3, 2), (3, 2), hx=[(4, 3)] * two, bidirectional=True)
    recurrent(name, (2, 2), (3, 2), batch_first=True, bias=False)
    recurrent(name, (2, 2, 2), (4, 3, 2), hx=[(4, 3, 2)] * two, lengths=[4, 2, 1], bidirectional=True)
    recurrent(name, (2, 2), (3, 4, 2), hx=[(1, 3, 2)] * two, lengths=[2, 4, 2], sort=False, batch_first=True)
    recurrent(name, (2, 2, 2), (3, 2, 2), dropout=1.0)
recurrent("RNN", (3, 2), (3, 2, 3), nonlinearity="relu", bidirectional=True)
recurrent("LSTM", (3, 4, 2), (3, 2, 3), hx=[(4, 2, 2), (4, 2, 4)], bidirectional=True, proj_size=2)
recurrent("LSTM", (2, 3), (3, 2, 2), lengths=[3, 1], proj_size=1, bias=False)


def cell(name, shape, hx=None, **options):
    torch.manual_seed(6)
    layer = getattr(nn, name)(shape[-1], 2, **options)
    x = numbers(*shape).requires_grad_()
    count = (2 if name == "LSTMCell" else 1) if hx else 0
    states = [numbers(*hx, a=5, m=13, s=6).requires_grad_() for _ in range(count)]
    out = flat(layer(x, (tuple(states) if name == "LSTMCell" else states[0]) if states else None))
    backward(out)
    CELLS.append({"name": name, "sizes": [shape[-1], 2], "options": options, "x": x, "states": states, "out": out,
                  "grad_x": x.grad, "grad_states": [s.grad for s in states], "names": [n for n, _ in parameters(layer)],
                  "grads": [g for _, g in parameters(layer)]})


for name in ("LSTMCell", "GRUCell", "RNNCell"):
    cell(name, (2, 3))
    cell(name, (3,), (2,), bias=False)
    cell(name, (2, 3), (2, 2))
cell("RNNCell", (2, 3), (2, 2), nonlinearity="relu")


def attention(sizes, shapes, options={}, forward={}, same=""):
    torch.manual_seed(7)
    layer = nn.MultiheadAttention(*sizes, **options)
    with torch.no_grad():
        if layer.in_proj_bias is not None:
            layer.in_proj_bias.copy_(numbers(*layer.in_proj_bias.shape))
    inputs = [numbers(*s, a=7 + 2 * i).requires_grad_() for i, s in enumerate(shapes)]
    q, k, v = {"qkv": [inputs[0]] * 3, "kv": [inputs[0], inputs[-1], inputs[-1]], "": inputs}[same]
    out = [t for t in layer(q, k, v, **forward) if t is not None]
    backward(out)
    ATTENTION.append({"sizes": list(sizes), "options": options, "inputs": inputs, "same": same, "forward": forward,
                      "out": out, "grad_inputs": [t.grad for t in inputs], "names": [n for n, _ in parameters(layer)],
                      "grads": [g for _, g in parameters(layer)]})


some = torch.tensor([[False, True, False], [False, False, False], [True, False, False]])
pad2 = torch.tensor([[False, False, True], [False, True, True]])
causal = nn.Transformer.generate_square_subsequent_mask(3)
attention((4, 2), [(3, 2, 4)], same="qkv")
attention((4, 2), [(3, 2, 4), (4, 2, 4)], {"batch_first": False}, {"average_attn_weights": False}, same="kv")
attention((4, 2), [(2, 3, 4), (2, 2, 4), (2, 2, 4)], {"batch_first": True, "bias": False})
attention((4, 2), [(3, 2, 4), (3, 2, 3), (3, 2, 2)], {"kdim": 3, "vdim": 2}, {"attn_mask": some})
attention((4, 2), [(3, 2, 4)], {}, {"attn_mask": causal, "need_weights": False}, same="qkv")
attention((4, 2), [(3, 2, 4)], {}, {"attn_mask": causal, "need_weights": False, "is_causal": True}, same="qkv")
attention((4, 2), [(3, 2, 4)], {}, {"attn_mask": causal, "is_causal": True}, same="qkv")
attention((4, 2), [(3, 2, 4)], {}, {"key_padding_mask": pad2, "attn_mask": some}, same="qkv")
attention((4, 2), [(3, 2, 4)], {"add_bias_kv": True, "add_zero_attn": True},
          {"key_padding_mask": pad2, "attn_mask": numbers(4, 3, 3)}, same="qkv")
attention((4, 2), [(3, 2, 4)], {"add_bias_kv": True, "add_zero_attn": True, "batch_first": False},
          {"key_padding_mask": pad2, "need_weights": False}, same="qkv")
attention((4, 1), [(3, 4)], {"batch_first": True}, {"key_padding_mask": pad2[0]}, same="qkv")
attention((4, 2), [(2, 4), (3, 4), (3, 4)], {}, {"attn_mask": numbers(2, 2, 3), "need_weights": False})
attention((4, 2), [(3, 2, 4)], {"dropout": 1.0}, {}, same="qkv")


def model(name, args, shapes, options={}, forward={}, evaluate=False, quiet=False, keep=True):
    torch.manual_seed(8)
    module = getattr(nn, name)(*args, **options)
    if evaluate:
        module.eval()
    inputs = [numbers(*s, a=7 + 2 * i).requires_grad_() for i, s in enumerate(shapes)]
    out = module(*inputs, **forward)
    grads = []
    backward([out])
    grads = [g for _, g in parameters(module)]
    MODELS.append({"name": name, "args": list(args), "options": options, "inputs": inputs, "forward": forward,
                   "eval": evaluate, "out": out, "grad_inputs": [t.grad for t in inputs],
                   "names": [n for n, _ in module.named_parameters()],
                   "sums": [(g * (1 + torch.arange(g.numel()).reshape(g.shape) % 5)).sum().item() for g in grads]})


for first in (False, True):
    model("TransformerEncoderLayer", (4, 2, 6, 0.0), [(3, 2, 4)], {"norm_first": first, "activation": "gelu"},
          {"src_mask": causal, "is_causal": True})
    model("TransformerDecoderLayer", (4, 2, 6, 0.0), [(3, 2, 4), (2, 2, 4)], {"norm_first": first},
          {"tgt_mask": some, "memory_key_padding_mask": torch.tensor([[False, False], [False, True]])})
model("TransformerEncoderLayer", (4, 2, 6, 0.0), [(2, 3, 4)], {"batch_first": True, "bias": False},
      {"src_key_padding_mask": pad2})
model("TransformerEncoderLayer", (4, 2, 6, 0.5, "relu", 0.01), [(3, 4)], {}, {}, evaluate=True)
model("TransformerDecoderLayer", (4, 2, 6, 1.0), [(3, 4), (2, 4)])
model("Transformer", (4, 2, 2, 1, 6, 0.0), [(3, 2, 4), (2, 2, 4)])
model("Transformer", (4, 2, 1, 2, 5, 0.1), [(2, 3, 4), (2, 3, 4)],
      {"batch_first": True, "norm_first": True, "activation": "gelu", "bias": False},
      {"tgt_mask": causal, "tgt_is_causal": True, "src_key_padding_mask": pad2, "memory_key_padding_mask": pad2},
      evaluate=True)

# Evaluation without gradients, where PyTorch leaves padded places out.
torch.manual_seed(9)
layer = nn.TransformerEncoderLayer(4, 2, 6, batch_first=True)
encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(4)).eval()
bare = nn.TransformerEncoder(layer, 1).eval()
x = numbers(2, 3, 4)
middle = torch.tensor([[False, True, False], [False, False, True]])
with torch.no_grad():
    NESTED = {"x": x, "padding": pad2, "middle": middle, "normed": encoder(x, src_key_padding_mask=pad2),
              "bare": bare(x, src_key_padding_mask=pad2), "holed": bare(x, src_key_padding_mask=middle)}
NESTED["recorded"] = bare(x, src_key_padding_mask=pad2)

for text in ("RNN(5, 3)", "LSTM(5, 3, 2, false, true, 0.5, true, 2)", "GRU(5, 3, {batch_first = true})",
             "LSTMCell(3, 4)", 'RNNCell(3, 4, false, "relu")', 'RNNBase("LSTM", 3, 4)', "MultiheadAttention(8, 2)",
             "TransformerEncoderLayer(8, 2)", "Transformer(8, 2, 1, 2, 16)",
             "TransformerDecoderLayer(8, 2, {bias = false, dropout = 0.5})"):
    call = text.replace("false", "False").replace("true", "True").replace("{", "").replace("}", "")
    shown = repr(eval("nn." + call)).replace("(0): ", "(1): ").replace("(0-1): ", "(1-2): ")
    REPRS.append([text, shown])

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "recurrent.lua"), "w") as f:
    f.write("-- Recurrent layers, attention and transformers of PyTorch %s. " % torch.__version__.split("+")[0])
    f.write("Made by make_recurrent.py.\n-- luacheck: ignore 631\n")
    f.write("local inf, nan = math.huge, 0 / 0\nreturn {\n")
    for key, cases in (("recurrent", RECURRENT), ("cells", CELLS), ("attention", ATTENTION), ("models", MODELS),
                       ("reprs", REPRS)):
        f.write(key + " = {\n" + "".join("  %s,\n" % lua(c) for c in cases) + "},\n")
    f.write("nested = %s,\n}\n" % lua(NESTED))
