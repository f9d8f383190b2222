--- What the optimisers share: reading hyper-parameters, refusing those that make no sense, the gradient to follow.

local core = require "moontorch.core"
local text = require "moontorch.text"
local arguments = require "moontorch.arguments"

local common = {}

-- What was a number the last time is one again: asking for a type costs more than the rest of such a function.
local last_number, last_beta1, last_beta2

--- A hyper-parameter as a Lua number: a learning rate may be a tensor of one element.
function common.number(v)
  if v == last_number then return v end
  if type(v) ~= "number" then
    if core.is_tensor(v) then return v:item() end
    core.raise("Optimizer.step", "a hyper-parameter of a param_group must be a number, not %s", arguments.type_name(v))
  end
  last_number = v
  return v
end

--- The dtype of counters and of other scalars in an optimiser's state.
function common.scalar_dtype()
  return core.get_default_dtype() == core.float64 and core.float64 or core.float32
end

--- The parameter's gradient, turned when the objective is maximised, with weight decay added.
function common.direction(group, param, grad)
  if group.maximize then grad = -grad end
  local decay = group.weight_decay
  if decay ~= 0 then grad = grad:add(param, { alpha = decay }) end
  return grad
end

--- Raises "Invalid <what>: <value>".
function common.refuse(optimizer, what, value)
  core.raise(getmetatable(optimizer).__name, "Invalid %s: %s", what, text.repr(value))
end

local SPELLED = { lr = "learning rate", eps = "epsilon value" }

-- False for NaN too.
local function not_below_zero(v)
  return type(v) == "number" and v >= 0
end

--- Refuses options of `group` below zero, and NaN.
function common.from_zero(optimizer, group, ...)
  for _, name in ipairs { ... } do
    local value = group[name]
    if name == "lr" and core.is_tensor(value) then
      if value:numel() ~= 1 then core.raise(getmetatable(optimizer).__name, "Tensor lr must be 1-element") end
      value = value:item()
    end
    if not not_below_zero(value) then common.refuse(optimizer, SPELLED[name] or name .. " value", value) end
  end
end

--- Refuses decay rates of moments outside [0, 1).
function common.betas(optimizer, group)
  local betas = group.betas
  local tensors = 0
  for i = 1, 2 do
    local beta = type(betas) == "table" and betas[i] or nil
    if core.is_tensor(beta) then
      tensors = tensors + 1
      if beta:numel() ~= 1 then
        core.raise(getmetatable(optimizer).__name, "Tensor betas[%d] must be 1-element, but has shape %s", i,
          text.sizes(beta))
      end
      beta = beta:item()
    end
    if type(beta) ~= "number" or not (beta >= 0 and beta < 1) then
      common.refuse(optimizer, ("beta parameter at index %d"):format(i), beta)
    end
  end
  if tensors == 1 then
    core.raise(getmetatable(optimizer).__name, "betas must be either both floats or both Tensors")
  end
end

--- The two decay rates of moments as Lua numbers.
function common.rates(group)
  local betas = group.betas
  local beta1, beta2 = betas[1], betas[2]
  if beta1 == last_beta1 and beta2 == last_beta2 then return beta1, beta2 end
  if type(beta1) ~= "number" or type(beta2) ~= "number" then
    return common.number(beta1), common.number(beta2)
  end
  last_beta1, last_beta2 = beta1, beta2
  return beta1, beta2
end

--- Moves a running average towards `value` by the fraction `weight`, in place. A step that is recorded adds the move,
-- so that the gradient keeps the fraction's precision.
function common.toward(group, average, value, weight)
  if group.differentiable then return average:add_((value - average) * weight) end
  return average:lerp_(value, weight)
end

--- A parameter's state of zeros: the step count and one tensor for each further name.
function common.zeros(state, param, ...)
  state.step = 0
  for _, name in ipairs { ... } do state[name] = core.zeros_like(param) end
end

return common
