--- torch.optim.Optimizer: parameter groups, state, zero_grad, step with a closure, hooks around it. State dicts are in
-- state.lua.
--
-- `param_groups` is an array of tables: `params` (an array of leaf tensors) and one field for each option. `state` maps
-- a parameter to its table (moments, step). A subclass gives `defaults` (names of the group fields, with values) and
-- `update(group, param, grad, state)`. Invariant: a parameter is in one group only.

local core = require "moontorch.core"
local class = require "moontorch.nn.class"
local hooks = require "moontorch.nn.hooks"
local modes = require "moontorch.nn.modes"
local growth = require "moontorch.growth"
local text = require "moontorch.text"
local arguments = require "moontorch.arguments"

local Optimizer = class.root("Optimizer")

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
  local list, names, named = {}, nil, 0
  local function add(first, second)
    if type(first) == "string" and second ~= nil then
      names, named = names or {}, named + 1
      names[#list + 1] = first
      first = second
    end
    list[#list + 1] = first
  end
  local function finish()
    if names and named ~= #list then
      core.raise(owner(self), "all optimizer params should be with/without names. Some param names are missing")
    end
    return list, names
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
  return finish()
end

-- The history of the first gradient that there is.
local function first_history(self)
  for _, group in ipairs(self.param_groups) do
    for _, param in ipairs(group.params) do
      local grads, added, written = core._grad_history(param)
      if grads then return grads, added, written end
    end
  end
end

--- Warns when gradients have piled up since the last look: the first one is the same tensor, backward added to it, and
-- nobody else wrote to it, so it was not cleared either.
function Optimizer:check_piling()
  local grads, added, written = first_history(self)
  local last = self.last_history
  local same = grads and last and not self.cleared and grads == last[1]
  if same and added > last[2] and written - last[3] == added - last[2] then
    self.accumulate = true
    arguments.warn_once(self, "%s.step(): gradients pile up: they were neither cleared nor replaced since the last "
      .. "step, so this one adds to it. Call zero_grad() before backward(), or give the optimizer {accumulate = true} "
      .. "if it is meant", owner(self))
  end
  if last then last[1], last[2], last[3] = grads, added, written else self.last_history = { grads, added, written } end
  self.cleared = false
end

-- train() was forgotten after eval(): looked at in the first step after an eval().
local function check_modes(self)
  self.evaluations_seen = modes.evaluations
  if not modes.any_evaluating() then return end
  local params = {}
  for _, group in ipairs(self.param_groups) do
    for _, param in ipairs(group.params) do params[param] = param.requires_grad and param.grad ~= nil or nil end
  end
  local name = modes.evaluating_owner(params)
  if name then
    arguments.warn_once(self.param_groups, "%s.step(): %s is trained in evaluation mode: its dropout passes "
      .. "everything and its batch norm does not learn its statistics. Call train() on it after evaluating; "
      .. "model:predict(x) leaves the mode as it is", owner(self), name)
  end
end

local function check_growth(self)
  local steps = growth.seen(self.watch)
  if steps == nil then return end
  arguments.warn_once(self.watch, "%s.step(): the graph has grown over the last %d steps: something outside of "
    .. "the loop, such as a running sum of losses, holds on to each step's graph and its memory. Add loss:item() or "
    .. "loss:detach() instead of loss", owner(self), steps)
end

-- The state of a parameter is there when it is asked for, as in Python's defaultdict.
local state_of = {
  __index = function(states, key)
    if not core.is_tensor(key) then return nil end
    local own = {}
    rawset(states, key, own)
    return own
  end,
}

--- A table of states by parameter.
function Optimizer.new_states()
  return setmetatable({}, state_of)
end

-- `value` of a parameter's state on that device; tables within it too.
local function on_device(value, device)
  if core.is_tensor(value) then return value.device == device and value or value:to(device) end
  if type(value) ~= "table" or getmetatable(value) ~= nil then return value end
  local moved = {}
  for key, item in pairs(value) do moved[key] = on_device(item, device) end
  return moved
end

--- After modules have moved: the state of each parameter goes where that is, all of it or nothing.
function Optimizer:follow()
  if self.moves_seen == modes.moves then return end
  local moved = {}
  for param, own in pairs(self.state) do
    if core.is_tensor(param) then moved[own] = on_device(own, param.device) end
  end
  for own, new in pairs(moved) do
    for key, value in pairs(new) do own[key] = value end
  end
  self.moves_seen = modes.moves
end

local function update_groups(self)
  local state = self.state
  for _, group in ipairs(self.param_groups) do
    self:begin_group(group)
    for _, param in ipairs(group.params) do
      local grad = param.grad
      if grad ~= nil then
        self:update(group, param, grad, state[param])
      end
    end
  end
end

-- On a device the steps of many parameters are launched together.
local function update_all(self)
  if self.moves_seen ~= modes.moves then self:follow() end
  if not self.accumulate then self:check_piling() end
  if self.evaluations_seen ~= modes.evaluations then check_modes(self) end
  local watch = self.watch
  watch.rounds = watch.rounds + 1
  growth.steps = growth.steps + 1
  if watch.rounds >= watch.look_at then check_growth(self) end
  if not core.gather_steps(true) then return update_groups(self) end
  local ok, why = pcall(update_groups, self)
  if ok then
    core.gather_steps(false)
  else
    pcall(core.gather_steps, false)
    error(why, 0)
  end
end

--- Sets up the groups. `defaults` holds an option's value for groups that do not name it; `accumulate` says that
-- gradients are meant to pile up over several steps.
function Optimizer:init(params, defaults, accumulate)
  self.defaults = defaults or {}
  self.accumulate = accumulate or false
  self.state, self.param_groups = Optimizer.new_states(), {}
  self.hooks = {}
  self.watch = growth.watch()
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
    if not (param.is_leaf or self.defaults.differentiable) then
      if core._conversions[param] ~= nil then
        core.raise(owner(self), "can't optimize a non-leaf Tensor: parameter %d of shape %s is a converted copy of a "
          .. "Parameter. Convert first: nn.Parameter(x:to(...)); or assign it to a field of a module, which makes it "
          .. "one, and give model:parameters()", i, text.sizes(param))
      end
      core.raise(owner(self), "can't optimize a non-leaf Tensor: parameter %d of shape %s is the result of a "
        .. "computation; use :detach() and set requires_grad, or nn.Parameter", i, text.sizes(param))
    end
  end
end

-- Options that schedulers keep in a group.
local SCHEDULED = { "initial_lr", "max_lr", "min_lr", "max_momentum", "base_momentum" }

-- PyTorch's switches choose between its implementations, which compute the same: here they choose nothing, and are
-- refused where PyTorch refuses them.
local function check_switches(self, group)
  if group.fused and group.differentiable then core.raise(owner(self), "`fused` does not support `differentiable`") end
  if group.fused and group.foreach then
    core.raise(owner(self), "`fused` and `foreach` cannot be `True` together.")
  end
  if group.foreach and group.differentiable then
    core.raise(owner(self), "_foreach ops don't support autograd: leave foreach out to differentiate through steps")
  end
  if group.differentiable and core.is_tensor(group.lr) and group.lr.requires_grad then
    core.raise(owner(self), "steps are differentiated by parameters and gradients, not by lr, which requires grad: "
      .. "give lr:detach()")
  end
end

-- A group may hold fields of one's own, such as a name; one that is nearly an option's name is likely a mistake.
local function warn_of_misspelt(self, names)
  local options, known = self:option_names(), {}
  for _, list in ipairs { options, SCHEDULED, { "params", "param_names" } } do
    for _, name in ipairs(list) do known[name] = true end
  end
  for _, name in ipairs(names) do
    local near = type(name) == "string" and #name > 4 and not known[name] and text.nearest(name, options)
    if near then
      arguments.warn_once(owner(self) .. " " .. name, "%s: a parameter group has a field '%s', which is no option of "
        .. "this optimizer; did you mean '%s'?", owner(self), name, near)
    end
  end
end

--- Adds a group: `{params = …, lr = …}`; options that it does not name have the optimiser's defaults, other fields stay
-- in the group as they are.
function Optimizer:add_param_group(group)
  if type(group) ~= "table" or core.is_tensor(group) then
    core.raise(owner(self), "param_group must be a dict, but got %s", arguments.type_name(group))
  end
  if group.params == nil then core.raise(owner(self), "param_group has no field 'params'") end
  local params, names
  if core.is_tensor(group.params) then params = { group.params } else params, names = collect(self, group.params) end
  check_params(self, params)
  local new = { params = params, param_names = names or group.param_names }
  for name, value in pairs(self.defaults) do new[name] = value end
  local unknown = {}
  for name, value in pairs(group) do
    if new[name] == nil then unknown[#unknown + 1] = name end
    if value == core.none then value = nil end
    if name ~= "params" and name ~= "param_names" then new[name] = value end
  end
  for _, name in ipairs(self.required or {}) do
    if new[name] == nil then
      core.raise(owner(self), "parameter group didn't specify a value of required optimization parameter %s", name)
    end
  end
  self:check_options(new)
  check_switches(self, new)
  warn_of_misspelt(self, unknown)
  local seen, twice = {}, false
  for _, other in ipairs(self.param_groups) do
    for _, param in ipairs(other.params) do seen[param] = true end
    if (new.param_names == nil) ~= (other.param_names == nil) then
      core.raise(owner(self), "all optimizer param groups should be with/without names. cannot add param group %s to "
        .. "the optimizer", new.param_names and "with names" or "without names")
    end
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

--- Called before the parameters of a group are updated.
function Optimizer:begin_group(group)
  if group.capturable and not group.fused then
    for _, param in ipairs(group.params) do
      if not param.is_cuda then
        core.raise(owner(self) .. ".step", "If capturable=True, params and state_steps must be on supported devices: "
          .. "['cuda', 'xpu', 'hpu', 'privateuseone', 'xla'], but a parameter of shape %s is on %s: leave capturable "
          .. "out", text.sizes(param), tostring(param.device))
      end
    end
  end
end

--- Moves one parameter; `state` is the parameter's own. Every class overrides it, or step().
function Optimizer:update()
  core.raise(owner(self) .. ".step", "NotImplementedError: a subclass of Optimizer defines update(group, param, grad, "
    .. "state) or step()")
end

--- The work of step(), between its hooks. The closure runs with gradients on, the update without, unless the optimiser
-- is `differentiable`.
function Optimizer:run_step(closure)
  local loss
  if self.update == Optimizer.update then self:update() end
  if closure ~= nil then loss = core.enable_grad(closure) end
  core.with_modes(self.defaults.differentiable or false, nil, update_all, self)
  return loss
end

local function step_with_hooks(self, closure)
  local args, kwargs = { closure }, {}
  for _, hook in ipairs(self.hooks.step_pre or {}) do
    local new, new_kwargs = hook.fn(self, args, kwargs)
    if new ~= nil then
      if type(new) ~= "table" or (new_kwargs ~= nil and type(new_kwargs) ~= "table") then
        core.raise(owner(self) .. ".step", "a step pre-hook must return None or a tuple of (new_args, new_kwargs), but "
          .. "got %s: return the array of new arguments, and a table of keywords after it if there are any",
          arguments.type_name(type(new) ~= "table" and new or new_kwargs))
      end
      args, kwargs = new, new_kwargs or kwargs
    end
  end
  local loss = self:run_step(args[1] or kwargs.closure)
  for _, hook in ipairs(self.hooks.step_post or {}) do hook.fn(self, args, kwargs) end
  return loss
end

--- Updates every parameter that has a gradient. `closure`, if given, computes the loss and its gradients again; its
-- result is returned.
function Optimizer:step(closure)
  if closure ~= nil and arguments.is_keywords(closure) then closure = closure.closure end
  if closure ~= nil and not hooks.callable(closure) then
    core.raise(owner(self) .. ".step", "closure must be a function, not %s", arguments.type_name(closure))
  end
  if next(self.hooks) then return step_with_hooks(self, closure) end
  return self:run_step(closure)
end

-- A method that adds a hook of this kind and returns a handle with `remove()`, to-be-closed too. Keyword: prepend.
local function registers(kind)
  local name = ("register_%s_hook"):format(kind)
  return function(self, fn, options)
    if not hooks.callable(fn) then core.raise(name, "expected a function, but got %s", arguments.type_name(fn)) end
    local first = type(options) == "table" and options.prepend or options == true
    return hooks.insert(self.hooks, kind, { fn = fn }, first)
  end
end

--- `hook(optimizer, args, kwargs)` runs before every step; `args` holds the closure. What it returns replaces them: new
-- arguments, and new keywords after them.
Optimizer.register_step_pre_hook = registers "step_pre"
--- `hook(optimizer, args, kwargs)` runs after every step.
Optimizer.register_step_post_hook = registers "step_post"
--- `hook(optimizer)` runs before state_dict().
Optimizer.register_state_dict_pre_hook = registers "state_dict_pre"
--- `hook(optimizer, state_dict)` runs after state_dict(); what it returns is the result instead.
Optimizer.register_state_dict_post_hook = registers "state_dict_post"
--- `hook(optimizer, state_dict)` runs before load_state_dict(); what it returns is loaded instead.
Optimizer.register_load_state_dict_pre_hook = registers "load_state_dict_pre"
--- `hook(optimizer)` runs after load_state_dict().
Optimizer.register_load_state_dict_post_hook = registers "load_state_dict_post"

local function python(name, value)
  if name == "param_names" and type(value) == "table" then
    local quoted = {}
    for i, item in ipairs(value) do quoted[i] = text.repr(item) end
    return "[" .. table.concat(quoted, ", ") .. "]"
  end
  return (text.repr(value):gsub("^'(.*)'$", "%1"))
end

--- The options of every group, as PyTorch's repr, groups numbered from 1.
rawset(Optimizer, "__tostring", function(self)
  local lines = { owner(self) .. " (" }
  for g, group in ipairs(self.param_groups) do
    if g > 1 then lines[#lines + 1] = "" end
    lines[#lines + 1] = "Parameter Group " .. g
    local names, seen = self:option_names(), { params = true }
    for _, name in ipairs(names) do seen[name] = true end
    for name in pairs(group) do
      if not seen[name] then names[#names + 1] = name end
    end
    table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
    for _, name in ipairs(names) do
      lines[#lines + 1] = ("    %s: %s"):format(name, python(name, group[name]))
    end
  end
  lines[#lines + 1] = ")"
  return table.concat(lines, "\n")
end)

return Optimizer
