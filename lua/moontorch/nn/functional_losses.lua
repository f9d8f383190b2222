--- The losses of torch.nn.functional that are composed of the core's operators, gumbel_softmax, and the shuffles.
--
-- Each has PyTorch's arguments and gives PyTorch's numbers, subgradients at kinks included: clamp_min passes the
-- gradient at the bound, relu does not, and both stand where PyTorch's kernels do the same. Losses of tensors of one
-- shape refuse others unless `broadcast = true`; labels count from 1, and multilabel_margin_loss ends a row with 0.

local core = require "moontorch.core"
local arguments = require "moontorch.arguments"
local reduction = require "moontorch.nn.functional_reduction"
local text = require "moontorch.text"

local F = {}

F.pixel_shuffle, F.pixel_unshuffle, F.channel_shuffle = core.pixel_shuffle, core.pixel_unshuffle, core.channel_shuffle

-- Declares F[name]: `parameters` of its own, then the ones that losses share, in PyTorch's order; `values(...)` gets
-- the former and the broadcast flag, and gives the loss of each element or sample.
local function loss(name, parameters, values)
  local list = {}
  for i, entry in ipairs(parameters) do list[i] = entry end
  local n, eps = #list, nil
  for i, entry in ipairs(list) do
    -- poisson_nll_loss has its eps among the shared ones
    if entry[1] == "late_eps" then n, eps = i - 1, table.remove(list, i) end
  end
  list[#list + 1] = { "size_average", "boolean?" }
  if eps then list[#list + 1] = { "eps", "number", eps[3] } end
  list[#list + 1] = { "reduce", "boolean?" }
  list[#list + 1] = { "reduction", "string", "mean" }
  list[#list + 1] = { "broadcast", "boolean", false }
  local resolve = arguments.signature(name, list)
  F[name] = function(...)
    local given = { resolve(...) }
    local k = n + 1
    local size_average = given[k]
    if eps then k = k + 1 end
    local how = reduction.legacy(size_average, given[k + 1], given[k + 2])
    reduction.check(name, how)
    given.broadcast, given.eps = given[k + 3], eps and given[k]
    local value = values(given, table.unpack(given, 1, n))
    -- PyTorch's kernels of label losses give 0 for the mean of nothing
    if given.labels and value:numel() == 0 and how == "mean" then how = "sum" end
    return (reduction.apply(value, how))
  end
end

local pair = { { "input", "tensor" }, { "target", "tensor" } }

local function with(list, ...)
  local result = table.move(list, 1, #list, 1, {})
  for _, entry in ipairs { ... } do result[#result + 1] = entry end
  return result
end

local function shift(x, by)
  return by == 0 and x or x + by
end

--- poisson_nll_loss(input, target, log_input, full, eps, reduction): exp(input) - target input, or with log_input
-- false input - target log(input + eps); `full` adds Stirling's term where target > 1.
loss("poisson_nll_loss", with(pair, { "log_input", "boolean", true }, { "full", "boolean", false },
  { "late_eps", "number", 1e-8 }), function(given, input, target, log_input, full)
  reduction.check_pair("poisson_nll_loss", input, target, "input", "target", given.broadcast)
  local value
  if log_input then
    value = input:exp() - target * input
  else
    value = input - target * (input + given.eps):log()
  end
  if not full then return value end
  local stirling = target * target:log() - target + (target * (2 * math.pi)):log() * 0.5
  return value + stirling:masked_fill(target:le(1), 0)
end)

-- What is added to squared lengths: 1e-12 in single precision, as PyTorch keeps it.
local LEAST_SQUARE = string.unpack("f", string.pack("f", 1e-12))

--- cosine_embedding_loss(input1, input2, target, margin, reduction): 1 - cos for target 1, max(0, cos - margin) for -1.
-- Inputs (N, D) and target (N), or (D) and ().
loss("cosine_embedding_loss", { { "input1", "tensor" }, { "input2", "tensor" }, { "target", "tensor" },
  { "margin", "number", 0.0 } }, function(given, input1, input2, target, margin)
  local name = "cosine_embedding_loss"
  if target.ndim > 1 then
    core.raise(name, "0D or 1D target tensor expected, multi-target not supported: target has shape %s",
      text.sizes(target))
  end
  if input1.ndim ~= target.ndim + 1 or input2.ndim ~= target.ndim + 1 then
    core.raise(name, "%dD target tensor expects %dD input tensors, but found inputs with sizes %s and %s.", target.ndim,
      target.ndim + 1, text.sizes(input1), text.sizes(input2))
  end
  reduction.check_pair(name, input1, input2, "input1", "input2", given.broadcast)
  if target.ndim == 1 and target:size(1) ~= input1:size(1) and not given.broadcast then
    core.raise(name, "The size of tensor a (%d) must match the size of tensor b (%d) at dim 1: inputs of shape %s need "
      .. "a target of %d, one for each row", input1:size(1), target:size(1), text.sizes(input1), input1:size(1))
  end
  local product = (input1 * input2):sum(-1)
  local squares1, squares2 = (input1 * input1):sum(-1) + LEAST_SQUARE, (input2 * input2):sum(-1) + LEAST_SQUARE
  local cosine = product / (squares1 * squares2):sqrt()
  local zeros = core.zeros_like(cosine)
  return core.where(target:eq(1), 1 - cosine, zeros)
    + core.where(target:eq(-1), shift(cosine, -margin):clamp_min(0), zeros)
end)

--- hinge_embedding_loss(input, target, margin, reduction): input where target is 1, max(0, margin - input) where -1.
loss("hinge_embedding_loss", with(pair, { "margin", "number", 1.0 }), function(given, input, target, margin)
  reduction.check_pair("hinge_embedding_loss", input, target, "input", "target", given.broadcast)
  local zeros = core.zeros_like(input)
  -- the margin takes the input's dtype
  if not input:is_floating_point() then margin = margin < 0 and math.ceil(margin) or math.floor(margin) end
  return core.where(target:ne(1), (margin - input):clamp_min(0), zeros) + core.where(target:ne(-1), input, zeros)
end)

--- margin_ranking_loss(input1, input2, target, margin, reduction): max(0, -target (input1 - input2) + margin); target 1
-- wants input1 above input2, -1 below.
loss("margin_ranking_loss", { { "input1", "tensor" }, { "input2", "tensor" }, { "target", "tensor" },
  { "margin", "number", 0.0 } }, function(given, input1, input2, target, margin)
  local name = "margin_ranking_loss"
  if input1.ndim ~= input2.ndim or input1.ndim ~= target.ndim then
    core.raise(name, "margin_ranking_loss : All input tensors should have same dimension but got sizes: input1: %s, "
      .. "input2: %s, target: %s", text.size(input1), text.size(input2), text.size(target))
  end
  reduction.check_pair(name, input1, input2, "input1", "input2", given.broadcast)
  reduction.check_pair(name, input1, target, "input1", "target", given.broadcast)
  return shift(-target * (input1 - input2), margin):clamp_min(0)
end)

--- soft_margin_loss(input, target, reduction): log(1 + exp(-target input)); target 1 or -1.
loss("soft_margin_loss", pair, function(given, input, target)
  reduction.check_pair("soft_margin_loss", input, target, "input", "target", given.broadcast)
  if not input:is_floating_point() then
    core.raise("soft_margin_loss", "result type Float can't be cast to the desired output type %s: input of shape %s "
      .. "is %s, use input:float()", input:type():match("(%a+)Tensor$"), text.sizes(input), input.dtype.name)
  end
  return (-target * input):exp():log1p()
end)

--- multilabel_soft_margin_loss(input, target, weight, reduction): the mean over classes (the last dim) of binary
-- cross-entropy of sigmoid(input); target 0 or 1 for each class.
loss("multilabel_soft_margin_loss", with(pair, { "weight", "tensor?" }), function(given, input, target, weight)
  reduction.check_pair("multilabel_soft_margin_loss", input, target, "input", "target", given.broadcast)
  local log_sigmoid = core.logsigmoid or core._logsigmoid
  local value = -(target * log_sigmoid(input) + (1 - target) * log_sigmoid(-input))
  if weight ~= nil then value = value * weight end
  return value:sum(-1) / input:size(-1)
end)

-- Labels ------------------------------------------------------------------------------------------------------------

local function check_matrix(name, input)
  local n = input.ndim
  if not input:is_floating_point() then
    core.raise(name, "\"%s\" not implemented for '%s': input of shape %s is %s, use input:float()", name,
      input:type():match("(%a+)Tensor$"), text.sizes(input), input.dtype.name)
  end
  if n > 2 or n > 0 and input:size(n) == 0 then
    core.raise(name, "Expected non-empty vector or matrix with optional 0-dim batch size, but got: %s",
      text.sizes(input))
  end
end

local function check_labels(name, target)
  if target:is_floating_point() or target.dtype == core.bool then
    core.raise(name, "expected scalar type Long but found %s: argument 'target' of shape %s holds labels, use "
      .. "target:long()", target:type():match("(%a+)Tensor$"), text.sizes(target))
  end
  return target:long()
end

-- Labels must be from `first` to `classes`.
local function check_range(name, target, first, classes, message)
  if target:numel() == 0 then return end
  local lowest, highest = target:min():item(), target:max():item()
  if lowest < first or highest > classes then
    core.raise(name, "%s: label %d, but there are %d classes, and labels count from 1", message,
      lowest < first and lowest or highest, classes)
  end
end

--- multi_margin_loss(input, target, p, margin, weight, reduction): sum over the other classes i of
-- max(0, margin - input[label] + input[i])^p weight[label], over the number of classes. Input (N, C) or (C), target
-- labels (N) or () from 1, p 1 or 2.
loss("multi_margin_loss", with(pair, { "p", "integer", 1 }, { "margin", "number", 1.0 }, { "weight", "tensor?" }),
  function(given, input, target, p, margin, weight)
    local name = "multi_margin_loss"
    given.labels = true
    if p ~= 1 and p ~= 2 then core.raise(name, "only p == 1 and p == 2 supported") end
    check_matrix(name, input)
    target = check_labels(name, target)
    local x = input.ndim == 2 and input or input:reshape(1, -1)
    local rows, classes = x:size(1), x:size(2)
    if target.ndim > 1 or target:numel() ~= rows then
      core.raise(name, "multi_margin_loss: target tensor should be 1-D with size equal to the number of input samples "
        .. "(batch size). Expected target size [%d], but got %s. Input has shape %s.", rows, text.sizes(target),
        text.sizes(input))
    end
    if weight ~= nil and weight.ndim ~= 1 then core.raise(name, "weight must be one-dimensional") end
    if weight ~= nil and weight:numel() ~= classes then
      core.raise(name, "inconsistent weight size, expected %d but got %s", classes, text.sizes(weight))
    end
    check_range(name, target, 1, classes, "target out of range")
    local labels = target:reshape(rows, 1)
    local excess = (shift(x - x:gather(2, labels), margin)):relu()
    if p == 2 then excess = excess * excess end
    if weight ~= nil then excess = excess * weight:index_select(1, labels:reshape(rows)):unsqueeze(2) end
    local own = core.zeros_like(x, { dtype = core.bool }):scatter(2, labels, true)
    local value = excess:masked_fill(own, 0):sum(2) / classes
    return input.ndim == 2 and value or value:reshape(target.shape)
  end)

--- multilabel_margin_loss(input, target, reduction): sum over labels l and the classes i that are no labels of
-- max(0, 1 - input[l] + input[i]), over the number of classes. Input (N, C) or (C); target of the same shape: labels
-- from 1, and after them 0.
loss("multilabel_margin_loss", pair, function(given, input, target)
  local name = "multilabel_margin_loss"
  given.labels = true
  check_matrix(name, input)
  target = check_labels(name, target)
  if input:numel() ~= target:numel() or (input.ndim == 2 and input.shape ~= target.shape) then
    core.raise(name, "inconsistent target size: %s for input of size: %s", text.sizes(target), text.sizes(input))
  end
  local x = input.ndim == 2 and input or input:reshape(1, -1)
  check_range(name, target, 0, x:size(2), "argument #3 'target' is out of range")
  local labels = target:reshape(x.shape)
  local valid = labels:ne(0):long():cumprod(2)
  local places = labels:clamp(1)
  local is_label = core.zeros_like(labels):scatter_add(2, places, valid):gt(0)
  local counted = valid:ne(0):unsqueeze(3):logical_and(is_label:logical_not():unsqueeze(2))
  local excess = (1 - x:gather(2, places):unsqueeze(3) + x:unsqueeze(2)):relu()
  local value = excess:masked_fill(counted:logical_not(), 0):sum { dim = { 2, 3 } } / x:size(2)
  return input.ndim == 2 and value or value:reshape {}
end)

-- Triplets ----------------------------------------------------------------------------------------------------------

local function triplet(name, anchor, positive, negative, distance, margin, swap)
  if margin <= 0 then core.raise(name, "margin must be greater than 0, got %s", text.repr(margin)) end
  if anchor.ndim ~= positive.ndim or positive.ndim ~= negative.ndim then
    core.raise(name, "The anchor, positive, and negative tensors are expected to have the same number of dimensions, "
      .. "but got: anchor %dD, positive %dD, and negative %dD inputs", anchor.ndim, positive.ndim, negative.ndim)
  end
  local near, far = distance(anchor, positive), distance(anchor, negative)
  if swap then far = core.minimum(far, (distance(positive, negative))) end
  return (margin + near - far):clamp_min(0)
end

local three = { { "anchor", "tensor" }, { "positive", "tensor" }, { "negative", "tensor" } }

--- triplet_margin_loss(anchor, positive, negative, margin, p, eps, swap, reduction):
-- max(0, d(anchor, positive) - d(anchor, negative) + margin), d being the p-norm of the difference. With `swap` the
-- negative's distance is the smaller of those to the anchor and to the positive.
loss("triplet_margin_loss", with(three, { "margin", "number", 1.0 }, { "p", "number", 2.0 }, { "eps", "number", 1e-6 },
  { "swap", "boolean", false }), function(_, anchor, positive, negative, margin, p, eps, swap)
  return triplet("triplet_margin_loss", anchor, positive, negative, function(a, b)
    return (core.pairwise_distance(a, b, p, eps))
  end, margin, swap)
end)

local distance_arguments = arguments.signature("triplet_margin_with_distance_loss", with(three,
  { "distance_function", "callable?" }, { "margin", "number", 1.0 }, { "swap", "boolean", false },
  { "reduction", "string", "mean" }))

--- triplet_margin_with_distance_loss(anchor, positive, negative, {distance_function, margin, swap, reduction}):
-- triplet_margin_loss with a distance of the caller's, a function of two tensors.
function F.triplet_margin_with_distance_loss(...)
  local anchor, positive, negative, distance, margin, swap, how = distance_arguments(...)
  local name = "triplet_margin_with_distance_loss"
  reduction.check(name, how)
  local value = triplet(name, anchor, positive, negative, distance or core.pairwise_distance, margin, swap)
  return (reduction.apply(value, how))
end

-- Losses whose kernel is in the core --------------------------------------------------------------------------------

local huber_arguments = arguments.signature("huber_loss", with(pair, { "reduction", "string", "mean" },
  { "delta", "number", 1.0 }, { "weight", "tensor?" }, { "broadcast", "boolean", false }))

--- huber_loss(input, target, reduction, delta, weight): half the square of the difference d, and beyond delta
-- delta (|d| - delta / 2).
function F.huber_loss(...)
  local input, target, how, delta, weight, broadcast = huber_arguments(...)
  if weight == nil then return (core.huber_loss(input, target, how, delta, broadcast)) end
  if weight.shape ~= input.shape then
    core.raise("huber_loss", "Weights and input must have the same size: weight %s, input %s", text.sizes(weight),
      text.sizes(input))
  end
  reduction.check("huber_loss", how)
  return (reduction.apply(core.huber_loss(input, target, "none", delta, broadcast) * weight, how))
end

local smooth_arguments = arguments.signature("smooth_l1_loss", with(pair, { "size_average", "boolean?" },
  { "reduce", "boolean?" }, { "reduction", "string", "mean" }, { "beta", "number", 1.0 },
  { "broadcast", "boolean", false }))

--- smooth_l1_loss(input, target, reduction, beta): d^2 / (2 beta) for a difference d below beta, |d| - beta / 2 above.
function F.smooth_l1_loss(...)
  local input, target, size_average, do_reduce, how, beta, broadcast = smooth_arguments(...)
  how = reduction.legacy(size_average, do_reduce, how)
  if beta == 0 then return (core.l1_loss(input, target, how, broadcast)) end
  return (core.smooth_l1_loss(input, target, how, beta, broadcast))
end

local gaussian_arguments = arguments.signature("gaussian_nll_loss", with(pair, { "var", "scalar" },
  { "full", "boolean", false }, { "eps", "number", 1e-6 }, { "reduction", "string", "mean" },
  { "broadcast", "boolean", false }))

-- Is `var` the input's shape but for one dim, which is 1?
local function one_variance(input, var)
  if input.ndim ~= var.ndim then return false end
  local sum = 0
  for d = 1, input.ndim do
    if input:size(d) ~= var:size(d) then sum = sum + var:size(d) end
  end
  return sum == 1
end

--- gaussian_nll_loss(input, target, var, full, eps, reduction): (log var + (input - target)^2 / var) / 2 for means
-- `input` and variances `var`, which count as at least eps: a number, the input's shape, or one for each row. `full`
-- adds log(2 pi) / 2.
function F.gaussian_nll_loss(...)
  local name = "gaussian_nll_loss"
  local input, target, var, full, eps, how, broadcast = gaussian_arguments(...)
  reduction.check_pair(name, input, target, "input", "target", broadcast)
  if type(var) == "number" then
    if var < 0 then core.raise(name, "var has negative entry/entries: %s", text.repr(var)) end
    var = core.ones_like(input) * var
  elseif var:lt(0):any():item() then
    core.raise(name, "var has negative entry/entries: a variance is at least 0; softplus or exp makes it so")
  end
  if var.shape ~= input.shape then
    local rows = input.ndim == var.ndim + 1
    for d = 1, var.ndim do rows = rows and input:size(d) == var:size(d) end
    if rows then
      var = var:unsqueeze(-1)
    elseif not one_variance(input, var) then
      core.raise(name, "var is of incorrect size: var has shape %s, input %s", text.sizes(var), text.sizes(input))
    end
  end
  reduction.check(name, how)
  var = var:clone()
  core.no_grad(function() var:clamp_(eps) end)
  local value = (var:log() + (input - target) ^ 2 / var) * 0.5
  if full then value = value + 0.5 * math.log(2 * math.pi) end
  return (reduction.apply(value, how))
end

local gumbel_arguments = arguments.signature("gumbel_softmax", {
  { "logits", "tensor" }, { "tau", "number", 1 }, { "hard", "boolean", false }, { "eps", "number", 1e-10 },
  { "dim", "integer", -1 },
})

--- gumbel_softmax(logits, tau, hard, eps, dim): a draw from the softmax of logits that has a gradient; with `hard` the
-- draw is one-hot going forward. eps has no effect.
function F.gumbel_softmax(...)
  local logits, tau, hard, _, dim = gumbel_arguments(...)
  local noise = -(core.no_grad(function() return core.empty_like(logits):exponential_():log() end))
  local soft = ((logits + noise) / tau):softmax(dim)
  if not hard then return soft end
  local _, place = soft:max(dim, true)
  local one_hot = core.zeros_like(logits):scatter(dim, place, 1.0)
  return one_hot - soft:detach() + soft
end

return F
