"""What modules share: empty batches, 16-bit floats, texts of settings that no other call has."""
from calls import M, P, X

# A module, and its input without the batch.
TABLE = [
    (M("Linear", 3, 2), (3,)), (M("Conv1d", 2, 4, 3), (2, 5)), (M("Conv2d", 2, 4, 3), (2, 4, 4)), (M("Conv3d", 1, 2, 2), (1, 2, 3, 2)),
    (M("ConvTranspose1d", 2, 3, 2), (2, 4)), (M("ConvTranspose2d", 2, 3, 2), (2, 2, 3)), (M("ConvTranspose3d", 1, 2, 2), (1, 2, 1, 2)),
    (M("LayerNorm", 4), (4,)), (M("RMSNorm", 4), (4,)), (M("GroupNorm", 2, 4), (4, 3)), (M("LocalResponseNorm", 2), (4, 3)),
    (M("BatchNorm1d", 3), (3,)), (M("BatchNorm2d", 3), (3, 2, 2)), (M("InstanceNorm1d", 3), (3, 4)), (M("InstanceNorm2d", 3), (3, 2, 2)),
    (M("MaxPool1d", 2), (2, 4)), (M("MaxPool2d", 2), (2, 4, 4)), (M("AvgPool2d", 2), (2, 4, 4)), (M("AdaptiveAvgPool1d", 2), (2, 4)),
    (M("AdaptiveAvgPool2d", 2), (2, 4, 4)), (M("AdaptiveMaxPool2d", 2), (2, 4, 4)), (M("PReLU"), (4,)), (M("PReLU", 3), (3, 2)),
    (M("GELU"), (4,)), (M("ReLU"), (4,)), (M("SiLU"), (4,)), (M("Softmax", 1), (4,)), (M("LogSoftmax", 1), (4,)), (M("GLU"), (4,)),
    (M("Tanh"), (4,)), (M("Sigmoid"), (4,)), (M("Hardtanh"), (4,)), (M("ELU"), (4,)), (M("LeakyReLU"), (4,)), (M("Softplus"), (4,)),
    (M("Mish"), (4,)), (M("Hardswish"), (4,)), (M("Dropout", 0.0), (4,)), (M("Identity"), (4,)), (M("Flatten"), (2, 3)),
    (M("Unflatten", P(1), (2, 2)), (4,)), (M("PixelShuffle", 2), (4, 1, 2)), (M("ZeroPad2d", 1), (1, 2, 2)),
    (M("ConstantPad1d", 1, 2.0), (1, 2)), (M("ReflectionPad1d", 1), (1, 3)), (M("ReplicationPad2d", 1), (1, 2, 2)),
    (M("CircularPad1d", 1), (1, 3)), (M("CosineSimilarity"), None), (M("PairwiseDistance"), None), (M("Bilinear", 4, 4, 2), None),
    (M("RNNCell", 3, 4), (3,)), (M("LSTMCell", 3, 4), (3,)), (M("GRUCell", 3, 4), (3,)), (M("Unfold", 2), (1, 3, 3)),
    (M("Softsign"), (4,)), (M("Tanhshrink"), (4,)), (M("LogSigmoid"), (4,)), (M("Softmin", 1), (4,)), (M("ReLU6"), (4,)),
    (M("SELU"), (4,)), (M("CELU"), (4,)), (M("Hardsigmoid"), (4,)), (M("Hardshrink"), (4,)), (M("Softshrink"), (4,)),
]
NO_EMPTY = "BatchNorm1d BatchNorm2d InstanceNorm1d InstanceNorm2d".split()


def batches(c):
    for module, sizes in TABLE:
        two = sizes is None
        sizes = sizes or (4,)
        if module.name not in NO_EMPTY + ["PixelShuffle"]:  # whose backward fails there
            c.m(module, *[X(0, *sizes)] * (2 if two else 1))
        for letter in "hb":
            c.m(module, *[X(2, *sizes) for _ in range(2 if two else 1)], _dtype=letter, _train=False)
    for name in NO_EMPTY:
        sizes = dict((m.name, s) for m, s in TABLE)[name]
        c.m(M(name, 3), X(0, *sizes), _train=False)


def texts(c):
    for name in ("Conv1d", "Conv2d", "Conv3d"):
        for kw in ({"stride": 2}, {"dilation": 2, "groups": 2}, {"padding": 1, "padding_mode": "circular", "bias": False},
                   {"padding": "same"}, {"padding": "valid", "dilation": 3}):
            c.m(M(name, 4, 6, 3, **kw))
        c.m(M("ConvTranspose" + name[4:], 4, 6, 3, stride=2, output_padding=1, groups=2, dilation=2, bias=False))
    for name, kw in (("Embedding", {"padding_idx": -1, "max_norm": 2.0, "norm_type": 3.0, "scale_grad_by_freq": True, "sparse": True}),
                     ("Embedding", {"padding_idx": 2, "max_norm": 1}), ("EmbeddingBag", {"max_norm": 2.0, "norm_type": 1.5}),
                     ("EmbeddingBag", {"mode": "max", "include_last_offset": True, "padding_idx": 3, "sparse": False}),
                     ("EmbeddingBag", {"mode": "sum", "scale_grad_by_freq": True})):
        c.m(M(name, 6, 3, **kw))
    for name in ("RNN", "LSTM", "GRU"):
        for kw in ({"num_layers": 3, "dropout": 0.25}, {"bidirectional": True, "batch_first": True, "bias": False}):
            c.m(M(name, 3, 4, **kw))
        c.m(M(name + "Cell", 3, 4, False))
    c.m(M("RNN", 3, 4, nonlinearity="relu"))
    c.m(M("RNNCell", 3, 4, nonlinearity="relu"))
    c.m(M("LSTM", 3, 4, proj_size=2, num_layers=2))
    for name, args, kw in (("MaxPool1d", (3,), {"stride": 2, "dilation": 2, "ceil_mode": True}), ("MaxPool3d", ((1, 2, 3),), {}),
                           ("AvgPool1d", (3,), {"stride": 1}), ("AvgPool3d", (3,), {"padding": 1}), ("LPPool1d", (1.5, 2), {}),
                           ("AdaptiveAvgPool2d", ((None, 3),), {}), ("AdaptiveMaxPool3d", ((1, None, 2),), {}),
                           ("MaxUnpool2d", ((2, 3),), {"stride": 1, "padding": 1}), ("Fold", ((4, 5), 2), {"stride": (1, 2)}),
                           ("Unfold", ((2, 3),), {}), ("Upsample", (None, (2.0, 1.5)), {}), ("Upsample", ((3, 4), None, "bilinear", True), {}),
                           ("Threshold", (0.1, 20), {"inplace": True}), ("Hardtanh", (-2, 2.5), {"inplace": True}), ("PReLU", (3,), {}),
                           ("RReLU", (0.1, 0.2, True), {}), ("Softplus", (2, 10), {}), ("Dropout", (0.3, True), {}), ("GLU", (0,), {}),
                           ("BatchNorm2d", (4, 1e-3, None, False, False), {}), ("InstanceNorm3d", (4, 1e-3, 0.5, True, True), {}),
                           ("LayerNorm", ((3, 4),), {"eps": 1e-3, "elementwise_affine": False}), ("RMSNorm", (3,), {"eps": 1e-3}),
                           ("CTCLoss", (2, "sum", True), {}), ("MultiheadAttention", (4, 2), {"kdim": 3, "vdim": 5, "add_bias_kv": True})):
        c.m(M(name, *args, **kw))


def describe(c):
    batches(c)
    texts(c)
