--- weight_norm and remove_weight_norm: a weight as its length and its direction, w = g v / |v|.
--
-- The module gets the parameters weight_g and weight_v; its weight is a plain tensor that a forward pre-hook computes
-- before every forward. Source: Salimans and Kingma 2016.

local core = require "moontorch.core"
local walk = require "moontorch.nn.walk"
local arguments = require "moontorch.arguments"

local weight_norm = {}

-- module -> parameter name -> {handle, dim}
local installed = setmetatable({}, { __mode = "k" })

-- The norm over all dims but `dim` (from 1; -1 for all dims), with the other dims kept as 1.
local function norm_except(v, dim)
  if dim == -1 then return v:norm(2) end
  local sizes = {}
  for d = 1, v.ndim do sizes[d] = d == dim and v:size(d) or 1 end
  return v:transpose(1, dim):reshape(v:size(dim), -1):norm(2, 2):view(sizes)
end

local function compute(module, name, dim)
  local v = module[name .. "_v"]
  return v * (module[name .. "_g"] / norm_except(v, dim))
end

-- Takes a parameter's name out of the module, with its place in the order.
local function forget(module, name)
  local state = module._module
  rawset(module, name, nil)
  state.parameters[name], state.known[name] = nil, nil
  for i, key in ipairs(state.order) do
    if key == name then table.remove(state.order, i) break end
  end
end

local function check(owner, module, name)
  if not walk.is_module(module) then
    core.raise(owner, "argument 'module' (position 1) must be a Module, not %s", arguments.type_name(module))
  end
  return installed[module] and installed[module][name]
end

local resolve = arguments.signature("weight_norm", {
  { "module", "any" }, { "name", "string", "weight" }, { "dim", "integer?", 1 },
})

--- weight_norm(module, name = "weight", dim = 1): the norm is taken over all dims but `dim`; -1 or torch.none: over
-- all. Returns the module.
function weight_norm.weight_norm(...)
  local module, name, dim = resolve(...)
  if check("weight_norm", module, name) then
    core.raise("weight_norm", "Cannot register two weight_norm hooks on the same parameter %s", name)
  end
  local weight = module[name]
  if not core.is_parameter(weight) then
    core.raise("weight_norm", "%s has no parameter '%s'", module:_get_name(), name)
  end
  dim = dim or -1
  if dim ~= -1 and (dim < 1 or dim > weight.ndim) then
    core.raise("weight_norm", "Dimension out of range (expected to be in range of [1, %d], or -1 for all dims, but got "
      .. "%d)", weight.ndim, dim)
  end
  local g = core.no_grad(function() return norm_except(weight:detach(), dim) end)
  forget(module, name)
  module:register_parameter(name .. "_g", core.parameter(g, true))
  module:register_parameter(name .. "_v", core.parameter(weight:detach(), true))
  module[name] = compute(module, name, dim)
  local handle = module:register_forward_pre_hook(function(self) self[name] = compute(self, name, dim) end)
  installed[module] = installed[module] or {}
  installed[module][name] = { handle = handle, dim = dim }
  return module
end

local remove_arguments = arguments.signature("remove_weight_norm", {
  { "module", "any" }, { "name", "string", "weight" },
})

--- remove_weight_norm(module, name = "weight"): makes the weight a parameter again, with the value it has now. Returns
-- the module.
function weight_norm.remove_weight_norm(...)
  local module, name = remove_arguments(...)
  local found = check("remove_weight_norm", module, name)
  if not found then
    core.raise("remove_weight_norm", "weight_norm of '%s' not found in %s", name, tostring(module))
  end
  local weight = core.no_grad(function() return compute(module, name, found.dim) end)
  found.handle:remove()
  installed[module][name] = nil
  for _, key in ipairs { name, name .. "_g", name .. "_v" } do forget(module, key) end
  module[name] = core.parameter(weight:detach(), true)
  return module
end

return weight_norm
