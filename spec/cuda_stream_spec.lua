--- Streams, events, pinned memory and asynchronous copies on a GPU. Where nothing orders two streams the stand-in runs
-- them in the order that shows it, so a missing event is a wrong result here.
local torch = require "moontorch"
local gpu = require "spec.support.gpu"
local cuda = torch.cuda
local refuses = gpu.refuses

if gpu.missing(describe, it, "CUDA streams") then return end

-- A copy that several kernels make, so that it takes a while.
local function slow_copy(x)
  for _ = 1, 3 do x = x + 1 end
  return x - 3
end

describe("CUDA streams", function()
  after_each(function() cuda.synchronize() end)

  it("are values of a device and a number", function()
    local s, t = cuda.Stream(), cuda.Stream { device = "cuda:0", priority = -1 }
    assert.is_true(s == cuda.stream(s, function() return cuda.current_stream() end))
    assert.is_false(s == t)
    assert.is_false(s == cuda.default_stream())
    assert.is_true(cuda.current_stream() == cuda.default_stream(0))
    assert.equal("<torch.cuda.Stream device=cuda:0 cuda_stream=0x0>", tostring(cuda.default_stream()))
    assert.equal(("<torch.cuda.Stream device=cuda:0 cuda_stream=0x%x>"):format(s.cuda_stream), tostring(s))
    assert.equal(0, cuda.default_stream().cuda_stream)
    assert.equal(torch.device("cuda:0"), s.device)
    assert.same({ 0, -1 }, { s.priority, t.priority })
    local least, greatest = cuda.Stream.priority_range()
    assert.equal(0, least)
    assert.is_true(greatest < 0)
    assert.equal(greatest, cuda.Stream { priority = -99 }.priority)
    assert.equal(0, cuda.Stream { priority = 5 }.priority)
  end)

  it("are current inside a block, however it ends", function()
    local s, home = cuda.Stream(), cuda.current_stream()
    assert.same({ 1, nil, 3 }, { cuda.stream(s, function() return 1, nil, 3 end) })
    refuses(function() cuda.stream(s, function() error("spec/cuda_stream_spec.lua:1: on purpose", 0) end) end,
      "on purpose")
    assert.is_true(cuda.current_stream() == home)
    do
      local _ <close> = cuda.stream(s)
      assert.is_true(cuda.current_stream() == s)
      local _ <close> = cuda.StreamContext(nil)
      assert.is_true(cuda.current_stream() == s)
    end
    assert.is_true(cuda.current_stream() == home)
    cuda.set_stream(s)
    assert.is_true(cuda.current_stream() == s)
    cuda.set_stream(home)
    cuda.set_stream(nil)
    assert.is_true(cuda.current_stream() == home)
    local inner = coroutine.wrap(function() cuda.stream(s, function() coroutine.yield() end) end)
    inner()
    inner()
    assert.is_true(cuda.current_stream() == home)
  end)

  it("go on after others where they are told to", function()
    local s = cuda.Stream()
    local x = slow_copy(torch.arange(6, { device = "cuda", dtype = torch.float32 }))
    s:wait_stream(cuda.current_stream())
    local y = cuda.stream(s, function() return slow_copy(x * 2) end)
    cuda.current_stream():wait_stream(s)
    assert.same({ 0, 2, 4, 6, 8, 10 }, y:cpu():tolist())
    local e = cuda.stream(s, function() y:mul_(10) return s:record_event() end)
    e:wait()
    assert.same({ 0, 20, 40, 60, 80, 100 }, y:cpu():tolist())
  end)

  it("tell whether they are done, and wait", function()
    local s = cuda.Stream()
    assert.is_true(s:query())
    local x = cuda.stream(s, function() return torch.ones(1000, { device = "cuda" }) + 1 end)
    for _ = 1, 1000 do
      if s:query() then break end
    end
    assert.is_true(s:query())
    cuda.stream(s, function() x:add_(1) end)
    s:synchronize()
    assert.is_true(s:query())
    assert.equal(3, x[1]:item())
  end)

  it("refuse what is none", function()
    refuses(function() cuda.stream(3, print) end, "argument 'stream' must be a torch.cuda.Stream, not integer")
    refuses(function() cuda.stream(cuda.Stream(), 3) end, "takes a function")
    refuses(function() cuda.Stream():wait_event(1) end, "argument 'event' must be a torch.cuda.Event")
    refuses(function() cuda.Stream { device = "cpu" } end, "Expected a cuda device, but got: cpu")
    refuses(function() cuda.Stream { device = 77 } end, "CUDA error: invalid device ordinal")
    refuses(function() cuda.Stream { prio = 1 } end, "unexpected keyword argument 'prio'")
    refuses(function() cuda.current_stream("cuda:77") end, "CUDA error: invalid device ordinal")
    refuses(function() cuda.set_stream(0) end, "argument 'stream' must be a torch.cuda.Stream")
    refuses(function() torch.ones(2):record_stream(cuda.Stream()) end, "the tensor is on the cpu")
    refuses(function() torch.ones(2, { device = "cuda" }):record_stream(1) end, "must be a torch.cuda.Stream")
  end)

  it("there are as many as a script asks for", function()
    local seen, handles = {}, 0
    for _ = 1, 100 do
      local s = cuda.Stream()
      handles = handles + (seen[s.cuda_stream] and 0 or 1)
      seen[s.cuda_stream] = true
    end
    assert.equal(32, handles) -- PyTorch's pool: then they come round again
  end)
end)

describe("CUDA events", function()
  it("measure time between two marks", function()
    local first, second = cuda.Event { enable_timing = true }, cuda.Event { enable_timing = true, blocking = true }
    assert.equal("<torch.cuda.Event uninitialized>", tostring(first))
    assert.is_true(first:query())
    first:synchronize()
    first:wait()
    assert.is_nil(first.device)
    assert.equal(0, first.cuda_event)
    first:record()
    local x = torch.ones(1000, { device = "cuda" }) * 3
    second:record(cuda.current_stream())
    assert.equal(("<torch.cuda.Event 0x%x>"):format(first.cuda_event), tostring(first))
    assert.equal(torch.device("cuda:0"), first.device)
    second:synchronize()
    assert.is_true(second:query())
    local passed = first:elapsed_time(second)
    assert.is_true(passed >= 0 and passed < 60000)
    assert.equal(3, x[1]:item())
  end)

  it("say what is missing for a measurement", function()
    local timed, other = cuda.Event { enable_timing = true }, cuda.Event()
    refuses(function() timed:elapsed_time(other) end, "Both events must be recorded before calculating elapsed time.")
    timed:record()
    other:record()
    refuses(function() timed:elapsed_time(other) end, "Both events must be created with argument 'enable_timing=True'.")
    refuses(function() timed:elapsed_time(3) end, "argument 'event' must be a torch.cuda.Event")
    refuses(function() cuda.Event { interprocess = true } end, "interprocess")
    refuses(function() timed:record(5) end, "argument 'stream' must be a torch.cuda.Stream")
  end)

  it("recorded again mark the later place", function()
    local s, e = cuda.Stream(), cuda.Event()
    local x = torch.zeros(4, { device = "cuda" })
    s:wait_stream(cuda.current_stream())
    cuda.stream(s, function()
      x:add_(1)
      e:record()
      x:add_(1)
      e:record()
    end)
    e:wait()
    assert.same({ 2, 2, 2, 2 }, x:cpu():tolist())
  end)
end)

describe("memory that several streams use", function()
  local function active() return cuda.memory_stats()["active_bytes.all.current"] end

  it("waits for the stream of record_stream", function()
    local s = cuda.Stream()
    local base_active, base = active(), cuda.memory_allocated()
    local x = torch.full({ 300000 }, 4, { device = "cuda", dtype = torch.float32 })
    s:wait_stream(cuda.current_stream())
    local y = cuda.stream(s, function() return slow_copy(x) end)
    x:record_stream(s)
    x:record_stream(s)
    x:record_stream(cuda.current_stream()) -- its own: nothing to wait for
    x:free()
    assert.is_true(active() - base_active > cuda.memory_allocated() - base)
    local z = torch.full({ 300000 }, 9, { device = "cuda", dtype = torch.float32 }) -- of the size that x had
    assert.equal(9, z[-1]:item()) -- waits for its own stream
    cuda.current_stream():wait_stream(s)
    assert.equal(4, y:min():item())
    assert.equal(4, y:max():item())
    s:synchronize()
    local _ = torch.ones(1, { device = "cuda" })
    assert.equal(active() - base_active, cuda.memory_allocated() - base)
  end)

  it("belongs to the stream where it was made", function()
    local s, home = cuda.Stream(), cuda.current_stream()
    local function make() return torch.empty(3 << 20, { device = "cuda", dtype = torch.uint8 }) end
    for _, order in ipairs { { home, s }, { s, home } } do
      collectgarbage()
      collectgarbage()
      cuda.synchronize()
      cuda.empty_cache()
      cuda.stream(order[1], function() make():free() end)
      local reserved = cuda.memory_reserved()
      cuda.stream(order[1], function() make():free() end)
      assert.equal(reserved, cuda.memory_reserved())
      cuda.stream(order[2], function() make():free() end)
      assert.equal(reserved + (20 << 20), cuda.memory_reserved())
    end
  end)
end)

describe("pinned memory", function()
  it("is a copy of its own", function()
    local x = torch.arange(6):view(2, 3)
    local p = x:pin_memory()
    assert.is_true(p:is_pinned())
    assert.is_false(x:is_pinned())
    assert.is_true(p[2]:is_pinned())
    assert.is_true(p:equal(x))
    assert.equal(p, p:pin_memory())
    assert.is_false((p + 1):is_pinned())
    assert.equal(torch.device("cpu"), p.device)
    assert.same({ 3, 2 }, { table.unpack(x:t():pin_memory().shape) })
    assert.is_true(x:t():pin_memory():equal(x:t()))
    assert.is_true(torch.zeros(0):pin_memory():is_pinned())
    refuses(function() x:cuda():pin_memory() end,
      "cannot pin 'torch.cuda.LongTensor' only dense CPU tensors can be pinned")
    assert.is_false(x:cuda():is_pinned())
    p:add_(1)
    assert.equal(6, p[{ 2, 3 }]:item())
  end)

  it("carries gradients", function()
    local x = torch.ones(3):requires_grad_()
    local pinned = (x * 2):pin_memory()
    pinned:sum():backward()
    assert.same({ 2, 2, 2 }, x.grad:tolist())
  end)

  it("is copied from while the script goes on, and kept for as long", function()
    local results = {}
    for round = 1, 4 do
      local p = torch.full({ 5000 }, round):pin_memory()
      results[round] = p:cuda { non_blocking = true }
      p:free()
      local other = torch.full({ 5000 }, 77):pin_memory() -- must not lie where a copy still reads
      assert.equal(77, other[1]:item())
    end
    for round = 1, 4 do
      assert.equal(round, results[round]:min():item())
      assert.equal(round, results[round]:max():item())
    end
  end)

  it("is copied to without waiting", function()
    local x = torch.arange(1000, { device = "cuda" })
    local host = (x * 2):to("cpu", { non_blocking = true })
    local narrow = x:to("cpu", torch.float32, true)
    assert.is_true(host:is_pinned())
    assert.equal(torch.float32, narrow.dtype)
    cuda.current_stream():synchronize()
    assert.equal(999 * 2, host[-1]:item())
    assert.equal(999.0, narrow[-1]:item())
    local target = torch.zeros(1000, { dtype = torch.int64 }):pin_memory()
    target:copy_(x, true)
    cuda.synchronize()
    assert.equal(999, target[-1]:item())
    target:copy_(x + 1, { non_blocking = false })
    assert.equal(1000, target[-1]:item())
    local strided = torch.zeros(2, 500, { dtype = torch.int64 }):pin_memory():t()
    strided:copy_(x:view(500, 2), { non_blocking = true }) -- packed on the host: waits
    assert.equal(999, strided[{ -1, -1 }]:item())
    local back = torch.zeros(1000, { device = "cuda", dtype = torch.int64 })
    back:copy_(target, { non_blocking = true })
    assert.is_true(back:cpu():equal(target))
    local paged = torch.arange(1000):cuda { non_blocking = true }
    assert.is_true(paged:cpu():equal(torch.arange(1000)))
  end)

  it("is what a loader gives that is asked for it", function()
    local data = torch.utils.data
    local set = data.TensorDataset(torch.arange(10), torch.arange(10) * 2)
    for _, workers in ipairs { 0, 2 } do
      local seen = 0
      for x, y in data.DataLoader(set, { batch_size = 4, pin_memory = true, num_workers = workers }):iter() do
        assert.is_true(x:is_pinned() and y:is_pinned())
        assert.is_true((x * 2):equal(y))
        seen = seen + #x
      end
      assert.equal(10, seen)
    end
    local packed = torch.nn.utils.rnn.pack_sequence { torch.ones(3), torch.ones(2) }
    assert.is_false(packed:is_pinned())
    assert.is_true(packed:pin_memory():is_pinned())
    local pin = require("moontorch.utils.pin").pin
    local batch = pin { x = torch.ones(2), deep = { torch.ones(1), "text" }, packed = packed, n = 3 }
    assert.is_true(batch.x:is_pinned() and batch.deep[1]:is_pinned() and batch.packed:is_pinned())
    assert.same({ "text", 3 }, { batch.deep[2], batch.n })
  end)
end)
