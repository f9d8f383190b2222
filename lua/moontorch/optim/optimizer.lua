--- torch.optim.Optimizer: parameter groups, state, zero_grad, step with a closure, state dicts.
--
-- `param_groups` is an array of tables: `params` (an array of leaf tensors) and one field for each option. `state` maps
-- a parameter to its table (moments, step). A subclass gives `options` (names of the group fields, with defaults) and
-- `update(group, param, grad, state)`. Invariant: a parameter is in one group only.

local core = require "moontorch.core"
local class = require "moontorch.nn.class"
local text = require "moontorch.text"
local arguments = require "moontorch.arguments"

local Optimizer = class.root("Optimizer")

-- PyTorch's switches for its own implementations: accepted, of no effect here.
Optimizer.switches = { "foreach", "fused", "capturable", "differentiable" }

local function owner(self)
  return getmetatable(self).__name
end

-- Parameters as they may be given: an array of tensors or of groups or of {name, tensor}, one group, an iterator of
-- tensors or of names and tensors. Returns an array of tensors or of groups, and the names if there were any.
local function collect(self, params)
  if core.is_tensor(params) then
    core.raise(owner(self), "params argument given to the optimizer should be an iterable of Tensors or dicts, but got "
      .. "%s; put it in a table: {p}, or use model:parameters()", params:type())
  end
  local list, names = {}, nil
  local function add(first, second)
    if type(first) == "string" and second ~= nil then
      names = names or {}
      names[#list + 1] = first
      first = second
    end
    list[#list + 1] = first
  end
  if type(params) == "function" then
    for first, second in params do add(first, second) end
  elseif type(params) == "table" and params.params ~= nil then
    list[1] = params
  elseif type(params) == "table" then
    for _, item in ipairs(params) do
      if type(item) == "table" and type(item[1]) == "string" then add(item[1], item[2]) else add(item) end
    end
  else
    core.raise(owner(self), "params argument given to the optimizer should be an iterable of Tensors or dicts, but got "
      .. "%s; use model:parameters()", arguments.type_name(params))
  end
  return list, names
end

-- The first gradient was added to exactly once since the last step, and nobody cleared it between.
local function check_piling(self)
  local version
  for _, group in ipairs(self.param_groups) do
    for _, param in ipairs(group.params) do
      local grad = param.grad
      if grad ~= nil then version = grad._version break end
    end
    if version then break end
  end
  if not self.cleared and self.last_version ~= nil and version == self.last_version + 1 then
    self.accumulate = true
    arguments.warn_once(self, "%s.step(): gradients pile up: they were neither cleared nor replaced since the last "
      .. "step, so this one adds to it. Call zero_grad() before backward(), or give the optimizer {accumulate = true} "
      .. "if it is meant", owner(self))
  end
  self.last_version, self.cleared = version, false
end

local function update_all(self)
  if not self.accumulate then check_piling(self) end
  local state = self.state
  for _, group in ipairs(self.param_groups) do
    self:begin_group(group)
    for _, param in ipairs(group.params) do
      local grad = param.grad
      if grad ~= nil then
        local own = state[param]
        if own == nil then
          own = {}
          state[param] = own
        end
        self:update(group, param, grad, own)
      end
    end
  end
end

--- Sets up the groups. `defaults` holds an option's value for groups that do not name it; `accumulate` says that
-- gradients are meant to pile up over several steps.
function Optimizer:init(params, defaults, accumulate)
  self.defaults = defaults or {}
  self.accumulate = accumulate or false
  self.state, self.param_groups = {}, {}
  self.pre_hooks, self.post_hooks = {}, {}
  self.update_all = function() update_all(self) end
  local list, names = collect(self, params)
  if #list == 0 then
    core.raise(owner(self), "optimizer got an empty parameter list; a model's are model:parameters(), modules must be "
      .. "fields of the model for it to find them")
  end
  if type(list[1]) == "table" and not core.is_tensor(list[1]) then
    for _, group in ipairs(list) do self:add_param_group(group) end
  else
    self:add_param_group({ params = list, param_names = names })
  end
end

local function check_params(self, params)
  for i, param in ipairs(params) do
    if not core.is_tensor(param) then
      core.raise(owner(self), "optimizer can only optimize Tensors, but one of the params is %s (number %d)",
        arguments.type_name(param), i)
    end
    if not param.is_leaf then
      core.raise(owner(self), "can't optimize a non-leaf Tensor: parameter %d of shape %s is the result of a "
        .. "computation; use :detach() and set requires_grad, or nn.Parameter", i, text.sizes(param))
    end
  end
end

--- Adds a group: `{params = …, lr = …}`; options that it does not name have the optimiser's defaults.
function Optimizer:add_param_group(group)
  if type(group) ~= "table" or core.is_tensor(group) then
    core.raise(owner(self), "param_group must be a dict, but got %s", arguments.type_name(group))
  end
  if group.params == nil then core.raise(owner(self), "param_group has no field 'params'") end
  local params, names
  if core.is_tensor(group.params) then params = { group.params } else params, names = collect(self, group.params) end
  check_params(self, params)
  local accepted = { params = true, param_names = true, initial_lr = true }
  local new = { params = params, param_names = names or group.param_names }
  for name, value in pairs(self.defaults) do new[name], accepted[name] = value, true end
  for _, name in ipairs(self:option_names()) do accepted[name] = true end
  for name, value in pairs(group) do
    if not accepted[name] then
      core.raise(owner(self), "got an unexpected option '%s' in a parameter group; accepted are %s", tostring(name),
        table.concat(self:option_names(), ", "))
    end
    if name ~= "params" and name ~= "param_names" then new[name] = value end
  end
  for _, name in ipairs(self.required or {}) do
    if new[name] == nil then
      core.raise(owner(self), "parameter group didn't specify a value of required optimization parameter %s", name)
    end
  end
  self:check_options(new)
  local seen, twice = {}, false
  for _, other in ipairs(self.param_groups) do
    for _, param in ipairs(other.params) do seen[param] = true end
  end
  local here = {}
  for _, param in ipairs(params) do
    if seen[param] then core.raise(owner(self), "some parameters appear in more than one parameter group") end
    twice = twice or here[param]
    here[param] = true
  end
  if twice then
    arguments.warn_once("duplicate parameters", "optimizer contains a parameter group with duplicate parameters; in "
      .. "future, this will cause an error")
  end
  self.param_groups[#self.param_groups + 1] = new
end

--- Names of a group's options, sorted, PyTorch's switches among them.
function Optimizer:option_names()
  local names, seen = {}, {}
  local function add(name)
    if not seen[name] then
      seen[name] = true
      names[#names + 1] = name
    end
  end
  for name in pairs(self.defaults) do add(name) end
  for _, name in ipairs(self.none_options or {}) do add(name) end
  table.sort(names)
  return names
end

--- Raises when a group's options make no sense; subclasses override it.
function Optimizer:check_options(_group) end

--- Clears every gradient (sets it to nil), or with `set_to_none = false` fills it with zeros.
function Optimizer:zero_grad(set_to_none)
  if type(set_to_none) == "table" then set_to_none = set_to_none.set_to_none end
  self.cleared = true
  if set_to_none == false then
    core.no_grad(function()
      for _, group in ipairs(self.param_groups) do
        for _, param in ipairs(group.params) do
          local grad = param.grad
          if grad ~= nil then grad:detach():zero_() end
        end
      end
    end)
    return
  end
  for _, group in ipairs(self.param_groups) do
    for _, param in ipairs(group.params) do param.grad = nil end
  end
end

local function run_hooks(hooks, self)
  for _, hook in ipairs(hooks) do hook(self) end
end

--- Called before the parameters of a group are updated.
function Optimizer:begin_group(_group) end

--- Updates every parameter that has a gradient. `closure`, if given, computes the loss and its gradients again; its
-- result is returned.
function Optimizer:step(closure)
  local loss
  if closure ~= nil then
    if type(closure) ~= "function" then
      core.raise(owner(self) .. ".step", "closure must be a function, not %s", arguments.type_name(closure))
    end
    loss = core.enable_grad(closure)
  end
  if #self.pre_hooks > 0 then run_hooks(self.pre_hooks, self) end
  core.no_grad(self.update_all)
  if #self.post_hooks > 0 then run_hooks(self.post_hooks, self) end
  return loss
end

local function register(list, fn)
  list[#list + 1] = fn
  return { remove = function()
    for i, other in ipairs(list) do
      if other == fn then table.remove(list, i) break end
    end
  end }
end

--- `hook(optimizer)` runs before every step. Returns a handle with `remove()`.
function Optimizer:register_step_pre_hook(hook)
  return register(self.pre_hooks, hook)
end

--- `hook(optimizer)` runs after every step. Returns a handle with `remove()`.
function Optimizer:register_step_post_hook(hook)
  return register(self.post_hooks, hook)
end

-- State dicts ---------------------------------------------------------------------------------------------------------

local function copy_group(group)
  local copy = {}
  for key, value in pairs(group) do copy[key] = value end
  return copy
end

--- `{state = {[i] = …}, param_groups = …}`, parameters numbered from 1 over all groups. Tensors are the optimiser's
-- own.
function Optimizer:state_dict()
  local groups, state, count = {}, {}, 0
  for g, group in ipairs(self.param_groups) do
    local packed, numbers = copy_group(group), {}
    for i, param in ipairs(group.params) do
      count = count + 1
      numbers[i] = count
      local own = self.state[param]
      if own ~= nil and next(own) ~= nil then
        local saved = copy_group(own)
        if saved.step ~= nil then saved.step = core.tensor(saved.step, { dtype = core.float32 }) end
        state[count] = saved
      end
    end
    packed.params = numbers
    groups[g] = packed
  end
  return { state = state, param_groups = groups }
end

-- A saved value for the state of `param`: moments take its dtype and device.
local function restore(key, value, param)
  if key == "step" then return core.is_tensor(value) and value:item() or value end
  if core.is_tensor(value) then return value:detach():to(param.device):to(param.dtype):clone() end
  return value
end

--- Takes over a state_dict() of an optimiser with groups of the same sizes. Nothing changes if it does not fit.
function Optimizer:load_state_dict(state_dict)
  if type(state_dict) ~= "table" or type(state_dict.param_groups) ~= "table" or type(state_dict.state) ~= "table" then
    core.raise(owner(self) .. ".load_state_dict", "expected a table with the fields 'state' and 'param_groups', but "
      .. "got %s", arguments.type_name(state_dict))
  end
  local saved = state_dict.param_groups
  if #saved ~= #self.param_groups then
    core.raise(owner(self) .. ".load_state_dict", "loaded state dict has a different number of parameter groups: %d, "
      .. "but the optimizer has %d", #saved, #self.param_groups)
  end
  for g, group in ipairs(saved) do
    if type(group.params) ~= "table" or #group.params ~= #self.param_groups[g].params then
      core.raise(owner(self) .. ".load_state_dict", "loaded state dict contains a parameter group that doesn't match "
        .. "the size of optimizer's group: group %d", g)
    end
  end
  local state, groups = {}, {}
  core.no_grad(function()
    for g, group in ipairs(saved) do
      local new = copy_group(group)
      new.params = self.param_groups[g].params
      groups[g] = new
      for i, number in ipairs(group.params) do
        local own, param = state_dict.state[number], new.params[i]
        if own ~= nil then
          local restored = {}
          for key, value in pairs(own) do restored[key] = restore(key, value, param) end
          state[param] = restored
        end
      end
    end
  end)
  self.state, self.param_groups = state, groups
end

--- The options of every group, as PyTorch's repr, groups numbered from 1.
rawset(Optimizer, "__tostring", function(self)
  local lines = { owner(self) .. " (" }
  for g, group in ipairs(self.param_groups) do
    if g > 1 then lines[#lines + 1] = "" end
    lines[#lines + 1] = "Parameter Group " .. g
    for _, name in ipairs(self:option_names()) do
      lines[#lines + 1] = string.format("    %s: %s", name, (text.repr(group[name]):gsub("^'(.*)'$", "%1")))
    end
  end
  lines[#lines + 1] = ")"
  return table.concat(lines, "\n")
end)

return Optimizer
