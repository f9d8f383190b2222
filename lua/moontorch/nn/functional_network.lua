--- The part of torch.nn.functional that is about network layers: convolution, pooling, normalisation, embedding,
-- resampling, attention, dropout. The core's operators do the work; what PyTorch has in this namespace alone is hidden
-- in the core (core._name), with the arguments that it has here.

local core = require "moontorch.core"
local drops = require "moontorch.drops"
local arguments = require "moontorch.arguments"
local text = require "moontorch.text"
local composed = require "moontorch.autocast_composed"

local signature, none = arguments.signature, core.none
local F = {}

for _, name in ipairs {
  "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
  "avg_pool1d", "avg_pool2d", "avg_pool3d", "max_unpool1d", "max_unpool2d", "max_unpool3d",
  "batch_norm", "instance_norm", "layer_norm", "group_norm", "rms_norm", "embedding", "embedding_bag", "bilinear",
  "pad", "unfold", "fold", "ctc_loss", "scaled_dot_product_attention",
} do
  F[name] = core["_" .. name] or core[name]
end

--- Attention of several heads, see functional_attention.lua, loaded when it is first used.
function F.multi_head_attention_forward(...)
  return require("moontorch.nn.functional_attention").multi_head_attention_forward(...)
end

-- A number for each of n dims from a list of them or one number.
local function each(owner, word, value, n)
  local list = {}
  for d = 1, n do
    local v = type(value) == "table" and value[d] or value
    if type(value) == "table" and #value ~= n then
      core.raise(owner, "%s must be a single number or a list of %d numbers, but has %d", word, n, #value)
    end
    if type(v) ~= "number" then core.raise(owner, "%s must hold numbers, not %s", word, arguments.type_name(v)) end
    list[d] = v
  end
  return list
end

-- Pooling -------------------------------------------------------------------------------------------------------------

local function max_pool(n)
  local name = ("max_pool%dd"):format(n)
  local values = core[name]
  local both = core[name .. "_with_indices"] or core["_" .. name .. "_with_indices"]
  local resolve = signature(name, {
    { "input", "tensor" }, { "kernel_size", "any" }, { "stride", "any?" }, { "padding", "any", 0 },
    { "dilation", "any", 1 }, { "ceil_mode", "boolean", false }, { "return_indices", "boolean", false },
  })
  F[name .. "_with_indices"] = both
  return function(...)
    local input, kernel_size, stride, padding, dilation, ceil_mode, return_indices = resolve(...)
    if not return_indices then return (values(input, kernel_size, stride, padding, dilation, ceil_mode)) end
    local largest, indices = both(input, kernel_size, stride, padding, dilation, ceil_mode)
    return largest, indices
  end
end

-- An output_size whose dims may be torch.none, the input's own, as the core takes it.
local function output_size(name, n, input, size)
  if type(size) ~= "table" then return size end
  local sizes = {}
  for d = 1, n do
    sizes[d] = size[d]
    if sizes[d] == none then
      if input.ndim < n then core.raise(name, "input of shape %s has no %d dims", text.sizes(input), n) end
      sizes[d] = input:size(d - n - 1)
    end
  end
  return #size == n and sizes or size
end

local function adaptive_pool(n, kind)
  local name = ("adaptive_%s_pool%dd"):format(kind, n)
  local pool = core["_" .. name] or core[name]
  local list = { { "input", "tensor" }, { "output_size", "any" } }
  if kind == "max" then list[3] = { "return_indices", "boolean", false } end
  local resolve = signature(name, list)
  F[name] = function(...)
    local input, size, return_indices = resolve(...)
    local values, indices = pool(input, output_size(name, n, input, size))
    if return_indices then return values, indices end
    return values
  end
  if kind == "max" then F[name .. "_with_indices"] = pool end
end

local function lp_pool(n)
  local name = ("lp_pool%dd"):format(n)
  local mean, largest = F[("avg_pool%dd"):format(n)], F[("max_pool%dd"):format(n)]
  local resolve = signature(name, {
    { "input", "tensor" }, { "norm_type", "number" }, { "kernel_size", "any" }, { "stride", "any?" },
    { "ceil_mode", "boolean", false },
  })
  return function(...)
    local input, p, kernel_size, stride, ceil_mode = resolve(...)
    if p == 0 then core.raise(name, "norm_type must be a non-zero value, but got 0") end
    if p == math.huge then return (largest(input:abs(), kernel_size, stride, 0, 1, ceil_mode)) end
    if p == -math.huge then return -largest(-input:abs(), kernel_size, stride, 0, 1, ceil_mode) end
    local count = 1
    for _, size in ipairs(each(name, "kernel_size", kernel_size, n)) do count = count * size end
    local sum = mean(input:pow(p), kernel_size, stride, 0, ceil_mode)
    return (sum:sign() * sum:abs():relu()):mul(count):pow(1 / p)
  end
end

for n = 1, 3 do
  --- max_pool1d to max_pool3d(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices): the largest
  -- of each window, and with return_indices its position in its plane.
  F[("max_pool%dd"):format(n)] = max_pool(n)
  adaptive_pool(n, "avg")
  adaptive_pool(n, "max")
  --- lp_pool1d to lp_pool3d(input, norm_type, kernel_size, stride, ceil_mode): (sum of x^p)^(1/p) of each window.
  F[("lp_pool%dd"):format(n)] = lp_pool(n)
end

-- Normalisation -------------------------------------------------------------------------------------------------------

local normalize_arguments = signature("normalize", {
  { "input", "tensor" }, { "p", "number", 2.0 }, { "dim", "any", 2 }, { "eps", "number", 1e-12 },
})

--- normalize(input, p, dim, eps): input over its p-norm along dim (the second), which counts as at least eps.
function F.normalize(...)
  local input, p, dim, eps = normalize_arguments(...)
  if not input:is_floating_point() then
    core.raise("normalize", "linalg.vector_norm: Expected a floating point or complex tensor as input. Got %s: use "
      .. ":float()", input.dtype.name)
  end
  return input / input:norm(p, dim, { keepdim = true }):clamp_min(eps)
end

local response_arguments = signature("local_response_norm", {
  { "input", "tensor" }, { "size", "integer" }, { "alpha", "number", 1e-4 }, { "beta", "number", 0.75 },
  { "k", "number", 1.0 },
})

--- local_response_norm(input, size, alpha, beta, k): input (N, C, ...) over (k + alpha mean of squares)^beta, the mean
-- being that of `size` neighbouring channels, zeros beyond the first and the last.
function F.local_response_norm(...)
  local input, size, alpha, beta, k = response_arguments(...)
  if input.ndim < 3 then
    core.raise("local_response_norm", "Expected 3D or higher dimensionality input (got %d dimensions): (N, C, ...)",
      input.ndim)
  end
  if input:numel() == 0 then return input end
  if size < 1 then
    core.raise("local_response_norm", "kernel size should be greater than zero, but got size %d", size)
  end
  local shape = input.shape
  local squares = (input * input):view(shape[1], 1, shape[2], -1)
  if not squares:is_floating_point() then squares = squares:to(core.get_default_dtype()) end
  local padded = F.pad(squares, { 0, 0, size // 2, (size - 1) // 2 })
  local mean = F.avg_pool2d(padded, { size, 1 }, 1):view(shape)
  return input / (mean * alpha + k):pow(beta)
end

-- Dropout -------------------------------------------------------------------------------------------------------------

-- Did the caller say that it shall drop, rather than leave it to the default?
local function says_training(...)
  local n = select("#", ...)
  local last = select(n, ...)
  return n >= 3 or (n > 1 and arguments.is_keywords(last) and last.training ~= nil)
end

local function dropout(name, operator, training_by_default, prepare)
  local resolve = signature(name, {
    { "input", "tensor" }, { "p", "number", 0.5 }, { "training", "boolean", training_by_default },
    { "inplace", "boolean", false },
  })
  local drop, drop_ = core[operator], core[operator .. "_"]
  return function(...)
    local input, p, training, inplace = resolve(...)
    if not (p >= 0 and p <= 1) then
      core.raise(name, "dropout probability has to be between 0 and 1, but got %s", text.repr(p))
    end
    local recording = core.is_grad_enabled()
    if not training then
      if p > 0 and recording then drops.passed = true end
    elseif not recording then
      drops.asked = says_training(...)
    end
    local alone = prepare and prepare(input)
    local x = alone and input:unsqueeze(1) or input
    if inplace then
      drop_(x, p, training)
      return input
    end
    x = drop(x, p, training)
    return alone and x:squeeze(1) or x
  end
end

--- dropout(input, p, training, inplace): in training, zeroes each element with probability p and multiplies the others
-- by 1/(1-p).
F.dropout = dropout("dropout", "dropout", true)
--- alpha_dropout(input, p, training, inplace): dropout to selu's limit; mean and variance are kept.
F.alpha_dropout = dropout("alpha_dropout", "alpha_dropout", false)
--- feature_alpha_dropout(input, p, training, inplace): alpha_dropout of whole channels.
F.feature_alpha_dropout = dropout("feature_alpha_dropout", "feature_alpha_dropout", false)

--- dropout1d(input, p, training, inplace): dropout of whole channels of (N, C, L) or (C, L).
F.dropout1d = dropout("dropout1d", "feature_dropout", true, function(input)
  if input.ndim ~= 2 and input.ndim ~= 3 then
    core.raise("dropout1d", "Expected 2D or 3D input, but received a %dD input. Note that dropout1d exists to provide "
      .. "channel-wise dropout on inputs with 1 spatial dimension, a channel dimension, and an optional batch "
      .. "dimension (i.e. 2D or 3D inputs).", input.ndim)
  end
  return input.ndim == 2
end)

local function warn_rank(name, spatial, input)
  local n = input.ndim
  if n == spatial + 1 or n == spatial + 2 then return end
  arguments.warn_once(name, ("%s: Received a %d-D input to %s, which is deprecated and will result in an error in a "
    .. "future release. To retain the behavior and silence this warning, please use dropout instead. %s is for inputs "
    .. "with %d spatial dimensions, a channel dimension, and an optional batch dimension"):format(name, n, name, name,
    spatial))
end

--- dropout2d(input, p, training, inplace): dropout of whole channels of (N, C, H, W); three dims are (N, C, L).
F.dropout2d = dropout("dropout2d", "feature_dropout", true, function(input)
  warn_rank("dropout2d", 2, input)
  if input.ndim == 3 then
    arguments.warn_once("dropout2d of 3 dims", "dropout2d: Received a 3D input to dropout2d and assuming that "
      .. "channel-wise 1D dropout behavior is desired - input is interpreted as shape (N, C, L), where C is the "
      .. "channel dim. Use dropout1d instead")
  end
  return false
end)

--- dropout3d(input, p, training, inplace): dropout of whole channels of (N, C, D, H, W) or (C, D, H, W).
F.dropout3d = dropout("dropout3d", "feature_dropout", true, function(input)
  warn_rank("dropout3d", 3, input)
  return input.ndim ~= 5
end)

-- Resampling ----------------------------------------------------------------------------------------------------------

-- The core's word for a mode, by the number of spatial dims.
local MODES = {
  nearest = { "nearest", "nearest", "nearest" },
  ["nearest-exact"] = { "nearest-exact", "nearest-exact", "nearest-exact" },
  area = { "area", "area", "area" }, linear = { "linear" }, bilinear = { [2] = "linear" },
  trilinear = { [3] = "linear" }, bicubic = { [2] = "cubic" }, lanczos = { [2] = "lanczos" },
}
local NEEDS = { linear = 3, bilinear = 4, trilinear = 5, bicubic = 4, lanczos = 4 }
local POOL = { F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d }

-- The sizes of the result, and the scales to compute positions with (0: by the sizes).
local function sizes_and_scales(name, input, size, scale_factor, recompute)
  local n = input.ndim - 2
  local function list(value, message, word)
    if type(value) == "table" and #value ~= n then
      core.raise(name, "%s must have the same number of spatial dimensions, but got input with spatial dimensions of "
        .. "%s and %s. Please provide input tensor in (N, C, d1, d2, ...,dK) format and %s.", message,
        "{" .. table.concat(input.shape, ", ", 3) .. "}", text.repr(value), word)
    end
    return each(name, word, value, n)
  end
  if size ~= nil and scale_factor ~= nil then
    core.raise(name, "only one of size or scale_factor should be defined")
  end
  local sizes, scales = {}, {}
  for d = 1, n do scales[d] = 0 end
  if size ~= nil then
    if recompute then core.raise(name, "recompute_scale_factor is not meaningful with an explicit size.") end
    for d, v in ipairs(list(size, "Input and output", "output size in (o1, o2, ...,oK) format")) do
      sizes[d] = math.tointeger(v)
      if not sizes[d] then core.raise(name, "expected size to be one of int or a list of ints, but got %s", v) end
    end
  elseif scale_factor ~= nil then
    local factors = list(scale_factor, "Input and scale_factor", "scale_factor in (s1, s2, ...,sK) format")
    for d, v in ipairs(factors) do
      local most = input:size(d + 2) * v
      if not (most > -2^53 and most < 2^53) then core.raise(name, "scale_factor %s is out of range", text.repr(v)) end
      sizes[d] = math.tointeger(most < 0 and math.ceil(most) or math.floor(most))
      if not recompute then scales[d] = v end
    end
  else
    core.raise(name, "either size or scale_factor should be defined")
  end
  return sizes, scales
end

local function check_sizes(name, input, sizes)
  for d = 2, input.ndim do
    if d > 2 and (input:size(d) < 1 or sizes[d - 2] < 1) then
      core.raise(name, "Input and output sizes should be greater than 0, but got input %s and output sizes {%s}",
        text.sizes(input), table.concat(sizes, ", "))
    end
    if input:size(d) < 1 then
      core.raise(name, "Non-empty %dD data tensor expected but got a tensor with sizes %s", input.ndim,
        text.sizes(input))
    end
  end
end

-- Floats, and bytes where PyTorch has them; no 16-bit floats with antialias.
local function check_dtype(name, input, word, antialias)
  local dtype = input.dtype
  local half = dtype.is_floating_point and dtype.itemsize == 2
  local bytes = dtype == core.uint8 and (word ~= "linear" or input.ndim == 4)
  if (dtype.is_floating_point or bytes) and not (antialias and half) then return end
  core.raise(name, "\"%s\" not implemented for '%s': input is %s; use :float() first",
    antialias and "compute_index_ranges_weights" or "compute_indices_weights_" .. word:gsub("%-exact", ""),
    input:type():match("(%a+)Tensor$"), dtype.name)
end

-- 16-bit floats are computed in float32; bytes in float64, and rounded after each dim, the last dim first.
local function resample(input, sizes, scales, mode, align_corners)
  local dtype = input.dtype
  local bytes = dtype == core.uint8
  local x = bytes and input:double() or dtype.itemsize == 2 and dtype.is_floating_point and input:float() or input
  local step = bytes and core._resample_bytes or core._resample
  for d = #sizes, 1, -1 do
    -- the same size and twice the size go by the sizes whatever the scale, in PyTorch's two dims of nearest
    local whole = sizes[d] == input:size(d + 2) or sizes[d] == 2 * input:size(d + 2)
    if mode == "nearest" and #sizes == 2 and whole then scales[d] = 0 end
    x = step(x, d + 2, sizes[d], mode, align_corners, scales[d])
  end
  return x.dtype == dtype and x or x:to(dtype)
end
resample = composed.wrap("resample", resample)

local function interpolate(name, input, size, scale_factor, mode, align_corners, recompute, antialias)
  local n, known = input.ndim - 2, MODES[mode]
  if known and NEEDS[mode] == nil and align_corners ~= nil then
    core.raise(name, "align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | "
      .. "trilinear")
  end
  local sizes, scales = sizes_and_scales(name, input, size, scale_factor, recompute or mode == "area" and size == nil)
  if antialias and not ((mode == "bilinear" or mode == "bicubic" or mode == "lanczos") and n == 2) then
    core.raise(name, "Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires a 4-D "
      .. "tensor as input")
  end
  local word = known and known[n]
  if known and not word and n >= 1 and n <= 3 and mode ~= "bicubic" and mode ~= "lanczos" then
    core.raise(name, "Got %dD input, but %s mode needs %dD input", input.ndim, mode, NEEDS[mode])
  elseif not word then
    core.raise(name, "Input Error: Only 3D, 4D and 5D input Tensors supported (got %dD) for the modes: nearest | "
      .. "linear | bilinear | bicubic | trilinear | lanczos | area | nearest-exact (got %s): input has shape %s, batch "
      .. "and channels first%s", input.ndim, mode, text.sizes(input),
      NEEDS[mode] and (", and %s needs %d dims"):format(mode, NEEDS[mode]) or "")
  end
  if mode == "area" then return (POOL[n](input, sizes)) end
  if mode == "lanczos" then
    if align_corners then core.raise(name, "Lanczos mode does not support align_corners=True") end
    if not antialias then core.raise(name, "Lanczos mode requires antialias=True") end
  end
  check_sizes(name, input, sizes)
  check_dtype(name, input, word, antialias)
  if antialias then word = word .. "-antialias" end
  return resample(input, sizes, scales, word, align_corners or false)
end

local interpolate_parameters = {
  { "input", "tensor" }, { "size", "any?" }, { "scale_factor", "any?" }, { "mode", "string", "nearest" },
  { "align_corners", "boolean?" }, { "recompute_scale_factor", "boolean?" }, { "antialias", "boolean", false },
}
local interpolate_arguments = signature("interpolate", interpolate_parameters)

--- interpolate(input, {size | scale_factor, mode, align_corners, recompute_scale_factor, antialias}): input (N, C, L),
-- (N, C, H, W) or (N, C, D, H, W) brought to other spatial sizes. mode: nearest, nearest-exact, linear, bilinear,
-- bicubic, trilinear, area; with antialias also lanczos.
function F.interpolate(...)
  return interpolate("interpolate", interpolate_arguments(...))
end

local function deprecated(name)
  arguments.warn_once(name, ("`nn.functional.%s` is deprecated. Use `nn.functional.interpolate` instead."):format(name))
end

local upsample_arguments = signature("upsample", {
  { "input", "tensor" }, { "size", "any?" }, { "scale_factor", "any?" }, { "mode", "string", "nearest" },
  { "align_corners", "boolean?" },
})
--- interpolate under its old name.
function F.upsample(...)
  deprecated "upsample"
  return interpolate("upsample", upsample_arguments(...))
end

local function fixed_upsample(name, mode, align_corners)
  local resolve = signature(name, { { "input", "tensor" }, { "size", "any?" }, { "scale_factor", "any?" } })
  return function(...)
    deprecated(name)
    local input, size, scale_factor = resolve(...)
    return interpolate(name, input, size, scale_factor, mode, align_corners)
  end
end
--- upsample_nearest(input, size, scale_factor): interpolate with mode nearest.
F.upsample_nearest = fixed_upsample("upsample_nearest", "nearest")
--- upsample_bilinear(input, size, scale_factor): interpolate with mode bilinear and align_corners.
F.upsample_bilinear = fixed_upsample("upsample_bilinear", "bilinear", true)

local GRID_MODE = { bilinear = 0, nearest = 1, bicubic = 2 }
local GRID_PADDING = { zeros = 0, border = 1, reflection = 2 }

local function default_alignment(name, align_corners)
  if align_corners ~= nil then return align_corners end
  arguments.warn_once(name .. " align_corners", "Default grid_sample and affine_grid behavior has changed to "
    .. "align_corners=False since 1.3.0. Please specify align_corners=True if the old behavior is desired.")
  return false
end

local grid_arguments = signature("grid_sample", {
  { "input", "tensor" }, { "grid", "tensor" }, { "mode", "string", "bilinear" }, { "padding_mode", "string", "zeros" },
  { "align_corners", "boolean?" },
})
--- grid_sample(input, grid, mode, padding_mode, align_corners): input at the places in grid, see torch.grid_sampler.
function F.grid_sample(...)
  local input, grid, mode, padding, align_corners = grid_arguments(...)
  if not GRID_MODE[mode] then
    core.raise("grid_sample", "nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', "
      .. "but got: '%s'", mode)
  end
  if not GRID_PADDING[padding] then
    core.raise("grid_sample", "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or "
      .. "'reflection', but got: '%s'", padding)
  end
  align_corners = default_alignment("grid_sample", align_corners)
  return (core.grid_sampler(input, grid, GRID_MODE[mode], GRID_PADDING[padding], align_corners))
end

local affine_arguments = signature("affine_grid", {
  { "theta", "tensor" }, { "size", "list" }, { "align_corners", "boolean?" },
})
--- affine_grid(theta, size, align_corners): the grid of affine matrices theta for grid_sample.
function F.affine_grid(...)
  local theta, size, align_corners = affine_arguments(...)
  local n, least, sizes = #size - 2, 1, {}
  for d = 1, #size do
    sizes[d] = tostring(size[d])
    if type(size[d]) == "number" then least = math.min(least, size[d]) end
  end
  sizes = "[" .. table.concat(sizes, ", ") .. "]"
  local function refuse(format, ...) core.raise("affine_grid", "nn.functional.affine_grid(): " .. format, ...) end
  if not theta.dtype.is_floating_point then
    refuse("Expected theta to have floating point type, but got %s", tostring(theta.dtype))
  elseif n ~= 2 and n ~= 3 then
    refuse("affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, respectively. Got size %s.",
      sizes)
  elseif theta.ndim ~= 3 or theta:size(2) ~= n or theta:size(3) ~= n + 1 then
    refuse("Expected a batch of %dD affine matrices of shape Nx%dx%d for size %s. Got %s.", n, n, n + 1, sizes,
      tostring(theta.shape))
  elseif least <= 0 then
    refuse("Expected non-zero, positive output size. Got %s", sizes)
  end
  return (core.affine_grid_generator(theta, size, default_alignment("affine_grid", align_corners)))
end

-- Divergence ----------------------------------------------------------------------------------------------------------

local divergence_arguments = signature("kl_div", {
  { "input", "tensor" }, { "target", "tensor" }, { "size_average", "boolean?" }, { "reduce", "boolean?" },
  { "reduction", "string", "mean" }, { "log_target", "boolean", false },
})
--- kl_div(input, target, {reduction, log_target}): target (log target - input), where input holds log-probabilities.
-- reduction "batchmean" divides the sum by the batch, as the divergence is defined.
function F.kl_div(...)
  local input, target, size_average, do_reduce, reduction, log_target = divergence_arguments(...)
  if size_average ~= nil or do_reduce ~= nil then
    reduction = do_reduce == false and "none" or size_average == false and "sum" or "mean"
  end
  if reduction == "mean" then
    arguments.warn_once("kl_div mean", "reduction: 'mean' divides the total loss by both the batch size and the "
      .. "support size.'batchmean' divides only by the batch size, and aligns with the KL math definition.")
  end
  return (core.kl_div(input, target, reduction, log_target))
end

return F
