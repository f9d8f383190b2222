--- What fails on a GPU: the n-th call of the runtime, for every n, in small programs that use all of torch.cuda; a
-- driver or a device that is missing; a device that is lost; a process that ends with work under way. Only the stand-in
-- can be made to fail.
local torch = require "moontorch"
local standin = require "spec.support.standin"
local cuda = torch.cuda

if not standin then
  describe("failing calls of CUDA", function()
    it("are skipped: only the stand-in for a GPU can be made to fail", function() end)
  end)
  return
end

local function zeros(n) return torch.zeros(n, { device = "cuda" }) end

-- Each returns what it computes, which must not depend on failures. Results are read at the end only.
local programs = {
  copies = function()
    local x = torch.arange(6, { dtype = torch.float32 }):view(2, 3)
    local y = (x:cuda() * 2):t():contiguous()
    y[1] = 5
    local z = torch.zeros(3, 2):copy_(y)
    return z:sum():item() + y:double():cpu():sum():item()
  end,
  training = function()
    local w = torch.tensor({ 1.0, 2.0 }, { device = "cuda", requires_grad = true })
    local loss = (w * w):mul(3)
    loss:backward(torch.ones(2, { device = "cuda" }))
    return w.grad:cpu():tolist()[2]
  end,
  streams = function()
    local s, x = cuda.Stream(), zeros(4)
    s:wait_stream(cuda.current_stream())
    local y = cuda.stream(s, function() return x + 2 end)
    x:record_stream(s)
    x:free()
    cuda.current_stream():wait_stream(s)
    local e = cuda.Event { enable_timing = true }
    e:record()
    local z = y * 3
    y:record_stream(s)
    e:synchronize()
    local _ = e:query() and s:query()
    s:synchronize()
    cuda.synchronize()
    return z:cpu():tolist()[4]
  end,
  pinned = function()
    local p = torch.full({ 10 }, 3):pin_memory()
    local x = p:cuda { non_blocking = true }
    p:free()
    local q = torch.full({ 10 }, 4):pin_memory()
    x:add_(q:cuda { non_blocking = true })
    local back = x:to("cpu", { non_blocking = true })
    cuda.current_stream():synchronize()
    return back:tolist()[10]
  end,
  graphs = function()
    local g, x, y = cuda.CUDAGraph(), zeros(3), nil
    cuda.graph(g, function() y = (x + 1) * 2 end)
    x:fill_(4)
    g:replay()
    local result = y:cpu():tolist()[3]
    g:reset()
    return result
  end,
  random_graphs = function()
    local g, x = cuda.CUDAGraph(), nil
    cuda.graph(g, function() x = torch.rand(5, { device = "cuda" }) end)
    cuda.manual_seed(3)
    g:replay()
    g:replay()
    local result = x:cpu():tolist()[4]
    g:reset()
    return result
  end,
  memory = function()
    local x = torch.empty(3 << 20, { device = "cuda", dtype = torch.uint8 })
    local y = x:clone()
    cuda.empty_cache()
    y:free()
    x:free()
    cuda.empty_cache()
    local free, total = cuda.mem_get_info()
    return free <= total and cuda.get_device_name() .. tostring(cuda.get_device_capability())
  end,
  devices = function()
    if cuda.device_count() < 2 then return 0 end
    local x = torch.full({ 5 }, 2, { device = "cuda:1" })
    local y = cuda.device(1, function() return x + torch.ones(5):cuda() end):to("cuda:0")
    x:copy_(y)
    return (y * 2):cpu():tolist()[5] + x:cpu():tolist()[1]
  end,
}

-- Nothing but what the library keeps for reuse.
local function settle()
  collectgarbage()
  collectgarbage()
  cuda.set_device(0)
  for k = 0, cuda.device_count() - 1 do cuda.synchronize(k) end
  cuda.empty_cache()
  local held = 0
  for k = 0, cuda.device_count() - 1 do held = held + cuda.memory_allocated(k) end
  local count = standin.count()
  return { held = held, native = torch.memory().in_use, bytes = count.bytes, pinned = count.pinned,
    graphs = count.graphs, jobs = count.jobs }
end

local function attempt(name, program, expected, k, for_good)
  standin.fail_at(k, for_good)
  local good, result = pcall(program)
  standin.fail_at(0)
  local what = ("%s, call %d failing%s: "):format(name, k, for_good and " for good" or "")
  if good then
    if result ~= expected then error(what .. tostring(result) .. " instead of " .. tostring(expected), 0) end
    return false
  end
  if type(result) ~= "string" or not result:find "CUDA" or not result:find "cuda_failures_spec.lua:%d+: " then
    error(what .. tostring(result), 0)
  end
  assert.is_false(cuda.is_current_stream_capturing())
  if cuda.current_stream() ~= cuda.default_stream() then error(what .. "the stream is not put back", 0) end
  if cuda.current_device() ~= 0 then error(what .. "the device is not put back", 0) end
  return true
end

local function check_left(name, k, before)
  for what, number in pairs(settle()) do
    if number > before[what] then
      error(("%s, call %d failing leaves %d %s"):format(name, k, number - before[what], what), 0)
    end
  end
end

describe("failing calls of CUDA", function()
  for name, program in pairs(programs) do
    it("leave nothing behind: " .. name, function()
      local expected = program()
      assert.equal(expected, program())
      settle()
      local first = standin.calls()
      assert.equal(expected, program())
      local calls, refused = standin.calls() - first, 0
      local before = settle()
      for _, for_good in ipairs { false, true } do
        for k = 1, calls do
          if attempt(name, program, expected, k, for_good) then refused = refused + 1 end
          check_left(name, k, before)
        end
        assert.equal(expected, program())
      end
      assert.is_true(refused >= calls / 2, ("%d of %d"):format(refused, 2 * calls))
    end)
  end
end)

-- In processes of their own -------------------------------------------------------------------------------------------

local ask = [[
print(torch.cuda.is_available(), torch.cuda.device_count(), torch.cuda.memory_allocated())
for _, f in ipairs {function() return torch.ones(2):cuda() end, function() return torch.zeros(2, {device = 'cuda'}) end,
  torch.cuda.current_device, torch.cuda.init, function() return torch.ones(2):pin_memory() end} do
  local ok, why = pcall(f)
  print(ok, why)
end
print((torch.ones(2) + 1):tolist()[2])
]]

local function says(settings, script, ...)
  local text, status = standin.run(settings, script)
  for _, part in ipairs { ... } do assert.is_truthy(text:find(part, 1, true), text) end
  assert.equal(0, status, text)
  return text
end

describe("a machine", function()
  local function counts(text, part)
    local _, n = text:gsub(part:gsub("%p", "%%%0"), "")
    return n
  end

  it("without a driver", function()
    local text = says({ STANDIN_DRIVER = 0 }, ask, "false\t0\t0\n", "\n2.0\n")
    assert.equal(5, counts(text, "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU"))
  end)

  it("with a driver that is too old", function()
    local text = says({ STANDIN_DRIVER = 11000 }, ask, "false\t0\t0\n", "\n2.0\n")
    assert.equal(5, counts(text, "The NVIDIA driver on your system is too old"))
  end)

  it("without a device", function()
    local text = says({ STANDIN_DEVICES = 0 }, ask, "false\t0\t0\n", "\n2.0\n")
    assert.equal(5, counts(text, "No CUDA GPUs are available"))
  end)

  it("whose n-th call fails while it is looked for", function()
    for n = 1, 8 do
      local text = says({ STANDIN_FAIL = n }, ask, "\n2.0\n")
      assert.is_truthy(text:find("false", 1, true) or n > 2)
    end
  end)

  it("whose device is lost at the n-th call", function()
    local work = [[
      local function work()
        local s = torch.cuda.Stream()
        local x = torch.ones(3, {device = 'cuda'})
        x:record_stream(s)
        local g, y = torch.cuda.CUDAGraph(), nil
        torch.cuda.graph(g, function() y = x + 1 end)
        g:replay()
        local p = torch.ones(5):pin_memory()
        local z = p:cuda{non_blocking = true}
        return (y * 2):cpu():tolist()[1] + z:cpu():tolist()[1]
      end
      local good, result = pcall(work)
      print(good and result == 5 or (not good and result:find 'CUDA' ~= nil), pcall(work))
      print((torch.ones(2) + 1):tolist()[2])
    ]]
    for n = 3, 60, 6 do
      says({ STANDIN_FAIL = n, STANDIN_FAIL_FOR_GOOD = 1, STANDIN_LAZY = 1 }, work, "true\t", "\n2.0\n")
    end
  end)

  it("that goes while work is under way", function()
    local work = [[
      local s = torch.cuda.Stream()
      local x = torch.ones(300, {device = 'cuda'})
      local y = torch.cuda.stream(s, function() return x + 1 end)
      x:record_stream(s)
      y:record_stream(torch.cuda.default_stream())
      local p = torch.ones(300):pin_memory()
      local z = p:cuda{non_blocking = true}
      p = nil
      local e = torch.cuda.Event()
      e:record()
      local g = torch.cuda.CUDAGraph()
      local h = torch.cuda.CUDAGraph()
      torch.cuda.graph(h, function() z = y + 1 end)
      h:replay()
      torch.cuda.set_stream(s)
      g:capture_begin()
      local w = z * 2
      io.stdout:write('still here\n') io.stdout:flush()
    ]]
    for _, ending in ipairs { "", "os.exit(0)", "os.exit(0, true)", "collectgarbage('stop')" } do
      says({ STANDIN_LAZY = 1 }, work .. ending, "still here")
    end
  end)
end)
