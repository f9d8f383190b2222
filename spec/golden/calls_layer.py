"""Linear layers, embeddings, distances, shapes, pixels."""
from calls import C, I, M, N, P, V, X, inf


def linear(c):
    for shape in ((3,), (4, 3), (2, 2, 3), (1, 2, 2, 3), (0, 3)):
        c.f("linear", X(*shape), X(2, 3))
        c.f("linear", X(*shape), X(2, 3), X(2))
        c.f("linear", X(*shape), X(3))
        c.m(M("Linear", 3, 2), X(*shape))
        c.m(M("Linear", 3, 2, False), X(*shape))
        c.m(M("Identity"), X(*shape))
    c.m(M("Identity", 3, 2), X(2))
    c.f("linear", C(4, 3), C(2, 4), _err=True)
    c.f("linear", C(4, 3), C(2, 3), C(3), _err=True)
    c.f("linear", C(4, 3), C(2, 3, dtype="h"), _err=True)
    c.f("linear", N(4, 3), C(2, 3), _err=True)
    c.m(M("Linear", 3, 2), C(4, 5), _err=True)
    c.m(M("Linear", 0, 2), X(4, 0))
    c.m(M("Linear", 3, 0), X(4, 3))
    for lead in ((), (4,), (2, 3)):
        c.f("bilinear", X(*lead, 3), X(*lead, 2), X(4, 3, 2))
        c.f("bilinear", X(*lead, 3), X(*lead, 2), X(4, 3, 2), X(4))
        c.m(M("Bilinear", 3, 2, 4), X(*lead, 3), X(*lead, 2))
        c.m(M("Bilinear", 3, 2, 1, bias=False), X(*lead, 3), X(*lead, 2))
    c.f("bilinear", C(2, 3), C(3, 2), C(4, 3, 2), _err=True)
    c.f("bilinear", C(2, 4), C(2, 2), C(4, 3, 2), _err=True)
    c.m(M("Bilinear", 0, 2, 3), _err=True)
    for letter in "hb":
        c.f("linear", X(4, 3), X(2, 3), X(2), _dtype=letter)
        c.f("bilinear", X(4, 3), X(4, 2), X(2, 3, 2), _dtype=letter)
        c.f("embedding", I(4, classes=5), X(5, 3), _dtype=letter)
        for mode in ("sum", "mean", "max"):
            c.f("embedding_bag", I(2, 3, classes=5), X(5, 3), mode=mode, _dtype=letter)
        c.f("pixel_shuffle", X(4, 1, 2), 2, _dtype=letter)
        c.f("pdist", C(4, 3), _dtype=letter, _err=True)


def embeddings(c):
    for shape in ((), (4,), (2, 3), (2, 2, 2), (0,)):
        i = I(*shape, classes=5)
        for kw in ({}, {"padding_idx": 0}, {"padding_idx": 3}, {"padding_idx": -1}, {"scale_grad_by_freq": True},
                   {"padding_idx": 1, "scale_grad_by_freq": True}):
            c.f("embedding", i, X(5, 3), **kw)
            c.m(M("Embedding", 5, 3, **kw), i)
        if shape:
            for norm in ({"max_norm": 1.0}, {"max_norm": 1.5, "norm_type": 1}, {"max_norm": 0.5, "norm_type": inf},
                         {"max_norm": 2, "norm_type": 3.0}):
                c.f("embedding", i, C(5, 3), **norm)
                c.m(M("Embedding", 5, 3, **norm), i)
    c.f("embedding", I(4, classes=5, dtype="int32"), X(5, 3))
    c.f("embedding", C(2), C(5, 3), _err=True)
    c.f("embedding", V([5], "i"), C(5, 3), _err=True)
    c.f("embedding", V([-1], "n"), C(5, 3), _err=True)
    c.f("embedding", I(2, classes=5), C(5), _err=True)
    c.f("embedding", I(2, classes=5), C(5, 3), padding_idx=5, _err=True)
    c.m(M("Embedding", 5, 3, padding_idx=5), _err=True)
    c.m(M("Embedding", 5, 3, padding_idx=-6), _err=True)
    c.m(M("Embedding", 5, 3, _weight=C(5, 3)), I(2, classes=5))
    c.m(M("Embedding", 5, 3, _weight=C(5, 2)), _err=True)
    for mode in ("mean", "sum", "max"):
        flat = ({"offsets": N(3, a=2)}, {"offsets": V([0, 2, 2, 6], "n")}, {"offsets": V([0, 0, 6], "n")},
                {"offsets": V([0, 2, 6], "n"), "include_last_offset": True})
        for kw in ({}, {"padding_idx": 0}, {"padding_idx": -1}, {"max_norm": 1.0}, {"max_norm": 1.0, "norm_type": 1.0},
                   {"scale_grad_by_freq": True}):
            if mode == "max" and "scale_grad_by_freq" in kw:
                c.f("embedding_bag", I(2, 3, classes=5), C(5, 3), mode=mode, _err=True, **kw)
                c.m(M("EmbeddingBag", 5, 3, mode=mode, **kw), I(2, 3, classes=5), _err=True)
                continue
            table = C(5, 3) if "max_norm" in kw else X(5, 3)
            c.f("embedding_bag", I(2, 3, classes=5), table, mode=mode, **kw)
            c.m(M("EmbeddingBag", 5, 3, mode=mode, **kw), I(2, 3, classes=5))
            for more in flat:
                c.f("embedding_bag", I(6, classes=5), table, mode=mode, **kw, **more)
                made = {k: v for k, v in more.items() if k[0] == "i"}
                c.m(M("EmbeddingBag", 5, 3, mode=mode, **kw, **made), I(6, classes=5), more["offsets"])
    c.f("embedding_bag", I(2, 3, classes=5), X(5, 3), mode="sum", per_sample_weights=X(2, 3))
    c.f("embedding_bag", I(6, classes=5), X(5, 3), N(3, a=2), mode="sum", per_sample_weights=X(6))
    c.f("embedding_bag", I(6, classes=5), X(5, 3), N(3, a=2), mode="sum", per_sample_weights=X(6), padding_idx=2)
    c.m(M("EmbeddingBag", 5, 3, mode="sum"), I(2, 3, classes=5), None, X(2, 3))
    c.m(M("EmbeddingBag", 5, 3, mode="sum", padding_idx=1), I(2, 3, classes=5), per_sample_weights=X(2, 3))
    c.f("embedding_bag", I(2, 3, classes=5), X(5, 3), mode="mean", per_sample_weights=C(2, 3), _err=True)
    c.f("embedding_bag", I(2, 3, classes=5), C(5, 3), mode="median", _err=True)
    c.f("embedding_bag", I(6, classes=5), C(5, 3), _err=True)
    c.f("embedding_bag", I(2, 3, classes=5), C(5, 3), V([0], "n"), _err=True)
    c.f("embedding_bag", I(6, classes=5), C(5, 3), V([1, 2], "n"), _err=True)
    c.f("embedding_bag", I(6, classes=5), C(5, 3), V([0, 7], "n"), _err=True)
    c.f("embedding_bag", I(2, 1, 3, classes=5), C(5, 3), _err=True)
    c.m(M("EmbeddingBag", 5, 3, padding_idx=5), _err=True)
    for shape in ((), (4,), (2, 3)):
        c.f("one_hot", I(*shape, classes=5))
        c.f("one_hot", I(*shape, classes=5), 7)
        c.f("one_hot", I(*shape, classes=5), num_classes=5)
    c.f("one_hot", I(0, classes=5), 3)
    c.f("one_hot", I(0, classes=5), _err=True)
    c.f("one_hot", I(3, classes=5), 2, _err=True)
    c.f("one_hot", V([-1, 2], "n"), _err=True)
    c.f("one_hot", C(3), _err=True)


def distances(c):
    for shape in ((4,), (3, 4), (2, 3, 4)):
        a, b = X(*shape), X(*shape)
        for dim in range(-1, len(shape)):
            c.f("cosine_similarity", a, b, dim=dim)
            c.m(M("CosineSimilarity", dim), a, b)
        c.f("cosine_similarity", a, b, dim=0, eps=10.0)
        for kw in ({}, {"p": 1.0}, {"p": 3.0}, {"p": inf}, {"p": 0.5}, {"p": -1.0}, {"eps": 0.25}, {"keepdim": True},
                   {"p": 1.5, "eps": 0.1, "keepdim": True}):
            c.f("pairwise_distance", a, b, **kw)
            c.m(M("PairwiseDistance", **kw), a, b)
    c.m(M("CosineSimilarity"), X(3, 4), X(3, 4))
    c.m(M("CosineSimilarity", eps=1e-3), X(3, 4), X(1, 4))
    c.f("cosine_similarity", V([0.0, 0.0, 1.0, 2.0], shape=(2, 2)), X(2, 2))
    c.f("cosine_similarity", X(2, 1, 4), X(3, 4), dim=-1)
    c.f("pairwise_distance", X(3, 4), X(4))
    c.f("pairwise_distance", X(0, 4), X(0, 4))
    c.f("cosine_similarity", C(2, 3), C(2, 4), _err=True)
    c.f("cosine_similarity", C(2, 3), C(2, 3), dim=2, _err=True)
    c.f("cosine_similarity", N(2, 3), N(2, 3), _err=True)
    c.f("pairwise_distance", C(2, 3), C(2, 4), _err=True)
    for p in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, inf):
        c.f("pdist", X(4, 3), p)
        c.f("pdist", X(2, 1), p=p)
    c.f("pdist", X(4, 3))
    c.f("pdist", X(1, 3))
    c.f("pdist", C(0, 3))  # its gradient ends PyTorch
    c.f("pdist", C(3), _err=True)
    c.f("pdist", C(2, 3), -1.0, _err=True)
    c.f("pdist", N(2, 3), _err=True)
    for letter in "hb":
        c.f("cosine_similarity", X(3, 4), X(3, 4), _dtype=letter)
        c.f("pairwise_distance", X(3, 4), X(3, 4), _dtype=letter)


def shapes(c):
    for lead in ((), (2,), (1, 2)):
        for r in (1, 2):
            c.f("pixel_shuffle", X(*lead, 2 * r * r, 2, 3), r)
            c.f("pixel_unshuffle", X(*lead, 1, 4, 2), r)
            c.m(M("PixelShuffle", r), X(*lead, 2 * r * r, 2, 3))
            c.m(M("PixelUnshuffle", r), X(*lead, 1, 4, 2))
    c.f("pixel_shuffle", X(1, 9, 1, 2), 3)
    c.f("pixel_shuffle", C(3, 2, 2), 2, _err=True)
    c.f("pixel_shuffle", C(2, 2), 2, _err=True)
    c.f("pixel_shuffle", C(4, 2, 2), 0, _err=True)
    c.f("pixel_unshuffle", C(1, 3, 2), 2, _err=True)
    c.f("pixel_unshuffle", C(1, 2, 3), 2, _err=True)
    c.f("pixel_unshuffle", C(2, 2), 2, _err=True)
    c.f("pixel_unshuffle", C(1, 2, 2), 0, _err=True)
    for shape in ((1, 4, 2), (2, 4, 2, 2), (1, 6, 1, 2, 2)):
        for groups in (1, 2):
            c.m(M("ChannelShuffle", groups), X(*shape))
    c.m(M("ChannelShuffle", 3), C(1, 4, 2, 2), _err=True)
    c.m(M("ChannelShuffle", 2), C(4), _err=True)
    for kw in ({}, {"start_dim": 0}, {"start_dim": 1, "end_dim": 2}, {"start_dim": -2}, {"start_dim": 0, "end_dim": -2}):
        c.m(M("Flatten", **kw), X(2, 3, 1, 2))
    c.m(M("Flatten"), X(0, 3, 2))
    c.m(M("Flatten", 2, 1), C(2, 3, 2), _err=True)
    c.m(M("Flatten", 1, 5), C(2, 3, 2), _err=True)
    for dim, sizes in ((1, (2, 3)), (-1, (3, 2)), (1, (-1, 2)), (1, (1, 6))):
        c.m(M("Unflatten", P(dim), sizes), X(2, 6))
    c.m(M("Unflatten", P(1), (4, 2)), C(2, 6), _err=True)


def refusals(c):
    c.m(M("CosineSimilarity"), C(2, 3), C(2, 4), _err=True)
    c.m(M("PairwiseDistance"), C(2, 3), C(2, 4), _err=True)
    c.m(M("PixelShuffle", 2), C(3, 2, 2), _err=True)
    c.m(M("PixelUnshuffle", 2), C(1, 3, 2), _err=True)
    c.m(M("Embedding", 5, 3), V([5], "i"), _err=True)
    c.m(M("Embedding", 5, 3), C(2), _err=True)
    c.m(M("EmbeddingBag", 5, 3), I(6, classes=5), _err=True)
    c.m(M("EmbeddingBag", 5, 3), V([[0, 5]], "i"), _err=True, _dtype="d")  # single precision has other words
    c.m(M("EmbeddingBag", 5, 3), I(2, 3, classes=5), per_sample_weights=C(2, 3), _err=True)
    c.m(M("Linear", 3, 2), C(4, 3, dtype="h"), _err=True)
    c.m(M("Bilinear", 3, 2, 4), C(5, 2), C(5, 2), _err=True)
    c.m(M("Unfold", 5), C(1, 2, 4, 3), _err=True)
    c.m(M("Fold", (4, 3), 2), C(1, 7, 6), _err=True)
    c.m(M("LocalResponseNorm", 2), C(2, 3), _err=True)
    for n in (1, 2, 3):
        for kind in ("Reflection", "Replication"):
            c.m(M("%sPad%dd" % (kind, n), 1), C(3), _err=True)
        c.m(M("ZeroPad%dd" % n, -3), C(1, 2, *[2] * n), _err=True)
        c.m(M("ConstantPad%dd" % n, -3, 1.0), C(1, 2, *[2] * n), _err=True)


def describe(c):
    linear(c)
    refusals(c)
    embeddings(c)
    distances(c)
    shapes(c)
