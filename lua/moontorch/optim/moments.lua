--- torch.optim.Adamax, NAdam, RAdam: relatives of Adam.
--
-- Sources: Kingma and Ba 2014 (Adamax: the second moment is the largest gradient so far), Dozat 2016 (NAdam: Nesterov's
-- look ahead), Liu et al. 2019 (RAdam: plain momentum until the second moment can be trusted). A parameter's step is
-- one operator of the core; where autograd records it, it is made of PyTorch's own.

local core = require "moontorch.core"
local class = require "moontorch.nn.class"
local Optimizer = require "moontorch.optim.optimizer"
local common = require "moontorch.optim.common"
local arguments = require "moontorch.arguments"

local number, direction, from_zero = common.number, common.direction, common.from_zero

-- Adamax --------------------------------------------------------------------------------------------------------------

local Adamax = class.extend("Adamax", Optimizer)

Adamax.may_lack = { foreach = true }
Adamax.none_options = { "foreach" }

local adamax_arguments = arguments.signature("Adamax", {
  { "params", "any" }, { "lr", "scalar", 2e-3 }, { "betas", "list?" }, { "eps", "number", 1e-8 },
  { "weight_decay", "number", 0 }, { "foreach", "boolean?" }, { "maximize", "boolean", false },
  { "differentiable", "boolean", false }, { "capturable", "boolean", false }, { "accumulate", "boolean", false },
})

--- Adamax(params, lr = 2e-3, betas = {0.9, 0.999}, eps = 1e-8, weight_decay = 0, {maximize = false}).
function Adamax:init(...)
  local params, lr, betas, eps, weight_decay, foreach, maximize, differentiable, capturable, accumulate =
    adamax_arguments(...)
  Optimizer.init(self, params, {
    lr = lr, betas = betas or { 0.9, 0.999 }, eps = eps, weight_decay = weight_decay, foreach = foreach,
    maximize = maximize, differentiable = differentiable, capturable = capturable,
  }, accumulate)
end

function Adamax:check_options(group)
  from_zero(self, group, "lr", "eps")
  common.betas(self, group)
  from_zero(self, group, "weight_decay")
end

-- A step of the core that moves both moments, and what the optimiser gives besides.
local function fused(step, group, param, grad, state, second, ...)
  local beta1, beta2 = common.rates(group)
  step(param, grad, state.exp_avg, second, number(group.lr), beta1, beta2, group.eps, group.weight_decay,
    group.decoupled_weight_decay or false, state.step + 1, group.maximize, ...)
  state.step = state.step + 1
end

--- One step of one parameter.
function Adamax:update(group, param, grad, state)
  if state.step == nil then common.zeros(state, param, "exp_avg", "exp_inf") end
  local mean, largest = state.exp_avg, state.exp_inf
  if not group.differentiable then return fused(core._adamax_step_, group, param, grad, state, largest) end
  state.step = state.step + 1
  grad = direction(group, param, grad)
  local beta1, beta2 = common.rates(group)
  common.toward(group, mean, grad, 1 - beta1)
  largest:mul_(beta2)
  largest:copy_(core.maximum(largest:clone(), grad:abs():add_(group.eps)))
  param:addcdiv_(mean, largest, { value = -number(group.lr) / (1 - beta1 ^ state.step) })
end

-- NAdam ---------------------------------------------------------------------------------------------------------------

-- The gradient without its decay, which is the parameter's own where it is decoupled.
local function decoupled(group, param, grad)
  if not group.decoupled_weight_decay then return direction(group, param, grad) end
  if group.maximize then grad = -grad end
  if group.weight_decay ~= 0 then param:mul_(1 - number(group.lr) * group.weight_decay) end
  return grad
end

-- The running moments of the gradient, after this step.
local function advance(group, state, grad)
  local beta1, beta2 = common.rates(group)
  common.toward(group, state.exp_avg, grad, 1 - beta1)
  state.exp_avg_sq:mul_(beta2):addcmul_(grad, grad, { value = 1 - beta2 })
end

local NAdam = class.extend("NAdam", Optimizer)

NAdam.may_lack = { foreach = true }
NAdam.none_options = { "foreach" }

local nadam_arguments = arguments.signature("NAdam", {
  { "params", "any" }, { "lr", "scalar", 2e-3 }, { "betas", "list?" }, { "eps", "number", 1e-8 },
  { "weight_decay", "number", 0 }, { "momentum_decay", "number", 4e-3 }, { "decoupled_weight_decay", "boolean", false },
  { "foreach", "boolean?" }, { "maximize", "boolean", false }, { "capturable", "boolean", false },
  { "differentiable", "boolean", false }, { "accumulate", "boolean", false },
})

--- NAdam(params, lr = 2e-3, betas = {0.9, 0.999}, eps = 1e-8, weight_decay = 0, momentum_decay = 4e-3,
-- decoupled_weight_decay = false, {maximize = false}).
function NAdam:init(...)
  local params, lr, betas, eps, weight_decay, momentum_decay, decouple, foreach, maximize, capturable,
    differentiable, accumulate = nadam_arguments(...)
  Optimizer.init(self, params, {
    lr = lr, betas = betas or { 0.9, 0.999 }, eps = eps, weight_decay = weight_decay,
    momentum_decay = momentum_decay, decoupled_weight_decay = decouple, maximize = maximize, foreach = foreach,
    capturable = capturable, differentiable = differentiable,
  }, accumulate)
end

function NAdam:check_options(group)
  from_zero(self, group, "lr", "eps")
  common.betas(self, group)
  from_zero(self, group, "weight_decay", "momentum_decay")
end

--- One step of one parameter. The product of the momenta is a tensor, rounded to its dtype at every step.
function NAdam:update(group, param, grad, state)
  if state.step == nil then
    common.zeros(state, param, "exp_avg", "exp_avg_sq")
    state.mu_product = core.ones({}, { dtype = common.scalar_dtype() })
  end
  local step, lr, beta1, beta2 = state.step + 1, number(group.lr), common.rates(group)
  local mu = beta1 * (1 - 0.5 * 0.96 ^ (step * group.momentum_decay))
  local mu_next = beta1 * (1 - 0.5 * 0.96 ^ ((step + 1) * group.momentum_decay))
  local mu_product = state.mu_product * mu
  if not group.differentiable then
    local product = mu_product:item()
    fused(core._nadam_step_, group, param, grad, state, state.exp_avg_sq, -lr * (1 - mu) / (1 - product),
      -lr * mu_next / (1 - product * mu_next))
    state.mu_product:copy_(mu_product)
    return
  end
  state.step = step
  state.mu_product:copy_(mu_product)
  grad = decoupled(group, param, grad)
  advance(group, state, grad)
  local size = state.exp_avg_sq:div(1 - beta2 ^ step):sqrt():add(group.eps)
  param:addcdiv_(grad * ((1 - mu_product):reciprocal() * (-lr * (1 - mu))), size)
  param:addcdiv_(state.exp_avg * ((1 - mu_product * mu_next):reciprocal() * (-lr * mu_next)), size)
end

-- RAdam ---------------------------------------------------------------------------------------------------------------

local RAdam = class.extend("RAdam", Optimizer)

RAdam.may_lack = { foreach = true }
RAdam.none_options = { "foreach" }

local radam_arguments = arguments.signature("RAdam", {
  { "params", "any" }, { "lr", "scalar", 1e-3 }, { "betas", "list?" }, { "eps", "number", 1e-8 },
  { "weight_decay", "number", 0 }, { "decoupled_weight_decay", "boolean", false }, { "foreach", "boolean?" },
  { "maximize", "boolean", false }, { "capturable", "boolean", false }, { "differentiable", "boolean", false },
  { "accumulate", "boolean", false },
})

--- RAdam(params, lr = 1e-3, betas = {0.9, 0.999}, eps = 1e-8, weight_decay = 0, decoupled_weight_decay = false,
-- {maximize = false}).
function RAdam:init(...)
  local params, lr, betas, eps, weight_decay, decouple, foreach, maximize, capturable, differentiable, accumulate =
    radam_arguments(...)
  Optimizer.init(self, params, {
    lr = lr, betas = betas or { 0.9, 0.999 }, eps = eps, weight_decay = weight_decay,
    decoupled_weight_decay = decouple, maximize = maximize, foreach = foreach, capturable = capturable,
    differentiable = differentiable,
  }, accumulate)
end

function RAdam:check_options(group)
  from_zero(self, group, "lr", "eps")
  common.betas(self, group)
  from_zero(self, group, "weight_decay")
end

--- One step of one parameter. `rho` is the length of the average that the second moment stands for.
function RAdam:update(group, param, grad, state)
  if state.step == nil then common.zeros(state, param, "exp_avg", "exp_avg_sq") end
  if not group.differentiable then
    return fused(core._radam_step_, group, param, grad, state, state.exp_avg_sq)
  end
  local step, beta1, beta2 = state.step + 1, common.rates(group)
  state.step = step
  grad = decoupled(group, param, grad)
  advance(group, state, grad)
  local correction2 = 1 - beta2 ^ step
  local move = (state.exp_avg / (1 - beta1 ^ step)):mul(number(group.lr))
  local rho_inf = 2 / (1 - beta2) - 1
  local rho = rho_inf - 2 * step * beta2 ^ step / correction2
  if rho > 5 then
    local size = state.exp_avg_sq:sqrt():add(group.eps)
    local rectify = ((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)) ^ 0.5
    move = move * (size:reciprocal() * correction2 ^ 0.5) * rectify
  end
  param:add_(move, { alpha = -1.0 })
end

return { Adamax = Adamax, NAdam = NAdam, RAdam = RAdam }
