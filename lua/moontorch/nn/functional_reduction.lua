--- What losses share: how their values are brought together, and what they say about shapes that differ.

local core = require "moontorch.core"
local text = require "moontorch.text"

local reduction = {}

--- PyTorch's retired pair of flags still decides when it is given.
function reduction.legacy(size_average, do_reduce, how)
  if size_average == nil and do_reduce == nil then return how end
  if do_reduce == false then return "none" end
  return size_average == false and "sum" or "mean"
end

-- Losses of which PyTorch says it in other words.
local SHORT = {
  multilabel_soft_margin_loss = true, MultiLabelSoftMarginLoss = true, gaussian_nll_loss = true, GaussianNLLLoss = true,
}

--- Raises unless `how` is one of the three.
function reduction.check(name, how)
  if how ~= "mean" and how ~= "sum" and how ~= "none" then
    core.raise(name, "%s is not %s; it is \"mean\", \"sum\" or \"none\"", tostring(how),
      SHORT[name] and "valid" or "a valid value for reduction")
  end
end

--- The values of a loss, their mean, or their sum.
function reduction.apply(value, how)
  if how == "none" then return value end
  return (how == "sum" and value:sum() or value:mean())
end

-- Where `x` lacks the dim of size 1 that makes it `like`'s shape; nil when that is not what differs.
local function missing_dim(x, like)
  if x.ndim + 1 ~= like.ndim then return nil end
  local d = 1
  while d <= x.ndim and x:size(d) == like:size(d) do d = d + 1 end
  if like:size(d) ~= 1 then return nil end
  for k = d, x.ndim do
    if x:size(k) ~= like:size(k + 1) then return nil end
  end
  return d
end

--- Raises unless both tensors have one shape: what broadcasts silently is how a model "does not learn".
function reduction.check_pair(name, input, target, input_name, target_name, broadcast)
  if broadcast or input.shape == target.shape then return end
  local there, here = missing_dim(target, input), missing_dim(input, target)
  local remedy = ""
  if there then
    remedy = (": %s:unsqueeze(%d) or %s:squeeze(%d) makes them equal"):format(target_name, there, input_name, there)
  elseif here then
    remedy = (": %s:unsqueeze(%d) or %s:squeeze(%d) makes them equal"):format(input_name, here, target_name, here)
  end
  core.raise(name, "Using a %s size (%s) that is different to the %s size (%s). This will likely lead to incorrect "
    .. "results due to broadcasting. Please ensure they have the same size%s; {broadcast = true} allows it",
    target_name, text.size(target), input_name, text.size(input), remedy)
end

return reduction
