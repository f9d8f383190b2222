--- Hooks on a module's gradients: register_full_backward_hook and register_full_backward_pre_hook.
--
-- The tensors among a call's arguments go through one identity function, those among its results through another. In
-- backward the second runs first: it sees the gradients of the results (pre-hooks may replace them); then the first has
-- the gradients of the arguments, which hooks may replace. Hooks are those that the module had at the call.

local core = require "moontorch.core"
local autograd = require "moontorch.autograd"
local arguments = require "moontorch.arguments"

local Watch = {}
Watch.__index = Watch

local function functions_of(list)
  local functions = {}
  for i, hook in ipairs(list or {}) do functions[i] = hook.fn end
  return functions
end

-- What a hook returned, as an array of `count` gradients, or `before` when it returned nothing.
local function replaced(result, before, count, kind, what)
  if result == nil then return before end
  if core.is_tensor(result) then result = { n = 1, result } end
  if type(result) ~= "table" then
    core.raise(kind, "expected an array of gradients, or nothing, but got %s", arguments.type_name(result))
  end
  local n = result.n or #result
  if n ~= count and not (result.n == nil and n < count) then
    core.raise(kind, "Backward %s returned an invalid number of %s, got %d, but expected %d",
      kind == "register_full_backward_hook" and "hook" or "pre hook", what, n, count)
  end
  return { n = count, table.unpack(result, 1, count) }
end

-- The gradients of the tensors, at the places that these have among all values.
local function spread(places, gradients, count)
  local all = { n = count }
  for i, place in ipairs(places) do all[place] = gradients[i] end
  return all
end

local function pick(places, all)
  local list = { n = #places }
  for i, place in ipairs(places) do list[i] = all[place] end
  return list
end

-- `values` with its tensors put through an identity whose backward is `fn(gradients)`; nil instead of the places of the
-- tensors when none of them is recorded.
local function through(values, fn)
  local places, tensors, recorded = {}, {}, false
  for i = 1, values.n do
    if core.is_tensor(values[i]) then
      places[#places + 1] = i
      tensors[#tensors + 1] = values[i]
      recorded = recorded or values[i].requires_grad
    end
  end
  if not recorded or not core.is_grad_enabled() then return values, nil end
  local identity = autograd.Function {
    name = "BackwardHookFunction",
    forward = function(ctx, ...)
      ctx:set_materialize_grads(false)
      for _, t in ipairs { ... } do
        if not t.requires_grad then ctx:mark_non_differentiable(t) end
      end
      return ...
    end,
    backward = function(_, ...)
      local list = fn(table.pack(...))
      return table.unpack(list, 1, list.n)
    end,
  }
  local watched, result = table.pack(identity.apply(table.unpack(tensors))), { n = values.n }
  for i = 1, values.n do result[i] = values[i] end
  for i, place in ipairs(places) do result[place] = watched[i] end
  return result, places
end

--- The watch over one call of `module`.
local function new(module, state)
  return setmetatable({
    module = module, hooks = functions_of(state.backward_hooks), pre_hooks = functions_of(state.backward_pre_hooks),
  }, Watch)
end

-- Where hooks see an argument without gradient, they see zeros, as in PyTorch; a result without one has nil.
local function zeros_for(args)
  local sizes = {}
  for i = 1, args.n do
    local t = args[i]
    if core.is_tensor(t) then sizes[#sizes + 1] = { t.shape, { dtype = t.dtype, device = t.device } } end
  end
  return function(gradients)
    for i, size in ipairs(sizes) do
      if gradients[i] == nil then gradients[i] = core.zeros(size[1], size[2]) end
    end
  end
end

--- The arguments to call forward with.
function Watch:watch_inputs(args)
  self.inputs = args.n
  local watched
  local fill = zeros_for(args)
  watched, self.input_places = through(args, function(gradients)
    if self.grad_output == nil then return gradients end
    fill(gradients)
    local all = spread(self.input_places, gradients, self.inputs)
    for _, hook in ipairs(self.hooks) do
      all = replaced(hook(self.module, all, self.grad_output), all, self.inputs, "register_full_backward_hook",
        "grad_input")
    end
    self.grad_output = nil
    return pick(self.input_places, all)
  end)
  return watched
end

-- No argument is recorded: the hooks run now, and have nothing to replace.
local function run_without_inputs(self)
  if #self.hooks == 0 then return end
  arguments.warn_once(self.module, "Full backward hook is firing when gradients are computed with respect to module "
    .. "outputs since no inputs require gradients.")
  for _, hook in ipairs(self.hooks) do
    local result = hook(self.module, { n = self.inputs }, self.grad_output)
    if result ~= nil and not (type(result) == "table" and next(result) == nil) then
      core.raise("register_full_backward_hook", "Backward hook for Modules where no input requires gradient should "
        .. "always return None or None for all gradients.")
    end
  end
end

--- The results to give to the caller.
function Watch:watch_outputs(results)
  local count = results.n
  if count == 1 and not core.is_tensor(results[1]) then
    arguments.warn_once(self.module, "For backward hooks to be called, module output should be a Tensor or a tuple of "
      .. "Tensors but received %s", arguments.type_name(results[1]))
  end
  local watched, places
  watched, places = through(results, function(gradients)
    local all = spread(places, gradients, count)
    for _, hook in ipairs(self.pre_hooks) do
      all = replaced(hook(self.module, all), all, count, "register_full_backward_pre_hook", "grad_output")
    end
    self.grad_output = all
    if self.input_places == nil then
      run_without_inputs(self)
      self.grad_output = nil
    end
    return pick(places, all)
  end)
  return watched
end

return { new = new }
