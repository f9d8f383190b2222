--- make_graphed_callables: functions and modules whose forward and backward are one graph each.
--
-- What a graph reads and writes stays where it was captured: arguments are copied into the tensors of the capture,
-- results are views of what it wrote. Invariant: the graphs of all callables of one call share a pool, so they are to
-- run in the order in which they were captured.

local core = require "moontorch.core"
local autograd = require "moontorch.autograd"
local arguments = require "moontorch.arguments"
local binding = require "moontorch.cuda.binding"
local streams = require "moontorch.cuda.stream"
local graphs = require "moontorch.cuda.graph"

local graphed = {}
local NAME = "make_graphed_callables"

local signature = arguments.signature(NAME, {
  { "callables", "any" }, { "sample_args", "list" }, { "num_warmup_iters", "integer", 3 },
  { "allow_unused_input", "boolean", false }, { "pool", "any?" },
})

local function is_module(f) return type(f) == "table" and type(f.parameters) == "function" end

local function check_sample(args)
  for i, t in ipairs(args) do
    if not core.is_tensor(t) then
      core.raise(NAME, "In the beta API, sample_args for each callable must contain only Tensors. Other types are not "
        .. "allowed: argument %d is %s", i, arguments.type_name(t))
    end
  end
end

-- Tensors among `list` that want a gradient, and where they stand.
local function wanting(list)
  local found, at = {}, {}
  for i = 1, #list do
    if list[i].requires_grad then
      found[#found + 1] = list[i]
      at[#at + 1] = i
    end
  end
  return found, at
end

local function gradients(outputs, inputs, grads, allow_unused)
  if #outputs == 0 or #inputs == 0 then return {} end
  return table.pack(autograd.grad(outputs, inputs, { grad_outputs = grads, allow_unused = allow_unused }))
end

local function like(list)
  local made = {}
  for i, t in ipairs(list) do made[i] = core.empty_like(t) end
  return made
end

-- A few rounds beside the capture, so that what is made at first use is there.
local function warm_up(f, args, inputs, rounds, allow_unused)
  local side = streams.Stream()
  side:wait_stream(streams.current_stream())
  streams.stream(side, function()
    for _ = 1, rounds do
      local outputs = wanting { f(table.unpack(args)) }
      local grads = {}
      for i, t in ipairs(outputs) do grads[i] = core.ones_like(t) end
      gradients(outputs, inputs, grads, allow_unused)
    end
  end)
  streams.current_stream():wait_stream(side)
  binding.call(NAME, "synchronize")
end

-- The callable as a Function of its arguments and parameters.
local function capture(f, sample, parameters, options)
  local surface = table.move(parameters, 1, #parameters, #sample + 1, table.move(sample, 1, #sample, 1, {}))
  local inputs, input_at = wanting(surface)
  warm_up(f, sample, inputs, options.rounds, options.allow_unused)
  local forward, backward, outputs = graphs.CUDAGraph(), graphs.CUDAGraph(), nil
  graphs.graph(forward, { pool = options.pool }, function() outputs = { f(table.unpack(sample)) } end)
  local wanted, output_at = wanting(outputs)
  local given, made = like(wanted), {}
  if #wanted > 0 and #inputs > 0 then
    graphs.graph(backward, { pool = options.pool }, function()
      made = gradients(wanted, inputs, given, options.allow_unused)
    end)
  end
  return autograd.Function {
    forward = function(_, ...)
      local args = { ... }
      for i, static in ipairs(sample) do
        if args[i] ~= static then static:detach():copy_(args[i]:detach()) end
      end
      forward:replay()
      local results = {}
      for i, t in ipairs(outputs) do results[i] = t:detach() end
      return table.unpack(results)
    end,
    backward = function(_, ...)
      local grads = { ... }
      for i, static in ipairs(given) do static:copy_(grads[output_at[i]]) end
      backward:replay()
      local results = {}
      for i, at in ipairs(input_at) do results[at] = made[i] and made[i]:detach() end
      return table.unpack(results, 1, #surface)
    end,
  }
end

local function wrap(f, sample, options)
  local parameters = {}
  if is_module(f) then
    for i, p in ipairs(f:parameters()) do parameters[i] = p end
    if wanting(f:buffers())[1] then
      core.raise(NAME, "In a graphed module, only parameters may require grad. All buffers must have "
        .. "requires_grad=False.")
    end
  end
  local made = capture(f, sample, parameters, options)
  local function call(...)
    local given = table.pack(...)
    if given.n ~= #sample then
      core.raise(NAME, "the callable was captured with %d arguments, got %d", #sample, given.n)
    end
    table.move(parameters, 1, #parameters, given.n + 1, given)
    return made.apply(table.unpack(given, 1, given.n + #parameters))
  end
  if not is_module(f) then return call end
  local original, training = f.forward, f.training
  f.forward = function(self, ...)
    if self.training ~= training then return original(self, ...) end
    return call(...)
  end
  return f
end

--- make_graphed_callables(f, sample_args) or ({f, g}, {sample_args, ...}): the same functions or modules, whose forward
-- and backward run as CUDA graphs: they launch as one. Arguments are of the sample's shapes, dtypes and wish for
-- gradients, on the device; a module uses its graph while its training mode is that of the capture. Options:
-- num_warmup_iters = 3, allow_unused_input = false, pool. Results are overwritten by the next call.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.make_graphed_callables.html
function graphed.make_graphed_callables(...)
  local callables, samples, rounds, allow_unused, pool = signature(...)
  local single = type(callables) == "function" or is_module(callables) or getmetatable(callables) ~= nil
  if single then callables, samples = { callables }, { samples } end
  if #callables ~= #samples then
    core.raise(NAME, "%d callables were given, and sample_args for %d", #callables, #samples)
  end
  for _, sample in ipairs(samples) do check_sample(sample) end
  local options = { rounds = rounds, allow_unused = allow_unused, pool = pool or graphs.graph_pool_handle() }
  local made = {}
  for i, f in ipairs(callables) do made[i] = wrap(f, samples[i], options) end
  if single then return made[1] end
  return made
end

return graphed
