"""Golden cases of the operators of network layers: normalisation (norm), embedding (embedding), convolution's kin, pooling and
padding (layer), resampling (resample), recurrent cells, attention and CTC (cell)."""
import torch
from cases import FLOATS, POSITIONS_OUT, SIGNATURE, Family, X, b8, f32, f64, i32, i64, inf, nan, u8

f16, bf16 = torch.float16, torch.bfloat16

SIGNATURE.update({name: [p.split(":") for p in text.split()] for name, text in {
    "n embedding": "input:I weight padding_idx:P max_norm norm_type scale_grad_by_freq sparse",
    "embedding": "weight indices:I padding_idx:N scale_grad_by_freq sparse",
    "n embedding_bag": "input:I weight offsets max_norm norm_type scale_grad_by_freq mode sparse per_sample_weights include_last_offset "
                       "padding_idx:P",
    "embedding_bag": "weight indices:I offsets scale_grad_by_freq mode sparse per_sample_weights include_last_offset padding_idx:P",
    "ctc_loss": "log_probs targets:I input_lengths target_lengths blank:P reduction zero_infinity",
    "n ctc_loss": "log_probs targets:I input_lengths target_lengths blank:P reduction zero_infinity",
    "n unfold": "input kernel_size dilation padding stride", "n normalize": "input p dim:D eps",
    "n max_unpool1d": "input indices:I kernel_size", "n max_unpool2d": "input indices:I kernel_size",
    "n max_unpool3d": "input indices:I kernel_size",
}.items()})
SIGNATURE["embedding"] = [[p[0], "P"] if p[-1] == "N" else p for p in SIGNATURE["embedding"]]
POSITIONS_OUT.update({"embedding_bag": {1}, "adaptive_max_pool1d": {1}, "max_pool1d_with_indices": {1}})
for _d in (1, 2, 3):
    POSITIONS_OUT.update({"n max_pool%dd" % _d: {1}, "n adaptive_max_pool%dd" % _d: {1}, "n max_pool%dd_with_indices" % _d: {1}})

LAYOUTS = ("c", "t", "s", "e")


def as_dtype(x, dtype, g=None):
    return X(x.shape, x.values, dtype, "c", x.g if g is None else g)


def norms():
    fam = Family("norm", "batch_norm, instance_norm, layer_norm, group_norm, rms_norm, normalize, local_response_norm")
    c, x = fam.case, fam.x

    def v(n, dtype=f32, g=True):
        return x((n,), dtype, g=g, lo=0, hi=2)

    for dt in FLOATS:
        for layout in LAYOUTS:
            for shape in ((4, 3), (2, 3, 4), (2, 3, 2, 2)):
                a = x(shape, dt, layout=layout, g=True)
                c("batch_norm", a, v(3, dt), v(3, dt), None, None, True, 0.1, 1e-5, True)
                c("layer_norm", a, list(shape[-1:]), v(shape[-1], dt), v(shape[-1], dt), 0.1)
                if layout == "c":
                    c("batch_norm", a, None, None, X((3,), [0.5, -1.0, 0.25], dt), X((3,), [0.5, 2.0, 1.0], dt), False, 0.1, 1e-3, False)
                    c("batch_norm", a, v(3, dt), v(3, dt), X((3,), [0.5, -1.0, 0.25], dt), X((3,), [0.5, 2.0, 1.0], dt), False, 0.1, 1e-3, False)
                    c("layer_norm", a, list(shape[1:]), x(shape[1:], dt, g=True), x(shape[1:], dt, g=True), 0.1)
                    c("layer_norm", a, list(shape[1:]), x(shape[1:], dt, g=True))
                    c("rms_norm", a, list(shape[1:]), x(shape[1:], dt, g=True))
            a = x((2, 3, 4), dt, layout=layout, g=True)
            c("instance_norm", a, v(3, dt), v(3, dt), None, None, True, 0.1, 1e-5, False)
            c("rms_norm", a, [4], v(4, dt))
            for groups in (1, 2, 4):
                c("group_norm", x((2, 4, 3), dt, layout=layout, g=True), groups, v(4, dt), v(4, dt))
            c("normalize", a, form="n")
            c("local_response_norm", a, 2, form="n", alpha=0.5)
        c("instance_norm", x((2, 3, 4), dt, g=True), v(3, dt), None, X((3,), [0.5, -1.0, 0.25], dt), X((3,), [0.5, 2.0, 1.0], dt), False, 0.1, 1e-5,
          False)
        c("group_norm", x((3, 4), dt, g=True), 2, v(4, dt), v(4, dt), 0.5)
        c("group_norm", x((2, 4, 2, 2), dt, g=True), 2)
        c("layer_norm", x((3, 4), dt, g=True), [4])
        c("layer_norm", x((4,), dt, g=True), [4], eps=0.25)
        c("rms_norm", x((3, 4), dt, g=True), [4], eps=0.25)
        c("rms_norm", x((2, 2, 3), dt, g=True), [2, 3])
    for dt in (f16, bf16):
        a = x((2, 3, 4))
        for w in (dt, f32):
            weight, bias = as_dtype(v(3), w, False), as_dtype(v(3), w, False)
            wide = as_dtype(v(4), w, False)
            c("batch_norm", as_dtype(a, dt), weight, bias, None, None, True, 0.1, 1e-5, True)
            c("layer_norm", as_dtype(a, dt), [4], wide, wide)
            c("group_norm", as_dtype(a, dt), 3, weight, bias)
            c("rms_norm", as_dtype(a, dt), [4], as_dtype(wide, dt))
    for p in (1.0, 2.0, 3.0, inf):
        for dim in (0, 1, -1):
            c("normalize", x((2, 3, 2), g=True), p, dim, form="n")
    c("normalize", X((2, 2), [0.0, 0.0, 3.0, 4.0]), form="n", eps=0.5)
    c("local_response_norm", x((2, 4, 2, 2), g=True), 3, 0.5, 0.5, 2.0, form="n")
    c("local_response_norm", x((1, 4, 2, 1, 2), g=True), 5, form="n", beta=1.0)
    c("local_response_norm", x((2, 0, 3)), 2, form="n")
    c("batch_norm", x((2, 3, 4), g=True), X((3,), [0.5, -1.0, 0.25]), X((3,), [0.5, 2.0, 1.0]), form="n")
    c("batch_norm", x((2, 3, 4), g=True), None, None, form="n", weight=v(3), training=True, eps=0.5)
    c("instance_norm", x((2, 3, 4), g=True), form="n")
    c("instance_norm", x((2, 3, 4), g=True), None, None, v(3), v(3), True, 0.1, 0.5, form="n")
    c("group_norm", x((2, 4), g=True), 2, form="n", eps=0.5)
    c("layer_norm", x((2, 4), g=True), [4], form="n", weight=v(4))
    c("rms_norm", x((2, 4), g=True), [4], v(4), 0.5, form="n")
    for special in ([nan, 1.0, 2.0], [inf, 1.0, 2.0], [-inf, inf, 0.0], [0.0, 0.0, 0.0], [1e-30, 2e-30, 0.0]):
        c("layer_norm", X((3,), special), [3])
        c("rms_norm", X((3,), special), [3])
    for shape, normalized in (((0, 3), [3]), ((2, 0), [0])):
        c("layer_norm", x(shape, g=True), normalized)
    c("batch_norm", x((0, 3)), v(3), v(3), None, None, True, 0.1, 1e-5, False)
    c("group_norm", x((0, 4, 2)), 2)
    a = x((2, 3, 4))
    c("layer_norm", a, [3], err="Given normalized_shape=[3], expected input with shape [*, 3], but got input of size[2, 3, 4]")
    c("layer_norm", a, [], err="Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, but got normalized_shape = []")
    c("layer_norm", a, [4], v(3), err="Expected weight to be of same shape as normalized_shape, but got weight of shape [3] and normalized_shape = [4]")
    c("layer_norm", a, [4], v(4), v(3), err="Expected bias to be of same shape as normalized_shape, but got bias of shape [3] and normalized_shape = [4]")
    c("layer_norm", a, [4], v(4, f64), err="mixed dtype (CPU): ")
    c("layer_norm", x((2, 4), i64), [4], err='"LayerNormKernelImpl" not implemented for \'Long\'')
    c("group_norm", a, 2, err="Expected number of channels in input to be divisible by num_groups, but got input of shape [2, 3, 4] and num_groups=2")
    c("group_norm", x((3,)), 1, form="n", err="Expected at least 2 dimensions for input tensor but received 1")
    c("group_norm", a, 3, v(4), err="Expected weight to be a vector of size equal to the number of channels in input, but got weight of shape [4] and input of "
      "shape [2, 3, 4]")
    c("group_norm", a, 3, None, v(4), err="Expected bias to be a vector of size equal to the number of channels in input, but got bias of shape [4]")
    c("group_norm", x((1, 3)), 3, form="n", err="Expected more than 1 value per channel when training, got input size")
    c("batch_norm", a, None, None, form="n", err="running_mean must be defined in evaluation mode")

    def r(n, dtype=f32):
        return v(n, dtype, False)
    c("batch_norm", a, r(4), r(3), form="n", err="running_mean should contain 3 elements not 4")
    c("batch_norm", a, r(3), r(4), form="n", err="running_var should contain 3 elements not 4")
    c("batch_norm", a, r(3), r(3), r(4), form="n", err="weight should contain 3 elements not 4")
    c("batch_norm", a, r(3), r(3), None, r(4), form="n", err="bias should contain 3 elements not 4")
    c("batch_norm", a, r(3), r(3, f64), form="n", err="expected scalar type Float but found Double")
    c("batch_norm", x((2, 3), f64), r(3), r(3), form="n", err="mixed dtype (CPU): all inputs must share same datatype.")
    c("batch_norm", x((2, 3), i64), r(3), r(3), form="n", err='"batch_norm" not implemented for \'Long\'')
    c("batch_norm", a, v(3), r(3), form="n", err="The function 'native_batch_norm' is not differentiable with respect to argument 'running_mean'. This input cannot "
      "have requires_grad True.")
    c("batch_norm", x((1, 3)), None, None, None, None, True, form="n",
      err="Expected more than 1 value per channel when training, got input size torch.Size([1, 3])")
    c("instance_norm", x((2, 3, 1)), form="n", err="Expected more than 1 spatial element when training, got input size torch.Size([2, 3, 1])")
    c("instance_norm", a, form="n", use_input_stats=False, err="Expected running_mean and running_var to be defined when use_input_stats is false")
    c("rms_norm", a, [3], err="Given normalized_shape=[3], expected input with shape [*3], but got input of size[2, 3, 4]")
    c("rms_norm", x((2, 3), i64), [3], err='"rms_norm" not implemented for \'Long\'')
    c("local_response_norm", x((2, 3)), 2, form="n", err="Expected 3D or higher dimensionality")
    c("local_response_norm", a, 0, form="n", err="kernel size should be greater than zero")
    c("normalize", x((2, 3), i64), form="n", err="Expected a floating point or complex tensor as input. Got")
    return fam


def embeddings():
    fam = Family("embedding", "embedding and embedding_bag")
    x, idx = fam.x, fam.index

    def c(op, *args, **kw):
        # max_indices are rows in mode 2 only; else they repeat bag_size
        POSITIONS_OUT["embedding_bag"] = {1, 3} if len(args) > 4 and args[4] == 2 else {1}
        fam.case(op, *args, **kw)

    def offsets(*values, dtype=i64):
        return X((len(values),), values, dtype)

    for dt in FLOATS:
        for layout in LAYOUTS:
            for shape in ((5,), (2, 3), ()):
                c("embedding", x((4, 3), dt, layout=layout, g=True), idx(shape, 4, layout="c" if layout == "e" or not shape else layout))
            bag = x((4, 3), dt, layout=layout, g=True)
            for mode in (0, 1, 2):
                c("embedding_bag", bag, idx((6,), 4), offsets(0, 2, 2, 5), False, mode)
        for padding in (0, 2, 3):
            w = x((4, 3), dt, g=True)
            c("embedding", w, idx((6,), 4), padding)
            c("embedding", idx((6,), 4), w, padding, form="n")
            for mode in ("sum", "mean", "max"):
                c("embedding_bag", idx((6,), 4), w, offsets(0, 3), form="n", mode=mode, padding_idx=padding)
        c("embedding", idx((2, 4), 4), x((4, 3), dt, g=True), -1, form="n")
        c("embedding", x((4, 3), dt, g=True), idx((9,), 4), -1, True)
        c("embedding", x((4, 3), dt, g=True), idx((9,), 4), 1, True)
        c("embedding", idx((9,), 4), x((4, 3), dt, g=True), form="n", scale_grad_by_freq=True)
        for mode in ("sum", "mean", "max"):
            c("embedding_bag", idx((3, 4), 4), x((4, 3), dt, g=True), form="n", mode=mode)
        for mode in ("sum", "mean"):
            c("embedding_bag", idx((3, 4), 4), x((4, 3), dt, g=True), form="n", mode=mode, scale_grad_by_freq=True)
        c("embedding_bag", idx((2, 3), 4), x((4, 3), dt, g=True), form="n", mode="sum", per_sample_weights=x((2, 3), dt, g=True))
        c("embedding_bag", x((4, 3), dt, g=True), idx((5,), 4), offsets(0, 1, 4), False, 0, False, x((5,), dt, g=True))
        c("embedding_bag", x((4, 3), dt, g=True), idx((5,), 4), offsets(0, 1, 4), False, 0, False, x((5,), dt, g=True), False, 2)
        for mode in (0, 1, 2):
            c("embedding_bag", x((4, 3), dt, g=True), idx((5,), 4), offsets(0, 2, 5), False, mode, False, None, True)
            c("embedding_bag", x((4, 3), dt, g=True), idx((5,), 4), offsets(0, 2, 4), False, mode, False, None, False, 1)
    for dt in (i64, i32, u8, b8):
        c("embedding", x((4, 3), dt), idx((5,), 4))
    for dt in (f16, bf16):
        w = x((4, 3))
        c("embedding", as_dtype(w, dt, False), idx((5,), 4))
        for mode in (0, 1, 2):
            c("embedding_bag", as_dtype(w, dt, False), idx((5,), 4), offsets(0, 3), False, mode)
    c("embedding", x((4, 3)), idx((5,), 4, i32))
    c("embedding_bag", idx((5,), 4, i32), x((4, 3)), offsets(0, 2, dtype=i32), form="n")
    c("embedding", x((4, 3), g=True), idx((0,), 4))
    c("embedding", x((4, 0)), idx((3,), 4))
    c("embedding_bag", x((4, 3)), idx((0,), 4), offsets(0, 0), False, 1)
    c("embedding_bag", X((3, 2), [nan, 1.0, 2.0, nan, 2.0, 5.0]), X((4,), [1, 0, 2, 1], i64), offsets(0, 2), False, 2)
    c("embedding", X((3, 2), [nan, 1.0, 2.0, inf, -inf, 5.0]), X((2,), [1, 0], i64))
    w, i = x((4, 3)), idx((5,), 4)
    c("embedding", w, X((1,), [4], i64), err="index out of range in self")
    c("embedding", w, X((1,), [-1], i64), err="index out of range in self")
    c("embedding", w, x((2,)), form="f", own="scalar types: Long, Int; but got")
    c("embedding", x((3,)), i, err="'weight' must be 2-D")
    c("embedding", i, w, 4, form="n", err="Padding_idx must be within num_embeddings")
    c("embedding", i, w, -5, form="n", err="Padding_idx must be within num_embeddings")
    c("embedding", w, i, form="f", sparse=True)
    c("embedding_bag", w, i, offsets(1, 2), err="offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from position 0. However, got 1")
    c("embedding_bag", w, i, offsets(0, 6), err="offsets[-1] can not be greater than input's length 5 but got offsets[-1] of 6")
    c("embedding_bag", w, i, offsets(0), False, 3, err="`mode` must be sum, mean, or max.")
    c("embedding_bag", w, i, offsets(0), False, 1, False, x((5,)), err="embedding_bag: per_sample_weights only supported with mode='sum'")
    c("embedding_bag", w, i, offsets(0), False, 0, False, x((4,)), err="Expected per_sample_weights.value().numel() == indices.numel() to be true, but got false.")
    c("embedding_bag", x((4, 3), i64), i, offsets(0), err="Expected tensor for argument #1 'weight' to have one of the following scalar types: Half, BFloat16, Float, "
      "Double; but got torch.LongTensor instead")
    c("embedding_bag", i, w, form="n", err="offsets has to be a 1D Tensor but got None")
    c("embedding_bag", idx((2, 2), 4), w, offsets(0), form="n", err="if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed length "
      "sequences. However, found offsets")
    c("embedding_bag", idx((2, 2), 4), w, form="n", mode="avg", err="mode has to be one of sum, mean or max")
    c("embedding_bag", idx((2, 2), 4), w, form="n", mode="max", scale_grad_by_freq=True, err="max mode does not support scaling the gradient by the frequency")
    c("embedding_bag", idx((2, 2), 4), w, form="n", padding_idx=5, err="padding_idx must be within the number of embeddings")
    c("embedding_bag", idx((), 4), w, form="n", err="input has to be 1D or 2D Tensor, but got Tensor of dimension 0")
    return fam


def layers():
    fam = Family("layer", "pad, unfold, fold, convolution and pooling in torch.nn.functional, dropout of nothing, bilinear")
    c, x = fam.case, fam.x
    pads = {"constant": [((2, 3), (1, 2)), ((2, 3), (1, 0, 0, 2)), ((3,), (-1, 2)), ((2, 2, 2), (1, 1, -1, 2, 0, 1)), ((2, 3), (-1, -1)), ((2, 3), (0, 0))],
            "reflect": [((2, 4), (3, 2)), ((2, 4), (-1, 2)), ((1, 3, 3), (1, 2, 2, 0)), ((2, 1, 3, 3), (2, 1, 0, 2)), ((1, 2, 2, 3), (2, 1, 1, 0, 1, 1))],
            "replicate": [((2, 3), (4, 1)), ((2, 4), (-1, 2)), ((1, 2, 3), (1, 2, 3, 0)), ((1, 2, 2, 3), (2, 1, 1, 0, 1, 1)), ((1, 1, 2, 2, 2), (0, 1, 1, 0, 2, 2))],
            "circular": [((2, 3), (3, 1)), ((2, 4), (-1, 1)), ((2, 4), (2, -1)), ((1, 2, 3), (1, 2, 2, 0)), ((1, 2, 2, 3), (2, 1, 1, 0, 1, 1))]}
    for mode, cases in pads.items():
        for shape, widths in cases:
            for layout in LAYOUTS:
                c("pad", x(shape, layout=layout, g=True), widths, mode, form="n")
        for dt in (f64, i64, i32, u8):
            c("pad", x((2, 3), dt), (1, 2), mode, form="n")
        c("pad", as_dtype(x((2, 3)), f16), (1, 2), mode, form="n")
    for value in (2.5, -inf, nan):
        c("pad", x((2, 2), g=True), (1, 1), form="n", value=value)
    c("pad", x((3,), i64), (1, 1), "constant", 2.5, form="n")
    c("pad", x((3,), b8), (1, 1), "constant", True, form="n")
    c("pad", x((3,), b8), (0, 1), form="n")
    c("pad", x((2, 3), b8), (1, 1), "circular", form="n")
    c("pad", x((0, 2, 3)), (1, 1), "reflect", form="n")
    c("pad", x((0, 3)), (0, 0, 1, 1), form="n", value=1.0)
    a = x((1, 3, 4))
    c("pad", a, (1, 2, 0), form="n", err="Padding length must be divisible by 2")
    c("pad", a, (1, 1, 1, 1, 1, 1, 1, 1), form="n", err="Padding length should be less than or equal to two times the input dimension but got padding length 8 and "
      "input of dimension 3")
    c("pad", a, (-5, 0), form="n", err="narrow(): length must be non-negative.")
    c("pad", a, (4, 1), "reflect", form="n", err="Padding size should be less than the corresponding input dimension, but got: padding (4, 1) at dimension")
    c("pad", a, (5, 1), "circular", form="n", err="Padding value causes wrapping around more than once.")
    c("pad", a, (-5, 1), "replicate", form="n", err="input (W: 4) is too small. Calculated output W: 0")
    c("pad", a, (1, 1), "foo", form="n", err="Unrecognised padding mode foo")
    c("pad", a, (1, 1), "reflect", 1.0, form="n", err='Padding mode "reflect" doesn\'t take in value argument')
    c("pad", x((3,)), (1, 1), "reflect", form="n", err="Padding size 2 is not supported for 1D input tensor.")
    c("pad", x((2, 3), b8), (1, 1), "replicate", form="n", err="not implemented for 'Bool'")
    c("pad", x((1, 0, 4)), (1, 1), "reflect", form="n", err="Expected 2D or 3D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for input, "
      "but got: [1, 0, 4]")

    for dt in FLOATS:
        for layout in LAYOUTS:
            image = x((2, 2, 3, 4), dt, layout=layout, g=True)
            c("unfold", image, 2, form="n")
            c("unfold", image, (2, 3), 1, (1, 0), (2, 1), form="n")
            c("unfold", x((2, 4, 5), dt, layout=layout, g=True), 2, form="n", dilation=2, padding=1)
            c("fold", x((2, 8, 6), dt, layout=layout, g=True), (3, 4), 2, form="n")
            c("fold", x((6, 9), dt, layout=layout, g=True), (4, 5), (2, 3), 1, (1, 0), (2, 1), form="n")
            c("bilinear", x((2, 3), dt, layout=layout, g=True), x((2, 2), dt, layout=layout, g=True), x((4, 3, 2), dt, layout=layout, g=True), x((4,), dt, g=True))
    c("bilinear", x((2, 2, 3), g=True), x((2, 2, 2), g=True), x((1, 3, 2), g=True), form="fn")
    c("bilinear", x((3,)), x((2,)), x((2, 3, 2)))
    c("bilinear", x((2, 3), i64), x((2, 2), i64), x((2, 3, 2), i64))
    c("unfold", as_dtype(x((1, 1, 3, 3)), f16), 2, form="n")
    c("unfold", x((1, 1, 3, 3), b8), 2, form="n")
    c("unfold", x((0, 1, 3, 3)), 2, form="n")
    c("fold", x((0, 4, 4)), 3, 2, form="n")
    image = x((1, 2, 3, 4))
    c("unfold", x((3, 4)), 2, form="n", own="Expected 3D or 4D")
    c("unfold", image, 5, form="n", err="Given input with spatial size (3, 4), kernel_size=(5, 5), dilation=(1, 1), padding=(0, 0), calculated shape of the array of "
      "sliding blocks as (-1, 0), but its components must be at least one.")
    c("unfold", image, 0, form="n", err="kernel size should be greater than zero, but got kernel_height: 0 kernel_width: 0")
    c("unfold", image, 2, form="n", stride=0, err="stride should be greater than zero, but got stride_height: 0 stride_width: 0")
    c("unfold", image, 2, form="n", dilation=0, err="dilation should be greater than zero, but got dilation_height: 0 dilation_width: 0")
    c("unfold", image, 2, form="n", padding=-1, err="padding should be non-negative, but got pad_height: -1 pad_width: -1")
    c("unfold", x((1, 2, 3, 4), i64), 2, form="n", err='"im2col_out_cpu" not implemented for \'Long\'')
    c("unfold", image, (2, 2, 2), form="n", err="It is expected kernel_size equals to 2, but got size 3")
    c("fold", x((1, 7, 6)), (3, 4), 2, form="n", err="to be divisible by the product of kernel_size, but got input.size(")
    c("fold", x((1, 8, 5)), (3, 4), 2, form="n", err="to match the calculated number of sliding blocks 2 * 3 = 6, but got input.size(")
    c("fold", x((1, 8, 6, 1)), (3, 4), 2, form="n", err="Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero dimensions for input, "
      "but got: [1, 8, 6, 1]")
    c("fold", x((1, 8, 6), i64), (3, 4), 2, form="n", err='"col2im_out_cpu" not implemented for \'Long\'')
    c("bilinear", x((2, 3)), x((3, 2)), x((4, 3, 2)), own="bilinear(): input batch dimensions do not match at dim 1: got 2 and 3")
    c("bilinear", x((2, 3)), x((2, 3)), x((4, 3, 2)), err="bilinear(): input2 size does not match weight size: got 3 but expected 2")
    c("bilinear", x((2, 2)), x((2, 2)), x((4, 3, 2)), err="bilinear(): input1 size does not match weight size: got 2 but expected 3")
    c("bilinear", x((2, 3)), x((2, 2)), x((4, 3, 2)), x((3,)), err="bilinear(): bias size does not match weight size: got 3 but expected 4")
    c("bilinear", x((2, 3)), x((2, 2, 2)), x((4, 3, 2)), err="bilinear(): input dimensions do not match: got 2 and 3")
    c("bilinear", x((2, 3)), x((2, 2), f64), x((4, 3, 2)), err="All tensors must have the same dtype, got input1: float, input2: double, weight: float")

    sizes = {1: (6,), 2: (4, 5), 3: (3, 4, 3)}
    for d, size in sizes.items():
        for dt in FLOATS:
            image, weight, bias = x((2, 2) + size, dt, g=True), x((3, 2) + (2,) * d, dt, g=True), x((3,), dt, g=True)
            c("conv%dd" % d, image, weight, bias, form="fn")
            c("conv%dd" % d, image, weight, None, 2, 1, form="fn")
            c("conv_transpose%dd" % d, image, x((2, 2) + (2,) * d, dt, g=True), None, 2, form="fn")
        image = x((2, 2) + size, g=True, distinct=True)
        c("conv%dd" % d, image, weight=as_dtype(weight, f32), form="fn", padding="same")
        for layout in ("c", "t", "s"):
            laid = x((2,) + size, layout=layout, g=True, distinct=True)
            c("max_pool%dd" % d, laid, 2, form="fn")
            c("avg_pool%dd" % d, laid, 2, 1, 1, form="fn" if d == 1 else "n")
            c("lp_pool%dd" % d, x((2,) + size, layout=layout, g=True, lo=1, hi=3), 2, 2, form="n")
        for options in ({"stride": 1}, {"padding": 1}, {"dilation": 2, "stride": 1}, {"ceil_mode": True}):
            c("max_pool%dd" % d, image, 2, form="fn", **options)
            c("max_pool%dd" % d, image, 2, form="n", return_indices=True, **options)
        for options in ({"stride": 1}, {"padding": 1}, {"padding": 1, "count_include_pad": False}, {"ceil_mode": True}):
            c("avg_pool%dd" % d, image, 2, form="fn" if d == 1 else "n", **options)
        if d > 1:
            c("avg_pool%dd" % d, image, 2, form="n", divisor_override=3)
        for out in (1, 2, (2, 1, 3)[:d]):
            c("adaptive_avg_pool%dd" % d, image, out, form="fn" if d == 1 else "n")
            c("adaptive_max_pool%dd" % d, image, out, form="n")
            c("adaptive_max_pool%dd" % d, image, out, form="n", return_indices=True)
        if d > 1:
            c("adaptive_avg_pool%dd" % d, image, (None, 2, 1)[:d], form="n")
            c("adaptive_max_pool%dd" % d, image, (None, 2, 1)[:d], form="n")
        for options in ({"norm_type": 1}, {"norm_type": inf}, {"norm_type": -inf}, {"norm_type": 3, "stride": 1}, {"norm_type": 2, "ceil_mode": True}):
            c("lp_pool%dd" % d, x((1, 2) + size, g=True, lo=1, hi=3), form="n", kernel_size=2, **options)
        c("lp_pool%dd" % d, x((1, 2) + size, f64, g=True, lo=1, hi=3), 3.5, 2, form="n")
        c("lp_pool%dd" % d, image, 0, 2, form="n", err="norm_type must be a non-zero value, but got 0")
        pooled, at = getattr(torch.nn.functional, "max_pool%dd_with_indices" % d)(image.make().detach(), 2)
        values, where = x(tuple(pooled.shape), g=True), X(at.shape, at.reshape(-1).tolist(), i64)
        if d == 1:
            c("max_unpool1d", values, where, 2, form="n")
        c("max_unpool%dd" % d, values, where, 2, form="n", output_size=list(size))
        c("max_pool%dd" % d, x((2,)), 2, form="f", own="%dD or %dD (batch mode) tensor" % (d + 1, d + 2))
    c("avg_pool3d", x((1, 1, 2, 3, 1)), 2, form="n", padding=1, err="input image (T: 2 H: 3 W: 1) smaller than kernel size (kT: 2 kH: 2 kW: 2)")
    c("max_pool1d_with_indices", x((2, 6), distinct=True), 2, form="f")
    c("adaptive_max_pool1d", x((2, 6), distinct=True), 2, form="f")

    for name in ("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout"):
        for form in "fi":
            if form == "f":
                c(name, x((2, 3, 4), g=True), 0.5, False)
                c(name, x((2, 3, 4), g=True), 0.0, True)
                c(name, x((2, 3, 4), g=True), 1.0, True)
                c(name, x((0, 3)), 0.5, True)
                c(name, x((2, 3), i64), 0.5, False)
                c(name, x((2, 3), i64), 1.0, True)
                c(name, x((3,)), 1.0, True)
        c(name, x((2, 3)), 1.5, True, form="f", err="dropout probability has to be between 0 and 1, but got 1.5")
        c(name, x((2, 3), i64), 0.5, True, form="f", err="result type Float can't be cast to the desired output type Long")
    c("feature_dropout", x((3,)), 0.5, True, form="f", err="Feature dropout requires at least 2 dimensions in the input")
    for name, shape in (("dropout", (3,)), ("dropout1d", (2, 3)), ("dropout2d", (2, 3, 2, 2)), ("dropout3d", (2, 3, 2, 2)), ("alpha_dropout", (3,)),
                        ("feature_alpha_dropout", (2, 3))):
        c(name, x(shape, g=True), 0.5, False, form="n")
        c(name, x(shape, g=True), 1.0, True, form="n")
        c(name, x(shape), 2.0, True, form="n", err="dropout probability has to be between 0 and 1, but got 2")
    c("dropout1d", x((3,)), form="n", err="Expected 2D or 3D input, but received a 1D input.")
    return fam


def resamples():
    fam = Family("resample", "interpolate, upsample, grid_sampler, grid_sample, affine_grid")
    c, x = fam.case, fam.x
    modes = {3: ("nearest", "nearest-exact", "linear", "area"), 4: ("nearest", "nearest-exact", "bilinear", "bicubic", "area"),
             5: ("nearest", "nearest-exact", "trilinear", "area")}
    spatial = {3: (5,), 4: (3, 4), 5: (2, 3, 2)}
    for n, names in modes.items():
        for mode in names:
            aligned = ({}, {"align_corners": True}, {"align_corners": False}) if mode not in ("nearest", "nearest-exact", "area") else ({},)
            for dt in FLOATS:
                for options in aligned:
                    image = x((1, 2) + spatial[n], dt, g=True)
                    for size in ((7, 5, 3)[:n - 2], (2, 3, 4)[:n - 2], spatial[n], 1):
                        c("interpolate", image, size, form="n", mode=mode, **options)
            for layout in ("t", "s"):
                c("interpolate", x((2, 2) + spatial[n], layout=layout, g=True), 4, form="n", mode=mode)
            for scale in (2, 1.5, 0.6, 2.3):
                c("interpolate", x((1, 1) + spatial[n], g=scale != 2.3), form="n", scale_factor=scale, mode=mode)
                c("interpolate", x((1, 1) + spatial[n], f64), form="n", scale_factor=scale, mode=mode, recompute_scale_factor=True)
            c("interpolate", x((1, 1) + spatial[n]), form="n", scale_factor=[1.5, 2.0, 0.7][:n - 2], mode=mode)
            if mode != "area":
                c("interpolate", as_dtype(x((1, 1) + spatial[n]), f16), 4, form="n", mode=mode)
            c("interpolate", x((0, 2) + spatial[n]), 2, form="n", mode=mode)
        for mode in ("nearest", "nearest-exact"):
            c("interpolate", x((1, 2) + spatial[n], u8), 4, form="n", mode=mode)
    for mode in ("bilinear", "bicubic", "lanczos"):
        for size in ((2, 2), (1, 3), (6, 7), (3, 4)):
            c("interpolate", x((1, 1, 3, 4), g=True), size, form="n", mode=mode, antialias=True)
        c("interpolate", x((1, 1, 9, 11), f64, g=True), (2, 3), form="n", mode=mode, antialias=True)
        c("interpolate", x((1, 1, 5, 6), g=True), form="n", scale_factor=0.4, mode=mode, antialias=True)
    for mode in ("bilinear", "bicubic"):
        c("interpolate", x((1, 1, 5, 6)), (3, 3), form="n", mode=mode, antialias=True, align_corners=True)
    c("interpolate", X((1, 1, 3), [nan, 1.0, inf]), 5, form="n")
    c("interpolate", X((1, 1, 3), [nan, 1.0, inf]), 5, form="n", mode="linear")
    c("upsample", x((1, 1, 3), g=True), 6, form="n")
    c("upsample", x((1, 1, 2, 3)), form="n", scale_factor=2, mode="bilinear", align_corners=True)
    c("upsample_nearest", x((1, 1, 2, 3), g=True), 5, form="n")
    c("upsample_bilinear", x((1, 1, 2, 3), g=True), form="n", scale_factor=2)
    a, image = x((1, 3, 4)), x((1, 2, 3, 4))
    for dt, word in ((i64, "Long"), (b8, "Bool")):
        c("interpolate", x((1, 2, 3), dt), 6, form="n", err='"compute_indices_weights_nearest" not implemented for \'%s\'' % word)
    c("interpolate", image, 0, form="n", err="Input and output sizes should be greater than 0, but got input")
    c("interpolate", image, (2, 3, 4), form="n", err="Input and output must have the same number of spatial dimensions, but got input with spatial dimensions of")
    c("interpolate", image, form="n", scale_factor=(2.0, 3.0, 4.0), err="Input and scale_factor must have the same number of spatial dimensions, but got input with "
      "spatial dimensions of")
    c("interpolate", image, form="n", err="either size or scale_factor should be defined")
    c("interpolate", image, 2, 2.0, form="n", err="only one of size or scale_factor should be defined")
    c("interpolate", image, 2, form="n", mode="linear", err="Got 4D input, but linear mode needs 3D input")
    c("interpolate", a, 2, form="n", mode="bilinear", err="Got 3D input, but bilinear mode needs 4D input")
    c("interpolate", image, 2, form="n", mode="foo", err="Input Error: Only 3D, 4D and 5D input Tensors supported (got 4D) for the modes: nearest | linear | bilinear | "
      "bicubic | trilinear | lanczos | area | nearest-exact (got foo)")
    c("interpolate", x((2, 2)), 2, form="n", err="Input Error: Only 3D, 4D and 5D input Tensors supported (got 2D) for the modes")
    c("interpolate", image, 2, form="n", align_corners=True, err="align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | "
      "trilinear")
    c("interpolate", x((1, 0, 3, 4)), 2, form="n", err="Non-empty 4D data tensor expected but got a tensor with sizes [1, 0, 3, 4]")
    c("interpolate", image, 2, form="n", recompute_scale_factor=True, err="recompute_scale_factor is not meaningful with an explicit size.")
    c("interpolate", image, 2, form="n", antialias=True, err="Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires a 4-D tensor as input")

    grid = [-0.9, -0.3, 0.1, 0.45, 0.7, -1.3, 1.6, 0.2, -2.1, 3.3, 0.0, -0.55]
    for dims, shape in ((2, (3, 4)), (3, (2, 3, 4))):
        for mode in (0, 1, 2) if dims == 2 else (0, 1):
            for outside in (0, 1, 2):
                for align in (False, True):
                    for dt in FLOATS if mode < 2 else (f64,):
                        places = X((1, 2, 3, 2) if dims == 2 else (1, 2, 2, 1, 3), grid, dt, g=True)
                        c("grid_sampler", x((1, 2) + shape, dt, g=True), places, mode, outside, align)
    places = X((1, 2, 3, 2), grid)
    for layout in ("t", "s", "e"):
        c("grid_sampler", x((2, 2, 3, 4), layout=layout, g=True), X((2, 1, 3, 2), grid, layout=layout, g=True), 0, 0, False)
    c("grid_sampler", as_dtype(image, f16), X((1, 1, 3, 2), [0.25, -0.5, 0.0, 0.125, -0.75, 1.0], f16), 0, 0, True)
    for outside in (0, 1, 2):
        for mode in (0, 1, 2):
            c("grid_sampler", image, X((1, 1, 2, 2), [nan, 0.0, inf, 0.0]), mode, outside, False)
    c("grid_sampler", image, X((1, 1, 4, 2), [-0.75, 0.0, 0.75, 0.0, -1.0, -2 / 3, 0.25, 2 / 3]), 1, 0, False)
    c("grid_sampler", image, X((1, 1, 4, 2), [-1.0, -1.0, 1.0, 1.0, -1.0, 1.0, 1.0, -1.0], g=True), 0, 1, True)
    c("grid_sampler", x((1, 1, 1, 1), g=True), places, 0, 2, True)
    c("grid_sampler", x((0, 2, 3, 4)), X((0, 2, 2, 2), []), 0, 0, False)
    c("grid_sampler", x((1, 0, 3, 4)), places, 0, 0, False)
    c("grid_sampler", image, X((1, 2, 2, 3), grid), 0, 0, False, err="grid_sampler(): expected grid to have size 2 in last dimension, but got grid with sizes [1, 2, 2, 3]")
    c("grid_sampler", image, X((2, 1, 3, 2), grid), 0, 0, False, err="grid_sampler(): expected grid and input to have same batch size, but got input with sizes "
      "[1, 2, 3, 4] and grid with sizes [2, 1, 3, 2]")
    c("grid_sampler", image, X((1, 1, 2, 3, 2), grid), 0, 0, False, err="grid_sampler(): expected 4D input and grid with same number of dimensions, but got input with "
      "sizes [1, 2, 3, 4] and grid with sizes [1, 1, 2, 3, 2]")
    c("grid_sampler", image, as_dtype(places, f64), 0, 0, False, err="expected scalar type Float but found Double")
    c("grid_sampler", x((1, 2, 3, 4), i64), places, 0, 0, False, err='"grid_sampler_2d_cpu_kernel_impl" not implemented for \'Long\'')
    c("grid_sampler", x((1, 2, 0, 4)), places, 0, 0, False, err="grid_sampler(): expected input to have non-empty spatial dimensions, but input has sizes [1, 2, 0, 4]")
    for mode in ("bilinear", "nearest", "bicubic"):
        for outside in ("zeros", "border", "reflection"):
            c("grid_sample", image, places, mode, outside, True, form="n")
    c("grid_sample", image, places, form="n")
    c("grid_sample", image, places, form="n", mode="foo", err="nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: 'foo'")
    c("grid_sample", image, places, form="n", padding_mode="foo", err="nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or 'reflection', but "
      "got: 'foo'")
    for align in (True, False):
        for dt in FLOATS:
            c("affine_grid", x((2, 2, 3), dt, g=True), [2, 1, 3, 4], align, form="n")
            c("affine_grid", x((1, 2, 3), dt, g=True), [1, 1, 1, 3], align, form="n")
            c("affine_grid", x((2, 3, 4), dt, g=True), [2, 1, 2, 3, 2], align, form="n")
        c("affine_grid_generator", x((1, 2, 3), g=True), [1, 1, 2, 3], align, form="f")
    theta = x((1, 2, 3))
    c("affine_grid", theta, [1, 1, 2, 3], form="n")
    c("affine_grid", theta, [1, 2, 3], form="n", err="affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, respectively. Got size [1, 2, 3].")
    c("affine_grid", theta, [1, 1, 1, 2, 3], form="n", err="Expected a batch of 3D affine matrices of shape Nx3x4 for size [1, 1, 1, 2, 3]. Got torch.Size([1, 2, 3]).")
    c("affine_grid", x((1, 2, 3), i64), [1, 1, 2, 3], form="n", err="Expected theta to have floating point type, but got torch.int64")
    c("affine_grid", theta, [1, 1, 0, 3], form="n", err="Expected non-zero, positive output size. Got [1, 1, 0, 3]")
    c("affine_grid", theta, [2, 1, 2, 3], form="n", err="Expected size for first two dimensions of batch2 tensor to be: [2, 3] but got: [1, 3].")
    return fam


def cells():
    fam = Family("cell", "lstm_cell, gru_cell, rnn_tanh_cell, rnn_relu_cell, scaled_dot_product_attention, ctc_loss, kl_div")
    c, x, idx = fam.case, fam.x, fam.index
    for dt in FLOATS:
        for layout in LAYOUTS:
            a, h, s = (x(shape, dt, layout=layout, g=True, lo=-1, hi=1) for shape in ((2, 3), (2, 2), (2, 2)))

            def weights(k, bias):
                w = [x((2 * k, 3), dt, g=True, lo=-1, hi=1), x((2 * k, 2), dt, g=True, lo=-1, hi=1)]
                return w + [x((2 * k,), dt, g=True, lo=-1, hi=1) for _ in range(2 if bias else 0)]
            for bias in (True, False):
                c("lstm_cell", a, [h, s], *weights(4, bias), form="f")
                c("gru_cell", a, h, *weights(3, bias), form="f")
                c("rnn_tanh_cell", a, h, *weights(1, bias), form="f")
                c("rnn_relu_cell", a, h, *weights(1, bias), form="f")
    a, h, w, u = x((2, 3)), x((2, 2)), x((8, 3)), x((8, 2))
    c("lstm_cell", x((3,)), [x((2,)), x((2,))], w, u, form="f", err="Expected 2D input (batch x feature), but got 1D input")
    c("lstm_cell", x((2, 4)), [h, h], w, u, form="f", err="input has inconsistent input_size: got 4 expected 3")
    c("lstm_cell", a, [h], w, u, form="f", err="lstm_cell expects two hidden states")
    c("lstm_cell", a, [x((3, 2)), x((3, 2))], w, u, form="f", err="Input batch size 2 doesn't match hidden0 batch size 3")
    c("lstm_cell", a, [x((2, 3)), h], w, u, form="f", err="hidden0 has inconsistent hidden_size: got 3, expected 2")
    c("lstm_cell", a, [h, x((2, 3))], w, u, form="f", err="hidden1 has inconsistent hidden_size: got 3, expected 2")
    c("lstm_cell", a, [h, h], x((7, 3)), x((7, 2)), form="f", err="weight_ih first dim must be 4 * hidden_size = 8, but got 7")
    c("gru_cell", a, h, w, u, form="f", err="weight_ih first dim must be 3 * hidden_size = 6, but got 8")

    A = "scaled_dot_product_attention"
    for dt in FLOATS:
        for layout in LAYOUTS:
            q, k, v = (x(shape, dt, layout=layout, g=True, lo=-1, hi=1) for shape in ((2, 3, 4), (2, 5, 4), (2, 5, 2)))
            c(A, q, k, v, form="n")
        c(A, q, k, v, x((3, 5), dt, g=True), form="n")
        c(A, q, k, v, X((3, 5), [True] * 3 + [False] * 2 + [True] * 5 + [False, True] * 2 + [False], b8), form="n")
        c(A, q, k, v, X((2, 3, 5), [True] * 10 + [False] * 5 + [True] * 15, b8), form="n")
        c(A, q, k, v, X((3, 5), [-inf] * 5 + [0.0] * 10, dt), form="n")
        c(A, q, k, v, form="n", is_causal=True)
        c(A, q, k, v, form="n", scale=0.3)
        c(A, x((3, 2), dt, g=True), x((4, 2), dt, g=True), x((4, 3), dt, g=True), form="n", is_causal=True, scale=2.0)
        c(A, x((1, 4, 2, 3), dt, g=True), x((1, 2, 3, 3), dt, g=True), x((1, 2, 3, 2), dt, g=True), form="n", enable_gqa=True)
    c(A, as_dtype(q, f16, False), as_dtype(k, f16, False), as_dtype(v, f16, False), form="n")
    q, k, v = x((2, 3, 4)), x((2, 5, 4)), x((2, 5, 2))
    c(A, x((4,)), x((5, 4)), x((5, 4)), form="n", err="Expected query, key, and value to all be  at least 2 dimensional, but got query.dim: 1 key.dim: 2 and value.dim: 2 "
      "instead.")
    c(A, q, x((2, 5, 4), f64), v, form="n", err="Expected query, key, and value to have the same dtype, but got query.dtype: float key.dtype: double and value.dtype: float "
      "instead.")
    c(A, q, k, v, x((3, 5)), form="n", is_causal=True, err="_scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True")
    c(A, q, k, v, x((3, 5), i64), form="n", own="Expected attn_mask dtype to be bool or float or to match query dtype, but got attn_mask.dtype: long")
    c(A, q, k, v, form="n", dropout_p=1.5, err="dropout probability has to be between 0 and 1, but got 1.5")
    c(A, x((1, 4, 2, 3)), x((1, 3, 3, 3)), x((1, 3, 3, 2)), form="n", enable_gqa=True, err="Number of heads in key and value must divide the number of heads in query")

    def logs(shape, dtype=f32):
        t = torch.log_softmax(torch.tensor(x(shape).values).reshape(shape), -1)
        return X(shape, t.to(dtype).reshape(-1).tolist(), dtype, g=True)

    def lengths(*values, dtype=i64):
        return X((len(values),), values, dtype)
    for dt in FLOATS:
        p = logs((6, 3, 4), dt)
        padded, flat = X((3, 3), [1, 2, 1, 3, 3, 0, 2, 0, 0], i64), X((6,), [1, 2, 1, 3, 3, 2], i64)
        for targets in (padded, flat):
            for reduction in ("none", "mean", "sum"):
                c("ctc_loss", p, targets, lengths(6, 5, 4), lengths(3, 2, 1), form="n", reduction=reduction)
        for reduction in (0, 1, 2):
            c("ctc_loss", p, padded, lengths(6, 6, 6), lengths(3, 2, 1), 0, reduction, form="f")
        c("ctc_loss", p, padded, [6, 5, 4], [3, 2, 1], form="n")
        c("ctc_loss", p, X((3, 2), [0, 1, 0, 0, 1, 2], i64), [6, 5, 4], [2, 2, 1], form="n", blank=3)
        c("ctc_loss", p, padded, [6, 5, 4], [3, 0, 1], form="n", reduction="none")
        c("ctc_loss", p, padded, [2, 5, 4], [3, 2, 1], form="n", reduction="none", zero_infinity=True)
        c("ctc_loss", p, padded, [2, 5, 0], [3, 2, 0], form="n", reduction="mean", zero_infinity=True)
        c("ctc_loss", logs((5, 4), dt), X((2,), [1, 3], i64), [5], [2], form="n")
        c("ctc_loss", logs((5, 4), dt), X((2,), [1, 3], i64), lengths(5), lengths(2), form="n", reduction="none")
        p = X(p.shape, p.values, dt)
        c("ctc_loss", p, padded, [2, 5, 0], [3, 2, 1], form="n", reduction="none")
    c("ctc_loss", p, X((3, 2), [1, 2, 1, 3, 3, 0], i32), lengths(6, 5, 4, dtype=i32), lengths(2, 2, 1, dtype=i32), form="n")
    p, t = logs((5, 2, 4)), idx((2, 3), 4)
    c("ctc_loss", p, t, [6, 5], [3, 3], form="n", err="Expected input_lengths to have value at most 5, but got value 6 (while checking arguments for ctc_loss_allocate_outputs)")
    c("ctc_loss", p, t, [5, 5], [-1, 3], form="n", err="Expected target_lengths to have value at least 0, but got value -1")
    c("ctc_loss", p, t, [5], [3, 3], form="n", err="input_lengths must be of size batch_size")
    c("ctc_loss", p, t, [5, 5], [3], form="n", err="target_lengths must be of size batch_size")
    c("ctc_loss", p, t, [5, 5], [3, 3], form="n", blank=4, err="blank must be in label range")
    c("ctc_loss", p, idx((5,), 4), [5, 5], [3, 3], form="n", err="Expected tensor to have size 6 at dimension ")
    c("ctc_loss", p, idx((2, 2), 4), [5, 5], [3, 3], form="n", err="Expected tensor to have size at least 3 at dimension ")
    c("ctc_loss", x((5, 2, 4), i64), t, [5, 5], [3, 3], form="n", err='"ctc_loss_cpu" not implemented for \'Long\'')
    c("ctc_loss", p, t, x((2,)), lengths(3, 3), form="n", err="input_lengths must be integral")
    c("ctc_loss", p, t, [5, 5], [3, 3], form="n", reduction="foo", err="foo is not a valid value for reduction")
    c("ctc_loss", X((0, 2, 4), []), t, [0, 0], [0, 0], form="n", err="log_probs tensor must not be empty")
    c("ctc_loss", p, X((2, 3), [4] * 6, i64), [5, 5], [3, 3], form="n", own="label 1 of sample 1 is 5, for 4 classes. Labels count from 1 in Lua")

    for dt in FLOATS:
        a, b = x((2, 3), dt, g=True), X((2, 3), [0.25, 0.5, 0.0, 1.0, 2.0, 0.125], dt)
        for reduction in (0, 1, 2):
            c("kl_div", a, b, reduction, form="f")
            c("kl_div", a, x((2, 3), dt, g=True), reduction, log_target=True, form="f")
        for reduction in ("none", "mean", "sum", "batchmean"):
            c("kl_div", a, b, form="n", reduction=reduction)
            c("kl_div", a, x((2, 3), dt, g=True), form="n", reduction=reduction, log_target=True)
    return fam


FAMILIES = (norms, embeddings, layers, resamples, cells)
