--- Several GPUs: which one "cuda" means, what lies where, and copies between them in the order of both their streams.
-- And what torch.cuda tells of each.
local torch = require "moontorch"
local warnings_of = require "spec.support.warnings"
local gpu = require "spec.support.gpu"
local cuda = torch.cuda
local refuses = gpu.refuses

if not cuda.is_available() then
  describe("several GPUs", function()
    it("are missed with PyTorch's words at the script's line", function()
      local x = torch.ones(2)
      for _, ask in ipairs {
        function() cuda.init() end, function() return cuda.current_device() end, function() cuda.synchronize() end,
        function() return cuda.Stream() end, function() return cuda.current_stream() end,
        function() return cuda.get_device_name() end, function() return cuda.Event() end,
        function() return cuda.CUDAGraph() end, function() return cuda.mem_get_info() end,
        function() return x:pin_memory() end, function() return x:cuda() end,
      } do
        local ok, why = pcall(ask)
        assert.is_false(ok)
        assert.is_truthy(why:find("Torch not compiled with CUDA enabled", 1, true) or why:find("NVIDIA", 1, true)
          or why:find("CUDA", 1, true), why)
        assert.is_truthy(why:find("cuda_devices_spec.lua:%d+: "), why)
      end
      assert.is_false(x:is_pinned())
      assert.is_false(cuda.is_bf16_supported())
      assert.is_false(cuda.is_tf32_supported())
      assert.is_false(cuda.is_current_stream_capturing())
      assert.is_false(cuda.is_initialized())
    end)

    it("leave a loader that pins as it is, with a warning", function()
      local loader = torch.utils.data.DataLoader({ 1, 2 }, { pin_memory = true })
      local said = warnings_of(function()
        for x in loader:iter() do assert.is_false(x:is_pinned()) end
      end)
      assert.is_truthy(said[1]:find("'pin_memory' argument is set as true but no accelerator is found", 1, true))
    end)
  end)
  return
end

describe("one GPU", function()
  it("says what it is", function()
    local p = cuda.get_device_properties(0)
    assert.equal(p.name, cuda.get_device_name())
    local major, minor = cuda.get_device_capability("cuda:0")
    assert.same({ p.major, p.minor }, { major, minor })
    local _, total = cuda.mem_get_info()
    assert.is_true(p.total_memory >= total)
    assert.is_true(p.multi_processor_count > 0 and p.warp_size == 32)
    assert.is_truthy(p.uuid:find "^%x%x%x%x%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$")
    assert.equal(("_CudaDeviceProperties(name='%s', major=%d, minor=%d, total_memory=%dMB, multi_processor_count=%d, "
      .. "uuid=%s, pci_bus_id=%d, pci_device_id=%d, pci_domain_id=%d, L2_cache_size=%dMB)"):format(p.name,
      p.major, p.minor, p.total_memory // 2 ^ 20 | 0, p.multi_processor_count, p.uuid, p.pci_bus_id,
      p.pci_device_id, p.pci_domain_id, p.L2_cache_size // 2 ^ 20 | 0), tostring(p))
    refuses(function() return p.speed end, "have no attribute 'speed'")
    assert.equal(p.major >= 8, cuda.is_tf32_supported())
    assert.equal(p.major >= 8, cuda.is_bf16_supported(false))
    assert.is_true(cuda.is_bf16_supported())
    assert.is_true(cuda.is_initialized())
    cuda.init()
    local list = cuda.get_arch_list()
    assert.is_truthy(list[1]:find "^sm_%d+$")
    assert.is_truthy(list[#list]:find "^compute_%d+$")
    refuses(function() cuda.get_device_name(99) end, "CUDA error: invalid device ordinal: there is no cuda:99")
    refuses(function() cuda.get_device_properties("cpu") end, "Expected a cuda device, but got: cpu")
    refuses(function() cuda.synchronize({}) end, "argument 'device' must be a number, a string or a torch.device")
    refuses(function() cuda.set_device(-7 + 99) end, "there is no cuda:92")
    refuses(function() cuda.device_of(3) end, "argument 'obj' (position 1) must be Tensor")
  end)

  it("tells of calls that wait", function()
    local x = torch.ones(3, { device = "cuda" })
    local pinned = torch.ones(3):pin_memory()
    assert.equal(0, cuda.get_sync_debug_mode())
    cuda.set_sync_debug_mode("warn")
    assert.equal(1, cuda.get_sync_debug_mode())
    local said = warnings_of(function()
      local _ = x[2]:item()
      _ = x:cpu()
      _ = pinned:cuda { non_blocking = true } + 1
      _ = coroutine.wrap(function() return x:sum():item() end)()
    end)
    assert.is_true(#said >= 3)
    for _, text in ipairs(said) do assert.equal("called a synchronizing CUDA operation", text) end
    cuda.set_sync_debug_mode(2)
    refuses(function() x[2]:item() end, "item(): called a synchronizing CUDA operation")
    refuses(function() x:cpu() end, "called a synchronizing CUDA operation")
    refuses(function() cuda.current_stream():synchronize() end, "called a synchronizing CUDA operation")
    local y = pinned:cuda { non_blocking = true }
    cuda.synchronize() -- is meant
    cuda.set_sync_debug_mode("default")
    assert.same({ 1, 1, 1 }, y:cpu():tolist())
    refuses(function() cuda.set_sync_debug_mode("loud") end,
      "invalid value of debug_mode, expected one of `default`, `warn`, `error`")
  end)

  it("is shared by threads, each with a device and streams of its own", function()
    local data = torch.utils.data
    local set = data.TensorDataset(torch.arange(24))
    local function work(samples) -- in a worker's thread
      local t = require "moontorch"
      local s = t.cuda.Stream()
      local home = t.cuda.current_stream() == t.cuda.default_stream()
      local x = t.cuda.stream(s, function()
        local y = t.tensor({ samples[1][1]:item(), samples[2][1]:item() }, { device = "cuda" }) + 1
        for _ = 1, 5 do y = y * 2 end
        return y:cpu()
      end)
      return x, home and t.cuda.current_device()
    end
    cuda.set_device(cuda.device_count() - 1)
    local s, n = cuda.Stream(), 0
    cuda.stream(s, function()
      local loader = data.DataLoader(set, { batch_size = 2, num_workers = 3, collate_fn = work })
      for x, device in loader:iter() do
        assert.equal(0, device)
        local own = torch.full({ 3 }, n, { device = "cuda" }) * 2
        assert.same({ (n + 1) * 32, (n + 2) * 32 }, x:tolist())
        assert.equal(2 * n, own[3]:item())
        n = n + 2
      end
    end)
    cuda.set_device(0)
    assert.equal(24, n)
  end)

  it("copies to and from the host in place, with gradients", function()
    local x = torch.zeros(3)
    local leaf = torch.ones(3, { device = "cuda" }):requires_grad_()
    local y = x:clone():copy_(leaf * 2)
    assert.same({ 2, 2, 2 }, y:tolist())
    y:sum():backward()
    assert.equal(leaf.device, leaf.grad.device)
    assert.same({ 2, 2, 2 }, leaf.grad:cpu():tolist())
    assert.same({ 5, 5, 5 }, torch.zeros(3, { device = "cuda" }):copy_(torch.full({ 3 }, 5)):cpu():tolist())
    assert.same({ { 5, 5 } }, torch.zeros(1, 2, { device = "cuda" }):copy_(torch.tensor(5)):cpu():tolist())
  end)
end)

if cuda.device_count() < 2 then return end

describe("several GPUs", function()
  after_each(function()
    cuda.set_device(0)
    for k = 0, cuda.device_count() - 1 do cuda.synchronize(k) end
  end)

  it("one of them is meant by cuda", function()
    assert.equal(0, cuda.current_device())
    cuda.set_device(1)
    assert.equal(1, cuda.current_device())
    assert.equal(torch.device("cuda:1"), torch.zeros(2, { device = "cuda" }).device)
    assert.equal(torch.device("cuda:1"), torch.ones(2):cuda().device)
    assert.equal(torch.device("cuda:1"), torch.ones(2):type("torch.cuda.FloatTensor").device)
    assert.equal(torch.device("cuda:1"), cuda.FloatTensor(2).device)
    assert.equal(1, cuda.current_stream().device_index)
    cuda.set_device(-1)
    assert.equal(1, cuda.current_device())
    assert.equal(7, cuda.device(0, function()
      assert.equal(0, cuda.current_device())
      return 7
    end))
    assert.equal(1, cuda.current_device())
    local function fails() error("spec/cuda_devices_spec.lua:1: on purpose", 0) end
    refuses(function() cuda.device(0, fails) end, "on purpose")
    assert.equal(1, cuda.current_device())
    local x = torch.ones(2, { device = "cuda:0" })
    do
      local _ <close> = cuda.device_of(x)
      assert.equal(0, cuda.current_device())
      local _ <close> = cuda.device(-1)
      local _ <close> = cuda.device_of(torch.ones(1))
      assert.equal(0, cuda.current_device())
    end
    assert.equal(1, cuda.current_device())
    assert.equal(torch.device("cuda:0"), (x + 1).device) -- where its tensors are
    cuda.stream(cuda.Stream(0), function() assert.equal(0, cuda.current_device()) end)
    assert.equal(1, cuda.current_device())
    assert.is_false(cuda.can_device_access_peer(0, 0))
    assert.equal("boolean", type(cuda.can_device_access_peer(0, 1)))
  end)

  it("have memory and streams of their own", function()
    local zero, one = cuda.memory_allocated(0), cuda.memory_allocated(1)
    local x = torch.empty(1000, { device = "cuda:1" })
    assert.equal(zero, cuda.memory_allocated(0))
    assert.equal(one + 4096, cuda.memory_allocated("cuda:1"))
    x:free()
    local a, b = cuda.Stream(0), cuda.Stream(1)
    assert.is_false(a == b)
    cuda.stream(b, function()
      assert.is_true(cuda.current_stream(0) == cuda.default_stream(0))
      assert.is_true(cuda.current_stream(1) == b)
      cuda.stream(a, function() assert.is_true(cuda.current_stream(1) == b) end)
    end)
    local e = cuda.Event()
    e:record(a)
    refuses(function() e:record(b) end, "Event device 0 does not match recording stream's device 1.")
    b:wait_event(e)
    refuses(function() return torch.ones(2, { device = "cuda:0" }) + torch.ones(2, { device = "cuda:1" }) end,
      "Expected all tensors to be on the same device")
  end)

  it("copy to each other in order with what both are doing", function()
    local a, b = cuda.Stream(0), cuda.Stream(1)
    cuda.stream(a, function()
      cuda.stream(b, function()
        local x = torch.zeros(500, { device = "cuda:0" }) + 3
        local y = torch.zeros(500, { device = "cuda:1" })
        y:fill_(1) -- before the copy
        y:copy_(x)
        x:fill_(99) -- after it
        local z = y * 2
        y:fill_(50)
        local back = z:to("cuda:0") + 1
        assert.equal(7, back:min():item())
        assert.equal(7, back:max():item())
        assert.equal(6, z:max():item())
        assert.equal(50, y:min():item())
      end)
    end)
  end)

  it("copy all kinds of tensors to each other", function()
    local x = torch.arange(12, { dtype = torch.float32 }):view(3, 4)
    local zero, one = x:to("cuda:0"), torch.zeros(4, 3, { device = "cuda:1", dtype = torch.float64 })
    one:copy_(zero:t())
    assert.is_true(one:cpu():equal(x:t():double()))
    one:t():copy_(zero + 1)
    assert.is_true(one:cpu():equal(x:t():double() + 1))
    assert.is_true(zero[{ {}, { 2, 3 } }]:to("cuda:1"):cpu():equal(x[{ {}, { 2, 3 } }]))
    local leaf = torch.ones(3, { device = "cuda:0" }):requires_grad_();
    (leaf:to("cuda:1") * 3):sum():backward()
    assert.equal(leaf.device, leaf.grad.device)
    assert.same({ 3, 3, 3 }, leaf.grad:cpu():tolist())
    local model = torch.nn.Linear(3, 2):to("cuda:1")
    assert.equal(torch.device("cuda:1"), model(torch.ones(1, 3, { device = "cuda:1" })).device)
  end)

  it("capture graphs of their own", function()
    local x, g, y = torch.zeros(3, { device = "cuda:1" }), cuda.CUDAGraph(), nil
    cuda.device(1, function() cuda.graph(g, function() y = x + 4 end) end)
    x:fill_(1)
    g:replay()
    assert.equal(0, cuda.current_device())
    assert.same({ 5, 5, 5 }, y:cpu():tolist())
  end)
end)
