"""Writes modules.lua: what PyTorch computes with the modules of torch.nn. Run with torch 2.15 from anywhere.

A case makes a module after manual_seed, calls it and walks backward from the sum of its outputs times weights. Inputs are
given by shape and step, see numbers(). Positions (dim, padding_idx, indices, labels) are written as moontorch counts
them, from 1. Cases whose numbers depend on bernoulli come from Debian's PyTorch 1.13, which draws without MKL: they are
made by /usr/bin/python3 running this file with --drawn."""
import os
import re
import subprocess
import sys
import warnings
import torch
import torch.nn as nn

warnings.simplefilter("ignore")
inf, nan = float("inf"), float("nan")
OUT, DRAWN = [], []
SHIFTED = ("dim", "start_dim", "end_dim", "padding_idx", "blank", "ignore_index")


class X:
    """An input: element i, counted from 0, is ((i * a) mod m - s) / d; labels are (i * a) mod m + first."""

    def __init__(self, *shape, a=7, m=23, s=11, d=5.0, kind="f", **options):
        self.shape, self.a, self.m, self.s, self.d, self.kind, self.options = shape, a, m, s, d, kind, options

    def make(self):
        n = 1
        for size in self.shape:
            n *= size
        if self.kind == "f":
            return torch.tensor([((i * self.a) % self.m - self.s) / self.d for i in range(n)],
                                dtype=torch.float64).reshape(self.shape)
        return torch.tensor([(i * self.a) % self.m - self.s for i in range(n)], dtype=torch.int64).reshape(self.shape)

    def lua(self):
        # labels and indices count from 1; plain integers (offsets, lengths, signs) stay
        s = self.s - 1 if self.kind == "i" else self.s
        return "{ %s, %d, %d, %d, %s, %s, %s }" % (lua(list(self.shape)), self.a, self.m, s, lua(self.d),
                                                   lua(self.kind), lua(self.options.get("g", self.kind == "f")))


def labels(*shape, classes, a=3):
    return X(*shape, a=a, m=classes, s=0, d=1.0, kind="i")


def data(*shape, a=1, m=97, s=0):
    return X(*shape, a=a, m=m, s=s, d=1.0, kind="n")


def fixed(*shape, **options):
    """A tensor without gradient."""
    return X(*shape, g=False, **options)


def number(v):
    if v != v:
        return "nan"
    if v in (inf, -inf):
        return "inf" if v > 0 else "-inf"
    text = "%.8g" % v
    return text + ".0" if re.fullmatch(r"-?\d+", text) else text


def lua(v):
    if v is None:
        return "none"
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, X):
        return v.lua()
    if isinstance(v, torch.Tensor):
        if v.is_floating_point():
            return flat(v.detach().tolist())
        return flat(v.tolist())
    if isinstance(v, str):
        return '"' + v.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    if isinstance(v, dict):
        return "{ " + ", ".join("%s = %s" % (k, lua(x)) for k, x in v.items()) + " }" if v else "{}"
    if isinstance(v, (list, tuple)):
        return "{ " + ", ".join(lua(x) for x in v) + " }" if len(v) else "{}"
    if isinstance(v, float):
        return number(v) if v in (inf, -inf) or v != v else repr(v)
    return repr(v)


def flat(v):
    if isinstance(v, list):
        return "{" + ",".join(flat(x) for x in v) + "}"
    if isinstance(v, bool):
        return lua(v)
    return number(v) if isinstance(v, float) else repr(v)


def shifted(settings):
    return {k: v + 1 if k in SHIFTED and isinstance(v, int) and v >= 0 else v for k, v in settings.items()}


def weights(shape):
    return X(*shape, a=5, m=13, s=6, d=4.0).make()


def text_of(module):
    """The text with positions from 1."""
    return re.sub(r"\b(dim|start_dim|end_dim|padding_idx)=(\d+)", lambda m: "%s=%d" % (m[1], int(m[2]) + 1), repr(module))


def result_of(name, args, settings, inputs, stage, calls, positions):
    torch.manual_seed(7)
    made = {k: v.make() if isinstance(v, X) else v for k, v in settings.items()}
    module = getattr(nn, name)(*args, **made)
    # the first draws after the constructor show that it drew as many
    after = torch.rand(1).item()
    module = module.double()
    module.train(stage == "train")
    given = [x.make() if isinstance(x, X) else x for x in inputs]
    for x, t in zip(inputs, given):
        if isinstance(x, X) and x.kind == "f" and x.options.get("g", True):
            t.requires_grad_()
    torch.manual_seed(11)
    for _ in range(calls):
        output = module(*given)
    outputs = list(output) if isinstance(output, tuple) else [output]
    total = sum((o * weights(o.shape)).sum() for o in outputs if o.requires_grad)
    if isinstance(total, torch.Tensor):
        total.backward()
    shown = [o + 1 if k in positions else o for k, o in enumerate(outputs)]
    buffers = {k: v for k, v in module.named_buffers() if "running" in k or "num_batches" in k}
    return {"name": name, "args": args, "settings": shifted(settings), "inputs": inputs, "stage": stage, "calls": calls,
            "text": text_of(module), "keys": list(module.state_dict().keys()), "after": after,
            "outputs": shown,
            "grads": [t.grad if isinstance(t, torch.Tensor) and t.grad is not None else None for t in given],
            "params": [p.grad for p in module.parameters()],
            "buffers": [v.double() for v in buffers.values()]}


def write(case):
    return "  { " + ", ".join("%s = %s" % (k, lua(v)) for k, v in case.items()
                             if not (isinstance(v, (list, dict)) and not v)) + " },\n"


def case(name, *args, inputs, stage="train", calls=1, positions=(), drawn=False, **settings):
    if drawn:
        DRAWN.append((name, args, settings, inputs, stage, calls, positions))
    elif "--drawn" not in sys.argv:
        OUT.append(write(result_of(name, args, settings, inputs, stage, calls, positions)))


line, image, volume = X(2, 4, 7), X(2, 4, 5, 4), X(1, 4, 3, 4, 3)
INPUT = {1: line, 2: image, 3: volume}
ALONE = {1: X(4, 7), 2: X(4, 5, 4), 3: X(4, 3, 4, 3)}


def convolutions():
    for n in (1, 2, 3):
        conv, back = "Conv%dd" % n, "ConvTranspose%dd" % n
        x = [INPUT[n]]
        case(conv, 4, 2, 3, inputs=x)
        case(conv, 4, 2, 2, inputs=[ALONE[n]], bias=False)
        case(conv, 4, 4, 2, 2, inputs=x, padding=1, groups=2)
        case(conv, 4, 2, 2, inputs=x, padding="same", dilation=2)
        case(conv, 4, 2, 3, inputs=x, padding="valid")
        for mode in ("zeros", "reflect", "replicate", "circular"):
            case(conv, 4, 2, 3, inputs=x, padding=1, padding_mode=mode)
        case(conv, 4, 2, 2, inputs=x, padding="same", padding_mode="circular")
        case(back, 4, 2, 2, inputs=[X(1, 4, *(3, 2, 2)[:n])])
        case(back, 4, 2, 3, 2, inputs=[X(1, 4, *(3, 2, 2)[:n])], padding=1, output_padding=1, bias=False)
        case(back, 4, 4, 2, inputs=[X(4, *(3, 2, 2)[:n])], groups=2, dilation=2)
        case(back, 4, 2, 3, 2, inputs=[X(1, 4, *(3, 2, 2)[:n]), [8, 5, 6][:n]])
    case("Conv2d", 4, 2, (3, 2), (2, 1), inputs=[image], padding=(1, 0), dilation=(1, 2))
    case("Conv2d", 4, 2, (3, 2), inputs=[image], padding=(2, 1), padding_mode="reflect")
    case("ConvTranspose2d", 4, 2, (3, 2), (2, 1), inputs=[X(1, 4, 3, 2)], padding=(1, 0), output_padding=(1, 0))
    case("Unfold", 2, inputs=[image])
    case("Unfold", (3, 2), inputs=[image], dilation=2, padding=1, stride=2)
    case("Fold", (4, 3), 2, inputs=[X(1, 8, 6)])
    case("Fold", (4, 3), (2, 2), inputs=[X(1, 4, 6)], padding=1, stride=2)


def pools():
    for n in (1, 2, 3):
        x = [INPUT[n]]
        case("MaxPool%dd" % n, 2, inputs=x)
        case("MaxPool%dd" % n, 3, 2, 1, inputs=x, ceil_mode=True)
        case("MaxPool%dd" % n, 2, 1, inputs=[ALONE[n]], return_indices=True, positions=(1,))
        case("AvgPool%dd" % n, 2, inputs=x)
        case("AvgPool%dd" % n, 3, 2, 1, inputs=x, count_include_pad=False, ceil_mode=True)
        case("LPPool%dd" % n, 2, 2, inputs=x)
        case("LPPool%dd" % n, 3.0, 2, 1, inputs=x)
        case("AdaptiveAvgPool%dd" % n, 2, inputs=x)
        case("AdaptiveMaxPool%dd" % n, 2, inputs=x)
        case("AdaptiveMaxPool%dd" % n, 3, inputs=x, return_indices=True, positions=(1,))
    case("MaxPool2d", (2, 3), inputs=[image], stride=(1, 2), dilation=(2, 1))
    case("AvgPool2d", (2, 1), inputs=[image], divisor_override=3)
    case("AvgPool3d", 2, inputs=[volume], divisor_override=5)
    case("AdaptiveAvgPool2d", (2, None), inputs=[image])
    case("AdaptiveMaxPool2d", (None, 3), inputs=[image])
    case("MaxUnpool1d", 2, inputs=[X(1, 2, 3), X(1, 2, 3, a=2, m=6, s=0, d=1.0, kind="i")])
    case("MaxUnpool1d", 2, inputs=[X(1, 2, 3), X(1, 2, 3, a=2, m=6, s=0, d=1.0, kind="i"), [7]])
    case("MaxUnpool2d", 2, inputs=[X(1, 1, 2, 2), X(1, 1, 2, 2, a=4, m=16, s=0, d=1.0, kind="i")])
    case("MaxUnpool3d", (1, 2, 2), inputs=[X(1, 1, 1, 2, 2), X(1, 1, 1, 2, 2, a=3, m=16, s=0, d=1.0, kind="i")])


def pads():
    small = {1: X(1, 2, 4), 2: X(1, 2, 3, 4), 3: X(1, 1, 3, 3, 2)}
    for n in (1, 2, 3):
        sides = (1, 2, 0, 1, 2, 1)[:2 * n] if n < 3 else (1, 0, 0, 1, 2, 1)
        for kind in ("Reflection", "Replication", "Circular", "Zero"):
            case("%sPad%dd" % (kind, n), 1, inputs=[small[n]])
            case("%sPad%dd" % (kind, n), sides, inputs=[small[n]])
        case("ConstantPad%dd" % n, 1, 2.5, inputs=[small[n]])
        case("ConstantPad%dd" % n, sides, -3, inputs=[small[n]])


def activations():
    x = [X(3, 4, d=2.0)]
    for name in ("ELU CELU SELU ReLU ReLU6 SiLU Mish Hardsigmoid Hardswish LeakyReLU Softplus Hardshrink Softshrink "
                 "LogSigmoid Softsign Tanhshrink GLU GELU Hardtanh RReLU PReLU Sigmoid Tanh").split():
        case(name, inputs=x, stage="eval" if name == "RReLU" else "train")
    case("ELU", 2, inputs=x)
    case("CELU", 0.5, inputs=x)
    case("LeakyReLU", 0.3, inputs=x)
    case("Softplus", 2, 3, inputs=x)
    case("Hardshrink", 1.5, inputs=x)
    case("Softshrink", 1, inputs=x)
    case("GELU", inputs=x, approximate="tanh")
    case("Hardtanh", -2.0, 2.5, inputs=x)
    case("Threshold", 0.5, 20, inputs=x)
    case("PReLU", 4, 0.5, inputs=x)
    case("RReLU", 0.2, 0.6, inputs=x, stage="eval")
    case("RReLU", 0.2, 0.6, inputs=x, drawn=True)
    case("GLU", inputs=[X(4, 3)], dim=0)
    for name in ("Softmin", "Softmax", "LogSoftmax"):
        case(name, inputs=x, dim=1)
        case(name, inputs=x, dim=-2)
    case("Softmax2d", inputs=[image])
    case("Softmax2d", inputs=[ALONE[2]])
    still = [fixed(3, 4, d=2.0)]
    for name in "ELU CELU SELU ReLU ReLU6 SiLU Mish Hardsigmoid Hardswish LeakyReLU Hardtanh".split():
        case(name, inputs=still, inplace=True)
    case("Threshold", 0.5, -1.0, True, inputs=still)


def norms():
    for n, x in ((1, X(4, 3)), (1, X(3, 3, 2)), (2, X(2, 3, 2, 2)), (3, X(1, 3, 2, 1, 3))):
        name = "BatchNorm%dd" % n
        case(name, 3, inputs=[x], calls=2)
        case(name, 3, inputs=[x], stage="eval")
        case(name, 3, inputs=[x], calls=3, momentum=None)
        case(name, 3, 1e-3, 0.5, inputs=[x], affine=False)
        case(name, 3, inputs=[x], track_running_stats=False, stage="eval")
        case(name, 3, inputs=[x], bias=False)
    for n, x, alone in ((1, X(2, 3, 5), X(3, 5)), (2, X(2, 3, 2, 3), X(3, 2, 3)), (3, X(1, 3, 2, 2, 2), X(3, 2, 2, 2))):
        name = "InstanceNorm%dd" % n
        case(name, 3, inputs=[x])
        case(name, 3, inputs=[alone], affine=True)
        case(name, 3, inputs=[x], affine=True, track_running_stats=True, calls=2)
        case(name, 3, inputs=[x], track_running_stats=True, stage="eval", momentum=0.4)
    x = X(2, 4, 3)
    case("GroupNorm", 2, 4, inputs=[x])
    case("GroupNorm", 4, 4, 1e-2, inputs=[x], affine=False)
    case("GroupNorm", 1, 4, inputs=[image], bias=False)
    case("LayerNorm", 3, inputs=[x])
    case("LayerNorm", (4, 3), 1e-3, inputs=[x])
    case("LayerNorm", 3, inputs=[x], bias=False)
    case("LayerNorm", 3, inputs=[x], elementwise_affine=False)
    case("RMSNorm", 3, inputs=[x])
    case("RMSNorm", (4, 3), 1e-3, inputs=[x])
    case("RMSNorm", 3, inputs=[x], elementwise_affine=False)
    case("LocalResponseNorm", 2, inputs=[x])
    case("LocalResponseNorm", 3, 0.5, 0.6, 2.0, inputs=[image])


def layers():
    case("Linear", 3, 2, inputs=[X(4, 3)])
    case("Linear", 3, 2, inputs=[X(2, 2, 3)], bias=False)
    case("Bilinear", 3, 2, 4, inputs=[X(5, 3), X(5, 2, a=3)])
    case("Bilinear", 3, 2, 1, inputs=[X(3), X(2, a=3)], bias=False)
    case("Identity", inputs=[X(3)])
    case("Flatten", inputs=[X(2, 3, 2)])
    case("Flatten", inputs=[X(2, 3, 2)], start_dim=0, end_dim=1)
    case("Unflatten", inputs=[X(2, 6)], dim=1, unflattened_size=(2, 3))
    case("CosineSimilarity", inputs=[X(3, 4), X(3, 4, a=5)])
    case("CosineSimilarity", inputs=[X(3, 4), X(3, 4, a=5)], dim=0, eps=1e-3)
    case("PairwiseDistance", inputs=[X(3, 4), X(3, 4, a=5)])
    case("PairwiseDistance", 1.5, inputs=[X(3, 4), X(3, 4, a=5)], keepdim=True)
    case("PixelShuffle", 2, inputs=[X(1, 8, 2, 3)])
    case("PixelUnshuffle", 2, inputs=[X(1, 2, 4, 2)])
    case("ChannelShuffle", 2, inputs=[X(1, 4, 2, 2)])
    case("Upsample", inputs=[X(1, 2, 3)], scale_factor=2)
    case("Upsample", inputs=[X(1, 2, 3)], size=5, mode="linear")
    case("Upsample", inputs=[X(1, 1, 3, 2)], size=(4, 5), mode="bilinear", align_corners=True)
    case("Upsample", inputs=[X(1, 1, 3, 4)], scale_factor=(1.5, 2.0), mode="bicubic", align_corners=False)
    case("Upsample", inputs=[X(1, 1, 2, 2, 3)], scale_factor=1.6, mode="trilinear", recompute_scale_factor=True)
    case("UpsamplingNearest2d", inputs=[X(1, 1, 3, 2)], scale_factor=2)
    case("UpsamplingBilinear2d", inputs=[X(1, 1, 3, 2)], size=(4, 3))
    case("Embedding", 5, 3, inputs=[labels(2, 3, classes=5)])
    case("Embedding", 5, 3, inputs=[labels(4, classes=5)], padding_idx=0)
    case("Embedding", 5, 3, inputs=[labels(4, classes=5)], padding_idx=-1, scale_grad_by_freq=True)
    case("Embedding", 5, 3, inputs=[labels(7, classes=5)], max_norm=1.0, norm_type=1.5)
    for mode in ("mean", "sum", "max"):
        case("EmbeddingBag", 5, 3, inputs=[labels(2, 3, classes=5)], mode=mode)
        case("EmbeddingBag", 5, 3, inputs=[labels(6, classes=5), data(3, a=2)], mode=mode)
        case("EmbeddingBag", 5, 3, inputs=[labels(2, 4, classes=5, a=2)], mode=mode, padding_idx=1)
    case("EmbeddingBag", 5, 3, inputs=[labels(2, 3, classes=5), None, X(2, 3)], mode="sum")
    case("EmbeddingBag", 5, 3, inputs=[labels(6, classes=5), data(3, a=3)], include_last_offset=True)
    for name, x in (("Dropout", X(4, 5)), ("Dropout1d", X(3, 4, 2)), ("Dropout2d", X(2, 4, 2, 2)),
                    ("Dropout3d", X(2, 3, 1, 2, 2)), ("AlphaDropout", X(4, 5)), ("FeatureAlphaDropout", X(3, 4, 2))):
        case(name, inputs=[x], drawn=True)
        case(name, 0.2, inputs=[x], drawn=True)
        case(name, 0.3, inputs=[x], stage="eval")


def losses():
    x, y = X(3, 4), fixed(3, 4, a=5, m=19, s=9)
    sign = fixed(3, 4, a=2, m=4, s=1, d=1.0)  # -1 and 1
    share = fixed(3, 4, a=5, m=7, s=0, d=6.0)
    positive = X(3, 4, a=5, m=7, s=-1, d=6.0)
    row_sign = fixed(3, a=2, m=4, s=1, d=1.0)
    for how in ("mean", "sum", "none"):
        for name in ("L1Loss", "MSELoss", "HuberLoss", "SmoothL1Loss"):
            case(name, inputs=[x, y], reduction=how)
        case("HuberLoss", inputs=[x, y], reduction=how, delta=0.3)
        case("SmoothL1Loss", inputs=[x, y], reduction=how, beta=0.0)
        case("SmoothL1Loss", inputs=[x, y], reduction=how, beta=2.0)
        for log_input in (True, False):
            for full in (True, False):
                case("PoissonNLLLoss", inputs=[positive, fixed(3, 4, a=3, m=7, s=0, d=1.0)], reduction=how,
                     log_input=log_input, full=full, eps=1e-3)
        case("GaussianNLLLoss", inputs=[x, y, positive], reduction=how)
        case("GaussianNLLLoss", inputs=[x, y, X(3, a=5, m=7, s=0, d=6.0)], reduction=how, full=True, eps=1e-2)
        case("GaussianNLLLoss", inputs=[x, y, X(3, 1, a=5, m=7, s=-1, d=6.0)], reduction=how)
        for log_target in (True, False):
            case("KLDivLoss", inputs=[x, share], reduction=how, log_target=log_target)
        case("MarginRankingLoss", inputs=[x, X(3, 4, a=5), sign], reduction=how)
        case("MarginRankingLoss", 0.4, inputs=[x, X(3, 4, a=5), sign], reduction=how)
        case("HingeEmbeddingLoss", inputs=[x, sign], reduction=how)
        case("HingeEmbeddingLoss", 0.6, inputs=[x, sign], reduction=how)
        case("SoftMarginLoss", inputs=[x, sign], reduction=how)
        case("MultiLabelSoftMarginLoss", inputs=[x, share], reduction=how)
        case("MultiLabelSoftMarginLoss", inputs=[x, share], reduction=how, weight=fixed(4, a=3, m=5, s=-1, d=2.0))
        case("MultiLabelMarginLoss", inputs=[x, X(3, 4, a=3, m=5, s=1, d=1.0, kind="i")], reduction=how)
        case("MultiLabelMarginLoss", inputs=[X(4), X(4, a=2, m=5, s=1, d=1.0, kind="i")], reduction=how)
        case("MultiMarginLoss", inputs=[x, labels(3, classes=4)], reduction=how)
        case("MultiMarginLoss", 2, 0.5, inputs=[x, labels(3, classes=4)], reduction=how,
             weight=fixed(4, a=3, m=5, s=-1, d=2.0))
        case("MultiMarginLoss", inputs=[X(4), labels(1, classes=4)], reduction=how)
        case("CosineEmbeddingLoss", inputs=[x, X(3, 4, a=5), row_sign], reduction=how)
        case("CosineEmbeddingLoss", 0.2, inputs=[x, X(3, 4, a=5), row_sign], reduction=how)
        triple = [x, X(3, 4, a=5), X(3, 4, a=3)]
        case("TripletMarginLoss", inputs=triple, reduction=how)
        case("TripletMarginLoss", 0.5, 1, inputs=triple, reduction=how, swap=True)
        case("TripletMarginWithDistanceLoss", inputs=triple, reduction=how, margin=2.0, swap=True)
        case("BCELoss", inputs=[X(3, 4, a=5, m=7, s=0, d=6.0), share], reduction=how)
        case("BCEWithLogitsLoss", inputs=[x, share], reduction=how)
        case("CrossEntropyLoss", inputs=[x, labels(3, classes=4)], reduction=how, ignore_index=1)
        case("NLLLoss", inputs=[x, labels(3, classes=4)], reduction=how, weight=fixed(4, a=3, m=5, s=-1, d=2.0))
        case("CTCLoss", inputs=[X(6, 2, 4), X(2, 2, a=2, m=3, s=-1, d=1.0, kind="i"), data(2, a=1, s=-5),
                                data(2, a=1, s=-1)], reduction=how, zero_infinity=True)
    case("KLDivLoss", inputs=[x, share], reduction="batchmean")
    case("CTCLoss", inputs=[X(6, 2, 4), X(2, 2, a=2, m=3, s=0, d=1.0, kind="i"), data(2, a=0, s=-6),
                            data(2, a=0, s=-2)], blank=3)
    case("HingeEmbeddingLoss", inputs=[x, sign], size_average=False)
    case("SoftMarginLoss", inputs=[x, sign], reduce=False)


for family in (convolutions, pools, pads, activations, norms, layers, losses):
    family()

if "--drawn" in sys.argv:
    for item in DRAWN:
        sys.stdout.write(write(result_of(*item)))
    sys.exit()

drawn = subprocess.run(["/usr/bin/python3", os.path.abspath(__file__), "--drawn"], check=True, capture_output=True,
                       text=True).stdout
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "modules.lua")
with open(path, "w") as out:
    out.write("-- What PyTorch %s computes with modules. Made by make_modules.py, which says what a case holds.\n"
              % torch.__version__.split("+")[0])
    out.write("-- luacheck: ignore 631\nlocal none, nan, inf = ... -- luacheck: ignore\n")
    out.write("return {\n" + "".join(OUT) + drawn + "}\n")
