--- Losses as modules: L1Loss, MSELoss, BCELoss, BCEWithLogitsLoss, NLLLoss, CrossEntropyLoss.
--
-- A loss keeps its settings and calls the function of the same name in nn.functional; weights are buffers, so they move
-- with the module. Keywords common to all: reduction = "mean" | "sum" | "none".

local core = require "moontorch.core"
local class = require "moontorch.nn.class"
local Module = require "moontorch.nn.module"
local F = require "moontorch.nn.functional"
local arguments = require "moontorch.arguments"

local losses = {}

local signature = arguments.signature

local function check_weight(name, key, weight)
  if weight ~= nil and not weight:is_floating_point() then
    core.raise(name, "expected a floating-point tensor for argument '%s', but got %s; use %s:float()", key,
      weight:type(), key)
  end
end

-- A loss of two tensors of one shape.
local function pair_loss(name, fn)
  local cls = class.extend(name, Module)
  local resolve = signature(name, {
    { "size_average", "boolean?" }, { "reduce", "boolean?" }, { "reduction", "string", "mean" },
    { "broadcast", "boolean", false },
  })
  function cls:init(...)
    local size_average, do_reduce, reduction, broadcast = resolve(...)
    self.reduction = F._legacy_reduction(size_average, do_reduce, reduction)
    self.broadcast = broadcast
    F._check_reduction(name, self.reduction)
  end
  function cls:forward(input, target)
    return (fn(input, target, self.reduction, self.broadcast))
  end
  return cls
end

--- |input - target|. Same shapes; `broadcast = true` lets them differ.
losses.L1Loss = pair_loss("L1Loss", F._losses.l1_loss)

--- (input - target)^2. Same shapes; `broadcast = true` lets them differ. Integer targets are promoted. After a Sigmoid
-- the gradient vanishes where the output is far off: cross-entropy does not have that fault.
losses.MSELoss = pair_loss("MSELoss", F._losses.mse_loss)

--- Cross-entropy of probabilities (outputs of a Sigmoid) against targets of the same shape and dtype in [0, 1].
-- Keywords: weight, reduction.
local BCELoss = class.extend("BCELoss", Module)

local bce_arguments = signature("BCELoss", {
  { "weight", "tensor?" }, { "size_average", "boolean?" }, { "reduce", "boolean?" }, { "reduction", "string", "mean" },
})

function BCELoss:init(...)
  local weight, size_average, do_reduce, reduction = bce_arguments(...)
  check_weight("BCELoss", "weight", weight)
  self:register_buffer("weight", weight)
  self.reduction = F._legacy_reduction(size_average, do_reduce, reduction)
  F._check_reduction("BCELoss", self.reduction)
end

function BCELoss:forward(input, target)
  return (F._losses.binary_cross_entropy(input, target, self.weight, self.reduction))
end

--- BCELoss of sigmoid(input), without overflow. Keywords: weight, reduction, pos_weight.
local BCEWithLogitsLoss = class.extend("BCEWithLogitsLoss", Module)

local logits_arguments = signature("BCEWithLogitsLoss", {
  { "weight", "tensor?" }, { "size_average", "boolean?" }, { "reduce", "boolean?" }, { "reduction", "string", "mean" },
  { "pos_weight", "tensor?" },
})

function BCEWithLogitsLoss:init(...)
  local weight, size_average, do_reduce, reduction, pos_weight = logits_arguments(...)
  check_weight("BCEWithLogitsLoss", "weight", weight)
  check_weight("BCEWithLogitsLoss", "pos_weight", pos_weight)
  self:register_buffer("weight", weight)
  self:register_buffer("pos_weight", pos_weight)
  self.reduction = F._legacy_reduction(size_average, do_reduce, reduction)
  F._check_reduction("BCEWithLogitsLoss", self.reduction)
end

function BCEWithLogitsLoss:forward(input, target)
  return (F._losses.binary_cross_entropy_with_logits(input, target, self.weight, self.pos_weight, self.reduction))
end

--- Negative log-likelihood of log-probabilities (C), (N, C), (N, C, d…) against integer labels from 1.
-- Keywords: weight (C), ignore_index, reduction.
local NLLLoss = class.extend("NLLLoss", Module)

local nll_arguments = signature("NLLLoss", {
  { "weight", "tensor?" }, { "size_average", "boolean?" }, { "ignore_index", "integer", -100 },
  { "reduce", "boolean?" }, { "reduction", "string", "mean" },
})

function NLLLoss:init(...)
  local weight, size_average, ignore_index, do_reduce, reduction = nll_arguments(...)
  check_weight("NLLLoss", "weight", weight)
  self:register_buffer("weight", weight)
  self.ignore_index = ignore_index
  self.reduction = F._legacy_reduction(size_average, do_reduce, reduction)
  F._check_reduction("NLLLoss", self.reduction)
end

function NLLLoss:forward(input, target)
  return (F._losses.nll_loss(input, target, self.weight, self.ignore_index, self.reduction))
end

--- Softmax and NLLLoss in one: logits (C), (N, C), (N, C, d…) against integer labels from 1, or probabilities of the
-- input's shape. Keywords: weight (C), ignore_index, reduction, label_smoothing.
local CrossEntropyLoss = class.extend("CrossEntropyLoss", Module)

local cross_entropy_arguments = signature("CrossEntropyLoss", {
  { "weight", "tensor?" }, { "size_average", "boolean?" }, { "ignore_index", "integer", -100 },
  { "reduce", "boolean?" }, { "reduction", "string", "mean" }, { "label_smoothing", "number", 0.0 },
})

function CrossEntropyLoss:init(...)
  local weight, size_average, ignore_index, do_reduce, reduction, label_smoothing = cross_entropy_arguments(...)
  check_weight("CrossEntropyLoss", "weight", weight)
  self:register_buffer("weight", weight)
  self.ignore_index, self.label_smoothing = ignore_index, label_smoothing
  self.reduction = F._legacy_reduction(size_average, do_reduce, reduction)
  F._check_reduction("CrossEntropyLoss", self.reduction)
end

function CrossEntropyLoss:forward(input, target)
  return (F._losses.cross_entropy(input, target, self.weight, self.ignore_index, self.reduction,
    self.label_smoothing))
end

losses.BCELoss, losses.BCEWithLogitsLoss = BCELoss, BCEWithLogitsLoss
losses.NLLLoss, losses.CrossEntropyLoss = NLLLoss, CrossEntropyLoss

return losses
