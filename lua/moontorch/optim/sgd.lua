--- torch.optim.SGD: stochastic gradient descent with momentum, Nesterov's form of it, and weight decay.
--
-- A parameter's step is one operator of the core, in PyTorch's order of operations, so that a run can be compared
-- number by number. Source: Sutskever et al. 2013, in PyTorch's variant (the learning rate multiplies the buffer, not
-- the gradient that enters it).

local core = require "moontorch.core"
local class = require "moontorch.nn.class"
local Optimizer = require "moontorch.optim.optimizer"
local common = require "moontorch.optim.common"
local arguments = require "moontorch.arguments"

local SGD = class.extend("SGD", Optimizer)

SGD.none_options = { "foreach", "fused" }
SGD.may_lack = { foreach = true, fused = true }

local resolve = arguments.signature("SGD", {
  { "params", "any" }, { "lr", "scalar", 1e-3 }, { "momentum", "number", 0 }, { "dampening", "number", 0 },
  { "weight_decay", "number", 0 }, { "nesterov", "boolean", false }, { "maximize", "boolean", false },
  { "foreach", "boolean?" }, { "differentiable", "boolean", false }, { "fused", "boolean?" },
  { "accumulate", "boolean", false },
})

--- SGD(params, lr = 1e-3, momentum = 0, dampening = 0, weight_decay = 0, nesterov = false, {maximize = false}).
-- `params`: model:parameters(), or an array of groups {params = …, lr = …}. `accumulate = true` says that gradients are
-- meant to pile up over steps.
function SGD:init(...)
  local params, lr, momentum, dampening, weight_decay, nesterov, maximize, foreach, differentiable, fused, accumulate =
    resolve(...)
  Optimizer.init(self, params, {
    lr = lr, momentum = momentum, dampening = dampening, weight_decay = weight_decay, nesterov = nesterov,
    maximize = maximize, foreach = foreach, differentiable = differentiable, fused = fused,
  }, accumulate)
end

function SGD:check_options(group)
  common.from_zero(self, group, "lr", "momentum", "weight_decay")
  if group.nesterov and (group.momentum <= 0 or group.dampening ~= 0) then
    core.raise("SGD", "Nesterov momentum requires a momentum and zero dampening")
  end
end

-- The same step in operators that autograd records.
local function differentiable_step(group, param, grad, state)
  grad = common.direction(group, param, grad)
  if group.momentum ~= 0 then
    if state.momentum_buffer == nil then
      state.momentum_buffer = grad:detach():clone()
    else
      state.momentum_buffer:mul_(group.momentum):add_(grad, { alpha = 1 - group.dampening })
    end
    grad = group.nesterov and grad:add(state.momentum_buffer, { alpha = group.momentum }) or state.momentum_buffer
  end
  param:add_(grad, { alpha = -common.number(group.lr) })
end

--- One step of one parameter. The buffer starts as the first gradient.
function SGD:update(group, param, grad, state)
  if group.differentiable then return differentiable_step(group, param, grad, state) end
  local lr, momentum, buffer, first = group.lr, group.momentum, state.momentum_buffer, false
  if type(lr) ~= "number" then lr = common.number(lr) end
  if momentum ~= 0 and buffer == nil then
    buffer, first = core.empty_like(param), true
    state.momentum_buffer = buffer
  end
  core._sgd_step_(param, grad, buffer, lr, momentum, group.dampening, group.weight_decay, group.nesterov, first,
    group.maximize)
end

return SGD
