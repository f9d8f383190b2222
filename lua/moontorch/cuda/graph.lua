--- CUDA graphs: the work of a script, captured once and sent to the device again as a whole.
--
-- A replay runs the same kernels on the same memory: inputs are written into the tensors that the capture read, results
-- lie in the tensors that it made. https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs

local core = require "moontorch.core"
local arguments = require "moontorch.arguments"
local binding = require "moontorch.cuda.binding"
local streams = require "moontorch.cuda.stream"
local memory = require "moontorch.cuda.memory"

local graphs = {}
local call = binding.call

local MODES = { global = 0, thread_local = 1, relaxed = 2 }

local CUDAGraph = binding.class("CUDAGraph")

local function mode_of(name, mode)
  if mode == nil then mode = "global" end
  local number = MODES[mode]
  if not number then
    core.raise(name, 'Unknown capture error mode. Expected `global`, `thread_local`, or `relaxed`, got %s',
      tostring(mode))
  end
  return number
end

-- The number in what CUDAGraph:pool() or graph_pool_handle() gave; 0 for none.
local function pool_of(name, pool)
  if pool == nil then return 0 end
  local number = type(pool) == "table" and (binding.is(pool, CUDAGraph) and pool:pool()[2] or pool[2])
  if math.type(number) ~= "integer" then
    core.raise(name, "argument 'pool' must be what graph:pool() or torch.cuda.graph_pool_handle() gave, not %s",
      arguments.type_name(pool))
  end
  return number
end

--- CUDAGraph(): a graph to be captured, by torch.cuda.graph or by its own methods.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.CUDAGraph.html
function CUDAGraph:init(keep_graph)
  if type(keep_graph) == "table" then keep_graph = keep_graph.keep_graph end
  if keep_graph then
    core.raise("CUDAGraph", "keep_graph = true is not supported: the graph is made ready when the capture ends")
  end
  self.graph = call("CUDAGraph", "graph_new")
end

local begin_arguments = arguments.signature("capture_begin", {
  { "pool", "any?" }, { "capture_error_mode", "string", "global" },
})

--- From now on what the current stream is sent is noted instead of run. The stream must not be the default one. Memory
-- comes from `pool` (of another graph, whose replays then must not overlap with this one's) or a pool of its own.
function CUDAGraph:capture_begin(...)
  local pool, mode = begin_arguments(...)
  call("capture_begin", "graph_begin", self.graph, pool_of("capture_begin", pool), mode_of("capture_begin", mode))
end

--- Ends the capture: the graph can be replayed. After a failure in between it raises, and the device works on.
function CUDAGraph:capture_end()
  if call("capture_end", "graph_end", self.graph) then
    core.warn("The CUDA Graph is empty. This usually means that the graph was attempted to be captured on wrong "
      .. "device or stream.")
  end
end

--- Sends the captured work to the current stream of its device. Does not wait. Random numbers are those that the
-- generators it drew from would give now, and these move on.
function CUDAGraph:replay() call("replay", "graph_replay", self.graph) end

--- Forgets the captured work; its memory is free when no tensor holds it. Another capture may follow.
function CUDAGraph:reset() call("reset", "graph_reset", self.graph) end

--- A name for the graph's memory, for other captures.
function CUDAGraph:pool() return { 0, call("pool", "graph_pool", self.graph) } end

-- Leaves a capture that an error ended.
function CUDAGraph:_abort() call("capture_end", "graph_abort", self.graph) end

graphs.CUDAGraph = CUDAGraph

--- A name for a pool that several graphs share from the first.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.graph_pool_handle.html
function graphs.graph_pool_handle() return { 0, call("graph_pool_handle", "pool_new") } end

--- Is what this thread sends to its stream being captured?
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.is_current_stream_capturing.html
function graphs.is_current_stream_capturing()
  return binding.is_loaded() and call("is_current_stream_capturing", "capturing")
end

local options = arguments.signature("graph", {
  { "cuda_graph", "any" }, { "pool", "any?" }, { "stream", "any?" }, { "capture_error_mode", "string", "global" },
})

local capture_stream = {} -- by device: what captures go to unless told otherwise

--- graph(g, f) or graph(g, {pool =, stream =, capture_error_mode =}, f): captures what f sends to the device, on a
-- stream beside the current one; or what follows, until the to-be-closed variable goes. Nothing of it runs before
-- g:replay(). What must wait for the device, such as item(), cannot be captured; an error in f ends the capture and is
-- raised.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.graph.html
function graphs.graph(...)
  local given = table.pack(...)
  local f = given[given.n]
  if given.n > 1 and type(f) == "function" then
    given.n = given.n - 1
  else
    f = nil
  end
  local g, pool, stream, mode = options(table.unpack(given, 1, given.n))
  if not binding.is(g, CUDAGraph) then
    core.raise("graph", "argument 'cuda_graph' (position 1) must be a torch.cuda.CUDAGraph, not %s",
      arguments.type_name(g))
  end
  pool, mode = pool_of("graph", pool), mode_of("graph", mode)
  if stream == nil then
    local index = call("graph", "current_device")
    capture_stream[index] = capture_stream[index] or streams.Stream(index)
    stream = capture_stream[index]
  end
  local device, number
  local function back()
    call("graph", "stream_set", stream.device_index, number)
    call("graph", "set_device", device)
  end
  return binding.block("graph", f, function()
    call("graph", "synchronize")
    collectgarbage()
    memory.empty_cache()
    device, number = call("graph", "current_device"), call("graph", "stream_current", stream.device_index)
    streams.set_stream(stream)
    local good, problem = pcall(call, "graph", "graph_begin", g.graph, pool, mode)
    if not good then
      back()
      error(problem, 0)
    end
  end, function(well)
    if not well then
      g:_abort()
      return back()
    end
    local good, problem = pcall(g.capture_end, g)
    back()
    if not good then error(problem, 0) end
  end)
end

return graphs
