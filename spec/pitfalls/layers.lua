--- Mistakes in layers and models, made on purpose: see support/pitfalls.lua.
local torch = require "moontorch"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local pitfalls = dofile(here .. "/../support/pitfalls.lua")
local mistake, right, warns, train_step = pitfalls.mistake, pitfalls.right, pitfalls.warns, pitfalls.train_step
local warnings_of, Conv, Norm, Two = pitfalls.warnings_of, pitfalls.Conv, pitfalls.Norm, pitfalls.Two
local nn, F, optim, data = torch.nn, torch.nn.functional, torch.optim, torch.utils.data

describe("layers", function()
  it("4 float64 data into a float32 layer names the layer, its parameter, and both dtypes", function()
    local net = Two()
    mistake(function() net(torch.randn(2, 3):double()) end,
      "mat1 and mat2 must have the same dtype, but got Double and Float",
      "in fc2: Linear(3 → 2) got [2, 3] of dtype torch.float64", "parameter 'weight' has dtype torch.float32",
      "input:to(torch.float32)", ":to(torch.float64)")
    assert.equal(torch.float32, right(function() return net(torch.randn(2, 3):double():float()) end).dtype)
    assert.equal(torch.float64, right(function() return Two():to(torch.float64)(torch.randn(2, 3):double()) end).dtype)
  end)

  it("6 modules in plain tables are found, cast and trained", function()
    local net = nn.class("Tables")()
    net.blocks = { nn.Linear(1, 1), nn.Linear(1, 1) }
    net.heads = { left = { nn.Linear(1, 1, { bias = false }) } }
    local names = {}
    for name in net:named_parameters() do names[#names + 1] = name end
    table.sort(names)
    assert.same({ "blocks.1.bias", "blocks.1.weight", "blocks.2.bias", "blocks.2.weight", "heads.left.1.weight" },
      names)
    right(function() return net:double() end)
    assert.equal(torch.float64, net.heads.left[1].weight.dtype)
    net:eval()
    assert.is_false(net.blocks[2].training)
  end)

  it("7 a Parameter that is converted and stored in a module stays one, and stays apart in a forward", function()
    local function param(options) return nn.Parameter(torch.ones(2), options) end
    local convert = {
      function(p) return p:double() end, function(p) return p:to(torch.float64) end,
      function(p) return p:to("float64") end, function(p) return p:to { dtype = torch.float64 } end,
      function(p) return p:to(torch.ones(1):double()) end, function(p) return p:type("torch.DoubleTensor") end,
      function(p) return p:type_as(torch.ones(1):double()) end, function(p) return p:half():double() end,
      function(p) return p:cpu():double() end, function(p) return p:to("cpu", torch.float64) end,
      function(p) return torch.no_grad(function() return p:double() end) end,
    }
    for _, f in ipairs(convert) do
      local m, list, named = nn.class("Held")(), nn.class("List")(), nn.class("Named")()
      right(function()
        m.w = f(param())
        list.deep = { { f(param()) } }
        named:register_parameter("w", f(param()))
      end)
      for _, module in ipairs { m, list, named } do
        local p = module:parameters()[1]
        assert.equal(1, #module:parameters())
        assert.equal(torch.float64, p.dtype)
        assert.is_true(p.is_leaf and p.requires_grad and torch.is_parameter(p))
        local optimizer = optim.SGD(module:parameters(), { lr = 0.5 })
        p:sum():backward()
        optimizer:step()
        assert.same({ 0.5, 0.5 }, p:tolist())
      end
      assert.equal(m.w, m:parameters()[1])
      assert.is_truthy(m:state_dict().w)
    end
    assert.same({}, warnings_of(function() nn.class("Held")().w = param():cpu() end))
    local m = nn.class("Held")()
    m.w, m.frozen = param(), param({ requires_grad = false }):double()
    m.w, m.copy = m.w:half(), param():to(torch.float32, { copy = true })
    m.state = m.w * 2
    assert.equal(3, #m:parameters())
    assert.is_true(m.w.is_leaf and m.w.requires_grad and m.w.dtype == torch.float16)
    assert.is_false(m.frozen.requires_grad)
    assert.equal(torch.float64, m:double().w.dtype)
    assert.equal(2, #nn.ParameterList { param():double(), param() }:parameters())
    local bound = nn.Linear(1, 1)
    mistake(function() optim.SGD({ bound.weight:double() }, { lr = 1 }) end, "can't optimize a non-leaf Tensor",
      "a converted copy of a Parameter", "nn.Parameter(x:to(...))", "model:parameters()")
  end)

  it("7 a conversion in forward, stored or not, is none: the gradient flows through it", function()
    local Mixed = nn.class("Mixed")
    function Mixed:init()
      self.fc = nn.Linear(2, 1)
      self.scale = nn.Parameter(torch.ones(1))
    end
    function Mixed:forward(x)
      self.wide = self.fc.weight:double()
      self.cache = { scale = self.scale:double() }
      return F.linear(x:double(), self.wide) * self.cache.scale
    end
    local net = Mixed()
    local optimizer = optim.SGD(net:parameters(), { lr = 0.1 })
    right(function() for _ = 1, 3 do train_step(net, optimizer, torch.ones(3, 2)) end end)
    assert.equal(3, #net:parameters())
    assert.is_false(net.wide.is_leaf)
    assert.is_true(net.fc.weight.grad:abs():sum():item() > 0 and net.scale.grad:abs():item() > 0)
    assert.is_nil(net:state_dict()["wide"])
    torch.no_grad(function() net(torch.ones(1, 2)) end)
    assert.equal(3, #net:parameters())
    net.direct = net.forward(net, torch.ones(1, 2))
    assert.equal(3, #net:parameters())
  end)

  it("18 squeeze() without a dim in a module that drops a batch of 1 warns once", function()
    local Wrong, Right = nn.class("Wrong"), nn.class("Right")
    function Wrong:forward(x) return x:squeeze() end
    function Right:forward(x) return x:squeeze(-1) end
    local wrong = nn.Sequential(Wrong())
    assert.same({}, warnings_of(function() wrong(torch.randn(4, 3, 1)) end))
    local out
    warns(function() for _ = 1, 3 do out = wrong(torch.randn(1, 3, 1)) end end, "Wrong: squeeze() without a dim",
      "drops dim 1, the batch", "x:squeeze(-1)")
    assert.same({ 3 }, { table.unpack(out.shape) })
    assert.equal(2, right(function() return Right()(torch.randn(1, 3, 1)) end).ndim)
    assert.equal(1, right(function() return torch.randn(1, 3):squeeze() end).ndim)
  end)

  it("19 Linear fed the wrong width names the layer and the width it needs", function()
    mistake(function() Two()(torch.randn(4, 5)) end, "mat1 and mat2 shapes cannot be multiplied (4x5 and 3x2)",
      "fc2: Linear(3 → 2) got [4, 5]; the last dim must be 3")
    local deep = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(7, 2)))
    mistake(function() deep(torch.randn(4, 2)) end, "2.1: Linear(7 → 2) got [4, 2]; the last dim must be 7")
    assert.same({ 4, 2 }, { table.unpack(right(function() return Two()(torch.randn(4, 3)) end).shape) })
  end)

  it("20 images with channels last name the layer and the permutation", function()
    local net = nn.class("Net")()
    net.conv1 = Conv(3, 4)
    function net:forward(x) return self.conv1(x) end
    mistake(function() net(torch.randn(2, 8, 8, 3)) end,
      "Given groups=1, weight of size [4, 3, 3, 3], expected input[2, 8, 8, 3] to have 3 channels, but got 8 channels",
      "looks like NHWC", ":permute(1, 4, 2, 3)", "in conv1: Conv")
    mistake(function() net.conv1(torch.randn(8, 8, 3)) end, "[8, 8, 3], which has no batch, :permute(3, 1, 2)")
    local gray = torch.randn(2, 1, 8, 8)
    local message = mistake(function() net(gray) end, "to have 3 channels", "dim 2 of a batch")
    assert.is_nil(message:find("NHWC", 1, true))
    local out = right(function() return net(torch.randn(2, 8, 8, 3):permute(1, 4, 2, 3)) end)
    assert.same({ 2, 4, 6, 6 }, { table.unpack(out.shape) })
    right(function() return net.conv1(torch.randn(8, 8, 3):permute(3, 1, 2)) end)
  end)

  it("24 a forgotten eval() or train() is noticed, and predict() needs neither", function()
    local net = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    local x = torch.ones(3, 2)
    warns(function() torch.no_grad(function() for _ = 1, 3 do net(x) end end) end, "dropout()", "gradients are off",
      "eval()", "model:predict(x)")
    local norm = Norm(2)
    warns(function() torch.no_grad(function() for _ = 1, 3 do norm(x) end end) end, "batch_norm", "gradients are off",
      "eval()", "model:predict(x)")
    local optimizer = optim.SGD(net:parameters(), { lr = 0.1 })
    right(function() return train_step(net, optimizer, x) end)
    net:eval()
    right(function() torch.no_grad(function() net(x) end) end)
    warns(function() for _ = 1, 3 do train_step(net, optimizer, x) end end, "SGD.step()", "Sequential",
      "evaluation mode", "Call train()", "model:predict(x)")
    local before = norm.running_mean:clone()
    net:train()
    right(function()
      for _ = 1, 2 do
        assert.is_true(net:predict(x):equal(net:predict(x)))
        assert.is_false(net:predict(x).requires_grad)
        norm:predict(x)
        train_step(net, optimizer, x)
      end
    end)
    assert.is_true(net.training and net[2].training and norm.training)
    assert.is_true(norm.running_mean:equal(before))
    local plain, frozen = nn.Linear(2, 1):eval(), nn.Sequential(nn.Linear(2, 2), Norm(2):eval())
    right(function()
      train_step(plain, optim.SGD(plain:parameters(), { lr = 0.1 }), x)
      train_step(frozen, optim.SGD(frozen:parameters(), { lr = 0.1 }), x)
    end)
  end)

  it("25 batch norm of one sample is refused, and the loader warns that it will come", function()
    mistake(function() Norm(3)(torch.randn(1, 3)) end,
      "Expected more than 1 value per channel when training, got input size torch.Size([1, 3])", "drop_last", "eval()")
    right(function() return Norm(3)(torch.randn(2, 3)) end)
    right(function() return Norm(3):eval()(torch.randn(1, 3)) end)
    local five = data.TensorDataset(torch.randn(5, 2))
    local function run(options)
      options.batch_size, options.shuffle = 2, true
      for _ in data.DataLoader(five, options):iter() do end
    end
    warns(function() run {} end, "last batch of each epoch will hold 1 sample (5 samples in batches of 2)", "BatchNorm",
      "drop_last = true")
    right(function() return run { drop_last = true } end)
  end)

  it("29 a parameter that nobody wrote to is refused at the first forward", function()
    local Raw = nn.class("Raw")
    function Raw:init() self.w = nn.Parameter(torch.Tensor(2, 3)) end
    function Raw:forward(x) return F.linear(x, self.w) end
    local net = nn.Sequential(nn.Linear(3, 3), Raw())
    mistake(function() net(torch.randn(1, 3)) end, "parameter '2.w' of shape [2, 3] was never initialised",
      "reset_parameters", "nn.init")
    nn.init.uniform_(net[2].w, -0.1, 0.1)
    right(function() return net(torch.randn(1, 3)) end)
    local Cast = nn.class("Cast", Raw)
    function Cast:init() self.w = nn.Parameter(torch.empty(2, 3)):double() end
    mistake(function() Cast()(torch.randn(1, 3)) end, "parameter 'w' of shape [2, 3] was never initialised")
    local written = {
      function(p) p.data:normal_() end, function(p) p.data[1] = 1 end, function(p) p.data:copy_(torch.ones(2, 3)) end,
      function(p) torch.no_grad(function() p:zero_() end) end, function(p) nn.init.xavier_uniform_(p) end,
      function(p) torch.no_grad(function() p[{ {}, 1 }] = 2 end) end, function(p) p.data = torch.ones(2, 3) end,
    }
    for _, write in ipairs(written) do
      local raw = Raw()
      write(raw.w)
      right(function() return raw(torch.randn(1, 3)) end)
    end
    local late = nn.class("Late")()
    function late:forward(x) return self.w and F.linear(x, self.w) or x end
    right(function() return late(torch.randn(1, 3)) end)
    late.w = nn.Parameter(torch.empty(2, 3))
    mistake(function() late(torch.randn(1, 3)) end, "parameter 'w' of shape [2, 3] was never initialised")
    local loaded = Raw()
    loaded:load_state_dict { w = torch.ones(2, 3) }
    right(function() return loaded(torch.randn(1, 3)) end)
  end)

  it("33 keys that do not fit are grouped by cause, with the nearest name and the way out", function()
    local net, other = Two(), Two()
    local wrapped = {}
    for key, value in pairs(net:state_dict()) do wrapped["module." .. key] = value end
    mistake(function() other:load_state_dict(wrapped) end, "Error(s) in loading state_dict for Two:",
      "Missing key(s) in state_dict: \"fc1.weight\"", "Unexpected key(s) in state_dict: \"module.fc1.bias\"",
      "{strip_prefix = \"module.\"}")
    right(function() return other:load_state_dict(wrapped, { strip_prefix = "module." }) end)
    assert.is_true(other.fc1.weight:equal(net.fc1.weight))
    local zero_based = { ["0.weight"] = torch.ones(2, 2), ["0.bias"] = torch.ones(2) }
    local list = nn.Sequential(nn.Linear(2, 2))
    mistake(function() list:load_state_dict(zero_based) end, "{index_base = 0}", "nearest here: \"0.weight\"")
    right(function() return list:load_state_dict(zero_based, { index_base = 0 }) end)
    assert.equal(4, list[1].weight:sum():item())
    mistake(function() nn.Linear(2, 3):load_state_dict { weigth = torch.ones(3, 2), bias = torch.ones(3) } end,
      "\"weight\" (nearest here: \"weigth\")")
    mistake(function() nn.Linear(2, 3):load_state_dict { weight = torch.ones(3, 5), bias = torch.ones(3) } end,
      "size mismatch for weight", "[3, 5]", "[3, 2]")
  end)

  it("37 a constructor need not call its parent's", function()
    local Child = nn.class("Child")
    function Child:init(n) self.fc = nn.Linear(n, 1) end
    function Child:forward(x) return self.fc(x) end
    local Grandchild = nn.class("Grandchild", Child)
    function Grandchild:init(n) self.scale = n end
    local child = right(function() return Grandchild(3) end)
    assert.equal(2, #child:parameters())
    assert.equal(3, child.scale)
    assert.is_true(child.training)
    right(function() return child(torch.ones(1, 3)) end)
  end)

  it("39 a model can start as in the other framework", function()
    local net = right(function() return nn.init.like_tensorflow(nn.Sequential(nn.Linear(30, 20), Conv(2, 4))) end)
    assert.equal(0, net[1].bias:abs():sum():item())
    local bound = math.sqrt(6 / (30 + 20))
    local largest = net[1].weight:abs():max():item()
    assert.is_true(largest <= bound and largest > 0.9 * bound)
    local conv_bound = math.sqrt(6 / ((2 + 4) * 9))
    assert.is_true(net[2].weight:abs():max():item() <= conv_bound)
    mistake(function() nn.init.like_tensorflow(torch.ones(2)) end, "expected a Module, but got Tensor")
  end)
end)
