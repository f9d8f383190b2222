--- torch.optim.Adadelta, Adagrad, RMSprop: steps divided by the size that each element's gradient has had.
--
-- Sources: Zeiler 2012 (Adadelta), Duchi et al. 2011 (Adagrad), Tieleman and Hinton 2012 and Graves 2013 (RMSprop, its
-- centered form). Formulas are PyTorch's in its order of operations, so that a run can be compared number by number; a
-- parameter's step of Adagrad and RMSprop is one operator of the core.

local core = require "moontorch.core"
local class = require "moontorch.nn.class"
local Optimizer = require "moontorch.optim.optimizer"
local common = require "moontorch.optim.common"
local arguments = require "moontorch.arguments"

local number, direction, from_zero = common.number, common.direction, common.from_zero

-- Adadelta ------------------------------------------------------------------------------------------------------------

local Adadelta = class.extend("Adadelta", Optimizer)

Adadelta.may_lack = { foreach = true }
Adadelta.none_options = { "foreach" }

local adadelta_arguments = arguments.signature("Adadelta", {
  { "params", "any" }, { "lr", "scalar", 1.0 }, { "rho", "number", 0.9 }, { "eps", "number", 1e-6 },
  { "weight_decay", "number", 0 }, { "foreach", "boolean?" }, { "capturable", "boolean", false },
  { "maximize", "boolean", false }, { "differentiable", "boolean", false }, { "accumulate", "boolean", false },
})

--- Adadelta(params, lr = 1.0, rho = 0.9, eps = 1e-6, weight_decay = 0, {maximize = false, differentiable = false}).
function Adadelta:init(...)
  local params, lr, rho, eps, weight_decay, foreach, capturable, maximize, differentiable, accumulate =
    adadelta_arguments(...)
  Optimizer.init(self, params, {
    lr = lr, rho = rho, eps = eps, weight_decay = weight_decay, foreach = foreach, capturable = capturable,
    maximize = maximize, differentiable = differentiable,
  }, accumulate)
end

function Adadelta:check_options(group)
  from_zero(self, group, "lr")
  if not (group.rho >= 0 and group.rho <= 1) then common.refuse(self, "rho value", group.rho) end
  from_zero(self, group, "eps", "weight_decay")
end

-- The same step in operators that autograd records.
local function differentiable_delta(group, param, grad, state)
  grad = direction(group, param, grad)
  local rho, eps = group.rho, group.eps
  local average, deltas = state.square_avg, state.acc_delta
  average:mul_(rho):addcmul_(grad, grad, { value = 1 - rho })
  local std, delta = average:add(eps):sqrt_(), deltas:add(eps):sqrt_():clone()
  delta:div_(std):mul_(grad)
  deltas:mul_(rho):addcmul_(delta, delta, { value = 1 - rho })
  param:add_(delta, { alpha = -number(group.lr) })
end

--- One step of one parameter.
function Adadelta:update(group, param, grad, state)
  if state.step == nil then common.zeros(state, param, "square_avg", "acc_delta") end
  if group.differentiable then
    differentiable_delta(group, param, grad, state)
  else
    core._delta_step_(param, grad, state.square_avg, state.acc_delta, number(group.lr), group.rho, group.eps,
      group.weight_decay, group.maximize)
  end
  state.step = state.step + 1
end

-- Adagrad -------------------------------------------------------------------------------------------------------------

local Adagrad = class.extend("Adagrad", Optimizer)

Adagrad.may_lack = { foreach = true, fused = true }
Adagrad.none_options = { "foreach", "fused" }

local adagrad_arguments = arguments.signature("Adagrad", {
  { "params", "any" }, { "lr", "scalar", 1e-2 }, { "lr_decay", "number", 0 }, { "weight_decay", "number", 0 },
  { "initial_accumulator_value", "number", 0 }, { "eps", "number", 1e-10 }, { "foreach", "boolean?" },
  { "maximize", "boolean", false }, { "differentiable", "boolean", false }, { "fused", "boolean?" },
  { "accumulate", "boolean", false },
})

local function start_adagrad(param, state, value)
  state.step = 0
  state.sum = core.full_like(param, value, { requires_grad = false })
end

--- Adagrad(params, lr = 1e-2, lr_decay = 0, weight_decay = 0, initial_accumulator_value = 0, eps = 1e-10,
-- {maximize = false, differentiable = false}). The state of every parameter is there from the start.
function Adagrad:init(...)
  local params, lr, lr_decay, weight_decay, start, eps, foreach, maximize, differentiable, fused, accumulate =
    adagrad_arguments(...)
  Optimizer.init(self, params, {
    lr = lr, lr_decay = lr_decay, eps = eps, weight_decay = weight_decay, initial_accumulator_value = start,
    foreach = foreach, maximize = maximize, differentiable = differentiable, fused = fused,
  }, accumulate)
  for _, group in ipairs(self.param_groups) do
    for _, param in ipairs(group.params) do
      self.state[param] = {}
      start_adagrad(param, self.state[param], start)
    end
  end
end

function Adagrad:check_options(group)
  from_zero(self, group, "lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")
end

--- One step of one parameter.
function Adagrad:update(group, param, grad, state)
  if state.step == nil then start_adagrad(param, state, self.defaults.initial_accumulator_value) end
  state.step = state.step + 1
  local rate = number(group.lr) / (1 + (state.step - 1) * group.lr_decay)
  if not group.differentiable then
    core._rms_step_(param, grad, state.sum, nil, nil, rate, 1, 1, group.eps, group.weight_decay, 0, group.maximize)
    return
  end
  grad = direction(group, param, grad)
  state.sum:addcmul_(grad, grad, { value = 1 })
  param:addcdiv_(grad, state.sum:sqrt() + group.eps, { value = -rate })
end

-- RMSprop -------------------------------------------------------------------------------------------------------------

local RMSprop = class.extend("RMSprop", Optimizer)

RMSprop.may_lack = { foreach = true }
RMSprop.none_options = { "foreach" }

local rmsprop_arguments = arguments.signature("RMSprop", {
  { "params", "any" }, { "lr", "scalar", 1e-2 }, { "alpha", "number", 0.99 }, { "eps", "number", 1e-8 },
  { "weight_decay", "number", 0 }, { "momentum", "number", 0 }, { "centered", "boolean", false },
  { "capturable", "boolean", false }, { "foreach", "boolean?" }, { "maximize", "boolean", false },
  { "differentiable", "boolean", false }, { "accumulate", "boolean", false },
})

--- RMSprop(params, lr = 1e-2, alpha = 0.99, eps = 1e-8, weight_decay = 0, momentum = 0, centered = false,
-- {maximize = false, differentiable = false}). eps is added to the root, as PyTorch does, not under it.
function RMSprop:init(...)
  local params, lr, alpha, eps, weight_decay, momentum, centered, capturable, foreach, maximize, differentiable,
    accumulate = rmsprop_arguments(...)
  Optimizer.init(self, params, {
    lr = lr, momentum = momentum, alpha = alpha, eps = eps, centered = centered, weight_decay = weight_decay,
    capturable = capturable, foreach = foreach, maximize = maximize, differentiable = differentiable,
  }, accumulate)
end

function RMSprop:check_options(group)
  from_zero(self, group, "lr", "eps", "momentum", "weight_decay", "alpha")
end

-- The same step in operators that autograd records.
local function differentiable_step(group, param, grad, state)
  local alpha, average = group.alpha, state.square_avg
  grad = direction(group, param, grad)
  average:mul_(alpha):addcmul_(grad, grad, { value = 1 - alpha })
  local size
  if group.centered then
    local mean = state.grad_avg
    common.toward(group, mean, grad, 1 - alpha)
    size = average:addcmul(mean, mean, { value = -1 }):sqrt_()
  else
    size = average:sqrt()
  end
  size = size:add(group.eps)
  local rate = -number(group.lr)
  if group.momentum > 0 then
    local buffer = state.momentum_buffer
    buffer:mul_(group.momentum):addcdiv_(grad, size)
    param:add_(buffer, { alpha = rate })
  else
    param:addcdiv_(grad, size, { value = rate })
  end
end

--- One step of one parameter.
function RMSprop:update(group, param, grad, state)
  if state.step == nil then common.zeros(state, param, "square_avg") end
  if group.momentum > 0 and state.momentum_buffer == nil then state.momentum_buffer = core.zeros_like(param) end
  if group.centered and state.grad_avg == nil then state.grad_avg = core.zeros_like(param) end
  state.step = state.step + 1
  if group.differentiable then return differentiable_step(group, param, grad, state) end
  local alpha = group.alpha
  core._rms_step_(param, grad, state.square_avg, group.momentum > 0 and state.momentum_buffer or nil,
    group.centered and state.grad_avg or nil, number(group.lr), alpha, 1 - alpha, group.eps, group.weight_decay,
    group.momentum, group.maximize)
end

return { Adadelta = Adadelta, Adagrad = Adagrad, RMSprop = RMSprop }
