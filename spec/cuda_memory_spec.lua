--- What torch.cuda tells of memory, and how it is shared out. Sizes are those of PyTorch's allocator: requests in units
-- of 512 bytes, segments of 2 MiB up to 1 MiB, of 20 MiB below 10 MiB, else in units of 2 MiB.
local torch = require "moontorch"
local binding = require "moontorch.cuda.binding"
local golden = dofile "spec/golden/cuda.lua"
local gpu = require "spec.support.gpu"
local cuda = torch.cuda
local refuses = gpu.refuses

local MIB = 1 << 20

describe("memory_summary", function()
  local original = binding.call
  after_each(function() binding.call = original end)

  for name, case in pairs(golden) do
    it("is PyTorch's text, " .. name, function()
      binding.call = function(_, what, index) return what == "memory_stats" and index == 3 and case.stats end
      assert.equal(case.full, cuda.memory_summary(3))
      assert.equal(case.abbreviated, cuda.memory_summary("cuda:3", true))
      assert.equal(case.abbreviated, cuda.memory.memory_summary { device = 3, abbreviated = true })
    end)
  end
end)

if not cuda.is_available() then
  describe("without a GPU", function()
    it("nothing is held", function()
      assert.same({}, cuda.memory_stats())
      assert.same({ 0, 0, 0, 0 }, { cuda.memory_allocated(), cuda.max_memory_allocated(), cuda.memory_reserved(),
        cuda.max_memory_reserved() })
      cuda.empty_cache()
      assert.is_false(cuda.is_initialized())
    end)
  end)
  return
end

local function bytes(n) return torch.empty(n, { dtype = torch.uint8, device = "cuda" }) end

-- Nothing of an earlier test is held or kept.
local function fresh()
  collectgarbage()
  collectgarbage()
  cuda.synchronize()
  cuda.empty_cache()
  cuda.reset_peak_memory_stats()
  cuda.reset_accumulated_memory_stats()
end

describe("CUDA memory", function()
  before_each(fresh)

  it("is counted as PyTorch counts it", function()
    local allocated, reserved = cuda.memory_allocated(), cuda.memory_reserved()
    local x = bytes(1)
    assert.equal(allocated + 512, cuda.memory_allocated())
    assert.equal(reserved + 2 * MIB, cuda.memory_reserved())
    local y = bytes(513)
    assert.equal(allocated + 512 + 1024, cuda.memory_allocated())
    assert.equal(reserved + 2 * MIB, cuda.memory_reserved())
    local stats = cuda.memory_stats()
    assert.equal(2, stats["allocation.small_pool.allocated"])
    assert.equal(514, stats["requested_bytes.all.allocated"])
    assert.equal(1, stats["segment.small_pool.allocated"])
    assert.equal(2 * MIB, stats["reserved_bytes.all.allocated"])
    assert.equal(1, stats["inactive_split.all.current"])
    assert.equal(2 * MIB - 1536, stats["inactive_split_bytes.small_pool.current"])
    x:free()
    stats = cuda.memory_stats()
    assert.equal(2, stats["inactive_split.all.current"])
    assert.equal(1, stats["allocation.all.freed"])
    assert.equal(512, stats["allocated_bytes.all.freed"])
    y:free()
    stats = cuda.memory_stats()
    assert.equal(0, stats["inactive_split.all.current"])
    assert.equal(0, stats["active_bytes.all.current"] - allocated)
    assert.equal(allocated + 1536, cuda.max_memory_allocated())
    assert.equal(reserved + 2 * MIB, cuda.memory_reserved())
    cuda.empty_cache()
    assert.equal(reserved, cuda.memory_reserved())
    assert.equal(reserved + 2 * MIB, cuda.max_memory_reserved())
    cuda.reset_peak_memory_stats("cuda:0")
    assert.equal(cuda.memory_allocated(), cuda.max_memory_allocated())
    assert.equal(cuda.memory_reserved(), cuda.max_memory_reserved())
    assert.equal(cuda.memory_allocated(), cuda.memory.memory_allocated(0))
  end)

  it("comes in segments of PyTorch's sizes", function()
    for _, row in ipairs {
      { MIB, 2 * MIB }, { MIB + 1, 20 * MIB }, { 10 * MIB - 512, 20 * MIB }, { 10 * MIB, 10 * MIB },
      { 10 * MIB + 1, 12 * MIB }, { 31 * MIB, 32 * MIB },
    } do
      fresh()
      local reserved = cuda.memory_reserved()
      local x = bytes(row[1])
      assert.equal(reserved + row[2], cuda.memory_reserved(), ("%d bytes"):format(row[1]))
      x:free()
    end
  end)

  it("is cut where the rest serves others, and joined again", function()
    local allocated, reserved = cuda.memory_allocated(), cuda.memory_reserved()
    local parts = {}
    for i = 1, 4 do parts[i] = bytes(4 * MIB) end
    assert.equal(reserved + 20 * MIB, cuda.memory_reserved())
    assert.equal(allocated + 16 * MIB, cuda.memory_allocated())
    parts[2]:free()
    parts[3]:free()
    local joined = bytes(8 * MIB) -- where the two were
    assert.equal(reserved + 20 * MIB, cuda.memory_reserved())
    local whole = bytes(3 * MIB + 512) -- of 4 MiB at the end: less than 1 MiB would be left, which is not cut off
    assert.equal(allocated + 20 * MIB, cuda.memory_allocated())
    assert.equal(20 * MIB - 1 * MIB + 512, cuda.memory_stats()["requested_bytes.all.current"] - allocated)
    for _, x in ipairs { parts[1], parts[4], joined, whole } do x:free() end
    assert.equal(0, cuda.memory_stats()["inactive_split.large_pool.current"])
    cuda.empty_cache()
    assert.equal(reserved, cuda.memory_reserved())
  end)

  it("that is empty costs nothing", function()
    local allocated = cuda.memory_allocated()
    local x = torch.empty(0, 3, { device = "cuda" })
    assert.equal(allocated, cuda.memory_allocated())
    assert.same({ 0, 3 }, { table.unpack((x + 1).shape) })
    x:record_stream(cuda.Stream())
    x:free()
  end)

  it("can be limited to a share", function()
    assert.equal(1.0, cuda.get_per_process_memory_fraction())
    local _, total = cuda.mem_get_info()
    cuda.set_per_process_memory_fraction(64 * MIB / total)
    assert.equal(64 * MIB / total, cuda.get_per_process_memory_fraction(0))
    local why = refuses(function() bytes(100 * MIB) end,
      "CUDA out of memory. Tried to allocate 100.00 MiB. GPU 0 has a total capacity of ")
    assert.is_truthy(why:find("64.00 MiB allowed; Of the allocated memory", 1, true), why)
    assert.is_truthy(why:find("is reserved by moontorch but unallocated", 1, true), why)
    assert.is_true(cuda.OutOfMemoryError(why))
    assert.is_false(cuda.OutOfMemoryError("another error"))
    assert.is_true(cuda.memory_stats().num_ooms > 0)
    cuda.set_per_process_memory_fraction(0, "cuda")
    refuses(function() bytes(3 * MIB) end, "0 bytes allowed;")
    cuda.set_per_process_memory_fraction { fraction = 1.0, device = 0 }
    assert.equal(100 * MIB, bytes(100 * MIB):numel())
    refuses(function() cuda.set_per_process_memory_fraction(1.5) end, "Invalid fraction value: 1.5. Allowed range: 0~1")
    refuses(function() cuda.set_per_process_memory_fraction("all") end,
      "Invalid type for fraction argument, must be `float`")
  end)

  it("that is garbage is collected before it piles up", function()
    for _, mode in ipairs { "incremental", "generational" } do
      collectgarbage(mode)
      fresh()
      local held = cuda.memory_allocated()
      for _ = 1, 60 do bytes(8 * MIB) end
      local piled = cuda.max_memory_allocated() - held
      assert.is_true(piled <= 96 * MIB, ("%s: %d MiB"):format(mode, piled // MIB))
    end
    collectgarbage("incremental")
  end)

  it("that runs out is asked of Lua's collector and of what is kept", function()
    local _, total = cuda.mem_get_info()
    cuda.set_per_process_memory_fraction(64 * MIB / total)
    bytes(MIB // 2):free() -- a small segment is kept
    local host = torch.empty(40 * MIB, { dtype = torch.uint8 })
    for _, make in ipairs {
      function() return bytes(40 * MIB) end,
      function() return host:cuda() end,
      function() return bytes(20 * MIB + 1):clone() end,
      function() return bytes(24 * MIB)[{ { 2, -1 } }]:clone() end,
    } do
      for _ = 1, 4 do make() end -- garbage, all of it
    end
    assert.is_true(cuda.memory_stats().num_alloc_retries > 0)
    local held = {}
    local ok, why = pcall(function()
      for i = 1, 9 do held[i] = bytes(10 * MIB) end
    end)
    assert.is_false(ok)
    assert.is_true(cuda.OutOfMemoryError(why), why)
    assert.is_true(#held >= 5 and #held <= 6) -- a register of this function may still hold garbage
    held = nil
    assert.is_nil(held)
    assert.equal(30 * MIB, bytes(30 * MIB):numel())
    cuda.set_per_process_memory_fraction(1.0)
  end)

  it("that runs out in a backward leaves everything as it was", function()
    local x = torch.ones(300, 1000, { device = "cuda" }):requires_grad_()
    local y = (x * 2):exp():sum()
    local _, total = cuda.mem_get_info()
    cuda.empty_cache()
    cuda.set_per_process_memory_fraction(cuda.memory_reserved() / total)
    local filler = {}
    while pcall(function() filler[#filler + 1] = bytes(MIB + 512) end) do end
    local ok, why = pcall(function() y:backward() end)
    cuda.set_per_process_memory_fraction(1.0)
    assert.is_false(ok)
    assert.is_true(cuda.OutOfMemoryError(why), why)
    assert.is_nil(x.grad)
    filler = nil
    assert.is_nil(filler);
    (x * 3):sum():backward()
    assert.equal(3, x.grad[{ 1, 1 }]:item())
  end)

  it("that runs out at any point of a training step loses nothing", function()
    local w = torch.randn(40, 3000):cuda():requires_grad_()
    local b = torch.randn(3000):cuda():requires_grad_()
    local v = torch.randn(40, 3000):cuda():requires_grad_()
    local x = torch.randn(40, 3000):cuda()
    local function forward() return (torch.relu(x * w + b) * v):sum() end
    forward():backward()
    local wanted = {}
    for k, p in ipairs { w, b, v } do
      wanted[k] = p.grad:cpu()
      p.grad = nil
    end
    fresh()
    local held, failed, done = cuda.memory_allocated(), 0, false
    local _, total = cuda.mem_get_info()
    cuda.set_per_process_memory_fraction((cuda.memory_reserved() + 8 * MIB) / total)
    while not done do -- with room for one more tensor each time
      local filler = {}
      while pcall(function() filler[#filler + 1] = torch.empty(40, 3000, { device = "cuda" }) end) do end
      for _ = 1, failed do table.remove(filler):free() end
      local ok, why = pcall(function() forward():backward() end)
      for _, t in ipairs(filler) do t:free() end
      if ok then
        done = true
      else
        failed = failed + 1
        assert.is_true(cuda.OutOfMemoryError(why), why)
        assert.is_truthy(why:find("cuda_memory_spec.lua:%d+: "), why)
        for _, p in ipairs { w, b, v } do assert.is_nil(p.grad) end
        collectgarbage()
        collectgarbage()
        assert.equal(held, cuda.memory_allocated())
      end
    end
    cuda.set_per_process_memory_fraction(1.0)
    assert.is_true(failed >= 5, failed)
    for k, p in ipairs { w, b, v } do assert.is_true(torch.allclose(p.grad:cpu(), wanted[k], 1e-4, 1e-5)) end
  end)
end)
