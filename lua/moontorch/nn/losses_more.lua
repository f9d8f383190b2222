--- Losses as modules, but for those of losses.lua: each calls the function of nn.functional that its line names.
--
-- A loss takes its function's own parameters and PyTorch's retired pair size_average, reduce; `broadcast = true` is
-- there where the function has it. Weights are buffers, so they move with the module.

local core = require "moontorch.core"
local declare = require "moontorch.nn.declare"
local F = require "moontorch.nn.functional"
local text = require "moontorch.text"

local losses = {}

local retired = { { "size_average", "boolean?" }, { "reduce", "boolean?" } }
local reduction = { "reduction", "string", "mean" }
local broadcast = { "broadcast", "boolean", false }
local old = { retired[1], retired[2], reduction }

local function list(...)
  local result = {}
  for _, part in ipairs { ... } do
    if type(part[1]) == "string" then
      result[#result + 1] = part
    else
      for _, entry in ipairs(part) do result[#result + 1] = entry end
    end
  end
  return result
end

local function number(name, default)
  return { name, "number", default }
end

local weight = { "weight", "tensor?" }

local function positive_margin(self)
  if self.margin <= 0 then
    core.raise(self:_get_name(), "%s: expected margin to be greater than 0, got %s instead", self:_get_name(),
      text.repr(self.margin))
  end
end

local function check_triplet(self)
  positive_margin(self)
  if self.distance_function == nil then
    self.distance_function = require("moontorch.nn.layers_more").PairwiseDistance()
  end
end

local function check_multi_margin(self)
  if self.p ~= 1 and self.p ~= 2 then core.raise("MultiMarginLoss", "only p == 1 and p == 2 supported") end
  if self.weight ~= nil and self.weight.ndim ~= 1 then
    core.raise("MultiMarginLoss", "MultiMarginLoss: expected weight to be None or 1D tensor, got %dD instead",
      self.weight.ndim)
  end
end

-- name, function, parameters, and a check of the settings
for _, row in ipairs {
  { "PoissonNLLLoss", "poisson_nll_loss", list({ "log_input", "boolean", true }, { "full", "boolean", false },
    retired[1], number("eps", 1e-8), retired[2], reduction, broadcast) },
  { "GaussianNLLLoss", "gaussian_nll_loss", list({ "full", "boolean", false }, number("eps", 1e-6), reduction,
    broadcast) },
  { "KLDivLoss", "kl_div", list(old, { "log_target", "boolean", false }) },
  { "MarginRankingLoss", "margin_ranking_loss", list(number("margin", 0.0), old, broadcast) },
  { "HingeEmbeddingLoss", "hinge_embedding_loss", list(number("margin", 1.0), old, broadcast) },
  { "MultiLabelMarginLoss", "multilabel_margin_loss", list(old) },
  { "HuberLoss", "huber_loss", list(reduction, number("delta", 1.0), broadcast) },
  { "SmoothL1Loss", "smooth_l1_loss", list(old, number("beta", 1.0), broadcast) },
  { "SoftMarginLoss", "soft_margin_loss", list(old, broadcast) },
  { "MultiLabelSoftMarginLoss", "multilabel_soft_margin_loss", list(weight, old, broadcast) },
  { "CosineEmbeddingLoss", "cosine_embedding_loss", list(number("margin", 0.0), old, broadcast) },
  { "MultiMarginLoss", "multi_margin_loss", list({ "p", "integer", 1 }, number("margin", 1.0), weight, old),
    check_multi_margin },
  { "TripletMarginLoss", "triplet_margin_loss", list(number("margin", 1.0), number("p", 2.0), number("eps", 1e-6),
    { "swap", "boolean", false }, old), positive_margin },
  { "TripletMarginWithDistanceLoss", "triplet_margin_with_distance_loss", list({ "distance_function", "callable?" },
    number("margin", 1.0), { "swap", "boolean", false }, reduction), check_triplet },
  { "CTCLoss", "ctc_loss", list({ "blank", "integer", 1 }, reduction, { "zero_infinity", "boolean", false }) },
} do
  local name, fn, parameters, check = row[1], F[row[2]], row[3], row[4]
  local keys = {}
  for _, entry in ipairs(parameters) do
    if entry[1] ~= "size_average" and entry[1] ~= "reduce" then keys[#keys + 1] = entry[1] end
  end

  losses[name] = declare.layer(name, parameters, {
    setup = function(self)
      self.reduction = F._legacy_reduction(self.size_average, self.reduce, self.reduction)
      rawset(self, "size_average", nil)
      rawset(self, "reduce", nil)
      if not (name == "KLDivLoss" and self.reduction == "batchmean") then F._check_reduction(name, self.reduction) end
      if check then check(self) end
      if self.weight ~= nil then
        local given = self.weight
        rawset(self, "weight", nil)
        self:register_buffer("weight", given)
      end
    end,
    forward = function(self, ...)
      local settings, inputs = {}, table.pack(...)
      for _, key in ipairs(keys) do settings[key] = self[key] end
      inputs[inputs.n + 1] = settings
      return (fn(table.unpack(inputs, 1, inputs.n + 1)))
    end,
  })
end

return losses
