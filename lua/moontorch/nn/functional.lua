--- torch.nn.functional: layers and losses as functions (F).
--
-- The numbers come from the core's operators; this file gives them PyTorch's arguments. Losses refuse shapes that would
-- broadcast and dtypes that cannot be meant. Class labels are integers from 1, of any integer dtype.

local core = require "moontorch.core"
local arguments = require "moontorch.arguments"
local reduction_rules = require "moontorch.nn.functional_reduction"
local text = require "moontorch.text"
local composed = require "moontorch.autocast_composed"

local F = {}

local signature, none = arguments.signature, core.none

-- Functions that the core has as operators, with PyTorch's arguments; inner ones have a name with "_" before it.
for _, name in ipairs {
  "relu_", "sigmoid", "tanh", "linear", "gelu", "elu_", "selu_", "celu_", "leaky_relu_", "softplus", "softsign",
  "logsigmoid", "hardtanh_", "tanhshrink", "softshrink", "hardshrink", "threshold_", "prelu", "rrelu_", "glu",
  "cosine_similarity", "pairwise_distance", "pdist",
} do
  F[name] = core[name] or core["_" .. name]
end

-- Activations that take `inplace` last. Each has the core's arguments and defaults before it.
for name, settings in pairs {
  relu = {}, relu6 = {}, selu = {}, silu = {}, mish = {}, hardsigmoid = {}, hardswish = {},
  elu = { { "alpha", "number", 1.0 } }, celu = { { "alpha", "number", 1.0 } },
  leaky_relu = { { "negative_slope", "number", 0.01 } },
  hardtanh = { { "min_val", "number", -1.0 }, { "max_val", "number", 1.0 } },
  threshold = { { "threshold", "number" }, { "value", "number" } },
  rrelu = { { "lower", "number", 1 / 8 }, { "upper", "number", 1 / 3 }, { "training", "boolean", false } },
} do
  local op, inplace_op = core[name] or core["_" .. name], core[name .. "_"] or core["_" .. name .. "_"]
  local list = table.move(settings, 1, #settings, 2, { { "input", "tensor" } })
  list[#list + 1] = { "inplace", "boolean", false }
  local resolve, n = signature(name, list), #list
  F[name] = function(...)
    if select("#", ...) == 1 and type(...) ~= "table" then return (op(...)) end -- the usual call
    local values = { resolve(...) }
    return ((values[n] and inplace_op or op)(table.unpack(values, 1, n - 1)))
  end
end

-- Softmax needs its dim: guessing it is how wrong results come about.
local function needs_dim(name, negative)
  local resolve = signature(name, {
    { "input", "tensor" }, { "dim", "integer?" }, { "_stacklevel", "integer", 3 }, { "dtype", "any?" },
  })
  local op = negative and core.softmax or core[name]
  return function(...)
    local input, dim, _, dtype = resolve(...)
    if dim == nil then
      core.raise(name, "missing 1 required positional arguments: \"dim\": over which dim of the input of shape %s? The "
        .. "last is -1, the classes of a batch are dim 2", text.sizes(input))
    end
    if negative then input = -input end
    if dtype ~= nil then input = input:to(dtype) end
    return (op(input, dim))
  end
end

--- softmax(input, dim): exp(x) / sum exp(x) over `dim`, which must be given. Keyword: dtype.
F.softmax = needs_dim "softmax"
--- log_softmax(input, dim): log of softmax, computed without overflow.
F.log_softmax = needs_dim "log_softmax"
--- softmin(input, dim): softmax of -input. Keyword: dtype.
F.softmin = needs_dim("softmin", true)

local flatten_arguments = signature("flatten", {
  { "input", "tensor" }, { "start_dim", "integer", 1 }, { "end_dim", "integer", -1 },
})

--- Merges the dims start_dim to end_dim.
function F.flatten(...)
  local input, start_dim, end_dim = flatten_arguments(...)
  return (input:flatten(start_dim, end_dim))
end

-- Losses --------------------------------------------------------------------------------------------------------------
--
-- Shapes, dtypes, labels and reductions are checked by the core's operators. Each loss has two faces here: a plain
-- function of all settings in F._losses, for the loss modules, and PyTorch's signature in F.

local losses = {}

local legacy_reduction, check_reduction = reduction_rules.legacy, reduction_rules.check

-- A loss of two tensors of one shape, `core[name]`.
local function pair_loss(name)
  local op = core[name]
  local resolve = signature(name, {
    { "input", "tensor" }, { "target", "tensor" }, { "size_average", "boolean?" }, { "reduce", "boolean?" },
    { "reduction", "string", "mean" }, { "weight", "tensor?" }, { "broadcast", "boolean", false },
  })
  losses[name] = function(input, target, reduction, broadcast)
    return (op(input, target, reduction, broadcast))
  end
  return function(...)
    local input, target, size_average, do_reduce, reduction, weight, broadcast = resolve(...)
    reduction = legacy_reduction(size_average, do_reduce, reduction)
    if weight == nil then return (op(input, target, reduction, broadcast)) end
    check_reduction(name, reduction)
    local value = op(input, target, "none", broadcast) * weight
    if reduction == "none" then return value end
    if reduction == "sum" then return (value:sum()) end
    return value:sum() / weight:sum()
  end
end

--- mse_loss(input, target, {reduction = "mean", weight}): (input - target)^2, mean, sum or none. Same shape, or
-- {broadcast = true}. Integer targets are promoted.
F.mse_loss = pair_loss "mse_loss"

--- l1_loss(input, target, {reduction = "mean", weight}): |input - target|. Same shape, or {broadcast = true}.
F.l1_loss = pair_loss "l1_loss"

function losses.binary_cross_entropy(input, target, weight, reduction)
  return (core.binary_cross_entropy(input, target, weight or none, reduction))
end

local bce_arguments = signature("binary_cross_entropy", {
  { "input", "tensor" }, { "target", "tensor" }, { "weight", "tensor?" }, { "size_average", "boolean?" },
  { "reduce", "boolean?" }, { "reduction", "string", "mean" },
})

--- -(t log x + (1 - t) log(1 - x)) with logarithms of at least -100. Input: probabilities; target: same shape and
-- dtype, between 0 and 1. Keywords: weight, reduction. For logits use binary_cross_entropy_with_logits.
function F.binary_cross_entropy(...)
  local input, target, weight, size_average, do_reduce, reduction = bce_arguments(...)
  return (losses.binary_cross_entropy(input, target, weight, legacy_reduction(size_average, do_reduce, reduction)))
end

function losses.binary_cross_entropy_with_logits(input, target, weight, pos_weight, reduction)
  return (core.binary_cross_entropy_with_logits(input, target, weight or none, pos_weight or none, reduction))
end

local logits_arguments = signature("binary_cross_entropy_with_logits", {
  { "input", "tensor" }, { "target", "tensor" }, { "weight", "tensor?" }, { "size_average", "boolean?" },
  { "reduce", "boolean?" }, { "reduction", "string", "mean" }, { "pos_weight", "tensor?" },
})

--- binary_cross_entropy of sigmoid(input), computed without overflow. Keywords: weight, reduction, pos_weight (the
-- weight of positive answers, broadcast over the target).
function F.binary_cross_entropy_with_logits(...)
  local input, target, weight, size_average, do_reduce, reduction, pos_weight = logits_arguments(...)
  return (losses.binary_cross_entropy_with_logits(input, target, weight, pos_weight,
    legacy_reduction(size_average, do_reduce, reduction)))
end

-- Labels of the integer dtypes that are no index dtypes become int64; anything else goes on as it is.
local function as_labels(owner, target)
  if not core.is_tensor(target) then
    core.raise(owner, "argument 'target' (position 2) must be Tensor, not %s. torch.tensor{...} makes one from labels",
      type(target))
  end
  local dtype = target.dtype
  if dtype == core.int64 or dtype == core.int32 or dtype == core.bool or target:is_floating_point() then
    return target
  end
  return (target:long())
end

function losses.nll_loss(input, target, weight, ignore_index, reduction)
  return (core.nll_loss(input, as_labels("nll_loss", target), weight or none, ignore_index, reduction))
end

local nll_arguments = signature("nll_loss", {
  { "input", "tensor" }, { "target", "tensor" }, { "weight", "tensor?" }, { "size_average", "boolean?" },
  { "ignore_index", "integer", -100 }, { "reduce", "boolean?" }, { "reduction", "string", "mean" },
})

--- Negative log-likelihood: -weight[label] input[label], where input holds log-probabilities (C), (N, C) or (N, C, d…)
-- and target integer labels from 1. "mean" divides by the sum of the labels' weights. Keywords: weight, ignore_index,
-- reduction.
function F.nll_loss(...)
  local input, target, weight, size_average, ignore_index, do_reduce, reduction = nll_arguments(...)
  return (losses.nll_loss(input, target, weight, ignore_index,
    legacy_reduction(size_average, do_reduce, reduction)))
end

-- Cross-entropy against probabilities of the input's shape.
local function probability_loss(input, target, weight, reduction, label_smoothing)
  local name = "cross_entropy"
  check_reduction(name, reduction)
  if not (label_smoothing >= 0 and label_smoothing <= 1) then
    core.raise(name, "label_smoothing must be between 0.0 and 1.0. Got: %s", text.repr(label_smoothing))
  end
  local dim = input.ndim == 1 and 1 or 2
  local classes = input:size(dim)
  if label_smoothing > 0 then target = target * (1 - label_smoothing) + label_smoothing / classes end
  local value = core.log_softmax(input, dim) * target
  if weight ~= nil then
    if weight.ndim ~= 1 or weight:size(1) ~= classes then
      core.raise(name, "weight tensor should be defined either for all %d classes or no classes but got weight tensor "
        .. "of shape: %s", classes, text.sizes(weight))
    end
    local sizes = {}
    for d = 1, input.ndim do sizes[d] = d == dim and classes or 1 end
    value = value * weight:reshape(sizes)
  end
  if reduction == "none" then return -(value:sum(dim)) end
  local total = -(value:sum())
  if reduction == "sum" then return total end
  return total / (input:numel() / classes)
end
probability_loss = composed.wrap("cross_entropy", probability_loss)

function losses.cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing)
  if not core.is_tensor(target) or target.dtype ~= core.int64 then
    target = as_labels("cross_entropy", target)
    arguments.check_tensor("cross_entropy", "input", 1, input)
    if target:is_floating_point() and target.ndim > 0 and target.shape == input.shape then
      if ignore_index > 0 then
        core.raise("cross_entropy", "ignore_index is not supported for floating point target: target of shape %s holds "
          .. "probabilities; use labels, or give the element no weight", text.sizes(target))
      end
      return (probability_loss(input, target, weight, reduction, label_smoothing))
    end
  end
  return (core._cross_entropy(input, target, weight or none, ignore_index, reduction, label_smoothing))
end

local cross_entropy_arguments = signature("cross_entropy", {
  { "input", "tensor" }, { "target", "tensor" }, { "weight", "tensor?" }, { "size_average", "boolean?" },
  { "ignore_index", "integer", -100 }, { "reduce", "boolean?" }, { "reduction", "string", "mean" },
  { "label_smoothing", "number", 0.0 },
})

--- Softmax and negative log-likelihood in one. Input: logits (C), (N, C) or (N, C, d…); target: integer labels from 1
-- of shape (), (N) or (N, d…), or probabilities of the input's shape. Keywords: weight (C), ignore_index (labels only),
-- reduction "mean" | "sum" | "none", label_smoothing from 0 to 1.
function F.cross_entropy(...)
  local input, target, weight, size_average, ignore_index, do_reduce, reduction, label_smoothing =
    cross_entropy_arguments(...)
  return (losses.cross_entropy(input, target, weight, ignore_index,
    legacy_reduction(size_average, do_reduce, reduction), label_smoothing))
end

local one_hot_arguments = signature("one_hot", { { "tensor", "tensor" }, { "num_classes", "integer", -1 } })

--- one_hot(tensor, num_classes = -1): labels from 1 as vectors of 0 with one 1.
function F.one_hot(...)
  return (core.one_hot(one_hot_arguments(...)))
end

local function add(functions)
  for name, fn in pairs(functions) do F[name] = fn end
end
add(require "moontorch.nn.functional_network")
add(require "moontorch.nn.functional_losses")

composed.wrap_all(F)

-- For the loss modules.
F._losses, F._check_reduction, F._legacy_reduction = losses, check_reduction, legacy_reduction

return F
