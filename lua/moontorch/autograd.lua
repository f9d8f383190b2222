--- torch.autograd: gradients as functions, blocks that watch the graph, and functions with a gradient written in Lua.

local core = require "moontorch.core"

local autograd = { backward = core.backward }

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

-- One pass for each gradient along dim 1 of grad_outputs; results are stacked.
local function batched_grad(outputs, inputs, grad_outputs, options)
  local single = core.is_tensor(outputs)
  if grad_outputs == nil or grad_outputs == core.none then
    core.raise("grad", "is_grads_batched needs grad_outputs: one gradient of each output after the other along dim 1")
  end
  local batches = single and core.is_tensor(grad_outputs) and { grad_outputs } or grad_outputs
  local count = #batches[1]
  local o = {}
  for key, value in pairs(options) do o[key] = value end
  o.is_grads_batched = nil
  local keep = options.retain_graph
  if keep == nil then keep = options.create_graph end
  local columns, width = {}, core.is_tensor(inputs) and 1 or #inputs
  for k = 1, width do columns[k] = {} end
  for b = 1, count do
    local part = {}
    for i, g in ipairs(batches) do part[i] = core.is_tensor(g) and g[b] or g end
    o.grad_outputs, o.retain_graph = part, b < count or keep or false
    local found = table.pack(core.grad(single and { outputs } or outputs, inputs, o))
    for k = 1, width do columns[k][b] = found[k] end
  end
  for k = 1, width do columns[k] = columns[k][1] and core.stack(columns[k], 1) end
  return table.unpack(columns, 1, width)
end

--- grad(outputs, inputs, grad_outputs, retain_graph, create_graph, only_inputs, allow_unused, is_grads_batched,
-- materialize_grads): the sum of gradients of outputs with respect to each of inputs, one result per input; .grad stays
-- as it is.
function autograd.grad(...)
  local n = select("#", ...)
  local last = select(n > 0 and n or 1, ...)
  local named = type(last) == "table" and getmetatable(last) == nil and last.is_grads_batched
  if named then
    local options = last
    local positional = { ... }
    if n > 1 and positional[n] == last then positional[n] = nil end
    local outputs, inputs = positional[1] or options.outputs, positional[2] or options.inputs
    local rest = {}
    for key, value in pairs(options) do rest[key] = value end
    rest.outputs, rest.inputs, rest.grad_outputs = nil, nil, nil
    return batched_grad(outputs, inputs, positional[3] or options.grad_outputs, rest)
  end
  local outputs, inputs, grad_outputs, retain, create, _, unused, batched, materialize = ...
  if batched == true then
    return batched_grad(outputs, inputs, grad_outputs, { retain_graph = retain, create_graph = create,
      allow_unused = unused, materialize_grads = materialize })
  end
  return core.grad(...)
end

--- A Tensor is its own Variable: Variable(x) gives x back.
function autograd.Variable(x, options)
  if not core.is_tensor(x) then
    core.raise("Variable", "a Tensor needs no Variable around it, and this is no Tensor but a %s", type(x))
  end
  if options and options.requires_grad ~= nil then x:requires_grad_(options.requires_grad) end
  return x
end

-- Blocks --------------------------------------------------------------------------------------------------------------

local function callable(f)
  local meta = type(f) ~= "function" and getmetatable(f)
  return type(f) == "function" or (type(meta) == "table" and meta.__call ~= nil)
end

local function flag(name, parameter, position, value, default)
  if value == nil then return default end
  if type(value) ~= "boolean" then
    core.raise(name, "argument '%s' (position %d) must be true or false, not %s", parameter, position, type(value))
  end
  return value
end

local function check_body(name, f)
  if f ~= nil and not callable(f) then
    core.raise(name, "takes a function, or nothing: local _ <close> = torch.autograd.%s(); got %s", name, type(f))
  end
end

local function anomaly_block(name, mode, check_nan, f)
  check_body(name, f)
  if f then return core._with_anomaly(mode, check_nan, f) end
  local old_mode, old_check
  local block = setmetatable({}, { __close = function() core._anomaly_mode(old_mode, old_check) end })
  old_mode, old_check = core._anomaly_mode(mode, check_nan)
  return block
end

--- Anomaly mode for f, or for the rest of the scope: a backward that makes NaN, finds a saved tensor overwritten or its
-- graph freed says which operator it was and at which line of the script it was called. Slow: for finding errors.
-- detect_anomaly(check_nan = true, f); check_nan = false leaves NaN alone.
function autograd.detect_anomaly(check_nan, f)
  if callable(check_nan) then check_nan, f = nil, check_nan end
  if type(check_nan) == "table" then check_nan = check_nan.check_nan end
  check_nan = flag("detect_anomaly", "check_nan", 1, check_nan, true)
  require("moontorch.arguments").warn_once("detect_anomaly", "Anomaly Detection has been enabled. This mode will "
    .. "increase the runtime and should only be enabled for debugging.")
  return anomaly_block("detect_anomaly", true, check_nan, f)
end

--- Switches anomaly mode on or off, for good or for f or the rest of the scope: set_detect_anomaly(mode, check_nan, f).
function autograd.set_detect_anomaly(mode, check_nan, f)
  if callable(check_nan) then check_nan, f = nil, check_nan end
  if type(check_nan) == "table" then check_nan = check_nan.check_nan end
  if mode == nil then core.raise("set_detect_anomaly", "argument 'mode' must be true or false, not nil") end
  mode = flag("set_detect_anomaly", "mode", 1, mode)
  check_nan = flag("set_detect_anomaly", "check_nan", 2, check_nan, true)
  return anomaly_block("set_detect_anomaly", mode, check_nan, f)
end

--- saved_tensors_hooks(pack, unpack, f): while f runs (or for the rest of the scope), what an operator saves for its
-- gradient is given to pack, whose result is kept in its place; backward gets what unpack makes of that. pack must not
-- write to its tensor; unpack must return a Tensor.
local function saved_tensors_hooks(pack, unpack, f)
  local name = "saved_tensors_hooks"
  for i, hook in ipairs { { "pack_hook", pack }, { "unpack_hook", unpack } } do
    if not callable(hook[2]) then
      core.raise(name, "argument '%s' (position %d) must be a function, not %s", hook[1], i, type(hook[2]))
    end
  end
  check_body("graph." .. name, f)
  if f then return core._with_saved_hooks(pack, unpack, f) end
  local old_pack, old_unpack
  local block = setmetatable({}, { __close = function() core._saved_hooks(old_pack, old_unpack) end })
  old_pack, old_unpack = core._saved_hooks(pack, unpack)
  return block
end

-- The class of graph nodes, x.grad_fn.
local Node = setmetatable({}, { __tostring = function() return "<class 'torch.autograd.graph.Node'>" end })

--- The name of what the node does backward, such as "AddBackward0".
function Node.name(node) return node:name() end
--- An array of {node, slot}: whose gradient each input is, and which of its results; node is nil where none is wanted.
function Node.next_functions(node) return node.next_functions end
--- Is v a node?
function Node.is(v)
  local meta = type(v) == "userdata" and getmetatable(v)
  return type(meta) == "table" and meta.__name == "moontorch.Node"
end

autograd.graph = { Node = Node, saved_tensors_hooks = saved_tensors_hooks }

-- Function ------------------------------------------------------------------------------------------------------------

local Context = {}
Context.__index = Context

local function word(v) return core.is_tensor(v) and "Tensor" or math.type(v) or type(v) end

--- Keeps tensors for backward; ctx:saved_tensors() gives them back there. nil is allowed.
function Context:save_for_backward(...)
  local list = table.pack(...)
  for i = 1, list.n do
    local t = list[i]
    if t ~= nil and t ~= core.none and not core.is_tensor(t) then
      core.raise("save_for_backward", "save_for_backward can only save variables, but argument %d is of type %s", i,
        word(t))
    end
  end
  self._to_save = list
end

--- What save_for_backward kept, as several results.
function Context:saved_tensors()
  local saved, node = self._saved, self._node
  if saved == nil then
    if self._ran then
      core.raise(self._name, "Trying to backward through the graph a second time (or directly access saved tensors "
        .. "after they have already been freed). Saved intermediate values of the graph are freed when you call "
        .. "backward() or autograd.grad(). Specify retain_graph = true if you need to backward through the graph a "
        .. "second time")
    end
    local list = self._to_save
    if list then return table.unpack(list, 1, list.n) end
    return
  end
  local list = {}
  for i = 1, saved.n do
    local t = saved[i]
    if saved.unpack[i] then
      t = saved.unpack[i](t)
      if not core.is_tensor(t) then
        core.raise("saved_tensors_hooks", "Output of saved tensor unpack_hook expected to be a Tensor but got result "
          .. "of type %s", word(t))
      end
    elseif core.is_tensor(t) and saved.version[i] ~= t._version then
      core.raise(self._name, "one of the variables needed for gradient computation has been modified by an inplace "
        .. "operation: saved tensor %d is at version %d; expected version %d instead", i, t._version, saved.version[i])
    end
    if saved.result[i] and node then t = core._result_of(node, saved.result[i], t) end
    list[i] = t
  end
  return table.unpack(list, 1, saved.n)
end

--- Results that have no gradient.
function Context:mark_non_differentiable(...)
  self._constant = table.pack(...)
  for i = 1, self._constant.n do
    if not core.is_tensor(self._constant[i]) then
      core.raise("mark_non_differentiable", "mark_non_differentiable only accepts variable arguments, but got %s",
        word(self._constant[i]))
    end
  end
end

--- Inputs that forward changes in place; it must return them.
function Context:mark_dirty(...)
  self._dirty = table.pack(...)
  for i = 1, self._dirty.n do
    if not core.is_tensor(self._dirty[i]) then
      core.raise("mark_dirty", "mark_dirty can only accept variables, but argument %d is of type %s", i,
        word(self._dirty[i]))
    end
  end
end

--- false: a missing gradient arrives in backward as nil instead of zeros.
function Context:set_materialize_grads(on)
  self._materialize = on
end

local function holds(list, t, n)
  for i = 1, list and (n or list.n) or 0 do
    if core.is_tensor(list[i]) and list[i] == t then return i end
  end
end

-- What the node keeps of ctx._to_save: inputs as they are; results without their history, which is the node itself.
local function make_saved(ctx, results)
  local list = ctx._to_save
  ctx._to_save = nil
  if not list then return { n = 0, version = {}, result = {}, unpack = {} } end
  local pack, unpack = core._current_hooks()
  local saved = { n = list.n, version = {}, result = {}, unpack = {} }
  for i = 1, list.n do
    local t = list[i]
    if core.is_tensor(t) then
      saved.result[i] = holds(results, t)
      if saved.result[i] then t = t:detach() end
      saved.version[i] = t._version
      if pack then
        local kept = t
        t = core.no_grad(function() return pack(kept) end)
        if kept._version ~= saved.version[i] then
          core.raise("saved_tensors_hooks", "A saved tensor pack hook is modifying its input in place. Tensors "
            .. "provided as input to pack hook cannot be modified by in-place operations as this can lead to "
            .. "unexpected side-effects. Clone it first")
        end
        saved.unpack[i] = unpack
      end
      saved[i] = t
    end
  end
  return saved
end

local function check_dirty(ctx, results, wants)
  for i = 1, ctx._dirty and ctx._dirty.n or 0 do
    local t = ctx._dirty[i]
    if not holds(results, t) then
      core.raise(ctx._name, "Some elements marked as dirty during the forward method were not returned as output. The "
        .. "inputs that are modified inplace must all be outputs of the Function.")
    end
    if wants and t.is_leaf and t.requires_grad then
      core.raise(ctx._name, "a leaf Variable that requires grad has been used in an in-place operation. Clone it "
        .. "before it is passed in")
    end
  end
end

-- The results that get a history, in the order of forward's results; none where there shall be none. Results that are
-- inputs, or views, get an identity of their own.
local function results_with_history(ctx, args, results)
  local outputs, views = {}, {}
  for i = 1, results.n do
    local t = results[i]
    outputs[i] = core.none
    if core.is_tensor(t) and t.dtype.is_floating_point and not holds(ctx._constant, t) then
      local dirty = holds(ctx._dirty, t)
      if dirty and t:_is_view() then
        views[#views + 1] = { view = t, fresh = t:detach():clone() }
        outputs[i] = views[#views].fresh
      else
        if not dirty and holds(args, t) then t = core.no_grad(function() return t:view_as(t) end) end
        results[i], outputs[i] = t, t
      end
    end
  end
  return outputs, views
end

local function run_forward(definition, ctx, args)
  if not definition.setup_context then
    return table.pack(definition.forward(ctx, table.unpack(args, 1, args.n)))
  end
  local results = table.pack(definition.forward(table.unpack(args, 1, args.n)))
  local inputs = {}
  for i = 1, args.n do inputs[i] = args[i] end
  definition.setup_context(ctx, inputs, results.n == 1 and results[1] or results)
  return results
end

local function apply(definition, ...)
  local args = table.pack(...)
  local name = (definition.name or "Function") .. "Backward"
  local ctx = setmetatable({ needs_input_grad = {}, _materialize = true, _name = name }, Context)
  local tensors = {}
  for i = 1, args.n do
    local is = core.is_tensor(args[i])
    tensors[i] = is and args[i] or core.none
    ctx.needs_input_grad[i] = is and args[i].requires_grad
  end
  local wants = core.wants_grad(tensors)
  local results = core.no_grad(function() return run_forward(definition, ctx, args) end)
  check_dirty(ctx, results, wants)
  if not wants then
    for i = 1, results.n do
      local t = results[i]
      if core.is_tensor(t) and holds(args, t) and not holds(ctx._dirty, t) then results[i] = t:view_as(t) end
    end
    return table.unpack(results, 1, results.n)
  end
  local shapes = {}
  for i = 1, results.n do
    local t = results[i]
    if core.is_tensor(t) then shapes[i] = { t.shape, t.dtype, t.device } end
  end
  local outputs, views = results_with_history(ctx, args, results)
  local saved = make_saved(ctx, results)
  -- The node keeps this function: what it holds must not hold the results, which hold the node.
  local count, backward = results.n, definition.backward
  core.function_node(name, tensors, outputs, function(kept, node, ...)
    local grads = table.pack(...)
    for i = 1, count do
      if grads[i] == nil and ctx._materialize and shapes[i] then
        grads[i] = core.zeros(shapes[i][1], { dtype = shapes[i][2], device = shapes[i][3] })
      end
    end
    ctx._saved, ctx._node, ctx._ran = kept, node, true
    local found = table.pack(pcall(backward, ctx, table.unpack(grads, 1, count)))
    ctx._saved, ctx._node = nil, nil
    if not found[1] then error(found[2], 0) end
    return table.unpack(found, 2, found.n)
  end, saved)
  -- A view that was written: its base learns of it as of any other copy into a part of it.
  for _, v in ipairs(views) do v.view:copy_(v.fresh) end
  for i = 1, saved.n do
    if core.is_tensor(saved[i]) and not saved.unpack[i] then saved.version[i] = saved[i]._version end
  end
  return table.unpack(results, 1, results.n)
end

local Function = {}

--- What a Function must have: forward(ctx, ...), or forward(...) beside setup_context(ctx, inputs, output).
function Function.forward()
  core.raise("forward", "You must implement the forward function for custom autograd.Function.")
end

--- What a Function must have: backward(ctx, grads...) -> one gradient for each argument of forward.
function Function.backward()
  core.raise("backward", "You must implement either the backward or vjp method for your custom autograd.Function to "
    .. "use it with backward mode AD.")
end

--- May take the place of ctx in forward: called after it with the array of its arguments and with what it returned (an
-- array when there are several).
function Function.setup_context()
  core.raise("setup_context", "setup_context is not implemented.")
end

--- Function{forward = f(ctx, ...), backward = f(ctx, grads...)} -> an object whose apply(...) runs forward and takes
-- backward for its gradient: one result per argument of forward, nil where there is none.
local function new_function(_, definition)
  if type(definition) ~= "table" or type(definition.forward) ~= "function" then
    core.raise("Function", "takes a table with forward = function(ctx, ...) and backward = function(ctx, ...): You "
      .. "must implement the forward function for custom autograd.Function.")
  end
  definition.backward = definition.backward or definition.vjp
  if type(definition.backward) ~= "function" then
    core.raise("Function", "backward is missing: give backward = function(ctx, grads...) that returns one gradient "
      .. "per input. You must implement either the backward or vjp method for your custom autograd.Function to use it "
      .. "with backward mode AD.")
  end
  definition.name = definition.name or "Function"
  definition.apply = function(...) return apply(definition, ...) end
  return setmetatable(definition, { __call = function(_, ...) return apply(definition, ...) end })
end
autograd.Function = setmetatable(Function, { __call = new_function })

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
autograd["function"] = { FunctionCtx = Context, once_differentiable = once_differentiable, Function = Function }
autograd.once_differentiable = once_differentiable
autograd.variable = { Variable = autograd.Variable }

return autograd
