--- Layers, losses, functional and init: what they refuse, start values, texts (spec/golden/nn.lua). Their results are
-- functional_golden_spec.lua's.
local torch = require "moontorch"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local near = dofile(here .. "/support/near.lua")
local golden = dofile(here .. "/golden/nn.lua")
local nn, F = torch.nn, torch.nn.functional
local check, refuses = near.check, near.refuses

local function f64(values) return torch.tensor(values, { dtype = torch.float64 }) end
local function labels(values) return torch.tensor(values, { dtype = torch.int64 }) end

describe("losses", function()
  it("take class labels of every integer dtype", function()
    local logits = f64 { { 1, 2, 3 }, { 3, 1, 0 } }
    local wanted = F.cross_entropy(logits, labels { 3, 1 }):item()
    for _, dtype in ipairs { "int64", "int32", "uint8", "int16", "int8" } do
      if torch[dtype] then
        assert.equal(wanted, F.cross_entropy(logits, torch.tensor({ 3, 1 }, { dtype = torch[dtype] })):item())
      end
    end
  end)

  it("give the same as modules", function()
    local x, y = f64 { { 1, 2 }, { 3, 5 } }, f64 { { 0, 1 }, { 1, 0 } }
    local p = x:sigmoid()
    assert.equal(F.mse_loss(x, y):item(), nn.MSELoss()(x, y):item())
    assert.equal(F.l1_loss(x, y, { reduction = "sum" }):item(), nn.L1Loss({ reduction = "sum" })(x, y):item())
    assert.equal(F.binary_cross_entropy(p, y):item(), nn.BCELoss()(p, y):item())
    local w = f64 { 0.5, 2 }
    assert.equal(F.binary_cross_entropy_with_logits(x, y, { pos_weight = w }):item(),
      nn.BCEWithLogitsLoss({ pos_weight = w })(x, y):item())
    assert.equal(F.cross_entropy(x, labels { 1, 2 }, { weight = w, label_smoothing = 0.1 }):item(),
      nn.CrossEntropyLoss({ weight = w, label_smoothing = 0.1 })(x, labels { 1, 2 }):item())
    local logs = F.log_softmax(x, 2)
    assert.equal(F.nll_loss(logs, labels { 1, 2 }, { ignore_index = 2 }):item(),
      nn.NLLLoss({ ignore_index = 2 })(logs, labels { 1, 2 }):item())
    assert.same({ 2 }, { #nn.CrossEntropyLoss({ weight = w }):buffers()[1].shape == 1 and 2 })
  end)

  it("refuse shapes that would broadcast, with the call that mends them", function()
    local input, target = torch.zeros(3, 1), torch.zeros(3)
    refuses(function() F.mse_loss(input, target) end, "Using a target size (torch.Size([3])) that is different to the "
      .. "input size (torch.Size([3, 1]))", "target:unsqueeze(2)", "pred:squeeze(2)", "{broadcast = true}")
    refuses(function() nn.L1Loss()(target, input) end, "pred:unsqueeze(2)", "target:squeeze(2)")
    refuses(function() F.binary_cross_entropy(input, target) end, "Using a target size (torch.Size([3]))")
    refuses(function() F.binary_cross_entropy_with_logits(input, target) end,
      "(torch.Size([3]))", "input size (torch.Size([3, 1]))")
    assert.equal(0, F.mse_loss(input, target, { broadcast = true }):item())
    assert.equal(0, nn.MSELoss({ broadcast = true })(input, target):item())
  end)

  it("BCE wants floats on both sides, MSE promotes", function()
    local input, target = torch.tensor { 0.5, 0.25 }, labels { 0, 1 }
    refuses(function() nn.BCELoss()(input, target) end, "Expected object of type torch.FloatTensor but found type "
      .. "torch.LongTensor for argument 'target'", "target:float()")
    refuses(function() nn.BCELoss()(target, input) end, "torch.LongTensor for argument 'input'", "input:float()")
    refuses(function() nn.BCEWithLogitsLoss()(input, target) end, "torch.LongTensor for argument 'target'")
    refuses(function() nn.BCELoss()(input:double(), input) end, "Expected object of type torch.DoubleTensor but found "
      .. "type torch.FloatTensor", "target:double()")
    assert.equal(0.40625, F.mse_loss(input, target):item())
  end)

  it("BCE refuses what is no probability and names the loss for logits", function()
    refuses(function() F.binary_cross_entropy(torch.tensor { 0.5, 1.5 }, torch.zeros(2)) end,
      "all elements of input should be between 0 and 1", "BCEWithLogitsLoss")
  end)

  it("cross_entropy explains wrong labels", function()
    local logits = torch.zeros(3, 4)
    refuses(function() F.cross_entropy(logits, torch.tensor { 1.0, 2.0, 3.0 }) end,
      "expected scalar type Long but found Float", "'target'", "[3]", ":long()", "probabilities", "[3, 4]")
    refuses(function() F.cross_entropy(logits, torch.tensor { true, false, true }) end, "found Bool")
    refuses(function() F.cross_entropy(logits, labels { 1, 0, 2 }) end, "Target 0 is out of bounds",
      "count from 1")
    refuses(function() F.cross_entropy(logits, labels { 1, 5, 2 }) end, "Target 5 is out of bounds")
    refuses(function() F.cross_entropy(logits, labels { 1, 5, 2 }, { reduction = "none" }) end,
      "Target 5 is out of bounds")
    refuses(function() F.nll_loss(logits, labels { 1, -4, 2 }) end, "Target -4 is out of bounds")
    refuses(function() F.cross_entropy(logits, labels { 1, 2 }) end,
      "Expected input batch_size (3) to match target batch_size (2).", "[3, 4]")
    refuses(function() F.cross_entropy(logits, labels { { 1 }, { 2 }, { 3 } }) end,
      "0D or 1D target tensor expected, multi-target not supported", "target:squeeze(2)")
    refuses(function() F.cross_entropy(torch.zeros(2, 3, 5), torch.ones(2, 4):long()) end,
      "Expected target size [2, 5], got [2, 4]")
    refuses(function() F.cross_entropy(logits, labels { 1, 2, 3 }, { weight = torch.ones(3) }) end,
      "weight tensor should be defined either for all 4 classes or no classes but got weight tensor of shape: [3]")
    refuses(function() F.cross_entropy(logits:long(), labels { 1, 2, 3 }) end, "not implemented for", "input:float()")
    refuses(function() F.cross_entropy(logits, labels { 1, 2, 3 }, { label_smoothing = 2 }) end,
      "label_smoothing must be between 0.0 and 1.0. Got: 2")
    refuses(function() F.cross_entropy(logits, labels { 1, 2, 3 }, { reduction = "avg" }) end,
      "avg is not a valid value for reduction")
    refuses(function() nn.NLLLoss({ reduction = "avg" }) end, "avg is not a valid value for reduction")
    refuses(function() nn.MSELoss({ reductoin = "sum" }) end, "unexpected keyword argument 'reductoin'", "reduction")
    refuses(function() F.nll_loss(torch.tensor(1.0), labels { 1 }) end, "0-dim")
    refuses(function() F.cross_entropy(3, labels { 1 }) end, "'input' (position 1) must be Tensor, not integer")
  end)

  it("do not change their arguments when they refuse", function()
    local target = labels { 1, 9 }
    pcall(F.cross_entropy, torch.zeros(2, 3), target)
    assert.same({ 1, 9 }, target:tolist())
  end)

  it("show the gradient that vanishes behind a sigmoid beside cross-entropy's", function()
    local far = f64 { -20 }:requires_grad_()
    F.mse_loss(far:sigmoid(), f64 { 1 }):backward()
    assert.is_true(math.abs(far.grad:item()) < 1e-8)
    far.grad = nil
    F.binary_cross_entropy_with_logits(far, f64 { 1 }):backward()
    assert.is_true(math.abs(far.grad:item()) > 0.99)
  end)
end)

describe("nn.init", function()
  it("refuses shapes and modes that make no sense, and changes nothing", function()
    local t = torch.zeros(3)
    refuses(function() nn.init.xavier_uniform_(t) end,
      "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions", "[3]")
    refuses(function() nn.init.kaiming_normal_(torch.zeros(2, 2), { mode = "fan" }) end,
      "Mode fan not supported, please use one of ['fan_in', 'fan_out']")
    refuses(function() nn.init.eye_(t) end, "Only tensors with 2 dimensions are supported")
    refuses(function() nn.init.uniform_(3) end, "'tensor' (position 1) must be Tensor, not integer")
    refuses(function() nn.init.normal_(t, { sdt = 1 }) end, "unexpected keyword argument 'sdt'", "mean, std")
    assert.same({ 0, 0, 0 }, t:tolist())
  end)

  it("leaves no gradient behind", function()
    local p = nn.Parameter(torch.zeros(2, 2))
    nn.init.xavier_normal_(p)
    assert.is_true(p.is_leaf)
    assert.is_true(p.requires_grad)
  end)

  it("like_tensorflow: weights Glorot-uniform, biases zero", function()
    local net = nn.Sequential(nn.Linear(30, 20), nn.ReLU(), nn.Linear(20, 10))
    assert.equal(net, nn.init.like_tensorflow(net))
    assert.equal(0, net[1].bias:abs():max():item())
    local limit = math.sqrt(6 / 50)
    assert.is_true(net[1].weight:abs():max():item() <= limit)
    assert.is_true(net[1].weight:abs():max():item() > 0.9 * limit)
  end)
end)

describe("layers", function()
  it("Linear starts and computes as PyTorch's does for the same seed", function()
    torch.manual_seed(3)
    local layer = nn.Linear(4, 3)
    check(golden.linear.weight, layer.weight, 0)
    check(golden.linear.bias, layer.bias, 0)
    local values = {}
    for i = 0, 7 do values[i + 1] = ((i * 7) % 23 - 11) / 5 end
    check(golden.linear.output, layer(torch.tensor(values):reshape(2, 4)), 1e-6)
    assert.same({ 4 }, { layer(torch.zeros(2, 5, 4)).shape[2] - 1 })
    assert.equal(1, layer(torch.zeros(4)).ndim)
  end)

  it("a layer written by hand equals Linear, value for value, with the same seed", function()
    local Mine = nn.class("Mine")
    function Mine:init(n_in, n_out)
      self.weight = nn.Parameter(torch.Tensor(n_out, n_in))
      self.bias = nn.Parameter(torch.Tensor(n_out))
      self:register_parameter("gate", nil)
      self:reset_parameters()
    end
    function Mine:reset_parameters()
      local stdv = 1 / math.sqrt(self.weight:size(2))
      self.weight.data:uniform_(-stdv, stdv)
      self.bias.data:uniform_(-stdv, stdv)
    end
    function Mine:forward(x) return F.linear(x, self.weight, self.bias) end
    torch.manual_seed(11)
    local mine = Mine(5, 3)
    torch.manual_seed(11)
    local theirs = nn.Linear(5, 3)
    -- sqrt 3 times a gain of sqrt 2/6 is 1 but for the last bit, so compare as floats do.
    check(theirs.weight:tolist(), mine.weight, 1e-7)
    check(theirs.bias:tolist(), mine.bias, 1e-7)
    local x = torch.randn(2, 5)
    check(theirs(x):tolist(), mine(x), 1e-6)
  end)

  it("Linear without bias registers the name and nothing else", function()
    local layer = nn.Linear(2, 2, { bias = false })
    assert.is_nil(layer.bias)
    assert.equal(1, #layer:parameters())
    assert.equal("Linear(in_features=2, out_features=2, bias=False)", tostring(layer))
    assert.equal(0, nn.Linear(3, 2, false)(torch.zeros(1, 3)):sum():item())
  end)

  it("take keywords, and floats with an integral value", function()
    local layer = nn.Linear { in_features = 3.0, out_features = 2, dtype = torch.float64 }
    assert.equal(torch.float64, layer.weight.dtype)
    assert.same({ 2, 3 }, { table.unpack(layer.weight.shape) })
  end)

  it("refuse wrong settings", function()
    refuses(function() nn.Linear(3) end, "missing 1 required positional arguments: \"out_features\"")
    refuses(function() nn.Linear(2.5, 3) end, "'in_features' (position 1) must be an integer, not 2.5")
    refuses(function() nn.Linear("3", 3) end, "'in_features' (position 1) must be an integer, not string")
    refuses(function() nn.Linear(0 / 0, 3) end, "must be an integer")
    refuses(function() nn.Linear(-1, 3) end, "negative dimension -1: [3, -1]")
    refuses(function() nn.Linear(1, 2, true, nil, nil, 7) end, "takes 5 positional arguments but 6 were given")
    refuses(function() nn.Linear(1, 2, { bais = false }) end, "unexpected keyword argument 'bais'",
      "in_features, out_features, bias, device, dtype")
    refuses(function() nn.Linear(1, 2, { in_features = 4 }) end, "got multiple values for argument 'in_features'")
    refuses(function() nn.Dropout(2.0) end, "dropout probability has to be between 0 and 1, but got 2.0")
    refuses(function() nn.Dropout(0 / 0) end, "dropout probability has to be between 0 and 1")
    refuses(function() nn.Softmax()(torch.zeros(2, 2)) end, "\"dim\"", "[2, 2]")
    refuses(function() F.softmax(torch.zeros(2, 2)) end, "missing 1 required positional arguments: \"dim\"")
    refuses(function() nn.Linear(3, 2)(torch.zeros(4, 5)) end, "shapes cannot be multiplied (4x5 and 3x2)")
  end)

  it("Dropout drops in training only, and scales what stays", function()
    local layer = nn.Dropout(0.25)
    local y = layer(torch.ones(4000))
    local zeros = y:eq(0):sum():item()
    assert.is_true(zeros > 850 and zeros < 1150)
    check(4 / 3, y:max():item(), 1e-6)
    layer:eval()
    assert.is_true(layer(torch.ones(10)):equal(torch.ones(10)))
    assert.equal(0, nn.Dropout(1)(torch.ones(5)):sum():item())
  end)

  it("Flatten and Unflatten count dims from 1", function()
    local x = torch.arange(24):reshape(2, 3, 4)
    assert.same({ 2, 12 }, { table.unpack(nn.Flatten()(x).shape) })
    assert.same({ 6, 4 }, { table.unpack(nn.Flatten(1, 2)(x).shape) })
    assert.same({ 2, 3, 2, 2 }, { table.unpack(nn.Unflatten(3, { 2, -1 })(x).shape) })
    assert.same({ 2, 3, 2, 2 }, { table.unpack(nn.Unflatten(-1, { 2, 2 })(x).shape) })
    refuses(function() nn.Unflatten(4, { 2, 2 })(x) end, "Dimension out of range", "but got 4")
    refuses(function() nn.Unflatten(3, { 2, "x" }) end, "must be tuple of ints")
  end)

  it("activations compute their functions", function()
    local x = f64 { -1, 0, 2 }
    assert.same({ 0, 0, 2 }, nn.ReLU()(x):tolist())
    check({ 1 / (1 + math.exp(1)), 0.5, 1 / (1 + math.exp(-2)) }, nn.Sigmoid()(x), 1e-15)
    check(F.tanh(x):tolist(), nn.Tanh()(x), 0)
    check(1, nn.Softmax(1)(x):sum():item(), 1e-15)
    check(nn.Softmax(-1)(x):log():tolist(), nn.LogSoftmax(-1)(x), 1e-12)
    local y = x:clone()
    assert.equal(y, nn.ReLU({ inplace = true })(y))
    assert.same({ 0, 0, 2 }, y:tolist())
    assert.equal(x, nn.Identity(3, { unused = true })(x))
  end)
end)

describe("texts", function()
  local one = function(...) return nn.Parameter(torch.zeros(...)) end
  local made = {
    linear = function() return nn.Linear(3, 4) end,
    inplace = function() return nn.ReLU({ inplace = true }) end,
    dropout = function() return nn.Dropout(0.2) end,
    softmax = function() return nn.Softmax({ dim = -1 }) end,
    loss = function() return nn.CrossEntropyLoss() end,
    empty = function() return nn.Sequential() end,
    dict = function() return nn.ModuleDict { { "a", nn.Linear(1, 1) }, { "b", nn.Tanh() } } end,
    parameters = function() return nn.ParameterList { one(2, 3), one(1) } end,
    parameter_dict = function() return nn.ParameterDict { x = one(2) } end,
    model = function()
      return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Sequential(nn.Linear(4, 4, { bias = false }), nn.Dropout()),
        nn.ModuleList { nn.Linear(2, 2), nn.Linear(2, 2), nn.ReLU() })
    end,
    sgd = function() return torch.optim.SGD({ one(1) }, { lr = 0.1 }) end,
    adam = function() return torch.optim.Adam({ one(1) }) end,
    adamw = function() return torch.optim.AdamW({ one(1) }, { betas = { 0.5, 0.75 } }) end,
  }
  for name, make in pairs(made) do
    it(name .. " reads as PyTorch's repr, counted from 1", function()
      assert.equal(golden.texts[name], tostring(make()))
    end)
  end
end)
