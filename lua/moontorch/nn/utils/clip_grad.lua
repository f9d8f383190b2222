--- Clipping of gradients by their norm or by value, in place and without recording.
--
-- Everywhere `parameters` is a tensor or an array of them (model:parameters()); those without a gradient are skipped.
-- `foreach` is accepted and changes nothing.

local core = require "moontorch.core"
local text = require "moontorch.text"
local arguments = require "moontorch.arguments"

local clip = {}

-- The tensors in `value`: itself, an array, or an iterator (of names and tensors too).
local function tensors(owner, value)
  if core.is_tensor(value) then return { value } end
  local list = {}
  if type(value) == "function" then
    for first, second in value do list[#list + 1] = type(first) == "string" and second or first end
    if #list == 0 then
      arguments.warn_once(owner .. " empty", "`parameters` is an empty generator, no gradient clipping will occur.")
    end
    return list
  end
  if type(value) ~= "table" then
    core.raise(owner, "argument 'parameters' (position 1) must be a Tensor or an array of Tensors, not %s",
      arguments.type_name(value))
  end
  for i, t in ipairs(value) do
    if not core.is_tensor(t) then
      core.raise(owner, "expected Tensors, but item %d of the array is %s", i, arguments.type_name(t))
    end
    list[i] = t
  end
  return list
end

-- The gradients of parameters, which the caller writes once each. That is told, as it does not clear them: an optimiser
-- warns of gradients that were forgotten to be.
local function gradients(owner, parameters)
  local grads = {}
  for _, p in ipairs(tensors(owner, parameters)) do
    grads[#grads + 1] = p.grad
    core._grad_history(p, true)
  end
  return grads
end

local INFINITE = { inf = math.huge, ["+inf"] = math.huge, ["-inf"] = -math.huge }

-- An order as a number; Python's float() reads strings too, such as "inf".
local function order(owner, norm_type)
  local number = INFINITE[norm_type] or tonumber(norm_type)
  if not number then
    core.raise(owner, "argument 'norm_type' must be a number or \"inf\", not %s", arguments.type_name(norm_type))
  end
  return number
end

-- The norm of all tensors seen as one vector: that of their norms.
local function total_norm_of(owner, list, norm_type, refuse_nonfinite)
  norm_type = order(owner, norm_type)
  if #list == 0 then return core.tensor(0.0) end
  local norms = {}
  for i, t in ipairs(list) do norms[i] = t:detach():norm(norm_type):to(list[1].device) end
  local total = core.stack(norms):norm(norm_type)
  if refuse_nonfinite and not total:isfinite():item() then
    core.raise(owner, "The total norm of order %s for gradients from `parameters` is non-finite, so it cannot be "
      .. "clipped. To disable this error and scale the gradients by the non-finite norm anyway, set "
      .. "`error_if_nonfinite=False`", text.repr(norm_type + 0.0))
  end
  return total
end

-- Scales gradients so that their norm is at most max_norm. PyTorch's 1e-6 keeps a norm of zero apart.
local function scale(grads, max_norm, total_norm)
  if #grads == 0 then return end
  local factor = ((total_norm + 1e-6):reciprocal() * max_norm):clamp { max = 1.0 }
  for _, grad in ipairs(grads) do grad:detach():mul_(factor:to(grad.device)) end
end

local norm_arguments = arguments.signature("get_total_norm", {
  { "tensors", "any" }, { "norm_type", "value", 2.0 }, { "error_if_nonfinite", "boolean", false },
  { "foreach", "boolean?" },
})

--- get_total_norm(tensors, norm_type = 2.0, error_if_nonfinite = false): the norm of all the tensors seen as one
-- vector, a tensor without dims.
function clip.get_total_norm(...)
  local list, norm_type, refuse = norm_arguments(...)
  return core.no_grad(function()
    return total_norm_of("get_total_norm", tensors("get_total_norm", list), norm_type, refuse)
  end)
end

local scale_arguments = arguments.signature("clip_grads_with_norm_", {
  { "parameters", "any" }, { "max_norm", "number" }, { "total_norm", "tensor" }, { "foreach", "boolean?" },
})

--- clip_grads_with_norm_(parameters, max_norm, total_norm): multiplies the gradients by max_norm / total_norm, unless
-- that is above 1.
function clip.clip_grads_with_norm_(...)
  local parameters, max_norm, total_norm = scale_arguments(...)
  core.no_grad(function() scale(gradients("clip_grads_with_norm_", parameters), max_norm, total_norm) end)
end

local clip_arguments = arguments.signature("clip_grad_norm_", {
  { "parameters", "any" }, { "max_norm", "number" }, { "norm_type", "value", 2.0 },
  { "error_if_nonfinite", "boolean", false }, { "foreach", "boolean?" },
})

--- clip_grad_norm_(parameters, max_norm, norm_type = 2.0, error_if_nonfinite = false): scales all gradients so that
-- their norm, as one vector, is at most max_norm. Returns the norm before.
function clip.clip_grad_norm_(...)
  local parameters, max_norm, norm_type, refuse = clip_arguments(...)
  return core.no_grad(function()
    local grads = gradients("clip_grad_norm_", parameters)
    local total = total_norm_of("clip_grad_norm_", grads, norm_type, refuse)
    scale(grads, max_norm, total)
    return total
  end)
end

--- The old name of clip_grad_norm_.
function clip.clip_grad_norm(...)
  arguments.warn_once("clip_grad_norm", "`torch.nn.utils.clip_grad_norm` is now deprecated in favor of "
    .. "`torch.nn.utils.clip_grad_norm_`.")
  return clip.clip_grad_norm_(...)
end

local value_arguments = arguments.signature("clip_grad_value_", {
  { "parameters", "any" }, { "clip_value", "number" }, { "foreach", "boolean?" },
})

--- clip_grad_value_(parameters, clip_value): puts every element of the gradients between -clip_value and clip_value.
function clip.clip_grad_value_(...)
  local parameters, limit = value_arguments(...)
  core.no_grad(function()
    for _, grad in ipairs(gradients("clip_grad_value_", parameters)) do grad:detach():clamp_(-limit, limit) end
  end)
end

return clip
