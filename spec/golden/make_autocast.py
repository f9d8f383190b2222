"""Writes autocast.lua: the dtypes that PyTorch's autocast gives, and a training run under it.

    lua spec/support/dump_cases.lua FOLDER && python spec/golden/make_autocast.py FOLDER

Each sample of the op table is called four times on each kind of device, with its float tensors all in float32 (s), all in
the lower precision (l), the first in float32 and the others lower (m), or the other way round (n). What comes out is a word
of four parts, one a call: a letter for each result's dtype, `!` where the call is refused, `?` where PyTorch has no answer.
There is no GPU: CUDA is asked with fake tensors, which have the device and dtypes but no values.
"""
import json
import os
import sys
import warnings

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import make_table
import schemas

warnings.simplefilter("ignore")
torch.set_num_threads(1)
HERE = os.path.dirname(os.path.abspath(__file__))
LETTERS = {getattr(torch, name): letter for name, letter in make_table.LETTERS.items()}
LOWER = {"cpu": torch.bfloat16, "cuda": torch.float16}

# Functions that the op table has not, or not by that name: moontorch's call and PyTorch's. f and F are matrices and
# batches of floats, p is positive, t a target of -1 and 1, c class labels, w a weight.
CALLS = [
    ("F.conv1d(F3, W3)", "F.conv1d(F3, W3)"),
    ("F.conv2d(F4, W4, {padding = 1})", "F.conv2d(F4, W4, padding=1)"),
    ("F.conv_transpose2d(F4, W4)", "F.conv_transpose2d(F4, W4)"),
    ("F.linear(f, w)", "F.linear(f, w)"),
    ("F.bilinear(f, g, B)", "F.bilinear(f, g, B)"),
    ("F.scaled_dot_product_attention(F4, F4, F4)", "F.scaled_dot_product_attention(F4, F4, F4)"),
    ("F.softmax(f, 1)", "F.softmax(f, 0)"),
    ("F.log_softmax(f, 1)", "F.log_softmax(f, 0)"),
    ("F.softmin(f, 1)", "F.softmin(f, 0)"),
    ("F.softplus(f)", "F.softplus(f)"),
    ("F.gelu(f)", "F.gelu(f)"),
    ("F.relu(f)", "F.relu(f)"),
    ("F.silu(f)", "F.silu(f)"),
    ("F.layer_norm(f, {4})", "F.layer_norm(f, [4])"),
    ("F.rms_norm(f, {4})", "F.rms_norm(f, [4])"),
    ("F.group_norm(F4, 2)", "F.group_norm(F4, 2)"),
    ("F.instance_norm(F4)", "F.instance_norm(F4)"),
    ("F.batch_norm(F4, nil, nil, {training = true})", "F.batch_norm(F4, None, None, training=True)"),
    ("F.normalize(f)", "F.normalize(f)"),
    ("F.cosine_similarity(f, g)", "F.cosine_similarity(f, g)"),
    ("F.pairwise_distance(f, g)", "F.pairwise_distance(f, g)"),
    ("F.pdist(f)", "F.pdist(f)"),
    ("F.mse_loss(f, g)", "F.mse_loss(f, g)"),
    ("F.l1_loss(f, g)", "F.l1_loss(f, g)"),
    ("F.smooth_l1_loss(f, g)", "F.smooth_l1_loss(f, g)"),
    ("F.huber_loss(f, g)", "F.huber_loss(f, g)"),
    ("F.kl_div(f, g, {reduction = 'batchmean'})", "F.kl_div(f, g, reduction='batchmean')"),
    ("F.cross_entropy(f, c)", "F.cross_entropy(f, c - 1)"),
    ("F.cross_entropy(f, p)", "F.cross_entropy(f, p)"),
    ("F.nll_loss(f, c)", "F.nll_loss(f, c - 1)"),
    ("F.binary_cross_entropy(p, p)", "F.binary_cross_entropy(p, p)"),
    ("F.binary_cross_entropy_with_logits(f, p)", "F.binary_cross_entropy_with_logits(f, p)"),
    ("F.poisson_nll_loss(f, p)", "F.poisson_nll_loss(f, p)"),
    ("F.gaussian_nll_loss(f, g, p)", "F.gaussian_nll_loss(f, g, p)"),
    ("F.cosine_embedding_loss(f, g, t)", "F.cosine_embedding_loss(f, g, t)"),
    ("F.hinge_embedding_loss(f[{{}, 1}], t)", "F.hinge_embedding_loss(f[:, 0], t)"),
    ("F.margin_ranking_loss(f[{{}, 1}], g[{{}, 1}], t)", "F.margin_ranking_loss(f[:, 0], g[:, 0], t)"),
    ("F.soft_margin_loss(f[{{}, 1}], t)", "F.soft_margin_loss(f[:, 0], t)"),
    ("F.multi_margin_loss(f, c)", "F.multi_margin_loss(f, c - 1)"),
    ("F.multilabel_margin_loss(f, torch.ones(3, 4):long():cumsum(2))",
     "F.multilabel_margin_loss(f, torch.ones(3, 4, device=f.device).long().cumsum(1) - 1)"),
    ("F.multilabel_soft_margin_loss(f, p)", "F.multilabel_soft_margin_loss(f, p)"),
    ("F.triplet_margin_loss(f, g, p)", "F.triplet_margin_loss(f, g, p)"),
    ("F.pad(F3, {1, 1}, 'reflect')", "F.pad(F3, (1, 1), 'reflect')"),
    ("F.pad(F4, {1, 1, 1, 1}, 'reflect')", "F.pad(F4, (1, 1, 1, 1), 'reflect')"),
    ("F.pad(F5, {1, 1, 1, 1, 1, 1}, 'reflect')", "F.pad(F5, (1, 1, 1, 1, 1, 1), 'reflect')"),
    ("F.pad(F5, {1, 1, 1, 1, 1, 1}, 'replicate')", "F.pad(F5, (1, 1, 1, 1, 1, 1), 'replicate')"),
    ("F.pad(F4, {1, 1, 0, 0}, 'circular')", "F.pad(F4, (1, 1, 0, 0), 'circular')"),
    ("F.pad(F4, {1, 1})", "F.pad(F4, (1, 1))"),
    ("F.interpolate(F3, {scale_factor = 2})", "F.interpolate(F3, scale_factor=2)"),
    ("F.interpolate(F4, {scale_factor = 2, mode = 'bilinear'})", "F.interpolate(F4, scale_factor=2, mode='bilinear')"),
    ("F.interpolate(F4, {scale_factor = 2, mode = 'bicubic'})", "F.interpolate(F4, scale_factor=2, mode='bicubic')"),
    ("F.interpolate(F5, {scale_factor = 2, mode = 'trilinear'})", "F.interpolate(F5, scale_factor=2, mode='trilinear')"),
    ("F.interpolate(F4, {size = 2, mode = 'area'})", "F.interpolate(F4, size=2, mode='area')"),
    ("F.max_pool2d(F4, 2)", "F.max_pool2d(F4, 2)"),
    ("F.max_pool3d(F5, 2)", "F.max_pool3d(F5, 2)"),
    ("F.avg_pool2d(F4, 2)", "F.avg_pool2d(F4, 2)"),
    ("F.avg_pool3d(F5, 2)", "F.avg_pool3d(F5, 2)"),
    ("F.adaptive_avg_pool2d(F4, 2)", "F.adaptive_avg_pool2d(F4, 2)"),
    ("F.adaptive_avg_pool3d(F5, 2)", "F.adaptive_avg_pool3d(F5, 2)"),
    ("F.adaptive_max_pool3d(F5, 2)", "F.adaptive_max_pool3d(F5, 2)"),
    ("F.max_unpool2d(pooled, at, 2)",
     "F.max_unpool2d(*F.max_pool2d(F4, 2, return_indices=True), 2)"),
    ("F.embedding(c, w)", "F.embedding(c - 1, w)"),
    ("torch.linalg.inv(S)", "torch.linalg.inv(S)"),
    ("torch.linalg.solve(S, S)", "torch.linalg.solve(S, S)"),
    ("torch.linalg.svdvals(S)", "torch.linalg.svdvals(S)"),
    ("torch.linalg.vecdot(f, g)", "torch.linalg.vecdot(f, g)"),
    ("torch.linalg.vector_norm(f)", "torch.linalg.vector_norm(f)"),
    ("torch.linalg.matrix_norm(f)", "torch.linalg.matrix_norm(f)"),
    ("torch.linalg.norm(f)", "torch.linalg.norm(f)"),
    ("torch.linalg.multi_dot({S, S, S})", "torch.linalg.multi_dot([S, S, S])"),
    ("torch.linalg.matrix_power(S, 3)", "torch.linalg.matrix_power(S, 3)"),
    ("torch.linalg.det(S)", "torch.linalg.det(S)"),
    ("torch.linalg.cross(f[{{}, {1, 3}}], g[{{}, {1, 3}}])", "torch.linalg.cross(f[:, :3], g[:, :3])"),
    ("f ^ 2", "f ** 2"),
    ("f + g", "f + g"),
    ("f:mm(w:t())", "f.mm(w.t())"),
    ("f:mean(1)", "f.mean(0)"),
    ("f:var(1)", "f.var(0)"),
    ("f:norm()", "f.norm()"),
    ("f:norm(2, 1)", "f.norm(2, 0)"),
    ("f:sum(1, {dtype = torch.float64})", "f.sum(0, dtype=torch.float64)"),
    ("nn.LSTM(4, 3)(F3t)", "nn.LSTM(4, 3)(F3t)"),
    ("nn.LSTM(4, 3, {proj_size = 2})(F3t)", "nn.LSTM(4, 3, proj_size=2)(F3t)"),
    ("nn.GRU(4, 3)(F3t)", "nn.GRU(4, 3)(F3t)"),
    ("nn.RNN(4, 3)(F3t)", "nn.RNN(4, 3)(F3t)"),
    ("nn.RNN(4, 3, {nonlinearity = 'relu'})(F3t)", "nn.RNN(4, 3, nonlinearity='relu')(F3t)"),
    ("nn.LSTMCell(4, 3)(f)", "nn.LSTMCell(4, 3)(f)"),
    ("nn.GRUCell(4, 3)(f)", "nn.GRUCell(4, 3)(f)"),
    ("nn.RNNCell(4, 3)(f)", "nn.RNNCell(4, 3)(f)"),
    ("nn.MultiheadAttention(4, 2)(F3t, F3t, F3t)", "nn.MultiheadAttention(4, 2)(F3t, F3t, F3t)"),
    ("nn.TransformerEncoderLayer(4, 2, 8)(F3t)", "nn.TransformerEncoderLayer(4, 2, 8)(F3t)"),
    ("nn.PReLU()(f)", "nn.PReLU()(f)"),
    ("nn.CosineSimilarity()(f, g)", "nn.CosineSimilarity()(f, g)"),
]
SHAPES = {"f": (3, 4), "g": (3, 4), "w": (5, 4), "B": (2, 4, 4), "S": (3, 3), "F3": (2, 4, 5), "W3": (3, 4, 2),
          "F4": (2, 4, 4, 4), "W4": (4, 4, 3, 3), "F5": (1, 2, 4, 4, 4), "F3t": (5, 2, 4)}


def words(out):
    if isinstance(out, (tuple, list)):
        return "".join(words(x) for x in out)
    return LETTERS[out.dtype] if isinstance(out, torch.Tensor) else "" if out is None else "."


def cast(tensors, how, lower):
    """Float tensors in the dtypes that `how` says; others as they are."""
    seen, out = 0, []
    for t in tensors:
        if t.dtype == torch.float32:
            keep = how == "s" or (how == "m" and seen == 0) or (how == "n" and seen > 0)
            seen += 1
            t = t if keep else t.to(lower)
        out.append(t)
    return out


def ask(kind, make, call):
    """The word for one call. `make(how)` gives its tensors on the host."""
    parts = []
    for how in "slmn":
        torch.manual_seed(1)
        try:
            if kind == "cpu":
                given = make(how)
                with torch.autocast("cpu"):
                    parts.append(words(call(given)))
            else:
                tensors = make(how)
                with FakeTensorMode():
                    with torch.device("cuda"):
                        given = [torch.empty(t.shape, dtype=t.dtype) for t in tensors]
                        torch.set_autocast_enabled("cuda", True)
                        parts.append(words(call(given)))
        except make_table.Zero:
            parts.append("?")
        except Exception as e:
            text = str(e)
            known = "unsafe to autocast" in text or "autocast::prioritize" in text
            parts.append("!" if known or (kind == "cpu" and not isinstance(e, NotImplementedError)) else "?")
        finally:
            torch.set_autocast_enabled("cuda", False)
            torch.clear_autocast_cache()
    return ",".join(parts)


def sample_words(spec, schema, inputs):
    form = "f" if spec["func"] else "m"
    call = make_table.caller(schema, form) or make_table.caller(schema, "m")
    number = spec["runs"].get("float32")
    if call is None or number is None or spec["random"]:
        return None
    tensors = make_table.tensors_of(inputs, number)
    if not tensors:
        return None

    def perform(given):
        args = [make_table.argument(schema, k, make_table.decode(v, given)) for k, v in enumerate(spec["args"])]
        kw = {k: make_table.argument(schema, k, make_table.decode(v, given)) for k, v in spec["keywords"].items()}
        return call(args, kw)
    return " ".join(ask(kind, lambda how: cast(tensors, how, LOWER[kind]), perform) for kind in ("cpu", "cuda"))


def call_words(text):
    names = list(SHAPES)

    def make(kind):
        def given(how):
            out = [torch.rand(SHAPES[n]) for n in names]
            out[names.index("S")] += 2 * torch.eye(3)
            p = torch.rand(3, 4) * 0.5 + 0.25
            lower = LOWER[kind]
            floats = {"s": (torch.float32, torch.float32), "l": (lower, lower), "m": (torch.float32, lower),
                      "n": (lower, torch.float32)}[how]
            first = {"f", "F3", "F4", "F5", "F3t", "S"}
            out = [t.to(floats[0] if n in first else floats[1]) for n, t in zip(names, out)]
            return out + [p.to(floats[1]), torch.tensor([1.0, -1.0, 1.0]).to(floats[1]), torch.tensor([1, 2, 1])]
        return given

    def perform(given):
        scope = dict(zip(names + ["p", "t", "c"], given), torch=torch, F=torch.nn.functional, nn=torch.nn)
        return eval(text, scope)
    return " ".join(ask(kind, make(kind), perform) for kind in ("cpu", "cuda"))


def training():
    """Losses of a small network under bfloat16 autocast: convolution, norms, an LSTM, linear layers, AdamW."""
    nn, F = torch.nn, torch.nn.functional

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(3, 8, 3, padding=1)
            self.norm = nn.LayerNorm(8)
            self.lstm = nn.LSTM(8, 8, batch_first=True)
            self.out = nn.Linear(8, 4)

        def forward(self, x):
            h = F.relu(self.conv(x)).transpose(1, 2)
            h, _ = self.lstm(self.norm(h))
            return self.out(h.mean(1))

    torch.manual_seed(7)
    net = Net()
    x, y = torch.randn(16, 3, 10), torch.randint(4, (16,))
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.02)
    losses = []
    for _ in range(30):
        with torch.autocast("cpu"):
            loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad.dtype == torch.float32 for p in net.parameters())
        optimizer.step()
        losses.append(loss.item())
    return losses


def main(folder):
    with open(os.path.join(folder, "calls.json")) as f:
        calls = json.load(f)
    inputs = make_table.read_safetensors(os.path.join(folder, "inputs.safetensors"))
    lines, last, count = [], None, 0
    for spec in calls:
        if spec["refused"]:
            continue
        schema = schemas.Schema(spec["schema"])
        word = sample_words(spec, schema, inputs)
        if word is None:
            continue
        if spec["schema"] != last:
            if last:
                lines.append("  },")
            lines.append("  { %s," % make_table.quoted(spec["schema"]))
            last = spec["schema"]
        lines.append("    { %s, %s }," % (make_table.quoted(spec["sample"]), make_table.quoted(word)))
        count += 1
    lines.append("  },")
    head = ["-- What PyTorch %s's autocast makes of the samples of the op table, and of other functions."
            % make_table.VERSION, "-- Made by make_autocast.py, which tells the form.", "-- luacheck: ignore 631",
            "return {\n  torch = %s," % make_table.quoted(make_table.VERSION), "  losses = { %s },"
            % ", ".join("%.9g" % v for v in training()), "  calls = {"]
    head += ["    { %s, %s }," % (make_table.quoted(ours), make_table.quoted(call_words(theirs))) for ours, theirs in CALLS]
    with open(os.path.join(HERE, "autocast.lua"), "w") as f:
        f.write("\n".join(head + ["  },"] + lines) + "\n}\n")
    print("%d samples, %d calls" % (count, len(CALLS)))


if __name__ == "__main__":
    main(sys.argv[1])
