--- torch.optim.ASGD and Rprop.
--
-- Sources: Polyak and Juditsky 1992 (ASGD: `state.ax` is the average of the parameter over its steps), Riedmiller and
-- Braun 1993 (Rprop: only the gradient's sign counts, each element has a step size of its own).

local core = require "moontorch.core"
local class = require "moontorch.nn.class"
local Optimizer = require "moontorch.optim.optimizer"
local common = require "moontorch.optim.common"
local text = require "moontorch.text"
local arguments = require "moontorch.arguments"

local number = common.number

-- ASGD ----------------------------------------------------------------------------------------------------------------

local ASGD = class.extend("ASGD", Optimizer)

ASGD.may_lack = { foreach = true }
ASGD.none_options = { "foreach" }

local asgd_arguments = arguments.signature("ASGD", {
  { "params", "any" }, { "lr", "scalar", 1e-2 }, { "lambd", "number", 1e-4 }, { "alpha", "number", 0.75 },
  { "t0", "number", 1e6 }, { "weight_decay", "number", 0 }, { "foreach", "boolean?" },
  { "maximize", "boolean", false }, { "differentiable", "boolean", false }, { "capturable", "boolean", false },
  { "accumulate", "boolean", false },
})

--- ASGD(params, lr = 1e-2, lambd = 1e-4, alpha = 0.75, t0 = 1e6, weight_decay = 0, {maximize = false}). Averaging
-- starts after t0 steps.
function ASGD:init(...)
  local params, lr, lambd, alpha, t0, weight_decay, foreach, maximize, differentiable, capturable, accumulate =
    asgd_arguments(...)
  Optimizer.init(self, params, {
    lr = lr, lambd = lambd, alpha = alpha, t0 = t0, weight_decay = weight_decay, foreach = foreach,
    maximize = maximize, differentiable = differentiable, capturable = capturable,
  }, accumulate)
end

function ASGD:check_options(group)
  common.from_zero(self, group, "lr", "lambd", "alpha", "weight_decay")
end

--- One step of one parameter. The rate and the average's weight are tensors, rounded to their dtype at every step.
function ASGD:update(group, param, grad, state)
  local lr, lambd = number(group.lr), group.lambd
  if state.step == nil then
    common.zeros(state, param, "ax")
    local dtype = common.scalar_dtype()
    state.eta = core.full({}, lr, { dtype = dtype })
    state.mu = core.ones({}, { dtype = dtype })
  end
  local eta, mu = state.eta:item(), state.mu:item()
  if group.differentiable then
    grad = common.direction(group, param, grad)
    param:mul_(1 - lambd * eta)
    param:add_(grad, { alpha = -eta })
    if mu ~= 1 then state.ax:add_(param:sub(state.ax):mul_(state.mu)) else state.ax:copy_(param) end
  else
    core._average_step_(param, grad, state.ax, eta, lambd, mu, group.weight_decay, group.maximize)
  end
  state.step = state.step + 1
  state.eta:copy_(core.tensor(lr / (1 + lambd * lr * state.step) ^ group.alpha))
  state.mu:copy_(core.tensor(1 / math.max(1, state.step - group.t0)))
end

-- Rprop ---------------------------------------------------------------------------------------------------------------

local Rprop = class.extend("Rprop", Optimizer)

Rprop.may_lack = { foreach = true }
Rprop.none_options = { "foreach" }

local rprop_arguments = arguments.signature("Rprop", {
  { "params", "any" }, { "lr", "scalar", 1e-2 }, { "etas", "list?" }, { "step_sizes", "list?" },
  { "capturable", "boolean", false }, { "foreach", "boolean?" }, { "maximize", "boolean", false },
  { "differentiable", "boolean", false }, { "accumulate", "boolean", false },
})

--- Rprop(params, lr = 1e-2, etas = {0.5, 1.2}, step_sizes = {1e-6, 50}, {maximize = false}). `lr` is the first step
-- size; it shrinks by etas[1] where the gradient's sign changes, else grows by etas[2], between the step_sizes.
function Rprop:init(...)
  local params, lr, etas, step_sizes, capturable, foreach, maximize, differentiable, accumulate =
    rprop_arguments(...)
  Optimizer.init(self, params, {
    lr = lr, etas = etas or { 0.5, 1.2 }, step_sizes = step_sizes or { 1e-6, 50 }, foreach = foreach,
    maximize = maximize, differentiable = differentiable, capturable = capturable,
  }, accumulate)
end

function Rprop:check_options(group)
  common.from_zero(self, group, "lr")
  local etas = group.etas
  if not (type(etas[1]) == "number" and type(etas[2]) == "number" and etas[1] > 0 and etas[1] < 1 and etas[2] > 1) then
    core.raise("Rprop", "Invalid eta values: %s, %s", text.repr(etas[1]), text.repr(etas[2]))
  end
end

-- The same step in operators that autograd records.
local function differentiable_sign(group, param, grad, state)
  if group.maximize then grad = -grad end
  local turn = grad:mul(state.prev:clone()):sign()
  local turned = turn:lt(0)
  local factor = turn:masked_fill(turn:gt(0), group.etas[2]):masked_fill(turned, group.etas[1])
    :masked_fill(turn:eq(0), 1)
  state.step_size:mul_(factor):clamp_(group.step_sizes[1], group.step_sizes[2])
  grad = grad:masked_fill(turned, 0)
  param:addcmul_(grad:sign(), state.step_size, { value = -1 })
  state.prev:copy_(grad)
end

--- One step of one parameter.
function Rprop:update(group, param, grad, state)
  if state.step == nil then
    common.zeros(state, param, "prev")
    state.step_size = core.full_like(grad, number(group.lr), { requires_grad = false })
  end
  if group.differentiable then
    differentiable_sign(group, param, grad, state)
  else
    local etas, sizes = group.etas, group.step_sizes
    core._sign_step_(param, grad, state.prev, state.step_size, etas[1], etas[2], sizes[1], sizes[2], group.maximize)
  end
  state.step = state.step + 1
end

return { ASGD = ASGD, Rprop = Rprop }
