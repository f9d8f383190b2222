--- torch.optim.Adam and AdamW: steps scaled by running moments of the gradient.
--
-- Sources: Kingma and Ba 2014 (Adam), Reddi et al. 2018 (amsgrad), Loshchilov and Hutter 2017 (AdamW: the weights decay
-- by themselves instead of through the gradient). A parameter's step is one operator of the core.

local core = require "moontorch.core"
local class = require "moontorch.nn.class"
local Optimizer = require "moontorch.optim.optimizer"
local common = require "moontorch.optim.common"
local arguments = require "moontorch.arguments"

local Adam = class.extend("Adam", Optimizer)

Adam.none_options = { "foreach", "fused" }
Adam.may_lack = { foreach = true, fused = true }

local foreach, maximize = { "foreach", "boolean?" }, { "maximize", "boolean", false }

-- The two differ in the order of `foreach` and `maximize`.
local function declare(name, weight_decay, seventh, eighth, extra)
  return arguments.signature(name, {
    { "params", "any" }, { "lr", "scalar", 1e-3 }, { "betas", "list?" }, { "eps", "number", 1e-8 },
    { "weight_decay", "number", weight_decay }, { "amsgrad", "boolean", false }, seventh, eighth,
    { "capturable", "boolean", false }, { "differentiable", "boolean", false }, { "fused", "boolean?" },
    { "accumulate", "boolean", false }, extra,
  })
end

local function set_up(self, params, lr, betas, eps, weight_decay, amsgrad, each, maximizes, capturable,
    differentiable, fused, accumulate, decoupled)
  Optimizer.init(self, params, {
    lr = lr, betas = betas or { 0.9, 0.999 }, eps = eps, weight_decay = weight_decay, amsgrad = amsgrad,
    maximize = maximizes, foreach = each, capturable = capturable, differentiable = differentiable, fused = fused,
    decoupled_weight_decay = decoupled,
  }, accumulate)
end

local adam_arguments = declare("Adam", 0, foreach, maximize, { "decoupled_weight_decay", "boolean", false })

--- Adam(params, lr = 1e-3, betas = {0.9, 0.999}, eps = 1e-8, weight_decay = 0, amsgrad = false,
-- {maximize = false, decoupled_weight_decay = false}).
-- `params`: model:parameters(), or an array of groups {params = …, lr = …}. `accumulate = true` says that gradients are
-- meant to pile up over steps.
function Adam:init(...)
  set_up(self, adam_arguments(...))
end

function Adam:check_options(group)
  if core.is_tensor(group.lr) and group.foreach and not group.capturable then
    core.raise(getmetatable(self).__name, "lr as a Tensor is not supported for capturable=False and foreach=True: "
      .. "leave foreach out, or give lr:item()")
  end
  common.from_zero(self, group, "lr", "eps")
  common.betas(self, group)
  common.from_zero(self, group, "weight_decay")
end

local function start(group, param, state)
  common.zeros(state, param, "exp_avg", "exp_avg_sq")
  if group.amsgrad then state.max_exp_avg_sq = core.zeros_like(param) end
end

-- The same step in operators that autograd records. The bias corrections are tensors of the step count's dtype.
local function differentiable_step(group, param, grad, state)
  local lr, beta1, beta2 = common.number(group.lr), common.rates(group)
  state.step = state.step + 1
  if group.maximize then grad = -grad end
  if group.weight_decay ~= 0 then
    if group.decoupled_weight_decay then
      param:mul_(1 - lr * group.weight_decay)
    else
      grad = grad:add(param, { alpha = group.weight_decay })
    end
  end
  common.toward(group, state.exp_avg, grad, 1 - beta1)
  state.exp_avg_sq:mul_(beta2):addcmul_(grad, grad, { value = 1 - beta2 })
  local step = core.tensor(state.step, { dtype = common.scalar_dtype() })
  local rate = (1 - beta1 ^ step):reciprocal() * -lr
  local scale = (1 - beta2 ^ step):sqrt() * rate
  local second = state.exp_avg_sq
  if group.amsgrad then
    state.max_exp_avg_sq:copy_(core.maximum(state.max_exp_avg_sq:clone(), second))
    second = state.max_exp_avg_sq
  end
  param:addcdiv_(state.exp_avg:clone(), (second:sqrt() / scale):add_(rate:reciprocal() * group.eps))
end

--- One step of one parameter.
function Adam:update(group, param, grad, state)
  if state.step == nil then start(group, param, state) end
  if group.differentiable then return differentiable_step(group, param, grad, state) end
  local step, lr, beta1, beta2 = state.step + 1, common.number(group.lr), common.rates(group)
  core._adam_step_(param, grad, state.exp_avg, state.exp_avg_sq, lr, beta1, beta2, group.eps,
    group.weight_decay, group.decoupled_weight_decay, step,
    group.amsgrad and state.max_exp_avg_sq or nil, group.maximize)
  state.step = step
end

--- AdamW: Adam with weight decay apart from the gradient, 0.01 unless given.
local AdamW = class.extend("AdamW", Adam)

AdamW.fixed = { decoupled_weight_decay = true }

local adamw_arguments = declare("AdamW", 1e-2, maximize, foreach)

--- AdamW(params, lr = 1e-3, betas = {0.9, 0.999}, eps = 1e-8, weight_decay = 0.01, amsgrad = false).
function AdamW:init(...)
  rawget(self, "_module").started[Adam] = true
  local params, lr, betas, eps, weight_decay, amsgrad, maximizes, each, capturable, differentiable, fused, accumulate =
    adamw_arguments(...)
  set_up(self, params, lr, betas, eps, weight_decay, amsgrad, each, maximizes, capturable, differentiable, fused,
    accumulate, true)
end

return { Adam = Adam, AdamW = AdamW }
