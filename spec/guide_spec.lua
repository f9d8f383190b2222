--- The guide: what a newcomer from PyTorch trips over, one `it` a line of the guide, each with the message that a wrong
-- use gets.

local torch = require "moontorch"
local near = require "spec.support.near"
local nn = torch.nn
local F = nn.functional

-- The message of the error that f raises; fails when there is none.
local function refusal(f, ...)
  local ok, message = pcall(f, ...)
  if ok then ok, message = pcall(near.settle) end
  assert.is_false(ok, "expected an error")
  return tostring(message)
end

local function says(message, ...)
  for _, part in ipairs { ... } do
    assert.is_truthy(message:find(part, 1, true), ("expected %q in: %s"):format(part, message))
  end
end

describe("the guide", function()
  it("a Tensor needs no Variable around it; Variable(x) gives it back", function()
    local x = torch.ones(2, 3)
    assert.is_true(rawequal(torch.autograd.Variable(x), x))
    x.requires_grad = true
    local loss = (x * 2):sum()
    loss:backward()
    assert.same({ { 2, 2, 2 }, { 2, 2, 2 } }, x.grad:tolist())
    says(refusal(torch.autograd.Variable, { 1, 2 }), "guide_spec.lua:", "Variable", "table")
  end)

  it("transpose and transpose_ swap exactly two dims; permute takes them all", function()
    local x = torch.arange(24):view(2, 3, 4)
    assert.equal(torch.Size { 4, 3, 2 }, x:transpose(1, 3).shape)
    assert.equal(torch.Size { 4, 2, 3 }, x:permute(3, 1, 2).shape)
    assert.equal(x[{ 2, 3, 4 }]:item(), x:permute(3, 1, 2)[{ 4, 2, 3 }]:item())
    local y = torch.arange(6):view(2, 3)
    assert.is_true(rawequal(y:transpose_(1, 2), y))
    assert.same({ { 0, 3 }, { 1, 4 }, { 2, 5 } }, y:tolist())
    says(refusal(function() return x:transpose(1, 2, 3) end), "guide_spec.lua:",
      "transpose(): takes 3 positional arguments")
    says(refusal(function() return x:permute(2, 1) end), "permute(", "2", "3", "transpose swaps two")
    says(refusal(function() return x:transpose(0, 1) end), "dim 0", "count from 1")
    says(refusal(function() return x:transpose(1, 4) end), "Dimension out of range (expected to be in range of [1, 3]")
  end)

  it("unsqueeze adds a dim without moving data; squeeze removes every 1", function()
    local x = torch.randn(1, 4, 3)
    local y = x:unsqueeze(3)
    assert.equal("torch.Size([1, 4, 1, 3])", tostring(y.shape))
    assert.equal(x:data_ptr(), y:data_ptr())
    assert.equal(torch.Size { 4, 3 }, y:squeeze().shape)
    assert.equal(torch.Size { 1, 4, 3 }, y:squeeze(3).shape)
    assert.equal(torch.Size { 1, 4, 1, 3 }, y:squeeze(2).shape)
    assert.equal(torch.Size { 1, 4, 3, 1 }, x:unsqueeze(-1).shape)
    says(refusal(function() return x:unsqueeze(0) end), "unsqueeze()", "dim 0", "count from 1")
    says(refusal(function() return x:unsqueeze(5) end), "[1, 4]", "got 5")
  end)

  it("after transpose the data has not moved: view refuses, contiguous():view and reshape work", function()
    local x = torch.arange(6):view(2, 3)
    local y = x:transpose(1, 2)
    assert.equal(x:data_ptr(), y:data_ptr())
    assert.is_false(y:is_contiguous())
    says(refusal(function() return y:view(6) end), "guide_spec.lua:",
      "view size is not compatible with input tensor's size and "
      .. "stride (at least one dimension spans across two contiguous subspaces). Use .reshape(...) instead.", "[3, 2]",
        "[1, 3]",
      "contiguous()")
    assert.same({ 0, 3, 1, 4, 2, 5 }, y:contiguous():view(6):tolist())
    assert.same({ 0, 3, 1, 4, 2, 5 }, y:reshape(6):tolist())
    says(refusal(function() return x:view(4) end), "shape '[4]' is invalid for input of size 6")
  end)

  it("BCELoss is the formula's mean (or sum) and wants float on both sides", function()
    local p = torch.tensor { 0.9, 0.2, 0.6 }
    local y = torch.tensor { 1.0, 0.0, 1.0 }
    local expected = -(math.log(0.9) + math.log(0.8) + math.log(0.6))
    assert.is_true(math.abs(nn.BCELoss { reduction = "sum" }(p, y):item() - expected) < 1e-6)
    assert.is_true(math.abs(nn.BCELoss()(p, y):item() - expected / 3) < 1e-6)
    says(refusal(function() return nn.BCELoss()(p, y:long()) end), "guide_spec.lua:",
      "Expected object of type torch.FloatTensor but found type torch.LongTensor for argument 'target'", "float()")
    says(refusal(function() return nn.BCELoss()(p * 3, y) end), "all elements of input should be between 0 and 1")
  end)

  it("CrossEntropyLoss wants class labels from 1 as integers", function()
    local logits = torch.tensor { { 2.0, 1.0, 0.1 }, { 0.5, 2.5, 0.3 } }
    local loss = nn.CrossEntropyLoss()
    local expected = 0
    for _, row in ipairs { { 2.0, 2.0, 1.0, 0.1 }, { 2.5, 0.5, 2.5, 0.3 } } do
      local sum = math.exp(row[2]) + math.exp(row[3]) + math.exp(row[4])
      expected = expected + math.log(sum) - row[1]
    end
    assert.is_true(math.abs(loss(logits, torch.tensor { 1, 2 }):item() - expected / 2) < 1e-6)
    assert.is_true(math.abs(loss(logits, torch.tensor({ 1, 2 }):int()):item() - expected / 2) < 1e-6)
    says(refusal(function() return loss(logits, torch.tensor { 1.0, 2.0 }) end), "guide_spec.lua:",
      "expected scalar type Long but found Float", "target", ":long()")
    says(refusal(function() return loss(logits, torch.tensor { 0, 2 }) end), "Labels count from 1")
    says(refusal(function() return loss(logits, torch.tensor { 1, 4 }) end), "4", "3")
  end)

  it("a squared error behind a sigmoid saturates where cross-entropy does not", function()
    local function slope(loss)
      local z = torch.tensor({ -10.0 }, { requires_grad = true })
      loss(z, torch.tensor { 1.0 }):backward()
      return math.abs(z.grad:item())
    end
    local squared = slope(function(z, y) return nn.MSELoss()(z:sigmoid(), y) end)
    local entropy = slope(function(z, y) return nn.BCEWithLogitsLoss()(z, y) end)
    assert.is_true(squared < 1e-4)
    assert.is_true(entropy > 0.99)
  end)

  it("a layer written by hand equals nn.Linear, value for value, with the same seed", function()
    local MyLinear = nn.class("MyLinear")
    function MyLinear:init(n_in, n_out, bias)
      self.weight = nn.Parameter(torch.Tensor(n_out, n_in))
      if bias then self.bias = nn.Parameter(torch.Tensor(n_out)) else self:register_parameter("bias", nil) end
      self:reset_parameters()
    end
    function MyLinear:reset_parameters()
      local stdv = 1 / math.sqrt(self.weight:size(2))
      self.weight.data:uniform_(-stdv, stdv)
      if self.bias then self.bias.data:uniform_(-stdv, stdv) end
    end
    function MyLinear:forward(x) return F.linear(x, self.weight, self.bias) end

    local x = torch.randn(5, 7)
    for _, bias in ipairs { true, false } do
      torch.manual_seed(42)
      local mine = MyLinear(7, 3, bias)
      torch.manual_seed(42)
      local theirs = nn.Linear(7, 3, { bias = bias })
      assert.is_true(mine.weight:equal(theirs.weight))
      assert.equal(bias, mine.bias ~= nil)
      if bias then assert.is_true(mine.bias:equal(theirs.bias)) end
      assert.is_true(mine(x):equal(theirs(x)))
      assert.equal(#theirs:parameters(), #mine:parameters())
    end
  end)

  it("a parameter that nobody initialised is refused by name at the first forward", function()
    local Net = nn.class("Net")
    function Net:init()
      self.layers = { nn.Linear(2, 2), nn.Module() }
      self.layers[2].scale = nn.Parameter(torch.Tensor(2, 2))
    end
    function Net:forward(x) return self.layers[1](x) end
    says(refusal(function() return Net()(torch.ones(1, 2)) end), "guide_spec.lua:", "layers.2.scale", "nn.init")
    local net = Net()
    nn.init.uniform_(net.layers[2].scale)
    assert.equal(torch.Size { 1, 2 }, net(torch.ones(1, 2)).shape)
  end)

  it(":cuda() reaches every child, and where there is no CUDA leaves the module as it was", function()
    local Net = nn.class("Net")
    function Net:init()
      self.field = nn.Linear(2, 2)
      self.list = { nn.Linear(2, 2), { deep = nn.Linear(2, 2) } }
      self.list[3] = self.field -- shared
      self:register_buffer("steps", torch.zeros(1))
    end
    local net = Net()
    local seen = 0
    net:_apply(function(t)
      seen = seen + 1
      return t
    end)
    assert.equal(7, seen) -- three layers of two parameters, once each, and the buffer
    net:double()
    assert.equal(torch.float64, net.list[2].deep.weight.dtype)
    assert.equal(torch.float64, net.steps.dtype)
    assert.is_true(rawequal(net.field, net.list[3]))
    if not torch.cuda.is_available() then
      local before = net.field.weight:clone()
      says(refusal(function() net:cuda() end), "guide_spec.lua:", "moontorch/cuda.so")
      assert.is_true(net.field.weight:equal(before))
      assert.equal("cpu", net.field.weight.device.type)
      assert.equal("cpu", net.steps.device.type)
    end
  end)

  it("one name runs a script with and without a GPU", function()
    local t = torch.cuda.is_available() and torch.cuda or torch
    local x = t.ones(2, 2)
    assert.equal(torch.cuda.is_available(), x.is_cuda)
    assert.equal(4, x:sum():item())
    if not torch.cuda.is_available() then says(refusal(torch.cuda.ones, 2), "guide_spec.lua:", "moontorch/cuda.so") end
  end)

  it("a tensor outside of host memory refuses tolist", function()
    if torch.cuda.is_available() then
      local x = torch.ones(2):cuda()
      local host_only = torch.host_only or function(f) f() end
      host_only(function()
        says(refusal(function() return x:tolist() end), "can't convert cuda:0 device type tensor to a Lua table. "
          .. "Use Tensor:cpu() to copy the tensor to host memory first.")
      end)
    else
      local x = torch._on_test_device(torch.ones(2))
      says(refusal(function() return x:tolist() end), "guide_spec.lua:",
        "can't convert cuda:0 device type tensor to a Lua table. "
        .. "Use Tensor:cpu() to copy the tensor to host memory first.")
      says(refusal(function() return x:tobytes() end), "can't convert cuda:0 device type tensor to a Lua string.")
    end
  end)

  it("methods take a colon; a dot leaves them without their object, and they say so", function()
    local model = nn.Linear(2, 1)
    local optimizer = torch.optim.SGD(model:parameters(), { lr = 0.1 })
    local scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    local loss = model(torch.ones(1, 2)):sum()
    says(refusal(function() loss.backward() end), "guide_spec.lua:", "backward(): ", "a colon: x:backward()")
    says(refusal(function() loss.sum() end), "guide_spec.lua:", "sum(): ", "a colon: x:sum(")
    for name, call in pairs {
      train = function() model.train() end, eval = function() model.eval() end, cuda = function() model.cuda() end,
      parameters = function() return model.parameters(), nil end,
      load_state_dict = function() model.load_state_dict(model:state_dict()) end,
      step = function() optimizer.step() end, zero_grad = function() optimizer.zero_grad() end,
      get_last_lr = function() return scheduler.get_last_lr(), nil end,
    } do
      says(refusal(call), "guide_spec.lua:", name .. "(): missing 1 required positional argument: 'self'",
        "Call methods with a colon: x:" .. name .. "(")
    end
    says(refusal(function() scheduler.step() end), "step(): missing 1 required positional argument: 'self'")
  end)
end)
