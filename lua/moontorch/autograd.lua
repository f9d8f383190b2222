--- torch.autograd: gradients as functions, and functions with a gradient written in Lua.

local core = require "moontorch.core"

local autograd = { backward = core.backward, grad = core.grad }

-- Parts that are loaded when they are first used.
local PARTS = { functional = "moontorch.autograd_functional", gradcheck = "moontorch.autograd_gradcheck" }
setmetatable(autograd, {
  __index = function(self, key)
    local part = PARTS[key] and require(PARTS[key])
    if key == "gradgradcheck" then part = self.gradcheck.gradgradcheck end
    self[key] = part
    return part
  end,
})

--- A Tensor is its own Variable: Variable(x) gives x back.
function autograd.Variable(x, options)
  if not core.is_tensor(x) then
    core.raise("Variable", "a Tensor needs no Variable around it, and this is no Tensor but a %s", type(x))
  end
  if options and options.requires_grad ~= nil then x:requires_grad_(options.requires_grad) end
  return x
end

-- Function ------------------------------------------------------------------------------------------------------------

local Context = {}
Context.__index = Context

--- Keeps tensors for backward; ctx:saved_tensors() gives them back there.
function Context:save_for_backward(...)
  self._saved = table.pack(...)
  self._versions = {}
  for i = 1, self._saved.n do
    local t = self._saved[i]
    if core.is_tensor(t) then self._versions[i] = t._version end
  end
end

function Context:saved_tensors()
  local saved = self._saved
  if saved == nil then
    if self._dropped then
      core.raise(self._name, "Trying to backward through the graph a second time (or directly access saved tensors "
        .. "after they have already been freed). Specify retain_graph = true if you need to backward through the graph "
        .. "a second time")
    end
    return
  end
  for i = 1, saved.n do
    local t = saved[i]
    if core.is_tensor(t) and self._versions[i] ~= t._version then
      core.raise(self._name, "one of the variables needed for gradient computation has been modified by an inplace "
        .. "operation: saved tensor %d is at version %d; expected version %d instead", i, t._version, self._versions[i])
    end
  end
  return table.unpack(saved, 1, saved.n)
end

--- Results that have no gradient.
function Context:mark_non_differentiable(...)
  self._constant = self._constant or {}
  for _, t in ipairs { ... } do self._constant[#self._constant + 1] = t end
end

--- Inputs that forward changes in place.
function Context:mark_dirty(...)
  self._dirty = { ... }
end

--- false: a missing gradient arrives in backward as nil instead of zeros.
function Context:set_materialize_grads(on)
  self._materialize = on
end

local function is_constant(ctx, t)
  for _, c in ipairs(ctx._constant or {}) do
    if c == t then return true end
  end
  return false
end

local function apply(definition, ...)
  local args = table.pack(...)
  local ctx = setmetatable({ needs_input_grad = {}, _materialize = true, _name = definition.name }, Context)
  local tensors = {}
  for i = 1, args.n do
    local is = core.is_tensor(args[i])
    tensors[i] = is and args[i] or core.none
    ctx.needs_input_grad[i] = is and args[i].requires_grad
  end
  local wants = core.wants_grad(tensors)
  local results = core.no_grad(function() return table.pack(definition.forward(ctx, table.unpack(args, 1, args.n))) end)
  if not wants then return table.unpack(results, 1, results.n) end
  local outputs, shapes = {}, {}
  for i = 1, results.n do
    local t = results[i]
    if core.is_tensor(t) and not is_constant(ctx, t) then
      for j = 1, args.n do -- a result that is an input needs an identity of its own
        if core.is_tensor(args[j]) and t == args[j] and not ctx._dirty then
          local same = t
          t = core.no_grad(function() return same:view_as(same) end)
        end
      end
      results[i] = t
      outputs[i] = t
      shapes[i] = { t.shape, t.dtype, t.device }
    else
      outputs[i] = core.none
    end
  end
  -- The node keeps this function: what it holds must not hold the results, which hold the node.
  local count = results.n
  core.function_node(definition.name .. "Backward", tensors, outputs, function(...)
    local grads = table.pack(...)
    for i = 1, count do
      if grads[i] == nil and ctx._materialize and shapes[i] then
        grads[i] = core.zeros(shapes[i][1], { dtype = shapes[i][2], device = shapes[i][3] })
      end
    end
    return definition.backward(ctx, table.unpack(grads, 1, count))
  end)
  return table.unpack(results, 1, results.n)
end

--- Function{forward = f(ctx, ...), backward = f(ctx, grads...)} -> an object whose apply(...) runs forward and takes
-- backward for its gradient: one result per argument of forward, nil where there is none.
function autograd.Function(definition)
  if type(definition) ~= "table" or type(definition.forward) ~= "function" then
    core.raise("Function", "takes a table with forward = function(ctx, ...) and backward = function(ctx, ...)")
  end
  if type(definition.backward) ~= "function" then
    core.raise("Function", "backward is missing: give backward = function(ctx, grads...) that returns one gradient "
      .. "per input")
  end
  definition.name = definition.name or "Function"
  definition.apply = function(...) return apply(definition, ...) end
  return setmetatable(definition, { __call = function(_, ...) return apply(definition, ...) end })
end

--- For backward: its result cannot be differentiated again; a second derivative is an error instead of a wrong number.
local function once_differentiable(backward)
  return function(ctx, ...)
    local given = table.pack(...)
    local wants = core.is_grad_enabled() and core.wants_grad({ table.unpack(given, 1, given.n) })
    local grads = core.no_grad(function() return table.pack(backward(ctx, table.unpack(given, 1, given.n))) end)
    if not wants then return table.unpack(grads, 1, grads.n) end
    local outputs, inputs = {}, {}
    for i = 1, given.n do inputs[i] = core.is_tensor(given[i]) and given[i] or core.none end
    for i = 1, grads.n do
      if core.is_tensor(grads[i]) then grads[i] = grads[i]:detach() end
      outputs[i] = core.is_tensor(grads[i]) and grads[i] or core.none
    end
    core.function_node("DelayedError", inputs, outputs, function()
      error("trying to differentiate twice a function that was marked with @once_differentiable", 0)
    end)
    return table.unpack(grads, 1, grads.n)
  end
end

--- What PyTorch keeps in torch.autograd.function, graph and variable.
autograd["function"] = { FunctionCtx = Context, once_differentiable = once_differentiable,
  Function = autograd.Function }
autograd.once_differentiable = once_differentiable
autograd.variable = { Variable = autograd.Variable }

return autograd
