--- CUDA graphs: captured once, replayed on what their inputs hold then; and what cannot be captured.
local torch = require "moontorch"
local warnings_of = require "spec.support.warnings"
local gpu = require "spec.support.gpu"
local cuda = torch.cuda
local refuses = gpu.refuses

if gpu.missing(describe, it, "CUDA graphs") then return end

local function zeros(n) return torch.zeros(n, { device = "cuda" }) end

-- The device, its default stream and captures work.
local function works()
  assert.is_false(cuda.is_current_stream_capturing())
  assert.is_true(cuda.current_stream() == cuda.default_stream())
  assert.equal(3, (zeros(2) + 3)[1]:item())
  local g, x, y = cuda.CUDAGraph(), zeros(2), nil
  cuda.graph(g, function() y = x + 1 end)
  g:replay()
  assert.equal(1, y[2]:item())
end

describe("CUDA graphs", function()
  after_each(function() cuda.synchronize() end)

  it("run what was captured on what the inputs hold", function()
    local x, w, g, y = zeros(4), torch.arange(4, { device = "cuda" }), cuda.CUDAGraph(), nil
    cuda.graph(g, function()
      assert.is_true(cuda.is_current_stream_capturing())
      local a = (x + 1) * 2
      y = a * w
      x:add_(1)
    end)
    assert.is_false(cuda.is_current_stream_capturing())
    assert.same({ 0, 0, 0, 0 }, x:cpu():tolist()) -- nothing has run
    g:replay()
    assert.same({ 0, 2, 4, 6 }, y:cpu():tolist())
    g:replay()
    assert.same({ 0, 4, 8, 12 }, y:cpu():tolist())
    x:fill_(9)
    g:replay()
    assert.same({ 0, 20, 40, 60 }, y:cpu():tolist())
    assert.same({ 10, 10, 10, 10 }, x:cpu():tolist())
  end)

  it("are captured in a scope, too, on a stream that is given", function()
    local y
    local s, g, x = cuda.Stream(), cuda.CUDAGraph(), zeros(3)
    do
      local _ <close> = cuda.graph(g, { stream = s, capture_error_mode = "thread_local" })
      assert.is_true(cuda.current_stream() == s)
      y = x - 5
    end
    assert.is_true(cuda.current_stream() == cuda.default_stream())
    cuda.stream(s, function() g:replay() end)
    s:synchronize()
    assert.same({ -5, -5, -5 }, y:cpu():tolist())
  end)

  it("keep their memory to themselves", function()
    local y
    local g, x, s = cuda.CUDAGraph(), zeros(2000), cuda.Stream()
    cuda.graph(g, { stream = s }, function()
      local a = x + 1
      local b = a + 1
      a:free() -- the memory serves the next one of the graph, and nobody else
      y = b + 1
    end)
    local others = {}
    cuda.stream(s, function()
      for i = 1, 20 do others[i] = torch.full({ 2000 }, 77, { device = "cuda" }) end
    end)
    cuda.current_stream():wait_stream(s)
    g:replay()
    assert.equal(3, y:max():item())
    for i = 1, 20 do assert.equal(77, others[i]:min():item()) end
    local held = cuda.memory_allocated()
    y:free()
    assert.is_true(cuda.memory_allocated() < held)
    local reserved = cuda.memory_reserved()
    cuda.empty_cache()
    collectgarbage()
    g:replay() -- its memory is still there
    cuda.synchronize()
    g:reset()
    cuda.empty_cache()
    assert.is_true(cuda.memory_reserved() <= reserved - (2 << 20))
  end)

  it("share a pool where they are told to", function()
    local pool = cuda.graph_pool_handle()
    local a, b, x, y, z = cuda.CUDAGraph(), cuda.CUDAGraph(), zeros(100), nil, nil
    cuda.graph(a, { pool = pool }, function() y = x + 1 end)
    cuda.graph(b, { pool = a:pool() }, function() z = y * 10 end)
    assert.same(pool, a:pool())
    assert.same(pool, b:pool())
    a:replay()
    b:replay()
    assert.equal(10, z[1]:item())
    assert.is_false(cuda.CUDAGraph():pool()[2] == pool[2])
  end)

  it("hold work of several streams that join", function()
    local s, g, x, y, z = cuda.Stream(), cuda.CUDAGraph(), zeros(50), nil, nil
    cuda.graph(g, function()
      local a = x + 1
      s:wait_stream(cuda.current_stream())
      y = cuda.stream(s, function() return a * 3 end)
      local b = a * 5
      cuda.current_stream():wait_stream(s)
      z = y + b
    end)
    for round = 0, 2 do
      x:fill_(round)
      g:replay()
      assert.equal(8 * (round + 1), z[7]:item())
    end
    refuses(function()
      cuda.graph(cuda.CUDAGraph(), function()
        s:wait_stream(cuda.current_stream())
        cuda.stream(s, function() return x * 3 end)
      end)
    end, "CUDA error: capturing stream has unjoined work")
    works()
  end)

  it("copy from pinned memory what it holds then", function()
    local p, g, y = torch.zeros(10):pin_memory(), cuda.CUDAGraph(), zeros(10)
    cuda.graph(g, function() y:copy_(p, true) end)
    p:fill_(4)
    g:replay()
    assert.equal(4, y[10]:item())
  end)

  it("refuse calls that wait, and leave the device alive", function()
    local x = zeros(4)
    for what, wait in pairs {
      item = function() return x[1]:item() end,
      copy = function() return x:cpu() end,
      print = function() return tostring(x) end,
      up = function() return torch.ones(3):cuda() end,
      synchronize = function() cuda.synchronize() end,
      stream = function() cuda.current_stream():synchronize() end,
      event = function() cuda.current_stream():record_event():synchronize() end,
    } do
      refuses(function() cuda.graph(cuda.CUDAGraph(), wait) end,
        "CUDA error: operation not permitted when stream is capturing")
      works()
      -- an error that the script catches spoils the capture all the same
      refuses(function()
        cuda.graph(cuda.CUDAGraph(), function()
          assert.is_false(pcall(wait), what)
          x:add_(1)
        end)
      end, "CUDA error: operation failed due to a previous error during capture")
      works()
    end
    assert.same({ 0, 0, 0, 0 }, x:cpu():tolist())
  end)

  it("end with an error of the script", function()
    local g = cuda.CUDAGraph()
    refuses(function()
      cuda.graph(g, function()
        local _ = zeros(3) + 1
        error("spec/cuda_graph_spec.lua:1: on purpose", 0)
      end)
    end, "on purpose")
    works()
    local y
    cuda.graph(g, function() y = zeros(3) + 2 end) -- it can be captured again
    g:replay()
    assert.equal(2, y[3]:item())
  end)

  it("that a capture is left by the collector", function()
    local s = cuda.Stream()
    cuda.stream(s, function()
      local g = cuda.CUDAGraph()
      g:capture_begin()
      local _ = zeros(10) * 2
      g = nil
      assert.is_nil(g)
      collectgarbage()
      collectgarbage()
    end)
    works()
  end)

  it("say what is wrong", function()
    local g = cuda.CUDAGraph()
    refuses(function() g:replay() end, "Called CUDAGraph::replay without a preceding successful capture.")
    refuses(function() g:capture_begin() end, "CUDA graphs must be captured on a non-default stream.")
    refuses(function() g:capture_end() end, "capture_end")
    refuses(function() cuda.graph(3, print) end, "argument 'cuda_graph' (position 1) must be a torch.cuda.CUDAGraph")
    refuses(function() cuda.graph(g, { pool = "x" }, print) end, "argument 'pool'")
    refuses(function() cuda.graph(g, { capture_error_mode = "x" }, print) end, "Unknown capture error mode")
    refuses(function() cuda.CUDAGraph { keep_graph = true } end, "keep_graph")
    local s, t = cuda.Stream(), cuda.Stream()
    cuda.stream(s, function()
      g:capture_begin { capture_error_mode = "relaxed" }
      refuses(function() cuda.CUDAGraph():capture_begin() end, "this thread captures a graph already")
      cuda.stream(t, function()
        refuses(function() g:capture_end() end, "Capture must end on the same stream it began on.")
      end)
    end)
    works()
    local y
    cuda.graph(g, function() y = zeros(2) + 1 end)
    refuses(function() cuda.graph(g, function() end) end, "This CUDAGraph instance already owns a captured graph.")
    g:replay()
    assert.equal(1, y[1]:item())
    local said = warnings_of(function() cuda.graph(cuda.CUDAGraph(), function() end) end)
    assert.is_truthy(said[1]:find("The CUDA Graph is empty.", 1, true))
    works()
  end)

  it("stand for functions with their gradients", function()
    local function leaf(list)
      return torch.tensor(list, { device = "cuda", requires_grad = true, dtype = torch.float32 })
    end
    local function f(x, w) return x * w + 1, x * 2 end
    local g = cuda.make_graphed_callables(f, { leaf { 0, 0, 0 }, leaf { 0, 0, 0 } })
    for round = 1, 2 do
      local x, w = leaf { 1, 2, 3 * round }, leaf { 4, 5, 6 }
      local a, b = g(x, w)
      assert.same({ 5, 11, 18 * round + 1 }, a:cpu():tolist())
      assert.same({ 2, 4, 6 * round }, b:cpu():tolist())
      local one = torch.ones(3, { device = "cuda" })
      torch.autograd.backward({ a, b }, { one, one * 10 })
      assert.same({ 24, 25, 26 }, x.grad:cpu():tolist())
      assert.same({ 1, 2, 3 * round }, w.grad:cpu():tolist())
    end
    refuses(function() g(leaf { 1, 2, 3 }) end, "captured with 2 arguments, got 1")
    refuses(function() cuda.make_graphed_callables(f, { 3 }) end,
      "sample_args for each callable must contain only Tensors")
    refuses(function() cuda.make_graphed_callables({ f, f }, { {} }) end, "2 callables were given")
    refuses(function()
      cuda.make_graphed_callables(function(x) return x:sum():item() end, { zeros(2) }, { num_warmup_iters = 0 })
    end, "CUDA error: operation not permitted when stream is capturing")
    works()
  end)

  it("stand for modules in the mode of their capture", function()
    local nn = torch.nn
    local Scale = nn.class("Scale")
    function Scale:init(by) self.w = nn.Parameter(torch.tensor { by, by + 1 }) end
    function Scale:forward(x) return x * self.w * (self.training and 1 or 100) end
    local a, b = Scale(2.0):cuda(), Scale(5.0):cuda()
    local sample = torch.zeros(2, { device = "cuda", requires_grad = true })
    local made = cuda.make_graphed_callables({ a, b }, { { zeros(2) }, { sample } })
    assert.equal(a, made[1])
    local x = torch.ones(2, { device = "cuda" })
    local y = made[2](made[1](x))
    assert.same({ 10, 18 }, y:cpu():tolist())
    y:backward(x)
    assert.same({ 5, 6 }, a.w.grad:cpu():tolist())
    assert.same({ 2, 3 }, b.w.grad:cpu():tolist())
    torch.no_grad(function() a.w:fill_(1) end) -- the graph reads the parameter where it lies
    assert.same({ 1, 1 }, a(x):cpu():tolist())
    a:eval()
    assert.same({ 100, 100 }, a(x):cpu():tolist())
  end)
end)
