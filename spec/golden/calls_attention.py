"""Attention, recurrent layers, transformers."""
from calls import B, C, Fn, M, V, X, inf

CAUSAL = [[0.0, -inf, -inf], [0.0, 0.0, -inf], [0.0, 0.0, 0.0]]


def dot_products(c):
    f = "scaled_dot_product_attention"
    for lead in ((2,), (2, 2), ()):
        q, k, v = X(*lead, 3, 4), X(*lead, 5, 4), X(*lead, 5, 2)
        c.f(f, q, k, v)
        c.f(f, q, k, v, scale=0.3)
        c.f(f, q, k, v, attn_mask=B(3, 5))
        c.f(f, q, k, v, attn_mask=X(3, 5))
        c.f(f, q, k, v, is_causal=True)
        c.f(f, q, q, q, is_causal=True, scale=1.0)
        if lead:
            c.f(f, q, k, v, B(*lead, 3, 5), 0.0, False)
            c.f(f, q, k, v, attn_mask=C(2, 1, 5) if lead == (2,) else C(2, 1, 1, 5))
    c.f(f, X(1, 4, 2, 3), X(1, 2, 3, 3), X(1, 2, 3, 3), enable_gqa=True)
    c.f(f, X(1, 2, 2, 3), X(1, 2, 2, 3), C(1, 2, 2, 3), V([False, False, True, True], "o", shape=(2, 2)))
    c.f(f, C(4), C(4), C(4), _err=True)
    c.f(f, C(2, 3, 4), C(2, 5, 4), C(2, 5, 4), C(3, 4), _err=True)
    c.f(f, C(2, 3, 4), C(2, 5, 4), C(2, 5, 4), C(3, 5), is_causal=True, _err=True)


def heads(c):
    for kw in ({}, {"bias": False}, {"add_bias_kv": True}, {"add_zero_attn": True}, {"kdim": 3, "vdim": 5}, {"batch_first": True},
               {"add_bias_kv": True, "add_zero_attn": True, "batch_first": True}, {"kdim": 6, "vdim": 6},
               {"kdim": 3, "vdim": 5, "add_bias_kv": True, "bias": False}):
        k, v = kw.get("kdim", 4), kw.get("vdim", 4)
        for batch in (2, None):
            first = kw.get("batch_first")
            def sizes(length, width):
                return (length, width) if batch is None else (batch, length, width) if first else (length, batch, width)
            given = X(*sizes(2, 4)), X(*sizes(3, k)), X(*sizes(3, v))
            module = M("MultiheadAttention", 4, 2, **kw)
            c.m(module, *given)
            c.m(module, *given, need_weights=False)
            c.m(module, *given, average_attn_weights=False)
            c.m(module, *given, attn_mask=B(2, 3))
            c.m(module, *given, attn_mask=C(2, 3), need_weights=False)
            pad = [False, False, True] if batch is None else [False, False, True, False, True, True]
            shape = (3,) if batch is None else (2, 3)
            c.m(module, *given, key_padding_mask=V(pad, "o", shape=shape))
            c.m(module, *given, key_padding_mask=V([-inf if p else 0.5 for p in pad], shape=shape, g=False), attn_mask=C(2, 3))
            c.m(module, *given, attn_mask=B(2 * (batch or 1), 2, 3), average_attn_weights=False)
            c.m(module, *given, key_padding_mask=V(pad, "o", shape=shape), attn_mask=B(2, 3), _train=False)
    c.m(M("MultiheadAttention", 4, 2), X(3, 2, 4), X(3, 2, 4), X(3, 2, 4), attn_mask=V(CAUSAL, g=False), is_causal=True)
    c.m(M("MultiheadAttention", 4, 2), X(3, 2, 4), X(3, 2, 4), X(3, 2, 4), attn_mask=V(CAUSAL, g=False), is_causal=True,
        need_weights=False)
    c.m(M("MultiheadAttention", 4, 1, 0.5), X(3, 4), X(3, 4), X(3, 4), _train=False)
    c.m(M("MultiheadAttention", 4, 3), _err=True)
    c.m(M("MultiheadAttention", 0, 1), _err=True)
    c.m(M("MultiheadAttention", 4, 2), C(3, 2, 5), C(3, 2, 5), C(3, 2, 5), _err=True)
    c.m(M("MultiheadAttention", 4, 2), C(3, 2, 4), C(3, 4), C(3, 4), _err=True)
    c.m(M("MultiheadAttention", 4, 2), C(4), C(4), C(4), _err=True)
    c.m(M("MultiheadAttention", 4, 2), C(3, 2, 4), C(3, 2, 4), C(2, 2, 4), _err=True)
    c.m(M("MultiheadAttention", 4, 2), C(3, 2, 4), C(3, 2, 4), C(3, 2, 4), attn_mask=B(2, 3), _err=True)
    c.m(M("MultiheadAttention", 4, 2), C(3, 2, 4), C(3, 2, 4), C(3, 2, 4), is_causal=True, _err=True)


def recurrent(c):
    for name, states in (("RNN", 1), ("LSTM", 2), ("GRU", 1)):
        for kw in ({}, {"num_layers": 2}, {"bias": False}, {"batch_first": True}, {"bidirectional": True},
                   {"num_layers": 2, "bidirectional": True, "batch_first": True},
                   *([{"nonlinearity": "relu"}, {"nonlinearity": "relu", "bidirectional": True}] if name == "RNN" else []),
                   *([{"proj_size": 2}, {"proj_size": 2, "num_layers": 2, "bidirectional": True}] if name == "LSTM" else [])):
            module = M(name, 3, 4, **kw)
            rows = kw.get("num_layers", 1) * (2 if kw.get("bidirectional") else 1)
            out = kw.get("proj_size", 4)
            for batch in (2, None):
                x = X(3, 3) if batch is None else X(2, 3, 3) if kw.get("batch_first") else X(3, 2, 3)
                lead = (rows,) if batch is None else (rows, 2)
                h = X(*lead, out)
                c.m(module, x)
                c.m(module, x, (h, X(*lead, 4)) if states == 2 else h)
            c.m(M(name, 3, 4, dropout=0.5, **{**kw, "num_layers": 2}), x, _train=False)
        c.m(M(name, 3, 0), _err=True)
        c.m(M(name, 3, 4, 0), _err=True)
        c.m(M(name, 3, 4, dropout=2.0), _err=True)
        c.m(M(name, 3, 4), C(3, 2, 5), _err=True)
        c.m(M(name, 3, 4), C(3), _err=True)
        wrong = C(1, 3, 4)
        c.m(M(name, 3, 4), C(3, 2, 3), (wrong, C(1, 3, 4)) if states == 2 else wrong, _err=True)
        cell = name + "Cell"
        for kw in ({}, {"bias": False}, *([{"nonlinearity": "relu"}] if name == "RNN" else [])):
            for lead in ((), (2,)):
                h = X(*lead, 4)
                c.m(M(cell, 3, 4, **kw), X(*lead, 3))
                c.m(M(cell, 3, 4, **kw), X(*lead, 3), (h, X(*lead, 4)) if states == 2 else h)
        c.m(M(cell, 3, 4), C(2, 5), _err=True)
        c.m(M(cell, 3, 4), C(2, 2, 2, 3), _err=True)
        wrong = C(3, 4)
        c.m(M(cell, 3, 4), C(2, 3), (wrong, C(3, 4)) if states == 2 else wrong, _err=True)
    c.m(M("RNN", 3, 4, nonlinearity="sigmoid"), _err=True)
    c.m(M("LSTM", 3, 4, proj_size=4), _err=True)
    c.m(M("GRU", 3, 4, proj_size=2), _err=True)


def transformers(c):
    for kw in ({}, {"norm_first": True}, {"activation": "gelu"}, {"bias": False}, {"batch_first": True}, {"layer_norm_eps": 0.1},
               {"activation": Fn("gelu"), "norm_first": True, "batch_first": True}):
        layer = M("TransformerEncoderLayer", 4, 2, 6, 0.0, **kw)
        src, memory = X(2, 3, 4), X(2, 2, 4) if kw.get("batch_first") else X(4, 3, 4)
        n = 3 if kw.get("batch_first") else 2
        c.m(layer, src)
        c.m(layer, src, _train=False)
        c.m(layer, src, C(n, n))
        c.m(layer, X(3, 4), src_mask=V(CAUSAL, g=False), is_causal=True)
        pad = V([False, False, True, False, True, False], "o", shape=(2, 3) if n == 3 else (3, 2))
        c.m(layer, src, src_key_padding_mask=pad)
        decoder = M("TransformerDecoderLayer", 4, 2, 6, 0.0, **kw)
        c.m(decoder, src, memory)
        c.m(decoder, src, memory, _train=False)
        c.m(decoder, src, memory, tgt_mask=C(n, n), memory_mask=B(n, memory.shape[1 if n == 3 else 0]))
        c.m(decoder, src, memory, tgt_key_padding_mask=pad)
        c.m(decoder, X(3, 4), X(2, 4), tgt_mask=V(CAUSAL, g=False), tgt_is_causal=True)
    layer = M("TransformerEncoderLayer", 4, 2, 5, 0.0)
    decoder = M("TransformerDecoderLayer", 4, 2, 5, 0.0)
    c.m(M("TransformerEncoder", layer, 2), X(3, 2, 4))
    c.m(M("TransformerEncoder", layer, 2, M("LayerNorm", 4), False), X(3, 2, 4), V(CAUSAL, g=False))
    c.m(M("TransformerEncoder", layer, 1, enable_nested_tensor=False), X(3, 4), is_causal=False)
    c.m(M("TransformerDecoder", decoder, 2), X(3, 2, 4), X(2, 2, 4))
    c.m(M("TransformerDecoder", decoder, 2, M("LayerNorm", 4)), X(3, 2, 4), X(2, 2, 4), V(CAUSAL, g=False))
    c.m(M("TransformerDecoder", decoder, 1, norm=M("LayerNorm", 4)), X(3, 4), X(2, 4), memory_mask=C(3, 2))
    for kw in ({}, {"batch_first": True}, {"norm_first": True}, {"activation": "gelu", "bias": False}):
        module = M("Transformer", 4, 2, 1, 1, 5, 0.0, **kw)
        c.m(module, X(2, 2, 4), X(2, 2, 4))
        c.m(module, X(2, 4), X(3, 4), tgt_mask=V(CAUSAL, g=False))
    c.m(M("Transformer", 4, 2, 1, 1, 5, 0.0, custom_encoder=M("Identity"), custom_decoder=M("Bilinear", 4, 4, 4)))
    c.m(M("Transformer", 4, 2, 1, 1, 5), C(2, 3, 4), C(2, 2, 4), _err=True)
    c.m(M("Transformer", 4, 2, 1, 1, 5), C(2, 3, 5), C(2, 3, 5), _err=True)
    c.m(M("TransformerEncoderLayer", 4, 3), _err=True)
    c.m(M("TransformerEncoderLayer", 4, 2, activation="tanh"), _err=True)


def describe(c):
    c.turns = "ssssd"  # many parameters, many values
    dot_products(c)
    heads(c)
    recurrent(c)
    transformers(c)
    c.turns = "dss"
