--- State dicts of optimisers: moments and options by number of the parameter, out and in.
--
-- Parameters are numbered over all groups, from 1, or from 0 with `{index_base = 0}`, as PyTorch's files have it.
-- Invariant of load_state_dict: everything is read and cast before anything is replaced.

local core = require "moontorch.core"
local text = require "moontorch.text"
local Optimizer = require "moontorch.optim.optimizer"
local common = require "moontorch.optim.common"
local arguments = require "moontorch.arguments"

local function owner(self, method)
  return getmetatable(self).__name .. "." .. method
end

local function copy(fields)
  local result = {}
  for key, value in pairs(fields) do result[key] = value end
  return result
end

local function index_base(self, method, options)
  local base = type(options) == "table" and options.index_base or 1
  if base ~= 0 and base ~= 1 then
    core.raise(owner(self, method), "index_base must be 0 (PyTorch's numbers) or 1, but got %s", tostring(base))
  end
  return math.tointeger(base)
end

--- `{state = {[i] = …}, param_groups = …}`, parameters numbered from 1 over all groups. Tensors are the optimiser's
-- own. Keyword: index_base = 0 gives what PyTorch's load_state_dict wants: its numbers, and torch.none for options that
-- are None.
function Optimizer:state_dict(options)
  local base = index_base(self, "state_dict", options)
  for _, hook in ipairs(self.hooks.state_dict_pre or {}) do hook.fn(self) end
  local groups, state, number_of, count = {}, {}, {}, 0
  for g, group in ipairs(self.param_groups) do
    local packed, numbers = copy(group), {}
    for i, param in ipairs(group.params) do
      if number_of[param] == nil then
        number_of[param] = count + base
        count = count + 1
      end
      numbers[i] = number_of[param]
    end
    packed.params = numbers
    for _, name in ipairs(base == 0 and self.none_options or {}) do
      if packed[name] == nil then packed[name] = core.none end
    end
    groups[g] = packed
  end
  for key, own in pairs(self.state) do
    if not core.is_tensor(key) then
      state[key] = own
    elseif next(own) ~= nil then
      local saved = copy(own)
      if type(saved.step) == "number" then saved.step = core.tensor(saved.step, { dtype = common.scalar_dtype() }) end
      state[number_of[key] or key] = saved
    end
  end
  local result = { state = state, param_groups = groups }
  for _, hook in ipairs(self.hooks.state_dict_post or {}) do
    local new = hook.fn(self, result)
    if new ~= nil then result = new end
  end
  return result
end

-- A saved value for the state of `param`: tensors take its dtype and device, in arrays too; the step count is a number.
local function restore(key, value, param)
  if key == "step" then return core.is_tensor(value) and math.tointeger(value:item()) or value end
  if core.is_tensor(value) then
    local moved = value:detach():to(param.device)
    if param:is_floating_point() then moved = moved:to(param.dtype) end
    return moved:clone()
  end
  if type(value) == "table" and getmetatable(value) == nil then
    local result = {}
    for k, v in pairs(value) do result[k] = restore(k, v, param) end
    return result
  end
  return value
end

-- The group as loaded: the optimiser's parameters, the options of the file, None being nil; switches that it does not
-- have are off, and those that make the class are on.
local function loaded_group(self, saved, current, number)
  local new = {}
  for key, value in pairs(saved) do
    if value ~= core.none then new[key] = value end
  end
  new.params = current.params
  for name, value in pairs(self.fixed or {}) do new[name] = value end
  if new.param_names == nil then new.param_names = current.param_names end
  for name, default in pairs(self.defaults) do
    if new[name] == nil and default == false then new[name] = false end
    if new[name] == nil and not (self.may_lack and self.may_lack[name]) then
      core.raise(owner(self, "load_state_dict"), "parameter group %d of the loaded state dict has no '%s': is it one "
        .. "of another optimizer?", number, name)
    end
  end
  return new
end

local function check_fit(self, state_dict)
  local name = owner(self, "load_state_dict")
  if type(state_dict) ~= "table" or type(state_dict.param_groups) ~= "table" or type(state_dict.state) ~= "table" then
    core.raise(name, "expected a table with the fields 'state' and 'param_groups', but got %s",
      arguments.type_name(state_dict))
  end
  local saved = state_dict.param_groups
  if #saved ~= #self.param_groups then
    core.raise(name, "loaded state dict has a different number of parameter groups: %d, but the optimizer has %d",
      #saved, #self.param_groups)
  end
  for g, group in ipairs(saved) do
    local wanted, got = #self.param_groups[g].params, type(group.params) == "table" and #group.params or -1
    if got ~= wanted then
      core.raise(name, "loaded state dict contains a parameter group that doesn't match the size of optimizer's "
        .. "group: group %d has %s parameters, but the optimizer's has %d", g,
        got < 0 and "no" or text.repr(got), wanted)
    end
  end
end

--- Takes over a state_dict() of an optimiser with groups of the same sizes, whatever its numbers count from. Nothing
-- changes if it does not fit.
function Optimizer:load_state_dict(state_dict, options)
  index_base(self, "load_state_dict", options)
  if type(state_dict) == "table" then state_dict = copy(state_dict) end
  for _, hook in ipairs(self.hooks.load_state_dict_pre or {}) do
    local new = hook.fn(self, state_dict)
    if new ~= nil then state_dict = new end
  end
  check_fit(self, state_dict)
  local state, groups, known = Optimizer.new_states(), {}, {}
  core.no_grad(function()
    for g, group in ipairs(state_dict.param_groups) do
      groups[g] = loaded_group(self, group, self.param_groups[g], g)
      for i, number in ipairs(group.params) do
        local own, param = state_dict.state[number], groups[g].params[i]
        known[number] = true
        if own ~= nil then
          state[param] = {}
          for key, value in pairs(own) do
            if value ~= core.none then state[param][key] = restore(key, value, param) end
          end
        end
      end
    end
  end)
  for key, value in pairs(state_dict.state) do
    if not known[key] then state[key] = value end
  end
  self.state, self.param_groups = state, groups
  for _, hook in ipairs(self.hooks.load_state_dict_post or {}) do hook.fn(self) end
end

return Optimizer
