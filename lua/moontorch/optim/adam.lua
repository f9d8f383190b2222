--- torch.optim.Adam and AdamW: steps scaled by running moments of the gradient.
--
-- Sources: Kingma and Ba 2014 (Adam), Reddi et al. 2018 (amsgrad), Loshchilov and Hutter 2017 (AdamW: the weights decay
-- by themselves instead of through the gradient). A parameter's step is one operator of the core.

local core = require "moontorch.core"
local class = require "moontorch.nn.class"
local Optimizer = require "moontorch.optim.optimizer"
local text = require "moontorch.text"
local arguments = require "moontorch.arguments"

local Adam = class.extend("Adam", Optimizer)

Adam.none_options = { "foreach", "fused" }

local function declare(name, weight_decay)
  return arguments.signature(name, {
    { "params", "any" }, { "lr", "number", 1e-3 }, { "betas", "list?" }, { "eps", "number", 1e-8 },
    { "weight_decay", "number", weight_decay }, { "amsgrad", "boolean", false }, { "foreach", "boolean?" },
    { "maximize", "boolean", false }, { "capturable", "boolean", false }, { "differentiable", "boolean", false },
    { "fused", "boolean?" }, { "accumulate", "boolean", false },
  })
end

local function set_up(self, decoupled, params, lr, betas, eps, weight_decay, amsgrad, _, maximize, capturable,
    differentiable, _, accumulate)
  Optimizer.init(self, params, {
    lr = lr, betas = betas or { 0.9, 0.999 }, eps = eps, weight_decay = weight_decay, amsgrad = amsgrad,
    maximize = maximize, capturable = capturable, differentiable = differentiable,
    decoupled_weight_decay = decoupled,
  }, accumulate)
end

local adam_arguments = declare("Adam", 0)

--- Adam(params, lr = 1e-3, betas = {0.9, 0.999}, eps = 1e-8, weight_decay = 0, amsgrad = false, {maximize = false}).
-- `params`: model:parameters(), or an array of groups {params = …, lr = …}. `accumulate = true` says that gradients are
-- meant to pile up over steps.
function Adam:init(...)
  set_up(self, false, adam_arguments(...))
end

-- False for NaN too.
local function from_zero(v)
  return v >= 0
end

function Adam:check_options(group)
  local name = getmetatable(self).__name
  if not from_zero(group.lr) then core.raise(name, "Invalid learning rate: %s", text.repr(group.lr)) end
  if not from_zero(group.eps) then core.raise(name, "Invalid epsilon value: %s", text.repr(group.eps)) end
  for i = 1, 2 do
    local beta = group.betas[i]
    if type(beta) ~= "number" or not (beta >= 0 and beta < 1) then
      core.raise(name, "Invalid beta parameter at index %d: %s", i, text.repr(beta))
    end
  end
  if not from_zero(group.weight_decay) then
    core.raise(name, "Invalid weight_decay value: %s", text.repr(group.weight_decay))
  end
end

local function start(group, param, state)
  state.step = 0
  state.exp_avg = core.zeros_like(param)
  state.exp_avg_sq = core.zeros_like(param)
  if group.amsgrad then state.max_exp_avg_sq = core.zeros_like(param) end
end

--- One step of one parameter.
function Adam:update(group, param, grad, state)
  if state.step == nil then start(group, param, state) end
  local betas, step = group.betas, state.step + 1
  core._adam_step_(param, grad, state.exp_avg, state.exp_avg_sq, group.lr, betas[1], betas[2], group.eps,
    group.weight_decay, group.decoupled_weight_decay, step, state.max_exp_avg_sq, group.maximize)
  state.step = step
end

--- AdamW: Adam with weight decay apart from the gradient, 0.01 unless given.
local AdamW = class.extend("AdamW", Adam)

local adamw_arguments = declare("AdamW", 1e-2)

--- AdamW(params, lr = 1e-3, betas = {0.9, 0.999}, eps = 1e-8, weight_decay = 0.01, amsgrad = false).
function AdamW:init(...)
  rawget(self, "_module").started[Adam] = true
  set_up(self, true, adamw_arguments(...))
end

return { Adam = Adam, AdamW = AdamW }
