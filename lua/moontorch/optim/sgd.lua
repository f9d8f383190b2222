--- torch.optim.SGD: stochastic gradient descent with momentum, Nesterov's form of it, and weight decay.
--
-- A parameter's step is one operator of the core, in PyTorch's order of operations, so that a run can be compared
-- number by number. Source: Sutskever et al. 2013, in PyTorch's variant (the learning rate multiplies the buffer, not
-- the gradient that enters it).

local core = require "moontorch.core"
local class = require "moontorch.nn.class"
local Optimizer = require "moontorch.optim.optimizer"
local text = require "moontorch.text"
local arguments = require "moontorch.arguments"

local SGD = class.extend("SGD", Optimizer)

SGD.none_options = { "foreach", "fused" }

local resolve = arguments.signature("SGD", {
  { "params", "any" }, { "lr", "number", 1e-3 }, { "momentum", "number", 0 }, { "dampening", "number", 0 },
  { "weight_decay", "number", 0 }, { "nesterov", "boolean", false }, { "maximize", "boolean", false },
  { "foreach", "boolean?" }, { "differentiable", "boolean", false }, { "fused", "boolean?" },
  { "accumulate", "boolean", false },
})

--- SGD(params, lr = 1e-3, momentum = 0, dampening = 0, weight_decay = 0, nesterov = false, {maximize = false}).
-- `params`: model:parameters(), or an array of groups {params = …, lr = …}. `accumulate = true` says that gradients are
-- meant to pile up over steps.
function SGD:init(...)
  local params, lr, momentum, dampening, weight_decay, nesterov, maximize, _, differentiable, _, accumulate =
    resolve(...)
  Optimizer.init(self, params, {
    lr = lr, momentum = momentum, dampening = dampening, weight_decay = weight_decay, nesterov = nesterov,
    maximize = maximize, differentiable = differentiable,
  }, accumulate)
end

-- False for NaN too.
local function from_zero(v)
  return v >= 0
end

function SGD:check_options(group)
  if not from_zero(group.lr) then core.raise("SGD", "Invalid learning rate: %s", text.repr(group.lr)) end
  if not from_zero(group.momentum) then core.raise("SGD", "Invalid momentum value: %s", text.repr(group.momentum)) end
  if not from_zero(group.weight_decay) then
    core.raise("SGD", "Invalid weight_decay value: %s", text.repr(group.weight_decay))
  end
  if group.nesterov and (group.momentum <= 0 or group.dampening ~= 0) then
    core.raise("SGD", "Nesterov momentum requires a momentum and zero dampening")
  end
end

--- One step of one parameter. The buffer starts as the first gradient.
function SGD:update(group, param, grad, state)
  local momentum, buffer, first = group.momentum, state.momentum_buffer, false
  if momentum ~= 0 and buffer == nil then
    buffer, first = core.empty_like(param), true
    state.momentum_buffer = buffer
  end
  core._sgd_step_(param, grad, buffer, group.lr, momentum, group.dampening, group.weight_decay, group.nesterov, first,
    group.maximize)
end

return SGD
