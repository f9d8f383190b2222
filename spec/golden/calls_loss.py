"""Losses."""
from calls import C, EndMark, Fn, I, M, N, V, X, inf, nan

HOW = ("mean", "sum", "none")


def sign(*shape):
    return C(*shape, a=2, m=4, s=1, d=1)  # -1 and 1


def share(*shape, **more):
    """From 0 to 1."""
    return C(*shape, a=5, m=9, s=0, d=8, **more)


def chance(*shape):
    """Inside (0, 1), with a gradient."""
    return X(*shape, m=15, s=-1, d=16)


def positive(*shape, **more):
    return X(*shape, m=13, s=-1, d=8, **more)


def weights(n):
    return C(n, a=3, m=5, s=-1, d=2)


def both(c, f, module, tensors, settings=({},), hows=HOW, **more):
    for how in hows:
        for kw in settings:
            c.twins(lambda: c.f(f, *tensors, reduction=how, **kw, **more),
                    lambda: c.m(M(module, reduction=how, **kw), *tensors, **more))


def of_pairs(c):
    for shape in ((3, 4), (4,), (), (2, 3, 2)):
        x, y = X(*shape), X(*shape)
        both(c, "mse_loss", "MSELoss", (x, y))
        both(c, "l1_loss", "L1Loss", (x, y))
        both(c, "smooth_l1_loss", "SmoothL1Loss", (x, y), [{}, {"beta": 0.5}, {"beta": 0.0}, {"beta": 2}])
        both(c, "huber_loss", "HuberLoss", (x, y), [{}, {"delta": 0.3}, {"delta": 2}])
        both(c, "soft_margin_loss", "SoftMarginLoss", (x, sign(*shape)))
        both(c, "hinge_embedding_loss", "HingeEmbeddingLoss", (x, sign(*shape)), [{}, {"margin": 0.4}])
        both(c, "poisson_nll_loss", "PoissonNLLLoss", (positive(*shape), C(*shape, m=7, s=0, d=2)),
             [{}, {"log_input": False}, {"full": True}, {"log_input": False, "full": True, "eps": 1e-2}])
        both(c, "kl_div", "KLDivLoss", (x, share(*shape)), [{}], HOW if shape == () else HOW + ("batchmean",))
        both(c, "kl_div", "KLDivLoss", (x, X(*shape)), [{"log_target": True}])
        both(c, "binary_cross_entropy", "BCELoss", (chance(*shape), share(*shape)))
        both(c, "binary_cross_entropy_with_logits", "BCEWithLogitsLoss", (x, share(*shape)))
        both(c, "binary_cross_entropy_with_logits", "BCEWithLogitsLoss", (x, positive(*shape)))
        if shape:
            w = weights(shape[-1])
            both(c, "binary_cross_entropy", "BCELoss", (chance(*shape), share(*shape)), [{"weight": w}])
            both(c, "binary_cross_entropy_with_logits", "BCEWithLogitsLoss", (x, share(*shape)),
                 [{"weight": w}, {"pos_weight": w}, {"weight": w, "pos_weight": weights(1)}])
            both(c, "gaussian_nll_loss", "GaussianNLLLoss", (x, y, positive(*shape)), [{}, {"full": True}, {"eps": 0.5}])
            both(c, "gaussian_nll_loss", "GaussianNLLLoss", (x, y, positive(*shape[:-1], 1)), [{"full": True}])
            both(c, "gaussian_nll_loss", "GaussianNLLLoss", (x, y, positive(*shape[:-1])))
        both(c, "margin_ranking_loss", "MarginRankingLoss", (x, y, sign(*shape)), [{}, {"margin": 0.4}])
    for how in HOW:
        c.f("binary_cross_entropy", chance(3, 4), share(3, 4), weight=share(3, 4), reduction=how)
        c.f("binary_cross_entropy_with_logits", X(3, 4), share(3, 4), weight=share(3, 4), pos_weight=weights(4), reduction=how)
        c.f("mse_loss", X(3, 4), X(3, 4), weight=positive(3, 4), reduction=how)
        c.f("l1_loss", X(3, 4), X(3, 4), weight=share(3, 4), reduction=how)
        c.f("huber_loss", X(3, 4), X(3, 4), weight=share(3, 4), reduction=how)
    for f, module in (("mse_loss", "MSELoss"), ("l1_loss", "L1Loss"), ("soft_margin_loss", "SoftMarginLoss")):
        for kw in ({"size_average": False}, {"reduce": False}, {"size_average": True, "reduce": True}):
            c.f(f, X(3), sign(3), **kw)
            c.m(M(module, **kw), X(3), sign(3))
        both(c, f, module, (X(0, 3), C(0, 3)))
        c.f(f, V([nan, 1.0, inf]), C(3), reduction="none")
        c.f(f, C(3), C(3), reduction="max", _err=True)
        for letter in "hb":
            c.f(f, X(3, 4), sign(3, 4), _dtype=letter)
    for f in ("smooth_l1_loss", "huber_loss", "kl_div", "poisson_nll_loss", "hinge_embedding_loss"):
        c.f(f, C(3), C(3), reduction="max", _err=True)
        c.f(f, X(0, 3), C(0, 3), reduction="sum")
        c.f(f, X(0, 3), C(0, 3))
        c.f(f, V([nan, 1.0, inf, -inf], g=False), C(4), reduction="none")
    c.f("smooth_l1_loss", C(3), C(3), beta=-1.0, _err=True)
    c.f("huber_loss", C(3), C(3), delta=-1.0, _err=True)
    c.f("huber_loss", C(3), C(3), delta=0.0, _err=True)
    c.f("binary_cross_entropy", V([1.5]), V([1.0], g=False), _err=True)
    c.f("binary_cross_entropy", V([0.0, 1.0, 0.0, 1.0]), V([0.0, 1.0, 1.0, 0.0], g=False), reduction="none")
    c.f("binary_cross_entropy", C(3), C(4), _err=True)
    c.f("binary_cross_entropy_with_logits", C(3), C(4), _err=True)
    c.f("binary_cross_entropy_with_logits", V([1000.0, -1000.0, 0.0]), V([0.0, 1.0, 0.5], g=False), reduction="none")
    c.f("gaussian_nll_loss", C(3), C(3), C(3), _err=True)
    c.f("gaussian_nll_loss", C(3), C(3), share(2), _err=True)
    c.f("gaussian_nll_loss", X(3), C(3), 0.5)
    c.f("gaussian_nll_loss", C(3), C(3), share(3), reduction="max", _err=True)
    c.f("margin_ranking_loss", C(3), C(2, 3), C(3), _err=True)
    c.f("poisson_nll_loss", N(3, m=3), N(3, m=3), log_input=True)
    c.f("mse_loss", X(3), N(3, m=4))


def of_labels(c):
    for shape, target in (((3, 4), (3,)), ((4,), ()), ((2, 4, 3), (2, 3)), ((2, 4, 2, 1), (2, 2, 1))):
        x, y = X(*shape), I(*target, classes=4)
        for f, module in (("nll_loss", "NLLLoss"), ("cross_entropy", "CrossEntropyLoss")):
            both(c, f, module, (x, y), [{}, {"weight": weights(4)}, {"ignore_index": 1}, {"ignore_index": 1, "weight": weights(4)}])
        both(c, "cross_entropy", "CrossEntropyLoss", (x, y),
             [{"label_smoothing": 0.3}, {"label_smoothing": 0.1, "weight": weights(4), "ignore_index": 2}])
        both(c, "cross_entropy", "CrossEntropyLoss", (x, share(*shape)),
             [{}, {"label_smoothing": 0.3}, {"weight": weights(4)}, {"weight": weights(4), "label_smoothing": 0.2}])
        both(c, "cross_entropy", "CrossEntropyLoss", (x, positive(*shape)), hows=("mean",))
    for f in ("nll_loss", "cross_entropy"):
        for how in HOW:
            c.f(f, X(3, 4), V([1, -100, 2], "i"), reduction=how)
            c.f(f, X(3, 4), V([1, -7, 2], "i"), reduction=how, ignore_index=-7)
            c.f(f, X(2, 4), V([-100, -100], "i"), reduction=how)
            c.f(f, X(0, 4), I(0, classes=4), reduction=how)
        c.f(f, V([nan, 1.0, inf, 2.0], shape=(2, 2), g=False), V([0, 1], "i"), reduction="none")
        c.f(f, V([-inf, 1.0, 0.0, -inf], shape=(2, 2)), V([0, 0], "i"), reduction="none")
        c.f(f, C(3, 4), V([1, 4, 2], "i"), _err=True)
        c.f(f, C(3, 4), I(2, classes=4), _err=True)
        c.f(f, C(3, 4), I(3, classes=4), weights(3), _err=True)
        c.f(f, C(3, 4), I(3, classes=4), reduction="max", _err=True)
        c.f(f, C(2, 4, 3), I(2, 2, classes=4), _err=True)
        c.f(f, C(3, 4), I(3, classes=4), C(4, dtype="h"), _err=True)
        for letter in "hb":
            c.f(f, X(3, 4), I(3, classes=4), _dtype=letter)
    c.f("cross_entropy", C(3, 4), I(3, classes=4), label_smoothing=1.5, _err=True)
    c.f("cross_entropy", C(3, 4), C(3, 4), ignore_index=1, _err=True)
    c.f("cross_entropy", C(3, 4), C(3), _err=True)
    for how in HOW:
        for kw in ({}, {"p": 2}, {"margin": 0.4}, {"weight": weights(4)}, {"p": 2, "margin": 2.0, "weight": weights(4)}):
            both(c, "multi_margin_loss", "MultiMarginLoss", (X(3, 4), I(3, classes=4)), [kw], (how,))
        both(c, "multi_margin_loss", "MultiMarginLoss", (X(4), I(classes=4)), hows=(how,))
        both(c, "multi_margin_loss", "MultiMarginLoss", (X(4), I(1, classes=4)), hows=(how,))
        both(c, "multilabel_margin_loss", "MultiLabelMarginLoss",
             (X(3, 4), EndMark(3, 4, kind="i", a=3, m=5, s=1, d=1)), hows=(how,))
        both(c, "multilabel_margin_loss", "MultiLabelMarginLoss",
             (X(4), EndMark(4, kind="i", values=[3, 0, -1, 1])), hows=(how,))
        both(c, "multilabel_margin_loss", "MultiLabelMarginLoss",
             (X(2, 3), EndMark(2, 3, kind="i", values=[-1, 0, 1, 0, 1, 2])), hows=(how,))
        for shape in ((3, 4), (4,), (2, 3, 4)):
            both(c, "multilabel_soft_margin_loss", "MultiLabelSoftMarginLoss", (X(*shape), share(*shape)),
                 [{}, {"weight": weights(4)}], (how,))
    c.f("multi_margin_loss", C(3, 4), V([1, 4, 2], "i"), _err=True)
    c.f("multi_margin_loss", C(3, 4), I(3, classes=4), 3, _err=True)
    c.f("multi_margin_loss", C(3, 4), I(3, classes=4), weight=C(3), _err=True)
    c.f("multi_margin_loss", C(3, 4), I(2, classes=4), _err=True)
    c.f("multilabel_margin_loss", C(3, 4), I(3, classes=4), _err=True)
    c.f("multilabel_margin_loss", C(1, 3), EndMark(1, 3, kind="i", values=[3, -1, 0]), _err=True)


def of_triples(c):
    for how in HOW:
        for shape in ((3, 4), (4,)):
            a, b = X(*shape), X(*shape)
            both(c, "cosine_embedding_loss", "CosineEmbeddingLoss", (a, b, sign(*shape[:-1])), [{}, {"margin": 0.3}, {"margin": -0.2}],
                 (how,))
        triples = [(X(3, 4), X(3, 4), X(3, 4)), (X(4), X(4), X(4)), (X(2, 3, 2), X(2, 3, 2), X(2, 3, 2))]
        for t in triples:
            both(c, "triplet_margin_loss", "TripletMarginLoss", t,
                 [{}, {"margin": 2.5}, {"p": 1}, {"p": 3.0}, {"swap": True}, {"eps": 0.1, "swap": True, "margin": 3}], (how,))
            both(c, "triplet_margin_with_distance_loss", "TripletMarginWithDistanceLoss", t,
                 [{}, {"margin": 2.0, "swap": True}, {"distance_function": Fn("manhattan")}], (how,))
    c.f("cosine_embedding_loss", C(3, 4), C(3, 4), sign(3, 1), _err=True)
    c.f("triplet_margin_loss", C(3, 4), C(3, 4), C(4), _err=True)
    c.f("triplet_margin_loss", C(3, 4), C(3, 4), C(3, 4), margin=0, _err=True)
    c.m(M("TripletMarginLoss", margin=-1), _err=True)
    c.f("triplet_margin_with_distance_loss", C(3, 4), C(3, 4), C(4), _err=True)


def ctc(c):
    targets = V([1, 2, 3, 1, 1, 2], "i", shape=(2, 3))
    for how in HOW:
        for zero in (False, True):
            kw = {"reduction": how, "zero_infinity": zero}
            c.f("ctc_loss", X(6, 2, 4), targets, V([6, 5], "n"), V([3, 2], "n"), **kw)
            c.f("ctc_loss", X(6, 2, 4), targets, V([6, 2], "n"), V([3, 3], "n"), **kw)
            c.f("ctc_loss", X(6, 2, 4), V([1, 2, 3, 1, 1], "i"), V([6, 6], "n"), V([3, 2], "n"), **kw)
            c.f("ctc_loss", X(6, 4), V([1, 2, 3], "i"), V(6, "n", shape=()), V(3, "n", shape=()), **kw)
            c.f("ctc_loss", X(6, 2, 4), V([0, 1, 3, 1, 1, 0], "i", shape=(2, 3)), V([6, 6], "n"), V([3, 3], "n"), blank=2, **kw)
            c.f("ctc_loss", X(6, 2, 4), targets, (6, 5), (3, 0), **kw)
            c.m(M("CTCLoss", **kw), X(6, 2, 4), targets, V([6, 5], "n"), V([3, 2], "n"))
            c.m(M("CTCLoss", blank=3, **kw), X(6, 2, 4), V([0, 2, 1, 1, 1, 0], "i", shape=(2, 3)), (6, 5), (2, 3))
    c.f("ctc_loss", C(6, 2, 4), targets, (6, 6), (3,), _err=True)
    c.f("ctc_loss", C(6, 2, 4), targets, (7, 6), (3, 3), _err=True)
    c.f("ctc_loss", C(6, 2, 4), targets, (6, 6), (4, 3), _err=True)
    c.f("ctc_loss", C(6, 2, 4), targets, (6, 6), (3, 3), blank=4, _err=True)


def in_16_bits(c):
    for letter in "hb":
        x, y = X(3, 4), C(3, 4, m=13, s=6)
        for f in ("smooth_l1_loss", "huber_loss", "kl_div", "poisson_nll_loss", "binary_cross_entropy_with_logits"):
            for how in HOW:
                c.f(f, x, share(3, 4), reduction=how, _dtype=letter)
        c.f("binary_cross_entropy", chance(3, 4), share(3, 4), _dtype=letter)
        c.f("hinge_embedding_loss", x, sign(3, 4), _dtype=letter)
        c.f("margin_ranking_loss", x, y, sign(3, 4), _dtype=letter)
        c.f("cosine_embedding_loss", x, y, sign(3), _dtype=letter)
        c.f("triplet_margin_loss", x, y, X(3, 4), _dtype=letter)
        c.f("gaussian_nll_loss", x, y, positive(3, 4), _dtype=letter)
        c.f("multilabel_soft_margin_loss", x, share(3, 4), _dtype=letter)
        c.f("cross_entropy", x, share(3, 4), _dtype=letter)
        c.f("cross_entropy", x, I(3, classes=4), label_smoothing=0.2, _dtype=letter)


def at_zero(c):
    """Where the small numbers that are added count."""
    still = V([0.0, 0.0, 1e-6, 0.0, 1e-6, -2e-6], shape=(3, 2))
    other = V([0.0, 0.0, 2e-6, 1e-6, 0.0, 3e-6], shape=(3, 2))
    for letter in "ds":
        c.f("cosine_embedding_loss", still, other, sign(3), reduction="none", _dtype=letter)
        c.f("triplet_margin_loss", still, still, other, reduction="none", _dtype=letter)
        c.f("poisson_nll_loss", V([0.0, 1e-9, 1e-7]), C(3, m=7, s=0, d=2), log_input=False, reduction="none", _dtype=letter)
        c.f("gaussian_nll_loss", X(3), X(3), V([0.0, 1e-7, 2e-6], g=False), reduction="none", _dtype=letter)
        c.f("binary_cross_entropy", V([0.0, 1e-38, 1.0]), V([1.0, 0.5, 0.25], g=False), reduction="none", _dtype=letter)
        c.f("kl_div", X(3), V([0.0, 1e-30, 1.0], g=False), reduction="none", _dtype=letter)
        c.f("pairwise_distance", still, other, _dtype=letter)
        c.f("cosine_similarity", still, other, _dtype=letter)
        c.f("normalize", V([0.0, 0.0, 1e-13, 0.0, 1e-11, 1e-12], shape=(3, 2), g=False), _dtype=letter)


def refusals(c):
    for module in ("L1Loss", "MSELoss", "SmoothL1Loss", "HuberLoss", "SoftMarginLoss", "HingeEmbeddingLoss", "KLDivLoss",
                   "PoissonNLLLoss", "BCELoss", "BCEWithLogitsLoss", "MultiLabelSoftMarginLoss"):
        c.m(M(module, reduction="max"), share(3, 4), share(3, 4), _err=True)
    c.m(M("GaussianNLLLoss", reduction="max"), C(3), C(3), share(3), _err=True)
    c.m(M("GaussianNLLLoss"), C(3), C(3), C(3), _err=True)
    c.m(M("MarginRankingLoss", reduction="max"), C(3), C(3), sign(3), _err=True)
    c.m(M("MarginRankingLoss"), C(3), C(2, 3), sign(3), _err=True)
    c.m(M("CosineEmbeddingLoss"), C(3, 4), C(3, 4), sign(3, 1), _err=True)
    c.m(M("TripletMarginLoss"), C(3, 4), C(3, 4), C(4), _err=True)
    c.m(M("TripletMarginWithDistanceLoss"), C(3, 4), C(3, 4), C(4), _err=True)
    for module in ("NLLLoss", "CrossEntropyLoss"):
        c.m(M(module), C(3, 4), V([1, 4, 2], "i"), _err=True)
        c.m(M(module), C(3, 4), I(2, classes=4), _err=True)
        c.m(M(module, weight=C(3)), C(3, 4), I(3, classes=4), _err=True)
        c.m(M(module, reduction="max"), C(3, 4), I(3, classes=4), _err=True)
    c.m(M("CrossEntropyLoss", label_smoothing=2.0), C(3, 4), I(3, classes=4), _err=True)
    c.m(M("MultiMarginLoss", p=3), _err=True)
    c.m(M("MultiMarginLoss", weight=C(2, 2)), _err=True)
    c.m(M("MultiMarginLoss"), C(3, 4), V([1, 4, 2], "i"), _err=True)
    c.m(M("MultiLabelMarginLoss"), C(3, 4), I(3, classes=4), _err=True)
    c.m(M("CTCLoss"), C(6, 2, 4), V([1, 2, 3, 1, 1, 2], "i", shape=(2, 3)), (6, 6), (3,), _err=True)
    c.m(M("BCELoss"), V([1.5]), V([1.0], g=False), _err=True)
    c.m(M("SmoothL1Loss", beta=-1.0), C(3), C(3), _err=True)
    c.m(M("HuberLoss", delta=0.0), C(3), C(3), _err=True)
    c.f("multilabel_soft_margin_loss", C(3, 4), share(3, 4), reduction="max", _err=True)
    for target in ("int32", "uint8", "int16"):
        c.f("cross_entropy", X(3, 4), V([1, 0, 3], "i", dtype=target), _err=target != "uint8")
        c.f("nll_loss", X(3, 4), V([1, 0, 3], "i", dtype=target), _err=target != "uint8")


def describe(c):
    of_pairs(c)
    refusals(c)
    in_16_bits(c)
    at_zero(c)
    of_labels(c)
    of_triples(c)
    ctc(c)
