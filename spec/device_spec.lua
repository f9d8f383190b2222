--- Modules, optimisers, files and creation on devices. Where there is no GPU the first part alone runs; `make
-- test-cuda-standin` runs all of it.
local torch = require "moontorch"
local nn, F = torch.nn, torch.nn.functional

local function refused(pattern, f, ...)
  local ok, why = pcall(f, ...)
  assert.is_false(ok)
  assert.is_truthy(tostring(why):find(pattern, 1, true), why)
end

describe("modules keep what they share when they are converted:", function()
  local function tied()
    local Net = nn.class("Net")
    function Net:init()
      self.a = nn.Linear(3, 3, { bias = false })
      self.b = nn.Linear(3, 3, { bias = false })
      self.b.weight = nn.Parameter(self.a.weight:detach():t())
      self.c = nn.Linear(3, 3)
      self.c.weight = self.a.weight
      self:register_buffer("row", self.a.weight:detach()[2])
    end
    return Net()
  end

  it("the same parameter, and views of one memory", function()
    local net = tied()
    local a, b = net.a.weight, net.b.weight
    net:double()
    assert.equal(a, net.a.weight)
    assert.equal(a, net.c.weight)
    assert.equal(torch.float64, b.dtype)
    torch.no_grad(function() a:copy_(torch.arange(9):view(3, 3)) end)
    assert.same({ { 0, 3, 6 }, { 1, 4, 7 }, { 2, 5, 8 } }, b:tolist())
    assert.same({ 3, 4, 5 }, net.row:tolist())
  end)

  it("and nothing changes where one of the tensors cannot be", function()
    local net = tied()
    refused("floating point dtype", function() net:_apply(function(t) return t:long() end) end)
    assert.equal(torch.float32, net.a.weight.dtype)
    local calls = 0
    refused("enough", function()
      net:_apply(function(t)
        calls = calls + 1
        if calls == 3 then error "enough" end
        return t:double()
      end)
    end)
    for _, p in ipairs(net:parameters()) do assert.equal(torch.float32, p.dtype) end
  end)
end)

describe("torch.device", function()
  it("is the default one in a function or a scope", function()
    assert.equal(3, torch.device("cpu", function() return #torch.zeros(3) end))
    local a, b = torch.device("cpu")(function(x, y) return y, x end, 1, 2)
    assert.same({ 2, 1 }, { a, b })
    do
      local _ <close> = torch.device("cpu"):enter()
      assert.equal(torch.device "cpu", torch.zeros(1).device)
    end
    refused("oops", function() torch.device("cpu", function() error "oops" end) end)
    assert.equal(torch.device "cuda:3", torch.device(3))
  end)
end)

if not torch.cuda.is_available() then return end

local gpu = torch.device "cuda:0"

describe("creation on a device", function()
  it("follows torch.device, set_default_device, torch.cuda and the device argument", function()
    local makers = {
      function() return torch.zeros(2) end, function() return torch.tensor { 1, 2 } end,
      function() return torch.arange(3) end, function() return torch.randperm(3) end,
      function() return torch.full({ 2 }, 1.5) end, function() return torch.eye(2) end,
      function() return torch.linspace(0, 1, 3) end, function() return torch.randint(3, { 2 }) end,
      function() return torch.normal(0, 1, { 2 }) end, function() return torch.hann_window(4) end,
      function() return nn.Linear(2, 2).weight end, function() return nn.LSTM(2, 2).bias_hh_l0 end,
      function() return nn.BatchNorm1d(2).running_var end,
    }
    for _, make in ipairs(makers) do
      assert.equal(gpu, torch.device("cuda", make).device)
      torch.set_default_device "cuda"
      local made = make()
      torch.set_default_device "cpu"
      assert.equal(gpu, made.device)
      assert.equal(torch.device "cpu", make().device)
    end
    torch.device("cuda", function()
      assert.equal(torch.device "cpu", torch.zeros(1, { device = "cpu" }).device)
      assert.equal(torch.device "cpu", torch.zeros_like(torch.ones(1, { device = "cpu" })).device)
      torch.device("cpu", function() assert.equal(torch.device "cpu", torch.zeros(1).device) end)
      assert.equal(gpu, torch.zeros(1).device)
    end)
    for _, t in ipairs {
      torch.cuda.zeros(2, { requires_grad = true }), torch.cuda.zeros_like(torch.ones(2), { requires_grad = true }),
      torch.zeros(2, { device = 0, requires_grad = true }),
    } do
      assert.equal(gpu, t.device)
      assert.is_true(t.is_leaf and t.requires_grad)
    end
  end)

  it("has PyTorch's spellings", function()
    local x = torch.ones(2, 2)
    assert.equal("torch.cuda.DoubleTensor", x:type("torch.cuda.DoubleTensor"):type())
    assert.equal("torch.FloatTensor", x:cuda():type("torch.FloatTensor"):type())
    assert.equal("torch.cuda.HalfTensor", x:cuda():type(torch.float16):type())
    for _, moved in ipairs {
      x:cuda(0), x:cuda { device = 0 }, x:cuda "cuda:0", x:to(0), x:to "cuda", x:to { device = gpu },
      torch.cuda.FloatTensor(2, 3), torch.cuda.FloatTensor { 1, 2 },
    } do assert.equal(gpu, moved.device) end
    assert.equal(0, x:cuda():get_device())
    assert.equal(-1, x:get_device())
    assert.is_true(torch.is_tensor(x:cuda()))
    refused("Use Tensor:cpu() to copy the tensor to host memory first", function() x:cuda():tolist() end)
    local state = torch.get_rng_state()
    refused("RNG state must be a torch.ByteTensor, but it is on cuda:0", function()
      torch.set_rng_state(state:cuda())
    end)
  end)
end)

local function model()
  torch.manual_seed(3)
  local Net = nn.class("Net")
  function Net:init()
    self.layers = { nn.Linear(4, 6), { norm = nn.BatchNorm1d(6) } }
    self.out = nn.Linear(6, 6)
    self.tied = nn.Linear(6, 6)
    self.tied.weight = self.out.weight
    self.turned = nn.Parameter(self.out.weight:detach():t())
    self.cells = nn.LSTM(6, 3)
    self:register_buffer("count", torch.zeros(1))
  end
  function Net:forward(x)
    self.count:add_(1)
    local h = self.layers[2].norm(self.layers[1](x))
    h = self.tied(torch.relu(self.out(h))):mm(self.turned)
    return (self.cells(h:unsqueeze(1)))
  end
  return Net()
end

local function all(net)
  local list = {}
  for name, p in net:named_parameters() do list[name] = p end
  for name, b in net:named_buffers() do list[name] = b end
  return list
end

describe("modules on a device", function()
  it("move in place: identity, gradients, ties, hooks, nested tables, buffers", function()
    local net = model()
    local seen, grads = 0, {}
    net.out.weight:register_hook(function() seen = seen + 1 end)
    local x = torch.randn(5, 4)
    net(x):sum():backward()
    assert.equal(1, seen)
    local before = all(net)
    for name, p in net:named_parameters() do grads[name] = p.grad:clone() end
    assert.equal(net, net:cuda())
    for name, t in pairs(all(net)) do
      assert.equal(before[name], t, name)
      assert.equal(gpu, t.device, name)
    end
    for name, p in net:named_parameters() do
      assert.equal(gpu, p.grad.device, name)
      assert.is_true(torch.equal(grads[name], p.grad:cpu()), name)
      assert.is_true(p.is_leaf and p.requires_grad and p.is_parameter, name)
    end
    assert.equal(net.out.weight, net.tied.weight)
    torch.no_grad(function() net.out.weight[{ 1, 2 }] = 42 end)
    assert.equal(42, net.turned[{ 2, 1 }]:item())
    net(x:cuda()):sum():backward()
    assert.equal(2, seen)
    assert.equal(2, net.count:item())
    net:to(torch.device "cpu")
    for name, t in pairs(all(net)) do assert.equal(torch.device "cpu", t.device, name) end
    torch.no_grad(function() net.out.weight[{ 1, 2 }] = 43 end)
    assert.equal(43, net.turned[{ 2, 1 }]:item())
    assert.equal(gpu, net:to(0).count.device)
    assert.equal(torch.float64, net:to("cuda", torch.float64).count.dtype)
  end)

  it("give the same results there as on the host", function()
    local net, x = model(), torch.randn(5, 4)
    local wanted = net(x)
    local got = model():cuda()(x:cuda())
    assert.is_true(torch.allclose(wanted, got:cpu(), 1e-4, 1e-5))
  end)

  -- A process of its own, whose device on the stand-in has little memory; on a GPU most of it is taken first.
  it("stay where they are when memory runs out in the middle", function()
    local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
    local pipe = assert(io.popen(("STANDIN_BYTES=134217728 '%s' '%s/support/move_out_of_memory.lua' 2>&1"):format(
      arg[-1] or "lua5.4", here)))
    local said = pipe:read "a"
    pipe:close()
    assert.is_truthy(said:find("nothing has moved, and later all has", 1, true), said)
  end)
end)

describe("optimisers", function()
  local makers = {
    SGD = { lr = 0.1, momentum = 0.9 }, Adam = { lr = 0.1, amsgrad = true }, RMSprop = { lr = 0.01, momentum = 0.5 },
    Adagrad = { lr = 0.1 }, Adadelta = { lr = 0.1 }, Adamax = { lr = 0.1 }, NAdam = { lr = 0.1 }, RAdam = { lr = 0.1 },
    ASGD = { lr = 0.1 }, Rprop = { lr = 0.1 }, LBFGS = { lr = 0.1, history_size = 3, max_iter = 2 },
  }
  local x, y = torch.randn(8, 3), torch.randn(8, 2)

  -- Parameters after steps of which those from `away` on are made on the device.
  local function train(name, options, away)
    torch.manual_seed(5)
    local net = nn.Linear(3, 2)
    local optimizer = torch.optim[name](net:parameters(), options)
    for step = 1, 6 do
      if step == away then net:cuda() end
      local device = net.weight.device
      optimizer:step(function()
        optimizer:zero_grad()
        local loss = F.mse_loss(net(x:to(device)), y:to(device))
        loss:backward()
        return loss
      end)
    end
    return net, optimizer
  end

  for name, options in pairs(makers) do
    it("follow their parameters: " .. name, function()
      local wanted = train(name, options)
      local got, optimizer = train(name, options, 4)
      assert.equal(gpu, got.weight.device)
      assert.is_true(torch.allclose(wanted.weight, got.weight:detach():cpu(), 1e-3, 1e-5))
      -- the state of a file from the host goes to the parameters' device
      local fresh = torch.optim[name](got:parameters(), options)
      local saved = optimizer:state_dict()
      local path = os.tmpname()
      torch.save(saved, path)
      fresh:load_state_dict(torch.load(path, { map_location = "cpu" }))
      os.remove(path)
      for param, own in pairs(fresh.state) do
        for key, value in pairs(own) do
          if torch.is_tensor(value) then assert.equal(param.device, value.device, key) end
        end
      end
      if name ~= "LBFGS" then
        F.mse_loss(got(x:cuda()), y:cuda()):backward()
        fresh:step()
      end
    end)
  end
end)

describe("files and batches", function()
  local path
  before_each(function() path = os.tmpname() end)
  after_each(function() os.remove(path) end)

  it("hold tensors of a device, which come back where map_location says", function()
    local w = torch.arange(6):float():cuda()
    torch.save({ w = w, part = w[{ { 2, 3 } }], p = nn.Parameter(w:view(2, 3):t()), host = torch.ones(1) }, path)
    local back = torch.load(path)
    assert.equal(gpu, back.w.device)
    assert.equal(torch.device "cpu", back.host.device)
    assert.is_true(back.p.is_parameter and back.p.is_leaf)
    assert.same({ { 0, 3 }, { 1, 4 }, { 2, 5 } }, back.p:detach():cpu():tolist())
    back.part:fill_(9)
    assert.same({ 0, 9, 9, 3, 4, 5 }, back.w:cpu():tolist())
    for _, map in ipairs {
      "cpu", torch.device "cpu", { ["cuda:0"] = "cpu" }, function(t) return t:cpu() end, function() return "cpu" end,
    } do
      local there = torch.load(path, { map_location = map })
      assert.equal(torch.device "cpu", there.w.device)
      assert.same({ 1, 2 }, there.part:tolist())
    end
    assert.equal(gpu, torch.load(path, { map_location = "cuda" }).host.device)
    torch.utils.safetensors.save_file({ w = w }, path)
    assert.same({ 0, 1, 2, 3, 4, 5 }, torch.utils.safetensors.load_file(path).w:tolist())
  end)

  it("load into a model on the device, from a state of the host and back", function()
    local net = model()
    torch.save(net:state_dict(), path)
    local there = model():cuda()
    torch.no_grad(function() there.out.weight:zero_() end)
    there:load_state_dict(torch.load(path))
    assert.equal(gpu, there.out.weight.device)
    assert.is_true(torch.equal(net.out.weight, there.out.weight:cpu()))
    torch.save(there:state_dict(), path)
    net:load_state_dict(torch.load(path, { map_location = "cpu" }))
    assert.equal(torch.device "cpu", net.out.weight.device)
  end)

  it("of a loader go to the device; workers hand over tensors of the host", function()
    local data = torch.utils.data.TensorDataset(torch.arange(8):float():view(8, 1), torch.arange(8):float())
    for _, workers in ipairs { 0, 1 } do
      local total = 0
      for x, y in torch.utils.data.DataLoader(data, { batch_size = 4, num_workers = workers })() do
        x, y = x:cuda(), y:to(gpu)
        total = total + (x:view(-1) * y):sum():item()
      end
      assert.equal(140, total)
    end
    local sample = { a = torch.ones(2):cuda(), b = 1 }
    local batch = torch.utils.data.default_collate { sample, sample }
    assert.equal(gpu, batch.a.device)
  end)
end)
